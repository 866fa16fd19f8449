#include "workers/observe.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/bucket.h"
#include "shm/errlog.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

const char *observe_dir(const struct cli_args *args)
{
    const char *dir = cli_text(args, "dir", getenv("RINGTAPE_DIR"));
    if (dir && *dir)
        return dir;
    cli_fail(args, CLI_USAGE,
             "no --dir; expected the directory of an instance, as given to ringtape run "
             "(or set RINGTAPE_DIR)");
    return NULL;
}

struct workspace *observe_join(const struct cli_args *args, const char *dir)
{
    struct error err;
    struct workspace *ws = workspace_join(dir, WORKSPACE_READ, instance_schema_hash(), &err);
    if (!ws)
        cli_fail(args, CLI_FAILED, "%s", err.text);
    return ws;
}

const char *observe_feed_name(enum observe_feed feed)
{
    static const char *const names[] = {"starting", "running", "ended", "failed", "dead"};
    return names[feed];
}

const char *observe_role_label(struct topology_role role, char out[24])
{
    bool many = role.kind == ROLE_SCANNER || role.kind == ROLE_SINK;
    snprintf(out, 24, many ? "%s %u" : "%s", role_name(role.kind), role.index);
    return out;
}

static void read_counters(const struct counters *c, uint64_t *out, unsigned n)
{
    for (unsigned i = 0; c && i < n; i++)
        out[i] = counter_get(c, i);
}

static void read_roles(const struct workspace *ws, struct observe_sample *s)
{
    const struct topology *t = workspace_topology(ws);
    const struct heartbeats *beats = workspace_heartbeats(ws);
    for (uint32_t i = 0; i < t->role_count; i++) {
        if (!t->roles[i].process)
            continue;
        struct observe_role *r = &s->role[s->roles++];
        uint64_t loop[LOOP_COUNTER_COUNT] = {0};
        r->kind = t->roles[i].kind;
        r->index = t->roles[i].index;
        heartbeat_read(beats, i, &r->beat);
        r->health = heartbeat_health(&r->beat, s->mono_ns, OBSERVE_STALE_NS);
        read_counters(workspace_counters(ws, r->kind, r->index), loop, LOOP_COUNTER_COUNT);
        memcpy(r->regime_ticks, &loop[LOOP_CYCLES], sizeof r->regime_ticks);
        r->longest_step_ticks = loop[LOOP_LONGEST_STEP];
        r->ticks_per_second = loop[LOOP_TICKS_PER_SECOND];
    }
}

/* What only the two sides of a ring know of it. */
static void read_ring_sides(const struct workspace *ws, struct observe_ring *r)
{
    bool ticks = r->consumer.kind == ROLE_SCANNER;
    uint64_t ingest[INGEST_COUNTER_COUNT] = {0}, scanner[SCANNER_COUNTER_COUNT] = {0};
    read_counters(workspace_counters(ws, ROLE_INGEST, 0), ingest, INGEST_COUNTER_COUNT);
    read_counters(workspace_counters(ws, ROLE_SCANNER, r->index), scanner, SCANNER_COUNTER_COUNT);
    if (r->producer.kind == ROLE_MARKET) {
        r->passed = counter_get(workspace_counters(ws, ROLE_MARKET, 0), MARKET_ANOMALIES);
        return;
    }
    if (!strcmp(r->name, "peers_ring")) {
        r->passed = scanner[SCANNER_PEERS];
        return;
    }
    if (r->consumer.kind == ROLE_MARKET) { /* for which nobody waits: what found no room is left out */
        bool values = r->producer.kind == ROLE_SCANNER;
        r->waits = values ? scanner[SCANNER_VALUES_DROPPED] : ingest[INGEST_MARKET_LOST];
        r->passed = values ? scanner[SCANNER_VALUES]
                           : counter_get(workspace_counters(ws, ROLE_MARKET, 0), MARKET_CLOCKS);
        return;
    }
    r->waits = ticks ? ingest[INGEST_RING_FULL_WAITS] : scanner[SCANNER_EVENT_RING_WAITS];
    r->passed = ticks ? scanner[SCANNER_ENGINE_messages]
                      : scanner[SCANNER_ENGINE_bars] + scanner[SCANNER_ENGINE_revisions] +
                            scanner[SCANNER_ENGINE_alerts] + scanner[SCANNER_ENGINE_alerts_revised] +
                            scanner[SCANNER_ENGINE_alerts_withdrawn] + scanner[SCANNER_ENGINE_shadow_alerts] +
                            scanner[SCANNER_ENGINE_halts] + scanner[SCANNER_ENGINE_resumptions] +
                            scanner[SCANNER_ENGINE_anomalies];
}

