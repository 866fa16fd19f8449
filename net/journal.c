#include "net/journal.h"
#include "net/journal_format.h"
#include "net/journal_staging.h"
#include "shm/atomics.h"
#include "shm/msg_memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STAGING_OWN_BYTES = 16 << 20,
    IN_FLIGHT_MAX = 64,
    RING_ENTRIES = 2 * IN_FLIGHT_MAX,
    IN_FORCE_SLOTS = 256,
};
#define RETRY_NS INT64_C(1000000000)

/* What happens to a full block. */
enum block_state { BLOCK_QUEUED, BLOCK_WRITING, BLOCK_WRITTEN };
struct block {
    uint8_t *start; /* of what is written */
    uint32_t bytes, done;
    uint64_t last_seq; /* 0: in force */
    enum block_state state;
    bool again; /* what its write under way stores is not to be believed */
};

struct segment {
    int fd; /* -1: none */
    uint32_t number;
    uint64_t end;             /* of what is staged for it */
    uint64_t end_block;       /* once it is full: the count of blocks up to its last */
    uint64_t written, synced; /* bytes from its start that the kernel has, the disk has */
    bool again;               /* a sync failed: what is between them is to be written again */
};

/* The one operation on a file under way, beside writes of blocks. */
enum file_op { FILE_IDLE, FILE_OPEN, FILE_SYNC_DIR, FILE_AGAIN, FILE_FOOTER, FILE_SYNC_OLD, FILE_SYNC };

struct journal {
    struct journal_options options;
    struct journal_state state;
    char dir[4000];
    int dir_fd, lock_fd;
    uint8_t node[SEGMENT_ID_BYTES];
    int64_t now_ns;

    struct staging *staging;
    bool own_staging;
    uint8_t *buffers;     /* of the blocks */
    struct block *blocks; /* by count modulo staging->blocks */
    /* Counts of blocks, each not above the next: freed, on disk, written, sealed. One more may be open. */
    uint64_t freed, synced, written, sealed;
    bool open_block;
    size_t used; /* of the open block's payload */
    int64_t open_since_ns;
    unsigned queued, in_flight;

    struct segment current, old, next;
    bool next_ready; /* its file is there, and (if we sync) stays after a crash */
    char next_name[SEGMENT_NAME_BYTES];
    bool in_force_due;
    size_t in_force_at;

    enum file_op file_op;
    bool file_busy, old_has_footer;
    bool flushing;                               /* sync at once, open nothing */
    uint64_t sync_written, sync_seq, sync_bytes; /* what the sync under way makes durable */
    int64_t last_sync_ns;
    bool write_failing, file_failing;
    int64_t write_retry_ns, file_retry_ns;

    struct io_uring ring;
    struct codec_encoder encoder;
    struct journal_index *index, *old_index; /* of the segments current and old */
    uint8_t footer[JOURNAL_FOOTER_BYTES_MAX];
    size_t footer_bytes, footer_done;
    uint32_t footer_of; /* the segment's number */

    struct journal_keeper *keeper; /* NULL: nothing is to be done to sealed segments */
    uint64_t keep_from_seq;
    uint64_t keeper_number, keeper_block; /* for the keeper when so many blocks are freed; 0: none */
    struct msg in_force[IN_FORCE_SLOTS];
};

static struct staging_block *staged(const struct journal *j, uint64_t count)
{
    return &j->staging->block[count % j->staging->blocks];
}

static struct block *block_at(const struct journal *j, uint64_t count)
{
    return &j->blocks[count % j->staging->blocks];
}

static uint8_t *buffer_at(const struct journal *j, uint64_t count)
{
    return j->buffers + count % j->staging->blocks * j->staging->block_bytes;
}

static bool syncs(const struct journal *j)
{
    return j->options.sync != JOURNAL_SYNC_NEVER;
}

/* Where the payload must end. */
static size_t payload_room(const struct journal *j)
{
    return j->staging->block_bytes - BLOCK_FRONT - CODEC_SLACK_BYTES;
}

static void note_failure(struct journal *j, bool *flag, int64_t *retry_ns, int error_number, const char *file,
                         const char *what)
{
    *flag = true;
    *retry_ns = j->now_ns + RETRY_NS;
    j->state.failing = true;
    j->state.failures++;
    error_set(&j->state.failure,
              "%s/%s: cannot %s: %s%s; what is not written is kept, and tried again each second", j->dir,
              file, what, strerror(error_number), segment_advice(error_number));
}

