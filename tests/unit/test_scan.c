/* Scans: each kernel against the expression's tree, read node by node; what cannot be scanned. */
#include "tests/unit/engine_harness.h"

#include "core/scan.h"

enum { BLOCKS = 3, COLUMNS = 6, SYMBOLS = BLOCKS * SCAN_BLOCK, WORDS = BLOCKS * SCAN_WORDS, ROUNDS = 100 };

static const char *const names[COLUMNS] = {"price",         "rsi(14)@1m", "volume_5m",
                                           "change_pct_1m", "session",    "halted"};

static void columns_of(struct metric metric[COLUMNS])
{
    struct error err;
    for (int i = 0; i < COLUMNS; i++)
        assert_int_equal(metric_parse(names[i], strlen(names[i]), &metric[i], &err), 0);
}

static int64_t key_of(uint64_t *seed, unsigned column)
{
    static const int64_t ends[] = {KEY_UNKNOWN, KEY_UNKNOWN + 1, INT64_MAX, INT64_MAX - 1, 0, -1};
    if (one_in(seed, 6))
        return KEY_UNKNOWN;
    if (one_in(seed, 30))
        return ends[random_below(seed, sizeof ends / sizeof *ends)];
    double v = (double)random_below(seed, 9) - (column == 3 ? 4 : 0);
    return column == 0 ? PX(1) * (int64_t)v : key_of_double(v);
}

static size_t comparison(char *out, size_t room, uint64_t *seed)
{
    static const char *const ops[] = {">", ">=", "<", "<=", "==", "!="};
    static const char *const sessions[] = {"closed", "premarket", "market", "postmarket"};
    unsigned column = random_below(seed, COLUMNS);
    const char *op = ops[random_below(seed, column == 4 ? 2 : 6) + (column == 4 ? 4 : 0)];
    if (column == 5)
        return (size_t)snprintf(out, room, "%shalted", one_in(seed, 2) ? "not " : "");
    if (column == 4)
        return (size_t)snprintf(out, room, "session %s \"%s\"", op, sessions[random_below(seed, 4)]);
    return (size_t)snprintf(out, room, "%s %s %d%s", names[column], op,
                            (int)random_below(seed, 9) - (column == 3 ? 4 : 0), one_in(seed, 5) ? ".5" : "");
}

static size_t expression(char *out, size_t room, uint64_t *seed, int depth, int kind)
{
    if (depth == 0 || (kind == 0 && one_in(seed, 4)))
        return comparison(out, room, seed);
    size_t n = (size_t)snprintf(out, room, "%s(", kind == 0 && one_in(seed, 4) ? "not " : "");
    n += expression(out + n, room - n, seed, depth - 1, kind);
    n += (size_t)snprintf(out + n, room - n, kind == 0 && one_in(seed, 2) ? " or " : " and ");
    n += expression(out + n, room - n, seed, depth - 1, kind);
    return n + (size_t)snprintf(out + n, room - n, ")");
}

/* Is a node of the tree true for a symbol? */
static bool is_true(const struct expr *x, unsigned at, const int64_t *key)
{
    const struct expr_node *n = &x->node[at];
    if (n->op == EXPR_AND)
        return is_true(x, n->left, key) && is_true(x, n->right, key);
    if (n->op == EXPR_OR)
        return is_true(x, n->left, key) || is_true(x, n->right, key);
    struct metric metric[COLUMNS];
    columns_of(metric);
    unsigned c = 0;
    while (!metric_same(&metric[c], &x->operand[x->term[n->left].left]))
        c++;
    int64_t k = key[c];
    if (k == KEY_UNKNOWN)
        return false;
    switch ((enum expr_op)n->op) {
    case EXPR_GT:
        return k >= n->bound_hi;
    case EXPR_GE:
        return k >= n->bound_lo;
    case EXPR_LT:
        return k < n->bound_lo;
    case EXPR_LE:
        return k < n->bound_hi;
    case EXPR_EQ:
        return k >= n->bound_lo && k < n->bound_hi;
    default:
        return k < n->bound_lo || k >= n->bound_hi;
    }
}

