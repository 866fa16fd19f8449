/* Rule files: what is taken becomes which rule, what is refused says what. */
#include "net/rules_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SECOND   INT64_C(1000000000)

static struct error err;

/* Parses a text without a NUL behind it, so that a sanitizer sees a step too far. */
static struct rules_file *parse(const char *text, size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    memset(&err, 0, sizeof err);
    struct rules_file *f = rules_file_parse(exact, len, "r.json", 10, &err);
    free(exact);
    return f;
}

static struct rules_file *parse_good(const char *text)
{
    struct rules_file *f = parse(text, strlen(text));
    if (!f)
        fail_msg("%s\n  %s", text, err.text);
    return f;
}

/* Refused, and the error has all of `parts` (each up to a '|'). */
static void refused(const char *text, size_t len, const char *parts)
{
    struct rules_file *f = parse(text, len);
    if (f)
        fail_msg("taken: %.300s", text);
    while (*parts) {
        char part[256];
        size_t n = strcspn(parts, "|");
        snprintf(part, sizeof part, "%.*s", (int)n, parts);
        if (!strstr(err.text, part))
            fail_msg("%.300s\n  '%s'\n  lacks '%s'", text, err.text, part);
        parts += n + (parts[n] == '|');
    }
}

/* ---- the forms of a file */

/* A rule's symbols may be those of a watchlist, by its id or its name. */
static void watchlists(void **state)
{
    (void)state;
#define RULES(symbols)                                                                                       \
    "{\"rules\":[{\"id\":\"a\",\"expr\":\"price > 1\",\"symbols\":" symbols "}],\"watchlists\":["
#define TECH "{\"id\":\"w1\",\"name\":\"Technology\",\"symbols\":[\"AAPL\",\"MSFT\"]}"
    static const char *const good[] = {
        RULES("\"w1\"") TECH "]}", RULES("\"Technology\"") "{\"id\":\"x\",\"symbols\":[\"X\"]}," TECH "]}",
        RULES("[\"AAPL\",\"MSFT\"]") "]}"};
    for (unsigned i = 0; i < 3; i++) {
        struct rules_file *f = parse_good(good[i]);
        assert_string_equal(f->rule[0].symbols, "AAPL,MSFT");
        assert_int_equal(f->rule[0].symbols_len, 9);
        rules_file_free(f);
    }
    static const struct {
        const char *text, *parts;
    } bad[] = {
        {RULES("\"Technolgy\"") TECH "]}",
         "rule 1 'a': symbols: there is no watchlist 'Technolgy'; did you mean 'Technology'?"},
        {RULES("\"w1\"") "]}", "there is no watchlist 'w1': the file has none"},
        {RULES("[]") TECH "," TECH "]}", "r.json: watchlist 2 'w1': another watchlist is called so too"},
        {RULES("[]") TECH ",{\"id\":\"Technology\",\"symbols\":[\"X\"]}]}",
         "watchlist 2 'Technology': another"},
        {RULES("[\"X\"]") "{\"id\":\"w\",\"symbols\":[]}]}", "watchlist 1 'w': symbols: 0 names"},
        {RULES("[\"X\"]") "{\"id\":\"w\",\"symbols\":\"w\"}]}",
         "watchlist 1 'w': symbols: a string, expected an array of names"},
        {RULES("[\"X\"]") "{\"id\":\"w\"}]}", "watchlist 1 'w': symbols: nothing, expected an array"},
        {RULES("[\"X\"]") "{\"id\":\"w\",\"simbols\":[\"X\"]}]}",
         "unknown field 'simbols', did you mean 'symbols'?"},
        {RULES("[\"X\"]") "{\"symbols\":[\"X\"]}]}", "watchlist 1: id"},
        {RULES("[\"X\"]") "5]}", "watchlist 1: a number, expected an object"},
        {"{\"rules\":[],\"watchlists\":{}}", "r.json: watchlists: an object, expected an array"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(bad[i].text, strlen(bad[i].text), bad[i].parts);
}

static void forms(void **state)
{
    (void)state;
#define A "{\"id\":\"a\",\"expr\":\"price > 1\"}"
#define B "{\"id\":\"b\",\"expr\":\"price > 2\"}"
    static const struct {
        const char *text, *ids;
    } cases[] = {
        {"[" A "," B "]", "ab"},
        {" [\n " A ",\n " B "\n]\n", "ab"},
        {"{\"rules\":[" A "," B "]}", "ab"},
        {A "\n" B "\n", "ab"},
        {A "\n" B, "ab"},
        {A "\r\n\r\n \t\r\n" B "\r\n", "ab"},
        {A "\n" B "\n \t ", "ab"},
        {"\n\n" A "\n\n" B, "ab"},
        {A, "a"},
        {A "\n", "a"},
        {"{\n\"id\":\"a\",\n\"expr\":\"price > 1\"}\n", "a"},
        {"[]", ""},
        {"{\"rules\":[]}", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rules_file *f = parse_good(cases[i].text);
        char ids[8] = {0};
        for (uint32_t k = 0; k < f->n && k < 7; k++)
            ids[k] = f->rule[k].id[0];
        if (strcmp(ids, cases[i].ids))
            fail_msg("%s: %s", cases[i].text, ids);
        rules_file_free(f);
    }
}

static void broken_json_has_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *parts;
    } cases[] = {
        {"", "r.json:1:0: |end of file"},
        {" \n ", "r.json:2:|end of file"},
        {"x", "r.json:1:1: "},
        {"1", "r.json:1:1: "},
        {"\"rules\"", "r.json:1:"},
        {"[" A ",\n  " B ",\n]", "r.json:3:1: "},
        {"[" A, "r.json:1:|']' expected"},
        {"[\n" A "\n]\n]\n", "r.json:4:1: |end of file expected near ']'"},
        {"{\n\"id\":\"a\"}\n{\n\"id\":\"b\"}\n", "r.json:3:1: |end of file expected near '{'"},
        {A "\n" B ",\n", "r.json:2:|end of file expected near ','"},
        {A "\n\n{\"id\":\"b\",}\n", "r.json:3:11: "},
        {A "\nx\n", "r.json:2:1: "},
        {A "\n7\n", "r.json:2:1: "},
        {"[{\"id\":\"a\",\n\"cooldown\":1e999,\"expr\":\"price > 1\"}]", "r.json:2:|overflow"},
        {"[{\"id\":\"a\",\"cooldown\":99999999999999999999,\"expr\":\"price > 1\"}]", "r.json:1:|too big"},
        {"[{\"id\":\"a\",\"id\":\"b\",\"expr\":\"price > 1\"}]", "r.json:1:|duplicate object key"},
        {A "\n{\"id\":\"b\",\"id\":\"b\",\"expr\":\"price > 1\"}", "r.json:2:|duplicate object key"},
        {"[{\"id\":\"a\\u0000b\",\"expr\":\"price > 1\"}]", "r.json:1:|\\u0000"},
        {"[{\"id\":\"\xff\",\"expr\":\"price > 1\"}]", "r.json:1:|unable to decode byte 0xff"},
        {"[{\"id\":\"\\ud800\",\"expr\":\"price > 1\"}]", "r.json:1:|Unicode"},
        {"[{\"id\":\"a\tb\",\"expr\":\"price > 1\"}]", "r.json:1:|control character"},
        {"{\"rules\":" A "}", "r.json: an object, expected an array of rules"},
        {"{\"rules\":null}", "r.json: nothing, expected an array of rules"},
        {"{\"rules\":\"a\"}", "r.json: a string, expected an array of rules"},
        {"[1]", "r.json: rule 1: a number, expected an object"},
        {"[" A ",[]]", "r.json: rule 2: an array, expected an object"},
        {"[" A ",null]", "r.json: rule 2: nothing, expected an object"},
        {A "\n[" B "]\n", "r.json: rule 2: an array, expected an object"},
        {"{}", "r.json: rule 1: id: nothing, expected a string"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].parts);
    refused(A "\n\0", strlen(A) + 2, "r.json:2:"); /* a NUL is no blank line */
}

static void deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    static char text[2 * DEPTH + 100];
    memset(text, '[', DEPTH);
    refused(text, DEPTH, "r.json:1:|depth");
    memset(text + DEPTH, ']', DEPTH);
    refused(text, 2 * DEPTH, "r.json:1:|depth");
    /* in an expression: a bound of its own */
    size_t n = (size_t)sprintf(text, "[{\"id\":\"a\",\"expr\":\"");
    memset(text + n, '(', 4000);
    n += 4000 + (size_t)sprintf(text + n + 4000, "price > 1\"}]");
    refused(text, n, "rule 1 'a': expr: column 65: |at most 64 nested parentheses");
}

