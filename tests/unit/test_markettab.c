/* The market role's table: the two copies, a reader in the middle of a write, users' lists, ranks. */
#include <stdint.h>

#include "shm/markettab.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ROWS = 4, KEYS = 2, COLUMNS = TOPLIST_COLUMNS + KEYS };

static void *mem;
static struct markettab *t;
static double value[ROWS * COLUMNS], got[ROWS * COLUMNS];

static int setup(void **state)
{
    (void)state;
    mem = aligned_alloc(markettab_align(), markettab_footprint(ROWS, KEYS));
    memset(mem, 0xa5, markettab_footprint(ROWS, KEYS));
    t = markettab_new(mem, ROWS, KEYS);
    return t ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(markettab_leave(t));
    return 0;
}

static void test_join_checks(void **state)
{
    (void)state;
    size_t bytes = markettab_footprint(ROWS, KEYS);
    assert_ptr_equal(markettab_join(mem, bytes), t);
    assert_null(markettab_join(NULL, bytes));
    assert_null(markettab_join((char *)mem + 8, bytes - 8));
    assert_null(markettab_join(mem, bytes - 1));
    assert_int_equal(markettab_footprint(0, 0), 0);
    assert_int_equal(markettab_footprint(UINT32_MAX, 0), 0);
    assert_int_equal(markettab_footprint(ROWS, TOPLIST_KEYS_MAX + 1), 0);
    assert_int_equal(markettab_columns(t), COLUMNS);
    *(uint64_t *)mem ^= 1;
    assert_null(markettab_join(mem, bytes));
}

static void show(int64_t time_ns, uint64_t rows)
{
    for (unsigned i = 0; i < ROWS * COLUMNS; i++)
        value[i] = (double)time_ns * 1000 + i;
    markettab_show(t, &(struct market_second){.time_ns = time_ns, .seq = 7, .rows = rows}, value);
}

static void test_show(void **state)
{
    struct market_second s;
    (void)state;
    assert_int_equal(markettab_read(t, &s, got), MARKETTAB_NONE);
    for (int64_t second = 1; second < 6; second++) {
        uint64_t rows = (uint64_t)(second % ROWS + 1);
        show(second, rows);
        assert_int_equal(markettab_shown(t), second);
        memset(got, 0, sizeof got);
        assert_int_equal(markettab_read(t, &s, got), 0);
        assert_int_equal(s.time_ns, second);
        assert_int_equal(s.rows, rows);
        assert_memory_equal(got, value, rows * COLUMNS * sizeof *got);
        assert_true(rows == ROWS || got[rows * COLUMNS] == 0);
    }
}

/* A writer that was killed has left any part of its copy: the second before stays whole, its successor's is.
 */
static void test_writer_dies(void **state)
{
    struct market_second s;
    size_t bytes = markettab_footprint(ROWS, KEYS), rows = bytes / 8 - 2ul * ROWS * COLUMNS - 64;
    uint64_t *now = mem, *before = malloc(bytes), *after = malloc(bytes);
    (void)state;
    show(1, ROWS);
    show(2, ROWS);
    memcpy(before, mem, bytes);
    show(3, ROWS);
    memcpy(after, mem, bytes);
    for (size_t words = 0; words < bytes / sizeof *now; words += words < 64 || words > rows ? 3 : 997) {
        memcpy(now, before, bytes);
        for (size_t i = bytes / sizeof *now; i-- > words;) /* not `shown`, which is stored last */
            if (i > 32)
                now[i] = after[i];
        assert_int_equal(markettab_read(t, &s, got), 0);
        assert_int_equal(s.time_ns, 2);
        assert_int_equal(got[5], 2005);
        show(4, ROWS);
        assert_int_equal(markettab_read(t, &s, got), 0);
        assert_int_equal(s.time_ns, 4);
        assert_memory_equal(got, value, sizeof got);
    }
    free(before);
    free(after);
}

static void test_lists(void **state)
{
    static struct market_list list[MARKETTAB_LISTS], out[MARKETTAB_LISTS];
    (void)state;
    assert_int_equal(markettab_lists(t, out), 0);
    for (unsigned i = 0; i < MARKETTAB_LISTS; i++)
        list[i] = (struct market_list){.list = {.metric = i % 3, .filter = {1, 2, 3, i}}, .user_id = "ann"};
    markettab_set_lists(t, list, MARKETTAB_LISTS);
    assert_int_equal(markettab_lists(t, out), MARKETTAB_LISTS);
    assert_memory_equal(out, list, sizeof list);
    markettab_set_lists(t, list + 1, 1);
    assert_int_equal(markettab_lists(t, out), 1);
    assert_memory_equal(out, list + 1, sizeof *list);
}

static void test_rank(void **state)
{
    static struct toplist_row rows[3];
    struct toplist l;
    struct error err;
    struct toplist_keys keys = {0}, kept;
    struct toplist_condition any, condition;
    struct toplist_ranking r = {.list = &l, .row = rows, .limit = 2};
    void *names_mem = aligned_alloc(symtab_align(), symtab_footprint(ROWS));
    struct symtab *names = symtab_new(names_mem, ROWS);
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct symtab_identity id = {.name_len = 1};
        id.name[0] = (char)('A' + i);
        assert_int_equal(symtab_add(names, &id), i);
    }
    assert_int_equal(toplist_find("volume_5m", &l, &err), 0);
    assert_int_equal(toplist_condition(&any, "", &keys, &err), 0);
    for (unsigned i = 0; i < ROWS * COLUMNS; i++)
        value[i] = NAN;
    unsigned column = TOPLIST_VOLUME * TOPLIST_WINDOW_COUNT + TOPLIST_5M;
    const double volume[ROWS] = {20, 10, 30, 40}; /* the last has no name yet */
    for (unsigned i = 0; i < ROWS; i++)
        value[i * COLUMNS + column] = volume[i];
    struct market_second s = {.rows = ROWS};
    for (int again = 0; again < 2; again++) {
        markettab_rank(t, &s, value, names, &any, &r);
        assert_int_equal(r.n, 2);
        assert_string_equal(rows[0].name, "C");
        assert_string_equal(rows[1].name, "A");
        assert_true(rows[1].value[RANK_VALUE] == 20 && isnan(rows[1].value[RANK_PRICE]));
    }
    s.rows = 2; /* C came later than this second */
    markettab_rank(t, &s, value, names, &any, &r);
    assert_string_equal(rows[0].name, "A");
    assert_string_equal(rows[1].name, "B");
    /* an expression of the keys: A and C are halted, of B it is not known */
    const char *expr = "halted and price >= 2.5";
    assert_int_equal(toplist_keys_add(&keys, expr, &err), 0);
    markettab_set_keys(t, &keys);
    assert_int_equal(markettab_keys(markettab_join(mem, markettab_footprint(ROWS, KEYS)), &kept, &err), 0);
    assert_int_equal(kept.n, KEYS);
    assert_int_equal(toplist_condition(&condition, expr, &kept, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        int64_t key[KEYS] = {key_of_double(1), 2500000000 - (i == 2)};
        key[0] = i == 1 ? KEY_UNKNOWN : key[0];
        memcpy(value + i * COLUMNS + TOPLIST_COLUMNS, key, sizeof key);
    }
    s.rows = 3;
    markettab_rank(t, &s, value, names, &condition, &r);
    assert_int_equal(r.n, 1);
    assert_string_equal(rows[0].name, "A");
    free(names_mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writer_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rank, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
