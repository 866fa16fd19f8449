/* The audit of the SQLite sink: each event before the cursor has its row in alert_history, bars_1m or
 * anomalies, all read in one transaction, with the values that the event has. Rows of other outboxes may
 * stand beside them: they are no fault. */
#include "workers/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "net/event_json.h"
#include "net/event_row.h"
#include "net/text.h"

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

static void sqlite_close(struct audit_sink *s)
{
    sqlite3_close(s->state);
    s->state = NULL;
}

static int sqlite_open(struct audit *a, struct audit_sink *s, struct error *err)
{
    char node[SETTING_TEXT_MAX];
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    if (audit_node(a, s->settings, node, err) < 0)
        return -1;
    int rc = open_database(a, s->settings->sinks_sqlite, &db);
    s->state = db;
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, 3000) || sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) ||
             sqlite3_prepare_v2(db, "SELECT outbox_id, next_offset FROM ringtape_cursor WHERE node = ?1", -1,
                                &q, NULL) ||
             sqlite3_bind_text(q, 1, node, -1, SQLITE_STATIC);
    int step = rc == SQLITE_OK ? sqlite3_step(q) : SQLITE_ERROR;
    if (step == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(q, 0);
        snprintf(s->cursor.outbox_id, sizeof s->cursor.outbox_id, "%s", id ? id : "");
        s->cursor.offset = (uint64_t)sqlite3_column_int64(q, 1);
        s->found = s->cursor.outbox_id[0];
    }
    if (step == SQLITE_ROW || step == SQLITE_DONE) {
        sqlite3_finalize(q);
        return 0;
    }
    failed(s, err);
    sqlite3_finalize(q);
    sqlite_close(s);
    return -1;
}

/* Of the tables, where it is another than in the JSON. */
static const char *column_name(const struct event_column *c, bool bar)
{
    return c->type == EVENT_NS ? "event_ns" : c->type == EVENT_TIME && bar ? "start" : c->key;
}

#define WHERE_ALERT " WHERE symbol = ?7 AND timestamp = ?1 AND id = ?3 AND revision = ?13 AND seq = ?11"
/* Where the row of an event is, of its columns in their order. */
static const struct {
    const struct event_column *column;
    int columns;
    const char *where;
} tables[AUDIT_KINDS] = {
    [OUTBOX_ALERT] = {event_alert_columns, EVENT_ALERT_COLUMNS, "alert_history" WHERE_ALERT},
    [OUTBOX_SHADOW] = {event_alert_columns, EVENT_ALERT_COLUMNS, "shadow_alerts" WHERE_ALERT},
    [OUTBOX_BAR] = {event_bar_columns, EVENT_BAR_COLUMNS,
                    "bars_1m WHERE symbol = ?1 AND start = ?2 AND revision = ?3"},
    [OUTBOX_ANOMALY] = {event_anomaly_columns, EVENT_ANOMALY_COLUMNS,
                        "anomalies WHERE symbol = ?4 AND timestamp = ?1 AND id = ?3 AND seq = ?13"},
    [OUTBOX_HALT] = {event_halt_columns, EVENT_HALT_COLUMNS,
                     "events WHERE symbol = ?4 AND timestamp = ?1 AND id = ?3 AND seq = ?8"},
};

/* The query for an event's row: how many there are, and what differs in one of them; its parameters are the
 * event's columns in their order. The text is to be freed. */
static char *question(enum outbox_kind kind)
{
    const struct event_column *column = tables[kind].column;
    struct text t = {0};
    text_printf(&t, "SELECT count(*), max(CASE");
    for (int i = 0; i < tables[kind].columns; i++) {
        const char *name = column_name(&column[i], kind == OUTBOX_BAR);
        text_printf(
            &t,
            " WHEN %s IS NOT ?%d THEN '%s is ' || ifnull(%s, 'null') || ', expected ' || ifnull(?%d, 'null')",
            name, i + 1, name, name, i + 1);
    }
    text_printf(&t, " END) FROM %s", tables[kind].where);
    if (t.failed)
        abort();
    return t.data;
}

