#include "core/decimal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define POWERS(X)                                                                                            \
    X(1)                                                                                                     \
    X(10)                                                                                                    \
    X(100)                                                                                                   \
    X(1000)                                                                                                  \
    X(10000)                                                                                                 \
    X(100000) X(1000000) X(10000000) X(100000000) X(1000000000) X(10000000000) X(100000000000)               \
        X(1000000000000) X(10000000000000) X(100000000000000) X(1000000000000000) X(10000000000000000)       \
            X(100000000000000000) X(1000000000000000000) X(10000000000000000000)
/* clang-format on */
#define X(power) power##u,
const uint64_t decimal_power[20] = {POWERS(X)};
#undef X

static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243"
    "4445464748495051525354555657585960616263646566676869707172737475767778798081828384858687"
    "888990919293949596979899";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number as value x 10^exponent; value has neither leading nor trailing zeros. */
struct digits {
    bool negative;
    bool overflow; /* value does not fit 64 bits */
    uint64_t value;
    unsigned n; /* digits of value, 0 for 0 */
    long exponent;
};

static void push_digit(struct digits *d, unsigned digit)
{
    d->overflow |= __builtin_mul_overflow(d->value, 10, &d->value);
    d->overflow |= __builtin_add_overflow(d->value, digit, &d->value);
    d->n++;
}

static enum decimal_result take_exponent(const char *p, const char *end, long *exponent)
{
    const long far = 1000000; /* further than any text of digits can move back */
    bool down = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end)
        return DECIMAL_JUNK;
    long e = 0;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return DECIMAL_JUNK;
        e = e * 10 + (*p - '0');
        if (e > far)
            e = far;
    }
    *exponent += down ? -e : e;
    return DECIMAL_OK;
}

static enum decimal_result take_digits(const char *p, const char *end, struct digits *d)
{
    *d = (struct digits){0};
    if (p == end)
        return DECIMAL_EMPTY;
    if (*p == '-') {
        d->negative = true;
        p++;
    }
    bool point = false, some = false;
    long zeros = 0; /* since the last digit that is not 0 */
    for (; p < end && (is_digit(*p) || (*p == '.' && !point)); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        some = true;
        d->exponent -= point;
        if (*p == '0') {
            zeros += d->n > 0;
            continue;
        }
        for (; zeros > 0; zeros--)
            push_digit(d, 0);
        push_digit(d, (unsigned)(*p - '0'));
    }
    if (!some)
        return DECIMAL_JUNK;
    d->exponent += zeros;
    if (p == end)
        return DECIMAL_OK;
    return *p == 'e' || *p == 'E' ? take_exponent(p + 1, end, &d->exponent) : DECIMAL_JUNK;
}

static enum decimal_result parse(const char *text, size_t len, unsigned scale, bool *negative,
                                 uint64_t *value)
{
    struct digits d;
    assert(scale <= DECIMAL_SCALE_MAX);
    enum decimal_result r = take_digits(text, text + len, &d);
    if (r != DECIMAL_OK)
        return r;
    *negative = d.negative && d.n > 0;
    *value = d.value;
    long up = d.exponent + (long)scale;
    if (d.n == 0)
        return DECIMAL_OK;
    if (up + (long)d.n > 20)
        return DECIMAL_OVERFLOW;
    if (up < 0)
        return DECIMAL_PLACES;
    if (d.overflow || __builtin_mul_overflow(d.value, decimal_power[up], value))
        return DECIMAL_OVERFLOW;
    return DECIMAL_OK;
}

enum decimal_result decimal_parse(const char *text, size_t len, unsigned scale, int64_t *value)
{
    bool negative;
    uint64_t magnitude;
    enum decimal_result r = parse(text, len, scale, &negative, &magnitude);
    if (r != DECIMAL_OK)
        return r;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return DECIMAL_OVERFLOW;
    *value = (int64_t)(negative ? -magnitude : magnitude);
    return DECIMAL_OK;
}

enum decimal_result decimal_parse_unsigned(const char *text, size_t len, unsigned scale, uint64_t *value)
{
    bool negative = false;
    uint64_t magnitude;
    enum decimal_result r = parse(text, len, scale, &negative, &magnitude);
    if (r == DECIMAL_EMPTY || r == DECIMAL_JUNK)
        return r;
    if (negative)
        return DECIMAL_NEGATIVE;
    if (r == DECIMAL_OK)
        *value = magnitude;
    return r;
}

/* Howard Hinnant's civil calendar: eras of 400 years, years from March. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    unsigned of_era = (unsigned)(year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
    static const unsigned char length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= length[month - 1] + (unsigned)(leap && month == 2);
}

bool decimal_days(unsigned year, unsigned month, unsigned day, int64_t *days)
{
    if (year < 1970 || year > 2261 || !is_date(year, month, day))
        return false;
    *days = days_of(year, month, day);
    return true;
}

/* Exactly n digits at *p, and then `after` (0 = nothing to check). */
static bool take_number(const char **p, const char *end, unsigned n, char after, unsigned *value)
{
    *value = 0;
    for (; n > 0; n--, (*p)++) {
        if (*p == end || !is_digit(**p))
            return false;
        *value = *value * 10 + (unsigned)(**p - '0');
    }
    if (after == 0)
        return true;
    return *p < end && *(*p)++ == after;
}

