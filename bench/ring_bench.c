/* The ring against its peers: throughput (messages of 64 bytes, sender always ahead) and round trip (one
 * message each way through two queues), between threads and between processes over shared memory.
 *
 *     ring [--quick] [ROUNDS] [PEER]      rounds (30; quick 8); only peers whose name contains PEER
 *
 * A round times ours and every peer once, in turn. A timing is dropped if the placement of the two CPUs
 * changed over it or if either thread was preempted; a ratio is taken within a round, of two timings of one
 * placement. Prints one JSON line for each bench, peer, kind and placement: medians over the rounds, spread =
 * (p75 - p25) / median of the ratio. On standard error: what was dropped. */
#include "bench/placement.h"
#include "bench/ring_peer.h"
#include "shm/atomics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct ring_peer *const queues[] = {&peer_ours,  &peer_ours_put, &peer_ck,
                                                 &peer_boost, &peer_rwq,      &peer_dpdk};
enum { OURS, OURS_PUT, QUEUES = sizeof queues / sizeof *queues };
enum {
    ROUNDS_MAX = 1000,
    MESSAGES = 1000000,
    WARM = PEER_PLACES,
    TRIPS = 10000,
    WARM_TRIPS = 500,
    TRIES = 8
};
enum kind { THREADS, PROCESSES, KINDS };
enum bench { THROUGHPUT, RTT_P50, RTT_P99, BENCHES };
static const char *const kind_names[] = {"threads", "processes"};
static const struct {
    const char *name, *unit;
} benches[] = {{"ring_throughput", "M msg/s"}, {"ring_rtt_p50", "ns"}, {"ring_rtt_p99", "ns"}};

/* A side that has just slept is not the next to be preempted. */
enum { REST_US = 500 };

enum job { ANSWER, SEND, ECHO, QUIT };

/* Shared by the two sides. */
struct control {
    struct placement_line line;
    uint64_t order __attribute__((aligned(128))); /* counts the jobs given; the fields below are its */
    uint32_t job, queue;
    void *memory[QUEUES][2];                     /* there and back */
    bool rest;                                   /* sleep after the job */
    uint64_t done __attribute__((aligned(128))); /* counts the jobs done */
    uint64_t preemptions;
};

struct timing {
    bool good;
    enum placement placement;
    double value[BENCHES];
};

static struct timing timings[KINDS][2][QUEUES][ROUNDS_MAX]; /* [1] is the round trip's */
static uint64_t moved, preempted;

/* The other side: sends, echoes and answers probes as it is told. */
static void *work(void *arg)
{
    struct control *c = arg;
    placement_pin(1);
    /* A child has to map what it shares, page by page: not while it is timed. */
    for (int q = 0; q < QUEUES; q++)
        for (int i = 0; i < 2; i++)
            madvise(c->memory[q][i], queues[q]->bytes, MADV_POPULATE_WRITE);
    for (uint64_t n = 1;; n++) {
        while (atomics_load_acquire_u64(&c->order) != n)
            atomics_pause();
        const struct ring_peer *q = queues[c->queue];
        uint64_t before = placement_preemptions();
        if (c->job == QUIT)
            return NULL;
        if (c->job == ANSWER)
            placement_answer(&c->line);
        else if (c->job == SEND)
            q->send_many(c->memory[c->queue][0], 0, WARM + MESSAGES);
        else
            for (uint64_t i = 0; i < WARM_TRIPS + TRIPS; i++)
                q->send(c->memory[c->queue][1], q->receive(c->memory[c->queue][0]) & 0xffff);
        c->preemptions += placement_preemptions() - before;
        bool rest = c->rest;
        atomics_store_release_u64(&c->done, n);
        if (rest)
            usleep(REST_US / 2);
    }
}

static void give(struct control *c, enum job job)
{
    c->job = job;
    atomics_store_release_u64(&c->order, atomics_load_relaxed_u64(&c->order) + 1);
}

