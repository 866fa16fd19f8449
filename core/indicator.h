/* Indicators over bars: rows (name, parameters, outputs, convention), state, values.
 *
 * Named `rsi(14)`, `macd(12,26,9).signal`, `bb(20,2).upper`; `rsi_14` is an alias. A value is that after all
 * ended bars, or with the live one on top; it has none (NaN) before there is enough of them, nor where its
 * formula divides by 0 (unless its row says otherwise). The conventions are those of the golden vectors
 * (Stock.Indicators, TA-Lib, Tulip, Lean, as each row says).
 *
 * Determinism: + - x / sqrt only, in one order; sums of prices are exact integers where the convention
 * allows.
 */
#ifndef CORE_INDICATOR_H
#define CORE_INDICATOR_H

#include "core/bar.h"
#include "core/error.h"

/* One row each. Columns: enum suffix; name; parameters in order (n: a period in bars, m: a multiplier), their
 * defaults (a multiplier in hundredths; 0: must be given) and the smallest period; outputs, the first is
 * meant where none is named ("value" is never written), those behind '|' are no prices; what the first ones
 * are; what it reads of a bar (open, high, low, close, volume); bars for a first value (n: periods, o: the
 * output); its calculation; convention and source. SI is Stock.Indicators (Skender), the default convention.
 */
