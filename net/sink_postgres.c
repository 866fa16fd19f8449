/* PostgreSQL: alerts into alert_history, those of rules in mode shadow into shadow_alerts, bars into bars_1m,
 * anomalies into anomalies, halts into events, the cursor into ringtape_cursor, one transaction per batch.
 * The tables are made by net/migrate, the partitions of a month of event time (and of the next) when its
 * first event comes.
 *
 * A batch is one query string: BEGIN, the cursor's conditional UPDATE, COPY in binary, COMMIT. If the UPDATE
 * finds no row, the COPY behind it is ended with an error, which undoes the transaction: COMMIT is not
 * reached. Bars go through a temporary table, so that one that is there already (from an outbox of before,
 * or from another node) is passed over. A connection that is lost before COMMIT's answer says nothing about
 * the batch; the cursor, read anew and locked for it, does. */
#include "net/sink.h"

#include "net/event_row.h"
#include "net/migrate.h"
#include "net/postgres_link.h"
#include "net/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SQL_BYTES = 4096,
    MONTHS = 64,                /* that are known to have partitions */
    COPY_FLUSH_BYTES = 1 << 15, /* handed to libpq from here on */
    COPY_ROW_BYTES = 1 << 18,   /* room for the row that crosses it */
    NUMERIC_DIGITS = 24,        /* of base 10,000, for EVENT_DECIMAL's 64 bytes */
};

#define SESSION                                                                                              \
    "SET statement_timeout = '5s'; SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = "      \
    "'10s'; "                                                                                                \
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; "           \
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = "    \
    "'off'; "
#define ALERT_COLUMNS                                                                                        \
    "\"timestamp\", event_ns, id, rule_id, rule_name, rule_version, symbol, price, message, metadata, seq, " \
    "kind, revision"
#define BAR_COLUMNS "symbol, start, revision, open, high, low, close, volume, vwap, trades"
#define ANOMALY_COLUMNS                                                                                      \
    "\"timestamp\", event_ns, id, symbol, type, severity, price, value, expected, score, threshold, "        \
    "message, seq"
#define HALT_COLUMNS "\"timestamp\", event_ns, id, symbol, type, reason, message, seq"
#define LOCK         "BEGIN; SELECT pg_advisory_xact_lock(1920233588, 1)" /* "rtpt" */

struct postgres {
    const struct sink_config *config;
    const char *url;
    PGconn *conn;
    char *node;                           /* as an SQL literal */
    struct sink_cursor cursor;            /* as it was read, or left */
    int64_t month_first_ns, month_end_ns; /* of the last event */
    int32_t month[MONTHS];                /* years since 1900 * 12 + month */
    uint32_t months;
    size_t used;
    char buffer[COPY_FLUSH_BYTES + COPY_ROW_BYTES];
};

__attribute__((format(printf, 2, 3))) static void say(const struct postgres *p, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (p->config->log)
        p->config->log(p->config->log_ctx, line);
}

/* By SQLSTATE, or its class. */
static const struct {
    const char *sign, *fix;
} by_state[] = {
    {"25006", "this is a replica, or a read-only database: set sinks.postgres to the primary (several hosts "
              "with target_session_attrs=read-write find it)"},
    {"53100", "the server's disk is full: make room; nothing is lost meanwhile"},
    {"53200", "the server is out of memory"},
    {"53300", "raise the server's max_connections"},
    {"53", "the server has not enough of something: see its log; nothing is lost meanwhile"},
    {"42501", "make the user the owner of the database or schema: it makes tables and partitions"},
    {"3F000", "create the schema that search_path names"},
    {"55P03", "another session keeps the row or table locked for longer than 3 s: a batch of a killed "
              "predecessor (it ends by itself), another node of this name, or a lock by hand"},
    {"57014", "the statement took longer than 5 s: lower postgres.batch, or see what the server waits for"},
    {"57P01", "the server is shutting down"},
    {"57P02", "the server crashed and is starting again"},
    {"57P03", "the server is starting; no need to do anything"},
    {"23514", "the partition of that month was detached: attach it again, or rename it to get a new one"},
    {"42P01", "the tables are not those of the migrations: restore them, or use another database"},
    {"42703", "the tables are not those of the migrations: restore them, or use another database"},
    {"42P07", "a table of that name is not ours: rename it, or use another database"},
    {"42723", "a function of that name is not ours: rename it, or use another database"},
    {"58", "see the server's log for errors of its disk"},
    {"XX", "see the server's log: this is a damaged table or a fault of the server"},
};

