#include "tests/unit/source_harness.h"

#define RECV "1723161255088176367"
#define TRADE                                                                                                \
    "{\"e\":\"trade\",\"E\":1723161256322,\"T\":1723161256321,\"s\":\"BTCUSDT\",\"t\":5266583935,"           \
    "\"p\":\"61800.30\",\"q\":\"0.006\",\"X\":\"MARKET\",\"m\":false}"
#define QUOTE                                                                                                \
    "{\"u\":50093421613,\"s\":\"BTCUSDT\",\"b\":\"61685.99000000\",\"B\":\"1.25869000\","                    \
    "\"a\":\"61686.00000000\",\"A\":\"2.44816000\"}"
#define GOOD RECV " {\"stream\":\"btcusdt@trade\",\"data\":" TRADE "}\n"

static struct msg got[64];

static size_t read_text(const char *text, struct source **s)
{
    struct error err;
    int end;
    write_file(text, strlen(text));
    *s = open_kind("binance-jsonl", NULL, &err);
    assert_non_null(*s);
    (*s)->log = keep_log;
    logged_n = 0;
    size_t n = read_all(*s, got, COUNT(got), MSG_SLOTS_MAX, &end);
    assert_int_equal(end, SOURCE_END);
    assert_int_equal((*s)->stats.rows, n + sum_rejected(&(*s)->stats) + sum_skipped(&(*s)->stats));
    return n;
}

static const struct msg trade = {.type = MSG_TRADE,
                                 .event_ns = 1723161256321000000,
                                 .recv_ns = 1723161255088176367,
                                 .trade = {61800300000000, 600000, 5266583935, {0}, 0, {0}}};
static const struct msg quote = {.type = MSG_QUOTE,
                                 .flags = MSG_F_RECV_TIME,
                                 .event_ns = 1723161255088176367,
                                 .recv_ns = 1723161255088176367,
                                 .quote = {61685990000000, 61686000000000, 125869000, 244816000}};

/* Messages in every dress: each line gives the trade or the quote above. */
static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const struct msg *m;
    } cases[] = {
        {RECV " {\"stream\":\"btcusdt@trade\",\"data\":" TRADE "}", &trade},
        {RECV " {\"data\":" TRADE ",\"stream\":\"btcusdt@trade\"}", &trade},
        {RECV " " TRADE, &trade},
        {RECV " \t{ \"stream\" : \"x\" , \"data\" : " TRADE " } \r", &trade},
        {RECV " {\"data\":{\"q\":\"0.006\",\"p\":\"61800.30\",\"s\":\"BTCUSDT\",\"t\":5266583935,\"T\":"
              "1723161256321,"
              "\"E\":1,\"e\":\"trade\"}}",
         &trade},
        /* spaces everywhere, numbers for strings, escapes */
        {RECV " { \"e\" : \"trade\" , \"T\" : 1723161256321 , \"s\" : \"BTCUSDT\" , \"t\" : 5266583935 , "
              "\"p\" : 61800.3 , \"q\" : 6e-3 }",
         &trade},
        {RECV " {\"e\":\"tr\\u0061de\",\"T\":1723161256321,\"s\":\"BTC\\u0055SDT\",\"t\":5266583935,"
              "\"p\":\"61800.30\",\"q\":\"0.006\"}",
         &trade},
        /* keys within what is nested or within text are not the event's */
        {RECV " {\"e\":\"trade\",\"x\":{\"p\":\"1\",\"s\":\"NO\",\"e\":\"no\",\"d\":[{\"p\":\"2\"},\"]\"]},"
              "\"T\":1723161256321,\"s\":\"BTCUSDT\",\"t\":5266583935,\"p\":\"61800.30\",\"q\":\"0.006\","
              "\"n\":\"\\\",\\\"p\\\":\\\"3\",\"pp\":\"4\",\"k\":[],\"o\":{},\"l\":null,\"m\":true}",
         &trade},
        {RECV " {\"p\":\"1\",\"e\":\"trade\",\"stream\":\"x\",\"data\":" TRADE
              ",\"p\":\"2\",\"s\":\"NO\",\"e\":\"no\"}",
         &trade},
        {RECV " {\"x\":{\"data\":{\"p\":\"1\"}},\"data\":" TRADE "}", &trade},
        /* T of 0 or none: E */
        {RECV " {\"e\":\"trade\",\"E\":1723161256321,\"T\":0,\"s\":\"BTCUSDT\",\"t\":5266583935,\"p\":"
              "\"61800.30\","
              "\"q\":\"0.006\"}",
         &trade},
        {RECV " {\"stream\":\"btcusdt@bookTicker\",\"data\":" QUOTE "}", &quote},
        {RECV " " QUOTE, &quote},
        {RECV " {\"A\":\"2.44816\",\"a\":\"61686\",\"B\":\"1.25869\",\"b\":\"61685.99\",\"s\":\"BTCUSDT\"}",
         &quote},
    };
    char text[2048];
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source *s;
        snprintf(text, sizeof text, "%s\n\n  \n%s", cases[i].line, cases[i].line); /* empty lines are none */
        if (read_text(text, &s) != 2 || memcmp(&got[0], cases[i].m, sizeof *got) ||
            memcmp(&got[1], cases[i].m, sizeof *got))
            fail_msg("%s: %s", cases[i].line, logged_n ? logged[0] : "other values");
        assert_int_equal(s->symbol_count, 1);
        assert_string_equal(s->symbols[0].name, "BTCUSDT");
        assert_int_equal(s->symbols[0].size_scale, 8);
        assert_int_equal(s->symbols[0].calendar, CALENDAR_UTC24);
        source_close(s);
    }
}

