/* Prints that are cancelled, or replaced: sums, bars and prices become what they had been without them, or
 * with the other one in their place. */
#include "core/engine_int.h"

/* ---- sums */

static void take_u64(uint64_t *sum, uint64_t size)
{
    *sum = *sum > size ? *sum - size : 0;
}

/* The sums of the session of a print, NULL if it is in none that is known. */
static struct session_sums *over_of(struct symbol *s, const struct kept_trade *k)
{
    for (unsigned i = 0; k->session_no && i < SESSION_KIND_COUNT; i++)
        if (s->over[i].session_no == k->session_no)
            return &s->over[i];
    return NULL;
}

static bool has_ended(const struct symbol *s, const struct kept_trade *k)
{
    return k->event_ns < s->live_start_ns;
}

/* The live minute's share is added to the day's ended ones when it ends. */
static void sums_take(struct symbol *s, const struct kept_trade *k)
{
    __int128 pv = (__int128)k->price_e9 * k->size;
    take_u64(&s->day_volume, k->size);
    if (k->session_no == s->session_no) {
        take_u64(&s->session_volume, k->size);
        s->session_pv = s->session_pv > pv ? s->session_pv - pv : 0;
    }
    struct session_sums *over = over_of(s, k);
    if (over) {
        take_u64(&over->volume, k->size);
        over->pv -= pv;
    }
    if (has_ended(s, k)) {
        take_u64(&s->volume_of[k->session], k->size);
        s->day_pv -= pv;
    }
}

static bool sums_put(struct symbol *s, const struct kept_trade *k)
{
    __int128 pv = (__int128)k->price_e9 * k->size, session;
    bool in_session = k->session_no == s->session_no;
    uint64_t day;
    if (__builtin_add_overflow(s->day_volume, k->size, &day) ||
        (in_session && __builtin_add_overflow(s->session_pv, pv, &session)))
        return false;
    s->day_volume = day;
    if (in_session) {
        s->session_volume += k->size;
        s->session_pv = session;
    }
    struct session_sums *over = over_of(s, k);
    if (over) {
        over->volume += k->size;
        over->pv += pv;
    }
    if (has_ended(s, k)) {
        s->volume_of[k->session] += k->size;
        s->day_pv += pv;
    }
    return true;
}

/* ---- bars */

static void tally_add(struct tally *t, const struct kept_trade *k)
{
    bool last = k->updates & UPDATES_LAST;
    int64_t p = k->price_e9;
    if ((k->flags & KEPT_PAST) && !t->priced) {
        if (!last)
            return;
        *t = (struct tally){0}; /* the minute had ended without a bar */
    }
    if (last || (k->updates & UPDATES_HIGH_LOW)) {
        t->high_e9 = !t->ranged || p > t->high_e9 ? p : t->high_e9;
        t->low_e9 = !t->ranged || p < t->low_e9 ? p : t->low_e9;
        t->ranged = true;
    }
    if (last) {
        t->open_e9 = t->priced ? t->open_e9 : p;
        t->close_e9 = p;
        t->priced = true;
    }
    t->volume += k->size;
    t->pv += (__int128)p * k->size;
    t->trades++;
}

struct tally minute_tally(const struct engine *e, const struct symbol *s, uint32_t minute)
{
    struct tally t = {0};
    uint32_t i = s->trades.last;
    if (i == NONE)
        return t;
    while (e->trades[i].before != NONE &&
           e->trades[i].trade[0].time_ns >= (int64_t)minute * MINUTE_NS) /* none came before the minute */
        i = e->trades[i].before;
    for (; i != NONE; i = trades_after(e, s, i)) {
        const struct trades_block *b = &e->trades[i];
        for (uint32_t n = 0; n < trades_in(s, b); n++)
            if (b->trade[n].event_ns / MINUTE_NS == minute && b->trade[n].updates &&
                !(b->trade[n].flags & KEPT_CANCELLED))
                tally_add(&t, &b->trade[n]);
    }
    return t;
}

void live_recount(struct symbol *s, const struct tally *t)
{
    s->open_e9 = t->open_e9;
    s->high_e9 = t->high_e9;
    s->low_e9 = t->low_e9;
    s->close_e9 = t->close_e9;
    s->live_volume = t->volume;
    s->live_pv = t->pv;
    s->live_trades = t->priced ? t->trades : 0;
    s->live_unpriced = t->priced ? 0 : t->trades;
    s->live_range = !t->priced && t->ranged;
}

