/* Indicators from high, low and volume. */
#include "core/indicator_int.h"

/* Highest high and lowest low of some bars; of none: the extremes that every bar passes. */
struct extent {
    int64_t high, low;
};

/* Of the m bars up to the newest. */
static struct extent extent_of(const struct at *a, uint64_t m)
{
    struct extent e = {INT64_MIN, INT64_MAX};
    for (uint64_t j = 0; j < m; j++) {
        const struct bar *b = back(a, j);
        e.high = b->high_e9 > e.high ? b->high_e9 : e.high;
        e.low = b->low_e9 < e.low ? b->low_e9 : e.low;
    }
    return e;
}

/* That of the bars before, with the new one. */
static struct extent extent_with(const struct extent *before, const struct at *a)
{
    struct extent e = {a->now->high_e9, a->now->low_e9};
    if (a->k > 1) {
        e.high = before->high > e.high ? before->high : e.high;
        e.low = before->low < e.low ? before->low : e.low;
    }
    return e;
}

/* midprice, willr: of the last n-1 bars */
struct range {
    double out;
    struct extent rest;
};

static void step_range(struct at *a)
{
    struct range *s = a->state;
    struct extent e = extent_with(&s->rest, a);
    double high = (double)e.high, low = (double)e.low;
    if (a->x->kind == INDICATOR_MIDPRICE)
        s->out = (high + low) / 2e9;
    else
        s->out = e.high > e.low ? -100.0 * (high - (double)a->now->close_e9) / (high - low) : -100.0;
    if (a->k < a->x->n[0])
        s->out = NAN;
}

static void settle_range(struct at *a)
{
    struct range *s = a->state;
    s->rest = extent_of(a, smaller(a->k, a->x->n[0] - 1u));
}
CALC(range, settle_range, NULL)

/* stoch: raws (the fast k) and ks are rings, summed without the value that comes next */
struct stoch {
    double out[3];
    struct extent rest;
    double raw, raws, ks;
};

static void step_stoch(struct at *a)
{
    struct stoch *s = a->state;
    unsigned n = a->x->n[0], m = a->x->n[1], d = a->x->n[2];
    struct extent e = extent_with(&s->rest, a);
    double low = (double)e.low, width = (double)e.high - low;
    s->raw = e.high > e.low ? 100.0 * ((double)a->now->close_e9 - low) / width : 0;
    s->out[0] = a->k < n + m - 1u ? NAN : (s->raws + s->raw) / m;
    s->out[1] = a->k < n + m + d - 2u ? NAN : (s->ks + s->out[0]) / d;
    s->out[2] = 3 * s->out[0] - 2 * s->out[1];
}

static void settle_stoch(struct at *a)
{
    struct stoch *s = a->state;
    unsigned n = a->x->n[0], m = a->x->n[1], d = a->x->n[2];
    s->rest = extent_of(a, smaller(a->k, n - 1u));
    if (a->k < n)
        return;
    *ring_slot(a->ring, m, a->k - n + 1) = s->raw;
    s->raws = ring_rest(a->ring, m, a->k - n + 1);
    if (a->k < n + m - 1u)
        return;
    *ring_slot(a->ring + m, d, a->k - n - m + 2) = s->out[0];
    s->ks = ring_rest(a->ring + m, d, a->k - n - m + 2);
}

static unsigned ring_stoch(const struct indicator *x)
{
    return x->n[1] + x->n[2];
}
CALC(stoch, settle_stoch, ring_stoch)

/* donchian: of the n bars before; donchian_incl: of n-1 */
struct donchian {
    double out[4];
    struct extent rest;
};

static void channel(struct donchian *s, const struct extent *e)
{
    double high = (double)e->high, low = (double)e->low;
    s->out[0] = (high + low) / 2e9;
    s->out[1] = high / 1e9;
    s->out[2] = low / 1e9;
    s->out[3] = 2 * (high - low) / (high + low);
}

