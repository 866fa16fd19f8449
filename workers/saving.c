#include "workers/saving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bucket.h"
#include "net/checkpoint.h"
#include "shm/msg_memory.h"

enum { RECORDS_AT_ONCE = 64 };

struct saving {
    const struct instance *in;
    struct checkpoint_writer *writer;
    struct route route;
    int64_t interval_ns, next_ns;
    /* the pass */
    bool on;
    uint32_t bucket;    /* the next */
    uint64_t first_seq; /* of the pass; 0: no piece yet */
    /* what waits for the journal and the outbox */
    bool held;
    uint64_t held_seq, held_events; /* a position in the event ring */
    /* rules and settings so far, and how many slots of them the generation has */
    struct msg *record;
    size_t records, room, added;
    uint64_t failures;
};

struct saving *saving_open(const struct instance *in, const struct engine_limits *limits, struct error *err)
{
    char dir[4096];
    struct saving *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    snprintf(dir, sizeof dir, "%s/checkpoints", in->options->dir);
    struct checkpoint_options o = {.dir = dir,
                                   .node = in->control->journal_node,
                                   .scanner = in->index,
                                   .piece_max = engine_save_max(limits)};
    s->in = in;
    s->interval_ns = in->settings->checkpoints_interval_ms * 1000000;
    route_fill(&s->route, workspace_topology(in->ws)->options.scanners,
               (enum bucket_table)in->settings->rings_bucket_table);
    if ((s->writer = checkpoint_start(&o, err)))
        return s;
    free(s);
    return NULL;
}

void saving_close(struct saving *s)
{
    if (!s)
        return;
    checkpoint_stop(s->writer);
    free(s->record);
    free(s);
}

void saving_remember(struct saving *s, const struct msg *m, uint32_t n)
{
    for (uint32_t at = 0, slots; at < n; at += slots) {
        slots = msg_slot_count(&m[at]);
        if ((m[at].type != MSG_RULE && m[at].type != MSG_SETTING) || m[at].seq == 0)
            continue;
        if (s->records + slots > s->room) {
            s->room = 2 * s->room + 1024;
            s->record = msgs_grow(s->record, s->records, s->room);
        }
        for (uint32_t i = 0; i < slots; i++) {
            s->record[s->records] = m[at + i];
            s->record[s->records++].flags &= (uint16_t)~MSG_F_PHASE;
        }
    }
}

static void begin_pass(struct saving *s)
{
    s->on = true;
    s->bucket = 0;
    s->first_seq = 0;
}

static void hold(struct saving *s, uint64_t seq, const struct ring_producer *events)
{
    s->held = true;
    s->held_seq = seq;
    s->held_events = ring_position(events);
}

static bool is_ours(const struct saving *s, uint32_t bucket)
{
    return s->route.scanner[bucket] == s->in->index;
}

static void save_piece(struct saving *s, struct engine *e, uint64_t seq)
{
    size_t max;
    enum engine_piece piece;
    void *room = checkpoint_room(s->writer, &max);
    size_t bytes = engine_save(e, s->bucket, room, max, &piece);
    assert(bytes);
    checkpoint_add_piece(s->writer, s->bucket, piece, bytes, seq);
    s->first_seq = s->first_seq ? s->first_seq : seq;
    s->bucket += piece == ENGINE_PIECE_BUCKET;
}

void saving_step(struct saving *s, struct engine *e, uint64_t seq, const struct ring_producer *events)
{
    if (!s->on || s->held || !checkpoint_ready(s->writer))
        return;
    if (checkpoint_anew(s->writer)) {
        engine_save_anew(e);
        s->added = 0;
        begin_pass(s);
    }
    while (s->bucket < BUCKET_COUNT && !is_ours(s, s->bucket))
        s->bucket++;
    if (s->added < s->records) {
        for (int i = 0; i < RECORDS_AT_ONCE && s->added < s->records && !checkpoint_full(s->writer); i++) {
            checkpoint_add_record(s->writer, &s->record[s->added]);
            s->added += msg_slot_count(&s->record[s->added]);
        }
    } else if (s->bucket < BUCKET_COUNT) {
        save_piece(s, e, seq);
    } else {
        checkpoint_add_pass(s->writer, s->first_seq ? s->first_seq : seq, seq);
        s->on = false;
    }
    if (checkpoint_full(s->writer))
        hold(s, seq, events);
}

/* Once every scanner goes on from its own files, those of others and of before are of no use. */
static uint32_t sole(const struct saving *s)
{
    for (uint32_t k = 0; k < s->route.scanners; k++)
        if (atomics_load_acquire_u64(&s->in->control->checkpoint_seq[k]) == 0)
            return 0;
    return s->route.scanners;
}

static void tell(struct saving *s)
{
    struct checkpoint_state state;
    struct counters *c = s->in->counters;
    checkpoint_get_state(s->writer, &state);
    atomics_store_release_u64(&s->in->control->checkpoint_seq[s->in->index], state.seq);
    counter_set(c, SCANNER_CHECKPOINT_PASSES, state.passes);
    counter_set(c, SCANNER_CHECKPOINT_BYTES, state.bytes);
    counter_set(c, SCANNER_CHECKPOINT_FAILURES, state.failures);
    counter_set(c, SCANNER_CHECKPOINT_SEQ, state.seq);
    if (state.failures != s->failures)
        instance_log(s->in, SET_LOG_LEVEL_WARN, "%s; the journal is kept instead", state.failure.text);
    s->failures = state.failures;
}

void saving_housekeeping(struct saving *s, int64_t mono_ns, const struct ring_producer *events)
{
    const struct control *k = s->in->control;
    bool compared = !instance_has_peers(s->in) || atomics_load_acquire_u64(&k->peers_done_seq) >= s->held_seq;
    if (s->held && compared && ring_is_released(events, s->held_events) &&
        atomics_load_acquire_u64(&k->durable_seq) >= s->held_seq) {
        checkpoint_hand_over(s->writer, sole(s));
        s->held = false;
    }
    if (!s->on && !s->held && mono_ns >= s->next_ns) {
        s->next_ns = mono_ns + s->interval_ns;
        begin_pass(s);
    }
    if (checkpoint_ready(s->writer))
        tell(s);
}
