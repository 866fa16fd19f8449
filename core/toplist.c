#include "core/toplist.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define X(name, text, ...) text,
const char *const toplist_window_names[TOPLIST_WINDOW_COUNT] = {TOPLIST_WINDOWS(X)};
const char *const toplist_metric_names[TOPLIST_METRIC_COUNT] = {TOPLIST_METRICS(X)};
#undef X

const struct toplist_filter toplist_no_filter = {NAN, NAN, NAN, NAN, NAN, NAN, KEY_UNKNOWN};

static const char *const metric_of[TOPLIST_METRIC_COUNT][TOPLIST_WINDOW_COUNT] = {
#define X(name, text, ...) {__VA_ARGS__},
    TOPLIST_METRICS(X)
#undef X
};

static const struct {
    const char *id;
    enum toplist_metric metric;
    enum toplist_window window;
    bool ascending;
} system_lists[TOPLIST_SYSTEM_COUNT] = {
#define X(id, metric, window, ascending) {id, TOPLIST_##metric, TOPLIST_##window, ascending},
    TOPLIST_SYSTEM(X)
#undef X
};

int toplist_find(const char *id, struct toplist *t, struct error *err)
{
    const char *ids[TOPLIST_SYSTEM_COUNT];
    for (unsigned i = 0; i < TOPLIST_SYSTEM_COUNT; i++) {
        ids[i] = system_lists[i].id;
        if (strcmp(ids[i], id))
            continue;
        *t = (struct toplist){.metric = system_lists[i].metric,
                              .window = system_lists[i].window,
                              .ascending = system_lists[i].ascending,
                              .filter = toplist_no_filter};
        snprintf(t->id, sizeof t->id, "%s", id);
        return 0;
    }
    const char *near = error_nearest(id, ids, TOPLIST_SYSTEM_COUNT);
    return error_set(err, "there is no toplist '%.60s'%s%s%s", id, near ? ": did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
}

const char *toplist_metric_name(enum toplist_metric metric, enum toplist_window window)
{
    return metric_of[metric][window];
}

static void parse(const char *name, struct metric *m)
{
    struct error err;
    int bad = metric_parse(name, strlen(name), m, &err);
    assert(!bad); /* the tables name metrics */
}

void toplist_metrics(const struct toplist *t, struct metric metric[RANK_VALUES])
{
    parse(toplist_metric_name(t->metric, t->window), &metric[RANK_VALUE]);
    parse("price", &metric[RANK_PRICE]);
    parse("volume_daily", &metric[RANK_DAY_VOLUME]);
    parse(toplist_metric_name(TOPLIST_CHANGE_PCT, t->window), &metric[RANK_CHANGE_PCT]);
    parse("market_cap", &metric[RANK_MARKET_CAP]);
    parse("exchange", &metric[RANK_EXCHANGE]);
}

void toplist_columns(struct metric metric[TOPLIST_COLUMNS])
{
    for (unsigned c = 0; c < TOPLIST_PRICE; c++)
        parse(toplist_metric_name(c / TOPLIST_WINDOW_COUNT, c % TOPLIST_WINDOW_COUNT), &metric[c]);
    parse("price", &metric[TOPLIST_PRICE]);
    parse("market_cap", &metric[TOPLIST_MARKET_CAP]);
    parse("exchange", &metric[TOPLIST_EXCHANGE]);
}

static unsigned column_of(enum toplist_metric metric, enum toplist_window window)
{
    return metric * TOPLIST_WINDOW_COUNT + window;
}

void toplist_pick(const struct toplist *t, const double column[TOPLIST_COLUMNS], double value[RANK_VALUES])
{
    value[RANK_VALUE] = column[column_of(t->metric, t->window)];
    value[RANK_PRICE] = column[TOPLIST_PRICE];
    value[RANK_DAY_VOLUME] = column[column_of(TOPLIST_VOLUME, TOPLIST_1D)];
    value[RANK_CHANGE_PCT] = column[column_of(TOPLIST_CHANGE_PCT, t->window)];
    value[RANK_MARKET_CAP] = column[TOPLIST_MARKET_CAP];
    value[RANK_EXCHANGE] = column[TOPLIST_EXCHANGE];
}

static uint32_t key_of(const struct toplist_keys *k, const struct metric *m)
{
    uint32_t i = 0;
    while (i < k->n && !metric_same(&k->metric[i], m))
        i++;
    return i;
}

int toplist_keys_add(struct toplist_keys *k, const char *text, struct error *err)
{
    struct expr x;
    unsigned words = 0;
    if (expr_parse_instant(text, strlen(text), &x, err) < 0)
        return -1;
    for (unsigned i = 0; i < x.n_operands; i++) {
        if (key_of(k, &x.operand[i]) < k->n)
            continue;
        if (k->n == TOPLIST_KEYS_MAX)
            return error_set(err,
                             "found more than %d metrics in the expressions of all lists, expected fewer",
                             TOPLIST_KEYS_MAX);
        k->metric[k->n++] = x.operand[i];
    }
    for (uint32_t i = 0; i < k->n; i++)
        words += metric_words(&k->metric[i]);
    return words <= TOPLIST_STATE_WORDS_MAX
               ? 0
               : error_set(err,
                           "found metrics in the expressions of all lists that keep %u numbers of each "
                           "symbol, expected at most %d: fewer metrics, or shorter periods",
                           words, TOPLIST_STATE_WORDS_MAX);
}

int toplist_condition(struct toplist_condition *c, const char *text, const struct toplist_keys *k,
                      struct error *err)
{
    c->expr.n_nodes = c->expr.n_operands = 0;
    if (*text && expr_parse_instant(text, strlen(text), &c->expr, err) < 0)
        return -1;
    for (unsigned i = 0; i < c->expr.n_operands; i++) {
        uint32_t at = key_of(k, &c->expr.operand[i]);
        char name[METRIC_NAME_MAX];
        if (at == k->n) {
            metric_name(&c->expr.operand[i], name);
            return error_set(err,
                             "found %s, which the instance was not asked to keep for toplists when it was "
                             "started: start it again",
                             name);
        }
        c->at[i] = (uint8_t)at;
    }
    return 0;
}

bool toplist_meets(const struct toplist_condition *c, const int64_t *key)
{
    int64_t operand[ALERT_OPERANDS_MAX];
    for (unsigned i = 0; i < c->expr.n_operands; i++)
        operand[i] = key[c->at[i]];
    return c->expr.n_nodes == 0 || expr_holds(&c->expr, operand);
}

/* The bound is none, or the value reaches it. */
static bool at_least(double value, double bound)
{
    return isnan(bound) || value >= bound;
}

/* An unknown text, a NaN, has the bits of none. */
static bool is_text(double value, int64_t key)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return key == KEY_UNKNOWN || bits == key;
}

