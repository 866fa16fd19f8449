/* sim:key=value,… A market that nobody recorded: a seed gives the same ticks on any machine (integers; of
 * doubles only + - * / sqrt in a fixed order).
 *
 * Activity falls with the symbol's rank as 1/(rank + 10). Ticks come at `rate` per second; around the open,
 * `open` seconds after the start, they and their sizes are `burst` times as dense, and again somewhat towards
 * the close: the U of a trading day. Prices walk on a grid of 0.01, in regimes of calm and storm, with jumps,
 * halts and gaps of the feed.
 */
#include "net/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* enum suffix, key, default, least, most, decimals allowed, what it is */
#define OPTIONS(X)                                                                                           \
    X(SYMBOLS, "symbols", "2000", "1", "100000", 0, "how many symbols")                                      \
    X(SEED, "seed", "1", "0", "9000000000", 0, "another seed is another market")                             \
    X(MINUTES, "minutes", "0", "0", "100000", 9, "length; 0 with seconds=0 is endless")                      \
    X(SECONDS, "seconds", "0", "0", "6000000", 9, "length beside the minutes")                               \
    X(RATE, "rate", "10000", "1", "100000000", 0, "ticks per second, before bursts")                         \
    X(QUOTES, "quotes", "0.5", "0", "1", 9, "fraction of the ticks that are quotes")                         \
    X(OPEN, "open", "300", "0", "86400", 0, "seconds from the start to the open")                            \
    X(BURST, "burst", "4", "1", "100", 9, "times the rate at the open; 1 = even all day")                    \
    X(HALTS, "halts", "6", "0", "100000", 9, "halts per hour: a symbol is silent for 5 minutes")             \
    X(JUMPS, "jumps", "60", "0", "100000", 9, "jumps per hour: a price moves by up to 5 %")                  \
    X(GAPS, "gaps", "0", "0", "100000", 9, "gaps per hour: nothing comes for 1 to 10 seconds")               \
    X(BAD, "bad", "0.00001", "0", "1", 9, "fraction of the trades that are outliers or refused")             \
    X(CANCELS, "cancels", "0.5", "0", "1", 9,                                                                \
      "fraction of the outliers that are cancelled seconds later, half of them for a right one")
#define X(id, key, def, least, most, places, help) OPTION_##id,
enum option { OPTIONS(X) OPTION_COUNT };
#undef X
#define X(id, key, def, least, most, places, help) {key, def, least, most, places},
static const struct {
    const char *key, *def, *least, *most;
    unsigned places;
} options[OPTION_COUNT] = {OPTIONS(X)};
#undef X

static const char default_start[] = "2026-03-02T09:25:00-05:00";

/* Prices are kept in 1/STEP cents, within these cents. */
enum { STEP = 65536, PRICE_LEAST = 100, PRICE_MOST = 500000 };
enum { HALT_S = 300, HALTED_MAX = 64, REGIME_TURNS = 6000, REGIMES = 4, CANCELS_MAX = 64 };
static const int64_t second_ns = 1000000000, cent_e9 = 10000000;
static const uint8_t regime_e4[REGIMES] = {2, 6, 15, 40}; /* a minute's standard deviation, of the price */

struct sim_symbol {
    int64_t price;
    uint32_t unit; /* 2^20 of noise 1 of a tick where the minute's deviation is 1 */
    uint8_t regime;
    bool halted;
    uint32_t alias, threshold; /* Walker's table: a draw of this symbol gives it, or its alias */
};

/* A print that will be cancelled. */
struct sim_cancel {
    int64_t at_ns;
    struct msg print; /* as it should have been */
    bool correct;     /* … and as which it comes again */
};

struct sim_source {
    struct source base;
    uint64_t random[4]; /* xoshiro256++ */
    int64_t start_ns, end_ns, open_ns, now_ns;
    int64_t pace_ns;    /* until when `mean` holds */
    uint64_t mean;      /* twice the mean distance of ticks, 1/256 ns */
    uint64_t intensity; /* of the rate, 1/256 */
    uint64_t fraction;  /* of now, 1/256 ns */
    uint64_t trade_id;
    int64_t option_e9[OPTION_COUNT];
    uint32_t quote_below, bad_below; /* 32-bit draws */
    uint32_t halted, halt_symbol[HALTED_MAX];
    int64_t halt_end_ns[HALTED_MAX];
    uint32_t symbols;
    struct sim_symbol *symbol;
    uint32_t cancels, cancel_below; /* waiting, in their order; 16-bit draws */
    struct sim_cancel cancel[CANCELS_MAX];
    uint32_t made, made_at; /* by a turn: they go first */
    struct msg made_slot[HALTED_MAX + 1 + 2 * CANCELS_MAX];
};

