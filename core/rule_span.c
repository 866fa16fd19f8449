/* Truth over time: `for N bars`, `within T`. What is in a span is an instance of its own, looked at wherever
 * one of its comparisons flips, either way; the span is an index with one bound, so what is outside takes its
 * flips like those of any metric. What has to be remembered for a symbol is a fire: of a WITHIN while its
 * condition has been true within T, in a heap by the time at which that ends; of a FOR while its condition
 * was not false at the last bar's end. So a tick costs O(flips), a bar's end O(FORs that hold). */
#include "core/metric_value.h"
#include "core/rule_pool.h"
#include "core/rule_truth.h"

static const struct expr_node *span_of(const struct engine *e, const struct instance *in)
{
    return &e->rule[in->rule].node[in->span - 1];
}

/* The symbol's index of a span; NULL if its rules have none. */
static const struct index *index_of(const struct engine *e, const struct symbol *s, uint32_t node)
{
    const struct plan *q = scope_plan(e, s);
    const struct index *ix = span_index(&e->market, node);
    return ix || !q ? ix : span_index(q, node);
}

/* ---- what is remembered */

static struct fire *memory_of(const struct engine *e, const struct symbol *s, const struct instance *in)
{
    uint32_t cell = *fire_cell(e, place_of(e, s), SPAN_IDENT | span_node(e, in));
    return cell ? &e->fire[cell - 1] : NULL;
}

/* … of a version that is not in force any more. */
static bool is_stale(const struct engine *e, const struct symbol *s, const struct fire *f)
{
    const struct loaded_rule *r = &e->rule[f->rule];
    return !r->live || s->time_ns >= r->expires_ns;
}

/* What is remembered for the version in force. */
static struct fire *memory_in_force(struct engine *e, const struct symbol *s, const struct instance *in)
{
    struct fire *f = memory_of(e, s, in);
    if (f && f->rule != in->rule) {
        f->rule = in->rule;
        f->k = in->span - 1;
        f->last_ns = INT64_MIN;
        f->ended = f->sound = 0;
        f->now = FALSE;
    }
    return f;
}

/* Room to remember; NULL if there is none, which is counted. */
static struct fire *memory_begin(struct engine *e, struct symbol *s, const struct instance *in,
                                 enum fire_kind kind)
{
    bool fresh;
    uint32_t f = fire_take(e, s, SPAN_IDENT | span_node(e, in), &fresh);
    if (f == NONE)
        return NULL;
    e->fire[f].rule = in->rule;
    e->fire[f].k = in->span - 1;
    e->fire[f].kind = (uint8_t)kind;
    e->fire[f].now = FALSE;
    return &e->fire[f];
}

static uint32_t number_of(const struct engine *e, const struct fire *f)
{
    return (uint32_t)(f - e->fire);
}

static void within_wait(struct engine *e, struct symbol *s, uint32_t f, int64_t due_ns)
{
    struct bucket *b = &e->bucket[s->bucket];
    heap_push(e, &s->within, f, due_ns);
    due_update(e, s);
    if (s->span_ns < b->next_ns)
        b->next_ns = s->span_ns;
}

/* ---- values */

static enum truth within_value(const struct symbol *s, const struct expr_node *x, const struct fire *f,
                               enum truth now)
{
    return now == TRUE || (f && (f->now == TRUE || f->last_ns > s->time_ns - x->bound_lo)) ? TRUE : now;
}

static enum truth for_value(const struct expr_node *x, const struct fire *f, enum truth now)
{
    int64_t bars = x->bound_lo - 1;
    enum truth before = !f || f->ended < bars ? FALSE : f->sound < bars ? UNKNOWN : TRUE;
    return now < before ? now : before;
}

/* moment: what it is at this very evaluation; now: what it is from it on. */
static enum truth within_look(struct engine *e, struct symbol *s, const struct instance *in,
                              enum truth moment, enum truth now)
{
    const struct expr_node *x = span_of(e, in);
    struct fire *f = memory_in_force(e, s, in);
    bool was = f && f->now == TRUE;
    if (!f && (moment == TRUE || now == TRUE) && (f = memory_begin(e, s, in, FIRE_WITHIN)))
        within_wait(e, s, number_of(e, f), s->time_ns + x->bound_lo);
    if (f) {
        f->before = was || f->last_ns > s->time_ns - x->bound_lo;
        f->looked = e->seq;
        if (was || moment == TRUE || now == TRUE)
            f->last_ns = s->time_ns;
        f->now = (uint8_t)now;
    }
    return within_value(s, x, f, now);
}

