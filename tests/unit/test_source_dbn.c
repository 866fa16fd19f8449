#include "tests/unit/source_harness.h"

#include <zstd.h>

/* A file as it is made up: net/dbn.h has the layout. */
static struct {
    uint8_t b[1 << 18];
    size_t n;
    unsigned version;
    bool ts_out;
} file;

enum { ES = 5482, T = 'T' };
#define AT 1609160400098821953u /* 2020-12-28 13:00 UTC */
#define PX 3720250000000

static struct msg got[64];

static void put(uint64_t value, size_t bytes)
{
    assert_true(file.n + bytes <= sizeof file.b);
    for (; bytes > 0; bytes--, value >>= 8)
        file.b[file.n++] = (uint8_t)value;
}

static void put_text(const char *text, size_t width)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < width; i++)
        put(i < len ? (uint8_t)text[i] : 0, 1);
}

struct mapping {
    const char *raw;
    uint32_t from, to;
    const char *symbol;
};

static size_t name_bytes(void)
{
    return file.version == 1 ? 22 : 71;
}

static void begin(unsigned version, unsigned stype_in, unsigned stype_out, bool ts_out,
                  const struct mapping *map, uint32_t maps)
{
    file.n = 0;
    file.version = version;
    file.ts_out = ts_out;
    put_text("DBN", 3);
    put(version, 1);
    put(0, 4);
    put_text("GLBX.MDP3", 16);
    put(4, 2);
    put(AT, 8);
    put(AT + 1, 8);
    put(0, version == 1 ? 16 : 8);
    put(stype_in, 1);
    put(stype_out, 1);
    put(ts_out, 1);
    if (version > 1)
        put(71, 2);
    while (file.n < 8 + 100)
        put(0, 1);
    put(0, 4);
    put(1, 4);
    put_text("asked for", name_bytes());
    put(0, 8);
    put(maps, 4);
    for (uint32_t i = 0; i < maps; i++) {
        put_text(map[i].raw, name_bytes());
        put(1, 4);
        put(map[i].from, 4);
        put(map[i].to, 4);
        put_text(map[i].symbol, name_bytes());
    }
    if (version == 3)
        while (file.n % 8)
            put(0, 1);
    size_t end = file.n;
    file.n = 4;
    put(end - 8, 4);
    file.n = end;
}

static void begin_plain(unsigned version)
{
    static const struct mapping map = {"ESH1", 20201228, 20201229, "5482"};
    begin(version, 1, 0, false, &map, 1);
}

static void header(unsigned rtype, size_t bytes, uint32_t id, uint64_t ts)
{
    put((bytes + (file.ts_out ? 8 : 0)) / 4, 1);
    put(rtype, 1);
    put(1, 2);
    put(id, 4);
    put(ts, 8);
}

struct record {
    unsigned rtype, action, flags;
    uint64_t ts_event, ts_recv;
    int64_t price, bid, ask;
    uint32_t id, size;
};

static const struct record good = {.action = T,
                                   .ts_event = AT,
                                   .ts_recv = AT + 7,
                                   .price = PX,
                                   .id = ES,
                                   .size = 5,
                                   .bid = PX,
                                   .ask = PX + 250000000};

static void put_record(struct record r)
{
    header(r.rtype, r.rtype ? 80 : 48, r.id, r.ts_event);
    put((uint64_t)r.price, 8);
    put(r.size, 4);
    put(r.action, 1);
    put('B', 1);
    put(r.flags, 1);
    put(0, 1);
    put(r.ts_recv, 8);
    put(170000, 4);
    put(1170352, 4);
    if (r.rtype) {
        put((uint64_t)r.bid, 8);
        put((uint64_t)r.ask, 8);
        put(24, 4);
        put(11, 4);
        put(15, 4);
        put(9, 4);
    }
    if (file.ts_out)
        put(AT + 99, 8);
}

static void put_mapping(uint32_t id, const char *asked, const char *name)
{
    bool v1 = file.version == 1;
    header(0x16, v1 ? 80 : 176, id, AT);
    put(1, v1 ? 0 : 1);
    put_text(asked, name_bytes());
    put(1, v1 ? 0 : 1);
    put_text(name, name_bytes());
    put(0, v1 ? 4 : 0);
    put(AT, 8);
    put(AT, 8);
    if (file.ts_out)
        put(AT + 99, 8);
}

