/* Rules on their way into the engine: each takes a slot and its metrics' nodes; rules_build then lays all
 * that are in force out as sorted thresholds (rule_index.c). */
#include "core/metric_value.h"
#include "core/rule_sieve.h"

#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- loading */

static uint32_t *ident_cell(const struct engine *e, const char *id, uint32_t len)
{
    for (uint32_t h = (uint32_t)XXH3_64bits(id, len);; h++) {
        uint32_t *cell = &e->ident_hash[h & e->hash_mask];
        const struct loaded_rule *r = *cell ? &e->rule[e->ident_slot[*cell - 1]] : NULL;
        if (!r || (r->id_len == len && !memcmp(r->id, id, len)))
            return cell;
    }
}

const struct loaded_rule *rule_find(const struct engine *e, const char *id, size_t len)
{
    uint32_t ident = *ident_cell(e, id, (uint32_t)len);
    return ident ? &e->rule[e->ident_slot[ident - 1]] : NULL;
}

/* The place of a timeframe's bars. False if there are SERIES_MAX others. */
static bool series_take(struct engine *e, uint32_t minutes, uint8_t *series)
{
    uint32_t k = 0;
    *series = 0;
    if (minutes == 1)
        return true;
    if (minutes == METRIC_DAY) {
        *series = SERIES_DAILY;
        return true;
    }
    while (k < e->n_series && e->series[k].minutes != minutes)
        k++;
    if (k == SERIES_MAX)
        return false;
    if (k == e->n_series) {
        e->series[e->n_series++] = (struct series){(uint16_t)minutes, e->state_words};
        e->state_words += SERIES_WORDS;
    }
    *series = (uint8_t)(k + 1);
    return true;
}

/* The node that keeps the state of an indicator, whose outputs and distances may be several nodes; itself if
 * it is the first. */
static uint32_t keeper_of(const struct engine *e, struct metric m)
{
    m.kind = METRIC_INDICATOR;
    m.indicator.output = 0;
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        struct metric other = e->node[i].metric;
        if (!metric_has_indicator(&other))
            continue;
        other.kind = METRIC_INDICATOR;
        other.indicator.output = 0;
        if (metric_same(&m, &other))
            return e->node[i].keeper;
    }
    return e->n_nodes;
}

/* The node of a metric, new or known; NONE if limits.metrics is reached. */
static uint32_t node_of(struct engine *e, struct metric m, struct expr_term t)
{
    for (uint32_t i = 0; i < e->n_nodes; i++) {
        const struct expr_term *x = &e->node[i].term;
        if (x->op == t.op && x->left == t.left && x->right == t.right && x->number == t.number &&
            x->price == t.price && !memcmp(&e->node[i].metric, &m, sizeof m))
            return i;
    }
    if (e->n_nodes == e->limits.metrics + e->n_asked)
        return NONE;
    struct node n = {.metric = m, .term = t, .inputs = metric_inputs(&m), .keeper = e->n_nodes};
    uint32_t words = metric_words(&m);
    if (t.op != TERM_METRIC)
        n.inputs = (t.left == TERM_NUMBER ? 0 : e->node[t.left].inputs) |
                   (t.right == TERM_NUMBER ? 0 : e->node[t.right].inputs);
    if (m.timeframe && !series_take(e, m.timeframe, &n.series))
        return NONE;
    n.state_at = e->state_words;
    if (metric_has_indicator(&m)) {
        n.keeper = keeper_of(e, m);
        if (n.keeper != e->n_nodes) {
            n.state_at = e->node[n.keeper].state_at;
            words = 0;
        }
    }
    if (e->state_words + words > (e->limits.metrics + e->n_asked) * STATE_WORDS_PER_METRIC)
        return NONE;
    e->node[e->n_nodes] = n;
    e->state_words += words;
    return e->n_nodes++;
}

/* A span's truth is a node of its own, the same for every version of the rule. */
static bool span_nodes(struct engine *e, struct expr *x, uint32_t ident)
{
    unsigned n = 0;
    for (unsigned i = 0; i < x->n_nodes; i++) {
        unsigned op = x->node[i].op;
        struct expr_term t = {.op = TERM_SPAN,
                              .left = TERM_NUMBER,
                              .right = TERM_NUMBER,
                              .number = ((int64_t)ident << 8 | op) << 16 | n};
        if (!expr_is_span(op))
            continue;
        uint32_t node = node_of(e, (struct metric){.kind = METRIC_DIFFERENCE}, t);
        if (node == NONE)
            return false;
        x->node[i].bound_hi = node;
        n++;
    }
    return true;
}

