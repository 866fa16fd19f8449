/* The feed: several sources as one stream. Files of ticks, what comes out in which order, what is refused and
 * counted. */
#include "net/feed.h"
#include "core/bucket.h"
#include "net/history.h"
#include "net/journal.h"
#include "tests/unit/temp_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define BASE_NS  (1700000000 * SECOND_NS)
#define DAY_NS   (1440 * MINUTE_NS)
#define HEADER   "recv_ns,ts_ns,symbol,price,size\n"
enum { OUT_MAX = 1 << 16, FILES = 6 };

static struct msg out[OUT_MAX];
static int out_n;
static char spec[FILES][96]; /* kind:PATH of each source */
static struct error err;

static const char *path_of(int file, const char *suffix)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%d.csv%s", dir, file, suffix);
    return path;
}

/* Source number `file` becomes a csv: of this text. */
static void write_csv(int file, const char *suffix, const void *text, size_t len)
{
    FILE *f = fopen(path_of(file, suffix), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    snprintf(spec[file], sizeof spec[file], "csv:%s", path_of(file, suffix));
}

static struct feed *open_feed(unsigned n, uint32_t symbols_max, const struct history *history)
{
    const char *specs[FILES];
    struct source_config config = {.symbols_max = symbols_max};
    for (unsigned i = 0; i < n; i++)
        specs[i] = spec[i];
    struct feed *f = feed_open(specs, n, &config, history, NULL, &err);
    if (!f)
        fail_msg("%s", err.text);
    return f;
}

/* Reads all into out. */
static void read_all(struct feed *f)
{
    int n;
    out_n = 0;
    while ((n = feed_read(f, out + out_n, 4096)) > 0) {
        assert_true(n <= 4096);
        out_n += n;
        assert_true(out_n + 4096 <= OUT_MAX);
    }
    assert_int_equal(feed_read(f, out + out_n, 4096), 0); /* the end stays the end */
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i]))
        assert_true(msg_valid(&out[i], (size_t)(out_n - i)));
}

static uint64_t rejected(const struct feed *f, enum reject_reason reason)
{
    struct source_stats st;
    feed_stats(f, &st);
    return st.rejected[reason];
}

/* What came out as a text: "+NAME" a symbol, "NAME@MS" a tick with its receive time, "*" a history bar. */
static const char *story(const struct feed *f)
{
    static char text[4096];
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i])) {
        const struct msg *m = &out[i];
        assert_true(m->symbol < feed_symbol_count(f));
        const char *name = feed_symbol(f, m->symbol)->name;
        assert_true(at + 100 < sizeof text);
        at += (size_t)sprintf(text + at, at ? " " : "");
        if (m->type == MSG_SYMBOL)
            at += (size_t)sprintf(text + at, "+%s", name);
        else if (m->type == MSG_HISTORY_BAR)
            at += (size_t)sprintf(text + at, "*");
        else
            at += (size_t)sprintf(text + at, "%s@%" PRId64, name, (m->recv_ns - BASE_NS) / 1000000);
    }
    return text;
}

/* Rows "NAME@MS …" as a csv, event and receive time the same. */
static void write_rows(int file, const char *rows)
{
    char text[4096];
    size_t at = (size_t)sprintf(text, HEADER);
    char name[16];
    int ms, n;
    for (; sscanf(rows, " %15[^@]@%d%n", name, &ms, &n) == 2; rows += n) {
        int64_t t = BASE_NS + ms * 1000000LL;
        assert_true(at + 100 < sizeof text);
        at += (size_t)sprintf(text + at, "%" PRId64 ",%" PRId64 ",%s,%d,1\n", t, t, name, file + 1);
    }
    assert_int_equal(*rows, 0);
    write_csv(file, "", text, at);
}

