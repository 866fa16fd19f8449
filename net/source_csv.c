/* csv:FILE. Columns are found by the names in the first line, in any order; what is not known is ignored. */
#include "net/source.h"

#include "core/decimal.h"
#include "net/conditions.h"
#include "net/csv.h"
#include "net/lines.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* What a column may hold: enum suffix, the names that it may have. */
#define ROLES(X)                                                                                             \
    X(TIME, "ts_ns timestamp_ns time_ns")                                                                    \
    X(RECV, "recv_ns")                                                                                       \
    X(SYMBOL, "symbol")                                                                                      \
    X(PRICE, "price")                                                                                        \
    X(SIZE, "size quantity volume")                                                                          \
    X(BID, "bid")                                                                                            \
    X(ASK, "ask")                                                                                            \
    X(BID_SIZE, "bid_size")                                                                                  \
    X(ASK_SIZE, "ask_size")                                                                                  \
    X(VENUE, "exchange venue")                                                                               \
    X(TRADE_ID, "trade_id")                                                                                  \
    X(TAPE, "tape")                                                                                          \
    X(COND, "cond")                                                                                          \
    X(COND_HEX, "cond_hex")                                                                                  \
    X(CONDITIONS, "conditions")
#define X(name, text) ROLE_##name,
enum role { ROLES(X) ROLE_COUNT };
#undef X
#define X(name, text) text,
static const char *const role_names[ROLE_COUNT] = {ROLES(X)};
#undef X

enum { NO_COLUMN = -1 };

struct csv_source {
    struct source base;
    struct lines *lines;
    char *at, *end; /* of the span in hand */
    uint64_t row;   /* lines so far, with the header */
    unsigned columns;
    int16_t column[ROLE_COUNT]; /* its number, or NO_COLUMN */
    bool details;               /* is there a column of what trades may have beside price and size? */
    struct csv_row fields;
};

/* Is `word` one of the words of `list`? In capitals or not. */
static bool is_word(const char *list, const char *word, size_t len)
{
    for (; *list; list += strspn(list, " ")) {
        size_t n = strcspn(list, " ");
        if (n == len && !strncasecmp(list, word, n))
            return true;
        list += n;
    }
    return false;
}

static const char *missing_column(const int16_t *at)
{
    bool price = at[ROLE_PRICE] != NO_COLUMN, bid = at[ROLE_BID] != NO_COLUMN,
         ask = at[ROLE_ASK] != NO_COLUMN;
    if (at[ROLE_TIME] == NO_COLUMN && at[ROLE_RECV] == NO_COLUMN)
        return "ts_ns";
    if (at[ROLE_SYMBOL] == NO_COLUMN)
        return "symbol";
    if (!price && !bid && !ask)
        return "price";
    if (price && at[ROLE_SIZE] == NO_COLUMN)
        return "size";
    if (bid != ask)
        return bid ? "ask" : "bid";
    return NULL;
}

static int find_columns(struct csv_source *c, const char *path, const char *header, struct error *err)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        c->column[r] = NO_COLUMN;
    c->columns = c->fields.fields;
    if (c->columns > CSV_FIELDS_MAX)
        return error_set(err, "%s: %u columns, expected at most %d", path, c->columns, CSV_FIELDS_MAX);
    for (unsigned i = 0; i < c->columns; i++) {
        size_t len;
        const char *name = csv_field(&c->fields, i, &len);
        for (; len && *name == ' '; name++)
            len--;
        while (len && name[len - 1] == ' ')
            len--;
        for (int r = 0; r < ROLE_COUNT; r++) {
            if (!is_word(role_names[r], name, len))
                continue;
            if (c->column[r] != NO_COLUMN)
                return error_set(err, "%s: columns %d and %u both give '%.*s'; header: %s", path,
                                 c->column[r] + 1, i + 1, (int)strcspn(role_names[r], " "), role_names[r],
                                 header);
            c->column[r] = (int16_t)i;
        }
    }
    const char *missing = missing_column(c->column);
    if (missing)
        return error_set(
            err,
            "%s: no column '%s' in its first line '%s'; expected ts_ns,symbol,price,size and/or bid,ask "
            "(in any order; also recv_ns,bid_size,ask_size,exchange,trade_id,tape,cond,cond_hex,conditions)",
            path, missing, header);
    c->details = c->column[ROLE_TRADE_ID] != NO_COLUMN || c->column[ROLE_TAPE] != NO_COLUMN ||
                 c->column[ROLE_COND] != NO_COLUMN || c->column[ROLE_COND_HEX] != NO_COLUMN ||
                 c->column[ROLE_CONDITIONS] != NO_COLUMN;
    return 0;
}

