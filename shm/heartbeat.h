/* Heartbeats: a row for each role, by its place in the topology. A role says that it lives; readers judge.
 *
 * Threading: the role alone writes its row, any process reads. The time is the caller's: this file reads no
 * clock but a process' start time. Join fails (NULL) for: NULL, bad alignment, another magic, a row count
 * that does not fit `bytes`.
 */
#ifndef SHM_HEARTBEAT_H
#define SHM_HEARTBEAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#define HEARTBEAT_STATES(X)                                                                                  \
    X(NONE, "none") /* never started */                                                                      \
    X(STARTING, "starting")                                                                                  \
    X(RUNNING, "running")                                                                                    \
    X(STOPPING, "stopping")                                                                                  \
    X(GONE, "gone") /* stopped in good order */

#define X(name, text) HEARTBEAT_##name,
enum heartbeat_state { HEARTBEAT_STATES(X) HEARTBEAT_STATE_COUNT };
#undef X
const char *heartbeat_state_name(unsigned state);

enum { HEARTBEAT_IDLE_MAX = 15 };

struct heartbeats;

size_t heartbeats_align(void);
size_t heartbeats_footprint(uint32_t rows);
struct heartbeats *heartbeats_new(void *mem, uint32_t rows);
struct heartbeats *heartbeats_join(void *mem, size_t bytes);
static inline void *heartbeats_leave(struct heartbeats *h)
{
    return h;
}
uint32_t heartbeats_count(const struct heartbeats *h);

/* A reader's copy, and what a starting role gives. */
struct heartbeat {
    int32_t pid;
    int32_t cpu;              /* pinned to; -1 = not */
    uint64_t pid_start_ticks; /* the process' start, so that a pid that was used again is not taken for it */
    int64_t start_ns;         /* UTC */
    int64_t beat_ns;          /* CLOCK_MONOTONIC of the last beat */
    uint32_t state;           /* enum heartbeat_state */
    uint32_t starts;          /* how often the role was started in this workspace */
    char idle[HEARTBEAT_IDLE_MAX + 1]; /* the idle strategy's name */
};

/* Announces the calling process as the row's role, state STARTING. `now_ns` CLOCK_MONOTONIC, `start_ns` UTC.
 */
void heartbeat_start(struct heartbeats *h, uint32_t row, const char *idle, int cpu, int64_t start_ns,
                     int64_t now_ns);
void heartbeat_set_state(struct heartbeats *h, uint32_t row, enum heartbeat_state state);
/* One store. */
void heartbeat_beat(struct heartbeats *h, uint32_t row, int64_t now_ns);

void heartbeat_read(const struct heartbeats *h, uint32_t row, struct heartbeat *out);

enum heartbeat_health {
    HEARTBEAT_ABSENT, /* never started, or gone in good order */
    HEARTBEAT_ALIVE,
    HEARTBEAT_STALE, /* the process lives and has not beaten for longer than the limit */
    HEARTBEAT_DEAD   /* the process is no more and did not say so */
};
enum heartbeat_health heartbeat_health(const struct heartbeat *b, int64_t now_ns, int64_t limit_ns);

/* When process `pid` was started, in clock ticks since boot (/proc/PID/stat, field 22); 0 if there is none.
 */
uint64_t process_start_ticks(pid_t pid);

#endif
