/* The files of `run` and `replay` that events go to as lines of JSON, one for each kind that is asked for. */
#ifndef WORKERS_EVENT_LOGS_H
#define WORKERS_EVENT_LOGS_H

#include "net/barlog.h"
#include "workers/cli.h"

/* Kind, the option's name, its help. */
#define EVENT_LOGS(X)                                                                                        \
    X(ALERT, "alerts", "write alerts here, one JSON object a line (- is the screen)")                        \
    X(SHADOW, "shadows", "write alerts of rules in mode shadow here, one JSON object a line")                \
    X(ANOMALY, "anomalies", "write anomalies here, one JSON object a line (anomalies.enabled)")              \
    X(HALT, "halts", "write halts and their ends here, one JSON object a line")

#define EVENT_LOG_OPTION(kind_, option, text) {.name = option, .arg = "FILE", .help = text, .kind = CLI_TEXT},
#define EVENT_LOG_OPTIONS                     EVENT_LOGS(EVENT_LOG_OPTION)

/* By enum outbox_kind; NULL: not asked for. */
struct event_log_paths {
    const char *path[OUTBOX_KINDS];
};
struct event_logs {
    struct alertlog *log[OUTBOX_KINDS];
};

struct event_log_paths event_log_paths(const struct cli_args *args);

/* Makes or empties the files. All of them: 0, or -1 with err set to the first failure. */
int event_logs_open(struct event_logs *l, const struct event_log_paths *paths, struct error *err)
    __attribute__((warn_unused_result));
/* Nothing is done with a kind that is not asked for. */
int event_logs_add(struct event_logs *l, enum outbox_kind kind, const char *json, size_t len,
                   struct error *err) __attribute__((warn_unused_result));
int event_logs_flush(struct event_logs *l, struct error *err) __attribute__((warn_unused_result));
/* They are closed then, also after a failure. */
int event_logs_close(struct event_logs *l, struct error *err) __attribute__((warn_unused_result));

#endif