/* Binds the event as the sink does. */
static int ask(sqlite3_stmt *q, const struct outbox_record *r, struct error *err)
{
    static char scratch[EVENT_JSON_MAX];
    struct event_row row;
    size_t used = 0;
    if (event_row_read(&row, r, err))
        return -1;
    sqlite3_reset(q);
    for (uint32_t i = 0; i < row.n; i++) {
        const struct event_value *v = &row.value[i];
        const char *text = v->text;
        size_t len = v->len;
        if (row.column[i].type == EVENT_NS) {
            sqlite3_bind_int64(q, (int)i + 1, r->event_ns);
            continue;
        }
        if (row.column[i].type == EVENT_TEXT) {
            if (used + v->len > sizeof scratch || !(text = event_value_unescape(v, scratch + used, &len)))
                return error_set(err, "event %" PRIu64 " of the outbox is no event", r->offset);
            used += text == scratch + used ? len : 0;
        }
        sqlite3_bind_text(q, (int)i + 1, text, (int)len, SQLITE_STATIC);
    }
    return 0;
}

static int look(struct audit *a, struct audit_sink *s, sqlite3_stmt *q[AUDIT_KINDS], struct outbox_reader *o,
                struct error *err)
{
    struct outbox_record r;
    char text[AUDIT_TEXT];
    int got;
    while ((got = outbox_read(o, &r, err)) == 1 && r.offset - a->first < a->n &&
           r.offset < s->cursor.offset) {
        uint32_t i = (uint32_t)(r.offset - a->first);
        if (r.kind >= AUDIT_KINDS || !q[r.kind])
            return error_set(err, "event %" PRIu64 " of the outbox is of no kind", r.offset);
        struct audit_stage *stage = s->stage[r.kind];
        if (ask(q[r.kind], &r, err) < 0)
            return -1;
        if (sqlite3_step(q[r.kind]) != SQLITE_ROW)
            return failed(s, err);
        int rows = sqlite3_column_int(q[r.kind], 0);
        const char *differs = (const char *)sqlite3_column_text(q[r.kind], 1);
        s->times[i] = rows > 0;
        if (differs)
            audit_find(a, stage, "the row of %s was changed: %.300s", audit_event_text(a, i, text), differs);
        if (rows > 1) {
            stage->unexpected += (uint64_t)rows - 1;
            audit_find(a, stage, "%s has %d rows", audit_event_text(a, i, text), rows);
        }
    }
    return got < 0 && !a->broken ? -1 : 0;
}

static void sqlite_read(struct audit *a, struct audit_sink *s)
{
    sqlite3_stmt *q[AUDIT_KINDS] = {NULL};
    struct error err;
    struct outbox_reader *o = NULL;
    int rc = 0;
    for (int k = 0; k < AUDIT_KINDS && rc == 0; k++) {
        if (!tables[k].where)
            continue;
        char *sql = question(k);
        rc = sqlite3_prepare_v2(s->state, sql, -1, &q[k], NULL) ? failed(s, &err) : 0;
        free(sql);
    }
    if (rc == 0 && !(o = outbox_reader_open(a->outbox_dir, a->first, NULL, &err)))
        rc = -1;
    if (rc < 0 || look(a, s, q, o, &err) < 0)
        audit_sink_unread(a, s, &err);
    outbox_reader_close(o);
    for (int k = 0; k < AUDIT_KINDS; k++)
        sqlite3_finalize(q[k]);
}

static const char *where(const struct settings *s)
{
    return s->sinks_sqlite;
}

const struct audit_sink_ops audit_sqlite = {.name = "sqlite",
                                            .stage = {[OUTBOX_ALERT] = "sqlite alerts",
                                                      [OUTBOX_BAR] = "sqlite bars",
                                                      [OUTBOX_ANOMALY] = "sqlite anomalies",
                                                      [OUTBOX_HALT] = "sqlite halts",
                                                      [OUTBOX_SHADOW] = "sqlite shadow alerts"},
                                            .where = where,
                                            .open = sqlite_open,
                                            .read = sqlite_read,
                                            .close = sqlite_close};
