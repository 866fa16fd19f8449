/* Daily bars from before the first tick: FILE with the columns date,symbol,open,high,low,close,volume (in any
 * order, further ones ignored; plain or .zst), date as YYYY-MM-DD or YYYYMMDD. Sizes are at the scale of csv:
 * sources.
 *
 * Rows that are no good are counted by reason, as a source's. Of several rows of one symbol and date the last
 * counts.
 */
#ifndef NET_HISTORY_H
#define NET_HISTORY_H

#include "net/source.h"

struct history_bar {
    int64_t start_ns; /* midnight UTC of its date */
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
};

struct history;

/* Reads all of FILE. NULL with err set: no such file, a missing column, a damaged .zst (a part of history
 * would change results silently). `log` (may be NULL) takes a few refused rows of each reason. */
struct history *history_load(const char *path, const struct source_config *config,
                             void (*log)(void *ctx, const char *line), void *log_ctx, struct error *err);

/* The bars of a symbol by its full name (with the market, as in struct source_symbol), oldest first; *n = 0
 * and NULL if it has none. */
const struct history_bar *history_find(const struct history *h, const char *name, size_t len, size_t *n);

/* Rows, and those refused by reason. */
const struct source_stats *history_stats(const struct history *h);
uint32_t history_symbols(const struct history *h);

void history_free(struct history *h);

#endif