static void note_success(struct journal *j, bool *flag)
{
    *flag = false;
    j->state.failing = j->write_failing || j->file_failing;
}

/* Blocks: open, fill, seal. */

static void begin_block(struct journal *j, uint64_t first_seq, uint32_t flags)
{
    struct staging_block *s = staged(j, j->sealed);
    uint8_t *buffer = buffer_at(j, j->sealed);
    *s = (struct staging_block){
        .flags = flags, .segment = j->current.number, .offset = j->current.end, .first_seq = first_seq};
    if (j->current.end == 0) {
        struct segment_head *h = (struct segment_head *)buffer;
        journal_segment_head(h, j->current.number, j->node);
        h->first_seq = j->index->head.first_seq;
        h->prev_seq = j->state.last_seq;
        h->created_ns = j->now_ns;
        journal_segment_seal(h);
    }
    atomics_store_release_u32(&s->state, STAGED_USED);
    codec_encode_begin(&j->encoder, first_seq);
    j->open_block = true;
    j->open_since_ns = 0;
    j->used = 0;
}

static void seal_block(struct journal *j)
{
    struct staging_block *s = staged(j, j->sealed);
    struct block *b = block_at(j, j->sealed);
    uint8_t *buffer = buffer_at(j, j->sealed);
    struct block_head *h = (struct block_head *)(buffer + sizeof(struct segment_head));
    bool first = s->offset == 0, in_force = s->flags & JOURNAL_IN_FORCE;
    if (in_force)
        j->encoder.summary.first_seq = j->encoder.summary.last_seq = 0;
    journal_block_seal(h, &j->encoder.summary, s->flags, buffer + BLOCK_FRONT, (uint32_t)j->used);
    *b = (struct block){.start = first ? buffer : (uint8_t *)h,
                        .bytes = (uint32_t)((first ? sizeof(struct segment_head) : 0) + sizeof *h + j->used),
                        .last_seq = h->last_seq,
                        .state = BLOCK_QUEUED};
    journal_index_add(j->index, h, first ? sizeof(struct segment_head) : s->offset);
    j->current.end += b->bytes;
    j->queued++;
    j->sealed++;
    j->open_block = false;
}

static bool has_free_block(const struct journal *j)
{
    return j->sealed - j->freed < j->staging->blocks;
}

/* Moves on to the next segment. False if its file is not there yet, or the one before is not done with. */
static bool switch_segment(struct journal *j, uint64_t first_seq)
{
    if (!j->next_ready || j->old.fd >= 0)
        return false;
    if (j->current.fd >= 0) {
        j->old = j->current;
        j->old.end_block = j->sealed;
        j->old_has_footer = false;
        struct journal_index *spare = j->old_index;
        j->old_index = j->index;
        j->index = spare;
    }
    j->current = j->next;
    j->next.fd = -1;
    j->next_ready = false;
    journal_index_reset(j->index);
    j->index->head.first_seq = first_seq; /* for the segment's head; the first block sets it again */
    j->in_force_due = j->options.in_force != NULL;
    j->in_force_at = 0;
    return true;
}

/* Encodes what is in force into blocks of its own. False if staging is full: it goes on from there. */
static bool append_in_force(struct journal *j)
{
    while (j->in_force_due) {
        size_t n = j->options.in_force(j->options.in_force_ctx, j->in_force_at, j->in_force, IN_FORCE_SLOTS);
        assert(n <= IN_FORCE_SLOTS);
        if (n == 0) {
            if (j->open_block)
                seal_block(j);
            j->in_force_due = false;
            break;
        }
        for (size_t i = 0; i < n; i += msg_slot_count(&j->in_force[i]))
            msg_set_seq(&j->in_force[i], 0);
        if (!j->open_block) {
            if (!has_free_block(j))
                return false;
            begin_block(j, 0, JOURNAL_IN_FORCE);
        }
        size_t taken = codec_encode(&j->encoder, j->in_force, n, buffer_at(j, j->sealed) + BLOCK_FRONT,
                                    payload_room(j), &j->used);
        atomics_store_release_u64(&staged(j, j->sealed)->used, j->used);
        j->in_force_at += taken;
        if (taken < n)
            seal_block(j);
    }
    return true;
}