static int read_header(struct csv_source *c, const char *path, struct error *err)
{
    char shown[200];
    size_t len;
    int got = lines_next(c->lines, &c->at, &len, err);
    if (got < 0)
        return -1;
    if (got == 0)
        return error_set(
            err, "%s: empty; expected a first line with the columns' names (ts_ns,symbol,price,size)", path);
    c->end = c->at + len;
    if (len >= 3 && !memcmp(c->at, "\xef\xbb\xbf", 3))
        c->at += 3;
    const char *line_end = memchr(c->at, '\n', (size_t)(c->end - c->at));
    size_t n = (size_t)(line_end - c->at);
    n = n < sizeof shown ? n : sizeof shown - 1;
    for (size_t i = 0; i < n; i++)
        shown[i] = (unsigned char)c->at[i] < 0x20 ? ' ' : c->at[i];
    shown[n] = 0;
    if (!csv_take(c->at, &c->fields))
        return error_set(err, "%s: a quote in its first line is not closed: '%s'", path, shown);
    c->at += c->fields.length;
    c->row = 1;
    return find_columns(c, path, shown, err);
}

/* The role's field; empty where there is no such column. */
static inline const char *field(const struct csv_source *c, enum role role, size_t *len)
{
    static const char none[DECIMAL_PAD];
    *len = 0;
    return c->column[role] == NO_COLUMN ? none : csv_field(&c->fields, (uint32_t)c->column[role], len);
}

static inline enum reject_reason take_time(const struct csv_source *c, struct msg *m)
{
    size_t len, recv_len;
    const char *text = field(c, ROLE_TIME, &len), *recv = field(c, ROLE_RECV, &recv_len);
    enum reject_reason bad = source_time(text, len, &m->event_ns);
    m->recv_ns = m->event_ns;
    if (recv_len == 0 || bad == REJECT_TIME_FORMAT)
        return bad;
    bad = source_time(recv, recv_len, &m->recv_ns);
    if (len == 0) {
        m->event_ns = m->recv_ns;
        m->flags |= MSG_F_RECV_TIME;
    }
    return bad;
}

/* Sale conditions as numbers: Lean's flags, or Polygon's list "12,37". What is no number says nothing. */
static void take_numbers(const struct csv_source *c, struct msg *m)
{
    const struct conditions *names = c->base.config.conditions;
    size_t len;
    const char *text = field(c, ROLE_COND_HEX, &len);
    uint32_t number = 0;
    for (size_t i = 0; i < len && isxdigit((unsigned char)text[i]); i++)
        number = number << 4 | (uint32_t)((text[i] & 15) + (text[i] > '9' ? 9 : 0));
    if (number)
        conditions_map(names, CONDITION_LEAN, number, &m->trade);
    text = field(c, ROLE_CONDITIONS, &len);
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            continue;
        for (number = 0; i < len && isdigit((unsigned char)text[i]); i++)
            number = 10 * number + (uint32_t)(text[i] - '0');
        conditions_map(names, CONDITION_POLYGON, number, &m->trade);
    }
}

/* What a trade may have beside price and size. */
static void take_details(const struct csv_source *c, struct msg *m)
{
    size_t len;
    const char *text = field(c, ROLE_TRADE_ID, &len);
    if (len && decimal_parse_whole_padded(text, len, &m->trade.trade_id) != DECIMAL_OK)
        m->trade.trade_id = XXH3_64bits(text, len);
    text = field(c, ROLE_TAPE, &len);
    if (len == 1 && *text >= 'A' && *text <= 'C')
        m->trade.tape = (uint8_t)*text;
    else if (len == 1 && *text >= '1' && *text <= '3')
        m->trade.tape = (uint8_t)(*text - '1' + 'A');
    text = field(c, ROLE_COND, &len);
    for (unsigned n = 0; len > 0 && n < sizeof m->trade.cond; text++, len--)
        if (*text != ' ')
            m->trade.cond[n++] = (uint8_t)*text;
    if (c->base.config.conditions)
        take_numbers(c, m);
}

