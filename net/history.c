#include "net/history.h"

#include "net/csv.h"
#include "net/lines.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const column_names[] = {"date", "symbol", "open", "high", "low", "close", "volume"};
enum column { DATE, SYMBOL, OPEN, HIGH, LOW, CLOSE, VOLUME, COLUMNS };

struct row {
    struct history_bar bar;
    uint32_t symbol, order; /* order of appearance: the last of a date wins */
};

/* The symbols' names and the counting are those of a source; it is none that could be read. */
struct history {
    struct source base;
    unsigned columns;
    uint32_t column[COLUMNS];
    struct row *row;
    size_t rows, room;
    struct history_bar *bar; /* by symbol, then date */
    size_t *first;           /* of a symbol's bars in bar[]; [symbol_count] = all */
};

static void no_close(struct source *s)
{
    (void)s;
}

static int find_columns(struct history *h, const struct csv_row *header, const char *path, struct error *err)
{
    h->columns = header->fields;
    for (unsigned c = 0; c < COLUMNS; c++) {
        h->column[c] = UINT32_MAX;
        for (uint32_t i = 0; i < header->fields && i < CSV_FIELDS_MAX; i++) {
            size_t len;
            const char *name = csv_field(header, i, &len);
            if (len == strlen(column_names[c]) && !memcmp(name, column_names[c], len))
                h->column[c] = i;
        }
        if (h->column[c] == UINT32_MAX)
            return error_set(err,
                             "%s: no column '%s' in its first line '%.*s'; expected "
                             "date,symbol,open,high,low,close,volume (in any order)",
                             path, column_names[c], (int)(header->length < 120 ? header->length - 1 : 120),
                             header->text);
    }
    return 0;
}

static enum reject_reason take_date(const char *text, size_t len, int64_t *start_ns)
{
    uint64_t year, month, day;
    size_t dash = len == 10 && text[4] == '-' && text[7] == '-';
    int64_t days;
    if (len == 0)
        return REJECT_TIME_MISSING;
    if ((len != 8 && !dash) || decimal_parse_whole_padded(text, 4, &year) != DECIMAL_OK ||
        decimal_parse_whole_padded(text + 4 + dash, 2, &month) != DECIMAL_OK ||
        decimal_parse_whole_padded(text + 6 + 2 * dash, 2, &day) != DECIMAL_OK ||
        !decimal_days((unsigned)year, (unsigned)month, (unsigned)day, &days))
        return REJECT_TIME_FORMAT;
    *start_ns = days * INT64_C(86400000000000);
    return REJECT_NONE;
}

static enum reject_reason take_bar(const struct history *h, const struct csv_row *row, struct history_bar *b)
{
    size_t len;
    int64_t *price[] = {&b->open_e9, &b->high_e9, &b->low_e9, &b->close_e9};
    if (row->fields != h->columns)
        return row->fields < h->columns ? REJECT_COLUMNS : REJECT_FORMAT;
    const char *text = csv_field(row, h->column[DATE], &len);
    enum reject_reason bad = take_date(text, len, &b->start_ns);
    for (unsigned i = 0; i < 4 && bad == REJECT_NONE; i++) {
        text = csv_field(row, h->column[OPEN + i], &len);
        bad = source_price(text, len, price[i]);
    }
    if (bad != REJECT_NONE)
        return bad;
    text = csv_field(row, h->column[VOLUME], &len);
    bad = source_size(text, len, h->base.size_scale, &b->volume); /* a day without volume is a day */
    if (bad != REJECT_NONE)
        return bad;
    bool sound = b->low_e9 <= b->open_e9 && b->open_e9 <= b->high_e9 && b->low_e9 <= b->close_e9 &&
                 b->close_e9 <= b->high_e9;
    return sound ? REJECT_NONE : REJECT_FORMAT;
}

