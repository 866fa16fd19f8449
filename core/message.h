/* The message: the only thing that a ring, a journal block or the engine ever holds.
 *
 * A message is a record of 1 + `more` slots of 64 bytes. The first slot carries the header below and 32 bytes
 * of payload; every following slot repeats the publication word (bytes 8..15) and carries 56 bytes, of which
 * bytes 0..7 and 16..63 are payload: `cont.head` and `cont.body`. Only `body` (48 bytes) is used, so that a
 * payload of n bytes needs msg_slots(n) slots. A record has at most MSG_SLOTS_MAX slots, a quarter of the
 * smallest ring (64 slots); longer content (rule text) goes in parts that take effect with the last.
 *
 * Units: prices signed 64-bit at 1e-9, sizes unsigned 64-bit at the symbol's scale, times UTC nanoseconds.
 */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>

/* Every message type: enum suffix, name as printed and counted. Inputs first, then what the engine emits,
 * then what scanners tell the market role (workers/values.h). */
#define MSG_TYPES(X)                                                                                         \
    X(NONE, "none")                                                                                          \
    X(TRADE, "trade")                                                                                        \
    X(QUOTE, "quote")                                                                                        \
    X(CANCEL, "cancel")                                                                                      \
    X(STATUS, "status")                                                                                      \
    X(CLOCK, "clock")                                                                                        \
    X(SYMBOL, "symbol")                                                                                      \
    X(ATTR, "attr")                                                                                          \
    X(HISTORY_BAR, "history_bar")                                                                            \
    X(RULE, "rule")                                                                                          \
    X(SETTING, "setting")                                                                                    \
    X(ORDER, "order")                                                                                        \
    X(END, "end")                                                                                            \
    X(BAR, "bar")                                                                                            \
    X(ALERT, "alert")                                                                                        \
    X(ANOMALY, "anomaly")                                                                                    \
    X(HALT, "halt")                                                                                          \
    X(VALUES, "values")

#define X(name, text) MSG_##name,
enum msg_type { MSG_TYPES(X) MSG_TYPE_COUNT };
#undef X

/* Flags. The high byte belongs to the record's frame, the low byte to its type. */
#define MSG_F_PHASE    0x8000u /* the ring lap's phase; 0 outside a ring */
#define MSG_F_CONT     0x4000u /* this slot continues a record (set in every slot but the first) */
#define MSG_MORE_SHIFT 8       /* bits 8..13: how many slots follow the first */
#define MSG_MORE_MASK  0x3f00u
#define MSG_F_RECV_TIME                                                                                      \
    0x0001u /* TRADE, QUOTE, CANCEL, STATUS: the source gave no event time; event_ns is the receive time */
#define MSG_F_CORRECTION                                                                                     \
    0x0002u                       /* TRADE: takes the place of the print that the symbol's last CANCEL named \
                                   */
#define MSG_F_MORE_PARTS  0x0001u /* RULE, SETTING: the content goes on in the next record of this type */
#define MSG_F_PROVISIONAL 0x0001u /* BAR: its minute has ended, the bar is not final */
#define MSG_F_FINAL       0x0001u /* VALUES, CLOCK, END to market: as of the stream's end */
#define MSG_F_SHADOW      0x0001u /* ALERT: of a rule in mode shadow: it is recorded, nobody is told */

enum { MSG_SLOT_BYTES = 64, MSG_SLOTS_MAX = 16, MSG_FIRST_BYTES = 32, MSG_CONT_BYTES = 48 };
#define MSG_PAYLOAD_MAX (MSG_FIRST_BYTES + (MSG_SLOTS_MAX - 1) * MSG_CONT_BYTES)

struct msg_trade {
    int64_t price_e9;
    uint64_t size;
    uint64_t trade_id; /* the venue's number, or xxh3_64 of an id that is none; 0 = not given */
    uint8_t cond[4];   /* sale condition codes, 0 = none */
    uint8_t tape;      /* 'A', 'B', 'C' or 0 */
    uint8_t pad[3];
};

struct msg_quote {
    int64_t bid_e9, ask_e9;
    uint64_t bid_size, ask_size;
};

/* CANCEL: the print never counted. Its symbol's latest of this id (and venue, if the message has one). */
struct msg_cancel {
    uint64_t trade_id;
    uint8_t pad[24];
};

