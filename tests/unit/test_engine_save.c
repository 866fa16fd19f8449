/* Checkpoints of the engine: every bucket is saved at a moment of its own while a random market runs; an
 * engine that gets rules and settings, these pieces and the messages after them must say the same, event for
 * event. */
#include "tests/unit/engine_harness.h"

#include "core/engine_save.h"
#include "core/error.h"
#include "core/parts.h"

enum { SYMBOLS = 24, BUCKETS = 12, PIECES = 4096 };

static const struct engine_limits limits = {.symbols = 32,
                                            .ids = 64,
                                            .rules = 64,
                                            .metrics = 256,
                                            .fires = 4096,
                                            .bars = 2048,
                                            .trades = 40000,
                                            .alerts = 1 << 20};

static const struct rule_spec specs[] = {
    {"level", "price > 100", .cooldown_ns = 10 * SEC},
    {"flood", "volume_live >= 1", .cooldown_ns = 0},
    {"sector", "sector == \"Energy\" and not exchange == \"OTC\" or sector != \"Utilit\"",
     .cooldown_ns = 5 * SEC},
    {"cross", "change_pct_1m > 0.5 or change_pct_5m < -0.5", .trigger = TRIGGER_CROSS,
     .cooldown_ns = 3 * SEC},
    {"rsi", "rsi(5)@1m > 55 and ema(4)@1m > sma(6)@1m", .cooldown_ns = 20 * SEC},
    {"recursive", "ema(9)@1m > price", .trigger = TRIGGER_CROSS},
    {"window", "volume_5m > 200 and not (price < vwap(session))", .cooldown_ns = 60 * SEC},
    {"spread", "spread > 0.02 and bid > 90", .cooldown_ns = SEC},
    {"scoped", "price < 101", .symbols = "S3,S7,S20", .cooldown_ns = 5 * SEC},
    {"level", "price > 99.5", .version = 2, .cooldown_ns = 15 * SEC},
    {"gap", "gap_from_close > 0 or change_from_close_pct > 0.1", .trigger = TRIGGER_CROSS},
    {"days", "change_pct_3d > -0.2 and range_2d > 0.5 and avg_volume_2d > 100", .cooldown_ns = 5 * SEC},
    {"daily", "sma(3)@1d > price or rsi(2)@1d > 60", .trigger = TRIGGER_CROSS, .cooldown_ns = SEC},
    {"sessions", "change_from_close_premarket > 0 or change_from_close_postmarket > 0", .cooldown_ns = SEC},
    {"relative", "relative_volume_daily > 40 and relative_range_pct > 50", .cooldown_ns = 2 * SEC},
    {"candles", "inside_bar or running_up(2)@2m or ema_cross_up(2,5)@5m or ema_return(3) or bullish_harami",
     .trigger = TRIGGER_CROSS},
    {"levels", "break_day_high or reject_day_low or opening_range_breakout_5m or through_vwap_down@2m",
     .cooldown_ns = 4 * SEC},
    {"distance", "ma_dist_pct(ema,4)@2m > 0.1 or consecutive_candles >= 3 or volume_spike(2) > 2",
     .cooldown_ns = 3 * SEC},
    {"off", "price > 1", .disabled = true},
    {"within", "price crosses above 100 within 90s and bid > 99", .cooldown_ns = 15 * SEC, .shadow = true},
    {"since", "not (price > 100.1 within 5m)", .trigger = TRIGGER_CROSS},
    {"for", "price > 99.9 for 3 bars", .cooldown_ns = 20 * SEC, .shadow = true},
    {"long", "price > 99 for 2 5m bars or (spread > 0.01 within 40s) for 2 bars", .symbols = "S1,S2,S3",
     .cooldown_ns = 30 * SEC},
    {"closes", "close > open for 2 bars and volume > 100 within 10m", .trigger = TRIGGER_BAR_CLOSE},
    {"news", "news_age < 3 and sector == \"Energy\"", .trigger = TRIGGER_CROSS},
    {"for", "price > 99.5 for 2 bars", .version = 2, .cooldown_ns = 20 * SEC},
};
enum { SPECS = sizeof specs / sizeof *specs };

static uint32_t bucket_for(uint32_t symbol)
{
    return symbol % BUCKETS * 80 + 7;
}

