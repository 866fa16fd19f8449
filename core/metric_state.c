/* What each metric keeps per symbol, and its value. State depends on ended bars and the minute alone, so that
 * it can always be made anew from the kept bars; a value adds what is live: price, live bar, quote, sums. */
#include "core/candle.h"
#include "core/metric_value.h"

static bool is_opening_range(const struct node *nd)
{
    return nd->metric.kind == METRIC_OPENING_BREAKOUT || nd->metric.kind == METRIC_OPENING_BREAKDOWN;
}

/* Windows of clock minutes: what ended bars give to them in the live minute. */
static void window(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *w)
{
    uint64_t i = s->bars_end, oldest = s->bars_base;
    int64_t first = s->live_start_ns / MINUTE_NS - nd->metric.period + 1; /* minute of the window's start */
    uint64_t volume = 0, trades = 0;
    int64_t high = 0, low = 0;
    __int128 pv = 0;
    if (is_opening_range(nd)) {
        metric_opening_range(e, s, nd, w);
        return;
    }
    for (; i > oldest && bar_at(e, s, i - 1)->minute >= first; i--) {
        const struct bar *b = bar_at(e, s, i - 1);
        volume += b->volume;
        trades += b->trades;
        pv += bar_pv_at(e, s, i - 1);
        high = b->high_e9 > high ? b->high_e9 : high;
        low = low == 0 || b->low_e9 < low ? b->low_e9 : low;
    }
    switch (nd->metric.kind) {
    case METRIC_CHANGE:
    case METRIC_CHANGE_PCT:
        w[0] = i > oldest ? bar_at(e, s, i - 1)->close_e9 : KEY_UNKNOWN;
        break;
    case METRIC_VOLUME_WINDOW:
    case METRIC_VOLUME_AVG:
        w[0] = (int64_t)volume;
        break;
    case METRIC_TRADE_COUNT_WINDOW:
        w[0] = (int64_t)trades;
        break;
    case METRIC_DOLLAR_VOLUME_WINDOW:
    case METRIC_VWAP_WINDOW:
    case METRIC_VWAP_DIST:
    case METRIC_VWAP_DIST_PCT:
        sum_put(w, pv);
        if (nd->metric.kind != METRIC_DOLLAR_VOLUME_WINDOW)
            w[2] = (int64_t)volume;
        break;
    case METRIC_RANGE:
    case METRIC_RANGE_PCT:
    case METRIC_POSITION_IN_RANGE:
        w[0] = high;
        w[1] = low;
        break;
    default:
        break;
    }
}

static bool is_window(const struct node *nd)
{
    enum metric_form form = metric_rows[nd->metric.kind].form;
    return form == FORM_WINDOW || form == FORM_SPAN;
}

/* ---- bars of longer timeframes */

static struct side today(const struct engine *e, const struct symbol *s)
{
    return (struct side){
        .block = block_of(e, s), .series_bar = e->series_bar, .first = s->bars_first, .session = s->session};
}

static struct bar_series series_of(const struct engine *e, const struct symbol *s, const struct side *side,
                                   uint32_t series, uint64_t end)
{
    if (series == 0)
        return (struct bar_series){.bar = &minute_bars_of(e, s)->bar,
                                   .stride = sizeof(struct minute_bar),
                                   .zero = s->bars_base,
                                   .first = side->first,
                                   .end = end};
    return (struct bar_series){.bar = series == SERIES_DAILY ? daily_of(e, s)
                                                             : side->series_bar + series_at(e, s, series - 1),
                               .stride = sizeof(struct bar),
                               .end = end};
}

static void bar_join(struct bar *b, const struct bar *x)
{
    b->high_e9 = x->high_e9 > b->high_e9 ? x->high_e9 : b->high_e9;
    b->low_e9 = x->low_e9 < b->low_e9 ? x->low_e9 : b->low_e9;
    b->close_e9 = x->close_e9;
    b->volume += x->volume;
    b->trades += x->trades;
}

/* Gives the bars from .. end - 1 of a timeframe to the indicators and candles of a plan. */
static void plan_push(const struct engine *e, const struct symbol *s, const struct side *side,
                      const struct plan *p, uint32_t series, uint64_t from, uint64_t end)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++) {
        const struct node *nd = &e->node[p->node[i]];
        bool indicator = metric_has_indicator(&nd->metric);
        if ((!indicator && !metric_is_pushed(&nd->metric)) || nd->series != series ||
            nd->keeper != p->node[i])
            continue;
        struct bar_series b = series_of(e, s, side, series, end);
        int64_t *w = side->block + nd->state_at;
        if (indicator)
            indicator_push_all(&nd->metric.indicator, w, &b, from, s->size_scale);
        for (b.end = from; !indicator && b.end++ < end;)
            candle_push(&nd->metric, w, &b, s->size_scale);
    }
}

