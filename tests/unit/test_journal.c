/* The journal: what was appended comes back, whatever is torn, flipped, full or killed. `test_journal SEED`
 * repeats a run. */
#include "net/journal.h"
#include "net/journal_format.h"
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SLOTS_MAX = 60000, STAGING = 1 << 18 };
static struct error err;
static uint64_t seed;
static struct msg got[SLOTS_MAX];
static int64_t now_ns = INT64_C(1700000000000000000);

static uint64_t next_random(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed >> 33;
}

/* The disk, in front of libc's: what one in `fault_one_in` calls does is fail, or write a part. */
static unsigned fault_one_in, faults;

/* What the disk has of the one file that is written: a sync stores what was written since the last, one that
 * fails drops it, as the kernel's does. Shared with children. */
enum { DISK_BYTES = 1 << 20 };
struct disk {
    uint8_t stored[DISK_BYTES], written[DISK_BYTES];
    bool dirty[DISK_BYTES];
};
static struct disk *disk; /* NULL: not watched */

static void sync_disk(bool store)
{
    for (size_t i = 0; disk && i < DISK_BYTES; i++) {
        if (store && disk->dirty[i])
            disk->stored[i] = disk->written[i];
        disk->dirty[i] = false;
    }
}

static bool faulty(void)
{
    bool f = fault_one_in && next_random() % fault_one_in == 0;
    faults += f;
    return f;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    if (faulty()) {
        if (next_random() % 2) {
            errno = (int[]){ENOSPC, EIO, EINTR, EAGAIN}[next_random() % 4];
            return -1;
        }
        n = n > 1 ? 1 + next_random() % (n - 1) : n;
    }
    if (disk && (at || *(const char *)buf == *JOURNAL_MAGIC)) { /* not the lock's */
        memcpy(disk->written + at, buf, n);
        memset(disk->dirty + at, 1, n);
    }
    return syscall(SYS_pwrite64, fd, buf, n, at);
}

int fdatasync(int fd)
{
    bool failed = faulty();
    sync_disk(!failed);
    errno = EIO;
    return failed ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return S_ISDIR(st.st_mode) ? (int)syscall(SYS_fsync, fd) : fdatasync(fd);
}

/* Record `seq` is determined by seq: mostly ticks, some clocks, some of several slots. Returns its slots. */
static uint32_t make_record(struct msg *m, uint64_t seq)
{
    static const char text[] =
        "a rule's text that is long enough for more than one slot, whatever it says of prices";
    uint64_t x = seq * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    enum msg_type type = x % 20 == 0 ? MSG_CLOCK : x % 50 == 1 ? MSG_RULE : x % 3 ? MSG_TRADE : MSG_QUOTE;
    uint32_t slots = msg_begin(m, type, (uint32_t)(x % 300), type == MSG_RULE ? 32 + x % 80 : 32);
    m->event_ns = INT64_C(1700000000000000000) + (int64_t)(seq * 1000000);
    m->recv_ns = m->event_ns + (int64_t)(x % 2) * 1000;
    if (type == MSG_TRADE) {
        m->trade.price_e9 = (int64_t)(100 + x % 5000) * 10000000;
        m->trade.size = x % 1000;
        m->trade.trade_id = x;
    } else if (type == MSG_QUOTE) {
        m->quote = (struct msg_quote){(int64_t)x * 100000, (int64_t)x * 100000 + 1, x % 100, x % 777};
    } else if (type == MSG_RULE) {
        m->part.len = (uint16_t)(x % 80);
        msg_put(m, MSG_FIRST_BYTES, text, x % 80);
    }
    msg_set_seq(m, seq);
    return slots;
}

/* Whole records first, first + 1 … until `slots` are full or `last` is in. Returns the slots. */
static size_t make_records(struct msg *m, size_t slots, uint64_t first, uint64_t last)
{
    size_t n = 0;
    for (uint64_t seq = first; seq <= last && n + MSG_SLOTS_MAX <= slots; seq++)
        n += make_record(m + n, seq);
    return n;
}

static struct journal_options small(void)
{
    return (struct journal_options){.segment_bytes = 60000, .block_bytes = 4096, .now_ns = now_ns};
}

static struct journal *open_journal(const struct journal_options *o)
{
    struct journal *j = journal_open(dir, o, &err);
    if (!j)
        fail_msg("%s", err.text);
    return j;
}

/* Appends the records first..last in pieces, polling as ingest does. */
static void append(struct journal *j, uint64_t first, uint64_t last)
{
    static struct msg m[512];
    for (uint64_t seq = first; seq <= last;) {
        size_t n = make_records(m, MSG_SLOTS_MAX + next_random() % 400, seq, last), done = 0;
        for (int tries = 0; done < n; tries++) {
            done += journal_append(j, m + done, n - done);
            journal_poll(j, now_ns += 1000000);
            if (done < n && tries > 1000)
                usleep(100);
            assert_true(tries < 20000);
        }
        seq = m[n - 1].seq + 1;
        assert_int_equal(journal_last_seq(j), seq - 1);
    }
}

