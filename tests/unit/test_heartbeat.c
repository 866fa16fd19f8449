#include "shm/heartbeat.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { ROWS = 3 };
static const int64_t second_ns = 1000000000;

static void *mem;
static struct heartbeats *h;

static int setup(void **state)
{
    (void)state;
    mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(mem, 0xa5, 4096);
    h = heartbeats_new(mem, ROWS);
    return h ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(heartbeats_leave(h), 4096);
}

static void test_join_checks(void **state)
{
    (void)state;
    size_t bytes = heartbeats_footprint(ROWS);
    assert_ptr_equal(heartbeats_join(mem, bytes), h);
    assert_int_equal(heartbeats_count(h), ROWS);
    assert_null(heartbeats_join(NULL, bytes));
    assert_null(heartbeats_join((char *)mem + 8, bytes));
    assert_null(heartbeats_join(mem, bytes - 1));
    assert_int_equal(heartbeats_footprint(0), 0);
    *(uint64_t *)mem = 0;
    assert_null(heartbeats_join(mem, bytes));
}

static void test_life(void **state)
{
    (void)state;
    struct heartbeat b;
    heartbeat_read(h, 1, &b);
    assert_int_equal(b.state, HEARTBEAT_NONE);
    assert_int_equal(heartbeat_health(&b, 0, second_ns), HEARTBEAT_ABSENT);

    heartbeat_start(h, 1, "backoff", 5, 777, 10 * second_ns);
    heartbeat_read(h, 1, &b);
    assert_int_equal(b.state, HEARTBEAT_STARTING);
    assert_string_equal(heartbeat_state_name(b.state), "starting");
    assert_int_equal(b.pid, getpid());
    assert_int_equal(b.cpu, 5);
    assert_int_equal(b.start_ns, 777);
    assert_int_equal(b.starts, 1);
    assert_string_equal(b.idle, "backoff");
    assert_int_equal(heartbeat_health(&b, 11 * second_ns, second_ns), HEARTBEAT_ALIVE);
    assert_int_equal(heartbeat_health(&b, 11 * second_ns + 1, second_ns), HEARTBEAT_STALE);

    heartbeat_set_state(h, 1, HEARTBEAT_RUNNING);
    heartbeat_beat(h, 1, 20 * second_ns);
    heartbeat_read(h, 1, &b);
    assert_int_equal(b.state, HEARTBEAT_RUNNING);
    assert_int_equal(heartbeat_health(&b, 20 * second_ns, second_ns), HEARTBEAT_ALIVE);
    heartbeat_set_state(h, 1, HEARTBEAT_GONE);
    heartbeat_read(h, 1, &b);
    assert_int_equal(heartbeat_health(&b, 20 * second_ns, second_ns), HEARTBEAT_ABSENT);

    heartbeat_start(h, 1, "a strategy of a long name", -1, 778, 21 * second_ns);
    heartbeat_read(h, 1, &b);
    assert_int_equal(b.starts, 2);
    assert_int_equal(b.cpu, -1);
    assert_int_equal(strlen(b.idle), HEARTBEAT_IDLE_MAX);
    heartbeat_read(h, 0, &b);
    assert_int_equal(b.state, HEARTBEAT_NONE);
}

static void test_a_process_that_was_killed(void **state)
{
    (void)state;
    struct heartbeat b;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        heartbeat_start(h, 2, "spin", -1, 1, 0);
        heartbeat_set_state(h, 2, HEARTBEAT_RUNNING);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    heartbeat_read(h, 2, &b);
    assert_int_equal(b.pid, child);
    assert_int_equal(heartbeat_health(&b, 0, second_ns), HEARTBEAT_ALIVE);
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0); /* a zombie now */
    assert_int_equal(heartbeat_health(&b, 0, second_ns), HEARTBEAT_DEAD);
    waitpid(child, NULL, 0);
    assert_int_equal(heartbeat_health(&b, 0, second_ns), HEARTBEAT_DEAD);
    close(ready[0]);
    close(ready[1]);
}

static void test_a_pid_that_was_used_again(void **state)
{
    (void)state;
    struct heartbeat b;
    heartbeat_start(h, 0, "spin", -1, 1, 0);
    heartbeat_read(h, 0, &b);
    b.pid_start_ticks--;
    assert_int_equal(heartbeat_health(&b, 0, second_ns), HEARTBEAT_DEAD);
}

static void test_process_start_ticks(void **state)
{
    (void)state;
    assert_true(process_start_ticks(getpid()) > 0);
    assert_true(process_start_ticks(1) > 0);
    assert_int_equal(process_start_ticks(0), 0);
    assert_int_equal(process_start_ticks(-1), 0);
    assert_int_equal(process_start_ticks(1 << 30), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_process_that_was_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pid_that_was_used_again, setup, teardown),
        cmocka_unit_test(test_process_start_ticks),
    };
    return cmocka_run_group_tests_name("heartbeat", tests, NULL, NULL);
}
