/* Time, sessions and bars of a symbol. */
#include "core/engine_int.h"

/* ---- sessions */

struct session_at session_find(const struct calendar *c, int64_t t)
{
    struct session_at at = {.start_ns = INT64_MIN, .end_ns = NEVER_NS, .day_ns = INT64_MIN};
    for (uint32_t d = c->n; d-- > 0;) {
        const struct trading_day *day = &c->day[d];
        if (t < day->t[0]) {
            at.end_ns = day->t[0];
            continue;
        }
        int k = t < day->t[1] ? 0 : t < day->t[2] ? 1 : t < day->t[3] ? 2 : 3;
        static const enum session_kind kinds[] = {SESSION_PREMARKET, SESSION_MARKET, SESSION_POSTMARKET,
                                                  SESSION_CLOSED};
        at.start_ns = day->t[k];
        at.end_ns = k < 3 ? day->t[k + 1] : at.end_ns;
        at.day_ns = day->t[0];
        at.kind = kinds[k];
        return at;
    }
    return at;
}

/* ---- splits */

/* Halves go up; what was above 0 stays it. */
static void split_price(int64_t *p, const struct split *x)
{
    unsigned __int128 v = *p > 0 ? ((unsigned __int128)*p * x->from + x->to / 2) / x->to : 0;
    if (*p > 0)
        *p = v == 0 ? 1 : v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static void split_size(uint64_t *size, const struct split *x)
{
    unsigned __int128 v = ((unsigned __int128)*size * x->to + x->from / 2) / x->from;
    *size = v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static void split_bar(struct bar *b, const struct split *x)
{
    split_price(&b->open_e9, x);
    split_price(&b->high_e9, x);
    split_price(&b->low_e9, x);
    split_price(&b->close_e9, x);
    split_size(&b->volume, x);
}

/* Sums of price x size are what they were. Of the day that begins there is nothing yet. */
static void split_symbol(struct engine *e, struct symbol *s, const struct split *x)
{
    ahead_forget(e, s);
    for (uint64_t i = s->bars_base; i < s->bars_end; i++)
        split_bar(bar_at(e, s, i), x);
    for (uint32_t i = 0; i < s->daily_end; i++)
        split_bar(&daily_of(e, s)[i], x);
    s->daily_saved = false;
    split_price(&s->price_e9, x);
    split_price(&s->bid_e9, x);
    split_price(&s->ask_e9, x);
    split_price(&s->prev_close_e9, x);
    split_size(&s->size, x);
    e->count.splits++;
}

/* A trading day has begun. Bars before it that are not final become so: they are sent as they were traded. */
static void splits_apply(struct engine *e, struct symbol *s)
{
    uint8_t n = 0;
    while (n < s->n_splits && s->split[n].ex_ns <= s->day_start_ns)
        n++;
    if (n == 0)
        return;
    for (; s->provisional; s->provisional--)
        emit_bar(e, s, bar_get(e, s, s->bars_end - s->provisional));
    final_update(e, s);
    for (uint8_t i = 0; i < n; i++)
        split_symbol(e, s, &s->split[i]);
    s->n_splits -= n;
    memmove(s->split, s->split + n, s->n_splits * sizeof *s->split);
    s->split_ns = s->day_start_ns;
    s->saved = 0;
}

bool split_wait(struct symbol *s, const struct split *split)
{
    uint8_t at = s->n_splits;
    if (at == SPLITS_WAITING || (s->day_start_ns != INT64_MAX && s->day_start_ns >= split->ex_ns))
        return false;
    for (; at > 0 && s->split[at - 1].ex_ns > split->ex_ns; at--)
        s->split[at] = s->split[at - 1];
    s->split[at] = *split;
    s->n_splits++;
    return true;
}

/* The symbol's minute has reached the end of its session, or the calendar has changed. */
static void session_switch(struct engine *e, struct symbol *s)
{
    struct session_at at = session_find(&e->calendar[s->calendar], s->live_start_ns);
    s->session_end_ns = at.end_ns;
    ahead_plan(e, s);
    if (at.start_ns == s->session_start_ns && at.kind == s->session)
        return;
    if (s->session == SESSION_MARKET && s->day_open_e9 != KEY_UNKNOWN) /* it has traded there */
        s->market_close_e9 = s->price_e9;
    if (s->price_e9 != KEY_UNKNOWN && s->trade_ns >= s->session_start_ns) {
        if (s->session == SESSION_PREMARKET)
            s->premarket_close_e9 = s->price_e9;
        else if (s->session == SESSION_POSTMARKET)
            s->postmarket_close_e9 = s->price_e9;
    }
    if (at.day_ns != s->day_start_ns)
        daily_finish(e, s);
    s->over[s->session] = (struct session_sums){s->session_pv, s->session_volume, s->session_no};
    s->session_start_ns = at.start_ns;
    s->session = (uint8_t)at.kind;
    s->session_pv = 0;
    s->session_volume = 0;
    s->session_no++;
    s->stale = true;
    if (at.day_ns == s->day_start_ns)
        return;
    s->day_start_ns = at.day_ns;
    s->day_volume = 0;
    s->market_close_e9 = s->day_open_e9 = s->day_high_e9 = s->market_high_e9 = KEY_UNKNOWN;
    s->premarket_close_e9 = s->postmarket_close_e9 = KEY_UNKNOWN;
    s->day_low_e9 = s->market_low_e9 = INT64_MAX;
    s->day_pv = 0;
    memset(s->volume_of, 0, sizeof s->volume_of);
    daily_settle(e, s);
    if (s->n_splits)
        splits_apply(e, s);
    if (e->corrections)
        trades_forget(e, s);
    s->restart = true;
}

int64_t bar_end(const struct engine *e, const struct symbol *s, int64_t t, uint32_t minutes)
{
    struct session_at at = session_find(&e->calendar[s->calendar], t);
    int64_t length = minutes * MINUTE_NS, since = at.start_ns == INT64_MIN ? 0 : at.start_ns;
    int64_t end = since + ((t - since) / length + 1) * length;
    return end < at.end_ns ? end : at.end_ns;
}

/* What happened in a minute of the trading day that has ended. */
static void day_add(struct symbol *s, enum session_kind session, int64_t high_e9, int64_t low_e9,
                    uint64_t volume, __int128 pv)
{
    s->day_high_e9 = high_e9 > s->day_high_e9 ? high_e9 : s->day_high_e9;
    s->day_low_e9 = low_e9 < s->day_low_e9 ? low_e9 : s->day_low_e9;
    if (session == SESSION_MARKET) {
        s->market_high_e9 = high_e9 > s->market_high_e9 ? high_e9 : s->market_high_e9;
        s->market_low_e9 = low_e9 < s->market_low_e9 ? low_e9 : s->market_low_e9;
    }
    s->volume_of[session] += volume;
    s->day_pv += pv;
}

void calendar_add(struct engine *e, uint32_t id, const struct trading_day *day)
{
    struct calendar *c = &e->calendar[id];
    uint32_t at = 0;
    while (at < c->n && c->day[at].t[0] < day->t[0])
        at++;
    if (at == c->n || c->day[at].t[0] != day->t[0]) {
        if (c->n == CALENDAR_DAYS) {
            if (at == 0)
                return;
            memmove(c->day, c->day + 1, --at * sizeof *c->day);
            c->n--;
        }
        memmove(&c->day[at + 1], &c->day[at], (c->n - at) * sizeof *c->day);
        c->n++;
    }
    c->day[at] = *day;
    for (uint32_t i = 0; i < e->n_symbols; i++)
        if (e->symbol[i].calendar == id) {
            e->symbol[i].session_end_ns = INT64_MIN; /* look again at the next roll */
            ahead_forget(e, &e->symbol[i]);
        }
    for (int b = 0; b < BUCKET_COUNT; b++)
        e->bucket[b].next_ns = INT64_MIN;
}

/* ---- bars */

void wake_update(struct engine *e, struct symbol *s)
{
    struct bucket *b = &e->bucket[s->bucket];
    int64_t roll_at = s->live_start_ns + MINUTE_NS;
    s->wake_ns = roll_at < s->final_ns ? roll_at : s->final_ns;
    if (s->wake_ns < b->next_ns)
        b->next_ns = s->wake_ns;
    if (s->timed)
        b->next_ns = INT64_MIN;
}

void final_update(struct engine *e, struct symbol *s)
{
    s->final_ns =
        s->provisional
            ? ((int64_t)bar_at(e, s, s->bars_end - s->provisional)->minute + 1) * MINUTE_NS + e->lateness_ns
            : NEVER_NS;
}

/* Emits the bars that the symbol's time has made final. */
static void finalize(struct engine *e, struct symbol *s)
{
    while (s->final_ns <= s->time_ns) {
        emit_bar(e, s, bar_get(e, s, s->bars_end - s->provisional));
        s->provisional--;
        final_update(e, s);
    }
}

/* The minute ends without a last sale, so without a bar: what it traded stays in the sums of session and day.
 */
SELDOM static void unpriced_drop(struct engine *e, struct symbol *s)
{
    e->count.unpriced_prints += s->live_unpriced;
    day_add(s, s->session, KEY_UNKNOWN, INT64_MAX, s->live_volume, s->live_pv);
    s->live_unpriced = 0;
    s->live_range = false;
    s->live_volume = 0;
    s->live_pv = 0;
}

void bars_drop(struct engine *e, struct symbol *s, uint64_t n)
{
    struct minute_bar *m = minute_bars_of(e, s);
    uint64_t left = s->bars_end - s->bars_base - n;
    for (uint64_t i = 0; i < left; i++)
        if (unlikely(m[n + i].bar.wide))
            *bar_rest_at(e, s, s->bars_base + i) = *bar_rest_at(e, s, s->bars_base + n + i);
    memmove(m, m + n, left * sizeof *m);
    e->much = true;
    s->bars_base += n;
    if (s->bars_base > s->bars_first)
        s->rebuild = true; /* a day of more minutes than are kept: start from the oldest that is */
}

/* Before one more bar is kept. Of those before a trading day only so many stay. */
static void bars_make_room(struct engine *e, struct symbol *s)
{
    uint64_t n = s->bars_end - s->bars_base, stay = e->keep > BARS_KEPT_MIN ? e->keep : BARS_KEPT_MIN;
    bool first = n > stay && s->live_start_ns >= s->day_start_ns &&
                 (int64_t)bar_at(e, s, s->bars_end - 1)->minute * MINUTE_NS < s->day_start_ns;
    if (first)
        bars_drop(e, s, n - stay);
    else if (n >= e->limits.bars)
        bars_drop(e, s, e->limits.bars / BARS_DROP_PARTS);
}

/* Moves on to the minute of time t: the live bar ends, windows shift, sessions and days switch. */
static void roll(struct engine *e, struct symbol *s, int64_t t)
{
    bool traded = s->live_trades != 0, pushed = traded || makes_flat(e, s);
    if (!traded && s->live_unpriced)
        unpriced_drop(e, s);
    if (!traded && pushed)
        s->open_e9 = s->high_e9 = s->low_e9 = s->close_e9 = s->price_e9;
    int64_t was_ns = s->live_start_ns;
    if (pushed) {
        bars_make_room(e, s);
        struct whole_bar b = {.bar = {.open_e9 = s->open_e9,
                                      .high_e9 = s->high_e9,
                                      .low_e9 = s->low_e9,
                                      .close_e9 = s->close_e9,
                                      .volume = s->live_volume,
                                      .minute = (uint32_t)(s->live_start_ns / MINUTE_NS) & MINUTE_MASK,
                                      .session = s->session & 3,
                                      .trades = s->live_trades}};
        bar_pv_set(&b, s->live_pv);
        bar_put(e, s, s->bars_end++, b);
        if (traded)
            day_add(s, s->session, s->high_e9, s->low_e9, s->live_volume, s->live_pv);
        s->provisional++;
        s->live_trades = 0;
        s->live_volume = 0;
        s->live_pv = 0;
        final_update(e, s);
    }
    s->live_start_ns = t / MINUTE_NS * MINUTE_NS;
    if (s->live_start_ns >= s->session_end_ns)
        session_switch(e, s);
    if (!s->rebuild)
        metrics_roll(e, s, pushed);
    if (unlikely(s->fors != NONE))
        spans_bar_end(e, s, was_ns);
    s->stale = true;
    if (e->watched)
        watch_minute(e, s, pushed);
}

void advance(struct engine *e, struct symbol *s, int64_t t)
{
    s->time_ns = t;
    if ((uint64_t)t - (uint64_t)s->live_start_ns >= MINUTE_NS) {
        bool traded = s->live_trades != 0;
        roll(e, s, t);
        if (unlikely(traded && rules_on_close(e, s))) {
            rules_close(e, s);
            emit_fired(e, s, true);
        }
    }
    finalize(e, s);
    wake_update(e, s);
}

static void bar_add(struct whole_bar *whole, int64_t p, uint64_t size, unsigned updates)
{
    struct bar *b = &whole->bar;
    if (b->volume > UINT64_MAX - size || b->trades == UINT32_MAX)
        return; /* only a hostile tape has such a minute */
    if (updates & UPDATES_HIGH_LOW) {
        b->high_e9 = p > b->high_e9 ? p : b->high_e9;
        b->low_e9 = p < b->low_e9 ? p : b->low_e9;
    }
    if (updates & UPDATES_LAST)
        b->close_e9 = p;
    b->volume += size;
    bar_pv_set(whole, bar_pv(whole) + (__int128)p * size);
    b->trades++;
}

uint64_t bar_find(const struct engine *e, const struct symbol *s, uint32_t minute, bool *found)
{
    uint64_t oldest = s->bars_base, i = s->bars_end;
    while (i > oldest && bar_at(e, s, i - 1)->minute > minute)
        i--;
    *found = i > oldest && bar_at(e, s, i - 1)->minute == minute;
    return i - *found;
}

/* What was final before the lateness grew stays it. */
bool bar_is_final(const struct engine *e, const struct symbol *s, uint64_t i, uint32_t minute)
{
    return i < s->bars_end - s->provisional ||
           ((int64_t)minute + 1) * MINUTE_NS + e->lateness_ns <= s->time_ns;
}

bool bar_insert(struct engine *e, struct symbol *s, uint64_t i, uint32_t minute)
{
    bool final = bar_is_final(e, s, i, minute);
    if (s->bars_end - s->bars_base >= e->limits.bars)
        bars_drop(e, s, e->limits.bars / BARS_DROP_PARTS);
    if (i < s->bars_base || (i == s->bars_base && s->bars_base > 0))
        return false;
    for (uint64_t j = s->bars_end++; j > i; j--)
        bar_put(e, s, j, bar_get(e, s, j - 1));
    s->provisional += !final;
    enum session_kind session = session_find(&e->calendar[s->calendar], (int64_t)minute * MINUTE_NS).kind;
    bar_put(e, s, i,
            (struct whole_bar){.bar = {.minute = minute & MINUTE_MASK, .session = session & 3},
                               .rest = {.revision = s->emptied_revision}});
    return true;
}

void bar_remove(struct engine *e, struct symbol *s, uint64_t i)
{
    s->provisional -= i >= s->bars_end - s->provisional;
    for (uint64_t j = i; j + 1 < s->bars_end; j++)
        bar_put(e, s, j, bar_get(e, s, j + 1));
    s->bars_end--;
}

void bar_changed(struct engine *e, struct symbol *s, uint64_t i)
{
    s->saved = i < s->saved ? i : s->saved;
    ahead_forget(e, s);
    final_update(e, s);
    wake_update(e, s);
    s->rebuild = s->stale = true;
}

bool print_into_past(struct engine *e, struct symbol *s, int64_t ev, int64_t p, uint64_t size,
                     unsigned updates)
{
    uint32_t minute = (uint32_t)(ev / MINUTE_NS);
    bool found;
    uint64_t i = bar_find(e, s, minute, &found);
    bool late = ev < s->split_ns || bar_is_final(e, s, i, minute);
    if (late)
        e->count.late_prints++;
    else
        e->count.out_of_order_prints++;
    if (ev < s->split_ns) { /* its bars are those of other shares */
        e->count.late_unkept++;
        return true;
    }
    bool traded = found && bar_at(e, s, i)->trades;
    bool ranges = traded ? updates & UPDATES_HIGH_LOW : updates & UPDATES_LAST;
    if (ev < s->day_start_ns)
        daily_late(e, s, ev, p, size, ranges);
    else
        day_add(s, session_find(&e->calendar[s->calendar], ev).kind, ranges ? p : KEY_UNKNOWN,
                ranges ? p : INT64_MAX, size, (__int128)p * size);
    if (!traded && !(updates & UPDATES_LAST)) {
        e->count.unpriced_prints++;
        s->stale = true; /* the sums of session and day have changed */
        return late;
    }
    if (!found && !bar_insert(e, s, i, minute)) {
        e->count.late_unkept++;
        return late;
    }
    struct whole_bar b = bar_get(e, s, i);
    if (!traded)
        b.bar.open_e9 = b.bar.high_e9 = b.bar.low_e9 = p;
    bar_add(&b, p, size, updates);
    b.rest.revision += found && late;
    bar_put(e, s, i, b);
    if (late)
        emit_bar(e, s, b);
    bar_changed(e, s, i);
    return late;
}
