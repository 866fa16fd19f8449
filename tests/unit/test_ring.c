/* The ring against a model of it. `test_ring SEED` runs the random part with another seed. */
#include "shm/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CAPACITY = 64 };
static uint64_t seed = 1;
static const uint64_t starts[] = {0, 63, UINT64_MAX, UINT64_MAX - 100, 0 - UINT64_C(64), UINT64_MAX / 2 - 5};
enum { STARTS = sizeof starts / sizeof *starts };

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* Every byte of a record depends on its number and its place. */
static uint32_t make_record(struct msg *m, uint64_t number, uint32_t slots)
{
    size_t bytes = slots == 1 ? 8 : MSG_FIRST_BYTES + (slots - 1) * MSG_CONT_BYTES;
    uint8_t payload[MSG_PAYLOAD_MAX];
    assert_int_equal(msg_begin(m, MSG_RULE, (uint32_t)number, bytes), slots);
    for (size_t i = 0; i < bytes; i++)
        payload[i] = (uint8_t)(number * 31 + i);
    msg_put(m, 0, payload, bytes);
    msg_set_seq(m, number);
    return slots;
}

static void check_record(const struct msg *m, uint64_t number, uint32_t slots)
{
    struct msg want[MSG_SLOTS_MAX];
    make_record(want, number, slots);
    for (uint32_t i = 0; i < slots; i++) {
        struct msg got = m[i];
        got.flags &= (uint16_t)~MSG_F_PHASE;
        assert_memory_equal(&got, &want[i], sizeof got);
    }
}

struct fixture {
    struct ring *ring;
    struct ring_producer p;
    struct ring_consumer c;
};

static void open_ring(struct fixture *f, uint64_t start)
{
    struct error err;
    void *mem = aligned_alloc(ring_align(), ring_footprint(CAPACITY));
    memset(mem, 0xee, ring_footprint(CAPACITY));
    assert_non_null(f->ring = ring_new(mem, CAPACITY, start, &err));
    assert_ptr_equal(ring_join(mem, ring_footprint(CAPACITY), &err), f->ring);
    assert_int_equal(ring_producer_join(&f->p, f->ring, &err), 0);
    ring_consumer_join(&f->c, f->ring);
}

static void close_ring(struct fixture *f)
{
    free(ring_leave(f->ring));
}

static void new_ring_is_empty_and_full_is_a_return_code(void **state)
{
    (void)state;
    for (int s = 0; s < STARTS; s++) {
        struct fixture f;
        struct msg m[CAPACITY + 1];
        uint32_t n;
        open_ring(&f, starts[s]);
        assert_null(ring_peek(&f.c, &n));
        assert_int_equal(n, 0);
        assert_int_equal(ring_occupancy(f.ring), 0);
        for (uint32_t i = 0; i <= CAPACITY; i++)
            make_record(&m[i], i, 1);
        assert_int_equal(ring_put_n(&f.p, m, CAPACITY + 1), CAPACITY);
        assert_int_equal(ring_put(&f.p, m), RING_FULL);
        assert_int_equal(ring_claim(&f.p, 1).n, 0);
        assert_int_equal(ring_occupancy(f.ring), CAPACITY);
        assert_int_equal(ring_stalls(f.ring), 1);
        assert_int_equal(ring_high_water(f.ring), CAPACITY);
        for (uint32_t got = 0; got < CAPACITY; got += n) {
            const struct msg *span = ring_peek(&f.c, &n);
            assert_non_null(span);
            for (uint32_t i = 0; i < n; i++)
                check_record(&span[i], got + i, 1);
            ring_release(&f.c, n);
        }
        assert_null(ring_peek(&f.c, &n));
        assert_int_equal(ring_occupancy(f.ring), 0);
        assert_int_equal(ring_put(&f.p, m), 0);
        close_ring(&f);
    }
}

static void records_of_any_length_cross_the_end_at_any_place(void **state)
{
    (void)state;
    for (int s = 0; s < STARTS; s++) {
        for (uint32_t slots = 1; slots <= MSG_SLOTS_MAX; slots++) {
            struct fixture f;
            struct msg m[MSG_SLOTS_MAX];
            open_ring(&f, starts[s]);
            /* One slot more of the shorter record each time round moves the long one over every place. */
            for (uint64_t number = 0; number < 2 * CAPACITY; number++) {
                uint32_t n, length = number % 2 ? slots : 1;
                make_record(m, number, length);
                assert_int_equal(ring_put(&f.p, m), 0);
                assert_int_equal(ring_occupancy(f.ring), length);
                const struct msg *span = ring_peek(&f.c, &n);
                assert_int_equal(n, length);
                check_record(span, number, length);
                for (uint32_t i = 0; i < length;
                     i++) /* or a slot of this lap could be taken for one of the next */
                    assert_int_equal(f.ring->slots[(f.c.head + i) % CAPACITY].flags & MSG_F_PHASE,
                                     (f.c.head + i) / CAPACITY % 2 ? 0 : MSG_F_PHASE);
                ring_release(&f.c, n);
            }
            close_ring(&f);
        }
    }
}

