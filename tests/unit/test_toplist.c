/* Toplists: the tables, the ranking against a sort of all rows, the filters; the values that the engine gives
 * against the operands of alerts at the same messages, and that to ask for values changes no event. */
#include "tests/unit/engine_harness.h"

#include <math.h>

#include "core/toplist.h"

static void test_tables(void **state)
{
    struct toplist t;
    struct error err = {""};
    struct metric m[RANK_VALUES];
    (void)state;
#define X(id_, metric_, window_, ascending_)                                                                 \
    assert_int_equal(toplist_find(id_, &t, &err), 0);                                                        \
    assert_string_equal(t.id, id_);                                                                          \
    toplist_metrics(&t, m);
    TOPLIST_SYSTEM(X)
#undef X
    assert_int_equal(toplist_find("losers_15m", &t, &err), 0);
    assert_true(t.ascending && t.metric == TOPLIST_CHANGE_PCT && t.window == TOPLIST_15M);
    toplist_metrics(&t, m);
    char name[METRIC_NAME_MAX];
    metric_name(&m[RANK_VALUE], name);
    assert_string_equal(name, "change_pct_15m");
    assert_int_equal(toplist_find("gainer_5m", &t, &err), -1);
    assert_non_null(strstr(err.text, "'gainers_5m'"));
    struct metric all[TOPLIST_COLUMNS];
    toplist_columns(all);
    metric_name(&all[TOPLIST_RSI * TOPLIST_WINDOW_COUNT + TOPLIST_1D], name);
    assert_string_equal(name, "rsi(14)@1d");
}

static const struct toplist *sorting;
static int by_place(const void *a, const void *b)
{
    const struct toplist_row *x = a, *y = b;
    double v = x->value[RANK_VALUE], w = y->value[RANK_VALUE];
    if (v != w)
        return (v < w) == sorting->ascending ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Few values, so that names decide; names of which one begins with another. */
static void test_ranking(void **state)
{
    enum { ROWS = 300 };
    static struct toplist_row row[ROWS], best[ROWS];
    static char name[ROWS][8];
    uint64_t seed = seed_or(3);
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct toplist t = {.ascending = one_in(&seed, 2), .filter = toplist_no_filter};
        uint32_t n = random_below(&seed, ROWS), limit = random_below(&seed, 40), taken = 0;
        struct toplist_ranking r = {.list = &t, .row = best, .limit = limit};
        if (one_in(&seed, 2))
            t.filter.min_volume = 3;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t k = (i * 7919u + (uint32_t)round) % ROWS;
            snprintf(name[k], sizeof name[k], "%.*s%u", (int)(k % 3), "AA", k / 3);
            row[i] = (struct toplist_row){
                .name = name[k],
                .name_len = (uint32_t)strlen(name[k]),
                .symbol = k,
                .value = {(double)random_below(&seed, 9) / 4, 1, (double)random_below(&seed, 6), 0}};
            if (one_in(&seed, 20))
                row[i].value[random_below(&seed, 2) ? RANK_VALUE : RANK_DAY_VOLUME] = NAN;
            toplist_offer(&r, &row[i]);
        }
        toplist_sort(&r);
        for (uint32_t i = 0; i < n; i++)
            if (!isnan(row[i].value[RANK_VALUE]) &&
                (isnan(t.filter.min_volume) || row[i].value[RANK_DAY_VOLUME] >= 3))
                row[taken++] = row[i];
        sorting = &t;
        qsort(row, taken, sizeof *row, by_place);
        assert_int_equal(r.n, taken < limit ? taken : limit);
        for (uint32_t i = 0; i < r.n; i++)
            assert_string_equal(best[i].name, row[i].name);
    }
}

