#include "workers/cmd_toplist.h"

#include <stdlib.h>

#include "net/calendar.h"
#include "net/text.h"
#include "shm/symtab.h"
#include "workers/observe.h"
#include "workers/toplist_show.h"

const struct cli_option cmd_toplist_options[] = {
    OBSERVE_DIR_OPTION,
    {.name = "limit",
     .arg = "N",
     .help = "at most so many rows (20)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = TOPLIST_LIMIT_MAX},
    {.name = "json", .help = "print it as JSON"},
    {0},
};

static void print_list_row(FILE *out, bool json, const struct market_list *l)
{
    const struct toplist *t = &l->list;
    const char *metric = toplist_metric_names[t->metric], *window = toplist_window_names[t->window],
               *order = t->ascending ? "asc" : "desc";
    struct text line = {0};
    if (json) {
        text_printf(&line, "{\"id\":\"%s\",\"user_id\":\"%s\",\"name\":", t->id, l->user_id);
        text_json(&line, l->name);
        text_printf(&line, ",\"metric\":\"%s\",\"time_window\":\"%s\",\"sort_order\":\"%s\",\"enabled\":%s}",
                    metric, window, order, l->enabled ? "true" : "false");
    } else {
        text_printf(&line, "%-24s %-16s %-16s %-6s %-5s %s", t->id, l->user_id, metric, window, order,
                    l->enabled ? "" : "off");
    }
    fprintf(out, "%.*s\n", (int)line.len, line.data);
    text_free(&line);
}

static void print_lists(const struct cli_args *args, const struct market_list *list, int n)
{
    static const char *const ids[] = {
#define X(id, ...) id,
        TOPLIST_SYSTEM(X)
#undef X
    };
    bool json = cli_has(args, "json");
    if (!json)
        fprintf(args->out, "%-24s %-16s %-16s %-6s %s\n", "TOPLIST", "USER", "METRIC", "WINDOW", "ORDER");
    for (unsigned i = 0; i < TOPLIST_SYSTEM_COUNT; i++) {
        struct market_list l;
        struct error err;
        if (toplist_choose(ids[i], NULL, 0, &l, &err) == 0)
            print_list_row(args->out, json, &l);
    }
    for (int i = 0; i < n; i++)
        print_list_row(args->out, json, &list[i]);
}

static int print_ranks(const struct cli_args *args, const struct workspace *ws, const struct market_list *l)
{
    static struct toplist_row rows[TOPLIST_LIMIT_MAX];
    const struct markettab *t = workspace_markettab(ws);
    struct market_second second;
    struct toplist_condition condition;
    struct toplist_keys keys;
    struct error err;
    if (markettab_keys(t, &keys, &err) < 0 || toplist_condition(&condition, l->list.expr, &keys, &err) < 0)
        return cli_fail(args, CLI_FAILED, "%s: %s", l->list.id, err.text);
    double *value = malloc((size_t)markettab_rows_max(t) * markettab_columns(t) * sizeof *value);
    if (!value)
        abort();
    int got = markettab_read(t, &second, value);
    if (got < 0) {
        free(value);
        return cli_fail(args, CLI_FAILED,
                        got == MARKETTAB_NONE ? "no second of the market is known yet: try again"
                                              : "it changes faster than it can be read: try again");
    }
    struct toplist_ranking r = {
        .list = &l->list, .row = rows, .limit = (uint32_t)cli_number(args, "limit", 20)};
    markettab_rank(t, &second, value, workspace_symtab(ws), &condition, &r);
    if (cli_has(args, "json")) {
        toplist_print_json(args->out, l, second.time_ns, &r);
    } else {
        char time[OBSERVE_TEXT_MAX];
        fprintf(args->out, "%s  %s%s\n", l->name, observe_time(second.time_ns, time),
                second.final ? ", the source has ended" : "");
        toplist_print_rows(args->out, &r);
    }
    free(value);
    return CLI_OK;
}

int cmd_toplist(const struct cli_args *args)
{
    static struct market_list list[MARKETTAB_LISTS];
    struct market_list chosen;
    struct error err;
    const char *dir = observe_dir(args);
    int code = CLI_OK;
    if (!dir)
        return CLI_USAGE;
    struct workspace *ws = observe_join(args, dir);
    if (!ws)
        return CLI_FAILED;
    const struct markettab *t = workspace_markettab(ws);
    calendar_init(NULL); /* without zone data the times are the host's */
    if (!workspace_alive(ws))
        fprintf(args->err, "%s: not running: this is what process %d left behind\n", dir,
                workspace_creator_pid(ws));
    int n = t ? markettab_lists(t, list) : 0;
    if (!t)
        code = cli_fail(args, CLI_FAILED,
                        "%s has no toplists: expected an instance with --set toplists.enabled=true", dir);
    else if (args->positional_count == 0)
        print_lists(args, list, n);
    else if (toplist_choose(args->positional[0], list, n, &chosen, &err) < 0)
        code = cli_fail(args, CLI_USAGE, "%s", err.text);
    else
        code = print_ranks(args, ws, &chosen);
    workspace_leave(ws);
    return code;
}
