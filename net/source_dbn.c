/* dbn:FILE. Databento's binary files (net/dbn.h), plain or zstd.
 *
 * Trades, of top-of-book records the best bid and ask, and of status records halts and their ends become
 * messages; every other record is skipped and counted by its kind. All records begin with: length in 32-bit
 * words u8, rtype u8, publisher u16, instrument u32, ts_event u64. Trades and books go on with: price i64,
 * size u32, action, side, flags, depth u8, ts_recv u64, ts_in_delta i32, sequence u32; bid, ask i64,
 * bid_size, ask_size u32 and more; a status with: ts_recv u64, action, reason, trading_event u16 and more
 * (record.rs of the dbn crate). Prices are at 1e-9, times nanoseconds since 1970 UTC.
 */
#include "net/source.h"

#include "net/bytes.h"
#include "net/dbn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BUFFER_BYTES = 256 << 10,
    HEADER_BYTES = 16,
    TS_OUT_BYTES = 8,
    AT_RTYPE = 1,
    AT_INSTRUMENT = 4,
    AT_TS_EVENT = 8,
    AT_PRICE = 16,
    AT_SIZE = 24,
    AT_ACTION = 28,
    AT_FLAGS = 30,
    AT_TS_RECV = 32,
    AT_BID = 48,
    AT_ASK = 56,
    AT_BID_SIZE = 64,
    AT_ASK_SIZE = 68,
    TRADE_BYTES = 48,
    BOOK_BYTES = 80,
    AT_STATUS_TS_RECV = 16,
    AT_STATUS_ACTION = 24,
    AT_STATUS_REASON = 26,
    STATUS_BYTES = 40,
    FLAG_MAYBE_BAD_BOOK = 4,
    DAY_S = 86400,
};
#define UNDEF_PRICE INT64_MAX
#define UNDEF_SIZE  UINT32_MAX
#define UNDEF_TIME  UINT64_MAX

/* BOOK: its action says whether it is a trade or a change. SAMPLED: the best bid and ask at ts_recv; ts_event
 * is of the last trade before. */
enum use { SKIP, TRADES, BOOK, SAMPLED, STATUS, MAPPING };

static const struct kind {
    const char *name;
    uint8_t rtype, use;
} kinds[] = {
    {"mbp-0", 0x00, TRADES},    {"mbp-1", 0x01, BOOK},      {"mbp-10", 0x0a, SKIP},
    {"ohlcv", 0x11, SKIP},      {"status", 0x12, STATUS},   {"definition", 0x13, SKIP},
    {"imbalance", 0x14, SKIP},  {"error", 0x15, SKIP},      {"symbol-mapping", 0x16, MAPPING},
    {"system", 0x17, SKIP},     {"statistics", 0x18, SKIP}, {"ohlcv-1s", 0x20, SKIP},
    {"ohlcv-1m", 0x21, SKIP},   {"ohlcv-1h", 0x22, SKIP},   {"ohlcv-1d", 0x23, SKIP},
    {"ohlcv-eod", 0x24, SKIP},  {"mbo", 0xa0, SKIP},        {"cmbp-1", 0xb1, BOOK},
    {"cbbo-1s", 0xc0, SAMPLED}, {"cbbo-1m", 0xc1, SAMPLED}, {"tcbbo", 0xc2, BOOK},
    {"bbo-1s", 0xc3, SAMPLED},  {"bbo-1m", 0xc4, SAMPLED},
};

/* StatusAction of the dbn crate, by number: name, what it says of trading; NONE: it is of the session, or of
 * something else, and is skipped. */
#define ACTION_NONE STATUS_KINDS
static const struct action {
    const char *name;
    uint8_t kind;
} actions[] = {
    {"none", ACTION_NONE},          {"pre-open", ACTION_NONE},   {"pre-cross", ACTION_NONE},
    {"quoting", ACTION_NONE},       {"cross", ACTION_NONE},      {"rotation", ACTION_NONE},
    {"new-price", ACTION_NONE},     {"trading", STATUS_TRADING}, {"halt", STATUS_HALTED},
    {"pause", STATUS_HALTED},       {"suspend", STATUS_HALTED},  {"pre-close", ACTION_NONE},
    {"close", ACTION_NONE},         {"post-close", ACTION_NONE}, {"ssr-change", ACTION_NONE},
    {"not-available", ACTION_NONE},
};
enum { ACTIONS = sizeof actions / sizeof *actions };

