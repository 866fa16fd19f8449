/* The page: no script, nothing from the network; charts are SVG, colours follow the reader's light or dark.
 */
#include "workers/backtest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 640, HIGH = 220, LEFT = 64, RIGHT = 8, TOP = 10, BOTTOM = 24 };
enum { POINTS_MAX = 400, LINES_MAX = 6, BARS = 41, SYMBOLS_MAX = 50 };

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1b1f24;--dim:#6a737d;--line:#d8dee4;--c0:#0969da;--c1:#bc4c00;"
    "--c2:#1a7f37;--c3:#8250df;--c4:#bf3989;--c5:#9a6700;--c6:#57606a}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#8b949e;--line:#30363d;--c0:#"
    "58a6ff;"
    "--c1:#f0883e;--c2:#3fb950;--c3:#bc8cff;--c4:#f778ba;--c5:#d29922;--c6:#8b949e}}"
    "body{background:var(--bg);color:var(--fg);font:14px/1.45 "
    "system-ui,sans-serif;max-width:1400px;margin:2em auto;"
    "padding:0 1em}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}h3{font-size:1em;margin:.6em 0 .2em}"
    ".charts{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;flex:1 1 420px;max-width:680px}"
    "svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font-size:11px}"
    ".axis{stroke:var(--line);stroke-width:1}.zero{stroke:var(--dim);stroke-dasharray:3 3}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.15em .6em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}.dim td{color:var(--dim)}p.dim{color:var(--dim)}"
    ".key span{margin-right:1em;white-space:nowrap}.key i{display:inline-block;width:.8em;height:.8em;"
    "margin-right:.3em}.k0{background:var(--c0)}.k1{background:var(--c1)}.k2{background:var(--c2)}"
    ".k3{background:var(--c3)}.k4{background:var(--c4)}.k5{background:var(--c5)}.k6{background:var(--c6)}";

/* Text of the user's. */
static void put(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
        }
}

/* ---- tables */

static void cell(FILE *out, bool there, double r)
{
    if (there)
        fprintf(out, "<td>%.4f</td>", 100 * r);
    else
        fputs("<td>–</td>", out);
}

static void stats_cells(FILE *out, const struct return_stats *s)
{
    if (s->n)
        fprintf(out, "<td>%.2f</td>", 100 * s->hit_rate);
    else
        fputs("<td>–</td>", out);
    cell(out, s->n > 0, s->mean);
    cell(out, s->n > 0, s->median);
    cell(out, s->n > 1, s->stdev);
    cell(out, s->n > 0, s->best);
    cell(out, s->n > 0, s->worst);
}

static void group_table(const struct backtest *b, const struct backtest_group *g, FILE *out)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    fputs("<h3>", out);
    put(out, g->id ? g->id : "All rules");
    if (g->id && g->name[0]) {
        fputs(" · ", out);
        put(out, g->name);
    }
    fprintf(out, "</h3><p class=\"dim\">%" PRIu64 " alerts, %.2f a day, %.3f a symbol and day; %u symbols",
            g->alerts, backtest_rate(g->alerts, days), backtest_rate(g->alerts, b->symbol_days), g->symbols);
    if (g->withdrawn)
        fprintf(out, "; %" PRIu64 " more withdrawn", g->withdrawn);
    fputs("</p>\n", out);
    if (g->alerts == 0)
        return;
    fputs("<div class=\"wide\"><table><tr><th>Horizon</th><th>Returns</th><th>None</th><th>Hit "
          "%</th><th>Mean %</th>"
          "<th>Median %</th><th>St. dev. %</th><th>Best %</th><th>Worst %</th></tr>\n",
          out);
    for (int h = 0; h < FORWARD_HORIZONS; h++) {
        fprintf(out, "<tr><td>%s</td><td>%" PRIu64 "</td><td>%" PRIu64 "</td>", forward_names[h],
                g->at[h].alerts.n, g->at[h].none);
        stats_cells(out, &g->at[h].alerts);
        fprintf(out, "</tr>\n<tr class=\"dim\"><td>baseline</td><td>%" PRIu64 "</td><td></td>",
                g->at[h].baseline.n);
        stats_cells(out, &g->at[h].baseline);
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

/* ---- charts */

/* From values to the picture. */
struct scale {
    double x0, x1, y0, y1; /* values at the edges; y1 at the top */
};

static double px(const struct scale *s, double x)
{
    return LEFT + (x - s->x0) / (s->x1 - s->x0) * (WIDE - LEFT - RIGHT);
}

static double py(const struct scale *s, double y)
{
    return HIGH - BOTTOM - (y - s->y0) / (s->y1 - s->y0) * (HIGH - TOP - BOTTOM);
}

static void chart_begin(FILE *out, const struct scale *s, const char *title, const char *format)
{
    char text[32];
    fprintf(out,
            "<figure><h3>%s</h3><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">"
            "<path class=\"axis\" fill=\"none\" d=\"M%d %dV%dH%d\"/>",
            title, WIDE, HIGH, title, LEFT, TOP, HIGH - BOTTOM, WIDE - RIGHT);
    for (int k = 0; k <= 2; k++) {
        double y = s->y0 + (s->y1 - s->y0) * k / 2;
        snprintf(text, sizeof text, format, y);
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT - 4, py(s, y) + 4, text);
    }
    if (s->y0 < 0 && s->y1 > 0)
        fprintf(out, "<path class=\"zero\" d=\"M%d %.1fH%d\"/>", LEFT, py(s, 0), WIDE - RIGHT);
}

