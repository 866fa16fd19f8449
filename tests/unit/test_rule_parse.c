/* The expression's parser: what it takes and means, every refusal with its place, and what a hostile text
 * cannot do. */
#include "core/attribute.h"
#include "core/rule.h"

#include <inttypes.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct expr e;
static struct error err;

static int parse(const char *text)
{
    return expr_parse(text, strlen(text), &e, &err);
}

/* An expression over truths of its comparisons, for all combinations; node i of comparisons has bit i of
 * `holds`. */
static bool meaning(unsigned node, const bool holds[])
{
    const struct expr_node *n = &e.node[node];
    if (n->op >= EXPR_FOR)
        return meaning(n->left, holds) != n->negated; /* a span of one moment */
    if (n->op == EXPR_AND)
        return meaning(n->left, holds) && meaning(n->right, holds);
    if (n->op == EXPR_OR)
        return meaning(n->left, holds) || meaning(n->right, holds);
    return holds[node];
}

/* True if a comparison with a number holds for a key. */
static bool compares(const struct expr_node *n, int64_t key)
{
    switch ((enum expr_op)n->op) {
    case EXPR_GT:
        return key >= n->bound_hi;
    case EXPR_GE:
        return key >= n->bound_lo;
    case EXPR_LT:
        return key < n->bound_lo;
    case EXPR_LE:
        return key < n->bound_hi;
    case EXPR_EQ:
        return key >= n->bound_lo && key < n->bound_hi;
    default:
        return !(key >= n->bound_lo && key < n->bound_hi);
    }
}

/* A metric of yes and no stands for itself: above 0, or under `not` at 0. */
static void test_truth(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum expr_op op;
    } t[] = {
        {"halted", EXPR_GT},       {"not halted", EXPR_LE},     {"(halted)", EXPR_GT},
        {"not (halted)", EXPR_LE}, {"not not halted", EXPR_GT}, {"halted == 1", EXPR_EQ},
    };
    static const char *const bad[] = {"price", "halted price > 1", "-halted", "price > 1 and bid",
                                      "halted + 1"};
    static struct expr e;
    struct error err;
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(expr_parse(t[i].text, strlen(t[i].text), &e, &err), 0);
        assert_int_equal(e.n_nodes, 1);
        assert_int_equal(e.node[0].op, t[i].op);
        if (t[i].op != EXPR_EQ) {
            assert_int_equal(e.node[0].bound_lo, key_of_double(0));
            assert_int_equal(e.node[0].bound_hi, key_of_double(0) + 1);
        }
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(expr_parse(bad[i], strlen(bad[i]), &e, &err), -1);
    static const char both[] = "price > 5 and not halted or halted and bid < 1";
    assert_int_equal(expr_parse(both, sizeof both - 1, &e, &err), 0);
    assert_int_equal(e.n_nodes, 7);
    assert_int_equal(e.n_operands, 3);
}

