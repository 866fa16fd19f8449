/* The publisher role: event rings -> outbox -> sinks, one thread and one cursor each. It waits only for the
 * disk of the outbox. What it had stored when it died it knows from the outbox; what it had not released
 * comes again from the rings and is dropped there. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/route.h"
#include "net/barlog.h"
#include "net/calendar.h"
#include "net/journal.h"
#include "net/outbox.h"
#include "net/sink.h"
#include "net/sink_source.h"
#include "shm/histogram.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"
#include "workers/instance.h"
#include "workers/rule_names.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { COMMIT_EVENTS = 4096, SINKS = 8, PENDING = 2 * COMMIT_EVENTS };

/* A sink, and what its settings were when it was started. A sink that is to stop may take seconds for it, in
 * which the publisher goes on; the place is free for its successor after that. */
struct sink_place {
    struct sink *sink; /* NULL = none */
    struct settings settings;
    bool replaced; /* it is to stop; what the settings now say comes after it */
    bool journal;  /* it reads the journal */
    bool waits;    /* for the journal to have a message */
};

struct publisher {
    struct instance in;
    uint32_t scanners, rings, ends; /* a ring of each scanner, then one of the market role, if that tells */
    struct ring_consumer ring[ROUTE_SCANNERS_MAX + 1];
    bool ended[ROUTE_SCANNERS_MAX + 1];
    bool taken;                   /* slots were taken and not yet released */
    uint32_t batch;               /* events in the batch */
    int64_t received_ns[PENDING]; /* of its alerts */
    uint32_t n_received;
    struct symtab *symtab;
    struct ruletab *ruletab;
    struct rule_names *names;
    struct outbox *outbox;
    char outbox_dir[4096];
    char journal_dir[4096], journal_id[SINK_OUTBOX_ID_MAX + 1];
    uint64_t durable_seq;   /* of the journal, as its sink was told */
    struct error waits_for; /* why that sink cannot start, as it was logged */
    bool failing, refused;
    /* Digests of the stored events of messages that the journal has lost: open addressing; NULL: not read. */
    uint64_t *stored, stored_mask, n_stored;
    bool all_stored; /* nothing of the outbox was deleted */
    char dead_letter_dir[4096];
    struct sink_place sink[SINKS];
    struct settings next; /* of the sinks that are replaced */
    struct barlog *bars;
    struct event_logs logs;
    struct histogram *latency, *commit_ns;
    int64_t prune_at_ns;
    int64_t draining_since; /* 0 = not yet */
    int code;
};

static volatile sig_atomic_t hangup;

static void on_hangup(int signal)
{
    (void)signal;
    hangup = 1;
}

static int64_t now_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const struct event_rule *rule_of(struct publisher *p, uint32_t slot)
{
    struct rule_blob blob;
    const struct event_rule *r = rule_names_get(p->names, slot);
    if (r || !ruletab_get(p->ruletab, slot, &blob))
        return r;
    rule_names_add(p->names, slot, (const uint8_t *)blob.bytes, blob.len);
    return rule_names_get(p->names, slot);
}

/* For a person: the time in the exchange's zone, symbol and message. */
static void show_alert(const char *json)
{
    const char *t = strstr(json, "\"timestamp\":\""), *m = strstr(json, "\"message\":\"");
    struct tm tm = {0};
    char clock[16] = "";
    if (t && m && strptime(t + 13, "%Y-%m-%dT%H:%M:%S", &tm)) {
        time_t utc = timegm(&tm);
        localtime_r(&utc, &tm);
        strftime(clock, sizeof clock, "%H:%M:%S", &tm);
        printf("%s  %.*s\n", clock, (int)strcspn(m + 11, "\""), m + 11);
        fflush(stdout);
    }
}

/* Where the events of a kind are counted. */
static const enum publisher_counter counter_of[OUTBOX_KINDS] = {[OUTBOX_ALERT] = PUBLISHER_ALERTS,
                                                                [OUTBOX_SHADOW] = PUBLISHER_SHADOW_ALERTS,
                                                                [OUTBOX_BAR] = PUBLISHER_BARS,
                                                                [OUTBOX_ANOMALY] = PUBLISHER_ANOMALIES,
                                                                [OUTBOX_HALT] = PUBLISHER_HALTS};

static uint64_t digest_of(uint64_t seq, uint32_t symbol, uint32_t sub, const char *json, size_t len)
{
    const uint64_t place[2] = {seq, (uint64_t)symbol << 32 | sub};
    return XXH3_64bits_withSeed(json, len, XXH3_64bits(place, sizeof place)) | 1; /* 0: none */
}