static void x_label(FILE *out, double x, const char *anchor, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>", x, HIGH - 8, anchor, text);
}

static void chart_end(FILE *out)
{
    fputs("</svg></figure>\n", out);
}

/* The rules with the most alerts, at most LINES_MAX. */
static unsigned busiest(const struct backtest *b, uint32_t rule[LINES_MAX])
{
    unsigned n = 0;
    for (uint32_t i = 0; i < b->n_rules; i++) {
        if (b->group[i].alerts == 0)
            continue;
        unsigned at = n < LINES_MAX ? n++ : LINES_MAX;
        for (; at > 0 && b->group[rule[at - 1]].alerts < b->group[i].alerts; at--)
            if (at < LINES_MAX)
                rule[at] = rule[at - 1];
        if (at < LINES_MAX)
            rule[at] = i;
    }
    return n;
}

/* Sums of returns in the order of the alerts, of one rule or (UINT32_MAX) all; sum[0..alerts]. */
static void sum_returns(const struct backtest *b, int h, uint32_t rule, double *sum)
{
    const struct forward_alert *a = forward_alerts(b->forward);
    double r;
    sum[0] = 0;
    for (size_t i = 0; i < forward_alert_count(b->forward); i++) {
        bool counts =
            (rule == UINT32_MAX || a[i].rule == rule) && forward_return(&a[i], (enum forward_horizon)h, &r);
        sum[i + 1] = sum[i] + (counts ? r : 0);
    }
}

static void cumulative(const struct backtest *b, int h, FILE *out)
{
    uint32_t rule[LINES_MAX + 1];
    unsigned lines = busiest(b, rule);
    size_t n = forward_alert_count(b->forward), step = n / POINTS_MAX + 1;
    double *sum = calloc((n + 1) * (lines + 1), sizeof *sum);
    struct scale s = {0, n ? (double)n : 1, 0, 0};
    if (!sum)
        abort();
    rule[lines] = UINT32_MAX;
    for (unsigned k = 0; k <= lines; k++) {
        sum_returns(b, h, rule[k], sum + k * (n + 1));
        for (size_t i = k * (n + 1); i < (k + 1) * (n + 1); i++) {
            s.y0 = 100 * sum[i] < s.y0 ? 100 * sum[i] : s.y0;
            s.y1 = 100 * sum[i] > s.y1 ? 100 * sum[i] : s.y1;
        }
    }
    s.y1 = s.y1 > s.y0 ? s.y1 : s.y0 + 1;
    chart_begin(out, &s, forward_names[h], "%.3g %%");
    for (unsigned k = 0; k <= lines; k++) {
        fprintf(out, "<polyline fill=\"none\" stroke-width=\"%s\" stroke=\"var(--c%u)\" points=\"",
                k == lines ? "2.2" : "1.3", k == lines ? 6 : k);
        for (size_t i = 0; i <= n; i = i < n && i + step > n ? n : i + step)
            fprintf(out, "%.1f,%.1f ", px(&s, (double)i), py(&s, 100 * sum[k * (n + 1) + i]));
        fputs("\"/>", out);
    }
    x_label(out, LEFT, "start", "first alert");
    x_label(out, WIDE - RIGHT, "end", "last alert");
    chart_end(out);
    free(sum);
}

