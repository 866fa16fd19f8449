/* binance-jsonl:FILE. Lines `recv_ns {json}` (or `{json}` alone) as the websocket sends them, within
 * {"stream":…,"data":{…}} or bare: trade and bookTicker become ticks, any other event is skipped
 * and counted under its name. Spot's bookTicker has neither event name nor time: it is known by its keys.
 *
 * The scanner goes once over a line, takes the values of keys of one letter at the event's own level and
 * steps over what is nested. A message whose event is of no use is left as soon as that is known.
 */
#include "net/source.h"

#include "net/lines.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

/* A string without its quotes, or a number. */
enum value_kind { VALUE_NONE, VALUE_NUMBER, VALUE_STRING, VALUE_ESCAPED };
struct value {
    const char *text;
    uint32_t len;
    uint32_t kind; /* enum value_kind; VALUE_ESCAPED is a string in which escapes still stand */
};

/* The keys that say something, each with a place of its own; all others share that of 0. */
#define KEYS(X)                                                                                              \
    X(e, 'e')                                                                                                \
    X(E, 'E') X(T, 'T') X(s, 's') X(p, 'p') X(q, 'q') X(t, 't') X(a, 'a') X(A, 'A') X(b, 'b') X(B, 'B')
#define X(name, letter) KEY_##name,
enum key { KEY_OTHER, KEYS(X) KEY_COUNT };
#undef X
#define X(name, letter) [letter] = KEY_##name,
static const uint8_t key_of[256] = {KEYS(X)};
#undef X

struct event {
    uint32_t seen;       /* bit k: key[k] is set */
    bool data;           /* the event stands in the wrapper's "data" */
    bool snapshot;       /* has "lastUpdateId": a book from the REST interface */
    bool skip;           /* its "e" is of no use */
    struct value stream; /* of the wrapper */
    struct value key[KEY_COUNT];
};

static inline struct value value_of(const struct event *ev, enum key k)
{
    static const char none[DECIMAL_PAD];
    return ev->seen >> k & 1 ? ev->key[k] : (struct value){none, 0, VALUE_NONE};
}

enum { SIZE_SCALE = 8 };

struct binance_source {
    struct source base;
    struct lines *lines;
    char *at, *end; /* of the span in hand */
    uint64_t row;
};

static inline const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

/* Where in text[0..WIDE) a string stops: at '"', '\\' or a control character; WIDE if nowhere. The bytes can
 * be read: the line's padding is as long. */
enum { WIDE = 32 };
#ifdef __AVX2__
static inline unsigned first_of(__m256i hit)
{
    return (unsigned)__builtin_ctzll((uint32_t)_mm256_movemask_epi8(hit) | UINT64_C(1) << WIDE);
}

static inline unsigned string_stop(const char *text)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)text);
    __m256i quote = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\\'));
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(0x1f)), x);
    return first_of(_mm256_or_si256(_mm256_or_si256(quote, slash), control));
}

/* Where a number or a string of letters and digits stops: also at ',', '}' or a space. */
static inline unsigned plain_stop(const char *text)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)text);
    __m256i space = _mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(' ')), x);
    __m256i quote = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\\'));
    __m256i comma = _mm256_cmpeq_epi8(x, _mm256_set1_epi8(','));
    __m256i brace = _mm256_cmpeq_epi8(x, _mm256_set1_epi8('}'));
    __m256i more = _mm256_or_si256(comma, brace);
    return first_of(_mm256_or_si256(_mm256_or_si256(_mm256_or_si256(quote, slash), space), more));
}
#else
static const uint64_t each = 0x0101010101010101u;

/* 0x80 in the bytes of x below n (n <= 0x80), exact up to the first. */
static inline uint64_t below(uint64_t x, uint8_t n)
{
    return (x - n * each) & ~x & 0x80 * each;
}

static inline unsigned first_of(uint64_t hit)
{
    return hit ? (unsigned)__builtin_ctzll(hit) / 8 : 8;
}

