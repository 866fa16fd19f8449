/* The metric catalogue: names, parameters, units, inputs, conventions. One row each (metric.c) feeds the rule
 * parser, the engine, `ringtape metrics` and the docs.
 *
 * A metric is named `name`, `name_5m` (clock minutes: the live one and the 4 before it), `name(14)@1m` (bars:
 * the ended ones and the live one). A metric without enough history has no value: it is unknown.
 */
#ifndef CORE_METRIC_H
#define CORE_METRIC_H

#include "core/error.h"
#include "core/message.h"

enum metric_unit {
    UNIT_PRICE,  /* int64 at 1e-9, compared exactly */
    UNIT_NUMBER, /* a double: volumes, counts, indicator values that are no exact price */
    UNIT_PERCENT,
    UNIT_VWAP, /* a price as a double (a quotient of sums) */
};

/* What a metric takes after its name. */
enum metric_form {
    FORM_PLAIN,   /* price */
    FORM_WINDOW,  /* volume_5m: 1 to 240 clock minutes */
    FORM_PERIOD,  /* rsi(14), rsi(14)@1m, rsi_14, rsi_14_1m: 1 to 400 bars */
    FORM_SESSION, /* vwap(session) */
};

/* What changes a metric between two minutes: so the engine looks at it only then. */
enum metric_input {
    INPUT_BAR = 0,   /* nothing: only ended bars, the minute's roll or the day's switch */
    INPUT_PRICE = 1, /* the last price, the live bar's close */
    INPUT_TRADE = 2, /* every trade: volumes, counts, sums */
    INPUT_QUOTE = 4,
};

/* enum suffix, name, form, unit, inputs, words of state per symbol, what it is (with its convention) */
#define METRICS(X)                                                                                           \
    X(PRICE, "price", PLAIN, PRICE, INPUT_PRICE, 0, "last trade's price")                                    \
    X(BID, "bid", PLAIN, PRICE, INPUT_QUOTE, 0, "best bid")                                                  \
    X(ASK, "ask", PLAIN, PRICE, INPUT_QUOTE, 0, "best ask")                                                  \
    X(SPREAD, "spread", PLAIN, PRICE, INPUT_QUOTE, 0, "ask - bid; negative when crossed")                    \
    X(VOLUME_LIVE, "volume_live", PLAIN, NUMBER, INPUT_TRADE, 0, "volume of the live minute")                \
    X(VWAP_LIVE, "vwap_live", PLAIN, VWAP, INPUT_TRADE, 0, "VWAP of the live minute")                        \
    X(TRADE_COUNT_LIVE, "trade_count_live", PLAIN, NUMBER, INPUT_TRADE, 0, "trades of the live minute")      \
    X(OPEN, "open", PLAIN, PRICE, INPUT_BAR, 0, "open of the last ended 1-minute bar")                       \
    X(HIGH, "high", PLAIN, PRICE, INPUT_BAR, 0, "high of the last ended 1-minute bar")                       \
    X(LOW, "low", PLAIN, PRICE, INPUT_BAR, 0, "low of the last ended 1-minute bar")                          \
    X(CLOSE, "close", PLAIN, PRICE, INPUT_BAR, 0, "close of the last ended 1-minute bar")                    \
    X(VOLUME, "volume", PLAIN, NUMBER, INPUT_BAR, 0, "volume of the last ended 1-minute bar")                \
    X(VWAP, "vwap", PLAIN, VWAP, INPUT_BAR, 0, "VWAP of the last ended 1-minute bar")                        \
    X(CHANGE, "change", WINDOW, PRICE, INPUT_PRICE, 1,                                                       \
      "price - close of the last bar that starts before the window of N clock minutes")                      \
    X(CHANGE_PCT, "change_pct", WINDOW, PERCENT, INPUT_PRICE, 1, "change_Nm in percent of that close")       \
    X(VOLUME_WINDOW, "volume", WINDOW, NUMBER, INPUT_TRADE, 1,                                               \
      "volume of N clock minutes; 0 without trades once the symbol has traded")                              \
    X(TRADE_COUNT_WINDOW, "trade_count", WINDOW, NUMBER, INPUT_TRADE, 1, "trades of N clock minutes")        \
    X(VOLUME_DAILY, "volume_daily", PLAIN, NUMBER, INPUT_TRADE, 0,                                           \
      "volume of the trading day, all sessions")                                                             \
    X(SMA, "sma", PERIOD, VWAP, INPUT_PRICE, 4, "mean of the last N closes")                                 \
    X(EMA, "ema", PERIOD, VWAP, INPUT_PRICE, 1,                                                              \
      "exponential mean of closes, 2/(N+1), seeded with the SMA of the first N, first value at bar N-1")     \
    X(RSI, "rsi", PERIOD, NUMBER, INPUT_PRICE, 3,                                                            \
      "Wilder's RSI of closes, seeded with the mean of the first N changes; 100 without a loss")             \
    X(VWAP_SESSION, "vwap", SESSION, VWAP, INPUT_TRADE, 0, "VWAP since the session's start")                 \
    X(CHANGE_FROM_CLOSE, "change_from_close", PLAIN, PRICE, INPUT_PRICE, 0,                                  \
      "price - close of the trading day before")                                                             \
    X(CHANGE_FROM_CLOSE_PCT, "change_from_close_pct", PLAIN, PERCENT, INPUT_PRICE, 0,                        \
      "change_from_close in percent of that close")                                                          \
    X(GAP_FROM_CLOSE, "gap_from_close", PLAIN, PRICE, INPUT_TRADE, 0,                                        \
      "the market session's first price - close of the trading day before")                                  \
    X(GAP_FROM_CLOSE_PCT, "gap_from_close_pct", PLAIN, PERCENT, INPUT_TRADE, 0,                              \
      "gap_from_close in percent of that close")                                                             \
    X(SESSION, "session", PLAIN, NUMBER, INPUT_BAR, 0,                                                       \
      "\"closed\", \"premarket\", \"market\" or \"postmarket\"")                                             \
    X(DIFFERENCE, "-", PLAIN, NUMBER, INPUT_PRICE | INPUT_TRADE | INPUT_QUOTE, 0,                            \
      "left - right of a comparison of two metrics; not for rules to name")

