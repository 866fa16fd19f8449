#include "core/sequencer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { CALENDARS = 8 };
#define DAY_NS (24 * 60 * MINUTE_NS)

struct bucket_clock {
    uint32_t bucket;
    int64_t last_ns; /* of its last CLOCK, or where it started; INT64_MIN: its first symbol has just come */
    bool struck;     /* it has had a CLOCK */
};

struct sequencer {
    struct sequencer_options o;
    uint64_t seq;   /* the next one */
    int64_t top_ns; /* running maximum of event time */
    int64_t due_ns; /* the next CLOCK, calendar or fresh bucket; nothing to do before */
    int64_t clock_due_ns;
    int64_t calendar_due_ns;
    uint32_t n, next; /* occupied buckets by number; the one that strikes next */
    struct bucket_clock clock[BUCKET_COUNT];
    int64_t traded_ns[BUCKET_COUNT]; /* the latest trade's event time */
    bool occupied[BUCKET_COUNT];
    bool fresh; /* a bucket without a last_ns */
    bool calendar_used[CALENDARS];
    int64_t calendar_known_ns[CALENDARS]; /* start of the last trading day that was sent */
    uint16_t *bucket;
    uint64_t count[MSG_TYPE_COUNT];
};

static size_t align64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

size_t sequencer_footprint(const struct sequencer_options *o)
{
    return align64(sizeof(struct sequencer)) + align64(o->symbols_max * sizeof(uint16_t));
}

struct sequencer *sequencer_new(void *mem, const struct sequencer_options *o)
{
    struct sequencer *q = mem;
    q->o = *o;
    q->seq = o->first_seq;
    q->top_ns = INT64_MIN;
    q->due_ns = INT64_MIN;
    q->bucket = (uint16_t *)((uint8_t *)mem + align64(sizeof *q));
    for (int b = 0; b < BUCKET_COUNT; b++)
        q->traded_ns[b] = INT64_MIN;
    return q;
}

void sequencer_take_back(struct sequencer *q, const struct msg *m, size_t n)
{
    if (n)
        q->seq = m->seq;
    for (size_t i = 0; i < n; i += msg_slot_count(&m[i]))
        q->count[m[i].type < MSG_TYPE_COUNT ? m[i].type : MSG_NONE]--;
}

uint64_t sequencer_next_seq(const struct sequencer *q)
{
    return q->seq;
}
int64_t sequencer_time(const struct sequencer *q)
{
    return q->top_ns;
}
const uint64_t *sequencer_counts(const struct sequencer *q)
{
    return q->count;
}
uint16_t *sequencer_buckets(struct sequencer *q)
{
    return q->bucket;
}

struct output {
    struct msg *slot;
    size_t capacity, used;
};

static void emit_clock(struct sequencer *q, struct output *out, uint32_t bucket, int64_t t, int64_t recv_ns)
{
    assert(out->used < out->capacity);
    struct msg *m = &out->slot[out->used++];
    msg_begin(m, MSG_CLOCK, bucket, 0);
    m->seq = q->seq++;
    m->event_ns = t;
    m->recv_ns = recv_ns;
    q->count[MSG_CLOCK]++;
}

/* Sends the trading days from five days before the running maximum to a week after it, each once. What a jump
 * in time leaps over is left out: nobody needs it, and it has no bound. */
static void emit_calendar(struct sequencer *q, struct output *out)
{
    int64_t next = INT64_MAX;
    for (unsigned c = 0; c < CALENDARS; c++) {
        int64_t t[4], until = q->top_ns + 8 * DAY_NS;
        if (!q->calendar_used[c] || !q->o.calendar)
            continue;
        int64_t from = q->top_ns - 5 * DAY_NS;
        if (q->calendar_known_ns[c] && q->calendar_known_ns[c] >= from)
            from = q->calendar_known_ns[c] + 1;
        while (q->o.calendar(q->o.calendar_ctx, c, from, t) && t[0] <= until) {
            char text[128];
            int len = snprintf(text, sizeof text, "calendar.%u=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64,
                               c, t[0], t[1], t[2], t[3]);
            assert(out->used + MSG_SLOTS_MAX <= out->capacity);
            struct msg *m = &out->slot[out->used];
            out->used += msg_begin(m, MSG_SETTING, 0, MSG_FIRST_BYTES + (size_t)len);
            m->part.len = (uint16_t)len;
            msg_put(m, MSG_FIRST_BYTES, text, (size_t)len);
            msg_set_seq(m, q->seq++);
            q->count[MSG_SETTING]++;
            q->calendar_known_ns[c] = t[0];
            from = t[0] + 1;
        }
        next = q->top_ns / DAY_NS * DAY_NS + DAY_NS;
    }
    q->calendar_due_ns = next;
}