static void sources_merge(void **state)
{
    (void)state;
    static const struct {
        const char *what, *source[3], *expected;
    } cases[] = {
        {"one", {"A@1 B@2 A@3"}, "+A A@1 +B B@2 A@3"},
        {"by time", {"A@1 A@5", "B@0 B@3 B@9"}, "+B B@0 +A A@1 B@3 A@5 B@9"},
        {"ties by the order of arguments",
         {"A@1 A@2 A@2", "B@1 B@2", "C@1 C@2"},
         "+A A@1 +B B@1 +C C@1 A@2 A@2 B@2 C@2"},
        {"within a source the order of its rows", {"A@5 A@1 A@6", "B@2 B@7"}, "+B B@2 +A A@5 A@1 A@6 B@7"},
        {"a name is one symbol", {"A@1 B@4", "B@2 A@3"}, "+A A@1 +B B@2 A@3 B@4"},
        {"an empty source", {"", "A@1", ""}, "+A A@1"},
        {"nothing at all", {"", ""}, ""},
        {"one ends early", {"A@1", "B@2 B@3"}, "+A A@1 +B B@2 B@3"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned n = 0;
        for (; n < 3 && cases[i].source[n]; n++)
            write_rows((int)n, cases[i].source[n]);
        struct feed *f = open_feed(n, 10, NULL);
        read_all(f);
        if (strcmp(story(f), cases[i].expected))
            fail_msg("%s: '%s', expected '%s'", cases[i].what, story(f), cases[i].expected);
        assert_false(feed_is_journal(f));
        assert_null(feed_failure(f));
        feed_close(f);
    }
}

/* Five sources of some thousand rows, beside a merge that looks at every head. The price tells the source,
 * the size the row. */
static void random_sources_merge(void **state)
{
    (void)state;
    enum { SOURCES = 5, ROWS = 1700 };
    static int64_t t[SOURCES][ROWS];
    static char text[ROWS * 80];
    uint64_t r = 88172645463325252u;
    int at[SOURCES] = {0}, rows[SOURCES];
    for (int s = 0; s < SOURCES; s++) {
        int64_t now = BASE_NS;
        size_t len = (size_t)sprintf(text, HEADER);
        rows[s] = s ? ROWS - 300 * s : 0;
        for (int i = 0; i < rows[s]; i++) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            now += (int64_t)(r % 4) * 1000;
            t[s][i] = now;
            len += (size_t)sprintf(text + len, "%" PRId64 ",%" PRId64 ",S%d,%d,%d\n", now, BASE_NS,
                                   (int)(r >> 40) % 50, s + 1, i + 1);
        }
        write_csv(s, "", text, len);
    }
    struct feed *f = open_feed(SOURCES, 50, NULL);
    read_all(f);
    bool known[50] = {false};
    int ticks = 0;
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i])) {
        const struct msg *m = &out[i];
        assert_true(m->symbol < 50);
        if (m->type == MSG_SYMBOL) {
            assert_false(known[m->symbol]);
            known[m->symbol] = true;
            continue;
        }
        int least = -1;
        for (int s = 0; s < SOURCES; s++)
            if (at[s] < rows[s] && (least < 0 || t[s][at[s]] < t[least][at[least]]))
                least = s;
        assert_int_equal(m->type, MSG_TRADE);
        assert_true(known[m->symbol]);
        assert_int_equal(m->trade.price_e9, (least + 1) * 1000000000LL);
        assert_int_equal(m->trade.size, ++at[least]);
        ticks++;
    }
    assert_int_equal(ticks, 4 * ROWS - 300 * 10);
    assert_int_equal(feed_symbol_count(f), 50);
    feed_close(f);
}

/* One source alone, whose symbols come all along, takes a way of its own through the feed. */
static void one_source_alone(void **state)
{
    (void)state;
    enum { ROWS = 5000, NEW_EVERY = 37 };
    static char text[ROWS * 64];
    uint32_t known = 0;
    unsigned ticks = 0;
    size_t len = (size_t)sprintf(text, HEADER);
    for (int i = 0; i < ROWS; i++)
        len += (size_t)sprintf(text + len, "%d,%" PRId64 ",S%d,1,%d\n", i, BASE_NS,
                               i % NEW_EVERY ? i * 7919 % (i / NEW_EVERY + 1) : i / NEW_EVERY, i + 1);
    write_csv(0, "", text, len);
    struct feed *f = open_feed(1, ROWS / NEW_EVERY + 1, NULL);
    read_all(f);
    for (int at = 0; at < out_n; at += (int)msg_slot_count(&out[at])) {
        if (out[at].type == MSG_SYMBOL) {
            assert_int_equal(out[at].symbol, known++);
            continue;
        }
        char name[16];
        unsigned i = ticks++;
        snprintf(name, sizeof name, "S%u", i % NEW_EVERY ? i * 7919 % (i / NEW_EVERY + 1) : i / NEW_EVERY);
        assert_int_equal(out[at].trade.size, ticks);
        assert_true(out[at].symbol < known);
        assert_string_equal(feed_symbol(f, out[at].symbol)->name, name);
    }
    assert_int_equal(ticks, ROWS);
    assert_int_equal(known, ROWS / NEW_EVERY + 1);
    feed_close(f);
}

