/* Anomalies: what a symbol does that it has not done lately, per detector. Pure functions over windows that
 * the engine keeps (engine_anomaly.c); all of it is off unless `anomalies.enabled`.
 *
 * A detector gives a score in deviations and has a threshold for it, its setting; 0 switches it off. How far
 * the score is beyond the threshold is the severity. "Robust" is median and 1.4826 x the median of absolute
 * deviations from it. A deviation of prices is at least one tick.
 */
#ifndef CORE_ANOMALY_H
#define CORE_ANOMALY_H

#include "core/error.h"
#include "core/message.h"

/* enum suffix, type as emitted, its setting, is its value a price (at 1e-9)?, warm-up, what it is. The order
 * is that of one message's events.
 */
#define ANOMALIES(X)                                                                                         \
    X(DRIFT, "drift", drift, true, "22 bars of the session",                                                 \
      "CUSUM of the changes from bar to bar, k = 0.5, over the robust deviation of the 20 changes before; "  \
      "begins anew after it")                                                                                \
    X(SUSPECT, "suspect", suspect, true, "40 trades of the day",                                             \
      "a price further than suspect x s + 2 ticks from the mean of the 40 before, s their deviation, both "  \
      "without the 4 highest and 4 lowest; each one is told")                                                \
    X(SPIKE, "spike", zscore, true, "20 trades of the day",                                                  \
      "a price above the mean of the 20 before, in their deviations")                                        \
    X(DROP, "drop", zscore, true, "20 trades of the day", "… below it")                                      \
    X(VOLATILITY, "volatility", volatility, true, "20 bars of the session",                                  \
      "high - low of the live minute, robust, to the 20 bars before")                                        \
    X(VOLUME, "volume", volume, false, "5 trading days",                                                     \
      "volume of the live minute, robust, to the same minute of the last 20 trading days; the deviation is " \
      "at least a tenth of the median, which is above 0")                                                    \
    X(BURST, "burst", burst, false, "20 bars of the session",                                                \
      "trades of the live minute, robust, to the 20 bars before; the deviation is at least 1 and a tenth "   \
      "of the median")                                                                                       \
    X(SPREAD, "spread", spread, true, "40 quotes, a second apart",                                           \
      "ask - bid becomes wide, robust, to 40 quotes before")                                                 \
    X(CROSSED, "crossed", crossed, true, "none", "the bid comes to stand above the ask, in ticks")           \
    X(SILENCE, "silence", silence_min, false, "40 trades of the day",                                        \
      "no trade in the market session for silence_min and 10 x the mean gap of the last 40 trades; told at " \
      "the clock, in minutes")                                                                               \
    X(SECTOR, "sector", sector, false,                                                                       \
      "a bar of the session from before its 5 minutes; 5 symbols of the sector that have traded in them",    \
      "change_pct_5m, robust, to that of all symbols of its sector; the deviation is at least one tick; "    \
      "looked at once a second")

#define X(name, ...) ANOMALY_##name,
enum anomaly_kind { ANOMALIES(X) ANOMALY_KINDS };
#undef X

/* Rows of the table in net/settings.h: DECIMAL (in thousandths). */
#define ANOMALY_SETTINGS(X)                                                                                  \
    X(DECIMAL, anomalies, suspect, "3", 0, 1000000, "deviations", "", 1,                                     \
      "How far from the trimmed mean of the 40 before a price is suspect. 0: no such anomaly.")              \
    X(DECIMAL, anomalies, zscore, "3", 0, 1000000, "deviations", "", 1,                                      \
      "Price z-score that is a spike or a drop. 0: none.")                                                   \
    X(DECIMAL, anomalies, drift, "5", 0, 1000000, "deviations", "", 1, "CUSUM of a drift (h). 0: none.")     \
    X(DECIMAL, anomalies, volatility, "6", 0, 1000000, "deviations", "", 1,                                  \
      "Robust z of a minute's range. 0: none.")                                                              \
    X(DECIMAL, anomalies, volume, "6", 0, 1000000, "deviations", "", 1,                                      \
      "Robust z of a minute's volume. 0: none.")                                                             \
    X(DECIMAL, anomalies, burst, "6", 0, 1000000, "deviations", "", 1,                                       \
      "Robust z of a minute's trades. 0: none.")                                                             \
    X(DECIMAL, anomalies, spread, "6", 0, 1000000, "deviations", "", 1, "Robust z of a spread. 0: none.")    \
    X(DECIMAL, anomalies, crossed, "1", 0, 1000000, "ticks", "", 1,                                          \
      "Ticks that the bid is above the ask. 0: none.")                                                       \
    X(DECIMAL, anomalies, sector, "4", 0, 1000000, "deviations", "", 1,                                      \
      "Robust z of a move against the sector's. 0: none, and no market role for it.")                        \
    X(INT, anomalies, silence_min, "5", 0, 1440, "min", "", 1, "Minutes without a trade. 0: none.")          \
    X(INT, anomalies, cooldown_s, "60", 0, 86400, "s", "", 1,                                                \
      "After an anomaly none of its type of that symbol for so long (but for suspect prices).")

