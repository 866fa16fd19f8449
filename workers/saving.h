/* The scanner's side of checkpoints: every now and then, a pass over its buckets, a piece of one at each
 * step, so that no step is long. What is saved waits until journal and outbox have, durably, all that it
 * stands on, and is then written by another thread (net/checkpoint.h).
 *
 * Threading: the scanner's.
 */
#ifndef WORKERS_SAVING_H
#define WORKERS_SAVING_H

#include "core/route.h"
#include "shm/ring.h"
#include "workers/instance.h"

struct saving;

/* NULL with err. None is made where checkpoints are off. */
struct saving *saving_open(const struct instance *in, const struct engine_limits *limits, struct error *err);

/* Remembers what of m[0..n), which was applied, later states build on: rules and settings. */
void saving_remember(struct saving *s, const struct msg *m, uint32_t n);

/* Saves a piece, if it is time: the engine is as of the message `seq`, whole, and has had all of its events
 * taken by the ring. */
void saving_step(struct saving *s, struct engine *e, uint64_t seq, const struct ring_producer *events);

/* Hands over what is safe, starts the next pass, tells how far files go. */
void saving_housekeeping(struct saving *s, int64_t mono_ns, const struct ring_producer *events);

void saving_close(struct saving *s);

#endif
