#include "workers/peer_blocks.h"
#include "shm/msg_memory.h"

#include <stdlib.h>

struct peer_blocks *peer_blocks_open(struct instance *in, struct error *err)
{
    size_t bytes;
    void *mem = workspace_object(in->ws, "peers_ring", in->index, &bytes);
    struct ring *ring = ring_join(mem, bytes, err);
    struct peer_blocks *b = msg_holder_new(sizeof *b);
    if (!b)
        abort();
    if (!ring || ring_producer_join(&b->ring, ring, err) < 0) {
        free(b);
        return NULL;
    }
    b->in = in;
    b->had_seq = ring_last_seq(&b->ring);
    return b;
}

void peer_blocks_close(struct peer_blocks *b)
{
    free(b);
}

void peer_blocks_begin(struct peer_blocks *b, uint64_t newest_seq)
{
    uint64_t *from = &b->in->control->peers_from[b->in->index];
    if (newest_seq + 1 > *from)
        atomics_store_release_u64(from, newest_seq + 1);
}

void peer_blocks_clock(struct peer_blocks *b, const struct msg *clock)
{
    if (clock->symbol >= BUCKET_COUNT || clock->seq < b->had_seq)
        return;
    b->clock = *clock;
    b->waits = true;
    b->symbol = UINT32_MAX;
}

/* The first slot of a record of the block, without its payload. */
static struct msg record(const struct peer_blocks *b, enum msg_type type, uint32_t symbol)
{
    struct msg m;
    msg_begin(&m, type, symbol, 0);
    m.seq = b->clock.seq;
    m.event_ns = b->clock.event_ns;
    return m;
}

static bool put_symbols(struct peer_blocks *b, const struct engine *e)
{
    for (uint32_t s; (s = engine_next_symbol(e, b->clock.symbol, b->symbol)) != UINT32_MAX; b->symbol = s) {
        struct msg m = record(b, MSG_VALUES, s);
        struct peer peer;
        _Static_assert(sizeof peer == MSG_FIRST_BYTES, "a peer is a slot");
        if (!engine_peer(e, s, &peer))
            continue;
        memcpy(m.first, &peer, sizeof peer);
        if (ring_put(&b->ring, &m))
            return false;
        counter_add(b->in->counters, SCANNER_PEERS, 1);
    }
    return true;
}

bool peer_blocks_put(struct peer_blocks *b, const struct engine *e)
{
    struct peer_settings settings = engine_peer_settings(e);
    struct msg m = record(b, MSG_CLOCK, b->clock.symbol);
    if (!b->waits)
        return true;
    if (settings.threshold > 0 && !put_symbols(b, e))
        return false;
    memcpy(m.first, &settings, sizeof settings);
    b->waits = ring_put(&b->ring, &m) != 0;
    return !b->waits;
}

void peer_blocks_reached(struct peer_blocks *b, uint64_t seq)
{
    uint64_t *reached = &b->in->control->peers_progress[b->in->index];
    if (seq > *reached)
        atomics_store_release_u64(reached, seq);
}
