#include "workers/runloop.h"
#include "shm/atomics.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

enum { SPINS = 100, YIELDS = 10, CALIBRATION_NS = 20000000 };
enum { HOUSEKEEPING_MIN_US = 1000, HOUSEKEEPING_MAX_US = 10000 };

const char *regime_name(enum regime regime)
{
#define X(name, text) text,
    static const char *const names[] = {REGIMES(X)};
#undef X
    assert(regime < REGIME_COUNT);
    return names[regime];
}

const char *idle_strategy_name(enum idle_strategy strategy)
{
    return strategy == IDLE_SPIN ? "spin" : "backoff";
}

enum idle_strategy idle_strategy_choose(enum set_loop_spin spin, bool own_cpu)
{
    return spin == SET_LOOP_SPIN_ALWAYS || (spin == SET_LOOP_SPIN_AUTO && own_cpu) ? IDLE_SPIN : IDLE_BACKOFF;
}

static int64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

#if defined(__x86_64__)
/* A TSC that stops or changes its rate with the CPU's state is no clock. */
static bool counter_detect(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

static bool counter_usable(void)
{
    static int known; /* 0 = not asked yet, 1 = no, 2 = yes; asking twice does no harm */
    int k = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (__builtin_expect(k == 0, 0)) {
        k = counter_detect() ? 2 : 1;
        __atomic_store_n(&known, k, __ATOMIC_RELAXED);
    }
    return k == 2;
}
#endif

uint64_t runloop_ticks(void)
{
#if defined(__x86_64__)
    if (counter_usable())
        return __rdtsc();
#elif defined(__aarch64__)
    uint64_t v;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
    return v;
#endif
    return (uint64_t)monotonic_ns();
}

#if defined(__x86_64__)
/* Reads both clocks at one moment: of some tries the one that took least. */
static void read_both(uint64_t *ticks, int64_t *ns)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 10; i++) {
        uint64_t before = runloop_ticks();
        int64_t now = monotonic_ns();
        uint64_t took = runloop_ticks() - before;
        if (took < least) {
            least = took;
            *ticks = before + took / 2;
            *ns = now;
        }
    }
}

static uint64_t measure(void)
{
    uint64_t t0, t1;
    int64_t n0, n1;
    if (!counter_usable())
        return 1000000000u;
    read_both(&t0, &n0);
    do
        read_both(&t1, &n1);
    while (n1 - n0 < CALIBRATION_NS);
    return (uint64_t)((double)(t1 - t0) * 1e9 / (double)(n1 - n0));
}
#elif defined(__aarch64__)
static uint64_t measure(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(v));
    return v;
}
#else
static uint64_t measure(void)
{
    return 1000000000u;
}
#endif

static uint64_t measured;

static void measure_once(void)
{
    measured = measure();
}

uint64_t runloop_ticks_per_second(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, measure_once);
    return measured;
}

static uint64_t loop_ticks(const struct runloop *l)
{
    return l->clock ? l->clock->ticks(l->clock->ctx) : runloop_ticks();
}

static int64_t loop_now_ns(const struct runloop *l)
{
    return l->clock ? l->clock->now_ns(l->clock->ctx) : monotonic_ns();
}

static void charge_ticks(struct runloop *l, const struct role *role, enum regime regime, uint64_t now)
{
    uint64_t *counter = &role->regime_ticks[regime];
    if (now > l->last_ticks) { /* a step back (another CPU's counter) is no time */
        atomics_store_relaxed_u64(counter, atomics_load_relaxed_u64(counter) + now - l->last_ticks);
        l->last_ticks = now;
    }
}

/* Some time between the least and the most, so that the roles of a node do not keep house in step. */
static void housekeeping_schedule(struct runloop *l)
{
    uint64_t per_second = l->clock ? l->clock->ticks_per_second : runloop_ticks_per_second();
    l->ns_per_tick = 1e9 / (double)per_second;
    l->jitter ^= l->jitter << 13;
    l->jitter ^= l->jitter >> 7;
    l->jitter ^= l->jitter << 17;
    uint64_t us = HOUSEKEEPING_MIN_US + l->jitter % (HOUSEKEEPING_MAX_US - HOUSEKEEPING_MIN_US + 1);
    l->housekeeping_ticks = l->last_ticks + (uint64_t)((double)per_second * (double)us / 1e6);
}

static void keep_house(struct runloop *l)
{
    for (unsigned i = 0; i < l->role_count; i++) {
        const struct role *role = &l->roles[i];
        if (role->housekeeping)
            role->housekeeping(role->ctx, loop_now_ns(l));
        charge_ticks(l, role, REGIME_HOUSEKEEPING, loop_ticks(l));
    }
    housekeeping_schedule(l);
}