static void test_times(void **state)
{
    (void)state;
    struct source *s;
    size_t n = read_text(RECV " {\"e\":\"trade\",\"E\":5,\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}\n" RECV
                              " {\"e\":\"trade\",\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}\n"
                              "{\"e\":\"trade\",\"T\":5,\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}\n"
                              "{\"e\":\"trade\",\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}\n",
                         &s);
    assert_int_equal(n, 3);
    assert_int_equal(got[0].event_ns, 5000000);
    assert_int_equal(got[0].flags, 0);
    assert_int_equal(got[1].event_ns, 1723161255088176367);
    assert_int_equal(got[1].flags, MSG_F_RECV_TIME);
    assert_int_equal(got[2].recv_ns, 5000000);
    assert_int_equal(s->stats.rejected[REJECT_TIME_MISSING], 1);
    source_close(s);
}

static void test_refused(void **state)
{
    (void)state;
#define EVENT(fields) RECV " {\"e\":\"trade\",\"T\":5,\"s\":\"A\"," fields "}"
    static const struct {
        const char *line;
        enum reject_reason reason;
    } cases[] = {
        {"x", REJECT_TIME_MISSING},
        {RECV, REJECT_FORMAT},
        {RECV " ", REJECT_FORMAT},
        {RECV " []", REJECT_FORMAT},
        {RECV " {", REJECT_FORMAT},
        {RECV " {\"", REJECT_FORMAT},
        {RECV " {\"e", REJECT_FORMAT},
        {RECV " {\"e\"", REJECT_FORMAT},
        {RECV " {\"e\":", REJECT_FORMAT},
        {RECV " {\"e\":\"trade", REJECT_FORMAT},
        {RECV " {\"e\":\"trade\"", REJECT_FORMAT},
        {RECV " {\"e\":\"trade\",", REJECT_FORMAT},
        {RECV " {\"e\":\"trade\",}", REJECT_FORMAT},
        {RECV " {\"e\":\"trade\" \"s\":\"A\"}", REJECT_FORMAT},
        {RECV " {e:\"trade\"}", REJECT_FORMAT},
        {RECV " {\"l\":nul}", REJECT_FORMAT},
        {RECV " {\"l\":}", REJECT_FORMAT},
        {RECV " {\"l\":[1,2}", REJECT_FORMAT},
        {RECV " {\"l\":\"\\", REJECT_FORMAT},
        {RECV " {\"s\":\"\\x\"}", REJECT_FORMAT},
        {RECV " {\"s\":\"\\u12\"}", REJECT_FORMAT},
        {RECV " {\"s\":\"\\ud800\"}", REJECT_FORMAT},
        {EVENT("\"p\":\"1\",\"q\":\"1\"") "x", REJECT_FORMAT},
        {EVENT("\"p\":\"1\",\"q\":\"1\"") "}", REJECT_FORMAT},
        {RECV " {\"data\":" TRADE, REJECT_FORMAT},
        {"12x " TRADE, REJECT_FORMAT},
        {"1e3x " TRADE, REJECT_FORMAT},
        {"1.5 " TRADE, REJECT_TIME_FORMAT},
        {"-5 " TRADE, REJECT_TIME_FORMAT},
        {"99999999999999999999 " TRADE, REJECT_TIME_FORMAT},
        {RECV " {\"e\":\"trade\",\"T\":\"5\",\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}", REJECT_TIME_FORMAT},
        {RECV " {\"e\":\"trade\",\"T\":-5,\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}", REJECT_TIME_FORMAT},
        {RECV " {\"e\":\"trade\",\"T\":9223372036855,\"s\":\"A\",\"p\":\"1\",\"q\":\"1\"}",
         REJECT_TIME_FORMAT},
        {RECV " {\"e\":\"trade\",\"T\":5,\"p\":\"1\",\"q\":\"1\"}", REJECT_SYMBOL_MISSING},
        {RECV " {\"e\":\"trade\",\"T\":5,\"s\":7,\"p\":\"1\",\"q\":\"1\"}", REJECT_SYMBOL_MISSING},
        {RECV " {\"e\":\"trade\",\"T\":5,\"s\":\"A\\nB\",\"p\":\"1\",\"q\":\"1\"}", REJECT_SYMBOL_LENGTH},
        {EVENT("\"q\":\"1\""), REJECT_PRICE_MISSING},
        {EVENT("\"p\":null,\"q\":\"1\""), REJECT_PRICE_MISSING},
        {EVENT("\"p\":[\"1\"],\"q\":\"1\""), REJECT_PRICE_MISSING},
        {EVENT("\"p\":\"\",\"q\":\"1\""), REJECT_PRICE_MISSING},
        {EVENT("\"p\":\"abc\",\"q\":\"1\""), REJECT_PRICE_FORMAT},
        {EVENT("\"p\":\"0\",\"q\":\"0\",\"X\":\"NA\""), REJECT_PRICE_SIGN},
        {EVENT("\"p\":-1,\"q\":\"1\""), REJECT_PRICE_SIGN},
        {EVENT("\"p\":\"9999999999999\",\"q\":\"1\""), REJECT_PRICE_RANGE},
        {EVENT("\"p\":\"1\""), REJECT_SIZE_MISSING},
        {EVENT("\"p\":\"1\",\"q\":\"0.000000001\""), REJECT_SIZE_RANGE},
        {RECV " {\"e\":\"bookTicker\",\"s\":\"A\",\"a\":\"1\",\"A\":\"1\",\"B\":\"1\"}",
         REJECT_PRICE_MISSING},
        {RECV " {\"stream\":\"a@bookTicker\",\"data\":{\"s\":\"A\",\"a\":\"1\",\"A\":\"1\"}}",
         REJECT_PRICE_MISSING},
    };
    char text[2048];
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source *s;
        snprintf(text, sizeof text, GOOD "%s\n" GOOD, cases[i].line);
        if (read_text(text, &s) != 2 || s->stats.rejected[cases[i].reason] != 1)
            fail_msg("'%s' was not refused as %s: %s", cases[i].line, reject_name(cases[i].reason),
                     logged_n ? logged[0] : "not refused");
        assert_memory_equal(&got[0], &trade, sizeof trade);
        assert_memory_equal(&got[1], &trade, sizeof trade);
        assert_non_null(strstr(logged[0], "row 2 "));
        source_close(s);
    }
}

