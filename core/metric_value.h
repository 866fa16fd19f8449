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

static inline int64_t sma_key(const struct symbol *s, const int64_t *w, uint32_t n)
{
    uint64_t k = s->bars_end - s->bars_first;
    __int128 sum;
    if (s->live_trades && k + 1 >= n)
        sum = sum_get(w) + s->close_e9;
    else if (!s->live_trades && k >= n)
        sum = sum_get(w + 2);
    else
        return KEY_UNKNOWN;
    double total = likely((int64_t)sum == sum) ? (double)(int64_t)sum : (double)sum;
    return key_of_double(total / n / 1e9);
}

static inline int64_t ema_key(const struct symbol *s, const struct node *nd, const int64_t *w)
{
    uint64_t k = s->bars_end - s->bars_first;
    uint32_t n = nd->metric.period;
    double v = as_double(w[0]);
    if (s->live_trades && k + 1 >= n)
        v = k + 1 == n ? (v + (double)s->close_e9) / n : v + nd->alpha * ((double)s->close_e9 - v);
    else if (s->live_trades || k < n)
        return KEY_UNKNOWN;
    return key_of_double(v / 1e9);
}

/* 100 - 100 / (1 + gain / loss); with a live bar the factor 1/n of both means cancels out. */
static inline int64_t rsi_key(const struct symbol *s, const int64_t *w, uint32_t n)
{
    uint64_t k = s->bars_end - s->bars_first;
    double gain = as_double(w[0]), loss = as_double(w[1]);
    if (s->live_trades) {
        if (k < n || k == 0)
            return KEY_UNKNOWN;
        double x = (double)(s->close_e9 - w[2]);
        if (k > n) {
            gain *= n - 1;
            loss *= n - 1;
        }
        gain += x > 0 ? x : 0;
        loss += x < 0 ? -x : 0;
    } else if (k < n + 1u) {
        return KEY_UNKNOWN;
    }
    return key_of_double(loss == 0 ? 100.0 : 100.0 * gain / (gain + loss));
}

static inline int64_t node_key(const struct engine *e, const struct symbol *s, uint32_t node)
{
    const struct node *nd = &e->node[node];
    const int64_t *w = state_of(e, s, nd);
    const struct bar *last = s->bars_end ? bar_at(e, s, s->bars_end - 1) : NULL;
    bool priced = s->price_e9 != KEY_UNKNOWN, traded = last || s->live_trades;
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
        return traded ? size_key(s, s->live_volume) : KEY_UNKNOWN;
    case METRIC_VWAP_LIVE:
        return vwap_key(s->live_pv, s->live_volume);
    case METRIC_TRADE_COUNT_LIVE:
        return traded ? key_of_double(s->live_trades) : KEY_UNKNOWN;
    case METRIC_OPEN:
        return last ? last->open_e9 : KEY_UNKNOWN;
    case METRIC_HIGH:
        return last ? last->high_e9 : KEY_UNKNOWN;
    case METRIC_LOW:
        return last ? last->low_e9 : KEY_UNKNOWN;
    case METRIC_CLOSE:
        return last ? last->close_e9 : KEY_UNKNOWN;
    case METRIC_VOLUME:
        return last ? size_key(s, last->volume) : KEY_UNKNOWN;
    case METRIC_VWAP:
        return last ? vwap_key(last->pv, last->volume) : KEY_UNKNOWN;
    case METRIC_CHANGE:
        return priced && w[0] != KEY_UNKNOWN ? s->price_e9 - w[0] : KEY_UNKNOWN;
    case METRIC_CHANGE_PCT:
        return priced && w[0] != KEY_UNKNOWN ? percent_key(s->price_e9 - w[0], w[0]) : KEY_UNKNOWN;
    case METRIC_VOLUME_WINDOW:
        return traded ? size_key(s, (uint64_t)w[0] + s->live_volume) : KEY_UNKNOWN;
    case METRIC_TRADE_COUNT_WINDOW:
        return traded ? key_of_double((double)w[0] + s->live_trades) : KEY_UNKNOWN;
    case METRIC_VOLUME_DAILY:
        return traded ? size_key(s, s->day_volume) : KEY_UNKNOWN;
    case METRIC_SMA:
        return sma_key(s, w, nd->metric.period);
    case METRIC_EMA:
        return ema_key(s, nd, w);
    case METRIC_RSI:
        return rsi_key(s, w, nd->metric.period);
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
    case METRIC_DIFFERENCE:
        return computed_key(e, s, &nd->term);
    case METRIC_KIND_COUNT:
        break;
    }
    assert(!"a metric without a value");
    return KEY_UNKNOWN;
}

#endif
