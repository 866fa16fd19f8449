#include "tests/unit/source_harness.h"

#include <zstd.h>

#define HEADER "ts_ns,symbol,price,size\n"
#define GOOD   "1381219217034000000,SPY,167.42,100\n"

static struct msg got[64];

static struct source *open_text(const char *text, const struct source_config *config)
{
    struct error err;
    write_file(text, strlen(text));
    struct source *s = open_kind("csv", config, &err);
    if (!s)
        fail_msg("%s", err.text);
    return s;
}

static size_t read_text(const char *text, const struct source_config *config, struct source **s)
{
    int end;
    *s = open_text(text, config);
    size_t n = read_all(*s, got, COUNT(got), MSG_SLOTS_MAX, &end);
    assert_int_equal(end, SOURCE_END);
    assert_int_equal((*s)->stats.rows, n + sum_rejected(&(*s)->stats));
    assert_int_equal((*s)->stats.bytes, strlen(text));
    return n;
}

static void test_trade(void **state)
{
    (void)state;
    struct source *s;
    size_t n = read_text("cond,exchange,ts_ns,extra,symbol,price,size,trade_id,tape\n"
                         "@F T,Q,1381219217034000000,x,SPY,167.4200,210,42,B\n"
                         ",,1381219217034000001,,IBM,1e2,7,ab-1,\n"
                         "ABCDE,NYSE,1381219217034000002,,SPY,0.000000001,1,18446744073709551615,D\n",
                         NULL, &s);
    assert_int_equal(n, 3);
    struct msg a = {.type = MSG_TRADE,
                    .venue = 'Q',
                    .event_ns = 1381219217034000000,
                    .recv_ns = 1381219217034000000,
                    .trade = {167420000000, 210, 42, {'@', 'F', 'T', 0}, 'B', {0}}};
    assert_memory_equal(&got[0], &a, sizeof a);
    assert_int_equal(got[1].symbol, 1);
    assert_int_equal(got[1].venue, 0);
    assert_int_equal(got[1].trade.price_e9, 100000000000);
    assert_true(got[1].trade.trade_id != 0); /* a hash */
    assert_int_equal(got[2].symbol, 0);
    assert_int_equal(got[2].venue, 'N');
    assert_int_equal(got[2].trade.price_e9, 1);
    assert_true(got[2].trade.trade_id == UINT64_MAX);
    assert_memory_equal(got[2].trade.cond, "ABCD", 4);
    assert_int_equal(got[2].trade.tape, 0);
    assert_int_equal(s->symbol_count, 2);
    assert_string_equal(s->symbols[0].name, "SPY");
    assert_int_equal(s->symbols[1].name_len, 3);
    assert_int_equal(s->symbols[0].calendar, CALENDAR_US_EQUITY);
    source_close(s);
}

static void test_names_of_columns(void **state)
{
    (void)state;
    static const char *const headers[] = {"ts_ns,symbol,price,size", "timestamp_ns,symbol,price,quantity",
                                          "time_ns,symbol,price,volume", "\"ts_ns\",\"symbol\",price,size\r"};
    char text[200];
    for (size_t i = 0; i < COUNT(headers); i++) {
        struct source *s;
        snprintf(text, sizeof text, "%s%s\n" GOOD, i & 1 ? "\xef\xbb\xbf" : "", headers[i]);
        assert_int_equal(read_text(text, NULL, &s), 1);
        assert_int_equal(got[0].trade.size, 100);
        source_close(s);
    }
}

