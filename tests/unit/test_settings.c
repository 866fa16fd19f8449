#include "net/settings.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct settings s;
static struct error err;

static int reset(void **state)
{
    (void)state;
    settings_defaults(&s);
    memset(&err, 0, sizeof err);
    return 0;
}

static int parse(const char *text)
{
    return settings_parse(&s, "t.ini", text, strlen(text), &err);
}

static void defaults_are_the_table(void **state)
{
    (void)state;
    assert_int_equal(s.limits_symbols, 20000);
    assert_int_equal(s.rings_tick_slots, 65536);
    assert_int_equal(s.journal_sync, SET_JOURNAL_SYNC_INTERVAL);
    assert_string_equal(s.http_listen, "127.0.0.1");
    assert_true(s.redis_publish_prices);
    assert_string_equal(s.sinks_redis, "");
    for (int i = 0; i < SETTING_COUNT; i++) {
        char value[SETTING_TEXT_MAX], origin[320], env[64];
        setting_value(&s, (enum setting_id)i, value);
        setting_origin(&s, (enum setting_id)i, origin, sizeof origin);
        setting_env_name((enum setting_id)i, env);
        assert_string_equal(value, setting_table[i].default_text);
        assert_string_equal(origin, "default");
        assert_true(strlen(setting_table[i].help) > 10);
        assert_int_equal(setting_find(setting_table[i].name), i);
    }
}

static void sections_stand_together(void **state)
{
    (void)state;
    for (int i = 1; i < SETTING_COUNT; i++)
        if (strcmp(setting_table[i].section, setting_table[i - 1].section))
            for (int j = 0; j < i - 1; j++)
                assert_string_not_equal(setting_table[i].section, setting_table[j].section);
}

static void a_file_sets_values(void **state)
{
    (void)state;
    assert_int_equal(
        parse("\xef\xbb\xbf; a comment\r\n[limits]\r\nsymbols = 5 ; few\r\n  rules=7\r\n\n[journal]\n"
              "sync = never\n[sinks]\nredis = redis://h:1/2\njsonl =\n[redis]\npublish_prices = off\n"
              "[loop]\npin = 3,0-1\n[limits] ; again\nmetrics = 9"),
        0);
    assert_int_equal(s.limits_symbols, 5);
    assert_int_equal(s.limits_rules, 7);
    assert_int_equal(s.limits_metrics, 9);
    assert_int_equal(s.journal_sync, SET_JOURNAL_SYNC_NEVER);
    assert_string_equal(s.sinks_redis, "redis://h:1/2");
    assert_false(s.redis_publish_prices);
    assert_string_equal(s.loop_pin, "3,0-1");
    char origin[320];
    setting_origin(&s, SETTING_ID_limits_rules, origin, sizeof origin);
    assert_string_equal(origin, "t.ini:4");
    setting_origin(&s, SETTING_ID_csv_size_scale, origin, sizeof origin);
    assert_string_equal(origin, "default");
}

