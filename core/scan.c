#include "core/scan.h"

#include <assert.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define X(name, text) text,
const char *const scan_kernel_names[SCAN_KERNEL_COUNT] = {SCAN_KERNELS(X)};
#undef X

void scan_columns(struct metric metric[SCAN_COLUMNS])
{
#define X(name) name,
    static const char *const names[SCAN_COLUMNS] = {SCAN_METRICS(X)};
#undef X
    struct error err;
    for (unsigned i = 0; i < SCAN_COLUMNS; i++) {
        int known = metric_parse(names[i], strlen(names[i]), &metric[i], &err);
        assert(known == 0);
    }
}

/* ---- compiling */

static int column_of(const struct expr *x, const struct expr_node *n, const struct metric *metric,
                     unsigned columns, struct error *err)
{
    const struct expr_term *t = &x->term[n->left];
    char name[METRIC_NAME_MAX];
    if (t->op != TERM_METRIC)
        return error_set(err,
                         "found arithmetic or a comparison of two metrics, expected a metric and a number: "
                         "a scan looks at one value after the other");
    const struct metric *m = &x->operand[t->left];
    for (unsigned i = 0; i < columns; i++)
        if (metric_same(&metric[i], m))
            return (int)i;
    metric_name(m, name);
    return error_set(err, "found %s, whose values are not kept for scans", name);
}

/* Keys are whole numbers and those below the first known one are unknown: so each comparison is a range. */
static struct scan_range range_of(const struct expr_node *n, int column)
{
    struct scan_range r = {.least = KEY_UNKNOWN + 1, .most = INT64_MAX, .column = (uint16_t)column};
    bool above = n->op == EXPR_GT || n->op == EXPR_GE, both = n->op == EXPR_EQ || n->op == EXPR_NE;
    int64_t from = n->op == EXPR_GT ? n->bound_hi : n->bound_lo,
            to = n->op == EXPR_LT ? n->bound_lo : n->bound_hi;
    if ((above || both) && from > r.least)
        r.least = from;
    if (!above)
        r.most = to > KEY_UNKNOWN ? to - 1 : KEY_UNKNOWN;
    r.outside = n->op == EXPR_NE;
    return r;
}

int scan_compile(struct scan *s, const struct expr *x, const struct metric *metric, unsigned columns,
                 struct error *err)
{
    assert(columns <= SCAN_COLUMNS_MAX && !x->events && x->n_spans == 0);
    if (x->texts)
        return error_set(err, "found an attribute that is a text, which scans do not compare");
    *s = (struct scan){.all = true};
    /* children come before parents, but in no order that would be postfix: walk from the root */
    uint16_t stack[EXPR_NODES_MAX], depth = 0, n = EXPR_NODES_MAX;
    stack[depth++] = (uint16_t)(x->n_nodes - 1);
    while (depth) {
        const struct expr_node *node = &x->node[stack[--depth]];
        if (node->op == EXPR_AND || node->op == EXPR_OR) {
            s->all &= node->op == EXPR_AND;
            s->code[--n] = node->op == EXPR_AND ? SCAN_AND : SCAN_OR;
            stack[depth++] = node->left;
            stack[depth++] = node->right;
            continue;
        }
        int column = column_of(x, node, metric, columns, err);
        if (column < 0)
            return -1;
        s->code[--n] = s->n_ranges;
        s->range[s->n_ranges++] = range_of(node, column);
    }
    s->above = s->all;
    for (unsigned i = 0; i < s->n_ranges; i++)
        s->above &= s->range[i].most == INT64_MAX && !s->range[i].outside;
    s->n_code = (uint16_t)(EXPR_NODES_MAX - n);
    memmove(s->code, s->code + n, s->n_code * sizeof *s->code);
    return 0;
}

/* ---- kernels: the bits of a range over a column, or of several that must all hold */

static uint64_t word_scalar(const int64_t *key, const struct scan_range *r)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 64; i++) {
        bool within = (key[i] >= r->least) & (key[i] <= r->most);
        bits |= (uint64_t)(r->outside ? !within & (key[i] != KEY_UNKNOWN) : within) << i;
    }
    return bits;
}

/* All of n ranges, over the 64 symbols from `at` on of a block; above: none has an upper end. */
typedef uint64_t word_all(const struct scan_range *r, unsigned n, bool above, const int64_t *block,
                          unsigned at);

