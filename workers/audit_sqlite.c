/* The audit of the SQLite sink: each event before the cursor has its row in alert_history or bars_1m, all
 * read in one transaction. Rows of other outboxes may stand beside them: they are counted, and no fault. */
#include "workers/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

static int failed(const struct audit_sink *s, struct error *err)
{
    return error_set(err, "%s: %s", s->settings->sinks_sqlite, sqlite3_errmsg(s->state));
}

/* Reading a database in WAL mode leaves files beside it, but for one that is said not to change: true where
 * nobody has it open, and nobody died over it. */
static int open_database(const struct audit *a, const char *path, sqlite3 **db)
{
    char uri[3 * SETTING_TEXT_MAX + 32] = "file:", wal[SETTING_TEXT_MAX + 8];
    size_t n = strlen(uri);
    for (const char *c = path; *c; c++)
        n +=
            (size_t)snprintf(uri + n, sizeof uri - n, strchr("%?#", *c) ? "%%%02X" : "%c", (unsigned char)*c);
    snprintf(wal, sizeof wal, "%s-wal", path);
    if (!a->alive && access(wal, F_OK))
        snprintf(uri + n, sizeof uri - n, "?immutable=1");
    return sqlite3_open_v2(uri, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
}

int audit_sqlite_open(struct audit *a, struct audit_sink *s, struct error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    const char *node = s->settings->node_name;
    struct outbox_reader *o = node[0] ? NULL : outbox_reader_open(a->outbox_dir, 0, NULL, err);
    if (!node[0] && !o)
        return -1;
    int rc = open_database(a, s->settings->sinks_sqlite, &db);
    s->state = db;
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, 3000) || sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) ||
             sqlite3_prepare_v2(db, "SELECT outbox_id, next_offset FROM ringtape_cursor WHERE node = ?1", -1,
                                &q, NULL) ||
             sqlite3_bind_text(q, 1, o ? outbox_reader_id(o) : node, -1, SQLITE_TRANSIENT);
    int step = rc == SQLITE_OK ? sqlite3_step(q) : SQLITE_ERROR;
    if (step == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(q, 0);
        snprintf(s->cursor.outbox_id, sizeof s->cursor.outbox_id, "%s", id ? id : "");
        s->cursor.offset = (uint64_t)sqlite3_column_int64(q, 1);
        s->found = s->cursor.outbox_id[0];
    }
    outbox_reader_close(o);
    if (step == SQLITE_ROW || step == SQLITE_DONE) {
        sqlite3_finalize(q);
        return 0;
    }
    failed(s, err);
    sqlite3_finalize(q);
    audit_sqlite_close(s);
    return -1;
}

void audit_sqlite_close(struct audit_sink *s)
{
    sqlite3_close(s->state);
    s->state = NULL;
}

/* How many rows there are of the event; -1 if the database refuses. */
static int rows_of(sqlite3_stmt *q, const json_t *event, bool alert)
{
    const char *const keys[2][3] = {{"symbol", "timestamp", NULL}, {"symbol", "timestamp", "id"}};
    sqlite3_reset(q);
    for (int i = 0; i < 3 && keys[alert][i]; i++)
        sqlite3_bind_text(q, i + 1, json_string_value(json_object_get(event, keys[alert][i])), -1,
                          SQLITE_STATIC);
    sqlite3_bind_int64(q, alert ? 4 : 3, json_integer_value(json_object_get(event, "revision")));
    if (alert)
        sqlite3_bind_int64(q, 5, json_integer_value(json_object_get(event, "seq")));
    return sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int(q, 0) : -1;
}

static void look(struct audit *a, struct audit_sink *s, sqlite3_stmt *q[2], struct outbox_reader *o)
{
    struct outbox_record r;
    struct error err;
    char text[AUDIT_TEXT];
    while (outbox_read(o, &r, &err) == 1 && r.offset - a->first < a->n && r.offset < s->cursor.offset) {
        uint32_t i = (uint32_t)(r.offset - a->first);
        bool alert = r.kind == OUTBOX_ALERT;
        struct audit_stage *stage = alert ? s->stage : s->bars_stage;
        json_t *event = json_loadb(r.json, r.json_len, 0, NULL);
        int rows = rows_of(q[alert], event, alert);
        json_decref(event);
        s->times[i] = rows > 0;
        if (rows < 0) {
            stage->unchecked = true;
            audit_find(a, stage, "%s", sqlite3_errmsg(s->state));
            return;
        }
        if (rows > 1) {
            stage->unexpected += (uint64_t)rows - 1;
            audit_find(a, stage, "%s has %d rows", audit_event_text(a, i, text), rows);
        }
    }
}

void audit_sqlite_read(struct audit *a, struct audit_sink *s)
{
    static const char *const sql[2] = {
        "SELECT count(*) FROM bars_1m WHERE symbol = ?1 AND start = ?2 AND revision = ?3",
        "SELECT count(*) FROM alert_history WHERE symbol = ?1 AND timestamp = ?2 AND id = ?3 AND revision = "
        "?4 "
        "AND seq = ?5"};
    sqlite3_stmt *q[2] = {NULL, NULL};
    struct error err;
    struct outbox_reader *o = NULL;
    if (sqlite3_prepare_v2(s->state, sql[0], -1, &q[0], NULL) ||
        sqlite3_prepare_v2(s->state, sql[1], -1, &q[1], NULL))
        failed(s, &err);
    else
        o = outbox_reader_open(a->outbox_dir, a->first, NULL, &err);
    if (o) {
        look(a, s, q, o);
    } else {
        s->stage->unchecked = s->bars_stage->unchecked = true;
        audit_find(a, s->stage, "%s", err.text);
    }
    outbox_reader_close(o);
    sqlite3_finalize(q[0]);
    sqlite3_finalize(q[1]);
}
