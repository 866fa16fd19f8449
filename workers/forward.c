#include "workers/forward.h"

#include <stdlib.h>

#define MINUTE INT64_C(60000000000)
#define DAY    (1440 * MINUTE)
/* A capture may say what it wants: sums of times do not overflow, and the minutes kept of a day have a bound.
 */
#define TIME_MAX  (INT64_MAX / 2)
#define DAYS_LONG (7 * DAY)

enum { CALENDARS = 8, MINUTES_BACK = 60, FIXED = FORWARD_CLOSE };
static const int horizon_minutes[FIXED] = {1, 5, 15, 60};
const char *const forward_names[FORWARD_HORIZONS] = {"1m", "5m", "15m", "60m", "close"};

/* Bins that were seen, ascending. */
struct bins {
    uint32_t n, room;
    struct bin {
        uint16_t bin;
        uint16_t pad;
        uint32_t count;
    } * at;
};

struct trading_day {
    int64_t t[4];
};

struct calendar {
    struct trading_day *day; /* ascending */
    uint32_t n, room;
    uint32_t now;              /* 1 + index of the day at hand, 0 = none yet */
    int64_t begin_ns, turn_ns; /* a tick from turn_ns on is of a later day; one before begin_ns is too late */
    int64_t data_ns;           /* the last tick's time since the last break between days */
};

struct symbol {
    bool known, wanted;
    uint8_t calendar;
    bool open;                          /* it has traded since the last break */
    int64_t time_ns, price_e9;          /* of the last trade that counts */
    uint32_t waiting[FORWARD_HORIZONS]; /* the first alert whose price then is not known, 1 + index */
    uint32_t last;                      /* alert, 1 + index */
    uint32_t day, days;                 /* the last day counted, 1 + index; how many */
    int64_t minute;                     /* of minute_e9[0], since 1970 */
    int64_t *minute_e9;
    uint32_t minutes, minute_room;
    int64_t closed_ns; /* the close for which the baseline is done */
    struct return_moments moments[FORWARD_HORIZONS];
    struct bins bins[FORWARD_HORIZONS];
};

struct forward {
    int64_t from_ns, to_ns;
    struct calendar calendar[CALENDARS];
    struct symbol *symbol;
    uint32_t symbols, symbol_room;
    struct forward_alert *alert;
    size_t alerts, withdrawn, alert_room;
    struct forward_day *day;
    size_t days, day_room;
};

static void *grow(void *p, size_t bytes)
{
    p = realloc(p, bytes);
    if (!p)
        abort();
    return p;
}

struct forward *forward_new(int64_t from_ns, int64_t to_ns)
{
    struct forward *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->from_ns = from_ns;
    f->to_ns = to_ns;
    for (int c = 0; c < CALENDARS; c++) {
        f->calendar[c].turn_ns = f->calendar[c].begin_ns = INT64_MAX;
        f->calendar[c].data_ns = INT64_MIN;
    }
    return f;
}

void forward_free(struct forward *f)
{
    if (!f)
        return;
    for (int c = 0; c < CALENDARS; c++)
        free(f->calendar[c].day);
    for (uint32_t i = 0; i < f->symbols; i++) {
        free(f->symbol[i].minute_e9);
        for (int h = 0; h < FORWARD_HORIZONS; h++)
            free(f->symbol[i].bins[h].at);
    }
    free(f->symbol);
    free(f->alert);
    free(f->day);
    free(f);
}

/* ---- trading days */

/* 1 + index of the day that t is in or after. */
static uint32_t day_at(const struct calendar *c, int64_t t)
{
    uint32_t i = c->n;
    while (i > 0 && c->day[i - 1].t[0] > t)
        i--;
    return i;
}

static const struct trading_day *today(const struct calendar *c)
{
    return c->now ? &c->day[c->now - 1] : NULL;
}

/* Is the day (1 + index) followed by another one without a break? */
static bool goes_on(const struct calendar *c, uint32_t day)
{
    return day < c->n && c->day[day].t[0] == c->day[day - 1].t[3];
}

static void set_turn(struct calendar *c)
{
    c->begin_ns = c->now ? c->day[c->now - 1].t[0] : INT64_MAX;
    c->turn_ns = c->now < c->n ? c->day[c->now].t[0] : INT64_MAX;
}

bool forward_add_day(struct forward *f, unsigned calendar, const int64_t t[4])
{
    if (calendar >= CALENDARS || t[0] > t[1] || t[1] > t[2] || t[2] > t[3] || t[0] < 0 || t[3] > TIME_MAX ||
        t[3] - t[0] > DAYS_LONG)
        return false;
    struct calendar *c = &f->calendar[calendar];
    uint32_t at = day_at(c, t[0]);
    if (at == 0 || c->day[at - 1].t[0] != t[0]) {
        if (c->n == c->room)
            c->day = grow(c->day, (c->room = 2 * c->room + 16) * sizeof *c->day);
        for (uint32_t i = c->n++; i > at; i--)
            c->day[i] = c->day[i - 1];
        c->now += c->now > at;
        at++;
    }
    for (int k = 0; k < 4; k++)
        c->day[at - 1].t[k] = t[k];
    set_turn(c);
    return true;
}