static void a_record_that_does_not_fit_leaves_no_trace(void **state)
{
    (void)state;
    struct fixture f;
    struct msg m[MSG_SLOTS_MAX];
    open_ring(&f, 5);
    for (uint64_t number = 0; number < 3; number++) {
        make_record(m, number, 16);
        assert_int_equal(ring_put(&f.p, m), 0);
    }
    make_record(m, 3, 15);
    assert_int_equal(ring_put(&f.p, m), 0);
    make_record(m, 4, 2); /* 63 of 64 are taken */
    assert_int_equal(ring_put(&f.p, m), RING_FULL);
    assert_int_equal(ring_occupancy(f.ring), 63);
    make_record(m, 4, 1);
    assert_int_equal(ring_put(&f.p, m), 0);
    assert_int_equal(ring_occupancy(f.ring), 64);
    close_ring(&f);
}

/* A message that is committed and not published is awaited in its slot. */
static const struct msg *peek_patiently(struct ring_consumer *c, uint32_t *n)
{
    const struct msg *m = NULL;
    for (int looks = 0; looks < RING_PATIENCE_MAX && !m; looks++)
        m = ring_peek(c, n);
    return m;
}

static void in_place_messages_and_claims_that_are_dropped(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t n;
    open_ring(&f, UINT64_MAX - 10);
    for (uint64_t number = 0; number < 3000;) {
        struct ring_span s = ring_claim(&f.p, 1 + (uint32_t)(number % 7));
        assert_in_range(s.n, 1, 1 + number % 7);
        memset(s.slots->body, 0xaa, sizeof s.slots->body);
        if (number % 50 == 0)
            assert_null(peek_patiently(&f.c, &n));
        assert_ptr_equal(ring_claim(&f.p, 1).slots, s.slots); /* nothing has happened yet */
        for (uint32_t i = 0; i < s.n; i++) {
            struct msg m;
            make_record(&m, number + i, 1);
            s.slots[i].seq = m.seq;
            memcpy(s.slots[i].body, m.body, sizeof m.body);
            ring_commit(&s, i, m.word);
        }
        assert_int_equal(ring_occupancy(f.ring), 0); /* not published yet */
        const struct msg *m = peek_patiently(&f.c, &n);
        assert_int_equal(n, 1); /* by its slot */
        check_record(m, number, 1);
        ring_release(&f.c, 1);
        assert_int_equal(ring_occupancy(f.ring), 0); /* head is ahead of tail */
        ring_publish(&f.p, s.n);
        assert_int_equal(ring_occupancy(f.ring), s.n - 1);
        for (uint32_t got = 1; got < s.n; got += n) {
            m = ring_peek(&f.c, &n);
            assert_int_equal(n, s.n - got); /* all that is published */
            for (uint32_t i = 0; i < n; i++)
                check_record(&m[i], number + got + i, 1);
            ring_release(&f.c, n);
        }
        number += s.n;
    }
    close_ring(&f);
}

static void a_claim_ends_where_the_ring_or_its_room_does(void **state)
{
    (void)state;
    struct fixture f;
    struct msg m[CAPACITY];
    open_ring(&f, 60);
    assert_int_equal(ring_claim(&f.p, 10).n, 4);
    for (uint32_t i = 0; i < CAPACITY; i++)
        make_record(&m[i], i, 1);
    assert_int_equal(ring_put_n(&f.p, m, CAPACITY - 3), CAPACITY - 3);
    assert_int_equal(ring_claim(&f.p, 10).n, 3);
    assert_int_equal(ring_stalls(f.ring), 0);
    assert_int_equal(ring_put_n(&f.p, m, 3), 3);
    assert_int_equal(ring_claim(&f.p, 10).n, 0);
    assert_int_equal(ring_claim(&f.p, 1).n, 0);
    assert_int_equal(ring_stalls(f.ring), 1);
    close_ring(&f);
}

