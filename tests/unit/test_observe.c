/* What an operator sees of an instance: the commands and the HTTP face, on a workspace made here. */
#include "workers/observe.h"
#include "net/http.h"
#include "net/outbox.h"
#include "shm/errlog.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"
#include "workers/cmd_metrics.h"
#include "workers/cmd_rings.h"
#include "workers/cmd_symbols.h"
#include "workers/cmd_top.h"
#include "workers/status_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[PATH_MAX];
static struct topology t;
static struct workspace *ws;
static struct observe_sample sample;
static struct error err;

static void create(void)
{
    ws = workspace_create(dir, &t, instance_schema_hash(), PAGES_NORMAL, NULL, &err);
    if (!ws)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    struct topology_options small = {.scanners = 2,
                                     .tick_ring_slots = 1024,
                                     .event_ring_slots = 256,
                                     .symbols_max = 100,
                                     .rules_max = 50,
                                     .rules_bytes = 65536,
                                     .staging_bytes = 65536};
    snprintf(dir, sizeof dir, "%s/ringtape-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir) || topology_build(&t, &small, &err))
        return -1;
    create();
    return 0;
}

static int delete_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    if (ws)
        workspace_remove(ws);
    ws = NULL;
    return nftw(dir, delete_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Every role runs: in this process. */
static void start_roles(void)
{
    struct heartbeats *beats = workspace_heartbeats(ws);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (uint32_t i = 0; i < t.role_count; i++)
        if (t.roles[i].process) {
            heartbeat_start(beats, i, "backoff", -1, 1, now.tv_sec * INT64_C(1000000000) + now.tv_nsec);
            heartbeat_set_state(beats, i, HEARTBEAT_RUNNING);
        }
}

static void set_state(enum role_kind kind, uint32_t index, enum heartbeat_state state)
{
    heartbeat_set_state(workspace_heartbeats(ws), (uint32_t)topology_role(&t, kind, index), state);
}

static struct control *control(void)
{
    return workspace_object(ws, "control", 0, NULL);
}

static void put_rule(uint32_t slot, const char *id, const char *name, uint32_t version)
{
    uint8_t bytes[1024];
    struct rule r = {.version = version, .enabled = true, .expr = "price > 1", .expr_len = 9};
    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.name, sizeof r.name, "%s", name);
    int len = rule_encode(&r, bytes, sizeof bytes);
    assert_true(len > 0);
    assert_int_equal(ruletab_put(workspace_ruletab(ws), slot, bytes, (size_t)len, 0), 0);
}

static struct rule_stats *stats_of(uint32_t scanner, uint32_t slot)
{
    return &rule_stats_rows(workspace_rule_stats(ws, scanner))[slot];
}

/* SPY with a trade and a quote, QQQ with neither. */
static void add_symbols(void)
{
    struct symtab *s = workspace_symtab(ws);
    struct symtab_identity spy = {.name = "SPY", .name_len = 3, .bucket = 5},
                           qqq = {.name = "QQQ", .name_len = 3, .bucket = 700};
    struct symtab_trade trade = {.price_e9 = 167510000000,
                                 .size = 200,
                                 .event_ns = INT64_C(1381239927122000000),
                                 .day_volume = 1234567,
                                 .session = SESSION_MARKET};
    struct symtab_quote quote = {.bid_e9 = 167500000000, .ask_e9 = 167520000000, .event_ns = 1};
    assert_int_equal(symtab_add(s, &spy), 0);
    assert_int_equal(symtab_add(s, &qqq), 1);
    symtab_set_trade(s, 0, &trade);
    symtab_set_quote(s, 0, &quote);
}

static void fill_ring(const char *name, uint32_t index, unsigned n)
{
    struct ring_producer p;
    struct msg m;
    size_t bytes;
    void *mem = workspace_object(ws, name, index, &bytes);
    assert_int_equal(ring_producer_join(&p, ring_join(mem, bytes, &err), &err), 0);
    msg_begin(&m, MSG_TRADE, 0, sizeof m.trade);
    while (n--)
        assert_int_equal(ring_put(&p, &m), 0);
}

/* Commands. */

static const struct cli_command commands[] = {
    {.name = "top", .help = "", .no_settings = true, .options = cmd_top_options, .run = cmd_top},
    {.name = "rings", .help = "", .no_settings = true, .options = cmd_rings_options, .run = cmd_rings},
    {.name = "symbols", .help = "", .no_settings = true, .options = cmd_symbols_options, .run = cmd_symbols},
    {.name = "metrics",
     .help = "",
     .positional = "[list]",
     .positional_max = 1,
     .no_settings = true,
     .options = cmd_metrics_options,
     .run = cmd_metrics},
    {0},
};

static char *output, *errors;

static int run(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    const char *argv[] = {"ringtape", a, b, c, d, e, NULL};
    size_t out_len, err_len;
    int argc = 0;
    free(output);
    free(errors);
    output = errors = NULL;
    FILE *out = open_memstream(&output, &out_len), *errs = open_memstream(&errors, &err_len);
    while (argv[argc])
        argc++;
    int code = cli_run(commands, argc, (char **)argv, out, errs);
    fclose(out);
    fclose(errs);
    return code;
}

static void assert_shown(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in:\n%s", part, text);
}

static void assert_not_shown(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("did not expect \"%s\" in:\n%s", part, text);
}

/* The line of `text` that starts with `start`. */
static const char *line_of(const char *text, const char *start)
{
    static char line[512];
    const char *at = text;
    while (at && strncmp(at, start, strlen(start))) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        fail_msg("expected a line \"%s…\" in:\n%s", start, text);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static json_t *parse(const char *text)
{
    json_error_t why;
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!j)
        fail_msg("%s at %d in:\n%s", why.text, why.position, text);
    return j;
}

static long long integer(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v))
        fail_msg("expected an integer \"%s\"", key);
    return json_integer_value(v);
}

