/* ringtape rules check FILE [--against SOURCE]: are these rules good, and how often would they fire?
 * ringtape rules reload --dir DIR [--rules FILE]: a running instance takes them, and what its file of
 * attributes says now. */
#include "workers/cmd_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "core/bucket.h"
#include "workers/engine_memory.h"
#include "workers/instance.h"
#include "workers/stream.h"

const struct cli_option cmd_rules_options[] = {
    {.name = "against",
     .arg = "SOURCE",
     .help = "replay this, and warn of rules that fire too often or never",
     .kind = CLI_TEXT,
     .many = true},
    {.name = "attributes",
     .arg = "FILE",
     .help = "the symbols' attributes in that replay (symbols.attributes)",
     .kind = CLI_TEXT},
    {.name = "max-per-hour",
     .arg = "N",
     .help = "what is too often: alerts an hour (60)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = 1000000},
    {.name = "json", .help = "print it as JSON", .kind = CLI_FLAG},
    {.name = "dir", .arg = "DIR", .help = "reload: the running instance's directory", .kind = CLI_TEXT},
    {.name = "rules",
     .arg = "FILE",
     .help = "reload: the rules (JSON); the instance's own file if not given",
     .kind = CLI_TEXT},
    {0},
};

/* What the replay saw of the rules: alerts by slot, and the hours between first and last tick. */
struct trial {
    struct engine_memory memory;
    double hours;
    uint64_t late_alerts;
};

static void log_line(void *ctx, const char *line)
{
    const struct cli_args *args = ctx;
    fprintf(args->err, "%s\n", line);
}

static int replay(const struct cli_args *a, const char *rules, struct trial *t)
{
    static struct msg batch[STREAM_ROOM];
    const char *sources[64];
    struct error err;
    unsigned n_sources = 0;
    while (n_sources < 64 && (sources[n_sources] = cli_nth(a, "against", (int)n_sources)))
        n_sources++;
    struct stream_options o = {.sources = sources,
                               .n_sources = n_sources,
                               .rules = rules,
                               .attributes = cli_text(a, "attributes", NULL),
                               .first_seq = 1,
                               .settings = &a->settings,
                               .log = log_line,
                               .log_ctx = (void *)a};
    struct stream *s = stream_open(&o, &err);
    if (!s || engine_memory_open(&t->memory, &a->settings, NULL, &err) < 0) {
        stream_close(s);
        return cli_fail(a, CLI_USAGE, "%s", err.text);
    }
    int64_t first = INT64_MAX;
    for (int n; (n = stream_read(s, batch, STREAM_ROOM)) > 0;) {
        for (int at = 0; first == INT64_MAX && at < n; at += (int)msg_slot_count(&batch[at]))
            if (batch[at].type == MSG_TRADE || batch[at].type == MSG_QUOTE)
                first = batch[at].event_ns;
        for (int at = 0; at < n; t->memory.out.used = 0)
            at += (int)engine_apply(t->memory.engine, batch + at, (size_t)(n - at), &t->memory.out);
    }
    int64_t last = stream_time(s);
    t->hours = last > first ? (double)(last - first) / (60.0 * MINUTE_NS) : 0;
    int code = stream_failure(s) ? cli_fail(a, CLI_DAMAGED, "%s", stream_failure(s)) : CLI_OK;
    stream_close(s);
    return code;
}

static const char *verdict(const struct rule *r, const struct rule_stats *st, double per_hour, double max)
{
    if (!r->enabled)
        return "disabled";
    if (per_hour > max)
        return "fires too often";
    if (st->fired == 0)
        return st->truths ? "held back" : "never true";
    return "";
}

static json_t *rule_json(const struct rule *r, const struct rule_stats *st, double per_hour,
                         const char *warning)
{
    json_t *o =
        json_pack("{s:s,s:s,s:i,s:s,s:f,s:b,s:s#}", "id", r->id, "name", r->name, "version", (int)r->version,
                  "trigger", rule_trigger_names[r->trigger], "cooldown", (double)r->cooldown_ns / 1e9,
                  "enabled", r->enabled, "expr", r->expr, (int)r->expr_len);
    if (st)
        json_object_update_new(
            o, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:s}", "evaluated", (json_int_t)st->evaluated,
                         "true", (json_int_t)st->truths, "held_warmup", (json_int_t)st->held_warmup,
                         "held_cooldown", (json_int_t)st->held_cooldown, "held_session",
                         (json_int_t)st->held_session, "held_halt", (json_int_t)st->held_halt, "fired",
                         (json_int_t)st->fired, "alerts_per_hour", per_hour, "warning", warning));
    return o;
}

