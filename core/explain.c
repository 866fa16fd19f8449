#include "core/explain.h"

#include <math.h>
#include <stdio.h>

#include "core/decimal.h"
#include "core/metric_value.h"
#include "core/rule_truth.h"

/* Text that is cut off where there is no more room. */
struct label {
    char *text;
    size_t used;
};

static void put(struct label *l, const char *text)
{
    size_t n = strlen(text), room = EXPLAIN_TEXT_MAX - 1 - l->used;
    memcpy(l->text + l->used, text, n < room ? n : room);
    l->used += n < room ? n : room;
    l->text[l->used] = 0;
    if (n > room)
        strcpy(l->text + EXPLAIN_TEXT_MAX - sizeof "…", "…");
}

static void put_number(struct label *l, int64_t key, bool price)
{
    char number[DECIMAL_TEXT_MAX];
    if (price)
        decimal_format_e9(key, number);
    else
        decimal_format_double(key_to_double(key), number);
    put(l, number);
}

/* A side of a term: a node, or the term's number. */
static void put_side(struct label *l, const struct engine *e, uint32_t side, const struct expr_term *t)
{
    static const char *const operators[] = {
        [TERM_ADD] = " + ", [TERM_SUBTRACT] = " - ", [TERM_MULTIPLY] = " * ", [TERM_DIVIDE] = " / "};
    char name[METRIC_NAME_MAX];
    if (side == TERM_NUMBER) {
        put_number(l, t->number, t->price);
        return;
    }
    const struct node *nd = &e->node[side];
    if (nd->term.op == TERM_METRIC) {
        metric_name(&nd->metric, name);
        put(l, name);
        return;
    }
    if (l->used == EXPLAIN_TEXT_MAX - 1)
        return; /* also bounds the recursion */
    put(l, "(");
    put_side(l, e, nd->term.left, &nd->term);
    put(l, operators[nd->term.op]);
    put_side(l, e, nd->term.right, &nd->term);
    put(l, ")");
}

static double side_value(const struct engine *e, const struct symbol *s, uint32_t node)
{
    int64_t key = node_key(e, s, node);
    return key == KEY_UNKNOWN         ? (double)NAN
           : e->node[node].term.price ? (double)key / 1e9
                                      : key_to_double(key);
}

/* The text in the rule's expression, and the symbol's. */
static void explain_texts(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                          const struct expr_node *x, struct explain_node *out)
{
    const struct attributes *a = attributes_of(e, s);
    const char *text = r->expr + x->right + 1, *end = memchr(text, '"', r->expr_len - x->right - 1u);
    enum attribute which =
        e->node[x->left].metric.kind == METRIC_SECTOR ? ATTRIBUTE_SECTOR : ATTRIBUTE_EXCHANGE;
    out->is_text = true;
    out->value = out->bound = (double)NAN;
    snprintf(out->value_text, sizeof out->value_text, "%s", a->text[which]);
    snprintf(out->bound_text, sizeof out->bound_text, "%.*s", (int)(end - text), text);
}

static void explain_sides(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                          const struct expr_node *x, struct explain_node *out)
{
    static const char *const operators[] = {[EXPR_GT] = " > ",  [EXPR_GE] = " >= ", [EXPR_LT] = " < ",
                                            [EXPR_LE] = " <= ", [EXPR_EQ] = " == ", [EXPR_NE] = " != "};
    const struct node *nd = &e->node[x->left];
    const char *op = !x->event ? operators[x->op] : x->op == EXPR_GT ? " crosses above " : " crosses below ";
    struct label l = {.text = out->text};
    bool order = nd->term.op == TERM_ORDER, price = nd->term.price;
    put_side(&l, e, order ? nd->term.left : x->left, &nd->term);
    put(&l, op);
    out->key = node_key(e, s, x->left);
    if (order) {
        put_side(&l, e, nd->term.right, &nd->term);
        out->value = side_value(e, s, nd->term.left);
        out->bound = side_value(e, s, nd->term.right);
        return;
    }
    if (nd->term.op == TERM_METRIC && metric_unit(&nd->metric) == UNIT_TEXT) {
        explain_texts(e, s, r, x, out);
        put(&l, "\"");
        put(&l, out->bound_text);
        put(&l, "\"");
        return;
    }
    /* the number c was made the least key >= c and the least key > c: the first is c where it has a key */
    out->value = side_value(e, s, x->left);
    out->bound = price ? (double)x->bound_lo / 1e9 : key_to_double(x->bound_lo);
    if (nd->metric.kind == METRIC_SESSION && nd->term.op == TERM_METRIC && out->bound >= 0 &&
        out->bound < SESSION_KIND_COUNT) {
        put(&l, "\"");
        put(&l, session_names[(unsigned)out->bound]);
        put(&l, "\"");
    } else {
        put_number(&l, x->bound_lo, price);
    }
}

static enum explain_truth truth(const struct expr_node *x, const struct explain_node *now,
                                const struct explain_node *before)
{
    if (now->key == KEY_UNKNOWN)
        return EXPLAIN_UNKNOWN;
    if (!x->event)
        return comparison_holds(x, now->key) ? EXPLAIN_TRUE : EXPLAIN_FALSE;
    return before && before->key != KEY_UNKNOWN && !comparison_holds(x, before->key) &&
                   comparison_holds(x, now->key)
               ? EXPLAIN_TRUE
               : EXPLAIN_FALSE;
}

