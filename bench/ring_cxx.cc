// boost::lockfree::spsc_queue of 64-byte structs, pushed and popped in bulk of 64 (copied in and out), and
// moodycamel::ReaderWriterQueue (copied in and out one by one, its memory taken in advance).
#include "bench/ring_peer.h"

#include <boost/lockfree/spsc_queue.hpp>
#include <readerwriterqueue/readerwriterqueue.h>

#include <new>

namespace
{

constexpr size_t BULK = 64;

struct alignas(64) entry {
    uint64_t w[PEER_WORDS];
};

using boost_queue = boost::lockfree::spsc_queue<entry, boost::lockfree::capacity<PEER_PLACES - 1>>;

void boost_init(void *q)
{
    new (q) boost_queue;
}

void boost_send_many(void *q, uint64_t first, uint64_t n)
{
    entry bulk[BULK];
    for (uint64_t i = 0; i < n;) {
        size_t size = n - i < BULK ? n - i : BULK;
        for (size_t k = 0; k < size; k++)
            peer_fill(bulk[k].w, first + i + k);
        for (size_t put = 0; put < size;)
            put += static_cast<boost_queue *>(q)->push(bulk + put, size - put);
        i += size;
    }
}

uint64_t boost_receive_many(void *q, uint64_t n)
{
    entry bulk[BULK];
    uint64_t sum = 0;
    while (n) {
        size_t got = static_cast<boost_queue *>(q)->pop(bulk, n < BULK ? n : BULK);
        for (size_t k = 0; k < got; k++)
            sum += peer_sum(bulk[k].w);
        n -= got;
    }
    return sum;
}

void boost_send(void *q, uint64_t number)
{
    entry e;
    peer_fill(e.w, number);
    while (!static_cast<boost_queue *>(q)->push(e))
        ;
}

uint64_t boost_receive(void *q)
{
    entry e;
    while (!static_cast<boost_queue *>(q)->pop(e))
        ;
    return peer_sum(e.w);
}

using rwq = moodycamel::ReaderWriterQueue<entry>;

rwq &queue_of(void *q)
{
    return **static_cast<rwq **>(q);
}

void rwq_init(void *q)
{
    *static_cast<rwq **>(q) = new rwq(PEER_PLACES);
}

void rwq_send(void *q, uint64_t number)
{
    entry e;
    peer_fill(e.w, number);
    while (!queue_of(q).try_enqueue(e))
        ;
}

uint64_t rwq_receive(void *q)
{
    entry e;
    while (!queue_of(q).try_dequeue(e))
        ;
    return peer_sum(e.w);
}

void rwq_send_many(void *q, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        rwq_send(q, first + i);
}

uint64_t rwq_receive_many(void *q, uint64_t n)
{
    uint64_t sum = 0;
    while (n--)
        sum += rwq_receive(q);
    return sum;
}

} // namespace

extern "C" {
const ring_peer peer_boost = {
    "boost_spsc_bulk64", true,       sizeof(boost_queue), boost_init, boost_send_many,
    boost_receive_many,  boost_send, boost_receive};
const ring_peer peer_rwq = {"readerwriterqueue", false,    sizeof(void *), rwq_init, rwq_send_many,
                            rwq_receive_many,    rwq_send, rwq_receive};
}
