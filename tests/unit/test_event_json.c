#include "core/anomaly.h"
#include "net/event_json.h"
#include "net/event_row.h"

#include "core/decimal.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static const struct event_symbol spy = {"SPY", 3, 0};
static const struct event_operand operands[] = {{"rsi(14)@1m", EVENT_OPERAND_DOUBLE},
                                                {"price", EVENT_OPERAND_PRICE},
                                                {"sma(20)@1m", EVENT_OPERAND_DOUBLE},
                                                {"session", EVENT_OPERAND_SESSION}};

static int64_t bits(double d)
{
    int64_t i;
    memcpy(&i, &d, sizeof i);
    return i;
}

static void alert(struct msg *m, int64_t price_e9, const int64_t *operand, unsigned n)
{
    struct msg_alert head = {.rule = 3,
                             .id_hi = 0x0123456789abcdef,
                             .id_lo = 0xfedcba9876543210,
                             .revision = 2,
                             .kind = ALERT_REVISED,
                             .n_operands = (uint8_t)n,
                             .price_e9 = price_e9};
    assert_true(msg_begin(m, MSG_ALERT, 7, sizeof head + 8 * n) > 0);
    m->event_ns = 1381239927122000000;
    msg_set_seq(m, 123);
    msg_put(m, 0, &head, sizeof head);
    msg_put(m, sizeof head, operand, 8 * n);
}

static void test_alert(void **state)
{
    (void)state;
    struct msg m[MSG_SLOTS_MAX];
    char out[EVENT_JSON_MAX];
    struct event_rule rule = {"r1", "Oversold", 4, 4, operands};
    alert(m, 167510000000, (int64_t[]){bits(28.4), 167510000000, ALERT_UNKNOWN, bits(2)}, 4);
    int n = event_json_alert(m, &rule, &spy, out, sizeof out);
    static const char expected[] =
        "{\"id\":\"0123456789abcdeffedcba9876543210\",\"rule_id\":\"r1\",\"rule_name\":\"Oversold\","
        "\"rule_version\":4,\"symbol\":\"SPY\",\"timestamp\":\"2013-10-08T13:45:27.122000000Z\","
        "\"price\":167.51,\"message\":\"Oversold: SPY 167.51\",\"metadata\":{\"rsi(14)@1m\":28.4,"
        "\"price\":167.51,\"sma(20)@1m\":null,\"session\":\"market\"},"
        "\"trace_id\":\"0123456789abcdeffedcba9876543210\",\"seq\":123,\"kind\":\"revised\","
        "\"revision\":2}";
    assert_int_equal(n, sizeof expected - 1);
    out[n] = 0;
    assert_string_equal(out, expected);
    for (size_t size = 0; size < sizeof expected - 1; size++)
        assert_int_equal(event_json_alert(m, &rule, &spy, out, size), EVENT_JSON_SMALL);
    assert_int_equal(event_json_alert(m, &rule, &spy, out, sizeof expected - 1), n);

    /* of a rule in mode shadow: a kind of its own, with the same text and the same columns */
    struct error err;
    struct event_row row;
    struct outbox_record r = {
        .kind = OUTBOX_SHADOW, .event_ns = m->event_ns, .json = expected, .json_len = sizeof expected - 1};
    assert_int_equal(outbox_kind_of(m), OUTBOX_ALERT);
    for (uint32_t i = 0; i < msg_slot_count(m); i++)
        m[i].flags |= MSG_F_SHADOW;
    assert_int_equal(outbox_kind_of(m), OUTBOX_SHADOW);
    assert_int_equal(event_json(m, &rule, &spy, out, sizeof out), n);
    assert_memory_equal(out, expected, (size_t)n);
    assert_int_equal(event_row_read(&row, &r, &err), 0);
    assert_int_equal(row.n, EVENT_ALERT_COLUMNS);
}

