/* The audit of the PostgreSQL sink: each event before the cursor has its row in alert_history, bars_1m or
 * anomalies, with the values that the event has, all read in one transaction that is read only. The server
 * compares: it gets the events' JSON, a chunk at a time, and says of each how many rows there are and what
 * differs.
 *
 * Rows of other outboxes may stand beside them: they are no fault. An alert has the same id from every node,
 * so there may be as many rows of it as there are nodes with a cursor. */
#include "workers/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "net/postgres_link.h"
#include "net/text.h"

enum { CHUNK = 500, ANSWER_MS = 30000 };

struct postgres_audit {
    PGconn *conn;
    struct text question[AUDIT_KINDS];
    int64_t nodes; /* that have a cursor */
};

/* Columns of the tables that the event's JSON has too, under the same names (but event_ns). */
struct column {
    const char *name, *type;
};
static const struct column alert_columns[] = {
    {"id", "uuid"},     {"rule_id", "text"},  {"rule_name", "text"},  {"rule_version", "bigint"},
    {"symbol", "text"}, {"price", "numeric"}, {"message", "text"},    {"metadata", "jsonb"},
    {"seq", "bigint"},  {"kind", "text"},     {"revision", "bigint"}, {NULL, NULL}};
static const struct column bar_columns[] = {{"symbol", "text"},    {"revision", "bigint"},
                                            {"open", "numeric"},   {"high", "numeric"},
                                            {"low", "numeric"},    {"close", "numeric"},
                                            {"volume", "numeric"}, {"vwap", "numeric"},
                                            {"trades", "bigint"},  {NULL, NULL}};

static const struct column anomaly_columns[] = {{"id", "uuid"},
                                                {"symbol", "text"},
                                                {"type", "text"},
                                                {"severity", "text"},
                                                {"price", "numeric"},
                                                {"value", "double precision"},
                                                {"expected", "double precision"},
                                                {"score", "double precision"},
                                                {"threshold", "double precision"},
                                                {"message", "text"},
                                                {"seq", "bigint"},
                                                {NULL, NULL}};

static const struct column halt_columns[] = {{"id", "uuid"},     {"symbol", "text"},  {"type", "text"},
                                             {"reason", "text"}, {"message", "text"}, {"seq", "bigint"},
                                             {NULL, NULL}};

/* By enum outbox_kind: the row of an event e is the row r of `name` that has its symbol, its time in `at` and
 * what `own` says. */
static const struct {
    const char *name, *at, *own;
    const struct column *columns;
    bool has_ns; /* a column event_ns */
} tables[AUDIT_KINDS] = {
    [OUTBOX_ALERT] = {"alert_history", "\"timestamp\"", "r.revision = e.revision AND r.id = e.id",
                      alert_columns, true},
    [OUTBOX_SHADOW] = {"shadow_alerts", "\"timestamp\"", "r.revision = e.revision AND r.id = e.id",
                       alert_columns, true},
    [OUTBOX_BAR] = {"bars_1m", "start", "r.revision = e.revision", bar_columns, false},
    [OUTBOX_ANOMALY] = {"anomalies", "\"timestamp\"", "r.id = e.id", anomaly_columns, true},
    [OUTBOX_HALT] = {"events", "\"timestamp\"", "r.id = e.id", halt_columns, true},
};

static void append_differs(struct text *sql, const char *column)
{
    text_printf(sql, " WHEN r.%s IS DISTINCT FROM e.%s THEN '%s is ' || coalesce(r.%s::text, 'null')", column,
                column, column, column);
    text_printf(sql, " || ', expected ' || coalesce(e.%s::text, 'null')", column);
}

/* The question about a chunk of events, which are its parameter: [{"i":place,"ns":event_ns,"e":event},…]. A
 * row per event: its place, how many rows of the table are its, what differs in one of them. */
