/* The ring: a queue of records (core/message.h) in shared memory, from one producer to one consumer.
 *
 * Layout: a header, the producer's line, the consumer's line, then a power of two of 64-byte slots. Position
 * p (64 bits, one per slot, wrapping round 2^64 without harm) lives in slot p mod capacity.
 *
 * Publication: a slot's second word (msg.word) is stored last, with release, and carries the phase of its lap
 * in MSG_F_PHASE (first lap 1). A record begins at position p once the word there has p's phase and is no
 * continuation; all of the record's slots are then visible, because its first word is stored last. So data
 * and readiness travel in one cache line. Every slot of a record keeps the word, so that no slot is left with
 * the phase of an older lap. Records wrap round the end without padding.
 *
 * Waiting: to look at a slot before it is written takes its line from the producer that is about to write it,
 * which in a stream of messages costs both sides most of their speed. So a consumer that has come to the end
 * of what it knows looks at the producer's tail, which moves once per batch, and only then at the slot: after
 * as many looks as its patience, which doubles when the tail brought something and halves when it did not (8
 * to 256 looks). A stream is thus read by the tail, in whole batches, and a message after a pause by its
 * slot.
 *
 * Crashes: what a dead producer had published is found again by walking the records from head; the record
 * that it had half written is not seen (its continuation slots may have the right phase, but no record begins
 * with one) and is overwritten. A restarted consumer goes on from head: what it had peeked but not released
 * comes again.
 *
 * Threading: one producer and one consumer at a time, any number of observers (const struct ring *). Handles
 * are private to their process. Nothing here blocks, allocates or calls the kernel, except that joins format
 * errors.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include "core/error.h"
#include "core/message.h"
#include "shm/atomics.h"

/* Named steps for tests that interleave or kill the two sides; nothing in production. */
#ifndef RING_HOOK
#define RING_HOOK(step) ((void)0)
#endif

enum { RING_CAPACITY_MIN = 4 * MSG_SLOTS_MAX, RING_CAPACITY_MAX = 1 << 30, RING_PAD_BYTES = 128 };
enum { RING_SPAN_MAX = 256, RING_BATCH = 64 }; /* slots: of one peek; after which a long put publishes */
enum { RING_PATIENCE_MIN = 8, RING_PATIENCE_MAX = 256 };
enum { RING_FULL = -1 };

struct ring {
    uint64_t magic; /* stored last by ring_new */
    uint64_t capacity;
    struct {
        uint64_t tail;       /* position after the last batch; more may be ready */
        uint64_t stalls;     /* times that the ring became full; tries while it stays so count once */
        uint64_t high_water; /* slots; sampled, at most 1/16 of the capacity too low */
    } producer __attribute__((aligned(RING_PAD_BYTES)));
    struct {
        uint64_t head; /* position of the first record that is not released */
    } consumer __attribute__((aligned(RING_PAD_BYTES)));
    struct msg slots[] __attribute__((aligned(RING_PAD_BYTES)));
};

struct ring_producer {
    struct ring *ring;
    uint64_t mask;
    uint64_t tail;       /* next position to write */
    uint64_t head;       /* the consumer's as last read: it may have moved on since */
    uint64_t sample_at;  /* tail at which head is read again for the high-water mark */
    uint64_t stalled_at; /* tail of the last stall that was counted */
    unsigned phase_shift;
};

struct ring_consumer {
    struct ring *ring;
    uint64_t mask;
    uint64_t head;     /* next position to read */
    uint64_t ready;    /* whole records are known to be ready up to here */
    uint32_t peeked;   /* slots handed out by the last peek */
    uint32_t patience; /* looks at the tail before one at the slot */
    uint32_t waited;   /* looks at the tail that found nothing */
    unsigned phase_shift;
    struct msg bounce[MSG_SLOTS_MAX]; /* a record that straddles the end, in one piece */
};

size_t ring_align(void);

/* Bytes for `capacity` slots; 0 if that is no power of two from RING_CAPACITY_MIN to RING_CAPACITY_MAX. */
size_t ring_footprint(uint64_t capacity);

/* Formats an empty ring in mem (ring_footprint(capacity) bytes) whose first position is `start`: 0, but for
 * tests of the wrap. NULL with err set: mem is NULL or not aligned, capacity out of range. */
struct ring *ring_new(void *mem, uint64_t capacity, uint64_t start, struct error *err);

/* The ring that ring_new made in mem. NULL with err set: NULL, not aligned, no ring there (or not yet), or
 * one larger than `bytes`. */
struct ring *ring_join(void *mem, size_t bytes, struct error *err);

/* Ends the use of a ring; returns its memory. The handles on it must not be used any more. */
void *ring_leave(struct ring *r);

/* Makes this process the producer. Finds the tail of the one before it, if any. 0, or -1 with err set: what
 * lies between head and tail is no sequence of records. */
int ring_producer_join(struct ring_producer *p, struct ring *r, struct error *err)
    __attribute__((warn_unused_result));

/* The seq of the last message that was put into the ring, also if it is released; 0 if there was none. */
uint64_t ring_last_seq(const struct ring_producer *p);

/* Of an empty ring into which nothing was ever put: from now on the last message that it has had is `seq`. */
void ring_seed(struct ring_producer *p, uint64_t seq);

