/* The metric catalogue: names, parameters, units, inputs, conventions. One row each, here and for indicators
 * in core/indicator.h, feeds the rule parser, the engine, `ringtape metrics` and the docs.
 *
 * A metric is named `name`, `name_5m` (clock minutes: the live one and the 4 before it), `vwap(5m)` (the
 * same), `name_5d` (trading days: today and the 4 before it that have a daily bar), `name(14)@5m` (an
 * indicator over bars of a timeframe: the ended ones and the live one). A metric without enough history has
 * no value: it is unknown.
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
    UNIT_VWAP,  /* a price as a double (a quotient of sums) */
    UNIT_TRUTH, /* 0 or 1, as a double; a condition by itself */
    UNIT_TEXT,  /* the number of a text, see core/attribute.h: == and != with one alone */
};

/* What a metric takes after its name. */
enum metric_form {
    FORM_PLAIN,     /* price */
    FORM_WINDOW,    /* volume_5m: 1 to 240 clock minutes */
    FORM_DAYS,      /* range_5d: 1 to 252 trading days; 252 are 1y */
    FORM_MONTHS,    /* biggest_range_3m: trading days, 21 in a month */
    FORM_TIMEFRAME, /* relative_volume_5m: bars of that length */
    FORM_SPAN,      /* vwap(5m), vwap(1h): the same */
    FORM_INDICATOR, /* rsi(14)@5m, rsi_14_5m: see core/indicator.h */
    FORM_SESSION,   /* vwap(session) */
    FORM_TRADES,    /* dev(20 trades): the last 1 to 10,000 prints */
    FORM_SECONDS,   /* change_over(60s), change_over(5m): 1 s to 4 h */
    FORM_BARS,      /* inside_bar@5m, running_up(3)@5m: METRIC_PARAMETERS has what stands in brackets */
    FORM_AVERAGE,   /* ma_dist_pct(ema,50)@5m: a moving average of core/indicator.h */
    FORM_PERCENT,   /* near_day_high(0.5) */
};

/* What changes a metric between two minutes: so the engine looks at it only then. */
enum metric_input {
    INPUT_BAR = 0,   /* nothing: only ended bars, the minute's roll or the day's switch */
    INPUT_PRICE = 1, /* the last price, the live bar's close */
    INPUT_TRADE = 2, /* every trade: volumes, counts, sums */
    INPUT_QUOTE = 4,
    INPUT_TIME = 8,       /* every message, and every clock while a session is open */
    INPUT_ATTRIBUTE = 16, /* nothing but an ATTR message */
};

/* Candles and levels, of METRICS. Bars are those of a timeframe: "the bar" is the last ended one, "before"
 * the one that exists before it, in whatever session; "the live bar" is the one that is not over, with the
 * trades so far. A body is between open and close, white where close >= open, else black (as TA-Lib has
 * them).
 */
