/* The rule's two parsers: the expression, as a user types it, and the encoding, as a RULE message brings it.
 */
#include <assert.h>
#include <stdlib.h>

#include "core/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const char *text, size_t len)
{
    static struct expr e, now;
    struct error err;
    bool instant = expr_parse_instant(text, len, &now, &err) == 0;
    if (expr_parse(text, len, &e, &err) < 0) {
        assert(!instant);
        return;
    }
    assert(instant == (!e.events && e.n_spans == 0) && (!instant || !memcmp(&now, &e, sizeof e)));
    (void)instant;
    assert(e.n_nodes > 0 && e.n_nodes <= EXPR_NODES_MAX && e.n_operands > 0 &&
           e.n_operands <= ALERT_OPERANDS_MAX);
    unsigned referred = 0;
    for (unsigned i = 0; i < e.n_nodes; i++) {
        const struct expr_node *n = &e.node[i];
        if (expr_is_span(n->op)) {
            assert(n->left < i && n->level < EXPR_LEVELS && n->bound_lo >= 2);
            referred++;
        } else if (n->op >= EXPR_AND) {
            assert(n->left < i && n->right < i); /* children come before parents */
            referred += 2;
        } else {
            assert(n->left < e.n_terms && (!n->event || n->op == EXPR_GT || n->op == EXPR_LT));
            assert(n->bound_lo <= n->bound_hi && n->bound_lo != KEY_UNKNOWN);
        }
    }
    for (unsigned i = 0; i < e.n_terms; i++) {
        const struct expr_term *t = &e.term[i];
        bool metric = t->op == TERM_METRIC;
        assert(metric ? t->left < e.n_operands : t->left < i || t->left == TERM_NUMBER);
        assert(metric || ((t->right < i || t->right == TERM_NUMBER) && t->left + t->right < 2 * TERM_NUMBER));
        (void)metric;
    }
    assert(referred == e.n_nodes - 1u);           /* a tree: each but the root has one parent */
    for (unsigned i = 0; i < e.n_operands; i++) { /* canonical names are names */
        char name[METRIC_NAME_MAX];
        struct metric m;
        metric_name(&e.operand[i], name);
        int bad = metric_parse(name, strlen(name), &m, &err);
        assert(!bad && metric_same(&m, &e.operand[i]));
        (void)bad;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[RULE_BYTES_MAX];
    struct rule r;
    struct error err;
    parse((const char *)data, size);
    if (rule_decode(data, size, &r, &err) < 0)
        return 0;
    parse(r.expr, r.expr_len);
    int n = rule_encode(&r, again, sizeof again);
    assert(n == (int)size || n == (int)size + 8); /* of the first encoding, without expires_ns */
    (void)n;
    return 0;
}
