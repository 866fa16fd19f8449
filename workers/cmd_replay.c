/* ringtape replay: the same stream and engine as `run`, in one process, at full speed. */
#include "workers/cmd_replay.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "core/toplist.h"
#include "net/barlog.h"
#include "net/toplist_file.h"
#include "workers/event_logs.h"
#include "workers/replayer.h"
#include "workers/summary.h"
#include "workers/toplist_show.h"

const struct cli_option cmd_replay_options[] = {
    {.name = "rules",
     .arg = "FILE",
     .help = "the rules (JSON); a capture has its own otherwise",
     .kind = CLI_TEXT},
    EVENT_LOG_OPTIONS{
        .name = "bars", .arg = "FILE", .help = "write the bars here at the end (CSV)", .kind = CLI_TEXT},
    {.name = "toplist",
     .arg = "ID",
     .help = "print this toplist as it is at the end: gainers_5m, volume_1d, rsi_high … (docs/toplists.md)",
     .kind = CLI_TEXT},
    {.name = "at",
     .arg = "TIME",
     .help = "as it was in this second (RFC 3339 or ns), which a run shows likewise; slower",
     .kind = CLI_TEXT},
    {.name = "limit",
     .arg = "N",
     .help = "at most so many rows of it (20)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = TOPLIST_LIMIT_MAX},
    {.name = "json", .help = "print it as JSON", .kind = CLI_FLAG},
    {.name = "summary",
     .arg = "FILE",
     .help = "write what was read, refused, made here (JSON)",
     .kind = CLI_TEXT},
    STREAM_FILE_OPTIONS,
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
    STREAM_OVERRIDE_OPTION,
    {0},
};

struct replay {
    struct replayer r;
    struct barlog *bars;
    struct event_logs logs;
    FILE *messages;
    uint64_t n_bars, n_alerts;
    bool has_toplist;
    struct market_list toplist;
    struct toplist_keys keys; /* of its expression */
    struct toplist_condition condition;
    int64_t at_ns;
    struct ranked *at; /* of --at, by symbol */
};

/* What a list looks at in a symbol. */
struct ranked {
    double value[RANK_VALUES];
    bool meets; /* its expression */
};

static void take_ranked(const struct replay *p, uint32_t symbol, struct ranked *r)
{
    const struct engine *e = p->r.memory.engine;
    int64_t key[TOPLIST_KEYS_MAX];
    engine_values(e, symbol, 0, RANK_VALUES, r->value);
    engine_keys(e, symbol, RANK_VALUES, p->keys.n, key);
    r->meets = toplist_meets(&p->condition, key);
}

static int event(struct replay *p, const struct msg *m)
{
    char json[EVENT_JSON_MAX];
    struct event_symbol symbol;
    if (!replayer_wants(&p->r, m, &symbol))
        return 0;
    if (m->type == MSG_BAR) {
        p->n_bars += msg_bar_get(m).revision == 0;
        if (p->bars)
            barlog_add(p->bars, m, &symbol);
        return 0;
    }
    enum outbox_kind kind = outbox_kind_of(m);
    p->n_alerts += kind == OUTBOX_ALERT;
    if (!kind || !p->logs.log[kind])
        return 0;
    int len = m->type == MSG_ALERT ? replayer_alert_json(&p->r, m, &symbol, json)
                                   : event_json(m, NULL, &symbol, json, sizeof json);
    return len < 0 ? -1 : event_logs_add(&p->logs, kind, json, (size_t)len, &p->r.err);
}

static int compared(void *ctx, const struct msg *m)
{
    return event(ctx, m);
}

/* --at: the values of a bucket's symbols as of its CLOCK, until one is of a later second. */
static void take_values(struct replay *p, const struct msg *clock)
{
    const struct engine *e = p->r.memory.engine;
    if (toplist_second(clock->event_ns) > p->at_ns || clock->symbol >= BUCKET_COUNT)
        return;
    for (uint32_t s = UINT32_MAX; (s = engine_next_symbol(e, clock->symbol, s)) != UINT32_MAX;)
        take_ranked(p, s, &p->at[s]);
}

static int applied(void *ctx, const struct msg *m, int n, const struct engine_out *out)
{
    struct replay *p = ctx;
    if (p->at && n > 0 && m->type == MSG_CLOCK)
        take_values(p, m);
    for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k]))
        if (event(p, &out->slot[k]) < 0)
            return -1;
    return 0;
}

static int write_messages(void *ctx, const struct msg *m, int n)
{
    struct replay *p = ctx;
    if (fwrite(m, sizeof *m, (size_t)n, p->messages) == (size_t)n)
        return 0;
    return error_set(&p->r.err, "%s: cannot be written", cli_text(p->r.args, "messages", NULL));
}

/* The list, of --symbols, as of the last message or of --at. */
static void print_toplist(struct replay *p)
{
    static struct toplist_row rows[TOPLIST_LIMIT_MAX];
    const struct cli_args *a = p->r.args;
    int64_t end_ns = stream_time(p->r.stream);
    struct toplist_ranking r = {
        .list = &p->toplist.list, .row = rows, .limit = (uint32_t)cli_number(a, "limit", 20)};
    for (uint32_t i = 0, n = stream_symbol_count(p->r.stream); i < n; i++) {
        const struct source_symbol *s = stream_symbol(p->r.stream, i);
        struct toplist_row row = {.name = s->name, .name_len = s->name_len, .symbol = i};
        struct ranked now;
        if (!replayer_wants_symbol(&p->r, s))
            continue;
        if (!p->at)
            take_ranked(p, i, &now);
        const struct ranked *x = p->at ? &p->at[i] : &now;
        memcpy(row.value, x->value, sizeof row.value);
        if (x->meets)
            toplist_offer(&r, &row);
    }
    toplist_sort(&r);
    if (cli_has(a, "json"))
        toplist_print_json(a->out, &p->toplist, p->at ? p->at_ns : end_ns > 0 ? end_ns : 0, &r);
    else
        toplist_print_rows(a->out, &r);
}

