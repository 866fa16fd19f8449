/* Metrics of prints, not of bars: windows over the last ones that were last sales, as they are kept for
 * corrections (trade_pool.c). A window moves with each print; where prints go or change, metrics_rebuild
 * makes it anew.
 */
#include "core/metric_value.h"

/* A window's words. */
struct window {
    int64_t sum_lo, sum_hi;    /* DEV: of the prices */
    int64_t n;                 /* prints in it */
    int64_t first, block;      /* number of the first of them, and the block that has it */
    int64_t price_e9, time_ns; /* that one's */
};
_Static_assert(sizeof(struct window) == 7 * sizeof(int64_t), "as the catalogue says");

static struct window *window_of(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    return (struct window *)state_of(e, s, nd);
}

static inline void sum_add(struct window *w, int64_t price_e9)
{
    __int128 sum = ((__int128)w->sum_hi << 64 | (uint64_t)w->sum_lo) + price_e9;
    w->sum_lo = (int64_t)sum;
    w->sum_hi = (int64_t)(sum >> 64);
}

static inline void begin_at(struct window *w, uint64_t no, uint32_t block, const struct kept_trade *t)
{
    w->first = (int64_t)no;
    w->block = block;
    w->price_e9 = t->price_e9;
    w->time_ns = t->time_ns;
}

/* The first one leaves; the next last sale is there, since the newest print is one. */
static void leave(const struct engine *e, struct window *w)
{
    uint32_t block = (uint32_t)w->block;
    uint64_t no = (uint64_t)w->first;
    const struct trades_block *b = &e->trades[block];
    const struct kept_trade *t;
    do {
        if (++no == b->first + b->n) {
            block = b->after;
            b = &e->trades[block];
            no = b->first;
        }
        t = &b->trade[no % TRADES_BLOCK];
    } while (!trade_sets_price(t));
    w->n--;
    begin_at(w, no, block, t);
}

/* Is a print that came at time_ns out of the window, the newest having come at newest_ns? */
static inline bool is_past(const struct metric *m, int64_t time_ns, int64_t newest_ns)
{
    return time_ns <= newest_ns - m->period * SECOND_NS;
}

static void push(const struct engine *e, const struct symbol *s, const struct node *nd,
                 const struct kept_trade *t)
{
    struct window *w = window_of(e, s, nd);
    if (w->n++ == 0)
        begin_at(w, s->trades.end - 1, s->trades.last, t);
    if (nd->metric.kind == METRIC_CHANGE_OVER) {
        while (is_past(&nd->metric, w->time_ns, t->time_ns))
            leave(e, w);
        return;
    }
    sum_add(w, t->price_e9);
    if (w->n > nd->metric.period) {
        sum_add(w, -w->price_e9);
        leave(e, w);
    }
}

static void plan_push(const struct engine *e, const struct symbol *s, const struct plan *p,
                      const struct kept_trade *t)
{
    for (uint32_t i = 0; p && i < p->n_on_print; i++)
        push(e, s, &e->node[p->on_print[i]], t);
}

void prints_push(const struct engine *e, const struct symbol *s, const struct kept_trade *t)
{
    plan_push(e, s, &e->market, t);
    plan_push(e, s, scope_plan(e, s), t);
}

static void rebuild(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    struct window *w = window_of(e, s, nd);
    bool dev = nd->metric.kind == METRIC_DEV;
    int64_t newest_ns = INT64_MIN;
    *w = (struct window){0};
    for (uint32_t i = s->trades.last; i != NONE; i = e->trades[i].before)
        for (uint32_t n = trades_in(s, &e->trades[i]); n-- > 0;) {
            uint64_t no = e->trades[i].first + n;
            const struct kept_trade *t = &e->trades[i].trade[n];
            if (!trade_sets_price(t))
                continue;
            newest_ns = newest_ns == INT64_MIN ? t->time_ns : newest_ns;
            if (dev ? w->n == nd->metric.period : is_past(&nd->metric, t->time_ns, newest_ns))
                return;
            if (dev)
                sum_add(w, t->price_e9);
            w->n++;
            begin_at(w, no, i, t);
        }
}

void prints_rebuild(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_on_print; i++)
        rebuild(e, s, &e->node[p->on_print[i]]);
}

void prints_anew(const struct engine *e, const struct symbol *s)
{
    if (s->rebuild || s->bound != e->epoch || e->rules_changed)
        return; /* all is made anew before it is looked at */
    prints_rebuild(e, s, &e->market);
    prints_rebuild(e, s, scope_plan(e, s));
}

int64_t metric_prints(const struct engine *e, const struct symbol *s, const struct node *nd)
{
    const struct window *w = window_of(e, s, nd);
    bool dev = nd->metric.kind == METRIC_DEV;
    if (s->price_e9 == KEY_UNKNOWN || w->n == 0 || (dev && w->n != nd->metric.period))
        return KEY_UNKNOWN;
    double price = (double)s->price_e9, base = (double)w->price_e9;
    if (dev && w->sum_hi == w->sum_lo >> 63) /* the same number, without a call */
        base = (double)w->sum_lo / (double)w->n;
    else if (dev)
        base = (double)((__int128)w->sum_hi << 64 | (uint64_t)w->sum_lo) / (double)w->n;
    return key_of_double(price / base - 1);
}
