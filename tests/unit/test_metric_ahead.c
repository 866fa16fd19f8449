/* The next day's state, built ahead: two engines go over the same random market, one of them never builds
 * ahead. Whatever comes in the hour before the switch, they must say the same. */
#include "tests/unit/engine_harness.h"

#include "core/engine_int.h"

enum { SYMBOLS = 6, BUCKETS = 3, ROUNDS = 40 };

static const struct engine_limits limits = {.symbols = SYMBOLS,
                                            .ids = SYMBOLS,
                                            .rules = 16,
                                            .metrics = 64,
                                            .fires = 1024,
                                            .bars = 2048,
                                            .trades = 4000};

/* Each shows its values at every trade. */
static const struct rule_spec specs[] = {
    {"means", "ema(20)@1m > 0 and sma(7)@1m > 0 and wma(9)@1m > 0", .cooldown_ns = 0},
    {"rsi", "rsi(14)@1m >= 0 and stoch(5,3,3)@1m >= 0", .cooldown_ns = 0},
    {"longer", "ema(5)@5m > 0 and rsi(4)@2m >= 0", .cooldown_ns = 0},
    {"volume", "relative_volume_1m >= 0 and relative_volume_5m >= 0 and relative_volume_same_time >= 0",
     .cooldown_ns = 0},
    {"candles", "ema_cross_up(3,8) or ema_return(4)@2m or consecutive_candles >= 1", .cooldown_ns = 0},
    {"days", "sma(2)@1d > 0 and ema(2)@1d > 0", .cooldown_ns = 0},
    {"scoped", "ema(11)@1m > 0 and ema(6)@10m > 0", .symbols = "S1,S2,S3"},
    {"cross", "ema(4)@1m > price", .trigger = TRIGGER_CROSS},
    {"new", "ema(13)@1m > 0 and macd(3,6,2)@1m < 1", .cooldown_ns = 0},
};
enum { SPECS = sizeof specs / sizeof *specs };

static bool open_at(uint32_t symbol, int64_t t)
{
    int64_t hour = (t - T0) / (60 * MIN) % 24;
    return symbol % 3 == 0 || hour < 16;
}

static void open_market(struct tape *t, uint64_t *seed)
{
    for (int day = 0; day < 4; day++) {
        long long from = (long long)(T0 + day * DAY), hour = (long long)(60 * MIN);
        put_setting(t, "calendar.0=%lld,%lld,%lld,%lld", from, from + 5 * hour, from + 12 * hour,
                    from + 16 * hour);
        put_setting(t, "calendar.1=%lld,%lld,%lld,%lld", from, from, from + 24 * hour, from + 24 * hour);
    }
    put_setting(t, "bars.keep=%u", 10 + random_below(seed, one_in(seed, 2) ? 80 : 500));
    put_setting(t, "bars.corrections=%s", one_in(seed, 2) ? "true" : "false");
    put_setting(t, "bars.flat=%s", one_in(seed, 3) ? "true" : "false");
    for (uint32_t i = 0; i < SPECS - 1; i++)
        put_rule(t, i, &specs[i]);
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        char name[8];
        snprintf(name, sizeof name, "S%u", i);
        put_symbol(t, i, name, i % BUCKETS * 100, 0, i % 3 == 0);
    }
}

/* What seldom comes, and changes what has been built. */
static void disturb(struct tape *t, uint64_t *seed, int64_t now, bool *last_rule)
{
    uint32_t s = random_below(seed, SYMBOLS);
    switch (random_below(seed, 6)) {
    case 0:
        put_setting(t, "bars.keep=%u", 10 + random_below(seed, 400));
        break;
    case 1:
        put_split(t, s, T0 + DAY, 2, 1);
        break;
    case 2:
        if (!*last_rule)
            put_rule(t, SPECS - 1, &specs[SPECS - 1]);
        *last_rule = true;
        break;
    case 3:
        put_daily(t, s, T0 - DAY, PX(90));
        break;
    case 4:
        put_cancel(t, s, now, t->n - random_below(seed, 500));
        break;
    default:
        put_trade(t, s, now - random_below(seed, 600) * MIN, PX(97), 7);
    }
}

/* From the first day's last hours into the second; the switch is at T0 + DAY. */
static void market(struct tape *t, uint64_t *seed)
{
    int64_t now = T0 + 8 * 60 * MIN, end = T0 + DAY + 90 * MIN, price[SYMBOLS];
    bool last_rule = false, calm = one_in(seed, 2);
    open_market(t, seed);
    for (int i = 0; i < SYMBOLS; i++)
        price[i] = PX(100);
    while (now < end) {
        int64_t before = now;
        bool any = now > T0 + DAY - 70 * MIN;
        now += (1 + random_below(seed, 40)) * (any ? SEC : 2 * SEC);
        if (now / MIN != before / MIN)
            for (uint32_t b = 0; b < BUCKETS; b++)
                put_clock(t, b * 100, bucket_grid_floor(b * 100, now));
        uint32_t s = random_below(seed, SYMBOLS);
        price[s] += ((int64_t)random_below(seed, 41) - 20) * PX(0.01);
        if (open_at(s, now) || one_in(seed, calm ? 4000 : 100)) {
            put_trade(t, s, now, price[s], 1 + random_below(seed, 90));
            t->slot[t->n - 1].trade.trade_id = t->n;
        }
        if (one_in(seed, calm ? 3000 : 200))
            disturb(t, seed, now, &last_rule);
    }
    put_end(t);
    tape_stamp(t, 1);
}

/* Returns how many symbols went on at a switch from what was built. */
static unsigned run(struct bench *b, const struct tape *t, bool ahead)
{
    unsigned adopted = 0;
    bench_open(b, &limits);
    for (size_t at = 0; at < t->n;) {
        int64_t built[SYMBOLS], day[SYMBOLS];
        for (uint32_t i = 0; i < b->e->n_symbols; i++) {
            if (!ahead)
                ahead_forget(b->e, &b->e->symbol[i]);
            built[i] = b->e->ahead[i].day_ns;
            day[i] = b->e->symbol[i].day_start_ns;
        }
        uint32_t n = b->e->n_symbols;
        at += engine_apply(b->e, &t->slot[at], msg_slot_count(&t->slot[at]), &b->out);
        bench_collect(b);
        for (uint32_t i = 0; i < n; i++)
            adopted += built[i] && !b->e->ahead[i].day_ns && day[i] != b->e->symbol[i].day_start_ns;
    }
    return adopted;
}

static void test_ahead(void **state)
{
    uint64_t seed = seed_or(20261121);
    unsigned adopted = 0;
    size_t alerts = 0;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct tape t = {0};
        struct bench with, without;
        market(&t, &seed);
        adopted += run(&with, &t, true);
        assert_int_equal(run(&without, &t, false), 0);
        assert_int_equal(with.events.n, without.events.n);
        assert_memory_equal(with.events.slot, without.events.slot, with.events.n * sizeof *with.events.slot);
        alerts += engine_counters(with.e)->alerts;
        assert_string_equal(engine_refusal(with.e), "");
        bench_close(&with);
        bench_close(&without);
        tape_free(&t);
    }
    printf("# %u of %u switches were built ahead, %zu alerts\n", adopted, ROUNDS * SYMBOLS, alerts);
    assert_true(adopted > ROUNDS && alerts > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ahead),
    };
    return cmocka_run_group_tests_name("metric_ahead", tests, NULL, NULL);
}
