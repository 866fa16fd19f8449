/* The engine with rules from a file, over the tape, beside another engine that has the same rules:
 * bench/run.py tells both in turn to go on, and compares how often each rule has fired.
 *
 *   rules TAPE.csv RULES.json [SETTING=VALUE]
 *
 * Prints "ready SECONDS" (reading the file, loading the rules, making the indexes) and obeys lines of its
 * input, each with an answer "T X", T being the trades since the start:
 *   next N       applies stamped ticks, N at least; X: the nanoseconds that these took
 *   fires FILE   writes how often each rule has fired, a line for each; X: 0
 *   flips        X: comparisons that have come true since the start
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/ticks.h"
#include "net/rules_file.h"
#include "workers/engine_memory.h"

enum { PORTION = 65536, SPAN = 256 };

struct bench {
    struct ticks *ticks;
    struct engine_memory memory;
    struct msg *portion;
    uint32_t n_rules;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const struct error *err)
{
    fprintf(stderr, "bench rules: %s\n", err->text);
    exit(1);
}

static struct msg *slots(size_t n)
{
    struct msg *m = aligned_alloc(64, n * sizeof *m);
    if (!m)
        abort();
    return m;
}

static void apply(struct bench *b, const struct msg *m, size_t n)
{
    struct engine_out *out = &b->memory.out;
    for (size_t at = 0; at < n;) {
        at += engine_apply(b->memory.engine, m + at, n - at < SPAN ? n - at : SPAN, out);
        out->used = 0;
    }
}

/* A setting, if there is one, and the rules of a file as unstamped records. */
static struct msg *records_of(const char *setting, const struct rules_file *f, size_t *n)
{
    size_t room = MSG_SLOTS_MAX;
    struct msg *all = slots(room);
    *n = setting ? (size_t)setting_message(setting, all) : 0;
    for (uint32_t i = 0; i < f->n; i++) {
        if (room - *n < RULE_MESSAGE_SLOTS) {
            room = 2 * room + RULE_MESSAGE_SLOTS;
            struct msg *more = slots(room);
            if (*n)
                memcpy(more, all, *n * sizeof *all);
            free(all);
            all = more;
        }
        *n += (size_t)rule_messages(&f->rule[i], i, all + *n);
    }
    return all;
}

static void load(struct bench *b, const char *path, const char *setting)
{
    struct error err;
    struct rules_file *f = rules_file_read(path, 0, &err);
    if (!f)
        fail(&err);
    size_t n, room;
    struct msg *rules = records_of(setting, f, &n), *stamped = slots(room = n + PORTION);
    apply(b, stamped, ticks_open(b->ticks, rules, n, stamped, room));
    b->n_rules = f->n;
    free(stamped);
    free(rules);
    rules_file_free(f);
    const struct engine_counters *c = engine_counters(b->memory.engine);
    if (c->rules_full + c->metrics_full + c->rules_refused + c->settings_refused) {
        error_set(&err, "%s", engine_refusal(b->memory.engine));
        fail(&err);
    }
}

/* Stamping is not timed: what is measured is the engine. */
static int64_t next(struct bench *b, uint64_t want)
{
    const struct engine_counters *c = engine_counters(b->memory.engine);
    int64_t took_ns = 0;
    for (uint64_t end = c->trades + want; c->trades < end;) {
        size_t n = ticks_next(b->ticks, false, b->portion, PORTION);
        int64_t from_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
        apply(b, b->portion, n);
        took_ns += now_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns;
    }
    return took_ns;
}

static void write_fires(const struct bench *b, const char *path)
{
    FILE *f = fopen(path, "w");
    for (uint32_t i = 0; f && i < b->n_rules; i++)
        fprintf(f, "%" PRIu64 "\n", b->memory.stats[i].fired);
    if (!f || fclose(f)) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct settings settings;
    static struct bench b;
    struct error err;
    char line[4200];
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: rules TAPE.csv RULES.json [SETTING=VALUE]\n");
        return 2;
    }
    settings_defaults(&settings);
    settings.limits_rules = 100000;
    b.portion = slots(PORTION);
    if (!(b.ticks = ticks_hot(argv[1], &err)) || engine_memory_open(&b.memory, &settings, NULL, &err) < 0)
        fail(&err);
    int64_t from_ns = now_ns(CLOCK_MONOTONIC);
    load(&b, argv[2], argc == 4 ? argv[3] : NULL);
    printf("ready %.6f\n", (double)(now_ns(CLOCK_MONOTONIC) - from_ns) / 1e9);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int64_t x = 0;
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "next ", 5))
            x = next(&b, strtoull(line + 5, NULL, 10));
        else if (!strncmp(line, "fires ", 6))
            write_fires(&b, line + 6);
        else if (!strcmp(line, "flips"))
            x = (int64_t)engine_counters(b.memory.engine)->flips;
        printf("%" PRIu64 " %" PRId64 "\n", engine_counters(b.memory.engine)->trades, x);
        fflush(stdout);
    }
    if (engine_counters(b.memory.engine)->fires_full)
        fprintf(stderr, "bench rules: %" PRIu64 " alerts not made: raise limits.fires\n",
                engine_counters(b.memory.engine)->fires_full);
    engine_memory_close(&b.memory);
    ticks_close(b.ticks);
    free(b.portion);
    return 0;
}
