/* A whole market in one engine: 10,000 symbols, 100 selective rules for all of them (bench/esper.py's
 * market_few), the values that a screen of indicators shows. A trading day is simulated, 04:00 to 20:00 in
 * New York, with the 500 minutes before it, the hour before the day's switch and both switches: every symbol
 * trades once a minute, every bucket has a CLOCK each second.
 *
 *   market [--quick]       --quick: fewer minutes, so fewer bars
 *
 * One line of JSON for each row: what the engine's memory is at the day's end, how long CLOCKs take that
 * close minutes. A CLOCK whose bucket has many symbols takes several calls of engine_apply (core/engine.h),
 * between which the role looks at everything else: a call is the pause. Timed is the thread's CPU time, less
 * what asking for it twice costs; a CLOCK during which the thread lost its CPU does not count.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/engine_int.h"
#include "core/scan.h"
#include "net/rules_file.h"
#include "workers/engine_memory.h"

enum { SYMBOLS = 10000, RULES = 100, HISTORY_DAYS = 260 };

#define HOUR_NS (60 * MINUTE_NS)
#define DAY_NS  (24 * HOUR_NS)
/* 2026-01-06, a Tuesday; New York is five hours behind UTC */
#define DATE_NS (INT64_C(1767657600) * SECOND_NS)
#define CENT_E9 INT64_C(10000000)

static const char *const indicators[] = {
    "rsi(14)@1m",      "ema(20)@1m",         "ema(50)@1m",    "ema(200)@1m",    "sma(20)@1m",
    "sma(50)@1m",      "sma(200)@1m",        "vwap(session)", "volume_avg(5m)", "volume_avg(15m)",
    "volume_avg(60m)", "relative_volume_1m", "change_pct_1m", "change_pct_5m",  "change_pct_15m"};
enum { INDICATORS = sizeof indicators / sizeof *indicators };

/* Of one kind of moment: each call's nanoseconds, and each CLOCK's. */
struct samples {
    const char *kind;
    uint32_t *call_ns, *clock_ns;
    size_t calls, clocks, room, dropped;
};

struct market {
    struct engine_memory memory;
    uint64_t seq, random;
    int64_t price_e9[SYMBOLS];
    uint16_t bucket[SYMBOLS];
    int64_t empty_ns; /* what timing nothing takes */
    struct samples close, final, switched, moved, host;
    size_t bars_bytes_kept; /* resident before the day */
};

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

static long preemptions(void)
{
    struct rusage r;
    getrusage(RUSAGE_THREAD, &r);
    return r.ru_nivcsw;
}