static struct source *open_file(void)
{
    struct error err;
    write_file(file.b, file.n);
    struct source *s = open_kind("dbn", NULL, &err);
    if (!s)
        fail_msg("%s", err.text);
    s->log = keep_log;
    logged_n = 0;
    return s;
}

/* Every record is a tick, refused or skipped. */
static size_t read_file(struct source **s)
{
    int end;
    *s = open_file();
    size_t n = read_all(*s, got, COUNT(got), MSG_SLOTS_MAX, &end);
    assert_int_equal(end, SOURCE_END);
    assert_int_equal((*s)->stats.rows, n + sum_rejected(&(*s)->stats) + sum_skipped(&(*s)->stats));
    assert_int_equal((*s)->stats.bytes, file.n);
    return n;
}

static const struct msg trade = {
    .type = MSG_TRADE, .event_ns = AT, .recv_ns = AT + 7, .trade = {.price_e9 = PX, .size = 5}};
static const struct msg quote = {
    .type = MSG_QUOTE, .event_ns = AT, .recv_ns = AT + 7, .quote = {PX, PX + 250000000, 24, 11}};
static const struct msg sample = {.type = MSG_QUOTE,
                                  .flags = MSG_F_RECV_TIME,
                                  .event_ns = AT + 7,
                                  .recv_ns = AT + 7,
                                  .quote = {PX, PX + 250000000, 24, 11}};

static void check(size_t i, const struct msg *want)
{
    if (memcmp(&got[i], want, sizeof *want))
        fail_msg("message %zu: type %u, price %lld, event %lld", i, got[i].type,
                 (long long)got[i].trade.price_e9, (long long)got[i].event_ns);
}

static void test_versions(void **state)
{
    (void)state;
    static const struct mapping map = {"ESH1", 20201228, 20201229, "5482"};
    for (unsigned version = 1; version <= 3; version++)
        for (int ts_out = 0; ts_out < 2; ts_out++) {
            struct source *s;
            begin(version, 1, 0, ts_out, &map, 1);
            put_record(good);
            put_mapping(7, "x", "y");
            put_record(good);
            assert_int_equal(read_file(&s), 2);
            check(0, &trade);
            check(1, &trade);
            assert_int_equal(skipped(&s->stats, "symbol-mapping"), 1);
            assert_int_equal(s->symbol_count, 1);
            assert_string_equal(s->symbols[0].name, "ESH1");
            assert_int_equal(s->symbols[0].size_scale, 0);
            assert_int_equal(s->symbols[0].calendar, CALENDAR_UTC24);
            source_close(s);
        }
}

