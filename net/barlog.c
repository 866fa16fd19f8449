#include "net/barlog.h"

#include "core/decimal.h"
#include "net/csv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VWAP_NONE INT64_MIN

struct bar {
    int64_t start_ns;
    uint32_t symbol;
    uint32_t trades;
    int64_t price_e9[4]; /* open, high, low, close */
    uint64_t volume;
    int64_t vwap_e9;
    uint8_t size_scale;
};

struct barlog {
    struct bar *bar;
    uint32_t count, capacity; /* a power of two */
    uint32_t *slot;           /* hash table: 1 + index in bar[], 0 = free; twice the capacity */
    char **name;              /* by symbol id */
    uint32_t names;
};

/* Running out of memory here ends the process: what is collected is what the user asked for, and all of it.
 */
static void *grow(void *p, size_t bytes)
{
    p = realloc(p, bytes);
    assert(p);
    return p;
}

struct barlog *barlog_new(void)
{
    struct barlog *b = calloc(1, sizeof *b);
    assert(b);
    return b;
}

void barlog_free(struct barlog *b)
{
    for (uint32_t i = 0; i < b->names; i++)
        free(b->name[i]);
    free(b->name);
    free(b->slot);
    free(b->bar);
    free(b);
}

uint64_t barlog_count(const struct barlog *b)
{
    return b->count;
}

static uint32_t *slot_of(const struct barlog *b, uint32_t symbol, int64_t start_ns)
{
    uint32_t mask = 2 * b->capacity - 1;
    uint64_t h = ((uint64_t)start_ns / 1000000000 * 0x9e3779b97f4a7c15u ^ symbol) * 0xff51afd7ed558ccdu;
    uint32_t at = (uint32_t)(h >> 32) & mask;
    while (b->slot[at] &&
           (b->bar[b->slot[at] - 1].symbol != symbol || b->bar[b->slot[at] - 1].start_ns != start_ns))
        at = (at + 1) & mask;
    return &b->slot[at];
}

static void make_room(struct barlog *b)
{
    if (b->count < b->capacity)
        return;
    b->capacity = b->capacity ? 2 * b->capacity : 1024;
    b->bar = grow(b->bar, b->capacity * sizeof *b->bar);
    free(b->slot);
    b->slot = calloc(2 * (size_t)b->capacity, sizeof *b->slot);
    assert(b->slot);
    for (uint32_t i = 0; i < b->count; i++)
        *slot_of(b, b->bar[i].symbol, b->bar[i].start_ns) = i + 1;
}

static void put_bar(struct barlog *b, const struct bar *bar, const char *name, size_t name_len)
{
    make_room(b);
    if (bar->symbol >= b->names) {
        uint32_t names = bar->symbol + 1 > 2 * b->names ? bar->symbol + 1 : 2 * b->names;
        b->name = grow(b->name, names * sizeof *b->name);
        memset(b->name + b->names, 0, (names - b->names) * sizeof *b->name);
        b->names = names;
    }
    if (!b->name[bar->symbol]) {
        b->name[bar->symbol] = strndup(name, name_len);
        assert(b->name[bar->symbol]);
    }
    uint32_t *slot = slot_of(b, bar->symbol, bar->start_ns);
    if (!*slot)
        *slot = ++b->count;
    b->bar[*slot - 1] = *bar;
}

void barlog_add(struct barlog *b, const struct msg *m, const struct event_symbol *symbol)
{
    assert(m->type == MSG_BAR && msg_slot_count(m) == msg_slots(sizeof(struct msg_bar)));
    struct msg_bar in = msg_bar_get(m);
    struct bar bar = {.start_ns = m->event_ns,
                      .symbol = m->symbol,
                      .trades = in.trades,
                      .price_e9 = {in.open_e9, in.high_e9, in.low_e9, in.close_e9},
                      .volume = in.volume,
                      .size_scale = symbol->size_scale};
    int64_t vwap_e8;
    bar.vwap_e9 = event_vwap_e8(&in, &vwap_e8) ? vwap_e8 * 10 : VWAP_NONE;
    put_bar(b, &bar, symbol->name, symbol->name_len);
}

/* A value of the bar's JSON: steps *at over `key` and finds the text up to the next of ,"} */
static bool json_value(const char **at, const char *end, const char *key, const char **value, size_t *len)
{
    const char *found = memmem(*at, (size_t)(end - *at), key, strlen(key));
    if (!found)
        return false;
    *value = *at = found + strlen(key);
    while (*at < end && !strchr(",\"}", **at))
        ++*at;
    *len = (size_t)(*at - *value);
    return *at < end;
}

static bool bar_of_json(struct bar *bar, const char *at, const char *end)
{
    static const char *const prices[] = {"\"open\":", "\"high\":", "\"low\":", "\"close\":"};
    const char *value;
    size_t len;
    uint64_t trades;
    /* no string of the text can contain this: there, each quotation mark has a backslash before it */
    if (!json_value(&at, end, "\",\"timestamp\":\"", &value, &len) ||
        decimal_parse_time(value, len, &bar->start_ns))
        return false;
    for (int i = 0; i < 4; i++)
        if (!json_value(&at, end, prices[i], &value, &len) || decimal_parse(value, len, 9, &bar->price_e9[i]))
            return false;
    if (!json_value(&at, end, "\"volume\":", &value, &len))
        return false;
    const char *point = memchr(value, '.', len);
    bar->size_scale = point ? (uint8_t)(value + len - point - 1) : 0;
    if (bar->size_scale > DECIMAL_SCALE_MAX ||
        decimal_parse_unsigned(value, len, bar->size_scale, &bar->volume) ||
        !json_value(&at, end, "\"vwap\":", &value, &len))
        return false;
    if (len == 4 && !memcmp(value, "null", 4))
        bar->vwap_e9 = VWAP_NONE;
    else if (decimal_parse(value, len, 9, &bar->vwap_e9))
        return false;
    if (!json_value(&at, end, "\"trades\":", &value, &len) ||
        decimal_parse_unsigned(value, len, 0, &trades) || trades > UINT32_MAX)
        return false;
    bar->trades = (uint32_t)trades;
    return true;
}

