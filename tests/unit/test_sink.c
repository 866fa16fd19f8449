/* The sink's thread, against a sink in memory that fails in every way that it may. */
#include "net/sink.h"

#include "tests/system/lib/fake_outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { LOG_MAX = 20000 };

/* The far end: what it holds, and its cursor. */
static struct {
    pthread_mutex_t lock;
    struct sink_cursor cursor;
    uint64_t taken[LOG_MAX];
    uint32_t count, batch_max;
    unsigned refuse_open, probes;
    unsigned fault_percent; /* of deliveries */
    unsigned seed;
    bool stuck;
    uint64_t refused_every; /* events that are refused for good: those that it divides; 0 = none */
    uint32_t first_batch;   /* after a failure */
    int prices_result;
    uint32_t price_calls, price_rows, live_rows, both_rows;
    int64_t last_price_e9;
    char log[16384];
} far = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct sink_cursor known; /* the cursor that the open sink read or left */

static int far_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                    struct error *err)
{
    (void)state;
    (void)config;
    pthread_mutex_lock(&far.lock);
    int result = 0;
    if (far.refuse_open) {
        far.refuse_open--;
        far.first_batch = 0;
        result = error_set(err, "not now");
    }
    *cursor = known = far.cursor;
    pthread_mutex_unlock(&far.lock);
    return result;
}

static int far_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                       struct error *err)
{
    (void)state;
    while (__atomic_load_n(&far.stuck, __ATOMIC_ACQUIRE))
        usleep(1000);
    pthread_mutex_lock(&far.lock);
    int result = 0;
    uint32_t take = n;
    bool reported = true;
    if ((unsigned)rand_r(&far.seed) % 100 < far.fault_percent) {
        static const char *const how[] = {"lost before", "lost after", "cut short"};
        unsigned fault = (unsigned)rand_r(&far.seed) % 3;
        take = fault == 0 ? 0 : fault == 1 ? n : (uint32_t)rand_r(&far.seed) % n;
        reported = fault == 2;
        result = error_set(err, "%s", how[fault]);
    }
    if (strcmp(known.outbox_id, far.cursor.outbox_id) || known.offset != far.cursor.offset) {
        take = 0;
        result = error_set(err, "moved");
    }
    for (uint32_t i = 0; far.refused_every && i < take; i++)
        if (record[i].offset % far.refused_every == 0) {
            take = i;
            if (result == 0)
                result = SINK_REFUSED;
            if (result == SINK_REFUSED)
                error_set(err, "event %d is \"too\" large", (int)record[i].offset);
        }
    far.first_batch = far.first_batch ? far.first_batch : n;
    for (uint32_t i = 0; i < take && far.count < LOG_MAX; i++)
        far.taken[far.count++] = record[i].offset;
    if (take) {
        strcpy(far.cursor.outbox_id, FAKE_ID);
        far.cursor.offset = record[0].offset + take;
        known = far.cursor;
    }
    far.batch_max = n > far.batch_max ? n : far.batch_max;
    *accepted = result == 0 ? n : reported ? take : 0;
    pthread_mutex_unlock(&far.lock);
    return result;
}

static int far_prices(void *state, const struct sink_price *price, uint32_t n, struct error *err)
{
    (void)state;
    pthread_mutex_lock(&far.lock);
    far.price_calls++;
    far.price_rows += n;
    for (uint32_t i = 0; i < n; i++) {
        far.live_rows += price[i].new_live && !price[i].new_price;
        far.both_rows += price[i].new_live && price[i].new_price;
    }
    far.last_price_e9 = price[n - 1].price_e9;
    int result = far.prices_result;
    pthread_mutex_unlock(&far.lock);
    if (result)
        error_set(err, "no prices here");
    return result;
}

static int far_probe(void *state, struct error *err)
{
    (void)state;
    (void)err;
    pthread_mutex_lock(&far.lock);
    far.probes++;
    pthread_mutex_unlock(&far.lock);
    return 0;
}

static void far_close(void *state)
{
    (void)state;
}

