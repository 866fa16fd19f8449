#include "workers/cmd_anomalies.h"

#include "core/anomaly.h"

const struct cli_option cmd_anomalies_options[] = {
    {.name = "markdown", .help = "print them as a Markdown table"},
    {0},
};

int cmd_anomalies(const struct cli_args *args)
{
    bool markdown = cli_has(args, "markdown");
    if (markdown)
        fprintf(args->out, "| type | setting | needs | |\n|---|---|---|---|\n");
    else
        fprintf(args->out, "%-11s %-22s %-25s %s\n", "TYPE", "SETTING", "NEEDS", "WHAT IT IS");
    for (int k = 0; k < ANOMALY_KINDS; k++) {
        const struct anomaly_row *r = &anomaly_rows[k];
        fprintf(args->out, markdown ? "| `%s` | `%s` | %s | %s |\n" : "%-11s %-22s %-25s %s\n", r->type,
                r->setting, r->warm_up, r->help);
    }
    return CLI_OK;
}
