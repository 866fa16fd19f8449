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
    ring_publish(p, 0);
    return 0;
}

uint64_t ring_last_seq(const struct ring_producer *p)
{
    return p->ring->slots[(p->tail - 1) & p->mask].seq;
}

void ring_seed(struct ring_producer *p, uint64_t seq)
{
    struct msg *last = &p->ring->slots[(p->tail - 1) & p->mask];
    assert(last->word == 0 &&
           last->seq == 0); /* its phase says that it is not ready, to producer and consumer */
    last->seq = seq;
}

bool ring_is_released(const struct ring_producer *p, uint64_t position)
{
    return (int64_t)(atomics_load_acquire_u64(&p->ring->consumer.head) - position) >= 0;
}

uint64_t ring_released_seq(const struct ring_consumer *c)
{
    return c->ring->slots[(c->head - 1) & c->mask].seq;
}

void ring_consumer_join(struct ring_consumer *c, struct ring *r)
{
    uint64_t head = atomics_load_acquire_u64(&r->consumer.head);
    *c = (struct ring_consumer){
        .ring = r,
        .mask = r->capacity - 1,
        .head = head,
        .ready = head,
        .patience = RING_PATIENCE_MIN,
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

typedef uint64_t half_line __attribute__((vector_size(32), may_alias, aligned(8)));
typedef uint64_t quarter_line __attribute__((vector_size(16), may_alias, aligned(8)));

/* The slot gets all of *m, its word last. */
static inline void put_slot(struct msg *slot, const struct msg *m, uint64_t word)
{
    RING_HOOK(put_slot);
    ((half_line *)slot)[1] = ((const half_line *)m)[1];
    RING_HOOK(put_body);
    ((quarter_line *)slot)[1] = ((const quarter_line *)m)[1];
    slot->seq = m->seq;
    RING_HOOK(put_word);
    atomics_store_release_u64(&slot->word, word);
}

/* Puts what m[0..n) begins with of messages of one slot, no further than the ring's end. Returns how many. */
static uint32_t put_singles(struct ring_producer *p, const struct msg *m, uint32_t n)
{
    const uint64_t phase = ring_phase(p->tail, p->phase_shift), to_end = p->mask + 1 - (p->tail & p->mask);
    struct msg *slots = &p->ring->slots[p->tail & p->mask];
    uint32_t i = 0;
    for (n = n < to_end ? n : (uint32_t)to_end; i < n; i++) {
        uint64_t word = m[i].word & ~RING_WORD_PHASE;
        if (word & RING_WORD_FRAME)
            break;
        put_slot(&slots[i], &m[i], word | phase);
    }
    return i;
}

/* Puts the record that m begins with, its first slot last. Returns its slots, 0 if they do not fit. */
static uint32_t put_record(struct ring_producer *p, const struct msg *m, uint32_t n, uint64_t room)
{
    const uint32_t slots = msg_slot_count(m);
    assert(slots <= MSG_SLOTS_MAX && slots <= n);
    if (slots > room)
        return 0;
    for (uint32_t i = slots; i-- > 0;) {
        uint64_t pos = p->tail + i, word = m[i].word & ~RING_WORD_PHASE;
        /* Without the flag, what we leave half written could pass for a record. */
        assert(!(word & RING_WORD_CONT) == (i == 0));
        put_slot(&p->ring->slots[pos & p->mask], &m[i], word | ring_phase(pos, p->phase_shift));
    }
    return slots;
}

uint32_t ring_put_n(struct ring_producer *p, const struct msg *m, uint32_t n)
{
    const uint64_t room = ring_room(p, n);
    for (uint32_t i = 0, put; i < n; i += put) {
        uint64_t most = room - i < RING_BATCH ? room - i : RING_BATCH;
        put = put_singles(p, &m[i], n - i < most ? n - i : (uint32_t)most);
        if (!put)
            put = put_record(p, &m[i], n - i, room - i);
        if (!put) {
            count_stall(p);
            return i;
        }
        ring_publish(p, put);
    }
    return n;
}

int ring_put(struct ring_producer *p, const struct msg *record)
{
    return ring_put_n(p, record, msg_slot_count(record)) ? 0 : RING_FULL;
}

/* Looks for records beyond those that are known to be ready. */
static bool look(struct ring_consumer *c)
{
    if (c->waited < c->patience) {
        RING_HOOK(look_tail);
        uint64_t tail = atomics_load_acquire_u64(&c->ring->producer.tail);
        if ((int64_t)(tail - c->head) > 0) {
            c->ready = tail;
            c->waited = 0;
            c->patience = c->patience < RING_PATIENCE_MAX ? 2 * c->patience : RING_PATIENCE_MAX;
            return true;
        }
        if (++c->waited < c->patience)
            return false;
        c->patience = c->patience > RING_PATIENCE_MIN ? c->patience / 2 : RING_PATIENCE_MIN;
    }
    RING_HOOK(look_word);
    uint64_t word = atomics_load_acquire_u64(&c->ring->slots[c->head & c->mask].word);
    if (!begins(word, ring_phase(c->head, c->phase_shift)))
        return false;
    assert(record_slots(word) <= MSG_SLOTS_MAX);
    c->ready = c->head + record_slots(word);
    c->waited = 0;
    return true;
}

static bool continues(const struct ring_consumer *c, uint64_t pos)
{
    return c->ring->slots[pos & c->mask].flags & MSG_F_CONT;
}

/* The record at head, which goes on at the ring's start, in one piece. Returns its slots. */
static uint32_t bounce(struct ring_consumer *c)
{
    uint32_t n = msg_slot_count(&c->ring->slots[c->head & c->mask]);
    assert(n <= MSG_SLOTS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        RING_HOOK(bounce);
        c->bounce[i] = c->ring->slots[(c->head + i) & c->mask];
    }
    return n;
}

const struct msg *ring_peek(struct ring_consumer *c, uint32_t *n)
{
    const uint64_t head = c->head, to_end = c->mask + 1 - (head & c->mask);
    c->peeked = *n = 0;
    if (c->ready == head && !look(c))
        return NULL;
    const uint64_t ready = c->ready - head;
    uint64_t i = ready < RING_SPAN_MAX ? ready : RING_SPAN_MAX;
    while (i < ready && continues(c, head + i))
        i++;
    if (i > to_end)
        for (i = to_end; i > 0 && continues(c, head + i); i--)
            ;
    if (i == 0) {
        c->peeked = *n = bounce(c);
        return c->bounce;
    }
    c->peeked = *n = (uint32_t)i;
    return &c->ring->slots[head & c->mask];
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
