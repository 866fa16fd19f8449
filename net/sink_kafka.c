/* Kafka, in transactions: topics `alerts` and `bars` from the outbox, and (another sink, with a transactional
 * id and a cursor of its own) `market_data` from the journal; key = the symbol (so that order per symbol is
 * kept), value
 *
 *   {"eventId":…,"eventTimestamp":…,"sourceService":"ringtape","schemaVersion":1,"payload":<alert, bar,
 * tick>}
 *
 * eventId is an alert's id, <symbol>@<start> for a bar, <journal id>-<seq> for a trade; of revision n > 0
 * with .n behind it. eventTimestamp is the payload's. A record's own timestamp is the broker's business:
 * retention goes by it, and an old tape must not be deleted as it arrives.
 *
 * The cursor is the last record with the node's name as key (of market_data: NODE/trades) in the compacted
 * topic `ringtape.cursors`, partition 0: "<outbox id> <next offset>", written in the transaction that holds
 * the events. A delivery is conditional on it because of the order at open: init_transactions settles what a
 * predecessor of the same transactional id left open and fences it for good (whatever of it arrives later is
 * refused), and only then the cursor is read. So nobody can have moved it since; whoever does so later has
 * fenced us first, and the next delivery fails.
 *
 * Topic `prices` has latest prices, which are no events: a producer of its own writes them outside of all
 * transactions, as well as it can. eventId is <symbol>@<timestamp>/<price>x<size>: equal ids say the same.
 *
 * Whenever the answer to a commit is lost, the sink is closed; the next open finds out what became of it. */
#include "net/sink.h"

#include "core/decimal.h"
#include "net/event_json.h"
#include "net/kafka_link.h"
#include "net/settings.h"
#include "net/sink_source.h"

#include <assert.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CURSORS KAFKA_CURSORS

enum {
    STEP_TIMEOUT_MS = 4000,  /* each step of an open, a commit */
    ABORT_TIMEOUT_MS = 1000, /* a courtesy to readers, who wait for it */
    PRICES_TIMEOUT_MS = 500, /* for the last ones at the end */
    PRICE_BYTES = 1024,
    ENVELOPE_BYTES = 1 << 18, /* one message */
    CURSOR_BYTES = SINK_OUTBOX_ID_MAX + 24,
    KEY_BYTES = 256,
    EVENT_ID_BYTES = 512, /* a symbol's name, each byte of which may take six, and a time */
};

struct kafka {
    const struct sink_config *config;
    rd_kafka_t *admin, *reader, *producer; /* the first two only during the open */
    rd_kafka_topic_t *topic[OUTBOX_KINDS], *cursors;
    rd_kafka_t *price_producer; /* NULL: prices are not published */
    rd_kafka_topic_t *prices;
    rd_kafka_resp_err_t price_failure; /* of one that was sent */
    char key[KEY_BYTES];               /* of the cursor */
    char *envelope;
    rd_kafka_resp_err_t why_code; /* what librdkafka last said of a connection: its time-outs do not */
    char why[KAFKA_WHY_BYTES];
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static const char *brokers(const struct kafka *k)
{
    return k->config->settings->sinks_kafka;
}

/* Called by rd_kafka_poll, so by the sink's thread, as is the next. Connections that fail are told to
 * on_error too. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const struct kafka *k = rd_kafka_opaque(rk);
    char line[1024];
    (void)level;
    if (!k->config->log || !strcmp(facility, "FAIL") || !strcmp(facility, "ERROR"))
        return;
    snprintf(line, sizeof line, "sink %s: librdkafka says %s: %s", k->config->ops->name, facility, text);
    k->config->log(k->config->log_ctx, line);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka *k = opaque;
    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && *k->why)
        return;
    /* Without "(after 3ms in state CONNECT)", which makes one error many. */
    const char *end = strstr(reason, " (after ");
    k->why_code = code;
    snprintf(k->why, sizeof k->why, "%.*s", (int)(end ? end - reason : (ptrdiff_t)strlen(reason)), reason);
}

static void on_price(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka *k = opaque;
    (void)rk;
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE && m->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        k->price_failure = m->err;
}

