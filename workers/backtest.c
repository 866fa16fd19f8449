#include "workers/backtest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/decimal.h"
#include "net/csv.h"
#include "net/text.h"

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

/* ---- reckoning */

/* Alerts as indices, those of one rule together and in their order. */
struct by_rule {
    uint32_t *index;
    size_t *start; /* of a rule's; start[rules] is the end of the last */
};

static void sort_by_rule(const struct backtest *b, struct by_rule *o)
{
    const struct forward_alert *a = forward_alerts(b->forward);
    size_t n = forward_alert_count(b->forward);
    size_t *next = must(calloc(b->n_rules + 1u, sizeof *next));
    o->index = must(calloc(n + 1, sizeof *o->index));
    o->start = must(calloc(b->n_rules + 1u, sizeof *o->start));
    for (size_t i = 0; i < n; i++)
        o->start[a[i].rule + 1]++;
    for (uint32_t r = 0; r < b->n_rules; r++)
        next[r + 1] = o->start[r + 1] += o->start[r];
    for (size_t i = 0; i < n; i++)
        o->index[next[a[i].rule]++] = (uint32_t)i;
    free(next);
}

static void reckon_group(const struct backtest *b, struct backtest_group *g, const uint32_t *index, size_t n,
                         double *room, bool *fired)
{
    static uint64_t count[RETURN_BINS];
    const struct forward_alert *a = forward_alerts(b->forward);
    memset(fired, 0, forward_symbol_count(b->forward) * sizeof *fired);
    g->alerts = n;
    for (size_t i = 0; i < n; i++) {
        g->symbols += !fired[a[index[i]].symbol];
        fired[a[index[i]].symbol] = true;
    }
    for (int h = 0; h < FORWARD_HORIZONS; h++) {
        size_t got = 0;
        for (size_t i = 0; i < n; i++)
            got += forward_return(&a[index[i]], (enum forward_horizon)h, &room[got]);
        g->at[h].none = n - got;
        return_stats_of(room, got, &g->at[h].alerts);
        forward_baseline(b->forward, fired, (enum forward_horizon)h, &g->at[h].baseline, count);
    }
}

static void reckon_groups(struct backtest *b)
{
    struct by_rule order;
    size_t n = forward_alert_count(b->forward);
    double *room = must(calloc(n + 1, sizeof *room));
    bool *fired = must(calloc(forward_symbol_count(b->forward) + 1u, sizeof *fired));
    b->group = must(calloc(b->n_rules + 1u, sizeof *b->group));
    sort_by_rule(b, &order);
    for (uint32_t i = 0; i < b->n_rules; i++) {
        const struct event_rule *rule = rule_names_get(b->names, i);
        b->group[i].id = rule ? rule->id : ""; /* a slot whose rule was refused */
        b->group[i].name = rule ? rule->name : "";
        reckon_group(b, &b->group[i], order.index + order.start[i], order.start[i + 1] - order.start[i], room,
                     fired);
    }
    reckon_group(b, &b->group[b->n_rules], order.index, n, room, fired);
    for (size_t i = 0; i < forward_withdrawn_count(b->forward); i++)
        b->group[forward_alerts(b->forward)[n + i].rule].withdrawn++;
    b->group[b->n_rules].withdrawn = forward_withdrawn_count(b->forward);
    free(order.index);
    free(order.start);
    free(fired);
    free(room);
}

void backtest_reckon(struct backtest *b, uint32_t rule_slots)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    for (uint32_t i = 0; i < rule_slots; i++)
        b->n_rules = rule_names_get(b->names, i) ? i + 1 : b->n_rules;
    reckon_groups(b);
    for (size_t i = 0; i < days; i++)
        b->trades += day[i].trades;
    for (uint32_t i = 0; i < forward_symbol_count(b->forward); i++) {
        uint32_t traded = forward_symbol_days(b->forward, i);
        b->symbol_days += traded;
        b->symbols += traded > 0;
    }
}

void backtest_free(struct backtest *b)
{
    free(b->group);
    b->group = NULL;
}

uint64_t backtest_day_alerts(const struct backtest *b, int64_t day)
{
    const struct forward_alert *a = forward_alerts(b->forward);
    uint64_t n = 0;
    for (size_t i = 0; i < forward_alert_count(b->forward); i++)
        n += a[i].day == day;
    return n;
}

