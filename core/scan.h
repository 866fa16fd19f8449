/* A look over the whole market: which symbols an expression holds for, from the values that are kept of each.
 *
 * Values are keys (core/metric.h), KEY_UNKNOWN where there is none, in blocks of SCAN_BLOCK symbols: a block
 * has a column of SCAN_BLOCK keys for each metric, so that a comparison is vector code over one column. The
 * symbol of place p of block b is number b * SCAN_BLOCK + p.
 *
 * A scan has no history and sees metrics alone: crossings, `for`, `within`, arithmetic, comparisons of two
 * metrics and texts of attributes are refused by name. In an expression's canonical form (core/rule.h)
 * nothing is negated, so it is true exactly where its trees of and and or are, unknown counting as false.
 *
 * Kernels: every one gives the same bits. scan_run takes the best that this processor has.
 *
 * Threading: a compiled scan is read only; values may be written meanwhile, 8 bytes at a time.
 */
#ifndef CORE_SCAN_H
#define CORE_SCAN_H

#include "core/rule.h"

enum { SCAN_BLOCK = 128, SCAN_WORDS = SCAN_BLOCK / 64, SCAN_COLUMNS_MAX = 256 };

#define SCAN_KERNELS(X)                                                                                      \
    X(SCALAR, "scalar")                                                                                      \
    X(AVX2, "avx2")                                                                                          \
    X(AVX512, "avx512")
#define X(name, text) SCAN_##name,
enum scan_kernel { SCAN_KERNELS(X) SCAN_KERNEL_COUNT };
#undef X
extern const char *const scan_kernel_names[SCAN_KERNEL_COUNT];

/* What scanners keep of every symbol for scans, where scans are enabled. */
#define SCAN_METRICS(X)                                                                                      \
    X("price")                                                                                               \
    X("bid")                                                                                                 \
    X("ask")                                                                                                 \
    X("spread")                                                                                              \
    X("size")                                                                                                \
    X("session")                                                                                             \
    X("halted")                                                                                              \
    X("volume_daily")                                                                                        \
    X("volume_5m")                                                                                           \
    X("volume_avg(5m)")                                                                                      \
    X("volume_avg(15m)")                                                                                     \
    X("volume_avg(1h)")                                                                                      \
    X("relative_volume_1m")                                                                                  \
    X("change_pct_1m")                                                                                       \
    X("change_pct_5m")                                                                                       \
    X("change_pct_15m")                                                                                      \
    X("change_from_open_pct")                                                                                \
    X("change_from_close_pct")                                                                               \
    X("vwap(session)")                                                                                       \
    X("rsi(14)@1m")                                                                                          \
    X("ema(20)@1m")                                                                                          \
    X("ema(50)@1m")                                                                                          \
    X("ema(200)@1m")                                                                                         \
    X("sma(20)@1m")                                                                                          \
    X("sma(50)@1m")                                                                                          \
    X("sma(200)@1m")
#define X(name) +1
enum { SCAN_COLUMNS = 0 SCAN_METRICS(X) };
#undef X
void scan_columns(struct metric metric[SCAN_COLUMNS]);

/* least <= key <= most; or, `outside`, a known key that is not so. */
struct scan_range {
    int64_t least, most;
    uint16_t column;
    bool outside;
};

struct scan {
    uint16_t n_ranges, n_code;
    bool all;   /* no `or`: all ranges must hold */
    bool above; /* … and none of them has an upper end */
    struct scan_range range[EXPR_NODES_MAX];
    uint16_t code[EXPR_NODES_MAX]; /* postfix: numbers of ranges, SCAN_AND, SCAN_OR */
};
enum { SCAN_AND = 0xfffe, SCAN_OR = 0xffff };

/* x: of expr_parse_instant; `metric`: what the columns have. 0, or -1 with err: what the expression has that
 * no scan can do, a metric without a column. */
int scan_compile(struct scan *s, const struct expr *x, const struct metric *metric, unsigned columns,
                 struct error *err);

/* True if this processor has it. */
bool scan_has(enum scan_kernel kernel);
/* The best one that it has. */
enum scan_kernel scan_best(void);

/* Bit p % 64 of hits[b * SCAN_WORDS + p / 64]: it holds for place p of block b. values: `blocks` times
 * `columns` columns, aligned to 64 bytes. */
void scan_run(const struct scan *s, const int64_t *values, unsigned blocks, unsigned columns, uint64_t *hits);
void scan_run_with(enum scan_kernel kernel, const struct scan *s, const int64_t *values, unsigned blocks,
                   unsigned columns, uint64_t *hits);

#endif