/* ---- conditions become an expression */

static void conditions(void **state)
{
    (void)state;
    static const struct {
        const char *conditions, *expr;
    } cases[] = {
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":167.5}", "price > 167.5"},
        {"{\"metric\":\"price\",\"operator\":\"<\",\"value\":1}", "price < 1"},
        {"{\"metric\":\"price\",\"operator\":\">=\",\"value\":0.1}", "price >= 0.1"},
        {"{\"metric\":\"price\",\"operator\":\"<=\",\"value\":1e-9}", "price <= 1e-09"},
        {"{\"metric\":\"price\",\"operator\":\"==\",\"value\":167.123456789}", "price == 167.123456789"},
        {"{\"metric\":\"price\",\"operator\":\"!=\",\"value\":-2}", "price != -2"},
        {"{\"metric\":\"volume_daily\",\"operator\":\">\",\"value\":1e300}", "volume_daily > 1e+300"},
        {"{\"metric\":\"volume_daily\",\"operator\":\">\",\"value\":0.30000000000000004}",
         "volume_daily > 0.30000000000000004"},
        {"{\"metric\":\"rsi_14_1m\",\"operator\":\"<\",\"value\":30}", "rsi(14)@1m < 30"},
        {"{\"metric\":\"price_change_5m_pct\",\"operator\":\">\",\"value\":2}", "change_pct_5m > 2"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1},{\"metric\":\"bid\",\"operator\":\"<\","
         "\"value\":2}",
         "price > 1 and bid < 2"},
        /* the gates */
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"volume_threshold\":100000}",
         "price > 1 and volume_daily >= 100000"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"volume_threshold\":0}",
         "price > 1 and volume_daily >= 0"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"calculated_during\":\"premarket\"}",
         "price > 1"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"calculated_during\":\"all\"}", "price > 1"},
        {"{\"metric\":\"change_pct_5m\",\"operator\":\">\",\"value\":3,\"volume_threshold\":5e4,"
         "\"calculated_during\":\"market\",\"timeframe\":\"5m\",\"value_type\":\"%\"},"
         "{\"metric\":\"bid\",\"operator\":\">\",\"value\":1,\"calculated_during\":\"market\"}",
         "change_pct_5m > 3 and volume_daily >= 50000 and bid > 1"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"volume_threshold\":null,"
         "\"calculated_during\":null,\"timeframe\":null,\"value_type\":null}",
         "price > 1"},
        {"{\"metric\":\"session\",\"operator\":\"!=\",\"value\":\"closed\"}", "session != \"closed\""},
        /* timeframes and units that agree */
        {"{\"metric\":\"rsi(14)\",\"operator\":\">\",\"value\":1,\"timeframe\":\"1m\"}", "rsi(14)@1m > 1"},
        {"{\"metric\":\"inside_bar\",\"operator\":\"==\",\"value\":1,\"timeframe\":\"15m\"}",
         "inside_bar@15m == 1"},
        {"{\"metric\":\"running_up(4)\",\"operator\":\"==\",\"value\":1,\"timeframe\":\"daily\"}",
         "running_up(4)@1d == 1"},
        {"{\"metric\":\"ma_dist_ema_50_pct\",\"operator\":\">\",\"value\":1,\"timeframe\":\"5m\","
         "\"value_type\":\"%\"}",
         "ma_dist_pct(ema,50)@5m > 1"},
        {"{\"metric\":\"consecutive_candles_5m\",\"operator\":\">=\",\"value\":3,\"timeframe\":\"5m\"}",
         "consecutive_candles@5m >= 3"},
        {"{\"metric\":\"rsi(14)\",\"operator\":\">\",\"value\":1,\"timeframe\":\"daily\"}", "rsi(14)@1d > 1"},
        {"{\"metric\":\"rsi_14_1d\",\"operator\":\">\",\"value\":1,\"timeframe\":\"daily\"}",
         "rsi(14)@1d > 1"},
        {"{\"metric\":\"change_pct_5d\",\"operator\":\">\",\"value\":1,\"timeframe\":\"5d\"}",
         "change_pct_5d > 1"},
        {"{\"metric\":\"volume_1h\",\"operator\":\">\",\"value\":1,\"timeframe\":\"1h\"}", "volume_60m > 1"},
        {"{\"metric\":\"volume_60m\",\"operator\":\">\",\"value\":1,\"timeframe\":\"60m\"}",
         "volume_60m > 1"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"value_type\":\"$\"}", "price > 1"},
        {"{\"metric\":\"sector\",\"operator\":\"==\",\"value\":\"Oil, Gas\"}", "sector == \"Oil, Gas\""},
        {"{\"metric\":\"sma(20)\",\"operator\":\">\",\"value\":1,\"value_type\":\"$\"}", "sma(20)@1m > 1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        struct expr e;
        snprintf(text, sizeof text, "[{\"id\":\"a\",\"conditions\":[%s]}]", cases[i].conditions);
        struct rules_file *f = parse_good(text);
        if (strcmp(f->rule[0].expr, cases[i].expr))
            fail_msg("'%s', expected '%s'", f->rule[0].expr, cases[i].expr);
        assert_int_equal(f->rule[0].expr_len, strlen(cases[i].expr));
        assert_int_equal(expr_parse(f->rule[0].expr, f->rule[0].expr_len, &e, &err), 0);
        rules_file_free(f);
    }
}

