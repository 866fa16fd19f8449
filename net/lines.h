/* The lines of a file, plain or zstd (told by its first bytes, not its name; several frames in a row are one
 * text), in spans of whole lines: only a line that straddles two blocks is copied. Pipes are fine: what has
 * come is given.
 *
 * A span ends with '\n' (one is added to a last line that has none). It may be written to. LINES_PAD bytes
 * before and behind it can be read, so that a parser may load words without looking at the end.
 */
#ifndef NET_LINES_H
#define NET_LINES_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LINES_PAD = 64, LINES_BLOCK_BYTES = 256 << 10, LINES_LINE_MAX = 16 << 20 };

struct lines;

/* NULL with err set: no such file, a directory, no permission. */
struct lines *lines_open(const char *path, struct error *err);

/* The next span: 1 with *text and *len (> 0; valid until the next call), 0 at the end, -1 with err set:
 * unreadable, a truncated or damaged .zst (file and byte named), a line over LINES_LINE_MAX. Whole lines that
 * precede the fault have been given before. */
int lines_next(struct lines *l, char **text, size_t *len, struct error *err)
    __attribute__((warn_unused_result));

/* Bytes of text given so far, uncompressed. */
uint64_t lines_bytes(const struct lines *l);

void lines_close(struct lines *l);

#endif