/* The place of the digest in the set, or the free one for it. */
static uint64_t *find_stored(const struct publisher *p, uint64_t digest)
{
    uint64_t at = digest;
    while (p->stored[at & p->stored_mask] && p->stored[at & p->stored_mask] != digest)
        at++;
    return &p->stored[at & p->stored_mask];
}

static void add_stored(struct publisher *p, uint64_t digest)
{
    if (2 * p->n_stored >= p->stored_mask) {
        uint64_t *old = p->stored, old_room = old ? p->stored_mask + 1 : 0;
        p->stored_mask = old ? 2 * old_room - 1 : 1023;
        p->stored = calloc(p->stored_mask + 1, sizeof *p->stored);
        if (!p->stored)
            abort();
        for (uint64_t i = 0; i < old_room; i++)
            if (old[i])
                *find_stored(p, old[i]) = old[i];
        free(old);
    }
    uint64_t *place = find_stored(p, digest);
    p->n_stored += *place == 0;
    *place = digest;
}

/* Events that were stored before this run began, of messages that the journal does not have any more. */
static bool is_lost(const struct publisher *p, uint64_t seq)
{
    const struct control *c = p->in.control;
    return seq < c->outbox_had_seq && seq >= c->journal_had_seq;
}

static int read_stored(struct publisher *p, struct error *err)
{
    struct outbox_record r;
    uint64_t first;
    int got;
    struct outbox_reader *reader = outbox_reader_open(p->outbox_dir, 0, &first, err);
    if (!reader)
        return -1;
    p->all_stored = first == 0;
    add_stored(p, 1);
    while ((got = outbox_read(reader, &r, err)) > 0)
        if (is_lost(p, r.seq))
            add_stored(p, digest_of(r.seq, r.symbol, r.sub, r.json, r.json_len));
    outbox_reader_close(reader);
    return got;
}

/* The journal has lost the message of this event, which is stored, and the sources have given one again. Is
 * it the same? Else its event would be dropped for one of another run. */
static bool is_the_same(struct publisher *p, uint64_t seq, uint64_t digest)
{
    struct error why, err;
    counter_add(p->in.counters, PUBLISHER_DUPLICATES_DROPPED, 1);
    if (!p->all_stored || *find_stored(p, digest))
        return true;
    error_set(
        &why,
        "the journal has lost its messages from %llu on, and what was read again is not the same at %llu: "
        "the sources, rules or settings are not those of the run that was interrupted in this "
        "directory; start a new run with another --dir",
        (unsigned long long)p->in.control->journal_had_seq, (unsigned long long)seq);
    instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", why.text);
    p->refused = p->in.finished = true;
    p->code = 2;
    if (outbox_refuse(p->outbox, why.text, &err) < 0)
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
    return false;
}

/* One event of a ring into the outbox' batch. False if it could not be taken now. */
static bool take(struct publisher *p, uint32_t ring, const struct msg *m)
{
    char json[EVENT_JSON_MAX];
    struct error err = {""};
    const struct symtab_identity *id = symtab_identity(p->symtab, m->symbol);
    struct event_symbol symbol = {id->name, id->name_len, id->size_scale};
    enum outbox_kind kind = outbox_kind_of(m);
    uint32_t sub = event_sub(m);
    uint16_t bucket = ring == p->scanners ? BUCKET_MARKET : id->bucket;
    counter_add(p->in.counters, PUBLISHER_EVENTS, 1);
    bool known = outbox_has(p->outbox, bucket, m->seq, m->symbol, sub), lost = is_lost(p, m->seq);
    if (known && !lost) {
        counter_add(p->in.counters, PUBLISHER_DUPLICATES_DROPPED, 1);
        return true;
    }
    const struct event_rule *rule =
        m->type == MSG_ALERT ? rule_of(p, ((const struct msg_alert *)m->first)->rule) : NULL;
    int len = event_json(m, rule, &symbol, json, sizeof json);
    if (len < 0) {
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "event seq %llu of %s: %s", (unsigned long long)m->seq,
                     id->name, m->type == MSG_ALERT ? "its rule is not in the rule table" : "it is damaged");
        return true;
    }
    uint64_t digest = lost ? digest_of(m->seq, m->symbol, sub, json, (size_t)len) : 0;
    if (lost && !p->stored && read_stored(p, &err) < 0) {
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        p->refused = p->in.finished = true;
        p->code = 2;
        return false;
    }
    if (known)
        return is_the_same(p, m->seq, digest);
    struct outbox_record r = {.seq = m->seq,
                              .symbol = m->symbol,
                              .sub = sub,
                              .bucket = bucket,
                              .kind = (uint8_t)kind,
                              .event_ns = m->event_ns,
                              .name = id->name,
                              .name_len = id->name_len,
                              .json = json,
                              .json_len = (uint32_t)len};
    if (outbox_append(p->outbox, &r, &err) < 0) {
        if (!p->failing)
            instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        p->failing = true;
        return false;
    }
    p->batch++;
    if (lost)
        add_stored(p, digest);
    counter_add(p->in.counters, counter_of[kind], 1);
    if (kind == OUTBOX_BAR && p->bars)
        barlog_add(p->bars, m, &symbol);
    if (event_logs_add(&p->logs, kind, json, (size_t)len, &err) < 0)
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
    if (kind == OUTBOX_ALERT && m->recv_ns && p->n_received < PENDING)
        p->received_ns[p->n_received++] = m->recv_ns;
    if (kind == OUTBOX_ALERT && p->in.options->show)
        show_alert(json);
    return true;
}

