/* Symbols against their sectors: random seconds against a slow, obvious reading; what is told again, what
 * comes twice, what an engine gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/attribute.h"
#include "core/peers.h"
#include "tests/unit/engine_harness.h"

enum { IDS = 64, SEEDS = 40, SECONDS = 60, COOLDOWN_S = 7 };
#define START_NS (INT64_C(1381239000) * SECOND_NS)

static uint64_t state;

static uint32_t below(uint32_t n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % n;
}

static const char *name_of(void *ctx, uint32_t symbol)
{
    static char name[8];
    (void)ctx;
    snprintf(name, sizeof name, "S%u", symbol);
    return name;
}

static struct peers *make(void)
{
    void *mem = aligned_alloc(peers_align(), peers_footprint(IDS));
    assert_non_null(mem);
    return peers_new(mem, IDS);
}

struct found {
    uint32_t symbol;
    double expected, score;
};

/* Ranks the second at hand; what is told. */
static uint32_t tell(struct peers *p, struct found found[IDS])
{
    struct msg m[MSG_SLOTS_MAX];
    uint32_t n = 0;
    peers_rank(p);
    while (peers_next(p, name_of, NULL, m)) {
        struct msg_anomaly a;
        msg_get(m, 0, &a, sizeof a);
        assert_int_equal(a.kind, ANOMALY_SECTOR);
        assert_int_equal(m->seq, p->last_seq);
        assert_true(n == 0 || m->symbol > found[n - 1].symbol);
        found[n++] = (struct found){m->symbol, a.expected, a.score};
    }
    return n;
}

/* ---- the obvious reading */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *v, uint32_t n)
{
    double s[IDS];
    memcpy(s, v, n * sizeof *v);
    qsort(s, n, sizeof *s, by_value);
    return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

/* The score of symbol i among `there`. False: too few of its sector. */
static bool score(const struct peer *peer, const bool *there, uint32_t i, double *middle, double *z)
{
    double v[IDS], away[IDS];
    uint32_t n = 0;
    for (uint32_t k = 0; k < IDS; k++)
        if (there[k] && peer[k].sector == peer[i].sector)
            v[n++] = peer[k].change_pct;
    if (n < PEERS_MIN)
        return false;
    *middle = median(v, n);
    for (uint32_t k = 0; k < n; k++)
        away[k] = v[k] < *middle ? *middle - v[k] : v[k] - *middle;
    double s = 1.4826 * median(away, n);
    *z = (peer[i].change_pct - *middle) / (s > peer[i].tick_pct ? s : peer[i].tick_pct);
    return true;
}

static int64_t clock_of(uint32_t second, uint32_t bucket)
{
    return START_NS + second * SECOND_NS + bucket_offset_ns(bucket);
}

/* A second in which some symbols strike, each in a bucket of its own; some blocks come twice. */
static void random_second(struct peers *p, uint32_t second, uint64_t *seq, struct peer *peer, bool *there,
                          double threshold)
{
    struct peer_settings settings = {threshold, COOLDOWN_S};
    for (uint32_t i = 0; i < IDS; i++) {
        there[i] = below(10) > 0;
        if (!there[i])
            continue;
        int64_t at = clock_of(second, i * 16);
        *seq += 1 + below(5);
        peer[i].price_e9 = 1000000000;
        peer[i].tick_pct = below(2) ? 0.01 : 0.3;
        peer[i].change_pct = (double)(int)below(40) / 10 - 2;
        if (below(30) == 0)
            peer[i].change_pct *= 20;
        for (int again = below(8) == 0; again >= 0; again--) {
            peers_row(p, i, &peer[i], *seq, at);
            peers_clock(p, *seq, at, &settings);
        }
        assert_false(peers_ends_second(p, at));
    }
    assert_true(peers_ends_second(p, clock_of(second + 1, 0)));
}

static void test_random(void **unused)
{
    uint32_t told_in_all = 0, held = 0;
    (void)unused;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct peers *p = make();
        struct peer peer[IDS] = {0};
        struct found found[IDS];
        bool there[IDS];
        int64_t told_ns[IDS];
        uint64_t seq = UINT64_MAX / 2;
        uint32_t sectors = 1 + (uint32_t)seed % 14;
        state = seed;
        for (uint32_t i = 0; i < IDS; i++) {
            told_ns[i] = INT64_MIN;
            peer[i].sector = below(sectors);
        }
        for (uint32_t second = 0; second < SECONDS; second++) {
            random_second(p, second, &seq, peer, there, 4);
            uint32_t n = tell(p, found), k = 0;
            for (uint32_t i = 0; i < IDS; i++) {
                double middle, z;
                int64_t at = clock_of(second, i * 16);
                if (!there[i] || !score(peer, there, i, &middle, &z) || (z < 4 && z > -4))
                    continue;
                if (told_ns[i] != INT64_MIN && at - told_ns[i] < COOLDOWN_S * SECOND_NS) {
                    held++;
                    continue;
                }
                told_ns[i] = at;
                assert_true(k < n && found[k].symbol == i);
                assert_true(found[k].expected == middle && found[k].score == z);
                k++;
            }
            assert_int_equal(k, n);
            told_in_all += n;
            if (second % 3 == 0) { /* the one who told it died, and another one does it again */
                assert_int_equal(tell(p, found), n);
            }
            peers_done(p);
        }
        free(p);
    }
    print_message("told %u, held %u\n", told_in_all, held);
    assert_true(told_in_all > 1000 && held > 100);
}

