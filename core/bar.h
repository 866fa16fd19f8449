/* A bar: what trades of one span of time did. Prices at 1e-9, sizes at the symbol's scale. */
#ifndef CORE_BAR_H
#define CORE_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Finished daily bars of a symbol that are kept: what the longest window looks at, and some more. */
enum { DAILY_BARS = 260 };

/* What metrics read of one. */
struct bar {
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
    uint32_t minute : 29; /* start / 60 s; of a daily bar see engine_days.c */
    uint32_t session : 2; /* enum session_kind, of its start */
    uint32_t wide : 1;    /* of a struct minute_bar */
    uint32_t trades;
};
_Static_assert(sizeof(struct bar) == 48, "thousands of symbols keep hundreds of them");

/* A bar of one minute as it is kept. What does not fit, as most of it does, is in a struct bar_rest that lies
 * elsewhere, at memory that is touched only by a bar that is `wide`. */
struct minute_bar {
    struct bar bar;
    uint64_t pv_low; /* sum of price x size */
};
_Static_assert(sizeof(struct minute_bar) == 56, "thousands of symbols keep a day of them and more");

struct bar_rest {
    int64_t pv_high;
    uint32_t revision;
    uint32_t pad;
};

/* All there is to a bar of one minute, no bytes between. */
struct whole_bar {
    struct bar bar;
    uint64_t pv_low;
    struct bar_rest rest;
};
_Static_assert(sizeof(struct whole_bar) == 72, "whole bars are compared as bytes");

static inline __int128 bar_pv(const struct whole_bar *b)
{
    return (__int128)b->rest.pv_high << 64 | b->pv_low;
}

static inline void bar_pv_set(struct whole_bar *b, __int128 pv)
{
    b->pv_low = (uint64_t)pv;
    b->rest.pv_high = (int64_t)(pv >> 64);
}

#endif
