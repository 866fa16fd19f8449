/* An event's JSON (net/event_json.h) taken apart into the columns of a table, for stores. No allocation: the
 * values point into the JSON.
 */
#ifndef NET_EVENT_ROW_H
#define NET_EVENT_ROW_H

#include "core/error.h"
#include "net/outbox.h"

enum event_type {
    EVENT_TIME,    /* a string; the record's event_ns */
    EVENT_NS,      /* the record's event_ns, no value in the JSON */
    EVENT_ID,      /* a string of 32 hex digits */
    EVENT_TEXT,    /* a string */
    EVENT_INTEGER, /* of 64 bits */
    EVENT_DECIMAL, /* an exact number, or null */
    EVENT_NUMBER,  /* a double */
    EVENT_OBJECT,
};

struct event_column {
    const char *key; /* in the JSON */
    enum event_type type;
};

enum {
    EVENT_ALERT_COLUMNS = 13,
    EVENT_BAR_COLUMNS = 10,
    EVENT_ANOMALY_COLUMNS = 13,
    EVENT_HALT_COLUMNS = 8,
    EVENT_COLUMNS_MAX = 13
};
extern const struct event_column event_alert_columns[EVENT_ALERT_COLUMNS];
extern const struct event_column event_bar_columns[EVENT_BAR_COLUMNS];
extern const struct event_column event_anomaly_columns[EVENT_ANOMALY_COLUMNS];
extern const struct event_column event_halt_columns[EVENT_HALT_COLUMNS];

/* A value as it is in the JSON: of a string what is between the quotes, still escaped. */
struct event_value {
    const char *text; /* NULL for null */
    uint32_t len;
};

struct event_row {
    const struct event_column *column;
    uint32_t n;
    struct event_value value[EVENT_COLUMNS_MAX];
};

/* 0, or -1 with err: the record is no such event (where, what, what was expected). */
int event_row_read(struct event_row *row, const struct outbox_record *r, struct error *err)
    __attribute__((warn_unused_result));

/* A string's text: where it is, if nothing is escaped, else unescaped into `out`, which has room for v->len
 * bytes. NUL becomes U+FFFD (no database takes it). NULL if an escape is malformed. */
const char *event_value_unescape(const struct event_value *v, char *out, size_t *len);

#endif