static const char *advice(const char *state)
{
    for (size_t i = 0; i < sizeof by_state / sizeof *by_state; i++)
        if (!strncmp(state, by_state[i].sign, strlen(by_state[i].sign)))
            return by_state[i].fix;
    return NULL;
}

static int refused(const struct postgres *p, const char *what, const PGresult *result, struct error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!text)
        text = *PQresultErrorMessage(result) ? PQresultErrorMessage(result) : "an answer of another kind";
    if (!state)
        state = "";
    const char *fix = *state ? advice(state) : NULL;
    error_set(err, "%s: %s: %.*s%s%s%s%s%s", p->url, what, (int)strcspn(text, "\n"), text, *state ? " (" : "",
              state, *state ? ")" : "", fix ? "; " : "", fix ? fix : "");
    /* What no operator can repair: a value that its type does not hold, a key that is too large. */
    return !strncmp(state, "22", 2) || !strncmp(state, "54", 2) ? SINK_REFUSED : -1;
}

static int broken(const struct postgres *p, const char *what, struct error *err)
{
    return postgres_link_broken(p->conn, p->url, what, err);
}

static int await(struct postgres *p, const char *what, struct error *err)
{
    return postgres_link_wait(p->conn, p->url, what, POSTGRES_REPLY_MS, err);
}

/* Runs statements without parameters. 0 with the last result (to be cleared), or a result of refused(). */
static int query(struct postgres *p, const char *what, const char *sql, PGresult **last, struct error *err)
{
    int outcome = PQsendQuery(p->conn, sql) ? 0 : broken(p, what, err);
    PGresult *result = NULL;
    *last = NULL;
    while (outcome >= 0 && (outcome = await(p, what, err) ? -1 : outcome) >= 0 &&
           (result = PQgetResult(p->conn))) {
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
            outcome = refused(p, what, result, err);
        PQclear(*last);
        *last = result;
    }
    if (outcome == 0 && *last)
        return 0;
    PQclear(*last);
    *last = NULL;
    return outcome ? outcome : broken(p, what, err);
}

/* As migrate_db.run. */
static int run(void *ctx, const char *sql, int64_t *value, struct error *err)
{
    PGresult *result;
    if (query(ctx, "SQL", sql, &result, err))
        return -1;
    if (value)
        *value = PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return 0;
}

static int postgres_check(const struct sink_config *config, struct error *err)
{
    const char *url = config->settings->sinks_postgres, *authority = strstr(url, "://");
    if (!authority || (strncmp(url, "postgresql://", 13) && strncmp(url, "postgres://", 11)))
        return error_set(err, "sinks.postgres: expected postgresql://user@host:port/db");
    authority += 3;
    size_t len = strcspn(authority, "/?");
    const char *at = memrchr(authority, '@', len),
               *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon || strcasestr(url, "password="))
        return error_set(
            err, "sinks.postgres: found a password in it, which logs and `ringtape config` would show: "
                 "put it into a file and name that in postgres.password_file");
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &why);
    if (!options) {
        error_set(err, "sinks.postgres: '%s': %.*s", url, why ? (int)strcspn(why, "\n") : 9,
                  why ? why : "no memory");
        PQfreemem(why);
        return -1;
    }
    PQconninfoFree(options);
    if (!config->node || !*config->node || strlen(config->node) > 200)
        return error_set(err, "a node without name, or with one of more than 200 bytes, can have no cursor");
    return 0;
}

static int connect_server(struct postgres *p, struct error *err)
{
    p->conn = postgres_link_open(p->config->settings, err);
    if (!p->conn)
        return -1;
    if (!(p->node = PQescapeLiteral(p->conn, p->config->node, strlen(p->config->node))))
        return broken(p, "cannot set up the connection", err);
    if (PQserverVersion(p->conn) < 120000)
        return error_set(err, "%s: found a server of version %d, expected 12 or newer", p->url,
                         PQserverVersion(p->conn) / 10000);
    return 0;
}

