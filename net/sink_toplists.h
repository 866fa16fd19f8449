/* Toplists for a sink that publishes them beside latest prices: those of each metric and window (both ends),
 * and users' own, whenever the market role shows another second, at most each interval. Best effort, never
 * queued.
 *
 * Threading: the sink's thread.
 */
#ifndef NET_SINK_TOPLISTS_H
#define NET_SINK_TOPLISTS_H

#include "net/sink.h"

struct sink_toplists;

/* NULL: this sink publishes none. */
struct sink_toplists *sink_toplists_new(const struct sink_config *config);
void sink_toplists_free(struct sink_toplists *t);

/* All of them anew: who knows what the sink kept. */
void sink_toplists_forget(struct sink_toplists *t);
/* As sink_ops.publish_toplist; *published: how many. */
int sink_toplists_publish(struct sink_toplists *t, void *state, uint64_t *published, struct error *err);

#endif
