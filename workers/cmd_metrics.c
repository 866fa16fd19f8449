#include "workers/cmd_metrics.h"

#include <string.h>

#include "core/metric.h"
#include "net/text.h"

const struct cli_option cmd_metrics_options[] = {
    {.name = "json", .help = "print them as a JSON array"},
    {.name = "markdown", .help = "print them as a Markdown table"},
    {0},
};

static const char *const unit_names[] = {[UNIT_PRICE] = "price",
                                         [UNIT_NUMBER] = "number",
                                         [UNIT_PERCENT] = "percent",
                                         [UNIT_VWAP] = "price",
                                         [UNIT_TEXT] = "text"};

/* As it is written in a rule, N standing for the parameter. */
static void form_of(const struct metric_row *m, char out[METRIC_NAME_MAX])
{
    static const char *const after[] = {[FORM_PLAIN] = "",
                                        [FORM_WINDOW] = "_Nm",
                                        [FORM_TIMEFRAME] = "_Nm",
                                        [FORM_SPAN] = "(Nm)",
                                        [FORM_SESSION] = "(session)"};
    snprintf(out, METRIC_NAME_MAX, "%s%s", m->name, after[m->form]);
}

static void range_of(const struct metric_row *m, char out[32])
{
    out[0] = 0;
    if (m->form == FORM_WINDOW || m->form == FORM_SPAN)
        snprintf(out, 32, "1 to %d minutes", METRIC_WINDOW_MAX);
}

static const char *changed_by(const struct metric_row *m)
{
    return m->inputs & INPUT_TRADE   ? "trade"
           : m->inputs & INPUT_PRICE ? "price"
           : m->inputs & INPUT_QUOTE ? "quote"
                                     : "bar";
}

static void print_json(FILE *out, const struct metric_row *m, bool first)
{
    char form[METRIC_NAME_MAX], range[32];
    struct text t = {0};
    form_of(m, form);
    range_of(m, range);
    text_printf(&t, "%s\n  {\"name\":\"%s\",\"form\":\"%s\",\"unit\":\"%s\",\"changed_by\":\"%s\"",
                first ? "[" : ",", m->name, form, unit_names[m->unit], changed_by(m));
    if (*range)
        text_printf(&t, ",\"min\":1,\"max\":%d", METRIC_WINDOW_MAX);
    text_printf(&t, ",\"help\":");
    text_json(&t, m->help);
    text_append(&t, "}", 1);
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

static void print_row(FILE *out, const struct metric_row *m, bool markdown)
{
    char form[METRIC_NAME_MAX], range[32];
    form_of(m, form);
    range_of(m, range);
    if (markdown)
        fprintf(out, "| `%s` | %s | %s | %s%s%s |\n", form, unit_names[m->unit], changed_by(m), m->help,
                *range ? "; N from " : "", range);
    else
        fprintf(out, "%-22s %-8s %-6s %s%s%s\n", form, unit_names[m->unit], changed_by(m), m->help,
                *range ? "; N from " : "", range);
}

int cmd_metrics(const struct cli_args *args)
{
    bool json = cli_has(args, "json"), markdown = cli_has(args, "markdown");
    if (json && markdown)
        return cli_fail(args, CLI_USAGE, "--json and --markdown exclude each other");
    if (args->positional_count && strcmp(args->positional[0], "list"))
        return cli_fail(args, CLI_USAGE, "found \"%s\"; expected list, or nothing", args->positional[0]);
    if (markdown)
        fprintf(args->out, "| metric | unit | changed by | |\n|---|---|---|---|\n");
    else if (!json)
        fprintf(args->out, "%-22s %-8s %-6s %s\n", "METRIC", "UNIT", "BY", "WHAT IT IS");
    for (int k = 0; k < METRIC_INDICATOR; k++)
        if (json)
            print_json(args->out, &metric_rows[k], k == 0);
        else
            print_row(args->out, &metric_rows[k], markdown);
    if (json)
        fprintf(args->out, "\n]\n");
    else if (!markdown)
        fprintf(args->out,
                "Indicators over bars, such as rsi(14)@5m: `ringtape indicators --list` has all.\n");
    return CLI_OK;
}
_Static_assert((int)METRIC_INDICATOR == METRIC_KIND_COUNT - 2, "after it there is but the internal one");