/* Of what is asked at an instant: the first crossing or span is refused, with its place. */
static void test_instant(void **state)
{
    static const struct {
        const char *text, *refused; /* NULL: it is taken */
    } t[] = {
        {"price > 5 and not halted or ema(9) - vwap > 0", NULL},
        {"price crosses above 5",
         "column 7: found 'crosses', expected comparisons of values as they are now"},
        {"price > 5 for 3 bars", "column 11: found 'for', expected comparisons of values as they are now"},
        {"halted or not (bid > 1 within 5m)", "column 24: found 'within', expected comparisons of values as"},
        {"(price crosses below bid) for 2 bars", "column 8: found 'crosses'"},
        {"price > 5 for", "column 11: found 'for'"},
        {"price >", "column 8: the expression ends"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        int rc = expr_parse_instant(t[i].text, strlen(t[i].text), &e, &err);
        if (t[i].refused ? rc == 0 || strncmp(err.text, t[i].refused, strlen(t[i].refused)) != 0 : rc < 0)
            fail_msg("%s: %s", t[i].text, rc < 0 ? err.text : "taken");
    }
}

static void test_precedence(void **state)
{
    (void)state;
    /* a = price > 1, b = bid > 1, c = ask > 1: the truth table over a, b, c as bits of 8 rows */
    static const struct {
        const char *text;
        unsigned rows;
    } t[] = {
        {"A", 0xaa},
        {"not A", 0x55},
        {"not not A", 0xaa},
        {"A and B", 0x88},
        {"A or B", 0xee},
        {"A or B and C", 0xea},
        {"A and B or C", 0xf8},
        {"(A or B) and C", 0xe0},
        {"not A and B", 0x44},
        {"not (A and B)", 0x77},
        {"not (A or B)", 0x11},
        {"not (A or not B and C)", 0x45},
        {"not (not (A and B) or C)", 0x08},
        {"((A))or((B))", 0xee},
        {"A and not (B or C) or not A and B and C", 0x42},
        {"A within 5m", 0xaa},
        {"not A for 3 bars", 0x55},
        {"not not A for 3 5m bars", 0xaa},
        {"not (A and not B) within 30s or C", 0xfd},
        {"not (A or not (B within 1h) and C) for 2 bars", 0x45},
        {"not ((A within 5m or B) for 2 bars within 1h and not (C) within 1s)", 0xf1},
    };
    static const char *const text[3] = {"price > 1", "bid > 1", "ask > 1"};
    static const enum metric_kind kind[3] = {METRIC_PRICE, METRIC_BID, METRIC_ASK};
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        char whole[400] = "";
        for (const char *p = t[i].text; *p; p++) {
            size_t at = strlen(whole);
            if (*p >= 'A' && *p <= 'C')
                strcpy(whole + at, text[*p - 'A']);
            else
                whole[at] = *p, whole[at + 1] = 0;
        }
        assert_int_equal(parse(whole), 0);
        unsigned rows = 0;
        for (unsigned row = 0; row < 8; row++) {
            bool holds[EXPR_NODES_MAX] = {0};
            for (unsigned n = 0; n < e.n_nodes; n++) {
                if (e.node[n].op >= EXPR_AND)
                    continue;
                for (unsigned k = 0; k < 3; k++)
                    if (e.operand[e.term[e.node[n].left].left].kind == kind[k])
                        holds[n] = (row >> k & 1) != (e.node[n].op == EXPR_LE);
            }
            rows |= (unsigned)meaning(e.n_nodes - 1u, holds) << row;
        }
        if (rows != t[i].rows)
            fail_msg("%s: %02x, expected %02x", t[i].text, rows, t[i].rows);
    }
}

static void test_negation_reaches_the_operators(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum expr_op op;
    } t[] = {{"price > 1", EXPR_GT},      {"price < 1", EXPR_LT},      {"price >= 1", EXPR_GE},
             {"price <= 1", EXPR_LE},     {"price == 1", EXPR_EQ},     {"price != 1", EXPR_NE},
             {"not price > 1", EXPR_LE},  {"not price < 1", EXPR_GE},  {"not price >= 1", EXPR_LT},
             {"not price <= 1", EXPR_GT}, {"not price == 1", EXPR_NE}, {"not price != 1", EXPR_EQ},
             {"1 > price", EXPR_LT},      {"1 < price", EXPR_GT},      {"1 >= price", EXPR_LE},
             {"1 <= price", EXPR_GE},     {"1 == price", EXPR_EQ},     {"not 1 > price", EXPR_GE}};
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(parse(t[i].text), 0);
        assert_int_equal(e.n_nodes, 1);
        if (e.node[0].op != t[i].op)
            fail_msg("%s: operator %u, expected %u", t[i].text, e.node[0].op, t[i].op);
    }
}

/* A price compares with the number that is written, however many decimals that has. */
static void test_price_literals(void **state)
{
    (void)state;
    static const struct {
        const char *literal;
        int64_t floor; /* of literal x 1e9 */
        bool exact;
    } t[] = {{"1", 1000000000, true},
             {"+1", 1000000000, true},
             {".5", 500000000, true},
             {"5.", 5000000000, true},
             {"0", 0, true},
             {"-0", 0, true},
             {"-0.5", -500000000, true},
             {"1e3", 1000000000000, true},
             {"12.5E-1", 1250000000, true},
             {"0.000000001", 1, true},
             {"0.0000000010", 1, true},
             {"0.0000000001", 0, false},
             {"-0.0000000001", -1, false},
             {"1.0000000005", 1000000000, false},
             {"-1.0000000005", -1000000001, false},
             {"1e-400", 0, false},
             {"0e99999999999999999999", 0, true},
             {"0e-99999999999999999999", 0, true},
             {"0.000e-9223372036854775807", 0, true},
             {"123456789.123456789", 123456789123456789, true},
             {"123456789.1234567891", 123456789123456789, false},
             {"9223372036.854775805", 9223372036854775805, true},
             {"9223372036.8547758051", 9223372036854775805, false},
             {"1000000000000000000000000000000000000000000e-42", 1000000000, true},
             {"0.1000000000000000055511151231257827", 100000000, false}};
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++)
        for (unsigned op = 0; op < 6; op++) {
            static const char *const ops[] = {">", ">=", "<", "<=", "==", "!="};
            char text[120];
            snprintf(text, sizeof text, "price %s %s", ops[op], t[i].literal);
            assert_int_equal(parse(text), 0);
            for (int d = -2; d <= 2; d++) {
                int64_t key = t[i].floor + d;
                int side = key > t[i].floor   ? 1
                           : key < t[i].floor ? -1
                           : t[i].exact       ? 0
                                              : -1; /* of key to literal */
                bool expected[] = {side > 0, side >= 0, side < 0, side <= 0, side == 0, side != 0};
                if (compares(&e.node[0], key) != expected[op])
                    fail_msg("%s at %" PRId64 "e-9", text, key);
            }
        }
}