/* HH:MM:SS[.decimals](Z|+HH:MM|-HH:MM) as ns of the UTC day, which may be one before or after. */
static bool take_clock(const char *p, const char *end, int64_t *ns)
{
    unsigned hour, minute, second, nanos = 0, zone_hour, zone_minute;
    if (!take_number(&p, end, 2, ':', &hour) || !take_number(&p, end, 2, ':', &minute) ||
        !take_number(&p, end, 2, 0, &second) || hour > 23 || minute > 59 || second > 59)
        return false;
    if (p < end && *p == '.') {
        unsigned unit = 1000000000;
        for (p++; p < end && is_digit(*p) && unit > 1; p++)
            nanos += (unsigned)(*p - '0') * (unit /= 10);
        if (unit == 1000000000)
            return false;
    }
    int64_t seconds = (int64_t)hour * 3600 + minute * 60 + second;
    if (p == end)
        return false;
    char sign = *p++;
    if (sign == '+' || sign == '-') {
        if (!take_number(&p, end, 2, ':', &zone_hour) || !take_number(&p, end, 2, 0, &zone_minute) ||
            zone_hour > 23 || zone_minute > 59)
            return false;
        int64_t offset = (int64_t)zone_hour * 3600 + zone_minute * 60;
        seconds += sign == '+' ? -offset : offset;
    } else if (sign != 'Z' && sign != 'z') {
        return false;
    }
    *ns = seconds * 1000000000 + nanos;
    return p == end;
}

enum decimal_result decimal_parse_time(const char *text, size_t len, int64_t *ns)
{
    const char *p = text, *end = text + len;
    unsigned year, month, day;
    int64_t days, of_day = 0;
    if (len < 5 || text[4] != '-') {
        enum decimal_result r = decimal_parse(text, len, 0, ns);
        return r == DECIMAL_OK && *ns < 0 ? DECIMAL_OVERFLOW : r;
    }
    if (!take_number(&p, end, 4, '-', &year) || !take_number(&p, end, 2, '-', &month) ||
        !take_number(&p, end, 2, 0, &day))
        return DECIMAL_JUNK;
    if (p < end && *p != 'T' && *p != 't' && *p != ' ')
        return DECIMAL_JUNK;
    if (p < end && !take_clock(p + 1, end, &of_day))
        return DECIMAL_JUNK;
    if (!is_date(year, month, day))
        return DECIMAL_JUNK;
    if (year < 1970 || year > 2262)
        return DECIMAL_OVERFLOW;
    days = days_of(year, month, day);
    if (__builtin_mul_overflow(days, INT64_C(86400000000000), &days) ||
        __builtin_add_overflow(days, of_day, ns) || *ns < 0)
        return DECIMAL_OVERFLOW;
    return DECIMAL_OK;
}

static unsigned digit_count(uint64_t v)
{
    unsigned n = 1;
    while (n < 20 && v >= decimal_power[n])
        n++;
    return n;
}