/* What is refused, and what the message must say. */
static const struct {
    const char *text, *message;
} bad_files[] = {
    {"[limits]\nsymbols = 5\nsymbls = 6\n",
     "t.ini:3: there is no setting \"limits.symbls\"; did you mean limits.symbols?"},
    {"[limts]\n", "t.ini:1: there is no section [limts]; did you mean limits?"},
    {"[a\x01z]\n", "t.ini:1: there is no section [a?z]"},
    {"[zzzzzzzzzz]\n", "t.ini:1: there is no section [zzzzzzzzzz]; `ringtape config` lists all"},
    {"\n\nsymbols = 5\n", "t.ini:3: found a value before any section; expected [section] first"},
    {"[limits]\nsymbols\n",
     "t.ini:2: found \"symbols\"; expected key = value, [section], or a comment after ;"},
    {"[limits]\nsymbols 12\n[nonsense]\n",
     "t.ini:2: found \"symbols 12\"; expected key = value, [section], or a "
     "comment after ;"},
    {"[limits\nsymbols = 1\n", "t.ini:1: found \"[limits\"; expected [section]"},
    {"[limits] symbols = 1\n",
     "t.ini:1: found \"symbols = 1?\" after a section; expected the end of the line"},
    {"[limits]\nsymbols = 5\n\nsymbols = 5\n",
     "t.ini:4: limits.symbols is given twice, here and in line 2; remove one"},
    {"[limits]\nsymbols = many\n",
     "t.ini:2: limits.symbols: found \"many\"; expected a whole number from 1 to 1000000"},
    {"[limits]\nsymbols = 0\n", "found \"0\"; expected a whole number from 1 to 1000000"},
    {"[limits]\nsymbols = 1000001\n", "found \"1000001\""},
    {"[limits]\nsymbols = 99999999999999999999\n", "found \"99999999999999999999\""},
    {"[limits]\nsymbols = 0x10\n", "found \"0x10\""},
    {"[limits]\nsymbols = 1 2\n", "found \"1 2\""},
    {"[limits]\nsymbols = +5\n", "found \"+5\""},
    {"[limits]\nsymbols =\n", "found nothing; expected a whole number"},
    {"[limits]\nsymbols = 5 # few\n", "a comment after a value starts with ;"},
    {"[rings]\ntick_slots = 65535\n", "expected a power of two from 64 to 4194304 (slots)"},
    {"[rings]\ntick_slots = 32\n", "expected a power of two"},
    {"[journal]\nsync = allways\n",
     "found \"allways\"; expected never, interval or always; did you mean always?"},
    {"[bars]\neligibility = conditions\n", "found \"conditions\"; expected all or table"},
    {"[redis]\npublish_prices = maybe\n", "found \"maybe\"; expected true or false"},
    {"[redis]\ntrade_channel = two words\n", "expected a name of 1 to 159 bytes without spaces"},
    {"[redis]\ntrade_channel =\n", "found nothing"},
    {"[http]\nlisten = localhost\n", "expected an IPv4 or IPv6 address"},
    {"[node]\nname = a/b\n", "expected at most 63 letters"},
    {"[source]\nmarket = 1234567890123456\n", "expected at most 15 letters"},
    {"[loop]\npin = 1,,2\n", "expected auto, off, or a list of distinct CPUs"},
    {"[sinks]\nredis = http://h\n",
     "t.ini:2: sinks.redis: found \"http://h\"; expected redis://host:port/db"},
};

static void bad_files_are_refused_by_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        settings_defaults(&s);
        strcpy(err.text, "none");
        if (parse(bad_files[i].text) != -1 || !strstr(err.text, bad_files[i].message))
            fail_msg("%s\nwas told: %s\nexpected: %s", bad_files[i].text, err.text, bad_files[i].message);
    }
}

static void odd_bytes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(settings_parse(&s, "t", "[limits]\nsym\0bols = 1\n", 22, &err), -1);
    assert_string_equal(err.text, "t:2: found a NUL byte; expected text");
    char line[400];
    memset(line, 'a', sizeof line);
    memcpy(line, "[sinks]\njsonl=", 14);
    settings_defaults(&s);
    assert_int_equal(settings_parse(&s, "t", line, sizeof line, &err), -1);
    assert_non_null(strstr(err.text, "t:2: found a line of 392 bytes; expected at most"));
    settings_defaults(&s);
    assert_int_equal(settings_parse(&s, "t", line, 8 + 6 + SETTING_TEXT_MAX, &err), -1);
    assert_non_null(strstr(err.text, "expected a path of at most 159 bytes"));
    settings_defaults(&s);
    assert_int_equal(settings_parse(&s, "t", line, 8 + 6 + SETTING_TEXT_MAX - 1, &err), 0);
    assert_int_equal(strlen(s.sinks_jsonl), SETTING_TEXT_MAX - 1);
    settings_defaults(&s);
    assert_int_equal(settings_parse(&s, "t", "", 0, &err), 0);
}

