/* Sealed segments: compressed, deleted, verified. At each moment, whatever dies or fails, what was written
 * can be read. `test_journal_keep SEED` repeats a run. */
#include "net/journal.h"
#include "net/journal_format.h"
#include "net/journal_verify.h"
#include "tests/unit/temp_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { STAGING = 1 << 18, GOT = 4096 };
static const int64_t start_ns = INT64_C(1700000000000000000);
static struct error err;
static uint64_t seed;
static struct msg got[GOT];
static int64_t now_ns = INT64_C(1800000000000000000);

static uint64_t next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

/* The calls that change the disk, in front of libc's. At the one that counts `fault_at`, the process dies (of
 * a write: half of it done), or the call fails. */
enum fault { FAULT_NONE, FAULT_DIE, FAULT_FAIL };
static enum fault fault;
static int fault_at, calls;

static bool fault_now(void)
{
    return fault != FAULT_NONE && ++calls == fault_at;
}

static int fault_result(void)
{
    if (fault == FAULT_DIE)
        _exit(77);
    errno = EIO;
    return -1;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    if (!fault_now())
        return syscall(SYS_pwrite64, fd, buf, n, at);
    syscall(SYS_pwrite64, fd, buf, n / 2, at);
    return fault_result();
}

int fsync(int fd)
{
    return fault_now() ? fault_result() : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return fault_now() ? fault_result() : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int unlinkat(int fd, const char *name, int flags)
{
    if (fault_now() && fault == FAULT_DIE)
        fault_result();
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

/* Record `seq` is determined by seq; each 500th tells a name. Returns its slots. */
static uint32_t make_record(struct msg *m, uint64_t seq)
{
    uint64_t x = seq * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    uint32_t slots = 1;
    if (seq % 500 == 7) {
        slots = msg_begin(m, MSG_SYMBOL, (uint32_t)(seq / 500), 32 + 9);
        m->sym.name_len = 9;
        m->event_ns = 0;
        msg_put(m, MSG_FIRST_BYTES, "A SYMBOL!", 9);
    } else {
        slots = msg_begin(m, MSG_TRADE, (uint32_t)(x % 20), 32);
        m->event_ns = start_ns + (int64_t)(seq * 1000000 + x % 4 * 3000000); /* a little out of order */
        m->trade.price_e9 = (int64_t)(100 + x % 50) * 10000000;
        m->trade.size = x % 10 * 100;
        m->trade.trade_id = seq;
    }
    msg_set_seq(m, seq);
    return slots;
}

static size_t in_force(void *ctx, size_t at, struct msg *out, size_t max)
{
    (void)ctx;
    if (at || max < 2)
        return 0;
    uint32_t slots = msg_begin(out, MSG_SYMBOL, 0, 32 + 9);
    out->sym.name_len = 9;
    msg_put(out, MSG_FIRST_BYTES, "A SYMBOL!", 9);
    return slots;
}

static struct journal_options small(void)
{
    return (struct journal_options){
        .segment_bytes = 30000, .block_bytes = 4096, .now_ns = now_ns, .in_force = in_force};
}

static struct journal *open_journal(const struct journal_options *o)
{
    struct journal *j = journal_open(dir, o, &err);
    if (!j)
        fail_msg("%s", err.text);
    return j;
}

static void append(struct journal *j, uint64_t first, uint64_t last)
{
    struct msg m[4];
    for (uint64_t seq = first; seq <= last; seq++) {
        size_t n = make_record(m, seq);
        for (int tries = 0; !journal_append(j, m, n); tries++) {
            journal_poll(j, now_ns += 1000000);
            usleep(100);
            assert_true(tries < 20000);
        }
        if (seq % 50 == 0)
            journal_poll(j, now_ns += 1000000);
    }
}

static void close_journal(struct journal *j)
{
    if (journal_close(j, &err))
        fail_msg("%s", err.text);
}

static void write_capture(uint64_t last)
{
    struct journal_options o = small();
    struct journal *j = open_journal(&o);
    append(j, journal_last_seq(j) + 1, last);
    close_journal(j);
}

static void check_record(const struct msg *m, uint64_t seq)
{
    struct msg want[4];
    uint32_t slots = make_record(want, seq);
    assert_int_equal(m->seq, seq);
    assert_memory_equal(m, want, slots * sizeof *m);
}

/* Reads all from `options` on, record `first` on (0: whichever). Returns the seq behind the last one. */
static uint64_t read_from(const struct journal_reader_options *options, uint64_t first, int *rc)
{
    struct journal_reader *r = journal_reader_open(dir, options, &err);
    int64_t n;
    uint64_t seq = first;
    *rc = -1;
    if (!r)
        return first;
    while ((n = journal_read(r, got, MSG_SLOTS_MAX + next_random() % 3000, &err)) > 0)
        for (int64_t i = 0; i < n; i += msg_slot_count(&got[i])) {
            seq = seq ? seq : got[i].seq;
            check_record(&got[i], seq++);
        }
    *rc = n < 0 ? -1 : *journal_reader_note(r) ? 1 : 0;
    journal_reader_close(r);
    return seq;
}

static void expect_all(uint64_t last)
{
    int rc;
    uint64_t end = read_from(NULL, 1, &rc);
    if (rc < 0)
        fail_msg("%s", err.text);
    assert_int_equal(rc, 0);
    assert_int_equal(end, last + 1);
}

static int count_files(const char *ending)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strlen(e->d_name) > strlen(ending) &&
             !strcmp(e->d_name + strlen(e->d_name) - strlen(ending), ending);
    closedir(d);
    return n;
}

static int count_compressed(void)
{
    uint64_t *numbers;
    int n = segment_list(dir, JOURNAL_SUFFIX, &numbers, &err), compressed = 0;
    for (int i = 0; i < n; i++) {
        struct journal_file f;
        char path[128];
        snprintf(path, sizeof path, "%s/%020" PRIu64 JOURNAL_SUFFIX, dir, numbers[i]);
        if (journal_file_open(&f, path, &err) != JOURNAL_FILE_OPEN)
            continue;
        compressed += f.head.version == JOURNAL_VERSION_COMPRESSED;
        journal_file_close(&f);
    }
    free(numbers);
    return compressed;
}

static int compress_with(uint64_t number, struct journal_keep_state *s)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    int rc = journal_compress(dir, fd, number, 1, NULL, s, &err);
    close(fd);
    return rc;
}

