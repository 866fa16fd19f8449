#include "shm/heartbeat.h"

#include "shm/object.h"
#include "shm/seqlock.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEARTBEATS_MAGIC UINT64_C(0x3174616562676e72) /* "rngbeat1" */

enum { ROWS_MAX = 4096 };

/* What changes only when the role starts. */
struct start {
    int32_t pid, cpu;
    uint64_t pid_start_ticks;
    int64_t start_ns;
    uint64_t starts;
    char idle[HEARTBEAT_IDLE_MAX + 1];
};
enum { START_WORDS = sizeof(struct start) / sizeof(uint64_t) };
_Static_assert(sizeof(struct start) == 48, "whole words");

struct row {
    uint64_t seq;
    uint64_t start[START_WORDS];
    uint64_t beat_ns;
    uint64_t state;
} __attribute__((aligned(OBJECT_ALIGN)));

struct heartbeats {
    uint64_t magic;
    uint32_t count;
    struct row rows[] __attribute__((aligned(OBJECT_ALIGN)));
};

static const char *const state_names[] = {
#define X(name, text) text,
    HEARTBEAT_STATES(X)
#undef X
};

const char *heartbeat_state_name(unsigned state)
{
    return state < HEARTBEAT_STATE_COUNT ? state_names[state] : "?";
}

size_t heartbeats_align(void)
{
    return OBJECT_ALIGN;
}

size_t heartbeats_footprint(uint32_t rows)
{
    return rows == 0 || rows > ROWS_MAX ? 0 : sizeof(struct heartbeats) + rows * sizeof(struct row);
}

struct heartbeats *heartbeats_new(void *mem, uint32_t rows)
{
    struct heartbeats *h = mem;
    if (!object_aligned(mem) || heartbeats_footprint(rows) == 0)
        return NULL;
    memset(mem, 0, heartbeats_footprint(rows));
    h->count = rows;
    atomics_store_release_u64(&h->magic, HEARTBEATS_MAGIC);
    return h;
}

struct heartbeats *heartbeats_join(void *mem, size_t bytes)
{
    struct heartbeats *h = mem;
    if (!object_is(mem, bytes, sizeof *h, HEARTBEATS_MAGIC))
        return NULL;
    size_t need = heartbeats_footprint(h->count);
    return need && need <= bytes ? h : NULL;
}

uint32_t heartbeats_count(const struct heartbeats *h)
{
    return h->count;
}

static struct row *row_of(struct heartbeats *h, uint32_t row)
{
    assert(row < h->count);
    return &h->rows[row];
}

void heartbeat_start(struct heartbeats *h, uint32_t row, const char *idle, int cpu, int64_t start_ns,
                     int64_t now_ns)
{
    struct row *r = row_of(h, row);
    struct start s, before;
    memcpy(&before, r->start, sizeof before);
    memset(&s, 0, sizeof s);
    s.pid = getpid();
    s.cpu = cpu;
    s.pid_start_ticks = process_start_ticks(s.pid);
    s.start_ns = start_ns;
    s.starts = before.starts + 1;
    strncpy(s.idle, idle, sizeof s.idle - 1);
    atomics_store_relaxed_u64(&r->beat_ns, (uint64_t)now_ns);
    seqlock_write(&r->seq, r->start, &s, START_WORDS);
    atomics_store_release_u64(&r->state, HEARTBEAT_STARTING);
}

void heartbeat_set_state(struct heartbeats *h, uint32_t row, enum heartbeat_state state)
{
    atomics_store_release_u64(&row_of(h, row)->state, state);
}

void heartbeat_beat(struct heartbeats *h, uint32_t row, int64_t now_ns)
{
    atomics_store_relaxed_u64(&row_of(h, row)->beat_ns, (uint64_t)now_ns);
}

void heartbeat_read(const struct heartbeats *h, uint32_t row, struct heartbeat *out)
{
    assert(row < h->count);
    const struct row *r = &h->rows[row];
    struct start s;
    memset(out, 0, sizeof *out);
    out->state = (uint32_t)atomics_load_acquire_u64(&r->state);
    out->beat_ns = (int64_t)atomics_load_relaxed_u64(&r->beat_ns);
    /* Torn only if the role died while it announced itself: what it was is then of no interest. */
    if (!seqlock_read(&r->seq, r->start, &s, START_WORDS))
        return;
    out->pid = s.pid;
    out->cpu = s.cpu;
    out->pid_start_ticks = s.pid_start_ticks;
    out->start_ns = s.start_ns;
    out->starts = (uint32_t)s.starts;
    memcpy(out->idle, s.idle, sizeof out->idle);
}

enum heartbeat_health heartbeat_health(const struct heartbeat *b, int64_t now_ns, int64_t limit_ns)
{
    if (b->state == HEARTBEAT_NONE || b->state == HEARTBEAT_GONE)
        return HEARTBEAT_ABSENT;
    if (b->pid == 0 || process_start_ticks(b->pid) != b->pid_start_ticks)
        return HEARTBEAT_DEAD;
    return now_ns - b->beat_ns > limit_ns ? HEARTBEAT_STALE : HEARTBEAT_ALIVE;
}

uint64_t process_start_ticks(pid_t pid)
{
    char path[32], text[1024];
    if (pid <= 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    /* The name, field 2, is in parentheses and may hold some itself; field 3 is the state. */
    const char *at = strrchr(text, ')');
    char state;
    unsigned long long start;
    if (!at ||
        sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &start) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : start; /* a zombie runs nothing */
}
