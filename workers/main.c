/* The table of commands. A command is a cmd_*.c with its options table and its function, and a row here. */
#include "core/version.h"
#include "workers/cli.h"
#include "workers/cmd_anomalies.h"
#include "workers/cmd_audit.h"
#include "workers/cmd_backtest.h"
#include "workers/cmd_backup.h"
#include "workers/cmd_capture.h"
#include "workers/cmd_config.h"
#include "workers/cmd_explain.h"
#include "workers/cmd_import.h"
#include "workers/cmd_indicators.h"
#include "workers/cmd_metrics.h"
#include "workers/cmd_replay.h"
#include "workers/cmd_rings.h"
#include "workers/cmd_rules.h"
#include "workers/cmd_run.h"
#include "workers/cmd_symbols.h"
#include "workers/cmd_top.h"
#include "workers/cmd_scan.h"
#include "workers/cmd_toplist.h"

static const struct cli_option version_options[] = {
    {.name = "json", .help = "print it as JSON"},
    {0},
};

static int cmd_version(const struct cli_args *args)
{
    if (cli_has(args, "json"))
        fprintf(args->out, "{\"name\":\"ringtape\",\"version\":\"%s\"}\n", RINGTAPE_VERSION);
    else
        fprintf(args->out, "ringtape %s\n", RINGTAPE_VERSION);
    return CLI_OK;
}

static const struct cli_command commands[] = {
    {.name = "run",
     .help = "run an instance: ingest, scanners, publisher, one process each",
     .options = cmd_run_options,
     .run = cmd_run},
    {.name = "replay",
     .help = "apply sources to rules in one process, at full speed",
     .positional = "SOURCE…",
     .positional_min = 1,
     .positional_max = 64,
     .options = cmd_replay_options,
     .run = cmd_replay},
    {.name = "backtest",
     .help = "replay sources to rules, and show what prices did after each alert",
     .details = cmd_backtest_details,
     .positional = "RULES SOURCE…",
     .positional_min = 2,
     .positional_max = 65,
     .options = cmd_backtest_options,
     .run = cmd_backtest},
    {.name = "explain",
     .help = "make an alert again from the capture, and show what decided it",
     .details = cmd_explain_details,
     .positional = "ID [SOURCE…]",
     .positional_min = 1,
     .positional_max = 65,
     .options = cmd_explain_options,
     .run = cmd_explain},
    {.name = "why-not",
     .help = "show what kept a rule from firing for a symbol at a time",
     .details = cmd_why_not_details,
     .positional = "RULE SYMBOL TIME [SOURCE…]",
     .positional_min = 3,
     .positional_max = 67,
     .options = cmd_explain_options,
     .run = cmd_why_not},
    {.name = "rules",
     .help = "check a file of rules, alone or against a source; give a running instance a changed one",
     .positional = "check FILE | reload",
     .positional_min = 1,
     .positional_max = 2,
     .options = cmd_rules_options,
     .run = cmd_rules},
    {.name = "capture",
     .help = "show what a capture holds, check it, make it smaller",
     .positional = "info|cat|verify|compress|prune PATH",
     .positional_min = 2,
     .positional_max = 2,
     .options = cmd_capture_options,
     .run = cmd_capture},
    {.name = "import",
     .help = "turn sources into a capture",
     .positional = "SOURCE… OUT",
     .positional_min = 2,
     .positional_max = 65,
     .options = cmd_import_options,
     .run = cmd_import},
    {.name = "audit",
     .help = "prove from journal, outbox and sinks that nothing is lost or doubled, or say where",
     .options = cmd_audit_options,
     .run = cmd_audit},
    {.name = "backup",
     .help = "copy an instance's directory, running or not, with checksums",
     .positional = "DIR TARGET",
     .positional_min = 2,
     .positional_max = 2,
     .options = cmd_backup_options,
     .run = cmd_backup},
    {.name = "restore",
     .help = "make an instance's directory of a backup, all of it checked first",
     .positional = "TARGET DIR",
     .positional_min = 2,
     .positional_max = 2,
     .options = cmd_restore_options,
     .run = cmd_restore},
    {.name = "top",
     .help = "watch a running instance: roles, rings, latency, sinks, rules, alerts",
     .no_settings = true,
     .options = cmd_top_options,
     .run = cmd_top},
    {.name = "rings",
     .help = "show the rings of a running instance",
     .no_settings = true,
     .options = cmd_rings_options,
     .run = cmd_rings},
    {.name = "symbols",
     .help = "show the symbols of a running instance, with their last trade and quote",
     .no_settings = true,
     .options = cmd_symbols_options,
     .run = cmd_symbols},
    {.name = "toplist",
     .help = "show the toplists of a running instance, or the ranks of one",
     .positional = "[ID]",
     .positional_max = 1,
     .no_settings = true,
     .options = cmd_toplist_options,
     .run = cmd_toplist},
    {.name = "scan",
     .help = "show the symbols of a running instance for which an expression holds now",
     .positional = "[EXPR]",
     .positional_max = 1,
     .no_settings = true,
     .options = cmd_scan_options,
     .run = cmd_scan},
    {.name = "metrics",
     .help = "show the metrics that rules can name",
     .positional = "[list]",
     .positional_max = 1,
     .no_settings = true,
     .options = cmd_metrics_options,
     .run = cmd_metrics},
    {.name = "indicators",
     .help = "add the values of indicators to a file of bars, or list the indicators",
     .positional = "[CSV]",
     .positional_max = 1,
     .no_settings = true,
     .options = cmd_indicators_options,
     .run = cmd_indicators},
    {.name = "anomalies",
     .help = "show the detectors of anomalies",
     .no_settings = true,
     .options = cmd_anomalies_options,
     .run = cmd_anomalies},
    {.name = "config",
     .help = "show the settings in force, and where each came from",
     .no_settings = true,
     .options = cmd_config_options,
     .run = cmd_config},
    {.name = "version",
     .help = "show the version",
     .no_settings = true,
     .options = version_options,
     .run = cmd_version},
    {0},
};

int main(int argc, char **argv)
{
    return cli_run(commands, argc, argv, stdout, stderr);
}
