/* Attributes: the file's columns and rows, the message that carries them, and what no message may say. */
#include "core/bucket.h"
#include "net/attributes.h"
#include "tests/unit/source_harness.h"

static struct attribute_file *load(const char *text, const char *market)
{
    struct error err;
    struct source_config config = {.market = market, .symbols_max = 1};
    write_file(text, strlen(text));
    logged_n = 0;
    struct attribute_file *f = attribute_file_load(path, &config, keep_log, NULL, &err);
    if (!f)
        fail_msg("%s", err.text);
    return f;
}

static const struct attributes *find(const struct attribute_file *f, const char *name)
{
    return attribute_file_find(f, name, strlen(name));
}

static void test_columns(void **state)
{
    (void)state;
    struct attribute_file *f =
        load("\xef\xbb\xbf"
             "market_cap, sector ,symbol,exchange,float,shares_short,news_at,earnings_at\r\n"
             "2.5e9,\"Oil, Gas\",XOM,NYSE,1000,0,2013-10-08T13:45:00Z,1381276800000000000\r\n"
             "\n"
             ",,SPY,,,,,\n"
             "1,Energy,XOM, ARCA,,,,2013-10-09",
             NULL);
    assert_int_equal(attribute_file_symbols(f), 2);
    assert_int_equal(attribute_file_refused(f), 0);
    assert_int_equal(logged_n, 0);
    const struct attributes *a = find(f, "XOM"); /* the last row counts, whole */
    assert_string_equal(a->text[ATTRIBUTE_SECTOR], "Energy");
    assert_string_equal(a->text[ATTRIBUTE_EXCHANGE], "ARCA");
    assert_int_equal(a->value[ATTRIBUTE_SECTOR], attribute_text_key("Energy", 6));
    assert_int_equal(a->value[ATTRIBUTE_MARKET_CAP], key_of_double(1));
    assert_int_equal(a->value[ATTRIBUTE_FLOAT], ATTR_UNKNOWN);
    assert_int_equal(a->value[ATTRIBUTE_NEWS_AT], ATTR_UNKNOWN);
    assert_int_equal(a->value[ATTRIBUTE_EARNINGS_AT], INT64_C(1381276800) * SECOND_NS);
    assert_true(attributes_known(a));
    assert_false(attributes_known(find(f, "SPY")));
    assert_null(find(f, "XO"));
    attribute_file_free(f);

    f = load("symbol,sector,float,shares_short,news_at\nXOM,\"Oil, Gas\",1e6,0,2013-10-08T13:45:00Z\n", "P");
    a = find(f, "XOM.P");
    assert_string_equal(a->text[ATTRIBUTE_SECTOR], "Oil, Gas");
    assert_int_equal(a->value[ATTRIBUTE_FLOAT], key_of_double(1e6));
    assert_int_equal(a->value[ATTRIBUTE_SHARES_SHORT], 0);
    assert_int_equal(a->value[ATTRIBUTE_NEWS_AT], INT64_C(1381239900) * SECOND_NS);
    assert_null(find(f, "XOM"));
    attribute_file_free(f);
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "empty; expected a first line symbol,sector"},
        {"sector,float\n", "no column 'symbol' in its first line"},
        {"symbol,sectr\n",
         "unknown column 'sectr' in its first line, did you mean 'sector'?; expected symbol"},
        {"symbol,zzzzzzzzzzz\n",
         "unknown column 'zzzzzzzzzzz' in its first line; expected symbol and any of"},
        {"symbol,news_age\n", "unknown column 'news_age' in its first line, did you mean 'news_at'?"},
        {"symbol,float,symbol\n", "column 'symbol' twice in its first line"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err;
        write_file(cases[i].text, strlen(cases[i].text));
        assert_null(attribute_file_load(path, NULL, NULL, NULL, &err));
        if (!strstr(err.text, cases[i].expected) || !strstr(err.text, path))
            fail_msg("'%s': %s\n  lacks '%s'", cases[i].text, err.text, cases[i].expected);
    }
    struct error err;
    assert_null(attribute_file_load("/nonexistent/a.csv", NULL, NULL, NULL, &err));
}

