#include "workers/runloop.h"

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A clock of 1 tick = 1 ns that only moves when told; reading it costs `read_cost`. */
struct world {
    uint64_t now, read_cost, slept;
    unsigned sleeps;
};

static uint64_t world_ticks(void *ctx)
{
    struct world *w = ctx;
    return w->now += w->read_cost;
}

static int64_t world_now_ns(void *ctx)
{
    return (int64_t)((struct world *)ctx)->now;
}

static void world_sleep(void *ctx, int64_t ns)
{
    struct world *w = ctx;
    w->now += (uint64_t)ns;
    w->slept += (uint64_t)ns;
    w->sleeps++;
}

struct worker {
    struct world *world;
    const int *results; /* of each step; the last one goes on */
    int at, last;
    uint64_t cost, seen_ticks;
    unsigned steps, houses;
    int64_t house_ns[64];
    uint64_t regimes[REGIME_COUNT], longest;
};

static int worker_step(void *ctx, uint64_t now_ticks)
{
    struct worker *w = ctx;
    w->steps++;
    w->seen_ticks = now_ticks;
    w->world->now += w->cost;
    int r = w->results[w->at];
    if (w->at < w->last)
        w->at++;
    return r;
}

static void worker_house(void *ctx, int64_t now_ns)
{
    struct worker *w = ctx;
    if (w->houses < 64)
        w->house_ns[w->houses] = now_ns;
    w->houses++;
    w->world->now += 700;
}

static struct role role_of(struct worker *w)
{
    return (struct role){.name = "test",
                         .step = worker_step,
                         .housekeeping = worker_house,
                         .ctx = w,
                         .regime_ticks = w->regimes,
                         .longest_step_ticks = &w->longest};
}

static uint64_t sum(const struct worker *w)
{
    uint64_t s = 0;
    for (int i = 0; i < REGIME_COUNT; i++)
        s += w->regimes[i];
    return s;
}

#define WORLD(start, cost)                                                                                   \
    struct world world = {.now = (start), .read_cost = (cost)};                                              \
    const struct runloop_clock clock = {world_ticks, world_now_ns, world_sleep, &world, 1000000000u}

static void charges_each_regime(void **state)
{
    (void)state;
    WORLD(UINT64_MAX / 2, 1);
    const int results[] = {5, 5, -3, 0};
    struct worker w = {.world = &world, .results = results, .last = 3, .cost = 1000};
    struct role role = role_of(&w);
    struct runloop loop;
    runloop_init(&loop, &role, 1, IDLE_SPIN, &clock);
    uint64_t start = loop.last_ticks;
    assert_int_equal(runloop_once(&loop), 5);
    assert_int_equal(w.seen_ticks, start);
    assert_int_equal(w.regimes[REGIME_BUSY], 1001);
    assert_int_equal(runloop_once(&loop), 5);
    assert_int_equal(w.regimes[REGIME_BUSY], 2002);
    assert_int_equal(runloop_once(&loop), 0);
    assert_int_equal(w.regimes[REGIME_BACKPRESSURE], 1002); /* the wait belongs to it */
    assert_int_equal(w.regimes[REGIME_IDLE], 0);
    assert_int_equal(runloop_once(&loop), 0);
    assert_int_equal(w.regimes[REGIME_IDLE], 1002);
    assert_int_equal(w.regimes[REGIME_HOUSEKEEPING], 0);
    assert_int_equal(sum(&w), loop.last_ticks - start);
    assert_int_equal(w.longest, 1001);
}

static void every_tick_is_charged_once(void **state)
{
    (void)state;
    WORLD(77, 3);
    const int a_results[] = {1, 0, -1, 0, 0, 2, 0}, b_results[] = {0, -1, 0, 4, 0};
    struct worker a = {.world = &world, .results = a_results, .last = 6, .cost = 211};
    struct worker b = {.world = &world, .results = b_results, .last = 4, .cost = 97};
    struct role roles[] = {role_of(&a), role_of(&b)};
    struct runloop loop;
    runloop_init(&loop, roles, 2, IDLE_BACKOFF, &clock);
    uint64_t start = loop.last_ticks;
    for (int i = 0; i < 5000; i++)
        runloop_once(&loop);
    assert_int_equal(sum(&a) + sum(&b), world.now - start);
    assert_int_equal(a.steps, 5000);
    assert_int_equal(b.steps, 5000);
    assert_true(a.houses > 10 && a.houses == b.houses);
    assert_int_equal(a.regimes[REGIME_HOUSEKEEPING], a.houses * 703u);
}