static void what_is_not_released_comes_again(void **state)
{
    (void)state;
    struct fixture f;
    struct msg m[4];
    uint32_t n;
    open_ring(&f, 0);
    make_record(&m[0], 0, 1);
    make_record(&m[1], 1, 2);
    make_record(&m[3], 3, 1);
    assert_int_equal(ring_put_n(&f.p, m, 4), 4);
    const struct msg *span = ring_peek(&f.c, &n);
    assert_int_equal(n, 4);
    ring_release(&f.c, 1);
    ring_consumer_join(&f.c, f.ring);
    span = ring_peek(&f.c, &n);
    assert_int_equal(n, 3);
    check_record(span, 1, 2);
    check_record(span + 2, 3, 1);
    ring_release(&f.c, 2);
    ring_release(&f.c, 1);
    assert_null(ring_peek(&f.c, &n));
    close_ring(&f);
}

static void advancing_gives_nothing_back(void **state)
{
    (void)state;
    struct fixture f;
    struct msg m[CAPACITY];
    uint32_t n;
    open_ring(&f, UINT64_MAX - 20);
    for (uint32_t i = 0; i < CAPACITY; i++)
        make_record(&m[i], i, 1);
    assert_int_equal(ring_put_n(&f.p, m, CAPACITY), CAPACITY);
    for (uint32_t got = 0; got < CAPACITY; got += n) {
        check_record(ring_peek(&f.c, &n), got, 1);
        ring_advance(&f.c, n);
    }
    assert_null(peek_patiently(&f.c, &n)); /* not the first lap once more */
    assert_int_equal(ring_put(&f.p, m), RING_FULL);
    assert_int_equal(ring_occupancy(f.ring), CAPACITY);
    ring_release(&f.c, 0);
    assert_int_equal(ring_occupancy(f.ring), 0);
    assert_int_equal(ring_put(&f.p, m), 0);
    close_ring(&f);
}

/* A span ends after RING_SPAN_MAX slots, or with the record that lies across that place. */
static void a_long_backlog_comes_in_spans(void **state)
{
    (void)state;
    enum { LARGE = 4 * RING_SPAN_MAX, LONG = 15 }; /* no divisor of a span */
    struct ring_producer p;
    struct ring_consumer c;
    struct error err;
    void *mem = aligned_alloc(ring_align(), ring_footprint(LARGE));
    struct ring *r = ring_new(mem, LARGE, 0, &err);
    assert_int_equal(ring_producer_join(&p, r, &err), 0);
    ring_consumer_join(&c, r);
    for (uint32_t singles = 0; singles < 20; singles++) {
        struct msg m[MSG_SLOTS_MAX];
        uint64_t put = 0, got = 0;
        uint32_t n;
        for (int room = LARGE - MSG_SLOTS_MAX, slots; room > 0; room -= slots) {
            slots = put < singles ? 1 : LONG;
            make_record(m, put, (uint32_t)slots);
            assert_int_equal(ring_put(&p, m), 0);
            put++;
        }
        for (const struct msg *span; (span = ring_peek(&c, &n)); ring_release(&c, n)) {
            assert_true(n < RING_SPAN_MAX + MSG_SLOTS_MAX);
            for (uint32_t i = 0; i < n; got++) {
                check_record(&span[i], got, got < singles ? 1 : LONG);
                i += got < singles ? 1 : LONG;
            }
        }
        assert_int_equal(got, put);
    }
    free(ring_leave(r));
}

/* Bursts of records of any length, spans released in part, sides restarted: the model is two counters. */
static void random_traffic_matches_the_model(void **state)
{
    (void)state;
    uint8_t lengths[1 << 16];
    for (int s = 0; s < STARTS; s++) {
        struct fixture f;
        struct error err;
        uint64_t put = 0, got = 0, slots_in = 0;
        uint32_t pending = 0;
        open_ring(&f, starts[s] - 3000); /* so that traffic passes the wrap */
        for (int step = 0; step < 20000; step++) {
            struct msg m[4 * MSG_SLOTS_MAX];
            uint32_t n = 0, records = (uint32_t)(next_random() % 5), longest = next_random() % 4 ? 1 : 16;
            for (uint32_t i = 0; i < records; i++) {
                lengths[(put + i) & 0xffff] = (uint8_t)(1 + next_random() % longest);
                if (n + lengths[(put + i) & 0xffff] <= 4 * MSG_SLOTS_MAX)
                    n += make_record(&m[n], put + i, lengths[(put + i) & 0xffff]);
            }
            uint32_t taken = ring_put_n(&f.p, m, n), left = n - taken;
            for (slots_in += taken; taken; put++)
                taken -= lengths[put & 0xffff];
            if (left)
                assert_true(slots_in + lengths[put & 0xffff] > CAPACITY);
            assert_int_equal(ring_occupancy(f.ring), slots_in);
            if (next_random() % 50 == 0)
                assert_int_equal(ring_producer_join(&f.p, f.ring, &err), 0);
            if (next_random() % 50 == 0)
                ring_consumer_join(&f.c, f.ring);
            if (next_random() % 3 == 0)
                continue;
            const struct msg *span = ring_peek(&f.c, &pending);
            assert_true(pending ? span != NULL : span == NULL && slots_in == 0);
            for (uint32_t i = 0, length; i < pending && next_random() % 8; i += length, got++) {
                length = lengths[got & 0xffff];
                assert_in_range(got, 0, put - 1);
                assert_true(i + length <= pending);
                check_record(&span[i], got, length);
                ring_release(&f.c, length);
                slots_in -= length;
            }
        }
        assert_true(put > 10000 && got > put - CAPACITY - 1);
        close_ring(&f);
    }
}