#define CANDLE_METRICS(X)                                                                                    \
    X(MA_DIST, "ma_dist_pct", AVERAGE, PERCENT, INPUT_PRICE, 0,                                              \
      "price - a moving average (sma, ema, ema_first, smma, wma, hma, trima, kama) with the live bar, in "   \
      "percent of the average")                                                                              \
    X(CONSECUTIVE, "consecutive_candles", BARS, NUMBER, INPUT_BAR, 0,                                        \
      "how many ended bars in a row, the last one included, have close > open, or minus how many have "      \
      "close < open; 0 after one with close == open, which ends a run")                                      \
    X(VOLUME_SPIKE, "volume_spike", BARS, NUMBER, INPUT_BAR, 0,                                              \
      "volume of the bar in parts of the mean volume of the N before it: 3 is three times as much; unknown " \
      "where that is 0")                                                                                     \
    X(BULLISH_CLOSE, "bullish_close", BARS, TRUTH, INPUT_BAR, 0, "close > open")                             \
    X(BEARISH_CLOSE, "bearish_close", BARS, TRUTH, INPUT_BAR, 0, "close < open")                             \
    X(UPPER_SHADOW, "upper_shadow", BARS, TRUTH, INPUT_BAR, 0,                                               \
      "a long upper shadow: high - top of the body > length of the body (TA-Lib's ShadowLong)")              \
    X(LOWER_SHADOW, "lower_shadow", BARS, TRUTH, INPUT_BAR, 0,                                               \
      "a long lower shadow: bottom of the body - low > length of the body (TA-Lib's ShadowLong)")            \
    X(BULLISH_ENGULFING, "bullish_engulfing", BARS, TRUTH, INPUT_BAR, 0,                                     \
      "white after black, close >= open before, open <= close before, one of them strictly (TA-Lib's "       \
      "CDLENGULFING > 0)")                                                                                   \
    X(BEARISH_ENGULFING, "bearish_engulfing", BARS, TRUTH, INPUT_BAR, 0,                                     \
      "black after white, open >= close before, close <= open before, one of them strictly (TA-Lib's "       \
      "CDLENGULFING < 0)")                                                                                   \
    X(BULLISH_HARAMI, "bullish_harami", BARS, TRUTH, INPUT_BAR, 0,                                           \
      "after a long black body a short one within it: its length <= mean of the 10 before, that of the one " \
      "before > mean of the 10 before it, neither end is beyond that one's (TA-Lib's CDLHARAMI > 0)")        \
    X(BEARISH_HARAMI, "bearish_harami", BARS, TRUTH, INPUT_BAR, 0,                                           \
      "after a long white body a short one within it, as bullish_harami (TA-Lib's CDLHARAMI < 0)")           \
    X(INSIDE_BAR, "inside_bar", BARS, TRUTH, INPUT_BAR, 0,                                                   \
      "high < high before and low > low before (Bulkowski's inside day)")                                    \
    X(RUNNING_UP, "running_up", BARS, TRUTH, INPUT_BAR, 0,                                                   \
      "the last N bars each have a high > that of the bar before and a low > that of the bar before")        \
    X(RUNNING_DOWN, "running_down", BARS, TRUTH, INPUT_BAR, 0,                                               \
      "the last N bars each have a high < that of the bar before and a low < that of the bar before")        \
    X(EMA_CROSS_UP, "ema_cross_up", BARS, TRUTH, INPUT_BAR, 0,                                               \
      "ema(N) > ema(M) at the bar, ema(N) <= ema(M) at the one before; N = 1 is the close")                  \
    X(EMA_CROSS_DOWN, "ema_cross_down", BARS, TRUTH, INPUT_BAR, 0,                                           \
      "ema(N) < ema(M) at the bar, ema(N) >= ema(M) at the one before")                                      \
    X(EMA_RETURN, "ema_return", BARS, TRUTH, INPUT_BAR, 0,                                                   \
      "price has come back to its average: low <= ema(N) <= high of the bar, not so of the one before")      \
    X(NEW_CANDLE_HIGH, "new_candle_high", BARS, TRUTH, INPUT_PRICE, 0, "price > high of the bar")            \
    X(NEW_CANDLE_LOW, "new_candle_low", BARS, TRUTH, INPUT_PRICE, 0, "price < low of the bar")               \
    X(THROUGH_VWAP_UP, "through_vwap_up", BARS, TRUTH, INPUT_TRADE, 0,                                       \
      "open of the live bar < vwap(session) < price; 0 while there is no live bar")                          \
    X(THROUGH_VWAP_DOWN, "through_vwap_down", BARS, TRUTH, INPUT_TRADE, 0,                                   \
      "open of the live bar > vwap(session) > price; 0 while there is no live bar")                          \
    X(VWAP_SUPPORT, "vwap_support", BARS, TRUTH, INPUT_TRADE, 0,                                             \
      "the live bar came down to vwap(session) and went up again: its open > VWAP, its low <= VWAP, price "  \
      "> "                                                                                                   \
      "VWAP")                                                                                                \
    X(VWAP_RESISTANCE, "vwap_resistance", BARS, TRUTH, INPUT_TRADE, 0,                                       \
      "the live bar went up to vwap(session) and came down again: its open < VWAP, its high >= VWAP, price " \
      "< VWAP")                                                                                              \
    X(NEAR_DAY_HIGH, "near_day_high", PERCENT, TRUTH, INPUT_PRICE, 0,                                        \
      "high_today - price <= P percent of high_today")                                                       \
    X(NEAR_DAY_LOW, "near_day_low", PERCENT, TRUTH, INPUT_PRICE, 0,                                          \
      "price - low_today <= P percent of low_today")                                                         \
    X(NEW_DAY_HIGH, "new_day_high", PLAIN, TRUTH, INPUT_PRICE, 0,                                            \
      "price > the high of today's ended minutes (all sessions)")                                            \
    X(NEW_DAY_LOW, "new_day_low", PLAIN, TRUTH, INPUT_PRICE, 0,                                              \
      "price < the low of today's ended minutes (all sessions)")                                             \
    X(BREAK_DAY_HIGH, "break_day_high", PLAIN, TRUTH, INPUT_PRICE, 0,                                        \
      "new_day_high in a minute that opened at or under that high")                                          \
    X(BREAK_DAY_LOW, "break_day_low", PLAIN, TRUTH, INPUT_PRICE, 0,                                          \
      "new_day_low in a minute that opened at or over that low")                                             \
    X(REJECT_DAY_HIGH, "reject_day_high", PLAIN, TRUTH, INPUT_PRICE, 0,                                      \
      "the live minute has reached the high of today's ended minutes (its high >= that) and price < that "   \
      "again")                                                                                               \
    X(REJECT_DAY_LOW, "reject_day_low", PLAIN, TRUTH, INPUT_PRICE, 0,                                        \
      "the live minute has reached the low of today's ended minutes (its low <= that) and price > that "     \
      "again")                                                                                               \
    X(OPENING_BREAKOUT, "opening_range_breakout", WINDOW, TRUTH, INPUT_PRICE, 2,                             \
      "price > the high of the first N minutes of today's market session; unknown before they are over and " \
      "after that session (Crabel's opening range)")                                                         \
    X(OPENING_BREAKDOWN, "opening_range_breakdown", WINDOW, TRUTH, INPUT_PRICE, 2,                           \
      "price < the low of the first N minutes of today's market session, as opening_range_breakout")

