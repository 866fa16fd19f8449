/* Daily bars at the boundaries of days, by hand: a symbol's first day, days that switch, half days, holidays,
 * the year's end, late prints, files and streams that know the same date; and that a rule that comes late
 * sees what one sees that was always there. */
#include "tests/unit/engine_harness.h"

#include "core/decimal.h"
#include "net/calendar.h"
#include "net/source.h"

static struct calendars *calendars;

static int setup(void **state)
{
    (void)state;
    struct error err;
    calendars = calendars_open("", &err);
    return calendars ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    calendars_close(calendars);
    return 0;
}

static int64_t utc(const char *text)
{
    int64_t ns;
    char whole[40];
    snprintf(whole, sizeof whole, "%s%s", text, strlen(text) == 10 ? "T00:00:00Z" : "Z");
    assert_int_equal(decimal_parse_time(whole, strlen(whole), &ns), DECIMAL_OK);
    return ns;
}

static void put_days(struct tape *t, unsigned calendar, const char *from, unsigned n)
{
    int64_t at[4], next = utc(from);
    for (unsigned i = 0; i < n; i++, next = at[0] + 1) {
        assert_true(calendar_day(calendars, calendar, next, at));
        put_setting(t, "calendar.0=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, at[0], at[1], at[2], at[3]);
    }
}

/* A rule that fires at each trade and shows the metrics of a list. */
static void put_watch(struct tape *t, uint32_t slot, const char *id, const char *metrics)
{
    char expr[4000] = "price > 0 and (price > 0", copy[2000], *save = NULL;
    strcpy(copy, metrics);
    for (char *m = strtok_r(copy, " ", &save); m; m = strtok_r(NULL, " ", &save))
        sprintf(expr + strlen(expr), " or %s > 1", m);
    strcat(expr, ")");
    put_rule(t, slot, &(struct rule_spec){.id = id, .expr = expr});
}

/* One line for each alert: its metrics after `price`, `?` for no value. */
static void operands_text(const struct msg *m, const char *metrics, char *out)
{
    char copy[2000], *save = NULL;
    unsigned i = 1;
    strcpy(copy, metrics);
    *out = 0;
    for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save), i++) {
        struct metric parsed;
        struct error err;
        assert_int_equal(metric_parse(name, strlen(name), &parsed, &err), 0);
        int64_t bits = alert_operand(m, i);
        double v = metric_unit(&parsed) == UNIT_PRICE ? (double)bits / 1e9 : bits_double(bits);
        out += bits == ALERT_UNKNOWN ? sprintf(out, "%s?", i > 1 ? " " : "")
                                     : sprintf(out, "%s%.6g", i > 1 ? " " : "", v);
    }
}

/* A step: `at` a time, then "PRICE SIZE" of a trade, "clock", "history DATE O H L C V". Trades have the
 * values that are expected then, or NULL. */
struct step {
    const char *at, *what, *values;
};

static void run(const char *what, unsigned calendar, const char *from, unsigned days, const char *metrics,
                const struct step *step, size_t n)
{
    struct tape t = {0};
    struct bench b;
    const char *expected[64];
    size_t trades = 0, k = 0;
    put_days(&t, calendar, from, days);
    put_watch(&t, 0, "w", metrics);
    put_symbol(&t, 0, "A", 0, 0, 0);
    for (size_t i = 0; i < n; i++) {
        double p[4];
        unsigned long size;
        char date[16];
        if (!strcmp(step[i].what, "clock")) {
            put_clock(&t, 0, utc(step[i].at));
        } else if (sscanf(step[i].what, "history %15s %lf %lf %lf %lf %lu", date, &p[0], &p[1], &p[2], &p[3],
                          &size) == 6) {
            struct msg_history_bar h = {PX(p[0]), PX(p[1]), PX(p[2]), PX(p[3]), size, DAY};
            put_history(&t, 0, utc(date), &h);
        } else {
            assert_int_equal(sscanf(step[i].what, "%lf %lu", &p[0], &size), 2);
            put_trade(&t, 0, utc(step[i].at), PX(p[0]), size);
            if (strcmp(step[i].values, "late"))
                expected[trades++] = step[i].values;
        }
    }
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    bench_apply(&b, &t, 0);
    for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
        char text[1000];
        if (b.events.slot[at].type != MSG_ALERT)
            continue;
        operands_text(&b.events.slot[at], metrics, text);
        assert_true(k < trades);
        if (expected[k] && strcmp(expected[k], text))
            fail_msg("%s, trade %zu: %s are %s, expected %s", what, k, metrics, text, expected[k]);
        k++;
    }
    assert_int_equal(k, trades);
    assert_int_equal(engine_counters(b.e)->rules_refused, 0);
    bench_close(&b);
    tape_free(&t);
}

