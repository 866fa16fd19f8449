#include "tests/sim/process.h"

#include "tests/sim/disk.h"
#include "tests/sim/random.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { FIBERS_MAX = 1 << 14, STACK_BYTES = 1 << 20, NOTES = 20000, NOTE_BYTES = 160, FIRST_PID = 100 };

uint64_t random_state;
struct process_plan process_plan;
int64_t process_utc_ns;

struct process {
    const char *name;
    pid_t parent;
    int status; /* as waitpid has it */
    bool ended, reaped;
    uint64_t doom; /* basic blocks until it is killed; 0: not */
    unsigned weight;
};

struct fiber {
    ucontext_t context;
    void *stack;
    pid_t pid;
    bool done;
    int64_t wake_ns;  /* runs from then on */
    const void *wait; /* on this condition, or until wake_ns */
    bool signalled;
    int (*main)(void *arg);
    void *(*thread)(void *arg);
    void *arg;
};

static struct process processes[FIBERS_MAX];
static struct fiber fibers[FIBERS_MAX];
static int n_processes, n_fibers;
static struct fiber *running;
static ucontext_t scheduler;
static uint64_t budget; /* basic blocks until the slow path of the hook */
static bool kills;      /* … which then kills the process, rather than end its turn */
static int64_t now_ns = INT64_C(1000000000);
static char notes[NOTES][NOTE_BYTES];
static unsigned n_notes;

static struct process *process_of(pid_t pid)
{
    assert(pid >= FIRST_PID && pid < FIRST_PID + n_processes);
    return &processes[pid - FIRST_PID];
}

pid_t process_current(void)
{
    return running ? running->pid : 0;
}

const char *process_name(pid_t pid)
{
    return process_of(pid)->name;
}

bool process_ended(pid_t pid, int *status)
{
    *status = process_of(pid)->status;
    return process_of(pid)->ended;
}

int64_t process_now_ns(void)
{
    return now_ns;
}

void process_note(const char *format, ...)
{
    char *line = notes[n_notes++ % NOTES];
    int at = snprintf(line, NOTE_BYTES, "%12.6f s ", (double)now_ns / 1e9);
    va_list ap;
    va_start(ap, format);
    vsnprintf(line + at, (size_t)(NOTE_BYTES - at), format, ap);
    va_end(ap);
}

void process_print_notes(unsigned most)
{
    most = most < NOTES ? most : NOTES;
    for (unsigned i = n_notes > most ? n_notes - most : 0; i < n_notes; i++)
        printf("# %s\n", notes[i % NOTES]);
}

static void switch_out(void)
{
    struct fiber *f = running;
    int e = errno;
    swapcontext(&f->context, &scheduler);
    errno = e;
}

static void end_process(pid_t pid, int status)
{
    struct process *p = process_of(pid);
    if (p->ended)
        return;
    p->ended = true;
    p->status = status;
    disk_close_all(pid);
    process_note("%s (%d) %s %d", p->name, pid, WIFSIGNALED(status) ? "killed by" : "exits with",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    for (int i = 0; i < n_fibers; i++) {
        if (fibers[i].pid != pid)
            continue;
        fibers[i].done = true;
        if (fibers[i].stack && &fibers[i] != running) {
            munmap(fibers[i].stack, STACK_BYTES);
            fibers[i].stack = NULL;
        }
    }
    if (running && running->pid == pid)
        setcontext(&scheduler);
}

void process_kill(pid_t pid)
{
    end_process(pid, SIGKILL);
}

void process_kill_all(void)
{
    for (int i = 0; i < n_processes; i++)
        end_process(FIRST_PID + i, SIGKILL);
}

void process_doom(pid_t pid, uint64_t blocks)
{
    process_of(pid)->doom = blocks + 1;
}

pid_t process_any(void)
{
    static int alive[FIBERS_MAX];
    int n = 0;
    for (int i = 0; i < n_processes; i++)
        if (!processes[i].ended)
            alive[n++] = i;
    return n ? FIRST_PID + alive[random_below((uint64_t)n)] : 0;
}

static void enter(void)
{
    struct fiber *f = running;
    if (f->main)
        end_process(f->pid, f->main(f->arg) << 8);
    f->thread(f->arg);
    f->done = true;
    setcontext(&scheduler);
}

static struct fiber *new_fiber(pid_t pid)
{
    assert(n_fibers < FIBERS_MAX);
    struct fiber *f = &fibers[n_fibers++];
    *f = (struct fiber){.pid = pid, .wake_ns = now_ns};
    f->stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(f->stack != MAP_FAILED);
    mprotect(f->stack, 4096, PROT_NONE);
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, enter, 0);
    return f;
}

