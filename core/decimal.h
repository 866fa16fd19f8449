/* Decimal text to fixed point and back, times to text and back. Exact: a text that cannot be represented
 * exactly is refused, never rounded. No allocation, no locale.
 *
 * Accepted numbers: [-] digits [. digits] [e|E [+|-] digits], with a digit before or behind the point; zeros
 * beyond the scale are fine ("61685.99000000" at any scale from 2). Nothing around it.
 */
#ifndef CORE_DECIMAL_H
#define CORE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum decimal_result {
    DECIMAL_OK = 0,
    DECIMAL_EMPTY = -1,
    DECIMAL_JUNK = -2,     /* no decimal number */
    DECIMAL_NEGATIVE = -3, /* below 0 where only unsigned fits */
    DECIMAL_PLACES = -4,   /* digits that are not 0 beyond the scale */
    DECIMAL_OVERFLOW = -5,
};

enum {
    DECIMAL_SCALE_MAX = 18,
    DECIMAL_TEXT_MAX = 48, /* room for any text that this file writes, with its NUL */
    DECIMAL_PAD = 16,      /* bytes that must be readable behind the text of the *_padded functions */
};

/* text[0..len) times 10^scale (scale <= DECIMAL_SCALE_MAX). */
enum decimal_result decimal_parse(const char *text, size_t len, unsigned scale, int64_t *value)
    __attribute__((warn_unused_result));
enum decimal_result decimal_parse_unsigned(const char *text, size_t len, unsigned scale, uint64_t *value)
    __attribute__((warn_unused_result));

/* A time for people's use: nanoseconds since 1970 as an integer, an RFC 3339 time (with up to 9 decimals, Z
 * or an offset), or a date alone (its midnight, UTC). DECIMAL_OVERFLOW outside 1970 to 2262-04-11. */
enum decimal_result decimal_parse_time(const char *text, size_t len, int64_t *ns)
    __attribute__((warn_unused_result));

/* Days since 1970-01-01 of a date in the Gregorian calendar; false if there is no such day in 1970 to 2261.
 */
bool decimal_days(unsigned year, unsigned month, unsigned day, int64_t *days);

/* The functions that write return the length; the text ends with NUL. out has DECIMAL_TEXT_MAX bytes. */

/* The shortest exact decimal: "167.51", "0.000000001", "-3". */
size_t decimal_format_e9(int64_t value_e9, char *out);
size_t decimal_format(uint64_t value, unsigned scale, char *out);
/* Exact, with at least `places` (0 to 9) decimals, more where digits would be lost: "167.5100". */
size_t decimal_format_places(int64_t value_e9, unsigned places, char *out);
size_t decimal_format_int(int64_t value, char *out);
/* A JSON number that strtod reads back as the same double, the shortest there is (a power of two written with
 * exponent may have one digit more); without exponent for 1e-4 <= |x| < 1e16. -0 is "0"; what is not finite
 * is "null". */
size_t decimal_format_double(double value, char *out);
/* "2013-10-08T13:45:27.122000000Z", ns from 0 to INT64_MAX. */
size_t decimal_format_time(int64_t ns, char *out);

/* The fast path of ingest, inline: the digits text[0..n), n from 1 to 8, as a number; false if one is no
 * digit. Reads 8 bytes. Digits are joined in pairs, pairs in fours, fours in eights: 3 multiplications for up
 * to 8 digits. */
static inline bool decimal_digits8(const char *text, size_t n, uint64_t *value)
{
    uint64_t x;
    memcpy(&x, text, 8);
    x = (x ^ 0x3030303030303030u) << (64 - 8 * n); /* what is missing in front is 0 */
    *value = x * 10 + (x >> 8);
    *value = ((*value & 0x000000ff000000ffu) * (100 + (UINT64_C(1000000) << 32)) +
              ((*value >> 16) & 0x000000ff000000ffu) * (1 + (UINT64_C(10000) << 32))) >>
             32;
    return ((x | (x + 0x7676767676767676u)) & 0x8080808080808080u) == 0;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digits are taken from little-endian words");

extern const uint64_t decimal_power[20]; /* 10^i */

/* As decimal_parse_unsigned, where DECIMAL_PAD bytes behind the text can be read (whatever they are). Up to 7
 * digits, a point, up to 8 decimals take the short way, any other text the long one. */
static inline enum decimal_result decimal_parse_padded(const char *text, size_t len, unsigned scale,
                                                       uint64_t *value)
{
    uint64_t head, whole, part;
    memcpy(&head, text, 8);
    head ^= 0x2e2e2e2e2e2e2e2eu; /* '.' becomes 0 */
    /* 0x80 in each byte that is 0, exact up to the first of them */
    uint64_t points = (head - 0x0101010101010101u) & ~head & 0x8080808080808080u;
    size_t point = points ? (size_t)__builtin_ctzll(points) / 8 : 8;
    if (point < len) {
        size_t places = len - point - 1;
        if (point - 1 < 7 && places - 1 < 8 && places <= scale && decimal_digits8(text, point, &whole) &&
            decimal_digits8(text + point + 1, places, &part) && scale <= 9) {
            *value = whole * decimal_power[scale] + part * decimal_power[scale - places];
            return DECIMAL_OK;
        }
    } else if (len - 1 < 8 && scale <= 9 && decimal_digits8(text, len, &whole)) {
        *value = whole * decimal_power[scale];
        return DECIMAL_OK;
    }
    return decimal_parse_unsigned(text, len, scale, value);
}

/* A time in ns: digits alone, within int64. Same padding. */
static inline enum decimal_result decimal_parse_ns_padded(const char *text, size_t len, int64_t *ns)
{
    uint64_t high, middle, low;
    if (len == 19 && text[0] < '9' && decimal_digits8(text, 8, &high) &&
        decimal_digits8(text + 8, 8, &middle) && decimal_digits8(text + 16, 3, &low)) {
        *ns = (int64_t)(high * 100000000000u + middle * 1000 + low);
        return DECIMAL_OK;
    }
    return decimal_parse(text, len, 0, ns);
}

#endif
