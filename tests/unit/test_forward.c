#include "workers/forward.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define S   INT64_C(1000000000)
#define MIN (60 * S)
#define H   (60 * MIN)
#define DAY (24 * H)
#define D   (INT64_C(15000) * DAY) /* some midnight */

enum { EXCHANGE, ROUND_THE_CLOCK };

/* Calendar 0: 8 to 21 h with the market from 13 to 20 h, on days 0, 1 and 4; calendar 1: without a break. */
static struct forward *start(unsigned calendar)
{
    struct forward *f = forward_new(INT64_MIN, INT64_MAX);
    for (int64_t d = 0; d < 5; d++) {
        int64_t at = D + d * DAY;
        if (d < 2 || d == 4)
            assert_true(
                forward_add_day(f, EXCHANGE, (int64_t[]){at + 8 * H, at + 13 * H, at + 20 * H, at + 21 * H}));
        assert_true(forward_add_day(f, ROUND_THE_CLOCK, (int64_t[]){at, at, at + DAY, at + DAY}));
    }
    forward_add_symbol(f, 0, calendar, true);
    forward_add_symbol(f, 1, calendar, true);
    return f;
}

static void alert(struct forward *f, int64_t at, int64_t price)
{
    forward_add_alert(f, &(struct forward_alert){.time_ns = D + at, .price_e9 = price * S});
}

static void trade(struct forward *f, int64_t at, int64_t price)
{
    forward_trade(f, 0, D + at, price * S);
}

static void expect(const struct forward *f, size_t i, int64_t m1, int64_t m5, int64_t m15, int64_t m60,
                   int64_t close)
{
    const int64_t want[] = {m1, m5, m15, m60, close};
    double r;
    for (int h = 0; h < FORWARD_HORIZONS; h++) {
        const struct forward_alert *a = &forward_alerts(f)[i];
        bool there = forward_return(a, (enum forward_horizon)h, &r);
        assert_int_equal(there, want[h] != 0);
        if (there)
            assert_true(r == (double)want[h] / (double)(a->price_e9 / S) - 1);
    }
}

static void test_prices(void **state)
{
    (void)state;
    struct forward *f = start(EXCHANGE);
    trade(f, 14 * H, 100);
    alert(f, 14 * H, 100);
    trade(f, 14 * H + MIN, 101);     /* at the time itself: counts */
    trade(f, 14 * H + MIN, 102);     /* the last of several */
    trade(f, 14 * H + MIN + 1, 103); /* too late for 1m */
    trade(f, 14 * H + 30 * S, 500);  /* behind a later one: never counts */
    trade(f, 14 * H + 16 * MIN, 104);
    alert(f, 14 * H + 17 * MIN, 104);
    trade(f, 20 * H, 110);
    trade(f, 20 * H + S, 111);
    alert(f, 20 * H + S, 111); /* behind the close */
    trade(f, 20 * H + 6 * MIN, 112);
    forward_end(f);
    expect(f, 0, 102, 103, 103, 104, 110);
    expect(f, 1, 104, 104, 104, 104, 110);
    expect(f, 2, 111, 111, 0, 0, 0);
    assert_int_equal(forward_alerts(f)[0].day, 15000);
    forward_free(f);
}

/* What the data of the day does not reach has no return; nor what is behind the day; data of another symbol
 * is data. */
