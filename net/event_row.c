#include "net/event_row.h"

#include <string.h>

const struct event_column event_alert_columns[] = {
    {"timestamp", EVENT_TIME},
    {"", EVENT_NS},
    {"id", EVENT_ID},
    {"rule_id", EVENT_TEXT},
    {"rule_name", EVENT_TEXT},
    {"rule_version", EVENT_INTEGER},
    {"symbol", EVENT_TEXT},
    {"price", EVENT_DECIMAL},
    {"message", EVENT_TEXT},
    {"metadata", EVENT_OBJECT},
    {"seq", EVENT_INTEGER},
    {"kind", EVENT_TEXT},
    {"revision", EVENT_INTEGER},
};
const struct event_column event_bar_columns[] = {
    {"symbol", EVENT_TEXT},    {"timestamp", EVENT_TIME}, {"revision", EVENT_INTEGER},
    {"open", EVENT_DECIMAL},   {"high", EVENT_DECIMAL},   {"low", EVENT_DECIMAL},
    {"close", EVENT_DECIMAL},  {"volume", EVENT_DECIMAL}, {"vwap", EVENT_DECIMAL},
    {"trades", EVENT_INTEGER},
};

const struct event_column event_anomaly_columns[] = {
    {"timestamp", EVENT_TIME},
    {"", EVENT_NS},
    {"id", EVENT_ID},
    {"symbol", EVENT_TEXT},
    {"type", EVENT_TEXT},
    {"severity", EVENT_TEXT},
    {"price", EVENT_DECIMAL},
    {"value", EVENT_NUMBER},
    {"expected", EVENT_NUMBER},
    {"score", EVENT_NUMBER},
    {"threshold", EVENT_NUMBER},
    {"message", EVENT_TEXT},
    {"seq", EVENT_INTEGER},
};

const struct event_column event_halt_columns[] = {
    {"timestamp", EVENT_TIME}, {"", EVENT_NS},         {"id", EVENT_ID},        {"symbol", EVENT_TEXT},
    {"type", EVENT_TEXT},      {"reason", EVENT_TEXT}, {"message", EVENT_TEXT}, {"seq", EVENT_INTEGER},
};

/* The columns of a kind of events. */
static const struct {
    const struct event_column *column;
    uint32_t n;
} columns_of[] = {
    [OUTBOX_ALERT] = {event_alert_columns, EVENT_ALERT_COLUMNS},
    [OUTBOX_BAR] = {event_bar_columns, EVENT_BAR_COLUMNS},
    [OUTBOX_ANOMALY] = {event_anomaly_columns, EVENT_ANOMALY_COLUMNS},
    [OUTBOX_HALT] = {event_halt_columns, EVENT_HALT_COLUMNS},
    [OUTBOX_SHADOW] = {event_alert_columns, EVENT_ALERT_COLUMNS},
};

/* Behind the string whose first byte is s, at its closing quote; `end` if it has none. */
static const char *skip_string(const char *s, const char *end)
{
    for (; s < end && *s != '"'; s++)
        s += *s == '\\' && s + 1 < end;
    return s;
}

/* Behind the value that starts at s; NULL if it has no end. */
static const char *skip_value(const char *s, const char *end)
{
    unsigned depth = 0;
    for (; s < end; s++) {
        if (*s == '"') {
            s = skip_string(s + 1, end);
            if (s == end)
                return NULL;
        } else if (*s == '{' || *s == '[') {
            depth++;
        } else if (*s == '}' || *s == ']') {
            if (depth == 0)
                return s;
            depth--;
        } else if (*s == ',' && depth == 0) {
            return s;
        }
    }
    return NULL;
}

static bool is_number(const char *s, size_t n, bool fraction)
{
    size_t i = n > 0 && s[0] == '-', digits = 0;
    for (; i < n; i++) {
        if (s[i] == '.' && fraction && digits)
            fraction = false;
        else if (s[i] >= '0' && s[i] <= '9')
            digits++;
        else
            return false;
    }
    return digits > 0 && s[n - 1] != '.';
}

/* As decimal_format_double writes it. */
static bool is_double(const char *s, size_t n)
{
    const char *e = memchr(s, 'e', n);
    size_t digits = e ? (size_t)(e - s) : n, sign = e && digits + 1 < n && (e[1] == '-' || e[1] == '+');
    return n <= 64 && is_number(s, digits, true) &&
           (!e || is_number(e + 1 + sign, n - digits - 1 - sign, false));
}

static bool is_id(const char *s, size_t n)
{
    return n == 32 && strspn(s, "0123456789abcdef") >= 32;
}