void day_range_recount(const struct engine *e, struct symbol *s)
{
    s->day_high_e9 = s->market_high_e9 = KEY_UNKNOWN;
    s->day_low_e9 = s->market_low_e9 = INT64_MAX;
    for (uint64_t i = s->bars_end; i > s->bars_base; i--) {
        const struct bar *b = bar_at(e, s, i - 1);
        if ((int64_t)b->minute * MINUTE_NS < s->day_start_ns)
            return;
        if (b->trades == 0)
            continue;
        s->day_high_e9 = b->high_e9 > s->day_high_e9 ? b->high_e9 : s->day_high_e9;
        s->day_low_e9 = b->low_e9 < s->day_low_e9 ? b->low_e9 : s->day_low_e9;
        if (b->session != SESSION_MARKET)
            continue;
        s->market_high_e9 = b->high_e9 > s->market_high_e9 ? b->high_e9 : s->market_high_e9;
        s->market_low_e9 = b->low_e9 < s->market_low_e9 ? b->low_e9 : s->market_low_e9;
    }
}

/* A bar without a print left: once it was final it is sent again as empty, at the price before it. It stays
 * where such minutes have bars. */
static void bar_empty(struct engine *e, struct symbol *s, uint64_t i)
{
    struct whole_bar b = bar_get(e, s, i);
    bool final = bar_is_final(e, s, i, b.bar.minute);
    int64_t close_e9 = i > s->bars_base ? bar_at(e, s, i - 1)->close_e9 : b.bar.close_e9;
    b.bar.open_e9 = b.bar.high_e9 = b.bar.low_e9 = b.bar.close_e9 = close_e9;
    b.bar.volume = b.bar.trades = 0;
    bar_pv_set(&b, 0);
    b.rest.revision += final;
    if (e->flat && b.bar.session != SESSION_CLOSED) {
        bar_put(e, s, i, b);
        if (final)
            emit_bar(e, s, b);
        return;
    }
    bar_remove(e, s, i);
    if (!final)
        return;
    emit_bar(e, s, b);
    if (b.rest.revision >= s->emptied_revision)
        s->emptied_revision = b.rest.revision + 1;
}

struct whole_bar bar_filled(struct whole_bar b, const struct tally *t)
{
    b.bar.open_e9 = t->open_e9;
    b.bar.high_e9 = t->high_e9;
    b.bar.low_e9 = t->low_e9;
    b.bar.close_e9 = t->close_e9;
    b.bar.volume = t->volume;
    b.bar.trades = t->trades;
    bar_pv_set(&b, t->pv);
    return b;
}

static void bar_recount(struct engine *e, struct symbol *s, uint32_t minute, const struct tally *t)
{
    bool found;
    uint64_t i = bar_find(e, s, minute, &found);
    if (!found && t->priced && bar_insert(e, s, i, minute)) {
        struct whole_bar b = bar_filled(bar_get(e, s, i), t);
        bar_put(e, s, i, b);
        if (bar_is_final(e, s, i, minute))
            emit_bar(e, s, b);
    } else if (found && !t->priced) {
        if (bar_at(e, s, i)->trades)
            bar_empty(e, s, i);
    } else if (found) {
        struct whole_bar old = bar_get(e, s, i), b = bar_filled(old, t);
        bool revised = bar_is_final(e, s, i, minute) && memcmp(&old, &b, sizeof old);
        b.rest.revision += revised;
        bar_put(e, s, i, b);
        if (revised)
            emit_bar(e, s, b);
    }
    bar_changed(e, s, i);
    day_range_recount(e, s);
}

/* ---- prices */

/* The last sale that has `flags`, NULL if none is kept. */
static const struct kept_trade *last_sale(const struct engine *e, const struct symbol *s, uint8_t flags)
{
    for (uint32_t i = s->trades.last; i != NONE; i = e->trades[i].before)
        for (uint32_t n = trades_in(s, &e->trades[i]); n-- > 0;) {
            const struct kept_trade *t = &e->trades[i].trade[n];
            if (trade_sets_price(t) && (t->flags & flags) == flags)
                return t;
        }
    return NULL;
}

void price_recount(const struct engine *e, struct symbol *s)
{
    const struct kept_trade *t = last_sale(e, s, 0);
    s->price_e9 = t ? t->price_e9 : s->trades.price_e9;
    s->size = t ? t->size : s->trades.size;
    s->trade_ns = t ? t->time_ns : s->trades.trade_ns;
}

