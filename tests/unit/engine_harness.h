/* What the engine's tests share: a seeded generator of numbers, builders of messages, an engine with its
 * memory, and the events that it gave. Inputs are stamped here with seq 1, 2, 3 … unless they come from a
 * sequencer. */
#ifndef TESTS_ENGINE_HARNESS_H
#define TESTS_ENGINE_HARNESS_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "core/attribute.h"
#include "core/bucket.h"
#include "core/engine.h"
#include "core/sequencer.h"

#define MS    INT64_C(1000000)
#define SEC   INT64_C(1000000000)
#define MIN   (60 * SEC)
#define DAY   (24 * 60 * MIN)
#define PX(x) ((int64_t)((x)*1e9 + ((x) < 0 ? -0.5 : 0.5)))

/* 2024-03-04 00:00 UTC, a Monday: where the tests' markets begin */
#define T0 (INT64_C(1709510400) * SEC)

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
/* 0 … n-1 */
static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((random_next(state) >> 32) * n >> 32);
}
static inline bool one_in(uint64_t *state, uint32_t n)
{
    return random_below(state, n) == 0;
}

/* Records, one behind the other. */
struct tape {
    struct msg *slot;
    size_t n, room;
};

static inline struct msg *tape_room(struct tape *t, size_t slots)
{
    if (t->n + slots > t->room) {
        size_t room = 2 * (t->n + slots) + 1024;
        struct msg *grown = aligned_alloc(64, room * sizeof *grown);
        assert_non_null(grown);
        if (t->n)
            memcpy(grown, t->slot, t->n * sizeof *grown);
        free(t->slot);
        t->slot = grown;
        t->room = room;
    }
    return t->slot + t->n;
}

static inline void tape_free(struct tape *t)
{
    free(t->slot);
    *t = (struct tape){0};
}

static inline void put_trade(struct tape *t, uint32_t symbol, int64_t event_ns, int64_t price_e9,
                             uint64_t size)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_TRADE, symbol, sizeof m->trade);
    m->event_ns = event_ns;
    m->trade = (struct msg_trade){.price_e9 = price_e9, .size = size};
}

static inline void put_quote(struct tape *t, uint32_t symbol, int64_t event_ns, int64_t bid_e9,
                             int64_t ask_e9)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_QUOTE, symbol, sizeof m->quote);
    m->event_ns = event_ns;
    m->quote = (struct msg_quote){bid_e9, ask_e9, 1, 1};
}

static inline void put_cancel(struct tape *t, uint32_t symbol, int64_t event_ns, uint64_t trade_id)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_CANCEL, symbol, sizeof m->cancel);
    m->event_ns = event_ns;
    m->cancel.trade_id = trade_id;
}

static inline void put_status(struct tape *t, uint32_t symbol, int64_t event_ns, enum status_kind kind)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_STATUS, symbol, sizeof m->status);
    m->event_ns = event_ns;
    m->status.kind = (uint8_t)kind;
}

static inline void put_split(struct tape *t, uint32_t symbol, int64_t ex_ns, uint32_t to, uint32_t from)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_ATTR, symbol, sizeof m->attr);
    m->attr = (struct msg_attr){.kind = ATTR_SPLIT, .ex_ns = ex_ns, .to = to, .from = from};
}

static inline void put_clock(struct tape *t, uint32_t bucket, int64_t event_ns)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_CLOCK, bucket, 0);
    m->event_ns = event_ns;
}

static inline void put_symbol(struct tape *t, uint32_t id, const char *name, uint32_t bucket,
                              unsigned size_scale, unsigned calendar)
{
    struct msg *m = tape_room(t, MSG_SLOTS_MAX);
    size_t len = strlen(name);
    t->n += msg_begin(m, MSG_SYMBOL, id, MSG_FIRST_BYTES + len);
    m->sym = (struct msg_symbol){.bucket = (uint16_t)bucket,
                                 .size_scale = (uint8_t)size_scale,
                                 .calendar = (uint8_t)calendar,
                                 .name_len = (uint8_t)len};
    msg_put(m, MSG_FIRST_BYTES, name, len);
}

static inline void put_history(struct tape *t, uint32_t symbol, int64_t start_ns,
                               const struct msg_history_bar *h)
{
    struct msg *m = tape_room(t, MSG_SLOTS_MAX);
    t->n += msg_begin(m, MSG_HISTORY_BAR, symbol, sizeof *h);
    m->event_ns = start_ns;
    msg_put(m, 0, h, sizeof *h);
}

static inline void put_daily(struct tape *t, uint32_t symbol, int64_t start_ns, int64_t close_e9)
{
    put_history(t, symbol, start_ns,
                &(struct msg_history_bar){close_e9, close_e9, close_e9, close_e9, 1, DAY});
}

static inline void put_attributes(struct tape *t, uint32_t symbol, const struct attributes *a)
{
    t->n += attributes_message(a, symbol, tape_room(t, MSG_SLOTS_MAX));
}

