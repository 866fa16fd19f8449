/* The bytes of a file as a stream, plain or zstd (told by its first bytes, not its name; several frames in a
 * row are one stream, skippable ones nothing). Pipes are fine: what has come is given.
 *
 * Threading: one at a time. No allocation after bytes_open.
 */
#ifndef NET_BYTES_H
#define NET_BYTES_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct bytes;

/* `unit` is what the reader makes of the bytes ("lines"), for messages. NULL with err set: no such file, a
 * directory, no permission. */
struct bytes *bytes_open(const char *path, const char *unit, struct error *err);

/* Up to `max` (> 0) bytes into `to`: how many (> 0), 0 at the end, -1 with err set: unreadable, a truncated
 * or damaged .zst (file and byte named). What precedes a fault is given before it. */
ssize_t bytes_read(struct bytes *b, void *to, size_t max, struct error *err)
    __attribute__((warn_unused_result));

bool bytes_compressed(const struct bytes *b);

/* The first bytes of the file itself, not decompressed: at least 4 of a file that has them, valid until the
 * first bytes_read. */
const unsigned char *bytes_head(const struct bytes *b, size_t *n);

void bytes_close(struct bytes *b);

#endif
