#include "net/attributes.h"

#include "core/bucket.h"
#include "core/rule_number.h"
#include "net/csv.h"
#include "net/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SYMBOL = ATTRIBUTE_COUNT, COLUMNS };

/* The symbols' names are kept as a source's; it is none that could be read. */
struct attribute_file {
    struct source base;
    unsigned fields;                /* of a row */
    uint8_t column[CSV_FIELDS_MAX]; /* of each field: enum attribute or SYMBOL */
    struct attributes *of;          /* by the base's symbol id */
    uint32_t room;
    uint64_t refused;
};

static void no_close(struct source *s)
{
    (void)s;
}

static const char *column_name(unsigned c)
{
    return c == SYMBOL ? "symbol" : attribute_rows[c].column;
}

/* A field without the spaces around it. */
static const char *field_of(const struct csv_row *row, uint32_t i, size_t *len)
{
    const char *text = csv_field(row, i, len);
    for (; *len && *text == ' '; text++)
        --*len;
    while (*len && text[*len - 1] == ' ')
        --*len;
    return text;
}

static int find_columns(struct attribute_file *f, const struct csv_row *header, const char *path,
                        struct error *err)
{
    const char *names[COLUMNS];
    bool seen[COLUMNS] = {false};
    for (unsigned c = 0; c < COLUMNS; c++)
        names[c] = column_name(c);
    if (header->fields > CSV_FIELDS_MAX)
        return error_set(err, "%s: %u columns, expected at most %d", path, header->fields, COLUMNS);
    f->fields = header->fields;
    for (uint32_t i = 0; i < header->fields; i++) {
        char word[40];
        size_t len;
        const char *text = field_of(header, i, &len);
        snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), text);
        unsigned c = 0;
        while (c < COLUMNS && strcmp(names[c], word))
            c++;
        const char *near = c == COLUMNS ? error_nearest(word, names, COLUMNS) : NULL;
        if (c == COLUMNS)
            return error_set(err,
                             "%s: unknown column '%s' in its first line%s%s%s; expected symbol and any of "
                             "sector, exchange, float, market_cap, shares_short, news_at, earnings_at",
                             path, word, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        if (seen[c])
            return error_set(err, "%s: column '%s' twice in its first line", path, word);
        seen[c] = true;
        f->column[i] = (uint8_t)c;
    }
    return seen[SYMBOL] ? 0 : error_set(err, "%s: no column 'symbol' in its first line", path);
}

/* One field into *a; -1 with err. */
static int take_value(struct attributes *a, enum attribute which, const char *text, size_t len,
                      struct error *err)
{
    struct rule_number n;
    int shown = len > 40 ? 40 : (int)len;
    int64_t ns;
    switch (attribute_rows[which].kind) {
    case ATTRIBUTE_TEXT:
        return attribute_set_text(a, which, text, len)
                   ? 0
                   : error_set(err,
                               "%s '%.*s', expected at most %d bytes without quotes or control characters",
                               attribute_rows[which].column, shown, text, ATTRIBUTE_TEXT_MAX);
    case ATTRIBUTE_NUMBER:
        if (rule_number_parse(text, len, &n) != RULE_NUMBER_OK || n.d < 0)
            return error_set(err, "%s '%.*s', expected a number from 0", attribute_rows[which].column, shown,
                             text);
        a->value[which] = key_of_double(n.d);
        return 0;
    default:
        if (decimal_parse_time(text, len, &ns) != DECIMAL_OK || ns > TIME_MAX_NS)
            return error_set(err, "%s '%.*s', expected a time such as 2026-12-31T21:00:00Z",
                             attribute_rows[which].column, shown, text);
        a->value[which] = ns;
        return 0;
    }
}

/* The row's symbol and what is said of it; -1 with err. */
static int take_row(const struct attribute_file *f, const struct csv_row *row, const char **name,
                    size_t *name_len, struct attributes *a, struct error *err)
{
    attributes_clear(a);
    if (row->fields != f->fields)
        return error_set(err, "%u fields, expected %u", row->fields, f->fields);
    for (uint32_t i = 0; i < f->fields; i++) {
        size_t len;
        const char *text = field_of(row, i, &len);
        if (f->column[i] == SYMBOL) {
            *name = text;
            *name_len = len;
        } else if (len && take_value(a, (enum attribute)f->column[i], text, len, err) < 0) {
            return -1;
        }
    }
    return *name_len ? 0 : error_set(err, "no symbol");
}

static void refuse(struct attribute_file *f, uint64_t line, const char *why)
{
    char text[sizeof f->base.spec + sizeof(struct error) + 64];
    if (f->refused++ >= ATTRIBUTE_REFUSALS_LOGGED || !f->base.log)
        return;
    snprintf(text, sizeof text, "%s: line %llu refused: %s", f->base.spec, (unsigned long long)line, why);
    f->base.log(f->base.log_ctx, text);
}

