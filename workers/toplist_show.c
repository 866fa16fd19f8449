#include "workers/toplist_show.h"

#include "core/decimal.h"
#include "net/text.h"

int toplist_choose(const char *id, const struct market_list *list, int n, struct market_list *out,
                   struct error *err)
{
    const struct market_list *found = NULL;
    *out = (struct market_list){.enabled = true};
    if (toplist_find(id, &out->list, err) == 0) {
        snprintf(out->name, sizeof out->name, "%s", id);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        char whole[MARKETTAB_USER_MAX + TOPLIST_ID_MAX + 2];
        snprintf(whole, sizeof whole, "%s:%s", list[i].user_id, list[i].list.id);
        if (strcmp(whole, id) && strcmp(list[i].list.id, id))
            continue;
        if (found)
            return error_set(err, "several users have a toplist '%.60s': expected USER:%.60s", id, id);
        found = &list[i];
    }
    if (!found)
        return -1;
    *out = *found;
    return 0;
}

static void print_number(struct text *t, double v)
{
    char s[DECIMAL_TEXT_MAX];
    decimal_format_double(v, s); /* null if it is unknown */
    text_append(t, s, strlen(s));
}

void toplist_print_json(FILE *out, const struct market_list *l, int64_t time_ns,
                        const struct toplist_ranking *r)
{
    struct text t = {0};
    char time[DECIMAL_TEXT_MAX];
    decimal_format_time(time_ns, time);
    text_printf(&t, "{\"toplist_id\":\"%s\",\"toplist_name\":", l->list.id);
    text_json(&t, l->name);
    text_printf(&t, ",\"timestamp\":\"%s\",\"rankings\":[", time);
    for (uint32_t i = 0; i < r->n; i++) {
        const struct toplist_row *row = &r->row[i];
        text_printf(&t, "%s{\"symbol\":", i ? "," : "");
        text_json(&t, row->name);
        text_printf(&t, ",\"rank\":%u,\"value\":", i + 1);
        print_number(&t, row->value[RANK_VALUE]);
        text_printf(&t, ",\"metadata\":{\"price\":");
        print_number(&t, row->value[RANK_PRICE]);
        text_printf(&t, ",\"volume\":");
        print_number(&t, row->value[RANK_DAY_VOLUME]);
        text_printf(&t, "}}");
    }
    text_printf(&t, "]}\n");
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

void toplist_print_rows(FILE *out, const struct toplist_ranking *r)
{
    fprintf(out, "%4s  %-16s %14s %14s %16s\n", "RANK", "SYMBOL", toplist_metric_names[r->list->metric],
            "PRICE", "DAY VOLUME");
    for (uint32_t i = 0; i < r->n; i++) {
        const double *v = r->row[i].value;
        fprintf(out, "%4u  %-16s %14.4f %14.4f %16.0f\n", i + 1, r->row[i].name, v[RANK_VALUE], v[RANK_PRICE],
                v[RANK_DAY_VOLUME]);
    }
}