static void test_alert_without_price(void **state)
{
    (void)state;
    struct msg m[MSG_SLOTS_MAX];
    char out[EVENT_JSON_MAX];
    struct event_rule rule = {"r1", "x", 1, 0, NULL};
    alert(m, ALERT_UNKNOWN, NULL, 0);
    int n = event_json_alert(m, &rule, &spy, out, sizeof out);
    assert_true(n > 0);
    out[n] = 0;
    assert_non_null(strstr(out, "\"price\":null,\"message\":\"x: SPY\",\"metadata\":{},"));
}

static void test_mismatch(void **state)
{
    (void)state;
    struct msg m[MSG_SLOTS_MAX];
    char out[EVENT_JSON_MAX];
    struct event_rule rule = {"r1", "x", 1, 3, operands};
    alert(m, 1, (int64_t[]){1, 2, 3, 4}, 4);
    assert_int_equal(event_json_alert(m, &rule, &spy, out, sizeof out), EVENT_JSON_MISMATCH);
    rule.n_operands = 4;
    assert_true(event_json_alert(m, &rule, &spy, out, sizeof out) > 0);
    m->flags &= (uint16_t)~MSG_MORE_MASK; /* says one slot, has operands for more */
    assert_int_equal(event_json_alert(m, &rule, &spy, out, sizeof out), EVENT_JSON_MISMATCH);
}

/* Texts behind the operands: each stands in its place; one that is not there is null. */
static void test_texts(void **state)
{
    (void)state;
    static const struct event_operand of[] = {
        {"exchange", EVENT_OPERAND_TEXT}, {"price", EVENT_OPERAND_PRICE}, {"sector", EVENT_OPERAND_TEXT}};
    struct msg m[MSG_SLOTS_MAX], full[MSG_SLOTS_MAX];
    char out[EVENT_JSON_MAX];
    struct event_rule rule = {"r1", "x", 1, 3, of};
    const char texts[] = "NYSEOil \\ Gas, Coal & Wind";
    const size_t at = sizeof(struct msg_alert) + 3 * 8;
    alert(m, 1, (int64_t[]){4, 2000000000, 22}, 3);
    uint32_t slots = msg_begin(full, MSG_ALERT, 1, at + 26);
    char copy[sizeof(struct msg_alert) + 3 * 8];
    msg_get(m, 0, copy, at);
    msg_put(full, 0, copy, at);
    msg_put(full, at, texts, 26);
    assert_true(slots > msg_slot_count(m)); /* else the next says nothing */
    assert_int_equal(event_json_alert(m, &rule, &spy, out, sizeof out), EVENT_JSON_MISMATCH);
    int n = event_json_alert(full, &rule, &spy, out, sizeof out);
    assert_true(n > 0);
    out[n] = 0;
    assert_non_null(strstr(
        out, "\"metadata\":{\"exchange\":\"NYSE\",\"price\":2,\"sector\":\"Oil \\\\ Gas, Coal & Wind\"},"));
    for (int64_t bad = -1; bad <= 64; bad += 65) {
        msg_put(full, sizeof(struct msg_alert), &bad, 8);
        assert_int_equal(event_json_alert(full, &rule, &spy, out, sizeof out), EVENT_JSON_MISMATCH);
    }
    alert(m, 1, (int64_t[]){ALERT_UNKNOWN, 1, ALERT_UNKNOWN}, 3);
    n = event_json_alert(m, &rule, &spy, out, sizeof out);
    assert_true(n > 0);
    out[n] = 0;
    assert_non_null(strstr(out, "{\"exchange\":null,\"price\":0.000000001,\"sector\":null}"));
}