/* The date of a trading day: that of its market session's start, in UTC. */
static int64_t date_of(const struct trading_day *day)
{
    return day->t[1] / DAY;
}

/* ---- the baseline */

static void bins_add(struct bins *b, unsigned bin)
{
    uint32_t low = 0, high = b->n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (b->at[middle].bin < bin)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == b->n || b->at[low].bin != bin) {
        if (b->n == b->room)
            b->at = grow(b->at, (b->room = 2 * b->room + 16) * sizeof *b->at);
        for (uint32_t i = b->n++; i > low; i--)
            b->at[i] = b->at[i - 1];
        b->at[low] = (struct bin){.bin = (uint16_t)bin};
    }
    b->at[low].count++;
}

static void observe(struct forward *f, struct symbol *s, enum forward_horizon h, uint32_t base,
                    int64_t then_e9)
{
    int64_t at_ns = (s->minute + base) * MINUTE;
    if (at_ns < f->from_ns || at_ns >= f->to_ns)
        return;
    double r = (double)then_e9 / (double)s->minute_e9[base] - 1;
    return_moments_add(&s->moments[h], r);
    bins_add(&s->bins[h], return_bin(r));
}

/* The session ends at close_ns: all minutes before it have their return to the close. What no horizon needs
 * any more is forgotten. */
static void close_minutes(struct forward *f, struct symbol *s, const struct trading_day *day,
                          int64_t close_e9)
{
    uint32_t drop = s->minutes > MINUTES_BACK ? s->minutes - MINUTES_BACK : 0;
    for (uint32_t i = 0; i < s->minutes && (s->minute + i) * MINUTE < day->t[2]; i++)
        if ((s->minute + i) * MINUTE >= day->t[0])
            observe(f, s, FORWARD_CLOSE, i, close_e9);
    s->closed_ns = day->t[2];
    for (uint32_t i = drop; i < s->minutes; i++)
        s->minute_e9[i - drop] = s->minute_e9[i];
    s->minutes -= drop;
    s->minute += drop;
}

static void add_minute(struct forward *f, struct symbol *s)
{
    const struct calendar *c = &f->calendar[s->calendar];
    int64_t at_ns = (s->minute + s->minutes) * MINUTE;
    uint32_t d = day_at(c, at_ns);
    /* the close may be where the next day begins */
    for (uint32_t k = d > 1 ? d - 1 : d; k && k <= d; k++)
        if (c->day[k - 1].t[2] <= at_ns && c->day[k - 1].t[2] > s->closed_ns)
            close_minutes(f, s, &c->day[k - 1], s->price_e9);
    if (s->minutes == s->minute_room)
        s->minute_e9 = grow(s->minute_e9, (s->minute_room = 2 * s->minute_room + 64) * sizeof *s->minute_e9);
    uint32_t i = s->minutes++;
    s->minute_e9[i] = s->price_e9;
    for (int h = 0; h < FIXED; h++)
        if (i >= (uint32_t)horizon_minutes[h])
            observe(f, s, (enum forward_horizon)h, i - (uint32_t)horizon_minutes[h], s->price_e9);
}

/* The symbol's price holds at every minute before `until_ns`; those after the trading day are of no use. */
static void add_minutes(struct forward *f, struct symbol *s, int64_t until_ns)
{
    const struct calendar *c = &f->calendar[s->calendar];
    int64_t end_ns = today(c)->t[3];
    if (until_ns > end_ns && !goes_on(c, c->now))
        until_ns = end_ns + 1;
    while (s->open && (s->minute + s->minutes) * MINUTE < until_ns)
        add_minute(f, s);
}

/* ---- the alerts */

static int64_t due(const struct forward *f, const struct forward_alert *a, int h)
{
    if (h < FIXED)
        return a->time_ns + horizon_minutes[h] * MINUTE;
    const struct calendar *c = &f->calendar[f->symbol[a->symbol].calendar];
    return c->day[day_at(c, a->time_ns) - 1].t[2];
}

/* The price holds at every time before until_ns: alerts whose time then has come get it. */
static void settle(struct forward *f, struct symbol *s, int64_t until_ns)
{
    for (int h = 0; h < FORWARD_HORIZONS; h++)
        while (s->waiting[h]) {
            struct forward_alert *a = &f->alert[s->waiting[h] - 1];
            if (a->then_e9[h] < 0) { /* it waits */
                if (due(f, a, h) >= until_ns)
                    break;
                a->then_e9[h] = s->price_e9;
            }
            s->waiting[h] = a->next;
        }
}

