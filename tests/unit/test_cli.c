#include "workers/cli.h"
#include "workers/cmd_config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cli_args last; /* what the command saw; its texts are argv's */
static const char *last_positional[8];
static int last_raw_argc;

static int cmd_scan(const struct cli_args *a)
{
    last = *a;
    for (int i = 0; i < a->positional_count && i < 8; i++)
        last_positional[i] = a->positional[i];
    fprintf(a->out, "scanned\n");
    if (cli_has(a, "fail"))
        return cli_fail(a, CLI_DAMAGED, "block %d is damaged", 7);
    return CLI_OK;
}

static int cmd_raw(int argc, char **argv)
{
    last_raw_argc = argc;
    return strcmp(argv[0], "raw") ? 99 : CLI_NOT_DRAINED;
}

static const char *const speeds[] = {"real", "flat", NULL};
static const struct cli_option scan_options[] = {
    {.name = "rules", .arg = "FILE", .help = "a rule file", .kind = CLI_TEXT, .many = true},
    {.name = "limit", .arg = "N", .help = "how many", .kind = CLI_NUMBER, .min = -1, .max = 100},
    {.name = "speed", .arg = "HOW", .help = "how fast", .kind = CLI_CHOICE, .choices = speeds},
    {.name = "fail", .help = "fail"},
    {0},
};

static const struct cli_command commands[] = {
    {.name = "scan",
     .help = "scan what is given",
     .positional = "SOURCE...",
     .positional_min = 1,
     .positional_max = 2,
     .options = scan_options,
     .run = cmd_scan},
    {.name = "config",
     .help = "show the settings",
     .no_settings = true,
     .options = cmd_config_options,
     .run = cmd_config},
    {.name = "raw", .help = "do it alone", .raw = cmd_raw},
    {0},
};

static char *out_text, *err_text;

static int run(const char *const *argv)
{
    size_t out_size, err_size;
    int argc = 0;
    while (argv[argc])
        argc++;
    free(out_text);
    free(err_text);
    FILE *out = open_memstream(&out_text, &out_size), *err = open_memstream(&err_text, &err_size);
    memset(&last, 0, sizeof last);
    int code = cli_run(commands, argc, (char **)argv, out, err);
    fclose(out);
    fclose(err);
    return code;
}

#define RUN(...) run((const char *const[]){"ringtape", __VA_ARGS__, NULL})
#define assert_contains(in, what)                                                                            \
    do {                                                                                                     \
        if (!strstr(in, what))                                                                               \
            fail_msg("\"%s\" is not in: %s", what, in);                                                      \
    } while (0)

static void takes_options_in_every_form(void **state)
{
    (void)state;
    assert_int_equal(RUN("scan", "a", "--rules", "r1", "--limit=7", "b", "--rules=r2", "--speed", "flat"),
                     CLI_OK);
    assert_string_equal(out_text, "scanned\n");
    assert_string_equal(err_text, "");
    assert_int_equal(last.positional_count, 2);
    assert_string_equal(last_positional[0], "a");
    assert_string_equal(last_positional[1], "b");
    assert_string_equal(cli_nth(&last, "rules", 0), "r1");
    assert_string_equal(cli_nth(&last, "rules", 1), "r2");
    assert_null(cli_nth(&last, "rules", 2));
    assert_int_equal(cli_number(&last, "limit", 1), 7);
    assert_string_equal(cli_text(&last, "speed", "real"), "flat");
    assert_false(cli_has(&last, "fail"));
    assert_int_equal(last.settings.limits_symbols, 20000);
    assert_int_equal(RUN("scan", "--limit", "-1", "--", "--rules"), CLI_OK);
    assert_int_equal(cli_number(&last, "limit", 1), -1);
    assert_string_equal(last_positional[0], "--rules");
    assert_int_equal(RUN("scan", "-"), CLI_OK); /* as a file name: standard input */
    assert_int_equal(cli_number(&last, "limit", 1), 1);
    assert_string_equal(cli_text(&last, "speed", "real"), "real");
}

static void refuses_with_the_nearest_name(void **state)
{
    (void)state;
    assert_int_equal(RUN("sacn"), CLI_USAGE);
    assert_contains(err_text, "ringtape: there is no command \"sacn\"; did you mean scan?");
    assert_int_equal(RUN("hlep"), CLI_USAGE);
    assert_contains(err_text, "did you mean help?");
    assert_int_equal(RUN("scan", "a", "--ruels", "x"), CLI_USAGE);
    assert_contains(err_text, "ringtape scan: there is no option --ruels; did you mean --rules?");
    assert_contains(err_text, "`ringtape scan --help` shows the usage.");
    assert_int_equal(RUN("scan", "a", "--confg=x"), CLI_USAGE);
    assert_contains(err_text, "there is no option --confg; did you mean --config?");
    assert_int_equal(RUN("scan", "a", "-v"), CLI_USAGE);
    assert_contains(err_text, "there is no option -v; options start with --");
    assert_string_equal(out_text, "");
}

