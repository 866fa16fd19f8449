#include "workers/status_http.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/bucket.h"
#include "core/decimal.h"
#include "core/version.h"
#include "net/http.h"
#include "net/prometheus.h"
#include "shm/errlog.h"
#include "workers/observe.h"

enum { RULES_SHOWN_MAX = 1000, NAME_MAX_BYTES = 96 };

struct status_http {
    const struct instance *in;
    struct http_server *server;
    struct observe_rules *rules;
    struct observe_journal journal;
    struct observe_sample sample; /* of the request being answered */
};

/* Health. */

struct verdict {
    bool live_roles, outbox_failing, ready, sinks_up;
    enum observe_journal_state journal;
    char why[64]; /* not ready */
};

static struct verdict judge(struct status_http *h)
{
    const struct settings *set = h->in->settings;
    const struct observe_sample *s = &h->sample;
    struct verdict v = {.sinks_up = true};
    v.live_roles = observe_roles_ok(s, v.why, sizeof v.why);
    v.journal = observe_journal(&h->journal, s, OBSERVE_STUCK_NS + 3 * set->journal_interval_ms * 1000000);
    v.outbox_failing = s->publisher[PUBLISHER_OUTBOX_FAILING];
    bool journal_failing = v.journal == OBSERVE_JOURNAL_STUCK && set->journal_enabled;
    v.ready = v.live_roles && s->feed != OBSERVE_FEED_FAILED && !journal_failing && !v.outbox_failing;
    if (v.live_roles && !v.ready)
        snprintf(v.why, sizeof v.why, "%s",
                 s->feed == OBSERVE_FEED_FAILED ? "a source has failed"
                 : journal_failing              ? "the journal cannot be written"
                                                : "the outbox cannot be written");
    for (uint32_t i = 0; i < s->sinks; i++)
        v.sinks_up = v.sinks_up && s->sink[i].value[SINK_UP];
    return v;
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%*u %llu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Servers stand there in any case, other sinks if they are in use. */
static void append_sinks(struct text *out, const struct status_http *h)
{
    const struct observe_sample *s = &h->sample;
    const struct settings *set = h->in->settings;
    const char *const server[][2] = {
        {"redis", set->sinks_redis}, {"kafka", set->sinks_kafka}, {"postgres", set->sinks_postgres}};
    uint32_t told = 0; /* bits of s->sink */
    for (size_t k = 0; k < sizeof server / sizeof *server; k++) {
        const char *state = server[k][1][0] ? "down" : "not configured";
        for (uint32_t i = 0; i < s->sinks; i++)
            if (!strcmp(s->sink[i].name, server[k][0])) {
                state = s->sink[i].value[SINK_UP] ? "up" : "down";
                told |= 1u << i;
            }
        text_printf(out, "%s\"%s\":\"%s\"", k ? "," : "", server[k][0], state);
    }
    for (uint32_t i = 0; i < s->sinks; i++)
        if (!(told & 1u << i)) {
            text_append(out, ",", 1);
            text_json(out, s->sink[i].name);
            text_printf(out, ":\"%s\"", s->sink[i].value[SINK_UP] ? "up" : "down");
        }
}

enum question { ASK_HEALTH, ASK_READY, ASK_LIVE };

static void answer_health(struct status_http *h, enum question ask, struct http_reply *reply)
{
    struct text *out = &reply->body;
    char now[DECIMAL_TEXT_MAX];
    struct verdict v = judge(h);
    bool starting = observe_starting(&h->sample);
    decimal_format_time(h->sample.utc_ns, now);
    if ((ask == ASK_READY && !v.ready) || (ask == ASK_HEALTH && !v.ready && !starting))
        reply->status = 503;
    text_printf(out,
                "{\"status\":\"%s\",\"version\":\"" RINGTAPE_VERSION "\",\"timestamp\":\"%s\","
                "\"memory\":{\"resident_bytes\":%llu,\"workspace_bytes\":%llu},\"checks\":{",
                v.ready    ? v.sinks_up ? "ok" : "degraded"
                : starting ? "starting"
                           : "failing",
                now, (unsigned long long)resident_bytes(), (unsigned long long)workspace_bytes(h->in->ws));
    append_sinks(out, h);
    text_printf(out, ",\"feed\":\"%s\",\"ring\":\"%s\",\"journal\":\"%s\",\"outbox\":\"%s\"}",
                observe_feed_name(h->sample.feed),
                v.live_roles ? "ok"
                : starting   ? "starting"
                             : "failing",
                !h->in->settings->journal_enabled    ? "off"
                : v.journal == OBSERVE_JOURNAL_STUCK ? "failing"
                                                     : "ok",
                v.outbox_failing ? "failing" : "ok");
    if (!v.ready) {
        text_printf(out, ",\"reason\":");
        text_json(out, v.why);
    }
    text_printf(out, "}\n");
}

/* The role's places that have something to tell: those of processes, and the sinks in use. */
static bool place_used(const struct status_http *h, const struct topology_role *r)
{
    char label[COUNTERS_LABEL_MAX + 1] = "";
    if (r->kind == ROLE_SINK)
        counters_label(workspace_counters(h->in->ws, ROLE_SINK, r->index), label);
    return r->process || label[0];
}

/* Walks them; `kind` ROLE_NONE: of every role. *at starts at 0. */
static const struct topology_role *next_place(const struct status_http *h, unsigned kind, uint32_t *at)
{
    const struct topology *t = workspace_topology(h->in->ws);
    while (*at < t->role_count) {
        const struct topology_role *r = &t->roles[(*at)++];
        if ((kind == ROLE_NONE || kind == r->kind) && place_used(h, r))
            return r;
    }
    return NULL;
}

/* Prometheus. */

/* The labels of a place and one more: name, value, …, NULL. */
struct labels {
    const char *at[10];
    char index[12], sink[COUNTERS_LABEL_MAX + 1];
};

static void labels_of(struct labels *l, const struct status_http *h, const struct topology_role *r,
                      const char *name, const char *value)
{
    unsigned n = 0;
    snprintf(l->index, sizeof l->index, "%u", r->index);
    l->at[n++] = "role";
    l->at[n++] = role_name(r->kind);
    l->at[n++] = "index";
    l->at[n++] = l->index;
    if (r->kind == ROLE_SINK) {
        counters_label(workspace_counters(h->in->ws, ROLE_SINK, r->index), l->sink);
        l->at[n++] = "sink";
        l->at[n++] = l->sink;
    }
    if (name) {
        l->at[n++] = name;
        l->at[n++] = value;
    }
    l->at[n] = NULL;
}

/* Times are seconds there, whatever they are here: event_time_ns is ingest_event_time_seconds. */
static bool is_time(const char *unit)
{
    return !strcmp(unit, "ns") || !strcmp(unit, "ticks");
}

static void metric_name_of(char out[NAME_MAX_BYTES], const char *prefix, const char *name, const char *unit,
                           bool total)
{
    size_t len = strlen(name);
    if (len > 3 && !strcmp(name + len - 3, "_ns"))
        len -= 3;
    snprintf(out, NAME_MAX_BYTES, "%s_%.*s%s%s", prefix, (int)len, name, is_time(unit) ? "_seconds" : "",
             total ? "_total" : "");
}

static void append_counter(struct text *out, const struct status_http *h, unsigned kind,
                           const struct counter_desc *d)
{
    char name[NAME_MAX_BYTES];
    const struct topology_role *r;
    struct labels l;
    metric_name_of(name, kind == ROLE_NONE ? "loop" : role_name(kind), d->name, d->unit, !d->gauge);
    prometheus_metric(out, name, d->gauge ? PROMETHEUS_GAUGE : PROMETHEUS_COUNTER, d->help);
    for (uint32_t at = 0; (r = next_place(h, kind, &at));) {
        const struct counters *c = workspace_counters(h->in->ws, (enum role_kind)r->kind, r->index);
        uint64_t per_second =
            !strcmp(d->unit, "ns") ? (uint64_t)SECOND_NS : counter_get(c, LOOP_TICKS_PER_SECOND);
        if (is_time(d->unit) && per_second == 0)
            continue; /* it has no loop, or has not started it */
        for (uint16_t i = 0; i < d->count; i++) {
            uint64_t v = counter_get(c, d->first + i);
            labels_of(&l, h, r, d->label, d->label ? d->label_names[i] : NULL);
            if (is_time(d->unit))
                prometheus_double(out, name, (double)v / (double)per_second, l.at);
            else
                prometheus_u64(out, name, v, l.at);
        }
    }
}

static const uint64_t bounds_ns[] = {
    1000,      2000,      5000,      10000,         20000,         50000,         100000,   200000,
    500000,    1000000,   2000000,   5000000,       10000000,      20000000,      50000000, 100000000,
    200000000, 500000000, SECOND_NS, 2 * SECOND_NS, 5 * SECOND_NS, 10 * SECOND_NS};
enum { BOUNDS = sizeof bounds_ns / sizeof *bounds_ns };

static void append_histogram(struct text *out, const struct status_http *h, unsigned kind, unsigned id,
                             const struct histogram_desc *d)
{
    char name[NAME_MAX_BYTES];
    double bounds[BOUNDS];
    uint64_t counts[BOUNDS + 1], below;
    struct histogram_copy c;
    const struct topology_role *r;
    struct labels l;
    metric_name_of(name, kind == ROLE_NONE ? "loop" : role_name(kind), d->name, d->unit, false);
    prometheus_metric(out, name, PROMETHEUS_HISTOGRAM, d->help);
    for (uint32_t at = 0; (r = next_place(h, kind, &at));) {
        histogram_read(workspace_histogram(h->in->ws, (enum role_kind)r->kind, r->index, id), &c);
        below = 0;
        for (unsigned i = 0; i < BOUNDS; i++) {
            uint64_t most = histogram_at_most(&c, bounds_ns[i]);
            bounds[i] = (double)bounds_ns[i] / 1e9;
            counts[i] = most - below;
            below = most;
        }
        counts[BOUNDS] = c.count - below;
        labels_of(&l, h, r, NULL, NULL);
        prometheus_histogram(out, name, bounds, counts, BOUNDS, (double)c.sum / 1e9, l.at);
    }
}

/* The tables' rows: first those that every role has, then each role's own. */
static void append_tables(struct text *out, const struct status_http *h)
{
    unsigned n;
    const struct counter_desc *c = counters_table(ROLE_LEDGER, &n); /* a role with the loop's alone */
    for (unsigned i = 0; i < n; i++)
        if (c[i].first != LOOP_TICKS_PER_SECOND)
            append_counter(out, h, ROLE_NONE, &c[i]);
    const struct histogram_desc *d = histograms_table(ROLE_LEDGER, &n);
    for (unsigned i = 0; i < n; i++)
        append_histogram(out, h, ROLE_NONE, i, &d[i]);
    for (unsigned kind = 0; kind < ROLE_COUNT; kind++) {
        uint32_t at = 0;
        if (!next_place(h, kind, &at))
            continue;
        c = counters_table((enum role_kind)kind, &n);
        for (unsigned i = 0; i < n; i++)
            if (c[i].first >= LOOP_COUNTER_COUNT)
                append_counter(out, h, kind, &c[i]);
        d = histograms_table((enum role_kind)kind, &n);
        for (unsigned i = LOOP_HISTOGRAM_COUNT; i < n; i++)
            append_histogram(out, h, kind, i, &d[i]);
    }
}

static void append_roles(struct text *out, const struct status_http *h)
{
    const struct observe_sample *s = &h->sample;
    static const struct {
        const char *name, *help;
        enum prometheus_type type;
    } rows[] = {{"role_up", "1 while the role's process beats", PROMETHEUS_GAUGE},
                {"role_starts_total", "times that the role was started", PROMETHEUS_COUNTER},
                {"role_beat_age_seconds", "time since the role's last beat", PROMETHEUS_GAUGE}};
    for (unsigned row = 0; row < 3; row++) {
        prometheus_metric(out, rows[row].name, rows[row].type, rows[row].help);
        for (uint32_t i = 0; i < s->roles; i++) {
            const struct observe_role *r = &s->role[i];
            const struct topology_role place = {.kind = (uint8_t)r->kind, .index = (uint16_t)r->index};
            struct labels l;
            labels_of(&l, h, &place, NULL, NULL);
            if (row == 0)
                prometheus_u64(out, rows[row].name, r->health == HEARTBEAT_ALIVE, l.at);
            else if (row == 1)
                prometheus_u64(out, rows[row].name, r->beat.starts, l.at);
            else if (r->health != HEARTBEAT_ABSENT)
                prometheus_double(out, rows[row].name, (double)(s->mono_ns - r->beat.beat_ns) / 1e9, l.at);
        }
    }
}

static void append_rings(struct text *out, const struct observe_sample *s)
{
    static const struct {
        const char *name, *help;
        enum prometheus_type type;
        size_t at;
    } rows[] = {
        {"ring_occupancy_slots", "slots in use", PROMETHEUS_GAUGE, offsetof(struct observe_ring, occupancy)},
        {"ring_capacity_slots", "slots there are", PROMETHEUS_GAUGE, offsetof(struct observe_ring, capacity)},
        {"ring_high_water_slots", "most slots in use so far, at most 1/16 of the capacity too low",
         PROMETHEUS_GAUGE, offsetof(struct observe_ring, high_water)},
        {"ring_stalls_total", "times that the ring became full", PROMETHEUS_COUNTER,
         offsetof(struct observe_ring, stalls)},
        {"ring_messages_total", "messages that went through", PROMETHEUS_COUNTER,
         offsetof(struct observe_ring, passed)},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        prometheus_metric(out, rows[row].name, rows[row].type, rows[row].help);
        for (uint32_t i = 0; i < s->rings; i++) {
            char index[12];
            snprintf(index, sizeof index, "%u", s->ring[i].index);
            prometheus_u64(out, rows[row].name, *(const uint64_t *)((const char *)&s->ring[i] + rows[row].at),
                           PROMETHEUS_LABELS("ring", s->ring[i].name, "index", index));
        }
    }
}

static const struct {
    const char *name, *help;
    size_t at;
} rule_rows[] = {
    {"evaluated", "times that the rule's whole expression was evaluated",
     offsetof(struct rule_stats, evaluated)},
    {"true", "evaluations that were true", offsetof(struct rule_stats, truths)},
    {"held_warmup", "evaluations that were unknown for lack of history",
     offsetof(struct rule_stats, held_warmup)},
    {"held_cooldown", "true within the cooldown", offsetof(struct rule_stats, held_cooldown)},
    {"held_session", "true outside the rule's sessions", offsetof(struct rule_stats, held_session)},
    {"held_halt", "true while the symbol was halted", offsetof(struct rule_stats, held_halt)},
    {"fired", "alerts fired", offsetof(struct rule_stats, fired)},
    {"revised", "alerts sent again with other values, as the print that decided them was cancelled",
     offsetof(struct rule_stats, revised)},
    {"withdrawn", "alerts withdrawn, as the rule did not hold without the print that decided them",
     offsetof(struct rule_stats, withdrawn)},
};
enum { RULE_ROWS = sizeof rule_rows / sizeof *rule_rows };

static uint64_t rule_value(const struct observe_rule *r, unsigned row)
{
    return *(const uint64_t *)((const char *)&r->stats + rule_rows[row].at);
}

static void append_rules(struct text *out, struct status_http *h)
{
    uint32_t n;
    const struct observe_rule *rule = observe_rules_read(h->rules, &n);
    prometheus_metric(out, "rules", PROMETHEUS_GAUGE,
                      "rules there are; the first 1000 of them have the statistics below");
    prometheus_u64(out, "rules", n, NULL);
    for (unsigned row = 0; row < RULE_ROWS; row++) {
        char name[64];
        snprintf(name, sizeof name, "rule_%s_total", rule_rows[row].name);
        prometheus_metric(out, name, PROMETHEUS_COUNTER, rule_rows[row].help);
        for (uint32_t i = 0; i < n && i < RULES_SHOWN_MAX; i++)
            prometheus_u64(out, name, rule_value(&rule[i], row), PROMETHEUS_LABELS("rule", rule[i].id));
    }
}

/* Errors are logged once for each text: here they are summed by role. */
static void append_errors(struct text *out, const struct status_http *h)
{
    const struct errlog *log = workspace_errlog(h->in->ws);
    const struct topology_role *r;
    struct errlog_entry e;
    struct labels l;
    prometheus_metric(out, "errors_total", PROMETHEUS_COUNTER, "errors logged");
    for (uint32_t at = 0; (r = next_place(h, ROLE_NONE, &at));) {
        uint64_t sum = 0;
        for (uint32_t i = 0; errlog_next(log, &i, &e);)
            if (e.role == r->kind && e.index == r->index)
                sum += e.count;
        labels_of(&l, h, r, NULL, NULL);
        prometheus_u64(out, "errors_total", sum, l.at);
    }
}

static void answer_metrics(struct status_http *h, struct http_reply *reply)
{
    struct text *out = &reply->body;
    reply->content_type = PROMETHEUS_CONTENT_TYPE;
    prometheus_metric(out, "build_info", PROMETHEUS_GAUGE, "the version that runs");
    prometheus_u64(out, "build_info", 1, PROMETHEUS_LABELS("version", RINGTAPE_VERSION));
    prometheus_metric(out, "start_time_seconds", PROMETHEUS_GAUGE, "when the instance was started, UTC");
    prometheus_double(out, "start_time_seconds", (double)h->sample.created_ns / 1e9, NULL);
    prometheus_metric(out, "workspace_bytes", PROMETHEUS_GAUGE, "shared memory of the instance");
    prometheus_u64(out, "workspace_bytes", workspace_bytes(h->in->ws), NULL);
    append_roles(out, h);
    append_rings(out, &h->sample);
    append_tables(out, h);
    append_rules(out, h);
    append_errors(out, h);
}

/* The same as JSON. */

static void append_counters_json(struct text *out, const struct counters *c, enum role_kind kind)
{
    unsigned n;
    const struct counter_desc *d = counters_table(kind, &n);
    text_printf(out, "\"counters\":{");
    for (unsigned row = 0; row < n; row++) {
        text_printf(out, "%s\"%s\":", row ? "," : "", d[row].name);
        if (!d[row].label) {
            text_printf(out, "%llu", (unsigned long long)counter_get(c, d[row].first));
            continue;
        }
        for (uint16_t i = 0; i < d[row].count; i++)
            text_printf(out, "%c\"%s\":%llu", i ? ',' : '{', d[row].label_names[i],
                        (unsigned long long)counter_get(c, d[row].first + i));
        text_append(out, "}", 1);
    }
    text_append(out, "}", 1);
}

static void append_histograms_json(struct text *out, const struct workspace *ws, enum role_kind kind,
                                   uint32_t index)
{
    unsigned n;
    const struct histogram_desc *d = histograms_table(kind, &n);
    struct histogram_copy c;
    text_printf(out, ",\"histograms\":{");
    for (unsigned i = 0; i < n; i++) {
        histogram_read(workspace_histogram(ws, kind, index, i), &c);
        text_printf(out,
                    "%s\"%s\":{\"unit\":\"%s\",\"count\":%llu,\"sum\":%llu,\"p50\":%llu,\"p99\":%llu,"
                    "\"p99.9\":%llu,\"max\":%llu}",
                    i ? "," : "", d[i].name, d[i].unit, (unsigned long long)c.count,
                    (unsigned long long)c.sum, (unsigned long long)histogram_quantile(&c, 0.5),
                    (unsigned long long)histogram_quantile(&c, 0.99),
                    (unsigned long long)histogram_quantile(&c, 0.999), (unsigned long long)c.max);
    }
    text_append(out, "}", 1);
}

static void append_place_json(struct text *out, const struct status_http *h, const struct topology_role *r)
{
    const struct workspace *ws = h->in->ws;
    const struct counters *c = workspace_counters(ws, (enum role_kind)r->kind, r->index);
    static const char *const healths[] = {"absent", "alive", "stale", "dead"};
    char label[COUNTERS_LABEL_MAX + 1];
    counters_label(c, label);
    text_printf(out, "{\"role\":\"%s\",\"index\":%u,", role_name(r->kind), r->index);
    if (label[0]) {
        text_printf(out, "\"name\":");
        text_json(out, label);
        text_append(out, ",", 1);
    }
    for (uint32_t i = 0; i < h->sample.roles; i++) {
        const struct observe_role *o = &h->sample.role[i];
        if (o->kind == (enum role_kind)r->kind && o->index == r->index)
            text_printf(
                out,
                "\"pid\":%d,\"state\":\"%s\",\"health\":\"%s\",\"cpu\":%d,\"idle\":\"%s\",\"starts\":%u,",
                o->beat.pid, heartbeat_state_name(o->beat.state), healths[o->health], o->beat.cpu,
                o->beat.idle, o->beat.starts);
    }
    append_counters_json(out, c, (enum role_kind)r->kind);
    append_histograms_json(out, ws, (enum role_kind)r->kind, r->index);
    text_append(out, "}", 1);
}

static void append_rules_json(struct text *out, struct status_http *h)
{
    uint32_t n;
    const struct observe_rule *rule = observe_rules_read(h->rules, &n);
    text_printf(out, "],\"rules_total\":%u,\"rules\":[", n);
    for (uint32_t i = 0; i < n && i < RULES_SHOWN_MAX; i++) {
        text_printf(out, "%s{\"id\":", i ? "," : "");
        text_json(out, rule[i].id);
        text_printf(out, ",\"name\":");
        text_json(out, rule[i].name);
        text_printf(out, ",\"version\":%u,\"enabled\":%s", rule[i].version,
                    rule[i].enabled ? "true" : "false");
        for (unsigned row = 0; row < RULE_ROWS; row++)
            text_printf(out, ",\"%s\":%llu", rule_rows[row].name,
                        (unsigned long long)rule_value(&rule[i], row));
        text_append(out, "}", 1);
    }
}

static void append_errors_json(struct text *out, const struct status_http *h)
{
    const struct errlog *log = workspace_errlog(h->in->ws);
    struct errlog_entry e;
    bool first = true;
    text_printf(out, "],\"errors\":[");
    for (uint32_t at = 0; errlog_next(log, &at, &e); first = false) {
        char from[DECIMAL_TEXT_MAX], to[DECIMAL_TEXT_MAX];
        decimal_format_time(e.first_ns, from);
        decimal_format_time(e.last_ns, to);
        text_printf(
            out, "%s{\"role\":\"%s\",\"index\":%u,\"count\":%llu,\"first\":\"%s\",\"last\":\"%s\",\"text\":",
            first ? "" : ",", role_name(e.role), e.index, (unsigned long long)e.count, from, to);
        text_json(out, e.text);
        text_append(out, "}", 1);
    }
    text_printf(out, "],\"errors_dropped\":%llu}\n", (unsigned long long)errlog_dropped(log));
}

static void answer_stats(struct status_http *h, struct http_reply *reply)
{
    struct text *out = &reply->body;
    const struct observe_sample *s = &h->sample;
    const struct topology_role *r;
    char now[DECIMAL_TEXT_MAX], start[DECIMAL_TEXT_MAX];
    decimal_format_time(s->utc_ns, now);
    decimal_format_time(s->created_ns, start);
    text_printf(
        out,
        "{\"version\":\"" RINGTAPE_VERSION "\",\"timestamp\":\"%s\",\"started\":\"%s\","
        "\"memory\":{\"resident_bytes\":%llu,\"workspace_bytes\":%llu},\"feed\":\"%s\",\"symbols\":%u,"
        "\"roles\":[",
        now, start, (unsigned long long)resident_bytes(), (unsigned long long)workspace_bytes(h->in->ws),
        observe_feed_name(s->feed), s->symbols);
    for (uint32_t at = 0, n = 0; (r = next_place(h, ROLE_NONE, &at)); n++) {
        text_append(out, ",", n > 0);
        append_place_json(out, h, r);
    }
    text_printf(out, "],\"rings\":[");
    for (uint32_t i = 0; i < s->rings; i++) {
        text_append(out, ",", i > 0);
        observe_ring_json(out, &s->ring[i], -1);
    }
    append_rules_json(out, h);
    append_errors_json(out, h);
}

static void answer(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct status_http *h = ctx;
    observe_read(h->in->ws, &h->sample);
    if (!strcmp(request->path, "/health"))
        answer_health(h, ASK_HEALTH, reply);
    else if (!strcmp(request->path, "/ready"))
        answer_health(h, ASK_READY, reply);
    else if (!strcmp(request->path, "/live"))
        answer_health(h, ASK_LIVE, reply);
    else if (!strcmp(request->path, "/metrics"))
        answer_metrics(h, reply);
    else if (!strcmp(request->path, "/stats"))
        answer_stats(h, reply);
    else
        http_reply_not_found(reply, request);
}

struct status_http *status_http_start(const struct instance *in, struct error *err)
{
    struct status_http *h = calloc(1, sizeof *h);
    if (!h)
        abort();
    h->in = in;
    h->rules = observe_rules_new(in->ws);
    struct http_config c = {.address = in->settings->http_listen,
                            .port = (uint16_t)in->settings->http_port,
                            .handler = answer,
                            .ctx = h};
    if ((h->server = http_server_start(&c, err)))
        return h;
    observe_rules_free(h->rules);
    free(h);
    return NULL;
}

uint16_t status_http_port(const struct status_http *h)
{
    return http_server_port(h->server);
}

void status_http_stop(struct status_http *h)
{
    if (!h)
        return;
    http_server_stop(h->server);
    observe_rules_free(h->rules);
    free(h);
}
