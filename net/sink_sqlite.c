/* SQLite: alerts into alert_history, those of rules in mode shadow into shadow_alerts, bars into bars_1m,
 * anomalies into anomalies, halts into events, the cursor into ringtape_cursor, one transaction per batch
 * that is on disk when it ends (WAL, synchronous = FULL). The tables are made by net/migrate.
 *
 * A file that is moved, replaced or deleted while it is open would take events that nobody sees: before each
 * batch the path must still lead to the file that was opened. */
#include "net/sink.h"

#include "net/event_row.h"
#include "net/migrate.h"
#include "net/settings.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_TIMEOUT_MS = 3000, SCRATCH_BYTES = 1 << 18, APPLICATION_ID = 1381253456 /* "RTAP" */ };

enum {
    STATEMENT_BEGIN,
    STATEMENT_CURSOR,
    STATEMENT_ALERT,
    STATEMENT_SHADOW,
    STATEMENT_BAR,
    STATEMENT_ANOMALY,
    STATEMENT_HALT,
    STATEMENT_COMMIT,
    STATEMENTS
};
#define ALERT_VALUES                                                                                         \
    " (timestamp, event_ns, id, rule_id, rule_name, rule_version, symbol, price, message, metadata, seq, "   \
    "kind, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
static const char *const statements[STATEMENTS] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_CURSOR] = "UPDATE ringtape_cursor SET outbox_id = ?1, next_offset = ?2, updated_at = "
                         "CURRENT_TIMESTAMP WHERE node = ?3 AND outbox_id = ?4 AND next_offset = ?5",
    [STATEMENT_ALERT] = "INSERT INTO alert_history" ALERT_VALUES,
    [STATEMENT_SHADOW] = "INSERT INTO shadow_alerts" ALERT_VALUES,
    /* A bar that is there already came from an outbox of before, or from another node. */
    [STATEMENT_BAR] = "INSERT INTO bars_1m (symbol, start, revision, open, high, low, close, volume, vwap, "
                      "trades) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
    [STATEMENT_ANOMALY] = "INSERT INTO anomalies (timestamp, event_ns, id, symbol, type, severity, price, "
                          "value, expected, score, threshold, message, seq) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [STATEMENT_HALT] = "INSERT INTO events (timestamp, event_ns, id, symbol, type, reason, message, seq) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [STATEMENT_COMMIT] = "COMMIT",
};

struct sqlite {
    const struct sink_config *config;
    const char *path;
    sqlite3 *db;
    sqlite3_stmt *statement[STATEMENTS];
    struct stat file;          /* that was opened */
    struct sink_cursor cursor; /* as it was read, or left */
    char scratch[SCRATCH_BYTES];
};

static const char *advice(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another process keeps it locked: end its transaction";
    case SQLITE_FULL:
        return "the disk is full: make room, or set sinks.sqlite to another disk";
    case SQLITE_READONLY:
        return "the file or its folder is read-only: give this user the right to write both";
    case SQLITE_CANTOPEN:
        return "its folder must exist and be writable by this user (the files -wal and -shm are made there)";
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "give this user the right to read and write it";
    case SQLITE_NOTADB:
        return "the file is no SQLite database: set sinks.sqlite to another file";
    case SQLITE_CORRUPT:
        return "the file is damaged: move it away, and restore a backup (or start anew; `sqlite3 FILE "
               ".recover` saves what can be saved)";
    case SQLITE_IOERR:
        return "see the kernel's log for errors of the disk";
    }
    return NULL;
}

static int failed(const struct sqlite *s, const char *what, struct error *err)
{
    const char *fix = advice(sqlite3_errcode(s->db));
    return error_set(err, "%s: %s: %s%s%s", s->path, what, sqlite3_errmsg(s->db), fix ? "; " : "",
                     fix ? fix : "");
}

__attribute__((format(printf, 2, 3))) static void say(const struct sqlite *s, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (s->config->log)
        s->config->log(s->config->log_ctx, line);
}

/* As migrate_db.run. */
static int run(void *ctx, const char *sql, int64_t *value, struct error *err)
{
    struct sqlite *s = ctx;
    while (*sql) {
        sqlite3_stmt *statement;
        int code = sqlite3_prepare_v2(s->db, sql, -1, &statement, &sql);
        if (code == SQLITE_OK && !statement)
            break; /* a comment, or spaces, at the end */
        for (bool first = true; code == SQLITE_OK || code == SQLITE_ROW; first = false) {
            code = sqlite3_step(statement);
            if (code == SQLITE_ROW && first && value)
                *value = sqlite3_column_int64(statement, 0);
        }
        if (sqlite3_finalize(statement) != SQLITE_OK || code != SQLITE_DONE)
            return failed(s, "SQL", err);
    }
    return 0;
}

