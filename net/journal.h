/* The journal: every stamped message, in order, in a directory of segment files. A capture is a journal.
 *
 * A segment is a header, blocks, and, once it is sealed, a footer. A block is a header (length, seqs, times,
 * checksum) and messages in the compact form of net/journal_codec.h. The first blocks of a segment repeat
 * what is in force at its start (symbols, settings, rules; seq 0), so that a segment can be read without
 * those before it. The footer says where to find which seq and time. A sealed segment may be compressed,
 * block by block. All numbers are little-endian, all checksums xxh3_64. Files are NUMBER.rtj; they are
 * consecutive.
 *
 * Writing. journal_append encodes into a staging block and never waits; journal_poll hands full blocks to the
 * kernel (io_uring; plain writes where that is not allowed) and takes note of what was done. A block leaves
 * staging when the kernel has it (sync = always: when the disk has it), so with staging in shared memory what
 * was appended survives the writer: the next journal_open writes what it finds there. A write that fails
 * stays in staging and is tried again once a second; when staging is full, append takes nothing:
 * backpressure.
 *
 * Sealed segments are compressed, and deleted when they are too old or too many, by a thread of the journal's
 * own (net/journal_keep.h), which takes only what CPU time is left.
 *
 * Threading: one thread calls. Clocks: the caller's.
 */
#ifndef NET_JOURNAL_H
#define NET_JOURNAL_H

#include "core/error.h"
#include "core/message.h"
#include "net/journal_keep.h"
#include "net/segment.h"

/* When a message counts as durable (and journal_state.durable_seq passes it). The order is that of the
 * setting journal.sync. */
enum journal_sync {
    JOURNAL_SYNC_NEVER,    /* the kernel has it: a reboot may lose it */
    JOURNAL_SYNC_INTERVAL, /* the disk has it, asked once an interval */
    JOURNAL_SYNC_ALWAYS    /* the disk has it, asked as soon as possible for all that has come in meanwhile */
};

/* What is in force, as records one after the other without seq, for the start of a segment: copies whole
 * records from the slot `at` (0, then the sum of what was returned) on into out[0..max), returns the slots, 0
 * at the end. Called within journal_append, until it gives 0, before the first record of the new segment is
 * taken. */
typedef size_t journal_in_force(void *ctx, size_t at, struct msg *out, size_t max);

struct journal_options {
    uint64_t segment_bytes; /* a segment is sealed when the next block would not fit; 0 = 256 MiB */
    uint32_t block_bytes;   /* 4,096 .. 16 MiB; 0 = 128 KiB */
    enum journal_sync sync;
    int64_t interval_ns; /* of syncs (JOURNAL_SYNC_INTERVAL), and how long an unfilled block may wait; 0 = 100
                            ms */
    int64_t now_ns;      /* UTC */
    /* At least two blocks and 4 KiB, 4,096 aligned, zeroed when new. Kept over a restart it brings back what
     * was not written. NULL: memory of its own, 16 MiB. */
    void *staging;
    size_t staging_bytes;
    bool blocking;              /* no io_uring: journal_poll writes and waits; for tools */
    journal_in_force *in_force; /* may be NULL */
    void *in_force_ctx;
    int compress_level;       /* of zstd, 1 .. 19, for sealed segments; 0 = they stay as they are */
    bool compress_all;        /* journal_close waits until all are; else the next journal_open goes on */
    int64_t retention_ns;     /* sealed segments are deleted so long after the next was begun; 0 = never */
    uint64_t retention_bytes; /* the oldest sealed ones are deleted while all files have more; 0 = no limit */
    bool readers;             /* others need what is written: retention waits for journal_keep_from */
};

struct journal_state {
    bool failing; /* what is staged cannot be written; `failure` says why, and what to do */
    bool async;   /* io_uring; false: this kernel or container does not allow it, journal_poll blocks */
    struct error failure;                    /* the last one */
    uint64_t last_seq;                       /* appended */
    uint64_t written_seq;                    /* the kernel has it */
    uint64_t durable_seq;                    /* as journal_options.sync says */
    uint64_t records;                        /* appended since open */
    uint64_t blocks, bytes, syncs, failures; /* likewise; bytes of files written */
    uint64_t waits;                          /* appends that took less than all: staging was full */
    uint64_t staging_blocks, staging_used;
    struct journal_keep_state
        keep; /* what became of sealed segments; `keep.failures` counts, nothing stops */
    /* What journal_open found. */
    uint64_t found_seq;         /* the last message */
    uint64_t recovered_records; /* that were only in staging */
    uint64_t torn_bytes;        /* cut off the end of segments */
    uint64_t lost_segments;     /* behind a gap: set aside as NUMBER.rtj.lost */
    uint64_t lost_bytes;        /* of these */
    uint64_t lost_seq;          /* the last message known to have been there behind last_seq; 0: none */
};