static void test_quotes(void **state)
{
    (void)state;
    struct source *s;
    size_t n = read_text("ts_ns,symbol,price,size,bid,ask,bid_size,ask_size\n"
                         "1,SPY,167.42,100,167.41,167.43,1,2\n" /* a price makes it a trade */
                         "2,SPY,,,167.41,167.43,3,4\n"
                         "3,SPY,,,167.44,167.43,,0\n" /* crossed, sizes not given */
                         "4,SPY,,,167.44,,1,1\n"
                         "5,SPY,,,0,1,1,1\n"
                         "6,SPY,,,1,1,-1,1\n"
                         "7,SPY,,,,,,\n",
                         NULL, &s);
    assert_int_equal(n, 3);
    assert_int_equal(got[0].type, MSG_TRADE);
    assert_int_equal(got[1].type, MSG_QUOTE);
    struct msg_quote q = {167410000000, 167430000000, 3, 4}, r = {167440000000, 167430000000, 0, 0};
    assert_memory_equal(&got[1].quote, &q, sizeof q);
    assert_memory_equal(&got[2].quote, &r, sizeof r);
    assert_int_equal(s->stats.rejected[REJECT_PRICE_MISSING], 2);
    assert_int_equal(s->stats.rejected[REJECT_PRICE_SIGN], 1);
    assert_int_equal(s->stats.rejected[REJECT_SIZE_FORMAT], 1);
    source_close(s);
    assert_int_equal(read_text("symbol,ts_ns,ask,bid\nSPY,5,2,1\n", NULL, &s), 1);
    assert_int_equal(got[0].quote.bid_e9, 1000000000);
    source_close(s);
}

static void test_receive_time(void **state)
{
    (void)state;
    struct source *s;
    size_t n = read_text("recv_ns,ts_ns,symbol,price,size\n"
                         "20,10,A,1,1\n"
                         ",10,A,1,1\n"
                         "20,,A,1,1\n"
                         ",,A,1,1\n"
                         "x,10,A,1,1\n",
                         NULL, &s);
    assert_int_equal(n, 3);
    assert_int_equal(got[0].event_ns, 10);
    assert_int_equal(got[0].recv_ns, 20);
    assert_int_equal(got[1].recv_ns, 10);
    assert_int_equal(got[1].flags, 0);
    assert_int_equal(got[2].event_ns, 20);
    assert_int_equal(got[2].flags, MSG_F_RECV_TIME);
    assert_int_equal(s->stats.rejected[REJECT_TIME_MISSING], 1);
    assert_int_equal(s->stats.rejected[REJECT_TIME_FORMAT], 1);
    source_close(s);
}

/* A bad row between two good ones: it is counted under its reason, they count. */
static void test_bad_rows(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        enum reject_reason reason;
    } cases[] = {
        {"1,SPY,1", REJECT_COLUMNS},
        {"x", REJECT_COLUMNS},
        {",", REJECT_COLUMNS},
        {"1,SPY,1,1,1", REJECT_FORMAT},
        {"1,\"SPY,1,1", REJECT_FORMAT},
        {"1,\"SPY\"x,1,1", REJECT_FORMAT},
        {",SPY,1,1", REJECT_TIME_MISSING},
        {"now,SPY,1,1", REJECT_TIME_FORMAT},
        {"-1,SPY,1,1", REJECT_TIME_FORMAT},
        {"1.5,SPY,1,1", REJECT_TIME_FORMAT},
        {"9223372036854775808,SPY,1,1", REJECT_TIME_FORMAT},
        {"99999999999999999999999,SPY,1,1", REJECT_TIME_FORMAT},
        {"138121921703400000x,SPY,1,1", REJECT_TIME_FORMAT},
        {"1,,1,1", REJECT_SYMBOL_MISSING},
        {"1,A234567890123456789012345678901234567890123456789012345678901234,1,1", REJECT_SYMBOL_LENGTH},
        {"1,S\tY,1,1", REJECT_SYMBOL_LENGTH},
        {"1,S\x7fY,1,1", REJECT_SYMBOL_LENGTH},
        {"1,S\xffY,1,1", REJECT_SYMBOL_LENGTH},
        {"1,\xc0\x80,1,1", REJECT_SYMBOL_LENGTH},
        {"1,\xed\xa0\x80,1,1", REJECT_SYMBOL_LENGTH},
        {"1,S\xe2\x82,1,1", REJECT_SYMBOL_LENGTH},
        {"1,SPY,,1", REJECT_PRICE_MISSING},
        {"1,SPY,abc,1", REJECT_PRICE_FORMAT},
        {"1,SPY, 1,1", REJECT_PRICE_FORMAT},
        {"1,SPY,nan,1", REJECT_PRICE_FORMAT},
        {"1,SPY,1.2.3,1", REJECT_PRICE_FORMAT},
        {"1,SPY,0,1", REJECT_PRICE_SIGN},
        {"1,SPY,0.000,1", REJECT_PRICE_SIGN},
        {"1,SPY,-0,1", REJECT_PRICE_SIGN},
        {"1,SPY,-167.42,1", REJECT_PRICE_SIGN},
        {"1,SPY,9223372036.854775808,1", REJECT_PRICE_RANGE},
        {"1,SPY,1e30,1", REJECT_PRICE_RANGE},
        {"1,SPY,0.0000000001,1", REJECT_PRICE_RANGE},
        {"1,SPY,1,", REJECT_SIZE_MISSING},
        {"1,SPY,1,x", REJECT_SIZE_FORMAT},
        {"1,SPY,1,-5", REJECT_SIZE_FORMAT},
        {"1,SPY,1,0.5", REJECT_SIZE_RANGE},
        {"1,SPY,1,18446744073709551616", REJECT_SIZE_RANGE},
    };
    char text[400];
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source *s;
        snprintf(text, sizeof text, HEADER GOOD "%s\n" GOOD, cases[i].row);
        s = open_text(text, NULL);
        s->log = keep_log;
        logged_n = 0;
        int end;
        if (read_all(s, got, COUNT(got), 4096, &end) != 2 || s->stats.rejected[cases[i].reason] != 1 ||
            sum_rejected(&s->stats) != 1)
            fail_msg("'%s' was not refused as %s", cases[i].row, reject_name(cases[i].reason));
        assert_int_equal(s->stats.rows, 3);
        assert_int_equal(s->symbol_count, 1);
        assert_memory_equal(&got[0], &got[1], sizeof *got);
        assert_int_equal(logged_n, 1);
        assert_non_null(strstr(logged[0], path));
        assert_non_null(strstr(logged[0], "row 3 "));
        assert_non_null(strstr(logged[0], reject_name(cases[i].reason)));
        for (const char *p = logged[0]; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
        source_close(s);
    }
}

