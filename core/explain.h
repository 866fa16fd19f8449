/* Why a rule fires for a symbol, or does not: the truth of each of its comparisons and what else holds it, as
 * the engine stands between two messages. Values are computed anew from the metrics, not read off the
 * indexes, so that an explanation also checks them. Not for the hot path.
 */
#ifndef CORE_EXPLAIN_H
#define CORE_EXPLAIN_H

#include "core/attribute.h"
#include "core/engine.h"

enum { EXPLAIN_TEXT_MAX = 160 };
enum explain_truth { EXPLAIN_FALSE, EXPLAIN_UNKNOWN, EXPLAIN_TRUE };

/* One node of the expression, in the order of struct expr: children before parents, the last is the root. */
struct explain_node {
    uint8_t op;           /* enum expr_op */
    uint8_t truth;        /* enum explain_truth */
    bool event;           /* a crossing */
    uint16_t left, right; /* AND, OR: nodes; FOR, WITHIN: left is what is in it */
    /* "rsi(14)@5m < 30"; cut off with … where it is longer; of a FOR or WITHIN what stands behind its node,
     * "for 3 bars", whose truth is as the engine has it, from what it remembers */
    char text[EXPLAIN_TEXT_MAX];
    /* of a comparison: */
    double value, bound; /* its two sides; NaN where one is unknown */
    int64_t key;         /* what is compared, as the next explanation needs it for crossings */
    bool is_text;        /* the sides are these instead; value_text is empty where it is unknown */
    char value_text[ATTRIBUTE_TEXT_MAX + 1], bound_text[ATTRIBUTE_TEXT_MAX + 1];
};

/* What holds a rule back, as far as it is no comparison. */
enum explain_gate {
    EXPLAIN_NO_RULE,       /* no rule of that id has come */
    EXPLAIN_NO_SYMBOL,     /* the symbol has had no message */
    EXPLAIN_DISABLED,      /* the version in force is switched off */
    EXPLAIN_OTHER_SYMBOLS, /* the rule names symbols, and not this one */
    EXPLAIN_NEW,           /* it came since the symbol's last message, the next evaluates it first */
    EXPLAIN_EXPIRED,
    EXPLAIN_EXPRESSION, /* it is false or unknown: see the comparisons */
    EXPLAIN_SESSION,    /* … the rule is not of this session */
    EXPLAIN_HALT,       /* … the symbol is halted */
    EXPLAIN_COOLDOWN,   /* … until ready_ns */
    EXPLAIN_OPEN,       /* nothing does */
};

struct explanation {
    enum explain_gate gate; /* the first that holds it */
    uint32_t version;
    enum rule_trigger trigger;
    bool shadow;
    uint8_t sessions; /* bits 1 << enum session_kind */
    enum session_kind session;
    bool halted;      /* … and the rule is held by it */
    int64_t time_ns;  /* the symbol's */
    int64_t price_e9; /* KEY_UNKNOWN before the first trade */
    int64_t cooldown_ns, expires_ns;
    int64_t fired_ns; /* of its last alert there that still counts; INT64_MIN: none does */
    int64_t ready_ns; /* from when on it may fire again */
    uint16_t n_nodes; /* 0 where `gate` comes before the expression */
    struct explain_node node[EXPR_NODES_MAX];
};

/* `before`: the same, as it stood before the last message; NULL: crossings count as over. */
void engine_explain(const struct engine *e, const char *rule_id, uint32_t symbol,
                    const struct explanation *before, struct explanation *out);

/* From now on keeps what a bar_close rule sees where the last minute of a symbol has ended, which is before
 * the message at hand is applied. `w` outlives the engine. */
struct explain_watch {
    char rule_id[RULE_ID_MAX + 1];
    uint32_t symbol;
    struct explanation at_close; /* n_nodes 0: no minute has ended yet */
};
void engine_watch(struct engine *e, struct explain_watch *w);

#endif