static void a_symbol_is_described(void **state)
{
    (void)state;
    static const char name[] = "AN.UNUSUALLY-LONG_NAME/WHICH:TAKES.TWO.SLOTS.MORE.THAN.ONE.TICK";
    char text[200], got[64] = {0};
    assert_int_equal(strlen(name), 63);
    int len = sprintf(text, HEADER "5,5,%s,1,1\n", name);
    write_csv(0, "", text, (size_t)len);
    struct feed *f = open_feed(1, 1, NULL);
    read_all(f);
    assert_int_equal(out[0].type, MSG_SYMBOL);
    assert_int_equal(out[0].sym.bucket, bucket_of(name, 63));
    assert_int_equal(out[0].sym.name_len, 63);
    assert_int_equal(out[0].sym.calendar, CALENDAR_US_EQUITY);
    msg_get(out, MSG_FIRST_BYTES, got, 63);
    assert_string_equal(got, name);
    assert_string_equal(feed_symbol(f, 0)->name, name);
    feed_close(f);
}

/* As many as the limit, each the beginning of the next: two lengths of one text are two symbols. */
static void names_that_begin_alike(void **state)
{
    (void)state;
    enum { NAMES = 63 };
    static char text[NAMES * 200];
    size_t len = (size_t)sprintf(text, HEADER);
    for (int round = 0; round < 2; round++)
        for (int n = NAMES; n >= 1; n--)
            len += (size_t)sprintf(text + len, "%d,5,%.*s,1,%d\n", round * 100 + NAMES - n, n,
                                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", n);
    write_csv(0, "", text, len);
    struct feed *f = open_feed(1, NAMES, NULL);
    read_all(f);
    assert_int_equal(feed_symbol_count(f), NAMES);
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i]))
        if (out[i].type == MSG_TRADE)
            assert_int_equal(feed_symbol(f, out[i].symbol)->name_len, out[i].trade.size);
    assert_int_equal(rejected(f, REJECT_SYMBOLS_FULL), 0);
    feed_close(f);
}

/* ---- jumps in time */

struct jump_case {
    const char *what;
    int minutes[8];     /* event times of the rows, 9999 ends */
    const char *counts; /* of each row: + it counts, - it is refused */
};
#define STOP 9999

static const struct jump_case jump_cases[] = {
    {"an hour is none", {0, 60, 0, STOP}, "+++"},
    {"forward, alone", {0, 61, 1, 2, STOP}, "+-++"},
    {"forward, confirmed", {0, 61, 62, 63, STOP}, "++++"},
    {"forward, the last row", {0, 61, STOP}, "+-"},
    {"back, alone", {0, -61, 1, STOP}, "+-+"},
    {"back, confirmed", {0, -61, -62, -1, STOP}, "++++"},
    {"back, the last row", {0, 1, -61, STOP}, "++-"},
    {"one forward, one back", {0, 200, -200, 1, STOP}, "+--+"},
    {"one back, one forward, confirmed", {0, -200, 200, 201, STOP}, "+-++"},
    {"by the running maximum, not the row before", {0, 50, -5, 55, -11, 51, STOP}, "++++-+"},
    {"two jumps", {0, 100, 101, 300, 301, 302, STOP}, "++++++"},
    {"the first row has nothing before it", {-5000, 0, 1, STOP}, "+++"},
};

static void write_jumps(int file, const struct jump_case *c)
{
    char text[1024];
    size_t len = (size_t)sprintf(text, HEADER);
    for (int i = 0; c->minutes[i] != STOP; i++)
        len += (size_t)sprintf(text + len, "%" PRId64 ",%" PRId64 ",J,1,%d\n", BASE_NS + i,
                               BASE_NS + c->minutes[i] * MINUTE_NS, i + 1);
    write_csv(file, "", text, len);
}