static void push_all(const struct engine *e, const struct symbol *s, const struct side *side, uint32_t series,
                     uint64_t from, uint64_t end)
{
    plan_push(e, s, side, &e->market, series, from, end);
    plan_push(e, s, side, scope_plan(e, s), series, from, end);
}

/* RELATIVE_VOLUME: w[0] mean volume of the last bars of this kind of session, as a double at the symbol's
 * scale, 0 if there is none; w[1], w[2]: bars ended and session for which it is that, + 1. */
static void mean_volume(const struct engine *e, const struct symbol *s, const struct side *side,
                        const struct node *nd, uint64_t end)
{
    enum { BARS = 10 };
    int64_t *w = side->block + nd->state_at;
    if (w[1] == (int64_t)end + 1 && w[2] == side->session + 1)
        return;
    struct bar_series b = series_of(e, s, side, nd->series, end);
    uint64_t sum = 0;
    unsigned n = 0;
    for (uint64_t i = end; i > b.first && n < BARS; i--)
        if (series_bar(&b, i - 1)->session == side->session) {
            sum += series_bar(&b, i - 1)->volume;
            n++;
        }
    w[0] = as_bits(n ? (double)sum / n : 0);
    w[1] = (int64_t)end + 1;
    w[2] = side->session + 1;
}

static uint64_t series_ended(const struct engine *e, const struct symbol *s, const struct side *side,
                             uint32_t series)
{
    return series ? (uint64_t)side->block[e->series[series - 1].state_at] : s->bars_end;
}

static void plan_means(const struct engine *e, const struct symbol *s, const struct side *side,
                       const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++) {
        const struct node *nd = &e->node[p->node[i]];
        if (nd->metric.kind == METRIC_RELATIVE_VOLUME)
            mean_volume(e, s, side, nd, series_ended(e, s, side, nd->series));
    }
}

void metrics_means(const struct engine *e, const struct symbol *s, const struct side *side)
{
    plan_means(e, s, side, &e->market);
    plan_means(e, s, side, scope_plan(e, s));
}

static void plan_same_time(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++)
        if (e->node[p->node[i]].metric.kind == METRIC_RELATIVE_VOLUME_SAME_TIME)
            metric_same_time(e, s, &e->node[p->node[i]]);
}

int64_t metric_relative_volume(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    double mean = as_double(state_of(e, s, nd)[0]), live = (double)s->live_volume;
    if (s->session == SESSION_CLOSED || mean == 0)
        return KEY_UNKNOWN;
    int64_t length = nd->metric.timeframe * MINUTE_NS, since = s->time_ns - s->session_start_ns;
    int64_t start = s->session_start_ns + since / length * length, end = start + length;
    end = end < s->session_end_ns ? end : s->session_end_ns;
    if (nd->series) {
        const int64_t *w = block_of(e, s) + e->series[nd->series - 1].state_at;
        if (w[1])
            live += (double)series_bars(e, s, nd->series - 1)[w[0]].volume;
    }
    double left = 1 - (double)(s->time_ns - start) / (double)(end - start);
    return key_number(100 * (live + left * mean) / mean);
}

static void series_close(const struct engine *e, const struct symbol *s, const struct side *side, uint32_t k,
                         int64_t *w)
{
    w[0]++;
    w[1] = 0;
    push_all(e, s, side, k + 1, (uint64_t)w[0] - 1, (uint64_t)w[0]);
}

/* The ended 1-minute bar x belongs to the series. */
static void series_add(const struct engine *e, const struct symbol *s, const struct side *side, uint32_t k,
                       const struct bar *x)
{
    int64_t *w = side->block + e->series[k].state_at, t = (int64_t)x->minute * MINUTE_NS;
    if (w[1] && t >= w[1])
        series_close(e, s, side, k, w);
    struct bar *open = &side->series_bar[series_at(e, s, k) + (uint64_t)w[0]];
    if (w[1]) {
        bar_join(open, x);
    } else {
        w[1] = bar_end(e, s, t, e->series[k].minutes);
        *open = *x;
    }
}

/* The live minute may be beyond the open bar. */
static void series_end(const struct engine *e, const struct symbol *s, const struct side *side, uint32_t k)
{
    int64_t *w = side->block + e->series[k].state_at;
    if (w[1] && s->live_start_ns >= w[1])
        series_close(e, s, side, k, w);
}

static unsigned series_in_use(const struct engine *e, const struct symbol *s)
{
    const struct plan *q = scope_plan(e, s);
    return e->market.series | (q ? q->series : 0);
}

