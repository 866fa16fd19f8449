/* Both sides of the ring as coroutines in one thread, which may stop at every RING_HOOK: a schedule decides
 * who goes on, and who is killed where. A killed side keeps nothing but shared memory, is started again, and
 * every record must still arrive once, in order and whole.
 *
 * `test_ring_race SEED` runs other random schedules. */
static void race_step(void);
#define RING_HOOK(step) race_step()
#include "shm/ring.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <cmocka.h>

enum { CAPACITY = 64, STACK_BYTES = 64 << 10, RECORDS_MAX = 64, RECORD_SLOTS = RECORDS_MAX * MSG_SLOTS_MAX };
enum side { PRODUCER, CONSUMER, SIDES };

static uint64_t seed = 1;
static _Alignas(RING_PAD_BYTES) uint8_t memory[sizeof(struct ring) + CAPACITY * MSG_SLOT_BYTES];
static char stacks[SIDES][STACK_BYTES];
static ucontext_t contexts[SIDES], unused;
static jmp_buf scheduler, resume[SIDES]; /* swapcontext alone would call the kernel at each step */
static bool fresh[SIDES];
static int current = -1; /* side that runs, -1 = the scheduler */
static bool done[SIDES];

/* One run's input: records in a row, each with where it begins. */
static struct msg records[RECORD_SLOTS];
static uint32_t at[RECORDS_MAX + 1], record_count, longest_slots;
static uint64_t start;

/* What outlives a killed consumer: how far it had got, as an engine's checkpoint. */
static uint32_t applied;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void race_step(void)
{
    if (current >= 0 && !_setjmp(resume[current]))
        _longjmp(scheduler, 1);
}

/* One step of a side: returns when it stops at the next. */
static void step(enum side side)
{
    current = (int)side;
    if (!_setjmp(scheduler)) {
        if (!fresh[side])
            _longjmp(resume[side], 1);
        fresh[side] = false;
        swapcontext(&unused, &contexts[side]);
    }
    current = -1;
}

/* Makes records [first, record_count), of 1 to longest_slots each. */
static void make_records(uint32_t first)
{
    for (uint32_t i = first; i < record_count; i++) {
        uint32_t slots = 1 + (uint32_t)(next_random() % longest_slots);
        size_t bytes = MSG_FIRST_BYTES + (slots - 1) * MSG_CONT_BYTES;
        uint8_t payload[MSG_PAYLOAD_MAX];
        for (size_t b = 0; b < bytes; b++)
            payload[b] = (uint8_t)(i * 7 + b);
        assert_int_equal(msg_begin(&records[at[i]], MSG_ALERT, i, bytes), slots);
        msg_put(&records[at[i]], 0, payload, bytes);
        msg_set_seq(&records[at[i]], i + 1);
        at[i + 1] = at[i] + slots;
    }
}

/* A producer that has just been started: what is in the ring tells it where to go on. The records not yet
 * published get other lengths, so that what was half written is not simply completed. */
static void produce(void)
{
    struct ring_producer p;
    struct error err;
    struct ring *r = ring_join(memory, sizeof memory, &err);
    assert_int_equal(ring_producer_join(&p, r, &err), 0);
    uint32_t i = 0;
    while (i < record_count && at[i] < p.tail - start)
        i++;
    assert_int_equal(at[i], p.tail - start); /* between records, never inside one */
    make_records(i);
    while (i < record_count) {
        if (records[at[i]].seq % 3 == 0 && at[i + 1] - at[i] == 1) {
            struct ring_span s = ring_claim(&p, 1);
            if (s.n) {
                s.slots->seq = records[at[i]].seq;
                race_step();
                memcpy(s.slots->body, records[at[i]].body, sizeof s.slots->body);
                ring_commit(&s, 0, records[at[i]].word);
                ring_publish(&p, 1);
                i++;
            }
        } else {
            uint32_t burst = i + 3 < record_count ? 3 : record_count - i;
            uint32_t put = ring_put_n(&p, &records[at[i]], at[i + burst] - at[i]);
            for (; put; i++)
                put -= at[i + 1] - at[i];
        }
        race_step();
    }
    done[PRODUCER] = true;
    _longjmp(scheduler, 1);
}

static void check_span(const struct msg *m, uint32_t n)
{
    for (uint32_t i = 0, slots; i < n; i += slots) {
        assert_in_range(m[i].seq, 1, record_count);
        uint32_t number = (uint32_t)m[i].seq - 1;
        slots = at[number + 1] - at[number];
        assert_true(slots <= n - i);
        for (uint32_t s = 0; s < slots; s++) {
            struct msg got = m[i + s];
            got.flags &= (uint16_t)~MSG_F_PHASE;
            assert_memory_equal(&got, &records[at[number] + s], sizeof got);
        }
        assert_true(number <= applied); /* known already, or the next */
        if (number == applied)
            applied++;
        race_step();
    }
}

