/* Users' toplists: what a file may say, and how each fault is named. */
#include "core/attribute.h"
#include "net/toplist_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct market_list list[MARKETTAB_LISTS];
static struct toplist_keys keys;
static struct error err;

static int parse(const char *text)
{
    err.text[0] = 0;
    return toplist_file_parse("t.json", text, strlen(text), list, &keys, &err);
}

static void test_taken(void **state)
{
    (void)state;
    assert_int_equal(parse("[]"), 0);
    assert_int_equal(parse("{\"toplists\":[{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"1d\"}]}"),
                     1);
    assert_string_equal(list[0].list.id, "a");
    assert_string_equal(list[0].name, "a");
    assert_string_equal(list[0].user_id, "");
    assert_true(list[0].enabled && !list[0].list.ascending);
    assert_true(list[0].list.metric == TOPLIST_VOLUME && list[0].list.window == TOPLIST_1D);
    assert_true(isnan(list[0].list.filter.min_volume) && isnan(list[0].list.filter.price_max));
    assert_int_equal(
        parse(
            "[{\"id\":\"a\",\"user_id\":\"u-1\",\"name\":\"Tief & \\u00fcberverkauft\",\"description\":\"d\","
            "\"metric\":\"rsi\",\"time_window\":\"15m\",\"sort_order\":\"asc\",\"columns\":[\"price\"],"
            "\"color_scheme\":{\"positive\":\"green\"},\"enabled\":false,\"created_at\":\"x\","
            "\"updated_at\":\"y\",\"filters\":{\"min_volume\":1000,\"min_change_pct\":-2.5,\"price_min\":1,"
            "\"price_max\":null}},{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"1m\"}]"),
        2);
    assert_string_equal(list[0].user_id, "u-1");
    assert_string_equal(list[0].name, "Tief & \xc3\xbc"
                                      "berverkauft");
    assert_true(!list[0].enabled && list[0].list.ascending);
    assert_true(list[0].list.metric == TOPLIST_RSI && list[0].list.window == TOPLIST_15M);
    const struct toplist_filter *f = &list[0].list.filter;
    assert_true(f->min_volume == 1000 && f->min_change_pct == -2.5 && f->price_min == 1 &&
                isnan(f->price_max));
}

static void test_attributes(void **state)
{
    (void)state;
    assert_int_equal(parse("[{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"1m\",\"filters\":{"
                           "\"exchange\":\"B\\u00f6rse\",\"market_cap_min\":1e6,\"market_cap_max\":null}}]"),
                     1);
    const struct toplist_filter *f = &list[0].list.filter;
    assert_true(f->market_cap_min == 1e6 && isnan(f->market_cap_max));
    assert_int_equal(f->exchange, attribute_text_key("B\xc3\xb6rse", 6));
    assert_int_equal(parse("[{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"1m\"}]"), 1);
    assert_int_equal(list[0].list.filter.exchange, KEY_UNKNOWN);
}

#define EXPR(text) "{\"id\":\"" text "\",\"metric\":\"volume\",\"time_window\":\"1m\",\"filters\":{\"expr\":"

/* The metrics of all expressions, each once, in their order. */
static void test_expressions(void **state)
{
    struct toplist_keys others = {0};
    struct metric m;
    (void)state;
    assert_int_equal(parse("[" EXPR("a") "\"price > 5 and rsi(14)@5m < 30\"}}," EXPR("b") "null}}," EXPR(
                         "c") "\"rsi_14_5m < 20 or sector == \\\"Energy\\\"\"}}]"),
                     3);
    assert_string_equal(list[0].list.expr, "price > 5 and rsi(14)@5m < 30");
    assert_string_equal(list[1].list.expr, "");
    assert_string_equal(list[2].list.expr, "rsi_14_5m < 20 or sector == \"Energy\"");
    assert_int_equal(keys.n, 3);
    const char *const names[] = {"price", "rsi(14)@5m", "sector"};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(metric_parse(names[i], strlen(names[i]), &m, &err), 0);
        assert_true(metric_same(&m, &keys.metric[i]));
    }
    assert_int_equal(toplist_file_check("t.json", list, 3, &keys, &err), 0);
    assert_int_equal(toplist_keys_add(&others, "price > 1 and sector == \"A\"", &err), 0);
    assert_int_equal(toplist_file_check("t.json", list, 3, &others, &err), -1);
    assert_string_equal(err.text,
                        "t.json: list 1: filter \"expr\": found rsi(14)@5m, which the instance was not "
                        "asked to keep for toplists when it was started: start it again");
    assert_int_equal(parse("[]"), 0);
    assert_int_equal(keys.n, 0);
}

#define LIST(more) "[{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"1m\"" more "}]"