/* Makes the batch durable, then releases the rings and wakes the sinks. False if the disk refuses. */
static bool commit(struct publisher *p)
{
    struct error err;
    int64_t t0 = now_ns(CLOCK_MONOTONIC);
    if (p->batch && outbox_commit(p->outbox, &err) < 0) {
        if (!p->failing)
            instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        p->failing = true;
        counter_set(p->in.counters, PUBLISHER_OUTBOX_FAILING, 1);
        counter_add(p->in.counters, PUBLISHER_OUTBOX_WAITS, 1);
        return false;
    }
    if (p->failing)
        instance_log(&p->in, SET_LOG_LEVEL_INFO, "outbox: written again; nothing was lost");
    p->failing = false;
    counter_set(p->in.counters, PUBLISHER_OUTBOX_FAILING, 0);
    if (p->batch) {
        int64_t now = now_ns(CLOCK_REALTIME);
        histogram_record(p->commit_ns, (uint64_t)(now_ns(CLOCK_MONOTONIC) - t0));
        for (uint32_t i = 0; i < p->n_received; i++)
            histogram_record(p->latency, (uint64_t)(now > p->received_ns[i] ? now - p->received_ns[i] : 0));
        counter_add(p->in.counters, PUBLISHER_OUTBOX_COMMITS, 1);
    }
    p->n_received = p->batch = 0;
    uint64_t ends = 0;
    for (uint32_t k = 0; k < p->rings; k++)
        ends |= (uint64_t)p->ended[k] << k;
    atomics_store_release_u64(&p->in.control->ends, ends);
    for (uint32_t k = 0; k < p->rings; k++)
        ring_release(&p->ring[k], 0);
    p->taken = false;
    uint64_t next = outbox_next_offset(p->outbox);
    counter_set(p->in.counters, PUBLISHER_OUTBOX_OFFSET, next);
    for (uint32_t i = 0; i < SINKS; i++)
        if (p->sink[i].sink && !p->sink[i].journal)
            sink_published(p->sink[i].sink, next);
    return true;
}

/* Wakes the sink that reads the journal. */
static void publish_durable(struct publisher *p)
{
    uint64_t durable = atomics_load_acquire_u64(&p->in.control->durable_seq);
    if (durable <= p->durable_seq)
        return;
    p->durable_seq = durable;
    for (uint32_t i = 0; i < SINKS; i++)
        if (p->sink[i].sink && p->sink[i].journal)
            sink_published(p->sink[i].sink, durable + 1);
}

/* With journal.sync = always no event goes on before what made it is on disk: after a power cut nobody has an
 * alert that ringtape does not know. */
static uint64_t durable_seq(const struct publisher *p)
{
    const struct control *c = p->in.control;
    if (p->in.settings->journal_sync != SET_JOURNAL_SYNC_ALWAYS || !atomics_load_acquire_u64(&c->journaled))
        return UINT64_MAX;
    return atomics_load_acquire_u64(&c->durable_seq);
}

