#include "shm/ruletab.h"

#include "shm/object.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define RULETAB_MAGIC    UINT64_C(0x31656c7572676e72) /* "rngrule1" */
#define RULE_STATS_MAGIC UINT64_C(0x3174617473656c72) /* "rlestat1" */

enum { SLOTS_MAX = 1 << 20 };

struct slot {
    uint64_t offset; /* in the text */
    uint32_t len;    /* stored last, with release: 0 = nothing here */
    uint32_t flags;
};

struct ruletab {
    uint64_t magic;
    uint64_t text_bytes;
    uint32_t slots_max;
    uint32_t pad;
    uint64_t used __attribute__((aligned(OBJECT_ALIGN)));
    uint32_t count;
    struct slot slots[] __attribute__((aligned(OBJECT_ALIGN)));
};

static char *text(const struct ruletab *t)
{
    return (char *)(uintptr_t)(t->slots + t->slots_max);
}

size_t ruletab_align(void)
{
    return OBJECT_ALIGN;
}

size_t ruletab_footprint(uint32_t slots_max, uint64_t text_bytes)
{
    if (slots_max == 0 || slots_max > SLOTS_MAX || text_bytes == 0 || text_bytes > UINT32_MAX)
        return 0;
    return object_round(sizeof(struct ruletab) + slots_max * sizeof(struct slot) + text_bytes);
}

struct ruletab *ruletab_new(void *mem, uint32_t slots_max, uint64_t text_bytes)
{
    struct ruletab *t = mem;
    if (!object_aligned(mem) || ruletab_footprint(slots_max, text_bytes) == 0)
        return NULL;
    memset(mem, 0, sizeof *t + slots_max * sizeof(struct slot));
    t->slots_max = slots_max;
    t->text_bytes = text_bytes;
    atomics_store_release_u64(&t->magic, RULETAB_MAGIC);
    return t;
}

struct ruletab *ruletab_join(void *mem, size_t bytes)
{
    struct ruletab *t = mem;
    if (!object_is(mem, bytes, sizeof *t, RULETAB_MAGIC))
        return NULL;
    size_t need = ruletab_footprint(t->slots_max, t->text_bytes);
    return need && need <= bytes ? t : NULL;
}

int ruletab_put(struct ruletab *t, uint32_t slot, const void *bytes, size_t len, uint32_t flags)
{
    assert(len > 0 && len <= INT32_MAX);
    if (slot >= t->slots_max)
        return RULETAB_SLOT;
    struct slot *s = &t->slots[slot];
    if (s->len) {
        if (s->len != len || memcmp(text(t) + s->offset, bytes, len) != 0)
            return RULETAB_TAKEN;
    } else {
        if (len > t->text_bytes - t->used)
            return RULETAB_FULL;
        memcpy(text(t) + t->used, bytes, len);
        s->offset = t->used;
        /* Text first: a crash before the slot is stored loses room, never gives it twice. */
        atomics_store_relaxed_u64(&t->used, t->used + len);
    }
    atomics_store_relaxed_u32(&s->flags, flags);
    atomics_store_release_u32(&s->len, (uint32_t)len);
    if (slot >= t->count)
        atomics_store_release_u32(&t->count, slot + 1);
    return 0;
}

bool ruletab_get(const struct ruletab *t, uint32_t slot, struct rule_blob *blob)
{
    if (slot >= t->slots_max)
        return false;
    const struct slot *s = &t->slots[slot];
    blob->len = atomics_load_acquire_u32(&s->len);
    if (blob->len == 0)
        return false;
    blob->bytes = text(t) + s->offset;
    blob->flags = atomics_load_relaxed_u32(&s->flags);
    return true;
}

void ruletab_set_flags(struct ruletab *t, uint32_t slot, uint32_t flags)
{
    assert(slot < t->slots_max && t->slots[slot].len);
    atomics_store_relaxed_u32(&t->slots[slot].flags, flags);
}

uint32_t ruletab_count(const struct ruletab *t)
{
    return atomics_load_acquire_u32(&t->count);
}

uint64_t ruletab_bytes_used(const struct ruletab *t)
{
    return atomics_load_relaxed_u64(&t->used);
}

struct rule_stats_table {
    uint64_t magic;
    uint32_t slots_max;
    struct rule_stats rows[] __attribute__((aligned(OBJECT_ALIGN)));
};

enum { STATS_WORDS = sizeof(struct rule_stats) / sizeof(uint64_t) };

size_t rule_stats_align(void)
{
    return OBJECT_ALIGN;
}

size_t rule_stats_footprint(uint32_t slots_max)
{
    if (slots_max == 0 || slots_max > SLOTS_MAX)
        return 0;
    return object_round(sizeof(struct rule_stats_table) + slots_max * sizeof(struct rule_stats));
}

struct rule_stats_table *rule_stats_new(void *mem, uint32_t slots_max)
{
    struct rule_stats_table *t = mem;
    if (!object_aligned(mem) || rule_stats_footprint(slots_max) == 0)
        return NULL;
    memset(mem, 0, rule_stats_footprint(slots_max));
    t->slots_max = slots_max;
    atomics_store_release_u64(&t->magic, RULE_STATS_MAGIC);
    return t;
}

struct rule_stats_table *rule_stats_join(void *mem, size_t bytes)
{
    struct rule_stats_table *t = mem;
    if (!object_is(mem, bytes, sizeof *t, RULE_STATS_MAGIC))
        return NULL;
    size_t need = rule_stats_footprint(t->slots_max);
    return need && need <= bytes ? t : NULL;
}

struct rule_stats *rule_stats_rows(struct rule_stats_table *t)
{
    return t->rows;
}

uint32_t rule_stats_count(const struct rule_stats_table *t)
{
    return t->slots_max;
}

void rule_stats_add(const struct rule_stats_table *t, uint32_t slot, struct rule_stats *sum)
{
    assert(slot < t->slots_max);
    const uint64_t *from = (const uint64_t *)&t->rows[slot];
    uint64_t *to = (uint64_t *)sum;
    for (int i = 0; i < STATS_WORDS; i++)
        to[i] += atomics_load_relaxed_u64(&from[i]);
}
