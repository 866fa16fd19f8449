/* The detectors of anomalies. The arithmetic case by case; then the engine, at every message of random
 * markets, against a reference that keeps all prints and quotes and computes each window anew from them.
 * SEEDS markets (6 by default), the first of SEED. */
#include "tests/unit/engine_harness.h"

#include <math.h>

#include "core/anomaly.h"
#include "core/engine_save.h"

enum { SYMBOLS = 3, DAYS = 9, PRINTS = 20000, QUOTES = 20000 };

/* A trading day of the test: 20 minutes before, 60 of the market, 10 after; one every 2 hours. */
enum { DAY_MIN = 120, MARKET_MIN = 20, POST_MIN = 80, CLOSED_MIN = 90 };

/* ---- the reference */

struct print {
    int64_t ev, price, t; /* t: the symbol's time */
    uint64_t size;
    bool last; /* it became the price */
};
struct quote {
    int64_t t, spread;
};
struct told {
    uint64_t seq;
    uint32_t symbol;
    int kind;
    int64_t t;
    struct anomaly a;
};
struct norm {
    double middle, deviation;
    bool known;
};
struct refday {
    int64_t start;
    double volume[DAY_MIN]; /* -1: none */
};

struct ref {
    struct print *print;
    unsigned n;
    struct quote *quote;
    unsigned quotes;
    bool begun, wide, crossed, told[3];
    int64_t time, live, session, day; /* starts; INT64_MIN: never */
    int64_t from;                     /* prints from this one on have been watched */
    unsigned quotes_from;
    struct norm range, volume, burst;
    double up, down;
    int64_t silent, last[ANOMALY_KINDS];
    struct refday days[DAYS + 1];
    unsigned n_days;
};

static struct ref refs[SYMBOLS];
static struct anomaly_settings set;
static bool watched;
static uint64_t seq_now;
static struct told told[20000];
static unsigned n_told;
static int64_t tick_of[SYMBOLS];
static const int64_t lateness = SEC;

static int64_t day_start(int64_t t)
{
    return t / (DAY_MIN * MIN) * (DAY_MIN * MIN);
}

static enum session_kind session_at(int64_t t, int64_t *start)
{
    static const int from[] = {0, MARKET_MIN, POST_MIN, CLOSED_MIN};
    static const enum session_kind kind[] = {SESSION_PREMARKET, SESSION_MARKET, SESSION_POSTMARKET,
                                             SESSION_CLOSED};
    int k = 3;
    while (t < day_start(t) + from[k] * MIN)
        k--;
    *start = day_start(t) + from[k] * MIN;
    return kind[k];
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, by_value);
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
static struct norm norm_of(const double *v, unsigned n, double floor)
{
    double x[64];
    struct norm r = {.known = true};
    memcpy(x, v, n * sizeof *x);
    r.middle = median(x, n);
    for (unsigned i = 0; i < n; i++)
        x[i] = fabs(v[i] - r.middle);
    r.deviation = fmax(1.4826 * median(x, n), floor);
    return r;
}

static void say(unsigned symbol, int kind, int64_t t, double value, double expected, double score,
                double threshold)
{
    struct ref *r = &refs[symbol];
    int64_t cool = kind == ANOMALY_SUSPECT ? 0 : (int64_t)set.cooldown_s * SEC;
    if (r->last[kind] != INT64_MIN && t - r->last[kind] < cool)
        return;
    r->last[kind] = t;
    assert_true(n_told < sizeof told / sizeof *told);
    told[n_told++] = (struct told){seq_now, symbol, kind, t, {value, expected, score, threshold}};
}

struct refbar {
    int64_t minute, high, low, close;
    uint64_t volume;
    unsigned trades;
};

/* The bar of a minute from all its prints; false if it has none. */
static bool bar_of(const struct ref *r, int64_t minute, struct refbar *b)
{
    *b = (struct refbar){.minute = minute};
    for (unsigned i = 0; i < r->n; i++) {
        const struct print *p = &r->print[i];
        if (p->ev / MIN != minute)
            continue;
        b->high = b->trades == 0 || p->price > b->high ? p->price : b->high;
        b->low = b->trades == 0 || p->price < b->low ? p->price : b->low;
        b->close = p->price;
        b->volume += p->size;
        b->trades++;
    }
    return b->trades > 0;
}

