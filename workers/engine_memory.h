/* An engine in memory of its own, sized by the settings. */
#ifndef WORKERS_ENGINE_MEMORY_H
#define WORKERS_ENGINE_MEMORY_H

#include "core/engine.h"
#include "net/settings.h"

struct engine_memory {
    struct engine *engine;
    uint32_t asked; /* values that engine_ask may name; set before the open */
    struct engine_out out;
    struct rule_stats *stats; /* own, or the caller's */
    void *mem;
    size_t bytes;
};

void engine_limits_from(const struct settings *s, struct engine_limits *l);

/* `stats`: limits.rules entries, or NULL for memory of its own. 0, or -1 with err. Pages come as they are
 * touched. */
int engine_memory_open(struct engine_memory *m, const struct settings *s, struct rule_stats *stats,
                       struct error *err);
void engine_memory_close(struct engine_memory *m);

#endif
