/* ringtape replay: the same stream and engine as `run`, in one process, at full speed. */
#include "workers/cmd_replay.h"

#include <stdlib.h>
#include <time.h>

#include "core/decimal.h"
#include "core/toplist.h"
#include "net/barlog.h"
#include "net/text.h"
#include "workers/replayer.h"
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
    {.name = "anomalies",
     .arg = "FILE",
     .help = "write anomalies here, one JSON object a line (anomalies.enabled)",
     .kind = CLI_TEXT},
    {.name = "bars", .arg = "FILE", .help = "write the bars here at the end (CSV)", .kind = CLI_TEXT},
    {.name = "toplist",
     .arg = "ID",
     .help = "print this toplist as it is at the end: gainers_5m, volume_1d, rsi_high … (docs/toplists.md)",
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
    {.name = "history",
     .arg = "FILE",
     .help = "daily bars from before (date,symbol,open,high,low,close,volume)",
     .kind = CLI_TEXT},
    {.name = "attributes",
     .arg = "FILE",
     .help = "the symbols' attributes: symbol,sector,float,… (symbols.attributes)",
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
    struct replayer r;
    struct barlog *bars;
    struct alertlog *alerts, *anomalies;
    FILE *messages;
    uint64_t n_bars, n_alerts;
    bool has_toplist;
    struct toplist toplist;
};

static int anomaly(struct replay *p, const struct msg *m, const struct event_symbol *symbol)
{
    char json[EVENT_JSON_MAX];
    if (!p->anomalies)
        return 0;
    int len = event_json_anomaly(m, symbol, json, sizeof json);
    return len < 0 ? -1 : alertlog_add(p->anomalies, json, (size_t)len, &p->r.err);
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
    if (m->type == MSG_ANOMALY)
        return anomaly(p, m, &symbol);
    p->n_alerts++;
    if (!p->alerts)
        return 0;
    int len = replayer_alert_json(&p->r, m, &symbol, json);
    return len < 0 ? -1 : alertlog_add(p->alerts, json, (size_t)len, &p->r.err);
}

static int applied(void *ctx, const struct msg *m, int n, const struct engine_out *out)
{
    (void)m;
    (void)n;
    for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k]))
        if (event(ctx, &out->slot[k]) < 0)
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

static void print_number(struct text *t, double v)
{
    char s[DECIMAL_TEXT_MAX];
    decimal_format_double(v, s); /* null if it is unknown */
    text_append(t, s, strlen(s));
}

