/* Our ring: filled in place, or put from an array of 64; read in place. */
#include "bench/ring_peer.h"
#include "shm/ring.h"

#include <stdlib.h>

struct ours {
    struct ring_producer p __attribute__((aligned(RING_PAD_BYTES)));
    struct ring_consumer c __attribute__((aligned(RING_PAD_BYTES)));
    struct ring ring; /* its slots follow */
};

enum { BATCH = 64 };

static void init(void *q)
{
    struct ours *o = q;
    struct error err;
    if (!ring_new(&o->ring, PEER_PLACES, 0, &err) || ring_producer_join(&o->p, &o->ring, &err))
        abort();
    ring_consumer_join(&o->c, &o->ring);
}

static void send_many(void *q, uint64_t first, uint64_t n)
{
    struct ours *o = q;
    for (uint64_t i = 0; i < n;) {
        struct ring_span s = ring_claim(&o->p, n - i < BATCH ? (uint32_t)(n - i) : BATCH);
        for (uint32_t k = 0; k < s.n; k++) {
            peer_fill_but_one((uint64_t *)&s.slots[k], first + i + k);
            ring_commit(&s, k, first + i + k + 1);
        }
        if (s.n)
            ring_publish(&o->p, s.n);
        i += s.n;
    }
}

static void put_many(void *q, uint64_t first, uint64_t n)
{
    struct ours *o = q;
    struct msg batch[BATCH];
    for (uint64_t i = 0; i < n;) {
        uint32_t size = n - i < BATCH ? (uint32_t)(n - i) : BATCH;
        for (uint32_t k = 0; k < size; k++)
            peer_fill((uint64_t *)&batch[k], first + i + k);
        for (uint32_t put = 0; put < size;)
            put += ring_put_n(&o->p, batch + put, size - put);
        i += size;
    }
}

static uint64_t receive_many(void *q, uint64_t n)
{
    struct ours *o = q;
    uint64_t sum = 0;
    while (n) {
        uint32_t span;
        const struct msg *m = ring_peek(&o->c, &span);
        if (span > n)
            span = (uint32_t)n;
        for (uint32_t i = 0; i < span; i++)
            sum += peer_sum((const uint64_t *)&m[i]);
        if (span)
            ring_release(&o->c, span);
        n -= span;
    }
    return sum;
}

static void send(void *q, uint64_t number)
{
    send_many(q, number, 1);
}

static uint64_t receive(void *q)
{
    return receive_many(q, 1);
}

const struct ring_peer peer_ours = {"ringtape", true,      sizeof(struct ours) + PEER_PLACES *MSG_SLOT_BYTES,
                                    init,       send_many, receive_many,
                                    send,       receive};
const struct ring_peer peer_ours_put = {
    "ringtape_put", true,   sizeof(struct ours) + PEER_PLACES *MSG_SLOT_BYTES, init, put_many, receive_many,
    send,           receive};