/* A time-out says nothing; what is known of the connection does. */
static int refused(struct kafka *k, const char *what, rd_kafka_resp_err_t code, const char *text,
                   struct error *err)
{
    char fatal[KAFKA_WHY_BYTES];
    bool mute = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
                code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    rd_kafka_t *const rk[] = {k->admin, k->reader, k->producer};
    for (size_t i = 0; i < sizeof rk / sizeof *rk; i++)
        if (rk[i])
            rd_kafka_poll(rk[i], 0);
    if (k->producer && (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__STATE) &&
        rd_kafka_fatal_error(k->producer, fatal, sizeof fatal)) {
        code = rd_kafka_fatal_error(k->producer, fatal, sizeof fatal);
        text = fatal;
    } else if (mute && *k->why) {
        code = k->why_code;
        text = k->why;
    }
    const char *fix = kafka_link_advice(code, text);
    return error_set(err, "%s: %s: %s%s%s", brokers(k), what, text ? text : rd_kafka_err2str(code),
                     fix ? "; " : "", fix ? fix : "");
}

/* As refused; frees the error. */
static int refused_error(struct kafka *k, const char *what, rd_kafka_error_t *error, struct error *err)
{
    int result = refused(k, what, rd_kafka_error_code(error), rd_kafka_error_string(error), err);
    rd_kafka_error_destroy(error);
    return result;
}

static int kafka_check(const struct sink_config *config, struct error *err)
{
    const struct settings *s = config->settings;
    assert(s);
    if (!config->node || !*config->node || strlen(config->node) > 200)
        return error_set(err, "a node without name, or with one of more than 200 bytes, can have no cursor");
    return kafka_link_check(s, err);
}

typedef void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);

/* A client with these properties beside what all have; NULL with err. */
static rd_kafka_t *client(struct kafka *k, rd_kafka_type_t type, const struct kafka_property *own,
                          on_delivered *delivered, struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, k);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (delivered)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = kafka_link_open(k->config->settings, type, conf, own, err);
    if (rk)
        rd_kafka_set_log_queue(rk, NULL);
    return rk;
}

/* 1 if the topic is there, 0 if not, -1 with err. Asked by a consumer: a producer's question would make it.
 */
static int topic_exists(struct kafka *k, const char *name, struct error *err)
{
    const struct rd_kafka_metadata *answer;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k->admin, name, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->admin, 0, topic, &answer, STEP_TIMEOUT_MS);
    rd_kafka_topic_destroy(topic);
    if (code)
        return refused(k, "metadata", code, NULL, err);
    code = answer->topic_cnt == 1 ? answer->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    rd_kafka_metadata_destroy(answer);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return 0;
    return code && code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ? refused(k, name, code, NULL, err) : 1;
}

/* Waits for the event that answers an admin request; NULL with err. */
static rd_kafka_event_t *answer_of(struct kafka *k, const char *what, rd_kafka_queue_t *queue,
                                   struct error *err)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, STEP_TIMEOUT_MS + 500);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!code)
        return event;
    refused(k, what, code, event ? rd_kafka_event_error_string(event) : NULL, err);
    if (event)
        rd_kafka_event_destroy(event);
    return NULL;
}

static rd_kafka_AdminOptions_t *admin_options(const struct kafka *k, rd_kafka_admin_op_t op)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(k->admin, op);
    char why[KAFKA_WHY_BYTES];
    bool good =
        options && !rd_kafka_AdminOptions_set_request_timeout(options, STEP_TIMEOUT_MS, why, sizeof why);
    assert(good);
    return options;
}

/* The cursors' topic is compacted, in segments small enough to be read at each open. Of the others the
 * brokers' defaults decide. */
