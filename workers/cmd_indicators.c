#include "workers/cmd_indicators.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/decimal.h"
#include "core/indicator.h"
#include "net/csv.h"
#include "net/lines.h"
#include "net/text.h"

const struct cli_option cmd_indicators_options[] = {
    {.name = "metric",
     .arg = "NAME",
     .help = "add its values as a column: rsi(14), macd(12,26,9).signal, bb_20_2_upper",
     .kind = CLI_TEXT,
     .many = true},
    {.name = "list", .help = "list the indicators"},
    {.name = "json", .help = "list them as a JSON array"},
    {.name = "markdown", .help = "list them as a Markdown table"},
    {0},
};

enum { COLUMN_OPEN, COLUMN_HIGH, COLUMN_LOW, COLUMN_CLOSE, COLUMN_VOLUME, COLUMNS };
static const char *const column_names[COLUMNS] = {"open", "high", "low", "close", "volume"};

/* A metric that was asked for, with its state. */
struct wanted {
    const char *name;
    struct indicator x;
    int64_t *state;
};

/* The file: its lines as they are, and the bars in them. */
struct table {
    const char *path;
    struct text text;
    struct row {
        size_t at, len; /* in text, without the line's end */
        uint64_t line;
    } * row;
    struct bar *bar;
    size_t rows, room;
    int column[COLUMNS]; /* -1: not there */
    bool needed[COLUMNS];
    unsigned scale; /* decimals of volumes */
};

/* ---- the catalogue */

static void form_of(const struct indicator_row *row, char out[64])
{
    size_t at = (size_t)snprintf(out, 64, "%s", row->name);
    for (unsigned i = 0; row->form[i]; i++) {
        at += (size_t)snprintf(out + at, 64 - at, "%c", i ? ',' : '(');
        if (row->standard[i] == 0)
            at += (size_t)snprintf(out + at, 64 - at, "N");
        else if (row->form[i] == 'n')
            at += (size_t)snprintf(out + at, 64 - at, "%u", row->standard[i]);
        else
            at += (size_t)snprintf(out + at, 64 - at, "%g", row->standard[i] / 100.0);
    }
    if (*row->form)
        snprintf(out + at, 64 - at, ")");
}

static void outputs_of(const struct indicator_row *row, char out[64])
{
    size_t at = 0, len;
    const char *name;
    out[0] = 0;
    for (unsigned o = 0; (name = indicator_output(row, o, &len)); o++)
        if (len)
            at += (size_t)snprintf(out + at, 64 - at, "%s.%.*s", at ? " " : "", (int)len, name);
}

static int list(const struct cli_args *args)
{
    static const char *const units[] = {"price", "percent", "number"};
    bool json = cli_has(args, "json"), markdown = cli_has(args, "markdown");
    char form[64], outputs[64];
    struct text t = {0};
    if (markdown)
        text_printf(&t, "| indicator | outputs | unit | reads | |\n|---|---|---|---|---|\n");
    else if (!json)
        text_printf(&t, "%-20s %-33s %-7s %-5s %s\n", "INDICATOR", "OUTPUTS", "UNIT", "READS", "WHAT IT IS");
    for (const struct indicator_row *r = indicator_rows; r < indicator_rows + INDICATOR_KIND_COUNT; r++) {
        form_of(r, form);
        outputs_of(r, outputs);
        if (json) {
            text_printf(&t, "%s\n  {\"name\":\"%s\",\"form\":\"%s\",\"outputs\":\"%s\",\"unit\":\"%s\",",
                        r == indicator_rows ? "[" : ",", r->name, form, outputs, units[r->unit]);
            text_printf(&t, "\"reads\":\"%s\",\"help\":", r->reads);
            text_json(&t, r->help);
            text_append(&t, "}", 1);
        } else {
            text_printf(&t, markdown ? "| `%s` | %s | %s | %s | " : "%-20s %-33s %-7s %-5s ", form, outputs,
                        units[r->unit], r->reads);
            for (const char *p = r->help; *p; p++) /* in a table '|' ends a cell */
                text_printf(&t, markdown && *p == '|' ? "\\%c" : "%c", *p);
            text_printf(&t, markdown ? " |\n" : "\n");
        }
    }
    if (json)
        text_printf(&t, "\n]\n");
    if (t.failed)
        return cli_fail(args, CLI_FAILED, "no memory");
    fwrite(t.data, 1, t.len, args->out);
    text_free(&t);
    return CLI_OK;
}

/* ---- what was asked for */