static void add_symbol(struct tape *t, uint32_t id)
{
    char name[16];
    snprintf(name, sizeof name, "S%u", id);
    put_symbol(t, id, name, bucket_for(id), id % 3 ? 0 : 2, id % 2);
    for (int k = 0; k < (int)(id % 5 * 4); k++)
        put_history(t, id, T0 - ((int)(id % 5 * 4) - k) * DAY,
                    &(struct msg_history_bar){PX(100), PX(101 + k % 3), PX(99), PX(100.5) - PX(0.1) * (k % 4),
                                              (uint64_t)(1000 + 100 * k), DAY});
}

/* Some hours over a day's switch; rules, symbols and settings come in the middle too. Slow: few symbols and
 * many minutes, more than are kept of the day before. */
static void market(struct tape *t, uint64_t *seed, int messages, bool slow)
{
    int64_t now = T0 + (slow ? 12 : 20) * 3600 * SEC, step = (slow ? 5000 : 500) * MS, price[SYMBOLS];
    uint32_t rules = 0, symbols = 0;
    static uint32_t owner[40000]; /* symbol of each trade id */
    uint64_t ids = 0;
    for (int day = -1; day < 3; day++)
        for (unsigned c = 0; c < 2; c++)
            put_setting(t, "calendar.%u=%lld,%lld,%lld,%lld", c, (long long)(T0 + day * DAY),
                        (long long)(T0 + day * DAY + 6 * 60 * MIN),
                        (long long)(T0 + day * DAY + 22 * 60 * MIN),
                        (long long)(T0 + day * DAY + 23 * 60 * MIN));
    put_setting(t, "bars.keep=60");
    put_setting(t, "bars.corrections=true");
    put_setting(t, "bars.flat=%s", one_in(seed, 3) ? "true" : "false");
    for (; rules < 6; rules++)
        put_rule(t, rules, &specs[rules]);
    for (; symbols < SYMBOLS / 2; symbols++)
        add_symbol(t, symbols);
    for (unsigned i = 0; i < SYMBOLS; i++)
        price[i] = PX(100);
    for (int i = 0; i < messages; i++) {
        uint32_t s = random_below(seed, slow ? 4 : symbols), u = random_below(seed, 1000);
        now += random_below(seed, one_in(seed, slow ? 3000 : 300) ? 2000 : 3) * step;
        if (u < 650) {
            price[s] += ((int64_t)random_below(seed, 41) - 20) * PX(0.01);
            int64_t late = one_in(seed, 20) ? random_below(seed, one_in(seed, 4) ? 600 : 3) * SEC : 0;
            late *= slow && one_in(seed, 3) ? 60 : 1;
            /* price x size of some has more than 64 bits */
            put_trade(t, s, now - late, price[s],
                      (1 + random_below(seed, 90)) * (s % 4 == 1 ? UINT64_C(10000000019) : 1));
            t->slot[t->n - 1].trade.trade_id = ++ids;
            owner[ids] = s;
            if (one_in(seed, 12)) { /* one of the last; the message after it may be its correction */
                uint64_t id = ids - random_below(seed, one_in(seed, 3) || ids < 40 ? (uint32_t)ids : 40);
                put_cancel(t, owner[id], now, id);
            } else if (one_in(seed, 12)) {
                t->slot[t->n - 1].flags |= MSG_F_CORRECTION;
            }
        } else if (u < 800) {
            put_quote(t, s, now, price[s] - PX(0.01), price[s] + PX(0.01) * random_below(seed, 4));
        } else if (u < 985) {
            uint32_t b = bucket_for(random_below(seed, SYMBOLS));
            put_clock(t, b, bucket_grid_floor(b, now));
        } else if (u < 990 && rules < SPECS) {
            put_rule(t, rules, &specs[rules]);
            rules++;
        } else if (u < 993 && symbols < SYMBOLS) {
            add_symbol(t, symbols++);
        } else if (u == 995) {
            put_setting(t, "bars.lateness_ms=%u", 500 * random_below(seed, 5));
        } else if (u == 996) {
            put_setting(t, "bars.keep=%u", 20 + random_below(seed, 100));
        } else if (u == 998) {
            put_split(t, s, T0 + (1 + random_below(seed, 2)) * DAY, 1 + random_below(seed, 5),
                      1 + random_below(seed, 3));
        } else if (u == 994) {
            put_status(t, s, now, one_in(seed, 2) ? STATUS_HALTED : STATUS_TRADING);
        } else if (u == 999) {
            struct attributes a;
            attributes_clear(&a);
            if (!one_in(seed, 4))
                attribute_set_text(&a, ATTRIBUTE_SECTOR, "EnergyUtilities" + 6 * random_below(seed, 2), 6);
            if (one_in(seed, 2))
                a.value[ATTRIBUTE_NEWS_AT] = now - random_below(seed, 600) * SEC;
            put_attributes(t, s, &a);
        } else if (u == 997) {
            put_daily(t, s, T0 - (int64_t)random_below(seed, 4) * DAY + DAY, price[s] - PX(0.3));
        }
    }
    put_end(t);
    tape_stamp(t, 1);
}

