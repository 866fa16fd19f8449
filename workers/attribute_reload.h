/* Attributes that change while an instance runs: what ATTR messages have said of each symbol, and what a file
 * that was read since says. Where the two differ the symbol is given an ATTR message, also one that comes
 * after that file was read. */
#ifndef WORKERS_ATTRIBUTE_RELOAD_H
#define WORKERS_ATTRIBUTE_RELOAD_H

#include "net/attributes.h"
#include "shm/symtab.h"

struct attribute_reload;

/* For symbol ids below `ids`. */
struct attribute_reload *attribute_reload_new(uint32_t ids);
void attribute_reload_free(struct attribute_reload *r);

/* A SYMBOL or ATTR that goes into the stream; others are passed over. */
void attribute_reload_see(struct attribute_reload *r, const struct msg *m);
/* From now on this file holds; it is freed here. */
void attribute_reload_set(struct attribute_reload *r, struct attribute_file *now);
/* Something may differ: the file is new, or a symbol. */
bool attribute_reload_is_due(const struct attribute_reload *r);

/* Symbols of which the file says other than what was given. */
uint32_t attribute_reload_count(const struct attribute_reload *r, const struct attribute_file *now,
                                const struct symtab *names);
/* Their ATTR messages: *n slots, the caller's to free; NULL: none. Nothing is due then. */
struct msg *attribute_reload_take(struct attribute_reload *r, const struct symtab *names, uint32_t *n);

#endif
