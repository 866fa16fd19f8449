/* The sequencer, beside one that looks at every occupied bucket at every tick. */
#include "core/sequencer.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SYMBOLS = 2016, FIRST_SEQ = 41 };
#define BASE_NS  (1700000000 * SECOND_NS)
#define DAY_NS   (1440 * MINUTE_NS)
#define LATENESS (2 * SECOND_NS)

struct tape {
    struct msg *slot;
    size_t n, room;
};

static struct msg *tape_room(struct tape *t, size_t slots)
{
    if (t->n + slots > t->room) {
        t->room = 2 * (t->n + slots);
        struct msg *grown = aligned_alloc(64, t->room * sizeof *grown);
        assert_non_null(grown);
        if (t->n)
            memcpy(grown, t->slot, t->n * sizeof *grown);
        free(t->slot);
        t->slot = grown;
    }
    return t->slot + t->n;
}

static struct msg *put(struct tape *t, enum msg_type type, uint32_t symbol, size_t bytes, int64_t event_ns)
{
    struct msg *m = tape_room(t, MSG_SLOTS_MAX);
    t->n += msg_begin(m, type, symbol, bytes);
    m->event_ns = event_ns;
    m->recv_ns = event_ns + 7;
    return m;
}

static void put_symbol(struct tape *t, uint32_t id, uint16_t bucket, uint8_t calendar)
{
    struct msg *m = put(t, MSG_SYMBOL, id, MSG_FIRST_BYTES + 60, 0);
    m->recv_ns = 0;
    m->sym = (struct msg_symbol){.bucket = bucket, .calendar = calendar, .name_len = 60};
}

static void put_trade(struct tape *t, uint32_t id, int64_t event_ns)
{
    put(t, MSG_TRADE, id, 32, event_ns)->trade = (struct msg_trade){.price_e9 = 1, .size = 1};
}

static struct sequencer *new_sequencer(sequencer_calendar *calendar)
{
    struct sequencer_options o = {
        .symbols_max = SYMBOLS, .lateness_ns = LATENESS, .first_seq = FIRST_SEQ, .calendar = calendar};
    size_t bytes = sequencer_footprint(&o);
    void *mem = aligned_alloc(64, bytes);
    assert_int_equal(bytes % 64, 0);
    assert_non_null(mem);
    memset(mem, 0, bytes);
    return sequencer_new(mem, &o);
}

/* Applies in[from..n) in one go. */
static void apply(struct sequencer *q, const struct tape *in, size_t from, struct tape *out)
{
    while (from < in->n) {
        size_t used = 0;
        struct msg *to = tape_room(out, 2 * SEQUENCER_ROOM);
        from += sequencer_apply(q, in->slot + from, in->n - from, to, 2 * SEQUENCER_ROOM, &used);
        assert_true(used > 0);
        out->n += used;
    }
}

static uint64_t random_next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

/* ---- the reference */

struct reference {
    uint64_t seq;
    int64_t top_ns;
    int64_t last_ns[BUCKET_COUNT]; /* of its last CLOCK; INT64_MIN: none yet */
    bool occupied[BUCKET_COUNT], struck[BUCKET_COUNT];
};

struct strike {
    int64_t t;
    uint32_t bucket;
};

static int by_time_and_bucket(const void *a, const void *b)
{
    const struct strike *x = a, *y = b;
    return x->t != y->t ? (x->t > y->t ? 1 : -1) : (int)x->bucket - (int)y->bucket;
}

static int64_t grid_floor(uint32_t bucket, int64_t t)
{
    int64_t at = (t / SECOND_NS + 1) * SECOND_NS + (int64_t)bucket * SECOND_NS / 1024;
    while (at > t)
        at -= SECOND_NS;
    return at;
}

