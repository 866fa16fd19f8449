/* Tomorrow's state of indicators, candles and longer bars, built beside today's. They start anew from the
 * bars.keep bars before a trading day: to take all of those at its first moment would be a pause, for every
 * symbol at once. So each symbol takes some of them at clocks in the hour before, and at the switch those
 * that are left.
 *
 * Which bar it starts from is a forecast: no more bars while the market is closed, else one a minute. Where
 * it proves wrong (or no clock came, or a bar has changed since), the switch takes all bars: values never
 * depend on what was built ahead, nor does a checkpoint have it.
 */
#include "core/engine_int.h"

enum { AHEAD_MINUTES = 60, AHEAD_SLICES = 40 };

void ahead_plan(struct engine *e, struct symbol *s)
{
    int64_t end = s->session_end_ns;
    bool day = end > 0 && end != NEVER_NS && session_find(&e->calendar[s->calendar], end).day_ns == end;
    s->ahead_ns = day ? end - AHEAD_MINUTES * MINUTE_NS : NEVER_NS;
    if (day && s->ahead_ns < e->bucket[s->bucket].next_ns)
        e->bucket[s->bucket].next_ns = s->ahead_ns;
}

void ahead_forget(struct engine *e, struct symbol *s)
{
    e->ahead[place_of(e, s)].day_ns = 0;
}

static struct side side_of(const struct engine *e, const struct symbol *s, const struct ahead *a)
{
    return (struct side){.block = e->ahead_block + (size_t)place_of(e, s) * e->block_words,
                         .series_bar = e->ahead_series_bar,
                         .first = a->first,
                         .session = (uint8_t)session_find(&e->calendar[s->calendar], a->day_ns).kind};
}

/* As metrics_rebuild will find it at the switch. */
static uint64_t first_forecast(const struct engine *e, const struct symbol *s, int64_t day_ns)
{
    uint64_t end = s->bars_end;
    if (s->session != SESSION_CLOSED)
        end += (uint64_t)((day_ns - s->live_start_ns) / MINUTE_NS);
    uint64_t first = end - s->bars_base > e->keep ? end - e->keep : s->bars_base;
    return first < s->bars_end ? first : s->bars_end;
}

void metrics_ahead(struct engine *e, struct symbol *s, int64_t t)
{
    struct ahead *a = &e->ahead[place_of(e, s)];
    int64_t day_ns = s->session_end_ns;
    s->ahead_ns = t + MINUTE_NS;
    if (t >= day_ns || s->rebuild || s->bound != e->epoch || e->rules_changed)
        return;
    uint64_t first = first_forecast(e, s, day_ns), some = e->keep / AHEAD_SLICES + 8;
    if (a->day_ns != day_ns || a->first != first || a->epoch != e->epoch) {
        *a = (struct ahead){.day_ns = day_ns, .first = first, .next = first, .epoch = e->epoch};
        memset(side_of(e, s, a).block, 0, e->block_words * sizeof *e->block);
    }
    struct side side = side_of(e, s, a);
    uint64_t to = s->bars_end - a->next > some ? a->next + some : s->bars_end;
    metrics_take(e, s, &side, a->next, to);
    a->next = to;
    if (to == s->bars_end)
        metrics_means(e, s, &side);
}

/* The rest of a state is made of the minute at hand, or of daily bars. */
static bool is_built(const struct engine *e, uint32_t node)
{
    const struct node *nd = &e->node[node];
    return nd->keeper == node && nd->series != SERIES_DAILY &&
           (nd->metric.kind == METRIC_INDICATOR || nd->metric.kind == METRIC_MA_DIST ||
            nd->metric.kind == METRIC_RELATIVE_VOLUME || metric_is_pushed(&nd->metric));
}

static void adopt(const struct engine *e, const struct plan *p, int64_t *to, const int64_t *from)
{
    for (uint32_t i = 0; p && i < p->n_nodes; i++) {
        const struct node *nd = &e->node[p->node[i]];
        if (is_built(e, p->node[i]))
            memcpy(to + nd->state_at, from + nd->state_at, metric_words(&nd->metric) * sizeof *to);
    }
}

uint64_t ahead_adopt(const struct engine *e, struct symbol *s, const struct side *to)
{
    struct ahead *a = &e->ahead[place_of(e, s)];
    if (a->day_ns == 0 || a->day_ns != s->day_start_ns || a->epoch != e->epoch || a->first != to->first)
        return to->first;
    struct side from = side_of(e, s, a);
    adopt(e, &e->market, to->block, from.block);
    adopt(e, scope_plan(e, s), to->block, from.block);
    for (uint32_t k = 0; k < e->n_series; k++) {
        const int64_t *w = from.block + e->series[k].state_at;
        memcpy(to->block + e->series[k].state_at, w, SERIES_WORDS * sizeof *w);
        memcpy(to->series_bar + series_at(e, s, k), from.series_bar + series_at(e, s, k),
               ((uint64_t)w[0] + 1) * sizeof *to->series_bar);
    }
    a->day_ns = 0;
    return a->next;
}
