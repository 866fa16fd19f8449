/* The rule table: the content of every rule version by slot, append-only. Ingest puts a rule there before it
 * pushes the RULE message that names the slot, so that the publisher (names, ids) and readers find it.
 *
 * What the bytes are is between ingest and readers; the table does not look at them. Bytes, once put, never
 * change or move. Only the flags may.
 *
 * Threading: ingest alone puts and flags, any process reads.
 * Join fails (NULL) for: NULL, bad alignment, another magic, sizes that do not fit `bytes`.
 */
#ifndef SHM_RULETAB_H
#define SHM_RULETAB_H

#include "core/rule_stats.h"

#include <stddef.h>
#include <stdint.h>

struct ruletab;

size_t ruletab_align(void);
size_t ruletab_footprint(uint32_t slots_max, uint64_t text_bytes);
struct ruletab *ruletab_new(void *mem, uint32_t slots_max, uint64_t text_bytes);
struct ruletab *ruletab_join(void *mem, size_t bytes);
static inline void *ruletab_leave(struct ruletab *t)
{
    return t;
}

enum {
    RULETAB_SLOT = -1, /* slot >= slots_max: limits.rules */
    RULETAB_FULL = -2, /* no room for the bytes: limits.rules_bytes */
    RULETAB_TAKEN = -3 /* the slot holds other bytes */
};

/* Copies `len` bytes (1 .. 2^31 - 1) to a slot. 0, also if the slot holds the same bytes already (a restarted
 * ingest may put again what it did; flags are then set anew), or one of the above. */
int ruletab_put(struct ruletab *t, uint32_t slot, const void *bytes, size_t len, uint32_t flags)
    __attribute__((warn_unused_result));

struct rule_blob {
    const char *bytes; /* in the table: valid as long as it is mapped */
    uint32_t len;
    uint32_t flags;
};

/* True with *blob filled if the slot holds something. */
_Bool ruletab_get(const struct ruletab *t, uint32_t slot, struct rule_blob *blob);

/* Sets the flags of a slot that holds something (assert). */
void ruletab_set_flags(struct ruletab *t, uint32_t slot, uint32_t flags);

/* 1 + the highest slot that holds something, 0 if none does. */
uint32_t ruletab_count(const struct ruletab *t);
uint64_t ruletab_bytes_used(const struct ruletab *t);

/* Statistics: an array of struct rule_stats by slot, one array for each scanner. */
struct rule_stats_table;
size_t rule_stats_align(void);
size_t rule_stats_footprint(uint32_t slots_max);
struct rule_stats_table *rule_stats_new(void *mem, uint32_t slots_max);
struct rule_stats_table *rule_stats_join(void *mem, size_t bytes);
/* The array, slots_max long, for the engine to fill. */
struct rule_stats *rule_stats_rows(struct rule_stats_table *t);
uint32_t rule_stats_count(const struct rule_stats_table *t);
/* Adds a slot's values to *sum, for readers that sum the scanners'. slot < count, asserted. */
void rule_stats_add(const struct rule_stats_table *t, uint32_t slot, struct rule_stats *sum);

#endif
