/* What a sink delivers, beside the client library alone on the same server in turn. One line of JSON.
 *
 *   sink redis redis://127.0.0.1:PORT/0 | postgres postgresql://… | kafka HOST:PORT   [--quick]
 *
 * Ours: an outbox of events, from the start of the sink's thread until all are in the server behind the
 * cursor. Theirs: the same JSON, pipelined XADD and PUBLISH; COPY of the same columns, as many rows per
 * commit; a bare transactional producer with as many messages per transaction, and one without transactions,
 * to tell what these cost. */
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/decimal.h"
#include "net/settings.h"
#include "net/sink.h"

enum { ROUNDS_MAX = 9, JSON_BYTES = 512, SYMBOLS = 1000 };

struct event {
    char id[33], symbol[8], json[JSON_BYTES];
    uint32_t len;
    int64_t event_ns;
};

static struct event *events;
static uint32_t n_events;
static struct settings settings;
static char folder[64];

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench sink: %s: %s\n", what, why);
    exit(1);
}

/* Alerts as they are, with three operands; `round` makes their ids new. */
static void make_events(unsigned round)
{
    for (uint32_t i = 0; i < n_events; i++) {
        struct event *e = &events[i];
        char time[DECIMAL_TEXT_MAX];
        e->event_ns = INT64_C(1381239000000000000) + (int64_t)i * 1000000;
        decimal_format_time(e->event_ns, time);
        snprintf(e->id, sizeof e->id, "%08x%08x%016x", round, (unsigned)getpid(), i);
        snprintf(e->symbol, sizeof e->symbol, "S%03u", i % SYMBOLS);
        e->len = (uint32_t)snprintf(
            e->json, sizeof e->json,
            "{\"id\":\"%s\",\"rule_id\":\"m%u\",\"rule_name\":\"m%u\",\"rule_version\":1,\"symbol\":\"%s\","
            "\"timestamp\":"
            "\"%s\",\"price\":%u.%02u,\"message\":\"m%u: %s %u.%02u\",\"metadata\":{\"change_pct_1m\":0.0213,"
            "\"change_pct_5m\":0.0871,\"rsi(14)@1m\":61.25},\"trace_id\":\"%s\",\"seq\":%u,\"kind\":"
            "\"fired\",\"revision\":0}",
            e->id, i % 100, i % 100, e->symbol, time, 100 + i % 50, i % 100, i % 100, e->symbol, 100 + i % 50,
            i % 100, e->id, i + 1);
    }
}

static void must(int rc, const struct error *err)
{
    if (rc < 0)
        fail("outbox", err->text);
}

/* Events per second of the sink over a new outbox. */
static double ours(const struct sink_ops *ops, uint32_t batch, unsigned round)
{
    char dir[128], node[32];
    struct error err;
    snprintf(dir, sizeof dir, "%s/outbox%u", folder, round);
    snprintf(node, sizeof node, "bench-%d-%u", (int)getpid(), round);
    struct outbox *o = outbox_open(dir, 64 << 20, NULL, &err);
    if (!o)
        fail("outbox", err.text);
    for (uint32_t i = 0; i < n_events; i++) {
        struct event *e = &events[i];
        struct outbox_record r = {.seq = i + 1,
                                  .symbol = i % SYMBOLS,
                                  .bucket = (uint16_t)(i % SYMBOLS),
                                  .kind = OUTBOX_ALERT,
                                  .event_ns = e->event_ns,
                                  .name = e->symbol,
                                  .name_len = (uint32_t)strlen(e->symbol),
                                  .json = e->json,
                                  .json_len = e->len};
        must(outbox_append(o, &r, &err), &err);
        if (i % 4096 == 4095)
            must(outbox_commit(o, &err), &err);
    }
    must(outbox_commit(o, &err), &err);
    struct sink_config c = {.ops = ops,
                            .node = node,
                            .outbox_dir = dir,
                            .outbox_id = outbox_id(o),
                            .next_offset = n_events,
                            .batch = batch,
                            .settings = &settings,
                            .redis_url = settings.sinks_redis,
                            .redis_trade_channel = "trades",
                            .redis_alerts_maxlen = 1000000000,
                            .redis_bars_maxlen = 1000000000};
    int64_t t0 = now_ns();
    struct sink *s = sink_start(&c, &err);
    if (!s)
        fail("sink", err.text);
    while (!sink_level(s, n_events)) {
        if (now_ns() - t0 > INT64_C(120000000000)) {
            sink_last_error(s, &err);
            fail("sink", err.text);
        }
        usleep(200);
    }
    double seconds = (double)(now_ns() - t0) / 1e9;
    if (sink_stop(s, 5000) < 0)
        fail("sink", "does not stop");
    outbox_close(o);
    return n_events / seconds;
}

