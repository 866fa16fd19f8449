/* Events of the engine as JSON: alert, bar, anomaly and halt as clients get them (keys and their order are a
 * contract).
 *
 *   {"id":"32 hex digits","rule_id":…,"rule_name":…,"rule_version":1,"symbol":"SPY",
 *    "timestamp":"2013-10-08T13:45:27.122000000Z","price":167.51,"message":"<rule_name>: SPY 167.51",
 *    "metadata":{"rsi(14)@1m":28.4},"trace_id":<id>,"seq":123,"kind":"fired","revision":0}
 *   {"symbol":"SPY","timestamp":<the bar's start>,"open":…,"high":…,"low":…,"close":…,"volume":…,"vwap":…,
 *    "trades":7,"revision":0}
 *
 *   {"id":"32 hex digits","symbol":"SPY","timestamp":…,"type":"spike","severity":"low","price":167.51,
 *    "value":167.51,"expected":167.4,"score":3.2,"threshold":3,"message":"SPY spike 167.51","seq":123}
 *
 * Prices and sizes are JSON numbers, the shortest exact decimal; doubles the shortest that read back the
 * same. What has no value is null. Strings are escaped; bytes that are no UTF-8 become U+FFFD.
 *
 * Pure functions into the caller's buffer: no allocation, any thread. No newline, no NUL at the end.
 */
#ifndef NET_EVENT_JSON_H
#define NET_EVENT_JSON_H

#include "core/message.h"

enum event_operand_kind {
    EVENT_OPERAND_PRICE,   /* int64 at 1e-9 */
    EVENT_OPERAND_DOUBLE,  /* the bits of a double */
    EVENT_OPERAND_SESSION, /* the bits of a double, an enum session_kind: printed as its name */
    EVENT_OPERAND_TEXT,    /* how many bytes it has; they follow the operands, in their order */
};

struct event_operand {
    const char *name; /* canonical metric name */
    enum event_operand_kind kind;
};

/* What an alert's rule slot stands for. */
struct event_rule {
    const char *id, *name;
    uint32_t version;
    uint16_t n_operands;
    const struct event_operand *operand; /* in the order of the alert's operands */
};

struct event_symbol {
    const char *name;
    uint32_t name_len;
    uint8_t size_scale; /* decimal places of a size */
};

enum {
    EVENT_JSON_MAX = 16384, /* enough for any alert or bar within the limits of core/rule.h */
    EVENT_JSON_SMALL = -1,  /* the buffer is too small */
    EVENT_JSON_MISMATCH =
        -2 /* the alert's operands are not those of the rule given, or its frame is unsound */
};

/* Renders an ALERT (a whole record) or a BAR. The length, or one of the above. */
int event_json_alert(const struct msg *m, const struct event_rule *rule, const struct event_symbol *symbol,
                     char *out, size_t size) __attribute__((warn_unused_result));
int event_json_bar(const struct msg *m, const struct event_symbol *symbol, char *out, size_t size)
    __attribute__((warn_unused_result));

int event_json_anomaly(const struct msg *m, const struct event_symbol *symbol, char *out, size_t size)
    __attribute__((warn_unused_result));
/* A halt or its end, "type":"halted" or "resumed":
 *   {"id":"32 hex digits","symbol":"SPY","timestamp":"…","type":"halted","reason":"LUDP","message":"SPY
 * halted", "seq":123} reason is "" if the source gave none. As above. */
int event_json_halt(const struct msg *m, const struct event_symbol *symbol, char *out, size_t size)
    __attribute__((warn_unused_result));

/* Any of them; `rule` is the alert's, NULL if it is not known (EVENT_JSON_MISMATCH), or it is no alert. */
int event_json(const struct msg *m, const struct event_rule *rule, const struct event_symbol *symbol,
               char *out, size_t size) __attribute__((warn_unused_result));
/* Its place among the events of one (seq, symbol). */
uint32_t event_sub(const struct msg *m);

/* A latest price as it is published: {"symbol":…,"price":…,"size":…,"timestamp":…}. The length, or
 * EVENT_JSON_SMALL. */
int event_json_price(const struct event_symbol *symbol, int64_t price_e9, uint64_t size, int64_t event_ns,
                     char *out, size_t out_size) __attribute__((warn_unused_result));

/* A live bar as it is published: {"symbol":…,"timestamp":<its start>,"open":…,"high":…,"low":…,"close":…,
 * "volume":…,"vwap_num":<sum of price x size>,"vwap_denom":<sum of size>}, both sums exact. The length, or
 * EVENT_JSON_SMALL. `bar` is used up to pv_hi. */
int event_json_live(const struct event_symbol *symbol, int64_t start_ns, const struct msg_bar *bar, char *out,
                    size_t size) __attribute__((warn_unused_result));

/* A latest price in short: {"symbol":…,"price":…,"ts_ms":…}. The length, or EVENT_JSON_SMALL. */
int event_json_quote(const struct event_symbol *symbol, int64_t price_e9, int64_t event_ns, char *out,
                     size_t size) __attribute__((warn_unused_result));

/* A trade as it is published: {"symbol":…,"price":…,"size":…,"timestamp":…,"type":"trade","bid":null,
 * "ask":null}: bid and ask are a quote's. The length, or EVENT_JSON_SMALL. */
int event_json_tick(const struct msg *trade, const struct event_symbol *symbol, char *out, size_t size)
    __attribute__((warn_unused_result));

/* The quotient of a bar's sums in units of 1e-8, rounded half up. False if volume is 0 or it does not fit. */
bool event_vwap_e8(const struct msg_bar *bar, int64_t *vwap_e8);

extern const char *const alert_kind_names[3]; /* "fired", "revised", "withdrawn", by enum alert_kind */

#endif