static void conditions_refused(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *parts;
    } cases[] = {
        {"7", "conditions[0]: a number, expected an object"},
        {"{}", "conditions[0].metric: nothing, expected a string"},
        {"{\"metric\":5}", "conditions[0].metric: a number, expected a string"},
        {"{\"metric\":\"prise\",\"operator\":\">\",\"value\":1}",
         "conditions[0].metric: unknown metric 'prise': did you mean 'price'?"},
        {"{\"metric\":\"price or bid\",\"operator\":\">\",\"value\":1}", "conditions[0].metric: unknown"},
        {"{\"metric\":\"volume_500m\",\"operator\":\">\",\"value\":1}", "500 minutes, expected 1 to 240"},
        {"{\"metric\":\"price\",\"value\":1}", "conditions[0].operator: nothing, expected one of > < >="},
        {"{\"metric\":\"price\",\"operator\":\"=\",\"value\":1}", "conditions[0].operator: =, expected one"},
        {"{\"metric\":\"price\",\"operator\":[],\"value\":1}", "conditions[0].operator: an array, expected"},
        {"{\"metric\":\"price\",\"operator\":\"> 1 and price >\",\"value\":1}", "conditions[0].operator: "},
        {"{\"metric\":\"price\",\"operator\":\">\"}", "conditions[0].value: nothing, expected a number"},
        {"{\"metric\":\"sector\",\"operator\":\"==\"}", "conditions[0].value: nothing, expected a string"},
        {"{\"metric\":\"sector\",\"operator\":\"==\",\"value\":5}",
         "found 'sector', expected a number (it is a text"},
        {"{\"metric\":\"sector\",\"operator\":\">\",\"value\":\"x\"}", "expected text after == or != only"},
        {"{\"metric\":\"sector\",\"operator\":\"==\",\"value\":\"x\\\"y\"}",
         "conditions[0].value: 'x\"y', expected a text without quotes"},
        {"{\"metric\":\"sector\",\"operator\":\"==\",\"value\":\"x\",\"value_type\":\"$\"}",
         "conditions[0].value_type: '$', but sector is a text"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":\"1\"}",
         "conditions[0].value: a string, expected"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":true}", "conditions[0].value: true or false"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"valeu\":1}",
         "conditions[0]: unknown field 'valeu', did you mean 'value'?"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"volume_threshold\":-1}",
         "conditions[0].volume_threshold: -1, expected a number of at least 0"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"volume_threshold\":\"5\"}",
         "conditions[0].volume_threshold: "},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"calculated_during\":\"lunch\"}",
         "conditions[0].calculated_during: 'lunch', expected premarket, market, postmarket or all"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"calculated_during\":3}",
         "conditions[0].calculated_during: "},
        {"{\"metric\":\"change_pct_5m\",\"operator\":\">\",\"value\":1,\"timeframe\":\"1m\"}",
         "conditions[0].timeframe: '1m' differs from that of change_pct_5m, expected \"5m\" or none"},
        {"{\"metric\":\"range_1y\",\"operator\":\">\",\"value\":1,\"timeframe\":\"252m\"}",
         "conditions[0].timeframe: '252m' differs from that of range_1y, expected \"1y\" or none"},
        {"{\"metric\":\"rsi(14)@1m\",\"operator\":\">\",\"value\":1,\"timeframe\":\"5m\"}",
         "conditions[0].timeframe: '5m' differs from that of rsi(14)@1m, expected \"1m\" or none"},
        {"{\"metric\":\"inside_bar_15m\",\"operator\":\"==\",\"value\":1,\"timeframe\":\"5m\"}",
         "conditions[0].timeframe: '5m' differs from that of inside_bar@15m, expected \"15m\" or none"},
        {"{\"metric\":\"inside_bar\",\"operator\":\"==\",\"value\":1,\"value_type\":\"$\"}",
         "conditions[0].value_type: '$', but inside_bar@1m is true or false"},
        {"{\"metric\":\"volume_90m\",\"operator\":\">\",\"value\":1,\"timeframe\":\"1h\"}",
         "expected \"90m\""},
        {"{\"metric\":\"volume_60m\",\"operator\":\">\",\"value\":1,\"timeframe\":\"2h\"}",
         "expected \"60m\""},
        {"{\"metric\":\"rsi(14)\",\"operator\":\">\",\"value\":1,\"timeframe\":5}",
         "conditions[0].timeframe: "},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"value_type\":\"%\"}",
         "conditions[0].value_type: '%', but price is in \"$\""},
        {"{\"metric\":\"change_pct_5m\",\"operator\":\">\",\"value\":1,\"value_type\":\"$\"}",
         "conditions[0].value_type: '$', but change_pct_5m is in \"%\""},
        {"{\"metric\":\"volume_5m\",\"operator\":\">\",\"value\":1,\"value_type\":\"$\"}",
         "conditions[0].value_type: '$', but volume_5m is a plain number"},
        {"{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"value_type\":\"EUR\"}",
         "conditions[0].value_type: 'EUR', but price is in \"$\""},
        {"{\"metric\":\"session\",\"operator\":\"==\",\"value\":\"noon\"}",
         "found '\"noon\"'|expected \"closed\""},
        {"{\"metric\":\"session\",\"operator\":\">\",\"value\":\"market\"}", "text after == or != only"},
        /* a text is a text, never a part of an expression */
        {"{\"metric\":\"session\",\"operator\":\"==\",\"value\":\"closed\\\" or not session == \\\"closed\"}",
         "conditions[0].value: |expected \"closed\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[1024];
        int n = snprintf(text, sizeof text, "[" A ",{\"id\":\"x\",\"conditions\":[%s]}]", cases[i].condition);
        refused(text, (size_t)n, "r.json: rule 2 'x': ");
        refused(text, (size_t)n, cases[i].parts);
    }
    refused("[{\"id\":\"x\",\"conditions\":[]}]", 28, "conditions: an empty array, expected an array");
    refused("[{\"id\":\"x\",\"conditions\":{}}]", 28, "conditions: an object, expected an array");
    /* the second condition is named as such; one too long is still told what was expected */
    static char text[2000];
    int n = sprintf(text,
                    "[{\"id\":\"x\",\"conditions\":[{\"metric\":\"price\",\"operator\":\">\",\"value\":1},"
                    "{\"metric\":\"price\",\"operator\":\"%0999d\",\"value\":1}]}]",
                    0);
    refused(text, (size_t)n, "conditions[1].operator: 000|expected one of");
}

