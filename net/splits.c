#include "net/splits.h"

#include "core/decimal.h"
#include "net/word_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATIO_MAX = 1000000 };

struct splits {
    struct split_row *row; /* by symbol, then date */
    size_t n, room;
};

static int by_symbol_and_date(const void *a, const void *b)
{
    const struct split_row *x = a, *y = b;
    int c = strcmp(x->symbol, y->symbol);
    return c ? c : (x->ex_ns > y->ex_ns) - (x->ex_ns < y->ex_ns);
}

/* "10:1", "10" */
static bool take_ratio(const char *text, struct split_row *r)
{
    char end;
    unsigned to, from = 1;
    if (strspn(text, "0123456789:") != strlen(text) || strlen(text) > 15 ||
        (sscanf(text, "%u%c", &to, &end) != 1 && sscanf(text, "%u:%u%c", &to, &from, &end) != 2))
        return false;
    r->to = to;
    r->from = from;
    return to >= 1 && to <= RATIO_MAX && from >= 1 && from <= RATIO_MAX && to != from;
}

static int take_line(struct splits *s, const struct word_file *f, struct error *err)
{
    struct split_row r = {.to = 0};
    char *date = f->word[0], *symbol = strchr(date, ','), *ratio = symbol ? strchr(symbol + 1, ',') : NULL;
    if (f->n != 1 || !ratio)
        return word_file_bad(f, date, err, "DATE,SYMBOL,RATIO without spaces");
    *symbol++ = *ratio++ = 0;
    if (strlen(date) != 10 || decimal_parse_time(date, 10, &r.ex_ns) != DECIMAL_OK)
        return word_file_bad(f, date, err, "a date such as 2024-06-10");
    if (!*symbol || strlen(symbol) >= sizeof r.symbol)
        return word_file_bad(f, symbol, err, "a symbol of 1 to 63 bytes");
    if (!take_ratio(ratio, &r))
        return word_file_bad(f, ratio, err, "a ratio such as 10:1, each side from 1 to %d", RATIO_MAX);
    strcpy(r.symbol, symbol);
    if (s->n == s->room) {
        size_t room = 2 * s->room + 64;
        struct split_row *grown = realloc(s->row, room * sizeof *grown);
        if (!grown)
            abort();
        s->row = grown;
        s->room = room;
    }
    s->row[s->n++] = r;
    return 0;
}

struct splits *splits_load(const char *path, struct error *err)
{
    struct word_file f;
    struct splits *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    if (word_file_open(&f, path, "", "no splits", err) < 0) {
        free(s);
        return NULL;
    }
    int bad = 0;
    while (!bad && word_file_next(&f))
        if (s->n || strcmp(f.word[0], "date,symbol,ratio"))
            bad = take_line(s, &f, err);
    word_file_close(&f);
    if (s->n)
        qsort(s->row, s->n, sizeof *s->row, by_symbol_and_date);
    for (size_t i = 1; !bad && i < s->n; i++)
        if (by_symbol_and_date(&s->row[i - 1], &s->row[i]) == 0)
            bad = error_set(err, "%s: found two splits of %s on one date, expected one", path,
                            s->row[i].symbol);
    if (!bad)
        return s;
    splits_free(s);
    return NULL;
}

const struct split_row *splits_find(const struct splits *s, const char *name, size_t len, size_t *n)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) { /* the first whose symbol is not before */
        size_t mid = (lo + hi) / 2;
        int c = strncmp(s->row[mid].symbol, name, len);
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *n = 0;
    while (lo + *n < s->n && strlen(s->row[lo + *n].symbol) == len &&
           !memcmp(s->row[lo + *n].symbol, name, len))
        ++*n;
    return s->row + lo;
}

void splits_free(struct splits *s)
{
    if (s)
        free(s->row);
    free(s);
}
