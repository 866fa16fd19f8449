/* What compares symbols (core/peers.h), in one process with one engine: for replay and audit. */
#ifndef WORKERS_PEER_REPLAY_H
#define WORKERS_PEER_REPLAY_H

#include "core/engine.h"

struct peer_replay;

/* For symbol ids below `ids`. */
struct peer_replay *peer_replay_new(uint32_t ids);
void peer_replay_free(struct peer_replay *r);

/* Each record of m[0..n) was applied, of CLOCKs only the last (msg_upto_clock). Events are given to `event`
 * (a message with seq; its bucket for the outbox is BUCKET_MARKET); -1 of it ends this one with -1. */
typedef int peer_replay_event(void *ctx, const struct msg *m);
int peer_replay_applied(struct peer_replay *r, const struct engine *e, const struct msg *m, uint32_t n,
                        peer_replay_event *event, void *ctx) __attribute__((warn_unused_result));

#endif