static void step_donchian(struct at *a)
{
    struct donchian *s = a->state;
    channel(s, &s->rest);
    if (a->k <= a->x->n[0])
        s->out[0] = s->out[1] = s->out[2] = s->out[3] = NAN;
}

static void settle_donchian(struct at *a)
{
    struct donchian *s = a->state;
    s->rest = extent_of(a, smaller(a->k, a->x->n[0]));
}
CALC(donchian, settle_donchian, NULL)

static void step_donchian_incl(struct at *a)
{
    struct donchian *s = a->state;
    struct extent e = extent_with(&s->rest, a);
    channel(s, &e);
    if (a->k < a->x->n[0])
        s->out[0] = s->out[1] = s->out[2] = s->out[3] = NAN;
}

static void settle_donchian_incl(struct at *a)
{
    struct donchian *s = a->state;
    s->rest = extent_of(a, smaller(a->k, a->x->n[0] - 1u));
}
const struct calculation calc_donchian_incl = {step_donchian_incl, settle_donchian_incl,
                                               sizeof(struct donchian), NULL};

/* aroon: the extent of the last n bars and how many bars ago it was reached, 1 for the newest */
struct aroon {
    double out[3];
    struct extent rest;
    uint64_t high_age, low_age;
};

static void step_aroon(struct at *a)
{
    struct aroon *s = a->state;
    unsigned n = a->x->n[0];
    int64_t equal = a->x->kind == INDICATOR_AROON_NEWEST; /* also one as high as the highest is new */
    uint64_t high = s->high_age, low = s->low_age;
    if (a->k == 1 || a->now->high_e9 > s->rest.high - equal)
        high = 0;
    if (a->k == 1 || a->now->low_e9 < s->rest.low + equal)
        low = 0;
    s->out[1] = 100.0 * (double)(int64_t)(n - high) / n;
    s->out[2] = 100.0 * (double)(int64_t)(n - low) / n;
    s->out[0] = s->out[1] - s->out[2];
    if (a->k <= n)
        s->out[0] = s->out[1] = s->out[2] = NAN;
}

static void settle_aroon(struct at *a)
{
    struct aroon *s = a->state;
    uint64_t m = smaller(a->k, a->x->n[0]);
    bool newest = a->x->kind == INDICATOR_AROON_NEWEST;
    s->rest = extent_of(a, m);
    for (uint64_t i = 0; i < m; i++) {
        uint64_t j = newest ? m - 1 - i : i;
        if (back(a, j)->high_e9 == s->rest.high)
            s->high_age = j + 1;
        if (back(a, j)->low_e9 == s->rest.low)
            s->low_age = j + 1;
    }
}
CALC(aroon, settle_aroon, NULL)

/* tr, atr, atrp, atr_hl, atrp_hl */
struct true_range {
    double out, mean;
};

static void step_true_range(struct at *a)
{
    struct true_range *s = a->state;
    unsigned kind = a->x->kind;
    bool first = kind == INDICATOR_ATR_HL || kind == INDICATOR_ATRP_HL; /* counts the first bar */
    uint64_t range =
        a->k > 1 ? true_range(a->now, back(a, 1)) : (uint64_t)a->now->high_e9 - (uint64_t)a->now->low_e9;
    s->out = NAN;
    if (a->k == 1 && !first)
        return;
    unsigned n = kind == INDICATOR_TR ? 1 : a->x->n[0];
    double mean = wilder_add(&s->mean, first ? a->k : a->k - 1, n, (double)range);
    if (kind == INDICATOR_ATRP || kind == INDICATOR_ATRP_HL)
        s->out = 100.0 * mean / (double)a->now->close_e9;
    else
        s->out = mean / 1e9;
}
CALC(true_range, NULL, NULL)

/* The true range of the bar `bars` back, that of the first bar being its high - low. */
static wide range_back(const struct at *a, uint64_t bars)
{
    const struct bar *b = back(a, bars);
    return a->k - bars > 1 ? true_range(b, back(a, bars + 1)) : (uint64_t)b->high_e9 - (uint64_t)b->low_e9;
}

