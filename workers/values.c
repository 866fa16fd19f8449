#include "workers/values.h"

#include <stdlib.h>

enum { COLUMN_BYTES = TOPLIST_COLUMNS * sizeof(double), KEY_BYTES = sizeof(int64_t) };
_Static_assert((int)COLUMN_BYTES + TOPLIST_KEYS_MAX * (int)KEY_BYTES <= (int)MSG_PAYLOAD_MAX,
               "a symbol's columns are one record");

uint32_t values_asked(const struct instance *in)
{
    return markettab_columns(workspace_markettab(in->ws));
}

struct values *values_open(struct instance *in, struct engine *e, struct error *err)
{
    struct metric metric[TOPLIST_COLUMNS];
    size_t bytes;
    void *mem = workspace_object(in->ws, "values_ring", in->index, &bytes);
    struct ring *ring = ring_join(mem, bytes, err);
    struct values *v = calloc(1, sizeof *v);
    if (!v)
        abort();
    if (!ring || ring_producer_join(&v->ring, ring, err) < 0 ||
        markettab_keys(workspace_markettab(in->ws), &v->keys, err) < 0) {
        free(v);
        return NULL;
    }
    v->in = in;
    toplist_columns(metric);
    v->first = engine_ask(e, metric, TOPLIST_COLUMNS);
    v->first_key = engine_ask(e, v->keys.metric, v->keys.n);
    v->symbol = UINT32_MAX;
    return v;
}

void values_close(struct values *v)
{
    free(v);
}

static int put_symbol(struct values *v, const struct engine *e, uint32_t symbol, uint64_t seq,
                      int64_t event_ns, uint16_t flags)
{
    struct msg m[MSG_SLOTS_MAX];
    double value[TOPLIST_COLUMNS];
    int64_t key[TOPLIST_KEYS_MAX];
    engine_values(e, symbol, v->first, TOPLIST_COLUMNS, value);
    engine_keys(e, symbol, v->first_key, v->keys.n, key);
    msg_begin(m, MSG_VALUES, symbol, COLUMN_BYTES + v->keys.n * KEY_BYTES);
    msg_put(m, 0, value, COLUMN_BYTES);
    msg_put(m, COLUMN_BYTES, key, v->keys.n * KEY_BYTES);
    msg_set_seq(m, seq);
    m->event_ns = event_ns;
    m->flags |= flags;
    if (ring_put(&v->ring, m))
        return RING_FULL;
    counter_add(v->in->counters, SCANNER_VALUES, 1);
    return 0;
}

static int put_mark(struct values *v, enum msg_type type, uint32_t symbol, uint64_t seq, int64_t event_ns,
                    uint16_t flags)
{
    struct msg m;
    msg_begin(&m, type, symbol, 0);
    m.seq = seq;
    m.event_ns = event_ns;
    m.flags |= flags;
    return ring_put(&v->ring, &m);
}

void values_clock(struct values *v, const struct engine *e, const struct msg *clock)
{
    uint32_t bucket = clock->symbol;
    int full = 0;
    if (bucket >= BUCKET_COUNT)
        return;
    for (uint32_t s = UINT32_MAX; !full && (s = engine_next_symbol(e, bucket, s)) != UINT32_MAX;)
        full = put_symbol(v, e, s, clock->seq, clock->event_ns, 0);
    if (full || put_mark(v, MSG_CLOCK, bucket, clock->seq, clock->event_ns, 0))
        counter_add(v->in->counters, SCANNER_VALUES_DROPPED, 1);
}

bool values_end(struct values *v, const struct engine *e, uint64_t seq, int64_t event_ns)
{
    const struct control *c = v->in->control;
    uint64_t starts = atomics_load_acquire_u64(&c->market_starts);
    if (atomics_load_acquire_u64(&c->market_final))
        return true;
    if (starts != v->starts) {
        v->starts = starts;
        v->bucket = 0;
        v->symbol = UINT32_MAX;
        v->told = false;
    }
    for (; v->bucket < BUCKET_COUNT; v->bucket++, v->symbol = UINT32_MAX)
        for (uint32_t s; (s = engine_next_symbol(e, v->bucket, v->symbol)) != UINT32_MAX; v->symbol = s)
            if (put_symbol(v, e, s, seq, event_ns, MSG_F_FINAL))
                return false;
    if (!v->told)
        v->told = put_mark(v, MSG_END, (uint32_t)starts, seq, event_ns, MSG_F_FINAL) == 0;
    return false;
}