struct journal;

/* Opens or makes the journal in `dir`, for append after its last message. Recovers: writes what is left in
 * staging, cuts a torn tail, seals what was open, sets aside what stands behind a gap (JOURNAL_SYNC_NEVER:
 * anywhere, else in the last segments), and makes the rest durable. NULL with err: in use (by which pid), not
 * ours, damaged, no permission …
 */
struct journal *journal_open(const char *dir, const struct journal_options *options, struct error *err);

/* What journal_open found, if that is worth a line in a log: false if not. */
bool journal_found(const struct journal *j, struct error *line);

/* Takes whole records with ascending seqs. Returns the slots taken: less than n when staging is full. */
size_t journal_append(struct journal *j, const struct msg *records, size_t n)
    __attribute__((warn_unused_result));

/* Starts and finishes writes and syncs; call it once per loop. Returns how many operations finished. */
unsigned journal_poll(struct journal *j, int64_t now_ns);

/* Retention keeps the messages from `seq` on: what a checkpoint or a reader that lags still needs. It may go
 * down only to what was kept before. At first 0, all, with journal_options.readers; else UINT64_MAX, nothing.
 */
void journal_keep_from(struct journal *j, uint64_t seq);

const struct journal_state *journal_state(const struct journal *j);
static inline uint64_t journal_last_seq(const struct journal *j)
{
    return journal_state(j)->last_seq;
}
const uint8_t *journal_node(const struct journal *j); /* SEGMENT_ID_BYTES, random, made with the directory */

/* Waits until all that was appended is written and (but for JOURNAL_SYNC_NEVER) on disk. 0, or -1 with err:
 * what could not be written is still in staging. */
int journal_flush(struct journal *j, struct error *err) __attribute__((warn_unused_result));

/* Flushes, seals the segment and frees everything, also where that fails (-1 with err): then staging keeps
 * what was not written, if it is the caller's. */
int journal_close(struct journal *j, struct error *err);

/* Reading: a directory, or one segment file. Any number of readers, also while it is written.
 *
 * Where a segment that is not sealed ends in something that is no whole block, that is the end: a torn write,
 * or one under way; journal_reader_note says so. Where sound blocks follow it, it is damage: an error, unless
 * `live`.
 */
struct journal_reader_options {
    uint64_t from_seq; /* reading starts with the block that holds it, or what follows it; 0 = all */
    int64_t from_ns;   /* reading starts with the first block that holds an event_ns not before it; 0 = all */
    bool in_force;     /* first what was in force at the start of the first segment read, with seq 0; nothing
                        * if that segment starts with message 1 */
    bool live;         /* a writer may be at work: after an end, ask again later */
    /* For who wants only what has an event_ns in [from_ns, to_ns) (0 = to the end) and the SYMBOLs that name
     * it: blocks and segments with nothing of both are skipped; what is read also holds other messages. Not
     * with from_seq or live. */
    bool skim;
    int64_t to_ns;
};

struct journal_reader;

struct journal_reader *journal_reader_open(const char *path, const struct journal_reader_options *options,
                                           struct error *err);

/* Whole records into out[0..max), max >= MSG_SLOTS_MAX, in the order of seq. Returns the slots; 0 at the end
 * (so far); -1 with err: damaged (file, offset, found, expected), a segment missing, unreadable; what was
 * read before is good.
 */
int64_t journal_read(struct journal_reader *r, struct msg *out, size_t max, struct error *err)
    __attribute__((warn_unused_result));

/* After an end: "", or what stands there that is no whole block. */
const char *journal_reader_note(const struct journal_reader *r);

struct journal_info {
    uint8_t node[SEGMENT_ID_BYTES];
    uint64_t first_seq;       /* of the first segment; more than 1: what came before is in no file here */
    int64_t created_ns;       /* of the first segment */
    uint64_t segments, bytes; /* files, and bytes in them, when it was opened */
    uint64_t compressed;      /* of the segments read so far */
    uint64_t blocks;          /* read so far */
    uint64_t block_bytes;     /* of them */
    bool sealed;              /* the segment read last has its footer */
};
const struct journal_info *journal_reader_info(const struct journal_reader *r);

void journal_reader_close(struct journal_reader *r);

#endif