static void test_filters(void **state)
{
    struct toplist t = {.filter = {1000, 2.5, 5, 50, NAN, NAN, KEY_UNKNOWN}};
    static const struct {
        double value[RANK_VALUES];
        bool in;
    } rows[] = {
        {{1, 10, 1000, 2.5}, true},   {{1, 5, 5000, 9}, true},     {{1, 50, 5000, 9}, true},
        {{1, 10, 999, 3}, false},     {{1, 10, 1000, 2}, false},   {{1, 4.99, 1000, 3}, false},
        {{1, 50.01, 1000, 3}, false}, {{NAN, 10, 1000, 3}, false}, {{1, NAN, 1000, 3}, false},
        {{1, 10, NAN, 3}, false},     {{1, 10, 1000, NAN}, false},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct toplist_row row = {.name = "A", .name_len = 1};
        memcpy(row.value, rows[i].value, sizeof row.value);
        assert_int_equal(toplist_takes(&t, &row), rows[i].in);
    }
    t.filter = toplist_no_filter;
    struct toplist_row row = {.name = "A", .name_len = 1, .value = {1, NAN, NAN, NAN}};
    assert_true(toplist_takes(&t, &row));
}

/* A number, as a column holds the text that stands for it. */
static double text_column(const char *text)
{
    int64_t key = attribute_text_key(text, strlen(text));
    double d;
    memcpy(&d, &key, sizeof d);
    return d;
}

static void test_attribute_filters(void **state)
{
    struct toplist t = {.filter = toplist_no_filter};
    struct toplist_row row = {.name = "A", .name_len = 1, .value = {1, 10, 1, 1, 2e9, text_column("NYSE")}};
    (void)state;
    assert_true(toplist_takes(&t, &row));
    t.filter.market_cap_min = t.filter.market_cap_max = 2e9;
    t.filter.exchange = attribute_text_key("NYSE", 4);
    assert_true(toplist_takes(&t, &row));
    row.value[RANK_MARKET_CAP] = 1.9e9;
    assert_false(toplist_takes(&t, &row));
    row.value[RANK_MARKET_CAP] = 2.1e9;
    assert_false(toplist_takes(&t, &row));
    row.value[RANK_MARKET_CAP] = NAN;
    assert_false(toplist_takes(&t, &row));
    row.value[RANK_MARKET_CAP] = 2e9;
    row.value[RANK_EXCHANGE] = text_column("OTC");
    assert_false(toplist_takes(&t, &row));
    row.value[RANK_EXCHANGE] = NAN;
    assert_false(toplist_takes(&t, &row));
    t.filter.exchange = KEY_UNKNOWN;
    assert_true(toplist_takes(&t, &row));
}

/* Attributes as the engine gives them for the columns. */
static void test_attribute_values(void **state)
{
    struct engine_limits limits = bench_limits;
    struct metric metric[TOPLIST_COLUMNS];
    double value[TOPLIST_COLUMNS];
    struct attributes a;
    struct tape t = {0};
    struct bench b;
    (void)state;
    limits.asked = TOPLIST_COLUMNS;
    bench_open(&b, &limits);
    toplist_columns(metric);
    engine_ask(b.e, metric, TOPLIST_COLUMNS);
    attributes_clear(&a);
    assert_true(attribute_set_text(&a, ATTRIBUTE_EXCHANGE, "Börse 1", 8));
    a.value[ATTRIBUTE_MARKET_CAP] = key_of_double(3.5e9);
    put_symbol(&t, 0, "A", 0, 0, 0);
    put_symbol(&t, 1, "B", 0, 0, 0);
    put_attributes(&t, 0, &a);
    put_trade(&t, 0, T0 + MIN, PX(10), 5);
    put_trade(&t, 1, T0 + MIN, PX(11), 5);
    tape_stamp(&t, 1);
    bench_apply(&b, &t, 0);
    engine_values(b.e, 0, 0, TOPLIST_COLUMNS, value);
    assert_true(value[TOPLIST_PRICE] == 10 && value[TOPLIST_MARKET_CAP] == 3.5e9);
    assert_true(value[TOPLIST_EXCHANGE] == text_column("Börse 1"));
    engine_values(b.e, 1, 0, TOPLIST_COLUMNS, value);
    assert_true(value[TOPLIST_PRICE] == 11 && isnan(value[TOPLIST_MARKET_CAP]) &&
                isnan(value[TOPLIST_EXCHANGE]));
    bench_close(&b);
    tape_free(&t);
}

