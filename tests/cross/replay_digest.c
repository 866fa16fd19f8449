/* Applies raw message slots from a file (ringtape replay --messages) to the engine and prints every event,
 * bit for bit. A second argument is how many messages a call gets at most. Core alone, so that it builds for
 * any machine: the test compares what two of them print. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/engine.h"

static const struct engine_limits limits = {.symbols = 600,
                                            .ids = 600,
                                            .rules = 10000,
                                            .metrics = 512,
                                            .fires = 1 << 16,
                                            .bars = 2048,
                                            .trades = 1 << 20,
                                            .alerts = 1 << 16};

static void print(const struct msg *m)
{
    uint32_t n = msg_slot_count(m);
    printf("%s %" PRIu64 " %u %" PRId64, msg_type_name(m->type), m->seq, m->symbol, m->event_ns);
    uint8_t payload[MSG_PAYLOAD_MAX];
    size_t bytes = n == 1 ? MSG_FIRST_BYTES : MSG_FIRST_BYTES + (n - 1) * (size_t)MSG_CONT_BYTES;
    msg_get(m, 0, payload, bytes);
    putchar(' ');
    for (size_t i = 0; i < bytes; i++)
        printf("%02x", payload[i]);
    putchar('\n');
}

static void *zeroed(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        exit(2);
    return p;
}

int main(int argc, char **argv)
{
    static struct msg batch[4096];
    size_t most = argc == 3 ? strtoul(argv[2], NULL, 10) : 4096;
    FILE *in = (argc == 2 || argc == 3) && most ? fopen(argv[1], "rb") : NULL;
    if (!in) {
        fprintf(stderr, "usage: replay_digest MESSAGES [BATCH]\n");
        return 2;
    }
    struct engine *e = engine_new(zeroed(engine_footprint(&limits)), &limits,
                                  zeroed(limits.rules * sizeof(struct rule_stats)));
    struct engine_out out = {.capacity = engine_out_capacity(&limits)};
    out.slot = zeroed(out.capacity * sizeof *out.slot);
    size_t have = 0, got;
    while ((got = fread(batch + have, sizeof *batch, 4096 - have, in)) > 0 || have) {
        have += got;
        size_t whole = 0; /* slots of whole records */
        while (whole < have && msg_valid(&batch[whole], have - whole))
            whole += msg_slot_count(&batch[whole]);
        if (!whole)
            break;
        for (size_t at = 0; at < whole; out.used = 0) {
            size_t n = 0;
            for (size_t k = 0; k < most && at + n < whole; k++)
                n += msg_slot_count(&batch[at + n]);
            at += engine_apply(e, batch + at, n, &out);
            for (uint32_t k = 0; k < out.used; k += msg_slot_count(&out.slot[k]))
                print(&out.slot[k]);
        }
        memmove(batch, batch + whole, (have - whole) * sizeof *batch);
        have -= whole;
    }
    fclose(in);
    return have ? 1 : 0;
}
