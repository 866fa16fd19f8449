#include "net/checkpoint.h"
#include "core/bucket.h"
#include "shm/atomics.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHECKPOINT_MAGIC "RTCKPT\r\n"

enum {
    CHECKPOINT_VERSION = 1,
    FRAME_MAGIC = 0x43545221, /* "!RTC" */
    FRAME_ALIGN = 16,
    HAND_OVER_BYTES = 1 << 20,
    SPARE_BYTES = 64 << 20, /* a generation may always grow by so much */
    NAME_BYTES = 64
};

enum frame_kind { FRAME_RECORD, FRAME_PIECE, FRAME_PASS, FRAME_KINDS };

struct file_head {
    char magic[8];
    uint32_t version, scanner;
    uint64_t layout; /* engine_save_layout() */
    uint8_t node[SEGMENT_ID_BYTES];
    uint64_t generation;
    uint64_t check; /* xxh3_64 of all before it */
};

struct frame_head {
    uint32_t magic;
    uint16_t kind, bucket;
    uint32_t piece; /* enum engine_piece */
    uint32_t bytes; /* of the payload; the next frame begins at the next multiple of FRAME_ALIGN */
    uint64_t seq;
    uint64_t first_seq; /* FRAME_PASS */
    uint64_t payload_check;
    uint64_t check; /* xxh3_64 of all before it */
};

_Static_assert(sizeof(struct file_head) == 56 && sizeof(struct frame_head) == 48 &&
                   sizeof(struct frame_head) % FRAME_ALIGN == 0,
               "no padding: they are stored as they are");

enum { FILE_FIRST_FRAME = 64 };

static size_t aligned(size_t n)
{
    return (n + FRAME_ALIGN - 1) & ~(size_t)(FRAME_ALIGN - 1);
}

static void file_name(char name[NAME_BYTES], uint32_t scanner, uint64_t generation)
{
    snprintf(name, NAME_BYTES, "%02" PRIu32 "-%020" PRIu64 ".rtc", scanner, generation);
}

/* Calls f for each checkpoint file in dir. 0, or -1 with err; a directory that is not there has none. */
static int each_file(const char *dir,
                     int (*f)(void *ctx, const char *name, uint32_t scanner, uint64_t generation), void *ctx,
                     struct error *err)
{
    DIR *d = opendir(dir);
    int rc = 0;
    if (!d && errno == ENOENT)
        return 0;
    if (!d)
        return error_set(err, "%s: cannot read the directory: %s%s", dir, strerror(errno),
                         segment_advice(errno));
    for (struct dirent *x; rc == 0 && (x = readdir(d)) != NULL;) {
        uint32_t scanner;
        uint64_t generation;
        char name[NAME_BYTES];
        if (sscanf(x->d_name, "%2" SCNu32 "-%20" SCNu64 ".rtc", &scanner, &generation) != 2)
            continue;
        file_name(name, scanner, generation);
        if (!strcmp(name, x->d_name))
            rc = f(ctx, name, scanner, generation);
    }
    closedir(d);
    return rc;
}

/* ---- writing */

enum { OWNER_CALLER, OWNER_WRITER };

struct checkpoint_writer {
    char dir[4096];
    uint8_t node[SEGMENT_ID_BYTES];
    uint32_t scanner;
    size_t piece_max;
    pthread_t thread;
    sem_t wake;
    uint32_t stop, owner; /* of what follows */
    uint8_t *buffer;
    size_t buffer_bytes, used;
    bool anew, anew_told; /* the frames begin a generation */
    bool has_pass;
    uint64_t pass_seq; /* first_seq of the last pass in the buffer */
    uint32_t sole;

    /* the thread's */
    int dir_fd, fd;
    uint64_t generation, at, first_pass_bytes;
    struct checkpoint_state state;

    pthread_mutex_t lock; /* of: */
    struct checkpoint_state shown;
};

static int fail(struct checkpoint_writer *w, const char *what)
{
    return error_set(&w->state.failure, "%s: cannot %s a checkpoint: %s%s", w->dir, what, strerror(errno),
                     segment_advice(errno));
}

static int find_generation(void *ctx, const char *name, uint32_t scanner, uint64_t generation)
{
    struct checkpoint_writer *w = ctx;
    (void)name;
    if (scanner == w->scanner && generation > w->generation)
        w->generation = generation;
    return 0;
}