static void test_samples_are_few(void **state)
{
    (void)state;
    char text[4000] = HEADER;
    for (int i = 0; i < 20; i++)
        snprintf(text + strlen(text), 40, "%d,SPY,%s,1\n", i, i & 1 ? "x" : "0");
    struct source *s = open_text(text, NULL);
    int end;
    s->log = keep_log;
    logged_n = 0;
    assert_int_equal(read_all(s, got, COUNT(got), MSG_SLOTS_MAX, &end), 0);
    assert_int_equal(logged_n, 2 * SOURCE_SAMPLES_PER_REASON);
    assert_int_equal(s->stats.rejected[REJECT_PRICE_FORMAT], 10);
    source_close(s);
}

static void test_layout(void **state)
{
    (void)state;
    struct source *s;
    size_t n = read_text("ts_ns,symbol,price,size\r\n"
                         "1,SPY,1,5\r\n"
                         "\r\n"
                         "\n"
                         "2,\"B\"\"R,K\",\"2.5\",\"6\"\r\n"
                         "\"3\",SPY,3,7",
                         NULL, &s);
    assert_int_equal(n, 3);
    assert_int_equal(got[0].trade.size, 5);
    assert_int_equal(got[1].trade.size, 6);
    assert_int_equal(got[1].trade.price_e9, 2500000000);
    assert_string_equal(s->symbols[1].name, "B\"R,K");
    assert_int_equal(got[2].event_ns, 3);
    assert_int_equal(got[2].trade.size, 7);
    source_close(s);
}

/* Rows over 64 bytes, with many columns, take another way through the splitter. */
static void test_long_rows(void **state)
{
    (void)state;
    char text[60000] = "ts_ns";
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), 20, ",c%d", i);
    strcat(text, ",symbol,price,size\n");
    for (int row = 0; row < 30; row++) {
        snprintf(text + strlen(text), 30, "%d", row + 1);
        for (int i = 0; i < 100; i++)
            snprintf(text + strlen(text), 40, ",%.*s", (i * row) % 17, "................");
        snprintf(text + strlen(text), 40, ",SPY,%d.5,%d%s", row + 1, row + 2, row & 1 ? "\r\n" : "\n");
    }
    struct source *s;
    assert_int_equal(read_text(text, NULL, &s), 30);
    for (int row = 0; row < 30; row++) {
        assert_int_equal(got[row].event_ns, row + 1);
        assert_int_equal(got[row].trade.price_e9, (row + 1) * 1000000000LL + 500000000);
        assert_int_equal(got[row].trade.size, row + 2);
    }
    source_close(s);
}

