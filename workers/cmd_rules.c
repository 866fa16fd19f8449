/* ringtape rules check FILE [--against SOURCE]: are these rules good, and how often would they fire? */
#include "workers/cmd_rules.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/bucket.h"
#include "workers/engine_memory.h"
#include "workers/stream.h"

const struct cli_option cmd_rules_options[] = {
    {.name = "against",
     .arg = "SOURCE",
     .help = "replay this, and warn of rules that fire too often or never",
     .kind = CLI_TEXT,
     .many = true},
    {.name = "max-per-hour",
     .arg = "N",
     .help = "what is too often: alerts an hour (60)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = 1000000},
    {.name = "json", .help = "print it as JSON", .kind = CLI_FLAG},
    {0},
};

/* What the replay saw of the rules: alerts by slot, and the hours between first and last tick. */
struct trial {
    struct engine_memory memory;
    double hours;
    uint64_t late_alerts;
};

static int replay(const struct cli_args *a, const char *rules, struct trial *t)
{
    static struct msg batch[STREAM_ROOM];
    const char *sources[64];
    struct error err;
    unsigned n_sources = 0;
    while (n_sources < 64 && (sources[n_sources] = cli_nth(a, "against", (int)n_sources)))
        n_sources++;
    struct stream_options o = {
        .sources = sources, .n_sources = n_sources, .rules = rules, .first_seq = 1, .settings = &a->settings};
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
        json_object_update_new(o, json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:s}", "evaluated",
                                            (json_int_t)st->evaluated, "true", (json_int_t)st->truths,
                                            "held_warmup", (json_int_t)st->held_warmup, "held_cooldown",
                                            (json_int_t)st->held_cooldown, "fired", (json_int_t)st->fired,
                                            "alerts_per_hour", per_hour, "warning", warning));
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

int cmd_rules(const struct cli_args *args)
{
    struct error err;
    struct trial t = {0};
    if (strcmp(args->positional[0], "check"))
        return cli_fail(args, CLI_USAGE, "'%s', expected: rules check FILE", args->positional[0]);
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
