/* ringtape replay: the same stream and engine as `run`, in one process, at full speed. */
#include "workers/cmd_replay.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/parts.h"
#include "net/barlog.h"
#include "workers/engine_memory.h"
#include "workers/rule_names.h"
#include "workers/stream.h"
#include "workers/summary.h"

const struct cli_option cmd_replay_options[] = {
    {.name = "rules",
     .arg = "FILE",
     .help = "the rules (JSON); a capture has its own otherwise",
     .kind = CLI_TEXT},
    {.name = "alerts",
     .arg = "FILE",
     .help = "write alerts here, one JSON object a line (- is the screen)",
     .kind = CLI_TEXT},
    {.name = "bars", .arg = "FILE", .help = "write the bars here at the end (CSV)", .kind = CLI_TEXT},
    {.name = "summary",
     .arg = "FILE",
     .help = "write what was read, refused, made here (JSON)",
     .kind = CLI_TEXT},
    {.name = "history",
     .arg = "FILE",
     .help = "daily bars from before (date,symbol,open,high,low,close,volume)",
     .kind = CLI_TEXT},
    {.name = "from",
     .arg = "TIME",
     .help = "leave out alerts and bars before (RFC 3339 or ns)",
     .kind = CLI_TEXT},
    {.name = "to", .arg = "TIME", .help = "leave out alerts and bars from here on", .kind = CLI_TEXT},
    {.name = "symbols", .arg = "A,B", .help = "only alerts and bars of these", .kind = CLI_TEXT},
    {.name = "messages",
     .arg = "FILE",
     .help = "write the messages as they enter the engine, raw 64-byte slots",
     .kind = CLI_TEXT},
    {.name = "override", .help = "use the command line's settings, not the capture's", .kind = CLI_FLAG},
    {0},
};

struct replay {
    const struct cli_args *args;
    struct stream *stream;
    struct engine_memory memory;
    struct rule_names *names;
    struct parts parts;
    struct barlog *bars;
    struct alertlog *alerts;
    FILE *messages;
    const char *symbols;
    int64_t from_ns, to_ns;
    uint64_t n_bars, n_alerts, refused;
    struct error err;
};

static void log_line(void *ctx, const char *line)
{
    const struct cli_args *args = ctx;
    fprintf(args->err, "%s\n", line);
}

/* Is the name in the list (A,B; spaces around names do not count)? NULL lists all. */
static bool wanted_symbol(const char *list, const char *name, size_t len)
{
    if (!list)
        return true;
    for (const char *p = list; *p; p += strspn(p, ", ")) {
        size_t n = strcspn(p, ", ");
        if (n == len && !memcmp(p, name, n))
            return true;
        p += n;
    }
    return false;
}

static int event(struct replay *r, const struct msg *m)
{
    char json[EVENT_JSON_MAX];
    if (m->type == MSG_END || m->event_ns < r->from_ns || m->event_ns >= r->to_ns)
        return 0;
    const struct source_symbol *s = stream_symbol(r->stream, m->symbol);
    struct event_symbol symbol = {s->name, s->name_len, s->size_scale};
    if (!wanted_symbol(r->symbols, s->name, s->name_len))
        return 0;
    if (m->type == MSG_BAR) {
        r->n_bars += msg_bar_get(m).revision == 0;
        if (r->bars)
            barlog_add(r->bars, m, &symbol);
        return 0;
    }
    r->n_alerts++;
    if (!r->alerts)
        return 0;
    const struct event_rule *rule = rule_names_get(r->names, ((const struct msg_alert *)m->first)->rule);
    int len = rule ? event_json_alert(m, rule, &symbol, json, sizeof json) : EVENT_JSON_MISMATCH;
    if (len < 0)
        return error_set(&r->err, "an alert of rule slot %u cannot be written",
                         ((const struct msg_alert *)m->first)->rule);
    return alertlog_add(r->alerts, json, (size_t)len, &r->err);
}

/* Rules go by: their names are needed for the alerts. */
static void see_rules(struct replay *r, const struct msg *m, int n)
{
    for (int at = 0; at < n; at += (int)msg_slot_count(&m[at]))
        if (m[at].type == MSG_RULE && parts_add(&r->parts, &m[at]) > 0)
            rule_names_add(r->names, m[at].part.id, r->parts.bytes, r->parts.len);
}