static void check_jumps(const struct feed *f, const struct jump_case *c, const char *with)
{
    char counts[9] = {0};
    memset(counts, '-', strlen(c->counts));
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i]))
        if (out[i].type == MSG_TRADE && !strcmp(feed_symbol(f, out[i].symbol)->name, "J"))
            counts[out[i].trade.size - 1] = '+';
    uint64_t refused = 0;
    for (const char *p = c->counts; *p; p++)
        refused += *p == '-';
    if (strcmp(counts, c->counts) || rejected(f, REJECT_TIME_JUMP) != refused)
        fail_msg("%s%s: %s, expected %s; %" PRIu64 " counted", c->what, with, counts, c->counts,
                 rejected(f, REJECT_TIME_JUMP));
}

static void jumps_need_the_next_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(jump_cases); i++) {
        write_jumps(0, &jump_cases[i]);
        struct feed *f = open_feed(1, 10, NULL);
        read_all(f);
        check_jumps(f, &jump_cases[i], "");
        feed_close(f);
        /* another source's rows in between neither confirm nor refute */
        write_rows(1, "X@0 X@0 X@0 X@1");
        f = open_feed(2, 10, NULL);
        read_all(f);
        check_jumps(f, &jump_cases[i], ", beside another source");
        feed_close(f);
    }
}

/* The jump wherever a batch may end. */
static void jumps_across_batches(void **state)
{
    (void)state;
    static char text[700 * 64];
    for (int rows = 245; rows < 530; rows += rows == 265 ? 235 : 1)
        for (int confirmed = 0; confirmed < 2; confirmed++) {
            size_t len = (size_t)sprintf(text, HEADER);
            for (int i = 0; i < rows + 3; i++)
                len += (size_t)sprintf(text + len, "%d,%" PRId64 ",J,1,1\n", i,
                                       BASE_NS + (i == rows || (confirmed && i > rows) ? DAY_NS : 0));
            write_csv(0, "", text, len);
            struct feed *f = open_feed(1, 10, NULL);
            read_all(f);
            assert_int_equal(rejected(f, REJECT_TIME_JUMP), !confirmed);
            assert_int_equal(out_n - (int)msg_slot_count(out), rows + 2 + confirmed);
            feed_close(f);
        }
}

static void times_beyond_all_clocks(void **state)
{
    (void)state;
    write_csv(0, "",
              HEADER "1,9223372036854775807,A,1,1\n2,9183110400000000001,A,1,1\n"
                     "3,9183110400000000000,A,1,1\n",
              strlen(HEADER) + 3 * 28);
    struct feed *f = open_feed(1, 10, NULL);
    read_all(f);
    assert_int_equal(rejected(f, REJECT_TIME_FORMAT), 2);
    assert_int_equal(out_n, msg_slot_count(out) + 1);
    assert_true(out[out_n - 1].event_ns == TIME_MAX_NS);
    feed_close(f);
}

/* ---- limits and counters */

static void symbols_are_limited(void **state)
{
    (void)state;
    write_rows(0, "A@1 B@2 A@9");
    write_rows(1, "C@3 A@4 C@6 D@7");
    struct feed *f = open_feed(2, 2, NULL);
    read_all(f);
    assert_string_equal(story(f), "+A A@1 +B B@2 A@4 A@9");
    assert_int_equal(rejected(f, REJECT_SYMBOLS_FULL), 3); /* C twice, and D */
    assert_int_equal(feed_symbol_count(f), 2);
    feed_close(f);
    f = open_feed(2, 0, NULL); /* 0: no limit of the operator's */
    read_all(f);
    assert_int_equal(feed_symbol_count(f), 4);
    feed_close(f);
}