static const struct {
    const char *text, *said;
} refused[] = {
    {"", "t.json:1:0: "},
    {"[{]", "t.json:1:3: "},
    {"{}", "t.json: expected an array of lists, or {\"toplists\":[…]}"},
    {"{\"lists\":[]}", "t.json: expected an array of lists"},
    {"[7]", "t.json: list 1: is a number, expected an object"},
    {"[{\"id\":\"a\"}]", "t.json: list 1: has no \"metric\""},
    {LIST(",\"sort\":\"asc\""), "list 1: unknown field 'sort'"},
    {LIST(",\"filter\":{}"), "unknown field 'filter', did you mean 'filters'?"},
    {LIST(",\"enabled\":1"), "\"enabled\" is a number, expected true or false"},
    {LIST(",\"sort_order\":\"up\""), "\"sort_order\" is 'up', expected desc or asc"},
    {LIST(",\"user_id\":\"a b\""), "\"user_id\" is 'a b', expected 1 to 63 of letters, digits, . _ -"},
    {LIST(",\"filters\":{\"price_mix\":1}"), "unknown filter 'price_mix', did you mean 'price_min'?"},
    {LIST(",\"filters\":{\"price_min\":\"1\"}"), "filter \"price_min\" is a text, expected a number"},
    {LIST(",\"filters\":{\"market_cap_mn\":1}"),
     "unknown filter 'market_cap_mn', did you mean 'market_cap_min'?"},
    {LIST(",\"filters\":{\"exchange\":1}"), "filter \"exchange\" is a number, expected a text"},
    {LIST(",\"filters\":{\"expr\":7}"), "list 1: filter \"expr\" is a number, expected a text"},
    {LIST(",\"filters\":{\"expr\":\"\"}"), "list 1: filter \"expr\": column 1: "},
    {LIST(",\"filters\":{\"expr\":\"pric > 5\"}"), "filter \"expr\": column 1: "},
    {LIST(",\"filters\":{\"expr\":\"price\"}"), "list 1: filter \"expr\": column "},
    {LIST(",\"filters\":{\"expr\":\"price crosses above 5\"}"),
     "list 1: filter \"expr\": column 7: found 'crosses', expected comparisons of values as they are now"},
    {LIST(",\"filters\":{\"expr\":\"price > 5 for 3 bars\"}"),
     "filter \"expr\": column 11: found 'for', expected comp"},
    {LIST(",\"filters\":{\"expr\":\"not price > 5 within 5m\"}"),
     "filter \"expr\": column 15: found 'within', expected comp"},
    {LIST(",\"filters\":{\"expr\":\"price > 5\\u0000\"}"), "t.json:1:"},
    {LIST(",\"filters\":{\"expr\":\"adx(300)@5m > 5\"}"),
     "filter \"expr\": found metrics in the expressions"},
    {LIST(",\"filters\":{\"exchange\":\"\"}"), "filter \"exchange\" is '', expected 1 to 63 bytes"},
    {"[{\"id\":\"a\",\"metric\":\"volum\",\"time_window\":\"1m\"}]",
     "\"metric\" is 'volum', expected change_pct, volume, rsi, relative_volume or vwap_dist"},
    {"[{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"2m\"}]",
     "\"time_window\" is '2m', expected 1m, 5m, 15m, 1h or 1d"},
    {"[{\"id\":\"gainers_5m\",\"metric\":\"volume\",\"time_window\":\"1m\"}]",
     "\"id\" is 'gainers_5m', which is the name of a system list"},
    {"[{\"id\":\"\",\"metric\":\"volume\",\"time_window\":\"1m\"}]", "\"id\" is '', expected 1 to 63"},
    {"[{\"id\":\"a\",\"metric\":\"volume\",\"time_window\":\"1m\"},"
     "{\"id\":\"a\",\"metric\":\"rsi\",\"time_window\":\"1m\"}]",
     "t.json: list 2: has the \"id\" of list 1: 'a'"},
};

static void test_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (parse(refused[i].text) != -1)
            fail_msg("%s: taken", refused[i].text);
        if (!strstr(err.text, refused[i].said))
            fail_msg("%s: '%s', expected '%s'", refused[i].text, err.text, refused[i].said);
    }
}

static void test_bounds(void **state)
{
    static char text[(MARKETTAB_LISTS + 2) * 80];
    (void)state;
    for (int n = MARKETTAB_LISTS; n <= MARKETTAB_LISTS + 1; n++) {
        size_t at = 0;
        for (int i = 0; i < n; i++)
            at +=
                (size_t)sprintf(text + at, "%c{\"id\":\"l%d\",\"metric\":\"volume\",\"time_window\":\"1m\"}",
                                i ? ',' : '[', i);
        strcpy(text + at, "]");
        assert_int_equal(parse(text), n > MARKETTAB_LISTS ? -1 : n);
    }
    assert_string_equal(err.text, "t.json: 257 lists, expected at most 256");
    for (int n = TOPLIST_EXPR_MAX; n <= TOPLIST_EXPR_MAX + 1; n++) {
        sprintf(text, "[" EXPR("a") "\"price > 5%*s\"}}]", n - 9, "");
        assert_int_equal(parse(text), n > TOPLIST_EXPR_MAX ? -1 : 1);
    }
    assert_string_equal(err.text,
                        "t.json: list 1: filter \"expr\" has 1024 bytes, expected a text of at most 1023");
    for (int n = TOPLIST_KEYS_MAX; n <= TOPLIST_KEYS_MAX + 1; n++) {
        size_t at = (size_t)sprintf(text, "[");
        for (int i = 0; i < n; i++)
            at += (size_t)sprintf(text + at, "%s" EXPR("l%d") "\"volume_%dm > 1\"}}", i ? "," : "", i, i + 1);
        strcpy(text + at, "]");
        assert_int_equal(parse(text), n > TOPLIST_KEYS_MAX ? -1 : n);
    }
    assert_string_equal(err.text,
                        "t.json: list 65: filter \"expr\": found more than 64 metrics in the expressions of "
                        "all lists, expected fewer");
    assert_int_equal(toplist_file_read("/nonexistent/lists.json", list, &keys, &err), -1);
    assert_string_equal(err.text, "/nonexistent/lists.json: cannot open: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),   cmocka_unit_test(test_attributes), cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