static uint32_t draw(struct market *k) /* xorshift64* */
{
    k->random ^= k->random >> 12;
    k->random ^= k->random << 25;
    k->random ^= k->random >> 27;
    return (uint32_t)(k->random * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static void stop(const char *what)
{
    fprintf(stderr, "bench market: %s\n", what);
    exit(1);
}

/* One message to its end. Returns the calls that it took. */
static void apply(struct market *k, struct msg *m, struct samples *into)
{
    struct engine_out *out = &k->memory.out;
    int64_t whole_ns = 0;
    size_t taken, calls = into ? into->calls : 0;
    long before = into ? preemptions() : 0;
    for (uint32_t i = 0, n = msg_slot_count(m); i < n; i++)
        m[i].seq = k->seq + 1;
    k->seq++;
    do {
        int64_t from_ns = into ? cpu_ns() : 0;
        taken = engine_apply(k->memory.engine, m, msg_slot_count(m), out);
        out->used = 0;
        if (!into)
            continue;
        int64_t took_ns = cpu_ns() - from_ns - k->empty_ns;
        took_ns = took_ns < 0 ? 0 : took_ns;
        whole_ns += took_ns;
        if (into->calls < into->room)
            into->call_ns[into->calls++] = (uint32_t)took_ns;
    } while (taken == 0);
    if (into && preemptions() != before) {
        into->calls = calls;
        into->dropped++;
    } else if (into && into->clocks < into->room)
        into->clock_ns[into->clocks++] = (uint32_t)whole_ns;
}

/* Arithmetic for as long as a call at a minute's end takes at the median, timed in the same way: what is slow
 * about it is the host's. */
enum { HOST_STEPS = 4000 };

static void host_measure(struct market *k)
{
    struct samples *s = &k->host;
    uint64_t x = k->random;
    long before = preemptions();
    int64_t from_ns = cpu_ns();
    for (int i = 0; i < HOST_STEPS; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        __asm__ volatile("" : "+r"(x));
    }
    int64_t took_ns = cpu_ns() - from_ns - k->empty_ns;
    if (preemptions() != before)
        s->dropped++;
    else if (s->calls < s->room)
        s->call_ns[s->calls++] = (uint32_t)(took_ns < 0 ? 0 : took_ns);
}

static void put_setting(struct market *k, const char *text)
{
    struct msg m[RULE_MESSAGE_SLOTS];
    int n = setting_message(text, m);
    for (int at = 0; at < n; at += (int)msg_slot_count(&m[at]))
        apply(k, &m[at], NULL);
}

/* As rules_of in bench/esper.py. */
static void put_rules(struct market *k)
{
    for (uint32_t i = 0; i < RULES; i++) {
        struct msg m[RULE_MESSAGE_SLOTS];
        char text[256];
        double x = 0.6180339887 * (i + 1), y = 0.7548776662 * (i + 1), u = x - (int)x, v = y - (int)y;
        snprintf(text, sizeof text, "dev(20 trades) > %.10f and size > %u and change_over(60s) > %.10f",
                 1e-4 + 9e-4 * u, 200 + 100 * (7 * i % 19), 2e-4 + 1e-3 * v);
        struct rule r = {.version = 1,
                         .enabled = true,
                         .trigger = TRIGGER_LEVEL,
                         .expr = text,
                         .expr_len = (uint32_t)strlen(text)};
        snprintf(r.id, sizeof r.id, "r%u", i);
        snprintf(r.name, sizeof r.name, "r%u", i);
        int n = rule_messages(&r, i, m);
        for (int at = 0; at < n; at += (int)msg_slot_count(&m[at]))
            apply(k, &m[at], NULL);
    }
}

static void put_symbols(struct market *k, unsigned days)
{
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        struct msg m[4];
        char name[16];
        size_t len = (size_t)snprintf(name, sizeof name, "S%04u", i);
        msg_begin(m, MSG_SYMBOL, i, MSG_FIRST_BYTES + len);
        k->bucket[i] = bucket_of(name, len);
        m->sym = (struct msg_symbol){.bucket = k->bucket[i], .name_len = (uint8_t)len, .tick_e9 = CENT_E9};
        msg_put(m, MSG_FIRST_BYTES, name, len);
        apply(k, m, NULL);
        k->price_e9[i] = (5000 + (int64_t)i) * CENT_E9;
        for (unsigned d = 0; d < days; d++) {
            int64_t p = k->price_e9[i];
            struct msg_history_bar h = {p, p + 50 * CENT_E9, p - 50 * CENT_E9, p, 1000000 + d, DAY_NS};
            msg_begin(m, MSG_HISTORY_BAR, i, sizeof h);
            m->event_ns = DATE_NS - (int64_t)(days + 1 - d) * DAY_NS;
            msg_put(m, 0, &h, sizeof h);
            apply(k, m, NULL);
        }
    }
}

static void open_market(struct market *k, bool quick)
{
    static struct settings settings;
    struct metric metric[INDICATORS];
    struct error err;
    char text[160];
    settings_defaults(&settings);
    k->memory.asked = INDICATORS;
    k->random = 1;
    if (engine_memory_open(&k->memory, &settings, NULL, &err) < 0)
        stop(err.text);
    for (int i = 0; i < INDICATORS; i++)
        if (metric_parse(indicators[i], strlen(indicators[i]), &metric[i], &err) < 0)
            stop(err.text);
    engine_ask(k->memory.engine, metric, INDICATORS);
    for (int day = 0; day < 3; day++) {
        int64_t t = DATE_NS + day * DAY_NS + 9 * HOUR_NS;
        snprintf(text, sizeof text, "calendar.0=%lld,%lld,%lld,%lld", (long long)t,
                 (long long)(t + 5 * HOUR_NS + 30 * MINUTE_NS), (long long)(t + 12 * HOUR_NS),
                 (long long)(t + 16 * HOUR_NS));
        put_setting(k, text);
    }
    put_setting(k, "bars.corrections=true");
    put_rules(k);
    put_symbols(k, quick ? 20 : HISTORY_DAYS);
}

static void samples_open(struct samples *s, const char *kind, size_t room)
{
    *s = (struct samples){.kind = kind, .room = room};
    s->call_ns = calloc(room, sizeof *s->call_ns);
    s->clock_ns = calloc(room, sizeof *s->clock_ns);
    if (!s->call_ns || !s->clock_ns)
        abort();
}

static void trade(struct market *k, uint32_t id, int64_t event_ns)
{
    uint32_t r = draw(k);
    k->price_e9[id] += r % 12 == 0 ? CENT_E9 : r % 12 == 1 ? -CENT_E9 : 0;
    k->price_e9[id] += r % 5000 == 2 ? 20 * CENT_E9 : r % 5000 == 3 ? -20 * CENT_E9 : 0;
    struct msg m = {.symbol = id, .type = MSG_TRADE, .event_ns = event_ns, .recv_ns = event_ns};
    m.trade =
        (struct msg_trade){.price_e9 = k->price_e9[id], .size = 1 + (r >> 8) % 500, .trade_id = k->seq + 1};
    apply(k, &m, NULL);
}

/* A second's CLOCKs, bucket by bucket, and the trades of every 60th symbol between. */
static void second(struct market *k, int64_t t, bool trades, struct samples *into)
{
    uint32_t id = (uint32_t)(t / SECOND_NS % 60);
    for (uint32_t b = 0; b < BUCKET_COUNT; b++) {
        struct msg m;
        msg_begin(&m, MSG_CLOCK, b, 0);
        m.event_ns = t + bucket_offset_ns(b);
        bool any = engine_next_symbol(k->memory.engine, b, UINT32_MAX) != UINT32_MAX;
        apply(k, &m, into && any ? into : NULL);
        if (into && b % 4 == 0)
            host_measure(k);
        for (; trades && id < SYMBOLS && id / 60 * BUCKET_COUNT < SYMBOLS / 60 * b; id += 60)
            for (int n = k->random % 16 ? 1 : 2; n > 0; n--)
                trade(k, id, m.event_ns);
    }
    for (; trades && id < SYMBOLS; id += 60)
        trade(k, id, t + SECOND_NS - 1);
}

/* Minutes from t on. A bar closes in second 0 of the minute after it, and is final in second 1. */
static void minutes(struct market *k, int64_t t, int n, bool trades, struct samples *first,
                    struct samples *close, struct samples *final)
{
    for (int minute = 0; minute < n; minute++, t += MINUTE_NS)
        for (int s = 0; s < 60; s++)
            second(k, t + s * SECOND_NS, trades,
                   s == 0   ? minute == 0 && first ? first : close
                   : s == 1 ? final
                            : NULL);
}

/* ---- memory */

static size_t resident(const void *at, size_t bytes)
{
    static unsigned char page[1 << 16];
    uintptr_t from = (uintptr_t)at & ~(uintptr_t)4095, end = ((uintptr_t)at + bytes) & ~(uintptr_t)4095;
    size_t n = 0;
    while (from < end) {
        size_t pages = (end - from) / 4096 < sizeof page ? (end - from) / 4096 : sizeof page;
        if (mincore((void *)from, pages * 4096, page) < 0)
            return n;
        for (size_t i = 0; i < pages; i++)
            n += page[i] & 1;
        from += pages * 4096;
    }
    return n * 4096;
}

static double process_mb(void)
{
    unsigned long all = 0, now = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &all, &now) != 2)
        now = 0;
    if (f)
        fclose(f);
    return (double)now * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static void row(const char *bench, const char *kind, uint32_t rules, double ours, double goal,
                const char *unit, const char *note)
{
    printf("{\"bench\":\"%s\",\"peer\":\"%s\",\"placement\":\"one core\",\"rules\":%u,\"kind\":\"%s\","
           "\"ours\":%.3f,",
           bench, goal > 0 ? "goal" : "none", rules, kind, ours);
    if (goal > 0)
        printf("\"theirs\":%.3f,\"ratio\":%.3f,", goal, ours / goal);
    else
        printf("\"theirs\":null,\"ratio\":null,");
    printf("\"unit\":\"%s\",\"runs\":1,\"spread\":0,\"note\":\"%s\"}\n", unit, note);
    fflush(stdout);
}

