/* The engine: a pure function from a sequence of messages to a sequence of events (BAR, ALERT, ANOMALY, END).
 *
 * It never reads a clock, a file or a random number, and allocates nothing after engine_new: the caller gives
 * the memory, zeroed (fresh from mmap; what is not used is never touched). The result does not depend on how
 * messages are split into calls, and recv_ns never enters.
 *
 * What it keeps per symbol: the live minute's bar, the bars before it, sums of the session and the day, the
 * state of each metric that a rule names, and for each index of thresholds the place where the value stands
 * among them. A tick touches only the comparisons that it flips (rule_index.c).
 *
 * Threading: one engine, one thread.
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include "core/message.h"
#include "core/peers.h"
#include "core/rule.h"
#include "core/rule_stats.h"

/* Sizes of the pools; a full one refuses by name, counted in engine_counters. */
struct engine_limits {
    uint32_t symbols; /* of this engine */
    uint32_t ids;     /* symbol ids of the node */
    uint32_t rules;   /* slots */
    uint32_t metrics; /* distinct metrics named by the rules in force */
    uint32_t fires;   /* pairs (rule, symbol) that hold, or fired and are in their cooldown */
    uint32_t bars;    /* kept bars of a symbol, at least bars.keep + 1440; memory is touched as they come */
    uint32_t asked;   /* values that engine_ask may name */
    uint32_t trades;  /* kept for corrections, of all symbols; 0: none, and no print can be corrected */
    uint32_t alerts;  /* kept of those that prints decided, as long as these: 64 bytes for each */
};
extern const struct engine_limits engine_limits_default;

/* What the engine counts: field, help. All are monotonic. */
#define ENGINE_COUNTERS(X)                                                                                   \
    X(messages, "messages applied")                                                                          \
    X(trades, "trades applied")                                                                              \
    X(quotes, "quotes applied")                                                                              \
    X(clocks, "clocks applied")                                                                              \
    X(late_prints, "trades of a bar that was final")                                                         \
    X(out_of_order_prints, "trades of a bar that had ended and was not final")                               \
    X(late_unkept, "late prints of a minute older than the kept bars, or than a split: in no bar")           \
    X(bars, "bars emitted for the first time")                                                               \
    X(revisions, "bars emitted again")                                                                       \
    X(alerts, "alerts emitted")                                                                              \
    X(shadow_alerts, "alerts of rules in mode shadow, with those sent again and withdrawn: recorded alone")  \
    X(anomalies, "anomalies emitted")                                                                        \
    X(flips, "comparisons that were seen to become true")                                                    \
    X(cond_no_high_low, "trades whose sale conditions keep them out of high and low")                        \
    X(cond_no_last, "trades whose sale conditions keep them from being the last sale")                       \
    X(cond_no_volume, "trades whose sale conditions keep them out of the volume")                            \
    X(cond_unknown, "trades with a sale condition that the table does not name, which limits nothing")       \
    X(unpriced_prints, "trades of a minute without a last sale: in the sums of session and day, in no bar")  \
    X(halts, "times that trading in a symbol was halted")                                                    \
    X(resumptions, "times that it went on")                                                                  \
    X(cancels, "prints cancelled")                                                                           \
    X(cancels_unkept, "cancels of a print that is not kept: it stays")                                       \
    X(corrections, "prints that took the place of a cancelled one")                                          \
    X(corrections_unkept, "corrections of a print that is not kept: it stays, they do not count")            \
    X(alerts_revised, "alerts sent again with other values: the print that decided them was cancelled")      \
    X(alerts_withdrawn, "alerts withdrawn: without the print that decided them the rule does not hold")      \
    X(alerts_unkept, "prints cancelled whose alerts are no longer kept and stay as they are: limits.alerts") \
    X(trades_dropped, "kept trades that had to go before their day was over: limits.trades")                 \
    X(splits, "splits that scaled a symbol")                                                                 \
    X(splits_refused, "splits refused: no ratio, or their day has begun, or four of the symbol wait")        \
    X(unknown_symbol, "messages of a symbol that has no SYMBOL message")                                     \
    X(sum_overflow, "trades refused because a volume or a sum would not fit")                                \
    X(ignored, "messages of a type that this version does not use")                                          \
    X(symbols_full, "symbols refused: limits.symbols")                                                       \
    X(rules_full, "rules refused: limits.rules, or the memory for rules")                                    \
    X(metrics_full, "rules refused: limits.metrics")                                                         \
    X(fires_full, "alerts not made, and `for` or `within` that forgot: limits.fires")                        \
    X(rules_refused, "rules refused: they do not parse")                                                     \
    X(settings_refused, "settings refused: unknown or out of bounds")
