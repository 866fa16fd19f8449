/* capture: as a source, and `ringtape capture`: what a journal holds comes out whole, and names where it
 * begins. */
#include "net/capture.h"
#include "net/journal.h"
#include "net/source.h"
#include "workers/cmd_capture.h"
#include "tests/unit/temp_dir.h"

#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct error err;
static const struct source_config config = {.symbols_max = 100};
static const char *const names[] = {"SPY", "BTCUSDT.P", "GÜNTHER"};
enum { BASE_S = 1700000000 };

static uint32_t make_symbol(struct msg *m, uint32_t id)
{
    size_t len = strlen(names[id]);
    uint32_t slots = msg_begin(m, MSG_SYMBOL, id, 32 + len);
    m->sym =
        (struct msg_symbol){.bucket = (uint16_t)id, .name_len = (uint8_t)len, .size_scale = id == 1 ? 3 : 0};
    msg_put(m, 32, names[id], len);
    return slots;
}

static size_t in_force(void *ctx, size_t at, struct msg *out, size_t max)
{
    (void)ctx;
    size_t n = 0;
    assert_true(max >= 3 * 2);
    for (uint32_t id = 0; id < 3 && at == 0; id++)
        n += make_symbol(out + n, id);
    return n;
}

/* Three symbols, then trades, quotes and clocks to message `last`, over several segments. */
static void write_capture(uint64_t last)
{
    struct journal_options o = {.segment_bytes = 20000, .block_bytes = 4096, .in_force = in_force};
    struct journal *j = journal_open(dir, &o, &err);
    struct msg m[8];
    assert_non_null(j);
    for (uint64_t seq = 1; seq <= last; seq++) {
        uint32_t n = 1;
        if (seq <= 3) {
            n = make_symbol(m, (uint32_t)seq - 1);
        } else {
            n = msg_begin(m,
                          seq % 5 == 4 ? MSG_CLOCK
                          : seq % 2    ? MSG_TRADE
                                       : MSG_QUOTE,
                          (uint32_t)(seq % 3), 32);
            m->event_ns = m->recv_ns = (BASE_S + (int64_t)seq) * 1000000000;
            if (m->type == MSG_TRADE)
                m->trade = (struct msg_trade){.price_e9 = 167420000000, .size = 2500 + seq, .trade_id = seq};
            else if (m->type == MSG_QUOTE)
                m->quote = (struct msg_quote){1000000000, 1500000000, 7, 1000};
        }
        msg_set_seq(m, seq);
        while (!journal_append(j, m, n))
            journal_poll(j, 1);
    }
    assert_int_equal(journal_close(j, &err), 0);
}

static struct source *open_capture(const char *path)
{
    char spec[300];
    snprintf(spec, sizeof spec, "capture:%s", path);
    return source_open(spec, &config, &err);
}

