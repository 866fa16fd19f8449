/* Candles and levels: each by bars at which it just holds and just does not; levels by prices in a market of
 * one symbol; names. */
#include "core/candle.h"

#include <math.h>

#include "tests/unit/engine_harness.h"

enum { BARS_MAX = 32 };

/* "o h l c" or "o h l c v", separated by ';'. */
static size_t bars_of(const char *text, struct bar bar[BARS_MAX])
{
    size_t n = 0;
    for (const char *p = text; p && *p; p = strchr(p, ';') ? strchr(p, ';') + 1 : NULL) {
        double o, h, l, c;
        unsigned long v = 1;
        assert_true(n < BARS_MAX && sscanf(p, "%lf %lf %lf %lf %lu", &o, &h, &l, &c, &v) >= 4);
        bar[n++] =
            (struct bar){.open_e9 = PX(o), .high_e9 = PX(h), .low_e9 = PX(l), .close_e9 = PX(c), .volume = v};
    }
    return n;
}

static double value_after(const char *name, const struct bar *bar, size_t n)
{
    struct metric m;
    struct error err;
    int64_t w[64] = {0};
    struct bar_series b = {.bar = bar, .stride = sizeof *bar, .end = n};
    assert_int_equal(metric_parse(name, strlen(name), &m, &err), 0);
    if (!metric_is_pushed(&m))
        return candle_value(&m, &b);
    assert_true(metric_words(&m) <= sizeof w / sizeof *w);
    for (b.end = 1; b.end <= n; b.end++)
        candle_push(&m, w, &b, 0);
    return candle_pushed(&m, w);
}

#define UNKNOWN_VALUE NAN

/* Ten bodies of 2, and no shadow. */
#define TEN                                                                                                  \
    "10 12 10 12;12 12 10 10;10 12 10 12;12 12 10 10;10 12 10 12;12 12 10 10;10 12 10 12;12 12 10 10;"       \
    "10 12 10 12;12 12 10 10;"