/* The last bars before the live minute, newest first, down to `from`. How many, at most n. */
static unsigned bars_back(const struct ref *r, int64_t from, struct refbar *b, unsigned n)
{
    unsigned k = 0;
    for (int64_t m = r->live / MIN - 1; m * MIN >= from && k < n; m--)
        k += bar_of(r, m, &b[k]);
    return k;
}

static double tick(unsigned symbol, int64_t price)
{
    int64_t t = 1;
    if (tick_of[symbol])
        return (double)tick_of[symbol];
    while (t * 10 <= price / 10000)
        t *= 10;
    return (double)t;
}

static int64_t price_of(const struct ref *r)
{
    for (unsigned i = r->n; i-- > 0;)
        if (r->print[i].last)
            return r->print[i].price;
    return 0;
}

static void norms(unsigned symbol)
{
    struct ref *r = &refs[symbol];
    struct refbar b[20];
    double range[20], trades[20], v[20];
    int64_t start, minute = (r->live - day_start(r->live)) / MIN;
    unsigned n = 0;
    enum session_kind now = session_at(r->live, &start);
    memset(r->told, 0, sizeof r->told);
    r->range.known = r->burst.known = r->volume.known = false;
    for (unsigned i = 0; i < r->n_days && i < 20; i++) {
        double x = r->days[r->n_days - 1 - i].volume[minute];
        if (x >= 0 && now != SESSION_CLOSED)
            v[n++] = x;
    }
    if (n >= 5) {
        r->volume = norm_of(v, n, 0);
        r->volume.deviation = fmax(r->volume.deviation, r->volume.middle / 10);
        r->volume.known = r->volume.middle > 0;
    }
    if (bars_back(r, r->session, b, 20) < 20)
        return;
    for (unsigned i = 0; i < 20; i++) {
        range[i] = (double)(b[i].high - b[i].low);
        trades[i] = b[i].trades;
    }
    r->range = norm_of(range, 20, tick(symbol, price_of(r)));
    r->burst = norm_of(trades, 20, 1);
    r->burst.deviation = fmax(r->burst.deviation, r->burst.middle / 10);
}

static void drift(unsigned symbol)
{
    struct ref *r = &refs[symbol];
    struct refbar b[22];
    double before[20];
    if (set.drift <= 0 || bars_back(r, r->session, b, 22) < 22)
        return;
    for (unsigned i = 0; i < 20; i++)
        before[i] = (double)(b[i + 1].close - b[i + 2].close);
    double s = norm_of(before, 20, tick(symbol, price_of(r))).deviation,
           x = (double)(b[0].close - b[1].close);
    r->up = fmax(r->up + x - 0.5 * s, 0);
    r->down = fmax(r->down - x - 0.5 * s, 0);
    if (fmax(r->up, r->down) < set.drift * s)
        return;
    double sum = r->up > r->down ? r->up : -r->down;
    r->up = r->down = 0;
    say(symbol, ANOMALY_DRIFT, r->time, sum, 0, sum / s, set.drift);
}

static void begin(unsigned symbol)
{
    struct ref *r = &refs[symbol];
    int64_t start;
    session_at(r->live, &start);
    r->begun = true;
    r->session = start;
    r->day = day_start(r->live);
    r->from = r->n;
    r->quotes_from = r->quotes;
    r->wide = r->crossed = false;
    r->up = r->down = 0;
    r->silent = INT64_MAX;
    r->n_days = 0;
    for (int k = 0; k < ANOMALY_KINDS; k++)
        r->last[k] = INT64_MIN;
    norms(symbol);
}

