/* A sink that reads the journal, against a sink in memory: every durable trade once, whatever else the
 * journal holds. */
#include "net/journal.h"
#include "net/sink.h"
#include "net/sink_source.h"
#include "shm/symtab.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define OTHER_ID "ffffffffffffffffffffffffffffffff"
enum { TAKEN_MAX = 100000, SYMBOLS = 3 };

static struct {
    pthread_mutex_t lock;
    struct sink_cursor cursor;
    uint64_t seq[TAKEN_MAX];
    uint32_t count;
    unsigned failures;                          /* deliveries that take effect and say that they did not */
    char json[1024], name[SYMTAB_NAME_MAX + 1]; /* of the last one */
    char log[16384];
} far = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char dir[64], id[SINK_OUTBOX_ID_MAX + 1];
static struct journal *journal;
static struct symtab *names;
static struct error err;
static const int64_t start_ns = INT64_C(1381239927122000000);

static int far_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                    struct error *why)
{
    (void)state;
    (void)config;
    (void)why;
    pthread_mutex_lock(&far.lock);
    *cursor = far.cursor;
    pthread_mutex_unlock(&far.lock);
    return 0;
}

static int far_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                       struct error *why)
{
    (void)state;
    pthread_mutex_lock(&far.lock);
    for (uint32_t i = 0; i < n && far.count < TAKEN_MAX; i++)
        far.seq[far.count++] = record[i].kind == OUTBOX_TRADE ? record[i].offset : UINT64_MAX;
    const struct outbox_record *last = &record[n - 1];
    snprintf(far.json, sizeof far.json, "%.*s", (int)last->json_len, last->json);
    snprintf(far.name, sizeof far.name, "%.*s", (int)last->name_len, last->name);
    strcpy(far.cursor.outbox_id, id);
    far.cursor.offset = last->offset + 1;
    bool lost = far.failures && far.failures--;
    *accepted = lost ? 0 : n;
    pthread_mutex_unlock(&far.lock);
    return lost ? error_set(why, "the answer is lost") : 0;
}

static void far_close(void *state)
{
    (void)state;
}

static const struct sink_ops far_ops = {.name = "far",
                                        .source = &sink_source_journal,
                                        .state_bytes = 8,
                                        .open = far_open,
                                        .deliver = far_deliver,
                                        .close = far_close};

static void log_line(void *ctx, const char *line)
{
    (void)ctx;
    pthread_mutex_lock(&far.lock);
    size_t at = strlen(far.log);
    snprintf(far.log + at, sizeof far.log - at, "%s\n", line);
    pthread_mutex_unlock(&far.lock);
}

static bool logged(const char *text)
{
    pthread_mutex_lock(&far.lock);
    bool found = strstr(far.log, text) != NULL;
    pthread_mutex_unlock(&far.lock);
    return found;
}

static bool is_trade(uint64_t seq)
{
    return seq % 10 == 3 || seq % 7 == 2;
}

/* Appends the messages first..last: trades, quotes, clocks. */
static void append(uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        struct msg m;
        enum msg_type type = is_trade(seq) ? MSG_TRADE : seq % 2 ? MSG_QUOTE : MSG_CLOCK;
        msg_begin(&m, type, (uint32_t)(seq % SYMBOLS), 32);
        m.event_ns = start_ns + (int64_t)seq * 1000000;
        if (type == MSG_TRADE) {
            m.trade.price_e9 = 167510000000 + (int64_t)seq * 10000000;
            m.trade.size = seq;
        }
        msg_set_seq(&m, seq);
        while (journal_append(journal, &m, 1) == 0)
            journal_poll(journal, start_ns);
    }
    assert_int_equal(journal_flush(journal, &err), 0);
}

static void add_name(uint32_t symbol)
{
    static const char *const name[SYMBOLS] = {"SPY", "BTC", "IWM"};
    struct symtab_identity identity = {.name_len = 3, .size_scale = symbol == 1 ? 8 : 0};
    memcpy(identity.name, name[symbol], 3);
    assert_int_equal(symtab_add(names, &identity), symbol);
}

