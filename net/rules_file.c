#include "net/rules_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "core/decimal.h"

/* Where an error lies: file, rule (or watchlist) number from 1, its id. */
struct place {
    const char *file;
    size_t rule;
    const char *id;
    bool is_watchlist;
    const json_t *watchlists; /* of the file; NULL: it has none */
};

static int wrong(struct error *err, const struct place *p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int wrong(struct error *err, const struct place *p, const char *format, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return error_set(err, "%s: %s %zu%s%s%s: %s", p->file, p->is_watchlist ? "watchlist" : "rule", p->rule,
                     p->id ? " '" : "", p->id ? p->id : "", p->id ? "'" : "", text);
}

static const char *kind_of(const json_t *v)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "nothing";
    default:
        return "true or false";
    }
}

/* A field that is there and not null. */
static const json_t *field(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

/* The shortest decimal text that reads back as d. */
static void number_text(char out[32], double d)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, d);
        if (strtod(out, NULL) == d)
            break;
    }
}

/* What stands where a number was expected: the number itself, or what else it is. */
static const char *found_number(const json_t *v, char out[32])
{
    if (!json_is_number(v))
        return kind_of(v);
    number_text(out, json_number_value(v));
    return out;
}

static int known_fields(const json_t *o, const char *const names[], unsigned n, const char *what,
                        const struct place *p, struct error *err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)o, key, v)
    {
        unsigned i = 0;
        while (i < n && strcmp(names[i], key))
            i++;
        if (i == n) {
            const char *near = error_nearest(key, names, n);
            return wrong(err, p, "%s: unknown field '%.40s'%s%s%s", what, key, near ? ", did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
        }
    }
    return 0;
}

/* timeframe: the bars of an indicator that names none, else that of the metric; for a window the window. */
static int apply_timeframe(struct metric *m, const char *text, const char *tf, const char *where,
                           const struct place *p, struct error *err)
{
    char expected[32] = "1m", hours[32] = "", name[METRIC_NAME_MAX], with[2 * METRIC_NAME_MAX];
    unsigned minutes = m->timeframe ? m->timeframe : m->period; /* of the bars, or of the window */
    bool days = metric_of_days(m);
    if (days) {
        metric_name(m, name);
        snprintf(expected, sizeof expected, "%s", m->timeframe ? "1d" : strrchr(name, '_') + 1);
        snprintf(hours, sizeof hours, "%s", m->timeframe ? "daily" : "");
    } else if (minutes) {
        snprintf(expected, sizeof expected, "%um", minutes);
        if (minutes % 60 == 0)
            snprintf(hours, sizeof hours, "%uh", minutes / 60);
    }
    if (metric_of_bars(m) && !strchr(text, '@')) { /* rsi(14) and rsi_14 become rsi(14)@5m */
        int n = snprintf(with, sizeof with, "%s@%s", text, tf);
        if (*tf && n < (int)sizeof with && metric_parse(with, (size_t)n, m, NULL) == 0)
            return 0;
    }
    metric_name(m, name);
    if (!*tf || (strcmp(tf, expected) && strcmp(tf, hours)))
        return wrong(err, p, "%s.timeframe: '%.20s' differs from that of %s, expected \"%s\" or none", where,
                     tf, name, expected);
    return 0;
}