/* The day that has ended, as its prints have it now. */
static void end_day(struct ref *r)
{
    struct refday d = {.start = r->day};
    bool any = false, earlier = false;
    for (unsigned i = 0; i < r->n; i++)
        earlier |= r->print[i].ev < r->day;
    for (int m = 0; m < DAY_MIN; m++) {
        struct refbar b;
        bool has = bar_of(r, r->day / MIN + m, &b);
        any |= has;
        d.volume[m] = m >= CLOSED_MIN || !(any || earlier) ? -1 : has ? (double)b.volume : 0;
    }
    if (any)
        r->days[r->n_days++] = d;
}

static void move(unsigned symbol, int64_t t)
{
    struct ref *r = &refs[symbol];
    bool traded = false;
    int64_t start, old = r->live;
    r->time = t > r->time ? t : r->time;
    if (r->live != INT64_MIN && r->time < r->live + MIN)
        return;
    for (unsigned i = 0; i < r->n; i++)
        traded |= r->print[i].ev / MIN * MIN == old;
    r->live = r->time / MIN * MIN;
    if (!watched)
        return;
    if (!r->begun) {
        begin(symbol);
        return;
    }
    if (traded)
        drift(symbol);
    if (r->day != day_start(r->live)) {
        end_day(r);
        r->day = day_start(r->live);
        r->from = r->n;
    }
    session_at(r->live, &start);
    if (r->session != start) {
        r->session = start;
        r->up = r->down = 0;
        r->quotes_from = r->quotes;
        r->wide = false;
        r->silent = INT64_MAX;
    }
    norms(symbol);
}

/* Last sales that are watched, oldest first. */
static unsigned sales(const struct ref *r, const struct print **out)
{
    unsigned n = 0;
    for (unsigned i = (unsigned)r->from; i < r->n; i++)
        if (r->print[i].last)
            out[n++] = &r->print[i];
    return n;
}

static void moments(const double *v, unsigned n, double *mean, double *s)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < n; i++)
        sum += v[i];
    *mean = sum / n;
    for (unsigned i = 0; i < n; i++)
        squares += (v[i] - *mean) * (v[i] - *mean);
    *s = sqrt(squares / (n - 1));
}

static void prices(unsigned symbol, int64_t p)
{
    static const struct print *sale[PRINTS];
    struct ref *r = &refs[symbol];
    unsigned n = sales(r, sale);
    double v[40], mean, s, unit = tick(symbol, p), x = (double)p;
    if (n >= 40 && set.suspect > 0) {
        for (unsigned i = 0; i < 40; i++)
            v[i] = (double)sale[n - 40 + i]->price;
        qsort(v, 40, sizeof *v, by_value);
        moments(v + 4, 32, &mean, &s);
        double band = set.suspect * s + 2 * unit;
        if (fabs(x - mean) > band)
            say(symbol, ANOMALY_SUSPECT, r->time, x, mean, (x - mean) / band * set.suspect, set.suspect);
    }
    if (n >= 20 && set.zscore > 0) {
        for (unsigned i = 0; i < 20; i++)
            v[i] = (double)sale[n - 20 + i]->price;
        moments(v, 20, &mean, &s);
        double z = (x - mean) / fmax(s, unit);
        if (fabs(z) >= set.zscore)
            say(symbol, z > 0 ? ANOMALY_SPIKE : ANOMALY_DROP, r->time, x, mean, z, set.zscore);
    }
}

static void silence_set(struct ref *r)
{
    static const struct print *sale[PRINTS];
    int64_t start;
    unsigned n = sales(r, sale);
    r->silent = INT64_MAX;
    if (n < 40 || session_at(r->live, &start) != SESSION_MARKET || set.silence_min <= 0)
        return;
    int64_t gaps = 10 * ((sale[n - 1]->t - sale[n - 40]->t) / 39), least = (int64_t)set.silence_min * MIN;
    r->silent = r->time + (gaps > least ? gaps : least);
}

static void minute_check(unsigned symbol, int kind, int which, const struct norm *n, double value, double thr)
{
    struct ref *r = &refs[symbol];
    if (r->told[which] || !n->known || thr <= 0 || value < n->middle + thr * n->deviation)
        return;
    r->told[which] = true;
    say(symbol, kind, r->time, value, n->middle, (value - n->middle) / n->deviation, thr);
}