static void counters_add_up(void **state)
{
    (void)state;
    static const char one[] = HEADER "1,1,A,1,1\n1,1,A,-1,1\n1,1,A,1\n1,99999999999999,A,1,1\n2,2,B,1,1\n";
    static const char two[] = HEADER "1,1,A,0,1\nx,1,A,1,1\n3,3,A,1,x\n3,3,A,1,1\n";
    static const char lines[] = "{\"e\":\"depthUpdate\"}\n{\"e\":\"kline\"}\n{\"e\":\"depthUpdate\"}\n";
    struct source_stats st;
    write_csv(0, "", one, sizeof one - 1);
    write_csv(1, "", two, sizeof two - 1);
    struct feed *f = open_feed(2, 10, NULL);
    read_all(f);
    feed_stats(f, &st);
    assert_int_equal(st.rows, 9);
    assert_int_equal(st.bytes, sizeof one - 1 + sizeof two - 1);
    static const uint64_t expected[REJECT_COUNT] = {[REJECT_PRICE_SIGN] = 2,
                                                    [REJECT_COLUMNS] = 1,
                                                    [REJECT_TIME_JUMP] = 1,
                                                    [REJECT_TIME_FORMAT] = 1,
                                                    [REJECT_SIZE_FORMAT] = 1};
    for (int i = 0; i < REJECT_COUNT; i++)
        if (st.rejected[i] != expected[i])
            fail_msg("%s: %" PRIu64, reject_name((enum reject_reason)i), st.rejected[i]);
    feed_close(f);
    /* what is skipped, by kind, over two sources */
    for (int i = 0; i < 2; i++) {
        write_csv(i, "", lines, sizeof lines - 1);
        snprintf(spec[i], sizeof spec[i], "binance-jsonl:%s", path_of(i, ""));
    }
    f = open_feed(2, 10, NULL);
    read_all(f);
    feed_stats(f, &st);
    assert_int_equal(st.rows, 6);
    assert_int_equal(st.skipped[0].count + st.skipped[1].count, 6);
    assert_string_equal(st.skipped[0].kind, "depthUpdate");
    assert_int_equal(st.skipped[0].count, 4);
    assert_string_equal(st.skipped[1].kind, "kline");
    assert_int_equal(st.skipped[2].count, 0);
    feed_close(f);
}

/* ---- history */

static void history_follows_the_symbol(void **state)
{
    (void)state;
    static char text[600 * 48];
    char path[96];
    size_t len = (size_t)sprintf(text, "date,symbol,open,high,low,close,volume\n");
    for (int day = 0; day < 400; day++) { /* from 2001-01-01 on */
        time_t s = (11323 + day) * 86400;
        struct tm tm;
        gmtime_r(&s, &tm);
        len += strftime(text + len, 32, "%Y%m%d", &tm);
        len += (size_t)sprintf(text + len, ",A,1,3,1,2,%d\n", day);
    }
    write_csv(5, "", text, len);
    snprintf(path, sizeof path, "%s", path_of(5, ""));
    struct history *h = history_load(path, NULL, NULL, NULL, &err);
    if (!h)
        fail_msg("%s", err.text);
    static const struct {
        int64_t first_tick_ns;
        int first, n; /* bars */
    } cases[] = {
        {11323 * DAY_NS + 1, 0, 0},          /* its day is not over */
        {11324 * DAY_NS - 1, 0, 0},          /* nearly */
        {11324 * DAY_NS, 0, 1},              /* over */
        {(11323 + 260) * DAY_NS, 0, 260},    /* as many as are kept */
        {(11323 + 300) * DAY_NS, 40, 260},   /* the last of more */
        {(11323 + 4000) * DAY_NS, 140, 260}, /* of all */
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        len = (size_t)sprintf(text, HEADER "1,%" PRId64 ",B,1,1\n2,%" PRId64 ",A,1,1\n3,%" PRId64 ",A,1,1\n",
                              cases[c].first_tick_ns, cases[c].first_tick_ns, cases[c].first_tick_ns);
        write_csv(0, "", text, len);
        struct feed *f = open_feed(1, 10, h);
        read_all(f);
        int i = (int)msg_slot_count(out) + 1; /* B and its tick */
        assert_int_equal(out[i].type, MSG_SYMBOL);
        i += (int)msg_slot_count(&out[i]);
        for (int k = 0; k < cases[c].n; k++, i += (int)msg_slot_count(&out[i])) {
            struct msg_history_bar b;
            assert_int_equal(out[i].type, MSG_HISTORY_BAR);
            assert_int_equal(out[i].symbol, 1);
            msg_get(&out[i], 0, &b, sizeof b);
            assert_int_equal(out[i].event_ns, (11323 + cases[c].first + k) * DAY_NS);
            assert_int_equal(b.volume, cases[c].first + k);
            assert_int_equal(b.length_ns, DAY_NS);
            assert_int_equal(b.close_e9, 2000000000);
        }
        assert_int_equal(out[i].type, MSG_TRADE);
        assert_int_equal(i + 2, out_n);
        feed_close(f);
    }
    history_free(h);
}

