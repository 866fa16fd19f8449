#include "net/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { BLOCK_BYTES = 256 << 10 };

struct bytes {
    int fd;
    bool eof; /* of the file */
    bool in_frame;
    char *path;
    const char *unit;
    ZSTD_DStream *zstd; /* NULL: plain */
    char *input;        /* compressed bytes; of a plain file the first ones */
    ZSTD_inBuffer in;
    unsigned long long in_offset; /* of input[0] in the file */
    bool failed;                  /* with `error`, told when what came before has been given */
    struct error error;
};

/* One read(2); retried where a signal came between. */
static size_t read_some(struct bytes *b, void *to, size_t max)
{
    ssize_t n;
    do
        n = read(b->fd, to, max);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        b->failed = true;
        error_set(&b->error, "%s: could not be read: %s", b->path, strerror(errno));
        return 0;
    }
    b->eof = n == 0;
    return (size_t)n;
}

static bool is_zstd(const unsigned char *head, size_t n)
{
    if (n < 4)
        return false;
    uint32_t magic = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
    return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

/* Reads the first bytes (a pipe may give them one by one) and sees what the file is. */
static int detect(struct bytes *b)
{
    size_t n = 0;
    while (n < 4 && !b->eof && !b->failed)
        n += read_some(b, b->input + n, BLOCK_BYTES - n);
    if (b->failed)
        return -1;
    b->in = (ZSTD_inBuffer){b->input, n, 0};
    if (!is_zstd((const unsigned char *)b->input, n))
        return 0;
    b->zstd = ZSTD_createDStream();
    return b->zstd ? 0 : error_set(&b->error, "%s: no memory to decompress it", b->path);
}

struct bytes *bytes_open(const char *path, const char *unit, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(err, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        error_set(err, "%s: a directory, expected a file (plain or .zst)", path);
        close(fd);
        return NULL;
    }
    struct bytes *b = calloc(1, sizeof *b);
    if (!b) {
        error_set(err, "%s: no memory to read it", path);
        close(fd);
        return NULL;
    }
    b->fd = fd;
    b->unit = unit;
    b->path = strdup(path);
    b->input = malloc(BLOCK_BYTES);
    if (b->path && b->input) {
        if (detect(b) == 0)
            return b;
        if (err)
            *err = b->error;
    } else {
        error_set(err, "%s: no memory to read it", path);
    }
    bytes_close(b);
    return NULL;
}

static void fail_zstd(struct bytes *b, size_t code)
{
    unsigned long long at = b->in_offset + b->in.pos;
    const char *what = ZSTD_getErrorName(code);
    b->failed = true;
    if (ZSTD_getErrorCode(code) == ZSTD_error_prefix_unknown)
        error_set(&b->error,
                  "%s: behind a zstd frame, at byte %llu, is no other one: %s; the %s before it were read",
                  b->path, at, what, b->unit);
    else
        error_set(&b->error, "%s: damaged near byte %llu: %s; the %s before it were read", b->path, at, what,
                  b->unit);
}

static void fail_truncated(struct bytes *b)
{
    b->failed = true;
    error_set(&b->error,
              "%s: truncated: the file ends within a zstd frame, at byte %llu; the %s before it were read",
              b->path, b->in_offset + b->in.pos, b->unit);
}

static size_t read_zstd(struct bytes *b, void *to, size_t max)
{
    ZSTD_outBuffer out = {to, max, 0};
    while (out.pos == 0 && !b->failed) {
        if (b->in.pos == b->in.size && !b->eof) {
            b->in_offset += b->in.size;
            b->in = (ZSTD_inBuffer){b->input, read_some(b, b->input, BLOCK_BYTES), 0};
        }
        bool drained = b->in.pos == b->in.size; /* the file's end; zstd may still hold bytes */
        if (b->failed || (drained && !b->in_frame))
            break;
        size_t left = ZSTD_decompressStream(b->zstd, &out, &b->in);
        if (ZSTD_isError(left))
            fail_zstd(b, left);
        else if (drained && left && out.pos == 0)
            fail_truncated(b);
        else
            b->in_frame = left != 0;
    }
    return out.pos;
}

static size_t read_plain(struct bytes *b, void *to, size_t max)
{
    size_t left = b->in.size - b->in.pos;
    if (left == 0)
        return b->eof ? 0 : read_some(b, to, max);
    left = left < max ? left : max;
    memcpy(to, b->input + b->in.pos, left);
    b->in.pos += left;
    return left;
}

ssize_t bytes_read(struct bytes *b, void *to, size_t max, struct error *err)
{
    size_t n = b->failed ? 0 : b->zstd ? read_zstd(b, to, max) : read_plain(b, to, max);
    if (n == 0 && b->failed) {
        if (err)
            *err = b->error;
        return -1;
    }
    return (ssize_t)n;
}

bool bytes_compressed(const struct bytes *b)
{
    return b->zstd != NULL;
}

const unsigned char *bytes_head(const struct bytes *b, size_t *n)
{
    *n = b->in.size;
    return (const unsigned char *)b->input;
}

void bytes_close(struct bytes *b)
{
    ZSTD_freeDStream(b->zstd);
    free(b->input);
    free(b->path);
    close(b->fd);
    free(b);
}