static void close_journal(struct journal *j)
{
    if (journal_close(j, &err))
        fail_msg("%s", err.text);
}

/* Reads all from `options` on and compares with record `first` on. Returns the seq behind the last one; *rc
 * how it ended: 0, 1 for an end with a note, -1. */
static uint64_t read_from(const char *path, const struct journal_reader_options *options, uint64_t first,
                          int *rc)
{
    struct journal_reader *r = journal_reader_open(path, options, &err);
    struct msg m[MSG_SLOTS_MAX];
    int64_t n;
    uint64_t seq = first;
    *rc = -1;
    if (!r)
        return first;
    while ((n = journal_read(r, got, MSG_SLOTS_MAX + next_random() % 3000, &err)) > 0)
        for (int64_t i = 0; i < n; i += msg_slot_count(&got[i])) {
            if (got[i].seq == 0)
                continue; /* in force */
            if (seq == 0)
                seq = got[i].seq;
            assert_int_equal(got[i].seq, seq);
            uint32_t slots = make_record(m, seq++);
            assert_int_equal(msg_slot_count(&got[i]), slots);
            assert_memory_equal(m, &got[i], slots * sizeof *m);
        }
    *rc = n < 0 ? -1 : *journal_reader_note(r) ? 1 : 0;
    journal_reader_close(r);
    return seq;
}

static uint64_t read_all(int *rc)
{
    return read_from(dir, NULL, 1, rc);
}

static int count_files(const char *ending)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strstr(e->d_name, ending) != NULL;
    closedir(d);
    return n;
}

static void segment_path(char path[128], uint32_t number)
{
    snprintf(path, 128, "%s/%020u" JOURNAL_SUFFIX, dir, number);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    int rc;
    for (int sync = JOURNAL_SYNC_NEVER; sync <= JOURNAL_SYNC_ALWAYS; sync++)
        for (int blocking = 0; blocking < 2; blocking++) {
            struct journal_options o = small();
            o.sync = (enum journal_sync)sync;
            o.blocking = blocking;
            struct journal *j = open_journal(&o);
            append(j, 1, 30000);
            assert_int_equal(journal_flush(j, &err), 0);
            assert_int_equal(journal_state(j)->durable_seq, 30000);
            assert_int_equal(journal_state(j)->written_seq, 30000);
            assert_int_equal(journal_state(j)->records, 30000);
            assert_false(journal_state(j)->failing);
            append(j, 30001, 40000);
            close_journal(j);
            assert_true(count_files(JOURNAL_SUFFIX) > 5);
            assert_int_equal(read_all(&rc), 40001);
            assert_int_equal(rc, 0);
            run("rm -rf %s/*", dir);
        }
}

static void reopening_goes_on(void **state)
{
    (void)state;
    int rc;
    struct journal_options o = small();
    uint8_t node[SEGMENT_ID_BYTES];
    uint64_t last = 0;
    for (int i = 0; i < 8; i++) {
        struct journal *j = open_journal(&o);
        if (last)
            assert_memory_equal(node, journal_node(j), sizeof node);
        memcpy(node, journal_node(j), sizeof node);
        assert_int_equal(journal_last_seq(j), last);
        if (i % 3) { /* else nothing is written, and no file is left */
            append(j, last + 1, last + 500);
            last += 500;
        }
        close_journal(j);
    }
    assert_int_equal(count_files(JOURNAL_SUFFIX), 5);
    assert_int_equal(read_all(&rc), last + 1);
    assert_int_equal(rc, 0);
}

static void one_writer_only(void **state)
{
    (void)state;
    char pid[32];
    struct journal_options o = small();
    struct journal *j = open_journal(&o);
    assert_null(journal_open(dir, &o, &err));
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    close_journal(j);
}

static void a_reader_starts_anywhere(void **state)
{
    (void)state;
    int rc;
    struct journal_options o = small();
    struct journal *j = open_journal(&o);
    append(j, 1, 20000);
    close_journal(j);
    for (int i = 0; i < 60; i++) {
        uint64_t seq = 1 + next_random() % 21000;
        struct journal_reader_options from = {.from_seq = seq};
        if (i % 2)
            from = (struct journal_reader_options){.from_ns =
                                                       INT64_C(1700000000000000000) + (int64_t)seq * 1000000};
        struct journal_reader *r = journal_reader_open(dir, &from, &err);
        assert_non_null(r);
        int64_t n = journal_read(r, got, SLOTS_MAX, &err);
        if (seq > 20001)
            assert_int_equal(n, 0);
        else if (seq <= 20000) { /* in the block that holds it, of about 300 messages; a RULE has no time of
                                    its own */
            assert_true(n > 0 && got[0].seq <= seq + (i % 2 ? 10 : 0) && got[0].seq + 1000 > seq);
        }
        journal_reader_close(r);
        if (seq <= 20000) {
            assert_int_equal(read_from(dir, &from, 0, &rc), 20001);
            assert_int_equal(rc, 0);
        }
    }
}

