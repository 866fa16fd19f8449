/* Daily bars of a symbol, by date: those of the file (HISTORY_BAR), and those that its own trading days
 * leave.
 *
 * Prices are of the market session, as in files of daily bars; the volume is of the whole trading day. A day
 * whose market session did not trade has no bar. `minute` is midnight UTC of a file's date, the trading day's
 * start of an own bar; `session` tells one (SESSION_CLOSED) from the other (SESSION_MARKET). Where both know
 * a date, the file's counts: the stream may have begun in the middle of the day.
 */
#include "core/engine_int.h"

enum { DATE_MINUTES = 24 * 60, DATE_LEAD_MINUTES = 3 * 60 };

/* A trading day that starts in the evening is that of the next date. */
static uint32_t date_of_day(uint32_t start_minute)
{
    return (start_minute + DATE_LEAD_MINUTES) / DATE_MINUTES;
}

static bool is_own(const struct bar *b)
{
    return b->session == SESSION_MARKET;
}

static uint32_t bar_date(const struct bar *b)
{
    return is_own(b) ? date_of_day(b->minute) : b->minute / DATE_MINUTES;
}

static int64_t larger_price(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller_price(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool daily_live(const struct symbol *s, struct bar *b)
{
    bool open = s->session == SESSION_MARKET;
    if (s->day_open_e9 == KEY_UNKNOWN)
        return false;
    *b = (struct bar){.open_e9 = s->day_open_e9,
                      .high_e9 = s->market_high_e9,
                      .low_e9 = s->market_low_e9,
                      .close_e9 = open ? s->price_e9 : s->market_close_e9,
                      .volume = s->day_volume,
                      .session = SESSION_MARKET};
    if (open && s->live_trades) {
        b->high_e9 = larger_price(b->high_e9, s->high_e9);
        b->low_e9 = smaller_price(b->low_e9, s->low_e9);
    }
    /* the last price may be that of a print from just before the session */
    b->high_e9 = larger_price(b->high_e9, larger_price(b->open_e9, b->close_e9));
    b->low_e9 = smaller_price(b->low_e9, smaller_price(b->open_e9, b->close_e9));
    return true;
}

/* Gives the n bars from `at` on the place of `b`; the oldest goes if there is no room. */
static void daily_replace(struct engine *e, struct symbol *s, uint32_t at, uint32_t n, const struct bar *b)
{
    struct bar *d = daily_of(e, s);
    if (n == 0 && s->n_daily == DAILY_BARS) {
        if (at == 0)
            return;
        memmove(d, d + 1, --at * sizeof *d);
    } else {
        memmove(d + at + 1, d + at + n, (s->n_daily - at - n) * sizeof *d);
        s->n_daily += 1 - n;
    }
    d[at] = *b;
    s->daily_saved = false;
}

/* Where bars of later dates begin; *n: how many of this date are before it. */
static uint32_t daily_find(const struct engine *e, const struct symbol *s, uint32_t date, uint32_t *n)
{
    const struct bar *d = daily_of(e, s);
    uint32_t end = s->n_daily, at;
    while (end > 0 && bar_date(&d[end - 1]) > date)
        end--;
    for (at = end; at > 0 && bar_date(&d[at - 1]) == date;)
        at--;
    *n = end - at;
    return end;
}

void daily_finish(struct engine *e, struct symbol *s)
{
    struct bar b;
    uint32_t n, at;
    if (s->day_start_ns < 0 || !daily_live(s, &b))
        return;
    b.minute = (uint32_t)(s->day_start_ns / MINUTE_NS);
    at = daily_find(e, s, bar_date(&b), &n);
    if (n == 0 || is_own(&daily_of(e, s)[at - 1]))
        daily_replace(e, s, at, 0, &b);
}

bool daily_put(struct engine *e, struct symbol *s, int64_t date_ns, const struct msg_history_bar *h)
{
    uint32_t n, at;
    if (date_ns < 0 || date_ns > TIME_MAX_NS || h->low_e9 <= 0 || h->low_e9 > h->open_e9 ||
        h->low_e9 > h->close_e9 || h->high_e9 < h->open_e9 || h->high_e9 < h->close_e9)
        return false;
    struct bar b = {.open_e9 = h->open_e9,
                    .high_e9 = h->high_e9,
                    .low_e9 = h->low_e9,
                    .close_e9 = h->close_e9,
                    .volume = h->volume,
                    .minute = (uint32_t)(date_ns / (DATE_MINUTES * MINUTE_NS)) * DATE_MINUTES};
    at = daily_find(e, s, bar_date(&b), &n);
    daily_replace(e, s, at - n, n, &b);
    return true;
}

/* Own bars are of days that are over; a file's may be of any date. */
void daily_settle(struct engine *e, struct symbol *s)
{
    const struct bar *d = daily_of(e, s);
    bool known = s->day_start_ns >= 0 && s->day_start_ns <= TIME_MAX_NS;
    uint32_t today = known ? date_of_day((uint32_t)(s->day_start_ns / MINUTE_NS)) : UINT32_MAX,
             n = s->n_daily;
    while (n > 0 && !is_own(&d[n - 1]) && bar_date(&d[n - 1]) >= today)
        n--;
    s->daily_end = n;
    s->prev_close_e9 = n ? d[n - 1].close_e9 : KEY_UNKNOWN;
    s->rebuild = true;
}

void daily_late(struct engine *e, struct symbol *s, int64_t ev, int64_t p, uint64_t size, bool range)
{
    struct session_at at = session_find(&e->calendar[s->calendar], ev);
    struct bar *d = daily_of(e, s);
    uint32_t i = s->daily_end, minute = (uint32_t)(at.day_ns / MINUTE_NS);
    while (i > 0 && !(is_own(&d[i - 1]) && d[i - 1].minute <= minute))
        i--;
    if (at.day_ns < 0 || i == 0 || d[i - 1].minute != minute || d[i - 1].volume > UINT64_MAX - size)
        return;
    d[i - 1].volume += size;
    if (range && at.kind == SESSION_MARKET) {
        d[i - 1].high_e9 = larger_price(d[i - 1].high_e9, p);
        d[i - 1].low_e9 = smaller_price(d[i - 1].low_e9, p);
    }
    s->daily_saved = false;
    s->rebuild = s->stale = true;
}

bool daily_sound(const struct bar *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct bar *x = &b[i];
        if (x->low_e9 <= 0 || x->low_e9 > x->open_e9 || x->low_e9 > x->close_e9 || x->high_e9 < x->open_e9 ||
            x->high_e9 < x->close_e9 || x->minute > TIME_MAX_NS / MINUTE_NS ||
            (x->session != SESSION_CLOSED && x->session != SESSION_MARKET) ||
            (i > 0 && bar_date(x) < bar_date(x - 1)))
            return false;
    }
    return true;
}