static void test_config(void **state)
{
    (void)state;
    struct source_config config = {
        .market = "P", .csv_size_scale = 8, .csv_calendar = CALENDAR_UTC24, .symbols_max = 2};
    struct source *s;
    size_t n = read_text(
        HEADER "1,BTC,1,0.5\n2,ETH,1,0.00000001\n3,XRP,1,1\n4,BTC,1,0.000000001\n5,BTC,1,1\n", &config, &s);
    assert_int_equal(n, 3);
    assert_int_equal(got[0].trade.size, 50000000);
    assert_string_equal(s->symbols[0].name, "BTC.P");
    assert_int_equal(s->symbols[0].size_scale, 8);
    assert_int_equal(s->symbols[0].calendar, CALENDAR_UTC24);
    assert_int_equal(s->stats.rejected[REJECT_SYMBOLS_FULL], 1);
    assert_int_equal(s->stats.rejected[REJECT_SIZE_RANGE], 1);
    assert_int_equal(got[2].symbol, 0);
    assert_int_equal(source_symbol_find(s, "ETH.P", 5), 1);
    assert_int_equal(source_symbol_find(s, "ETH", 3), -1);
    source_close(s);
    struct error err;
    config.csv_size_scale = 10;
    assert_null(open_kind("csv", &config, &err));
    assert_non_null(strstr(err.text, "0 to 9"));
}

/* A name of which another is the start, and one with a NUL, are names of their own, however they are looked
 * up. */
static void test_symbols(void **state)
{
    (void)state;
    struct source *s;
    char text[600000] = HEADER, *p = text + strlen(text);
    write_file(HEADER "1,A,1,1\n1,A\0,1,1\n1,AB,1,1\n1,A,1,1\n", strlen(HEADER) + 33);
    s = open_kind("csv", NULL, NULL);
    int end;
    assert_int_equal(read_all(s, got, COUNT(got), MSG_SLOTS_MAX, &end), 3);
    assert_int_equal(s->symbol_count, 2);
    assert_int_equal(got[1].symbol, 1);
    assert_int_equal(got[2].symbol, 0);
    assert_int_equal(s->stats.rejected[REJECT_SYMBOL_LENGTH], 1);
    source_close(s);
    for (int i = 0; i < 20000; i++)
        p += snprintf(p, 40, "1,%s%d,1,%d\n", i & 1 ? "LONG-NAME-" : "S", i % 5000, i + 1);
    s = open_text(text, NULL);
    struct msg *all = aligned_alloc(64, 20000 * sizeof *all);
    assert_non_null(all);
    assert_int_equal(read_all(s, all, 20000, 1000, &end), 20000);
    assert_int_equal(s->symbol_count, 5000);
    for (int i = 0; i < 20000; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%d", i & 1 ? "LONG-NAME-" : "S", i % 5000);
        assert_string_equal(s->symbols[all[i].symbol].name, name);
    }
    free(all);
    source_close(s);
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "empty; expected a first line"},
        {"symbol,price,size\n", "no column 'ts_ns' in its first line 'symbol,price,size'; expected"},
        {"ts_ns,price,size\n", "no column 'symbol'"},
        {"ts_ns,symbol,size\n", "no column 'price'"},
        {"ts_ns,symbol,price\n", "no column 'size'"},
        {"ts_ns,symbol,bid\n", "no column 'ask'"},
        {"ts_ns,symbol,ask\n", "no column 'bid'"},
        {"ts_ns,time_ns,symbol,price,size\n", "columns 1 and 2 both"},
        {"\"ts_ns,symbol,price,size\n", "is not closed"},
        {GOOD, "no column 'ts_ns'"},
    };
    struct error err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_file(cases[i].text, strlen(cases[i].text));
        assert_null(open_kind("csv", NULL, &err));
        if (!strstr(err.text, cases[i].part) || !strstr(err.text, path))
            fail_msg("'%s' lacks '%s'", err.text, cases[i].part);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *part;
    } cases[] = {
        {"cvs:x", "unknown kind 'cvs', did you mean 'csv'?; kinds: csv, binance-jsonl"},
        {"zzzzzz:x", "unknown kind 'zzzzzz'; kinds:"},
        {"tape.csv", "expected kind:argument (csv:tape.csv?)"},
        {"csv:/no/such.csv", "source 'csv:/no/such.csv': /no/such.csv: No such file"},
        {"binance-jsonl:/no/such", "No such file"},
        {"csv:/tmp", "a directory"},
        {"", "expected kind:argument"},
        {":", "unknown kind ''"},
    };
    struct error err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_null(source_open(cases[i].spec, NULL, &err));
        if (!strstr(err.text, cases[i].part))
            fail_msg("'%s' lacks '%s'", err.text, cases[i].part);
    }
    for (unsigned i = 0; i < source_kind_count; i++)
        assert_true(source_kinds[i].name[0] && source_kinds[i].help[0]);
    for (int i = 0; i < REJECT_COUNT; i++)
        assert_true(reject_name((enum reject_reason)i)[0] != '?');
}

