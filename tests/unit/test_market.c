/* The market role, message by message: when a second is shown and when it is left out, what was lost in each
 * ring, a role that is started again, the end. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/toplist.h"
#include "net/settings.h"
#include "shm/markettab.h"
#include "shm/ring.h"
#include "workers/instance.h"

/* Symbol and bucket A 0, B 1, C 2: scanner 0 has A and C, scanner 1 has B. */
enum { A, B, C, SYMBOLS, SCANNERS = 2, ROWS = 16, KEYS = 2, COLUMNS = TOPLIST_COLUMNS + KEYS };

static char dir[256];
static struct topology topology;
static struct settings settings;
static struct run_options options = {.settings = &settings};
static struct error err;
static struct workspace *creator;
static struct instance *in;
static struct ring_producer clocks, values[SCANNERS];
static struct market_second second;
static double shown[ROWS * COLUMNS];

static struct ring *ring(const char *name, uint32_t k)
{
    size_t bytes;
    void *mem = workspace_object(creator, name, k, &bytes);
    struct ring *r = ring_join(mem, bytes, &err);
    assert_non_null(r);
    return r;
}

static void start_role(void)
{
    if (in)
        market_role.close(in);
    free(in);
    in = aligned_alloc(64, (market_role.bytes + 63) & ~(size_t)63);
    memset(in, 0, market_role.bytes);
    in->options = &options;
    in->settings = &settings;
    in->ws = creator;
    in->kind = ROLE_MARKET;
    in->control = workspace_object(creator, "control", 0, NULL);
    in->counters = workspace_counters(creator, ROLE_MARKET, 0);
    in->parent = getppid();
    assert_int_equal(market_role.open(in), 0);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct topology_options small = {.scanners = SCANNERS,
                                     .tick_ring_slots = 64,
                                     .event_ring_slots = 64,
                                     .symbols_max = ROWS,
                                     .rules_max = 8,
                                     .rules_bytes = 4096,
                                     .staging_bytes = 65536,
                                     .market = 1,
                                     .toplist_keys = KEYS};
    struct toplist_keys keys = {0};
    (void)state;
    settings_defaults(&settings);
    snprintf(dir, sizeof dir, "%s/ringtape-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir) || topology_build(&topology, &small, &err) ||
        !(creator = workspace_create(dir, &topology, instance_schema_hash(), PAGES_NORMAL, NULL, &err)))
        return -1;
    if (toplist_keys_add(&keys, "bid > 1 or ask > 1", &err) < 0)
        return -1;
    markettab_set_keys(workspace_markettab(creator), &keys);
    for (unsigned i = 0; i < SYMBOLS; i++) {
        struct symtab_identity id = {.name_len = 1, .bucket = (uint16_t)i};
        id.name[0] = (char)('A' + i);
        if (symtab_add(workspace_symtab(creator), &id) != (int64_t)i)
            return -1;
    }
    if (ring_producer_join(&clocks, ring("market_ring", 0), &err))
        return -1;
    for (uint32_t k = 0; k < SCANNERS; k++)
        if (ring_producer_join(&values[k], ring("values_ring", k), &err))
            return -1;
    start_role();
    return 0;
}