/* StatusReason: number, text; 0 is none. */
static const struct reason {
    uint16_t number;
    const char *text;
} reasons[] = {
    {1, "scheduled"},
    {2, "surveillance"},
    {3, "market event"},
    {4, "activation"},
    {5, "expiration"},
    {6, "recovery in process"},
    {10, "regulatory"},
    {11, "administrative"},
    {12, "non-compliance"},
    {13, "filings not current"},
    {14, "SEC suspension"},
    {15, "new issue"},
    {16, "issue available"},
    {17, "issues reviewed"},
    {18, "filings satisfied"},
    {30, "news pending"},
    {31, "news released"},
    {32, "news and times"},
    {33, "news not forthcoming"},
    {40, "order imbalance"},
    {50, "LULD pause"},
    {60, "operational"},
    {70, "information requested"},
    {80, "merger effective"},
    {90, "ETF"},
    {100, "corporate action"},
    {110, "new offering"},
    {120, "market-wide level 1"},
    {121, "market-wide level 2"},
    {122, "market-wide level 3"},
    {123, "market-wide carryover"},
    {124, "market-wide resumption"},
    {130, "no quotation"},
};

/* The last instrument of a cell that was named. */
struct named {
    uint32_t instrument, symbol;
    int32_t day;
    bool valid;
};

struct dbn_source {
    struct source base;
    struct bytes *bytes;
    struct dbn dbn;
    uint8_t *metadata, *buffer;
    size_t at, end;       /* of the buffer */
    uint64_t offset;      /* of the record in hand, in the uncompressed stream */
    uint64_t record;      /* its number, from 1 */
    uint8_t kind_of[256]; /* 1 + its row in kinds, by rtype */
    struct named named[SOURCE_CACHE];
};

/* Shown of a record that is refused. */
static bool refuse(struct dbn_source *d, enum reject_reason reason, const uint8_t *p, const char *kind)
{
    char text[160];
    size_t len = 4u * p[0];
    int n = snprintf(text, sizeof text, "%s of %zu bytes at byte %" PRIu64 ", instrument %u", kind, len,
                     d->offset, dbn_u32(p + AT_INSTRUMENT));
    if (len >= TRADE_BYTES && n > 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ", action 0x%02x, price %" PRId64 "e-9, size %u",
                 p[AT_ACTION], (int64_t)dbn_u64(p + AT_PRICE), dbn_u32(p + AT_SIZE));
    source_reject(&d->base, reason, d->record, text, strlen(text));
    return false;
}

static bool skip(struct dbn_source *d, const char *kind, const char *why)
{
    char label[64];
    snprintf(label, sizeof label, "%s%s%s", kind, *why ? " " : "", why);
    source_skip(&d->base, label, strlen(label));
    return false;
}

static enum reject_reason take_times(const uint8_t *p, enum use use, struct msg *m)
{
    uint64_t event = dbn_u64(p + AT_TS_EVENT),
             recv = dbn_u64(p + (use == STATUS ? AT_STATUS_TS_RECV : AT_TS_RECV));
    if (event == UNDEF_TIME && recv == UNDEF_TIME)
        return REJECT_TIME_MISSING;
    if (event == UNDEF_TIME || (use == SAMPLED && recv != UNDEF_TIME)) {
        event = recv;
        m->flags |= MSG_F_RECV_TIME;
    }
    if (recv == UNDEF_TIME)
        recv = event;
    m->event_ns = (int64_t)event;
    m->recv_ns = (int64_t)recv;
    return event > INT64_MAX || recv > INT64_MAX ? REJECT_TIME_FORMAT : REJECT_NONE;
}

static enum reject_reason take_trade(const uint8_t *p, struct msg *m)
{
    uint32_t size = dbn_u32(p + AT_SIZE);
    m->type = MSG_TRADE;
    m->trade.price_e9 = (int64_t)dbn_u64(p + AT_PRICE);
    m->trade.size = size;
    return m->trade.price_e9 == UNDEF_PRICE ? REJECT_PRICE_MISSING
           : m->trade.price_e9 <= 0         ? REJECT_PRICE_SIGN
           : size == UNDEF_SIZE             ? REJECT_SIZE_MISSING
                                            : REJECT_NONE;
}

static enum reject_reason take_quote(const uint8_t *p, struct msg *m)
{
    m->type = MSG_QUOTE;
    m->quote.bid_e9 = (int64_t)dbn_u64(p + AT_BID);
    m->quote.ask_e9 = (int64_t)dbn_u64(p + AT_ASK);
    m->quote.bid_size = dbn_u32(p + AT_BID_SIZE);
    m->quote.ask_size = dbn_u32(p + AT_ASK_SIZE);
    return m->quote.bid_e9 > 0 && m->quote.ask_e9 > 0 ? REJECT_NONE : REJECT_PRICE_SIGN;
}

