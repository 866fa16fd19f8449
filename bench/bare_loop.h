/* The least code that does the same arithmetic as the engine for the benchmark's rules: no late prints, no
 * clocks, no sessions, no alerts, one thread, rules known when it is compiled. What the engine costs above it
 * is the price of being general.
 *
 *   BARE_BARS    the minute's OHLC, volume, 128-bit sum of price x size; a bar is written when the next
 * minute begins BARE_PRICE   … and where the price stands among sorted thresholds BARE_MARKET  … and where
 * change_pct_1m, change_pct_5m and rsi(14)@1m stand, live, each among its thresholds
 */
#ifndef BENCH_BARE_LOOP_H
#define BENCH_BARE_LOOP_H

#include <stdlib.h>

#include "core/bucket.h"
#include "core/message.h"

enum bare_kind { BARE_BARS, BARE_PRICE, BARE_MARKET };
enum { BARE_METRICS = 3, BARE_RULES_MAX = 100, BARE_BARS_KEPT = 16, BARE_AHEAD = 12, BARE_RSI = 14 };

struct bare_bar {
    __int128 pv;
    int64_t start_ns, open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
};

struct bare_symbol {
    struct bare_bar live;
    /* what ended bars give to the live minute */
    double before_1m, before_5m; /* closes at 1e-9; 0 = none */
    double gain, loss, last;
    uint32_t cursor[BARE_METRICS];
    uint32_t bars;
    struct {
        int64_t start_ns, close_e9;
    } ended[BARE_BARS_KEPT];
} __attribute__((aligned(64)));

struct bare {
    enum bare_kind kind;
    uint32_t n; /* thresholds of each metric */
    int64_t price_bound[BARE_RULES_MAX + 1];
    double bound[BARE_METRICS][BARE_RULES_MAX + 1]; /* ascending, infinite at the end */
    uint64_t flips, bars;
    struct bare_bar out[256]; /* where ended bars go */
    struct bare_symbol *symbol;
};

static inline void bare_roll(struct bare *b, struct bare_symbol *s, int64_t start_ns, int64_t price_e9)
{
    struct bare_bar *l = &s->live;
    if (l->start_ns) {
        b->out[b->bars++ % 256] = *l;
        s->ended[s->bars++ % BARE_BARS_KEPT].start_ns = l->start_ns;
        s->ended[(s->bars - 1) % BARE_BARS_KEPT].close_e9 = l->close_e9;
        double close = (double)l->close_e9, x = s->bars > 1 ? close - s->last : 0;
        double weight = s->bars > BARE_RSI + 1 ? BARE_RSI - 1 : 1, of = s->bars > BARE_RSI ? BARE_RSI : 1;
        s->gain = (s->gain * weight + (x > 0 ? x : 0)) / of;
        s->loss = (s->loss * weight + (x < 0 ? -x : 0)) / of;
        s->last = s->before_1m = close;
        uint32_t i = s->bars, oldest = s->bars > BARE_BARS_KEPT ? s->bars - BARE_BARS_KEPT : 0;
        while (i > oldest && s->ended[(i - 1) % BARE_BARS_KEPT].start_ns > start_ns - 5 * MINUTE_NS)
            i--;
        s->before_5m = i > oldest ? (double)s->ended[(i - 1) % BARE_BARS_KEPT].close_e9 : 0;
    }
    *l =
        (struct bare_bar){.start_ns = start_ns, .open_e9 = price_e9, .high_e9 = price_e9, .low_e9 = price_e9};
}

static inline void bare_move(struct bare *b, uint32_t *cursor, const double *bound, double value)
{
    uint32_t c = *cursor;
    while (value > bound[c]) {
        c++;
        b->flips++;
    }
    while (c && value <= bound[c - 1])
        c--;
    *cursor = c;
}

static inline void bare_market(struct bare *b, struct bare_symbol *s)
{
    double price = (double)s->live.close_e9;
    if (s->before_1m > 0)
        bare_move(b, &s->cursor[0], b->bound[0], (price - s->before_1m) * 100.0 / s->before_1m);
    if (s->before_5m > 0)
        bare_move(b, &s->cursor[1], b->bound[1], (price - s->before_5m) * 100.0 / s->before_5m);
    if (s->bars >= BARE_RSI) {
        double x = price - s->last, weight = s->bars > BARE_RSI ? BARE_RSI - 1 : 1;
        double gain = s->gain * weight + (x > 0 ? x : 0), loss = s->loss * weight + (x < 0 ? -x : 0);
        bare_move(b, &s->cursor[2], b->bound[2], loss > 0 ? 100.0 * gain / (gain + loss) : 100.0);
    }
}

static inline void bare_price(struct bare *b, struct bare_symbol *s)
{
    uint32_t c = s->cursor[0];
    while (s->live.close_e9 > b->price_bound[c]) {
        c++;
        b->flips++;
    }
    while (c && s->live.close_e9 <= b->price_bound[c - 1])
        c--;
    s->cursor[0] = c;
}

static inline __attribute__((always_inline)) void bare_loop(struct bare *b, const struct msg *m, size_t n,
                                                            enum bare_kind kind, bool ahead)
{
    for (size_t i = 0; i < n; i++) {
        if (ahead && i + BARE_AHEAD < n) {
            const char *next = (const char *)&b->symbol[m[i + BARE_AHEAD].symbol];
            for (int line = 0; line < (kind == BARE_BARS ? 1 : 2); line++)
                __builtin_prefetch(next + 64 * line, 1);
        }
        if (m[i].type != MSG_TRADE)
            continue;
        struct bare_symbol *s = &b->symbol[m[i].symbol];
        int64_t p = m[i].trade.price_e9;
        if ((uint64_t)(m[i].event_ns - s->live.start_ns) >= MINUTE_NS)
            bare_roll(b, s, m[i].event_ns / MINUTE_NS * MINUTE_NS, p);
        s->live.high_e9 = p > s->live.high_e9 ? p : s->live.high_e9;
        s->live.low_e9 = p < s->live.low_e9 ? p : s->live.low_e9;
        s->live.close_e9 = p;
        s->live.volume += m[i].trade.size;
        s->live.pv += (__int128)p * m[i].trade.size;
        if (kind == BARE_PRICE)
            bare_price(b, s);
        if (kind == BARE_MARKET)
            bare_market(b, s);
    }
}

/* `ahead`: asks for the symbols of messages to come, where they are many. */
static inline void bare_apply(struct bare *b, const struct msg *m, size_t n, bool ahead)
{
    switch (b->kind) {
    case BARE_BARS:
        ahead ? bare_loop(b, m, n, BARE_BARS, true) : bare_loop(b, m, n, BARE_BARS, false);
        break;
    case BARE_PRICE:
        ahead ? bare_loop(b, m, n, BARE_PRICE, true) : bare_loop(b, m, n, BARE_PRICE, false);
        break;
    case BARE_MARKET:
        ahead ? bare_loop(b, m, n, BARE_MARKET, true) : bare_loop(b, m, n, BARE_MARKET, false);
        break;
    }
}

#endif