static const struct {
    const char *name, *bars;
    double value;
} tables[] = {
    {"bullish_close", "", UNKNOWN_VALUE},
    {"bullish_close", "10 11 9 10.01", 1},
    {"bullish_close", "10 11 9 10", 0},
    {"bearish_close", "10 11 9 9.99", 1},
    {"bearish_close", "10 11 9 10", 0},
    {"upper_shadow", "", UNKNOWN_VALUE},
    {"upper_shadow", "10 12.01 10 11", 1}, /* 1.01 over a body of 1 */
    {"upper_shadow", "10 12 10 11", 0},
    {"upper_shadow", "11 12.01 10 10", 1},
    {"upper_shadow", "10 10.01 9 10", 1}, /* a doji has no body */
    {"upper_shadow", "10 10 9 10", 0},
    {"lower_shadow", "11 11 8.99 10", 1},
    {"lower_shadow", "11 11 9 10", 0},
    {"lower_shadow", "10 11 8.99 11", 1},
    {"bullish_engulfing", "9 10 8 9.5", UNKNOWN_VALUE},
    {"bullish_engulfing", "11 11 10 10;9 12 9 12", 1},
    {"bullish_engulfing", "11 11 10 10;10 12 10 11.01", 1}, /* one end is the same */
    {"bullish_engulfing", "11 11 10 10;9.99 12 9 11", 1},
    {"bullish_engulfing", "11 11 10 10;10 12 9 11", 0}, /* both are */
    {"bullish_engulfing", "11 11 10 10;9 12 9 10.99", 0},
    {"bullish_engulfing", "11 11 10 10;10.01 12 9 12", 0},
    {"bullish_engulfing", "10 11 10 11;9 12 9 12", 0}, /* white after white */
    {"bullish_engulfing", "10 11 9 10;9 12 9 12", 0},  /* a doji is white */
    {"bullish_engulfing", "11 11 10 10;12 12 9 9", 0}, /* black after black */
    {"bearish_engulfing", "10 11 10 11;12 12 9 9", 1},
    {"bearish_engulfing", "10 11 10 11;11 12 9 9.99", 1},
    {"bearish_engulfing", "10 11 10 11;11 12 9 10", 0},
    {"bearish_engulfing", "10 11 9 10;10 12 9 9.99", 1}, /* engulfs a doji */
    {"bearish_engulfing", "10 11 10 11;10.99 12 9 9", 0},
    {"bearish_engulfing", "11 11 10 10;12 12 9 9", 0},
    {"bullish_harami", "10 12 10 12;" TEN, UNKNOWN_VALUE}, /* 11 bars */
    {"bullish_harami", TEN "14 14 10 10;11 12 11 12", 1},
    {"bullish_harami", TEN "14 14 10 10;12 12 11 11", 1},       /* whatever its own colour */
    {"bullish_harami", TEN "14 14 10 10;10 12 10 12", 1},       /* one end the same, 2 <= the mean of 2.2 */
    {"bullish_harami", TEN "14 14 10 10;11 13.2 11 13.2", 1},   /* 2.2 is the mean */
    {"bullish_harami", TEN "14 14 10 10;11 13.21 11 13.21", 0}, /* too long */
    {"bullish_harami", TEN "14 14 10 10;9.99 11 9 11", 0},      /* beyond an end */
    {"bullish_harami", TEN "12.01 13 10 10;11 12 11 12", 1},
    {"bullish_harami", TEN "12 13 10 10;11 12 11 12", 0}, /* a body of 2 is not over the mean of 2 */
    {"bullish_harami", TEN "10 14 10 14;11 12 11 12", 0},
    {"bearish_harami", TEN "10 14 10 14;12 12 11 11", 1},
    {"bearish_harami", TEN "10 14 10 14;14 14 13 13", 1},
    {"bearish_harami", TEN "10 14 10 14;14.01 14.01 13 13", 0},
    {"bearish_harami", TEN "14 14 10 10;12 12 11 11", 0},
    {"inside_bar", "10 12 9 11", UNKNOWN_VALUE},
    {"inside_bar", "10 12 9 11;10 11.99 9.01 11", 1},
    {"inside_bar", "10 12 9 11;10 12 9.01 11", 0},
    {"inside_bar", "10 12 9 11;10 11.99 9 11", 0},
    {"running_up(2)", "1 2 1 1;1 3 2 2", UNKNOWN_VALUE},
    {"running_up(2)", "1 2 1 1;2 3 2 2;3 4 3 3", 1},
    {"running_up(2)", "1 2 1 1;2 3 2 2;3 3 3 3", 0}, /* the same high */
    {"running_up(2)", "1 2 1 1;2 3 2 2;3 4 2 3", 0},
    {"running_up(2)", "1 2 1 1;1 3 1 2;3 4 3 3", 0}, /* the first of the two */
    {"running_up(1)", "1 2 1 1;1 3 1 2;3 4 3 3", 1},
    {"running_up", "1 2 1 1;2 3 2 2;3 4 3 3;4 5 4 4", 1},
    {"running_down(2)", "3 4 3 3;2 3 2 2;1 2 1 1", 1},
    {"running_down(2)", "3 4 3 3;2 3 2 2;2 3 1 1", 0},
    {"running_down(2)", "3 4 3 3;2 3 2 2;2 2 2 2", 0},
    {"consecutive_candles", "", UNKNOWN_VALUE},
    {"consecutive_candles", "1 2 1 2", 1},
    {"consecutive_candles", "2 2 1 1;1 2 1 2;1 2 1 2", 2},
    {"consecutive_candles", "1 2 1 2;2 2 1 1;2 2 1 1;2 2 1 1", -3},
    {"consecutive_candles", "1 2 1 2;1 2 1 2;1 2 1 1", 0},
    {"consecutive_candles", "1 2 1 2;1 2 1 1;1 2 1 2", 1}, /* a doji ends a run */
    {"volume_spike(2)", "1 1 1 1 5;1 1 1 1 5", UNKNOWN_VALUE},
    {"volume_spike(2)", "1 1 1 1 90;1 1 1 1 4;1 1 1 1 6;1 1 1 1 20", 4},
    {"volume_spike(2)", "1 1 1 1 0;1 1 1 1 0;1 1 1 1 6", UNKNOWN_VALUE},
    {"volume_spike(2)", "1 1 1 1 4;1 1 1 1 0;1 1 1 1 0", 0},
    /* ema(1) is the close, ema(3) of 4 4 4 10 is 7 */
    {"ema_cross_up(1,3)", "4 4 4 4;4 4 4 4;4 4 4 4", UNKNOWN_VALUE},
    {"ema_cross_up(1,3)", "4 4 4 4;4 4 4 4;4 4 4 4;4 10 4 10", 1},
    {"ema_cross_down(1,3)", "4 4 4 4;4 4 4 4;4 4 4 4;4 10 4 10", 0},
    {"ema_cross_up(1,3)", "4 4 4 4;4 4 4 4;4 4 4 4;4 4 4 4", 0},
    {"ema_cross_up(1,3)", "4 4 4 4;4 4 4 4;4 4 4 4;4 10 4 10;10 11 10 11", 0}, /* over it already */
    {"ema_cross_down(1,3)", "4 4 4 4;4 4 4 4;4 4 4 4;4 4 2 2", 1},
    {"ema_cross_down(1,3)", "4 4 4 4;4 4 4 4;4 10 4 10;10 10 6 6", 0}, /* 6 and 6 */
    {"ema_cross_down(1,3)", "4 4 4 4;4 4 4 4;4 10 4 10;10 10 5 5.99", 1},
    {"ema_cross_down(1,3)", "4 4 4 4;4 4 4 4;4 10 4 10;10 10 6 6;6 6 5 5", 1}, /* from where they met */
    {"ema_return(3)", "4 4 4 4;4 4 4 4;4 10 7 10", UNKNOWN_VALUE},
    {"ema_return(3)", "4 4 4 4;4 4 4 4;10 10 7 10;10 10 8 8", 0},    /* 6, over it; 7 */
    {"ema_return(3)", "4 4 4 4;4 4 4 4;10 10 7 10;10 10 7 8", 1},    /* low at 7 */
    {"ema_return(3)", "4 4 4 4;4 4 4 4;4 10 6 10;10 10 7 8", 0},     /* was there already */
    {"ema_return(3)", "10 10 10 10;10 10 10 10;4 6 4 4;4 7 4 6", 1}, /* from under it: 8, then 7 */
    {"ema_return(3)", "10 10 10 10;10 10 10 10;4 6 4 4;4 6.99 4 6", 0},
};

