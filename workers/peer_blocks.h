/* A scanner's side of what compares symbols (core/peers.h): the peers of each bucket as of its CLOCK.
 *
 * A block in the scanner's peers ring: a VALUES record (struct peer) for each symbol of the bucket that has
 * one, then the CLOCK with a struct peer_settings; all with seq and time of that CLOCK. Nothing is left out:
 * the scanner waits for room. Behind it control.peers_progress says up to which message all blocks are in the
 * ring. A scanner that takes the place of another begins with the last block there, or its rest.
 */
#ifndef WORKERS_PEER_BLOCKS_H
#define WORKERS_PEER_BLOCKS_H

#include "core/engine.h"
#include "shm/ring.h"
#include "workers/instance.h"

struct peer_blocks {
    struct instance *in;
    struct ring_producer ring;
    uint64_t had_seq; /* what was there when we came: blocks before it are whole */
    struct msg clock; /* of the block that waits for room */
    bool waits;
    uint32_t symbol; /* … the last of its symbols that is done */
};

/* NULL with err. */
struct peer_blocks *peer_blocks_open(struct instance *in, struct error *err);
void peer_blocks_close(struct peer_blocks *b);

/* Before the first message: checkpoints have told all up to `newest_seq` at most; 0: there were none. */
void peer_blocks_begin(struct peer_blocks *b, uint64_t newest_seq);
/* After a CLOCK was applied. */
void peer_blocks_clock(struct peer_blocks *b, const struct msg *clock);
/* False: the block waits for room; call it again before another message is applied. */
bool peer_blocks_put(struct peer_blocks *b, const struct engine *e);
/* No block waits, and all up to this message is applied. */
void peer_blocks_reached(struct peer_blocks *b, uint64_t seq);

#endif
