#include "shm/symtab.h"
#include "shm/object.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ROWS = 500 };

static void *mem;
static struct symtab *t;

static int setup(void **state)
{
    (void)state;
    mem = aligned_alloc(symtab_align(), symtab_footprint(ROWS));
    memset(mem, 0xa5, symtab_footprint(ROWS));
    t = symtab_new(mem, ROWS);
    return t ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(symtab_leave(t));
    return 0;
}

static struct symtab_identity identity(const char *name)
{
    struct symtab_identity s = {
        .bucket = 7, .name_len = (uint8_t)strlen(name), .size_scale = 8, .tick_e9 = 10};
    memcpy(s.name, name, s.name_len);
    return s;
}

static int64_t add(const char *name)
{
    struct symtab_identity s = identity(name);
    return symtab_add(t, &s);
}

static int64_t find(const char *name)
{
    return symtab_find(t, name, strlen(name));
}

static void test_join_checks(void **state)
{
    (void)state;
    size_t bytes = symtab_footprint(ROWS);
    assert_ptr_equal(symtab_join(mem, bytes), t);
    assert_null(symtab_join(NULL, bytes));
    assert_null(symtab_join((char *)mem + 64, bytes - 64));
    assert_null(symtab_join(mem, bytes - 1));
    assert_null(symtab_join(mem, 8));
    assert_null(symtab_new((char *)mem + 64, ROWS));
    assert_int_equal(symtab_footprint(0), 0);
    assert_int_equal(symtab_footprint(SYMTAB_ROWS_MAX + 1), 0);
    *(uint64_t *)mem += 1;
    assert_null(symtab_join(mem, bytes));
}

static void test_add_find_until_full(void **state)
{
    (void)state;
    char name[16];
    assert_int_equal(find("SPY"), -1);
    for (int i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "S%d", i);
        assert_int_equal(find(name), -1);
        assert_int_equal(add(name), i);
        assert_int_equal(symtab_count(t), i + 1);
    }
    for (int i = 0; i < ROWS; i++) {
        snprintf(name, sizeof name, "S%d", i);
        assert_int_equal(find(name), i);
        assert_string_equal(symtab_identity(t, (uint32_t)i)->name, name);
    }
    assert_int_equal(find("S"), -1);
    assert_int_equal(find("S500"), -1);
    assert_int_equal(symtab_find(t, "", 0), -1);
    assert_int_equal(add("ONE_TOO_MANY"), -1);
    assert_int_equal(symtab_count(t), ROWS);
}

static void test_a_name_of_63_bytes(void **state)
{
    (void)state;
    char name[64];
    memset(name, 'X', 63);
    name[63] = 0;
    assert_int_equal(add(name), 0);
    assert_int_equal(find(name), 0);
    assert_int_equal(symtab_find(t, name, 62), -1);
    assert_int_equal(symtab_find(t, name, 64), -1);
}

static void test_rows(void **state)
{
    (void)state;
    struct symtab_row row;
    assert_int_equal(symtab_read(t, 0, &row), SYMTAB_NONE);
    assert_int_equal(add("SPY"), 0);
    assert_int_equal(add("QQQ"), 1);
    assert_int_equal(symtab_read(t, 1, &row), 0);
    assert_string_equal(row.identity.name, "QQQ");
    assert_int_equal(row.identity.size_scale, 8);
    assert_int_equal(row.trade.price_e9, 0);
    struct symtab_trade trade = {.price_e9 = 1, .size = 2, .event_ns = 3, .day_volume = 6, .session = 2};
    struct symtab_quote quote = {.bid_e9 = 10, .ask_e9 = 11, .bid_size = 12, .ask_size = 13, .event_ns = 14};
    symtab_set_trade(t, 1, &trade);
    symtab_set_quote(t, 1, &quote);
    struct symtab_live live = {20, 21, 22, 23, 24, 25, 26, 27, 28};
    symtab_set_live(t, 1, &live);
    assert_int_equal(symtab_read(t, 1, &row), 0);
    assert_memory_equal(&row.live, &live, sizeof live);
    assert_memory_equal(&row.trade, &trade, sizeof trade);
    assert_memory_equal(&row.quote, &quote, sizeof quote);
    assert_string_equal(row.identity.name, "QQQ");
    assert_int_equal(symtab_read(t, 0, &row), 0);
    assert_int_equal(row.trade.price_e9 | row.quote.bid_e9 | (int64_t)row.live.trades, 0);
    assert_int_equal(symtab_read(t, 2, &row), SYMTAB_NONE);
}

