/* A histogram of durations (or of any u64), log-linear as HdrHistogram's: exact below 32, then 32 buckets for
 * each power of two, so that a bucket is at most 1/32 (3.1 %) wide. Covers all of u64 in 1,920 buckets (15
 * KiB).
 *
 * Threading: one writer, plain relaxed stores; any reader takes a copy and asks that. A copy taken while the
 * writer records may miss the newest values, never hold half of one bucket. Join fails (NULL) for: NULL, bad
 * alignment, another magic, too few bytes.
 */
#ifndef SHM_HISTOGRAM_H
#define SHM_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 5, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };

struct histogram;

size_t histogram_align(void);
size_t histogram_footprint(void);
struct histogram *histogram_new(void *mem);
struct histogram *histogram_join(void *mem, size_t bytes);
static inline void *histogram_leave(struct histogram *h)
{
    return h;
}

/* The writer's: a few ns, touches two lines. */
void histogram_record(struct histogram *h, uint64_t value);
/* As `n` calls with the same value. */
void histogram_record_n(struct histogram *h, uint64_t value, uint64_t n);

/* A reader's copy. */
struct histogram_copy {
    uint64_t count, sum, max; /* count = the sum of bucket[] */
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_read(const struct histogram *h, struct histogram_copy *out);

/* What was recorded since `before`, an earlier copy of the same histogram. max stays that of all time. */
void histogram_subtract(struct histogram_copy *now, const struct histogram_copy *before);
/* Sums two roles'. */
void histogram_merge(struct histogram_copy *into, const struct histogram_copy *other);

/* The smallest bucket end that at least a share q (0..1) of the values does not pass, never above max; 0 if
 * empty. At most 3.1 % above the true quantile. */
uint64_t histogram_quantile(const struct histogram_copy *c, double q);
/* How many values are at most `bound`, rounded to the bucket that holds it: for Prometheus' cumulative
 * buckets. */
uint64_t histogram_at_most(const struct histogram_copy *c, uint64_t bound);

#endif
