#include "net/migrate.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* A file's content as a text; the path is seen from the project's root, where the compiler runs. */
#define SQL_FILE(symbol, path)                                                                               \
    __asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"scripts/migrations/" path                         \
            "\"\n.byte 0\n.popsection\n");                                                                   \
    extern const char symbol[] __attribute__((visibility("hidden")))

SQL_FILE(migrate_postgres_1_up, "postgres/0001_events.up.sql");
SQL_FILE(migrate_postgres_1_down, "postgres/0001_events.down.sql");
SQL_FILE(migrate_postgres_2_up, "postgres/0002_anomalies.up.sql");
SQL_FILE(migrate_postgres_2_down, "postgres/0002_anomalies.down.sql");
SQL_FILE(migrate_postgres_3_up, "postgres/0003_revisions.up.sql");
SQL_FILE(migrate_postgres_3_down, "postgres/0003_revisions.down.sql");
SQL_FILE(migrate_postgres_4_up, "postgres/0004_halts.up.sql");
SQL_FILE(migrate_postgres_4_down, "postgres/0004_halts.down.sql");
SQL_FILE(migrate_postgres_5_up, "postgres/0005_shadow_alerts.up.sql");
SQL_FILE(migrate_postgres_5_down, "postgres/0005_shadow_alerts.down.sql");
SQL_FILE(migrate_sqlite_1_up, "sqlite/0001_events.up.sql");
SQL_FILE(migrate_sqlite_1_down, "sqlite/0001_events.down.sql");
SQL_FILE(migrate_sqlite_2_up, "sqlite/0002_anomalies.up.sql");
SQL_FILE(migrate_sqlite_2_down, "sqlite/0002_anomalies.down.sql");
SQL_FILE(migrate_sqlite_3_up, "sqlite/0003_revisions.up.sql");
SQL_FILE(migrate_sqlite_3_down, "sqlite/0003_revisions.down.sql");
SQL_FILE(migrate_sqlite_4_up, "sqlite/0004_halts.up.sql");
SQL_FILE(migrate_sqlite_4_down, "sqlite/0004_halts.down.sql");
SQL_FILE(migrate_sqlite_5_up, "sqlite/0005_shadow_alerts.up.sql");
SQL_FILE(migrate_sqlite_5_down, "sqlite/0005_shadow_alerts.down.sql");

const struct migration migrations_postgres[] = {
    {"events", migrate_postgres_1_up, migrate_postgres_1_down},
    {"anomalies", migrate_postgres_2_up, migrate_postgres_2_down},
    {"revisions", migrate_postgres_3_up, migrate_postgres_3_down},
    {"halts", migrate_postgres_4_up, migrate_postgres_4_down},
    {"shadow_alerts", migrate_postgres_5_up, migrate_postgres_5_down}};
const struct migration migrations_sqlite[] = {{"events", migrate_sqlite_1_up, migrate_sqlite_1_down},
                                              {"anomalies", migrate_sqlite_2_up, migrate_sqlite_2_down},
                                              {"revisions", migrate_sqlite_3_up, migrate_sqlite_3_down},
                                              {"halts", migrate_sqlite_4_up, migrate_sqlite_4_down},
                                              {"shadow_alerts", migrate_sqlite_5_up, migrate_sqlite_5_down}};

static int read_version(const struct migrate_db *db, int64_t *version, struct error *err)
{
    int64_t exists = 0;
    *version = 0;
    if (db->run(db->ctx, db->exists, &exists, err))
        return -1;
    if (exists && db->run(db->ctx, "SELECT coalesce(max(version), 0) FROM ringtape_migrations", version, err))
        return -1;
    if (*version < 0 || *version > db->count)
        return error_set(err,
                         "the database has migration %" PRId64
                         ", this ringtape knows those up to %u: use the newer ringtape that made it, or "
                         "another database",
                         *version, db->count);
    return 0;
}

/* One step, up or down to `version`. */
static int step(const struct migrate_db *db, uint32_t number, int up, struct error *err)
{
    const struct migration *m = &db->list[number - 1];
    char record[256];
    if (up)
        snprintf(record, sizeof record, "INSERT INTO ringtape_migrations (version, name) VALUES (%u, '%s')",
                 number, m->name);
    else
        snprintf(record, sizeof record, "DELETE FROM ringtape_migrations WHERE version = %u", number);
    if (db->run(db->ctx, up ? m->up : m->down, NULL, err) || db->run(db->ctx, record, NULL, err))
        return error_prefix(err, "migration %04u_%s.%s", number, m->name, up ? "up" : "down");
    return 0;
}

static int walk(const struct migrate_db *db, uint32_t target, uint32_t *steps, struct error *err)
{
    int64_t version;
    if (db->run(db->ctx,
                "CREATE TABLE IF NOT EXISTS ringtape_migrations (version integer PRIMARY KEY, name text NOT "
                "NULL, applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)",
                NULL, err) ||
        read_version(db, &version, err))
        return -1;
    for (; version < target; version++, ++*steps)
        if (step(db, (uint32_t)version + 1, 1, err))
            return -1;
    for (; version > target; version--, ++*steps)
        if (step(db, (uint32_t)version, 0, err))
            return -1;
    return db->run(db->ctx, "COMMIT", NULL, err);
}

static int migrate(const struct migrate_db *db, uint32_t target, uint32_t *steps, struct error *err)
{
    assert(target <= db->count);
    *steps = 0;
    if (db->run(db->ctx, db->begin, NULL, err))
        return -1;
    if (walk(db, target, steps, err) == 0)
        return 0;
    (void)db->run(db->ctx, "ROLLBACK", NULL, NULL);
    return -1;
}

int migrate_up(const struct migrate_db *db, uint32_t *applied, struct error *err)
{
    int64_t version;
    uint32_t steps = 0;
    if (read_version(db, &version, err)) /* no lock, no right to create: the usual case needs neither */
        return -1;
    if (version < db->count && migrate(db, db->count, &steps, err))
        return -1;
    if (applied)
        *applied = steps;
    return 0;
}

int migrate_to(const struct migrate_db *db, uint32_t target, struct error *err)
{
    uint32_t steps;
    return migrate(db, target, &steps, err);
}
