/* What happens to a symbol besides trades: cancels and corrections, halts, splits, minutes without a trade.
 * The reference test has them at random; here each is by itself. */
#include "tests/unit/engine_harness.h"

#include <unistd.h>

#include "net/splits.h"

#define OPEN (T0 + 15 * 60 * MIN) /* within the market session */

static const struct engine_limits limits = {.symbols = 8,
                                            .ids = 16,
                                            .rules = 64,
                                            .metrics = 256,
                                            .fires = 4096,
                                            .bars = 2048,
                                            .trades = 1000,
                                            .alerts = 1000};

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
        n += a.rule == rule && a.kind == ALERT_FIRED;
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

/* What changes the symbol's state is an event; what says again what it is already is none. */
static void test_halt_events(void **state)
{
    (void)state;
    struct tape t = {0};
    struct msg_halt h[4];
    const struct msg *of[4];
    unsigned n = 0;
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "halt", .expr = "halted", .trigger = TRIGGER_CROSS});
    put_print(&t, OPEN, 10, 1, 1);
    put_status(&t, 0, OPEN + SEC, STATUS_TRADING);
    put_status(&t, 0, OPEN + 2 * SEC, STATUS_HALTED);
    memcpy(t.slot[t.n - 1].status.reason, "LUDP", 4);
    put_status(&t, 0, OPEN + 3 * SEC, STATUS_HALTED);
    put_status(&t, 0, OPEN + 4 * SEC, STATUS_TRADING);
    put_status(&t, 0, OPEN + 4 * SEC, STATUS_HALTED);
    put_status(&t, 0, OPEN + 4 * SEC, STATUS_TRADING);
    struct bench b = run(&t);
    for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
        const struct msg *m = &b.events.slot[at];
        if (m->type != MSG_HALT)
            continue;
        assert_true(n < 4);
        of[n] = m;
        msg_get(m, 0, &h[n++], sizeof *h);
        if (n == 1) { /* the alert about it comes behind it */
            assert_int_equal(m[2].type, MSG_ALERT);
            assert_true(m[2].seq == m->seq && h[0].sub == 0);
        }
    }
    assert_int_equal(n, 4);
    assert_true(h[0].kind == STATUS_HALTED && h[1].kind == STATUS_TRADING && h[2].kind == STATUS_HALTED &&
                h[3].kind == STATUS_TRADING);
    assert_string_equal(h[0].reason, "LUDP");
    assert_string_equal(h[1].reason, "");
    assert_int_equal(of[0]->event_ns, OPEN + 2 * SEC);
    assert_int_equal(of[3]->event_ns, OPEN + 4 * SEC);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < i; k++)
            assert_true(h[i].id_hi != h[k].id_hi || h[i].id_lo != h[k].id_lo);
    assert_int_equal(engine_counters(b.e)->halts, 2);
    assert_int_equal(engine_counters(b.e)->resumptions, 2);
    bench_close(&b);
}

/* ---- alerts whose print is cancelled */

/* What was sent of alerts, one a line: rule, kind, revision, price, operands, seconds after OPEN. */
static const char *alerts_text(const struct bench *b)
{
    static char text[8192];
    static const char *const kinds[] = {"fired", "revised", "withdrawn"};
    size_t n = 0;
    text[0] = 0;
    for (size_t at = 0; at < b->events.n; at += msg_slot_count(&b->events.slot[at])) {
        const struct msg *m = &b->events.slot[at];
        struct msg_alert a;
        if (m->type != MSG_ALERT)
            continue;
        alert_head(m, &a);
        n += (size_t)snprintf(text + n, sizeof text - n, "%u %s.%u", a.rule, kinds[a.kind], a.revision);
        if (a.price_e9 == ALERT_UNKNOWN)
            n += (size_t)snprintf(text + n, sizeof text - n, " -");
        else
            n += (size_t)snprintf(text + n, sizeof text - n, " %g", (double)a.price_e9 / 1e9);
        for (unsigned i = 0; i < a.n_operands; i++) {
            int64_t v = alert_operand(m, i);
            double d = v > -1000000 * SEC && v < 1000000 * SEC ? (double)v / 1e9 : bits_double(v);
            if (v == ALERT_UNKNOWN)
                n += (size_t)snprintf(text + n, sizeof text - n, " ?");
            else
                n += (size_t)snprintf(text + n, sizeof text - n, " %g", d);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, " @%g\n", (double)(m->event_ns - OPEN) / 1e9);
        assert_true(n < sizeof text);
    }
    return text;
}

