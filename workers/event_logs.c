#include "workers/event_logs.h"

struct event_log_paths event_log_paths(const struct cli_args *a)
{
#define X(kind, option, help) [OUTBOX_##kind] = cli_text(a, option, NULL),
    return (struct event_log_paths){{EVENT_LOGS(X)}};
#undef X
}

int event_logs_open(struct event_logs *l, const struct event_log_paths *paths, struct error *err)
{
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        if (paths->path[kind] && !(l->log[kind] = alertlog_open(paths->path[kind], err)))
            return -1;
    return 0;
}

int event_logs_add(struct event_logs *l, enum outbox_kind kind, const char *json, size_t len,
                   struct error *err)
{
    return kind < OUTBOX_KINDS && l->log[kind] ? alertlog_add(l->log[kind], json, len, err) : 0;
}

int event_logs_flush(struct event_logs *l, struct error *err)
{
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++)
        if (l->log[kind] && alertlog_flush(l->log[kind], err) < 0)
            return -1;
    return 0;
}

int event_logs_close(struct event_logs *l, struct error *err)
{
    struct error own;
    int result = 0;
    for (unsigned kind = 0; kind < OUTBOX_KINDS; kind++) {
        struct alertlog *log = l->log[kind];
        l->log[kind] = NULL;
        if (log && alertlog_close(log, result ? &own : err) < 0)
            result = -1;
    }
    return result;
}