static inline unsigned string_stop(const char *text)
{
    for (unsigned at = 0; at < WIDE; at += 8) {
        uint64_t x;
        memcpy(&x, text + at, 8);
        uint64_t hit = below(x ^ each * '"', 1) | below(x ^ each * '\\', 1) | below(x, 0x20);
        if (hit)
            return at + first_of(hit);
    }
    return WIDE;
}

static inline unsigned plain_stop(const char *text)
{
    for (unsigned at = 0; at < WIDE; at += 8) {
        uint64_t x;
        memcpy(&x, text + at, 8);
        uint64_t hit = below(x, ' ' + 1) | below(x ^ each * '"', 1) | below(x ^ each * '\\', 1) |
                       below(x ^ each * ',', 1) | below(x ^ each * '}', 1);
        if (hit)
            return at + first_of(hit);
    }
    return WIDE;
}
#endif

/* The quote that closes a string whose text starts at p; NULL if the line ends before. *escaped: it holds a
 * '\'. */
static inline const char *string_end(const char *p, bool *escaped)
{
    for (*escaped = false;;) {
        unsigned n = string_stop(p);
        p += n;
        if (n == WIDE)
            continue;
        if (*p == '"')
            return p;
        if (*p != '\\' || (unsigned char)p[1] < 0x20)
            return NULL;
        *escaped = true;
        p += 2;
    }
}

static inline const char *number_end(const char *p)
{
    while ((*p >= '-' && *p <= '9') || *p == '+' || (*p | 32) == 'e')
        p++;
    return p;
}

/* Steps over a value that starts at p with '{' or '['; NULL if its brackets or strings do not close on the
 * line. */
static const char *skip_nested(const char *p)
{
    bool escaped;
    for (unsigned depth = 0;; p++) {
        switch (*p) {
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return p + 1;
            break;
        case '"':
            p = string_end(p + 1, &escaped);
            if (!p)
                return NULL;
            break;
        case '\n':
            return NULL;
        }
    }
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned d = c >= '0' && c <= '9'                 ? (unsigned)(c - '0')
                     : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned)((c | 32) - 'a' + 10)
                                                          : 16;
        if (d == 16)
            return UINT32_MAX;
        v = v * 16 + d;
    }
    return v;
}

/* Undoes the escapes in place (the text is the line reader's). False for one that is no good, or half of a
 * surrogate pair: nothing that is used here is outside the basic plane. */
static bool unescape(struct value *v)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *out = (char *)(uintptr_t)v->text;
    for (const char *p = v->text, *end = p + v->len; p < end; p++) {
        if (*p != '\\') {
            *out++ = *p;
            continue;
        }
        const char *known = memchr(from, *++p, sizeof from - 1);
        if (known) {
            *out++ = to[known - from];
            continue;
        }
        unsigned c = *p == 'u' && end - p > 4 ? hex4(p + 1) : UINT32_MAX;
        if (c > 0xffff || (c >= 0xd800 && c < 0xe000))
            return false;
        p += 4;
        if (c < 0x80) {
            *out++ = (char)c;
        } else if (c < 0x800) {
            *out++ = (char)(0xc0 | c >> 6);
            *out++ = (char)(0x80 | (c & 0x3f));
        } else {
            *out++ = (char)(0xe0 | c >> 12);
            *out++ = (char)(0x80 | (c >> 6 & 0x3f));
            *out++ = (char)(0x80 | (c & 0x3f));
        }
    }
    v->len = (uint32_t)(out - v->text);
    v->kind = VALUE_STRING;
    return true;
}

/* A string, number or word at p into *v; what is nested is stepped over and leaves *v empty. NULL if it is no
 * JSON. */