uint32_t engine_ask(struct engine *e, const struct metric *metric, uint32_t n)
{
    uint32_t first = e->n_asked;
    assert(e->count.messages == 0 && n <= e->limits.asked - first);
    for (uint32_t i = 0; i < n; i++) {
        e->n_asked++;
        e->asked[first + i] = node_of(e, metric[i], (struct expr_term){.op = TERM_METRIC});
        assert(e->asked[first + i] != NONE);
    }
    e->rules_changed = true;
    return first;
}

/* Gives each term its node, and each comparison the node that it looks at. */
static bool nodes_of(struct engine *e, struct expr *x, uint32_t ident, uint32_t operand[])
{
    uint16_t node_at[EXPR_TERMS_MAX];
    for (unsigned i = 0; i < x->n_terms; i++) {
        struct expr_term t = x->term[i];
        struct metric m = {.kind = METRIC_DIFFERENCE};
        if (t.op == TERM_METRIC) {
            m = x->operand[t.left];
            t.left = 0;
        } else {
            t.left = t.left == TERM_NUMBER ? TERM_NUMBER : node_at[t.left];
            t.right = t.right == TERM_NUMBER ? TERM_NUMBER : node_at[t.right];
        }
        uint32_t node = node_of(e, m, t);
        if (node == NONE)
            return false;
        node_at[i] = (uint16_t)node;
        if (t.op == TERM_METRIC)
            operand[x->term[i].left] = node;
    }
    for (unsigned i = 0; i < x->n_nodes; i++)
        if (x->node[i].op < EXPR_AND)
            x->node[i].left = node_at[x->node[i].left];
    return span_nodes(e, x, ident);
}

static int refuse(struct engine *e, uint64_t *counter, const struct rule *r, const char *why)
{
    ++*counter;
    snprintf(e->refusal, sizeof e->refusal, "rule '%.64s': %.150s", r->id, why);
    return -1;
}

static const void *keep(struct engine *e, const void *bytes, size_t n)
{
    void *p = arena_take(&e->kept, n ? n : 1);
    if (p)
        memcpy(p, bytes, n);
    return p;
}

/* Calls f for each name in a rule's list of symbols. */
static void each_symbol(const struct loaded_rule *r, void (*f)(void *, const char *, uint32_t), void *ctx)
{
    for (uint32_t at = 0; at < r->symbols_len;) {
        const char *p = r->symbols + at, *comma = memchr(p, ',', r->symbols_len - at);
        uint32_t len = comma ? (uint32_t)(comma - p) : r->symbols_len - at;
        if (len)
            f(ctx, p, len);
        at += len + 1;
    }
}

static void count_symbol(void *ctx, const char *name, uint32_t len)
{
    (void)name;
    (void)len;
    ++*(uint32_t *)ctx;
}

/* The comparisons of a rule, its spans among them: all nodes but the ANDs and ORs, of which there is one less
 * than leaves. Those in spans are looked at also where they cease to hold: twice in their index. */
static size_t comparisons_of(const struct loaded_rule *r)
{
    return (size_t)(r->n_nodes + r->n_spans + 1) / 2 * (r->n_spans ? 2 : 1);
}

/* What rules_build needs at most for a rule, so that what is refused does not depend on what comes with it.
 */
static size_t built_bytes_of(const struct loaded_rule *r)
{
    const size_t align = 16, metrics = (3 * (size_t)r->n_terms + 1) * sizeof(uint32_t) + 3 * align;
    const size_t comparison =
        4 * sizeof(struct edge) + 2 * sizeof(struct atom) + 3 * sizeof(uint16_t) +
        2 * (sizeof(struct index) + 3 * sizeof(int64_t) + 15 * sizeof(uint32_t) + 7 * align) +
        (r->symbols_len ? 0 : SIEVE_BYTES);
    const size_t names =
        (1u + r->n_spans) * (sizeof(struct instance) + 4 * sizeof(uint32_t)) +
        comparisons_of(r) * comparison +
        (r->symbols_len ? sizeof(struct scope) + sizeof(struct index) + metrics + 8 * align : 0);
    uint32_t n = 0;
    if (r->symbols_len)
        each_symbol(r, count_symbol, &n);
    return (r->symbols_len ? n : 1) * names;
}