static inline uint64_t rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* Blackman and Vigna's xoshiro256++. */
static inline uint64_t next_random(struct sim_source *m)
{
    uint64_t *s = m->random, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void seed_random(struct sim_source *m, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        m->random[i] = z ^ z >> 31;
    }
}

/* 0 to n - 1, near enough to even. */
static inline uint32_t below(uint64_t draw32, uint32_t n)
{
    return (uint32_t)((draw32 & 0xffffffffu) * n >> 32);
}

static int bad_value(const char *key, const char *value, size_t len, const char *least, const char *most,
                     unsigned places, struct error *err)
{
    return error_set(err, "%s=%.*s: expected a %s from %s to %s", key, (int)(len < 60 ? len : 60), value,
                     places ? "number" : "whole number", least, most);
}

static int set_option(struct sim_source *m, enum option o, const char *value, size_t len, struct error *err)
{
    int64_t v, least, most;
    if (decimal_parse(options[o].least, strlen(options[o].least), 9, &least) != DECIMAL_OK ||
        decimal_parse(options[o].most, strlen(options[o].most), 9, &most) != DECIMAL_OK)
        return error_set(err, "%s: its limits do not fit", options[o].key);
    if (decimal_parse(value, len, 9, &v) != DECIMAL_OK || v < least || v > most ||
        (options[o].places == 0 && v % second_ns != 0))
        return bad_value(options[o].key, value, len, options[o].least, options[o].most, options[o].places,
                         err);
    m->option_e9[o] = v;
    return 0;
}

static int unknown_key(const char *key, size_t len, struct error *err)
{
    const char *names[OPTION_COUNT + 1];
    char word[32], known[200] = "start";
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        names[i] = options[i].key;
        snprintf(known + strlen(known), sizeof known - strlen(known), ", %s", names[i]);
    }
    names[OPTION_COUNT] = "start";
    snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), key);
    const char *near = error_nearest(word, names, OPTION_COUNT + 1);
    return error_set(err, "unknown key '%s'%s%s%s; keys: %s", word, near ? ", did you mean '" : "",
                     near ? near : "", near ? "'?" : "", known);
}

static int take_options(struct sim_source *m, const char *argument, struct error *err)
{
    for (enum option o = 0; o < OPTION_COUNT; o++)
        if (set_option(m, o, options[o].def, strlen(options[o].def), err) < 0)
            return -1;
    if (decimal_parse_time(default_start, sizeof default_start - 1, &m->start_ns) != DECIMAL_OK)
        return error_set(err, "start=%s: no time", default_start);
    for (const char *p = argument; *p; p += *p == ',') {
        size_t len = strcspn(p, ","), key = strcspn(p, "=,");
        const char *value = p + key + 1;
        if (key == len)
            return error_set(err, "'%.*s': expected key=value", (int)(len < 60 ? len : 60), p);
        enum option o = 0;
        while (o < OPTION_COUNT && (strlen(options[o].key) != key || memcmp(options[o].key, p, key)))
            o++;
        if (key == 5 && !memcmp(p, "start", 5)) {
            if (decimal_parse_time(value, len - key - 1, &m->start_ns) != DECIMAL_OK ||
                m->start_ns > INT64_MAX / 2)
                return error_set(err, "start=%.*s: expected a time such as %s, or nanoseconds since 1970",
                                 (int)(len - key - 1 < 60 ? len - key - 1 : 60), value, default_start);
        } else if (o == OPTION_COUNT) {
            return unknown_key(p, key, err);
        } else if (set_option(m, o, value, len - key - 1, err) < 0) {
            return -1;
        }
        p += len;
    }
    return 0;
}

