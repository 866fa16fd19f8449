/* Looking at an instance: what `rings`, `top`, `symbols` and the HTTP face share. Everything is read from the
 * workspace, nothing is written there, so that a look costs the roles nothing.
 *
 * A sample is one reading of all that changes; rates come from two samples. An instance that died leaves its
 * workspace behind: it can be sampled like any other, and says so (`alive`).
 */
#ifndef WORKERS_OBSERVE_H
#define WORKERS_OBSERVE_H

#include "core/rule.h"
#include "net/text.h"
#include "shm/heartbeat.h"
#include "workers/cli.h"
#include "workers/instance.h"

/* A role that has not beaten for longer counts as stale. Roles beat every 1 to 10 ms. */
#define OBSERVE_STALE_NS (5 * INT64_C(1000000000))
/* A journal that stands still for longer, though there is something to make durable, counts as failing. */
#define OBSERVE_STUCK_NS (3 * INT64_C(1000000000))

struct observe_role {
    enum role_kind kind;
    uint32_t index;
    struct heartbeat beat;
    enum heartbeat_health health;
    uint64_t regime_ticks[REGIME_COUNT], ticks_per_second, longest_step_ticks;
};

struct observe_ring {
    const char *name;
    uint32_t index;
    struct topology_role producer, consumer;
    uint64_t capacity, occupancy, high_water; /* slots */
    uint64_t stalls;                          /* times that it became full */
    uint64_t waits;  /* tries of its producer that found no room (ingest's are of all tick rings) */
    uint64_t passed; /* messages that went through */
    bool behind;     /* left behind (rings.when_full = lag): its scanner reads the journal */
};

struct observe_sink {
    char name[COUNTERS_LABEL_MAX + 1];
    uint64_t value[SINK_COUNTER_COUNT]; /* by enum sink_counter */
};

enum observe_feed {
    OBSERVE_FEED_STARTING,
    OBSERVE_FEED_RUNNING,
    OBSERVE_FEED_ENDED,
    OBSERVE_FEED_FAILED,
    OBSERVE_FEED_DEAD
};
const char *observe_feed_name(enum observe_feed feed);

struct observe_sample {
    int64_t mono_ns, utc_ns, created_ns;
    bool alive; /* the supervisor lives */
    enum observe_feed feed;
    int32_t pid; /* the supervisor's */
    uint32_t roles, rings, sinks;
    struct observe_role role[TOPOLOGY_ROLES_MAX]; /* those that are processes */
    struct observe_ring ring[4 * TOPOLOGY_SCANNERS_MAX + 2];
    struct observe_sink sink[TOPOLOGY_SINKS_MAX]; /* those in use */
    uint64_t ingest[INGEST_COUNTER_COUNT];
    uint64_t publisher[PUBLISHER_COUNTER_COUNT];
    uint64_t applied_seq; /* the highest of the scanners': ingest's own runs ahead of what it has sent */
    int64_t applied_ns;   /* event time, likewise; 0 = not known */
    uint64_t alerts, alerts_revised, alerts_withdrawn, shadow_alerts;
    uint32_t symbols;
    uint64_t errors; /* distinct ones in the error log */
    struct histogram_copy latency;
};

void observe_read(const struct workspace *ws, struct observe_sample *out);

/* The two parts of most commands: --dir or RINGTAPE_DIR, and joining it. NULL: why is printed, the command
 * returns CLI_USAGE or CLI_FAILED. */
const char *observe_dir(const struct cli_args *args);
struct workspace *observe_join(const struct cli_args *args, const char *dir);
#define OBSERVE_DIR_OPTION                                                                                   \
    {                                                                                                        \
        .name = "dir", .arg = "DIR", .help = "the instance's directory (also RINGTAPE_DIR)",                 \
        .kind = CLI_TEXT                                                                                     \
    }

/* Growth of a counter per second; 0 where there is no interval, or the counter began anew. */
double observe_rate(uint64_t before, uint64_t now, const struct observe_sample *a,
                    const struct observe_sample *b);

/* Roles run, or ended with their source. Else false, and `why` names the first role that does not. */
bool observe_roles_ok(const struct observe_sample *s, char *why, size_t size);
/* True while a role has not come up for the first time. */
bool observe_starting(const struct observe_sample *s);
/* "scanner 2", "ingest": an index where there can be several. */
const char *observe_role_label(struct topology_role role, char out[24]);

/* The journal as seen from outside. Zeroed before the first call. */
struct observe_journal {
    uint64_t durable_seq;
    int64_t behind_since_ns;
};
enum observe_journal_state { OBSERVE_JOURNAL_OFF, OBSERVE_JOURNAL_OK, OBSERVE_JOURNAL_STUCK };
/* Call it with each sample. OFF: nothing was ever written, as with journal.enabled = false. */
enum observe_journal_state observe_journal(struct observe_journal *j, const struct observe_sample *s,
                                           int64_t stuck_ns);

/* The rules of the rule table, versions of one id together, with their statistics. */
struct observe_rule {
    char id[RULE_ID_MAX + 1];
    char name[RULE_NAME_MAX + 1]; /* of the newest version */
    uint32_t version;
    bool enabled;
    struct rule_stats stats;
};
struct observe_rules;
struct observe_rules *observe_rules_new(const struct workspace *ws);
/* Learns new slots, sums the scanners' statistics. Returns the rules in order of appearance, *n of them. */
const struct observe_rule *observe_rules_read(struct observe_rules *r, uint32_t *n);
void observe_rules_free(struct observe_rules *r);

/* A ring as a JSON object. `rate`: messages per second, negative = not known, left out. */
void observe_ring_json(struct text *out, const struct observe_ring *ring, double rate);

/* The same for people: a heading, and a row in its columns; 110 characters, no newline. */
void observe_ring_heading(struct text *out);
void observe_ring_row(struct text *out, const struct observe_ring *ring, double rate);

/* For people. Each writes to `out` and returns it. */
enum { OBSERVE_TEXT_MAX = 32 };
const char *observe_count(uint64_t n, char out[OBSERVE_TEXT_MAX]);     /* 12,345,678 */
const char *observe_duration(uint64_t ns, char out[OBSERVE_TEXT_MAX]); /* 132 us, 1.24 ms, 3 h 02 min */
const char *observe_time(int64_t utc_ns, char out[OBSERVE_TEXT_MAX]);  /* 2013-10-08 09:45:27.122 */
/* Text of others for a terminal: control characters as ?, cut to `width` characters (~ at the cut) or filled
 * up with spaces to it. */
void observe_column(struct text *out, const char *s, unsigned width);

#endif
