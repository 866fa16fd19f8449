/* An engine's state as bytes, bucket by bucket, for checkpoints: an engine of the same limits that has had
 * the same rules and settings and is given a bucket's pieces goes on with that bucket as the first one would.
 *
 * A piece is some bars and kept trades of one symbol, its daily bars, a trading day of its volumes (where
 * anomalies are looked for), or the bucket: its clock, each symbol with the bars and kept trades that no
 * piece before it had (a trade's kept alerts go with it), its fires, its windows of anomalies. Of the pieces
 * of one bucket only those up to a bucket's piece count. What can be made anew from the bars (state of
 * metrics, cursors) is left out. The bytes are those of this machine and version: engine_save_layout tells
 * which.
 *
 * Threading: as the engine; between two calls of engine_apply that consumed all of their messages.
 */
#ifndef CORE_ENGINE_SAVE_H
#define CORE_ENGINE_SAVE_H

#include "core/engine.h"

/* Changes with whatever the bytes depend on. */
uint64_t engine_save_layout(void);

/* Nothing counts as saved: the pieces to come stand by themselves. */
void engine_save_anew(struct engine *e);

enum engine_piece { ENGINE_PIECE_PART, ENGINE_PIECE_BUCKET, ENGINE_PIECE_DAY, ENGINE_PIECE_DAILY };

/* Writes the bucket's next piece into out[0..max) and returns its bytes: bars and trades while a symbol has
 * many that no piece had (at most ENGINE_SAVE_BARS and ENGINE_SAVE_TRADES at once, fewer where these have
 * decided many alerts, so that nobody waits),
 * daily bars that have changed, days of volumes one by one, else the bucket, which ends it. 0 if it does not
 * fit: engine_save_max bytes are always enough. */
enum { ENGINE_SAVE_BARS = 64, ENGINE_SAVE_TRADES = 128, ENGINE_SAVE_ALERT_BYTES = 1 << 16 };
size_t engine_save(struct engine *e, uint32_t bucket, void *out, size_t max, enum engine_piece *piece);
size_t engine_save_max(const struct engine_limits *l);

/* Takes a piece; a bucket's pieces come in their order, the `last` of them is one of ENGINE_PIECE_BUCKET, and
 * from it the bucket goes on. 0, or -1 with err: it is no piece of this layout, or names what this engine has
 * no room for or no rule of; the engine is then not to be used. */
int engine_load(struct engine *e, const void *piece, size_t bytes, bool last, struct error *err)
    __attribute__((warn_unused_result));

/* Called for each symbol of a piece: which ids a bucket has. The piece is one that engine_load would take, or
 * the rest of it is ignored. */
void engine_piece_symbols(const void *piece, size_t bytes, void (*f)(void *ctx, uint32_t id), void *ctx);

#endif
