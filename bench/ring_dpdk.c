/* DPDK's rte_ring of 64-byte elements, one producer, one consumer, zero-copy bursts of 32: filled and read in
 * place. rte_ring_init works in plain memory, without the environment layer. */
#include "bench/ring_peer.h"

#include <stdlib.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

enum { BURST = 32, ELEM_BYTES = PEER_WORDS * 8 };

static void init(void *q)
{
    if (rte_ring_get_memsize_elem(ELEM_BYTES, PEER_PLACES) > (ssize_t)peer_dpdk.bytes ||
        rte_ring_init(q, "bench", PEER_PLACES, RING_F_SP_ENQ | RING_F_SC_DEQ))
        abort();
}

static uint64_t *at(const struct rte_ring_zc_data *z, unsigned i)
{
    char *base = i < z->n1 ? (char *)z->ptr1 + (size_t)i * ELEM_BYTES
                           : (char *)z->ptr2 + (size_t)(i - z->n1) * ELEM_BYTES;
    return (uint64_t *)base;
}

static inline void send_burst(void *q, uint64_t first, uint64_t n, unsigned burst)
{
    struct rte_ring_zc_data z;
    for (uint64_t i = 0; i < n;) {
        unsigned want = n - i < burst ? (unsigned)(n - i) : burst;
        unsigned got = rte_ring_enqueue_zc_burst_elem_start(q, ELEM_BYTES, want, &z, NULL);
        if (got) {
            for (unsigned k = 0; k < got; k++)
                peer_fill(at(&z, k), first + i + k);
            rte_ring_enqueue_zc_elem_finish(q, got);
        }
        i += got;
    }
}

static inline uint64_t receive_burst(void *q, uint64_t n, unsigned burst)
{
    struct rte_ring_zc_data z;
    uint64_t sum = 0;
    while (n) {
        unsigned want = n < burst ? (unsigned)n : burst;
        unsigned got = rte_ring_dequeue_zc_burst_elem_start(q, ELEM_BYTES, want, &z, NULL);
        if (got) {
            for (unsigned k = 0; k < got; k++)
                sum += peer_sum(at(&z, k));
            rte_ring_dequeue_zc_elem_finish(q, got);
        }
        n -= got;
    }
    return sum;
}

static void send_many(void *q, uint64_t first, uint64_t n)
{
    send_burst(q, first, n, BURST);
}

static uint64_t receive_many(void *q, uint64_t n)
{
    return receive_burst(q, n, BURST);
}

static void send(void *q, uint64_t number)
{
    send_burst(q, number, 1, 1);
}

static uint64_t receive(void *q)
{
    return receive_burst(q, 1, 1);
}

const struct ring_peer peer_dpdk = {
    "dpdk_rte_ring_zc32", true, 4096 + PEER_PLACES *ELEM_BYTES, init, send_many, receive_many, send, receive};
