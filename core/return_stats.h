/* Statistics of returns, for the reports of a backtest.
 *
 * Units: a return is a fraction, 0.01 is one percent. Every function gives the same bits on every machine:
 * only + - * / sqrt, in an order that the header states.
 *
 * Two forms. Of few returns, kept in memory, all is exact (return_stats_of). Of many, which are not kept,
 * count, mean, standard deviation, best and worst are exact up to rounding (Welford's update, Chan's merge:
 * T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
 * 1979), and the median is that of bins.
 */
#ifndef CORE_RETURN_STATS_H
#define CORE_RETURN_STATS_H

#include <stddef.h>
#include <stdint.h>

/* What is said of a set of returns. n = 0: the rest is 0 and means nothing; stdev is that of a sample (n -
 * 1), 0 for n < 2. */
struct return_stats {
    uint64_t n, hits; /* hits: returns above 0 */
    double hit_rate, mean, median, stdev, best, worst;
};

/* Of r[0..n), which is sorted on the way. Sums go from the least to the greatest, so the order of what comes
 * does not matter. */
void return_stats_of(double *r, size_t n, struct return_stats *out);

/* Zeroed: no return yet. */
struct return_moments {
    uint64_t n, hits;
    double mean, m2, best, worst; /* m2: sum of squared differences from the mean */
};
void return_moments_add(struct return_moments *m, double r);
void return_moments_merge(struct return_moments *into, const struct return_moments *m);

/* Bins of nearly equal relative width: the sign, the power of two and five bits behind it; the middle of a
 * bin is within 1/64 of what is in it. One bin in the middle holds 0 and what is below 2^-40; what is 2^20 or
 * more goes to the bins at the ends. They rise with the value. */
enum {
    RETURN_POWERS = 60,
    RETURN_POWER_MIN = -40,
    RETURN_BINS_SIDE = RETURN_POWERS * 32,
    RETURN_BINS = 2 * RETURN_BINS_SIDE + 1,
};
unsigned return_bin(double r);
double return_bin_middle(unsigned bin);

/* Moments as statistics; the median from the bins' counts, which sum up to m->n. */
void return_stats_from(const struct return_moments *m, const uint64_t count[RETURN_BINS],
                       struct return_stats *out);

#endif
