/* ringtape run: the supervisor. Makes the workspace, starts one process for each role, restarts what dies,
 * passes on the end. */
#include "workers/cmd_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/route.h"
#include "net/checkpoint.h"
#include "net/journal.h"
#include "net/outbox.h"
#include "net/toplist_file.h"
#include "shm/heartbeat.h"
#include "workers/event_logs.h"
#include "workers/instance.h"
#include "workers/status_http.h"
#include "workers/stream.h"
#include "workers/summary.h"

const struct cli_option cmd_run_options[] = {
    {.name = "source",
     .arg = "SOURCE",
     .help = "where ticks come from: csv:FILE, binance-jsonl:FILE, dbn:FILE, capture:PATH, sim:KEY=VALUE,…",
     .kind = CLI_TEXT,
     .many = true},
    {.name = "rules", .arg = "FILE", .help = "the rules (JSON)", .kind = CLI_TEXT},
    {.name = "dir",
     .arg = "DIR",
     .help = "the instance's directory: capture, outbox, link to shared memory",
     .kind = CLI_TEXT},
    {.name = "speed", .arg = "max|N", .help = "event time over real time (1)", .kind = CLI_TEXT},
    {.name = "scanners",
     .arg = "N",
     .help = "scanner processes (run.scanners)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = ROUTE_SCANNERS_MAX},
    {.name = "until-end", .help = "end with the source, when every sink has everything", .kind = CLI_FLAG},
    {.name = "drain-timeout",
     .arg = "S",
     .help = "how long sinks may take for that (60); exit 4 after it",
     .kind = CLI_NUMBER,
     .min = 0,
     .max = 86400},
    EVENT_LOG_OPTIONS{
        .name = "bars", .arg = "FILE", .help = "write the bars here at the end (CSV)", .kind = CLI_TEXT},
    {.name = "summary",
     .arg = "FILE",
     .help = "write what was read, refused, made here at the end (JSON)",
     .kind = CLI_TEXT},
    STREAM_FILE_OPTIONS,
    STREAM_OVERRIDE_OPTION,
    {.name = "show", .help = "print a line for each alert", .kind = CLI_FLAG},
    {.name = "role",
     .arg = "ROLE",
     .help = "(started by run itself) ingest, scanner:K, market or publisher of the running instance",
     .kind = CLI_TEXT},
    {0},
};

enum { CHILDREN_MAX = 3 + ROUTE_SCANNERS_MAX, RESTARTS_MAX = 20 };

struct child {
    enum role_kind kind;
    uint32_t index;
    pid_t pid; /* 0 = ended */
    int64_t started_ns;
    int64_t start_at_ns; /* it waits for its disk; 0 = it does not */
    unsigned starts;
    unsigned failures; /* in a row, each within a second of its start */
    int code;
};

struct supervisor {
    const struct cli_args *args;
    struct settings settings;
    struct run_options options;
    struct toplist_keys toplist_keys; /* that users' lists name */
    struct instance in;
    struct child child[CHILDREN_MAX];
    unsigned n;
    bool broken; /* a role that cannot be restarted died: everything stops */
    struct status_http *http;
};

static volatile sig_atomic_t stop_signal, hangup;

static void on_stop(int signal)
{
    stop_signal = signal;
}
static void on_hangup(int signal)
{
    (void)signal;
    hangup = 1;
}
static void on_child(int signal)
{
    (void)signal;
}

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int parse_speed(const struct cli_args *a, double *speed)
{
    const char *text = cli_text(a, "speed", "1");
    char *end;
    *speed = 0;
    if (!strcmp(text, "max"))
        return CLI_OK;
    *speed = strtod(text, &end);
    if (*end || end == text || !(*speed > 0 && *speed <= 1e9))
        return cli_fail(a, CLI_USAGE, "--speed: '%s', expected max, or a number above 0", text);
    return CLI_OK;
}

/* A file that is no good is told at the start; later it only leaves users' lists as they were. */
static int read_toplists(const struct cli_args *a, struct toplist_keys *keys)
{
    const struct settings *s = &a->settings;
    struct error err;
    struct market_list *list = NULL;
    int n = 0;
    if (s->toplists_enabled && *s->toplists_file && !cli_has(a, "role")) {
        if (!(list = calloc(MARKETTAB_LISTS, sizeof *list)))
            abort();
        n = toplist_file_read(s->toplists_file, list, keys, &err);
    }
    free(list);
    return n < 0 ? cli_fail(a, -1, "%s", err.text) : 0;
}

static int options_from(const struct cli_args *a, struct settings *settings, struct run_options *o,
                        const char **sources, struct toplist_keys *keys)
{
    unsigned n = 0;
    while (n < 64 && (sources[n] = cli_nth(a, "source", (int)n)))
        n++;
    if (n == 0)
        return cli_fail(a, CLI_USAGE,
                        "no --source; expected kind:argument, such as --source sim: or --source csv:FILE");
    if (!cli_text(a, "dir", NULL))
        return cli_fail(a, CLI_USAGE,
                        "no --dir; expected the directory of the instance (it is made if missing)");
    if (cli_has(a, "attributes") && n == 1 && !strncmp(sources[0], "capture:", 8))
        return cli_fail(
            a, CLI_USAGE,
            "--attributes: a capture brings its own to an instance; replay and backtest take others");
    *settings = a->settings;
    if (read_toplists(a, keys) < 0)
        return CLI_USAGE;
    settings->run_scanners = cli_number(a, "scanners", settings->run_scanners);
    *o = (struct run_options){.dir = cli_text(a, "dir", NULL),
                              .sources = sources,
                              .n_sources = n,
                              .rules = cli_text(a, "rules", NULL),
                              .history = cli_text(a, "history", NULL),
                              .attributes = cli_text(a, "attributes", NULL),
                              .logs = event_log_paths(a),
                              .bars = cli_text(a, "bars", NULL),
                              .override = cli_has(a, "override"),
                              .show = cli_has(a, "show"),
                              .drain_timeout_ns = cli_number(a, "drain-timeout", 60) * SECOND_NS,
                              .settings = settings};
    return parse_speed(a, &o->speed);
}

/* This program again, with the same arguments and a role. */
static void exec_role(const char *role)
{
    static char line[1 << 16];
    char *argv[1024];
    int n = 0;
    FILE *f = fopen("/proc/self/cmdline", "re");
    size_t len = f ? fread(line, 1, sizeof line - 1, f) : 0;
    for (size_t at = 0; at < len && n < 1020; at += strlen(line + at) + 1)
        argv[n++] = line + at;
    argv[n++] = "--role";
    argv[n++] = (char *)role;
    argv[n] = NULL;
    execv("/proc/self/exe", argv);
    fprintf(stderr, "ringtape run: cannot start %s: %s\n", role, strerror(errno));
    _exit(1);
}

static int start(struct supervisor *s, struct child *c)
{
    char role[32];
    if (c->kind == ROLE_SCANNER)
        snprintf(role, sizeof role, "scanner:%u", c->index);
    else
        snprintf(role, sizeof role, "%s", role_name(c->kind));
    fflush(NULL);
    c->pid = fork();
    if (c->pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        exec_role(role);
    }
    c->started_ns = mono_ns();
    c->start_at_ns = 0;
    c->starts++;
    if (c->pid < 0) {
        c->pid = 0;
        return cli_fail(s->args, CLI_FAILED, "cannot start %s: %s", role, strerror(errno));
    }
    return 0;
}

static void stop_all(struct supervisor *s, int why)
{
    if (s->in.control->stop == 0)
        atomics_store_release_u64(&s->in.control->stop, (uint64_t)why);
}

/* A role ended: by itself, as planned, or not. */
static void ended(struct supervisor *s, struct child *c, int status)
{
    c->pid = 0;
    c->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    /* ingest with a damaged source, a publisher with a slow sink: ends like any other */
    bool clean = WIFEXITED(status) && (c->code == 0 || c->code == 3 || c->code == 4);
    if (clean)
        return;
    const char *how = WIFEXITED(status) ? "failed" : "was killed";
    c->failures = mono_ns() - c->started_ns < SECOND_NS ? c->failures + 1 : 0;
    if (s->broken)
        return; /* we end it ourselves */
    /* what was never given a message needs no journal */
    bool known = c->kind == ROLE_PUBLISHER || c->kind == ROLE_MARKET ||
                 atomics_load_acquire_u64(&s->in.control->journaled) || s->in.control->first_stamp_ns == 0;
    if (c->code == ROLE_DISK_REFUSES && known && c->starts > 1 && !s->in.control->stop) {
        c->failures = 0; /* it had its disk before, and will have it again */
        c->start_at_ns = mono_ns() + SECOND_NS;
        return;
    }
    if (c->code == ROLE_DISK_REFUSES)
        c->code = CLI_USAGE;
    if (known && c->code != CLI_USAGE && c->failures < RESTARTS_MAX) {
        instance_log(&s->in, SET_LOG_LEVEL_WARN, "%s %u %s (%d); starting it again: nothing is lost",
                     role_name(c->kind), c->index, how, c->code);
        counter_add(s->in.counters, SUPERVISOR_RESTARTS, 1);
        if (c->failures) {
            struct timespec wait = {0, 100000000};
            nanosleep(&wait, NULL);
        }
        start(s, c);
        return;
    }
    instance_log(&s->in, SET_LOG_LEVEL_ERROR,
                 "%s %u %s (%d), and %s: the instance stops. What was stamped until then is in %s/capture",
                 role_name(c->kind), c->index, how, c->code,
                 known ? "starting it again does not help" : "without a journal it cannot be brought back",
                 s->options.dir);
    s->broken = true;
    stop_all(s, STOP_INTERRUPTED);
}

static bool any_running(const struct supervisor *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->child[i].pid || s->child[i].start_at_ns)
            return true;
    return false;
}