static int compress_segment(uint64_t number)
{
    struct journal_keep_state s = {0};
    return compress_with(number, &s);
}

static void tell_nothing(void *ctx, const char *file, uint64_t offset, const char *what)
{
    (void)ctx, (void)file, (void)offset, (void)what;
}

static uint64_t problems(void)
{
    struct journal_verified v;
    assert_int_equal(journal_verify(dir, tell_nothing, NULL, &v, &err), 0);
    return v.problems;
}

/* Each second segment is compressed: everything is found as before, and the writer goes on. */
static void both_kinds_read_alike(void **state)
{
    (void)state;
    int rc, n, compressed = 0;
    struct journal_keep_state s = {0};
    write_capture(12000);
    n = count_files(JOURNAL_SUFFIX);
    assert_true(n > 5);
    for (int i = 2; i <= n; i += 2, compressed++)
        assert_int_equal(compress_with((uint64_t)i, &s), 1);
    assert_int_equal(compress_segment(2), 0); /* is it already */
    assert_int_equal(compress_segment(999), 0);
    assert_int_equal(count_compressed(), compressed);
    assert_int_equal(s.compressed, compressed);
    assert_true(s.zip_bytes < s.plain_bytes);
    expect_all(12000);
    assert_int_equal(problems(), 0);
    for (int i = 0; i < 60; i++) {
        uint64_t seq = 1 + next_random() % 11900;
        struct journal_reader_options from = {.from_seq = seq};
        if (i % 2)
            from = (struct journal_reader_options){.from_ns = start_ns + (int64_t)seq * 1000000};
        struct journal_reader *r = journal_reader_open(dir, &from, &err);
        assert_non_null(r);
        assert_true(journal_read(r, got, GOT, &err) > 0);
        assert_true(got[0].seq <= seq + 10 && got[0].seq + 1500 > seq);
        journal_reader_close(r);
        assert_int_equal(read_from(&from, 0, &rc), 12001);
        assert_int_equal(rc, 0);
    }
    write_capture(15000);
    expect_all(15000);
}