#define RUN(what, calendar, from, days, metrics, step)                                                       \
    run(what, calendar, from, days, metrics, step, sizeof(step) / sizeof *(step))

static void test_first_days(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"2026-11-23T10:00:00", "10 5", "? ? 0 ? ? ?"},  /* Monday, premarket: the range of today alone */
        {"2026-11-23T14:30:00", "12 5", "? ? 2 12 ? ?"}, /* the market opens: today's bar is there */
        {"2026-11-23T20:59:59", "11 10", "? ? 2 11 ? ?"},
        {"2026-11-23T21:30:00", "9 10", "? ? 3 11 ? ?"},        /* postmarket: no price of the bar's */
        {"2026-11-24T09:00:00", "11 1", "0 30 0 11 ? 3.33333"}, /* the day before is over */
        {"2026-11-24T14:30:00", "22 1", "100 30 11 22 100 6.66667"},
    };
    RUN("first days", CALENDAR_US_EQUITY, "2026-11-23", 5,
        "change_pct_1d avg_volume_1d range_1d sma(1)@1d roc(1)@1d relative_volume_daily", steps);
}

static void test_half_days(void **state)
{
    (void)state;
    static const char metrics[] = "change_pct_1d change_from_close_postmarket avg_volume_1d sma(1)@1d";
    static const struct step november[] = {
        {"2026-11-25T20:59:59", "100 10", "? ? ? 100"},
        {"2026-11-26T15:00:00", "101 1", "? ? ? 100"}, /* a holiday: Wednesday is in force, closed */
        {"2026-11-27T17:59:59", "110 5", "10 ? 11 110"},
        {"2026-11-27T18:00:00", "120 5", "20 10 11 110"}, /* a half day: postmarket */
        {"2026-11-27T22:30:00", "130 5", "30 10 11 110"}, /* closed */
        {"2026-11-30T14:30:00", "121 1", "10 ? 15 121"},
    };
    static const struct step december[] = {
        {"2026-12-23T20:00:00", "50 1", "? ? ? 50"},  {"2026-12-24T17:59:59", "60 2", "20 ? 1 60"},
        {"2026-12-24T18:00:00", "66 2", "32 6 1 60"}, {"2026-12-28T14:29:59", "66 3", "10 ? 4 60"},
        {"2026-12-28T14:30:00", "66 3", "10 ? 4 66"},
    };
    static const struct step new_year[] = {
        {"2026-12-31T20:59:59", "20 4", "? ? ? 20"},
        {"2027-01-01T15:00:00", "21 1", "? ? ? 20"},
        {"2027-01-04T14:30:00", "25 1", "25 ? 5 25"},
    };
    RUN("Thanksgiving", CALENDAR_US_EQUITY, "2026-11-23", 8, metrics, november);
    RUN("Christmas", CALENDAR_US_EQUITY, "2026-12-21", 8, metrics, december);
    RUN("New Year", CALENDAR_US_EQUITY, "2026-12-28", 8, metrics, new_year);
}

static void test_premarket(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"2026-11-23T10:00:00", "10 1", "? ?"},  {"2026-11-23T15:00:00", "10 1", "? ?"},
        {"2026-11-24T10:00:00", "12 1", "2 20"}, {"2026-11-24T14:29:00", "11 1", "1 10"},
        {"2026-11-24T15:00:00", "20 1", "1 10"}, /* stays */
        {"2026-11-24T22:00:00", "21 1", "1 10"}, {"2026-11-25T15:00:00", "22 1", "? ?"},
    };
    RUN("premarket", CALENDAR_US_EQUITY, "2026-11-23", 5,
        "change_from_close_premarket change_from_close_premarket_pct", steps);
}