struct atr_sma {
    double out;
    struct sum rest; /* of n-1 */
};

static void step_atr_sma(struct at *a)
{
    struct atr_sma *s = a->state;
    s->rest = sum_of(sum_wide(s->rest) + range_back(a, 0));
    s->out = a->k < a->x->n[0] ? NAN : wide_double(sum_wide(s->rest)) / a->x->n[0] / 1e9;
}

static void settle_atr_sma(struct at *a)
{
    struct atr_sma *s = a->state;
    if (a->k >= a->x->n[0])
        s->rest = sum_of(sum_wide(s->rest) - range_back(a, a->x->n[0] - 1u));
}
CALC(atr_sma, settle_atr_sma, NULL)

/* The bands of keltner, in 1e-9. */
static void bands(double out[4], double middle, double apart)
{
    out[0] = middle / 1e9;
    out[1] = (middle + apart) / 1e9;
    out[2] = (middle - apart) / 1e9;
    out[3] = 2 * apart / middle;
}

struct keltner {
    double out[4];
    double mean, range;
};

static void step_keltner(struct at *a)
{
    struct keltner *s = a->state;
    double middle = ema_add(&s->mean, a->k, a->x->n[0], (double)a->now->close_e9), range = NAN;
    if (a->k > 1)
        range = wilder_add(&s->range, a->k - 1, a->x->n[1], (double)true_range(a->now, back(a, 1)));
    bands(s->out, middle + 0 * range, multiplier(a) * range);
}
CALC(keltner, NULL, NULL)

struct keltner_sma {
    double out[4];
    struct sum typical, range; /* of n-1 */
};

static void step_keltner_sma(struct at *a)
{
    struct keltner_sma *s = a->state;
    unsigned n = a->x->n[0];
    s->typical = sum_of(sum_wide(s->typical) + typical3(a->now));
    s->range = sum_of(sum_wide(s->range) + range_back(a, 0));
    double middle = a->k < n ? NAN : wide_double(sum_wide(s->typical)) / 3 / n;
    bands(s->out, middle, multiplier(a) * (wide_double(sum_wide(s->range)) / n));
    if (a->k < n)
        s->out[0] = s->out[1] = s->out[2] = s->out[3] = NAN;
}

static void settle_keltner_sma(struct at *a)
{
    struct keltner_sma *s = a->state;
    unsigned n = a->x->n[0];
    if (a->k < n)
        return;
    s->typical = sum_of(sum_wide(s->typical) - typical3(back(a, n - 1u)));
    s->range = sum_of(sum_wide(s->range) - range_back(a, n - 1u));
}
CALC(keltner_sma, settle_keltner_sma, NULL)

struct supertrend {
    double out[3];
    double range, upper, lower; /* in 1e-9 */
    int64_t rises;
};

static void step_supertrend(struct at *a)
{
    struct supertrend *s = a->state;
    unsigned n = a->x->n[0];
    s->out[0] = s->out[1] = s->out[2] = NAN;
    if (a->k == 1)
        return;
    double range = wilder_add(&s->range, a->k - 1, n, (double)true_range(a->now, back(a, 1)));
    if (a->k <= n)
        return;
    double close = (double)a->now->close_e9, before = (double)back(a, 1)->close_e9;
    double middle = ((double)a->now->high_e9 + (double)a->now->low_e9) / 2, apart = multiplier(a) * range;
    if (a->k == n + 1u) {
        s->rises = close >= middle;
        s->upper = middle + apart;
        s->lower = middle - apart;
    }
    if (middle + apart < s->upper || before > s->upper)
        s->upper = middle + apart;
    if (middle - apart > s->lower || before < s->lower)
        s->lower = middle - apart;
    s->rises = close > (s->rises ? s->lower : s->upper);
    s->out[0] = s->out[s->rises ? 2 : 1] = (s->rises ? s->lower : s->upper) / 1e9;
}
CALC(supertrend, NULL, NULL)