static void refuses_bad_values(void **state)
{
    (void)state;
    assert_int_equal(RUN("scan", "a", "--limit", "101"), CLI_USAGE);
    assert_contains(err_text, "--limit: found \"101\"; expected a whole number from -1 to 100");
    assert_int_equal(RUN("scan", "a", "--limit", "7x"), CLI_USAGE);
    assert_int_equal(RUN("scan", "a", "--limit", " 7"), CLI_USAGE);
    assert_int_equal(RUN("scan", "a", "--limit", "+7"), CLI_USAGE);
    assert_int_equal(RUN("scan", "a", "--limit", "9999999999999999999999"), CLI_USAGE);
    assert_int_equal(RUN("scan", "a", "--limit="), CLI_USAGE);
    assert_contains(err_text, "--limit: found nothing; expected N");
    assert_int_equal(RUN("scan", "a", "--limit"), CLI_USAGE);
    assert_contains(err_text, "--limit needs a value: N");
    assert_int_equal(RUN("scan", "a", "--speed", "fast"), CLI_USAGE);
    assert_contains(err_text, "--speed: found \"fast\"; expected one of: real, flat");
    assert_int_equal(RUN("scan", "a", "--fail=1"), CLI_USAGE);
    assert_contains(err_text, "--fail takes no value");
    assert_int_equal(RUN("scan", "a", "--limit", "1", "--limit", "1"), CLI_USAGE);
    assert_contains(err_text, "--limit is given twice; remove one");
    assert_int_equal(RUN("scan", "a", "--fail", "--fail"), CLI_USAGE);
    assert_int_equal(RUN("scan"), CLI_USAGE);
    assert_contains(err_text, "ringtape scan: SOURCE... is missing");
    assert_int_equal(RUN("scan", "a", "b", "c"), CLI_USAGE);
    assert_contains(err_text, "found 3 arguments, \"c\" the last; expected at most 2 (SOURCE...)");
    assert_int_equal(RUN("config", "a"), CLI_USAGE);
    assert_contains(err_text, "found \"a\"; no argument is expected");
}

static void help_comes_from_the_tables(void **state)
{
    (void)state;
    assert_int_equal(RUN("help"), CLI_OK);
    assert_contains(out_text, "  scan         scan what is given\n");
    assert_contains(out_text, "  raw          do it alone\n");
    assert_contains(out_text, "Exit codes: 0 ok, 1 failed");
    assert_int_equal(RUN("scan", "--help"), CLI_OK); /* though SOURCE is missing */
    assert_contains(out_text, "Usage: ringtape scan [OPTIONS] SOURCE...\n");
    assert_contains(out_text, "  --rules FILE             a rule file (may be repeated)\n");
    assert_contains(out_text, "how fast (real, flat)\n");
    assert_contains(out_text, "--set S.K=VALUE");
    assert_contains(out_text, "Exit codes: 0 ok, 1 failed");
    char *text = strdup(out_text);
    assert_int_equal(RUN("help", "scan"), CLI_OK);
    assert_string_equal(out_text, text);
    free(text);
    assert_int_equal(run((const char *const[]){"ringtape", NULL}), CLI_USAGE);
    assert_string_equal(out_text, "");
    assert_contains(err_text, "Usage: ringtape COMMAND");
    assert_int_equal(RUN("help", "scna"), CLI_USAGE);
}

static void commands_say_how_they_failed(void **state)
{
    (void)state;
    assert_int_equal(RUN("scan", "a", "--fail"), CLI_DAMAGED);
    assert_string_equal(err_text, "ringtape scan: block 7 is damaged\n");
    assert_int_equal(RUN("raw", "--anything", "goes"), CLI_NOT_DRAINED);
    assert_int_equal(last_raw_argc, 3);
}