static void test_ends(void **state)
{
    (void)state;
    struct forward *f = start(EXCHANGE);
    trade(f, 19 * H, 100);
    alert(f, 19 * H + 30 * MIN, 100);
    forward_quote(f, 1, D + 19 * H + 36 * MIN);
    trade(f, DAY + 9 * H, 200); /* the next day */
    alert(f, DAY + 20 * H + 30 * MIN, 200);
    trade(f, DAY + 22 * H, 201); /* behind the day's end */
    trade(f, 4 * DAY + 19 * H, 300);
    alert(f, 4 * DAY + 19 * H, 300);
    forward_quote(f, 1, D + 4 * DAY + 20 * H - MIN); /* into the last minute: the close */
    forward_end(f);
    expect(f, 0, 100, 100, 0, 0, 0);
    expect(f, 1, 200, 200, 200, 0, 0);
    expect(f, 2, 300, 300, 300, 0, 300);
    const struct forward_day *day;
    assert_int_equal(forward_days(f, &day), 3);
    assert_true(day[0].day == 15000 && day[2].day == 15004 && day[1].trades == 2);
    assert_int_equal(forward_symbol_days(f, 0), 3);
    static uint64_t count[RETURN_BINS];
    struct return_stats s;
    forward_baseline(f, NULL, FORWARD_60M, &s, count);
    assert_int_equal(s.n, 11 * 60 + 1); /* only the second day is long enough: from 9:00 to 20:00 */
    forward_free(f);
}

/* Midnight is no end where the next day begins right there, but it is the close; a missing day is an end. */
static void test_round_the_clock(void **state)
{
    (void)state;
    struct forward *f = start(ROUND_THE_CLOCK);
    trade(f, 23 * H + 30 * MIN, 100);
    alert(f, 23 * H + 30 * MIN, 100);
    trade(f, DAY + 10 * MIN, 110);
    trade(f, DAY + 40 * MIN, 120);
    alert(f, DAY + 40 * MIN, 120);
    trade(f, DAY + 50 * MIN, 130);
    trade(f, 3 * DAY, 140);
    forward_end(f);
    expect(f, 0, 100, 100, 100, 110, 100);
    expect(f, 1, 120, 120, 0, 0, 0);
    forward_free(f);
}

static void test_baseline(void **state)
{
    (void)state;
    static uint64_t count[RETURN_BINS];
    struct return_stats s;
    struct forward *f = start(EXCHANGE);
    trade(f, 19 * H + 50 * MIN - 10 * S, 100);
    trade(f, 19 * H + 55 * MIN, 150);
    trade(f, 20 * H, 120);
    trade(f, 20 * H + 2 * MIN, 240);
    forward_end(f);
    forward_baseline(f, NULL, FORWARD_1M, &s, count);
    assert_int_equal(s.n, 12); /* bases 19:50 … 20:01 */
    assert_true(s.hits == 2 && s.best == 1.0 && s.worst == 120.0 / 150 - 1 && s.median == 0);
    forward_baseline(f, NULL, FORWARD_5M, &s, count);
    assert_int_equal(s.n, 8);
    forward_baseline(f, NULL, FORWARD_15M, &s, count);
    assert_int_equal(s.n, 0);
    forward_baseline(f, NULL, FORWARD_CLOSE, &s, count);
    assert_int_equal(s.n, 10); /* 19:50 … 19:59: five from 100, five from 150 */
    assert_int_equal(s.hits, 5);
    bool none[2] = {false, true};
    forward_baseline(f, none, FORWARD_1M, &s, count);
    assert_int_equal(s.n, 0);
    forward_free(f);
}

/* An alert of a clock may be the first of its day, and one without price has no return. */
static void test_alerts_first(void **state)
{
    (void)state;
    struct forward *f = start(EXCHANGE);
    trade(f, 19 * H, 100);
    alert(f, DAY + 8 * H, 100);
    alert(f, DAY + 8 * H, 0);
    trade(f, DAY + 8 * H + 2 * MIN, 90);
    forward_end(f);
    expect(f, 0, 100, 0, 0, 0, 0);
    expect(f, 1, 0, 0, 0, 0, 0);
    assert_false(forward_add_day(f, EXCHANGE, (int64_t[]){4, 3, 2, 1}));
    assert_false(forward_add_day(f, 99, (int64_t[]){1, 2, 3, 4}));
    forward_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prices),          cmocka_unit_test(test_ends),
        cmocka_unit_test(test_round_the_clock), cmocka_unit_test(test_baseline),
        cmocka_unit_test(test_alerts_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
