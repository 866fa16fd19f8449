/* Files in the directory: `id`, `lock`, `committed` (the next offset that readers may not pass, mapped by
 * all), and segments NUMBER.rto, named by their first offset: a head, then batches. A batch is a head with a
 * checksum, and records: a fixed part, the symbol's name, the JSON. All numbers are little-endian, checksums
 * xxh3_64. */
#include "net/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bucket.h"
#include "net/segment.h"
#include "shm/atomics.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SUFFIX        ".rto"
#define SEGMENT_MAGIC UINT64_C(0x31786f7462757472) /* "rtubtox1" */
#define BATCH_MAGIC   0x63746262u
enum { BATCH_BYTES_MAX = 64 << 20 };

struct segment_head {
    uint64_t magic, first;
};

struct batch_head {
    uint32_t magic, bytes; /* of the records */
    uint64_t first;
    uint32_t count, pad;
    uint64_t checksum; /* of the fields before it and the records */
};

struct record_head {
    uint64_t seq;
    int64_t event_ns;
    uint32_t symbol, sub, json_len;
    uint16_t bucket;
    uint8_t kind, name_len;
};

struct last {
    uint64_t seq;
    uint32_t symbol, sub;
    bool any;
};

struct outbox {
    char dir[4096], id[2 * SEGMENT_ID_BYTES + 1];
    int dir_fd, lock_fd, fd;
    uint64_t segment_first, segment_at, segment_bytes; /* the open segment: where the next batch goes */
    uint64_t next, stored; /* offsets: of the next append, of the next that is not durable */
    uint64_t lost;
    volatile uint64_t *committed;
    uint8_t *batch; /* head and records */
    size_t batch_used, batch_room;
    struct last last[BUCKET_COUNT];
};

static uint64_t checksum_of(const struct batch_head *h, const uint8_t *records)
{
    return XXH3_64bits_withSeed(records, h->bytes, XXH3_64bits(h, offsetof(struct batch_head, checksum)));
}

static bool head_good(const struct batch_head *h, uint64_t first)
{
    return h->magic == BATCH_MAGIC && h->first == first && h->count > 0 && h->bytes <= BATCH_BYTES_MAX &&
           h->bytes >= h->count * sizeof(struct record_head);
}

/* The record at records[*at..bytes): true and *at behind it, or false if it does not fit. */
static bool record_at(const uint8_t *records, size_t bytes, size_t *at, struct outbox_record *r)
{
    struct record_head h;
    if (bytes - *at < sizeof h)
        return false;
    memcpy(&h, records + *at, sizeof h);
    size_t need = sizeof h + h.name_len + (size_t)h.json_len;
    if (bytes - *at < need || h.bucket >= BUCKET_COUNT)
        return false;
    const char *text = (const char *)records + *at + sizeof h;
    *r = (struct outbox_record){.seq = h.seq,
                                .symbol = h.symbol,
                                .sub = h.sub,
                                .bucket = h.bucket,
                                .kind = h.kind,
                                .event_ns = h.event_ns,
                                .name = text,
                                .name_len = h.name_len,
                                .json = text + h.name_len,
                                .json_len = h.json_len};
    *at += need;
    return true;
}

/* Reads the batch at `pos` of a segment into *buf (grown as needed). 1; 0 if there is none whole and good; -1
 * with errno for a read that failed. */
static int batch_read(int fd, uint64_t pos, uint64_t first, struct batch_head *h, uint8_t **buf, size_t *room)
{
    int64_t got = segment_read(fd, h, sizeof *h, pos);
    if (got != sizeof *h || !head_good(h, first))
        return got < 0 ? -1 : 0;
    if (h->bytes > *room) {
        uint8_t *grown = realloc(*buf, h->bytes);
        if (!grown)
            return -1;
        *buf = grown;
        *room = h->bytes;
    }
    got = segment_read(fd, *buf, h->bytes, pos + sizeof *h);
    if (got != h->bytes || checksum_of(h, *buf) != h->checksum)
        return got < 0 ? -1 : 0;
    return 1;
}

