/* The audit of the Kafka sink: the committed records of the topics `alerts`, `bars`, `anomalies` and `events`
 * against what lies before the cursor, which is the node's last record in `ringtape.cursors`. It consumes,
 * and commits nothing, so no group knows of it.
 *
 * The ends of the topics are read behind the cursor's. A transaction may be open before them: its end is
 * waited for, as every reader of committed records does. Other nodes and outboxes of before may have written
 * to the same topics: what is no event of this outbox is passed over where another node has a cursor, and
 * before the first event of this outbox in a partition; else it is named. */
#include "workers/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/kafka_link.h"

enum { ANSWER_MS = 5000, READ_MS = 30000, PARTITIONS_MAX = 1024 }; /* READ_MS: without a record */

/* A partition of a topic of events. */
struct part {
    int64_t first, end; /* offsets of its first record and behind its last, when the cursor had been read */
    int64_t oldest;     /* the first event of this outbox in it, -1: none */
    int64_t newest;     /* the last one so far */
};

struct kafka_audit {
    rd_kafka_t *consumer, *uncommitted; /* the second tells ends that are not committed yet */
    struct part *part[OUTBOX_KINDS];    /* none of kinds that it is not about */
    int32_t parts[OUTBOX_KINDS];
    bool others; /* another node has a cursor */
    char why[KAFKA_WHY_BYTES];
};

/* True if the topic is filled from the outbox. */
static bool has_events(unsigned kind)
{
    return kafka_topics[kind] && kind != OUTBOX_TRADE;
}

static const char *where(const struct settings *s)
{
    return s->sinks_kafka;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What librdkafka last said of a connection: its time-outs do not. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_audit *k = opaque;
    (void)rk;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !*k->why)
        snprintf(k->why, sizeof k->why, "%s", reason);
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text; /* what matters comes to on_error, or as a result */
}

static int refused(struct audit_sink *s, const char *what, rd_kafka_resp_err_t code, struct error *err)
{
    struct kafka_audit *k = s->state;
    rd_kafka_poll(k->consumer, 0);
    rd_kafka_poll(k->uncommitted, 0);
    const char *fix = kafka_link_advice(code, k->why);
    return error_set(err, "%s: %s: %s%s%s", s->settings->sinks_kafka, what,
                     *k->why ? k->why : rd_kafka_err2str(code), fix ? "; " : "", fix ? fix : "");
}

static rd_kafka_t *client(struct audit_sink *s, const char *isolation, struct error *err)
{
    const struct kafka_property own[] = {{"isolation.level", isolation},
                                         {"enable.partition.eof", "true"},
                                         {"enable.auto.commit", "false"},
                                         {"fetch.wait.max.ms", "50"},
                                         {0}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, s->state);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_t *rk = kafka_link_open(s->settings, RD_KAFKA_CONSUMER, conf, own, err);
    if (rk)
        rd_kafka_set_log_queue(rk, NULL);
    return rk;
}

/* How many partitions the topic has, 0 if there is no such topic. */
static int32_t partitions(struct audit_sink *s, rd_kafka_topic_t *topic, struct error *err)
{
    struct kafka_audit *k = s->state;
    const struct rd_kafka_metadata *answer;
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->consumer, 0, topic, &answer, ANSWER_MS);
    if (code)
        return refused(s, rd_kafka_topic_name(topic), code, err);
    code = answer->topic_cnt == 1 ? answer->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    int32_t n = code ? 0 : answer->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(answer);
    if (code && code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return refused(s, rd_kafka_topic_name(topic), code, err);
    return n <= PARTITIONS_MAX
               ? n
               : error_set(err, "found %d partitions, expected at most %d", n, PARTITIONS_MAX);
}

static int bounds(struct audit_sink *s, const char *topic, int32_t partition, int64_t *first, int64_t *end,
                  struct error *err)
{
    struct kafka_audit *k = s->state;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(k->uncommitted, topic, partition, first, end, ANSWER_MS);
    return code ? refused(s, topic, code, err) : 0;
}

