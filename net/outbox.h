/* The outbox: every event that goes to a sink, durable before any sink sees it, in order, with a gap-free
 * ordinal.
 *
 * A directory of segment files of checksummed records. The publisher appends (one writer), sinks read behind
 * it, each from a cursor of its own that lives in the sink. The outbox id is random, made with the outbox: a
 * cursor is (outbox id, offset), so that a cursor of another outbox is never mistaken for one of this.
 *
 * Opening for append recovers: a torn tail is truncated (how much is logged), the last (seq, symbol, sub) of
 * each bucket is found again, so that events which a crashed publisher had stored but not yet released are
 * dropped.
 */
#ifndef NET_OUTBOX_H
#define NET_OUTBOX_H

#include "core/error.h"
#include "core/message.h"

/* A trade is in no outbox: it is what a sink that reads the journal has as a record. */
enum outbox_kind {
    OUTBOX_ALERT = 1,
    OUTBOX_BAR = 2,
    OUTBOX_TRADE = 3,
    OUTBOX_ANOMALY = 4,
    OUTBOX_HALT = 5,
    OUTBOX_SHADOW = 6, /* an alert of a rule in mode shadow: recorded, told to nobody */
    OUTBOX_KINDS
};

/* Of an event; 0: m is none. */
static inline enum outbox_kind outbox_kind_of(const struct msg *m)
{
    return m->type == MSG_ALERT     ? m->flags & MSG_F_SHADOW ? OUTBOX_SHADOW : OUTBOX_ALERT
           : m->type == MSG_BAR     ? OUTBOX_BAR
           : m->type == MSG_ANOMALY ? OUTBOX_ANOMALY
           : m->type == MSG_HALT    ? OUTBOX_HALT
                                    : (enum outbox_kind)0;
}

static inline bool outbox_is_event(const struct msg *m)
{
    return outbox_kind_of(m) != 0;
}

struct outbox_record {
    uint64_t offset; /* 0, 1, 2 …; given by the append */
    uint64_t seq;
    uint32_t symbol; /* id; with seq and sub the event's place in the total order */
    uint32_t sub;
    uint16_t bucket;
    uint8_t kind; /* enum outbox_kind */
    int64_t event_ns;
    const char *name; /* the symbol's */
    uint32_t name_len;
    const char *json; /* the event as it is delivered; no newline */
    uint32_t json_len;
};

struct outbox;        /* the writer */
struct outbox_reader; /* one for each sink; may live in another thread or process than the writer */

/* Opens or makes the outbox in `dir` for append. NULL with err set. `recovered_bytes` (may be NULL): how much
 * of a torn tail was cut off. */
struct outbox *outbox_open(const char *dir, uint64_t segment_bytes, uint64_t *recovered_bytes,
                           struct error *err);

/* 32 hex digits and NUL. */
const char *outbox_id(const struct outbox *o);
uint64_t outbox_next_offset(const struct outbox *o);

/* The id that the outbox had before it was made anew (its tail was lost, it was restored from a copy), and
 * the offset before which both ids name the same events. "" if it never was. */
struct outbox_previous {
    char id[33];
    uint64_t offset;
};
const struct outbox_previous *outbox_previous(const struct outbox *o);
/* Notes it, durably; for who gives an outbox its new id by removing the file `id`. */
int outbox_note_previous(struct outbox *o, const char *id, struct error *err);

/* The highest seq of all events that were ever stored; 0: none. */
uint64_t outbox_last_seq(const struct outbox *o);

/* Notes, durably, that what follows is of another run: no writer opens this outbox any more. `why` is a line
 * without its end. */
int outbox_refuse(struct outbox *o, const char *why, struct error *err) __attribute__((warn_unused_result));

/* True if the event is already stored: not after the last one of its bucket in (seq, symbol, sub). */
bool outbox_has(const struct outbox *o, uint16_t bucket, uint64_t seq, uint32_t symbol, uint32_t sub);

/* Appends a copy to the batch in memory and sets r->offset. 0, or -1 (err: disk full …; the record is not
 * taken). */
int outbox_append(struct outbox *o, struct outbox_record *r, struct error *err)
    __attribute__((warn_unused_result));

/* Writes the batch and makes it durable (fdatasync). Only then may the ring be released and readers see it.
 * After a failure nothing of the batch counts as stored; the same commit can be tried again. */
int outbox_commit(struct outbox *o, struct error *err) __attribute__((warn_unused_result));

void outbox_close(struct outbox *o);

/* Committed events that recovery did not find again (a disk that lied, a file that was touched): then the id
 * is new. */
uint64_t outbox_lost(const struct outbox *o);
/* True if there was none before. */
bool outbox_is_new(const struct outbox *o);

/* Deletes the segments that hold only events before `offset`. How many went, or -1 with err. */
int outbox_prune(struct outbox *o, uint64_t offset, struct error *err) __attribute__((warn_unused_result));

/* The first offset of the oldest segment that was written to at utc_ns or later (by its file's time): all
 * before it is older. The end of the outbox if there is none. */
uint64_t outbox_offset_at(const struct outbox *o, int64_t utc_ns);

/* A reader from `offset` on (the first kept one if that is gone: *first tells). */
struct outbox_reader *outbox_reader_open(const char *dir, uint64_t offset, uint64_t *first,
                                         struct error *err);
/* 1 with *r filled (valid until the next call), 0 if there is none yet, -1 with err set (corrupt: where,
 * what). */
int outbox_read(struct outbox_reader *r, struct outbox_record *rec, struct error *err)
    __attribute__((warn_unused_result));
const char *outbox_reader_id(const struct outbox_reader *r);
void outbox_reader_close(struct outbox_reader *r);

#endif