/* Vose's way to build Walker's table: every draw costs one look. */
static int build_activity(struct sim_source *m, struct error *err)
{
    uint32_t n = m->symbols, few = 0, many = n, *order = malloc(n * sizeof *order);
    double *share = malloc(n * sizeof *share), sum = 0;
    if (!order || !share) {
        free(order);
        free(share);
        return error_set(err, "no memory for %u symbols", n);
    }
    for (uint32_t i = 0; i < n; i++)
        sum += share[i] = 1.0 / (i + 10.0);
    double ticks = m->option_e9[OPTION_RATE] / 1e9 * 60; /* of the market in a minute */
    for (uint32_t i = 0; i < n; i++) {
        share[i] /= sum;
        double own = ticks * share[i] < 1 ? 1 : ticks * share[i],
               noise = 2.8284271247461903; /* of 32 coins */
        m->symbol[i].unit = (uint32_t)(m->symbol[i].unit / (noise * sqrt(own)));
        share[i] *= n;
        order[share[i] < 1 ? few++ : --many] = i; /* those below 1 in front, the others from the end */
    }
    for (uint32_t i = 0; i < n; i++) {
        m->symbol[i].alias = i;
        m->symbol[i].threshold = UINT32_MAX;
    }
    while (few > 0 && many < n) {
        uint32_t small = order[--few], large = order[many];
        m->symbol[small].alias = large;
        m->symbol[small].threshold = (uint32_t)(share[small] * 4294967295.0);
        share[large] -= 1 - share[small];
        if (share[large] < 1) {
            many++;
            order[few++] = large;
        }
    }
    free(order);
    free(share);
    return 0;
}

static int build_symbols(struct sim_source *m, struct error *err)
{
    char name[16];
    if (m->symbols > m->base.config.symbols_max)
        return error_set(err, "symbols=%u: limits.symbols is %u", m->symbols, m->base.config.symbols_max);
    m->symbol = calloc(m->symbols, sizeof *m->symbol);
    if (!m->symbol)
        return error_set(err, "no memory for %u symbols", m->symbols);
    for (uint32_t i = 0; i < m->symbols; i++) {
        int n = snprintf(name, sizeof name, "SIM%04u", i + 1);
        if (source_symbol_id(&m->base, name, (size_t)n, 0) != (int32_t)i)
            return error_set(err, "no memory for %u symbols", m->symbols);
        uint64_t r = next_random(m);
        uint32_t cents = 200 + below(r, 3000) + below(r >> 16, 9000) + below(r >> 32, 20000) * (r >> 60 == 0);
        m->symbol[i].price = (int64_t)cents * STEP;
        m->symbol[i].unit = (1 << 19) + below(r >> 8, 3 << 19); /* some are calm, some are wild */
        m->symbol[i].regime = (uint8_t)(r >> 58 & 1);
    }
    return build_activity(m, err);
}

/* The rate's factor at a time, 1/256: 1 before the open, then down from `burst` like 1 / minutes, up towards
 * the close. */
static uint64_t intensity_at(const struct sim_source *m, int64_t now_ns)
{
    const int64_t day_s = 86400, session_s = 23400;
    int64_t extra = (m->option_e9[OPTION_BURST] - second_ns) / 1000; /* 1e-6 */
    int64_t s = (now_ns - m->open_ns) / second_ns;
    if (now_ns < m->open_ns || (s %= day_s) >= session_s)
        return 256;
    int64_t close = session_s - s;
    return 256 +
           (uint64_t)(extra * 256 * 60 / (60 + s) / 1000000 + extra * 64 * 600 / (600 + close) / 1000000);
}

static void jump(struct sim_symbol *s, uint32_t per_mille)
{
    int64_t price = s->price * per_mille / 1000;
    if (price >= PRICE_LEAST * STEP && price <= (int64_t)PRICE_MOST * STEP)
        s->price = price;
}

/* Besides the ticks: at the source's time, before any of them. */
static struct msg *make(struct sim_source *m, enum msg_type type, uint32_t symbol)
{
    struct msg *out = &m->made_slot[m->made++];
    msg_begin(out, type, symbol, MSG_FIRST_BYTES);
    out->event_ns = out->recv_ns = m->now_ns;
    return out;
}

static void make_status(struct sim_source *m, uint32_t symbol, enum status_kind kind)
{
    struct msg_status *s = &make(m, MSG_STATUS, symbol)->status;
    s->kind = (uint8_t)kind;
    if (kind == STATUS_HALTED)
        memcpy(s->reason, "LUDP", 4);
}

static void make_cancels(struct sim_source *m)
{
    uint32_t n = 0;
    for (; n < m->cancels && m->cancel[n].at_ns <= m->now_ns; n++) {
        const struct sim_cancel *c = &m->cancel[n];
        make(m, MSG_CANCEL, c->print.symbol)->cancel.trade_id = c->print.trade.trade_id;
        if (!c->correct)
            continue;
        struct msg *again = make(m, MSG_TRADE, c->print.symbol);
        again->venue = c->print.venue;
        again->flags |= MSG_F_CORRECTION;
        again->trade = c->print.trade;
        again->trade.trade_id = ++m->trade_id;
    }
    m->cancels -= n;
    memmove(m->cancel, m->cancel + n, m->cancels * sizeof *m->cancel);
}