/* What a rule's operands show. */
static const char *const names[] = {
    "price",      "change_pct_1m", "change_pct_5m",      "volume_15m",         "volume_daily",
    "rsi(14)@1m", "rsi(14)@5m",    "relative_volume_1m", "relative_volume_5m", "vwap_dist_pct_60m"};
enum { NAMES = sizeof names / sizeof *names };

static void market(struct tape *t, uint64_t seed, bool rule)
{
    int64_t now = T0 + 10 * 60 * MIN, price = PX(100);
    char expr[600] = "price > 0";
    put_setting(t, "calendar.0=%lld,%lld,%lld,%lld", (long long)T0, (long long)(T0 + 9 * 60 * MIN),
                (long long)(T0 + 20 * 60 * MIN), (long long)(T0 + 24 * 60 * MIN));
    for (unsigned i = 1; i < NAMES; i++) {
        strcat(expr, " or ");
        strcat(expr, names[i]);
        strcat(expr, " > 1e9");
    }
    if (rule)
        put_rule(t, 0, &(struct rule_spec){.id = "all", .expr = expr});
    put_symbol(t, 0, "A", 0, 0, 0);
    put_daily(t, 0, T0 - DAY, PX(99));
    for (int i = 0; i < 3000; i++) {
        now += random_below(&seed, 9000) * MS;
        price += ((int64_t)random_below(&seed, 21) - 10) * PX(0.01);
        if (one_in(&seed, 5))
            put_clock(t, 0, bucket_grid_floor(0, now));
        int64_t late = one_in(&seed, 20) ? random_below(&seed, 200) * SEC : 0;
        put_trade(t, 0, now - late, price, 1 + random_below(&seed, 500));
    }
    tape_stamp(t, 1);
}

static void test_values(void **state)
{
    (void)state;
    struct engine_limits limits = bench_limits;
    limits.asked = NAMES;
    for (int with_rule = 0; with_rule < 2; with_rule++) {
        struct tape t = {0}, ruled = {0};
        struct bench a, b; /* a: asked, b: shows all by alerts */
        struct metric m[NAMES];
        struct error err;
        unsigned known = 0;
        uint64_t seed = seed_or(11);
        market(&t, seed, with_rule);
        market(&ruled, seed, true);
        bench_open(&a, &limits);
        bench_open(&b, NULL);
        for (unsigned i = 0; i < NAMES; i++)
            assert_int_equal(metric_parse(names[i], strlen(names[i]), &m[i], &err), 0);
        assert_int_equal(engine_ask(a.e, m, NAMES), 0);
        size_t x = 0, y = 0;
        while (x < t.n && y < ruled.n) {
            struct tape one = {&t.slot[x], msg_slot_count(&t.slot[x]), 0};
            struct tape two = {&ruled.slot[y], msg_slot_count(&ruled.slot[y]), 0};
            if (two.slot->type == MSG_RULE && one.slot->type != MSG_RULE) {
                bench_apply(&b, &two, 0);
                y += two.n;
                continue;
            }
            size_t before = b.events.n;
            bench_apply(&a, &one, 0);
            bench_apply(&b, &two, 0);
            x += one.n;
            y += two.n;
            for (size_t at = before; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
                const struct msg *alert = &b.events.slot[at];
                double value[NAMES];
                if (alert->type != MSG_ALERT)
                    continue;
                engine_values(a.e, 0, 0, NAMES, value);
                for (unsigned i = 0; i < NAMES; i++) {
                    int64_t v = alert_operand(alert, i);
                    double expected = v == ALERT_UNKNOWN ? NAN : i == 0 ? (double)v / 1e9 : bits_double(v);
                    if (!(isnan(expected) && isnan(value[i])) && expected != value[i])
                        fail_msg("seq %" PRIu64 ": %s is %.17g, expected %.17g", alert->seq, names[i],
                                 value[i], expected);
                    known += !isnan(value[i]);
                }
            }
        }
        assert_true(known > 20000);
        if (with_rule) { /* what was asked for changes nothing */
            assert_int_equal(a.events.n, b.events.n);
            assert_memory_equal(a.events.slot, b.events.slot, a.events.n * sizeof *a.events.slot);
        }
        double none;
        engine_values(a.e, 7, 0, 1, &none);
        assert_true(isnan(none));
        bench_close(&a);
        bench_close(&b);
        tape_free(&t);
        tape_free(&ruled);
    }
}