static const char *string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "(none)";
}

static void test_a_reading(void **state)
{
    (void)state;
    char why[64];
    observe_read(ws, &sample);
    assert_true(sample.alive);
    assert_int_equal(sample.rings, 4);
    assert_int_equal(sample.roles, 5); /* ingest, 2 scanners, publisher, supervisor */
    assert_int_equal(sample.feed, OBSERVE_FEED_STARTING);
    assert_true(observe_starting(&sample));
    assert_false(observe_roles_ok(&sample, why, sizeof why));

    start_roles();
    fill_ring("tick_ring", 1, 7);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 1), SCANNER_ENGINE_messages, 100);
    counters_set_label(workspace_counters(ws, ROLE_SINK, 3), "redis");
    counter_set(workspace_counters(ws, ROLE_SINK, 3), SINK_LAG, 9);
    observe_read(ws, &sample);
    assert_false(observe_starting(&sample));
    assert_true(observe_roles_ok(&sample, why, sizeof why));
    assert_int_equal(sample.feed, OBSERVE_FEED_RUNNING);
    const struct observe_ring *r = &sample.ring[0];
    while (strcmp(r->name, "tick_ring") || r->index != 1)
        r++;
    assert_int_equal(r->occupancy, 7);
    assert_int_equal(r->capacity, 1024);
    assert_int_equal(r->passed, 100);
    assert_int_equal(sample.sinks, 1);
    assert_string_equal(sample.sink[0].name, "redis");
    assert_int_equal(sample.sink[0].value[SINK_LAG], 9);
}

static void test_roles_that_do_not_run(void **state)
{
    (void)state;
    char why[64];
    start_roles();
    set_state(ROLE_SCANNER, 1, HEARTBEAT_GONE);
    observe_read(ws, &sample);
    assert_false(observe_roles_ok(&sample, why, sizeof why));
    assert_string_equal(why, "scanner 1 has ended");
    set_state(ROLE_SCANNER, 1, HEARTBEAT_RUNNING);

    set_state(ROLE_INGEST, 0, HEARTBEAT_GONE); /* without its source */
    observe_read(ws, &sample);
    assert_false(observe_roles_ok(&sample, why, sizeof why));
    atomics_store_release_u64(&control()->ingest_ended, 1); /* with it */
    observe_read(ws, &sample);
    assert_int_equal(sample.feed, OBSERVE_FEED_ENDED);
    assert_true(observe_roles_ok(&sample, why, sizeof why));
    atomics_store_release_u64(&control()->ingest_ended, 2);
    observe_read(ws, &sample);
    assert_int_equal(sample.feed, OBSERVE_FEED_FAILED);

    heartbeat_beat(workspace_heartbeats(ws), (uint32_t)topology_role(&t, ROLE_PUBLISHER, 0), 1);
    atomics_store_release_u64(&control()->ingest_ended, 1);
    observe_read(ws, &sample);
    assert_false(observe_roles_ok(&sample, why, sizeof why));
    assert_string_equal(why, "publisher has not beaten for 5 s");
}

