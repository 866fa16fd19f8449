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
                             .bytes = bytes,
                             .flags = flags,
                             .records = (uint32_t)s->records,
                             .slots = (uint32_t)s->slots,
                             .first_seq = s->first_seq,
                             .last_seq = s->last_seq,
                             .min_event_ns = s->min_event_ns,
                             .max_event_ns = s->max_event_ns,
                             .payload_check = XXH3_64bits(payload, bytes)};
    h->check = block_check(h);
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
    size_t bytes = h.entries * sizeof(struct index_entry);
    struct index_entry *e = malloc(bytes + 1);
    if (e && segment_read(f->fd, e, bytes, tail.footer_offset + sizeof h) == (int64_t)bytes &&
        h.check == footer_check(&h, e)) {
        f->sealed = true;
        f->footer = h;
        f->footer_offset = tail.footer_offset;
    }
    free(e);
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
            path);
    else if (n < (int64_t)sizeof *h)
        rc = JOURNAL_FILE_EMPTY;
    else if (h->check != segment_check(h) && h->version == JOURNAL_VERSION)
        rc = error_set(
            err,
            "%s: damaged: the checksum of its head (64 bytes at offset 0) is wrong; restore the file "
            "from a copy",
            path);
    else if (h->version != JOURNAL_VERSION)
        rc = error_set(
            err, "%s: found format version %" PRIu32 ", expected %d; read it with the ringtape that wrote it",
            path, h->version, JOURNAL_VERSION);
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

int journal_file_block(const struct journal_file *f, uint64_t offset, struct block_head *h,
                       struct journal_payload *payload, struct error *what)
{
    if (f->sealed && offset == f->footer_offset)
        return 0;
    int64_t n = segment_read(f->fd, h, sizeof *h, offset);
    if (n == 0 && !f->sealed)
        return 0;
    if (n < 0) {
        error_set(what, "cannot read: %s%s", strerror(errno), segment_advice(errno));
        return -2;
    }
    if (n < (int64_t)sizeof *h)
        return error_set(what, "found %" PRId64 " bytes, expected a block's head of 64", n);
    if (h->magic != JOURNAL_BLOCK_MAGIC)
        return error_set(what, "found 0x%08" PRIx32 ", expected a block (0x%08x)", h->magic,
                         JOURNAL_BLOCK_MAGIC);
    if (h->check != block_check(h) || h->bytes > JOURNAL_BLOCK_BYTES_MAX)
        return error_set(what, "the checksum of the block's head is wrong");
    if (f->sealed && h->bytes > f->footer_offset - offset - sizeof *h)
        return error_set(what, "found a block of %" PRIu32 " bytes that runs into the footer at %" PRIu64,
                         h->bytes, f->footer_offset);
    if (!payload)
        return 1;
    if (h->bytes + CODEC_SLACK_BYTES > payload->room) {
        uint8_t *more = realloc(payload->bytes, h->bytes + CODEC_SLACK_BYTES);
        if (!more) {
            error_set(what, "out of memory for a block of %" PRIu32 " bytes", h->bytes);
            return -2;
        }
        payload->bytes = more;
        payload->room = h->bytes + CODEC_SLACK_BYTES;
    }
    n = segment_read(f->fd, payload->bytes, h->bytes, offset + sizeof *h);
    if (n < 0) {
        error_set(what, "cannot read: %s%s", strerror(errno), segment_advice(errno));
        return -2;
    }
    if (n < (int64_t)h->bytes)
        return error_set(what, "found %" PRId64 " bytes of a block, expected %" PRIu32, n, h->bytes);
    if (h->payload_check != XXH3_64bits(payload->bytes, h->bytes))
        return error_set(what, "the checksum of the block's %" PRIu32 " bytes is wrong", h->bytes);
    return 1;
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
    free(payload.bytes);
    return found;
}

uint64_t journal_file_seek(const struct journal_file *f, uint64_t from_seq, int64_t from_ns)
{
    uint64_t offset = sizeof(struct segment_head);
    if (!f->sealed)
        return offset;
    size_t bytes = f->footer.entries * sizeof(struct index_entry);
    struct index_entry *e = malloc(bytes + 1);
    if (e && segment_read(f->fd, e, bytes, f->footer_offset + sizeof f->footer) == (int64_t)bytes)
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
