#include "shm/counters.h"

#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define COUNTERS_MAGIC UINT64_C(0x31746e756f636e72) /* "rncount1" */

/* Label names, ID_labels for each F row. */
#define X(name) #name,
static const char *const LOOP_CYCLES_labels[] = {LOOP_REGIMES(X)};
#undef X
#define X(name, text) text,
static const char *const INGEST_MESSAGES_labels[] = {MSG_TYPES(X)};
#undef X
#define X(name, text, help) text,
static const char *const INGEST_REJECTED_labels[] = {REJECT_REASONS(X)};
#undef X
#define LABELS(a) (sizeof(a) / sizeof(a)[0])
_Static_assert(LABELS(LOOP_CYCLES_labels) == LOOP_CYCLES_LAST - LOOP_CYCLES + 1, "a name for each regime");

enum { counter = 0, gauge = 1 }; /* the kinds of the C rows */
#define C(id, name, kind, unit, help)         {name, unit, help, NULL, NULL, id, 1, kind},
#define F(id, name, unit, label, count, help) {name, unit, help, label, id##_labels, id, count, counter},
#define X(name, help)                         {#name, "", help, NULL, NULL, SCANNER_ENGINE_##name, 1, counter},
static const struct counter_desc loop_table[] = {LOOP_COUNTERS(C, F)};
static const struct counter_desc ingest_table[] = {LOOP_COUNTERS(C, F) INGEST_COUNTERS(C, F)};
static const struct counter_desc scanner_table[] = {LOOP_COUNTERS(C, F) ENGINE_COUNTERS(X)
                                                        SCANNER_COUNTERS(C, F)};
static const struct counter_desc market_table[] = {LOOP_COUNTERS(C, F) MARKET_COUNTERS(C, F)};
static const struct counter_desc publisher_table[] = {LOOP_COUNTERS(C, F) PUBLISHER_COUNTERS(C, F)};
static const struct counter_desc sink_table[] = {LOOP_COUNTERS(C, F) SINK_COUNTERS(C, F)};
static const struct counter_desc supervisor_table[] = {LOOP_COUNTERS(C, F) SUPERVISOR_COUNTERS(C, F)};
#undef C
#undef F
#undef X

#define H(id, name, unit, help) {name, unit, help},
static const struct histogram_desc loop_histograms[] = {LOOP_HISTOGRAMS(H)};
static const struct histogram_desc ingest_histograms[] = {LOOP_HISTOGRAMS(H) INGEST_HISTOGRAMS(H)};
static const struct histogram_desc publisher_histograms[] = {LOOP_HISTOGRAMS(H) PUBLISHER_HISTOGRAMS(H)};
static const struct histogram_desc sink_histograms[] = {LOOP_HISTOGRAMS(H) SINK_HISTOGRAMS(H)};
#undef H

/* What each role has; those without an entry have the loop's. */
#define TABLE(c, values, h)                                                                                  \
    {                                                                                                        \
        c, LABELS(c), values, h, LABELS(h)                                                                   \
    }
static const struct role_table {
    const struct counter_desc *counters;
    unsigned rows, values;
    const struct histogram_desc *histograms;
    unsigned histogram_count;
} role_tables[ROLE_COUNT] = {
    [ROLE_INGEST] = TABLE(ingest_table, INGEST_COUNTER_COUNT, ingest_histograms),
    [ROLE_SCANNER] = TABLE(scanner_table, SCANNER_COUNTER_COUNT, loop_histograms),
    [ROLE_MARKET] = TABLE(market_table, MARKET_COUNTER_COUNT, loop_histograms),
    [ROLE_LEDGER] = TABLE(loop_table, LOOP_COUNTER_COUNT, loop_histograms),
    [ROLE_PUBLISHER] = TABLE(publisher_table, PUBLISHER_COUNTER_COUNT, publisher_histograms),
    [ROLE_SINK] = TABLE(sink_table, SINK_COUNTER_COUNT, sink_histograms),
    [ROLE_GATEWAY] = TABLE(loop_table, LOOP_COUNTER_COUNT, loop_histograms),
    [ROLE_SUPERVISOR] = TABLE(supervisor_table, SUPERVISOR_COUNTER_COUNT, loop_histograms),
};

