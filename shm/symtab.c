#include "shm/symtab.h"

#include "shm/object.h"
#include "shm/seqlock.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SYMTAB_MAGIC UINT64_C(0x316c6f626d797374) /* "tsymbol1" */

enum {
    TRADE_WORDS = sizeof(struct symtab_trade) / 8,
    QUOTE_WORDS = sizeof(struct symtab_quote) / 8,
    LIVE_WORDS = sizeof(struct symtab_live) / 8
};

struct row {
    uint64_t trade_seq;
    uint64_t trade[TRADE_WORDS];
    uint64_t trade_pad[8 - 1 - TRADE_WORDS];
    uint64_t quote_seq;
    uint64_t quote[QUOTE_WORDS];
    uint64_t quote_pad[8 - 1 - QUOTE_WORDS];
    uint64_t live_seq;
    uint64_t live[LIVE_WORDS];
    uint64_t live_pad[16 - 1 - LIVE_WORDS];
    struct symtab_identity identity __attribute__((aligned(128)));
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct symtab_trade) == 40 && sizeof(struct symtab_quote) == 40 &&
                   sizeof(struct symtab_live) == 72,
               "whole words");
_Static_assert(offsetof(struct row, quote_seq) == 64 && offsetof(struct row, live_seq) == 128 &&
                   sizeof(struct row) == 384,
               "one line for each writer");

struct symtab {
    uint64_t magic;
    uint32_t rows_max;
    uint32_t hash_slots; /* power of two, at least twice the rows */
    uint32_t count __attribute__((aligned(OBJECT_ALIGN)));
    struct row rows[] __attribute__((aligned(OBJECT_ALIGN)));
};

/* After the rows: id + 1 by hash of the name, 0 = empty. */
static uint32_t *hash_table(const struct symtab *t)
{
    return (uint32_t *)(uintptr_t)(t->rows + t->rows_max);
}

static uint32_t hash_slots_for(uint32_t rows_max)
{
    uint32_t n = 64;
    while (n < 2 * rows_max)
        n *= 2;
    return n;
}

size_t symtab_align(void)
{
    return OBJECT_ALIGN;
}

size_t symtab_footprint(uint32_t rows_max)
{
    if (rows_max == 0 || rows_max > SYMTAB_ROWS_MAX)
        return 0;
    return object_round(sizeof(struct symtab) + rows_max * sizeof(struct row) +
                        hash_slots_for(rows_max) * sizeof(uint32_t));
}

struct symtab *symtab_new(void *mem, uint32_t rows_max)
{
    struct symtab *t = mem;
    if (!object_aligned(mem) || symtab_footprint(rows_max) == 0)
        return NULL;
    memset(mem, 0, symtab_footprint(rows_max));
    t->rows_max = rows_max;
    t->hash_slots = hash_slots_for(rows_max);
    atomics_store_release_u64(&t->magic, SYMTAB_MAGIC);
    return t;
}

struct symtab *symtab_join(void *mem, size_t bytes)
{
    struct symtab *t = mem;
    if (!object_is(mem, bytes, sizeof *t, SYMTAB_MAGIC))
        return NULL;
    size_t need = symtab_footprint(t->rows_max);
    return need && need <= bytes && t->hash_slots == hash_slots_for(t->rows_max) ? t : NULL;
}

uint32_t symtab_count(const struct symtab *t)
{
    return atomics_load_acquire_u32(&t->count);
}

uint32_t symtab_rows_max(const struct symtab *t)
{
    return t->rows_max;
}

/* Low bits of the same hash are the bucket; the high ones are spread within a bucket too. */
static uint32_t first_slot(const struct symtab *t, const char *name, size_t len)
{
    return (uint32_t)(XXH3_64bits(name, len) >> 32) & (t->hash_slots - 1);
}

/* The slot of the name, or the first one that could take it: empty, or left by an add that was not completed
 * (its id is not below count, and is the next to be given). */
static uint32_t find_slot(const struct symtab *t, const char *name, size_t len, int64_t *id)
{
    const uint32_t *hash = hash_table(t);
    uint32_t count = symtab_count(t), mask = t->hash_slots - 1;
    uint32_t at = first_slot(t, name, len);
    *id = -1;
    for (uint32_t tried = 0; tried < t->hash_slots; tried++, at = (at + 1) & mask) {
        uint32_t entry = atomics_load_acquire_u32(&hash[at]);
        if (entry == 0 || entry - 1 >= count)
            return at;
        const struct symtab_identity *known = &t->rows[entry - 1].identity;
        if (known->name_len == len && memcmp(known->name, name, len) == 0) {
            *id = entry - 1;
            return at;
        }
    }
    return UINT32_MAX;
}

int64_t symtab_find(const struct symtab *t, const char *name, size_t len)
{
    int64_t id;
    if (len > 0 && len <= SYMTAB_NAME_MAX)
        find_slot(t, name, len, &id);
    else
        id = -1;
    return id;
}

int64_t symtab_add(struct symtab *t, const struct symtab_identity *identity)
{
    uint32_t id = symtab_count(t);
    assert(identity->name_len > 0 && identity->name_len <= SYMTAB_NAME_MAX);
    if (id == t->rows_max)
        return -1;
    int64_t known;
    uint32_t slot = find_slot(t, identity->name, identity->name_len, &known);
    assert(known < 0 && slot != UINT32_MAX);

    struct symtab_identity *to = &t->rows[id].identity;
    *to = *identity;
    to->name[to->name_len] = 0;
    /* Until count is stored, readers take this entry for none: a crash in between leaves nothing behind. */
    atomics_store_release_u32(&hash_table(t)[slot], id + 1);
    atomics_store_release_u32(&t->count, id + 1);
    return id;
}

const struct symtab_identity *symtab_identity(const struct symtab *t, uint32_t id)
{
    assert(id < symtab_count(t));
    return &t->rows[id].identity;
}

void symtab_set_trade(struct symtab *t, uint32_t id, const struct symtab_trade *trade)
{
    assert(id < t->rows_max);
    seqlock_write(&t->rows[id].trade_seq, t->rows[id].trade, trade, TRADE_WORDS);
}

void symtab_set_quote(struct symtab *t, uint32_t id, const struct symtab_quote *quote)
{
    assert(id < t->rows_max);
    seqlock_write(&t->rows[id].quote_seq, t->rows[id].quote, quote, QUOTE_WORDS);
}

void symtab_set_live(struct symtab *t, uint32_t id, const struct symtab_live *live)
{
    assert(id < t->rows_max);
    seqlock_write(&t->rows[id].live_seq, t->rows[id].live, live, LIVE_WORDS);
}

int symtab_read(const struct symtab *t, uint32_t id, struct symtab_row *row)
{
    if (id >= symtab_count(t))
        return SYMTAB_NONE;
    const struct row *r = &t->rows[id];
    row->identity = r->identity;
    bool trade = seqlock_read(&r->trade_seq, r->trade, &row->trade, TRADE_WORDS);
    bool quote = seqlock_read(&r->quote_seq, r->quote, &row->quote, QUOTE_WORDS);
    bool live = seqlock_read(&r->live_seq, r->live, &row->live, LIVE_WORDS);
    return trade && quote && live ? 0 : SYMTAB_TORN;
}
