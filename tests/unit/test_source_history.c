#include "net/history.h"
#include "tests/unit/source_harness.h"

#include <zstd.h>

#define HEADER "date,symbol,open,high,low,close,volume\n"

static struct history *load(const char *text, const struct source_config *config)
{
    struct error err;
    write_file(text, strlen(text));
    logged_n = 0;
    struct history *h = history_load(path, config, keep_log, NULL, &err);
    if (!h)
        fail_msg("%s", err.text);
    return h;
}

static void check_symbol(const struct history *h, const char *name, const int *day, const int *close,
                         size_t n)
{
    size_t got;
    const struct history_bar *b = history_find(h, name, strlen(name), &got);
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(b[i].start_ns, day[i] * 86400000000000LL);
        assert_int_equal(b[i].close_e9, close[i] * 1000000000LL);
    }
}

static void test_bars(void **state)
{
    (void)state;
    struct history *h = load(HEADER "2013-10-07,SPY,167.42,168.1,167,168,97504000\n"
                                    "20131004,SPY,1,9,1,5,0\r\n"
                                    "2013-10-07,IBM,1,9,1,2,1\n"
                                    "\n"
                                    "2013-10-04,SPY,1,9,1,6,7\n" /* again: the last counts */
                                    "2013-10-08,SPY,1,9,1,7,1",
                             NULL);
    const int days[] = {15982, 15985, 15986}, closes[] = {6, 168, 7}, ibm[] = {2};
    check_symbol(h, "SPY", days, closes, 3);
    check_symbol(h, "IBM", days + 1, ibm, 1);
    check_symbol(h, "SP", NULL, NULL, 0);
    check_symbol(h, "SPYX", NULL, NULL, 0);
    assert_int_equal(history_symbols(h), 2);
    assert_int_equal(history_stats(h)->rows, 5);
    size_t n;
    const struct history_bar *b = history_find(h, "SPY", 3, &n);
    assert_int_equal(b[1].open_e9, 167420000000);
    assert_int_equal(b[1].high_e9, 168100000000);
    assert_int_equal(b[1].low_e9, 167000000000);
    assert_int_equal(b[1].volume, 97504000);
    assert_int_equal(b[0].volume, 7);
    history_free(h);
    h = load(HEADER, NULL); /* no rows are no error */
    assert_int_equal(history_symbols(h), 0);
    check_symbol(h, "SPY", NULL, NULL, 0);
    history_free(h);
}

static void test_config_and_columns(void **state)
{
    (void)state;
    struct source_config config = {.market = "P", .csv_size_scale = 2, .symbols_max = 1};
    struct history *h = load("x,volume,close,low,high,open,symbol,date\n"
                             ",1.25,3,2,4,3,BTC,2024-02-29\n"
                             ",1.255,3,2,4,3,BTC,2024-03-01\n"
                             ",1,3,2,4,3,ETH,2024-03-01\n",
                             &config);
    const int day[] = {19782}, close[] = {3};
    size_t n;
    check_symbol(h, "BTC.P", day, close, 1);
    assert_int_equal(history_find(h, "BTC.P", 5, &n)->volume, 125);
    assert_int_equal(history_stats(h)->rejected[REJECT_SIZE_RANGE], 1);
    assert_int_equal(history_stats(h)->rejected[REJECT_SYMBOLS_FULL], 1);
    history_free(h);
}

static void test_bad_rows(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        enum reject_reason reason;
    } cases[] = {
        {"2013-10-07,SPY,1,2,1,2", REJECT_COLUMNS},
        {"2013-10-07,SPY,1,2,1,2,5,6", REJECT_FORMAT},
        {"2013-10-07,\"SPY,1,2,1,2,5", REJECT_FORMAT},
        {",SPY,1,2,1,2,5", REJECT_TIME_MISSING},
        {"2013-02-29,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"2013-10-7,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"2013/10/07,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"10-07-2013,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"2013-1007,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"201310-7,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"1381104000,SPY,1,2,1,2,5", REJECT_TIME_FORMAT},
        {"2013-10-07,,1,2,1,2,5", REJECT_SYMBOL_MISSING},
        {"2013-10-07,S\x01,1,2,1,2,5", REJECT_SYMBOL_LENGTH},
        {"2013-10-07,SPY,,2,1,2,5", REJECT_PRICE_MISSING},
        {"2013-10-07,SPY,x,2,1,2,5", REJECT_PRICE_FORMAT},
        {"2013-10-07,SPY,1,2,0,2,5", REJECT_PRICE_SIGN},
        {"2013-10-07,SPY,1,9e9,1,-2,5", REJECT_PRICE_SIGN},
        {"2013-10-07,SPY,1,1e10,1,2,5", REJECT_PRICE_RANGE},
        {"2013-10-07,SPY,1,2,1,2,", REJECT_SIZE_MISSING},
        {"2013-10-07,SPY,1,2,1,2,-5", REJECT_SIZE_FORMAT},
        {"2013-10-07,SPY,1,2,1,2,0.5", REJECT_SIZE_RANGE},
        {"2013-10-07,SPY,1,2,1,3,5", REJECT_FORMAT}, /* closes above its high */
        {"2013-10-07,SPY,1,2,1.5,2,5", REJECT_FORMAT},
        {"2013-10-07,SPY,1,1,2,2,5", REJECT_FORMAT},
    };
    char text[400];
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(text, sizeof text, HEADER "2013-10-04,SPY,1,2,1,2,5\n%s\n2013-10-08,SPY,1,2,1,2,5\n",
                 cases[i].row);
        struct history *h = load(text, NULL);
        size_t n;
        history_find(h, "SPY", 3, &n);
        if (n != 2 || history_stats(h)->rejected[cases[i].reason] != 1 || sum_rejected(history_stats(h)) != 1)
            fail_msg("'%s' was not refused as %s", cases[i].row, reject_name(cases[i].reason));
        assert_int_equal(history_stats(h)->rows, 3);
        assert_int_equal(logged_n, 1);
        assert_non_null(strstr(logged[0], "row 3 "));
        history_free(h);
    }
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "empty; expected a first line"},
        {"date,symbol,open,high,low,close\n", "no column 'volume' in its first line 'date,symbol"},
        {"2013-10-07,SPY,1,2,1,2,5\n", "no column 'date'"},
    };
    struct error err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_file(cases[i].text, strlen(cases[i].text));
        assert_null(history_load(path, NULL, NULL, NULL, &err));
        if (!strstr(err.text, cases[i].part) || !strstr(err.text, path))
            fail_msg("'%s' lacks '%s'", err.text, cases[i].part);
    }
    assert_null(history_load("/no/such", NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "/no/such: No such file"));
}

/* A part of history would change results: a damaged file is refused whole. */
static void test_zstd(void **state)
{
    (void)state;
    char packed[1000];
    const char text[] = HEADER "2013-10-04,SPY,1,2,1,2,5\n";
    struct error err;
    size_t n = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 1), bars;
    write_file(packed, n);
    struct history *h = history_load(path, NULL, NULL, NULL, &err);
    assert_non_null(h);
    assert_non_null(history_find(h, "SPY", 3, &bars));
    history_free(h);
    write_file(packed, n - 1);
    assert_null(history_load(path, NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "truncated"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bars),     cmocka_unit_test(test_config_and_columns),
        cmocka_unit_test(test_bad_rows), cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_zstd),
    };
    return cmocka_run_group_tests_name("source_history", tests, make_dir, remove_dir);
}
