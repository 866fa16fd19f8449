/* The expression's parser: recursive descent, bounded in depth and size, straight to negation normal form.
 * Whether a parenthesis holds a condition or a value shows only behind it, so both are parsed by one grammar
 * and each user of a value checks its kind. */
#include "core/attribute.h"
#include "core/bucket.h"
#include "core/rule.h"
#include "core/rule_number.h"

#include <ctype.h>

enum token_kind {
    T_END,
    T_OPEN,
    T_CLOSE,
    T_CMP,
    T_ARITHMETIC,
    T_NUMBER,
    T_STRING,
    T_WORD, /* a metric, or a word that is none */
    T_AND,
    T_OR,
    T_NOT,
    T_CROSSES,
    T_FOR,
    T_WITHIN,
    T_BAD
};

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
    bool instant; /* no crossings, no spans */
    /* of each node */
    struct token at[EXPR_NODES_MAX]; /* of an event: its `crosses` */
    bool negated[EXPR_NODES_MAX];    /* of an event: a `not` stands before it */
    bool closed[EXPR_NODES_MAX];     /* it belongs to a span: what is outside does not change it */
};

/* What a part of the text is. */
enum value_kind { V_TRUTH, V_NUMBER, V_TERM, V_TEXT };
struct value {
    enum value_kind kind;
    struct token at; /* its first token */
    int node;        /* of a truth */
    uint16_t term;
    struct rule_number number;
};

static const char *const words[] = {"and", "or", "not", "crosses", "for", "within"};
static const enum token_kind word_kinds[] = {T_AND, T_OR, T_NOT, T_CROSSES, T_FOR, T_WITHIN};
enum { WORDS = sizeof words / sizeof *words };

static const char want_condition[] = "a metric, a number, 'not' or '('";
static const char want_value[] = "a number or a metric";
static const char want_now[] = "comparisons of values as they are now, without history";

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A keyword, or a metric's name with what belongs to it: `rsi(14)@1m`, `macd(12,26,9).signal`. */
static void scan_word(struct token *t, const char *end)
{
    const char *s = t->at, *p = s;
    while (p < end && word_char(*p))
        p++;
    t->kind = T_WORD;
    t->len = (size_t)(p - s);
    for (size_t i = 0; i < WORDS; i++)
        if (strlen(words[i]) == t->len && !memcmp(s, words[i], t->len)) {
            t->kind = word_kinds[i];
            return;
        }
    if (p < end && *p == '(') {
        while (p < end && *p != ')')
            p++;
        p += p < end;
    }
    while (p < end && (*p == '@' || *p == '.'))
        for (p++; p < end && word_char(*p);)
            p++;
    t->len = (size_t)(p - s);
}

static size_t number_length(const char *s, const char *end)
{
    const char *p = s;
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
    } else if (c == '+' || c == '-' || c == '*' || c == '/') {
        t->kind = T_ARITHMETIC;
    } else if (c == '"') {
        const char *q = memchr(s + 1, '"', (size_t)(p->end - s - 1));
        if (q) {
            t->kind = T_STRING;
            t->len = (size_t)(q + 1 - s);
        }
    } else if (isdigit((unsigned char)c) || (c == '.' && (isdigit((unsigned char)d) || d == '.'))) {
        t->kind = T_NUMBER;
        t->len = number_length(s, p->end);
    } else if (isalpha((unsigned char)c) || c == '_') {
        scan_word(t, p->end);
    }
}

static unsigned column(const struct parser *p, const struct token *t)
{
    return (unsigned)(t->at - p->text) + 1;
}