/* Beyond what a price can be, each comparison is what it is for every price there is. */
static void test_literals_out_of_range(void **state)
{
    (void)state;
    static const int64_t keys[] = {INT64_MIN + 2, -1, 0, 1, INT64_MAX - 1};
    static const char *const big[] = {"9223372036.854775808", "1e10", "1e300",
                                      "99999999999999999999999999999999999999999"};
    static const struct {
        const char *op;
        bool over, under; /* with a literal over, under all prices */
    } t[] = {{">", false, true},  {">=", false, true},  {"<", true, false},
             {"<=", true, false}, {"==", false, false}, {"!=", true, true}};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned o = 0; o < 6; o++)
            for (unsigned k = 0; k < 5; k++) {
                char text[120];
                snprintf(text, sizeof text, "change_5m %s %s", t[o].op, big[i]);
                assert_int_equal(parse(text), 0);
                assert_int_equal(compares(&e.node[0], keys[k]), t[o].over);
                snprintf(text, sizeof text, "change_5m %s -%s", t[o].op, big[i]);
                assert_int_equal(parse(text), 0);
                assert_int_equal(compares(&e.node[0], keys[k]), t[o].under);
            }
}

static void test_double_literals(void **state)
{
    (void)state;
    static const double c[] = {0, -0.0, 1e-300, -2.5, 100, 1.7976931348623157e308};
    for (unsigned i = 0; i < sizeof c / sizeof *c; i++)
        for (unsigned k = 0; k < sizeof c / sizeof *c; k++) {
            static const char *const ops[] = {">", ">=", "<", "<=", "==", "!="};
            bool expected[] = {c[k] > c[i],  c[k] >= c[i], c[k] < c[i],
                               c[k] <= c[i], c[k] == c[i], c[k] != c[i]};
            for (unsigned op = 0; op < 6; op++) {
                char text[80];
                snprintf(text, sizeof text, "rsi(14)@1m %s %.17g", ops[op], c[i]);
                assert_int_equal(parse(text), 0);
                assert_int_equal(compares(&e.node[0], key_of_double(c[k])), expected[op]);
            }
        }
}

/* Terms: what is folded, what is shared, what is a price. */
static void test_terms(void **state)
{
    (void)state;
    assert_int_equal(parse("price - bid > 0.5 and price - bid < 1 and (price - bid) * 2 > 3"), 0);
    assert_int_equal(e.n_operands, 2);
    assert_int_equal(e.n_terms, 4); /* two metrics, their difference once, twice that */
    assert_true(e.term[2].price);
    assert_int_equal(e.node[0].bound_hi, 500000001);
    assert_int_equal(e.term[3].op, TERM_MULTIPLY);
    assert_false(e.term[3].price);
    assert_int_equal(parse("price + 0.0000000001 > 1"), 0); /* no number of a price */
    assert_false(e.term[1].price);
    assert_int_equal(parse("price + rsi(14) > 1"), 0);
    assert_false(e.term[2].price);
    static const struct {
        const char *number;
        int64_t e9; /* the least price over it */
    } t[] = {{"0.1 + 0.2", 300000001},     {"-(1 - 3)", 2000000001}, {"2 * 3 + 4", 10000000001},
             {"2 * (3 + 4)", 14000000001}, {"10 / 4", 2500000001},   {"1 / 3", 333333334},
             {"- 1 / 3", -333333333},      {"--5", 5000000001},      {"8 - 4 - 2", 2000000001}};
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        char text[80];
        snprintf(text, sizeof text, "price > %s", t[i].number);
        assert_int_equal(parse(text), 0);
        assert_int_equal(e.n_terms, 1);
        if (e.node[0].bound_hi != t[i].e9)
            fail_msg("%s: %" PRId64, text, e.node[0].bound_hi);
    }
}

