#include "net/journal_keep.h"
#include "net/journal_staging.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A staged block that was not freed, as a whole block again. */
struct leftover {
    uint32_t place, segment;
    uint64_t offset;
};

static int by_position(const void *a, const void *b)
{
    const struct leftover *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* What the staged payload holds; its head is made from it. False if it is no such thing. */
static bool summarise(const struct staging_block *s, const uint8_t *payload, struct codec_summary *sum)
{
    static const size_t slots = 1024;
    struct codec_decoder *d = malloc(sizeof *d);
    struct msg *m = aligned_alloc(64, slots * sizeof *m);
    int64_t n = -1;
    *sum = codec_summary_none;
    if (d && m) {
        codec_decode_begin(d, s->first_seq, payload, s->used);
        while ((n = codec_decode(d, m, slots)) > 0)
            codec_summarise(sum, m, (size_t)n);
    }
    free(d);
    free(m);
    return n == 0;
}

/* Writes a staged block to where it belongs, unless it is there. */
static int write_leftover(struct journal_recovery *r, const struct staging_block *s, uint8_t *buffer,
                          struct error *err)
{
    struct codec_summary sum;
    char name[SEGMENT_NAME_BYTES];
    struct block_head *h = (struct block_head *)(buffer + sizeof(struct segment_head)), there;
    if (!summarise(s, buffer + BLOCK_FRONT, &sum))
        return error_set(err,
                         "%s: the journal's staging is damaged (a block for segment %" PRIu32
                         " at offset %" PRIu64 "): remove the workspace to start without what is only there",
                         r->dir, s->segment, s->offset);
    journal_block_seal(h, &sum, s->flags, buffer + BLOCK_FRONT, (uint32_t)s->used);
    bool first = s->offset == 0;
    uint8_t *from = first ? buffer : (uint8_t *)h;
    size_t bytes = (first ? sizeof(struct segment_head) : 0) + sizeof *h + s->used;
    segment_name(name, s->segment, JOURNAL_SUFFIX);
    if (s->segment < r->first_number)
        return 0; /* it was whole, and is deleted */
    int fd = openat(r->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0640), rc = 0;
    if (fd < 0)
        return error_set(err, "%s/%s: cannot open: %s%s", r->dir, name, strerror(errno),
                         segment_advice(errno));
    struct segment_head seg;
    if (segment_read(fd, &seg, sizeof seg, 0) == sizeof seg && seg.version == JOURNAL_VERSION_COMPRESSED) {
        close(fd); /* it was sealed with all its blocks, and they lie elsewhere now */
        return 0;
    }
    uint64_t head_at = s->offset + (first ? sizeof(struct segment_head) : 0);
    struct journal_file file = {.fd = fd};
    struct journal_payload payload = {0};
    bool is_there = segment_read(fd, &there, sizeof there, head_at) == sizeof there &&
                    !memcmp(&there, h, sizeof there) &&
                    journal_file_block(&file, head_at, &there, &payload, NULL) == 1;
    journal_payload_free(&payload);
    if (!is_there) {
        if (segment_write(fd, from, bytes, s->offset) || (r->sync && fsync(fd)))
            rc = error_set(
                err, "%s/%s: cannot write %zu bytes at offset %" PRIu64 " that are left in staging: %s%s",
                r->dir, name, bytes, s->offset, strerror(errno), segment_advice(errno));
        r->recovered_records += s->flags & JOURNAL_IN_FORCE ? 0 : sum.records;
    }
    close(fd);
    return rc;
}

/* Writes what the last writer left in staging, in the order in which it would have. */
static int recover_staging(struct journal_recovery *r, struct staging *s, struct error *err)
{
    if (s->magic != STAGING_MAGIC)
        return 0;
    if (s->block_bytes < STAGING_PAGE || s->block_bytes > JOURNAL_BLOCK_BYTES_MAX || s->block_bytes % 64 ||
        s->blocks > staging_blocks(r->staging_bytes, s->block_bytes))
        return error_set(err,
                         "%s: the journal's staging is damaged (%" PRIu32 " blocks of %" PRIu32
                         " bytes in %zu): remove the workspace to start without it",
                         r->dir, s->blocks, s->block_bytes, r->staging_bytes);
    struct leftover *left = calloc(s->blocks, sizeof *left);
    uint32_t n = 0;
    int rc = left ? 0 : error_set(err, "%s: out of memory", r->dir);
    for (uint32_t i = 0; rc == 0 && i < s->blocks; i++) {
        const struct staging_block *b = &s->block[i];
        if (b->state != STAGED_USED || b->used == 0)
            continue;
        if (b->used > s->block_bytes - BLOCK_FRONT - CODEC_SLACK_BYTES)
            rc = error_set(err,
                           "%s: the journal's staging is damaged (a block of %" PRIu64 " bytes): remove the "
                           "workspace to start without it",
                           r->dir, b->used);
        left[n++] = (struct leftover){i, b->segment, b->offset};
    }
    if (rc == 0 && n && memcmp(s->node, r->node, sizeof r->node))
        rc = error_set(
            err,
            "%s: what is left in staging belongs to another journal; give the directory of that one, "
            "or remove the workspace to start without it",
            r->dir);
    if (n)
        qsort(left, n, sizeof *left, by_position);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = write_leftover(r, &s->block[left[i].place],
                            staging_buffers(s) + (size_t)left[i].place * s->block_bytes, err);
    free(left);
    return rc;
}

/* Finds the end of the last whole block and enters the blocks before it in the index. 0; 1 if something
 * stands there; -1 with err. */
static int find_end(const struct journal_file *f, struct journal_index *index, uint64_t *end,
                    struct error *err)
{
    struct journal_payload payload = {0};
    struct block_head h;
    struct error what;
    int rc;
    *end = sizeof(struct segment_head);
    journal_index_reset(index);
    while ((rc = journal_file_block(f, *end, &h, &payload, &what)) == 1) {
        journal_index_add(index, &h, *end);
        *end += sizeof h + h.bytes;
    }
    journal_payload_free(&payload);
    if (rc == -2)
        return error_set(err, "%s: at offset %" PRIu64 ": %s", f->name, *end, what.text);
    return rc ? 1 : 0;
}

/* Notes the messages of the sound blocks from `offset` on as lost. True if there is such a block. */
static bool note_lost(struct journal_recovery *r, const struct journal_file *f, uint64_t offset)
{
    struct journal_payload payload = {0};
    struct block_head h;
    bool any = false;
    for (uint64_t at = offset; at;) {
        if (journal_file_block(f, at, &h, &payload, NULL) == 1) {
            any = true;
            r->lost_seq = h.last_seq > r->lost_seq ? h.last_seq : r->lost_seq;
            at += sizeof h + h.bytes;
        } else {
            at = journal_file_block_after(f, at);
        }
    }
    journal_payload_free(&payload);
    return any;
}

static int write_footer(const struct journal_recovery *r, const char *name, struct journal_index *index,
                        uint64_t end, struct error *err)
{
    uint8_t *footer = malloc(JOURNAL_FOOTER_BYTES_MAX);
    int fd = openat(r->dir_fd, name, O_RDWR | O_CLOEXEC), rc = 0;
    if (!footer || fd < 0 || segment_write(fd, footer, journal_footer(index, end, footer), end))
        rc = error_set(err, "%s/%s: cannot write its footer at %" PRIu64 ": %s%s", r->dir, name, end,
                       strerror(errno), segment_advice(errno));
    if (fd >= 0)
        close(fd);
    free(footer);
    return rc;
}

/* Cuts what is no whole block off a segment, and seals it. */
static int repair(struct journal_recovery *r, struct journal_file *f, const char *name, struct error *err)
{
    struct stat st;
    uint64_t end = 0;
    struct journal_index *index = malloc(sizeof *index);
    int rc = index ? find_end(f, index, &end, err) : error_set(err, "%s: out of memory", r->dir);
    bool whole = rc == 0 && f->sealed;
    if (rc == 1) {
        f->sealed = false; /* the footer is of more than is there */
        bool more = note_lost(r, f, end);
        rc = fstat(f->fd, &st) ? error_set(err, "%s: cannot read: %s", f->name, strerror(errno))
                               : segment_cut(r->dir_fd, r->dir, name, end, more, err);
        r->torn_bytes += rc ? 0 : (uint64_t)st.st_size - end;
    }
    if (rc == 0 && !whole)
        rc = write_footer(r, name, index, end, err);
    if (rc == 0)
        f->footer = index->head;
    free(index);
    return rc;
}

/* Writes the file's bytes from `from` on again, where they are, and syncs it. Where a sync has failed before,
 * the kernel may hold them as clean though the disk has none of them. */
static int write_again(const struct journal_recovery *r, const char *name, uint64_t from, struct error *err)
{
    enum { PIECE = 1 << 20 };
    struct stat st;
    uint8_t *bytes = malloc(PIECE);
    int fd = openat(r->dir_fd, name, O_RDWR | O_CLOEXEC), rc = bytes && fd >= 0 ? fstat(fd, &st) : -1;
    int64_t n = 0;
    for (uint64_t at = from; rc == 0 && at < (uint64_t)st.st_size; at += (uint64_t)n)
        rc = (n = segment_read(fd, bytes, PIECE, at)) <= 0 ? -1 : segment_write(fd, bytes, (size_t)n, at);
    if (rc == 0) /* the length too */
        rc = ftruncate(fd, st.st_size) || fsync(fd) ? -1 : 0;
    if (rc)
        error_set(err, "%s/%s: cannot write again what may not be on disk: %s%s", r->dir, name,
                  strerror(errno), segment_advice(errno));
    free(bytes);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Of one recovery: the segments from `unsure` on may not have been on disk as the last writer ended. */
struct walk {
    const uint64_t *number;
    int n;
    uint64_t unsure;
    uint64_t again_number, again_from; /* all behind this place of these is written again */
};

enum { KEPT = 0, GAP = 1 };

static int gap_or_damage(const struct journal_recovery *r, const struct walk *w, uint64_t number,
                         const char *what, struct error *err)
{
    if (number >= w->unsure)
        return GAP;
    return error_set(err,
                     "%s/%020" PRIu64 JOURNAL_SUFFIX
                     ": damaged: %s; restore it from a copy, or move it and all with higher numbers away: "
                     "then a run goes on behind message %" PRIu64 " of the same sources",
                     r->dir, number, what, r->last_seq);
}

/* The segment at w->number[i]: is it ours, does it follow, where does it end? KEPT, GAP: the journal ends
 * before it, -1 with err. */
static int take_segment(struct journal_recovery *r, const struct walk *w, int i, struct error *err)
{
    struct journal_file f;
    uint64_t number = w->number[i];
    char path[4200], name[SEGMENT_NAME_BYTES];
    segment_name(name, number, JOURNAL_SUFFIX);
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    if (i && number != w->number[i - 1] + 1)
        return gap_or_damage(r, w, number, "the segment before it is missing", err);
    int rc = journal_file_open(&f, path, err);
    if (rc == JOURNAL_FILE_EMPTY || rc == JOURNAL_FILE_DAMAGED)
        return gap_or_damage(r, w, number, "its head (64 bytes at offset 0) is not what was written", err);
    if (rc < 0)
        return -1;
    journal_compress_forget(r->dir_fd, number);
    bool packed = f.head.version == JOURNAL_VERSION_COMPRESSED; /* synced before it got its name */
    if (f.head.number != number)
        rc = error_set(err, "%s: found segment number %" PRIu32 " in it; expected that of its name", path,
                       f.head.number);
    else if (memcmp(f.head.node, r->node, sizeof r->node))
        rc = error_set(err, "%s: a segment of another journal; move it away", path);
    else if (i && f.head.prev_seq != r->last_seq)
        rc = gap_or_damage(r, w, number, "messages are missing before it", err);
    else
        rc = f.sealed && (packed || number < w->unsure) ? 0 : repair(r, &f, name, err);
    if (rc == KEPT && r->sync && !packed && number >= w->again_number)
        rc = write_again(r, name, number == w->again_number ? w->again_from : 0, err);
    if (rc == KEPT) {
        uint64_t last = f.footer.records ? f.footer.last_seq : f.head.prev_seq;
        r->last_seq = last > r->last_seq ? last : r->last_seq;
        r->last_number = (uint32_t)number;
    }
    journal_file_close(&f);
    return rc;
}

/* Behind a gap: kept beside for who wants to look at it. */
static int set_aside(struct journal_recovery *r, uint64_t number, struct error *err)
{
    struct journal_file f;
    struct stat st;
    char path[4200], name[SEGMENT_NAME_BYTES];
    segment_name(name, number, JOURNAL_SUFFIX);
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    if (journal_file_open(&f, path, NULL) == JOURNAL_FILE_OPEN) {
        note_lost(r, &f, sizeof(struct segment_head));
        journal_file_close(&f);
    }
    if (fstatat(r->dir_fd, name, &st, 0) || segment_set_aside(r->dir_fd, r->dir, name, ".lost", err))
        return -1;
    r->lost_segments++;
    r->lost_bytes += (uint64_t)st.st_size;
    return 0;
}

static int walk(struct journal_recovery *r, const struct walk *w, struct error *err)
{
    int rc = KEPT, gap = 0;
    while (gap < w->n && (rc = take_segment(r, w, gap, err)) == KEPT)
        gap++;
    if (rc < 0)
        return -1;
    if (gap == 0 && w->n)
        r->last_number = (uint32_t)w->number[0] - 1;
    for (int i = w->n; i-- > gap;) /* the last first: if this is cut short, the gap is still seen */
        if (set_aside(r, w->number[i], err))
            return -1;
    r->lost_seq = r->lost_seq > r->last_seq ? r->lost_seq : 0;
    return 0;
}

/* Removes the files at the end that a writer made ready and never wrote to, and finds whose segments these
 * are. How many are left, or -1 with err. */
static int trim_empty(struct journal_recovery *r, const uint64_t *numbers, int n, struct error *err)
{
    char path[4200], name[SEGMENT_NAME_BYTES];
    struct journal_file f;
    for (; n > 0; n--) {
        struct stat st;
        segment_name(name, numbers[n - 1], JOURNAL_SUFFIX);
        snprintf(path, sizeof path, "%s/%s", r->dir, name);
        int rc = journal_file_open(&f, path, err);
        if (rc == -1)
            return -1;
        if (rc == JOURNAL_FILE_OPEN)
            journal_file_close(&f);
        if (rc != JOURNAL_FILE_EMPTY ||
            (fstatat(r->dir_fd, name, &st, 0) == 0 && st.st_size > (off_t)sizeof(struct segment_head)))
            break;
        if (unlinkat(r->dir_fd, name, 0))
            return error_set(err, "%s: cannot remove this empty file: %s%s", path, strerror(errno),
                             segment_advice(errno));
    }
    for (int i = 0; i < n; i++) {
        segment_name(name, numbers[i], JOURNAL_SUFFIX);
        snprintf(path, sizeof path, "%s/%s", r->dir, name);
        if (journal_file_open(&f, path, err) == JOURNAL_FILE_OPEN) {
            memcpy(r->node, f.head.node, sizeof r->node);
            journal_file_close(&f);
            break;
        }
    }
    return n;
}

int journal_recover(struct journal_recovery *r, struct error *err)
{
    enum { UNSURE = 2 }; /* the segment being written, the one before it until it is sealed, and the next */
    uint64_t *numbers;
    struct staging *s = r->staging;
    bool known = s && s->magic == STAGING_MAGIC;
    if (known)
        memcpy(r->node, s->node, sizeof r->node);
    else
        segment_random_id(r->node);
    int n = segment_list(r->dir, JOURNAL_SUFFIX, &numbers, err);
    r->first_number = n > 0 ? (uint32_t)numbers[0] : 0;
    uint64_t last = n > 0 ? numbers[n - 1] : 0;
    if (n > 0)
        n = trim_empty(r, numbers, n, err);
    free(numbers);
    if (n < 0 || (known && recover_staging(r, s, err)))
        return -1;
    n = segment_list(r->dir, JOURNAL_SUFFIX, &numbers, err);
    if (n < 0)
        return -1;
    struct walk w = {.number = numbers, .n = n};
    last = n > 0 && numbers[n - 1] > last ? numbers[n - 1] : last;
    if (r->sync && last > UNSURE)
        w.unsure = last - UNSURE;
    w.again_number = w.unsure;
    if (known && s->synced_number > w.again_number) {
        w.again_number = s->synced_number;
        w.again_from = s->synced_bytes;
    }
    int rc = walk(r, &w, err);
    free(numbers);
    if (rc == 0 && n && fsync(r->dir_fd))
        rc = error_set(err, "%s: cannot sync the directory: %s", r->dir, strerror(errno));
    return rc;
}
