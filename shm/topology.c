#include "shm/topology.h"

#include "shm/counters.h"
#include "shm/errlog.h"
#include "shm/heartbeat.h"
#include "core/peers.h"
#include "shm/markettab.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"
#include "shm/valuetab.h"
#include "shm/workspace.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { STAGING_ALIGN = 4096, CONTROL_BYTES = 64 << 10, ERRLOG_RECORDS = 1024 };

static const struct {
    const char *name;
    bool process;
} roles[] = {
#define X(name, text, process) {text, process},
    ROLES(X)
#undef X
};

const char *role_name(unsigned kind)
{
    return kind < ROLE_COUNT ? roles[kind].name : "?";
}

/* One row per kind: how large, how aligned, how made, and what its parameters must be. */
static size_t ring_bytes(const struct topology_object *o)
{
    return ring_footprint(o->param[0]);
}
static size_t symtab_bytes(const struct topology_object *o)
{
    return symtab_footprint((uint32_t)o->param[0]);
}
static size_t ruletab_bytes(const struct topology_object *o)
{
    return ruletab_footprint((uint32_t)o->param[0], o->param[1]);
}
static size_t rule_stats_bytes(const struct topology_object *o)
{
    return rule_stats_footprint((uint32_t)o->param[0]);
}
static size_t counters_bytes(const struct topology_object *o)
{
    return counters_footprint(o->param[0]);
}
static size_t histograms_bytes(const struct topology_object *o)
{
    return histograms_footprint(o->param[0]);
}
static size_t heartbeats_bytes(const struct topology_object *o)
{
    return heartbeats_footprint((uint32_t)o->param[0]);
}
static size_t errlog_bytes(const struct topology_object *o)
{
    return errlog_footprint((uint32_t)o->param[0]);
}
static size_t markettab_bytes(const struct topology_object *o)
{
    return markettab_footprint((uint32_t)o->param[0], (uint32_t)o->param[1]);
}
static size_t peers_bytes(const struct topology_object *o)
{
    return peers_footprint((uint32_t)o->param[0]);
}
static size_t valuetab_bytes(const struct topology_object *o)
{
    return valuetab_footprint((uint32_t)o->param[0]);
}
static size_t staging_bytes(const struct topology_object *o)
{
    return o->param[0] % STAGING_ALIGN || o->param[0] >> 36 > 1 ? 0 : o->param[0];
}
static size_t control_bytes(const struct topology_object *o)
{
    return o->param[0] > 1 << 20 ? 0 : object_round(o->param[0]);
}
static size_t staging_align(void)
{
    return STAGING_ALIGN;
}
static size_t control_align(void)
{
    return OBJECT_ALIGN;
}

static void ring_make(const struct topology_object *o, void *mem)
{
    struct error err;
    bool made = ring_new(mem, o->param[0], 0, &err);
    assert(made);
}
static void symtab_make(const struct topology_object *o, void *mem)
{
    symtab_new(mem, (uint32_t)o->param[0]);
}
static void ruletab_make(const struct topology_object *o, void *mem)
{
    ruletab_new(mem, (uint32_t)o->param[0], o->param[1]);
}
static void rule_stats_make(const struct topology_object *o, void *mem)
{
    rule_stats_new(mem, (uint32_t)o->param[0]);
}
static void counters_make(const struct topology_object *o, void *mem)
{
    counters_new(mem, o->param[0]);
}
static void histograms_make(const struct topology_object *o, void *mem)
{
    histograms_new(mem, o->param[0]);
}
static void heartbeats_make(const struct topology_object *o, void *mem)
{
    heartbeats_new(mem, (uint32_t)o->param[0]);
}
static void markettab_make(const struct topology_object *o, void *mem)
{
    markettab_new(mem, (uint32_t)o->param[0], (uint32_t)o->param[1]);
}
static void peers_make(const struct topology_object *o, void *mem)
{
    peers_new(mem, (uint32_t)o->param[0]);
}
static void valuetab_make(const struct topology_object *o, void *mem)
{
    valuetab_new(mem, (uint32_t)o->param[0]);
}
static void errlog_make(const struct topology_object *o, void *mem)
{
    errlog_new(mem, (uint32_t)o->param[0]);
}