static const struct sink_ops far_ops = {.name = "far",
                                        .state_bytes = 8,
                                        .open = far_open,
                                        .deliver = far_deliver,
                                        .publish_prices = far_prices,
                                        .probe = far_probe,
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

static int setup(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    memset(&far, 0, sizeof far);
    far.lock = lock;
    far.seed = 1;
    fake_set(0, 0);
    return 0;
}

static struct sink_config config(void)
{
    return (struct sink_config){.ops = &far_ops,
                                .node = "n",
                                .outbox_dir = "memory",
                                .outbox_id = FAKE_ID,
                                .next_offset = fake.next,
                                .batch = 100,
                                .log = log_line};
}

static struct sink *start(const struct sink_config *c)
{
    struct error err;
    struct sink *s = sink_start(c, &err);
    assert_non_null(s);
    return s;
}

static void await_level(struct sink *s, uint64_t offset)
{
    struct error err;
    for (int i = 0; i < 20000 && !sink_level(s, offset); i++)
        usleep(1000);
    if (!sink_level(s, offset)) {
        sink_last_error(s, &err);
        fail_msg("not level with %llu: %s", (unsigned long long)offset, err.text);
    }
}

static void assert_taken(uint64_t first, uint64_t end)
{
    assert_int_equal(far.count, end - first);
    for (uint64_t i = first; i < end; i++)
        assert_int_equal(far.taken[i - first], i);
}

static void test_delivers_in_order(void **state)
{
    (void)state;
    struct sink_stats stats;
    struct sink_config c = config();
    struct sink *s = start(&c);
    assert_string_equal(sink_name(s), "far");
    assert_true(sink_level(s, 0));
    for (uint64_t end = 1; end <= 2000; end += 333) {
        fake_set(0, end);
        sink_published(s, end);
        if (end % 2)
            await_level(s, end);
        assert_false(sink_level(s, end + 1));
    }
    await_level(s, 1999);
    sink_stats(s, &stats);
    assert_int_equal(stats.delivered, 1999);
    assert_int_equal(stats.offset, 1999);
    assert_int_equal(stats.lag, 0);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.errors + stats.retries + stats.skipped + stats.rewound + stats.unknown_outbox, 0);
    assert_true(stats.bytes > 1999 * 7);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_taken(0, 1999);
    assert_true(far.batch_max <= 100);
}

/* Whatever is lost, before or after it took effect: each event once, in order. */
static void test_exactly_once_under_faults(void **state)
{
    (void)state;
    struct sink_stats stats;
    struct sink_config c = config();
    far.fault_percent = 30;
    far.refuse_open = 2;
    struct sink *s = start(&c);
    for (uint64_t end = 100; end <= 2500; end += 100) {
        fake_set(0, end);
        sink_published(s, end);
    }
    await_level(s, 2500);
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_taken(0, 2500);
    assert_true(stats.errors >= 4);
    assert_true(stats.retries >= stats.errors - 1 && stats.retries <= stats.errors);
    assert_true(logged("sink far: not now; trying again\n"));
    assert_true(logged("works again after "));
}

static void test_restart_goes_on(void **state)
{
    (void)state;
    fake_set(0, 150);
    struct sink_config c = config();
    for (uint64_t end = 150; end <= 450; end += 150) {
        fake_set(0, end);
        c.next_offset = end;
        struct sink *s = start(&c);
        await_level(s, end);
        assert_int_equal(sink_stop(s, 2000), 0);
    }
    assert_taken(0, 450);
}

static void test_unknown_outbox(void **state)
{
    (void)state;
    struct sink_stats stats;
    fake_set(0, 50);
    struct sink_config c = config();
    c.delivered = 30;
    far.cursor = (struct sink_cursor){FAKE_OTHER_ID, 7000};
    struct sink *s = start(&c);
    await_level(s, 50);
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(stats.unknown_outbox, 1);
    assert_taken(30, 50);
    assert_true(logged("its cursor is of another outbox (" FAKE_OTHER_ID ", offset 7000; ours is " FAKE_ID
                       "): starting at offset 30"));
}