static void test_midnight(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"2026-12-31T23:59:59.9", "10 1", "? ? ? ?"},
        {"2027-01-01T00:00:00", "11 2", "10 1 1 10.5"},
        {"2026-12-31T23:59:59.95", "13 4", "30 5 3 11.5"}, /* out of order: of the bar of the day before */
        {"2027-01-01T00:00:02", "11 1", "10 5 3 10.5"},
        {"2026-12-31T23:59:59", "7 8", "late"},
        {"2027-01-01T00:00:03", "11 1", "10 13 6 10.5"},
        {"2027-01-01T00:00:04", "clock", NULL},
        {"2027-01-01T00:05:00", "11 1", "10 13 6 10.5"},
        {"2027-01-01T00:00:01", "20 9", "late"}, /* of today */
        {"2027-01-01T00:05:01", "11 1", "10 13 13 10.5"},
    };
    RUN("midnight UTC", CALENDAR_UTC24, "2026-12-30", 5, "change_pct_1d avg_volume_1d range_2d sma(2)@1d",
        steps);
}

static void test_history(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"", "history 2026-11-25 10 12 9 11 300", NULL},
        {"", "history 2026-11-23 10 11 10 10 100", NULL},
        {"", "history 2026-11-24 10 20 8 10 200", NULL},
        {"", "history 2026-11-20 10 9 11 10 5", NULL}, /* refused: its low is its high */
        {"2026-11-27T15:00:00", "22 7", "200 14 120 11"},
        {"", "history 2026-11-27 20 30 20 25 900", NULL}, /* today's: from tomorrow on */
        {"2026-11-27T15:01:00", "22 1", "200 14 120 11"},
        {"2026-11-30T15:00:00", "25 1", "466.667 21 150 0"},
        {"", "history 2026-11-25 10 12 9 11 600", NULL}, /* replaces the first */
        {"2026-11-30T15:00:01", "25 1", "566.667 21 150 0"},
    };
    RUN("history", CALENDAR_US_EQUITY, "2026-11-23", 8,
        "avg_volume_3d range_3d change_pct_3d change_from_close", steps);
}

static void test_same_time(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"2026-11-23T14:30:10", "10 100", "?"},
        {"2026-11-23T14:31:10", "10 50", "?"},
        {"2026-11-24T10:00:00", "10 40", "?"},   /* no premarket is kept from its start */
        {"2026-11-24T14:30:00", "10 40", "140"}, /* no flood: the first minute counts as whole */
        {"2026-11-24T14:30:30", "10 10", "100"},
        {"2026-11-24T14:31:00", "10 5", "70"},
        {"2026-11-24T14:33:00", "10 20", "50"},
        {"2026-11-25T14:31:00", "10 1", "27.8049"}, /* sessions before: 150 and 55, in the minute 50 and 5 */
    };
    RUN("same time", CALENDAR_US_EQUITY, "2026-11-23", 5, "relative_volume_same_time", steps);
}

/* A thin premarket says nothing of the market: its first second is measured by the market's bars of the day
 * before, and what is left of the bar is forecast. */
static void test_open(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"2026-11-23T14:30:10", "10 100", "? ?"},
        {"2026-11-23T14:35:10", "10 300", "396.667 383.333"},
        {"2026-11-24T14:00:00", "10 5", "? ?"}, /* premarket: no bar of one is there */
        {"2026-11-24T14:29:59", "10 5", "100.333 101.667"},
        {"2026-11-24T14:30:00", "10 20", "110 110"},
        {"2026-11-24T14:30:01", "10 20", "119.667 118.333"},
    };
    RUN("the open", CALENDAR_US_EQUITY, "2026-11-23", 3, "relative_volume_5m relative_volume_1m", steps);
}

