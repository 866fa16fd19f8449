#include "core/return_stats.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

static void test_few(void **state)
{
    (void)state;
    double r[] = {0.03, -0.01, 0.00, 0.02};
    struct return_stats s;
    return_stats_of(r, 4, &s);
    assert_int_equal(s.n, 4);
    assert_int_equal(s.hits, 2);
    assert_true(s.hit_rate == 0.5 && s.best == 0.03 && s.worst == -0.01);
    assert_true(fabs(s.mean - 0.01) < 1e-17 && fabs(s.median - 0.01) < 1e-17);
    assert_true(fabs(s.stdev - sqrt(0.001 / 3)) < 1e-16); /* squares 4, 4, 1, 1 of 0.01, over n - 1 */
    double odd[] = {5, 1, 3};
    return_stats_of(odd, 3, &s);
    assert_true(s.median == 3 && s.stdev == 2);
    return_stats_of(odd, 1, &s);
    assert_true(s.n == 1 && s.stdev == 0 && s.median == 1 && s.hit_rate == 1);
    return_stats_of(odd, 0, &s);
    assert_true(s.n == 0 && s.mean == 0);
}

/* Any order of the same returns gives the same bits. */
static void test_order(void **state)
{
    (void)state;
    enum { N = 257 };
    double up[N], mixed[N];
    struct return_stats a, b;
    for (int i = 0; i < N; i++)
        up[i] = mixed[i * 100 % N] = sqrt(i) / 1000 - 0.005;
    return_stats_of(up, N, &a);
    return_stats_of(mixed, N, &b);
    assert_memory_equal(&a, &b, sizeof a);
    for (int i = 1; i < N; i++)
        assert_true(mixed[i - 1] <= mixed[i]);
}

static void test_bins(void **state)
{
    (void)state;
    unsigned before = return_bin(-2e6);
    assert_int_equal(return_bin(0.0), RETURN_BINS_SIDE);
    assert_int_equal(return_bin(-0.0), RETURN_BINS_SIDE);
    assert_int_equal(return_bin(1e-13), RETURN_BINS_SIDE);
    assert_int_equal(before, 0);
    assert_int_equal(return_bin(HUGE_VAL), RETURN_BINS - 1);
    for (int side = -1; side <= 1; side += 2)
        for (double x = 2e-12; x < 1e6; x *= 1.01) {
            double r = side * x, middle = return_bin_middle(return_bin(r));
            assert_true(fabs(middle - r) <= fabs(r) / 64);
            assert_int_equal(return_bin(middle), return_bin(r));
        }
    for (double r = -1; r < 1; r += 0.001) {
        assert_true(return_bin(r) >= before);
        before = return_bin(r);
    }
}

/* Parts that are merged say what one pass over all says, and what the exact form says. */
static void test_moments(void **state)
{
    (void)state;
    enum { N = 3000 };
    static double r[N];
    static uint64_t count[RETURN_BINS];
    struct return_moments part[3] = {{0}}, all = {0};
    struct return_stats exact, got;
    srand(1);
    for (int i = 0; i < N; i++) {
        r[i] = (double)(rand() % 2001 - 900) / 1e5;
        return_moments_add(&part[i < 10 ? 0 : 1], r[i]);
        count[return_bin(r[i])]++;
    }
    for (int k = 0; k < 3; k++) /* the last one is empty */
        return_moments_merge(&all, &part[k]);
    return_stats_from(&all, count, &got);
    return_stats_of(r, N, &exact);
    assert_int_equal(got.n, exact.n);
    assert_int_equal(got.hits, exact.hits);
    assert_true(got.best == exact.best && got.worst == exact.worst && got.hit_rate == exact.hit_rate);
    assert_true(fabs(got.mean - exact.mean) < 1e-15 && fabs(got.stdev - exact.stdev) < 1e-14);
    assert_true(fabs(got.median - exact.median) <= fabs(exact.median) / 64);
    return_stats_from(&part[2], count, &got);
    assert_true(got.n == 0 && got.median == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bins),
        cmocka_unit_test(test_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
