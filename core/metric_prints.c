/* Metrics of prints, not of bars: windows over the last ones that were last sales, as they are kept for
 * corrections (trade_pool.c). A window is moved on to the newest print when its value is asked for, which may
 * be seldom (rule_sieve.h); where prints have gone or changed it is made anew.
 */
#include "core/metric_value.h"

/* A window's words. */
struct window {
    int64_t sum[2];            /* of the prices */
    int64_t n;                 /* prints in it */
    int64_t first, block;      /* number of the first of them, and the block that has it */
    int64_t price_e9, time_ns; /* that one's */
    int64_t upto;              /* 1 + number of the print behind those looked at; 0: to be made anew */
};
_Static_assert(sizeof(struct window) == 8 * sizeof(int64_t), "as the catalogue says");

static inline void begin_at(struct window *w, uint64_t no, uint32_t block, const struct kept_trade *t)
{
    w->first = (int64_t)no;
    w->block = block;
    w->price_e9 = t->price_e9;
    w->time_ns = t->time_ns;
}

/* The first one leaves; the next last sale is there, since the newest print is one. */
static inline void leave(const struct engine *e, struct window *w)
{
    uint32_t block = (uint32_t)w->block;
    const struct trades_block *b = &e->trades[block];
    uint64_t place = (uint64_t)w->first - b->first;
    do {
        if (unlikely(++place == b->n)) {
            block = b->after;
            b = &e->trades[block];
            place = 0;
        }
    } while (!trade_sets_price(&b->trade[place]));
    __builtin_prefetch(&b->trade[place + 1]);
    w->n--;
    begin_at(w, b->first + place, block, &b->trade[place]);
}

/* The time at which a print is too old for it, the newest being that one. */
static inline int64_t past_ns(const struct metric *m, const struct kept_trade *newest)
{
    return newest->time_ns - m->period * SECOND_NS;
}

/* Takes in the prints from `upto` on, the first of which is in that block. */
static inline void move_on(const struct engine *e, const struct symbol *s, const struct metric *m,
                           struct window *w, uint32_t block)
{
    const struct trades_block *b = &e->trades[block];
    const struct kept_trade *newest = NULL;
    __int128 sum = sum_get(w->sum);
    for (uint64_t no = (uint64_t)w->upto - 1; no < s->trades.end; no++) {
        if (unlikely(no == b->first + b->n)) {
            block = b->after;
            b = &e->trades[block];
        }
        const struct kept_trade *t = &b->trade[no - b->first];
        if (unlikely(!trade_sets_price(t)))
            continue;
        if (unlikely(w->n++ == 0))
            begin_at(w, no, block, t);
        sum += t->price_e9;
        newest = t;
    }
    if (!newest)
        return;
    bool dev = m->kind == METRIC_DEV;
    for (int64_t past = past_ns(m, newest); dev ? w->n > m->period : w->time_ns <= past; leave(e, w))
        sum -= w->price_e9;
    sum_put(w->sum, sum);
}

static void make_anew(const struct engine *e, const struct symbol *s, const struct metric *m,
                      struct window *w)
{
    bool dev = m->kind == METRIC_DEV;
    int64_t past = INT64_MIN;
    *w = (struct window){0};
    for (uint32_t i = s->trades.last; i != NONE; i = e->trades[i].before)
        for (uint32_t n = trades_in(s, &e->trades[i]); n-- > 0;) {
            const struct kept_trade *t = &e->trades[i].trade[n];
            if (!trade_sets_price(t))
                continue;
            past = w->n == 0 ? past_ns(m, t) : past;
            if (dev ? w->n == m->period : t->time_ns <= past)
                return;
            sum_put(w->sum, sum_get(w->sum) + t->price_e9);
            w->n++;
            begin_at(w, e->trades[i].first + n, i, t);
        }
}

/* Makes the window that of the newest print. */
static inline void window_update(const struct engine *e, const struct symbol *s, const struct metric *m,
                                 struct window *w)
{
    uint64_t behind = s->trades.end + 1 - (uint64_t)w->upto;
    if (behind == 0)
        return;
    uint32_t block = w->upto ? trades_block_of(e, s, (uint64_t)w->upto - 1) : NONE;
    struct window moved = *w; /* in registers while it moves */
    if (block == NONE || (m->kind == METRIC_DEV && behind >= m->period))
        make_anew(e, s, m, &moved);
    else
        move_on(e, s, m, &moved, block);
    moved.upto = (int64_t)s->trades.end + 1;
    *w = moved;
}

static void plan_void(const struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++)
        if (metric_of_prints(&e->node[p->node[i]].metric))
            ((struct window *)state_of(e, s, &e->node[p->node[i]]))->upto = 0;
}

void prints_void(const struct engine *e, const struct symbol *s)
{
    if (s->rebuild || s->bound != e->epoch || e->rules_changed)
        return; /* all is made anew before it is looked at */
    plan_void(e, s, &e->market);
    plan_void(e, s, scope_plan(e, s));
}

int64_t metric_prints(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *state)
{
    struct window *w = (struct window *)state;
    bool dev = nd->metric.kind == METRIC_DEV;
    window_update(e, s, &nd->metric, w);
    if (s->price_e9 == KEY_UNKNOWN || w->n == 0 || (dev && w->n != nd->metric.period))
        return KEY_UNKNOWN;
    double price = (double)s->price_e9, base = (double)w->price_e9;
    if (dev && w->sum[1] == w->sum[0] >> 63) /* the same number, without a call */
        base = (double)w->sum[0] / (double)w->n;
    else if (dev)
        base = (double)sum_get(w->sum) / (double)w->n;
    return key_of_double(price / base - 1);
}