static int sqlite_check(const struct sink_config *config, struct error *err)
{
    const char *path = config->settings->sinks_sqlite;
    if (!*path || *path == ':' || !strncmp(path, "file:", 5))
        return error_set(err, "sinks.sqlite: found '%s', expected the path of a file", path);
    if (!config->node || !*config->node)
        return error_set(err, "a node without name can have no cursor");
    return 0;
}

/* Refuses a database that is not ours; an empty file is. Both are read in one transaction: another process
 * may be making the tables at this moment. */
static int check_owner(struct sqlite *s, struct error *err)
{
    int64_t id = 0, tables = 0;
    if (run(s, "BEGIN", NULL, err) || run(s, "PRAGMA application_id", &id, err) ||
        run(s, "SELECT count(*) FROM sqlite_master WHERE name <> 'ringtape_migrations'", &tables, err) ||
        run(s, "COMMIT", NULL, err))
        return -1; /* what was begun ends with the connection */
    if (id == APPLICATION_ID || (id == 0 && tables == 0))
        return 0;
    return error_set(err,
                     "%s: the file is the database of another program (application_id %" PRId64 ", %" PRId64
                     " tables and indexes): set sinks.sqlite to another file",
                     s->path, id, tables);
}

/* The change to WAL needs the file alone, and SQLite does not wait for that by itself. */
static int set_wal(struct sqlite *s, struct error *err)
{
    enum { WAIT_MS = 10 };
    for (int waited_ms = 0;; waited_ms += WAIT_MS) {
        if (run(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, err) == 0)
            return 0;
        if ((sqlite3_errcode(s->db) & 0xff) != SQLITE_BUSY || waited_ms >= BUSY_TIMEOUT_MS)
            return -1;
        sqlite3_sleep(WAIT_MS);
    }
}

static int set_up(struct sqlite *s, struct error *err)
{
    uint32_t applied;
    struct migrate_db db = {
        migrations_sqlite,
        MIGRATIONS_SQLITE,
        "BEGIN IMMEDIATE",
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'ringtape_migrations'",
        run,
        s};
    if (check_owner(s, err) || set_wal(s, err) || migrate_up(&db, &applied, err))
        return -1;
    if (applied)
        say(s, "sink sqlite: %s: applied %u migration%s", s->path, applied, applied > 1 ? "s" : "");
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statement[i], NULL))
            return failed(s, "prepare", err);
    return 0;
}

/* 0 with the node's cursor, which is made if there is none: every transaction then has one to compare. */
static int read_cursor(struct sqlite *s, struct sink_cursor *cursor, struct error *err)
{
    static const char *const sql[] = {"INSERT INTO ringtape_cursor (node, outbox_id, next_offset) VALUES "
                                      "(?1, '', 0) ON CONFLICT DO NOTHING",
                                      "SELECT outbox_id, next_offset FROM ringtape_cursor WHERE node = ?1"};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *statement;
        if (sqlite3_prepare_v2(s->db, sql[i], -1, &statement, NULL) ||
            sqlite3_bind_text(statement, 1, s->config->node, -1, SQLITE_STATIC)) {
            sqlite3_finalize(statement);
            return failed(s, "cursor", err);
        }
        int code = sqlite3_step(statement);
        const char *id = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : "";
        int64_t offset = code == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : 0;
        size_t len = id ? strlen(id) : 1;
        bool sound = offset >= 0 && (len == 0 ? offset == 0 : len == SINK_OUTBOX_ID_MAX);
        if (sound)
            snprintf(cursor->outbox_id, sizeof cursor->outbox_id, "%s", id);
        cursor->offset = (uint64_t)offset;
        if (sqlite3_finalize(statement) || code != (i ? SQLITE_ROW : SQLITE_DONE))
            return failed(s, "cursor", err);
        if (!sound)
            return error_set(err,
                             "%s: ringtape_cursor has an outbox id of %zu bytes and offset %" PRId64
                             " for node '%s', expected 32 hex digits and the next event: delete the row to "
                             "deliver all events of the outbox",
                             s->path, len, offset, s->config->node);
    }
    s->cursor = *cursor;
    return 0;
}

static void sqlite_close(void *state)
{
    struct sqlite *s = state;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
}

static int sqlite_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                       struct error *err)
{
    struct sqlite *s = state;
    s->config = config;
    s->path = config->settings->sinks_sqlite;
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL)) {
        if (s->db)
            failed(s, "open", err);
        else
            error_set(err, "%s: no memory", s->path);
    } else {
        sqlite3_extended_result_codes(s->db, 1);
        sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
        if (set_up(s, err) == 0 && read_cursor(s, cursor, err) == 0) {
            if (stat(s->path, &s->file) == 0)
                return 0;
            error_set(err, "%s: %s", s->path, strerror(errno));
        }
    }
    sqlite_close(s);
    return -1;
}