/* How many of the alerts are marked, in each of their slots. */
static unsigned shadows_of(const struct bench *b)
{
    unsigned n = 0;
    for (size_t at = 0, end; at < b->events.n; at = end) {
        const struct msg *m = &b->events.slot[at];
        end = at + msg_slot_count(m);
        n += m->type == MSG_ALERT && m->flags & MSG_F_SHADOW;
        for (size_t i = at; i < end; i++)
            assert_int_equal(b->events.slot[i].flags & MSG_F_SHADOW, m->flags & MSG_F_SHADOW);
    }
    return n;
}

/* A step of a case: 't' print, 'q' quote, 'x' cancel, 'c' correction, 's' status, 'k' clock. */
struct step {
    char what;
    double at_s, price; /* of a quote the bid; of a status: halted */
    uint64_t size;      /* of a quote the spread in cents */
    uint64_t id;
};

struct revision_case {
    const char *name;
    struct rule_spec rule[3];
    struct step step[16];
    const char *alerts;
};

static void put_step(struct tape *t, const struct step *s)
{
    int64_t ns = OPEN + (int64_t)(s->at_s * 1e9);
    if (s->what == 't')
        put_print(t, ns, s->price, s->size, s->id);
    else if (s->what == 'c')
        put_correction(t, ns, s->price, s->size, s->id);
    else if (s->what == 'x')
        put_cancel(t, 0, ns, s->id);
    else if (s->what == 'q')
        put_quote(t, 0, ns, PX(s->price), PX(s->price + (double)s->size / 100));
    else if (s->what == 'k')
        put_clock(t, 0, ns);
    else
        put_status(t, 0, ns, s->price > 0 ? STATUS_HALTED : STATUS_TRADING);
}