static inline bool bars_now(const struct engine *e, const struct symbol *s, uint32_t series,
                            struct bar_series *ended, struct bar *live)
{
    *live = (struct bar){.open_e9 = s->open_e9,
                         .high_e9 = s->high_e9,
                         .low_e9 = s->low_e9,
                         .close_e9 = s->close_e9,
                         .volume = s->live_volume,
                         .trades = s->live_trades};
    bool has_live = s->live_trades != 0;
    uint64_t end = s->bars_end;
    if (series == SERIES_DAILY) {
        has_live = daily_live(s, live);
        end = s->daily_end;
    } else if (series) {
        const int64_t *w = block_of(e, s) + e->series[series - 1].state_at;
        end = (uint64_t)w[0];
        if (w[1]) {
            struct bar open = series_bars(e, s, series - 1)[end];
            if (has_live)
                bar_join(&open, live);
            *live = open;
            has_live = true;
        }
    }
    struct side side = today(e, s);
    *ended = series_of(e, s, &side, series, end);
    return has_live;
}

bool metric_bars(const struct engine *e, const struct symbol *s, uint32_t series, struct bar_series *ended,
                 struct bar *live)
{
    return bars_now(e, s, series, ended, live);
}

int64_t metric_indicator(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    struct bar_series b;
    struct bar live;
    bool has_live = bars_now(e, s, nd->series, &b, &live);
    double v = indicator_value(&nd->metric.indicator, state_of(e, s, nd), &b, has_live ? &live : NULL,
                               s->size_scale);
    return key_number(v);
}

int64_t metric_until(const struct engine *e, const struct symbol *s, enum metric_kind kind)
{
    const struct attributes *a = attributes_of(e, s);
    if (s->session == SESSION_CLOSED)
        return KEY_UNKNOWN;
    return kind == METRIC_NEWS_AGE ? attribute_news_age(a, s->time_ns) : attribute_earnings_in(a, s->time_ns);
}

/* ---- minutes, days */

static void plan_windows(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++)
        if (is_window(&e->node[p->node[i]]))
            window(e, s, &e->node[p->node[i]], state_of(e, s, &e->node[p->node[i]]));
}

/* The bars of a timeframe are made anew from those of one minute, all states with them. */
static void plan_clear(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++) {
        const struct node *nd = &e->node[p->node[i]];
        memset(state_of(e, s, nd), 0, metric_words(&nd->metric) * sizeof(int64_t));
    }
}

void metrics_take(const struct engine *e, const struct symbol *s, const struct side *side, uint64_t from,
                  uint64_t to)
{
    push_all(e, s, side, 0, from, to);
    for (unsigned left = series_in_use(e, s); left; left &= left - 1)
        for (uint64_t i = from; i < to; i++)
            series_add(e, s, side, (uint32_t)__builtin_ctz(left), bar_at(e, s, i));
}

/* All bars are taken: what the live minute makes of them. */
static void metrics_settle(const struct engine *e, const struct symbol *s, const struct side *side)
{
    for (unsigned left = series_in_use(e, s); left; left &= left - 1)
        series_end(e, s, side, (uint32_t)__builtin_ctz(left));
    metrics_means(e, s, side);
    plan_same_time(e, s, &e->market);
    plan_same_time(e, s, scope_plan(e, s));
}

void metrics_roll(const struct engine *e, struct symbol *s, bool pushed)
{
    const struct plan *q = scope_plan(e, s);
    struct side side = today(e, s);
    plan_windows(e, s, &e->market);
    plan_windows(e, s, q);
    if (pushed)
        metrics_take(e, s, &side, s->bars_end - 1, s->bars_end);
    metrics_settle(e, s, &side);
}

/* What is made of the daily bars before today. */
static void plan_days(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    struct side side = today(e, s);
    plan_push(e, s, &side, p, SERIES_DAILY, 0, s->daily_end);
    for (uint32_t i = 0; p && i < p->n_nodes; i++)
        metric_days(e, s, &e->node[p->node[i]]);
}

/* Indicators start from the trading day's start, with the bars.keep bars of one minute before it. */
void metrics_rebuild(const struct engine *e, struct symbol *s)
{
    const struct plan *q = scope_plan(e, s);
    uint64_t oldest = s->bars_base, i = s->bars_end;
    while (i > oldest && (int64_t)bar_at(e, s, i - 1)->minute * MINUTE_NS >= s->day_start_ns)
        i--;
    s->bars_first = i - oldest > e->keep ? i - e->keep : oldest;
    plan_clear(e, s, &e->market);
    plan_clear(e, s, q);
    plan_windows(e, s, &e->market);
    plan_windows(e, s, q);
    plan_days(e, s, &e->market);
    plan_days(e, s, q);
    for (unsigned left = series_in_use(e, s); left; left &= left - 1)
        memset(block_of(e, s) + e->series[__builtin_ctz(left)].state_at, 0, SERIES_WORDS * sizeof(int64_t));
    struct side side = today(e, s);
    metrics_take(e, s, &side, ahead_adopt(e, s, &side), s->bars_end);
    metrics_settle(e, s, &side);
    s->rebuild = false;
}