static int setup(void **state)
{
    const struct journal_options options = {
        .segment_bytes = 60000, .block_bytes = 4096, .now_ns = start_ns, .blocking = true};
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    (void)state;
    memset(&far, 0, sizeof far);
    far.lock = lock;
    snprintf(dir, sizeof dir, "%s/sinkXXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    assert_non_null(mkdtemp(dir));
    journal = journal_open(dir, &options, &err);
    assert_non_null(journal);
    sink_source_journal_id(journal_node(journal), id);
    size_t bytes = symtab_footprint(SYMBOLS);
    names = symtab_new(aligned_alloc(symtab_align(), (bytes + 4095) / 4096 * 4096), SYMBOLS);
    assert_non_null(names);
    for (uint32_t i = 0; i < SYMBOLS; i++)
        add_name(i);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    assert_int_equal(journal_close(journal, &err), 0);
    free(names);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct sink *start(uint64_t next_seq)
{
    const struct sink_config c = {.ops = &far_ops,
                                  .node = "n",
                                  .outbox_dir = dir,
                                  .outbox_id = id,
                                  .next_offset = next_seq,
                                  .batch = 100,
                                  .symtab = names,
                                  .log = log_line};
    struct sink *s = sink_start(&c, &err);
    assert_non_null(s);
    return s;
}

static void await_level(struct sink *s, uint64_t seq)
{
    for (int i = 0; i < 30000 && !sink_level(s, seq); i++)
        usleep(1000);
    if (!sink_level(s, seq)) {
        sink_last_error(s, &err);
        fail_msg("not level with %llu: %s", (unsigned long long)seq, err.text);
    }
}

/* Each trade of the messages first..last once, in order. */
static void assert_taken(uint64_t first, uint64_t last)
{
    uint32_t n = 0;
    for (uint64_t seq = first; seq <= last; seq++)
        if (is_trade(seq)) {
            assert_true(n < far.count);
            assert_int_equal(far.seq[n++], seq);
        }
    assert_int_equal(far.count, n);
}

static void test_durable_trades_in_order(void **state)
{
    (void)state;
    struct sink_stats stats;
    append(1, 5000);
    struct sink *s = start(1201); /* so far, though the files have more */
    await_level(s, 1201);
    assert_taken(1, 1200);
    for (uint64_t end = 1202; end <= 20001; end += 933) { /* over many segments, which come as it reads */
        if (end > 5000)
            append(end - 933 < 5001 ? 5001 : end - 933, end - 1);
        sink_published(s, end);
        await_level(s, end);
        assert_false(sink_level(s, end + 1));
    }
    sink_stats(s, &stats);
    assert_int_equal(stats.delivered, far.count);
    assert_int_equal(stats.lag, 0);
    assert_int_equal(stats.offset, 19862);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.confirmed, far.cursor.offset); /* of the last trade; what follows is none */
    assert_int_equal(stats.errors + stats.retries + stats.skipped + stats.rewound + stats.unknown_outbox, 0);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_taken(1, 19861);
    assert_true(journal_state(journal)->bytes > 60000);
}

static void test_goes_on_from_the_cursor(void **state)
{
    (void)state;
    append(1, 9000);
    for (uint64_t end = 1001; end <= 9001; end += 1000) {
        pthread_mutex_lock(&far.lock);
        far.failures = end % 3; /* the answer is lost: the cursor says what is in */
        pthread_mutex_unlock(&far.lock);
        struct sink *s = start(end);
        await_level(s, end);
        assert_int_equal(sink_stop(s, 5000), 0);
    }
    assert_taken(1, 9000);
}

static void test_unknown_journal_starts_at_the_first_message(void **state)
{
    (void)state;
    struct sink_stats stats;
    append(1, 500);
    strcpy(far.cursor.outbox_id, OTHER_ID);
    far.cursor.offset = 400;
    struct sink *s = start(501);
    await_level(s, 501);
    sink_stats(s, &stats);
    assert_int_equal(stats.unknown_outbox, 1);
    assert_int_equal(stats.skipped, 0);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_taken(1, 500);
    assert_true(logged("its cursor is of another journal (" OTHER_ID ", offset 400; ours is "));
    assert_true(logged("starting at offset 0, the first event that is not known as delivered"));
}

static void test_fenced_with_an_older_journal(void **state)
{
    (void)state;
    append(1, 500);
    strcpy(far.cursor.outbox_id, id);
    far.cursor.offset = 600;
    struct sink *s = start(501);
    for (int i = 0; i < 30000 && !sink_last_error(s, &err); i++)
        usleep(1000);
    assert_non_null(strstr(err.text, "its cursor is 600, the journal in "));
    assert_non_null(strstr(err.text, "ends at 501: an older copy of the journal was put in its place"));
    assert_int_equal(sink_stop(s, 10000), 0);
    assert_int_equal(far.count, 0);
}

static void test_waits_for_names(void **state)
{
    (void)state;
    append(1, 100);
    symtab_new(names, SYMBOLS); /* as it is when an instance is started again */
    add_name(0);
    struct sink *s = start(101);
    for (int i = 0; i < 30000 && !sink_level(s, 2); i++)
        usleep(1000);
    assert_false(sink_level(s, 4)); /* trades 2 and 3 are of symbols 2 and 0 */
    add_name(1);
    add_name(2);
    await_level(s, 101);
    assert_false(sink_last_error(s, &err));
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_taken(1, 100);
}

static void test_what_the_journal_lost_is_skipped(void **state)
{
    (void)state;
    char path[128];
    struct sink_stats stats;
    append(1, 9000);
    snprintf(path, sizeof path, "%s/00000000000000000001.rtj", dir);
    assert_int_equal(unlink(path), 0);
    struct journal_reader *r = journal_reader_open(dir, NULL, &err);
    assert_non_null(r);
    uint64_t first = journal_reader_info(r)->first_seq;
    journal_reader_close(r);
    assert_true(first > 1 && first < 9000);
    struct sink *s = start(9001);
    await_level(s, 9001);
    sink_stats(s, &stats);
    assert_int_equal(stats.skipped, first);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_taken(first, 9000);
    assert_true(logged("are no longer in the journal: they are not delivered"));
}

static void test_trade_as_json(void **state)
{
    (void)state;
    append(1, 37);
    struct sink *s = start(38);
    await_level(s, 38);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_int_equal(far.seq[far.count - 1], 37);
    assert_string_equal(far.name, "BTC");
    assert_string_equal(far.json,
                        "{\"symbol\":\"BTC\",\"price\":167.88,\"size\":0.00000037,\"timestamp\":"
                        "\"2013-10-08T13:45:27.159000000Z\",\"type\":\"trade\",\"bid\":null,\"ask\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_durable_trades_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goes_on_from_the_cursor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_journal_starts_at_the_first_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fenced_with_an_older_journal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_journal_lost_is_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trade_as_json, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