/* ---- opening */

static int read_or_make_id(struct outbox *o, bool renew, struct error *err)
{
    uint8_t id[SEGMENT_ID_BYTES];
    char text[2 * SEGMENT_ID_BYTES + 2] = "";
    int fd = openat(o->dir_fd, "id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !renew) {
        int64_t got = segment_read(fd, text, 2 * SEGMENT_ID_BYTES, 0);
        close(fd);
        if (got != 2 * SEGMENT_ID_BYTES || strspn(text, "0123456789abcdef") != 2 * SEGMENT_ID_BYTES)
            return error_set(err, "%s/id: expected 32 hex digits; move the directory away if it is no outbox",
                             o->dir);
        memcpy(o->id, text, sizeof o->id);
        return 0;
    }
    if (fd >= 0)
        close(fd);
    segment_random_id(id);
    segment_id_text(id, o->id);
    snprintf(text, sizeof text, "%s\n", o->id);
    fd = openat(o->dir_fd, "id.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int bad = fd < 0 || segment_write(fd, text, strlen(text), 0) < 0 || fsync(fd) < 0;
    if (fd >= 0)
        close(fd);
    if (bad || renameat(o->dir_fd, "id.new", o->dir_fd, "id") < 0 || fsync(o->dir_fd) < 0)
        return error_set(err, "%s/id: cannot be written: %s; %s", o->dir, strerror(errno),
                         segment_advice(errno));
    return 0;
}

static volatile uint64_t *map_committed(int dir_fd, const char *dir, bool write, struct error *err)
{
    struct stat st;
    int fd = openat(dir_fd, "committed", (write ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0644);
    void *p = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_size >= 8 || (write && posix_fallocate(fd, 0, 8) == 0)))
        p = mmap(NULL, 8, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED) {
        error_set(err, "%s/committed: cannot be mapped: %s", dir, strerror(errno));
        return NULL;
    }
    return p;
}

static int segment_open(struct outbox *o, uint64_t first, bool make, struct error *err)
{
    char name[SEGMENT_NAME_BYTES];
    struct segment_head h = {SEGMENT_MAGIC, first};
    segment_name(name, first, SUFFIX);
    if (o->fd >= 0)
        close(o->fd);
    o->fd = openat(o->dir_fd, name, O_RDWR | O_CLOEXEC | (make ? O_CREAT | O_TRUNC : 0), 0644);
    if (o->fd < 0 || (make && (segment_write(o->fd, &h, sizeof h, 0) < 0 || fsync(o->dir_fd) < 0)))
        return error_set(err, "%s/%s: cannot be made: %s; %s", o->dir, name, strerror(errno),
                         segment_advice(errno));
    if (!make &&
        (segment_read(o->fd, &h, sizeof h, 0) != sizeof h || h.magic != SEGMENT_MAGIC || h.first != first))
        return error_set(err, "%s/%s: no outbox segment; move it away", o->dir, name);
    o->segment_first = first;
    o->segment_at = sizeof h;
    return 0;
}

static void see(struct outbox *o, const struct outbox_record *r)
{
    o->last[r->bucket] = (struct last){r->seq, r->symbol, r->sub, true};
}

/* Reads a segment to its end: the last event of each bucket, the next offset. What follows the last good
 * batch of the last segment is a torn tail; in another it is damage. */