static int unknown(const char *name, struct error *err)
{
    const char *names[INDICATOR_KIND_COUNT];
    for (unsigned k = 0; k < INDICATOR_KIND_COUNT; k++)
        names[k] = indicator_rows[k].name;
    char word[INDICATOR_NAME_MAX];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "(.0123456789"), name);
    size_t len = strlen(word);
    if (len && word[len - 1] == '_')
        word[len - 1] = 0;
    const char *near = error_nearest(word, names, INDICATOR_KIND_COUNT);
    return error_set(err, "unknown indicator '%.100s'%s%s%s; `ringtape indicators --list` has all", name,
                     near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int parse(const char *name, struct indicator *x, struct error *err)
{
    if (strchr(name, '@'))
        return error_set(err, "'%.100s': no timeframe is expected; the file's bars are the timeframe", name);
    char text[INDICATOR_NAME_MAX];
    size_t len = indicator_close_up(name, strlen(name), text, sizeof text);
    int r = len < sizeof text ? indicator_parse(text, len, x, err) : 1;
    return r > 0 ? unknown(name, err) : r;
}

static const char *trim(const char *text, size_t *len)
{
    while (*len && (*text == ' ' || *text == '\t'))
        text++, --*len;
    while (*len && (text[*len - 1] == ' ' || text[*len - 1] == '\t'))
        --*len;
    return text;
}

/* Marks the columns that the metrics read; all the states are made. */
static int take_metrics(const struct cli_args *args, struct wanted *w, struct table *t, struct error *err)
{
    int n = 0;
    for (const char *name; (name = cli_nth(args, "metric", n)); n++) {
        w[n].name = name;
        if (parse(name, &w[n].x, err))
            return -1;
        w[n].state = calloc(indicator_words(&w[n].x), sizeof *w[n].state);
        if (!w[n].state)
            return error_set(err, "no memory for '%.100s'", name);
        for (int c = 0; c < COLUMNS; c++)
            if (strchr(indicator_rows[w[n].x.kind].reads, column_names[c][0]))
                t->needed[c] = true;
    }
    return n;
}

/* ---- the file */

static int take_header(struct table *t, char *line, struct error *err)
{
    struct csv_row row;
    if (!strncmp(line, "\xef\xbb\xbf", 3)) /* a byte order mark */
        line += 3;
    if (!csv_take(line, &row))
        return error_set(err, "%s, line 1: its quotes are no good", t->path);
    for (int c = 0; c < COLUMNS; c++)
        t->column[c] = -1;
    for (uint32_t i = 0; i < row.fields && i < CSV_FIELDS_MAX; i++) {
        size_t len;
        const char *name = csv_field(&row, i, &len);
        name = trim(name, &len);
        for (int c = 0; c < COLUMNS; c++)
            if (len == strlen(column_names[c]) && !strncasecmp(name, column_names[c], len)) {
                if (t->column[c] >= 0)
                    return error_set(err, "%s, line 1: two columns are named '%s'", t->path, column_names[c]);
                t->column[c] = (int)i;
            }
    }
    for (int c = 0; c < COLUMNS; c++)
        if (t->needed[c] && t->column[c] < 0)
            return error_set(err, "%s, line 1: no column%s is named '%s', which the metrics need", t->path,
                             row.fields > CSV_FIELDS_MAX ? " of the first 128" : "", column_names[c]);
    return 0;
}

static const char *reason_of(enum decimal_result r)
{
    return r == DECIMAL_EMPTY      ? "it is empty"
           : r == DECIMAL_NEGATIVE ? "it is below 0"
           : r == DECIMAL_PLACES   ? "it has too many decimals"
           : r == DECIMAL_OVERFLOW ? "it is too large"
                                   : "it is no number";
}

static int bad_field(const struct table *t, const struct row *row, int column, const char *text, size_t len,
                     enum decimal_result r, const char *expected, struct error *err)
{
    return error_set(err, "%s, line %llu: %s is '%.*s': %s; expected %s", t->path,
                     (unsigned long long)row->line, column_names[column], (int)(len < 60 ? len : 60), text,
                     reason_of(r), expected);
}

/* The field of a column, "" with len 0 where the row is shorter. */
static const char *field_of(const struct table *t, const struct csv_row *row, int column, size_t *len)
{
    *len = 0;
    uint32_t i = (uint32_t)t->column[column];
    return i < row->fields && i < CSV_FIELDS_MAX ? trim(csv_field(row, i, len), len) : "";
}

/* A number that decimal_parse found to have more decimals than `scale`, rounded to it, times 10^scale. */
static enum decimal_result round_to(const char *text, size_t len, unsigned scale, double most,
                                    long double *value)
{
    char copy[128];
    if (len >= sizeof copy)
        return DECIMAL_PLACES;
    memcpy(copy, text, len);
    copy[len] = 0;
    long double x = strtold(copy, NULL);
    for (unsigned i = 0; i < scale; i++)
        x *= 10;
    *value = roundl(x);
    return fabsl(*value) < (long double)most ? DECIMAL_OK : DECIMAL_OVERFLOW;
}

static enum decimal_result price_of(const char *text, size_t len, int64_t *price_e9)
{
    long double rounded;
    enum decimal_result r = decimal_parse(text, len, 9, price_e9);
    if (r != DECIMAL_PLACES)
        return r;
    r = round_to(text, len, 9, 0x1p63, &rounded);
    if (r == DECIMAL_OK)
        *price_e9 = (int64_t)rounded;
    return r;
}

/* Decimals beyond these digits are more than a double shows, and 128 bits have room for the money of a
 * million such bars. */
#define VOLUME_MOST UINT64_C(100000000000000000)

static enum decimal_result volume_of(const char *text, size_t len, unsigned scale, uint64_t *volume)
{
    long double rounded;
    enum decimal_result r = decimal_parse_unsigned(text, len, scale, volume);
    if (r == DECIMAL_PLACES && (r = round_to(text, len, scale, 0x1p64, &rounded)) == DECIMAL_OK)
        *volume = (uint64_t)rounded;
    return r == DECIMAL_OK && scale && *volume > VOLUME_MOST ? DECIMAL_OVERFLOW : r;
}

/* The prices of a row, and the decimals of its volume. */
static int take_prices(struct table *t, const struct row *at, const struct csv_row *row, struct error *err)
{
    struct bar *b = &t->bar[t->rows];
    int64_t *const to[] = {&b->open_e9, &b->high_e9, &b->low_e9, &b->close_e9};
    size_t len;
    *b = (struct bar){.minute = (uint32_t)t->rows, .trades = 1};
    for (int c = 0; c < COLUMN_VOLUME; c++) {
        if (!t->needed[c])
            continue;
        const char *text = field_of(t, row, c, &len);
        enum decimal_result r = price_of(text, len, to[c]);
        if (r != DECIMAL_OK)
            return bad_field(t, at, c, text, len, r, "a price", err);
    }
    if (!t->needed[COLUMN_VOLUME])
        return 0;
    const char *text = field_of(t, row, COLUMN_VOLUME, &len);
    enum decimal_result r = decimal_parse_unsigned(text, len, t->scale, &b->volume);
    while (r == DECIMAL_PLACES && t->scale < DECIMAL_SCALE_MAX)
        r = decimal_parse_unsigned(text, len, ++t->scale, &b->volume);
    if (r == DECIMAL_OK || r == DECIMAL_PLACES || (r == DECIMAL_OVERFLOW && t->scale))
        return 0; /* read_volumes has the last word */
    return bad_field(t, at, COLUMN_VOLUME, text, len, r, "a volume", err);
}

static int add_row(struct table *t, char *line, size_t len, uint64_t number, struct error *err)
{
    if (t->rows == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        struct row *row = realloc(t->row, room * sizeof *row);
        if (row)
            t->row = row;
        struct bar *bar = row ? aligned_alloc(_Alignof(struct bar), room * sizeof *bar) : NULL;
        if (!bar)
            return error_set(err, "%s: no memory for its rows", t->path);
        if (t->rows)
            memcpy(bar, t->bar, t->rows * sizeof *bar);
        free(t->bar);
        t->bar = bar;
        t->room = room;
    }
    struct row *row = &t->row[t->rows];
    struct csv_row fields;
    *row = (struct row){t->text.len, len, number};
    text_append(&t->text, line, len);
    if (number == 1)
        return take_header(t, line, err) ? -1 : (t->rows++, 0);
    if (!csv_take(line, &fields))
        return error_set(err, "%s, line %llu: its quotes are no good", t->path, (unsigned long long)number);
    if (take_prices(t, row, &fields, err))
        return -1;
    t->rows++;
    return 0;
}

/* All lines; the first is the header, a blank one is left out. */
static int read_table(struct table *t, struct error *err)
{
    struct lines *l = lines_open(strcmp(t->path, "-") ? t->path : "/dev/stdin", err);
    char *text;
    size_t len;
    uint64_t number = 0;
    int r = l ? 0 : -1;
    while (l && (r = lines_next(l, &text, &len, err)) > 0) {
        for (char *end = text + len, *next; text < end; text = next) {
            next = (char *)memchr(text, '\n', (size_t)(end - text)) + 1;
            size_t n = (size_t)(next - 1 - text);
            if (n && text[n - 1] == '\r')
                n--;
            number++;
            size_t blank = n;
            trim(text, &blank);
            if (blank && add_row(t, text, n, number, err)) {
                lines_close(l);
                return -1;
            }
        }
    }
    if (l)
        lines_close(l);
    if (r == 0 && t->rows == 0)
        return error_set(err, "%s: it is empty; expected a line of column names, then bars", t->path);
    if (t->text.failed)
        return error_set(err, "%s: no memory for its text", t->path);
    return r;
}

/* The volume of a row at t->scale: DECIMAL_OVERFLOW if it does not fit. */
static int read_volume(struct table *t, size_t row, struct error *err)
{
    struct csv_row fields;
    struct text line = {0};
    text_append(&line, t->text.data + t->row[row].at, t->row[row].len);
    text_append(&line, "\n", 1);
    for (int pad = 0; pad < LINES_PAD; pad++)
        text_append(&line, "", 1);
    size_t len;
    if (line.failed || !csv_take(line.data, &fields))
        return error_set(err, "%s: no memory", t->path);
    const char *text = field_of(t, &fields, COLUMN_VOLUME, &len);
    enum decimal_result r = volume_of(text, len, t->scale, &t->bar[row].volume);
    if (r != DECIMAL_OK && !(r == DECIMAL_OVERFLOW && t->scale))
        bad_field(t, &t->row[row], COLUMN_VOLUME, text, len, r, "a volume", err);
    text_free(&line);
    return r;
}

/* Once all decimals are known: with as many of them as the largest volume leaves room for. */
static int read_volumes(struct table *t, struct error *err)
{
    bool again = t->needed[COLUMN_VOLUME] && t->scale > 0;
    while (again) {
        again = false;
        for (size_t i = 1; i < t->rows && !again; i++) {
            int r = read_volume(t, i, err);
            again = r == DECIMAL_OVERFLOW && t->scale > 0;
            if (r != DECIMAL_OK && !again)
                return -1;
        }
        t->scale -= again;
    }
    return 0;
}

/* ---- the result */

static void print(FILE *out, const struct table *t, const struct wanted *w, int n)
{
    fwrite(t->text.data, 1, t->row[0].len, out);
    for (int m = 0; m < n; m++)
        fprintf(out, strchr(w[m].name, ',') ? ",\"%s\"" : ",%s", w[m].name);
    fputc('\n', out);
    for (size_t i = 1; i < t->rows; i++) {
        struct bar_series b = {t->bar, sizeof *t->bar, 0, 1, i + 1};
        fwrite(t->text.data + t->row[i].at, 1, t->row[i].len, out);
        for (int m = 0; m < n; m++) {
            indicator_push(&w[m].x, w[m].state, &b, t->scale);
            double v = indicator_value(&w[m].x, w[m].state, &b, NULL, t->scale);
            fprintf(out, v - v == 0 ? ",%.17g" : ",", v);
        }
        fputc('\n', out);
    }
}

int cmd_indicators(const struct cli_args *args)
{
    struct table t = {.path = args->positional_count ? args->positional[0] : NULL};
    struct wanted w[CLI_VALUES_MAX] = {0};
    struct error err;
    if (cli_has(args, "json") && cli_has(args, "markdown"))
        return cli_fail(args, CLI_USAGE, "--json and --markdown exclude each other");
    if (cli_has(args, "list") || cli_has(args, "json") || cli_has(args, "markdown")) {
        if (t.path || cli_nth(args, "metric", 0))
            return cli_fail(args, CLI_USAGE, "the list of indicators takes neither a file nor --metric");
        return list(args);
    }
    if (!t.path)
        return cli_fail(args, CLI_USAGE, "CSV is missing: a file of bars, - for standard input, or --list");
    int n = take_metrics(args, w, &t, &err), code = CLI_OK;
    if (n == 0)
        code = cli_fail(args, CLI_USAGE, "--metric is missing: which values are wanted?");
    else if (n < 0)
        code = cli_fail(args, CLI_USAGE, "%s", err.text);
    else if (read_table(&t, &err) || read_volumes(&t, &err))
        code = cli_fail(args, CLI_DAMAGED, "%s", err.text);
    else
        print(args->out, &t, w, n);
    for (int m = 0; m < CLI_VALUES_MAX; m++)
        free(w[m].state);
    text_free(&t.text);
    free(t.row);
    free(t.bar);
    return code;
}
