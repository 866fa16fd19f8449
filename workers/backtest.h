/* The results of a backtest, and its four forms: a table, JSON, CSV, HTML. docs/operations.md, "Backtest",
 * has the keys and columns.
 *
 * Threading: one thread, after the replay.
 */
#ifndef WORKERS_BACKTEST_H
#define WORKERS_BACKTEST_H

#include <stdio.h>

#include "workers/forward.h"
#include "workers/rule_names.h"
#include "workers/stream.h"

/* What is said of a rule, or of all. */
struct backtest_group {
    const char *id, *name; /* NULL: the total */
    uint64_t alerts;
    uint64_t withdrawn; /* beside them */
    uint32_t symbols;   /* that it fired for */
    struct {
        struct return_stats alerts, baseline; /* baseline: of the symbols that it fired for */
        uint64_t none;                        /* alerts without a return at this horizon */
    } at[FORWARD_HORIZONS];
};

struct backtest {
    const struct forward *forward;
    const struct rule_names *names;
    const struct stream *stream; /* for the symbols' names */
    const char *rules_file;
    const char *const *sources;
    unsigned n_sources;

    struct backtest_group *group; /* the rules in the file's order, then the total */
    uint32_t n_rules;
    uint64_t trades;      /* of the symbols and times asked for */
    uint64_t symbols;     /* that traded */
    uint64_t symbol_days; /* sum over symbols of the trading days on which each traded */
};

/* Fills what is below the blank line from what is above it. */
void backtest_reckon(struct backtest *b, uint32_t rule_slots);
void backtest_free(struct backtest *b);

/* Alerts of a day; a quotient, 0 where there is nothing to divide by. */
uint64_t backtest_day_alerts(const struct backtest *b, int64_t day);
double backtest_rate(uint64_t alerts, uint64_t of);
/* Alerts of a symbol, of each id below forward_symbol_count. The caller frees it. */
uint64_t *backtest_symbol_alerts(const struct backtest *b);
void backtest_date(int64_t day, char out[16]);

/* What could not be written shows in ferror. */
void backtest_table(const struct backtest *b, FILE *out);
void backtest_json(const struct backtest *b, FILE *out);
void backtest_csv(const struct backtest *b, FILE *out);
void backtest_html(const struct backtest *b, FILE *out);

#endif