static void cumulative_key(const struct backtest *b, FILE *out)
{
    uint32_t rule[LINES_MAX + 1];
    unsigned lines = busiest(b, rule);
    fputs("<p class=\"key\"><span><i class=\"k6\"></i>all rules</span>", out);
    for (unsigned k = 0; k < lines; k++) {
        fprintf(out, "<span><i class=\"k%u\"></i>", k);
        put(out, b->group[rule[k]].id);
        fputs("</span>", out);
    }
    fputs("</p>\n", out);
}

/* The bar of a return: those beyond the picture go to its ends. */
static unsigned bar_of(double r, double edge)
{
    double place = (r + edge) / (2 * edge) * BARS;
    return place <= 0 ? 0 : place >= BARS ? BARS - 1 : (unsigned)place;
}

/* Shares of the alerts' returns as bars, of the baseline's as a line. */
static void histogram(const struct backtest *b, int h, const bool *fired, FILE *out)
{
    static uint64_t count[RETURN_BINS];
    const struct backtest_group *all = &b->group[b->n_rules];
    const struct forward_alert *a = forward_alerts(b->forward);
    const struct return_stats *got = &all->at[h].alerts;
    struct return_stats base;
    double bar[BARS] = {0}, line[BARS] = {0}, r, edge = 3 * (got->stdev > 0 ? got->stdev : 0.001);
    struct scale s = {-100 * edge, 100 * edge, 0, 0};
    char text[32];
    for (size_t i = 0; i < all->alerts; i++)
        if (forward_return(&a[i], (enum forward_horizon)h, &r))
            bar[bar_of(r, edge)] += 100.0 / (double)got->n;
    forward_baseline(b->forward, fired, (enum forward_horizon)h, &base, count);
    for (unsigned i = 0; i < RETURN_BINS; i++)
        if (count[i])
            line[bar_of(return_bin_middle(i), edge)] += 100.0 * (double)count[i] / (double)base.n;
    for (int i = 0; i < BARS; i++) {
        s.y1 = bar[i] > s.y1 ? bar[i] : s.y1;
        s.y1 = line[i] > s.y1 ? line[i] : s.y1;
    }
    s.y1 = s.y1 > 0 ? s.y1 : 1;
    chart_begin(out, &s, forward_names[h], "%.3g %%");
    double width = (double)(WIDE - LEFT - RIGHT) / BARS;
    for (int i = 0; i < BARS; i++)
        if (bar[i] > 0)
            fprintf(out, "<rect fill=\"var(--c0)\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                    LEFT + i * width + 0.5, py(&s, bar[i]), width - 1, py(&s, 0) - py(&s, bar[i]));
    fputs("<polyline fill=\"none\" stroke=\"var(--c1)\" stroke-width=\"1.5\" points=\"", out);
    for (int i = 0; i < BARS; i++)
        fprintf(out, "%.1f,%.1f ", LEFT + (i + 0.5) * width, py(&s, line[i]));
    fputs("\"/>", out);
    for (int k = -1; k <= 1; k++) {
        snprintf(text, sizeof text, k ? "%+.3g %%" : "0", 100 * edge * k);
        x_label(out, px(&s, 100 * edge * k), k < 0 ? "start" : k ? "end" : "middle", text);
    }
    chart_end(out);
}

static void histograms(const struct backtest *b, FILE *out)
{
    uint64_t *alerts = backtest_symbol_alerts(b);
    uint32_t n = forward_symbol_count(b->forward);
    bool *fired = calloc(n + 1u, sizeof *fired);
    if (!fired)
        abort();
    for (uint32_t i = 0; i < n; i++)
        fired[i] = alerts[i] > 0;
    for (int h = 0; h < FORWARD_HORIZONS; h++)
        histogram(b, h, fired, out);
    free(fired);
    free(alerts);
}

static void days_chart(const struct backtest *b, FILE *out)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    struct scale s = {0, (double)days, 0, 1};
    double width = (double)(WIDE - LEFT - RIGHT) / (double)days;
    char date[16];
    for (size_t i = 0; i < days; i++) {
        double n = (double)backtest_day_alerts(b, day[i].day);
        s.y1 = n > s.y1 ? n : s.y1;
    }
    chart_begin(out, &s, "Alerts per trading day", "%.6g");
    for (size_t i = 0; i < days; i++) {
        double y = py(&s, (double)backtest_day_alerts(b, day[i].day));
        backtest_date(day[i].day, date);
        fprintf(out,
                "<rect fill=\"var(--c0)\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"><title>%s: "
                "%" PRIu64 "</title></rect>",
                LEFT + ((double)i + 0.1) * width, y, 0.8 * width, py(&s, 0) - y, date,
                backtest_day_alerts(b, day[i].day));
        if (i == 0 || (i == days - 1 && days > 1))
            x_label(out, i ? WIDE - RIGHT : LEFT, i ? "end" : "start", date);
    }
    chart_end(out);
}