/* Makes an open block for a message with this seq. False if that has to wait. */
static bool make_room(struct journal *j, uint64_t first_seq)
{
    /* Not before there is a message in it: what is in force may be more than a segment. */
    bool full = j->index->head.records && j->current.end + j->staging->block_bytes > j->options.segment_bytes;
    if ((j->current.fd < 0 || full) && !switch_segment(j, first_seq))
        return false;
    if (!append_in_force(j) || !has_free_block(j))
        return false;
    begin_block(j, first_seq, 0);
    return true;
}

size_t journal_append(struct journal *j, const struct msg *records, size_t n)
{
    size_t done = 0;
    assert(n == 0 || records->seq > j->state.last_seq);
    while (done < n && (j->open_block || make_room(j, records[done].seq))) {
        uint64_t before = j->encoder.summary.records;
        size_t taken = codec_encode(&j->encoder, records + done, n - done,
                                    buffer_at(j, j->sealed) + BLOCK_FRONT, payload_room(j), &j->used);
        atomics_store_release_u64(&staged(j, j->sealed)->used, j->used);
        done += taken;
        if (taken) {
            j->state.last_seq = j->encoder.summary.last_seq;
            j->state.records += j->encoder.summary.records - before;
        }
        if (done < n)
            seal_block(j);
    }
    j->state.waits += done < n;
    j->state.staging_used = j->sealed - j->freed + j->open_block;
    return done;
}

/* What the kernel does: writes of blocks, one operation on files at a time. */

static void complete_write(struct journal *j, uint64_t count, int result)
{
    struct block *b = block_at(j, count);
    j->in_flight--;
    if (b->again) {
        b->again = false;
        b->done = 0;
    } else if (result > 0) {
        b->done += (uint32_t)result;
        j->state.bytes += (uint32_t)result;
    }
    if (b->done == b->bytes) {
        b->state = BLOCK_WRITTEN;
        j->state.blocks++;
        note_success(j, &j->write_failing);
        return;
    }
    b->state = BLOCK_QUEUED; /* a short write says why when it is gone on with */
    j->queued++;
    if (result <= 0 && result != -EINTR && result != -EAGAIN) {
        char name[SEGMENT_NAME_BYTES], what[80];
        struct staging_block *s = staged(j, count);
        segment_name(name, s->segment, JOURNAL_SUFFIX);
        snprintf(what, sizeof what, "write %" PRIu32 " bytes at offset %" PRIu64, b->bytes - b->done,
                 s->offset + b->done);
        note_failure(j, &j->write_failing, &j->write_retry_ns, result ? -result : ENOSPC, name, what);
    }
}

static void submit_write(struct journal *j, uint64_t count)
{
    struct block *b = block_at(j, count);
    const struct staging_block *s = staged(j, count);
    int fd = s->segment == j->current.number ? j->current.fd : j->old.fd;
    const uint8_t *from = b->start + b->done;
    uint32_t bytes = b->bytes - b->done;
    b->state = BLOCK_WRITING;
    j->queued--;
    j->in_flight++;
    if (j->state.async) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&j->ring);
        assert(sqe); /* RING_ENTRIES is more than what may be in flight */
        io_uring_prep_write(sqe, fd, from, bytes, s->offset + b->done);
        sqe->flags |= IOSQE_ASYNC; /* else the copy to the page cache is done here, at 1 ms per 330 KB */
        sqe->user_data = count << 1 | 1;
        return;
    }
    ssize_t n = pwrite(fd, from, bytes, (off_t)(s->offset + b->done));
    complete_write(j, count, n < 0 ? -errno : (int)n);
}

/* All that is queued, in order; only the first while writes fail, to see whether they still do. */
static void submit_queued(struct journal *j)
{
    for (uint64_t i = j->written; i < j->sealed && j->queued && j->in_flight < IN_FLIGHT_MAX; i++) {
        if (j->write_failing && (j->in_flight || j->now_ns < j->write_retry_ns))
            break;
        if (block_at(j, i)->state == BLOCK_QUEUED)
            submit_write(j, i);
    }
}