static void on_trade(unsigned symbol, int64_t ev, int64_t clock, int64_t p, uint64_t size)
{
    struct ref *r = &refs[symbol];
    struct refbar live;
    move(symbol, ev > clock ? ev : clock);
    bool past = ev < r->live, late = past && (ev / MIN + 1) * MIN + lateness <= r->time;
    struct print x = {ev, p, r->time, size, !late};
    assert_true(r->n < PRINTS);
    if (watched && !late) {
        if (!r->begun)
            begin(symbol);
        prices(symbol, p);
    }
    r->print[r->n++] = x;
    if (!watched || late)
        return;
    silence_set(r);
    if (bar_of(r, r->live / MIN, &live)) {
        minute_check(symbol, ANOMALY_VOLATILITY, 0, &r->range, (double)(live.high - live.low),
                     set.volatility);
    }
    minute_check(symbol, ANOMALY_VOLUME, 1, &r->volume, (double)live.volume, set.volume);
    minute_check(symbol, ANOMALY_BURST, 2, &r->burst, live.trades, set.burst);
}

static void on_quote(unsigned symbol, int64_t ev, int64_t clock, int64_t bid, int64_t ask)
{
    struct ref *r = &refs[symbol];
    double sample[QUOTES], spread = (double)(ask - bid), ticks = -spread / tick(symbol, ask);
    unsigned n = 0;
    move(symbol, ev > clock ? ev : clock);
    if (!watched)
        return;
    if (!r->begun)
        begin(symbol);
    bool crossed = bid && ask && ticks > 0 && set.crossed > 0 && ticks >= set.crossed, wide = false;
    if (crossed && !r->crossed)
        say(symbol, ANOMALY_CROSSED, r->time, spread, 0, ticks, set.crossed);
    r->crossed = crossed;
    if (!bid || !ask || spread < 0)
        return;
    int64_t at = INT64_MIN / 2;
    for (unsigned i = r->quotes_from; i < r->quotes; i++)
        if (r->quote[i].t - at >= SEC) {
            at = r->quote[i].t;
            sample[n++] = (double)r->quote[i].spread;
        }
    if (n >= 40) {
        struct norm w = norm_of(sample + n - 40, 40, (double)tick_of[symbol]);
        wide = set.spread > 0 && spread >= w.middle + set.spread * w.deviation;
        if (wide && !r->wide)
            say(symbol, ANOMALY_SPREAD, r->time, spread, w.middle, (spread - w.middle) / w.deviation,
                set.spread);
    }
    r->wide = wide;
    assert_true(r->quotes < QUOTES);
    r->quote[r->quotes++] = (struct quote){r->time, ask - bid};
}

static void on_clock(unsigned symbol, int64_t t)
{
    static const struct print *sale[PRINTS];
    struct ref *r = &refs[symbol];
    if (r->live == INT64_MIN)
        return; /* no message yet */
    move(symbol, t);
    if (!watched || !r->begun || t < r->silent)
        return;
    unsigned n = sales(r, sale);
    double last = (double)sale[n - 1]->t, quiet = ((double)r->time - last) / (double)MIN;
    double due = ((double)r->silent - last) / (double)MIN;
    r->silent = INT64_MAX;
    say(symbol, ANOMALY_SILENCE, r->time, quiet, (last - (double)sale[n - 40]->t) / 39 / (double)MIN, quiet,
        due);
}

static void on_setting(const char *text)
{
    if (!strncmp(text, "anomalies.enabled=", 18)) {
        bool on = !strcmp(text + 18, "true");
        for (unsigned i = 0; on && !watched && i < SYMBOLS; i++)
            refs[i].begun = false;
        watched = on;
    } else if (!strncmp(text, "anomalies.", 10)) {
        assert_true(anomaly_setting(&set, text));
    }
}

