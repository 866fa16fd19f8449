#include "net/prometheus.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct text t;

static int forget(void **state)
{
    (void)state;
    text_free(&t);
    return 0;
}

static void texts_grow(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++)
        text_printf(&t, "%05d,", i);
    assert_int_equal(t.len, 60000);
    assert_int_equal(strlen(t.data), 60000);
    assert_memory_equal(t.data + 59994, "09999,", 7);
    text_clear(&t);
    assert_string_equal(t.data, "");
    text_append(&t, "a\0b", 3);
    assert_memory_equal(t.data, "a\0b", 4);
    t.failed = true; /* nothing more is taken, nothing is lost */
    text_printf(&t, "x");
    assert_int_equal(t.len, 3);
    text_clear(&t);
    text_append(&t, "y", SIZE_MAX - 5);
    assert_true(t.failed);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    const struct {
        const char *in, *out;
    } cases[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
        {"\n\x01\x1f\x7f", "\"\\u000a\\u0001\\u001f\x7f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"a\xc3", "\"a\xef\xbf\xbd\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf4\x90\x80\x80z", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\""},
        {"\xe2\x82\"", "\"\xef\xbf\xbd\xef\xbf\xbd\\\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_clear(&t);
        text_json(&t, cases[i].in);
        assert_string_equal(t.data, cases[i].out);
    }
}

static void metrics_have_help_and_type(void **state)
{
    (void)state;
    prometheus_metric(&t, "ticks_total", PROMETHEUS_COUNTER, "Ticks \"in\",\nby C:\\type.");
    prometheus_u64(&t, "ticks_total", UINT64_MAX, PROMETHEUS_LABELS("type", "trade", "by", "a\"b\\c\nd"));
    prometheus_metric(&t, "up", PROMETHEUS_GAUGE, "Up.");
    prometheus_u64(&t, "up", 1, NULL);
    assert_string_equal(t.data,
                        "# HELP ringtape_ticks_total Ticks \"in\",\\nby C:\\\\type.\n"
                        "# TYPE ringtape_ticks_total counter\n"
                        "ringtape_ticks_total{type=\"trade\",by=\"a\\\"b\\\\c\\nd\"} 18446744073709551615\n"
                        "# HELP ringtape_up Up.\n"
                        "# TYPE ringtape_up gauge\n"
                        "ringtape_up 1\n");
}

static void doubles_read_back(void **state)
{
    (void)state;
    const double values[] = {0, -1.5, 0.1, 1e300, 5e-324, 1.0 / 3, 123456789012345678.0};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        text_clear(&t);
        prometheus_double(&t, "x", values[i], NULL);
        assert_true(strtod(t.data + strlen("ringtape_x "), NULL) == values[i]);
    }
    text_clear(&t);
    prometheus_double(&t, "x", 0.1, NULL);
    prometheus_double(&t, "x", NAN, NULL);
    prometheus_double(&t, "x", -INFINITY, NULL);
    assert_string_equal(t.data, "ringtape_x 0.1\nringtape_x NaN\nringtape_x -Inf\n");
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    const double bounds[] = {0.001, 1};
    const uint64_t counts[] = {5, 0, 2};
    prometheus_metric(&t, "wait_seconds", PROMETHEUS_HISTOGRAM, "Wait.");
    prometheus_histogram(&t, "wait_seconds", bounds, counts, 2, 7.25, PROMETHEUS_LABELS("sink", "redis"));
    prometheus_histogram(&t, "wait_seconds", bounds, counts, 0, 0, NULL);
    assert_string_equal(t.data, "# HELP ringtape_wait_seconds Wait.\n"
                                "# TYPE ringtape_wait_seconds histogram\n"
                                "ringtape_wait_seconds_bucket{sink=\"redis\",le=\"0.001\"} 5\n"
                                "ringtape_wait_seconds_bucket{sink=\"redis\",le=\"1\"} 5\n"
                                "ringtape_wait_seconds_bucket{sink=\"redis\",le=\"+Inf\"} 7\n"
                                "ringtape_wait_seconds_sum{sink=\"redis\"} 7.25\n"
                                "ringtape_wait_seconds_count{sink=\"redis\"} 7\n"
                                "ringtape_wait_seconds_bucket{le=\"+Inf\"} 5\n"
                                "ringtape_wait_seconds_sum 0\n"
                                "ringtape_wait_seconds_count 5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(texts_grow, forget),
        cmocka_unit_test_teardown(json_strings_are_escaped, forget),
        cmocka_unit_test_teardown(metrics_have_help_and_type, forget),
        cmocka_unit_test_teardown(doubles_read_back, forget),
        cmocka_unit_test_teardown(histograms_are_cumulative, forget),
    };
    return cmocka_run_group_tests_name("prometheus", tests, NULL, NULL);
}
