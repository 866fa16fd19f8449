/* What the market role shows: the columns of toplists (core/toplist.h) of every symbol as of one second,
 * behind them the keys that users' expressions name, and users' own lists. Two copies, of which one is shown
 * while the next is written into the other, so that a reader has as long as a second takes, and never makes
 * the writer wait.
 *
 * Threading: the market role writes, any process reads. A writer that died within a copy leaves the other.
 * The metrics of the keys are set before anyone else joins, and stay.
 * Join fails (NULL) for: NULL, bad alignment, another magic, rows and keys that do not fit `bytes`.
 */
#ifndef SHM_MARKETTAB_H
#define SHM_MARKETTAB_H

#include "core/toplist.h"
#include "shm/symtab.h"

#include <stddef.h>

struct markettab;

enum { MARKETTAB_LISTS = 256, MARKETTAB_NAME_MAX = 127, MARKETTAB_USER_MAX = 63 };

/* A user's list. Texts end with NUL. */
struct market_list {
    struct toplist list;
    char name[MARKETTAB_NAME_MAX + 1];
    char user_id[MARKETTAB_USER_MAX + 1];
    bool enabled;
    uint8_t pad[7];
};
_Static_assert(sizeof(struct market_list) % sizeof(uint64_t) == 0, "copied as words");

/* A second. `rows` symbols, ids from 0. */
struct market_second {
    int64_t time_ns; /* each bucket's values are as of its clock in this second, or its last one before */
    uint64_t seq;    /* the message after which they are known: the last of those clocks */
    uint64_t rows;
    uint64_t final; /* 1: as of the stream's end */
};

size_t markettab_align(void);
/* keys: 0 to TOPLIST_KEYS_MAX. */
size_t markettab_footprint(uint32_t rows_max, uint32_t keys);
struct markettab *markettab_new(void *mem, uint32_t rows_max, uint32_t keys);
struct markettab *markettab_join(void *mem, size_t bytes);
static inline void *markettab_leave(struct markettab *t)
{
    return t;
}
uint32_t markettab_rows_max(const struct markettab *t);

/* The metrics of its keys, as many as it was made with; and them again: 0, or -1 with err, and no keys. */
void markettab_set_keys(struct markettab *t, const struct toplist_keys *k);
int markettab_keys(const struct markettab *t, struct toplist_keys *k, struct error *err);
/* Of a row: TOPLIST_COLUMNS values, then the bits of a key for each metric of those. */
uint32_t markettab_columns(const struct markettab *t);

/* Shows another second: rows of markettab_columns each. */
void markettab_show(struct markettab *t, const struct market_second *second, const double *value);
/* Seconds shown so far: it changes with each. */
uint64_t markettab_shown(const struct markettab *t);

/* Copies what is shown; `value` has room for markettab_rows_max rows. 0; MARKETTAB_NONE: nothing yet;
 * MARKETTAB_TORN: it changed each time while it was read. */
enum { MARKETTAB_NONE = -1, MARKETTAB_TORN = -2 };
int markettab_read(const struct markettab *t, struct market_second *second, double *value)
    __attribute__((warn_unused_result));

/* Ranks the rows of a second for r->list, names of the symbol table's. `condition` is the list's expression
 * with the table's keys. */
void markettab_rank(const struct markettab *t, const struct market_second *second, const double *value,
                    const struct symtab *names, const struct toplist_condition *condition,
                    struct toplist_ranking *r);

/* Replaces users' lists, at most MARKETTAB_LISTS; and copies them out: how many, or MARKETTAB_TORN. */
void markettab_set_lists(struct markettab *t, const struct market_list *list, uint32_t n);
int markettab_lists(const struct markettab *t, struct market_list list[MARKETTAB_LISTS])
    __attribute__((warn_unused_result));

#endif
