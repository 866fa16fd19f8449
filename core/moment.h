/* What ids of events end with: a symbol's name, 0, the symbol's time (i64), k (u32), little-endian; k tells
 * events of one time from each other. */
#ifndef CORE_MOMENT_H
#define CORE_MOMENT_H

#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MOMENT_MAX = 64 + 12, MOMENT_WHAT_MAX = 16 };

/* All but k. Returns where that goes. */
static inline uint8_t *moment_put(uint8_t *p, const char *name, int64_t time_ns)
{
    size_t n = strlen(name) + 1;
    memcpy(p, name, n);
    memcpy(p + n, &time_ns, 8);
    return p + n + 8;
}

/* The id of an event that is of no rule: xxh3_128 of what it is (short of MOMENT_WHAT_MAX), 0, the moment. */
static inline XXH128_hash_t moment_id(const char *what, const char *name, int64_t time_ns, uint32_t k)
{
    uint8_t text[MOMENT_WHAT_MAX + MOMENT_MAX];
    size_t n = strlen(what) + 1;
    memcpy(text, what, n);
    uint8_t *end = moment_put(text + n, name, time_ns);
    memcpy(end, &k, 4);
    return XXH3_128bits(text, (size_t)(end + 4 - text));
}

#endif