static int take_row(struct history *h, const struct csv_row *row, uint64_t number, const char *path,
                    struct error *err)
{
    size_t len;
    struct row r = {.order = (uint32_t)h->rows};
    enum reject_reason bad = take_bar(h, row, &r.bar);
    h->base.stats.rows++;
    if (bad != REJECT_NONE) {
        source_reject(&h->base, bad, number, row->text, row->length - 1);
        return 0;
    }
    const char *name = csv_field(row, h->column[SYMBOL], &len);
    int32_t id = source_symbol_id_padded(&h->base, name, len, number);
    if (id < 0)
        return 0;
    r.symbol = (uint32_t)id;
    if (h->rows == h->room) {
        size_t room = h->room ? 2 * h->room : 4096;
        struct row *grown = room > UINT32_MAX ? NULL : realloc(h->row, room * sizeof *grown);
        if (!grown)
            return error_set(err, "%s: no memory for more than %zu bars", path, h->rows);
        h->row = grown;
        h->room = room;
    }
    h->row[h->rows++] = r;
    return 0;
}

static int read_rows(struct history *h, struct lines *lines, const char *path, struct error *err)
{
    struct csv_row row;
    char *text;
    size_t len;
    int got;
    uint64_t number = 0;
    while ((got = lines_next(lines, &text, &len, err)) > 0) {
        for (char *end = text + len; text < end; text += row.length) {
            if (number == 0 && len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
                text += 3;
            bool sound = csv_take(text, &row);
            number++;
            if (number == 1) {
                if (find_columns(h, &row, path, err) < 0)
                    return -1;
            } else if (!sound) {
                h->base.stats.rows++;
                source_reject(&h->base, REJECT_FORMAT, number, row.text, row.length - 1);
            } else if (!csv_blank(&row) && take_row(h, &row, number, path, err) < 0) {
                return -1;
            }
        }
    }
    if (got == 0 && number == 0)
        return error_set(err, "%s: empty; expected a first line date,symbol,open,high,low,close,volume",
                         path);
    return got;
}

static int by_symbol_and_date(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->symbol != y->symbol)
        return x->symbol < y->symbol ? -1 : 1;
    if (x->bar.start_ns != y->bar.start_ns)
        return x->bar.start_ns < y->bar.start_ns ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* Rows in any order become each symbol's bars, oldest first. */
static int build(struct history *h, const char *path, struct error *err)
{
    uint32_t symbols = h->base.symbol_count;
    h->bar = malloc((h->rows + 1) * sizeof *h->bar);
    h->first = calloc((size_t)symbols + 1, sizeof *h->first);
    if (!h->bar || !h->first)
        return error_set(err, "%s: no memory for %zu bars", path, h->rows);
    if (h->rows)
        qsort(h->row, h->rows, sizeof *h->row, by_symbol_and_date);
    size_t n = 0, i = 0;
    for (uint32_t s = 0; s < symbols; s++) {
        h->first[s] = n;
        for (; i < h->rows && h->row[i].symbol == s; i++) {
            bool again = n > h->first[s] && h->bar[n - 1].start_ns == h->row[i].bar.start_ns;
            h->bar[again ? n - 1 : n++] = h->row[i].bar;
        }
    }
    h->first[symbols] = n;
    free(h->row);
    h->row = NULL;
    return 0;
}

struct history *history_load(const char *path, const struct source_config *config,
                             void (*log)(void *ctx, const char *line), void *log_ctx, struct error *err)
{
    static const struct source_ops ops = {.close = no_close};
    static const struct source_config none;
    struct history *h = source_new(sizeof *h, &ops, config ? config : &none, err);
    if (!h)
        return NULL;
    snprintf(h->base.spec, sizeof h->base.spec, "%s", path);
    h->base.size_scale = (uint8_t)h->base.config.csv_size_scale;
    h->base.log = log;
    h->base.log_ctx = log_ctx;
    struct lines *lines = lines_open(path, err);
    int result = lines ? read_rows(h, lines, path, err) : -1;
    if (lines)
        lines_close(lines);
    if (result == 0 && build(h, path, err) == 0)
        return h;
    history_free(h);
    return NULL;
}

const struct history_bar *history_find(const struct history *h, const char *name, size_t len, size_t *n)
{
    int32_t id = source_symbol_find(&h->base, name, len);
    *n = 0;
    if (id < 0)
        return NULL;
    *n = h->first[id + 1] - h->first[id];
    return h->bar + h->first[id];
}

const struct source_stats *history_stats(const struct history *h)
{
    return &h->base.stats;
}

uint32_t history_symbols(const struct history *h)
{
    return h->base.symbol_count;
}

void history_free(struct history *h)
{
    free(h->row);
    free(h->bar);
    free(h->first);
    source_close(&h->base);
}