#define INDICATORS(X)                                                                                        \
    X(SMA, "sma", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], sma, "mean of the last n closes")              \
    X(EMA, "ema", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], ema,                                           \
      "exponential mean of closes, factor 2/(n+1), seeded with the mean of the first n (SI, TA-Lib)")        \
    X(EMA_FIRST, "ema_first", "n", 0, 0, 0, 1, "value", PRICE, "c", 1, ema_first,                            \
      "exponential mean of closes, factor 2/(n+1), seeded with the first close (Tulip)")                     \
    X(SMMA, "smma", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], smma,                                        \
      "Wilder's mean of closes, factor 1/n, seeded with the mean of the first n (SI)")                       \
    X(WMA, "wma", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], linear,                                        \
      "mean of the last n closes with weights 1 to n, the newest heaviest (SI, TA-Lib)")                     \
    X(HMA, "hma", "n", 0, 0, 0, 2, "value", PRICE, "c", n[0] + root(n[0]) - 1, hma,                          \
      "Hull's mean: wma(sqrt n) of 2 wma(n/2) - wma(n), both rounded down (SI)")                             \
    X(TRIMA, "trima", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], trima,                                     \
      "mean of the last n closes with triangular weights, heaviest in the middle (TA-Lib)")                  \
    X(KAMA, "kama", "nnn", 10, 2, 30, 1, "value", PRICE, "c", n[0], kama,                                    \
      "Kaufman's adaptive mean: efficiency over n bars, factors 2/(fast+1) to 2/(slow+1); starts as the "    \
      "n-th close (SI)")                                                                                     \
    X(MACD, "macd", "nnn", 12, 26, 9, 1, "value signal hist", PRICE, "c",                                    \
      larger(n[0], n[1]) + (o ? n[2] - 1 : 0), macd,                                                         \
      "ema(fast) - ema(slow); signal: its exponential mean, seeded with the mean of the first; hist: the "   \
      "difference (SI)")                                                                                     \
    X(MACD_LATE, "macd_late", "nnn", 12, 26, 9, 1, "value signal hist", PRICE, "c",                          \
      larger(n[0], n[1]) + (o ? n[2] - 1 : 0), macd,                                                         \
      "macd whose fast mean is seeded when the slow one is, with the closes just before (TA-Lib)")           \
    X(MACD_FIRST, "macd_first", "nnn", 12, 26, 9, 1, "value signal hist", PRICE, "c", n[1], macd_first,      \
      "macd of means that are seeded with the first close, the signal with the first macd; 12 and 26 bars "  \
      "have the factors 0.15 and 0.075 (Tulip)")                                                             \
    X(MACD_FIX, "macd_fix", "n", 9, 0, 0, 1, "value signal hist", PRICE, "c", 26 + (o ? n[0] - 1 : 0), macd, \
      "macd_late of 12 and 26 bars with the factors 0.15 and 0.075; the parameter is the signal's "          \
      "(TA-Lib's "                                                                                           \
      "MACDFIX)")                                                                                            \
    X(RSI, "rsi", "n", 14, 0, 0, 1, "value", NUMBER, "c", n[0] + 1, rsi,                                     \
      "Wilder's RSI, seeded with the mean of the first n changes; 100 without a loss (SI, TA-Lib)")          \
    X(RSI_SMA, "rsi_sma", "n", 14, 0, 0, 1, "value", NUMBER, "c", n[0] + 1, cmo,                             \
      "Cutler's RSI: plain sums of the last n gains and losses; 100 without a loss (Lean's RSI with simple " \
      "means)")                                                                                              \
    X(ROC, "roc", "n", 0, 0, 0, 1, "value", PERCENT, "c", n[0] + 1, change,                                  \
      "close against that n bars before, in percent of it (SI)")                                             \
    X(MOM, "mom", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0] + 1, change,                                    \
      "close - close n bars before (SI)")                                                                    \
    X(CMO, "cmo", "n", 14, 0, 0, 1, "value", NUMBER, "c", n[0] + 1, cmo,                                     \
      "Chande: 100 (gains - losses) / (gains + losses) of the last n changes; 0 without any (SI, Tulip)")    \
    X(CMO_WILDER, "cmo_wilder", "n", 14, 0, 0, 1, "value", NUMBER, "c", n[0] + 1, rsi,                       \
      "cmo of Wilder's means of gains and losses (TA-Lib, Lean)")                                            \
    X(BB, "bb", "nm", 20, 200, 0, 2, "middle upper lower | width pctb zscore", PRICE, "c", n[0], bb,         \
      "Bollinger: sma(n) and m population deviations; width: upper - lower in parts of middle; pctb: where " \
      "close is between lower (0) and upper (1) (SI)")                                                       \
    X(STDDEV, "stddev", "n", 20, 0, 0, 1, "value", PRICE, "c", n[0], deviation,                              \
      "population standard deviation of the last n closes (SI, TA-Lib)")                                     \
    X(VAR, "var", "n", 20, 0, 0, 1, "value", NUMBER, "c", n[0], deviation,                                   \
      "population variance of the last n closes (TA-Lib)")                                                   \
    X(ZSCORE, "zscore", "n", 20, 0, 0, 2, "value", NUMBER, "c", n[0], deviation,                             \
      "(close - sma(n)) / stddev(n) (SI)")                                                                   \
    X(LINREG_SLOPE, "linreg_slope", "n", 0, 0, 0, 2, "value", PRICE, "c", n[0], linear,                      \
      "slope per bar of the least-squares line through the last n closes (SI)")                              \
    X(LINREG, "linreg", "n", 0, 0, 0, 2, "value", PRICE, "c", n[0], linear,                                  \
      "that line at the newest bar (TA-Lib, Tulip)")                                                         \
    X(LINREG_INTERCEPT, "linreg_intercept", "n", 0, 0, 0, 2, "value", PRICE, "c", n[0], linear,              \
      "that line at the oldest of the n bars (TA-Lib, Tulip)")                                               \
    X(TSF, "tsf", "n", 0, 0, 0, 2, "value", PRICE, "c", n[0], linear, "that line at the next bar (TA-Lib)")  \
    X(MIN, "min", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], closes, "lowest of the last n closes")         \
    X(MAX, "max", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], closes, "highest of the last n closes")        \
    X(MIDPOINT, "midpoint", "n", 0, 0, 0, 1, "value", PRICE, "c", n[0], closes, "(min(n) + max(n)) / 2")     \
    X(MIDPRICE, "midprice", "n", 0, 0, 0, 1, "value", PRICE, "hl", n[0], range,                              \
      "middle between highest high and lowest low of the last n bars")                                       \
    X(WILLR, "willr", "n", 14, 0, 0, 1, "value", NUMBER, "hlc", n[0], range,                                 \
      "Williams %R, -100 to 0: close under the highest high, in percent of the range of n bars; -100 "       \
      "without a range (SI)")                                                                                \
    X(STOCH, "stoch", "nnn", 14, 3, 3, 1, "k d j", NUMBER, "hlc", n[0] + n[1] - 1 + (o ? n[2] - 1 : 0),      \
      stoch,                                                                                                 \
      "slow stochastic: k: mean over the second parameter of where close is in the range of n bars, 0 to "   \
      "100 (0 without a range); d: mean of k over the third; j: 3k - 2d (SI)")                               \
    X(DONCHIAN, "donchian", "n", 20, 0, 0, 1, "middle upper lower | width", PRICE, "hl", n[0] + 1, donchian, \
      "highest high and lowest low of the n bars before this one, their middle, their distance in parts of " \
      "it (SI)")                                                                                             \
    X(DONCHIAN_INCL, "donchian_incl", "n", 20, 0, 0, 1, "middle upper lower | width", PRICE, "hl", n[0],     \
      donchian_incl, "donchian of the last n bars, this one included (Lean)")                                \
    X(AROON, "aroon", "n", 25, 0, 0, 1, "value up down", NUMBER, "hl", n[0] + 1, aroon,                      \
      "up: 100 for a new high of the last n+1 bars, 0 for one n bars ago, of equal ones the oldest; down: "  \
      "of lows; bare: up - down (SI)")                                                                       \
    X(AROON_NEWEST, "aroon_newest", "n", 25, 0, 0, 1, "value up down", NUMBER, "hl", n[0] + 1, aroon,        \
      "aroon with the newest of equal highs and lows (TA-Lib, Tulip, Lean)")                                 \
    X(TR, "tr", "", 0, 0, 0, 1, "value", PRICE, "hlc", 2, true_range,                                        \
      "true range: of high, low and the close before; from the second bar on (SI)")                          \
    X(ATR, "atr", "n", 14, 0, 0, 1, "value", PRICE, "hlc", n[0] + 1, true_range,                             \
      "Wilder's mean of tr, seeded with the mean of the first n (SI, TA-Lib)")                               \
    X(ATRP, "atrp", "n", 14, 0, 0, 1, "value", PERCENT, "hlc", n[0] + 1, true_range,                         \
      "atr(n) in percent of close (SI; TA-Lib's NATR)")                                                      \
    X(ATR_HL, "atr_hl", "n", 14, 0, 0, 1, "value", PRICE, "hlc", n[0], true_range,                           \
      "atr with the first bar's high - low as its first tr (Tulip)")                                         \
    X(ATRP_HL, "atrp_hl", "n", 14, 0, 0, 1, "value", PERCENT, "hlc", n[0], true_range,                       \
      "atr_hl(n) in percent of close (Tulip's NATR)")                                                        \
    X(ATR_SMA, "atr_sma", "n", 14, 0, 0, 1, "value", PRICE, "hlc", n[0], atr_sma,                            \
      "plain mean of the last n tr, the first bar's being high - low (Lean)")                                \
    X(KELTNER, "keltner", "nmn", 20, 200, 10, 1, "middle upper lower | width", PRICE, "hlc",                 \
      larger(n[0], n[1] + 1), keltner,                                                                       \
      "ema(n) and m times atr(the third); width: upper - lower in parts of middle (SI)")                     \
    X(KELTNER_SMA, "keltner_sma", "nm", 20, 150, 0, 1, "middle upper lower | width", PRICE, "hlc", n[0],     \
      keltner_sma, "mean of (high + low + close) / 3 over n bars and m times atr_sma(n) (Lean)")             \
    X(SUPERTREND, "supertrend", "nm", 10, 300, 0, 1, "value upper lower", PRICE, "hlc", n[0] + 1,            \
      supertrend,                                                                                            \
      "trailing band: middle of the bar and m times atr(n); upper has a value while it falls, lower while "  \
      "it rises (SI)")                                                                                       \
    X(SUPERTREND_HL, "supertrend_hl", "nm", 10, 300, 0, 1, "value upper lower", PRICE, "hlc", 2,             \
      supertrend_hl,                                                                                         \
      "supertrend of atr_hl(n), up to the n-th bar of the mean so far; from the first close outside the "    \
      "bands on (Lean)")                                                                                     \
    X(PSAR, "psar", "mm", 2, 20, 0, 1, "value", PRICE, "hl", 3, psar,                                        \
      "Wilder's parabolic SAR: step and maximum of the acceleration; no value up to the first reversal "     \
      "(SI)")                                                                                                \
    X(PSAR_MID, "psar_mid", "mm", 2, 20, 0, 1, "value", PRICE, "hl", 2, psar,                                \
      "psar from the second bar on, that begins by rising if high + low of that bar is not below the "       \
      "first's; a reversal is from the extreme with the bar's own (Tulip)")                                  \
    X(PSAR_DM, "psar_dm", "mm", 2, 20, 0, 1, "value", PRICE, "hl", 2, psar_next,                             \
      "parabolic SAR as of the bar before, that a bar which reaches it reverses, never within the last two " \
      "bars; from the second bar on, begins by falling if the low fell more than the high rose (TA-Lib)")    \
    X(PSAR_CLOSE, "psar_close", "mm", 2, 20, 0, 1, "value", PRICE, "hlc", 2, psar_next,                      \
      "psar_dm that begins by falling if the second close is below the first; it moves from the third bar "  \
      "on (Lean)")                                                                                           \
    X(ADX, "adx", "n", 14, 0, 0, 1, "value pdi mdi dx adxr", NUMBER, "hlc",                                  \
      o == 0   ? 2 * n[0]                                                                                    \
      : o == 4 ? 3 * n[0]                                                                                    \
               : n[0] + 1,                                                                                   \
      adx,                                                                                                   \
      "Wilder's ADX: sums seeded with the first n, then less 1/n each bar; pdi, mdi, dx; adxr: mean of adx " \
      "and that n bars before (SI)")                                                                         \
    X(ADX_EARLY, "adx_early", "n", 14, 0, 0, 2, "value pdi mdi dx adxr", NUMBER, "hlc",                      \
      o == 0   ? 2 * n[0] - 1                                                                                \
      : o == 4 ? 3 * n[0] - 2                                                                                \
               : n[0],                                                                                       \
      adx,                                                                                                   \
      "adx whose sums are seeded with the first n - 1 changes; a bar that goes as far up as down counts "    \
      "for both; adxr: with adx n - 1 bars before (Tulip)")                                                  \
    X(ADX_LATE, "adx_late", "n", 14, 0, 0, 2, "value pdi mdi dx adxr", NUMBER, "hlc",                        \
      o == 0   ? 2 * n[0]                                                                                    \
      : o == 4 ? 3 * n[0] - 1                                                                                \
               : n[0] + 1,                                                                                   \
      adx,                                                                                                   \
      "adx whose sums are seeded with the first n - 1 changes, with values from the n-th on; adxr: with "    \
      "adx "                                                                                                 \
      "n - 1 bars before (TA-Lib)")                                                                          \
    X(VORTEX, "vortex", "n", 14, 0, 0, 1, "plus minus", NUMBER, "hlc", n[0] + 1, vortex,                     \
      "sums of |high - low before| (plus) and |low - high before| (minus) over n bars in parts of those of " \
      "tr (SI)")                                                                                             \
    X(CCI, "cci", "n", 20, 0, 0, 2, "value", NUMBER, "hlc", n[0], cci,                                       \
      "(high + low + close) / 3 against its mean over n bars, in 0.015 mean absolute deviations (SI)")       \
    X(ULTOSC, "ultosc", "nnn", 7, 14, 28, 1, "value", NUMBER, "hlc", larger(larger(n[0], n[1]), n[2]) + 1,   \
      ultosc,                                                                                                \
      "Williams' ultimate oscillator: buying pressure in parts of tr over three periods, weights 4, 2, 1 "   \
      "(SI, TA-Lib)")                                                                                        \
    X(BOP, "bop", "n", 14, 0, 0, 1, "value", NUMBER, "ohlc", n[0], bop,                                      \
      "balance of power: mean over n bars of (close - open) / (high - low), 0 without a range (SI; n = 1: "  \
      "TA-Lib, Tulip)")                                                                                      \
    X(IBS, "ibs", "", 0, 0, 0, 1, "value", NUMBER, "hlc", 1, ibs,                                            \
      "(close - low) / (high - low) of the bar, 0 without a range (Lean)")                                   \
    X(MFI, "mfi", "n", 14, 0, 0, 1, "value", NUMBER, "hlcv", n[0] + 1, mfi,                                  \
      "money flow index: share of rising (high + low + close) / 3 x volume in the last n changes, 0 to "     \
      "100; 100 without a fall (SI)")                                                                        \
    X(CMF, "cmf", "n", 20, 0, 0, 1, "value", NUMBER, "hlcv", n[0], cmf,                                      \
      "Chaikin money flow: volume x ((close - low) - (high - close)) / (high - low) in parts of volume, "    \
      "over n bars (SI)")                                                                                    \
    X(ADL, "adl", "", 0, 0, 0, 1, "value", NUMBER, "hlcv", 1, adl,                                           \
      "accumulation/distribution line: sum of cmf's numerator (SI, Tulip's ad)")                             \
    X(OBV, "obv", "", 0, 0, 0, 1, "value", NUMBER, "cv", 1, obv,                                             \
      "on-balance volume: volumes with the sign of the close's change; 0 at the first bar (SI)")             \
    X(OBV_FIRST, "obv_first", "", 0, 0, 0, 1, "value", NUMBER, "cv", 1, obv,                                 \
      "obv that begins with the first bar's volume (TA-Lib, Lean)")                                          \
    X(VWAP_TYPICAL, "vwap_typical", "", 0, 0, 0, 1, "value", PRICE, "hlcv", 1, vwap_bars,                    \
      "(high + low + close) / 3 of all bars, weighted by volume (SI's VWAP)")                                \
    X(VWAP_OHLC, "vwap_ohlc", "n", 0, 0, 0, 1, "value", PRICE, "ohlcv", n[0], vwap_bars,                     \
      "(open + high + low + close) / 4 of the last n bars, weighted by volume (Lean's VWAP)")                \
    X(VWMA, "vwma", "n", 0, 0, 0, 1, "value", PRICE, "cv", n[0], vwap_bars,                                  \
      "mean of the last n closes, weighted by volume (SI, Tulip)")                                           \
    X(VOLUME_AVG, "volume_avg", "n", 0, 0, 0, 1, "value", NUMBER, "v", n[0], volume_avg,                     \
      "mean volume of the last n bars")

