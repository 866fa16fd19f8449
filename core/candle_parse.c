/* Names of candles and of ma_dist_pct, from the metrics' table. */
#include "core/candle.h"
#include "core/decimal.h"

#include <stdio.h>

/* What may be given, for messages: "ema_cross_up(N,M)@T, N and M 1 to 400 bars". */
static int bad_form(enum metric_kind kind, const char *text, size_t len, struct error *err)
{
    const struct metric_row *row = &metric_rows[kind];
    const struct metric_parameters *p = &metric_parameters[kind];
    static const char *const in_brackets[] = {"", "(N)", "(N,M)"}, *const named[] = {"", ", N", ", N and M"};
    if (row->form == FORM_PERCENT)
        return error_set(err, "metric '%.*s': expected %s(P), P 0.01 to %u percent, in hundredths", (int)len,
                         text, row->name, p->max / 100u);
    char range[48] = "";
    if (p->count)
        snprintf(range, sizeof range, "%s 1 to %u bars", named[p->count], p->max);
    return error_set(err, "metric '%.*s': expected %s%s@T%s; T such as 5m, 1h, 1d", (int)len, text, row->name,
                     in_brackets[p->count], range);
}

/* The row of the longest name that text begins with and that ends there. METRIC_KIND_COUNT: none. */
static enum metric_kind kind_of(const char *text, size_t len)
{
    size_t longest = 0;
    enum metric_kind found = METRIC_KIND_COUNT;
    for (enum metric_kind k = 0; k < METRIC_KIND_COUNT; k++) {
        const struct metric_row *row = &metric_rows[k];
        size_t n = strlen(row->name);
        if ((row->form == FORM_BARS || row->form == FORM_PERCENT) && n > longest && n <= len &&
            !memcmp(text, row->name, n) && (n == len || strchr("(_@", text[n]))) {
            longest = n;
            found = k;
        }
    }
    return found;
}

/* A whole number of text[0..len), 1 to max; 0 if it is none. */
static uint16_t count_of(const char *text, size_t len, unsigned max)
{
    unsigned v = 0;
    if (len == 0 || len > 4)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        v = v * 10 + (unsigned)(text[i] - '0');
    }
    return v <= max ? (uint16_t)v : 0;
}

/* "", "(9,20)", "_9_20", "_5m", "_9_20_5m" into m; *timeframe stays what it was if none is there. False if
 * it is none of these. */
static bool take_parameters(const char *text, size_t len, struct metric *m, int *timeframe)
{
    const struct metric_parameters *p = &metric_parameters[m->kind];
    bool call = len > 0 && *text == '(';
    unsigned given = 0;
    if (call && text[len - 1] != ')')
        return false;
    for (size_t at = 0, end; at < len; at = end) {
        if (call && at == len - 1)
            break;
        for (end = at + 1; end < len && !strchr(call ? ",)" : "_", text[end]);)
            end++;
        const char *word = text + at + 1;
        size_t n = end - at - 1;
        int minutes = !call && end == len && *timeframe < 0 ? metric_timeframe(word, n) : -1;
        if (minutes > 0) {
            *timeframe = minutes;
            continue;
        }
        if (given == p->count || !(m->indicator.n[given++] = count_of(word, n, p->max)))
            return false;
    }
    for (unsigned i = 0; given == 0 && !call && i < p->count; i++)
        m->indicator.n[i] = p->standard[i];
    return given == (given || call ? p->count : 0);
}

/* "", "(0.5)" into m. */
static bool take_percent(const char *text, size_t len, struct metric *m)
{
    const struct metric_parameters *p = &metric_parameters[m->kind];
    int64_t v = p->standard[0];
    if (len > 0 && (len < 3 || *text != '(' || text[len - 1] != ')' ||
                    decimal_parse(text + 1, len - 2, 2, &v) != DECIMAL_OK || v < 1 || v > p->max))
        return false;
    m->indicator.hundredths = (uint16_t)v;
    return true;
}

static bool is_average(const struct metric *m)
{
    static const enum indicator_kind averages[] = {INDICATOR_SMA,   INDICATOR_EMA, INDICATOR_EMA_FIRST,
                                                   INDICATOR_SMMA,  INDICATOR_WMA, INDICATOR_HMA,
                                                   INDICATOR_TRIMA, INDICATOR_KAMA};
    for (unsigned i = 0; m->kind == METRIC_INDICATOR && i < sizeof averages / sizeof *averages; i++)
        if (m->indicator.kind == averages[i])
            return true;
    return false;
}

