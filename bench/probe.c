/* Prints where the two CPUs stand to each other now: sibling, near, far; "one" if there is but one. */
#include <pthread.h>
#include <stdio.h>

#include "bench/placement.h"

static struct placement_line line;

static void *answer(void *ctx)
{
    (void)ctx;
    placement_pin(1);
    placement_answer(&line);
    return NULL;
}

int main(void)
{
    pthread_t other;
    if (!placement_pin(1)) {
        puts("one");
        return 0;
    }
    placement_pin(0);
    if (pthread_create(&other, NULL, answer, NULL))
        return 1;
    double ns = placement_probe_ns(&line);
    pthread_join(other, NULL);
    puts(placement_name(placement_of_ns(ns)));
    return 0;
}