static void too_many_conditions(void **state)
{
    (void)state;
    static char text[400000];
    for (int count = 128; count <= 129; count++) { /* 128 comparisons have 127 connectives */
        size_t n = (size_t)sprintf(text, "[{\"id\":\"x\",\"conditions\":[");
        for (int i = 0; i < count; i++)
            n += (size_t)sprintf(text + n, "%s{\"metric\":\"price\",\"operator\":\">\",\"value\":%d}",
                                 i ? "," : "", i);
        n += (size_t)sprintf(text + n, "]}]");
        if (count == 128)
            rules_file_free(parse_good(text));
        else
            refused(text, n, "rule 1 'x': conditions: |at most 256 comparisons");
    }
}

/* ---- the fields of a rule */

static void defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[" A "]",
        "[{\"id\":\"a\",\"expr\":\"price > 1\",\"conditions\":null,\"name\":null,\"description\":null,"
        "\"enabled\":null,\"owner\":null,\"version\":null,\"created_at\":null,\"updated_at\":null,"
        "\"cooldown\":null,\"symbols\":null,\"sessions\":null,\"trigger\":null,\"expires_at\":null,"
        "\"mode\":null}]",
        "[{\"id\":\"a\",\"expr\":null,\"sessions\":[],\"mode\":\"live\","
        "\"conditions\":[{\"metric\":\"price\",\"operator\":\">\",\"value\":1}]}]",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct rules_file *f = parse_good(texts[i]);
        const struct rule *r = &f->rule[0];
        assert_int_equal(f->n, 1);
        assert_string_equal(r->id, "a");
        assert_string_equal(r->name, "a");
        assert_int_equal(r->version, 1);
        assert_int_equal(r->trigger, TRIGGER_LEVEL);
        assert_true(r->enabled);
        assert_int_equal(r->cooldown_ns, 10 * SECOND);
        assert_string_equal(r->expr, "price > 1");
        assert_int_equal(r->symbols_len, 0);
        rules_file_free(f);
    }
}

