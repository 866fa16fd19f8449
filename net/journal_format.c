#include "net/journal_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are stored as the machine has them");

void journal_index_reset(struct journal_index *x)
{
    x->head = (struct footer_head){
        .magic = JOURNAL_FOOTER_MAGIC, .min_event_ns = INT64_MAX, .max_event_ns = INT64_MIN};
    x->blocks_per_entry = 1;
    x->blocks_in_last = 0;
}

static void widen(int64_t *min_ns, int64_t *max_ns, int64_t other_min_ns, int64_t other_max_ns)
{
    *min_ns = other_min_ns < *min_ns ? other_min_ns : *min_ns;
    *max_ns = other_max_ns > *max_ns ? other_max_ns : *max_ns;
}

static void index_halve(struct journal_index *x)
{
    for (uint32_t i = 0; i < JOURNAL_INDEX_ENTRIES / 2; i++) {
        struct index_entry a = x->entry[2 * i], b = x->entry[2 * i + 1];
        widen(&a.min_event_ns, &a.max_event_ns, b.min_event_ns, b.max_event_ns);
        x->entry[i] = a;
    }
    x->head.entries = JOURNAL_INDEX_ENTRIES / 2;
    x->blocks_per_entry *= 2;
    x->blocks_in_last = x->blocks_per_entry;
}

void journal_index_add(struct journal_index *x, const struct block_head *b, uint64_t offset)
{
    struct footer_head *h = &x->head;
    h->blocks++;
    if (b->flags & JOURNAL_IN_FORCE)
        return;
    if (!h->records)
        h->first_seq = b->first_seq;
    h->last_seq = b->last_seq;
    h->records += b->records;
    widen(&h->min_event_ns, &h->max_event_ns, b->min_event_ns, b->max_event_ns);
    if (h->entries && x->blocks_in_last < x->blocks_per_entry) {
        struct index_entry *e = &x->entry[h->entries - 1];
        widen(&e->min_event_ns, &e->max_event_ns, b->min_event_ns, b->max_event_ns);
        x->blocks_in_last++;
        return;
    }
    if (h->entries == JOURNAL_INDEX_ENTRIES)
        index_halve(x);
    x->entry[h->entries++] = (struct index_entry){offset, b->first_seq, b->min_event_ns, b->max_event_ns};
    x->blocks_in_last = 1;
}

static uint64_t footer_check(const struct footer_head *h, const struct index_entry *entries)
{
    uint64_t seed = XXH3_64bits(entries, h->entries * sizeof *entries);
    return XXH3_64bits_withSeed(h, offsetof(struct footer_head, check), seed);
}

static uint32_t tail_check(uint64_t footer_offset)
{
    return (uint32_t)XXH3_64bits(&footer_offset, sizeof footer_offset);
}

size_t journal_footer(struct journal_index *x, uint64_t offset, uint8_t *out)
{
    size_t entries = x->head.entries * sizeof x->entry[0];
    struct footer_tail tail = {offset, JOURNAL_FOOTER_MAGIC, tail_check(offset)};
    x->head.check = footer_check(&x->head, x->entry);
    memcpy(out, &x->head, sizeof x->head);
    memcpy(out + sizeof x->head, x->entry, entries);
    memcpy(out + sizeof x->head + entries, &tail, sizeof tail);
    return sizeof x->head + entries + sizeof tail;
}

void journal_segment_head(struct segment_head *h, uint32_t number, const uint8_t node[SEGMENT_ID_BYTES])
{
    *h = (struct segment_head){.version = JOURNAL_VERSION, .number = number};
    memcpy(h->magic, JOURNAL_MAGIC, sizeof h->magic);
    memcpy(h->node, node, sizeof h->node);
}

static uint64_t segment_check(const struct segment_head *h)
{
    return XXH3_64bits(h, offsetof(struct segment_head, check));
}

void journal_segment_seal(struct segment_head *h)
{
    h->check = segment_check(h);
}

static uint32_t block_check(const struct block_head *h)
{
    return (uint32_t)XXH3_64bits(&h->bytes, sizeof *h - offsetof(struct block_head, bytes));
}

void journal_block_seal(struct block_head *h, const struct codec_summary *s, uint32_t flags,
                        const uint8_t *payload, uint32_t bytes)
{
    assert(s->slots <= UINT32_MAX);
    *h = (struct block_head){.magic = JOURNAL_BLOCK_MAGIC,
                             .records = (uint32_t)s->records,
                             .slots = (uint32_t)s->slots,
                             .first_seq = s->first_seq,
                             .last_seq = s->last_seq,
                             .min_event_ns = s->min_event_ns,
                             .max_event_ns = s->max_event_ns};
    journal_block_repack(h, flags, payload, bytes);
}

void journal_block_repack(struct block_head *h, uint32_t flags, const uint8_t *payload, uint32_t bytes)
{
    h->bytes = bytes;
    h->flags = flags;
    h->payload_check = XXH3_64bits(payload, bytes);
    h->check = block_check(h);
}