/* Takes the events of ring k, up to a batch; they stay in the ring until the batch is durable. */
static int take_ring(struct publisher *p, uint32_t k)
{
    int done = 0;
    uint32_t n;
    uint64_t durable = durable_seq(p);
    const struct msg *m;
    while (p->batch < COMMIT_EVENTS && (m = ring_peek(&p->ring[k], &n))) {
        uint32_t at = 0;
        while (at < n && m[at].seq <= durable) {
            if (m[at].type == MSG_END) {
                p->ends += !p->ended[k];
                p->ended[k] = true;
            } else if (outbox_is_event(&m[at]) && !take(p, k, &m[at])) {
                break;
            }
            at += msg_slot_count(&m[at]);
            done++;
        }
        ring_advance(&p->ring[k], at);
        p->taken |= at > 0;
        if (at < n)
            break;
    }
    return done;
}

static int step(void *ctx, uint64_t ticks)
{
    struct publisher *p = ctx;
    int done = 0;
    (void)ticks;
    publish_durable(p);
    for (uint32_t k = 0; k < p->rings && !p->refused; k++)
        done += take_ring(p, k);
    if (!p->taken)
        return 0;
    if (!commit(p))
        return RUNLOOP_BACKPRESSURE;
    if (p->ends == p->rings && p->in.control->end_ns == 0)
        p->in.control->end_ns = now_ns(CLOCK_MONOTONIC);
    return done;
}

static void copy_sink_stats(struct publisher *p, uint32_t i)
{
    struct counters *c = workspace_counters(p->in.ws, ROLE_SINK, i);
    struct sink_stats s;
    sink_stats(p->sink[i].sink, &s);
    counter_set(c, SINK_DELIVERED, s.delivered);
    counter_set(c, SINK_BYTES, s.bytes);
    counter_set(c, SINK_BATCHES, s.batches);
    counter_set(c, SINK_RETRIES, s.retries);
    counter_set(c, SINK_ERRORS, s.errors);
    counter_set(c, SINK_CONNECTS, s.connects);
    counter_set(c, SINK_UNKNOWN_OUTBOX, s.unknown_outbox);
    counter_set(c, SINK_REWOUND, s.rewound);
    counter_set(c, SINK_SKIPPED, s.skipped);
    counter_set(c, SINK_PRICES, s.prices);
    counter_set(c, SINK_TOPLISTS, s.toplists);
    counter_set(c, SINK_DEAD_LETTERS, s.dead_letters);
    counter_set(c, SINK_BREAKER, s.breaker);
    counter_set(c, SINK_UP, s.up);
    counter_set(c, SINK_OFFSET, s.offset);
    counter_set(c, SINK_LAG, s.lag);
}

static bool level(const struct publisher *p, const struct sink_place *place)
{
    const struct control *c = p->in.control;
    if (place->replaced || place->waits)
        return false;
    if (!place->sink)
        return true;
    if (!place->journal)
        return sink_level(place->sink, outbox_next_offset(p->outbox));
    return atomics_load_acquire_u64(&c->ingest_ended) &&
           sink_level(place->sink, atomics_load_acquire_u64(&c->durable_seq) + 1);
}

static bool all_level(const struct publisher *p)
{
    for (uint32_t i = 0; i < SINKS; i++)
        if (!level(p, &p->sink[i]))
            return false;
    return true;
}

/* The latest price of a symbol, for sinks that publish it. */
static int read_price(void *ctx, uint32_t id, struct sink_price *out)
{
    const struct publisher *p = ctx;
    struct symtab_row row;
    int r = symtab_read(p->symtab, id, &row);
    if (r == SYMTAB_NONE)
        return -1;
    if (r != 0 || row.trade.price_e9 == 0)
        return 0;
    const struct symtab_identity *s = symtab_identity(p->symtab, id);
    *out = (struct sink_price){.symbol = s->name,
                               .symbol_len = s->name_len,
                               .size_scale = s->size_scale,
                               .price_e9 = row.trade.price_e9,
                               .size = row.trade.size,
                               .event_ns = row.trade.event_ns,
                               .live = row.live};
    return 1;
}

static void log_sink(void *ctx, const char *line)
{
    instance_log(ctx, SET_LOG_LEVEL_WARN, "%s", line);
}

/* A kind of sink: it runs if it has a place to write to. Its settings are sinks.SECTION and those of
 * [SECTION]. */
struct sink_row {
    const struct sink_ops *ops;
    const char *section, *where;
    int64_t batch;
};

