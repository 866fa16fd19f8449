/* What `replay` and `backtest` share: a stream applied to an engine of its own in this process, with the
 * names that its events need, and the filter of --from, --to and --symbols.
 *
 * Threading: one thread.
 */
#ifndef WORKERS_REPLAYER_H
#define WORKERS_REPLAYER_H

#include "core/parts.h"
#include "workers/cli.h"
#include "workers/engine_memory.h"
#include "workers/peer_replay.h"
#include "workers/rule_names.h"
#include "workers/stream.h"

struct replayer {
    const struct cli_args *args;
    struct stream *stream;
    struct engine_memory memory;
    struct rule_names *names;
    struct parts parts;
    struct peer_replay *peers; /* compares symbols; NULL: nobody asks for what comes of it */
    const char *symbols;       /* --symbols; NULL: all */
    int64_t from_ns, to_ns;    /* --from, --to; INT64_MIN and INT64_MAX if not given */
    uint64_t refused, rules_seen;
    struct error err;

    /* What the command does with it; -1 with err ends the replay, as does `stop`. Each may be NULL. */
    void *ctx;
    bool stop;
    /* A record is about to be applied, or to be gone on with: records then are applied one at a time. */
    int (*before)(void *ctx, const struct msg *m);
    /* Whole records as they are about to be applied. */
    int (*batch)(void *ctx, const struct msg *m, int n);
    /* m[0..n), whole records, was applied; `out` is what came of it and of the record behind, if that is done
     * only in part. Both are in order of seq; an event has that of the message which decided it. */
    int (*applied)(void *ctx, const struct msg *m, int n, const struct engine_out *out);
    /* An anomaly of a symbol against its sector. Only with replayer_compare. */
    int (*compared)(void *ctx, const struct msg *event);
};

/* Opens stream and engine from the options rules, history, override, from, to, symbols (those that the
 * command has). An enum cli_exit, with the reason printed. */
int replayer_open(struct replayer *r, const struct cli_args *args, const char *rules,
                  const char *const *sources, unsigned n_sources);
/* Before it runs: symbols are compared. */
void replayer_compare(struct replayer *r, int (*compared)(void *ctx, const struct msg *event));
/* To the end of the stream. 0, or -1 with r->err. Failures of sources are stream_failure's. */
int replayer_run(struct replayer *r) __attribute__((warn_unused_result));
void replayer_close(struct replayer *r);

/* Is the symbol one of --symbols? */
bool replayer_wants_symbol(const struct replayer *r, const struct source_symbol *s);
/* Is the event, a BAR or an ALERT, of a time and symbol that are asked for? Then *symbol says whose it is. */
bool replayer_wants(const struct replayer *r, const struct msg *event, struct event_symbol *symbol);
/* The alert as a line of JSON: its length, or -1 with r->err. */
int replayer_alert_json(struct replayer *r, const struct msg *alert, const struct event_symbol *symbol,
                        char out[EVENT_JSON_MAX]);

#endif
