/* Buckets: what order, checkpoints and clocks are per. A symbol's bucket never changes; a table says which
 * scanner runs it. */
#ifndef CORE_BUCKET_H
#define CORE_BUCKET_H

#include <stdint.h>
#include <stddef.h>

enum { BUCKET_COUNT = 1024, BUCKET_MARKET = 1024, BUCKET_LEDGER = 1025, BUCKET_ALL = 1026 };

#define SECOND_NS INT64_C(1000000000)
#define MINUTE_NS (60 * SECOND_NS)

/* 2261-01-01: the last event time there is, so that a time and a year's cooldown fit 64 bits */
#define TIME_MAX_NS (INT64_C(9183110400) * SECOND_NS)
#define MINUTE_MASK ((1u << 29) - 1) /* holds each minute up to there */

/* xxh3_64(name) & 1023 */
uint16_t bucket_of(const char *name, size_t len);

/* Bucket b's clock strikes at b/1024 s past each second. */
static inline int64_t bucket_offset_ns(uint32_t bucket)
{
    return (int64_t)bucket * SECOND_NS / BUCKET_COUNT;
}

/* The bucket's last grid point not after t, and its first not before t. */
static inline int64_t bucket_grid_floor(uint32_t bucket, int64_t t_ns)
{
    int64_t off = bucket_offset_ns(bucket), x = t_ns - off;
    return (x >= 0 ? x / SECOND_NS : -((SECOND_NS - 1 - x) / SECOND_NS)) * SECOND_NS + off;
}

static inline int64_t bucket_grid_ceil(uint32_t bucket, int64_t t_ns)
{
    int64_t f = bucket_grid_floor(bucket, t_ns);
    return f == t_ns ? f : f + SECOND_NS;
}

#endif