static const struct revision_case revision_cases[] = {
    {"price withdrawn",
     {{.id = "p", .expr = "price > 15"}},
     {{'t', 0, 10, 1, 1}, {'t', 1, 20, 1, 2}, {'x', 9, .id = 2}},
     "0 fired.0 20 20 @1\n0 withdrawn.1 10 10 @1\n"},
    {"the first print of all",
     {{.id = "p", .expr = "price > 15"}},
     {{'t', 1, 20, 1, 2}, {'t', 2, 10, 1, 3}, {'x', 9, .id = 2}},
     "0 fired.0 20 20 @1\n0 withdrawn.1 - ? @1\n"},
    {"price revised: it held before",
     {{.id = "p", .expr = "price > 15"}},
     {{'t', 0, 16, 1, 1}, {'t', 1, 20, 1, 2}, {'x', 9, .id = 2}},
     "0 fired.0 16 16 @0\n0 fired.0 20 20 @1\n0 revised.1 16 16 @1\n"},
    {"an average revised",
     {{.id = "a", .expr = "sma(2)@1m > 15", .cooldown_ns = 600 * SEC}},
     {{'t', 0, 10, 1, 1},
      {'t', 60, 18, 1, 2},
      {'t', 61, 30, 1, 3},
      {'t', 62, 22, 1, 4},
      {'x', 63, .id = 3},
      {'x', 64, .id = 4}},
     "0 fired.0 30 20 @61\n0 withdrawn.1 18 14 @61\n"},
    {"an average of what is too little",
     {{.id = "a", .expr = "sma(2)@1m > 13", .cooldown_ns = 600 * SEC}},
     {{'t', 0, 10, 1, 1}, {'t', 59, 12, 1, 2}, {'t', 60, 15, 1, 3}, {'t', 70, 99, 1, 4}, {'x', 71, .id = 3}},
     "0 fired.0 15 13.5 @60\n0 withdrawn.1 12 ? @60\n"},
    {"volume",
     {{.id = "v", .expr = "volume_5m >= 300"}},
     {{'t', 0, 10, 100, 1}, {'t', 1, 10, 250, 2}, {'t', 2, 10, 50, 3}, {'x', 9, .id = 2}},
     "0 fired.0 10 350 @1\n0 fired.0 10 400 @2\n0 withdrawn.1 10 100 @1\n"},
    {"volume still enough",
     {{.id = "v", .expr = "volume_5m >= 300"}},
     {{'t', 0, 10, 100, 1}, {'t', 1, 10, 250, 2}, {'t', 2, 10, 50, 3}, {'x', 9, .id = 3}},
     "0 fired.0 10 350 @1\n0 fired.0 10 400 @2\n0 revised.1 10 350 @2\n"},
    {"a correction: its cancel counts, what comes after it fires nothing",
     {{.id = "p", .expr = "price > 15"}},
     {{'t', 0, 10, 1, 1}, {'t', 1, 20, 1, 2}, {'x', 9, .id = 2}, {'c', 9, 19, 1, 3}},
     "0 fired.0 20 20 @1\n0 withdrawn.1 10 10 @1\n"},
    {"late: the cooldown is over, the minute final, prints have come",
     {{.id = "p", .expr = "price > 15 and volume_live > 150", .cooldown_ns = 10 * SEC}},
     {{'t', 0, 10, 100, 1},
      {'t', 1, 20, 100, 2},
      {'t', 12, 21, 7, 3},
      {'t', 300, 10, 1000, 4},
      {'t', 50, 50, 1000, 5},
      {'x', 400, .id = 2}},
     "0 fired.0 20 20 200 @1\n0 fired.0 21 21 207 @12\n0 withdrawn.1 10 10 100 @1\n"},
    {"the quote of then",
     {{.id = "b", .expr = "price > bid and volume_live > 0"}},
     {{'t', 0, 10, 1, 1}, {'q', 1, 10.5, 10, 0}, {'t', 2, 11, 1, 2}, {'q', 3, 5, 10, 0}, {'x', 9, .id = 2}},
     "0 fired.0 11 11 10.5 2 @2\n0 fired.0 11 11 5 2 @3\n0 withdrawn.1 10 10 10.5 1 @2\n"},
    {"several by one print, each for itself",
     {{.id = "p", .expr = "price > 15"},
      {.id = "v", .expr = "volume_live >= 2"},
      {.id = "b", .expr = "trade_count_live > 0", .cooldown_ns = 60 * SEC}},
     {{'t', 0, 10, 5, 1}, {'t', 61, 20, 5, 2}, {'x', 62, .id = 2}},
     "1 fired.0 10 5 @0\n2 fired.0 10 1 @0\n0 fired.0 20 20 @61\n1 fired.0 20 5 @61\n2 fired.0 20 1 @61\n"
     "0 withdrawn.1 10 10 @61\n1 withdrawn.1 10 0 @61\n2 withdrawn.1 10 0 @61\n"},
    {"cancelled twice; what took its place is cancelled",
     {{.id = "v", .expr = "volume_live >= 100"}},
     {{'t', 0, 10, 100, 1},
      {'t', 1, 11, 50, 2},
      {'x', 2, .id = 2},
      {'x', 3, .id = 2},
      {'c', 4, 12, 50, 3},
      {'x', 5, .id = 2},
      {'x', 6, .id = 3}},
     "0 fired.0 10 100 @0\n0 fired.0 11 150 @1\n0 revised.1 10 100 @1\n"},
    {"not by a quote, not by a clock",
     {{.id = "p", .expr = "price > 15", .cooldown_ns = 5 * SEC},
      {.id = "s", .expr = "seconds_since_trade > 30"}},
     {{'t', 0, 20, 1, 1}, {'q', 6, 9, 10, 0}, {'k', 40, 0, 0, 0}, {'x', 50, .id = 1}},
     "0 fired.0 20 20 @0\n0 fired.0 20 20 @6\n1 fired.0 20 40 @40\n0 withdrawn.1 - ? @0\n"},
    {"at a bar's end: the bar without the print",
     {{.id = "c", .expr = "close > 15 or volume >= 300", .trigger = TRIGGER_BAR_CLOSE}},
     {{'t', 0, 10, 100, 1},
      {'t', 1, 12, 200, 2},
      {'t', 2, 20, 100, 3},
      {'k', 60, 0, 0, 0},
      {'t', 70, 9, 1, 4},
      {'x', 80, .id = 3},
      {'x', 81, .id = 1}},
     "0 fired.0 20 20 400 @60\n0 revised.1 12 12 300 @60\n0 withdrawn.2 12 12 200 @60\n"},
    {"at the end that its first print of the next minute brings",
     {{.id = "c", .expr = "close > 15", .trigger = TRIGGER_BAR_CLOSE}},
     {{'t', 0, 20, 100, 1}, {'t', 70, 9, 1, 2}, {'x', 80, .id = 2}, {'x', 81, .id = 1}},
     "0 fired.0 20 20 @70\n0 withdrawn.1 - ? @70\n"},
    {"not the end of an earlier bar, where its own minute had no print by its end",
     {{.id = "c", .expr = "sma(2)@1m > 13", .trigger = TRIGGER_BAR_CLOSE}},
     {{'t', 0, 10, 1, 1},
      {'t', 60, 20, 1, 2},
      {'k', 120, 0, 0, 0},
      {'k', 180.2, 0, 0, 0},
      {'t', 179.9, 21, 1, 3},
      {'x', 181, .id = 1},
      {'x', 182, .id = 3}},
     "0 fired.0 20 15 @120\n"},
    {"a crossing",
     {{.id = "x", .expr = "price crosses above 15"}},
     {{'t', 0, 10, 1, 1}, {'t', 1, 20, 1, 2}, {'t', 2, 21, 1, 3}, {'x', 9, .id = 2}},
     "0 fired.0 20 20 @1\n0 withdrawn.1 10 10 @1\n"},
    {"within: true by this print, or before it",
     {{.id = "w", .expr = "price > 15 within 1m"}},
     {{'t', 0, 10, 1, 1}, {'t', 1, 20, 1, 2}, {'t', 2, 10, 1, 3}, {'x', 9, .id = 3}, {'x', 10, .id = 2}},
     "0 fired.0 20 20 @1\n0 fired.0 10 10 @2\n0 revised.1 20 20 @2\n0 withdrawn.1 10 10 @1\n"},
    {"halted as it was",
     {{.id = "h", .expr = "not halted and price > 15"}},
     {{'t', 0, 10, 1, 1}, {'t', 1, 20, 1, 2}, {'s', 2, 1, 0, 0}, {'x', 9, .id = 1}, {'x', 10, .id = 2}},
     "0 fired.0 20 0 20 @1\n0 withdrawn.1 - 0 ? @1\n"},
    {"the day's volume, its open, its range",
     {{.id = "d", .expr = "volume_daily >= 30 and change_from_open > -99 and range_today >= 0"}},
     {{'t', 0, 10, 10, 1},
      {'t', 61, 12, 10, 2},
      {'t', 62, 15, 10, 3},
      {'t', 200, 99, 50, 4},
      {'x', 300, .id = 3}},
     "0 fired.0 15 30 5 5 @62\n0 fired.0 99 80 89 89 @200\n0 withdrawn.1 12 20 2 2 @62\n"},
};