static void read_rings(const struct workspace *ws, struct observe_sample *s)
{
    const struct topology *t = workspace_topology(ws);
    const struct control *control = workspace_object(ws, "control", 0, NULL);
    for (uint32_t i = 0; i < t->object_count; i++) {
        const struct topology_object *o = &t->objects[i];
        struct error err;
        if (o->kind != TOPOLOGY_RING)
            continue;
        const struct ring *ring = ring_join(workspace_object(ws, o->name, o->index, NULL), o->bytes, &err);
        if (!ring)
            continue;
        struct observe_ring *r = &s->ring[s->rings++];
        *r = (struct observe_ring){.name = o->name,
                                   .index = o->index,
                                   .producer = o->producer,
                                   .consumer = o->consumer,
                                   .capacity = ring->capacity,
                                   .occupancy = ring_occupancy(ring),
                                   .high_water = ring_high_water(ring),
                                   .stalls = ring_stalls(ring)};
        r->behind = r->consumer.kind == ROLE_SCANNER && control->lag[o->index].from != 0;
        read_ring_sides(ws, r);
    }
}

static void read_sinks(const struct workspace *ws, struct observe_sample *s)
{
    for (uint32_t k = 0; k < workspace_topology(ws)->options.sinks; k++) {
        const struct counters *c = workspace_counters(ws, ROLE_SINK, k);
        struct observe_sink *sink = &s->sink[s->sinks];
        counters_label(c, sink->name);
        if (!sink->name[0])
            continue;
        read_counters(c, sink->value, SINK_COUNTER_COUNT);
        s->sinks++;
    }
}

static void read_progress(const struct workspace *ws, struct observe_sample *s)
{
    for (uint32_t k = 0; k < workspace_topology(ws)->options.scanners; k++) {
        uint64_t c[SCANNER_COUNTER_COUNT] = {0};
        read_counters(workspace_counters(ws, ROLE_SCANNER, k), c, SCANNER_COUNTER_COUNT);
        if (c[SCANNER_APPLIED_SEQ] > s->applied_seq)
            s->applied_seq = c[SCANNER_APPLIED_SEQ];
        if ((int64_t)c[SCANNER_EVENT_TIME_NS] > s->applied_ns)
            s->applied_ns = (int64_t)c[SCANNER_EVENT_TIME_NS];
        s->alerts += c[SCANNER_ENGINE_alerts];
        s->alerts_revised += c[SCANNER_ENGINE_alerts_revised];
        s->alerts_withdrawn += c[SCANNER_ENGINE_alerts_withdrawn];
        s->shadow_alerts += c[SCANNER_ENGINE_shadow_alerts];
    }
}

static enum observe_feed feed_of(const struct observe_sample *s, uint64_t ingest_ended)
{
    const struct observe_role *ingest = s->role;
    while (ingest->kind != ROLE_INGEST)
        ingest++;
    if (ingest_ended)
        return ingest_ended == 1 ? OBSERVE_FEED_ENDED : OBSERVE_FEED_FAILED;
    if (ingest->beat.state == HEARTBEAT_NONE || ingest->beat.state == HEARTBEAT_STARTING)
        return OBSERVE_FEED_STARTING;
    return ingest->health == HEARTBEAT_DEAD || !s->alive ? OBSERVE_FEED_DEAD : OBSERVE_FEED_RUNNING;
}

