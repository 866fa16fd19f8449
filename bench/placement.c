#include "bench/placement.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "shm/atomics.h"

static const struct {
    const char *name;
    double below_ns;
} classes[PLACEMENTS] = {{"sibling", 90}, {"near", 200}, {"far", 1e9}};

enum { STRETCH = 60, STRETCHES = PLACEMENT_TRIPS / STRETCH };

const char *placement_name(enum placement p)
{
    return classes[p].name;
}

enum placement placement_of_ns(double round_trip_ns)
{
    enum placement p = PLACEMENT_SIBLING;
    while (p < PLACEMENT_FAR && round_trip_ns >= classes[p].below_ns)
        p++;
    return p;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The asker stores odd numbers, the answerer the even number after each. */
double placement_probe_ns(struct placement_line *line)
{
    uint64_t took_ns[STRETCHES], word = atomics_load_acquire_u64(&line->word), start;
    for (int i = 0; i < STRETCHES; i++) {
        start = placement_now_ns();
        for (int k = 0; k < STRETCH; k++) {
            atomics_store_release_u64(&line->word, word + 1);
            while (atomics_load_acquire_u64(&line->word) != word + 2)
                ;
            word += 2;
        }
        took_ns[i] = placement_now_ns() - start;
    }
    qsort(took_ns, STRETCHES, sizeof *took_ns, by_value);
    return (double)took_ns[STRETCHES / 2] / STRETCH;
}

void placement_answer(struct placement_line *line)
{
    for (int i = 0; i < STRETCHES * STRETCH; i++) {
        uint64_t word;
        while (((word = atomics_load_acquire_u64(&line->word)) & 1) == 0)
            ;
        atomics_store_release_u64(&line->word, word + 1);
    }
}

bool placement_pin(int which)
{
    static cpu_set_t allowed; /* as it was before anything was pinned */
    if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed))
        return false;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && which-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof one, &one) == 0;
        }
    }
    return false;
}

uint64_t placement_preemptions(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return (uint64_t)u.ru_nivcsw;
}

uint64_t placement_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double placement_tick_ns(void)
{
    static double tick_ns;
    if (tick_ns == 0) {
        uint64_t ns = placement_now_ns(), ticks = placement_ticks(), until = ns + 20000000;
        while (placement_now_ns() < until)
            ;
        tick_ns = (double)(placement_now_ns() - ns) / (double)(placement_ticks() - ticks);
    }
    return tick_ns;
}