/* A cursor of the outbox that ours was made of goes on as far as both are the same. */
static void test_outbox_made_of_another(void **state)
{
    (void)state;
    struct sink_stats stats;
    static const struct {
        uint64_t cursor, from, unknown;
    } t[] = {{20, 20, 0}, {40, 40, 0}, {41, 40, 1}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        fake_set(0, 50);
        struct sink_config c = config();
        c.previous = (struct outbox_previous){FAKE_OTHER_ID, 40};
        far.count = 0;
        far.cursor = (struct sink_cursor){FAKE_OTHER_ID, t[i].cursor};
        struct sink *s = start(&c);
        await_level(s, 50);
        sink_stats(s, &stats);
        assert_int_equal(sink_stop(s, 2000), 0);
        assert_int_equal(stats.unknown_outbox, t[i].unknown);
        assert_taken(t[i].from, 50);
    }
}

static void test_cursor_beyond_the_end(void **state)
{
    (void)state;
    struct error err = {""};
    fake_set(0, 50);
    struct sink_config c = config();
    far.cursor = (struct sink_cursor){FAKE_ID, 51};
    struct sink *s = start(&c);
    for (int i = 0; i < 5000 && !sink_last_error(s, &err); i++)
        usleep(1000);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_non_null(strstr(err.text, "its cursor is 51, the outbox in memory ends at 50"));
    assert_int_equal(far.count, 0);
}

/* The far end was restored from an older state, while we were connected. */
static void test_cursor_goes_back(void **state)
{
    (void)state;
    struct sink_stats stats;
    fake_set(0, 100);
    struct sink_config c = config();
    struct sink *s = start(&c);
    await_level(s, 100);
    pthread_mutex_lock(&far.lock);
    far.count = 60;
    far.cursor.offset = 60;
    pthread_mutex_unlock(&far.lock);
    fake_set(0, 120);
    sink_published(s, 120);
    await_level(s, 120);
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_taken(0, 120);
    assert_int_equal(stats.rewound, 40);
    assert_true(logged("its cursor went back from 100 to 60"));
}

static void test_pruned_outbox(void **state)
{
    (void)state;
    struct sink_stats stats;
    fake_set(40, 100);
    struct sink_config c = config();
    struct sink *s = start(&c);
    await_level(s, 100);
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_taken(40, 100);
    assert_int_equal(stats.skipped, 40);
    assert_true(logged("the events 0 to 39 are no longer in the outbox"));
}

enum { SYMBOLS = 1300 };
static int64_t price_e9[SYMBOLS];

static int read_price(void *ctx, uint32_t id, struct sink_price *out)
{
    assert_ptr_equal(ctx, price_e9);
    if (id >= SYMBOLS)
        return -1;
    *out = (struct sink_price){.symbol = "SPY", .symbol_len = 3};
    out->price_e9 = __atomic_load_n(&price_e9[id], __ATOMIC_RELAXED);
    return out->price_e9 != 0;
}

static uint32_t await_rows(uint32_t rows)
{
    for (int i = 0;; i++) {
        pthread_mutex_lock(&far.lock);
        uint32_t got = far.price_rows;
        pthread_mutex_unlock(&far.lock);
        if (got >= rows || i == 5000)
            return got;
        usleep(1000);
    }
}

static void test_prices(void **state)
{
    (void)state;
    struct sink_config c = config();
    c.prices = (struct sink_price_source){read_price, price_e9};
    for (int i = 0; i < SYMBOLS; i++)
        price_e9[i] = i % 2; /* every second has none */
    struct sink *s = start(&c);
    assert_int_equal(await_rows(SYMBOLS / 2), SYMBOLS / 2);
    usleep(250000);
    assert_int_equal(await_rows(0), SYMBOLS / 2); /* no change, nothing sent */
    __atomic_store_n(&price_e9[3], 77, __ATOMIC_RELAXED);
    assert_int_equal(await_rows(SYMBOLS / 2 + 1), SYMBOLS / 2 + 1);
    usleep(5000); /* between two rounds */
    __atomic_store_n(&price_e9[1], 99, __ATOMIC_RELAXED);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(far.price_rows, SYMBOLS / 2 + 2);
    assert_int_equal(far.last_price_e9, 99);
}

static uint64_t live_trades;