/* Row i is for place i, in use or not. How many. */
static uint32_t sink_rows(const struct settings *s, struct sink_row rows[SINKS])
{
    const struct sink_row sinks[] = {
        {&sink_jsonl, "jsonl", s->sinks_jsonl, 500},
        {&sink_redis, "redis", s->sinks_redis, s->redis_batch},
        {&sink_postgres, "postgres", s->sinks_postgres, s->postgres_batch},
        {&sink_sqlite, "sqlite", s->sinks_sqlite, s->sqlite_batch},
        {&sink_kafka, "kafka", s->sinks_kafka, s->kafka_batch},
        {&sink_kafka_trades, "kafka", s->kafka_trades ? s->sinks_kafka : "", s->kafka_trades_batch},
    };
    _Static_assert(sizeof sinks / sizeof *sinks <= SINKS, "each sink has its place");
    memcpy(rows, sinks, sizeof sinks);
    return sizeof sinks / sizeof *sinks;
}

static struct sink_config sink_config_of(struct publisher *p, uint32_t i, const struct sink_row *row,
                                         const struct settings *s)
{
    const char *node = p->in.settings->node_name;
    struct sink_config c = {.ops = row->ops,
                            .node = node[0] ? node : outbox_id(p->outbox),
                            .outbox_dir = p->outbox_dir,
                            .outbox_id = outbox_id(p->outbox),
                            .next_offset = outbox_next_offset(p->outbox),
                            .previous = *outbox_previous(p->outbox),
                            .batch = (uint32_t)row->batch,
                            .settings = s,
                            .dead_letter_dir = p->dead_letter_dir,
                            .path = s->sinks_jsonl,
                            .redis_url = s->sinks_redis,
                            .redis_ca_file = s->redis_ca_file,
                            .redis_cert_file = s->redis_cert_file,
                            .redis_key_file = s->redis_key_file,
                            .redis_password_file = s->redis_password_file,
                            .redis_trade_channel = s->redis_trade_channel,
                            .redis_prices = s->redis_publish_prices,
                            .redis_live_bars = s->redis_publish_live_bars,
                            .redis_quotes = s->redis_publish_quotes,
                            .redis_alerts_maxlen = (uint64_t)s->redis_alerts_maxlen,
                            .redis_bars_maxlen = (uint64_t)s->redis_bars_maxlen,
                            .redis_anomalies_maxlen = (uint64_t)s->redis_anomalies_maxlen,
                            .redis_events_maxlen = (uint64_t)s->redis_events_maxlen,
                            .deliver_ns = workspace_histogram(p->in.ws, ROLE_SINK, i, SINK_DELIVER_NS),
                            .log = log_sink,
                            .log_ctx = &p->in};
    bool redis = c.redis_prices || c.redis_live_bars || c.redis_quotes;
    if (row->ops == &sink_redis ? redis : row->ops == &sink_kafka && s->kafka_prices)
        c.prices = (struct sink_price_source){read_price, p};
    if (row->ops->publish_toplist && instance_has_toplists(&p->in)) {
        c.markettab = workspace_markettab(p->in.ws);
        c.symtab = p->symtab;
        c.toplists_interval_ms = (uint32_t)s->toplists_interval_ms;
        c.toplists_depth = (uint32_t)s->toplists_depth;
    }
    if (row->ops->source == &sink_source_journal) {
        c.outbox_dir = p->journal_dir;
        c.outbox_id = p->journal_id;
        c.next_offset = atomics_load_acquire_u64(&p->in.control->durable_seq) + 1;
        c.previous = (struct outbox_previous){"", 0};
        c.symtab = p->symtab;
    }
    return c;
}

/* 1 once the journal has a message, and with it its id, which is then in journal_id; 0, or -1 with err. */
static int find_journal(struct publisher *p, struct error *err)
{
    const struct journal_reader_options options = {.live = true};
    const struct control *c = p->in.control;
    for (unsigned i = 0; i < p->in.options->n_sources; i++)
        if (!strncmp(p->in.options->sources[i], "capture:", 8))
            return error_set(err,
                             "kafka.trades: found %s as a source, of which no journal is written; expected "
                             "other sources, or kafka.trades = false",
                             p->in.options->sources[i]);
    if (!atomics_load_acquire_u64(&c->journaled) || !atomics_load_acquire_u64(&c->durable_seq))
        return 0;
    struct journal_reader *r = journal_reader_open(p->journal_dir, &options, err);
    if (!r)
        return -1;
    int found = journal_reader_info(r)->first_seq > 0;
    sink_source_journal_id(journal_reader_info(r)->node, p->journal_id);
    journal_reader_close(r);
    return found;
}