static void test_operands(void **state)
{
    (void)state;
    assert_int_equal(
        parse("rsi_14 < 30 and rsi(14)@1m < 20 or rsi(14) > bid and price_change_5m_pct > change_pct_5m"), 0);
    assert_int_equal(e.n_operands, 3);
    char name[METRIC_NAME_MAX];
    static const char *const expected[] = {"rsi(14)@1m", "bid", "change_pct_5m"};
    for (unsigned i = 0; i < 3; i++) {
        metric_name(&e.operand[i], name);
        assert_string_equal(name, expected[i]);
    }
    static const struct {
        const char *alias, *name;
    } days[] = {{"rsi_14_1d", "rsi(14)@1d"},
                {"rsi_14_daily", "rsi(14)@1d"},
                {"macd(12,26,9).hist@daily", "macd(12,26,9).hist@1d"},
                {"price_change_10d_pct", "change_pct_10d"},
                {"range_5d_pct", "range_pct_5d"},
                {"position_in_range_252d", "position_in_range_1y"},
                {"biggest_range_12m", "biggest_range_1y"},
                {"biggest_range_3m", "biggest_range_3m"},
                {"vwap_dist_1d_pct", "vwap_dist_pct_1d"},
                {"avg_volume_20d", "avg_volume_20d"},
                {"vwap_15m", "vwap(15m)"},
                {"vwap_1h", "vwap(1h)"},
                {"vwap_session", "vwap(session)"},
                {"volume_avg_5m", "volume_avg(5m)"},
                {"volume_avg_20", "volume_avg(20)@1m"},
                {"price_change_5m", "change_5m"},
                {"range_today_pct", "range_pct_today"},
                {"macd( 12, 26 ,9 ).signal@5m", "macd(12,26,9).signal@5m"},
                {"ma_dist_pct(ema, 50)@5m", "ma_dist_pct(ema,50)@5m"},
                {"dev( 20 trades\t)", "dev(20 trades)"}};
    for (unsigned i = 0; i < sizeof days / sizeof *days; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s > 1", days[i].alias);
        assert_int_equal(parse(text), 0);
        metric_name(&e.operand[0], name);
        assert_string_equal(name, days[i].name);
    }
    assert_int_equal(parse("session == \"market\""), 0);
    assert_true(compares(&e.node[0], key_of_double(SESSION_MARKET)));
    assert_false(compares(&e.node[0], key_of_double(SESSION_POSTMARKET)));
    assert_false(compares(&e.node[0], key_of_double(SESSION_PREMARKET)));
    assert_false(e.texts);
    assert_int_equal(parse("not (exchange) == \"OTC\" and float > 1e6 and sector != \"Energy & Gas\""), 0);
    assert_true(e.texts);
    assert_int_equal(e.node[0].op, EXPR_NE);
    assert_int_equal(e.node[0].right, 18); /* where the text is */
    assert_false(compares(&e.node[0], attribute_text_key("OTC", 3)));
    assert_true(compares(&e.node[0], attribute_text_key("OTB", 3)));
    assert_false(compares(&e.node[3], attribute_text_key("Energy & Gas", 12)));
}

/* A metric of yes and no is a condition by itself. */
static void test_conditions_by_themselves(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool at_0, at_1; /* of the first comparison */
    } t[] = {
        {"inside_bar@5m", false, true},
        {"not inside_bar@15m", true, false},
        {"not not (inside_bar)", false, true},
        {"not (inside_bar and price > 1)", true, false},
        {"inside_bar == 1", false, true},
        {"inside_bar == 0", true, false},
        {"inside_bar + new_day_high > 1", false, false},
        {"bullish_engulfing@5m and volume_5m > 10000", false, true},
        {"new_day_high or inside_bar and not new_day_low", false, true},
        {"new_day_high crosses above 0", false, true},
    };
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        if (parse(t[i].text) < 0)
            fail_msg("%s: %s", t[i].text, err.text);
        assert_int_equal(compares(&e.node[0], key_of_double(0)), t[i].at_0);
        assert_int_equal(compares(&e.node[0], key_of_double(1)), t[i].at_1);
    }
    assert_int_equal(parse("volume_spike(2) and price > 1"), -1); /* a number is none */
    assert_int_equal(parse("inside_bar + 1 and price > 1"), -1);
}

