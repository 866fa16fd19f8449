#include "shm/ring.h"

#undef NDEBUG
#include <assert.h>

#define RING_MAGIC UINT64_C(0x31676e6972707472) /* "rtpring1" in memory */

static bool capacity_ok(uint64_t capacity)
{
    return capacity >= RING_CAPACITY_MIN && capacity <= RING_CAPACITY_MAX && (capacity & (capacity - 1)) == 0;
}

static unsigned phase_shift(uint64_t capacity)
{
    return 63 - (unsigned)__builtin_ctzll(capacity);
}

/* A record begins in a slot with this word, at a position with this phase. */
static bool begins(uint64_t word, uint64_t phase)
{
    return ((word ^ phase) & (RING_WORD_PHASE | RING_WORD_CONT)) == 0;
}

static uint32_t record_slots(uint64_t word)
{
    return 1 + (uint32_t)(word >> (48 + MSG_MORE_SHIFT) & (MSG_MORE_MASK >> MSG_MORE_SHIFT));
}

size_t ring_align(void)
{
    return RING_PAD_BYTES;
}

size_t ring_footprint(uint64_t capacity)
{
    return capacity_ok(capacity) ? sizeof(struct ring) + capacity * MSG_SLOT_BYTES : 0;
}

static int check_memory(const void *mem, struct error *err)
{
    if (!mem)
        return error_set(err, "ring: no memory: expected the address of a mapped workspace");
    if ((uintptr_t)mem % RING_PAD_BYTES)
        return error_set(err, "ring at %p: expected an address aligned to %d bytes", mem, RING_PAD_BYTES);
    return 0;
}

static int check_capacity(uint64_t capacity, struct error *err)
{
    if (capacity_ok(capacity))
        return 0;
    return error_set(err, "ring of %llu slots: expected a power of two from %d to %d",
                     (unsigned long long)capacity, RING_CAPACITY_MIN, RING_CAPACITY_MAX);
}

struct ring *ring_new(void *mem, uint64_t capacity, uint64_t start, struct error *err)
{
    struct ring *r = mem;
    if (check_memory(mem, err) || check_capacity(capacity, err))
        return NULL;
    atomics_store_release_u64(&r->magic, 0);
    memset(r->slots, 0, capacity * MSG_SLOT_BYTES);
    r->capacity = capacity;
    memset(&r->producer, 0, sizeof r->producer);
    r->producer.tail = start;
    r->consumer.head = start;
    for (uint64_t pos = start; pos != start + capacity;
         pos++) /* nothing is ready: the phase of the lap before */
        r->slots[pos & (capacity - 1)].word = ring_phase(pos, phase_shift(capacity)) ^ RING_WORD_PHASE;
    atomics_store_release_u64(&r->magic, RING_MAGIC);
    return r;
}

struct ring *ring_join(void *mem, size_t bytes, struct error *err)
{
    struct ring *r = mem;
    if (check_memory(mem, err))
        return NULL;
    if (bytes < sizeof *r) {
        error_set(err, "ring at %p: %zu bytes, expected at least %zu", mem, bytes, sizeof *r);
        return NULL;
    }
    uint64_t magic = atomics_load_acquire_u64(&r->magic);
    if (magic != RING_MAGIC) {
        error_set(
            err,
            "ring at %p: magic %016llx, expected %016llx: the workspace is not ready, or of another version",
            mem, (unsigned long long)magic, (unsigned long long)RING_MAGIC);
        return NULL;
    }
    if (check_capacity(r->capacity, err))
        return NULL;
    if (ring_footprint(r->capacity) > bytes) {
        error_set(err, "ring at %p: its %llu slots take %zu bytes, expected at most %zu", mem,
                  (unsigned long long)r->capacity, ring_footprint(r->capacity), bytes);
        return NULL;
    }
    return r;
}

void *ring_leave(struct ring *r)
{
    return r;
}