static void test_tables(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct bar bar[BARS_MAX];
        double v = value_after(tables[i].name, bar, bars_of(tables[i].bars, bar));
        if (v != tables[i].value && !(isnan(v) && isnan(tables[i].value)))
            fail_msg("%s of %s: %g, expected %g", tables[i].name, tables[i].bars, v, tables[i].value);
    }
}

/* ---- levels: one symbol, premarket from minute 0, market from 10 to 100, postmarket to 120 */

struct step {
    int second;
    double price; /* 0: a clock */
    unsigned size;
    const char *values; /* of the metrics, '?' for none */
};

static void run(const char *what, const char *metrics, const struct step *step, size_t n)
{
    struct tape t = {0};
    struct bench b;
    char expr[2000] = "price > 0 and (price > 0", copy[1000], *save = NULL;
    size_t k = 0;
    strcpy(copy, metrics);
    for (char *m = strtok_r(copy, " ", &save); m; m = strtok_r(NULL, " ", &save))
        sprintf(expr + strlen(expr), " or %s > 1", m);
    strcat(expr, ")");
    for (int day = 0; day < 2; day++) {
        int64_t d = T0 + day * DAY;
        put_setting(&t, "calendar.0=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, d, d + 10 * MIN,
                    d + 100 * MIN, d + 120 * MIN);
    }
    put_rule(&t, 0, &(struct rule_spec){.id = "w", .expr = expr});
    put_symbol(&t, 0, "A", 0, 0, 0);
    for (size_t i = 0; i < n; i++) {
        int64_t at = T0 + step[i].second * SEC;
        if (step[i].price != 0)
            put_trade(&t, 0, at, PX(step[i].price), step[i].size);
        else
            put_clock(&t, 0, at);
    }
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    bench_apply(&b, &t, 0);
    assert_int_equal(engine_counters(b.e)->rules_refused, 0);
    for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
        const struct msg *m = &b.events.slot[at];
        struct msg_alert a;
        char text[400] = "";
        if (m->type != MSG_ALERT)
            continue;
        while (k < n && step[k].price == 0)
            k++;
        assert_true(k < n);
        alert_head(m, &a);
        for (unsigned i = 1; i < a.n_operands; i++) {
            int64_t bits = alert_operand(m, i);
            char *p = text + strlen(text);
            if (bits == ALERT_UNKNOWN)
                sprintf(p, "%s?", i > 1 ? " " : "");
            else
                sprintf(p, "%s%.6g", i > 1 ? " " : "", bits_double(bits));
        }
        if (strcmp(text, step[k].values))
            fail_msg("%s, at %d s, price %g: %s are %s, expected %s", what, step[k].second, step[k].price,
                     metrics, text, step[k].values);
        k++;
    }
    assert_int_equal(k, n);
    bench_close(&b);
    tape_free(&t);
}