static void test_spans(void **state)
{
    (void)state;
    assert_int_equal(parse("price > 1 and bid > 1 for 3 5m bars or not (ask crosses above 2) within 90s"), 0);
    assert_int_equal(e.n_nodes, 7);
    assert_int_equal(e.n_spans, 2);
    assert_true(e.events && e.long_bars);
    const struct expr_node *n = &e.node[2], *w = &e.node[5];
    assert_int_equal(n->op, EXPR_FOR);
    assert_int_equal(n->left, 1); /* what stands before it alone */
    assert_int_equal(n->bound_lo, 3);
    assert_int_equal(n->right, 5);
    assert_false(n->negated);
    assert_int_equal(w->op, EXPR_WITHIN);
    assert_int_equal(w->bound_lo, INT64_C(90000000000));
    assert_true(w->negated);
    assert_int_equal(expr_check_trigger(&e, TRIGGER_LEVEL, &err), 0);
    assert_int_equal(expr_check_trigger(&e, TRIGGER_BAR_CLOSE, &err), -1);
    assert_string_equal(err.text, "trigger: found \"bar_close\" with `for` over bars of more than a minute, "
                                  "expected bars of a minute: such a rule is evaluated at their ends");
    assert_int_equal(parse("price > 1 for 2 bars within 5m for 2 1m bars within 24h"), 0);
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(e.node[i].level, i - 1);
    assert_false(e.long_bars);
    assert_int_equal(expr_check_trigger(&e, TRIGGER_BAR_CLOSE, &err), 0);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } t[] = {
        {"", "column 1: the expression ends, expected a metric, a number, 'not' or '('"},
        {"   ", "column 4: the expression ends, expected a metric, a number, 'not' or '('"},
        {"price", "column 6: the expression ends, expected one of > < >= <= == != or 'crosses'"},
        {"price >", "column 8: the expression ends, expected a number or a metric"},
        {"price = 5", "column 7: found '=', expected one of > < >= <= == != or 'crosses'"},
        {"price => 5", "column 7: found '=', expected one of > < >= <= == != or 'crosses'"},
        {"price > > 5", "column 9: found '>', expected a number or a metric"},
        {"price > 5 5", "column 11: found '5', expected 'and', 'or' or the end"},
        {"price > 5 and", "column 14: the expression ends, expected a metric, a number, 'not' or '('"},
        {"price > 5 or or bid > 1", "column 14: found 'or', expected a metric, a number, 'not' or '('"},
        {"(price > 5", "column 11: the expression ends, expected 'and', 'or' or ')'"},
        {"price > 5)", "column 10: found ')', expected 'and', 'or' or the end"},
        {"not", "column 4: the expression ends, expected a metric, a number, 'not' or '('"},
        {"()", "column 2: found ')', expected a metric, a number, 'not' or '('"},
        {"5 > 4", "column 5: found '4', expected a metric (one side of a comparison must be one)"},
        {"prise > 5",
         "column 1: unknown metric 'prise': did you mean 'price'?; `ringtape metrics` lists all"},
        {"price > 5 and rsi(14)@7m < 3",
         "column 15: metric 'rsi(14)@7m': '@7m', expected a timeframe: @1m @2m @5m @10m @15m @30m @1h @2h "
         "@4h @1d"},
        {"rsi(14)@24h < 3",
         "column 1: metric 'rsi(14)@24h': '@24h', expected a timeframe: @1m @2m @5m @10m @15m @30m @1h @2h "
         "@4h @1d"},
        {"range_0d < 3", "column 1: metric 'range': 0 days, expected 1 to 252"},
        {"avg_volume_2y < 3", "column 1: metric 'avg_volume': 504 days, expected 1 to 252"},
        {"biggest_range_5d < 3",
         "column 1: unknown metric 'biggest_range_5d': did you mean 'biggest_range_3m'?; "
         "`ringtape metrics` lists all"},
        {"rsi(0) < 3",
         "column 1: indicator 'rsi': parameter 1 is '0', expected a whole number of bars, 1 to 400"},
        {"volume_300m < 3", "column 1: metric 'volume': 300 minutes, expected 1 to 240"},
        {"price > 1e999",
         "column 9: found '1e999', expected a number that a double can hold (below 1.8e308)"},
        {"rsi(14) > -1e999",
         "column 12: found '1e999', expected a number that a double can hold (below 1.8e308)"},
        {"price > 1.2.3", "column 9: found '1.2.3', expected a number such as 10, 0.5 or 1e6"},
        {"price > 12abc", "column 9: found '12abc', expected a number such as 10, 0.5 or 1e6"},
        {"price > 0x10", "column 9: found '0x10', expected a number such as 10, 0.5 or 1e6"},
        {"0x1p3 < volume_5m", "column 1: found '0x1p3', expected a number such as 10, 0.5 or 1e6"},
        {"price > 1e", "column 9: found '1e', expected a number such as 10, 0.5 or 1e6"},
        {"price > -.", "column 10: found '.', expected a number or a metric"},
        {"price > inf", "column 9: unknown metric 'inf'; `ringtape metrics` lists all"},
        {"price == \"market\"",
         "column 10: found '\"market\"', expected a number or a metric (text compares with "
         "`session`, `sector` and `exchange` only)"},
        {"session > \"market\"", "column 11: found '\"market\"', expected text after == or != only"},
        {"session == \"lunch\"",
         "column 12: found '\"lunch\"', expected \"closed\", \"premarket\", \"market\" or \"postmarket\""},
        {"price > 1 and sector > 5",
         "column 15: found 'sector', expected a number (it is a text: == or != and a text in quotes compare "
         "with it)"},
        {"5 == exchange",
         "column 6: found 'exchange', expected a number (it is a text: == or != and a text in quotes compare "
         "with it)"},
        {"sector == exchange",
         "column 1: found 'sector', expected a number (it is a text: == or != and a text in quotes compare "
         "with it)"},
        {"price * -sector > 1",
         "column 10: found 'sector', expected a number (it is a text: == or != and a text in quotes compare "
         "with it)"},
        {"sector < \"Energy\"", "column 10: found '\"Energy\"', expected text after == or != only"},
        {"sector crosses above \"Energy\"",
         "column 22: found '\"Energy\"', expected text after == or != only"},
        {"market_cap == \"Energy\"", "column 15: found '\"Energy\"', expected a number or a metric (text "
                                     "compares with `session`, `sector` "
                                     "and `exchange` only)"},
        {"sector == \"\"",
         "column 11: found '\"\"', expected a text of 1 to 63 bytes, without control characters"},
        {"session == \"market", "column 12: found '\"', expected a number or a metric"},
        {"price > 5 for", "column 14: the expression ends, expected a whole number of bars, 2 to 500"},
        {"price > 5 for 1 bars", "column 15: found '1', expected a whole number of bars, 2 to 500"},
        {"price > 5 for 501 bars", "column 15: found '501', expected a whole number of bars, 2 to 500"},
        {"price > 5 for 2.5 bars", "column 15: found '2.5', expected a whole number of bars, 2 to 500"},
        {"price > 5 for 99999999999999999999 bars",
         "column 15: found '99999999999999999999', expected a whole number of bars, 2 to 500"},
        {"price > 5 for 3", "column 16: the expression ends, expected 'bars' or a timeframe"},
        {"price > 5 for 3 minutes", "column 17: found 'minutes', expected 'bars' or a timeframe"},
        {"price > 5 for 3 7m bars",
         "column 17: found '7m', expected 'bars' or a timeframe: 1m 2m 5m 10m 15m 30m 1h 2h 4h"},
        {"price > 5 for 3 5m", "column 19: the expression ends, expected 'bars'"},
        {"price > 5 within 5", "column 18: found '5', expected a time such as 30s, 5m or 1h, 1s to 24h"},
        {"price > 5 within 0m", "column 18: found '0m', expected a time such as 30s, 5m or 1h, 1s to 24h"},
        {"price > 5 within 25h", "column 18: found '25h', expected a time such as 30s, 5m or 1h, 1s to 24h"},
        {"price > 5 within 5d", "column 18: found '5d', expected a time such as 30s, 5m or 1h, 1s to 24h"},
        {"price > 5 withn 5m",
         "column 11: found 'withn', expected 'and', 'or' or the end; did you mean 'within'?"},
        {"price within 5m", "column 7: found 'within', expected one of > < >= <= == != or 'crosses'"},
        {"price crosses above 5 for 3 bars",
         "column 7: found 'crosses', expected no crossing under 'for', as it "
         "is true for a moment only; 'within' takes one"},
        {"(not price crosses above 5) within 5m",
         "column 12: found 'crosses', expected no 'not' before a crossing, which is true for a moment only"},
        {"not (not price crosses above 5 or bid > 1) within 5m",
         "column 16: found 'crosses', expected no 'not' before a crossing, which is true for a moment only"},
        {"price > 5 for 2 bars within 5m for 2 bars within 5m for 2 bars",
         "column 53: found 'for', expected at most 4 nested 'for' and 'within'"},
        {"price + > 5", "column 9: found '>', expected a number or a metric"},
        {"price * (bid > 5) > 3", "column 17: found ')', expected a number or a metric"},
        {"(price > 5) + 3 > 2", "column 13: found '+', expected 'and', 'or' or the end"},
        {"(price + 5", "column 11: the expression ends, expected an operator or ')'"},
        {"(price + 5) and bid > 1", "column 13: found 'and', expected one of > < >= <= == != or 'crosses'"},
        {"inside_bar@5m 5", "column 15: found '5', expected 'and', 'or' or the end"},
        {"price > inside_bar@7m",
         "column 9: metric 'inside_bar@7m': expected inside_bar@T; T such as 5m, 1h, 1d"},
        {"price and bid > 1", "column 7: found 'and', expected one of > < >= <= == != or 'crosses'"},
        {"not price", "column 10: the expression ends, expected one of > < >= <= == != or 'crosses'"},
        {"price / 0 > 1", "column 9: found '0', expected a divisor that is not 0"},
        {"price > 1 / (2 - 2)", "column 19: found ')', expected a divisor that is not 0"},
        {"price > 1e300 * 1e300", "column 17: found '1e300', expected a result that is finite"},
        {"price + \"market\" > 1", "column 9: found '\"market\"', expected a number or a metric"},
        {"\"market\" == session", "column 1: found '\"market\"', expected a metric, a number, 'not' or '('"},
        {"price crosses 5", "column 15: found '5', expected 'above' or 'below'"},
        {"price cross above 5",
         "column 7: found 'cross', expected one of > < >= <= == != or 'crosses'; did you mean 'crosses'?"},
        {"not (bid > 1 or price crosses above 5)",
         "column 23: found 'crosses', expected no 'not' before a crossing, which is true for a moment only"},
        {"not not price crosses above bid and price andd",
         "column 43: found 'andd', expected one of > < >= <= == != or 'crosses'; did you mean 'and'?"},
        {"session crosses above \"market\"",
         "column 23: found '\"market\"', expected text after == or != only"},
        {"rsi(1000000000) < 3",
         "column 1: indicator 'rsi': parameter 1 is '1000000000', expected a whole number of bars, 1 to 400"},
        {"price > 5 & bid > 4", "column 11: found '&', expected 'and', 'or' or the end"},
        {"price > 5\nand %", "column 15: found '%', expected a metric, a number, 'not' or '('"},
    };
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        if (parse(t[i].text) == 0)
            fail_msg("'%s' was taken", t[i].text);
        assert_string_equal(err.text, t[i].error);
    }
}

