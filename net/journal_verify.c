#include "net/journal_verify.h"
#include "net/capture.h"
#include "net/journal_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SLOTS = 4096 };

struct verify {
    journal_verify_tell *tell;
    void *ctx;
    struct journal_verified *v;
    struct journal_file file;
    struct journal_payload payload;
    struct journal_index *index;
    struct codec_decoder *decoder;
    struct msg *out;
    uint8_t node[SEGMENT_ID_BYTES];
    bool has_node;
    uint64_t next;       /* the seq that must follow; 0: any */
    uint64_t first_seq;  /* of the segment's messages; 0: none yet */
    bool blocks_damaged; /* of the segment: its index is not compared */
};

static void problem(struct verify *f, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void problem(struct verify *f, uint64_t offset, const char *format, ...)
{
    struct error what;
    va_list ap;
    va_start(ap, format);
    vsnprintf(what.text, sizeof what.text, format, ap);
    va_end(ap);
    f->v->problems++;
    f->tell(f->ctx, f->file.name, offset, what.text);
}

static void gap(struct verify *f, uint64_t offset, uint64_t from, uint64_t to)
{
    f->v->missing += to - from + 1;
    problem(f, offset, "messages %" PRIu64 " to %" PRIu64 " are missing before it", from, to);
}

/* The block's records m[0..n). False if the rest of the block is not worth looking at. */
static bool check_records(struct verify *f, uint64_t offset, const struct block_head *h, size_t n)
{
    for (size_t i = 0; i < n; i += msg_slot_count(&f->out[i])) {
        const struct msg *m = &f->out[i];
        const char *fault = capture_record_fault(m);
        if (fault)
            problem(f, offset, "message %" PRIu64 " is a %s that nobody can use: %s", m->seq,
                    msg_type_name(m->type), fault);
        if (h->flags & JOURNAL_IN_FORCE)
            continue;
        if (m->seq < f->next) {
            problem(f, offset, "found message %" PRIu64 ", expected %" PRIu64, m->seq, f->next);
            return false;
        }
        if (f->next && m->seq > f->next)
            gap(f, offset, f->next, m->seq - 1);
        f->first_seq = f->first_seq ? f->first_seq : m->seq;
        f->v->first_seq = f->v->first_seq ? f->v->first_seq : m->seq;
        f->v->last_seq = m->seq;
        f->next = m->seq + 1;
        f->v->records++;
    }
    return true;
}

/* What the block's sound payload holds, against its head. */
static void check_block(struct verify *f, uint64_t offset, const struct block_head *h)
{
    struct codec_summary sum = codec_summary_none;
    int64_t n;
    codec_decode_begin(f->decoder, h->first_seq, f->payload.bytes, f->payload.size);
    while ((n = codec_decode(f->decoder, f->out, SLOTS)) > 0) {
        codec_summarise(&sum, f->out, (size_t)n);
        if (!check_records(f, offset, h, (size_t)n))
            return;
    }
    if (n < 0) {
        problem(f, offset, "byte %td of the block's content is no message, but its checksum is right",
                f->decoder->at - f->payload.bytes);
        return;
    }
    if (h->flags & JOURNAL_IN_FORCE)
        sum.first_seq = sum.last_seq = 0;
    if (sum.records != h->records || sum.slots != h->slots)
        problem(f, offset,
                "found %" PRIu64 " messages in %" PRIu64 " slots, its head says %" PRIu32 " in %" PRIu32,
                sum.records, sum.slots, h->records, h->slots);
    if (sum.first_seq != h->first_seq || sum.last_seq != h->last_seq)
        problem(f, offset, "found messages %" PRIu64 " to %" PRIu64 ", its head says %" PRIu64 " to %" PRIu64,
                sum.first_seq, sum.last_seq, h->first_seq, h->last_seq);
    if (sum.min_event_ns != h->min_event_ns || sum.max_event_ns != h->max_event_ns)
        problem(f, offset,
                "found event times %" PRId64 " to %" PRId64 ", its head says %" PRId64 " to %" PRId64,
                sum.min_event_ns, sum.max_event_ns, h->min_event_ns, h->max_event_ns);
}

/* At `offset` stands no whole block. Returns where to go on, 0 if nothing follows. */
static uint64_t bad_block(struct verify *f, uint64_t offset, const char *what, bool last)
{
    uint64_t after = journal_file_block_after(&f->file, offset);
    struct stat st;
    if (!after && !f->file.sealed && last) {
        uint64_t torn = fstat(f->file.fd, &st) ? 0 : (uint64_t)st.st_size - offset;
        error_set(&f->v->note,
                  "%s: ends at offset %" PRIu64 " in %" PRIu64
                  " bytes that are no whole block (%s): being written, or torn; the writer's next start cuts "
                  "them off",
                  f->file.name, offset, torn, what);
        return 0;
    }
    f->blocks_damaged = true;
    if (after)
        problem(f, offset, "%s; %" PRIu64 " bytes up to the next sound block", what, after - offset);
    else
        problem(f, offset, "%s; no sound block follows", what);
    return after;
}

static void check_index(struct verify *f)
{
    struct footer_head h = f->file.footer;
    struct index_entry *e = journal_file_index(&f->file);
    struct footer_head *found = &f->index->head;
    h.check = found->check;
    h.first_seq = h.records ? h.first_seq : found->first_seq; /* of none, that of the message to come */
    if (memcmp(&h, found, sizeof h))
        problem(f, f->file.footer_offset,
                "the footer says %" PRIu64 " blocks, messages %" PRIu64 " to %" PRIu64 "; found %" PRIu64
                ", %" PRIu64 " to %" PRIu64,
                h.blocks, h.first_seq, h.last_seq, found->blocks, found->first_seq, found->last_seq);
    for (uint32_t i = 0; e && i < h.entries && i < found->entries; i++)
        if (memcmp(&e[i], &f->index->entry[i], sizeof *e)) {
            problem(f, f->file.footer_offset + sizeof h + i * sizeof *e,
                    "index entry %" PRIu32 " is not what the blocks hold", i);
            break;
        }
    free(e);
}

static void check_head(struct verify *f)
{
    const struct segment_head *h = &f->file.head;
    if (f->has_node && memcmp(f->node, h->node, sizeof f->node))
        problem(f, 0, "a segment of another journal than the files before it");
    memcpy(f->node, h->node, sizeof f->node);
    f->has_node = true;
    if (!f->next) {
        f->next = h->first_seq; /* what precedes is in no file: no gap */
    } else if (h->prev_seq >= f->next) {
        gap(f, 0, f->next, h->prev_seq);
        f->next = h->prev_seq + 1;
    } else if (h->prev_seq + 1 != f->next) {
        problem(f, 0, "it follows message %" PRIu64 ", the segment before it ends with %" PRIu64, h->prev_seq,
                f->next - 1);
    }
    if (h->prev_seq + 1 == f->next && h->first_seq > f->next) { /* its writer knew */
        error_set(&f->v->note,
                  "%s: its writer began it with message %" PRIu64 ": those from %" PRIu64
                  " on were lost when the one before it died",
                  f->file.name, h->first_seq, f->next);
        f->v->missing += h->first_seq - f->next;
        f->next = h->first_seq;
    }
}

static void check_segment(struct verify *f, bool last)
{
    uint64_t offset = sizeof(struct segment_head);
    struct block_head h;
    struct error what;
    int rc;
    check_head(f);
    f->v->compressed += f->file.head.version == JOURNAL_VERSION_COMPRESSED;
    f->blocks_damaged = false;
    f->first_seq = 0;
    journal_index_reset(f->index);
    while ((rc = journal_file_block(&f->file, offset, &h, &f->payload, &what)) != 0) {
        if (rc == -2) {
            problem(f, offset, "%s", what.text);
            return;
        }
        if (rc == 1) {
            journal_index_add(f->index, &h, offset);
            check_block(f, offset, &h);
            f->v->blocks++;
            offset += sizeof h + h.bytes;
        } else if (!(offset = bad_block(f, offset, what.text, last))) {
            break;
        }
    }
    if (f->first_seq && f->first_seq != f->file.head.first_seq && !f->blocks_damaged)
        problem(f, 0, "its head says that message %" PRIu64 " is the first, found %" PRIu64,
                f->file.head.first_seq, f->first_seq);
    const struct footer_head *footer = &f->file.footer;
    if (f->file.sealed && footer->records && f->next && f->next <= footer->last_seq) {
        gap(f, f->file.footer_offset, f->next, footer->last_seq);
        f->next = footer->last_seq + 1;
    }
    if (f->file.sealed && !f->blocks_damaged)
        check_index(f);
}

/* `last`: no segment with messages follows. */
static void check_file(struct verify *f, const char *path, uint64_t number, bool last)
{
    struct error err;
    struct stat st;
    int rc = journal_file_open(&f->file, path, &err);
    f->v->bytes += stat(path, &st) ? 0 : (uint64_t)st.st_size;
    f->v->segments++;
    if (rc < 0) {
        size_t name = strlen(path);
        bool named = !strncmp(err.text, path, name) && !strncmp(err.text + name, ": ", 2);
        problem(f, 0, "%s", err.text + (named ? name + 2 : 0));
        return;
    }
    if (rc == JOURNAL_FILE_EMPTY)
        return; /* made ready by the writer */
    if (number && f->file.head.number != number)
        problem(f, 0, "found segment number %" PRIu32 " in it, expected that of its name",
                f->file.head.number);
    check_segment(f, last);
    journal_file_close(&f->file);
}

static int check_dir(struct verify *f, const char *dir, struct error *err)
{
    uint64_t *numbers;
    char path[4200], name[SEGMENT_NAME_BYTES];
    struct stat st;
    int n = segment_list(dir, JOURNAL_SUFFIX, &numbers, err), content = n;
    if (n == 0)
        error_set(err, "%s: no capture there: expected files such as 00000000000000000001" JOURNAL_SUFFIX,
                  dir);
    for (; content > 0; content--) {
        segment_name(name, numbers[content - 1], JOURNAL_SUFFIX);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (stat(path, &st) || st.st_size)
            break;
    }
    for (int i = 0; i < n; i++) {
        segment_name(name, numbers[i], JOURNAL_SUFFIX);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        check_file(f, path, numbers[i], i + 1 >= content);
        if (i && numbers[i] != numbers[i - 1] + 1)
            problem(f, 0, "the segments %" PRIu64 " to %" PRIu64 " before it are missing", numbers[i - 1] + 1,
                    numbers[i] - 1);
    }
    free(numbers);
    return n > 0 ? 0 : -1;
}

int journal_verify(const char *path, journal_verify_tell *tell, void *ctx, struct journal_verified *v,
                   struct error *err)
{
    struct verify f = {.tell = tell, .ctx = ctx, .v = v, .file.fd = -1};
    struct stat st;
    int rc = 0;
    *v = (struct journal_verified){0};
    f.index = malloc(sizeof *f.index);
    f.decoder = malloc(sizeof *f.decoder);
    f.out = aligned_alloc(64, SLOTS * sizeof *f.out);
    if (!f.index || !f.decoder || !f.out)
        rc = error_set(err, "%s: out of memory", path);
    else if (stat(path, &st))
        rc = error_set(err, "%s: cannot open: %s%s", path, strerror(errno), segment_advice(errno));
    else if (S_ISDIR(st.st_mode))
        rc = check_dir(&f, path, err);
    else
        check_file(&f, path, 0, true);
    free(f.index);
    free(f.decoder);
    free(f.out);
    journal_payload_free(&f.payload);
    return rc;
}