/* Histories of many symbols that appear at once do not overflow a read. */
static void many_histories_in_one_read(void **state)
{
    (void)state;
    enum { SYMBOLS = 40, DAYS = 260 };
    static char text[SYMBOLS * DAYS * 40 + 100], ticks[SYMBOLS * 40 + 100];
    char path[96];
    size_t len = (size_t)sprintf(text, "date,symbol,open,high,low,close,volume\n");
    size_t ticks_len = (size_t)sprintf(ticks, HEADER);
    for (int s = 0; s < SYMBOLS; s++) {
        for (int day = 0; day < DAYS; day++)
            len += (size_t)sprintf(text + len, "2001%02d%02d,S%d,1,1,1,1,1\n", 1 + day / 28, 1 + day % 28, s);
        ticks_len += (size_t)sprintf(ticks + ticks_len, "%d,%" PRId64 ",S%d,1,1\n", s, BASE_NS, s);
    }
    write_csv(5, "", text, len);
    snprintf(path, sizeof path, "%s", path_of(5, ""));
    struct history *h = history_load(path, NULL, NULL, NULL, &err);
    assert_non_null(h);
    write_csv(0, "", ticks, ticks_len);
    struct feed *f = open_feed(1, SYMBOLS, h);
    read_all(f);
    int bars = 0, trades = 0;
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i])) {
        bars += out[i].type == MSG_HISTORY_BAR;
        trades += out[i].type == MSG_TRADE;
        if (out[i].type == MSG_TRADE)
            assert_int_equal(bars, trades * DAYS);
    }
    assert_int_equal(bars, SYMBOLS * DAYS);
    assert_int_equal(trades, SYMBOLS);
    feed_close(f);
    history_free(h);
}

/* ---- failures */

static void a_failed_source_ends_the_others_go_on(void **state)
{
    (void)state;
    static char text[200000], packed[200000];
    size_t len = (size_t)sprintf(text, HEADER);
    for (int i = 0; i < 4000; i++)
        len += (size_t)sprintf(text + len, "%d,%" PRId64 ",A,%d,1\n", i, BASE_NS, 1 + i * 7919 % 1000);
    size_t n = ZSTD_compress(packed, sizeof packed, text, len, 1);
    n += ZSTD_compress(packed + n, sizeof packed - n, text + strlen(HEADER), len - strlen(HEADER), 1);
    write_csv(0, ".zst", packed, n - 100); /* cut off */
    write_csv(1, "", HEADER "1000000,5,B,1,1\n", strlen(HEADER) + 16);
    struct feed *f = open_feed(2, 10, NULL);
    assert_null(feed_failure(f));
    read_all(f);
    assert_int_equal(out[out_n - 1].type, MSG_TRADE);
    assert_string_equal(feed_symbol(f, out[out_n - 1].symbol)->name, "B");
    assert_non_null(feed_failure(f));
    assert_non_null(strstr(feed_failure(f), "/0.csv.zst"));
    feed_close(f);
    /* both: a line for each */
    write_csv(1, ".zst", packed, n - 100);
    f = open_feed(2, 10, NULL);
    read_all(f);
    assert_non_null(strstr(feed_failure(f), "/0.csv.zst"));
    assert_non_null(strstr(feed_failure(f), "\n"));
    assert_non_null(strstr(feed_failure(f), "/1.csv.zst"));
    feed_close(f);
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    static const struct source_config config = {.symbols_max = 10};
    const char *specs[FEED_SOURCES_MAX + 1];
    write_rows(0, "A@1");
    assert_null(feed_open(specs, 0, &config, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "0 sources, expected 1 to 64"));
    for (int i = 0; i <= FEED_SOURCES_MAX; i++)
        specs[i] = spec[0];
    assert_null(feed_open(specs, FEED_SOURCES_MAX + 1, &config, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "65 sources"));
    specs[1] = "csv:/nonexistent/x.csv";
    assert_null(feed_open(specs, 3, &config, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "/nonexistent/x.csv"));
    feed_close(NULL);
}

/* ---- captures */

static uint64_t capture_seq;

static void append(struct journal *j, struct msg *m, uint32_t slots)
{
    msg_set_seq(m, ++capture_seq);
    while (!journal_append(j, m, slots))
        journal_poll(j, 1);
}