/* Starts what the place's settings say. */
static int start_sink(struct publisher *p, uint32_t i, struct error *err)
{
    struct sink_place *place = &p->sink[i];
    struct sink_row rows[SINKS];
    struct counters *counters = workspace_counters(p->in.ws, ROLE_SINK, i);
    bool wanted = i < sink_rows(&place->settings, rows) && rows[i].where[0];
    place->replaced = place->waits = false;
    place->journal = wanted && rows[i].ops->source == &sink_source_journal;
    counters_set_label(counters, wanted ? rows[i].ops->name : "");
    for (unsigned id = SINK_DELIVERED; id < SINK_COUNTER_COUNT; id++)
        counter_set(counters, id, 0); /* of whatever was here before */
    if (!wanted)
        return 0;
    struct sink_config c = sink_config_of(p, i, &rows[i], &place->settings);
    if (place->journal) {
        if (c.ops->check(&c, err) < 0)
            return error_prefix(err, "sink %s", c.ops->name);
        int found = find_journal(p, err);
        place->waits = found == 0;
        if (found <= 0)
            return found;
        c = sink_config_of(p, i, &rows[i], &place->settings); /* with what is durable now */
    }
    place->sink = sink_start(&c, err);
    return place->sink ? 0 : -1;
}

static int start_sinks(struct publisher *p, struct error *err)
{
    for (uint32_t i = 0; i < SINKS; i++) {
        p->sink[i].settings = *p->in.settings;
        if (start_sink(p, i, err) < 0)
            return -1;
    }
    return 0;
}

static bool sink_setting(enum setting_id id, const char *section)
{
    const struct setting_info *t = &setting_table[id];
    return !strcmp(t->section, section) || (!strcmp(t->section, "sinks") && !strcmp(t->key, section));
}

static bool sink_changed(const char *section, const struct settings *a, const struct settings *b)
{
    char old[SETTING_TEXT_MAX], new[SETTING_TEXT_MAX];
    for (int id = 0; id < SETTING_COUNT; id++) {
        setting_value(a, id, old);
        setting_value(b, id, new);
        if (sink_setting(id, section) && strcmp(old, new))
            return true;
    }
    return false;
}

/* The place's sink ends when it can, without waiting for it; then its successor starts. */
static void replace_sink(struct publisher *p, uint32_t i)
{
    struct sink_place *place = &p->sink[i];
    struct error err;
    if (place->sink && sink_stop(place->sink, 0) < 0)
        return;
    place->sink = NULL;
    place->settings = p->next;
    if (start_sink(p, i, &err) < 0)
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
}

/* The settings as they are now, if every sink could work with them. */
static int read_settings(struct publisher *p, struct settings *next, struct error *err)
{
    struct sink_row rows[SINKS];
    if (settings_reload(next, p->in.settings, environ, err) < 0)
        return -1;
    uint32_t n = sink_rows(next, rows);
    for (uint32_t i = 0; i < n; i++) {
        struct sink_config c = sink_config_of(p, i, &rows[i], next);
        if (rows[i].where[0] && c.ops->check && c.ops->check(&c, err) < 0)
            return error_prefix(err, "sink %s", c.ops->name);
    }
    return 0;
}

/* SIGHUP: the settings anew, for sinks whose settings changed or that are down; the others go on. */
static void reload(struct publisher *p)
{
    struct sink_row rows[SINKS];
    struct settings next;
    struct error err = {""};
    uint32_t changed = 0;
    hangup = 0;
    if (read_settings(p, &next, &err) < 0) {
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "SIGHUP: %s; the sinks go on as they were", err.text);
        return;
    }
    p->next = next;
    uint32_t n = sink_rows(&p->next, rows);
    for (uint32_t i = 0; i < n; i++) {
        struct sink_place *place = &p->sink[i];
        if (!(place->sink && sink_last_error(place->sink, &err)) &&
            !sink_changed(rows[i].section, &place->settings, &p->next))
            continue;
        place->replaced = true;
        changed++;
    }
    instance_log(&p->in, SET_LOG_LEVEL_WARN,
                 "SIGHUP: settings read; sinks that are started, started anew or stopped: %u", changed);
}

/* Once a minute: what every sink has had for outbox.retention_h goes. A sink that has not read its cursor
 * back yet may need anything. */