static void all_comes_out_as_it_was_stamped(void **state)
{
    (void)state;
    static struct msg m[1000];
    uint64_t seq = 0;
    int n;
    write_capture(5000);
    struct source *s = open_capture(dir);
    assert_non_null(s);
    assert_true(s->is_journal);
    while ((n = source_read(s, m, 1000)) > 0)
        for (int i = 0; i < n; i += (int)msg_slot_count(&m[i]))
            assert_int_equal(m[i].seq, ++seq); /* nothing in force is repeated */
    assert_int_equal(n, SOURCE_END);
    assert_int_equal(seq, 5000);
    assert_int_equal(s->stats.rows, 5000);
    assert_true(s->stats.bytes > 5000);
    assert_int_equal(s->symbol_count, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(s->symbols[i].name, names[i]);
    assert_int_equal(s->symbols[1].size_scale, 3);
    source_close(s);
}

static void a_capture_without_its_start_says_what_was_in_force(void **state)
{
    (void)state;
    static struct msg m[1000];
    write_capture(5000);
    run("rm %s/00000000000000000001.rtj", dir);
    struct source *s = open_capture(dir);
    assert_non_null(s);
    uint32_t symbols = 0;
    uint64_t seq = 0;
    int n;
    while ((n = source_read(s, m, 1000)) > 0)
        for (int i = 0; i < n; i += (int)msg_slot_count(&m[i])) {
            if (m[i].seq == 0) {
                assert_int_equal(seq, 0); /* before all else */
                assert_int_equal(m[i].type, MSG_SYMBOL);
                assert_int_equal(m[i].symbol, symbols++);
            } else {
                assert_true(seq == 0 ? m[i].seq > 3 : m[i].seq == seq + 1);
                seq = m[i].seq;
            }
        }
    assert_int_equal(n, SOURCE_END);
    assert_int_equal(symbols, 3);
    assert_int_equal(seq, 5000);
    source_close(s);
}

static void what_is_no_capture_is_refused(void **state)
{
    (void)state;
    char path[128];
    assert_null(open_capture(dir));
    assert_non_null(strstr(err.text, "no capture there"));
    assert_null(open_capture("/nowhere"));
    assert_non_null(strstr(err.text, "/nowhere"));
    snprintf(path, sizeof path, "%s/noise.rtj", dir);
    run("head -c 5000 /dev/urandom > %s", path);
    assert_null(open_capture(path));
    assert_non_null(strstr(err.text, "not a capture"));
}

/* Sound frames and checksums, but payloads that nobody should have to check again. */
static void a_record_that_cannot_be_used_ends_it(void **state)
{
    (void)state;
    struct bad {
        enum msg_type type;
        uint32_t symbol;
        size_t bytes;
        uint8_t payload[8];
    } bad[] = {
        {MSG_SYMBOL, 0, 32, {0, 0, 0, 0, 60}},         /* its name is not in it */
        {MSG_SYMBOL, 0, 80, {0, 0, 0, 0, 0}},          /* no name */
        {MSG_SYMBOL, 0, 80, {0, 4, 0, 0, 3}},          /* bucket 1024 */
        {MSG_SYMBOL, 0, 80, {0, 0, 0, 9, 3}},          /* calendar 9 */
        {MSG_RULE, 0, 32, {0, 0, 0, 0, 1, 0}},         /* its text is not in it */
        {MSG_SETTING, 0, 700, {0, 0, 0, 0, 255, 255}}, /* more than any record holds */
        {MSG_CLOCK, 5000, 32, {0}},                    /* no bucket */
        {MSG_TRADE, 0, 80, {0}},                       /* two slots */
        {MSG_HISTORY_BAR, 0, 32, {0}},                 /* half a bar */
        {MSG_ALERT, 0, 80, {0}},                       /* what the engine emits */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct journal_options o = {.now_ns = 1};
        struct msg m[32], out[64];
        uint32_t n = make_symbol(m, 0);
        msg_set_seq(m, 1);
        uint32_t more = msg_begin(&m[n], bad[i].type, bad[i].symbol, bad[i].bytes);
        memcpy(m[n].first, bad[i].payload, sizeof bad[i].payload);
        msg_set_seq(&m[n], 2);
        assert_null(capture_record_fault(m));
        assert_non_null(capture_record_fault(&m[n]));
        struct journal *j = journal_open(dir, &o, &err);
        assert_int_equal(journal_append(j, m, n + more), n + more);
        assert_int_equal(journal_close(j, &err), 0);
        struct source *s = open_capture(dir);
        assert_non_null(s);
        assert_int_equal(source_read(s, out, 64), n); /* what is before it is good */
        assert_int_equal(source_read(s, out, 64), SOURCE_FAILED);
        assert_non_null(strstr(s->failure.text, "message 2 is a"));
        source_close(s);
        run("rm -rf %s/*", dir);
    }
}

static char output[1 << 20], errors[4096];

/* Runs `ringtape capture …`; the exit code, with what it printed in output and errors. */
static int capture(char **words)
{
    static const struct cli_command commands[] = {{.name = "capture",
                                                   .help = "",
                                                   .positional = "info|cat|verify|compress|prune PATH",
                                                   .positional_min = 2,
                                                   .positional_max = 2,
                                                   .options = cmd_capture_options,
                                                   .run = cmd_capture},
                                                  {0}};
    char *argv[16] = {"ringtape", "capture"};
    int argc = 2;
    while (*words)
        argv[argc++] = *words++;
    memset(output, 0, sizeof output);
    memset(errors, 0, sizeof errors);
    FILE *out = fmemopen(output, sizeof output - 1, "w"), *e = fmemopen(errors, sizeof errors - 1, "w");
    int code = cli_run(commands, argc, argv, out, e);
    fclose(out);
    fclose(e);
    return code;
}
#define CAPTURE(...) capture((char *[]){__VA_ARGS__, NULL})

static int lines(void)
{
    int n = 0;
    for (const char *p = output; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

static void info_counts(void **state)
{
    (void)state;
    write_capture(1003);
    assert_int_equal(CAPTURE("info", dir, "--json"), CLI_OK);
    json_error_t e;
    json_t *o = json_loads(output, 0, &e), *m = json_object_get(o, "messages");
    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(m, "symbol")), 3);
    assert_int_equal(json_integer_value(json_object_get(m, "clock")), 200);
    assert_int_equal(json_integer_value(json_object_get(m, "trade")) +
                         json_integer_value(json_object_get(m, "quote")),
                     800);
    assert_int_equal(json_integer_value(json_object_get(o, "symbols")), 3);
    assert_int_equal(json_integer_value(json_object_get(o, "first_seq")), 1);
    assert_int_equal(json_integer_value(json_object_get(o, "last_seq")), 1003);
    assert_true(json_is_true(json_object_get(o, "sealed")));
    assert_true(json_is_false(json_object_get(o, "damaged")));
    json_decref(o);
    assert_int_equal(CAPTURE("info", dir), CLI_OK);
    assert_non_null(strstr(output, "1 to 1003"));
}

static void cat_filters(void **state)
{
    (void)state;
    write_capture(1003);
    assert_int_equal(CAPTURE("cat", dir), CLI_OK);
    assert_int_equal(lines(), 1003);
    assert_int_equal(CAPTURE("cat", dir, "--types", "symbol"), CLI_OK);
    assert_int_equal(lines(), 3);
    assert_int_equal(CAPTURE("cat", dir, "--types", "trade", "--symbols", "BTCUSDT.P,SPY", "--from",
                             "1700000100000000000", "--to", "2023-11-14T22:16:40Z"),
                     CLI_OK);
    int wanted = 0;
    for (uint64_t seq = 100; seq < 200; seq++)
        wanted += seq % 5 != 4 && seq % 2 && seq % 3 != 2;
    assert_int_equal(lines(), wanted);
    assert_non_null(strstr(output,
                           "\"symbol\":\"BTCUSDT.P\",\"timestamp\":\"2023-11-14T22:15:03.000000000Z\","
                           "\"price\":167.42,\"size\":2.603,\"trade_id\":103"));
    assert_int_equal(CAPTURE("cat", dir, "--from", "yesterday"), CLI_USAGE);
    assert_non_null(strstr(errors, "yesterday"));
    assert_int_equal(CAPTURE("dog", dir), CLI_USAGE);
}

static void damage_is_told(void **state)
{
    (void)state;
    write_capture(3000);
    run("printf x | dd of=%s/00000000000000000002.rtj bs=1 seek=9000 conv=notrunc status=none", dir);
    assert_int_equal(CAPTURE("info", dir, "--json"), CLI_DAMAGED);
    assert_non_null(strstr(output, "\"damaged\":true"));
    assert_non_null(strstr(errors, "00000000000000000002.rtj: damaged at offset"));
    run("rm %s/00000000000000000001.rtj %s/00000000000000000002.rtj", dir, dir);
    assert_int_equal(CAPTURE("cat", dir, "--types", "trade", "--symbols", "SPY"), CLI_OK);
    assert_true(lines() > 10); /* its name is in force there */
}

static void verify_says_where(void **state)
{
    (void)state;
    write_capture(3000);
    assert_int_equal(CAPTURE("verify", dir), CLI_OK);
    assert_non_null(strstr(output, "sound; 3000 messages (seq 1 to 3000)"));
    run("printf x | dd of=%s/00000000000000000002.rtj bs=1 seek=9000 conv=notrunc status=none", dir);
    assert_int_equal(CAPTURE("verify", dir), CLI_DAMAGED);
    assert_non_null(strstr(output, "00000000000000000002.rtj: offset "));
    assert_non_null(strstr(output, "DAMAGED"));
    assert_non_null(strstr(errors, "restore"));
    assert_int_equal(CAPTURE("verify", dir, "--json"), CLI_DAMAGED);
    json_t *o = json_loads(output, 0, NULL), *p = json_object_get(o, "problems");
    assert_non_null(o);
    assert_true(json_is_false(json_object_get(o, "sound")));
    assert_true(json_integer_value(json_object_get(o, "missing")) > 0);
    assert_true(json_array_size(p) >= 2);
    assert_true(json_integer_value(json_object_get(json_array_get(p, 0), "offset")) > 0);
    json_decref(o);
    assert_int_equal(CAPTURE("verify", "/nowhere"), CLI_USAGE);
    assert_non_null(strstr(errors, "/nowhere"));
}

static void compressed_captures_show_the_same(void **state)
{
    (void)state;
    static char before[sizeof output];
    write_capture(3000);
    assert_int_equal(CAPTURE("cat", dir), CLI_OK);
    memcpy(before, output, sizeof output);
    assert_int_equal(CAPTURE("compress", dir, "--level", "5"), CLI_OK);
    assert_null(strstr(output, "compressed 0 segments"));
    assert_int_equal(CAPTURE("compress", dir), CLI_OK);
    assert_non_null(strstr(output, "compressed 0 segments"));
    assert_int_equal(CAPTURE("cat", dir), CLI_OK);
    assert_string_equal(before, output);
    assert_int_equal(CAPTURE("verify", dir), CLI_OK);
    assert_int_equal(CAPTURE("info", dir, "--json"), CLI_OK);
    json_t *o = json_loads(output, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(o, "compressed")),
                     json_integer_value(json_object_get(o, "segments")));
    json_decref(o);
    struct source *s = open_capture(dir);
    static struct msg m[1000];
    uint64_t seq = 0;
    assert_non_null(s);
    for (int n; (n = source_read(s, m, 1000)) > 0;)
        for (int i = 0; i < n; i += (int)msg_slot_count(&m[i]))
            assert_int_equal(m[i].seq, ++seq);
    assert_int_equal(seq, 3000);
    source_close(s);
}

