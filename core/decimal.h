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

/* The fast path of ingest, inline. Eight bytes that are digit values, the first in the lowest byte, as a
 * number: pairs are joined, then fours, then eights. */
static inline uint64_t decimal_join8(uint64_t x)
{
    x = x * 10 + (x >> 8);
    return ((x & 0x000000ff000000ffu) * (100 + (UINT64_C(1000000) << 32)) +
            ((x >> 16) & 0x000000ff000000ffu) * (1 + (UINT64_C(10000) << 32))) >>
           32;
}

/* Not 0 if a byte is over 9. */
static inline uint64_t decimal_over9(uint64_t x)
{
    return (x | (x + 0x7676767676767676u)) & 0x8080808080808080u;
}

/* text[0..n), n from 1 to 8, as digit values, 0 for what is missing in front. Reads 8 bytes. */
static inline uint64_t decimal_load8(const char *text, size_t n)
{
    uint64_t x;
    memcpy(&x, text, 8);
    return (x ^ 0x3030303030303030u) << (64 - 8 * n);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digits are taken from little-endian words");

extern const uint64_t decimal_power[20]; /* 10^i */

/* As decimal_parse_unsigned, where DECIMAL_PAD bytes behind the text can be read (whatever they are). Short
 * texts ("167.4200", "61685.99000000", "210") take the short way, any other the long one. */
static inline enum decimal_result decimal_parse_padded(const char *text, size_t len, unsigned scale,
                                                       uint64_t *value)
{
    if (len - 1 >= 16 || scale > 9)
        return decimal_parse_unsigned(text, len, scale, value);
    uint64_t head;
    memcpy(&head, text, 8);
    head ^= 0x3030303030303030u;
    /* 0x80 where a byte is '.', exact up to the first */
    uint64_t points = head ^ 0x1e1e1e1e1e1e1e1eu;
    points = (points - 0x0101010101010101u) & ~points & 0x8080808080808080u;
    size_t point = points ? (size_t)__builtin_ctzll(points) / 8 : 8;
    if (len <= 8) {
        size_t digits = len, places = 0;
        if (point < len) { /* close the gap */
            uint64_t before = (UINT64_C(1) << (8 * point)) - 1;
            head = (head & before) | (head >> 8 & ~before);
            places = len - 1 - point;
            digits = len - 1;
        }
        if (digits > 0 && places <= scale) {
            head <<= 64 - 8 * digits;
            if (decimal_over9(head) == 0) {
                *value = decimal_join8(head) * decimal_power[scale - places];
                return DECIMAL_OK;
            }
        }
    } else if (point - 1 < 7 && len - point - 2 < 8 && len - point - 1 <= scale) {
        size_t places = len - point - 1;
        uint64_t whole = head << (64 - 8 * point), part = decimal_load8(text + point + 1, places);
        if (decimal_over9(whole) == 0 && decimal_over9(part) == 0) {
            *value = decimal_join8(whole) * decimal_power[scale] +
                     decimal_join8(part) * decimal_power[scale - places];
            return DECIMAL_OK;
        }
    }
    return decimal_parse_unsigned(text, len, scale, value);
}

/* A whole number, same padding: an id, a time. */
static inline enum decimal_result decimal_parse_whole_padded(const char *text, size_t len, uint64_t *value)
{
    size_t tail = (len - 1) % 8 + 1; /* digits of the last, perhaps shorter, eight */
    if (len - 1 >= 19)
        return decimal_parse_unsigned(text, len, 0, value);
    uint64_t x = decimal_load8(text + len - tail, tail), bad = decimal_over9(x), v = decimal_join8(x);
    if (len > 8) {
        x = decimal_load8(text, 8);
        bad |= decimal_over9(x);
        if (len <= 16) {
            v += decimal_join8(x) * decimal_power[tail];
        } else {
            uint64_t y = decimal_load8(text + 8, 8);
            bad |= decimal_over9(y);
            v += (decimal_join8(x) * 100000000u + decimal_join8(y)) * decimal_power[tail];
        }
    }
    *value = v;
    return bad == 0 ? DECIMAL_OK : decimal_parse_unsigned(text, len, 0, value);
}

#endif