/* Parameters of FORM_BARS and FORM_PERCENT: enum suffix, how many, most (at least 1), defaults. Of bars; of
 * FORM_PERCENT hundredths of a percent.
 */
#define METRIC_PARAMETERS(X)                                                                                 \
    X(VOLUME_SPIKE, 1, 240, 10, 0)                                                                           \
    X(RUNNING_UP, 1, 20, 3, 0)                                                                               \
    X(RUNNING_DOWN, 1, 20, 3, 0)                                                                             \
    X(EMA_CROSS_UP, 2, INDICATOR_PERIOD_MAX, 9, 20)                                                          \
    X(EMA_CROSS_DOWN, 2, INDICATOR_PERIOD_MAX, 9, 20)                                                        \
    X(EMA_RETURN, 1, INDICATOR_PERIOD_MAX, 20, 0)                                                            \
    X(NEAR_DAY_HIGH, 1, 5000, 50, 0)                                                                         \
    X(NEAR_DAY_LOW, 1, 5000, 50, 0)

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
      "seconds since the last trade, while a session is open and the symbol is not halted")                  \
    X(MINUTES_IN_MARKET, "minutes_in_market", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,      \
      "whole minutes since the market session's start, while it lasts")                                      \
    X(HALTED, "halted", PLAIN, TRUTH, INPUT_BAR, 0,                                                          \
      "1 while trading in the symbol is halted, else 0; a condition by itself: `not halted`")                \
    X(SIZE, "size", PLAIN, NUMBER, INPUT_TRADE, 0, "size of the last trade")                                 \
    X(DEV, "dev", TRADES, NUMBER, INPUT_TRADE, 8,                                                            \
      "price against the mean price of the day's last N last sales, this one included: 0.01 is 1 % above")   \
    X(CHANGE_OVER, "change_over", SECONDS, NUMBER, INPUT_TRADE, 8,                                           \
      "price against the first last sale of the day less than N before this one: 0.01 is 1 % above")         \
    X(VWAP_SESSION, "vwap", SESSION, VWAP, INPUT_TRADE, 0, "VWAP since the session's start")                 \
    X(CHANGE_FROM_CLOSE, "change_from_close", PLAIN, PRICE, INPUT_PRICE, 0,                                  \
      "price - close of the trading day before")                                                             \
    X(CHANGE_FROM_CLOSE_PCT, "change_from_close_pct", PLAIN, PERCENT, INPUT_PRICE, 0,                        \
      "change_from_close in percent of that close")                                                          \
    X(GAP_FROM_CLOSE, "gap_from_close", PLAIN, PRICE, INPUT_TRADE, 0,                                        \
      "the market session's first price - close of the trading day before")                                  \
    X(GAP_FROM_CLOSE_PCT, "gap_from_close_pct", PLAIN, PERCENT, INPUT_TRADE, 0,                              \
      "gap_from_close in percent of that close")                                                             \
    X(CLOSE_PREMARKET, "change_from_close_premarket", PLAIN, PRICE, INPUT_PRICE, 0,                          \
      "today's last price of the premarket - close of the trading day before")                               \
    X(CLOSE_PREMARKET_PCT, "change_from_close_premarket_pct", PLAIN, PERCENT, INPUT_PRICE, 0,                \
      "change_from_close_premarket in percent of that close")                                                \
    X(CLOSE_POSTMARKET, "change_from_close_postmarket", PLAIN, PRICE, INPUT_PRICE, 0,                        \
      "today's last price of the postmarket - the last one of today's market session")                       \
    X(CLOSE_POSTMARKET_PCT, "change_from_close_postmarket_pct", PLAIN, PERCENT, INPUT_PRICE, 0,              \
      "change_from_close_postmarket in percent of the latter")                                               \
    X(CHANGE_PCT_DAYS, "change_pct", DAYS, PERCENT, INPUT_PRICE, 1,                                          \
      "price - close of the N-th daily bar before today, in percent of that close")                          \
    X(AVG_VOLUME, "avg_volume", DAYS, NUMBER, INPUT_BAR, 1,                                                  \
      "mean volume of the last N daily bars before today")                                                   \
    X(RELATIVE_VOLUME_DAILY, "relative_volume_daily", PLAIN, PERCENT, INPUT_TRADE, 1,                        \
      "volume_daily in percent of the mean of the last 10 daily bars before today (or as many as there "     \
      "are)")                                                                                                \
    X(RELATIVE_VOLUME_SAME_TIME, "relative_volume_same_time", PLAIN, PERCENT,                                \
      INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 2,                                                             \
      "100 x (volume + (1 - elapsed) x minute) / mean: volume since the session's start, its live minute "   \
      "forecast to its end, to the mean at the end of that minute in earlier sessions of this kind (those "  \
      "that "                                                                                                \
      "the bars of bars.keep have from their start); minute: their mean in that minute")                     \
    X(RANGE_DAYS, "range", DAYS, PRICE, INPUT_PRICE, 2,                                                      \
      "highest high - lowest low of today (all sessions) and the N - 1 daily bars before")                   \
    X(RANGE_PCT_DAYS, "range_pct", DAYS, PERCENT, INPUT_PRICE, 2, "range_Nd in percent of its low")          \
    X(POSITION_DAYS, "position_in_range", DAYS, PERCENT, INPUT_PRICE, 2,                                     \
      "where the price is in range_Nd: 0 at its low, 100 at its high; unknown where they are the same")      \
    X(BIGGEST_RANGE, "biggest_range", MONTHS, PRICE, INPUT_BAR, 1,                                           \
      "the largest high - low of one of the last 21 N daily bars before today; 1y is 12m")                   \
    X(RELATIVE_RANGE, "relative_range_pct", PLAIN, PERCENT, INPUT_PRICE, 1,                                  \
      "range_today in percent of the atr(14) of the daily bars before today")                                \
    X(VWAP_DIST_DAY, "vwap_dist_1d", PLAIN, VWAP, INPUT_TRADE, 0,                                            \
      "price - VWAP of the trading day, all sessions")                                                       \
    X(VWAP_DIST_PCT_DAY, "vwap_dist_pct_1d", PLAIN, PERCENT, INPUT_TRADE, 0,                                 \
      "vwap_dist_1d in percent of the VWAP")                                                                 \
    X(SESSION, "session", PLAIN, NUMBER, INPUT_BAR, 0,                                                       \
      "\"closed\", \"premarket\", \"market\" or \"postmarket\"")                                             \
    X(SECTOR, "sector", PLAIN, TEXT, INPUT_ATTRIBUTE, 0, "sector, from the file of attributes")              \
    X(EXCHANGE, "exchange", PLAIN, TEXT, INPUT_ATTRIBUTE, 0, "exchange, from the file of attributes")        \
    X(FLOAT, "float", PLAIN, NUMBER, INPUT_ATTRIBUTE, 0,                                                     \
      "shares that are traded, from the file of attributes")                                                 \
    X(MARKET_CAP, "market_cap", PLAIN, NUMBER, INPUT_ATTRIBUTE, 0,                                           \
      "market capitalisation, from the file of attributes")                                                  \
    X(SHARES_SHORT, "shares_short", PLAIN, NUMBER, INPUT_ATTRIBUTE, 0,                                       \
      "shares sold short, from the file of attributes")                                                      \
    X(NEWS_AGE, "news_age", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,                        \
      "minutes since news_at of the file of attributes, while a session is open; unknown before it")         \
    X(EARNINGS_IN, "earnings_in", PLAIN, NUMBER, INPUT_TRADE | INPUT_QUOTE | INPUT_TIME, 0,                  \
      "days until earnings_at of the file of attributes, while a session is open; unknown after it")         \
    CANDLE_METRICS(X)                                                                                        \
    X(INDICATOR, "", INDICATOR, NUMBER, INPUT_PRICE, 0, "an indicator over bars of a timeframe")             \
    X(DIFFERENCE, "-", PLAIN, NUMBER, INPUT_PRICE | INPUT_TRADE | INPUT_QUOTE, 0,                            \
      "left - right of a comparison of two metrics; not for rules to name")

