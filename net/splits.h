/* Splits of shares: a file of lines DATE,SYMBOL,RATIO, such as 2024-06-10,NVDA,10:1 (ten new shares for one
 * old; 10 is the same, 1:8 joins eight into one). The date is the ex-date, the symbol the full name (with the
 * market). A first line date,symbol,ratio and lines that start with # are passed over.
 */
#ifndef NET_SPLITS_H
#define NET_SPLITS_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct split_row {
    char symbol[64];
    int64_t ex_ns; /* midnight UTC of the ex-date */
    uint32_t to, from;
};

struct splits;

/* Reads all of the file; an empty path gives an empty list. NULL with err: it cannot be read, or a line is no
 * good (a part of the splits would change results silently). */
struct splits *splits_load(const char *path, struct error *err);

/* Those of a symbol, by date; *n = 0 if it has none. */
const struct split_row *splits_find(const struct splits *s, const char *name, size_t len, size_t *n);

void splits_free(struct splits *s);

#endif
