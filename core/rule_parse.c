/* The expression's parser: recursive descent, bounded in depth and size, straight to negation normal form. */
#include "core/rule.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum token_kind { T_END, T_OPEN, T_CLOSE, T_CMP, T_NUMBER, T_STRING, T_METRIC, T_AND, T_OR, T_NOT, T_BAD };

struct token {
    enum token_kind kind;
    enum expr_op cmp;
    const char *at;
    size_t len;
};

struct parser {
    const char *text, *end;
    struct token token; /* the one in view */
    struct expr *e;
    struct error *err;
    int depth;
};

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A keyword, or a metric's name with what belongs to it: `rsi(14)@1m`. */
static void scan_word(struct token *t, const char *end)
{
    static const struct {
        const char *word;
        enum token_kind kind;
    } keywords[] = {{"and", T_AND}, {"or", T_OR}, {"not", T_NOT}};
    const char *s = t->at, *p = s;
    while (p < end && word_char(*p))
        p++;
    t->kind = T_METRIC;
    t->len = (size_t)(p - s);
    for (size_t i = 0; i < 3; i++)
        if (strlen(keywords[i].word) == t->len && !memcmp(s, keywords[i].word, t->len)) {
            t->kind = keywords[i].kind;
            return;
        }
    if (p < end && *p == '(') {
        while (p < end && *p != ')')
            p++;
        p += p < end;
    }
    if (p < end && *p == '@')
        for (p++; p < end && word_char(*p);)
            p++;
    t->len = (size_t)(p - s);
}

static size_t number_length(const char *s, const char *end)
{
    const char *p = s + (*s == '-' || *s == '+');
    while (p < end && (isdigit((unsigned char)*p) || *p == '.'))
        p++;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '-' || *p == '+');
        while (p < end && isdigit((unsigned char)*p))
            p++;
    }
    while (p < end && word_char(*p)) /* so that "12abc" is one bad number, not two tokens */
        p++;
    return (size_t)(p - s);
}

static void next(struct parser *p)
{
    struct token *t = &p->token;
    const char *s = t->at + t->len;
    while (s < p->end && isspace((unsigned char)*s))
        s++;
    *t = (struct token){.kind = s == p->end ? T_END : T_BAD, .at = s, .len = s < p->end};
    if (s == p->end)
        return;
    char c = *s, d = s + 1 < p->end ? s[1] : 0;
    if (c == '(' || c == ')') {
        t->kind = c == '(' ? T_OPEN : T_CLOSE;
    } else if (c == '>' || c == '<' || ((c == '=' || c == '!') && d == '=')) {
        bool eq = d == '=';
        t->kind = T_CMP;
        t->len = eq ? 2 : 1;
        t->cmp = c == '>'   ? (eq ? EXPR_GE : EXPR_GT)
                 : c == '<' ? (eq ? EXPR_LE : EXPR_LT)
                 : c == '=' ? EXPR_EQ
                            : EXPR_NE;
    } else if (c == '"') {
        const char *q = memchr(s + 1, '"', (size_t)(p->end - s - 1));
        if (q) {
            t->kind = T_STRING;
            t->len = (size_t)(q + 1 - s);
        }
    } else if (isdigit((unsigned char)c) ||
               ((c == '-' || c == '+' || c == '.') && (isdigit((unsigned char)d) || d == '.'))) {
        t->kind = T_NUMBER;
        t->len = number_length(s, p->end);
    } else if (isalpha((unsigned char)c) || c == '_') {
        scan_word(t, p->end);
    }
}

static unsigned column(const struct parser *p)
{
    return (unsigned)(p->token.at - p->text) + 1;
}

static int expected(struct parser *p, const char *what)
{
    const struct token *t = &p->token;
    if (t->kind == T_END)
        return error_set(p->err, "column %u: the expression ends, expected %s", column(p), what);
    return error_set(p->err, "column %u: found '%.*s', expected %s", column(p),
                     t->len > 40 ? 40 : (int)t->len, t->at, what);
}

/* floor(c x 1e9) of a decimal number that strtod has taken, within int64; *exact says whether nothing was cut
 * off. */