/* Whatever the bytes of a name, a strict parser reads back the text (or U+FFFD for what is no UTF-8). */
static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *name, *read;
    } cases[] = {
        {"quote\" slash\\ tab\t nul-ish\x01 del\x7f", NULL},
        {"Ümlaut € 𝄞", NULL},
        {"\x80", "\xef\xbf\xbd"},
        {"a\xffz", "a\xef\xbf\xbdz"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct msg m[MSG_SLOTS_MAX];
        char out[EVENT_JSON_MAX];
        struct event_rule rule = {cases[i].name, cases[i].name, 1, 0, NULL};
        struct event_symbol symbol = {cases[i].name, (uint32_t)strlen(cases[i].name), 0};
        alert(m, 1, NULL, 0);
        int n = event_json_alert(m, &rule, &symbol, out, sizeof out);
        assert_true(n > 0);
        json_error_t error;
        json_t *json = json_loadb(out, (size_t)n, 0, &error);
        assert_non_null(json);
        const char *read = cases[i].read ? cases[i].read : cases[i].name;
        assert_string_equal(json_string_value(json_object_get(json, "rule_id")), read);
        assert_string_equal(json_string_value(json_object_get(json, "rule_name")), read);
        assert_string_equal(json_string_value(json_object_get(json, "symbol")), read);
        json_decref(json);
    }
}

/* The longest alert that the limits allow fits EVENT_JSON_MAX. */
static void test_longest(void **state)
{
    (void)state;
    struct msg m[MSG_SLOTS_MAX];
    char out[EVENT_JSON_MAX], id[65] = "", name[129] = "", metric[48] = "";
    struct event_operand operand[ALERT_OPERANDS_MAX];
    int64_t value[ALERT_OPERANDS_MAX];
    memset(id, 1, 64);
    memset(name, 1, 128);
    memset(metric, 'm', 47);
    for (int i = 0; i < ALERT_OPERANDS_MAX; i++) {
        operand[i] = (struct event_operand){metric, EVENT_OPERAND_DOUBLE};
        value[i] = bits(-1.7976931348623157e-308);
    }
    struct event_rule rule = {id, name, UINT32_MAX, ALERT_OPERANDS_MAX, operand};
    struct event_symbol symbol = {id, 63, 0};
    alert(m, -INT64_MAX, value, ALERT_OPERANDS_MAX);
    assert_true(event_json_alert(m, &rule, &symbol, out, sizeof out) > 7000);
}

static void test_halt(void **state)
{
    (void)state;
    struct msg m[2];
    char out[EVENT_JSON_MAX];
    struct msg_halt h = {.sub = 3, .kind = STATUS_HALTED, .id_hi = 1, .id_lo = 2, .reason = "LU\"\\\n\xff"};
    static const char want[] =
        "{\"id\":\"00000000000000010000000000000002\",\"symbol\":\"SPY\",\"timestamp\":"
        "\"2013-10-08T13:45:27.122000000Z\",\"type\":\"halted\",\"reason\":\"LU????\",\"message\":\"SPY "
        "halted\",\"seq\":77}";
    const struct event_symbol symbol = {"SPY", 3, 0};
    msg_begin(m, MSG_HALT, 7, sizeof h);
    msg_set_seq(m, 77);
    m->event_ns = INT64_C(1381239927122000000);
    msg_put(m, 0, &h, sizeof h);
    int n = event_json(m, NULL, &symbol, out, sizeof out);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, (size_t)n);
    assert_int_equal(event_sub(m), 3);
    assert_int_equal(outbox_kind_of(m), OUTBOX_HALT);
    for (size_t size = 0; size < (size_t)n; size++)
        assert_int_equal(event_json_halt(m, &symbol, out, size), EVENT_JSON_SMALL);
    assert_int_equal(event_json_halt(m, &symbol, out, (size_t)n), n);
    struct error err;
    struct event_row row;
    struct outbox_record r = {
        .kind = OUTBOX_HALT, .event_ns = m->event_ns, .json = out, .json_len = (uint32_t)n};
    assert_int_equal(event_row_read(&row, &r, &err), 0);
    assert_int_equal(row.n, EVENT_HALT_COLUMNS);
    h.kind = STATUS_KINDS;
    msg_put(m, 0, &h, sizeof h);
    assert_int_equal(event_json_halt(m, &symbol, out, sizeof out), EVENT_JSON_MISMATCH);
    msg_begin(m, MSG_HALT, 7, 8);
    assert_int_equal(event_json_halt(m, &symbol, out, sizeof out), EVENT_JSON_MISMATCH);
}