/* Session names as bits of `mask`; "all" is every one. */
static int add_session(const json_t *v, uint8_t *mask, const char *where, const struct place *p,
                       struct error *err)
{
    static const char *const names[] = {"all", "premarket", "market", "postmarket"};
    const char *s = json_is_string(v) ? json_string_value(v) : kind_of(v);
    for (unsigned k = 0; json_is_string(v) && k < 4; k++)
        if (!strcmp(s, names[k])) {
            *mask |= k ? (uint8_t)(1u << k) : UINT8_MAX; /* as enum session_kind counts */
            return 0;
        }
    const char *near = error_nearest(s, names, 4);
    return wrong(err, p, "%s: '%.20s', expected premarket, market, postmarket or all%s%s%s", where, s,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int check_value_type(const struct metric *m, const char *type, const char *where,
                            const struct place *p, struct error *err)
{
    char name[METRIC_NAME_MAX];
    enum metric_unit u = metric_unit(m);
    metric_name(m, name);
    bool price = u == UNIT_PRICE || u == UNIT_VWAP;
    if (!strcmp(type, "$") ? !price : !strcmp(type, "%") ? u != UNIT_PERCENT : true)
        return wrong(err, p, "%s.value_type: '%.8s', but %s is %s", where, type, name,
                     price               ? "in \"$\""
                     : u == UNIT_PERCENT ? "in \"%\""
                     : u == UNIT_TRUTH   ? "true or false"
                     : u == UNIT_TEXT    ? "a text"
                                         : "a plain number");
    return 0;
}

/* One condition, appended to `out` as "metric op value" and its gate by volume; its sessions limit those of
 * the rule. */
static int condition(const json_t *c, size_t index, FILE *out, struct rule *r, const struct place *p,
                     struct error *err)
{
    static const char *const fields[] = {
        "metric", "operator", "value", "volume_threshold", "calculated_during", "timeframe", "value_type"};
    static const char *const ops[] = {">", "<", ">=", "<=", "==", "!="};
    char where[80], text[32], name[METRIC_NAME_MAX];
    struct metric m;
    struct error why;
    snprintf(where, sizeof where, "conditions[%zu]", index);
    if (!json_is_object(c))
        return wrong(err, p, "%s: %s, expected an object", where, kind_of(c));
    if (known_fields(c, fields, 7, where, p, err) < 0)
        return -1;
    const json_t *metric = json_object_get(c, "metric"), *op = json_object_get(c, "operator"),
                 *value = json_object_get(c, "value"), *v;
    if (!json_is_string(metric))
        return wrong(err, p, "%s.metric: %s, expected a string", where, kind_of(metric));
    if (metric_parse(json_string_value(metric), json_string_length(metric), &m, &why) < 0)
        return wrong(err, p, "%s.metric: %s", where, why.text);
    unsigned k = 0;
    while (k < 6 && !(json_is_string(op) && !strcmp(ops[k], json_string_value(op))))
        k++;
    if (k == 6)
        return wrong(err, p, "%s.operator: %.20s, expected one of > < >= <= == !=", where,
                     json_is_string(op) ? json_string_value(op) : kind_of(op));
    if ((v = field(c, "timeframe")) &&
        apply_timeframe(&m, json_string_value(metric), json_is_string(v) ? json_string_value(v) : "", where,
                        p, err) < 0)
        return -1;
    metric_name(&m, name);
    if (json_is_number(value)) {
        number_text(text, json_number_value(value));
        fprintf(out, "%s %s %s", name, ops[k], text);
    } else if (json_is_string(value) && (m.kind == METRIC_SESSION || metric_unit(&m) == UNIT_TEXT)) {
        if (strchr(json_string_value(value), '"')) /* it would end the text in the expression */
            return wrong(err, p, "%s.value: '%.40s', expected %s", where, json_string_value(value),
                         m.kind == METRIC_SESSION ? "\"closed\", \"premarket\", \"market\" or \"postmarket\""
                                                  : "a text without quotes");
        fprintf(out, "%s %s \"%s\"", name, ops[k], json_string_value(value));
    } else {
        return wrong(err, p, "%s.value: %s, expected %s", where, kind_of(value),
                     metric_unit(&m) == UNIT_TEXT ? "a string" : "a number");
    }
    if ((v = json_object_get(c, "volume_threshold")) && !json_is_null(v)) {
        if (!json_is_number(v) || json_number_value(v) < 0)
            return wrong(err, p, "%s.volume_threshold: %s, expected a number of at least 0", where,
                         found_number(v, text));
        number_text(text, json_number_value(v));
        fprintf(out, " and volume_daily >= %s", text);
    }
    if ((v = field(c, "calculated_during"))) {
        uint8_t mask = 0;
        strcat(where, ".calculated_during");
        if (add_session(v, &mask, where, p, err) < 0)
            return -1;
        r->sessions &= mask;
        if (!r->sessions)
            return wrong(err, p, "%s: '%s', which leaves the rule no session", where, json_string_value(v));
        *strchr(where, '.') = 0;
    }
    if ((v = json_object_get(c, "value_type")) && !json_is_null(v) &&
        check_value_type(&m, json_is_string(v) ? json_string_value(v) : "", where, p, err) < 0)
        return -1;
    return 0;
}

/* The canonical expression of `conditions` or `expr`; allocated. */
static char *expression(const json_t *o, struct rule *r, const struct place *p, struct error *err)
{
    const json_t *conditions = field(o, "conditions"), *expr = field(o, "expr");
    char *text = NULL;
    size_t len = 0;
    struct expr parsed;
    struct error why;
    if (!conditions == !expr) {
        wrong(err, p, "%s, expected either \"conditions\" or \"expr\"",
              expr ? "both \"conditions\" and \"expr\"" : "no condition");
        return NULL;
    }
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    int bad = 0;
    if (expr) {
        if (json_is_string(expr))
            fwrite(json_string_value(expr), 1, json_string_length(expr), out);
        else
            bad = wrong(err, p, "expr: %s, expected a string", kind_of(expr));
    } else if (!json_is_array(conditions) || json_array_size(conditions) == 0) {
        bad = wrong(err, p, "conditions: %s, expected an array of at least one",
                    json_is_array(conditions) ? "an empty array" : kind_of(conditions));
    } else {
        for (size_t i = 0; !bad && i < json_array_size(conditions); i++) {
            if (i)
                fputs(" and ", out);
            bad = condition(json_array_get(conditions, i), i, out, r, p, err);
        }
    }
    fclose(out);
    if (!bad && expr_parse(text, len, &parsed, &why) < 0)
        bad = wrong(err, p, "%s: %s", expr ? "expr" : "conditions", why.text);
    if (!bad && expr_check_trigger(&parsed, r->trigger, &why) < 0)
        bad = wrong(err, p, "%s", why.text);
    if (!bad)
        return text;
    free(text);
    return NULL;
}

static bool is_called(const json_t *list, const char *name)
{
    const char *id = json_string_value(json_object_get(list, "id")),
               *own = json_string_value(json_object_get(list, "name"));
    return (id && !strcmp(id, name)) || (own && !strcmp(own, name));
}

/* The symbols of the watchlist of that id or name; NULL with err. */
static const json_t *watchlist(const char *name, const struct place *p, struct error *err)
{
    size_t n = json_array_size(p->watchlists);
    const char **names = malloc((2 * n + 1) * sizeof *names);
    unsigned known = 0;
    if (!names)
        abort();
    for (size_t i = 0; i < n; i++) {
        const json_t *list = json_array_get(p->watchlists, i);
        const char *own = json_string_value(json_object_get(list, "name"));
        if (is_called(list, name)) {
            free(names);
            return json_object_get(list, "symbols");
        }
        names[known++] = json_string_value(json_object_get(list, "id"));
        if (own)
            names[known++] = own;
    }
    const char *near = error_nearest(name, names, known);
    wrong(err, p, "symbols: there is no watchlist '%.64s'%s%s%s%s", name, n ? "" : ": the file has none",
          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    free(names);
    return NULL;
}

/* Symbols as a comma-separated list; "" for none; allocated. */
static char *symbol_list(const json_t *v, const struct place *p, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    if (json_is_string(v) && !p->is_watchlist && !(v = watchlist(json_string_value(v), p, err)))
        return NULL;
    if (v && !json_is_array(v)) {
        wrong(err, p, "symbols: %s, expected an array of names%s", kind_of(v),
              p->is_watchlist ? "" : " or the name of a watchlist");
        return NULL;
    }
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    size_t n = json_array_size(v), bad = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_array_get(v, i);
        if (!json_is_string(s) || json_string_length(s) == 0 || json_string_length(s) > 63 ||
            strchr(json_string_value(s), ','))
            bad = bad < n ? bad : i;
        else
            fprintf(out, "%s%s", i ? "," : "", json_string_value(s));
    }
    fclose(out);
    if (bad == n && len <= RULE_SYMBOLS_MAX && (!v || len))
        return text;
    const json_t *s = json_array_get(v, bad);
    if (s)
        wrong(err, p, "symbols[%zu]: %s%.70s%s, expected a name of 1 to 63 bytes without commas", bad,
              json_is_string(s) ? "'" : "", json_is_string(s) ? json_string_value(s) : kind_of(s),
              json_is_string(s) ? "'" : "");
    else
        wrong(err, p,
              "symbols: %zu names of %zu bytes with their commas, expected at least one and at most %d bytes",
              n, len, RULE_SYMBOLS_MAX);
    free(text);
    return NULL;
}

static int text_field(const json_t *o, const char *key, char *out, size_t max, const char *fallback,
                      const struct place *p, struct error *err)
{
    const json_t *v = json_object_get(o, key);
    const char *s = v && !json_is_null(v) ? json_string_value(v) : fallback;
    if (!s)
        return wrong(err, p, "%s: %s, expected a string", key, kind_of(v));
    if (strlen(s) >= max || (v && json_is_string(v) && json_string_length(v) != strlen(s)))
        return wrong(err, p, "%s: '%.20s…', expected at most %zu bytes and no NUL", key, s, max - 1);
    snprintf(out, max, "%s", s);
    return 0;
}

/* mode, sessions, expires_at: what keeps a rule from firing, or its alerts from being delivered. */
static int limits(const json_t *o, struct rule *r, const struct place *p, struct error *err)
{
    const json_t *mode = field(o, "mode"), *sessions = field(o, "sessions"), *at = field(o, "expires_at");
    const char *s = json_is_string(mode) ? json_string_value(mode) : mode ? kind_of(mode) : "live";
    r->shadow = json_is_string(mode) && !strcmp(s, "shadow");
    if (!r->shadow && (strcmp(s, "live") != 0))
        return wrong(err, p, "mode: '%.20s', expected \"live\" or \"shadow\"", s);
    if (sessions && !json_is_array(sessions))
        return wrong(err, p, "sessions: %s, expected an array such as [\"market\"]", kind_of(sessions));
    for (size_t i = 0; i < json_array_size(sessions); i++)
        if (add_session(json_array_get(sessions, i), &r->sessions, "sessions", p, err) < 0)
            return -1;
    if (!r->sessions)
        r->sessions = UINT8_MAX;
    if (at &&
        (!json_is_string(at) ||
         decimal_parse_time(json_string_value(at), json_string_length(at), &r->expires_ns) != DECIMAL_OK ||
         r->expires_ns <= 0))
        return wrong(err, p, "expires_at: '%.40s', expected a time such as \"2026-12-31T21:00:00Z\"",
                     json_is_string(at) ? json_string_value(at) : kind_of(at));
    return 0;
}

static int read_rule(const json_t *o, double cooldown_s, struct rule *r, struct place *p, struct error *err)
{
    static const char *const fields[] = {
        "id",         "name", "description", "enabled", "owner",    "version", "created_at", "updated_at",
        "conditions", "expr", "cooldown",    "symbols", "sessions", "trigger", "expires_at", "mode"};
    char found[32];
    if (!json_is_object(o))
        return wrong(err, p, "%s, expected an object", kind_of(o));
    if (text_field(o, "id", r->id, sizeof r->id, NULL, p, err) < 0)
        return -1;
    if (!r->id[0])
        return wrong(err, p, "id: empty, expected at least one byte");
    p->id = r->id;
    if (known_fields(o, fields, sizeof fields / sizeof *fields, "rule", p, err) < 0 ||
        text_field(o, "name", r->name, sizeof r->name, r->id, p, err) < 0 || limits(o, r, p, err) < 0)
        return -1;
    const json_t *v = json_object_get(o, "version");
    if (v && !json_is_null(v) &&
        (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > INT32_MAX))
        return wrong(err, p, "version: %s, expected a whole number from 1", found_number(v, found));
    r->version = json_is_integer(v) ? (uint32_t)json_integer_value(v) : 1;
    v = json_object_get(o, "enabled");
    if (v && !json_is_boolean(v) && !json_is_null(v))
        return wrong(err, p, "enabled: %s, expected true or false", kind_of(v));
    r->enabled = !json_is_false(v);
    v = json_object_get(o, "cooldown");
    double seconds = json_is_number(v) ? json_number_value(v) : cooldown_s;
    if ((v && !json_is_number(v) && !json_is_null(v)) || !(seconds >= 0 && seconds <= 31536000))
        return wrong(err, p, "cooldown: %s, expected seconds, 0 to 31536000", found_number(v, found));
    r->cooldown_ns = (int64_t)llround(seconds * 1e9);
    v = json_object_get(o, "trigger");
    unsigned t = 0;
    while (json_is_string(v) && t < TRIGGER_COUNT && strcmp(rule_trigger_names[t], json_string_value(v)))
        t++;
    if (t == TRIGGER_COUNT || (v && !json_is_string(v) && !json_is_null(v))) {
        const char *found = json_is_string(v) ? json_string_value(v) : kind_of(v);
        const char *near = error_nearest(found, rule_trigger_names, TRIGGER_COUNT);
        return wrong(err, p,
                     "trigger: '%.20s', expected \"level\", \"cross\", \"once\", \"once_per_bar\" or "
                     "\"bar_close\"%s%s%s",
                     found, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    r->trigger = (enum rule_trigger)t;
    v = json_object_get(o, "symbols");
    r->symbols = symbol_list(json_is_null(v) ? NULL : v, p, err);
    r->expr = r->symbols ? expression(o, r, p, err) : NULL;
    if (!r->expr)
        return -1;
    if (r->sessions == UINT8_MAX)
        r->sessions = 0;
    r->symbols_len = (uint32_t)strlen(r->symbols);
    r->expr_len = (uint32_t)strlen(r->expr);
    return 0;
}

/* A watchlist with its number: {id, name, symbols}. */
static int check_watchlist(const json_t *lists, size_t i, struct place *p, struct error *err)
{
    static const char *const fields[] = {"id",      "name",       "description", "user_id",
                                         "symbols", "created_at", "updated_at"};
    const json_t *o = json_array_get(lists, i), *symbols = json_object_get(o, "symbols");
    char id[RULE_ID_MAX + 1], name[RULE_NAME_MAX + 1];
    *p = (struct place){.file = p->file, .rule = i + 1, .is_watchlist = true};
    if (!json_is_object(o))
        return wrong(err, p, "%s, expected an object", kind_of(o));
    if (text_field(o, "id", id, sizeof id, NULL, p, err) < 0)
        return -1;
    if (!id[0])
        return wrong(err, p, "id: empty, expected at least one byte");
    p->id = json_string_value(json_object_get(o, "id"));
    if (known_fields(o, fields, sizeof fields / sizeof *fields, "watchlist", p, err) < 0 ||
        text_field(o, "name", name, sizeof name, id, p, err) < 0)
        return -1;
    for (size_t k = 0; k < i; k++)
        if (is_called(json_array_get(lists, k), id) || is_called(json_array_get(lists, k), name))
            return wrong(err, p, "another watchlist is called so too");
    if (!json_is_array(symbols))
        return wrong(err, p, "symbols: %s, expected an array of names", kind_of(symbols));
    char *list = symbol_list(symbols, p, err);
    free(list);
    return list ? 0 : -1;
}

static int check_watchlists(const json_t *lists, const char *file, struct error *err)
{
    struct place p = {.file = file};
    if (!json_is_array(lists))
        return error_set(err, "%s: watchlists: %s, expected an array", file, kind_of(lists));
    for (size_t i = 0; i < json_array_size(lists); i++)
        if (check_watchlist(lists, i, &p, err) < 0)
            return -1;
    return 0;
}

static int add_rule(struct rules_file *f, const json_t *o, const json_t *watchlists, const char *file,
                    double cooldown_s, struct error *err)
{
    struct place p = {.file = file, .rule = f->n + 1u, .watchlists = watchlists};
    if ((f->n & (f->n - 1)) == 0) {
        f->rule = realloc(f->rule, (f->n ? 2 * f->n : 1) * sizeof *f->rule);
        if (!f->rule)
            abort();
    }
    struct rule *r = &f->rule[f->n++];
    memset(r, 0, sizeof *r);
    return read_rule(o, cooldown_s, r, &p, err);
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct rule *const *)a)->id, (*(const struct rule *const *)b)->id);
}

static int unique_ids(const struct rules_file *f, const char *file, struct error *err)
{
    const struct rule **sorted = malloc((f->n + 1u) * sizeof *sorted);
    int bad = 0;
    if (!sorted)
        abort();
    for (uint32_t i = 0; i < f->n; i++)
        sorted[i] = &f->rule[i];
    qsort(sorted, f->n, sizeof *sorted, by_id);
    for (uint32_t i = 1; !bad && i < f->n; i++)
        if (!strcmp(sorted[i]->id, sorted[i - 1]->id))
            bad = error_set(err, "%s: two rules have the id '%s'", file, sorted[i]->id);
    free(sorted);
    return bad;
}

static bool blank(const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t' || *p == '\r')) {
        p++;
        n--;
    }
    return n == 0;
}