static const struct kind {
    size_t (*bytes)(const struct topology_object *); /* 0: the parameters are out of bounds */
    size_t (*align)(void);
    void (*make)(const struct topology_object *, void *mem); /* NULL: zeroed memory is what it starts from */
    const char *expected;
} kinds[TOPOLOGY_KIND_COUNT] = {
    [TOPOLOGY_RING] = {ring_bytes, ring_align, ring_make, "slots: a power of two, 64 to 1,073,741,824"},
    [TOPOLOGY_SYMTAB] = {symtab_bytes, symtab_align, symtab_make, "rows: 1 to 4,194,304"},
    [TOPOLOGY_RULETAB] = {ruletab_bytes, ruletab_align, ruletab_make,
                          "slots: 1 to 1,048,576, and bytes of text: 1 to 4,294,967,295"},
    [TOPOLOGY_RULE_STATS] = {rule_stats_bytes, rule_stats_align, rule_stats_make, "slots: 1 to 1,048,576"},
    [TOPOLOGY_COUNTERS] = {counters_bytes, counters_align, counters_make, "a role"},
    [TOPOLOGY_HISTOGRAMS] = {histograms_bytes, histogram_align, histograms_make, "a role"},
    [TOPOLOGY_HEARTBEATS] = {heartbeats_bytes, heartbeats_align, heartbeats_make, "rows: 1 to 4,096"},
    [TOPOLOGY_ERRLOG] = {errlog_bytes, errlog_align, errlog_make, "records: 1 to 65,536"},
    [TOPOLOGY_MARKETTAB] = {markettab_bytes, markettab_align, markettab_make,
                            "rows: 1 to 4,194,304, and keys: 0 to 64"},
    [TOPOLOGY_PEERS] = {peers_bytes, peers_align, peers_make, "rows: 1 to 4,194,304"},
    [TOPOLOGY_VALUETAB] = {valuetab_bytes, valuetab_align, valuetab_make, "rows: 1 to 4,194,304"},
    [TOPOLOGY_STAGING] = {staging_bytes, staging_align, NULL, "bytes: a multiple of 4,096, up to 2^37"},
    [TOPOLOGY_CONTROL] = {control_bytes, control_align, NULL, "bytes: 1 to 1,048,576"},
};

static size_t object_bytes(const struct topology_object *o)
{
    if (o->param[0] > UINT32_MAX && o->kind != TOPOLOGY_STAGING)
        return 0;
    return kinds[o->kind].bytes(o);
}

void topology_make(const struct topology_object *o, void *mem)
{
    if (kinds[o->kind].make)
        kinds[o->kind].make(o, mem);
}

void topology_add_role(struct topology *t, enum role_kind kind, uint32_t index, bool process)
{
    assert(t->role_count < TOPOLOGY_ROLES_MAX && (unsigned)kind < ROLE_COUNT);
    t->roles[t->role_count++] = (struct topology_role){(uint8_t)kind, process, (uint16_t)index};
}

struct topology_object *topology_add(struct topology *t, enum topology_kind kind, const char *name,
                                     uint32_t index)
{
    assert(t->object_count < TOPOLOGY_OBJECTS_MAX && (unsigned)kind < TOPOLOGY_KIND_COUNT);
    struct topology_object *o = &t->objects[t->object_count++];
    assert(strlen(name) < sizeof o->name);
    memset(o, 0, sizeof *o);
    strcpy(o->name, name);
    o->kind = kind;
    o->index = index;
    o->producer.kind = o->consumer.kind = ROLE_NONE;
    return o;
}