static void advance(struct journal *j)
{
    for (; j->written < j->sealed && block_at(j, j->written)->state == BLOCK_WRITTEN; j->written++) {
        const struct staging_block *s = staged(j, j->written);
        const struct block *b = block_at(j, j->written);
        (s->segment == j->current.number ? &j->current : &j->old)->written = s->offset + b->bytes;
        if (b->last_seq)
            j->state.written_seq = b->last_seq;
    }
    if (!syncs(j)) {
        j->synced = j->written;
        j->state.durable_seq = j->state.written_seq;
    }
    uint64_t to = j->options.sync == JOURNAL_SYNC_ALWAYS ? j->synced : j->written;
    for (; j->freed < to; j->freed++)
        atomics_store_release_u32(&staged(j, j->freed)->state, STAGED_FREE);
    if (j->keeper_number && j->freed >= j->keeper_block) { /* recovery would write what is not freed */
        journal_keeper_sealed(j->keeper, j->keeper_number);
        j->keeper_number = 0;
    }
}

/* The segment of the sync under way, which was the current one as it began. */
static struct segment *syncing(struct journal *j)
{
    return j->old.fd >= 0 ? &j->old : &j->current;
}

/* After a failed sync the kernel may have dropped what it could not write, also parts of what was under way,
 * and would call the next sync a success: all that is still staged is written again, and what has left
 * staging as it can be read. */
static void write_again(struct journal *j)
{
    bool always = j->options.sync == JOURNAL_SYNC_ALWAYS;
    for (uint64_t i = always ? j->synced : j->written; i < j->sealed; i++) {
        struct block *b = block_at(j, i);
        b->again = b->state == BLOCK_WRITING;
        if (b->state != BLOCK_WRITTEN && b->state != BLOCK_QUEUED)
            continue;
        j->queued += b->state == BLOCK_WRITTEN;
        b->state = BLOCK_QUEUED;
        b->done = 0;
    }
    j->old_has_footer = false;
    if (!always) {
        syncing(j)->again = true;
        return;
    }
    j->written = j->synced;
    j->state.written_seq = j->state.durable_seq;
}

/* What of the segment left staging and is not on disk is written again. 0 or -errno. */
static int write_file_again(const struct segment *s)
{
    enum { PIECE = 1 << 16 };
    uint8_t *bytes = malloc(PIECE);
    int64_t n = 0;
    int rc = bytes ? 0 : -ENOMEM;
    for (uint64_t at = s->synced; rc == 0 && at < s->written; at += (uint64_t)n) {
        size_t left = s->written - at < PIECE ? s->written - at : PIECE;
        n = segment_read(s->fd, bytes, left, at);
        if (n <= 0 || segment_write(s->fd, bytes, (size_t)n, at))
            rc = n == 0 ? -EIO : -errno;
    }
    free(bytes);
    return rc;
}

/* For the recovery of a writer that follows. In this order: if it is cut short, less is said to be there. */
static void note_synced(struct journal *j, uint64_t number, uint64_t bytes)
{
    atomics_store_release_u64(&j->staging->synced_bytes, 0);
    atomics_store_release_u64(&j->staging->synced_number, number);
    atomics_store_release_u64(&j->staging->synced_bytes, bytes);
}

static void finish_old(struct journal *j)
{
    if (j->old_index->head.records && syncs(j))
        j->state.durable_seq = j->old_index->head.last_seq;
    j->synced = j->old.end_block > j->synced ? j->old.end_block : j->synced;
    if (syncs(j))
        note_synced(j, j->old.number + 1, 0);
    close(j->old.fd);
    j->old.fd = -1;
    if (j->keeper) {
        j->keeper_number = j->old.number;
        j->keeper_block = j->old.end_block;
    }
}

