/* Counters and histograms, declared once: these tables feed the enums, /metrics, the CLI, the documents and
 * the schema hash that a joiner of the workspace compares.
 *
 * Each place of a role (ingest; scanner 0, 1 …; each sink) has an array of its own on cache lines of its own.
 *
 * Threading: one writer, the role (counter_add is a relaxed load and store, no locked instruction); any
 * reader. Join fails (NULL) for: NULL, bad alignment, another magic or role, too few bytes.
 */
#ifndef SHM_COUNTERS_H
#define SHM_COUNTERS_H

#include "core/engine.h"
#include "core/message.h"
#include "core/reject.h"
#include "shm/histogram.h"
#include "shm/object.h"
#include "shm/topology.h"

#include <assert.h>

/* C(ID, name, kind, unit, help) one value; kind is counter (only grows) or gauge.
 * F(ID, name, unit, label, count, help) a counter for each value of a label: ID + the value; named by
 * ID_labels. */

/* Every role's loop; the values of `regime` in the order of LOOP_REGIMES. */
#define LOOP_REGIMES(X) X(busy) X(backpressure) X(idle) X(housekeeping)
#define LOOP_COUNTERS(C, F)                                                                                  \
    F(LOOP_CYCLES, "cycles", "ticks", "regime", 4, "time of the role's loop, charged to one regime each")    \
    C(LOOP_LONGEST_STEP, "longest_step", gauge, "ticks", "the longest step of the loop")                     \
    C(LOOP_TICKS_PER_SECOND, "ticks_per_second", gauge, "ticks", "what the times in ticks are measured in")

#define INGEST_COUNTERS(C, F)                                                                                \
    C(INGEST_ROWS_READ, "rows_read", counter, "rows", "rows or messages read from sources, good or bad")     \
    C(INGEST_BYTES_READ, "bytes_read", counter, "bytes", "bytes read from sources, uncompressed")            \
    F(INGEST_MESSAGES, "messages", "messages", "type", MSG_TYPE_COUNT, "messages stamped")                   \
    F(INGEST_REJECTED, "rejected", "rows", "reason", REJECT_COUNT, "rows refused")                           \
    C(INGEST_SKIPPED, "skipped", counter, "rows", "rows of kinds that are of no use here")                   \
    C(INGEST_CONFLATED, "conflated", counter, "rows", "quotes left out: see conflate.quotes_ms")             \
    C(INGEST_LATE, "late", counter, "messages", "messages with an event time before the running maximum")    \
    C(INGEST_JOURNAL_BYTES, "journal_bytes", counter, "bytes", "bytes written to the journal")               \
    C(INGEST_JOURNAL_BLOCKS, "journal_blocks", counter, "blocks", "blocks written to the journal")           \
    C(INGEST_JOURNAL_WAITS, "journal_waits", counter, "", "waits for room in the journal's staging")         \
    C(INGEST_RING_LAGS, "ring_lags", counter, "",                                                            \
      "times that a full ring was left behind (rings.when_full = lag)")                                      \
    C(INGEST_RING_FULL_WAITS, "ring_full_waits", counter, "", "waits for room in a scanner's ring")          \
    C(INGEST_MARKET_LOST, "market_lost", counter, "messages",                                                \
      "messages left out because the market role's ring was full: it shows no second of them")               \
    C(INGEST_SYMBOLS, "symbols", gauge, "symbols", "symbols known")                                          \
    C(INGEST_RULES, "rules", gauge, "rules", "versions of rules put in the rule table")                      \
    C(INGEST_RELOADS, "rule_reloads", counter, "",                                                           \
      "files of rules read again, those that changed nothing included")                                      \
    C(INGEST_RELOADS_REFUSED, "rule_reloads_refused", counter, "",                                           \
      "files of rules that were no good: nothing changed")                                                   \
    C(INGEST_LAST_SEQ, "last_seq", gauge, "", "sequence number of the last message stamped")                 \
    C(INGEST_DURABLE_SEQ, "durable_seq", gauge, "", "sequence number up to which the journal is on disk")    \
    C(INGEST_JOURNAL_FAILING, "journal_failing", gauge, "", "1 while the journal cannot be written")         \
    C(INGEST_EVENT_TIME_NS, "event_time_ns", gauge, "ns", "running maximum of event time, UTC")

