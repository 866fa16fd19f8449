/* Routing: one function from a message to the set of rings that it goes to. */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include "core/bucket.h"
#include "core/message.h"

enum { ROUTE_SCANNERS_MAX = 60, ROUTE_MARKET = 60, ROUTE_LEDGER = 61, ROUTE_RINGS_MAX = 62 };

/* Which scanner runs a bucket, and the bucket of each symbol id. */
struct route {
    uint32_t scanners;
    bool market; /* there is a market role */
    uint8_t scanner[BUCKET_COUNT];
    uint16_t *bucket; /* by symbol id; `ids` of them */
    uint32_t ids;
};

enum bucket_table { BUCKETS_EVEN, BUCKETS_ONE, BUCKETS_REVERSE };

/* EVEN deals buckets out in turn; ONE gives all to the first scanner; REVERSE deals in turn from the end. The
 * result of a run does not depend on it. */
static inline uint32_t route_scanner(enum bucket_table table, uint32_t bucket, uint32_t scanners)
{
    return table == BUCKETS_EVEN  ? bucket % scanners
           : table == BUCKETS_ONE ? 0
                                  : (BUCKET_COUNT - 1 - bucket) % scanners;
}

static inline void route_fill(struct route *r, uint32_t scanners, enum bucket_table table)
{
    r->scanners = scanners;
    for (uint32_t b = 0; b < BUCKET_COUNT; b++)
        r->scanner[b] = (uint8_t)route_scanner(table, b, scanners);
}

static inline uint64_t route_symbol(const struct route *r, uint32_t symbol)
{
    return symbol < r->ids ? UINT64_C(1) << r->scanner[r->bucket[symbol]] : 0;
}

/* Bit k is scanner k's ring, bit ROUTE_MARKET the market's, which has what is about no one symbol's trades.
 * The ledger role is a place only: ORDER will go to ROUTE_LEDGER when it exists. */
static inline uint64_t route_of(const struct route *r, const struct msg *m)
{
    uint64_t market = (uint64_t)r->market << ROUTE_MARKET;
    switch (m->type) {
    case MSG_CLOCK:
        return UINT64_C(1) << r->scanner[m->symbol & (BUCKET_COUNT - 1)] | market;
    case MSG_RULE:
    case MSG_SETTING:
    case MSG_END:
        return ((UINT64_C(1) << r->scanners) - 1) | market;
    case MSG_SYMBOL:
        return route_symbol(r, m->symbol) | market;
    default:
        return route_symbol(r, m->symbol);
    }
}

#endif