/* Expressions of every form, of which the engine itself says when each is true: by a rule that fires at every
 * message at which it is. */
static const char *const exprs[] = {
    "price > 100",
    "not price > 100",
    "price >= 99.99 and not (price == 100.01 or volume_5m < 3000)",
    "rsi(14)@1m < 45 or rsi(14)@1m > 55",
    "not rsi(14)@1m < 45",
    "change_pct_5m > 0 and change_pct_1m < 0",
    "price > vwap(session)",
    "bid - ask >= -0.03 and ask - bid < 0.02",
    "2 * price - bid > ask",
    "(ask + bid) / 2 < price or volume_5m / volume_15m > 0.5",
    "ema(20)@5m > price + 0.01",
    "price != close",
    "session == \"market\"",
    "sector == \"Energy\" and price > 99.9",
    "sector != \"Energy\" or price < 99.9",
    "halted and price > 99.5",
    "halted or not price > 99.9 or bid / (ask - bid) > 4000",
    "inside_bar@5m or running_up(2)@1m",
};
enum { EXPRS = sizeof exprs / sizeof *exprs };

static void lively_market(struct tape *t, uint64_t seed)
{
    int64_t now = T0 + 10 * 60 * MIN, price = PX(100);
    struct attributes a;
    put_setting(t, "calendar.0=%lld,%lld,%lld,%lld", (long long)T0,
                (long long)(T0 + 10 * 60 * MIN + 30 * MIN), (long long)(T0 + 20 * 60 * MIN),
                (long long)(T0 + 24 * 60 * MIN));
    for (unsigned i = 0; i < EXPRS; i++) {
        char id[8], whole[300];
        snprintf(id, sizeof id, "e%u", i);
        /* a rule that names no `halted` is held by a halt */
        snprintf(whole, sizeof whole, "(%s) and (halted or not halted)", exprs[i]);
        put_rule(t, i, &(struct rule_spec){.id = id, .expr = whole});
    }
    put_symbol(t, 0, "A", 0, 0, 0);
    attributes_clear(&a);
    for (int i = 0; i < 4000; i++) {
        now += random_below(&seed, 4000) * MS;
        price += ((int64_t)random_below(&seed, 21) - 10 - (price - PX(100)) / PX(0.2)) * PX(0.01);
        if (one_in(&seed, 5))
            put_clock(t, 0, bucket_grid_floor(0, now));
        if (one_in(&seed, 60))
            put_status(t, 0, now, one_in(&seed, 2) ? STATUS_HALTED : STATUS_TRADING);
        if (i == 1000 || i == 2000) {
            assert_true(
                attribute_set_text(&a, ATTRIBUTE_SECTOR, i == 1000 ? "Energy" : "Banks", i == 1000 ? 6 : 5));
            put_attributes(t, 0, &a);
        }
        if (i > 300 && one_in(&seed, 3))
            put_quote(t, 0, now, price - random_below(&seed, 4) * PX(0.01),
                      price + random_below(&seed, 4) * PX(0.01));
        else
            put_trade(t, 0, now, price, 1 + random_below(&seed, 500));
    }
    tape_stamp(t, 1);
}