/* The newest 260 stay, in whatever order they come; windows end where they say. */
static void test_kept(void **state)
{
    (void)state;
    static const char metrics[] = "biggest_range_1y biggest_range_3m avg_volume_252d position_in_range_1y";
    for (int backwards = 0; backwards < 2; backwards++) {
        struct tape t = {0};
        struct bench b;
        char text[200];
        put_days(&t, CALENDAR_UTC24, "2027-01-01", 2);
        put_watch(&t, 0, "w", metrics);
        put_symbol(&t, 0, "A", 0, 0, 0);
        for (int i = 0; i < 300; i++) {
            int ago = backwards ? 1 + i : 300 - i;
            double range = ago == 253 ? 50 : ago == 252 ? 30 : ago == 64 ? 20 : ago == 63 ? 10 : 1;
            put_history(&t, 0, utc("2027-01-01") - ago * DAY,
                        &(struct msg_history_bar){PX(100), PX(100 + range), PX(100), PX(100),
                                                  ago > 252 ? 1 : 5, DAY});
        }
        put_trade(&t, 0, utc("2027-01-01T00:00:01"), PX(110), 1);
        tape_stamp(&t, 1);
        bench_open(&b, NULL);
        bench_apply(&b, &t, 0);
        assert_int_equal(engine_counters(b.e)->alerts, 1);
        operands_text(b.events.slot, metrics, text);
        assert_string_equal(text, "30 10 5 50"); /* 251 days and today: the highest is 120, not 130 */
        bench_close(&b);
        tape_free(&t);
    }
}

/* Whenever a rule comes, its values are those of one that was there from the beginning. */
static void test_late_rule(void **state)
{
    (void)state;
    static const char metrics[] =
        "rsi(3)@1d sma(5)@1d atr(14)@1d obv@1d change_pct_5d avg_volume_10d range_5d position_in_range_20d "
        "biggest_range_1m relative_range_pct relative_volume_daily relative_volume_same_time vwap_dist_1d "
        "change_from_close_premarket change_from_close_postmarket";
    uint64_t seed = seed_or(11);
    struct tape t = {0};
    struct bench b;
    int64_t start = utc("2026-11-24T09:00:00"), eleven = utc("2026-11-27T16:00:00"), price = PX(100);
    size_t values = 0, pairs = 0;
    bool late = false;
    const struct msg *before = NULL;
    put_days(&t, CALENDAR_US_EQUITY, "2026-11-23", 8);
    put_watch(&t, 0, "early", metrics);
    put_symbol(&t, 0, "A", 0, 0, 0);
    for (int i = 0; i < 30; i++)
        put_history(&t, 0, start - start % DAY - (30 - i) * DAY,
                    &(struct msg_history_bar){PX(99), PX(102 + i % 4), PX(97 - i % 3), PX(100 + i % 5 - 2),
                                              1000 + random_below(&seed, 500), DAY});
    for (int64_t now = start; now < eleven + 4 * 3600 * SEC; now += random_below(&seed, 600) * SEC) {
        if (!late && now >= eleven)
            put_watch(&t, 1, "late", metrics);
        late |= now >= eleven;
        price += ((int64_t)random_below(&seed, 41) - 20) * PX(0.05);
        put_trade(&t, 0, now - (one_in(&seed, 8) ? random_below(&seed, 90000) * SEC : 0), price,
                  1 + random_below(&seed, 50));
    }
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    bench_apply(&b, &t, 0);
    for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
        const struct msg *m = &b.events.slot[at];
        struct msg_alert a;
        if (m->type != MSG_ALERT)
            continue;
        alert_head(m, &a);
        if (a.rule == 0) {
            before = m;
            continue;
        }
        assert_non_null(before);
        assert_int_equal(m->event_ns, before->event_ns);
        for (unsigned i = 0; i < a.n_operands; i++) {
            assert_int_equal(alert_operand(m, i), alert_operand(before, i));
            values += alert_operand(m, i) != ALERT_UNKNOWN;
        }
        pairs++;
    }
    assert_true(pairs > 20 && values > 12 * pairs);
    bench_close(&b);
    tape_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_days), cmocka_unit_test(test_half_days), cmocka_unit_test(test_premarket),
        cmocka_unit_test(test_midnight),   cmocka_unit_test(test_history),   cmocka_unit_test(test_same_time),
        cmocka_unit_test(test_open),       cmocka_unit_test(test_kept),      cmocka_unit_test(test_late_rule),
    };
    return cmocka_run_group_tests_name("engine_days", tests, setup, teardown);
}
