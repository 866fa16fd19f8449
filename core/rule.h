/* A rule: who it is, when it fires, and its condition as a canonical expression.
 *
 *   price > 167.5 and (rsi(14)@1m < 30 or ask - bid >= 0.0005 * price) and not session == "closed"
 *
 * and, or, not, parentheses; comparisons (> < >= <= == !=) and crossings (crosses above, crosses below) of
 * two sides, each of metrics, numbers, + - * / and unary minus. `and` binds tighter than `or`, `not` tighter
 * than both, then comparisons, + and -, * and /, unary minus. JSON conditions become such an expression at
 * the edge (net/rules_file.h).
 *
 * Texts stand behind == and != alone, their metric before: `session`, whose four are known, and the
 * attributes `sector` and `exchange`, with any text of 1 to 63 bytes. Nothing else is done with such an
 * attribute.
 * A metric of yes and no (UNIT_TRUTH) is a condition by itself: `halted`, `not inside_bar@5m`.
 *
 * Truth is three-valued: what has no value is unknown, through not, and, or, arithmetic; a rule fires only on
 * true.
 *
 * Arithmetic. + and - of prices, and of a price and a number with at most 9 decimals, are prices, exact at
 * 1e-9. All else is computed in doubles, in the order written. Unknown: an operand is, a division by 0, a
 * result that is not finite or, of prices, beyond int64.
 *
 * Events. `A crosses above B` is true at the one evaluation of the symbol at which A > B is true and at whose
 * predecessor A <= B was; at every other it is false, and unknown where A or B is. `below` likewise with A <
 * B and A >= B. At a version's first evaluation nothing crosses, nor, where the rule names a recursive
 * metric, at the first of a trading day. An event cannot be negated: it would be true nearly always.
 *
 * Spans, behind a comparison or a parenthesis. Their history is the rule version's and the symbol's own: it
 * begins at the version's first evaluation there. The truth of E lasts from one evaluation to the next, that
 * of a crossing for its moment; a silent evaluation (a late print, a correction) knows no crossings.
 *   E within T            true at time t iff E was true at a moment later than t - T; else what E is, false
 * or unknown. T is 1 s to 24 h of the symbol's time. E for N [Mm] bars     E now and at the ends of the last
 * N - 1 bars (of M minutes, 1 if not given), as of the last evaluation before each: false if any is, else
 * unknown if any is, else true. Bars are those in which the symbol traded, N is 2 to 500. What was before the
 *                         first evaluation is false if E is there, else unknown. E has no events.
 * With the trigger bar_close the moments are the bars' ends alone, the one at hand being now, and what was
 * before the first is false.
 *
 * Triggers. `t` is the symbol's time, a rule's cooldown is per symbol, `fired` its last alert there.
 *   level         fires at a TRADE or QUOTE at which the expression is true and fired + cooldown <= t; at a
 *                 CLOCK only where the expression became true by it.
 *   cross         fires where the expression becomes true from false (not from unknown).
 *   once          as level, but never again for the symbol until the next version.
 *   once_per_bar  as level, but not in the clock minute of this version's last alert.
 *   bar_close     is evaluated only when a minute of the symbol in which it traded ends: at the CLOCK, or
 *                 before its own first message of a later minute. Values are those of that moment: the bar is
 *                 the last ended one, the live minute is empty. It knows no events.
 * A STATUS is as a CLOCK. What is true in another session than the rule's, while the symbol is halted, or
 * within the cooldown, is held, and counted so; a rule that names `halted` is not held by a halt. From
 * expires_ns on a rule is neither evaluated nor fires. A rule with `shadow` is as any other; its alerts are
 * marked (MSG_F_SHADOW), for they are recorded and not delivered.
 */
#ifndef CORE_RULE_H
#define CORE_RULE_H

#include "core/metric.h"

enum rule_trigger {
    TRIGGER_LEVEL,
    TRIGGER_CROSS,
    TRIGGER_ONCE,
    TRIGGER_ONCE_PER_BAR,
    TRIGGER_BAR_CLOSE,
    TRIGGER_COUNT
};
extern const char *const rule_trigger_names[TRIGGER_COUNT]; /* "level", "cross", "once", … */

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
    bool shadow;
    uint8_t sessions;    /* bits 1 << enum session_kind; 0 = every session */
    int64_t cooldown_ns; /* per symbol */
    int64_t expires_ns;  /* symbol's time; 0 = never */
    const char *expr;    /* borrowed; expr_len bytes */
    uint32_t expr_len;
    const char *symbols; /* borrowed; comma-separated names, symbols_len bytes; none = every symbol */
    uint32_t symbols_len;
};