static int step(struct sqlite *s, int i, struct error *err)
{
    sqlite3_stmt *statement = s->statement[i];
    int code = sqlite3_step(statement);
    if (code != SQLITE_DONE)
        failed(s, "delivery", err);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : -1;
}

/* Moves the cursor if it is still what was read. */
static int move_cursor(struct sqlite *s, const struct sink_cursor *next, struct error *err)
{
    sqlite3_stmt *statement = s->statement[STATEMENT_CURSOR];
    sqlite3_bind_text(statement, 1, next->outbox_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (int64_t)next->offset);
    sqlite3_bind_text(statement, 3, s->config->node, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, s->cursor.outbox_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, (int64_t)s->cursor.offset);
    int result = step(s, STATEMENT_CURSOR, err);
    sqlite3_clear_bindings(statement);
    if (result == 0 && sqlite3_changes(s->db) != 1)
        return error_set(err,
                         "%s: the cursor of node %s is no longer at %s %" PRIu64
                         ": another process uses this node's name, or the database was restored",
                         s->path, s->config->node, s->cursor.outbox_id, s->cursor.offset);
    return result;
}

/* Everything but times is bound as text: the columns' affinities make numbers of it. */
static int insert(struct sqlite *s, const struct outbox_record *r, struct error *err)
{
    static const int which_of[OUTBOX_KINDS] = {[OUTBOX_ALERT] = STATEMENT_ALERT,
                                               [OUTBOX_BAR] = STATEMENT_BAR,
                                               [OUTBOX_ANOMALY] = STATEMENT_ANOMALY,
                                               [OUTBOX_HALT] = STATEMENT_HALT,
                                               [OUTBOX_SHADOW] = STATEMENT_SHADOW};
    int which = which_of[r->kind];
    sqlite3_stmt *statement = s->statement[which];
    struct event_row row;
    size_t used = 0;
    if (event_row_read(&row, r, err))
        return SINK_REFUSED;
    for (uint32_t i = 0; i < row.n; i++) {
        struct event_value *v = &row.value[i];
        const char *text = v->text;
        size_t len = v->len;
        if (row.column[i].type == EVENT_NS) {
            sqlite3_bind_int64(statement, (int)i + 1, r->event_ns);
            continue;
        }
        if (row.column[i].type == EVENT_TEXT) {
            assert(used + v->len <= SCRATCH_BYTES);
            text = event_value_unescape(v, s->scratch + used, &len);
            if (!text) {
                error_set(err, "event %" PRIu64 " of the outbox: found a malformed escape in \"%s\"",
                          r->offset, row.column[i].key);
                return SINK_REFUSED;
            }
            used += text == s->scratch + used ? len : 0;
        }
        sqlite3_bind_text(statement, (int)i + 1, text, (int)len, SQLITE_STATIC); /* NULL binds null */
    }
    return step(s, which, err);
}

static int write_batch(struct sqlite *s, const struct outbox_record *record, uint32_t n, struct error *err)
{
    struct sink_cursor next = {"", record[0].offset + n};
    strcpy(next.outbox_id, s->config->outbox_id);
    if (move_cursor(s, &next, err))
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        int result = insert(s, &record[i], err);
        if (result)
            return result;
    }
    if (step(s, STATEMENT_COMMIT, err))
        return -1;
    s->cursor = next;
    return 0;
}

static int sqlite_probe(void *state, struct error *err)
{
    struct sqlite *s = state;
    struct stat now;
    if (stat(s->path, &now) == 0 && now.st_ino == s->file.st_ino && now.st_dev == s->file.st_dev)
        return 0;
    return error_set(err, "%s: the file was replaced or deleted while it was in use: opening it anew",
                     s->path);
}

/* One transaction; if it has an event that is refused, its halves. */
static int deliver(struct sqlite *s, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                   struct error *err)
{
    if (step(s, STATEMENT_BEGIN, err))
        return -1;
    int result = write_batch(s, record, n, err);
    if (result == 0)
        *accepted += n;
    else
        (void)run(s, "ROLLBACK", NULL, NULL);
    if (result != SINK_REFUSED || n == 1)
        return result;
    result = deliver(s, record, n / 2, accepted, err);
    return result ? result : deliver(s, record + n / 2, n - n / 2, accepted, err);
}

static int sqlite_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                          struct error *err)
{
    struct sqlite *s = state;
    assert(n > 0);
    *accepted = 0;
    return sqlite_probe(s, err) ? -1 : deliver(s, record, n, accepted, err);
}

const struct sink_ops sink_sqlite = {.name = "sqlite",
                                     .state_bytes = sizeof(struct sqlite),
                                     .check = sqlite_check,
                                     .open = sqlite_open,
                                     .deliver = sqlite_deliver,
                                     .probe = sqlite_probe,
                                     .close = sqlite_close};