/* What a message of any of the symbols, or a CLOCK of their buckets, may touch, the bars aside. */
static double hot_bytes(const struct engine *e)
{
    double fires = (double)e->fire_used * (sizeof *e->fire + sizeof *e->fire_hash) / SYMBOLS;
    return (double)(sizeof *e->symbol + sizeof *e->local + sizeof *e->name + sizeof *e->next_in_bucket +
                    sizeof *e->attributes + e->block_words * sizeof *e->block) +
           fires;
}

static void memory_rows(struct market *k)
{
    const struct engine *e = k->memory.engine;
    size_t stride = e->bars_stride;
    double bars = (double)resident(e->bars, SYMBOLS * stride),
           longer = (double)resident(e->series_bar, (uint8_t *)e->day - (uint8_t *)e->series_bar),
           rest = (double)resident(e->bar_rest, (uint8_t *)e->series_bar - (uint8_t *)e->bar_rest),
           trades = (double)e->trades_used * sizeof *e->trades, hot = hot_bytes(e) * SYMBOLS;
    double rules = (double)(e->kept.used + e->built.used) / RULES + (double)sizeof *e->rule;
    char note[300];
    snprintf(note, sizeof note, "row of the symbol %zu, state of %u metrics %zu, fires %.0f",
             sizeof *e->symbol, e->n_nodes, e->block_words * sizeof *e->block,
             (double)e->fire_used * sizeof *e->fire / SYMBOLS);
    row("bytes_per_symbol", "hot", RULES, hot / SYMBOLS, 16384, "bytes", note);
    row("bytes_per_symbol", "bars_kept", RULES, (double)k->bars_bytes_kept / SYMBOLS, 0, "bytes",
        "resident before the day: the 500 bars of one minute before it, 260 daily bars");
    snprintf(note, sizeof note,
             "resident at the day's end: 960 bars more; longer timeframes %.0f, rests %.0f", longer / SYMBOLS,
             rest / SYMBOLS);
    row("bytes_per_symbol", "bars_full_day", RULES, (bars + longer + rest) / SYMBOLS, 0, "bytes", note);
    row("bytes_per_symbol", "trades_kept", RULES, trades / SYMBOLS, 0, "bytes",
        "for corrections and metrics of prints; limits.trades");
    row("bytes_per_rule", "market_few", RULES, rules, 0, "bytes", "its slot, text, tree, thresholds");
    snprintf(note, sizeof note, "hot and bars of 10,000 symbols at the day's end; the process has %.0f MB",
             process_mb());
    row("engine_mb", "full_day", RULES, (hot + bars + longer + rest) / 1e6, 1000, "MB", note);
}

