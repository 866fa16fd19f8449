/* A row of comma-separated text: where its fields end. Quotes as in RFC 4180, but no line breaks within them.
 *
 * The text is that of net/lines.h: LINES_PAD readable bytes behind it, every line ends with '\n'.
 */
#ifndef NET_CSV_H
#define NET_CSV_H

#include <stdio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { CSV_FIELDS_MAX = 128 };

struct csv_row {
    const char *text;
    uint32_t fields; /* over CSV_FIELDS_MAX: only those are kept */
    uint32_t length; /* with the line's end */
    uint32_t
        mark[CSV_FIELDS_MAX + 1]; /* field i is what stands between mark[i] and mark[i + 1]; mark[0] is -1 */
};

/* Bit i is set where text[i] == c, for 64 bytes. */
static inline uint64_t csv_mask(const char *text, char c)
{
#ifdef __AVX2__
    __m256i want = _mm256_set1_epi8(c);
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)text);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(text + 32));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, want)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, want)) << 32;
#else
    const uint64_t ones = 0x0101010101010101u, low7 = 0x7f7f7f7f7f7f7f7fu;
    uint64_t mask = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t x;
        memcpy(&x, text + 8 * i, 8);
        x ^= ones * (uint8_t)c;
        x = ~(((x & low7) + low7) | x | low7); /* 0x80 in each byte that was c */
        mask |= ((x >> 7) * 0x0102040810204080u >> 56) << (8 * i);
    }
    return mask;
#endif
}

/* A row of any length, with quotes or without. */
bool csv_take_any(char *text, struct csv_row *row);

/* The row that starts at `text`. A quoted one is unquoted in place. False if its quotes are no good (length
 * is set). */
static inline bool csv_take(char *text, struct csv_row *row)
{
    uint64_t lines = csv_mask(text, '\n');
    uint64_t within = lines ^ (lines - 1); /* up to the line's end */
    if (lines == 0 || csv_mask(text, '"') & within)
        return csv_take_any(text, row);
    uint64_t ends = (csv_mask(text, ',') | lines) & within; /* at most 64, as fields */
    uint32_t n = 0, last = (uint32_t)__builtin_ctzll(lines);
    row->text = text;
    row->length = last + 1;
    row->mark[0] = UINT32_MAX;
    do
        row->mark[++n] = (uint32_t)__builtin_ctzll(ends);
    while (ends &= ends - 1);
    row->fields = n;
    if (last > 0 && text[last - 1] == '\r')
        row->mark[n]--;
    return true;
}
_Static_assert(CSV_FIELDS_MAX >= 64, "the fields of 64 bytes fit");

/* Field i < min(fields, CSV_FIELDS_MAX). */
static inline const char *csv_field(const struct csv_row *row, uint32_t i, size_t *len)
{
    uint32_t start = row->mark[i] + 1;
    *len = row->mark[i + 1] - start;
    return row->text + start;
}

/* Is the line empty? */
static inline bool csv_blank(const struct csv_row *row)
{
    return row->fields == 1 && row->mark[1] == 0;
}

/* A field, in quotes where it holds what has a meaning in CSV (RFC 4180). */
void csv_write(FILE *out, const char *field);

#endif
