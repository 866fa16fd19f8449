#include "shm/counters.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void *aligned(size_t bytes)
{
    void *mem = aligned_alloc(counters_align(), (bytes + 127) / 128 * 128);
    memset(mem, 0xa5, bytes);
    return mem;
}

/* Every value of a role belongs to exactly one row, in order, and every label value has a name. */
static void test_tables_cover_the_values(void **state)
{
    (void)state;
    for (unsigned role = 0; role < ROLE_COUNT; role++) {
        unsigned rows, next = 0;
        const struct counter_desc *d = counters_table(role, &rows);
        void *mem = aligned(counters_footprint(role));
        struct counters *c = counters_new(mem, role);
        for (unsigned i = 0; i < rows; i++) {
            assert_int_equal(d[i].first, next);
            assert_true(d[i].count >= 1 && (d[i].label ? d[i].label_names != NULL : d[i].count == 1));
            assert_true(d[i].name[0] && d[i].help[0]);
            for (unsigned k = 0; d[i].label && k < d[i].count; k++)
                assert_true(d[i].label_names[k] && d[i].label_names[k][0]);
            for (unsigned k = 0; k < i; k++)
                assert_string_not_equal(d[i].name, d[k].name);
            next += d[i].count;
        }
        assert_int_equal(c->count, next);
        free(counters_leave(c));
    }
}

static void test_ids(void **state)
{
    (void)state;
    unsigned rows;
    const struct counter_desc *d = counters_table(ROLE_INGEST, &rows);
    unsigned found = 0;
    for (unsigned i = 0; i < rows; i++) {
        if (strcmp(d[i].name, "rejected") == 0) {
            found++;
            assert_int_equal(d[i].first, INGEST_REJECTED);
            assert_int_equal(d[i].count, REJECT_COUNT);
            assert_string_equal(d[i].label_names[REJECT_TIME_JUMP], "time_jump");
        }
        if (strcmp(d[i].name, "event_time_ns") == 0) {
            found++;
            assert_int_equal(d[i].first, INGEST_EVENT_TIME_NS);
            assert_true(d[i].gauge);
        }
    }
    assert_int_equal(found, 2);
    d = counters_table(ROLE_SCANNER, &rows);
    for (unsigned i = 0; i < rows; i++)
        if (strcmp(d[i].name, "late_prints") == 0)
            assert_int_equal(d[i].first, SCANNER_ENGINE + offsetof(struct engine_counters, late_prints) / 8);
    assert_int_equal(SCANNER_EVENTS - SCANNER_ENGINE, sizeof(struct engine_counters) / 8);
}

static void test_values(void **state)
{
    (void)state;
    void *mem = aligned(counters_footprint(ROLE_SINK));
    struct counters *c = counters_new(mem, ROLE_SINK);
    char label[COUNTERS_LABEL_MAX + 1];
    for (unsigned i = 0; i < c->count; i++)
        assert_int_equal(counter_get(c, i), 0);
    counter_add(c, SINK_DELIVERED, 5);
    counter_add(c, SINK_DELIVERED, 6);
    counter_set(c, SINK_LAG, 77);
    *counter_cell(c, LOOP_CYCLES + 1) = 3;
    assert_int_equal(counter_get(c, SINK_DELIVERED), 11);
    assert_int_equal(counter_get(c, SINK_LAG), 77);
    assert_int_equal(counter_get(c, LOOP_CYCLES + 1), 3);
    assert_int_equal(counter_get(c, SINK_RETRIES), 0);
    uint64_t values[] = {1, 2, 3};
    counters_copy(c, SINK_DELIVERED, values, 3);
    assert_int_equal(counter_get(c, SINK_DELIVERED + 2), 3);
    counters_label(c, label);
    assert_string_equal(label, "");
    counters_set_label(c, "redis");
    counters_label(c, label);
    assert_string_equal(label, "redis");
    counters_set_label(c, "a name that is longer than there is room for in it");
    counters_label(c, label);
    assert_int_equal(strlen(label), COUNTERS_LABEL_MAX);
    free(mem);
}

static void test_join_checks(void **state)
{
    (void)state;
    size_t bytes = counters_footprint(ROLE_INGEST);
    void *mem = aligned(bytes);
    assert_null(counters_join(mem, bytes, ROLE_INGEST));
    struct counters *c = counters_new(mem, ROLE_INGEST);
    assert_ptr_equal(counters_join(mem, bytes, ROLE_INGEST), c);
    assert_null(counters_join(mem, bytes, ROLE_SCANNER));
    assert_null(counters_join(mem, bytes - 1, ROLE_INGEST));
    assert_null(counters_join((char *)mem + 8, bytes, ROLE_INGEST));
    assert_null(counters_join(NULL, bytes, ROLE_INGEST));
    assert_int_equal(counters_footprint(ROLE_COUNT), 0);
    free(mem);
}

static void test_schema_hash_is_stable(void **state)
{
    (void)state;
    assert_true(counters_schema_hash() != 0);
    assert_true(counters_schema_hash() == counters_schema_hash());
}

