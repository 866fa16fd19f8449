/* The two sides of a seqlock, interleaved at every step in one thread: two threads on one cache line hardly
 * ever show a torn copy, whatever the code. */
#include <stdint.h>

static void write_step(void);
static void read_step(void);
#define SEQLOCK_HOOK(step) step##_step()
#include "shm/seqlock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { WORDS = 5 };
static uint64_t seq, shared[WORDS];

static void (*at_write)(void), (*at_read)(void);
static unsigned write_steps, read_steps;

static void write_step(void)
{
    write_steps++;
    if (at_write)
        at_write();
}

static void read_step(void)
{
    read_steps++;
    if (at_read)
        at_read();
}

static void write_number(uint64_t number)
{
    uint64_t w[WORDS];
    for (int i = 0; i < WORDS; i++)
        w[i] = number * 10 + (uint64_t)i;
    seqlock_write(&seq, shared, w, WORDS);
}

static void expect_number(const uint64_t *w, uint64_t number)
{
    for (int i = 0; i < WORDS; i++)
        assert_int_equal(w[i], number * 10 + (uint64_t)i);
}

static int reset(void **state)
{
    (void)state;
    at_write = at_read = NULL;
    seq = 0;
    write_number(1);
    write_steps = read_steps = 0;
    return 0;
}

/* Whoever reads in the middle of a write gets nothing. */
static void read_within(void)
{
    uint64_t copy[WORDS];
    assert_false(seqlock_read(&seq, shared, copy, WORDS));
}

static void test_read_within_each_step_of_a_write(void **state)
{
    (void)state;
    uint64_t copy[WORDS];
    at_write = read_within;
    write_number(2);
    assert_int_equal(write_steps, WORDS + 1);
    assert_true(seqlock_read(&seq, shared, copy, WORDS));
    expect_number(copy, 2);
}

/* A whole write at step `chosen` of a read. */
static unsigned chosen;

static void write_within(void)
{
    if (read_steps == chosen)
        write_number(3);
}

static void test_write_within_each_step_of_a_read(void **state)
{
    uint64_t copy[WORDS];
    for (chosen = 1; chosen <= WORDS + 1; chosen++) {
        reset(state);
        at_read = write_within;
        assert_true(seqlock_read(&seq, shared, copy, WORDS));
        expect_number(copy, 3);
        assert_int_equal(read_steps, 2 * (WORDS + 1)); /* once more */
    }
}

/* A writer that dies at step `chosen`, and its successor. */
static jmp_buf killed;

static void die(void)
{
    if (write_steps == chosen)
        longjmp(killed, 1);
}

static void test_writer_dies_at_each_step(void **state)
{
    uint64_t copy[WORDS];
    for (chosen = 1; chosen <= WORDS + 1; chosen++) {
        reset(state);
        at_write = die;
        if (setjmp(killed) == 0) {
            write_number(4);
            fail();
        }
        at_write = NULL;
        assert_false(seqlock_read(&seq, shared, copy, WORDS));
        at_write = read_within;
        write_number(5);
        assert_true(seqlock_read(&seq, shared, copy, WORDS));
        expect_number(copy, 5);
    }
}

static void test_the_number_wraps(void **state)
{
    (void)state;
    uint64_t copy[WORDS];
    seq = UINT64_MAX - 1;
    at_write = read_within;
    write_number(6);
    assert_int_equal(seq, 0);
    assert_true(seqlock_read(&seq, shared, copy, WORDS));
    expect_number(copy, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_read_within_each_step_of_a_write, reset),
        cmocka_unit_test_setup(test_write_within_each_step_of_a_read, reset),
        cmocka_unit_test_setup(test_writer_dies_at_each_step, reset),
        cmocka_unit_test_setup(test_the_number_wraps, reset),
    };
    return cmocka_run_group_tests_name("seqlock", tests, NULL, NULL);
}
