/* The table of values that scans read. */
#include "tests/unit/engine_harness.h"

#include "shm/valuetab.h"

enum { ROWS = 300 };

static struct valuetab *table(uint32_t rows, size_t *bytes)
{
    *bytes = valuetab_footprint(rows);
    void *mem = aligned_alloc(valuetab_align(), *bytes);
    assert_non_null(mem);
    memset(mem, 0, *bytes);
    return valuetab_new(mem, rows);
}

static void test_join(void **state)
{
    size_t bytes;
    struct valuetab *t = table(ROWS, &bytes);
    (void)state;
    assert_ptr_equal(valuetab_join(t, bytes), t);
    assert_int_equal(valuetab_blocks(t), 3);
    assert_null(valuetab_join(NULL, bytes));
    assert_null(valuetab_join(t, bytes - 128));
    assert_null(valuetab_join((char *)t + 8, bytes - 8));
    assert_int_equal(valuetab_footprint(0), 0);
    assert_null(valuetab_new(t, 0));
    ((uint32_t *)t)[3]++; /* another number of columns */
    assert_null(valuetab_join(t, bytes));
    ((uint32_t *)t)[3]--;
    ((uint32_t *)t)[2] = UINT32_MAX; /* of rows */
    assert_null(valuetab_join(t, bytes));
    *(uint64_t *)t = 0;
    assert_null(valuetab_join(t, bytes));
    free(valuetab_leave(t));
}

static void test_values(void **state)
{
    static struct expr x;
    static struct scan s;
    const char *text = "price >= 250 and not halted or rsi(14)@1m < 5";
    struct metric metric[SCAN_COLUMNS];
    struct error err;
    size_t bytes;
    struct valuetab *t = table(ROWS, &bytes);
    uint64_t hits[3 * SCAN_WORDS];
    int64_t key[SCAN_COLUMNS];
    (void)state;
    scan_columns(metric);
    assert_int_equal(expr_parse_instant(text, strlen(text), &x, &err), 0);
    assert_int_equal(scan_compile(&s, &x, metric, SCAN_COLUMNS, &err), 0);
    valuetab_scan(t, &s, hits);
    for (unsigned i = 0; i < sizeof hits / sizeof *hits; i++)
        assert_true(hits[i] == 0); /* nothing is known */
    for (uint32_t id = 0; id < ROWS + 10; id++) {
        for (unsigned c = 0; c < SCAN_COLUMNS; c++)
            key[c] = metric[c].kind == METRIC_PRICE       ? PX(1) * id
                     : metric[c].kind == METRIC_HALTED    ? key_of_double(id % 2)
                     : metric[c].kind == METRIC_INDICATOR ? key_of_double(id == 7 ? 4.5 : 50)
                                                          : KEY_UNKNOWN;
        valuetab_put(t, id, key);
        assert_true(valuetab_get(t, id, 0) == (id < ROWS ? PX(1) * id : KEY_UNKNOWN));
    }
    assert_true(valuetab_get(t, 1, SCAN_COLUMNS) == KEY_UNKNOWN);
    valuetab_scan(t, &s, hits);
    for (uint32_t id = 0; id < 3 * SCAN_BLOCK; id++)
        assert_int_equal(hits[id / 64] >> id % 64 & 1, id == 7 || (id >= 250 && id < ROWS && id % 2 == 0));
    free(t);
}

/* Each column is there once, by its canonical name: what a rule's text becomes finds it. */
static void test_columns(void **state)
{
    static const char *const names[] = {
#define X(name) name,
        SCAN_METRICS(X)
#undef X
    };
    struct metric metric[SCAN_COLUMNS];
    (void)state;
    scan_columns(metric);
    for (unsigned i = 0; i < SCAN_COLUMNS; i++) {
        char name[METRIC_NAME_MAX];
        metric_name(&metric[i], name);
        assert_string_equal(name, names[i]);
        for (unsigned j = 0; j < i; j++)
            assert_false(metric_same(&metric[i], &metric[j]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests_name("valuetab", tests, NULL, NULL);
}