struct piece {
    uint64_t seq;
    uint32_t bucket;
    size_t bytes;
    void *at;
    enum engine_piece kind;
};

struct checkpoint {
    struct piece piece[PIECES];
    size_t n;
    uint64_t seq[BUCKET_COUNT]; /* of the last whole one; 0: none */
};

static void checkpoint_free(struct checkpoint *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->piece[i].at);
    free(c);
}

/* Applies the tape; at random moments pieces of random buckets are saved. */
static void run_saving(struct bench *b, const struct tape *t, struct checkpoint *c, uint64_t *seed)
{
    size_t max = engine_save_max(&b->limits), until = t->n / 4 + random_below(seed, (uint32_t)t->n * 2 / 3);
    uint8_t *room = malloc(max);
    for (size_t at = 0; at < t->n;) {
        const struct msg *m = &t->slot[at];
        uint64_t seq = m->seq;
        while (engine_apply(b->e, m, msg_slot_count(m), &b->out) == 0)
            bench_collect(b);
        bench_collect(b);
        at += msg_slot_count(m);
        if (!one_in(seed, 12) || c->n == PIECES || at > until)
            continue;
        struct piece p = {.seq = seq, .bucket = bucket_for(random_below(seed, BUCKETS))};
        if (one_in(seed, 400))
            engine_save_anew(b->e);
        p.bytes = engine_save(b->e, p.bucket, room, max, &p.kind);
        assert_true(p.bytes > 0);
        enum engine_piece again;
        assert_int_equal(engine_save(b->e, p.bucket, room, 8, &again), 0); /* no room: nothing is lost */
        p.at = malloc(p.bytes);
        memcpy(p.at, room, p.bytes);
        c->piece[c->n++] = p;
        if (p.kind == ENGINE_PIECE_BUCKET)
            c->seq[p.bucket] = seq;
    }
    free(room);
}

static void load_bucket(struct bench *b, const struct checkpoint *c, uint32_t bucket)
{
    struct error err = {""};
    for (size_t i = 0; i < c->n; i++)
        if (c->piece[i].bucket == bucket && c->piece[i].seq <= c->seq[bucket])
            if (engine_load(b->e, c->piece[i].at, c->piece[i].bytes, c->piece[i].seq == c->seq[bucket], &err))
                fail_msg("piece %zu: %s", i, err.text);
}

static uint32_t bucket_of_message(const struct msg *m)
{
    return m->type == MSG_CLOCK ? m->symbol : bucket_for(m->symbol);
}

/* A second engine, from the pieces and what came after the oldest. */
static void run_restored(struct bench *b, const struct tape *t, const struct checkpoint *c)
{
    uint64_t oldest = UINT64_MAX;
    bool loaded[BUCKET_COUNT] = {false};
    for (uint32_t i = 0; i < BUCKETS; i++)
        oldest = c->seq[bucket_for(i)] < oldest ? c->seq[bucket_for(i)] : oldest;
    for (size_t at = 0, slots; at < t->n; at += slots) {
        const struct msg *m = &t->slot[at];
        bool global = m->type == MSG_RULE || m->type == MSG_SETTING || m->type == MSG_END;
        slots = msg_slot_count(m);
        for (uint32_t i = 0; i < BUCKETS; i++)
            if (!loaded[bucket_for(i)] && m->seq > c->seq[bucket_for(i)] && m->seq > oldest) {
                loaded[bucket_for(i)] = true;
                load_bucket(b, c, bucket_for(i));
            }
        if (!global && m->seq <= c->seq[bucket_of_message(m)])
            continue;
        while (engine_apply(b->e, m, slots, &b->out) == 0)
            bench_collect(b);
        bench_collect(b);
    }
}

