/* What stands in a journal's files, for those who write and read them (net/journal.c, net/journal_reader.c).
 *
 * - segment: segment_head, blocks, then, once sealed: footer_head, index entries, footer_tail
 * - block: block_head, payload (net/journal_codec.h)
 *
 * In a compressed segment (JOURNAL_VERSION_COMPRESSED) the payload of a block with JOURNAL_ZSTD is one zstd
 * frame with the content's size and checksum. All else is as it was, so that the same code reads both, and
 * the index still finds each block.
 */
#ifndef NET_JOURNAL_FORMAT_H
#define NET_JOURNAL_FORMAT_H

#include "net/journal_codec.h"
#include "net/segment.h"

#define JOURNAL_SUFFIX ".rtj"
#define JOURNAL_MAGIC  "RTJRNL\r\n" /* a transfer as text spoils it */

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_VERSION_COMPRESSED = 2,
    JOURNAL_BLOCK_MAGIC = 0x42545221,  /* "!RTB" */
    JOURNAL_FOOTER_MAGIC = 0x46545221, /* "!RTF" */
    JOURNAL_BLOCK_BYTES_MAX = 16 << 20,
    /* block_head.flags */
    JOURNAL_IN_FORCE = 1, /* repeats what is in force, seq 0 */
    JOURNAL_ZSTD = 2,
};

struct segment_head {
    char magic[8];
    uint32_t version, number; /* the file's */
    uint8_t node[SEGMENT_ID_BYTES];
    uint64_t first_seq; /* the first message's */
    uint64_t prev_seq;  /* the last of the segment before, 0 if there is none */
    int64_t created_ns;
    uint64_t check; /* xxh3_64 of all before it */
};

struct block_head {
    uint32_t magic;
    uint32_t check; /* low half of the xxh3_64 of all behind it */
    uint32_t bytes; /* of the payload, as it is stored */
    uint32_t flags;
    uint32_t records, slots;
    uint64_t first_seq, last_seq;       /* JOURNAL_IN_FORCE: 0 */
    int64_t min_event_ns, max_event_ns; /* as codec_summary */
    uint64_t payload_check;             /* xxh3_64 of what is stored */
};

struct footer_head {
    uint32_t magic, entries;
    uint64_t records, blocks;
    uint64_t first_seq, last_seq;
    int64_t min_event_ns, max_event_ns;
    uint64_t check; /* xxh3_64 of all before it, with the entries' as seed */
};

/* Of one or more consecutive blocks. */
struct index_entry {
    uint64_t offset, first_seq; /* of the first one */
    int64_t min_event_ns, max_event_ns;
};

struct footer_tail {
    uint64_t footer_offset;
    uint32_t magic;
    uint32_t check; /* low half of the xxh3_64 of footer_offset */
};

_Static_assert(sizeof(struct segment_head) == 64 && sizeof(struct block_head) == 64 &&
                   sizeof(struct footer_head) == 64 && sizeof(struct index_entry) == 32 &&
                   sizeof(struct footer_tail) == 16,
               "no padding: they are stored as they are");

/* Where to find what in one segment. Bounded: when it is full, neighbours become one entry, and each entry
 * after that covers twice as many blocks. */
enum { JOURNAL_INDEX_ENTRIES = 8192 };
struct journal_index {
    struct footer_head head;
    uint32_t blocks_per_entry, blocks_in_last;
    struct index_entry entry[JOURNAL_INDEX_ENTRIES];
};

void journal_index_reset(struct journal_index *x);
void journal_index_add(struct journal_index *x, const struct block_head *b, uint64_t offset);
/* The footer for the end of the segment, whose blocks end at `offset`: its bytes, written to `out`, which has
 * room for JOURNAL_FOOTER_BYTES_MAX. */
size_t journal_footer(struct journal_index *x, uint64_t offset, uint8_t *out);
enum {
    JOURNAL_FOOTER_BYTES_MAX =
        (int)(sizeof(struct footer_head) + JOURNAL_INDEX_ENTRIES * sizeof(struct index_entry) +
              sizeof(struct footer_tail))
};

void journal_segment_head(struct segment_head *h, uint32_t number, const uint8_t node[SEGMENT_ID_BYTES]);
void journal_segment_seal(struct segment_head *h);
/* Fills in the block's head for a payload of `bytes`. */
void journal_block_seal(struct block_head *h, const struct codec_summary *s, uint32_t flags,
                        const uint8_t *payload, uint32_t bytes);
/* The head of the same block with another payload. */
void journal_block_repack(struct block_head *h, uint32_t flags, const uint8_t *payload, uint32_t bytes);

/* One open segment file, for reading. */
struct journal_file {
    int fd;
    char name[4096]; /* for messages */
    struct segment_head head;
    bool sealed; /* it has a footer, which is in `footer` */
    struct footer_head footer;
    uint64_t footer_offset;
};

enum { JOURNAL_FILE_DAMAGED = -2, JOURNAL_FILE_EMPTY = 0, JOURNAL_FILE_OPEN = 1 };

/* Opens and checks the segment head. JOURNAL_FILE_OPEN; JOURNAL_FILE_EMPTY (nothing open) if the file is
 * shorter than that, or zeros stand there: a writer that died, or a power cut, leaves that; with err
 * JOURNAL_FILE_DAMAGED if something else stands there, -1 for all other failures. */
int journal_file_open(struct journal_file *f, const char *path, struct error *err)
    __attribute__((warn_unused_result));
void journal_file_close(struct journal_file *f);
/* Looks for the footer again: the writer may have sealed it since. True if it is sealed. The same open file,
 * so that offsets stay right when a compressed one takes its name. */
bool journal_file_refresh(struct journal_file *f);
/* The index entries of a sealed file, malloc'd; NULL if they cannot be read. */
struct index_entry *journal_file_index(const struct journal_file *f);

/* A block's payload, decompressed; all zeros to start with, grows. */
struct journal_payload {
    uint8_t *bytes; /* CODEC_SLACK_BYTES more can be read */
    uint32_t size;
    size_t room;
    uint8_t *packed; /* as stored, if it is compressed */
    size_t packed_room;
    struct ZSTD_DCtx_s *zstd;
};
void journal_payload_free(struct journal_payload *p);

/* The block at `offset`. 1 with *h and, if `payload`, its bytes, all checked; 0 at the end of the blocks (of
 * the file, or where the footer starts); -1 with `what` set if what stands there is no whole block: "found …,
 * expected …"; -2 with `what` set if the file cannot be read. */
int journal_file_block(const struct journal_file *f, uint64_t offset, struct block_head *h,
                       struct journal_payload *payload, struct error *what)
    __attribute__((warn_unused_result));

/* Where behind `offset` the next sound block starts; 0 if there is none. For telling a torn end from damage.
 */
uint64_t journal_file_block_after(const struct journal_file *f, uint64_t offset);

/* The offset of the first index entry that may hold what is wanted (as journal_reader_options); that of the
 * first block if there is no index, or it is of no use. */
uint64_t journal_file_seek(const struct journal_file *f, uint64_t from_seq, int64_t from_ns);

#endif