static void reference_apply(struct reference *r, const struct msg *m, struct tape *out)
{
    static struct strike due[2 * BUCKET_COUNT];
    size_t n = 0;
    uint32_t slots = msg_slot_count(m);
    bool tick = m->type == MSG_TRADE || m->type == MSG_QUOTE;
    if (m->type == MSG_SYMBOL)
        r->occupied[m->sym.bucket] = true;
    if (tick && m->event_ns > r->top_ns)
        r->top_ns = m->event_ns;
    for (uint32_t b = 0; tick && b < BUCKET_COUNT; b++) {
        int64_t t = r->occupied[b] ? grid_floor(b, r->top_ns) : INT64_MIN;
        if (t > r->last_ns[b] && r->last_ns[b] != INT64_MIN) { /* the first tick after its symbol starts it */
            if (!r->struck[b] && t > r->last_ns[b] + SECOND_NS) /* its first CLOCK is not left out */
                due[n++] = (struct strike){r->last_ns[b] + SECOND_NS, b};
            r->struck[b] = true;
            due[n++] = (struct strike){t, b};
        }
        r->last_ns[b] = t;
    }
    qsort(due, n, sizeof *due, by_time_and_bucket);
    for (size_t i = 0; i < n; i++) {
        struct msg *c = put(out, MSG_CLOCK, due[i].bucket, 0, due[i].t);
        c->recv_ns = m->recv_ns;
        c->seq = r->seq++;
    }
    struct msg *to = tape_room(out, slots);
    memcpy(to, m, slots * sizeof *m);
    out->n += slots;
    msg_set_seq(to, r->seq++);
}

static void reference_all(const struct tape *in, struct tape *out)
{
    static struct reference r;
    r = (struct reference){.seq = FIRST_SEQ, .top_ns = INT64_MIN};
    for (int b = 0; b < BUCKET_COUNT; b++)
        r.last_ns[b] = INT64_MIN;
    for (size_t at = 0; at < in->n; at += msg_slot_count(&in->slot[at]))
        reference_apply(&r, &in->slot[at], out);
}

static void assert_same(const struct tape *a, const struct tape *b, uint64_t seed)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (memcmp(&a->slot[i], &b->slot[i], sizeof a->slot[i]))
            fail_msg("seed %" PRIu64 ", slot %zu: %s %u at %" PRId64 " seq %" PRIu64 ", expected %s %u at "
                     "%" PRId64 " seq %" PRIu64,
                     seed, i, msg_type_name(a->slot[i].type), a->slot[i].symbol, a->slot[i].event_ns,
                     a->slot[i].seq, msg_type_name(b->slot[i].type), b->slot[i].symbol, b->slot[i].event_ns,
                     b->slot[i].seq);
    assert_int_equal(a->n, b->n);
}

/* ---- random input */

/* A step in time: none, within the second, on and beside the grid, over it, far, back. */
static int64_t step(uint64_t *random, int64_t now)
{
    int64_t r = (int64_t)(random_next(random) >> 1);
    uint32_t bucket = (uint32_t)(r % BUCKET_COUNT);
    switch (random_next(random) % 12) {
    case 0:
        return now;
    case 1:
        return grid_floor(bucket, now) + SECOND_NS;
    case 2:
        return grid_floor(bucket, now) + SECOND_NS - 1;
    case 3:
        return now + SECOND_NS + r % SECOND_NS; /* over every bucket once */
    case 4:
        return now + SECOND_NS * (1 + r % 3) - 1 + (r >> 20) % 3;
    case 5:
        return now + r % (10 * SECOND_NS);
    case 6:
        return random_next(random) % 8 ? now : now + r % (3 * DAY_NS);
    case 7:
        return now - r % (5 * SECOND_NS);
    default:
        return now + r % (40 * 1000000);
    }
}

static void random_input(uint64_t seed, uint32_t buckets, unsigned n, struct tape *in)
{
    uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
    uint32_t symbols = 0;
    int64_t now = BASE_NS;
    in->n = 0;
    for (unsigned i = 0; i < n; i++) {
        uint64_t r = random_next(&random);
        if (symbols < 1200 && (r % 16 == 0 || (r % 2 == 0 && symbols < seed % 1000))) {
            put_symbol(in, symbols++, (uint16_t)(random_next(&random) % buckets * (BUCKET_COUNT / buckets)),
                       0);
            continue;
        }
        int64_t t = step(&random, now);
        now = t > now ? t : now;
        if (r % 64 == 1)
            put(in, MSG_HISTORY_BAR, 0, 48, t);
        else if (r % 3)
            put_trade(in, symbols ? (uint32_t)(r >> 32) % symbols : 0, t);
        else
            put(in, MSG_QUOTE, 0, 32, t);
    }
}

