/* Rules that share a template are sieved together, a rule alone never is: a market with many rules gives the
 * alerts and the counts that each of its rules gives in an engine of its own. */
#include "tests/unit/engine_harness.h"

enum { RULES = 240, SYMBOLS = 3, TICKS = 6000 };

static const struct engine_limits limits = {
    .symbols = 8, .ids = 16, .rules = RULES, .metrics = 64, .fires = 4096, .bars = 2048, .trades = 1 << 14};

/* Two to four comparisons, up and down, that are unknown at first, that flip with trades, quotes and clocks;
 * some that seldom hold for any rule, so that others need no look; five of them, the same twice, an OR and a
 * crossing, which no sieve takes. */
static void expr_random(uint64_t *rnd, char *out, size_t max)
{
#define U(lo, hi) ((lo) + ((hi) - (lo)) * (double)random_below(rnd, 1000) / 1000)
    const char *up = one_in(rnd, 4) ? ">=" : ">", *down = one_in(rnd, 4) ? "<=" : "<";
    switch (random_below(rnd, 11)) {
    case 0:
    case 1:
        snprintf(out, max, "price %s %.3f and spread %s %.3f", up, U(99, 101), down, U(0, 0.1));
        break;
    case 2:
        snprintf(out, max, "price %s %.2f and price %s %.2f", up, U(99, 101), down, U(99, 101));
        break;
    case 3:
        snprintf(out, max, "dev(5 trades) %s %.5f and size > %.0f and change_over(9s) %s %.5f", up,
                 U(-1e-3, 1e-3), U(1, 100), down, U(-1e-3, 1e-3));
        break;
    case 4:
        snprintf(out, max,
                 "sma(3) %s %.2f and seconds_since_trade > %.1f and bid %s %.2f and volume_live > %.0f", down,
                 U(99, 101), U(0, 3), up, U(99, 101), U(0, 500));
        break;
    case 5:
        snprintf(out, max, "rsi(3) > %.1f and price > %.2f and bid < %.2f and size > %.0f and spread > %.3f",
                 U(20, 80), U(99, 101), U(99, 101), U(1, 100), U(0, 0.1));
        break;
    case 6:
        snprintf(out, max, "price > %.2f and price > %.2f and size > %.0f", U(99, 101), U(99, 101),
                 U(1, 100));
        break;
    case 7:
        snprintf(out, max, "price > %.2f and size > %.0f or bid > %.2f", U(99, 101), U(1, 100), U(99, 101));
        break;
    case 8:
        snprintf(out, max, "change_over(5s) %s %.5f and dev(4 trades) %s %.5f and size > %.0f", up,
                 U(-1e-3, 1e-3), down, U(-1e-3, 1e-3), U(80, 125));
        break;
    case 9:
        snprintf(out, max, "price > %.2f and size %s %.0f and dev(6 trades) > %.5f and bid < %.2f",
                 U(99, 101), down, U(1, 30), U(-1e-4, 5e-4), U(99, 101));
        break;
    default:
        snprintf(out, max, "price crosses above %.2f and size > %.0f", U(99, 101), U(1, 100));
    }
#undef U
}

struct market {
    char id[RULES][16], expr[RULES][160];
    struct rule_spec rule[RULES];
    uint32_t comes_at[RULES]; /* before this tick; 0: before all */
    struct tape tick[TICKS];
    struct tape before;
};

static void market_random(struct market *m, uint64_t seed)
{
    static const enum rule_trigger trigger[] = {TRIGGER_LEVEL, TRIGGER_LEVEL, TRIGGER_CROSS, TRIGGER_ONCE,
                                                TRIGGER_ONCE_PER_BAR};
    uint64_t rnd = seed;
    for (uint32_t i = 0; i < RULES; i++) {
        snprintf(m->id[i], sizeof m->id[i], "r%u", i);
        m->rule[i] =
            (struct rule_spec){.id = m->id[i],
                               .expr = m->expr[i],
                               .trigger = trigger[random_below(&rnd, 5)],
                               .cooldown_ns = one_in(&rnd, 2) ? 0 : (int64_t)random_below(&rnd, 5) * SEC};
        expr_random(&rnd, m->expr[i], sizeof m->expr[i]);
        m->comes_at[i] = i >= 200 ? 1000 + random_below(&rnd, 3) * 1000 : 0;
        if (i >= 220) { /* versions of those before */
            m->rule[i].id = m->id[i - 220];
            m->rule[i].version = 2;
        }
    }
    put_setting(&m->before, "bars.corrections=true");
    put_setting(&m->before, "calendar.0=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, T0 - 60 * MIN,
                T0 - 30 * MIN, T0 + 600 * MIN, T0 + 660 * MIN);
    int64_t t = T0, price[SYMBOLS];
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        char name[8];
        snprintf(name, sizeof name, "S%u", i);
        put_symbol(&m->before, i, name, i, 0, 0);
        price[i] = PX(100);
    }
    for (uint32_t i = 0; i < TICKS; i++) {
        uint32_t s = random_below(&rnd, SYMBOLS), kind = random_below(&rnd, 10);
        t += one_in(&rnd, 100) ? 20 * SEC : (int64_t)random_below(&rnd, 400) * MS;
        price[s] += ((int64_t)random_below(&rnd, 21) - 10) * PX(0.01);
        price[s] = price[s] < PX(99) ? PX(99) : price[s] > PX(101) ? PX(101) : price[s];
        if (one_in(&rnd, 40))
            put_cancel(&m->tick[i], s, t, i - random_below(&rnd, 60)); /* its own trade, or nothing */
        else if (kind < 6)
            put_trade(&m->tick[i], s, t, price[s], 1 + random_below(&rnd, 120));
        else if (kind < 9)
            put_quote(&m->tick[i], s, t, price[s] - random_below(&rnd, 6) * PX(0.01), price[s] + PX(0.02));
        else
            put_clock(&m->tick[i], s, t);
        if (m->tick[i].slot->type == MSG_TRADE)
            m->tick[i].slot->trade.trade_id = i + 1;
    }
}

