/* What a tick costs in the engine, beside the least code that does the same arithmetic (bare_loop.h), on the
 * same messages in turn: a portion is stamped into a buffer of a tick ring's size, then both go over it, in
 * spans as a ring gives them. One line of JSON for each row.
 *
 *   engine TAPE [--quick] [--kind bars_hot] [--rules N] [--alone]     --alone: the engine only, for a
 * profiler
 */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/bare_loop.h"
#include "bench/ticks.h"
#include "net/rules_file.h"
#include "workers/engine_memory.h"

enum { PORTION = 65536, SPAN = 256, REPETITIONS_MAX = 16, DROPPED_MAX = 40 };

struct bench {
    enum bare_kind kind;
    bool cold, quick, alone;
    uint32_t rules;
    struct ticks *ticks;
    struct engine_memory memory;
    struct bare bare;
    struct msg *portion;
};

struct figures {
    double ours, theirs; /* ns per tick */
    uint64_t ticks, dropped;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long preemptions(void)
{
    struct rusage r;
    getrusage(RUSAGE_THREAD, &r);
    return r.ru_nivcsw;
}

static void expression(const struct bench *b, uint32_t i, char out[256])
{
    if (b->kind == BARE_PRICE)
        snprintf(out, 256, "price > %u", 100000 + i);
    else
        snprintf(out, 256, "change_pct_1m > %.3f and change_pct_5m > %.3f and rsi(14)@1m > %.1f",
                 0.02 + 0.001 * i, 0.05 + 0.002 * i, 50 + 0.2 * i);
}

static void add_rules(struct bench *b, struct msg *first, size_t *n)
{
    static const double start[BARE_METRICS] = {0.02, 0.05, 50}, step[BARE_METRICS] = {0.001, 0.002, 0.2};
    for (uint32_t i = 0; i < b->rules; i++) {
        char text[256];
        expression(b, i, text);
        struct rule r = {.version = 1,
                         .enabled = true,
                         .cooldown_ns = 10 * SECOND_NS,
                         .expr = text,
                         .expr_len = (uint32_t)strlen(text),
                         .symbols = "SPY",
                         .symbols_len = b->kind == BARE_PRICE && !b->cold ? 3 : 0};
        snprintf(r.id, sizeof r.id, "rule-%u", i);
        snprintf(r.name, sizeof r.name, "rule %u", i);
        *n += (size_t)rule_messages(&r, i, first + *n);
        b->bare.price_bound[i] = INT64_C(1000000000) * (100000 + i);
        for (int k = 0; k < BARE_METRICS; k++)
            b->bare.bound[k][i] = start[k] + step[k] * i;
    }
    b->bare.n = b->rules;
    b->bare.price_bound[b->rules] = INT64_MAX;
    for (int k = 0; k < BARE_METRICS; k++)
        b->bare.bound[k][b->rules] = INFINITY;
}

static void apply(struct bench *b, size_t n)
{
    struct engine_out *out = &b->memory.out;
    for (size_t at = 0; at < n;) {
        at += engine_apply(b->memory.engine, b->portion + at, n - at < SPAN ? n - at : SPAN, out);
        out->used = 0;
    }
}

static void open_bench(struct bench *b, const char *tape)
{
    static struct settings settings;
    static struct msg first[BARE_RULES_MAX * MSG_SLOTS_MAX];
    struct error err;
    size_t first_n = 0;
    settings_defaults(&settings);
    b->ticks = b->cold ? ticks_cold() : ticks_hot(tape, &err);
    if (!b->ticks || engine_memory_open(&b->memory, &settings, NULL, &err) < 0) {
        fprintf(stderr, "bench engine: %s\n", err.text);
        exit(1);
    }
    b->portion = aligned_alloc(64, PORTION * sizeof *b->portion);
    b->bare.symbol = aligned_alloc(64, ticks_symbols(b->ticks) * sizeof *b->bare.symbol);
    if (!b->portion || !b->bare.symbol)
        abort();
    memset(b->bare.symbol, 0, ticks_symbols(b->ticks) * sizeof *b->bare.symbol);
    b->bare.kind = b->kind;
    add_rules(b, first, &first_n);
    apply(b, ticks_open(b->ticks, first, first_n, b->portion, PORTION));
}

static void close_bench(struct bench *b)
{
    engine_memory_close(&b->memory);
    ticks_close(b->ticks);
    free(b->portion);
    free(b->bare.symbol);
}

/* A repetition of at least `want` ticks; portions during which the thread lost its CPU do not count. */
static struct figures measure(struct bench *b, uint64_t want, bool sparse)
{
    struct figures f = {0};
    while (f.ticks < want) {
        size_t n = ticks_next(b->ticks, sparse, b->portion, PORTION);
        uint64_t trades = engine_counters(b->memory.engine)->trades;
        long before = preemptions();
        int64_t t0 = now_ns(), t1, t2;
        apply(b, n);
        t1 = now_ns();
        if (!b->alone)
            bare_apply(&b->bare, b->portion, n, b->cold);
        t2 = now_ns();
        if (!b->alone && preemptions() != before && f.dropped++ < DROPPED_MAX)
            continue;
        f.ticks += engine_counters(b->memory.engine)->trades - trades;
        f.ours += (double)(t1 - t0);
        f.theirs += (double)(t2 - t1);
    }
    f.ours /= (double)f.ticks;
    f.theirs /= (double)f.ticks;
    return f;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void run(struct bench *b, const char *tape, const char *name)
{
    double ours[REPETITIONS_MAX], theirs[REPETITIONS_MAX], ratio[REPETITIONS_MAX];
    unsigned reps = b->quick ? 3 : 5;
    uint64_t want = b->quick ? 1500000 : b->cold ? 6000000 : 2600000;
    open_bench(b, tape);
    if (b->cold)
        measure(b, 600000, true); /* 20 minutes */
    measure(b, 1500000, false);
    struct engine_counters c0 = *engine_counters(b->memory.engine);
    uint64_t flips = b->bare.flips;
    for (unsigned i = 0; i < reps; i++) {
        struct figures f = measure(b, want, false);
        ours[i] = f.ours;
        theirs[i] = f.theirs;
        ratio[i] = f.theirs > 0 ? f.ours / f.theirs : 0;
    }
    struct engine_counters c = *engine_counters(b->memory.engine);
    double n = (double)(c.trades - c0.trades), mid = median(ours, reps);
    printf("{\"bench\":\"engine_ns_per_tick\",\"peer\":\"bare_loop\",\"placement\":\"one core\",\"rules\":%u,"
           "\"kind\":\"%s\",\"ours\":%.2f,\"theirs\":%.2f,\"ratio\":%.2f,\"unit\":\"ns\",\"runs\":%u,"
           "\"spread\":%.3f,"
           "\"note\":\"per tick %.3f flips (peer %.3f), %.4f alerts, %.3f clocks\"}\n",
           b->rules, name, mid, median(theirs, reps), median(ratio, reps), reps,
           (ours[reps - 1] - ours[0]) / mid, (double)(c.flips - c0.flips) / n,
           (double)(b->bare.flips - flips) / n, (double)(c.alerts - c0.alerts) / n,
           (double)(c.clocks - c0.clocks) / n);
    fflush(stdout);
    close_bench(b);
}

static void pin(void)
{
    cpu_set_t set;
    int cpu = CPU_SETSIZE - 1;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return;
    while (cpu > 0 && !CPU_ISSET(cpu, &set))
        cpu--;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum bare_kind kind;
        bool cold;
        uint32_t rules;
    } table[] = {{"bars_hot", BARE_BARS, false, 0},           {"price_alert_hot", BARE_PRICE, false, 10},
                 {"price_alert_hot", BARE_PRICE, false, 100}, {"market_hot", BARE_MARKET, false, 10},
                 {"market_hot", BARE_MARKET, false, 100},     {"bars_cold", BARE_BARS, true, 0},
                 {"price_alert_cold", BARE_PRICE, true, 10},  {"price_alert_cold", BARE_PRICE, true, 100},
                 {"market_cold", BARE_MARKET, true, 10},      {"market_cold", BARE_MARKET, true, 100}};
    const char *kind = NULL, *tape = argc > 1 ? argv[1] : NULL;
    bool quick = false, alone = false;
    int rules = -1;
    for (int i = 2; i < argc; i++) {
        quick |= !strcmp(argv[i], "--quick");
        alone |= !strcmp(argv[i], "--alone");
        if (!strcmp(argv[i], "--kind") && i + 1 < argc)
            kind = argv[++i];
        else if (!strcmp(argv[i], "--rules") && i + 1 < argc)
            rules = atoi(argv[++i]);
    }
    if (!tape) {
        fprintf(stderr, "usage: engine TAPE.csv[.zst] [--quick] [--kind NAME] [--rules N] [--alone]\n");
        return 2;
    }
    pin();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        static struct bench b;
        if ((kind && strcmp(kind, table[i].name)) || (rules >= 0 && (uint32_t)rules != table[i].rules))
            continue;
        b = (struct bench){.kind = table[i].kind,
                           .cold = table[i].cold,
                           .rules = table[i].rules,
                           .quick = quick,
                           .alone = alone};
        run(&b, tape, table[i].name);
    }
    return 0;
}