/* The symbols with the most alerts. */
static void symbols_table(const struct backtest *b, FILE *out)
{
    uint64_t *alerts = backtest_symbol_alerts(b);
    fprintf(out,
            "<h2>Symbols</h2><p class=\"dim\">At most %d, those with the most alerts.</p><div class=\"wide\">"
            "<table><tr><th>Symbol</th><th>Alerts</th><th>Days</th><th>Alerts a day</th></tr>\n",
            SYMBOLS_MAX);
    for (int k = 0; k < SYMBOLS_MAX; k++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < forward_symbol_count(b->forward); i++)
            best = alerts[i] > alerts[best] ? i : best;
        if (alerts[best] == 0)
            break;
        uint32_t days = forward_symbol_days(b->forward, best);
        fputs("<tr><td>", out);
        put(out, stream_symbol(b->stream, best)->name);
        fprintf(out, "</td><td>%" PRIu64 "</td><td>%u</td><td>%.2f</td></tr>\n", alerts[best], days,
                backtest_rate(alerts[best], days));
        alerts[best] = 0;
    }
    fputs("</table></div>\n", out);
    free(alerts);
}

static void heading(const struct backtest *b, FILE *out)
{
    const struct forward_day *day;
    size_t days = forward_days(b->forward, &day);
    char first[16], last[16];
    backtest_date(day[0].day, first);
    backtest_date(day[days - 1].day, last);
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
          "content=\"width=device-width, initial-scale=1\"><title>Backtest: ",
          out);
    put(out, b->rules_file);
    fprintf(out, "</title><style>%s</style></head>\n<body><h1>Backtest: ", style);
    put(out, b->rules_file);
    fputs("</h1><p class=\"dim\">", out);
    for (unsigned i = 0; i < b->n_sources; i++) {
        fputs(i ? ", " : "", out);
        put(out, b->sources[i]);
    }
    fprintf(out,
            "</p><p>%zu trading day%s, %s to %s; %" PRIu64 " symbols, %" PRIu64 " trades, %" PRIu64
            " alerts.</p>\n",
            days, days == 1 ? "" : "s", first, last, b->symbols, b->trades, b->group[b->n_rules].alerts);
}

void backtest_html(const struct backtest *b, FILE *out)
{
    heading(b, out);
    fputs("<h2>Cumulative forward return</h2><p class=\"dim\">The sum of the returns, one alert after the "
          "other, at each horizon; without costs.</p>\n",
          out);
    cumulative_key(b, out);
    fputs("<div class=\"charts\">\n", out);
    for (int h = 0; h < FORWARD_HORIZONS; h++)
        cumulative(b, h, out);
    fputs("</div><h2>Returns</h2><p class=\"key\"><span><i class=\"k0\"></i>alerts</span><span><i "
          "class=\"k1\"></i>baseline</span></p><p class=\"dim\">Shares of all; what is beyond three standard "
          "deviations is in the outermost.</p><div class=\"charts\">\n",
          out);
    histograms(b, out);
    fputs("</div><h2>Days</h2><div class=\"charts\">\n", out);
    days_chart(b, out);
    fputs("</div><h2>Rules</h2><p class=\"dim\">Return = price then / alert price - 1, in percent. Baseline: "
          "from "
          "every minute of the symbols that fired. None: the day or its data ended before.</p>\n",
          out);
    for (uint32_t i = 0; i <= b->n_rules; i++)
        group_table(b, &b->group[i], out);
    symbols_table(b, out);
    fputs("</body></html>\n", out);
}