static int keep_row(struct attribute_file *f, const char *name, size_t len, const struct attributes *a,
                    uint64_t line, struct error *err)
{
    int32_t id = source_symbol_id(&f->base, name, len, line);
    if (id < 0) { /* and logged */
        f->refused++;
        return 0;
    }
    if ((uint32_t)id >= f->room) {
        uint32_t room = 2 * (uint32_t)id + 1024;
        struct attributes *grown = realloc(f->of, room * sizeof *grown);
        if (!grown)
            return error_set(err, "%s: no memory for more than %u symbols", f->base.spec, f->room);
        f->of = grown;
        f->room = room;
    }
    f->of[id] = *a;
    return 0;
}

static int read_rows(struct attribute_file *f, struct lines *lines, const char *path, struct error *err)
{
    struct csv_row row;
    struct error why;
    char *text;
    size_t len;
    int got;
    uint64_t line = 0;
    while ((got = lines_next(lines, &text, &len, err)) > 0) {
        for (char *end = text + len; text < end; text += row.length) {
            struct attributes a;
            const char *name = NULL;
            size_t name_len = 0;
            if (line == 0 && len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
                text += 3;
            bool sound = csv_take(text, &row);
            if (++line == 1) {
                if (find_columns(f, &row, path, err) < 0)
                    return -1;
            } else if (!sound) {
                refuse(f, line, "its quotes are not closed");
            } else if (csv_blank(&row)) {
                continue;
            } else if (take_row(f, &row, &name, &name_len, &a, &why) < 0) {
                refuse(f, line, why.text);
            } else if (keep_row(f, name, name_len, &a, line, err) < 0) {
                return -1;
            }
        }
    }
    if (got == 0 && line == 0)
        return error_set(err, "%s: empty; expected a first line symbol,sector,…", path);
    return got;
}

struct attribute_file *attribute_file_load(const char *path, const struct source_config *config,
                                           void (*log)(void *ctx, const char *line), void *log_ctx,
                                           struct error *err)
{
    static const struct source_ops ops = {.close = no_close};
    struct source_config own = config ? *config : (struct source_config){0};
    own.symbols_max = 0; /* it may know of more than the engine does */
    struct attribute_file *f = source_new(sizeof *f, &ops, &own, err);
    if (!f)
        return NULL;
    snprintf(f->base.spec, sizeof f->base.spec, "%s", path);
    f->base.log = log;
    f->base.log_ctx = log_ctx;
    struct lines *lines = lines_open(path, err);
    int result = lines ? read_rows(f, lines, path, err) : -1;
    if (lines)
        lines_close(lines);
    if (result < 0) {
        attribute_file_free(f);
        return NULL;
    }
    if (f->refused && log) {
        char text[sizeof f->base.spec + 64];
        snprintf(text, sizeof text, "%s: %llu rows refused in all", path, (unsigned long long)f->refused);
        log(log_ctx, text);
    }
    return f;
}

static bool copy_bytes(FILE *from, FILE *to)
{
    char bytes[65536];
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, from)) > 0)
        if (fwrite(bytes, 1, n, to) != n)
            return false;
    return !ferror(from) && fflush(to) == 0 && fsync(fileno(to)) == 0;
}

/* It is whole or not there: a copy that was cut short has another name. */
static int make_copy(const char *file, const char *kept, struct error *err)
{
    char part[ATTRIBUTE_PATH_MAX + 8];
    snprintf(part, sizeof part, "%s.tmp", kept);
    FILE *from = fopen(file, "rbe"), *to = from ? fopen(part, "wbe") : NULL;
    bool ok = to && copy_bytes(from, to);
    int why = errno;
    if (from)
        fclose(from);
    if (to && fclose(to) != 0)
        ok = false;
    if (!from)
        return error_set(err, "%s: %s", file, strerror(why));
    if (ok && rename(part, kept) == 0)
        return 0;
    unlink(part);
    return error_set(err, "%s: cannot be written: %s", kept, strerror(why));
}

int attribute_file_keep(const char *name, const char *file, const char *dir, bool anew,
                        char kept[ATTRIBUTE_PATH_MAX], struct error *err)
{
    if (snprintf(kept, ATTRIBUTE_PATH_MAX, "%s/%s", dir, name) >= ATTRIBUTE_PATH_MAX)
        return error_set(err, "%s: its name is too long", dir);
    if (anew && *file)
        return make_copy(file, kept, err);
    if (anew)
        unlink(kept);
    if (access(kept, F_OK) != 0)
        *kept = 0;
    return 0;
}

const struct attributes *attribute_file_find(const struct attribute_file *f, const char *name, size_t len)
{
    int32_t id = source_symbol_find(&f->base, name, len);
    return id < 0 ? NULL : &f->of[id];
}

uint32_t attribute_file_symbols(const struct attribute_file *f)
{
    return f->base.symbol_count;
}

uint64_t attribute_file_refused(const struct attribute_file *f)
{
    return f->refused;
}

void attribute_file_free(struct attribute_file *f)
{
    free(f->of);
    source_close(&f->base);
}
