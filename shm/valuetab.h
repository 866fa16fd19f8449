/* The values of metrics of every symbol, as scans read them (core/scan.h): keys in blocks of SCAN_BLOCK
 * symbols, a column for each of SCAN_METRICS. What has no value, or no symbol, is KEY_UNKNOWN.
 *
 * Threading: a symbol's scanner writes its values, 8 bytes at a time, any process reads them as they are: the
 * values of one symbol may be of different moments, a value is always whole. A writer that died leaves what
 * it had written. Join fails (NULL) for: NULL, bad alignment, another magic, rows or columns that do not fit
 * `bytes`.
 */
#ifndef SHM_VALUETAB_H
#define SHM_VALUETAB_H

#include "core/scan.h"

struct valuetab;

size_t valuetab_align(void);
size_t valuetab_footprint(uint32_t rows_max);
struct valuetab *valuetab_new(void *mem, uint32_t rows_max);
struct valuetab *valuetab_join(void *mem, size_t bytes);
static inline void *valuetab_leave(struct valuetab *t)
{
    return t;
}
uint32_t valuetab_blocks(const struct valuetab *t);

/* A symbol's keys, SCAN_COLUMNS of them; a symbol beyond the table is left out. */
void valuetab_put(struct valuetab *t, uint32_t symbol, const int64_t *key);
int64_t valuetab_get(const struct valuetab *t, uint32_t symbol, unsigned column);

/* A bit for each symbol for which the expression holds: SCAN_WORDS words for each block. */
void valuetab_scan(const struct valuetab *t, const struct scan *s, uint64_t *hits);

#endif
