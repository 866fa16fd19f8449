/* How indicators are calculated: shared by indicator*.c alone.
 *
 * A state is the row's struct, its outputs first, and perhaps a ring of doubles behind it. `step` takes one
 * more bar into the struct and sets the outputs; it may read the ring and the bars before. `settle` prepares
 * the next step and may write the ring. A push is both; a value with the live bar is a step on a copy of the
 * struct: so it is bit for bit what the pushed bar will give.
 */
#ifndef CORE_INDICATOR_INT_H
#define CORE_INDICATOR_INT_H

#include "core/indicator.h"

#include <math.h>
#include <string.h>

typedef unsigned __int128 wide; /* sums wrap: differences are right as long as they fit */

struct at {
    const struct indicator *x;
    void *state;
    double *ring;
    const struct bar_series *b;
    const struct bar *now; /* the bar to take, index i of the series */
    uint64_t i, k;         /* k: bars up to this one, itself included */
    double volume_unit;    /* 10^scale */
};

struct calculation {
    void (*step)(struct at *a);
    void (*settle)(struct at *a); /* or NULL */
    size_t bytes;
    unsigned (*ring)(const struct indicator *x); /* doubles; or NULL */
};

#define CALC(name, settle, ring)                                                                             \
    const struct calculation calc_##name = {step_##name, settle, sizeof(struct name), ring};

/* 128-bit sums in words of 8 bytes, as states are not aligned to 16. */
struct sum {
    uint64_t low, high;
};

static inline wide sum_wide(struct sum s)
{
    return (wide)s.high << 64 | s.low;
}

static inline struct sum sum_of(wide v)
{
    return (struct sum){(uint64_t)v, (uint64_t)(v >> 64)};
}

/* Of a price, a size or a sum that may be negative. */
static inline wide widen(int64_t v)
{
    return (wide)(__int128)v;
}

static inline double wide_double(wide v)
{
    return (__int128)v == (int64_t)v ? (double)(int64_t)v : (double)(__int128)v;
}

static inline const struct bar *back(const struct at *a, uint64_t bars)
{
    return bars ? series_bar(a->b, a->i - bars) : a->now;
}

static inline uint64_t smaller(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

static inline uint64_t larger(uint64_t x, uint64_t y)
{
    return x > y ? x : y;
}

/* The square root, rounded down. */
static inline uint64_t root(uint64_t n)
{
    uint64_t r = 1;
    while ((r + 1) * (r + 1) <= n)
        r++;
    return r;
}

static inline uint64_t distance(int64_t x, int64_t y)
{
    return x > y ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x;
}

static inline double multiplier(const struct at *a)
{
    return a->x->hundredths / 100.0;
}

/* High, low and close of a bar, summed: three times the typical price. */
static inline wide typical3(const struct bar *b)
{
    return widen(b->high_e9) + widen(b->low_e9) + widen(b->close_e9);
}

static inline uint64_t true_range(const struct bar *b, const struct bar *before)
{
    int64_t high = b->high_e9, low = b->low_e9, c = before->close_e9;
    return (uint64_t)(high > c ? high : c) - (uint64_t)(low < c ? low : c);
}

static inline double ema_factor(unsigned n)
{
    return 2.0 / (n + 1);
}

/* The k-th value x into a mean that is seeded with the mean of the first n: *v is the sum up to there. NaN
 * before. */
static inline double mean_add(double *v, uint64_t k, unsigned n, double factor, double x)
{
    *v = k < n ? *v + x : k == n ? (*v + x) / n : *v + factor * (x - *v);
    return k < n ? NAN : *v;
}

static inline double ema_add(double *v, uint64_t k, unsigned n, double x)
{
    return mean_add(v, k, n, ema_factor(n), x);
}

static inline double wilder_add(double *v, uint64_t k, unsigned n, double x)
{
    *v = k < n ? *v + x : k == n ? (*v + x) / n : (*v * (n - 1) + x) / n;
    return k < n ? NAN : *v;
}

/* The last n values of something that has no bar: slot of the j-th value, and the sum of the last n-1 up to
 * it, the oldest first. */
static inline double *ring_slot(double *ring, unsigned n, uint64_t j)
{
    return &ring[j % n];
}

static inline double ring_rest(double *ring, unsigned n, uint64_t j)
{
    double sum = 0;
    for (uint64_t i = j + 1 - smaller(j, n - 1); i <= j; i++)
        sum += *ring_slot(ring, n, i);
    return sum;
}

#define X(kind, name, form, d0, d1, d2, least, outputs, unit, reads, warmup, calc, help)                     \
    extern const struct calculation calc_##calc;
INDICATORS(X)
#undef X

#endif