/* {"toplist_id":…,"toplist_name":…,"rankings":[{"symbol","rank","value","metadata":{"price","volume"}}]} */
static void print_json(FILE *out, const struct toplist_ranking *r)
{
    struct text t = {0};
    text_printf(&t, "{\"toplist_id\":\"%s\",\"toplist_name\":\"%s\",\"rankings\":[", r->list->id,
                r->list->id);
    for (uint32_t i = 0; i < r->n; i++) {
        const struct toplist_row *row = &r->row[i];
        text_printf(&t, "%s{\"symbol\":", i ? "," : "");
        text_json(&t, row->name);
        text_printf(&t, ",\"rank\":%u,\"value\":", i + 1);
        print_number(&t, row->value[RANK_VALUE]);
        text_printf(&t, ",\"metadata\":{\"price\":");
        print_number(&t, row->value[RANK_PRICE]);
        text_printf(&t, ",\"volume\":");
        print_number(&t, row->value[RANK_DAY_VOLUME]);
        text_printf(&t, "}}");
    }
    text_printf(&t, "]}\n");
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

static void print_rows(FILE *out, const struct toplist_ranking *r)
{
    fprintf(out, "%4s  %-16s %14s %14s %16s\n", "RANK", "SYMBOL", toplist_metric_names[r->list->metric],
            "PRICE", "DAY VOLUME");
    for (uint32_t i = 0; i < r->n; i++) {
        const double *v = r->row[i].value;
        fprintf(out, "%4u  %-16s %14.4f %14.4f %16.0f\n", i + 1, r->row[i].name, v[RANK_VALUE], v[RANK_PRICE],
                v[RANK_DAY_VOLUME]);
    }
}

/* The list as of the last message, of --symbols. */
static void print_toplist(struct replay *p)
{
    static struct toplist_row rows[TOPLIST_LIMIT_MAX];
    const struct cli_args *a = p->r.args;
    struct toplist_ranking r = {
        .list = &p->toplist, .row = rows, .limit = (uint32_t)cli_number(a, "limit", 20)};
    for (uint32_t i = 0, n = stream_symbol_count(p->r.stream); i < n; i++) {
        const struct source_symbol *s = stream_symbol(p->r.stream, i);
        struct toplist_row row = {.name = s->name, .name_len = s->name_len, .symbol = i};
        if (!replayer_wants_symbol(&p->r, s))
            continue;
        engine_values(p->r.memory.engine, i, 0, RANK_VALUES, row.value);
        toplist_offer(&r, &row);
    }
    toplist_sort(&r);
    if (cli_has(a, "json"))
        print_json(a->out, &r);
    else
        print_rows(a->out, &r);
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
    struct alertlog *alerts = p->alerts, *anomalies = p->anomalies;
    p->alerts = p->anomalies = NULL;
    if (alerts && alertlog_close(alerts, err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", err->text);
    if (anomalies && alertlog_close(anomalies, err) < 0)
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

static int prepare(struct replay *p, const struct cli_args *a)
{
    struct metric asked[RANK_VALUES];
    p->has_toplist = cli_has(a, "toplist");
    if (!p->has_toplist && (cli_has(a, "limit") || cli_has(a, "json")))
        return cli_fail(a, CLI_USAGE, "--limit and --json are of --toplist, which is not there");
    p->r.memory.asked = p->has_toplist ? RANK_VALUES : 0;
    if (p->has_toplist && (toplist_find(cli_text(a, "toplist", NULL), &p->toplist, &p->r.err) < 0 ||
                           toplist_metrics(&p->toplist, asked, &p->r.err) < 0))
        return cli_fail(a, CLI_USAGE, "%s", p->r.err.text);
    int code =
        replayer_open(&p->r, a, cli_text(a, "rules", NULL), a->positional, (unsigned)a->positional_count);
    if (code != CLI_OK)
        return code;
    if (p->has_toplist)
        engine_ask(p->r.memory.engine, asked, RANK_VALUES);
    p->r.ctx = p;
    p->r.applied = applied;
    p->bars = cli_has(a, "bars") ? barlog_new() : NULL;
    if (cli_has(a, "messages")) {
        p->r.batch = write_messages;
        if (!(p->messages = fopen(cli_text(a, "messages", NULL), "wbe")))
            return cli_fail(a, CLI_FAILED, "%s: cannot be written", cli_text(a, "messages", NULL));
    }
    if (cli_has(a, "alerts") && !(p->alerts = alertlog_open(cli_text(a, "alerts", NULL), &p->r.err)))
        return cli_fail(a, CLI_FAILED, "%s", p->r.err.text);
    if (cli_has(a, "anomalies") && !(p->anomalies = alertlog_open(cli_text(a, "anomalies", NULL), &p->r.err)))
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
    if (p->alerts && alertlog_close(p->alerts, NULL) < 0)
        code = code ? code : CLI_FAILED;
    if (p->anomalies && alertlog_close(p->anomalies, NULL) < 0)
        code = code ? code : CLI_FAILED;
    if (p->messages && fclose(p->messages) != 0)
        code = code ? code
                    : cli_fail(args, CLI_FAILED, "%s: cannot be written", cli_text(args, "messages", NULL));
    if (p->bars)
        barlog_free(p->bars);
    replayer_close(&p->r);
    free(p);
    return code;
}
