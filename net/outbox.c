#include "net/outbox.h"

#include "core/bucket.h"
#include "net/segment.h"
#include "shm/atomics.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files: `id`, `previous`, `refused` (text), `committed` (struct committed), `lock`, and segments NUMBER.rto,
 * NUMBER the offset of the first event: struct head, then batches: struct batch and its records, each a
 * struct record, name, json.
 */
#define SUFFIX ".rto"
#define MAGIC  "RTOUTB\r\n"
enum { VERSION = 1, BATCH_MAGIC = 0x42545221, BATCH_BYTES_MAX = 64 << 20, ID_TEXT = 2 * SEGMENT_ID_BYTES };

/* An event's place in the total order of its bucket; all 0: none yet. */
struct place {
    uint64_t seq;
    uint32_t symbol, sub;
};

/* A segment starts with the last event of each bucket before it, so that recovery reads one segment, and what
 * was deleted stays known. */
struct head {
    char magic[8];
    uint32_t version, buckets;
    uint64_t first_offset;
    uint64_t check; /* xxh3_64 of `last`, seeded with that of all before it */
    struct place last[BUCKET_ALL];
};

struct batch {
    uint32_t magic;
    uint32_t check; /* low half of the xxh3_64 of all behind it */
    uint32_t bytes, records;
    uint64_t first_offset;
    uint64_t payload_check; /* xxh3_64 */
};

struct record {
    uint64_t seq;
    int64_t event_ns;
    uint32_t symbol, sub;
    uint16_t bucket;
    uint8_t kind, name_len;
    uint32_t json_len;
};
_Static_assert(sizeof(struct head) == 32 + BUCKET_ALL * 16 && sizeof(struct batch) == 32 &&
                   sizeof(struct record) == 32,
               "no padding: they are stored as they are");

enum { HEAD_BYTES = sizeof(struct head) };

/* Shared with the readers: events below `next` are durable. A value from before a reboot is at most too
 * small. */
struct committed {
    uint64_t magic, next;
};
#define COMMITTED_MAGIC UINT64_C(0x314d4f4354554f52) /* "ROUTCOM1" */
enum { COMMITTED_BYTES = 4096 };

struct outbox {
    char dir[4000];
    char id[ID_TEXT + 1];
    struct outbox_previous previous;
    int dir_fd, lock_fd, fd;     /* fd: of the last segment, -1 if there is none yet */
    uint64_t segment_bytes, end; /* end: of the batches in it */
    uint64_t next;               /* offset of the first event that is not committed */
    uint64_t lost;
    bool is_new;
    struct committed *committed;
    uint8_t *batch; /* struct batch, then the records in hand */
    size_t used, room;
    uint32_t records;
    struct head head;              /* .last: as of the last commit */
    struct place last[BUCKET_ALL]; /* with the batch in hand */
};

static uint64_t head_check(const struct head *h)
{
    uint64_t seed = XXH3_64bits(h, offsetof(struct head, check));
    return XXH3_64bits_withSeed(h->last, sizeof h->last, seed);
}

static uint32_t batch_check(const struct batch *b)
{
    return (uint32_t)XXH3_64bits(&b->bytes, sizeof *b - offsetof(struct batch, bytes));
}

static bool is_after(const struct place *a, const struct place *b)
{
    if (a->seq != b->seq)
        return a->seq > b->seq;
    return a->symbol != b->symbol ? a->symbol > b->symbol : a->sub > b->sub;
}