static int set_up(struct postgres *p, struct error *err)
{
    uint32_t applied;
    struct migrate_db db = {
        migrations_postgres,
        MIGRATIONS_POSTGRES,
        LOCK,
        "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND "
        "tablename = 'ringtape_migrations'",
        run,
        p};
    if (run(p, SESSION, NULL, err))
        return -1;
    if (migrate_up(&db, &applied, err)) {
        if (strncmp(err->text, p->url, strlen(p->url)))
            error_prefix(err, "%s", p->url);
        return -1;
    }
    if (applied)
        say(p, "sink postgres: applied %u migration%s", applied, applied > 1 ? "s" : "");
    return run(p, "CREATE TEMPORARY TABLE ringtape_bars (LIKE bars_1m) ON COMMIT DELETE ROWS", NULL, err);
}

/* The node's cursor, which is made if there is none: every transaction then has one to compare. Locking it
 * waits for a predecessor's batch that is being written. */
static int read_cursor(struct postgres *p, struct sink_cursor *cursor, struct error *err)
{
    char sql[SQL_BYTES];
    PGresult *result;
    snprintf(sql, sizeof sql,
             "INSERT INTO ringtape_cursor (node, outbox_id, next_offset) VALUES (%s, '', 0) ON CONFLICT DO "
             "NOTHING; "
             "SELECT outbox_id, next_offset FROM ringtape_cursor WHERE node = %s FOR UPDATE",
             p->node, p->node);
    if (query(p, "cursor", sql, &result, err))
        return -1;
    const char *id = PQntuples(result) ? PQgetvalue(result, 0, 0) : "?";
    const char *offset = PQntuples(result) ? PQgetvalue(result, 0, 1) : "?";
    size_t len = strlen(id);
    bool sound = *offset >= '0' && *offset <= '9' &&
                 (len == 0 ? !strcmp(offset, "0")
                           : len == SINK_OUTBOX_ID_MAX && strspn(id, "0123456789abcdef") == len);
    if (sound) {
        strcpy(cursor->outbox_id, id);
        cursor->offset = strtoull(offset, NULL, 10);
        p->cursor = *cursor;
    } else {
        error_set(err,
                  "%s: ringtape_cursor has outbox id '%.40s' and offset %s for node %s, expected 32 hex "
                  "digits and the "
                  "next event: delete the row to deliver all events of the outbox",
                  p->url, id, offset, p->node);
    }
    PQclear(result);
    return sound ? 0 : -1;
}

static void postgres_close(void *state)
{
    struct postgres *p = state;
    PQfreemem(p->node);
    PQfinish(p->conn);
}

static int postgres_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                         struct error *err)
{
    struct postgres *p = state;
    p->config = config;
    p->url = config->settings->sinks_postgres;
    if (connect_server(p, err) == 0 && set_up(p, err) == 0 && read_cursor(p, cursor, err) == 0)
        return 0;
    postgres_close(p);
    return -1;
}

/* Makes the partitions of the event's month, and of the next ahead of time. */
static int make_month(struct postgres *p, int64_t event_ns, struct error *err)
{
    char sql[SQL_BYTES];
    time_t seconds = event_ns / 1000000000;
    struct tm first, next;
    gmtime_r(&seconds, &first);
    first = (struct tm){.tm_year = first.tm_year, .tm_mon = first.tm_mon, .tm_mday = 1};
    next = first;
    next.tm_mon++;
    p->month_first_ns = timegm(&first) * INT64_C(1000000000);
    p->month_end_ns = timegm(&next) * INT64_C(1000000000);
    int32_t month = first.tm_year * 12 + first.tm_mon;
    for (uint32_t i = 0; i < p->months && i < MONTHS; i++)
        if (p->month[i] == month)
            return 0;
    snprintf(sql, sizeof sql, "SELECT ringtape_partition('%d-%02d-01'), ringtape_partition('%d-%02d-01')",
             first.tm_year + 1900, first.tm_mon + 1, next.tm_year + 1900, next.tm_mon + 1);
    if (run(p, sql, NULL, err)) {
        p->month_end_ns = p->month_first_ns;
        return -1;
    }
    p->month[p->months++ % MONTHS] = month;
    return 0;
}