static void passwords_are_never_repeated(void **state)
{
    (void)state;
    const char *const bad[] = {"[sinks]\nredis = redis://:hunter2@h\n",
                               "[sinks]\njsonl2 = redis://:hunter2@h\n",
                               "[sinks]\nredis redis://:hunter2@h\n", "[log]\nlevel = redis://:hunter2@h\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        settings_defaults(&s);
        assert_int_equal(parse(bad[i]), -1);
        assert_null(strstr(err.text, "hunter2"));
    }
    settings_defaults(&s);
    assert_int_equal(settings_override(&s, "sinks.redis=redis://u:hunter2@h/1", &err), -1);
    assert_non_null(strstr(err.text, "redis.password_file"));
    assert_null(strstr(err.text, "hunter2"));
    assert_int_equal(settings_override(&s, "redis://u:hunter2@h/1", &err), -1);
    assert_null(strstr(err.text, "hunter2"));
}

static void environment_wins_over_file(void **state)
{
    (void)state;
    char *env[] = {"PATH=/bin",
                   "RINGTAPE_LIMITS_SYMBOLS=11",
                   "SCANNER_WORKER_COUNT=3",
                   "RINGTAPE_JOURNAL_SYNC=always",
                   "SCANNER_HEALTH_PORT=1000",
                   "RINGTAPE_HTTP_PORT=2000",
                   "RINGTAPE_CONFIG=x",
                   "RINGTAPE_LIMITS=1",
                   "RINGTAPE_REDIS_SERVICE_HOST=10.0.0.1",
                   "RINGTAPE_REDIS_PORT=tcp://10.0.0.1:6379",
                   NULL};
    assert_int_equal(parse("[limits]\nsymbols = 5\nrules = 6\n"), 0);
    assert_int_equal(settings_read_environment(&s, env, &err), 0);
    assert_int_equal(s.limits_symbols, 11);
    assert_int_equal(s.limits_rules, 6);
    assert_int_equal(s.run_scanners, 3);
    assert_int_equal(s.journal_sync, SET_JOURNAL_SYNC_ALWAYS);
    assert_int_equal(s.http_port, 2000); /* the own name wins over the alias */
    char origin[320];
    setting_origin(&s, SETTING_ID_limits_symbols, origin, sizeof origin);
    assert_string_equal(origin, "RINGTAPE_LIMITS_SYMBOLS");
    setting_origin(&s, SETTING_ID_run_scanners, origin, sizeof origin);
    assert_string_equal(origin, "SCANNER_WORKER_COUNT");
    assert_int_equal(settings_override(&s, "limits.symbols=12", &err), 0);
    assert_int_equal(s.limits_symbols, 12);
    setting_origin(&s, SETTING_ID_limits_symbols, origin, sizeof origin);
    assert_string_equal(origin, "--set");
}

static void bad_environment_is_refused(void **state)
{
    (void)state;
    char *slip[] = {"RINGTAPE_LIMITS_SYMBLS=11", NULL}, *value[] = {"SCANNER_BUFFER_SIZE=1000", NULL},
         *empty[] = {"RINGTAPE_HTTP_PORT=", NULL};
    assert_int_equal(settings_read_environment(&s, slip, &err), -1);
    assert_string_equal(err.text, "environment: RINGTAPE_LIMITS_SYMBLS names no setting; did you mean "
                                  "RINGTAPE_LIMITS_SYMBOLS?");
    assert_int_equal(settings_read_environment(&s, value, &err), -1);
    assert_string_equal(err.text,
                        "environment: SCANNER_BUFFER_SIZE: rings.tick_slots: found \"1000\"; expected a "
                        "power of two from 64 to 4194304 (slots)");
    assert_int_equal(settings_read_environment(&s, empty, &err), -1);
    assert_non_null(strstr(err.text, "found nothing"));
}

static void bad_overrides_are_refused(void **state)
{
    (void)state;
    assert_int_equal(settings_override(&s, "limits.symbols", &err), -1);
    assert_string_equal(err.text, "--set: found \"limits.symbols\"; expected section.key=value");
    assert_int_equal(settings_override(&s, "=3", &err), -1);
    assert_int_equal(settings_override(&s, "symbols=3", &err), -1);
    assert_non_null(strstr(err.text, "there is no setting \"symbols\""));
    assert_int_equal(settings_override(&s, "limits.rules=3", &err), 0);
    assert_int_equal(settings_override(&s, "limits.rules=3", &err), -1);
    assert_string_equal(err.text, "--set: limits.rules is given twice; remove one");
}

