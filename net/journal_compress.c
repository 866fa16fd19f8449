#include "net/journal_format.h"
#include "net/journal_keep.h"
#include "shm/atomics.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* What is written is handed to the disk in pieces, so that the sync at the end does not hold up the writer's.
 */
enum { WRITE_OUT_BYTES = 4 << 20, STOPPED = 2 };

struct compress {
    const char *dir;
    int dir_fd, fd; /* fd: of the temporary file */
    const uint32_t *stop;
    struct error *err;
    char name[SEGMENT_NAME_BYTES], temporary[SEGMENT_NAME_BYTES + 8];
    struct journal_file from;
    struct journal_payload payload;
    struct journal_index *index;
    ZSTD_CCtx *zstd;
    ZSTD_DCtx *check;
    uint8_t *packed, *again; /* compressed, and decompressed to see that it is the same */
    size_t packed_room, again_room;
    uint64_t end, written_out; /* of the temporary file */
};

static void temporary_name(char name[SEGMENT_NAME_BYTES + 8], uint64_t number)
{
    char plain[SEGMENT_NAME_BYTES];
    segment_name(plain, number, JOURNAL_SUFFIX);
    snprintf(name, SEGMENT_NAME_BYTES + 8, "%s.tmp", plain);
}

void journal_compress_forget(int dir_fd, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES + 8];
    temporary_name(name, number);
    unlinkat(dir_fd, name, 0);
}

static int out_of_memory(struct compress *c)
{
    return error_set(c->err, "%s/%s: out of memory for compression", c->dir, c->name);
}

static int cannot(struct compress *c, const char *what, const char *name)
{
    return error_set(c->err, "%s/%s: cannot %s: %s%s; the segment stays as it is", c->dir, name, what,
                     strerror(errno), segment_advice(errno));
}

static int damaged(struct compress *c, uint64_t offset, const char *what)
{
    error_set(c->err,
              "%s/%s: damaged at offset %" PRIu64
              ": %s; it is not compressed and stays as it is: see `ringtape capture verify`",
              c->dir, c->name, offset, what);
    return -2;
}

static int put(struct compress *c, const void *bytes, size_t n)
{
    if (segment_write(c->fd, bytes, n, c->end))
        return cannot(c, "write", c->temporary);
    c->end += n;
    if (c->end - c->written_out >= WRITE_OUT_BYTES) {
        sync_file_range(c->fd, (off_t)c->written_out, (off_t)(c->end - c->written_out),
                        SYNC_FILE_RANGE_WRITE);
        c->written_out = c->end;
    }
    return 0;
}

/* Compresses c->payload into c->packed and sees that it comes back. *n: its bytes, 0 if that is not worth it.
 */
static int pack(struct compress *c, size_t *n)
{
    size_t size = c->payload.size, bound = ZSTD_compressBound(size);
    if (bound > c->packed_room) {
        free(c->packed);
        c->packed_room = (c->packed = malloc(bound)) ? bound : 0;
    }
    if (size > c->again_room) {
        free(c->again);
        c->again_room = (c->again = malloc(size)) ? size : 0;
    }
    if (!c->packed || (size && !c->again))
        return out_of_memory(c);
    *n = ZSTD_compress2(c->zstd, c->packed, c->packed_room, c->payload.bytes, size);
    if (ZSTD_isError(*n))
        return error_set(c->err, "%s/%s: cannot compress: %s", c->dir, c->name, ZSTD_getErrorName(*n));
    if (*n >= size) {
        *n = 0;
        return 0;
    }
    if (ZSTD_decompressDCtx(c->check, c->again, size, c->packed, *n) != size ||
        memcmp(c->again, c->payload.bytes, size))
        return error_set(c->err,
                         "%s/%s: what was compressed does not come back the same: this machine's memory or "
                         "its libzstd is faulty; the segment stays as it is",
                         c->dir, c->name);
    return 0;
}

/* The block at `offset` into the temporary file. 1, 0 at the end, or as journal_compress. */
static int copy_block(struct compress *c, uint64_t *offset)
{
    struct block_head h;
    struct error what;
    size_t n = 0;
    int rc = journal_file_block(&c->from, *offset, &h, &c->payload, &what);
    if (rc == -2)
        return error_set(c->err, "%s: at offset %" PRIu64 ": %s", c->from.name, *offset, what.text);
    if (rc <= 0)
        return rc ? damaged(c, *offset, what.text) : 0;
    *offset += sizeof h + h.bytes;
    if (pack(c, &n))
        return -1;
    if (n)
        journal_block_repack(&h, h.flags | JOURNAL_ZSTD, c->packed, (uint32_t)n);
    journal_index_add(c->index, &h, c->end);
    return put(c, &h, sizeof h) || put(c, n ? c->packed : c->payload.bytes, h.bytes) ? -1 : 1;
}