/* The events of `all` that come after their bucket's checkpoint are those of `some`. */
static size_t compare(const struct tape *all, const struct tape *some, const struct checkpoint *c)
{
    size_t k = 0, n = 0;
    for (size_t at = 0, slots; at < all->n; at += slots) {
        const struct msg *m = &all->slot[at];
        slots = msg_slot_count(m);
        if (m->type != MSG_END && m->seq <= c->seq[bucket_for(m->symbol)])
            continue;
        assert_true(k + slots <= some->n);
        assert_memory_equal(m, &some->slot[k], slots * sizeof *m);
        k += slots;
        n++;
    }
    assert_int_equal(k, some->n);
    return n;
}

static void test_random_markets(void **state)
{
    uint64_t seed = seed_or(20261121);
    size_t events = 0, buckets = 0, cancels = 0, splits = 0, revised = 0, withdrawn = 0;
    (void)state;
    for (int round = 0; round < 24; round++) {
        struct tape t = {0};
        struct bench whole, restored;
        struct checkpoint *c = calloc(1, sizeof *c);
        market(&t, &seed, 6000 + 4000 * (round % 4), round % 6 == 5);
        bench_open(&whole, &limits);
        bench_open(&restored, &limits);
        run_saving(&whole, &t, c, &seed);
        run_restored(&restored, &t, c);
        cancels += engine_counters(whole.e)->cancels;
        splits += engine_counters(whole.e)->splits;
        revised += engine_counters(restored.e)->alerts_revised;
        withdrawn += engine_counters(restored.e)->alerts_withdrawn;
        assert_int_equal(engine_counters(restored.e)->alerts_unkept, 0);
        events += compare(&whole.events, &restored.events, c);
        for (uint32_t i = 0; i < BUCKETS; i++)
            buckets += c->seq[bucket_for(i)] != 0;
        checkpoint_free(c);
        bench_close(&whole);
        bench_close(&restored);
        tape_free(&t);
    }
    printf("# %zu events after %zu restored buckets; of alerts %zu revised, %zu withdrawn\n", events, buckets,
           revised, withdrawn);
    assert_true(revised > 100 && withdrawn > 20);
    assert_true(events > 10000 && buckets > 100 && cancels > 2000 && splits > 10);
}

/* Whatever the bytes are, they are taken or refused, and nothing outside is touched (the sanitizers look). */
static void test_hostile(void **state)
{
    uint64_t seed = seed_or(7);
    struct tape t = {0};
    struct bench b;
    struct checkpoint *c = calloc(1, sizeof *c);
    unsigned refused = 0, tried = 0;
    (void)state;
    market(&t, &seed, 8000, false);
    bench_open(&b, &limits);
    run_saving(&b, &t, c, &seed);
    bench_close(&b);
    for (size_t i = 0; i < c->n; i += 7) {
        struct error err = {""};
        struct piece *p = &c->piece[i];
        size_t bytes = one_in(&seed, 3) ? random_below(&seed, (uint32_t)p->bytes) : p->bytes;
        uint8_t *copy = malloc(bytes + 1);
        memcpy(copy, p->at, bytes);
        for (int k = random_below(&seed, 6); k > 0 && bytes; k--)
            copy[random_below(&seed, (uint32_t)bytes)] = (uint8_t)random_next(&seed);
        bench_open(&b, &limits);
        for (size_t at = 0, slots; at < t.n && t.slot[at].seq <= p->seq; at += slots) {
            slots = msg_slot_count(&t.slot[at]);
            if (t.slot[at].type == MSG_RULE || t.slot[at].type == MSG_SETTING)
                assert_int_equal(engine_apply(b.e, &t.slot[at], slots, &b.out), slots);
        }
        for (size_t k = 0; k < i; k++) /* what the piece goes on from is sound */
            if (c->piece[k].bucket == p->bucket)
                assert_int_equal(engine_load(b.e, c->piece[k].at, c->piece[k].bytes, false, &err), 0);
        if (engine_load(b.e, copy, bytes, true, &err)) {
            assert_non_null(strstr(err.text, "piece"));
            refused++;
        } else {
            bench_apply(&b, &t, 0);
        }
        tried++;
        free(copy);
        bench_close(&b);
    }
    printf("# %u of %u refused\n", refused, tried);
    assert_true(refused > tried / 4);
    checkpoint_free(c);
    tape_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_markets),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests_name("engine_save", tests, NULL, NULL);
}