/* A scanner's begin with the engine's own: SCANNER_ENGINE + its place in struct engine_counters. */
#define SCANNER_COUNTERS(C, F)                                                                               \
    C(SCANNER_EVENTS, "events", counter, "events", "slots of events put into the event ring")                \
    C(SCANNER_EVENT_RING_WAITS, "event_ring_waits", counter, "", "waits for room in the event ring")         \
    C(SCANNER_APPLIED_SEQ, "applied_seq", gauge, "", "sequence number of the last message applied")          \
    C(SCANNER_EVENT_TIME_NS, "event_time_ns", gauge, "ns", "event time of the last message applied, UTC")    \
    C(SCANNER_CHECKPOINT_PASSES, "checkpoint_passes", counter, "", "checkpoints of all buckets on disk")     \
    C(SCANNER_CHECKPOINT_BYTES, "checkpoint_bytes", counter, "bytes", "bytes written to checkpoints")        \
    C(SCANNER_CHECKPOINT_FAILURES, "checkpoint_failures", counter, "",                                       \
      "checkpoints that could not be written")                                                               \
    C(SCANNER_CHECKPOINT_SEQ, "checkpoint_seq", gauge, "",                                                   \
      "message up to which checkpoints on disk tell all")                                                    \
    C(SCANNER_CAUGHT_UP, "caught_up_messages", counter, "",                                                  \
      "messages taken from the journal instead of the ring")                                                 \
    C(SCANNER_CATCHING_UP, "catching_up", gauge, "", "1 while messages come from the journal")               \
    C(SCANNER_PEERS, "peers", counter, "symbols", "symbols given to the market role to be compared")         \
    C(SCANNER_VALUES, "values", counter, "symbols", "rows of values given to the market role")               \
    C(SCANNER_VALUES_DROPPED, "values_dropped", counter, "",                                                 \
      "buckets whose values were left out because the ring to the market role was full")

#define MARKET_COUNTERS(C, F)                                                                                \
    C(MARKET_CLOCKS, "clocks", counter, "", "clocks taken: what values are owed for")                        \
    C(MARKET_VALUES, "values", counter, "symbols", "rows of values taken from scanners")                     \
    C(MARKET_SECONDS, "seconds", counter, "seconds", "seconds whose values are whole: shown")                \
    C(MARKET_SECONDS_SKIPPED, "seconds_skipped", counter, "seconds",                                         \
      "seconds of which a scanner, or the role's own ring, left something out: not shown")                   \
    C(MARKET_TIME_NS, "time_ns", gauge, "ns", "the second that is shown, UTC")                               \
    C(MARKET_LISTS, "lists", gauge, "lists", "users' lists of toplists.file")                                \
    C(MARKET_LISTS_REFUSED, "lists_refused", counter, "", "times that toplists.file was no good")            \
    C(MARKET_PEER_SECONDS, "peer_seconds", counter, "seconds",                                               \
      "seconds in which symbols were compared with their sectors")                                           \
    C(MARKET_ANOMALIES, "anomalies", counter, "events", "anomalies of sectors emitted")

#define PUBLISHER_COUNTERS(C, F)                                                                             \
    C(PUBLISHER_EVENTS, "events", counter, "events", "events taken from the scanners")                       \
    C(PUBLISHER_ALERTS, "alerts", counter, "alerts", "alerts stored in the outbox")                          \
    C(PUBLISHER_SHADOW_ALERTS, "shadow_alerts", counter, "alerts",                                           \
      "alerts of rules in mode shadow stored in the outbox")                                                 \
    C(PUBLISHER_BARS, "bars", counter, "bars", "bars stored in the outbox")                                  \
    C(PUBLISHER_ANOMALIES, "anomalies", counter, "anomalies", "anomalies stored in the outbox")              \
    C(PUBLISHER_HALTS, "halts", counter, "events", "halts and their ends stored in the outbox")              \
    C(PUBLISHER_DUPLICATES_DROPPED, "duplicates_dropped", counter, "events",                                 \
      "events emitted again after a restart that were stored already")                                       \
    C(PUBLISHER_DURABLE_WAITS, "durable_waits", counter, "",                                                 \
      "waits for the journal (journal.sync = always)")                                                       \
    C(PUBLISHER_OUTBOX_BYTES, "outbox_bytes", counter, "bytes", "bytes written to the outbox")               \
    C(PUBLISHER_OUTBOX_COMMITS, "outbox_commits", counter, "commits", "batches made durable")                \
    C(PUBLISHER_OUTBOX_WAITS, "outbox_waits", counter, "", "commits that failed and are tried again")        \
    C(PUBLISHER_OUTBOX_FAILING, "outbox_failing", gauge, "", "1 while the outbox cannot be written")         \
    C(PUBLISHER_OUTBOX_OFFSET, "outbox_offset", gauge, "", "offset of the next event")

