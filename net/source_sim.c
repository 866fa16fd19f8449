/* sim:key=value,… a simulated market. The same keys give the same ticks on any machine: a generator of our
 * own, and only + - x / on doubles.
 *
 * Symbols SIM0001 … trade with a Zipf-like activity. Prices walk by cents with a drift that changes now and
 * then, and leap seldom; spreads widen with the price. The rate of ticks is highest after 09:30 and before
 * 16:00 New York.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/bucket.h"
#include "net/calendar.h"
#include "net/source.h"

enum { NAME_DIGITS = 4 };

struct sim_symbol {
    int64_t cents;
    int32_t drift;     /* in 1/1000 of a cent per tick */
    int32_t carry;     /* of it, not yet a whole cent */
    uint32_t until;    /* ticks of the symbol until its drift changes */
    uint32_t alias;    /* the symbol drawn instead … */
    uint32_t keep;     /* … when 32 random bits are not below this */
    int32_t id;        /* the source's; -1 before its first tick */
    int64_t halted_ns; /* no ticks before */
};

struct sim {
    struct source source;
    uint64_t random;
    int64_t now_ns, end_ns;
    int64_t day[4];  /* premarket, market, postmarket, closed */
    int64_t second;  /* for which gap_ns is */
    uint64_t gap_ns; /* mean time between ticks */
    uint32_t quotes; /* share of quotes x 2^32 */
    uint32_t bad;    /* share of bad prints x 2^32 */
    uint32_t halt;   /* chance of a halt at a tick x 2^32 */
    int64_t rate;    /* ticks a second on average */
    uint32_t symbols;
    uint64_t trade_id;
    struct sim_symbol *symbol;
};

/* xorshift64*, Vigna 2014 */
static inline uint64_t draw(struct sim *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * UINT64_C(2685821657736338717);
}

struct key {
    const char *name, *expected;
    double min, max, value;
};

enum { K_SYMBOLS, K_SEED, K_RATE, K_MINUTES, K_QUOTES, K_BAD, K_HALTS, K_COUNT };

