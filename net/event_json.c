#include "net/event_json.h"

#include "core/anomaly.h"
#include "core/attribute.h"
#include "core/decimal.h"
#include "core/metric.h"

#include <assert.h>

const char *const alert_kind_names[3] = {
    [ALERT_FIRED] = "fired", [ALERT_REVISED] = "revised", [ALERT_WITHDRAWN] = "withdrawn"};

/* Text that is being written; once something did not fit, nothing more is. */
struct text {
    char *at, *end;
    bool full;
};

static void put(struct text *t, const char *s, size_t n)
{
    if ((size_t)(t->end - t->at) < n)
        t->full = true;
    if (t->full)
        return;
    memcpy(t->at, s, n);
    t->at += n;
}
#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

static void put_price(struct text *t, int64_t value_e9)
{
    char s[DECIMAL_TEXT_MAX];
    if (value_e9 == ALERT_UNKNOWN)
        PUT(t, "null");
    else
        put(t, s, decimal_format_e9(value_e9, s));
}

static void put_unsigned(struct text *t, uint64_t value, unsigned scale)
{
    char s[DECIMAL_TEXT_MAX];
    put(t, s, decimal_format(value, scale, s));
}

static void put_time(struct text *t, int64_t ns)
{
    char s[DECIMAL_TEXT_MAX];
    PUT(t, "\"");
    put(t, s, decimal_format_time(ns, s));
    PUT(t, "\"");
}

static void put_id(struct text *t, uint64_t high, uint64_t low)
{
    char s[34] = {[0] = '"', [33] = '"'};
    for (int i = 0; i < 16; i++) {
        s[16 - i] = "0123456789abcdef"[high >> (4 * i) & 15];
        s[32 - i] = "0123456789abcdef"[low >> (4 * i) & 15];
    }
    put(t, s, sizeof s);
}

/* Bytes of the UTF-8 sequence that s[0..n) starts with, 0 if it is none (RFC 3629: no surrogates, nothing
 * overlong). */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    size_t len = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return len;
}

/* The inside of a JSON string. */
static void put_escaped(struct text *t, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t plain = 0; /* s[plain..i) goes as it is */
    for (size_t i = 0; i < n;) {
        if (s[i] >= 0x20 && s[i] < 0x80 && s[i] != '"' && s[i] != '\\') {
            i++;
            continue;
        }
        size_t sequence = s[i] < 0x80 ? 0 : utf8_length(s + i, n - i);
        if (sequence) {
            i += sequence;
            continue;
        }
        put(t, text + plain, i - plain);
        if (s[i] >= 0x80) {
            PUT(t, "\xef\xbf\xbd");
        } else if (s[i] < 0x20) {
            char hex[6] = {'\\', 'u', '0', '0', "01"[s[i] >> 4], "0123456789abcdef"[s[i] & 15]};
            put(t, hex, 6);
        } else {
            put(t, (char[]){'\\', text[i]}, 2);
        }
        plain = ++i;
    }
    put(t, text + plain, n - plain);
}

static void put_operand(struct text *t, enum event_operand_kind kind, int64_t value)
{
    char s[DECIMAL_TEXT_MAX];
    if (value == ALERT_UNKNOWN || kind == EVENT_OPERAND_PRICE) {
        put_price(t, value);
        return;
    }
    double d;
    memcpy(&d, &value, sizeof d);
    if (kind == EVENT_OPERAND_SESSION && d >= 0 && d < SESSION_KIND_COUNT) {
        const char *name = session_names[(unsigned)d];
        PUT(t, "\"");
        put(t, name, strlen(name));
        PUT(t, "\"");
        return;
    }
    put(t, s, decimal_format_double(d, s));
}

/* The bytes of the texts behind an alert's operands; -1 if there are too many. */
static int texts_bytes(const struct event_rule *rule, const int64_t *operand)
{
    int bytes = 0;
    for (unsigned i = 0; i < rule->n_operands; i++) {
        if (rule->operand[i].kind != EVENT_OPERAND_TEXT || operand[i] == ALERT_UNKNOWN)
            continue;
        if (operand[i] < 0 || operand[i] > ATTRIBUTE_TEXT_MAX ||
            bytes + operand[i] > ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX)
            return -1;
        bytes += (int)operand[i];
    }
    return bytes;
}

static void put_text(struct text *t, const char *text, size_t n)
{
    PUT(t, "\"");
    put_escaped(t, text, n);
    PUT(t, "\"");
}