static void test_histograms_of_a_role(void **state)
{
    (void)state;
    size_t bytes = histograms_footprint(ROLE_PUBLISHER);
    unsigned n;
    void *mem = aligned(bytes);
    histograms_new(mem, ROLE_PUBLISHER);
    const struct histogram_desc *d = histograms_table(ROLE_PUBLISHER, &n);
    assert_int_equal(n, PUBLISHER_HISTOGRAM_COUNT);
    assert_string_equal(d[PUBLISHER_TICK_TO_ALERT_NS].name, "tick_to_alert");
    assert_string_equal(d[LOOP_STEP_NS].name, "step");
    struct histogram *a = histograms_join(mem, bytes, ROLE_PUBLISHER, LOOP_STEP_NS);
    struct histogram *b = histograms_join(mem, bytes, ROLE_PUBLISHER, PUBLISHER_OUTBOX_COMMIT_NS);
    static struct histogram_copy copy;
    assert_true(a && b && a != b);
    histogram_record(b, 5);
    histogram_read(a, &copy);
    assert_int_equal(copy.count, 0);
    assert_null(histograms_join(mem, bytes, ROLE_PUBLISHER, PUBLISHER_HISTOGRAM_COUNT));
    assert_null(histograms_join(mem, bytes - 1, ROLE_PUBLISHER, PUBLISHER_OUTBOX_COMMIT_NS));
    assert_null(histograms_join(NULL, bytes, ROLE_PUBLISHER, 0));
    free(mem);
}

static struct histogram *new_histogram(void)
{
    struct histogram *h = histogram_new(aligned(histogram_footprint()));
    assert_non_null(h);
    return h;
}

/* At each power of two and beside it, the quantile of a single value is the value, up to 1/32 above. */
static void test_precision(void **state)
{
    (void)state;
    static struct histogram_copy c;
    for (int bit = 0; bit < 64; bit++)
        for (int step = -1; step <= 1; step++) {
            uint64_t v = (UINT64_C(1) << bit) + (uint64_t)step;
            struct histogram *h = new_histogram();
            histogram_record(h, v);
            histogram_record(h, UINT64_MAX);
            histogram_read(h, &c);
            uint64_t q = histogram_quantile(&c, 0.5);
            assert_true(q >= v && q - v <= v / 32);
            assert_int_equal(histogram_at_most(&c, v), v == UINT64_MAX ? 2 : 1 + (q == UINT64_MAX));
            if (v > 64)
                assert_int_equal(histogram_at_most(&c, v - v / 16), 0);
            free(histogram_leave(h));
        }
}

static void test_quantiles(void **state)
{
    (void)state;
    static struct histogram_copy c, before;
    struct histogram *h = new_histogram();
    histogram_read(h, &before);
    assert_int_equal(histogram_quantile(&before, 0.99), 0);
    for (uint64_t v = 1; v <= 10000; v++)
        histogram_record(h, v);
    histogram_read(h, &c);
    assert_int_equal(c.count, 10000);
    assert_int_equal(c.sum, 50005000);
    assert_int_equal(c.max, 10000);
    assert_in_range(histogram_quantile(&c, 0.5), 5000, 5157);
    assert_in_range(histogram_quantile(&c, 0.99), 9900, 10000);
    assert_int_equal(histogram_quantile(&c, 0), 1);
    assert_int_equal(histogram_quantile(&c, 1), 10000);

    before = c;
    histogram_record_n(h, 20, 3);
    histogram_read(h, &c);
    histogram_subtract(&c, &before);
    assert_int_equal(c.count, 3);
    assert_int_equal(c.sum, 60);
    assert_int_equal(histogram_quantile(&c, 0.5), 20);
    histogram_merge(&c, &before);
    assert_int_equal(c.count, 10003);
    assert_int_equal(c.max, 10000);
    free(h);
}

static void test_histogram_join_checks(void **state)
{
    (void)state;
    struct histogram *h = new_histogram();
    size_t bytes = histogram_footprint();
    assert_ptr_equal(histogram_join(h, bytes), h);
    assert_null(histogram_join(h, bytes - 1));
    assert_null(histogram_join((char *)h + 8, bytes));
    assert_null(histogram_join(NULL, bytes));
    *(uint64_t *)h = 0;
    assert_null(histogram_join(h, bytes));
    free(h);
}

static struct counters *shared;
static struct histogram *shared_histogram;
enum { ADDS = 100000 };

static void *count(void *arg)
{
    for (int i = 0; i < ADDS; i++) {
        counter_add(shared, SUPERVISOR_RESTARTS, 1);
        histogram_record(shared_histogram, (uint64_t)i);
    }
    return arg;
}

/* For ThreadSanitizer; and a reader never sees a counter step back. */
static void test_reader_beside_writer(void **state)
{
    (void)state;
    pthread_t writer;
    static struct histogram_copy c;
    uint64_t last = 0;
    shared = counters_new(aligned(counters_footprint(ROLE_SUPERVISOR)), ROLE_SUPERVISOR);
    shared_histogram = new_histogram();
    assert_int_equal(pthread_create(&writer, NULL, count, NULL), 0);
    while (last < ADDS) {
        uint64_t now = counter_get(shared, SUPERVISOR_RESTARTS);
        assert_true(now >= last);
        last = now;
        histogram_read(shared_histogram, &c);
        assert_true(c.count <= ADDS);
    }
    pthread_join(writer, NULL);
    histogram_read(shared_histogram, &c);
    assert_int_equal(c.count, ADDS);
    free(shared);
    free(shared_histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_cover_the_values),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_join_checks),
        cmocka_unit_test(test_schema_hash_is_stable),
        cmocka_unit_test(test_histograms_of_a_role),
        cmocka_unit_test(test_precision),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_histogram_join_checks),
        cmocka_unit_test(test_reader_beside_writer),
    };
    return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
