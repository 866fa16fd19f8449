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

/* The symbol's minute has reached the end of its session, or the calendar has changed. */
static void session_switch(struct engine *e, struct symbol *s)
{
    struct session_at at = session_find(&e->calendar[s->calendar], s->live_start_ns);
    s->session_end_ns = at.end_ns;
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
    s->session_start_ns = at.start_ns;
    s->session = (uint8_t)at.kind;
    s->session_pv = 0;
    s->session_volume = 0;
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
    s->restart = true;
    daily_settle(e, s);
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
        if (e->symbol[i].calendar == id)
            e->symbol[i].session_end_ns = INT64_MIN; /* look again at the next roll */
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
        emit_bar(e, s, bar_at(e, s, s->bars_end - s->provisional));
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

/* Moves on to the minute of time t: the live bar ends, windows shift, sessions and days switch. */
static void roll(struct engine *e, struct symbol *s, int64_t t)
{
    bool pushed = s->live_trades != 0;
    int64_t was_ns = s->live_start_ns;
    if (pushed) {
        if (s->bars_end - s->bars_first >= e->limits.bars)
            s->rebuild = true; /* a day of more minutes than are kept: start from the oldest that is */
        *bar_at(e, s, s->bars_end++) = (struct bar){.pv = s->live_pv,
                                                    .open_e9 = s->open_e9,
                                                    .high_e9 = s->high_e9,
                                                    .low_e9 = s->low_e9,
                                                    .close_e9 = s->close_e9,
                                                    .volume = s->live_volume,
                                                    .minute = (uint32_t)(s->live_start_ns / MINUTE_NS),
                                                    .session = s->session,
                                                    .trades = s->live_trades};
        day_add(s, s->session, s->high_e9, s->low_e9, s->live_volume, s->live_pv);
        s->provisional++;
        s->live_trades = 0;
        s->live_volume = 0;
        s->live_pv = 0;
        final_update(e, s);
    } else if (s->live_unpriced) {
        unpriced_drop(e, s);
    }
    s->live_start_ns = t / MINUTE_NS * MINUTE_NS;
    if (s->live_start_ns >= s->session_end_ns)
        session_switch(e, s);
    if (!s->rebuild)
        metrics_roll(e, s, pushed);
    if (unlikely(s->fors != NONE))
        spans_bar_end(e, s, was_ns);
    s->stale = true;
}

void advance(struct engine *e, struct symbol *s, int64_t t)
{
    s->time_ns = t;
    if ((uint64_t)t - (uint64_t)s->live_start_ns >= MINUTE_NS) {
        bool traded = s->live_trades != 0;
        roll(e, s, t);
        if (unlikely(traded && rules_on_close(e, s))) {
            rules_close(e, s);
            emit_fired(e, s);
        }
    }
    finalize(e, s);
    wake_update(e, s);
}

static void bar_add(struct bar *b, int64_t p, uint64_t size, unsigned updates)
{
    if (b->volume > UINT64_MAX - size || b->trades == UINT32_MAX)
        return; /* only a hostile tape has such a minute */
    if (updates & UPDATES_HIGH_LOW) {
        b->high_e9 = p > b->high_e9 ? p : b->high_e9;
        b->low_e9 = p < b->low_e9 ? p : b->low_e9;
    }
    if (updates & UPDATES_LAST)
        b->close_e9 = p;
    b->volume += size;
    b->pv += (__int128)p * size;
    b->trades++;
}

bool print_into_past(struct engine *e, struct symbol *s, int64_t ev, int64_t p, uint64_t size,
                     unsigned updates)
{
    uint32_t minute = (uint32_t)(ev / MINUTE_NS);
    uint64_t oldest = bars_oldest(e, s), i = s->bars_end, open = s->bars_end - s->provisional;
    while (i > oldest && bar_at(e, s, i - 1)->minute > minute)
        i--;
    bool found = i > oldest && bar_at(e, s, i - 1)->minute == minute;
    /* what was final before the lateness grew stays it */
    bool late = i < open + found || ((int64_t)minute + 1) * MINUTE_NS + e->lateness_ns <= s->time_ns;
    if (late)
        e->count.late_prints++;
    else
        e->count.out_of_order_prints++;
    struct bar *b;
    bool ranges = found ? updates & UPDATES_HIGH_LOW : updates & UPDATES_LAST;
    if (ev < s->day_start_ns)
        daily_late(e, s, ev, p, size, ranges);
    else
        day_add(s, session_find(&e->calendar[s->calendar], ev).kind, ranges ? p : KEY_UNKNOWN,
                ranges ? p : INT64_MAX, size, (__int128)p * size);
    if (found) {
        b = bar_at(e, s, i - 1);
        bar_add(b, p, size, updates);
        b->revision += late;
    } else if (!(updates & UPDATES_LAST)) {
        e->count.unpriced_prints++;
        s->stale = true; /* the sums of session and day have changed */
        return late;
    } else if (i == oldest && s->bars_end >= e->limits.bars) {
        e->count.late_unkept++;
        return late;
    } else {
        for (uint64_t j = s->bars_end; j > i; j--)
            *bar_at(e, s, j) = *bar_at(e, s, j - 1);
        s->bars_end++;
        b = bar_at(e, s, i);
        *b = (struct bar){.open_e9 = p,
                          .high_e9 = p,
                          .low_e9 = p,
                          .minute = minute,
                          .session = (uint8_t)session_find(&e->calendar[s->calendar], ev).kind};
        bar_add(b, p, size, updates);
        if (!late)
            s->provisional++;
    }
    if (i - found < s->saved)
        s->saved = i - found;
    if (late)
        emit_bar(e, s, b);
    final_update(e, s);
    wake_update(e, s);
    s->rebuild = s->stale = true;
    return late;
}