static void test_a_journal_that_stands_still(void **state)
{
    (void)state;
    struct observe_journal j = {0};
    static struct observe_sample s;
    const int64_t stuck = 3000;
    memset(&s, 0, sizeof s);
    s.feed = OBSERVE_FEED_RUNNING;
    s.mono_ns = 1000;
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OFF);
    s.ingest[INGEST_JOURNAL_BYTES] = 1;
    s.applied_seq = 10;
    s.ingest[INGEST_DURABLE_SEQ] = 5;
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OK);
    s.mono_ns = 4000; /* behind for 3000: not longer than it may be */
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OK);
    s.mono_ns = 4001;
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_STUCK);
    s.ingest[INGEST_DURABLE_SEQ] = 6; /* it moves: slow is not stuck */
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OK);
    s.ingest[INGEST_DURABLE_SEQ] = 10;
    s.mono_ns = 9000;
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OK);
    s.applied_seq = 11; /* what came after a long rest is not late yet */
    s.mono_ns = 90000;
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OK);
    s.mono_ns = 99000;
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_STUCK);
    s.feed = OBSERVE_FEED_ENDED; /* it is closed */
    assert_int_equal(observe_journal(&j, &s, stuck), OBSERVE_JOURNAL_OK);
}

static void test_rules_of_all_versions_and_scanners(void **state)
{
    (void)state;
    uint32_t n;
    put_rule(0, "breakout", "Old name", 1);
    put_rule(1, "spike", "Spike", 1);
    struct observe_rules *rules = observe_rules_new(ws);
    stats_of(0, 0)->fired = 3;
    stats_of(1, 0)->fired = 4;
    stats_of(1, 1)->evaluated = 5;
    const struct observe_rule *r = observe_rules_read(rules, &n);
    assert_int_equal(n, 2);
    assert_int_equal(r[0].stats.fired, 7);
    assert_string_equal(r[0].name, "Old name");
    put_rule(2, "breakout", "New name", 2);
    stats_of(0, 2)->fired = 10;
    r = observe_rules_read(rules, &n);
    assert_int_equal(n, 2);
    assert_string_equal(r[0].id, "breakout");
    assert_string_equal(r[0].name, "New name");
    assert_int_equal(r[0].version, 2);
    assert_int_equal(r[0].stats.fired, 17);
    assert_int_equal(r[1].stats.evaluated, 5);
    observe_rules_free(rules);
}

static void test_numbers_for_people(void **state)
{
    (void)state;
    char out[OBSERVE_TEXT_MAX];
    assert_string_equal(observe_count(0, out), "0");
    assert_string_equal(observe_count(999, out), "999");
    assert_string_equal(observe_count(1000, out), "1,000");
    assert_string_equal(observe_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
    assert_string_equal(observe_duration(0, out), "0 ns");
    assert_string_equal(observe_duration(999, out), "999 ns");
    assert_string_equal(observe_duration(1234, out), "1.23 us");
    assert_string_equal(observe_duration(132000, out), "132 us");
    assert_string_equal(observe_duration(45600000, out), "45.6 ms");
    assert_string_equal(observe_duration(59 * UINT64_C(1000000000), out), "59.0 s");
    assert_string_equal(observe_duration(61 * UINT64_C(1000000000), out), "1 min 01 s");
    assert_string_equal(observe_duration(7500 * UINT64_C(1000000000), out), "2 h 05 min");
    assert_string_equal(observe_duration(10 * 86400 * UINT64_C(1000000000), out), "10 days");
}

static void test_columns_of_foreign_text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        unsigned width;
    } cases[] = {{"abc", "abc  ", 5},
                 {"abcde", "abcde", 5},
                 {"abcdef", "abcd~", 5},
                 {"", "  ", 2},
                 {"a\033[31mb", "a?[31mb", 7},
                 {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9 ", 4},
                 {"\xc3\xa9t\xc3\xa9s", "\xc3\xa9t~", 3}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text out = {0};
        observe_column(&out, cases[i].in, cases[i].width);
        assert_string_equal(out.data, cases[i].out);
        text_free(&out);
    }
}

static void test_no_instance(void **state)
{
    (void)state;
    static const char *const names[] = {"rings", "symbols", "top"};
    unsetenv("RINGTAPE_DIR");
    workspace_remove(ws);
    ws = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run(names[i], NULL, NULL, NULL, NULL), CLI_USAGE);
        assert_shown(errors, "RINGTAPE_DIR");
        assert_int_equal(run(names[i], "--dir", dir, i == 2 ? "--once" : NULL, NULL), CLI_FAILED);
        assert_shown(errors, "no instance is running here");
    }
}