static struct index_entry *read_index(int fd, const struct footer_head *h, uint64_t footer_offset)
{
    size_t bytes = h->entries * sizeof(struct index_entry);
    struct index_entry *e = malloc(bytes + 1);
    if (e && segment_read(fd, e, bytes, footer_offset + sizeof *h) == (int64_t)bytes &&
        h->check == footer_check(h, e))
        return e;
    free(e);
    return NULL;
}

/* Looks for a footer at the end; leaves `sealed` false if there is none that is sound. */
static void find_footer(struct journal_file *f, uint64_t size)
{
    struct footer_tail tail;
    struct footer_head h;
    if (size < sizeof f->head + sizeof h + sizeof tail ||
        segment_read(f->fd, &tail, sizeof tail, size - sizeof tail) != sizeof tail ||
        tail.magic != JOURNAL_FOOTER_MAGIC || tail.check != tail_check(tail.footer_offset) ||
        tail.footer_offset > size - sizeof h - sizeof tail ||
        segment_read(f->fd, &h, sizeof h, tail.footer_offset) != sizeof h ||
        h.magic != JOURNAL_FOOTER_MAGIC || h.entries > JOURNAL_INDEX_ENTRIES ||
        tail.footer_offset + sizeof h + h.entries * sizeof(struct index_entry) + sizeof tail != size)
        return;
    struct index_entry *e = read_index(f->fd, &h, tail.footer_offset);
    if (e) {
        f->sealed = true;
        f->footer = h;
        f->footer_offset = tail.footer_offset;
    }
    free(e);
}

bool journal_file_refresh(struct journal_file *f)
{
    struct stat st;
    if (!f->sealed && fstat(f->fd, &st) == 0)
        find_footer(f, (uint64_t)st.st_size);
    return f->sealed;
}

struct index_entry *journal_file_index(const struct journal_file *f)
{
    assert(f->sealed);
    return read_index(f->fd, &f->footer, f->footer_offset);
}

int journal_file_open(struct journal_file *f, const char *path, struct error *err)
{
    struct stat st;
    struct segment_head *h = &f->head;
    snprintf(f->name, sizeof f->name, "%s", path);
    f->sealed = false;
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0)
        return error_set(err, "%s: cannot open: %s%s", path, strerror(errno), segment_advice(errno));
    static const struct segment_head zero;
    int64_t n = segment_read(f->fd, h, sizeof *h, 0);
    int rc = JOURNAL_FILE_OPEN;
    if (n < 0 || fstat(f->fd, &st))
        rc = error_set(err, "%s: cannot read: %s%s", path, strerror(errno), segment_advice(errno));
    else if (!memcmp(h, &zero, (size_t)n))
        rc = JOURNAL_FILE_EMPTY;
    else if (memcmp(h->magic, JOURNAL_MAGIC, (size_t)n < 8 ? (size_t)n : 8))
        rc = error_set(
                 err,
                 "%s: not a capture: expected it to start with RTJRNL; give a capture's directory or one "
                 "of its " JOURNAL_SUFFIX " files",
                 path) -
             1;
    else if (n < (int64_t)sizeof *h)
        rc = JOURNAL_FILE_EMPTY;
    else if (h->check != segment_check(h) && h->version <= JOURNAL_VERSION_COMPRESSED)
        rc = error_set(
                 err,
                 "%s: damaged: the checksum of its head (64 bytes at offset 0) is wrong; restore the file "
                 "from a copy",
                 path) -
             1;
    else if (h->version != JOURNAL_VERSION && h->version != JOURNAL_VERSION_COMPRESSED)
        rc = error_set(err,
                       "%s: found format version %" PRIu32
                       ", expected %d or %d; read it with the ringtape that wrote it",
                       path, h->version, JOURNAL_VERSION, JOURNAL_VERSION_COMPRESSED);
    if (rc == JOURNAL_FILE_OPEN)
        find_footer(f, (uint64_t)st.st_size);
    else
        journal_file_close(f);
    return rc;
}

