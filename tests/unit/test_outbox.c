/* The outbox: what is committed is there, in order and once, whatever is torn, full or killed. */
#include "net/outbox.h"
#include "tests/unit/temp_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
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
#include <unistd.h>
#include <cmocka.h>

static struct error err;

/* The disk, in front of libc's: what one in `fault_one_in` calls does is fail, or write a part; a sync that
 * fails loses what was not synced. */
static int fault_one_in;
static unsigned faults;
static off_t synced_bytes;

static bool faulty(void)
{
    bool f = fault_one_in && rand() % fault_one_in == 0;
    faults += f;
    return f;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    if (faulty()) {
        if (rand() % 2) {
            errno = (int[]){ENOSPC, EIO, EINTR}[rand() % 3];
            return -1;
        }
        n = n > 1 ? 1 + (size_t)rand() % (n - 1) : n;
    }
    return syscall(SYS_pwrite64, fd, buf, n, at);
}

int fdatasync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    if (faulty()) {
        if (synced_bytes && ftruncate(fd, synced_bytes))
            abort();
        errno = EIO;
        return -1;
    }
    synced_bytes = st.st_size;
    return (int)syscall(SYS_fdatasync, fd);
}

static struct outbox *open_box(uint64_t segment_bytes)
{
    uint64_t cut;
    struct outbox *o = outbox_open(dir, segment_bytes, &cut, &err);
    if (!o)
        fail_msg("%s", err.text);
    return o;
}