static int read_live(void *ctx, uint32_t id, struct sink_price *out)
{
    (void)ctx;
    if (id)
        return -1;
    *out = (struct sink_price){.symbol = "SPY", .symbol_len = 3, .price_e9 = 1};
    out->live.trades = __atomic_load_n(&live_trades, __ATOMIC_RELAXED);
    return 1;
}

/* A late print may move the live bar and not the price. */
static void test_live_bars_have_their_own_news(void **state)
{
    (void)state;
    struct sink_stats stats;
    struct sink_config c = config();
    c.prices = (struct sink_price_source){read_live, NULL};
    live_trades = 5;
    struct sink *s = start(&c);
    assert_int_equal(await_rows(1), 1);
    __atomic_store_n(&live_trades, 6, __ATOMIC_RELAXED);
    assert_int_equal(await_rows(2), 2);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(far.both_rows, 1);
    assert_int_equal(far.live_rows, 1);
    s = start(&c);
    assert_int_equal(await_rows(3), 3);
    for (int i = 0; i < 5000; i++) {
        sink_stats(s, &stats);
        if (stats.prices)
            break;
        usleep(1000);
    }
    assert_int_equal(stats.prices, 1);
    assert_int_equal(sink_stop(s, 2000), 0);
}

/* What is refused of some holds the others not up: all of them are offered. */
static void test_refused_prices_hold_no_others_up(void **state)
{
    (void)state;
    struct sink_config c = config();
    c.prices = (struct sink_price_source){read_price, price_e9};
    for (int i = 0; i < SYMBOLS; i++)
        price_e9[i] = 5;
    far.prices_result = 1;
    struct sink *s = start(&c);
    assert_int_equal(await_rows(SYMBOLS), SYMBOLS);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(far.price_rows, 2 * SYMBOLS); /* once more at the end */
}

static void test_refused_prices_hold_nothing_up(void **state)
{
    (void)state;
    struct error err;
    struct sink_stats stats;
    struct sink_config c = config();
    c.prices = (struct sink_price_source){read_price, price_e9};
    far.prices_result = 1;
    struct sink *s = start(&c);
    await_rows(1);
    fake_set(0, 1000);
    sink_published(s, 1000);
    await_level(s, 1000);
    assert_false(sink_last_error(s, &err));
    assert_string_equal(err.text, "no prices here");
    sink_stats(s, &stats);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.errors, 1);
    assert_int_equal(stats.prices, 0);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_true(logged("the latest prices did not go out at the end: no prices here"));
}

static void test_probe_while_idle(void **state)
{
    (void)state;
    struct sink_config c = config();
    struct sink *s = start(&c);
    usleep(1200000);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(far.probes, 2);
}

/* A sink that does not answer does not hold up the end. */
static void test_stop_is_bounded(void **state)
{
    (void)state;
    static struct sink *left_behind;
    struct timespec from, to;
    fake_set(0, 10);
    struct sink_config c = config();
    far.stuck = true;
    left_behind = start(&c);
    usleep(50000);
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(sink_stop(left_behind, 100), -1);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 < 1000);
    __atomic_store_n(&far.stuck, false, __ATOMIC_RELEASE);
    assert_int_equal(sink_stop(left_behind, 2000), 0);
}

static void await_error(struct sink *s, const char *text)
{
    struct error err = {""};
    for (int i = 0; i < 5000 && !(sink_last_error(s, &err) && strstr(err.text, text)); i++)
        usleep(1000);
    if (!strstr(err.text, text))
        fail_msg("found '%s', expected '%s' in it", err.text, text);
}