static size_t in_force(void *ctx, size_t at, struct msg *out, size_t max)
{
    size_t total = *(size_t *)ctx, n = 0;
    for (; at + n < total && n + 2 <= max; n += 2) {
        uint32_t slots = msg_begin(&out[n], MSG_SYMBOL, (uint32_t)((at + n) / 2), 32 + 40);
        assert_int_equal(slots, 2);
        out[n].sym.name_len = 1 + (uint8_t)((at + n) % 40);
    }
    return n;
}

/* Each segment repeats what is in force, also where that is more than staging holds; only who starts there
 * sees it. */
static void a_segment_stands_alone(void **state)
{
    (void)state;
    for (size_t total = 2; total < 20000; total = total * 7 + 2) {
        int rc;
        char path[128];
        struct journal_options o = small();
        o.staging_bytes = STAGING;
        o.staging = aligned_alloc(4096, STAGING);
        memset(o.staging, 0, STAGING);
        o.in_force = in_force;
        o.in_force_ctx = &total;
        struct journal *j = open_journal(&o);
        append(j, 1, 15000);
        close_journal(j);
        free(o.staging);
        assert_int_equal(read_all(&rc), 15001);
        assert_int_equal(rc, 0);
        assert_true(count_files(JOURNAL_SUFFIX) > 2);
        for (int number = 1; number <= 2; number++) {
            struct journal_reader_options with = {.in_force = true};
            segment_path(path, (uint32_t)number);
            struct journal_reader *r = journal_reader_open(path, &with, &err);
            assert_non_null(r);
            size_t n = 0, k = 0;
            for (int64_t left = 0;; k += 2, n += 2, left -= 2) {
                if (left == 0) {
                    left = journal_read(r, got, 1000, &err);
                    assert_true(left > 0);
                    k = 0;
                }
                if (got[k].seq)
                    break;
                assert_int_equal(got[k].symbol, n / 2);
                assert_int_equal(got[k].sym.name_len, 1 + n % 40);
            }
            assert_int_equal(
                n, number == 1 ? 0 : total); /* the first starts with message 1: nothing came before */
            assert_int_equal(got[k].seq, journal_reader_info(r)->first_seq);
            journal_reader_close(r);
        }
        run("rm -rf %s/*", dir);
    }
}

struct content {
    char path[128];
    uint8_t bytes[1 << 18];
    size_t n;
};

static void load(struct content *c, uint32_t number)
{
    segment_path(c->path, number);
    FILE *f = fopen(c->path, "r");
    assert_non_null(f);
    c->n = fread(c->bytes, 1, sizeof c->bytes, f);
    fclose(f);
}

static void store(const struct content *c, size_t n)
{
    FILE *f = fopen(c->path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(c->bytes, 1, n, f), n);
    fclose(f);
}

/* Two segments, the second one cut at each byte: never other than what was written, and the writer goes on.
 */
static void a_torn_end_is_cut(void **state)
{
    (void)state;
    int rc;
    static struct content file;
    struct journal_options o = small();
    o.blocking = true;
    struct journal *j = open_journal(&o);
    append(j, 1, 100);
    close_journal(j);
    j = open_journal(&o);
    append(j, 101, 500);
    close_journal(j);
    load(&file, 2);
    for (size_t n = 0; n < file.n; n++) {
        store(&file, n);
        uint64_t seq = read_all(&rc);
        assert_true(seq >= 101 && seq <= 501);
        if (rc < 0)
            fail_msg("cut at %zu: %s", n, err.text);
        if (n % 37)
            continue;
        j = open_journal(&o);
        assert_int_equal(journal_last_seq(j), seq - 1);
        append(j, seq, seq + 9);
        close_journal(j);
        assert_int_equal(read_all(&rc), seq + 10);
        assert_int_equal(rc, 0);
        run("rm -f %s/*3" JOURNAL_SUFFIX " %s/*2" JOURNAL_SUFFIX, dir, dir);
    }
}

/* Each byte flipped, one at a time: what is read is right, and what is missing is not passed over in silence.
 */
static void any_flipped_byte_is_found(void **state)
{
    (void)state;
    int rc;
    static struct content file;
    struct journal_options o = small();
    struct journal *j = open_journal(&o);
    append(j, 1, 400);
    close_journal(j);
    load(&file, 1);
    for (int sealed = 1; sealed >= 0; sealed--) {
        struct footer_tail tail;
        memcpy(&tail, file.bytes + file.n - sizeof tail, sizeof tail);
        size_t n = sealed ? file.n : tail.footer_offset, found = 0;
        for (size_t at = 0; at < n; at++) {
            file.bytes[at] ^= (uint8_t)(1 << at % 8);
            store(&file, n);
            uint64_t seq = read_all(&rc);
            found += rc != 0;
            assert_true(seq == 401 || rc != 0);
            assert_true(seq <= 401);
            file.bytes[at] ^= (uint8_t)(1 << at % 8);
        }
        assert_int_equal(found, n); /* also in the footer: it is not needed, but an end it is not either */
    }
}