const struct topology_object *topology_find(const struct topology *t, const char *name, uint32_t index)
{
    for (uint32_t i = 0; i < t->object_count; i++)
        if (t->objects[i].index == index && strcmp(t->objects[i].name, name) == 0)
            return &t->objects[i];
    return NULL;
}

int topology_role(const struct topology *t, enum role_kind kind, uint32_t index)
{
    for (uint32_t i = 0; i < t->role_count; i++)
        if (t->roles[i].kind == kind && t->roles[i].index == index)
            return (int)i;
    return -1;
}

uint32_t topology_bucket_scanner(const struct topology *t, uint32_t bucket)
{
    assert(bucket < BUCKET_COUNT);
    return route_scanner((enum bucket_table)t->options.buckets, bucket, t->options.scanners);
}

static int check_end(const struct topology *t, const struct topology_object *o, const char *end,
                     struct topology_role r, struct error *err)
{
    if (r.kind == ROLE_NONE) {
        if (o->kind == TOPOLOGY_RING)
            return error_set(err, "topology: %s %u: no %s; a ring has exactly one", o->name, o->index, end);
    } else if (topology_role(t, r.kind, r.index) < 0) {
        return error_set(err, "topology: %s %u: its %s %s %u is not declared as a role", o->name, o->index,
                         end, role_name(r.kind), r.index);
    }
    return 0;
}

static int check_object(const struct topology *t, uint32_t i, struct error *err)
{
    const struct topology_object *o = &t->objects[i];
    if (topology_find(t, o->name, o->index) != o)
        return error_set(err, "topology: %s %u is declared twice; names with their index must be unique",
                         o->name, o->index);
    if (check_end(t, o, "producer", o->producer, err) || check_end(t, o, "consumer", o->consumer, err))
        return -1;
    if (o->kind == TOPOLOGY_RING && o->producer.kind == o->consumer.kind &&
        o->producer.index == o->consumer.index)
        return error_set(err, "topology: %s %u: %s %u is both its producer and its consumer", o->name,
                         o->index, role_name(o->producer.kind), o->producer.index);
    if (object_bytes(o) == 0)
        return error_set(err, "topology: %s %u: found %llu, %llu; expected %s", o->name, o->index,
                         (unsigned long long)o->param[0], (unsigned long long)o->param[1],
                         kinds[o->kind].expected);
    return 0;
}

static uint64_t hash_layout(const struct topology *t)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, t->roles, t->role_count * sizeof t->roles[0]);
    XXH3_64bits_update(&state, t->objects, t->object_count * sizeof t->objects[0]);
    return XXH3_64bits_digest(&state);
}

int topology_finish(struct topology *t, struct error *err)
{
    uint64_t at = WORKSPACE_HEADER_BYTES;
    for (uint32_t i = 0; i < t->role_count; i++)
        if (topology_role(t, t->roles[i].kind, t->roles[i].index) != (int)i)
            return error_set(err, "topology: role %s %u is declared twice", role_name(t->roles[i].kind),
                             t->roles[i].index);
    for (uint32_t i = 0; i < t->object_count; i++) {
        struct topology_object *o = &t->objects[i];
        if (check_object(t, i, err))
            return -1;
        o->align = kinds[o->kind].align();
        o->bytes = object_bytes(o);
        o->offset = (at + o->align - 1) / o->align * o->align;
        at = o->offset + o->bytes;
    }
    t->bytes = (at + WORKSPACE_HEADER_BYTES - 1) / WORKSPACE_HEADER_BYTES * WORKSPACE_HEADER_BYTES;
    t->layout_hash = hash_layout(t);
    return 0;
}