/* Takes the parsed rule into its slot, or refuses it for want of room. */
static bool admit(struct engine *e, uint32_t slot, const struct rule *r, const struct expr *x,
                  const uint32_t *operand)
{
    struct loaded_rule l = {.version = r->version,
                            .trigger = (uint8_t)r->trigger,
                            .sessions = r->sessions ? r->sessions : UINT8_MAX,
                            .shadow = r->shadow,
                            .n_operands = (uint8_t)x->n_operands,
                            .n_nodes = x->n_nodes,
                            .n_terms = x->n_terms,
                            .n_spans = x->n_spans,
                            .events = x->events,
                            .cooldown_ns = r->cooldown_ns,
                            .expires_ns = r->expires_ns ? r->expires_ns : NEVER_NS,
                            .instance = NONE,
                            .id_len = (uint16_t)strlen(r->id),
                            .symbols_len = r->symbols_len,
                            .live = r->enabled};
    size_t kept = e->kept.used;
    for (unsigned i = 0; i < x->n_operands; i++) {
        l.recursive |= metric_of_bars(&x->operand[i]);
        l.minds_halt |= x->operand[i].kind == METRIC_HALTED;
        l.text_bytes += metric_unit(&x->operand[i]) == UNIT_TEXT ? ATTRIBUTE_TEXT_MAX : 0;
    }
    l.id = keep(e, r->id, l.id_len);
    l.symbols = keep(e, r->symbols, l.symbols_len);
    l.node = keep(e, x->node, x->n_nodes * sizeof *x->node);
    l.operand = keep(e, operand, x->n_operands * sizeof *operand);
    l.expr = x->texts ? keep(e, r->expr, r->expr_len) : NULL;
    l.expr_len = r->expr_len;
    bool room = l.id && l.symbols && l.node && l.operand && (l.expr || !x->texts);
    l.built_bytes = room && l.live ? built_bytes_of(&l) : 0;
    uint32_t *cell = ident_cell(e, r->id, l.id_len);
    struct loaded_rule *old = *cell ? &e->rule[e->ident_slot[*cell - 1]] : NULL;
    size_t others = e->built_bytes - (old && old->live ? old->built_bytes : 0);
    if (!room || others + l.built_bytes > rules_built_bytes(&e->limits)) {
        e->kept.used = kept;
        return false;
    }
    e->built_bytes = others + l.built_bytes;
    if (old)
        old->live = false;
    if (!old)
        *cell = ++e->n_idents;
    l.ident = *cell - 1;
    e->ident_slot[l.ident] = slot;
    /* by the rules alone, however ticks came between them: a checkpoint's epochs are those of any replay */
    l.epoch = e->epoch = slot + 2 > e->epoch ? slot + 2 : e->epoch + 1;
    e->rule[slot] = l;
    if (slot >= e->n_rules)
        e->n_rules = slot + 1;
    e->rules_changed = true;
    e->out_full = 0;
    return true;
}

/* Takes a rule into slot `slot`; it replaces the version in force of the same id. What is refused leaves no
 * trace but its count. */
int rules_load(struct engine *e, uint32_t slot, const struct rule *r)
{
    struct expr x;
    struct error err;
    if (slot >= e->limits.rules)
        return refuse(e, &e->count.rules_full, r, "no room: raise limits.rules");
    if (e->rule[slot].id)
        return 0; /* repeated at the start of a journal segment */
    if (expr_parse(r->expr, r->expr_len, &x, &err) < 0 || expr_check_trigger(&x, r->trigger, &err) < 0)
        return refuse(e, &e->count.rules_refused, r, err.text);
    for (unsigned i = 0; i < x.n_operands && !e->corrections; i++)
        if (metric_of_prints(&x.operand[i]))
            return refuse(e, &e->count.rules_refused, r,
                          "it names a metric of prints, which are not kept: set bars.corrections = true");
    uint32_t operand[ALERT_OPERANDS_MAX], n_nodes = e->n_nodes, state_words = e->state_words,
                                          n_series = e->n_series;
    uint32_t *cell = ident_cell(e, r->id, (uint32_t)strlen(r->id));
    bool metrics = nodes_of(e, &x, *cell ? *cell - 1 : e->n_idents, operand);
    if (metrics && admit(e, slot, r, &x, operand))
        return 0;
    e->n_nodes = n_nodes;
    e->state_words = state_words;
    e->n_series = n_series;
    return metrics ? refuse(e, &e->count.rules_full, r, "no room: raise limits.rules")
                   : refuse(e, &e->count.metrics_full, r, "no room: raise limits.metrics");
}