#define X(name, text, form, unit, inputs, words, help) METRIC_##name,
enum metric_kind { METRICS(X) METRIC_KIND_COUNT };
#undef X

/* What a metric is made of and what it waits for, where it is not what moves it: enum suffix, made of,
 * warm-up.
 */
#define METRIC_ORIGINS(X)                                                                                    \
    X(CHANGE, "minute bars", "a bar from before the window")                                                 \
    X(CHANGE_PCT, "minute bars", "a bar from before the window")                                             \
    X(CHANGE_FROM_OPEN, "trades", "a trade of today's market session")                                       \
    X(CHANGE_FROM_OPEN_PCT, "trades", "a trade of today's market session")                                   \
    X(RELATIVE_VOLUME, "bars of N minutes", "an ended bar of the session's kind")                            \
    X(SECONDS_SINCE_TRADE, "trades, clock", "a trade; an open session")                                      \
    X(MINUTES_IN_MARKET, "clock, calendar", "the market session")                                            \
    X(SECTOR, "attributes", "the symbol's row")                                                              \
    X(EXCHANGE, "attributes", "the symbol's row")                                                            \
    X(FLOAT, "attributes", "the symbol's row")                                                               \
    X(MARKET_CAP, "attributes", "the symbol's row")                                                          \
    X(SHARES_SHORT, "attributes", "the symbol's row")                                                        \
    X(NEWS_AGE, "attributes, clock", "the symbol's row; an open session")                                    \
    X(EARNINGS_IN, "attributes, clock", "the symbol's row; an open session")                                 \
    X(HALTED, "halts", "none")                                                                               \
    X(DEV, "kept prints", "N last sales of the day")                                                         \
    X(CHANGE_OVER, "kept prints", "a last sale of the day")                                                  \
    X(CHANGE_FROM_CLOSE, "daily bars", "1 daily bar")                                                        \
    X(CHANGE_FROM_CLOSE_PCT, "daily bars", "1 daily bar")                                                    \
    X(GAP_FROM_CLOSE, "daily bars", "1 daily bar, a trade of today's market session")                        \
    X(GAP_FROM_CLOSE_PCT, "daily bars", "1 daily bar, a trade of today's market session")                    \
    X(CLOSE_PREMARKET, "daily bars", "1 daily bar, a trade of today's premarket")                            \
    X(CLOSE_PREMARKET_PCT, "daily bars", "1 daily bar, a trade of today's premarket")                        \
    X(CLOSE_POSTMARKET, "trades", "trades of today's market session and postmarket")                         \
    X(CLOSE_POSTMARKET_PCT, "trades", "trades of today's market session and postmarket")                     \
    X(CHANGE_PCT_DAYS, "daily bars", "N daily bars")                                                         \
    X(AVG_VOLUME, "daily bars", "N daily bars")                                                              \
    X(RELATIVE_VOLUME_DAILY, "daily bars", "1 daily bar")                                                    \
    X(RELATIVE_VOLUME_SAME_TIME, "minute bars", "an earlier session of the kind, kept from its start")       \
    X(RANGE_DAYS, "daily bars", "N - 1 daily bars")                                                          \
    X(RANGE_PCT_DAYS, "daily bars", "N - 1 daily bars")                                                      \
    X(POSITION_DAYS, "daily bars", "N - 1 daily bars")                                                       \
    X(BIGGEST_RANGE, "daily bars", "21 N daily bars")                                                        \
    X(RELATIVE_RANGE, "daily bars", "15 daily bars")                                                         \
    X(MA_DIST, "bars of T", "that of the average")                                                           \
    X(CONSECUTIVE, "bars of T", "1 bar")                                                                     \
    X(VOLUME_SPIKE, "bars of T", "N + 1 bars")                                                               \
    X(BULLISH_CLOSE, "bars of T", "1 bar")                                                                   \
    X(BEARISH_CLOSE, "bars of T", "1 bar")                                                                   \
    X(UPPER_SHADOW, "bars of T", "1 bar")                                                                    \
    X(LOWER_SHADOW, "bars of T", "1 bar")                                                                    \
    X(NEW_CANDLE_HIGH, "bars of T", "1 bar")                                                                 \
    X(NEW_CANDLE_LOW, "bars of T", "1 bar")                                                                  \
    X(BULLISH_ENGULFING, "bars of T", "2 bars")                                                              \
    X(BEARISH_ENGULFING, "bars of T", "2 bars")                                                              \
    X(INSIDE_BAR, "bars of T", "2 bars")                                                                     \
    X(BULLISH_HARAMI, "bars of T", "12 bars")                                                                \
    X(BEARISH_HARAMI, "bars of T", "12 bars")                                                                \
    X(RUNNING_UP, "bars of T", "N + 1 bars")                                                                 \
    X(RUNNING_DOWN, "bars of T", "N + 1 bars")                                                               \
    X(EMA_RETURN, "bars of T", "N + 1 bars")                                                                 \
    X(EMA_CROSS_UP, "bars of T", "larger of N and M + 1 bars")                                               \
    X(EMA_CROSS_DOWN, "bars of T", "larger of N and M + 1 bars")                                             \
    X(THROUGH_VWAP_UP, "bars of T, trades", "a trade of the session")                                        \
    X(THROUGH_VWAP_DOWN, "bars of T, trades", "a trade of the session")                                      \
    X(VWAP_SUPPORT, "bars of T, trades", "a trade of the session")                                           \
    X(VWAP_RESISTANCE, "bars of T, trades", "a trade of the session")                                        \
    X(NEAR_DAY_HIGH, "trades", "a trade of today")                                                           \
    X(NEAR_DAY_LOW, "trades", "a trade of today")                                                            \
    X(NEW_DAY_HIGH, "minute bars", "an ended bar of today")                                                  \
    X(NEW_DAY_LOW, "minute bars", "an ended bar of today")                                                   \
    X(BREAK_DAY_HIGH, "minute bars", "an ended bar of today")                                                \
    X(BREAK_DAY_LOW, "minute bars", "an ended bar of today")                                                 \
    X(REJECT_DAY_HIGH, "minute bars", "an ended bar of today")                                               \
    X(REJECT_DAY_LOW, "minute bars", "an ended bar of today")                                                \
    X(OPENING_BREAKOUT, "minute bars", "those minutes, a bar in them")                                       \
    X(OPENING_BREAKDOWN, "minute bars", "those minutes, a bar in them")                                      \
    X(SESSION, "clock, calendar", "none")

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
    uint16_t kind;              /* enum metric_kind */
    uint16_t period;            /* minutes or days, 0 where it takes none */
    uint16_t timeframe;         /* of bars: minutes of one, METRIC_DAY for daily ones */
    struct indicator indicator; /* … of FORM_BARS its parameters in n, of FORM_PERCENT in hundredths */
};
_Static_assert(sizeof(struct metric) == 16, "no padding: metrics are compared as bytes");

