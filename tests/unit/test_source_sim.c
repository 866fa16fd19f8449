#include "tests/unit/source_harness.h"

#include <math.h>

static struct source *open_sim(const char *spec, const struct source_config *config)
{
    struct error err;
    struct source *s = source_open(spec, config, &err);
    if (!s)
        fail_msg("%s", err.text);
    return s;
}

struct summary {
    uint64_t ticks, trades, quotes, others, hash;
    int64_t first_ns, last_ns;
};

static struct summary run(const char *spec, int step, uint64_t most)
{
    static struct msg m[5000];
    struct source *s = open_sim(spec, NULL);
    struct summary r = {.first_ns = -1};
    int n = 0;
    while (r.ticks < most && (n = source_read(s, m, step)) > 0)
        for (int i = 0; i < n && r.ticks < most; i++) {
            const uint64_t *word = (const uint64_t *)&m[i];
            for (int k = 0; k < 8; k++)
                r.hash = (r.hash ^ word[k]) * 0x9e3779b97f4a7c15u;
            assert_true(m[i].event_ns >= r.last_ns && m[i].event_ns == m[i].recv_ns &&
                        m[i].symbol < s->symbol_count);
            r.first_ns = r.first_ns < 0 ? m[i].event_ns : r.first_ns;
            r.last_ns = m[i].event_ns;
            r.ticks++;
            r.trades += m[i].type == MSG_TRADE;
            r.quotes += m[i].type == MSG_QUOTE;
            r.others += m[i].type == MSG_CANCEL || m[i].type == MSG_STATUS;
        }
    assert_true(r.ticks == most || n == SOURCE_END);
    if (n == SOURCE_END)
        assert_int_equal(s->stats.rows, r.ticks + sum_rejected(&s->stats));
    assert_int_equal(r.ticks, r.trades + r.quotes + r.others);
    source_close(s);
    return r;
}

static void test_repeats(void **state)
{
    (void)state;
    const char *spec = "sim:symbols=300,seed=7,seconds=400,rate=500,halts=100,gaps=50,jumps=500,bad=0.01";
    struct summary a = run(spec, 5000, UINT64_MAX), b = run(spec, MSG_SLOTS_MAX, UINT64_MAX);
    assert_memory_equal(&a, &b, sizeof a); /* however it is read */
    struct summary c = run("sim:symbols=300,seed=8,seconds=400,rate=500,halts=100,gaps=50,jumps=500,bad=0.01",
                           5000, UINT64_MAX);
    assert_true(a.hash != c.hash);
}

/* The same market on every machine: these are the ticks of seed 1. */
static void test_is_pinned(void **state)
{
    (void)state;
    struct summary r = run("sim:", 1000, 100000);
    if (r.hash != 0xf91c737666106bc6u)
        fail_msg("hash 0x%lx", r.hash);
}

static void test_pace(void **state)
{
    (void)state;
    struct summary r =
        run("sim:seconds=20,rate=10000,burst=1,halts=0,bad=0,quotes=0.25,start=2026-03-02T09:25:00-05:00",
            5000, UINT64_MAX);
    assert_true(r.ticks > 198000 && r.ticks < 202000);
    assert_true(fabs((double)r.quotes / (double)r.ticks - 0.25) < 0.01);
    assert_true(r.first_ns >= 1772461500000000000 && r.first_ns < 1772461500000000000 + 1000000);
    assert_true(r.last_ns < 1772461520000000000 && r.last_ns > 1772461519900000000);
    /* the open: 4 times as many in its first seconds as before it */
    r = run("sim:start=0,open=10,seconds=20,rate=1000,burst=4,halts=0,bad=0", 5000, UINT64_MAX);
    assert_true(r.ticks > 45000 && r.ticks < 52000);
    assert_int_equal(run("sim:start=5,seconds=0.5,rate=1000,quotes=1", 5000, UINT64_MAX).trades, 0);
    assert_int_equal(run("sim:minutes=0,rate=100000000", 5000, 1000000).ticks, 1000000); /* endless */
}

/* Prices are what a market could show: on the grid, above 0, without leaps but in jumps; most activity in
 * few. */