/* Exactly the n lowest digits, at out[0..n). */
static void put_digits(char *out, uint64_t v, unsigned n)
{
    while (n >= 2) {
        memcpy(out + (n -= 2), pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (n)
        *out = (char)('0' + v % 10);
}

/* value / 10^scale with all `scale` decimals (at most 24). */
static size_t put_scaled(char *out, bool negative, uint64_t value, unsigned scale)
{
    char *p = out;
    unsigned n = digit_count(value);
    if (negative)
        *p++ = '-';
    if (scale == 0) {
        put_digits(p, value, n);
        p += n;
    } else if (n > scale) {
        put_digits(p, value / decimal_power[scale], n - scale);
        p += n - scale;
        *p++ = '.';
        put_digits(p, value % decimal_power[scale], scale);
        p += scale;
    } else {
        memset(p, '0', scale - n + 2);
        p[1] = '.';
        p += scale - n + 2;
        put_digits(p, value, n);
        p += n;
    }
    *p = 0;
    return (size_t)(p - out);
}

/* Drops trailing zeros of the decimals, but keeps `least` decimals. */
static size_t put_trimmed(char *out, bool negative, uint64_t value, unsigned scale, unsigned least)
{
    while (scale >= least + 4 && value % 10000 == 0) {
        value /= 10000;
        scale -= 4;
    }
    while (scale > least && value % 10 == 0) {
        value /= 10;
        scale--;
    }
    return put_scaled(out, negative, value, scale);
}

static uint64_t magnitude(int64_t v)
{
    return v < 0 ? -(uint64_t)v : (uint64_t)v;
}

size_t decimal_format_e9(int64_t value_e9, char *out)
{
    return put_trimmed(out, value_e9 < 0, magnitude(value_e9), 9, 0);
}

size_t decimal_format(uint64_t value, unsigned scale, char *out)
{
    assert(scale <= DECIMAL_SCALE_MAX);
    return put_trimmed(out, false, value, scale, 0);
}

size_t decimal_format_places(int64_t value_e9, unsigned places, char *out)
{
    assert(places <= 9);
    return put_trimmed(out, value_e9 < 0, magnitude(value_e9), 9, places);
}

size_t decimal_format_int(int64_t value, char *out)
{
    return put_scaled(out, value < 0, magnitude(value), 0);
}

typedef unsigned __int128 u128;

/* The shortest decimal that lies in the interval of reals which round to d, and of these the nearest to d:
 * exact in 128 bits, as 4 m 10^k < 2^128 for d >= 1e-4. Returns the digits, which count 10^-*scale. */
static uint64_t shortest_digits(double d, unsigned *scale)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    uint64_t m = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    unsigned k = 0, shift = (unsigned)(2 + 1075 - (int)(bits >> 52)); /* d = 4 m / 2^shift */
    for (double t = d; t < 1e16; t *= 10)
        k++; /* 17 or 18 digits: an interval then holds an integer */
    u128 power = (u128)decimal_power[k / 2] * decimal_power[k - k / 2];
    u128 v = 4 * m * power, odd = m & 1; /* an end rounds to d only if m is even */
    u128 low = v - (m == UINT64_C(1) << 52 ? 1 : 2) * power + odd, high = v + 2 * power - odd;
    uint64_t least = (uint64_t)((low + (((u128)1 << shift) - 1)) >> shift), most = (uint64_t)(high >> shift);
    unsigned dropped = 0;
    while ((least + 9) / 10 <= most / 10) {
        least = (least + 9) / 10;
        most /= 10;
        dropped++;
    }
    u128 unit = (u128)decimal_power[dropped] << shift;
    uint64_t nearest = (uint64_t)(v / unit);
    u128 rest = v - nearest * unit;
    nearest += rest > unit - rest || (rest == unit - rest && (nearest & 1));
    nearest = nearest < least ? least : nearest > most ? most : nearest;
    while (dropped > k) { /* an integer with zeros at its end */
        nearest *= 10;
        dropped--;
    }
    *scale = k - dropped;
    return nearest;
}

/* With an exponent, by the C library: its point may be any text, so only its digits are taken. */
static size_t put_scientific(char *out, double d)
{
    char text[64], digit[24];
    int precision = d < 0x1p-1022 ? 0 : 14;
    do
        snprintf(text, sizeof text, "%.*e", precision, d);
    while (strtod(text, NULL) != d && precision++ < 16);
    char *mark = strchr(text, 'e');
    unsigned n = 0;
    for (const char *p = text; p < mark && n < sizeof digit; p++)
        if (is_digit(*p))
            digit[n++] = *p;
    while (n > 1 && digit[n - 1] == '0')
        n--;
    char *p = out;
    *p++ = digit[0];
    if (n > 1) {
        *p++ = '.';
        memcpy(p, digit + 1, n - 1);
        p += n - 1;
    }
    *p++ = 'e';
    return (size_t)(p - out) + decimal_format_int(atoi(mark + 1), p);
}

size_t decimal_format_double(double value, char *out)
{
    if (!isfinite(value)) {
        memcpy(out, "null", 5);
        return 4;
    }
    if (value == 0) {
        memcpy(out, "0", 2);
        return 1;
    }
    double d = fabs(value);
    if (d < 1e-4 || d >= 1e16) {
        *out = '-';
        return value < 0 ? 1 + put_scientific(out + 1, d) : put_scientific(out, d);
    }
    unsigned scale;
    uint64_t digits = shortest_digits(d, &scale);
    return put_scaled(out, value < 0, digits, scale);
}

size_t decimal_format_time(int64_t ns, char *out)
{
    assert(ns >= 0);
    uint64_t seconds = (uint64_t)ns / 1000000000u;
    unsigned nanos = (unsigned)((uint64_t)ns % 1000000000u), of_day = (unsigned)(seconds % 86400);
    unsigned day = (unsigned)(seconds / 86400) + 719468; /* since 0000-03-01 */
    unsigned era = day / 146097, of_era = day % 146097;
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153; /* from March */
    unsigned of_month = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    memcpy(out, "0000-00-00T00:00:00.000000000Z", 31);
    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, of_month, 2);
    put_digits(out + 11, of_day / 3600, 2);
    put_digits(out + 14, of_day / 60 % 60, 2);
    put_digits(out + 17, of_day % 60, 2);
    put_digits(out + 20, nanos, 9);
    return 30;
}