static void settings_reach_the_command(void **state)
{
    (void)state;
    assert_int_equal(RUN("scan", "a", "--set", "limits.symbols=9", "--set=limits.rules=8"), CLI_OK);
    assert_int_equal(last.settings.limits_symbols, 9);
    assert_int_equal(last.settings.limits_rules, 8);
    assert_int_equal(RUN("scan", "a", "--set", "limits.symbols=x"), CLI_USAGE);
    assert_contains(err_text, "ringtape scan: --set: limits.symbols: found \"x\"");
    assert_int_equal(RUN("scan", "a", "--config", "/nonexistent.ini"), CLI_USAGE);
    assert_contains(err_text, "cannot open the settings file /nonexistent.ini: No such file");
    setenv("RINGTAPE_CONFIG", "/nonexistent2.ini", 1);
    assert_int_equal(RUN("scan", "a"), CLI_USAGE);
    assert_contains(err_text, "/nonexistent2.ini");
    assert_int_equal(RUN("config", "--template"), CLI_OK);
    unsetenv("RINGTAPE_CONFIG");
}

/* The texts that the config command prints must be taken back by the reader. */
static void config_prints_what_it_reads(void **state)
{
    (void)state;
    struct settings s;
    struct error err;
    char origin[320];
    assert_int_equal(RUN("config", "--template"), CLI_OK);
    settings_defaults(&s);
    assert_int_equal(settings_parse(&s, "t", out_text, strlen(out_text), &err), 0);
    char *open = out_text;
    for (char *c = out_text; *c; c++) /* with every ";key" opened the defaults stay */
        if ((c == out_text || c[-1] == '\n') && *c == ';' && c[1] != ' ')
            continue;
        else
            *open++ = *c;
    *open = 0;
    settings_defaults(&s);
    if (settings_parse(&s, "t", out_text, strlen(out_text), &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < SETTING_COUNT; i++) {
        char value[SETTING_TEXT_MAX];
        setting_value(&s, (enum setting_id)i, value);
        assert_string_equal(value, setting_table[i].default_text);
        assert_int_equal(s.from[i].origin, SETTING_FROM_FILE);
    }
    assert_int_equal(RUN("config", "--set", "http.port=123"), CLI_OK);
    assert_contains(out_text, "port = 123                               ; --set\n");
    settings_defaults(&s);
    assert_int_equal(settings_parse(&s, "t", out_text, strlen(out_text), &err), 0);
    assert_int_equal(s.http_port, 123);
    setting_origin(&s, SETTING_ID_http_port, origin, sizeof origin);
    assert_true(s.from[SETTING_ID_http_port].line > 1);
}

static void config_in_other_forms(void **state)
{
    (void)state;
    assert_int_equal(RUN("config", "--json", "--set", "http.port=123"), CLI_OK);
    json_t *j = json_loads(out_text, 0, NULL);
    assert_non_null(j);
    assert_int_equal(json_object_size(j), SETTING_COUNT);
    json_t *port = json_object_get(j, "http.port");
    assert_int_equal(json_integer_value(json_object_get(port, "value")), 123);
    assert_string_equal(json_string_value(json_object_get(port, "origin")), "--set");
    assert_true(json_is_true(json_object_get(json_object_get(j, "redis.publish_prices"), "value")));
    json_decref(j);
    assert_int_equal(RUN("config", "--env"), CLI_OK);
    assert_contains(out_text, "\n#RINGTAPE_HTTP_PORT=0\n");
    assert_contains(out_text, "Also SCANNER_HEALTH_PORT.");
    assert_int_equal(RUN("config", "--docs"), CLI_OK);
    assert_contains(out_text, "| `rings.tick_slots` | a power of two from 64 to 4194304 (slots) | `65536` | "
                              "`RINGTAPE_RINGS_TICK_SLOTS`, `SCANNER_BUFFER_SIZE` |");
    assert_int_equal(RUN("config", "--docs", "--env"), CLI_USAGE);
}

static void a_full_disk_is_a_failure(void **state)
{
    (void)state;
    FILE *full = fopen("/dev/full", "w"), *err = fopen("/dev/null", "w");
    assert_non_null(full);
    char *argv[] = {"ringtape", "config", NULL};
    assert_int_equal(cli_run(commands, 2, argv, full, err), CLI_FAILED);
    fclose(full);
    fclose(err);
}

static int forget_environment(void **state)
{
    (void)state;
    return clearenv();
}

static int free_texts(void **state)
{
    (void)state;
    free(out_text);
    free(err_text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_options_in_every_form),  cmocka_unit_test(refuses_with_the_nearest_name),
        cmocka_unit_test(refuses_bad_values),           cmocka_unit_test(help_comes_from_the_tables),
        cmocka_unit_test(commands_say_how_they_failed), cmocka_unit_test(settings_reach_the_command),
        cmocka_unit_test(config_prints_what_it_reads),  cmocka_unit_test(config_in_other_forms),
        cmocka_unit_test(a_full_disk_is_a_failure),
    };
    return cmocka_run_group_tests_name("cli", tests, forget_environment, free_texts);
}