/* STATUS: trading in the symbol stops, or goes on. */
enum status_kind { STATUS_TRADING, STATUS_HALTED, STATUS_KINDS };
extern const char *const halt_names[STATUS_KINDS]; /* "resumed", "halted" */
struct msg_status {
    uint8_t kind; /* enum status_kind */
    uint8_t pad[7];
    char reason[24]; /* the venue's code, such as LUDP or T1; padded with zeros */
};

/* ATTR: what is known of a symbol. FACTS: core/attribute.h, in the continuation slots. SPLIT: in the first
 * trading day that starts at ex_ns or later, and from then on, `to` shares are what `from` were before. */
enum attr_kind { ATTR_SPLIT, ATTR_FACTS };
struct msg_attr {
    uint8_t kind; /* enum attr_kind */
    uint8_t pad[3];
    uint32_t to, from;
    uint8_t pad2[4];
    int64_t ex_ns;
    uint8_t pad3[8];
};

/* A symbol's first slot; its name (name_len bytes) follows in the continuation slots. */
struct msg_symbol {
    uint16_t bucket;
    uint8_t size_scale; /* decimal places of a size: 0 equities, 8 crypto */
    uint8_t calendar;   /* enum calendar_id */
    uint8_t name_len;
    uint8_t pad[3];
    int64_t tick_e9; /* smallest price step, 0 = unknown */
};

/* A finished bar from before the stream; event_ns is its start, `symbol` its symbol. */
struct msg_history_bar {
    int64_t open_e9, high_e9, low_e9, close_e9; /* first slot */
    /* continuation: */
    uint64_t volume;
    int64_t length_ns; /* 86,400 s = daily */
};

/* One part of a long content: RULE and SETTING. `len` bytes follow in the continuation slots. */
struct msg_part {
    uint32_t id;  /* RULE: the rule's slot, dense, one for each (rule, version); SETTING: 0 */
    uint16_t len; /* bytes of this part */
    uint16_t pad;
};

/* CLOCK: `symbol` is the bucket, event_ns its new time. No payload. END: no payload. */

/* BAR, emitted by the engine: event_ns is the bar's start, seq that of the message that made it so. */
struct msg_bar {
    int64_t open_e9, high_e9, low_e9, close_e9; /* first slot */
    /* continuation: */
    uint64_t volume;
    uint64_t pv_lo; /* sum of price_e9 x size, 128 bit */
    int64_t pv_hi;
    uint32_t trades;
    uint32_t revision; /* 0 when it first becomes final */
    uint32_t sub;      /* order among the events of one (seq, symbol) */
    uint32_t length_s; /* 60 */
    int64_t session_start_ns;
};

enum alert_kind { ALERT_FIRED, ALERT_REVISED, ALERT_WITHDRAWN };

/* ALERT, emitted by the engine: event_ns is the symbol's time (the alert's timestamp), seq that of the
 * deciding message, or, where it is revised or withdrawn, of the cancel; all else that its id is made of
 * stays; recv_ns 0 until the scanner fills it in from that message (core never sees receive
 * times). */
struct msg_alert {
    uint32_t rule; /* the rule's slot */
    uint32_t sub;  /* order among the events of one (seq, symbol) */
    uint64_t id_hi, id_lo;
    uint32_t k; /* earlier fires of that rule and symbol at that time */
    uint16_t revision;
    uint8_t kind;       /* enum alert_kind */
    uint8_t n_operands; /* at most ALERT_OPERANDS_MAX */
    /* continuation: */
    int64_t price_e9;  /* the symbol's price, ALERT_UNKNOWN if it has none */
    int64_t operand[]; /* as enum metric_unit says: a price at 1e-9, the bits of a double, or how many bytes a
                          text has; the texts follow, one behind the other */
};
#define ALERT_UNKNOWN      INT64_MIN /* an operand without value */
#define ALERT_OPERANDS_MAX 64

/* ANOMALY, emitted by the engine where anomalies.enabled (core/anomaly.h): event_ns is the symbol's time, seq
 * that of the message that showed it. Values of prices are at 1e-9. */
struct msg_anomaly {
    uint32_t sub;     /* order among the events of one (seq, symbol) */
    uint8_t kind;     /* enum anomaly_kind */
    uint8_t severity; /* enum anomaly_severity */
    uint8_t pad[2];
    int64_t price_e9; /* the symbol's price, ALERT_UNKNOWN if it has none */
    double value, expected;
    /* continuation: */
    double score, threshold;
    uint64_t id_hi, id_lo;
};

/* HALT, emitted by the engine where a STATUS stops trading in a symbol, or lets it go on: event_ns is the
 * symbol's time. */