static int recover_segment(struct outbox *o, uint64_t first, bool is_last, uint64_t *torn, struct error *err)
{
    struct batch_head h;
    uint8_t *buf = NULL;
    size_t room = 0;
    struct stat st;
    int got;
    if (segment_open(o, first, false, err) < 0)
        return -1;
    while ((got = batch_read(o->fd, o->segment_at, o->next, &h, &buf, &room)) > 0) {
        struct outbox_record r;
        for (size_t at = 0; record_at(buf, h.bytes, &at, &r);)
            see(o, &r);
        o->next += h.count;
        o->segment_at += sizeof h + h.bytes;
    }
    free(buf);
    if (got < 0 || fstat(o->fd, &st) < 0)
        return error_set(err, "%s: segment %" PRIu64 " cannot be read: %s", o->dir, first, strerror(errno));
    uint64_t rest = (uint64_t)st.st_size - o->segment_at;
    if (rest == 0)
        return 0;
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, first, SUFFIX);
    if (!is_last)
        return error_set(err,
                         "%s/%s: damaged at byte %" PRIu64 ": expected the batch of offset %" PRIu64
                         "; restore the file from a backup",
                         o->dir, name, o->segment_at, o->next);
    *torn += rest;
    return segment_cut(o->dir_fd, o->dir, name, o->segment_at, false, err);
}

static int recover(struct outbox *o, uint64_t *torn, struct error *err)
{
    uint64_t *first;
    int n = segment_list(o->dir, SUFFIX, &first, err), bad = 0;
    if (n < 0)
        return -1;
    if (n > 0)
        o->next = first[0];
    for (int i = 0; !bad && i < n; i++) {
        if (first[i] != o->next)
            bad = error_set(err, "%s: segment %" PRIu64 " follows offset %" PRIu64 ": one between is missing",
                            o->dir, first[i], o->next);
        else
            bad = recover_segment(o, first[i], i == n - 1, torn, err);
    }
    if (n > 0)
        free(first);
    if (!bad && n == 0)
        bad = segment_open(o, 0, true, err);
    return bad;
}

struct outbox *outbox_open(const char *dir, uint64_t segment_bytes, uint64_t *recovered_bytes,
                           struct error *err)
{
    struct outbox *o = calloc(1, sizeof *o);
    uint64_t torn = 0;
    if (!o || strlen(dir) >= sizeof o->dir) {
        free(o);
        error_set(err, "outbox: no memory, or a path of more than 4,095 characters");
        return NULL;
    }
    snprintf(o->dir, sizeof o->dir, "%s", dir);
    o->segment_bytes = segment_bytes ? segment_bytes : 64 << 20;
    o->fd = o->lock_fd = -1;
    o->batch_used = sizeof(struct batch_head);
    if ((o->dir_fd = segment_dir_open(dir, true, err)) < 0 ||
        (o->lock_fd = segment_lock(dir, "outbox", err)) < 0 || read_or_make_id(o, false, err) < 0 ||
        !(o->committed = map_committed(o->dir_fd, dir, true, err)) || recover(o, &torn, err) < 0) {
        outbox_close(o);
        return NULL;
    }
    if (*o->committed >
        o->next) { /* the tail that readers had seen is gone: cursors of the old id mean nothing now */
        o->lost = *o->committed - o->next;
        if (read_or_make_id(o, true, err) < 0) {
            outbox_close(o);
            return NULL;
        }
    }
    o->stored = o->next;
    *o->committed = o->next;
    if (recovered_bytes)
        *recovered_bytes = torn;
    return o;
}

const char *outbox_id(const struct outbox *o)
{
    return o->id;
}
uint64_t outbox_next_offset(const struct outbox *o)
{
    return o->next;
}
uint64_t outbox_lost(const struct outbox *o)
{
    return o->lost;
}

bool outbox_has(const struct outbox *o, uint16_t bucket, uint64_t seq, uint32_t symbol, uint32_t sub)
{
    const struct last *l = &o->last[bucket];
    if (!l->any)
        return false;
    if (seq != l->seq)
        return seq < l->seq;
    return symbol != l->symbol ? symbol < l->symbol : sub <= l->sub;
}

/* ---- writing */

