/* ringtape backtest RULES SOURCE…: replay, and what prices did after each alert. */
#include "workers/cmd_backtest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "net/barlog.h"
#include "workers/backtest.h"
#include "workers/replayer.h"

const char cmd_backtest_details[] =
    "A return is price then / alert price - 1. Price then is that of the symbol's last trade, by event time, "
    "at\n"
    "or before the alert's time + 1, 5, 15, 60 minutes, or the end of its trading day's market session "
    "(close).\n"
    "None, and not counted, where the day or its data ends before that. The baseline is the same from every\n"
    "minute at which the symbols that fired have traded, alert or not. Alerts that were withdrawn are "
    "counted\n"
    "beside the others.";

const struct cli_option cmd_backtest_options[] = {
    {.name = "json", .help = "print one JSON object, no table", .kind = CLI_FLAG},
    {.name = "html", .arg = "FILE", .help = "write a page with charts here, one file", .kind = CLI_TEXT},
    {.name = "csv", .arg = "FILE", .help = "write each alert with its returns here", .kind = CLI_TEXT},
    {.name = "alerts",
     .arg = "FILE",
     .help = "write alerts here as replay does, one JSON object a line",
     .kind = CLI_TEXT},
    STREAM_FILE_OPTIONS,
    {.name = "from",
     .arg = "TIME",
     .help = "leave out alerts and baseline before (RFC 3339 or ns)",
     .kind = CLI_TEXT},
    {.name = "to",
     .arg = "TIME",
     .help = "leave them out from here on; prices behind it still count",
     .kind = CLI_TEXT},
    {.name = "symbols", .arg = "A,B", .help = "only alerts and baseline of these", .kind = CLI_TEXT},
    STREAM_OVERRIDE_OPTION,
    {0},
};

struct trial {
    struct replayer r;
    struct forward *forward;
    struct alertlog *alerts;
    struct parts setting;
    struct backtest report;
};

static int take_alert(struct trial *t, const struct msg *m)
{
    struct event_symbol symbol;
    struct msg_alert head;
    char json[EVENT_JSON_MAX];
    if (m->type != MSG_ALERT || !replayer_wants(&t->r, m, &symbol))
        return 0;
    memcpy(&head, m->first, MSG_FIRST_BYTES);
    struct forward_alert a = {.time_ns = m->event_ns,
                              .id_hi = head.id_hi,
                              .id_lo = head.id_lo,
                              .seq = m->seq,
                              .rule = head.rule,
                              .symbol = m->symbol};
    msg_get(m, MSG_FIRST_BYTES, &a.price_e9, sizeof a.price_e9);
    a.price_e9 = a.price_e9 == ALERT_UNKNOWN ? 0 : a.price_e9;
    int len = replayer_alert_json(&t->r, m, &symbol, json); /* also says whether the rule is known */
    if (len < 0)
        return -1;
    if (head.kind == ALERT_FIRED)
        forward_add_alert(t->forward, &a);
    else if (head.kind == ALERT_WITHDRAWN)
        forward_withdraw(t->forward, head.id_hi, head.id_lo);
    return t->alerts ? alertlog_add(t->alerts, json, (size_t)len, &t->r.err) : 0;
}

/* "calendar.N=premarket,market,postmarket,closed". */
static void take_setting(struct trial *t, const struct msg *m)
{
    unsigned calendar;
    int64_t day[4];
    if (parts_add(&t->setting, m) > 0 &&
        sscanf((const char *)t->setting.bytes, "calendar.%u=%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64,
               &calendar, &day[0], &day[1], &day[2], &day[3]) == 5)
        (void)forward_add_day(t->forward, calendar, day); /* what is none, the engine has refused and said */
}

static void take_message(struct trial *t, const struct msg *m)
{
    if (m->type == MSG_TRADE)
        forward_trade(t->forward, m->symbol, m->event_ns, m->trade.price_e9);
    else if (m->type == MSG_QUOTE)
        forward_quote(t->forward, m->symbol, m->event_ns);
    else if (m->type == MSG_SYMBOL)
        forward_add_symbol(t->forward, m->symbol, m->sym.calendar,
                           replayer_wants_symbol(&t->r, stream_symbol(t->r.stream, m->symbol)));
    else if (m->type == MSG_SETTING)
        take_setting(t, m);
}