/* What each kind and action becomes; NULL: skipped, as what. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        unsigned rtype, action, flags;
        const struct msg *m;
        const char *as;
    } cases[] = {
        {0x00, 'T', 0, &trade, ""},
        {0x00, 'F', 0, NULL, "mbp-0 action F"},
        {0x01, 'T', 0, &trade, ""},
        {0x01, 'T', 4, &trade, ""},
        {0x01, 'A', 0x82, &quote, ""},
        {0x01, 'C', 0, &quote, ""},
        {0x01, 'M', 0, &quote, ""},
        {0x01, 'M', 4, NULL, "mbp-1 maybe bad book"},
        {0x01, 'R', 0, NULL, "mbp-1 action R"},
        {0x01, 'F', 0, NULL, "mbp-1 action F"},
        {0x01, 'N', 0, NULL, "mbp-1 action N"},
        {0xb1, 'A', 0, &quote, ""},
        {0xb1, 'T', 0, &trade, ""},
        {0xc2, 'T', 0, &trade, ""},
        {0xc0, 0, 0, &sample, ""},
        {0xc1, 0, 0, &sample, ""},
        {0xc3, 0, 0, &sample, ""},
        {0xc4, 0, 0x28, &sample, ""},
        {0x0a, 'T', 0, NULL, "mbp-10"},
        {0x11, 0, 0, NULL, "ohlcv"},
        {0x13, 0, 0, NULL, "definition"},
        {0x14, 0, 0, NULL, "imbalance"},
        {0x15, 0, 0, NULL, "error"},
        {0x17, 0, 0, NULL, "system"},
        {0x18, 0, 0, NULL, "statistics"},
        {0x20, 0, 0, NULL, "ohlcv-1s"},
        {0x21, 0, 0, NULL, "ohlcv-1m"},
        {0x22, 0, 0, NULL, "ohlcv-1h"},
        {0x23, 0, 0, NULL, "ohlcv-1d"},
        {0x24, 0, 0, NULL, "ohlcv-eod"},
        {0xa0, 'T', 0, NULL, "mbo"},
        {0x99, 'T', 0, NULL, "rtype 0x99"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source *s;
        struct record r = good;
        r.rtype = cases[i].rtype;
        r.action = cases[i].action;
        r.flags = cases[i].flags;
        begin_plain(3);
        put_record(r);
        size_t n = read_file(&s);
        if (n != (cases[i].m != NULL) || (n == 0 && skipped(&s->stats, cases[i].as) != 1))
            fail_msg("rtype 0x%02x action %c: %zu ticks, skipped as '%s'", r.rtype, r.action, n,
                     s->stats.skipped[0].kind);
        if (n)
            check(0, cases[i].m);
        source_close(s);
    }
}

static void put_status(unsigned action, unsigned reason, uint64_t ts_event, uint64_t ts_recv, uint32_t id)
{
    header(0x12, 40, id, ts_event);
    put(ts_recv, 8);
    put(action, 2);
    put(reason, 2);
    put(0, 2);
    put_text("YNN", 3);
    put(0, 7);
    if (file.ts_out)
        put(AT + 99, 8);
}

/* Halts, pauses and suspensions, and what ends them; other actions are skipped by name. */
static void test_status(void **state)
{
    (void)state;
    static const struct {
        unsigned action, reason;
        int kind; /* -1: skipped */
        const char *said;
    } cases[] = {
        {8, 50, STATUS_HALTED, "LULD pause"},
        {9, 0, STATUS_HALTED, "pause"},
        {10, 14, STATUS_HALTED, "SEC suspension"},
        {8, 77, STATUS_HALTED, "77"},
        {8, 65535, STATUS_HALTED, "65535"},
        {7, 0, STATUS_TRADING, ""},
        {7, 32, STATUS_TRADING, "news and times"},
        {0, 0, -1, "status none"},
        {1, 1, -1, "status pre-open"},
        {6, 0, -1, "status new-price"},
        {14, 0, -1, "status ssr-change"},
        {15, 0, -1, "status not-available"},
        {16, 0, -1, "status action 16"},
        {65535, 0, -1, "status action 65535"},
    };
    static const struct mapping map = {"ESH1", 20201228, 20201229, "5482"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source *s;
        begin(1 + i % 3, 1, 0, i % 2, &map, 1);
        put_status(cases[i].action, cases[i].reason, AT, AT + 7, ES);
        put_record(good);
        size_t n = read_file(&s);
        struct msg want = {.type = MSG_STATUS, .event_ns = AT, .recv_ns = AT + 7};
        want.status.kind = (uint8_t)(cases[i].kind < 0 ? 0 : cases[i].kind);
        assert_int_equal(n, 1 + (cases[i].kind >= 0));
        if (n == 2) {
            memcpy(want.status.reason, cases[i].said, strlen(cases[i].said));
            check(0, &want);
        } else if (skipped(&s->stats, cases[i].said) != 1) {
            fail_msg("action %u: skipped as '%s'", cases[i].action, s->stats.skipped[0].kind);
        }
        check(n - 1, &trade);
        source_close(s);
    }
}

/* What is no good in one is refused, as in ticks. */
static void test_status_refused(void **state)
{
    (void)state;
    struct source *s;
    begin_plain(3);
    put_status(8, 0, UINT64_MAX, UINT64_MAX, ES);
    put_status(8, 0, (uint64_t)INT64_MAX + 1, AT, ES);
    put_status(8, 0, AT, AT, ES + 1);
    put_status(8, 0, UINT64_MAX, AT + 7, ES);
    for (unsigned bytes = 16; bytes <= 80; bytes += 4)
        if (bytes != 40) {
            header(0x12, bytes, ES, AT);
            for (unsigned i = 16; i < bytes; i++)
                put(8, 1);
        }
    assert_int_equal(read_file(&s), 1);
    assert_int_equal(got[0].event_ns, AT + 7);
    assert_int_equal(got[0].flags, MSG_F_RECV_TIME);
    assert_int_equal(s->stats.rejected[REJECT_TIME_MISSING], 1);
    assert_int_equal(s->stats.rejected[REJECT_TIME_FORMAT], 1);
    assert_int_equal(s->stats.rejected[REJECT_SYMBOL_MISSING], 1);
    assert_int_equal(s->stats.rejected[REJECT_FORMAT], 16);
    source_close(s);
}