static char long_text[70000];

static const char *repeat(const char *head, const char *part, unsigned n, const char *tail)
{
    char *p = long_text + sprintf(long_text, "%s", head);
    for (unsigned i = 0; i < n; i++)
        p += sprintf(p, "%s", part);
    sprintf(p, "%s", tail);
    return long_text;
}

static void test_limits(void **state)
{
    (void)state;
    assert_int_equal(parse(repeat("", "(", 20000, "")), -1);
    assert_string_equal(err.text, "column 8193: found an expression of 20000 bytes, expected at most 8192");
    assert_int_equal(parse(repeat("", "(", 8000, "")), -1);
    assert_string_equal(err.text, "column 65: found '(', expected at most 64 nested parentheses");
    repeat("", "(", 64, "price > 1");
    for (int i = 0; i < 64; i++)
        strcat(long_text, ")");
    assert_int_equal(parse(long_text), 0);

    assert_int_equal(parse(repeat("", "not ", 2000, "price > 1")), 0);
    assert_int_equal(e.node[0].op, EXPR_GT);
    assert_int_equal(parse(repeat("", "not ", 2001, "price > 1")), 0);
    assert_int_equal(e.node[0].op, EXPR_LE);

    assert_int_equal(parse(repeat("price > 1", " and price > 1", 127, "")), 0); /* 128 + 127 nodes */
    assert_int_equal(e.n_nodes, 255);
    assert_int_equal(e.n_operands, 1);
    assert_int_equal(parse(repeat("price > 1", " and price > 1", 128, "")), -1);
    assert_string_equal(err.text + strlen(err.text) - 51,
                        "at most 256 comparisons and connectives in one rule");

    char many[4000] = "", *p = many;
    for (int i = 1; i <= 64; i++)
        p += sprintf(p, "%svolume_%dm > 1", i > 1 ? " or " : "", i);
    assert_int_equal(parse(many), 0);
    assert_int_equal(e.n_operands, 64);
    strcat(many, " or price > 1");
    assert_int_equal(parse(many), -1);
    assert_non_null(strstr(err.text, "found 'price', expected at most 64 different metrics in one rule"));

    assert_int_equal(parse(repeat("price > 0.", "0", 77, "")), 0);
    assert_int_equal(parse(repeat("price > 0.", "0", 78, "")), -1);
    assert_non_null(strstr(err.text, "expected a number of at most 79 characters"));
    assert_int_equal(parse(repeat("price > ", "9", 5000, "")), -1);
}