#define SINK_COUNTERS(C, F)                                                                                  \
    C(SINK_DELIVERED, "delivered", counter, "events", "events that the sink has taken")                      \
    C(SINK_BYTES, "bytes", counter, "bytes", "bytes of their JSON")                                          \
    C(SINK_BATCHES, "batches", counter, "batches", "deliveries that the sink has taken, whole or in part")   \
    C(SINK_RETRIES, "retries", counter, "", "deliveries and connects tried again")                           \
    C(SINK_ERRORS, "errors", counter, "", "deliveries and connects that failed")                             \
    C(SINK_CONNECTS, "connects", counter, "", "connections made")                                            \
    C(SINK_UNKNOWN_OUTBOX, "unknown_outbox", counter, "",                                                    \
      "connects that found the cursor of another outbox")                                                    \
    C(SINK_REWOUND, "rewound", counter, "events",                                                            \
      "events delivered again because the sink's cursor had gone back: it was restored, or lost its tail")   \
    C(SINK_SKIPPED, "skipped", counter, "events", "events that the outbox no longer had: not delivered")     \
    C(SINK_PRICES, "prices", counter, "prices", "latest prices published")                                   \
    C(SINK_TOPLISTS, "toplists", counter, "", "toplists written")                                            \
    C(SINK_DEAD_LETTERS, "dead_letters", counter, "events",                                                  \
      "events that the sink refused for good: they are in DIR/dead-letters")                                 \
    C(SINK_BREAKER, "breaker", gauge, "", "0 closed, 1 half-open (tries), 2 open (waits)")                   \
    C(SINK_UP, "up", gauge, "", "1 while the sink takes events")                                             \
    C(SINK_OFFSET, "offset", gauge, "",                                                                      \
      "offset in the outbox of the next event to deliver; of raw trades: seq in the journal")                \
    C(SINK_LAG, "lag", gauge, "events",                                                                      \
      "events in the outbox that are not delivered; of raw trades: messages of the journal")

#define SUPERVISOR_COUNTERS(C, F)                                                                            \
    C(SUPERVISOR_RESTARTS, "restarts", counter, "", "roles that died and were started again")

/* H(ID, name, unit, help); every role's first is its steps. */
#define LOOP_HISTOGRAMS(H)   H(LOOP_STEP_NS, "step", "ns", "duration of steps that did something")
#define INGEST_HISTOGRAMS(H) /* none of its own yet */
#define PUBLISHER_HISTOGRAMS(H)                                                                              \
    H(PUBLISHER_TICK_TO_ALERT_NS, "tick_to_alert", "ns",                                                     \
      "from the receive time of an alert's deciding message to the alert's place in the outbox")             \
    H(PUBLISHER_OUTBOX_COMMIT_NS, "outbox_commit", "ns", "duration of a commit of the outbox")
#define SINK_HISTOGRAMS(H) H(SINK_DELIVER_NS, "deliver", "ns", "duration of a delivery to the sink")

/* The ids of a role follow the loop's, so that LOOP_CYCLES is valid for every role. */
#define C(id, ...)                         id,
#define F(id, name, unit, label, count, h) id, id##_LAST = id + (count)-1,
#define X(name, help)                      SCANNER_ENGINE_##name,
enum loop_counter { LOOP_COUNTERS(C, F) LOOP_COUNTER_COUNT };
enum ingest_counter { INGEST_BASE = LOOP_COUNTER_COUNT - 1, INGEST_COUNTERS(C, F) INGEST_COUNTER_COUNT };
enum scanner_counter {
    SCANNER_ENGINE = LOOP_COUNTER_COUNT,
    SCANNER_BASE = LOOP_COUNTER_COUNT - 1,
    ENGINE_COUNTERS(X) SCANNER_COUNTERS(C, F) SCANNER_COUNTER_COUNT
};
enum market_counter { MARKET_BASE = LOOP_COUNTER_COUNT - 1, MARKET_COUNTERS(C, F) MARKET_COUNTER_COUNT };
enum publisher_counter {
    PUBLISHER_BASE = LOOP_COUNTER_COUNT - 1,
    PUBLISHER_COUNTERS(C, F) PUBLISHER_COUNTER_COUNT
};
enum sink_counter { SINK_BASE = LOOP_COUNTER_COUNT - 1, SINK_COUNTERS(C, F) SINK_COUNTER_COUNT };
enum supervisor_counter {
    SUPERVISOR_BASE = LOOP_COUNTER_COUNT - 1,
    SUPERVISOR_COUNTERS(C, F) SUPERVISOR_COUNTER_COUNT
};
#undef C
#undef F
#undef X