/* The process dies at each call of a compression in turn. */
static void a_crash_leaves_one_good_file(void **state)
{
    (void)state;
    int steps = 0, at_old = 0, at_new = 0;
    write_capture(1500);
    run("mkdir %s/kept && cp %s/*" JOURNAL_SUFFIX " %s/kept", dir, dir, dir);
    for (int status = 1; status != 0; steps++) {
        pid_t pid = fork();
        if (pid == 0) {
            fault = FAULT_DIE;
            fault_at = steps + 1;
            _exit(compress_segment(1) == 1 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(status == 0 || WEXITSTATUS(status) == 77);
        expect_all(1500);
        *(count_compressed() ? &at_new : &at_old) += 1;
        struct journal_options o = small();
        close_journal(open_journal(&o));
        assert_int_equal(count_files(".tmp"), 0);
        expect_all(1500);
        assert_int_equal(problems(), 0);
        assert_int_equal(compress_segment(1), count_compressed() ? 0 : 1);
        expect_all(1500);
        run("cp %s/kept/*" JOURNAL_SUFFIX " %s", dir, dir);
    }
    print_message("%d steps: the plain file after %d, the compressed one after %d\n", steps, at_old, at_new);
    assert_true(steps > 8 && at_old > 5 && at_new >= 2);
}

/* Each call of a compression fails in turn. */
static void a_failure_leaves_one_good_file(void **state)
{
    (void)state;
    write_capture(1500);
    run("mkdir %s/kept && cp %s/*" JOURNAL_SUFFIX " %s/kept", dir, dir, dir);
    for (int step = 1, rc = -1; rc != 1; step++) {
        fault = FAULT_FAIL;
        fault_at = step;
        calls = 0;
        rc = compress_segment(1);
        fault = FAULT_NONE;
        assert_true(rc == 1 || (rc == -1 && strstr(err.text, "cannot ") && strstr(err.text, "see dmesg")));
        assert_int_equal(count_files(".tmp"), 0);
        expect_all(1500);
        assert_true(step < 1000);
        run("cp %s/kept/*" JOURNAL_SUFFIX " %s", dir, dir);
    }
}

static size_t load(uint8_t *bytes, size_t max)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%020d" JOURNAL_SUFFIX, dir, 1);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(bytes, 1, max, f);
    fclose(f);
    return n;
}

static void store(const uint8_t *bytes, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%020d" JOURNAL_SUFFIX, dir, 1);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void any_flipped_byte_is_found(void **state)
{
    (void)state;
    int rc;
    static uint8_t bytes[1 << 16];
    struct journal_options o = small();
    o.in_force = NULL; /* who reads from the start does not look at it */
    struct journal *j = open_journal(&o);
    append(j, 1, 700);
    close_journal(j);
    assert_int_equal(compress_segment(1), 1);
    size_t n = load(bytes, sizeof bytes);
    struct footer_tail tail;
    memcpy(&tail, bytes + n - sizeof tail, sizeof tail);
    for (size_t at = 0; at < n; at++) {
        bytes[at] ^= (uint8_t)(1 << at % 8);
        store(bytes, n);
        uint64_t seq = read_from(NULL, 1, &rc);
        if (rc == 0 || seq > 701)
            fail_msg("byte %zu of %zu: %d", at, n, rc);
        if (at % 7 == 0 &&
            at < tail.footer_offset) /* without its footer it might be one that is still written */
            assert_true(problems() > 0);
        bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    for (size_t cut = 1; cut < n; cut += 13) {
        store(bytes, n - cut);
        uint64_t seq = read_from(NULL, 1, &rc);
        assert_true(seq <= 701 && (rc >= 0 || seq == 1));
    }
    store(bytes, n);
    expect_all(700);
}

/* What is damaged is not made worse. */
static void damage_is_not_compressed(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 16], after[1 << 16];
    write_capture(700);
    size_t n = load(bytes, sizeof bytes);
    bytes[n / 2] ^= 4;
    store(bytes, n);
    assert_int_equal(compress_segment(1), -2);
    assert_non_null(strstr(err.text, "damaged at offset"));
    assert_int_equal(load(after, sizeof after), n);
    assert_memory_equal(bytes, after, n);
    assert_int_equal(count_files(".tmp"), 0);
}

static void the_writer_compresses_behind_itself(void **state)
{
    (void)state;
    struct journal_options o = small();
    o.compress_level = 1;
    o.compress_all = true;
    for (int sync = 0; sync <= JOURNAL_SYNC_ALWAYS; sync++) {
        o.sync = (enum journal_sync)sync;
        struct journal *j = open_journal(&o);
        append(j, 1, 15000);
        for (int i = 0; i < 2000 && !journal_state(j)->keep.compressed; i++) {
            journal_poll(j, now_ns += 1000000);
            usleep(1000);
        }
        assert_true(journal_state(j)->keep.compressed > 0);
        assert_int_equal(journal_state(j)->keep.failures, 0);
        close_journal(j);
        assert_int_equal(count_compressed(), count_files(JOURNAL_SUFFIX));
        expect_all(15000);
        assert_int_equal(problems(), 0);
        run("rm -rf %s/*", dir);
    }
}

/* Killed at any moment, with the compression at work. */
static void a_killed_writer_loses_nothing(void **state)
{
    (void)state;
    uint8_t *shared = mmap(NULL, STAGING + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t *taken = (uint64_t *)(shared + STAGING);
    int left = 0;
    for (int round = 0; round < 12 || (count_compressed() == 0 && round < 60); round++) {
        int status;
        struct journal_options o = small();
        o.staging = shared;
        o.staging_bytes = STAGING;
        o.sync = (enum journal_sync)(round % 3);
        o.blocking = round % 4 == 3;
        o.compress_level = 1 + round % 3 * 6;
        pid_t pid = fork();
        if (pid == 0) {
            struct msg m[4];
            struct journal *j = journal_open(dir, &o, &err);
            for (uint64_t seq = j ? journal_last_seq(j) + 1 : 0; j;) {
                seq += journal_append(j, m, make_record(m, seq)) > 0;
                __atomic_store_n(taken, seq - 1, __ATOMIC_RELEASE);
                if (seq % 32 == 0 || (journal_poll(j, now_ns), false))
                    journal_poll(j, now_ns += 1000000);
            }
            _exit(1);
        }
        usleep(4000 + (useconds_t)next_random() % 30000);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        left += count_files(".tmp");
        uint64_t promised = __atomic_load_n(taken, __ATOMIC_ACQUIRE);
        o.compress_level = 0;
        struct journal *j = open_journal(&o);
        uint64_t last = journal_last_seq(j);
        assert_true(last >= promised);
        assert_int_equal(count_files(".tmp"), 0);
        append(j, last + 1, last + 50);
        *taken = last + 50;
        close_journal(j);
        expect_all(last + 50);
    }
    print_message("%" PRIu64 " messages, %d of %d segments compressed, %d temporary files left\n", *taken,
                  count_compressed(), count_files(JOURNAL_SUFFIX), left);
    assert_true(count_compressed() > 0);
    munmap(shared, STAGING + 4096);
}

/* A reader that has the plain file open goes on in it, sees it sealed, and then takes the next one. */
static void a_live_reader_is_not_disturbed(void **state)
{
    (void)state;
    struct journal_options o = small();
    struct journal_reader_options live = {.live = true};
    o.compress_level = 1;
    struct journal *j = open_journal(&o);
    struct journal_reader *r = journal_reader_open(dir, &live, &err);
    assert_non_null(r);
    uint64_t seq = 1;
    for (uint64_t last = 200; last <= 12000; last += 200) {
        append(j, last - 199, last);
        assert_int_equal(journal_flush(j, &err), 0);
        for (int i = 0; last % 1600 == 0 && i < 3; i++) { /* time for the compression */
            journal_poll(j, now_ns);
            usleep(3000);
        }
        for (int i = 0; last == 8000 && count_compressed() == 0 && i < 20000; i++) { /* much, if it must be */
            journal_poll(j, now_ns);
            usleep(1000);
        }
        for (int64_t n; last % 1400 < 800 && (n = journal_read(r, got, GOT, &err)) != 0;) {
            if (n < 0)
                fail_msg("%s", err.text);
            for (int64_t i = 0; i < n; i += msg_slot_count(&got[i]))
                check_record(&got[i], seq++);
        }
    }
    close_journal(j);
    for (int64_t n; (n = journal_read(r, got, GOT, &err)) > 0;)
        for (int64_t i = 0; i < n; i += msg_slot_count(&got[i]))
            check_record(&got[i], seq++);
    assert_int_equal(seq, 12001);
    assert_true(count_compressed() > 0);
    journal_reader_close(r);
}

static uint64_t bytes_of_all(void)
{
    uint64_t total = 0;
    struct journal_reader *r = journal_reader_open(dir, NULL, &err);
    assert_non_null(r);
    total = journal_reader_info(r)->bytes;
    journal_reader_close(r);
    return total;
}

static uint64_t first_seq(void)
{
    struct journal_reader *r = journal_reader_open(dir, NULL, &err);
    assert_non_null(r);
    uint64_t seq = journal_reader_info(r)->first_seq;
    journal_reader_close(r);
    return seq;
}

static int prune(struct journal_prune_rule rule, struct journal_keep_state *s)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    rule.last_number = rule.last_number ? rule.last_number : UINT64_MAX;
    rule.keep_from_seq = rule.keep_from_seq ? rule.keep_from_seq : UINT64_MAX;
    *s = (struct journal_keep_state){0};
    int rc = journal_prune(dir, fd, &rule, s, NULL, &err);
    close(fd);
    return rc;
}

static void what_is_due_goes_oldest_first(void **state)
{
    (void)state;
    int rc;
    struct journal_keep_state s;
    write_capture(12000);
    int n = count_files(JOURNAL_SUFFIX);
    uint64_t total = bytes_of_all();
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = total}, &s), 0);
    assert_int_equal(s.pruned, 0);
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = total / 2, .dry_run = true}, &s), 0);
    assert_true(s.pruned > 0 && count_files(JOURNAL_SUFFIX) == n);
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = total - 1}, &s), 0);
    assert_int_equal(s.pruned, 1);
    assert_int_equal(bytes_of_all(), total - s.pruned_bytes);
    uint64_t first = first_seq();
    assert_true(first > 1);
    assert_int_equal(read_from(NULL, first, &rc), 12001);

    /* what is needed stays, and so does what follows it */
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = 1, .keep_from_seq = first}, &s), 0);
    assert_true(s.pruned == 0 && s.held);
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = 1, .keep_from_seq = 6000}, &s), 0);
    assert_true(s.pruned > 0 && s.held);
    assert_true(first_seq() <= 6000);
    assert_int_equal(read_from(NULL, first_seq(), &rc), 12001);

    /* what is not sealed for certain stays */
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = 1, .last_number = 1}, &s), 0);
    assert_int_equal(s.pruned, 0);

    /* by event time: each segment whose last one is before it */
    first = first_seq();
    int64_t before = start_ns + 9000 * INT64_C(1000000);
    assert_int_equal(prune((struct journal_prune_rule){.event_before_ns = before}, &s), 0);
    assert_true(s.pruned > 0 && first_seq() > first && first_seq() <= 9001);
    assert_int_equal(read_from(NULL, first_seq(), &rc), 12001);

    /* the newest one always stays: it knows who the journal is, and what comes next */
    assert_int_equal(prune((struct journal_prune_rule){.bytes_max = 1}, &s), 0);
    assert_int_equal(count_files(JOURNAL_SUFFIX), 1);
    struct journal_options o = small();
    struct journal *j = open_journal(&o);
    assert_int_equal(journal_last_seq(j), 12000);
    append(j, 12001, 12100);
    close_journal(j);
    assert_int_equal(prune((struct journal_prune_rule){.written_before_ns = INT64_MAX}, &s), 0);
    assert_int_equal(s.pruned, 1);
    assert_int_equal(read_from(NULL, 0, &rc), 12101);
}

