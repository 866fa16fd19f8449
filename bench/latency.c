/* tick_to_alert_ns: from the receive stamp of a tick to the publisher's hand, through tick ring, engine,
 * event ring.
 *
 * One thread, on one CPU, stamps ticks at a fixed rate and takes alerts, so that one clock stamps both ends;
 * the scanner's loop runs on the other. About one tick in ten fires. Beside it, interleaved, the same loop
 * with an empty engine: it sends an event for the same ticks and computes nothing. JSON lines as in
 * bench/README.md.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/bucket.h"
#include "core/engine.h"
#include "net/rules_file.h"
#include "shm/ring.h"
#include "workers/engine_memory.h"
#include "workers/runloop.h"

enum { SYMBOLS = 100, RING_SLOTS = 65536, PERCENTILES = 3, RUNS_MAX = 32 };

struct lab {
    struct ring *ticks, *events;
    bool empty;
    volatile int stop;
    struct engine_memory memory;
};

static uint64_t per_second;

static void pin(int cpu)
{
    struct error err;
    if (runloop_pin((unsigned)cpu, &err) < 0)
        fprintf(stderr, "latency: %s\n", err.text);
}

static bool fires(const struct msg *m)
{
    return m->type == MSG_TRADE && m->trade.price_e9 > 100 * INT64_C(1000000000);
}

static void apply_empty(const struct msg *m, uint32_t n, struct engine_out *out)
{
    for (uint32_t i = 0; i < n; i += msg_slot_count(&m[i]))
        if (fires(&m[i])) {
            struct msg *e = &out->slot[out->used];
            out->used += msg_begin(e, MSG_ALERT, m[i].symbol, 48);
            e->seq = m[i].seq;
        }
}

static void *scanner(void *arg)
{
    struct lab *lab = arg;
    struct ring_consumer in;
    struct ring_producer to;
    struct error err;
    struct engine_out *out = &lab->memory.out;
    pin(1);
    ring_consumer_join(&in, lab->ticks);
    if (ring_producer_join(&to, lab->events, &err) < 0)
        abort();
    while (!lab->stop) {
        uint32_t n;
        const struct msg *m = ring_peek(&in, &n);
        if (!n) {
            atomics_pause();
            continue;
        }
        uint32_t done = n;
        if (lab->empty)
            apply_empty(m, n, out);
        else
            done = (uint32_t)engine_apply(lab->memory.engine, m, n, out);
        uint32_t at = 0;
        for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k])) {
            while (at < n && m[at].seq != out->slot[k].seq)
                at += msg_slot_count(&m[at]);
            out->slot[k].recv_ns = at < n ? m[at].recv_ns : 0;
        }
        for (uint32_t sent = 0; sent < out->used && !lab->stop;)
            sent += ring_put_n(&to, out->slot + sent, out->used - sent);
        out->used = 0;
        ring_release(&in, done);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void must_put(struct ring_producer *p, const struct msg *m)
{
    while (ring_put(p, m) != 0)
        atomics_pause();
}

/* What opens the stream: one rule, the symbols. */
static uint64_t open_stream(struct ring_producer *p)
{
    static struct msg m[RULE_MESSAGE_SLOTS];
    struct rule r = {.id = "hot",
                     .name = "hot",
                     .version = 1,
                     .enabled = true,
                     .expr = "price > 100 and change_1m != 1",
                     .expr_len = 0};
    uint64_t seq = 1;
    r.expr = "price > 100";
    r.expr_len = (uint32_t)strlen(r.expr);
    r.symbols = "";
    int n = rule_messages(&r, 0, m);
    for (int i = 0; i < n; i += (int)msg_slot_count(&m[i])) {
        msg_set_seq(&m[i], seq++);
        must_put(p, &m[i]);
    }
    for (uint32_t s = 0; s < SYMBOLS; s++) {
        char name[8];
        int len = snprintf(name, sizeof name, "S%03u", s);
        msg_begin(m, MSG_SYMBOL, s, MSG_FIRST_BYTES + (size_t)len);
        m->sym = (struct msg_symbol){.bucket = bucket_of(name, (size_t)len), .name_len = (uint8_t)len};
        msg_put(m, MSG_FIRST_BYTES, name, (size_t)len);
        msg_set_seq(m, seq++);
        must_put(p, m);
    }
    return seq;
}

