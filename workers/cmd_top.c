#include "workers/cmd_top.h"

#include <jansson.h>
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/bucket.h"
#include "core/decimal.h"
#include "core/version.h"
#include "net/calendar.h"
#include "net/outbox.h"
#include "shm/errlog.h"
#include "workers/observe.h"

const struct cli_option cmd_top_options[] = {
    OBSERVE_DIR_OPTION,
    {.name = "interval",
     .arg = "S",
     .help = "seconds between two readings (1)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = 3600},
    {.name = "once", .help = "print one screen as plain text, and end"},
    {0},
};

enum {
    COLUMNS = 110, /* of the plain text; a terminal's own width otherwise */
    ALERTS_KEPT = 64,
    ALERTS_SHOWN = 8,
    RULES_ONCE = 12,      /* rules and alerts of a plain screen */
    REVISED_COLUMNS = 20, /* of rules, where there is room for them */
    LINES_MAX = 1024,
};

enum style { STYLE_PLAIN, STYLE_HEADING, STYLE_TITLE, STYLE_BAD };

/* What is to be seen: lines that each end with a newline, a style for each. */
struct screen {
    struct text text;
    unsigned lines;
    uint8_t style[LINES_MAX];
};

struct alert {
    char time[OBSERVE_TEXT_MAX];
    char symbol[64], price[DECIMAL_TEXT_MAX], rule[RULE_NAME_MAX + 1], kind[16];
};

/* The newest alerts of the outbox. */
struct tail {
    struct outbox_reader *reader;
    struct alert alert[ALERTS_KEPT];
    uint64_t n; /* read so far; the newest is at (n - 1) % ALERTS_KEPT */
};

enum sort { SORT_FIRED, SORT_TRUE, SORT_EVALUATED, SORT_ID, SORT_COUNT };
static const char *const sort_names[] = {"fired", "true", "evaluated", "id"};

struct top {
    const char *dir;
    struct workspace *ws; /* NULL: `why` there is none */
    struct error why;
    struct observe_sample sample[2], *before, *now;
    struct observe_journal journal;
    enum observe_journal_state journal_state;
    struct observe_rules *rules;
    const struct observe_rule **rule; /* sorted */
    uint32_t n_rules;
    struct tail tail;
    enum sort sort;
    uint32_t scroll;
};

/* Alerts. */

static void copy_text(char *out, size_t size, const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    snprintf(out, size, "%s", s ? s : "");
}

static void tail_add(struct tail *t, const struct outbox_record *r)
{
    json_t *o = json_loadb(r->json, r->json_len, 0, NULL);
    struct alert *a = &t->alert[t->n % ALERTS_KEPT];
    if (!o)
        return;
    const json_t *price = json_object_get(o, "price");
    *a = (struct alert){{0}, {0}, {0}, {0}, {0}};
    observe_time(r->event_ns, a->time);
    copy_text(a->symbol, sizeof a->symbol, o, "symbol");
    copy_text(a->rule, sizeof a->rule, o, "rule_name");
    copy_text(a->kind, sizeof a->kind, o, "kind");
    double value = json_number_value(price);
    if (json_is_number(price) && value < 1e6) /* where a double holds a price exactly enough to print it */
        decimal_format_places((int64_t)(value * 1e9 + 0.5), 2, a->price);
    else if (json_is_number(price))
        decimal_format_double(value, a->price);
    t->n++;
    json_decref(o);
}

static void tail_close(struct tail *t)
{
    if (t->reader)
        outbox_reader_close(t->reader);
    t->reader = NULL;
}

/* Reads on to the end. */
static void tail_read(struct tail *t)
{
    struct outbox_record r;
    struct error err;
    int got;
    while (t->reader && (got = outbox_read(t->reader, &r, &err)) != 0)
        if (got < 0)
            tail_close(t);
        else if (r.kind == OUTBOX_ALERT)
            tail_add(t, &r);
}

/* Starts as far back as it takes to find alerts among the bars, within reason. */
static void tail_open(struct tail *t, const char *dir, uint64_t next_offset)
{
    char path[4096];
    struct error err;
    uint64_t first;
    snprintf(path, sizeof path, "%s/outbox", dir);
    for (uint64_t back = 4096; back <= 1 << 20; back *= 16) {
        tail_close(t);
        t->n = 0;
        t->reader = outbox_reader_open(path, next_offset > back ? next_offset - back : 0, &first, &err);
        tail_read(t);
        if (t->n >= ALERTS_SHOWN || next_offset <= back)
            return;
    }
}

/* Reading. */

static int compare_rules(const void *a, const void *b, void *ctx)
{
    const struct observe_rule *x = *(const struct observe_rule *const *)a,
                              *y = *(const struct observe_rule *const *)b;
    uint64_t l = 0, r = 0;
    switch (*(const enum sort *)ctx) {
    case SORT_FIRED:
        l = x->stats.fired, r = y->stats.fired;
        break;
    case SORT_TRUE:
        l = x->stats.truths, r = y->stats.truths;
        break;
    case SORT_EVALUATED:
        l = x->stats.evaluated, r = y->stats.evaluated;
        break;
    default:
        break;
    }
    return l != r ? (l < r) - (l > r) : strcmp(x->id, y->id);
}

static void sort_rules(struct top *t)
{
    const struct observe_rule *all = observe_rules_read(t->rules, &t->n_rules);
    for (uint32_t i = 0; i < t->n_rules; i++)
        t->rule[i] = &all[i];
    qsort_r(t->rule, t->n_rules, sizeof(const struct observe_rule *), compare_rules, &t->sort);
}

static void leave(struct top *t)
{
    if (!t->ws)
        return;
    observe_rules_free(t->rules);
    free(t->rule);
    workspace_leave(t->ws);
    t->ws = NULL;
}

/* Joins the instance, or the next one where the one before has ended, and takes the first reading. */
static void join(struct top *t)
{
    struct workspace *ws = workspace_join(t->dir, WORKSPACE_READ, instance_schema_hash(), &t->why);
    leave(t);
    if (!ws)
        return;
    t->ws = ws;
    t->rules = observe_rules_new(ws);
    t->rule = calloc(workspace_topology(ws)->options.rules_max, sizeof *t->rule);
    if (!t->rule)
        abort();
    observe_read(ws, t->now);
    *t->before = *t->now; /* nothing has a rate yet */
    t->journal = (struct observe_journal){0};
    sort_rules(t);
    tail_open(&t->tail, t->dir, t->now->publisher[PUBLISHER_OUTBOX_OFFSET]);
}

static void read_all(struct top *t)
{
    if (!t->ws || !workspace_alive(t->ws)) {
        join(t);
        return;
    }
    struct observe_sample *spare = t->before;
    t->before = t->now;
    t->now = spare;
    observe_read(t->ws, t->now);
    t->journal_state = observe_journal(&t->journal, t->now, OBSERVE_STUCK_NS);
    sort_rules(t);
    tail_read(&t->tail);
}

/* What is shown. */

static void end_line(struct screen *s, enum style style)
{
    text_append(&s->text, "\n", 1);
    if (s->lines < LINES_MAX)
        s->style[s->lines++] = (uint8_t)style;
}

#define LINE(s, style, ...) (text_printf(&(s)->text, __VA_ARGS__), end_line(s, style))

static double rate(const struct top *t, uint64_t before, uint64_t now)
{
    return observe_rate(before, now, t->before, t->now);
}

static void show_head(struct screen *s, const struct top *t, unsigned columns)
{
    const struct observe_sample *n = t->now;
    char up[OBSERVE_TEXT_MAX], now[OBSERVE_TEXT_MAX], left[256];
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    struct tm tm;
    localtime_r(&clock.tv_sec, &tm);
    observe_time((int64_t)clock.tv_sec * SECOND_NS + clock.tv_nsec, now);
    if (!t->ws)
        snprintf(left, sizeof left, "ringtape " RINGTAPE_VERSION "  %s  not running", t->dir);
    else if (!n->alive)
        snprintf(left, sizeof left, "ringtape " RINGTAPE_VERSION "  %s  not running: process %d left this",
                 t->dir, n->pid);
    else
        snprintf(left, sizeof left, "ringtape " RINGTAPE_VERSION "  %s  up %s", t->dir,
                 observe_duration((uint64_t)(n->utc_ns > n->created_ns ? n->utc_ns - n->created_ns : 0), up));
    observe_column(&s->text, left, columns - 25);
    LINE(s, t->ws && n->alive ? STYLE_TITLE : STYLE_BAD, " %.19s %s", now, tm.tm_zone);
    if (!t->ws)
        LINE(s, STYLE_PLAIN, "%s", t->why.text);
}

static void show_feed(struct screen *s, const struct top *t)
{
    const struct observe_sample *n = t->now;
    char time[OBSERVE_TEXT_MAX], lag[OBSERVE_TEXT_MAX], seq[OBSERVE_TEXT_MAX], each[OBSERVE_TEXT_MAX],
        symbols[OBSERVE_TEXT_MAX];
    int64_t event = n->applied_ns ? n->applied_ns : (int64_t)n->ingest[INGEST_EVENT_TIME_NS],
            behind = n->utc_ns - event;
    text_printf(&s->text, "feed %s", observe_feed_name(n->feed));
    if (event)
        text_printf(&s->text, " at %s", observe_time(event, time));
    if (event && behind >= 0 && behind < 3600 * SECOND_NS)
        text_printf(&s->text, ", %s ago", observe_duration((uint64_t)behind, lag));
    else if (t->before->applied_ns && n->feed == OBSERVE_FEED_RUNNING)
        text_printf(&s->text, ", x%.3g", rate(t, (uint64_t)t->before->applied_ns, (uint64_t)event) / 1e9);
    LINE(s, n->feed >= OBSERVE_FEED_FAILED ? STYLE_BAD : STYLE_PLAIN,
         "   seq %s (%s/s)   %s symbols, %u rules", observe_count(n->applied_seq, seq),
         observe_count((uint64_t)rate(t, t->before->applied_seq, n->applied_seq), each),
         observe_count(n->symbols, symbols), t->n_rules);
}

static const char *role_state(const struct observe_role *r)
{
    return r->health == HEARTBEAT_DEAD       ? "DEAD"
           : r->health == HEARTBEAT_STALE    ? "STALE"
           : r->beat.state == HEARTBEAT_GONE ? "ended"
           : r->beat.state == HEARTBEAT_NONE ? "not started"
                                             : heartbeat_state_name(r->beat.state);
}

static void show_roles(struct screen *s, const struct top *t)
{
    LINE(s, STYLE_HEADING,
         "ROLE             PID  STATE        CPU  WAITS BY      BUSY  BACKPRESSURE     IDLE  "
         "HOUSEKEEPING  LONGEST STEP");
    for (uint32_t i = 0; i < t->now->roles; i++) {
        const struct observe_role *r = &t->now->role[i], *b = &t->before->role[i];
        char label[24], cpu[12] = "any", step[OBSERVE_TEXT_MAX];
        double share[REGIME_COUNT], sum = 0;
        for (unsigned k = 0; k < REGIME_COUNT; k++)
            sum += share[k] = (double)(r->regime_ticks[k] - b->regime_ticks[k]);
        if (r->beat.cpu >= 0)
            snprintf(cpu, sizeof cpu, "%d", r->beat.cpu);
        observe_role_label((struct topology_role){.kind = (uint8_t)r->kind, .index = (uint16_t)r->index},
                           label);
        text_printf(&s->text, "%-12s %7d  %-11s %4s  %-9s", label, r->beat.pid, role_state(r), cpu,
                    r->beat.idle);
        if (sum > 0)
            text_printf(&s->text, " %7.1f%% %12.1f%% %7.1f%% %12.1f%%", 100 * share[REGIME_BUSY] / sum,
                        100 * share[REGIME_BACKPRESSURE] / sum, 100 * share[REGIME_IDLE] / sum,
                        100 * share[REGIME_HOUSEKEEPING] / sum);
        if (sum > 0 && r->ticks_per_second)
            text_printf(
                &s->text, " %13s",
                observe_duration(
                    (uint64_t)((double)r->longest_step_ticks * 1e9 / (double)r->ticks_per_second), step));
        end_line(s, r->health >= HEARTBEAT_STALE ? STYLE_BAD : STYLE_PLAIN);
    }
}

static void show_rings(struct screen *s, const struct top *t)
{
    observe_ring_heading(&s->text);
    end_line(s, STYLE_HEADING);
    for (uint32_t i = 0; i < t->now->rings; i++) {
        const struct observe_ring *r = &t->now->ring[i];
        observe_ring_row(&s->text, r, rate(t, t->before->ring[i].passed, r->passed));
        end_line(s, STYLE_PLAIN);
    }
}

static void show_disk(struct screen *s, const struct top *t)
{
    const uint64_t *i = t->now->ingest, *i0 = t->before->ingest, *p = t->now->publisher,
                   *p0 = t->before->publisher;
    static const char *const journal_texts[] = {"off", "ok", "FAILING"};
    bool outbox_failing = p[PUBLISHER_OUTBOX_FAILING];
    uint64_t last = t->now->applied_seq, durable = i[INGEST_DURABLE_SEQ];
    char a[OBSERVE_TEXT_MAX], b[OBSERVE_TEXT_MAX];
    LINE(s, t->journal_state == OBSERVE_JOURNAL_STUCK ? STYLE_BAD : STYLE_PLAIN,
         "JOURNAL  %-8s %8.2f MB/s   durable up to seq %s, %s behind", journal_texts[t->journal_state],
         rate(t, i0[INGEST_JOURNAL_BYTES], i[INGEST_JOURNAL_BYTES]) / 1e6, observe_count(durable, a),
         observe_count(last > durable ? last - durable : 0, b));
    LINE(s, outbox_failing ? STYLE_BAD : STYLE_PLAIN,
         "OUTBOX   %-8s %8.2f MB/s   %s events, %.0f/s in %.0f commits/s", outbox_failing ? "FAILING" : "ok",
         rate(t, p0[PUBLISHER_OUTBOX_BYTES], p[PUBLISHER_OUTBOX_BYTES]) / 1e6,
         observe_count(p[PUBLISHER_OUTBOX_OFFSET], a),
         rate(t, p0[PUBLISHER_OUTBOX_OFFSET], p[PUBLISHER_OUTBOX_OFFSET]),
         rate(t, p0[PUBLISHER_OUTBOX_COMMITS], p[PUBLISHER_OUTBOX_COMMITS]));
}

/* Those that were revised or withdrawn have fired before. */
static void show_fired(struct screen *s, const struct top *t)
{
    const struct observe_sample *n = t->now;
    char a[4][OBSERVE_TEXT_MAX];
    LINE(s, STYLE_PLAIN, "FIRED    %s alerts, %.0f/s   %s revised, %s withdrawn   %s in shadow",
         observe_count(n->alerts, a[0]), rate(t, t->before->alerts, n->alerts),
         observe_count(n->alerts_revised, a[1]), observe_count(n->alerts_withdrawn, a[2]),
         observe_count(n->shadow_alerts, a[3]));
}

static void show_latency(struct screen *s, const struct top *t)
{
    const struct histogram_copy *h = &t->now->latency;
    char q[4][OBSERVE_TEXT_MAX], n[OBSERVE_TEXT_MAX];
    if (h->count == 0)
        LINE(s, STYLE_PLAIN, "LATENCY  tick to alert: no alert yet");
    else
        LINE(s, STYLE_PLAIN, "LATENCY  tick to alert   p50 %s   p99 %s   p99.9 %s   max %s   of %s alerts",
             observe_duration(histogram_quantile(h, 0.5), q[0]),
             observe_duration(histogram_quantile(h, 0.99), q[1]),
             observe_duration(histogram_quantile(h, 0.999), q[2]), observe_duration(h->max, q[3]),
             observe_count(h->count, n));
}

static void show_sinks(struct screen *s, const struct top *t)
{
    if (!t->now->sinks)
        return;
    LINE(s, STYLE_HEADING,
         "SINK          STATE       DELIVERED    EVENTS/S         LAG      ERRORS     RETRIES");
    for (uint32_t i = 0; i < t->now->sinks; i++) {
        const struct observe_sink *k = &t->now->sink[i];
        char n[5][OBSERVE_TEXT_MAX];
        observe_column(&s->text, k->name, 13);
        LINE(s, k->value[SINK_UP] ? STYLE_PLAIN : STYLE_BAD, " %-5s %15s %11s %11s %11s %11s",
             k->value[SINK_UP] ? "up" : "DOWN", observe_count(k->value[SINK_DELIVERED], n[0]),
             observe_count(
                 (uint64_t)rate(t, t->before->sink[i].value[SINK_DELIVERED], k->value[SINK_DELIVERED]), n[1]),
             observe_count(k->value[SINK_LAG], n[2]), observe_count(k->value[SINK_ERRORS], n[3]),
             observe_count(k->value[SINK_RETRIES], n[4]));
    }
}

/* The error that occurred last, if there is one. */
static void show_error(struct screen *s, const struct top *t, unsigned columns)
{
    struct errlog_entry e, newest = {.last_ns = INT64_MIN};
    char time[OBSERVE_TEXT_MAX], line[ERRLOG_TEXT_MAX + 96], label[24];
    for (uint32_t at = 0; errlog_next(workspace_errlog(t->ws), &at, &e);)
        if (e.last_ns > newest.last_ns)
            newest = e;
    if (newest.last_ns == INT64_MIN)
        return;
    observe_role_label((struct topology_role){.kind = (uint8_t)newest.role, .index = newest.index}, label);
    snprintf(line, sizeof line, "ERROR    %llu in the log; the last at %.19s, %s: %s",
             (unsigned long long)t->now->errors, observe_time(newest.last_ns, time), label, newest.text);
    observe_column(&s->text, line, columns);
    end_line(s, STYLE_BAD);
}

static void show_rules(struct screen *s, struct top *t, unsigned room, bool keys, unsigned columns)
{
    uint32_t most = t->n_rules > room ? t->n_rules - room : 0;
    t->scroll = t->scroll < most ? t->scroll : most;
    uint32_t end = t->n_rules - t->scroll > room ? t->scroll + room : t->n_rules;
    bool wide = columns >= COLUMNS + REVISED_COLUMNS;
    unsigned name = columns - COLUMNS - (wide ? REVISED_COLUMNS : 0);
    name = name > 16 ? 36 : 20 + name;
    LINE(s, STYLE_HEADING, "%-16s %-*s %11s %10s %9s %10s %9s %8s %9s%s", "RULE", (int)name, "NAME",
         "EVALUATED", "TRUE", "WARM-UP", "COOLDOWN", "SESSION", "HALT", "FIRED",
         wide ? "  REVISED  WITHDRAWN" : "");
    for (uint32_t i = t->scroll; i < end; i++) {
        const struct observe_rule *r = t->rule[i];
        char n[9][OBSERVE_TEXT_MAX];
        observe_column(&s->text, r->id, 16);
        text_append(&s->text, " ", 1);
        observe_column(&s->text, r->name, name);
        text_printf(&s->text, " %11s %10s %9s %10s %9s %8s %9s", observe_count(r->stats.evaluated, n[0]),
                    observe_count(r->stats.truths, n[1]), observe_count(r->stats.held_warmup, n[2]),
                    observe_count(r->stats.held_cooldown, n[3]), observe_count(r->stats.held_session, n[4]),
                    observe_count(r->stats.held_halt, n[5]), observe_count(r->stats.fired, n[6]));
        if (wide)
            text_printf(&s->text, " %8s %10s", observe_count(r->stats.revised, n[7]),
                        observe_count(r->stats.withdrawn, n[8]));
        end_line(s, STYLE_PLAIN);
    }
    if (keys)
        LINE(s, STYLE_PLAIN, "  %u to %u of %u by %s   up, down, page: scroll   s: sort   q: quit",
             t->n_rules ? t->scroll + 1 : 0, end, t->n_rules, sort_names[t->sort]);
    else if (end < t->n_rules)
        LINE(s, STYLE_PLAIN, "  ... and %u more", t->n_rules - end);
}

static void show_alerts(struct screen *s, const struct tail *tail, unsigned room, unsigned columns)
{
    uint64_t n = tail->n < room ? tail->n : room;
    LINE(s, STYLE_HEADING, "ALERTS                   SYMBOL              PRICE  RULE");
    for (uint64_t i = 0; i < n; i++) {
        const struct alert *a = &tail->alert[(tail->n - 1 - i) % ALERTS_KEPT];
        text_printf(&s->text, "%-23s  ", a->time);
        observe_column(&s->text, a->symbol, 12);
        text_printf(&s->text, " %12s  ", a->price);
        observe_column(&s->text, a->rule, columns - 64);
        LINE(s, STYLE_PLAIN, " %s", strcmp(a->kind, "fired") ? a->kind : "");
    }
}

/* rows 0: as many as there are things to show. */
static void show(struct screen *s, struct top *t, unsigned rows, unsigned columns)
{
    text_clear(&s->text);
    s->lines = 0;
    show_head(s, t, columns);
    if (t->ws) {
        show_feed(s, t);
        end_line(s, STYLE_PLAIN);
        show_roles(s, t);
        end_line(s, STYLE_PLAIN);
        show_rings(s, t);
        end_line(s, STYLE_PLAIN);
        show_disk(s, t);
        show_fired(s, t);
        show_latency(s, t);
        show_error(s, t, columns);
        end_line(s, STYLE_PLAIN);
        show_sinks(s, t);
        if (t->now->sinks)
            end_line(s, STYLE_PLAIN);
        unsigned rest = rows > s->lines + 6 ? rows - s->lines - 4 : 2; /* headings, keys, an empty line */
        unsigned alerts = rest / 3 < ALERTS_SHOWN ? rest / 3 : ALERTS_SHOWN;
        show_rules(s, t, rows ? rest - alerts : RULES_ONCE, rows > 0, columns);
        end_line(s, STYLE_PLAIN);
        show_alerts(s, &t->tail, rows ? alerts : ALERTS_SHOWN, columns);
    } else {
        end_line(s, STYLE_PLAIN);
        show_alerts(s, &t->tail, ALERTS_SHOWN, columns);
    }
}

/* The terminal. */

static void draw(const struct screen *s)
{
    static const chtype attributes[] = {A_NORMAL, A_BOLD, A_REVERSE, A_BOLD | COLOR_PAIR(1)};
    struct text line = {0};
    const char *at = s->text.data;
    erase();
    for (unsigned y = 0; y < s->lines && (int)y < LINES; y++) {
        const char *end = strchr(at, '\n');
        char *copy = strndup(at, (size_t)(end - at));
        text_clear(&line);
        observe_column(&line, copy ? copy : "", (unsigned)COLS);
        attrset(attributes[s->style[y]]);
        mvaddstr((int)y, 0, line.data);
        free(copy);
        at = end + 1;
    }
    attrset(A_NORMAL);
    refresh();
    text_free(&line);
}

/* False to quit. */
static bool key_pressed(struct top *t, int key)
{
    uint32_t page = LINES > 4 ? (uint32_t)LINES / 4 : 1;
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case KEY_DOWN:
        t->scroll++;
        break;
    case KEY_UP:
        t->scroll -= t->scroll > 0;
        break;
    case KEY_NPAGE:
        t->scroll += page;
        break;
    case KEY_PPAGE:
        t->scroll -= t->scroll < page ? t->scroll : page;
        break;
    case KEY_HOME:
        t->scroll = 0;
        break;
    case KEY_END:
        t->scroll = t->n_rules;
        break;
    case 's':
        t->sort = (t->sort + 1) % SORT_COUNT;
        if (t->ws)
            sort_rules(t);
        break;
    default: /* KEY_RESIZE among them: everything is drawn again anyway */
        break;
    }
    return true;
}