uint64_t *backtest_symbol_alerts(const struct backtest *b)
{
    const struct forward_alert *a = forward_alerts(b->forward);
    uint64_t *n = must(calloc(forward_symbol_count(b->forward) + 1u, sizeof *n));
    for (size_t i = 0; i < forward_alert_count(b->forward); i++)
        n[a[i].symbol]++;
    return n;
}

double backtest_rate(uint64_t alerts, uint64_t of)
{
    return of ? (double)alerts / (double)of : 0;
}

void backtest_date(int64_t day, char out[16])
{
    char time[DECIMAL_TEXT_MAX];
    decimal_format_time(day * INT64_C(86400000000000), time);
    snprintf(out, 16, "%.10s", time);
}

/* ---- the table */

static void percent(FILE *out, bool there, double r)
{
    if (there)
        fprintf(out, " %9.4f", 100 * r);
    else
        fprintf(out, " %9s", "-");
}

static void table_row(FILE *out, const char *what, const struct return_stats *s, const uint64_t *none)
{
    fprintf(out, "  %-10s %10" PRIu64, what, s->n);
    if (none)
        fprintf(out, " %8" PRIu64, *none);
    else
        fprintf(out, " %8s", "");
    if (s->n)
        fprintf(out, " %7.2f", 100 * s->hit_rate);
    else
        fprintf(out, " %7s", "-");
    percent(out, s->n > 0, s->mean);
    percent(out, s->n > 0, s->median);
    percent(out, s->n > 1, s->stdev);
    percent(out, s->n > 0, s->best);
    percent(out, s->n > 0, s->worst);
    fputc('\n', out);
}

static void table_group(const struct backtest *b, const struct backtest_group *g, FILE *out)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    fprintf(out, "\n%s%s%s: %" PRIu64 " alerts, %.2f a day, %.3f a symbol and day; %u symbols",
            g->id ? g->id : "TOTAL", g->id ? "  " : "", g->id ? g->name : "", g->alerts,
            backtest_rate(g->alerts, days), backtest_rate(g->alerts, b->symbol_days), g->symbols);
    if (g->withdrawn)
        fprintf(out, "; %" PRIu64 " more withdrawn", g->withdrawn);
    fputc('\n', out);
    if (g->alerts == 0)
        return;
    fprintf(out, "  %-10s %10s %8s %7s %9s %9s %9s %9s %9s\n", "HORIZON", "RETURNS", "NONE", "HIT %",
            "MEAN %", "MEDIAN %", "STDEV %", "BEST %", "WORST %");
    for (int h = 0; h < FORWARD_HORIZONS; h++) {
        table_row(out, forward_names[h], &g->at[h].alerts, &g->at[h].none);
        table_row(out, "  baseline", &g->at[h].baseline, NULL);
    }
}

void backtest_table(const struct backtest *b, FILE *out)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    char first[16], last[16];
    backtest_date(day[0].day, first);
    backtest_date(day[days - 1].day, last);
    fprintf(out, "%zu trading day%s, %s to %s; %" PRIu64 " symbols, %" PRIu64 " trades, %" PRIu64 " alerts\n",
            days, days == 1 ? "" : "s", first, last, b->symbols, b->trades, b->group[b->n_rules].alerts);
    for (uint32_t i = 0; i <= b->n_rules; i++)
        table_group(b, &b->group[i], out);
    fputs("\nBaseline: every minute of the symbols that fired. NONE: the day or the data ended before.\n",
          out);
}

/* ---- JSON */

static void json_real(struct text *t, const char *key, bool there, double value)
{
    if (there)
        text_printf(t, ",\"%s\":%.17g", key, value);
    else
        text_printf(t, ",\"%s\":null", key);
}

static void json_stats(struct text *t, const struct return_stats *s)
{
    text_printf(t, "\"n\":%" PRIu64, s->n);
    json_real(t, "hit_rate", s->n > 0, s->hit_rate);
    json_real(t, "mean", s->n > 0, s->mean);
    json_real(t, "median", s->n > 0, s->median);
    json_real(t, "stdev", s->n > 1, s->stdev);
    json_real(t, "best", s->n > 0, s->best);
    json_real(t, "worst", s->n > 0, s->worst);
}