static void all_fields(void **state)
{
    (void)state;
    struct rules_file *f = parse_good(
        "[{\"id\":\"a\",\"name\":\"N\",\"description\":\"D\",\"enabled\":false,\"owner\":\"O\",\"version\":3,"
        "\"created_at\":\"2026-01-01\",\"updated_at\":\"2026-01-01\",\"expr\":\" price>1 "
        "\",\"cooldown\":0.25,"
        "\"symbols\":[\"SPY\",\"BTCUSDT.P\",\"G\\u00dcNTHER\"],\"trigger\":\"cross\"}]");
    const struct rule *r = &f->rule[0];
    assert_string_equal(r->name, "N");
    assert_false(r->enabled);
    assert_int_equal(r->version, 3);
    assert_string_equal(r->expr, " price>1 "); /* as the user wrote it */
    assert_int_equal(r->cooldown_ns, SECOND / 4);
    assert_int_equal(r->trigger, TRIGGER_CROSS);
    assert_string_equal(r->symbols, "SPY,BTCUSDT.P,GÜNTHER");
    assert_int_equal(r->symbols_len, strlen(r->symbols));
    rules_file_free(f);
}

/* What keeps a rule back: its own sessions and those of each condition, its end, its mode. */
static void sessions_and_expiry(void **state)
{
    (void)state;
#define CONDITION(during)                                                                                    \
    "{\"metric\":\"price\",\"operator\":\">\",\"value\":1,\"calculated_during\":\"" during "\"}"
    static const struct {
        const char *fields;
        unsigned sessions;
    } cases[] = {
        {"\"expr\":\"price > 1\"", 0},
        {"\"expr\":\"price > 1\",\"sessions\":[\"all\"]", 0},
        {"\"expr\":\"price > 1\",\"sessions\":[\"market\"]", 1u << SESSION_MARKET},
        {"\"expr\":\"price > 1\",\"sessions\":[\"premarket\",\"postmarket\"]",
         1u << SESSION_PREMARKET | 1u << SESSION_POSTMARKET},
        {"\"conditions\":[" CONDITION("market") "]", 1u << SESSION_MARKET},
        {"\"conditions\":[" CONDITION("all") "]", 0},
        {"\"sessions\":[\"market\",\"premarket\"],\"conditions\":[" CONDITION("premarket") "]",
         1u << SESSION_PREMARKET},
    };
    char text[512];
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(text, sizeof text,
                 "[{\"id\":\"x\",\"mode\":\"shadow\",\"expires_at\":\"1970-01-01T00:00:02Z\",%s}]",
                 cases[i].fields);
        struct rules_file *f = parse_good(text);
        assert_int_equal(f->rule[0].sessions, cases[i].sessions);
        assert_int_equal(f->rule[0].expires_ns, 2 * SECOND);
        assert_true(f->rule[0].shadow);
        rules_file_free(f);
    }
    int n = snprintf(text, sizeof text, "[{\"id\":\"x\",\"conditions\":[%s,%s]}]", CONDITION("market"),
                     CONDITION("premarket"));
    refused(text, (size_t)n,
            "conditions[1].calculated_during: 'premarket', which leaves the rule no session");
    n = snprintf(text, sizeof text,
                 "[{\"id\":\"x\",\"trigger\":\"bar_close\",\"expr\":\"price crosses above 5\"}]");
    refused(text, (size_t)n, "rule 1 'x': trigger: found \"bar_close\" with a crossing");
}