static void wait_for_pruned(struct journal *j, uint64_t n)
{
    for (int i = 0; i < 3000 && journal_state(j)->keep.pruned < n; i++) {
        journal_poll(j, now_ns);
        usleep(1000);
    }
    assert_true(journal_state(j)->keep.pruned >= n);
}

static void retention_follows_the_writer(void **state)
{
    (void)state;
    int rc;
    struct journal_options o = small();
    o.retention_bytes = 4 * o.segment_bytes;
    o.compress_level = 1;
    struct journal *j = open_journal(&o);
    journal_keep_from(j, 1);
    append(j, 1, 40000);
    assert_int_equal(journal_flush(j, &err), 0);
    for (int i = 0; i < 2000 && !journal_state(j)->keep.held; i++) {
        journal_poll(j, now_ns += 1000000);
        usleep(1000);
    }
    assert_true(journal_state(j)->keep.held);
    assert_int_equal(journal_state(j)->keep.pruned, 0); /* someone needs all of it */
    journal_keep_from(j, 39000);
    append(j, 40001, 42000); /* seals another, which wakes the thread */
    wait_for_pruned(j, 1);
    close_journal(j);
    uint64_t first = first_seq();
    assert_true(first > 1 && first <= 39000);
    assert_int_equal(read_from(NULL, first, &rc), 42001);
    assert_int_equal(rc, 0);
    run("rm -rf %s/*", dir);

    o = small();
    o.retention_ns = INT64_C(3600000000000);
    j = open_journal(&o);
    append(j, 1, 6000);
    assert_int_equal(journal_flush(j, &err), 0);
    for (int i = 0; i < 20; i++) {
        journal_poll(j, now_ns);
        usleep(1000);
    }
    assert_int_equal(journal_state(j)->keep.pruned, 0); /* all of it is of a moment ago */
    now_ns += INT64_C(7200000000000);
    journal_poll(j, now_ns);
    append(j, 6001, 9000);
    wait_for_pruned(j, 2);
    close_journal(j);
    assert_int_equal(read_from(NULL, first_seq(), &rc), 9001);
}