bool toplist_takes(const struct toplist *t, const struct toplist_row *row)
{
    const struct toplist_filter *f = &t->filter;
    const double *v = row->value;
    return !isnan(v[RANK_VALUE]) && at_least(v[RANK_DAY_VOLUME], f->min_volume) &&
           at_least(v[RANK_CHANGE_PCT], f->min_change_pct) && at_least(v[RANK_PRICE], f->price_min) &&
           at_least(-v[RANK_PRICE], -f->price_max) && at_least(v[RANK_MARKET_CAP], f->market_cap_min) &&
           at_least(-v[RANK_MARKET_CAP], -f->market_cap_max) && is_text(v[RANK_EXCHANGE], f->exchange);
}

bool toplist_before(const struct toplist *t, const struct toplist_row *a, const struct toplist_row *b)
{
    double x = a->value[RANK_VALUE], y = b->value[RANK_VALUE];
    if (x != y)
        return t->ascending ? x < y : x > y;
    uint32_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
    int order = memcmp(a->name, b->name, n);
    return order ? order < 0 : a->name_len < b->name_len;
}

/* The last of the rows is at the top: a heap from `at` down to n. */
static void sink_down(struct toplist_ranking *r, uint32_t at, uint32_t n)
{
    struct toplist_row x = r->row[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && toplist_before(r->list, &r->row[child], &r->row[child + 1]))
            child++;
        if (!toplist_before(r->list, &x, &r->row[child]))
            break;
        r->row[at] = r->row[child];
    }
    r->row[at] = x;
}

void toplist_offer(struct toplist_ranking *r, const struct toplist_row *row)
{
    if (!toplist_takes(r->list, row) || r->limit == 0)
        return;
    if (r->n < r->limit) {
        uint32_t at = r->n++;
        for (uint32_t up; at && toplist_before(r->list, &r->row[up = (at - 1) / 2], row); at = up)
            r->row[at] = r->row[up];
        r->row[at] = *row;
    } else if (toplist_before(r->list, row, &r->row[0])) {
        r->row[0] = *row;
        sink_down(r, 0, r->n);
    }
}

void toplist_sort(struct toplist_ranking *r)
{
    for (uint32_t n = r->n; n > 1; n--) {
        struct toplist_row last = r->row[0];
        r->row[0] = r->row[n - 1];
        r->row[n - 1] = last;
        sink_down(r, 0, n - 1);
    }
}