static int64_t price_floor(const char *s, size_t len, bool *exact)
{
    const __int128 full = (__int128)1 << 120;
    bool negative = *s == '-', sticky = false, point = false;
    __int128 v = 0;
    long power = 9;
    for (size_t i = *s == '-' || *s == '+'; i < len; i++) {
        if (s[i] == '.') {
            point = true;
        } else if (s[i] == 'e' || s[i] == 'E') {
            long exponent = strtol(s + i + 1, NULL, 10); /* no text of digits moves the point by a thousand */
            power += exponent > 1000 ? 1000 : exponent < -1000 ? -1000 : exponent;
            break;
        } else if (v < full) {
            v = v * 10 + (s[i] - '0');
            power -= point;
        } else {
            sticky |= s[i] != '0';
            power += !point;
        }
    }
    for (; power > 0 && v < full; power--)
        v *= 10;
    for (; power < 0 && v; power++) {
        sticky |= v % 10 != 0;
        v /= 10;
    }
    *exact = !sticky;
    if (v > INT64_MAX - 1) {
        *exact = false;
        v = INT64_MAX - 1;
    }
    return negative ? (int64_t)(-v - !*exact) : (int64_t)v;
}

/* The number in view as bounds on keys of `m`. */
static int number_bounds(struct parser *p, const struct metric *m, struct expr_node *n)
{
    char text[80], *end;
    const struct token *t = &p->token;
    if (t->len >= sizeof text)
        return expected(p, "a number of at most 79 characters");
    memcpy(text, t->at, t->len);
    text[t->len] = 0;
    double d = strtod(text, &end);
    if (*end || end == text || strpbrk(text, "xX")) /* strtod would take hexadecimal */
        return expected(p, "a number such as 10, -0.5 or 1e6");
    if (!isfinite(d))
        return expected(p, "a number that a double can hold (below 1.8e308)");
    if (metric_unit(m) == UNIT_PRICE) {
        bool exact;
        int64_t floor = price_floor(text, t->len, &exact);
        n->bound_lo = exact ? floor : floor + 1;
        n->bound_hi = floor + 1;
    } else {
        n->bound_lo = key_of_double(d);
        n->bound_hi = n->bound_lo + 1;
    }
    return 0;
}

static int session_bounds(struct parser *p, const struct metric *m, struct expr_node *n)
{
    if (m->kind != METRIC_SESSION)
        return expected(p, "a number or a metric (text compares with `session` only)");
    if (n->op != EXPR_EQ && n->op != EXPR_NE)
        return expected(p, "text after == or != only");
    for (int k = 0; k < SESSION_KIND_COUNT; k++)
        if (p->token.len == strlen(session_names[k]) + 2 &&
            !memcmp(p->token.at + 1, session_names[k], p->token.len - 2)) {
            n->bound_lo = key_of_double(k);
            n->bound_hi = n->bound_lo + 1;
            return 0;
        }
    return expected(p, "\"closed\", \"premarket\", \"market\" or \"postmarket\"");
}

/* The operand number of the metric in view, or -1. */
static int operand(struct parser *p)
{
    struct metric m;
    struct expr *e = p->e;
    if (metric_parse(p->token.at, p->token.len, &m, p->err) < 0) {
        error_prefix(p->err, "column %u", column(p));
        return -1;
    }
    for (int i = 0; i < e->n_operands; i++)
        if (metric_same(&e->operand[i], &m))
            return i;
    if (e->n_operands == ALERT_OPERANDS_MAX)
        return expected(p, "at most 64 different metrics in one rule");
    e->operand[e->n_operands] = m;
    return e->n_operands++;
}

static int add_node(struct parser *p, struct expr_node n)
{
    if (p->e->n_nodes == EXPR_NODES_MAX)
        return expected(p, "at most 256 comparisons and connectives in one rule");
    p->e->node[p->e->n_nodes] = n;
    return p->e->n_nodes++;
}

static enum expr_op mirrored(enum expr_op op)
{
    static const enum expr_op m[] = {EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE, EXPR_EQ, EXPR_NE};
    return m[op];
}