static void test_skipped(void **state)
{
    (void)state;
    struct source *s;
    size_t n = read_text(
        RECV " {\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"e\":\"depthUpdate\",\"s\":\"A\",\"b\":[[\"1\","
             "\"2\"]],\"a\":[]}}\n" RECV " {\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"s\":\"A\",\"b\":[["
             "\"1\",\"2\"]],\"a\":[],\"e\":\"depthUpdate\"}}\n" RECV
             " {\"lastUpdateId\":5,\"E\":1,\"bids\":[[\"1\",\"2\"]],\"asks\":[]}\n" RECV
             " {\"stream\":\"btcusdt@depth5\",\"data\":{\"lastUpdateId\":5,\"bids\":[],\"asks\":[]}}\n" RECV
             " {\"stream\":\"!miniTicker@arr\",\"data\":[{\"e\":\"trade\"}]}\n" RECV
             " {\"result\":null,\"id\":1}\n" RECV " {}\n" RECV " {\"e\":\"kline\",\"k\":{\"o\":\"1\"}}\n" RECV
             " {\"e\":\"a name that is longer than a label\"}\n" RECV " {\"e\":7}\n" GOOD,
        &s);
    assert_int_equal(n, 1);
    assert_int_equal(skipped(&s->stats, "depthUpdate"), 2);
    assert_int_equal(skipped(&s->stats, "snapshot"), 2);
    assert_int_equal(skipped(&s->stats, "arr"), 1);
    assert_int_equal(skipped(&s->stats, "unknown"), 2);
    assert_int_equal(skipped(&s->stats, "kline"), 1);
    assert_int_equal(skipped(&s->stats, "a name that is longer t"), 1);
    assert_int_equal(skipped(&s->stats, "7"), 1);
    assert_int_equal(sum_rejected(&s->stats), 0);
    source_close(s);
}

