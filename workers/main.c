/* The table of commands. A command is a cmd_*.c with its options table and its function, and a row here. */
#include "core/version.h"
#include "workers/cli.h"
#include "workers/cmd_config.h"

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