/* Gives a tape to the reference; what it says is in told[]. */
static void reference(const struct tape *t)
{
    int64_t clock[SYMBOLS];
    n_told = 0;
    watched = false;
    anomaly_settings_default(&set);
    for (unsigned i = 0; i < SYMBOLS; i++) {
        struct print *print = refs[i].print ? refs[i].print : malloc(PRINTS * sizeof *print);
        struct quote *quote = refs[i].quote ? refs[i].quote : malloc(QUOTES * sizeof *quote);
        refs[i] = (struct ref){.print = print, .quote = quote, .time = INT64_MIN, .live = INT64_MIN};
        clock[i] = INT64_MIN;
    }
    for (size_t at = 0; at < t->n; at += msg_slot_count(&t->slot[at])) {
        const struct msg *m = &t->slot[at];
        char text[200] = "";
        seq_now = m->seq;
        if (m->type == MSG_TRADE) {
            on_trade(m->symbol, m->event_ns, clock[m->symbol], m->trade.price_e9, m->trade.size);
        } else if (m->type == MSG_QUOTE) {
            on_quote(m->symbol, m->event_ns, clock[m->symbol], m->quote.bid_e9, m->quote.ask_e9);
        } else if (m->type == MSG_CLOCK) {
            clock[m->symbol] = m->event_ns; /* bucket i holds symbol i alone */
            on_clock(m->symbol, m->event_ns);
        } else if (m->type == MSG_SETTING) {
            msg_get(m, MSG_FIRST_BYTES, text, m->part.len);
            on_setting(text);
        } else if (m->type == MSG_SYMBOL) {
            tick_of[m->symbol] = m->sym.tick_e9;
        }
    }
}

/* ---- markets */

static void market_symbols(struct tape *t)
{
    static const char *const names[SYMBOLS] = {"A", "B", "C"};
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        size_t at = t->n;
        put_symbol(t, i, names[i], i, 0, 0);
        t->slot[at].sym.tick_e9 = PX(0.01);
    }
}

/* Days of a quiet walk, in which now and then something happens. */
static void market(struct tape *t, uint64_t *seed)
{
    int64_t price[SYMBOLS], now = day_start(T0), until;
    unsigned pace[SYMBOLS] = {2, 4, 11}, enable_at = one_in(seed, 3) ? 2000 : 0, n = 0;
    for (int d = 0; d <= DAYS; d++) {
        int64_t s = now + d * DAY_MIN * MIN;
        put_setting(t, "calendar.0=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, s, s + MARKET_MIN * MIN,
                    s + POST_MIN * MIN, s + CLOSED_MIN * MIN);
    }
    put_setting(t, "anomalies.cooldown_s=%u", one_in(seed, 2) ? 0 : 30);
    put_setting(t, "anomalies.silence_min=1");
    put_setting(t, "anomalies.zscore=%u.007", 2 + random_below(seed, 2));
    put_setting(t, "anomalies.volume=%u.5", 2 + random_below(seed, 3));
    if (!enable_at)
        put_setting(t, "anomalies.enabled=true");
    market_symbols(t);
    for (unsigned i = 0; i < SYMBOLS; i++)
        price[i] = PX(50.0 + 40 * i);
    until = now + (DAYS * DAY_MIN - 20) * MIN;
    for (; now < until; now += SEC) {
        for (uint32_t i = 0; i < SYMBOLS; i++)
            put_clock(t, i, bucket_grid_floor(i, now));
        bool open = now - day_start(now) < (CLOSED_MIN + 2) * MIN;
        for (uint32_t i = 0; i < SYMBOLS && open; i++) {
            bool burst = now / (40 * SEC) % 97 == 13 + i, still = now / MIN % 53 < 2,
                 jump = one_in(seed, 900);
            if (still || !one_in(seed, burst ? 1 : 6 * pace[i]))
                continue;
            unsigned trades = burst ? 1 + random_below(seed, 4) : 1;
            for (unsigned k = 0; k < trades; k++) {
                int64_t step = ((int64_t)random_below(seed, 5) - 2) * PX(0.01), late = 0;
                price[i] += step + (now / (15 * MIN) % 7 == 3 ? PX(0.02) : 0);
                int64_t p = jump ? price[i] + (one_in(seed, 2) ? 1 : -1) * PX(0.4) : price[i];
                if (one_in(seed, 15))
                    late = random_below(seed, one_in(seed, 4) ? 300 : 3) * SEC;
                put_trade(t, i, now - late + random_below(seed, 900) * MS, p,
                          1 + random_below(seed, burst ? 400 : 90));
                if (++n == enable_at)
                    put_setting(t, "anomalies.enabled=true");
            }
        }
        for (uint32_t i = 0; i < SYMBOLS && open; i++)
            if (one_in(seed, 4 + 3 * i)) {
                int64_t half = one_in(seed, 150) ? PX(0.3) : PX(0.01) * (1 + random_below(seed, 2));
                bool crossed = one_in(seed, 120);
                put_quote(t, i, now + random_below(seed, 999) * MS, price[i] - (crossed ? -half : half),
                          one_in(seed, 60) ? 0 : price[i] + (crossed ? -half : half));
            }
    }
    put_end(t);
    tape_stamp(t, 1);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(1, fmax(fabs(a), fabs(b)));
}