/* One rule a line. `whole`: what is wrong with the text as one value, which is meant if not even its first
 * line is a rule. */
static int parse_lines(struct rules_file *f, const char *text, size_t len, const char *name,
                       double cooldown_s, const json_error_t *whole, struct error *err)
{
    unsigned line = 0;
    for (const char *p = text, *end = text + len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
        line++;
        if (!blank(p, n)) {
            json_error_t je;
            json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES, &je);
            if (!o && f->n == 0)
                return error_set(err, "%s:%d:%d: %s", name, whole->line, whole->column, whole->text);
            if (!o)
                return error_set(err, "%s:%u:%d: %s", name, line, je.column, je.text);
            int bad = add_rule(f, o, NULL, name, cooldown_s, err);
            json_decref(o);
            if (bad)
                return -1;
        }
        p += n + 1;
    }
    return 0;
}

struct rules_file *rules_file_parse(const char *text, size_t len, const char *name, double cooldown_s,
                                    struct error *err)
{
    struct rules_file *f = calloc(1, sizeof *f);
    json_error_t je;
    int bad = 0;
    if (!f)
        abort();
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je), *list = root;
    if (!root && strstr(je.text, "end of file expected")) {
        bad = parse_lines(f, text, len, name, cooldown_s, &je, err);
    } else if (!root) {
        bad = error_set(err, "%s:%d:%d: %s", name, je.line, je.column, je.text);
    } else {
        const json_t *watchlists = NULL;
        if (json_is_object(root) && json_object_get(root, "rules")) {
            list = json_object_get(root, "rules");
            watchlists = json_object_get(root, "watchlists");
            bad = watchlists ? check_watchlists(watchlists, name, err) : 0;
        }
        if (bad)
            list = NULL;
        else if (json_is_array(list))
            for (size_t i = 0; !bad && i < json_array_size(list); i++)
                bad = add_rule(f, json_array_get(list, i), watchlists, name, cooldown_s, err);
        else if (list == root && json_is_object(root))
            bad = add_rule(f, root, NULL, name, cooldown_s, err);
        else
            bad = error_set(err, "%s: %s, expected an array of rules, {\"rules\":[…]} or one rule a line",
                            name, kind_of(list));
    }
    json_decref(root);
    if (!bad && unique_ids(f, name, err) == 0)
        return f;
    rules_file_free(f);
    return NULL;
}