/* The data breaks off: what is not reached has no return. */
static void break_off(struct forward *f, unsigned calendar)
{
    const struct calendar *c = &f->calendar[calendar];
    const struct trading_day *day = today(c);
    for (uint32_t i = 0; i < f->symbols && day; i++) {
        struct symbol *s = &f->symbol[i];
        if (!s->known || s->calendar != calendar)
            continue;
        bool closes = c->data_ns >= day->t[2] - MINUTE && c->data_ns < day->t[2];
        int64_t end = c->data_ns > day->t[3] && !goes_on(c, c->now) ? day->t[3] : c->data_ns;
        settle(f, s, end == INT64_MAX ? end : end + 1);
        for (int h = 0; h < FORWARD_HORIZONS; s->waiting[h++] = 0)
            for (uint32_t k = s->waiting[h]; k; k = f->alert[k - 1].next)
                if (f->alert[k - 1].then_e9[h] < 0)
                    f->alert[k - 1].then_e9[h] =
                        h == FORWARD_CLOSE && closes && due(f, &f->alert[k - 1], h) == day->t[2] ? s->price_e9
                                                                                                 : 0;
        add_minutes(f, s, end + 1);
        if (s->open && closes)
            close_minutes(f, s, day, s->price_e9);
        s->open = false;
        s->minutes = 0;
        s->last = 0;
    }
}

/* Time has come to t: perhaps to another trading day. */
static void advance(struct forward *f, unsigned calendar, int64_t t)
{
    struct calendar *c = &f->calendar[calendar];
    uint32_t day = day_at(c, t);
    if (day <= c->now)
        return;
    if (c->now && !(day == c->now + 1 && goes_on(c, c->now))) {
        break_off(f, calendar);
        c->data_ns = INT64_MIN;
    }
    c->now = day;
    set_turn(c);
}

static inline struct symbol *tick(struct forward *f, uint32_t id, int64_t event_ns)
{
    if (id >= f->symbols || !f->symbol[id].known || event_ns < 0 || event_ns > TIME_MAX)
        return NULL;
    struct symbol *s = &f->symbol[id];
    struct calendar *c = &f->calendar[s->calendar];
    if (c->now == 0 || event_ns >= c->turn_ns)
        advance(f, s->calendar, event_ns);
    if (event_ns < c->begin_ns)
        return NULL;
    c->data_ns = event_ns > c->data_ns ? event_ns : c->data_ns;
    return s;
}

/* Counts the trade's day, and the symbol's days. */
static void count_day(struct forward *f, struct symbol *s, int64_t event_ns)
{
    if (!s->wanted || event_ns < f->from_ns || event_ns >= f->to_ns)
        return;
    const struct calendar *c = &f->calendar[s->calendar];
    s->days += s->day != c->now;
    s->day = c->now;
    int64_t date = date_of(today(c));
    size_t at = f->days;
    while (at > 0 && f->day[at - 1].day > date)
        at--;
    if (at == 0 || f->day[at - 1].day != date) {
        if (f->days == f->day_room)
            f->day = grow(f->day, (f->day_room = 2 * f->day_room + 16) * sizeof *f->day);
        for (size_t i = f->days++; i > at; i--)
            f->day[i] = f->day[i - 1];
        f->day[at++] = (struct forward_day){.day = date};
    }
    f->day[at - 1].trades++;
}

void forward_trade(struct forward *f, uint32_t id, int64_t event_ns, int64_t price_e9)
{
    struct symbol *s = tick(f, id, event_ns);
    if (!s || price_e9 <= 0)
        return;
    count_day(f, s, event_ns);
    if (event_ns < s->time_ns)
        return;
    if (s->waiting[0] | s->waiting[1] | s->waiting[2] | s->waiting[3] | s->waiting[FORWARD_CLOSE])
        settle(f, s, event_ns);
    if (s->wanted && s->open) {
        add_minutes(f, s, event_ns);
    } else if (s->wanted) {
        s->open = true;
        s->minute = (event_ns + MINUTE - 1) / MINUTE;
        s->minutes = 0;
    }
    s->time_ns = event_ns;
    s->price_e9 = price_e9;
}

void forward_quote(struct forward *f, uint32_t id, int64_t event_ns)
{
    (void)tick(f, id, event_ns);
}