/* Starts those anew whose disk may be there again. */
static void start_waiting(struct supervisor *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct child *c = &s->child[i];
        if (!c->start_at_ns || (mono_ns() < c->start_at_ns && !s->in.control->stop))
            continue;
        c->start_at_ns = 0;
        if (s->in.control->stop)
            c->code = CLI_FAILED;
        else
            start(s, c);
    }
}

/* SIGHUP asks to read the settings again, which is the publisher's to do, and the rules, which is ingest's;
 * but from a terminal that was closed it means the end. */
static void pass_hangup(struct supervisor *s, bool had_terminal)
{
    hangup = 0;
    if (had_terminal && !isatty(STDERR_FILENO))
        stop_all(s, SIGHUP);
    for (unsigned i = 0; i < s->n; i++)
        if (s->child[i].kind != ROLE_SCANNER && s->child[i].pid)
            kill(s->child[i].pid, SIGHUP);
}

static void watch(struct supervisor *s)
{
    bool had_terminal = isatty(STDERR_FILENO);
    int64_t broken_since = 0;
    bool told = false;
    while (any_running(s)) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (unsigned i = 0; pid > 0 && i < s->n; i++)
            if (s->child[i].pid == pid)
                ended(s, &s->child[i], status);
        if (stop_signal)
            stop_all(s, stop_signal);
        start_waiting(s);
        if (hangup)
            pass_hangup(s, had_terminal);
        if (s->in.control->ingest_ended && !s->in.control->until_end && !s->in.control->stop && !told) {
            told = true;
            instance_log(&s->in, SET_LOG_LEVEL_INFO, "the source has ended; serving until ctrl-C");
        }
        heartbeat_beat(workspace_heartbeats(s->in.ws), s->in.heartbeat, mono_ns());
        if (s->broken) { /* the others cannot end as planned: the one that died owes them its END */
            broken_since = broken_since ? broken_since : mono_ns();
            if (mono_ns() - broken_since > 2 * SECOND_NS)
                for (unsigned i = 0; i < s->n; i++)
                    if (s->child[i].pid)
                        kill(s->child[i].pid, SIGKILL);
        }
        if (pid <= 0) {
            struct timespec wait = {0, 20000000};
            nanosleep(&wait, NULL); /* SIGCHLD and the terminal's signals cut it short */
        }
    }
}