static int make_months(struct postgres *p, const struct outbox_record *record, uint32_t n, struct error *err)
{
    for (uint32_t i = 0; i < n; i++)
        if ((record[i].event_ns < p->month_first_ns || record[i].event_ns >= p->month_end_ns) &&
            make_month(p, record[i].event_ns, err))
            return -1;
    return 0;
}

static void put(struct postgres *p, const void *bytes, size_t n)
{
    assert(n <= sizeof p->buffer - p->used);
    memcpy(p->buffer + p->used, bytes, n);
    p->used += n;
}

static void put16(struct postgres *p, int v)
{
    put(p, &(uint16_t){__builtin_bswap16((uint16_t)v)}, 2);
}

static void put32(struct postgres *p, int64_t v)
{
    put(p, &(uint32_t){__builtin_bswap32((uint32_t)v)}, 4);
}

static void put64(struct postgres *p, int64_t v)
{
    put32(p, 8);
    put(p, &(uint64_t){__builtin_bswap64((uint64_t)v)}, 8);
}

static int64_t integer(const char *s, size_t n)
{
    uint64_t v = 0;
    bool negative = *s == '-';
    for (size_t i = negative; i < n; i++)
        v = v * 10 + (uint64_t)(s[i] - '0');
    return (int64_t)(negative ? 0 - v : v);
}

/* numeric_send's form: groups of four digits, the weight (power of 10,000) of the first, sign, decimals. */
static void put_numeric(struct postgres *p, const char *s, size_t n)
{
    bool negative = *s == '-';
    s += negative;
    n -= negative;
    const char *point = memchr(s, '.', n);
    size_t whole = point ? (size_t)(point - s) : n, places = point ? n - whole - 1 : 0;
    size_t before = (whole + 3) / 4, groups = before + (places + 3) / 4;
    int digit[NUMERIC_DIGITS] = {0};
    assert(groups <= NUMERIC_DIGITS);
    for (size_t i = 0; i < 4 * groups; i++) {
        size_t lead = 4 * before - whole; /* zeros in front, then the digits, then zeros */
        size_t at = i < 4 * before ? i - lead : i - 4 * before + whole + 1;
        digit[i / 4] = digit[i / 4] * 10 + (i >= lead && at < n ? s[at] - '0' : 0);
    }
    put32(p, (int64_t)(8 + 2 * groups));
    put16(p, (int)groups);
    put16(p, (int)before - 1);
    put16(p, negative ? 0x4000 : 0);
    put16(p, (int)places);
    for (size_t i = 0; i < groups; i++)
        put16(p, digit[i]);
}

static void put_uuid(struct postgres *p, const char *hex)
{
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++) {
        int high = hex[2 * i], low = hex[2 * i + 1];
        bytes[i] = (uint8_t)((high > '9' ? high - 'a' + 10 : high - '0') << 4 |
                             (low > '9' ? low - 'a' + 10 : low - '0'));
    }
    put32(p, 16);
    put(p, bytes, 16);
}

/* A string; false if an escape is malformed. */
static bool put_text(struct postgres *p, const struct event_value *v)
{
    size_t len, at = p->used;
    assert(4 + v->len <= sizeof p->buffer - at);
    const char *text = event_value_unescape(v, p->buffer + at + 4, &len);
    if (!text)
        return false;
    put32(p, (int64_t)len);
    if (text == p->buffer + p->used)
        p->used += len;
    else
        put(p, text, len);
    return true;
}