/* A capture of A and B whose ticks, at these minutes, have `clocks` CLOCKs before each. */
static void write_capture(int file, const int *minutes, int n, int clocks)
{
    char path[80];
    struct msg m[MSG_SLOTS_MAX];
    snprintf(path, sizeof path, "%s/capture%d-%d", dir, n, clocks);
    struct journal *j = journal_open(path, &(struct journal_options){.blocking = true}, &err);
    if (!j)
        fail_msg("%s", err.text);
    capture_seq = 0;
    for (uint32_t id = 0; id < 2; id++) {
        uint32_t slots = msg_begin(m, MSG_SYMBOL, id, MSG_FIRST_BYTES + 1);
        m->sym = (struct msg_symbol){.bucket = bucket_of(id ? "B" : "A", 1), .name_len = 1, .size_scale = 3};
        msg_put(m, MSG_FIRST_BYTES, id ? "B" : "A", 1);
        append(j, m, slots);
    }
    for (int i = 0; i < n; i++) {
        int64_t t = BASE_NS + minutes[i] * MINUTE_NS;
        for (int k = 0; k < clocks; k++) {
            uint32_t slots = msg_begin(m, MSG_CLOCK, (uint32_t)k % BUCKET_COUNT, 0);
            m->event_ns = m->recv_ns = t;
            append(j, m, slots);
        }
        uint32_t slots = msg_begin(m, MSG_TRADE, (uint32_t)i & 1, 32);
        m->event_ns = t;
        m->recv_ns = BASE_NS + i * 2000000;
        m->trade = (struct msg_trade){.price_e9 = 1, .size = 1};
        append(j, m, slots);
    }
    assert_int_equal(journal_close(j, &err), 0);
    snprintf(spec[file], sizeof spec[file], "capture:%s", path);
}

static void a_capture_alone_is_as_it_was(void **state)
{
    (void)state;
    static const int minutes[] = {0, 1, 500, 2};
    uint64_t seq = 0;
    write_capture(0, minutes, 4, 3);
    struct feed *f = open_feed(1, 10, NULL);
    assert_true(feed_is_journal(f));
    read_all(f);
    for (int i = 0; i < out_n; i += (int)msg_slot_count(&out[i]))
        assert_int_equal(out[i].seq, ++seq); /* clocks, symbols, jumps and all */
    assert_int_equal(seq, capture_seq);
    assert_int_equal(feed_symbol_count(f), 2);
    assert_string_equal(feed_symbol(f, 1)->name, "B");
    assert_int_equal(feed_symbol(f, 1)->size_scale, 3);
    assert_int_equal(rejected(f, REJECT_TIME_JUMP), 0);
    feed_close(f);
}

/* Beside another source its ticks count; its clocks are no rows, so they refute no jump in time, and may be
 * any number. */
static void a_capture_among_several_gives_its_ticks(void **state)
{
    (void)state;
    static const int minutes[] = {0, 1, 500, 501, 9000, 502};
    static const int clocks[] = {0, 1, 600, 1024};
    for (size_t i = 0; i < COUNT(clocks); i++) {
        write_capture(0, minutes, 6, clocks[i]);
        write_rows(1, "B@3 C@5");
        struct feed *f = open_feed(2, 10, NULL);
        assert_false(feed_is_journal(f));
        read_all(f);
        if (strcmp(story(f), "+A A@0 +B B@2 B@3 A@4 +C C@5 B@6 B@10"))
            fail_msg("%d clocks: %s", clocks[i], story(f));
        assert_int_equal(rejected(f, REJECT_TIME_JUMP), 1);
        assert_int_equal(feed_symbol(f, 0)->size_scale, 3);
        feed_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_merge),
        cmocka_unit_test(random_sources_merge),
        cmocka_unit_test(one_source_alone),
        cmocka_unit_test(a_symbol_is_described),
        cmocka_unit_test(names_that_begin_alike),
        cmocka_unit_test(jumps_need_the_next_row),
        cmocka_unit_test(jumps_across_batches),
        cmocka_unit_test(times_beyond_all_clocks),
        cmocka_unit_test(symbols_are_limited),
        cmocka_unit_test(counters_add_up),
        cmocka_unit_test(history_follows_the_symbol),
        cmocka_unit_test(many_histories_in_one_read),
        cmocka_unit_test(a_failed_source_ends_the_others_go_on),
        cmocka_unit_test(what_cannot_be_opened),
        cmocka_unit_test(a_capture_alone_is_as_it_was),
        cmocka_unit_test(a_capture_among_several_gives_its_ticks),
    };
    return cmocka_run_group_tests_name("feed", tests, make_dir, remove_dir);
}
