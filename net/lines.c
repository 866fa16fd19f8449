#include "net/lines.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Where a span is made. The room is that of the longest line, for no line to need more later; pages that are
 * not touched cost nothing. */
struct room {
    char *memory, *text;
    size_t used, given; /* text[0..given) is the span, what is behind it has no '\n' yet */
    bool line_end_added;
    int result; /* of lines_next */
};

/* A compressed file is read by a thread of its own, so that who parses does not also decompress: it fills
 * rooms in turn, a few ahead. */
enum { ROOMS = 3 };

struct lines {
    /* who fills rooms */
    int fd;
    bool eof;    /* of the file */
    bool failed; /* with `error`, told when what came before has been given */
    bool in_frame;
    struct error error;
    char *path;
    ZSTD_DStream *zstd; /* NULL: plain */
    char *input;        /* compressed bytes */
    ZSTD_inBuffer in;
    uint64_t in_offset; /* of input[0] in the file */
    uint64_t made;      /* bytes of text */
    struct room room[ROOMS];
    /* between the two, if there is a thread */
    pthread_t thread;
    bool threaded;
    sem_t ready, vacant; /* rooms */
    /* who takes spans */
    unsigned at; /* its room */
    bool holds;
    uint64_t bytes;
};

/* The longest line, one block, and a '\n' that may be added. */
enum { TEXT_MAX = LINES_LINE_MAX + LINES_BLOCK_BYTES };

/* One read(2); retried where a signal came between. */
static size_t read_some(struct lines *l, char *to, size_t max)
{
    ssize_t n;
    do
        n = read(l->fd, to, max);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        l->failed = true;
        error_set(&l->error, "%s: could not be read: %s", l->path, strerror(errno));
        return 0;
    }
    l->eof = n == 0;
    return (size_t)n;
}

static bool is_zstd(const unsigned char *b, size_t n)
{
    if (n < 4)
        return false;
    uint32_t magic = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static int start_thread(struct lines *l);

static bool make_room(struct room *r)
{
    r->memory = malloc((size_t)LINES_PAD + TEXT_MAX + LINES_PAD);
    if (!r->memory)
        return false;
    memset(r->memory, 0, LINES_PAD);
    r->text = r->memory + LINES_PAD;
    return true;
}

/* Reads the first bytes (a pipe may give them one by one) and sees what the file is. */
static int detect(struct lines *l)
{
    struct room *r = &l->room[0];
    size_t n = 0;
    while (n < 4 && !l->eof && !l->failed)
        n += read_some(l, r->text + n, LINES_BLOCK_BYTES - n);
    if (l->failed)
        return -1;
    r->used = n;
    if (!is_zstd((const unsigned char *)r->text, n))
        return 0;
    l->zstd = ZSTD_createDStream();
    l->input = malloc(LINES_BLOCK_BYTES);
    if (!l->zstd || !l->input)
        return error_set(&l->error, "%s: no memory to decompress it", l->path);
    memcpy(l->input, r->text, n);
    l->in = (ZSTD_inBuffer){l->input, n, 0};
    r->used = 0;
    return start_thread(l);
}

struct lines *lines_open(const char *path, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(err, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        error_set(err, "%s: a directory, expected a file (plain text or .zst)", path);
        close(fd);
        return NULL;
    }
    struct lines *l = calloc(1, sizeof *l);
    if (l) {
        l->fd = fd;
        l->path = strdup(path);
    }
    if (!l || !l->path || !make_room(&l->room[0])) {
        error_set(err, "%s: no memory to read it", path);
        if (!l)
            close(fd);
    } else {
        if (detect(l) == 0)
            return l;
        if (err)
            *err = l->error;
    }
    if (l)
        lines_close(l);
    return NULL;
}

static void fail_zstd(struct lines *l, size_t code)
{
    unsigned long long at = l->in_offset + l->in.pos;
    const char *what = ZSTD_getErrorName(code);
    l->failed = true;
    if (ZSTD_getErrorCode(code) == ZSTD_error_prefix_unknown)
        error_set(&l->error,
                  "%s: behind a zstd frame, at byte %llu, is no other one: %s; the lines before it were read",
                  l->path, at, what);
    else
        error_set(&l->error, "%s: damaged near byte %llu: %s; the lines before it were read", l->path, at,
                  what);
}

static void fail_truncated(struct lines *l)
{
    l->failed = true;
    error_set(&l->error,
              "%s: truncated: the file ends within a zstd frame, at byte %llu; the lines before it were read",
              l->path, (unsigned long long)(l->in_offset + l->in.pos));
}

/* Appends up to a block of decompressed text; nothing at the end. */
static void fill_zstd(struct lines *l, struct room *r)
{
    ZSTD_outBuffer out = {r->text + r->used, LINES_BLOCK_BYTES, 0};
    while (out.pos == 0 && !l->failed) {
        if (l->in.pos == l->in.size && !l->eof) {
            l->in_offset += l->in.size;
            l->in = (ZSTD_inBuffer){l->input, read_some(l, l->input, LINES_BLOCK_BYTES), 0};
        }
        bool drained = l->in.pos == l->in.size; /* the file's end; zstd may still hold text */
        if (l->failed || (drained && !l->in_frame))
            break;
        size_t left = ZSTD_decompressStream(l->zstd, &out, &l->in);
        if (ZSTD_isError(left))
            fail_zstd(l, left);
        else if (drained && left && out.pos == 0)
            fail_truncated(l);
        else
            l->in_frame = left != 0;
    }
    r->used += out.pos;
}

/* The next span, into `r`; it begins with what is left in `before` (which may be the same). */
static void make_span(struct lines *l, const struct room *before, struct room *r)
{
    size_t left = before->used - before->given;
    size_t searched =
        before->result == 1 ? left : 0; /* no '\n' in text[0..searched): a span goes to the last */
    memmove(r->text, before->text + before->given, left);
    r->used = left;
    r->given = 0;
    r->line_end_added = false;
    for (;;) {
        char *last = memrchr(r->text + searched, '\n', r->used - searched);
        if (last) {
            r->given = (size_t)(last + 1 - r->text);
            l->made += r->given;
            r->result = 1;
            return;
        }
        searched = r->used;
        if (r->used >= LINES_LINE_MAX && !l->failed) {
            l->failed = true;
            error_set(&l->error,
                      "%s: the line at byte %llu of the text is longer than %d MiB: no file of lines",
                      l->path, (unsigned long long)l->made, LINES_LINE_MAX >> 20);
        }
        if (l->failed) {
            r->result = -1;
            return;
        }
        if (l->zstd)
            fill_zstd(l, r);
        else if (!l->eof)
            r->used += read_some(l, r->text + r->used, LINES_BLOCK_BYTES);
        if (r->used > searched || l->failed)
            continue;
        if (r->used == 0) {
            r->result = 0;
            return;
        }
        r->text[r->used++] = '\n';
        r->line_end_added = true; /* it is not the file's */
    }
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s) < 0)
        assert(errno == EINTR);
}