#define X(name, text, form, unit, inputs, words, help) METRIC_##name,
enum metric_kind { METRICS(X) METRIC_KIND_COUNT };
#undef X

enum session_kind {
    SESSION_CLOSED,
    SESSION_PREMARKET,
    SESSION_MARKET,
    SESSION_POSTMARKET,
    SESSION_KIND_COUNT
};
extern const char *const session_names[SESSION_KIND_COUNT];

/* One metric with its parameter: `volume_5m` is {METRIC_VOLUME_WINDOW, 5}. Two are the same iff their fields
 * are. */
struct metric {
    uint16_t kind;        /* enum metric_kind */
    uint16_t period;      /* minutes or bars, 0 where it takes none */
    uint16_t left, right; /* DIFFERENCE: the nodes, given by the engine */
};

struct metric_row {
    const char *name;
    const char *help;
    enum metric_form form;
    enum metric_unit unit;
    unsigned inputs;
    unsigned state_words;
};
extern const struct metric_row metric_rows[METRIC_KIND_COUNT];

enum { METRIC_WINDOW_MAX = 240, METRIC_PERIOD_MAX = 400, METRIC_NAME_MAX = 48 };

/* Parses text[0..len), a canonical name or an alias. 0, or -1 with err (what was found, the nearest known
 * name). */
int metric_parse(const char *text, size_t len, struct metric *m, struct error *err);

/* The canonical name, as in an alert's metadata: `rsi(14)@1m`, `change_pct_5m`, `vwap(session)`. */
void metric_name(const struct metric *m, char out[METRIC_NAME_MAX]);

static inline enum metric_unit metric_unit(const struct metric *m)
{
    return metric_rows[m->kind].unit;
}

/* Values are compared and indexed as 64-bit keys that keep the order: a price as it is, a double by its bits.
 */
#define KEY_UNKNOWN INT64_MIN

static inline int64_t key_of_double(double d)
{
    d += 0.0; /* -0 -> 0 */
    int64_t i;
    memcpy(&i, &d, sizeof i);
    return i < 0 ? i ^ INT64_MAX : i;
}

static inline double key_to_double(int64_t key)
{
    int64_t i = key < 0 ? key ^ INT64_MAX : key;
    double d;
    memcpy(&d, &i, sizeof d);
    return d;
}

#endif
