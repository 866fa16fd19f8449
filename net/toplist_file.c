#include "net/toplist_file.h"

#include "core/attribute.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 4 << 20 };

/* Field, JSON's type of it, must it be there. */
#define FIELDS(X)                                                                                            \
    X("id", JSON_STRING, true)                                                                               \
    X("user_id", JSON_STRING, false)                                                                         \
    X("name", JSON_STRING, false)                                                                            \
    X("description", JSON_STRING, false)                                                                     \
    X("metric", JSON_STRING, true)                                                                           \
    X("time_window", JSON_STRING, true)                                                                      \
    X("sort_order", JSON_STRING, false)                                                                      \
    X("filters", JSON_OBJECT, false)                                                                         \
    X("columns", JSON_ARRAY, false)                                                                          \
    X("color_scheme", JSON_OBJECT, false)                                                                    \
    X("enabled", JSON_TRUE, false)                                                                           \
    X("created_at", JSON_STRING, false)                                                                      \
    X("updated_at", JSON_STRING, false)

/* Filter, its place in struct toplist, JSON's type of it. */
#define FILTERS(X)                                                                                           \
    X(min_volume, filter.min_volume, JSON_REAL)                                                              \
    X(min_change_pct, filter.min_change_pct, JSON_REAL)                                                      \
    X(price_min, filter.price_min, JSON_REAL)                                                                \
    X(price_max, filter.price_max, JSON_REAL)                                                                \
    X(market_cap_min, filter.market_cap_min, JSON_REAL)                                                      \
    X(market_cap_max, filter.market_cap_max, JSON_REAL)                                                      \
    X(exchange, filter.exchange, JSON_STRING)                                                                \
    X(expr, expr, JSON_STRING)

