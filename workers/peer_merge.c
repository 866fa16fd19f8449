#include "workers/peer_merge.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/peers.h"
#include "net/outbox.h"
#include "shm/msg_memory.h"
#include "shm/ring.h"
#include "shm/symtab.h"

/* An anomaly of before, as the outbox has it. */
struct told {
    uint64_t seq;
    int64_t time_ns;
    uint32_t symbol;
};

struct peer_merge {
    struct instance *in;
    uint32_t scanners;
    struct ring_consumer ring[ROUTE_SCANNERS_MAX];
    struct ring_producer events;
    struct peers *peers;
    struct symtab *symtab;
    struct told *told;
    uint32_t n_told, next_told;
    bool begun, ranking, ended;
    struct msg event[MSG_SLOTS_MAX]; /* that waits for room */
    uint32_t waiting;                /* … its slots; 0: none */
    uint64_t done_seq, done_events;  /* told once the publisher has released the ring up to there */
};

static struct ring *join(struct peer_merge *g, const char *name, uint32_t k, struct error *err)
{
    size_t bytes;
    void *mem = workspace_object(g->in->ws, name, k, &bytes);
    return ring_join(mem, bytes, err);
}

struct peer_merge *peer_merge_open(struct instance *in, struct error *err)
{
    struct peer_merge *g = msg_holder_new(sizeof *g);
    struct ring *r;
    if (!g)
        abort();
    g->in = in;
    g->scanners = workspace_topology(in->ws)->options.scanners;
    g->peers = workspace_peers(in->ws);
    g->symtab = workspace_symtab(in->ws);
    for (uint32_t k = 0; k < g->scanners; k++) {
        if (!(r = join(g, "peers_ring", k, err)))
            goto failed;
        ring_consumer_join(&g->ring[k], r);
    }
    if ((r = join(g, "market_out", 0, err)) && ring_producer_join(&g->events, r, err) == 0)
        return g;
failed:
    free(g);
    return NULL;
}

void peer_merge_close(struct peer_merge *g)
{
    if (!g)
        return;
    free(g->told);
    free(g);
}

bool peer_merge_ended(const struct peer_merge *g)
{
    return g->ended;
}

/* What was told before this instance began. */
static int read_told(struct peer_merge *g, struct error *err)
{
    char dir[4096];
    uint64_t first;
    struct outbox_record r;
    uint32_t room = 0;
    int got;
    snprintf(dir, sizeof dir, "%s/outbox", g->in->options->dir);
    struct outbox_reader *reader = outbox_reader_open(dir, 0, &first, err);
    if (!reader)
        return -1;
    while ((got = outbox_read(reader, &r, err)) > 0) {
        if (r.bucket != BUCKET_MARKET || r.seq >= g->in->control->outbox_had_seq)
            continue;
        if (g->n_told == room) {
            room = room ? 2 * room : 1024;
            if (!(g->told = realloc(g->told, room * sizeof *g->told)))
                abort();
        }
        g->told[g->n_told++] = (struct told){r.seq, r.event_ns, r.symbol};
    }
    outbox_reader_close(reader);
    return got;
}

