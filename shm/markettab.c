#include "shm/markettab.h"

#include "shm/object.h"
#include "shm/seqlock.h"

#include <assert.h>

#define MARKETTAB_MAGIC UINT64_C(0x32746b72616d6e72) /* "rnmarkt2" */

enum {
    SECOND_WORDS = sizeof(struct market_second) / sizeof(uint64_t),
    LIST_WORDS = sizeof(struct market_list) / sizeof(uint64_t),
    READS = 100, /* a reader that fails so often is slower than seconds come */
};

struct markettab {
    uint64_t magic;
    uint32_t rows_max, keys;
    uint64_t shown __attribute__((aligned(OBJECT_ALIGN))); /* the copy is this & 1 */
    struct {
        uint64_t seq; /* odd while it is written */
        uint64_t second[SECOND_WORDS];
    } copy[2] __attribute__((aligned(OBJECT_ALIGN)));
    char key[TOPLIST_KEYS_MAX][METRIC_NAME_MAX]; /* names of metrics */
    uint64_t lists_seq, lists;
    uint64_t list[MARKETTAB_LISTS * LIST_WORDS];
    uint64_t word[] __attribute__((aligned(OBJECT_ALIGN))); /* rows of the two copies */
};

size_t markettab_align(void)
{
    return OBJECT_ALIGN;
}

size_t markettab_footprint(uint32_t rows_max, uint32_t keys)
{
    if (rows_max == 0 || rows_max > SYMTAB_ROWS_MAX || keys > TOPLIST_KEYS_MAX)
        return 0;
    return object_round(sizeof(struct markettab) +
                        2ul * rows_max * (TOPLIST_COLUMNS + keys) * sizeof(uint64_t));
}

struct markettab *markettab_new(void *mem, uint32_t rows_max, uint32_t keys)
{
    struct markettab *t = mem;
    if (!object_aligned(mem) || markettab_footprint(rows_max, keys) == 0)
        return NULL;
    memset(mem, 0, sizeof *t);
    t->rows_max = rows_max;
    t->keys = keys;
    atomics_store_release_u64(&t->magic, MARKETTAB_MAGIC);
    return t;
}

struct markettab *markettab_join(void *mem, size_t bytes)
{
    struct markettab *t = mem;
    if (!object_is(mem, bytes, sizeof *t, MARKETTAB_MAGIC))
        return NULL;
    size_t need = markettab_footprint(t->rows_max, t->keys);
    return need && need <= bytes ? t : NULL;
}

uint32_t markettab_rows_max(const struct markettab *t)
{
    return t->rows_max;
}

void markettab_set_keys(struct markettab *t, const struct toplist_keys *k)
{
    assert(k->n == t->keys);
    for (uint32_t i = 0; i < k->n; i++)
        metric_name(&k->metric[i], t->key[i]);
}

int markettab_keys(const struct markettab *t, struct toplist_keys *k, struct error *err)
{
    k->n = t->keys;
    for (uint32_t i = 0; i < k->n; i++)
        if (metric_parse(t->key[i], strnlen(t->key[i], METRIC_NAME_MAX), &k->metric[i], err) < 0) {
            k->n = 0;
            return error_set(err, "toplists: the workspace names what is no metric; restart the instance");
        }
    return 0;
}

uint32_t markettab_columns(const struct markettab *t)
{
    return TOPLIST_COLUMNS + t->keys;
}

static size_t copy_at(const struct markettab *t, unsigned which)
{
    return (size_t)which * t->rows_max * markettab_columns(t);
}