static void await(struct control *c)
{
    while (atomics_load_acquire_u64(&c->done) != atomics_load_relaxed_u64(&c->order))
        atomics_pause();
}

static enum placement probe(struct control *c)
{
    give(c, ANSWER);
    double ns = placement_probe_ns(&c->line);
    await(c);
    return placement_of_ns(ns);
}

static void fail(const char *what, const char *who)
{
    fprintf(stderr, "ring: %s: %s\n", who, what);
    exit(1);
}

static void throughput(struct control *c, const struct ring_peer *q, struct timing *t)
{
    give(c, SEND);
    uint64_t sum = q->receive_many(c->memory[c->queue][0], WARM), start = placement_now_ns();
    sum += q->receive_many(c->memory[c->queue][0], MESSAGES);
    t->value[THROUGHPUT] = MESSAGES * 1e3 / (double)(placement_now_ns() - start);
    await(c);
    /* Word i of message n is n + i; the top bit is our ring's phase. */
    uint64_t n = WARM + MESSAGES, want = 8 * (n * (n - 1) / 2) + 28 * n;
    if ((sum ^ want) << 1)
        fail("the messages that came out are not those that went in", q->name);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *sorted, int n, double q)
{
    return sorted[(int)((n - 1) * q + 0.5)];
}

static void round_trip(struct control *c, const struct ring_peer *q, struct timing *t)
{
    static double took_ns[TRIPS];
    give(c, ECHO);
    uint64_t last = 0, now;
    for (int i = -WARM_TRIPS; i < TRIPS; i++) {
        q->send(c->memory[c->queue][0], (uint64_t)i & 0xfff);
        q->receive(c->memory[c->queue][1]);
        now = placement_ticks();
        if (i >= 0)
            took_ns[i] = (double)(now - last);
        last = now;
    }
    await(c);
    double tick_ns = placement_tick_ns();
    for (int i = 0; i < TRIPS; i++)
        took_ns[i] *= tick_ns;
    qsort(took_ns, TRIPS, sizeof *took_ns, by_value);
    t->value[RTT_P50] = quantile(took_ns, TRIPS, 0.50);
    t->value[RTT_P99] = quantile(took_ns, TRIPS, 0.99);
}

/* Times one half, throughput or round trip, of one queue. */
static struct timing time_one(struct control *c, uint32_t queue,
                              void (*half)(struct control *, const struct ring_peer *, struct timing *))
{
    struct timing t = {0};
    for (int i = 0; i < TRIES && !t.good; i++) {
        usleep(REST_US);
        c->preemptions = 0;
        c->rest = false;
        uint64_t before = placement_preemptions();
        t.placement = probe(c);
        half(c, queues[queue], &t);
        c->rest = true;
        bool same = probe(c) == t.placement;
        bool undisturbed = c->preemptions + placement_preemptions() == before;
        t.good = same && undisturbed;
        moved += !same;
        preempted += !undisturbed;
    }
    return t;
}

static void time_both(struct control *c, enum kind kind, int queue, int round)
{
    c->queue = (uint32_t)queue;
    timings[kind][0][queue][round] = time_one(c, (uint32_t)queue, throughput);
    timings[kind][1][queue][round] = time_one(c, (uint32_t)queue, round_trip);
}

/* Memory that a child shares, on huge pages if there are any. */
static void *shared_memory(size_t bytes)
{
    const int flags = MAP_SHARED | MAP_ANONYMOUS;
    bytes = (bytes + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
    if (p == MAP_FAILED)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED)
        fail("no shared memory", "mmap");
    memset(p, 0, bytes);
    return p;
}