/* ---- the libraries alone */

/* XADD of each event, and its PUBLISH, as the sink does. */
static double redis_alone(uint32_t batch, unsigned round)
{
    struct setting_redis url;
    struct error err;
    char key[32];
    if (setting_redis_parse(settings.sinks_redis, &url, &err))
        fail("redis", err.text);
    snprintf(key, sizeof key, "peer%u", round);
    redisContext *c = redisConnect(url.host, url.port);
    if (!c || c->err)
        fail("redis", c ? c->errstr : "no memory");
    int64_t t0 = now_ns();
    for (uint32_t i = 0; i < n_events;) {
        uint32_t n = n_events - i < batch ? n_events - i : batch;
        for (uint32_t k = 0; k < n; k++) {
            const char *argv[] = {"XADD", key, "MAXLEN", "~", "1000000000", "*", "alert", events[i + k].json};
            size_t len[] = {4, strlen(key), 6, 1, 10, 1, 5, events[i + k].len};
            redisAppendCommandArgv(c, 8, argv, len);
            redisAppendCommandArgv(c, 3, (const char *[]){"PUBLISH", "peer", events[i + k].json},
                                   (const size_t[]){7, 4, events[i + k].len});
        }
        for (uint32_t k = 0; k < 2 * n; k++) {
            redisReply *r;
            if (redisGetReply(c, (void **)&r) != REDIS_OK || r->type == REDIS_REPLY_ERROR)
                fail("redis", c->errstr);
            freeReplyObject(r);
        }
        i += n;
    }
    double seconds = (double)(now_ns() - t0) / 1e9;
    redisFree(c);
    return n_events / seconds;
}

static void sql(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK &&
        PQresultStatus(r) != PGRES_COPY_IN)
        fail(text, PQerrorMessage(c));
    PQclear(r);
}

/* The columns of alert_history, by COPY in text form. */
static double postgres_alone(uint32_t batch, unsigned round)
{
    char text[512], row[2 * JSON_BYTES];
    PGconn *c = PQconnectdb(settings.sinks_postgres);
    if (PQstatus(c) != CONNECTION_OK)
        fail("postgres", PQerrorMessage(c));
    snprintf(text, sizeof text,
             "CREATE TABLE peer%u (id text, rule_id text, rule_name text, rule_version int, symbol text, at "
             "timestamptz, "
             "price numeric, message text, metadata jsonb, seq bigint, kind text, revision int, PRIMARY KEY "
             "(id, at, revision))",
             round);
    sql(c, text);
    int64_t t0 = now_ns();
    for (uint32_t i = 0; i < n_events;) {
        uint32_t n = n_events - i < batch ? n_events - i : batch;
        sql(c, "BEGIN");
        snprintf(text, sizeof text, "COPY peer%u FROM STDIN", round);
        sql(c, text);
        for (uint32_t k = 0; k < n; k++) {
            const struct event *e = &events[i + k];
            char time[DECIMAL_TEXT_MAX];
            decimal_format_time(e->event_ns, time);
            int len = snprintf(
                row, sizeof row,
                "%s\tm%u\tm%u\t1\t%s\t%s\t%u.%02u\tm%u: %s\t{\"change_pct_1m\":0.0213,\"change_pct_5m\":"
                "0.0871,\"rsi(14)@1m\":61.25}\t%u\tfired\t0\n",
                e->id, i % 100, i % 100, e->symbol, time, 100 + i % 50, i % 100, i % 100, e->symbol,
                i + k + 1);
            if (PQputCopyData(c, row, len) != 1)
                fail("COPY", PQerrorMessage(c));
        }
        if (PQputCopyEnd(c, NULL) != 1)
            fail("COPY", PQerrorMessage(c));
        PGresult *r = PQgetResult(c);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            fail("COPY", PQerrorMessage(c));
        PQclear(r);
        while ((r = PQgetResult(c)))
            PQclear(r);
        sql(c, "COMMIT");
        i += n;
    }
    double seconds = (double)(now_ns() - t0) / 1e9;
    PQfinish(c);
    return n_events / seconds;
}

static void kafka_must(rd_kafka_error_t *e)
{
    if (e)
        fail("kafka", rd_kafka_error_string(e));
}