pid_t process_start(int (*main)(void *arg), void *arg, const char *name)
{
    assert(n_processes < FIBERS_MAX);
    pid_t pid = FIRST_PID + n_processes++;
    *process_of(pid) =
        (struct process){.name = name, .parent = process_current(), .weight = 1 + (unsigned)random_below(8)};
    struct fiber *f = new_fiber(pid);
    f->main = main;
    f->arg = arg;
    process_note("%s (%d) starts", name, pid);
    return pid;
}

static bool runnable(const struct fiber *f)
{
    return !f->done && (f->signalled || now_ns >= f->wake_ns);
}

/* By chance, the heavier the more often. NULL if all wait; *wake_ns until when. */
static struct fiber *choose(int64_t *wake_ns)
{
    uint64_t sum = 0;
    *wake_ns = INT64_MAX;
    for (int i = 0; i < n_fibers; i++) {
        if (runnable(&fibers[i]))
            sum += process_of(fibers[i].pid)->weight;
        else if (!fibers[i].done && fibers[i].wake_ns < *wake_ns)
            *wake_ns = fibers[i].wake_ns;
    }
    if (sum == 0)
        return NULL;
    uint64_t pick = random_below(sum);
    for (int i = 0;; i++) {
        if (!runnable(&fibers[i]))
            continue;
        unsigned w = process_of(fibers[i].pid)->weight;
        if (pick < w)
            return &fibers[i];
        pick -= w;
    }
}

bool process_turn(void)
{
    int64_t wake_ns;
    struct fiber *f = choose(&wake_ns);
    if (!f && wake_ns == INT64_MAX)
        return false;
    if (!f) {
        now_ns = wake_ns;
        return true;
    }
    now_ns += (int64_t)random_below((uint64_t)process_plan.step_ns + 1);
    struct process *p = process_of(f->pid);
    budget = 1 + random_below(process_plan.blocks);
    kills = p->doom && p->doom <= budget;
    if (kills)
        budget = p->doom;
    else if (p->doom)
        p->doom -= budget;
    running = f;
    f->signalled = false;
    f->wait = NULL;
    f->wake_ns = now_ns; /* it goes on if its time is up before it waits again */
    swapcontext(&scheduler, &f->context);
    if (f->done && f->stack) {
        munmap(f->stack, STACK_BYTES);
        f->stack = NULL;
    }
    running = NULL;
    return true;
}

/* Of the code under test, at each basic block. */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    if (!running || --budget)
        return;
    if (kills)
        process_kill(running->pid);
    switch_out();
}

void process_sleep_ns(int64_t ns)
{
    running->wake_ns = now_ns + ns;
    switch_out();
}

/* What follows stands in front of libc's. */

pid_t waitpid(pid_t pid, int *status, int options)
{
    assert(pid == -1 && options == WNOHANG);
    bool any = false;
    for (int i = 0; i < n_processes; i++) {
        struct process *p = &processes[i];
        if (p->parent != process_current() || p->reaped)
            continue;
        any = true;
        if (!p->ended)
            continue;
        p->reaped = true;
        *status = p->status;
        return FIRST_PID + i;
    }
    errno = ECHILD;
    return any ? 0 : -1;
}

int kill(pid_t pid, int sig)
{
    if (sig == SIGKILL)
        process_kill(pid);
    return 0;
}

pid_t getppid(void)
{
    pid_t parent = running ? process_of(running->pid)->parent : 0;
    return parent && !process_of(parent)->ended ? parent : 1;
}

/* The roles' care for signals is not simulated, and must not reach the simulator. */
__sighandler_t signal(int sig, __sighandler_t handler)
{
    (void)sig;
    return handler;
}

int sigaction(int sig, const struct sigaction *restrict new, struct sigaction *restrict old)
{
    (void)sig;
    (void)new;
    (void)old;
    return 0;
}

int sched_setscheduler(pid_t pid, int policy, const struct sched_param *p)
{
    (void)pid;
    (void)policy;
    (void)p;
    return 0;
}