/* Everything but the name. */
static int write_temporary(struct compress *c)
{
    struct segment_head head = c->from.head;
    uint64_t offset = sizeof head;
    int rc;
    head.version = JOURNAL_VERSION_COMPRESSED;
    journal_segment_seal(&head);
    journal_index_reset(c->index);
    if (put(c, &head, sizeof head))
        return -1;
    while ((rc = copy_block(c, &offset)) == 1)
        if (c->stop && atomics_load_acquire_u32(c->stop))
            return STOPPED;
    if (rc)
        return rc;
    struct footer_head was = c->from.footer;
    was.check = c->index->head.check;
    was.first_seq = was.records ? was.first_seq : 0; /* of none, it is that of the message that was to come */
    if (memcmp(&was, &c->index->head, sizeof was))
        return damaged(c, c->from.footer_offset, "its footer does not say what the blocks hold");
    uint8_t *footer = malloc(JOURNAL_FOOTER_BYTES_MAX);
    if (!footer)
        return out_of_memory(c);
    rc = put(c, footer, journal_footer(c->index, c->end, footer));
    free(footer);
    return rc;
}

static int replace(struct compress *c)
{
    int rc = write_temporary(c);
    if (rc)
        return rc;
    if (fsync(c->fd))
        return cannot(c, "sync", c->temporary);
    if (renameat(c->dir_fd, c->temporary, c->dir_fd, c->name))
        return cannot(c, "rename", c->temporary);
    /* Whichever of the two files a crash brings back under the name is whole. */
    if (fsync(c->dir_fd))
        return cannot(c, "sync the directory of", c->name);
    return 1;
}

static int make_tools(struct compress *c, int level)
{
    c->index = malloc(sizeof *c->index);
    c->zstd = ZSTD_createCCtx();
    c->check = ZSTD_createDCtx();
    if (!c->index || !c->zstd || !c->check)
        return out_of_memory(c);
    if (ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_checksumFlag, 1)))
        return error_set(c->err, "%s/%s: libzstd does not take level %d", c->dir, c->name, level);
    c->fd = openat(c->dir_fd, c->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    return c->fd < 0 ? cannot(c, "make", c->temporary) : 0;
}

int journal_compress(const char *dir, int dir_fd, uint64_t number, int level, const uint32_t *stop,
                     struct journal_keep_state *s, struct error *err)
{
    struct compress c = {.dir = dir, .dir_fd = dir_fd, .fd = -1, .stop = stop, .err = err};
    char path[4200];
    assert(level >= 1 && level <= 19);
    segment_name(c.name, number, JOURNAL_SUFFIX);
    temporary_name(c.temporary, number);
    snprintf(path, sizeof path, "%s/%s", dir, c.name);
    if (faccessat(dir_fd, c.name, F_OK, 0) && errno == ENOENT)
        return 0;
    int rc = journal_file_open(&c.from, path, err);
    if (rc <= 0)
        return rc ? -2 : 0;
    if (!c.from.sealed || c.from.head.version == JOURNAL_VERSION_COMPRESSED) {
        journal_file_close(&c.from);
        return 0;
    }
    struct stat st;
    rc = fstat(c.from.fd, &st) ? cannot(&c, "read", c.name) : make_tools(&c, level);
    if (rc == 0)
        rc = replace(&c);
    if (rc == 1) {
        s->compressed++;
        s->plain_bytes += (uint64_t)st.st_size;
        s->zip_bytes += c.end;
    } else if (c.fd >= 0) {
        unlinkat(dir_fd, c.temporary, 0);
    }
    if (c.fd >= 0)
        close(c.fd);
    journal_file_close(&c.from);
    journal_payload_free(&c.payload);
    ZSTD_freeCCtx(c.zstd);
    ZSTD_freeDCtx(c.check);
    free(c.index);
    free(c.packed);
    free(c.again);
    return rc == STOPPED ? 0 : rc;
}
