#include "bench/ticks.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/sequencer.h"
#include "net/calendar.h"
#include "net/source.h"

#define DAY_NS  (24 * 60 * MINUTE_NS)
#define CENT_E9 INT64_C(10000000)

enum { COLD_SYMBOLS = 10000, COLD_STEP_NS = 10000, SPARSE_STEP_NS = 2000000, FED = 4096 };

struct ticks {
    uint32_t n_symbols;
    struct msg symbol[COLD_SYMBOLS][3]; /* SYMBOL records */
    /* hot */
    struct msg *tape;
    size_t n, at;
    int64_t shift_ns;
    /* cold */
    int64_t price_e9[COLD_SYMBOLS];
    int64_t now_ns;
    uint64_t random;
    struct sequencer *sequencer;
    struct calendars *calendars;
    struct msg fed[FED];
};

static void add_symbol(struct ticks *t, const char *name)
{
    size_t len = strlen(name);
    struct msg *m = t->symbol[t->n_symbols];
    msg_begin(m, MSG_SYMBOL, t->n_symbols++, MSG_FIRST_BYTES + len);
    m->sym =
        (struct msg_symbol){.bucket = bucket_of(name, len), .name_len = (uint8_t)len, .tick_e9 = CENT_E9};
    msg_put(m, MSG_FIRST_BYTES, name, len);
}

static struct ticks *ticks_new(void)
{
    struct error err;
    struct calendars *calendars = calendars_open("", &err);
    if (!calendars) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    struct ticks *t = aligned_alloc(64, sizeof *t);
    if (!t)
        abort();
    memset(t, 0, sizeof *t);
    t->calendars = calendars;
    struct sequencer_options o = {.symbols_max = COLD_SYMBOLS,
                                  .lateness_ns = SECOND_NS,
                                  .first_seq = 1,
                                  .calendar = calendar_day,
                                  .calendar_ctx = calendars};
    size_t bytes = (sequencer_footprint(&o) + 63) & ~(size_t)63;
    void *mem = aligned_alloc(64, bytes);
    if (!mem)
        abort();
    t->sequencer = sequencer_new(memset(mem, 0, bytes), &o);
    return t;
}

static int read_tape(struct ticks *t, const char *path, struct error *err)
{
    char spec[4200];
    size_t room = 0;
    int got;
    snprintf(spec, sizeof spec, "csv:%s", path);
    struct source *s = source_open(spec, &(struct source_config){0}, err);
    if (!s)
        return -1;
    do {
        if (room - t->n < FED) {
            room = 2 * room + FED;
            struct msg *more = aligned_alloc(64, room * sizeof *more);
            if (!more)
                abort();
            memcpy(more, t->tape, t->n * sizeof *more);
            free(t->tape);
            t->tape = more;
        }
        if ((got = source_read(s, t->tape + t->n, FED)) > 0)
            t->n += (size_t)got;
    } while (got > 0);
    for (uint32_t i = 0; i < s->symbol_count; i++)
        add_symbol(t, s->symbols[i].name);
    if (got == SOURCE_FAILED)
        *err = s->failure;
    source_close(s);
    return got == SOURCE_FAILED || t->n == 0 ? -1 : 0;
}

struct ticks *ticks_hot(const char *tape, struct error *err)
{
    struct ticks *t = ticks_new();
    error_set(err, "%s: no trades", tape);
    if (read_tape(t, tape, err) == 0)
        return t;
    ticks_close(t);
    return NULL;
}

struct ticks *ticks_cold(void)
{
    struct ticks *t = ticks_new();
    t->random = 1;
    t->now_ns = INT64_C(1381239000) * SECOND_NS; /* 2013-10-08 13:30 UTC, the market's open */
    for (unsigned i = 0; i < COLD_SYMBOLS; i++) {
        char name[16];
        snprintf(name, sizeof name, "S%04u", i);
        add_symbol(t, name);
        t->price_e9[i] = (5000 + (int64_t)i) * CENT_E9;
    }
    return t;
}

void ticks_close(struct ticks *t)
{
    free(t->tape);
    free(t->sequencer);
    calendars_close(t->calendars);
    free(t);
}

uint32_t ticks_symbols(const struct ticks *t)
{
    return t->n_symbols;
}

static void stamp(struct ticks *t, const struct msg *in, size_t n, struct msg *out, size_t capacity,
                  size_t *used)
{
    size_t taken = sequencer_apply(t->sequencer, in, n, out, capacity, used);
    assert(taken == n);
}

size_t ticks_open(struct ticks *t, const struct msg *first, size_t first_n, struct msg *out, size_t capacity)
{
    size_t used = 0;
    stamp(t, first, first_n, out, capacity, &used);
    for (uint32_t i = 0; i < t->n_symbols; i++)
        stamp(t, t->symbol[i], msg_slot_count(t->symbol[i]), out, capacity, &used);
    return used;
}

static uint32_t draw(struct ticks *t) /* xorshift64* */
{
    t->random ^= t->random >> 12;
    t->random ^= t->random << 25;
    t->random ^= t->random >> 27;
    return (uint32_t)(t->random * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static struct msg cold_tick(struct ticks *t, bool sparse)
{
    uint32_t r = draw(t), id = (uint32_t)((uint64_t)draw(t) * COLD_SYMBOLS >> 32);
    /* one tick in six moves the price: on the tape it is 12 % (BAC), 15 % (SPY), 17 % (AIG), 41 % (IBM) */
    t->price_e9[id] += r % 12 == 0 ? CENT_E9 : r % 12 == 1 ? -CENT_E9 : 0;
    t->now_ns += sparse ? SPARSE_STEP_NS : COLD_STEP_NS;
    return (struct msg){.symbol = id,
                        .type = MSG_TRADE,
                        .event_ns = t->now_ns,
                        .recv_ns = t->now_ns,
                        .trade = {.price_e9 = t->price_e9[id], .size = 1 + (r >> 8) % 500}};
}

static struct msg hot_tick(struct ticks *t)
{
    struct msg m = t->tape[t->at++];
    int64_t day = m.event_ns / DAY_NS;
    m.event_ns += t->shift_ns;
    if (t->at == t->n) { /* the next day is no Saturday or Sunday; 1970 began on a Thursday */
        t->at = 0;
        do
            t->shift_ns += DAY_NS;
        while ((day + t->shift_ns / DAY_NS + 4) % 7 % 6 == 0);
    }
    return m;
}

size_t ticks_next(struct ticks *t, bool sparse, struct msg *out, size_t capacity)
{
    size_t used = 0;
    while (used + 2 * SEQUENCER_ROOM <= capacity) {
        size_t n = FED / 4;
        for (size_t i = 0; i < n; i++)
            t->fed[i] = t->tape ? hot_tick(t) : cold_tick(t, sparse);
        for (size_t at = 0; at < n;) {
            size_t taken = sequencer_apply(t->sequencer, t->fed + at, n - at, out, capacity, &used);
            assert(taken); /* `capacity` has room for far more than a second's CLOCKs */
            at += taken;
        }
    }
    return used;
}