const struct counter_desc *counters_table(enum role_kind role, unsigned *n)
{
    assert((unsigned)role < ROLE_COUNT);
    *n = role_tables[role].rows;
    return role_tables[role].counters;
}

const struct histogram_desc *histograms_table(enum role_kind role, unsigned *n)
{
    assert((unsigned)role < ROLE_COUNT);
    *n = role_tables[role].histogram_count;
    return role_tables[role].histograms;
}

static void hash_text(XXH3_state_t *state, const char *text)
{
    XXH3_64bits_update(state, text, strlen(text) + 1);
}

/* Help texts may change without harm; names, units, kinds and places may not. */
uint64_t counters_schema_hash(void)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (unsigned role = 0; role < ROLE_COUNT; role++) {
        const struct role_table *t = &role_tables[role];
        hash_text(&state, role_name(role));
        for (unsigned i = 0; i < t->rows; i++) {
            const struct counter_desc *d = &t->counters[i];
            uint32_t numbers[3] = {d->first, d->count, d->gauge};
            hash_text(&state, d->name);
            hash_text(&state, d->unit);
            XXH3_64bits_update(&state, numbers, sizeof numbers);
            for (unsigned k = 0; d->label && k < d->count; k++)
                hash_text(&state, d->label_names[k]);
        }
        for (unsigned i = 0; i < t->histogram_count; i++) {
            hash_text(&state, t->histograms[i].name);
            hash_text(&state, t->histograms[i].unit);
        }
    }
    return XXH3_64bits_digest(&state);
}

size_t counters_align(void)
{
    return OBJECT_ALIGN;
}

size_t counters_footprint(enum role_kind role)
{
    if ((unsigned)role >= ROLE_COUNT)
        return 0;
    return object_round(sizeof(struct counters) + role_tables[role].values * sizeof(uint64_t));
}

struct counters *counters_new(void *mem, enum role_kind role)
{
    struct counters *c = mem;
    if (!object_aligned(mem) || counters_footprint(role) == 0)
        return NULL;
    memset(mem, 0, counters_footprint(role));
    c->role = role;
    c->count = role_tables[role].values;
    atomics_store_release_u64(&c->magic, COUNTERS_MAGIC);
    return c;
}

struct counters *counters_join(void *mem, size_t bytes, enum role_kind role)
{
    struct counters *c = mem;
    if (!object_is(mem, bytes, sizeof *c, COUNTERS_MAGIC) || c->role != (uint32_t)role)
        return NULL;
    size_t need = counters_footprint(role);
    return need && need <= bytes && c->count == role_tables[role].values ? c : NULL;
}

enum { LABEL_WORDS = (COUNTERS_LABEL_MAX + 1) / 8 };

void counters_set_label(struct counters *c, const char *text)
{
    uint64_t words[LABEL_WORDS] = {0};
    memcpy(words, text, strnlen(text, COUNTERS_LABEL_MAX));
    for (int i = 0; i < LABEL_WORDS; i++)
        atomics_store_relaxed_u64(&c->label[i], words[i]);
}

void counters_label(const struct counters *c, char out[COUNTERS_LABEL_MAX + 1])
{
    uint64_t words[LABEL_WORDS];
    for (int i = 0; i < LABEL_WORDS; i++)
        words[i] = atomics_load_relaxed_u64(&c->label[i]);
    memcpy(out, words, sizeof words);
    out[COUNTERS_LABEL_MAX] = 0;
}

size_t histograms_footprint(enum role_kind role)
{
    return (unsigned)role < ROLE_COUNT ? role_tables[role].histogram_count * histogram_footprint() : 0;
}

void histograms_new(void *mem, enum role_kind role)
{
    assert(histograms_footprint(role));
    for (unsigned i = 0; i < role_tables[role].histogram_count; i++)
        histogram_new((char *)mem + i * histogram_footprint());
}

struct histogram *histograms_join(void *mem, size_t bytes, enum role_kind role, unsigned id)
{
    size_t at = id * histogram_footprint();
    if (!mem || (unsigned)role >= ROLE_COUNT || id >= role_tables[role].histogram_count || at > bytes)
        return NULL;
    return histogram_join((char *)mem + at, bytes - at);
}
