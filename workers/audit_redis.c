/* The audit of the Redis sink: the streams `alerts`, `bars.finalized`, `anomalies:stream` and `events`
 * against what lies before the cursor. Only reading commands. The cursor and the last entry of each stream
 * are read in one transaction; what came later is not looked at. */
#include "workers/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "net/redis_link.h"

enum { CHUNK = 1000, ID_BYTES = 48 };

struct redis_audit {
    struct redis_link *link;
    /* ID of the last entry when the cursor was read; "" = the stream is empty */
    char last[REDIS_STREAM_COUNT][ID_BYTES];
};

/* NULL with err for a broken connection and an error reply. */
static redisReply *ask(struct redis_audit *r, int n, const char **arg, struct error *err)
{
    redisReply *reply = redis_link_command(r->link, n, arg, NULL);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    error_set(err, "%s: %s", arg[0], reply ? reply->str : redis_link_broken(r->link));
    freeReplyObject(reply);
    return NULL;
}

static int ask_simple(struct redis_audit *r, int n, const char **arg, struct error *err)
{
    redisReply *reply = ask(r, n, arg, err);
    freeReplyObject(reply);
    return reply ? 0 : -1;
}

static int authenticate(struct redis_audit *r, const char *path, struct error *err)
{
    char line[SECRET_BYTES];
    const char *arg[3];
    int n = redis_link_auth(path, line, arg, err);
    int rc = n > 0 ? ask_simple(r, n, arg, err) : n;
    explicit_bzero(line, sizeof line);
    return rc;
}

static int connect_server(struct redis_audit *r, const struct settings *s, struct error *err)
{
    struct setting_redis url;
    struct redis_link_tls tls = {s->redis_ca_file, s->redis_cert_file, s->redis_key_file};
    char db[16];
    if (setting_redis_parse(s->sinks_redis, &url, err) < 0 || !(r->link = redis_link_open(&url, &tls, err)))
        return -1;
    snprintf(db, sizeof db, "%u", url.db);
    const char *select[] = {"SELECT", db};
    return authenticate(r, s->redis_password_file, err) < 0 || ask_simple(r, 2, select, err) < 0 ? -1 : 0;
}

/* An XREVRANGE … COUNT 1: the ID. */
static void take_last(const redisReply *reply, char id[ID_BYTES])
{
    id[0] = 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 && reply->element[0]->elements == 2 &&
        reply->element[0]->element[0]->type == REDIS_REPLY_STRING)
        snprintf(id, ID_BYTES, "%s", reply->element[0]->element[0]->str);
}

/* Cursor and ends of the streams, as of one moment. */
static int read_cursor(struct redis_audit *r, struct audit_sink *s, const char *key, struct error *err)
{
    const char *multi[] = {"MULTI"}, *get[] = {"GET", key}, *exec[] = {"EXEC"};
    if (ask_simple(r, 1, multi, err) < 0 || ask_simple(r, 2, get, err) < 0)
        return -1;
    for (int i = 0; i < REDIS_STREAM_COUNT; i++) {
        const char *range[] = {"XREVRANGE", redis_streams[i].name, "+", "-", "COUNT", "1"};
        if (ask_simple(r, 6, range, err) < 0)
            return -1;
    }
    redisReply *all = ask(r, 1, exec, err);
    if (!all)
        return -1;
    int rc = 0;
    if (all->type != REDIS_REPLY_ARRAY || all->elements != 1 + REDIS_STREAM_COUNT) {
        rc = error_set(err, "EXEC: a reply of another shape");
    } else if (all->element[0]->type == REDIS_REPLY_STRING) {
        const char *text = all->element[0]->str;
        s->found = sscanf(text, "%32[0-9a-f] %" SCNu64, s->cursor.outbox_id, &s->cursor.offset) == 2;
        if (!s->found)
            rc = error_set(err, "the key %s holds '%.80s', expected '<outbox id> <offset>'", key, text);
    }
    for (int i = 0; rc == 0 && i < REDIS_STREAM_COUNT; i++) {
        if (all->element[i + 1]->type == REDIS_REPLY_ERROR)
            rc = error_set(err, "%s: %s", redis_streams[i].name, all->element[i + 1]->str);
        else
            take_last(all->element[i + 1], r->last[i]);
    }
    freeReplyObject(all);
    return rc;
}