/* ---- building the indexes */

uint32_t scope_find(const struct engine *e, const char *name, size_t len)
{
    if (e->n_scopes == 0)
        return NONE;
    uint32_t i = e->scope_hash[XXH3_64bits(name, len) & e->hash_mask];
    while (i && (e->scope[i - 1].name_len != len || memcmp(e->scope[i - 1].name, name, len)))
        i = e->scope[i - 1].hash_next;
    return i ? i - 1 : NONE;
}

struct build {
    struct engine *e;
    struct edge *edge;
    uint32_t n_edges, n_atoms, n_code, n_instances;
    struct atom *atom;
    uint16_t *code;
    struct instance *instance;
    uint32_t *instance_scope; /* of each instance: scope + 1 */
    uint8_t *seen;            /* of each node: a plan keeps it (1), the market's does (2) */
};

static bool edge_before(const struct edge *a, const struct edge *b)
{
    return a->home != b->home ? a->home < b->home : a->bound < b->bound;
}

struct edge *edges_sort(struct edge *edge, struct edge *other, uint32_t n)
{
    for (uint32_t run = 1; run < n; run *= 2) {
        for (uint32_t lo = 0; lo < n; lo += 2 * run) {
            uint32_t mid = lo + run < n ? lo + run : n, hi = mid + run < n ? mid + run : n, i = lo, j = mid;
            for (uint32_t k = lo; k < hi; k++)
                other[k] = j >= hi || (i < mid && !edge_before(&edge[j], &edge[i])) ? edge[i++] : edge[j++];
        }
        struct edge *t = edge;
        edge = other;
        other = t;
    }
    return edge;
}

static void add_atom(struct build *b, uint64_t home, int64_t bound, bool down, bool event)
{
    b->edge[b->n_edges++] = (struct edge){
        .home = home, .bound = bound, .instance = b->n_instances, .atom = b->n_atoms, .down = down};
    b->atom[b->n_atoms++] = (struct atom){.down = down, .event = event};
}

/* The comparison's atoms: >= c is at or over bound_lo, > c at or over bound_hi, < and <= are below them. */
static void add_comparison(struct build *b, uint64_t scope, const struct expr_node *n, uint32_t first)
{
    uint64_t home = scope << 32 | n->left;
    bool lo = n->op == EXPR_GE || n->op == EXPR_LT, pair = n->op == EXPR_EQ || n->op == EXPR_NE;
    b->code[b->n_code++] = (uint16_t)(b->n_atoms - first);
    if (!pair) {
        add_atom(b, home, lo ? n->bound_lo : n->bound_hi, n->op == EXPR_LT || n->op == EXPR_LE, n->event);
        return;
    }
    add_atom(b, home, n->bound_lo, n->op == EXPR_NE, false);
    b->code[b->n_code++] = (uint16_t)(b->n_atoms - first);
    add_atom(b, home, n->bound_hi, n->op == EXPR_EQ, false);
    b->code[b->n_code++] = n->op == EXPR_EQ ? CODE_AND : CODE_OR;
}

/* A span's atom: its node's keys are 0 and 1. */
static void add_span(struct build *b, uint64_t scope, const struct expr_node *n, uint32_t first)
{
    b->code[b->n_code++] = (uint16_t)(b->n_atoms - first);
    add_atom(b, scope << 32 | (uint64_t)n->bound_hi, 1, n->negated, false);
}