static void end_halts(struct sim_source *m)
{
    for (uint32_t i = 0; i < m->halted;) {
        if (m->halt_end_ns[i] > m->now_ns) {
            i++;
            continue;
        }
        struct sim_symbol *s = &m->symbol[m->halt_symbol[i]];
        s->halted = false;
        make_status(m, m->halt_symbol[i], STATUS_TRADING);
        s->regime = REGIMES - 1;
        jump(s, 970 + below(next_random(m), 61));
        m->halted--;
        m->halt_symbol[i] = m->halt_symbol[m->halted];
        m->halt_end_ns[i] = m->halt_end_ns[m->halted];
    }
}

static inline uint32_t draw_symbol(const struct sim_source *m, uint64_t r)
{
    uint32_t i = below(r, m->symbols);
    return (uint32_t)(r >> 32) < m->symbol[i].threshold ? i : m->symbol[i].alias;
}

static void begin_halt(struct sim_source *m)
{
    uint32_t i = draw_symbol(m, next_random(m));
    if (m->halted == HALTED_MAX || m->halted >= m->symbols / 2 || m->symbol[i].halted)
        return;
    m->symbol[i].halted = true;
    make_status(m, i, STATUS_HALTED);
    m->halt_symbol[m->halted] = i;
    m->halt_end_ns[m->halted++] = m->now_ns + HALT_S * second_ns;
}

/* Does what happens so many times per hour happen in this turn? */
static bool happens(struct sim_source *m, enum option o)
{
    return next_random(m) % (36000 * (uint64_t)second_ns) < (uint64_t)m->option_e9[o];
}

/* Every 100 ms of its time: the pace, and all that goes by time, not by tick. */
static void turn(struct sim_source *m)
{
    m->intensity = intensity_at(m, m->now_ns);
    uint64_t rate = (uint64_t)(m->option_e9[OPTION_RATE] / second_ns) * m->intensity;
    m->mean = (uint64_t)2 * 1000000000u * 256 * 256 / rate;
    m->pace_ns = m->now_ns + second_ns / 10;
    m->made = m->made_at = 0;
    make_cancels(m);
    end_halts(m);
    if (happens(m, OPTION_HALTS))
        begin_halt(m);
    if (happens(m, OPTION_JUMPS))
        jump(&m->symbol[draw_symbol(m, next_random(m))], 950 + below(next_random(m), 101));
    if (happens(m, OPTION_GAPS))
        m->now_ns += second_ns + (int64_t)(next_random(m) % 9000000000u);
    for (uint32_t n = (m->symbols + below(next_random(m), REGIME_TURNS)) / REGIME_TURNS; n > 0; n--) {
        uint64_t r = next_random(m);
        uint32_t chance = (uint32_t)(r >> 60); /* calm is common, a storm is not */
        m->symbol[below(r, m->symbols)].regime = chance < 7 ? 0 : chance < 12 ? 1 : chance < 15 ? 2 : 3;
    }
}

/* A step of the walk: the sum of 32 coins. */
static inline void walk(struct sim_symbol *s, uint64_t r)
{
    int64_t noise = __builtin_popcount((uint32_t)r) - 16;
    s->price += noise * ((s->price * regime_e4[s->regime] * s->unit / 10000) >> 20);
    if (s->price < PRICE_LEAST * STEP)
        s->price = 2 * PRICE_LEAST * STEP - s->price;
    if (s->price > (int64_t)PRICE_MOST * STEP)
        s->price = (int64_t)PRICE_MOST * STEP;
}

static inline uint64_t draw_size(const struct sim_source *m, uint64_t r)
{
    uint32_t lots = 1 + (uint32_t)__builtin_ctz((uint32_t)r | 0x10000) * (uint32_t)(1 + (r >> 32 & 3));
    uint64_t size = (r >> 40 & 3) == 0 ? 1 + (r >> 48 & 127) : lots * 100u; /* a quarter in odd lots */
    return size * (1 + (m->intensity >> 9));
}

