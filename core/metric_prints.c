/* Metrics of prints, not of bars: windows over the last ones that were last sales, as they are kept for
 * corrections (trade_pool.c).
 *
 * A window's words: the sum of its prices (128 bits), how many there are, the number of its first print and
 * the block that has it. It moves with each print; where prints go or change, metrics_rebuild makes it anew.
 */
#include "core/metric_value.h"

static const struct kept_trade *first_of(const struct engine *e, const int64_t *w)
{
    return &e->trades[w[4]].trade[(uint64_t)w[3] % TRADES_BLOCK];
}

static void take(int64_t *w, const struct kept_trade *t)
{
    sum_put(w, sum_get(w) + t->price_e9);
    w[2]++;
}

/* The first one leaves; the next last sale is there, since the newest print is one. */
static void leave(const struct engine *e, int64_t *w)
{
    sum_put(w, sum_get(w) - first_of(e, w)->price_e9);
    w[2]--;
    do {
        const struct trades_block *b = &e->trades[w[4]];
        if ((uint64_t)++w[3] == b->first + b->n) {
            w[4] = b->after;
            w[3] = (int64_t)e->trades[b->after].first;
        }
    } while (!trade_sets_price(first_of(e, w)));
}

/* Is a print that came at time_ns out of the window, the newest having come at newest_ns? */
static bool is_past(const struct metric *m, int64_t time_ns, int64_t newest_ns)
{
    return m->kind == METRIC_CHANGE_OVER && time_ns <= newest_ns - m->period * SECOND_NS;
}

static bool is_full(const struct metric *m, const int64_t *w)
{
    return m->kind == METRIC_DEV && w[2] == m->period;
}

static void push(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    int64_t *w = state_of(e, s, nd);
    const struct trades_block *last = &e->trades[s->trades.last];
    const struct kept_trade *t = &last->trade[(s->trades.end - 1) % TRADES_BLOCK];
    bool full = is_full(&nd->metric, w);
    if (w[2] == 0) {
        w[3] = (int64_t)s->trades.end - 1;
        w[4] = s->trades.last;
    }
    take(w, t);
    if (full)
        leave(e, w);
    while (is_past(&nd->metric, first_of(e, w)->time_ns, t->time_ns))
        leave(e, w);
}

static void plan_push(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_on_print; i++)
        push(e, s, &e->node[p->on_print[i]]);
}

void prints_push(const struct engine *e, const struct symbol *s)
{
    plan_push(e, s, &e->market);
    plan_push(e, s, scope_plan(e, s));
}

static void rebuild(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    int64_t *w = state_of(e, s, nd), newest_ns = INT64_MIN;
    memset(w, 0, 5 * sizeof *w);
    for (uint32_t i = s->trades.last; i != NONE; i = e->trades[i].before)
        for (uint32_t n = trades_in(s, &e->trades[i]); n-- > 0;) {
            const struct kept_trade *t = &e->trades[i].trade[n];
            if (!trade_sets_price(t))
                continue;
            newest_ns = newest_ns == INT64_MIN ? t->time_ns : newest_ns;
            if (is_full(&nd->metric, w) || is_past(&nd->metric, t->time_ns, newest_ns))
                return;
            take(w, t);
            w[3] = (int64_t)e->trades[i].first + n;
            w[4] = i;
        }
}

void prints_rebuild(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_on_print; i++)
        rebuild(e, s, &e->node[p->on_print[i]]);
}

int64_t metric_prints(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    const int64_t *w = state_of(e, s, nd);
    if (s->price_e9 == KEY_UNKNOWN || w[2] == 0 ||
        (nd->metric.kind == METRIC_DEV && !is_full(&nd->metric, w)))
        return KEY_UNKNOWN;
    double price = (double)s->price_e9, base;
    if (nd->metric.kind == METRIC_DEV)
        base = (double)sum_get(w) / (double)w[2];
    else
        base = (double)first_of(e, w)->price_e9;
    return key_of_double(price / base - 1);
}
