#include "core/candle.h"

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

#define X(kind, made_of, warm_up) [METRIC_##kind] = {made_of, warm_up},
static const struct metric_origin origins[METRIC_KIND_COUNT] = {METRIC_ORIGINS(X)};
#undef X

#define X(kind, count, max, ...) [METRIC_##kind] = {count, max, {__VA_ARGS__}},
const struct metric_parameters metric_parameters[METRIC_KIND_COUNT] = {METRIC_PARAMETERS(X)};
#undef X

struct metric_origin metric_origin(enum metric_kind kind)
{
    const struct metric_row *row = &metric_rows[kind];
    if (origins[kind].made_of)
        return origins[kind];
    if (row->inputs & INPUT_QUOTE)
        return (struct metric_origin){"quotes", "a quote"};
    if (row->inputs == INPUT_BAR)
        return (struct metric_origin){"minute bars", "an ended bar"};
    return (struct metric_origin){
        row->form == FORM_WINDOW || row->form == FORM_SPAN ? "minute bars" : "trades", "a trade"};
}

const char *const session_names[SESSION_KIND_COUNT] = {"closed", "premarket", "market", "postmarket"};

unsigned metric_inputs(const struct metric *m)
{
    if (m->kind != METRIC_INDICATOR)
        return metric_rows[m->kind].inputs;
    return indicator_moves(&m->indicator) == MOVES_VOLUME ? INPUT_TRADE : INPUT_PRICE;
}

unsigned metric_words(const struct metric *m)
{
    if (metric_has_indicator(m))
        return indicator_words(&m->indicator);
    return metric_is_pushed(m) ? candle_words(m) : metric_rows[m->kind].state_words;
}