void observe_read(const struct workspace *ws, struct observe_sample *s)
{
    const struct control *control = workspace_object(ws, "control", 0, NULL);
    struct errlog_entry entry;
    memset(s, 0, sizeof *s);
    s->mono_ns = clock_ns(CLOCK_MONOTONIC);
    s->utc_ns = clock_ns(CLOCK_REALTIME);
    s->created_ns = workspace_created_ns(ws);
    s->alive = workspace_alive(ws);
    s->pid = workspace_creator_pid(ws);
    read_roles(ws, s);
    read_rings(ws, s);
    read_sinks(ws, s);
    read_counters(workspace_counters(ws, ROLE_INGEST, 0), s->ingest, INGEST_COUNTER_COUNT);
    read_counters(workspace_counters(ws, ROLE_PUBLISHER, 0), s->publisher, PUBLISHER_COUNTER_COUNT);
    read_progress(ws, s);
    s->feed = feed_of(s, atomics_load_acquire_u64(&control->ingest_ended));
    s->symbols = symtab_count(workspace_symtab(ws));
    for (uint32_t at = 0; errlog_next(workspace_errlog(ws), &at, &entry);)
        s->errors++;
    histogram_read(workspace_histogram(ws, ROLE_PUBLISHER, 0, PUBLISHER_TICK_TO_ALERT_NS), &s->latency);
}

double observe_rate(uint64_t before, uint64_t now, const struct observe_sample *a,
                    const struct observe_sample *b)
{
    int64_t ns = b->mono_ns - a->mono_ns;
    return ns > 0 && now >= before ? (double)(now - before) * 1e9 / (double)ns : 0;
}

bool observe_starting(const struct observe_sample *s)
{
    for (uint32_t i = 0; i < s->roles; i++)
        if (s->role[i].beat.state == HEARTBEAT_NONE || s->role[i].beat.state == HEARTBEAT_STARTING)
            return true;
    return false;
}

bool observe_roles_ok(const struct observe_sample *s, char *why, size_t size)
{
    for (uint32_t i = 0; i < s->roles; i++) {
        const struct observe_role *r = &s->role[i];
        static const char *const what[] = {"", "", "has not beaten for 5 s", "is dead"};
        char label[24];
        bool ended = r->kind == ROLE_INGEST && s->feed == OBSERVE_FEED_ENDED;
        if (r->health == HEARTBEAT_ALIVE || (ended && r->health == HEARTBEAT_ABSENT))
            continue;
        observe_role_label((struct topology_role){.kind = (uint8_t)r->kind, .index = (uint16_t)r->index},
                           label);
        snprintf(why, size, "%s %s", label,
                 r->health != HEARTBEAT_ABSENT     ? what[r->health]
                 : r->beat.state == HEARTBEAT_GONE ? "has ended"
                                                   : "has not started yet");
        return false;
    }
    return true;
}

enum observe_journal_state observe_journal(struct observe_journal *j, const struct observe_sample *s,
                                           int64_t stuck_ns)
{
    uint64_t durable = s->ingest[INGEST_DURABLE_SEQ];
    bool behind = durable < s->applied_seq && s->feed != OBSERVE_FEED_ENDED;
    if (!behind || durable != j->durable_seq || j->behind_since_ns == 0)
        j->behind_since_ns = behind ? s->mono_ns : 0;
    j->durable_seq = durable;
    if (s->ingest[INGEST_JOURNAL_FAILING] || (behind && s->mono_ns - j->behind_since_ns > stuck_ns))
        return OBSERVE_JOURNAL_STUCK;
    return durable == 0 && s->ingest[INGEST_JOURNAL_BYTES] == 0 ? OBSERVE_JOURNAL_OFF : OBSERVE_JOURNAL_OK;
}

struct observe_rules {
    const struct workspace *ws;
    uint32_t slots, slots_max; /* slots learned */
    uint32_t n;
    struct observe_rule *rule; /* slots_max; pages come as they are touched */
    uint32_t *of_slot;
    struct hsearch_data by_id;
};