static void housekeeping_is_jittered(void **state)
{
    (void)state;
    WORLD(1, 1);
    const int results[] = {1};
    struct worker w = {.world = &world, .results = results, .cost = 10000};
    struct role role = role_of(&w);
    struct runloop loop;
    runloop_init(&loop, &role, 1, IDLE_SPIN, &clock);
    while (w.houses < 64)
        runloop_once(&loop);
    int64_t least = INT64_MAX, most = 0;
    for (int i = 1; i < 64; i++) {
        int64_t d = w.house_ns[i] - w.house_ns[i - 1];
        least = d < least ? d : least;
        most = d > most ? d : most;
    }
    assert_in_range(least, 1000000, 3000000);
    assert_in_range(most, 8000000, 10100000);
}

static void backs_off_and_comes_back(void **state)
{
    (void)state;
    WORLD(1, 1);
    const int nothing[] = {0};
    struct worker w = {.world = &world, .results = nothing, .cost = 1};
    struct role role = role_of(&w);
    struct runloop loop;
    runloop_init(&loop, &role, 1, IDLE_BACKOFF, &clock);
    for (int i = 0; i < 110; i++)
        runloop_once(&loop);
    assert_int_equal(world.sleeps, 0);
    runloop_once(&loop);
    runloop_once(&loop);
    assert_int_equal(world.sleeps, 2);
    assert_int_equal(world.slept, 100000);
    const int some[] = {1, 0};
    w.results = some;
    w.at = 0;
    w.last = 1;
    for (int i = 0; i < 111; i++)
        runloop_once(&loop);
    assert_int_equal(world.sleeps, 2); /* one message, and it spins anew */
    loop.sleep_ns = 700000;
    runloop_once(&loop);
    assert_int_equal(world.sleeps, 3);
    assert_int_equal(world.slept, 800000);
}

static void spinning_never_sleeps(void **state)
{
    (void)state;
    WORLD(1, 1);
    const int nothing[] = {0};
    struct worker w = {.world = &world, .results = nothing, .cost = 1};
    struct role role = role_of(&w);
    struct runloop loop;
    runloop_init(&loop, &role, 1, IDLE_SPIN, &clock);
    for (int i = 0; i < 1000; i++)
        runloop_once(&loop);
    assert_int_equal(world.sleeps, 0);
}

static void strategy_follows_setting_and_cpu(void **state)
{
    (void)state;
    assert_int_equal(idle_strategy_choose(SET_LOOP_SPIN_AUTO, true), IDLE_SPIN);
    assert_int_equal(idle_strategy_choose(SET_LOOP_SPIN_AUTO, false), IDLE_BACKOFF);
    assert_int_equal(idle_strategy_choose(SET_LOOP_SPIN_ALWAYS, false), IDLE_SPIN);
    assert_int_equal(idle_strategy_choose(SET_LOOP_SPIN_NEVER, true), IDLE_BACKOFF);
    assert_string_equal(idle_strategy_name(IDLE_SPIN), "spin");
    assert_string_equal(regime_name(REGIME_BACKPRESSURE), "backpressure");
}

static void a_clock_that_steps_back_charges_nothing(void **state)
{
    (void)state;
    WORLD(1000000, 1);
    const int results[] = {1};
    struct worker w = {.world = &world, .results = results, .cost = 10};
    struct role role = role_of(&w);
    struct runloop loop;
    runloop_init(&loop, &role, 1, IDLE_SPIN, &clock);
    world.now -= 5000;
    runloop_once(&loop);
    assert_int_equal(sum(&w), 0);
    world.now += 10000;
    runloop_once(&loop);
    assert_in_range(sum(&w), 1, 5100);
}