static void fields_at_their_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *field, *parts; /* parts: NULL if it is taken */
    } cases[] = {
        {"\"cooldown\":0", NULL},
        {"\"cooldown\":31536000", NULL},
        {"\"cooldown\":31536001", "cooldown: 31536001, expected seconds, 0 to 31536000"},
        {"\"cooldown\":-0.001", "cooldown: -0.001, expected seconds, 0 to 31536000"},
        {"\"cooldown\":\"10\"", "cooldown: a string, expected seconds, 0 to 31536000"},
        {"\"version\":1", NULL},
        {"\"version\":2147483647", NULL},
        {"\"version\":2147483648", "version: 2147483648, expected a whole number from 1"},
        {"\"version\":0", "version: 0, expected a whole number from 1"},
        {"\"version\":1.5", "version: 1.5, expected a whole number from 1"},
        {"\"version\":\"1\"", "version: a string, expected a whole number from 1"},
        {"\"enabled\":true", NULL},
        {"\"enabled\":1", "enabled: a number, expected true or false"},
        {"\"trigger\":\"level\"", NULL},
        {"\"trigger\":\"cross\"", NULL},
        {"\"trigger\":\"once\"", NULL},
        {"\"trigger\":\"once_per_bar\"", NULL},
        {"\"trigger\":\"bar_close\"", NULL},
        {"\"trigger\":\"one\"", "trigger: 'one', expected \"level\", \"cross\", |did you mean 'once'?"},
        {"\"trigger\":\"\"", "trigger: '', expected"},
        {"\"trigger\":1", "trigger: 'a number', expected"},
        {"\"name\":5", "name: a number, expected a string"},
        {"\"name\":\"\"", NULL},
        {"\"mode\":\"shadow\"", NULL},
        {"\"mode\":\"live\"", NULL},
        {"\"mode\":\"dead\"", "mode: 'dead', expected \"live\" or \"shadow\""},
        {"\"mode\":1", "mode: 'a number', expected \"live\" or \"shadow\""},
        {"\"sessions\":[\"market\",\"premarket\"]", NULL},
        {"\"sessions\":[\"markt\"]", "sessions: 'markt', expected premarket, |did you mean 'market'?"},
        {"\"sessions\":[1]", "sessions: 'a number', expected premarket"},
        {"\"sessions\":\"market\"", "sessions: a string, expected an array"},
        {"\"sessions\":{\"market\":true}", "sessions: an object, expected an array"},
        {"\"expires_at\":\"2030-01-01T00:00:00Z\"", NULL},
        {"\"expires_at\":\"soon\"", "expires_at: 'soon', expected a time such as"},
        {"\"expires_at\":7", "expires_at: 'a number', expected a time such as"},
        {"\"symbols\":[]", "symbols: 0 names of 0 bytes"},
        {"\"symbols\":\"SPY\"", "symbols: there is no watchlist 'SPY': the file has none"},
        {"\"symbols\":5", "symbols: a number, expected an array of names or the name of a watchlist"},
        {"\"symbols\":[\"\"]", "symbols[0]: '', expected a name"},
        {"\"symbols\":[\"SPY\",5]", "symbols[1]: a number, expected a name"},
        {"\"symbols\":[\"SPY,IBM\"]", "symbols[0]: 'SPY,IBM', expected a name"},
        {"\"symbols\":[\"123456789012345678901234567890123456789012345678901234567890123\"]", NULL},
        {"\"symbols\":[\"1234567890123456789012345678901234567890123456789012345678901234\"]",
         "symbols[0]: '"},
        {"\"colldown\":5", "rule: unknown field 'colldown', did you mean 'cooldown'?"},
        {"\"zzzzzzzzzzzz\":5", "rule: unknown field 'zzzzzzzzzzzz'"},
        {"\"conditions\":[{\"metric\":\"price\",\"operator\":\">\",\"value\":1}]",
         "both \"conditions\" and \"expr\", expected either"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512];
        int n =
            snprintf(text, sizeof text, "[" A ",{\"id\":\"x\",\"expr\":\"price > 1\",%s}]", cases[i].field);
        if (cases[i].parts) {
            refused(text, (size_t)n, "r.json: rule 2 'x': ");
            refused(text, (size_t)n, cases[i].parts);
        } else {
            rules_file_free(parse_good(text));
        }
    }
    static const struct {
        const char *text, *parts;
    } rules[] = {
        {"[{\"id\":\"x\"}]", "rule 1 'x': no condition, expected either \"conditions\" or \"expr\""},
        {"[{\"id\":\"x\",\"expr\":null}]", "rule 1 'x': no condition"},
        {"[{\"id\":\"x\",\"expr\":5}]", "expr: a number, expected a string"},
        {"[{\"id\":\"x\",\"expr\":\"\"}]", "expr: column 1: the expression ends"},
        {"[{\"id\":\"x\",\"expr\":\"price > 1 andd bid > 2\"}]", "expr: column 11: found 'andd'"},
        {"[{\"id\":\"x\",\"expr\":\"prise > 1\"}]", "expr: column 1: unknown metric 'prise'|'price'"},
        {"[{\"expr\":\"price > 1\"}]", "rule 1: id: nothing, expected a string"},
        {"[{\"id\":\"\",\"expr\":\"price > 1\"}]", "rule 1: id: empty"},
        {"[{\"id\":7,\"expr\":\"price > 1\"}]", "rule 1: id: a number, expected a string"},
        {"[" A "," B "," A "]", "r.json: two rules have the id 'a'"},
        {A "\n" A "\n", "r.json: two rules have the id 'a'"},
    };
    for (size_t i = 0; i < COUNT(rules); i++)
        refused(rules[i].text, strlen(rules[i].text), rules[i].parts);
}