/* Name, from which score on, as a multiple of the threshold. */
#define ANOMALY_SEVERITIES(X)                                                                                \
    X(LOW, "low", 1.0)                                                                                       \
    X(MEDIUM, "medium", 1.5)                                                                                 \
    X(HIGH, "high", 2.0)

#define X(name, ...) ANOMALY_##name,
enum anomaly_severity { ANOMALY_SEVERITIES(X) ANOMALY_SEVERITY_COUNT };
#undef X

extern const char *const anomaly_severity_names[ANOMALY_SEVERITY_COUNT];

struct anomaly_row {
    const char *type, *setting;
    bool is_price;
    const char *warm_up, *help;
};
extern const struct anomaly_row anomaly_rows[ANOMALY_KINDS];

/* Thresholds and lengths as the settings say. */
struct anomaly_settings {
#define X(type, section, key, ...) double key;
    ANOMALY_SETTINGS(X)
#undef X
};
void anomaly_settings_default(struct anomaly_settings *s);
/* "anomalies.KEY=VALUE" of the table. False if it is none, or out of bounds. */
bool anomaly_setting(struct anomaly_settings *s, const char *text);

enum {
    ANOMALY_TRADES = 40, /* of a suspect price, of a mean gap */
    ANOMALY_TRIM = 4,    /* at each end */
    ANOMALY_POINTS = 20, /* of a z-score */
    ANOMALY_BARS = 20,
    ANOMALY_QUOTES = 40,
    ANOMALY_DAYS = 20,
    ANOMALY_DAYS_MIN = 5,
    ANOMALY_DAY_MINUTES = 1440,
    ANOMALY_SILENT_GAPS = 10,
};

/* What is usual; unknown (0 in `known`) while a detector warms up. */
struct anomaly_norm {
    double middle, deviation;
    uint8_t known;
};

/* Something beyond its threshold. */
struct anomaly {
    double value, expected, score, threshold;
};

/* The last prices, and the same in order of price. */
struct anomaly_prices {
    uint32_t n; /* ever */
    int64_t ring[ANOMALY_TRADES], sorted[ANOMALY_TRADES];
};
void anomaly_prices_add(struct anomaly_prices *p, int64_t price_e9);
/* `sorted` made anew: what was read from a file may be in any order. */
void anomaly_prices_sort(struct anomaly_prices *p);

/* A trading day's volumes by minute since its start, sizes as whole symbols' units; ANOMALY_NO_VOLUME where
 * the day, or what is known of it, has no such minute. Sessions begin at the minutes given. */
#define ANOMALY_NO_VOLUME (-1.0f)
struct anomaly_day {
    uint16_t market, postmarket, closed;
    uint16_t pad;
    float volume[ANOMALY_DAY_MINUTES];
};

/* The symbol's tick, or where it is unknown the largest power of ten that is at most a ten-thousandth of the
 * price. */
int64_t anomaly_tick(int64_t tick_e9, int64_t price_e9);

/* Median and robust deviation, at least `floor`, of v[0..n), which is put in order. n > 0. */
struct anomaly_norm anomaly_norm_of(double *v, unsigned n, double floor);
/* True if the value is beyond the norm by the threshold or more. */
bool anomaly_beyond(const struct anomaly_norm *norm, double value, double threshold, struct anomaly *a);

/* The price against those before it. */
bool anomaly_suspect(const struct anomaly_prices *p, int64_t price_e9, int64_t tick_e9, double threshold,
                     struct anomaly *a);
bool anomaly_zscore(const struct anomaly_prices *p, int64_t price_e9, int64_t tick_e9, double threshold,
                    struct anomaly *a);

/* One change after 20 others, sums of both directions; score is negative downwards. */
struct anomaly_drift {
    double up, down;
};
bool anomaly_drift_step(struct anomaly_drift *d, const double before[ANOMALY_BARS], double change,
                        double tick, double threshold, struct anomaly *a);

enum anomaly_severity anomaly_severity(const struct anomaly *a);

/* Whose it is and when: its symbol's name, time, price; k: earlier ones of its kind at that time. */
struct anomaly_place {
    const char *name;
    int64_t time_ns;
    uint32_t k;
    int64_t price_e9;
};
/* The payload of its message, but `sub`. */
void anomaly_fill(struct msg_anomaly *m, enum anomaly_kind kind, const struct anomaly *a,
                  const struct anomaly_place *place);

#endif