/* What a span looks at is news also where it ceases to hold. */
static void watch_both_ways(struct build *b, uint32_t first)
{
    for (uint32_t i = first, end = b->n_edges; i < end; i++) {
        b->edge[b->n_edges] = b->edge[i];
        b->edge[b->n_edges++].down = !b->edge[i].down;
    }
}

/* The condition whose root is the rule's node `root`, or that of its span. Postfix code in the order of
 * evaluation, without recursion: children come before parents in the node list, but not always next to them,
 * so the tree is walked with a bounded stack. */
static void add_condition(struct build *b, uint32_t rule, uint64_t scope, uint16_t root, uint32_t span)
{
    const struct loaded_rule *r = &b->e->rule[rule];
    uint32_t first = b->n_atoms, code_at = b->n_code, first_edge = b->n_edges;
    uint16_t stack[2 * EXPR_NODES_MAX];
    int n = 0;
    bool plain = true;
    stack[n++] = root;
    while (n) {
        uint16_t top = stack[--n];
        const struct expr_node *x = &r->node[top & 0x7fff];
        if (x->op < EXPR_AND) {
            add_comparison(b, scope, x, first);
            plain &= x->op != EXPR_NE;
        } else if (expr_is_span(x->op)) {
            add_span(b, scope, x, first);
        } else if (top & 0x8000) {
            b->code[b->n_code++] = x->op == EXPR_AND ? CODE_AND : CODE_OR;
            plain &= x->op == EXPR_AND;
        } else {
            stack[n++] = top | 0x8000;
            stack[n++] = x->right;
            stack[n++] = x->left;
        }
    }
    if (plain)
        b->n_code = code_at;
    if (span)
        watch_both_ways(b, first_edge);
    b->instance_scope[b->n_instances] = (uint32_t)scope;
    b->instance[b->n_instances++] = (struct instance){.rule = rule,
                                                      .span = span,
                                                      .atom_at = first,
                                                      .n_atoms = b->n_atoms - first,
                                                      .code_at = code_at,
                                                      .n_code = b->n_code - code_at};
}

/* A rule: what its spans look at, the innermost first, then itself. */
static void add_instance(struct build *b, uint32_t rule, uint64_t scope)
{
    const struct loaded_rule *r = &b->e->rule[rule];
    for (uint16_t i = 0; r->n_spans && i < r->n_nodes; i++)
        if (expr_is_span(r->node[i].op))
            add_condition(b, rule, scope, r->node[i].left, i + 1u);
    add_condition(b, rule, scope, (uint16_t)(r->n_nodes - 1), 0);
}

static void add_scope(void *ctx, const char *name, uint32_t len)
{
    struct engine *e = ctx;
    if (scope_find(e, name, len) != NONE)
        return;
    uint32_t *cell = &e->scope_hash[XXH3_64bits(name, len) & e->hash_mask];
    e->scope[e->n_scopes] = (struct scope){.name = name, .name_len = len, .hash_next = *cell};
    *cell = ++e->n_scopes;
}

struct scoped {
    struct build *b;
    uint32_t rule;
};

static void add_scoped(void *ctx, const char *name, uint32_t len)
{
    struct scoped *s = ctx;
    uint32_t scope = scope_find(s->b->e, name, len);
    if (s->b->e->scope[scope].last_rule == s->rule + 1)
        return; /* named twice */
    s->b->e->scope[scope].last_rule = s->rule + 1;
    add_instance(s->b, s->rule, 1u + scope);
}

static uint32_t *take_u32(struct engine *e, size_t n)
{
    return arena_take(&e->built, (n + 1) * sizeof(uint32_t));
}

void plan_need(const struct engine *e, struct plan *p, uint8_t *seen, uint32_t node)
{
    if (seen[node])
        return;
    seen[node] = 1;
    p->n_nodes++;
    const struct expr_term *t = &e->node[node].term;
    if (e->node[node].series && e->node[node].series != SERIES_DAILY)
        p->series |= (uint8_t)(1u << (e->node[node].series - 1));
    if (metric_has_indicator(&e->node[node].metric))
        plan_need(e, p, seen, e->node[node].keeper);
    if (t->op == TERM_METRIC)
        return;
    if (t->left != TERM_NUMBER)
        plan_need(e, p, seen, t->left);
    if (t->right != TERM_NUMBER)
        plan_need(e, p, seen, t->right);
}