#define RUN(what, metrics, step) run(what, metrics, step, sizeof(step) / sizeof *(step))

static void test_day_levels(void **state)
{
    (void)state;
    static const struct step high[] = {
        {0, 100, 1, "? ? ? 1"},      {30, 102, 1, "? ? ? 1"}, /* no minute of today has ended */
        {60, 102, 1, "0 0 0 1"},                              /* at 102, not over it, not under it */
        {61, 101, 1, "0 0 1 0"}, /* it has been there, and is under it: 101 < 102 - 0.51 */
        {62, 101.49, 1, "0 0 1 1"},  {63, 102.01, 1, "1 1 0 1"},
        {120, 102.02, 1, "1 0 0 1"},                           /* a minute that opens over it */
        {121, 102, 1, "0 0 1 1"},    {180, 101, 1, "0 0 0 0"}, /* has not been there */
        {86400, 50, 1, "? ? ? 1"},   {86460, 51, 1, "1 0 0 1"},
    };
    static const struct step low[] = {
        {0, 100, 1, "? ? ? 1"},     {30, 98, 1, "? ? ? 1"},    {60, 98, 1, "0 0 0 1"},
        {61, 99, 1, "0 0 1 0"},     {62, 98.49, 1, "0 0 1 1"}, {63, 97.99, 1, "1 1 0 1"},
        {120, 97.98, 1, "1 0 0 1"}, {121, 98, 1, "0 0 1 1"},   {180, 99, 1, "0 0 0 0"},
    };
    RUN("high", "new_day_high break_day_high reject_day_high near_day_high", high);
    RUN("low", "new_day_low break_day_low reject_day_low near_day_low(0.5)", low);
}

static void test_near(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {0, 100, 1, "1 1"},   {1, 99, 1, "1 0"},    {2, 98.99, 1, "0 0"},
        {3, 99.75, 1, "1 1"}, {4, 99.74, 1, "1 0"},
    };
    RUN("near", "near_day_high(1) near_day_high(0.25)", steps);
}

static void test_new_candles(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {600, 10, 1, "? ? ?"},    {630, 12, 1, "? ? ?"},    {660, 12, 1, "0 0 ?"}, {661, 12.01, 1, "1 0 ?"},
        {662, 9.99, 1, "0 1 ?"},  {720, 12.02, 1, "1 0 ?"}, /* the minute before had 12.01 */
        {900, 12.02, 1, "0 0 0"}, {901, 12.03, 1, "1 0 1"},
    };
    RUN("candles", "new_candle_high new_candle_low new_candle_high@5m", steps);
}

static void test_vwap(void **state)
{
    (void)state;
    static const char metrics[] = "through_vwap_up through_vwap_down vwap_support vwap_resistance "
                                  "through_vwap_up@2m";
    static const struct step steps[] = {
        {600, 10, 10, "0 0 0 0 0"},  {660, 9, 10, "0 0 0 0 0"}, /* VWAP 9.5 */
        {661, 9.5, 1, "0 0 0 0 0"},                             /* at it, exactly */
        {662, 9.45, 1, "0 0 0 1 0"},                            /* it has been at it */
        {663, 9.51, 1, "1 0 0 0 0"},                            /* over it; of two minutes the open is 10 */
        {720, 9.6, 1, "0 0 0 0 0"},  {721, 9.5, 1, "0 1 0 0 0"}, {722, 9.7, 1, "0 0 1 0 0"},
        {780, 0, 0, NULL},           {781, 9.4, 1, "0 0 0 0 0"}, {782, 9.7, 1, "1 0 0 0 0"},
        {783, 9.45, 1, "0 0 0 1 0"},
    };
    RUN("vwap", metrics, steps);
}