static void test_refused_rows(void **state)
{
    (void)state;
    static const struct {
        const char *row, *expected;
    } cases[] = {
        {"A,Energy,1", "line 3 refused: 3 fields, expected 4"},
        {"A,Energy,1,,5", "line 3 refused: 5 fields, expected 4"},
        {",Energy,1,", "line 3 refused: no symbol"},
        {"A,Energy,x1,", "line 3 refused: float 'x1', expected a number from 0"},
        {"A,Energy,-1,", "line 3 refused: float '-1', expected a number from 0"},
        {"A,Energy,nan,", "line 3 refused: float 'nan', expected a number from 0"},
        {"A,Energy,1e999,", "line 3 refused: float '1e999', expected a number from 0"},
        {"A,Energy,1,yesterday", "line 3 refused: news_at 'yesterday', expected a time such as"},
        {"A,Energy,1,2261-06-01", "line 3 refused: news_at '2261-06-01', expected a time such as"},
        {"A,\"say \"\"x\"\"\",1,",
         "line 3 refused: sector 'say \"x\"', expected at most 63 bytes without quotes"},
        {"A,x\ty,1,", "line 3 refused: sector 'x\ty', expected at most 63 bytes without quotes"},
        {"A,0123456789012345678901234567890123456789012345678901234567890123,1,",
         "line 3 refused: sector '0123456789012345678901234567890123456789', expected at most 63 bytes"},
        {"A,\"Energy,1,", "line 3 refused: its quotes are not closed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[300];
        snprintf(text, sizeof text, "symbol,sector,float,news_at\nB,X,1,\n%s\nC,X,1,\n", cases[i].row);
        struct attribute_file *f = load(text, NULL);
        if (logged_n != 2 || !strstr(logged[0], cases[i].expected) || !strstr(logged[0], path))
            fail_msg("'%s': %s\n  lacks '%s'", cases[i].row, logged[0], cases[i].expected);
        assert_non_null(strstr(logged[1], ": 1 rows refused in all"));
        assert_int_equal(attribute_file_refused(f), 1);
        assert_int_equal(attribute_file_symbols(f), 2); /* the others count */
        assert_null(find(f, "A"));
        attribute_file_free(f);
    }
    char text[4000];
    int n = sprintf(text, "symbol,float\n");
    for (int i = 0; i < 100; i++)
        n += sprintf(text + n, "S%d,bad\n", i);
    struct attribute_file *f = load(text, NULL);
    assert_int_equal(logged_n, ATTRIBUTE_REFUSALS_LOGGED + 1);
    assert_int_equal(attribute_file_refused(f), 100);
    attribute_file_free(f);
}

static struct attributes some(void)
{
    struct attributes a;
    attributes_clear(&a);
    assert_true(attribute_set_text(&a, ATTRIBUTE_SECTOR, "Energy", 6));
    assert_true(attribute_set_text(&a, ATTRIBUTE_EXCHANGE, "NYSE", 4));
    a.value[ATTRIBUTE_MARKET_CAP] = key_of_double(2.5e9);
    a.value[ATTRIBUTE_NEWS_AT] = 7;
    return a;
}

static void test_message(void **state)
{
    (void)state;
    struct msg m[MSG_SLOTS_MAX];
    struct attributes a = some(), b;
    uint32_t n = attributes_message(&a, 5, m);
    assert_true(msg_valid(m, n));
    assert_int_equal(m->symbol, 5);
    assert_int_equal(m->type, MSG_ATTR);
    assert_true(attributes_read(m, &b));
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(attributes_sound(&a));
    attributes_clear(&a);
    attributes_message(&a, 5, m);
    assert_true(attributes_read(m, &b));
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(attribute_text_key("Energy", 6) != attribute_text_key("Energi", 6));
    assert_true(attribute_text_key("", 0) >= 0);
}

/* Values that no file gives: the bits of a number, a time, the length of a text. */
static void test_hostile_messages(void **state)
{
    (void)state;
    static const struct {
        enum attribute which;
        int64_t value;
    } cases[] = {
        {ATTRIBUTE_SECTOR, 0},
        {ATTRIBUTE_SECTOR, -1},
        {ATTRIBUTE_SECTOR, 64},
        {ATTRIBUTE_SECTOR, INT64_MAX},
        {ATTRIBUTE_EXCHANGE, 63},                        /* beyond its slots */
        {ATTRIBUTE_FLOAT, INT64_C(0x7ff0000000000000)},  /* infinite */
        {ATTRIBUTE_FLOAT, INT64_C(0x7ff8000000000000)},  /* no number */
        {ATTRIBUTE_FLOAT, -INT64_C(0x4010000000000000)}, /* below 0 */
        {ATTRIBUTE_NEWS_AT, -1},
        {ATTRIBUTE_EARNINGS_AT, TIME_MAX_NS + 1},
    };
    struct msg m[MSG_SLOTS_MAX];
    struct attributes a = some(), b;
    for (size_t i = 0; i < COUNT(cases); i++) {
        attributes_message(&a, 0, m);
        msg_put(m, MSG_FIRST_BYTES + 8 * cases[i].which, &cases[i].value, 8);
        if (attributes_read(m, &b))
            fail_msg("case %zu is taken", i);
    }
    attributes_message(&a, 0, m);
    msg_put(m, MSG_FIRST_BYTES + 8 * ATTRIBUTE_COUNT + 2, "\"", 1); /* no rule could name it */
    assert_false(attributes_read(m, &b));
    msg_begin(m, MSG_ATTR, 0, MSG_FIRST_BYTES);
    assert_false(attributes_read(m, &b));

    b = a;
    b.value[ATTRIBUTE_SECTOR]++; /* not the number of its text */
    assert_false(attributes_sound(&b));
    b = a;
    memset(b.text[ATTRIBUTE_EXCHANGE], 'x', sizeof b.text[0]);
    assert_false(attributes_sound(&b));
    b = a;
    b.text[ATTRIBUTE_SECTOR][10] = 'x'; /* behind its end */
    assert_false(attributes_sound(&b));
    b = a;
    b.value[ATTRIBUTE_FLOAT] = -5;
    assert_false(attributes_sound(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),          cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_refused_rows),     cmocka_unit_test(test_message),
        cmocka_unit_test(test_hostile_messages),
    };
    return cmocka_run_group_tests_name("attributes", tests, make_dir, remove_dir);
}