static void make_question(struct text *sql, enum outbox_kind kind)
{
    const struct column *columns = tables[kind].columns;
    text_clear(sql);
    text_printf(sql, "SELECT e.i, count(r.symbol), max(CASE WHEN r.symbol IS NULL THEN NULL");
    if (tables[kind].has_ns)
        append_differs(sql, "event_ns");
    for (const struct column *c = columns; c->name; c++)
        append_differs(sql, c->name);
    text_printf(sql,
                " END) FROM (SELECT x.i, x.ns AS event_ns, timestamptz 'epoch' + x.ns / 1000 * interval "
                "'1 microsecond' AS at, j.* FROM jsonb_to_recordset($1::jsonb) AS x(i bigint, ns bigint, "
                "e jsonb) CROSS JOIN LATERAL jsonb_to_record(x.e) AS j(");
    for (const struct column *c = columns; c->name; c++)
        text_printf(sql, "%s%s %s", c == columns ? "" : ", ", c->name, c->type);
    text_printf(sql, ")) AS e LEFT JOIN %s r ON r.symbol = e.symbol AND r.%s = e.at AND %s GROUP BY e.i",
                tables[kind].name, tables[kind].at, tables[kind].own);
    if (sql->failed)
        abort();
}

static const char *where(const struct settings *s)
{
    return s->sinks_postgres;
}

static void postgres_close(struct audit_sink *s)
{
    struct postgres_audit *p = s->state;
    PQfinish(p->conn);
    for (int k = 0; k < AUDIT_KINDS; k++)
        text_free(&p->question[k]);
    free(p);
    s->state = NULL;
}

/* The one result of a statement, rows or none; NULL with err. */
static PGresult *ask(struct audit_sink *s, const char *sql, const char *parameter, struct error *err)
{
    struct postgres_audit *p = s->state;
    const char *url = s->settings->sinks_postgres;
    PGresult *last = NULL, *result;
    if (!PQsendQueryParams(p->conn, sql, parameter != NULL, NULL, &parameter, NULL, NULL, 0)) {
        postgres_link_broken(p->conn, url, "audit", err);
        return NULL;
    }
    while (postgres_link_wait(p->conn, url, "audit", ANSWER_MS, err) == 0) {
        if (!(result = PQgetResult(p->conn))) {
            ExecStatusType status = PQresultStatus(last);
            if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
                return last;
            const char *text = PQresultErrorField(last, PG_DIAG_MESSAGE_PRIMARY);
            error_set(err, "%s: audit: %s", url, text ? text : PQresultErrorMessage(last));
            break;
        }
        PQclear(last);
        last = result;
    }
    PQclear(last);
    return NULL;
}

static int run(struct audit_sink *s, const char *sql, struct error *err)
{
    PGresult *result = ask(s, sql, NULL, err);
    PQclear(result);
    return result ? 0 : -1;
}