enum { NO_RULE = UINT32_MAX };

struct observe_rules *observe_rules_new(const struct workspace *ws)
{
    struct observe_rules *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    r->ws = ws;
    r->slots_max = workspace_topology(ws)->options.rules_max;
    r->rule = calloc(r->slots_max, sizeof *r->rule);
    r->of_slot = calloc(r->slots_max, sizeof *r->of_slot);
    if (!r->rule || !r->of_slot || !hcreate_r(r->slots_max * 2, &r->by_id))
        abort();
    return r;
}

/* The rule's place, new or known. */
static uint32_t place_of(struct observe_rules *r, const char *id)
{
    struct observe_rule *fresh = &r->rule[r->n];
    ENTRY *found;
    memcpy(fresh->id, id, sizeof fresh->id);
    if (!hsearch_r((ENTRY){.key = fresh->id, .data = fresh}, ENTER, &found, &r->by_id))
        abort(); /* it has twice as many places as there are slots */
    r->n += found->data == fresh;
    return (uint32_t)((struct observe_rule *)found->data - r->rule);
}

static void learn(struct observe_rules *r, uint32_t slot)
{
    struct rule_blob blob;
    struct rule rule;
    r->of_slot[slot] = NO_RULE;
    if (!ruletab_get(workspace_ruletab(r->ws), slot, &blob) ||
        rule_decode((const uint8_t *)blob.bytes, blob.len, &rule, NULL) < 0)
        return;
    struct observe_rule *o = &r->rule[r->of_slot[slot] = place_of(r, rule.id)];
    if (rule.version < o->version)
        return;
    memcpy(o->name, rule.name, sizeof o->name);
    o->version = rule.version;
    o->enabled = rule.enabled;
}

const struct observe_rule *observe_rules_read(struct observe_rules *r, uint32_t *n)
{
    for (uint32_t count = ruletab_count(workspace_ruletab(r->ws)); r->slots < count; r->slots++)
        learn(r, r->slots);
    for (uint32_t i = 0; i < r->n; i++)
        r->rule[i].stats = (struct rule_stats){0};
    for (uint32_t k = 0; k < workspace_topology(r->ws)->options.scanners; k++) {
        const struct rule_stats_table *stats = workspace_rule_stats(r->ws, k);
        for (uint32_t slot = 0; slot < r->slots; slot++)
            if (r->of_slot[slot] != NO_RULE)
                rule_stats_add(stats, slot, &r->rule[r->of_slot[slot]].stats);
    }
    *n = r->n;
    return r->rule;
}

void observe_rules_free(struct observe_rules *r)
{
    if (!r)
        return;
    hdestroy_r(&r->by_id);
    free(r->rule);
    free(r->of_slot);
    free(r);
}

void observe_ring_json(struct text *out, const struct observe_ring *r, double rate)
{
    char from[24], to[24];
    text_printf(out,
                "{\"name\":\"%s\",\"index\":%u,\"producer\":\"%s\",\"consumer\":\"%s\",\"capacity\":%llu,"
                "\"occupancy\":%llu,\"high_water\":%llu,\"stalls\":%llu,\"waits\":%llu,\"messages\":%llu,"
                "\"behind\":%s",
                r->name, r->index, observe_role_label(r->producer, from), observe_role_label(r->consumer, to),
                (unsigned long long)r->capacity, (unsigned long long)r->occupancy,
                (unsigned long long)r->high_water, (unsigned long long)r->stalls,
                (unsigned long long)r->waits, (unsigned long long)r->passed, r->behind ? "true" : "false");
    if (rate >= 0)
        text_printf(out, ",\"messages_per_second\":%.1f", rate);
    text_append(out, "}", 1);
}

static void append_ring_columns(struct text *out, const char *const c[10])
{
    text_printf(out, "%-13s %-23s %9s %9s %5s %11s %9s %5s %8s %9s", c[0], c[1], c[2], c[3], c[4], c[5], c[6],
                c[7], c[8], c[9]);
}