/* ---- times */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double at(const uint32_t *ns, size_t n, double part)
{
    size_t i = (size_t)((double)n * part);
    return n ? ns[i < n ? i : n - 1] / 1e3 : 0;
}

static void time_rows(const struct market *k, struct samples *s)
{
    static const struct {
        const char *name;
        double part;
    } parts[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
    char kind[64], note[200];
    qsort(s->call_ns, s->calls, sizeof *s->call_ns, by_value);
    qsort(s->clock_ns, s->clocks, sizeof *s->clock_ns, by_value);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(kind, sizeof kind, "%s_%s", s->kind, parts[i].name);
        if (s == &k->host)
            snprintf(note, sizeof note,
                     "the same %d steps of arithmetic, %zu times between: the host's share", HOST_STEPS,
                     s->calls);
        else
            snprintf(
                note, sizeof note,
                "%zu calls of engine_apply; %s of the %zu CLOCKs, all calls of each: %.1f us; %zu dropped",
                s->calls, parts[i].name, s->clocks, at(s->clock_ns, s->clocks, parts[i].part), s->dropped);
        row("minute_close_us", kind, RULES, at(s->call_ns, s->calls, parts[i].part),
            parts[i].part == 0.999 && s != &k->host ? 20 : 0, "us", note);
    }
}