int event_json_alert(const struct msg *m, const struct event_rule *rule, const struct event_symbol *symbol,
                     char *out, size_t size)
{
    struct msg_alert head;
    int64_t value[1 + ALERT_OPERANDS_MAX]; /* the price, the operands */
    char texts[ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX], *text = texts;
    assert(m->type == MSG_ALERT);
    memcpy(&head, m->first, MSG_FIRST_BYTES);
    size_t values = 8 * (1u + head.n_operands);
    if (head.n_operands > ALERT_OPERANDS_MAX || head.n_operands != rule->n_operands ||
        head.kind > ALERT_WITHDRAWN || msg_slot_count(m) < msg_slots(MSG_FIRST_BYTES + values) ||
        m->event_ns < 0)
        return EVENT_JSON_MISMATCH;
    msg_get(m, MSG_FIRST_BYTES, value, values);
    int text_bytes = texts_bytes(rule, value + 1);
    if (text_bytes < 0 || msg_slot_count(m) != msg_slots(MSG_FIRST_BYTES + values + (size_t)text_bytes))
        return EVENT_JSON_MISMATCH;
    msg_get(m, MSG_FIRST_BYTES + values, texts, (size_t)text_bytes);

    struct text t = {out, out + size, false};
    size_t name_len = strlen(rule->name);
    const char *kind = alert_kind_names[head.kind];
    PUT(&t, "{\"id\":");
    put_id(&t, head.id_hi, head.id_lo);
    PUT(&t, ",\"rule_id\":\"");
    put_escaped(&t, rule->id, strlen(rule->id));
    PUT(&t, "\",\"rule_name\":\"");
    put_escaped(&t, rule->name, name_len);
    PUT(&t, "\",\"rule_version\":");
    put_unsigned(&t, rule->version, 0);
    PUT(&t, ",\"symbol\":\"");
    put_escaped(&t, symbol->name, symbol->name_len);
    PUT(&t, "\",\"timestamp\":");
    put_time(&t, m->event_ns);
    PUT(&t, ",\"price\":");
    put_price(&t, value[0]);
    PUT(&t, ",\"message\":\"");
    put_escaped(&t, rule->name, name_len);
    PUT(&t, ": ");
    put_escaped(&t, symbol->name, symbol->name_len);
    if (value[0] != ALERT_UNKNOWN) {
        PUT(&t, " ");
        put_price(&t, value[0]);
    }
    PUT(&t, "\",\"metadata\":{");
    for (unsigned i = 0; i < head.n_operands; i++) {
        const struct event_operand *operand = &rule->operand[i];
        if (i)
            PUT(&t, ",");
        PUT(&t, "\"");
        put_escaped(&t, operand->name, strlen(operand->name));
        PUT(&t, "\":");
        if (operand->kind == EVENT_OPERAND_TEXT && value[1 + i] != ALERT_UNKNOWN) {
            put_text(&t, text, (size_t)value[1 + i]);
            text += value[1 + i];
        } else {
            put_operand(&t, operand->kind, value[1 + i]);
        }
    }
    PUT(&t, "},\"trace_id\":");
    put_id(&t, head.id_hi, head.id_lo);
    PUT(&t, ",\"seq\":");
    put_unsigned(&t, m->seq, 0);
    PUT(&t, ",\"kind\":\"");
    put(&t, kind, strlen(kind));
    PUT(&t, "\",\"revision\":");
    put_unsigned(&t, head.revision, 0);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

bool event_vwap_e8(const struct msg_bar *bar, int64_t *vwap_e8)
{
    if (bar->volume == 0 || bar->pv_hi < 0)
        return false;
    unsigned __int128 sum = (unsigned __int128)(uint64_t)bar->pv_hi << 64 | bar->pv_lo;
    unsigned __int128 unit = (unsigned __int128)bar->volume * 10; /* the sum is at 1e-9 */
    unsigned __int128 quotient = sum / unit + (2 * (sum % unit) >= unit);
    if (quotient > INT64_MAX / 10)
        return false;
    *vwap_e8 = (int64_t)quotient;
    return true;
}

/* {"symbol":…,"timestamp":…,"open":…,"high":…,"low":…,"close":…,"volume":… and no end yet. */
static void put_bar(struct text *t, const struct event_symbol *symbol, int64_t start_ns,
                    const struct msg_bar *bar)
{
    PUT(t, "{\"symbol\":\"");
    put_escaped(t, symbol->name, symbol->name_len);
    PUT(t, "\",\"timestamp\":");
    put_time(t, start_ns);
    PUT(t, ",\"open\":");
    put_price(t, bar->open_e9);
    PUT(t, ",\"high\":");
    put_price(t, bar->high_e9);
    PUT(t, ",\"low\":");
    put_price(t, bar->low_e9);
    PUT(t, ",\"close\":");
    put_price(t, bar->close_e9);
    PUT(t, ",\"volume\":");
    put_unsigned(t, bar->volume, symbol->size_scale);
}

int event_json_bar(const struct msg *m, const struct event_symbol *symbol, char *out, size_t size)
{
    assert(m->type == MSG_BAR);
    if (msg_slot_count(m) != msg_slots(sizeof(struct msg_bar)) || m->event_ns < 0)
        return EVENT_JSON_MISMATCH;
    struct msg_bar bar = msg_bar_get(m);
    struct text t = {out, out + size, false};
    int64_t vwap_e8;
    put_bar(&t, symbol, m->event_ns, &bar);
    PUT(&t, ",\"vwap\":");
    put_price(&t, event_vwap_e8(&bar, &vwap_e8) ? vwap_e8 * 10 : ALERT_UNKNOWN);
    PUT(&t, ",\"trades\":");
    put_unsigned(&t, bar.trades, 0);
    PUT(&t, ",\"revision\":");
    put_unsigned(&t, bar.revision, 0);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

static void put_number(struct text *t, double value)
{
    char s[DECIMAL_TEXT_MAX];
    put(t, s, decimal_format_double(value, s));
}

int event_json_anomaly(const struct msg *m, const struct event_symbol *symbol, char *out, size_t size)
{
    struct msg_anomaly a;
    struct text t = {out, out + size, false};
    assert(m->type == MSG_ANOMALY);
    if (msg_slot_count(m) != msg_slots(sizeof a) || m->event_ns < 0)
        return EVENT_JSON_MISMATCH;
    msg_get(m, 0, &a, sizeof a);
    if (a.kind >= ANOMALY_KINDS || a.severity >= ANOMALY_SEVERITY_COUNT)
        return EVENT_JSON_MISMATCH;
    const struct anomaly_row *row = &anomaly_rows[a.kind];
    const char *severity = anomaly_severity_names[a.severity];
    double unit = row->is_price ? 1e9 : 1;
    PUT(&t, "{\"id\":");
    put_id(&t, a.id_hi, a.id_lo);
    PUT(&t, ",\"symbol\":\"");
    put_escaped(&t, symbol->name, symbol->name_len);
    PUT(&t, "\",\"timestamp\":");
    put_time(&t, m->event_ns);
    PUT(&t, ",\"type\":\"");
    put(&t, row->type, strlen(row->type));
    PUT(&t, "\",\"severity\":\"");
    put(&t, severity, strlen(severity));
    PUT(&t, "\",\"price\":");
    put_price(&t, a.price_e9);
    PUT(&t, ",\"value\":");
    put_number(&t, a.value / unit);
    PUT(&t, ",\"expected\":");
    put_number(&t, a.expected / unit);
    PUT(&t, ",\"score\":");
    put_number(&t, a.score);
    PUT(&t, ",\"threshold\":");
    put_number(&t, a.threshold);
    PUT(&t, ",\"message\":\"");
    put_escaped(&t, symbol->name, symbol->name_len);
    PUT(&t, " ");
    put(&t, row->type, strlen(row->type));
    if (a.price_e9 != ALERT_UNKNOWN) {
        PUT(&t, " ");
        put_price(&t, a.price_e9);
    }
    PUT(&t, "\",\"seq\":");
    put_unsigned(&t, m->seq, 0);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

/* What comes from a source may be anything: what is no plain character becomes '?'. */
static void put_reason(struct text *t, const char *reason, size_t n)
{
    for (size_t i = 0; i < n && reason[i]; i++) {
        bool plain = reason[i] >= ' ' && reason[i] < 127 && reason[i] != '"' && reason[i] != '\\';
        put(t, plain ? &reason[i] : "?", 1);
    }
}

int event_json_halt(const struct msg *m, const struct event_symbol *symbol, char *out, size_t size)
{
    struct msg_halt h;
    struct text t = {out, out + size, false};
    assert(m->type == MSG_HALT);
    if (msg_slot_count(m) != msg_slots(sizeof h) || m->event_ns < 0)
        return EVENT_JSON_MISMATCH;
    msg_get(m, 0, &h, sizeof h);
    if (h.kind >= STATUS_KINDS)
        return EVENT_JSON_MISMATCH;
    const char *type = halt_names[h.kind];
    PUT(&t, "{\"id\":");
    put_id(&t, h.id_hi, h.id_lo);
    PUT(&t, ",\"symbol\":\"");
    put_escaped(&t, symbol->name, symbol->name_len);
    PUT(&t, "\",\"timestamp\":");
    put_time(&t, m->event_ns);
    PUT(&t, ",\"type\":\"");
    put(&t, type, strlen(type));
    PUT(&t, "\",\"reason\":\"");
    put_reason(&t, h.reason, sizeof h.reason);
    PUT(&t, "\",\"message\":\"");
    put_escaped(&t, symbol->name, symbol->name_len);
    PUT(&t, " ");
    put(&t, type, strlen(type));
    PUT(&t, "\",\"seq\":");
    put_unsigned(&t, m->seq, 0);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

int event_json(const struct msg *m, const struct event_rule *rule, const struct event_symbol *symbol,
               char *out, size_t size)
{
    switch (m->type) {
    case MSG_BAR:
        return event_json_bar(m, symbol, out, size);
    case MSG_ANOMALY:
        return event_json_anomaly(m, symbol, out, size);
    case MSG_HALT:
        return event_json_halt(m, symbol, out, size);
    default:
        return rule ? event_json_alert(m, rule, symbol, out, size) : EVENT_JSON_MISMATCH;
    }
}

uint32_t event_sub(const struct msg *m)
{
    return m->type == MSG_BAR     ? msg_bar_get(m).sub
           : m->type == MSG_ALERT ? ((const struct msg_alert *)m->first)->sub
           : m->type == MSG_HALT  ? ((const struct msg_halt *)m->first)->sub
                                  : ((const struct msg_anomaly *)m->first)->sub;
}

/* A sum of 128 bits at 10^-scale as the shortest exact decimal. */
static void put_sum(struct text *t, __int128 sum, unsigned scale)
{
    char s[64], *at = s + sizeof s;
    unsigned __int128 left = sum < 0 ? -(unsigned __int128)sum : (unsigned __int128)sum;
    bool point = false; /* a digit behind it is there */
    for (unsigned place = 0; left || place <= scale; place++, left /= 10) {
        unsigned digit = (unsigned)(left % 10);
        if (place == scale && point)
            *--at = '.';
        if (place >= scale || point || digit) {
            *--at = (char)('0' + digit);
            point |= place < scale;
        }
    }
    if (sum < 0)
        *--at = '-';
    put(t, at, (size_t)(s + sizeof s - at));
}

int event_json_live(const struct event_symbol *symbol, int64_t start_ns, const struct msg_bar *bar, char *out,
                    size_t size)
{
    struct text t = {out, out + size, false};
    __int128 sum = (__int128)((unsigned __int128)(uint64_t)bar->pv_hi << 64 | bar->pv_lo);
    put_bar(&t, symbol, start_ns, bar);
    PUT(&t, ",\"vwap_num\":");
    put_sum(&t, sum, 9u + symbol->size_scale);
    PUT(&t, ",\"vwap_denom\":");
    put_unsigned(&t, bar->volume, symbol->size_scale);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

int event_json_quote(const struct event_symbol *symbol, int64_t price_e9, int64_t event_ns, char *out,
                     size_t size)
{
    struct text t = {out, out + size, false};
    PUT(&t, "{\"symbol\":\"");
    put_escaped(&t, symbol->name, symbol->name_len);
    PUT(&t, "\",\"price\":");
    put_price(&t, price_e9);
    PUT(&t, ",\"ts_ms\":");
    put_unsigned(&t, event_ns > 0 ? (uint64_t)event_ns / 1000000 : 0, 0);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

/* {"symbol":…,"price":…,"size":…,"timestamp":… and no end yet. */
static void put_price_of(struct text *t, const struct event_symbol *symbol, int64_t price_e9, uint64_t size,
                         int64_t event_ns)
{
    PUT(t, "{\"symbol\":\"");
    put_escaped(t, symbol->name, symbol->name_len);
    PUT(t, "\",\"price\":");
    put_price(t, price_e9);
    PUT(t, ",\"size\":");
    put_unsigned(t, size, symbol->size_scale);
    PUT(t, ",\"timestamp\":");
    put_time(t, event_ns);
}

int event_json_tick(const struct msg *trade, const struct event_symbol *symbol, char *out, size_t size)
{
    assert(trade->type == MSG_TRADE);
    struct text t = {out, out + size, false};
    put_price_of(&t, symbol, trade->trade.price_e9, trade->trade.size, trade->event_ns);
    PUT(&t, ",\"type\":\"trade\",\"bid\":null,\"ask\":null}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}

int event_json_price(const struct event_symbol *symbol, int64_t price_e9, uint64_t size, int64_t event_ns,
                     char *out, size_t out_size)
{
    struct text t = {out, out + out_size, false};
    put_price_of(&t, symbol, price_e9, size, event_ns);
    PUT(&t, "}");
    return t.full ? EVENT_JSON_SMALL : (int)(t.at - out);
}