static void prune(struct publisher *p, int64_t mono_ns)
{
    const int64_t minute_ns = 60 * SECOND_NS;
    struct error err;
    if (mono_ns < p->prune_at_ns)
        return;
    p->prune_at_ns = mono_ns + minute_ns;
    uint64_t offset = outbox_offset_at(p->outbox, now_ns(CLOCK_REALTIME) -
                                                      p->in.settings->outbox_retention_h * 60 * minute_ns);
    for (uint32_t i = 0; i < SINKS; i++) {
        struct sink_stats s;
        if (!p->sink[i].sink || p->sink[i].journal)
            continue;
        sink_stats(p->sink[i].sink, &s);
        if (s.connects == 0)
            return;
        offset = s.offset < offset ? s.offset : offset;
    }
    int gone = outbox_prune(p->outbox, offset, &err);
    if (gone < 0)
        instance_log(&p->in, SET_LOG_LEVEL_WARN, "%s", err.text);
    else if (gone > 0)
        instance_log(&p->in, SET_LOG_LEVEL_INFO,
                     "outbox: %d segments with events before offset %llu were deleted", gone,
                     (unsigned long long)offset);
}

/* Tells ingest what retention must leave for the sink that reads the journal. */
static void tell_needed(struct publisher *p)
{
    uint64_t from = UINT64_MAX;
    for (uint32_t i = 0; i < SINKS; i++) {
        struct sink_stats s = {0};
        if (!p->sink[i].journal)
            continue;
        if (p->sink[i].sink)
            sink_stats(p->sink[i].sink, &s);
        from = s.connects ? s.confirmed : 0;
    }
    atomics_store_release_u64(&p->in.control->journal_needed_from, from);
}

/* Starts the sink that waits for the journal, once that is there. */
static void start_waiting(struct publisher *p, uint32_t i)
{
    struct error err;
    struct sink_place *place = &p->sink[i];
    if (!place->waits || place->replaced || start_sink(p, i, &err) == 0)
        return;
    place->waits = true; /* and is tried again */
    if (strcmp(p->waits_for.text, err.text))
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s; trying again", err.text);
    p->waits_for = err;
}

/* The end: every END is in and every sink level, or the time is up. */
static void housekeeping(void *ctx, int64_t mono_ns)
{
    struct publisher *p = ctx;
    struct control *c = p->in.control;
    struct error why;
    if (hangup && !instance_stopping(&p->in))
        reload(p);
    for (uint32_t i = 0; i < SINKS; i++) {
        if (p->sink[i].sink)
            copy_sink_stats(p, i);
        if (p->sink[i].replaced)
            replace_sink(p, i);
        start_waiting(p, i);
    }
    tell_needed(p);
    if (event_logs_flush(&p->logs, &why) < 0)
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", why.text);
    prune(p, mono_ns);
    bool stopping = instance_stopping(&p->in), orphan = stopping && atomics_load_relaxed_u64(&c->stop) == 0;
    if (orphan) {
        p->in.finished = true; /* nobody will end the source any more */
        return;
    }
    if (p->ends < p->rings || !(c->until_end || stopping) || p->taken)
        return;
    if (!p->draining_since)
        p->draining_since = mono_ns;
    bool late = mono_ns - p->draining_since > p->in.options->drain_timeout_ns;
    bool ranked = !instance_has_toplists(&p->in) || atomics_load_acquire_u64(&c->market_final);
    if ((!all_level(p) || !ranked) && !late)
        return;
    for (uint32_t i = 0; i < SINKS; i++) {
        if (p->sink[i].waits) {
            instance_log(&p->in, SET_LOG_LEVEL_ERROR, "kafka.trades: the journal could not be read (%s)",
                         p->waits_for.text[0] ? p->waits_for.text : "it has no message");
            p->code = 4;
        } else if (p->sink[i].sink && !level(p, &p->sink[i])) {
            struct sink_stats s;
            sink_stats(p->sink[i].sink, &s);
            sink_last_error(p->sink[i].sink, &why);
            instance_log(&p->in, SET_LOG_LEVEL_ERROR,
                         "sink %s did not take the last %llu %s within the drain timeout; they stay in "
                         "the %s (%s)",
                         sink_name(p->sink[i].sink), (unsigned long long)s.lag,
                         p->sink[i].journal ? "messages" : "events", sink_source_name(p->sink[i].sink),
                         why.text[0] ? why.text : "it is slow");
            p->code = 4;
        }
    }
    p->in.finished = true;
}

/* After a restart the files of events, --bars and the counts begin with what the outbox has: a directory
 * holds one run. */