void journal_file_close(struct journal_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void journal_payload_free(struct journal_payload *p)
{
    free(p->bytes);
    free(p->packed);
    ZSTD_freeDCtx(p->zstd);
    *p = (struct journal_payload){0};
}

static int cannot_read(struct error *what)
{
    error_set(what, "cannot read: %s%s", strerror(errno), segment_advice(errno));
    return -2;
}

/* Makes room for `bytes` and the decoder's slack. 0 or -2. */
static int grow(uint8_t **buf, size_t *room, size_t bytes, struct error *what)
{
    if (bytes + CODEC_SLACK_BYTES <= *room)
        return 0;
    uint8_t *more = realloc(*buf, bytes + CODEC_SLACK_BYTES);
    if (!more) {
        error_set(what, "out of memory for a block of %zu bytes", bytes);
        return -2;
    }
    *buf = more;
    *room = bytes + CODEC_SLACK_BYTES;
    return 0;
}

/* p->packed[0..bytes) into p->bytes. As journal_file_block. */
static int unpack(struct journal_payload *p, uint32_t bytes, struct error *what)
{
    unsigned long long size = ZSTD_getFrameContentSize(p->packed, bytes);
    if (size > JOURNAL_BLOCK_BYTES_MAX) /* unknown and wrong are the largest numbers */
        return error_set(what, "the block's %" PRIu32 " compressed bytes do not say how many they become",
                         bytes);
    if (grow(&p->bytes, &p->room, size, what))
        return -2;
    if (!p->zstd && !(p->zstd = ZSTD_createDCtx())) {
        error_set(what, "out of memory for decompression");
        return -2;
    }
    size_t n = ZSTD_decompressDCtx(p->zstd, p->bytes, size, p->packed, bytes);
    if (ZSTD_isError(n) || n != size)
        return error_set(what, "cannot decompress the block's %" PRIu32 " bytes: %s", bytes,
                         ZSTD_isError(n) ? ZSTD_getErrorName(n) : "too few came out");
    p->size = (uint32_t)size;
    return 1;
}

static int read_payload(const struct journal_file *f, uint64_t offset, const struct block_head *h,
                        struct journal_payload *p, struct error *what)
{
    bool zstd = h->flags & JOURNAL_ZSTD;
    uint8_t **to = zstd ? &p->packed : &p->bytes;
    if (grow(to, zstd ? &p->packed_room : &p->room, h->bytes, what))
        return -2;
    int64_t n = segment_read(f->fd, *to, h->bytes, offset);
    if (n < 0)
        return cannot_read(what);
    if (n < (int64_t)h->bytes)
        return error_set(what, "found %" PRId64 " bytes of a block, expected %" PRIu32, n, h->bytes);
    if (h->payload_check != XXH3_64bits(*to, h->bytes))
        return error_set(what, "the checksum of the block's %" PRIu32 " bytes is wrong", h->bytes);
    p->size = h->bytes;
    return zstd ? unpack(p, h->bytes, what) : 1;
}

int journal_file_block(const struct journal_file *f, uint64_t offset, struct block_head *h,
                       struct journal_payload *payload, struct error *what)
{
    if (f->sealed && offset == f->footer_offset)
        return 0;
    int64_t n = segment_read(f->fd, h, sizeof *h, offset);
    if (n == 0 && !f->sealed)
        return 0;
    if (n < 0)
        return cannot_read(what);
    if (n < (int64_t)sizeof *h)
        return error_set(what, "found %" PRId64 " bytes, expected a block's head of 64", n);
    if (h->magic != JOURNAL_BLOCK_MAGIC)
        return error_set(what, "found 0x%08" PRIx32 ", expected a block (0x%08x)", h->magic,
                         JOURNAL_BLOCK_MAGIC);
    if (h->check != block_check(h) || h->bytes > JOURNAL_BLOCK_BYTES_MAX)
        return error_set(what, "the checksum of the block's head is wrong");
    if ((h->flags & JOURNAL_ZSTD) && f->head.version != JOURNAL_VERSION_COMPRESSED)
        return error_set(what, "found a compressed block, expected none in a segment that is not");
    if (f->sealed && h->bytes > f->footer_offset - offset - sizeof *h)
        return error_set(what, "found a block of %" PRIu32 " bytes that runs into the footer at %" PRIu64,
                         h->bytes, f->footer_offset);
    return payload ? read_payload(f, offset + sizeof *h, h, payload, what) : 1;
}

uint64_t journal_file_block_after(const struct journal_file *f, uint64_t offset)
{
    enum { PIECE = 1 << 16, OVERLAP = sizeof(struct block_head) - 1 };
    struct journal_payload payload = {0};
    uint8_t *buf = malloc(PIECE);
    uint64_t found = 0;
    for (uint64_t at = offset + 1; buf && !found; at += PIECE - OVERLAP) {
        int64_t n = segment_read(f->fd, buf, PIECE, at);
        for (int64_t i = 0; i + OVERLAP < n && !found; i++) {
            struct block_head h;
            memcpy(&h, buf + i, sizeof h);
            if (h.magic == JOURNAL_BLOCK_MAGIC && h.check == block_check(&h) &&
                journal_file_block(f, at + (uint64_t)i, &h, &payload, NULL) == 1)
                found = at + (uint64_t)i;
        }
        if (n < PIECE)
            break;
    }
    free(buf);
    journal_payload_free(&payload);
    return found;
}

uint64_t journal_file_seek(const struct journal_file *f, uint64_t from_seq, int64_t from_ns)
{
    uint64_t offset = sizeof(struct segment_head);
    if (!f->sealed)
        return offset;
    struct index_entry *e = journal_file_index(f);
    if (e)
        for (uint32_t i = 0; i < f->footer.entries; i++) {
            bool last = i + 1 == f->footer.entries;
            if ((last || e[i + 1].first_seq > from_seq) && (last || e[i].max_event_ns >= from_ns)) {
                offset = i ? e[i].offset : offset;
                break;
            }
        }
    free(e);
    return offset;
}