static void consume(void)
{
    struct ring_consumer c;
    struct error err;
    ring_consumer_join(&c, ring_join(memory, sizeof memory, &err));
    while (applied < record_count) {
        uint32_t n;
        const struct msg *m = ring_peek(&c, &n);
        if (m) {
            check_span(m, n);
            ring_release(&c, n);
        }
        race_step();
    }
    done[CONSUMER] = true;
    _longjmp(scheduler, 1);
}

static void spawn(enum side side)
{
    getcontext(&contexts[side]);
    contexts[side].uc_stack.ss_sp = stacks[side];
    contexts[side].uc_stack.ss_size = STACK_BYTES;
    makecontext(&contexts[side], side == PRODUCER ? produce : consume, 0);
    fresh[side] = true;
}

/* Who goes next: a producer's turn of `turns[0]` steps, then a consumer's of `turns[1]`; 0 = of random
 * length. */
struct schedule {
    uint32_t turns[SIDES];
    enum side victim;
    uint64_t kill_at;   /* the victim's step at which it is killed, counted from 1; 0 = never */
    uint32_t kill_odds; /* 1 in so many steps kills whoever runs; 0 = never */
};

/* Runs one schedule to its end. Returns false if it ended before the victim's step was reached. */
static bool run(const struct schedule *s)
{
    struct error err;
    struct ring *r = ring_new(memory, CAPACITY, start, &err);
    uint64_t steps[SIDES] = {0}, total = 0;
    enum side side = PRODUCER;
    uint32_t left = s->turns[side];
    bool killed = false;
    applied = 0;
    done[PRODUCER] = done[CONSUMER] = false;
    spawn(PRODUCER);
    spawn(CONSUMER);
    while (!done[PRODUCER] || !done[CONSUMER]) {
        if (done[side] || (s->turns[side] ? left-- == 0 : next_random() % 4 == 0)) {
            side = !side;
            left = s->turns[side];
            if (done[side])
                continue;
        }
        assert_true(++total < 200000); /* or it does not end */
        step(side);
        assert_true(ring_occupancy(r) <= CAPACITY);
        steps[side]++;
        if (done[side])
            continue;
        if ((s->kill_at == steps[side] && s->victim == side) ||
            (s->kill_odds && next_random() % s->kill_odds == 0)) {
            spawn(side);
            killed = true;
        }
    }
    assert_int_equal(applied, record_count);
    return killed || !s->kill_at;
}

/* Turns: one step each; a side far ahead of the other (a full ring, an empty one); uneven; random. */
static const uint32_t turns[][SIDES] = {{1, 1}, {40, 1}, {1, 40}, {3, 7}, {900, 900}, {0, 0}};
enum { TURNS = sizeof turns / sizeof *turns };

/* The sanitizers do not follow jumps between stacks; the threads of test_ring_threads.c are for them. */
static void skip_under_sanitizers(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    skip();
#endif
}

static void any_interleaving_delivers_everything(void **state)
{
    (void)state;
    skip_under_sanitizers();
    for (int i = 0; i < 300; i++) {
        start = i % 2 ? 0 - next_random() % 200 : 0;
        record_count = RECORDS_MAX;
        longest_slots = (uint32_t[]){1, 3, 16}[i % 3];
        struct schedule s = {.turns = {(uint32_t)(next_random() % 20), (uint32_t)(next_random() % 20)}};
        assert_true(run(&s));
    }
}

static void a_side_killed_at_any_step_loses_nothing(void **state)
{
    (void)state;
    skip_under_sanitizers();
    static const uint64_t starts[] = {0, UINT64_MAX - 40};
    uint64_t kills = 0;
    for (int variant = 0; variant < 2 * TURNS; variant++) {
        start = starts[variant % 2];
        record_count = 10;
        longest_slots = variant % 3 ? 16 : 2;
        for (enum side victim = PRODUCER; victim < SIDES; victim++) {
            struct schedule s = {
                .turns = {turns[variant / 2][0], turns[variant / 2][1]}, .victim = victim, .kill_at = 1};
            while (run(&s) && s.kill_at < 5000)
                s.kill_at++;
            kills += s.kill_at;
        }
    }
    assert_true(kills > 8000);
}

static void sides_killed_again_and_again_lose_nothing(void **state)
{
    (void)state;
    skip_under_sanitizers();
    for (int i = 0; i < 800; i++) {
        start = i % 2 ? 0 - next_random() % 200 : 0;
        record_count = 24;
        longest_slots = (uint32_t[]){2, 5, 16}[i % 3];
        /* Not so often that nobody gets anywhere: a restarted producer walks up to 64 records. */
        struct schedule s = {.kill_odds = 90 + (uint32_t)(next_random() % 200)};
        run(&s);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_interleaving_delivers_everything),
        cmocka_unit_test(a_side_killed_at_any_step_loses_nothing),
        cmocka_unit_test(sides_killed_again_and_again_lose_nothing),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10) | 1;
    return cmocka_run_group_tests_name("ring_race", tests, NULL, NULL);
}