/* After failures in a row: open while it waits, one event when it tries, closed when that is taken. */
static void test_breaker(void **state)
{
    (void)state;
    struct sink_stats stats = {0};
    fake_set(0, 300);
    struct sink_config c = config();
    far.refuse_open = SINK_BREAKER_FAILURES + 1;
    struct sink *s = start(&c);
    uint64_t most = 0;
    for (int i = 0; i < 10000 && stats.errors < SINK_BREAKER_FAILURES; i++) {
        most = stats.breaker > most ? stats.breaker : most;
        sink_stats(s, &stats);
        usleep(200);
    }
    assert_int_equal(most, SINK_BREAKER_CLOSED); /* a few failures leave it closed */
    for (int i = 0; i < 5000 && stats.breaker != SINK_BREAKER_OPEN; i++) {
        sink_stats(s, &stats);
        usleep(200);
    }
    assert_int_equal(stats.breaker, SINK_BREAKER_OPEN);
    assert_int_equal(stats.up, 0);
    await_level(s, 300);
    usleep(20000);
    sink_stats(s, &stats);
    assert_int_equal(stats.breaker, SINK_BREAKER_CLOSED);
    assert_int_equal(stats.up, 1);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(far.first_batch, 1);
    assert_int_equal(far.batch_max, 100);
    assert_taken(0, 300);
    assert_true(logged("sink far: breaker open after 5 failures in a row"));
    assert_true(logged("works again after 6 failures: breaker closed"));
}

static char letters_dir[64], letters_path[96];

static void make_letters_dir(void)
{
    char base[] = "/tmp/sink-letters-XXXXXX";
    assert_non_null(mkdtemp(base));
    snprintf(letters_dir, sizeof letters_dir, "%s/dead-letters", base);
    snprintf(letters_path, sizeof letters_path, "%s/far.jsonl", letters_dir);
}

static void remove_letters_dir(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %.*s", (int)(strrchr(letters_dir, '/') - letters_dir),
             letters_dir);
    assert_int_equal(system(command), 0);
}