static void run(enum kind kind, int rounds, const char *only)
{
    struct control *c = shared_memory(sizeof *c);
    pthread_t thread;
    pid_t child = 0;
    for (int q = 0; q < QUEUES; q++) {
        for (int i = 0; i < 2; i++) {
            c->memory[q][i] = shared_memory(queues[q]->bytes);
            queues[q]->init(c->memory[q][i]);
        }
    }
    fflush(stdout);
    if (kind == PROCESSES) {
        child = fork();
        if (child == 0) {
            work(c);
            _exit(0);
        }
    }
    if (child < 0 || (kind == THREADS && pthread_create(&thread, NULL, work, c)))
        fail("cannot start the other side", kind_names[kind]);
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < QUEUES; i++) {
            int q = (i + r) % QUEUES; /* nobody is always first */
            bool wanted = q <= OURS_PUT || strstr(queues[q]->name, only);
            if (wanted && (kind == THREADS || queues[q]->shareable))
                time_both(c, kind, q, r);
        }
    }
    give(c, QUIT);
    if (kind == THREADS)
        pthread_join(thread, NULL);
    else
        waitpid(child, NULL, 0);
}

/* One line: `ours` against `theirs` at one placement. */
static void report(enum kind kind, int bench, int ours, int theirs, enum placement placement, int rounds)
{
    static double a[ROUNDS_MAX], b[ROUNDS_MAX], ratio[ROUNDS_MAX];
    int n = 0;
    for (int r = 0; r < rounds; r++) {
        const struct timing *x = &timings[kind][bench != THROUGHPUT][ours][r];
        const struct timing *y = &timings[kind][bench != THROUGHPUT][theirs][r];
        if (!x->good || !y->good || x->placement != placement || y->placement != placement)
            continue;
        a[n] = x->value[bench];
        b[n] = y->value[bench];
        ratio[n] = a[n] / b[n];
        n++;
    }
    if (!n)
        return;
    qsort(a, (size_t)n, sizeof *a, by_value);
    qsort(b, (size_t)n, sizeof *b, by_value);
    qsort(ratio, (size_t)n, sizeof *ratio, by_value);
    double middle = quantile(ratio, n, 0.5);
    printf("{\"bench\":\"%s%s\",\"peer\":\"%s\",\"placement\":\"%s\",\"rules\":null,\"kind\":\"%s\",\"ours\":"
           "%.1f,"
           "\"theirs\":%.1f,\"ratio\":%.3f,\"unit\":\"%s\",\"runs\":%d,\"spread\":%.3f}\n",
           benches[bench].name, ours == OURS_PUT ? "_copied" : "", queues[theirs]->name,
           placement_name(placement), kind_names[kind], quantile(a, n, 0.5), quantile(b, n, 0.5), middle,
           benches[bench].unit, n, (quantile(ratio, n, 0.75) - quantile(ratio, n, 0.25)) / middle);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    argc -= quick;
    argv += quick;
    int rounds = argc > 1 ? atoi(argv[1]) : quick ? 8 : 30;
    const char *only = argc > 2 ? argv[2] : "";
    if (rounds < 1 || rounds > ROUNDS_MAX)
        fail("expected 1 to 1000 rounds", argv[1]);
    if (!placement_pin(1) || !placement_pin(0)) {
        fprintf(stderr, "ring: two CPUs are needed: nothing measured\n");
        return 0;
    }
    for (enum kind kind = THREADS; kind < KINDS; kind++)
        run(kind, rounds, only);
    for (enum kind kind = THREADS; kind < KINDS; kind++)
        for (int bench = 0; bench < BENCHES; bench++)
            for (int theirs = OURS_PUT + 1; theirs < QUEUES; theirs++)
                for (int p = 0; p < PLACEMENTS; p++) {
                    report(kind, bench, OURS, theirs, (enum placement)p, rounds);
                    if (bench == THROUGHPUT)
                        report(kind, bench, OURS_PUT, theirs, (enum placement)p, rounds);
                }
    fprintf(stderr,
            "ring: %llu timings dropped because the placement changed, %llu because of a preemption\n",
            (unsigned long long)moved, (unsigned long long)preempted);
    return 0;
}