/* Event time of the latest last sale. */
static void last_recount(const struct engine *e, struct symbol *s)
{
    int64_t last_ns = s->trades.last_ns;
    for (uint32_t i = s->trades.last; i != NONE; i = e->trades[i].before) {
        const struct trades_block *b = &e->trades[i];
        for (uint32_t n = last_ns / MINUTE_NS <= (int64_t)b->minute_max ? b->n : 0; n-- > 0;)
            if (trade_sets_price(&b->trade[n]) && b->trade[n].event_ns > last_ns)
                last_ns = b->trade[n].event_ns;
    }
    s->last_ns = last_ns;
}

/* The day's open is the first from number `from` on. */
static void open_recount(const struct engine *e, struct symbol *s, uint64_t from)
{
    s->day_open_e9 = KEY_UNKNOWN;
    s->trades.open_no = 0;
    for (uint32_t i = s->trades.first; i != NONE; i = e->trades[i].after) {
        const struct trades_block *b = &e->trades[i];
        for (uint32_t n = 0; b->first + b->n > from && n < b->n; n++)
            if (trade_sets_price(&b->trade[n]) && (b->trade[n].flags & KEPT_OPENS)) {
                s->day_open_e9 = b->trade[n].price_e9;
                s->trades.open_no = b->first + n + 1;
                return;
            }
    }
}

static void market_close_recount(const struct engine *e, struct symbol *s)
{
    const struct kept_trade *t = last_sale(e, s, KEPT_MARKET);
    if (s->day_open_e9 == KEY_UNKNOWN)
        s->market_close_e9 = KEY_UNKNOWN;
    else if (t)
        s->market_close_e9 = t->price_e9;
}

/* The last price of premarket or postmarket, which is over. */
static int64_t session_close(const struct engine *e, const struct symbol *s, uint8_t came_in)
{
    const struct kept_trade *t = last_sale(e, s, came_in);
    return t ? t->price_e9 : KEY_UNKNOWN;
}

/* A print of the symbol's, number `no`, has come or gone. */
static void recount(struct engine *e, struct symbol *s, const struct kept_trade *k, uint64_t no)
{
    uint32_t minute = (uint32_t)(k->event_ns / MINUTE_NS);
    struct tally t = minute_tally(e, s, minute);
    if (has_ended(s, k))
        bar_recount(e, s, minute, &t);
    else
        live_recount(s, &t);
    price_recount(e, s);
    if (e->condition_mask)
        last_recount(e, s);
    uint64_t open_no = s->trades.open_no;
    if ((k->flags & KEPT_OPENS) && (open_no ? open_no >= no + 1 : s->day_open_e9 == KEY_UNKNOWN))
        open_recount(e, s, no);
    if ((k->flags & KEPT_MARKET) && s->session != SESSION_MARKET)
        market_close_recount(e, s);
    if ((k->flags & KEPT_PREMARKET) && s->session != SESSION_PREMARKET)
        s->premarket_close_e9 = session_close(e, s, KEPT_PREMARKET);
    if ((k->flags & KEPT_POSTMARKET) && s->session != SESSION_POSTMARKET)
        s->postmarket_close_e9 = session_close(e, s, KEPT_POSTMARKET);
    s->trades.saved = no < s->trades.saved ? no : s->trades.saved;
    s->rebuild = s->stale = true;
}

void correction_cancel(struct engine *e, struct symbol *s, struct kept_trade *k, uint64_t no)
{
    sums_take(s, k);
    k->flags |= KEPT_CANCELLED;
    s->trades.cancelled_no = no + 1;
    recount(e, s, k, no);
}

bool correction_replace(struct engine *e, struct symbol *s, const struct msg *with, unsigned updates)
{
    uint64_t no = s->trades.cancelled_no - 1;
    struct kept_trade *k = trade_at(e, s, no), was = *k;
    s->trades.cancelled_no = 0;
    k->price_e9 = with->trade.price_e9;
    k->size = updates & UPDATES_VOLUME ? with->trade.size : 0;
    k->updates = (uint8_t)updates;
    if (!sums_put(s, k)) {
        *k = was;
        return false;
    }
    k->flags &= (uint8_t)~KEPT_CANCELLED;
    k->venue = with->venue;
    trade_rename(e, s, no, with->trade.trade_id);
    recount(e, s, k, no);
    return true;
}