static int create_topic(struct kafka *k, const char *name, struct error *err)
{
    bool cursors = !strcmp(name, CURSORS);
    char what[64], why[KAFKA_WHY_BYTES];
    snprintf(what, sizeof what, "creating topic %s", name);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, cursors ? 1 : -1, -1, why, sizeof why);
    if (!topic)
        return error_set(err, "%s: %s", what, why);
    if (cursors) {
        rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
        rd_kafka_NewTopic_set_config(topic, "segment.bytes", "4194304");
        rd_kafka_NewTopic_set_config(topic, "min.cleanable.dirty.ratio", "0.1");
    }
    rd_kafka_AdminOptions_t *options = admin_options(k, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->admin);
    rd_kafka_CreateTopics(k->admin, &topic, 1, options, queue);
    rd_kafka_event_t *event = answer_of(k, what, queue, err);
    int result = event ? 0 : -1;
    if (event) {
        size_t n;
        const rd_kafka_topic_result_t **got =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
        rd_kafka_resp_err_t code = n == 1 ? rd_kafka_topic_result_error(got[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
        if (code && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            result = refused(k, what, code, n == 1 ? rd_kafka_topic_result_error_string(got[0]) : NULL, err);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);
    return result;
}

/* A topic that deletes by age would lose the cursor of a node that was idle for long. Who may not ask is
 * trusted. */
static int check_compacted(struct kafka *k, struct error *err)
{
    rd_kafka_ConfigResource_t *topic = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, CURSORS);
    rd_kafka_AdminOptions_t *options = admin_options(k, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->admin);
    rd_kafka_DescribeConfigs(k->admin, &topic, 1, options, queue);
    rd_kafka_event_t *event = answer_of(k, "describing topic " CURSORS, queue, err);
    int result = event ? 0 : -1;
    if (event) {
        size_t n, entries = 0;
        const rd_kafka_ConfigResource_t **got =
            rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
        const rd_kafka_ConfigEntry_t **entry =
            n == 1 ? rd_kafka_ConfigResource_configs(got[0], &entries) : NULL;
        for (size_t i = 0; i < entries; i++) {
            const char *value = rd_kafka_ConfigEntry_value(entry[i]);
            if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), "cleanup.policy") || !value ||
                !strcmp(value, "compact"))
                continue;
            result = error_set(
                err,
                "%s: topic " CURSORS " has cleanup.policy=%s, expected compact, or the cursors in it "
                "are lost with time: kafka-configs.sh --alter --entity-type topics --entity-name " CURSORS
                " --add-config cleanup.policy=compact",
                brokers(k), value);
        }
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(topic);
    return result;
}

static bool is_trades(const struct kafka *k)
{
    return k->config->ops == &sink_kafka_trades;
}

static int make_topic(struct kafka *k, const char *name, struct error *err)
{
    int there = topic_exists(k, name, err);
    return there > 0 ? 0 : there < 0 ? -1 : create_topic(k, name, err);
}

/* True if this sink has records of that kind. */
static bool takes(const struct kafka *k, unsigned kind)
{
    return kafka_topics[kind] && (kind == OUTBOX_TRADE) == is_trades(k);
}

static int prepare_topics(struct kafka *k, struct error *err)
{
    if (make_topic(k, CURSORS, err))
        return -1;
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        if (takes(k, kind) && make_topic(k, kafka_topics[kind], err))
            return -1;
    return check_compacted(k, err);
}

/* From here on no predecessor can deliver. */
static int start_producer(struct kafka *k, struct error *err)
{
    char id[256], room[24];
    snprintf(id, sizeof id, "ringtape.%s.%s", k->config->node, is_trades(k) ? "trades" : "kafka");
    snprintf(room, sizeof room, "%u", k->config->batch + 1000);
    const struct kafka_property own[] = {
        {"transactional.id", id},          {"transaction.timeout.ms", "10000"}, /* of a killed one: readers
                                                                                   wait as long */
        {"partitioner", "murmur2_random"},                                      /* as Java's */
        {"compression.codec", "lz4"},      {"queue.buffering.max.messages", room}, {0}};
    k->producer = client(k, RD_KAFKA_PRODUCER, own, NULL, err);
    if (!k->producer)
        return -1;
    int64_t deadline = now_ms() + STEP_TIMEOUT_MS;
    rd_kafka_error_t *error;
    while ((error = rd_kafka_init_transactions(k->producer, STEP_TIMEOUT_MS)) &&
           rd_kafka_error_is_retriable(error) && now_ms() < deadline)
        rd_kafka_error_destroy(error);
    if (error)
        return refused_error(k, "starting transactions", error, err);
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        if (takes(k, kind) && !(k->topic[kind] = rd_kafka_topic_new(k->producer, kafka_topics[kind], NULL)))
            return error_set(err, "no memory");
    k->cursors = rd_kafka_topic_new(k->producer, CURSORS, NULL);
    return k->cursors ? 0 : error_set(err, "no memory");
}

