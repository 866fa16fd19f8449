/* What happens to a symbol besides trades: cancels and corrections, halts, splits, minutes without a trade.
 * The reference test has them at random; here each is by itself. */
#include "tests/unit/engine_harness.h"

#include <unistd.h>

#include "net/splits.h"

#define OPEN (T0 + 15 * 60 * MIN) /* within the market session */

static const struct engine_limits limits = {
    .symbols = 8, .ids = 16, .rules = 64, .metrics = 256, .fires = 4096, .bars = 2048, .trades = 1000};

static void begin(struct tape *t)
{
    put_setting(t, "bars.corrections=true");
    for (int day = 0; day < 2; day++)
        put_setting(t, "calendar.0=%lld,%lld,%lld,%lld", (long long)(T0 + day * DAY + 9 * 60 * MIN),
                    (long long)(T0 + day * DAY + 14 * 60 * MIN), (long long)(T0 + day * DAY + 21 * 60 * MIN),
                    (long long)(T0 + day * DAY + 23 * 60 * MIN));
    put_symbol(t, 0, "A", 0, 0, 0);
}

static void put_print(struct tape *t, int64_t ns, double price, uint64_t size, uint64_t id)
{
    put_trade(t, 0, ns, PX(price), size);
    t->slot[t->n - 1].trade.trade_id = id;
}

static void put_correction(struct tape *t, int64_t ns, double price, uint64_t size, uint64_t id)
{
    put_print(t, ns, price, size, id);
    t->slot[t->n - 1].flags |= MSG_F_CORRECTION;
}

static struct bench run_with(struct tape *t, const struct engine_limits *l)
{
    struct bench b;
    tape_stamp(t, 1);
    bench_open(&b, l);
    bench_apply(&b, t, 1);
    tape_free(t);
    return b;
}

static struct bench run(struct tape *t)
{
    return run_with(t, &limits);
}

/* The n-th BAR that was emitted. */
static struct msg_bar bar_of(const struct bench *b, unsigned n)
{
    for (size_t at = 0; at < b->events.n; at += msg_slot_count(&b->events.slot[at]))
        if (b->events.slot[at].type == MSG_BAR && n-- == 0)
            return msg_bar_get(&b->events.slot[at]);
    fail_msg("no such bar");
    return (struct msg_bar){0};
}

static void assert_bar(const struct bench *b, unsigned n, double open, double high, double low, double close,
                       uint64_t volume, uint32_t trades, uint32_t revision)
{
    struct msg_bar x = bar_of(b, n);
    assert_int_equal(x.open_e9, PX(open));
    assert_int_equal(x.high_e9, PX(high));
    assert_int_equal(x.low_e9, PX(low));
    assert_int_equal(x.close_e9, PX(close));
    assert_int_equal(x.volume, volume);
    assert_int_equal(x.trades, trades);
    assert_int_equal(x.revision, revision);
}

static void test_live_cancel(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_print(&t, OPEN, 10, 100, 1);
    put_print(&t, OPEN + SEC, 11, 30, 2);
    put_print(&t, OPEN + 2 * SEC, 12, 5, 3);
    put_cancel(&t, 0, OPEN + 3 * SEC, 3);
    put_cancel(&t, 0, OPEN + 3 * SEC, 1);
    struct bench b = run(&t);
    struct engine_view v = engine_view(b.e, 0);
    assert_true(v.price_e9 == PX(11) && v.open_e9 == PX(11) && v.high_e9 == PX(11) && v.low_e9 == PX(11));
    assert_true(v.live_volume == 30 && v.live_trades == 1 && v.day_volume == 30);
    assert_true(v.live_pv == (__int128)PX(11) * 30);
    assert_int_equal(engine_counters(b.e)->cancels, 2);
    bench_close(&b);
}

/* A final bar is revised; one that has lost all its prints is empty, at the price before it, and gone; a late
 * print that makes it again goes on with the revisions. */
static void test_final_cancel(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_print(&t, OPEN, 10, 100, 1);
    put_print(&t, OPEN + MIN, 20, 7, 2);
    put_print(&t, OPEN + MIN + SEC, 11, 30, 3);
    put_print(&t, OPEN + 5 * MIN, 12, 1, 4);
    put_cancel(&t, 0, OPEN + 5 * MIN + SEC, 2);
    put_cancel(&t, 0, OPEN + 5 * MIN + 2 * SEC, 3);
    put_print(&t, OPEN + MIN + 2 * SEC, 10.5, 9, 5);
    struct bench b = run(&t);
    assert_bar(&b, 0, 10, 10, 10, 10, 100, 1, 0);
    assert_bar(&b, 1, 20, 20, 11, 11, 37, 2, 0);
    assert_bar(&b, 2, 11, 11, 11, 11, 30, 1, 1);
    assert_bar(&b, 3, 10, 10, 10, 10, 0, 0, 2);
    assert_bar(&b, 4, 10.5, 10.5, 10.5, 10.5, 9, 1, 3);
    assert_int_equal(engine_view(b.e, 0).price_e9, PX(12));
    assert_int_equal(engine_view(b.e, 0).day_volume, 110);
    bench_close(&b);
}

