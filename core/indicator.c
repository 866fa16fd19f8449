/* Indicators: the three calls, and what is calculated from closes alone. indicator_range.c has the rest. */
#include "core/indicator_int.h"

#define X(kind, name, form, d0, d1, d2, least, outputs, unit, reads, warmup, calc, help)                     \
    [INDICATOR_##kind] = &calc_##calc,
static const struct calculation *const calcs[INDICATOR_KIND_COUNT] = {INDICATORS(X)};
#undef X

static const double powers[19] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

unsigned indicator_words(const struct indicator *x)
{
    const struct calculation *c = calcs[x->kind];
    return (unsigned)(c->bytes / 8) + (c->ring ? c->ring(x) : 0);
}

void indicator_push_all(const struct indicator *x, int64_t *w, const struct bar_series *b, uint64_t from,
                        unsigned scale)
{
    const struct calculation *c = calcs[x->kind];
    struct at a = {.x = x,
                   .state = w,
                   .ring = (double *)(void *)(w + c->bytes / 8),
                   .b = b,
                   .volume_unit = powers[scale]};
    for (uint64_t i = from; i < b->end; i++) {
        a.now = series_bar(b, i);
        a.i = i;
        a.k = i + 1 - b->first;
        c->step(&a);
        if (c->settle)
            c->settle(&a);
    }
}

void indicator_push(const struct indicator *x, int64_t *w, const struct bar_series *b, unsigned scale)
{
    indicator_push_all(x, w, b, b->end - 1, scale);
}

double indicator_value(const struct indicator *x, const int64_t *w, const struct bar_series *b,
                       const struct bar *live, unsigned scale)
{
    const struct calculation *c = calcs[x->kind];
    int64_t copy[INDICATOR_STATE_MAX];
    if (!live && b->end == b->first)
        return NAN;
    if (live) {
        memcpy(copy, w, c->bytes);
        struct at a = {.x = x,
                       .state = copy,
                       .ring = (double *)(void *)(w + c->bytes / 8),
                       .b = b,
                       .now = live,
                       .i = b->end,
                       .k = b->end - b->first + 1,
                       .volume_unit = powers[scale]};
        c->step(&a);
        w = copy;
    }
    double v;
    memcpy(&v, &w[x->output], sizeof v);
    return v - v == 0 ? v + 0.0 : NAN; /* what divides by 0 has no value; -0 is 0 */
}

/* sma: the sum of the last n-1 closes, exact */
struct sma {
    double out;
    struct sum rest;
};

static void step_sma(struct at *a)
{
    struct sma *s = a->state;
    unsigned n = a->x->n[0];
    s->rest = sum_of(sum_wide(s->rest) + widen(a->now->close_e9));
    s->out = a->k < n ? NAN : wide_double(sum_wide(s->rest)) / n / 1e9;
}

static void settle_sma(struct at *a)
{
    struct sma *s = a->state;
    if (a->k >= a->x->n[0])
        s->rest = sum_of(sum_wide(s->rest) - widen(back(a, a->x->n[0] - 1u)->close_e9));
}
CALC(sma, settle_sma, NULL)

struct ema {
    double out, mean;
};

static void step_ema(struct at *a)
{
    struct ema *s = a->state;
    s->out = ema_add(&s->mean, a->k, a->x->n[0], (double)a->now->close_e9) / 1e9;
}
CALC(ema, NULL, NULL)

struct ema_first {
    double out, mean;
};

static void step_ema_first(struct at *a)
{
    struct ema_first *s = a->state;
    double x = (double)a->now->close_e9;
    s->mean = a->k == 1 ? x : s->mean + 2.0 / (a->x->n[0] + 1) * (x - s->mean);
    s->out = s->mean / 1e9;
}
CALC(ema_first, NULL, NULL)

struct smma {
    double out, mean;
};

static void step_smma(struct at *a)
{
    struct smma *s = a->state;
    s->out = wilder_add(&s->mean, a->k, a->x->n[0], (double)a->now->close_e9) / 1e9;
}
CALC(smma, NULL, NULL)

/* Closes by their place: sum of x and of j x, j from 0 for the oldest of the last n-1. */
struct places {
    struct sum plain, placed;
};

/* With the close as one more; returns the sum of j x. */
static void places_add(struct places *p, const struct at *a, unsigned n)
{
    p->placed = sum_of(sum_wide(p->placed) + (smaller(a->k, n) - 1) * widen(a->now->close_e9));
    p->plain = sum_of(sum_wide(p->plain) + widen(a->now->close_e9));
}

/* Drops the oldest of n, so that the others move down by one. */
static void places_drop(struct places *p, const struct at *a, unsigned n)
{
    if (a->k < n)
        return;
    p->plain = sum_of(sum_wide(p->plain) - widen(back(a, n - 1u)->close_e9));
    p->placed = sum_of(sum_wide(p->placed) - sum_wide(p->plain));
}

static double places_wma(const struct places *p, unsigned n)
{
    return wide_double(sum_wide(p->placed) + sum_wide(p->plain)) * 2 / ((double)n * (n + 1)) / 1e9;
}

/* wma, and the least-squares line: slope = (n sum(jx) - sum(j) sum(x)) / (n sum(jj) - sum(j)^2) */
struct linear {
    double out;
    struct places p;
};

static void step_linear(struct at *a)
{
    struct linear *s = a->state;
    unsigned n = a->x->n[0];
    places_add(&s->p, a, n);
    if (a->k < n) {
        s->out = NAN;
        return;
    }
    if (a->x->kind == INDICATOR_WMA) {
        s->out = places_wma(&s->p, n);
        return;
    }
    wide j = (wide)n * (n - 1) / 2, jj = (wide)n * n * ((wide)n * n - 1) / 12;
    wide top = n * sum_wide(s->p.placed) - j * sum_wide(s->p.plain);
    double slope = wide_double(top) / (double)(uint64_t)jj / 1e9;
    double middle = wide_double(sum_wide(s->p.plain)) / n / 1e9;
    switch (a->x->kind) {
    case INDICATOR_LINREG_SLOPE:
        s->out = slope;
        break;
    case INDICATOR_LINREG_INTERCEPT:
        s->out = middle - slope * (n - 1) / 2;
        break;
    case INDICATOR_TSF:
        s->out = middle + slope * (n + 1) / 2;
        break;
    default:
        s->out = middle + slope * (n - 1) / 2;
    }
}

static void settle_linear(struct at *a)
{
    struct linear *s = a->state;
    places_drop(&s->p, a, a->x->n[0]);
}
CALC(linear, settle_linear, NULL)

struct hma {
    double out, raw;
    struct places whole, half;
};

static void step_hma(struct at *a)
{
    struct hma *s = a->state;
    unsigned n = a->x->n[0], m = (unsigned)root(n);
    places_add(&s->whole, a, n);
    places_add(&s->half, a, n / 2);
    s->raw = 2 * places_wma(&s->half, n / 2) - places_wma(&s->whole, n);
    s->out = NAN;
    if (a->k < n + m - 1)
        return;
    double sum = m * s->raw;
    for (unsigned i = 1; i < m; i++)
        sum += i * *ring_slot(a->ring, m, a->k - m + i);
    s->out = sum * 2 / ((double)m * (m + 1));
}

static void settle_hma(struct at *a)
{
    struct hma *s = a->state;
    unsigned n = a->x->n[0];
    places_drop(&s->whole, a, n);
    places_drop(&s->half, a, n / 2);
    *ring_slot(a->ring, (unsigned)root(n), a->k) = s->raw;
}

static unsigned ring_hma(const struct indicator *x)
{
    return (unsigned)root(x->n[0]);
}
CALC(hma, settle_hma, ring_hma)

struct trima {
    double out;
};

static void step_trima(struct at *a)
{
    struct trima *s = a->state;
    unsigned n = a->x->n[0];
    wide sum = 0, weights = 0;
    s->out = NAN;
    if (a->k < n)
        return;
    for (unsigned j = 0; j < n; j++) {
        uint64_t weight = smaller(j + 1, n - j);
        sum += weight * widen(back(a, j)->close_e9);
        weights += weight;
    }
    s->out = wide_double(sum) / wide_double(weights) / 1e9;
}
CALC(trima, NULL, NULL)

/* kama: the path of the last n-1 changes */
struct kama {
    double out;
    struct sum path;
    double mean;
};

static void step_kama(struct at *a)
{
    struct kama *s = a->state;
    unsigned n = a->x->n[0];
    double close = (double)a->now->close_e9;
    if (a->k > 1)
        s->path = sum_of(sum_wide(s->path) + distance(a->now->close_e9, back(a, 1)->close_e9));
    if (a->k > n) {
        double path = wide_double(sum_wide(s->path));
        double way = (double)distance(a->now->close_e9, back(a, n)->close_e9);
        double fast = 2.0 / (a->x->n[1] + 1), slow = 2.0 / (a->x->n[2] + 1);
        double factor = (path > 0 ? way / path : 0) * (fast - slow) + slow;
        s->mean += factor * factor * (close - s->mean);
    } else {
        s->mean = close;
    }
    s->out = a->k < n ? NAN : s->mean / 1e9;
}

static void settle_kama(struct at *a)
{
    struct kama *s = a->state;
    unsigned n = a->x->n[0];
    if (a->k > n)
        s->path = sum_of(sum_wide(s->path) - distance(back(a, n - 1u)->close_e9, back(a, n)->close_e9));
}
CALC(kama, settle_kama, NULL)

#define MACD_FIX_FAST 0.15 /* for 12 bars, in place of 2/13 */
#define MACD_FIX_SLOW 0.075

struct macd {
    double out[3];
    double fast, slow, signal;
};

static void step_macd(struct at *a)
{
    struct macd *s = a->state;
    bool fixed = a->x->kind == INDICATOR_MACD_FIX, late = fixed || a->x->kind == INDICATOR_MACD_LATE;
    unsigned f = fixed ? 12 : a->x->n[0], n = fixed ? 26 : a->x->n[1], first = (unsigned)larger(f, n);
    unsigned last = a->x->n[fixed ? 0 : 2];
    double close = (double)a->now->close_e9;
    uint64_t skipped = late && n > f ? n - f : 0; /* closes before the fast mean */
    double fast_factor = fixed ? MACD_FIX_FAST : ema_factor(f);
    double slow_factor = fixed ? MACD_FIX_SLOW : ema_factor(n);
    double fast = a->k > skipped ? mean_add(&s->fast, a->k - skipped, f, fast_factor, close) : NAN;
    double line = (fast - mean_add(&s->slow, a->k, n, slow_factor, close)) / 1e9;
    double signal = a->k < first ? NAN : ema_add(&s->signal, a->k - first + 1, last, line);
    s->out[0] = line;
    s->out[1] = signal;
    s->out[2] = line - signal;
}
CALC(macd, NULL, NULL)

struct macd_first {
    double out[3];
    double fast, slow, signal;
};

static void step_macd_first(struct at *a)
{
    struct macd_first *s = a->state;
    unsigned f = a->x->n[0], n = a->x->n[1];
    bool fixed = f == 12 && n == 26;
    double close = (double)a->now->close_e9;
    if (a->k == 1)
        s->fast = s->slow = close;
    s->fast += (fixed ? MACD_FIX_FAST : ema_factor(f)) * (close - s->fast);
    s->slow += (fixed ? MACD_FIX_SLOW : ema_factor(n)) * (close - s->slow);
    s->out[0] = s->out[1] = s->out[2] = NAN;
    if (a->k < n)
        return;
    double line = (s->fast - s->slow) / 1e9;
    s->signal = a->k == n ? line : s->signal + ema_factor(a->x->n[2]) * (line - s->signal);
    s->out[0] = line;
    s->out[1] = s->signal;
    s->out[2] = line - s->signal;
}
CALC(macd_first, NULL, NULL)

struct rsi {
    double out, gain, loss; /* sums up to n changes, then means */
};

static void step_rsi(struct at *a)
{
    struct rsi *s = a->state;
    unsigned n = a->x->n[0];
    uint64_t changes = a->k - 1;
    s->out = NAN;
    if (changes == 0)
        return;
    double x = (double)(a->now->close_e9 - back(a, 1)->close_e9);
    if (changes > n) { /* from means back to sums: the factor 1/n of both cancels out */
        s->gain *= n - 1;
        s->loss *= n - 1;
    }
    s->gain += x > 0 ? x : 0;
    s->loss += x < 0 ? -x : 0;
    if (changes < n)
        return;
    if (a->x->kind == INDICATOR_CMO_WILDER)
        s->out = s->gain + s->loss == 0 ? 0 : 100.0 * (s->gain - s->loss) / (s->gain + s->loss);
    else
        s->out = s->loss == 0 ? 100.0 : 100.0 * s->gain / (s->gain + s->loss);
    s->gain /= n;
    s->loss /= n;
}
CALC(rsi, NULL, NULL)

/* cmo, rsi_sma: gains and losses of the last n-1 changes, exact */
struct cmo {
    double out;
    struct sum gain, loss;
};

static void cmo_count(struct cmo *s, int64_t from, int64_t to, bool take)
{
    struct sum *of = to > from ? &s->gain : &s->loss;
    wide d = distance(to, from);
    *of = sum_of(take ? sum_wide(*of) + d : sum_wide(*of) - d);
}

static void step_cmo(struct at *a)
{
    struct cmo *s = a->state;
    if (a->k > 1)
        cmo_count(s, back(a, 1)->close_e9, a->now->close_e9, true);
    wide gain = sum_wide(s->gain), loss = sum_wide(s->loss);
    if (a->x->kind == INDICATOR_RSI_SMA)
        s->out = loss ? 100.0 * wide_double(gain) / wide_double(gain + loss) : 100.0;
    else
        s->out = gain + loss ? 100.0 * wide_double(gain - loss) / wide_double(gain + loss) : 0;
    if (a->k <= a->x->n[0])
        s->out = NAN;
}

static void settle_cmo(struct at *a)
{
    unsigned n = a->x->n[0];
    if (a->k > n)
        cmo_count(a->state, back(a, n)->close_e9, back(a, n - 1u)->close_e9, false);
}
CALC(cmo, settle_cmo, NULL)

/* roc, mom */
struct change {
    double out;
};

static void step_change(struct at *a)
{
    struct change *s = a->state;
    s->out = NAN;
    if (a->k <= a->x->n[0])
        return;
    int64_t before = back(a, a->x->n[0])->close_e9;
    double change = (double)(a->now->close_e9 - before);
    s->out = a->x->kind == INDICATOR_ROC ? 100.0 * change / (double)before : change / 1e9;
}
CALC(change, NULL, NULL)

/* Sums of the last n-1 closes and of their squares. n sum(xx) - sum(x)^2 is exact in 128 bits as long as the
 * deviation is below 1.8e10 / n: the wraps of its parts cancel out. */
struct squares {
    struct sum plain, square;
};

/* With the close as one more; the population's deviation and mean, in 1e-9. */
static double squares_add(struct squares *q, const struct at *a, unsigned n, double *mean)
{
    wide x = widen(a->now->close_e9);
    q->plain = sum_of(sum_wide(q->plain) + x);
    q->square = sum_of(sum_wide(q->square) + x * x);
    *mean = wide_double(sum_wide(q->plain)) / n;
    return sqrt((double)(n * sum_wide(q->square) - sum_wide(q->plain) * sum_wide(q->plain))) / n;
}

static void squares_drop(struct squares *q, const struct at *a, unsigned n)
{
    if (a->k < n)
        return;
    wide x = widen(back(a, n - 1u)->close_e9);
    q->plain = sum_of(sum_wide(q->plain) - x);
    q->square = sum_of(sum_wide(q->square) - x * x);
}

struct deviation {
    double out;
    struct squares q;
};

static void step_deviation(struct at *a)
{
    struct deviation *s = a->state;
    unsigned n = a->x->n[0];
    double mean, deviation = squares_add(&s->q, a, n, &mean) / 1e9;
    if (a->x->kind == INDICATOR_ZSCORE)
        s->out = ((double)a->now->close_e9 / 1e9 - mean / 1e9) / deviation;
    else
        s->out = a->x->kind == INDICATOR_VAR ? deviation * deviation : deviation;
    if (a->k < n)
        s->out = NAN;
}

static void settle_deviation(struct at *a)
{
    struct deviation *s = a->state;
    squares_drop(&s->q, a, a->x->n[0]);
}
CALC(deviation, settle_deviation, NULL)

struct bb {
    double out[6];
    struct squares q;
};

static void step_bb(struct at *a)
{
    struct bb *s = a->state;
    double mean, deviation = squares_add(&s->q, a, a->x->n[0], &mean) / 1e9;
    double close = (double)a->now->close_e9 / 1e9, apart = multiplier(a) * deviation;
    mean /= 1e9;
    s->out[0] = mean;
    s->out[1] = mean + apart;
    s->out[2] = mean - apart;
    s->out[3] = 2 * apart / mean;
    s->out[4] = (close - s->out[2]) / (2 * apart);
    s->out[5] = (close - mean) / deviation;
    if (a->k < a->x->n[0])
        for (int i = 0; i < 6; i++)
            s->out[i] = NAN;
}

static void settle_bb(struct at *a)
{
    struct bb *s = a->state;
    squares_drop(&s->q, a, a->x->n[0]);
}
CALC(bb, settle_bb, NULL)

/* min, max, midpoint: of the last n-1 closes */
struct closes {
    double out;
    int64_t low, high;
};

static void step_closes(struct at *a)
{
    struct closes *s = a->state;
    int64_t c = a->now->close_e9, low = c, high = c;
    if (a->k > 1 && s->low < c)
        low = s->low;
    if (a->k > 1 && s->high > c)
        high = s->high;
    if (a->x->kind == INDICATOR_MIDPOINT)
        s->out = ((double)low + (double)high) / 2e9;
    else
        s->out = (double)(a->x->kind == INDICATOR_MIN ? low : high) / 1e9;
    if (a->k < a->x->n[0])
        s->out = NAN;
}

static void settle_closes(struct at *a)
{
    struct closes *s = a->state;
    s->low = INT64_MAX;
    s->high = INT64_MIN;
    for (uint64_t j = 0, m = smaller(a->k, a->x->n[0] - 1u); j < m; j++) {
        int64_t c = back(a, j)->close_e9;
        s->low = c < s->low ? c : s->low;
        s->high = c > s->high ? c : s->high;
    }
}
CALC(closes, settle_closes, NULL)