static const char *take_value(const char *p, struct value *v)
{
    const char *start = p;
    *v = (struct value){0};
    if (*p == '"') {
        bool escaped;
        p = string_end(++start, &escaped);
        if (!p)
            return NULL;
        *v = (struct value){start, (uint32_t)(p - start), escaped ? VALUE_ESCAPED : VALUE_STRING};
        return p + 1;
    }
    if (*p == '{' || *p == '[')
        return skip_nested(p);
    if ((*p >= '0' && *p <= '9') || *p == '-') {
        p = number_end(p);
        *v = (struct value){start, (uint32_t)(p - start), VALUE_NUMBER};
        return p;
    }
    while (*p >= 'a' && *p <= 'z')
        p++;
    size_t n = (size_t)(p - start);
    bool word = (n == 4 && (!memcmp(start, "true", 4) || !memcmp(start, "null", 4))) ||
                (n == 5 && !memcmp(start, "false", 5));
    return word ? p : NULL;
}

static inline bool is(const struct value *v, const char *text)
{
    return v->kind == VALUE_STRING && v->len == strlen(text) && !memcmp(v->text, text, v->len);
}

static inline bool wanted(const struct value *e)
{
    return is(e, "trade") || is(e, "bookTicker");
}

/* The member at p as nearly all are: `"k":"text"` or `"k":123` without spaces and escapes. Returns its end,
 * NULL if it is another one. What a string and what a number is differs without a branch: no predictor knows
 * which comes next. */
static inline const char *take_usual(const char *p, struct event *ev)
{
    if (p[0] != '"' || (uint8_t)((p[1] | 32) - 'a') > 'z' - 'a' || p[2] != '"' || p[3] != ':')
        return NULL;
    unsigned string = p[4] == '"', number = ((uint8_t)(p[4] - '0') <= 9) | (p[4] == '-');
    const char *text = p + 4 + string;
    unsigned n = plain_stop(text), quoted = text[n] == '"';
    const char *end = text + n + string;
    if ((string | number) == 0 || string != quoted || (*end != ',' && *end != '}'))
        return NULL;
    enum key k = key_of[(uint8_t)p[1]];
    ev->key[k] = (struct value){text, n, string ? VALUE_STRING : VALUE_NUMBER};
    ev->seen |= 1u << k;
    if (k == KEY_e)
        ev->skip = !wanted(&ev->key[k]);
    return end;
}

/* The name of the member at p and the ':' behind it: where its value starts; NULL if it is no JSON. */
static const char *take_name(const char *p, const char **name, size_t *len)
{
    bool escaped;
    if (*p != '"' || !(*name = p + 1, p = string_end(p + 1, &escaped)))
        return NULL;
    *len = (size_t)(p - *name);
    p = skip_space(p + 1);
    return *p == ':' ? skip_space(p + 1) : NULL;
}

static const char *take_object(const char *p, struct event *ev, bool inner);

/* Any member: its end, NULL if it is no JSON. */
static const char *take_member(const char *p, struct event *ev, bool inner)
{
    const char *name;
    size_t len;
    p = take_name(p, &name, &len);
    if (!p)
        return NULL;
    if (!inner && *p == '{' && len == 4 && !memcmp(name, "data", 4)) {
        ev->seen = 0;
        ev->snapshot = false;
        ev->data = true;
        return take_object(p, ev, true);
    }
    if (!inner && len == 6 && !memcmp(name, "stream", 6))
        return take_value(p, &ev->stream);
    bool own = inner || !ev->data; /* the event's level */
    enum key k = own && len == 1 ? key_of[(uint8_t)*name] : KEY_OTHER;
    struct value *v = &ev->key[k];
    p = take_value(p, v);
    ev->seen = (ev->seen & ~(1u << k)) | (uint32_t)(v->kind != VALUE_NONE) << k;
    ev->snapshot |= own && len == 12 && !memcmp(name, "lastUpdateId", 12);
    if (p && k != KEY_OTHER && v->kind == VALUE_ESCAPED && !unescape(v))
        return NULL;
    ev->skip = k == KEY_e && v->kind != VALUE_NONE && !wanted(v);
    return p;
}

/* The object that starts at p ('{'): where it ends, NULL if it is no JSON, anywhere within it once ev->skip
 * is set. `inner`: it is the wrapper's "data". */