/* Skimming gives all that a full reading gives of that time, and every name before it; and reads less. */
static void skimming_misses_nothing(void **state)
{
    (void)state;
    write_capture(12000);
    for (int i = 1; i < 6; i += 2)
        assert_int_equal(compress_segment((uint64_t)i), 1);
    for (int round = 0; round < 40; round++) {
        uint64_t a = next_random() % 12000, b = a + next_random() % 600, seen = 0, want = 0, blocks = 0;
        int64_t from = start_ns + (int64_t)a * 1000000, to = start_ns + (int64_t)b * 1000000;
        for (int skim = 0; skim < 2; skim++) {
            struct journal_reader_options o = {.in_force = true, .skim = skim};
            if (skim) {
                o.from_ns = from;
                o.to_ns = to;
            }
            uint64_t count = 0, named = 0;
            int64_t n;
            struct journal_reader *r = journal_reader_open(dir, &o, &err);
            assert_non_null(r);
            while ((n = journal_read(r, got, GOT, &err)) > 0)
                for (int64_t k = 0; k < n; k += msg_slot_count(&got[k])) {
                    if (got[k].type == MSG_SYMBOL)
                        named++;
                    else if (got[k].event_ns >= from && got[k].event_ns < to)
                        count += got[k].seq;
                }
            assert_int_equal(n, 0);
            if (skim)
                assert_true(journal_reader_info(r)->blocks < blocks / 2);
            *(skim ? &seen : &want) = count;
            blocks = journal_reader_info(r)->blocks;
            assert_true(named > 0);
            journal_reader_close(r);
        }
        assert_int_equal(seen, want);
    }
}

