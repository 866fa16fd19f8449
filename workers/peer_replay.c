#include "workers/peer_replay.h"

#include <stdlib.h>

struct peer_replay {
    struct peers *peers;
    uint32_t ids;
    char (*name)[64]; /* by id */
};

struct peer_replay *peer_replay_new(uint32_t ids)
{
    struct peer_replay *r = calloc(1, sizeof *r);
    void *mem = aligned_alloc(peers_align(), peers_footprint(ids));
    if (!r || !mem || !(r->name = calloc(ids, sizeof *r->name)))
        abort();
    r->peers = peers_new(mem, ids);
    r->ids = ids;
    return r;
}

void peer_replay_free(struct peer_replay *r)
{
    if (!r)
        return;
    free(r->peers);
    free(r->name);
    free(r);
}

static const char *name_of(void *ctx, uint32_t symbol)
{
    return ((const struct peer_replay *)ctx)->name[symbol];
}

static int finish(struct peer_replay *r, peer_replay_event *event, void *ctx)
{
    struct msg m[MSG_SLOTS_MAX];
    peers_rank(r->peers);
    while (peers_next(r->peers, name_of, r, m))
        if (event(ctx, m) < 0)
            return -1;
    peers_done(r->peers);
    return 0;
}

int peer_replay_applied(struct peer_replay *r, const struct engine *e, const struct msg *m, uint32_t n,
                        peer_replay_event *event, void *ctx)
{
    struct peer_settings settings = engine_peer_settings(e);
    const struct msg *last = m;
    for (uint32_t at = 0; at < n; at += msg_slot_count(last)) {
        last = &m[at];
        if (last->type == MSG_SYMBOL && last->symbol < r->ids && last->sym.name_len < sizeof *r->name)
            msg_get(last, MSG_FIRST_BYTES, r->name[last->symbol], last->sym.name_len);
    }
    if (n == 0 || (last->type != MSG_CLOCK && last->type != MSG_END))
        return 0;
    bool over = last->type == MSG_END ? r->peers->last_seq : peers_ends_second(r->peers, last->event_ns);
    if (over && finish(r, event, ctx) < 0)
        return -1;
    if (last->type == MSG_END || last->symbol >= BUCKET_COUNT)
        return 0;
    for (uint32_t s = UINT32_MAX;
         settings.threshold > 0 && (s = engine_next_symbol(e, last->symbol, s)) != UINT32_MAX;) {
        struct peer peer;
        if (engine_peer(e, s, &peer))
            peers_row(r->peers, s, &peer, last->seq, last->event_ns);
    }
    peers_clock(r->peers, last->seq, last->event_ns, &settings);
    return 0;
}