/* supertrend_hl: the bands trail from the first bar on, and show once a close is outside of them */
struct supertrend_hl {
    double out[3];
    double ranges; /* the sum up to the n-th bar, then their mean */
    double upper, lower;
    int64_t trend; /* 1 rises, -1 falls */
};

static void step_supertrend_hl(struct at *a)
{
    struct supertrend_hl *s = a->state;
    unsigned n = a->x->n[0];
    double range = a->k > 1 ? (double)true_range(a->now, back(a, 1))
                            : (double)((uint64_t)a->now->high_e9 - (uint64_t)a->now->low_e9);
    double mean = wilder_add(&s->ranges, a->k, n, range);
    if (a->k < n)
        mean = s->ranges / (double)a->k;
    double close = (double)a->now->close_e9;
    double middle = ((double)a->now->high_e9 + (double)a->now->low_e9) / 2, apart = multiplier(a) * mean;
    double before = a->k > 1 ? (double)back(a, 1)->close_e9 : 0;
    if (a->k == 1 || !(before > s->lower) || middle - apart > s->lower)
        s->lower = middle - apart;
    if (a->k == 1 || !(before < s->upper) || middle + apart < s->upper)
        s->upper = middle + apart;
    if (close > s->upper)
        s->trend = 1;
    else if (close < s->lower)
        s->trend = -1;
    s->out[0] = s->out[1] = s->out[2] = NAN;
    if (s->trend)
        s->out[0] = s->out[s->trend > 0 ? 2 : 1] = (s->trend > 0 ? s->lower : s->upper) / 1e9;
}
CALC(supertrend_hl, NULL, NULL)

struct psar {
    double out;
    double sar, extreme, factor; /* prices in 1e-9 */
    int64_t rises, reversed;     /* reversed: ever */
};

/* The rising case; a falling one is the same with all prices negated. high and low as they are then, floor:
 * the low that the SAR may not pass, of the last two bars. */
static bool psar_rise(struct psar *s, const struct at *a, double high, double low, double floor)
{
    double sar = s->sar + s->factor * (s->extreme - s->sar);
    double step = a->x->hundredths / 100.0, most = a->x->n[0] / 100.0;
    if (sar > floor)
        sar = floor;
    if (low < sar) {
        s->sar = a->x->kind == INDICATOR_PSAR_MID && high > s->extreme ? high : s->extreme;
        s->extreme = low;
        s->factor = step;
        return false;
    }
    s->sar = sar;
    if (high > s->extreme) {
        s->extreme = high;
        s->factor = s->factor + step < most ? s->factor + step : most;
    }
    return true;
}

static void step_psar(struct at *a)
{
    struct psar *s = a->state;
    double high = (double)a->now->high_e9, low = (double)a->now->low_e9;
    s->out = NAN;
    if (a->k == 1) {
        *s = (struct psar){NAN, low, high, a->x->hundredths / 100.0, 1, 0};
        return;
    }
    bool mid = a->x->kind == INDICATOR_PSAR_MID;
    if (mid && a->k == 2) {
        const struct bar *first = back(a, 1);
        double low_1 = (double)first->low_e9, high_1 = (double)first->high_e9;
        s->rises = high + low >= high_1 + low_1;
        s->sar = s->rises ? low_1 : high_1;
        s->extreme = s->rises ? high_1 : low_1;
    }
    double sign = s->rises ? 1 : -1, floor = INFINITY;
    for (unsigned j = 1; j <= 2 && (a->k > 2 || (mid && j == 1)); j++) {
        double edge = sign * (double)(s->rises ? back(a, j)->low_e9 : back(a, j)->high_e9);
        floor = edge < floor ? edge : floor;
    }
    s->sar *= sign;
    s->extreme *= sign;
    bool before = s->reversed;
    bool goes_on = psar_rise(s, a, s->rises ? high : -low, s->rises ? low : -high, floor);
    s->sar *= sign;
    s->extreme *= sign;
    if (!goes_on) {
        s->rises = !s->rises;
        s->reversed = 1;
    }
    s->out = before || mid ? s->sar / 1e9 : NAN;
}
CALC(psar, NULL, NULL)

