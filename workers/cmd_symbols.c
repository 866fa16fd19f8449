#include "workers/cmd_symbols.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/decimal.h"
#include "net/calendar.h"
#include "shm/symtab.h"
#include "workers/observe.h"

const struct cli_option cmd_symbols_options[] = {
    OBSERVE_DIR_OPTION,
    {.name = "search", .arg = "TEXT", .help = "only names that contain it, in any case", .kind = CLI_TEXT},
    {.name = "limit",
     .arg = "N",
     .help = "at most so many",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = SYMTAB_ROWS_MAX},
    {.name = "json", .help = "print an object for each symbol, one a line"},
    {0},
};

/* A row as texts; "" is what is not known. */
struct shown {
    char price[DECIMAL_TEXT_MAX], size[DECIMAL_TEXT_MAX], time[DECIMAL_TEXT_MAX];
    char bid[DECIMAL_TEXT_MAX], ask[DECIMAL_TEXT_MAX], volume[DECIMAL_TEXT_MAX];
    const char *session;
};

static void show(struct shown *s, const struct symtab_row *row, bool json)
{
    unsigned scale = row->identity.size_scale, places = json ? 0 : 2;
    *s = (struct shown){.session = ""};
    if (row->trade.price_e9) {
        decimal_format_places(row->trade.price_e9, places, s->price);
        decimal_format(row->trade.size, scale, s->size);
        decimal_format(row->trade.day_volume, scale, s->volume);
        s->session = row->trade.session < SESSION_KIND_COUNT ? session_names[row->trade.session] : "";
        if (json)
            decimal_format_time(row->trade.event_ns, s->time);
        else
            observe_time(row->trade.event_ns, s->time);
    }
    if (row->quote.event_ns) {
        decimal_format_places(row->quote.bid_e9, places, s->bid);
        decimal_format_places(row->quote.ask_e9, places, s->ask);
    }
}

static const char *number(const char *text)
{
    return *text ? text : "null";
}

static void append_json(struct text *out, uint32_t id, const struct symtab_identity *sym, uint32_t scanner,
                        const struct shown *s)
{
    text_printf(out, "{\"symbol\":");
    text_json(out, sym->name);
    text_printf(out,
                ",\"id\":%u,\"bucket\":%u,\"scanner\":%u,\"price\":%s,\"size\":%s,\"timestamp\":%s%s%s,"
                "\"bid\":%s,\"ask\":%s,\"day_volume\":%s,\"session\":%s%s%s}\n",
                id, sym->bucket, scanner, number(s->price), number(s->size), *s->time ? "\"" : "",
                number(s->time), *s->time ? "\"" : "", number(s->bid), number(s->ask), number(s->volume),
                *s->session ? "\"" : "", number(s->session), *s->session ? "\"" : "");
}

static void append_row(struct text *out, const struct symtab_identity *sym, uint32_t scanner,
                       const struct shown *s)
{
    observe_column(out, sym->name, 12);
    text_printf(out, " %6u %3u %12s %10s  %-23s %12s %12s %14s %s\n", sym->bucket, scanner, s->price, s->size,
                s->time, s->bid, s->ask, s->volume, s->session);
}

int cmd_symbols(const struct cli_args *args)
{
    const char *dir = observe_dir(args), *search = cli_text(args, "search", "");
    if (!dir)
        return CLI_USAGE;
    struct workspace *ws = observe_join(args, dir);
    if (!ws)
        return CLI_FAILED;
    const struct symtab *t = workspace_symtab(ws);
    int64_t left = cli_number(args, "limit", SYMTAB_ROWS_MAX);
    bool json = cli_has(args, "json");
    struct text out = {0};
    calendar_init(NULL); /* without zone data the times are the host's */
    if (!workspace_alive(ws))
        fprintf(args->err, "%s: not running: this is what process %d left behind\n", dir,
                workspace_creator_pid(ws));
    if (!json)
        fprintf(args->out, "%-12s %6s %3s %12s %10s  %-23s %12s %12s %14s %s\n", "SYMBOL", "BUCKET", "BY",
                "PRICE", "SIZE", "TIME", "BID", "ASK", "DAY VOLUME", "SESSION");
    for (uint32_t id = 0; id < symtab_count(t) && left > 0; id++) {
        struct symtab_row row;
        struct shown s;
        if (!strcasestr(symtab_identity(t, id)->name, search) || symtab_read(t, id, &row) == SYMTAB_NONE)
            continue;
        uint32_t scanner = topology_bucket_scanner(workspace_topology(ws), row.identity.bucket);
        show(&s, &row, json);
        text_clear(&out);
        if (json)
            append_json(&out, id, &row.identity, scanner, &s);
        else
            append_row(&out, &row.identity, scanner, &s);
        fwrite(out.data, 1, out.len, args->out);
        left--;
    }
    text_free(&out);
    workspace_leave(ws);
    return CLI_OK;
}
