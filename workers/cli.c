#include "workers/cli.h"

#include "core/decimal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

#define PROGRAM "ringtape"

static const struct cli_option common_options[] = {
    {.name = "config", .arg = "FILE", .help = "settings file (also RINGTAPE_CONFIG)", .kind = CLI_TEXT},
    {.name = "set",
     .arg = "S.K=VALUE",
     .help = "set one setting, over file and environment",
     .kind = CLI_TEXT,
     .many = true},
    {.name = "help", .help = "show this"},
    {0},
};

static const char exit_codes[] =
    "Exit codes: 0 ok, 1 failed at run time, 2 usage or configuration, 3 input damaged,\n"
    "4 a sink did not take everything in time.\n";

enum { NAMES_MAX = 64 };

/* Prints "; did you mean …?" for the name nearest to `word`. */
static void suggest(FILE *err, const char *word, const char *const *names, unsigned n, const char *dashes)
{
    const char *near = error_nearest(word, names, n);
    if (near)
        fprintf(err, "; did you mean %s%s?", dashes, near);
}

static const struct cli_option *option_find(const struct cli_option *options, const char *name, size_t len)
{
    for (; options && options->name; options++)
        if (strlen(options->name) == len && !memcmp(options->name, name, len))
            return options;
    return NULL;
}

static void print_options(FILE *out, const struct cli_option *options)
{
    for (; options && options->name; options++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", options->name, options->arg ? " " : "",
                 options->arg ? options->arg : "");
        fprintf(out, "  %-24s %s", left, options->help);
        if (options->kind == CLI_CHOICE)
            for (const char *const *c = options->choices; *c; c++)
                fprintf(out, "%s%s%s", c == options->choices ? " (" : "", *c, c[1] ? ", " : ")");
        fprintf(out, "%s\n", options->many ? " (may be repeated)" : "");
    }
}

static void print_command_help(FILE *out, const struct cli_command *c)
{
    fprintf(out, "Usage: " PROGRAM " %s [OPTIONS]%s%s\n\n%s\n", c->name, c->positional ? " " : "",
            c->positional ? c->positional : "", c->help);
    if (c->details)
        fprintf(out, "\n%s\n", c->details);
    if (c->options && c->options->name) {
        fprintf(out, "\nOptions:\n");
        print_options(out, c->options);
    }
    fprintf(out, "\nOptions of every command:\n");
    print_options(out, common_options);
    fprintf(out, "\n%s", exit_codes);
}

static void print_help(FILE *out, const struct cli_command *commands)
{
    fprintf(out, "Usage: " PROGRAM " COMMAND [OPTIONS]\n\nCommands:\n");
    for (const struct cli_command *c = commands; c->name; c++)
        fprintf(out, "  %-12s %s\n", c->name, c->help);
    fprintf(out, "  %-12s %s\n", "help", "show this, or the help of a command");
    fprintf(out, "\nOptions of every command:\n");
    print_options(out, common_options);
    fprintf(out, "\n`" PROGRAM " COMMAND --help` tells more.\n%s", exit_codes);
}

static const struct cli_command *command_find(const struct cli_command *commands, const char *name)
{
    for (; commands->name; commands++)
        if (!strcmp(commands->name, name))
            return commands;
    return NULL;
}

static int unknown_command(const struct cli_command *commands, const char *name, FILE *err)
{
    const char *names[NAMES_MAX];
    unsigned n = 0;
    for (const struct cli_command *c = commands; c->name && n < NAMES_MAX - 1; c++)
        names[n++] = c->name;
    names[n++] = "help";
    fprintf(err, PROGRAM ": there is no command \"%s\"", name);
    suggest(err, name, names, n, "");
    fprintf(err, "\n`" PROGRAM " help` lists the commands.\n");
    return CLI_USAGE;
}

static int usage(const struct cli_args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int usage(const struct cli_args *a, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(a->err, PROGRAM " %s: ", a->command->name);
    vfprintf(a->err, format, ap);
    fprintf(a->err, "\n`" PROGRAM " %s --help` shows the usage.\n", a->command->name);
    va_end(ap);
    return CLI_USAGE;
}

static int unknown_option(const struct cli_args *a, const char *name, size_t len)
{
    const char *names[NAMES_MAX];
    char word[64];
    unsigned n = 0;
    for (const struct cli_option *o = a->command->options; o && o->name && n < NAMES_MAX - 3; o++)
        names[n++] = o->name;
    for (const struct cli_option *o = common_options; o->name; o++)
        names[n++] = o->name;
    snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), name);
    const char *near = error_nearest(word, names, n);
    return usage(a, "there is no option --%s%s%s%s", word, near ? "; did you mean --" : "", near ? near : "",
                 near ? "?" : "");
}