/* Once each scanner has said where it begins, and the publisher what it has. */
static int begin(struct peer_merge *g)
{
    const struct control *c = g->in->control;
    struct error err;
    uint64_t ignored = 0;
    if (!atomics_load_acquire_u64(&c->outbox_had_seq))
        return 0;
    for (uint32_t k = 0; k < g->scanners; k++) {
        uint64_t from = atomics_load_acquire_u64(&c->peers_from[k]);
        if (!from)
            return 0;
        ignored = from - 1 > ignored ? from - 1 : ignored;
    }
    if (!g->peers->begun)
        g->peers->ignored_seq = ignored;
    g->peers->begun = 1;
    if (c->outbox_had_seq > 1 && read_told(g, &err) < 0) {
        instance_log(g->in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        g->in->finished = true;
        return 0;
    }
    g->begun = true;
    return 1;
}

/* The second at hand is over: what it shows is found, and told as far as there is room. */
static void rank(struct peer_merge *g)
{
    struct peers *p = g->peers;
    for (; g->next_told < g->n_told && g->told[g->next_told].seq < p->last_seq; g->next_told++) {
        const struct told *t = &g->told[g->next_told];
        peers_told(p, t->symbol, t->seq, t->time_ns);
    }
    bool ignored = p->ignored_seq && !p->done_seq;
    if (ignored)
        p->settings.threshold = 0;
    peers_rank(p);
    g->ranking = true;
}

static const char *name_of(void *ctx, uint32_t symbol)
{
    const struct peer_merge *g = ctx;
    return symtab_identity(g->symtab, symbol)->name;
}

static int tell(struct peer_merge *g)
{
    int told = 0;
    for (;; told++) {
        if (!g->waiting)
            g->waiting = peers_next(g->peers, name_of, g, g->event);
        if (!g->waiting)
            break;
        if (ring_put(&g->events, g->event))
            return told ? told : RUNLOOP_BACKPRESSURE;
        counter_add(g->in->counters, MARKET_ANOMALIES, 1);
        g->waiting = 0;
    }
    peers_done(g->peers);
    counter_add(g->in->counters, MARKET_PEER_SECONDS, 1);
    g->ranking = false;
    return told + 1;
}

static void take(struct peer_merge *g, const struct msg *m)
{
    struct peers *p = g->peers;
    if (m->seq <= p->ignored_seq)
        return;
    if (m->type == MSG_VALUES && m->symbol < symtab_count(g->symtab)) {
        struct peer peer;
        memcpy(&peer, m->first, sizeof peer);
        peers_row(p, m->symbol, &peer, m->seq, m->event_ns);
    } else if (m->type == MSG_CLOCK) {
        struct peer_settings settings;
        memcpy(&settings, m->first, sizeof settings);
        peers_clock(p, m->seq, m->event_ns, &settings);
    }
}

/* All scanners are at the end. */
static int finish(struct peer_merge *g)
{
    struct msg end;
    if (g->ended)
        return 0;
    if (g->peers->last_seq) {
        rank(g);
        return 1;
    }
    msg_begin(&end, MSG_END, 0, 0);
    end.seq = g->peers->done_seq ? g->peers->done_seq : 1;
    if (ring_put(&g->events, &end))
        return RUNLOOP_BACKPRESSURE;
    g->ended = true;
    return 1;
}

/* The ring with the earliest block, once no other can give an earlier one; scanners: none yet. *all_ended:
 * there will be none. */
static uint32_t earliest(struct peer_merge *g, bool *all_ended)
{
    uint64_t floor = UINT64_MAX, least = UINT64_MAX;
    uint32_t best = g->scanners, n;
    for (uint32_t k = 0; k < g->scanners; k++) {
        uint64_t reached = atomics_load_acquire_u64(&g->in->control->peers_progress[k]); /* before the peek */
        const struct msg *m = ring_peek(&g->ring[k], &n);
        if (!m) {
            floor = reached < floor ? reached : floor;
        } else if (m->seq < least) {
            least = m->seq;
            best = k;
        }
    }
    *all_ended = best == g->scanners && floor == UINT64_MAX;
    return least <= floor ? best : g->scanners;
}

/* Scanners may save once the second-last second that is done is in the outbox. */
static void tell_done(struct peer_merge *g)
{
    struct control *c = g->in->control;
    if (!ring_is_released(&g->events, g->done_events))
        return;
    if (g->done_seq > c->peers_done_seq)
        atomics_store_release_u64(&c->peers_done_seq, g->done_seq);
    g->done_seq = g->peers->done_before_seq;
    g->done_events = ring_position(&g->events);
}

int peer_merge_step(struct peer_merge *g)
{
    bool all_ended;
    uint32_t n, taken = 0;
    if (!g->begun)
        return begin(g);
    if (g->ranking)
        return tell(g);
    tell_done(g);
    uint32_t k = earliest(g, &all_ended);
    if (all_ended)
        return finish(g);
    if (k == g->scanners)
        return 0;
    const struct msg *m = ring_peek(&g->ring[k], &n);
    if (peers_ends_second(g->peers, m->event_ns)) {
        rank(g);
        return 1;
    }
    for (uint64_t seq = m->seq; taken < n && m[taken].seq == seq; taken += msg_slot_count(&m[taken]))
        take(g, &m[taken]);
    ring_release(&g->ring[k], taken);
    return (int)taken;
}
