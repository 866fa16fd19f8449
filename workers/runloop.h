/* The run loop of every role: polls step(), charges every cycle to exactly one regime, keeps house on a
 * jittered timer, idles as told.
 *
 * A role is a step() over a context. Nothing in it waits: what cannot go on returns RUNLOOP_BACKPRESSURE.
 * Clock and sleep are injected, so that tests and the simulator step the same loop under a clock of their
 * own.
 *
 * Threading: one thread per loop. The regime counters have one writer, this loop, and any number of relaxed
 * readers.
 */
#ifndef WORKERS_RUNLOOP_H
#define WORKERS_RUNLOOP_H

#include "core/error.h"
#include "net/settings.h"
#include "shm/histogram.h"

#include <stdbool.h>
#include <stdint.h>

/* What a cycle was spent on: enum suffix, name as counted. */
#define REGIMES(X)                                                                                           \
    X(BUSY, "busy")                 /* steps that did something */                                           \
    X(BACKPRESSURE, "backpressure") /* steps that could not go on, and the wait after them */                \
    X(IDLE, "idle")                 /* steps that found nothing, and the wait after them */                  \
    X(HOUSEKEEPING, "housekeeping")
#define X(name, text) REGIME_##name,
enum regime { REGIMES(X) REGIME_COUNT };
#undef X
const char *regime_name(enum regime regime);

enum { RUNLOOP_BACKPRESSURE = -1 }; /* any negative step result means it */

struct role {
    const char *name;
    /* Does a bounded piece of work. Returns how much (> 0), 0 if there was none, negative for backpressure.
     */
    int (*step)(void *ctx, uint64_t now_ticks);
    /* Every 1 to 10 ms; may be NULL. now_ns is CLOCK_MONOTONIC. */
    void (*housekeeping)(void *ctx, int64_t now_ns);
    void *ctx;
    uint64_t *regime_ticks;       /* REGIME_COUNT counters of ticks, kept by the loop */
    uint64_t *longest_step_ticks; /* the longest step so far; may be NULL; whoever wants a window stores 0 */
    struct histogram *steps_ns;   /* durations of the steps that did something; may be NULL */
    bool steps_cpu;               /* … in CPU time of the thread */
};

/* Time as the loop sees it. NULL in the options means the CPU's tick counter and nanosleep. */
struct runloop_clock {
    uint64_t (*ticks)(void *ctx);
    int64_t (*now_ns)(void *ctx);
    void (*sleep_ns)(void *ctx, int64_t ns);
    void *ctx;
    uint64_t ticks_per_second;
};

enum idle_strategy {
    IDLE_SPIN,    /* never gives the CPU away */
    IDLE_BACKOFF, /* spin, then yield, then sleep; work starts it anew */
};
const char *idle_strategy_name(enum idle_strategy strategy);

/* What loop.spin means here: auto spins only with a CPU of its own. */
enum idle_strategy idle_strategy_choose(enum set_loop_spin spin, bool own_cpu);

enum { RUNLOOP_ROLES_MAX = 16, RUNLOOP_SLEEP_NS = 50000 };

struct runloop {
    struct role roles[RUNLOOP_ROLES_MAX];
    unsigned role_count;
    enum idle_strategy idle;
    const struct runloop_clock *clock;
    uint32_t sleep_ns; /* RUNLOOP_SLEEP_NS; may be changed after runloop_init */
    double ns_per_tick;
    uint64_t last_ticks;         /* everything before is charged */
    uint64_t housekeeping_ticks; /* when it is due next */
    uint64_t jitter;             /* state of the generator */
    uint32_t idle_passes;        /* in a row */
};

/* Roles that share a loop are polled in turn; a wait is charged to the last one polled, so that the sum over
 * the roles is the loop's whole time. */
void runloop_init(struct runloop *loop, const struct role *roles, unsigned n, enum idle_strategy idle,
                  const struct runloop_clock *clock);

/* One pass over the roles, with housekeeping if it is due and a wait if none did anything. Returns the work
 * done (>= 0; backpressure counts as none). */
int64_t runloop_once(struct runloop *loop);

/* Passes until *stop is not 0; then housekeeping once more. */
void runloop_run(struct runloop *loop, const int *stop);

/* A flag that SIGINT and SIGTERM set to the signal's number; the second signal kills as usual. */
const int *runloop_stop_on_signals(void);

/* The CPU's ticks: the invariant TSC on x86-64, CNTVCT on aarch64, else CLOCK_MONOTONIC in ns. */
uint64_t runloop_ticks(void);
/* Ticks per second, measured once against CLOCK_MONOTONIC (20 ms) or read from the CPU. */
uint64_t runloop_ticks_per_second(void);

/* Pins the calling thread. 0, or -1 with err naming the CPUs that are allowed. */
int runloop_pin(unsigned cpu, struct error *err) __attribute__((warn_unused_result));
/* The CPUs that this thread may run on, ascending; how many (at most max are written). */
unsigned runloop_cpus_allowed(uint16_t *cpus, unsigned max);

#endif
