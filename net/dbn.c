#include "net/dbn.h"

#include <stdlib.h>

enum { STYPE_INSTRUMENT_ID = 0, SYMBOL_BYTES_V1 = 22, SYMBOL_BYTES_MAX = 1024, DATE_BYTES = 4 };

/* What is left to be parsed. */
struct cursor {
    const uint8_t *bytes;
    size_t at, len;
    size_t symbol_bytes;
    uint8_t stype_in, stype_out;
};

/* Of the stream, for messages. */
static size_t place(const struct cursor *c)
{
    return DBN_PRELUDE_BYTES + c->at;
}

/* A count of things of at least `each` bytes. */
static int take_count(struct cursor *c, const char *what, size_t each, uint32_t *count, struct error *err)
{
    size_t left = c->len - c->at;
    if (left < 4)
        return error_set(err, "metadata ends at byte %zu, expected the number of %s", place(c) + left, what);
    *count = dbn_u32(c->bytes + c->at);
    if (*count > (left - 4) / each)
        return error_set(err,
                         "metadata at byte %zu: %u %s of at least %zu bytes, but only %zu bytes are left",
                         place(c), *count, what, each, left - 4);
    c->at += 4;
    return 0;
}

/* The caller has checked that it is there. */
static const char *take_symbol(struct cursor *c, uint32_t *len)
{
    const char *symbol = (const char *)c->bytes + c->at;
    *len = (uint32_t)strnlen(symbol, c->symbol_bytes);
    c->at += c->symbol_bytes;
    return symbol;
}

/* YYYYMMDD as days since 1970 (Howard Hinnant, days_from_civil). */
static int take_date(struct cursor *c, int32_t *day, struct error *err)
{
    uint32_t date = dbn_u32(c->bytes + c->at), y = date / 10000, m = date / 100 % 100, d = date % 100;
    if (y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > 31)
        return error_set(err, "metadata at byte %zu: date %u in a mapping, expected YYYYMMDD", place(c),
                         date);
    c->at += DATE_BYTES;
    y -= m <= 2;
    uint32_t era = y / 400, yoe = y % 400, doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
    *day = (int32_t)(era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
    return 0;
}

static bool parse_id(const char *text, uint32_t len, uint32_t *id)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || i > 9)
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *id = (uint32_t)value;
    return len > 0 && value <= UINT32_MAX;
}

static int add_mapping(struct dbn *d, struct dbn_mapping m, struct error *err)
{
    if (d->mappings == d->room) {
        uint32_t room = d->room ? 2 * d->room : 64;
        struct dbn_mapping *bigger = realloc(d->mapping, room * sizeof *bigger);
        if (!bigger)
            return error_set(err, "no memory for more than %u symbol mappings", d->mappings);
        d->mapping = bigger;
        d->room = room;
    }
    m.order = d->mappings;
    d->mapping[d->mappings++] = m;
    return 0;
}

/* The intervals of one symbol. Which side is the instrument's number depends on what was asked for. */
static int take_mapping(struct dbn *d, struct cursor *c, struct error *err)
{
    uint32_t raw_len, intervals, id_len;
    const char *raw = take_symbol(c, &raw_len);
    if (take_count(c, "mapping intervals", 2 * DATE_BYTES + c->symbol_bytes, &intervals, err) < 0)
        return -1;
    for (; intervals > 0; intervals--) {
        struct dbn_mapping m;
        if (take_date(c, &m.first_day, err) < 0 || take_date(c, &m.end_day, err) < 0)
            return -1;
        size_t at = place(c);
        m.name = take_symbol(c, &m.len);
        if (m.len == 0) /* not resolved in these days */
            continue;
        const char *id = m.name;
        id_len = m.len;
        if (c->stype_out == STYPE_INSTRUMENT_ID) {
            m.name = raw;
            m.len = raw_len;
        } else {
            id = raw;
            id_len = raw_len;
        }
        if (!parse_id(id, id_len, &m.id))
            return error_set(
                err,
                "metadata at byte %zu: instrument id '%.*s' in the mapping of '%.*s', expected a "
                "number below 2^32",
                at, (int)id_len, id, (int)raw_len, raw);
        if (m.len > 0 && add_mapping(d, m, err) < 0)
            return -1;
    }
    return 0;
}

