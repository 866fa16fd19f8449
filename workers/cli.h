/* The command line as tables: one row per command, one row per option; help and checks come from them.
 *
 * Options are --name, --name VALUE or --name=VALUE, before or after the positional arguments; -- ends them.
 * Every command also takes --help, --config FILE and --set section.key=value (repeatable); the settings are
 * loaded before it runs.
 */
#ifndef WORKERS_CLI_H
#define WORKERS_CLI_H

#include "core/error.h"
#include "net/settings.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* failed at run time */
    CLI_USAGE = 2,       /* usage or configuration */
    CLI_DAMAGED = 3,     /* an input is damaged */
    CLI_NOT_DRAINED = 4, /* a sink did not take everything in time */
};

enum cli_kind {
    CLI_FLAG,   /* no value */
    CLI_TEXT,   /* a value, not empty */
    CLI_NUMBER, /* a whole number, min..max */
    CLI_CHOICE, /* one of choices */
};

struct cli_option {
    const char *name; /* without the dashes */
    const char *arg;  /* what the value is called in the help; NULL for a flag */
    const char *help;
    enum cli_kind kind;
    bool many; /* may be repeated */
    int64_t min, max;
    const char *const *choices; /* NULL at the end */
};

struct cli_args;

struct cli_command {
    const char *name;
    const char *help;       /* one line */
    const char *details;    /* more lines for its own help; NULL if there are none */
    const char *positional; /* as shown after the options, e.g. "SOURCE…"; NULL if there are none */
    int positional_min, positional_max;
    bool no_settings;                 /* the settings are not loaded: it must work where they are wrong */
    const struct cli_option *options; /* NULL or ends with a row without name */
    int (*run)(const struct cli_args *args); /* returns an enum cli_exit */
    /* Instead of run: gets argv from the command's name on and does everything itself, --help too. */
    int (*raw)(int argc, char **argv);
};

enum { CLI_VALUES_MAX = 256 };

struct cli_args {
    const struct cli_command *command;
    struct settings settings;
    const char *const *positional;
    int positional_count;
    FILE *out, *err;
    struct cli_value {
        const struct cli_option *option;
        const char *text; /* NULL for a flag */
        int64_t number;
    } values[CLI_VALUES_MAX]; /* in the order given */
    int value_count;
};

/* What was given; asking for a name that the command's table does not have is a programmer's error. */
bool cli_has(const struct cli_args *args, const char *option);
/* Whether the command has such an option at all; of any name. */
bool cli_takes(const struct cli_args *args, const char *option);
/* The value of a TEXT or CHOICE, or `otherwise`. */
const char *cli_text(const struct cli_args *args, const char *option, const char *otherwise);
int64_t cli_number(const struct cli_args *args, const char *option, int64_t otherwise);
/* The UTC time of a TEXT, as decimal_parse_time reads it, into *ns if the option is there. CLI_OK, or
 * CLI_USAGE with a message. */
int cli_time(const struct cli_args *args, const char *option, int64_t *ns);
/* The i-th value (from 0) of a repeatable option, NULL past the last. */
const char *cli_nth(const struct cli_args *args, const char *option, int i);

/* Loads the settings as --config, RINGTAPE_CONFIG, the environment and --set say: for commands with
 * no_settings, the others have them. CLI_OK, or CLI_USAGE with the reason printed. */
int cli_load_settings(const struct cli_args *args, struct settings *settings)
    __attribute__((warn_unused_result));

/* Prints "ringtape CMD: text" to args->err and returns `code`, so that a command can `return cli_fail(…)`. */
int cli_fail(const struct cli_args *args, enum cli_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Runs the command that argv names; commands end with a row without name. Returns the exit code; what could
 * not be written to `out` is a failure. */
int cli_run(const struct cli_command *commands, int argc, char **argv, FILE *out, FILE *err);

#endif
