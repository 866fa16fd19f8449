#include "shm/errlog.h"

#include "shm/object.h"

#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ERRLOG_MAGIC UINT64_C(0x31676f6c72726572) /* "rerrlog1" */

enum { RECORDS_MAX = 1 << 16, TEXT_WORDS = (ERRLOG_TEXT_MAX + 1) / 8 };

struct record {
    uint64_t hash;  /* of role, index and text; 0 = free. Whoever sets it from 0 has taken the record */
    uint64_t ready; /* 1 once who and text are there */
    uint64_t count;
    uint64_t first_ns, last_ns;
    uint64_t who; /* role << 32 | index */
    uint64_t text[TEXT_WORDS];
};
_Static_assert(sizeof(struct record) == 256, "four lines");

struct errlog {
    uint64_t magic;
    uint32_t records_max;
    uint32_t pad;
    uint64_t dropped;
    struct record records[] __attribute__((aligned(OBJECT_ALIGN)));
};

/* The only locked instructions of shared memory are here: several processes write. */
static bool take(uint64_t *word, uint64_t *seen, uint64_t value)
{
    return __atomic_compare_exchange_n(word, seen, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static uint64_t count_up(uint64_t *word)
{
    return __atomic_add_fetch(word, 1, __ATOMIC_RELAXED);
}

size_t errlog_align(void)
{
    return OBJECT_ALIGN;
}

size_t errlog_footprint(uint32_t records_max)
{
    if (records_max == 0 || records_max > RECORDS_MAX)
        return 0;
    return sizeof(struct errlog) + records_max * sizeof(struct record);
}

struct errlog *errlog_new(void *mem, uint32_t records_max)
{
    struct errlog *l = mem;
    if (!object_aligned(mem) || errlog_footprint(records_max) == 0)
        return NULL;
    memset(mem, 0, errlog_footprint(records_max));
    l->records_max = records_max;
    atomics_store_release_u64(&l->magic, ERRLOG_MAGIC);
    return l;
}

struct errlog *errlog_join(void *mem, size_t bytes)
{
    struct errlog *l = mem;
    if (!object_is(mem, bytes, sizeof *l, ERRLOG_MAGIC))
        return NULL;
    size_t need = errlog_footprint(l->records_max);
    return need && need <= bytes ? l : NULL;
}

/* The record of this error, taken now if it is new; NULL if all are others'. */
static struct record *find(struct errlog *l, uint64_t hash)
{
    for (uint32_t i = 0; i < l->records_max; i++) {
        struct record *r = &l->records[(hash + i) % l->records_max];
        uint64_t seen = 0;
        if (take(&r->hash, &seen, hash) || seen == hash)
            return r;
    }
    return NULL;
}

uint64_t errlog_record(struct errlog *l, unsigned role, uint32_t index, int64_t now_ns, const char *text)
{
    uint64_t words[TEXT_WORDS] = {0};
    size_t len = strnlen(text, ERRLOG_TEXT_MAX);
    memcpy(words, text, len);
    uint64_t who = (uint64_t)role << 32 | index;
    uint64_t hash = XXH3_64bits_withSeed(words, len, who);
    struct record *r = find(l, hash ? hash : 1);
    if (!r) {
        count_up(&l->dropped);
        return 0;
    }
    uint64_t times = count_up(&r->count);
    atomics_store_relaxed_u64(&r->last_ns, (uint64_t)now_ns);
    /* Whoever finds it not ready writes it, since its taker may be dead; two that do so write the same. */
    if (!atomics_load_acquire_u64(&r->ready)) {
        for (int i = 0; i < TEXT_WORDS; i++)
            atomics_store_relaxed_u64(&r->text[i], words[i]);
        atomics_store_relaxed_u64(&r->who, who);
        atomics_store_relaxed_u64(&r->first_ns, (uint64_t)now_ns);
        atomics_store_release_u64(&r->ready, 1);
    }
    return times;
}

bool errlog_next(const struct errlog *l, uint32_t *at, struct errlog_entry *entry)
{
    for (; *at < l->records_max; (*at)++) {
        const struct record *r = &l->records[*at];
        if (!atomics_load_acquire_u64(&r->ready))
            continue;
        uint64_t words[TEXT_WORDS];
        for (int i = 0; i < TEXT_WORDS; i++)
            words[i] = atomics_load_relaxed_u64(&r->text[i]);
        memcpy(entry->text, words, sizeof entry->text);
        entry->text[ERRLOG_TEXT_MAX] = 0;
        uint64_t who = atomics_load_relaxed_u64(&r->who);
        entry->role = (uint16_t)(who >> 32);
        entry->index = (uint16_t)who;
        entry->count = atomics_load_relaxed_u64(&r->count);
        entry->first_ns = (int64_t)atomics_load_relaxed_u64(&r->first_ns);
        entry->last_ns = (int64_t)atomics_load_relaxed_u64(&r->last_ns);
        (*at)++;
        return true;
    }
    return false;
}

uint64_t errlog_dropped(const struct errlog *l)
{
    return atomics_load_relaxed_u64(&l->dropped);
}