void plan_list(const struct engine *e, struct plan *p, const uint8_t *seen)
{
    p->n_nodes = 0;
    for (uint32_t i = 0; i < e->n_nodes; i++)
        if (seen[i] == 1)
            p->node[p->n_nodes++] = i;
}

/* One index from its sorted edges [lo, hi). False if memory is short. */
static bool build_index(struct build *b, struct index *ix, uint32_t lo, uint32_t hi)
{
    struct engine *e = b->e;
    uint32_t n = 0, ups = 0, downs = 0;
    for (uint32_t i = lo; i < hi; i++) {
        n += i == lo || b->edge[i].bound != b->edge[i - 1].bound;
        ups += !b->edge[i].down;
        downs += b->edge[i].down;
    }
    int64_t *bound = arena_take(&e->built, (n + 2) * sizeof *bound);
    uint32_t *up_at = take_u32(e, n + 2), *down_at = take_u32(e, n + 2), *up = take_u32(e, ups),
             *down = take_u32(e, downs);
    if (!bound || !up_at || !down_at || !up || !down)
        return false;
    uint32_t rank = 0;
    ups = downs = 0;
    up_at[0] = down_at[0] = 0;
    for (uint32_t i = lo; i < hi; i++) {
        struct edge *d = &b->edge[i];
        if (i == lo || d->bound != d[-1].bound) {
            bound[++rank] = d->bound;
            up_at[rank] = ups;
            down_at[rank] = downs;
        }
        b->atom[d->atom].slot = ix->slot;
        b->atom[d->atom].rank = rank;
        if (d->down)
            down[downs++] = d->instance;
        else
            up[ups++] = d->instance;
    }
    bound[0] = KEY_UNKNOWN + 1;
    bound[n + 1] = INT64_MAX;
    up_at[n + 1] = ups;
    down_at[n + 1] = downs;
    ix->n = n;
    ix->bound = bound;
    ix->up_at = up_at;
    ix->up = up;
    ix->down_at = down_at;
    ix->down = down;
    return true;
}

/* What makes a metric move at a trade. */
enum driver { BY_TRADE, BY_TRADE_COMPUTED, BY_PRICE, BY_OTHER };

static enum driver driver_of(const struct node *nd)
{
    bool stands = nd->term.op == TERM_METRIC && metric_words(&nd->metric) == 0;
    if (nd->inputs & INPUT_TRADE)
        return stands ? BY_TRADE : BY_TRADE_COMPUTED; /* first what costs least: it may spare the others */
    return nd->inputs & INPUT_PRICE ? BY_PRICE : BY_OTHER;
}

/* The plan of the edges [lo, hi), all of one scope; its cursors start at `slot`. */
static bool build_plan(struct build *b, struct plan *p, uint32_t lo, uint32_t hi, uint32_t slot)
{
    struct engine *e = b->e;
    uint32_t n = 0;
    for (uint32_t i = lo; i < hi; i++)
        n += i == lo || b->edge[i].home != b->edge[i - 1].home;
    p->index = arena_take(&e->built, (n + 1) * sizeof *p->index);
    p->on_quote = take_u32(e, n);
    p->on_time = take_u32(e, n);
    if (!p->index || !p->on_quote || !p->on_time || slot + n > e->limits.metrics * CURSORS_PER_METRIC)
        return false;
    for (enum driver by = BY_TRADE; by <= BY_OTHER; by++) {
        for (uint32_t i = lo, end; i < hi; i = end) {
            for (end = i; end < hi && b->edge[end].home == b->edge[i].home;)
                end++;
            uint32_t k = p->n_indexes, node = (uint32_t)b->edge[i].home;
            unsigned in = e->node[node].inputs;
            if (driver_of(&e->node[node]) != by)
                continue;
            p->index[k] = (struct index){
                .node = node, .is_price = e->node[node].metric.kind == METRIC_PRICE, .slot = slot + k};
            if (!build_index(b, &p->index[k], i, end))
                return false;
            if (in & INPUT_QUOTE)
                p->on_quote[p->n_on_quote++] = k;
            if (in & INPUT_TIME)
                p->on_time[p->n_on_time++] = k;
            p->n_indexes++;
        }
        if (by == BY_TRADE_COMPUTED)
            p->n_on_trade = p->n_indexes;
        else if (by == BY_PRICE)
            p->n_on_move = p->n_indexes;
    }
    return true;
}