/* A topic that cannot be made is no matter to the events: whatever refuses the prices is said of them. */
static int start_prices(struct kafka *k, struct error *err)
{
    static const struct kafka_property own[] = {{"acks", "1"},
                                                {"message.timeout.ms", "5000"},
                                                {"max.in.flight", "1"}, /* order */
                                                {"partitioner", "murmur2_random"},
                                                {"compression.codec", "lz4"},
                                                {"queue.buffering.max.messages", "100000"},
                                                {0}};
    struct error ignored;
    if (!k->config->prices.read)
        return 0;
    (void)make_topic(k, "prices", &ignored);
    k->price_producer = client(k, RD_KAFKA_PRODUCER, own, on_price, err);
    if (!k->price_producer)
        return -1;
    k->prices = rd_kafka_topic_new(k->price_producer, "prices", NULL);
    return k->prices ? 0 : error_set(err, "no memory");
}

/* Takes a record of the cursors' topic if it is ours. */
static int take_cursor(const struct kafka *k, const rd_kafka_message_t *m, struct sink_cursor *cursor,
                       struct error *err)
{
    char text[CURSOR_BYTES + 1], again[CURSOR_BYTES + 1] = "";
    struct sink_cursor got = {"", 0};
    if (m->key_len != strlen(k->key) || memcmp(m->key, k->key, m->key_len))
        return 0;
    snprintf(text, sizeof text, "%.*s", m->payload ? (int)m->len : 0,
             m->payload ? (const char *)m->payload : "");
    if (*text && sscanf(text, "%32[0-9a-f] %" SCNu64, got.outbox_id, &got.offset) == 2)
        snprintf(again, sizeof again, "%s %" PRIu64, got.outbox_id, got.offset);
    if (strcmp(text, again))
        return error_set(
            err,
            "%s: topic " CURSORS ", key %s, offset %" PRId64
            ": found '%s', expected '<outbox id> <offset>': write a record with that key and no value "
            "to deliver all events of the %s",
            brokers(k), k->key, m->offset, text, is_trades(k) ? "journal" : "outbox");
    *cursor = got;
    return 0;
}