static int check_number(const struct cli_args *a, struct cli_value *v)
{
    const struct cli_option *o = v->option;
    char *end;
    errno = 0;
    v->number = strtoll(v->text, &end, 10);
    if (errno || *end || end == v->text || strspn(v->text, "-0123456789") != strlen(v->text) ||
        v->number < o->min || v->number > o->max)
        return usage(a, "--%s: found \"%s\"; expected a whole number from %lld to %lld", o->name, v->text,
                     (long long)o->min, (long long)o->max);
    return CLI_OK;
}

static int check_choice(const struct cli_args *a, const struct cli_value *v)
{
    char all[256] = "";
    size_t n = 0;
    for (const char *const *c = v->option->choices; *c; c++) {
        if (!strcmp(*c, v->text))
            return CLI_OK;
        if (n < sizeof all)
            n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", *c);
    }
    return usage(a, "--%s: found \"%s\"; expected one of: %s", v->option->name, v->text, all);
}

static int check_value(const struct cli_args *a, struct cli_value *v)
{
    if (v->option->kind == CLI_FLAG)
        return CLI_OK;
    if (!*v->text)
        return usage(a, "--%s: found nothing; expected %s", v->option->name, v->option->arg);
    if (v->option->kind == CLI_NUMBER)
        return check_number(a, v);
    return v->option->kind == CLI_CHOICE ? check_choice(a, v) : CLI_OK;
}

/* Takes argv[*i], an option, and its value if that is the next argument. */
static int take_option(struct cli_args *a, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *o = option_find(a->command->options, name, len);
    if (!o)
        o = option_find(common_options, name, len);
    if (!o)
        return unknown_option(a, name, len);
    if (!o->many && cli_has(a, o->name))
        return usage(a, "--%s is given twice; remove one", o->name);
    if (a->value_count == CLI_VALUES_MAX)
        return usage(a, "more than %d options", CLI_VALUES_MAX);
    struct cli_value *v = &a->values[a->value_count];
    *v = (struct cli_value){.option = o};
    if (o->kind == CLI_FLAG && equals)
        return usage(a, "--%s takes no value", o->name);
    if (o->kind != CLI_FLAG && !equals && *i + 1 >= argc)
        return usage(a, "--%s needs a value: %s", o->name, o->arg);
    if (o->kind != CLI_FLAG)
        v->text = equals ? equals + 1 : argv[++*i];
    a->value_count++;
    return check_value(a, v);
}

/* Splits argv[1..argc) into options and positional arguments; `positional` has room for argc. */
static int take_arguments(struct cli_args *a, int argc, char **argv, const char **positional)
{
    bool options = true;
    a->positional = positional;
    for (int i = 1; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && !strncmp(argv[i], "--", 2)) {
            int code = take_option(a, argc, argv, &i);
            if (code)
                return code;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            return usage(a, "there is no option %s; options start with --", argv[i]);
        } else {
            positional[a->positional_count++] = argv[i];
        }
    }
    return CLI_OK;
}

static int check_positional(const struct cli_args *a)
{
    const struct cli_command *c = a->command;
    if (a->positional_count > 0 && c->positional_max == 0)
        return usage(a, "found \"%s\"; no argument is expected", a->positional[0]);
    if (a->positional_count < c->positional_min)
        return usage(a, "%s is missing", c->positional);
    if (a->positional_count > c->positional_max)
        return usage(a, "found %d arguments, \"%s\" the last; expected at most %d (%s)", a->positional_count,
                     a->positional[a->positional_count - 1], c->positional_max, c->positional);
    return CLI_OK;
}

int cli_load_settings(const struct cli_args *a, struct settings *settings)
{
    struct error err;
    const char *sets[CLI_VALUES_MAX], *from_environment = getenv("RINGTAPE_CONFIG");
    size_t n = 0;
    for (const char *set; (set = cli_nth(a, "set", (int)n));)
        sets[n++] = set;
    const char *file = cli_text(a, "config", from_environment && *from_environment ? from_environment : NULL);
    if (settings_load(settings, file, environ, sets, n, &err))
        return cli_fail(a, CLI_USAGE, "%s", err.text);
    return CLI_OK;
}