/* ---- by hand */

static void strike(struct peers *p, uint32_t n, uint32_t second, uint64_t seq, const double *change,
                   struct peer_settings settings)
{
    for (uint32_t i = 0; i < n; i++) {
        struct peer peer = {.sector = 7, .price_e9 = 1, .change_pct = change[i], .tick_pct = 0.5};
        peers_row(p, i, &peer, seq + i, clock_of(second, i));
        peers_clock(p, seq + i, clock_of(second, i), &settings);
    }
}

static void test_few(void **unused)
{
    const double change[] = {0, 0, 0, 0, 2, 0};
    const struct peer_settings on = {4, 60}, off = {0, 60};
    struct found found[IDS];
    struct peers *p = make();
    (void)unused;
    strike(p, 4, 0, 10, change, on); /* 4 are no sector */
    assert_int_equal(tell(p, found), 0);
    peers_done(p);
    strike(p, 5, 1, 20, change, on); /* no deviation: a tick is one, and 2 are four of them */
    assert_int_equal(tell(p, found), 1);
    assert_true(found[0].symbol == 4 && found[0].score == 4 && found[0].expected == 0);
    peers_done(p);
    assert_int_equal(p->done_seq, 24);
    assert_int_equal(p->done_before_seq, 13);
    strike(p, 6, 60, 30, change, on); /* 59 s later: quiet */
    assert_int_equal(tell(p, found), 0);
    peers_done(p);
    strike(p, 6, 61, 40, change, off);
    assert_int_equal(tell(p, found), 0);
    peers_done(p);
    strike(p, 6, 61, 40, change, on); /* of a second that is done: passed over */
    assert_false(peers_ends_second(p, clock_of(99, 0)));
    strike(p, 6, 62, 50, change, on);
    assert_int_equal(tell(p, found), 1);
    peers_done(p);
    free(p);
}

/* What is known of before, from an outbox, holds as what was told here. */
static void test_told(void **unused)
{
    const double change[] = {0, 0, 0, 0, 2};
    const struct peer_settings on = {4, 60};
    struct found found[IDS];
    struct peers *p = make();
    (void)unused;
    peers_told(p, 4, 5, clock_of(0, 4));
    peers_told(p, IDS, 5, clock_of(0, 4)); /* none of ours */
    strike(p, 5, 59, 10, change, on);
    assert_int_equal(tell(p, found), 0);
    peers_done(p);
    strike(p, 5, 60, 20, change, on);
    assert_int_equal(tell(p, found), 1);
    peers_told(p, 4, 20, clock_of(60, 4)); /* the very same */
    assert_int_equal(tell(p, found), 1);
    free(p);
}

static void test_join(void **unused)
{
    size_t bytes = peers_footprint(IDS);
    struct peers *p = make();
    (void)unused;
    assert_ptr_equal(peers_join(p, bytes), p);
    assert_null(peers_join(NULL, bytes));
    assert_null(peers_join(p, bytes - 64));
    assert_null(peers_join((char *)p + 8, bytes - 8));
    p->ids = (1 << 22) + 1;
    assert_null(peers_join(p, SIZE_MAX));
    assert_int_equal(peers_footprint(0), 0);
    free(p);
}

/* ---- what an engine gives */

/* A day of US sessions whose premarket begins at DAY0; symbol 0 in bucket 0. */
#define DAY0 (START_NS / SECOND_NS / 60 * MINUTE_NS)
static const int64_t dollar = 1000000000;

struct day {
    uint64_t seq;
    struct tape tape;
    struct bench bench;
};