/* Gives each committed record before `end` to take(), until that gives other than 0. */
static int read_partition(struct audit_sink *s, rd_kafka_topic_t *topic, int32_t partition, int64_t end,
                          int (*take)(void *ctx, const rd_kafka_message_t *m), void *ctx, struct error *err)
{
    struct kafka_audit *k = s->state;
    int rc = 0;
    bool level = end == 0;
    if (level)
        return 0;
    if (rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING))
        return refused(s, rd_kafka_topic_name(topic), rd_kafka_last_error(), err);
    for (int64_t deadline = now_ms() + READ_MS; rc == 0 && !level;) {
        rd_kafka_poll(k->consumer, 0);
        rd_kafka_message_t *m = rd_kafka_consume(topic, partition, 100);
        if (!m || m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            level = m && m->offset >= end;
            if (!level && now_ms() > deadline)
                rc = error_set(err,
                               "%s: topic %s, partition %d: not at its end %" PRId64
                               " within %d s: a transaction is open, or the broker hangs",
                               s->settings->sinks_kafka, rd_kafka_topic_name(topic), partition, end,
                               READ_MS / 1000);
        } else if (m->err) {
            rc = refused(s, rd_kafka_topic_name(topic), m->err, err);
        } else if (m->offset >= end) {
            level = true;
        } else {
            deadline = now_ms() + READ_MS;
            rc = take(ctx, m);
        }
        if (m)
            rd_kafka_message_destroy(m);
    }
    rd_kafka_consume_stop(topic, partition);
    return rc;
}

struct cursor_search {
    struct audit_sink *s;
    char node[SETTING_TEXT_MAX];
    char found[SINK_OUTBOX_ID_MAX + 24];
};

static int take_cursor(void *ctx, const rd_kafka_message_t *m)
{
    struct cursor_search *c = ctx;
    struct kafka_audit *k = c->s->state;
    bool ours = m->key_len == strlen(c->node) && !memcmp(m->key, c->node, m->key_len);
    if (ours)
        snprintf(c->found, sizeof c->found, "%.*s", m->payload ? (int)m->len : 0,
                 m->payload ? (const char *)m->payload : "");
    else
        k->others = true;
    return 0;
}

static int read_cursor(struct audit *a, struct audit_sink *s, struct error *err)
{
    struct kafka_audit *k = s->state;
    struct cursor_search c = {.s = s};
    int64_t first = 0, end = 0;
    if (audit_node(a, s->settings, c.node, err) < 0)
        return -1;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k->consumer, KAFKA_CURSORS, NULL);
    int rc = partitions(s, topic, err);
    if (rc > 0)
        rc = bounds(s, KAFKA_CURSORS, 0, &first, &end, err) < 0 ||
                     read_partition(s, topic, 0, end, take_cursor, &c, err) < 0
                 ? -1
                 : 0;
    rd_kafka_topic_destroy(topic);
    if (rc < 0 || !*c.found)
        return rc;
    s->found = sscanf(c.found, "%32[0-9a-f] %" SCNu64, s->cursor.outbox_id, &s->cursor.offset) == 2;
    return s->found ? 0
                    : error_set(err,
                                "%s: topic " KAFKA_CURSORS ", key %s: found '%s', expected '<outbox id> "
                                "<offset>'",
                                s->settings->sinks_kafka, c.node, c.found);
}

static int read_ends(struct audit_sink *s, unsigned kind, struct error *err)
{
    struct kafka_audit *k = s->state;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k->consumer, kafka_topics[kind], NULL);
    int32_t n = partitions(s, topic, err);
    rd_kafka_topic_destroy(topic);
    if (n < 0)
        return -1;
    if (!(k->part[kind] = calloc((size_t)n + 1, sizeof *k->part[kind])))
        abort();
    k->parts[kind] = n;
    for (int32_t i = 0; i < n; i++) {
        struct part *p = &k->part[kind][i];
        p->oldest = p->newest = -1;
        if (bounds(s, kafka_topics[kind], i, &p->first, &p->end, err) < 0)
            return -1;
    }
    return 0;
}

static void kafka_close(struct audit_sink *s)
{
    struct kafka_audit *k = s->state;
    if (k->consumer)
        rd_kafka_destroy(k->consumer);
    if (k->uncommitted)
        rd_kafka_destroy(k->uncommitted);
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        free(k->part[kind]);
    free(k);
    s->state = NULL;
}

static int kafka_open(struct audit *a, struct audit_sink *s, struct error *err)
{
    struct kafka_audit *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    s->state = k;
    bool ok = kafka_link_check(s->settings, err) == 0 && (k->consumer = client(s, "read_committed", err)) &&
              (k->uncommitted = client(s, "read_uncommitted", err)) && read_cursor(a, s, err) == 0;
    for (unsigned kind = 0; ok && kind < OUTBOX_KINDS; kind++)
        ok = !has_events(kind) || read_ends(s, kind, err) == 0;
    if (ok)
        return 0;
    kafka_close(s);
    return -1;
}

struct reading {
    struct audit *a;
    struct audit_sink *s;
    struct part *part;
    enum outbox_kind kind;
};