/* psar_dm, psar_close: sar is that of the next bar */
struct psar_next {
    double out;
    double sar, extreme, factor; /* prices in 1e-9 */
    int64_t rises;
};

static double least(double x, double y)
{
    return x < y ? x : y;
}

static double most(double x, double y)
{
    return x > y ? x : y;
}

/* The rising case; a falling one is the same with all prices negated. high, low: of the bar and of the one
 * before it. Returns the bar's SAR. */
static double psar_next_rise(struct psar_next *s, const struct at *a, const double high[2],
                             const double low[2])
{
    double step = a->x->hundredths / 100.0, limit = a->x->n[0] / 100.0, sar = s->sar;
    if (low[0] <= sar) {
        s->rises = !s->rises;
        sar = most(s->extreme, most(high[1], high[0]));
        s->factor = step;
        s->extreme = low[0];
        s->sar = most(sar + s->factor * (s->extreme - sar), most(high[1], high[0]));
        return sar;
    }
    if (high[0] > s->extreme) {
        s->extreme = high[0];
        s->factor = least(s->factor + step, limit);
    }
    s->sar = least(sar + s->factor * (s->extreme - sar), least(low[1], low[0]));
    return sar;
}

static void step_psar_next(struct at *a)
{
    struct psar_next *s = a->state;
    bool by_close = a->x->kind == INDICATOR_PSAR_CLOSE;
    s->out = NAN;
    if (a->k == 1)
        return;
    const struct bar *now = a->now, *before = back(a, 1);
    if (a->k == 2) {
        int64_t up = now->high_e9 - before->high_e9, down = before->low_e9 - now->low_e9;
        s->rises = by_close ? now->close_e9 >= before->close_e9 : !(down > 0 && down > up);
        int64_t extreme = s->rises ? now->high_e9 : now->low_e9;
        int64_t other = s->rises ? before->high_e9 : before->low_e9;
        s->sar = (double)(s->rises ? before->low_e9 : before->high_e9);
        s->extreme = (double)(by_close && other < extreme ? other : extreme);
        s->factor = a->x->hundredths / 100.0;
        if (by_close) {
            s->out = s->sar / 1e9;
            return;
        }
        before = now;
    }
    double sign = s->rises ? 1 : -1;
    const struct bar *const bar[2] = {now, before};
    double high[2], low[2];
    for (int i = 0; i < 2; i++) {
        high[i] = sign * (double)(s->rises ? bar[i]->high_e9 : bar[i]->low_e9);
        low[i] = sign * (double)(s->rises ? bar[i]->low_e9 : bar[i]->high_e9);
    }
    s->sar *= sign;
    s->extreme *= sign;
    s->out = sign * psar_next_rise(s, a, high, low) / 1e9;
    s->sar *= sign;
    s->extreme *= sign;
}
CALC(psar_next, NULL, NULL)

/* adx: the ring holds the last n adx */
struct adx {
    double out[5];
    double range, plus, minus, mean;
};

static double wilder_sum(double *v, uint64_t m, unsigned n, unsigned seed, double x)
{
    *v = m <= seed ? *v + x : *v - *v / n + x;
    return *v;
}

