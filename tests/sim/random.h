/* The one source of chance: everything that a seed decides comes from here, so that a seed repeats a run. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t random_state;

/* splitmix64 */
static inline uint64_t random_u64(void)
{
    uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0 .. n-1 */
static inline uint64_t random_below(uint64_t n)
{
    return random_u64() % n;
}

/* 0: never */
static inline bool random_one_in(uint64_t n)
{
    return n && random_below(n) == 0;
}

#define RANDOM_OF(...)                                                                                       \
    ((const int64_t[]){__VA_ARGS__}[random_below(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))])

#endif
