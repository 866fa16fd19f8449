/* A bar: what trades of one span of time did. Prices at 1e-9, sizes at the symbol's scale. */
#ifndef CORE_BAR_H
#define CORE_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bar {
    __int128 pv; /* sum of price x size */
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
    uint32_t minute; /* start / 60 s */
    uint32_t trades;
    uint32_t revision;
    uint8_t session; /* enum session_kind, of its start */
    uint8_t pad[11];
};

#endif