/* The market with one of its rules, or all of them (only = RULES). */
static void market_run(const struct market *m, uint32_t only, struct bench *b)
{
    struct tape t = {0};
    bench_open(b, &limits);
    memcpy(tape_room(&t, m->before.n), m->before.slot, m->before.n * sizeof *t.slot);
    t.n += m->before.n;
    for (uint32_t i = 0; i < TICKS; i++) {
        for (uint32_t r = 0; r < RULES; r++) {
            bool its_version = only < RULES && !strcmp(m->rule[r].id, m->rule[only].id);
            if (m->comes_at[r] == i && (only == RULES || its_version))
                put_rule(&t, r, &m->rule[r]);
        }
        memcpy(tape_room(&t, m->tick[i].n), m->tick[i].slot, m->tick[i].n * sizeof *t.slot);
        t.n += m->tick[i].n;
    }
    uint64_t seq = 0, of_tick = 1000; /* a tick has the same number with any rules */
    for (size_t at = 0; at < t.n; at += msg_slot_count(&t.slot[at])) {
        bool tick = msg_is_tick(&t.slot[at]) || t.slot[at].type == MSG_CLOCK;
        if (tick)
            seq = ++of_tick * 1000;
        msg_set_seq(&t.slot[at], seq += !tick);
    }
    bench_apply(b, &t, 0);
    assert_int_equal(engine_counters(b->e)->rules_refused + engine_counters(b->e)->metrics_full +
                         engine_counters(b->e)->rules_full + engine_counters(b->e)->fires_full,
                     0);
    tape_free(&t);
}

/* The alerts of one rule, but for their place among the others of their message. */
static uint32_t alerts_of(const struct tape *events, uint32_t rule, struct tape *out)
{
    uint32_t n = 0;
    for (size_t at = 0; at < events->n; at += msg_slot_count(&events->slot[at])) {
        const struct msg *m = &events->slot[at];
        struct msg_alert a;
        if (m->type != MSG_ALERT || (alert_head(m, &a), a.rule != rule))
            continue;
        size_t slots = msg_slot_count(m);
        struct msg *to = tape_room(out, slots);
        memcpy(to, m, slots * sizeof *to);
        a.sub = 0;
        msg_put(to, 0, &a, sizeof a);
        out->n += slots;
        n++;
    }
    return n;
}

static void test_alone_and_together(void **state)
{
    (void)state;
    static struct market m;
    struct bench all, one;
    uint32_t alerts = 0, firing = 0;
    market_random(&m, seed_or(1));
    market_run(&m, RULES, &all);
    for (uint32_t r = 0; r < RULES; r++) {
        struct tape together = {0}, alone = {0};
        market_run(&m, r, &one);
        uint32_t n = alerts_of(&all.events, r, &together);
        assert_int_equal(alerts_of(&one.events, r, &alone), n);
        assert_int_equal(together.n, alone.n);
        if (n)
            assert_memory_equal(together.slot, alone.slot, alone.n * sizeof *alone.slot);
        assert_memory_equal(&all.stats[r], &one.stats[r], sizeof *one.stats);
        alerts += n;
        firing += n > 0;
        tape_free(&together);
        tape_free(&alone);
        bench_close(&one);
    }
    bench_close(&all);
    assert_true(firing > RULES / 2);
    assert_true(alerts > 10000);
    tape_free(&m.before);
    for (uint32_t i = 0; i < TICKS; i++)
        tape_free(&m.tick[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alone_and_together)};
    return cmocka_run_group_tests_name("rule_sieve", tests, NULL, NULL);
}