static void lengths(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int max;
        const char *part;
    } cases[] = {{"id", RULE_ID_MAX, "…', expected at most 64 bytes"},
                 {"name", RULE_NAME_MAX, "…', expected at most 128 bytes"}};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int more = 0; more < 2; more++) {
            char text[600];
            int n = sprintf(text, "[{%s\"%s\":\"%0*d\",\"expr\":\"price > 1\"}]", i ? "\"id\":\"a\"," : "",
                            cases[i].key, cases[i].max + more, 0);
            if (more)
                refused(text, (size_t)n, cases[i].part);
            else
                rules_file_free(parse_good(text));
        }
    static char text[70000];
    for (int more = 0; more < 2; more++) { /* the expression */
        int n = sprintf(text, "[{\"id\":\"a\",\"expr\":\"%*sprice > 1\"}]", RULE_EXPR_MAX - 9 + more, "");
        if (more)
            refused(text, (size_t)n,
                    "expr: column 8193: found an expression of 8193 bytes, expected at most 8192");
        else
            rules_file_free(parse_good(text));
    }
    for (int more = 0; more < 2; more++) { /* the list of symbols: 256 of 63 with commas are 16,383 */
        size_t n = (size_t)sprintf(text, "[{\"id\":\"a\",\"expr\":\"price > 1\",\"symbols\":[");
        for (int i = 0; i < 256 + more; i++)
            n += (size_t)sprintf(text + n, "%s\"%063d\"", i ? "," : "", i);
        n += (size_t)sprintf(text + n, "]}]");
        if (more)
            refused(text, n, "symbols: |257 names of 16447 bytes");
        else
            rules_file_free(parse_good(text));
    }
}

static void cooldown_default(void **state)
{
    (void)state;
    static const char text[] = "[" A ",{\"id\":\"b\",\"expr\":\"price > 1\",\"cooldown\":3}]";
    struct rules_file *f = rules_file_parse(text, strlen(text), "r.json", 2.5, &err);
    assert_non_null(f);
    assert_int_equal(f->rule[0].cooldown_ns, 2500000000);
    assert_int_equal(f->rule[1].cooldown_ns, 3 * SECOND);
    rules_file_free(f);
}

/* Whatever stands in a name comes out as it was, also by way of messages. */
static void names_of_any_text(void **state)
{
    (void)state;
    struct rules_file *f =
        parse_good("[{\"id\":\"\\\"q\\\" \\\\ \\n\\u0001\\u007f\",\"name\":\"G\\u00fcnther \\ud83d\\ude80 "
                   "\xe2\x82\xac '\\\"\\t\",\"expr\":\"price > 1\",\"description\":\"\\\"\"},"
                   "{\"id\":\"\xe2\x82\xac\",\"expr\":\"price > 2\"}]");
    assert_string_equal(f->rule[0].id, "\"q\" \\ \n\x01\x7f");
    assert_string_equal(f->rule[0].name, "Günther \xf0\x9f\x9a\x80 € '\"\t");
    assert_string_equal(f->rule[1].id, "€");
    rules_file_free(f);
}

/* ---- messages */

/* Collects the parts of records of `type`; the slots they take. */
static size_t collect(const struct msg *m, int slots, enum msg_type type, uint32_t id, uint8_t *bytes)
{
    size_t len = 0;
    for (int at = 0; at < slots; at += (int)msg_slot_count(&m[at])) {
        assert_true(msg_valid(&m[at], (size_t)(slots - at)));
        assert_int_equal(m[at].type, type);
        assert_int_equal(m[at].part.id, id);
        msg_get(&m[at], MSG_FIRST_BYTES, bytes + len, m[at].part.len);
        len += m[at].part.len;
        bool last = at + (int)msg_slot_count(&m[at]) == slots;
        assert_int_equal(m[at].flags & MSG_F_MORE_PARTS, last ? 0 : MSG_F_MORE_PARTS);
    }
    return len;
}