static void files_are_read(void **state)
{
    (void)state;
    char path[] = "/tmp/ringtape-settings-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[http]\nport = 80\n", 17), 17);
    close(fd);
    const char *sets[] = {"log.level=debug"};
    assert_int_equal(settings_load(&s, path, NULL, sets, 1, &err), 0);
    assert_int_equal(s.http_port, 80);
    assert_int_equal(s.log_level, SET_LOG_LEVEL_DEBUG);
    unlink(path);
    assert_int_equal(settings_load(&s, path, NULL, NULL, 0, &err), -1);
    assert_non_null(strstr(err.text, "cannot open the settings file /tmp/ringtape-settings-"));
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(settings_load(&s, "/tmp", NULL, NULL, 0, &err), -1);
    assert_non_null(strstr(err.text, "Is a directory"));
    const char *clash[] = {"journal.block_kb=16384"};
    assert_int_equal(settings_load(&s, NULL, NULL, clash, 1, &err), -1);
    assert_non_null(strstr(err.text, "journal.block_kb: found 16384; expected at most half of"));
}

static void cpu_lists(void **state)
{
    (void)state;
    uint16_t cpus[SETTING_CPUS_MAX];
    assert_int_equal(setting_cpu_list("2,4-7,0", cpus), 6);
    assert_int_equal(cpus[0], 2);
    assert_int_equal(cpus[4], 7);
    assert_int_equal(cpus[5], 0);
    assert_int_equal(setting_cpu_list("0-63", cpus), 64);
    const char *const bad[] = {"",     "a",    "1-",    "-1",   "2-1", "1,",   "1,1",
                               "0-64", "1024", "3-5,4", "1 ,2", "1;2", "1--2", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(setting_cpu_list(bad[i], cpus), -1);
}

static void redis_addresses(void **state)
{
    (void)state;
    struct setting_redis r;
    assert_int_equal(setting_redis_parse("redis://example:6380/3", &r, &err), 0);
    assert_string_equal(r.host, "example");
    assert_int_equal(r.port, 6380);
    assert_int_equal(r.db, 3);
    assert_int_equal(setting_redis_parse("redis://[::1]/", &r, &err), 0);
    assert_string_equal(r.host, "::1");
    assert_int_equal(r.port, 6379);
    assert_int_equal(r.db, 0);
    assert_false(r.tls);
    assert_int_equal(setting_redis_parse("rediss://example:6380/3", &r, &err), 0);
    assert_true(r.tls);
    assert_string_equal(r.host, "example");
    assert_int_equal(r.port, 6380);
    assert_int_equal(r.db, 3);
    const char *const bad[] = {"redis://",         "redis:///1",    "redis://h:",    "redis://h:0",
                               "redis://h:65536",  "redis://h:1/x", "redis://h/1/2", "redis://h?x=1x:y",
                               "redis://[::1",     "redis://a b",   "redisss://h",   "localhost:6379",
                               "redis://h:123456", "rediss://",     "rediss:/h"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (setting_redis_parse(bad[i], &r, &err) != -1)
            fail_msg("%s was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_the_table, reset),
        cmocka_unit_test_setup(sections_stand_together, reset),
        cmocka_unit_test_setup(a_file_sets_values, reset),
        cmocka_unit_test_setup(bad_files_are_refused_by_place, reset),
        cmocka_unit_test_setup(odd_bytes_are_refused, reset),
        cmocka_unit_test_setup(passwords_are_never_repeated, reset),
        cmocka_unit_test_setup(environment_wins_over_file, reset),
        cmocka_unit_test_setup(bad_environment_is_refused, reset),
        cmocka_unit_test_setup(bad_overrides_are_refused, reset),
        cmocka_unit_test_setup(files_are_read, reset),
        cmocka_unit_test_setup(cpu_lists, reset),
        cmocka_unit_test_setup(redis_addresses, reset),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