void observe_ring_heading(struct text *out)
{
    append_ring_columns(out, (const char *const[]){"RING", "FROM -> TO", "SLOTS", "USED", "", "MSG/S",
                                                   "MOST USED", "", "FULL", "WAITS"});
}

void observe_ring_row(struct text *out, const struct observe_ring *r, double rate)
{
    char from[24], to[24], name[40], way[64], used[8], most[8], n[6][OBSERVE_TEXT_MAX];
    double percent = 100.0 / (double)r->capacity;
    snprintf(name, sizeof name, "%s %u", r->name, r->index);
    snprintf(way, sizeof way, "%s -> %s", observe_role_label(r->producer, from),
             observe_role_label(r->consumer, to));
    snprintf(used, sizeof used, "%.0f%%", (double)r->occupancy * percent);
    snprintf(most, sizeof most, "%.0f%%", (double)r->high_water * percent);
    append_ring_columns(
        out, (const char *const[]){
                 name, way, observe_count(r->capacity, n[0]), observe_count(r->occupancy, n[1]), used,
                 observe_count((uint64_t)(rate + 0.5), n[2]), observe_count(r->high_water, n[3]), most,
                 observe_count(r->stalls, n[4]), observe_count(r->waits, n[5])});
    if (r->behind)
        text_printf(out, "  left behind");
}

const char *observe_count(uint64_t n, char out[OBSERVE_TEXT_MAX])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), to = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[to++] = ',';
        out[to++] = digits[i];
    }
    out[to] = 0;
    return out;
}

const char *observe_duration(uint64_t ns, char out[OBSERVE_TEXT_MAX])
{
    static const struct {
        uint64_t below_ns;
        double unit_ns;
        const char *name;
    } units[] = {{1000, 1, "ns"}, {1000000, 1e3, "us"}, {1000000000, 1e6, "ms"}, {60 * SECOND_NS, 1e9, "s"}};
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        if (ns < units[i].below_ns) {
            double v = (double)ns / units[i].unit_ns;
            snprintf(out, OBSERVE_TEXT_MAX, "%.*f %s",
                     i == 0 || v >= 100 ? 0
                     : v >= 10          ? 1
                                        : 2,
                     v, units[i].name);
            return out;
        }
    unsigned long long min = ns / MINUTE_NS;
    if (min < 60)
        snprintf(out, OBSERVE_TEXT_MAX, "%llu min %02llu s", min, (unsigned long long)(ns / SECOND_NS % 60));
    else if (min < 48 * 60)
        snprintf(out, OBSERVE_TEXT_MAX, "%llu h %02llu min", min / 60, min % 60);
    else
        snprintf(out, OBSERVE_TEXT_MAX, "%llu days", min / (24 * 60));
    return out;
}

const char *observe_time(int64_t utc_ns, char out[OBSERVE_TEXT_MAX])
{
    time_t s = (time_t)(utc_ns / SECOND_NS);
    struct tm tm;
    localtime_r(&s, &tm); /* the exchange's zone after calendar_init */
    size_t n = strftime(out, OBSERVE_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out + n, OBSERVE_TEXT_MAX - n, ".%03d", (int)(utc_ns % SECOND_NS / 1000000));
    return out;
}

/* Bytes of the character that starts at s: 1 for what is no start of one. */
static size_t character(const char *s)
{
    size_t n = 1;
    if ((*s & 0xc0) == 0xc0)
        while ((s[n] & 0xc0) == 0x80)
            n++;
    return n;
}

void observe_column(struct text *out, const char *s, unsigned width)
{
    unsigned used = 0;
    for (size_t n; *s && used < width; s += n, used++) {
        n = character(s);
        if (used + 1 == width && s[n])
            text_append(out, "~", 1);
        else if ((unsigned char)*s < 0x20 || *s == 0x7f)
            text_append(out, "?", 1);
        else
            text_append(out, s, n);
    }
    text_printf(out, "%*s", (int)(width - used), "");
}