static const char *take_object(const char *p, struct event *ev, bool inner)
{
    p = skip_space(p + 1);
    if (*p == '}')
        return p + 1;
    for (;; p = skip_space(p + 1)) {
        const char *end = inner || !ev->data ? take_usual(p, ev) : NULL;
        if (!end)
            end = take_member(p, ev, inner);
        if (!end || ev->skip)
            return end;
        p = skip_space(end);
        if (*p == '}')
            return p + 1;
        if (*p != ',')
            return NULL;
    }
}

/* Milliseconds as nanoseconds; 0 is taken as none. */
static enum reject_reason take_ms(struct value v, int64_t *ns)
{
    uint64_t ms;
    *ns = 0;
    if (v.kind == VALUE_NONE)
        return REJECT_NONE;
    if (v.kind != VALUE_NUMBER || decimal_parse_whole_padded(v.text, v.len, &ms) != DECIMAL_OK ||
        ms > INT64_MAX / 1000000)
        return REJECT_TIME_FORMAT;
    *ns = (int64_t)ms * 1000000;
    return REJECT_NONE;
}

/* T, else E, else the receive time; recv_ns is -1 where the line has none. */
static enum reject_reason take_times(const struct event *ev, int64_t recv_ns, struct msg *m)
{
    enum reject_reason bad = take_ms(value_of(ev, KEY_T), &m->event_ns);
    if (bad == REJECT_NONE && m->event_ns == 0)
        bad = take_ms(value_of(ev, KEY_E), &m->event_ns);
    if (bad != REJECT_NONE)
        return bad;
    if (m->event_ns == 0 && recv_ns < 0)
        return REJECT_TIME_MISSING;
    m->recv_ns = recv_ns < 0 ? m->event_ns : recv_ns;
    if (m->event_ns == 0) {
        m->event_ns = recv_ns;
        m->flags |= MSG_F_RECV_TIME;
    }
    return REJECT_NONE;
}

static enum reject_reason take_trade(const struct event *ev, enum key id_key, struct msg *m)
{
    struct value price = value_of(ev, KEY_p), size = value_of(ev, KEY_q), id = value_of(ev, id_key);
    m->type = MSG_TRADE;
    enum reject_reason bad = source_price(price.text, price.len, &m->trade.price_e9);
    if (bad == REJECT_NONE)
        bad = source_size(size.text, size.len, SIZE_SCALE, &m->trade.size);
    if (id.len && decimal_parse_whole_padded(id.text, id.len, &m->trade.trade_id) != DECIMAL_OK)
        m->trade.trade_id = XXH3_64bits(id.text, id.len);
    return bad;
}

static enum reject_reason take_quote(const struct event *ev, struct msg *m)
{
    struct value bid = value_of(ev, KEY_b), ask = value_of(ev, KEY_a);
    struct value bid_size = value_of(ev, KEY_B), ask_size = value_of(ev, KEY_A);
    m->type = MSG_QUOTE;
    enum reject_reason bad = source_price(bid.text, bid.len, &m->quote.bid_e9);
    if (bad == REJECT_NONE)
        bad = source_price(ask.text, ask.len, &m->quote.ask_e9);
    if (bad == REJECT_NONE)
        bad = source_size(bid_size.text, bid_size.len, SIZE_SCALE, &m->quote.bid_size);
    if (bad == REJECT_NONE)
        bad = source_size(ask_size.text, ask_size.len, SIZE_SCALE, &m->quote.ask_size);
    return bad;
}

/* The event's name; where it has none, what its keys or its stream ("btcusdt@depth20") make it. */
static struct value kind_of(const struct event *ev)
{
    const uint32_t quote = 1u << KEY_b | 1u << KEY_B | 1u << KEY_a | 1u << KEY_A;
    const struct value *s = &ev->stream;
    if (ev->seen >> KEY_e & 1)
        return ev->key[KEY_e];
    if (ev->snapshot)
        return (struct value){"snapshot", 8, VALUE_STRING};
    if ((ev->seen & quote) == quote)
        return (struct value){"bookTicker", 10, VALUE_STRING};
    const char *at = s->kind == VALUE_STRING ? memchr(s->text, '@', s->len) : NULL;
    if (at)
        return (struct value){at + 1, s->len - (uint32_t)(at + 1 - s->text), VALUE_STRING};
    return (struct value){"unknown", 7, VALUE_STRING};
}

