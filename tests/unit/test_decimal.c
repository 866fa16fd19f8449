#include "core/decimal.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

struct parse_case {
    const char *text;
    unsigned scale;
    enum decimal_result result;
    int64_t value;
};

static const struct parse_case parse_cases[] = {
    {"167.4200", 9, DECIMAL_OK, 167420000000},
    {"61685.99000000", 9, DECIMAL_OK, 61685990000000},
    {"61685.99000000", 2, DECIMAL_OK, 6168599},
    {"61685.99000000", 1, DECIMAL_PLACES, 0},
    {"0", 9, DECIMAL_OK, 0},
    {"-0", 9, DECIMAL_OK, 0},
    {"0.000", 0, DECIMAL_OK, 0},
    {"000167.5", 9, DECIMAL_OK, 167500000000},
    {"1", 9, DECIMAL_OK, 1000000000},
    {".5", 9, DECIMAL_OK, 500000000},
    {"5.", 9, DECIMAL_OK, 5000000000},
    {"0.000000001", 9, DECIMAL_OK, 1},
    {"0.0000000010", 9, DECIMAL_OK, 1},
    {"0.0000000001", 9, DECIMAL_PLACES, 0},
    {"0.5", 0, DECIMAL_PLACES, 0},
    {"100.0", 0, DECIMAL_OK, 100},
    {"0.00017000", 8, DECIMAL_OK, 17000},
    {"1e-5", 9, DECIMAL_OK, 10000},
    {"1E-5", 9, DECIMAL_OK, 10000},
    {"1e-10", 9, DECIMAL_PLACES, 0},
    {"10e-10", 9, DECIMAL_OK, 1},
    {"1.5e3", 0, DECIMAL_OK, 1500},
    {"1.5e+3", 0, DECIMAL_OK, 1500},
    {"1e9", 9, DECIMAL_OK, 1000000000000000000},
    {"1e10", 9, DECIMAL_OVERFLOW, 0},
    {"0e999999999999", 9, DECIMAL_OK, 0},
    {"1e999999999999", 9, DECIMAL_OVERFLOW, 0},
    {"1e-999999999999", 9, DECIMAL_PLACES, 0},
    {"9223372036.854775807", 9, DECIMAL_OK, INT64_MAX},
    {"9223372036.854775808", 9, DECIMAL_OVERFLOW, 0},
    {"-9223372036.854775808", 9, DECIMAL_OK, INT64_MIN},
    {"-9223372036.854775809", 9, DECIMAL_OVERFLOW, 0},
    {"18446744073709551615", 0, DECIMAL_OVERFLOW, 0},
    {"18446744073709551616", 0, DECIMAL_OVERFLOW, 0},
    {"99999999999999999999999999999999", 0, DECIMAL_OVERFLOW, 0},
    {"-3", 9, DECIMAL_OK, -3000000000},
    {"1381219217034000000", 0, DECIMAL_OK, 1381219217034000000},
    {"", 9, DECIMAL_EMPTY, 0},
    {"-", 9, DECIMAL_JUNK, 0},
    {".", 9, DECIMAL_JUNK, 0},
    {"+1", 9, DECIMAL_JUNK, 0},
    {"1.2.3", 9, DECIMAL_JUNK, 0},
    {"1,5", 9, DECIMAL_JUNK, 0},
    {" 1", 9, DECIMAL_JUNK, 0},
    {"1 ", 9, DECIMAL_JUNK, 0},
    {"1e", 9, DECIMAL_JUNK, 0},
    {"1e+", 9, DECIMAL_JUNK, 0},
    {"1e1.5", 9, DECIMAL_JUNK, 0},
    {"e5", 9, DECIMAL_JUNK, 0},
    {"--1", 9, DECIMAL_JUNK, 0},
    {"0x10", 9, DECIMAL_JUNK, 0},
    {"NaN", 9, DECIMAL_JUNK, 0},
    {"inf", 9, DECIMAL_JUNK, 0},
    {"12a45678", 9, DECIMAL_JUNK, 0},
    {"1234567/", 9, DECIMAL_JUNK, 0},
    {"1234567:", 9, DECIMAL_JUNK, 0},
    {"1234567\xb1", 9, DECIMAL_JUNK, 0},
    {"1234.567:", 9, DECIMAL_JUNK, 0},
};

/* The text in the midst of others, so that what stands behind it shows if it is taken for a part. */
static const char *padded(char buffer[128], const char *text)
{
    memset(buffer, '7', 128);
    memcpy(buffer + 16, text, strlen(text));
    return buffer + 16;
}