static void step_adx(struct at *a)
{
    struct adx *s = a->state;
    unsigned n = a->x->n[0];
    unsigned early = a->x->kind != INDICATOR_ADX, seed = n - early;
    unsigned first = a->x->kind == INDICATOR_ADX_LATE ? n : seed; /* the change that has the first values */
    uint64_t m = a->k - 1;                                        /* changes */
    for (int i = 0; i < 5; i++)
        s->out[i] = NAN;
    if (m == 0)
        return;
    const struct bar *before = back(a, 1);
    int64_t up = a->now->high_e9 - before->high_e9, down = before->low_e9 - a->now->low_e9;
    double range = wilder_sum(&s->range, m, n, seed, (double)true_range(a->now, before));
    bool both = a->x->kind == INDICATOR_ADX_EARLY && up == down;
    double plus = wilder_sum(&s->plus, m, n, seed, (up > down || both) && up > 0 ? (double)up : 0);
    double minus = wilder_sum(&s->minus, m, n, seed, (down > up || both) && down > 0 ? (double)down : 0);
    if (m < first)
        return;
    s->out[1] = range > 0 ? 100.0 * plus / range : 0;
    s->out[2] = range > 0 ? 100.0 * minus / range : 0;
    double sum = s->out[1] + s->out[2], apart = s->out[1] - s->out[2];
    s->out[3] = sum > 0 ? 100.0 * (apart < 0 ? -apart : apart) / sum : 0;
    s->out[0] = wilder_add(&s->mean, m - first + 1, n, s->out[3]);
    if (m >= first + 2u * n - 1 - early)
        s->out[4] = (s->out[0] + *ring_slot(a->ring, n, a->k + early)) / 2;
}

static void settle_adx(struct at *a)
{
    struct adx *s = a->state;
    *ring_slot(a->ring, a->x->n[0], a->k) = s->out[0];
}

static unsigned ring_adx(const struct indicator *x)
{
    return x->n[0];
}
CALC(adx, settle_adx, ring_adx)

/* vortex: of the last n-1 changes */
struct vortex {
    double out[2];
    struct sum plus, minus, range;
};

static void vortex_count(struct vortex *s, const struct bar *b, const struct bar *before, bool take)
{
    wide plus = distance(b->high_e9, before->low_e9), minus = distance(b->low_e9, before->high_e9);
    wide range = true_range(b, before);
    s->plus = sum_of(sum_wide(s->plus) + (take ? plus : -plus));
    s->minus = sum_of(sum_wide(s->minus) + (take ? minus : -minus));
    s->range = sum_of(sum_wide(s->range) + (take ? range : -range));
}

static void step_vortex(struct at *a)
{
    struct vortex *s = a->state;
    if (a->k > 1)
        vortex_count(s, a->now, back(a, 1), true);
    double range = wide_double(sum_wide(s->range));
    s->out[0] = a->k <= a->x->n[0] ? NAN : wide_double(sum_wide(s->plus)) / range;
    s->out[1] = a->k <= a->x->n[0] ? NAN : wide_double(sum_wide(s->minus)) / range;
}

static void settle_vortex(struct at *a)
{
    unsigned n = a->x->n[0];
    if (a->k > n)
        vortex_count(a->state, back(a, n - 1u), back(a, n), false);
}
CALC(vortex, settle_vortex, NULL)

struct cci {
    double out;
    struct sum rest; /* of n-1 */
};

/* (x - mean) / (0.015 mean |x - mean|), both times 3n */
static void step_cci(struct at *a)
{
    struct cci *s = a->state;
    unsigned n = a->x->n[0];
    s->rest = sum_of(sum_wide(s->rest) + typical3(a->now));
    s->out = NAN;
    if (a->k < n)
        return;
    wide sum = sum_wide(s->rest), apart = 0;
    for (unsigned j = 0; j < n; j++) {
        wide d = n * typical3(back(a, j)) - sum;
        apart += (__int128)d < 0 ? -d : d;
    }
    s->out = wide_double(n * typical3(a->now) - sum) / (0.015 * (wide_double(apart) / n));
}

static void settle_cci(struct at *a)
{
    struct cci *s = a->state;
    if (a->k >= a->x->n[0])
        s->rest = sum_of(sum_wide(s->rest) - typical3(back(a, a->x->n[0] - 1u)));
}
CALC(cci, settle_cci, NULL)

/* ultosc: per period, of one change less */
struct ultosc {
    double out;
    struct sum pressure[3], range[3];
};

static wide pressure(const struct bar *b, const struct bar *before)
{
    int64_t floor = b->low_e9 < before->close_e9 ? b->low_e9 : before->close_e9;
    return widen(b->close_e9) - widen(floor);
}

