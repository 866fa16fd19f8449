/* Conflation of quotes in the feed: against a slow reading of what net/feed.h says. `test_conflate SEED`
 * repeats a run. */
#include "core/bucket.h"
#include "net/feed.h"
#include "tests/unit/temp_dir.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define BASE_NS     (1700000000 * SECOND_NS)
#define INTERVAL_NS INT64_C(100000000)
enum { ROWS = 3000, SOURCES = 3, SYMBOLS = 5 };

struct row {
    bool quote;
    unsigned symbol;
    int64_t event_ns, recv_ns;
    int64_t price; /* tells rows apart */
};

static uint64_t seed;
static struct error err;

static uint64_t next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

/* csv:FILE of the rows, in spec. */
static void write_rows(const struct row *r, int n, unsigned source, char spec[96])
{
    char path[90];
    snprintf(path, sizeof path, "%s/%u.csv", dir, source);
    snprintf(spec, 96, "csv:%s", path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "recv_ns,ts_ns,symbol,price,size,bid,ask\n");
    for (int i = 0; i < n; i++) {
        fprintf(f, "%" PRId64 ",%" PRId64 ",S%u,", r[i].recv_ns, r[i].event_ns, r[i].symbol);
        if (r[i].quote)
            fprintf(f, ",,%" PRId64 ",%" PRId64 "\n", r[i].price, r[i].price + 1);
        else
            fprintf(f, "%" PRId64 ",1,,\n", r[i].price);
    }
    fclose(f);
}

/* The ticks of the sources as they come out. How many. */
static int read_feed(char spec[][96], unsigned n_specs, int64_t interval_ns, struct row *got, int room,
                     struct source_stats *stats)
{
    static struct msg out[4096];
    const char *specs[SOURCES];
    struct source_config config = {.symbols_max = 100, .conflate_quotes_ns = interval_ns};
    int n, count = 0;
    for (unsigned i = 0; i < n_specs; i++)
        specs[i] = spec[i];
    struct feed *f = feed_open(specs, n_specs, &config, NULL, NULL, &err);
    if (!f)
        fail_msg("%s", err.text);
    while ((n = feed_read(f, out, 4096)) > 0)
        for (int at = 0; at < n; at += (int)msg_slot_count(&out[at])) {
            const struct msg *m = &out[at];
            if (m->type == MSG_SYMBOL)
                continue;
            assert_true(count < room);
            bool quote = m->type == MSG_QUOTE;
            got[count++] =
                (struct row){quote, (unsigned)atoi(feed_symbol(f, m->symbol)->name + 1), m->event_ns,
                             m->recv_ns, (quote ? m->quote.bid_e9 : m->trade.price_e9) / 1000000000};
        }
    feed_stats(f, stats);
    feed_close(f);
    return count;
}

static int64_t interval_of(const struct row *r, int i, int64_t interval_ns)
{
    int64_t top = 0;
    for (int k = 0; k <= i; k++)
        top = r[k].event_ns > top ? r[k].event_ns : top;
    return top / interval_ns;
}

/* One source, the slow way: run by run of rows in one interval first its trades, as they are, then of each
 * symbol with quotes, in the order of its first, the last. */
static int conflate(const struct row *r, int n, int64_t interval_ns, struct row *out)
{
    int used = 0;
    for (int from = 0, to; from < n; from = to) {
        int64_t top = 0;
        for (to = from; to < n && interval_of(r, to, interval_ns) == interval_of(r, from, interval_ns); to++)
            ;
        for (int k = 0; k < to; k++)
            top = r[k].event_ns > top ? r[k].event_ns : top;
        for (int i = from; i < to; i++)
            if (!r[i].quote)
                out[used++] = r[i];
        for (int i = from; i < to; i++) {
            int last = i;
            bool first = r[i].quote;
            for (int k = from; k < i; k++)
                first &= !r[k].quote || r[k].symbol != r[i].symbol;
            if (!first)
                continue;
            for (int k = i; k < to; k++)
                last = r[k].quote && r[k].symbol == r[i].symbol ? k : last;
            out[used] = r[last];
            out[used].event_ns = top;
            out[used++].recv_ns = r[to < n ? to : n - 1].recv_ns;
        }
    }
    return used;
}