static int delete_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    market_role.close(in);
    free(in);
    in = NULL;
    workspace_remove(creator);
    return nftw(dir, delete_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void mark(struct ring_producer *to, enum msg_type type, uint32_t symbol, uint64_t seq, int64_t s,
                 uint16_t flags)
{
    struct msg m;
    msg_begin(&m, type, symbol, 0);
    m.seq = seq;
    m.event_ns = s * SECOND_NS + bucket_offset_ns(symbol);
    m.flags |= flags;
    assert_int_equal(ring_put(to, &m), 0);
}

static void clock_of(uint32_t bucket, uint64_t seq, int64_t s)
{
    mark(&clocks, MSG_CLOCK, bucket, seq, s, 0);
}

static void row(uint32_t symbol, uint64_t seq, double v, uint16_t flags)
{
    struct msg m[MSG_SLOTS_MAX];
    double column[COLUMNS];
    for (unsigned i = 0; i < COLUMNS; i++)
        column[i] = v + i;
    msg_begin(m, MSG_VALUES, symbol, sizeof column);
    msg_put(m, 0, column, sizeof column);
    msg_set_seq(m, seq);
    m->flags |= flags;
    assert_int_equal(ring_put(&values[symbol == B], m), 0);
}

/* The block of a bucket, which has one symbol. */
static void block(uint32_t bucket, uint64_t seq, int64_t s, double v)
{
    row(bucket, seq, v, 0);
    mark(&values[bucket == B], MSG_CLOCK, bucket, seq, s, 0);
}

static void run(void)
{
    for (int idle = 0; idle < 3;)
        idle = market_role.step(in, 0) ? 0 : idle + 1;
}

static int64_t shown_second(void)
{
    run();
    if (markettab_read(workspace_markettab(creator), &second, shown) < 0)
        return -1;
    return second.time_ns / SECOND_NS;
}

static void expect_rows(double a, double b, double c)
{
    const double want[] = {a, b, c};
    for (unsigned i = 0; i < SYMBOLS; i++)
        for (unsigned k = 0; k < COLUMNS; k++)
            assert_true(shown[i * COLUMNS + k] == want[i] + k);
}

static uint64_t skipped(void)
{
    return counter_get(in->counters, MARKET_SECONDS_SKIPPED);
}

/* A second with all it needs, of seqs from `seq` on; the last clock closes the one before. */
static void whole(uint64_t seq, int64_t s, double v)
{
    for (uint32_t b = 0; b < SYMBOLS; b++) {
        clock_of(b, seq + b, s);
        block(b, seq + b, s, v + 100 * b);
    }
}

static void begin(void)
{
    assert_int_equal(shown_second(), -1); /* ingest is not ready */
    in->control->ready = 1;
}

static void test_seconds(void **state)
{
    (void)state;
    begin();
    clock_of(A, 10, 5);
    clock_of(B, 11, 5);
    clock_of(C, 12, 5);
    block(B, 11, 5, 2);
    block(A, 10, 5, 1);
    block(C, 12, 5, 3);
    assert_int_equal(shown_second(), -1); /* another bucket might follow */
    block(A, 20, 6, 7);                   /* is of the next second, and not taken */
    clock_of(A, 20, 6);
    assert_int_equal(shown_second(), 5);
    expect_rows(1, 2, 3);
    assert_int_equal(second.seq, 12);
    assert_int_equal(second.rows, SYMBOLS);
    clock_of(C, 21, 6); /* B's bucket has no clock in this second: its values stay */
    clock_of(A, 30, 9);
    assert_int_equal(shown_second(), 5); /* C's block is to come */
    block(C, 21, 6, 9);
    assert_int_equal(shown_second(), 6);
    expect_rows(7, 2, 9);
    assert_int_equal(skipped(), 0);
}

static void test_block_left_out(void **state)
{
    (void)state;
    begin();
    whole(10, 5, 1);
    clock_of(A, 20, 6);
    clock_of(B, 21, 6);
    clock_of(C, 22, 6);
    row(A, 20, 50, 0); /* there was no room for the rest of A's block */
    block(B, 21, 6, 60);
    block(C, 22, 6, 70);
    clock_of(B, 31, 7);
    assert_int_equal(shown_second(), 5);
    expect_rows(1, 101, 201);
    block(B, 31, 7, 80);
    clock_of(A, 40, 8);
    assert_int_equal(shown_second(), 5); /* A's block may still come */
    assert_int_equal(skipped(), 0);
    block(A, 40, 8, 90); /* it does not: what comes is of a later message */
    assert_int_equal(shown_second(), 5);
    assert_int_equal(skipped(), 2); /* in second 7 A has given nothing either */
    clock_of(A, 50, 9);
    assert_int_equal(shown_second(), 8);
    expect_rows(90, 80, 70);
}

static void test_clock_lost(void **state)
{
    (void)state;
    begin();
    whole(10, 5, 1);
    clock_of(A, 20, 6);
    block(A, 20, 6, 4);
    in->control->market_lost_seq = 21; /* B's clock found our ring full, and its block found that one full */
    clock_of(C, 22, 6);
    block(C, 22, 6, 6);
    whole(30, 7, 7);
    assert_int_equal(shown_second(), -1); /* the loss may have been in second 5, for all that is known */
    whole(40, 8, 8);
    assert_int_equal(shown_second(), 7);
    expect_rows(7, 107, 207);
    clock_of(A, 50, 9);
    assert_int_equal(shown_second(), 8);
    expect_rows(8, 108, 208);
}

static void test_started_again(void **state)
{
    (void)state;
    begin();
    whole(10, 5, 1);
    whole(20, 6, 2);
    clock_of(A, 30, 7);
    assert_int_equal(shown_second(), 6);
    block(A, 30, 7, 3);
    run(); /* it has taken A's clock and block, and dies */
    start_role();
    clock_of(B, 31, 7);
    block(B, 31, 7, 4);
    clock_of(C, 32, 7);
    block(C, 32, 7, 5);
    clock_of(B, 41, 8);
    block(B, 41, 8, 6);
    block(C, 42, 8, 6);
    clock_of(C, 42, 8);
    assert_int_equal(shown_second(), 6); /* A's values of second 7 are gone, and what was shown stays */
    expect_rows(2, 102, 202);
    whole(50, 9, 7);
    clock_of(A, 60, 10);
    assert_int_equal(shown_second(), 9);
    expect_rows(7, 107, 207);
}

static void end_of(uint32_t scanner, uint64_t starts)
{
    mark(&values[scanner], MSG_END, (uint32_t)starts, 99, 60, MSG_F_FINAL);
}

static void test_end(void **state)
{
    struct control *c = workspace_object(creator, "control", 0, NULL);
    (void)state;
    begin();
    whole(10, 5, 1);
    clock_of(A, 20, 6);
    block(A, 20, 6, 2);
    assert_int_equal(shown_second(), 5);
    row(A, 99, 11, MSG_F_FINAL);
    row(C, 99, 13, MSG_F_FINAL);
    end_of(0, 1);
    assert_int_equal(shown_second(), 5); /* scanner 1 may have more of second 6 */
    expect_rows(1, 101, 201);
    row(B, 99, 12, MSG_F_FINAL);
    run(); /* all of this is taken, and the role dies before scanner 1 has told the end */
    start_role();
    assert_int_equal(c->market_starts, 2);
    end_of(1, 1); /* was for the one before */
    assert_int_equal(shown_second(), 5);
    assert_int_equal(c->market_final, 0);
    for (uint32_t s = 0; s < SYMBOLS; s++) /* both begin again */
        row(s, 99, 21 + s, MSG_F_FINAL);
    end_of(0, 2);
    end_of(1, 2);
    run();
    assert_int_equal(c->market_final, 1);
    assert_int_equal(markettab_read(workspace_markettab(creator), &second, shown), 0);
    assert_true(second.final && second.seq == 99);
    expect_rows(21, 22, 23);
}

static void all_end(uint64_t starts, double v)
{
    for (uint32_t s = 0; s < SYMBOLS; s++)
        row(s, 99, v + s, MSG_F_FINAL);
    end_of(0, starts);
    end_of(1, starts);
}

/* The last clocks found our ring full: their blocks do not stay before the end. */
static void test_last_clocks_lost(void **state)
{
    (void)state;
    begin();
    whole(10, 5, 1);
    clock_of(A, 20, 6);
    assert_int_equal(shown_second(), 5);
    in->control->market_lost_seq = 31;
    block(A, 20, 6, 2);
    block(B, 21, 6, 3);
    block(A, 30, 7, 4);
    block(B, 31, 7, 5);
    assert_int_equal(shown_second(), 5);
    clock_of(C, 22, 6); /* a new ingest puts again what ours did not take */
    clock_of(A, 30, 7);
    assert_int_equal(shown_second(), 5);
    all_end(1, 31);
    run();
    assert_int_equal(in->control->market_final, 1);
    assert_int_equal(markettab_read(workspace_markettab(creator), &second, shown), 0);
    expect_rows(31, 32, 33);
}

/* All clocks are taken, blocks are not, when the role dies: nor do these. */
static void test_started_again_before_the_end(void **state)
{
    (void)state;
    begin();
    whole(10, 5, 1);
    clock_of(A, 20, 6);
    clock_of(B, 21, 6);
    assert_int_equal(shown_second(), 5);
    block(A, 20, 6, 2);
    block(B, 21, 6, 3);
    start_role();
    all_end(2, 41);
    run();
    assert_int_equal(in->control->market_final, 1);
    assert_int_equal(markettab_read(workspace_markettab(creator), &second, shown), 0);
    expect_rows(41, 42, 43);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_block_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_started_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_clocks_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_started_again_before_the_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