void metric_name(const struct metric *m, char out[METRIC_NAME_MAX])
{
    const struct metric_row *row = &metric_rows[m->kind];
    bool hours = m->period >= 60 && m->period % 60 == 0;
    unsigned span = hours ? m->period / 60 : m->period;
    switch (row->form) {
    case FORM_PLAIN:
        snprintf(out, METRIC_NAME_MAX, "%s", row->name);
        break;
    case FORM_WINDOW:
    case FORM_TIMEFRAME:
        snprintf(out, METRIC_NAME_MAX, "%s_%um", row->name, m->period + m->timeframe);
        break;
    case FORM_DAYS:
    case FORM_MONTHS:
        if (m->period == METRIC_DAYS_MAX)
            snprintf(out, METRIC_NAME_MAX, "%s_1y", row->name);
        else if (row->form == FORM_MONTHS)
            snprintf(out, METRIC_NAME_MAX, "%s_%um", row->name, m->period / METRIC_MONTH_DAYS);
        else
            snprintf(out, METRIC_NAME_MAX, "%s_%ud", row->name, m->period);
        break;
    case FORM_SPAN:
        snprintf(out, METRIC_NAME_MAX, "%s(%u%c)", row->name, span, hours ? 'h' : 'm');
        break;
    case FORM_INDICATOR: {
        char name[INDICATOR_NAME_MAX];
        indicator_name(&m->indicator, name);
        if (m->timeframe == METRIC_DAY)
            snprintf(out, METRIC_NAME_MAX, "%s@1d", name);
        else
            snprintf(out, METRIC_NAME_MAX, "%s@%um", name, m->timeframe);
        break;
    }
    case FORM_SESSION:
        snprintf(out, METRIC_NAME_MAX, "%s(session)", row->name);
        break;
    case FORM_TRADES:
        snprintf(out, METRIC_NAME_MAX, "%s(%u trades)", row->name, m->period);
        break;
    case FORM_SECONDS:
        snprintf(out, METRIC_NAME_MAX, "%s(%us)", row->name, m->period);
        break;
    case FORM_BARS:
    case FORM_AVERAGE:
    case FORM_PERCENT:
        candle_name(m, out);
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

/* The seconds of "60s", "5m", "1h", else -1. */
static int window_seconds(const char *text, size_t len, size_t at)
{
    size_t end = at;
    int n = digits(text, len, &end), minutes = window_minutes(text, len, at);
    if (n >= 0 && end + 1 == len && text[end] == 's')
        return n;
    return minutes < 0 ? -1 : minutes * 60;
}

/* The number of "20 trades", else -1. */
static int window_trades(const char *text, size_t len, size_t at)
{
    int n = digits(text, len, &at);
    return n >= 0 && len - at == 7 && !memcmp(text + at, " trades", 7) ? n : -1;
}

/* The trading days of a length "5d", "1y" that is text[at..len) whole, where months count also "3m"; else -1.
 */
static int window_days(const char *text, size_t len, size_t at, bool months)
{
    int n = digits(text, len, &at);
    if (n < 0 || at + 1 != len)
        return -1;
    if (text[at] == 'y')
        return n * METRIC_DAYS_MAX;
    if (months)
        return text[at] == 'm' ? n * METRIC_MONTH_DAYS : -1;
    return text[at] == 'd' ? n : -1;
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
    static const char *const extra[] = {"volume_5m",
                                        "change_5m",
                                        "change_pct_5m",
                                        "trade_count_5m",
                                        "range_5m",
                                        "range_pct_5m",
                                        "position_in_range_5m",
                                        "vwap_dist_5m",
                                        "dollar_volume_5m",
                                        "relative_volume_5m",
                                        "sma(20)@1m",
                                        "ema(20)@1m",
                                        "rsi(14)@1m",
                                        "vwap(session)",
                                        "vwap(5m)",
                                        "volume_avg(5m)",
                                        "dev(20 trades)",
                                        "change_over(60s)",
                                        "change_pct_5d",
                                        "avg_volume_10d",
                                        "range_5d",
                                        "range_pct_5d",
                                        "position_in_range_1y",
                                        "biggest_range_3m",
                                        "rsi(14)@1d",
                                        "sma(50)@1d",
                                        "atr(14)@1d",
                                        "ma_dist_pct(ema,50)@5m",
                                        "opening_range_breakout_15m",
                                        "opening_range_breakdown_15m"};
    const char *names[METRIC_KIND_COUNT + sizeof extra / sizeof *extra];
    unsigned n = 0;
    for (unsigned k = 0; k < METRIC_KIND_COUNT; k++)
        if ((metric_rows[k].form == FORM_PLAIN && k != METRIC_DIFFERENCE) ||
            metric_rows[k].form == FORM_BARS || metric_rows[k].form == FORM_PERCENT)
            names[n++] = metric_rows[k].name;
    for (unsigned k = 0; k < sizeof extra / sizeof *extra; k++)
        names[n++] = extra[k];
    char word[METRIC_NAME_MAX];
    snprintf(word, sizeof word, "%.*s", (int)len, text);
    const char *near = error_nearest(word, names, n);
    return error_set(err, "unknown metric '%s'%s%s%s; `ringtape metrics` lists all", word,
                     near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* name(ARGUMENT) of a row that is no indicator: 0, 1 if there is none of this form, -1 with err. */
static int parse_call(const char *text, size_t len, struct metric *m, struct error *err)
{
    const char *open = memchr(text, '(', len);
    if (!open || text[len - 1] != ')')
        return 1;
    size_t n = (size_t)(open - text), at = n + 1, end = len - 1;
    for (int k = 0; k < METRIC_KIND_COUNT; k++) {
        const struct metric_row *row = &metric_rows[k];
        int value;
        if (strlen(row->name) != n || memcmp(row->name, text, n))
            continue;
        if (row->form == FORM_SESSION && end - at == 7 && !memcmp(text + at, "session", 7)) {
            *m = (struct metric){.kind = (uint16_t)k};
            return 0;
        }
        if (row->form == FORM_SPAN && (value = window_minutes(text, end, at)) >= 0)
            return in_range(m, k, value, METRIC_WINDOW_MAX, "minutes", err);
        if (row->form == FORM_TRADES && (value = window_trades(text, end, at)) >= 0)
            return in_range(m, k, value, METRIC_TRADES_MAX, "trades", err);
        if (row->form == FORM_SECONDS && (value = window_seconds(text, end, at)) >= 0)
            return in_range(m, k, value, METRIC_SECONDS_MAX, "seconds", err);
    }
    return 1;
}

static bool is_timeframe(int minutes)
{
    static const int known[] = METRIC_TIMEFRAMES;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] == minutes)
            return true;
    return false;
}

int metric_timeframe(const char *text, size_t len)
{
    int minutes = window_minutes(text, len, 0);
    if ((len == 2 && !memcmp(text, "1d", 2)) || (len == 5 && !memcmp(text, "daily", 5)))
        return METRIC_DAY;
    return is_timeframe(minutes) ? minutes : -1;
}

/* A row without parameters, or of clock minutes or trading days, vwap_5m and vwap_session: as parse_call. */
static int parse_plain(const char *text, size_t len, struct metric *m, struct error *err)
{
    for (int k = 0; k < METRIC_KIND_COUNT; k++) {
        const struct metric_row *row = &metric_rows[k];
        size_t n = strlen(row->name);
        if (n == 0 || k == METRIC_DIFFERENCE || n > len || memcmp(row->name, text, n))
            continue;
        if (row->form == FORM_PLAIN && n == len) {
            *m = (struct metric){.kind = (uint16_t)k};
            return 0;
        }
        int minutes = n + 1 < len && text[n] == '_' ? window_minutes(text, len, n + 1) : -1;
        if (row->form == FORM_SESSION && len == n + 8 && !memcmp(text + n, "_session", 8)) {
            *m = (struct metric){.kind = (uint16_t)k};
            return 0;
        }
        if ((row->form == FORM_WINDOW || row->form == FORM_SPAN) && minutes >= 0)
            return in_range(m, k, minutes, METRIC_WINDOW_MAX, "minutes", err);
        bool months = row->form == FORM_MONTHS;
        int days = n + 1 < len && text[n] == '_' && (months || row->form == FORM_DAYS)
                       ? window_days(text, len, n + 1, months)
                       : -1;
        if (days >= 0)
            return in_range(m, k, days, METRIC_DAYS_MAX, "days", err);
        if (row->form == FORM_TIMEFRAME && minutes >= 0) {
            *m = (struct metric){.kind = (uint16_t)k, .timeframe = (uint16_t)minutes};
            return is_timeframe(minutes)
                       ? 0
                       : error_set(err,
                                   "metric '%.*s': %d minutes, expected 1, 2, 5, 10, 15, 30, 60, 120 or 240",
                                   (int)len, text, minutes);
        }
    }
    return 1;
}

/* NAME_5m_pct is NAME_pct_5m, of days and today too, and the plans' price_change_5m and price_change_5m_pct
 * are change_5m and change_pct_5m: as parse_call. */
static int parse_pct(const char *text, size_t len, struct metric *m, struct error *err)
{
    char name[METRIC_NAME_MAX];
    size_t plan = len > 13 && !memcmp(text, "price_change_", 13) ? 6 : 0, at = len;
    if (len < 8 || memcmp(text + len - 4, "_pct", 4))
        return plan ? parse_plain(text + plan, len - plan, m, err) : 1;
    for (at = len - 5; at > 0 && text[at] != '_';)
        at--;
    bool today = len - 5 - at == 5 && !memcmp(text + at + 1, "today", 5);
    if (at <= plan || (!today && window_minutes(text, len - 4, at + 1) < 0 &&
                       window_days(text, len - 4, at + 1, false) < 0))
        return 1;
    int n = snprintf(name, sizeof name, "%.*s_pct_%.*s", (int)(at - plan), text + plan, (int)(len - 5 - at),
                     text + at + 1);
    return n > 0 && (size_t)n < sizeof name ? parse_plain(name, (size_t)n, m, err) : 1;
}

static int parse_indicator(const char *text, size_t len, int timeframe, struct metric *m, struct error *err)
{
    struct indicator x = {0};
    int rc = indicator_parse(text, len, &x, err);
    if (rc == 0) {
        *m = (struct metric){.kind = METRIC_INDICATOR, .timeframe = (uint16_t)timeframe};
        m->indicator = x;
    }
    return rc;
}

/* rsi(14)@5m, rsi_14_5m, rsi(14): as parse_call. */
static int parse_of_bars(const char *text, size_t len, struct metric *m, struct error *err)
{
    const char *sign = memchr(text, '@', len);
    size_t base = sign ? (size_t)(sign - text) : len, at = len;
    int minutes = sign ? metric_timeframe(sign + 1, len - base - 1) : 1;
    if (sign && minutes < 0)
        return error_set(
            err, "metric '%.*s': '%.*s', expected a timeframe: @1m @2m @5m @10m @15m @30m @1h @2h @4h @1d",
            (int)len, text, (int)(len - base), text + base);
    if (sign)
        return parse_indicator(text, base, minutes, m, err);
    while (at > 0 && text[at - 1] != '_')
        at--;
    minutes = at > 1 ? metric_timeframe(text + at, len - at) : -1;
    if (minutes > 0 && parse_indicator(text, at - 1, minutes, m, err) == 0)
        return 0;
    return parse_indicator(text, len, 1, m, err);
}

int metric_parse(const char *given, size_t given_len, struct metric *m, struct error *err)
{
    int rc = 1;
    char text[METRIC_NAME_MAX];
    size_t len = indicator_close_up(given, given_len, text, sizeof text);
    if (len == 0 || len >= METRIC_NAME_MAX)
        return unknown_metric(given, given_len < METRIC_NAME_MAX ? given_len : METRIC_NAME_MAX - 1, err);
    if (!memchr(text, '@', len) && (rc = parse_call(text, len, m, err)) > 0 &&
        (rc = parse_plain(text, len, m, err)) > 0)
        rc = parse_pct(text, len, m, err);
    if (rc > 0 && (rc = candle_parse(text, len, m, err)) > 0)
        rc = parse_of_bars(text, len, m, err);
    return rc > 0 ? unknown_metric(text, len, err) : rc;
}
