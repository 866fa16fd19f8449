#include "shm/ruletab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SLOTS = 8, BYTES = 100 };

static void *mem;
static struct ruletab *t;

static int setup(void **state)
{
    (void)state;
    mem = aligned_alloc(ruletab_align(), ruletab_footprint(SLOTS, BYTES));
    memset(mem, 0xa5, ruletab_footprint(SLOTS, BYTES));
    t = ruletab_new(mem, SLOTS, BYTES);
    return t ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(ruletab_leave(t));
    return 0;
}

static void test_join_checks(void **state)
{
    (void)state;
    size_t bytes = ruletab_footprint(SLOTS, BYTES);
    assert_ptr_equal(ruletab_join(mem, bytes), t);
    assert_null(ruletab_join(NULL, bytes));
    assert_null(ruletab_join((char *)mem + 8, bytes - 8));
    assert_null(ruletab_join(mem, bytes - 1));
    assert_int_equal(ruletab_footprint(0, 1), 0);
    assert_int_equal(ruletab_footprint(1, 0), 0);
    assert_int_equal(ruletab_footprint(1, UINT64_C(1) << 32), 0);
    *(uint64_t *)mem ^= 1;
    assert_null(ruletab_join(mem, bytes));
}

static void expect(uint32_t slot, const char *text, uint32_t flags)
{
    struct rule_blob b;
    assert_true(ruletab_get(t, slot, &b));
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(b.bytes, text, b.len);
    assert_int_equal(b.flags, flags);
}

static void test_put_get(void **state)
{
    (void)state;
    struct rule_blob b;
    assert_false(ruletab_get(t, 0, &b));
    assert_int_equal(ruletab_count(t), 0);
    assert_int_equal(ruletab_put(t, 0, "rsi(14) < 30", 12, 1), 0);
    assert_int_equal(ruletab_put(t, 5, "price > 1", 9, 0), 0);
    assert_int_equal(ruletab_count(t), 6);
    assert_int_equal(ruletab_bytes_used(t), 21);
    expect(0, "rsi(14) < 30", 1);
    expect(5, "price > 1", 0);
    assert_false(ruletab_get(t, 3, &b));
    assert_false(ruletab_get(t, SLOTS, &b));
    ruletab_set_flags(t, 5, 9);
    expect(5, "price > 1", 9);
}

static void test_put_again(void **state)
{
    (void)state;
    assert_int_equal(ruletab_put(t, 1, "abc", 3, 1), 0);
    assert_int_equal(ruletab_put(t, 1, "abc", 3, 2), 0);
    expect(1, "abc", 2);
    assert_int_equal(ruletab_bytes_used(t), 3);
    assert_int_equal(ruletab_put(t, 1, "abd", 3, 3), RULETAB_TAKEN);
    assert_int_equal(ruletab_put(t, 1, "abcd", 4, 3), RULETAB_TAKEN);
    expect(1, "abc", 2);
}

static void test_full(void **state)
{
    (void)state;
    char text[BYTES + 1];
    memset(text, 'x', sizeof text);
    assert_int_equal(ruletab_put(t, SLOTS, "a", 1, 0), RULETAB_SLOT);
    assert_int_equal(ruletab_put(t, 0, text, BYTES + 1, 0), RULETAB_FULL);
    assert_int_equal(ruletab_put(t, 0, text, BYTES - 1, 0), 0);
    assert_int_equal(ruletab_put(t, 1, "ab", 2, 0), RULETAB_FULL);
    assert_int_equal(ruletab_put(t, 1, "a", 1, 0), 0);
    assert_int_equal(ruletab_bytes_used(t), BYTES);
    expect(1, "a", 0);
}

static void test_statistics(void **state)
{
    (void)state;
    size_t bytes = rule_stats_footprint(SLOTS);
    void *m[2];
    struct rule_stats_table *s[2];
    struct rule_stats sum = {0};
    for (int i = 0; i < 2; i++) {
        m[i] = aligned_alloc(rule_stats_align(), bytes);
        memset(m[i], 0xa5, bytes);
        assert_non_null(rule_stats_new(m[i], SLOTS));
        s[i] = rule_stats_join(m[i], bytes);
        assert_non_null(s[i]);
        assert_int_equal(rule_stats_count(s[i]), SLOTS);
    }
    assert_null(rule_stats_join(m[0], bytes - 1));
    assert_null(rule_stats_join((char *)m[0] + 8, bytes));
    rule_stats_rows(s[0])[SLOTS - 1] = (struct rule_stats){1, 2, 3, 4, 5, 6, 7, 8, 9};
    rule_stats_rows(s[1])[SLOTS - 1] = (struct rule_stats){10, 20, 30, 40, 50, 60, 70, 80, 90};
    rule_stats_rows(s[1])[0].fired = 1000;
    for (int i = 0; i < 2; i++)
        rule_stats_add(s[i], SLOTS - 1, &sum);
    struct rule_stats expected = {11, 22, 33, 44, 55, 66, 77, 88, 99};
    assert_memory_equal(&sum, &expected, sizeof sum);
    for (int i = 0; i < 2; i++)
        free(m[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test(test_statistics),
    };
    return cmocka_run_group_tests_name("ruletab", tests, NULL, NULL);
}
