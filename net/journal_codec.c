#include "net/journal_codec.h"

#include <assert.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fields are stored as the machine has them");

enum { KIND_OTHER, KIND_TRADE, KIND_QUOTE, KIND_CLOCK, KIND_MASK = 3 };
enum { OTHER_RECORD = 0, OTHER_SEQ = 4, OTHER_NS = 8, OTHER_ATTRIBUTES = 12 };

/* Where each field of a control word starts; all but the named widths have 2 bits. */
enum { TICK_WIDE = 2 /* 1 */, TICK_EVENT = 3, TICK_RECV = 5, TICK_UNIT = 7 };
enum { TRADE_PRICE = 9, TRADE_SIZE = 11, TRADE_ID = 13, TRADE_RESERVED = 1 << 15 };
enum { QUOTE_BID = 9, QUOTE_ASK = 11, QUOTE_SIZES = 13, QUOTE_RECV_TIME = 15 /* 1 */ };
enum { CLOCK_EVENT = 2, CLOCK_RECV = 4, CLOCK_BUCKET = 6 /* 10 */ };
/* And of the head, which is the control word and what always follows it. */
enum { TRADE_VENUE_BIT = 16, TRADE_PLACE_BIT = 24, TRADE_SYMBOL_BIT = 32, TRADE_HEAD_BYTES = 6 };
enum { QUOTE_VENUE_BIT = 16, QUOTE_SYMBOL_BIT = 24, QUOTE_HEAD_BYTES = 5 };
enum { CONTROL_BYTES = 2 };

#define MS_NS      1000000
#define FRAME_BITS ((uint16_t) ~(MSG_F_PHASE | 0xffu)) /* flags that are 0 in what has a compact form */

static const int64_t price_unit[4] = {10000000, 100000, 1000, 1};

/* Bytes for each length code, and the bits that so many bytes hold. */
struct length {
    uint8_t bytes[4];
    uint64_t mask[4];
};
static const struct length plain = {{1, 2, 4, 8}, {0xff, 0xffff, 0xffffffff, UINT64_MAX}};
static const struct length recv_length = {{0, 3, 4, 8}, {0, 0xffffff, 0xffffffff, UINT64_MAX}};
static const struct length id_length = {{0, 2, 4, 8}, {0, 0xffff, 0xffffffff, UINT64_MAX}};
static const struct length clock_length = {{0, 0, 4, 8}, {0, 0, 0xffffffff, UINT64_MAX}};

static inline uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static inline uint64_t unzigzag(uint64_t v)
{
    return v >> 1 ^ -(v & 1);
}

/* The `plain` length code of v, without a branch: lengths are what nobody can predict. */
static inline unsigned plain_code(uint64_t v)
{
    static const uint8_t code[64] = {
        [0] = 0,  0, 0, 0, 0, 0, 0, 0, 1,        1, 1, 1, 1, 1, 1, 1, /* by the highest bit */
        [16] = 2, 2, 2, 2, 2, 2, 2, 2, 2,        2, 2, 2, 2, 2, 2, 2, [32] = 3, 3, 3, 3, 3, 3, 3, 3,
        3,        3, 3, 3, 3, 3, 3, 3, [48] = 3, 3, 3, 3, 3, 3, 3, 3, 3,        3, 3, 3, 3, 3, 3, 3};
    return code[63 ^ __builtin_clzll(v | 1)];
}

static inline void put(uint8_t **p, uint64_t v, unsigned bytes)
{
    memcpy(*p, &v, 8);
    *p += bytes;
}

static inline uint64_t take(const uint8_t **p, const struct length *length, unsigned code)
{
    uint64_t v;
    memcpy(&v, *p, 8);
    *p += length->bytes[code];
    return v & length->mask[code];
}

static inline uint64_t take_plain(const uint8_t **p, unsigned code)
{
    uint64_t v;
    memcpy(&v, *p, 8);
    *p += 1u << code;
    return v & plain.mask[code];
}

