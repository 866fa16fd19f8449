/* Values that rules compute of metrics: + - * /, and the order of two sides. */
#include "core/metric_value.h"

/* A side as a double; false if it is unknown. */
static bool side(const struct engine *e, const struct symbol *s, const struct expr_term *t, uint16_t node,
                 double *out)
{
    int64_t key = node == TERM_NUMBER ? t->number : node_key(e, s, node);
    bool price = node != TERM_NUMBER && e->node[node].term.price;
    *out = price ? (double)key / 1e9 : key_to_double(key);
    return key != KEY_UNKNOWN;
}

static int64_t price_sum(const struct engine *e, const struct symbol *s, const struct expr_term *t)
{
    int64_t a = t->left == TERM_NUMBER ? t->number : node_key(e, s, t->left), sum;
    int64_t b = t->right == TERM_NUMBER ? t->number : node_key(e, s, t->right);
    if (a == KEY_UNKNOWN || b == KEY_UNKNOWN)
        return KEY_UNKNOWN;
    bool over = t->op == TERM_ADD ? __builtin_add_overflow(a, b, &sum) : __builtin_sub_overflow(a, b, &sum);
    return over ? KEY_UNKNOWN : sum;
}

static int64_t order(const struct engine *e, const struct symbol *s, const struct expr_term *t)
{
    double a, b;
    if (e->node[t->left].term.price && e->node[t->right].term.price) {
        int64_t left = node_key(e, s, t->left), right = node_key(e, s, t->right);
        return left == KEY_UNKNOWN || right == KEY_UNKNOWN ? KEY_UNKNOWN : (left > right) - (left < right);
    }
    return side(e, s, t, t->left, &a) && side(e, s, t, t->right, &b) ? (a > b) - (a < b) : KEY_UNKNOWN;
}

int64_t computed_key(const struct engine *e, const struct symbol *s, const struct expr_term *t)
{
    double a, b;
    if (t->op == TERM_ORDER)
        return order(e, s, t);
    if (t->price)
        return price_sum(e, s, t);
    if (!side(e, s, t, t->left, &a) || !side(e, s, t, t->right, &b))
        return KEY_UNKNOWN;
    switch ((enum term_op)t->op) {
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