static void test_rings(void **state)
{
    (void)state;
    start_roles();
    fill_ring("tick_ring", 0, 512);
    fill_ring("event_ring", 1, 3);
    counter_set(workspace_counters(ws, ROLE_INGEST, 0), INGEST_RING_FULL_WAITS, 12345);
    setenv("RINGTAPE_DIR", dir, 1);
    assert_int_equal(run("rings", NULL, NULL, NULL, NULL), CLI_OK);
    assert_not_shown(output, "not running");
    const char *line = line_of(output, "tick_ring 0 ");
    assert_shown(line, "ingest -> scanner 0");
    assert_shown(line, " 1,024 ");
    assert_shown(line, " 512 ");
    assert_shown(line, " 50% ");
    assert_shown(line, " 12,345");
    assert_shown(line_of(output, "event_ring 1 "), "scanner 1 -> publisher");

    assert_int_equal(run("rings", "--json", "--dir", dir, NULL), CLI_OK);
    json_t *j = parse(output), *rings = json_object_get(j, "rings"), *r;
    assert_true(json_is_true(json_object_get(j, "running")));
    assert_int_equal(json_array_size(rings), 4);
    size_t i;
    json_array_foreach(rings, i, r)
    {
        bool ticks = !strcmp(string(r, "name"), "tick_ring");
        long long index = integer(r, "index");
        assert_int_equal(integer(r, "capacity"), ticks ? 1024 : 256);
        assert_int_equal(integer(r, "occupancy"), ticks && index == 0 ? 512 : !ticks && index == 1 ? 3 : 0);
        assert_true(json_is_number(json_object_get(r, "messages_per_second")));
    }
    json_decref(j);
    unsetenv("RINGTAPE_DIR");
}

/* A supervisor that was killed leaves its workspace. */
static void test_a_dead_instance(void **state)
{
    (void)state;
    workspace_remove(ws);
    ws = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        create();
        fill_ring("tick_ring", 0, 5);
        _exit(0);
    }
    int status;
    char mark[64];
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    snprintf(mark, sizeof mark, "process %d left", pid);
    assert_int_equal(run("rings", "--dir", dir, NULL, NULL), CLI_OK);
    assert_shown(output, mark);
    assert_shown(line_of(output, "tick_ring 0 "), " 5 ");
    assert_int_equal(run("rings", "--dir", dir, "--json", NULL), CLI_OK);
    json_t *j = parse(output);
    assert_true(json_is_false(json_object_get(j, "running")));
    json_decref(j);
    assert_int_equal(run("rings", "--dir", dir, "--watch", NULL), CLI_OK); /* and ends */
    assert_int_equal(run("top", "--dir", dir, "--once", NULL), CLI_OK);
    assert_shown(output, "not running");
    create(); /* the next instance takes the place */
    assert_int_equal(run("rings", "--dir", dir, NULL, NULL), CLI_OK);
    assert_not_shown(output, "not running");
}

static void test_symbols(void **state)
{
    (void)state;
    add_symbols();
    assert_int_equal(run("symbols", "--dir", dir, NULL, NULL), CLI_OK);
    const char *line = line_of(output, "SPY ");
    assert_shown(line, " 167.51 ");
    assert_shown(line, "2013-10-08 09:45:27.122");
    assert_shown(line, " 167.50 ");
    assert_shown(line, " 167.52 ");
    assert_shown(line, "1234567 market");
    assert_shown(output, "\nQQQ ");

    assert_int_equal(run("symbols", "--dir", dir, "--search", "qq"), CLI_OK);
    assert_shown(output, "QQQ");
    assert_not_shown(output, "SPY");
    assert_int_equal(run("symbols", "--dir", dir, "--limit", "1"), CLI_OK);
    assert_shown(output, "SPY");
    assert_not_shown(output, "QQQ");

    assert_int_equal(run("symbols", "--dir", dir, "--json", NULL), CLI_OK);
    char *second = strchr(output, '\n');
    *second++ = 0;
    json_t *spy = parse(output), *qqq = parse(second);
    assert_string_equal(string(spy, "symbol"), "SPY");
    assert_string_equal(string(spy, "timestamp"), "2013-10-08T13:45:27.122000000Z");
    assert_string_equal(string(spy, "session"), "market");
    assert_int_equal(integer(spy, "size"), 200);
    assert_int_equal(integer(spy, "bucket"), 5);
    assert_true(json_number_value(json_object_get(spy, "ask")) == 167.52);
    assert_string_equal(string(qqq, "symbol"), "QQQ");
    assert_int_equal(integer(qqq, "scanner"), topology_bucket_scanner(&t, 700));
    assert_true(json_is_null(json_object_get(qqq, "price")));
    assert_true(json_is_null(json_object_get(qqq, "session")));
    json_decref(spy);
    json_decref(qqq);
}

