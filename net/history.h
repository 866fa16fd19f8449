/* Daily bars from before the stream: `--history FILE`, a CSV with the columns
 * date,symbol,open,high,low,close,volume in any order (date YYYY-MM-DD or YYYYMMDD; plain or .zst). Bad rows
 * are counted by reason, as a source's. */
#ifndef NET_HISTORY_H
#define NET_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/reject.h"

struct history;

struct history_bar {
    int64_t start_ns; /* midnight UTC of its date */
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
};

/* NULL with err: no such file, a missing column, damaged. */
struct history *history_load(const char *path, struct error *err);

/* The bars of a symbol, ascending by date, *n of them; NULL if there are none. */
const struct history_bar *history_find(const struct history *h, const char *name, size_t len, size_t *n);

const uint64_t *history_rejected(const struct history *h); /* by enum reject_reason */
void history_free(struct history *h);

#endif