/* Reads on to `end`, which may lie behind a transaction that another node has open: it is waited for. */
static int read_records(struct kafka *k, rd_kafka_topic_t *topic, int64_t end, struct sink_cursor *cursor,
                        struct error *err)
{
    for (int64_t deadline = now_ms() + STEP_TIMEOUT_MS; now_ms() < deadline;) {
        rd_kafka_poll(k->reader, 0);
        rd_kafka_message_t *m = rd_kafka_consume(topic, 0, 100);
        if (!m)
            continue;
        rd_kafka_resp_err_t code = m->err;
        bool level = code == RD_KAFKA_RESP_ERR__PARTITION_EOF && m->offset >= end;
        int result = code ? 0 : take_cursor(k, m, cursor, err);
        if (code && code != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            result = refused(k, "reading " CURSORS, code, rd_kafka_message_errstr(m), err);
        rd_kafka_message_destroy(m);
        if (result || level)
            return result;
    }
    return refused(k, "reading " CURSORS, RD_KAFKA_RESP_ERR__TIMED_OUT,
                   "not at its end in time (another node's transaction may be open)", err);
}

static int read_cursor(struct kafka *k, struct sink_cursor *cursor, struct error *err)
{
    const struct kafka_property own[] = {{"isolation.level", "read_committed"},
                                         {"enable.partition.eof", "true"},
                                         {"enable.auto.commit", "false"},
                                         {"fetch.wait.max.ms", "50"},
                                         {0}};
    int64_t first, end;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(k->admin, CURSORS, 0, &first, &end, STEP_TIMEOUT_MS);
    if (code)
        return refused(k, "the end of " CURSORS, code, NULL, err);
    if (first == end)
        return 0;
    k->reader = client(k, RD_KAFKA_CONSUMER, own, NULL, err);
    if (!k->reader)
        return -1;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(k->reader, CURSORS, NULL);
    int result = -1;
    if (rd_kafka_consume_start(topic, 0, RD_KAFKA_OFFSET_BEGINNING))
        refused(k, "reading " CURSORS, rd_kafka_last_error(), NULL, err);
    else {
        result = read_records(k, topic, end, cursor, err);
        rd_kafka_consume_stop(topic, 0);
    }
    rd_kafka_topic_destroy(topic);
    return result;
}

static void destroy(rd_kafka_t **rk)
{
    if (*rk)
        rd_kafka_destroy(*rk);
    *rk = NULL;
}

static void kafka_close(void *state)
{
    struct kafka *k = state;
    if (k->price_producer) {
        rd_kafka_flush(k->price_producer, PRICES_TIMEOUT_MS);
        rd_kafka_purge(k->price_producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
    if (k->prices)
        rd_kafka_topic_destroy(k->prices);
    destroy(&k->price_producer);
    if (k->producer)
        rd_kafka_purge(k->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        if (k->topic[kind])
            rd_kafka_topic_destroy(k->topic[kind]);
    if (k->cursors)
        rd_kafka_topic_destroy(k->cursors);
    destroy(&k->admin);
    destroy(&k->reader);
    destroy(&k->producer);
    free(k->envelope);
}

static int kafka_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                      struct error *err)
{
    /* Uncommitted: the end of the cursors, not the beginning of the first open transaction. */
    static const struct kafka_property own[] = {{"isolation.level", "read_uncommitted"}, {0}};
    struct kafka *k = state;
    k->config = config;
    snprintf(k->key, sizeof k->key, "%s%s", config->node, is_trades(k) ? "/trades" : "");
    k->envelope = malloc(ENVELOPE_BYTES);
    if (!k->envelope)
        error_set(err, "no memory");
    else if ((k->admin = client(k, RD_KAFKA_CONSUMER, own, NULL, err)) && prepare_topics(k, err) == 0 &&
             start_producer(k, err) == 0 && read_cursor(k, cursor, err) == 0 && start_prices(k, err) == 0) {
        destroy(&k->admin);
        destroy(&k->reader);
        *k->why = 0;
        return 0;
    }
    kafka_close(k);
    return -1;
}

struct span {
    const char *at;
    int len;
};

/* What stands in JSON between `before` and the next quote; .at is NULL if nothing does. Within a JSON string
 * no quote stands without a backslash before it, so that `before`, which begins and ends with one, is no
 * user's. */
static struct span text_after(const char *json, size_t len, const char *before)
{
    const char *at = memmem(json, len, before, strlen(before));
    if (!at)
        return (struct span){0};
    at += strlen(before);
    const char *end = memchr(at, '"', len - (size_t)(at - json));
    return end ? (struct span){at, (int)(end - at)} : (struct span){0};
}

/* The number before the last brace, with a point before it; nothing for 0. */
static struct span revision_suffix(const char *json, size_t len, char out[16])
{
    size_t digits = 0;
    while (digits < 10 && len >= 2 + digits && json[len - 2 - digits] >= '0' && json[len - 2 - digits] <= '9')
        digits++;
    int n = snprintf(out, 16, ".%.*s", (int)digits, json + len - 1 - digits);
    return digits == 1 && out[1] == '0' ? (struct span){"", 0} : (struct span){out, n};
}

/* Writes the envelope around `json`; its length, or -1 with err. */
static int wrap(struct kafka *k, const char *id, struct span time, const char *json, size_t len,
                struct error *err)
{
    int n = snprintf(k->envelope, ENVELOPE_BYTES,
                     "{\"eventId\":\"%s\",\"eventTimestamp\":\"%.*s\",\"sourceService\":\"ringtape\","
                     "\"schemaVersion\":1,\"payload\":",
                     id, time.len, time.at);
    if (n < 0 || (size_t)n + len + 1 > ENVELOPE_BYTES)
        return error_set(err, "event %s has %zu bytes of JSON, expected at most %d", id, len,
                         ENVELOPE_BYTES / 2);
    memcpy(k->envelope + n, json, len);
    k->envelope[(size_t)n + len] = '}';
    return n + (int)len + 1;
}

/* The envelope of a record; its length, or -1 with err for an event that is not as net/event_json.h has it.
 */
static int put_envelope(struct kafka *k, const struct outbox_record *r, struct error *err)
{
    char suffix[16], id[EVENT_ID_BYTES], text[DECIMAL_TEXT_MAX];
    if (r->kind == OUTBOX_TRADE) {
        struct span time = {text, (int)decimal_format_time(r->event_ns, text)};
        snprintf(id, sizeof id, "%s-%" PRIu64, k->config->outbox_id, r->offset);
        return wrap(k, id, time, r->json, r->json_len, err);
    }
    bool has_id = r->kind != OUTBOX_BAR;
    struct span time = text_after(r->json, r->json_len, "\",\"timestamp\":\"");
    struct span name = {0}; /* the id, a bar's symbol */
    if (has_id)
        name = text_after(r->json, r->json_len, "{\"id\":\"");
    else if (time.at && !strncmp(r->json, "{\"symbol\":\"", 11)) /* as escaped there */
        name = (struct span){r->json + 11, (int)(time.at - r->json) - 11 - 15};
    if (!time.at || !name.at || name.len < 0)
        return error_set(err, "event %" PRIu64 ": found %.*s, expected an event", r->offset,
                         r->json_len < 200 ? (int)r->json_len : 200, r->json);
    struct span revision = {"", 0};
    if (r->kind != OUTBOX_ANOMALY && r->kind != OUTBOX_HALT) /* which have none */
        revision = revision_suffix(r->json, r->json_len, suffix);
    snprintf(id, sizeof id, "%.*s%s%.*s%.*s", name.len, name.at, has_id ? "" : "@", has_id ? 0 : time.len,
             time.at, revision.len, revision.at);
    return wrap(k, id, time, r->json, r->json_len, err);
}

static int produce(struct kafka *k, rd_kafka_topic_t *topic, int32_t partition, const char *key,
                   size_t key_len, char *value, int len, struct error *err)
{
    if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value, (size_t)len, key, key_len, NULL) == 0)
        return 0;
    return refused(k, rd_kafka_topic_name(topic), rd_kafka_last_error(), NULL, err);
}

static int produce_all(struct kafka *k, const struct outbox_record *record, uint32_t n, struct error *err)
{
    char cursor[CURSOR_BYTES];
    for (uint32_t i = 0; i < n; i++) {
        const struct outbox_record *r = &record[i];
        if (!kafka_topics[r->kind])
            continue; /* it is recorded, and not for consumers */
        assert(takes(k, r->kind));
        int len = put_envelope(k, r, err);
        if (len < 0 ||
            produce(k, k->topic[r->kind], RD_KAFKA_PARTITION_UA, r->name, r->name_len, k->envelope, len, err))
            return -1;
    }
    int len = snprintf(cursor, sizeof cursor, "%s %" PRIu64, k->config->outbox_id, record[n - 1].offset + 1);
    return produce(k, k->cursors, 0, k->key, strlen(k->key), cursor, len, err);
}

/* Goes on with a commit whose answer is late until the deadline; what became of it then, the next open reads.
 */
static int commit(struct kafka *k, struct error *err)
{
    int64_t deadline = now_ms() + STEP_TIMEOUT_MS;
    for (;;) {
        int64_t left = deadline - now_ms();
        rd_kafka_error_t *error = rd_kafka_commit_transaction(k->producer, left > 1 ? (int)left : 1);
        if (!error)
            return 0;
        if (!rd_kafka_error_is_retriable(error) || now_ms() >= deadline)
            return refused_error(k, "delivery", error, err);
        rd_kafka_error_destroy(error);
    }
}

static int kafka_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                         struct error *err)
{
    struct kafka *k = state;
    assert(n > 0);
    rd_kafka_error_t *error = rd_kafka_begin_transaction(k->producer);
    if (error)
        return refused_error(k, "delivery", error, err);
    if (produce_all(k, record, n, err) || commit(k, err)) {
        error = rd_kafka_abort_transaction(k->producer, ABORT_TIMEOUT_MS);
        if (error)
            rd_kafka_error_destroy(error);
        return -1;
    }
    rd_kafka_poll(k->producer, 0);
    *k->why = 0;
    *accepted = n;
    return 0;
}

