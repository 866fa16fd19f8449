/* An alert whose deciding print is cancelled: what would it have said without it? The symbol is asked as of
 * the alert's message (past.c), with the metrics of the rules in question alone, and the expression is
 * evaluated as the tree that it is, so that a version that is no longer in force is asked as well.
 *
 * What was evaluated before that message is not kept, so a clue is, of two bits for each crossing and span:
 * the truth it had, or that what it looks at decides. A crossing that was one is one still if its comparison
 * holds; a `for` that was true had its earlier bars; a `within` that was true is asked again only if nothing
 * but this message made it so. */
#include "core/metric_value.h"
#include "core/rule_pool.h"
#include "core/rule_truth.h"

enum { ASK = 3 /* beside enum truth */, CLUES_PER_WORD = 32 };

static bool has_clue(const struct expr_node *x)
{
    return expr_is_span(x->op) || (x->op < EXPR_AND && x->event);
}

uint8_t alert_clue_words(const struct loaded_rule *r)
{
    unsigned n = 0;
    for (unsigned i = 0; (r->events || r->n_spans) && i < r->n_nodes; i++)
        n += has_clue(&r->node[i]);
    return (uint8_t)((n + CLUES_PER_WORD - 1) / CLUES_PER_WORD);
}

static void clue_put(uint64_t *clue, unsigned n, unsigned what)
{
    clue[n / CLUES_PER_WORD] |= (uint64_t)what << n % CLUES_PER_WORD * 2;
}

static unsigned clue_get(const uint64_t *clue, unsigned n)
{
    return (unsigned)(clue[n / CLUES_PER_WORD] >> n % CLUES_PER_WORD * 2) & 3;
}

/* ---- when it fires */

static unsigned span_clue(const struct engine *e, const struct symbol *s, const struct expr_node *x,
                          bool at_close)
{
    uint32_t node = (uint32_t)x->bound_hi, cursor = span_cursor(e, s, node, at_close);
    enum truth t = cursor == CURSOR_NONE ? UNKNOWN : cursor == 2 ? TRUE : FALSE;
    if (t != TRUE || x->op == EXPR_FOR)
        return t == TRUE ? ASK : t;
    const struct fire *f = fire_find(e, s, SPAN_IDENT | node);
    return f && f->looked == e->seq && !f->before ? ASK : TRUE;
}

/* Where a crossing's bound is in an index, 0 if it is none of its bounds. */
static uint32_t rank_of(const struct index *ix, int64_t bound)
{
    uint32_t lo = 1, hi = ix->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (ix->bound[mid] < bound)
            lo = mid + 1;
        else
            hi = mid;
    }
    return ix->n && ix->bound[lo] == bound ? lo : 0;
}

/* A crossing that was one has cursors of before and after in the evaluation that has just been settled. */
static unsigned event_clue(const struct engine *e, const struct symbol *s, const struct plan *p,
                           const struct expr_node *x)
{
    for (uint32_t i = 0; p && i < p->n_indexes; i++) {
        const struct index *ix = &p->index[i];
        if (ix->node != x->left || e->old_stamp[ix->slot] + 1 != e->stamp)
            continue;
        uint32_t old = e->old_cursor[ix->slot], now = cursors_of(e, s)[ix->slot];
        const struct atom a = {.rank = rank_of(ix, x->op == EXPR_GT ? x->bound_hi : x->bound_lo),
                               .down = x->op == EXPR_LT};
        if (a.rank && old != CURSOR_NONE && !atom_holds(&a, old) && atom_holds(&a, now))
            return ASK;
    }
    return FALSE;
}

uint8_t alert_clues(struct engine *e, const struct symbol *s, const struct loaded_rule *r, bool at_close,
                    uint64_t clue[CLUES_MAX])
{
    const struct plan *p = r->symbols_len ? scope_plan(e, s) : &e->market;
    bool events = !(e->settled_epoch && r->epoch > e->settled_epoch) && !(e->settled_restart && r->recursive);
    unsigned n = 0;
    memset(clue, 0, CLUES_MAX * sizeof *clue);
    for (unsigned i = 0; i < r->n_nodes; i++) {
        const struct expr_node *x = &r->node[i];
        if (has_clue(x))
            clue_put(clue, n++,
                     expr_is_span(x->op) ? span_clue(e, s, x, at_close)
                     : events            ? event_clue(e, s, p, x)
                                         : FALSE);
    }
    return alert_clue_words(r);
}

/* ---- when its print is cancelled */

static enum truth truth_of_past(const struct engine *e, const struct symbol *x, const struct loaded_rule *r,
                                const uint64_t *clue)
{
    enum truth t[EXPR_NODES_MAX];
    unsigned clues = 0;
    for (unsigned i = 0; i < r->n_nodes; i++) {
        const struct expr_node *nd = &r->node[i];
        unsigned told = has_clue(nd) ? clue_get(clue, clues++) : ASK;
        if (nd->op == EXPR_AND || nd->op == EXPR_OR) {
            enum truth a = t[nd->left], b = t[nd->right];
            t[i] = (nd->op == EXPR_AND) == (a < b) ? a : b;
            continue;
        }
        if (told != ASK) {
            t[i] = (enum truth)told;
        } else if (expr_is_span(nd->op)) {
            t[i] = t[nd->left];
        } else {
            int64_t key = node_key(e, x, nd->left);
            t[i] = key == KEY_UNKNOWN ? UNKNOWN : comparison_holds(nd, key) ? TRUE : FALSE;
        }
        if (nd->negated)
            t[i] = TRUE - t[i];
    }
    return t[r->n_nodes - 1];
}

