/* The topology: one table that declares every object of a workspace (kind, size, who writes it, who reads it)
 * and every role. Offsets, sizes, validation and the layout hash follow from it; a process that joins a
 * workspace makes the same table again from the options in its header and compares the hash.
 *
 * topology_build makes the standard one; topology_add and topology_finish are its parts. No memory of its
 * own: a struct topology is plain data (about 40 KiB).
 */
#ifndef SHM_TOPOLOGY_H
#define SHM_TOPOLOGY_H

#include "core/route.h"
#include "core/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Who runs: enum suffix, name as printed and counted, has a process of its own today. */
#define ROLES(X)                                                                                             \
    X(INGEST, "ingest", true)                                                                                \
    X(SCANNER, "scanner", true)                                                                              \
    X(MARKET, "market", false) /* where options.market asks for it */                                        \
    X(LEDGER, "ledger", false)                                                                               \
    X(PUBLISHER, "publisher", true)                                                                          \
    X(SINK, "sink", false) /* a thread of the publisher */                                                   \
    X(GATEWAY, "gateway", false)                                                                             \
    X(SUPERVISOR, "supervisor", true)

#define X(name, text, process) ROLE_##name,
enum role_kind { ROLES(X) ROLE_COUNT, ROLE_NONE = 255 };
#undef X

/* "ingest"; "?" for what is none. */
const char *role_name(unsigned kind);

enum { TOPOLOGY_SCANNERS_MAX = 60, TOPOLOGY_SINKS_MAX = 16 };

/* What the operator may size; 0 = the default. It stands in the workspace's header. */
struct topology_options {
    uint32_t scanners;         /* 1..60, default 1 */
    uint32_t sinks;            /* places for sinks, 1..16, default 8 */
    uint32_t tick_ring_slots;  /* power of two, 64..2^24, default 65,536 (4 MiB) */
    uint32_t event_ring_slots; /* same bounds, default 16,384 */
    uint32_t symbols_max;      /* default 20,000, at most 2^22 */
    uint32_t rules_max;        /* versions of rules, default 10,000, at most 2^20 */
    uint64_t rules_bytes;      /* text of all of them, default 16 MiB, at most 2^32 - 1 */
    uint64_t staging_bytes;    /* the journal's, a multiple of 4,096, default 16 MiB, at most 2^36 */
    uint32_t buckets;          /* enum bucket_table (core/route.h) */
    uint32_t market;           /* MARKET_…: what the market role does; 0: there is none */
    uint32_t scans;            /* 1: with the values that scans read */
    uint32_t toplist_keys;     /* metrics of users' expressions, 0 to 64 */
};
enum { MARKET_TOPLISTS = 1, MARKET_PEERS = 2 };

enum topology_kind {
    TOPOLOGY_RING,       /* param[0]: slots */
    TOPOLOGY_SYMTAB,     /* param[0]: rows */
    TOPOLOGY_RULETAB,    /* param[0]: slots, param[1]: bytes of text */
    TOPOLOGY_RULE_STATS, /* param[0]: slots; an array of struct rule_stats */
    TOPOLOGY_COUNTERS,   /* param[0]: enum role_kind */
    TOPOLOGY_HISTOGRAMS, /* param[0]: enum role_kind */
    TOPOLOGY_HEARTBEATS, /* param[0]: rows, one for each role */
    TOPOLOGY_ERRLOG,     /* param[0]: records */
    TOPOLOGY_MARKETTAB,  /* param[0]: rows, param[1]: keys of each */
    TOPOLOGY_PEERS,      /* param[0]: rows (core/peers.h) */
    TOPOLOGY_VALUETAB,   /* param[0]: rows */
    TOPOLOGY_STAGING,    /* param[0]: bytes; zeroed, 4,096 aligned, the journal's own layout */
    TOPOLOGY_CONTROL,    /* param[0]: bytes; zeroed, 128 aligned, laid out by the roles */
    TOPOLOGY_KIND_COUNT
};

struct topology_role {
    uint8_t kind; /* enum role_kind */
    bool process; /* false: a place is kept, nothing runs there yet */
    uint16_t index;
};

/* No padding: the layout hash is over these bytes. */
struct topology_object {
    char name[24]; /* with index unique: "tick_ring", 3 */
    uint32_t index;
    uint32_t kind; /* enum topology_kind */
    uint64_t param[2];
    struct topology_role producer, consumer; /* ROLE_NONE: any, or several (never for a ring) */
    uint64_t offset, bytes, align;           /* topology_finish fills these in */
};
_Static_assert(sizeof(struct topology_object) == 24 + 8 + 16 + 8 + 24, "hashed as bytes");

enum { TOPOLOGY_OBJECTS_MAX = 512, TOPOLOGY_ROLES_MAX = 96 };

struct topology {
    struct topology_options options; /* with defaults filled in */
    uint32_t role_count, object_count;
    uint64_t bytes; /* of all, the workspace's header included */
    uint64_t layout_hash;
    struct topology_role roles[TOPOLOGY_ROLES_MAX];
    struct topology_object objects[TOPOLOGY_OBJECTS_MAX];
};

/* The standard topology. `options` may be NULL (all defaults). 0, or -1 with err: option, value, bounds.
 *
 * Objects (name, index): tick_ring k (ingest -> scanner k), event_ring k (scanner k -> publisher), symtab,
 * ruletab, rule_stats k, heartbeats, errlog, staging, control; with MARKET_TOPLISTS also market_ring (ingest
 * -> market), values_ring k (scanner k -> market), markettab; with MARKET_PEERS peers_ring k (scanner k ->
 * market), market_out (market -> publisher), peers; with options.scans valuetab; for each role place of kind
 * R: "R_counters" and "R_histograms", index = the place's. */
int topology_build(struct topology *t, const struct topology_options *options, struct error *err)
    __attribute__((warn_unused_result));

/* The parts. Start from a zeroed struct; roles first. An object's name must fit (assert). */
void topology_add_role(struct topology *t, enum role_kind kind, uint32_t index, bool process);
struct topology_object *topology_add(struct topology *t, enum topology_kind kind, const char *name,
                                     uint32_t index);

/* Sizes and places each object, computes the hash, validates: unique names, every producer and consumer a
 * declared role, exactly one of each per ring, powers of two, bounds. 0, or -1 with err, which names the
 * object. */
int topology_finish(struct topology *t, struct error *err) __attribute__((warn_unused_result));

/* NULL if there is none. */
const struct topology_object *topology_find(const struct topology *t, const char *name, uint32_t index);

/* The role's place in roles[], which is its row in the heartbeats; -1 if there is none. */
int topology_role(const struct topology *t, enum role_kind kind, uint32_t index);

/* Formats the object in zeroed memory of its size and alignment: its kind's `new`. */
void topology_make(const struct topology_object *o, void *mem);

/* The scanner (0 …) that runs a bucket of symbols (0..1023). */
uint32_t topology_bucket_scanner(const struct topology *t, uint32_t bucket);

#endif
