/* The supervisor's process and those that it starts: workers/cmd_run.c as it is, but that a child is a
 * process of the simulation, and the journal and the outbox get segments smaller than settings can say. */
#include "tests/sim/supervisor.h"

#include "net/journal.h"
#include "net/outbox.h"
#include "shm/workspace.h"
#include "tests/sim/process.h"
#include "tests/sim/random.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static pid_t start_role(int kind, unsigned index);
#define fork()             start_role((int)c->kind, c->index)
#define workspace_alive(w) ((void)(w), false) /* all simulated processes have the simulator's pid */
#include "workers/cmd_run.c"
#undef fork

static const struct market *market;
static struct run_options role_options; /* each process would have its own copy */

struct journal *__real_journal_open(const char *dir, const struct journal_options *options,
                                    struct error *err);
struct journal *__wrap_journal_open(const char *dir, const struct journal_options *options,
                                    struct error *err);
struct journal *__wrap_journal_open(const char *dir, const struct journal_options *options, struct error *err)
{
    struct journal_options o = *options;
    if (!o.blocking) { /* ingest's */
        o.segment_bytes = market->journal_segment_bytes;
        o.staging_bytes = market->staging_bytes;
    }
    return __real_journal_open(dir, &o, err);
}

struct outbox *__real_outbox_open(const char *dir, uint64_t segment_bytes, uint64_t *recovered,
                                  struct error *err);
struct outbox *__wrap_outbox_open(const char *dir, uint64_t segment_bytes, uint64_t *recovered,
                                  struct error *err);
struct outbox *__wrap_outbox_open(const char *dir, uint64_t segment_bytes, uint64_t *recovered,
                                  struct error *err)
{
    (void)segment_bytes;
    return __real_outbox_open(dir, market->outbox_segment_bytes, recovered, err);
}

struct place {
    const struct role_ops *ops;
    uint32_t index;
};

/* role_main, without the loop that waits on the host's clock. */
static int role_process(void *arg)
{
    struct place p = *(struct place *)arg;
    struct error err;
    struct instance *in = aligned_alloc(64, (p.ops->bytes + 63) & ~(size_t)63);
    memset(in, 0, p.ops->bytes);
    if (instance_join(in, &role_options, p.ops->kind, p.index, &err) < 0) {
        fprintf(stderr, "%s %u: %s\n", role_name(p.ops->kind), p.index, err.text);
        return 1;
    }
    int code = p.ops->open(in);
    if (code)
        return code;
    int64_t keep_ns = 0, idle_ns = 0;
    while (!in->finished) {
        int done = p.ops->step(in, 0);
        if (process_now_ns() >= keep_ns) {
            p.ops->housekeeping(in, process_now_ns());
            keep_ns = process_now_ns() + (int64_t)random_below(5000000);
        }
        idle_ns = done > 0 ? 0 : idle_ns < 10000000 ? 2 * idle_ns + 1000 : idle_ns;
        process_sleep_ns(idle_ns);
    }
    return p.ops->close(in);
}

static pid_t start_role(int kind, unsigned index)
{
    static struct place place[1024];
    static int n;
    struct place *p = &place[n++ % 1024];
    *p = (struct place){kind == ROLE_INGEST    ? &ingest_role
                        : kind == ROLE_SCANNER ? &scanner_role
                        : kind == ROLE_MARKET  ? &market_role
                                               : &publisher_role,
                        index};
    return process_start(role_process, p, role_name(p->ops->kind));
}

static int supervisor_process(void *arg)
{
    (void)arg;
    struct supervisor *s = calloc(1, sizeof *s);
    struct cli_args *args = calloc(1, sizeof *args);
    static const struct cli_command command = {.name = "run", .options = cmd_run_options};
    static const char *source;
    args->command = &command;
    args->out = args->err = stderr;
    args->settings = market->settings;
    for (const struct cli_option *o = cmd_run_options; o->name; o++)
        if (!strcmp(o->name, "until-end"))
            args->values[args->value_count++].option = o;
    source = market->source;
    mkdir(market->instance, 0750);
    s->args = args;
    s->settings = market->settings;
    s->options = (struct run_options){.dir = market->instance,
                                      .sources = &source,
                                      .n_sources = 1,
                                      .rules = market->rules,
                                      .drain_timeout_ns = INT64_MAX / 4,
                                      .settings = &market->settings};
    role_options = s->options;
    return supervise(s);
}

pid_t supervisor_start(const struct market *m)
{
    market = m;
    return process_start(supervisor_process, NULL, "supervisor");
}

uint64_t supervisor_durable_seq(const struct market *m)
{
    struct error err;
    struct workspace *w = workspace_join(m->instance, WORKSPACE_READ, instance_schema_hash(), &err);
    if (!w)
        return 0;
    uint64_t seq = ((struct control *)workspace_object(w, "control", 0, NULL))->durable_seq;
    workspace_leave(w);
    return seq;
}

void supervisor_forget_memory(const struct market *m)
{
    char link[128], file[PATH_MAX];
    snprintf(link, sizeof link, "%s/workspace", m->instance);
    if (realpath(link, file))
        unlink(file);
}
