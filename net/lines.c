#include "net/lines.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

struct lines {
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
    uint64_t bytes;
    /* text[given..used) has not been given yet. The room is that of the longest line, for no line to need
     * more later; pages that are not touched cost nothing. */
    char *room, *text;
    size_t given, used;
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

/* Reads the first bytes (a pipe may give them one by one) and sees what the file is. */
static int detect(struct lines *l)
{
    size_t n = 0;
    while (n < 4 && !l->eof && !l->failed)
        n += read_some(l, l->text + n, LINES_BLOCK_BYTES - n);
    if (l->failed)
        return -1;
    l->used = n;
    if (!is_zstd((const unsigned char *)l->text, n))
        return 0;
    l->zstd = ZSTD_createDStream();
    l->input = malloc(LINES_BLOCK_BYTES);
    if (!l->zstd || !l->input)
        return error_set(&l->error, "%s: no memory to decompress it", l->path);
    memcpy(l->input, l->text, n);
    l->in = (ZSTD_inBuffer){l->input, n, 0};
    l->used = 0;
    return 0;
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
        l->room = malloc((size_t)LINES_PAD + TEXT_MAX + LINES_PAD);
    }
    if (!l || !l->path || !l->room) {
        error_set(err, "%s: no memory to read it", path);
        if (!l)
            close(fd);
    } else {
        l->text = l->room + LINES_PAD;
        memset(l->room, 0, LINES_PAD);
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
static void fill_zstd(struct lines *l)
{
    ZSTD_outBuffer out = {l->text + l->used, LINES_BLOCK_BYTES, 0};
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
    l->used += out.pos;
}

int lines_next(struct lines *l, char **text, size_t *len, struct error *err)
{
    size_t searched = l->given; /* no '\n' in [given, searched) */
    for (;;) {
        char *last = memrchr(l->text + searched, '\n', l->used - searched);
        if (last) {
            *text = l->text + l->given;
            *len = (size_t)(last + 1 - *text);
            l->given += *len;
            l->bytes += *len;
            return 1;
        }
        memmove(l->text, l->text + l->given, l->used - l->given);
        l->used -= l->given;
        l->given = 0;
        searched = l->used;
        if (l->used >= LINES_LINE_MAX && !l->failed) {
            l->failed = true;
            error_set(&l->error,
                      "%s: the line at byte %llu of the text is longer than %d MiB: no file of lines",
                      l->path, (unsigned long long)l->bytes, LINES_LINE_MAX >> 20);
        }
        if (l->failed) {
            if (err)
                *err = l->error;
            return -1;
        }
        if (l->zstd)
            fill_zstd(l);
        else if (!l->eof)
            l->used += read_some(l, l->text + l->used, LINES_BLOCK_BYTES);
        if (l->used > searched || l->failed)
            continue;
        if (l->used == 0)
            return 0;
        l->text[l->used++] = '\n';
        l->bytes--; /* it is not the file's */
    }
}

uint64_t lines_bytes(const struct lines *l)
{
    return l->bytes;
}

void lines_close(struct lines *l)
{
    ZSTD_freeDStream(l->zstd);
    free(l->input);
    free(l->room);
    free(l->path);
    close(l->fd);
    free(l);
}
