/* What `--bars` and `--alerts` write.
 *
 * A barlog keeps the latest revision of each bar by (symbol, start) and writes them at the end, sorted by
 * start and symbol name, under a temporary name that is then renamed:
 *
 *   bar_start_ns,symbol,open,high,low,close,volume,trades,vwap
 *   1381219500000000000,SPY,167.3300,167.4100,167.3300,167.3800,1300,7,167.37000000
 *
 * Prices have 4 decimal places (more where they need them to be exact), VWAP 8, rounded half up; volume is
 * exact. VWAP is empty where the volume is 0. An alertlog streams alerts as JSON lines.
 *
 * Threading: one thread. Memory grows with the number of bars; not for the hot path.
 */
#ifndef NET_BARLOG_H
#define NET_BARLOG_H

#include "core/error.h"
#include "core/message.h"
#include "net/event_json.h"
#include "net/outbox.h"

struct barlog;

struct barlog *barlog_new(void);
void barlog_free(struct barlog *b);

/* Takes a BAR, provisional or final; it replaces what there is for its symbol and start. `symbol` is looked
 * at when the id is new. */
void barlog_add(struct barlog *b, const struct msg *bar, const struct event_symbol *symbol);

/* Takes a bar as event_json_bar wrote it, so that a restarted publisher finds in the outbox what it had. 0,
 * or -1 with err set for what is no such text. */
int barlog_add_record(struct barlog *b, const struct outbox_record *bar, struct error *err)
    __attribute__((warn_unused_result));

uint64_t barlog_count(const struct barlog *b);

/* 0, or -1 with err set; the old file, if any, is then untouched. */
int barlog_write(const struct barlog *b, const char *path, struct error *err)
    __attribute__((warn_unused_result));

struct alertlog;

/* Makes or empties `path`; "-" is the standard output. NULL with err set. */
struct alertlog *alertlog_open(const char *path, struct error *err);
/* 0, or -1 with err set (disk full …). Lines reach the file in blocks, and with alertlog_flush. */
int alertlog_add(struct alertlog *l, const char *json, size_t len, struct error *err)
    __attribute__((warn_unused_result));
int alertlog_flush(struct alertlog *l, struct error *err) __attribute__((warn_unused_result));
int alertlog_close(struct alertlog *l, struct error *err) __attribute__((warn_unused_result));

#endif