static void rules_travel_as_messages(void **state)
{
    (void)state;
    static struct msg m[RULE_MESSAGE_SLOTS];
    static uint8_t bytes[RULE_BYTES_MAX];
    static char text[40000];
    for (int length = 9; length <= RULE_EXPR_MAX; length += length < 1500 ? 1 : 1671) {
        struct rule back;
        sprintf(text,
                "[{\"id\":\"a\",\"name\":\"€\",\"version\":7,\"enabled\":false,\"trigger\":\"cross\","
                "\"symbols\":["
                "\"SPY\",\"IBM\"],\"cooldown\":1.5,\"expr\":\"%*sprice > 1\"}]",
                length - 9, "");
        struct rules_file *f = parse_good(text);
        int slots = rule_messages(&f->rule[0], 42, m);
        assert_true(slots > 0 && slots <= RULE_MESSAGE_SLOTS);
        size_t len = collect(m, slots, MSG_RULE, 42, bytes);
        assert_int_equal(rule_decode(bytes, len, &back, &err), 0);
        assert_string_equal(back.id, "a");
        assert_string_equal(back.name, "€");
        assert_int_equal(back.version, 7);
        assert_int_equal(back.trigger, TRIGGER_CROSS);
        assert_false(back.enabled);
        assert_int_equal(back.cooldown_ns, SECOND * 3 / 2);
        assert_int_equal(back.expr_len, length);
        assert_memory_equal(back.expr, f->rule[0].expr, back.expr_len);
        assert_int_equal(back.symbols_len, 7);
        assert_memory_equal(back.symbols, "SPY,IBM", 7);
        rules_file_free(f);
    }
}

static void settings_travel_as_messages(void **state)
{
    (void)state;
    static struct msg m[64];
    static char text[2000];
    static uint8_t bytes[2000];
    for (int len = 1; len < 1500; len += 7) {
        memset(text, 'x', (size_t)len);
        text[0] = 'k';
        text[len] = 0;
        int slots = setting_message(text, m);
        assert_int_equal(collect(m, slots, MSG_SETTING, 0, bytes), len);
        assert_memory_equal(bytes, text, (size_t)len);
    }
}

/* ---- files */

static void many_rules(void **state)
{
    (void)state;
    enum { RULES = 20000 };
    char *text = malloc(RULES * 80), path[] = "/tmp/rulesXXXXXX";
    assert_non_null(text);
    for (int lines = 0; lines < 2; lines++) {
        size_t n = (size_t)sprintf(text, "%s", lines ? "" : "[");
        for (int i = 0; i < RULES; i++)
            n += (size_t)sprintf(text + n, "%s{\"id\":\"r%d\",\"expr\":\"price > %d\"}",
                                 i == 0  ? ""
                                 : lines ? "\n"
                                         : ",",
                                 i * 7919 % RULES, i);
        n += (size_t)sprintf(text + n, "%s", lines ? "" : "]");
        struct rules_file *f = parse(text, n);
        assert_non_null(f);
        assert_int_equal(f->n, RULES);
        assert_string_equal(f->rule[RULES - 1].id, "r12081");
        rules_file_free(f);
        memcpy(strstr(text, "\"r8\""), "\"r9\"", 4); /* far from the other one */
        refused(text, n, "two rules have the id 'r9'");
    }
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[" A "," B "]", strlen(A) + strlen(B) + 3), strlen(A) + strlen(B) + 3);
    close(fd);
    struct rules_file *f = rules_file_read(path, 10, &err);
    assert_non_null(f);
    assert_int_equal(f->n, 2);
    rules_file_free(f);
    unlink(path);
    free(text);
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    assert_null(rules_file_read("/nonexistent/r.json", 10, &err));
    assert_non_null(strstr(err.text, "/nonexistent/r.json: No such file or directory; expected a file"));
    assert_null(rules_file_read("/tmp", 10, &err));
    assert_non_null(strstr(err.text, "/tmp: cannot be read: Is a directory"));
    rules_file_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchlists),
        cmocka_unit_test(forms),
        cmocka_unit_test(broken_json_has_its_place),
        cmocka_unit_test(deep_nesting),
        cmocka_unit_test(conditions),
        cmocka_unit_test(conditions_refused),
        cmocka_unit_test(too_many_conditions),
        cmocka_unit_test(defaults),
        cmocka_unit_test(all_fields),
        cmocka_unit_test(sessions_and_expiry),
        cmocka_unit_test(fields_at_their_bounds),
        cmocka_unit_test(lengths),
        cmocka_unit_test(cooldown_default),
        cmocka_unit_test(names_of_any_text),
        cmocka_unit_test(rules_travel_as_messages),
        cmocka_unit_test(settings_travel_as_messages),
        cmocka_unit_test(many_rules),
        cmocka_unit_test(files_that_cannot_be_read),
    };
    return cmocka_run_group_tests_name("rules_file", tests, NULL, NULL);
}