/* The nodes of a rule, its operands with them. */
static void rule_need(const struct engine *e, const struct loaded_rule *r, struct plan *p)
{
    for (unsigned i = 0; i < r->n_operands; i++)
        plan_need(e, p, e->past_seen, r->operand[i]);
    for (unsigned i = 0; i < r->n_nodes; i++)
        if (r->node[i].op < EXPR_AND)
            plan_need(e, p, e->past_seen, r->node[i].left);
}

struct alert_at {
    struct kept_alert a;
    int64_t value[ALERT_OPERANDS_MAX];
    uint64_t clue[CLUES_MAX];
};

/* The alert at a place; the next one's. */
static uint64_t alert_read(const struct engine *e, uint64_t place, struct alert_at *x)
{
    alert_get(e, place, &x->a, ALERT_WORDS);
    place += ALERT_WORDS;
    alert_get(e, place, x->value, x->a.n_operands);
    place += x->a.n_operands;
    alert_get(e, place, x->clue, x->a.n_clues);
    return place + x->a.n_clues;
}

static void alert_ask(struct engine *e, const struct symbol *x, struct alert_at *at, uint64_t place)
{
    const struct loaded_rule *r = &e->rule[at->a.rule];
    bool same = x->price_e9 == at->a.price_e9, holds = truth_of_past(e, x, r, at->clue) == TRUE;
    for (unsigned i = 0; i < r->n_operands; i++) {
        int64_t value = alert_value(e, x, r->operand[i]);
        same &= value == at->value[i];
        at->value[i] = value;
    }
    if ((holds && same) || at->a.revision == UINT16_MAX)
        return;
    at->a.price_e9 = x->price_e9;
    at->a.revision++;
    at->a.withdrawn = !holds;
    emit_revised(e, x, &at->a, at->value);
    alert_set(e, place, &at->a, ALERT_WORDS);
    alert_set(e, place + ALERT_WORDS, at->value, r->n_operands);
}

/* end: the number of the first print that was not there. False if it is not known how the symbol was. */
static bool moment_ask(struct engine *e, const struct symbol *s, const struct moment *m, uint64_t place,
                       uint64_t end)
{
    struct plan p = {.node = e->past_node};
    struct alert_at at;
    uint64_t next = place + MOMENT_WORDS;
    memset(e->past_seen, 0, e->n_nodes);
    for (uint32_t i = 0; i < m->n_alerts; i++) {
        next = alert_read(e, next, &at);
        if (!at.a.withdrawn)
            rule_need(e, &e->rule[at.a.rule], &p);
    }
    if (p.n_nodes == 0)
        return true;
    struct symbol *x = past_make(e, s, m, end);
    if (!x)
        return false;
    plan_list(e, &p, e->past_seen);
    struct plan market = e->market; /* whose place the plan takes for a moment */
    e->market = p;
    x->scope = NONE;
    metrics_rebuild(e, x);
    e->market = market;
    next = place + MOMENT_WORDS;
    for (uint32_t i = 0; i < m->n_alerts; i++) {
        uint64_t own = next;
        next = alert_read(e, own, &at);
        if (!at.a.withdrawn)
            alert_ask(e, x, &at, own);
    }
    return true;
}

/* The number of the last print that had come when a minute was over. */
static uint64_t last_before(const struct engine *e, const struct symbol *s, int64_t end_ns)
{
    uint32_t i = s->trades.last;
    while (e->trades[i].before != NONE && e->trades[i].trade[0].time_ns >= end_ns)
        i = e->trades[i].before;
    uint32_t n = e->trades[i].n;
    while (n > 1 && e->trades[i].trade[n - 1].time_ns >= end_ns)
        n--;
    return e->trades[i].first + n - 1;
}

void alerts_revise(struct engine *e, struct symbol *s, const struct kept_trade *k, uint64_t no)
{
    int64_t minute_end_ns = (k->event_ns / MINUTE_NS + 1) * MINUTE_NS;
    uint64_t last = last_before(e, s, minute_end_ns), place;
    struct moment m;
    bool known = true;
    if (!(k->flags & KEPT_DECIDED) && !(trade_at(e, s, last)->flags & KEPT_DECIDED))
        return;
    if (moment_find(e, s, no, false, &m, &place))
        known = moment_ask(e, s, &m, place, no);
    else if (k->flags & KEPT_DECIDED) /* unless those are the ones of a bar's end */
        known = moment_find(e, s, no, true, &m, &place);
    /* the end of its own minute, not of another one without prints in between */
    if (trade_at(e, s, last)->time_ns / MINUTE_NS == k->event_ns / MINUTE_NS) {
        if (moment_find(e, s, last, true, &m, &place))
            known &= moment_ask(e, s, &m, place, last + 1);
        else if (trade_at(e, s, last)->flags & KEPT_DECIDED)
            known &= moment_find(e, s, last, false, &m, &place);
    }
    e->count.alerts_unkept += !known;
}