/* The metrics that a plan keeps: those of its indexes, and those that alerts show though no comparison is on
 * them alone. What the market's plan keeps already is not a scope's to keep: its state would be moved on
 * twice. */
static bool plan_nodes(struct build *b, struct plan *p)
{
    struct engine *e = b->e;
    uint8_t *seen = b->seen;
    memset(seen, 0, e->n_nodes);
    for (uint32_t i = 0; p != &e->market && i < e->market.n_nodes; i++)
        seen[e->market.node[i]] = 2;
    for (uint32_t i = 0; i < p->n_indexes; i++)
        plan_need(e, p, seen, p->index[i].node);
    for (uint32_t i = 0; p == &e->market && i < e->n_asked; i++)
        plan_need(e, p, seen, e->asked[i]);
    for (uint32_t i = 0; i < p->n_instances; i++) {
        const struct loaded_rule *r = &e->rule[b->instance[p->instance[i]].rule];
        for (unsigned k = 0; k < r->n_operands; k++)
            plan_need(e, p, seen, r->operand[k]);
    }
    p->node = take_u32(e, p->n_nodes);
    if (!p->node)
        return false;
    plan_list(e, p, seen);
    return true;
}

static uint32_t count_pairs(const struct engine *e, size_t *comparisons)
{
    uint32_t instances = 0;
    *comparisons = 0;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        const struct loaded_rule *r = &e->rule[i];
        uint32_t n = 0;
        if (!r->live)
            continue;
        if (r->symbols_len)
            each_symbol(r, count_symbol, &n);
        else
            n = 1;
        instances += n * (1u + r->n_spans);
        *comparisons += n * comparisons_of(r);
    }
    return instances;
}

/* Gives each plan its list of instances, by rule; returns false if memory is short. */
static bool list_instances(struct build *b)
{
    struct engine *e = b->e;
    for (uint32_t i = 0; i < b->n_instances; i++) {
        uint32_t sc = b->instance_scope[i];
        struct plan *p = sc ? &e->scope[sc - 1].plan : &e->market;
        if (b->instance[i].span) {
            p->n_spans++;
            continue;
        }
        p->n_instances++;
        p->n_on_close += e->rule[b->instance[i].rule].trigger == TRIGGER_BAR_CLOSE;
    }
    for (uint32_t sc = 0; sc <= e->n_scopes; sc++) {
        struct plan *p = sc ? &e->scope[sc - 1].plan : &e->market;
        p->instance = take_u32(e, p->n_instances);
        p->on_close = take_u32(e, p->n_on_close);
        p->span = take_u32(e, p->n_spans);
        if (!p->instance || !p->on_close || !p->span)
            return false;
        p->n_instances = p->n_on_close = p->n_spans = 0;
    }
    for (uint32_t i = 0; i < b->n_instances; i++) {
        uint32_t sc = b->instance_scope[i];
        struct plan *p = sc ? &e->scope[sc - 1].plan : &e->market;
        b->instance[i].first = b->atom[b->instance[i].atom_at];
        if (b->instance[i].span) {
            span_index(p, span_node(e, &b->instance[i]))->span = i + 1;
            p->span[p->n_spans++] = i;
            e->n_spans++;
            continue;
        }
        p->instance[p->n_instances++] = i;
        if (e->rule[b->instance[i].rule].trigger == TRIGGER_BAR_CLOSE)
            p->on_close[p->n_on_close++] = i;
        if (!sc)
            e->rule[b->instance[i].rule].instance = i;
    }
    return true;
}

/* How the block of a symbol is divided. Whole lines, an odd number of them: blocks a power of two apart would
 * share few sets of the cache. What is in the blocks is void; each symbol is bound anew before it is read. */
static void lay_blocks(struct engine *e)
{
    uint32_t cursors = e->market.n_indexes;
    for (uint32_t i = 0; i < e->n_scopes; i++) {
        uint32_t n = e->market.n_indexes + e->scope[i].plan.n_indexes;
        cursors = n > cursors ? n : cursors;
    }
    uint32_t words = e->state_words + (cursors + 1) / 2, lines = (words + LINE_WORDS - 1) / LINE_WORDS;
    e->cursor_at = e->state_words;
    e->block_words = (lines | 1) * LINE_WORDS;
    assert(e->block_words <= block_words_max(&e->limits));
}

