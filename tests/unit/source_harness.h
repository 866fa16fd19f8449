/* For the tests of sources: files of a text, and all that a source gives. */
#ifndef TESTS_SOURCE_HARNESS_H
#define TESTS_SOURCE_HARNESS_H

#include "net/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define TICKS    "../shared/data/ticks/"

static char dir[] = "/tmp/source-XXXXXX";
static char path[64];

static inline int make_dir(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", mkdtemp(dir) ? dir : "");
    snprintf(path + strlen(path), sizeof path - strlen(path), "/data");
    return *dir ? 0 : -1;
}

static inline int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static inline void write_file(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* The source `kind` over the file at `path`; NULL with err set. */
static inline struct source *open_kind(const char *kind, const struct source_config *config,
                                       struct error *err)
{
    char spec[160];
    snprintf(spec, sizeof spec, "%s:%s", kind, path);
    return source_open(spec, config, err);
}

static char logged[16][1024];
static unsigned logged_n;

static inline void keep_log(void *ctx, const char *line)
{
    (void)ctx;
    snprintf(logged[logged_n++ % COUNT(logged)], sizeof logged[0], "%s", line);
}

/* Reads to the end, by `step` slots: messages in *out (up to max), how many there were. *end: SOURCE_END or
 * SOURCE_FAILED. */
static inline size_t read_all(struct source *s, struct msg *out, size_t max, int step, int *end)
{
    struct msg *batch = aligned_alloc(64, (size_t)step * sizeof *batch);
    size_t n = 0;
    int got;
    assert_non_null(batch);
    while ((got = source_read(s, batch, step)) > 0)
        for (int i = 0; i < got; i++, n++)
            if (n < max)
                out[n] = batch[i];
    free(batch);
    *end = got;
    assert_int_equal(source_read(s, out, MSG_SLOTS_MAX), got); /* the end stays the end */
    return n;
}

static inline uint64_t sum_rejected(const struct source_stats *st)
{
    uint64_t n = 0;
    for (int i = 0; i < REJECT_COUNT; i++)
        n += st->rejected[i];
    return n;
}

static inline uint64_t skipped(const struct source_stats *st, const char *kind)
{
    for (int i = 0; i < SOURCE_SKIP_KINDS; i++)
        if (st->skipped[i].count && !strcmp(st->skipped[i].kind, kind))
            return st->skipped[i].count;
    return 0;
}

static inline uint64_t sum_skipped(const struct source_stats *st)
{
    uint64_t n = 0;
    for (int i = 0; i < SOURCE_SKIP_KINDS; i++)
        n += st->skipped[i].count;
    return n;
}

static inline bool have(const char *file)
{
    return access(file, R_OK) == 0;
}

#endif