/* However the messages come, and once more after the rule is another one. */
static void test_revisions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof revision_cases / sizeof *revision_cases; i++) {
        const struct revision_case *c = &revision_cases[i];
        for (unsigned how = 0; how < 4; how++) {
            unsigned batch = how % 2;
            bool shadow = how / 2;
            struct tape t = {0};
            struct bench b;
            begin(&t);
            for (uint32_t k = 0; k < 3 && c->rule[k].id; k++) {
                struct rule_spec r = c->rule[k];
                r.shadow = shadow;
                put_rule(&t, k, &r);
            }
            for (unsigned k = 0; k < 16 && c->step[k].what; k++)
                put_step(&t, &c->step[k]);
            tape_stamp(&t, 1);
            bench_open(&b, &limits);
            bench_apply(&b, &t, batch);
            tape_free(&t);
            const char *found = alerts_text(&b);
            if (strcmp(found, c->alerts))
                fail_msg("%s:\nfound\n%sexpected\n%s", c->name, found, c->alerts);
            assert_int_equal(engine_counters(b.e)->alerts_unkept, 0);
            const struct rule_stats *st = b.stats;
            const struct engine_counters *n = engine_counters(b.e);
            uint64_t fired = st[0].fired + st[1].fired + st[2].fired,
                     revised = st[0].revised + st[1].revised + st[2].revised,
                     withdrawn = st[0].withdrawn + st[1].withdrawn + st[2].withdrawn;
            assert_int_equal(n->alerts, shadow ? 0 : fired);
            assert_int_equal(n->alerts_revised, shadow ? 0 : revised);
            assert_int_equal(n->alerts_withdrawn, shadow ? 0 : withdrawn);
            assert_int_equal(n->shadow_alerts, shadow ? fired + revised + withdrawn : 0);
            assert_int_equal(shadows_of(&b), n->shadow_alerts);
            bench_close(&b);
        }
    }
}