/* Finds the bucket that strikes next. */
static void find_next(struct sequencer *q)
{
    q->next = 0;
    for (uint32_t i = 1; i < q->n; i++)
        if (q->clock[i].last_ns < q->clock[q->next].last_ns)
            q->next = i;
}

/* A bucket's first CLOCK is not left out, however far time jumps: those that are, the engine lives through
 * from the one before. */
static void emit_firsts(struct sequencer *q, struct output *out, int64_t recv_ns)
{
    for (;;) {
        struct bucket_clock *first = NULL;
        for (uint32_t i = 0; i < q->n; i++) {
            struct bucket_clock *c = &q->clock[i];
            if (!c->struck && c->last_ns + 2 * SECOND_NS <= q->top_ns &&
                (!first || c->last_ns < first->last_ns))
                first = c;
        }
        if (!first)
            return;
        first->struck = true;
        first->last_ns += SECOND_NS;
        emit_clock(q, out, first->bucket, first->last_ns, recv_ns);
    }
}

/* Every CLOCK up to the running maximum, by (time, bucket): at most one for each bucket, and its first. */
static void emit_clocks(struct sequencer *q, struct output *out, int64_t recv_ns)
{
    bool all =
        q->fresh; /* a new one stands at the running maximum: the others must not lag a second behind it */
    for (uint32_t i = 0; q->fresh && i < q->n; i++)
        if (q->clock[i].last_ns == INT64_MIN)
            q->clock[i].last_ns = bucket_grid_floor(q->clock[i].bucket, q->top_ns);
    q->fresh = false;
    if (q->n &&
        (all || q->top_ns - q->clock[q->next].last_ns >= 2 * SECOND_NS)) { /* or time jumped: strike all */
        emit_firsts(q, out, recv_ns);
        for (int pass = 0; pass < 2; pass++)
            for (uint32_t i = 0; i < q->n; i++) {
                struct bucket_clock *c = &q->clock[i];
                int64_t t = bucket_grid_floor(c->bucket, q->top_ns);
                bool second_before = t / SECOND_NS < q->top_ns / SECOND_NS;
                if (second_before == (pass == 0) && t > c->last_ns) {
                    c->last_ns = t;
                    c->struck = true;
                    emit_clock(q, out, c->bucket, t, recv_ns);
                }
            }
        find_next(q);
    }
    while (q->n && q->clock[q->next].last_ns + SECOND_NS <= q->top_ns) {
        struct bucket_clock *c = &q->clock[q->next];
        c->last_ns += SECOND_NS;
        c->struck = true;
        emit_clock(q, out, c->bucket, c->last_ns, recv_ns);
        q->next = q->next + 1 == q->n ? 0 : q->next + 1;
    }
    q->clock_due_ns = q->n ? q->clock[q->next].last_ns + SECOND_NS : INT64_MAX;
}

static void see_symbol(struct sequencer *q, const struct msg *m)
{
    uint32_t b = m->sym.bucket & (BUCKET_COUNT - 1), at = 0;
    if (m->symbol < q->o.symbols_max)
        q->bucket[m->symbol] = (uint16_t)b;
    q->calendar_used[m->sym.calendar % CALENDARS] = true;
    q->due_ns = INT64_MIN;
    q->calendar_due_ns = q->calendar_known_ns[m->sym.calendar % CALENDARS] ? q->calendar_due_ns : INT64_MIN;
    if (q->occupied[b])
        return;
    q->occupied[b] = q->fresh = true;
    while (at < q->n && q->clock[at].bucket < b)
        at++;
    memmove(&q->clock[at + 1], &q->clock[at], (q->n - at) * sizeof *q->clock);
    q->clock[at] = (struct bucket_clock){.bucket = b, .last_ns = INT64_MIN};
    q->n++;
}