static void bar(struct msg *m, uint64_t volume, __int128 sum, unsigned revision)
{
    struct msg_bar b = {.open_e9 = 167420000000,
                        .high_e9 = 168000000000,
                        .low_e9 = 1,
                        .close_e9 = 167430000000,
                        .volume = volume,
                        .pv_lo = (uint64_t)sum,
                        .pv_hi = (int64_t)(sum >> 64),
                        .trades = 9,
                        .revision = revision};
    msg_begin(m, MSG_BAR, 7, sizeof b);
    m->event_ns = 1381219200000000000;
    msg_put(m, 0, &b, sizeof b);
}

static void test_anomaly(void **state)
{
    (void)state;
    struct msg m[2];
    char out[512];
    struct msg_anomaly a = {.sub = 3,
                            .kind = ANOMALY_DROP,
                            .severity = ANOMALY_MEDIUM,
                            .price_e9 = 167510000000,
                            .value = 167510000000,
                            .expected = 168250000000,
                            .score = -5.25,
                            .threshold = 3,
                            .id_hi = 0x0123456789abcdef,
                            .id_lo = 10};
    static const char expected[] =
        "{\"id\":\"0123456789abcdef000000000000000a\",\"symbol\":\"SPY\",\"timestamp\":"
        "\"2013-10-08T08:00:00.000000000Z\",\"type\":\"drop\",\"severity\":\"medium\",\"price\":167.51,"
        "\"value\":167.51,\"expected\":168.25,\"score\":-5.25,\"threshold\":3,\"message\":\"SPY drop "
        "167.51\",\"seq\":77}";
    msg_begin(m, MSG_ANOMALY, 7, sizeof a);
    msg_set_seq(m, 77);
    m->event_ns = 1381219200000000000;
    msg_put(m, 0, &a, sizeof a);
    int n = event_json(m, NULL, &spy, out, sizeof out);
    assert_int_equal(n, sizeof expected - 1);
    out[n] = 0;
    assert_string_equal(out, expected);
    assert_int_equal(event_sub(m), 3);
    for (size_t size = 0; size < sizeof expected - 1; size++)
        assert_int_equal(event_json_anomaly(m, &spy, out, size), EVENT_JSON_SMALL);

    /* a number that is no price; no price yet */
    a = (struct msg_anomaly){.kind = ANOMALY_SILENCE, .price_e9 = ALERT_UNKNOWN, .value = 5.5, .score = 1e-7};
    msg_put(m, 0, &a, sizeof a);
    n = event_json_anomaly(m, &spy, out, sizeof out);
    out[n] = 0;
    assert_non_null(strstr(out, "\"price\":null,\"value\":5.5,\"expected\":0,\"score\":1e-7,"));
    assert_non_null(strstr(out, "\"message\":\"SPY silence\","));
    struct outbox_record r = {
        .kind = OUTBOX_ANOMALY, .event_ns = m->event_ns, .json = out, .json_len = (uint32_t)n};
    struct event_row row;
    struct error err;
    assert_int_equal(event_row_read(&row, &r, &err), 0);
    assert_int_equal(row.n, EVENT_ANOMALY_COLUMNS);
    assert_null(row.value[6].text);
    assert_memory_equal(row.value[9].text, "1e-7", row.value[9].len);

    /* what no engine writes */
    a.kind = ANOMALY_KINDS;
    msg_put(m, 0, &a, sizeof a);
    assert_int_equal(event_json_anomaly(m, &spy, out, sizeof out), EVENT_JSON_MISMATCH);
    msg_begin(m, MSG_ANOMALY, 7, 8);
    assert_int_equal(event_json_anomaly(m, &spy, out, sizeof out), EVENT_JSON_MISMATCH);
}

