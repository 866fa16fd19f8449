/* The error log: one record for each distinct error (role and text), with how often, first and last time.
 * Errors of every process of an instance in one place; a storm of one error is one line. (The idea is
 * Aeron's.)
 *
 * Keep what varies (numbers, names) out of the text where it could take many values: records are never freed.
 * When no record is free, an error is counted as dropped.
 *
 * Threading: any process writes and reads at any time; lock-free. A record is taken by a compare-and-swap on
 * its hash, so that two processes with the same error share one. Join fails (NULL) for: NULL, bad alignment,
 * another magic, a record count that does not fit `bytes`.
 */
#ifndef SHM_ERRLOG_H
#define SHM_ERRLOG_H

#include <stddef.h>
#include <stdint.h>

enum { ERRLOG_TEXT_MAX = 207 };

struct errlog;

size_t errlog_align(void);
size_t errlog_footprint(uint32_t records_max);
struct errlog *errlog_new(void *mem, uint32_t records_max);
struct errlog *errlog_join(void *mem, size_t bytes);
static inline void *errlog_leave(struct errlog *l)
{
    return l;
}

/* Counts the error. `role` is an enum role_kind, `now_ns` UTC; a longer text is cut. Returns how often this
 * one has occurred, this time included, so that a caller can log the first; 0 if it was dropped. Not for the
 * hot path. */
uint64_t errlog_record(struct errlog *l, unsigned role, uint32_t index, int64_t now_ns, const char *text);

struct errlog_entry {
    uint64_t count;
    int64_t first_ns, last_ns; /* UTC */
    uint16_t role, index;
    char text[ERRLOG_TEXT_MAX + 1];
};

/* Walks the records: fills *entry and returns true while there are any. *at starts at 0. */
_Bool errlog_next(const struct errlog *l, uint32_t *at, struct errlog_entry *entry);
uint64_t errlog_dropped(const struct errlog *l);

#endif
