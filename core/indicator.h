/* Indicators over bars: rows (name, parameters, outputs, convention), state, values.
 *
 * Named `rsi(14)`, `macd(12,26,9).signal`, `bb(20,2).upper`; `rsi_14` is an alias. A value is that after all
 * ended bars, or with the live one on top; it has none (NaN) before there is enough of them. The conventions
 * are those of the golden vectors (Stock.Indicators, TA-Lib, Tulip, as each row says).
 *
 * Determinism: + - x / sqrt only, in one order; sums of prices are exact integers where the convention
 * allows.
 */
#ifndef CORE_INDICATOR_H
#define CORE_INDICATOR_H

#include "core/bar.h"
#include "core/error.h"

/* Bars in a ring: bar i, first <= i < end, is ring[i & mask]. */
struct bar_series {
    const struct bar *ring;
    uint64_t mask, first, end;
};

static inline const struct bar *series_bar(const struct bar_series *b, uint64_t i)
{
    return &b->ring[i & b->mask];
}

/* What moves an indicator between two bars. */
enum indicator_moves { MOVES_CLOSE, MOVES_PRICE, MOVES_VOLUME }; /* live close; also high, low; also volume */

/* An indicator with its parameters and the output that is meant. Two are the same iff their fields are; those
 * that differ in `output` alone share state. */
struct indicator {
    uint8_t kind;        /* enum indicator_kind */
    uint8_t output;      /* of the row's outputs; 0 = the one without a name */
    uint16_t n[3];       /* periods in bars, 0 where it takes none */
    uint16_t hundredths; /* a multiplier such as the 2 of bb(20,2) */
};

enum { INDICATOR_PERIOD_MAX = 400, INDICATOR_NAME_MAX = 48 };

/* Parses text[0..len), a canonical name or an alias, without timeframe. 0; 1 if no indicator is named so; -1
 * with err (what was found, what was expected). */
int indicator_parse(const char *text, size_t len, struct indicator *x, struct error *err);
/* The canonical name, as in an alert's metadata, without timeframe. */
void indicator_name(const struct indicator *x, char out[INDICATOR_NAME_MAX]);

/* Words of state, as small as the parameters allow; zeros are the state before the first bar. */
unsigned indicator_words(const struct indicator *x);
enum indicator_moves indicator_moves(const struct indicator *x);
/* True for a value in units of price (else a plain number or percent). */
bool indicator_is_price(const struct indicator *x);
/* Bars needed for a first value (the live one counts). */
unsigned indicator_warmup(const struct indicator *x);

/* Takes bar b->end - 1 into the state, which has all before it. scale: decimal places of volumes. */
void indicator_push(const struct indicator *x, int64_t *w, const struct bar_series *b, unsigned scale);

/* The value after the bars of b, with `live` (NULL: none) as one more. In price units (not 1e-9); NaN: none.
 */
double indicator_value(const struct indicator *x, const int64_t *w, const struct bar_series *b,
                       const struct bar *live, unsigned scale);

#endif