int outbox_append(struct outbox *o, struct outbox_record *r, struct error *err)
{
    struct record_head h = {.seq = r->seq,
                            .event_ns = r->event_ns,
                            .symbol = r->symbol,
                            .sub = r->sub,
                            .json_len = r->json_len,
                            .bucket = r->bucket,
                            .kind = r->kind,
                            .name_len = (uint8_t)r->name_len};
    size_t need = sizeof h + r->name_len + r->json_len;
    if (r->name_len > UINT8_MAX || r->bucket >= BUCKET_COUNT)
        return error_set(err, "outbox: a record with a name of %u bytes, bucket %u", r->name_len, r->bucket);
    if (o->batch_used + need > BATCH_BYTES_MAX)
        return error_set(err, "%s: %d MiB wait to be written", o->dir, BATCH_BYTES_MAX >> 20);
    if (o->batch_used + need > o->batch_room) {
        size_t room = 2 * (o->batch_used + need) + 65536;
        uint8_t *grown = realloc(o->batch, room);
        if (!grown)
            return error_set(err, "%s: no memory for a batch of %zu bytes", o->dir, room);
        o->batch = grown;
        o->batch_room = room;
    }
    uint8_t *to = o->batch + o->batch_used;
    memcpy(to, &h, sizeof h);
    memcpy(to + sizeof h, r->name, r->name_len);
    memcpy(to + sizeof h + r->name_len, r->json, r->json_len);
    o->batch_used += need;
    r->offset = o->next++;
    see(o, r);
    return 0;
}

int outbox_commit(struct outbox *o, struct error *err)
{
    struct batch_head h = {.magic = BATCH_MAGIC,
                           .bytes = (uint32_t)(o->batch_used - sizeof h),
                           .first = o->stored,
                           .count = (uint32_t)(o->next - o->stored)};
    if (h.count == 0)
        return 0;
    if (o->segment_at >= o->segment_bytes && segment_open(o, o->stored, true, err) < 0)
        return -1;
    h.checksum = checksum_of(&h, o->batch + sizeof h);
    memcpy(o->batch, &h, sizeof h);
    if (segment_write(o->fd, o->batch, o->batch_used, o->segment_at) < 0 || fdatasync(o->fd) < 0)
        return error_set(err, "%s: cannot be written: %s; %s", o->dir, strerror(errno),
                         segment_advice(errno));
    o->segment_at += o->batch_used;
    o->batch_used = sizeof h;
    o->stored = o->next;
    atomics_store_release_u64((uint64_t *)o->committed, o->stored);
    return 0;
}

int outbox_prune(struct outbox *o, uint64_t offset, struct error *err)
{
    uint64_t *first;
    int n = segment_list(o->dir, SUFFIX, &first, err), gone = 0;
    for (int i = 0; i + 1 < n && first[i + 1] <= offset; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, first[i], SUFFIX);
        if (unlinkat(o->dir_fd, name, 0) < 0) {
            free(first);
            return error_set(err, "%s/%s: cannot be deleted: %s", o->dir, name, strerror(errno));
        }
        gone++;
    }
    if (n > 0)
        free(first);
    return n < 0 ? -1 : gone;
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    if (o->committed)
        munmap((void *)o->committed, 8);
    if (o->fd >= 0)
        close(o->fd);
    if (o->lock_fd >= 0)
        close(o->lock_fd);
    if (o->dir_fd >= 0)
        close(o->dir_fd);
    free(o->batch);
    free(o);
}

/* ---- reading */

struct outbox_reader {
    char dir[4096], id[2 * SEGMENT_ID_BYTES + 1];
    int dir_fd, fd;
    volatile uint64_t *committed;
    uint64_t wanted; /* records before it are passed over */
    uint64_t first;  /* offset of the batch at `pos` of the open segment */
    uint64_t pos, segment_first;
    uint8_t *buf; /* the batch at hand */
    size_t room, bytes, at;
    uint64_t offset; /* of the record at `at` */
};