/* first: the version's first look at the symbol. */
static enum truth for_look(struct engine *e, struct symbol *s, const struct instance *in, enum truth now,
                           bool first)
{
    const struct expr_node *x = span_of(e, in);
    struct fire *f = memory_in_force(e, s, in);
    if (!f && now != FALSE && (f = memory_begin(e, s, in, FIRE_FOR))) {
        f->sibling = s->fors;
        s->fors = number_of(e, f);
    }
    if (f) {
        if (first && now != FALSE)
            f->ended = (uint16_t)(x->bound_lo - 1);
        f->now = (uint8_t)now;
    }
    return for_value(x, f, now);
}

/* ---- evaluation */

static void touch_instance(struct engine *e, uint32_t instance)
{
    struct instance *in = &e->instance[instance];
    if (!in->span || in->seen == e->stamp)
        return;
    in->seen = e->stamp;
    unsigned level = span_of(e, in)->level;
    e->touched[(size_t)level * e->limits.metrics * CURSORS_PER_METRIC + e->n_touched[level]++] = instance;
}

static void touch_list(struct engine *e, const uint32_t *list, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        touch_instance(e, list[i]);
}

/* The spans that look at what a change has passed over. */
static void touch_change(struct engine *e, const struct change *c)
{
    const struct index *ix = c->index;
    uint32_t end = ix->n + 1;
    if (c->from == CURSOR_NONE || c->to == CURSOR_NONE) {
        touch_list(e, ix->up, 0, ix->up_at[end]); /* each of their comparisons is in both lists */
    } else if (c->to > c->from) {
        touch_list(e, ix->up, ix->up_at[c->from], ix->up_at[c->to]);
    } else {
        touch_list(e, ix->down, ix->down_at[c->to], ix->down_at[c->from]);
    }
}

static void touch_new(struct engine *e, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_spans; i++)
        if (e->rule[e->instance[p->span[i]].rule].epoch > e->bind_epoch)
            touch_instance(e, p->span[i]);
}

static void touch_memory(struct engine *e, const struct symbol *s, const struct fire *f)
{
    const struct index *ix = index_of(e, s, f->ident & ~(uint32_t)SPAN_IDENT);
    if (ix)
        touch_instance(e, ix->span - 1);
}

/* The WITHINs whose time may be over: those whose condition was true later wait on, the others end. */
static void withins_due(struct engine *e, struct symbol *s)
{
    int64_t t = s->time_ns;
    while (heap_due_ns(e, s->within) <= t) {
        uint32_t f = heap_pop(e, &s->within);
        struct fire *x = &e->fire[f];
        bool stale = is_stale(e, s, x);
        int64_t time_ns = e->rule[x->rule].node[x->k].bound_lo, last_ns = x->now == TRUE ? t : x->last_ns;
        if (!stale && last_ns > t - time_ns) {
            within_wait(e, s, f, last_ns + time_ns);
            continue;
        }
        touch_memory(e, s, x);
        fire_give(e, f);
    }
    due_update(e, s);
}

static uint32_t cursor_of_truth(enum truth t)
{
    return t == UNKNOWN ? CURSOR_NONE : t == FALSE ? 1 : 2;
}

static void span_look(struct engine *e, struct symbol *s, uint32_t *cursor, uint32_t instance, enum eval what)
{
    const struct instance *in = &e->instance[instance];
    const struct loaded_rule *r = &e->rule[in->rule];
    if (r->epoch > s->epoch || r->trigger == TRIGGER_BAR_CLOSE || s->time_ns >= r->expires_ns)
        return;
    enum truth now = truth_of(e, cursor, in, NO_EVENTS), moment = now, t;
    if (r->events && what != EVAL_SILENT && events_count(e, s, r))
        moment = truth_of(e, cursor, in, AS_NOW);
    if (span_of(e, in)->op == EXPR_WITHIN)
        t = within_look(e, s, in, moment, now);
    else
        t = for_look(e, s, in, now, e->arrived && r->epoch > e->bind_epoch);
    const struct index *ix = index_of(e, s, span_node(e, in));
    uint32_t from = cursor[ix->slot], to = cursor_of_truth(t);
    if (from == to)
        return;
    e->old_cursor[ix->slot] = from;
    e->old_stamp[ix->slot] = e->stamp;
    cursor[ix->slot] = to;
    e->change[e->n_changes] = (struct change){.index = ix, .from = from, .to = to};
    touch_change(e, &e->change[e->n_changes++]); /* the spans that this one is in are of a higher level */
}

void spans_settle(struct engine *e, struct symbol *s, enum eval what)
{
    uint32_t *cursor = cursors_of(e, s);
    memset(e->n_touched, 0, sizeof e->n_touched);
    for (uint32_t i = 0; i < e->n_changes; i++)
        touch_change(e, &e->change[i]);
    if (e->arrived) {
        touch_new(e, &e->market);
        touch_new(e, scope_plan(e, s));
    }
    if (s->span_ns <= s->time_ns)
        withins_due(e, s);
    for (uint32_t f = s->spans_moved ? s->fors : NONE; f != NONE; f = e->fire[f].sibling)
        touch_memory(e, s, &e->fire[f]);
    s->spans_moved = false;
    for (unsigned level = 0; level < EXPR_LEVELS; level++)
        for (uint32_t i = 0; i < e->n_touched[level]; i++)
            span_look(e, s, cursor, e->touched[(size_t)level * e->limits.metrics * CURSORS_PER_METRIC + i],
                      what);
}