static int run_command(const struct cli_command *c, int argc, char **argv, FILE *out, FILE *err)
{
    if (c->raw)
        return c->raw(argc, argv);
    struct cli_args *a = calloc(1, sizeof *a);
    const char **positional = calloc((size_t)argc, sizeof *positional);
    int code;
    if (!a || !positional) {
        fprintf(err, PROGRAM ": out of memory\n");
        code = CLI_FAILED;
        goto done;
    }
    a->command = c;
    a->out = out;
    a->err = err;
    code = take_arguments(a, argc, argv, positional);
    if (!code && cli_has(a, "help")) {
        print_command_help(out, c);
        goto done;
    }
    if (!code)
        code = check_positional(a);
    if (!code && !c->no_settings)
        code = cli_load_settings(a, &a->settings);
    if (!code)
        code = c->run(a);
done:
    free(positional);
    free(a);
    return code;
}

static int dispatch(const struct cli_command *commands, int argc, char **argv, FILE *out, FILE *err)
{
    if (argc < 2) {
        print_help(err, commands);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    bool help = !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h");
    if (help && argc < 3) {
        print_help(out, commands);
        return CLI_OK;
    }
    if (!strcmp(name, "--version"))
        name = "version";
    const struct cli_command *c = command_find(commands, help ? argv[2] : name);
    if (!c)
        return unknown_command(commands, help ? argv[2] : name, err);
    if (!help)
        return run_command(c, argc - 1, argv + 1, out, err);
    char *asked[] = {argv[2], "--help", NULL};
    return run_command(c, 2, asked, out, err);
}

int cli_run(const struct cli_command *commands, int argc, char **argv, FILE *out, FILE *err)
{
    int code = dispatch(commands, argc, argv, out, err);
    errno = 0;
    if ((fflush(out) || ferror(out)) && code == CLI_OK) {
        fprintf(err, PROGRAM ": cannot write the output: %s\n", strerror(errno ? errno : EIO));
        code = CLI_FAILED;
    }
    return code;
}

static const struct cli_option *must_find(const struct cli_args *a, const char *name)
{
    const struct cli_option *o = option_find(a->command->options, name, strlen(name));
    if (!o)
        o = option_find(common_options, name, strlen(name));
    assert(o);
    return o;
}

static const struct cli_value *value_nth(const struct cli_args *a, const char *name, int n)
{
    const struct cli_option *o = must_find(a, name);
    for (int i = 0; i < a->value_count; i++)
        if (a->values[i].option == o && n-- == 0)
            return &a->values[i];
    return NULL;
}

bool cli_takes(const struct cli_args *args, const char *option)
{
    return option_find(args->command->options, option, strlen(option)) != NULL;
}

bool cli_has(const struct cli_args *args, const char *option)
{
    return value_nth(args, option, 0) != NULL;
}

const char *cli_text(const struct cli_args *args, const char *option, const char *otherwise)
{
    const struct cli_value *v = value_nth(args, option, 0);
    return v ? v->text : otherwise;
}

int64_t cli_number(const struct cli_args *args, const char *option, int64_t otherwise)
{
    assert(must_find(args, option)->kind == CLI_NUMBER);
    const struct cli_value *v = value_nth(args, option, 0);
    return v ? v->number : otherwise;
}

int cli_time(const struct cli_args *a, const char *option, int64_t *ns)
{
    const char *text = cli_text(a, option, NULL);
    if (text && decimal_parse_time(text, strlen(text), ns) != DECIMAL_OK)
        return cli_fail(a, CLI_USAGE,
                        "--%s: '%s', expected a time such as 2013-10-08T14:30:00Z, or ns since 1970", option,
                        text);
    return CLI_OK;
}

const char *cli_nth(const struct cli_args *args, const char *option, int i)
{
    const struct cli_value *v = value_nth(args, option, i);
    return v ? v->text : NULL;
}

int cli_fail(const struct cli_args *args, enum cli_exit code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fflush(args->out);
    fprintf(args->err, PROGRAM " %s: ", args->command->name);
    vfprintf(args->err, format, ap);
    fputc('\n', args->err);
    va_end(ap);
    return code;
}