static int64_t integer_at(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* As of one moment, as is all that is read later. */
static int read_cursor(struct audit *a, struct audit_sink *s, struct error *err)
{
    struct postgres_audit *p = s->state;
    char node[SETTING_TEXT_MAX];
    if (audit_node(a, s->settings, node, err) < 0 || run(s, "SET statement_timeout = '25s'", err) < 0 ||
        run(s, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) < 0)
        return -1;
    PGresult *result = ask(s,
                           "SELECT max(outbox_id) FILTER (WHERE node = $1), max(next_offset) FILTER (WHERE "
                           "node = $1), count(*) FROM ringtape_cursor",
                           node, err);
    if (!result)
        return -1;
    snprintf(s->cursor.outbox_id, sizeof s->cursor.outbox_id, "%s", PQgetvalue(result, 0, 0));
    s->cursor.offset = (uint64_t)integer_at(result, 0, 1);
    s->found = s->cursor.outbox_id[0];
    p->nodes = integer_at(result, 0, 2);
    PQclear(result);
    return 0;
}

static int postgres_open(struct audit *a, struct audit_sink *s, struct error *err)
{
    struct postgres_audit *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    s->state = p;
    for (int k = 0; k < AUDIT_KINDS; k++)
        if (tables[k].name)
            make_question(&p->question[k], k);
    if ((p->conn = postgres_link_open(s->settings, err)) && read_cursor(a, s, err) == 0)
        return 0;
    postgres_close(s);
    return -1;
}

/* Takes what the server says of a chunk of one kind. */
static void take(struct audit *a, struct audit_sink *s, struct audit_stage *stage, const PGresult *result)
{
    const struct postgres_audit *p = s->state;
    char text[AUDIT_TEXT];
    for (int row = 0; row < PQntuples(result); row++) {
        uint32_t i = (uint32_t)integer_at(result, row, 0);
        int64_t rows = integer_at(result, row, 1), nodes = p->nodes > 1 ? p->nodes : 1;
        bool expected = a->first + i < s->cursor.offset;
        audit_event_text(a, i, text);
        s->times[i] = rows > 0;
        if (!PQgetisnull(result, row, 2))
            audit_find(a, stage, "the row of %s was changed: %.300s", text, PQgetvalue(result, row, 2));
        if (rows > nodes)
            audit_find(a, stage, "%s has %" PRId64 " rows, expected %s", text, rows,
                       nodes > 1 ? "at most one of each node" : "one");
        if (rows > nodes)
            stage->unexpected += (uint64_t)(rows - nodes);
        if (rows && !expected && nodes == 1) {
            stage->unexpected++;
            audit_find(a, stage, "%s has a row, but the cursor is at %" PRIu64, text, s->cursor.offset);
        }
    }
}

static int ask_chunk(struct audit *a, struct audit_sink *s, enum outbox_kind kind, struct text *json,
                     struct error *err)
{
    const struct postgres_audit *p = s->state;
    if (!json->len)
        return 0;
    text_append(json, "]", 1);
    if (json->failed)
        abort();
    PGresult *result = ask(s, p->question[kind].data, json->data, err);
    if (result)
        take(a, s, s->stage[kind], result);
    PQclear(result);
    text_clear(json);
    return result ? 0 : -1;
}

static int look(struct audit *a, struct audit_sink *s, struct outbox_reader *o, struct text json[AUDIT_KINDS],
                struct error *err)
{
    struct outbox_record r;
    uint32_t n[AUDIT_KINDS] = {0};
    int got;
    while ((got = outbox_read(o, &r, err)) == 1 && r.offset - a->first < a->n) {
        if (r.kind >= AUDIT_KINDS || !tables[r.kind].name)
            return error_set(err, "event %" PRIu64 " of the outbox is of no kind", r.offset);
        text_printf(&json[r.kind], "%c{\"i\":%" PRIu64 ",\"ns\":%" PRId64 ",\"e\":", n[r.kind] ? ',' : '[',
                    r.offset - a->first, r.event_ns);
        text_append(&json[r.kind], r.json, r.json_len);
        text_append(&json[r.kind], "}", 1);
        if (++n[r.kind] < CHUNK)
            continue;
        n[r.kind] = 0;
        if (ask_chunk(a, s, r.kind, &json[r.kind], err) < 0)
            return -1;
    }
    if (got < 0 && !a->broken)
        return -1;
    for (int k = 0; k < AUDIT_KINDS; k++)
        if (ask_chunk(a, s, k, &json[k], err) < 0)
            return -1;
    return 0;
}

static void postgres_read(struct audit *a, struct audit_sink *s)
{
    struct text json[AUDIT_KINDS] = {{0}};
    struct error err;
    struct outbox_reader *o = outbox_reader_open(a->outbox_dir, a->first, NULL, &err);
    if (!o || look(a, s, o, json, &err) < 0)
        audit_sink_unread(a, s, &err);
    outbox_reader_close(o);
    for (int k = 0; k < AUDIT_KINDS; k++)
        text_free(&json[k]);
}

const struct audit_sink_ops audit_postgres = {.name = "postgres",
                                              .stage = {[OUTBOX_ALERT] = "postgres alerts",
                                                        [OUTBOX_BAR] = "postgres bars",
                                                        [OUTBOX_ANOMALY] = "postgres anomalies",
                                                        [OUTBOX_HALT] = "postgres halts",
                                                        [OUTBOX_SHADOW] = "postgres shadow alerts"},
                                              .where = where,
                                              .open = postgres_open,
                                              .read = postgres_read,
                                              .close = postgres_close};