/* What the writer must cut off though good blocks follow is kept beside. */
static void damage_is_kept(void **state)
{
    (void)state;
    int rc;
    static struct content file;
    struct journal_options o = small();
    o.segment_bytes = 1 << 20;
    struct journal *j = open_journal(&o);
    append(j, 1, 3000);
    close_journal(j);
    load(&file, 1);
    struct footer_tail tail;
    memcpy(&tail, file.bytes + file.n - sizeof tail, sizeof tail);
    file.bytes[file.n / 3] ^= 1;
    store(&file, tail.footer_offset);
    uint64_t seq = read_all(&rc);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, "next sound block"));
    assert_non_null(strstr(err.text, file.path));
    struct journal_reader_options live = {.live = true};
    assert_int_equal(read_from(dir, &live, 1, &rc), seq);
    assert_int_equal(rc, 1); /* while it is written, blocks may land in any order */
    j = open_journal(&o);
    assert_int_equal(journal_last_seq(j), seq - 1);
    assert_int_equal(count_files(".cut-"), 1);
    run("test $(cat %s/*.cut-* | wc -c) = %" PRIu64, dir, journal_state(j)->torn_bytes);
    close_journal(j);
    assert_int_equal(read_all(&rc), seq);
    assert_int_equal(rc, 0);
}

static void expect_error(const char *path, const char *part)
{
    int rc;
    err.text[0] = 0;
    read_from(path, NULL, 1, &rc);
    assert_int_equal(rc, -1);
    if (!strstr(err.text, part))
        fail_msg("expected '%s' in: %s", part, err.text);
}

static void what_is_no_capture_says_so(void **state)
{
    (void)state;
    static struct content file;
    char path[128];
    struct journal_options o = small();
    expect_error("/nowhere/at/all", "check the path");
    expect_error(dir, "no capture there");
    snprintf(path, sizeof path, "%s/file", dir);
    run("head -c 10000 /dev/urandom > %s", path);
    expect_error(path, "not a capture");
    run(": > %s", path);
    expect_error(path, "no capture there");
    run("rm %s; mkfifo %s.fifo; rm %s.fifo", path, path, path);
    struct journal *j = open_journal(&o);
    append(j, 1, 20000);
    close_journal(j);
    load(&file, 1);
    struct segment_head *h = (struct segment_head *)file.bytes;
    h->version = 3;
    store(&file, file.n);
    expect_error(dir, "found format version 3, expected 1 or 2");
    assert_null(journal_open(dir, &o, &err));
    assert_non_null(strstr(err.text, "format version 3"));
    h->version = 1;
    store(&file, file.n);
    segment_path(path, 2);
    run("mv %s %s/kept", path, dir);
    expect_error(dir, "00000000000000000002" JOURNAL_SUFFIX ": missing");
    run("cp %s %s", file.path, path);
    expect_error(dir, "found segment number 1");
    run("mv %s/kept %s", dir, path);
    load(&file, 1); /* a segment that lost its end */
    store(&file, file.n / 2);
    expect_error(dir, "damaged at offset");
    struct footer_tail tail;
    memcpy(&tail, file.bytes + file.n - sizeof tail, sizeof tail);
    uint64_t at = sizeof(struct segment_head);
    struct block_head b;
    for (int i = 0; i < 3; i++, at += sizeof b + b.bytes)
        memcpy(&b, file.bytes + at, sizeof b);
    store(&file, at); /* between two blocks */
    expect_error(dir, "messages are missing");
    o.block_bytes = 100;
    assert_null(journal_open(dir, &o, &err));
    assert_non_null(strstr(err.text, "expected a multiple of 64"));
}

/* A reader that keeps up sees each message once, over segments, and never one that is half written. */
static void a_live_reader_follows(void **state)
{
    (void)state;
    struct journal_options o = small();
    struct journal_reader_options live = {.live = true};
    struct journal_reader *r = journal_reader_open(dir, &live, &err);
    assert_non_null(r); /* before there is anything */
    struct journal *j = open_journal(&o);
    struct msg m[MSG_SLOTS_MAX];
    uint64_t seq = 1, appended = 0;
    for (int idle = 0; seq <= 20000 && idle < 20000; idle++) {
        if (appended < 20000 && next_random() % 2) {
            append(j, appended + 1, appended + 1 + next_random() % 50);
            appended = journal_last_seq(j);
        }
        journal_poll(j, now_ns += 50000000);
        int64_t n = journal_read(r, got, 64, &err);
        if (n < 0)
            fail_msg("%s", err.text);
        for (int64_t i = 0; i < n; i += msg_slot_count(&got[i])) {
            uint32_t slots = make_record(m, seq++);
            assert_memory_equal(m, &got[i], slots * sizeof *m);
            idle = 0;
        }
        if (n == 0 && appended >= 20000)
            usleep(100);
    }
    assert_true(seq > 20000);
    close_journal(j);
    journal_reader_close(r);
}