void markettab_show(struct markettab *t, const struct market_second *second, const double *value)
{
    uint64_t shown = atomics_load_relaxed_u64(&t->shown) + 1;
    unsigned which = shown & 1;
    uint64_t *seq = &t->copy[which].seq, odd = atomics_load_relaxed_u64(seq) | 1;
    assert(second->rows <= t->rows_max);
    atomics_store_relaxed_u64(seq, odd);
    const struct {
        uint64_t *to;
        const void *from;
        size_t words;
    } parts[] = {{t->copy[which].second, second, SECOND_WORDS},
                 {t->word + copy_at(t, which), value, second->rows * markettab_columns(t)}};
    for (unsigned p = 0; p < 2; p++)
        for (size_t i = 0; i < parts[p].words; i++) {
            uint64_t w;
            SEQLOCK_HOOK(write);
            memcpy(&w, (const char *)parts[p].from + i * sizeof w, sizeof w);
            atomics_store_release_u64(&parts[p].to[i], w);
        }
    atomics_store_release_u64(seq, odd + 1);
    atomics_store_release_u64(&t->shown, shown);
}

uint64_t markettab_shown(const struct markettab *t)
{
    return atomics_load_acquire_u64(&t->shown);
}

static void load(const uint64_t *from, void *to, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t w = atomics_load_acquire_u64(&from[i]);
        memcpy((char *)to + i * sizeof w, &w, sizeof w);
    }
}

int markettab_read(const struct markettab *t, struct market_second *second, double *value)
{
    for (int i = 0; i < READS; i++) {
        uint64_t shown = markettab_shown(t);
        unsigned which = shown & 1;
        if (shown == 0)
            return MARKETTAB_NONE;
        uint64_t before = atomics_load_acquire_u64(&t->copy[which].seq);
        load(t->copy[which].second, second, SECOND_WORDS);
        SEQLOCK_HOOK(read);
        if ((before & 1) || second->rows > t->rows_max)
            continue;
        load(t->word + copy_at(t, which), value, second->rows * markettab_columns(t));
        SEQLOCK_HOOK(read);
        if (atomics_load_relaxed_u64(&t->copy[which].seq) == before)
            return 0;
    }
    return MARKETTAB_TORN;
}

void markettab_rank(const struct markettab *t, const struct market_second *second, const double *value,
                    const struct symtab *names, const struct toplist_condition *condition,
                    struct toplist_ranking *r)
{
    uint32_t n = symtab_count(names), columns = markettab_columns(t);
    r->n = 0;
    for (uint32_t i = 0; i < second->rows && i < n; i++, value += columns) {
        const struct symtab_identity *id = symtab_identity(names, i);
        struct toplist_row row = {.name = id->name, .name_len = id->name_len, .symbol = i};
        int64_t key[TOPLIST_KEYS_MAX];
        toplist_pick(r->list, value, row.value);
        memcpy(key, value + TOPLIST_COLUMNS, t->keys * sizeof *key);
        if (toplist_meets(condition, key))
            toplist_offer(r, &row);
    }
    toplist_sort(r);
}

void markettab_set_lists(struct markettab *t, const struct market_list *list, uint32_t n)
{
    uint64_t odd = atomics_load_relaxed_u64(&t->lists_seq) | 1;
    assert(n <= MARKETTAB_LISTS);
    atomics_store_relaxed_u64(&t->lists_seq, odd);
    atomics_store_release_u64(&t->lists, n);
    for (size_t i = 0; i < (size_t)n * LIST_WORDS; i++) {
        uint64_t w;
        memcpy(&w, (const char *)list + i * sizeof w, sizeof w);
        atomics_store_release_u64(&t->list[i], w);
    }
    atomics_store_release_u64(&t->lists_seq, odd + 1);
}

int markettab_lists(const struct markettab *t, struct market_list list[MARKETTAB_LISTS])
{
    for (int i = 0; i < READS; i++) {
        uint64_t before = atomics_load_acquire_u64(&t->lists_seq);
        uint64_t n = atomics_load_acquire_u64(&t->lists);
        if ((before & 1) || n > MARKETTAB_LISTS) {
            atomics_pause();
            continue;
        }
        load(t->list, list, n * LIST_WORDS);
        if (atomics_load_relaxed_u64(&t->lists_seq) == before)
            return (int)n;
    }
    return MARKETTAB_TORN;
}
