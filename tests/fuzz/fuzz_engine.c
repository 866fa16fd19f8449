/* The engine over what a file or shared memory may hold: bytes as slots, each record through msg_valid, then
 * applied. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct engine_limits limits = {
    .symbols = 3, .ids = 5, .rules = 6, .metrics = 12, .fires = 4, .bars = 2048, .trades = 100, .alerts = 20};

static void *memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void *mem;
    static struct rule_stats stats[6];
    static struct engine_out out;
    size_t n = size / sizeof(struct msg), at = 0;
    if (n == 0)
        return 0;
    if (!mem) {
        mem = memory(engine_footprint(&limits));
        out.capacity = engine_out_capacity(&limits);
        out.slot = memory(out.capacity * sizeof *out.slot);
    }
    madvise(mem, engine_footprint(&limits), MADV_DONTNEED); /* zeroes it */
    struct engine *e = engine_new(mem, &limits, stats);
    struct msg *m = aligned_alloc(64, n * sizeof *m);
    if (!m)
        abort();
    memcpy(m, data, n * sizeof *m);
    while (at < n && msg_valid(&m[at], n - at)) {
        size_t slots = msg_slot_count(&m[at]);
        while (engine_apply(e, &m[at], slots, &out) == 0)
            out.used = 0;
        for (uint32_t i = 0; i < out.used; i += msg_slot_count(&out.slot[i]))
            assert(msg_valid(&out.slot[i], out.used - i));
        out.used = 0;
        at += slots;
    }
    free(m);
    return 0;
}