static void complete_file(struct journal *j, int result)
{
    static const char *const what[] = {
        [FILE_OPEN] = "make this file",         [FILE_SYNC_DIR] = "sync the directory of this file",
        [FILE_AGAIN] = "write again a part of", [FILE_FOOTER] = "write the footer of",
        [FILE_SYNC_OLD] = "sync this file",     [FILE_SYNC] = "sync this file"};
    enum file_op op = j->file_op;
    j->file_op = FILE_IDLE;
    j->file_busy = false;
    if (result == -EINTR || result == -EAGAIN)
        return;
    if (result < 0 || (op == FILE_FOOTER && result == 0)) {
        char name[SEGMENT_NAME_BYTES];
        uint32_t number = syncing(j)->number;
        segment_name(name, number, JOURNAL_SUFFIX);
        note_failure(j, &j->file_failing, &j->file_retry_ns, result ? -result : ENOSPC,
                     op == FILE_OPEN || op == FILE_SYNC_DIR ? j->next_name : name, what[op]);
        if (op == FILE_SYNC || op == FILE_SYNC_OLD)
            write_again(j);
        return;
    }
    note_success(j, &j->file_failing);
    switch (op) {
    case FILE_OPEN:
        j->next.fd = result;
        j->next_ready = !syncs(j);
        break;
    case FILE_SYNC_DIR:
        j->next_ready = true;
        break;
    case FILE_AGAIN:
        syncing(j)->again = false;
        break;
    case FILE_FOOTER:
        j->footer_done += (size_t)result;
        j->state.bytes += (uint64_t)result;
        j->old_has_footer = j->footer_done == j->footer_bytes;
        if (j->old_has_footer && !syncs(j))
            finish_old(j);
        break;
    case FILE_SYNC_OLD:
        j->state.syncs++;
        finish_old(j);
        break;
    case FILE_SYNC:
        j->state.syncs++;
        j->state.durable_seq = j->sync_seq;
        j->synced = j->sync_written;
        syncing(j)->synced = j->sync_bytes;
        note_synced(j, syncing(j)->number, j->sync_bytes);
        break;
    case FILE_IDLE:
        break;
    }
}

static enum file_op choose_file_op(const struct journal *j)
{
    if (j->old.fd >= 0 && j->written >= j->old.end_block)
        return j->old.again ? FILE_AGAIN : j->old_has_footer ? FILE_SYNC_OLD : FILE_FOOTER;
    bool sync = syncs(j) && j->old.fd < 0 && j->current.fd >= 0 && j->synced < j->written &&
                (j->options.sync == JOURNAL_SYNC_ALWAYS || j->flushing ||
                 j->now_ns - j->last_sync_ns >= j->options.interval_ns);
    bool open = !j->next_ready && !j->flushing;
    if (open && !(sync && j->file_failing)) /* a file that cannot be made must not stop the syncs */
        return j->next.fd < 0 ? FILE_OPEN : FILE_SYNC_DIR;
    return !sync ? FILE_IDLE : j->current.again ? FILE_AGAIN : FILE_SYNC;
}

