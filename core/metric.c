#include "core/metric.h"

#include <stdio.h>

#define X(name_, text, form_, unit_, inputs_, words, help_)                                                  \
    [METRIC_##name_] = {.name = text,                                                                        \
                        .help = help_,                                                                       \
                        .form = FORM_##form_,                                                                \
                        .unit = UNIT_##unit_,                                                                \
                        .inputs = inputs_,                                                                   \
                        .state_words = words},
const struct metric_row metric_rows[METRIC_KIND_COUNT] = {METRICS(X)};
#undef X

const char *const session_names[SESSION_KIND_COUNT] = {"closed", "premarket", "market", "postmarket"};

void metric_name(const struct metric *m, char out[METRIC_NAME_MAX])
{
    const struct metric_row *row = &metric_rows[m->kind];
    switch (row->form) {
    case FORM_PLAIN:
        snprintf(out, METRIC_NAME_MAX, "%s", row->name);
        break;
    case FORM_WINDOW:
        snprintf(out, METRIC_NAME_MAX, "%s_%um", row->name, m->period);
        break;
    case FORM_PERIOD:
        snprintf(out, METRIC_NAME_MAX, "%s(%u)@1m", row->name, m->period);
        break;
    case FORM_SESSION:
        snprintf(out, METRIC_NAME_MAX, "%s(session)", row->name);
        break;
    }
}

/* A run of at most 5 digits at text[*at..len): its value, or -1. */
static int digits(const char *text, size_t len, size_t *at)
{
    int v = 0;
    size_t start = *at;
    while (*at < len && text[*at] >= '0' && text[*at] <= '9' && *at - start < 5)
        v = v * 10 + (text[(*at)++] - '0');
    return *at == start || (*at < len && text[*at] >= '0' && text[*at] <= '9') ? -1 : v;
}

/* The minutes of a length "5m", "1h" that is text[at..len) whole, else -1. */
static int window_minutes(const char *text, size_t len, size_t at)
{
    int n = digits(text, len, &at);
    if (n < 0 || at + 1 != len)
        return -1;
    return text[at] == 'm' ? n : text[at] == 'h' ? n * 60 : -1;
}

static int in_range(struct metric *m, int kind, int period, int max, const char *what, struct error *err)
{
    char name[METRIC_NAME_MAX];
    *m = (struct metric){.kind = (uint16_t)kind, .period = (uint16_t)period};
    if (period >= 1 && period <= max)
        return 0;
    snprintf(name, sizeof name, "%s", metric_rows[kind].name);
    return error_set(err, "metric '%s': %d %s, expected 1 to %d", name, period, what, max);
}

static int unknown_metric(const char *text, size_t len, struct error *err)
{
    static const char *const extra[] = {"volume_5m",  "change_5m",  "change_pct_5m", "trade_count_5m",
                                        "sma(20)@1m", "ema(20)@1m", "rsi(14)@1m",    "vwap(session)"};
    const char *names[METRIC_KIND_COUNT + sizeof extra / sizeof *extra];
    unsigned n = 0;
    for (unsigned k = 0; k < METRIC_KIND_COUNT; k++)
        if (metric_rows[k].form == FORM_PLAIN && k != METRIC_DIFFERENCE)
            names[n++] = metric_rows[k].name;
    for (unsigned k = 0; k < sizeof extra / sizeof *extra; k++)
        names[n++] = extra[k];
    char word[METRIC_NAME_MAX];
    snprintf(word, sizeof word, "%.*s", (int)len, text);
    const char *near = error_nearest(word, names, n);
    return error_set(err, "unknown metric '%s'%s%s%s; `ringtape metrics` lists all", word,
                     near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* name(14), name(14)@1m, vwap(session) */
static int parse_call(const char *text, size_t len, size_t open, struct metric *m, struct error *err)
{
    const char *close = memchr(text + open, ')', len - open);
    if (!close)
        return error_set(err, "metric '%.*s': '(' without ')'", (int)len, text);
    size_t end = (size_t)(close - text);
    if (end + 1 != len) {
        size_t at = end + 2;
        if (text[end + 1] != '@' || window_minutes(text, len, at) != 1)
            return error_set(err, "metric '%.*s': '%.*s' after ')', expected '@1m' (bars of one minute)",
                             (int)len, text, (int)(len - end - 1), text + end + 1);
    }
    size_t at = open + 1;
    for (int k = 0; k < METRIC_KIND_COUNT; k++) {
        const struct metric_row *row = &metric_rows[k];
        if (strlen(row->name) != open || memcmp(row->name, text, open))
            continue;
        if (row->form == FORM_SESSION) {
            if (end - at != 7 || memcmp(text + at, "session", 7))
                return error_set(err, "metric '%.*s': '%.*s', expected 'session'", (int)len, text,
                                 (int)(end - at), text + at);
            *m = (struct metric){.kind = (uint16_t)k};
            return 0;
        }
        if (row->form == FORM_PERIOD) {
            int n = digits(text, end, &at);
            if (n < 0 || at != end)
                return error_set(err, "metric '%.*s': '%.*s', expected a whole number of bars, 1 to %d",
                                 (int)len, text, (int)(end - open - 1), text + open + 1, METRIC_PERIOD_MAX);
            return in_range(m, k, n, METRIC_PERIOD_MAX, "bars", err);
        }
    }
    return unknown_metric(text, len, err);
}

int metric_parse(const char *text, size_t len, struct metric *m, struct error *err)
{
    if (len == 0 || len >= METRIC_NAME_MAX)
        return unknown_metric(text, len < METRIC_NAME_MAX ? len : METRIC_NAME_MAX - 1, err);
    const char *open = memchr(text, '(', len);
    if (open)
        return parse_call(text, len, (size_t)(open - text), m, err);
    for (int k = 0; k < METRIC_KIND_COUNT; k++) {
        const struct metric_row *row = &metric_rows[k];
        size_t n = strlen(row->name);
        if (k == METRIC_DIFFERENCE || n > len || memcmp(row->name, text, n))
            continue;
        if (row->form == FORM_PLAIN && n == len) {
            *m = (struct metric){.kind = (uint16_t)k};
            return 0;
        }
        if (n + 1 >= len || text[n] != '_')
            continue;
        size_t at = n + 1;
        int minutes = window_minutes(text, len, at);
        if (row->form == FORM_WINDOW && minutes >= 0)
            return in_range(m, k, minutes, METRIC_WINDOW_MAX, "minutes", err);
        if (row->form == FORM_PERIOD) { /* rsi_14, rsi_14_1m */
            int bars = digits(text, len, &at);
            if (bars >= 0 && (at == len || (text[at] == '_' && window_minutes(text, len, at + 1) == 1)))
                return in_range(m, k, bars, METRIC_PERIOD_MAX, "bars", err);
        }
    }
    /* the plans' name price_change_5m_pct is change_pct_5m */
    if (len > 17 && !memcmp(text, "price_change_", 13) && !memcmp(text + len - 4, "_pct", 4)) {
        int minutes = window_minutes(text, len - 4, 13);
        if (minutes >= 0)
            return in_range(m, METRIC_CHANGE_PCT, minutes, METRIC_WINDOW_MAX, "minutes", err);
    }
    return unknown_metric(text, len, err);
}