static bool put_value(struct postgres *p, enum event_type type, const struct event_value *v, int64_t event_ns)
{
    if (type != EVENT_NS && !v->text) {
        put32(p, -1);
        return true;
    }
    switch (type) {
    case EVENT_TIME: /* microseconds since 2000 */
        put64(p, event_ns / 1000 - INT64_C(946684800000000));
        return true;
    case EVENT_NS:
        put64(p, event_ns);
        return true;
    case EVENT_ID:
        put_uuid(p, v->text);
        return true;
    case EVENT_TEXT:
        return put_text(p, v);
    case EVENT_INTEGER:
        put64(p, integer(v->text, v->len));
        return true;
    case EVENT_DECIMAL:
        put_numeric(p, v->text, v->len);
        return true;
    case EVENT_NUMBER: {
        char number[65];
        double d;
        snprintf(number, sizeof number, "%.*s", (int)v->len, v->text);
        d = strtod(number, NULL);
        int64_t bits;
        memcpy(&bits, &d, sizeof bits);
        put64(p, bits);
        return true;
    }
    case EVENT_OBJECT: /* version 1 of jsonb_send, then text */
        put32(p, v->len + 1);
        put(p, "\1", 1);
        put(p, v->text, v->len);
        return true;
    }
    return false;
}

static int hand_over(struct postgres *p, struct error *err)
{
    int done = PQputCopyData(p->conn, p->buffer, (int)p->used);
    p->used = 0;
    return done == 1 ? 0 : broken(p, "delivery", err);
}

/* The events of a kind as COPY wants them, and the end of the COPY. After SINK_REFUSED the COPY is still to
 * be ended. */
static int copy_rows(struct postgres *p, const struct outbox_record *record, uint32_t n, int kind,
                     struct error *err)
{
    p->used = 0;
    put(p, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    for (uint32_t i = 0; i < n; i++) {
        struct event_row row;
        if (record[i].kind != kind)
            continue;
        if (event_row_read(&row, &record[i], err))
            return SINK_REFUSED;
        put16(p, (int)row.n);
        for (uint32_t k = 0; k < row.n; k++)
            if (!put_value(p, row.column[k].type, &row.value[k], record[i].event_ns)) {
                error_set(err, "event %" PRIu64 " of the outbox: found a malformed escape in \"%s\"",
                          record[i].offset, row.column[k].key);
                return SINK_REFUSED;
            }
        if (p->used >= COPY_FLUSH_BYTES && hand_over(p, err))
            return -1;
    }
    put16(p, -1);
    if (hand_over(p, err))
        return -1;
    return PQputCopyEnd(p->conn, NULL) == 1 ? 0 : broken(p, "delivery", err);
}

/* One transaction's statements. */
static void compose(const struct postgres *p, uint64_t next_offset, const bool kinds[], char *sql)
{
    int n = snprintf(
        sql, SQL_BYTES,
        "BEGIN; UPDATE ringtape_cursor SET outbox_id = '%s', next_offset = %" PRIu64
        ", updated_at = now() WHERE node = %s AND outbox_id = '%s' AND next_offset = %" PRIu64
        "; %s%s%s%s%s%s",
        p->config->outbox_id, next_offset, p->node, p->cursor.outbox_id, p->cursor.offset,
        kinds[OUTBOX_ALERT] ? "COPY alert_history (" ALERT_COLUMNS ") FROM STDIN (FORMAT binary); " : "",
        kinds[OUTBOX_SHADOW] ? "COPY shadow_alerts (" ALERT_COLUMNS ") FROM STDIN (FORMAT binary); " : "",
        kinds[OUTBOX_ANOMALY] ? "COPY anomalies (" ANOMALY_COLUMNS ") FROM STDIN (FORMAT binary); " : "",
        kinds[OUTBOX_HALT] ? "COPY events (" HALT_COLUMNS ") FROM STDIN (FORMAT binary); " : "",
        kinds[OUTBOX_BAR]
            ? "COPY ringtape_bars (" BAR_COLUMNS ") FROM STDIN (FORMAT binary); INSERT INTO bars_1m "
              "(" BAR_COLUMNS ") SELECT " BAR_COLUMNS " FROM ringtape_bars ON CONFLICT DO NOTHING; "
            : "",
        "COMMIT");
    assert(n > 0 && n < SQL_BYTES);
}

/* The order of the COPYs in a batch. */
static const enum outbox_kind copies[] = {OUTBOX_ALERT, OUTBOX_SHADOW, OUTBOX_ANOMALY, OUTBOX_HALT,
                                          OUTBOX_BAR};
enum { KINDS = OUTBOX_KINDS };

/* How far a batch's statements have come. */
struct progress {
    const struct outbox_record *record;
    uint32_t n;
    bool kinds[KINDS]; /* by enum outbox_kind: still to be copied, in the order of copies[] */
    bool committed;
    int outcome; /* of the first failure: -1, SINK_REFUSED */
};

/* Takes one result. 0, or -1 if the connection is of no more use. */
static int take_result(struct postgres *p, struct progress *b, PGresult *result, struct error *err)
{
    const char *command = PQcmdStatus(result);
    int kind, failure;
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
        if (!strncmp(command, "UPDATE", 6) && strcmp(PQcmdTuples(result), "1"))
            b->outcome = error_set(err,
                                   "%s: the cursor of node %s is no longer at %s %" PRIu64
                                   ": a late batch of ours, or another process uses this node's name",
                                   p->url, p->config->node, p->cursor.outbox_id, p->cursor.offset);
        b->committed = !strcmp(command, "COMMIT");
        return 0;
    case PGRES_COPY_IN:
        for (kind = 0; !b->kinds[copies[kind]]; kind++)
            ;
        kind = copies[kind];
        b->kinds[kind] = false;
        if (b->outcome == 0)
            b->outcome = failure = copy_rows(p, b->record, b->n, kind, err);
        else
            failure = b->outcome;
        if (failure == 0)
            return 0;
        return PQputCopyEnd(p->conn, "not to be committed") == 1 ? 0 : -1;
    default:
        failure = refused(p, "delivery", result, err);
        if (b->outcome == 0)
            b->outcome = failure;
        return 0;
    }
}