static struct msg_anomaly anomaly_of(const struct msg *m)
{
    struct msg_anomaly x;
    msg_get(m, 0, &x, sizeof x);
    return x;
}

static unsigned compare(const struct tape *events, uint64_t seed, unsigned kinds[ANOMALY_KINDS])
{
    unsigned i = 0;
    for (size_t at = 0; at < events->n; at += msg_slot_count(&events->slot[at])) {
        const struct msg *m = &events->slot[at];
        if (m->type != MSG_ANOMALY)
            continue;
        struct msg_anomaly x = anomaly_of(m);
        const struct told *v = &told[i];
        bool same = i < n_told && v->seq == m->seq && v->symbol == m->symbol && v->kind == x.kind &&
                    v->t == m->event_ns && near(v->a.value, x.value) && near(v->a.expected, x.expected) &&
                    near(v->a.score, x.score) && near(v->a.threshold, x.threshold);
        if (!same)
            fail_msg("seed %" PRIu64 ", anomaly %u: engine seq %" PRIu64 " symbol %u %s t %.3f value %.9g of "
                     "%.9g score %.9g/%g; reference seq %" PRIu64 " symbol %u %s t %.3f value %.9g of %.9g "
                     "score %.9g/%g",
                     seed, i, m->seq, m->symbol, anomaly_rows[x.kind].type, (double)(m->event_ns - T0) / 1e9,
                     x.value, x.expected, x.score, x.threshold, i < n_told ? v->seq : 0, v->symbol,
                     anomaly_rows[v->kind].type, (double)(v->t - T0) / 1e9, v->a.value, v->a.expected,
                     v->a.score, v->a.threshold);
        kinds[x.kind]++;
        i++;
    }
    if (i != n_told)
        fail_msg("seed %" PRIu64 ": the engine tells %u, the reference %u, the next %s at seq %" PRIu64, seed,
                 i, n_told, anomaly_rows[told[i].kind].type, told[i].seq);
    return i;
}

static void test_reference(void **state)
{
    const char *env = getenv("SEEDS");
    uint64_t first = seed_or(1), seeds = env ? strtoull(env, NULL, 0) : 6;
    unsigned kinds[ANOMALY_KINDS] = {0};
    (void)state;
    for (uint64_t n = first; n < first + seeds; n++) {
        struct tape t = {0};
        struct bench b;
        uint64_t seed = n;
        market(&t, &seed);
        reference(&t);
        bench_open(&b, NULL);
        bench_apply(&b, &t, 1 + n % 40);
        compare(&b.events, n, kinds);
        assert_int_equal(engine_counters(b.e)->anomalies, n_told);
        bench_close(&b);
        tape_free(&t);
    }
    for (int k = 0; k < ANOMALY_KINDS; k++) {
        print_message("%s %u\n", anomaly_rows[k].type, kinds[k]);
        bool of_many = k == ANOMALY_SECTOR; /* of many symbols: test_peers */
        assert_true((kinds[k] > 0) == !of_many || seeds < 5);
    }
}