static void test_parse(void **state)
{
    (void)state;
    char buffer[128];
    for (size_t i = 0; i < COUNT(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        int64_t value = 0;
        uint64_t magnitude = 0, fast = 0;
        size_t len = strlen(c->text);
        if (decimal_parse(c->text, len, c->scale, &value) != c->result ||
            (c->result == DECIMAL_OK && value != c->value))
            fail_msg("'%s' at %u: %d, %ld", c->text, c->scale, decimal_parse(c->text, len, c->scale, &value),
                     value);
        enum decimal_result r = decimal_parse_unsigned(c->text, len, c->scale, &magnitude);
        if (c->result == DECIMAL_OK && c->value < 0)
            assert_int_equal(r, DECIMAL_NEGATIVE);
        else if (c->result == DECIMAL_OK || c->result == DECIMAL_JUNK || c->result == DECIMAL_EMPTY)
            assert_int_equal(r, c->result);
        if (decimal_parse_padded(padded(buffer, c->text), len, c->scale, &fast) != r || fast != magnitude)
            fail_msg("padded '%s' at %u: %lu, expected %lu", c->text, c->scale, fast, magnitude);
        magnitude = fast = 0;
        r = decimal_parse_unsigned(c->text, len, 0, &magnitude);
        if (decimal_parse_whole_padded(padded(buffer, c->text), len, &fast) != r)
            fail_msg("whole '%s'", c->text);
        if (r == DECIMAL_OK)
            assert_int_equal(fast, magnitude);
    }
}

static void test_unsigned_limits(void **state)
{
    (void)state;
    uint64_t v = 0;
    assert_int_equal(decimal_parse_unsigned("18446744073709551615", 20, 0, &v), DECIMAL_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(decimal_parse_unsigned("184467440737.09551615", 21, 8, &v), DECIMAL_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(decimal_parse_unsigned("184467440737.09551616", 21, 8, &v), DECIMAL_OVERFLOW);
    assert_int_equal(decimal_parse_unsigned("-1", 2, 0, &v), DECIMAL_NEGATIVE);
    assert_int_equal(decimal_parse_unsigned("-x", 2, 0, &v), DECIMAL_JUNK);
}

/* Each byte in each place of a text that takes the short way: it is refused exactly where the long way
 * refuses it. */
static void test_short_way_refuses_what_the_long_does(void **state)
{
    (void)state;
    static const char *const texts[] = {"1",        "12",       "167.42", "167.4200", "1234567.12345678",
                                        "12345678", "0.1234567"};
    char buffer[128], copy[32];
    for (size_t t = 0; t < COUNT(texts); t++)
        for (size_t at = 0; at < strlen(texts[t]); at++)
            for (int byte = 0; byte < 256; byte++) {
                uint64_t fast = 0, slow = 0;
                size_t len = strlen(texts[t]);
                memcpy(copy, texts[t], len);
                copy[at] = (char)byte;
                memset(buffer, '3', sizeof buffer);
                memcpy(buffer, copy, len);
                enum decimal_result r = decimal_parse_unsigned(copy, len, 9, &slow);
                if (decimal_parse_padded(buffer, len, 9, &fast) != r || fast != slow)
                    fail_msg("'%s' with byte %d at %zu", texts[t], byte, at);
                r = decimal_parse_unsigned(copy, len, 0, &slow);
                if (decimal_parse_whole_padded(buffer, len, &fast) != r || (r == DECIMAL_OK && fast != slow))
                    fail_msg("whole '%s' with byte %d at %zu", texts[t], byte, at);
            }
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *shortest, *four;
    } cases[] = {
        {167510000000, "167.51", "167.5100"},
        {1, "0.000000001", "0.000000001"},
        {-3000000000, "-3", "-3.0000"},
        {0, "0", "0.0000"},
        {-1, "-0.000000001", "-0.000000001"},
        {167123450000, "167.12345", "167.12345"},
        {1000000000000000000, "1000000000", "1000000000.0000"},
        {INT64_MAX, "9223372036.854775807", "9223372036.854775807"},
        {INT64_MIN, "-9223372036.854775808", "-9223372036.854775808"},
    };
    char out[DECIMAL_TEXT_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(decimal_format_e9(cases[i].value, out), strlen(cases[i].shortest));
        assert_string_equal(out, cases[i].shortest);
        assert_int_equal(decimal_format_places(cases[i].value, 4, out), strlen(cases[i].four));
        assert_string_equal(out, cases[i].four);
    }
    decimal_format(17000, 8, out);
    assert_string_equal(out, "0.00017");
    decimal_format(UINT64_MAX, 0, out);
    assert_string_equal(out, "18446744073709551615");
    decimal_format(UINT64_MAX, 18, out);
    assert_string_equal(out, "18.446744073709551615");
    decimal_format_int(INT64_MIN, out);
    assert_string_equal(out, "-9223372036854775808");
}

static void test_format_parses_back(void **state)
{
    (void)state;
    char out[DECIMAL_TEXT_MAX];
    for (int i = 0; i < 200000; i++) {
        int64_t v = (int64_t)(draw() >> (draw() & 63)), back = 0;
        v = draw() & 1 ? -v : v;
        size_t n = decimal_format_e9(v, out);
        assert_int_equal(n, strlen(out));
        assert_int_equal(decimal_parse(out, n, 9, &back), DECIMAL_OK);
        assert_true(back == v);
        n = decimal_format_places(v, 4, out);
        assert_int_equal(decimal_parse(out, n, 9, &back), DECIMAL_OK);
        assert_true(back == v);
        assert_true(n - (size_t)(strchr(out, '.') - out) >= 5);
    }
}

static void test_double(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {28.4, "28.4"},
        {-28.4, "-28.4"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {100, "100"},
        {123456789012345, "123456789012345"},
        {9007199254740993, "9007199254740992"},
        {1e15, "1000000000000000"},
        {9999999999999998, "9999999999999998"},
        {1e16, "1e16"},
        {1e22, "1e22"},
        {1e-4, "0.0001"},
        {0.00012345, "0.00012345"},
        {9.9e-5, "9.9e-5"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {0x1p-10, "0.0009765625"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {NAN, "null"},
    };
    char out[DECIMAL_TEXT_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(decimal_format_double(cases[i].value, out), strlen(cases[i].text));
        assert_string_equal(out, cases[i].text);
    }
}

/* Every text reads back as the same double, and none with a digit less does. */
static void test_double_round_trip(void **state)
{
    (void)state;
    char out[DECIMAL_TEXT_MAX], less[64];
    for (int i = 0; i < 200000; i++) {
        double d;
        uint64_t bits = draw();
        memcpy(&d, &bits, sizeof d);
        if (i & 1)
            d = (double)(int64_t)(bits >> (bits & 31)) / 1e6;
        if (i % 8 == 2)
            d = ldexp(1, (int)(bits % 66) - 13);
        if (!isfinite(d))
            continue;
        decimal_format_double(d, out);
        if (strtod(out, NULL) != d)
            fail_msg("%a became '%s'", d, out);
        if (fabs(d) < 1e-4 || fabs(d) >= 1e16)
            continue;
        int digits = 0;
        for (int precision = 16; precision >= 0; precision--) {
            snprintf(less, sizeof less, "%.*e", precision, d);
            if (strtod(less, NULL) == d)
                digits = precision + 1;
        }
        int shown = 0, zeros = 0;
        for (const char *p = out; *p; p++)
            if (*p >= '0' && *p <= '9' && (shown || *p != '0')) {
                shown++;
                zeros = *p == '0' ? zeros + 1 : 0;
            }
        if (shown - zeros > digits)
            fail_msg("%a is '%s', though %d digits say it", d, out, digits);
    }
}

static void test_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum decimal_result result;
        int64_t ns;
    } cases[] = {
        {"2013-10-08T13:45:27.122000000Z", DECIMAL_OK, 1381239927122000000},
        {"2013-10-08T13:45:27.122Z", DECIMAL_OK, 1381239927122000000},
        {"2013-10-08t13:45:27z", DECIMAL_OK, 1381239927000000000},
        {"2013-10-08 13:45:27Z", DECIMAL_OK, 1381239927000000000},
        {"2013-10-08T09:45:27-04:00", DECIMAL_OK, 1381239927000000000},
        {"2013-10-08T19:15:27+05:30", DECIMAL_OK, 1381239927000000000},
        {"2013-10-08", DECIMAL_OK, 1381190400000000000},
        {"1970-01-01T00:00:00Z", DECIMAL_OK, 0},
        {"2000-02-29", DECIMAL_OK, 951782400000000000},
        {"1381239927122000000", DECIMAL_OK, 1381239927122000000},
        {"0", DECIMAL_OK, 0},
        {"2262-04-11T23:47:16.854775807Z", DECIMAL_OK, INT64_MAX},
        {"2262-04-11T23:47:16.854775808Z", DECIMAL_OVERFLOW, 0},
        {"2262-04-12", DECIMAL_OVERFLOW, 0},
        {"1969-12-31T23:59:59Z", DECIMAL_OVERFLOW, 0},
        {"1970-01-01T00:00:00+01:00", DECIMAL_OVERFLOW, 0},
        {"9999-01-01", DECIMAL_OVERFLOW, 0},
        {"-1", DECIMAL_OVERFLOW, 0},
        {"9223372036854775808", DECIMAL_OVERFLOW, 0},
        {"", DECIMAL_EMPTY, 0},
        {"2013-02-29", DECIMAL_JUNK, 0},
        {"1900-02-29", DECIMAL_JUNK, 0},
        {"2262-02-29", DECIMAL_JUNK, 0},
        {"2013-13-01", DECIMAL_JUNK, 0},
        {"2013-00-01", DECIMAL_JUNK, 0},
        {"2013-10-32", DECIMAL_JUNK, 0},
        {"2013-10-00", DECIMAL_JUNK, 0},
        {"2013-10-08T", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45:27", DECIMAL_JUNK, 0},
        {"2013-10-08T24:00:00Z", DECIMAL_JUNK, 0},
        {"2013-10-08T13:60:00Z", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45:60Z", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45:27.Z", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45:27.1234567891Z", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45:27Zx", DECIMAL_JUNK, 0},
        {"2013-10-08T13:45:27+0500", DECIMAL_JUNK, 0},
        {"2013-10-8", DECIMAL_JUNK, 0},
        {"yesterday", DECIMAL_JUNK, 0},
        {"1.5", DECIMAL_PLACES, 0},
    };
    char out[DECIMAL_TEXT_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ns = -7;
        enum decimal_result r = decimal_parse_time(cases[i].text, strlen(cases[i].text), &ns);
        if (r != cases[i].result || (r == DECIMAL_OK && ns != cases[i].ns))
            fail_msg("'%s': %d, %ld", cases[i].text, r, ns);
    }
    assert_int_equal(decimal_format_time(1381239927122000000, out), 30);
    assert_string_equal(out, "2013-10-08T13:45:27.122000000Z");
    decimal_format_time(INT64_MAX, out);
    assert_string_equal(out, "2262-04-11T23:47:16.854775807Z");
}

/* Every day of 1970 to 2261, by counting. */
static void test_calendar(void **state)
{
    (void)state;
    static const unsigned length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char out[DECIMAL_TEXT_MAX], expected[32];
    int64_t count = 0, days, ns;
    for (unsigned y = 1970; y < 2262; y++)
        for (unsigned m = 1; m <= 12; m++) {
            bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            for (unsigned d = 1; d <= length[m - 1] + (m == 2 && leap); d++, count++) {
                assert_true(decimal_days(y, m, d, &days));
                assert_int_equal(days, count);
                decimal_format_time(days * 86400000000000, out);
                snprintf(expected, sizeof expected, "%04u-%02u-%02uT", y, m, d);
                assert_memory_equal(out, expected, 11);
                assert_int_equal(decimal_parse_time(out, 30, &ns), DECIMAL_OK);
                assert_int_equal(ns, days * 86400000000000);
            }
            assert_false(decimal_days(y, m, length[m - 1] + (m == 2 && leap) + 1, &days));
        }
}

/* A decimal comma of the user's locale changes nothing. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "ps_AF.UTF-8"};
    char out[DECIMAL_TEXT_MAX];
    int64_t v;
    const char *found = NULL;
    for (size_t i = 0; i < COUNT(names) && !found; i++)
        found = setlocale(LC_ALL, names[i]);
    if (!found)
        skip();
    decimal_format_double(1.25e-7, out);
    assert_string_equal(out, "1.25e-7");
    decimal_format_double(1.25, out);
    assert_string_equal(out, "1.25");
    assert_int_equal(decimal_parse("1.25", 4, 9, &v), DECIMAL_OK);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_unsigned_limits),
        cmocka_unit_test(test_short_way_refuses_what_the_long_does),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_parses_back),
        cmocka_unit_test(test_double),
        cmocka_unit_test(test_double_round_trip),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests_name("decimal", tests, NULL, NULL);
}
