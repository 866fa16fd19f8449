/* Files of checkpoints: written by the thread, read back, torn anywhere, cut, of another journal, on a disk
 * that refuses them. */
#include "tests/unit/engine_harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/checkpoint.h"

static char dir[64] = "/tmp/checkpoint-XXXXXX";
static const uint8_t node[SEGMENT_ID_BYTES] = {1, 2, 3}, other_node[SEGMENT_ID_BYTES] = {9};

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int clear(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s/*", dir);
    return system(command);
}

static int remove_dir(void **state)
{
    return clear(state) || rmdir(dir);
}

static struct checkpoint_writer *start(uint32_t scanner)
{
    struct error err = {""};
    struct checkpoint_options o = {dir, node, scanner, engine_save_max(&bench_limits)};
    struct checkpoint_writer *w = checkpoint_start(&o, &err);
    assert_non_null(w);
    return w;
}

static void wait_ready(struct checkpoint_writer *w)
{
    while (!checkpoint_ready(w))
        usleep(1000);
}

/* Two symbols in buckets 3 and 5, and a rule. */
static void market(struct tape *t)
{
    put_rule(t, 0, &(struct rule_spec){.id = "r", .expr = "price > 10"});
    put_symbol(t, 0, "A", 3, 0, 0);
    put_symbol(t, 1, "B", 5, 0, 0);
    for (int i = 0; i < 40; i++)
        put_trade(t, i % 2, T0 + i * 20 * SEC, PX(9 + i % 5), 1);
    tape_stamp(t, 1);
}

/* A pass over the two buckets as of `seq`. */
static void write_pass(struct checkpoint_writer *w, struct bench *b, const struct tape *t, uint64_t seq,
                       uint32_t sole)
{
    wait_ready(w);
    if (checkpoint_anew(w)) {
        engine_save_anew(b->e);
        checkpoint_add_record(w, &t->slot[0]);
    }
    for (uint32_t bucket = 3; bucket <= 5; bucket += 2) {
        enum engine_piece piece;
        do {
            size_t max;
            void *room = checkpoint_room(w, &max);
            size_t n = engine_save(b->e, bucket, room, max, &piece);
            assert_true(n > 0);
            checkpoint_add_piece(w, bucket, piece, n, seq);
        } while (piece != ENGINE_PIECE_BUCKET);
    }
    assert_false(checkpoint_full(w));
    checkpoint_add_pass(w, seq, seq);
    assert_true(checkpoint_full(w));
    checkpoint_hand_over(w, sole);
    wait_ready(w);
}

/* Applies the tape in two halves with a pass after each: as of message 22 and 43. */
static void write_two(struct checkpoint_writer *w, struct tape *t)
{
    struct bench b;
    bench_open(&b, &bench_limits);
    market(t);
    struct tape first = {.slot = t->slot}, second;
    while (first.n < t->n && t->slot[first.n].seq <= 22)
        first.n += msg_slot_count(&t->slot[first.n]);
    second = (struct tape){.slot = t->slot + first.n, .n = t->n - first.n};
    bench_apply(&b, &first, 0);
    write_pass(w, &b, t, 22, 0);
    bench_apply(&b, &second, 0);
    write_pass(w, &b, t, 43, 0);
    bench_close(&b);
}

static void path_of(char path[128], uint32_t scanner, unsigned generation)
{
    snprintf(path, 128, "%s/%02u-%020u.rtc", dir, scanner, generation);
}

static void count_record(void *ctx, const struct msg *m)
{
    assert_int_equal(m->type, MSG_RULE);
    ++*(int *)ctx;
}

static void name_symbol(void *ctx, uint32_t id)
{
    *(uint32_t *)ctx = id;
}

static void assert_loads(uint64_t max_seq, uint64_t want)
{
    struct error note, err = {""};
    struct checkpoint_set *c = checkpoint_read(dir, node, max_seq, &note);
    if (want == 0) {
        assert_true(!c || checkpoint_bucket_seq(c, 3) == 0);
        checkpoint_free(c);
        return;
    }
    assert_non_null(c);
    assert_int_equal(checkpoint_bucket_seq(c, 3), want);
    assert_int_equal(checkpoint_bucket_seq(c, 4), 0);
    struct bench b;
    struct tape t = {0};
    int records = 0;
    uint32_t id = 99;
    bench_open(&b, &bench_limits);
    market(&t);
    checkpoint_records(c, 5, count_record, &records);
    assert_int_equal(records, 1);
    checkpoint_symbols(c, 5, name_symbol, &id);
    assert_int_equal(id, 1);
    assert_int_equal(engine_apply(b.e, t.slot, msg_slot_count(&t.slot[0]), &b.out),
                     msg_slot_count(&t.slot[0]));
    assert_int_equal(checkpoint_load(c, 3, b.e, &err), 0);
    assert_int_equal(checkpoint_load(c, 5, b.e, &err), 0);
    assert_int_equal(engine_view(b.e, 0).day_volume, (want - 3) / 2 + (want - 3) % 2);
    bench_close(&b);
    tape_free(&t);
    checkpoint_free(c);
}

static void test_round_trip(void **state)
{
    struct tape t = {0};
    struct checkpoint_state s;
    (void)state;
    struct checkpoint_writer *w = start(0);
    write_two(w, &t);
    checkpoint_get_state(w, &s);
    assert_int_equal(s.passes, 2);
    assert_int_equal(s.seq, 43);
    assert_int_equal(s.failures, 0);
    checkpoint_stop(w);
    assert_loads(UINT64_MAX, 43);
    assert_loads(43, 43);
    assert_loads(42, 22);
    assert_loads(21, 0);
    tape_free(&t);
}

static void test_generations(void **state)
{
    char path[128];
    struct bench b;
    struct tape t = {0};
    (void)state;
    struct checkpoint_writer *w = start(0);
    write_two(w, &t);
    checkpoint_stop(w);
    tape_free(&t);
    w = start(1);
    write_two(w, &t);
    checkpoint_stop(w);

    w = start(0); /* its second generation; with its pass the first one goes, and what scanner 1 had */
    bench_open(&b, &bench_limits);
    bench_apply(&b, &t, 0);
    write_pass(w, &b, &t, 50, 0);
    path_of(path, 0, 1);
    assert_int_equal(access(path, F_OK), 0);
    write_pass(w, &b, &t, 51, 1);
    assert_int_not_equal(access(path, F_OK), 0);
    path_of(path, 1, 1);
    assert_int_not_equal(access(path, F_OK), 0);
    path_of(path, 0, 2);
    assert_int_equal(access(path, F_OK), 0);
    checkpoint_stop(w);
    struct error note;
    struct checkpoint_set *c = checkpoint_read(dir, node, UINT64_MAX, &note);
    assert_int_equal(checkpoint_bucket_seq(c, 5), 51);
    checkpoint_free(c);
    bench_close(&b);
    tape_free(&t);
}

/* Torn at any byte, the file tells what is whole; a byte changed ends it there. */
static void test_torn(void **state)
{
    char path[128];
    struct tape t = {0};
    struct stat st;
    uint64_t seed = seed_or(3);
    (void)state;
    struct checkpoint_writer *w = start(0);
    write_two(w, &t);
    checkpoint_stop(w);
    path_of(path, 0, 1);
    assert_int_equal(stat(path, &st), 0);
    uint8_t *whole = malloc((size_t)st.st_size);
    int fd = open(path, O_RDWR);
    assert_int_equal(read(fd, whole, (size_t)st.st_size), st.st_size);
    unsigned seen[3] = {0};
    for (off_t cut = 0; cut < st.st_size; cut += 1 + random_below(&seed, 40)) {
        struct error note;
        bool spoil = one_in(&seed, 2);
        uint8_t bad = (uint8_t)(whole[cut] ^ 0x40);
        assert_int_equal(pwrite(fd, whole, (size_t)st.st_size, 0), st.st_size);
        assert_int_equal(spoil ? pwrite(fd, &bad, 1, cut) - 1 : ftruncate(fd, cut), 0);
        struct checkpoint_set *c = checkpoint_read(dir, node, UINT64_MAX, &note);
        uint64_t seq = c ? checkpoint_bucket_seq(c, 5) : 0;
        assert_true(seq == 0 || seq == 22 || seq == 43);
        seen[seq == 22 ? 1 : seq == 43 ? 2 : 0]++;
        checkpoint_free(c);
    }
    assert_true(seen[0] && seen[1]);
    close(fd);
    free(whole);
    tape_free(&t);
}

static void test_cut(void **state)
{
    struct tape t = {0};
    struct error err = {""};
    (void)state;
    struct checkpoint_writer *w = start(0);
    write_two(w, &t);
    checkpoint_stop(w);
    tape_free(&t);
    assert_int_equal(checkpoint_cut(dir, 43, &err), 0);
    assert_loads(UINT64_MAX, 43);
    assert_int_equal(checkpoint_cut(dir, 42, &err), 0);
    assert_loads(UINT64_MAX, 22);
    assert_int_equal(checkpoint_cut(dir, 0, &err), 0);
    assert_loads(UINT64_MAX, 0);
    assert_int_equal(checkpoint_cut("/nowhere/at/all", 5, &err), 0); /* no files */
}

static void test_others(void **state)
{
    char path[128];
    struct tape t = {0};
    struct error note;
    (void)state;
    struct checkpoint_writer *w = start(0);
    write_two(w, &t);
    checkpoint_stop(w);
    tape_free(&t);
    assert_null(checkpoint_read(dir, other_node, UINT64_MAX, &note));
    assert_non_null(strstr(note.text, "another journal"));
    path_of(path, 7, 1);
    FILE *f = fopen(path, "w");
    fputs("no checkpoint", f);
    fclose(f);
    struct checkpoint_set *c = checkpoint_read(dir, node, UINT64_MAX, &note);
    assert_non_null(c);
    assert_non_null(strstr(note.text, "07-"));
    assert_int_equal(checkpoint_bucket_seq(c, 3), 43);
    checkpoint_free(c);
}

/* The directory cannot be made; then it can: the next pass begins a generation. */
static void test_refused(void **state)
{
    struct bench b;
    struct tape t = {0};
    struct error err = {""};
    struct checkpoint_state s;
    char sub[96];
    (void)state;
    snprintf(sub, sizeof sub, "%s/sub", dir);
    FILE *f = fopen(sub, "w"); /* a file where the directory should be */
    fclose(f);
    struct checkpoint_options o = {sub, node, 0, engine_save_max(&bench_limits)};
    struct checkpoint_writer *w = checkpoint_start(&o, &err);
    assert_non_null(w);
    bench_open(&b, &bench_limits);
    market(&t);
    bench_apply(&b, &t, 0);
    write_pass(w, &b, &t, 43, 0);
    checkpoint_get_state(w, &s);
    assert_int_equal(s.failures, 1);
    assert_int_equal(s.seq, 0);
    assert_non_null(strstr(s.failure.text, sub));
    unlink(sub);
    write_pass(w, &b, &t, 44, 0);
    checkpoint_get_state(w, &s);
    assert_int_equal(s.failures, 1);
    assert_int_equal(s.seq, 44);
    checkpoint_stop(w);
    bench_close(&b);
    tape_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_round_trip, clear), cmocka_unit_test_teardown(test_generations, clear),
        cmocka_unit_test_teardown(test_torn, clear),       cmocka_unit_test_teardown(test_cut, clear),
        cmocka_unit_test_teardown(test_others, clear),     cmocka_unit_test_teardown(test_refused, clear),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, make_dir, remove_dir);
}