static double kafka_alone(uint32_t batch, unsigned round, bool transactions)
{
    char why[512], name[64];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    snprintf(name, sizeof name, "peer-%d-%u", (int)getpid(), round);
    rd_kafka_conf_set(conf, "bootstrap.servers", settings.sinks_kafka, why, sizeof why);
    rd_kafka_conf_set(conf, "linger.ms", "5", why, sizeof why);
    rd_kafka_conf_set(conf, transactions ? "transactional.id" : "enable.idempotence",
                      transactions ? name : "true", why, sizeof why);
    rd_kafka_t *k = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!k)
        fail("kafka", why);
    if (transactions)
        kafka_must(rd_kafka_init_transactions(k, 30000));
    int64_t t0 = now_ns();
    for (uint32_t i = 0; i < n_events;) {
        uint32_t n = n_events - i < batch ? n_events - i : batch;
        if (transactions)
            kafka_must(rd_kafka_begin_transaction(k));
        for (uint32_t j = 0; j < n; j++) {
            struct event *e = &events[i + j];
            rd_kafka_resp_err_t rc;
            while ((rc = rd_kafka_producev(
                        k, RD_KAFKA_V_TOPIC("peer"), RD_KAFKA_V_KEY(e->symbol, strlen(e->symbol)),
                        RD_KAFKA_V_VALUE(e->json, e->len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_END)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
                rd_kafka_poll(k, 10);
            if (rc)
                fail("kafka", rd_kafka_err2str(rc));
        }
        if (transactions)
            kafka_must(rd_kafka_commit_transaction(k, 30000));
        i += n;
    }
    if (rd_kafka_flush(k, 60000))
        fail("kafka", "not all delivered");
    double seconds = (double)(now_ns() - t0) / 1e9;
    rd_kafka_destroy(k);
    return n_events / seconds;
}

/* ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    static const char *const peers[] = {"hiredis_pipelining", "libpq_copy", "librdkafka_transactional"};
    bool quick = argc > 3 && !strcmp(argv[3], "--quick");
    int kind = argc < 3                       ? -1
               : !strcmp(argv[1], "redis")    ? 0
               : !strcmp(argv[1], "postgres") ? 1
               : !strcmp(argv[1], "kafka")    ? 2
                                              : -1;
    if (kind < 0) {
        fprintf(stderr, "usage: sink redis|postgres|kafka WHERE [--quick]\n");
        return 2;
    }
    settings_defaults(&settings);
    snprintf(kind == 0   ? settings.sinks_redis
             : kind == 1 ? settings.sinks_postgres
                         : settings.sinks_kafka,
             SETTING_TEXT_MAX, "%s", argv[2]);
    strcpy(folder, "/tmp/bench-sinkXXXXXX");
    if (!mkdtemp(folder))
        fail(folder, "cannot be made");
    const struct sink_ops *ops = kind == 0 ? &sink_redis : kind == 1 ? &sink_postgres : &sink_kafka;
    uint32_t batch = (uint32_t)(kind == 0   ? settings.redis_batch
                                : kind == 1 ? settings.postgres_batch
                                            : settings.kafka_batch);
    unsigned rounds = quick ? 3 : 5;
    double a[ROUNDS_MAX], b[ROUNDS_MAX], ratio[ROUNDS_MAX], plain[ROUNDS_MAX] = {0};
    n_events = quick ? 50000 : 200000;
    events = calloc(n_events, sizeof *events);
    for (unsigned i = 0; i < rounds; i++) {
        make_events(2 * i);
        a[i] = ours(ops, batch, i);
        make_events(2 * i + 1);
        b[i] = kind == 0   ? redis_alone(batch, i)
               : kind == 1 ? postgres_alone(batch, i)
                           : kafka_alone(batch, i, true);
        plain[i] = kind == 2 ? kafka_alone(batch, i, false) : 0;
        ratio[i] = a[i] / b[i];
    }
    double mid = median(a, rounds);
    printf("{\"bench\":\"sink_%s\",\"peer\":\"%s\",\"placement\":null,\"rules\":null,\"kind\":\"alerts, %u a "
           "batch\","
           "\"ours\":%.0f,\"theirs\":%.0f,\"ratio\":%.3f,\"unit\":\"events/s\",\"runs\":%u,\"spread\":%.3f",
           argv[1], peers[kind], batch, mid, median(b, rounds), median(ratio, rounds), rounds,
           (a[rounds - 1] - a[0]) / mid);
    if (kind == 2)
        printf(",\"note\":\"without transactions %.0f\"", median(plain, rounds));
    puts("}");
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
