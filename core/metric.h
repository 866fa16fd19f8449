/* The metric catalogue: names, parameters, units, inputs, conventions. One row each, here and for indicators
 * in core/indicator.h, feeds the rule parser, the engine, `ringtape metrics` and the docs.
 *
 * A metric is named `name`, `name_5m` (clock minutes: the live one and the 4 before it), `vwap(5m)` (the
 * same), `name(14)@5m` (an indicator over bars of a timeframe: the ended ones and the live one). A metric
 * without enough history has no value: it is unknown.
 */
#ifndef CORE_METRIC_H
#define CORE_METRIC_H

#include "core/error.h"
#include "core/indicator.h"
#include "core/message.h"

enum metric_unit {
    UNIT_PRICE,  /* int64 at 1e-9, compared exactly */
    UNIT_NUMBER, /* a double: volumes, counts, indicator values that are no exact price */
    UNIT_PERCENT,
    UNIT_VWAP, /* a price as a double (a quotient of sums) */
    UNIT_TEXT, /* the number of a text, see core/attribute.h: == and != with one alone */
};

/* What a metric takes after its name. */
enum metric_form {
    FORM_PLAIN,     /* price */
    FORM_WINDOW,    /* volume_5m: 1 to 240 clock minutes */
    FORM_TIMEFRAME, /* relative_volume_5m: bars of that length */
    FORM_SPAN,      /* vwap(5m), vwap(1h): the same */
    FORM_INDICATOR, /* rsi(14)@5m, rsi_14_5m: see core/indicator.h */
    FORM_SESSION,   /* vwap(session) */
};

