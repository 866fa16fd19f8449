#include "workers/replayer.h"

#include <string.h>

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

bool replayer_wants_symbol(const struct replayer *r, const struct source_symbol *s)
{
    return wanted_symbol(r->symbols, s->name, s->name_len);
}

bool replayer_wants(const struct replayer *r, const struct msg *event, struct event_symbol *symbol)
{
    if (event->type == MSG_END || event->event_ns < r->from_ns || event->event_ns >= r->to_ns)
        return false;
    const struct source_symbol *s = stream_symbol(r->stream, event->symbol);
    *symbol = (struct event_symbol){s->name, s->name_len, s->size_scale};
    return replayer_wants_symbol(r, s);
}

int replayer_alert_json(struct replayer *r, const struct msg *alert, const struct event_symbol *symbol,
                        char out[EVENT_JSON_MAX])
{
    uint32_t slot = ((const struct msg_alert *)alert->first)->rule;
    const struct event_rule *rule = rule_names_get(r->names, slot);
    int len = rule ? event_json_alert(alert, rule, symbol, out, EVENT_JSON_MAX) : EVENT_JSON_MISMATCH;
    return len < 0 ? error_set(&r->err, "an alert of rule slot %u cannot be written", slot) : len;
}

/* Rules go by: their names are needed for the alerts. */
static void see_rules(struct replayer *r, const struct msg *m, int n)
{
    for (int at = 0; at < n; at += (int)msg_slot_count(&m[at]))
        if (m[at].type == MSG_RULE && parts_add(&r->parts, &m[at]) > 0)
            rule_names_add(r->names, m[at].part.id, r->parts.bytes, r->parts.len);
}

static void say_refusals(struct replayer *r)
{
    const struct engine_counters *c = engine_counters(r->memory.engine);
    uint64_t refused = c->rules_refused + c->rules_full + c->metrics_full + c->settings_refused;
    if (refused != r->refused)
        fprintf(r->args->err, "ringtape %s: refused: %s\n", r->args->command->name,
                engine_refusal(r->memory.engine));
    r->refused = refused;
}

static int apply(struct replayer *r, const struct msg *m, int n)
{
    struct engine_out *out = &r->memory.out;
    for (int at = 0; at < n && !r->stop;) {
        int upto = r->before ? (int)msg_slot_count(&m[at]) : n - at;
        if (r->before && r->before(r->ctx, &m[at]) < 0)
            return -1;
        if (r->stop)
            return 0;
        if (r->peers)
            upto = (int)msg_upto_clock(m + at, (uint32_t)upto);
        int done = (int)engine_apply(r->memory.engine, m + at, (size_t)upto, out);
        if (r->applied && r->applied(r->ctx, m + at, done, out) < 0)
            return -1;
        if (r->peers &&
            peer_replay_applied(r->peers, r->memory.engine, m + at, (uint32_t)done, r->compared, r->ctx) < 0)
            return -1;
        at += done;
        out->used = 0;
        say_refusals(r);
    }
    return 0;
}

int replayer_run(struct replayer *r)
{
    static struct msg batch[STREAM_ROOM];
    for (int n; !r->stop && (n = stream_read(r->stream, batch, STREAM_ROOM)) > 0;) {
        uint64_t rules = stream_counts(r->stream)[MSG_RULE];
        if (rules != r->rules_seen)
            see_rules(r, batch, n);
        r->rules_seen = rules;
        if ((r->batch && r->batch(r->ctx, batch, n) < 0) || apply(r, batch, n) < 0)
            return -1;
    }
    return 0;
}

int replayer_open(struct replayer *r, const struct cli_args *a, const char *rules, const char *const *sources,
                  unsigned n_sources)
{
    struct stream_options o = {.sources = sources,
                               .n_sources = n_sources,
                               .rules = rules,
                               .history = cli_text(a, "history", NULL),
                               .attributes = cli_text(a, "attributes", NULL),
                               .override = cli_has(a, "override"),
                               .settings_lead = true,
                               .first_seq = 1,
                               .settings = &a->settings,
                               .log = log_line,
                               .log_ctx = (void *)a};
    r->args = a;
    r->symbols = cli_takes(a, "symbols") ? cli_text(a, "symbols", NULL) : NULL;
    r->from_ns = INT64_MIN;
    r->to_ns = INT64_MAX;
    if (cli_takes(a, "from") && (cli_time(a, "from", &r->from_ns) || cli_time(a, "to", &r->to_ns)))
        return CLI_USAGE;
    if (!(r->stream = stream_open(&o, &r->err)))
        return cli_fail(a, CLI_USAGE, "%s", r->err.text);
    if (engine_memory_open(&r->memory, &a->settings, NULL, &r->err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", r->err.text);
    r->names = rule_names_new((uint32_t)a->settings.limits_rules);
    return CLI_OK;
}

void replayer_compare(struct replayer *r, int (*compared)(void *ctx, const struct msg *event))
{
    r->compared = compared;
    r->peers = peer_replay_new((uint32_t)r->args->settings.limits_symbols);
}

void replayer_close(struct replayer *r)
{
    peer_replay_free(r->peers);
    rule_names_free(r->names);
    engine_memory_close(&r->memory);
    stream_close(r->stream);
}