/* What ends within a token, or holds any byte, is refused or taken; nothing beyond it is read (a sanitizer
 * sees that). */
static void test_prefixes_and_any_byte(void **state)
{
    (void)state;
    static const char text[] =
        "not (price >= -1.5e+3 or rsi(14)@1m != 3) and session == \"market\" and vwap(session) < ask";
    for (size_t n = 0; n < sizeof text; n++) {
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, text, n);
        (void)expr_parse(exact, n, &e, &err);
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c += 7) {
                exact[at] = (char)c;
                (void)expr_parse(exact, n, &e, &err);
                exact[at] = text[at];
            }
        free(exact);
    }
    assert_int_equal(expr_parse(text, sizeof text - 1, &e, &err), 0);
}

static void test_encoding(void **state)
{
    (void)state;
    uint8_t bytes[4096], bad[4096];
    struct rule back, r = {.id = "r1",
                           .name = "a name",
                           .version = 7,
                           .trigger = TRIGGER_CROSS,
                           .enabled = true,
                           .cooldown_ns = 1500000000,
                           .expr = "price > 1",
                           .expr_len = 9,
                           .symbols = "A,B",
                           .symbols_len = 3};
    int n = rule_encode(&r, bytes, sizeof bytes);
    assert_true(n > 0);
    assert_int_equal(rule_encode(&r, bytes, (size_t)n - 1), -1);
    assert_int_equal(rule_encode(&r, bytes, (size_t)n), n);
    assert_int_equal(rule_decode(bytes, (size_t)n, &back, &err), 0);
    assert_string_equal(back.id, "r1");
    assert_string_equal(back.name, "a name");
    assert_int_equal(back.version, 7);
    assert_int_equal(back.trigger, TRIGGER_CROSS);
    assert_true(back.enabled);
    assert_int_equal(back.cooldown_ns, 1500000000);
    assert_int_equal(back.expr_len, 9);
    assert_memory_equal(back.expr, "price > 1", 9);
    assert_int_equal(back.symbols_len, 3);
    assert_memory_equal(back.symbols, "A,B", 3);
    for (size_t cut = 0; cut < (size_t)n; cut++)
        assert_int_equal(rule_decode(bytes, cut, &back, &err), -1);
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {{0, 0},    {15, 0x80}, {16, 9}, {17, 2}, {18, 0},    {18, 200},
                {20, 250}, {22, 16},   {23, 2}, {27, 1}, {31, 0xff}, {39, 0x80}};
    for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(bad, bytes, (size_t)n);
        bad[lies[i].at] = lies[i].value;
        assert_int_equal(rule_decode(bad, (size_t)n, &back, &err), -1);
    }
    memcpy(bad, bytes, (size_t)n);
    bad[40] = 0; /* the id's first byte */
    assert_int_equal(rule_decode(bad, (size_t)n, &back, &err), -1);
    assert_string_equal(err.text, "rule: a NUL in its id or name");
    r.cooldown_ns = INT64_MAX; /* a time plus this must not overflow */
    assert_int_equal(rule_encode(&r, bytes, sizeof bytes), n);
    assert_int_equal(rule_decode(bytes, (size_t)n, &back, &err), -1);
    r.expr_len = RULE_EXPR_MAX + 1;
    assert_int_equal(rule_encode(&r, bytes, sizeof bytes), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth),           cmocka_unit_test(test_instant),
        cmocka_unit_test(test_precedence),      cmocka_unit_test(test_negation_reaches_the_operators),
        cmocka_unit_test(test_price_literals),  cmocka_unit_test(test_literals_out_of_range),
        cmocka_unit_test(test_double_literals), cmocka_unit_test(test_operands),
        cmocka_unit_test(test_terms),           cmocka_unit_test(test_conditions_by_themselves),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_prefixes_and_any_byte),
        cmocka_unit_test(test_encoding)};
    return cmocka_run_group_tests_name("rule_parse", tests, NULL, NULL);
}