static void test_plausible(void **state)
{
    (void)state;
    enum { SYMBOLS = 200 };
    static int64_t last[SYMBOLS];
    static uint64_t count[SYMBOLS];
    static struct msg m[5000];
    uint64_t total = 0, moved = 0, top = 0;
    double worst = 0;
    struct source *s = open_sim("sim:symbols=200,minutes=10,rate=2000,bad=0,jumps=0,halts=0", NULL);
    int n;
    assert_int_equal(s->symbol_count, SYMBOLS);
    assert_string_equal(s->symbols[0].name, "SIM0001");
    assert_string_equal(s->symbols[199].name, "SIM0200");
    assert_int_equal(s->symbols[0].tick_e9, 10000000);
    assert_int_equal(s->symbols[0].calendar, CALENDAR_US_EQUITY);
    while ((n = source_read(s, m, 5000)) > 0)
        for (int i = 0; i < n; i++) {
            uint32_t id = m[i].symbol;
            if (m[i].type == MSG_QUOTE) {
                assert_true(m[i].quote.bid_e9 > 0 && m[i].quote.ask_e9 > m[i].quote.bid_e9);
                assert_true(m[i].quote.bid_size > 0 && m[i].quote.ask_size > 0);
                continue;
            }
            int64_t p = m[i].trade.price_e9;
            assert_true(p >= 900000000 && p % 10000000 == 0 && m[i].trade.size > 0);
            if (last[id]) {
                double move = fabs((double)(p - last[id])) / (double)last[id];
                worst = move > worst && p > 20000000000 ? move : worst;
                moved += p != last[id];
            }
            last[id] = p;
            count[id]++;
            total++;
        }
    for (int i = 0; i < SYMBOLS / 10; i++)
        top += count[i];
    assert_true(top * 10 > total * 3 && top * 10 < total * 6); /* a tenth of them has 36 % */
    assert_true(worst < 0.03);
    assert_true(moved > total / 4);
    for (int i = 0; i < SYMBOLS; i++)
        assert_true(count[i] > 0);
    source_close(s);
}

static void test_halts_and_gaps(void **state)
{
    (void)state;
    static int64_t last[100];
    static struct msg m[5000];
    int64_t before = 0;
    unsigned halts = 0, gaps = 0;
    int n;
    struct source *s =
        open_sim("sim:symbols=100,minutes=30,rate=1000,burst=1,halts=100,gaps=100,bad=0,quotes=0", NULL);
    while ((n = source_read(s, m, 5000)) > 0)
        for (int i = 0; i < n; i++) {
            int64_t t = m[i].event_ns, *own = &last[m[i].symbol];
            halts += *own && t - *own > 299000000000;
            gaps += before && t - before > 999000000;
            *own = before = t;
        }
    assert_true(halts > 10 && halts < 60); /* about 40 that end in time */
    assert_true(gaps > 25 && gaps < 80);   /* about 50 */
    source_close(s);
}

static void test_bad_prints(void **state)
{
    (void)state;
    static struct msg m[5000];
    static int64_t last[50];
    uint64_t outliers = 0, trades = 0;
    int n;
    struct source *s =
        open_sim("sim:symbols=50,minutes=1,rate=5000,quotes=0,bad=0.02,cancels=0,jumps=0,halts=0", NULL);
    s->log = keep_log;
    logged_n = 0;
    while ((n = source_read(s, m, 5000)) > 0)
        for (int i = 0; i < n; i++, trades++) {
            int64_t p = m[i].trade.price_e9, *own = &last[m[i].symbol];
            bool off = *own && (p > *own * 11 / 10 || p < *own * 9 / 10);
            outliers += off;
            *own = off ? *own : p;
        }
    double refused = (double)s->stats.rejected[REJECT_PRICE_SIGN] / (double)trades;
    assert_true(refused > 0.005 && refused < 0.015);
    assert_true(outliers > trades / 200 && outliers < trades / 50);
    assert_int_equal(logged_n, SOURCE_SAMPLES_PER_REASON);
    source_close(s);
}