struct real {
    const int *stop;
    uint64_t regimes[REGIME_COUNT];
    unsigned steps, houses;
};

static int real_step(void *ctx, uint64_t now_ticks)
{
    struct real *r = ctx;
    (void)now_ticks;
    if (++r->steps == 300)
        raise(SIGTERM);
    return 0;
}

static void real_house(void *ctx, int64_t now_ns)
{
    struct real *r = ctx;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_sec * 1000000000ll + t.tv_nsec;
    assert_in_range(ns - now_ns, 0, 1000000000);
    r->houses++;
}

static void stops_on_a_signal(void **state)
{
    (void)state;
    struct real r = {.stop = runloop_stop_on_signals()};
    struct role role = {
        .name = "real", .step = real_step, .housekeeping = real_house, .ctx = &r, .regime_ticks = r.regimes};
    struct runloop loop;
    runloop_init(&loop, &role, 1, IDLE_BACKOFF, NULL);
    uint64_t before = runloop_ticks();
    runloop_run(&loop, r.stop);
    uint64_t took = runloop_ticks() - before, charged = 0;
    assert_int_equal(*r.stop, SIGTERM);
    assert_int_equal(r.steps, 300);
    assert_true(r.houses >= 1);
    for (int i = 0; i < REGIME_COUNT; i++)
        charged += r.regimes[i];
    assert_true(charged <= took && charged > took / 2);
    assert_true(r.regimes[REGIME_IDLE] > took / 2); /* about 190 sleeps of 50 us */
    struct sigaction now;
    sigaction(SIGTERM, NULL, &now);
    assert_ptr_equal(now.sa_handler, SIG_DFL); /* the second one kills */
}

/* Whoever is preempted between two readings measures wrongly: one try of twenty must agree. */
static void ticks_agree_with_the_clock(void **state)
{
    (void)state;
    double per_second = (double)runloop_ticks_per_second(), best = 1;
    for (int i = 0; i < 20 && best > 0.002; i++) {
        struct timespec a, b, pause = {.tv_nsec = 5000000};
        clock_gettime(CLOCK_MONOTONIC, &a);
        uint64_t t = runloop_ticks();
        nanosleep(&pause, NULL);
        t = runloop_ticks() - t;
        clock_gettime(CLOCK_MONOTONIC, &b);
        double clock_s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        double off = (double)t / per_second / clock_s - 1;
        off = off < 0 ? -off : off;
        best = off < best ? off : best;
    }
    assert_true(best <= 0.002);
}

static void pins_or_says_where_it_may(void **state)
{
    (void)state;
    struct error err;
    uint16_t cpus[1024];
    unsigned n = runloop_cpus_allowed(cpus, 1024);
    assert_true(n > 0);
    assert_int_equal(runloop_pin(cpus[n - 1], &err), 0);
    uint16_t one[4];
    assert_int_equal(runloop_cpus_allowed(one, 4), 1);
    assert_int_equal(one[0], cpus[n - 1]);
    assert_int_equal(runloop_pin(1000, &err), -1);
    assert_non_null(strstr(err.text, "cannot pin to CPU 1000"));
    assert_non_null(strstr(err.text, "may use CPUs"));
    assert_int_equal(runloop_pin(5000, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(charges_each_regime),
        cmocka_unit_test(every_tick_is_charged_once),
        cmocka_unit_test(housekeeping_is_jittered),
        cmocka_unit_test(backs_off_and_comes_back),
        cmocka_unit_test(spinning_never_sleeps),
        cmocka_unit_test(strategy_follows_setting_and_cpu),
        cmocka_unit_test(a_clock_that_steps_back_charges_nothing),
        cmocka_unit_test(stops_on_a_signal),
        cmocka_unit_test(ticks_agree_with_the_clock),
        cmocka_unit_test(pins_or_says_where_it_may),
    };
    return cmocka_run_group_tests_name("runloop", tests, NULL, NULL);
}