/* ---- scans */

/* RULES rules of three comparisons over all symbols, as the values stand: how long it takes, and what each
 * kernel finds. */
static void scan_rows(struct market *k, unsigned runs)
{
    enum { BLOCKS = (SYMBOLS + SCAN_BLOCK - 1) / SCAN_BLOCK, WORDS = BLOCKS * SCAN_WORDS };
    static struct scan scan[RULES];
    static struct expr x;
    static uint64_t hits[RULES][WORDS], first[RULES][WORDS];
    const struct engine *e = k->memory.engine;
    struct metric metric[INDICATORS];
    struct error err;
    size_t bytes = (size_t)BLOCKS * INDICATORS * SCAN_BLOCK * sizeof(int64_t);
    int64_t *values = aligned_alloc(64, bytes), key[INDICATORS];
    char text[300], note[200];
    double us[64], slowest = 0;
    uint64_t found = 0;
    if (!values)
        abort();
    for (int i = 0; i < INDICATORS; i++)
        if (metric_parse(indicators[i], strlen(indicators[i]), &metric[i], &err) < 0)
            stop(err.text);
    for (size_t i = 0; i < bytes / sizeof *values; i++)
        values[i] = KEY_UNKNOWN;
    for (uint32_t s = 0; s < SYMBOLS; s++) {
        engine_keys(e, s, 0, INDICATORS, key);
        for (unsigned i = 0; i < INDICATORS; i++)
            values[((size_t)(s / SCAN_BLOCK) * INDICATORS + i) * SCAN_BLOCK + s % SCAN_BLOCK] = key[i];
    }
    for (int i = 0; i < RULES; i++) {
        snprintf(text, sizeof text, "rsi(14)@1m > %.2f and volume_avg(15m) > %d and change_pct_15m > %.4f",
                 30 + 0.5 * i, 100 + 2 * i, -0.05 + 0.002 * i);
        if (expr_parse_instant(text, strlen(text), &x, &err) < 0 ||
            scan_compile(&scan[i], &x, metric, INDICATORS, &err) < 0)
            stop(err.text);
    }
    for (int kernel = 0; kernel < SCAN_KERNEL_COUNT; kernel++) {
        unsigned n = 0;
        if (!scan_has((enum scan_kernel)kernel))
            continue;
        for (unsigned run = 0; run < runs + 3; run++) { /* three to warm up */
            int64_t from_ns = cpu_ns();
            for (int b = 0; b < BLOCKS; b++) /* so that a block's columns stay near */
                for (int i = 0; i < RULES; i++)
                    scan_run_with((enum scan_kernel)kernel, &scan[i],
                                  values + (size_t)b * INDICATORS * SCAN_BLOCK, 1, INDICATORS,
                                  &hits[i][b * SCAN_WORDS]);
            if (run >= 3)
                us[n++] = (double)(cpu_ns() - from_ns - k->empty_ns) / 1e3;
        }
        for (unsigned i = 1; i < n; i++) /* sorted */
            for (unsigned j = i; j > 0 && us[j - 1] > us[j]; j--) {
                double swap = us[j];
                us[j] = us[j - 1];
                us[j - 1] = swap;
            }
        found = 0;
        for (int i = 0; i < RULES; i++)
            for (int w = 0; w < WORDS; w++)
                found += (uint64_t)__builtin_popcountll(hits[i][w]);
        if (kernel == 0)
            memcpy(first, hits, sizeof first);
        else if (memcmp(first, hits, sizeof first))
            stop("a kernel finds other symbols than the scalar one");
        slowest = us[n - 1];
        snprintf(note, sizeof note, "10,000 symbols x 100 rules x 3 comparisons, %llu hits; %.0f to %.0f us",
                 (unsigned long long)found, us[0], slowest);
        row("full_scan_us", scan_kernel_names[kernel], RULES, us[n / 2], kernel == (int)scan_best() ? 200 : 0,
            "us", note);
    }
    free(values);
}