static uint64_t all_scalar(const struct scan_range *r, unsigned n, bool above, const int64_t *block,
                           unsigned at)
{
    uint64_t bits = UINT64_MAX;
    (void)above;
    for (unsigned i = 0; i < n; i++)
        bits &= word_scalar(block + (size_t)r[i].column * SCAN_BLOCK + at, &r[i]);
    return bits;
}

#ifdef __x86_64__
#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline))

AVX2 INLINE __m256i load_avx2(const int64_t *key)
{
    return _mm256_load_si256((const __m256i *)(const void *)key);
}

/* A bit for each of 32 symbols, from eight masks of four: halved to bytes, the lower and upper lanes of which
 * are put back in turn. */
AVX2 INLINE uint64_t bits_avx2(const __m256i *mask)
{
    __m256i half[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        half[i] = _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castsi256_ps(mask[2 * i]), _mm256_castsi256_ps(mask[2 * i + 1]), 0x88));
    __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(half[0], half[1]), _mm256_packs_epi32(half[2], half[3]));
    __m128i lower = _mm256_castsi256_si128(bytes), upper = _mm256_extracti128_si256(bytes, 1);
    unsigned from_0 = (unsigned)_mm_movemask_epi8(_mm_unpacklo_epi16(lower, upper)),
             from_16 = (unsigned)_mm_movemask_epi8(_mm_unpackhi_epi16(lower, upper));
    return from_16 << 16 | from_0;
}

/* One mask for as many ranges as there are: registers hold the bounds of three. */
AVX2 INLINE uint64_t above_avx2(const struct scan_range *r, unsigned n, const int64_t *block, unsigned at)
{
    const int64_t *key[3];
    __m256i least[3]; /* above an unknown key, which is the lowest there is */
    uint64_t misses = 0;
#pragma GCC unroll 3
    for (unsigned k = 0; k < n; k++) {
        key[k] = block + (size_t)r[k].column * SCAN_BLOCK + at;
        least[k] = _mm256_set1_epi64x(r[k].least);
    }
#pragma GCC unroll 2
    for (unsigned i = 0; i < 64; i += 32) {
        __m256i miss[8];
#pragma GCC unroll 8
        for (unsigned v = 0; v < 8; v++) {
            miss[v] = _mm256_cmpgt_epi64(least[0], load_avx2(key[0] + i + 4 * v));
#pragma GCC unroll 3
            for (unsigned k = 1; k < n; k++)
                miss[v] =
                    _mm256_or_si256(miss[v], _mm256_cmpgt_epi64(least[k], load_avx2(key[k] + i + 4 * v)));
        }
        misses |= bits_avx2(miss) << i;
    }
    return ~misses;
}

AVX2 INLINE uint64_t one_avx2(const struct scan_range *r, const int64_t *block, unsigned at, bool outside)
{
    const int64_t *key = block + (size_t)r->column * SCAN_BLOCK + at;
    __m256i least = _mm256_set1_epi64x(r->least), most = _mm256_set1_epi64x(r->most),
            unknown = _mm256_set1_epi64x(KEY_UNKNOWN);
    uint64_t misses = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 64; i += 4) {
        __m256i k = load_avx2(key + i),
                miss = _mm256_or_si256(_mm256_cmpgt_epi64(least, k), _mm256_cmpgt_epi64(k, most));
        if (outside) /* misses what is within, and what is unknown */
            miss = _mm256_or_si256(_mm256_xor_si256(miss, _mm256_set1_epi64x(-1)),
                                   _mm256_cmpeq_epi64(k, unknown));
        misses |= (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(miss)) << i;
    }
    return ~misses;
}

AVX2 static uint64_t all_avx2(const struct scan_range *r, unsigned n, bool above, const int64_t *block,
                              unsigned at)
{
    uint64_t bits = UINT64_MAX;
    for (; above && bits && n >= 3; r += 3, n -= 3)
        bits &= above_avx2(r, 3, block, at);
    if (above && bits && n == 2)
        return bits & above_avx2(r, 2, block, at);
    if (above && bits && n == 1)
        return bits & above_avx2(r, 1, block, at);
    for (; bits && n; r++, n--)
        bits &= r->outside ? one_avx2(r, block, at, true) : one_avx2(r, block, at, false);
    return bits;
}