/* Walks the published records from head: the position after the last one. The consumer may be releasing
 * meanwhile, but only the producer changes slots, and that is us. */
static int find_tail(const struct ring *r, uint64_t *tail, struct error *err)
{
    uint64_t head = atomics_load_acquire_u64(&r->consumer.head), pos = head;
    for (;;) {
        RING_HOOK(find_tail);
        uint64_t word = atomics_load_acquire_u64(&r->slots[pos & (r->capacity - 1)].word);
        if (pos - head == r->capacity || !begins(word, ring_phase(pos, phase_shift(r->capacity))))
            break;
        pos += record_slots(word);
        if (record_slots(word) > MSG_SLOTS_MAX || pos - head > r->capacity)
            return error_set(
                err,
                "ring at %p: a record of %u slots at position %llu, expected at most %d within %llu: "
                "the workspace is damaged; stop all processes and remove it",
                (const void *)r, record_slots(word), (unsigned long long)(pos - record_slots(word)),
                MSG_SLOTS_MAX, (unsigned long long)r->capacity);
    }
    *tail = pos;
    return 0;
}

int ring_producer_join(struct ring_producer *p, struct ring *r, struct error *err)
{
    uint64_t tail = 0;
    if (find_tail(r, &tail, err))
        return -1;
    *p = (struct ring_producer){
        .ring = r,
        .mask = r->capacity - 1,
        .tail = tail,
        .head = atomics_load_acquire_u64(&r->consumer.head),
        .sample_at = tail,
        .stalled_at = tail - 1,
        .phase_shift = phase_shift(r->capacity),
    };
    ring_publish(p);
    return 0;
}

void ring_consumer_join(struct ring_consumer *c, struct ring *r)
{
    *c = (struct ring_consumer){
        .ring = r,
        .mask = r->capacity - 1,
        .head = atomics_load_acquire_u64(&r->consumer.head),
        .phase_shift = phase_shift(r->capacity),
    };
}

/* Reads head rarely enough that the consumer's line stays with the consumer. */
void ring_sample(struct ring_producer *p)
{
    struct ring *r = p->ring;
    RING_HOOK(sample);
    p->head = atomics_load_acquire_u64(&r->consumer.head);
    p->sample_at = p->tail + r->capacity / 16;
    if (p->tail - p->head > r->producer.high_water)
        atomics_store_relaxed_u64(&r->producer.high_water, p->tail - p->head);
}

static void count_stall(struct ring_producer *p)
{
    struct ring *r = p->ring;
    if (p->stalled_at == p->tail) /* still the same one, tried again */
        return;
    p->stalled_at = p->tail;
    atomics_store_relaxed_u64(&r->producer.stalls, r->producer.stalls + 1);
    if (p->tail - p->head > r->producer.high_water)
        atomics_store_relaxed_u64(&r->producer.high_water, p->tail - p->head);
}

uint64_t ring_room(struct ring_producer *p, uint64_t want)
{
    uint64_t capacity = p->mask + 1;
    if (capacity - (p->tail - p->head) < want) {
        RING_HOOK(read_head);
        p->head = atomics_load_acquire_u64(&p->ring->consumer.head);
    }
    return capacity - (p->tail - p->head);
}

bool ring_full(struct ring_producer *p)
{
    if (ring_room(p, 1))
        return false;
    count_stall(p);
    return true;
}

/* Slot `pos` gets all of *m, its word last. */
static inline void put_slot(struct ring_producer *p, uint64_t pos, const struct msg *m)
{
    struct msg *slot = &p->ring->slots[pos & p->mask];
    RING_HOOK(put_slot);
    slot->seq = m->seq;
    RING_HOOK(put_body);
    memcpy(slot->body, m->body, sizeof slot->body);
    RING_HOOK(put_word);
    atomics_store_release_u64(&slot->word, (m->word & ~RING_WORD_PHASE) | ring_phase(pos, p->phase_shift));
}

