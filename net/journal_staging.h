/* The journal's staging: what outlives a killed writer, and how the next one takes it up (net/journal.c,
 * net/journal_recovery.c).
 */
#ifndef NET_JOURNAL_STAGING_H
#define NET_JOURNAL_STAGING_H

#include "core/error.h"
#include "net/journal_format.h"

enum {
    STAGING_PAGE = 4096,
    STAGING_BLOCKS_MAX = 1 << 16,
    BLOCK_FRONT = sizeof(struct segment_head) + sizeof(struct block_head), /* before the payload in staging */
};
#define STAGING_MAGIC UINT64_C(0x32474154534a5452) /* "RTJSTAG2" */

/* What of the journal lies in staging, so that another process can finish it. A block's buffer has
 * block_bytes: room for a segment head (used by a segment's first block), the block head, the payload, the
 * encoder's slack. */
struct staging_block {
    uint32_t state; /* enum staged */
    uint32_t flags; /* of the block head */
    uint32_t segment, pad;
    uint64_t offset;    /* in the segment, of what is written; 0: the segment head comes first */
    uint64_t first_seq; /* that the encoder was started with */
    uint64_t used;      /* bytes of payload; stored last, so that what it covers is whole */
};
enum staged { STAGED_FREE, STAGED_USED };

struct staging {
    uint64_t magic;
    uint32_t block_bytes, blocks;
    uint8_t node[SEGMENT_ID_BYTES];
    /* Segments before this number are on disk, and the first bytes of it; 0: unknown. */
    uint64_t synced_number, synced_bytes;
    struct staging_block block[];
};

static inline uint8_t *staging_buffers(struct staging *s)
{
    size_t head = sizeof *s + s->blocks * sizeof s->block[0];
    return (uint8_t *)s + (head + STAGING_PAGE - 1) / STAGING_PAGE * STAGING_PAGE;
}

/* Blocks of block_bytes for which `bytes` have room. */
static inline uint32_t staging_blocks(size_t bytes, uint32_t block_bytes)
{
    size_t n = bytes < 2 * STAGING_PAGE
                   ? 0
                   : (bytes - 2 * STAGING_PAGE) / (block_bytes + sizeof(struct staging_block));
    return n < STAGING_BLOCKS_MAX ? (uint32_t)n : STAGING_BLOCKS_MAX;
}

struct journal_recovery {
    const char *dir;
    int dir_fd;
    struct staging *staging; /* NULL: none */
    size_t staging_bytes;
    bool sync; /* all that is found is durable then; else whatever the disk lost is a tail */
    /* Found: */
    uint8_t node[SEGMENT_ID_BYTES]; /* random in an empty directory */
    uint32_t first_number;          /* of the segments; 0: there is none */
    uint32_t last_number;           /* likewise */
    uint64_t last_seq;
    uint64_t recovered_records; /* that were only in staging */
    uint64_t torn_bytes;        /* cut off the end of segments */
    uint64_t lost_segments;     /* set aside: what came before them is gone */
    uint64_t lost_bytes;        /* of these */
    uint64_t lost_seq;          /* the last message known to have been there behind last_seq; 0: none */
};

/* Brings directory and staging to one state: what is staged is written, each segment is cut at its last whole
 * block and sealed.
 *
 * A power cut may keep a block and lose the one before it, or a segment's head. What follows the first gap is
 * set aside (NUMBER.rtj.lost), so that the journal is what it was at some time. With `sync` only in the last
 * segments, which may not have been on disk; elsewhere it is damage, and an error. With `sync` also what a
 * sync that failed may have left in the page cache alone is written again and synced.
 *
 * 0, or -1 with err; then staging is as it was. */
int journal_recover(struct journal_recovery *r, struct error *err) __attribute__((warn_unused_result));

#endif
