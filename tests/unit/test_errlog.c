#include "shm/errlog.h"
#include "shm/topology.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { RECORDS = 16 };

static void *mem;
static struct errlog *l;

static int setup(void **state)
{
    (void)state;
    mem = mmap(NULL, errlog_footprint(RECORDS), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(mem, 0xa5, errlog_footprint(RECORDS));
    l = errlog_new(mem, RECORDS);
    return l ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(errlog_leave(l), errlog_footprint(RECORDS));
}

static void test_join_checks(void **state)
{
    (void)state;
    size_t bytes = errlog_footprint(RECORDS);
    assert_ptr_equal(errlog_join(mem, bytes), l);
    assert_null(errlog_join(NULL, bytes));
    assert_null(errlog_join((char *)mem + 8, bytes));
    assert_null(errlog_join(mem, bytes - 1));
    *(uint64_t *)mem = 0;
    assert_null(errlog_join(mem, bytes));
}

static void test_one_record_per_error(void **state)
{
    (void)state;
    struct errlog_entry e;
    uint32_t at = 0;
    assert_false(errlog_next(l, &at, &e));
    assert_int_equal(errlog_record(l, ROLE_SINK, 2, 100, "redis: connection refused"), 1);
    assert_int_equal(errlog_record(l, ROLE_SINK, 2, 200, "redis: connection refused"), 2);
    assert_int_equal(errlog_record(l, ROLE_SINK, 2, 300, "redis: connection refused"), 3);
    at = 0;
    assert_true(errlog_next(l, &at, &e));
    assert_string_equal(e.text, "redis: connection refused");
    assert_int_equal(e.count, 3);
    assert_int_equal(e.first_ns, 100);
    assert_int_equal(e.last_ns, 300);
    assert_int_equal(e.role, ROLE_SINK);
    assert_int_equal(e.index, 2);
    assert_false(errlog_next(l, &at, &e));
}

static void test_role_text_and_index_make_it_distinct(void **state)
{
    (void)state;
    struct errlog_entry e;
    uint32_t at = 0, n = 0;
    assert_int_equal(errlog_record(l, ROLE_SINK, 0, 1, "a"), 1);
    assert_int_equal(errlog_record(l, ROLE_SINK, 1, 1, "a"), 1);
    assert_int_equal(errlog_record(l, ROLE_SCANNER, 0, 1, "a"), 1);
    assert_int_equal(errlog_record(l, ROLE_SINK, 0, 1, "b"), 1);
    assert_int_equal(errlog_record(l, ROLE_SINK, 0, 1, ""), 1);
    while (errlog_next(l, &at, &e))
        n++;
    assert_int_equal(n, 5);
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    char text[400];
    struct errlog_entry e;
    uint32_t at = 0;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    assert_int_equal(errlog_record(l, ROLE_INGEST, 0, 1, text), 1);
    assert_int_equal(errlog_record(l, ROLE_INGEST, 0, 1, text), 2);
    assert_true(errlog_next(l, &at, &e));
    assert_int_equal(strlen(e.text), ERRLOG_TEXT_MAX);
}

static void test_full(void **state)
{
    (void)state;
    char text[16];
    for (int i = 0; i < RECORDS; i++) {
        snprintf(text, sizeof text, "error %d", i);
        assert_int_equal(errlog_record(l, 0, 0, 1, text), 1);
    }
    assert_int_equal(errlog_dropped(l), 0);
    assert_int_equal(errlog_record(l, 0, 0, 1, "one too many"), 0);
    assert_int_equal(errlog_dropped(l), 1);
    assert_int_equal(errlog_record(l, 0, 0, 1, "error 3"), 2);
}

enum { TIMES = 2000, TEXTS = 10 };

static void *record_all(void *arg)
{
    char text[16];
    for (int i = 0; i < TIMES * TEXTS; i++) {
        snprintf(text, sizeof text, "error %d", i % TEXTS);
        errlog_record(l, ROLE_GATEWAY, 0, i, text);
    }
    return arg;
}

static void expect_all(unsigned writers)
{
    struct errlog_entry e;
    uint32_t at = 0, n = 0;
    for (; errlog_next(l, &at, &e); n++)
        assert_int_equal(e.count, TIMES * writers);
    assert_int_equal(n, TEXTS);
    assert_int_equal(errlog_dropped(l), 0);
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[2];
    struct errlog_entry e;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_all, NULL), 0);
    for (int i = 0; i < 100; i++)
        for (uint32_t at = 0; errlog_next(l, &at, &e);)
            assert_true(strncmp(e.text, "error ", 6) == 0 && e.count > 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    expect_all(2);
}

static void test_processes(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        record_all(NULL);
        _exit(0);
    }
    record_all(NULL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_all(2);
}

/* Its taker died before it wrote the text: the record is not shown; the next with this error completes it. */
static void test_a_record_without_text(void **state)
{
    (void)state;
    struct errlog_entry e;
    uint32_t at = 0;
    assert_int_equal(errlog_record(l, ROLE_INGEST, 0, 1, "half"), 1);
    assert_true(errlog_next(l, &at, &e));
    uint64_t *record = (uint64_t *)((char *)mem + 128 + (at - 1) * 256);
    assert_int_equal(record[1], 1);
    record[1] = 0;
    memset(record + 6, 0, 208);
    at = 0;
    assert_false(errlog_next(l, &at, &e));
    assert_int_equal(errlog_record(l, ROLE_INGEST, 0, 1, "half"), 2);
    at = 0;
    assert_true(errlog_next(l, &at, &e));
    assert_string_equal(e.text, "half");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_record_per_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_text_and_index_make_it_distinct, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_text_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_record_without_text, setup, teardown),
    };
    return cmocka_run_group_tests_name("errlog", tests, NULL, NULL);
}