AVX512 INLINE uint64_t some_avx512(const struct scan_range *r, unsigned n, const int64_t *block, unsigned at)
{
    const int64_t *key[3];
    __m512i least[3], most[3], unknown = _mm512_set1_epi64(KEY_UNKNOWN);
    uint64_t bits = 0;
#pragma GCC unroll 3
    for (unsigned k = 0; k < n; k++) {
        key[k] = block + (size_t)r[k].column * SCAN_BLOCK + at;
        least[k] = _mm512_set1_epi64(r[k].least);
        most[k] = _mm512_set1_epi64(r[k].most);
    }
#pragma GCC unroll 8
    for (unsigned i = 0; i < 64; i += 8) {
        __mmask8 hits = 0xff;
#pragma GCC unroll 3
        for (unsigned k = 0; k < n; k++) {
            __m512i x = _mm512_load_si512(key[k] + i);
            __mmask8 within = _mm512_mask_cmple_epi64_mask(_mm512_cmpge_epi64_mask(x, least[k]), x, most[k]);
            hits &= r[k].outside ? _mm512_mask_cmpneq_epi64_mask((__mmask8)~within, x, unknown) : within;
        }
        bits |= (uint64_t)hits << i;
    }
    return bits;
}

AVX512 static uint64_t all_avx512(const struct scan_range *r, unsigned n, bool above, const int64_t *block,
                                  unsigned at)
{
    uint64_t bits = UINT64_MAX;
    (void)above;
    for (; bits && n >= 3; r += 3, n -= 3)
        bits &= some_avx512(r, 3, block, at);
    if (bits && n == 2)
        return bits & some_avx512(r, 2, block, at);
    return bits && n ? bits & some_avx512(r, 1, block, at) : bits;
}
#endif

/* ---- scans */

/* One word of an expression with `or`. */
static uint64_t word_of(const struct scan *s, word_all *all, const int64_t *block, unsigned at)
{
    uint64_t stack[EXPR_NODES_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < s->n_code; i++) {
        uint16_t op = s->code[i];
        if (op < SCAN_AND) {
            stack[n++] = all(&s->range[op], 1, false, block, at);
        } else {
            uint64_t right = stack[--n];
            stack[n - 1] = op == SCAN_AND ? stack[n - 1] & right : stack[n - 1] | right;
        }
    }
    return stack[0];
}

static inline __attribute__((always_inline)) void run(const struct scan *s, word_all *all,
                                                      const int64_t *values, unsigned blocks,
                                                      unsigned columns, uint64_t *hits)
{
    for (unsigned b = 0; b < blocks; b++) {
        const int64_t *block = values + (size_t)b * columns * SCAN_BLOCK;
        for (unsigned at = 0; at < SCAN_BLOCK; at += 64)
            *hits++ = s->all ? all(s->range, s->n_ranges, s->above, block, at) : word_of(s, all, block, at);
    }
}

bool scan_has(enum scan_kernel kernel)
{
    switch (kernel) {
    case SCAN_SCALAR:
        return true;
#ifdef __x86_64__
    case SCAN_AVX2:
        return __builtin_cpu_supports("avx2");
    case SCAN_AVX512:
        return __builtin_cpu_supports("avx512f");
#endif
    default:
        return false;
    }
}

enum scan_kernel scan_best(void)
{
    enum scan_kernel k = SCAN_KERNEL_COUNT - 1;
    while (!scan_has(k))
        k--;
    return k;
}

void scan_run_with(enum scan_kernel kernel, const struct scan *s, const int64_t *values, unsigned blocks,
                   unsigned columns, uint64_t *hits)
{
    assert(((uintptr_t)values & 63) == 0);
    switch (kernel) {
#ifdef __x86_64__
    case SCAN_AVX2:
        run(s, all_avx2, values, blocks, columns, hits);
        break;
    case SCAN_AVX512:
        run(s, all_avx512, values, blocks, columns, hits);
        break;
#endif
    default:
        run(s, all_scalar, values, blocks, columns, hits);
    }
}

void scan_run(const struct scan *s, const int64_t *values, unsigned blocks, unsigned columns, uint64_t *hits)
{
    scan_run_with(scan_best(), s, values, blocks, columns, hits);
}