/* The corrected print stands where the first one stood: here the open. */
static void test_correction(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_print(&t, OPEN, 100, 10, 1);
    put_print(&t, OPEN + SEC, 11, 20, 2);
    put_cancel(&t, 0, OPEN + 2 * SEC, 1);
    put_correction(&t, OPEN + 2 * SEC, 10, 15, 3);
    put_correction(&t, OPEN + 2 * SEC, 50, 15, 4); /* of nothing */
    put_cancel(&t, 0, OPEN + 3 * SEC, 1);          /* is 3 now */
    struct bench b = run(&t);
    struct engine_view v = engine_view(b.e, 0);
    assert_true(v.open_e9 == PX(10) && v.high_e9 == PX(11) && v.low_e9 == PX(10) && v.close_e9 == PX(11));
    assert_true(v.price_e9 == PX(11) && v.live_volume == 35 && v.live_trades == 2);
    assert_int_equal(engine_counters(b.e)->corrections, 1);
    assert_int_equal(engine_counters(b.e)->corrections_unkept, 1);
    assert_int_equal(engine_counters(b.e)->cancels_unkept, 1);
    bench_close(&b);
}

/* What is not kept is not cancelled: another day's, an id that nobody had, what had to go for want of room.
 */
static void test_unkept(void **state)
{
    (void)state;
    struct tape t = {0};
    struct engine_limits small = limits;
    small.trades = 40;
    begin(&t);
    for (uint64_t i = 1; i <= 61; i++)
        put_print(&t, OPEN + (int64_t)i * MIN, 10 + (double)i, 1, i);
    put_cancel(&t, 0, OPEN + 62 * MIN, 21);
    put_cancel(&t, 0, OPEN + 62 * MIN, 0);
    put_cancel(&t, 0, OPEN + 62 * MIN, 99);
    put_cancel(&t, 0, OPEN + 62 * MIN, 61);
    put_print(&t, OPEN + DAY, 10, 1, 100);
    put_cancel(&t, 0, OPEN + DAY, 60);
    put_cancel(&t, 0, OPEN + DAY, 100); /* the price is the last one of the day before */
    struct bench b = run_with(&t, &small);
    assert_int_equal(engine_counters(b.e)->trades_dropped, 40);
    assert_int_equal(engine_counters(b.e)->cancels, 2);
    assert_int_equal(engine_counters(b.e)->cancels_unkept, 4);
    assert_int_equal(engine_view(b.e, 0).price_e9, PX(70));
    assert_int_equal(engine_view(b.e, 0).day_volume, 0);
    bench_close(&b);
}

static unsigned alerts_of(const struct bench *b, uint32_t rule)
{
    unsigned n = 0;
    for (size_t at = 0; at < b->events.n; at += msg_slot_count(&b->events.slot[at])) {
        struct msg_alert a;
        if (b->events.slot[at].type != MSG_ALERT)
            continue;
        alert_head(&b->events.slot[at], &a);
        n += a.rule == rule;
    }
    return n;
}

/* A cancel flips silently: nothing fires by it, and the cooldown stays. */
static void test_silent(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "low", .expr = "price < 15"});
    put_rule(&t, 1, &(struct rule_spec){.id = "high", .expr = "price > 15", .cooldown_ns = 60 * SEC});
    put_rule(&t, 2, &(struct rule_spec){.id = "drop", .expr = "price < 15", .trigger = TRIGGER_CROSS});
    put_print(&t, OPEN, 20, 1, 1);
    put_cancel(&t, 0, OPEN + SEC, 1); /* no price at all */
    put_print(&t, OPEN + 2 * SEC, 10, 1, 2);
    put_print(&t, OPEN + 3 * SEC, 20, 1, 3); /* within the cooldown */
    put_cancel(&t, 0, OPEN + 4 * SEC, 3);
    put_quote(&t, 0, OPEN + 5 * SEC, PX(9), PX(11));
    struct bench b = run(&t);
    assert_int_equal(alerts_of(&b, 0), 2); /* the print, the quote */
    assert_int_equal(alerts_of(&b, 1), 1);
    assert_int_equal(alerts_of(&b, 2), 0);
    bench_close(&b);
}

