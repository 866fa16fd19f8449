#include "shm/valuetab.h"

#include "shm/object.h"
#include "shm/symtab.h"

#define VALUETAB_MAGIC UINT64_C(0x3173657561766e72) /* "rnvaues1" */

enum { BLOCK_KEYS = SCAN_COLUMNS * SCAN_BLOCK };

struct valuetab {
    uint64_t magic;
    uint32_t rows_max, columns;
    uint64_t key[] __attribute__((aligned(OBJECT_ALIGN)));
};

static uint32_t blocks_of(uint32_t rows_max)
{
    return (rows_max + SCAN_BLOCK - 1) / SCAN_BLOCK;
}

size_t valuetab_align(void)
{
    return OBJECT_ALIGN;
}

size_t valuetab_footprint(uint32_t rows_max)
{
    if (rows_max == 0 || rows_max > SYMTAB_ROWS_MAX)
        return 0;
    return object_round(sizeof(struct valuetab) +
                        (size_t)blocks_of(rows_max) * BLOCK_KEYS * sizeof(uint64_t));
}

struct valuetab *valuetab_new(void *mem, uint32_t rows_max)
{
    struct valuetab *t = mem;
    if (!object_aligned(mem) || valuetab_footprint(rows_max) == 0)
        return NULL;
    *t = (struct valuetab){.rows_max = rows_max, .columns = SCAN_COLUMNS};
    for (size_t i = 0; i < (size_t)blocks_of(rows_max) * BLOCK_KEYS; i++)
        t->key[i] = (uint64_t)KEY_UNKNOWN;
    atomics_store_release_u64(&t->magic, VALUETAB_MAGIC);
    return t;
}

struct valuetab *valuetab_join(void *mem, size_t bytes)
{
    struct valuetab *t = mem;
    if (!object_is(mem, bytes, sizeof *t, VALUETAB_MAGIC) || t->columns != SCAN_COLUMNS)
        return NULL;
    size_t need = valuetab_footprint(t->rows_max);
    return need && need <= bytes ? t : NULL;
}

uint32_t valuetab_blocks(const struct valuetab *t)
{
    return blocks_of(t->rows_max);
}

static size_t key_at(uint32_t symbol, unsigned column)
{
    return ((size_t)(symbol / SCAN_BLOCK) * SCAN_COLUMNS + column) * SCAN_BLOCK + symbol % SCAN_BLOCK;
}

void valuetab_put(struct valuetab *t, uint32_t symbol, const int64_t *key)
{
    for (unsigned c = 0; symbol < t->rows_max && c < SCAN_COLUMNS; c++)
        atomics_store_relaxed_u64(&t->key[key_at(symbol, c)], (uint64_t)key[c]);
}

int64_t valuetab_get(const struct valuetab *t, uint32_t symbol, unsigned column)
{
    bool there = symbol < t->rows_max && column < SCAN_COLUMNS;
    return there ? (int64_t)atomics_load_relaxed_u64(&t->key[key_at(symbol, column)]) : KEY_UNKNOWN;
}

void valuetab_scan(const struct valuetab *t, const struct scan *s, uint64_t *hits)
{
    scan_run(s, (const int64_t *)t->key, valuetab_blocks(t), SCAN_COLUMNS, hits);
}
