/* The whole system in one thread, under one seed: supervisor, ingest, scanners, publisher, sink, as they are,
 * over a simulated clock, disk and server; first with faults, then without: then everything must end, and all
 * that was produced be there once.
 *
 *   sim --seeds N [--start S]   seeds S .. S+N-1, each in a process of its own
 *   sim --seed S                one, and says what happened; keeps the files of a failure
 *   … --fail-after N            ends after so many seeds that failed (5)
 */
#include "tests/sim/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/market.h"
#include "tests/sim/process.h"
#include "tests/sim/random.h"
#include "tests/sim/server.h"
#include "tests/sim/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHAOS_TURNS = 20000, LIVE_TURNS = 200000, SECOND_NS = 1000000000 };

/* Events of the chaos, one turn in so many; 0: never. */
struct chaos {
    unsigned kill, kill_all, power_cut, clock_jump, server_dies;
};

static struct market market;
static unsigned kills, whole_kills, power_cuts, runs;

static void make_plan(struct chaos *c)
{
    bool calm = random_one_in(10); /* full rings and interleavings alone */
    process_plan.blocks = (uint64_t)RANDOM_OF(30, 300, 3000);
    process_plan.step_ns = RANDOM_OF(1000, 50000, 1000000);
    process_utc_ns = INT64_C(1381240000000000000);
    server_plan.answer_ns = RANDOM_OF(0, 100000, 20000000);
    if (calm)
        return;
    c->kill = (unsigned)RANDOM_OF(0, 300, 1500, 5000);
    c->kill_all = (unsigned)RANDOM_OF(0, 0, 3000, 10000);
    c->power_cut = (unsigned)RANDOM_OF(0, 0, 3000, 10000);
    c->clock_jump = (unsigned)RANDOM_OF(0, 0, 2000);
    c->server_dies = (unsigned)RANDOM_OF(0, 0, 2000);
    server_plan.fault_one_in = (unsigned)RANDOM_OF(0, 2, 10);
    disk_faults.write = (unsigned)RANDOM_OF(0, 0, 5, 50);
    disk_faults.sync = (unsigned)RANDOM_OF(0, 0, 4, 30);
    disk_faults.open = (unsigned)RANDOM_OF(0, 0, 0, 20);
    disk_faults.kill_in_write = (unsigned)RANDOM_OF(0, 0, 30, 200);
}

static void strike(const struct chaos *c)
{
    if (random_one_in(c->kill)) {
        pid_t pid = process_any();
        if (pid) {
            process_doom(pid, random_below(random_below(2) ? 50 : 5000));
            kills++;
        }
    }
    if (random_one_in(c->kill_all)) {
        process_note("kill -9 of all");
        process_kill_all();
        whole_kills++;
    }
    if (random_one_in(c->power_cut)) {
        process_note("power cut");
        process_kill_all();
        disk_power_cut();
        check_power_cut(&market, supervisor_durable_seq(&market));
        supervisor_forget_memory(&market);
        power_cuts++;
    }
    if (random_one_in(c->clock_jump)) {
        int64_t by = RANDOM_OF(-3600, -2, 2, 3600) * SECOND_NS;
        process_note("the clock is set by %lld s", (long long)(by / SECOND_NS));
        process_utc_ns += by;
    }
    if (random_one_in(c->server_dies)) {
        server_plan.dead = !server_plan.dead;
        process_note("the server %s", server_plan.dead ? "dies" : "is back");
    }
}

/* Someone starts `run` again until it ends as planned; what is left of one before it is refused its turn. */
static bool run(const struct chaos *c, int turns)
{
    pid_t pid = 0;
    int64_t again_ns = 0;
    int status;
    while (turns-- > 0) {
        if (pid && process_ended(pid, &status)) {
            if (status == 0)
                return true;
            pid = 0;
            again_ns = process_now_ns() + (int64_t)random_below(SECOND_NS / 5);
        }
        if (!pid && (process_now_ns() >= again_ns || !process_any())) {
            pid = supervisor_start(&market);
            runs++;
        }
        if (c)
            strike(c);
        if (random_one_in(100))
            disk_write_back();
        process_turn();
        server_turn();
    }
    return false;
}