static uint64_t first_seq(void)
{
    assert_int_equal(CAPTURE("info", dir, "--json"), CLI_OK);
    json_t *o = json_loads(output, 0, NULL);
    uint64_t seq = (uint64_t)json_integer_value(json_object_get(o, "first_seq"));
    assert_int_equal(json_integer_value(json_object_get(o, "last_seq")), 9000);
    json_decref(o);
    return seq;
}

static void prune_deletes_what_is_old(void **state)
{
    (void)state;
    write_capture(9000);
    assert_int_equal(CAPTURE("prune", dir), CLI_USAGE);
    assert_non_null(strstr(errors, "--before"));
    assert_int_equal(CAPTURE("prune", dir, "--before", "1700004000000000000", "--dry-run"), CLI_OK);
    assert_non_null(strstr(output, "would delete"));
    assert_null(strstr(output, "delete 0 segments"));
    assert_int_equal(first_seq(), 1);
    struct journal_options o = {.now_ns = 1};
    struct journal *j = journal_open(dir, &o, &err);
    assert_non_null(j);
    assert_int_equal(CAPTURE("prune", dir, "--before", "1700004000000000000"), CLI_USAGE);
    assert_non_null(strstr(errors, "in use by process"));
    assert_int_equal(journal_close(j, &err), 0);
    assert_int_equal(CAPTURE("prune", dir, "--before", "1700004000000000000"), CLI_OK);
    uint64_t first = first_seq();
    assert_true(first > 2000 && first <= 4000);
    assert_int_equal(CAPTURE("verify", dir), CLI_OK); /* what is left is whole */
    assert_int_equal(CAPTURE("cat", dir, "--types", "trade", "--symbols", "SPY"), CLI_OK);
    assert_true(lines() > 100); /* its name is in force there */
    assert_int_equal(CAPTURE("prune", dir, "--keep-mb", "1"), CLI_OK);
    assert_int_equal(first_seq(), first); /* it is less than that */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(all_comes_out_as_it_was_stamped),
        TEST(a_capture_without_its_start_says_what_was_in_force),
        TEST(what_is_no_capture_is_refused),
        TEST(a_record_that_cannot_be_used_ends_it),
        TEST(info_counts),
        TEST(cat_filters),
        TEST(damage_is_told),
        TEST(verify_says_where),
        TEST(compressed_captures_show_the_same),
        TEST(prune_deletes_what_is_old),
    };
    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