struct msg_halt {
    uint32_t sub; /* order among the events of one (seq, symbol) */
    uint8_t kind; /* enum status_kind */
    uint8_t pad[3];
    char reason[24]; /* as the STATUS has it */
    /* continuation: */
    uint64_t id_hi, id_lo;
};

struct msg {
    uint64_t seq;
    union {
        struct {
            uint32_t symbol;
            uint8_t type;
            uint8_t venue;
            uint16_t flags;
        };
        uint64_t word; /* the publication word */
    };
    union {
        struct {
            int64_t event_ns;
            int64_t recv_ns;
            union {
                struct msg_trade trade;
                struct msg_quote quote;
                struct msg_cancel cancel;
                struct msg_status status;
                struct msg_attr attr;
                struct msg_symbol sym;
                struct msg_part part;
                uint8_t first[MSG_FIRST_BYTES];
            };
        };
        uint8_t body[MSG_CONT_BYTES]; /* of a continuation slot */
    };
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct msg) == MSG_SLOT_BYTES, "a message slot is one cache line");
_Static_assert(offsetof(struct msg, word) == 8, "the publication word is the slot's second word");
_Static_assert(offsetof(struct msg, first) == 32 && offsetof(struct msg, body) == 16, "payload places");
_Static_assert(sizeof(struct msg_trade) == 32 && sizeof(struct msg_quote) == 32 &&
                   sizeof(struct msg_cancel) == 32 && sizeof(struct msg_status) == 32 &&
                   sizeof(struct msg_attr) == 32,
               "ticks fit one slot");
_Static_assert(offsetof(struct msg_bar, volume) == 32 && offsetof(struct msg_alert, price_e9) == 32 &&
                   offsetof(struct msg_history_bar, volume) == 32 &&
                   offsetof(struct msg_anomaly, score) == 32 && offsetof(struct msg_halt, id_hi) == 32,
               "continuations start where the first slot ends");

/* What happens to a symbol at a time of its own: event_ns is of the stream, and the clocks go before it. One
 * slot each. */
static inline bool msg_is_tick(const struct msg *m)
{
    return m->type == MSG_TRADE || m->type == MSG_QUOTE || m->type == MSG_CANCEL || m->type == MSG_STATUS;
}

/* Slots of a record that starts with `m`: 1 .. MSG_SLOTS_MAX for a valid one. */
static inline uint32_t msg_slot_count(const struct msg *m)
{
    return 1u + ((m->flags & MSG_MORE_MASK) >> MSG_MORE_SHIFT);
}

/* Slots needed for a payload of `bytes` (32 in the first slot, 48 in each other). */
static inline uint32_t msg_slots(size_t bytes)
{
    return bytes <= MSG_FIRST_BYTES ? 1u : 1u + (uint32_t)((bytes - MSG_FIRST_BYTES + 47) / MSG_CONT_BYTES);
}

/* The name of a type as it is printed and counted; "?" for one that is none. */
const char *msg_type_name(unsigned type);

/* Starts a record of `type` with room for `payload_bytes`: zeroes its slots, sets type, symbol, seq and frame
 * of each. Returns the number of slots, 0 if it needs more than MSG_SLOTS_MAX. */
uint32_t msg_begin(struct msg *m, enum msg_type type, uint32_t symbol, size_t payload_bytes);

/* The slots of m[0..n), whole records, up to the first CLOCK, with it: what compares symbols looks at them as
 * of each CLOCK. */
uint32_t msg_upto_clock(const struct msg *m, uint32_t n);

/* Sets seq in every slot of a record. */
void msg_set_seq(struct msg *m, uint64_t seq);

/* Copies payload bytes [at, at + n) into or out of a record, over the slot frames. The caller keeps in
 * bounds. */
void msg_put(struct msg *m, size_t at, const void *src, size_t n);
void msg_get(const struct msg *m, size_t at, void *dst, size_t n);

/* True if the frame of the record in m[0..avail) is sound: a known type, a slot count within MSG_SLOTS_MAX
 * and avail, every continuation slot marked as such with the same type, symbol and count. For what comes from
 * outside (files, shared memory). */
bool msg_valid(const struct msg *m, size_t avail);

/* A typed view of a record whose payload does not fit one slot. */
static inline struct msg_bar msg_bar_get(const struct msg *m)
{
    struct msg_bar b;
    memcpy(&b, m[0].first, 32);
    memcpy((char *)&b + 32, m[1].body, sizeof b - 32);
    return b;
}
_Static_assert(sizeof(struct msg_bar) == 80, "a BAR is two slots");

#endif