void runloop_init(struct runloop *l, const struct role *roles, unsigned n, enum idle_strategy idle,
                  const struct runloop_clock *clock)
{
    assert(n > 0 && n <= RUNLOOP_ROLES_MAX);
    memset(l, 0, sizeof *l);
    for (unsigned i = 0; i < n; i++) {
        assert(roles[i].step && roles[i].regime_ticks);
        l->roles[i] = roles[i];
    }
    l->role_count = n;
    l->idle = idle;
    l->clock = clock;
    l->sleep_ns = RUNLOOP_SLEEP_NS;
    l->last_ticks = loop_ticks(l);
    l->jitter = l->last_ticks | 1;
    housekeeping_schedule(l);
}

static void idle_sleep(const struct runloop *l)
{
    struct timespec t = {.tv_nsec = l->sleep_ns};
    if (l->clock)
        l->clock->sleep_ns(l->clock->ctx, l->sleep_ns);
    else
        nanosleep(&t, NULL);
}

static void idle_wait(struct runloop *l)
{
    uint32_t passes = l->idle_passes;
    if (passes < SPINS + YIELDS)
        l->idle_passes++;
    if (l->idle == IDLE_SPIN || passes < SPINS)
        atomics_pause();
    else if (passes < SPINS + YIELDS)
        sched_yield();
    else
        idle_sleep(l);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Steps one role and charges it. Returns what the step returned. */
static int step_role(struct runloop *l, const struct role *role)
{
    uint64_t start = l->last_ticks, start_cpu = role->steps_cpu ? cpu_ns() : 0;
    int did = role->step(role->ctx, start);
    enum regime regime = did > 0 ? REGIME_BUSY : did < 0 ? REGIME_BACKPRESSURE : REGIME_IDLE;
    charge_ticks(l, role, regime, loop_ticks(l));
    uint64_t took = l->last_ticks - start;
    if (role->longest_step_ticks && took > atomics_load_relaxed_u64(role->longest_step_ticks))
        atomics_store_relaxed_u64(role->longest_step_ticks, took);
    if (did > 0 && role->steps_ns)
        histogram_record(role->steps_ns,
                         role->steps_cpu ? cpu_ns() - start_cpu : (uint64_t)((double)took * l->ns_per_tick));
    return did;
}

int64_t runloop_once(struct runloop *l)
{
    int64_t work = 0;
    bool stuck = false;
    if (l->last_ticks >= l->housekeeping_ticks)
        keep_house(l);
    for (unsigned i = 0; i < l->role_count; i++) {
        int did = step_role(l, &l->roles[i]);
        if (did > 0)
            work += did;
        stuck |= did < 0;
    }
    if (work > 0) {
        l->idle_passes = 0;
        return work;
    }
    idle_wait(l);
    charge_ticks(l, &l->roles[l->role_count - 1], stuck ? REGIME_BACKPRESSURE : REGIME_IDLE, loop_ticks(l));
    return 0;
}

void runloop_run(struct runloop *l, const int *stop)
{
    if (!l->clock)
        prctl(PR_SET_TIMERSLACK, 1000ul); /* else a sleep of 50 us takes 100 */
    l->last_ticks = loop_ticks(l);        /* what was before the loop is nobody's */
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED))
        runloop_once(l);
    keep_house(l);
}

static int stop_signal;

static void stop_handler(int signal)
{
    __atomic_store_n(&stop_signal, signal, __ATOMIC_RELAXED);
}

const int *runloop_stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = stop_handler, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_signal;
}

unsigned runloop_cpus_allowed(uint16_t *cpus, unsigned max)
{
    cpu_set_t set;
    unsigned n = 0;
    if (sched_getaffinity(0, sizeof set, &set))
        return 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set)) {
            if (n < max)
                cpus[n] = (uint16_t)cpu;
            n++;
        }
    return n;
}

int runloop_pin(unsigned cpu, struct error *err)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < CPU_SETSIZE) {
        CPU_SET(cpu, &set);
        if (!sched_setaffinity(0, sizeof set, &set))
            return 0;
    }
    int why = cpu < CPU_SETSIZE ? errno : EINVAL;
    uint16_t cpus[CPU_SETSIZE];
    char list[128] = "";
    size_t at = 0;
    unsigned n = runloop_cpus_allowed(cpus, CPU_SETSIZE);
    for (unsigned i = 0, last; i < n && at < sizeof list - 16; i = last + 1) {
        for (last = i; last + 1 < n && cpus[last + 1] == cpus[last] + 1;)
            last++;
        at += (size_t)snprintf(list + at, sizeof list - at, i == last ? "%s%u" : "%s%u-%u", i ? "," : "",
                               cpus[i], cpus[last]);
    }
    return error_set(err, "cannot pin to CPU %u: %s; this process may use CPUs %s", cpu, strerror(why), list);
}