/* What comes due at a tick: seldom. */
static __attribute__((noinline)) void tick_due(struct sequencer *q, struct output *out, int64_t recv_ns)
{
    if (q->top_ns >= q->calendar_due_ns)
        emit_calendar(q, out);
    emit_clocks(q, out, recv_ns);
    q->due_ns = q->clock_due_ns < q->calendar_due_ns ? q->clock_due_ns : q->calendar_due_ns;
}

/* Any record but a tick of one slot. Returns its slots. */
static __attribute__((noinline)) uint32_t stamp_other(struct sequencer *q, const struct msg *m,
                                                      struct output *out)
{
    uint32_t slots = msg_slot_count(m);
    if (m->type == MSG_SYMBOL)
        see_symbol(q, m);
    memcpy(out->slot + out->used, m, slots * sizeof *m);
    msg_set_seq(out->slot + out->used, q->seq++);
    q->count[m->type < MSG_TYPE_COUNT ? m->type : MSG_NONE]++;
    out->used += slots;
    return slots;
}

size_t sequencer_apply(struct sequencer *q, const struct msg *in, size_t n, struct msg *out, size_t capacity,
                       size_t *used)
{
    struct output o = {out, capacity, *used};
    const struct msg *m = in, *end = in + n;
    while (m < end && o.used + SEQUENCER_ROOM <= capacity) {
        if (!msg_is_tick(m) || (m->flags & MSG_MORE_MASK)) {
            m += stamp_other(q, m, &o);
            continue;
        }
        q->top_ns = m->event_ns > q->top_ns ? m->event_ns : q->top_ns;
        if (__builtin_expect(q->top_ns >= q->due_ns, 0))
            tick_due(q, &o, m->recv_ns);
        if (m->type == MSG_TRADE && m->symbol < q->o.symbols_max) {
            int64_t *traded = &q->traded_ns[q->bucket[m->symbol]];
            *traded = m->event_ns > *traded ? m->event_ns : *traded;
        }
        struct msg *to = &o.slot[o.used++];
        *to = *m;
        to->seq = q->seq++;
        q->count[m->type]++;
        m++;
    }
    *used = o.used;
    return (size_t)(m - in);
}

void sequencer_pass(struct sequencer *q, enum msg_type type, uint64_t n)
{
    q->seq += n;
    q->count[type] += n;
}

/* When the CLOCK of the source's end is due for a bucket, INT64_MIN for none: its bars are final already. */
static int64_t end_clock(const struct sequencer *q, const struct bucket_clock *c)
{
    int64_t traded = q->traded_ns[c->bucket];
    if (traded == INT64_MIN)
        return INT64_MIN;
    int64_t t = (traded / MINUTE_NS + 1) * MINUTE_NS + q->o.lateness_ns;
    return t > c->last_ns ? t : INT64_MIN;
}

void sequencer_end(struct sequencer *q, bool clocks, struct msg *out, size_t capacity, size_t *used)
{
    struct output o = {out, capacity, *used};
    while (clocks) { /* by (time, bucket) */
        int64_t least = INT64_MAX;
        uint32_t which = q->n;
        for (uint32_t i = 0; i < q->n; i++) {
            int64_t t = end_clock(q, &q->clock[i]);
            if (t != INT64_MIN && t < least) {
                least = t;
                which = i;
            }
        }
        if (which == q->n)
            break;
        q->clock[which].last_ns = least;
        emit_clock(q, &o, q->clock[which].bucket, least, least);
    }
    assert(o.used < capacity);
    struct msg *m = &o.slot[o.used++];
    msg_begin(m, MSG_END, 0, 0);
    m->seq = q->seq++;
    m->event_ns = q->top_ns == INT64_MIN ? 0 : q->top_ns;
    q->count[MSG_END]++;
    *used = o.used;
}