struct rules_file *rules_file_read(const char *path, double cooldown_s, struct error *err)
{
    FILE *in = fopen(path, "re");
    if (!in) {
        error_set(err, "%s: %s; expected a file of rules (JSON)", path, strerror(errno));
        return NULL;
    }
    char *text = NULL, chunk[65536];
    size_t len = 0, n;
    FILE *all = open_memstream(&text, &len);
    if (!all)
        abort();
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        fwrite(chunk, 1, n, all);
    int failed = ferror(in);
    fclose(in);
    fclose(all);
    struct rules_file *f = NULL;
    if (failed)
        error_set(err, "%s: cannot be read: %s", path, strerror(errno));
    else
        f = rules_file_parse(text, len, path, cooldown_s, err);
    free(text);
    return f;
}

void rules_file_free(struct rules_file *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->n; i++) {
        free((char *)f->rule[i].expr);
        free((char *)f->rule[i].symbols);
    }
    free(f->rule);
    free(f);
}

/* Content as records of `type`, in parts; all but the last are marked. */
static int parts(enum msg_type type, uint32_t id, const uint8_t *bytes, size_t len, struct msg *out)
{
    const size_t room = MSG_PAYLOAD_MAX - MSG_FIRST_BYTES;
    int used = 0;
    for (size_t at = 0; at < len;) {
        size_t n = len - at < room ? len - at : room;
        struct msg *m = out + used;
        used += (int)msg_begin(m, type, 0, MSG_FIRST_BYTES + n);
        m->part = (struct msg_part){.id = id, .len = (uint16_t)n};
        msg_put(m, MSG_FIRST_BYTES, bytes + at, n);
        at += n;
        if (at < len)
            m->flags |= MSG_F_MORE_PARTS;
    }
    return used;
}

int rule_messages(const struct rule *r, uint32_t slot, struct msg *out)
{
    static _Thread_local uint8_t bytes[RULE_BYTES_MAX];
    int len = rule_encode(r, bytes, sizeof bytes);
    return len < 0 ? 0 : parts(MSG_RULE, slot, bytes, (size_t)len, out);
}

int setting_message(const char *text, struct msg *out)
{
    return parts(MSG_SETTING, 0, (const uint8_t *)text, strlen(text), out);
}