static int start_file_op(struct journal *j, struct io_uring_sqe *sqe)
{
    int n = 0;
    switch (j->file_op) {
    case FILE_AGAIN:
        assert(!sqe);
        return write_file_again(syncing(j));
    case FILE_OPEN:
        if (sqe)
            io_uring_prep_openat(sqe, j->dir_fd, j->next_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        else
            n = openat(j->dir_fd, j->next_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        break;
    case FILE_SYNC_DIR:
        if (sqe)
            io_uring_prep_fsync(sqe, j->dir_fd, 0);
        else
            n = fsync(j->dir_fd);
        break;
    case FILE_FOOTER:
        if (sqe)
            io_uring_prep_write(sqe, j->old.fd, j->footer + j->footer_done,
                                (unsigned)(j->footer_bytes - j->footer_done), j->old.end + j->footer_done);
        else
            n = (int)pwrite(j->old.fd, j->footer + j->footer_done, j->footer_bytes - j->footer_done,
                            (off_t)(j->old.end + j->footer_done));
        break;
    default:
        if (sqe)
            io_uring_prep_fsync(sqe, j->file_op == FILE_SYNC ? j->current.fd : j->old.fd,
                                IORING_FSYNC_DATASYNC);
        else
            n = fdatasync(j->file_op == FILE_SYNC ? j->current.fd : j->old.fd);
    }
    return n < 0 ? -errno : n;
}

static void submit_file_op(struct journal *j)
{
    if (j->file_busy || (j->file_failing && j->now_ns < j->file_retry_ns))
        return;
    j->file_op = choose_file_op(j);
    if (j->file_op == FILE_IDLE)
        return;
    if (j->file_op == FILE_OPEN) {
        j->next = (struct segment){.fd = -1, .number = j->current.number + 1};
        segment_name(j->next_name, j->next.number, JOURNAL_SUFFIX);
    } else if (j->file_op == FILE_FOOTER &&
               (j->footer_of != j->old.number || j->footer_done == j->footer_bytes)) {
        j->footer_bytes = journal_footer(j->old_index, j->old.end, j->footer);
        j->footer_of = j->old.number;
        j->footer_done = 0;
    } else if (j->file_op == FILE_SYNC) {
        j->sync_written = j->written;
        j->sync_seq = j->state.written_seq;
        j->sync_bytes = j->current.written;
        j->last_sync_ns = j->now_ns;
    }
    j->file_busy = true;
    bool async = j->state.async && j->file_op != FILE_AGAIN; /* which happens once in a disk's life */
    struct io_uring_sqe *sqe = async ? io_uring_get_sqe(&j->ring) : NULL;
    assert(sqe || !async);
    int result = start_file_op(j, sqe);
    if (!sqe) {
        complete_file(j, result);
        return;
    }
    sqe->flags |= IOSQE_ASYNC;
    sqe->user_data = 0;
}

static unsigned reap(struct journal *j)
{
    struct io_uring_cqe *cqe;
    unsigned n = 0;
    if (!j->state.async)
        return 0;
    for (; io_uring_peek_cqe(&j->ring, &cqe) == 0; n++) {
        uint64_t data = cqe->user_data;
        int result = cqe->res;
        io_uring_cqe_seen(&j->ring, cqe);
        if (data & 1)
            complete_write(j, data >> 1, result);
        else
            complete_file(j, result);
    }
    return n;
}

/* An unfilled block is written after the interval; with sync = always as soon as nothing else is under way.
 */
static void seal_due(struct journal *j)
{
    if (!j->open_block || j->used == 0)
        return;
    if (j->options.sync == JOURNAL_SYNC_ALWAYS) {
        if (j->written == j->sealed && !(j->file_busy && j->file_op == FILE_SYNC))
            seal_block(j);
        return;
    }
    if (j->open_since_ns == 0)
        j->open_since_ns = j->now_ns;
    else if (j->now_ns - j->open_since_ns >= j->options.interval_ns)
        seal_block(j);
}

/* One round of all this. */
static unsigned turn(struct journal *j)
{
    unsigned n = reap(j);
    advance(j);
    seal_due(j);
    submit_queued(j);
    submit_file_op(j);
    if (j->state.async && io_uring_sq_ready(&j->ring))
        io_uring_submit(&j->ring);
    if (!j->state.async)
        advance(j);
    j->state.staging_used = j->sealed - j->freed + j->open_block;
    return n;
}

unsigned journal_poll(struct journal *j, int64_t now_ns)
{
    j->now_ns = now_ns;
    if (j->keeper) {
        journal_keeper_tell(j->keeper, now_ns, j->keep_from_seq);
        journal_keeper_state(j->keeper, &j->state.keep);
    }
    return turn(j);
}

void journal_keep_from(struct journal *j, uint64_t seq)
{
    j->keep_from_seq = seq;
    if (j->keeper)
        journal_keeper_tell(j->keeper, j->now_ns, seq);
}

const struct journal_state *journal_state(const struct journal *j)
{
    return &j->state;
}

bool journal_found(const struct journal *j, struct error *line)
{
    const struct journal_state *s = &j->state;
    char text[800] = "";
    size_t n = 0;
    if (s->recovered_records)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "%" PRIu64 " messages that were only in staging were written; ",
                              s->recovered_records);
    if (s->torn_bytes)
        n += (size_t)snprintf(text + n, sizeof text - n, "%" PRIu64 " bytes of a torn end were cut off; ",
                              s->torn_bytes);
    if (s->lost_segments)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "%" PRIu64 " files (%" PRIu64
                              " bytes) behind a gap were set aside as NUMBER.rtj.lost; ",
                              s->lost_segments, s->lost_bytes);
    if (s->lost_seq)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "messages %" PRIu64 " to %" PRIu64
                              " at least are lost, unless the sources give them again; ",
                              s->found_seq + 1, s->lost_seq);
    if (n)
        error_set(line, "%s: %sit ends with message %" PRIu64, j->dir, text, s->found_seq);
    return n > 0;
}

const uint8_t *journal_node(const struct journal *j)
{
    return j->node;
}