/* The source's id of the instrument on the tick's day; -1 and counted where it has no name. The day is that
 * of the receive time, as in Databento's own symbol maps. */
static int32_t symbol_of(struct dbn_source *d, const uint8_t *p, const char *kind, int64_t recv_ns)
{
    uint32_t instrument = dbn_u32(p + AT_INSTRUMENT);
    int32_t day = (int32_t)(recv_ns / 1000000000 / DAY_S);
    struct named *known = &d->named[instrument % SOURCE_CACHE];
    if (known->valid && known->instrument == instrument && known->day == day)
        return (int32_t)known->symbol;
    size_t len;
    const char *name = dbn_name(&d->dbn, instrument, day, &len);
    if (!name) {
        refuse(d, REJECT_SYMBOL_MISSING, p, kind);
        return -1;
    }
    int32_t id = source_symbol_id(&d->base, name, len, d->record);
    if (id >= 0)
        *known = (struct named){instrument, (uint32_t)id, day, true};
    return id;
}

/* A symbol-mapping record: version 1 has stype_in_symbol[22], stype_out_symbol[22], then 4 bytes, start_ts,
 * end_ts u64; later versions have a type before each symbol, of 71 bytes. */
static bool take_mapping(struct dbn_source *d, const uint8_t *p, size_t len, const struct kind *kind)
{
    bool v1 = d->dbn.version == 1;
    size_t width = v1 ? 22 : DBN_LIVE_NAME_BYTES, at = v1 ? HEADER_BYTES + width : HEADER_BYTES + width + 2;
    if (len != (v1 ? 80 : 176))
        return refuse(d, REJECT_FORMAT, p, kind->name);
    uint32_t instrument = dbn_u32(p + AT_INSTRUMENT);
    const char *name = (const char *)p + at;
    size_t n = strnlen(name, width);
    if (n == 0)
        return refuse(d, REJECT_SYMBOL_MISSING, p, kind->name);
    if (!dbn_rename(&d->dbn, instrument, name, n))
        return refuse(d, REJECT_SYMBOLS_FULL, p, kind->name);
    d->named[instrument % SOURCE_CACHE].valid = false;
    return skip(d, kind->name, "");
}

/* A record of a kind that gives ticks: true, or false if it was skipped or refused. */
static bool take_tick(struct dbn_source *d, const uint8_t *p, size_t len, const struct kind *kind,
                      struct msg *m)
{
    if (len != (kind->use == TRADES ? TRADE_BYTES : BOOK_BYTES))
        return refuse(d, REJECT_FORMAT, p, kind->name);
    char action = kind->use == SAMPLED ? 'M' : (char)p[AT_ACTION];
    if (action != 'T' && (kind->use == TRADES || !memchr("ACM", action, 3))) {
        if (!memchr("ACMRFN", action, 6)) /* add, cancel, modify, clear, fill, none */
            return refuse(d, REJECT_FORMAT, p, kind->name);
        return skip(d, kind->name, (char[]){'a', 'c', 't', 'i', 'o', 'n', ' ', action, 0});
    }
    if (action != 'T') {
        if (p[AT_FLAGS] & FLAG_MAYBE_BAD_BOOK)
            return skip(d, kind->name, "maybe bad book");
        if (dbn_u64(p + AT_BID) == UNDEF_PRICE || dbn_u64(p + AT_ASK) == UNDEF_PRICE)
            return skip(d, kind->name, "one-sided");
    }
    memset(m, 0, sizeof *m);
    enum reject_reason bad = take_times(p, kind->use, m);
    if (bad == REJECT_NONE)
        bad = action == 'T' ? take_trade(p, m) : take_quote(p, m);
    if (bad != REJECT_NONE)
        return refuse(d, bad, p, kind->name);
    int32_t id = symbol_of(d, p, kind->name, m->recv_ns);
    m->symbol = (uint32_t)id;
    return id >= 0;
}

/* The text of a reason; of a halt without one what it is, of an unknown one its number. */
static void put_reason(const struct action *action, unsigned number, struct msg_status *s)
{
    char text[sizeof s->reason + 1];
    size_t i = 0;
    while (i < sizeof reasons / sizeof *reasons && reasons[i].number != number)
        i++;
    if (i < sizeof reasons / sizeof *reasons)
        snprintf(text, sizeof text, "%s", reasons[i].text);
    else if (number)
        snprintf(text, sizeof text, "%u", number);
    else
        snprintf(text, sizeof text, "%s", action->kind == STATUS_HALTED ? action->name : "");
    memcpy(s->reason, text, strlen(text));
}