/* Has it an indicator's state? A distance from an average has the average's. */
static inline bool metric_has_indicator(const struct metric *m)
{
    return m->kind == METRIC_INDICATOR || m->kind == METRIC_MA_DIST;
}

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

struct metric_parameters {
    uint8_t count;
    uint16_t max, standard[2];
};
extern const struct metric_parameters metric_parameters[METRIC_KIND_COUNT];

enum {
    METRIC_WINDOW_MAX = 240,
    METRIC_TRADES_MAX = 10000,
    METRIC_SECONDS_MAX = 4 * 3600,
    METRIC_DAYS_MAX = 252, /* a year */
    METRIC_MONTH_DAYS = 21,
    METRIC_DAY = 24 * 60, /* the timeframe @1d: bars of trading days, however long those are */
    METRIC_NAME_MAX = INDICATOR_NAME_MAX + 8,
};

/* Parses text[0..len), a canonical name or an alias. 0, or -1 with err (what was found, the nearest known
 * name). */
int metric_parse(const char *text, size_t len, struct metric *m, struct error *err);

/* The timeframe text[0..len), such as 5m, 1h, 1d, daily: its minutes; -1 if it is none. */
int metric_timeframe(const char *text, size_t len);

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
/* True for one over daily bars or a number of trading days. */
static inline bool metric_of_days(const struct metric *m)
{
    return m->timeframe == METRIC_DAY || metric_rows[m->kind].form == FORM_DAYS ||
           metric_rows[m->kind].form == FORM_MONTHS;
}
/* True for one whose name has a timeframe behind '@'. */
static inline bool metric_of_bars(const struct metric *m)
{
    enum metric_form form = metric_rows[m->kind].form;
    return form == FORM_INDICATOR || form == FORM_BARS || form == FORM_AVERAGE;
}
/* True for a candle that keeps state of the ended bars, as an indicator does. */
static inline bool metric_is_pushed(const struct metric *m)
{
    return m->kind == METRIC_EMA_CROSS_UP || m->kind == METRIC_EMA_CROSS_DOWN || m->kind == METRIC_EMA_RETURN;
}
/* What a row's metrics are made of, and what must have been for a first value. */
struct metric_origin {
    const char *made_of, *warm_up;
};
struct metric_origin metric_origin(enum metric_kind kind);

/* What moves it between two minutes, as of enum metric_input; not of a DIFFERENCE. */
unsigned metric_inputs(const struct metric *m);
/* Is it made of kept prints, so that bars.corrections must be on? */
static inline bool metric_of_prints(const struct metric *m)
{
    return metric_rows[m->kind].form == FORM_TRADES || metric_rows[m->kind].form == FORM_SECONDS;
}
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