int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *cpus)
{
    (void)pid;
    (void)bytes;
    (void)cpus;
    return 0;
}

int prctl(int option, ...)
{
    (void)option;
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int64_t ns = (id == CLOCK_REALTIME ? process_utc_ns : 0) + now_ns;
    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return 0;
}

int nanosleep(const struct timespec *wait, struct timespec *left)
{
    (void)left;
    process_sleep_ns(wait->tv_sec * INT64_C(1000000000) + wait->tv_nsec);
    return 0;
}

int usleep(useconds_t us)
{
    process_sleep_ns((int64_t)us * 1000);
    return 0;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg)
{
    (void)attr;
    struct fiber *f = new_fiber(process_current());
    f->thread = main;
    f->arg = arg;
    *thread = (pthread_t)(f - fibers);
    return 0;
}

static int join(pthread_t thread, int64_t until_ns)
{
    while (!fibers[thread].done) {
        if (now_ns >= until_ns)
            return ETIMEDOUT;
        process_sleep_ns(100000);
    }
    return 0;
}

int pthread_join(pthread_t thread, void **result)
{
    (void)result;
    return join(thread, INT64_MAX);
}

int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *t)
{
    (void)result;
    return join(thread, t->tv_sec * INT64_C(1000000000) + t->tv_nsec - process_utc_ns);
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    while (pthread_mutex_trylock(m))
        if (running)
            process_sleep_ns(0);
    return 0;
}

static int wait_on(const pthread_cond_t *c, pthread_mutex_t *m, int64_t until_ns)
{
    struct fiber *f = running;
    f->wait = c;
    f->wake_ns = until_ns;
    pthread_mutex_unlock(m);
    switch_out();
    bool late = now_ns >= until_ns;
    pthread_mutex_lock(m);
    return late ? ETIMEDOUT : 0;
}

/* A semaphore's count is its first word. */
int sem_init(sem_t *s, int shared, unsigned count)
{
    (void)shared;
    *(unsigned *)s = count;
    return 0;
}

int sem_destroy(sem_t *s)
{
    (void)s;
    return 0;
}

int sem_post(sem_t *s)
{
    ++*(unsigned *)s;
    return pthread_cond_broadcast((pthread_cond_t *)s);
}

int sem_trywait(sem_t *s)
{
    if (*(unsigned *)s) {
        --*(unsigned *)s;
        return 0;
    }
    errno = EAGAIN;
    return -1;
}

static int sem_wait_until(sem_t *s, int64_t until_ns)
{
    while (sem_trywait(s)) {
        if (now_ns >= until_ns) {
            errno = ETIMEDOUT;
            return -1;
        }
        running->wait = s;
        running->wake_ns = until_ns;
        switch_out();
    }
    return 0;
}

int sem_wait(sem_t *s)
{
    return sem_wait_until(s, INT64_MAX);
}

int sem_clockwait(sem_t *s, clockid_t id, const struct timespec *t)
{
    return sem_wait_until(s, t->tv_sec * INT64_C(1000000000) + t->tv_nsec -
                                 (id == CLOCK_REALTIME ? process_utc_ns : 0));
}

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    return wait_on(c, m, INT64_MAX);
}

/* Conditions of the code under test are on the monotonic clock. */
int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
    return wait_on(c, m, t->tv_sec * INT64_C(1000000000) + t->tv_nsec);
}

int pthread_cond_broadcast(pthread_cond_t *c)
{
    for (int i = 0; i < n_fibers; i++)
        if (!fibers[i].done && fibers[i].wait == c)
            fibers[i].signalled = true;
    return 0;
}

int pthread_cond_signal(pthread_cond_t *c)
{
    return pthread_cond_broadcast(c); /* a waiter may wake without a signal */
}

/* For net/sink.c, whose random waits begin with an address. */
void *sim_calloc(size_t n, size_t size);
void sim_free(void *p);
static uint8_t memory[64 << 20] __attribute__((aligned(64)));
static size_t memory_used;

void *sim_calloc(size_t n, size_t size)
{
    void *at = memory + memory_used;
    memory_used += (n * size + 63) & ~(size_t)63;
    assert(memory_used <= sizeof memory);
    return at;
}

void sim_free(void *p)
{
    if ((uint8_t *)p < memory || (uint8_t *)p >= memory + sizeof memory)
        free(p);
}
