/* The ring under real concurrency: two threads and an observer (for ThreadSanitizer), and two processes over
 * a shared mapping, either of which is killed with SIGKILL again and again. */
#include "shm/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { CAPACITY = 256, BURST_SLOTS = 64, KILLS = 60, PATIENCE_MS = 60000, CYCLE = 8 };
static const uint64_t start = UINT64_MAX - 5000;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
static const uint64_t thread_records = 60000;
#else
static const uint64_t thread_records = 1000000;
#endif

/* Record i has a length and content of its own; lengths repeat, so that a position tells which record it
 * begins. */
static const uint8_t lengths[CYCLE] = {1, 1, 5, 1, 16, 2, 1, 9};
enum { CYCLE_SLOTS = 36 };

static uint32_t make_record(struct msg *m, uint64_t i)
{
    uint32_t slots = lengths[i % CYCLE];
    size_t bytes = MSG_FIRST_BYTES + (slots - 1) * MSG_CONT_BYTES;
    if (msg_begin(m, MSG_BAR, (uint32_t)i, bytes) != slots)
        abort();
    for (size_t b = 0; b < bytes; b += 8)
        msg_put(m, b, &(uint64_t){i * 1000003 + b}, 8);
    msg_set_seq(m, i + 1);
    return slots;
}

/* Slots of the record in m[0..avail) if it is record i to the last bit, else 0. */
static uint32_t check_record(const struct msg *m, uint32_t avail, uint64_t i)
{
    struct msg want[MSG_SLOTS_MAX], got;
    uint32_t slots = make_record(want, i);
    for (uint32_t s = 0; s < slots; s++) {
        if (s == avail)
            return 0;
        got = m[s];
        got.flags &= (uint16_t)~MSG_F_PHASE;
        if (memcmp(&got, &want[s], sizeof got))
            return 0;
    }
    return slots;
}

static uint64_t record_at(uint64_t slots_before)
{
    uint64_t i = slots_before / CYCLE_SLOTS * CYCLE;
    uint64_t left = slots_before % CYCLE_SLOTS;
    while (left) {
        if (left < lengths[i % CYCLE])
            return UINT64_MAX; /* not between records */
        left -= lengths[i++ % CYCLE];
    }
    return i;
}

/* What the two sides share. Each field has one writer. */
struct shared {
    uint64_t applied;  /* records that the consumer has checked */
    uint64_t wanted;   /* the producer ends there */
    uint64_t bad;      /* 1 + the record that was wrong */
    uint64_t over;     /* an occupancy above the capacity */
    uint64_t observed; /* times that the observer looked */
    struct ring ring;  /* its slots follow */
};

static struct shared *shared_new(void)
{
    size_t bytes = sizeof(struct shared) + CAPACITY * MSG_SLOT_BYTES;
    struct error err;
    struct shared *s = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(s, MAP_FAILED);
    if (!ring_new(&s->ring, CAPACITY, start, &err))
        fail_msg("%s", err.text);
    return s;
}

static void shared_free(struct shared *s)
{
    munmap(s, sizeof(struct shared) + CAPACITY * MSG_SLOT_BYTES);
}

static bool finished(struct shared *s)
{
    return atomics_load_relaxed_u64(&s->bad) ||
           atomics_load_acquire_u64(&s->applied) == atomics_load_acquire_u64(&s->wanted);
}

/* Puts record i in place, or a burst from record i on. Returns the records put. */
static uint64_t put_some(struct ring_producer *p, uint64_t i, uint64_t wanted)
{
    struct msg burst[BURST_SLOTS];
    uint32_t n = make_record(burst, i);
    uint64_t put = 0;
    if (n == 1 && i % 3 == 0) {
        struct ring_span s = ring_claim(p, 1);
        if (!s.n)
            return 0;
        s.slots->seq = burst->seq;
        memcpy(s.slots->body, burst->body, sizeof burst->body);
        ring_commit(&s, 0, burst->word);
        ring_publish(p, 1);
        return 1;
    }
    for (uint64_t next = i + 1; n + MSG_SLOTS_MAX <= BURST_SLOTS && next < wanted; next++)
        n += make_record(&burst[n], next);
    for (uint32_t slots = ring_put_n(p, burst, n); slots; put++)
        slots -= lengths[(i + put) % CYCLE];
    return put;
}

