/* The values of metrics, inline: the engine computes some for every tick. */
#ifndef CORE_METRIC_VALUE_H
#define CORE_METRIC_VALUE_H

#include "core/engine_int.h"

static const double pow10_table[19] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                       1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

static inline int64_t key_number(double d)
{
    return d - d == 0 ? key_of_double(d) : KEY_UNKNOWN;
}

static inline int64_t size_key(const struct symbol *s, uint64_t size)
{
    return key_of_double(s->size_scale ? (double)size / pow10_table[s->size_scale] : (double)size);
}

/* The whole part by itself, so that the VWAP of trades at one price is that price and not its neighbour. */
static inline int64_t vwap_key(__int128 pv, uint64_t volume)
{
    if (volume == 0)
        return KEY_UNKNOWN;
    uint64_t whole = (uint64_t)((unsigned __int128)pv / volume), rest = (uint64_t)pv - whole * volume;
    return key_of_double(((double)whole + (double)rest / (double)volume) / 1e9);
}

static inline int64_t percent_key(int64_t change, int64_t of)
{
    return key_number((double)change * 100.0 / (double)of);
}

static inline double as_double(int64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline int64_t as_bits(double d)
{
    int64_t i;
    memcpy(&i, &d, sizeof i);
    return i;
}

static inline __int128 sum_get(const int64_t *w)
{
    return (__int128)w[1] << 64 | (uint64_t)w[0];
}

static inline void sum_put(int64_t *w, __int128 v)
{
    w[0] = (int64_t)v;
    w[1] = (int64_t)(v >> 64);
}

static inline int64_t *state_of(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    return block_of(e, s) + nd->state_at;
}

/* size x price at 1e-9 of both scales, as money. */
static inline int64_t money_key(const struct symbol *s, __int128 pv)
{
    return key_of_double((double)pv / 1e9 / pow10_table[s->size_scale]);
}

static inline int64_t dist_key(const struct symbol *s, int64_t vwap, bool percent)
{
    if (vwap == KEY_UNKNOWN || s->price_e9 == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    double v = key_to_double(vwap), d = (double)s->price_e9 / 1e9 - v;
    return key_number(percent ? d * 100.0 / v : d);
}

/* Of a range from low to high, KEY_UNKNOWN in `high` if there is none. */
static inline int64_t range_key(int64_t high, int64_t low, bool percent)
{
    if (high == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    return percent ? percent_key(high - low, low) : high - low;
}

static inline int64_t position_key(int64_t high, int64_t low, int64_t price)
{
    if (high == KEY_UNKNOWN || price == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    return percent_key(price - low, high - low);
}

/* Today's, the live bar included; KEY_UNKNOWN and anything if there is none. */
static inline int64_t day_high(const struct symbol *s)
{
    return s->live_trades && s->high_e9 > s->day_high_e9 ? s->high_e9 : s->day_high_e9;
}

static inline int64_t day_low(const struct symbol *s)
{
    return s->live_trades && s->low_e9 < s->day_low_e9 ? s->low_e9 : s->day_low_e9;
}

static inline uint64_t session_volume(const struct symbol *s, enum session_kind kind)
{
    return s->volume_of[kind] + (s->session == kind ? s->live_volume : 0);
}

/* w[0] high, w[1] low of ended bars in the window, 0 if there is none: with the live bar. */
static inline int64_t window_range_key(const struct symbol *s, const int64_t *w, enum metric_kind kind)
{
    int64_t high = w[0] ? w[0] : KEY_UNKNOWN, low = w[1];
    if (s->live_trades) {
        low = high == KEY_UNKNOWN || s->low_e9 < low ? s->low_e9 : low;
        high = s->high_e9 > high ? s->high_e9 : high;
    }
    return kind == METRIC_POSITION_IN_RANGE ? position_key(high, low, s->price_e9)
                                            : range_key(high, low, kind == METRIC_RANGE_PCT);
}

/* The last bar that has ended, if there is one. */
static inline const struct bar *bar_last(const struct engine *e, const struct symbol *s)
{
    return bar_at(e, s, s->bars_end - 1);
}

static inline bool has_traded(const struct symbol *s)
{
    return s->bars_end || s->live_trades;
}

/* w: the metric's state of the symbol. */
static inline int64_t node_key_at(const struct engine *e, const struct symbol *s, const struct node *nd,
                                  int64_t *w)
{
    bool priced = s->price_e9 != KEY_UNKNOWN;
    int64_t prev = s->prev_close_e9, open = s->day_open_e9;
    switch ((enum metric_kind)nd->metric.kind) {
    case METRIC_PRICE:
        return s->price_e9;
    case METRIC_BID:
        return s->bid_e9;
    case METRIC_ASK:
        return s->ask_e9;
    case METRIC_SPREAD:
        return s->bid_e9 == KEY_UNKNOWN ? KEY_UNKNOWN : s->ask_e9 - s->bid_e9;
    case METRIC_VOLUME_LIVE:
        return has_traded(s) ? size_key(s, s->live_volume) : KEY_UNKNOWN;
    case METRIC_VWAP_LIVE:
        return vwap_key(s->live_pv, s->live_volume);
    case METRIC_TRADE_COUNT_LIVE:
        return has_traded(s) ? key_of_double(s->live_trades) : KEY_UNKNOWN;
    case METRIC_OPEN:
        return s->bars_end ? bar_last(e, s)->open_e9 : KEY_UNKNOWN;
    case METRIC_HIGH:
        return s->bars_end ? bar_last(e, s)->high_e9 : KEY_UNKNOWN;
    case METRIC_LOW:
        return s->bars_end ? bar_last(e, s)->low_e9 : KEY_UNKNOWN;
    case METRIC_CLOSE:
        return s->bars_end ? bar_last(e, s)->close_e9 : KEY_UNKNOWN;
    case METRIC_VOLUME:
        return s->bars_end ? size_key(s, bar_last(e, s)->volume) : KEY_UNKNOWN;
    case METRIC_VWAP:
        return s->bars_end ? vwap_key(bar_pv_at(e, s, s->bars_end - 1), bar_last(e, s)->volume) : KEY_UNKNOWN;
    case METRIC_CHANGE:
        return priced && w[0] != KEY_UNKNOWN ? s->price_e9 - w[0] : KEY_UNKNOWN;
    case METRIC_CHANGE_PCT:
        return priced && w[0] != KEY_UNKNOWN ? percent_key(s->price_e9 - w[0], w[0]) : KEY_UNKNOWN;
    case METRIC_VOLUME_WINDOW:
        return has_traded(s) ? size_key(s, (uint64_t)w[0] + s->live_volume) : KEY_UNKNOWN;
    case METRIC_TRADE_COUNT_WINDOW:
        return has_traded(s) ? key_of_double((double)w[0] + s->live_trades) : KEY_UNKNOWN;
    case METRIC_VOLUME_DAILY:
        return has_traded(s) ? size_key(s, s->day_volume) : KEY_UNKNOWN;
    case METRIC_VOLUME_AVG:
        return has_traded(s) ? key_of_double(key_to_double(size_key(s, (uint64_t)w[0] + s->live_volume)) /
                                             nd->metric.period)
                             : KEY_UNKNOWN;
    case METRIC_DOLLAR_VOLUME_WINDOW:
        return has_traded(s) ? money_key(s, sum_get(w) + s->live_pv) : KEY_UNKNOWN;
    case METRIC_VWAP_WINDOW:
        return vwap_key(sum_get(w) + s->live_pv, (uint64_t)w[2] + s->live_volume);
    case METRIC_VWAP_DIST:
    case METRIC_VWAP_DIST_PCT:
        return dist_key(s, vwap_key(sum_get(w) + s->live_pv, (uint64_t)w[2] + s->live_volume),
                        nd->metric.kind == METRIC_VWAP_DIST_PCT);
    case METRIC_RANGE:
    case METRIC_RANGE_PCT:
    case METRIC_POSITION_IN_RANGE:
        return window_range_key(s, w, nd->metric.kind);
    case METRIC_DOLLAR_VOLUME_DAILY:
        return has_traded(s) ? money_key(s, s->day_pv + s->live_pv) : KEY_UNKNOWN;
    case METRIC_PREMARKET_VOLUME:
        return has_traded(s) ? size_key(s, session_volume(s, SESSION_PREMARKET)) : KEY_UNKNOWN;
    case METRIC_POSTMARKET_VOLUME:
        return has_traded(s) ? size_key(s, session_volume(s, SESSION_POSTMARKET)) : KEY_UNKNOWN;
    case METRIC_RANGE_TODAY:
    case METRIC_RANGE_PCT_TODAY:
        return range_key(day_high(s), day_low(s), nd->metric.kind == METRIC_RANGE_PCT_TODAY);
    case METRIC_POSITION_TODAY:
        return position_key(day_high(s), day_low(s), s->price_e9);
    case METRIC_HIGH_TODAY:
        return day_high(s);
    case METRIC_LOW_TODAY:
        return day_high(s) == KEY_UNKNOWN ? KEY_UNKNOWN : day_low(s);
    case METRIC_CHANGE_FROM_OPEN:
        return priced && open != KEY_UNKNOWN ? s->price_e9 - open : KEY_UNKNOWN;
    case METRIC_CHANGE_FROM_OPEN_PCT:
        return priced && open != KEY_UNKNOWN ? percent_key(s->price_e9 - open, open) : KEY_UNKNOWN;
    case METRIC_RELATIVE_VOLUME:
        return metric_relative_volume(e, s, nd);
    case METRIC_SECONDS_SINCE_TRADE:
        return priced && s->session != SESSION_CLOSED && !s->halted
                   ? key_of_double((double)(s->time_ns - s->trade_ns) / 1e9)
                   : KEY_UNKNOWN;
    case METRIC_MINUTES_IN_MARKET:
        return s->session == SESSION_MARKET
                   ? key_of_double((double)((s->live_start_ns - s->session_start_ns) / MINUTE_NS))
                   : KEY_UNKNOWN;
    case METRIC_HALTED:
        return key_of_double(s->halted);
    case METRIC_DEV:
    case METRIC_CHANGE_OVER:
        return metric_prints(e, s, nd, w);
    case METRIC_SIZE:
        return priced ? size_key(s, s->size) : KEY_UNKNOWN;
    case METRIC_INDICATOR:
        return metric_indicator(e, s, nd);
    case METRIC_VWAP_SESSION:
        return vwap_key(s->session_pv, s->session_volume);
    case METRIC_CHANGE_FROM_CLOSE:
        return priced && prev != KEY_UNKNOWN ? s->price_e9 - prev : KEY_UNKNOWN;
    case METRIC_CHANGE_FROM_CLOSE_PCT:
        return priced && prev != KEY_UNKNOWN ? percent_key(s->price_e9 - prev, prev) : KEY_UNKNOWN;
    case METRIC_GAP_FROM_CLOSE:
        return open != KEY_UNKNOWN && prev != KEY_UNKNOWN ? open - prev : KEY_UNKNOWN;
    case METRIC_GAP_FROM_CLOSE_PCT:
        return open != KEY_UNKNOWN && prev != KEY_UNKNOWN ? percent_key(open - prev, prev) : KEY_UNKNOWN;
    case METRIC_SESSION:
        return key_of_double(s->session);
    case METRIC_SECTOR:
        return attributes_of(e, s)->value[ATTRIBUTE_SECTOR];
    case METRIC_EXCHANGE:
        return attributes_of(e, s)->value[ATTRIBUTE_EXCHANGE];
    case METRIC_FLOAT:
        return attributes_of(e, s)->value[ATTRIBUTE_FLOAT];
    case METRIC_MARKET_CAP:
        return attributes_of(e, s)->value[ATTRIBUTE_MARKET_CAP];
    case METRIC_SHARES_SHORT:
        return attributes_of(e, s)->value[ATTRIBUTE_SHARES_SHORT];
    case METRIC_NEWS_AGE:
    case METRIC_EARNINGS_IN:
        return metric_until(e, s, nd->metric.kind);
    case METRIC_CLOSE_PREMARKET:
    case METRIC_CLOSE_PREMARKET_PCT:
    case METRIC_CLOSE_POSTMARKET:
    case METRIC_CLOSE_POSTMARKET_PCT:
    case METRIC_CHANGE_PCT_DAYS:
    case METRIC_AVG_VOLUME:
    case METRIC_RELATIVE_VOLUME_DAILY:
    case METRIC_RELATIVE_VOLUME_SAME_TIME:
    case METRIC_RANGE_DAYS:
    case METRIC_RANGE_PCT_DAYS:
    case METRIC_POSITION_DAYS:
    case METRIC_BIGGEST_RANGE:
    case METRIC_RELATIVE_RANGE:
    case METRIC_VWAP_DIST_DAY:
    case METRIC_VWAP_DIST_PCT_DAY:
        return metric_days_key(e, s, nd);
#define X(kind, ...) case METRIC_##kind:
        CANDLE_METRICS(X)
#undef X
        return metric_candle_key(e, s, nd);
    case METRIC_DIFFERENCE:
        return computed_key(e, s, &nd->term);
    case METRIC_KIND_COUNT:
        break;
    }
    assert(!"a metric without a value");
    return KEY_UNKNOWN;
}

static inline int64_t node_key(const struct engine *e, const struct symbol *s, uint32_t node)
{
    const struct node *nd = &e->node[node];
    return node_key_at(e, s, nd, state_of(e, s, nd));
}

#endif