static void empty_measure(struct market *k)
{
    enum { TIMES = 1001 };
    static uint32_t ns[TIMES];
    for (int i = 0; i < TIMES; i++) {
        int64_t from = cpu_ns();
        ns[i] = (uint32_t)(cpu_ns() - from);
    }
    qsort(ns, TIMES, sizeof *ns, by_value);
    k->empty_ns = ns[TIMES / 2];
}

int main(int argc, char **argv)
{
    static struct market k;
    bool quick = argc > 1 && !strcmp(argv[1], "--quick");
    int kept = quick ? 100 : 500, day = quick ? 60 : 960;
    int64_t end = DATE_NS + DAY_NS + HOUR_NS; /* 20:00 in New York, of the first day */
    samples_open(&k.close, "minute", (size_t)(day + 10) * 8 * BUCKET_COUNT);
    samples_open(&k.final, "final", (size_t)(day + 10) * 8 * BUCKET_COUNT);
    samples_open(&k.host, "host", (size_t)(day + 10) * BUCKET_COUNT);
    samples_open(&k.moved, "day_first_bar", 32 * BUCKET_COUNT);
    samples_open(&k.switched, "day_switch", 32 * BUCKET_COUNT);
    open_market(&k, quick);
    empty_measure(&k);
    minutes(&k, end - kept * MINUTE_NS, kept, true, NULL, NULL, NULL);
    minutes(&k, end, 2, false, NULL, NULL, NULL);
    minutes(&k, end + 7 * HOUR_NS, 60, false, NULL, NULL, NULL);
    const struct engine *e = k.memory.engine;
    k.bars_bytes_kept = resident(e->bars, SYMBOLS * e->bars_stride);
    minutes(&k, end + 8 * HOUR_NS, day, true, &k.switched, &k.close, &k.final);
    minutes(&k, end + 8 * HOUR_NS + day * MINUTE_NS, 1, false, NULL, &k.close, &k.final);
    memory_rows(&k);
    scan_rows(&k, 51);
    minutes(&k, end + DAY_NS + 7 * HOUR_NS, 60, false, NULL, NULL, NULL);
    minutes(&k, end + DAY_NS + 8 * HOUR_NS, 1, true, &k.switched, NULL, NULL);
    minutes(&k, end + DAY_NS + 8 * HOUR_NS + MINUTE_NS, 1, true, &k.moved, NULL, NULL);
    time_rows(&k, &k.close);
    time_rows(&k, &k.final);
    time_rows(&k, &k.switched);
    time_rows(&k, &k.moved);
    time_rows(&k, &k.host);
    const struct engine_counters *c = engine_counters(e);
    fprintf(stderr,
            "# %" PRIu64 " trades, %" PRIu64 " clocks, %" PRIu64 " bars, %" PRIu64 " alerts, %" PRIu64
            " kept trades dropped; timing costs %lld ns\n",
            c->trades, c->clocks, c->bars, c->alerts, c->trades_dropped, (long long)k.empty_ns);
    engine_memory_close(&k.memory);
    return 0;
}