/* Ends with the file, at a fault, or by pthread_cancel while it waits or reads. */
static void *fill_rooms(void *ctx)
{
    struct lines *l = ctx;
    unsigned before = 0, at = 0;
    do {
        wait_for(&l->vacant);
        before = at;
        at = (at + 1) % ROOMS;
        make_span(l, &l->room[before], &l->room[at]);
        sem_post(&l->ready);
    } while (l->room[at].result == 1);
    return NULL;
}

static int start_thread(struct lines *l)
{
    sigset_t all, old;
    for (unsigned i = 1; i < ROOMS; i++)
        if (!make_room(&l->room[i]))
            return error_set(&l->error, "%s: no memory to read it", l->path);
    sem_init(&l->ready, 0, 0);
    sem_init(&l->vacant, 0, ROOMS - 1);
    sigfillset(&all); /* signals are for the thread that asked for them */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&l->thread, NULL, fill_rooms, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return error_set(&l->error, "%s: no thread to decompress it: %s", l->path, strerror(failed));
    l->threaded = true;
    return 0;
}

int lines_next(struct lines *l, char **text, size_t *len, struct error *err)
{
    struct room *r = &l->room[l->at];
    if (!l->threaded) {
        make_span(l, r, r);
    } else if (!l->holds || r->result == 1) { /* else it is the end, and stays it */
        if (l->holds)
            sem_post(&l->vacant);
        wait_for(&l->ready);
        l->holds = true;
        l->at = (l->at + 1) % ROOMS;
        r = &l->room[l->at];
    }
    if (r->result < 0 && err)
        *err = l->error;
    if (r->result <= 0)
        return r->result;
    *text = r->text;
    *len = r->given;
    l->bytes += r->given - r->line_end_added;
    return 1;
}

uint64_t lines_bytes(const struct lines *l)
{
    return l->bytes;
}

void lines_close(struct lines *l)
{
    if (l->threaded) {
        pthread_cancel(l->thread);
        pthread_join(l->thread, NULL);
        sem_destroy(&l->ready);
        sem_destroy(&l->vacant);
    }
    ZSTD_freeDStream(l->zstd);
    free(l->input);
    for (unsigned i = 0; i < ROOMS; i++)
        free(l->room[i].memory);
    free(l->path);
    close(l->fd);
    free(l);
}