static void wait_until(struct journal *j, bool failing)
{
    for (int i = 0; i < 20000 && journal_state(j)->failing != failing; i++) {
        journal_poll(j, now_ns += 10000000);
        usleep(50);
    }
    assert_int_equal(journal_state(j)->failing, failing);
}

/* A disk that is full: backpressure, a reason, and all is there once there is room. */
static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    struct rlimit old, limit;
    signal(SIGXFSZ, SIG_IGN);
    for (int kind = 0; kind < 4; kind++) {
        int rc;
        struct journal_options o = small();
        struct msg m[600];
        o.staging_bytes = STAGING;
        o.staging = aligned_alloc(4096, STAGING);
        memset(o.staging, 0, STAGING);
        o.blocking = kind % 2;
        o.sync = kind / 2 ? JOURNAL_SYNC_ALWAYS : JOURNAL_SYNC_NEVER;
        struct journal *j = open_journal(&o);
        append(j, 1, 500);
        assert_int_equal(journal_flush(j, &err), 0);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        limit = old;
        limit.rlim_cur = 20000; /* within a block */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        uint64_t seq = 501;
        for (int stuck = 0; stuck < 200;) {
            size_t n = make_records(m, 600, seq, seq + 99), taken = journal_append(j, m, n);
            journal_poll(j, now_ns += 1000000);
            for (size_t i = 0; i < taken; i += msg_slot_count(&m[i]))
                seq = m[i].seq + 1;
            stuck = taken ? 0 : stuck + 1;
            if (!taken)
                usleep(100);
        }
        wait_until(j, true);
        assert_non_null(strstr(journal_state(j)->failure.text, JOURNAL_SUFFIX ": cannot write"));
        assert_non_null(strstr(journal_state(j)->failure.text, "ulimit"));
        assert_true(journal_state(j)->waits >= 200);
        assert_true(journal_state(j)->durable_seq < seq - 1);
        assert_int_equal(journal_flush(j, &err), -1);
        uint64_t failures = journal_state(j)->failures;
        for (int i = 0; i < 100; i++)
            journal_poll(j, now_ns += 1000000);
        assert_true(journal_state(j)->failures <= failures + 1); /* tried again once a second, no oftener */
        if (kind == 1) { /* gives up: what is staged is there for the next one */
            assert_int_equal(journal_close(j, &err), -1);
            assert_null(journal_open(dir, &o, &err)); /* still full */
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
            j = open_journal(&o);
            assert_true(journal_state(j)->recovered_records > 0);
            assert_int_equal(journal_last_seq(j), seq - 1);
        } else {
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
            wait_until(j, false);
        }
        append(j, seq, seq + 5000);
        close_journal(j);
        free(o.staging);
        assert_int_equal(read_all(&rc), seq + 5001);
        assert_int_equal(rc, 0);
        run("rm -rf %s/*", dir);
    }
}

/* Any write and any sync may fail at any time. */
static void a_bad_disk_loses_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 9; round++) {
        int rc;
        struct journal_options o = small();
        o.blocking = true;
        o.sync = (enum journal_sync)(round % 3);
        struct journal *j = open_journal(&o);
        fault_one_in = 2 + (unsigned)round * 2;
        append(j, 1, 3000);
        for (int i = 0; i < 100 && journal_flush(j, &err); i++)
            assert_true(journal_state(j)->failing);
        fault_one_in = 0;
        assert_int_equal(journal_flush(j, &err), 0);
        assert_false(journal_state(j)->failing);
        assert_int_equal(journal_state(j)->durable_seq, 3000);
        close_journal(j);
        assert_int_equal(read_all(&rc), 3001);
        assert_int_equal(rc, 0);
        run("rm -rf %s/*", dir);
    }
    print_message("%u faults\n", faults);
    assert_true(faults > 20);
}

static void watch_disk(void)
{
    disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(disk != MAP_FAILED);
}

/* What a reboot would find in place of what can be read now. */
static void reboot(void)
{
    static struct content file;
    load(&file, 1);
    assert_true(file.n <= DISK_BYTES);
    memcpy(file.bytes, disk->stored, file.n);
    munmap(disk, sizeof *disk);
    disk = NULL;
    store(&file, file.n);
}

/* The kernel may drop what it could not sync and call the next sync a success: nothing is durable that was
 * not written again, from staging or, where that does not have it any more, from the file. */