static bool try_build(struct engine *e)
{
    struct build b = {.e = e};
    size_t comparisons;
    uint32_t n = count_pairs(e, &comparisons), names = 0;
    e->built.used = 0;
    memset(&e->market, 0, sizeof e->market);
    memset(e->scope_hash, 0, (e->hash_mask + 1) * sizeof *e->scope_hash);
    e->n_scopes = e->n_spans = 0;
    for (uint32_t i = 0; i < e->n_rules; i++)
        if (e->rule[i].live)
            each_symbol(&e->rule[i], count_symbol, &names);
    e->scope = arena_take(&e->built, (names + 1) * sizeof *e->scope);
    b.instance = arena_take(&e->built, (n + 1) * sizeof *b.instance);
    b.instance_scope = take_u32(e, n);
    b.atom = arena_take(&e->built, (2 * comparisons + 1) * sizeof *b.atom);
    b.code = arena_take(&e->built, (3 * comparisons + 1) * sizeof *b.code);
    b.seen = arena_take(&e->built, e->n_nodes + 1u);
    if (!b.seen || !e->scope || !b.instance || !b.instance_scope || !b.atom || !b.code)
        return false;
    e->instance = b.instance;
    e->atom = b.atom;
    e->code = b.code;
    for (uint32_t i = 0; i < e->n_rules; i++)
        if (e->rule[i].live)
            each_symbol(&e->rule[i], add_scope, e);
    size_t keep_used = e->built.used; /* the edges lie behind what stays, and go */
    size_t edges_at = e->built.size - (4 * comparisons + 2) * sizeof *b.edge;
    if (4 * comparisons * sizeof *b.edge + keep_used + 4096 > e->built.size)
        return false;
    b.edge = (struct edge *)(e->built.at + (edges_at & ~(size_t)15));
    struct edge *lower = b.edge, *upper = b.edge + 2 * comparisons; /* room to sort */
    size_t whole = e->built.size;
    e->built.size = edges_at & ~(size_t)15;
    bool ok = true;
    e->step_slots = STEP_SLOTS_BARS + STEP_SLOTS_OTHERS;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        struct loaded_rule *r = &e->rule[i];
        r->instance = NONE;
        if (r->id) /* older versions too: their alerts may be revised, and those of a bar's end beside new
                      ones */
            e->step_slots += (r->trigger == TRIGGER_BAR_CLOSE ? 2 : 1) *
                             msg_slots(MSG_FIRST_BYTES + 8 * (1u + r->n_operands) + r->text_bytes);
        if (!r->live)
            continue;
        if (r->symbols_len)
            each_symbol(r, add_scoped, &(struct scoped){&b, i});
        else
            add_instance(&b, i, 0);
    }
    e->n_instances = b.n_instances;
    b.edge = edges_sort(lower, upper, b.n_edges);
    uint32_t market = 0;
    while (market < b.n_edges && b.edge[market].home >> 32 == 0)
        market++;
    ok = build_plan(&b, &e->market, 0, market, 0);
    for (uint32_t i = market; ok && i < b.n_edges;) {
        uint32_t end = i;
        while (end < b.n_edges && b.edge[end].home >> 32 == b.edge[i].home >> 32)
            end++;
        ok = build_plan(&b, &e->scope[(b.edge[i].home >> 32) - 1].plan, i, end, e->market.n_indexes);
        i = end;
    }
    ok = ok && list_instances(&b) && sieves_build(e, lower, upper);
    for (uint32_t sc = 0; ok && sc <= e->n_scopes; sc++)
        ok = plan_nodes(&b, sc ? &e->scope[sc - 1].plan : &e->market);
    e->built.size = whole;
    if (ok)
        lay_blocks(e);
    return ok;
}

/* Makes the indexes anew from the rules in force. */
void rules_build(struct engine *e)
{
    e->rules_changed = false;
    bool ok = try_build(e);
    assert(ok); /* rules_load has seen to it that there is room */
}