/* Price and size, or bid and ask with their sizes where there is no price. */
static enum reject_reason take_payload(const struct csv_source *c, struct msg *m)
{
    size_t len, bid_len, ask_len;
    unsigned scale = c->base.size_scale;
    const char *text = field(c, ROLE_PRICE, &len);
    if (len || c->column[ROLE_BID] == NO_COLUMN) {
        enum reject_reason bad = source_price(text, len, &m->trade.price_e9);
        if (bad != REJECT_NONE)
            return bad;
        m->type = MSG_TRADE;
        text = field(c, ROLE_SIZE, &len);
        if (c->details)
            take_details(c, m);
        return source_size(text, len, scale, &m->trade.size);
    }
    const char *bid = field(c, ROLE_BID, &bid_len), *ask = field(c, ROLE_ASK, &ask_len);
    m->type = MSG_QUOTE;
    enum reject_reason bad = source_price(bid, bid_len, &m->quote.bid_e9);
    if (bad == REJECT_NONE)
        bad = source_price(ask, ask_len, &m->quote.ask_e9);
    text = field(c, ROLE_BID_SIZE, &len);
    if (bad == REJECT_NONE && len)
        bad = source_size(text, len, scale, &m->quote.bid_size);
    text = field(c, ROLE_ASK_SIZE, &len);
    if (bad == REJECT_NONE && len)
        bad = source_size(text, len, scale, &m->quote.ask_size);
    return bad;
}

/* The row in c->fields as a tick: true, or false if it was refused. */
static bool take_tick(struct csv_source *c, struct msg *m)
{
    size_t len;
    enum reject_reason bad = REJECT_NONE;
    memset(m, 0, sizeof *m);
    if (c->fields.fields != c->columns)
        bad = c->fields.fields < c->columns ? REJECT_COLUMNS : REJECT_FORMAT;
    if (bad == REJECT_NONE)
        bad = take_time(c, m);
    if (bad == REJECT_NONE)
        bad = take_payload(c, m);
    if (bad != REJECT_NONE) {
        source_reject(&c->base, bad, c->row, c->fields.text, c->fields.length - 1);
        return false;
    }
    const char *venue = field(c, ROLE_VENUE, &len);
    m->venue = len ? (uint8_t)*venue : 0;
    const char *name = field(c, ROLE_SYMBOL, &len);
    int32_t id = source_symbol_id_padded(&c->base, name, len, c->row);
    m->symbol = (uint32_t)id;
    return id >= 0;
}

static int csv_read(struct source *s, struct msg *out, int max)
{
    struct csv_source *c = (struct csv_source *)s;
    int n = 0;
    while (n == 0) {
        if (c->at == c->end) {
            size_t len;
            int got = lines_next(c->lines, &c->at, &len, &s->failure);
            s->stats.bytes = lines_bytes(c->lines);
            if (got <= 0) {
                c->at = c->end;
                return got < 0 ? SOURCE_FAILED : SOURCE_END;
            }
            c->end = c->at + len;
        }
        while (c->at < c->end && n < max) {
            bool sound = csv_take(c->at, &c->fields);
            c->at += c->fields.length;
            c->row++;
            if (csv_blank(&c->fields) && sound)
                continue;
            s->stats.rows++;
            if (!sound)
                source_reject(s, REJECT_FORMAT, c->row, c->fields.text, c->fields.length - 1);
            else
                n += take_tick(c, &out[n]);
        }
    }
    return n;
}

static void csv_close(struct source *s)
{
    struct csv_source *c = (struct csv_source *)s;
    if (c->lines)
        lines_close(c->lines);
}

struct source *source_csv_open(const char *path, const struct source_config *config, struct error *err)
{
    static const struct source_ops ops = {csv_read, csv_close};
    if (config->csv_size_scale < 0 || config->csv_size_scale > SOURCE_SIZE_SCALE_MAX) {
        error_set(err, "%d decimal places of sizes, expected 0 to %d", config->csv_size_scale,
                  SOURCE_SIZE_SCALE_MAX);
        return NULL;
    }
    struct csv_source *c = source_new(sizeof *c, &ops, config, err);
    if (!c)
        return NULL;
    c->base.size_scale = (uint8_t)config->csv_size_scale;
    c->base.calendar = (uint8_t)config->csv_calendar;
    c->lines = lines_open(path, err);
    if (c->lines && read_header(c, path, err) == 0)
        return &c->base;
    source_close(&c->base);
    return NULL;
}