static bool take_status(struct dbn_source *d, const uint8_t *p, size_t len, const struct kind *kind,
                        struct msg *m)
{
    if (len != STATUS_BYTES)
        return refuse(d, REJECT_FORMAT, p, kind->name);
    unsigned number = dbn_u16(p + AT_STATUS_ACTION);
    const struct action *action = &actions[number < ACTIONS ? number : 0];
    if (action->kind == ACTION_NONE) {
        char other[16];
        snprintf(other, sizeof other, "action %u", number);
        return skip(d, kind->name, number < ACTIONS ? action->name : other);
    }
    memset(m, 0, sizeof *m);
    m->type = MSG_STATUS;
    m->status.kind = action->kind;
    put_reason(action, dbn_u16(p + AT_STATUS_REASON), &m->status);
    enum reject_reason bad = take_times(p, kind->use, m);
    if (bad != REJECT_NONE)
        return refuse(d, bad, p, kind->name);
    int32_t id = symbol_of(d, p, kind->name, m->recv_ns);
    m->symbol = (uint32_t)id;
    return id >= 0;
}

static bool take_record(struct dbn_source *d, const uint8_t *p, size_t len, struct msg *m)
{
    uint8_t row = d->kind_of[p[AT_RTYPE]];
    if (row == 0) {
        char name[16];
        snprintf(name, sizeof name, "rtype 0x%02x", p[AT_RTYPE]);
        return skip(d, name, "");
    }
    const struct kind *kind = &kinds[row - 1];
    if (kind->use == SKIP)
        return skip(d, kind->name, "");
    if (d->dbn.ts_out && len >= HEADER_BYTES + TS_OUT_BYTES)
        len -= TS_OUT_BYTES;
    return kind->use == MAPPING  ? take_mapping(d, p, len, kind)
           : kind->use == STATUS ? take_status(d, p, len, kind, m)
                                 : take_tick(d, p, len, kind, m);
}

/* Has the buffer n bytes? 1, 0 at the end of the file, -1 with err set. */
static int have(struct dbn_source *d, size_t n, struct error *err)
{
    while (d->end - d->at < n) {
        memmove(d->buffer, d->buffer + d->at, d->end - d->at);
        d->end -= d->at;
        d->at = 0;
        ssize_t got = bytes_read(d->bytes, d->buffer + d->end, BUFFER_BYTES - d->end, err);
        if (got <= 0)
            return (int)got;
        d->end += (size_t)got;
    }
    return 1;
}

/* Where a record cannot be told from the next one. */
static int fail(struct dbn_source *d, const char *found, const char *expected)
{
    return error_set(&d->base.failure,
                     "record %" PRIu64 " at byte %" PRIu64
                     " of the uncompressed data: %s, expected %s; the records before it were read",
                     d->record + 1, d->offset, found, expected);
}

/* The next whole record: 1 with its length, 0 at the end, -1 with the failure set. */
static int next_record(struct dbn_source *d, size_t *len)
{
    char found[80];
    int got = have(d, 1, &d->base.failure);
    if (got <= 0)
        return got;
    *len = 4u * d->buffer[d->at];
    if (*len < HEADER_BYTES) {
        snprintf(found, sizeof found, "a length of %zu bytes", *len);
        return fail(d, found, "at least 16");
    }
    got = have(d, *len, &d->base.failure);
    if (got == 0) {
        snprintf(found, sizeof found, "the file ends after %zu of its %zu bytes", d->end - d->at, *len);
        return fail(d, found, "the whole record");
    }
    if (got > 0 && !memcmp(d->buffer + d->at, "DBN", 3))
        return fail(d, "the metadata of another file", "a record (give each file as a source of its own)");
    return got;
}

static int dbn_read(struct source *s, struct msg *out, int max)
{
    struct dbn_source *d = (struct dbn_source *)s;
    size_t len = 0;
    int n = 0;
    while (n < max) {
        int got = s->failure.text[0] ? -1 : next_record(d, &len);
        if (got <= 0 && n == 0)
            return got < 0 ? SOURCE_FAILED : SOURCE_END;
        if (got <= 0)
            break;
        d->record++;
        s->stats.rows++;
        n += take_record(d, d->buffer + d->at, len, &out[n]);
        d->at += len;
        d->offset += len;
        s->stats.bytes = d->offset;
    }
    return n;
}