/* What stands before a cut counts, and the error says where it is. */
static void test_truncated(void **state)
{
    (void)state;
    char text[20000] = HEADER, packed[20000];
    for (int i = 0; i < 300; i++)
        snprintf(text + strlen(text), 60, "%d,SPY,%d.25,%d\n", 1000000000 + i * 7919, i + 1, i * i + 1);
    size_t half = strlen(text) / 2, n = ZSTD_compress(packed, sizeof packed, text, half, 1);
    n += ZSTD_compress(packed + n, sizeof packed - n, text + half, strlen(text) - half, 1);
    struct error err;
    int end;
    write_file(packed, n - 1);
    struct source *s = open_kind("csv", NULL, &err);
    assert_non_null(s);
    size_t rows = read_all(s, got, COUNT(got), MSG_SLOTS_MAX, &end);
    assert_int_equal(end, SOURCE_FAILED);
    assert_true(rows > 140 && rows < 160 && rows == s->stats.rows);
    assert_non_null(strstr(s->failure.text, path));
    assert_non_null(strstr(s->failure.text, "truncated"));
    source_close(s);
}

/* The whole tape against a sum made of it by other means. */
static void test_tape(void **state)
{
    (void)state;
    const char *file = TICKS "us-equity-lean/tape_20131008_trades.csv.zst";
    if (!have(file))
        skip();
    struct error err;
    static struct msg m[1000];
    struct source *s = source_open("csv:" TICKS "us-equity-lean/tape_20131008_trades.csv.zst", NULL, &err);
    assert_non_null(s);
    uint64_t sum = 0, n = 0;
    int k;
    while ((k = source_read(s, m, COUNT(m))) > 0)
        for (int i = 0; i < k; i++, n++)
            sum = sum * 31 + (uint64_t)m[i].event_ns + (uint64_t)m[i].trade.price_e9 * 3 +
                  m[i].trade.size * 5 + m[i].venue;
    assert_int_equal(k, SOURCE_END);
    assert_int_equal(n, 654140);
    assert_int_equal(s->symbol_count, 4);
    assert_int_equal(sum_rejected(&s->stats), 0);
    assert_true(sum == 0x67299e04b6654585u);
    source_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trade),         cmocka_unit_test(test_names_of_columns),
        cmocka_unit_test(test_quotes),        cmocka_unit_test(test_receive_time),
        cmocka_unit_test(test_bad_rows),      cmocka_unit_test(test_samples_are_few),
        cmocka_unit_test(test_layout),        cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_config),        cmocka_unit_test(test_symbols),
        cmocka_unit_test(test_refused_files), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_tape),
    };
    return cmocka_run_group_tests_name("source_csv", tests, make_dir, remove_dir);
}
