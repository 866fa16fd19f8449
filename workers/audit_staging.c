/* What a killed instance's journal had not written: it lies in the staging of its workspace, and the next
 * start writes it. Here it is only read. */
#include "workers/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "net/journal_staging.h"
#include "workers/instance.h"

enum { SLOTS = 1024 };

static int by_position(const void *a, const void *b)
{
    const struct staging_block *x = *(const struct staging_block *const *)a,
                               *y = *(const struct staging_block *const *)b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The block's messages behind *last_seq. */
static int read_block(const struct staging_block *b, const uint8_t *payload, uint64_t *last_seq,
                      int (*take)(void *ctx, const struct msg *m, size_t n), void *ctx, struct error *err)
{
    static struct codec_decoder d;
    static struct msg m[SLOTS];
    int64_t n;
    codec_decode_begin(&d, b->first_seq, payload, b->used);
    while ((n = codec_decode(&d, m, SLOTS)) > 0) {
        int64_t at = 0;
        while (at < n && m[at].seq <= *last_seq)
            at += msg_slot_count(&m[at]);
        if (at < n && take(ctx, m + at, (size_t)(n - at)) < 0)
            return 1;
        *last_seq = at < n ? m[n - 1].seq : *last_seq;
    }
    return n < 0 ? error_set(err, "its block at offset %" PRIu64 " of segment %" PRIu32 " is damaged",
                             b->offset, b->segment)
                 : 0;
}

static int read_blocks(struct staging *s, size_t bytes, const uint8_t *node, uint64_t last_seq,
                       int (*take)(void *ctx, const struct msg *m, size_t n), void *ctx, struct error *err)
{
    if (s->magic != STAGING_MAGIC)
        return 0;
    if (s->block_bytes < STAGING_PAGE || s->block_bytes > JOURNAL_BLOCK_BYTES_MAX || s->block_bytes % 64 ||
        s->blocks > staging_blocks(bytes, s->block_bytes))
        return error_set(err, "found %" PRIu32 " blocks of %" PRIu32 " bytes in %zu: it is damaged",
                         s->blocks, s->block_bytes, bytes);
    const struct staging_block **left = calloc((size_t)s->blocks + 1, sizeof *left);
    uint32_t n = 0;
    int rc = 0;
    if (!left)
        abort();
    for (uint32_t i = 0; i < s->blocks; i++) {
        const struct staging_block *b = &s->block[i];
        if (b->state != STAGED_USED || b->used == 0 || (b->flags & JOURNAL_IN_FORCE))
            continue;
        if (b->used > s->block_bytes - BLOCK_FRONT - CODEC_SLACK_BYTES)
            rc = error_set(err, "found a block of %" PRIu64 " bytes: it is damaged", b->used);
        left[n++] = b;
    }
    if (rc == 0 && n && node && memcmp(s->node, node, SEGMENT_ID_BYTES))
        rc = error_set(err, "it belongs to another journal");
    qsort(left, n, sizeof *left, by_position);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = read_block(left[i],
                        staging_buffers(s) + (size_t)(left[i] - s->block) * s->block_bytes + BLOCK_FRONT,
                        &last_seq, take, ctx, err);
    free(left);
    return rc < 0 ? -1 : 0;
}

int audit_read_staged(const struct audit *a, const uint8_t *node, uint64_t last_seq,
                      int (*take)(void *ctx, const struct msg *m, size_t n), void *ctx, struct error *err)
{
    size_t bytes;
    struct workspace *ws = workspace_join(a->dir, WORKSPACE_READ, instance_schema_hash(), err);
    if (!ws)
        return 0;
    struct staging *s = workspace_object(ws, "staging", 0, &bytes);
    int rc = s && !workspace_alive(ws) ? read_blocks(s, bytes, node, last_seq, take, ctx, err) : 0;
    workspace_leave(ws);
    return rc < 0 ? error_prefix(err, "the staging of its workspace") : 0;
}
