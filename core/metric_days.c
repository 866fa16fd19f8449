/* Metrics of daily bars and of today's sessions. Their state is made anew when the day switches and where a
 * daily bar comes or changes, that of relative_volume_same_time at each minute. */
#include "core/metric_value.h"

/* The N-th daily bar before today, from 1; NULL if there are not so many. */
static const struct bar *day_before(const struct engine *e, const struct symbol *s, unsigned n)
{
    return n <= s->daily_end ? &daily_of(e, s)[s->daily_end - n] : NULL;
}

/* Mean volume of the last n daily bars before today. */
static double mean_of_days(const struct engine *e, const struct symbol *s, unsigned n)
{
    unsigned __int128 sum = 0;
    for (unsigned i = 1; i <= n; i++)
        sum += day_before(e, s, i)->volume;
    return (double)sum / n;
}

/* w[0] high, w[1] low of the n - 1 daily bars before today, 0 if that is none; KEY_UNKNOWN: too few. */
static void days_extent(const struct engine *e, const struct symbol *s, unsigned n, int64_t *w)
{
    w[0] = w[1] = 0;
    for (unsigned i = 1; i < n; i++) {
        const struct bar *b = day_before(e, s, i);
        if (!b) {
            w[0] = KEY_UNKNOWN;
            return;
        }
        w[0] = b->high_e9 > w[0] ? b->high_e9 : w[0];
        w[1] = i == 1 || b->low_e9 < w[1] ? b->low_e9 : w[1];
    }
}

static int64_t biggest_range(const struct engine *e, const struct symbol *s, unsigned n)
{
    int64_t most = 0;
    if (!day_before(e, s, n))
        return KEY_UNKNOWN;
    for (unsigned i = 1; i <= n; i++) {
        const struct bar *b = day_before(e, s, i);
        most = b->high_e9 - b->low_e9 > most ? b->high_e9 - b->low_e9 : most;
    }
    return most;
}

/* In price units; NaN if there are too few days. */
static double average_range(const struct engine *e, const struct symbol *s)
{
    static const struct indicator atr = {.kind = INDICATOR_ATR, .n = {14}};
    int64_t state[INDICATOR_STATE_MAX] = {0};
    struct bar_series b = {.bar = daily_of(e, s), .stride = sizeof(struct bar)};
    while (b.end < s->daily_end) {
        b.end++;
        indicator_push(&atr, state, &b, s->size_scale);
    }
    return indicator_value(&atr, state, &b, NULL, s->size_scale);
}

void metric_days(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    enum { MEAN_DAYS = 10 };
    unsigned n = nd->metric.period, days = s->daily_end < MEAN_DAYS ? s->daily_end : MEAN_DAYS;
    int64_t *w = state_of(e, s, nd);
    switch ((enum metric_kind)nd->metric.kind) {
    case METRIC_CHANGE_PCT_DAYS:
        w[0] = day_before(e, s, n) ? day_before(e, s, n)->close_e9 : KEY_UNKNOWN;
        break;
    case METRIC_AVG_VOLUME:
        w[0] = day_before(e, s, n) ? key_of_double(mean_of_days(e, s, n) / pow10_table[s->size_scale])
                                   : KEY_UNKNOWN;
        break;
    case METRIC_RELATIVE_VOLUME_DAILY:
        w[0] = as_bits(days ? mean_of_days(e, s, days) : 0);
        break;
    case METRIC_RANGE_DAYS:
    case METRIC_RANGE_PCT_DAYS:
    case METRIC_POSITION_DAYS:
        days_extent(e, s, n, w);
        break;
    case METRIC_BIGGEST_RANGE:
        w[0] = biggest_range(e, s, n);
        break;
    case METRIC_RELATIVE_RANGE:
        w[0] = as_bits(average_range(e, s));
        break;
    default:
        break;
    }
}