#define X(kind, name, form, d0, d1, d2, least, outputs, unit, reads, warmup, calc, help) INDICATOR_##kind,
enum indicator_kind { INDICATORS(X) INDICATOR_KIND_COUNT };
#undef X

enum indicator_unit { INDICATOR_PRICE, INDICATOR_PERCENT, INDICATOR_NUMBER };

struct indicator_row {
    const char *name, *form;
    uint16_t standard[3]; /* defaults */
    uint16_t least;
    const char *outputs;
    enum indicator_unit unit;
    const char *reads;
    const char *help;
};
extern const struct indicator_row indicator_rows[INDICATOR_KIND_COUNT];

/* Bars one after the other, `stride` bytes apart: bar i, first <= i < end, where `zero` is that at `bar`. */
struct bar_series {
    const struct bar *bar;
    size_t stride;
    uint64_t zero, first, end;
};

static inline const struct bar *series_bar(const struct bar_series *b, uint64_t i)
{
    return (const struct bar *)(const void *)((const char *)b->bar + (i - b->zero) * b->stride);
}

/* What moves an indicator between two bars. */
enum indicator_moves { MOVES_CLOSE, MOVES_PRICE, MOVES_VOLUME }; /* live close; also high, low; also volume */

/* An indicator with its parameters and the output that is meant. Two are the same iff their fields are; those
 * that differ in `output` alone share state. */