static int parse(const char *argument, struct key keys[K_COUNT], int64_t *start_ns, struct error *err)
{
    for (const char *p = argument; *p;) {
        size_t n = strcspn(p, ","), name = 0;
        while (name < n && p[name] != '=')
            name++;
        const char *value = p + name + 1;
        size_t len = name < n ? n - name - 1 : 0;
        char text[64], *end;
        snprintf(text, sizeof text, "%.*s", (int)(len < 63 ? len : 63), name < n ? value : "");
        int k = 0;
        while (k < K_COUNT && (strlen(keys[k].name) != name || memcmp(keys[k].name, p, name)))
            k++;
        if (name == 5 && !memcmp(p, "start", 5)) {
            if (decimal_parse_time(value, len, start_ns) != DECIMAL_OK)
                return error_set(
                    err, "sim: start=%s, expected a time such as 2026-03-02T09:25:00-05:00, or ns since 1970",
                    text);
        } else if (k == K_COUNT) {
            const char *names[K_COUNT + 1] = {"start"};
            for (int i = 0; i < K_COUNT; i++)
                names[i + 1] = keys[i].name;
            char word[48];
            snprintf(word, sizeof word, "%.*s", (int)(name < 47 ? name : 47), p);
            const char *near = error_nearest(word, names, K_COUNT + 1);
            return error_set(err,
                             "sim: unknown key '%s'%s%s%s; expected symbols, seed, start, rate, minutes, "
                             "quotes, bad, halts",
                             word, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        } else {
            double v = strtod(text, &end);
            if (*end || end == text || !(v >= keys[k].min && v <= keys[k].max))
                return error_set(err, "sim: %s=%s, expected %s", keys[k].name, text, keys[k].expected);
            keys[k].value = v;
        }
        p += n + (p[n] == ',');
    }
    return 0;
}

/* Walker's alias table for activity 1/(i + 10): draws in O(1). */
static void weigh(struct sim *s)
{
    uint32_t n = s->symbols, small = 0, large = 0;
    double sum = 0, *p = malloc(n * sizeof *p);
    uint32_t *list = malloc(2 * (size_t)n * sizeof *list);
    if (!p || !list)
        abort();
    for (uint32_t i = 0; i < n; i++)
        sum += p[i] = 1.0 / (i + 10.0);
    for (uint32_t i = 0; i < n; i++) {
        p[i] = p[i] / sum * n;
        if (p[i] < 1)
            list[small++] = i;
        else
            list[n + large++] = i;
    }
    while (small && large) {
        uint32_t a = list[--small], b = list[n + large - 1];
        s->symbol[a].keep = (uint32_t)(p[a] * 4294967295.0);
        s->symbol[a].alias = b;
        p[b] -= 1 - p[a];
        if (p[b] < 1) {
            large--;
            list[small++] = b;
        }
    }
    while (small)
        s->symbol[list[--small]].keep = UINT32_MAX;
    while (large)
        s->symbol[list[n + --large]].keep = UINT32_MAX;
    free(p);
    free(list);
}

/* The day's curve: 1 at noon, 4 just after the open, 2.5 towards the close, a fifth outside. From a day's end
 * time goes on at the next day's start. */
static void set_pace(struct sim *s)
{
    if (s->now_ns >= s->day[3] && calendar_day(NULL, CALENDAR_US_EQUITY, s->now_ns, s->day))
        s->now_ns = s->day[0];
    double open = (double)((s->now_ns - s->day[1]) / SECOND_NS) / 60.0; /* minutes */
    double left = (double)((s->day[2] - s->now_ns) / SECOND_NS) / 60.0;
    double curve = open < 0 || left < 0 ? 0.2 : 1 + 3 / (1 + open / 5) + (left < 60 ? (60 - left) / 40 : 0);
    s->second = s->now_ns / SECOND_NS;
    s->gap_ns = (uint64_t)(1e9 / ((double)s->rate * curve));
}

static void walk(struct sim *s, struct sim_symbol *y, uint64_t r)
{
    if (y->until-- == 0) {
        y->until = 200 + (uint32_t)(r >> 48) % 2000;
        y->drift = (int32_t)((r >> 20) % 161) - 80;
    }
    y->carry += y->drift;
    int32_t whole = y->carry / 1000;
    y->carry -= whole * 1000;
    y->cents += whole + ((r & 15) == 0) - ((r & 15) == 1);
    if ((r >> 8 & 0xffff) == 7) /* a leap of up to 1 % */
        y->cents += (int64_t)(r >> 40 & 1 ? 1 : -1) * (1 + y->cents * (int64_t)(r >> 32 & 127) / 12800);
    if (y->cents < 100)
        y->cents = 100;
    if (y->cents > 100000000)
        y->cents = 100000000;
    if (s->halt && (uint32_t)(r >> 16) < s->halt)
        y->halted_ns = s->now_ns + 300 * SECOND_NS;
}

static int read_ticks(struct source *source, struct msg *out, int max)
{
    struct sim *s = (struct sim *)source;
    int n = 0;
    while (n < max) {
        uint64_t r = draw(s);
        s->now_ns += 1 + (int64_t)((r & 0xffffffff) * (2 * s->gap_ns) >> 32);
        if (s->now_ns >= s->end_ns)
            break;
        if (s->now_ns / SECOND_NS != s->second)
            set_pace(s);
        uint32_t i = (uint32_t)((r >> 32) * s->symbols >> 32);
        uint64_t q = draw(s);
        struct sim_symbol *y = &s->symbol[i];
        if ((uint32_t)q >= y->keep)
            y = &s->symbol[y->alias];
        if (s->now_ns < y->halted_ns)
            continue;
        if (y->id < 0) {
            char name[16];
            int len = snprintf(name, sizeof name, "SIM%0*u", NAME_DIGITS, (unsigned)(y - s->symbol) + 1);
            y->id = source_symbol_id(source, name, (size_t)len, source->stats.rows);
            if (y->id < 0)
                continue;
        }
        r = draw(s);
        walk(s, y, r);
        struct msg *m = &out[n++];
        bool quote = (uint32_t)(q >> 32) < s->quotes;
        msg_begin(m, quote ? MSG_QUOTE : MSG_TRADE, (uint32_t)y->id, MSG_FIRST_BYTES);
        m->event_ns = m->recv_ns = s->now_ns;
        int64_t cent = 10000000, half = 1 + y->cents / 20000 + (r >> 60 == 0 ? y->cents / 400 : 0);
        if (quote) {
            m->quote = (struct msg_quote){(y->cents - half) * cent, (y->cents + half) * cent,
                                          100 * (1 + (r >> 24 & 31)), 100 * (1 + (r >> 29 & 31))};
        } else {
            bool bad = s->bad && (uint32_t)(q >> 16) < s->bad;
            int64_t cents = bad ? y->cents + y->cents / 5 : y->cents;
            m->trade = (struct msg_trade){.price_e9 = cents * cent,
                                          .size = (r >> 34 & 7) == 0 ? 1000 * (1 + (r >> 37 & 15))
                                                                     : 100 * (1 + (r >> 37 & 3)),
                                          .trade_id = ++s->trade_id};
        }
    }
    source->stats.rows += (uint64_t)n;
    return n;
}

static void close_sim(struct source *source)
{
    free(((struct sim *)source)->symbol);
}

struct source *source_sim_open(const char *argument, const struct source_config *config, struct error *err)
{
    static const struct source_ops ops = {read_ticks, close_sim};
    struct key keys[K_COUNT] = {{"symbols", "1 to 9999", 1, 9999, 2000},
                                {"seed", "a whole number from 0", 0, 9007199254740991.0, 1},
                                {"rate", "ticks a second, 1 to 100000000", 1, 1e8, 10000},
                                {"minutes", "0.1 to 100000", 0.1, 100000, 0},
                                {"quotes", "a share, 0 to 1", 0, 1, 0.3},
                                {"bad", "a share of bad prints, 0 to 1", 0, 1, 0},
                                {"halts", "halts of five minutes per million ticks, 0 to 1000", 0, 1000, 0}};
    int64_t start_ns = INT64_C(1772461500) * SECOND_NS; /* 2026-03-02T09:25:00-05:00 */
    if (parse(argument, keys, &start_ns, err) < 0)
        return NULL;
    struct sim *s = source_new(sizeof *s, &ops, config, err);
    if (!s)
        return NULL;
    s->source.tick_e9 = 10000000;
    s->source.calendar = CALENDAR_US_EQUITY;
    s->symbols = (uint32_t)keys[K_SYMBOLS].value;
    s->random = ((uint64_t)keys[K_SEED].value + 1) * UINT64_C(0x9e3779b97f4a7c15);
    s->rate = (int64_t)keys[K_RATE].value;
    s->quotes = (uint32_t)(keys[K_QUOTES].value * 4294967295.0);
    s->bad = (uint32_t)(keys[K_BAD].value * 4294967295.0);
    s->halt = (uint32_t)(keys[K_HALTS].value * 4294.967295);
    s->now_ns = start_ns;
    if (!calendar_day(NULL, CALENDAR_US_EQUITY, start_ns - 20 * 60 * MINUTE_NS, s->day))
        abort(); /* there is always a next trading day */
    s->end_ns = keys[K_MINUTES].value > 0 ? start_ns + (int64_t)(keys[K_MINUTES].value * 60e9)
                                          : INT64_MAX - 100 * SECOND_NS;
    s->symbol = calloc(s->symbols, sizeof *s->symbol);
    if (!s->symbol) {
        error_set(err, "sim: no memory for %u symbols", s->symbols);
        source_close(&s->source);
        return NULL;
    }
    for (uint32_t i = 0; i < s->symbols; i++) {
        uint64_t r = draw(s);
        s->symbol[i] = (struct sim_symbol){
            .cents = 500 + (int64_t)((r >> 32) % 20000), .until = (uint32_t)(r % 1000), .id = -1};
    }
    weigh(s);
    set_pace(s);
    return &s->source;
}