static void test_one_sided(void **state)
{
    (void)state;
    struct source *s;
    struct record r = good;
    begin_plain(2);
    r.rtype = 1;
    r.action = 'A';
    r.bid = INT64_MAX;
    put_record(r);
    r.bid = PX;
    r.ask = INT64_MAX;
    put_record(r);
    r.action = T; /* a trade needs no book */
    put_record(r);
    assert_int_equal(read_file(&s), 1);
    check(0, &trade);
    assert_int_equal(skipped(&s->stats, "mbp-1 one-sided"), 2);
    source_close(s);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct record r;
        enum reject_reason reason;
    } cases[] = {
        {{0, T, 0, AT, AT, INT64_MAX, 0, 0, ES, 5}, REJECT_PRICE_MISSING},
        {{0, T, 0, AT, AT, 0, 0, 0, ES, 5}, REJECT_PRICE_SIGN},
        {{0, T, 0, AT, AT, -PX, 0, 0, ES, 5}, REJECT_PRICE_SIGN},
        {{0, T, 0, AT, AT, PX, 0, 0, ES, UINT32_MAX}, REJECT_SIZE_MISSING},
        {{0, T, 0, UINT64_MAX, UINT64_MAX, PX, 0, 0, ES, 5}, REJECT_TIME_MISSING},
        {{0, T, 0, (uint64_t)INT64_MAX + 1, AT, PX, 0, 0, ES, 5}, REJECT_TIME_FORMAT},
        {{0, T, 0, AT, (uint64_t)INT64_MAX + 1, PX, 0, 0, ES, 5}, REJECT_TIME_FORMAT},
        {{0, T, 0, AT, AT, PX, 0, 0, ES + 1, 5}, REJECT_SYMBOL_MISSING},
        {{0, 'x', 0, AT, AT, PX, 0, 0, ES, 5}, REJECT_FORMAT},
        {{0, 0, 0, AT, AT, PX, 0, 0, ES, 5}, REJECT_FORMAT},
        {{1, 'A', 0, AT, AT, PX, -1, PX, ES, 5}, REJECT_PRICE_SIGN},
        {{1, 'A', 0, AT, AT, PX, PX, 0, ES, 5}, REJECT_PRICE_SIGN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source *s;
        begin_plain(1 + i % 3);
        put_record(good);
        size_t at = file.n;
        put_record(cases[i].r);
        put_record(good);
        if (read_file(&s) != 2 || s->stats.rejected[cases[i].reason] != 1)
            fail_msg("case %zu was not refused as %s", i, reject_name(cases[i].reason));
        char place[32];
        snprintf(place, sizeof place, "at byte %zu,", at);
        assert_int_equal(logged_n, 1);
        assert_non_null(strstr(logged[0], "row 2 refused"));
        assert_non_null(strstr(logged[0], place));
        source_close(s);
    }
}

static void test_times(void **state)
{
    (void)state;
    struct source *s;
    struct record r = good;
    begin_plain(2);
    r.ts_event = UINT64_MAX;
    put_record(r);
    r.ts_event = AT;
    r.ts_recv = UINT64_MAX;
    put_record(r);
    assert_int_equal(read_file(&s), 2);
    assert_int_equal(got[0].event_ns, AT + 7);
    assert_int_equal(got[0].flags, MSG_F_RECV_TIME);
    assert_int_equal(got[1].recv_ns, AT);
    assert_int_equal(got[1].flags, 0);
    source_close(s);
}