/* An event as a tick: true, or false if it was skipped or refused. */
static bool take_event(struct binance_source *b, const struct event *ev, int64_t recv_ns, const char *line,
                       size_t len, struct msg *m)
{
    struct value kind = kind_of(ev);
    if (!wanted(&kind)) {
        source_skip(&b->base, kind.text, kind.len);
        return false;
    }
    memset(m, 0, sizeof *m);
    enum reject_reason bad = take_times(ev, recv_ns, m);
    if (bad == REJECT_NONE)
        bad = is(&kind, "bookTicker") ? take_quote(ev, m)
                                      : take_trade(ev, is(&kind, "trade") ? KEY_t : KEY_a, m);
    if (bad != REJECT_NONE) {
        source_reject(&b->base, bad, b->row, line, len);
        return false;
    }
    struct value name = value_of(ev, KEY_s);
    int32_t id =
        source_symbol_id_padded(&b->base, name.text, name.kind == VALUE_STRING ? name.len : 0, b->row);
    m->symbol = (uint32_t)id;
    return id >= 0;
}

/* The line at b->at: true if it gave a tick. */
static bool take_line(struct binance_source *b, struct msg *m)
{
    struct event ev;
    ev.seen = 0;
    ev.data = ev.snapshot = ev.skip = false;
    ev.stream = (struct value){0};
    int64_t recv_ns = -1;
    const char *line = b->at, *p = line;
    enum reject_reason bad = REJECT_NONE;
    if (*p != '{') {
        p = number_end(p);
        bad = source_time(line, (size_t)(p - line), &recv_ns);
        p = skip_space(p);
    }
    const char *rest = bad == REJECT_NONE && *p == '{' ? take_object(p, &ev, false) : NULL;
    const char *end = rest ? skip_space(rest) : p;
    if (bad == REJECT_NONE && (!rest || (!ev.skip && *end != '\n')))
        bad = REJECT_FORMAT;
    if (*end != '\n')
        end = rawmemchr(end, '\n');
    b->at = (char *)(uintptr_t)end + 1;
    if (bad == REJECT_NONE)
        return take_event(b, &ev, recv_ns, line, (size_t)(end - line), m);
    source_reject(&b->base, bad, b->row, line, (size_t)(end - line));
    return false;
}

static int binance_read(struct source *s, struct msg *out, int max)
{
    struct binance_source *b = (struct binance_source *)s;
    int n = 0;
    while (n == 0) {
        if (b->at == b->end) {
            size_t len;
            int got = lines_next(b->lines, &b->at, &len, &s->failure);
            s->stats.bytes = lines_bytes(b->lines);
            if (got <= 0)
                return got < 0 ? SOURCE_FAILED : SOURCE_END;
            b->end = b->at + len;
        }
        while (b->at < b->end && n < max) {
            b->row++;
            char *first = (char *)(uintptr_t)skip_space(b->at);
            if (*first == '\n') {
                b->at = first + 1;
                continue;
            }
            s->stats.rows++;
            n += take_line(b, &out[n]);
        }
    }
    return n;
}

static void binance_close(struct source *s)
{
    struct binance_source *b = (struct binance_source *)s;
    if (b->lines)
        lines_close(b->lines);
}

struct source *source_binance_open(const char *path, const struct source_config *config, struct error *err)
{
    static const struct source_ops ops = {binance_read, binance_close};
    struct binance_source *b = source_new(sizeof *b, &ops, config, err);
    if (!b)
        return NULL;
    b->base.size_scale = SIZE_SCALE;
    b->base.calendar = CALENDAR_UTC24;
    b->lines = lines_open(path, err);
    if (b->lines)
        return &b->base;
    source_close(&b->base);
    return NULL;
}