/* A form with an example in the place of each parameter. */
static void fill_form(const char *form, char out[METRIC_NAME_MAX])
{
    size_t n = 0;
    for (const char *p = form; *p; p++) {
        bool average = p[0] == 'M' && p[1] == 'A';
        n += (size_t)snprintf(out + n, METRIC_NAME_MAX - n, "%s",
                              average     ? "kama"
                              : *p == 'N' ? "5"
                              : *p == 'M' ? "9"
                              : *p == 'T' ? "15m"
                              : *p == 'P' ? "0.25"
                                          : (char[]){*p, 0});
        p += average;
    }
}

/* Every form that is listed is one that the parser takes. */
static void test_metrics(void **state)
{
    (void)state;
    assert_int_equal(run("metrics", "--json", NULL, NULL, NULL), CLI_OK);
    json_t *all = parse(output), *m;
    size_t i, aliases = 0;
    assert_int_equal(json_array_size(all), METRIC_INDICATOR);
    json_array_foreach(all, i, m)
    {
        char form[METRIC_NAME_MAX];
        struct metric parsed;
        fill_form(string(m, "form"), form);
        if (metric_parse(form, strlen(form), &parsed, &err))
            fail_msg("%s", err.text);
        assert_int_equal(parsed.kind, i);
        assert_string_equal(string(m, "help"), metric_rows[i].help);
        assert_true(*string(m, "made_of") && *string(m, "warm_up"));
        const json_t *alias;
        size_t k;
        json_array_foreach(json_object_get(m, "aliases"), k, alias)
        {
            struct metric same;
            fill_form(json_string_value(alias), form);
            assert_int_equal(metric_parse(form, strlen(form), &same, &err), 0);
            assert_true(metric_same(&same, &parsed));
            aliases++;
        }
    }
    assert_true(aliases > 5);
    json_decref(all);
    assert_int_equal(run("metrics", "list", NULL, NULL, NULL), CLI_OK);
    assert_shown(output, "\nvwap(Nm) ");
    assert_shown(output, "\nvolume_Nm ");
    assert_not_shown(output, "left - right");
    assert_int_equal(run("metrics", "--markdown", NULL, NULL, NULL), CLI_OK);
    assert_shown(output,
                 "\n| `vwap(session)` | `vwap_session` |  | price | a trade | trade | trades | VWAP since");
    assert_shown(output,
                 "\n| `change_pct_Nd` | `change_Nd_pct`, `price_change_Nd_pct` | N 1 to 252 trading days |");
    assert_int_equal(run("metrics", "all", NULL, NULL, NULL), CLI_USAGE);
}

static void add_alert(struct outbox *o, const char *symbol, const char *rule, const char *kind)
{
    char json[256];
    int n = snprintf(json, sizeof json,
                     "{\"rule_name\":\"%s\",\"symbol\":\"%s\",\"price\":167.51,\"kind\":\"%s\"}", rule,
                     symbol, kind);
    struct outbox_record r = {.kind = OUTBOX_ALERT,
                              .event_ns = INT64_C(1381239927122000000),
                              .name = symbol,
                              .name_len = (uint32_t)strlen(symbol),
                              .json = json,
                              .json_len = (uint32_t)n};
    static uint64_t seq;
    r.seq = ++seq;
    assert_int_equal(outbox_append(o, &r, &err), 0);
}