static void a_failed_sync_is_not_believed(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        int rc;
        struct journal_options o = small();
        o.blocking = true;
        o.segment_bytes = DISK_BYTES;
        o.sync = round % 2 ? JOURNAL_SYNC_ALWAYS : JOURNAL_SYNC_INTERVAL;
        o.interval_ns = 1 + round / 2 * 3000000;
        struct journal *j = open_journal(&o);
        watch_disk();
        unsigned before = faults;
        fault_one_in = 3;
        append(j, 1, 3000);
        for (int i = 0; i < 5000 && journal_state(j)->durable_seq < 3000; i++)
            journal_poll(j, now_ns += 1000000000);
        fault_one_in = 0;
        assert_true(faults > before);
        assert_int_equal(journal_state(j)->durable_seq, 3000);
        reboot();
        assert_int_equal(read_all(&rc), 3001);
        assert_int_equal(rc, 0);
        close_journal(j);
        run("rm -rf %s/*", dir);
    }
}

/* … nor does a writer that comes after one that was killed behind such a sync. */
static void what_is_only_in_the_page_cache_is_not_believed(void **state)
{
    (void)state;
    uint8_t *shared = mmap(NULL, STAGING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 6; round++) {
        int rc, status;
        struct journal_options o = small();
        o.blocking = true;
        o.segment_bytes = DISK_BYTES;
        o.sync = round % 2 ? JOURNAL_SYNC_ALWAYS : JOURNAL_SYNC_INTERVAL;
        o.interval_ns = 1000000;
        o.staging = round < 4 ? shared : NULL; /* without: someone has removed the workspace */
        o.staging_bytes = o.staging ? STAGING : 0;
        memset(shared, 0, STAGING);
        watch_disk();
        pid_t pid = fork();
        if (pid == 0) {
            struct journal *j = open_journal(&o);
            append(j, 1, 2000);
            if (round >= 4 && journal_flush(j, &err))
                _exit(1);
            sync_disk(false); /* the disk fails, and nobody gets to know */
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        if (round >= 4) /* nobody knows what was synced */
            memset(disk->stored, 0, DISK_BYTES);
        struct journal *j = open_journal(&o);
        assert_int_equal(journal_state(j)->durable_seq, 2000);
        reboot();
        assert_int_equal(read_all(&rc), 2001);
        assert_int_equal(rc, 0);
        close_journal(j);
        run("rm -rf %s/*", dir);
    }
    munmap(shared, STAGING);
}

/* What a power cut may make of a file whose bytes were not on disk; false if it is as it was. */
static bool lose(struct content *c, bool first)
{
    size_t from = next_random() % c->n, n = 1 + next_random() % (c->n - from);
    static struct content was;
    was = *c;
    switch (next_random() % 5 + first) {
    case 0: /* without the first it would be a journal of which the beginning was deleted */
        assert_int_equal(unlink(c->path), 0);
        return true;
    case 1: /* nothing but the length */
        memset(c->bytes, 0, c->n);
        break;
    case 2: /* a part of its head */
        memset(c->bytes, 0, 1 + next_random() % 63);
        break;
    case 3:
        memset(c->bytes + from, 0, n);
        break;
    default:
        c->n = from;
    }
    store(c, c->n);
    return c->n != was.n || memcmp(c->bytes, was.bytes, c->n);
}

/* A power cut keeps what came later and loses what came before: what stands behind the first gap is set
 * aside, all of it, and the writer goes on from there. Where the disk was asked to sync, a gap can be in the
 * last segments only: elsewhere it is damage, and nothing is touched. */
static void what_follows_a_gap_is_set_aside(void **state)
{
    (void)state;
    static struct content file;
    unsigned refused = 0, aside = 0;
    for (int round = 0; round < 60; round++) {
        int rc;
        struct journal_options o = small();
        o.blocking = true;
        o.segment_bytes = 9000;
        struct journal *j = open_journal(&o);
        append(j, 1, 3000);
        close_journal(j);
        int segments = count_files(JOURNAL_SUFFIX);
        assert_true(segments > 6);
        int hit = 1 + (int)(next_random() % (unsigned)segments);
        load(&file, (uint32_t)hit);
        if (!lose(&file, hit == 1)) {
            run("rm -rf %s/*", dir);
            continue;
        }
        o.sync = (enum journal_sync)(round % 3);
        static const uint8_t zero[64];
        size_t head = file.n < 64 ? file.n : 64;
        bool empty = hit == 1 && !memcmp(file.bytes, zero, head); /* a reader begins behind it */
        uint64_t seq = empty ? 1 : read_all(&rc);
        j = journal_open(dir, &o, &err);
        bool missing = access(file.path, F_OK) != 0;
        int last = segments - (missing && hit == segments);
        if (o.sync != JOURNAL_SYNC_NEVER && hit + missing < last - 2) {
            if (!j) {
                assert_non_null(strstr(err.text, "damaged"));
                assert_non_null(strstr(err.text, "move it"));
                refused++;
                assert_int_equal(count_files(JOURNAL_SUFFIX ".lost"), 0);
                o.sync = JOURNAL_SYNC_NEVER;
            } else {
                close_journal(j); /* sealed: nobody looked into it */
                run("rm -rf %s/*", dir);
                continue;
            }
            j = open_journal(&o);
        }
        const struct journal_state *s = journal_state(j);
        assert_non_null(j);
        if (s->lost_segments == 0 && hit < segments) /* only its footer was gone: a reader stops there */
            seq = 3001;
        assert_int_equal(journal_last_seq(j), seq - 1);
        assert_int_equal(count_files(JOURNAL_SUFFIX ".lost"), s->lost_segments);
        assert_true(s->lost_segments <= (unsigned)(segments - hit + 1));
        assert_true(!s->lost_segments || journal_found(j, &err));
        if (hit < segments && seq < 3001) {
            assert_int_equal(s->lost_seq, 3000);
            assert_true(s->lost_segments >= (unsigned)(segments - hit));
            run("test $(cat %s/*.lost | wc -c) = %" PRIu64, dir, s->lost_bytes);
        }
        aside += (unsigned)s->lost_segments;
        append(j, seq, 4000);
        close_journal(j);
        assert_int_equal(read_all(&rc), 4001);
        assert_int_equal(rc, 0);
        run("rm -rf %s/*", dir);
    }
    print_message("%u files set aside, %u times refused\n", aside, refused);
    assert_true(refused > 0 && aside > 50);
}

/* Staging is full as the next segment begins, and then the writer ends: the empty file must not be taken for
 * one. */
static void a_segment_to_which_nothing_came(void **state)
{
    (void)state;
    static struct msg m[64];
    static uint8_t staging[40 * 4096] __attribute__((aligned(4096)));
    for (unsigned blocks = 1; blocks <= 40; blocks++) {
        memset(staging, 0, sizeof staging);
        int rc;
        struct journal_options o = small();
        o.segment_bytes = blocks * (uint64_t)o.block_bytes;
        o.blocking = true;
        o.staging = staging;
        o.staging_bytes = sizeof staging;
        struct journal *j = open_journal(&o);
        uint64_t last = 0;
        fault_one_in = 1; /* no write succeeds; files are made */
        for (size_t n = 1, taken = 1; taken == n;) {
            journal_poll(j, now_ns += 1000000);
            n = make_records(m, 64, last + 1, UINT64_MAX);
            taken = journal_append(j, m, n);
            for (size_t i = 0; i < taken; i += msg_slot_count(&m[i]))
                last = m[i].seq;
        }
        fault_one_in = 0;
        close_journal(j);
        j = open_journal(&o);
        assert_int_equal(journal_last_seq(j), last);
        close_journal(j);
        assert_int_equal(read_all(&rc), last + 1);
        assert_int_equal(rc, 0);
        run("rm -rf %s/*", dir);
    }
}

/* A child appends and counts in shared memory what was taken; it is killed at any moment. */
static void a_killed_writer_loses_nothing(void **state)
{
    (void)state;
    uint8_t *shared = mmap(NULL, STAGING + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t *taken = (uint64_t *)(shared + STAGING), recovered = 0;
    for (int round = 0; round < 12; round++) {
        int rc, status;
        struct journal_options o = small();
        o.staging = shared;
        o.staging_bytes = STAGING;
        o.sync = (enum journal_sync)(round % 3);
        o.blocking = round % 4 == 3;
        pid_t pid = fork();
        if (pid == 0) {
            struct msg m[400];
            struct journal *j = journal_open(dir, &o, &err);
            for (uint64_t seq = j ? journal_last_seq(j) + 1 : 0; j;) {
                size_t n = make_records(m, MSG_SLOTS_MAX + next_random() % 300, seq, UINT64_MAX);
                n = journal_append(j, m, n);
                for (size_t i = 0; i < n; i += msg_slot_count(&m[i]))
                    seq = m[i].seq + 1;
                __atomic_store_n(taken, seq - 1, __ATOMIC_RELEASE);
                journal_poll(j, now_ns += 1000000);
            }
            _exit(1);
        }
        usleep(2000 + (useconds_t)next_random() % 20000);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        uint64_t promised = __atomic_load_n(taken, __ATOMIC_ACQUIRE);
        struct journal *j = open_journal(&o);
        uint64_t last = journal_last_seq(j);
        recovered += journal_state(j)->recovered_records;
        assert_true(last >= promised);
        append(j, last + 1, last + 50);
        *taken = last + 50;
        close_journal(j);
        assert_int_equal(read_all(&rc), last + 51);
        assert_int_equal(rc, 0);
    }
    print_message("%" PRIu64 " messages, %" PRIu64 " of them only in staging\n", *taken, recovered);
    assert_true(recovered > 0);
    munmap(shared, STAGING + 4096);
}

/* Staging of one journal is not written into another. */
static void staging_belongs_to_its_journal(void **state)
{
    (void)state;
    static uint8_t memory[STAGING] __attribute__((aligned(4096)));
    struct journal_options o = small();
    o.staging = memory;
    o.staging_bytes = STAGING;
    pid_t pid;
    uint8_t *shared = mmap(NULL, STAGING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    o.staging = shared;
    if ((pid = fork()) == 0) {
        struct msg m[400];
        struct journal *j = journal_open(dir, &o, &err);
        _exit(j && journal_append(j, m, make_records(m, 400, 1, 100)) ? 0 : 1); /* without a poll */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    memcpy(memory, shared, STAGING);
    o.staging = memory;
    struct journal_options other = small();
    run("mkdir %s/other; mv %s/*%s %s/other || true", dir, dir, JOURNAL_SUFFIX, dir);
    struct journal *j = open_journal(&other);
    append(j, 1, 10);
    close_journal(j);
    assert_null(journal_open(dir, &o, &err));
    assert_non_null(strstr(err.text, "another journal"));
    munmap(shared, STAGING);
}

static void sync_policies_say_what_is_durable(void **state)
{
    (void)state;
    struct journal_options o = small();
    o.blocking = true;
    o.sync = JOURNAL_SYNC_INTERVAL;
    o.interval_ns = 1000000000;
    struct journal *j = open_journal(&o);
    append(j, 1, 600); /* two blocks or so; about 2 ms */
    for (int i = 0; i < 20; i++)
        journal_poll(j, now_ns += 1000000);
    uint64_t written = journal_state(j)->written_seq;
    assert_true(written > 0 && written < 600); /* the open block waits for the interval */
    journal_poll(j, now_ns += 1000000000);
    journal_poll(j, now_ns += 1000000000);
    assert_int_equal(journal_state(j)->durable_seq, 600);
    uint64_t syncs = journal_state(j)->syncs;
    append(j, 601, 1500);
    assert_true(journal_state(j)->durable_seq < 1500);
    assert_int_equal(journal_state(j)->syncs, syncs); /* not before the interval is over */
    close_journal(j);
    run("rm -rf %s/*", dir);
    o.sync = JOURNAL_SYNC_ALWAYS;
    j = open_journal(&o);
    append(j, 1, 3);
    journal_poll(j, now_ns);
    journal_poll(j, now_ns);
    assert_int_equal(journal_state(j)->durable_seq, 3); /* at once, though the block is not full */
    close_journal(j);
}

/* The footer's index stays small however many blocks there are, and still finds each. */
static void the_index_is_bounded(void **state)
{
    (void)state;
    struct journal_index *x = malloc(sizeof *x);
    enum { BLOCKS = 100000 };
    journal_index_reset(x);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        struct block_head b = {.records = 1,
                               .first_seq = i + 1,
                               .last_seq = i + 1,
                               .min_event_ns = (int64_t)(BLOCKS - i),
                               .max_event_ns = (int64_t)(i * 2)};
        journal_index_add(x, &b, i * 100);
    }
    assert_true(x->head.entries <= JOURNAL_INDEX_ENTRIES && x->head.entries > JOURNAL_INDEX_ENTRIES / 4);
    assert_int_equal(x->head.blocks, BLOCKS);
    for (uint32_t i = 0; i < x->head.entries; i++) {
        uint64_t first = i * (uint64_t)x->blocks_per_entry, end = first + x->blocks_per_entry;
        end = end < BLOCKS ? end : BLOCKS;
        assert_int_equal(x->entry[i].offset, first * 100);
        assert_int_equal(x->entry[i].first_seq, first + 1);
        assert_int_equal(x->entry[i].max_event_ns, (end - 1) * 2);
        assert_int_equal(x->entry[i].min_event_ns, BLOCKS - (end - 1));
    }
    free(x);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %" PRIu64 "\n", seed);
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(what_goes_in_comes_out),
        TEST(reopening_goes_on),
        TEST(one_writer_only),
        TEST(a_reader_starts_anywhere),
        TEST(a_segment_stands_alone),
        TEST(a_torn_end_is_cut),
        TEST(any_flipped_byte_is_found),
        TEST(damage_is_kept),
        TEST(what_is_no_capture_says_so),
        TEST(a_live_reader_follows),
        TEST(a_full_disk_loses_nothing),
        TEST(a_bad_disk_loses_nothing),
        TEST(a_failed_sync_is_not_believed),
        TEST(what_is_only_in_the_page_cache_is_not_believed),
        TEST(what_follows_a_gap_is_set_aside),
        TEST(a_segment_to_which_nothing_came),
        TEST(a_killed_writer_loses_nothing),
        TEST(staging_belongs_to_its_journal),
        TEST(sync_policies_say_what_is_durable),
        TEST(the_index_is_bounded),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