/* Fills `v` with the value s[0..n) if it is of the type. */
static bool take(struct event_value *v, enum event_type type, const char *s, size_t n)
{
    bool string = n >= 2 && s[0] == '"' && s[n - 1] == '"';
    *v = string ? (struct event_value){s + 1, (uint32_t)n - 2} : (struct event_value){s, (uint32_t)n};
    switch (type) {
    case EVENT_TIME:
    case EVENT_TEXT:
        return string;
    case EVENT_ID:
        return string && is_id(v->text, v->len);
    case EVENT_INTEGER:
        return is_number(s, n, false) && n <= 19;
    case EVENT_DECIMAL:
        if (n == 4 && !memcmp(s, "null", 4)) {
            v->text = NULL;
            return true;
        }
        return is_number(s, n, true) && n <= 64;
    case EVENT_NUMBER:
        return is_double(s, n);
    case EVENT_OBJECT:
        return n >= 2 && s[0] == '{' && s[n - 1] == '}';
    case EVENT_NS:
        break;
    }
    return false;
}

/* The column with that key, n if there is none. Keys come mostly in the order of the columns. */
static uint32_t find(const struct event_row *row, uint32_t hint, const char *key, size_t len)
{
    for (uint32_t i = 0; i < row->n; i++) {
        uint32_t k = hint + i < row->n ? hint + i : hint + i - row->n;
        const char *name = row->column[k].key;
        if (name[0] == key[0] && strlen(name) == len && !memcmp(name, key, len))
            return k;
    }
    return row->n;
}

static int malformed(const struct outbox_record *r, size_t at, const char *expected, struct error *err)
{
    return error_set(err, "event %llu of the outbox, byte %zu: found '%.*s', expected %s",
                     (unsigned long long)r->offset, at, r->json_len - at < 40 ? (int)(r->json_len - at) : 40,
                     r->json + at, expected);
}

int event_row_read(struct event_row *row, const struct outbox_record *r, struct error *err)
{
    const char *s = r->json, *end = r->json + r->json_len;
    uint32_t seen = 0, hint = 0;
    if (r->kind >= sizeof columns_of / sizeof *columns_of || !columns_of[r->kind].column)
        return error_set(err, "event %llu of the outbox is of kind %u, which has no table",
                         (unsigned long long)r->offset, r->kind);
    row->column = columns_of[r->kind].column;
    row->n = columns_of[r->kind].n;
    if (s == end || *s != '{')
        return malformed(r, 0, "an object", err);
    while (*s != '}') {
        const char *key = s + 2, *colon, *value, *next;
        if (end - s < 4 || s[1] != '"' || end - (colon = skip_string(key, end)) < 2 || colon[1] != ':' ||
            !(next = skip_value(value = colon + 2, end)) || *next == ']')
            return malformed(r, (size_t)(s - r->json), "\"key\":value", err);
        uint32_t k = find(row, hint, key, (size_t)(colon - key));
        if (k < row->n) {
            if (!take(&row->value[k], row->column[k].type, value, (size_t)(next - value)))
                return malformed(r, (size_t)(s + 1 - r->json), "a value of the event's form", err);
            seen |= 1u << k;
            hint = k + 1 < row->n ? k + 1 : 0;
        }
        s = next;
    }
    if (s + 1 != end)
        return malformed(r, (size_t)(s + 1 - r->json), "the end", err);
    for (uint32_t k = 0; k < row->n; k++)
        if (row->column[k].type != EVENT_NS && !(seen & 1u << k))
            return error_set(err, "event %llu of the outbox has no \"%s\"", (unsigned long long)r->offset,
                             row->column[k].key);
    return 0;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c == 0 || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3f));
    out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

const char *event_value_unescape(const struct event_value *v, char *out, size_t *len)
{
    const char *s = v->text, *end = s + v->len, *escape = memchr(s, '\\', v->len);
    if (!escape) {
        *len = v->len;
        return s;
    }
    size_t n = 0;
    while (s < end) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *known;
        if (*s != '\\') {
            out[n++] = *s++;
        } else if (end - s >= 6 && s[1] == 'u') {
            uint32_t c = 0;
            for (int i = 2; i < 6; i++) {
                const char *digit = memchr("0123456789abcdef", s[i] | 0x20, 16);
                if (!digit)
                    return NULL;
                c = c << 4 | (uint32_t)(digit - "0123456789abcdef");
            }
            n += put_utf8(out + n, c);
            s += 6;
        } else if (end - s >= 2 && (known = memchr(from, s[1], sizeof from - 1))) {
            out[n++] = to[known - from];
            s += 2;
        } else {
            return NULL;
        }
    }
    *len = n;
    return out;
}