/* An alert is of the version that sent it, and keeps its id, time and k. */
static void test_revision_of_a_version(void **state)
{
    (void)state;
    struct tape t = {0};
    struct msg_alert a[8];
    const struct msg *of[8];
    unsigned n = 0;
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "p", .expr = "price > 15 and volume_live > 0"});
    put_rule(&t, 1, &(struct rule_spec){.id = "shadow", .expr = "price > 15", .shadow = true});
    put_print(&t, OPEN, 10, 1, 1);
    put_print(&t, OPEN + SEC, 20, 1, 2);
    put_print(&t, OPEN + SEC, 21, 1, 3);
    put_rule(&t, 2, &(struct rule_spec){.id = "p", .expr = "bid > 1000", .version = 2});
    put_print(&t, OPEN + 2 * SEC, 30, 1, 4);
    put_cancel(&t, 0, OPEN + 3 * SEC, 3);
    put_cancel(&t, 0, OPEN + 3 * SEC, 2);
    struct bench b = run(&t);
    assert_string_equal(alerts_text(&b), "0 fired.0 20 20 2 @1\n1 fired.0 20 20 @1\n"
                                         "0 fired.0 21 21 3 @1\n1 fired.0 21 21 @1\n"
                                         "1 fired.0 30 30 @2\n"
                                         "0 revised.1 20 20 2 @1\n1 revised.1 20 20 @1\n"
                                         "0 withdrawn.1 10 10 1 @1\n1 withdrawn.1 10 10 @1\n");
    for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at]))
        if (b.events.slot[at].type == MSG_ALERT && !(b.events.slot[at].flags & MSG_F_SHADOW)) {
            of[n] = &b.events.slot[at];
            alert_head(of[n], &a[n]);
            n++;
        }
    assert_true(a[2].id_hi == a[1].id_hi && a[2].id_lo == a[1].id_lo && a[2].k == 1 && a[3].k == 0);
    assert_true(a[3].id_hi == a[0].id_hi && a[3].id_lo == a[0].id_lo && a[1].id_lo != a[0].id_lo);
    assert_true(of[2]->event_ns == of[1]->event_ns && of[2]->seq > of[1]->seq && of[3]->seq > of[2]->seq);
    assert_int_equal(b.stats[1].fired, 3);
    assert_int_equal(b.stats[1].withdrawn, 1);
    assert_int_equal(b.stats[1].revised, 1);
    assert_int_equal(shadows_of(&b), 5);
    bench_close(&b);
}

/* Alerts that had to go stay as they are; a cancel that needed them is counted. */
static void test_unkept_alerts(void **state)
{
    (void)state;
    struct tape t = {0};
    struct engine_limits small = limits;
    small.alerts = 4; /* 32 words: two alerts with their messages */
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "p", .expr = "price > 0"});
    for (int i = 0; i < 50; i++)
        put_print(&t, OPEN + i * SEC, 10 + i, 1, 1 + (uint64_t)i);
    for (int i = 0; i < 49; i++)
        put_cancel(&t, 0, OPEN + 55 * SEC, 50 - (uint64_t)i);
    struct bench b = run_with(&t, &small);
    const struct engine_counters *c = engine_counters(b.e);
    assert_int_equal(c->alerts, 50);
    assert_true(c->alerts_revised >= 1 && c->alerts_revised <= 2);
    assert_int_equal(c->alerts_revised + c->alerts_unkept, 49);
    bench_close(&b);
    small.alerts = 0;
    begin(&t);
    put_rule(&t, 0, &(struct rule_spec){.id = "p", .expr = "price > 15"});
    put_print(&t, OPEN, 20, 1, 1);
    put_cancel(&t, 0, OPEN, 1);
    b = run_with(&t, &small);
    assert_string_equal(alerts_text(&b), "0 fired.0 20 20 @0\n");
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
        cmocka_unit_test(test_live_cancel),   cmocka_unit_test(test_final_cancel),
        cmocka_unit_test(test_correction),    cmocka_unit_test(test_unkept),
        cmocka_unit_test(test_revisions),     cmocka_unit_test(test_revision_of_a_version),
        cmocka_unit_test(test_unkept_alerts), cmocka_unit_test(test_silent),
        cmocka_unit_test(test_halt),          cmocka_unit_test(test_halt_events),
        cmocka_unit_test(test_flat),          cmocka_unit_test(test_split),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests_name("corrections", tests, NULL, NULL);
}