/* What is cancelled is an outlier, what takes its place is none; while a symbol is halted it has no tick. */
static void test_events(void **state)
{
    (void)state;
    static struct msg m[5000];
    static int64_t last[50], price[1 << 20];
    static bool halted[50];
    uint64_t cancels = 0, corrections = 0, halts = 0, resumed = 0;
    int n;
    struct source *s = open_sim("sim:symbols=50,minutes=20,rate=500,bad=0.01,jumps=0,halts=200", NULL);
    while ((n = source_read(s, m, 5000)) > 0)
        for (int i = 0; i < n; i++) {
            uint32_t id = m[i].symbol;
            if (m[i].type == MSG_STATUS) {
                bool halt = m[i].status.kind == STATUS_HALTED;
                assert_true(halted[id] != halt);
                halted[id] = halt;
                halts += halt;
                resumed += !halt;
            } else if (m[i].type == MSG_CANCEL) {
                int64_t p = price[m[i].cancel.trade_id];
                cancels++;
                assert_true(p && (p > last[id] * 11 / 10 || p < last[id] * 9 / 10));
            } else if (m[i].type == MSG_TRADE) {
                int64_t p = m[i].trade.price_e9, *own = &last[id];
                bool off = *own && (p > *own * 11 / 10 || p < *own * 9 / 10),
                     again = m[i].flags & MSG_F_CORRECTION;
                price[m[i].trade.trade_id] = p;
                corrections += again;
                assert_false(off && again);
                assert_true(again || !halted[id]);
                *own = off ? *own : p;
            }
        }
    assert_true(halts > 20 && resumed > 10 && resumed < halts);
    assert_true(cancels > 200 && corrections > cancels / 3 && corrections < cancels * 2 / 3);
    source_close(s);
}

static void test_refused_options(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *part;
    } cases[] = {
        {"sim:symbol=5", "unknown key 'symbol', did you mean 'symbols'?; keys: start, symbols, seed"},
        {"sim:qwertyuiop=5", "unknown key 'qwertyuiop'; keys:"},
        {"sim:symbols=0", "symbols=0: expected a whole number from 1 to 100000"},
        {"sim:symbols=100001", "symbols=100001: expected a whole number from 1 to 100000"},
        {"sim:symbols=2.5", "symbols=2.5: expected a whole number"},
        {"sim:symbols=", "symbols=: expected a whole number"},
        {"sim:symbols", "'symbols': expected key=value"},
        {"sim:seed=-1", "seed=-1: expected a whole number from 0"},
        {"sim:rate=1e9", "rate=1e9: expected a whole number from 1 to 100000000"},
        {"sim:rate=0", "rate=0"},
        {"sim:quotes=1.1", "quotes=1.1: expected a number from 0 to 1"},
        {"sim:bad=x", "bad=x: expected a number from 0 to 1"},
        {"sim:burst=0", "burst=0: expected a number from 1 to 100"},
        {"sim:minutes=-5", "minutes=-5: expected a number from 0"},
        {"sim:start=noon", "start=noon: expected a time such as 2026-03-02T09:25:00-05:00"},
        {"sim:start=", "start=: expected a time"},
        {"sim:seed=1,,rate=5", "'': expected key=value"},
        {"sim:seed=1,rate", "'rate': expected key=value"},
        {"sim:=5", "unknown key ''"},
    };
    struct error err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_null(source_open(cases[i].spec, NULL, &err));
        if (!strstr(err.text, cases[i].part))
            fail_msg("%s: '%s' lacks '%s'", cases[i].spec, err.text, cases[i].part);
    }
    struct source_config config = {.symbols_max = 10};
    assert_null(source_open("sim:symbols=11", &config, &err));
    assert_non_null(strstr(err.text, "limits.symbols is 10"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),        cmocka_unit_test(test_is_pinned),
        cmocka_unit_test(test_pace),           cmocka_unit_test(test_plausible),
        cmocka_unit_test(test_halts_and_gaps), cmocka_unit_test(test_bad_prints),
        cmocka_unit_test(test_events),         cmocka_unit_test(test_refused_options),
    };
    return cmocka_run_group_tests_name("source_sim", tests, NULL, NULL);
}