uint32_t ring_put_n(struct ring_producer *p, const struct msg *m, uint32_t n)
{
    uint64_t room = ring_room(p, n);
    uint32_t i = 0;
    while (i < n) {
        uint32_t slots = msg_slot_count(&m[i]);
        assert(slots <= MSG_SLOTS_MAX && slots <= n - i && !(m[i].flags & MSG_F_CONT));
        if (slots > room - i) {
            count_stall(p);
            break;
        }
        for (uint32_t s = slots - 1; s > 0; s--) {
            assert(m[i + s].flags &
                   MSG_F_CONT); /* or a crash before the first slot would leave a false record */
            put_slot(p, p->tail + s, &m[i + s]);
        }
        put_slot(p, p->tail, &m[i]);
        p->tail += slots;
        i += slots;
    }
    ring_publish(p);
    return i;
}

int ring_put(struct ring_producer *p, const struct msg *record)
{
    return ring_put_n(p, record, msg_slot_count(record)) ? 0 : RING_FULL;
}

/* Copies the record of `slots` slots at head, which goes on at the ring's start, to one piece. */
static const struct msg *bounce(struct ring_consumer *c, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++) {
        RING_HOOK(bounce);
        c->bounce[i] = c->ring->slots[(c->head + i) & c->mask];
    }
    return c->bounce;
}

/* True if eight records of one slot each are ready. The words are read in order: a later one is only as fresh
 * as an earlier one allows. */
static inline bool eight_ready(const struct msg *m, uint64_t phase)
{
    uint64_t differ = 0;
    for (int i = 0; i < 8; i++) {
        RING_HOOK(peek_word);
        differ |= atomics_load_acquire_u64(&m[i].word) ^ phase;
    }
    return (differ & RING_WORD_FRAME) == 0;
}

const struct msg *ring_peek(struct ring_consumer *c, uint32_t *n)
{
    const struct msg *m = &c->ring->slots[c->head & c->mask];
    const uint64_t phase = ring_phase(c->head, c->phase_shift), to_end = c->mask + 1 - (c->head & c->mask);
    const uint64_t limit = c->idle ? 1 : to_end < RING_SPAN_MAX ? to_end : RING_SPAN_MAX;
    uint64_t i = 0;
    while (i < limit) {
        RING_HOOK(peek_record);
        uint64_t word = atomics_load_acquire_u64(&m[i].word);
        if (!begins(word, phase))
            break;
        uint32_t slots = record_slots(word);
        assert(slots <= MSG_SLOTS_MAX);
        if (slots > to_end - i) {
            if (i == 0)
                m = bounce(c, i = slots);
            break;
        }
        i += slots;
        while (i + 8 <= limit && eight_ready(&m[i], phase))
            i += 8;
    }
    /* Who waited for this record gets it at once: a look at the next slot is a cache miss. */
    c->idle = i == 0;
    c->peeked = *n = (uint32_t)i;
    return i ? m : NULL;
}

void ring_advance(struct ring_consumer *c, uint32_t n)
{
    assert(n <= c->peeked);
    c->head += n;
    c->peeked -= n;
}

void ring_release(struct ring_consumer *c, uint32_t n)
{
    ring_advance(c, n);
    RING_HOOK(release);
    atomics_store_release_u64(&c->ring->consumer.head, c->head);
}

uint64_t ring_occupancy(const struct ring *r)
{
    uint64_t head = atomics_load_acquire_u64(&r->consumer.head), tail, before;
    int tries = 16;
    do {
        before = head;
        RING_HOOK(observe);
        tail = atomics_load_acquire_u64(&r->producer.tail);
        head = atomics_load_acquire_u64(&r->consumer.head);
    } while (head != before && --tries);
    /* A consumer may be ahead of a tail that is published once per batch. */
    if ((int64_t)(tail - head) < 0)
        return 0;
    return tail - head < r->capacity ? tail - head : r->capacity;
}