/* What changes a metric between two minutes: so the engine looks at it only then. */
enum metric_input {
    INPUT_BAR = 0,   /* nothing: only ended bars, the minute's roll, the day's switch or an ATTR */
    INPUT_PRICE = 1, /* the last price, the live bar's close */
    INPUT_TRADE = 2, /* every trade: volumes, counts, sums */
    INPUT_QUOTE = 4,
    INPUT_TIME = 8, /* every message, and every clock while a session is open */
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
    X(VOLUME_AVG, "volume_avg", SPAN, NUMBER, INPUT_TRADE, 1, "volume of N clock minutes, per minute")       \
    X(DOLLAR_VOLUME_WINDOW, "dollar_volume", WINDOW, NUMBER, INPUT_TRADE, 2,                                 \
      "sum of price x size of N clock minutes")                                                              \
    X(VWAP_WINDOW, "vwap", SPAN, VWAP, INPUT_TRADE, 3, "VWAP of N clock minutes")                            \
    X(VWAP_DIST, "vwap_dist", WINDOW, VWAP, INPUT_TRADE, 3, "price - VWAP of N clock minutes")               \
    X(VWAP_DIST_PCT, "vwap_dist_pct", WINDOW, PERCENT, INPUT_TRADE, 3,                                       \
      "vwap_dist_Nm in percent of the VWAP")                                                                 \
    X(RANGE, "range", WINDOW, PRICE, INPUT_PRICE, 2, "highest high - lowest low of N clock minutes")         \
    X(RANGE_PCT, "range_pct", WINDOW, PERCENT, INPUT_PRICE, 2, "range_Nm in percent of its low")             \
    X(POSITION_IN_RANGE, "position_in_range", WINDOW, PERCENT, INPUT_PRICE, 2,                               \
      "where the price is in range_Nm: 0 at its low, 100 at its high; unknown where they are the same")      \
    X(VOLUME_DAILY, "volume_daily", PLAIN, NUMBER, INPUT_TRADE, 0,                                           \
      "volume of the trading day, all sessions")                                                             \
    X(DOLLAR_VOLUME_DAILY, "dollar_volume_daily", PLAIN, NUMBER, INPUT_TRADE, 0,                             \
      "sum of price x size of the trading day, all sessions")                                                \
    X(PREMARKET_VOLUME, "premarket_volume", PLAIN, NUMBER, INPUT_TRADE, 0, "volume of today's premarket")    \
    X(POSTMARKET_VOLUME, "postmarket_volume", PLAIN, NUMBER, INPUT_TRADE, 0, "volume of today's postmarket") \
    X(RANGE_TODAY, "range_today", PLAIN, PRICE, INPUT_PRICE, 0, "today's high - low, all sessions")          \
    X(RANGE_PCT_TODAY, "range_pct_today", PLAIN, PERCENT, INPUT_PRICE, 0,                                    \
      "range_today in percent of the low")                                                                   \
    X(POSITION_TODAY, "position_in_range_today", PLAIN, PERCENT, INPUT_PRICE, 0,                             \
      "where the price is in range_today: 0 at its low, 100 at its high")                                    \
    X(HIGH_TODAY, "high_today", PLAIN, PRICE, INPUT_PRICE, 0, "today's high, all sessions")                  \
    X(LOW_TODAY, "low_today", PLAIN, PRICE, INPUT_PRICE, 0, "today's low, all sessions")                     \
    X(CHANGE_FROM_OPEN, "change_from_open", PLAIN, PRICE, INPUT_PRICE, 0,                                    \
      "price - the first price of today's market session")                                                   \
    X(CHANGE_FROM_OPEN_PCT, "change_from_open_pct", PLAIN, PERCENT, INPUT_PRICE, 0,                          \
      "change_from_open in percent of that price")                                                           \
    X(RELATIVE_VOLUME, "relative_volume", TIMEFRAME, PERCENT, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 3,     \
      "100 x (live + (1 - elapsed / length) x mean) / mean: volume of the live bar of N minutes, forecast "  \
      "to "                                                                                                  \
      "its end, to the mean of the last 10 bars (or as many as there are) of the same kind of session")      \
    X(SECONDS_SINCE_TRADE, "seconds_since_trade", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,  \
      "seconds since the last trade, while a session is open")                                               \
    X(MINUTES_IN_MARKET, "minutes_in_market", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,      \
      "whole minutes since the market session's start, while it lasts")                                      \
    X(SIZE, "size", PLAIN, NUMBER, INPUT_TRADE, 0, "size of the last trade")                                 \
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
    X(SECTOR, "sector", PLAIN, TEXT, INPUT_BAR, 0, "sector, from the file of attributes")                    \
    X(EXCHANGE, "exchange", PLAIN, TEXT, INPUT_BAR, 0, "exchange, from the file of attributes")              \
    X(FLOAT, "float", PLAIN, NUMBER, INPUT_BAR, 0, "shares that are traded, from the file of attributes")    \
    X(MARKET_CAP, "market_cap", PLAIN, NUMBER, INPUT_BAR, 0,                                                 \
      "market capitalisation, from the file of attributes")                                                  \
    X(SHARES_SHORT, "shares_short", PLAIN, NUMBER, INPUT_BAR, 0,                                             \
      "shares sold short, from the file of attributes")                                                      \
    X(NEWS_AGE, "news_age", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,                        \
      "minutes since news_at of the file of attributes, while a session is open; unknown before it")         \
    X(EARNINGS_IN, "earnings_in", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,                  \
      "days until earnings_at of the file of attributes, while a session is open; unknown after it")         \
    X(INDICATOR, "", INDICATOR, NUMBER, INPUT_PRICE, 0, "an indicator over bars of a timeframe")             \
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

/* One metric with its parameters: `volume_5m` is {METRIC_VOLUME_WINDOW, 5}. Two are the same iff all bytes
 * are.
 */
struct metric {
    uint16_t kind;      /* enum metric_kind */
    uint16_t period;    /* minutes, 0 where it takes none */
    uint16_t timeframe; /* INDICATOR: minutes of a bar */
    struct indicator indicator;
};
_Static_assert(sizeof(struct metric) == 16, "no padding: metrics are compared as bytes");

static inline bool metric_same(const struct metric *a, const struct metric *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Bars of these lengths, in minutes, begin with their session and end with it. */
#define METRIC_TIMEFRAMES                                                                                    \
    {                                                                                                        \
        1, 2, 5, 10, 15, 30, 60, 120, 240                                                                    \
    }

struct metric_row {
    const char *name;
    const char *help;
    enum metric_form form;
    enum metric_unit unit;
    unsigned inputs;
    unsigned state_words;
};
extern const struct metric_row metric_rows[METRIC_KIND_COUNT];

enum {
    METRIC_WINDOW_MAX = 240,
    METRIC_NAME_MAX = INDICATOR_NAME_MAX + 8,
};

/* Parses text[0..len), a canonical name or an alias. 0, or -1 with err (what was found, the nearest known
 * name). */
int metric_parse(const char *text, size_t len, struct metric *m, struct error *err);

/* The canonical name, as in an alert's metadata: `rsi(14)@1m`, `change_pct_5m`, `vwap(session)`. */
void metric_name(const struct metric *m, char out[METRIC_NAME_MAX]);

static inline enum metric_unit metric_unit(const struct metric *m)
{
    if (m->kind == METRIC_INDICATOR)
        return indicator_is_price(&m->indicator)                             ? UNIT_VWAP
               : indicator_rows[m->indicator.kind].unit == INDICATOR_PERCENT ? UNIT_PERCENT
                                                                             : UNIT_NUMBER;
    return metric_rows[m->kind].unit;
}
/* The minutes of text[0..len) if it is a timeframe ("5m", "1h"), else -1. */
int metric_timeframe(const char *text, size_t len);

/* What moves it between two minutes, as of enum metric_input; not of a DIFFERENCE. */
unsigned metric_inputs(const struct metric *m);
/* Words of state per symbol. */
unsigned metric_words(const struct metric *m);

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