/* A size that is not the kind's is refused, and the next record is found all the same. */
static void test_sizes(void **state)
{
    (void)state;
    struct source *s;
    begin_plain(1);
    for (unsigned bytes = 16; bytes <= 1020; bytes += 4) {
        header(bytes % 3 == 0 ? 0x16 : bytes % 3 == 1 ? 0 : 1, bytes, ES, AT);
        for (unsigned i = 16; i < bytes; i++)
            put(0xff, 1);
        put_record(good);
    }
    /* 48 bytes of rtype 0x16 and 80 of rtype 1 among them: the latter has action 0xff */
    size_t n = read_file(&s);
    assert_int_equal(n, 252);
    assert_int_equal(s->stats.rejected[REJECT_FORMAT], 252);
    source_close(s);
}

static void test_names(void **state)
{
    (void)state;
    static const struct mapping maps[] = {
        {"ES.c.0", 20201227, 20201228, "9"},    {"ES.c.0", 20201228, 20201229, "5482"},
        {"NQ.c.0", 20201229, 20210101, "5482"}, {"none", 20201228, 20201229, ""},
        {"first", 20200101, 20300101, "10"},    {"last", 20200101, 20300101, "10"},
    };
    const uint64_t day = 86400000000000;
    struct source *s;
    struct record r = good;
    begin(2, 4, 0, false, maps, COUNT(maps));
    put_record(r); /* ES.c.0 */
    r.ts_recv += day;
    put_record(r);                                /* NQ.c.0 */
    r.ts_event = r.ts_recv = 1609286399999999999; /* 2020-12-29 23:59:59.999999999 */
    put_record(r);
    r.ts_event = r.ts_recv = 1609459200000000000; /* 2021-01-01: of nobody */
    put_record(r);
    r = good;
    r.id = 9; /* of the day before */
    put_record(r);
    r.id = 10;
    put_record(r);
    put_mapping(ES, "ES.FUT", "ESH1");
    put_mapping(77, "ES.FUT", "ESM1");
    put_record(good); /* ESH1 */
    put_mapping(ES, "ES.FUT", "ESZ9");
    put_record(good); /* ESZ9 */
    r.id = 77;
    put_record(r);
    put_mapping(78, "ES.FUT", "");
    static const char *const want[] = {"ES.c.0", "NQ.c.0", "NQ.c.0", "last", "ESH1", "ESZ9", "ESM1"};
    assert_int_equal(read_file(&s), COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++)
        assert_string_equal(s->symbols[got[i].symbol].name, want[i]);
    assert_int_equal(s->stats.rejected[REJECT_SYMBOL_MISSING], 3);
    assert_int_equal(skipped(&s->stats, "symbol-mapping"), 3);
    source_close(s);

    static const struct mapping inverse = {"5482", 20201228, 20201229, "ESH1"};
    begin(3, 0, 1, false, &inverse, 1);
    put_record(good);
    assert_int_equal(read_file(&s), 1);
    assert_string_equal(s->symbols[0].name, "ESH1");
    source_close(s);
}

/* More live names than the first table has cells. */
static void test_many_names(void **state)
{
    (void)state;
    struct source *s;
    char name[32];
    begin(1, 255, 0, false, NULL, 0);
    for (uint32_t i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "N%u", i);
        put_mapping(i * 65536, "x", name);
    }
    struct record r = good;
    for (uint32_t i = 0; i < 50; i++) {
        r.id = i * 7 * 65536;
        put_record(r);
    }
    assert_int_equal(read_file(&s), 50);
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "N%u", i * 7);
        assert_string_equal(s->symbols[got[i].symbol].name, name);
    }
    source_close(s);
}

static void check_unopened(const char *what, const char *says)
{
    struct error err = {""};
    write_file(file.b, file.n);
    struct source *s = open_kind("dbn", NULL, &err);
    if (s || !strstr(err.text, says) || !strstr(err.text, path))
        fail_msg("%s: '%s', expected '%s'", what, err.text, says);
}

