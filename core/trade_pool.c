/* The prints of the trading day, kept for the ones that are cancelled: blocks out of one pool, a list for
 * each symbol. A full pool gives up its oldest block, whosever it is. */
#include "core/engine_int.h"

void trades_open(struct engine *e, void *mem)
{
    e->trades = mem;
    e->trades_blocks = trades_blocks(&e->limits);
    e->trades_free = e->trades_oldest = e->trades_newest = NONE;
}

void trades_symbol_new(struct symbol *s)
{
    s->trades = (struct kept){.first = NONE,
                              .last = NONE,
                              .price_e9 = s->price_e9,
                              .trade_ns = s->trade_ns,
                              .last_ns = s->last_ns,
                              .size = s->size};
}

static uint64_t block_up(uint64_t no)
{
    return (no + TRADES_BLOCK - 1) / TRADES_BLOCK * TRADES_BLOCK;
}

/* Out of the list of all by age. */
static void age_unlink(struct engine *e, struct trades_block *b)
{
    *(b->older == NONE ? &e->trades_oldest : &e->trades[b->older].newer) = b->newer;
    *(b->newer == NONE ? &e->trades_newest : &e->trades[b->newer].older) = b->older;
    b->symbol = NONE;
}

/* Takes the block out of both lists, and gives it back. */
static void release(struct engine *e, struct symbol *s, uint32_t block)
{
    struct trades_block *b = &e->trades[block];
    *(b->before == NONE ? &s->trades.first : &e->trades[b->before].after) = b->after;
    *(b->after == NONE ? &s->trades.last : &e->trades[b->after].before) = b->before;
    age_unlink(e, b);
    b->after = e->trades_free;
    e->trades_free = block;
}

/* A symbol's first block goes. What its prints were the last of is remembered. */
static void drop(struct engine *e, uint32_t block)
{
    const struct trades_block *b = &e->trades[block];
    struct symbol *s = &e->symbol[b->symbol];
    struct kept *k = &s->trades;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct kept_trade *t = &b->trade[i];
        if (!trade_sets_price(t))
            continue;
        k->price_e9 = t->price_e9;
        k->trade_ns = t->time_ns;
        k->size = t->size;
        k->last_ns = t->event_ns > k->last_ns ? t->event_ns : k->last_ns;
    }
    uint64_t next = b->first + b->n;
    k->open_no = k->open_no > next ? k->open_no : 0;
    k->cancelled_no = k->cancelled_no > next ? k->cancelled_no : 0;
    k->whole = b->minute_max + 1 > k->whole ? b->minute_max + 1 : k->whole;
    release(e, s, block);
    s->stale = true; /* windows of prints may have begun in it */
    prints_void(e, s);
    if (k->last == NONE) /* it was not full: the next one begins a block */
        k->end = block_up(k->end);
}

static uint32_t take(struct engine *e)
{
    if (e->trades_free == NONE && e->trades_used < e->trades_blocks)
        return e->trades_used++;
    if (e->trades_free == NONE) {
        e->count.trades_dropped += e->trades[e->trades_oldest].n;
        drop(e, e->trades_oldest);
    }
    uint32_t block = e->trades_free;
    e->trades_free = e->trades[block].after;
    if (e->trades[block].symbol != NONE) /* it was forgotten, with all of its symbol's */
        age_unlink(e, &e->trades[block]);
    return block;
}

struct trades_block *trades_append(struct engine *e, struct symbol *s)
{
    uint32_t block = take(e); /* which may have been the symbol's own first */
    struct trades_block *b = &e->trades[block];
    b->before = s->trades.last;
    b->after = NONE;
    b->older = e->trades_newest;
    b->newer = NONE;
    b->symbol = place_of(e, s);
    b->n = b->minute_max = 0;
    b->first = s->trades.end;
    b->id_min = UINT64_MAX;
    b->id_max = b->moments = 0;
    *(s->trades.last == NONE ? &s->trades.first : &e->trades[s->trades.last].after) = block;
    *(e->trades_newest == NONE ? &e->trades_oldest : &e->trades[e->trades_newest].newer) = block;
    s->trades.last = e->trades_newest = block;
    return b;
}

uint32_t trades_block_of(const struct engine *e, const struct symbol *s, uint64_t no)
{
    for (uint32_t i = s->trades.last; i != NONE && no < s->trades.end; i = e->trades[i].before)
        if (no >= e->trades[i].first)
            return i;
    return NONE;
}

static struct trades_block *block_of_trade(const struct engine *e, const struct symbol *s, uint64_t no)
{
    uint32_t block = trades_block_of(e, s, no);
    return block == NONE ? NULL : &e->trades[block];
}

struct kept_trade *trade_at(const struct engine *e, const struct symbol *s, uint64_t no)
{
    struct trades_block *b = block_of_trade(e, s, no);
    return b ? &b->trade[no % TRADES_BLOCK] : NULL;
}

void trade_rename(struct engine *e, struct symbol *s, uint64_t no, uint64_t id)
{
    struct trades_block *b = block_of_trade(e, s, no);
    b->trade[no % TRADES_BLOCK].id = id;
    b->id_min = id < b->id_min ? id : b->id_min;
    b->id_max = id > b->id_max ? id : b->id_max;
}

/* Its minute's prints are all there, and in the sums of the day at hand. */
static bool can_be_cancelled(const struct symbol *s, const struct kept_trade *t)
{
    return t->event_ns >= s->day_start_ns && t->event_ns / MINUTE_NS >= s->trades.whole &&
           !(t->flags & KEPT_CANCELLED);
}

struct kept_trade *trade_find(const struct engine *e, const struct symbol *s, const struct msg *m,
                              uint64_t *no)
{
    uint64_t id = m->cancel.trade_id;
    for (uint32_t i = s->trades.last; i != NONE && id; i = e->trades[i].before) {
        struct trades_block *b = &e->trades[i];
        for (uint32_t n = id >= b->id_min && id <= b->id_max ? b->n : 0; n-- > 0;) {
            struct kept_trade *t = &b->trade[n];
            if (t->id != id || (m->venue && t->venue && t->venue != m->venue) || !can_be_cancelled(s, t))
                continue;
            *no = b->first + n;
            return t;
        }
    }
    return NULL;
}

/* In one step, however many they are: their blocks leave the list by age when they are taken again. */
void trades_forget(struct engine *e, struct symbol *s)
{
    struct kept k = s->trades;
    if (k.first != NONE) {
        e->trades[k.last].after = e->trades_free;
        e->trades_free = k.first;
        k.whole = k.latest + 1 > k.whole ? k.latest + 1 : k.whole;
    }
    trades_symbol_new(s);
    prints_void(e, s);
    s->trades.whole = k.whole;
    s->trades.end = s->trades.saved = block_up(k.end);
}

void trades_release_first(struct engine *e, struct symbol *s)
{
    release(e, s, s->trades.first);
}

void trades_cut(struct engine *e, struct symbol *s, uint64_t no)
{
    uint64_t goes_on = no;
    if (no > s->trades.end || (s->trades.first != NONE && no < e->trades[s->trades.first].first))
        no = 0; /* nothing that was there goes on */
    while (s->trades.last != NONE && e->trades[s->trades.last].first >= no)
        release(e, s, s->trades.last);
    if (s->trades.last != NONE)
        e->trades[s->trades.last].n = (uint32_t)(no - e->trades[s->trades.last].first);
    moments_cut(e, s, no);
    s->trades.end = s->trades.last == NONE ? goes_on : no;
}