/* An option's default and bounds. */
#define OPTIONS(X)                                                                                           \
    X(scanners, 1, 1, TOPOLOGY_SCANNERS_MAX, "")                                                             \
    X(sinks, 8, 1, TOPOLOGY_SINKS_MAX, "")                                                                   \
    X(tick_ring_slots, 65536, RING_CAPACITY_MIN, 1 << 24, ", a power of two")                                \
    X(event_ring_slots, 16384, RING_CAPACITY_MIN, 1 << 24, ", a power of two")                               \
    X(symbols_max, 20000, 1, SYMTAB_ROWS_MAX, "")                                                            \
    X(rules_max, 10000, 1, 1 << 20, "")                                                                      \
    X(rules_bytes, 16 << 20, 1, UINT32_MAX, "")                                                              \
    X(staging_bytes, 16 << 20, STAGING_ALIGN, UINT64_C(1) << 36, ", a multiple of 4096")

static bool power_of_two(uint64_t n)
{
    return (n & (n - 1)) == 0;
}

static int check_options(struct topology_options *o, struct error *err)
{
#define X(name, otherwise, min, max, more)                                                                   \
    if (o->name == 0)                                                                                        \
        o->name = (otherwise);                                                                               \
    if (o->name < (min) || o->name > (max))                                                                  \
        return error_set(err, "topology: " #name " is %llu; expected %llu to %llu" more,                     \
                         (unsigned long long)o->name, (unsigned long long)(min), (unsigned long long)(max));
    OPTIONS(X)
#undef X
    if (!power_of_two(o->tick_ring_slots))
        return error_set(err, "topology: tick_ring_slots is %u; expected a power of two", o->tick_ring_slots);
    if (!power_of_two(o->event_ring_slots))
        return error_set(err, "topology: event_ring_slots is %u; expected a power of two",
                         o->event_ring_slots);
    if (o->staging_bytes % STAGING_ALIGN)
        return error_set(err, "topology: staging_bytes is %llu; expected a multiple of %d",
                         (unsigned long long)o->staging_bytes, STAGING_ALIGN);
    if (o->buckets > BUCKETS_REVERSE)
        return error_set(err, "topology: buckets is %u; expected 0 (even), 1 (one) or 2 (reverse)",
                         o->buckets);
    if (o->market > (MARKET_TOPLISTS | MARKET_PEERS))
        return error_set(err, "topology: market is %u; expected 0 to 3", o->market);
    if (o->scans > 1)
        return error_set(err, "topology: scans is %u; expected 0 or 1", o->scans);
    if (o->toplist_keys > TOPLIST_KEYS_MAX)
        return error_set(err, "topology: toplist_keys is %u; expected 0 to %d", o->toplist_keys,
                         TOPLIST_KEYS_MAX);
    return 0;
}

static void add_roles(struct topology *t)
{
    for (unsigned kind = 0; kind < ROLE_COUNT; kind++) {
        uint32_t places = kind == ROLE_SCANNER ? t->options.scanners
                          : kind == ROLE_SINK  ? t->options.sinks
                                               : 1;
        for (uint32_t k = 0; k < places; k++)
            topology_add_role(t, kind, k, roles[kind].process || (kind == ROLE_MARKET && t->options.market));
    }
}

static struct topology_role role(enum role_kind kind, uint32_t index)
{
    struct topology_role r = {(uint8_t)kind, false, (uint16_t)index};
    return r;
}

static void add_ring(struct topology *t, const char *name, uint32_t index, uint32_t slots,
                     struct topology_role producer, struct topology_role consumer)
{
    struct topology_object *o = topology_add(t, TOPOLOGY_RING, name, index);
    o->param[0] = slots;
    o->producer = producer;
    o->consumer = consumer;
}

/* What one role writes and any may read. */
static void add_table(struct topology *t, enum topology_kind kind, const char *name, uint32_t index,
                      uint64_t param, struct topology_role producer)
{
    struct topology_object *o = topology_add(t, kind, name, index);
    o->param[0] = param;
    o->producer = producer;
}