/* Makes this process the consumer, from the first record that was not released. */
void ring_consumer_join(struct ring_consumer *c, struct ring *r);

/* Puts the whole records in m[0..n) as far as they fit and publishes them. Returns the slots put: fewer than
 * n is full. The phase flag in m is ignored. */
uint32_t ring_put_n(struct ring_producer *p, const struct msg *m, uint32_t n)
    __attribute__((warn_unused_result));

/* Puts one record (msg_slot_count slots). 0 or RING_FULL. */
int ring_put(struct ring_producer *p, const struct msg *record) __attribute__((warn_unused_result));

/* In place, for messages of one slot:
 *     struct ring_span s = ring_claim(p, n);
 *     for (i = 0; i < s.n; i++) { fill all of s.slots[i] but its word; ring_commit(&s, i, word); }
 *     ring_publish(p, s.n);
 * A claim may be shorter than was asked for, at the ring's end too; 0 is full. A commit, in order, lets the
 * consumer see a message; publish, once per batch, lets it see the batch as one, and observers too. What is
 * claimed and not committed is simply not there; no more may be published than was committed. */
struct ring_span {
    struct msg *slots;
    uint64_t phase;
    uint32_t n;
};
static inline struct ring_span ring_claim(struct ring_producer *p, uint32_t n);
static inline void ring_commit(const struct ring_span *s, uint32_t i, uint64_t word);
static inline void ring_publish(struct ring_producer *p, uint32_t n);

/* The next span of whole records, in one piece: *n slots (0 with NULL if there is none), at most
 * RING_SPAN_MAX + 15. Valid until it is released, or until the next peek if that comes first. The slots'
 * flags carry MSG_F_PHASE: who keeps a copy clears it. */
const struct msg *ring_peek(struct ring_consumer *c, uint32_t *n) __attribute__((warn_unused_result));

/* Gives the first n slots of the span, whole records, back to the producer, once per batch. The rest comes
 * again. */
void ring_release(struct ring_consumer *c, uint32_t n);

/* Goes past the first n slots of the span without giving them back: the next peek is of what follows; a later
 * ring_release (of 0 or more) gives back all. A consumer that joins anew gets them again. */
void ring_advance(struct ring_consumer *c, uint32_t n);

/* The seq of the last message before the next record to be read, which is released; 0 if there was none. */
uint64_t ring_released_seq(const struct ring_consumer *c);

/* The producer's position, and whether everything before a position is released. */
static inline uint64_t ring_position(const struct ring_producer *p)
{
    return p->tail;
}
bool ring_is_released(const struct ring_producer *p, uint64_t position);

/* For observers, the only way to tell how full a ring is: published slots not yet released, 0 .. capacity. */
uint64_t ring_occupancy(const struct ring *r);

/* Free slots, as the producer knows after reading head where `want` are not free otherwise. */
uint64_t ring_room(struct ring_producer *p, uint64_t want);

/* The rest is the inside of the inline functions above. */

#define RING_WORD_PHASE ((uint64_t)MSG_F_PHASE << 48)
#define RING_WORD_CONT  ((uint64_t)MSG_F_CONT << 48)
#define RING_WORD_FRAME ((uint64_t)(MSG_F_PHASE | MSG_F_CONT | MSG_MORE_MASK) << 48)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && offsetof(struct msg, flags) == 14,
               "the flags are the top 16 bits of the word");

/* The phase of position `pos` as a bit of the word: set on even laps. A lap is 2^n slots, so the laps either
 * side of 2^64 differ as any other two. phase_shift = 63 - log2(capacity). */
static inline uint64_t ring_phase(uint64_t pos, unsigned phase_shift)
{
    return ~(pos << phase_shift) & RING_WORD_PHASE;
}

void ring_sample(struct ring_producer *p);
bool ring_full(struct ring_producer *p);

static inline struct ring_span ring_claim(struct ring_producer *p, uint32_t n)
{
    uint64_t to_end = p->mask + 1 - (p->tail & p->mask), room = p->mask + 1 - (p->tail - p->head);
    if (__builtin_expect(room < n, 0))
        room = ring_full(p) ? 0 : ring_room(p, n);
    if (n > to_end)
        n = (uint32_t)to_end;
    if (n > room)
        n = (uint32_t)room;
    return (struct ring_span){&p->ring->slots[p->tail & p->mask], ring_phase(p->tail, p->phase_shift), n};
}

static inline void ring_commit(const struct ring_span *s, uint32_t i, uint64_t word)
{
    RING_HOOK(commit);
    atomics_store_release_u64(&s->slots[i].word, (word & ~RING_WORD_FRAME) | s->phase);
}

static inline void ring_publish(struct ring_producer *p, uint32_t n)
{
    p->tail += n;
    RING_HOOK(publish);
    atomics_store_release_u64(&p->ring->producer.tail, p->tail);
    if ((int64_t)(p->tail - p->sample_at) >= 0)
        ring_sample(p);
}

static inline uint64_t ring_stalls(const struct ring *r)
{
    return atomics_load_relaxed_u64(&r->producer.stalls);
}

/* Slots. */
static inline uint64_t ring_high_water(const struct ring *r)
{
    return atomics_load_relaxed_u64(&r->producer.high_water);
}

#endif