int barlog_add_record(struct barlog *b, const struct outbox_record *r, struct error *err)
{
    struct bar bar = {.symbol = r->symbol};
    if (!bar_of_json(&bar, r->json, r->json + r->json_len))
        return error_set(err, "event %llu of the outbox is no bar: %.*s", (unsigned long long)r->offset,
                         (int)(r->json_len < 200 ? r->json_len : 200), r->json);
    put_bar(b, &bar, r->name, r->name_len);
    return 0;
}

struct row {
    const struct bar *bar;
    const char *name;
};

static int row_order(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->bar->start_ns != y->bar->start_ns)
        return x->bar->start_ns < y->bar->start_ns ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void write_rows(FILE *f, const struct row *row, uint32_t n)
{
    char price[4][DECIMAL_TEXT_MAX], volume[DECIMAL_TEXT_MAX], vwap[DECIMAL_TEXT_MAX];
    fputs("bar_start_ns,symbol,open,high,low,close,volume,trades,vwap\n", f);
    for (uint32_t i = 0; i < n; i++) {
        const struct bar *bar = row[i].bar;
        for (int k = 0; k < 4; k++)
            decimal_format_places(bar->price_e9[k], 4, price[k]);
        decimal_format(bar->volume, bar->size_scale, volume);
        *vwap = 0;
        if (bar->vwap_e9 != VWAP_NONE)
            decimal_format_places(bar->vwap_e9, 8, vwap);
        fprintf(f, "%lld,", (long long)bar->start_ns);
        csv_write(f, row[i].name);
        fprintf(f, ",%s,%s,%s,%s,%s,%u,%s\n", price[0], price[1], price[2], price[3], volume, bar->trades,
                vwap);
    }
}

int barlog_write(const struct barlog *b, const char *path, struct error *err)
{
    char temporary[4096];
    struct stat st;
    /* what is there and no file (/dev/stdout) is written to, not replaced */
    bool replace = strcmp(path, "-") && (stat(path, &st) || S_ISREG(st.st_mode));
    if ((size_t)snprintf(temporary, sizeof temporary, "%s%s", path, replace ? ".tmp" : "") >=
        sizeof temporary)
        return error_set(err, "%.100s…: a path longer than %zu bytes", path, sizeof temporary - 1);
    bool standard = !strcmp(path, "-");
    FILE *f = standard ? fdopen(dup(STDOUT_FILENO), "w") : fopen(temporary, "we");
    if (!f)
        return error_set(err, "cannot write %s: %s", standard ? "to the standard output" : temporary,
                         strerror(errno));
    struct row *row = grow(NULL, (b->count + 1u) * sizeof *row);
    for (uint32_t i = 0; i < b->count; i++)
        row[i] = (struct row){&b->bar[i], b->name[b->bar[i].symbol]};
    qsort(row, b->count, sizeof *row, row_order);
    write_rows(f, row, b->count);
    free(row);
    errno = 0;
    bool good = fflush(f) == 0 && !ferror(f) && (!replace || fsync(fileno(f)) == 0);
    good = fclose(f) == 0 && good;
    if (good && (!replace || rename(temporary, path) == 0))
        return 0;
    error_set(err, "cannot write %s: %s", path, errno ? strerror(errno) : "write error");
    if (replace)
        unlink(temporary);
    return -1;
}

struct alertlog {
    FILE *file;
    char path[]; /* for messages */
};

struct alertlog *alertlog_open(const char *path, struct error *err)
{
    struct alertlog *l = grow(NULL, sizeof *l + strlen(path) + 1);
    bool standard = !strcmp(path, "-");
    strcpy(l->path, path);
    l->file = standard ? stdout : fopen(path, "we");
    if (l->file)
        return l;
    error_set(err, "cannot write %s: %s", path, strerror(errno));
    free(l);
    return NULL;
}

static int alertlog_failed(const struct alertlog *l, struct error *err)
{
    return error_set(err, "cannot write %s: %s", l->path, strerror(errno));
}

int alertlog_add(struct alertlog *l, const char *json, size_t len, struct error *err)
{
    if (fwrite(json, 1, len, l->file) == len && putc('\n', l->file) != EOF)
        return 0;
    return alertlog_failed(l, err);
}

int alertlog_flush(struct alertlog *l, struct error *err)
{
    return fflush(l->file) ? alertlog_failed(l, err) : 0;
}

int alertlog_close(struct alertlog *l, struct error *err)
{
    bool failed = ferror(l->file);
    errno = failed ? EIO : 0;
    failed |= (l->file == stdout ? fflush(l->file) : fclose(l->file)) != 0;
    int result = failed ? alertlog_failed(l, err) : 0;
    free(l);
    return result;
}