static const struct {
    const char *name;
    json_type type;
    bool needed;
} fields[] = {
#define X(name, type, needed) {name, type, needed},
    FIELDS(X)
#undef X
};
static const struct {
    const char *name;
    size_t at;
    json_type type;
} filters[] = {
#define X(name, place, type) {#name, offsetof(struct toplist, place), type},
    FILTERS(X)
#undef X
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

struct place {
    const char *path;
    size_t n; /* of the list, from 1 */
};

__attribute__((format(printf, 3, 4))) static int wrong(struct error *err, const struct place *p,
                                                       const char *format, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return error_set(err, "%s: list %zu: %s", p->path, p->n, text);
}

static const char *type_name(json_type type)
{
    static const char *const names[] = {"an object", "an array",      "a text",        "a number",
                                        "a number",  "true or false", "true or false", "null"};
    return names[type];
}

static bool is_of(const json_t *v, json_type type)
{
    return type == JSON_TRUE   ? json_is_boolean(v)
           : type == JSON_REAL ? json_is_number(v)
                               : json_typeof(v) == type;
}

static int check_fields(const json_t *o, const struct place *p, struct error *err)
{
    const char *names[COUNT(fields)], *key;
    json_t *v;
    for (unsigned i = 0; i < COUNT(fields); i++)
        names[i] = fields[i].name;
    json_object_foreach((json_t *)o, key, v)
    {
        unsigned i = 0;
        while (i < COUNT(fields) && strcmp(fields[i].name, key))
            i++;
        if (i == COUNT(fields)) {
            const char *near = error_nearest(key, names, COUNT(fields));
            return wrong(err, p, "unknown field '%.40s'%s%s%s", key, near ? ", did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
        }
        if (!is_of(v, fields[i].type))
            return wrong(err, p, "\"%s\" is %s, expected %s", key, type_name(json_typeof(v)),
                         type_name(fields[i].type));
    }
    for (unsigned i = 0; i < COUNT(fields); i++)
        if (fields[i].needed && !json_object_get(o, fields[i].name))
            return wrong(err, p, "has no \"%s\"", fields[i].name);
    return 0;
}

/* A name as it may stand in a key of Redis: letters, digits, . _ -; "" where it need not be there. */
static int take_name(const json_t *o, const char *field, char *out, size_t size, const struct place *p,
                     struct error *err)
{
    const char *s = json_string_value(json_object_get(o, field));
    if (!s)
        return 0;
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (n == 0 || s[n] || n >= size)
        return wrong(err, p, "\"%s\" is '%.70s', expected 1 to %zu of letters, digits, . _ -", field, s,
                     size - 1);
    memcpy(out, s, n + 1);
    return 0;
}

/* Which of the names the field is. */
static int take_choice(const json_t *o, const char *field, const char *const names[], unsigned n,
                       const struct place *p, struct error *err)
{
    const char *s = json_string_value(json_object_get(o, field));
    char expected[128] = "";
    for (unsigned i = 0; i < n; i++) {
        if (!strcmp(s, names[i]))
            return (int)i;
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%s",
                 i ? (i + 1 == n ? " or " : ", ") : "", names[i]);
    }
    return wrong(err, p, "\"%s\" is '%.40s', expected %s", field, s, expected);
}

static int take_exchange(const char *text, size_t len, int64_t *key, const struct place *p, struct error *err)
{
    struct attributes a;
    attributes_clear(&a);
    if (!attribute_set_text(&a, ATTRIBUTE_EXCHANGE, text, len))
        return wrong(
            err, p,
            "filter \"exchange\" is '%.70s', expected 1 to %d bytes without quotes or control characters",
            text, ATTRIBUTE_TEXT_MAX);
    *key = attribute_text_key(text, len);
    return 0;
}

static int take_expr(const char *text, size_t len, char out[TOPLIST_EXPR_MAX + 1], struct toplist_keys *keys,
                     const struct place *p, struct error *err)
{
    struct error why;
    if (len > TOPLIST_EXPR_MAX || strlen(text) != len)
        return wrong(err, p, "filter \"expr\" has %zu bytes, expected a text of at most %d", len,
                     TOPLIST_EXPR_MAX);
    if (toplist_keys_add(keys, text, &why) < 0)
        return wrong(err, p, "filter \"expr\": %s", why.text);
    memcpy(out, text, len + 1);
    return 0;
}

static int take_filters(const json_t *o, struct toplist *t, struct toplist_keys *keys, const struct place *p,
                        struct error *err)
{
    const char *names[COUNT(filters)], *key;
    json_t *v;
    for (unsigned i = 0; i < COUNT(filters); i++)
        names[i] = filters[i].name;
    json_object_foreach((json_t *)o, key, v)
    {
        unsigned i = 0;
        int bad = 0;
        while (i < COUNT(filters) && strcmp(filters[i].name, key))
            i++;
        if (i == COUNT(filters)) {
            const char *near = error_nearest(key, names, COUNT(filters));
            return wrong(err, p, "unknown filter '%.40s'%s%s%s", key, near ? ", did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
        }
        if (json_is_null(v))
            continue;
        if (!is_of(v, filters[i].type))
            return wrong(err, p, "filter \"%s\" is %s, expected %s", key, type_name(json_typeof(v)),
                         type_name(filters[i].type));
        if (filters[i].type == JSON_REAL)
            *(double *)((char *)t + filters[i].at) = json_number_value(v);
        else if (filters[i].at == offsetof(struct toplist, expr))
            bad = take_expr(json_string_value(v), json_string_length(v), t->expr, keys, p, err);
        else
            bad = take_exchange(json_string_value(v), json_string_length(v), &t->filter.exchange, p, err);
        if (bad)
            return -1;
    }
    return 0;
}

static int take_list(const json_t *o, struct market_list *l, struct toplist_keys *keys, const struct place *p,
                     struct error *err)
{
    static const char *const orders[] = {"desc", "asc"};
    const json_t *enabled = json_object_get(o, "enabled");
    struct error why;
    memset(l, 0, sizeof *l);
    l->list.filter = toplist_no_filter;
    if (!json_is_object(o))
        return wrong(err, p, "is %s, expected an object", type_name(json_typeof(o)));
    if (check_fields(o, p, err) || take_name(o, "id", l->list.id, sizeof l->list.id, p, err) ||
        take_name(o, "user_id", l->user_id, sizeof l->user_id, p, err))
        return -1;
    if (toplist_find(l->list.id, &(struct toplist){0}, &why) == 0)
        return wrong(err, p, "\"id\" is '%s', which is the name of a system list", l->list.id);
    int metric = take_choice(o, "metric", toplist_metric_names, TOPLIST_METRIC_COUNT, p, err);
    int window =
        metric < 0 ? -1 : take_choice(o, "time_window", toplist_window_names, TOPLIST_WINDOW_COUNT, p, err);
    int order = window < 0                         ? -1
                : json_object_get(o, "sort_order") ? take_choice(o, "sort_order", orders, 2, p, err)
                                                   : 0;
    if (order < 0)
        return -1;
    l->list.metric = (enum toplist_metric)metric;
    l->list.window = (enum toplist_window)window;
    l->list.ascending = order;
    l->enabled = !enabled || json_is_true(enabled);
    const char *name = json_string_value(json_object_get(o, "name"));
    if (name && strlen(name) > MARKETTAB_NAME_MAX)
        return wrong(err, p, "\"name\" has more than %d bytes", MARKETTAB_NAME_MAX);
    snprintf(l->name, sizeof l->name, "%s", name ? name : l->list.id);
    return take_filters(json_object_get(o, "filters"), &l->list, keys, p, err);
}

static int take_all(const json_t *root, const char *path, struct market_list *list, struct toplist_keys *keys,
                    struct error *err)
{
    const json_t *all = json_is_object(root) ? json_object_get(root, "toplists") : root;
    size_t n = json_array_size(all);
    keys->n = 0;
    if (!json_is_array(all))
        return error_set(err, "%s: expected an array of lists, or {\"toplists\":[…]}", path);
    if (n > MARKETTAB_LISTS)
        return error_set(err, "%s: %zu lists, expected at most %d", path, n, MARKETTAB_LISTS);
    for (size_t i = 0; i < n; i++) {
        const struct place p = {path, i + 1};
        if (take_list(json_array_get(all, i), &list[i], keys, &p, err))
            return -1;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(list[k].list.id, list[i].list.id) && !strcmp(list[k].user_id, list[i].user_id))
                return wrong(err, &p, "has the \"id\" of list %zu: '%s'", k + 1, list[i].list.id);
    }
    return (int)n;
}

int toplist_file_parse(const char *path, const char *text, size_t len,
                       struct market_list list[MARKETTAB_LISTS], struct toplist_keys *keys, struct error *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return error_set(err, "%s:%d:%d: %s", path, why.line, why.column, why.text);
    int n = take_all(root, path, list, keys, err);
    json_decref(root);
    return n;
}

int toplist_file_check(const char *path, const struct market_list *list, int n,
                       const struct toplist_keys *keys, struct error *err)
{
    struct toplist_condition c;
    struct error why;
    for (int i = 0; i < n; i++) {
        const struct place p = {path, (size_t)i + 1};
        if (toplist_condition(&c, list[i].list.expr, keys, &why) < 0)
            return wrong(err, &p, "filter \"expr\": %s", why.text);
    }
    return 0;
}

int toplist_file_read(const char *path, struct market_list list[MARKETTAB_LISTS], struct toplist_keys *keys,
                      struct error *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(err, "%s: cannot open: %s", path, strerror(errno));
    char *text = malloc(FILE_BYTES_MAX + 1);
    if (!text)
        abort();
    size_t len = fread(text, 1, FILE_BYTES_MAX + 1, f);
    int n;
    if (ferror(f) || len > FILE_BYTES_MAX)
        n = error_set(err, "%s: cannot be read, or has more than %d bytes", path, FILE_BYTES_MAX);
    else
        n = toplist_file_parse(path, text, len, list, keys, err);
    free(text);
    fclose(f);
    return n;
}