/* However many kinds a hostile peer invents: the table is full, the rest counts as "other". */
static void test_many_kinds(void **state)
{
    (void)state;
    static char text[8000];
    struct source *s;
    *text = 0;
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), 60, RECV " {\"e\":\"kind%d\"}\n", i % 50);
    assert_int_equal(read_text(text, &s), 0);
    assert_int_equal(sum_skipped(&s->stats), 100);
    assert_int_equal(skipped(&s->stats, "kind0"), 2);
    assert_int_equal(skipped(&s->stats, "other"), 2 * (50 - (SOURCE_SKIP_KINDS - 1)));
    source_close(s);
}

/* Every prefix of a line is refused or skipped, never a tick, and takes nothing of the next line. */
static void test_prefixes(void **state)
{
    (void)state;
    char text[1024];
    const char *lines[] = {RECV " {\"stream\":\"btcusdt@trade\",\"data\":" TRADE "}", RECV " " QUOTE};
    for (size_t k = 0; k < COUNT(lines); k++)
        for (size_t cut = 1; cut < strlen(lines[k]); cut++) {
            struct source *s;
            snprintf(text, sizeof text, "%.*s\n" GOOD, (int)cut, lines[k]);
            assert_int_equal(read_text(text, &s), 1);
            assert_int_equal(sum_rejected(&s->stats), 1);
            assert_memory_equal(&got[0], &trade, sizeof trade);
            source_close(s);
        }
}

struct recording {
    const char *file;
    uint64_t lines, trades, quotes, depth, snapshots, sum; /* the sum was made by other means */
};

static void test_recordings(void **state)
{
    (void)state;
    static const struct recording files[] = {
        {"usdm_btcusdt_20240808", 93954, 21313, 66089, 6551, 1, 0xfb9c071218e18aeu},
        {"usdm_ethusdt_20240808", 74655, 14076, 53992, 6586, 1, 0x4d47555dded8eda7u},
        {"spot_btcusdt_20240809", 58325, 10147, 45134, 3044, 0, 0x95421e06eadf81deu},
        {"spot_ethusdt_20240809", 46126, 8409, 34681, 3036, 0, 0xdcd314f31cb4adau},
    };
    static struct msg m[1000];
    if (!have(TICKS "crypto-binance-ws/usdm_btcusdt_20240808.jsonl.zst"))
        skip();
    for (size_t f = 0; f < COUNT(files); f++) {
        char spec[200];
        uint64_t count[MSG_TYPE_COUNT] = {0}, sum = 0;
        int k;
        struct error err;
        snprintf(spec, sizeof spec, "binance-jsonl:" TICKS "crypto-binance-ws/%s.jsonl.zst", files[f].file);
        struct source *s = source_open(spec, NULL, &err);
        assert_non_null(s);
        while ((k = source_read(s, m, COUNT(m))) > 0)
            for (int i = 0; i < k; i++) {
                const struct msg_trade *t = &m[i].trade;
                const struct msg_quote *q = &m[i].quote;
                uint64_t x = m[i].type == MSG_TRADE
                                 ? (uint64_t)t->price_e9 * 3 + t->size * 5 + t->trade_id * 7
                                 : (uint64_t)q->bid_e9 * 3 + (uint64_t)q->ask_e9 * 5 + q->bid_size * 7 +
                                       q->ask_size * 11;
                count[m[i].type]++;
                sum = sum * 31 + (uint64_t)m[i].event_ns + (uint64_t)m[i].recv_ns * 13 + m[i].flags + x;
            }
        assert_int_equal(k, SOURCE_END);
        assert_int_equal(s->stats.rows, files[f].lines);
        assert_int_equal(count[MSG_TRADE], files[f].trades);
        assert_int_equal(count[MSG_QUOTE], files[f].quotes);
        assert_int_equal(skipped(&s->stats, "depthUpdate"), files[f].depth);
        assert_int_equal(skipped(&s->stats, "snapshot"), files[f].snapshots);
        assert_int_equal(sum_rejected(&s->stats), 0);
        assert_true(sum == files[f].sum);
        source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),   cmocka_unit_test(test_times),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_skipped),    cmocka_unit_test(test_many_kinds), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_recordings),
    };
    return cmocka_run_group_tests_name("source_binance", tests, make_dir, remove_dir);
}