/* A halt holds what does not name it; what still holds fires at the first tick after it. */
static void test_halt(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "price", .expr = "price > 15", .cooldown_ns = 3600 * SEC});
    put_rule(&t, 1, &(struct rule_spec){.id = "halt", .expr = "halted", .trigger = TRIGGER_CROSS});
    put_rule(&t, 2, &(struct rule_spec){.id = "on", .expr = "not halted", .trigger = TRIGGER_CROSS});
    put_print(&t, OPEN, 10, 1, 1);
    put_status(&t, 0, OPEN + SEC, STATUS_HALTED);
    put_status(&t, 0, OPEN + 2 * SEC, STATUS_HALTED);
    put_print(&t, OPEN + 3 * SEC, 20, 1, 2);
    put_print(&t, OPEN + 4 * SEC, 21, 1, 3);
    struct bench b = run(&t);
    assert_int_equal(alerts_of(&b, 0), 0);
    assert_int_equal(alerts_of(&b, 1), 1);
    assert_int_equal(alerts_of(&b, 2), 0);
    assert_true(b.stats[0].held_halt > 0 && b.stats[0].held_session == 0);
    put_status(&t, 0, OPEN + 5 * SEC, STATUS_TRADING);
    put_print(&t, OPEN + 6 * SEC, 20, 1, 4);
    tape_stamp(&t, 100);
    bench_apply(&b, &t, 1);
    assert_int_equal(alerts_of(&b, 0), 1);
    assert_int_equal(alerts_of(&b, 2), 1);
    assert_int_equal(engine_counters(b.e)->halts, 1);
    bench_close(&b);
    tape_free(&t);
}

static void test_flat(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_setting(&t, "bars.flat=true");
    put_print(&t, OPEN, 10, 5, 1);
    put_clock(&t, 0, OPEN); /* the first passes nothing over */
    put_clock(&t, 0, OPEN + 2 * MIN + 30 * SEC);
    put_status(&t, 0, OPEN + 2 * MIN + 40 * SEC, STATUS_HALTED); /* no bars from here */
    put_clock(&t, 0, OPEN + 5 * MIN + 30 * SEC);
    put_print(&t, OPEN + MIN + 5 * SEC, 9, 3, 2); /* the flat bar becomes one of a trade */
    struct bench b = run(&t);
    assert_bar(&b, 0, 10, 10, 10, 10, 5, 1, 0);
    assert_bar(&b, 1, 10, 10, 10, 10, 0, 0, 0);
    assert_bar(&b, 2, 9, 9, 9, 9, 3, 1, 1);
    assert_int_equal(engine_counters(b.e)->bars, 2);
    bench_close(&b);
}

static void test_split(void **state)
{
    (void)state;
    struct tape t = {0};
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "r", .expr = "change_from_close == 0.5 and close == 12.05"});
    put_daily(&t, 0, T0 - DAY, PX(1000));
    put_split(&t, 0, T0 + DAY, 10, 1);
    put_split(&t, 0, T0 + DAY, 10, 0);
    put_print(&t, OPEN, 120.5, 7, 1);
    put_clock(&t, 0, OPEN + 10 * MIN);
    put_split(&t, 0, T0, 2, 1); /* its day has begun */
    put_print(&t, OPEN + DAY, 12.55, 1, 2);
    struct bench b = run(&t);
    assert_bar(&b, 0, 120.5, 120.5, 120.5, 120.5, 7, 1, 0); /* as it was traded */
    assert_int_equal(alerts_of(&b, 0), 1);
    assert_int_equal(engine_counters(b.e)->splits, 1);
    assert_int_equal(engine_counters(b.e)->splits_refused, 2);
    bench_close(&b);
}

static struct splits *load_text(const char *text, struct error *err)
{
    char path[] = "/tmp/splits-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    struct splits *s = splits_load(path, err);
    close(fd);
    unlink(path);
    return s;
}

static void test_file(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"2024-06-10,A\n", ":1: found '2024-06-10,A'; expected DATE,SYMBOL,RATIO"},
        {"# x\n2024-06-31,A,2\n", ":2: found '2024-06-31'; expected a date such as"},
        {"2024-06-10,,2\n", "expected a symbol of 1 to 63 bytes"},
        {"2024-06-10,A,0\n", "found '0'; expected a ratio such as 10:1"},
        {"2024-06-10,A,2:2\n", "expected a ratio"},
        {"2024-06-10,A,-2\n", "expected a ratio"},
        {"2024-06-10,A,2\n2024-06-10,A,3\n", "two splits of A on one date"},
    };
    struct error err;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(load_text(bad[i].text, &err));
        if (!strstr(err.text, bad[i].error))
            fail_msg("found: %s\nexpected: %s", err.text, bad[i].error);
    }
    size_t n;
    struct splits *s =
        load_text("date,symbol,ratio\n2025-01-02,AB,1:8\n2024-06-10,A,10\n2024-01-02,AB,3:2\n", &err);
    assert_non_null(s);
    const struct split_row *r = splits_find(s, "ABC", 2, &n);
    assert_true(n == 2 && r[0].to == 3 && r[0].from == 2 && r[1].to == 1 && r[1].from == 8);
    assert_int_equal(r[1].ex_ns, INT64_C(1735776000) * SEC);
    r = splits_find(s, "A", 1, &n);
    assert_true(n == 1 && r->to == 10 && r->from == 1);
    splits_find(s, "B", 1, &n);
    assert_int_equal(n, 0);
    splits_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_cancel), cmocka_unit_test(test_final_cancel),
        cmocka_unit_test(test_correction),  cmocka_unit_test(test_unkept),
        cmocka_unit_test(test_silent),      cmocka_unit_test(test_halt),
        cmocka_unit_test(test_flat),        cmocka_unit_test(test_split),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests_name("corrections", tests, NULL, NULL);
}
