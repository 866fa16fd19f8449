/* For the fuzz targets of sources: whatever a source is given, every row is a tick, refused or skipped, and a
 * tick is one that the engine may take. */
#ifndef TESTS_FUZZ_CHECK_SOURCE_H
#define TESTS_FUZZ_CHECK_SOURCE_H

#include "net/source.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_tick(const struct source *s, const struct msg *m)
{
    assert(m->symbol < s->symbol_count && m->seq == 0 && m->event_ns >= 0 && m->recv_ns >= 0);
    assert((m->flags & ~MSG_F_RECV_TIME) == 0 && msg_slot_count(m) == 1);
    if (m->type == MSG_TRADE)
        assert(m->trade.price_e9 > 0);
    else if (m->type == MSG_STATUS)
        assert(m->status.kind < STATUS_KINDS);
    else
        assert(m->type == MSG_QUOTE && m->quote.bid_e9 > 0 && m->quote.ask_e9 > 0);
}

static void read_source(const char *spec, const struct source_config *config)
{
    static struct msg out[100];
    struct error err;
    struct source *s = source_open(spec, config, &err);
    uint64_t ticks = 0, others = 0;
    int n;
    if (!s) {
        assert(err.text[0]);
        return;
    }
    while ((n = source_read(s, out, 100)) > 0)
        for (int i = 0; i < n; i++, ticks++)
            check_tick(s, &out[i]);
    assert(n == SOURCE_END || s->failure.text[0]);
    for (int i = 0; i < REJECT_COUNT; i++)
        others += s->stats.rejected[i];
    for (int i = 0; i < SOURCE_SKIP_KINDS; i++)
        others += s->stats.skipped[i].count;
    assert(s->stats.rows == ticks + others);
    for (uint32_t i = 0; i < s->symbol_count; i++)
        assert(s->symbols[i].name_len == strlen(s->symbols[i].name) &&
               source_symbol_find(s, s->symbols[i].name, s->symbols[i].name_len) == (int32_t)i);
    source_close(s);
}

/* A file of these bytes, its path in `path`; false where there can be none. */
static bool file_of(const uint8_t *data, size_t size, char path[64])
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", 0);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return false;
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return true;
}

#endif