/* What an instance that died whole left in its staging goes to its journal, before the workspace is made
 * anew. */
static void save_staging(struct supervisor *s)
{
    char path[4096];
    struct error err;
    size_t bytes;
    struct workspace *old = workspace_join(s->options.dir, WORKSPACE_WRITE, instance_schema_hash(), &err);
    if (!old)
        return; /* there is none, or of another build: the journal's files are what there is */
    if (!workspace_alive(old)) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        struct journal_options o = {.now_ns = now.tv_sec * SECOND_NS + now.tv_nsec,
                                    .sync = (enum journal_sync)s->settings.journal_sync,
                                    .blocking = true};
        o.staging = workspace_object(old, "staging", 0, &bytes);
        o.staging_bytes = bytes;
        snprintf(path, sizeof path, "%s/capture", s->options.dir);
        struct journal *j = journal_open(path, &o, &err);
        struct error found;
        if (j && journal_found(j, &found))
            fprintf(stderr, "ringtape run: %s\n", found.text);
        if (!j || journal_close(j, &err) < 0)
            cli_fail(s->args, CLI_FAILED, "%s",
                     err.text); /* what the disk lacks is made again from the sources */
    }
    workspace_leave(old);
}

/* Checkpoints stand on the outbox: their events are in it. Where that was taken away, or has lost its end,
 * they do not count, and all events are made again. */