/* Event i is determined by i. Buckets take turns; each event is after the one before. */
static struct outbox_record event(uint64_t i, char json[200])
{
    int n = snprintf(
        json, 200, "{\"i\":%" PRIu64 ",\"pad\":\"%.*s\"}", i, (int)(i % 90),
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    return (struct outbox_record){.seq = 1 + i / 3,
                                  .symbol = (uint32_t)(i % 7),
                                  .sub = (uint32_t)(i % 3),
                                  .bucket = (uint16_t)(i % 1026),
                                  .kind = i % 2   ? OUTBOX_ALERT
                                          : i % 3 ? OUTBOX_BAR
                                                  : OUTBOX_SHADOW,
                                  .event_ns = (int64_t)i * 1000,
                                  .name = "SPY",
                                  .name_len = 3,
                                  .json = json,
                                  .json_len = (uint32_t)n};
}

static void append(struct outbox *o, uint64_t i)
{
    char json[200];
    struct outbox_record r = event(i, json);
    assert_int_equal(outbox_append(o, &r, &err), 0);
    assert_int_equal(r.offset, i);
}

static void fill(struct outbox *o, uint64_t from, uint64_t to, uint64_t per_commit)
{
    for (uint64_t i = from; i < to; i++) {
        append(o, i);
        if ((i + 1) % per_commit == 0 || i + 1 == to)
            assert_int_equal(outbox_commit(o, &err), 0);
    }
}

static void check_event(const struct outbox_record *r, uint64_t i)
{
    char json[200];
    struct outbox_record e = event(i, json);
    assert_int_equal(r->offset, i);
    assert_true(r->seq == e.seq && r->symbol == e.symbol && r->sub == e.sub && r->bucket == e.bucket &&
                r->kind == e.kind && r->event_ns == e.event_ns);
    assert_int_equal(r->name_len, 3);
    assert_memory_equal(r->name, "SPY", 3);
    assert_int_equal(r->json_len, e.json_len);
    assert_memory_equal(r->json, json, e.json_len);
}

/* Reads from `from` to the end; returns the offset behind the last good event, *rc how it ended. */
static uint64_t read_all(uint64_t from, int *rc)
{
    uint64_t i;
    struct outbox_record r;
    struct outbox_reader *reader = outbox_reader_open(dir, from, &i, &err);
    *rc = -1;
    if (!reader)
        return from;
    while ((*rc = outbox_read(reader, &r, &err)) == 1)
        check_event(&r, i++);
    outbox_reader_close(reader);
    return i;
}

static uint64_t segments(void)
{
    uint64_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strlen(e->d_name) == 24 && !strcmp(e->d_name + 20, ".rto");
    closedir(d);
    return n;
}

static void events_come_back_in_order(void **state)
{
    (void)state;
    int rc;
    struct outbox *o = open_box(40000);
    assert_int_equal(outbox_next_offset(o), 0);
    struct outbox_reader *r = outbox_reader_open(dir, 0, NULL, &err);
    struct outbox_record rec;
    assert_non_null(r);
    assert_int_equal(outbox_read(r, &rec, &err), 0);
    append(o, 0);
    assert_int_equal(outbox_read(r, &rec, &err), 0); /* not committed: nobody sees it */
    assert_int_equal(outbox_commit(o, &err), 0);
    assert_int_equal(outbox_read(r, &rec, &err), 1);
    check_event(&rec, 0);
    fill(o, 1, 3000, 17);
    for (uint64_t i = 1; i < 3000; i++) {
        assert_int_equal(outbox_read(r, &rec, &err), 1);
        check_event(&rec, i);
    }
    assert_int_equal(outbox_read(r, &rec, &err), 0);
    assert_string_equal(outbox_reader_id(r), outbox_id(o));
    outbox_reader_close(r);
    assert_true(segments() > 3);
    for (uint64_t from = 0; from < 3000; from += 97) {
        assert_int_equal(read_all(from, &rc), 3000);
        assert_int_equal(rc, 0);
    }
    outbox_close(o);
}

static void reopening_goes_on(void **state)
{
    (void)state;
    int rc;
    char id[33];
    struct outbox *o = open_box(40000);
    assert_int_equal(strlen(outbox_id(o)), 32);
    memcpy(id, outbox_id(o), sizeof id);
    fill(o, 0, 2000, 50);
    append(o, 2000); /* never committed */
    outbox_close(o);
    for (uint64_t at = 2000; at < 2600; at += 100) {
        o = open_box(40000);
        assert_string_equal(outbox_id(o), id);
        assert_int_equal(outbox_lost(o), 0);
        assert_int_equal(outbox_next_offset(o), at);
        fill(o, at, at + 100, 7);
        outbox_close(o);
    }
    assert_int_equal(read_all(0, &rc), 2600);
    assert_int_equal(rc, 0);
}

static void what_is_stored_is_known_by_bucket(void **state)
{
    (void)state;
    char json[200];
    struct outbox *o = open_box(20000);
    assert_false(outbox_has(o, 0, 1, 0, 0));
    fill(o, 0, 5000, 100);
    outbox_close(o);
    o = open_box(20000); /* recovered from the last of many segments */
    assert_true(segments() > 5);
    for (uint64_t i = 0; i < 5000; i++) {
        struct outbox_record r = event(i, json);
        assert_true(outbox_has(o, r.bucket, r.seq, r.symbol, r.sub));
        if (i + 1026 >= 5000) { /* the last one of its bucket: each step further is new */
            assert_false(outbox_has(o, r.bucket, r.seq, r.symbol, r.sub + 1));
            assert_false(outbox_has(o, r.bucket, r.seq, r.symbol + 1, 0));
            assert_false(outbox_has(o, r.bucket, r.seq + 1, 0, 0));
        }
    }
    outbox_close(o);
}

static void one_writer_only(void **state)
{
    (void)state;
    char pid[32];
    struct outbox *o = open_box(1 << 20);
    assert_null(outbox_open(dir, 1 << 20, NULL, &err));
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    outbox_close(o);
    outbox_close(open_box(1 << 20));
}

static void delivered_segments_go(void **state)
{
    (void)state;
    int rc;
    uint64_t first;
    struct outbox *o = open_box(20000);
    fill(o, 0, 2000, 20);
    uint64_t before = segments();
    assert_int_equal(outbox_prune(o, 0, &err), 0);
    int gone = outbox_prune(o, 1000, &err);
    assert_true(gone > 0 && segments() == before - (uint64_t)gone);
    struct outbox_reader *r = outbox_reader_open(dir, 5, &first, &err);
    assert_non_null(r);
    assert_true(first > 5 && first <= 1000);
    outbox_reader_close(r);
    assert_int_equal(read_all(1000, &rc), 2000);
    assert_int_equal(rc, 0);
    assert_true(outbox_prune(o, UINT64_MAX, &err) > 0);
    assert_int_equal(segments(), 1); /* the one being written stays */
    assert_int_equal(outbox_next_offset(o), 2000);
    outbox_close(o);
}

static void an_outbox_knows_what_it_was(void **state)
{
    (void)state;
    char id[40];
    struct outbox *o = open_box(1 << 20);
    assert_string_equal(outbox_previous(o)->id, "");
    fill(o, 0, 100, 20);
    snprintf(id, sizeof id, "%s", outbox_id(o));
    assert_int_equal(outbox_note_previous(o, id, &err), 0);
    outbox_close(o);
    run("rm %s/id", dir);
    o = open_box(1 << 20);
    assert_string_not_equal(outbox_id(o), id);
    assert_string_equal(outbox_previous(o)->id, id);
    assert_int_equal(outbox_previous(o)->offset, 100);
    outbox_close(o);
}

/* By the times of the files: the two oldest are made a day older. */
static void old_segments_are_known(void **state)
{
    (void)state;
    const int64_t second_ns = 1000000000;
    struct dirent **list;
    struct timespec now;
    struct outbox *o = open_box(20000);
    fill(o, 0, 2000, 20);
    clock_gettime(CLOCK_REALTIME, &now);
    int n = scandir(dir, &list, NULL, alphasort), aged = 0;
    for (int i = 0; i < n; i++) {
        char path[512];
        struct timespec times[2] = {{now.tv_sec - 86400, 0}, {now.tv_sec - 86400, 0}};
        snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        if (strstr(list[i]->d_name, ".rto") && aged < 2 && ++aged)
            assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        free(list[i]);
    }
    free(list);
    assert_int_equal(aged, 2);
    assert_int_equal(outbox_offset_at(o, (now.tv_sec - 2 * 86400) * second_ns), 0);
    assert_int_equal(outbox_offset_at(o, (now.tv_sec + 3600) * second_ns), 2000);
    uint64_t third = outbox_offset_at(o, (now.tv_sec - 3600) * second_ns);
    assert_true(third > 0 && third < 2000);
    assert_int_equal(outbox_prune(o, third, &err), 2);
    outbox_close(o);
}

static char last_segment[128];
static off_t last_bytes;

/* The newest segment's path and size. */
static void find_last(void)
{
    struct stat st;
    char best[32] = "";
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        if (strlen(e->d_name) == 24 && strcmp(e->d_name, best) > 0)
            memcpy(best, e->d_name, 25);
    closedir(d);
    snprintf(last_segment, sizeof last_segment, "%s/%s", dir, best);
    assert_int_equal(stat(last_segment, &st), 0);
    last_bytes = st.st_size;
}

struct content {
    char path[160];
    uint8_t bytes[65536];
    size_t n;
};

static void load(struct content *c, const char *path)
{
    snprintf(c->path, sizeof c->path, "%s", path);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    c->n = fread(c->bytes, 1, sizeof c->bytes, f);
    fclose(f);
}

static void store(const struct content *c, size_t n)
{
    FILE *f = fopen(c->path, "r+");
    assert_non_null(f);
    assert_int_equal(fwrite(c->bytes, 1, c->n, f), c->n);
    fclose(f);
    assert_int_equal(truncate(c->path, (off_t)n), 0);
}

static void a_torn_end_is_cut(void **state)
{
    (void)state;
    int rc;
    static struct content segment, committed;
    char path[160];
    struct outbox *o = open_box(1 << 20);
    fill(o, 0, 30, 5);
    outbox_close(o);
    find_last();
    load(&segment, last_segment);
    snprintf(path, sizeof path, "%s/committed", dir);
    load(&committed, path);
    for (size_t n = 16448; n < segment.n; n++) {
        store(&segment, n);
        store(&committed, committed.n);
        uint64_t good = read_all(0, &rc); /* never other than the events, and no silence about the rest */
        assert_true(good % 5 == 0 && good < 30);
        assert_int_equal(rc, -1);
        if (n % 3)
            continue;
        o = open_box(1 << 20);
        assert_int_equal(outbox_next_offset(o), good);
        assert_int_equal(outbox_lost(o), 30 - good);
        fill(o, good, good + 3, 3);
        outbox_close(o);
        assert_int_equal(read_all(0, &rc), good + 3);
        assert_int_equal(rc, 0);
    }
    store(&segment, 1000); /* within the segment's head: it never held anything */
    o = open_box(1 << 20);
    assert_int_equal(outbox_next_offset(o), 0);
    outbox_close(o);
}

/* A batch that was written, but of which no reader had heard: no loss, no new id, and no trace if it is torn.
 */
static void an_uncommitted_tail_is_no_loss(void **state)
{
    (void)state;
    int rc;
    char id[33];
    uint64_t cut = 0;
    struct outbox *o = open_box(1 << 20);
    fill(o, 0, 20, 10);
    memcpy(id, outbox_id(o), sizeof id);
    run("cp %s/committed %s.committed", dir, dir);
    fill(o, 20, 30, 10);
    outbox_close(o);
    find_last();
    run("cp %s.committed %s/committed", dir, dir);
    assert_int_equal(read_all(0, &rc), 20); /* a reader sees what was committed */
    assert_int_equal(rc, 0);
    run("cp -r %s %s.whole", dir, dir);
    outbox_close(open_box(1 << 20));
    assert_int_equal(read_all(0, &rc), 30); /* whole: taken */
    run("cp %s.whole/* %s/", dir, dir);
    assert_int_equal(truncate(last_segment, last_bytes - 3), 0);
    o = outbox_open(dir, 1 << 20, &cut, &err);
    assert_non_null(o);
    assert_true(cut > 0);
    assert_int_equal(outbox_next_offset(o), 20);
    assert_string_equal(outbox_id(o), id);
    assert_int_equal(outbox_lost(o), 0);
    outbox_close(o);
}

static void any_flipped_byte_is_found(void **state)
{
    (void)state;
    int rc;
    struct outbox *o = open_box(1 << 20);
    fill(o, 0, 40, 10);
    outbox_close(o);
    find_last();
    int fd = open(last_segment, O_RDWR);
    for (off_t at = 0; at<last_bytes; at += at> 40 && at < 16300 ? 50 : 1) {
        uint8_t byte, other;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        other = byte ^ (uint8_t)(1 << at % 8);
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        assert_true(read_all(0, &rc) < 40);
        assert_int_equal(rc, -1);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    /* damage before good batches: what is cut off is kept, and the loss makes it another outbox */
    char id[33];
    uint64_t cut = 0;
    assert_int_equal(pwrite(fd, "?", 1, last_bytes / 2 + 8200), 1);
    close(fd);
    o = outbox_open(dir, 1 << 20, &cut, &err);
    assert_non_null(o);
    assert_true(outbox_lost(o) >= 10 && outbox_lost(o) == 40 - outbox_next_offset(o));
    memcpy(id, outbox_id(o), sizeof id);
    run("test $(stat -c %%s %s.cut-*) = %" PRIu64, last_segment, cut);
    outbox_close(o);
    o = open_box(1 << 20);
    assert_string_equal(outbox_id(o), id); /* once */
    outbox_close(o);
}

static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    int rc;
    struct rlimit old, small = {.rlim_cur = 20000};
    struct outbox *o = open_box(1 << 20);
    fill(o, 0, 10, 5);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (uint64_t i = 10; i < 200; i++)
        append(o, i);
    assert_int_equal(outbox_commit(o, &err), -1);
    assert_non_null(strstr(err.text, "ulimit"));
    assert_int_equal(outbox_commit(o, &err), -1);
    assert_int_equal(read_all(0, &rc), 10);
    assert_int_equal(rc, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    append(o, 200);
    assert_int_equal(outbox_commit(o, &err), 0);
    assert_int_equal(read_all(0, &rc), 201);
    assert_int_equal(rc, 0);
    outbox_close(o);
}

/* Any write and any sync may fail at any time: a commit that failed is tried again, and nothing is there
 * twice. */
static void a_bad_disk_loses_nothing(void **state)
{
    (void)state;
    int rc;
    struct outbox *o = open_box(1 << 20);
    fill(o, 0, 5, 5);
    fault_one_in = 3;
    for (uint64_t i = 5; i < 500; i++) {
        append(o, i);
        if (i % 3 == 0 && outbox_commit(o, &err))
            assert_non_null(strstr(err.text, "commit again"));
    }
    fault_one_in = 0;
    assert_int_equal(outbox_commit(o, &err), 0);
    assert_true(faults > 50);
    assert_int_equal(outbox_next_offset(o), 500);
    assert_int_equal(read_all(0, &rc), 500);
    assert_int_equal(rc, 0);
    outbox_close(o);
    o = open_box(1 << 20);
    assert_int_equal(outbox_lost(o), 0);
    outbox_close(o);
}

static void a_refused_outbox_stays_refused(void **state)
{
    (void)state;
    int rc;
    struct outbox *o = open_box(1 << 20);
    assert_int_equal(outbox_last_seq(o), 0);
    fill(o, 0, 40, 10);
    uint64_t last = outbox_last_seq(o);
    assert_true(last > 0);
    assert_int_equal(outbox_refuse(o, "these are of another run", &err), 0);
    outbox_close(o);
    assert_null(outbox_open(dir, 1 << 20, NULL, &err));
    assert_non_null(strstr(err.text, "refused: these are of another run"));
    assert_int_equal(read_all(0, &rc), 40); /* sinks and audit may */
    run("rm %s/refused", dir);
    o = open_box(1 << 20);
    assert_int_equal(outbox_last_seq(o), last);
    outbox_close(o);
}

static void what_is_no_outbox_says_so(void **state)
{
    (void)state;
    assert_null(outbox_reader_open(dir, 0, NULL, &err));
    assert_non_null(strstr(err.text, "no outbox"));
    run("head -c 20000 /dev/zero | tr '\\0' 'x' > %s/00000000000000000000.rto", dir);
    assert_null(outbox_open(dir, 1 << 20, NULL, &err));
    assert_non_null(strstr(err.text, "not an outbox"));
    run("rm %s/*.rto; echo junk > %s/id", dir, dir);
    assert_null(outbox_open(dir, 1 << 20, NULL, &err));
    assert_non_null(strstr(err.text, "32 hex digits"));
}

/* A child commits and counts in shared memory what it was told is stored; it is killed at any moment: every
 * other time while it may still be opening, else once it has stored something. */
static void a_killed_writer_keeps_its_word(void **state)
{
    (void)state;
    uint64_t *acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 8; round++) {
        int rc;
        pid_t pid = fork();
        if (pid == 0) {
            struct outbox *o = outbox_open(dir, 30000, NULL, &err);
            char json[200];
            for (uint64_t i = o ? outbox_next_offset(o) : 0; o; i++) {
                struct outbox_record r = event(i, json);
                if (outbox_append(o, &r, &err) || (i % 5 == 0 && outbox_commit(o, &err)))
                    _exit(1);
                if (i % 5 == 0)
                    __atomic_store_n(acked, i + 1, __ATOMIC_RELEASE);
            }
            _exit(1);
        }
        uint64_t before = *acked;
        for (int ms = 0; round % 2 && __atomic_load_n(acked, __ATOMIC_ACQUIRE) == before; ms++) {
            assert_true(ms < 60000);
            usleep(1000);
        }
        usleep(3000 + (useconds_t)round * 4000);
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        uint64_t want = __atomic_load_n(acked, __ATOMIC_ACQUIRE);
        if (want) {                                /* else there may be no outbox yet */
            assert_true(read_all(0, &rc) >= want); /* without recovery */
            assert_int_equal(rc, 0);
        }
        struct outbox *o = open_box(30000);
        uint64_t got = outbox_next_offset(o);
        assert_int_equal(outbox_lost(o), 0);
        outbox_close(o);
        assert_true(got >= want);
        assert_int_equal(read_all(0, &rc), got);
        assert_int_equal(rc, 0);
    }
    assert_true(*acked > 0);
    munmap(acked, 4096);
}

enum { RACE_EVENTS = 3000 };

static void *write_race(void *arg)
{
    struct outbox *o = arg;
    for (uint64_t i = 0; i < RACE_EVENTS; i++) {
        char json[200];
        struct outbox_record r = event(i, json);
        if (outbox_append(o, &r, NULL) || (i % 10 == 9 && outbox_commit(o, NULL)))
            return NULL;
    }
    return o;
}

static void readers_follow_the_writer(void **state)
{
    (void)state;
    pthread_t thread;
    void *result;
    struct outbox_record rec;
    struct outbox *o = open_box(50000);
    struct outbox_reader *r = outbox_reader_open(dir, 0, NULL, &err);
    assert_non_null(r);
    assert_int_equal(pthread_create(&thread, NULL, write_race, o), 0);
    for (uint64_t i = 0; i < RACE_EVENTS;) {
        int rc = outbox_read(r, &rec, &err);
        if (rc < 0)
            fail_msg("%s", err.text);
        if (rc == 1)
            check_event(&rec, i++);
    }
    pthread_join(thread, &result);
    assert_non_null(result);
    outbox_reader_close(r);
    outbox_close(o);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(events_come_back_in_order),
        TEST(reopening_goes_on),
        TEST(what_is_stored_is_known_by_bucket),
        TEST(one_writer_only),
        TEST(delivered_segments_go),
        TEST(old_segments_are_known),
        TEST(an_outbox_knows_what_it_was),
        TEST(a_torn_end_is_cut),
        TEST(an_uncommitted_tail_is_no_loss),
        TEST(any_flipped_byte_is_found),
        TEST(a_full_disk_loses_nothing),
        TEST(a_bad_disk_loses_nothing),
        TEST(a_refused_outbox_stays_refused),
        TEST(what_is_no_outbox_says_so),
        TEST(a_killed_writer_keeps_its_word),
        TEST(readers_follow_the_writer),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