static void test_opening_range(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {0, 200, 1, "? ? ?"}, /* premarket counts for nothing */
        {600, 100, 1, "? ? ?"},         {700, 103, 1, "? ? ?"},   {850, 98, 1, "? ? ?"},
        {899, 99, 1, "? ? ?"},          {900, 103, 1, "0 0 ?"}, /* five minutes are over: 98 to 103 */
        {901, 103.01, 1, "1 0 ?"},      {960, 97.99, 1, "0 1 ?"}, {1199, 98, 1, "0 0 ?"},
        {1200, 97.98, 1, "0 1 1"},                               /* of ten: 97.99 to 103.01 */
        {5999, 104, 1, "1 0 0"},        {6000, 104, 1, "? ? ?"}, /* postmarket */
        {86400 + 900, 104, 1, "? ? ?"},                          /* no trade in its first five minutes */
    };
    RUN("opening range", "opening_range_breakout_5m opening_range_breakdown_5m opening_range_breakdown_10m",
        steps);
}

static void test_average_distance(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {600, 10, 1, "? ?"},        {660, 30, 1, "50 ?"},
        {661, 10, 1, "0 ?"},        {720, 20, 1, "33.3333 50"}, /* ema(3) of 10 10 20: its mean */
        {780, 40, 1, "33.3333 50"},                             /* 13.33 and half of the way to the live 40 */
    };
    RUN("distance", "ma_dist_pct(sma,2) ma_dist_ema_3_pct", steps);
}