/* The event's JSON in the sink's envelope; NULL if it is none. */
static const char *payload_of(const rd_kafka_message_t *m, size_t *len)
{
    static const char before[] = "\"schemaVersion\":1,\"payload\":";
    const char *at = m->payload ? memmem(m->payload, m->len, before, sizeof before - 1) : NULL;
    if (!at || ((const char *)m->payload)[m->len - 1] != '}')
        return NULL;
    at += sizeof before - 1;
    *len = m->len - 1 - (size_t)(at - (const char *)m->payload);
    return at;
}

static int take_event(void *ctx, const rd_kafka_message_t *m)
{
    const struct reading *r = ctx;
    struct audit *a = r->a;
    const struct kafka_audit *k = r->s->state;
    struct audit_stage *stage = r->s->stage[r->kind];
    char record[96], text[AUDIT_TEXT];
    size_t len = m->payload ? m->len : 0;
    const char *json = payload_of(m, &len);
    int64_t e = json ? audit_event_of(a, json, len) : -1;
    if (e < 0 && (k->others || r->part->oldest < 0))
        return 0; /* another node's, or from an outbox of before */
    if (e >= 0 && a->alive && a->first + (uint64_t)e >= r->s->cursor.offset)
        return 0; /* committed while the cursor was being read */
    snprintf(record, sizeof record, "record %" PRId64 " of %s, partition %d", m->offset,
             kafka_topics[r->kind], m->partition);
    bool again = e >= 0 && r->s->times[e];
    e = audit_sink_entry(a, r->s, r->kind, json ? json : m->payload ? m->payload : "", len, record);
    if (e < 0)
        return 0;
    const struct audit_name *name = &a->name[a->event[e].symbol];
    if (m->key_len != name->len || memcmp(m->key, name->text, name->len))
        audit_find(a, stage, "%s is %s, but its key is '%.*s'", record,
                   audit_event_text(a, (uint32_t)e, text), (int)(m->key_len < 64 ? m->key_len : 64),
                   m->key ? (const char *)m->key : "");
    if (e < r->part->newest && !again)
        audit_find(a, stage, "%s comes after event %" PRIu64 ", which is later", record,
                   a->first + (uint64_t)r->part->newest);
    if (r->part->oldest < 0)
        r->part->oldest = e;
    r->part->newest = e > r->part->newest ? e : r->part->newest;
    return 0;
}

/* What the broker's retention has deleted counts as there, under its own name: events before the first one of
 * their partition, if that does not begin with its record 0. */
static void trim(struct audit *a, struct audit_sink *s, rd_kafka_topic_t *topic, enum outbox_kind kind)
{
    const struct kafka_audit *k = s->state;
    for (uint32_t i = 0; i < a->n && k->parts[kind]; i++) {
        const struct audit_name *name = &a->name[a->event[i].symbol];
        if (a->event[i].kind != kind || s->times[i] || a->first + i >= s->cursor.offset)
            continue;
        const struct part *p = &k->part[kind][rd_kafka_msg_partitioner_murmur2(topic, name->text, name->len,
                                                                               k->parts[kind], NULL, NULL)];
        if (p->first > 0 && (p->oldest < 0 || i < p->oldest))
            s->times[i] = AUDIT_TRIMMED;
    }
}

static void kafka_read(struct audit *a, struct audit_sink *s)
{
    struct kafka_audit *k = s->state;
    struct error err;
    int rc = 0;
    for (unsigned kind = 0; kind < OUTBOX_KINDS && rc == 0; kind++) {
        if (!has_events(kind))
            continue;
        rd_kafka_topic_t *topic = rd_kafka_topic_new(k->consumer, kafka_topics[kind], NULL);
        for (int32_t i = 0; i < k->parts[kind] && rc == 0; i++) {
            struct part *p = &k->part[kind][i];
            struct reading r = {a, s, p, kind};
            if (p->first < p->end)
                rc = read_partition(s, topic, i, p->end, take_event, &r, &err);
        }
        if (rc == 0)
            trim(a, s, topic, kind);
        rd_kafka_topic_destroy(topic);
    }
    if (rc < 0)
        audit_sink_unread(a, s, &err);
}

const struct audit_sink_ops audit_kafka = {.name = "kafka",
                                           .stage = {[OUTBOX_ALERT] = "kafka alerts",
                                                     [OUTBOX_BAR] = "kafka bars",
                                                     [OUTBOX_ANOMALY] = "kafka anomalies",
                                                     [OUTBOX_HALT] = "kafka halts"},
                                           .where = where,
                                           .open = kafka_open,
                                           .read = kafka_read,
                                           .close = kafka_close};