static int apply(struct replay *r, const struct msg *m, int n)
{
    struct engine_out *out = &r->memory.out;
    for (int at = 0; at < n;) {
        at += (int)engine_apply(r->memory.engine, m + at, (size_t)(n - at), out);
        for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k]))
            if (event(r, &out->slot[k]) < 0)
                return -1;
        out->used = 0;
        const struct engine_counters *c = engine_counters(r->memory.engine);
        uint64_t refused = c->rules_refused + c->rules_full + c->metrics_full + c->settings_refused;
        if (refused != r->refused)
            fprintf(r->args->err, "ringtape replay: refused: %s\n", engine_refusal(r->memory.engine));
        r->refused = refused;
    }
    return 0;
}

static int run(struct replay *r)
{
    static struct msg batch[STREAM_ROOM];
    const struct cli_args *a = r->args;
    struct timespec t0, t1;
    uint64_t rules = 0;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (int n; (n = stream_read(r->stream, batch, STREAM_ROOM)) > 0;) {
        if (stream_counts(r->stream)[MSG_RULE] != rules)
            see_rules(r, batch, n);
        rules = stream_counts(r->stream)[MSG_RULE];
        if (r->messages && fwrite(batch, sizeof *batch, (size_t)n, r->messages) != (size_t)n)
            return cli_fail(a, CLI_FAILED, "%s: cannot be written", cli_text(a, "messages", NULL));
        if (apply(r, batch, n) < 0)
            return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    if (r->alerts && alertlog_close(r->alerts, &r->err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    r->alerts = NULL;
    if (r->bars && barlog_write(r->bars, cli_text(a, "bars", NULL), &r->err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    struct source_stats stats;
    stream_stats(r->stream, &stats);
    if (cli_has(a, "summary") && summary_write(cli_text(a, "summary", NULL), stream_counts(r->stream), &stats,
                                               r->n_bars, r->n_alerts, seconds, -1, &r->err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    if (stream_failure(r->stream))
        return cli_fail(a, CLI_DAMAGED, "%s", stream_failure(r->stream));
    return CLI_OK;
}

static int prepare(struct replay *r)
{
    const struct cli_args *a = r->args;
    struct stream_options o = {.sources = a->positional,
                               .n_sources = (unsigned)a->positional_count,
                               .rules = cli_text(a, "rules", NULL),
                               .history = cli_text(a, "history", NULL),
                               .override = cli_has(a, "override"),
                               .first_seq = 1,
                               .settings = &a->settings,
                               .log = log_line,
                               .log_ctx = (void *)a};
    r->symbols = cli_text(a, "symbols", NULL);
    if (cli_time(a, "from", &r->from_ns) || cli_time(a, "to", &r->to_ns))
        return CLI_USAGE;
    if (!(r->stream = stream_open(&o, &r->err)))
        return cli_fail(a, CLI_USAGE, "%s", r->err.text);
    if (engine_memory_open(&r->memory, &a->settings, NULL, &r->err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    r->names = rule_names_new((uint32_t)a->settings.limits_rules);
    r->bars = cli_has(a, "bars") ? barlog_new() : NULL;
    if (cli_has(a, "messages") && !(r->messages = fopen(cli_text(a, "messages", NULL), "wbe")))
        return cli_fail(a, CLI_FAILED, "%s: cannot be written", cli_text(a, "messages", NULL));
    if (cli_has(a, "alerts") && !(r->alerts = alertlog_open(cli_text(a, "alerts", NULL), &r->err)))
        return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    return CLI_OK;
}

int cmd_replay(const struct cli_args *args)
{
    struct replay *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    r->args = args;
    r->from_ns = INT64_MIN;
    r->to_ns = INT64_MAX;
    int code = prepare(r);
    if (code == CLI_OK)
        code = run(r);
    if (r->alerts && alertlog_close(r->alerts, NULL) < 0)
        code = code ? code : CLI_FAILED;
    if (r->messages && fclose(r->messages) != 0)
        code = code ? code
                    : cli_fail(args, CLI_FAILED, "%s: cannot be written", cli_text(args, "messages", NULL));
    if (r->bars)
        barlog_free(r->bars);
    rule_names_free(r->names);
    engine_memory_close(&r->memory);
    stream_close(r->stream);
    free(r);
    return code;
}
