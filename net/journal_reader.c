#include "net/journal.h"
#include "net/journal_format.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal_reader {
    struct journal_reader_options options;
    struct journal_info info;
    char path[4096];
    bool is_dir;
    uint64_t *numbers; /* the directory's segments */
    int count, next;   /* next: the place in numbers[] of the one to open after `file` */
    bool ends_there;   /* no segment behind them is wanted */

    struct journal_file file; /* fd -1: none yet */
    uint64_t offset;          /* of the next block */
    uint64_t seek_offset;     /* where to go on behind the records in force; 0: where they end */
    bool give_in_force;       /* still at the start of the first segment */
    bool started;             /* past what was sought: no block is skipped any more */
    uint64_t seq;             /* the last one read or skipped; 0: unknown */

    bool in_block; /* the decoder is within `block` */
    struct block_head block;
    uint64_t slots; /* of it, so far */
    struct codec_decoder decoder;
    struct journal_payload payload;
    struct error note;
};

static int damaged(const struct journal_reader *r, const struct error *what, struct error *err)
{
    return error_set(err, "%s: damaged at offset %" PRIu64 ": %s; restore the file from a copy", r->file.name,
                     r->offset, what->text);
}

static void file_path(const struct journal_reader *r, int i, char *path, size_t size)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, r->numbers[i], JOURNAL_SUFFIX);
    snprintf(path, size, "%s/%s", r->path, name);
}