/* RULE and SETTING, in parts as they travel. */
static inline void put_parts(struct tape *t, enum msg_type type, uint32_t id, const void *bytes, size_t len)
{
    const size_t most = MSG_PAYLOAD_MAX - MSG_FIRST_BYTES;
    for (size_t at = 0; at < len;) {
        size_t n = len - at < most ? len - at : most;
        struct msg *m = tape_room(t, MSG_SLOTS_MAX);
        t->n += msg_begin(m, type, 0, MSG_FIRST_BYTES + n);
        m->part = (struct msg_part){.id = id, .len = (uint16_t)n};
        msg_put(m, MSG_FIRST_BYTES, (const uint8_t *)bytes + at, n);
        at += n;
        if (at < len)
            m->flags |= MSG_F_MORE_PARTS;
    }
}

static inline void put_setting(struct tape *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void put_setting(struct tape *t, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    put_parts(t, MSG_SETTING, 0, text, strlen(text));
}

/* A rule as tests write it; what is left out is version 1, level, cooldown 0, every symbol. */
struct rule_spec {
    const char *id, *expr, *symbols;
    uint32_t version;
    enum rule_trigger trigger;
    int64_t cooldown_ns;
    bool disabled, shadow;
    uint8_t sessions;
    int64_t expires_ns;
};

static inline void put_rule(struct tape *t, uint32_t slot, const struct rule_spec *s)
{
    static uint8_t bytes[RULE_BYTES_MAX];
    struct rule r = {.version = s->version ? s->version : 1,
                     .trigger = s->trigger,
                     .enabled = !s->disabled,
                     .shadow = s->shadow,
                     .sessions = s->sessions,
                     .expires_ns = s->expires_ns,
                     .cooldown_ns = s->cooldown_ns,
                     .expr = s->expr,
                     .expr_len = (uint32_t)strlen(s->expr),
                     .symbols = s->symbols,
                     .symbols_len = s->symbols ? (uint32_t)strlen(s->symbols) : 0};
    snprintf(r.id, sizeof r.id, "%s", s->id);
    snprintf(r.name, sizeof r.name, "%s", s->id);
    int len = rule_encode(&r, bytes, sizeof bytes);
    assert_true(len > 0);
    put_parts(t, MSG_RULE, slot, bytes, (size_t)len);
}

static inline void put_end(struct tape *t)
{
    struct msg *m = tape_room(t, 1);
    t->n += msg_begin(m, MSG_END, 0, 0);
}

/* Stamps a tape that no sequencer has seen. */
static inline void tape_stamp(struct tape *t, uint64_t first_seq)
{
    for (size_t at = 0; at < t->n; at += msg_slot_count(&t->slot[at]))
        msg_set_seq(&t->slot[at], first_seq++);
}

struct bench {
    struct engine_limits limits;
    struct engine *e;
    void *mem;
    struct rule_stats *stats;
    struct engine_out out;
    struct tape events;
};

static const struct engine_limits bench_limits = {
    .symbols = 8, .ids = 16, .rules = 64, .metrics = 256, .fires = 4096, .bars = 2048};

/* From mmap: most of an engine's memory is never touched. */
static inline void *zeroed(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static inline void bench_open(struct bench *b, const struct engine_limits *limits)
{
    memset(b, 0, sizeof *b);
    b->limits = limits ? *limits : bench_limits;
    b->mem = zeroed(engine_footprint(&b->limits));
    b->stats = zeroed(b->limits.rules * sizeof *b->stats);
    b->e = engine_new(b->mem, &b->limits, b->stats);
    b->out.capacity = engine_out_capacity(&b->limits);
    b->out.slot = zeroed(b->out.capacity * sizeof *b->out.slot);
}

static inline void bench_close(struct bench *b)
{
    munmap(b->mem, engine_footprint(&b->limits));
    munmap(b->stats, b->limits.rules * sizeof *b->stats);
    munmap(b->out.slot, b->out.capacity * sizeof *b->out.slot);
    tape_free(&b->events);
}

static inline void bench_collect(struct bench *b)
{
    if (b->out.used == 0)
        return;
    struct msg *to = tape_room(&b->events, b->out.used);
    memcpy(to, b->out.slot, b->out.used * sizeof *to);
    b->events.n += b->out.used;
    b->out.used = 0;
}

/* Applies a stamped tape in calls of at most `batch` records (0 = all in one); the events are added to
 * b->events. */
static inline void bench_apply(struct bench *b, const struct tape *t, size_t batch)
{
    for (size_t at = 0; at < t->n;) {
        size_t n = 0;
        for (size_t k = 0; at + n < t->n && (batch == 0 || k < batch); k++)
            n += msg_slot_count(&t->slot[at + n]);
        size_t done = engine_apply(b->e, t->slot + at, n, &b->out);
        assert_true(done <= n);
        assert_true(done > 0 || b->out.used > 0 || engine_is_within(b->e));
        at += done;
        bench_collect(b);
    }
}

/* Without its operands. */
static inline void alert_head(const struct msg *m, struct msg_alert *a)
{
    msg_get(m, 0, a, sizeof *a);
}

static inline int64_t alert_operand(const struct msg *m, unsigned i)
{
    int64_t v;
    msg_get(m, sizeof(struct msg_alert) + 8u * i, &v, 8);
    return v;
}

static inline double bits_double(int64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* A seed from the environment (SEED=…), or the fallback. */
static inline uint64_t seed_or(uint64_t fallback)
{
    const char *s = getenv("SEED");
    return s ? strtoull(s, NULL, 0) : fallback;
}

#endif
