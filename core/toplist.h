/* Toplists: symbols ranked by a metric. Which lists there are, which values each needs of a symbol, which
 * symbols its filters let in, and the ranking; pure functions. The values come from engine_values.
 *
 * The order is total, so that every reader gets the same: by value, then by symbol name (bytes). A symbol
 * without the value is in no list.
 *
 * A list may let in only those symbols for which an expression of rules is true. The metrics that expressions
 * name are kept as keys (core/metric.h), so that they compare as they do in rules.
 */
#ifndef CORE_TOPLIST_H
#define CORE_TOPLIST_H

#include "core/bucket.h"
#include "core/rule.h"

/* enum suffix, name */
#define TOPLIST_WINDOWS(X) X(1M, "1m") X(5M, "5m") X(15M, "15m") X(1H, "1h") X(1D, "1d")

/* enum suffix, name, the metric of each window. vwap_dist ranks by percent, so that prices
 * of any height compare. */
#define TOPLIST_METRICS(X)                                                                                   \
    X(CHANGE_PCT, "change_pct", "change_pct_1m", "change_pct_5m", "change_pct_15m", "change_pct_60m",        \
      "change_from_close_pct")                                                                               \
    X(VOLUME, "volume", "volume_1m", "volume_5m", "volume_15m", "volume_60m", "volume_daily")                \
    X(RSI, "rsi", "rsi(14)@1m", "rsi(14)@5m", "rsi(14)@15m", "rsi(14)@60m", "rsi(14)@1d")                    \
    X(RELATIVE_VOLUME, "relative_volume", "relative_volume_1m", "relative_volume_5m", "relative_volume_15m", \
      "relative_volume_60m", "relative_volume_daily")                                                        \
    X(VWAP_DIST, "vwap_dist", "vwap_dist_pct_1m", "vwap_dist_pct_5m", "vwap_dist_pct_15m",                   \
      "vwap_dist_pct_60m", "vwap_dist_pct_1d")

/* id, metric, window, ascending */
#define TOPLIST_SYSTEM(X)                                                                                    \
    X("gainers_1m", CHANGE_PCT, 1M, false)                                                                   \
    X("gainers_5m", CHANGE_PCT, 5M, false)                                                                   \
    X("gainers_15m", CHANGE_PCT, 15M, false)                                                                 \
    X("gainers_1h", CHANGE_PCT, 1H, false)                                                                   \
    X("gainers_1d", CHANGE_PCT, 1D, false)                                                                   \
    X("losers_1m", CHANGE_PCT, 1M, true)                                                                     \
    X("losers_5m", CHANGE_PCT, 5M, true)                                                                     \
    X("losers_15m", CHANGE_PCT, 15M, true)                                                                   \
    X("losers_1h", CHANGE_PCT, 1H, true)                                                                     \
    X("losers_1d", CHANGE_PCT, 1D, true)                                                                     \
    X("volume_1m", VOLUME, 1M, false)                                                                        \
    X("volume_5m", VOLUME, 5M, false)                                                                        \
    X("volume_15m", VOLUME, 15M, false)                                                                      \
    X("volume_1h", VOLUME, 1H, false)                                                                        \
    X("volume_1d", VOLUME, 1D, false)                                                                        \
    X("rsi_high", RSI, 5M, false)                                                                            \
    X("rsi_low", RSI, 5M, true)                                                                              \
    X("relative_volume", RELATIVE_VOLUME, 5M, false)                                                         \
    X("vwap_dist_high", VWAP_DIST, 5M, false)                                                                \
    X("vwap_dist_low", VWAP_DIST, 5M, true)

#define X(name, ...) TOPLIST_##name,
enum toplist_window { TOPLIST_WINDOWS(X) TOPLIST_WINDOW_COUNT };
enum toplist_metric { TOPLIST_METRICS(X) TOPLIST_METRIC_COUNT };
#undef X
#define X(...) +1
enum { TOPLIST_SYSTEM_COUNT = TOPLIST_SYSTEM(X) };
#undef X
enum {
    TOPLIST_ID_MAX = 63,
    TOPLIST_LIMIT_MAX = 500,
    TOPLIST_EXPR_MAX = 1023,
    TOPLIST_KEYS_MAX = 64,        /* metrics of the expressions of all lists */
    TOPLIST_STATE_WORDS_MAX = 256 /* that these keep: an engine of any limits has room for so much more */
};