static void simulate(uint64_t seed)
{
    struct chaos chaos = {0};
    random_state = check_seed = seed;
    process_utc_ns = INT64_C(1381240000000000000);
    market_make(&market);
    make_plan(&chaos);
    process_note("journal.sync %d, %lld scanners, rings of %lld and %lld slots, %u blocks a turn",
                 (int)market.settings.journal_sync, (long long)market.settings.run_scanners,
                 (long long)market.settings.rings_tick_slots, (long long)market.settings.rings_event_slots,
                 (unsigned)process_plan.blocks);
    check_expect(&market);
    disk_start(market.instance);
    bool ended = run(&chaos, CHAOS_TURNS);
    disk_faults = (struct disk_faults){0};
    server_plan = (struct server_plan){.answer_ns = server_plan.answer_ns};
    process_plan = (struct process_plan){.blocks = 3000, .step_ns = 100000};
    process_note("no more faults");
    if (!ended) {
        process_kill_all();
        if (!run(NULL, LIVE_TURNS))
            check_fail("does not come to its end within %d turns without faults", LIVE_TURNS);
    } else if (random_one_in(4) && !run(NULL, LIVE_TURNS)) {
        check_fail("started again after its end, it does not end within %d turns", LIVE_TURNS);
    }
    check_end(&market);
}

static volatile sig_atomic_t child, stopped;

/* Whoever ends this process ends the seed under way, and what it has made is deleted. */
static void stop(int sig)
{
    stopped = sig;
    if (child > 0)
        syscall(SYS_kill, (pid_t)child, SIGKILL);
}

/* A seed in a process of its own: 0 if it is clean. */
static int run_seed(uint64_t seed, bool tell)
{
    char command[256];
    snprintf(market.dir, sizeof market.dir, "/dev/shm/ringtape-sim-XXXXXX");
    if (!mkdtemp(market.dir)) {
        perror(market.dir);
        return 1;
    }
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0) {
        char log[128];
        snprintf(log, sizeof log, "%s/log", market.dir);
        check_verbose = tell;
        int fd = tell ? STDERR_FILENO : open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        if (dup2(fd, STDERR_FILENO) < 0) /* nothing here may move what malloc gives: the seed repeats all */
            _Exit(1);
        simulate(seed);
        if (tell)
            process_print_notes(check_verbose ? UINT_MAX : 40);
        printf("%s seed %" PRIu64 ": %zu messages, %zu events, %u kills, %u of all, %u power cuts, %" PRIu64
               " faults of the disk, %" PRIu64 " of the server, %u runs, %.3f s\n",
               tell ? "#" : "", seed, check_messages, check_events, kills, whole_kills, power_cuts,
               disk_faults_made, server_faults_made, runs, (double)process_now_ns() / 1e9);
        fflush(NULL);
        _Exit(0);
    }
    int status = 0;
    child = pid;
    if (stopped)
        stop(stopped);
    while (syscall(SYS_wait4, pid, &status, 0, NULL) < 0 && errno == EINTR)
        ;
    child = 0;
    if (WIFSIGNALED(status) && !stopped)
        printf("# killed by signal %d\nSEED=%" PRIu64 "\n", WTERMSIG(status), seed);
    if (status && !tell && !stopped) {
        snprintf(command, sizeof command, "tail -5 %s/log | sed 's/^/# /'", market.dir);
        fflush(stdout);
        if (system(command))
            perror(command);
    }
    if (status && tell && !stopped) {
        printf("# kept: %s\n", market.dir);
        return 1;
    }
    /* the workspace lies beside it, and stays there where the end was not a good one */
    snprintf(command, sizeof command, "rm -rf \"$(readlink %s/instance/workspace)\" %s", market.dir,
             market.dir);
    if (system(command))
        perror(command);
    return status != 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 500, start = 1, failed = 0, most = 5;
    bool one = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--seeds"))
            seeds = n;
        else if (!strcmp(argv[i], "--start"))
            start = n;
        else if (!strcmp(argv[i], "--seed"))
            start = n, seeds = 1, one = true;
        else if (!strcmp(argv[i], "--fail-after"))
            most = n;
        else
            argc = 0;
    }
    if (argc % 2 == 0) {
        fprintf(stderr, "usage: sim [--seeds N] [--start S] | --seed S\n");
        return 2;
    }
    /* addresses take part in what some of the code does by chance */
    if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE)) {
        personality(personality(0xffffffff) | ADDR_NO_RANDOMIZE);
        execv("/proc/self/exe", argv);
    }
    sysv_signal(SIGTERM, stop); /* signal() is simulated; a second one ends this process as usual */
    sysv_signal(SIGINT, stop);
    static char out[4096];
    setvbuf(stdout, out, _IOLBF, sizeof out);
    for (uint64_t s = start; s < start + seeds && failed < most && !stopped; s++)
        if (run_seed(s, one))
            failed++;
    if (stopped)
        return 128 + stopped;
    printf("%sok - %" PRIu64 " seeds from %" PRIu64 ": all that was produced is there once\n",
           failed ? "not " : "", seeds, start);
    return failed != 0;
}