/* Refuses what token t is. A word near a keyword is taken for a slip. */
static int expected_at(struct parser *p, const struct token *t, const char *what)
{
    char word[16] = "";
    const char *near = NULL;
    if (t->kind == T_END)
        return error_set(p->err, "column %u: the expression ends, expected %s", column(p, t), what);
    if (t->kind == T_WORD && t->len < sizeof word) {
        memcpy(word, t->at, t->len);
        near = error_nearest(word, words, WORDS);
    }
    return error_set(p->err, "column %u: found '%.*s', expected %s%s%s%s", column(p, t),
                     t->len > 40 ? 40 : (int)t->len, t->at, what, near ? "; did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
}

static int expected(struct parser *p, const char *what)
{
    return expected_at(p, &p->token, what);
}

static bool token_is(const struct token *t, const char *word)
{
    return t->kind == T_WORD && t->len == strlen(word) && !memcmp(t->at, word, t->len);
}

/* ---- terms */

static int same_term(const struct expr_term *a, const struct expr_term *b)
{
    return a->op == b->op && a->price == b->price && a->left == b->left && a->right == b->right &&
           a->number == b->number;
}

static int add_term(struct parser *p, struct expr_term t, uint16_t *number)
{
    struct expr *e = p->e;
    uint16_t i = 0;
    while (i < e->n_terms && !same_term(&e->term[i], &t))
        i++;
    if (i == EXPR_TERMS_MAX)
        return expected(p, "at most 256 different metrics and computed values in one rule");
    e->term[i] = t;
    e->n_terms += i == e->n_terms;
    *number = i;
    return 0;
}

/* The term of the metric in view. */
static int metric_term(struct parser *p, uint16_t *term)
{
    struct metric m;
    struct expr *e = p->e;
    uint16_t i = 0;
    if (metric_parse(p->token.at, p->token.len, &m, p->err) < 0)
        return error_prefix(p->err, "column %u", column(p, &p->token));
    while (i < e->n_operands && !metric_same(&e->operand[i], &m))
        i++;
    if (i == ALERT_OPERANDS_MAX)
        return expected(p, "at most 64 different metrics in one rule");
    e->operand[i] = m;
    e->n_operands += i == e->n_operands;
    return add_term(
        p, (struct expr_term){.op = TERM_METRIC, .price = metric_unit(&m) == UNIT_PRICE, .left = i}, term);
}

/* The metric that a value is alone, NULL if it is none. */
static const struct metric *metric_of(const struct parser *p, const struct value *v)
{
    const struct expr_term *t = v->kind == V_TERM ? &p->e->term[v->term] : NULL;
    return t && t->op == TERM_METRIC ? &p->e->operand[t->left] : NULL;
}

static bool is_text(const struct parser *p, const struct value *v)
{
    const struct metric *m = metric_of(p, v);
    return m && metric_unit(m) == UNIT_TEXT;
}

static int no_number(struct parser *p, const struct value *v)
{
    return expected_at(p, &v->at, "a number (it is a text: == or != and a text in quotes compare with it)");
}

static bool is_price(const struct parser *p, const struct value *v)
{
    return v->kind == V_NUMBER ? v->number.exact : p->e->term[v->term].price;
}

/* v op= right, numbers at once. */
static int arithmetic(struct parser *p, char op, struct value *v, const struct value *right)
{
    if (is_text(p, v) || is_text(p, right))
        return no_number(p, is_text(p, v) ? v : right);
    if (v->kind == V_NUMBER && right->kind == V_NUMBER) {
        if (rule_number_fold(op, v->number, right->number, &v->number))
            return 0;
        return expected_at(p, &right->at, op == '/' ? "a divisor that is not 0" : "a result that is finite");
    }
    if (op == '/' && right->kind == V_NUMBER && right->number.d == 0)
        return expected_at(p, &right->at, "a divisor that is not 0");
    struct expr_term t = {.op = op == '+'   ? TERM_ADD
                                : op == '-' ? TERM_SUBTRACT
                                : op == '*' ? TERM_MULTIPLY
                                            : TERM_DIVIDE,
                          .price = (op == '+' || op == '-') && is_price(p, v) && is_price(p, right),
                          .left = v->kind == V_NUMBER ? TERM_NUMBER : v->term,
                          .right = right->kind == V_NUMBER ? TERM_NUMBER : right->term};
    const struct value *number = v->kind == V_NUMBER ? v : right;
    if (number->kind == V_NUMBER)
        t.number = t.price ? number->number.floor_e9 : key_of_double(number->number.d);
    v->kind = V_TERM;
    return add_term(p, t, &v->term);
}

static int negated_value(struct parser *p, struct value *v)
{
    struct value zero = {.kind = V_NUMBER, .number = {.exact = true}};
    if (v->kind == V_NUMBER) {
        v->number = rule_number_negated(v->number);
        return 0;
    }
    zero.at = v->at;
    if (arithmetic(p, '-', &zero, v) < 0)
        return -1;
    *v = zero;
    return 0;
}

static int number_value(struct parser *p, struct value *v)
{
    switch (rule_number_parse(p->token.at, p->token.len, &v->number)) {
    case RULE_NUMBER_LONG:
        return expected(p, "a number of at most 79 characters");
    case RULE_NUMBER_NONE:
        return expected(p, "a number such as 10, 0.5 or 1e6");
    case RULE_NUMBER_HUGE:
        return expected(p, "a number that a double can hold (below 1.8e308)");
    case RULE_NUMBER_OK:
        break;
    }
    v->kind = V_NUMBER;
    return 0;
}

/* ---- nodes */

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

static int session_bounds(struct parser *p, const struct token *text, struct expr_node *n)
{
    for (int k = 0; k < SESSION_KIND_COUNT; k++)
        if (text->len == strlen(session_names[k]) + 2 &&
            !memcmp(text->at + 1, session_names[k], text->len - 2)) {
            n->bound_lo = key_of_double(k);
            n->bound_hi = n->bound_lo + 1;
            return 0;
        }
    return expected_at(p, text, "\"closed\", \"premarket\", \"market\" or \"postmarket\"");
}

static int attribute_bounds(struct parser *p, const struct token *text, struct expr_node *n)
{
    struct attributes a;
    if (!attribute_set_text(&a, ATTRIBUTE_SECTOR, text->at + 1, text->len - 2))
        return expected_at(p, text, "a text of 1 to 63 bytes, without control characters");
    n->bound_lo = a.value[ATTRIBUTE_SECTOR];
    n->bound_hi = n->bound_lo + 1;
    n->right = (uint16_t)(text->at - p->text);
    p->e->texts = true;
    return 0;
}

static int text_bounds(struct parser *p, const struct value *left, const struct token *text,
                       struct expr_node *n)
{
    const struct metric *m = metric_of(p, left);
    if (!m || (m->kind != METRIC_SESSION && metric_unit(m) != UNIT_TEXT))
        return expected_at(
            p, text, "a number or a metric (text compares with `session`, `sector` and `exchange` only)");
    if (n->event || (n->op != EXPR_EQ && n->op != EXPR_NE))
        return expected_at(p, text, "text after == or != only");
    return m->kind == METRIC_SESSION ? session_bounds(p, text, n) : attribute_bounds(p, text, n);
}

/* left op right, at least one of them no number; n has the operator. *left becomes the truth. */
static int compare(struct parser *p, struct expr_node n, bool negate, struct value *left,
                   const struct value *right)
{
    if (right->kind == V_TEXT) {
        if (text_bounds(p, left, &right->at, &n) < 0)
            return -1;
        n.left = left->term;
    } else if (is_text(p, left) || is_text(p, right)) {
        return no_number(p, is_text(p, left) ? left : right);
    } else if (left->kind == V_NUMBER && right->kind == V_NUMBER) {
        return expected_at(p, &right->at, "a metric (one side of a comparison must be one)");
    } else if (left->kind == V_TERM && right->kind == V_TERM) {
        n.bound_lo = 0;
        n.bound_hi = 1;
        if (add_term(
                p,
                (struct expr_term){.op = TERM_ORDER, .price = true, .left = left->term, .right = right->term},
                &n.left) < 0)
            return -1;
    } else {
        const struct value *number = left->kind == V_NUMBER ? left : right;
        n.left = left->kind == V_NUMBER ? right->term : left->term;
        if (left->kind == V_NUMBER)
            n.op = mirrored(n.op);
        rule_number_bounds(number->number, p->e->term[n.left].price, &n.bound_lo, &n.bound_hi);
    }
    if (negate && !n.event)
        n.op = negated(n.op);
    p->e->events |= n.event;
    left->kind = V_TRUTH;
    left->node = add_node(p, n);
    return left->node < 0 ? -1 : 0;
}

/* ---- the grammar, from the loosest down; `want` is what may stand here */

static int disjunction(struct parser *p, bool negate, struct value *v, const char *want);

static int primary(struct parser *p, bool negate, struct value *v, const char *want)
{
    v->at = p->token;
    switch (p->token.kind) {
    case T_OPEN:
        if (++p->depth > EXPR_DEPTH_MAX)
            return expected(p, "at most 64 nested parentheses");
        next(p);
        if (disjunction(p, negate, v, want) < 0)
            return -1;
        if (p->token.kind != T_CLOSE)
            return expected(p, v->kind == V_TRUTH ? "'and', 'or' or ')'" : "an operator or ')'");
        v->at = p->token; /* … if it is refused, where it ends */
        p->depth--;
        break;
    case T_NUMBER:
        if (number_value(p, v) < 0)
            return -1;
        break;
    case T_WORD:
        v->kind = V_TERM;
        if (metric_term(p, &v->term) < 0)
            return -1;
        break;
    case T_STRING:
        v->kind = V_TEXT;
        break;
    default:
        return expected(p, want);
    }
    next(p);
    return 0;
}

static bool is_value(const struct value *v)
{
    return v->kind == V_NUMBER || v->kind == V_TERM;
}

/* A run of signs is one; so no text of them is deep. */
static int unary(struct parser *p, bool negate, struct value *v, const char *want)
{
    bool minus = false, sign = false;
    for (; p->token.kind == T_ARITHMETIC && (*p->token.at == '-' || *p->token.at == '+'); next(p)) {
        minus ^= *p->token.at == '-';
        sign = true;
        want = want_value;
    }
    if (primary(p, negate, v, want) < 0)
        return -1;
    if (sign && !is_value(v))
        return expected_at(p, &v->at, want_value);
    return minus ? negated_value(p, v) : 0;
}

typedef int part_fn(struct parser *p, bool negate, struct value *v, const char *want);

static int operation(struct parser *p, bool negate, struct value *v, const char *want, part_fn *part,
                     const char *ops)
{
    if (part(p, negate, v, want) < 0)
        return -1;
    while (is_value(v) && p->token.kind == T_ARITHMETIC && strchr(ops, *p->token.at)) {
        char op = *p->token.at;
        struct value right;
        next(p);
        if (part(p, false, &right, want_value) < 0)
            return -1;
        if (!is_value(&right))
            return expected_at(p, &right.at, want_value);
        if (arithmetic(p, op, v, &right) < 0)
            return -1;
    }
    return 0;
}

static int product(struct parser *p, bool negate, struct value *v, const char *want)
{
    return operation(p, negate, v, want, unary, "*/");
}

static int sum(struct parser *p, bool negate, struct value *v, const char *want)
{
    return operation(p, negate, v, want, product, "+-");
}

/* `crosses above`, `crosses below`: in view is `crosses`. */
static int crossing(struct parser *p, struct expr_node *n)
{
    if (p->instant)
        return expected(p, want_now);
    next(p);
    if (!token_is(&p->token, "above") && !token_is(&p->token, "below"))
        return expected(p, "'above' or 'below'");
    n->op = token_is(&p->token, "above") ? EXPR_GT : EXPR_LT;
    n->event = true;
    return 0;
}

/* A metric that is a condition by itself: is it above 0? */
static bool is_condition(const struct parser *p, const struct value *v)
{
    const struct expr_term *t = v->kind == V_TERM ? &p->e->term[v->term] : NULL;
    return t && t->op == TERM_METRIC && metric_unit(&p->e->operand[t->left]) == UNIT_TRUTH;
}

static int comparison(struct parser *p, bool negate, struct value *v, const char *want)
{
    struct expr_node n = {0};
    struct value right;
    if (sum(p, negate, v, want) < 0)
        return -1;
    if (v->kind == V_TEXT)
        return expected_at(p, &v->at, want);
    if (v->kind != V_TRUTH && p->token.kind != T_CMP && p->token.kind != T_CROSSES && is_condition(p, v)) {
        struct value zero = {.kind = V_NUMBER, .at = v->at, .number = {.exact = true}};
        return compare(p, (struct expr_node){.op = EXPR_GT}, negate, v, &zero);
    }
    if (v->kind == V_TRUTH || (p->token.kind != T_CMP && p->token.kind != T_CROSSES))
        return 0;
    struct token op = p->token;
    n.op = op.cmp;
    if (op.kind == T_CROSSES && crossing(p, &n) < 0)
        return -1;
    next(p);
    if (sum(p, false, &right, want_value) < 0)
        return -1;
    if (right.kind == V_TRUTH)
        return expected_at(p, &right.at, want_value);
    if (compare(p, n, negate, v, &right) < 0)
        return -1;
    p->at[v->node] = op;
    p->negated[v->node] = negate;
    return 0;
}

/* ---- spans */

/* The events of the nodes [first, end) that belong to no span: none may be negated, in a FOR none may be. */
static int check_events(struct parser *p, int first, int end, bool none)
{
    for (int i = first; i < end; i++) {
        if (!p->e->node[i].event || p->closed[i])
            continue;
        if (none)
            return expected_at(
                p, &p->at[i], "no crossing under 'for', as it is true for a moment only; 'within' takes one");
        if (p->negated[i])
            return expected_at(p, &p->at[i], "no 'not' before a crossing, which is true for a moment only");
    }
    return 0;
}

/* What a `not` before a span has negated in it before the span was seen: back again. */
static void negate_back(struct parser *p, int first, int end)
{
    for (int i = first; i < end; i++) {
        struct expr_node *n = &p->e->node[i];
        if (p->closed[i])
            continue;
        if (expr_is_span(n->op))
            n->negated = !n->negated;
        else if (n->op >= EXPR_AND)
            n->op = n->op == EXPR_AND ? EXPR_OR : EXPR_AND;
        else if (!n->event)
            n->op = negated(n->op);
        p->negated[i] = !p->negated[i];
    }
}

/* The whole number that the token in view begins with; -1: none, or a long one. *rest is behind it. */
static int64_t whole_number(const struct token *t, const char **rest)
{
    int64_t v = 0;
    const char *s = t->at, *end = s + t->len;
    if (t->kind != T_NUMBER || !isdigit((unsigned char)*s))
        return -1;
    for (; s < end && isdigit((unsigned char)*s) && v < 1000000; s++)
        v = 10 * v + (*s - '0');
    *rest = s;
    return v;
}

/* `N bars`, `N 5m bars`: in view is N. */
static int for_bars(struct parser *p, struct expr_node *n)
{
    const char *rest;
    int minutes = 1;
    n->bound_lo = whole_number(&p->token, &rest);
    if (n->bound_lo < 2 || n->bound_lo > EXPR_BARS_MAX || rest != p->token.at + p->token.len)
        return expected(p, "a whole number of bars, 2 to 500");
    next(p);
    if (p->token.kind == T_NUMBER) {
        minutes = metric_timeframe(p->token.at, p->token.len);
        if (minutes < 0 || minutes == METRIC_DAY)
            return expected(p, "'bars' or a timeframe: 1m 2m 5m 10m 15m 30m 1h 2h 4h");
        next(p);
    }
    if (!token_is(&p->token, "bars") && !token_is(&p->token, "bar"))
        return expected(p, p->token.kind == T_NUMBER || minutes > 1 ? "'bars'" : "'bars' or a timeframe");
    n->right = (uint16_t)minutes;
    p->e->long_bars |= minutes > 1;
    return 0;
}

/* `5m`: in view. */
static int within_time(struct parser *p, struct expr_node *n)
{
    const char *unit;
    int64_t v = whole_number(&p->token, &unit);
    if (v > 0 && unit + 1 == p->token.at + p->token.len) {
        v *= *unit == 's' ? 1 : *unit == 'm' ? 60 : *unit == 'h' ? 3600 : 0;
        n->bound_lo = v * SECOND_NS;
        if (v >= 1 && v <= EXPR_SECONDS_MAX)
            return 0;
    }
    return expected(p, "a time such as 30s, 5m or 1h, 1s to 24h");
}

/* `for` and `within` behind a condition whose nodes begin with `first`. */
static int spans(struct parser *p, bool negate, int first, struct value *v)
{
    while (p->token.kind == T_FOR || p->token.kind == T_WITHIN) {
        bool bars = p->token.kind == T_FOR;
        struct expr_node n = {
            .op = bars ? EXPR_FOR : EXPR_WITHIN, .negated = negate, .left = (uint16_t)v->node};
        int end = p->e->n_nodes;
        if (p->instant)
            return expected(p, want_now);
        if (negate)
            negate_back(p, first, end);
        if (check_events(p, first, end, bars) < 0)
            return -1;
        for (int i = first; i < end; i++) {
            const struct expr_node *x = &p->e->node[i];
            p->closed[i] = true;
            if (expr_is_span(x->op) && x->level >= n.level)
                n.level = x->level + 1;
        }
        if (n.level == EXPR_LEVELS)
            return expected(p, "at most 4 nested 'for' and 'within'");
        next(p);
        if ((bars ? for_bars : within_time)(p, &n) < 0)
            return -1;
        next(p);
        if ((v->node = add_node(p, n)) < 0)
            return -1;
        p->e->n_spans++;
    }
    return 0;
}

/* A condition is asked for, and there is but a value. */
static int no_truth(struct parser *p)
{
    return expected(p, "one of > < >= <= == != or 'crosses'");
}

static int factor(struct parser *p, bool negate, struct value *v, const char *want)
{
    bool any = false;
    int first = p->e->n_nodes;
    for (; p->token.kind == T_NOT; next(p)) {
        negate = !negate;
        any = true;
    }
    if (comparison(p, negate, v, any ? want_condition : want) < 0)
        return -1;
    if (v->kind == V_TRUTH)
        return spans(p, negate, first, v);
    return any ? no_truth(p) : 0;
}

static int chain(struct parser *p, bool negate, struct value *v, const char *want, part_fn *part,
                 enum token_kind word, enum expr_op op)
{
    if (part(p, negate, v, want) < 0)
        return -1;
    while (p->token.kind == word) {
        struct value right;
        if (v->kind != V_TRUTH)
            return no_truth(p);
        next(p);
        if (part(p, negate, &right, want_condition) < 0)
            return -1;
        if (right.kind != V_TRUTH)
            return no_truth(p);
        v->node = add_node(
            p, (struct expr_node){.op = op, .left = (uint16_t)v->node, .right = (uint16_t)right.node});
        if (v->node < 0)
            return -1;
    }
    return 0;
}

static int conjunction(struct parser *p, bool negate, struct value *v, const char *want)
{
    return chain(p, negate, v, want, factor, T_AND, negate ? EXPR_OR : EXPR_AND);
}

static int disjunction(struct parser *p, bool negate, struct value *v, const char *want)
{
    return chain(p, negate, v, want, conjunction, T_OR, negate ? EXPR_AND : EXPR_OR);
}

static int parse(const char *text, size_t len, bool instant, struct expr *e, struct error *err)
{
    struct value root;
    struct parser p = {
        .text = text, .end = text + len, .token = {.at = text}, .e = e, .err = err, .instant = instant};
    memset(e, 0, sizeof *e);
    if (len > RULE_EXPR_MAX)
        return error_set(err, "column %d: found an expression of %zu bytes, expected at most %d",
                         RULE_EXPR_MAX + 1, len, RULE_EXPR_MAX);
    next(&p);
    if (disjunction(&p, false, &root, want_condition) < 0)
        return -1;
    if (root.kind != V_TRUTH)
        return no_truth(&p);
    if (p.token.kind != T_END)
        return expected(&p, "'and', 'or' or the end");
    return check_events(&p, 0, p.e->n_nodes, false);
}

int expr_parse(const char *text, size_t len, struct expr *e, struct error *err)
{
    return parse(text, len, false, e, err);
}

int expr_parse_instant(const char *text, size_t len, struct expr *e, struct error *err)
{
    return parse(text, len, true, e, err);
}

int expr_check_trigger(const struct expr *e, enum rule_trigger trigger, struct error *err)
{
    if (e->long_bars && trigger == TRIGGER_BAR_CLOSE)
        return error_set(err, "trigger: found \"bar_close\" with `for` over bars of more than a minute, "
                              "expected bars of a minute: such a rule is evaluated at their ends");
    if (e->events && trigger == TRIGGER_BAR_CLOSE)
        return error_set(err,
                         "trigger: found \"bar_close\" with a crossing, expected another trigger: a rule "
                         "that is evaluated at bar ends alone sees none");
    return 0;
}
