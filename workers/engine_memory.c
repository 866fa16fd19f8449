#include "workers/engine_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

void engine_limits_from(const struct settings *s, struct engine_limits *l)
{
    *l = (struct engine_limits){.symbols = (uint32_t)s->limits_symbols,
                                .ids = (uint32_t)s->limits_symbols,
                                .rules = (uint32_t)s->limits_rules,
                                .metrics = (uint32_t)s->limits_metrics,
                                .fires = (uint32_t)s->limits_fires,
                                .bars = 2048,
                                .trades = (uint32_t)s->limits_trades,
                                .alerts = (uint32_t)s->limits_alerts};
    while (l->bars < s->bars_keep + 1440)
        l->bars *= 2;
}

static size_t align(size_t n)
{
    return (n + 4095) & ~(size_t)4095;
}

int engine_memory_open(struct engine_memory *m, const struct settings *s, struct rule_stats *stats,
                       struct error *err)
{
    struct engine_limits l;
    engine_limits_from(s, &l);
    l.asked = m->asked;
    size_t engine = align(engine_footprint(&l)),
           out = align((size_t)engine_out_capacity(&l) * sizeof(struct msg)),
           own = stats ? 0 : align(l.rules * sizeof *stats);
    m->bytes = engine + out + own;
    m->mem = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->mem == MAP_FAILED)
        return error_set(
            err,
            "no memory for the engine (%zu MiB of address space: %s); lower limits.symbols or limits.rules",
            m->bytes >> 20, strerror(errno));
    uint8_t *at = m->mem; /* huge pages are refused where there are none: slower, no more */
    madvise(at, engine_hot_bytes(&l), MADV_HUGEPAGE);
    madvise(at + engine, out + own, MADV_HUGEPAGE);
    m->out = (struct engine_out){.slot = (struct msg *)(at + engine), .capacity = engine_out_capacity(&l)};
    m->stats = stats ? stats : (struct rule_stats *)(at + engine + out);
    m->engine = engine_new(at, &l, m->stats);
    return 0;
}

void engine_memory_close(struct engine_memory *m)
{
    if (m->mem && m->mem != MAP_FAILED)
        munmap(m->mem, m->bytes);
    m->mem = NULL;
}