static void *produce(void *arg)
{
    struct shared *s = arg;
    struct ring_producer p;
    if (ring_producer_join(&p, &s->ring, NULL))
        abort();
    uint64_t i = record_at(p.tail - start), wanted;
    if (i == UINT64_MAX)
        atomics_store_relaxed_u64(&s->bad, UINT64_MAX);
    while (!atomics_load_relaxed_u64(&s->bad) && i < (wanted = atomics_load_acquire_u64(&s->wanted))) {
        uint64_t put = put_some(&p, i, wanted);
        i += put;
        if (!put)
            sched_yield();
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct shared *s = arg;
    struct ring_consumer c;
    ring_consumer_join(&c, &s->ring);
    while (!finished(s)) {
        uint32_t n;
        uint64_t applied = atomics_load_relaxed_u64(&s->applied);
        const struct msg *m = ring_peek(&c, &n);
        for (uint32_t k = 0, slots; k < n; k += slots) {
            uint64_t i = m[k].seq - 1; /* it may be known already: killed after checking, before releasing */
            slots = i <= applied ? check_record(&m[k], n - k, i) : 0;
            if (!slots) {
                atomics_store_relaxed_u64(&s->bad, applied + 1);
                return NULL;
            }
            if (i == applied)
                atomics_store_release_u64(&s->applied, ++applied);
        }
        if (n)
            ring_release(&c, n);
        else
            sched_yield();
    }
    return NULL;
}

static void *observe(void *arg)
{
    struct shared *s = arg;
    while (!finished(s)) {
        if (ring_occupancy(&s->ring) > CAPACITY || ring_high_water(&s->ring) > CAPACITY)
            atomics_store_relaxed_u64(&s->over, 1);
        atomics_store_relaxed_u64(&s->observed, atomics_load_relaxed_u64(&s->observed) + 1);
        sched_yield();
    }
    return NULL;
}

static void check_end(struct shared *s)
{
    if (s->bad)
        fail_msg("record %llu is wrong", (unsigned long long)s->bad - 1);
    assert_int_equal(s->over, 0);
    assert_int_equal(s->applied, s->wanted);
    assert_int_equal(ring_occupancy(&s->ring), 0);
}

static void threads_and_an_observer(void **state)
{
    (void)state;
    struct shared *s = shared_new();
    void *(*sides[])(void *) = {produce, consume, observe};
    pthread_t threads[3];
    s->wanted = thread_records;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sides[i], s), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    check_end(s);
    assert_true(s->observed > 0);
    shared_free(s);
}

static pid_t spawn(void *(*side)(void *), struct shared *s)
{
    pid_t pid = fork();
    if (pid == 0) {
        side(s);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void reap(pid_t pid, int want_signal)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, want_signal);
}

/* Waits until a record more was applied, or one was wrong. */
static void await_progress(struct shared *s)
{
    uint64_t before = atomics_load_acquire_u64(&s->applied);
    for (int ms = 0; atomics_load_acquire_u64(&s->applied) == before && !atomics_load_relaxed_u64(&s->bad);
         ms++) {
        if (ms == PATIENCE_MS)
            fail_msg("nothing moves after record %llu", (unsigned long long)before);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Every fourth is killed whether or not it has come to do anything. */
static void processes_killed_again_and_again(void **state)
{
    (void)state;
    struct shared *s = shared_new();
    void *(*sides[])(void *) = {produce, consume};
    s->wanted = UINT64_MAX;
    pid_t pids[2] = {spawn(produce, s), spawn(consume, s)};
    uint64_t before = 0, moved = 0;
    for (int i = 0; i < KILLS && !atomics_load_relaxed_u64(&s->bad); i++) {
        int victim = i % 2;
        if (i % 4)
            await_progress(s);
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + 211000 * (i % 7)}, NULL);
        kill(pids[victim], SIGKILL);
        reap(pids[victim], SIGKILL);
        moved += atomics_load_acquire_u64(&s->applied) > before;
        before = atomics_load_acquire_u64(&s->applied);
        pids[victim] = spawn(sides[victim], s);
    }
    /* The producer goes at most a ring further than this, in which the consumer then finds its end. */
    atomics_store_release_u64(&s->wanted, atomics_load_acquire_u64(&s->applied) + 100000);
    reap(pids[0], 0);
    reap(pids[1], 0);
    check_end(s);
    assert_true(moved > KILLS / 2);
    shared_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_an_observer),
        cmocka_unit_test(processes_killed_again_and_again),
    };
    return cmocka_run_group_tests_name("ring_threads", tests, NULL, NULL);
}