static bool settled(const struct journal *j)
{
    return j->written == j->sealed && j->old.fd < 0 && j->synced == j->written && !j->in_flight &&
           !j->file_busy;
}

/* Turns until nothing is under way, and all is done or something failed. */
static int settle(struct journal *j, struct error *err)
{
    uint64_t failures = j->state.failures;
    j->flushing = true;
    j->write_retry_ns = j->file_retry_ns = INT64_MIN; /* once, at once */
    do {
        turn(j);
        if (j->state.async && (j->in_flight || j->file_busy)) {
            struct io_uring_cqe *cqe;
            io_uring_wait_cqe(&j->ring, &cqe);
        }
    } while (!settled(j) && (j->state.failures == failures || j->in_flight || j->file_busy));
    j->flushing = false;
    if (settled(j))
        return 0;
    return error_set(err, "%s", j->state.failure.text);
}

int journal_flush(struct journal *j, struct error *err)
{
    if (j->open_block && j->used)
        seal_block(j);
    return settle(j, err);
}

static void release(struct journal *j)
{
    journal_keeper_stop(j->keeper, false);
    for (int i = 0; i < 3; i++) {
        struct segment *s = (struct segment *[]){&j->current, &j->old, &j->next}[i];
        if (s->fd >= 0)
            close(s->fd);
    }
    if (j->state.async)
        io_uring_queue_exit(&j->ring);
    if (j->own_staging && j->staging)
        munmap(j->staging, j->options.staging_bytes);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    if (j->dir_fd >= 0)
        close(j->dir_fd);
    free(j->blocks);
    free(j->index);
    free(j->old_index);
    free(j);
}

int journal_close(struct journal *j, struct error *err)
{
    int rc = journal_flush(j, err);
    if (rc == 0 && j->current.fd >= 0 && j->current.end == 0) { /* switched to, and nothing came */
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, j->current.number, JOURNAL_SUFFIX);
        unlinkat(j->dir_fd, name, 0);
        close(j->current.fd);
        j->current.fd = -1;
    }
    if (rc == 0 && j->current.fd >= 0) {
        j->old = j->current;
        j->old.end_block = j->sealed;
        j->old_has_footer = false;
        j->current.fd = -1;
        struct journal_index *index = j->old_index;
        j->old_index = j->index;
        j->index = index;
        rc = settle(j, err);
    }
    if (rc == 0 && j->options.compress_all) {
        journal_keeper_stop(j->keeper, true);
        j->keeper = NULL;
    }
    if (j->next.fd >= 0)
        unlinkat(j->dir_fd, j->next_name, 0); /* nothing is in it */
    release(j);
    return rc;
}

/* Opening. */

static int check_options(struct journal *j, struct error *err)
{
    struct journal_options *o = &j->options;
    o->segment_bytes = o->segment_bytes ? o->segment_bytes : 256 << 20;
    o->block_bytes = o->block_bytes ? o->block_bytes : 128 << 10;
    o->interval_ns = o->interval_ns ? o->interval_ns : 100 * INT64_C(1000000);
    if (o->block_bytes < 4096 || o->block_bytes > JOURNAL_BLOCK_BYTES_MAX || o->block_bytes % 64)
        return error_set(
            err, "journal: found blocks of %" PRIu32 " bytes; expected a multiple of 64 from 4096 to %d",
            o->block_bytes, JOURNAL_BLOCK_BYTES_MAX);
    if (o->compress_level < 0 || o->compress_level > 19)
        return error_set(err, "journal: found compression level %d; expected 0 to 19", o->compress_level);
    if (!o->staging) {
        uint64_t least = 4 * (uint64_t)o->block_bytes + 4 * STAGING_PAGE;
        o->staging_bytes = least > STAGING_OWN_BYTES ? least : STAGING_OWN_BYTES;
    }
    if (staging_blocks(o->staging_bytes, o->block_bytes) < 2)
        return error_set(err,
                         "journal: found %zu bytes of staging; expected room for two blocks of %" PRIu32
                         " bytes and 8 KiB: make it larger or the blocks smaller",
                         o->staging_bytes, o->block_bytes);
    return 0;
}

