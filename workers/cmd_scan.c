#include "workers/cmd_scan.h"

#include <stdlib.h>
#include <string.h>

#include "core/decimal.h"
#include "net/text.h"
#include "shm/symtab.h"
#include "shm/valuetab.h"
#include "workers/observe.h"

const struct cli_option cmd_scan_options[] = {
    OBSERVE_DIR_OPTION,
    {.name = "limit",
     .arg = "N",
     .help = "at most so many",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = SYMTAB_ROWS_MAX},
    {.name = "json", .help = "print an object for each symbol, one a line"},
    {0},
};

/* The columns that the expression names, in their order there. */
struct asked {
    unsigned n, column[ALERT_OPERANDS_MAX];
    struct metric metric[SCAN_COLUMNS];
};

static void ask(struct asked *a, const struct expr *x)
{
    a->n = 0;
    for (unsigned i = 0; i < x->n_operands; i++)
        for (unsigned c = 0; c < SCAN_COLUMNS; c++)
            if (metric_same(&a->metric[c], &x->operand[i]))
                a->column[a->n++] = c;
}

static void put_value(struct text *out, const struct metric *m, int64_t key, bool json)
{
    char text[DECIMAL_TEXT_MAX];
    if (key == KEY_UNKNOWN)
        text_printf(out, json ? "null" : "-");
    else if (m->kind == METRIC_SESSION)
        text_printf(out, json ? "\"%s\"" : "%s",
                    session_names[(unsigned)key_to_double(key) % SESSION_KIND_COUNT]);
    else if (metric_unit(m) == UNIT_PRICE && decimal_format((uint64_t)(key < 0 ? -key : key), 9, text))
        text_printf(out, "%s%s", key < 0 ? "-" : "", text);
    else
        text_printf(out, json ? "%.17g" : "%.6g", key_to_double(key));
}

static void print_row(const struct cli_args *args, const struct asked *a, const struct valuetab *t,
                      uint32_t id, const char *name)
{
    bool json = cli_has(args, "json");
    struct text line = {0};
    if (json) {
        text_printf(&line, "{\"symbol\":");
        text_json(&line, name);
    } else {
        observe_column(&line, name, 12);
    }
    for (unsigned i = 0; i < a->n; i++) {
        const struct metric *m = &a->metric[a->column[i]];
        char metric[METRIC_NAME_MAX];
        metric_name(m, metric);
        text_printf(&line, json ? ",\"%s\":" : "  %s ", metric);
        put_value(&line, m, valuetab_get(t, id, a->column[i]), json);
    }
    text_printf(&line, json ? "}\n" : "\n");
    fwrite(line.data, 1, line.len, args->out);
    text_free(&line);
}

static void print_hits(const struct cli_args *args, const struct workspace *ws, const struct valuetab *t,
                       const struct scan *s, const struct asked *a)
{
    const struct symtab *names = workspace_symtab(ws);
    uint64_t *hits = malloc((size_t)valuetab_blocks(t) * SCAN_WORDS * sizeof *hits);
    int64_t left = cli_number(args, "limit", SYMTAB_ROWS_MAX);
    if (!hits)
        abort();
    valuetab_scan(t, s, hits);
    for (uint32_t id = 0; id < symtab_count(names) && left > 0; id++)
        if (hits[id / 64] >> id % 64 & 1) {
            print_row(args, a, t, id, symtab_identity(names, id)->name);
            left--;
        }
    free(hits);
}

static int print_metrics(const struct cli_args *args, const struct metric *metric)
{
    for (unsigned c = 0; c < SCAN_COLUMNS; c++) {
        char name[METRIC_NAME_MAX];
        metric_name(&metric[c], name);
        fprintf(args->out, "%s\n", name);
    }
    return CLI_OK;
}

int cmd_scan(const struct cli_args *args)
{
    static struct expr x;
    static struct scan s;
    struct asked a;
    struct error err;
    scan_columns(a.metric);
    if (args->positional_count == 0)
        return print_metrics(args, a.metric);
    const char *dir = observe_dir(args), *text = args->positional[0];
    if (!dir)
        return CLI_USAGE;
    if (expr_parse_instant(text, strlen(text), &x, &err) < 0 ||
        scan_compile(&s, &x, a.metric, SCAN_COLUMNS, &err) < 0)
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    ask(&a, &x);
    struct workspace *ws = observe_join(args, dir);
    if (!ws)
        return CLI_FAILED;
    const struct valuetab *t = workspace_valuetab(ws);
    int code = CLI_OK;
    if (!workspace_alive(ws))
        fprintf(args->err, "%s: not running: this is what process %d left behind\n", dir,
                workspace_creator_pid(ws));
    if (t)
        print_hits(args, ws, t, &s, &a);
    else
        code =
            cli_fail(args, CLI_FAILED,
                     "%s keeps no values for scans: expected an instance with --set scans.enabled=true", dir);
    workspace_leave(ws);
    return code;
}
