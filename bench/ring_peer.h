/* What the ring's benchmark asks of a queue: ours and each of its peers. All carry messages of 64 bytes from
 * one thread to another through 65,536 places, and all do the same work on them: the sender writes all eight
 * words from a counter, the receiver adds them up. Who copies in or out of the queue is said beside each. */
#ifndef BENCH_RING_PEER_H
#define BENCH_RING_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PEER_PLACES = 65536, PEER_WORDS = 8 };

struct ring_peer {
    const char *name;
    bool shareable;        /* lives in the memory given, so processes can share it */
    size_t bytes;          /* of that memory, at most */
    void (*init)(void *q); /* q is aligned to a page, and zero */
    void (*send_many)(void *q, uint64_t first, uint64_t n); /* numbers first .. first + n */
    uint64_t (*receive_many)(void *q, uint64_t n);          /* waits for n; the sum of their words */
    void (*send)(void *q, uint64_t number);                 /* one message, to be seen at once */
    uint64_t (*receive)(void *q);                           /* waits for one; the sum of its words */
};

extern const struct ring_peer peer_ours, peer_ours_put, peer_ck, peer_dpdk, peer_boost, peer_rwq;

typedef uint64_t peer_four __attribute__((vector_size(32), may_alias));
typedef uint64_t peer_two __attribute__((vector_size(16), may_alias));

/* The words of message `number`: number, number + 1, … number + 7. */
static inline void peer_fill(uint64_t *w, uint64_t number)
{
    ((peer_four *)w)[0] = number + (peer_four){0, 1, 2, 3};
    ((peer_four *)w)[1] = number + (peer_four){4, 5, 6, 7};
}

/* The same but for word 1. */
static inline void peer_fill_but_one(uint64_t *w, uint64_t number)
{
    w[0] = number;
    ((peer_two *)w)[1] = number + (peer_two){2, 3};
    ((peer_four *)w)[1] = number + (peer_four){4, 5, 6, 7};
}

static inline uint64_t peer_sum(const uint64_t *w)
{
    peer_four sum = ((const peer_four *)w)[0] + ((const peer_four *)w)[1];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

#ifdef __cplusplus
}
#endif
#endif
