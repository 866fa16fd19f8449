/* The market role's side of what compares symbols: the blocks of all scanners (workers/peer_blocks.h) in the
 * order of seq, into seconds (core/peers.h), whose anomalies go to the publisher by a ring of their own.
 *
 * Nothing is lost and nothing depends on who is faster: a block is taken once no scanner can give an earlier
 * one. The state is in the workspace and outlives the role; what a role did and its successor does again
 * changes nothing, and the publisher drops what it has. Where the workspace is new and the run is not,
 * scanners begin at their checkpoints: a checkpoint is not written before the second that it is in, and the
 * one after that, are in the outbox (control.peers_done_seq), so what is not whole here is done already. When
 * a symbol was told last is then read from the outbox.
 */
#ifndef WORKERS_PEER_MERGE_H
#define WORKERS_PEER_MERGE_H

#include "workers/instance.h"

struct peer_merge;

/* NULL with err. */
struct peer_merge *peer_merge_open(struct instance *in, struct error *err);
void peer_merge_close(struct peer_merge *g);
/* As role.step. */
int peer_merge_step(struct peer_merge *g);
/* The stream has ended, and all is told. */
bool peer_merge_ended(const struct peer_merge *g);

#endif
