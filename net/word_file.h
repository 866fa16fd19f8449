/* A small text file of words: one statement a line, words between spaces, a line that starts with # is a
 * comment. What the market's rules are written in (conditions, calendars).
 *
 * Threading: none of its own. The words are valid until word_file_close.
 */
#ifndef NET_WORD_FILE_H
#define NET_WORD_FILE_H

#include "core/error.h"

#include <stddef.h>

enum { WORD_FILE_BYTES_MAX = 1 << 20, WORD_LINE_WORDS = 16 };

struct word_file {
    const char *path; /* as messages name it */
    char *text, *next;
    unsigned line;
    unsigned n; /* words of the line, beyond WORD_LINE_WORDS counted only */
    char *word[WORD_LINE_WORDS];
};

/* Reads `path`, or takes `fallback` (a text) where path is empty, under the name `fallback_name`. -1 with
 * err: it cannot be read, is too large, holds a NUL. */
int word_file_open(struct word_file *f, const char *path, const char *fallback, const char *fallback_name,
                   struct error *err);

/* The next line that has words: 1, or 0 at the end. */
int word_file_next(struct word_file *f);

/* -1 with err "PATH:LINE: found 'WHAT'; expected …"; a NULL `found` shows as nothing. */
int word_file_bad(const struct word_file *f, const char *found, struct error *err, const char *expected, ...)
    __attribute__((format(printf, 4, 5)));

void word_file_close(struct word_file *f);

#endif
