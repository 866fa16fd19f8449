/* What ids of events end with: a symbol's name, 0, the symbol's time (i64), k (u32), little-endian; k tells
 * events of one time from each other. */
#ifndef CORE_MOMENT_H
#define CORE_MOMENT_H

#include <stdint.h>
#include <string.h>

enum { MOMENT_MAX = 64 + 12 };

/* Returns what follows. */
static inline uint8_t *moment_put(uint8_t *p, const char *name, int64_t time_ns, uint32_t k)
{
    size_t n = strlen(name) + 1;
    memcpy(p, name, n);
    p += n;
    memcpy(p, &time_ns, 8);
    memcpy(p + 8, &k, 4);
    return p + 12;
}

#endif