/* One run: percentiles in ns; the number of alerts, 0 if the thread was preempted. */
static uint64_t run(struct lab *lab, double rate, double seconds, double out[PERCENTILES])
{
    struct settings settings;
    struct error err;
    struct ring_producer to;
    struct ring_consumer back;
    static uint64_t latency[4000000];
    struct rusage before, after;
    pthread_t thread;
    size_t bytes = ring_footprint(RING_SLOTS), n = 0;
    settings_defaults(&settings);
    settings.limits_symbols = 1000;
    lab->ticks =
        ring_new(memset(aligned_alloc(4096, bytes + 4096 - bytes % 4096), 0, bytes), RING_SLOTS, 0, &err);
    lab->events =
        ring_new(memset(aligned_alloc(4096, bytes + 4096 - bytes % 4096), 0, bytes), RING_SLOTS, 0, &err);
    if (!lab->ticks || !lab->events || engine_memory_open(&lab->memory, &settings, NULL, &err) < 0 ||
        ring_producer_join(&to, lab->ticks, &err) < 0)
        abort();
    ring_consumer_join(&back, lab->events);
    lab->stop = 0;
    pthread_create(&thread, NULL, scanner, lab);
    pin(0);
    uint64_t seq = open_stream(&to), gap = (uint64_t)((double)per_second / rate), start = runloop_ticks(),
             next = start;
    uint64_t warm = start + per_second / 10, end = start + (uint64_t)((double)per_second * seconds),
             random = 1;
    int64_t event_ns = INT64_C(1772461800) * 1000000000;
    getrusage(RUSAGE_THREAD, &before);
    for (uint64_t now; (now = runloop_ticks()) < end;) {
        uint32_t got;
        const struct msg *e = ring_peek(&back, &got);
        for (uint32_t i = 0; i < got; i += msg_slot_count(&e[i]))
            if (e[i].type == MSG_ALERT && (uint64_t)e[i].recv_ns > warm &&
                n < sizeof latency / sizeof *latency)
                latency[n++] = runloop_ticks() - (uint64_t)e[i].recv_ns;
        if (got)
            ring_release(&back, got);
        if (now < next)
            continue;
        next += gap;
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        struct msg m;
        msg_begin(&m, MSG_TRADE, (uint32_t)(random >> 33) % SYMBOLS, MSG_FIRST_BYTES);
        event_ns += (int64_t)(1e9 / rate);
        m.seq = seq++;
        m.event_ns = event_ns;
        m.trade = (struct msg_trade){.price_e9 = (random >> 20) % 10 == 0 ? 100500000000 : 99500000000,
                                     .size = 100};
        m.recv_ns = (int64_t)runloop_ticks();
        must_put(&to, &m);
    }
    getrusage(RUSAGE_THREAD, &after);
    lab->stop = 1;
    pthread_join(thread, NULL);
    qsort(latency, n, sizeof *latency, by_value);
    static const double q[PERCENTILES] = {0.5, 0.99, 0.999};
    for (int i = 0; n && i < PERCENTILES; i++)
        out[i] = (double)latency[(size_t)((double)(n - 1) * q[i])] * 1e9 / (double)per_second;
    free(lab->ticks);
    free(lab->events);
    engine_memory_close(&lab->memory);
    return after.ru_nivcsw - before.ru_nivcsw > 100 * seconds ? 0 : n;
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_double);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && !strcmp(argv[1], "--quick");
    int runs = quick ? 3 : 7;
    static const double rates[] = {0.2e6, 1e6};
    static const char *const names[PERCENTILES] = {"p50", "p99", "p99.9"};
    static struct lab lab;
    per_second = runloop_ticks_per_second();
    for (int r = 0; r < 2; r++) {
        double got[2][PERCENTILES][RUNS_MAX];
        int n[2] = {0, 0};
        uint64_t alerts = 0;
        for (int i = 0; i < 2 * runs; i++) {
            double p[PERCENTILES];
            int which = i % 2;
            lab.empty = which == 1;
            uint64_t a = run(&lab, rates[r], quick ? 1 : 3, p);
            if (!a)
                continue;
            alerts += which == 0 ? a : 0;
            for (int k = 0; k < PERCENTILES; k++)
                got[which][k][n[which]] = p[k];
            n[which]++;
        }
        for (int k = 0; k < PERCENTILES && n[0] && n[1]; k++) {
            double ours = median(got[0][k], n[0]), theirs = median(got[1][k], n[1]);
            printf(
                "{\"bench\":\"tick_to_alert_ns\",\"peer\":\"empty_engine\",\"placement\":null,\"rules\":1,"
                "\"kind\":\"%s@%.1fM/s\","
                "\"ours\":%.1f,\"theirs\":%.1f,\"ratio\":%.3f,\"unit\":\"ns\",\"runs\":%d,\"spread\":%.3f}\n",
                names[k], rates[r] / 1e6, ours, theirs, ours / theirs, n[0],
                (got[0][k][n[0] - 1] - got[0][k][0]) / ours);
        }
        fprintf(stderr, "latency: %.1f M ticks/s, %llu alerts\n", rates[r] / 1e6, (unsigned long long)alerts);
    }
    return 0;
}