static void the_high_water_mark_is_near_the_truth(void **state)
{
    (void)state;
    struct fixture f;
    struct msg m;
    uint32_t n;
    open_ring(&f, 0);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 40; i++) {
            make_record(&m, 0, 1);
            assert_int_equal(ring_put(&f.p, &m), 0);
        }
        while (ring_peek(&f.c, &n))
            ring_release(&f.c, n);
    }
    assert_in_range(ring_high_water(f.ring), 40 - CAPACITY / 16, 40);
    assert_int_equal(ring_stalls(f.ring), 0);
    close_ring(&f);
}

static void refuses(struct ring *r, const struct error *err, const char *word)
{
    assert_null(r);
    if (!strstr(err->text, word))
        fail_msg("expected '%s' in: %s", word, err->text);
}

static void new_and_join_refuse_what_is_no_ring(void **state)
{
    (void)state;
    struct error err;
    struct fixture f;
    struct msg m[CAPACITY] = {0};
    assert_int_equal(ring_footprint(0), 0);
    assert_int_equal(ring_footprint(32), 0);
    assert_int_equal(ring_footprint(100), 0);
    assert_int_equal(ring_footprint((uint64_t)RING_CAPACITY_MAX * 2), 0);
    size_t bytes = ring_footprint(CAPACITY);
    assert_int_equal(bytes % ring_align(), 0);

    open_ring(&f, 0);
    refuses(ring_new(NULL, CAPACITY, 0, &err), &err, "no memory");
    refuses(ring_new((char *)f.ring + 64, CAPACITY, 0, &err), &err, "aligned to 128");
    refuses(ring_new(f.ring, 100, 0, &err), &err, "ring of 100 slots: expected a power of two");
    refuses(ring_new(f.ring, 32, 0, &err), &err, "from 64");
    refuses(ring_join(NULL, bytes, &err), &err, "no memory");
    refuses(ring_join((char *)f.ring + 64, bytes, &err), &err, "aligned");
    refuses(ring_join(f.ring, bytes - 1, &err), &err, "64 slots");
    refuses(ring_join(f.ring, 16, &err), &err, "16 bytes");
    f.ring->capacity = 96;
    refuses(ring_join(f.ring, bytes, &err), &err, "ring of 96 slots");
    f.ring->capacity = CAPACITY;
    assert_non_null(ring_join(f.ring, bytes, &err));

    for (int i = 0; i < CAPACITY; i++)
        make_record(&m[i], 0, 1);
    assert_int_equal(ring_put_n(&f.p, m, 10), 10);
    f.ring->slots[7].flags |= 20 << MSG_MORE_SHIFT;
    assert_int_equal(ring_producer_join(&f.p, f.ring, &err), -1);
    assert_non_null(strstr(err.text, "a record of 21 slots at position 7"));

    f.ring->magic++;
    refuses(ring_join(f.ring, bytes, &err), &err, "magic");
    close_ring(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_ring_is_empty_and_full_is_a_return_code),
        cmocka_unit_test(records_of_any_length_cross_the_end_at_any_place),
        cmocka_unit_test(a_record_that_does_not_fit_leaves_no_trace),
        cmocka_unit_test(in_place_messages_and_claims_that_are_dropped),
        cmocka_unit_test(a_claim_ends_where_the_ring_or_its_room_does),
        cmocka_unit_test(advancing_gives_nothing_back),
        cmocka_unit_test(a_long_backlog_comes_in_spans),
        cmocka_unit_test(what_is_not_released_comes_again),
        cmocka_unit_test(random_traffic_matches_the_model),
        cmocka_unit_test(the_high_water_mark_is_near_the_truth),
        cmocka_unit_test(new_and_join_refuse_what_is_no_ring),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10) | 1;
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