static int run(struct replay *p)
{
    const struct cli_args *a = p->r.args;
    struct error *err = &p->r.err;
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    if (replayer_run(&p->r) < 0)
        return cli_fail(a, CLI_FAILED, "%s", err->text);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    if (event_logs_close(&p->logs, err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", err->text);
    if (p->bars && barlog_write(p->bars, cli_text(a, "bars", NULL), err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", err->text);
    if (p->has_toplist)
        print_toplist(p);
    struct source_stats stats;
    stream_stats(p->r.stream, &stats);
    if (cli_has(a, "summary") && summary_write(cli_text(a, "summary", NULL), stream_counts(p->r.stream),
                                               &stats, p->n_bars, p->n_alerts, seconds, -1, err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", err->text);
    if (stream_failure(p->r.stream))
        return cli_fail(a, CLI_DAMAGED, "%s", stream_failure(p->r.stream));
    return CLI_OK;
}

/* A system list, or one of toplists.file. */
static int choose_toplist(struct replay *p, const struct cli_args *a, struct metric asked[RANK_VALUES])
{
    static struct market_list list[MARKETTAB_LISTS];
    const char *file = a->settings.toplists_file, *expr = p->toplist.list.expr;
    int n = *file ? toplist_file_read(file, list, &p->keys, &p->r.err) : 0;
    if (n < 0 || toplist_choose(cli_text(a, "toplist", NULL), list, n, &p->toplist, &p->r.err) < 0)
        return -1;
    toplist_metrics(&p->toplist.list, asked);
    p->keys.n = 0; /* of this list alone */
    if (*expr && toplist_keys_add(&p->keys, expr, &p->r.err) < 0)
        return -1;
    return toplist_condition(&p->condition, expr, &p->keys, &p->r.err);
}

static int take_at(struct replay *p, const struct cli_args *a)
{
    size_t n = (size_t)a->settings.limits_symbols;
    if (cli_time(a, "at", &p->at_ns))
        return -1;
    p->at_ns = toplist_second(p->at_ns);
    if (!(p->at = malloc(n * sizeof *p->at)))
        abort();
    for (size_t i = 0; i < n; i++)
        p->at[i] = (struct ranked){.value = {[RANK_VALUE] = NAN}};
    return 0;
}

static int before_each(void *ctx, const struct msg *m)
{
    (void)ctx;
    (void)m;
    return 0;
}

static int prepare(struct replay *p, const struct cli_args *a)
{
    struct metric asked[RANK_VALUES];
    p->has_toplist = cli_has(a, "toplist");
    if (!p->has_toplist && (cli_has(a, "limit") || cli_has(a, "json") || cli_has(a, "at")))
        return cli_fail(a, CLI_USAGE, "--limit, --json and --at are of --toplist, which is not there");
    if (p->has_toplist && choose_toplist(p, a, asked) < 0)
        return cli_fail(a, CLI_USAGE, "%s", p->r.err.text);
    p->r.memory.asked = p->has_toplist ? RANK_VALUES + p->keys.n : 0;
    if (cli_has(a, "at") && take_at(p, a) < 0)
        return CLI_USAGE;
    int code =
        replayer_open(&p->r, a, cli_text(a, "rules", NULL), a->positional, (unsigned)a->positional_count);
    if (code != CLI_OK)
        return code;
    if (p->has_toplist) {
        engine_ask(p->r.memory.engine, asked, RANK_VALUES);
        engine_ask(p->r.memory.engine, p->keys.metric, p->keys.n);
    }
    p->r.ctx = p;
    p->r.applied = applied;
    p->r.before = p->at ? before_each : NULL; /* one record at a time */
    if (cli_has(a, "anomalies"))
        replayer_compare(&p->r, compared);
    p->bars = cli_has(a, "bars") ? barlog_new() : NULL;
    if (cli_has(a, "messages")) {
        p->r.batch = write_messages;
        if (!(p->messages = fopen(cli_text(a, "messages", NULL), "wbe")))
            return cli_fail(a, CLI_FAILED, "%s: cannot be written", cli_text(a, "messages", NULL));
    }
    const struct event_log_paths paths = event_log_paths(a);
    if (event_logs_open(&p->logs, &paths, &p->r.err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", p->r.err.text);
    return CLI_OK;
}

int cmd_replay(const struct cli_args *args)
{
    struct replay *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    int code = prepare(p, args);
    if (code == CLI_OK)
        code = run(p);
    if (event_logs_close(&p->logs, &p->r.err) < 0)
        code = code ? code : cli_fail(args, CLI_FAILED, "%s", p->r.err.text);
    if (p->messages && fclose(p->messages) != 0)
        code = code ? code
                    : cli_fail(args, CLI_FAILED, "%s: cannot be written", cli_text(args, "messages", NULL));
    if (p->bars)
        barlog_free(p->bars);
    replayer_close(&p->r);
    free(p->at);
    free(p);
    return code;
}