static void step_ultosc(struct at *a)
{
    struct ultosc *s = a->state;
    double share[3];
    bool enough = true;
    for (int i = 0; i < 3; i++) {
        if (a->k > 1) {
            s->pressure[i] = sum_of(sum_wide(s->pressure[i]) + pressure(a->now, back(a, 1)));
            s->range[i] = sum_of(sum_wide(s->range[i]) + true_range(a->now, back(a, 1)));
        }
        share[i] = wide_double(sum_wide(s->pressure[i])) / wide_double(sum_wide(s->range[i]));
        enough = enough && a->k > a->x->n[i];
    }
    s->out = enough ? 100.0 * (4 * share[0] + 2 * share[1] + share[2]) / 7 : NAN;
}

static void settle_ultosc(struct at *a)
{
    struct ultosc *s = a->state;
    for (int i = 0; i < 3; i++) {
        unsigned n = a->x->n[i];
        if (a->k <= n)
            continue;
        const struct bar *b = back(a, n - 1u), *before = back(a, n);
        s->pressure[i] = sum_of(sum_wide(s->pressure[i]) - pressure(b, before));
        s->range[i] = sum_of(sum_wide(s->range[i]) - true_range(b, before));
    }
}
CALC(ultosc, settle_ultosc, NULL)

/* `part` in parts of the bar's range; 0 without one */
static double of_range(const struct bar *b, double part)
{
    return b->high_e9 > b->low_e9 ? part / ((double)b->high_e9 - (double)b->low_e9) : 0;
}

static double balance(const struct bar *b)
{
    return of_range(b, (double)b->close_e9 - (double)b->open_e9);
}

struct bop {
    double out, rest; /* of n-1 */
};

static void step_bop(struct at *a)
{
    struct bop *s = a->state;
    s->out = a->k < a->x->n[0] ? NAN : (s->rest + balance(a->now)) / a->x->n[0];
}

static void settle_bop(struct at *a)
{
    struct bop *s = a->state;
    s->rest = 0;
    for (uint64_t j = smaller(a->k, a->x->n[0] - 1u); j-- > 0;)
        s->rest += balance(back(a, j));
}
CALC(bop, settle_bop, NULL)

struct ibs {
    double out;
};

static void step_ibs(struct at *a)
{
    struct ibs *s = a->state;
    s->out = of_range(a->now, (double)a->now->close_e9 - (double)a->now->low_e9);
}
CALC(ibs, NULL, NULL)

/* mfi: flows of the last n-1 changes */
struct mfi {
    double out;
    struct sum rise, fall;
};

static void mfi_count(struct mfi *s, const struct bar *b, const struct bar *before, bool take)
{
    wide x = typical3(b), flow = x * b->volume;
    __int128 change = (__int128)(x - typical3(before));
    if (change > 0)
        s->rise = sum_of(sum_wide(s->rise) + (take ? flow : -flow));
    else if (change < 0)
        s->fall = sum_of(sum_wide(s->fall) + (take ? flow : -flow));
}

static void step_mfi(struct at *a)
{
    struct mfi *s = a->state;
    if (a->k > 1)
        mfi_count(s, a->now, back(a, 1), true);
    double rise = wide_double(sum_wide(s->rise)), fall = wide_double(sum_wide(s->fall));
    s->out = fall == 0 ? 100.0 : 100.0 * rise / (rise + fall);
    if (a->k <= a->x->n[0])
        s->out = NAN;
}

static void settle_mfi(struct at *a)
{
    unsigned n = a->x->n[0];
    if (a->k > n)
        mfi_count(a->state, back(a, n - 1u), back(a, n), false);
}
CALC(mfi, settle_mfi, NULL)

/* The bar's volume, weighted by where its close is: from -1 at the low to 1 at the high. */
static double flow(const struct bar *b)
{
    return of_range(b, 2 * (double)b->close_e9 - (double)b->low_e9 - (double)b->high_e9) * (double)b->volume;
}

struct cmf {
    double out, rest; /* of n-1 */
    struct sum volume;
};