/* One field of the metadata, spoilt. */
static void test_metadata(void **state)
{
    (void)state;
    static const struct {
        unsigned version;
        size_t at, bytes;
        uint64_t value;
        const char *says;
    } cases[] = {
        {2, 3, 1, 0, "DBN version 0, expected 1 to 3"},
        {2, 3, 1, 4, "DBN version 4, expected 1 to 3"},
        {2, 0, 1, 'd', "begins with the bytes 64 42 4e 02"},
        {2, 4, 4, 99, "metadata of 99 bytes at byte 4, expected 100 to 268435456"},
        {2, 4, 4, 100, "metadata of 100 bytes, expected at least 104"},
        {2, 4, 4, UINT32_MAX, "metadata of 4294967295 bytes"},
        {2, 4, 4, 268435456, "truncated: ends after"},
        {2, 4, 4, 110, "metadata at byte 112: 1 symbols of at least 71 bytes, but only 2 bytes are left"},
        {2, 8 + 45, 2, 0, "symbols of 0 bytes, expected 1 to 1024"},
        {2, 8 + 45, 2, 65535, "symbols of 65535 bytes, expected 1 to 1024"},
        {2, 8 + 43, 1, 1, "maps symbols of type 1 to type 1; expected instrument ids"},
        {1, 8 + 51, 1, 2, "maps symbols of type 1 to type 2"},
        {1, 8 + 100, 4, 7, "metadata at byte 108: a schema definition of 7 bytes, expected none"},
        {1, 8 + 104, 4, UINT32_MAX, "metadata at byte 112: 4294967295 symbols of at least 22 bytes"},
        {1, 8 + 130, 4, 9, "9 partly resolved symbols"},
        {1, 8 + 134, 4, 9, "9 symbols not found"},
        {1, 8 + 138, 4, UINT32_MAX, "4294967295 symbol mappings of at least 26 bytes"},
        {1, 8 + 138, 4, 2, "metadata ends at byte 206, expected 1 more symbol mappings"},
        {1, 8 + 164, 4, 2, "2 mapping intervals of at least 30 bytes, but only 30 bytes are left"},
        {1, 8 + 168, 4, 20201328, "metadata at byte 176: date 20201328 in a mapping, expected YYYYMMDD"},
        {1, 8 + 172, 4, 20201200, "metadata at byte 180: date 20201200"},
        {1, 8 + 172, 4, UINT32_MAX, "date 4294967295"},
        {1, 8 + 176, 4, 0x78787878, "instrument id 'xxxx' in the mapping of 'ESH1', expected a number"},
        {1, 8 + 176, 8, 0x3939393939393939, "instrument id '99999999'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin_plain(cases[i].version);
        size_t n = file.n;
        file.n = cases[i].at;
        put(cases[i].value, cases[i].bytes);
        file.n = n;
        if (i == COUNT(cases) - 1) { /* 8 digits are a number, 12 are none */
            file.n = 8 + 184;
            put(0x39393939, 4);
            file.n = n;
            check_unopened(cases[i].says, "instrument id '999999999999'");
            continue;
        }
        check_unopened(cases[i].says, cases[i].says);
    }
}

static void test_no_dbn(void **state)
{
    (void)state;
    file.n = 0;
    check_unopened("an empty file", "empty; expected DBN");
    put_text("ts_ns,symbol,price,size\n", 24);
    check_unopened("a CSV", "begins with the bytes 74 73 5f 6e 73 2c 73 79; expected 'DBN'");
    file.n = 0;
    put_record(good);
    check_unopened("a fragment", "a fragment, records without metadata, cannot be read");
    file.n = 0;
    put(0x184d2a50, 4);
    put(16, 4);
    put_text("DBZ\1GLBX.MDP3", 16);
    check_unopened("a DBZ", "legacy DBZ, expected DBN");
}

/* A file cut anywhere: refused or failed with its place, and what precedes the cut is read. */
static void test_cut(void **state)
{
    (void)state;
    struct error err;
    begin_plain(2);
    size_t head = file.n;
    for (int i = 0; i < 5; i++)
        put_record(good);
    size_t n = file.n;
    for (size_t cut = 0; cut <= n; cut++) {
        int end;
        file.n = cut;
        if (cut < head) {
            check_unopened("cut", cut == 0 ? "empty" : cut < 3 ? "begins with" : "truncated: ends");
            continue;
        }
        write_file(file.b, cut);
        struct source *s = open_kind("dbn", NULL, &err);
        assert_non_null(s);
        assert_int_equal(read_all(s, got, COUNT(got), MSG_SLOTS_MAX, &end), (cut - head) / 48);
        assert_int_equal(end, (cut - head) % 48 ? SOURCE_FAILED : SOURCE_END);
        if (end == SOURCE_FAILED) {
            char says[80];
            snprintf(says, sizeof says, "record %zu at byte %zu of the uncompressed data",
                     (cut - head) / 48 + 1, cut - (cut - head) % 48);
            assert_non_null(strstr(s->failure.text, says));
        }
        source_close(s);
    }
}

static void check_fails(const char *says)
{
    int end;
    struct source *s = open_file();
    assert_int_equal(read_all(s, got, COUNT(got), MSG_SLOTS_MAX, &end), 1);
    assert_int_equal(end, SOURCE_FAILED);
    if (!strstr(s->failure.text, says))
        fail_msg("'%s', expected '%s'", s->failure.text, says);
    source_close(s);
}

static void test_lost(void **state)
{
    (void)state;
    for (unsigned words = 0; words < 4; words++) {
        char says[80];
        begin_plain(3);
        put_record(good);
        snprintf(says, sizeof says, "record 2 at byte %zu of the uncompressed data: a length of %u bytes",
                 file.n, 4 * words);
        put(words, 1);
        put(0, 47);
        check_fails(says);
    }
    begin_plain(1);
    put_record(good);
    size_t n = file.n;
    memcpy(file.b + n, file.b, n);
    memset(file.b + 2 * n, 0, 1000);
    file.n = 2 * n + 1000;
    check_fails("the metadata of another file, expected a record");
}

/* Longer than the buffer, in zstd frames that end anywhere. */
static void test_zstd(void **state)
{
    (void)state;
    enum { RECORDS = 20000, FRAME = 10007 };
    static uint8_t text[RECORDS * 48 + 1024], packed[2 * sizeof text];
    static struct msg ticks[RECORDS];
    size_t n, used = 0;
    struct error err;
    begin_plain(2);
    memcpy(text, file.b, n = file.n);
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct record r = good;
        r.size = i;
        file.n = 0;
        put_record(r);
        memcpy(text + n, file.b, file.n);
        n += file.n;
    }
    for (size_t at = 0; at < n; at += FRAME) {
        size_t some = n - at < FRAME ? n - at : FRAME;
        used += ZSTD_compress(packed + used, sizeof packed - used, text + at, some, 1);
    }
    for (int plain = 0; plain < 2; plain++) {
        int end;
        write_file(plain ? text : packed, plain ? n : used);
        struct source *s = open_kind("dbn", NULL, &err);
        assert_non_null(s);
        assert_int_equal(read_all(s, ticks, RECORDS, 100, &end), RECORDS);
        assert_int_equal(end, SOURCE_END);
        for (uint32_t i = 0; i < RECORDS; i++)
            assert_int_equal(ticks[i].trade.size, i);
        assert_int_equal(s->stats.bytes, n);
        source_close(s);
    }
    int end;
    write_file(packed, used - 3);
    struct source *s = open_kind("dbn", NULL, &err);
    assert_non_null(s);
    assert_true(read_all(s, ticks, RECORDS, 100, &end) < RECORDS);
    assert_int_equal(end, SOURCE_FAILED);
    assert_non_null(strstr(s->failure.text, "truncated"));
    source_close(s);
}

static void test_config(void **state)
{
    (void)state;
    struct source_config config = {.market = "CME", .dbn_calendar = CALENDAR_US_EQUITY, .symbols_max = 1};
    struct error err;
    int end;
    begin_plain(2);
    put_record(good);
    put_mapping(9, "x", "OTHER");
    struct record r = good;
    r.id = 9;
    put_record(r);
    write_file(file.b, file.n);
    struct source *s = open_kind("dbn", &config, &err);
    assert_non_null(s);
    assert_int_equal(read_all(s, got, COUNT(got), MSG_SLOTS_MAX, &end), 1);
    assert_string_equal(s->symbols[0].name, "ESH1.CME");
    assert_int_equal(s->symbols[0].calendar, CALENDAR_US_EQUITY);
    assert_int_equal(s->stats.rejected[REJECT_SYMBOLS_FULL], 1);
    source_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),  cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_status),    cmocka_unit_test(test_status_refused),
        cmocka_unit_test(test_one_sided), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_times),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_metadata),  cmocka_unit_test(test_no_dbn),
        cmocka_unit_test(test_cut),       cmocka_unit_test(test_lost),
        cmocka_unit_test(test_zstd),      cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests_name("source_dbn", tests, make_dir, remove_dir);
}
