/* The journal's codec gives back each bit of each message, takes ten bytes or so for a tick, and survives any
 * input. `test_journal_codec SEED` repeats a run. */
#include "net/journal_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

static uint64_t seed = 1;

static uint64_t next_random(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    return next_random() % n;
}

/* Any 64 bits, of any length, often an extreme or a round number. */
static uint64_t wild(void)
{
    static const uint64_t extremes[] = {0,          1,         100, 10000000, INT64_MAX, (uint64_t)INT64_MIN,
                                        UINT64_MAX, 0xffffffff};
    uint64_t r = next_random() >> below(64);
    switch (below(6)) {
    case 0:
        return extremes[below(sizeof extremes / sizeof *extremes)];
    case 1:
        return r * 10000000;
    case 2:
        return -r;
    default:
        return r;
    }
}

enum { SLOTS = 20000, PAYLOAD_BYTES = SLOTS * 80 + 4096 };
static struct msg in[SLOTS], out[SLOTS];
static uint8_t payload[PAYLOAD_BYTES + CODEC_SLACK_BYTES];
static struct codec_encoder encoder;
static struct codec_decoder decoder;

static size_t encode_all(size_t n)
{
    size_t used = 0;
    codec_encode_begin(&encoder, in[0].seq);
    assert_int_equal(codec_encode(&encoder, in, n, payload, PAYLOAD_BYTES, &used), n);
    return used;
}

/* Decodes in pieces of random size and compares; the ring's phase bit is all that may be lost. */
static void check_decoded(size_t n, size_t bytes)
{
    size_t got = 0;
    int64_t r;
    codec_decode_begin(&decoder, in[0].seq, payload, bytes);
    while ((r = codec_decode(&decoder, out + got,
                             MSG_SLOTS_MAX + below(100) < SLOTS - got ? 100 : SLOTS - got)) > 0)
        got += (size_t)r;
    assert_int_equal(r, 0);
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++) {
        in[i].flags &= (uint16_t)~MSG_F_PHASE;
        if (memcmp(&in[i], &out[i], sizeof in[i]))
            fail_msg("slot %zu (%s, seq %llu) is not what it was", i, msg_type_name(in[i].type),
                     (unsigned long long)in[i].seq);
    }
}

/* One record with every field wild. Returns its slots. */
static uint32_t wild_record(struct msg *m, uint64_t *seq)
{
    static const enum msg_type types[] = {MSG_TRADE,  MSG_TRADE, MSG_QUOTE,  MSG_QUOTE, MSG_CLOCK,
                                          MSG_SYMBOL, MSG_RULE,  MSG_CANCEL, MSG_END,   MSG_ALERT};
    enum msg_type type = types[below(sizeof types / sizeof *types)];
    bool multi = type > MSG_CLOCK || below(50) == 0;
    size_t bytes = multi ? below(MSG_PAYLOAD_MAX + 1) : MSG_FIRST_BYTES;
    uint32_t slots = msg_begin(m, type, (uint32_t)(below(2) ? below(5000) : wild()), bytes);
    assert_true(slots > 0);
    *seq += below(20) ? 1 : 1 + (wild() >> 8);
    m->event_ns = (int64_t)wild();
    m->recv_ns = below(2) ? m->event_ns : (int64_t)wild();
    if (type != MSG_CLOCK || below(10) == 0) {
        m->venue = (uint8_t)below(below(2) ? 4 : 256);
        m->flags |= (uint16_t)(below(3) ? 0 : below(256));
        for (size_t at = 0; at < bytes; at += 8) {
            uint64_t v = wild();
            msg_put(m, at, &v, bytes - at < 8 ? bytes - at : 8);
        }
    } else {
        m->symbol %= BUCKET_COUNT;
    }
    if (type == MSG_TRADE && !multi) {
        memset(m->trade.cond, (int)below(3), 4);
        memset(m->trade.pad, below(20) ? 0 : 1, 3);
    }
    if (below(2))
        for (uint32_t i = 0; i < slots; i++)
            m[i].flags |= MSG_F_PHASE;
    for (uint32_t i = 1; i < slots; i++)
        m[i].word = m->word | (uint64_t)MSG_F_CONT << 48;
    msg_set_seq(m, *seq);
    return slots;
}

static void any_message_comes_back(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        uint64_t seq = round % 4 == 0 ? UINT64_MAX - (UINT64_C(1) << 62) : below(1000);
        size_t n = 0;
        while (n + MSG_SLOTS_MAX <= 2000)
            n += wild_record(in + n, &seq);
        check_decoded(n, encode_all(n));
    }
}