/* An engine that goes on from pieces, of random moments, tells what the first one does. */
static void test_saved(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 6; n++) {
        struct tape t = {0};
        struct bench a, b;
        struct error err;
        uint64_t seed = n;
        market(&t, &seed);
        bench_open(&a, NULL);
        bench_open(&b, NULL);
        size_t max = engine_save_max(&a.limits), cut = t.n / 3 + random_below(&seed, (uint32_t)t.n / 2), at;
        uint8_t *room = malloc(max);
        for (at = 0; at < cut; at += msg_slot_count(&t.slot[at])) {
            struct tape one = {&t.slot[at], msg_slot_count(&t.slot[at]), 0};
            bench_apply(&a, &one, 0);
            if (t.slot[at].type == MSG_SETTING || t.slot[at].type == MSG_SYMBOL)
                bench_apply(&b, &one, 0);
        }
        a.events.n = b.events.n = 0;
        for (uint32_t bucket = 0; bucket < SYMBOLS; bucket++)
            for (enum engine_piece piece = ENGINE_PIECE_PART; piece != ENGINE_PIECE_BUCKET;) {
                size_t bytes = engine_save(a.e, bucket, room, max, &piece);
                assert_true(bytes > 0);
                if (engine_load(b.e, room, bytes, piece == ENGINE_PIECE_BUCKET, &err) < 0)
                    fail_msg("%s", err.text);
                /* whatever is in a file: refused, or taken without harm */
                room[random_below(&seed, (uint32_t)bytes)] ^= 1u << random_below(&seed, 8);
            }
        struct tape rest = {t.slot + at, t.n - at, 0};
        bench_apply(&a, &rest, 0);
        bench_apply(&b, &rest, 7);
        assert_int_equal(a.events.n, b.events.n);
        assert_memory_equal(a.events.slot, b.events.slot, a.events.n * sizeof *a.events.slot);
        assert_true(engine_counters(b.e)->anomalies > 10);
        free(room);
        bench_close(&a);
        bench_close(&b);
        tape_free(&t);
    }
}

/* Pieces with a byte changed are refused, or make wrong anomalies; nothing breaks. */
static void test_hostile(void **state)
{
    struct tape t = {0};
    struct bench a;
    struct error err;
    uint64_t seed = seed_or(5);
    (void)state;
    market(&t, &seed);
    bench_open(&a, NULL);
    bench_apply(&a, &t, 0);
    size_t max = engine_save_max(&a.limits);
    uint8_t *room = malloc(max), *copy = malloc(max);
    for (enum engine_piece piece = ENGINE_PIECE_PART; piece != ENGINE_PIECE_BUCKET;) {
        size_t bytes = engine_save(a.e, 1, room, max, &piece);
        for (int i = 0; i < 40; i++) {
            struct bench b;
            bench_open(&b, NULL);
            put_setting(&b.events, "anomalies.enabled=true");
            bench_apply(&b, &b.events, 0);
            memcpy(copy, room, bytes);
            for (int k = 0; k < 8; k++)
                copy[piece == ENGINE_PIECE_BUCKET ? bytes - 1 - random_below(&seed, 2000)
                                                  : random_below(&seed, (uint32_t)bytes)] =
                    (uint8_t)random_next(&seed);
            struct tape rest = {t.slot + t.n - t.n / 20, t.n / 20, 0};
            while (rest.slot[0].flags & MSG_F_CONT)
                rest.slot++, rest.n--;
            if (engine_load(b.e, copy, bytes, piece == ENGINE_PIECE_BUCKET, &err) == 0)
                bench_apply(&b, &rest, 0);
            bench_close(&b);
        }
    }
    free(room);
    free(copy);
    bench_close(&a);
    tape_free(&t);
}