/* ---- names */

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *alias, *name;
    } t[] = {
        {"bullish_engulfing", "bullish_engulfing@1m"},
        {"bullish_engulfing_5m", "bullish_engulfing@5m"},
        {"bullish_engulfing_daily", "bullish_engulfing@1d"},
        {"inside_bar@1h", "inside_bar@60m"},
        {"running_up", "running_up(3)@1m"},
        {"running_up_5m", "running_up(3)@5m"},
        {"running_up_4_5m", "running_up(4)@5m"},
        {"running_up(4)@daily", "running_up(4)@1d"},
        {"volume_spike_2", "volume_spike(2)@1m"},
        {"volume_spike_10_15m", "volume_spike(10)@15m"},
        {"ema_cross_up", "ema_cross_up(9,20)@1m"},
        {"ema_cross_down_5_13_2m", "ema_cross_down(5,13)@2m"},
        {"ema_return_50@5m", "ema_return(50)@5m"},
        {"consecutive_candles_2m", "consecutive_candles@2m"},
        {"consecutive_candles_daily", "consecutive_candles@1d"},
        {"near_day_high", "near_day_high(0.5)"},
        {"near_day_low(2.50)", "near_day_low(2.5)"},
        {"near_day_low(50)", "near_day_low(50)"},
        {"opening_range_breakout_30m", "opening_range_breakout_30m"},
        {"opening_range_breakdown_1h", "opening_range_breakdown_60m"},
        {"break_day_high", "break_day_high"},
        {"ma_dist_sma_20_pct", "ma_dist_pct(sma,20)@1m"},
        {"ma_dist_ema_50_5m_pct", "ma_dist_pct(ema,50)@5m"},
        {"ma_dist_ema_50_pct_5m", "ma_dist_pct(ema,50)@5m"},
        {"ma_dist_ema_50_pct@5m", "ma_dist_pct(ema,50)@5m"},
        {"ma_dist_pct_ema_200_daily", "ma_dist_pct(ema,200)@1d"},
        {"ma_dist_pct(kama,10,2,30)@1d", "ma_dist_pct(kama,10,2,30)@1d"},
        {"ma_dist_ema_first_9_pct", "ma_dist_pct(ema_first,9)@1m"},
    };
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++)
        for (int again = 0; again < 2; again++) {
            struct metric m;
            struct error err;
            char name[METRIC_NAME_MAX];
            const char *text = again ? t[i].name : t[i].alias;
            if (metric_parse(text, strlen(text), &m, &err) < 0)
                fail_msg("%s: %s", text, err.text);
            metric_name(&m, name);
            assert_string_equal(name, t[i].name);
        }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } t[] = {
        {"inside_bar(3)@5m", "metric 'inside_bar(3)@5m': expected inside_bar@T; T such as 5m, 1h, 1d"},
        {"inside_bar@7m", "metric 'inside_bar@7m': expected inside_bar@T; T such as 5m, 1h, 1d"},
        {"inside_bar_5m@5m", "metric 'inside_bar_5m@5m': expected inside_bar@T; T such as 5m, 1h, 1d"},
        {"inside_bar_", "metric 'inside_bar_': expected inside_bar@T; T such as 5m, 1h, 1d"},
        {"running_up(0)",
         "metric 'running_up(0)': expected running_up(N)@T, N 1 to 20 bars; T such as 5m, 1h, 1d"},
        {"running_up()",
         "metric 'running_up()': expected running_up(N)@T, N 1 to 20 bars; T such as 5m, 1h, 1d"},
        {"running_up(21)@5m",
         "metric 'running_up(21)@5m': expected running_up(N)@T, N 1 to 20 bars; T such as 5m, 1h, 1d"},
        {"running_up(3,)",
         "metric 'running_up(3,)': expected running_up(N)@T, N 1 to 20 bars; T such as 5m, 1h, 1d"},
        {"running_up_5m_3",
         "metric 'running_up_5m_3': expected running_up(N)@T, N 1 to 20 bars; T such as 5m, 1h, 1d"},
        {"ema_cross_up(9)@5m", "metric 'ema_cross_up(9)@5m': expected ema_cross_up(N,M)@T, N and M 1 to 400 "
                               "bars; T such as 5m, 1h, 1d"},
        {"ema_cross_up(9,20,30)",
         "metric 'ema_cross_up(9,20,30)': expected ema_cross_up(N,M)@T, N and M 1 to "
         "400 bars; T such as 5m, 1h, 1d"},
        {"near_day_high(0.001)",
         "metric 'near_day_high(0.001)': expected near_day_high(P), P 0.01 to 50 percent, in hundredths"},
        {"near_day_high(51)",
         "metric 'near_day_high(51)': expected near_day_high(P), P 0.01 to 50 percent, in hundredths"},
        {"near_day_high@5m",
         "metric 'near_day_high@5m': expected near_day_high(P), P 0.01 to 50 percent, in hundredths"},
        {"opening_range_breakout_241m", "metric 'opening_range_breakout': 241 minutes, expected 1 to 240"},
        {"ma_dist_pct(rsi,14)@5m",
         "metric 'ma_dist_pct(rsi,14)@5m': expected ma_dist_pct(MA,N)@T or ma_dist_MA_N_T_pct; MA one of sma "
         "ema ema_first smma wma hma trima kama, N 1 to 400 bars, T such as 5m, 1h, 1d"},
        {"ma_dist_sma_pct",
         "metric 'ma_dist_sma_pct': expected ma_dist_pct(MA,N)@T or ma_dist_MA_N_T_pct; MA one of sma ema "
         "ema_first smma wma hma trima kama, N 1 to 400 bars, T such as 5m, 1h, 1d"},
        {"bullish_engulfin",
         "unknown metric 'bullish_engulfin': did you mean 'bullish_engulfing'?; `ringtape "
         "metrics` lists all"},
    };
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        struct metric m;
        struct error err;
        if (metric_parse(t[i].text, strlen(t[i].text), &m, &err) == 0)
            fail_msg("'%s' was taken", t[i].text);
        assert_string_equal(err.text, t[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_day_levels),
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_new_candles),
        cmocka_unit_test(test_vwap),
        cmocka_unit_test(test_opening_range),
        cmocka_unit_test(test_average_distance),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("candle", tests, NULL, NULL);
}