static void close_file(struct checkpoint_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* A file that no pass is in is of no use to anybody. */
static void give_up_file(struct checkpoint_writer *w)
{
    char name[NAME_BYTES];
    if (w->fd >= 0 && w->first_pass_bytes == 0) {
        file_name(name, w->scanner, w->generation);
        unlinkat(w->dir_fd, name, 0);
    }
    close_file(w);
}

static int begin_file(struct checkpoint_writer *w)
{
    char name[NAME_BYTES];
    uint8_t first[FILE_FIRST_FRAME] = {0};
    struct file_head h = {.magic = CHECKPOINT_MAGIC,
                          .version = CHECKPOINT_VERSION,
                          .scanner = w->scanner,
                          .layout = engine_save_layout(),
                          .generation = w->generation + 1};
    give_up_file(w);
    if (w->dir_fd < 0 && (w->dir_fd = segment_dir_open(w->dir, true, &w->state.failure)) < 0)
        return -1;
    if (w->generation == 0 && each_file(w->dir, find_generation, w, &w->state.failure))
        return -1;
    h.generation = ++w->generation;
    memcpy(h.node, w->node, sizeof h.node);
    h.check = XXH3_64bits(&h, offsetof(struct file_head, check));
    memcpy(first, &h, sizeof h);
    file_name(name, w->scanner, w->generation);
    w->fd = openat(w->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    w->at = sizeof first;
    w->first_pass_bytes = 0;
    if (w->fd < 0 || segment_write(w->fd, first, sizeof first, 0))
        return fail(w, "begin");
    return 0;
}

static int delete_old(void *ctx, const char *name, uint32_t scanner, uint64_t generation)
{
    const struct checkpoint_writer *w = ctx;
    bool older = scanner == w->scanner && generation < w->generation;
    bool gone = w->scanner == 0 && scanner >= w->sole;
    if (older || gone)
        unlinkat(w->dir_fd, name, 0);
    return 0;
}

static int write_out(struct checkpoint_writer *w)
{
    if (w->anew && begin_file(w))
        return -1;
    if (w->fd < 0 || segment_write(w->fd, w->buffer, w->used, w->at))
        return fail(w, "write");
    w->at += w->used;
    w->state.bytes += w->used;
    if (!w->has_pass)
        return 0;
    if (fdatasync(w->fd) || (w->first_pass_bytes == 0 && fsync(w->dir_fd)))
        return fail(w, "sync");
    if (w->first_pass_bytes == 0)
        w->first_pass_bytes = w->at;
    w->state.passes++;
    w->state.seq = w->pass_seq;
    if (w->sole)
        (void)each_file(w->dir, delete_old, w, &w->state.failure);
    return 0;
}

static void *write_all(void *arg)
{
    struct checkpoint_writer *w = arg;
    while (!atomics_load_acquire_u32(&w->stop)) {
        if (sem_wait(&w->wake) || atomics_load_acquire_u32(&w->owner) != OWNER_WRITER)
            continue;
        bool bad = write_out(w) < 0;
        if (bad) {
            give_up_file(w);
            w->state.failures++;
        }
        w->anew =
            bad || (w->first_pass_bytes && w->has_pass && w->at > 4 * w->first_pass_bytes + SPARE_BYTES);
        w->used = 0;
        w->has_pass = false;
        pthread_mutex_lock(&w->lock);
        w->shown = w->state;
        pthread_mutex_unlock(&w->lock);
        atomics_store_release_u32(&w->owner, OWNER_CALLER);
    }
    return NULL;
}

struct checkpoint_writer *checkpoint_start(const struct checkpoint_options *o, struct error *err)
{
    sigset_t all, old;
    struct checkpoint_writer *w = calloc(1, sizeof *w);
    if (!w) {
        error_set(err, "checkpoints: out of memory");
        return NULL;
    }
    snprintf(w->dir, sizeof w->dir, "%s", o->dir);
    memcpy(w->node, o->node, sizeof w->node);
    w->scanner = o->scanner;
    w->piece_max = o->piece_max;
    w->dir_fd = w->fd = -1;
    w->anew = true;
    w->buffer_bytes =
        HAND_OVER_BYTES + o->piece_max + MSG_SLOTS_MAX * sizeof(struct msg) + 4 * sizeof(struct frame_head);
    w->buffer = mmap(NULL, w->buffer_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    sem_init(&w->wake, 0, 0);
    pthread_mutex_init(&w->lock, NULL);
    sigfillset(&all); /* signals are the role's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = w->buffer == MAP_FAILED ? ENOMEM : pthread_create(&w->thread, NULL, write_all, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!failed)
        return w;
    if (w->buffer != MAP_FAILED)
        munmap(w->buffer, w->buffer_bytes);
    free(w);
    error_set(err, "checkpoints: cannot start a thread: %s; raise the limit on processes (ulimit -u)",
              strerror(failed));
    return NULL;
}

bool checkpoint_ready(const struct checkpoint_writer *w)
{
    return atomics_load_acquire_u32(&w->owner) == OWNER_CALLER;
}

bool checkpoint_anew(struct checkpoint_writer *w)
{
    bool news = w->anew && !w->anew_told;
    w->anew_told = w->anew;
    return news;
}

void *checkpoint_room(struct checkpoint_writer *w, size_t *max)
{
    assert(checkpoint_ready(w));
    *max = w->buffer_bytes - w->used - sizeof(struct frame_head) - FRAME_ALIGN;
    return w->buffer + w->used + sizeof(struct frame_head);
}

static void add(struct checkpoint_writer *w, struct frame_head h)
{
    uint8_t *at = w->buffer + w->used;
    h.magic = FRAME_MAGIC;
    h.payload_check = XXH3_64bits(at + sizeof h, h.bytes);
    h.check = XXH3_64bits(&h, offsetof(struct frame_head, check));
    memcpy(at, &h, sizeof h);
    memset(at + sizeof h + h.bytes, 0, aligned(h.bytes) - h.bytes);
    w->used += sizeof h + aligned(h.bytes);
    assert(w->used <= w->buffer_bytes);
}

void checkpoint_add_record(struct checkpoint_writer *w, const struct msg *record)
{
    size_t max, bytes = msg_slot_count(record) * sizeof *record;
    void *room = checkpoint_room(w, &max);
    assert(bytes <= max);
    memcpy(room, record, bytes);
    add(w, (struct frame_head){.kind = FRAME_RECORD, .bytes = (uint32_t)bytes, .seq = record->seq});
}

void checkpoint_add_piece(struct checkpoint_writer *w, uint32_t bucket, enum engine_piece piece, size_t bytes,
                          uint64_t seq)
{
    assert(bucket < BUCKET_COUNT && bytes && bytes <= UINT32_MAX);
    add(w, (struct frame_head){.kind = FRAME_PIECE,
                               .bucket = (uint16_t)bucket,
                               .piece = piece,
                               .bytes = (uint32_t)bytes,
                               .seq = seq});
}

void checkpoint_add_pass(struct checkpoint_writer *w, uint64_t first_seq, uint64_t seq)
{
    add(w, (struct frame_head){.kind = FRAME_PASS, .seq = seq, .first_seq = first_seq});
    w->has_pass = true;
    w->pass_seq = first_seq;
}

bool checkpoint_full(const struct checkpoint_writer *w)
{
    return w->has_pass || w->used >= HAND_OVER_BYTES;
}

void checkpoint_hand_over(struct checkpoint_writer *w, uint32_t sole)
{
    assert(checkpoint_ready(w) && w->used);
    w->sole = sole;
    w->anew_told = false;
    atomics_store_release_u32(&w->owner, OWNER_WRITER);
    sem_post(&w->wake);
}

void checkpoint_get_state(struct checkpoint_writer *w, struct checkpoint_state *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->shown;
    pthread_mutex_unlock(&w->lock);
}

void checkpoint_stop(struct checkpoint_writer *w)
{
    if (!w)
        return;
    atomics_store_release_u32(&w->stop, 1);
    sem_post(&w->wake);
    pthread_join(w->thread, NULL);
    give_up_file(w);
    if (w->dir_fd >= 0)
        close(w->dir_fd);
    munmap(w->buffer, w->buffer_bytes);
    pthread_mutex_destroy(&w->lock);
    sem_destroy(&w->wake);
    free(w);
}

/* ---- reading */

struct frame {
    uint64_t at;   /* of its head */
    uint32_t next; /* of its bucket, or of the records; NONE */
};

enum { NO_FRAME = UINT32_MAX, RECORDS = BUCKET_COUNT, LISTS };

struct file {
    const uint8_t *map;
    size_t bytes;
    struct frame *frame;
    uint32_t n, room;
    uint32_t first[LISTS], last[LISTS];
    uint64_t seq[BUCKET_COUNT]; /* of the last whole piece */
};

struct checkpoint_set {
    struct file **file;
    size_t n;
    uint32_t best[BUCKET_COUNT]; /* file */
    uint64_t seq[BUCKET_COUNT];
};

/* The frame at `at`, or NULL if none whole is there. */
static bool frame_at(const uint8_t *map, size_t bytes, uint64_t at, struct frame_head *h)
{
    if (bytes < sizeof *h || at > bytes - sizeof *h)
        return false;
    memcpy(h, map + at, sizeof *h);
    return h->magic == FRAME_MAGIC && h->check == XXH3_64bits(h, offsetof(struct frame_head, check)) &&
           h->kind < FRAME_KINDS && h->bucket < BUCKET_COUNT && h->bytes <= bytes - sizeof *h - at &&
           h->payload_check == XXH3_64bits(map + at + sizeof *h, h->bytes);
}

static bool head_of(const uint8_t *map, size_t bytes, struct file_head *h)
{
    if (bytes < FILE_FIRST_FRAME)
        return false;
    memcpy(h, map, sizeof *h);
    return !memcmp(h->magic, CHECKPOINT_MAGIC, sizeof h->magic) &&
           h->check == XXH3_64bits(h, offsetof(struct file_head, check));
}

static void list_frame(struct file *f, uint32_t list, uint64_t at)
{
    if (f->n == f->room) {
        f->room = 2 * f->room + 1024;
        f->frame = realloc(f->frame, f->room * sizeof *f->frame);
        if (!f->frame)
            abort();
    }
    uint32_t i = f->n++;
    f->frame[i] = (struct frame){at, NO_FRAME};
    if (f->last[list] == NO_FRAME)
        f->first[list] = i;
    else
        f->frame[f->last[list]].next = i;
    f->last[list] = i;
}

/* Where the frames of messages up to max_seq end; lists them in f, if it is not NULL. */
static uint64_t walk(const uint8_t *map, size_t bytes, uint64_t max_seq, struct file *f, bool *damaged)
{
    struct frame_head h;
    uint64_t at = FILE_FIRST_FRAME;
    while (frame_at(map, bytes, at, &h) && h.seq <= max_seq) {
        if (f && h.kind == FRAME_RECORD)
            list_frame(f, RECORDS, at);
        else if (f && h.kind == FRAME_PIECE) {
            list_frame(f, h.bucket, at);
            if (h.piece == ENGINE_PIECE_BUCKET)
                f->seq[h.bucket] = h.seq;
        }
        at += sizeof h + aligned(h.bytes);
    }
    *damaged = at < bytes && !frame_at(map, bytes, at, &h);
    return at;
}

static const uint8_t *map_file(const char *path, size_t *bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
        map = mmap(NULL, *bytes = (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    return map == MAP_FAILED ? NULL : map;
}

struct reading {
    struct checkpoint_set *c;
    const char *dir;
    const uint8_t *node;
    uint64_t max_seq;
    struct error *note;
};

static int read_file(void *ctx, const char *name, uint32_t scanner, uint64_t generation)
{
    struct reading *r = ctx;
    char path[4200];
    struct file_head h;
    struct file *f = calloc(1, sizeof *f);
    (void)scanner;
    (void)generation;
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    if (!f)
        abort();
    memset(f->first, 0xff, sizeof f->first);
    memset(f->last, 0xff, sizeof f->last);
    f->map = map_file(path, &f->bytes);
    bool sound = f->map && head_of(f->map, f->bytes, &h), damaged = false;
    if (!sound || h.version != CHECKPOINT_VERSION || h.layout != engine_save_layout() ||
        memcmp(h.node, r->node, sizeof h.node)) {
        error_set(r->note, "%s is %s: it does not count", path,
                  !sound ? "no checkpoint, or one without a beginning"
                         : "of another version, or of another journal");
        if (f->map)
            munmap((void *)f->map, f->bytes);
        free(f);
        return 0;
    }
    uint64_t end = walk(f->map, f->bytes, r->max_seq, f, &damaged);
    if (damaged)
        error_set(r->note, "%s ends at %" PRIu64 " of %zu bytes, in a frame that is not whole", path, end,
                  f->bytes);
    struct file **grown = realloc(r->c->file, (r->c->n + 1) * sizeof *grown);
    if (!grown)
        abort();
    r->c->file = grown;
    for (uint32_t b = 0; b < BUCKET_COUNT; b++)
        if (f->seq[b] > r->c->seq[b]) {
            r->c->seq[b] = f->seq[b];
            r->c->best[b] = (uint32_t)r->c->n;
        }
    r->c->file[r->c->n++] = f;
    return 0;
}

struct checkpoint_set *checkpoint_read(const char *dir, const uint8_t *node, uint64_t max_seq,
                                       struct error *note)
{
    struct reading r = {calloc(1, sizeof *r.c), dir, node, max_seq, note};
    note->text[0] = 0;
    if (!r.c)
        abort();
    if (each_file(dir, read_file, &r, note) == 0 && r.c->n)
        return r.c;
    checkpoint_free(r.c);
    return NULL;
}

void checkpoint_free(struct checkpoint_set *c)
{
    for (size_t i = 0; c && i < c->n; i++) {
        munmap((void *)c->file[i]->map, c->file[i]->bytes);
        free(c->file[i]->frame);
        free(c->file[i]);
    }
    if (c)
        free(c->file);
    free(c);
}

uint64_t checkpoint_bucket_seq(const struct checkpoint_set *c, uint32_t bucket)
{
    return c->seq[bucket];
}

static const void *payload(const struct file *f, uint32_t i, struct frame_head *h)
{
    memcpy(h, f->map + f->frame[i].at, sizeof *h);
    return f->map + f->frame[i].at + sizeof *h;
}

void checkpoint_records(const struct checkpoint_set *c, uint32_t bucket,
                        void (*f)(void *ctx, const struct msg *record), void *ctx)
{
    const struct file *x = c->file[c->best[bucket]];
    struct msg record[MSG_SLOTS_MAX];
    struct frame_head h;
    for (uint32_t i = x->first[RECORDS]; i != NO_FRAME; i = x->frame[i].next) {
        const void *bytes = payload(x, i, &h);
        if (h.seq > c->seq[bucket] || h.bytes < sizeof *record || h.bytes > sizeof record)
            continue;
        memcpy(record, bytes, h.bytes);
        if (msg_valid(record, h.bytes / sizeof *record))
            f(ctx, record);
    }
}

int checkpoint_load(const struct checkpoint_set *c, uint32_t bucket, struct engine *e, struct error *err)
{
    const struct file *f = c->file[c->best[bucket]];
    struct frame_head h;
    for (uint32_t i = f->first[bucket]; i != NO_FRAME; i = f->frame[i].next) {
        const void *piece = payload(f, i, &h);
        bool last = h.piece == ENGINE_PIECE_BUCKET && h.seq == c->seq[bucket];
        if (h.seq > c->seq[bucket])
            break;
        if (engine_load(e, piece, h.bytes, last, err))
            return error_prefix(err, "checkpoint of bucket %" PRIu32 " as of message %" PRIu64, bucket,
                                h.seq);
        if (last)
            break;
    }
    return 0;
}

void checkpoint_symbols(const struct checkpoint_set *c, uint32_t bucket, void (*f)(void *ctx, uint32_t id),
                        void *ctx)
{
    const struct file *x = c->file[c->best[bucket]];
    struct frame_head h;
    for (uint32_t i = x->first[bucket]; i != NO_FRAME; i = x->frame[i].next) {
        const void *piece = payload(x, i, &h);
        if (h.piece == ENGINE_PIECE_BUCKET && h.seq == c->seq[bucket])
            engine_piece_symbols(piece, h.bytes, f, ctx);
    }
}

struct cutting {
    const char *dir;
    int dir_fd;
    uint64_t last_seq;
    struct error *err;
};

static int cut_file(void *ctx, const char *name, uint32_t scanner, uint64_t generation)
{
    struct cutting *k = ctx;
    char path[4200];
    size_t bytes = 0;
    struct file_head h;
    bool damaged;
    (void)scanner;
    (void)generation;
    snprintf(path, sizeof path, "%s/%s", k->dir, name);
    const uint8_t *map = map_file(path, &bytes);
    bool sound = map && head_of(map, bytes, &h);
    bool other =
        (bytes && !map) || (sound && (h.version != CHECKPOINT_VERSION || h.layout != engine_save_layout()));
    if (other && k->last_seq) { /* of another build, which may need it again; it does not count here */
        if (map)
            munmap((void *)map, bytes);
        return 0;
    }
    uint64_t end = sound ? walk(map, bytes, k->last_seq, NULL, &damaged) : 0;
    if (map)
        munmap((void *)map, bytes);
    if (end == bytes)
        return 0;
    if (k->last_seq == 0)
        end = 0;
    if (segment_cut(k->dir_fd, k->dir, name, end, false, k->err))
        return -1;
    return end ? 0 : unlinkat(k->dir_fd, name, 0); /* what is empty does not count either */
}

int checkpoint_cut(const char *dir, uint64_t last_seq, struct error *err)
{
    struct cutting k = {dir, open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), last_seq, err};
    if (k.dir_fd < 0)
        return errno == ENOENT ? 0
                               : error_set(err, "%s: cannot open the directory: %s%s", dir, strerror(errno),
                                           segment_advice(errno));
    int rc = each_file(dir, cut_file, &k, err);
    close(k.dir_fd);
    return rc;
}