/* A market as it is: cents, round lots, times in ms or in ns, trade ids that count or hash. */
static size_t market(size_t n, bool live)
{
    int64_t price[500], now = INT64_C(1700000000000000000);
    for (int i = 0; i < 500; i++)
        price[i] = (int64_t)(1 + below(50000)) * 10000000;
    memset(in, 0, n * sizeof *in);
    for (size_t i = 0; i < n; i++) {
        struct msg *m = &in[i];
        uint32_t s = (uint32_t)below(500);
        price[s] += ((int64_t)below(5) - 2) * 10000000;
        now += live ? (int64_t)below(200000) : below(4) == 0 ? 1000000 : 0;
        m->seq = i + 1;
        m->symbol = s;
        m->venue = "ABCDJKPQZ"[below(9)];
        m->event_ns = now;
        m->recv_ns = live ? now + 1000000 + (int64_t)below(100000) : now;
        if (live && below(2)) {
            m->type = MSG_QUOTE;
            m->quote = (struct msg_quote){price[s] - 10000000, price[s] + 10000000, 100 * below(20),
                                          100 * below(20)};
            continue;
        }
        m->type = MSG_TRADE;
        m->trade.price_e9 = price[s];
        m->trade.size = 1 + below(300);
        m->trade.trade_id = live ? i * 7 : 0;
        m->trade.cond[0] = "@FI"[below(3)];
        m->trade.tape = 'A' + (uint8_t)(s % 3);
    }
    return n;
}

static void ticks_are_small(void **state)
{
    (void)state;
    size_t n = market(SLOTS, false), bytes = encode_all(n);
    check_decoded(n, bytes);
    print_message("from a file: %.2f bytes per message\n", (double)bytes / (double)n);
    assert_true(bytes < 11 * n);
    n = market(SLOTS, true);
    bytes = encode_all(n);
    check_decoded(n, bytes);
    print_message("live: %.2f bytes per message\n", (double)bytes / (double)n);
    assert_true(bytes < 20 * n);
}

static void summary_says_what_is_in_it(void **state)
{
    (void)state;
    size_t n = market(1000, true), used = 0;
    in[500].event_ns = 7;
    in[501].event_ns = INT64_MAX;
    n += msg_begin(&in[n], MSG_HISTORY_BAR, 1, 48);
    in[n - 1].event_ns = in[n - 2].event_ns = 1; /* a bar from before says nothing of the stream's time */
    msg_set_seq(&in[n - 2], 1001);
    codec_encode_begin(&encoder, 1);
    assert_int_equal(codec_encode(&encoder, in, 600, payload, PAYLOAD_BYTES, &used), 600);
    assert_int_equal(codec_encode(&encoder, in + 600, n - 600, payload, PAYLOAD_BYTES, &used), n - 600);
    struct codec_summary sum = codec_summary_none;
    codec_summarise(&sum, in, n);
    assert_memory_equal(&sum, &encoder.summary, sizeof sum);
    assert_int_equal(sum.records, 1001);
    assert_int_equal(sum.slots, 1002);
    assert_int_equal(sum.last_seq, 1001);
    assert_int_equal(sum.min_event_ns, 7);
    assert_int_equal(sum.max_event_ns, INT64_MAX);
}

static void a_full_block_takes_what_fits(void **state)
{
    (void)state;
    size_t n = market(2000, false), done = 0, blocks = 0;
    while (done < n) {
        size_t used = 0;
        codec_encode_begin(&encoder, in[done].seq);
        size_t k = codec_encode(&encoder, in + done, n - done, payload, 4096, &used);
        assert_true(k > 0 && used <= 4096);
        codec_decode_begin(&decoder, in[done].seq, payload, used);
        assert_int_equal(codec_decode(&decoder, out, SLOTS), k);
        assert_memory_equal(out, in + done, k * sizeof *in);
        done += k;
        blocks++;
    }
    assert_true(blocks > 3);
}

/* In a copy of exactly the size, so that a sanitizer sees each byte read too far. */
static void decode_hostile(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = calloc(1, n + CODEC_SLACK_BYTES);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    codec_decode_begin(&decoder, 1, copy, n);
    int64_t r;
    while ((r = codec_decode(&decoder, out, 50)) > 0)
        for (int64_t i = 0; i < r; i += msg_slot_count(&out[i]))
            assert_true(msg_valid(&out[i], (size_t)(r - i)) && !(out[i].flags & MSG_F_PHASE));
    assert_true(r == 0 || r == CODEC_CORRUPT);
    free(copy);
}

static void any_bytes_are_survived(void **state)
{
    (void)state;
    uint64_t seq = 0;
    size_t n = 0;
    while (n + MSG_SLOTS_MAX <= 200)
        n += wild_record(in + n, &seq);
    size_t bytes = encode_all(n);
    for (int round = 0; round < 2000; round++) {
        static uint8_t mutant[PAYLOAD_BYTES];
        memcpy(mutant, payload, bytes);
        for (uint64_t k = 1 + below(4); k; k--)
            mutant[below(bytes)] = (uint8_t)next_random();
        decode_hostile(mutant, below(8) ? bytes : below(bytes));
        for (size_t i = 0; i < 300; i++)
            mutant[i] = (uint8_t)next_random();
        decode_hostile(mutant, below(300));
    }
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_message_comes_back),     cmocka_unit_test(ticks_are_small),
        cmocka_unit_test(summary_says_what_is_in_it), cmocka_unit_test(a_full_block_takes_what_fits),
        cmocka_unit_test(any_bytes_are_survived),
    };
    return cmocka_run_group_tests_name("journal_codec", tests, NULL, NULL);
}
