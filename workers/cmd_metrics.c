#include "workers/cmd_metrics.h"

#include <string.h>

#include "core/metric.h"
#include "net/text.h"

const struct cli_option cmd_metrics_options[] = {
    {.name = "json", .help = "print them as a JSON array"},
    {.name = "markdown", .help = "print them as a Markdown table"},
    {0},
};

static const char *const unit_names[] = {
    [UNIT_PRICE] = "price", [UNIT_NUMBER] = "number", [UNIT_PERCENT] = "percent",
    [UNIT_VWAP] = "price",  [UNIT_TRUTH] = "truth",   [UNIT_TEXT] = "text"};

static const struct metric_parameters *parameters_of(const struct metric_row *m)
{
    return &metric_parameters[m - metric_rows];
}

/* As it is written in a rule, N and M standing for parameters, P for a percentage, T for a timeframe, MA for
 * a moving average. */
static void form_of(const struct metric_row *m, char out[METRIC_NAME_MAX])
{
    static const char *const after[] = {[FORM_PLAIN] = "",
                                        [FORM_WINDOW] = "_Nm",
                                        [FORM_DAYS] = "_Nd",
                                        [FORM_MONTHS] = "_Nm",
                                        [FORM_TIMEFRAME] = "_Nm",
                                        [FORM_SPAN] = "(Nm)",
                                        [FORM_SESSION] = "(session)",
                                        [FORM_TRADES] = "(N trades)",
                                        [FORM_SECONDS] = "(Ns)",
                                        [FORM_BARS] = "@T",
                                        [FORM_AVERAGE] = "(MA,N)@T",
                                        [FORM_PERCENT] = "(P)"};
    static const char *const in_brackets[] = {"", "(N)", "(N,M)"};
    snprintf(out, METRIC_NAME_MAX, "%s%s%s", m->name,
             in_brackets[m->form == FORM_BARS ? parameters_of(m)->count : 0], after[m->form]);
}

/* What N may be; false if there is none. */
static bool parameter_of(const struct metric_row *m, int *max, const char **unit)
{
    bool days = m->form == FORM_DAYS, months = m->form == FORM_MONTHS, average = m->form == FORM_AVERAGE,
         bars = average || (m->form == FORM_BARS && parameters_of(m)->count);
    *max = days      ? METRIC_DAYS_MAX
           : months  ? METRIC_DAYS_MAX / METRIC_MONTH_DAYS
           : average ? INDICATOR_PERIOD_MAX
           : bars    ? parameters_of(m)->max
                     : METRIC_WINDOW_MAX;
    bool trades = m->form == FORM_TRADES, seconds = m->form == FORM_SECONDS;
    *max = trades ? METRIC_TRADES_MAX : seconds ? METRIC_SECONDS_MAX : *max;
    *unit = trades    ? "trades"
            : seconds ? "seconds"
            : days    ? "trading days"
            : months  ? "months"
            : bars    ? "bars"
                      : "minutes";
    return trades || seconds || days || months || bars || m->form == FORM_WINDOW || m->form == FORM_SPAN;
}

static void range_of(const struct metric_row *m, char out[64])
{
    static const int minutes[] = METRIC_TIMEFRAMES;
    const char *unit;
    int max, n = 0;
    out[0] = 0;
    const struct metric_parameters *p = parameters_of(m);
    if (m->form == FORM_BARS && p->count == 2)
        snprintf(out, 64, "N, M 1 to %d bars, default %u, %u", p->max, p->standard[0], p->standard[1]);
    else if (m->form == FORM_BARS && p->count)
        snprintf(out, 64, "N 1 to %d bars, default %u", p->max, p->standard[0]);
    else if (m->form == FORM_PERCENT)
        snprintf(out, 64, "P 0.01 to %u percent, default %g", p->max / 100u, p->standard[0] / 100.0);
    else if (parameter_of(m, &max, &unit))
        snprintf(out, 64, "N 1 to %d %s", max, unit);
    for (size_t i = 0; m->form == FORM_TIMEFRAME && i < sizeof minutes / sizeof *minutes; i++)
        n += snprintf(out + n, 64 - (size_t)n, "%s%d", i ? ", " : "N ", minutes[i]);
}

/* Other names that mean the same, as metric_parse takes them. */
static unsigned aliases_of(const struct metric_row *m, char out[2][METRIC_NAME_MAX])
{
    size_t n = strlen(m->name);
    const char *window = m->form == FORM_WINDOW ? "Nm" : m->form == FORM_DAYS ? "Nd" : NULL;
    if (window && n > 4 && !strcmp(m->name + n - 4, "_pct")) {
        snprintf(out[0], METRIC_NAME_MAX, "%.*s_%s_pct", (int)n - 4, m->name, window);
        snprintf(out[1], METRIC_NAME_MAX, "price_%.*s_%s_pct", (int)n - 4, m->name, window);
        return strcmp(m->name, "change_pct") ? 1 : 2;
    }
    if (m->form == FORM_SPAN || m->form == FORM_SESSION) {
        snprintf(out[0], METRIC_NAME_MAX, "%s_%s", m->name, m->form == FORM_SPAN ? "Nm" : "session");
        return 1;
    }
    if (!strcmp(m->name, "change") || !strcmp(m->name, "range_pct_today")) {
        snprintf(out[0], METRIC_NAME_MAX, "%s", *m->name == 'c' ? "price_change_Nm" : "range_today_pct");
        return 1;
    }
    if (n > 7 && !strcmp(m->name + n - 7, "_pct_1d")) {
        snprintf(out[0], METRIC_NAME_MAX, "%.*s_1d_pct", (int)n - 7, m->name);
        return 1;
    }
    if (m->form == FORM_BARS) {
        static const char *const flat[] = {"_T", "_N_T", "_N_M_T"};
        snprintf(out[0], METRIC_NAME_MAX, "%s%s", m->name, flat[parameters_of(m)->count]);
        return 1;
    }
    if (m->form == FORM_AVERAGE) {
        snprintf(out[0], METRIC_NAME_MAX, "ma_dist_MA_N_T_pct");
        snprintf(out[1], METRIC_NAME_MAX, "ma_dist_pct_MA_N_T");
        return 2;
    }
    return 0;
}