static void clocks_are_those_of_the_reference(void **state)
{
    (void)state;
    static const uint32_t buckets[] = {1, 2, 16, 1024};
    struct tape in = {0}, out = {0}, expected = {0};
    uint64_t clocks = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        random_input(seed, buckets[seed % 4], 800, &in);
        struct sequencer *q = new_sequencer(NULL);
        out.n = expected.n = 0;
        apply(q, &in, 0, &out);
        reference_all(&in, &expected);
        assert_same(&out, &expected, seed);
        uint64_t last = FIRST_SEQ - 1;
        for (size_t i = 0; i < out.n; i++) {
            last += !(out.slot[i].flags & MSG_F_CONT);
            assert_int_equal(out.slot[i].seq, last);
            clocks += out.slot[i].type == MSG_CLOCK;
        }
        assert_int_equal(sequencer_next_seq(q), last + 1);
        free(q);
    }
    assert_true(clocks > 100000); /* it was worth it */
    free(in.slot);
    free(out.slot);
    free(expected.slot);
}

/* The grid is bucket_of a name's place in the second: some of it by hand, so that the two above cannot be
 * wrong together. */
static void clocks_by_hand(void **state)
{
    (void)state;
    struct tape in = {0}, out = {0};
    struct sequencer *q = new_sequencer(NULL);
    put_symbol(&in, 0, 512, 0);                  /* 41: strikes at .5 */
    put_symbol(&in, 1, 256, 0);                  /* 42: at .25 */
    put_trade(&in, 0, BASE_NS + SECOND_NS / 10); /* 43: starts both */
    put_trade(&in, 0, BASE_NS + SECOND_NS / 2);  /* 44 256@.25, 45 512@.5, 46: its own time included */
    put_trade(&in, 0, BASE_NS);                  /* 47: late, moves nothing */
    put_symbol(&in, 2, 256, 0);                  /* 48: no new bucket */
    put_symbol(&in, 3, 0, 0);                    /* 49: starts at the next tick */
    put(&in, MSG_QUOTE, 9, 32, BASE_NS + 3600 * SECOND_NS + 300000000); /* 50 512@-.5 51 256@.25 52 */
    put_trade(&in, 0, BASE_NS + 3601 * SECOND_NS);                      /* 53 512@.5 54 0@0 55 */
    apply(q, &in, 0, &out);
    static const struct {
        uint64_t seq;
        uint32_t bucket;
        int64_t ms;
    } expected[] = {{44, 256, 250},     {45, 512, 500},     {50, 512, 3599500},
                    {51, 256, 3600250}, {53, 512, 3600500}, {54, 0, 3601000}};
    size_t k = 0;
    for (size_t i = 0; i < out.n; i++)
        if (out.slot[i].type == MSG_CLOCK) {
            assert_true(k < 6);
            assert_int_equal(out.slot[i].seq, expected[k].seq);
            assert_int_equal(out.slot[i].symbol, expected[k].bucket);
            assert_int_equal(out.slot[i].event_ns, BASE_NS + expected[k].ms * 1000000);
            size_t tick = i;
            while (out.slot[tick].type == MSG_CLOCK)
                tick++;
            assert_int_equal(out.slot[i].recv_ns, out.slot[tick].recv_ns);
            k++;
        }
    assert_int_equal(k, 6);
    assert_int_equal(sequencer_next_seq(q), 56);
    assert_int_equal(sequencer_time(q), BASE_NS + 3601 * SECOND_NS);
    assert_int_equal(sequencer_buckets(q)[0], 512);
    assert_int_equal(sequencer_buckets(q)[2], 256);
    free(q);
    free(in.slot);
    free(out.slot);
}

/* ---- calendars */

/* Calendar c: days that start at c hours UTC; 0 and 1 know all, 2 ends, the others know none. */
static bool calendar(void *ctx, unsigned c, int64_t from_ns, int64_t t[4])
{
    (void)ctx;
    int64_t day = (from_ns - (int64_t)c * 60 * MINUTE_NS + DAY_NS - 1) / DAY_NS;
    if (c > 2 || (c == 2 && day > BASE_NS / DAY_NS + 3))
        return false;
    for (int i = 0; i < 4; i++)
        t[i] = day * DAY_NS + (c + i * 5) * 60 * MINUTE_NS;
    return true;
}

static void read_setting(const struct msg *m, unsigned *c, int64_t t[4])
{
    char text[200] = {0}, again[200];
    assert_true(m->part.len < sizeof text);
    msg_get(m, MSG_FIRST_BYTES, text, m->part.len);
    assert_int_equal(sscanf(text, "calendar.%u=%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64, c, &t[0], &t[1],
                            &t[2], &t[3]),
                     5);
    snprintf(again, sizeof again, "calendar.%u=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, *c, t[0], t[1],
             t[2], t[3]);
    assert_string_equal(text, again);
    assert_int_equal(m->flags & MSG_F_MORE_PARTS, 0);
}

