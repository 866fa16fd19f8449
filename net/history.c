#include "net/history.h"

#include <stdlib.h>
#include <string.h>

#include "core/bucket.h"
#include "net/csv.h"
#include "net/lines.h"
#include "net/source.h"

enum { C_DATE, C_SYMBOL, C_OPEN, C_HIGH, C_LOW, C_CLOSE, C_VOLUME, COLUMNS };
static const char *const column_names[COLUMNS] = {"date", "symbol", "open", "high", "low", "close", "volume"};

struct row {
    char name[SOURCE_NAME_MAX + 1];
    struct history_bar bar;
};

struct history {
    struct row *row; /* sorted by name and date */
    struct history_bar *bar;
    size_t n, room;
    uint64_t rejected[REJECT_COUNT];
};

static int columns(const char *path, const struct csv_row *head, int at[COLUMNS], struct error *err)
{
    for (int c = 0; c < COLUMNS; c++) {
        at[c] = -1;
        for (uint32_t i = 0; i < head->fields; i++) {
            size_t len;
            const char *f = csv_field(head, i, &len);
            if (len == strlen(column_names[c]) && !memcmp(f, column_names[c], len))
                at[c] = (int)i;
        }
        if (at[c] < 0)
            return error_set(err, "%s:1: no column '%s'; expected date,symbol,open,high,low,close,volume",
                             path, column_names[c]);
    }
    return 0;
}

static bool parse_date(const char *s, size_t len, int64_t *ns)
{
    char digits[9] = "";
    unsigned n = 0, y, m, d;
    int64_t days;
    for (size_t i = 0; i < len && n < 8; i++)
        if (s[i] != '-')
            digits[n++] = s[i];
    if ((len != 8 && len != 10) || n != 8 || strspn(digits, "0123456789") != 8)
        return false;
    y = (unsigned)strtoul((char[]){digits[0], digits[1], digits[2], digits[3], 0}, NULL, 10);
    m = (unsigned)(digits[4] - '0') * 10 + (unsigned)(digits[5] - '0');
    d = (unsigned)(digits[6] - '0') * 10 + (unsigned)(digits[7] - '0');
    if (!decimal_days(y, m, d, &days))
        return false;
    *ns = days * 86400 * SECOND_NS;
    return true;
}

static enum reject_reason parse_row(const struct csv_row *r, const int at[COLUMNS], struct row *out)
{
    size_t len;
    for (int c = 0; c < COLUMNS; c++)
        if ((uint32_t)at[c] >= r->fields)
            return REJECT_COLUMNS;
    const char *f = csv_field(r, (uint32_t)at[C_DATE], &len);
    if (!parse_date(f, len, &out->bar.start_ns))
        return len ? REJECT_TIME_FORMAT : REJECT_TIME_MISSING;
    f = csv_field(r, (uint32_t)at[C_SYMBOL], &len);
    if (len == 0 || len > SOURCE_NAME_MAX)
        return len ? REJECT_SYMBOL_LENGTH : REJECT_SYMBOL_MISSING;
    memset(out->name, 0, sizeof out->name);
    memcpy(out->name, f, len);
    int64_t *price[] = {&out->bar.open_e9, &out->bar.high_e9, &out->bar.low_e9, &out->bar.close_e9};
    for (int i = 0; i < 4; i++) {
        f = csv_field(r, (uint32_t)at[C_OPEN + i], &len);
        enum reject_reason bad = source_price(f, len, price[i]);
        if (bad != REJECT_NONE)
            return bad;
    }
    f = csv_field(r, (uint32_t)at[C_VOLUME], &len);
    return source_quote_size(f, len, 0, &out->bar.volume);
}

static int by_name_and_date(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->bar.start_ns > y->bar.start_ns) - (x->bar.start_ns < y->bar.start_ns);
}

static int add(struct history *h, const struct row *r)
{
    if (h->n == h->room) {
        h->room = h->room ? 2 * h->room : 1024;
        struct row *grown = realloc(h->row, h->room * sizeof *grown);
        if (!grown)
            return -1;
        h->row = grown;
    }
    h->row[h->n++] = *r;
    return 0;
}

static int load(struct history *h, struct lines *l, const char *path, struct error *err)
{
    int at[COLUMNS], got;
    bool head = false;
    char *text;
    size_t len;
    while ((got = lines_next(l, &text, &len, err)) > 0)
        for (size_t pos = 0; pos < len;) {
            struct csv_row r;
            struct row row;
            bool good = csv_take(text + pos, &r);
            pos += r.length;
            if (good && csv_blank(&r))
                continue;
            if (!head) {
                head = true;
                if (!good || columns(path, &r, at, err) < 0)
                    return good ? -1 : error_set(err, "%s:1: quotes that do not close", path);
                continue;
            }
            enum reject_reason bad = good ? parse_row(&r, at, &row) : REJECT_FORMAT;
            if (bad != REJECT_NONE)
                h->rejected[bad]++;
            else if (add(h, &row) < 0)
                return error_set(err, "%s: no memory for more than %zu bars", path, h->n);
        }
    if (got == 0 && !head)
        return error_set(err, "%s: empty; expected the columns date,symbol,open,high,low,close,volume", path);
    return got;
}

struct history *history_load(const char *path, struct error *err)
{
    struct lines *l = lines_open(path, err);
    struct history *h = l ? calloc(1, sizeof *h) : NULL;
    if (!h)
        return NULL;
    int bad = load(h, l, path, err);
    lines_close(l);
    if (bad == 0 && h->n && !(h->bar = malloc(h->n * sizeof *h->bar)))
        bad = error_set(err, "%s: no memory for %zu bars", path, h->n);
    if (bad < 0) {
        history_free(h);
        return NULL;
    }
    if (h->n)
        qsort(h->row, h->n, sizeof *h->row, by_name_and_date);
    for (size_t i = 0; i < h->n; i++)
        h->bar[i] = h->row[i].bar;
    return h;
}

const struct history_bar *history_find(const struct history *h, const char *name, size_t len, size_t *n)
{
    size_t lo = 0, hi = h->n, end;
    char key[SOURCE_NAME_MAX + 1] = "";
    *n = 0;
    if (len > SOURCE_NAME_MAX)
        return NULL;
    memcpy(key, name, len);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(h->row[mid].name, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (end = lo; end < h->n && !strcmp(h->row[end].name, key);)
        end++;
    *n = end - lo;
    return *n ? &h->bar[lo] : NULL;
}

const uint64_t *history_rejected(const struct history *h)
{
    return h->rejected;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    free(h->row);
    free(h->bar);
    free(h);
}
