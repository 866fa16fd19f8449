/* The schema of a database, in numbered steps up and down. The SQL is scripts/migrations/{postgres,sqlite},
 * compiled in: a node needs no files.
 *
 * A database keeps what was applied in its table ringtape_migrations. All steps that are due are one
 * transaction behind a lock, so that of several processes that start at once one migrates and the others find
 * it done; a step that fails leaves everything as it was.
 */
#ifndef NET_MIGRATE_H
#define NET_MIGRATE_H

#include "core/error.h"

#include <stdint.h>

/* Step i is number i + 1. */
struct migration {
    const char *name, *up, *down;
};

enum { MIGRATIONS_POSTGRES = 5, MIGRATIONS_SQLITE = 5 };
extern const struct migration migrations_postgres[MIGRATIONS_POSTGRES];
extern const struct migration migrations_sqlite[MIGRATIONS_SQLITE];

/* How to reach the database. */
struct migrate_db {
    const struct migration *list;
    uint32_t count;
    const char *begin;  /* opens a transaction, behind the lock */
    const char *exists; /* a query: 1 if there is a table ringtape_migrations, else 0 */
    /* Runs statements; *value (may be NULL) becomes the number in the first column of the last one's first
     * row. */
    int (*run)(void *ctx, const char *sql, int64_t *value, struct error *err);
    void *ctx;
};

/* Brings the database to the newest step. 0 also if there was nothing to do, *applied (may be NULL): how many
 * steps. -1 with err: a step failed, or the database is newer than this program. */
int migrate_up(const struct migrate_db *db, uint32_t *applied, struct error *err)
    __attribute__((warn_unused_result));

/* Up or down to step `target`, 0 = nothing is left but ringtape_migrations. Down deletes data. */
int migrate_to(const struct migrate_db *db, uint32_t target, struct error *err)
    __attribute__((warn_unused_result));

#endif
