#include "core/anomaly.h"

#include "core/decimal.h"
#include "core/moment.h"

#include <math.h>

const char *const anomaly_severity_names[ANOMALY_SEVERITY_COUNT] = {
#define X(name, text, from) text,
    ANOMALY_SEVERITIES(X)
#undef X
};

const struct anomaly_row anomaly_rows[ANOMALY_KINDS] = {
#define X(name, text, setting, price, warm_up, help) {text, "anomalies." #setting, price, warm_up, help},
    ANOMALIES(X)
#undef X
};

struct setting_row {
    const char *name, *fallback;
    int64_t min, max;
    unsigned scale; /* decimal places that min and max have */
    size_t offset;
};
enum { SCALE_DECIMAL = 3, SCALE_INT = 0 };
static const struct setting_row setting_rows[] = {
#define X(type, section, key, fallback, min, max, ...)                                                       \
    {#section "." #key "=", fallback, min, max, SCALE_##type, offsetof(struct anomaly_settings, key)},
    ANOMALY_SETTINGS(X)
#undef X
};
enum { SETTINGS = sizeof setting_rows / sizeof *setting_rows };

static bool setting_set(struct anomaly_settings *s, const struct setting_row *row, const char *value)
{
    int64_t v;
    if (decimal_parse(value, strlen(value), row->scale, &v) != DECIMAL_OK || v < row->min || v > row->max)
        return false;
    double d = (double)v / (row->scale ? 1000.0 : 1.0);
    memcpy((char *)s + row->offset, &d, sizeof d);
    return true;
}

void anomaly_settings_default(struct anomaly_settings *s)
{
    for (unsigned i = 0; i < SETTINGS; i++)
        (void)setting_set(s, &setting_rows[i], setting_rows[i].fallback);
}

bool anomaly_setting(struct anomaly_settings *s, const char *text)
{
    for (unsigned i = 0; i < SETTINGS; i++) {
        size_t n = strlen(setting_rows[i].name);
        if (!strncmp(text, setting_rows[i].name, n))
            return setting_set(s, &setting_rows[i], text + n);
    }
    return false;
}

int64_t anomaly_tick(int64_t tick_e9, int64_t price_e9)
{
    int64_t most = price_e9 / 10000, tick = 1;
    if (tick_e9 > 0)
        return tick_e9;
    while (tick <= most / 10)
        tick *= 10;
    return tick;
}

/* The first place of sorted[0..n) that is not below v. */
static unsigned place_of(const int64_t *sorted, unsigned n, int64_t v)
{
    unsigned lo = 0;
    while (n) {
        unsigned half = n / 2;
        bool below = sorted[lo + half] < v;
        lo += below ? half + 1 : 0;
        n = below ? n - half - 1 : half;
    }
    return lo;
}

void anomaly_prices_add(struct anomaly_prices *p, int64_t price_e9)
{
    unsigned n = p->n < ANOMALY_TRADES ? p->n : ANOMALY_TRADES, at;
    int64_t *place = &p->ring[p->n % ANOMALY_TRADES];
    if (n == ANOMALY_TRADES) {
        at = place_of(p->sorted, n, *place);
        n--;
        memmove(&p->sorted[at], &p->sorted[at + 1], (n - at) * sizeof *p->sorted);
    }
    at = place_of(p->sorted, n, price_e9);
    memmove(&p->sorted[at + 1], &p->sorted[at], (n - at) * sizeof *p->sorted);
    p->sorted[at] = *place = price_e9;
    /* after 2^32 - 1 trades of a day the count goes on from a full window at the same place */
    p->n = p->n == UINT32_MAX ? UINT32_MAX % ANOMALY_TRADES + 1 + ANOMALY_TRADES : p->n + 1;
}

void anomaly_prices_sort(struct anomaly_prices *p)
{
    unsigned n = p->n < ANOMALY_TRADES ? p->n : ANOMALY_TRADES;
    for (unsigned i = 0; i < n; i++) {
        unsigned at = place_of(p->sorted, i, p->ring[i]);
        memmove(&p->sorted[at + 1], &p->sorted[at], (i - at) * sizeof *p->sorted);
        p->sorted[at] = p->ring[i];
    }
}

static void sort(double *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        double x = v[i];
        unsigned j = i;
        for (; j > 0 && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

static double middle(const double *sorted, unsigned n)
{
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

struct anomaly_norm anomaly_norm_of(double *v, unsigned n, double floor)
{
    struct anomaly_norm norm = {.known = 1};
    double away[ANOMALY_QUOTES];
    sort(v, n);
    norm.middle = middle(v, n);
    for (unsigned i = 0; i < n; i++)
        away[i] = v[i] < norm.middle ? norm.middle - v[i] : v[i] - norm.middle;
    sort(away, n);
    norm.deviation = 1.4826 * middle(away, n);
    if (!(norm.deviation > floor))
        norm.deviation = floor;
    return norm;
}

bool anomaly_beyond(const struct anomaly_norm *norm, double value, double threshold, struct anomaly *a)
{
    if (!norm->known || !(threshold > 0) || value < norm->middle + threshold * norm->deviation)
        return false;
    *a = (struct anomaly){value, norm->middle, (value - norm->middle) / norm->deviation, threshold};
    return true;
}

/* Mean and deviation (n - 1) of prices, from the first of them: differences are exact where the prices are
 * of one market. */
static void mean_of(const int64_t *price, unsigned n, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < n; i++)
        sum += (double)(price[i] - price[0]);
    double from_first = sum / n;
    for (unsigned i = 0; i < n; i++) {
        double d = (double)(price[i] - price[0]) - from_first;
        squares += d * d;
    }
    *mean = (double)price[0] + from_first;
    *deviation = sqrt(squares / (n - 1));
}

bool anomaly_suspect(const struct anomaly_prices *p, int64_t price_e9, int64_t tick_e9, double threshold,
                     struct anomaly *a)
{
    double mean, s;
    if (p->n < ANOMALY_TRADES || !(threshold > 0))
        return false;
    mean_of(p->sorted + ANOMALY_TRIM, ANOMALY_TRADES - 2 * ANOMALY_TRIM, &mean, &s);
    double band = threshold * s + 2.0 * (double)tick_e9, away = (double)price_e9 - mean;
    if ((away < 0 ? -away : away) <= band)
        return false;
    /* as if the whole band were deviations */
    *a = (struct anomaly){(double)price_e9, mean, away / band * threshold, threshold};
    return true;
}

bool anomaly_zscore(const struct anomaly_prices *p, int64_t price_e9, int64_t tick_e9, double threshold,
                    struct anomaly *a)
{
    int64_t point[ANOMALY_POINTS];
    double mean, s;
    if (p->n < ANOMALY_POINTS || !(threshold > 0))
        return false;
    for (unsigned i = 0; i < ANOMALY_POINTS; i++)
        point[i] = p->ring[(p->n - ANOMALY_POINTS + i) % ANOMALY_TRADES];
    mean_of(point, ANOMALY_POINTS, &mean, &s);
    s = s > (double)tick_e9 ? s : (double)tick_e9;
    double z = ((double)price_e9 - mean) / s;
    if (z < threshold && z > -threshold)
        return false;
    *a = (struct anomaly){(double)price_e9, mean, z, threshold};
    return true;
}

bool anomaly_drift_step(struct anomaly_drift *d, const double before[ANOMALY_BARS], double change,
                        double tick, double threshold, struct anomaly *a)
{
    double v[ANOMALY_BARS], up, down;
    if (!(threshold > 0))
        return false;
    memcpy(v, before, sizeof v);
    double s = anomaly_norm_of(v, ANOMALY_BARS, tick).deviation;
    up = d->up + change - 0.5 * s;
    down = d->down - change - 0.5 * s;
    d->up = up > 0 ? up : 0;
    d->down = down > 0 ? down : 0;
    double most = d->up > d->down ? d->up : d->down;
    if (most < threshold * s)
        return false;
    double signed_sum = d->up > d->down ? most : -most;
    *a = (struct anomaly){signed_sum, 0, signed_sum / s, threshold};
    *d = (struct anomaly_drift){0, 0};
    return true;
}

enum anomaly_severity anomaly_severity(const struct anomaly *a)
{
    static const double from[] = {
#define X(name, text, multiple) multiple,
        ANOMALY_SEVERITIES(X)
#undef X
    };
    double ratio = (a->score < 0 ? -a->score : a->score) / a->threshold;
    unsigned i = ANOMALY_SEVERITY_COUNT - 1;
    while (i > 0 && !(ratio >= from[i]))
        i--;
    return (enum anomaly_severity)i;
}

void anomaly_fill(struct msg_anomaly *m, enum anomaly_kind kind, const struct anomaly *a,
                  const struct anomaly_place *place)
{
    XXH128_hash_t id = moment_id(anomaly_rows[kind].type, place->name, place->time_ns, place->k);
    *m = (struct msg_anomaly){.kind = (uint8_t)kind,
                              .severity = (uint8_t)anomaly_severity(a),
                              .price_e9 = place->price_e9,
                              .value = a->value,
                              .expected = a->expected,
                              .score = a->score,
                              .threshold = a->threshold,
                              .id_hi = id.high64,
                              .id_lo = id.low64};
}