static void as_the_slow_way(void **state)
{
    (void)state;
    static struct row row[SOURCES][ROWS], one[SOURCES][ROWS], expected[SOURCES * ROWS], got[SOURCES * ROWS];
    uint64_t conflated = 0;
    for (int round = 0; round < 60; round++) {
        unsigned sources = 1 + (unsigned)(next_random() % SOURCES);
        char spec[SOURCES][96];
        int n[SOURCES], m[SOURCES], at[SOURCES] = {0}, total = 0, count = 0;
        int64_t step = (int64_t[]){1000000, 20000000, 300000000}[next_random() % 3];
        for (unsigned s = 0; s < sources; s++) {
            int64_t now = BASE_NS + (int64_t)(next_random() % 1000000000);
            n[s] = 1 + (int)(next_random() % 300);
            total += n[s];
            for (int i = 0; i < n[s]; i++) {
                now += (int64_t)(next_random() % (uint64_t)step);
                int64_t late = next_random() % 4 ? 0 : (int64_t)(next_random() % 250000000);
                row[s][i] = (struct row){next_random() % 3 > 0, (unsigned)(next_random() % SYMBOLS),
                                         now - late, now, 1 + (int64_t)(s * ROWS) + i};
            }
            write_rows(row[s], n[s], s, spec[s]);
            m[s] = conflate(row[s], n[s], INTERVAL_NS, one[s]);
        }
        for (;;) { /* they merge as other rows do */
            int first = -1;
            for (unsigned s = 0; s < sources; s++)
                if (at[s] < m[s] && (first < 0 || one[s][at[s]].recv_ns < one[first][at[first]].recv_ns))
                    first = (int)s;
            if (first < 0)
                break;
            expected[count++] = one[first][at[first]++];
        }
        struct source_stats stats;
        int out = read_feed(spec, sources, INTERVAL_NS, got, SOURCES * ROWS, &stats);
        assert_int_equal(out, count);
        for (int i = 0; i < out; i++)
            if (got[i].quote != expected[i].quote || got[i].symbol != expected[i].symbol ||
                got[i].event_ns != expected[i].event_ns || got[i].recv_ns != expected[i].recv_ns ||
                got[i].price != expected[i].price)
                fail_msg("round %d: row %d of %d is %" PRId64 ", expected %" PRId64, round, i, out,
                         got[i].price, expected[i].price);
        assert_int_equal(stats.rows, total);
        assert_int_equal(stats.conflated, total - out);
        conflated += stats.conflated;
        assert_int_equal(read_feed(spec, sources, 0, got, SOURCES * ROWS, &stats), total); /* off */
        assert_int_equal(stats.conflated, 0);
    }
    print_message("%" PRIu64 " quotes left out\n", conflated);
    assert_true(conflated > 1000);
}

/* By hand: S0 is quoted four times in an interval, the last one goes out as it is over, before what ends it.
 */
static void the_last_goes_on(void **state)
{
    (void)state;
    static const struct row rows[] = {{true, 0, BASE_NS + 1, BASE_NS + 11, 1},
                                      {true, 0, BASE_NS + 2, BASE_NS + 12, 2},
                                      {false, 0, BASE_NS + 3, BASE_NS + 13, 3},
                                      {true, 1, BASE_NS + 4, BASE_NS + 14, 4},
                                      {true, 0, BASE_NS + 5, BASE_NS + 15, 5},
                                      {false, 1, BASE_NS + 6, BASE_NS + 16, 6},
                                      {false, 1, BASE_NS + INTERVAL_NS, BASE_NS + INTERVAL_NS, 7},
                                      {true, 1, BASE_NS + INTERVAL_NS + 1, BASE_NS + INTERVAL_NS + 9, 8}};
    static const int64_t price[] = {3, 6, 5, 4, 7, 8}, event[] = {3, 6, 6, 6, INTERVAL_NS, INTERVAL_NS + 1};
    struct row got[8];
    struct source_stats stats;
    char spec[1][96];
    write_rows(rows, 8, 0, spec[0]);
    assert_int_equal(read_feed(spec, 1, INTERVAL_NS, got, 8, &stats), 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(got[i].price, price[i]);
        assert_int_equal(got[i].event_ns, BASE_NS + event[i]);
    }
    assert_int_equal(stats.conflated, 2);
}

/* Time that steps back by hours, confirmed, begins anew: what was held goes out with the time it had. */
static void a_step_back_begins_anew(void **state)
{
    (void)state;
    const int64_t back = BASE_NS - 3 * 3600 * SECOND_NS;
    const struct row rows[] = {{true, 0, BASE_NS, BASE_NS, 1},
                               {true, 0, BASE_NS + 1, BASE_NS + 1, 2},
                               {true, 0, back, BASE_NS + 2, 3},
                               {true, 0, back + 1, BASE_NS + 3, 4},
                               {true, 0, back + INTERVAL_NS, BASE_NS + 4, 5},
                               {true, 0, back + INTERVAL_NS + 1, BASE_NS + 5, 6}};
    const int64_t price[] = {2, 4, 6}, event[] = {BASE_NS + 1, back + 1, back + INTERVAL_NS + 1};
    struct row got[6];
    struct source_stats stats;
    char spec[1][96];
    write_rows(rows, 6, 0, spec[0]);
    assert_int_equal(read_feed(spec, 1, INTERVAL_NS, got, 6, &stats), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(got[i].price, price[i]);
        assert_int_equal(got[i].event_ns, event[i]);
    }
    assert_int_equal(stats.conflated, 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_slow_way),
        cmocka_unit_test(the_last_goes_on),
        cmocka_unit_test(a_step_back_begins_anew),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests_name("conflate", tests, make_dir, remove_dir);
}