static void json_group(const struct backtest *b, struct text *t, const struct backtest_group *g)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    text_printf(t, "{");
    if (g->id) {
        text_printf(t, "\"rule_id\":");
        text_json(t, g->id);
        text_printf(t, ",\"rule_name\":");
        text_json(t, g->name);
        text_printf(t, ",");
    }
    text_printf(t, "\"alerts\":%" PRIu64 ",\"withdrawn\":%" PRIu64 ",\"symbols\":%u", g->alerts, g->withdrawn,
                g->symbols);
    json_real(t, "alerts_per_day", true, backtest_rate(g->alerts, days));
    json_real(t, "alerts_per_symbol_day", true, backtest_rate(g->alerts, b->symbol_days));
    text_printf(t, ",\"horizons\":[");
    for (int h = 0; h < FORWARD_HORIZONS; h++) {
        text_printf(t, "%s{\"horizon\":\"%s\",\"none\":%" PRIu64 ",", h ? "," : "", forward_names[h],
                    g->at[h].none);
        json_stats(t, &g->at[h].alerts);
        text_printf(t, ",\"baseline\":{");
        json_stats(t, &g->at[h].baseline);
        text_printf(t, "}}");
    }
    text_printf(t, "]}");
}

static void json_days(const struct backtest *b, struct text *t)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    for (size_t i = 0; i < days; i++) {
        char date[16];
        backtest_date(day[i].day, date);
        text_printf(t, "%s{\"date\":\"%s\",\"trades\":%" PRIu64 ",\"alerts\":%" PRIu64 "}", i ? "," : "",
                    date, day[i].trades, backtest_day_alerts(b, day[i].day));
    }
}

static void json_symbols(const struct backtest *b, struct text *t)
{
    uint64_t *alerts = backtest_symbol_alerts(b);
    bool first = true;
    for (uint32_t i = 0; i < forward_symbol_count(b->forward); i++) {
        uint32_t days = forward_symbol_days(b->forward, i);
        if (days == 0)
            continue;
        text_printf(t, "%s{\"symbol\":", first ? "" : ",");
        text_json(t, stream_symbol(b->stream, i)->name);
        text_printf(t, ",\"days\":%u,\"alerts\":%" PRIu64 ",\"alerts_per_day\":%.17g}", days, alerts[i],
                    backtest_rate(alerts[i], days));
        first = false;
    }
    free(alerts);
}

void backtest_json(const struct backtest *b, FILE *out)
{
    struct text t = {0};
    text_printf(&t, "{\"rules_file\":");
    text_json(&t, b->rules_file);
    text_printf(&t, ",\"sources\":[");
    for (unsigned i = 0; i < b->n_sources; i++) {
        text_printf(&t, i ? "," : "");
        text_json(&t, b->sources[i]);
    }
    text_printf(&t, "],\"trades\":%" PRIu64 ",\"symbol_days\":%" PRIu64 ",\"rules\":[", b->trades,
                b->symbol_days);
    for (uint32_t i = 0; i < b->n_rules; i++) {
        text_printf(&t, i ? "," : "");
        json_group(b, &t, &b->group[i]);
    }
    text_printf(&t, "],\"total\":");
    json_group(b, &t, &b->group[b->n_rules]);
    text_printf(&t, ",\"days\":[");
    json_days(b, &t);
    text_printf(&t, "],\"symbols\":[");
    json_symbols(b, &t);
    text_printf(&t, "]}\n");
    if (t.failed)
        abort();
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

/* ---- CSV */

void backtest_csv(const struct backtest *b, FILE *out)
{
    const struct forward_alert *a = forward_alerts(b->forward);
    fputs("id,seq,rule_id,symbol,timestamp,ts_ns,price", out);
    for (int h = 0; h < FORWARD_HORIZONS; h++)
        fprintf(out, ",return_%s", forward_names[h]);
    fputc('\n', out);
    for (size_t i = 0; i < forward_alert_count(b->forward); i++, a++) {
        char time[DECIMAL_TEXT_MAX], price[DECIMAL_TEXT_MAX] = "";
        double r;
        decimal_format_time(a->time_ns, time);
        if (a->price_e9 > 0)
            decimal_format_e9(a->price_e9, price);
        fprintf(out, "%016" PRIx64 "%016" PRIx64 ",%" PRIu64 ",", a->id_hi, a->id_lo, a->seq);
        csv_write(out, rule_names_get(b->names, a->rule)->id);
        fputc(',', out);
        csv_write(out, stream_symbol(b->stream, a->symbol)->name);
        fprintf(out, ",%s,%" PRId64 ",%s", time, a->time_ns, price);
        for (int h = 0; h < FORWARD_HORIZONS; h++)
            if (forward_return(a, (enum forward_horizon)h, &r))
                fprintf(out, ",%.17g", r);
            else
                fputc(',', out);
        fputc('\n', out);
    }
}