/* Off by default, and nothing is told of a tape with all of it. */
static void test_off(void **state)
{
    struct tape t = {0};
    struct bench b;
    (void)state;
    market_symbols(&t);
    for (int i = 0; i < 200; i++)
        put_trade(&t, 0, T0 + i * SEC, i % 50 == 49 ? PX(200) : PX(100), 100);
    tape_stamp(&t, 1);
    bench_open(&b, NULL);
    bench_apply(&b, &t, 0);
    assert_int_equal(engine_counters(b.e)->anomalies, 0);
    bench_close(&b);
    tape_free(&t);
}

/* ---- the arithmetic */

static void test_tick(void **state)
{
    (void)state;
    assert_int_equal(anomaly_tick(PX(0.05), PX(3)), PX(0.05));
    assert_int_equal(anomaly_tick(0, PX(167.5)), PX(0.01));
    assert_int_equal(anomaly_tick(0, PX(100)), PX(0.01));
    assert_int_equal(anomaly_tick(0, PX(99.99)), PX(0.001));
    assert_int_equal(anomaly_tick(0, PX(65000)), PX(1));
    assert_int_equal(anomaly_tick(0, 1234), 1);
    assert_int_equal(anomaly_tick(0, INT64_MAX), INT64_C(100000000000000));
}

static void test_severity(void **state)
{
    (void)state;
    assert_int_equal(anomaly_severity(&(struct anomaly){.score = 3, .threshold = 3}), ANOMALY_LOW);
    assert_int_equal(anomaly_severity(&(struct anomaly){.score = -4.5, .threshold = 3}), ANOMALY_MEDIUM);
    assert_int_equal(anomaly_severity(&(struct anomaly){.score = 6, .threshold = 3}), ANOMALY_HIGH);
    assert_string_equal(anomaly_severity_names[ANOMALY_HIGH], "high");
}

static void test_settings(void **state)
{
    struct anomaly_settings s;
    (void)state;
    anomaly_settings_default(&s);
    assert_true(s.suspect == 3 && s.zscore == 3 && s.drift == 5 && s.volume == 6 && s.silence_min == 5);
    assert_true(anomaly_setting(&s, "anomalies.zscore=2.125") && s.zscore == 2.125);
    assert_true(anomaly_setting(&s, "anomalies.silence_min=1440") && s.silence_min == 1440);
    static const char *const bad[] = {"anomalies.zscore=",        "anomalies.zscore=1.2345",
                                      "anomalies.zscore=-1",      "anomalies.zscore=1001",
                                      "anomalies.silence_min=.5", "anomalies.silence_min=1441",
                                      "anomalies.other=1",        "bars.keep=1"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(anomaly_setting(&s, bad[i]));
}

/* 40 prices at 100.00: 2 ticks are within the band, 3 are not. One far off does not widen it. */
static void test_suspect(void **state)
{
    struct anomaly_prices p = {0};
    struct anomaly a;
    (void)state;
    for (int i = 0; i < 39; i++)
        anomaly_prices_add(&p, PX(100));
    assert_false(anomaly_suspect(&p, PX(200), PX(0.01), 3, &a)); /* warm-up */
    anomaly_prices_add(&p, PX(150));
    assert_false(anomaly_suspect(&p, PX(100.02), PX(0.01), 3, &a));
    assert_true(anomaly_suspect(&p, PX(100.03), PX(0.01), 3, &a));
    assert_true(near(a.score, 4.5) && near(a.expected, (double)PX(100)) && a.threshold == 3);
    assert_true(anomaly_suspect(&p, PX(99.97), PX(0.01), 3, &a) && a.score < 0);
    assert_false(anomaly_suspect(&p, PX(200), PX(0.01), 0, &a)); /* off */
    for (int i = 0; i < 40; i++)
        anomaly_prices_add(&p, PX(1 + i % 7));
    struct anomaly_prices again = p;
    anomaly_prices_sort(&again);
    assert_memory_equal(again.sorted, p.sorted, sizeof p.sorted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tick),    cmocka_unit_test(test_severity), cmocka_unit_test(test_settings),
        cmocka_unit_test(test_suspect), cmocka_unit_test(test_off),      cmocka_unit_test(test_reference),
        cmocka_unit_test(test_saved),   cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