static void test_top_once(void **state)
{
    (void)state;
    char path[PATH_MAX + 16];
    start_roles();
    add_symbols();
    put_rule(0, "breakout", "High volume breakout", 1);
    stats_of(1, 0)->fired = 4321;
    counter_set(workspace_counters(ws, ROLE_SCANNER, 0), SCANNER_ENGINE_alerts, 4300);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 1), SCANNER_ENGINE_alerts, 21);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 1), SCANNER_ENGINE_alerts_revised, 12);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 0), SCANNER_ENGINE_alerts_withdrawn, 3);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 0), SCANNER_ENGINE_shadow_alerts, 5);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 1), SCANNER_ENGINE_shadow_alerts, 12);
    histogram_record_n(workspace_histogram(ws, ROLE_PUBLISHER, 0, PUBLISHER_TICK_TO_ALERT_NS), 132000, 1000);
    counters_set_label(workspace_counters(ws, ROLE_SINK, 0), "redis");
    counter_set(workspace_counters(ws, ROLE_SCANNER, 1), SCANNER_APPLIED_SEQ, 1234567);
    counter_set(workspace_counters(ws, ROLE_SCANNER, 0), SCANNER_EVENT_TIME_NS,
                UINT64_C(1381239927122000000));
    errlog_record(workspace_errlog(ws), ROLE_INGEST, 0, 1, "journal: disk full");
    snprintf(path, sizeof path, "%s/outbox", dir);
    struct outbox *o = outbox_open(path, 1 << 20, NULL, &err);
    if (!o)
        fail_msg("%s", err.text);
    add_alert(o, "SPY", "High volume breakout", "fired");
    add_alert(o, "QQQ", "Spike", "withdrawn");
    assert_int_equal(outbox_commit(o, &err), 0);
    counter_set(workspace_counters(ws, ROLE_PUBLISHER, 0), PUBLISHER_OUTBOX_OFFSET, 2);
    outbox_close(o);

    assert_int_equal(run("top", "--once", "--dir", dir, NULL), CLI_OK);
    for (const char *at = output; *at; at += strcspn(at, "\n") + 1)
        if (strcspn(at, "\n") > 110)
            fail_msg("more than 110 columns: %.*s", (int)strcspn(at, "\n"), at);
    assert_shown(output, dir);
    assert_shown(output, "feed running at 2013-10-08 09:45:27.122");
    assert_shown(output, "seq 1,234,567");
    assert_shown(line_of(output, "scanner 1 "), "running");
    assert_shown(output, "tick_ring 1");
    assert_shown(line_of(output, "FIRED "), "4,321 alerts, 0/s   12 revised, 3 withdrawn   17 in shadow");
    assert_shown(line_of(output, "LATENCY"), "p50 13");
    assert_shown(line_of(output, "redis "), "DOWN");
    assert_shown(line_of(output, "breakout "), " 4,321");
    assert_shown(line_of(output, "ERROR"), "ingest: journal: disk full");
    assert_shown(output, "167.51  High volume breakout");
    assert_shown(strstr(output, "QQQ  "), "withdrawn\n");
    assert_true(strstr(output, "QQQ  ") < strstr(output, "SPY  ")); /* the newest first */

    assert_int_equal(run("top", "--dir", dir, NULL, NULL), CLI_USAGE); /* no terminal */
    assert_shown(errors, "--once");
}

/* On a terminal of so many columns: what it has drawn once `sign` is there. */
static void watch_top(unsigned short columns, const char *sign, char *drawn, size_t size)
{
    struct winsize window = {.ws_row = 50, .ws_col = columns};
    int fd, status;
    pid_t pid = forkpty(&fd, NULL, NULL, &window);
    if (pid == 0) {
        setenv("TERM", "vt100", 1);
        _exit(run("top", "--dir", dir, NULL, NULL));
    }
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    size_t n = 0;
    ssize_t got = 1;
    drawn[0] = 0;
    while (got > 0 && n + 1 < size && !strstr(drawn, sign) && poll(&wait, 1, 10000) > 0) {
        if ((got = read(fd, drawn + n, size - 1 - n)) > 0)
            n += (size_t)got;
        drawn[n] = 0;
    }
    assert_int_equal(write(fd, "q", 1), 1);
    while (read(fd, &(char){0}, 1) > 0) /* until it has ended */
        ;
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A wide terminal has columns more. */
static void test_top_wide(void **state)
{
    static char drawn[1 << 16];
    (void)state;
    start_roles();
    put_rule(0, "breakout", "High volume breakout", 1);
    stats_of(0, 0)->revised = 1234;
    stats_of(1, 0)->withdrawn = 9876;
    watch_top(140, "q: quit", drawn, sizeof drawn);
    assert_shown(drawn, "  REVISED  WITHDRAWN");
    assert_shown(drawn, "1,234"); /* the cursor jumps over what is empty */
    assert_shown(strstr(drawn, "1,234"), "9,876");
    watch_top(120, "q: quit", drawn, sizeof drawn);
    assert_shown(drawn, "FIRED");
    assert_not_shown(drawn, "WITHDRAWN");
}

/* HTTP. */

static char reply[1 << 20];

/* Returns the status; the body is at the start of `reply`. */
static int get(uint16_t port, const char *path)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[256];
    size_t len = 0;
    int status, fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    int n =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)n), n);
    for (ssize_t got; (got = read(fd, reply + len, sizeof reply - 1 - len)) > 0;)
        len += (size_t)got;
    close(fd);
    reply[len] = 0;
    assert_int_equal(sscanf(reply, "HTTP/1.1 %d", &status), 1);
    char *body = strstr(reply, "\r\n\r\n");
    assert_non_null(body);
    memmove(reply, body + 4, strlen(body + 4) + 1);
    return status;
}

