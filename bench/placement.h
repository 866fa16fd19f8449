/* Where two CPUs stand to each other. A virtual CPU floats: the same two may be threads of one core, cores of
 * one cache complex or far apart from one second to the next, and what passes between them then costs up to
 * six times as much. A benchmark of two CPUs probes before and after each run, drops the run if the two
 * differ, and reports per placement.
 *
 * The probe is a ping-pong on one cache line. Round trips seen: about 80, 100 and 450 ns. */
#ifndef BENCH_PLACEMENT_H
#define BENCH_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

enum placement { PLACEMENT_SIBLING, PLACEMENT_NEAR, PLACEMENT_FAR, PLACEMENTS };
enum { PLACEMENT_TRIPS = 3000 };

/* Shared by the two sides of a probe; zero at first. */
struct placement_line {
    uint64_t word;
} __attribute__((aligned(128)));

const char *placement_name(enum placement p);

/* The class of a round trip. */
enum placement placement_of_ns(double round_trip_ns);

/* One side asks, the other answers at the same time, PLACEMENT_TRIPS times. Returns the round trip in ns: the
 * median of short stretches, so that an interrupt does not count. */
double placement_probe_ns(struct placement_line *line);
void placement_answer(struct placement_line *line);

/* Pins the calling thread to the first (0) or second (1) CPU that it may use. False if there is no such CPU.
 */
bool placement_pin(int which);

/* How often the kernel took the CPU from the calling thread so far. */
uint64_t placement_preemptions(void);

/* CLOCK_MONOTONIC. */
uint64_t placement_now_ns(void);

/* The CPU's constant-rate counter, where CLOCK_MONOTONIC would cost a tenth of what is timed, and the length
 * of one of its ticks. */
static inline uint64_t placement_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t v;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
    return v;
#else
    return placement_now_ns();
#endif
}
double placement_tick_ns(void);

#endif
