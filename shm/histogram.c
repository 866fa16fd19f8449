#include "shm/histogram.h"

#include "shm/object.h"

#include <math.h>
#include <string.h>

#define HISTOGRAM_MAGIC UINT64_C(0x31747369676e6972) /* "ringist1" */

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

struct histogram {
    uint64_t magic;
    uint64_t sum, max;
    uint64_t bucket[HISTOGRAM_BUCKETS] __attribute__((aligned(64)));
} __attribute__((aligned(OBJECT_ALIGN)));

/* Below 2 x SUB a bucket holds one value; above, SUB buckets share each power of two. */
static unsigned bucket_of_value(uint64_t v)
{
    if (v < SUB)
        return (unsigned)v;
    unsigned shift = 63 - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)(v >> shift & (SUB - 1));
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return ((uint64_t)((bucket & (SUB - 1)) + SUB) << shift) + ((UINT64_C(1) << shift) - 1);
}

size_t histogram_align(void)
{
    return OBJECT_ALIGN;
}

size_t histogram_footprint(void)
{
    return sizeof(struct histogram);
}

struct histogram *histogram_new(void *mem)
{
    struct histogram *h = mem;
    if (!object_aligned(mem))
        return NULL;
    memset(h, 0, sizeof *h);
    atomics_store_release_u64(&h->magic, HISTOGRAM_MAGIC);
    return h;
}

struct histogram *histogram_join(void *mem, size_t bytes)
{
    return object_is(mem, bytes, sizeof(struct histogram), HISTOGRAM_MAGIC) ? mem : NULL;
}

static void add(uint64_t *word, uint64_t n)
{
    atomics_store_relaxed_u64(word, atomics_load_relaxed_u64(word) + n);
}

void histogram_record_n(struct histogram *h, uint64_t value, uint64_t n)
{
    add(&h->bucket[bucket_of_value(value)], n);
    add(&h->sum, value * n);
    if (n && value > atomics_load_relaxed_u64(&h->max))
        atomics_store_relaxed_u64(&h->max, value);
}

void histogram_record(struct histogram *h, uint64_t value)
{
    histogram_record_n(h, value, 1);
}

void histogram_read(const struct histogram *h, struct histogram_copy *out)
{
    out->count = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        out->bucket[i] = atomics_load_relaxed_u64(&h->bucket[i]);
        out->count += out->bucket[i];
    }
    out->sum = atomics_load_relaxed_u64(&h->sum);
    out->max = atomics_load_relaxed_u64(&h->max);
}

void histogram_subtract(struct histogram_copy *now, const struct histogram_copy *before)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        now->bucket[i] -= before->bucket[i];
    now->count -= before->count;
    now->sum -= before->sum;
}

void histogram_merge(struct histogram_copy *into, const struct histogram_copy *other)
{
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += other->bucket[i];
    into->count += other->count;
    into->sum += other->sum;
    if (other->max > into->max)
        into->max = other->max;
}

uint64_t histogram_quantile(const struct histogram_copy *c, double q)
{
    if (c->count == 0)
        return 0;
    double rank = ceil(q * (double)c->count);
    uint64_t want = rank < 1 ? 1 : rank >= (double)c->count ? c->count : (uint64_t)rank;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += c->bucket[i];
        if (seen >= want) {
            uint64_t end = bucket_end(i);
            return end < c->max ? end : c->max;
        }
    }
    return c->max;
}

uint64_t histogram_at_most(const struct histogram_copy *c, uint64_t bound)
{
    uint64_t n = 0;
    for (unsigned i = 0, last = bucket_of_value(bound); i <= last; i++)
        n += c->bucket[i];
    return n;
}
