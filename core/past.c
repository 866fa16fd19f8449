/* A symbol as of an earlier message of the trading day: of the prints that had come by then and are not
 * cancelled, with the quote, the halt and the time of then. It stands at a place of its own, with bars and
 * metrics of its own, so that the engine's functions compute its values.
 *
 * Sums are those of now less what has come since; a bar that prints have joined since is made anew of those
 * before. Left as they are now: attributes, daily bars, bars of earlier days, bars of which not all prints
 * are kept. */
#include "core/engine_int.h"

/* Prints that count, from number `end` on. */
static bool is_later(const struct trades_block *b, uint32_t n, uint64_t end)
{
    return b->first + n >= end && !(b->trade[n].flags & KEPT_CANCELLED);
}

static void sums_before(const struct engine *e, const struct symbol *s, struct symbol *x, uint64_t end)
{
    for (uint32_t i = s->trades.last; i != NONE; i = e->trades[i].before) {
        const struct trades_block *b = &e->trades[i];
        if (b->first + b->n <= end && b->trade[b->n - 1].time_ns < x->live_start_ns)
            return; /* all it has was ended then */
        for (uint32_t n = 0; n < b->n; n++) {
            const struct kept_trade *k = &b->trade[n];
            __int128 pv = (__int128)k->price_e9 * k->size;
            bool later = is_later(b, n, end);
            if (later && k->session_no && k->session_no == x->session_no) {
                x->session_volume -= k->size;
                x->session_pv -= pv;
            }
            if ((k->flags & KEPT_CANCELLED) || k->event_ns < s->day_start_ns)
                continue;
            x->day_volume -= later ? k->size : 0;
            if (k->event_ns < s->live_start_ns && (later || k->event_ns >= x->live_start_ns)) {
                x->volume_of[k->session] -= k->size;
                x->day_pv -= pv;
            }
        }
    }
}

/* The session at hand then: its sums, as they are now. False if they are not known. */
static bool session_then(const struct engine *e, const struct symbol *s, struct symbol *x, uint32_t no)
{
    struct session_at at = session_find(&e->calendar[s->calendar], x->live_start_ns);
    if (at.day_ns != s->day_start_ns)
        return false;
    x->session = (uint8_t)at.kind;
    x->session_start_ns = at.start_ns;
    x->session_end_ns = at.end_ns;
    x->session_no = no;
    if (at.kind != SESSION_POSTMARKET && at.kind != SESSION_CLOSED)
        x->market_close_e9 = KEY_UNKNOWN;
    if (at.kind == SESSION_PREMARKET)
        x->premarket_close_e9 = KEY_UNKNOWN;
    if (at.kind != SESSION_CLOSED)
        x->postmarket_close_e9 = KEY_UNKNOWN;
    if (no == s->session_no)
        return true;
    if (s->over[at.kind].session_no != no)
        return false;
    x->session_pv = s->over[at.kind].pv;
    x->session_volume = s->over[at.kind].volume;
    return true;
}

/* A minute's bar has prints of later: it is what those before make, or was flat, or was not there. */
static void bar_before(struct engine *e, struct symbol *x, uint32_t minute)
{
    bool found;
    uint64_t i = bar_find(e, x, minute, &found);
    if (!found || minute < x->trades.whole)
        return;
    struct whole_bar b = bar_get(e, x, i);
    struct tally t = minute_tally(e, x, minute);
    if (t.priced) {
        bar_put(e, x, i, bar_filled(b, &t));
    } else if (e->flat && b.bar.session != SESSION_CLOSED && i > x->bars_base) {
        b.bar.open_e9 = b.bar.high_e9 = b.bar.low_e9 = b.bar.close_e9 = bar_at(e, x, i - 1)->close_e9;
        b.bar.volume = b.bar.trades = 0;
        bar_pv_set(&b, 0);
        bar_put(e, x, i, b);
    } else {
        bar_remove(e, x, i);
    }
}

static void bars_before(struct engine *e, const struct symbol *s, struct symbol *x, uint64_t end)
{
    uint64_t i = s->bars_base;
    x->provisional = 0;
    for (; i < s->bars_end && (int64_t)bar_at(e, s, i)->minute * MINUTE_NS < x->live_start_ns; i++)
        bar_put(e, x, i, bar_get(e, s, i));
    x->bars_end = i;
    for (uint32_t k = s->trades.last; k != NONE; k = e->trades[k].before) {
        const struct trades_block *b = &e->trades[k];
        if (b->first + b->n <= end)
            return;
        for (uint32_t n = 0; n < b->n; n++)
            if (is_later(b, n, end) && b->trade[n].event_ns < x->live_start_ns &&
                b->trade[n].event_ns >= s->day_start_ns)
                bar_before(e, x, (uint32_t)(b->trade[n].event_ns / MINUTE_NS));
    }
}

struct symbol *past_make(struct engine *e, const struct symbol *s, const struct moment *m, uint64_t end)
{
    struct symbol *x = past_place(e);
    *x = *s;
    memcpy(e->name[place_of(e, x)], e->name[place_of(e, s)], sizeof e->name[0]);
    *attributes_of(e, x) = *attributes_of(e, s);
    memcpy(daily_of(e, x), daily_of(e, s), s->n_daily * sizeof(struct bar));
    x->time_ns = m->time_ns;
    x->live_start_ns = m->time_ns / MINUTE_NS * MINUTE_NS;
    x->bid_e9 = m->bid_e9;
    x->ask_e9 = m->ask_e9;
    x->halted = m->halted;
    if (!session_then(e, s, x, m->session_no))
        return NULL;
    x->trades.last = trades_block_of(e, s, end - 1);
    x->trades.first = x->trades.last == NONE ? NONE : s->trades.first;
    x->trades.end = end;
    sums_before(e, s, x, end);
    bars_before(e, s, x, end);
    struct tally live = minute_tally(e, x, (uint32_t)(x->live_start_ns / MINUTE_NS));
    live_recount(x, &live);
    day_range_recount(e, x);
    price_recount(e, x);
    if (s->trades.open_no > end)
        x->day_open_e9 = KEY_UNKNOWN;
    return x;
}
