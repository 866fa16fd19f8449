#include "core/return_stats.h"

#include <math.h>
#include <string.h>

static void sift(double *r, size_t at, size_t n)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && r[child] < r[child + 1])
            child++;
        if (r[at] >= r[child])
            return;
        double x = r[at];
        r[at] = r[child];
        r[child] = x;
    }
}

/* Heapsort: the library's may allocate. */
static void sort(double *r, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(r, i, n);
    for (size_t end = n; end-- > 1;) {
        double x = r[0];
        r[0] = r[end];
        r[end] = x;
        sift(r, 0, end);
    }
}

void return_stats_of(double *r, size_t n, struct return_stats *out)
{
    double sum = 0, squares = 0;
    *out = (struct return_stats){.n = n};
    if (n == 0)
        return;
    sort(r, n);
    for (size_t i = 0; i < n; i++) {
        sum += r[i];
        out->hits += r[i] > 0;
    }
    out->mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (r[i] - out->mean) * (r[i] - out->mean);
    out->stdev = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
    out->hit_rate = (double)out->hits / (double)n;
    out->median = n % 2 ? r[n / 2] : (r[n / 2 - 1] + r[n / 2]) / 2;
    out->best = r[n - 1];
    out->worst = r[0];
}

void return_moments_add(struct return_moments *m, double r)
{
    m->best = m->n == 0 || r > m->best ? r : m->best;
    m->worst = m->n == 0 || r < m->worst ? r : m->worst;
    m->n++;
    m->hits += r > 0;
    double before = r - m->mean;
    m->mean += before / (double)m->n;
    m->m2 += before * (r - m->mean);
}

void return_moments_merge(struct return_moments *a, const struct return_moments *b)
{
    if (b->n == 0)
        return;
    if (a->n == 0) {
        *a = *b;
        return;
    }
    double n = (double)(a->n + b->n), apart = b->mean - a->mean;
    a->m2 += b->m2 + apart * apart * ((double)a->n * (double)b->n / n);
    a->mean += apart * ((double)b->n / n);
    a->n += b->n;
    a->hits += b->hits;
    a->best = b->best > a->best ? b->best : a->best;
    a->worst = b->worst < a->worst ? b->worst : a->worst;
}

enum { BIAS = 1023 };

unsigned return_bin(double r)
{
    uint64_t bits;
    memcpy(&bits, &r, sizeof bits);
    int64_t step = (int64_t)((bits & ~(UINT64_C(1) << 63)) >> 47) - (int64_t)(BIAS + RETURN_POWER_MIN) * 32;
    if (step < 0)
        return RETURN_BINS_SIDE;
    step = step < RETURN_BINS_SIDE ? step : RETURN_BINS_SIDE - 1;
    return (unsigned)(bits >> 63 ? RETURN_BINS_SIDE - 1 - step : RETURN_BINS_SIDE + 1 + step);
}

double return_bin_middle(unsigned bin)
{
    int64_t step = (int64_t)bin - RETURN_BINS_SIDE;
    if (step == 0)
        return 0;
    uint64_t up = (uint64_t)(step > 0 ? step : -step) - 1 + (uint64_t)(BIAS + RETURN_POWER_MIN) * 32;
    uint64_t bits = up << 47 | UINT64_C(1) << 46;
    double r;
    memcpy(&r, &bits, sizeof r);
    return step > 0 ? r : -r;
}

/* The middle of the bin that holds the value of this rank, from 0. */
static double ranked(const uint64_t count[RETURN_BINS], uint64_t rank)
{
    unsigned bin = 0;
    for (uint64_t seen = count[0]; seen <= rank && bin < RETURN_BINS - 1; seen += count[bin])
        bin++;
    return return_bin_middle(bin);
}

void return_stats_from(const struct return_moments *m, const uint64_t count[RETURN_BINS],
                       struct return_stats *out)
{
    *out = (struct return_stats){.n = m->n, .hits = m->hits};
    if (m->n == 0)
        return;
    out->hit_rate = (double)m->hits / (double)m->n;
    out->mean = m->mean;
    out->stdev = m->n > 1 ? sqrt(m->m2 / (double)(m->n - 1)) : 0;
    out->median = (ranked(count, (m->n - 1) / 2) + ranked(count, m->n / 2)) / 2;
    out->best = m->best;
    out->worst = m->worst;
}