static int64_t mono_ms(void)
{
    struct timespec c;
    clock_gettime(CLOCK_MONOTONIC, &c);
    return (int64_t)c.tv_sec * 1000 + c.tv_nsec / 1000000;
}

static int run_screen(const struct cli_args *args, struct top *t, struct screen *s, int64_t interval_ms)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return cli_fail(args, CLI_USAGE, "this is no terminal; --once prints one screen as text");
    if (!newterm(NULL, stdout, stdin))
        return cli_fail(args, CLI_USAGE,
                        "the terminal '%s' is not known here (TERM); --once prints one screen as text",
                        getenv("TERM") ? getenv("TERM") : "");
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(1, COLOR_RED, -1);
    }
    int64_t due = mono_ms() + interval_ms;
    bool go = true;
    while (go) {
        show(s, t, (unsigned)LINES, (unsigned)(COLS > COLUMNS ? COLS : COLUMNS));
        draw(s);
        int64_t left = due - mono_ms();
        timeout(left > 0 ? (int)left : 0);
        int key = getch();
        if (key != ERR)
            go = key_pressed(t, key);
        if (mono_ms() >= due) {
            read_all(t);
            due = mono_ms() + interval_ms;
        }
    }
    endwin();
    return CLI_OK;
}

static void run_once(const struct cli_args *args, struct top *t, struct screen *s, int64_t interval_ms)
{
    struct timespec wait = {.tv_sec = interval_ms / 1000};
    if (t->ws && t->now->alive) {
        nanosleep(&wait, NULL);
        read_all(t);
    }
    show(s, t, 0, COLUMNS);
    /* what is padded on the screen ends with its last word here */
    for (char *at = s->text.data, *end; (end = strchr(at, '\n')); at = end + 1) {
        size_t n = (size_t)(end - at);
        while (n && at[n - 1] == ' ')
            n--;
        fprintf(args->out, "%.*s\n", (int)n, at);
    }
}

int cmd_top(const struct cli_args *args)
{
    static struct top t;
    static struct screen s;
    int64_t interval_ms = cli_number(args, "interval", 1) * 1000;
    int code = CLI_OK;
    t = (struct top){.dir = observe_dir(args), .before = &t.sample[0], .now = &t.sample[1]};
    if (!t.dir)
        return CLI_USAGE;
    setlocale(LC_CTYPE, "");
    calendar_init(NULL); /* without zone data the times are the host's */
    read_all(&t);
    if (!cli_has(args, "once"))
        code = run_screen(args, &t, &s, interval_ms);
    else if (t.ws)
        run_once(args, &t, &s, interval_ms);
    else
        code = cli_fail(args, CLI_FAILED, "%s", t.why.text);
    leave(&t);
    tail_close(&t.tail);
    text_free(&s.text);
    return code;
}