static struct instance in;
static struct settings settings;

static struct status_http *serve(void)
{
    in = (struct instance){.ws = ws, .settings = &settings, .control = control(), .kind = ROLE_SUPERVISOR};
    snprintf(settings.http_listen, sizeof settings.http_listen, "127.0.0.1");
    settings.http_port = 0;
    settings.journal_enabled = true;
    settings.journal_interval_ms = 100;
    snprintf(settings.sinks_redis, sizeof settings.sinks_redis, "redis://127.0.0.1:1");
    struct status_http *h = status_http_start(&in, &err);
    if (!h) {
        print_message("%s\n", err.text);
        skip(); /* where io_uring is not allowed */
    }
    return h;
}

static void assert_health(uint16_t port, const char *path, int status, const char *says, const char *check,
                          const char *value)
{
    assert_int_equal(get(port, path), status);
    json_t *j = parse(reply);
    assert_string_equal(string(j, "status"), says);
    assert_string_equal(string(json_object_get(j, "checks"), check), value);
    assert_string_equal(string(json_object_get(j, "checks"), "kafka"), "not configured");
    assert_true(integer(json_object_get(j, "memory"), "resident_bytes") > 0);
    json_decref(j);
}

static void test_health(void **state)
{
    (void)state;
    struct status_http *h = serve();
    uint16_t port = status_http_port(h);
    assert_health(port, "/ready", 503, "starting", "ring", "starting");
    assert_health(port, "/healthz", 200, "starting", "feed", "starting");
    start_roles();
    assert_health(port, "/ready", 200, "ok", "redis", "down"); /* configured, not started yet */
    counters_set_label(workspace_counters(ws, ROLE_SINK, 0), "redis");
    assert_health(port, "/ready", 200, "degraded", "redis", "down");
    counter_set(workspace_counters(ws, ROLE_SINK, 0), SINK_UP, 1);
    assert_health(port, "/ready", 200, "ok", "redis", "up");
    assert_health(port, "/health", 200, "ok", "journal", "ok");
    counter_set(workspace_counters(ws, ROLE_PUBLISHER, 0), PUBLISHER_OUTBOX_FAILING, 1);
    assert_health(port, "/ready", 503, "failing", "outbox", "failing");
    assert_shown(reply, "\"reason\":\"the outbox cannot be written\"");
    counter_set(workspace_counters(ws, ROLE_PUBLISHER, 0), PUBLISHER_OUTBOX_FAILING, 0);
    assert_health(port, "/ready", 200, "ok", "outbox", "ok");
    set_state(ROLE_SCANNER, 0, HEARTBEAT_GONE);
    assert_health(port, "/ready", 503, "failing", "ring", "failing");
    assert_shown(reply, "\"reason\":\"scanner 0 has ended\"");
    assert_health(port, "/health", 503, "failing", "feed", "running");
    assert_health(port, "/live", 200, "failing", "feed", "running");
    set_state(ROLE_SCANNER, 0, HEARTBEAT_RUNNING);
    atomics_store_release_u64(&control()->ingest_ended, 2);
    assert_health(port, "/ready", 503, "failing", "feed", "failed");
    atomics_store_release_u64(&control()->ingest_ended, 1);
    assert_health(port, "/ready", 200, "ok", "feed", "ended");
    assert_int_equal(get(port, "/nothing"), 404);
    status_http_stop(h);
}

/* The format's rules: TYPE once per name and before its samples, no series twice. */
static void check_exposition(void)
{
    char *copy = strdup(reply), *save, type[128] = "";
    char **seen = calloc(20000, sizeof *seen);
    unsigned n = 0;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (sscanf(line, "# TYPE %127s", type) == 1) {
            char again[160];
            snprintf(again, sizeof again, "# TYPE %s ", type);
            assert_null(strstr(strstr(reply, again) + 1, again));
        }
        if (*line == '#')
            continue;
        if (strncmp(line, type, strlen(type)))
            fail_msg("%s is not of %s", line, type);
        *strrchr(line, ' ') = 0;
        assert_true(n < 20000);
        for (unsigned i = 0; i < n; i++)
            if (!strcmp(seen[i], line))
                fail_msg("twice: %s", line);
        seen[n++] = line;
    }
    assert_true(n > 200);
    free(seen);
    free(copy);
}