/* Days known of a calendar, by number of the day. */
struct days {
    int64_t last;
    bool known[30000];
};

static void note_setting(struct days *days, const struct msg *m)
{
    unsigned c;
    int64_t t[4], expected[4];
    read_setting(m, &c, t);
    assert_true(c <= 2);
    assert_true(calendar(NULL, c, t[0], expected));
    assert_memory_equal(t, expected, sizeof t);
    assert_true(t[0] > days[c].last); /* each once, in order */
    days[c].last = t[0];
    days[c].known[t[0] / DAY_NS] = true;
}

static void needs_days(const struct days *d, int64_t top_ns)
{
    for (int64_t t = top_ns - 2 * DAY_NS; t <= top_ns + 7 * DAY_NS; t += DAY_NS)
        if (!d->known[t / DAY_NS])
            fail_msg("day %" PRId64 " is not known at a tick of day %" PRId64, t / DAY_NS, top_ns / DAY_NS);
}

static void trading_days_come_once_and_in_time(void **state)
{
    (void)state;
    static struct days days[3];
    static const int64_t hours[] = {0,   1,   5,   23,  24,  25,   49,   48,    80,   110,
                                    140, 170, 200, 900, 901, 9000, 9001, 90000, 90024};
    struct tape in = {0}, out = {0};
    struct sequencer *q = new_sequencer(calendar);
    memset(days, 0, sizeof days);
    put_symbol(&in, 0, 5, 0);
    put_symbol(&in, 1, 6, 3); /* knows none */
    put_trade(&in, 0, BASE_NS);
    for (size_t i = 0; i < sizeof hours / sizeof *hours; i++) {
        if (i == 4)
            put_symbol(&in, 2, 7, 1); /* a second calendar, in the middle */
        if (i == 5)
            put_symbol(&in, 3, 8, 2); /* and one that ends */
        if (i == 6)
            put_symbol(&in, 4, 9, 0); /* a known one again */
        put_trade(&in, 0, BASE_NS + hours[i] * 60 * MINUTE_NS);
    }
    apply(q, &in, 0, &out);
    int64_t top = INT64_MIN;
    unsigned ticks = 0, settings = 0;
    for (size_t i = 0; i < out.n; i += msg_slot_count(&out.slot[i])) {
        const struct msg *m = &out.slot[i];
        if (m->type == MSG_SETTING) {
            note_setting(days, m);
            settings++;
        }
        if (m->type != MSG_TRADE)
            continue;
        top = m->event_ns > top ? m->event_ns : top;
        needs_days(&days[0], top);
        if (++ticks > 5)
            needs_days(&days[1], top);
    }
    assert_int_equal(ticks, 1 + sizeof hours / sizeof *hours);
    assert_true(settings > 100);
    assert_true(days[2].last > 0 && days[2].last < BASE_NS + 5 * DAY_NS);
    free(q);
    free(in.slot);
    free(out.slot);
}

/* However far time jumps, a record needs no more than SEQUENCER_ROOM. */
static void jumps_keep_within_the_room(void **state)
{
    (void)state;
    static struct msg out[SEQUENCER_ROOM + 1];
    struct tape in = {0};
    struct sequencer *q = new_sequencer(calendar);
    for (uint16_t b = 0; b < BUCKET_COUNT; b++)
        put_symbol(&in, b, b, (uint8_t)(b % 8));
    put_trade(&in, 0, BASE_NS);
    put_trade(&in, 0, BASE_NS + 10000 * DAY_NS); /* 27 years */
    put_trade(&in, 0, TIME_MAX_NS);
    unsigned clocks = 0, trades = 0;
    int64_t last = 0;
    for (size_t at = 0; at < in.n;) {
        size_t used = 0;
        memset(&out[SEQUENCER_ROOM], 0xa5, sizeof *out);
        at += sequencer_apply(q, in.slot + at, in.n - at, out, SEQUENCER_ROOM, &used);
        assert_true(used > 0 && used <= SEQUENCER_ROOM);
        for (size_t k = 0; k < sizeof *out; k++)
            assert_int_equal(((const uint8_t *)&out[SEQUENCER_ROOM])[k], 0xa5);
        for (size_t i = 0; i < used; i += msg_slot_count(&out[i])) {
            trades += out[i].type == MSG_TRADE;
            if (out[i].type != MSG_CLOCK)
                continue;
            clocks++;
            assert_true(out[i].event_ns > last);
            last = out[i].event_ns;
        }
    }
    assert_int_equal(trades, 3);
    assert_int_equal(clocks, 3 * BUCKET_COUNT);
    free(q);
    free(in.slot);
}