void forward_add_symbol(struct forward *f, uint32_t id, unsigned calendar, bool wanted)
{
    if (id >= f->symbol_room) {
        uint32_t room = 2 * id + 64;
        f->symbol = grow(f->symbol, room * sizeof *f->symbol);
        f->symbol_room = room;
    }
    while (f->symbols <= id)
        f->symbol[f->symbols++] = (struct symbol){.time_ns = INT64_MIN, .closed_ns = INT64_MIN};
    struct symbol *s = &f->symbol[id];
    if (s->known || calendar >= CALENDARS)
        return;
    s->known = true;
    s->wanted = wanted;
    s->calendar = (uint8_t)calendar;
}

void forward_add_alert(struct forward *f, const struct forward_alert *alert)
{
    if (alert->symbol >= f->symbols || !f->symbol[alert->symbol].known)
        return;
    struct symbol *s = &f->symbol[alert->symbol];
    struct calendar *c = &f->calendar[s->calendar];
    if (c->now == 0 || alert->time_ns >= c->turn_ns)
        advance(f, s->calendar, alert->time_ns);
    if (f->alerts == f->alert_room)
        f->alert = grow(f->alert, (f->alert_room = 2 * f->alert_room + 64) * sizeof *f->alert);
    uint32_t place = (uint32_t)++f->alerts, d = day_at(c, alert->time_ns);
    struct forward_alert *a = &f->alert[place - 1];
    *a = *alert;
    a->next = 0;
    a->day = d ? date_of(&c->day[d - 1]) : -1;
    if (s->last)
        f->alert[s->last - 1].next = place;
    s->last = place;
    for (int h = 0; h < FORWARD_HORIZONS; h++) {
        a->then_e9[h] = 0;
        if (d == 0 || a->price_e9 <= 0)
            continue;
        int64_t then = due(f, a, h);
        if (h == FORWARD_CLOSE ? then <= a->time_ns : then > c->day[d - 1].t[3] && !goes_on(c, d))
            continue;
        a->then_e9[h] = -1; /* it waits */
        s->waiting[h] = s->waiting[h] ? s->waiting[h] : place;
    }
}

/* Cancels come soon after their print. */
void forward_withdraw(struct forward *f, uint64_t id_hi, uint64_t id_lo)
{
    for (size_t i = f->alerts; i-- > 0;)
        if (f->alert[i].id_hi == id_hi && f->alert[i].id_lo == id_lo) {
            f->alert[i].withdrawn = true;
            return;
        }
}

/* Alerts that are withdrawn go behind the others, which keep their order. */
static void part_withdrawn(struct forward *f)
{
    struct forward_alert *sorted = grow(NULL, (f->alerts + 1) * sizeof *sorted);
    size_t kept = 0, n = 0;
    for (size_t i = 0; i < f->alerts; i++)
        kept += !f->alert[i].withdrawn;
    for (int withdrawn = 0; withdrawn < 2; withdrawn++)
        for (size_t i = 0; i < f->alerts; i++)
            if (f->alert[i].withdrawn == withdrawn)
                sorted[n++] = f->alert[i];
    free(f->alert);
    f->alert = sorted;
    f->withdrawn = f->alerts - kept;
    f->alerts = kept;
}

void forward_end(struct forward *f)
{
    for (unsigned c = 0; c < CALENDARS; c++)
        break_off(f, c);
    part_withdrawn(f);
}

/* ---- what came of it */

size_t forward_alert_count(const struct forward *f)
{
    return f->alerts;
}

size_t forward_withdrawn_count(const struct forward *f)
{
    return f->withdrawn;
}

const struct forward_alert *forward_alerts(const struct forward *f)
{
    return f->alert;
}

bool forward_return(const struct forward_alert *a, enum forward_horizon h, double *r)
{
    if (a->then_e9[h] <= 0)
        return false;
    *r = (double)a->then_e9[h] / (double)a->price_e9 - 1;
    return true;
}

size_t forward_days(const struct forward *f, const struct forward_day **days)
{
    *days = f->day;
    return f->days;
}

uint32_t forward_symbol_days(const struct forward *f, uint32_t symbol)
{
    return symbol < f->symbols ? f->symbol[symbol].days : 0;
}

uint32_t forward_symbol_count(const struct forward *f)
{
    return f->symbols;
}

void forward_baseline(const struct forward *f, const bool *include, enum forward_horizon h,
                      struct return_stats *out, uint64_t count[RETURN_BINS])
{
    struct return_moments all = {0};
    for (unsigned i = 0; i < RETURN_BINS; i++)
        count[i] = 0;
    for (uint32_t i = 0; i < f->symbols; i++) {
        const struct symbol *s = &f->symbol[i];
        if (include && !include[i])
            continue;
        return_moments_merge(&all, &s->moments[h]);
        for (uint32_t k = 0; k < s->bins[h].n; k++)
            count[s->bins[h].at[k].bin] += s->bins[h].at[k].count;
    }
    return_stats_from(&all, count, out);
}
