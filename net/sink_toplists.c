#include "net/sink_toplists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decimal.h"
#include "net/text.h"

enum { KEY_BYTES = MARKETTAB_USER_MAX + TOPLIST_ID_MAX + 16 };

struct sink_toplists {
    const struct sink_config *config;
    uint64_t shown; /* of the market role, as published */
    double *value;
    struct toplist_keys keys;
    struct toplist_condition condition;
    struct market_list list[MARKETTAB_LISTS];
    char (*user_key)[KEY_BYTES]; /* of users' lists that are published */
    uint32_t user_keys;
    struct toplist_row row[2 * TOPLIST_LIMIT_MAX];
    struct text update; /* what the channel is told */
};

struct sink_toplists *sink_toplists_new(const struct sink_config *c)
{
    if (!c->markettab || !c->ops->publish_toplist)
        return NULL;
    struct sink_toplists *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->config = c;
    t->value =
        malloc((size_t)markettab_rows_max(c->markettab) * markettab_columns(c->markettab) * sizeof *t->value);
    t->user_key = calloc(MARKETTAB_LISTS, sizeof *t->user_key);
    if (!t->value || !t->user_key)
        abort();
    struct error ignored; /* no keys then: lists that need some stay empty, as market has said */
    markettab_keys(c->markettab, &t->keys, &ignored);
    return t;
}

void sink_toplists_free(struct sink_toplists *t)
{
    if (!t)
        return;
    free(t->value);
    free(t->user_key);
    text_free(&t->update);
    free(t);
}

void sink_toplists_forget(struct sink_toplists *t)
{
    t->shown = 0;
}

static int publish(struct sink_toplists *t, void *state, const char *key, uint32_t n, uint64_t *published,
                   struct error *err)
{
    const struct sink_toplist l = {key, t->row, n};
    text_printf(&t->update, "%s\"%s\"", *published ? "," : "", key);
    ++*published;
    return t->config->ops->publish_toplist(state, &l, err);
}

/* The best of a list from row `at` on; none where its expression cannot be asked, which market has seen to.
 */
static uint32_t rank(struct sink_toplists *t, const struct market_second *s, const struct toplist *l,
                     uint32_t at)
{
    struct toplist_ranking r = {.list = l, .row = t->row + at, .limit = t->config->toplists_depth};
    struct error ignored;
    if (toplist_condition(&t->condition, l->expr, &t->keys, &ignored) < 0)
        return 0;
    markettab_rank(t->config->markettab, s, t->value, t->config->symtab, &t->condition, &r);
    return r.n;
}

/* Both ends of each metric and window; a symbol may be in both. */
static int publish_system(struct sink_toplists *t, void *state, const struct market_second *s,
                          uint64_t *published, struct error *err)
{
    for (unsigned m = 0; m < TOPLIST_METRIC_COUNT; m++)
        for (unsigned w = 0; w < TOPLIST_WINDOW_COUNT; w++) {
            struct toplist l = {.metric = m, .window = w, .filter = toplist_no_filter};
            char key[KEY_BYTES];
            uint32_t n = rank(t, s, &l, 0);
            l.ascending = true;
            n += rank(t, s, &l, n);
            snprintf(key, sizeof key, "%s:%s", toplist_metric_names[m], toplist_window_names[w]);
            int result = publish(t, state, key, n, published, err);
            if (result)
                return result;
        }
    return 0;
}

/* Those that are no more, or are switched off, are emptied. */
static int publish_users(struct sink_toplists *t, void *state, const struct market_second *s,
                         uint64_t *published, struct error *err)
{
    int lists = markettab_lists(t->config->markettab, t->list);
    char(*key)[KEY_BYTES] = calloc(MARKETTAB_LISTS, sizeof *key);
    uint32_t keys = 0;
    int result = 0;
    if (!key)
        abort();
    for (int i = 0; i < lists && !result; i++) {
        const struct market_list *l = &t->list[i];
        if (!l->enabled)
            continue;
        snprintf(key[keys], KEY_BYTES, "user:%s:%s", l->user_id, l->list.id);
        result = publish(t, state, key[keys], rank(t, s, &l->list, 0), published, err);
        keys++;
    }
    for (uint32_t i = 0; i < t->user_keys && lists >= 0 && !result; i++) {
        uint32_t k = 0;
        while (k < keys && strcmp(key[k], t->user_key[i]))
            k++;
        if (k == keys)
            result = publish(t, state, t->user_key[i], 0, published, err);
    }
    if (result || lists < 0) {
        free(key);
        return result;
    }
    free(t->user_key);
    t->user_key = key;
    t->user_keys = keys;
    return 0;
}

int sink_toplists_publish(struct sink_toplists *t, void *state, uint64_t *published, struct error *err)
{
    struct market_second second;
    char time[DECIMAL_TEXT_MAX];
    uint64_t shown = markettab_shown(t->config->markettab);
    *published = 0;
    if (shown == t->shown || markettab_read(t->config->markettab, &second, t->value) < 0)
        return 0;
    decimal_format_time(second.time_ns, time);
    text_clear(&t->update);
    text_printf(&t->update, "{\"timestamp\":\"%s\",\"toplists\":[", time);
    int result = publish_system(t, state, &second, published, err);
    if (result == 0)
        result = publish_users(t, state, &second, published, err);
    if (result)
        return result;
    text_printf(&t->update, "]}");
    result = t->config->ops->toplists_updated(state, t->update.data, err);
    if (result == 0)
        t->shown = shown;
    return result;
}
