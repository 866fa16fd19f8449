#include "core/candle.h"

#include <math.h>

/* The n-th bar from the end, 0 = the last. */
static const struct bar *ago(const struct bar_series *b, uint64_t n)
{
    return series_bar(b, b->end - 1 - n);
}

static int64_t body_top(const struct bar *b)
{
    return b->open_e9 > b->close_e9 ? b->open_e9 : b->close_e9;
}

static int64_t body_bottom(const struct bar *b)
{
    return b->open_e9 < b->close_e9 ? b->open_e9 : b->close_e9;
}

static int64_t body(const struct bar *b)
{
    return body_top(b) - body_bottom(b);
}

static bool is_white(const struct bar *b)
{
    return b->close_e9 >= b->open_e9;
}

static bool bullish_close(const struct bar_series *b, unsigned n)
{
    (void)n;
    return ago(b, 0)->close_e9 > ago(b, 0)->open_e9;
}

static bool bearish_close(const struct bar_series *b, unsigned n)
{
    (void)n;
    return ago(b, 0)->close_e9 < ago(b, 0)->open_e9;
}

static bool upper_shadow(const struct bar_series *b, unsigned n)
{
    (void)n;
    return ago(b, 0)->high_e9 - body_top(ago(b, 0)) > body(ago(b, 0));
}

static bool lower_shadow(const struct bar_series *b, unsigned n)
{
    (void)n;
    return body_bottom(ago(b, 0)) - ago(b, 0)->low_e9 > body(ago(b, 0));
}

/* The last body has the one before within it, one end at least strictly, and is of the other colour. */
static bool engulfs(const struct bar_series *b, bool white)
{
    const struct bar *x = ago(b, 0), *y = ago(b, 1);
    return is_white(x) == white && is_white(y) != white && body_top(x) >= body_top(y) &&
           body_bottom(x) <= body_bottom(y) && body(x) != body(y);
}

static bool bullish_engulfing(const struct bar_series *b, unsigned n)
{
    (void)n;
    return engulfs(b, true);
}

static bool bearish_engulfing(const struct bar_series *b, unsigned n)
{
    (void)n;
    return engulfs(b, false);
}

enum { BODY_BARS = 10 }; /* TA-Lib's BodyLong and BodyShort: against the mean of so many */

static __int128 bodies_before(const struct bar_series *b, unsigned n)
{
    __int128 sum = 0;
    for (unsigned i = 1; i <= BODY_BARS; i++)
        sum += body(ago(b, n + i));
    return sum;
}

/* A short body within a long one. */
static bool harami(const struct bar_series *b, bool white_first)
{
    const struct bar *x = ago(b, 0), *y = ago(b, 1);
    return is_white(y) == white_first && (__int128)body(y) * BODY_BARS > bodies_before(b, 1) &&
           (__int128)body(x) * BODY_BARS <= bodies_before(b, 0) && body_top(x) <= body_top(y) &&
           body_bottom(x) >= body_bottom(y);
}

static bool bullish_harami(const struct bar_series *b, unsigned n)
{
    (void)n;
    return harami(b, false);
}

static bool bearish_harami(const struct bar_series *b, unsigned n)
{
    (void)n;
    return harami(b, true);
}

static bool inside_bar(const struct bar_series *b, unsigned n)
{
    (void)n;
    return ago(b, 0)->high_e9 < ago(b, 1)->high_e9 && ago(b, 0)->low_e9 > ago(b, 1)->low_e9;
}

static bool running_up(const struct bar_series *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ago(b, i)->high_e9 <= ago(b, i + 1)->high_e9 || ago(b, i)->low_e9 <= ago(b, i + 1)->low_e9)
            return false;
    return true;
}

static bool running_down(const struct bar_series *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ago(b, i)->high_e9 >= ago(b, i + 1)->high_e9 || ago(b, i)->low_e9 >= ago(b, i + 1)->low_e9)
            return false;
    return true;
}

static int direction(const struct bar *b)
{
    return (b->close_e9 > b->open_e9) - (b->close_e9 < b->open_e9);
}

/* Signed. */
static double run_length(const struct bar_series *b)
{
    uint64_t n = 1, count = b->end - b->first;
    int way = direction(ago(b, 0));
    if (way == 0)
        return 0;
    while (n < count && direction(ago(b, n)) == way)
        n++;
    return way * (double)n;
}