#define X(name, help) uint64_t name;
struct engine_counters {
    ENGINE_COUNTERS(X)
};
#undef X

struct engine;

size_t engine_footprint(const struct engine_limits *l);
/* How much of it, from the start, is worth large pages: all but the bars kept. */
size_t engine_hot_bytes(const struct engine_limits *l);
/* `mem` is zeroed, aligned to 64, of engine_footprint bytes. `stats` has l->rules entries. */
struct engine *engine_new(void *mem, const struct engine_limits *l, struct rule_stats *stats);

struct engine_out {
    struct msg *slot;
    uint32_t capacity; /* at least engine_out_capacity() */
    uint32_t used;
};
uint32_t engine_out_capacity(const struct engine_limits *l);

/* Applies whole records in m[0..n) until they are done, or `out` has no room for what one step may emit, or a
 * CLOCK gave a bucket's symbols something to do: so a call over some tens of records is short. Returns the
 * slots consumed. A message of which only a part was done (a CLOCK over many symbols) is not consumed: the
 * next call, which must start with it, goes on where this one stopped. */
size_t engine_apply(struct engine *e, const struct msg *m, size_t n, struct engine_out *out);
/* True if the last call stopped within a message. */
bool engine_is_within(const struct engine *e);

const struct engine_counters *engine_counters(const struct engine *e);
/* Goes on counting from these, and in these rows. */
void engine_count_on(struct engine *e, const struct engine_counters *from, struct rule_stats *stats);

/* What readers may know of a symbol; zeros for an unknown one. */
struct engine_view {
    int64_t price_e9;       /* 0 before the first trade */
    int64_t bid_e9, ask_e9; /* 0 before the first quote */
    int64_t time_ns;        /* 0 before the first message */
    uint64_t day_volume;
    enum session_kind session;
    /* the live bar; of a minute without a trade so far, the last one; live_trades 0: there is none */
    int64_t live_start_ns, open_e9, high_e9, low_e9, close_e9;
    uint64_t live_volume;
    __int128 live_pv;
    uint32_t live_trades;
};
struct engine_view engine_view(const struct engine *e, uint32_t symbol);

/* The symbols of a bucket, one after the other in the order of ids: the one behind `after` (UINT32_MAX: the
 * first), UINT32_MAX at the end. */
uint32_t engine_next_symbol(const struct engine *e, uint32_t bucket, uint32_t after);

/* Names values that engine_values gives, before the first message: limits.asked at most, in all. What is
 * asked for changes no event; it is kept up at minutes' ends alone. The place of the first of them. */
uint32_t engine_ask(struct engine *e, const struct metric *metric, uint32_t n);
/* As engine_values, as keys (core/metric.h): what scans compare. */
void engine_keys(const struct engine *e, uint32_t symbol, uint32_t first, uint32_t n, int64_t *key);
/* The values asked for, of a symbol as of its last message or its bucket's clock, from place `first` on: in
 * money, sizes, percent; a text as the bits of its attribute_text_key. NaN: unknown. */
void engine_values(const struct engine *e, uint32_t symbol, uint32_t first, uint32_t n, double *value);

/* What the symbol's move is compared by, as of its last message or its bucket's clock (core/peers.h). False:
 * its sector is not known, or it has no such move: no session, halted, no trade within the window, or no bar
 * of the session before it. And the settings of the comparison, threshold 0 where nobody looks. */
bool engine_peer(const struct engine *e, uint32_t symbol, struct peer *peer);
struct peer_settings engine_peer_settings(const struct engine *e);

/* The last error of a refused rule or setting, for the log; empty if none. */
const char *engine_refusal(const struct engine *e);

#endif