static int take_mappings(struct dbn *d, struct cursor *c, struct error *err)
{
    uint32_t n;
    if (take_count(c, "symbol mappings", c->symbol_bytes + 4, &n, err) < 0)
        return -1;
    if (n > 0 && c->stype_in != STYPE_INSTRUMENT_ID && c->stype_out != STYPE_INSTRUMENT_ID)
        return error_set(err,
                         "metadata maps symbols of type %u to type %u; expected instrument ids (type 0) on "
                         "one side, for records have no other name",
                         c->stype_in, c->stype_out);
    for (; n > 0; n--) {
        if (c->len - c->at < c->symbol_bytes)
            return error_set(err, "metadata ends at byte %zu, expected %u more symbol mappings",
                             DBN_PRELUDE_BYTES + c->len, n);
        if (take_mapping(d, c, err) < 0)
            return -1;
    }
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct dbn_mapping *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

int dbn_metadata(struct dbn *d, const uint8_t *bytes, size_t len, struct error *err)
{
    static const char *const lists[] = {"symbols", "partly resolved symbols", "symbols not found"};
    struct cursor c = {.bytes = bytes, .len = len, .symbol_bytes = SYMBOL_BYTES_V1};
    if (len < DBN_FIXED_BYTES + 4)
        return error_set(err, "metadata of %zu bytes, expected at least %d", len, DBN_FIXED_BYTES + 4);
    const uint8_t *stypes = bytes + (d->version == 1 ? 50 : 42);
    c.stype_in = stypes[0];
    c.stype_out = stypes[1];
    d->ts_out = stypes[2] != 0;
    if (d->version > 1)
        c.symbol_bytes = dbn_u16(stypes + 3);
    if (c.symbol_bytes < 1 || c.symbol_bytes > SYMBOL_BYTES_MAX)
        return error_set(err, "metadata: symbols of %zu bytes, expected 1 to %d", c.symbol_bytes,
                         SYMBOL_BYTES_MAX);
    c.at = DBN_FIXED_BYTES;
    if (dbn_u32(bytes + c.at) != 0)
        return error_set(err, "metadata at byte %zu: a schema definition of %u bytes, expected none",
                         place(&c), dbn_u32(bytes + c.at));
    c.at += 4;
    for (int i = 0; i < 3; i++) {
        uint32_t n;
        if (take_count(&c, lists[i], c.symbol_bytes, &n, err) < 0)
            return -1;
        c.at += n * c.symbol_bytes;
    }
    if (take_mappings(d, &c, err) < 0) /* what is behind them is padding */
        return -1;
    if (d->mappings)
        qsort(d->mapping, d->mappings, sizeof *d->mapping, by_id);
    return 0;
}

static struct dbn_live_name *live_cell(const struct dbn *d, uint32_t id)
{
    uint32_t h = id * 0x9e3779b1u;
    for (h ^= h >> 15;; h++) {
        struct dbn_live_name *cell = &d->live[h & (d->live_cells - 1)];
        if (cell->len == 0 || cell->id == id)
            return cell;
    }
}

/* At most half of the cells are taken. */
static bool live_room(struct dbn *d)
{
    if (2 * (d->live_count + 1) <= d->live_cells)
        return true;
    struct dbn old = *d;
    d->live_cells = old.live_cells ? 2 * old.live_cells : 64;
    d->live = calloc(d->live_cells, sizeof *d->live);
    if (!d->live) {
        *d = old;
        return false;
    }
    for (uint32_t i = 0; i < old.live_cells; i++)
        if (old.live[i].len)
            *live_cell(d, old.live[i].id) = old.live[i];
    free(old.live);
    return true;
}

bool dbn_rename(struct dbn *d, uint32_t id, const char *name, size_t len)
{
    if (d->live_count >= DBN_LIVE_NAMES_MAX || !live_room(d))
        return false;
    struct dbn_live_name *cell = live_cell(d, id);
    d->live_count += cell->len == 0;
    cell->id = id;
    cell->len = (uint32_t)len;
    memcpy(cell->name, name, len);
    return true;
}

const char *dbn_name(const struct dbn *d, uint32_t id, int32_t day, size_t *len)
{
    if (d->live_cells) {
        const struct dbn_live_name *cell = live_cell(d, id);
        *len = cell->len;
        if (cell->len)
            return cell->name;
    }
    uint32_t low = 0, high = d->mappings; /* the first of a larger id */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (d->mapping[mid].id <= id)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low > 0 && d->mapping[low - 1].id == id; low--) {
        const struct dbn_mapping *m = &d->mapping[low - 1];
        if (day >= m->first_day && day < m->end_day) {
            *len = m->len;
            return m->name;
        }
    }
    return NULL;
}

void dbn_free(struct dbn *d)
{
    free(d->mapping);
    free(d->live);
}