static void step_cmf(struct at *a)
{
    struct cmf *s = a->state;
    s->volume = sum_of(sum_wide(s->volume) + a->now->volume);
    s->out = a->k < a->x->n[0] ? NAN : (s->rest + flow(a->now)) / wide_double(sum_wide(s->volume));
}

static void settle_cmf(struct at *a)
{
    struct cmf *s = a->state;
    unsigned n = a->x->n[0];
    s->rest = 0;
    for (uint64_t j = smaller(a->k, n - 1u); j-- > 0;)
        s->rest += flow(back(a, j));
    if (a->k >= n)
        s->volume = sum_of(sum_wide(s->volume) - back(a, n - 1u)->volume);
}
CALC(cmf, settle_cmf, NULL)

struct adl {
    double out, sum;
};

static void step_adl(struct at *a)
{
    struct adl *s = a->state;
    s->sum += flow(a->now);
    s->out = s->sum / a->volume_unit;
}
CALC(adl, NULL, NULL)

struct obv {
    double out;
    struct sum sum;
};

static void step_obv(struct at *a)
{
    struct obv *s = a->state;
    wide volume = a->now->volume;
    int64_t before = a->k > 1 ? back(a, 1)->close_e9 : a->now->close_e9;
    if (a->k == 1 && a->x->kind == INDICATOR_OBV_FIRST)
        s->sum = sum_of(volume);
    else if (a->now->close_e9 != before)
        s->sum = sum_of(sum_wide(s->sum) + (a->now->close_e9 > before ? volume : -volume));
    s->out = wide_double(sum_wide(s->sum)) / a->volume_unit;
}
CALC(obv, NULL, NULL)

/* vwap_typical: over all bars; vwap_ohlc, vwma: over the last n-1 */
struct vwap_bars {
    double out;
    struct sum value, volume; /* value: price x volume, the price being a sum of `prices` prices */
};

static wide vwap_price(const struct at *a, const struct bar *b, int *prices)
{
    switch (a->x->kind) {
    case INDICATOR_VWAP_TYPICAL:
        *prices = 3;
        return typical3(b);
    case INDICATOR_VWAP_OHLC:
        *prices = 4;
        return widen(b->open_e9) + typical3(b);
    default:
        *prices = 1;
        return widen(b->close_e9);
    }
}

static void step_vwap_bars(struct at *a)
{
    struct vwap_bars *s = a->state;
    int prices;
    s->value = sum_of(sum_wide(s->value) + vwap_price(a, a->now, &prices) * a->now->volume);
    s->volume = sum_of(sum_wide(s->volume) + a->now->volume);
    s->out = wide_double(sum_wide(s->value)) / wide_double(sum_wide(s->volume)) / prices / 1e9;
    if (a->k < a->x->n[0])
        s->out = NAN;
}

static void settle_vwap_bars(struct at *a)
{
    struct vwap_bars *s = a->state;
    unsigned n = a->x->n[0];
    int prices;
    if (n == 0 || a->k < n)
        return;
    const struct bar *oldest = back(a, n - 1u);
    s->value = sum_of(sum_wide(s->value) - vwap_price(a, oldest, &prices) * oldest->volume);
    s->volume = sum_of(sum_wide(s->volume) - oldest->volume);
}
CALC(vwap_bars, settle_vwap_bars, NULL)

struct volume_avg {
    double out;
    struct sum rest; /* of n-1 */
};

static void step_volume_avg(struct at *a)
{
    struct volume_avg *s = a->state;
    unsigned n = a->x->n[0];
    s->rest = sum_of(sum_wide(s->rest) + a->now->volume);
    s->out = a->k < n ? NAN : wide_double(sum_wide(s->rest)) / n / a->volume_unit;
}

static void settle_volume_avg(struct at *a)
{
    struct volume_avg *s = a->state;
    if (a->k >= a->x->n[0])
        s->rest = sum_of(sum_wide(s->rest) - back(a, a->x->n[0] - 1u)->volume);
}
CALC(volume_avg, settle_volume_avg, NULL)