static void redis_close(struct audit_sink *s)
{
    struct redis_audit *r = s->state;
    if (r && r->link)
        redis_link_close(r->link);
    free(r);
    s->state = NULL;
}

static int redis_open(struct audit *a, struct audit_sink *s, struct error *err)
{
    char node[SETTING_TEXT_MAX], key[SETTING_TEXT_MAX + 32];
    struct redis_audit *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    s->state = r;
    if (audit_node(a, s->settings, node, err) == 0 && connect_server(r, s->settings, err) == 0) {
        snprintf(key, sizeof key, "ringtape:cursor:%s", node);
        if (read_cursor(r, s, key, err) == 0)
            return 0;
    }
    redis_close(s);
    return error_prefix(err, "%s", s->settings->sinks_redis);
}

/* The entry's last field, NULL if it has another. */
static const redisReply *json_of(const redisReply *entry, const char *field)
{
    const redisReply *list = entry->elements == 2 ? entry->element[1] : NULL;
    size_t n = list && list->type == REDIS_REPLY_ARRAY ? list->elements : 0;
    if (n < 2 || strcmp(list->element[n - 2]->str, field))
        return NULL;
    return list->element[n - 1];
}

/* Stream k, in chunks. How many entries it has, -1 if it cannot be read. */
static int64_t read_stream(struct audit *a, struct audit_sink *s, int k, int64_t *oldest)
{
    struct redis_audit *r = s->state;
    struct audit_stage *stage = s->stage[redis_streams[k].kind];
    char from[ID_BYTES + 1] = "-", count[16], where[ID_BYTES + 64];
    struct error err;
    int64_t entries = 0, last = -1;
    snprintf(count, sizeof count, "%d", CHUNK);
    for (bool more = r->last[k][0]; more;) {
        const char *range[] = {"XRANGE", redis_streams[k].name, from, r->last[k], "COUNT", count};
        redisReply *reply = ask(r, 6, range, &err);
        if (!reply) {
            stage->unchecked = true;
            return audit_find(a, stage, "%s", err.text);
        }
        for (size_t i = 0; i < reply->elements; i++) {
            const redisReply *entry = reply->element[i], *json = json_of(entry, redis_streams[k].field);
            const char *id = entry->element[0]->str;
            snprintf(where, sizeof where, "entry %s of %s", id, redis_streams[k].name);
            snprintf(from, sizeof from, "(%s", id);
            int64_t e = json ? audit_event_of(a, json->str, json->len) : -1;
            if (*oldest < 0 || (e >= 0 && e < *oldest))
                *oldest = e;
            bool again = e >= 0 && s->times[e];
            audit_sink_entry(a, s, redis_streams[k].kind, json ? json->str : "", json ? json->len : 0, where);
            if (e >= 0 && e < last && !again)
                audit_find(a, stage, "%s comes after event %" PRIu64 ", which is later", where,
                           a->first + (uint64_t)last);
            last = e > last ? e : last;
        }
        entries += (int64_t)reply->elements;
        more = reply->elements == CHUNK;
        freeReplyObject(reply);
    }
    return entries;
}

static void redis_read(struct audit *a, struct audit_sink *s)
{
#define X(kind, stream, field, setting) s->settings->setting,
    const int64_t maxlen[REDIS_STREAM_COUNT] = {REDIS_STREAMS(X)};
#undef X
    for (int k = 0; k < REDIS_STREAM_COUNT; k++) {
        int64_t oldest = -1, entries = read_stream(a, s, k, &oldest);
        /* a stream that is full has lost its oldest: they count as there, under their own name */
        for (int64_t i = 0; entries >= maxlen[k] && i < oldest; i++)
            if (a->event[i].kind == redis_streams[k].kind && !s->times[i] &&
                a->first + (uint64_t)i < s->cursor.offset)
                s->times[i] = AUDIT_TRIMMED;
    }
}

static const char *where(const struct settings *s)
{
    return s->sinks_redis;
}

const struct audit_sink_ops audit_redis = {.name = "redis",
                                           .stage = {[OUTBOX_ALERT] = "redis alerts",
                                                     [OUTBOX_BAR] = "redis bars",
                                                     [OUTBOX_ANOMALY] = "redis anomalies",
                                                     [OUTBOX_HALT] = "redis halts"},
                                           .where = where,
                                           .open = redis_open,
                                           .read = redis_read,
                                           .close = redis_close};