/* The file holds a letter for each event from 0 to end that 50 divides, in order, and nothing else. */
static void assert_letters(uint64_t end)
{
    char line[512], expected[512];
    FILE *f = fopen(letters_path, "r");
    assert_non_null(f);
    for (uint64_t n = 0; n < end; n += 50) {
        snprintf(expected, sizeof expected,
                 "{\"outbox\":\"" FAKE_ID "\",\"offset\":%d,\"symbol\":\"SPY\",\"kind\":\"bar\",\"reason\":"
                 "\"event %d is \\\"too\\\" large\",\"event\":{\"n\":%d}}\n",
                 (int)n, (int)n, (int)n);
        assert_non_null(fgets(line, sizeof line, f));
        assert_string_equal(line, expected);
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
}

/* All but the refused ones, in order. */
static void assert_taken_but_refused(uint64_t end)
{
    uint32_t at = 0;
    for (uint64_t n = 0; n < end; n++)
        if (n % 50)
            assert_int_equal(far.taken[at++], n);
    assert_int_equal(far.count, at);
}

static void test_dead_letters(void **state)
{
    (void)state;
    struct sink_stats stats;
    make_letters_dir();
    far.refused_every = 50;
    far.fault_percent = 20; /* what passes is no letter */
    fake_set(0, 501);
    struct sink_config c = config();
    c.dead_letter_dir = letters_dir;
    struct sink *s = start(&c);
    await_level(s, 501); /* the last event is a refused one */
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(stats.dead_letters, 11);
    assert_int_equal(stats.rewound, 0);
    assert_letters(501);
    assert_taken_but_refused(501);
    assert_true(logged("sink far: event 50 is refused for good, it is in "));

    /* the cursor is before the last one still: refused again, not written again; a torn line goes */
    assert_int_equal(far.cursor.offset, 500);
    FILE *f = fopen(letters_path, "a");
    fputs("{\"outbox\":\"" FAKE_ID "\",\"offset\":550,\"sym", f);
    fclose(f);
    fake_set(0, 600);
    c.next_offset = 600;
    far.fault_percent = 0;
    s = start(&c);
    await_level(s, 600);
    sink_stats(s, &stats);
    assert_int_equal(stats.dead_letters, 1);
    assert_int_equal(stats.errors, 0);

    /* the far end lost everything: no letter twice */
    pthread_mutex_lock(&far.lock);
    far.count = 0;
    memset(&far.cursor, 0, sizeof far.cursor);
    pthread_mutex_unlock(&far.lock);
    fake_set(0, 601);
    sink_published(s, 601);
    await_level(s, 601);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_letters(601);
    assert_taken_but_refused(601);
    remove_letters_dir();
}

/* No event passes before its letter is on disk. */
static void test_dead_letter_without_a_place(void **state)
{
    (void)state;
    struct sink_stats stats;
    make_letters_dir();
    FILE *f = fopen(letters_dir, "w"); /* a file where the folder should be */
    fclose(f);
    far.refused_every = 50;
    fake_set(0, 20);
    struct sink_config c = config();
    c.dead_letter_dir = letters_dir;
    struct sink *s = start(&c);
    await_error(s, "dead letters: cannot open ");
    sink_stats(s, &stats);
    assert_int_equal(stats.offset, 0);
    assert_int_equal(stats.dead_letters, 0);
    assert_int_equal(unlink(letters_dir), 0);
    await_level(s, 20);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_taken_but_refused(20);
    assert_letters(20);
    remove_letters_dir();
}

/* A cursor that was ours and is another's: nothing is delivered, and nothing is taken over. */
static void test_fenced_by_another_outbox(void **state)
{
    (void)state;
    struct sink_stats stats;
    fake_set(0, 100);
    struct sink_config c = config();
    struct sink *s = start(&c);
    await_level(s, 100);
    pthread_mutex_lock(&far.lock);
    far.cursor = (struct sink_cursor){FAKE_OTHER_ID, 7};
    pthread_mutex_unlock(&far.lock);
    fake_set(0, 200);
    sink_published(s, 200);
    await_error(s, "another instance delivers as node n; stop that one and send SIGHUP to this");
    pthread_mutex_lock(&far.lock);
    assert_int_equal(far.cursor.offset, 7);
    assert_int_equal(far.count, 100);
    far.cursor = (struct sink_cursor){FAKE_ID, 100};
    pthread_mutex_unlock(&far.lock);
    await_level(s, 200);
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_int_equal(stats.unknown_outbox, 0);
    assert_taken(0, 200);
}

/* An older copy of the outbox, which then grows past the cursor: its events up to there were never
 * delivered. */
static void test_fenced_with_an_older_outbox(void **state)
{
    (void)state;
    fake_set(0, 50);
    struct sink_config c = config();
    far.cursor = (struct sink_cursor){FAKE_ID, 60};
    struct sink *s = start(&c);
    await_error(s, "its cursor is 60, the outbox in memory ends at 50");
    fake_set(0, 100);
    sink_published(s, 100);
    usleep(300000);
    await_error(s, "its cursor is 60, the outbox in memory ends at 50");
    assert_int_equal(far.count, 0);
    pthread_mutex_lock(&far.lock);
    memset(&far.cursor, 0, sizeof far.cursor); /* as the message says */
    pthread_mutex_unlock(&far.lock);
    await_level(s, 100);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_taken(0, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_delivers_in_order, setup),
        cmocka_unit_test_setup(test_exactly_once_under_faults, setup),
        cmocka_unit_test_setup(test_restart_goes_on, setup),
        cmocka_unit_test_setup(test_unknown_outbox, setup),
        cmocka_unit_test_setup(test_outbox_made_of_another, setup),
        cmocka_unit_test_setup(test_cursor_beyond_the_end, setup),
        cmocka_unit_test_setup(test_cursor_goes_back, setup),
        cmocka_unit_test_setup(test_pruned_outbox, setup),
        cmocka_unit_test_setup(test_prices, setup),
        cmocka_unit_test_setup(test_refused_prices_hold_nothing_up, setup),
        cmocka_unit_test_setup(test_live_bars_have_their_own_news, setup),
        cmocka_unit_test_setup(test_refused_prices_hold_no_others_up, setup),
        cmocka_unit_test_setup(test_probe_while_idle, setup),
        cmocka_unit_test_setup(test_stop_is_bounded, setup),
        cmocka_unit_test_setup(test_breaker, setup),
        cmocka_unit_test_setup(test_dead_letters, setup),
        cmocka_unit_test_setup(test_dead_letter_without_a_place, setup),
        cmocka_unit_test_setup(test_fenced_by_another_outbox, setup),
        cmocka_unit_test_setup(test_fenced_with_an_older_outbox, setup),
    };
    return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
