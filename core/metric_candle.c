/* The values of candles and levels: of ended bars (core/candle.h), and of where the price is to bars, to the
 * day's extremes, to VWAP, to the opening range. State depends on ended bars and the minute alone. */
#include "core/candle.h"
#include "core/metric_value.h"

/* The opening range: w[0] high, w[1] low, 0 where there is none or it is not known yet. */
void metric_opening_range(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *w)
{
    int64_t end_ns = s->session_start_ns + nd->metric.period * MINUTE_NS;
    w[0] = w[1] = 0;
    if (s->session != SESSION_MARKET || s->live_start_ns < end_ns)
        return;
    for (uint64_t i = bars_from(e, s, s->session_start_ns); i < s->bars_end; i++) {
        const struct bar *b = bar_at(e, s, i);
        if ((int64_t)b->minute * MINUTE_NS >= end_ns)
            break;
        if (b->trades == 0)
            continue; /* a flat bar */
        w[1] = w[0] == 0 || b->low_e9 < w[1] ? b->low_e9 : w[1];
        w[0] = b->high_e9 > w[0] ? b->high_e9 : w[0];
    }
}

static int64_t truth_key(bool holds)
{
    return key_of_double(holds);
}

/* Where p is to vwap(session), which has a value: -1 under it, 0, 1. */
static int vwap_side(const struct symbol *s, int64_t p)
{
    unsigned __int128 left = (unsigned __int128)(uint64_t)p * s->session_volume,
                      right = (unsigned __int128)s->session_pv;
    return (left > right) - (left < right);
}

static int64_t vwap_candle(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    struct bar_series ended;
    struct bar live;
    if (s->session_volume == 0 || s->price_e9 == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    if (!metric_bars(e, s, nd->series, &ended, &live))
        return truth_key(false);
    int open = vwap_side(s, live.open_e9), price = vwap_side(s, s->price_e9);
    switch ((enum metric_kind)nd->metric.kind) {
    case METRIC_THROUGH_VWAP_UP:
        return truth_key(open < 0 && price > 0);
    case METRIC_THROUGH_VWAP_DOWN:
        return truth_key(open > 0 && price < 0);
    case METRIC_VWAP_SUPPORT:
        return truth_key(open > 0 && price > 0 && vwap_side(s, live.low_e9) <= 0);
    default:
        return truth_key(open < 0 && price < 0 && vwap_side(s, live.high_e9) >= 0);
    }
}

/* Within so many hundredths of a percent of today's high or low. */
static int64_t near_key(const struct symbol *s, bool high, unsigned hundredths)
{
    int64_t level = high ? day_high(s) : day_low(s);
    if (day_high(s) == KEY_UNKNOWN || s->price_e9 == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    int64_t apart = high ? level - s->price_e9 : s->price_e9 - level;
    return truth_key((__int128)apart * 10000 <= (__int128)level * hundredths);
}

/* Against today's ended minutes. */
static int64_t day_level(const struct symbol *s, enum metric_kind kind)
{
    int64_t high = s->day_high_e9, low = s->day_low_e9, p = s->price_e9;
    if (high == KEY_UNKNOWN || p == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    switch (kind) {
    case METRIC_NEW_DAY_HIGH:
        return truth_key(p > high);
    case METRIC_NEW_DAY_LOW:
        return truth_key(p < low);
    case METRIC_BREAK_DAY_HIGH:
        return truth_key(s->live_trades && s->open_e9 <= high && p > high);
    case METRIC_BREAK_DAY_LOW:
        return truth_key(s->live_trades && s->open_e9 >= low && p < low);
    case METRIC_REJECT_DAY_HIGH:
        return truth_key(s->live_trades && s->high_e9 >= high && p < high);
    default:
        return truth_key(s->live_trades && s->low_e9 <= low && p > low);
    }
}

static int64_t average_distance(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    struct bar_series ended;
    struct bar live;
    bool has_live = metric_bars(e, s, nd->series, &ended, &live);
    double v = indicator_value(&nd->metric.indicator, state_of(e, s, nd), &ended, has_live ? &live : NULL,
                               s->size_scale);
    if (s->price_e9 == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    return key_number(((double)s->price_e9 / 1e9 - v) * 100.0 / v);
}

static int64_t beyond_last(const struct symbol *s, const struct bar_series *b, bool high)
{
    if (b->end == b->first || s->price_e9 == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    const struct bar *last = series_bar(b, b->end - 1);
    return truth_key(high ? s->price_e9 > last->high_e9 : s->price_e9 < last->low_e9);
}

int64_t metric_candle_key(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    const int64_t *w = state_of(e, s, nd);
    enum metric_kind kind = (enum metric_kind)nd->metric.kind;
    struct bar_series ended;
    struct bar live;
    switch (kind) {
    case METRIC_MA_DIST:
        return average_distance(e, s, nd);
    case METRIC_EMA_CROSS_UP:
    case METRIC_EMA_CROSS_DOWN:
    case METRIC_EMA_RETURN:
        return key_number(candle_pushed(&nd->metric, w));
    case METRIC_THROUGH_VWAP_UP:
    case METRIC_THROUGH_VWAP_DOWN:
    case METRIC_VWAP_SUPPORT:
    case METRIC_VWAP_RESISTANCE:
        return vwap_candle(e, s, nd);
    case METRIC_NEAR_DAY_HIGH:
    case METRIC_NEAR_DAY_LOW:
        return near_key(s, kind == METRIC_NEAR_DAY_HIGH, nd->metric.indicator.hundredths);
    case METRIC_NEW_DAY_HIGH:
    case METRIC_NEW_DAY_LOW:
    case METRIC_BREAK_DAY_HIGH:
    case METRIC_BREAK_DAY_LOW:
    case METRIC_REJECT_DAY_HIGH:
    case METRIC_REJECT_DAY_LOW:
        return day_level(s, kind);
    case METRIC_OPENING_BREAKOUT:
    case METRIC_OPENING_BREAKDOWN:
        if (w[0] == 0 || s->price_e9 == KEY_UNKNOWN)
            return KEY_UNKNOWN;
        return truth_key(kind == METRIC_OPENING_BREAKOUT ? s->price_e9 > w[0] : s->price_e9 < w[1]);
    default:
        break;
    }
    metric_bars(e, s, nd->series, &ended, &live);
    if (kind == METRIC_NEW_CANDLE_HIGH || kind == METRIC_NEW_CANDLE_LOW)
        return beyond_last(s, &ended, kind == METRIC_NEW_CANDLE_HIGH);
    return key_number(candle_value(&nd->metric, &ended));
}
