#include "net/barlog.h"

#include "core/decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define REFERENCE "../shared/data/ticks/us-equity-lean/tape_20131008_strict_1m_bars.csv"

static char dir[] = "/tmp/barlog-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/bars.csv", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails where a temporary file was left */
}

static char *content(const char *name)
{
    FILE *f = fopen(name, "r");
    if (!f)
        return NULL;
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static void bar(struct msg *m, uint32_t symbol, int64_t start_ns, const struct msg_bar *b)
{
    msg_begin(m, MSG_BAR, symbol, sizeof *b);
    m->event_ns = start_ns;
    msg_put(m, 0, b, sizeof *b);
}

static void assert_file(const char *expected)
{
    char *text = content(path);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void write_log(struct barlog *b)
{
    struct error err;
    int result = barlog_write(b, path, &err);
    if (result)
        fail_msg("%s", err.text);
}

static void test_order_revision_and_places(void **state)
{
    (void)state;
    struct barlog *b = barlog_new();
    struct event_symbol spy = {"SPY", 3, 0}, btc = {"BTCUSDT", 7, 8};
    struct msg m[2];
    write_log(b);
    assert_file("bar_start_ns,symbol,open,high,low,close,volume,trades,vwap\n");
    struct msg_bar first = {
        .open_e9 = 1, .high_e9 = 2, .low_e9 = 1, .close_e9 = 2, .volume = 5, .pv_lo = 7, .trades = 1};
    struct msg_bar second = {.open_e9 = 61685990000000,
                             .high_e9 = 61685990000001,
                             .low_e9 = 100000000,
                             .close_e9 = 61685123450000,
                             .volume = 150000000,
                             .pv_lo = 150000000u * 1000000000ull,
                             .trades = 2,
                             .revision = 1};
    bar(m, 900, 120, &first);
    barlog_add(b, m, &spy);
    bar(m, 0, 60, &first);
    barlog_add(b, m, &spy);
    bar(m, 7, 120, &second);
    barlog_add(b, m, &btc);
    first.trades = 9;
    first.volume = 0;
    bar(m, 900, 120, &first); /* replaces the first one */
    barlog_add(b, m, &spy);
    assert_int_equal(barlog_count(b), 3);
    write_log(b);
    assert_file("bar_start_ns,symbol,open,high,low,close,volume,trades,vwap\n"
                "60,SPY,0.000000001,0.000000002,0.000000001,0.000000002,5,1,0.00000000\n"
                "120,BTCUSDT,61685.9900,61685.990000001,0.1000,61685.12345,1.5,2,1.00000000\n"
                "120,SPY,0.000000001,0.000000002,0.000000001,0.000000002,0,9,\n");
    barlog_free(b);
}

/* Every line of the reference as a BAR, in a shuffled order, gives the reference again: both from the
 * messages and from their JSON. */
static void test_reference(void **state)
{
    (void)state;
    char *reference = content(REFERENCE), *lines = content(REFERENCE), *line[4096], *save;
    if (!reference)
        skip();
    uint32_t n = 0;
    for (char *l = strtok_r(lines, "\n", &save); (l = strtok_r(NULL, "\n", &save));)
        line[n++] = l;
    assert_int_equal(n, 2254);
    struct barlog *direct = barlog_new(), *from_json = barlog_new();
    for (uint32_t i = 0; i < n; i++) {
        char *field[9], *rest = line[(uint64_t)i * 1009 % n];
        for (int k = 0; k < 9; k++)
            field[k] = strsep(&rest, ",");
        struct msg_bar b = {.trades = (uint32_t)atoi(field[7]), .volume = strtoull(field[6], NULL, 10)};
        int64_t *price[] = {&b.open_e9, &b.high_e9, &b.low_e9, &b.close_e9}, vwap_e9;
        for (int k = 0; k < 4; k++)
            assert_int_equal(decimal_parse(field[2 + k], strlen(field[2 + k]), 9, price[k]), DECIMAL_OK);
        assert_int_equal(decimal_parse(field[8], strlen(field[8]), 9, &vwap_e9), DECIMAL_OK);
        unsigned __int128 sum = (unsigned __int128)vwap_e9 * b.volume;
        b.pv_lo = (uint64_t)sum;
        b.pv_hi = (int64_t)(sum >> 64);
        struct msg m[2];
        struct error err;
        char json[EVENT_JSON_MAX];
        uint32_t symbol = (uint32_t)(field[1][0] - 'A'); /* the tape's four names differ there */
        struct event_symbol name = {field[1], (uint32_t)strlen(field[1]), 0};
        bar(m, symbol, atoll(field[0]), &b);
        barlog_add(direct, m, &name);
        int len = event_json_bar(m, &name, json, sizeof json);
        assert_true(len > 0);
        struct outbox_record r = {.symbol = symbol,
                                  .name = name.name,
                                  .name_len = name.name_len,
                                  .json = json,
                                  .json_len = (uint32_t)len};
        assert_int_equal(barlog_add_record(from_json, &r, &err), 0);
    }
    assert_int_equal(barlog_count(direct), n);
    write_log(direct);
    assert_file(reference);
    write_log(from_json);
    assert_file(reference);
    barlog_free(direct);
    barlog_free(from_json);
    free(lines);
    free(reference);
}

static void test_json_that_is_none(void **state)
{
    (void)state;
    static const char good[] =
        "{\"symbol\":\"a\\\",\\\"timestamp\\\":\\\"\",\"timestamp\":\"2013-10-08T13:45:00.000000000Z\","
        "\"open\":1,\"high\":2,\"low\":1,\"close\":2,\"volume\":1.5,\"vwap\":null,\"trades\":3,"
        "\"revision\":0}";
    struct barlog *b = barlog_new();
    struct error err;
    for (size_t len = 0; len < sizeof good; len++) {
        struct outbox_record r = {.offset = 17, .name = "a", .name_len = 1, .json_len = (uint32_t)len};
        char *copy = malloc(len + 1); /* of its size, for the sanitizer */
        memcpy(copy, good, len);
        r.json = copy;
        size_t enough = (size_t)(strstr(good, ",\"revision") - good) + 1;
        assert_int_equal(barlog_add_record(b, &r, &err), len >= enough ? 0 : -1);
        if (len < enough)
            assert_non_null(strstr(err.text, "event 17 "));
        free(copy);
    }
    write_log(b);
    assert_file("bar_start_ns,symbol,open,high,low,close,volume,trades,vwap\n"
                "1381239900000000000,a,1.0000,2.0000,1.0000,2.0000,1.5,3,\n");
    barlog_free(b);
}

static void test_errors(void **state)
{
    (void)state;
    struct error err;
    struct barlog *b = barlog_new();
    assert_int_equal(barlog_write(b, "/nowhere/bars.csv", &err), -1);
    assert_non_null(strstr(err.text, "/nowhere/bars.csv"));
    assert_int_equal(barlog_write(b, "/dev/full", &err), -1);
    assert_non_null(strstr(err.text, "No space left"));
    barlog_free(b);
    assert_null(alertlog_open("/nowhere/alerts", &err));
    struct alertlog *l = alertlog_open("/dev/full", &err);
    assert_int_equal(alertlog_add(l, "{}", 2, &err), 0);
    assert_int_equal(alertlog_flush(l, &err), -1);
    assert_non_null(strstr(err.text, "/dev/full: No space left"));
    assert_int_equal(alertlog_close(l, &err), -1);
}

static void test_alertlog(void **state)
{
    (void)state;
    struct error err;
    for (int again = 0; again < 2; again++) { /* it begins anew */
        struct alertlog *l = alertlog_open(path, &err);
        assert_int_equal(alertlog_add(l, "{\"a\":1}", 7, &err), 0);
        assert_int_equal(alertlog_flush(l, &err), 0);
        assert_file("{\"a\":1}\n");
        assert_int_equal(alertlog_add(l, "{}", 2, &err), 0);
        assert_int_equal(alertlog_close(l, &err), 0);
        assert_file("{\"a\":1}\n{}\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_revision_and_places),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_json_that_is_none),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_alertlog),
    };
    return cmocka_run_group_tests_name("barlog", tests, make_dir, remove_dir);
}