static int make_staging(struct journal *j, struct error *err)
{
    struct staging *s = j->options.staging;
    if (!s) {
        s = mmap(NULL, j->options.staging_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (s == MAP_FAILED)
            return error_set(err, "journal: no memory for %zu bytes of staging", j->options.staging_bytes);
        j->own_staging = true;
    }
    uint32_t blocks = staging_blocks(j->options.staging_bytes, j->options.block_bytes);
    atomics_store_release_u64(&s->magic, 0);
    memset(s, 0, sizeof *s + blocks * sizeof s->block[0]);
    s->block_bytes = j->options.block_bytes;
    s->blocks = blocks;
    memcpy(s->node, j->node, sizeof s->node);
    s->synced_number = syncs(j) ? j->current.number + 1 : 0; /* as recovery left it */
    atomics_store_release_u64(&s->magic, STAGING_MAGIC);
    j->staging = s;
    j->buffers = staging_buffers(s);
    j->state.staging_blocks = blocks;
    j->blocks = calloc(blocks, sizeof *j->blocks);
    return j->blocks ? 0 : error_set(err, "journal: out of memory");
}

static int start_keeper(struct journal *j, struct error *err)
{
    const struct journal_options *o = &j->options;
    struct journal_keeper_options k = {.dir = j->dir,
                                       .dir_fd = j->dir_fd,
                                       .compress_level = o->compress_level,
                                       .retention_ns = o->retention_ns,
                                       .retention_bytes = o->retention_bytes,
                                       .sealed_number = j->current.number,
                                       .keep_from_seq = o->readers ? 0 : UINT64_MAX,
                                       .now_ns = o->now_ns};
    j->keep_from_seq = k.keep_from_seq;
    if (!k.compress_level && !k.retention_ns && !k.retention_bytes)
        return 0;
    j->keeper = journal_keeper_start(&k, err);
    return j->keeper ? 0 : -1;
}

/* The first segment's file is made here; the next ones ahead of time by journal_poll. */
static int open_first(struct journal *j, struct error *err)
{
    j->next.number = j->current.number + 1;
    segment_name(j->next_name, j->next.number, JOURNAL_SUFFIX);
    j->next.fd = openat(j->dir_fd, j->next_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (j->next.fd < 0 || (syncs(j) && fsync(j->dir_fd)))
        return error_set(err, "%s/%s: cannot make this file: %s%s", j->dir, j->next_name, strerror(errno),
                         segment_advice(errno));
    j->next_ready = true;
    return 0;
}

static int recover(struct journal *j, struct error *err)
{
    struct journal_recovery r = {.dir = j->dir,
                                 .dir_fd = j->dir_fd,
                                 .staging = j->options.staging,
                                 .staging_bytes = j->options.staging_bytes,
                                 .sync = syncs(j)};
    if (journal_recover(&r, err))
        return -1;
    memcpy(j->node, r.node, sizeof j->node);
    j->current.number = r.last_number;
    j->state.last_seq = j->state.written_seq = j->state.durable_seq = r.last_seq;
    j->state.found_seq = r.last_seq;
    j->state.recovered_records = r.recovered_records;
    j->state.torn_bytes = r.torn_bytes;
    j->state.lost_segments = r.lost_segments;
    j->state.lost_bytes = r.lost_bytes;
    j->state.lost_seq = r.lost_seq;
    return 0;
}

struct journal *journal_open(const char *dir, const struct journal_options *options, struct error *err)
{
    struct journal *j = msg_holder_new(sizeof *j);
    if (!j) {
        error_set(err, "journal: out of memory");
        return NULL;
    }
    j->options = *options;
    j->now_ns = options->now_ns;
    j->dir_fd = j->lock_fd = j->current.fd = j->old.fd = j->next.fd = -1;
    snprintf(j->dir, sizeof j->dir, "%s", dir);
    j->index = malloc(sizeof *j->index);
    j->old_index = malloc(sizeof *j->old_index);
    if (!j->index || !j->old_index) {
        error_set(err, "journal: out of memory");
    } else if (!check_options(j, err) && (j->dir_fd = segment_dir_open(dir, true, err)) >= 0 &&
               (j->lock_fd = segment_lock(dir, "journal", err)) >= 0 && !recover(j, err) &&
               !make_staging(j, err) && !open_first(j, err) && !start_keeper(j, err)) {
        j->state.async = !options->blocking && io_uring_queue_init(RING_ENTRIES, &j->ring, 0) == 0;
        return j;
    }
    release(j);
    return NULL;
}