/* A print that is no good: far off, or one that a source refuses. False for the latter. */
static bool spoil(struct sim_source *m, uint64_t r, struct msg *out)
{
    static const char zero[] = "price 0", negative[] = "price -1";
    switch (r & 3) {
    case 0:
        source_reject(&m->base, REJECT_PRICE_SIGN, m->base.stats.rows, zero, sizeof zero - 1);
        return false;
    case 1:
        source_reject(&m->base, REJECT_PRICE_SIGN, m->base.stats.rows, negative, sizeof negative - 1);
        return false;
    default:
        if ((r >> 16 & 0xffff) < m->cancel_below && m->cancels < CANCELS_MAX)
            m->cancel[m->cancels++] = (struct sim_cancel){m->now_ns + 5 * second_ns, *out, r >> 32 & 1};
        out->trade.price_e9 =
            out->trade.price_e9 / cent_e9 * (r & 1 ? 80 + (int64_t)(r >> 8 & 7) : 120) / 100 * cent_e9;
        return true;
    }
}

static bool make_tick(struct sim_source *m, struct msg *out)
{
    uint64_t r = next_random(m), details = next_random(m);
    m->fraction += m->mean * (r >> 40) >> 24;
    m->now_ns += (int64_t)(m->fraction >> 8);
    m->fraction &= 255;
    uint32_t id = draw_symbol(m, next_random(m));
    struct sim_symbol *s = &m->symbol[id];
    if (s->halted)
        return false;
    walk(s, details);
    memset(out, 0, sizeof *out);
    out->symbol = id;
    out->event_ns = out->recv_ns = m->now_ns;
    out->venue = (uint8_t) "QNPZ"[r & 3];
    int64_t cents = s->price / STEP, spread = 1 + cents / 5000;
    m->base.stats.rows++;
    if ((uint32_t)(r >> 4) < m->quote_below) {
        out->type = MSG_QUOTE;
        out->quote.bid_e9 = (cents - spread / 2) * cent_e9;
        out->quote.ask_e9 = (cents - spread / 2 + spread) * cent_e9;
        out->quote.bid_size = draw_size(m, details);
        out->quote.ask_size = draw_size(m, details >> 7);
        return true;
    }
    out->type = MSG_TRADE;
    out->trade.price_e9 = (details >> 62 & 1 ? cents - spread / 2 : cents - spread / 2 + spread) * cent_e9;
    out->trade.size = draw_size(m, details);
    out->trade.trade_id = ++m->trade_id;
    out->trade.cond[0] = '@';
    out->trade.tape = 'C';
    return (uint32_t)(details >> 30) >= m->bad_below || spoil(m, next_random(m), out);
}

static int sim_read(struct source *base, struct msg *out, int max)
{
    struct sim_source *m = (struct sim_source *)base;
    int n = 0;
    while (n < max && m->now_ns < m->end_ns) {
        if (m->made_at < m->made) {
            out[n++] = m->made_slot[m->made_at++];
            m->base.stats.rows++;
        } else if (m->now_ns >= m->pace_ns) {
            turn(m);
        } else {
            n += make_tick(m, &out[n]);
        }
    }
    if (n > 0 && out[n - 1].event_ns >= m->end_ns) {
        n--;
        m->base.stats.rows--;
    }
    return n;
}

static void sim_close(struct source *s)
{
    free(((struct sim_source *)s)->symbol);
}

struct source *source_sim_open(const char *argument, const struct source_config *config, struct error *err)
{
    static const struct source_ops ops = {sim_read, sim_close};
    struct sim_source *m = source_new(sizeof *m, &ops, config, err);
    if (!m)
        return NULL;
    if (take_options(m, argument, err) == 0) {
        const int64_t *o = m->option_e9;
        int64_t length_ns = o[OPTION_MINUTES] * 60 + o[OPTION_SECONDS];
        m->base.calendar = CALENDAR_US_EQUITY;
        m->base.tick_e9 = cent_e9;
        m->symbols = (uint32_t)(o[OPTION_SYMBOLS] / second_ns);
        m->now_ns = m->pace_ns = m->start_ns;
        m->open_ns = m->start_ns + o[OPTION_OPEN];
        m->end_ns = length_ns ? m->start_ns + length_ns : INT64_MAX / 2 + INT64_MAX / 4;
        m->quote_below = (uint32_t)(o[OPTION_QUOTES] * 4.294967295);
        m->cancel_below = (uint32_t)(o[OPTION_CANCELS] * 65536 / second_ns);
        m->bad_below = (uint32_t)(o[OPTION_BAD] * 4.294967295);
        seed_random(m, (uint64_t)(o[OPTION_SEED] / second_ns));
        if (build_symbols(m, err) == 0)
            return &m->base;
    }
    source_close(&m->base);
    return NULL;
}
