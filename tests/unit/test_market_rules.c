/* The market's own rules: sale conditions against a slow reading of the table, the files and their errors,
 * and sessions at the boundaries of days, weeks and clocks. */
#include "tests/unit/engine_harness.h"

#include "core/condition.h"
#include "core/decimal.h"
#include "net/calendar.h"
#include "net/conditions.h"
#include "net/source.h"

static struct conditions conditions;
static struct calendars *calendars;

static int setup(void **state)
{
    (void)state;
    struct error err;
    calendars = calendars_open("", &err);
    return !calendars || conditions_read(&conditions, "", &err) < 0 ? -1 : 0;
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
    assert_int_equal(decimal_parse_time(text, strlen(text), &ns), DECIMAL_OK);
    return ns;
}

static void put_table(struct tape *t)
{
    char text[CONDITIONS_TEXT_MAX + 32];
    int len = snprintf(text, sizeof text, "bars.condition_table=%s", conditions.text);
    put_parts(t, MSG_SETTING, 0, text, (size_t)len);
    put_setting(t, "bars.eligibility=table");
}

static void put_day(struct tape *t, int64_t from)
{
    int64_t at[4];
    assert_true(calendar_day(calendars, CALENDAR_US_EQUITY, from, at));
    put_setting(t, "calendar.0=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, at[0], at[1], at[2], at[3]);
}

static void put_print(struct tape *t, int64_t ns, int64_t price_e9, uint64_t size, char tape,
                      const char *codes)
{
    put_trade(t, 0, ns, price_e9, size);
    struct msg *m = &t->slot[t->n - 1];
    m->trade.tape = (uint8_t)tape;
    memcpy(m->trade.cond, codes, strlen(codes));
}

/* ---- sale conditions */

struct print {
    int64_t ns, price_e9;
    uint64_t size;
    char tape, codes[5];
    unsigned updates;
};

/* Spec, row by row. */
static unsigned slow_updates(const struct print *p, int64_t last_ns, const int64_t day[4])
{
    bool high_low = true, last = true, volume = true, market = p->ns >= day[1] && p->ns < day[2];
    for (const char *c = p->codes; *c; c++) {
        bool average = (*c == 'B' && p->tape != 'C') || (*c == 'W' && p->tape == 'C');
        if (average || strchr("CHINRV7MQ", *c))
            high_low = last = false;
        if (strchr("MQ9", *c))
            volume = false;
        if (*c == 'L' && p->ns <= last_ns)
            last = false;
        if (strchr("4GPZ", *c) && last_ns >= day[0])
            last = false;
        if (strchr("TU", *c) && market)
            high_low = last = false;
    }
    return (high_low ? UPDATES_HIGH_LOW : 0u) | (last ? UPDATES_LAST : 0u) | (volume ? UPDATES_VOLUME : 0u);
}

/* The bar of prints[0..n), all of one minute: false if there is none. */
static bool slow_bar(const struct print *p, size_t n, struct msg_bar *b)
{
    __int128 pv = 0;
    bool any = false, range = false;
    *b = (struct msg_bar){0};
    for (size_t i = 0; i < n; i++) {
        if (p[i].updates & UPDATES_LAST) {
            b->open_e9 = any ? b->open_e9 : p[i].price_e9;
            b->close_e9 = p[i].price_e9;
            any = true;
        }
        if (p[i].updates & UPDATES_HIGH_LOW) {
            b->high_e9 = !range || p[i].price_e9 > b->high_e9 ? p[i].price_e9 : b->high_e9;
            b->low_e9 = !range || p[i].price_e9 < b->low_e9 ? p[i].price_e9 : b->low_e9;
            range = true;
        }
        if (p[i].updates & UPDATES_VOLUME) {
            b->volume += p[i].size;
            pv += (__int128)p[i].price_e9 * p[i].size;
        }
        b->trades += p[i].updates != 0;
    }
    b->pv_lo = (uint64_t)pv;
    return any;
}

enum { PRINTS = 4000 };

static void check_bars(const struct bench *b, const struct print *print, size_t n)
{
    size_t event = 0, bars = 0;
    for (size_t i = 0, end; i < n; i = end) {
        struct msg_bar want;
        for (end = i; end < n && print[end].ns / MIN == print[i].ns / MIN;)
            end++;
        if (!slow_bar(print + i, end - i, &want))
            continue;
        assert_true(event < b->events.n);
        const struct msg *m = &b->events.slot[event];
        struct msg_bar got = msg_bar_get(m);
        assert_int_equal(m->event_ns, print[i].ns / MIN * MIN);
        assert_true(got.open_e9 == want.open_e9 && got.high_e9 == want.high_e9 && got.low_e9 == want.low_e9);
        assert_true(got.close_e9 == want.close_e9 && got.volume == want.volume);
        assert_true(got.pv_lo == want.pv_lo && got.trades == want.trades && got.revision == 0);
        event += msg_slot_count(m);
        bars++;
    }
    assert_int_equal(event, b->events.n);
    assert_true(bars > 100);
}

/* A day of random prints: the bars are those of the slow reading, the sums hold every volume. */
static void test_random_day(void **state)
{
    (void)state;
    static struct print print[PRINTS];
    static const char codes[] = "@ADEFKOSXY156LBW4GPZCHINRV7TUMQ9";
    uint64_t seed = seed_or(7), volume = 0;
    int64_t day[4], last_ns = INT64_MIN, now;
    struct tape t = {0};
    struct bench b;
    assert_true(calendar_day(calendars, CALENDAR_US_EQUITY, T0, day));
    put_table(&t);
    put_symbol(&t, 0, "A", 0, 0, 0);
    put_day(&t, T0);
    now = day[0];
    for (size_t i = 0; i < PRINTS; i++) {
        struct print *p = &print[i];
        now += (int64_t)random_below(&seed, 24000) * MS;
        p->ns = now - (one_in(&seed, 4) ? now % MIN / 2 : 0); /* some are late within their minute */
        p->price_e9 = (int64_t)(1000 + random_below(&seed, 50)) * 100000000;
        p->size = 1 + random_below(&seed, 1000);
        p->tape = "ABC"[random_below(&seed, 3)];
        for (unsigned k = 0, n = random_below(&seed, 5); k < n; k++)
            p->codes[k] = one_in(&seed, 2) ? '@' : codes[random_below(&seed, sizeof codes - 1)];
        p->updates = slow_updates(p, last_ns, day);
        if ((p->updates & UPDATES_LAST) && p->ns > last_ns)
            last_ns = p->ns;
        volume += p->updates & UPDATES_VOLUME ? p->size : 0;
        put_print(&t, p->ns, p->price_e9, p->size, p->tape, p->codes);
    }
    put_clock(&t, 0, now + 10 * MIN);
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    bench_apply(&b, &t, 3);
    check_bars(&b, print, PRINTS);
    assert_int_equal(engine_view(b.e, 0).day_volume, volume);
    assert_true(engine_counters(b.e)->unpriced_prints > 0 && engine_counters(b.e)->cond_no_last > 0);
    assert_int_equal(engine_counters(b.e)->settings_refused, 0);
    bench_close(&b);
    tape_free(&t);
}

/* A minute of volume alone makes no bar, moves no price; its volume is the minute's while it lasts. */
static void test_volume_alone(void **state)
{
    (void)state;
    struct tape t = {0};
    struct bench b;
    int64_t open = utc("2024-03-04T14:30:00Z");
    put_table(&t);
    put_symbol(&t, 0, "A", 0, 0, 0);
    put_day(&t, T0);
    put_print(&t, open, PX(10), 100, 'A', "@");
    put_print(&t, open + MIN, PX(99), 30, 'A', "I");
    put_print(&t, open + MIN + SEC, PX(98), 500, 'A', "M");
    put_print(&t, open + MIN + 2 * SEC, PX(97), 5, 'A', "?");
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    size_t whole = t.n;
    t.n--;
    bench_apply(&b, &t, 0);
    struct engine_view v = engine_view(b.e, 0);
    assert_true(v.price_e9 == PX(10) && v.day_volume == 130 && v.live_start_ns == open);
    t.slot += t.n; /* a code that the table does not name limits nothing */
    t.n = 1;
    bench_apply(&b, &t, 0);
    v = engine_view(b.e, 0);
    assert_true(v.price_e9 == PX(97) && v.live_volume == 35 && v.live_trades == 2 && v.high_e9 == PX(97));
    assert_int_equal(engine_counters(b.e)->cond_unknown, 1);
    bench_close(&b);
    t.slot -= whole - 1;
    tape_free(&t);
}

static void test_dialects(void **state)
{
    (void)state;
    static const struct {
        enum condition_dialect dialect;
        uint32_t number;
        char tape, codes[5];
    } rows[] = {{CONDITION_LEAN, 0x4000000, 0, "Q"},     {CONDITION_LEAN, 0x1000000, 'B', "M"},
                {CONDITION_LEAN, 0x20000020, 'A', "F"},  {CONDITION_LEAN, 0x20100200, 'A', "B4"},
                {CONDITION_LEAN, 0x20100200, 'C', "W4"}, {CONDITION_LEAN, 0x20002020, 0, "TF"},
                {CONDITION_LEAN, 0x80000001, 0, "@?"},   {CONDITION_POLYGON, 37, 'C', "I"},
                {CONDITION_POLYGON, 2, 'C', "W"},        {CONDITION_POLYGON, 2, 'B', "B"},
                {CONDITION_POLYGON, 9999, 'B', "?"},     {CONDITION_POLYGON, 41, 'A', ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct msg_trade trade = {.tape = (uint8_t)rows[i].tape};
        char got[5] = "";
        conditions_map(&conditions, rows[i].dialect, rows[i].number, &trade);
        memcpy(got, trade.cond, 4);
        assert_string_equal(got, rows[i].codes);
    }
}

/* ---- files that are wrong */

static void refuse(const char *text, const char *expected, bool calendar)
{
    struct conditions c;
    struct error err = {""};
    char path[] = "/tmp/ringtape-rules-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    if (calendar)
        assert_null(calendars_open(path, &err));
    else
        assert_int_equal(conditions_read(&c, path, &err), -1);
    remove(path);
    if (!strstr(err.text, expected))
        fail_msg("expected '%s' in '%s'", expected, err.text);
}

static void test_bad_files(void **state)
{
    (void)state;
    refuse("", "found no line 'update'", false);
    refuse("update A @ yes yes yes\n", ":1: found 'update'; expected version NAME first", false);
    refuse("version 1\nupdte A @ yes yes yes\n", ":2: found 'updte'; expected one of version, update, map",
           false);
    refuse("version 1\n# no\nupdate AX @ yes yes yes\n", ":3: found 'AX'; expected tapes", false);
    refuse("version 1\nupdate A @ yes yes yse\n", "did you mean yes?", false);
    refuse("version 1\nupdate A @ no yes yes\n", "no wider than high and low", false);
    refuse("version 1\nupdate A @ yes yes yes\nupdate AB @ yes yes yes\n", ":3: found '@'; expected codes",
           false);
    refuse("version 1\nmap lean A 3 @\n", "found '3'; expected one bit", false);
    refuse("calendar x Mars/Olympus\n", ":1: found 'Mars/Olympus'; expected an IANA time zone", true);
    refuse("calendar x UTC\nday mon-fri\n", ":2: found 'day'", true);
    refuse("calendar x UTC\ndays mon-frx\n", ":2: found 'mon-frx'; expected days", true);
    refuse("calendar x UTC\ndays mon\nsessions 04:00 9:30 16:00 20:00\n", ":3: found '9:30'; expected a time",
           true);
    refuse("calendar x UTC\nsessions 04:00 03:00 16:00 20:00\n", "a time not before 04:00", true);
    refuse("calendar x UTC\ncovers 2010 2030\nholiday 2026-02-30\n",
           ":3: found '2026-02-30'; expected a date", true);
    refuse("calendar x UTC\ncovers 2010 2030\nholiday 2031-01-01\n", "in the years of a line `covers`", true);
    refuse("calendar x UTC\ndays mon\nsessions 00:00 00:00 24:00 24:00\n", "found no calendar us-equity",
           true);
}

/* ---- boundaries */

struct boundary {
    const char *calendar, *at;
    enum session_kind kind;
};

/* The session of a symbol whose only trade is then, through the sequencer. */
static enum session_kind session_of(int calendar, int64_t ns)
{
    struct sequencer_options o = {.symbols_max = 8,
                                  .lateness_ns = SEC,
                                  .first_seq = 1,
                                  .calendar = calendar_day,
                                  .calendar_ctx = calendars};
    struct sequencer *q = sequencer_new(zeroed((sequencer_footprint(&o) + 63) & ~(size_t)63), &o);
    struct tape in = {0}, out = {0};
    struct bench b;
    put_symbol(&in, 0, "A", 0, 0, (unsigned)calendar);
    put_trade(&in, 0, ns, PX(1), 1);
    struct msg *to = tape_room(&out, 2 * SEQUENCER_ROOM);
    assert_int_equal(sequencer_apply(q, in.slot, in.n, to, 2 * SEQUENCER_ROOM, &out.n), in.n);
    bench_open(&b, NULL);
    bench_apply(&b, &out, 0);
    enum session_kind kind = engine_view(b.e, 0).session;
    bench_close(&b);
    tape_free(&in);
    tape_free(&out);
    munmap(q, (sequencer_footprint(&o) + 63) & ~(size_t)63);
    return kind;
}

static void test_boundaries(void **state)
{
    (void)state;
    static const struct boundary rows[] = {
        {"us-equity", "2026-11-25T20:59:59Z", SESSION_MARKET}, /* the day before Thanksgiving: 16:00 */
        {"us-equity", "2026-11-26T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2026-11-27T08:59:59Z", SESSION_CLOSED},
        {"us-equity", "2026-11-27T09:00:00Z", SESSION_PREMARKET},
        {"us-equity", "2026-11-27T14:30:00Z", SESSION_MARKET},
        {"us-equity", "2026-11-27T14:30:01Z", SESSION_MARKET},
        {"us-equity", "2026-11-27T17:59:59.999999999Z", SESSION_MARKET},
        {"us-equity", "2026-11-27T18:00:00Z", SESSION_POSTMARKET},
        {"us-equity", "2026-11-27T21:59:59Z", SESSION_POSTMARKET},
        {"us-equity", "2026-11-27T22:00:00Z", SESSION_CLOSED},
        {"us-equity", "2026-12-24T17:59:59Z", SESSION_MARKET},
        {"us-equity", "2026-12-24T18:00:00Z", SESSION_POSTMARKET},
        {"us-equity", "2026-12-24T22:00:00Z", SESSION_CLOSED},
        {"us-equity", "2026-12-25T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2026-03-06T14:29:59Z", SESSION_PREMARKET},
        {"us-equity", "2026-03-06T14:30:00Z", SESSION_MARKET},
        {"us-equity", "2026-03-09T13:29:59Z", SESSION_PREMARKET},
        {"us-equity", "2026-03-09T13:30:00Z", SESSION_MARKET}, /* DST */
        {"us-equity", "2026-10-30T13:30:00Z", SESSION_MARKET},
        {"us-equity", "2026-11-02T14:29:59Z", SESSION_PREMARKET}, /* and back */
        {"us-equity", "2026-11-02T14:30:00Z", SESSION_MARKET},
        {"us-equity", "2026-12-31T20:59:59Z", SESSION_MARKET},
        {"us-equity", "2027-01-01T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2027-01-04T14:30:00Z", SESSION_MARKET},
        {"us-equity", "2026-01-07T00:00:00Z", SESSION_POSTMARKET},
        {"us-equity", "2026-01-07T01:00:00Z", SESSION_CLOSED},
        {"us-equity", "2012-10-29T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2012-10-31T15:00:00Z", SESSION_MARKET},
        {"us-equity", "2018-12-05T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2025-01-09T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2021-06-18T15:00:00Z", SESSION_MARKET},
        {"us-equity", "2022-06-20T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2026-04-03T15:00:00Z", SESSION_CLOSED},
        {"us-equity", "2021-12-31T15:00:00Z", SESSION_MARKET},
        {"utc24", "2026-12-25T00:00:00Z", SESSION_MARKET},
        {"utc24", "2026-12-26T23:59:59Z", SESSION_MARKET},
        {"fx", "2026-03-06T21:59:59Z", SESSION_MARKET},
        {"fx", "2026-03-06T22:00:00Z", SESSION_CLOSED},
        {"fx", "2026-03-08T20:59:59Z", SESSION_CLOSED},
        {"fx", "2026-03-08T21:00:00Z", SESSION_MARKET}, /* DST that day */
        {"fx", "2026-03-10T00:00:00Z", SESSION_MARKET},
        {"fx", "2026-03-10T21:00:00Z", SESSION_MARKET}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err;
        int calendar = calendars_find(calendars, rows[i].calendar, &err);
        assert_true(calendar >= 0);
        enum session_kind got = session_of(calendar, utc(rows[i].at));
        if (got != rows[i].kind)
            fail_msg("%s %s: found %s, expected %s", rows[i].calendar, rows[i].at, session_names[got],
                     session_names[rows[i].kind]);
    }
}

/* A symbol's first day, an hour of silence, warm-up under `not`, midnight UTC inside a session. */
static void test_symbol_boundaries(void **state)
{
    (void)state;
    struct tape t = {0};
    struct bench b;
    int64_t open = utc("2024-03-04T23:58:00Z"); /* 18:58 New York, postmarket */
    put_symbol(&t, 0, "A", 0, 0, 0);
    put_day(&t, T0);
    put_day(&t, T0 + DAY);
    put_rule(&t, 0, &(struct rule_spec){.id = "warm", .expr = "not change_1m > 1000"});
    put_rule(&t, 1, &(struct rule_spec){.id = "gap", .expr = "not gap_from_close > 1000"});
    put_trade(&t, 0, open, PX(10), 100); /* no bar before, no day before: unknown, also under not */
    size_t first = t.n;
    put_trade(&t, 0, open + 90 * SEC, PX(11), 50); /* the minute before midnight: known by now */
    put_trade(&t, 0, open + 2 * MIN, PX(12), 7);   /* midnight UTC: the same session and day */
    size_t midnight = t.n;
    put_clock(&t, 0, open + 62 * MIN);
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    struct tape part = {.slot = t.slot, .n = first};
    bench_apply(&b, &part, 0);
    assert_int_equal(engine_counters(b.e)->alerts, 0);
    part = (struct tape){.slot = t.slot + first, .n = midnight - first};
    bench_apply(&b, &part, 0);
    struct engine_view v = engine_view(b.e, 0);
    assert_int_equal(engine_counters(b.e)->alerts, 2); /* warm, twice; gap has no day before */
    assert_true(v.session == SESSION_POSTMARKET && v.day_volume == 157);
    part = (struct tape){.slot = t.slot + midnight, .n = t.n - midnight};
    bench_apply(&b, &part, 0);
    v = engine_view(b.e, 0);
    assert_true(v.session == SESSION_CLOSED && v.price_e9 == PX(12) && v.day_volume == 157);
    assert_int_equal(engine_counters(b.e)->bars, 3); /* of the silent hour none */
    bench_close(&b);
    tape_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_day), cmocka_unit_test(test_volume_alone),
        cmocka_unit_test(test_dialects),   cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_boundaries), cmocka_unit_test(test_symbol_boundaries),
    };
    return cmocka_run_group_tests_name("market_rules", tests, setup, teardown);
}