static void plan_bind(struct engine *e, struct symbol *s, const struct plan *p, uint32_t *cursor)
{
    for (uint32_t i = 0; p && i < p->n_spans; i++) {
        const struct instance *in = &e->instance[p->span[i]];
        const struct expr_node *x = span_of(e, in);
        const struct fire *f = memory_of(e, s, in);
        enum truth now = truth_of(e, cursor, in, NO_EVENTS);
        f = f && f->rule == in->rule ? f : NULL;
        cursor[span_index(p, span_node(e, in))->slot] =
            cursor_of_truth(x->op == EXPR_WITHIN ? within_value(s, x, f, now) : for_value(x, f, now));
    }
}

void spans_bind(struct engine *e, struct symbol *s)
{
    plan_bind(e, s, &e->market, cursors_of(e, s));
    plan_bind(e, s, scope_plan(e, s), cursors_of(e, s));
}

/* ---- bars' ends */

/* The end of the bar of `minutes` in which the symbol last traded. */
static int64_t last_bar_end(const struct engine *e, const struct symbol *s, unsigned minutes)
{
    int64_t t = (int64_t)bar_at(e, s, s->bars_end - 1)->minute * MINUTE_NS;
    return minutes == 1 ? t + MINUTE_NS : bar_end(e, s, t, minutes);
}

static uint16_t one_more(uint16_t n, int64_t most)
{
    return n < most ? n + 1 : n;
}

/* What a bar's end adds to what is remembered. */
static void for_count(const struct expr_node *x, struct fire *f, enum truth at_end)
{
    f->ended = at_end == FALSE ? 0 : one_more(f->ended, x->bound_lo - 1);
    f->sound = at_end == TRUE ? one_more(f->sound, x->bound_lo - 1) : 0;
}

void spans_bar_end(struct engine *e, struct symbol *s, int64_t was_ns)
{
    for (uint32_t *link = &s->fors; *link != NONE;) {
        struct fire *f = &e->fire[*link];
        const struct loaded_rule *r = &e->rule[f->rule];
        const struct expr_node *x = &r->node[f->k];
        bool stale = is_stale(e, s, f), close = r->trigger == TRIGGER_BAR_CLOSE;
        int64_t end = s->bars_end ? last_bar_end(e, s, x->right) : NEVER_NS;
        bool ended = was_ns < end && end <= s->live_start_ns;
        if (ended && !close) {
            for_count(x, f, (enum truth)f->now);
            s->spans_moved = true;
        }
        if (stale || ((ended || close) && f->now == FALSE)) {
            uint32_t n = *link;
            *link = f->sibling;
            fire_give(e, n);
        } else {
            link = &f->sibling;
        }
    }
}

/* Of rules that bars' ends alone evaluate: the end at hand is now, and then one of those before. */
static enum truth close_look(struct engine *e, struct symbol *s, const struct instance *in)
{
    const struct expr_node *x = span_of(e, in);
    enum truth now = truth_of(e, e->close_cursor, in, NO_EVENTS), t;
    if (x->op == EXPR_WITHIN) {
        t = within_look(e, s, in, now, now);
        struct fire *f = memory_of(e, s, in);
        if (f)
            f->now = FALSE; /* true for the moment alone */
        return t;
    }
    t = for_look(e, s, in, now, false);
    struct fire *f = memory_of(e, s, in);
    if (f)
        for_count(x, f, now);
    return t;
}

static void plan_close(struct engine *e, struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_spans; i++) {
        const struct instance *in = &e->instance[p->span[i]];
        const struct loaded_rule *r = &e->rule[in->rule];
        if (r->trigger == TRIGGER_BAR_CLOSE && r->epoch <= s->epoch && s->time_ns < r->expires_ns)
            e->close_cursor[span_index(p, span_node(e, in))->slot] = cursor_of_truth(close_look(e, s, in));
    }
}

void spans_close(struct engine *e, struct symbol *s)
{
    plan_close(e, s, &e->market);
    plan_close(e, s, scope_plan(e, s));
}

uint32_t span_cursor(const struct engine *e, const struct symbol *s, uint32_t node, bool at_close)
{
    const struct index *ix = index_of(e, s, node);
    return !ix ? CURSOR_NONE : at_close ? e->close_cursor[ix->slot] : cursors_of(e, s)[ix->slot];
}