/* Against the mean of the n bars before. */
static double volume_ratio(const struct bar_series *b, unsigned n)
{
    unsigned __int128 sum = 0;
    for (unsigned i = 1; i <= n; i++)
        sum += ago(b, i)->volume;
    return sum ? (double)ago(b, 0)->volume / ((double)sum / n) : NAN;
}

/* By metric: what shows it, and how many bars it looks at beside its parameter. */
static const struct {
    bool (*shows)(const struct bar_series *b, unsigned n);
    unsigned bars;
} shapes[METRIC_KIND_COUNT] = {
    [METRIC_CONSECUTIVE] = {NULL, 1},
    [METRIC_VOLUME_SPIKE] = {NULL, 1},
    [METRIC_BULLISH_CLOSE] = {bullish_close, 1},
    [METRIC_BEARISH_CLOSE] = {bearish_close, 1},
    [METRIC_UPPER_SHADOW] = {upper_shadow, 1},
    [METRIC_LOWER_SHADOW] = {lower_shadow, 1},
    [METRIC_BULLISH_ENGULFING] = {bullish_engulfing, 2},
    [METRIC_BEARISH_ENGULFING] = {bearish_engulfing, 2},
    [METRIC_BULLISH_HARAMI] = {bullish_harami, BODY_BARS + 2},
    [METRIC_BEARISH_HARAMI] = {bearish_harami, BODY_BARS + 2},
    [METRIC_INSIDE_BAR] = {inside_bar, 2},
    [METRIC_RUNNING_UP] = {running_up, 1},
    [METRIC_RUNNING_DOWN] = {running_down, 1},
};

double candle_value(const struct metric *m, const struct bar_series *b)
{
    unsigned n = m->indicator.n[0];
    if (b->end - b->first < shapes[m->kind].bars + n)
        return NAN;
    if (m->kind == METRIC_CONSECUTIVE)
        return run_length(b);
    return m->kind == METRIC_VOLUME_SPIKE ? volume_ratio(b, n) : shapes[m->kind].shows(b, n);
}

/* ---- exponential means: two of them and what the last two bars showed, in the low and the next 2 bits of a
 * word */

enum seen { NOT_YET, BELOW, AT, ABOVE };

static struct indicator mean_of(const struct metric *m, unsigned i)
{
    return (struct indicator){.kind = INDICATOR_EMA, .n = {m->indicator.n[i]}};
}

static unsigned mean_words(const struct metric *m, unsigned i)
{
    struct indicator x = mean_of(m, i);
    return m->indicator.n[i] ? indicator_words(&x) : 0;
}

unsigned candle_words(const struct metric *m)
{
    return 1 + mean_words(m, 0) + mean_words(m, 1);
}

static double mean_push(const struct metric *m, unsigned i, int64_t *w, const struct bar_series *b,
                        unsigned scale)
{
    struct indicator x = mean_of(m, i);
    indicator_push(&x, w, b, scale);
    return indicator_value(&x, w, b, NULL, scale);
}

static enum seen order(double x, double y)
{
    return x > y ? ABOVE : x < y ? BELOW : x == y ? AT : NOT_YET;
}

void candle_push(const struct metric *m, int64_t *w, const struct bar_series *b, unsigned scale)
{
    double mean = mean_push(m, 0, w + 1, b, scale);
    enum seen now;
    if (m->kind == METRIC_EMA_RETURN) {
        enum seen high = order((double)ago(b, 0)->high_e9 / 1e9, mean),
                  low = order((double)ago(b, 0)->low_e9 / 1e9, mean);
        now = high == BELOW ? BELOW : low == ABOVE ? ABOVE : high == NOT_YET ? NOT_YET : AT;
    } else {
        now = order(mean, mean_push(m, 1, w + 1 + mean_words(m, 0), b, scale));
    }
    w[0] = (w[0] & 3) << 2 | now;
}

double candle_pushed(const struct metric *m, const int64_t *w)
{
    enum seen before = (enum seen)(w[0] >> 2), now = (enum seen)(w[0] & 3);
    if (before == NOT_YET || now == NOT_YET)
        return NAN;
    if (m->kind == METRIC_EMA_RETURN)
        return now == AT && before != AT;
    return m->kind == METRIC_EMA_CROSS_UP ? now == ABOVE && before != ABOVE : now == BELOW && before != BELOW;
}