static void test_bar(void **state)
{
    (void)state;
    struct msg m[2];
    char out[512];
    bar(m, 5500, (__int128)5500 * 167328909091, 1);
    int n = event_json_bar(m, &spy, out, sizeof out);
    static const char expected[] =
        "{\"symbol\":\"SPY\",\"timestamp\":\"2013-10-08T08:00:00.000000000Z\",\"open\":167.42,\"high\":168,"
        "\"low\":0.000000001,\"close\":167.43,\"volume\":5500,\"vwap\":167.32890909,\"trades\":9,"
        "\"revision\":1}";
    assert_int_equal(n, sizeof expected - 1);
    out[n] = 0;
    assert_string_equal(out, expected);
    for (size_t size = 0; size < sizeof expected - 1; size++)
        assert_int_equal(event_json_bar(m, &spy, out, size), EVENT_JSON_SMALL);
    bar(m, 0, 0, 0);
    n = event_json_bar(m, &(struct event_symbol){"BTC", 3, 8}, out, sizeof out);
    out[n] = 0;
    assert_non_null(strstr(out, "\"volume\":0,\"vwap\":null,"));
    bar(m, 150000000, (__int128)150000000 * 1000000000, 0);
    n = event_json_bar(m, &(struct event_symbol){"BTC", 3, 8}, out, sizeof out);
    out[n] = 0;
    assert_non_null(strstr(out, "\"volume\":1.5,\"vwap\":1,"));
}

static void test_price(void **state)
{
    (void)state;
    char out[256];
    struct event_symbol btc = {"BTC\"", 4, 8};
    int n = event_json_price(&btc, 61685990000000, 150000000, 1381239927122000000, out, sizeof out);
    static const char expected[] = "{\"symbol\":\"BTC\\\"\",\"price\":61685.99,\"size\":1.5,"
                                   "\"timestamp\":\"2013-10-08T13:45:27.122000000Z\"}";
    assert_int_equal(n, sizeof expected - 1);
    out[n] = 0;
    assert_string_equal(out, expected);
    assert_int_equal(event_json_price(&btc, 61685990000000, 150000000, 0, out, sizeof expected - 2),
                     EVENT_JSON_SMALL);
}

static void assert_live(const struct event_symbol *symbol, __int128 pv, uint64_t volume, const char *sums)
{
    char out[512], expected[512];
    const struct msg_bar b = {.open_e9 = 1000000000,
                              .high_e9 = 2500000000,
                              .low_e9 = 1,
                              .close_e9 = 2000000000,
                              .volume = volume,
                              .pv_lo = (uint64_t)pv,
                              .pv_hi = (int64_t)(pv >> 64)};
    char volume_text[DECIMAL_TEXT_MAX];
    decimal_format(volume, symbol->size_scale, volume_text);
    snprintf(expected, sizeof expected,
             "{\"symbol\":\"%s\",\"timestamp\":\"2013-10-08T13:45:00.000000000Z\",\"open\":1,\"high\":2.5,"
             "\"low\":0.000000001,\"close\":2,\"volume\":%s,%s}",
             symbol->name, volume_text, sums);
    int n = event_json_live(symbol, 1381239900000000000, &b, out, sizeof out);
    assert_int_equal(n, strlen(expected));
    out[n] = 0;
    assert_string_equal(out, expected);
    assert_int_equal(event_json_live(symbol, 1381239900000000000, &b, out, (size_t)n - 1), EVENT_JSON_SMALL);
}

static void test_live(void **state)
{
    (void)state;
    const struct event_symbol spy = {"SPY", 3, 0}, btc = {"BTC", 3, 8};
    assert_live(&spy, (__int128)50253 * 1000000000, 300, "\"vwap_num\":50253,\"vwap_denom\":300");
    assert_live(&spy, 1, 1, "\"vwap_num\":0.000000001,\"vwap_denom\":1");
    assert_live(&spy, 0, 0, "\"vwap_num\":0,\"vwap_denom\":0");
    assert_live(&spy, 10500000000, 1, "\"vwap_num\":10.5,\"vwap_denom\":1");
    assert_live(&btc, 10500000000, 150000000, "\"vwap_num\":0.000000105,\"vwap_denom\":1.5");
    /* beyond 64 bits: 10^27 + 1 at 1e-17 */
    __int128 large = (__int128)1000000000 * 1000000000 * 1000000000 + 1;
    assert_live(&btc, large, 100000000, "\"vwap_num\":10000000000.00000000000000001,\"vwap_denom\":1");
    assert_live(&spy, -10500000000, 1, "\"vwap_num\":-10.5,\"vwap_denom\":1");
}