static int check_checkpoints(struct supervisor *s)
{
    char path[4096];
    struct error err;
    snprintf(path, sizeof path, "%s/checkpoints", s->options.dir);
    if (access(path, F_OK))
        return CLI_OK;
    snprintf(path, sizeof path, "%s/outbox", s->options.dir);
    struct outbox *o = outbox_open(path, (uint64_t)s->settings.outbox_segment_mb << 20, NULL, &err);
    if (!o)
        return cli_fail(s->args, CLI_FAILED, "%s", err.text);
    bool whole = !outbox_lost(o) && !outbox_is_new(o);
    outbox_close(o);
    snprintf(path, sizeof path, "%s/checkpoints", s->options.dir);
    return whole || checkpoint_cut(path, 0, &err) == 0 ? CLI_OK
                                                       : cli_fail(s->args, CLI_FAILED, "%s", err.text);
}

/* What there is for a market role to do. A capture has settings of its own. */
static uint32_t market_for(const struct supervisor *s)
{
    const struct settings *set = &s->settings;
    const struct run_options *o = &s->options;
    bool capture = o->n_sources == 1 && !strncmp(o->sources[0], "capture:", 8);
    bool compares = capture || (set->anomalies_enabled && set->anomalies_sector > 0);
    return (set->toplists_enabled ? MARKET_TOPLISTS : 0u) | (compares ? MARKET_PEERS : 0u);
}

static int create(struct supervisor *s)
{
    const struct settings *set = &s->settings;
    struct topology *t = calloc(1, sizeof *t);
    struct topology_options o = {.scanners = (uint32_t)set->run_scanners,
                                 .tick_ring_slots = (uint32_t)set->rings_tick_slots,
                                 .event_ring_slots = (uint32_t)set->rings_event_slots,
                                 .symbols_max = (uint32_t)set->limits_symbols,
                                 .rules_max = (uint32_t)set->limits_rules,
                                 .rules_bytes = (uint64_t)set->limits_rules * 1024 + (1 << 20),
                                 .staging_bytes = (uint64_t)set->journal_staging_mb << 20,
                                 .buckets = (uint32_t)set->rings_bucket_table,
                                 .market = market_for(s),
                                 .scans = set->scans_enabled,
                                 .toplist_keys = s->toplist_keys.n};
    static const enum page_policy pages[] = {PAGES_AUTO, PAGES_HUGE, PAGES_NORMAL};
    struct error warning = {""}, err;
    if (!t)
        abort();
    save_staging(s);
    if (topology_build(t, &o, &err) < 0 ||
        !(s->in.ws = workspace_create(s->options.dir, t, instance_schema_hash(), pages[set->shm_pages],
                                      &warning, &err))) {
        free(t);
        return cli_fail(s->args, CLI_USAGE, "%s", err.text);
    }
    free(t);
    s->in.options = &s->options;
    s->in.settings = &s->settings;
    s->in.kind = ROLE_SUPERVISOR;
    s->in.control = workspace_object(s->in.ws, "control", 0, NULL);
    s->in.counters = workspace_counters(s->in.ws, ROLE_SUPERVISOR, 0);
    s->in.heartbeat = (uint32_t)topology_role(workspace_topology(s->in.ws), ROLE_SUPERVISOR, 0);
    s->in.control->until_end = cli_has(s->args, "until-end");
    struct markettab *shown = workspace_markettab(s->in.ws);
    if (shown)
        markettab_set_keys(shown, &s->toplist_keys);
    if (warning.text[0])
        instance_log(&s->in, SET_LOG_LEVEL_WARN, "%s", warning.text);
    return CLI_OK;
}

