#include "core/rule_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metric.h"

#define PRICE_MAX (INT64_MAX - 1)

/* floor(c x 1e9) of a decimal number that strtod has taken, within int64; *exact says whether nothing was cut
 * off. */
static int64_t price_floor(const char *s, size_t len, bool *exact)
{
    const __int128 full = (__int128)1 << 120;
    bool negative = *s == '-', sticky = false, point = false;
    __int128 v = 0;
    long power = 9;
    for (size_t i = *s == '-' || *s == '+'; i < len; i++) {
        if (s[i] == '.') {
            point = true;
        } else if (s[i] == 'e' || s[i] == 'E') {
            long exponent = strtol(s + i + 1, NULL, 10); /* no text of digits moves the point by a thousand */
            power += exponent > 1000 ? 1000 : exponent < -1000 ? -1000 : exponent;
            break;
        } else if (v < full) {
            v = v * 10 + (s[i] - '0');
            power -= point;
        } else {
            sticky |= s[i] != '0';
            power += !point;
        }
    }
    for (; power > 0 && v < full; power--)
        v *= 10;
    for (; power < 0 && v; power++) {
        sticky |= v % 10 != 0;
        v /= 10;
    }
    *exact = !sticky;
    if (v > PRICE_MAX) {
        *exact = false;
        v = PRICE_MAX;
    }
    return negative ? (int64_t)(-v - !*exact) : (int64_t)v;
}

enum rule_number_result rule_number_parse(const char *text, size_t len, struct rule_number *out)
{
    char copy[RULE_NUMBER_TEXT_MAX + 1], *end;
    if (len > RULE_NUMBER_TEXT_MAX)
        return RULE_NUMBER_LONG;
    memcpy(copy, text, len);
    copy[len] = 0;
    out->d = strtod(copy, &end);
    /* strtod would take hexadecimal, "inf" and "nan" */
    if (*end || end == copy || strspn(copy, "0123456789.eE+-") != len)
        return RULE_NUMBER_NONE;
    if (!isfinite(out->d))
        return RULE_NUMBER_HUGE;
    out->floor_e9 = price_floor(copy, len, &out->exact);
    return RULE_NUMBER_OK;
}

struct rule_number rule_number_negated(struct rule_number a)
{
    return (struct rule_number){.d = -a.d, .floor_e9 = -a.floor_e9 - !a.exact, .exact = a.exact};
}

/* The result at 1e-9, if it has no more decimals than that. */
static bool fold_exact(char op, int64_t a, int64_t b, int64_t *out)
{
    const __int128 unit = 1000000000;
    __int128 r;
    if (op == '+' || op == '-') {
        r = op == '+' ? (__int128)a + b : (__int128)a - b;
    } else {
        __int128 over = op == '*' ? (__int128)a * b : (__int128)a * unit, under = op == '*' ? unit : b;
        if (under == 0 || over % under)
            return false;
        r = over / under;
    }
    *out = (int64_t)r;
    return r <= PRICE_MAX && r >= -PRICE_MAX;
}

bool rule_number_fold(char op, struct rule_number a, struct rule_number b, struct rule_number *out)
{
    if (a.exact && b.exact && fold_exact(op, a.floor_e9, b.floor_e9, &out->floor_e9)) {
        out->exact = true;
        out->d = (double)out->floor_e9 / 1e9;
        return true;
    }
    char text[40];
    out->d = op == '+' ? a.d + b.d : op == '-' ? a.d - b.d : op == '*' ? a.d * b.d : a.d / b.d;
    if (!isfinite(out->d))
        return false;
    int n = snprintf(text, sizeof text, "%.17g", out->d);
    out->floor_e9 = price_floor(text, (size_t)n, &out->exact);
    return true;
}

void rule_number_bounds(struct rule_number a, bool price, int64_t *lo, int64_t *hi)
{
    *lo = price ? a.floor_e9 + !a.exact : key_of_double(a.d);
    *hi = price ? a.floor_e9 + 1 : *lo + 1;
}
