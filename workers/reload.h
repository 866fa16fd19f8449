/* Rules that change while an instance runs: what is in force, what a file of rules would change of it, as
 * RULE messages. A rule whose content changed is a new version: the file's, or one more than that in force;
 * one that is gone from the file is switched off by a version of its own. What is unchanged is left alone.
 */
#ifndef WORKERS_RELOAD_H
#define WORKERS_RELOAD_H

#include "net/rules_file.h"

struct reload;

struct reload *reload_new(void);
void reload_free(struct reload *r);

/* A rule has come into force in a slot, as its RULE messages carry it. Of an id the highest slot counts. */
void reload_see(struct reload *r, uint32_t slot, const uint8_t *bytes, uint32_t len);

struct reload_change {
    uint32_t added, changed, removed, unchanged;
    uint32_t n, room; /* slots */
    struct msg *m;
};

/* What makes the rules in force those of the file. 0, or -1 with err: more than `slots_max` versions. */
int reload_compare(const struct reload *r, const struct rules_file *f, uint32_t slots_max,
                   struct reload_change *out, struct error *err) __attribute__((warn_unused_result));
void reload_change_free(struct reload_change *c);

#endif