static enum expr_op negated(enum expr_op op)
{
    static const enum expr_op n[] = {EXPR_LE, EXPR_LT, EXPR_GE, EXPR_GT, EXPR_NE, EXPR_EQ};
    return n[op];
}

/* operand cmp operand, at least one of them a metric; *node is its number */
static int comparison(struct parser *p, bool negate, int *node)
{
    struct token first = p->token;
    int left = -1;
    if (first.kind != T_METRIC && first.kind != T_NUMBER)
        return expected(p, "a metric, a number, 'not' or '('");
    if (first.kind == T_METRIC && (left = operand(p)) < 0)
        return -1;
    next(p);
    if (p->token.kind != T_CMP)
        return expected(p, "one of > < >= <= == !=");
    struct expr_node n = {.op = p->token.cmp};
    next(p);
    if (first.kind == T_NUMBER) {
        if (p->token.kind != T_METRIC)
            return expected(p, "a metric (one side of a comparison must be one)");
        if ((left = operand(p)) < 0)
            return -1;
        struct token second = p->token;
        p->token = first;
        if (number_bounds(p, &p->e->operand[left], &n) < 0)
            return -1;
        p->token = second;
        n.op = mirrored(n.op);
    } else if (p->token.kind == T_METRIC) {
        int right = operand(p);
        if (right < 0)
            return -1;
        n.has_right = true;
        n.right = (uint16_t)right;
        n.bound_lo = 0; /* of the difference: the same keys for a price and for a double */
        n.bound_hi = 1;
    } else if (p->token.kind == T_NUMBER) {
        if (number_bounds(p, &p->e->operand[left], &n) < 0)
            return -1;
    } else if (p->token.kind == T_STRING) {
        if (session_bounds(p, &p->e->operand[left], &n) < 0)
            return -1;
    } else {
        return expected(p, "a number or a metric");
    }
    n.left = (uint16_t)left;
    if (negate)
        n.op = negated(n.op);
    next(p);
    *node = add_node(p, n);
    return *node < 0 ? -1 : 0;
}

static int disjunction(struct parser *p, bool negate, int *node);

static int factor(struct parser *p, bool negate, int *node)
{
    while (p->token.kind == T_NOT) {
        negate = !negate;
        next(p);
    }
    if (p->token.kind != T_OPEN)
        return comparison(p, negate, node);
    if (++p->depth > EXPR_DEPTH_MAX)
        return expected(p, "at most 64 nested parentheses");
    next(p);
    if (disjunction(p, negate, node) < 0)
        return -1;
    if (p->token.kind != T_CLOSE)
        return expected(p, "'and', 'or' or ')'");
    next(p);
    p->depth--;
    return 0;
}

typedef int part_fn(struct parser *p, bool negate, int *node);

static int chain(struct parser *p, bool negate, int *node, part_fn *part, enum token_kind word,
                 enum expr_op op)
{
    if (part(p, negate, node) < 0)
        return -1;
    while (p->token.kind == word) {
        int right;
        next(p);
        if (part(p, negate, &right) < 0)
            return -1;
        *node = add_node(p, (struct expr_node){.op = op, .left = (uint16_t)*node, .right = (uint16_t)right});
        if (*node < 0)
            return -1;
    }
    return 0;
}

static int conjunction(struct parser *p, bool negate, int *node)
{
    return chain(p, negate, node, factor, T_AND, negate ? EXPR_OR : EXPR_AND);
}

static int disjunction(struct parser *p, bool negate, int *node)
{
    return chain(p, negate, node, conjunction, T_OR, negate ? EXPR_AND : EXPR_OR);
}

int expr_parse(const char *text, size_t len, struct expr *e, struct error *err)
{
    int root;
    struct parser p = {.text = text, .end = text + len, .token = {.at = text}, .e = e, .err = err};
    memset(e, 0, sizeof *e);
    if (len > RULE_EXPR_MAX)
        return error_set(err, "an expression of %zu bytes, expected at most %d", len, RULE_EXPR_MAX);
    next(&p);
    if (disjunction(&p, false, &root) < 0)
        return -1;
    if (p.token.kind != T_END)
        return expected(&p, "'and', 'or' or the end");
    return 0;
}
