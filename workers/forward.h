/* Forward returns: what a symbol's price did after each alert, and after every minute, whatever happened (the
 * baseline).
 *
 *   return = price then / price - 1
 *
 * `price` is the alert's. `price then` is that of the symbol's last trade at or before the alert's time (the
 * symbol's time, as in its timestamp) plus the horizon: 1, 5, 15, 60 minutes; or at or before the end of the
 * market session of the alert's trading day. Trades count by event time: of several at one time the last one
 * to arrive, and one that comes after a later one of its symbol, or after its trading day, does not count.
 *
 * An alert has no return at a horizon
 *   - whose time is after the last tick, of any symbol of its calendar, of the alert's trading day. The close
 *     is reached by data that goes into the minute before it;
 *   - whose time is after the trading day (unless the next one begins right there, as in utc24);
 *   - at the close, if it fired then or later; or if it has no price.
 *
 * Baseline: at the start of each clock minute of a trading day, from the symbol's first trade of the day on,
 * the returns from the last price then, by the same rules; minutes from from_ns to before to_ns, wanted
 * symbols.
 *
 * Trading days and calendars are as the engine has them: from the stream's SETTING messages.
 *
 * Memory: 104 bytes an alert; a symbol's state, the prices of the day's minutes, and 8 bytes for each bin of
 * returns (core/return_stats.h) that it has seen. Nothing grows with the ticks. Threading: one thread. Out of
 * memory aborts.
 */
#ifndef WORKERS_FORWARD_H
#define WORKERS_FORWARD_H

#include <stdbool.h>

#include "core/message.h"
#include "core/return_stats.h"

enum forward_horizon { FORWARD_1M, FORWARD_5M, FORWARD_15M, FORWARD_60M, FORWARD_CLOSE, FORWARD_HORIZONS };
extern const char *const forward_names[FORWARD_HORIZONS]; /* "1m" … "close" */

struct forward_alert {
    int64_t time_ns;
    int64_t price_e9;                  /* 0: the symbol had none */
    int64_t then_e9[FORWARD_HORIZONS]; /* 0: no return */
    int64_t day;                       /* UTC days since 1970 of its trading day; -1: none is known */
    uint64_t id_hi, id_lo, seq;
    uint32_t rule, symbol;
    uint32_t next; /* of the symbol, 1 + index; 0 ends */
    bool withdrawn;
};

struct forward_day {
    int64_t day; /* as above */
    uint64_t trades;
};

struct forward;
struct forward *forward_new(int64_t from_ns, int64_t to_ns);
void forward_free(struct forward *f);

/* A trading day of a calendar (premarket, market, postmarket, closed; UTC ns). False if it is no ascending
 * one, or there is no such calendar. */
bool forward_add_day(struct forward *f, unsigned calendar, const int64_t t[4]);
/* Before the symbol's first tick. */
void forward_add_symbol(struct forward *f, uint32_t id, unsigned calendar, bool wanted);
void forward_trade(struct forward *f, uint32_t symbol, int64_t event_ns, int64_t price_e9);
void forward_quote(struct forward *f, uint32_t symbol, int64_t event_ns); /* data goes on */
/* Alerts of one symbol come with times that do not step back, after the trades that precede them. */
void forward_add_alert(struct forward *f, const struct forward_alert *a);
/* The alert is withdrawn: it counts beside the others. */
void forward_withdraw(struct forward *f, uint64_t id_hi, uint64_t id_lo);
void forward_end(struct forward *f);

/* After forward_end. */
size_t forward_alert_count(const struct forward *f);
const struct forward_alert *forward_alerts(const struct forward *f);
/* Those that were withdrawn stand behind them. */
size_t forward_withdrawn_count(const struct forward *f);
/* False if it has none. */
bool forward_return(const struct forward_alert *a, enum forward_horizon h, double *r);
/* Trading days on which a wanted symbol traded within from and to, ascending; calendars share a date. */
size_t forward_days(const struct forward *f, const struct forward_day **days);
/* On how many trading days the symbol traded so; 0 for one that is not wanted. */
uint32_t forward_symbol_days(const struct forward *f, uint32_t symbol);
uint32_t forward_symbol_count(const struct forward *f); /* ids are below it */
/* The baseline of the symbols for which `include` is true (NULL: all), and the bins of
 * its returns. */
void forward_baseline(const struct forward *f, const bool *include, enum forward_horizon h,
                      struct return_stats *out, uint64_t count[RETURN_BINS]);

#endif