/* The largest unit that divides both, its place in price_unit; both divided by it. The branches go the same
 * way for long. */
static inline unsigned in_largest_unit(int64_t *a, int64_t *b)
{
#define TRY(place, unit)                                                                                     \
    if (__builtin_expect(*a / unit * unit == *a && *b / unit * unit == *b, 1)) {                             \
        *a /= unit;                                                                                          \
        *b /= unit;                                                                                          \
        return place;                                                                                        \
    }
    TRY(0, 10000000)
    TRY(1, 100000)
    TRY(2, 1000)
#undef TRY
    return 3;
}

static inline uint64_t attributes_of(const struct msg *m)
{
    uint64_t a;
    memcpy(&a, m->trade.cond, 8);
    return a | (uint64_t)(m->flags & 0xff) << 40;
}

static inline unsigned attributes_place(uint64_t a)
{
    return (unsigned)(a * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}
_Static_assert(CODEC_ATTRIBUTES == 256, "a place is a byte, whatever the byte");

static inline bool trade_is_compact(const struct msg *m)
{
    uint64_t a;
    memcpy(&a, m->trade.cond, 8);
    return !((m->flags & FRAME_BITS) | a >> 40);
}

static inline bool quote_is_compact(const struct msg *m)
{
    return !(m->flags & (FRAME_BITS | 0xff) & ~MSG_F_RECV_TIME);
}

static inline bool clock_is_compact(const struct msg *m)
{
    uint64_t p[4];
    memcpy(p, m->first, 32);
    return !((m->flags & ~MSG_F_PHASE) | m->venue | p[0] | p[1] | p[2] | p[3]) && m->symbol < BUCKET_COUNT;
}

static void codec_begin(struct codec *c, uint64_t first_seq)
{
    memset(c, 0, sizeof *c);
    c->seq = first_seq - 1;
    c->event_unit = MS_NS;
}

/* event_ns and recv_ns of TRADE and QUOTE. Returns their codes. */
static inline uint32_t encode_times(struct codec *c, int64_t event_ns, int64_t recv_ns, int64_t d,
                                    uint8_t **p)
{
    uint64_t v = zigzag((uint64_t)d);
    unsigned code = plain_code(v);
    put(p, v, 1u << code);
    uint32_t control = code << TICK_EVENT;
    if (recv_ns != event_ns) { /* of a source always or never */
        v = zigzag((uint64_t)recv_ns - c->recv_ns);
        code = 1u + (v > 0xffffff) + (v > 0xffffffff);
        put(p, v, recv_length.bytes[code]);
        control |= code << TICK_RECV;
    }
    c->event_ns = (uint64_t)event_ns;
    c->recv_ns = (uint64_t)recv_ns;
    return control;
}

/* The tick's event time as a difference in the unit of the block, which becomes ns where ms do not do. */
static inline int64_t event_difference(struct codec *c, int64_t event_ns, uint8_t **p)
{
    int64_t d = (int64_t)((uint64_t)event_ns - c->event_ns);
    if (c->event_unit == 1)
        return d;
    if (__builtin_expect(d / MS_NS * MS_NS == d, 1))
        return d / MS_NS;
    *(*p)++ = OTHER_NS;
    c->event_unit = 1;
    return d;
}

static inline uint8_t *encode_trade(struct codec *c, const struct msg *m, uint8_t *p)
{
    const uint32_t symbol = m->symbol;
    const int64_t event_ns = m->event_ns, recv_ns = m->recv_ns;
    const uint64_t price = (uint64_t)m->trade.price_e9, size = m->trade.size, id = m->trade.trade_id;
    const uint64_t venue = m->venue, attributes = attributes_of(m);
    struct codec_symbol *s = &c->symbols[symbol % CODEC_SYMBOLS];

    uint64_t place = attributes_place(attributes);
    if (__builtin_expect(c->attributes[place] != attributes, 0)) {
        c->attributes[place] = attributes;
        *p++ = OTHER_ATTRIBUTES;
        put(&p, attributes << 8 | place, 7);
    }
    int64_t event_d = event_difference(c, event_ns, &p), price_d = (int64_t)(price - s->price_e9), none = 0;
    uint8_t *head = p;
    bool wide = symbol > 0xffff;
    put(&p, venue << TRADE_VENUE_BIT | place << TRADE_PLACE_BIT | (uint64_t)symbol << TRADE_SYMBOL_BIT,
        TRADE_HEAD_BYTES + 2 * wide);
    uint32_t control =
        KIND_TRADE | (uint32_t)wide << TICK_WIDE | encode_times(c, event_ns, recv_ns, event_d, &p);

    unsigned unit = in_largest_unit(&price_d, &none);
    uint64_t v = zigzag((uint64_t)price_d);
    unsigned code = plain_code(v);
    put(&p, v, 1u << code);
    control |= unit << TICK_UNIT | code << TRADE_PRICE;

    code = plain_code(size);
    put(&p, size, 1u << code);
    control |= code << TRADE_SIZE;

    uint64_t last = s->trade_id;
    if (id != last + (last != 0)) { /* of a venue always or never */
        v = zigzag(id - last);
        code = 1u + (v > 0xffff) + (v > 0xffffffff);
        put(&p, v, id_length.bytes[code]);
        control |= code << TRADE_ID;
    }
    s->price_e9 = price;
    s->trade_id = id;
    memcpy(head, &control, CONTROL_BYTES);
    return p;
}

static inline uint8_t *encode_quote(struct codec *c, const struct msg *m, uint8_t *p)
{
    const uint32_t symbol = m->symbol;
    const int64_t event_ns = m->event_ns, recv_ns = m->recv_ns;
    const struct msg_quote q = m->quote;
    const uint64_t venue = m->venue;
    struct codec_symbol *s = &c->symbols[symbol % CODEC_SYMBOLS];

    int64_t event_d = event_difference(c, event_ns, &p);
    int64_t bid = (int64_t)((uint64_t)q.bid_e9 - s->bid_e9), ask = (int64_t)((uint64_t)q.ask_e9 - s->ask_e9);
    uint8_t *head = p;
    bool wide = symbol > 0xffff;
    put(&p, venue << QUOTE_VENUE_BIT | (uint64_t)symbol << QUOTE_SYMBOL_BIT, QUOTE_HEAD_BYTES + 2 * wide);
    uint32_t control =
        KIND_QUOTE | (uint32_t)wide << TICK_WIDE | encode_times(c, event_ns, recv_ns, event_d, &p);

    unsigned unit = in_largest_unit(&bid, &ask);
    uint64_t v = zigzag((uint64_t)bid);
    unsigned code = plain_code(v);
    put(&p, v, 1u << code);
    control |= unit << TICK_UNIT | code << QUOTE_BID;
    v = zigzag((uint64_t)ask);
    code = plain_code(v);
    put(&p, v, 1u << code);
    control |= code << QUOTE_ASK;

    code = plain_code(q.bid_size | q.ask_size);
    put(&p, q.bid_size, 1u << code);
    put(&p, q.ask_size, 1u << code);
    control |= code << QUOTE_SIZES | (uint32_t)(m->flags & MSG_F_RECV_TIME) << QUOTE_RECV_TIME;
    s->bid_e9 = (uint64_t)q.bid_e9;
    s->ask_e9 = (uint64_t)q.ask_e9;
    memcpy(head, &control, CONTROL_BYTES);
    return p;
}
_Static_assert(MSG_F_RECV_TIME == 1, "a quote's only flag has one bit");

static inline uint8_t *encode_clock(struct codec *c, const struct msg *m, uint8_t *p)
{
    uint64_t event = (uint64_t)m->event_ns, recv = (uint64_t)m->recv_ns, *last = &c->clock_ns[m->symbol];
    uint8_t *head = p;
    p += CONTROL_BYTES;
    uint64_t v = zigzag(event - c->event_ns);
    unsigned event_code = event == *last + (uint64_t)SECOND_NS ? 0 : 2u + (v > 0xffffffff);
    put(&p, v, clock_length.bytes[event_code]);
    *last = event;

    v = zigzag(recv - c->recv_ns);
    unsigned recv_code = recv == event ? 0 : recv == c->recv_ns ? 1 : 2u + (v > 0xffffffff);
    put(&p, v, clock_length.bytes[recv_code]);
    c->recv_ns = recv;
    uint32_t control =
        KIND_CLOCK | event_code << CLOCK_EVENT | recv_code << CLOCK_RECV | m->symbol << CLOCK_BUCKET;
    memcpy(head, &control, CONTROL_BYTES);
    return p;
}

static uint8_t *encode_other(const struct msg *m, uint32_t slots, uint8_t *p)
{
    *p++ = OTHER_RECORD;
    for (uint32_t i = 0; i < slots; i++, p += sizeof *m) {
        uint16_t flags = m[i].flags & (uint16_t)~MSG_F_PHASE;
        memcpy(p, &m[i], sizeof *m);
        memcpy(p + offsetof(struct msg, flags), &flags, sizeof flags);
    }
    return p;
}

const struct codec_summary codec_summary_none = {.min_event_ns = INT64_MAX, .max_event_ns = INT64_MIN};

static inline void summary_time(struct codec_summary *s, int64_t event_ns)
{
    s->min_event_ns = event_ns < s->min_event_ns ? event_ns : s->min_event_ns;
    s->max_event_ns = event_ns > s->max_event_ns ? event_ns : s->max_event_ns;
}

/* Is event_ns a time of the stream? */
static inline bool is_timed(unsigned type)
{
    return type == MSG_TRADE || type == MSG_QUOTE || type == MSG_CLOCK || type == MSG_CANCEL ||
           type == MSG_STATUS;
}

void codec_summarise(struct codec_summary *s, const struct msg *m, size_t n)
{
    for (size_t i = 0; i < n; i += msg_slot_count(&m[i])) {
        if (is_timed(m[i].type))
            summary_time(s, m[i].event_ns);
        if (!s->records++)
            s->first_seq = m[i].seq;
        s->last_seq = m[i].seq;
    }
    s->slots += n;
}

void codec_encode_begin(struct codec_encoder *e, uint64_t first_seq)
{
    codec_begin(&e->state, first_seq);
    e->summary = codec_summary_none;
}

static inline bool is_compact(const struct msg *m)
{
    switch (m->type) {
    case MSG_TRADE:
        return trade_is_compact(m);
    case MSG_QUOTE:
        return quote_is_compact(m);
    case MSG_CLOCK:
        return clock_is_compact(m);
    default:
        return false;
    }
}

size_t codec_encode(struct codec_encoder *e, const struct msg *m, size_t n, uint8_t *out, size_t room,
                    size_t *used)
{
    struct codec *c = &e->state;
    struct codec_summary sum = e->summary;
    uint64_t seq = c->seq;
    uint8_t *p = out + *used;
    size_t i = 0;
    while (i < n && p + CODEC_RECORD_BYTES_MAX <= out + room) {
        const struct msg *r = &m[i];
        uint32_t slots = 1;
        uint8_t type = r->type;
        bool timed = true;
        if (is_compact(r)) {
            if (__builtin_expect(r->seq != seq + 1, 0)) {
                *p++ = OTHER_SEQ;
                put(&p, r->seq, 8);
            }
            p = type == MSG_TRADE   ? encode_trade(c, r, p)
                : type == MSG_QUOTE ? encode_quote(c, r, p)
                                    : encode_clock(c, r, p);
        } else {
            assert(msg_valid(r, n - i));
            slots = msg_slot_count(r);
            p = encode_other(r, slots, p);
            timed = is_timed(type);
        }
        if (timed)
            summary_time(&sum, r->event_ns);
        seq = r->seq;
        sum.records++;
        i += slots;
    }
    if (i && !e->summary.records)
        sum.first_seq = m[0].seq;
    if (i)
        sum.last_seq = seq;
    sum.slots += i;
    c->seq = seq;
    e->summary = sum;
    *used = (size_t)(p - out);
    return i;
}

void codec_decode_begin(struct codec_decoder *d, uint64_t first_seq, const uint8_t *payload, size_t bytes)
{
    codec_begin(&d->state, first_seq);
    d->at = payload;
    d->end = payload + bytes;
}

static inline void decode_times(struct codec *c, uint32_t control, struct msg *m, const uint8_t **p)
{
    uint64_t event = c->event_ns + unzigzag(take_plain(p, control >> TICK_EVENT & 3)) * c->event_unit,
             recv = event;
    unsigned code = control >> TICK_RECV & 3;
    if (code)
        recv = c->recv_ns + unzigzag(take(p, &recv_length, code));
    c->event_ns = event;
    c->recv_ns = recv;
    m->event_ns = (int64_t)event;
    m->recv_ns = (int64_t)recv;
}

static inline const uint8_t *decode_trade(struct codec *c, const uint8_t *p, uint64_t seq, struct msg *m)
{
    uint64_t head;
    memcpy(&head, p, 8);
    uint32_t control = (uint16_t)head;
    unsigned wide = control >> TICK_WIDE & 1;
    uint64_t attributes = c->attributes[head >> TRADE_PLACE_BIT & 0xff];
    p += TRADE_HEAD_BYTES + 2 * wide;
    m->seq = seq;
    m->symbol = (uint32_t)(head >> TRADE_SYMBOL_BIT) & (0xffff | -wide);
    m->type = MSG_TRADE;
    m->venue = (uint8_t)(head >> TRADE_VENUE_BIT);
    m->flags = (uint16_t)(attributes >> 40);
    struct codec_symbol *s = &c->symbols[m->symbol % CODEC_SYMBOLS];
    decode_times(c, control, m, &p);

    uint64_t d = unzigzag(take_plain(&p, control >> TRADE_PRICE & 3));
    s->price_e9 += d * (uint64_t)price_unit[control >> TICK_UNIT & 3];
    m->trade.price_e9 = (int64_t)s->price_e9;
    m->trade.size = take_plain(&p, control >> TRADE_SIZE & 3);
    unsigned code = control >> TRADE_ID & 3;
    uint64_t id = s->trade_id;
    id += code ? unzigzag(take(&p, &id_length, code)) : id != 0;
    s->trade_id = id;
    m->trade.trade_id = id;
    attributes &= 0xffffffffff;
    memcpy(m->trade.cond, &attributes, 8);
    return control & TRADE_RESERVED ? NULL : p;
}

static inline const uint8_t *decode_quote(struct codec *c, const uint8_t *p, uint64_t seq, struct msg *m)
{
    uint64_t head;
    memcpy(&head, p, 8);
    uint32_t control = (uint16_t)head;
    unsigned wide = control >> TICK_WIDE & 1;
    p += QUOTE_HEAD_BYTES + 2 * wide;
    m->seq = seq;
    m->symbol = (uint32_t)(head >> QUOTE_SYMBOL_BIT) & (0xffff | -wide);
    m->type = MSG_QUOTE;
    m->venue = (uint8_t)(head >> QUOTE_VENUE_BIT);
    m->flags = control >> QUOTE_RECV_TIME & 1;
    struct codec_symbol *s = &c->symbols[m->symbol % CODEC_SYMBOLS];
    decode_times(c, control, m, &p);

    uint64_t unit = (uint64_t)price_unit[control >> TICK_UNIT & 3];
    s->bid_e9 += unzigzag(take_plain(&p, control >> QUOTE_BID & 3)) * unit;
    s->ask_e9 += unzigzag(take_plain(&p, control >> QUOTE_ASK & 3)) * unit;
    m->quote.bid_e9 = (int64_t)s->bid_e9;
    m->quote.ask_e9 = (int64_t)s->ask_e9;
    m->quote.bid_size = take_plain(&p, control >> QUOTE_SIZES & 3);
    m->quote.ask_size = take_plain(&p, control >> QUOTE_SIZES & 3);
    return p;
}

static inline const uint8_t *decode_clock(struct codec *c, const uint8_t *p, uint64_t seq, struct msg *m)
{
    uint16_t control;
    memcpy(&control, p, sizeof control);
    p += CONTROL_BYTES;
    memset(m, 0, sizeof *m);
    m->seq = seq;
    m->symbol = control >> CLOCK_BUCKET;
    m->type = MSG_CLOCK;
    unsigned code = control >> CLOCK_EVENT & 3;
    uint64_t *last = &c->clock_ns[m->symbol];
    if (code == 1)
        return NULL;
    uint64_t d = unzigzag(take(&p, &clock_length, code));
    *last = code ? c->event_ns + d : *last + (uint64_t)SECOND_NS;
    m->event_ns = (int64_t)*last;

    code = control >> CLOCK_RECV & 3;
    d = unzigzag(take(&p, &clock_length, code));
    c->recv_ns = code ? c->recv_ns + d : *last;
    m->recv_ns = (int64_t)c->recv_ns;
    return p;
}

/* A record that stands as it is. Its slots, 0 if it does not fit `max`, -1 if it is none. */
static int decode_record(const uint8_t *p, const uint8_t *end, struct msg *out, size_t max)
{
    uint16_t flags;
    if ((size_t)(end - p) < sizeof *out)
        return -1;
    memcpy(&flags, p + offsetof(struct msg, flags), sizeof flags);
    size_t slots = 1u + ((flags & MSG_MORE_MASK) >> MSG_MORE_SHIFT);
    if (slots > MSG_SLOTS_MAX || slots * sizeof *out > (size_t)(end - p))
        return -1;
    if (slots > max)
        return 0;
    memcpy(out, p, slots * sizeof *out);
    for (size_t i = 0; i < slots; i++)
        if (out[i].flags & MSG_F_PHASE)
            return -1;
    return msg_valid(out, slots) ? (int)slots : -1;
}

/* What has no kind of its own. Advances *at; returns as decode_record, 0 also for what is no record. */
static int decode_other(struct codec *c, const uint8_t **at, const uint8_t *end, struct msg *out, size_t max)
{
    const uint8_t *p = *at + 1;
    int slots = 0;
    switch (**at) {
    case OTHER_RECORD:
        slots = decode_record(p, end, out, max);
        if (slots <= 0)
            return slots;
        p += (size_t)slots * sizeof *out;
        c->seq = out->seq;
        break;
    case OTHER_SEQ:
        memcpy(&c->seq, p, 8);
        c->seq--;
        p += 8;
        break;
    case OTHER_NS:
        c->event_unit = 1;
        break;
    case OTHER_ATTRIBUTES:
        memcpy(&c->attributes[*p], p, 8);
        c->attributes[*p] = c->attributes[*p] << 8 >> 16;
        p += 7;
        break;
    default:
        return -1;
    }
    *at = p;
    return slots;
}

int64_t codec_decode(struct codec_decoder *d, struct msg *out, size_t max)
{
    struct codec *c = &d->state;
    const uint8_t *p = d->at, *const end = d->end;
    size_t i = 0;
    while (i < max && p < end) {
        const uint8_t *before = p;
        int slots = 1;
        switch (*p & KIND_MASK) {
        case KIND_TRADE:
            p = decode_trade(c, p, ++c->seq, &out[i]);
            break;
        case KIND_QUOTE:
            p = decode_quote(c, p, ++c->seq, &out[i]);
            break;
        case KIND_CLOCK:
            p = decode_clock(c, p, ++c->seq, &out[i]);
            break;
        default:
            slots = decode_other(c, &p, end, &out[i], max - i);
            if (slots == 0 && p == before) /* does not fit what is left of out */
                max = i;
        }
        if (slots < 0 || !p || p > end) {
            d->at = before;
            return CODEC_CORRUPT;
        }
        i += (size_t)slots;
    }
    d->at = p;
    return (int64_t)i;
}