static void dbn_close(struct source *s)
{
    struct dbn_source *d = (struct dbn_source *)s;
    if (d->bytes)
        bytes_close(d->bytes);
    dbn_free(&d->dbn);
    free(d->metadata);
    free(d->buffer);
}

/* What a file without DBN's first bytes is. */
static int not_dbn(const char *path, const uint8_t *p, size_t n, struct error *err)
{
    char shown[32] = "";
    if (n == 0)
        return error_set(err, "%s: empty; expected DBN, which begins with 'DBN' and its version", path);
    for (size_t i = 0; i < n && i < 8; i++)
        snprintf(shown + 3 * i, 4, "%02x ", p[i]);
    shown[strlen(shown) - 1] = 0;
    return error_set(err,
                     "%s: begins with the bytes %s; expected 'DBN', its version and metadata (a fragment, "
                     "records without metadata, cannot be read: nothing names its instruments)",
                     path, shown);
}

static bool is_dbz(const struct bytes *bytes)
{
    size_t n;
    const unsigned char *head = bytes_head(bytes, &n);
    return n >= 11 && bytes_compressed(bytes) && !memcmp(head + 8, "DBZ", 3);
}

static int read_prelude(struct dbn_source *d, const char *path, uint32_t *len, struct error *err)
{
    if (is_dbz(d->bytes))
        return error_set(err,
                         "%s: legacy DBZ, expected DBN; Databento's tool converts it: dbn FILE.dbz --dbn "
                         "-o FILE.dbn",
                         path);
    if (have(d, DBN_PRELUDE_BYTES, err) < 0)
        return -1;
    const uint8_t *p = d->buffer;
    if (d->end < 3 || memcmp(p, "DBN", 3))
        return not_dbn(path, p, d->end, err);
    if (d->end < DBN_PRELUDE_BYTES)
        return error_set(err, "%s: truncated: ends at byte %zu, within the metadata", path, d->end);
    d->dbn.version = p[3];
    *len = dbn_u32(p + 4);
    if (p[3] < 1 || p[3] > DBN_VERSION_MAX)
        return error_set(err, "%s: DBN version %u, expected 1 to %d", path, p[3], DBN_VERSION_MAX);
    if (*len < DBN_FIXED_BYTES || *len > DBN_METADATA_MAX)
        return error_set(err, "%s: metadata of %u bytes at byte 4, expected %d to %d", path, *len,
                         DBN_FIXED_BYTES, DBN_METADATA_MAX);
    d->at = DBN_PRELUDE_BYTES;
    return 0;
}

/* Memory grows with what has come, not with the length that the file claims. */
static int read_metadata(struct dbn_source *d, const char *path, struct error *err)
{
    uint32_t len = 0;
    if (read_prelude(d, path, &len, err) < 0)
        return -1;
    for (size_t n = 0, room = 0; n < len;) {
        if (n == room) {
            room = room ? 2 * room : 64 << 10;
            uint8_t *bigger = realloc(d->metadata, room);
            if (!bigger)
                return error_set(err, "%s: no memory for metadata of %u bytes", path, len);
            d->metadata = bigger;
        }
        int got = have(d, 1, err);
        if (got < 0)
            return -1;
        if (got == 0)
            return error_set(err, "%s: truncated: ends after %zu of %u bytes of metadata", path, n, len);
        size_t some = room < len ? room - n : len - n;
        some = some < d->end - d->at ? some : d->end - d->at;
        memcpy(d->metadata + n, d->buffer + d->at, some);
        d->at += some;
        n += some;
    }
    d->offset = DBN_PRELUDE_BYTES + (uint64_t)len;
    d->base.stats.bytes = d->offset;
    if (dbn_metadata(&d->dbn, d->metadata, len, err) == 0)
        return 0;
    return error_prefix(err, "%s", path);
}

struct source *source_dbn_open(const char *path, const struct source_config *config, struct error *err)
{
    static const struct source_ops ops = {dbn_read, dbn_close};
    struct dbn_source *d = source_new(sizeof *d, &ops, config, err);
    if (!d)
        return NULL;
    d->base.calendar = (uint8_t)config->dbn_calendar;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        d->kind_of[kinds[i].rtype] = (uint8_t)(i + 1);
    d->buffer = malloc(BUFFER_BYTES);
    if (!d->buffer)
        error_set(err, "%s: no memory to read it", path);
    else if ((d->bytes = bytes_open(path, "records", err)) && read_metadata(d, path, err) == 0)
        return &d->base;
    source_close(&d->base);
    return NULL;
}