struct told {
    int n;
    char file[128];
    uint64_t offset;
    char what[4][256];
};

static void keep_what_is_told(void *ctx, const char *file, uint64_t offset, const char *what)
{
    struct told *t = ctx;
    if (t->n == 0) {
        snprintf(t->file, sizeof t->file, "%s", file);
        t->offset = offset;
    }
    if (t->n < 4)
        snprintf(t->what[t->n], sizeof t->what[0], "%s", what);
    t->n++;
}

static struct told verify(struct journal_verified *v)
{
    struct told t = {0};
    assert_int_equal(journal_verify(dir, keep_what_is_told, &t, v, &err), 0);
    assert_int_equal(v->problems, t.n);
    return t;
}

static void verify_goes_on_behind_damage(void **state)
{
    (void)state;
    struct journal_verified v;
    static uint8_t bytes[1 << 16];
    write_capture(6000);
    struct told t = verify(&v);
    assert_int_equal(t.n, 0);
    assert_int_equal(v.records, 6000);
    assert_int_equal(v.last_seq, 6000);
    size_t n = load(bytes, sizeof bytes);
    struct block_head h;
    uint64_t at = sizeof(struct segment_head);
    memcpy(&h, bytes + at, sizeof h);
    at += sizeof h + h.bytes; /* the second block */
    memcpy(&h, bytes + at, sizeof h);
    bytes[at + sizeof h + 10] ^= 1;
    store(bytes, n);
    t = verify(&v);
    assert_int_equal(t.n, 2);
    assert_non_null(strstr(t.file, "00000000000000000001" JOURNAL_SUFFIX));
    assert_int_equal(t.offset, at);
    assert_non_null(strstr(t.what[0], "checksum"));
    assert_non_null(strstr(t.what[1], "are missing"));
    assert_int_equal(v.missing, h.records);
    assert_int_equal(v.records, 6000 - h.records); /* all the others */

    /* sound checksums, but what they cover is wrong */
    bytes[at + sizeof h + 10] ^= 1;
    struct block_head wrong = h;
    wrong.max_event_ns += 5;
    journal_block_repack(&wrong, wrong.flags, bytes + at + sizeof h, wrong.bytes);
    memcpy(bytes + at, &wrong, sizeof wrong);
    store(bytes, n);
    t = verify(&v);
    assert_int_equal(t.n, 2);
    assert_non_null(strstr(t.what[0], "found event times"));
    assert_non_null(strstr(t.what[1], "index entry"));
    memcpy(bytes + at, &h, sizeof h);
    store(bytes, n);
    assert_int_equal(problems(), 0);

    /* a segment in between that is gone */
    run("mv %s/00000000000000000002" JOURNAL_SUFFIX " %s/away", dir, dir);
    t = verify(&v);
    assert_int_equal(t.n, 2);
    assert_true(v.missing > 0 && v.records == 6000 - v.missing);
    run("mv %s/away %s/00000000000000000002" JOURNAL_SUFFIX, dir, dir);

    /* a writer that went on with a higher seq: what is missing was never in a file */
    struct journal_options o = small();
    struct journal *j = open_journal(&o);
    append(j, 6101, 6200);
    close_journal(j);
    t = verify(&v);
    assert_int_equal(t.n, 0);
    assert_int_equal(v.missing, 100);
    assert_non_null(strstr(v.note.text, "message 6101"));

    /* a torn end is what a writer that died leaves: no damage, but said */
    uint64_t last = (uint64_t)count_files(JOURNAL_SUFFIX);
    run("truncate -s -700 %s/%020" PRIu64 JOURNAL_SUFFIX, dir, last);
    t = verify(&v);
    assert_int_equal(t.n, 0);
    assert_non_null(strstr(v.note.text, "no whole block"));
    /* anywhere else it is */
    run("truncate -s -700 %s/%020" PRIu64 JOURNAL_SUFFIX, dir, last - 1);
    assert_true(problems() > 0);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %" PRIu64 "\n", seed);
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(both_kinds_read_alike),          TEST(a_crash_leaves_one_good_file),
        TEST(a_failure_leaves_one_good_file), TEST(any_flipped_byte_is_found),
        TEST(damage_is_not_compressed),       TEST(the_writer_compresses_behind_itself),
        TEST(a_killed_writer_loses_nothing),  TEST(a_live_reader_is_not_disturbed),
        TEST(what_is_due_goes_oldest_first),  TEST(retention_follows_the_writer),
        TEST(skimming_misses_nothing),        TEST(verify_goes_on_behind_damage),
    };
    return cmocka_run_group_tests_name("journal_keep", tests, NULL, NULL);
}