/* What a list looks at in each symbol; the first is what it ranks by. */
enum toplist_value {
    RANK_VALUE,
    RANK_PRICE,
    RANK_DAY_VOLUME,
    RANK_CHANGE_PCT, /* of the list's window */
    RANK_MARKET_CAP,
    RANK_EXCHANGE, /* the bits of its attribute_text_key */
    RANK_VALUES
};

/* Bounds of values, NaN: none. A symbol whose value is unknown is not within a bound. */
struct toplist_filter {
    double min_volume; /* of the trading day */
    double min_change_pct;
    double price_min, price_max;
    double market_cap_min, market_cap_max;
    int64_t exchange; /* attribute_text_key; KEY_UNKNOWN: any */
};
extern const struct toplist_filter toplist_no_filter;

struct toplist {
    char id[TOPLIST_ID_MAX + 1];
    enum toplist_metric metric;
    enum toplist_window window;
    bool ascending;
    struct toplist_filter filter;
    char expr[TOPLIST_EXPR_MAX + 1]; /* as it was written; "": any symbol */
};

/* The system list of that id. 0, or -1 with err, which names the nearest. */
int toplist_find(const char *id, struct toplist *t, struct error *err);
/* The metric that a list of these ranks by. */
const char *toplist_metric_name(enum toplist_metric metric, enum toplist_window window);
extern const char *const toplist_metric_names[TOPLIST_METRIC_COUNT];
extern const char *const toplist_window_names[TOPLIST_WINDOW_COUNT];

/* The metrics of a list's values, for engine_ask. */
void toplist_metrics(const struct toplist *t, struct metric metric[RANK_VALUES]);

/* All that lists may look at in a symbol, as columns: a cell for each metric and window, then the price and
 * attributes. */
enum {
    TOPLIST_PRICE = TOPLIST_METRIC_COUNT * TOPLIST_WINDOW_COUNT,
    TOPLIST_MARKET_CAP,
    TOPLIST_EXCHANGE,
    TOPLIST_COLUMNS,
};
/* The metrics of the columns. */
void toplist_columns(struct metric metric[TOPLIST_COLUMNS]);

/* The metrics whose keys are kept for expressions, beside the columns. */
struct toplist_keys {
    uint32_t n;
    struct metric metric[TOPLIST_KEYS_MAX];
};
/* Adds those that an expression names and that are not there. 0, or -1 with err: it is none that can be asked
 * at an instant, or they would be too many. */
int toplist_keys_add(struct toplist_keys *k, const char *text, struct error *err);

/* An expression, and where the keys of its metrics are. "" is met by every symbol. */
struct toplist_condition {
    struct expr expr;
    uint8_t at[ALERT_OPERANDS_MAX];
};
/* 0, or -1 with err: as toplist_keys_add, or a key is not kept. */
int toplist_condition(struct toplist_condition *c, const char *text, const struct toplist_keys *k,
                      struct error *err);
/* key: of each of the metrics kept. */
bool toplist_meets(const struct toplist_condition *c, const int64_t *key);

/* The second of which a bucket's values are, if they are taken at its CLOCK of this time. */
static inline int64_t toplist_second(int64_t clock_ns)
{
    return bucket_grid_floor(0, clock_ns);
}

struct toplist_row {
    const char *name;
    uint32_t name_len;
    uint32_t symbol;
    double value[RANK_VALUES]; /* NaN: unknown */
};

/* The list's values among a symbol's columns. */
void toplist_pick(const struct toplist *t, const double column[TOPLIST_COLUMNS], double value[RANK_VALUES]);

/* Has it the value that is ranked, and do the filters let it in? */
bool toplist_takes(const struct toplist *t, const struct toplist_row *row);

/* True if a stands before b. */
bool toplist_before(const struct toplist *t, const struct toplist_row *a, const struct toplist_row *b);

/* A list that is being made: the best `limit` so far, in rows[0..limit). */
struct toplist_ranking {
    const struct toplist *list;
    struct toplist_row *row;
    uint32_t limit, n;
};
/* Offers a row, which is taken as toplist_takes says; then puts those that are in, in their order. Adding n
 * costs n log limit. */
void toplist_offer(struct toplist_ranking *r, const struct toplist_row *row);
void toplist_sort(struct toplist_ranking *r);

#endif
