/* Values that rules compute of metrics: + - * /, and the order of two sides. */
#include "core/metric_value.h"
#include "core/rule_truth.h"

/* One of a term's two sides. */
struct term_value {
    int64_t key;
    bool price;
};

static inline double number_of(struct term_value x)
{
    return x.price ? (double)x.key / 1e9 : key_to_double(x.key);
}

static int64_t price_sum(const struct expr_term *t, int64_t a, int64_t b)
{
    int64_t sum;
    bool over = t->op == TERM_ADD ? __builtin_add_overflow(a, b, &sum) : __builtin_sub_overflow(a, b, &sum);
    return over ? KEY_UNKNOWN : sum;
}

/* What a term that is no metric is of its sides. */
static inline int64_t term_key(const struct expr_term *t, struct term_value left, struct term_value right)
{
    if (left.key == KEY_UNKNOWN || right.key == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    if (t->op == TERM_ORDER && left.price && right.price)
        return (left.key > right.key) - (left.key < right.key);
    if (t->op != TERM_ORDER && t->price)
        return price_sum(t, left.key, right.key);
    double a = number_of(left), b = number_of(right);
    switch ((enum term_op)t->op) {
    case TERM_ORDER:
        return (a > b) - (a < b);
    case TERM_ADD:
        return key_number(a + b);
    case TERM_SUBTRACT:
        return key_number(a - b);
    case TERM_MULTIPLY:
        return key_number(a * b);
    default:
        return key_number(a / b);
    }
}

static inline struct term_value node_value(const struct engine *e, const struct symbol *s,
                                           const struct expr_term *t, uint16_t node)
{
    return node == TERM_NUMBER ? (struct term_value){t->number, false}
                               : (struct term_value){node_key(e, s, node), e->node[node].term.price};
}

int64_t computed_key(const struct engine *e, const struct symbol *s, const struct expr_term *t)
{
    return term_key(t, node_value(e, s, t, t->left), node_value(e, s, t, t->right));
}

/* ---- an expression at an instant */

static struct term_value value_of(const struct expr *x, const struct expr_term *t, const int64_t *key,
                                  uint16_t at)
{
    return at == TERM_NUMBER ? (struct term_value){t->number, false}
                             : (struct term_value){key[at], x->term[at].price};
}

bool expr_holds(const struct expr *x, const int64_t *operand)
{
    int64_t key[EXPR_TERMS_MAX];
    bool holds[EXPR_NODES_MAX];
    for (unsigned i = 0; i < x->n_terms; i++) {
        const struct expr_term *t = &x->term[i];
        key[i] = t->op == TERM_METRIC
                     ? operand[t->left]
                     : term_key(t, value_of(x, t, key, t->left), value_of(x, t, key, t->right));
    }
    /* nothing is negated but within comparisons: so it is true where its and and or are, unknown being false
     */
    for (unsigned i = 0; i < x->n_nodes; i++) {
        const struct expr_node *n = &x->node[i];
        holds[i] = n->op == EXPR_AND  ? holds[n->left] && holds[n->right]
                   : n->op == EXPR_OR ? holds[n->left] || holds[n->right]
                                      : key[n->left] != KEY_UNKNOWN && comparison_holds(n, key[n->left]);
    }
    return holds[x->n_nodes - 1];
}