static void test_metrics_and_stats_over_http(void **state)
{
    (void)state;
    start_roles();
    put_rule(0, "break\"out", "One", 1);
    put_rule(1, "break\"out", "Two", 2);
    stats_of(0, 1)->fired = 77;
    struct counters *ingest = workspace_counters(ws, ROLE_INGEST, 0);
    counter_set(ingest, INGEST_MESSAGES + MSG_QUOTE, INT64_MAX);
    counter_set(ingest, LOOP_TICKS_PER_SECOND, 1000);
    counter_set(ingest, LOOP_CYCLES + REGIME_IDLE, 2500);
    counter_set(ingest, INGEST_EVENT_TIME_NS, 1500000000);
    counters_set_label(workspace_counters(ws, ROLE_SINK, 2), "redis");
    counter_set(workspace_counters(ws, ROLE_SINK, 2), SINK_DELIVERED, 55);
    histogram_record_n(workspace_histogram(ws, ROLE_PUBLISHER, 0, PUBLISHER_TICK_TO_ALERT_NS), 150000, 10);
    errlog_record(workspace_errlog(ws), ROLE_SCANNER, 1, 1, "it broke");
    fill_ring("tick_ring", 1, 9);
    struct status_http *h = serve();
    uint16_t port = status_http_port(h);

    assert_int_equal(get(port, "/metrics"), 200);
    check_exposition();
    static const char *const lines[] = {
        "\nringtape_build_info{version=\"",
        "\nringtape_role_up{role=\"scanner\",index=\"1\"} 1\n",
        "\nringtape_ingest_messages_total{role=\"ingest\",index=\"0\",type=\"quote\"} 9223372036854775807\n",
        "\nringtape_loop_cycles_seconds_total{role=\"ingest\",index=\"0\",regime=\"idle\"} 2.5\n",
        "\nringtape_ingest_event_time_seconds{role=\"ingest\",index=\"0\"} 1.5\n",
        "\nringtape_sink_delivered_total{role=\"sink\",index=\"2\",sink=\"redis\"} 55\n",
        "\nringtape_publisher_tick_to_alert_seconds_bucket{role=\"publisher\",index=\"0\",le=\"0.0001\"} 0\n",
        "\nringtape_publisher_tick_to_alert_seconds_bucket{role=\"publisher\",index=\"0\",le=\"0.0002\"} "
        "10\n",
        "\nringtape_publisher_tick_to_alert_seconds_count{role=\"publisher\",index=\"0\"} 10\n",
        "\nringtape_ring_occupancy_slots{ring=\"tick_ring\",index=\"1\"} 9\n",
        "\nringtape_rule_fired_total{rule=\"break\\\"out\"} 77\n",
        "\nringtape_rules 1\n",
        "\nringtape_errors_total{role=\"scanner\",index=\"1\"} 1\n",
    };
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_shown(reply, lines[i]);

    assert_int_equal(get(port, "/stats"), 200);
    json_t *j = parse(reply), *rule = json_array_get(json_object_get(j, "rules"), 0), *r;
    size_t i;
    bool found = false;
    json_array_foreach(json_object_get(j, "roles"), i, r) if (!strcmp(string(r, "role"), "ingest"))
    {
        found = true;
        assert_int_equal(integer(json_object_get(json_object_get(r, "counters"), "cycles"), "idle"), 2500);
        assert_string_equal(string(r, "health"), "alive");
    }
    assert_true(found);
    assert_int_equal(integer(rule, "fired"), 77);
    assert_string_equal(string(rule, "id"), "break\"out");
    assert_int_equal(integer(j, "rules_total"), 1);
    assert_string_equal(string(json_array_get(json_object_get(j, "errors"), 0), "text"), "it broke");
    json_decref(j);
    status_http_stop(h);
}

static int free_output(void **state)
{
    (void)state;
    free(output);
    free(errors);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_reading),
        TEST(test_roles_that_do_not_run),
        TEST(test_a_journal_that_stands_still),
        TEST(test_rules_of_all_versions_and_scanners),
        cmocka_unit_test(test_numbers_for_people),
        cmocka_unit_test(test_columns_of_foreign_text),
        TEST(test_no_instance),
        TEST(test_rings),
        TEST(test_a_dead_instance),
        TEST(test_symbols),
        cmocka_unit_test(test_metrics),
        TEST(test_top_once),
        TEST(test_top_wide),
        TEST(test_health),
        TEST(test_metrics_and_stats_over_http),
    };
    return cmocka_run_group_tests_name("observe", tests, NULL, free_output);
}
