/* The feed: several sources as one stream of unstamped messages with the node's symbol ids.
 *
 * Rows merge by receive time, then by the order of the sources. A symbol's first tick is preceded by its
 * SYMBOL, its attributes (ATTR), its HISTORY_BARs and its splits (ATTR). A row whose event time is more than
 * an hour from its source's running maximum counts only if the source's next row confirms it (is as far off,
 * in the same direction); else it is refused (REJECT_TIME_JUMP).
 *
 * Conflation (source_config.conflate_quotes_ns): time is cut into intervals; of the quotes of a symbol within
 * one of them, from one source, only the last goes on, when the source's running maximum of event time has
 * left the interval, or at the source's end; the others are counted (source_stats.conflated). It goes on with
 * the time of the interval's last row, so that the order of time stays as it is. Trades never wait.
 *
 * One capture alone is passed through as it is, with its seqs, clocks, rules and settings (feed_is_journal);
 * where attributes are given, its own are left out, and these stand behind each SYMBOL, with its seq.
 * Among several sources a capture gives its symbols and ticks.
 */
#ifndef NET_FEED_H
#define NET_FEED_H

#include "net/source.h"

struct history;        /* net/history.h */
struct attribute_file; /* net/attributes.h */

enum { FEED_SOURCES_MAX = 64 };

struct feed;

struct feed *feed_open(const char *const specs[], unsigned n, const struct source_config *config,
                       const struct history *history, const struct attribute_file *attributes,
                       struct error *err);

/* Up to `max` (>= 4096) slots of whole records: how many, 0 at the end. A source that fails ends; the others
 * go on. */
int feed_read(struct feed *f, struct msg *out, int max);

bool feed_is_journal(const struct feed *f);

/* The failures of sources so far, NULL if none: what, where. */
const char *feed_failure(const struct feed *f);

/* Symbols by node id. */
uint32_t feed_symbol_count(const struct feed *f);
const struct source_symbol *feed_symbol(const struct feed *f, uint32_t id);

/* Sums over the sources. */
void feed_stats(const struct feed *f, struct source_stats *out);

/* Where refused rows are logged (the first few of each reason). */
void feed_log(struct feed *f, void (*log)(void *ctx, const char *line), void *ctx);

void feed_close(struct feed *f);

#endif
