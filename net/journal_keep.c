#include "net/journal_keep.h"
#include "net/journal_format.h"
#include "shm/atomics.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROUND_S = 10 }; /* between looks at ages, and tries after a failure */

/* Deleting. */

struct prune {
    const char *dir;
    int dir_fd;
    const struct journal_prune_rule *rule;
    uint64_t bytes; /* of the files that are left */
};

static uint64_t file_bytes(int dir_fd, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    struct stat st;
    segment_name(name, number, JOURNAL_SUFFIX);
    return fstatat(dir_fd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

/* As journal_file_open. */
static int open_segment(const struct prune *p, uint64_t number, struct journal_file *f, struct error *err)
{
    char path[4200], name[SEGMENT_NAME_BYTES];
    segment_name(name, number, JOURNAL_SUFFIX);
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    return journal_file_open(f, path, err);
}

/* 1 if the segment is to go, 0, or -1 with err. `next` is the head of the one behind it. */
static int is_due(const struct prune *p, uint64_t number, const struct segment_head *next, struct error *err)
{
    const struct journal_prune_rule *r = p->rule;
    if ((r->bytes_max && p->bytes > r->bytes_max) ||
        (r->written_before_ns && next->created_ns < r->written_before_ns))
        return 1;
    if (!r->event_before_ns)
        return 0;
    struct journal_file f;
    int rc = open_segment(p, number, &f, err);
    if (rc <= 0)
        return rc < 0 ? -1 : 1; /* an empty one between others */
    rc = f.sealed && f.footer.max_event_ns < r->event_before_ns;
    journal_file_close(&f);
    return rc;
}

/* 1 if the segment went, 0 if it and what follows stays, -1 with err. */
static int prune_one(struct prune *p, uint64_t number, uint64_t next, struct journal_keep_state *s,
                     struct error *err)
{
    struct journal_file f;
    char name[SEGMENT_NAME_BYTES];
    int rc = open_segment(p, next, &f, err);
    if (rc <= 0)
        return rc; /* nothing in it: this one is the newest with messages */
    journal_file_close(&f);
    rc = is_due(p, number, &f.head, err);
    if (rc <= 0)
        return rc;
    if (f.head.prev_seq >= p->rule->keep_from_seq) {
        s->held = true;
        return 0;
    }
    uint64_t bytes = file_bytes(p->dir_fd, number);
    segment_name(name, number, JOURNAL_SUFFIX);
    if (!p->rule->dry_run) {
        if (unlinkat(p->dir_fd, name, 0) && errno != ENOENT)
            return error_set(err, "%s/%s: cannot delete: %s%s", p->dir, name, strerror(errno),
                             segment_advice(errno));
        journal_compress_forget(p->dir_fd, number);
    }
    p->bytes -= bytes < p->bytes ? bytes : p->bytes;
    s->pruned++;
    s->pruned_bytes += bytes;
    return 1;
}

int journal_prune(const char *dir, int dir_fd, const struct journal_prune_rule *rule,
                  struct journal_keep_state *s, uint64_t *keeps_from, struct error *err)
{
    struct prune p = {.dir = dir, .dir_fd = dir_fd, .rule = rule};
    uint64_t *numbers, before = s->pruned;
    int n = segment_list(dir, JOURNAL_SUFFIX, &numbers, err), rc = n < 0 ? -1 : 1, i = 0;
    for (int k = 0; k < n; k++)
        p.bytes += file_bytes(dir_fd, numbers[k]);
    s->held = false;
    while (rc == 1 && i + 1 < n && numbers[i] <= rule->last_number) {
        rc = prune_one(&p, numbers[i], numbers[i + 1], s, err);
        i += rc == 1;
    }
    if (keeps_from)
        *keeps_from = i < n ? numbers[i] : 0;
    free(numbers);
    if (s->pruned != before && !rule->dry_run && fsync(dir_fd) && rc >= 0)
        rc = error_set(err, "%s: cannot sync the directory: %s%s", dir, strerror(errno),
                       segment_advice(errno));
    return rc < 0 ? -1 : 0;
}

/* The thread. */

enum { GO_ON, STOP, FINISH };

struct journal_keeper {
    struct journal_keeper_options options;
    char dir[4096];
    pthread_t thread;
    sem_t wake;
    uint32_t abandon, how; /* abandon: what journal_compress looks at; how: GO_ON … */
    uint64_t sealed_number, now_ns, keep_from_seq;
    uint64_t done_number;            /* compressed, or given up */
    struct journal_keep_state state; /* the thread's own */

    pthread_mutex_t lock; /* of: */
    struct journal_keep_state shown;
    uint32_t changed;
};

/* Only what no role needs: any CPU (a pinned role's thread starts on the role's), and only its idle time. */
static void give_way(void)
{
    cpu_set_t all;
    struct sched_param none = {0};
    CPU_ZERO(&all);
    for (int i = 0; i < CPU_SETSIZE; i++)
        CPU_SET(i, &all);
    if (sched_setaffinity(0, sizeof all, &all) || sched_setscheduler(0, SCHED_IDLE, &none))
        return; /* it works, only less politely */
}

static void show(struct journal_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    k->shown = k->state;
    pthread_mutex_unlock(&k->lock);
    atomics_store_release_u32(&k->changed, 1);
}

static void compress_sealed(struct journal_keeper *k)
{
    uint64_t *numbers, sealed = atomics_load_acquire_u64(&k->sealed_number);
    int n = segment_list(k->dir, JOURNAL_SUFFIX, &numbers, &k->state.failure);
    k->state.failures += n < 0;
    for (int i = 0; i < n && numbers[i] <= sealed && !atomics_load_acquire_u32(&k->abandon); i++) {
        if (numbers[i] <= k->done_number)
            continue;
        int rc = journal_compress(k->dir, k->options.dir_fd, numbers[i], k->options.compress_level,
                                  &k->abandon, &k->state, &k->state.failure);
        k->state.failures += rc < 0;
        if (rc)
            show(k);
        if (rc == -1)
            break; /* tried again in the next round */
        if (!atomics_load_acquire_u32(&k->abandon))
            k->done_number = numbers[i];
    }
    free(numbers);
}

static void prune(struct journal_keeper *k)
{
    const struct journal_keeper_options *o = &k->options;
    struct journal_prune_rule rule = {.bytes_max = o->retention_bytes,
                                      .keep_from_seq = atomics_load_acquire_u64(&k->keep_from_seq),
                                      .last_number = atomics_load_acquire_u64(&k->sealed_number)};
    uint64_t before = k->state.pruned;
    bool held = k->state.held;
    if (o->retention_ns)
        rule.written_before_ns = (int64_t)atomics_load_acquire_u64(&k->now_ns) - o->retention_ns;
    int rc = journal_prune(k->dir, o->dir_fd, &rule, &k->state, NULL, &k->state.failure);
    k->state.failures += rc < 0;
    if (rc < 0 || k->state.pruned != before || k->state.held != held)
        show(k);
}

static void *keep(void *arg)
{
    struct journal_keeper *k = arg;
    give_way();
    for (;;) {
        uint32_t how = atomics_load_acquire_u32(&k->how); /* before the work, so that FINISH does all of it */
        if (how == STOP)
            break;
        if (k->options.compress_level)
            compress_sealed(k);
        if ((k->options.retention_ns || k->options.retention_bytes) && !atomics_load_acquire_u32(&k->abandon))
            prune(k);
        if (how == FINISH)
            break;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += ROUND_S;
        while (sem_clockwait(&k->wake, CLOCK_MONOTONIC, &until) && errno == EINTR)
            ;
    }
    return NULL;
}

struct journal_keeper *journal_keeper_start(const struct journal_keeper_options *options, struct error *err)
{
    sigset_t all, old;
    struct journal_keeper *k = calloc(1, sizeof *k);
    if (!k) {
        error_set(err, "journal: out of memory");
        return NULL;
    }
    k->options = *options;
    k->keep_from_seq = options->keep_from_seq;
    k->sealed_number = options->sealed_number;
    k->now_ns = (uint64_t)options->now_ns;
    snprintf(k->dir, sizeof k->dir, "%s", options->dir);
    sem_init(&k->wake, 0, 0);
    pthread_mutex_init(&k->lock, NULL);
    sigfillset(&all); /* signals are the role's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&k->thread, NULL, keep, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        error_set(err, "journal: cannot start a thread: %s; raise the limit on processes (ulimit -u)",
                  strerror(failed));
        sem_destroy(&k->wake);
        free(k);
        return NULL;
    }
    return k;
}

void journal_keeper_sealed(struct journal_keeper *k, uint64_t number)
{
    atomics_store_release_u64(&k->sealed_number, number);
    sem_post(&k->wake);
}

void journal_keeper_tell(struct journal_keeper *k, int64_t now_ns, uint64_t keep_from_seq)
{
    atomics_store_release_u64(&k->keep_from_seq, keep_from_seq);
    atomics_store_release_u64(&k->now_ns, (uint64_t)now_ns);
}

bool journal_keeper_state(struct journal_keeper *k, struct journal_keep_state *s)
{
    if (!atomics_load_acquire_u32(&k->changed) || pthread_mutex_trylock(&k->lock))
        return false;
    atomics_store_release_u32(&k->changed, 0);
    *s = k->shown;
    pthread_mutex_unlock(&k->lock);
    return true;
}

void journal_keeper_stop(struct journal_keeper *k, bool finish)
{
    if (!k)
        return;
    if (!finish)
        atomics_store_release_u32(&k->abandon, 1);
    atomics_store_release_u32(&k->how, finish ? FINISH : STOP);
    sem_post(&k->wake);
    pthread_join(k->thread, NULL);
    pthread_mutex_destroy(&k->lock);
    sem_destroy(&k->wake);
    free(k);
}