/* The bytes that RULE messages and the rule table carry. Returns their number, or -1 if they exceed `max`. */
int rule_encode(const struct rule *r, uint8_t *out, size_t max);
/* Borrows from `bytes`. 0, or -1 with err for what is no such encoding (hostile input). */
int rule_decode(const uint8_t *bytes, size_t len, struct rule *r, struct error *err);

/* What a comparison looks at: a metric, or what is computed of terms and a number. */
enum term_op {
    TERM_METRIC,
    TERM_ADD,
    TERM_SUBTRACT,
    TERM_MULTIPLY,
    TERM_DIVIDE,
    TERM_ORDER,
    TERM_SPAN /* the engine's own: the truth of a FOR or WITHIN */
};
enum { EXPR_TERMS_MAX = 256, TERM_NUMBER = 0xffff };

struct expr_term {
    uint8_t op; /* enum term_op; ORDER: -1, 0 or 1 as left is below, equal to, above right */
    bool price; /* its values are prices at 1e-9 (ORDER: its keys are plain integers), else doubles */
    uint16_t left,
        right;      /* METRIC: left is the operand; else terms before this one, one may be TERM_NUMBER */
    int64_t number; /* as a key: a price if `price`, else a double */
};

/* A parsed expression, in negation normal form: only AND, OR, spans and comparisons with a number are left
 * (of A > B: that of their ORDER with 0). A span may be negated, what is in it is in normal form by itself.
 */
enum expr_op {
    EXPR_GT,
    EXPR_GE,
    EXPR_LT,
    EXPR_LE,
    EXPR_EQ,
    EXPR_NE,
    EXPR_AND,
    EXPR_OR,
    EXPR_FOR,
    EXPR_WITHIN
};
enum { EXPR_NODES_MAX = 256, EXPR_DEPTH_MAX = 64, EXPR_LEVELS = 4 };
enum { EXPR_BARS_MAX = 500, EXPR_SECONDS_MAX = 86400 };

static inline bool expr_is_span(unsigned op)
{
    return op >= EXPR_FOR;
}

struct expr_node {
    uint8_t op;       /* enum expr_op */
    bool event;       /* GT, LT: only at the evaluation that makes it so */
    bool negated;     /* FOR, WITHIN */
    uint8_t level;    /* FOR, WITHIN: how many of them are nested in it at most, below EXPR_LEVELS */
    uint16_t left;    /* comparison: term; AND, OR, FOR, WITHIN: node */
    uint16_t right;   /* AND, OR: node; FOR: minutes of a bar; comparison with a text: where it begins */
    int64_t bound_lo; /* comparison with a number c, as keys of the term: the least key >= c … */
    int64_t bound_hi; /* … and the least key > c */
    /* FOR: bound_lo bars; WITHIN: bound_lo nanoseconds; bound_hi is the engine's */
};

struct expr {
    uint16_t n_nodes; /* the last one is the root; children come before parents */
    uint16_t n_operands, n_terms;
    uint16_t n_spans;
    bool events;    /* there is a crossing */
    bool long_bars; /* … a FOR over bars of more than a minute */
    bool texts;     /* … a comparison with a text that is an attribute */
    struct expr_node node[EXPR_NODES_MAX];
    struct metric operand[ALERT_OPERANDS_MAX]; /* distinct, in order of appearance: an alert's metadata */
    struct expr_term term[EXPR_TERMS_MAX];     /* distinct */
};

/* Parses text[0..len). 0, or -1 with err: "column 9: found …, expected …". No allocation. */
int expr_parse(const char *text, size_t len, struct expr *e, struct error *err);
/* Whether a rule of this trigger can have this expression. 0, or -1 with err. */
int expr_check_trigger(const struct expr *e, enum rule_trigger trigger, struct error *err);

/* Parses one that is asked of a symbol at an instant, without a rule: it has no crossings and spans, as these
 * know a history. 0, or -1 with err. */
int expr_parse_instant(const char *text, size_t len, struct expr *e, struct error *err);
/* Is such a one true (not unknown)? operand: the key of each of its operands. */
bool expr_holds(const struct expr *e, const int64_t *operand);

#endif