/* Reads the segment's head. 1; 0 if the file is shorter than that, or zeros stand there; -1 with err. */
static int read_head(int fd, const char *name, struct head *h, struct error *err)
{
    int64_t n = segment_read(fd, h, sizeof *h, 0);
    if (n < 0)
        return error_set(err, "%s: cannot read: %s%s", name, strerror(errno), segment_advice(errno));
    static const struct head zero;
    if (n < (int64_t)sizeof *h || !memcmp(h, &zero, sizeof zero))
        return 0;
    if (memcmp(h->magic, MAGIC, sizeof h->magic))
        return error_set(err, "%s: not an outbox segment: expected it to start with RTOUTB; move it away",
                         name);
    if (h->version != VERSION || h->buckets != BUCKET_ALL)
        return error_set(err,
                         "%s: found format version %" PRIu32 " with %" PRIu32
                         " buckets, expected %d with %d; use "
                         "the ringtape that wrote it",
                         name, h->version, h->buckets, VERSION, BUCKET_ALL);
    if (h->check != head_check(h))
        return error_set(
            err,
            "%s: damaged: the checksum of its head (%d bytes at offset 0) is wrong; restore the file "
            "from a copy",
            name, HEAD_BYTES);
    return 1;
}

/* The batch at `at`: 1 with *b and its payload in *buf (grown); 0 at the file's end; -1 with err: what is
 * found. With `buf` NULL only the head is read. */
static int read_batch(int fd, uint64_t at, struct batch *b, uint8_t **buf, size_t *room, struct error *err)
{
    int64_t n = segment_read(fd, b, sizeof *b, at);
    if (n == 0)
        return 0;
    if (n < 0)
        return error_set(err, "cannot read: %s%s", strerror(errno), segment_advice(errno));
    if (n < (int64_t)sizeof *b)
        return error_set(err, "found %" PRId64 " bytes, expected a batch's head of %zu", n, sizeof *b);
    if (b->magic != BATCH_MAGIC || b->check != batch_check(b) || b->bytes > BATCH_BYTES_MAX)
        return error_set(err, "found no batch, or one with a wrong checksum of its head");
    if (!buf)
        return 1;
    if (b->bytes > *room) {
        uint8_t *more = realloc(*buf, b->bytes);
        if (!more)
            return error_set(err, "out of memory for a batch of %" PRIu32 " bytes", b->bytes);
        *buf = more;
        *room = b->bytes;
    }
    n = segment_read(fd, *buf, b->bytes, at + sizeof *b);
    if (n < 0)
        return error_set(err, "cannot read: %s%s", strerror(errno), segment_advice(errno));
    if (n < (int64_t)b->bytes)
        return error_set(err, "found %" PRId64 " bytes of a batch, expected %" PRIu32, n, b->bytes);
    if (b->payload_check != XXH3_64bits(*buf, b->bytes))
        return error_set(err, "the checksum of a batch of %" PRIu32 " bytes is wrong", b->bytes);
    return 1;
}

/* The record at p[0..n): its bytes with name and text, 0 if it is none. */
static size_t parse_record(const uint8_t *p, size_t n, struct record *r)
{
    if (n < sizeof *r)
        return 0;
    memcpy(r, p, sizeof *r);
    size_t bytes = sizeof *r + r->name_len + (size_t)r->json_len;
    return bytes <= n && r->bucket < BUCKET_ALL ? bytes : 0;
}

/* Writing. */

