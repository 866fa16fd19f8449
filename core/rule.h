/* A rule: who it is, when it fires, and its condition as a canonical expression.
 *
 *   price > 167.5 and (rsi(14)@1m < 30 or change_pct_5m >= 2) and not session == "closed"
 *
 * and, or, not, parentheses, comparisons (> < >= <= == !=) of a metric with a number or with another metric.
 * `and` binds tighter than `or`, `not` tightest. JSON conditions become such an expression at the edge
 * (net/rule_json.h). Logic is three-valued: what has no value is unknown, through not, and, or; a rule fires
 * only on true.
 */
#ifndef CORE_RULE_H
#define CORE_RULE_H

#include "core/metric.h"

enum rule_trigger { TRIGGER_LEVEL, TRIGGER_CROSS, TRIGGER_COUNT };
extern const char *const rule_trigger_names[TRIGGER_COUNT]; /* "level", "cross" */

enum {
    RULE_ID_MAX = 64,
    RULE_NAME_MAX = 128,
    RULE_EXPR_MAX = 8192,
    RULE_SYMBOLS_MAX = 16384, /* bytes of the list */
    RULE_BYTES_MAX = 32768,   /* encoded, as it travels in RULE messages */
};
#define RULE_COOLDOWN_MAX_NS (INT64_C(31536000) * 1000000000) /* a year */

struct rule {
    char id[RULE_ID_MAX + 1];
    char name[RULE_NAME_MAX + 1];
    uint32_t version;
    enum rule_trigger trigger;
    bool enabled;
    int64_t cooldown_ns; /* per symbol */
    const char *expr;    /* borrowed; expr_len bytes */
    uint32_t expr_len;
    const char *symbols; /* borrowed; comma-separated names, symbols_len bytes; none = every symbol */
    uint32_t symbols_len;
};

/* The bytes that RULE messages and the rule table carry. Returns their number, or -1 if they exceed `max`. */
int rule_encode(const struct rule *r, uint8_t *out, size_t max);
/* Borrows from `bytes`. 0, or -1 with err for what is no such encoding (hostile input). */
int rule_decode(const uint8_t *bytes, size_t len, struct rule *r, struct error *err);

/* A parsed expression, in negation normal form: only AND, OR and comparisons are left. */
enum expr_op { EXPR_GT, EXPR_GE, EXPR_LT, EXPR_LE, EXPR_EQ, EXPR_NE, EXPR_AND, EXPR_OR };
enum { EXPR_NODES_MAX = 256, EXPR_DEPTH_MAX = 64 };

struct expr_node {
    uint8_t op;     /* enum expr_op */
    bool has_right; /* comparison: with operand[right], else with the number */
    uint16_t left;  /* comparison: operand; AND, OR: node */
    uint16_t right;
    int64_t bound_lo; /* comparison with a number c, as keys of the left metric: the least key >= c … */
    int64_t bound_hi; /* … and the least key > c */
};

struct expr {
    uint16_t n_nodes; /* the last one is the root; children come before parents */
    uint16_t n_operands;
    struct expr_node node[EXPR_NODES_MAX];
    struct metric operand[ALERT_OPERANDS_MAX]; /* distinct, in order of appearance: an alert's metadata */
};

/* Parses text[0..len). 0, or -1 with err: "column 9: found …, expected …". No allocation. */
int expr_parse(const char *text, size_t len, struct expr *e, struct error *err);

#endif