/* 0 if the batch is in, SINK_REFUSED if an event of it cannot be (the connection can go on), -1. */
static int transact(struct postgres *p, const struct outbox_record *record, uint32_t n, struct error *err)
{
    char sql[SQL_BYTES];
    struct progress b = {.record = record, .n = n};
    uint64_t next = record[0].offset + n;
    for (uint32_t i = 0; i < n; i++)
        b.kinds[record[i].kind] = true;
    compose(p, next, b.kinds, sql);
    if (!PQsendQuery(p->conn, sql))
        return broken(p, "delivery", err);
    for (;;) {
        struct error why = {""};
        if (await(p, "delivery", err))
            return -1;
        PGresult *result = PQgetResult(p->conn);
        if (!result)
            break;
        int before = b.outcome, usable = take_result(p, &b, result, &why);
        PQclear(result);
        if (before == 0 && b.outcome)
            *err = why; /* the first is the cause */
        if (usable < 0)
            return -1;
    }
    if (b.outcome == SINK_REFUSED && run(p, "ROLLBACK", NULL, err))
        return -1;
    if (b.outcome)
        return b.outcome;
    if (!b.committed)
        return broken(p, "delivery", err);
    strcpy(p->cursor.outbox_id, p->config->outbox_id);
    p->cursor.offset = next;
    return 0;
}

/* One transaction; if it has an event that is refused, its halves. */
static int deliver(struct postgres *p, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                   struct error *err)
{
    int result = transact(p, record, n, err);
    if (result == 0)
        *accepted += n;
    if (result != SINK_REFUSED || n == 1)
        return result;
    result = deliver(p, record, n / 2, accepted, err);
    return result ? result : deliver(p, record + n / 2, n - n / 2, accepted, err);
}

static int postgres_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                            struct error *err)
{
    struct postgres *p = state;
    assert(n > 0);
    *accepted = 0;
    return make_months(p, record, n, err) ? -1 : deliver(p, record, n, accepted, err);
}

static int postgres_probe(void *state, struct error *err)
{
    return run(state, "SELECT 1", NULL, err);
}

const struct sink_ops sink_postgres = {.name = "postgres",
                                       .state_bytes = sizeof(struct postgres),
                                       .check = postgres_check,
                                       .open = postgres_open,
                                       .deliver = postgres_deliver,
                                       .probe = postgres_probe,
                                       .close = postgres_close};