static const char *changed_by(const struct metric_row *m)
{
    return m->inputs & INPUT_TIME        ? "time"
           : m->inputs & INPUT_TRADE     ? "trade"
           : m->inputs & INPUT_PRICE     ? "price"
           : m->inputs & INPUT_QUOTE     ? "quote"
           : m->inputs & INPUT_ATTRIBUTE ? "attr"
                                         : "bar";
}

static void print_json(FILE *out, enum metric_kind kind)
{
    const struct metric_row *m = &metric_rows[kind];
    struct metric_origin from = metric_origin(kind);
    char form[METRIC_NAME_MAX], alias[2][METRIC_NAME_MAX];
    unsigned n = aliases_of(m, alias);
    const char *unit;
    int max;
    struct text t = {0};
    form_of(m, form);
    text_printf(&t, "%s\n  {\"name\":\"%s\",\"form\":\"%s\",\"aliases\":[", kind ? "," : "[", m->name, form);
    for (unsigned i = 0; i < n; i++)
        text_printf(&t, "%s\"%s\"", i ? "," : "", alias[i]);
    text_printf(&t, "],\"unit\":\"%s\",\"changed_by\":\"%s\",\"made_of\":\"%s\",\"warm_up\":\"%s\"",
                unit_names[m->unit], changed_by(m), from.made_of, from.warm_up);
    if (parameter_of(m, &max, &unit))
        text_printf(&t, ",\"min\":1,\"max\":%d,\"of\":\"%s\"", max, unit);
    text_printf(&t, ",\"help\":");
    text_json(&t, m->help);
    text_append(&t, "}", 1);
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

enum layout { LAYOUT_TEXT, LAYOUT_MARKDOWN };

static void print_row(FILE *out, enum metric_kind kind, enum layout layout)
{
    const struct metric_row *m = &metric_rows[kind];
    struct metric_origin from = metric_origin(kind);
    char form[METRIC_NAME_MAX], range[64], alias[2][METRIC_NAME_MAX], names[2 * METRIC_NAME_MAX + 8] = "";
    unsigned n = aliases_of(m, alias);
    const char *quote = layout == LAYOUT_MARKDOWN ? "`" : "";
    form_of(m, form);
    range_of(m, range);
    for (unsigned i = 0; i < n; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s%s%s", i ? ", " : "", quote,
                 alias[i], quote);
    if (layout == LAYOUT_MARKDOWN)
        fprintf(out, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", form, names, range, unit_names[m->unit],
                from.warm_up, changed_by(m), from.made_of, m->help);
    else
        fprintf(out, "%-34s %-7s %-6s %-18s %-52s %-36s %s%s%s\n", form, unit_names[m->unit], changed_by(m),
                from.made_of, from.warm_up, range, m->help, n ? "; also " : "", names);
}

int cmd_metrics(const struct cli_args *args)
{
    bool json = cli_has(args, "json"), markdown = cli_has(args, "markdown");
    if (json && markdown)
        return cli_fail(args, CLI_USAGE, "--json and --markdown exclude each other");
    if (args->positional_count && strcmp(args->positional[0], "list"))
        return cli_fail(args, CLI_USAGE, "found \"%s\"; expected list, or nothing", args->positional[0]);
    if (markdown)
        fprintf(args->out, "| metric | also | parameter | unit | warm-up | changed by | made of | what it is "
                           "|\n|---|---|---|---|---|---|---|---|\n");
    else if (!json)
        fprintf(args->out, "%-34s %-7s %-6s %-18s %-52s %-36s %s\n", "METRIC", "UNIT", "BY", "MADE OF",
                "WARM-UP", "PARAMETER", "WHAT IT IS");
    for (int k = 0; k < METRIC_INDICATOR; k++)
        if (json)
            print_json(args->out, (enum metric_kind)k);
        else
            print_row(args->out, (enum metric_kind)k, markdown ? LAYOUT_MARKDOWN : LAYOUT_TEXT);
    if (json)
        fprintf(args->out, "\n]\n");
    else if (!markdown)
        fprintf(args->out,
                "Indicators over bars, such as rsi(14)@5m: `ringtape indicators --list` has all.\n");
    return CLI_OK;
}
_Static_assert((int)METRIC_INDICATOR == METRIC_KIND_COUNT - 2, "after it there is but the internal one");