static int produce_price(struct kafka *k, const struct sink_price *p, struct error *err)
{
    const struct event_symbol symbol = {p->symbol, p->symbol_len, p->size_scale};
    char json[PRICE_BYTES], id[EVENT_ID_BYTES], time[DECIMAL_TEXT_MAX], price[DECIMAL_TEXT_MAX],
        size[DECIMAL_TEXT_MAX];
    int len = event_json_price(&symbol, p->price_e9, p->size, p->event_ns, json, sizeof json);
    assert(len > 0);
    const char *name = json + strlen("{\"symbol\":\""); /* as escaped there */
    const char *end = memmem(json, (size_t)len, "\",\"price\":", 10);
    assert(end);
    int time_len = (int)decimal_format_time(p->event_ns, time);
    decimal_format_e9(p->price_e9, price);
    decimal_format(p->size, p->size_scale, size);
    snprintf(id, sizeof id, "%.*s@%s/%sx%s", (int)(end - name), name, time, price, size);
    len = wrap(k, id, (struct span){time, time_len}, json, (size_t)len, err);
    return len < 0 ? -1
                   : produce(k, k->prices, RD_KAFKA_PARTITION_UA, p->symbol, p->symbol_len, k->envelope, len,
                             err);
}

/* A price that fails is found out at the next call; all are then sent again. */
static int kafka_publish_prices(void *state, const struct sink_price *price, uint32_t n, struct error *err)
{
    struct kafka *k = state;
    rd_kafka_poll(k->price_producer, 0);
    rd_kafka_resp_err_t failure = k->price_failure;
    k->price_failure = 0;
    if (failure) {
        refused(k, "topic prices", failure, NULL, err);
        return 1;
    }
    for (uint32_t i = 0; i < n; i++)
        if (price[i].new_price && produce_price(k, &price[i], err))
            return 1;
    rd_kafka_poll(k->price_producer, 0);
    return 0;
}

