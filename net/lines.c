#include "net/lines.h"

#include "net/bytes.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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
    struct bytes *bytes;
    bool failed; /* with `error`, told when what came before has been given */
    struct error error;
    char *path;
    uint64_t made; /* bytes of text */
    struct room room[ROOMS];
    /* between the two, if there is a thread */
    pthread_t thread;
    bool threaded;
    sem_t ready, vacant; /* rooms */
    /* who takes spans */
    unsigned at; /* its room */
    bool holds;
    uint64_t given; /* bytes of text */
};

/* The longest line, one block, and a '\n' that may be added. */
enum { TEXT_MAX = LINES_LINE_MAX + LINES_BLOCK_BYTES };

static int start_thread(struct lines *l, struct error *err);

static bool make_room(struct room *r)
{
    r->memory = malloc((size_t)LINES_PAD + TEXT_MAX + LINES_PAD);
    if (!r->memory)
        return false;
    memset(r->memory, 0, LINES_PAD);
    r->text = r->memory + LINES_PAD;
    return true;
}

struct lines *lines_open(const char *path, struct error *err)
{
    struct bytes *bytes = bytes_open(path, "lines", err);
    if (!bytes)
        return NULL;
    struct lines *l = calloc(1, sizeof *l);
    if (!l) {
        error_set(err, "%s: no memory to read it", path);
        bytes_close(bytes);
        return NULL;
    }
    l->bytes = bytes;
    l->path = strdup(path);
    if (!l->path || !make_room(&l->room[0]))
        error_set(err, "%s: no memory to read it", path);
    else if (!bytes_compressed(bytes) || start_thread(l, err) == 0)
        return l;
    lines_close(l);
    return NULL;
}

/* Appends what comes next, up to a block of text; false at the end or a fault. */
static bool fill(struct lines *l, struct room *r)
{
    ssize_t n = bytes_read(l->bytes, r->text + r->used, LINES_BLOCK_BYTES, &l->error);
    l->failed = n < 0;
    if (n > 0)
        r->used += (size_t)n;
    return n > 0;
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
        if (fill(l, r) || l->failed)
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

static int start_thread(struct lines *l, struct error *err)
{
    sigset_t all, old;
    for (unsigned i = 1; i < ROOMS; i++)
        if (!make_room(&l->room[i]))
            return error_set(err, "%s: no memory to read it", l->path);
    sem_init(&l->ready, 0, 0);
    sem_init(&l->vacant, 0, ROOMS - 1);
    sigfillset(&all); /* signals are for the thread that asked for them */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&l->thread, NULL, fill_rooms, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return error_set(err, "%s: no thread to decompress it: %s", l->path, strerror(failed));
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
    l->given += r->given - r->line_end_added;
    return 1;
}

uint64_t lines_bytes(const struct lines *l)
{
    return l->given;
}

void lines_close(struct lines *l)
{
    if (l->threaded) {
        pthread_cancel(l->thread);
        pthread_join(l->thread, NULL);
        sem_destroy(&l->ready);
        sem_destroy(&l->vacant);
    }
    for (unsigned i = 0; i < ROOMS; i++)
        free(l->room[i].memory);
    free(l->path);
    bytes_close(l->bytes);
    free(l);
}