static void check(const struct expr *x, const struct scan *s, const int64_t *values, const char *text,
                  size_t hits[SCAN_KERNEL_COUNT])
{
    uint64_t found[WORDS];
    for (int kernel = 0; kernel < SCAN_KERNEL_COUNT; kernel++) {
        if (!scan_has((enum scan_kernel)kernel))
            continue;
        memset(found, 0xa5, sizeof found);
        scan_run_with((enum scan_kernel)kernel, s, values, BLOCKS, COLUMNS, found);
        for (unsigned i = 0; i < SYMBOLS; i++) {
            int64_t key[COLUMNS];
            for (unsigned c = 0; c < COLUMNS; c++)
                key[c] = values[(i / SCAN_BLOCK * COLUMNS + c) * SCAN_BLOCK + i % SCAN_BLOCK];
            bool hit = found[i / 64] >> i % 64 & 1;
            if (hit != is_true(x, x->n_nodes - 1u, key))
                fail_msg("%s: symbol %u of '%s' is %d", scan_kernel_names[kernel], i, text, hit);
            hits[kernel] += hit;
        }
    }
}

static void test_kernels(void **state)
{
    static _Alignas(64) int64_t values[BLOCKS * COLUMNS * SCAN_BLOCK];
    static struct expr x;
    static struct scan s;
    struct metric metric[COLUMNS];
    struct error err;
    uint64_t seed = seed_or(20261121);
    size_t hits[SCAN_KERNEL_COUNT] = {0};
    (void)state;
    columns_of(metric);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            values[i] = key_of(&seed, (unsigned)(i / SCAN_BLOCK % COLUMNS));
        for (int k = 0; k < 4; k++) {
            char text[4000];
            expression(text, sizeof text, &seed, (int)random_below(&seed, 4), k % 2);
            if (expr_parse_instant(text, strlen(text), &x, &err) < 0)
                fail_msg("%s: %s", text, err.text);
            if (scan_compile(&s, &x, metric, COLUMNS, &err) < 0)
                fail_msg("%s: %s", text, err.text);
            check(&x, &s, values, text, hits);
        }
    }
    for (int kernel = 0; kernel < SCAN_KERNEL_COUNT; kernel++)
        if (scan_has((enum scan_kernel)kernel)) {
            print_message("# %s: %zu hits\n", scan_kernel_names[kernel], hits[kernel]);
            assert_int_equal(hits[kernel], hits[SCAN_SCALAR]);
        }
    assert_true(hits[SCAN_SCALAR] > 10000);
}

static void test_best(void **state)
{
    static _Alignas(64) int64_t values[COLUMNS * SCAN_BLOCK];
    static struct expr x;
    static struct scan s;
    struct metric metric[COLUMNS];
    struct error err;
    uint64_t hits[SCAN_WORDS];
    const char *text = "price > 10 and price < 20";
    (void)state;
    columns_of(metric);
    for (int i = 0; i < SCAN_BLOCK; i++)
        values[i] = PX(i);
    assert_int_equal(expr_parse_instant(text, strlen(text), &x, &err), 0);
    assert_int_equal(scan_compile(&s, &x, metric, COLUMNS, &err), 0);
    scan_run(&s, values, 1, COLUMNS, hits);
    assert_true(hits[0] == UINT64_C(0x1ff) << 11 && hits[1] == 0);
    assert_true(scan_has(scan_best()) && scan_has(SCAN_SCALAR));
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *found;
    } table[] = {
        {"price - rsi(14)@1m > 0", "arithmetic"},
        {"price > rsi(14)@1m", "arithmetic"},
        {"sector == \"Energy\"", "text"},
        {"price > 1 and ema(9)@1m > 1", "ema(9)@1m"},
    };
    static struct expr x;
    static struct scan s;
    struct metric metric[COLUMNS];
    struct error err;
    (void)state;
    columns_of(metric);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (expr_parse_instant(table[i].text, strlen(table[i].text), &x, &err) < 0)
            fail_msg("%s: %s", table[i].text, err.text);
        assert_int_equal(scan_compile(&s, &x, metric, COLUMNS, &err), -1);
        if (!strstr(err.text, table[i].found))
            fail_msg("%s: %s", table[i].text, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