static int kafka_probe(void *state, struct error *err)
{
    struct kafka *k = state;
    const struct rd_kafka_metadata *answer;
    rd_kafka_poll(k->producer, 0);
    if (rd_kafka_fatal_error(k->producer, NULL, 0))
        return refused(k, "transactions", RD_KAFKA_RESP_ERR__FATAL, NULL, err);
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->producer, 0, k->cursors, &answer, STEP_TIMEOUT_MS);
    if (code)
        return refused(k, "metadata", code, NULL, err);
    rd_kafka_metadata_destroy(answer);
    return 0;
}

static int trades_check(const struct sink_config *config, struct error *err)
{
    if (!config->settings->journal_enabled)
        return error_set(err, "found kafka.trades = true and journal.enabled = false, expected the journal: "
                              "the trades come from there");
    return kafka_check(config, err);
}

const struct sink_ops sink_kafka_trades = {.name = "kafka-trades",
                                           .source = &sink_source_journal,
                                           .state_bytes = sizeof(struct kafka),
                                           .check = trades_check,
                                           .open = kafka_open,
                                           .deliver = kafka_deliver,
                                           .probe = kafka_probe,
                                           .close = kafka_close};

const struct sink_ops sink_kafka = {.name = "kafka",
                                    .state_bytes = sizeof(struct kafka),
                                    .check = kafka_check,
                                    .open = kafka_open,
                                    .deliver = kafka_deliver,
                                    .publish_prices = kafka_publish_prices,
                                    .probe = kafka_probe,
                                    .close = kafka_close};