/* Messages and alerts in one order: an alert comes behind the message that decided it. */
static int applied(void *ctx, const struct msg *m, int n, const struct engine_out *out)
{
    struct trial *t = ctx;
    int at = 0;
    for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k])) {
        if (out->slot[k].type != MSG_ALERT)
            continue;
        for (; at < n && m[at].seq <= out->slot[k].seq; at += (int)msg_slot_count(&m[at]))
            take_message(t, &m[at]);
        if (take_alert(t, &out->slot[k]) < 0)
            return -1;
    }
    for (; at < n; at += (int)msg_slot_count(&m[at]))
        take_message(t, &m[at]);
    return 0;
}

static int prepare(struct trial *t, const struct cli_args *a)
{
    int code =
        replayer_open(&t->r, a, a->positional[0], a->positional + 1, (unsigned)a->positional_count - 1);
    if (code != CLI_OK)
        return code;
    t->r.ctx = t;
    t->r.applied = applied;
    t->forward = forward_new(t->r.from_ns, t->r.to_ns);
    if (cli_has(a, "alerts") && !(t->alerts = alertlog_open(cli_text(a, "alerts", NULL), &t->r.err)))
        return cli_fail(a, CLI_FAILED, "%s", t->r.err.text);
    return CLI_OK;
}

/* Nothing to judge by: why? */
static int no_trades(const struct trial *t)
{
    const struct cli_args *a = t->r.args;
    uint64_t trades = stream_counts(t->r.stream)[MSG_TRADE];
    if (trades == 0)
        return cli_fail(a, CLI_FAILED, "%s%s: found no trade; expected some, to take prices from",
                        a->positional[1], a->positional_count > 2 ? ", …" : "");
    const char *names[512], *near = NULL;
    unsigned n = 0;
    for (; n < 512 && n < stream_symbol_count(t->r.stream); n++)
        names[n] = stream_symbol(t->r.stream, n)->name;
    if (t->r.symbols && n)
        near = error_nearest(t->r.symbols, names, n);
    return cli_fail(
        a, CLI_FAILED,
        "none of the %" PRIu64 " trades is within --from, --to, --symbols%s%s%s; expected some%s%s%s", trades,
        t->r.symbols ? " (" : "", t->r.symbols ? t->r.symbols : "", t->r.symbols ? ")" : "",
        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int write_file(const struct trial *t, const char *option,
                      void (*write)(const struct backtest *b, FILE *out))
{
    const struct cli_args *a = t->r.args;
    const char *path = cli_text(a, option, NULL);
    if (!path)
        return CLI_OK;
    bool standard = !strcmp(path, "-");
    FILE *f = standard ? a->out : fopen(path, "we");
    if (!f)
        return cli_fail(a, CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    write(&t->report, f);
    bool bad = ferror(f);
    errno = bad ? EIO : 0;
    bad |= (standard ? fflush(f) : fclose(f)) != 0;
    return bad ? cli_fail(a, CLI_FAILED, "cannot write %s: %s", path, strerror(errno)) : CLI_OK;
}

static int report(struct trial *t)
{
    const struct cli_args *a = t->r.args;
    const struct forward_day *day;
    if (forward_days(t->forward, &day) == 0)
        return no_trades(t);
    t->report = (struct backtest){.forward = t->forward,
                                  .names = t->r.names,
                                  .stream = t->r.stream,
                                  .rules_file = a->positional[0],
                                  .sources = a->positional + 1,
                                  .n_sources = (unsigned)a->positional_count - 1};
    backtest_reckon(&t->report, (uint32_t)a->settings.limits_rules);
    int code = write_file(t, "csv", backtest_csv);
    if (code == CLI_OK)
        code = write_file(t, "html", backtest_html);
    if (code == CLI_OK)
        (cli_has(a, "json") ? backtest_json : backtest_table)(&t->report, a->out);
    backtest_free(&t->report);
    return code;
}

static int run(struct trial *t)
{
    const struct cli_args *a = t->r.args;
    if (replayer_run(&t->r) < 0)
        return cli_fail(a, CLI_FAILED, "%s", t->r.err.text);
    forward_end(t->forward);
    struct alertlog *alerts = t->alerts;
    t->alerts = NULL;
    if (alerts && alertlog_close(alerts, &t->r.err) < 0)
        return cli_fail(a, CLI_FAILED, "%s", t->r.err.text);
    int code = report(t);
    if (stream_failure(t->r.stream)) /* what was read before it is in the report */
        return cli_fail(a, CLI_DAMAGED, "%s", stream_failure(t->r.stream));
    return code;
}

int cmd_backtest(const struct cli_args *args)
{
    struct trial *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    int code = prepare(t, args);
    if (code == CLI_OK)
        code = run(t);
    if (t->alerts && alertlog_close(t->alerts, NULL) < 0)
        code = code ? code : CLI_FAILED;
    forward_free(t->forward);
    replayer_close(&t->r);
    free(t);
    return code;
}