static int committed_open(int dir_fd, const char *dir, bool write, struct committed **c, struct error *err)
{
    int fd = openat(dir_fd, "committed", write ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set(err, "%s/committed: cannot open: %s%s", dir, strerror(errno), segment_advice(errno));
    struct stat st;
    void *map = MAP_FAILED;
    /* allocated, not only long: a full disk must be an error here, not a SIGBUS at a store */
    int e = write ? posix_fallocate(fd, 0, COMMITTED_BYTES) : 0;
    if (e == 0 && fstat(fd, &st) == 0 && st.st_size >= COMMITTED_BYTES)
        map = mmap(NULL, COMMITTED_BYTES, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    e = e ? e : errno;
    close(fd);
    if (map == MAP_FAILED)
        return error_set(err, "%s/committed: cannot map: %s%s", dir, strerror(e), segment_advice(e));
    *c = map;
    return 0;
}

/* Writes a file of one line anew, durably. */
static int write_line(const struct outbox *o, const char *name, const char *text, struct error *err)
{
    char made[32];
    snprintf(made, sizeof made, "%s.new", name);
    int fd = openat(o->dir_fd, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    int rc = fd < 0 || segment_write(fd, text, strlen(text), 0) || fsync(fd) ||
                     renameat(o->dir_fd, made, o->dir_fd, name) || fsync(o->dir_fd)
                 ? error_set(err, "%s/%s: cannot write: %s%s", o->dir, name, strerror(errno),
                             segment_advice(errno))
                 : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_id(const struct outbox *o, struct error *err)
{
    char text[ID_TEXT + 2];
    snprintf(text, sizeof text, "%s\n", o->id);
    return write_line(o, "id", text, err);
}

int outbox_note_previous(struct outbox *o, const char *id, struct error *err)
{
    char text[ID_TEXT + 32];
    snprintf(o->previous.id, sizeof o->previous.id, "%s", id);
    o->previous.offset = o->next;
    snprintf(text, sizeof text, "%s %" PRIu64 "\n", id, o->next);
    return write_line(o, "previous", text, err);
}

/* What cannot be read is as if it were not there: its only use is to spare sinks duplicates. */
static void read_previous(struct outbox *o)
{
    char text[ID_TEXT + 32];
    int fd = openat(o->dir_fd, "previous", O_RDONLY | O_CLOEXEC);
    int64_t n = fd < 0 ? -1 : segment_read(fd, text, sizeof text - 1, 0);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%32[0-9a-f] %" SCNu64, o->previous.id, &o->previous.offset) != 2)
        o->previous.id[0] = 0;
}

int outbox_refuse(struct outbox *o, const char *why, struct error *err)
{
    char text[1100];
    snprintf(text, sizeof text, "%s\n", why);
    return write_line(o, "refused", text, err);
}

/* -1 with err if someone has refused to go on with this outbox. */
static int see_refused(const struct outbox *o, struct error *err)
{
    char why[512];
    int fd = openat(o->dir_fd, "refused", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    int64_t n = fd < 0 ? -1 : segment_read(fd, why, sizeof why - 1, 0);
    if (fd >= 0)
        close(fd);
    why[n > 0 ? n : 0] = 0;
    why[strcspn(why, "\n")] = 0;
    return error_set(err, "%s/refused: %s", o->dir, why);
}

static void new_id(struct outbox *o)
{
    uint8_t id[SEGMENT_ID_BYTES];
    segment_random_id(id);
    segment_id_text(id, o->id);
}

/* 1 with the id in text; 0 if there is none; -1 with err. */
static int read_id(int dir_fd, const char *dir, char text[ID_TEXT + 1], struct error *err)
{
    int fd = openat(dir_fd, "id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    int64_t n = fd < 0 ? -1 : segment_read(fd, text, ID_TEXT, 0);
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return error_set(err, "%s/id: cannot read: %s%s", dir, strerror(e), segment_advice(e));
    text[n] = 0;
    if (n != ID_TEXT || strspn(text, "0123456789abcdef") != ID_TEXT)
        return error_set(
            err, "%s/id: found no id; expected %d hex digits: remove the file to give the outbox a new id",
            dir, ID_TEXT);
    return 1;
}

/* Is there a whole batch somewhere behind `at`? Then what stands there is no torn tail. */
static bool batch_follows(int fd, uint64_t at)
{
    enum { PIECE = 1 << 20 };
    uint8_t *buf = malloc(PIECE);
    bool found = false;
    for (at++; buf && !found; at += PIECE - sizeof(struct batch)) {
        int64_t n = segment_read(fd, buf, PIECE, at);
        for (int64_t i = 0; i + (int64_t)sizeof(struct batch) <= n && !found; i++) {
            struct batch b;
            memcpy(&b, buf + i, sizeof b);
            found = b.magic == BATCH_MAGIC && b.check == batch_check(&b);
        }
        if (n < PIECE)
            break;
    }
    free(buf);
    return found;
}

/* Takes the events of a batch into `last`; false if they are none, or do not follow. */
static bool recover_batch(struct outbox *o, const struct batch *b)
{
    size_t at = 0;
    if (b->first_offset != o->next)
        return false;
    for (uint32_t i = 0; i < b->records; i++) {
        struct record r;
        size_t n = parse_record(o->batch + at, b->bytes - at, &r);
        if (!n)
            return false;
        o->last[r.bucket] = (struct place){r.seq, r.symbol, r.sub};
        at += n;
    }
    o->next += b->records;
    return true;
}

/* Writes what stands at [from, to) again: where the last sync before us failed, the kernel may hold it as
 * clean though the disk has none of it, and the next sync would not write it. */
static int write_again(struct outbox *o, uint64_t from, uint64_t to)
{
    uint8_t *bytes = malloc(to - from);
    int rc = !bytes || segment_read(o->fd, bytes, to - from, from) != (int64_t)(to - from)
                 ? -1
                 : segment_write(o->fd, bytes, to - from, from);
    free(bytes);
    return rc;
}

/* Reads the segment, cuts a torn tail off. 1, 0 if the file holds nothing, -1 with err. */
static int recover_segment(struct outbox *o, uint64_t number, uint64_t *recovered_bytes, struct error *err)
{
    char name[SEGMENT_NAME_BYTES], path[4200];
    struct stat st;
    struct error what;
    segment_name(name, number, SUFFIX);
    snprintf(path, sizeof path, "%s/%s", o->dir, name);
    o->fd = openat(o->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (o->fd < 0 || fstat(o->fd, &st))
        return error_set(err, "%s: cannot open: %s%s", path, strerror(errno), segment_advice(errno));
    int rc = read_head(o->fd, path, &o->head, err);
    if (rc == 1 && o->head.first_offset != number)
        rc = error_set(err, "%s: found that its first event is %" PRIu64 "; expected that of its name", path,
                       o->head.first_offset);
    if (rc <= 0)
        return st.st_size <= HEAD_BYTES ? 0 : rc; /* a power cut as it was made: no event was in it */
    memcpy(o->last, o->head.last, sizeof o->last);
    o->next = number;
    o->end = HEAD_BYTES;
    struct batch b;
    uint64_t last = 0; /* where the last batch begins, or the head before the first */
    while ((rc = read_batch(o->fd, o->end, &b, &o->batch, &o->room, &what)) == 1 && recover_batch(o, &b)) {
        last = o->end > HEAD_BYTES ? o->end : 0;
        o->end += sizeof b + b.bytes;
    }
    memcpy(o->head.last, o->last, sizeof o->last);
    if (write_again(o, last, o->end))
        return error_set(err, "%s: cannot write the last batch again: %s%s", path, strerror(errno),
                         segment_advice(errno));
    if (rc == 0)
        return 1;
    bool keep = batch_follows(o->fd, o->end);
    if (segment_cut(o->dir_fd, o->dir, name, o->end, keep, err))
        return -1;
    *recovered_bytes += (uint64_t)st.st_size - o->end;
    return 1;
}

/* The last segment with something in it becomes the one to append to. */
static int recover(struct outbox *o, uint64_t *recovered_bytes, struct error *err)
{
    uint64_t *numbers;
    int n = segment_list(o->dir, SUFFIX, &numbers, err), rc = n < 0 ? -1 : 0;
    while (n > 0 && rc == 0) {
        rc = recover_segment(o, numbers[--n], recovered_bytes, err);
        if (rc == 0) { /* made, but never committed to */
            char name[SEGMENT_NAME_BYTES];
            segment_name(name, numbers[n], SUFFIX);
            close(o->fd);
            o->fd = -1;
            if (unlinkat(o->dir_fd, name, 0))
                rc = error_set(err, "%s/%s: cannot remove this empty file: %s%s", o->dir, name,
                               strerror(errno), segment_advice(errno));
        }
    }
    free(numbers);
    if (rc == 1 && fdatasync(o->fd))
        rc = error_set(err, "%s: cannot sync: %s%s", o->dir, strerror(errno), segment_advice(errno));
    return rc < 0 ? -1 : 0;
}

/* Compares what is there with what was: events that are gone make it another outbox. */
static int settle_id(struct outbox *o, struct error *err)
{
    uint64_t before = o->committed->magic == COMMITTED_MAGIC ? o->committed->next : 0;
    int rc = read_id(o->dir_fd, o->dir, o->id, err);
    if (rc < 0)
        return -1;
    o->lost = before > o->next ? before - o->next : 0;
    read_previous(o);
    if (o->lost && rc && outbox_note_previous(o, o->id, err))
        return -1;
    o->is_new = rc == 0;
    if (o->is_new || o->lost) {
        new_id(o);
        if (write_id(o, err))
            return -1;
    }
    atomics_store_release_u64(&o->committed->next, o->next);
    atomics_store_release_u64(&o->committed->magic, COMMITTED_MAGIC);
    return 0;
}

static bool reserve(struct outbox *o, size_t bytes)
{
    if (bytes <= o->room)
        return true;
    size_t room = bytes > 2 * o->room ? bytes : 2 * o->room;
    uint8_t *more = realloc(o->batch, room);
    if (more) {
        o->batch = more;
        o->room = room;
    }
    return more != NULL;
}

struct outbox *outbox_open(const char *dir, uint64_t segment_bytes, uint64_t *recovered_bytes,
                           struct error *err)
{
    uint64_t cut = 0;
    struct outbox *o = calloc(1, sizeof *o);
    if (!o || !reserve(o, 1 << 16)) {
        error_set(err, "outbox: out of memory");
        free(o);
        return NULL;
    }
    o->dir_fd = o->lock_fd = o->fd = -1;
    o->segment_bytes = segment_bytes;
    snprintf(o->dir, sizeof o->dir, "%s", dir);
    if ((o->dir_fd = segment_dir_open(dir, true, err)) < 0 ||
        (o->lock_fd = segment_lock(dir, "outbox", err)) < 0 || see_refused(o, err) || recover(o, &cut, err) ||
        committed_open(o->dir_fd, dir, true, &o->committed, err) || settle_id(o, err)) {
        outbox_close(o);
        return NULL;
    }
    o->used = sizeof(struct batch);
    if (recovered_bytes)
        *recovered_bytes = cut;
    return o;
}

const struct outbox_previous *outbox_previous(const struct outbox *o)
{
    return &o->previous;
}
const char *outbox_id(const struct outbox *o)
{
    return o->id;
}

uint64_t outbox_next_offset(const struct outbox *o)
{
    return o->next + o->records;
}

uint64_t outbox_lost(const struct outbox *o)
{
    return o->lost;
}

bool outbox_is_new(const struct outbox *o)
{
    return o->is_new;
}

uint64_t outbox_last_seq(const struct outbox *o)
{
    uint64_t last = 0;
    for (unsigned b = 0; b < BUCKET_ALL; b++)
        last = o->last[b].seq > last ? o->last[b].seq : last;
    return last;
}

bool outbox_has(const struct outbox *o, uint16_t bucket, uint64_t seq, uint32_t symbol, uint32_t sub)
{
    assert(bucket < BUCKET_ALL);
    return !is_after(&(struct place){seq, symbol, sub}, &o->last[bucket]);
}

int outbox_append(struct outbox *o, struct outbox_record *r, struct error *err)
{
    assert(r->bucket < BUCKET_ALL && r->name_len <= UINT8_MAX && r->seq > 0);
    size_t bytes = sizeof(struct record) + r->name_len + (size_t)r->json_len;
    if (o->used + bytes > BATCH_BYTES_MAX)
        return error_set(
            err,
            "outbox: found a batch of %zu bytes and an event of %zu; expected at most %d: commit "
            "first",
            o->used, bytes, BATCH_BYTES_MAX);
    if (!reserve(o, o->used + bytes))
        return error_set(err, "outbox: out of memory for a batch of %zu bytes", o->used + bytes);
    struct record to = {.seq = r->seq,
                        .event_ns = r->event_ns,
                        .symbol = r->symbol,
                        .sub = r->sub,
                        .bucket = r->bucket,
                        .kind = r->kind,
                        .name_len = (uint8_t)r->name_len,
                        .json_len = r->json_len};
    memcpy(o->batch + o->used, &to, sizeof to);
    memcpy(o->batch + o->used + sizeof to, r->name, r->name_len);
    memcpy(o->batch + o->used + sizeof to + r->name_len, r->json, r->json_len);
    o->used += bytes;
    o->last[r->bucket] = (struct place){r->seq, r->symbol, r->sub};
    r->offset = o->next + o->records++;
    return 0;
}

/* Starts the segment that begins with the batch in hand. */
static int next_segment(struct outbox *o, struct error *err)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, o->next, SUFFIX);
    memcpy(o->head.magic, MAGIC, sizeof o->head.magic);
    o->head.version = VERSION;
    o->head.buckets = BUCKET_ALL;
    o->head.first_offset = o->next;
    o->head.check = head_check(&o->head);
    int fd = openat(o->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || segment_write(fd, &o->head, sizeof o->head, 0) || fsync(fd) || fsync(o->dir_fd)) {
        error_set(err, "%s/%s: cannot make this file: %s%s", o->dir, name, strerror(errno),
                  segment_advice(errno));
        if (fd >= 0) {
            close(fd);
            unlinkat(o->dir_fd, name, 0);
        }
        return -1;
    }
    if (o->fd >= 0)
        close(o->fd);
    o->fd = fd;
    o->end = HEAD_BYTES;
    return 0;
}

/* What a commit that failed has left behind the last batch would be damage in a segment that is not the last.
 */
static int cut_failed(struct outbox *o, struct error *err)
{
    if (o->fd < 0 || (!ftruncate(o->fd, (off_t)o->end) && !fdatasync(o->fd)))
        return 0;
    return error_set(err, "%s: cannot cut the segment at %" PRIu64 ": %s%s", o->dir, o->end, strerror(errno),
                     segment_advice(errno));
}

int outbox_commit(struct outbox *o, struct error *err)
{
    if (!o->records)
        return 0;
    if ((o->fd < 0 || (o->end > HEAD_BYTES && o->end + o->used > o->segment_bytes)) &&
        (cut_failed(o, err) || next_segment(o, err)))
        return -1;
    struct batch *b = (struct batch *)o->batch;
    *b = (struct batch){.magic = BATCH_MAGIC,
                        .bytes = (uint32_t)(o->used - sizeof *b),
                        .records = o->records,
                        .first_offset = o->next,
                        .payload_check = XXH3_64bits(o->batch + sizeof *b, o->used - sizeof *b)};
    b->check = batch_check(b);
    if (segment_write(o->fd, o->batch, o->used, o->end) || fdatasync(o->fd)) {
        int e = errno;
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, o->head.first_offset, SUFFIX);
        return error_set(err,
                         "%s/%s: cannot store %" PRIu32 " events (%zu bytes at offset %" PRIu64
                         "): %s%s; they are "
                         "kept, commit again",
                         o->dir, name, o->records, o->used, o->end, strerror(e), segment_advice(e));
    }
    o->end += o->used;
    o->next += o->records;
    o->records = 0;
    o->used = sizeof *b;
    memcpy(o->head.last, o->last, sizeof o->last);
    atomics_store_release_u64(&o->committed->next, o->next);
    return 0;
}

uint64_t outbox_offset_at(const struct outbox *o, int64_t utc_ns)
{
    uint64_t *numbers, offset = o->next;
    int n = segment_list(o->dir, SUFFIX, &numbers, NULL);
    for (int i = n; i-- > 0;) {
        char name[SEGMENT_NAME_BYTES];
        struct stat st;
        segment_name(name, numbers[i], SUFFIX);
        if (fstatat(o->dir_fd, name, &st, 0) ||
            (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec < utc_ns)
            break;
        offset = numbers[i];
    }
    if (n >= 0)
        free(numbers);
    return offset;
}

int outbox_prune(struct outbox *o, uint64_t offset, struct error *err)
{
    uint64_t *numbers;
    int n = segment_list(o->dir, SUFFIX, &numbers, err), gone = 0;
    for (int i = 0; i + 1 < n && numbers[i + 1] <= offset && numbers[i + 1] <= o->next; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, numbers[i], SUFFIX);
        if (unlinkat(o->dir_fd, name, 0)) {
            gone = error_set(err, "%s/%s: cannot remove: %s%s", o->dir, name, strerror(errno),
                             segment_advice(errno));
            break;
        }
        gone++;
    }
    free(numbers);
    return n < 0 ? -1 : gone;
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    if (o->committed)
        munmap(o->committed, COMMITTED_BYTES);
    for (int i = 0; i < 3; i++) {
        int fd = (int[]){o->fd, o->lock_fd, o->dir_fd}[i];
        if (fd >= 0)
            close(fd);
    }
    free(o->batch);
    free(o);
}

/* Reading. */

struct outbox_reader {
    char dir[4000], id[ID_TEXT + 1];
    int dir_fd, fd;     /* fd: of the segment being read, -1: none yet */
    uint64_t segment;   /* its number */
    uint64_t at;        /* of the next batch in it */
    uint64_t next;      /* offset of the next event */
    uint64_t in_batch;  /* offset of the batch's next event; those before `next` are skipped */
    uint32_t left;      /* events of the batch that are not read */
    size_t used, bytes; /* of the batch */
    uint8_t *batch;
    size_t room;
    struct committed *committed;
};

static void segment_path(const struct outbox_reader *r, char *path, size_t size)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, r->segment, SUFFIX);
    snprintf(path, size, "%s/%s", r->dir, name);
}

/* The number of the segment that holds `offset`, or the first one kept. 1, 0 if there is none, -1 with err.
 */
static int find_segment(const char *dir, uint64_t offset, uint64_t *number, struct error *err)
{
    uint64_t *numbers;
    int n = segment_list(dir, SUFFIX, &numbers, err);
    if (n > 0)
        *number = numbers[0];
    for (int i = 1; i < n && numbers[i] <= offset; i++)
        *number = numbers[i];
    free(numbers);
    return n > 0 ? 1 : n;
}

static int open_segment(struct outbox_reader *r, uint64_t number, struct error *err)
{
    char path[4200];
    struct head *h = malloc(sizeof *h);
    if (r->fd >= 0)
        close(r->fd);
    r->segment = number;
    r->at = HEAD_BYTES;
    segment_path(r, path, sizeof path);
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = !h          ? error_set(err, "%s: out of memory", path)
             : r->fd < 0 ? error_set(err,
                                     "%s: cannot open: %s; expected the segment that holds event %" PRIu64
                                     ": it was deleted, or is lost",
                                     path, strerror(errno), r->next)
                         : read_head(r->fd, path, h, err);
    if (rc == 0)
        rc = error_set(err, "%s: damaged: it is shorter than its head; restore the file from a copy", path);
    if (rc == 1 && h->first_offset != number)
        rc = error_set(err, "%s: found that its first event is %" PRIu64 "; expected that of its name", path,
                       h->first_offset);
    free(h);
    if (rc < 0 && r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
    return rc < 0 ? -1 : 0;
}

struct outbox_reader *outbox_reader_open(const char *dir, uint64_t offset, uint64_t *first, struct error *err)
{
    struct outbox_reader *r = calloc(1, sizeof *r);
    uint64_t number;
    if (!r) {
        error_set(err, "outbox: out of memory");
        return NULL;
    }
    r->fd = -1;
    r->next = offset;
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    r->dir_fd = segment_dir_open(dir, false, err);
    int rc = r->dir_fd < 0 ? -1 : read_id(r->dir_fd, dir, r->id, err);
    if (rc == 0)
        rc = error_set(err, "%s: no outbox there: expected a file id in it", dir);
    if (rc > 0)
        rc = committed_open(r->dir_fd, dir, false, &r->committed, err);
    if (rc == 0)
        rc = find_segment(dir, offset, &number, err);
    if (rc < 0 || (rc == 1 && open_segment(r, number, err))) {
        outbox_reader_close(r);
        return NULL;
    }
    if (rc == 1 && number > offset)
        r->next = number;
    if (first)
        *first = r->next;
    return r;
}

/* The batch that holds `next`. 0, or -1 with err; all of it is committed, so whatever is missing is damage.
 */
static int find_batch(struct outbox_reader *r, struct error *err)
{
    uint64_t number;
    if (r->fd < 0) {
        int rc = find_segment(r->dir, r->next, &number, err);
        if (rc < 0 || open_segment(r, rc ? number : r->next, err))
            return -1;
    }
    for (;;) {
        struct batch b;
        struct error what;
        char path[4200];
        int rc = read_batch(r->fd, r->at, &b, NULL, NULL, &what);
        if (rc == 1 && b.first_offset + b.records > r->next)
            rc = read_batch(r->fd, r->at, &b, &r->batch, &r->room, &what) == 1 ? 2 : -1;
        if (rc == 2 && b.first_offset > r->next)
            rc = error_set(&what, "found event %" PRIu64 ", expected %" PRIu64, b.first_offset, r->next);
        segment_path(r, path, sizeof path);
        if (rc < 0)
            return error_set(err, "%s: damaged at offset %" PRIu64 ": %s; restore the file from a copy", path,
                             r->at, what.text);
        if (rc == 0) {
            if (find_segment(r->dir, r->next, &number, err) <= 0 || number <= r->segment)
                return error_set(err,
                                 "%s: damaged: it ends at offset %" PRIu64 "; expected event %" PRIu64
                                 " there: restore the file from a copy",
                                 path, r->at, r->next);
            if (open_segment(r, number, err))
                return -1;
            continue;
        }
        r->at += sizeof b + b.bytes;
        if (rc == 1)
            continue;
        r->in_batch = b.first_offset;
        r->left = b.records;
        r->used = 0;
        r->bytes = b.bytes;
        return 0;
    }
}

int outbox_read(struct outbox_reader *r, struct outbox_record *rec, struct error *err)
{
    for (;;) {
        if (!r->left) {
            if (atomics_load_acquire_u64(&r->committed->magic) != COMMITTED_MAGIC ||
                r->next >= atomics_load_acquire_u64(&r->committed->next))
                return 0;
            if (find_batch(r, err))
                return -1;
        }
        struct record from;
        const uint8_t *p = r->batch + r->used;
        size_t n = parse_record(p, r->bytes - r->used, &from);
        if (!n)
            return error_set(err,
                             "%s: damaged: event %" PRIu64 " is no event, but its batch's checksum is right",
                             r->dir, r->in_batch);
        uint64_t offset = r->in_batch++;
        r->used += n;
        r->left--;
        if (offset < r->next)
            continue;
        r->next = offset + 1;
        *rec = (struct outbox_record){.offset = offset,
                                      .seq = from.seq,
                                      .symbol = from.symbol,
                                      .sub = from.sub,
                                      .bucket = from.bucket,
                                      .kind = from.kind,
                                      .event_ns = from.event_ns,
                                      .name = (const char *)p + sizeof from,
                                      .name_len = from.name_len,
                                      .json = (const char *)p + sizeof from + from.name_len,
                                      .json_len = from.json_len};
        return 1;
    }
}

const char *outbox_reader_id(const struct outbox_reader *r)
{
    return r->id;
}

void outbox_reader_close(struct outbox_reader *r)
{
    if (!r)
        return;
    if (r->committed)
        munmap(r->committed, COMMITTED_BYTES);
    if (r->fd >= 0)
        close(r->fd);
    if (r->dir_fd >= 0)
        close(r->dir_fd);
    free(r->batch);
    free(r);
}