#define H(id, ...) id,
enum loop_histogram { LOOP_HISTOGRAMS(H) LOOP_HISTOGRAM_COUNT };
enum ingest_histogram { INGEST_HISTOGRAM_BASE, INGEST_HISTOGRAMS(H) INGEST_HISTOGRAM_COUNT };
enum publisher_histogram { PUBLISHER_HISTOGRAM_BASE, PUBLISHER_HISTOGRAMS(H) PUBLISHER_HISTOGRAM_COUNT };
enum sink_histogram { SINK_HISTOGRAM_BASE, SINK_HISTOGRAMS(H) SINK_HISTOGRAM_COUNT };
#undef H
_Static_assert((int)LOOP_HISTOGRAM_COUNT == (int)INGEST_HISTOGRAM_BASE + 1,
               "role histograms follow the loop's");

/* A row of a role's table. */
struct counter_desc {
    const char *name, *unit, *help;
    const char *label;              /* NULL: a single value */
    const char *const *label_names; /* `count` of them */
    uint16_t first;                 /* id of the (first) value */
    uint16_t count;
    bool gauge;
};
struct histogram_desc {
    const char *name, *unit, *help; /* its id is its place in the table */
};

/* The rows of a role, *n of them. */
const struct counter_desc *counters_table(enum role_kind role, unsigned *n);
const struct histogram_desc *histograms_table(enum role_kind role, unsigned *n);

/* Over every row of every table: for the workspace's schema hash. */
uint64_t counters_schema_hash(void);

enum { COUNTERS_LABEL_MAX = 47 };

struct counters {
    uint64_t magic;
    uint32_t role;
    uint32_t count;
    uint64_t label[(COUNTERS_LABEL_MAX + 1) / 8]; /* text */
    uint64_t value[] __attribute__((aligned(OBJECT_ALIGN)));
};

size_t counters_align(void);
size_t counters_footprint(enum role_kind role);
struct counters *counters_new(void *mem, enum role_kind role);
struct counters *counters_join(void *mem, size_t bytes, enum role_kind role);
static inline void *counters_leave(struct counters *c)
{
    return c;
}

/* What the place is called where its number says little, a sink's "redis": cut to COUNTERS_LABEL_MAX bytes.
 */
void counters_set_label(struct counters *c, const char *text);
void counters_label(const struct counters *c, char out[COUNTERS_LABEL_MAX + 1]);

/* The value's own word, for code that counts by itself (the run loop's regimes: LOOP_CYCLES and the 3 after
 * it). */
static inline uint64_t *counter_cell(struct counters *c, unsigned id)
{
    assert(id < c->count);
    return &c->value[id];
}

static inline void counter_set(struct counters *c, unsigned id, uint64_t value)
{
    atomics_store_relaxed_u64(counter_cell(c, id), value);
}

static inline void counter_add(struct counters *c, unsigned id, uint64_t n)
{
    uint64_t *cell = counter_cell(c, id);
    atomics_store_relaxed_u64(cell, atomics_load_relaxed_u64(cell) + n);
}

static inline uint64_t counter_get(const struct counters *c, unsigned id)
{
    assert(id < c->count);
    return atomics_load_relaxed_u64(&c->value[id]);
}

/* Sets n values from id on: a scanner's copy of its engine's. */
static inline void counters_copy(struct counters *c, unsigned id, const uint64_t *values, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        counter_set(c, id + i, values[i]);
}

/* A role's histograms, one after the other. */
size_t histograms_footprint(enum role_kind role);
void histograms_new(void *mem, enum role_kind role);
/* Histogram `id` of a role; NULL for what histogram_join refuses, or an id that the role has not. */
struct histogram *histograms_join(void *mem, size_t bytes, enum role_kind role, unsigned id);

#endif