uint64_t bars_from(const struct engine *e, const struct symbol *s, int64_t t)
{
    uint64_t lo = s->bars_first, hi = s->bars_end;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if ((int64_t)bar_at(e, s, mid)->minute * MINUTE_NS < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* w[0]: mean volume of earlier sessions of this kind from their start to the end of the minute that is as far
 * into them as the live one is, as a double at the symbol's scale, 0 if there are none; w[1]: … in that
 * minute alone. */
void metric_same_time(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    const struct calendar *c = &e->calendar[s->calendar];
    int64_t *w = state_of(e, s, nd), offset = s->live_start_ns - s->session_start_ns;
    unsigned __int128 sum = 0, minute = 0;
    unsigned n = 0;
    w[0] = w[1] = as_bits(0);
    if (s->session == SESSION_CLOSED || s->bars_first == s->bars_end)
        return;
    int64_t kept_ns = (int64_t)bar_at(e, s, s->bars_first)->minute * MINUTE_NS;
    for (uint32_t d = 0; d < c->n && c->day[d].t[0] < s->day_start_ns; d++) {
        int64_t start = c->day[d].t[s->session - SESSION_PREMARKET],
                end = c->day[d].t[s->session - SESSION_PREMARKET + 1], until = start + offset;
        if (start < kept_ns || start >= end)
            continue;
        n++;
        for (uint64_t i = bars_from(e, s, start); i < s->bars_end; i++) {
            const struct bar *b = bar_at(e, s, i);
            int64_t t = (int64_t)b->minute * MINUTE_NS;
            if (t > until || t >= end)
                break;
            sum += b->volume;
            minute += t == until ? b->volume : 0;
        }
    }
    if (n) {
        w[0] = as_bits((double)sum / n);
        w[1] = as_bits((double)minute / n);
    }
}

static int64_t same_time_key(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    const int64_t *w = state_of(e, s, nd);
    double mean = as_double(w[0]), elapsed = (double)(s->time_ns - s->live_start_ns) / (double)MINUTE_NS;
    if (s->session == SESSION_CLOSED || mean == 0)
        return KEY_UNKNOWN;
    return key_number(100 * ((double)s->session_volume + (1 - elapsed) * as_double(w[1])) / mean);
}

/* The last price of today's session of this kind; KEY_UNKNOWN if it has not traded there. */
static int64_t session_price(const struct symbol *s, enum session_kind kind, int64_t closed_e9)
{
    if (s->session != kind)
        return closed_e9;
    return s->trade_ns >= s->session_start_ns ? s->price_e9 : KEY_UNKNOWN;
}

static int64_t change_key(int64_t price, int64_t from, bool percent)
{
    if (price == KEY_UNKNOWN || from == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    return percent ? percent_key(price - from, from) : price - from;
}

static int64_t days_range_key(const struct symbol *s, const int64_t *w, enum metric_kind kind)
{
    int64_t high = w[0] ? w[0] : KEY_UNKNOWN, low = w[1], today = day_high(s);
    if (w[0] == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    if (today != KEY_UNKNOWN) {
        low = high == KEY_UNKNOWN || day_low(s) < low ? day_low(s) : low;
        high = today > high ? today : high;
    }
    return kind == METRIC_POSITION_DAYS ? position_key(high, low, s->price_e9)
                                        : range_key(high, low, kind == METRIC_RANGE_PCT_DAYS);
}

SELDOM int64_t metric_days_key(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    const int64_t *w = state_of(e, s, nd);
    enum metric_kind kind = (enum metric_kind)nd->metric.kind;
    int64_t range = range_key(day_high(s), day_low(s), false);
    switch (kind) {
    case METRIC_CLOSE_PREMARKET:
    case METRIC_CLOSE_PREMARKET_PCT:
        return change_key(session_price(s, SESSION_PREMARKET, s->premarket_close_e9), s->prev_close_e9,
                          kind == METRIC_CLOSE_PREMARKET_PCT);
    case METRIC_CLOSE_POSTMARKET:
    case METRIC_CLOSE_POSTMARKET_PCT:
        return change_key(session_price(s, SESSION_POSTMARKET, s->postmarket_close_e9), s->market_close_e9,
                          kind == METRIC_CLOSE_POSTMARKET_PCT);
    case METRIC_CHANGE_PCT_DAYS:
        return change_key(s->price_e9, w[0], true);
    case METRIC_AVG_VOLUME:
    case METRIC_BIGGEST_RANGE:
        return w[0];
    case METRIC_RELATIVE_VOLUME_DAILY:
        return s->price_e9 == KEY_UNKNOWN ? KEY_UNKNOWN
                                          : key_number(100 * (double)s->day_volume / as_double(w[0]));
    case METRIC_RELATIVE_VOLUME_SAME_TIME:
        return same_time_key(e, s, nd);
    case METRIC_RANGE_DAYS:
    case METRIC_RANGE_PCT_DAYS:
    case METRIC_POSITION_DAYS:
        return days_range_key(s, w, kind);
    case METRIC_RELATIVE_RANGE:
        return range == KEY_UNKNOWN ? KEY_UNKNOWN : key_number(100 * ((double)range / 1e9) / as_double(w[0]));
    case METRIC_VWAP_DIST_DAY:
    case METRIC_VWAP_DIST_PCT_DAY:
        return dist_key(s, vwap_key(s->day_pv + s->live_pv, s->day_volume), kind == METRIC_VWAP_DIST_PCT_DAY);
    default:
        break;
    }
    assert(!"a metric without a value");
    return KEY_UNKNOWN;
}