static uint64_t file_bytes(const struct journal_reader *r, int i)
{
    char path[4200];
    struct stat st;
    file_path(r, i, path, sizeof path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Checks that the segment belongs here: of the same journal, right after what was read. */
static int segment_fits(struct journal_reader *r, uint64_t number, struct error *err)
{
    const struct segment_head *h = &r->file.head;
    if (h->number != number)
        return error_set(err, "%s: found segment number %" PRIu32 " in it; expected that of its name",
                         r->file.name, h->number);
    if (!r->info.first_seq) {
        memcpy(r->info.node, h->node, sizeof h->node);
        r->info.first_seq = h->first_seq;
        r->info.created_ns = h->created_ns;
    }
    if (memcmp(r->info.node, h->node, sizeof h->node))
        return error_set(
            err,
            "%s: found a segment of another journal; expected the one of the files before it: move "
            "it away",
            r->file.name);
    if (r->seq && h->prev_seq != r->seq)
        return error_set(err,
                         "%s: damaged: messages are missing before it: it follows number %" PRIu64
                         ", the segment before it ends with %" PRIu64 "; restore that one from a copy",
                         r->file.name, h->prev_seq, r->seq);
    r->info.compressed += h->version == JOURNAL_VERSION_COMPRESSED;
    return 0;
}

/* The segments that are there now, from the one after number `done`. */
static void list_from(struct journal_reader *r, uint64_t done)
{
    uint64_t *numbers;
    int n = segment_list(r->path, JOURNAL_SUFFIX, &numbers, NULL);
    if (n <= 0)
        return;
    free(r->numbers);
    r->numbers = numbers;
    r->count = n;
    for (r->next = 0; r->next < n && numbers[r->next] <= done;)
        r->next++;
}

/* Opens the directory's next segment with content. 1, 0 if there is none, -1 with err. */
static int open_next(struct journal_reader *r, struct error *err)
{
    while (r->next < r->count) {
        char path[4200];
        int i = r->next;
        if (i && r->numbers[i] != r->numbers[i - 1] + 1) {
            char name[SEGMENT_NAME_BYTES];
            segment_name(name, r->numbers[i - 1] + 1, JOURNAL_SUFFIX);
            return error_set(
                err,
                "%s/%s: missing; expected the segments' numbers to be consecutive: restore it from "
                "a copy",
                r->path, name);
        }
        struct journal_file f;
        file_path(r, i, path, sizeof path);
        if (r->options.live && access(path, F_OK)) {
            if (i < r->count - 1 &&
                !(r->started && r->seq)) { /* retention took it, or recovery made it anew */
                r->seq = 0;
                r->next = r->count = 0;
                list_from(r, 0);
                continue;
            }
            r->count = i; /* its writer made it ready, and took it away when nothing came */
            break;
        }
        int rc = journal_file_open(&f, path, err);
        if (rc < 0)
            return -1;
        if (rc == JOURNAL_FILE_OPEN) {
            journal_file_close(&r->file);
            r->file = f;
            r->offset = sizeof(struct segment_head);
            r->next++;
            return segment_fits(r, r->numbers[i], err) ? -1 : 1;
        }
        if (r->options.live)
            break; /* its writer made it ready and has not yet come to it */
        r->next++;
    }
    return 0;
}

/* Takes in segments that came since. */
static void list_again(struct journal_reader *r)
{
    if (!r->ends_there)
        list_from(r, r->next ? r->numbers[r->next - 1] : 0);
}

/* The time and a name of none of these is wanted. Records that have no time in the head, but END, have more
 * than one slot. */
static bool is_outside(const struct journal_reader *r, int64_t min_event_ns, int64_t max_event_ns)
{
    return max_event_ns != INT64_MIN &&
           (max_event_ns < r->options.from_ns || min_event_ns >= r->options.to_ns);
}

/* Forgets the segments at the end that hold only later times, but for one: a record without a time of its own
 * has that of the tick before, which the segment before may hold. */
static void skim_end(struct journal_reader *r)
{
    for (int n = r->count; n > r->next + 1; n--) {
        char path[4200];
        struct journal_file f;
        file_path(r, n - 1, path, sizeof path);
        if (journal_file_open(&f, path, NULL) != JOURNAL_FILE_OPEN)
            return;
        bool later = f.sealed && f.footer.records && f.footer.min_event_ns >= r->options.to_ns;
        journal_file_close(&f);
        if (!later)
            return;
        r->ends_there |= n < r->count;
        r->count = n;
    }
}

/* Does the next segment repeat what is in force, so that names are known without those before it? */
static bool next_stands_alone(const struct journal_reader *r)
{
    char path[4200];
    struct journal_file f;
    struct block_head h;
    file_path(r, r->next, path, sizeof path);
    if (journal_file_open(&f, path, NULL) != JOURNAL_FILE_OPEN)
        return false;
    int rc = journal_file_block(&f, sizeof(struct segment_head), &h, NULL, NULL);
    journal_file_close(&f);
    return rc == 1 && (h.flags & JOURNAL_IN_FORCE);
}

/* Skips the segments that end before what is wanted. As open_next. */
static int seek(struct journal_reader *r, struct error *err)
{
    const struct journal_file *f = &r->file;
    int rc;
    while ((rc = open_next(r, err)) == 1) {
        bool before = f->sealed && (f->footer.last_seq < r->options.from_seq ||
                                    f->footer.max_event_ns < r->options.from_ns);
        if (!before || r->next == r->count || !file_bytes(r, r->next))
            break;
        if (r->options.skim && (f->footer.max_event_ns == INT64_MIN || !next_stands_alone(r)))
            break;
        if (f->footer.records)
            r->seq = f->footer.last_seq;
    }
    return rc;
}

static int open_first(struct journal_reader *r, struct error *err)
{
    struct stat st;
    if (stat(r->path, &st))
        return error_set(err, "%s: cannot open: %s%s", r->path, strerror(errno), segment_advice(errno));
    int rc;
    r->is_dir = S_ISDIR(st.st_mode);
    if (r->is_dir) {
        r->count = segment_list(r->path, JOURNAL_SUFFIX, &r->numbers, err);
        for (int i = 0; i < r->count; i++)
            r->info.bytes += file_bytes(r, i);
        r->info.segments = r->count < 0 ? 0 : (uint64_t)r->count;
        if (r->options.skim)
            skim_end(r);
        rc = r->count < 0 ? -1 : seek(r, err);
    } else {
        r->info.segments = 1;
        r->info.bytes = (uint64_t)st.st_size;
        rc = journal_file_open(&r->file, r->path, err);
        if (rc == JOURNAL_FILE_OPEN)
            rc = segment_fits(r, r->file.head.number, err) ? -1 : 1;
    }
    if (rc == 0 && !(r->options.live && r->is_dir))
        rc = error_set(err, "%s: no capture there: expected %s", r->path,
                       r->is_dir ? "files such as 00000000000000000001" JOURNAL_SUFFIX
                                   ", with messages in them"
                                 : "messages in it");
    if (rc == 1) {
        r->offset = sizeof(struct segment_head);
        r->give_in_force = r->options.in_force && r->file.head.first_seq > 1;
        if (!r->options.skim)
            r->seek_offset = journal_file_seek(&r->file, r->options.from_seq, r->options.from_ns);
    }
    return rc;
}

struct journal_reader *journal_reader_open(const char *path, const struct journal_reader_options *options,
                                           struct error *err)
{
    struct journal_reader *r = calloc(1, sizeof *r);
    if (!r) {
        error_set(err, "%s: out of memory", path);
        return NULL;
    }
    if (options)
        r->options = *options;
    if (r->options.from_ns == 0)
        r->options.from_ns = INT64_MIN;
    if (r->options.to_ns == 0)
        r->options.to_ns = INT64_MAX;
    assert(!r->options.skim || !(r->options.live || r->options.from_seq));
    r->started = !r->options.from_seq && r->options.from_ns == INT64_MIN;
    r->file.fd = -1;
    snprintf(r->path, sizeof r->path, "%s", path);
    if (open_first(r, err) < 0) {
        journal_reader_close(r);
        return NULL;
    }
    return r;
}

/* At `offset` stands no whole block: is that an end? 0, 1 to look again, or -1 with err. */
static int bad_block(struct journal_reader *r, const struct error *what, struct error *err)
{
    if (!r->file.sealed && journal_file_refresh(&r->file))
        return 1;
    if (!r->options.live) {
        if (r->file.sealed || (r->next < r->count && file_bytes(r, r->next)))
            return damaged(r, what, err);
        uint64_t after = journal_file_block_after(&r->file, r->offset);
        if (after) {
            struct error more;
            error_set(&more, "%s (the next sound block is at %" PRIu64 ")", what->text, after);
            return damaged(r, &more, err);
        }
    }
    error_set(&r->note, "%s: ends at offset %" PRIu64 " in a torn block: %s", r->file.name, r->offset,
              what->text);
    return 0;
}

/* The open file has no more blocks: goes on to the next one. As bad_block. */
static int end_of_file(struct journal_reader *r, struct error *err)
{
    if (!r->file.sealed && journal_file_refresh(&r->file))
        return 1;
    if (!r->is_dir || (r->options.live && !r->file.sealed))
        return 0;
    if (r->next == r->count)
        list_again(r);
    return open_next(r, err);
}

/* True if the block is not wanted: repeats what is in force, or comes before what is sought. */
static bool is_skipped(struct journal_reader *r, const struct block_head *h)
{
    if (h->flags & JOURNAL_IN_FORCE)
        return !r->give_in_force;
    if (r->options.skim)
        return h->slots == h->records && is_outside(r, h->min_event_ns, h->max_event_ns);
    if (!r->started)
        r->started = h->last_seq >= r->options.from_seq && h->max_event_ns >= r->options.from_ns;
    return !r->started;
}

static int check_block(const struct journal_reader *r, const struct block_head *h, struct error *err)
{
    struct error what;
    if (h->flags & JOURNAL_IN_FORCE)
        return 0;
    if (h->first_seq > h->last_seq || (r->seq && h->first_seq <= r->seq)) {
        error_set(&what, "found messages %" PRIu64 " to %" PRIu64 ", expected more than %" PRIu64,
                  h->first_seq, h->last_seq, r->seq);
        return damaged(r, &what, err);
    }
    return 0;
}

/* Moves to the next block that is wanted: 1, 0 at the end, -1 with err. */
static int next_block(struct journal_reader *r, struct error *err)
{
    struct error what;
    r->note.text[0] = 0;
    if (r->file.fd < 0) {
        if (r->next == r->count)
            list_again(r);
        int rc = open_next(r, err);
        if (rc <= 0)
            return rc;
    }
    for (;;) {
        struct block_head h;
        int rc = journal_file_block(&r->file, r->offset, &h, NULL, &what);
        if (rc == 1 && check_block(r, &h, err))
            return -1;
        if (rc == 1 && !(h.flags & JOURNAL_IN_FORCE) && r->seek_offset > r->offset) {
            r->offset = r->seek_offset;
            r->seek_offset = 0;
            r->give_in_force = false;
            continue;
        }
        if (rc == 1 && is_skipped(r, &h)) {
            r->seq = h.flags & JOURNAL_IN_FORCE ? r->seq : h.last_seq;
            r->offset += sizeof h + h.bytes;
            continue;
        }
        if (rc == 1)
            rc = journal_file_block(&r->file, r->offset, &h, &r->payload, &what);
        if (rc == 1) {
            r->block = h;
            return 1;
        }
        if (rc == -2)
            return error_set(err, "%s: at offset %" PRIu64 ": %s", r->file.name, r->offset, what.text);
        if (rc == 0) {
            r->give_in_force = false;
            r->seek_offset = 0;
        }
        rc = rc == 0 ? end_of_file(r, err) : bad_block(r, &what, err);
        if (rc <= 0)
            return rc;
    }
}

/* The block's last record is out: was that what its head says? */
static int block_done(struct journal_reader *r, struct error *err)
{
    struct error what;
    const struct block_head *h = &r->block;
    bool in_force = h->flags & JOURNAL_IN_FORCE;
    if (r->slots != h->slots || (!in_force && r->decoder.state.seq != h->last_seq)) {
        error_set(&what,
                  "found %" PRIu64 " slots up to message %" PRIu64 ", expected %" PRIu32 " up to %" PRIu64,
                  r->slots, r->decoder.state.seq, h->slots, h->last_seq);
        return damaged(r, &what, err);
    }
    r->in_block = false;
    r->give_in_force &= in_force;
    r->seq = in_force ? r->seq : h->last_seq;
    r->offset += sizeof *h + h->bytes;
    r->info.blocks++;
    r->info.block_bytes += sizeof *h + h->bytes;
    r->info.sealed = r->file.sealed;
    return 0;
}

int64_t journal_read(struct journal_reader *r, struct msg *out, size_t max, struct error *err)
{
    struct error what;
    assert(max >= MSG_SLOTS_MAX);
    for (;;) {
        if (!r->in_block) {
            int rc = next_block(r, err);
            if (rc <= 0)
                return rc;
            codec_decode_begin(&r->decoder, r->block.first_seq, r->payload.bytes, r->payload.size);
            r->slots = 0;
            r->in_block = true;
        }
        int64_t n = codec_decode(&r->decoder, out, max);
        if (n > 0) {
            r->slots += (uint64_t)n;
            return n;
        }
        if (n < 0) {
            error_set(&what, "byte %td of the block is no message, but its checksum is right",
                      r->decoder.at - r->payload.bytes);
            return damaged(r, &what, err);
        }
        if (block_done(r, err))
            return -1;
    }
}

const char *journal_reader_note(const struct journal_reader *r)
{
    return r->note.text;
}

const struct journal_info *journal_reader_info(const struct journal_reader *r)
{
    return &r->info;
}

void journal_reader_close(struct journal_reader *r)
{
    if (!r)
        return;
    journal_file_close(&r->file);
    free(r->numbers);
    journal_payload_free(&r->payload);
    free(r);
}