static void test_expressions(void **state)
{
    static struct toplist_condition c[EXPRS];
    struct toplist_keys keys = {0};
    struct engine_limits limits = bench_limits;
    struct tape t = {0};
    struct bench b;
    struct error err;
    unsigned met[EXPRS] = {0}, asked = 0;
    (void)state;
    lively_market(&t, seed_or(17));
    for (unsigned i = 0; i < EXPRS; i++)
        if (toplist_keys_add(&keys, exprs[i], &err) < 0)
            fail_msg("%s: %s", exprs[i], err.text);
    for (unsigned i = 0; i < EXPRS; i++)
        assert_int_equal(toplist_condition(&c[i], exprs[i], &keys, &err), 0);
    limits.asked = keys.n;
    bench_open(&b, &limits);
    assert_int_equal(engine_ask(b.e, keys.metric, keys.n), 0);
    for (size_t at = 0; at < t.n; at += msg_slot_count(&t.slot[at])) {
        const struct msg *m = &t.slot[at];
        struct tape one = {&t.slot[at], msg_slot_count(m), 0};
        size_t before = b.events.n;
        int64_t key[TOPLIST_KEYS_MAX];
        bool fired[EXPRS] = {false};
        bench_apply(&b, &one, 0);
        if (m->type != MSG_TRADE && m->type != MSG_QUOTE)
            continue;
        for (size_t e = before; e < b.events.n; e += msg_slot_count(&b.events.slot[e]))
            if (b.events.slot[e].type == MSG_ALERT)
                fired[((const struct msg_alert *)b.events.slot[e].first)->rule] = true;
        engine_keys(b.e, 0, 0, keys.n, key);
        asked++;
        for (unsigned i = 0; i < EXPRS; i++) {
            bool meets = toplist_meets(&c[i], key);
            met[i] += meets;
            if (meets != fired[i])
                fail_msg("seq %" PRIu64 ": %s is %d, the rule says %d", m->seq, exprs[i], meets, fired[i]);
        }
    }
    for (unsigned i = 0; i < EXPRS; i++)
        if (met[i] < asked / 100 || met[i] > asked - asked / 100)
            fail_msg("%s: true at %u of %u", exprs[i], met[i], asked);
    bench_close(&b);
    tape_free(&t);
}

/* What is let in fits any engine beside the columns, however little room its rules have. */
static void test_room(void **state)
{
    struct toplist_keys keys = {0};
    struct metric columns[TOPLIST_COLUMNS];
    struct engine_limits limits = bench_limits;
    struct bench b;
    struct error err;
    char expr[64];
    (void)state;
    assert_int_equal(toplist_keys_add(&keys, "adx(200)@4h > 1", &err), 0); /* most of it, at once */
    for (const char *const *t = (const char *const[]){"2m", "10m", "30m", "1h", "2h", "1d", NULL}; *t; t++) {
        snprintf(expr, sizeof expr, "rsi(14)@%s > 1", *t);
        assert_int_equal(toplist_keys_add(&keys, expr, &err), 0);
    }
    for (int i = 5; toplist_keys_add(&keys, expr, &err) == 0; i++)
        snprintf(expr, sizeof expr, "rsi(%d)@5m > 1", i);
    assert_non_null(strstr(err.text, "expected at most 256"));
    keys.n--;
    assert_true(keys.n > 15);
    limits.metrics = 1;
    limits.asked = TOPLIST_COLUMNS + keys.n;
    bench_open(&b, &limits);
    toplist_columns(columns);
    engine_ask(b.e, columns, TOPLIST_COLUMNS);
    assert_int_equal(engine_ask(b.e, keys.metric, keys.n), TOPLIST_COLUMNS);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),           cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_filters),          cmocka_unit_test(test_attribute_filters),
        cmocka_unit_test(test_attribute_values), cmocka_unit_test(test_values),
        cmocka_unit_test(test_expressions),      cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