/* The segment that holds `offset`, or the first that there is. 1, 0 if there are none, -1. */
static int reader_seek(struct outbox_reader *r, uint64_t offset, struct error *err)
{
    uint64_t *first;
    char name[SEGMENT_NAME_BYTES];
    int n = segment_list(r->dir, SUFFIX, &first, err), i = 0;
    if (n <= 0)
        return n;
    while (i + 1 < n && first[i + 1] <= offset)
        i++;
    r->segment_first = r->first = first[i];
    free(first);
    segment_name(name, r->first, SUFFIX);
    if (r->fd >= 0)
        close(r->fd);
    r->fd = openat(r->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return error_set(err, "%s/%s: cannot be read: %s", r->dir, name, strerror(errno));
    r->pos = sizeof(struct segment_head);
    return 1;
}

/* Loads the next batch. 1, 0 if none is committed, -1 with err. */
static int reader_batch(struct outbox_reader *r, struct error *err)
{
    struct batch_head h;
    for (;;) {
        if (r->first >= atomics_load_acquire_u64((uint64_t *)r->committed))
            return 0;
        if (r->fd >= 0) {
            int64_t got = segment_read(r->fd, &h, sizeof h, r->pos);
            if (got == sizeof h && head_good(&h, r->first) &&
                r->first + h.count <= r->wanted) { /* not wanted: skip */
                r->first += h.count;
                r->pos += sizeof h + h.bytes;
                continue;
            }
            int good = batch_read(r->fd, r->pos, r->first, &h, &r->buf, &r->room);
            if (good > 0) {
                r->bytes = h.bytes;
                r->at = 0;
                r->offset = r->first;
                r->first += h.count;
                r->pos += sizeof h + h.bytes;
                return 1;
            }
            if (got > 0 || good < 0) /* committed, and not there: no torn tail */
                return error_set(err,
                                 "%s: segment %" PRIu64 " is damaged at byte %" PRIu64
                                 ": expected the batch of offset %" PRIu64,
                                 r->dir, r->segment_first, r->pos, r->first);
        }
        uint64_t want = r->first;
        int found = reader_seek(r, want, err);
        if (found <= 0)
            return found;
        if (r->first != want)
            return error_set(err, "%s: offset %" PRIu64 " is in no segment", r->dir, want);
    }
}

struct outbox_reader *outbox_reader_open(const char *dir, uint64_t offset, uint64_t *first, struct error *err)
{
    struct outbox_reader *r = calloc(1, sizeof *r);
    if (!r || strlen(dir) >= sizeof r->dir) {
        free(r);
        error_set(err, "outbox: no memory, or a path of more than 4,095 characters");
        return NULL;
    }
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    r->fd = -1;
    r->dir_fd = segment_dir_open(dir, false, err);
    if (r->dir_fd < 0 || !(r->committed = map_committed(r->dir_fd, dir, false, err)) ||
        reader_seek(r, offset, err) < 0) {
        outbox_reader_close(r);
        return NULL;
    }
    int fd = openat(r->dir_fd, "id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || segment_read(fd, r->id, 2 * SEGMENT_ID_BYTES, 0) != 2 * SEGMENT_ID_BYTES) {
        if (fd >= 0)
            close(fd);
        error_set(err, "%s/id: cannot be read; expected an outbox", dir);
        outbox_reader_close(r);
        return NULL;
    }
    close(fd);
    r->wanted = offset > r->first ? offset : r->first;
    if (first)
        *first = r->wanted;
    return r;
}

int outbox_read(struct outbox_reader *r, struct outbox_record *rec, struct error *err)
{
    for (;;) {
        if (r->at < r->bytes) {
            if (!record_at(r->buf, r->bytes, &r->at, rec))
                return error_set(err, "%s: a record of offset %" PRIu64 " does not fit its batch", r->dir,
                                 r->offset);
            rec->offset = r->offset++;
            if (rec->offset >= r->wanted)
                return 1;
            continue;
        }
        int got = reader_batch(r, err);
        if (got <= 0)
            return got;
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
        munmap((void *)r->committed, 8);
    if (r->fd >= 0)
        close(r->fd);
    if (r->dir_fd >= 0)
        close(r->dir_fd);
    free(r->buf);
    free(r);
}
