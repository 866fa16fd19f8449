#include "workers/instance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/decimal.h"
#include "net/rules_file.h"
#include "shm/errlog.h"
#include "shm/heartbeat.h"
#include "shm/msg_memory.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <jansson.h>

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t instance_schema_hash(void)
{
    /* the metric catalogue decides what operands mean */
    XXH64_hash_t h = counters_schema_hash();
    for (int k = 0; k < METRIC_KIND_COUNT; k++)
        h = XXH3_64bits_withSeed(metric_rows[k].name, strlen(metric_rows[k].name), h);
    return XXH3_64bits_withSeed("control", 7, h + sizeof(struct control));
}

int instance_join(struct instance *in, const struct run_options *o, enum role_kind kind, uint32_t index,
                  struct error *err)
{
    in->options = o;
    in->settings = o->settings;
    in->kind = kind;
    in->index = index;
    in->parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGHUP); /* wakes a waiting role: it then sees that its parent is gone */
    /* who signals the whole group means the supervisor, which tells by control->stop */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    in->ws = workspace_join(o->dir, WORKSPACE_WRITE, instance_schema_hash(), err);
    if (!in->ws)
        return -1;
    in->control = workspace_object(in->ws, "control", 0, NULL);
    in->counters = workspace_counters(in->ws, kind, index);
    in->heartbeat = (uint32_t)topology_role(workspace_topology(in->ws), kind, index);
    return 0;
}

bool instance_stopping(const struct instance *in)
{
    return atomics_load_relaxed_u64(&in->control->stop) || getppid() != in->parent;
}

bool instance_interrupted(const struct instance *in)
{
    uint64_t stop = atomics_load_relaxed_u64(&in->control->stop);
    return stop ? stop == STOP_INTERRUPTED : getppid() != in->parent;
}

struct loop {
    struct instance *in;
    void (*housekeeping)(void *ctx, int64_t now_ns);
    void *ctx;
    int stop;
};

static struct loop loop;

static int loop_step(void *ctx, uint64_t now)
{
    (void)ctx;
    (void)now;
    return 0;
}

static void loop_housekeeping(void *ctx, int64_t now_ns)
{
    (void)ctx;
    heartbeat_beat(workspace_heartbeats(loop.in->ws), loop.in->heartbeat, now_ns);
    loop.housekeeping(loop.ctx, now_ns);
    loop.stop = loop.in->finished;
}

/* With as many CPUs as roles each of ingest, scanners, publisher, market has its own; else the system places
 * them.
 */
static int choose_cpu(const struct instance *in)
{
    uint16_t cpus[SETTING_CPUS_MAX];
    int n, place = in->kind == ROLE_INGEST    ? 0
                   : in->kind == ROLE_SCANNER ? 1 + (int)in->index
                   : in->kind == ROLE_MARKET  ? 2 + (int)in->settings->run_scanners
                                              : 1 + (int)in->settings->run_scanners;
    int roles = 2 + (int)in->settings->run_scanners + instance_has_market(in);
    if (!strcmp(in->settings->loop_pin, "off"))
        return -1;
    if (strcmp(in->settings->loop_pin, "auto")) {
        n = setting_cpu_list(in->settings->loop_pin, cpus);
        return place < n ? cpus[place] : -1;
    }
    n = (int)runloop_cpus_allowed(cpus, SETTING_CPUS_MAX);
    return n >= 1 + roles ? cpus[place + 1] : -1; /* CPU 0 is the system's */
}

void instance_run(struct instance *in, int (*step)(void *ctx, uint64_t now),
                  void (*housekeeping)(void *ctx, int64_t now_ns), void *ctx)
{
    struct heartbeats *beats = workspace_heartbeats(in->ws);
    struct runloop run;
    struct error err;
    int cpu = choose_cpu(in);
    if (cpu >= 0 && runloop_pin((unsigned)cpu, &err) < 0) {
        instance_log(in, SET_LOG_LEVEL_WARN, "%s", err.text);
        cpu = -1;
    }
    enum idle_strategy idle = idle_strategy_choose(in->settings->loop_spin, cpu >= 0);
    loop = (struct loop){.in = in, .housekeeping = housekeeping, .ctx = ctx};
    struct role role = {.name = role_name(in->kind),
                        .step = step ? step : loop_step,
                        .housekeeping = loop_housekeeping,
                        .ctx = ctx,
                        .regime_ticks = counter_cell(in->counters, LOOP_CYCLES),
                        .steps_ns = workspace_histogram(in->ws, in->kind, in->index, LOOP_STEP_NS),
                        .steps_cpu = in->settings->loop_cpu_time,
                        .longest_step_ticks = counter_cell(in->counters, LOOP_LONGEST_STEP)};
    counter_set(in->counters, LOOP_TICKS_PER_SECOND, runloop_ticks_per_second());
    heartbeat_start(beats, in->heartbeat, idle_strategy_name(idle), cpu, clock_ns(CLOCK_REALTIME),
                    clock_ns(CLOCK_MONOTONIC));
    heartbeat_set_state(beats, in->heartbeat, HEARTBEAT_RUNNING);
    runloop_init(&run, &role, 1, idle, NULL);
    run.sleep_ns = (uint32_t)in->settings->loop_sleep_us * 1000;
    runloop_run(&run, &loop.stop);
    heartbeat_set_state(beats, in->heartbeat, HEARTBEAT_GONE);
}

int instance_open_failed(const struct instance *in, int error_number, const struct error *err)
{
    static const int disk[] = {ENOSPC, EDQUOT, EROFS, EIO};
    instance_log(in, SET_LOG_LEVEL_ERROR, "%s", err->text);
    for (unsigned i = 0; i < sizeof disk / sizeof *disk; i++)
        if (error_number == disk[i])
            return ROLE_DISK_REFUSES;
    return 2;
}

int role_main(const struct role_ops *role, const struct run_options *options, uint32_t index)
{
    struct error err;
    struct instance *in = msg_holder_new(role->bytes);
    if (!in)
        abort();
    if (instance_join(in, options, role->kind, index, &err) < 0) {
        fprintf(stderr, "%s %u: %s\n", role_name(role->kind), index, err.text);
        return 1;
    }
    int code = role->open(in);
    if (code)
        return code;
    instance_run(in, role->step, role->housekeeping, in);
    return role->close(in);
}

void instance_log(const struct instance *in, enum set_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char text[1024], role[32], time[DECIMAL_TEXT_MAX];
    va_list ap;
    if (level > in->settings->log_level)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (in->kind == ROLE_SCANNER)
        snprintf(role, sizeof role, "scanner %u", in->index);
    else
        snprintf(role, sizeof role, "%s", role_name(in->kind));
    if (level == SET_LOG_LEVEL_ERROR && in->ws)
        errlog_record(workspace_errlog(in->ws), in->kind, in->index, clock_ns(CLOCK_REALTIME), text);
    if (in->settings->log_format == SET_LOG_FORMAT_TEXT) {
        fprintf(stderr, "%s: %s: %s\n", role, names[level], text);
        return;
    }
    decimal_format_time(clock_ns(CLOCK_REALTIME), time);
    json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "timestamp", time, "level", names[level], "role", role,
                          "message", text);
    char *line = json_dumps(o, JSON_COMPACT);
    if (line)
        fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(o);
}
