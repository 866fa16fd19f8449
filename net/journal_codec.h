/* The compact form of messages in a journal block. Each block is coded on its own: what is predicted is
 * predicted from the block's earlier messages.
 *
 * A record starts with a control word of 16 bits, little-endian, whose two low bits say what it is. Fields
 * follow, each in as many bytes as its length code says: 1, 2, 4 or 8 but where noted. Lengths are found and
 * used without branches, since nobody can predict them. A difference is stored as its zigzag.
 *
 * - TRADE: control, venue, attributes (a byte: the place in a table of 256 of conditions, tape and flags),
 *   symbol (2 or 4), event_ns, recv_ns, price, size, trade_id
 * - QUOTE: control, venue, symbol (2 or 4), event_ns, recv_ns, bid, ask, bid size, ask size (one length)
 * - CLOCK: control with the bucket, event_ns, recv_ns
 * - a byte 0, then the slots as they are: any other record, and what has no compact form (reserved bits,
 *   padding that is not 0)
 * - a byte 4, 8 bytes: the next message's seq (without it, that of the message before + 1)
 * - a byte 8: from here on event times are in ns (before: ms)
 * - a byte 12, a place, 6 bytes: from here on this is what the place of attributes holds
 *
 * Of TRADE and QUOTE:
 * - event_ns is a difference to the tick before
 * - recv_ns (0, 3, 4, 8): nothing if it is event_ns, else a difference to the message before
 * - prices are differences to the symbol's last, in the largest of 1e7, 1e5, 1e3, 1 that is exact
 * - trade_id (0, 2, 4, 8): nothing if it is the symbol's last + 1, or 0 after 0, else a difference to the
 * last
 *
 * Of CLOCK:
 * - event_ns (0, 4, 8): nothing if it is the bucket's last + 1 s, else a difference to the tick before
 * - recv_ns (0, 4, 8): nothing if it is event_ns or that of the message before, else a difference to the
 * latter
 *
 * "The symbol's last" is a table of 2,048 places that symbols share modulo: a clash costs bytes, never truth.
 * The phase bit is not stored. Decoding gives each other bit back exactly, and is safe for any input.
 */
#ifndef NET_JOURNAL_CODEC_H
#define NET_JOURNAL_CODEC_H

#include "core/bucket.h"
#include "core/message.h"

enum {
    CODEC_SYMBOLS = 2048,
    CODEC_ATTRIBUTES = 256,
    CODEC_RECORD_BYTES_MAX = 9 + 1 + 8 + 1 + MSG_SLOTS_MAX * MSG_SLOT_BYTES,
    CODEC_SLACK_BYTES = 64 /* readable behind what is decoded, writable behind what is encoded */
};

struct codec_symbol {
    uint64_t price_e9, trade_id;
    uint64_t bid_e9, ask_e9;
};

/* What both sides know of the block so far. About 75 KiB. */
struct codec {
    uint64_t seq;        /* of the message before */
    uint64_t event_ns;   /* of the tick before */
    uint64_t recv_ns;    /* of the tick or CLOCK before */
    uint64_t event_unit; /* ns */
    struct codec_symbol symbols[CODEC_SYMBOLS];
    uint64_t attributes[CODEC_ATTRIBUTES];
    uint64_t clock_ns[BUCKET_COUNT];
};

/* What a block holds. */
struct codec_summary {
    uint64_t records, slots;
    uint64_t first_seq, last_seq; /* of the records; 0 if there are none */
    int64_t min_event_ns,
        max_event_ns; /* of TRADE, QUOTE, CANCEL, STATUS, CLOCK; INT64_MAX and _MIN if none */
};

extern const struct codec_summary codec_summary_none; /* of no message */
/* Adds the whole records m[0..n). */
void codec_summarise(struct codec_summary *s, const struct msg *m, size_t n);

struct codec_encoder {
    struct codec state;
    struct codec_summary summary;
};

/* Starts a block whose first message has the seq `first_seq`. */
void codec_encode_begin(struct codec_encoder *e, uint64_t first_seq);

/* Appends the whole records of m[0..n) to out[*used..room) until one of them may not fit; CODEC_SLACK_BYTES
 * more than `room` are writable. Returns the slots taken. */
size_t codec_encode(struct codec_encoder *e, const struct msg *m, size_t n, uint8_t *out, size_t room,
                    size_t *used);

struct codec_decoder {
    struct codec state;
    const uint8_t *at, *end;
};

/* Starts at a block's payload; CODEC_SLACK_BYTES behind it are readable. */
void codec_decode_begin(struct codec_decoder *d, uint64_t first_seq, const uint8_t *payload, size_t bytes);

/* Decodes whole records into out[0..max), max >= MSG_SLOTS_MAX. Returns the slots, 0 at the end,
 * CODEC_CORRUPT if what stands at d->at is no record (what came before is lost: a block's checksum is checked
 * before). */
enum { CODEC_CORRUPT = -1 };
int64_t codec_decode(struct codec_decoder *d, struct msg *out, size_t max)
    __attribute__((warn_unused_result));

#endif