static int restore(struct publisher *p, struct error *err)
{
    const struct run_options *o = p->in.options;
    struct outbox_record r;
    uint64_t first, count[OUTBOX_KINDS] = {0};
    int got;
    if (o->bars)
        p->bars = barlog_new();
    if (event_logs_open(&p->logs, &o->logs, err) < 0)
        return -1;
    struct outbox_reader *reader = outbox_reader_open(p->outbox_dir, 0, &first, err);
    if (!reader)
        return -1;
    while ((got = outbox_read(reader, &r, err)) > 0) {
        if (r.kind < OUTBOX_KINDS)
            count[r.kind]++;
        got = event_logs_add(&p->logs, r.kind, r.json, r.json_len, err);
        if (got == 0 && r.kind == OUTBOX_BAR && p->bars)
            got = barlog_add_record(p->bars, &r, err);
        if (got < 0)
            break;
    }
    outbox_reader_close(reader);
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        if (counter_of[kind])
            counter_set(p->in.counters, counter_of[kind], count[kind]);
    return got < 0 ? -1 : 0;
}

static int prepare(struct publisher *p, struct error *err)
{
    const struct run_options *o = p->in.options;
    uint64_t torn = 0;
    if (calendar_init(err) < 0)
        return -1;
    p->scanners = workspace_topology(p->in.ws)->options.scanners;
    p->symtab = workspace_symtab(p->in.ws);
    p->ruletab = workspace_ruletab(p->in.ws);
    p->names = rule_names_new(workspace_topology(p->in.ws)->options.rules_max);
    p->latency = workspace_histogram(p->in.ws, ROLE_PUBLISHER, 0, PUBLISHER_TICK_TO_ALERT_NS);
    p->commit_ns = workspace_histogram(p->in.ws, ROLE_PUBLISHER, 0, PUBLISHER_OUTBOX_COMMIT_NS);
    struct sigaction on = {.sa_handler = on_hangup};
    sigaction(SIGHUP, &on, NULL);
    snprintf(p->outbox_dir, sizeof p->outbox_dir, "%s/outbox", o->dir);
    snprintf(p->journal_dir, sizeof p->journal_dir, "%s/capture", o->dir);
    snprintf(p->dead_letter_dir, sizeof p->dead_letter_dir, "%s/dead-letters", o->dir);
    if (!(p->outbox = outbox_open(p->outbox_dir, (uint64_t)o->settings->outbox_segment_mb << 20, &torn, err)))
        return -1;
    if (torn)
        instance_log(&p->in, SET_LOG_LEVEL_WARN,
                     "outbox: cut off %llu bytes of a batch that was not committed",
                     (unsigned long long)torn);
    if (p->in.control->outbox_had_seq == 0)
        p->in.control->outbox_had_seq = 1 + outbox_last_seq(p->outbox);
    if (restore(p, err) < 0)
        return -1;
    p->rings = p->scanners + instance_has_peers(&p->in);
    for (uint32_t k = 0; k < p->rings; k++) {
        size_t bytes;
        bool market = k == p->scanners;
        void *mem = workspace_object(p->in.ws, market ? "market_out" : "event_ring", market ? 0 : k, &bytes);
        struct ring *r = ring_join(mem, bytes, err);
        if (!r)
            return error_prefix(err, market ? "market_out" : "event ring %u", k);
        ring_consumer_join(&p->ring[k], r);
        p->ended[k] = p->in.control->ends >> k & 1;
        p->ends += p->ended[k];
    }
    return start_sinks(p, err);
}

static int close_publisher(struct instance *in)
{
    struct publisher *p = (struct publisher *)in;
    struct error err;
    for (uint32_t i = 0; i < SINKS; i++) {
        if (!p->sink[i].sink)
            continue;
        copy_sink_stats(p, i);
        if (sink_stop(p->sink[i].sink, 5000) < 0)
            p->code = p->code ? p->code : 4;
    }
    if (event_logs_close(&p->logs, &err) < 0 ||
        (p->bars && barlog_write(p->bars, p->in.options->bars, &err) < 0)) {
        instance_log(&p->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        p->code = p->code ? p->code : 1;
    }
    outbox_close(p->outbox);
    free(p->stored);
    return p->code;
}

static int open_publisher(struct instance *in)
{
    struct error err;
    errno = 0;
    if (prepare((struct publisher *)in, &err) == 0)
        return 0;
    return instance_open_failed(in, errno, &err);
}

const struct role_ops publisher_role = {.kind = ROLE_PUBLISHER,
                                        .bytes = sizeof(struct publisher),
                                        .open = open_publisher,
                                        .step = step,
                                        .housekeeping = housekeeping,
                                        .close = close_publisher};