static void test_quote(void **state)
{
    (void)state;
    char out[128];
    const struct event_symbol spy = {"S\"Y", 3, 0};
    static const char expected[] = "{\"symbol\":\"S\\\"Y\",\"price\":167.51,\"ts_ms\":1381239927122}";
    int n = event_json_quote(&spy, 167510000000, 1381239927122999999, out, sizeof out);
    assert_int_equal(n, sizeof expected - 1);
    out[n] = 0;
    assert_string_equal(out, expected);
    assert_int_equal(event_json_quote(&spy, 167510000000, 0, out, 20), EVENT_JSON_SMALL);
}

static void test_tick(void **state)
{
    (void)state;
    char out[256];
    struct event_symbol btc = {"BTC", 3, 8};
    struct msg m;
    msg_begin(&m, MSG_TRADE, 1, sizeof m.trade);
    m.event_ns = 1381239927122000000;
    m.trade.price_e9 = 1;
    m.trade.size = 150000000;
    static const char expected[] =
        "{\"symbol\":\"BTC\",\"price\":0.000000001,\"size\":1.5,\"timestamp\":"
        "\"2013-10-08T13:45:27.122000000Z\",\"type\":\"trade\",\"bid\":null,\"ask\":null}";
    int n = event_json_tick(&m, &btc, out, sizeof out);
    assert_int_equal(n, sizeof expected - 1);
    out[n] = 0;
    assert_string_equal(out, expected);
    assert_int_equal(event_json_tick(&m, &btc, out, sizeof expected - 2), EVENT_JSON_SMALL);
}

static void test_vwap(void **state)
{
    (void)state;
    int64_t v;
    struct msg_bar b = {.volume = 2, .pv_lo = 2 * 15 - 1}; /* 14.5e-9: 1.45 units of 1e-8 */
    assert_true(event_vwap_e8(&b, &v) && v == 1);
    b.pv_lo = 2 * 15; /* 1.5 units: up */
    assert_true(event_vwap_e8(&b, &v) && v == 2);
    b = (struct msg_bar){.volume = 3, .pv_lo = 44}; /* 1.466 */
    assert_true(event_vwap_e8(&b, &v) && v == 1);
    __int128 sum = (__int128)(INT64_MAX - 7) * 3; /* beyond 64 bits */
    b = (struct msg_bar){.volume = 3, .pv_lo = (uint64_t)sum, .pv_hi = (int64_t)(sum >> 64)};
    assert_true(event_vwap_e8(&b, &v) && v == INT64_MAX / 10);
    b.pv_hi = -1;
    assert_false(event_vwap_e8(&b, &v));
    b = (struct msg_bar){.volume = 1, .pv_hi = 1};
    assert_false(event_vwap_e8(&b, &v));
}

/* A bound that only a mistake breaks; the figure is printed for whoever looks. */
static void test_speed(void **state)
{
    (void)state;
    struct msg m[MSG_SLOTS_MAX];
    char out[EVENT_JSON_MAX];
    struct event_rule rule = {"oversold-1", "Oversold at volume", 4, 3, operands};
    struct timespec from, to;
    long total = 0;
    alert(m, 167510000000, (int64_t[]){bits(28.437192811), 167510000000, bits(167.4213)}, 3);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < 20000; i++) {
        m->seq = (uint64_t)i;
        total += event_json_alert(m, &rule, &spy, out, sizeof out);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double ns = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / 20000;
    print_message("alert: %.0f ns, %ld bytes\n", ns, total / 20000);
    assert_true(ns < 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halt),
        cmocka_unit_test(test_alert),
        cmocka_unit_test(test_alert_without_price),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_anomaly),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_price),
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_vwap),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests_name("event_json", tests, NULL, NULL);
}