struct indicator {
    uint8_t kind;        /* enum indicator_kind */
    uint8_t output;      /* of the row's outputs; 0 = the one without a name */
    uint16_t n[3];       /* periods in bars, 0 where it takes none; psar's maximum, in hundredths */
    uint16_t hundredths; /* a multiplier such as the 2 of bb(20,2) */
};

enum {
    INDICATOR_PERIOD_MAX = 400,
    INDICATOR_HUNDREDTHS_MAX = 10000,
    INDICATOR_NAME_MAX = 48,
    INDICATOR_OUTPUTS_MAX = 6,
    INDICATOR_STATE_MAX = 24, /* words, without those that grow with its periods */
};

/* Copies a name without the blanks beside its brackets and commas: "macd( 12, 26,9 )" to "macd(12,26,9)". The
 * length; `room` or more if it does not fit. */
size_t indicator_close_up(const char *text, size_t len, char *out, size_t room);
/* Parses text[0..len), a canonical name or an alias, without timeframe. 0; 1 if no indicator is named so; -1
 * with err (what was found, what was expected). */
int indicator_parse(const char *text, size_t len, struct indicator *x, struct error *err);
/* The canonical name, as in an alert's metadata, without timeframe. */
void indicator_name(const struct indicator *x, char out[INDICATOR_NAME_MAX]);

/* Output o of a row as it is written behind the '.', "" for the one that is not; NULL past the last. *len:
 * its length. */
const char *indicator_output(const struct indicator_row *row, unsigned o, size_t *len);

/* Words of state, as small as the parameters allow; zeros are the state before the first bar. */
unsigned indicator_words(const struct indicator *x);
enum indicator_moves indicator_moves(const struct indicator *x);
/* True for a value in units of price (else a plain number or percent). */
bool indicator_is_price(const struct indicator *x);
/* Bars needed for a first value (the live one counts); psar's first reversal may come later. */
unsigned indicator_warmup(const struct indicator *x);

/* Takes bar b->end - 1 into the state, which has all before it. scale: decimal places of volumes. */
void indicator_push(const struct indicator *x, int64_t *w, const struct bar_series *b, unsigned scale);
/* … bars from .. b->end - 1, one after the other. */
void indicator_push_all(const struct indicator *x, int64_t *w, const struct bar_series *b, uint64_t from,
                        unsigned scale);

/* The value after the bars of b, with `live` (NULL: none) as one more. In price units (not 1e-9); NaN: none.
 */
double indicator_value(const struct indicator *x, const int64_t *w, const struct bar_series *b,
                       const struct bar *live, unsigned scale);

#endif