/* ma_dist_pct(ema,50)@5m is of ema(50)@5m; ma_dist_pct_ema_50_5m, ma_dist_ema_50_5m_pct of ema_50_5m. */
static int parse_average(const char *text, size_t len, struct metric *m, struct error *err)
{
    static const char call[] = "ma_dist_pct(", flat[] = "ma_dist_";
    enum { CALL = sizeof call - 1, FLAT = sizeof flat - 1 };
    char name[METRIC_NAME_MAX];
    size_t n;
    if (len > CALL && !memcmp(text, call, CALL)) {
        n = len - CALL;
        memcpy(name, text + CALL, n);
        char *comma = memchr(name, ',', n);
        if (comma)
            *comma = '(';
    } else if (len > FLAT && !memcmp(text, flat, FLAT)) {
        n = len - FLAT;
        memcpy(name, text + FLAT, n);
        name[n] = 0;
        char *pct = n > 4 && !memcmp(name, "pct_", 4) ? name : strstr(name, "_pct");
        if (!pct)
            return 1;
        memmove(pct, pct + 4, n - (size_t)(pct + 4 - name));
        n -= 4;
    } else {
        return 1;
    }
    struct metric x;
    if (metric_parse(name, n, &x, NULL) == 0 && is_average(&x)) {
        *m = x;
        m->kind = METRIC_MA_DIST;
        return 0;
    }
    return error_set(err,
                     "metric '%.*s': expected ma_dist_pct(MA,N)@T or ma_dist_MA_N_T_pct; MA one of sma ema "
                     "ema_first smma wma hma trima kama, N 1 to %d bars, T such as 5m, 1h, 1d",
                     (int)len, text, INDICATOR_PERIOD_MAX);
}

int candle_parse(const char *text, size_t len, struct metric *m, struct error *err)
{
    const char *sign = memchr(text, '@', len);
    size_t base = sign ? (size_t)(sign - text) : len, n;
    int timeframe = sign ? metric_timeframe(sign + 1, len - base - 1) : -1;
    enum metric_kind kind = kind_of(text, base);
    if (kind == METRIC_KIND_COUNT)
        return parse_average(text, len, m, err);
    n = strlen(metric_rows[kind].name);
    struct metric x = {.kind = (uint16_t)kind};
    if (metric_rows[kind].form == FORM_PERCENT
            ? !take_percent(text + n, len - n, &x)
            : (sign && timeframe < 0) || !take_parameters(text + n, base - n, &x, &timeframe))
        return bad_form(kind, text, len, err);
    if (metric_rows[kind].form == FORM_BARS)
        x.timeframe = (uint16_t)(timeframe < 0 ? 1 : timeframe);
    *m = x;
    return 0;
}

void candle_name(const struct metric *m, char out[METRIC_NAME_MAX])
{
    const struct metric_row *row = &metric_rows[m->kind];
    const struct metric_parameters *p = &metric_parameters[m->kind];
    size_t room = METRIC_NAME_MAX, n = (size_t)snprintf(out, room, "%s", row->name);
    if (row->form == FORM_PERCENT) {
        char percent[DECIMAL_TEXT_MAX];
        decimal_format(m->indicator.hundredths, 2, percent);
        snprintf(out + n, room - n, "(%s)", percent);
        return;
    }
    if (row->form == FORM_AVERAGE) {
        char average[INDICATOR_NAME_MAX];
        indicator_name(&m->indicator, average);
        *strchr(average, '(') = ',';
        n += (size_t)snprintf(out + n, room - n, "(%s", average);
    }
    for (unsigned i = 0; i < p->count; i++)
        n += (size_t)snprintf(out + n, room - n, "%c%u%s", i ? ',' : '(', m->indicator.n[i],
                              i + 1 == p->count ? ")" : "");
    if (m->timeframe == METRIC_DAY)
        snprintf(out + n, room - n, "@1d");
    else
        snprintf(out + n, room - n, "@%um", m->timeframe);
}