static int report(const struct cli_args *a, const struct rules_file *f, const struct trial *t)
{
    double max = (double)cli_number(a, "max-per-hour", 60);
    json_t *list = cli_has(a, "json") ? json_array() : NULL;
    if (!list)
        fprintf(a->out, t ? "%-20s %-12s %10s %12s %s\n" : "%-20s %-12s %s\n", "RULE", "FIRES",
                t ? "ALERTS" : "CONDITION", t ? "PER HOUR" : "", t ? "WARNING" : "");
    for (uint32_t i = 0; i < f->n; i++) {
        const struct rule *r = &f->rule[i];
        const struct rule_stats *st = t ? &t->memory.stats[i] : NULL;
        double per_hour = t && t->hours > 0 ? (double)st->fired / t->hours : 0;
        const char *warning = st ? verdict(r, st, per_hour, max) : "";
        if (list)
            json_array_append_new(list, rule_json(r, st, per_hour, warning));
        else if (st)
            fprintf(a->out, "%-20s %-12s %10" PRIu64 " %12.1f %s\n", r->id, rule_trigger_names[r->trigger],
                    st->fired, per_hour, warning);
        else
            fprintf(a->out, "%-20s %-12s %.*s\n", r->id, rule_trigger_names[r->trigger], (int)r->expr_len,
                    r->expr);
    }
    if (list) {
        json_dumpf(list, a->out, JSON_INDENT(2));
        fputc('\n', a->out);
        json_decref(list);
    } else {
        fprintf(a->out, "%u rules, all good\n", f->n);
    }
    return CLI_OK;
}

/* ---- reload */

enum { RELOAD_WAIT_MS = 30000 };

/* Asks ingest, and waits for its answer. */
static int ask_ingest(const struct cli_args *a, struct control *c, const char *file)
{
    uint64_t asked = c->rules_asked + 1;
    snprintf(c->rules_file, sizeof c->rules_file, "%s", file);
    atomics_store_release_u64(&c->rules_asked, asked);
    for (int ms = 0; ms < RELOAD_WAIT_MS; ms += 10) {
        struct timespec wait = {0, 10000000};
        if (atomics_load_acquire_u64(&c->rules_done) >= asked) {
            if (c->rules_refused)
                return cli_fail(a, CLI_USAGE, "%.*s; nothing has changed", (int)sizeof c->rules_said,
                                c->rules_said);
            fprintf(a->out, "%.*s\n", (int)sizeof c->rules_said, c->rules_said);
            return CLI_OK;
        }
        nanosleep(&wait, NULL);
    }
    return cli_fail(a, CLI_FAILED,
                    "ingest has not answered in 30 s: see the instance's log and `ringtape top`");
}

static int reload(const struct cli_args *a)
{
    const char *dir = cli_text(a, "dir", NULL), *rules = cli_text(a, "rules", NULL);
    char file[PATH_MAX] = "", lock[PATH_MAX];
    struct error err;
    if (!dir)
        return cli_fail(a, CLI_USAGE, "no --dir; expected the directory of a running instance");
    if (rules && !realpath(rules, file))
        return cli_fail(a, CLI_USAGE, "%s: %s", rules, strerror(errno));
    if (strlen(file) >= sizeof((struct control *)0)->rules_file)
        return cli_fail(a, CLI_USAGE, "%s: a name of %zu bytes, expected at most %zu", file, strlen(file),
                        sizeof((struct control *)0)->rules_file - 1);
    struct workspace *ws = workspace_join(dir, WORKSPACE_WRITE, instance_schema_hash(), &err);
    if (!ws)
        return cli_fail(a, CLI_USAGE, "%s", err.text);
    snprintf(lock, sizeof lock, "%s/reload.lock", dir);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644), code;
    if (!workspace_alive(ws))
        code = cli_fail(a, CLI_USAGE, "%s: the instance is not running", dir);
    else if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        code = cli_fail(a, CLI_FAILED, "%s: %s: another `rules reload` is under way?", lock, strerror(errno));
    else
        code = ask_ingest(a, workspace_object(ws, "control", 0, NULL), file);
    if (fd >= 0)
        close(fd);
    workspace_leave(ws);
    return code;
}

int cmd_rules(const struct cli_args *args)
{
    struct error err;
    struct trial t = {0};
    if (!strcmp(args->positional[0], "reload") && args->positional_count == 1)
        return reload(args);
    if (strcmp(args->positional[0], "check") || args->positional_count != 2)
        return cli_fail(args, CLI_USAGE, "'%s', expected: rules check FILE, or rules reload --dir DIR",
                        args->positional[0]);
    struct rules_file *f =
        rules_file_read(args->positional[1], (double)args->settings.rules_cooldown_default, &err);
    if (!f)
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    bool against = cli_has(args, "against");
    int code = against ? replay(args, args->positional[1], &t) : CLI_OK;
    if (code == CLI_OK || code == CLI_DAMAGED) {
        int shown = report(args, f, against ? &t : NULL);
        code = code ? code : shown;
    }
    engine_memory_close(&t.memory);
    rules_file_free(f);
    return code;
}