static void add_scanner(struct topology *t, uint32_t k)
{
    struct topology_role scanner = role(ROLE_SCANNER, k);
    add_ring(t, "tick_ring", k, t->options.tick_ring_slots, role(ROLE_INGEST, 0), scanner);
    add_ring(t, "event_ring", k, t->options.event_ring_slots, scanner, role(ROLE_PUBLISHER, 0));
    add_table(t, TOPOLOGY_RULE_STATS, "rule_stats", k, t->options.rules_max, scanner);
}

/* A ring from each scanner to the market role. */
static void add_blocks(struct topology *t, const char *name)
{
    for (uint32_t k = 0; k < t->options.scanners; k++)
        add_ring(t, name, k, t->options.tick_ring_slots, role(ROLE_SCANNER, k), role(ROLE_MARKET, 0));
}

static void add_toplists(struct topology *t)
{
    struct topology_role market = role(ROLE_MARKET, 0);
    add_ring(t, "market_ring", 0, t->options.tick_ring_slots, role(ROLE_INGEST, 0), market);
    add_blocks(t, "values_ring");
    struct topology_object *o = topology_add(t, TOPOLOGY_MARKETTAB, "markettab", 0);
    o->param[0] = t->options.symbols_max;
    o->param[1] = t->options.toplist_keys;
    o->producer = market;
}

static void add_peers(struct topology *t)
{
    struct topology_role market = role(ROLE_MARKET, 0);
    add_blocks(t, "peers_ring");
    add_ring(t, "market_out", 0, t->options.event_ring_slots, market, role(ROLE_PUBLISHER, 0));
    add_table(t, TOPOLOGY_PEERS, "peers", 0, t->options.symbols_max, market);
}

static void add_of_role(struct topology *t, struct topology_role r)
{
    char name[24];
    snprintf(name, sizeof name, "%s_counters", role_name(r.kind));
    add_table(t, TOPOLOGY_COUNTERS, name, r.index, r.kind, role(r.kind, r.index));
    snprintf(name, sizeof name, "%s_histograms", role_name(r.kind));
    add_table(t, TOPOLOGY_HISTOGRAMS, name, r.index, r.kind, role(r.kind, r.index));
}

static void add_shared(struct topology *t)
{
    struct topology_object *o = topology_add(t, TOPOLOGY_SYMTAB, "symtab", 0);
    o->param[0] = t->options.symbols_max;
    if (t->options.scans)
        topology_add(t, TOPOLOGY_VALUETAB, "valuetab", 0)->param[0] = t->options.symbols_max;
    o = topology_add(t, TOPOLOGY_RULETAB, "ruletab", 0);
    o->param[0] = t->options.rules_max;
    o->param[1] = t->options.rules_bytes;
    o->producer = role(ROLE_INGEST, 0);
    o = topology_add(t, TOPOLOGY_HEARTBEATS, "heartbeats", 0);
    o->param[0] = t->role_count;
    o = topology_add(t, TOPOLOGY_ERRLOG, "errlog", 0);
    o->param[0] = ERRLOG_RECORDS;
    o = topology_add(t, TOPOLOGY_CONTROL, "control", 0);
    o->param[0] = CONTROL_BYTES;
    add_table(t, TOPOLOGY_STAGING, "staging", 0, t->options.staging_bytes, role(ROLE_INGEST, 0));
}

int topology_build(struct topology *t, const struct topology_options *options, struct error *err)
{
    memset(t, 0, sizeof *t);
    if (options)
        t->options = *options;
    if (check_options(&t->options, err))
        return -1;
    add_roles(t);
    for (uint32_t k = 0; k < t->options.scanners; k++)
        add_scanner(t, k);
    if (t->options.market & MARKET_TOPLISTS)
        add_toplists(t);
    if (t->options.market & MARKET_PEERS)
        add_peers(t);
    add_shared(t);
    for (uint32_t i = 0; i < t->role_count; i++)
        add_of_role(t, t->roles[i]);
    return topology_finish(t, err);
}