static void explain_span(const struct engine *e, const struct symbol *s, const struct expr_node *x,
                         bool at_close, struct explain_node *out)
{
    uint32_t cursor = span_cursor(e, s, (uint32_t)x->bound_hi, at_close);
    int64_t seconds = x->bound_lo / SECOND_NS;
    out->truth = cursor == CURSOR_NONE               ? EXPLAIN_UNKNOWN
                 : (cursor == 2) != (bool)x->negated ? EXPLAIN_TRUE
                                                     : EXPLAIN_FALSE;
    const char *not = x->negated ? "not " : "";
    if (x->op == EXPR_FOR && x->right == 1)
        snprintf(out->text, sizeof out->text, "%sfor %d bars", not, (int)x->bound_lo);
    else if (x->op == EXPR_FOR)
        snprintf(out->text, sizeof out->text, "%sfor %d %um bars", not, (int)x->bound_lo, x->right);
    else
        snprintf(out->text, sizeof out->text, "%swithin %d%s", not,
                 (int)(seconds % 60 ? seconds : seconds / 60), seconds % 60 ? "s" : "m");
}

static void explain_nodes(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                          const struct explanation *before, bool at_close, struct explanation *out)
{
    out->n_nodes = r->n_nodes;
    for (unsigned i = 0; i < r->n_nodes; i++) {
        const struct expr_node *x = &r->node[i];
        struct explain_node *n = &out->node[i];
        n->op = x->op;
        n->is_text = false;
        n->event = x->event;
        n->left = x->left;
        n->right = x->right;
        if (expr_is_span(x->op)) {
            explain_span(e, s, x, at_close, n);
        } else if (x->op >= EXPR_AND) {
            uint8_t a = out->node[x->left].truth, b = out->node[x->right].truth;
            n->truth = (x->op == EXPR_AND) == (a < b) ? a : b;
        } else {
            explain_sides(e, s, r, x, n);
            n->truth = truth(x, n, before && before->n_nodes == r->n_nodes ? &before->node[i] : NULL);
        }
    }
}

static enum explain_gate gate_of(const struct explanation *x)
{
    if (x->time_ns >= x->expires_ns)
        return EXPLAIN_EXPIRED;
    if (x->node[x->n_nodes - 1].truth != EXPLAIN_TRUE)
        return EXPLAIN_EXPRESSION;
    if (!(x->sessions >> x->session & 1))
        return EXPLAIN_SESSION;
    if (x->halted)
        return EXPLAIN_HALT;
    return x->time_ns < x->ready_ns ? EXPLAIN_COOLDOWN : EXPLAIN_OPEN;
}

static void explain(const struct engine *e, const char *rule_id, uint32_t symbol,
                    const struct explanation *before, bool at_close, struct explanation *out)
{
    const struct loaded_rule *r = rule_find(e, rule_id, strlen(rule_id));
    const struct symbol *s = symbol_of(e, symbol);
    memset(out, 0, offsetof(struct explanation, node));
    out->fired_ns = out->ready_ns = INT64_MIN;
    out->price_e9 = KEY_UNKNOWN;
    out->gate = EXPLAIN_NO_RULE;
    if (!r)
        return;
    out->version = r->version;
    out->trigger = (enum rule_trigger)r->trigger;
    out->shadow = r->shadow;
    out->sessions = r->sessions;
    out->cooldown_ns = r->cooldown_ns;
    out->expires_ns = r->expires_ns;
    out->gate = EXPLAIN_NO_SYMBOL;
    if (!s || s->live_start_ns < 0)
        return;
    out->time_ns = s->time_ns;
    out->price_e9 = s->price_e9;
    out->session = (enum session_kind)s->session;
    out->halted = s->halted && !r->minds_halt;
    out->gate = EXPLAIN_DISABLED;
    if (!r->live)
        return;
    out->gate = EXPLAIN_NEW;
    if (e->rules_changed || s->bound != e->epoch || r->epoch > s->epoch)
        return;
    out->gate = EXPLAIN_OTHER_SYMBOLS;
    if (!rule_instance_of(e, s, r->ident))
        return;
    const struct fire *f = fire_find(e, s, r->ident);
    if (f) {
        out->fired_ns = f->last_ns;
        out->ready_ns = fire_ready_ns(e, f, r);
    }
    explain_nodes(e, s, r, before, at_close, out);
    out->gate = gate_of(out);
}

void engine_explain(const struct engine *e, const char *rule_id, uint32_t symbol,
                    const struct explanation *before, struct explanation *out)
{
    explain(e, rule_id, symbol, before, false, out);
}

void engine_watch(struct engine *e, struct explain_watch *w)
{
    e->watch = w;
}

void explain_close(const struct engine *e, const struct symbol *s)
{
    if (s->id == e->watch->symbol)
        explain(e, e->watch->rule_id, s->id, NULL, true, &e->watch->at_close);
}