static int result(struct supervisor *s)
{
    int code = s->broken ? CLI_FAILED : CLI_OK;
    for (unsigned i = 0; i < s->n && !code; i++)
        code = s->child[i].code;
    return code;
}

/* From the first stamp to then; to now if it did not come to that. */
static double seconds_of(const struct supervisor *s, int64_t then_ns)
{
    const struct control *c = s->in.control;
    return c->first_stamp_ns ? (double)((then_ns ? then_ns : mono_ns()) - c->first_stamp_ns) / 1e9 : 0;
}

static int supervise(struct supervisor *s)
{
    struct error err;
    struct sigaction stop = {.sa_handler = on_stop}, child = {.sa_handler = on_child},
                     hup = {.sa_handler = on_hangup};
    int64_t t0 = mono_ns();
    int code = check_checkpoints(s);
    if (!code)
        code = create(s);
    if (code)
        return code;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &hup, NULL);
    sigaction(SIGCHLD, &child, NULL);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    heartbeat_start(workspace_heartbeats(s->in.ws), s->in.heartbeat, "waits", -1,
                    now.tv_sec * SECOND_NS + now.tv_nsec, t0);
    heartbeat_set_state(workspace_heartbeats(s->in.ws), s->in.heartbeat, HEARTBEAT_RUNNING);
    s->child[s->n++] = (struct child){.kind = ROLE_PUBLISHER};
    for (uint32_t k = 0; k < s->settings.run_scanners; k++)
        s->child[s->n++] = (struct child){.kind = ROLE_SCANNER, .index = k};
    if (market_for(s))
        s->child[s->n++] = (struct child){.kind = ROLE_MARKET};
    s->child[s->n++] = (struct child){.kind = ROLE_INGEST};
    for (unsigned i = 0; i < s->n; i++)
        if (start(s, &s->child[i]) != 0) {
            s->broken = true;
            stop_all(s, SIGTERM);
        }
    if (s->settings.http_port && !(s->http = status_http_start(&s->in, &err)))
        instance_log(&s->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
    watch(s);
    status_http_stop(s->http);
    code = result(s);
    const struct counters *p = workspace_counters(s->in.ws, ROLE_PUBLISHER, 0);
    if (cli_has(s->args, "summary") &&
        summary_write(cli_text(s->args, "summary", NULL), s->in.control->count, &s->in.control->stats,
                      counter_get(p, PUBLISHER_BARS), counter_get(p, PUBLISHER_ALERTS),
                      seconds_of(s, s->in.control->end_ns), seconds_of(s, s->in.control->ingest_end_ns),
                      &err) < 0)
        code = cli_fail(s->args, CLI_FAILED, "%s", err.text);
    workspace_remove(s->in.ws);
    return code;
}

static int run_role(const struct cli_args *a, const char *role, const struct run_options *o)
{
    unsigned k;
    char rest;
    if (!strcmp(role, "ingest"))
        return role_main(&ingest_role, o, 0);
    if (!strcmp(role, "publisher"))
        return role_main(&publisher_role, o, 0);
    if (!strcmp(role, "market"))
        return role_main(&market_role, o, 0);
    if (sscanf(role, "scanner:%u%c", &k, &rest) == 1 && k < ROUTE_SCANNERS_MAX)
        return role_main(&scanner_role, o, k);
    return cli_fail(a, CLI_USAGE, "--role: '%s', expected ingest, scanner:K, market or publisher", role);
}

int cmd_run(const struct cli_args *args)
{
    static struct supervisor s;
    static const char *sources[65];
    s.args = args;
    int code = options_from(args, &s.settings, &s.options, sources, &s.toplist_keys);
    if (code)
        return code;
    const char *role = cli_text(args, "role", NULL);
    return role ? run_role(args, role, &s.options) : supervise(&s);
}