static void day_open(struct day *d, const char *sector)
{
    struct attributes a;
    memset(d, 0, sizeof *d);
    bench_open(&d->bench, NULL);
    attributes_clear(&a);
    put_symbol(&d->tape, 0, "A", 0, 0, 0);
    put_setting(&d->tape, "calendar.0=%lld,%lld,%lld,%lld", (long long)DAY0,
                (long long)(DAY0 + 30 * MINUTE_NS), (long long)(DAY0 + 60 * MINUTE_NS),
                (long long)(DAY0 + 90 * MINUTE_NS));
    if (sector && attribute_set_text(&a, ATTRIBUTE_SECTOR, sector, strlen(sector)))
        put_attributes(&d->tape, 0, &a);
}

static void trade(struct day *d, int minute, int second, int64_t price_e9)
{
    put_trade(&d->tape, 0, DAY0 + minute * MINUTE_NS + second * SECOND_NS, price_e9, 100);
}

/* As of a clock. */
static bool peer_at(struct day *d, int minute, int second, struct peer *peer)
{
    put_clock(&d->tape, 0, DAY0 + minute * MINUTE_NS + second * SECOND_NS);
    tape_stamp(&d->tape, d->seq + 1);
    d->seq += d->tape.n;
    bench_apply(&d->bench, &d->tape, 0);
    bool there = engine_peer(d->bench.e, 0, peer);
    d->tape.n = 0;
    return there;
}

static void day_close(struct day *d)
{
    bench_close(&d->bench);
    tape_free(&d->tape);
}

static void test_engine_peer(void **unused)
{
    struct peer peer;
    struct day d;
    (void)unused;
    day_open(&d, "Energy");
    assert_false(peer_at(&d, 0, 0, &peer)); /* no price */
    trade(&d, 1, 5, 100 * dollar);
    assert_false(peer_at(&d, 1, 10, &peer)); /* nothing before the window */
    assert_false(peer_at(&d, 5, 59, &peer)); /* minute 1 is the first of the window 1 to 5 */
    trade(&d, 6, 0, 102 * dollar);           /* minutes 2 to 6 */
    assert_true(peer_at(&d, 6, 0, &peer));
    assert_true(peer.change_pct == 2 && peer.price_e9 == 102 * dollar);
    assert_int_equal(peer.sector, attribute_text_key("Energy", 6));
    assert_true(peer.tick_pct == 100.0 * 10000000 / 102e9); /* the power of ten below a ten-thousandth */
    assert_true(peer_at(&d, 10, 59, &peer));                /* minute 6 is still in the window */
    assert_true(peer.change_pct == 2);
    assert_false(peer_at(&d, 11, 0, &peer)); /* no trade in it any more */
    trade(&d, 12, 0, 51 * dollar);
    assert_true(peer_at(&d, 12, 1, &peer));
    assert_true(peer.change_pct == -50);
    put_status(&d.tape, 0, DAY0 + 12 * MINUTE_NS + 2 * SECOND_NS, STATUS_HALTED);
    assert_false(peer_at(&d, 12, 3, &peer));
    put_status(&d.tape, 0, DAY0 + 12 * MINUTE_NS + 4 * SECOND_NS, STATUS_TRADING);
    assert_true(peer_at(&d, 12, 5, &peer));
    trade(&d, 29, 0, 50 * dollar);
    trade(&d, 31, 0, 60 * dollar); /* another session: nothing of it is older than the window */
    assert_false(peer_at(&d, 31, 1, &peer));
    trade(&d, 36, 0, 66 * dollar);
    assert_true(peer_at(&d, 36, 1, &peer));
    assert_true(peer.change_pct == 10);
    trade(&d, 80, 0, 66 * dollar);
    trade(&d, 89, 0, 66 * dollar);
    assert_true(peer_at(&d, 89, 1, &peer));
    assert_false(peer_at(&d, 90, 0, &peer)); /* closed */
    day_close(&d);

    day_open(&d, NULL);
    trade(&d, 1, 0, dollar);
    trade(&d, 7, 0, dollar);
    assert_false(peer_at(&d, 7, 1, &peer));                      /* of no known sector */
    assert_true(engine_peer_settings(d.bench.e).threshold == 0); /* anomalies are off */
    put_setting(&d.tape, "anomalies.enabled=true");
    put_setting(&d.tape, "anomalies.sector=2.5");
    (void)peer_at(&d, 8, 0, &peer);
    assert_true(engine_peer_settings(d.bench.e).threshold == 2.5);
    assert_true(engine_peer_settings(d.bench.e).cooldown_s == 60);
    day_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_few),         cmocka_unit_test(test_told),
        cmocka_unit_test(test_join),   cmocka_unit_test(test_engine_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