/* ---- calls */

static void calls_do_not_matter(void **state)
{
    (void)state;
    struct tape in = {0}, whole = {0}, cut = {0};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t random = seed;
        random_input(seed * 100, 64, 1500, &in);
        struct sequencer *q = new_sequencer(calendar);
        whole.n = cut.n = 0;
        apply(q, &in, 0, &whole);
        free(q);
        q = new_sequencer(calendar);
        for (size_t at = 0; at < in.n;) {
            size_t n = 0, used = random_next(&random) % 5, before = used;
            size_t capacity = SEQUENCER_ROOM + random_next(&random) % 20;
            for (unsigned i = 1 + random_next(&random) % 9; i && at + n < in.n; i--)
                n += msg_slot_count(&in.slot[at + n]);
            struct msg *to = tape_room(&cut, capacity + 8);
            size_t taken = sequencer_apply(q, in.slot + at, n, to - before, capacity, &used);
            assert_true(taken <= n && used >= before && used <= capacity);
            assert_true(before + SEQUENCER_ROOM > capacity ? taken == 0 : taken > 0);
            cut.n += used - before;
            at += taken;
        }
        assert_same(&cut, &whole, seed);
        free(q);
    }
    free(in.slot);
    free(whole.slot);
    free(cut.slot);
}

static void nearly_full_takes_nothing(void **state)
{
    (void)state;
    static struct msg out[SEQUENCER_ROOM + 8];
    struct tape in = {0};
    struct sequencer *q = new_sequencer(NULL);
    put_symbol(&in, 0, 5, 0);
    put_trade(&in, 0, BASE_NS);
    put_trade(&in, 0, BASE_NS);
    size_t used = 4;
    assert_int_equal(sequencer_apply(q, in.slot, in.n, out, SEQUENCER_ROOM + 3, &used), 0);
    assert_int_equal(used, 4);
    assert_int_equal(sequencer_next_seq(q), FIRST_SEQ);
    assert_true(sequencer_time(q) == INT64_MIN);
    /* room for one record: the whole symbol, all its slots with the seq, nothing after */
    assert_int_equal(sequencer_apply(q, in.slot, in.n, out, SEQUENCER_ROOM + 4, &used),
                     msg_slot_count(in.slot));
    assert_int_equal(used, 4 + msg_slot_count(in.slot));
    for (size_t i = 4; i < used; i++)
        assert_int_equal(out[i].seq, FIRST_SEQ);
    assert_int_equal(sequencer_apply(q, in.slot, 0, out, SEQUENCER_ROOM + 8, &used), 0);
    assert_int_equal(sequencer_next_seq(q), FIRST_SEQ + 1);
    free(q);
    free(in.slot);
}

/* A symbol beyond limits.symbols is passed on and written nowhere. */
static void symbols_beyond_the_limit(void **state)
{
    (void)state;
    struct tape in = {0}, out = {0};
    struct sequencer *q = new_sequencer(NULL);
    put_symbol(&in, SYMBOLS - 1, 1023, 0);
    put_symbol(&in, SYMBOLS, 5, 0);
    put_symbol(&in, UINT32_MAX, 6, 0);
    put_trade(&in, SYMBOLS, BASE_NS);
    put_trade(&in, UINT32_MAX, BASE_NS);
    apply(q, &in, 0, &out);
    assert_int_equal(out.n, in.n);
    assert_int_equal(sequencer_buckets(q)[SYMBOLS - 1], 1023);
    free(q);
    free(in.slot);
    free(out.slot);
}

/* ---- the end */

struct end_case {
    const char *what;
    int64_t top_ms;      /* a quote that brings time forward, 0 = none; after BASE_NS's minute starts */
    int64_t traded_ms;   /* in bucket 512; -1 = none */
    int64_t expected_ms; /* the CLOCK's time; -1 = none */
};

