/* Concurrency Kit's ring of 64-byte structs (CK_RING_PROTOTYPE), one producer, one consumer: copied in and
 * out. */
#include "bench/ring_peer.h"

#include <ck_ring.h>

struct entry {
    uint64_t w[PEER_WORDS];
} __attribute__((aligned(64)));
CK_RING_PROTOTYPE(entry, entry)

struct queue {
    ck_ring_t ring __attribute__((aligned(64)));
    struct entry buffer[PEER_PLACES] __attribute__((aligned(128)));
};

static void init(void *q)
{
    ck_ring_init(&((struct queue *)q)->ring, PEER_PLACES);
}

static void send(void *q, uint64_t number)
{
    struct queue *k = q;
    struct entry e;
    peer_fill(e.w, number);
    while (!ck_ring_enqueue_spsc_entry(&k->ring, k->buffer, &e))
        ;
}

static uint64_t receive(void *q)
{
    struct queue *k = q;
    struct entry e;
    while (!ck_ring_dequeue_spsc_entry(&k->ring, k->buffer, &e))
        ;
    return peer_sum(e.w);
}

static void send_many(void *q, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        send(q, first + i);
}

static uint64_t receive_many(void *q, uint64_t n)
{
    uint64_t sum = 0;
    while (n--)
        sum += receive(q);
    return sum;
}

const struct ring_peer peer_ck = {"ck_ring", true,   sizeof(struct queue), init, send_many, receive_many,
                                  send,      receive};
