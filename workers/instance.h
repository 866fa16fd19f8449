/* What every process of a running instance shares: the workspace, the settings, its place among the roles. */
#ifndef WORKERS_INSTANCE_H
#define WORKERS_INSTANCE_H

#include "core/engine.h"
#include "core/route.h"
#include "net/segment.h"
#include "net/settings.h"
#include "net/source.h"
#include "shm/counters.h"
#include "shm/workspace.h"
#include "workers/event_logs.h"
#include "workers/runloop.h"

/* A tick ring that was full and must not hold up the others (rings.when_full = lag): what follows comes to
 * its scanner by the journal, until that is level. Each word goes up only. */
struct ring_lag {
    uint64_t from;  /* ingest: the first message that is not in the ring; 0: none, or there again */
    uint64_t level; /* scanner: the last message that it has had of the journal, when it came to its end (from
                       or later); it reads no further until */
    uint64_t resume; /* ingest: the first message that is in the ring again */
};

/* The workspace's object "control": how the supervisor and the roles tell each other of start and end. Each
 * word has one writer. */
struct control {
    uint64_t stop;         /* supervisor: the signal that asked to stop, or STOP_INTERRUPTED */
    uint64_t until_end;    /* supervisor: roles end with the source */
    uint64_t ingest_ended; /* ingest: END is in every ring and the journal closed; 2 = a source failed */
    uint64_t journaled;    /* ingest: there is a journal, from which roles can be brought back */
    uint64_t durable_seq;  /* ingest: of the journal, as journal.sync says */
    uint64_t ready; /* ingest: the rings tell what they have had, the tables have what the journal names */
    uint8_t journal_node[SEGMENT_ID_BYTES];      /* ingest, before ready */
    uint64_t checkpoint_seq[ROUTE_SCANNERS_MAX]; /* scanner k: from the message after it on it needs the
                                                    journal; 0: all of it */
    /* Before the first role wrote anything, + 1: the last message of the journal (ingest), the highest of the
     * events in the outbox (publisher). If the journal has lost its tail it is behind. */
    uint64_t journal_had_seq, outbox_had_seq;
    uint64_t ends; /* publisher: rings whose END it has, a bit each; an END that is released comes no more */
    /* publisher: the sink of raw trades still needs the journal from this message on, retention keeps it; 0 =
     * not known yet, so all of it; UINT64_MAX = nothing */
    uint64_t journal_needed_from;
    uint64_t not_drained;     /* publisher: sinks that were not level when the time was up, by place */
    uint64_t market_starts;   /* market: one more at each start of it */
    uint64_t market_final;    /* market: the end of the stream is shown */
    uint64_t market_lost_seq; /* ingest: the last message that the market's full ring did not take */
    struct ring_lag lag[ROUTE_SCANNERS_MAX];
    /* What compares symbols (workers/peer_merge.h). Ingest: all up to this message is in its rings. Scanner
     * k: 1 + what checkpoints told it at most; all blocks up to this message are in its peers ring. Market:
     * scanners may save what was up to this message. */
    uint64_t pushed_seq, peers_from[ROUTE_SCANNERS_MAX], peers_progress[ROUTE_SCANNERS_MAX], peers_done_seq;
    /* CLOCK_MONOTONIC: first stamp and END in the last ring (ingest), every END at the publisher and stored
     */
    int64_t first_stamp_ns, ingest_end_ns, end_ns;
    /* `rules reload`: who asks writes the file's name, then one more to rules_asked; ingest writes what came
     * of it, then that number to rules_done */
    uint64_t rules_asked, rules_done, rules_refused;
    char rules_file[512];
    char rules_said[512];
    struct source_stats stats; /* ingest */
    uint64_t count[MSG_TYPE_COUNT];
};
_Static_assert(sizeof(struct control) <= 8192, "the control object is two pages");

/* A role cannot go on: the others end without an END, so that the next run in this directory goes on. */
enum { STOP_INTERRUPTED = 1000 };

struct run_options {
    const char *dir;
    const char *const *sources;
    unsigned n_sources;
    const char *rules, *history, *attributes, *bars;
    struct event_log_paths logs;
    bool override, show;
    double speed; /* of event time over real time; 0 = as fast as it goes */
    int64_t drain_timeout_ns;
    const struct settings *settings;
};

struct instance {
    const struct run_options *options;
    const struct settings *settings;
    struct workspace *ws;
    struct control *control;
    enum role_kind kind;
    uint32_t index;
    struct counters *counters;
    uint32_t heartbeat; /* row */
    int32_t parent;
    bool finished; /* the role has nothing more to do: its loop ends */
};

/* schema hash of everything that lies in shared memory */
uint64_t instance_schema_hash(void);

/* Joins the workspace in options->dir as a role. 0, or -1 with err. */
int instance_join(struct instance *in, const struct run_options *options, enum role_kind kind, uint32_t index,
                  struct error *err);

/* Is there a market role, and for what? As the instance was started: settings may have changed since. */
static inline bool instance_has_market(const struct instance *in)
{
    return workspace_topology(in->ws)->options.market;
}
static inline bool instance_has_toplists(const struct instance *in)
{
    return workspace_topology(in->ws)->options.market & MARKET_TOPLISTS;
}
static inline bool instance_has_peers(const struct instance *in)
{
    return workspace_topology(in->ws)->options.market & MARKET_PEERS;
}

/* Runs the role's loop (step and housekeeping get `in`) until it is finished; beats, counts, pins. */
void instance_run(struct instance *in, int (*step)(void *ctx, uint64_t now),
                  void (*housekeeping)(void *ctx, int64_t now_ns), void *ctx);

/* True once the instance is asked to stop, or its supervisor is gone. */
bool instance_stopping(const struct instance *in);

/* True if it stops because a role cannot go on, or the supervisor is gone: the run is interrupted, not ended.
 */
bool instance_interrupted(const struct instance *in);

/* A line on standard error in the format of log.format, if `level` is within log.level, and in the error log
 * if it is an error. */
void instance_log(const struct instance *in, enum set_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The exit code of a role that could not be opened because its disk is full, read-only or fails: worth
 * another try. */
enum { ROLE_DISK_REFUSES = 5 };

/* Of an open that failed with this errno: ROLE_DISK_REFUSES or 2. */
int instance_open_failed(const struct instance *in, int error_number, const struct error *err);

/* A role: its own struct starts with a struct instance that has joined. It is driven by the run loop, or by a
 * simulation that holds many. */
struct role_ops {
    enum role_kind kind;
    size_t bytes; /* of the role's struct, zeroed before open */
    /* 0, or the exit code of a role that cannot work; it has logged why. */
    int (*open)(struct instance *in);
    /* As role.step (workers/runloop.h). */
    int (*step)(void *in, uint64_t now);
    void (*housekeeping)(void *in, int64_t mono_ns); /* sets in->finished in the end */
    int (*close)(struct instance *in);               /* the exit code */
};
extern const struct role_ops ingest_role, scanner_role, market_role, publisher_role;

/* A role's process from join to close: the exit code. */
int role_main(const struct role_ops *role, const struct run_options *options, uint32_t index);

#endif