static void end_closes_bars(void **state)
{
    (void)state;
    static const int64_t minute = BASE_NS / MINUTE_NS * MINUTE_NS;
    static const struct end_case cases[] = {
        {"in the minute", 0, 30000, 62000},
        {"at its start", 0, 60000, 122000},
        {"one before its end", 0, 59999, 62000},
        {"ended, not final: the CLOCK at 61.5 was too early", 62400, 30000, 62000},
        {"final by its last CLOCK, which is at 62.5", 62500, 30000, -1},
        {"no trade", 30000, -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int clocks = 0; clocks < 2; clocks++) {
            const struct end_case *c = &cases[i];
            struct msg out[8];
            struct tape in = {0}, before = {0};
            struct sequencer *q = new_sequencer(NULL);
            size_t used = 2;
            put_symbol(&in, 0, 512, 0);
            put(&in, MSG_QUOTE, 0, 32, minute);
            if (c->traded_ms >= 0)
                put_trade(&in, 0, minute + c->traded_ms * 1000000);
            if (c->top_ms)
                put(&in, MSG_QUOTE, 0, 32, minute + c->top_ms * 1000000);
            apply(q, &in, 0, &before);
            uint64_t seq = sequencer_next_seq(q);
            int64_t top = sequencer_time(q);
            sequencer_end(q, clocks, out, 8, &used);
            bool clock = clocks && c->expected_ms >= 0;
            if (used != (clock ? 4u : 3u) || out[used - 1].type != MSG_END)
                fail_msg("%s: %zu messages", c->what, used - 2);
            if (clock) {
                assert_int_equal(out[2].type, MSG_CLOCK);
                assert_int_equal(out[2].symbol, 512);
                assert_int_equal(out[2].event_ns, minute + c->expected_ms * 1000000);
                assert_int_equal(out[2].seq, seq++);
            }
            assert_int_equal(out[used - 1].seq, seq);
            assert_int_equal(out[used - 1].event_ns, top);
            assert_int_equal(sequencer_next_seq(q), seq + 1);
            free(q);
            free(in.slot);
            free(before.slot);
        }
}

/* Every bucket once, by (time, bucket). */
static void end_is_in_order(void **state)
{
    (void)state;
    static struct msg out[BUCKET_COUNT + 1];
    static const int64_t minute = BASE_NS / MINUTE_NS * MINUTE_NS;
    struct tape in = {0}, before = {0};
    struct sequencer *q = new_sequencer(NULL);
    for (uint32_t id = 0; id < SYMBOLS; id++)
        put_symbol(&in, id, (uint16_t)((id * 7) % BUCKET_COUNT), 0);
    for (uint32_t id = 0; id < SYMBOLS; id++) /* ids of one bucket trade in different minutes: the later */
        put_trade(&in, id, minute + (id / BUCKET_COUNT ^ id % 2) * MINUTE_NS);
    apply(q, &in, 0, &before);
    uint64_t seq = sequencer_next_seq(q);
    size_t used = 0;
    sequencer_end(q, true, out, BUCKET_COUNT + 1, &used);
    assert_int_equal(used, BUCKET_COUNT + 1);
    int64_t expected[BUCKET_COUNT] = {0};
    for (uint32_t id = 0; id < SYMBOLS; id++) {
        int64_t t = minute + ((id / BUCKET_COUNT ^ id % 2) + 1) * MINUTE_NS + LATENESS,
                *e = &expected[(id * 7) % BUCKET_COUNT];
        *e = t > *e ? t : *e;
    }
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        assert_int_equal(out[i].type, MSG_CLOCK);
        assert_int_equal(out[i].seq, seq + i);
        assert_int_equal(out[i].event_ns, expected[out[i].symbol]);
        assert_true(i == 0 || out[i].event_ns > out[i - 1].event_ns ||
                    (out[i].event_ns == out[i - 1].event_ns && out[i].symbol > out[i - 1].symbol));
    }
    free(q);
    free(in.slot);
    free(before.slot);
}

static void end_of_nothing(void **state)
{
    (void)state;
    struct msg out[1];
    struct sequencer *q = new_sequencer(calendar);
    size_t used = 0;
    sequencer_end(q, true, out, 1, &used);
    assert_int_equal(used, 1);
    assert_int_equal(out[0].type, MSG_END);
    assert_int_equal(out[0].seq, FIRST_SEQ);
    assert_int_equal(out[0].event_ns, 0);
    free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_are_those_of_the_reference),
        cmocka_unit_test(clocks_by_hand),
        cmocka_unit_test(trading_days_come_once_and_in_time),
        cmocka_unit_test(jumps_keep_within_the_room),
        cmocka_unit_test(calls_do_not_matter),
        cmocka_unit_test(nearly_full_takes_nothing),
        cmocka_unit_test(symbols_beyond_the_limit),
        cmocka_unit_test(end_closes_bars),
        cmocka_unit_test(end_is_in_order),
        cmocka_unit_test(end_of_nothing),
    };
    return cmocka_run_group_tests_name("sequencer", tests, NULL, NULL);
}
