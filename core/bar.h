/* A bar: what trades of one span of time did. Prices at 1e-9, sizes at the symbol's scale. */
#ifndef CORE_BAR_H
#define CORE_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Finished daily bars of a symbol that are kept: what the longest window looks at, and some more. */
enum { DAILY_BARS = 260 };

struct bar {
    __int128 pv __attribute__((packed, aligned(8))); /* sum of price x size; of a daily bar 0 */
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
    uint32_t minute; /* start / 60 s; of a daily bar see engine_days.c */
    uint32_t trades;
    uint32_t revision;
    uint8_t session; /* enum session_kind, of its start */
    uint8_t pad[3];
};
_Static_assert(sizeof(struct bar) == 72, "thousands of symbols keep hundreds of them");

#endif
