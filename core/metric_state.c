/* What each metric keeps per symbol, and its value. State depends on ended bars and the minute alone, so that
 * it can always be made anew from the kept bars; a value adds what is live: price, live bar, quote, sums. */
#include "core/metric_value.h"

/* SMA: w[0..1] sum of the last n-1 closes, w[2..3] of the last n. EMA: w[0] the mean, the sum before there is
 * one. RSI: w[0] mean gain, w[1] mean loss (the sums before there are means), w[2] last close. Closes and
 * changes are exact integers at 1e-9; k = ended bars, this one included. */
static void push(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *w,
                 uint64_t k)
{
    int64_t close = bar_at(e, s, s->bars_first + k - 1)->close_e9;
    uint32_t n = nd->metric.period;
    switch (nd->metric.kind) {
    case METRIC_SMA: {
        __int128 sum = sum_get(w) + close;
        if (k >= n) {
            sum_put(w + 2, sum);
            sum -= bar_at(e, s, s->bars_first + k - n)->close_e9;
        }
        sum_put(w, sum);
        break;
    }
    case METRIC_EMA: {
        double v = as_double(w[0]), c = (double)close;
        w[0] = as_bits(k < n ? v + c : k == n ? (v + c) / n : v + nd->alpha * (c - v));
        break;
    }
    case METRIC_RSI: {
        if (k > 1) {
            double x = (double)(close - w[2]), up = x > 0 ? x : 0, down = x < 0 ? -x : 0;
            double gain = as_double(w[0]), loss = as_double(w[1]);
            if (k - 1 > n) { /* from means back to sums */
                gain *= n - 1;
                loss *= n - 1;
            }
            w[0] = as_bits(k - 1 < n ? gain + up : (gain + up) / n);
            w[1] = as_bits(k - 1 < n ? loss + down : (loss + down) / n);
        }
        w[2] = close;
        break;
    }
    default:
        break;
    }
}

/* Windows of clock minutes: what ended bars give to them in the live minute. */
static void window(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *w)
{
    uint64_t i = s->bars_end, oldest = bars_oldest(e, s);
    int64_t first = s->live_start_ns / MINUTE_NS - nd->metric.period + 1; /* minute of the window's start */
    uint64_t volume = 0, trades = 0;
    for (; i > oldest && bar_at(e, s, i - 1)->minute >= first; i--) {
        volume += bar_at(e, s, i - 1)->volume;
        trades += bar_at(e, s, i - 1)->trades;
    }
    switch (nd->metric.kind) {
    case METRIC_CHANGE:
    case METRIC_CHANGE_PCT:
        w[0] = i > oldest ? bar_at(e, s, i - 1)->close_e9 : KEY_UNKNOWN;
        break;
    case METRIC_VOLUME_WINDOW:
        w[0] = (int64_t)volume;
        break;
    case METRIC_TRADE_COUNT_WINDOW:
        w[0] = (int64_t)trades;
        break;
    default:
        break;
    }
}

static void node_roll(const struct engine *e, const struct symbol *s, uint32_t node, bool pushed)
{
    const struct node *nd = &e->node[node];
    int64_t *w = state_of(e, s, nd);
    enum metric_form form = metric_rows[nd->metric.kind].form;
    if (form == FORM_WINDOW)
        window(e, s, nd, w);
    else if (form == FORM_PERIOD && pushed)
        push(e, s, nd, w, s->bars_end - s->bars_first);
}

static void node_rebuild(const struct engine *e, const struct symbol *s, uint32_t node)
{
    const struct node *nd = &e->node[node];
    int64_t *w = state_of(e, s, nd);
    for (unsigned i = 0; i < metric_rows[nd->metric.kind].state_words; i++)
        w[i] = 0;
    if (metric_rows[nd->metric.kind].form == FORM_WINDOW)
        window(e, s, nd, w);
    else if (metric_rows[nd->metric.kind].form == FORM_PERIOD)
        for (uint64_t k = 1; k <= s->bars_end - s->bars_first; k++)
            push(e, s, nd, w, k);
}

void metrics_roll(const struct engine *e, struct symbol *s, bool pushed)
{
    const struct plan *q = scope_plan(e, s);
    for (uint32_t i = 0; i < e->market.n_nodes; i++)
        node_roll(e, s, e->market.node[i], pushed);
    for (uint32_t i = 0; q && i < q->n_nodes; i++)
        node_roll(e, s, q->node[i], pushed);
}

/* Recursive metrics start from the trading day's start, with the bars.keep bars before it. */
void metrics_rebuild(const struct engine *e, struct symbol *s)
{
    const struct plan *q = scope_plan(e, s);
    uint64_t oldest = bars_oldest(e, s), i = s->bars_end;
    while (i > oldest && (int64_t)bar_at(e, s, i - 1)->minute * MINUTE_NS >= s->day_start_ns)
        i--;
    s->bars_first = i - oldest > e->keep ? i - e->keep : oldest;
    for (uint32_t n = 0; n < e->market.n_nodes; n++)
        node_rebuild(e, s, e->market.node[n]);
    for (uint32_t n = 0; q && n < q->n_nodes; n++)
        node_rebuild(e, s, q->node[n]);
    s->rebuild = false;
}