/* The sequence number is the first word of a row, the rows are 384 bytes and come before the hash table. */
static uint64_t *trade_seq(uint32_t id)
{
    size_t hash_bytes = 1024 * sizeof(uint32_t);
    return (uint64_t *)((char *)mem + symtab_footprint(ROWS) - object_round(hash_bytes) - (ROWS - id) * 384u);
}

static void test_a_writer_that_died_within_a_write(void **state)
{
    (void)state;
    struct symtab_row row;
    struct symtab_trade trade = {.price_e9 = 5};
    assert_int_equal(add("SPY"), 0);
    symtab_set_trade(t, 0, &trade);
    assert_int_equal(*trade_seq(0), 2);
    *trade_seq(0) = 3;
    assert_int_equal(symtab_read(t, 0, &row), SYMTAB_TORN);
    trade.price_e9 = 6;
    symtab_set_trade(t, 0, &trade);
    assert_int_equal(*trade_seq(0), 4);
    assert_int_equal(symtab_read(t, 0, &row), 0);
    assert_int_equal(row.trade.price_e9, 6);
}

/* An add that was cut off after the hash entry, before the count: the count is the table's first word of its
 * second 128 bytes. */
static void test_an_add_that_was_cut_off(void **state)
{
    (void)state;
    uint32_t *count = (uint32_t *)((char *)mem + 128);
    assert_int_equal(add("SPY"), 0);
    assert_int_equal(add("CUT"), 1);
    assert_int_equal(*count, 2);
    *count = 1;
    assert_int_equal(find("CUT"), -1);
    assert_int_equal(find("SPY"), 0);
    assert_int_equal(add("OTHER"), 1);
    assert_int_equal(find("CUT"), -1);
    assert_int_equal(find("OTHER"), 1);
    assert_int_equal(add("CUT"), 2);
    assert_int_equal(find("CUT"), 2);
    assert_int_equal(find("OTHER"), 1);
}

/* A writer whose fields are all derived from one number; a reader must never see two numbers in one trade. */
enum { READS = 20000, SYMBOLS_ADDED = 300 };
static uint64_t stop;

static void *write_rows(void *arg)
{
    for (uint64_t i = 1; !atomics_load_acquire_u64(&stop) || symtab_count(t) < SYMBOLS_ADDED; i++) {
        struct symtab_trade trade = {
            .price_e9 = (int64_t)i, .size = i * 3, .event_ns = (int64_t)i * 5, .day_volume = i * 7};
        struct symtab_quote quote = {
            .bid_e9 = (int64_t)i, .ask_e9 = (int64_t)i + 1, .event_ns = (int64_t)i * 5};
        symtab_set_trade(t, i & 1, &trade);
        symtab_set_quote(t, i & 1, &quote);
        if (i % 100 == 0 && symtab_count(t) < SYMBOLS_ADDED) {
            char name[24];
            snprintf(name, sizeof name, "N%u", (unsigned)i);
            if (add(name) < 0)
                abort();
        }
    }
    return arg;
}

static void check_row(const struct symtab_row *row)
{
    uint64_t i = (uint64_t)row->trade.price_e9;
    assert_true(row->trade.size == i * 3 && row->trade.event_ns == (int64_t)i * 5 &&
                row->trade.day_volume == i * 7);
    assert_true(row->quote.ask_e9 - row->quote.bid_e9 == (row->quote.bid_e9 != 0));
}

static void test_reader_beside_writer(void **state)
{
    (void)state;
    pthread_t writer;
    struct symtab_row row;
    int64_t last[2] = {0, 0};
    stop = 0;
    assert_int_equal(add("SPY"), 0);
    assert_int_equal(add("QQQ"), 1);
    assert_int_equal(pthread_create(&writer, NULL, write_rows, NULL), 0);
    for (int reads = 0; reads < READS;) {
        uint32_t id = (uint32_t)reads & 1;
        if (symtab_read(t, id, &row) != 0)
            continue; /* the writer was suspended within the row */
        check_row(&row);
        assert_true(row.trade.price_e9 >= last[id]);
        last[id] = row.trade.price_e9;
        reads++;
        uint32_t newest = symtab_count(t) - 1;
        const struct symtab_identity *known = symtab_identity(t, newest);
        assert_int_equal(symtab_find(t, known->name, known->name_len), newest);
    }
    atomics_store_release_u64(&stop, 1);
    pthread_join(writer, NULL);
    assert_int_equal(symtab_count(t), SYMBOLS_ADDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add_find_until_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_name_of_63_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_writer_that_died_within_a_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_add_that_was_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_beside_writer, setup, teardown),
    };
    return cmocka_run_group_tests_name("symtab", tests, NULL, NULL);
}
