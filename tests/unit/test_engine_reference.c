/* The engine against a slow, obvious reading of what it promises. The reference keeps every tick of a symbol,
 * makes bars and metrics of them anew whenever something may have changed, evaluates rules as the trees that
 * they were written from, and strikes every grid point of every bucket by itself. Random small markets:
 * prices on a coarse grid so that values meet thresholds, times that step back, silent minutes and hours,
 * days that switch, rules that come and change.
 *
 * SEED=n runs one seed and prints what it does; SEEDS=n runs that many; TICKS=n gives each so many messages.
 */
#include "tests/unit/engine_harness.h"

enum { LAST_DAY = 100, SYMBOLS = 6, RULES = 12, SLOTS = 60, TREE = 24, VALUES = 40, KEEP = 40 };

/* ---- calendars: 0 has four sessions in a day of 12 hours, 1 one session without a gap, 2 is not known */

static const int64_t day_length_ns = 12 * 60 * MIN;

static bool calendar_of(void *ctx, unsigned calendar, int64_t from_ns, int64_t t[4])
{
    (void)ctx;
    if (calendar > 1)
        return false;
    int64_t start = (from_ns + day_length_ns - 1) / day_length_ns * day_length_ns;
    static const int minutes[2][4] = {{0, 90, 400, 500}, {0, 0, 720, 720}};
    for (int i = 0; i < 4; i++)
        t[i] = start + minutes[calendar][i] * MIN;
    return true;
}

struct session {
    int64_t start, day;
    enum session_kind kind;
};

static struct session session_of(unsigned calendar, int64_t t)
{
    int64_t at[4], day = t / day_length_ns * day_length_ns;
    if (!calendar_of(NULL, calendar, day, at))
        return (struct session){INT64_MIN, INT64_MIN, SESSION_CLOSED};
    if (t < at[1])
        return (struct session){at[0], day, SESSION_PREMARKET};
    if (t < at[2])
        return (struct session){at[1], day, SESSION_MARKET};
    if (t < at[3])
        return (struct session){at[2], day, SESSION_POSTMARKET};
    return (struct session){at[3], day, SESSION_CLOSED};
}

/* ---- the reference's state: ticks, and bars made of them as they come */

struct tick {
    int64_t ev, now, price; /* now: the symbol's time at its arrival */
    uint64_t size;
    bool late, cancelled;
    uint64_t id;
};

struct minute {
    int64_t minute, open, high, low, close;
    __int128 pv;
    uint64_t volume;
    uint32_t trades, revision;
    bool final;
};

/* Daily bars of the days that are over, as long as nothing of them changes. */
enum { DAYS_MAX = 200 };
struct past {
    bool made;
    int64_t today, split_day;
    size_t n;
    struct minute day[DAYS_MAX];
};

enum truth { FALSE, UNKNOWN, TRUE };

struct value {
    bool known, price; /* price: `e9` counts, else `number` */
    int64_t e9;
    double number;
    __int128 pv; /* of a VWAP: the quotient as it is */
    uint64_t volume;
    const char *text; /* of an attribute: `number` is its place in texts[] */
};

/* What a `for` or `within` has seen. */
struct memory {
    bool begun;
    int64_t last;      /* when what is in it last was true */
    enum truth now;    /* what that was at the last evaluation */
    enum truth before; /* what counts as before the first */
    enum truth end[6]; /* what it was at the ends of bars, the latest first */
};

/* What is told of a crossing or a span of an alert: its truth then, or ASK, what it looks at decides. */
enum { ASK = 3 };

/* An alert that a print decided, as it was last sent. */
struct sent {
    size_t tick; /* the print; of a bar's end: the last one that had come */
    bool close;  /* a bar's end decided it: */
    int64_t minute;
    int64_t time, bid, ask;
    bool halted, withdrawn;
    uint8_t clue[TREE];
    uint32_t rule, k, revision;
    int64_t price;
    struct value operand[2 * TREE];
};

struct sym {
    char name[16];
    uint32_t bucket;
    unsigned calendar, scale;
    int64_t time; /* -1 before its first message */
    int64_t bid, ask;
    struct minute *history; /* daily bars from before, by date */
    size_t n_history;
    bool halted;
    int64_t ex, split_day; /* of the split that waits, 0: none; of the last one */
    uint32_t to, from;
    uint32_t emptied;       /* the next revision of a minute that has lost its bar */
    int text[2];            /* sector, exchange: places in texts[]; -1 */
    double number[3];       /* float, market_cap, shares_short; -1 */
    int64_t news, earnings; /* -1 */
    struct sent *sent;
    size_t n_sent, room_sent;
    struct tick *tick;
    size_t n_ticks, room_ticks;
    struct minute *bar; /* ascending */
    size_t n_bars, room_bars;
    uint64_t changes; /* ticks and quotes so far */
    struct past past;
    /* by rule id */
    enum truth truth[RULES]; /* as of the last evaluation, its events over */
    int evaluated[RULES];    /* the slot that truth is of; -1 */
    int64_t fired[RULES];
    int fired_slot[RULES];
    uint32_t k[RULES];
    enum truth side[RULES][TREE]; /* of an event: was its comparison true at the evaluation before? */
    struct memory span[RULES][TREE];
    /* the values of `value_key` and when they were made */
    struct value value[VALUES];
    bool made[VALUES];
    uint64_t made_changes;
    int64_t made_minute;
    uint64_t seen_changes; /* as of the last evaluation */
    int64_t seen_minute;
};

struct node {
    char op; /* '&' '|' '!' or 'c': comparison, 'f': for, 'w': within */
    int left, right;
    int cmp;           /* index in cmp_text */
    int metric, other; /* of values; other -1: the constant */
    char arithmetic;   /* metric + - * / third stands for the metric; 0: it stands for itself */
    int third;         /* of values */
    bool event;        /* crosses above (cmp 0), crosses below (cmp 1) */
    int at;            /* number of the node, for an event's memory */
    int bars, length;  /* for: so many bars of so many minutes */
    int64_t time;      /* within */
    struct value constant;
};

struct tree {
    struct node node[TREE];
    int n;
    int operand[2 * TREE], n_operands;
    bool events;
};

struct rrule { /* a version */
    int ident, version;
    bool enabled, recursive, minds_halt;
    enum rule_trigger trigger;
    uint8_t sessions;          /* bits; 0 = all */
    int64_t cooldown, expires; /* 0: never */
    uint32_t symbols;          /* bit set; all ones = no list */
    struct tree tree;
};

struct event {
    bool alert, halt;
    bool halted;  /* of a halt */
    int64_t time; /* alert: symbol's time; bar: start */
    struct minute bar;
    uint32_t rule, k, revision;
    enum alert_kind kind;
    int64_t price;
    int n;
    struct value operand[2 * TREE];
};

struct events {
    struct event *at;
    size_t n, room;
};

struct world {
    uint64_t random;
    uint64_t seed;
    uint64_t trade_id;
    struct sym sym[SYMBOLS];
    int n_syms;
    char metric[VALUES][40];
    int n_metrics;
    bool timed;                /* it has metrics that every clock changes */
    bool spans;                /* … or `within`, which every clock may end */
    bool close;                /* what is being written is of a bar_close rule */
    bool silent;               /* a late print is being evaluated */
    bool print;                /* … one that may decide alerts */
    uint8_t clue[RULES][TREE]; /* of the evaluation at hand, and … */
    uint8_t *clues;            /* … of the rule at hand */
    bool flat;                 /* minutes without a trade make bars */
    struct rrule rule[SLOTS];
    int n_rules;
    int in_force[RULES]; /* slot by ident, -1 */
    struct events events[SYMBOLS];
    struct tape input;
    /* clocks */
    int64_t top;
    int64_t struck[BUCKET_COUNT]; /* seconds */
    int64_t clock[BUCKET_COUNT];  /* the last CLOCK that there was */
    bool occupied[BUCKET_COUNT];
    int64_t traded[BUCKET_COUNT];
    size_t revised[2];     /* alerts revised, withdrawn */
    size_t revised_closes; /* … that bars' ends decided */
    int closing;           /* slot of the bar_close rule at hand */
};

static struct event *event_new(struct world *w, const struct sym *s)
{
    struct events *v = &w->events[s - w->sym];
    if (v->n == v->room) {
        v->room = 2 * v->room + 256;
        v->at = realloc(v->at, v->room * sizeof *v->at);
        assert_non_null(v->at);
    }
    memset(&v->at[v->n], 0, sizeof v->at[v->n]);
    return &v->at[v->n++];
}

/* ---- metrics, each out of ticks and bars */

static const struct value unknown = {0};

static struct value price_value(int64_t e9)
{
    return (struct value){.known = true, .price = true, .e9 = e9};
}
static struct value number_value(double d)
{
    return (struct value){.known = true, .number = d};
}
static struct value quotient(__int128 pv, uint64_t volume)
{
    return volume ? (struct value){.known = true,
                                   .number = (double)((long double)pv / volume / 1e9L),
                                   .pv = pv,
                                   .volume = volume}
                  : unknown;
}

/* The first tick that arrived at this time or later: none before it is of an event of then. */
static size_t first_tick(const struct sym *s, int64_t from)
{
    size_t lo = 0, hi = s->n_ticks;
    while (lo < hi) {
        size_t at = (lo + hi) / 2;
        if (s->tick[at].now < from)
            lo = at + 1;
        else
            hi = at;
    }
    return lo;
}

/* The first bar that is not before the minute. */
static size_t first_bar(const struct sym *s, int64_t minute)
{
    size_t lo = 0, hi = s->n_bars;
    while (lo < hi) {
        size_t at = (lo + hi) / 2;
        if (s->bar[at].minute < minute)
            lo = at + 1;
        else
            hi = at;
    }
    return lo;
}

/* The last price: of the latest tick that was not late. */
static bool last_price(const struct sym *s, int64_t *price)
{
    for (size_t i = s->n_ticks; i-- > 0;)
        if (!s->tick[i].late && !s->tick[i].cancelled) {
            *price = s->tick[i].price;
            return true;
        }
    return false;
}

static bool is_open_of(const struct sym *s, const struct tick *t, int64_t day)
{
    struct session at = session_of(s->calendar, t->now);
    return !t->late && !t->cancelled && at.kind == SESSION_MARKET && at.day == day && t->ev >= at.start;
}

static struct value day_open(const struct sym *s)
{
    int64_t day = session_of(s->calendar, s->time).day;
    for (size_t i = first_tick(s, day); i < s->n_ticks; i++)
        if (is_open_of(s, &s->tick[i], day))
            return price_value(s->tick[i].price);
    return unknown;
}

/* The close of the trading day before: the last price of the latest day before today whose market session
 * traded. */
static struct value day_before(const struct sym *s)
{
    int64_t today = session_of(s->calendar, s->time).day;
    int64_t day = INT64_MIN;
    for (size_t i = s->n_ticks; i-- > 0 && day == INT64_MIN;) {
        int64_t d = session_of(s->calendar, s->tick[i].now).day;
        if (d < today && is_open_of(s, &s->tick[i], d))
            day = d;
    }
    for (size_t i = s->n_ticks; i-- > 0 && day != INT64_MIN;) {
        struct session at = session_of(s->calendar, s->tick[i].now);
        if (!s->tick[i].late && !s->tick[i].cancelled && at.kind == SESSION_MARKET && at.day == day)
            return price_value(s->tick[i].price);
    }
    return s->n_history ? price_value(s->history[s->n_history - 1].close) : unknown;
}

/* When the bar of `length` minutes that holds time t ends: they begin with the session, and end with it. */
static int64_t span_end(const struct sym *s, int64_t t, unsigned length)
{
    int64_t start = session_of(s->calendar, t).start, from = start == INT64_MIN ? 0 : start, at = t / MIN;
    int64_t end = (from + ((t - from) / (length * MIN) + 1) * length * MIN) / MIN;
    while (at < end && session_of(s->calendar, at * MIN).start == start)
        at++;
    return at;
}

/* A trading day as a bar: prices of its market session, volume of all its sessions. False if its market
 * session has not traded. */
static bool day_bar(const struct sym *s, int64_t day, struct minute *b)
{
    bool any = false;
    *b = (struct minute){.low = INT64_MAX};
    for (size_t i = first_tick(s, day); i < s->n_ticks; i++) {
        const struct tick *t = &s->tick[i];
        struct session now = session_of(s->calendar, t->now);
        if (!any && is_open_of(s, t, day)) {
            b->open = t->price;
            any = true;
        }
        if (!t->late && !t->cancelled && now.kind == SESSION_MARKET && now.day == day)
            b->close = t->price;
        if (session_of(s->calendar, t->ev).day == day && !t->cancelled)
            b->volume += t->size;
    }
    for (size_t i = first_bar(s, day / MIN); i < s->n_bars && s->bar[i].minute * MIN < day + day_length_ns;
         i++) {
        const struct minute *x = &s->bar[i];
        struct session at = session_of(s->calendar, x->minute * MIN);
        if (at.kind != SESSION_MARKET || at.day != day || x->trades == 0)
            continue;
        b->high = x->high > b->high ? x->high : b->high;
        b->low = x->low < b->low ? x->low : b->low;
    }
    for (int i = 0; i < 2; i++) {
        int64_t p = i ? b->close : b->open;
        b->high = p > b->high ? p : b->high;
        b->low = p < b->low ? p : b->low;
    }
    return any;
}

/* Daily bars of the days before today; the live one is out[n] if *live. */
static size_t days_of(const struct sym *s, struct minute out[DAYS_MAX + 1], bool *live)
{
    int64_t today = session_of(s->calendar, s->time).day;
    struct past *p = (struct past *)&s->past; /* what it holds changes no value */
    if (!p->made || p->today != today || p->split_day != s->split_day) {
        *p = (struct past){.made = true, .today = today, .split_day = s->split_day, .n = s->n_history};
        if (s->n_history)
            memcpy(p->day, s->history, s->n_history * sizeof *p->day);
        for (int64_t day = s->split_day > T0 ? s->split_day : T0; day < today; day += day_length_ns) {
            assert_true(p->n < DAYS_MAX); /* those before a split are in the history */
            p->n += day_bar(s, day, &p->day[p->n]);
        }
    }
    size_t n = p->n;
    memcpy(out, p->day, n * sizeof *out);
    *live = today != INT64_MIN && day_bar(s, today, &out[n]);
    return n;
}

/* Bars for indicators: those ended from the anchor on, then the live one, joined to `length` minutes. */
static size_t bars_of(const struct sym *s, unsigned length, struct minute *out)
{
    int64_t now = s->time / MIN, anchor = session_of(s->calendar, s->time).day, end = 0;
    size_t first = 0, n = 0;
    while (first < s->n_bars && s->bar[first].minute < now && s->bar[first].minute * MIN < anchor)
        first++;
    first = first > KEEP ? first - KEEP : 0;
    for (size_t i = first; i < s->n_bars; i++) {
        const struct minute *b = &s->bar[i];
        if (n && b->minute < end) {
            struct minute *o = &out[n - 1];
            o->high = b->high > o->high ? b->high : o->high;
            o->low = b->low < o->low ? b->low : o->low;
            o->close = b->close;
            o->volume += b->volume;
        } else {
            out[n++] = *b;
            end = span_end(s, b->minute * MIN, length);
        }
    }
    return n;
}

/* Wilder's mean of true ranges. */
static struct value average_range(const struct minute *bar, size_t count, unsigned n)
{
    double mean = 0;
    for (size_t i = 1; i < count; i++) {
        int64_t before = bar[i - 1].close, high = bar[i].high > before ? bar[i].high : before,
                low = bar[i].low < before ? bar[i].low : before;
        double range = (double)(high - low) / 1e9;
        mean = i <= n ? mean + range / n : (mean * (n - 1) + range) / n;
    }
    return count > n ? number_value(mean) : unknown;
}

static struct value indicator(const struct sym *s, const char *name, unsigned n, unsigned length)
{
    static struct minute bar[20000];
    static double c[20000];
    bool live;
    size_t count = length ? bars_of(s, length, bar) : days_of(s, bar, &live);
    if (!length)
        count += live;
    assert_true(count < sizeof c / sizeof *c);
    double high = 0, low = 1e300, volume = 0, sum = 0, unit = 1;
    for (size_t i = 0; i < count; i++) {
        c[i] = (double)bar[i].close / 1e9;
        if (i + n < count)
            continue;
        high = bar[i].high / 1e9 > high ? bar[i].high / 1e9 : high;
        low = bar[i].low / 1e9 < low ? bar[i].low / 1e9 : low;
        volume += (double)bar[i].volume;
        sum += c[i];
    }
    for (unsigned i = 0; i < s->scale; i++)
        unit *= 10;
    if (count < n)
        return unknown;
    if (!strcmp(name, "sma"))
        return number_value(sum / n);
    if (!strcmp(name, "atr"))
        return average_range(bar, count, n);
    if (!strcmp(name, "volume_avg"))
        return number_value(volume / n / unit);
    if (!strcmp(name, "willr"))
        return number_value(high > low ? (high - c[count - 1]) / (high - low) * -100 : -100);
    if (!strcmp(name, "ema")) {
        double mean = 0;
        for (size_t i = 0; i < count; i++)
            mean = i < n ? mean + c[i] / n : mean + 2.0 / (n + 1.0) * (c[i] - mean);
        return number_value(mean);
    }
    double gain = 0, loss = 0;
    for (size_t i = 1; i < count; i++) {
        double up = c[i] > c[i - 1] ? c[i] - c[i - 1] : 0, down = c[i] < c[i - 1] ? c[i - 1] - c[i] : 0;
        gain = i <= n ? gain + up / n : (gain * (n - 1) + up) / n;
        loss = i <= n ? loss + down / n : (loss * (n - 1) + down) / n;
    }
    if (count < n + 1u)
        return unknown;
    return number_value(loss == 0 ? 100 : 100 - 100 / (1 + gain / loss));
}

/* Highest and lowest price, volume and money of the bars from a minute on. */
struct extent {
    bool any;
    int64_t high, low;
    uint64_t volume;
    __int128 pv;
};

static struct extent extent_from(const struct sym *s, int64_t minute, bool flat)
{
    struct extent x = {0};
    for (size_t i = first_bar(s, minute); i < s->n_bars; i++) {
        const struct minute *b = &s->bar[i];
        if (b->minute < minute || (b->trades == 0 && !flat))
            continue;
        x.high = x.any && x.high > b->high ? x.high : b->high;
        x.low = x.any && x.low < b->low ? x.low : b->low;
        x.volume += b->volume;
        x.pv += b->pv;
        x.any = true;
    }
    return x;
}

static struct value range_value(const struct extent *x, const char *what, struct value price)
{
    if (!x->any)
        return unknown;
    if (!strcmp(what, "range"))
        return price_value(x->high - x->low);
    if (!strcmp(what, "range_pct"))
        return number_value((double)(x->high - x->low) / (double)x->low * 100);
    if (!strcmp(what, "high"))
        return price_value(x->high);
    if (!strcmp(what, "low"))
        return price_value(x->low);
    return x->high > x->low && price.known
               ? number_value((double)(price.e9 - x->low) / (double)(x->high - x->low) * 100)
               : unknown;
}

/* Volume of the live bar of `length` minutes, forecast to its end, to the mean of the last ten of its kind.
 */
static struct value relative_volume(const struct sym *s, unsigned length)
{
    static struct minute bar[20000];
    size_t n = bars_of(s, length, bar), used = 0;
    struct session now = session_of(s->calendar, s->time);
    if (now.kind == SESSION_CLOSED)
        return unknown;
    int64_t start = now.start + (s->time - now.start) / (length * MIN) * length * MIN;
    int64_t end = span_end(s, s->time, length) * MIN;
    double sum = 0, live = 0;
    for (size_t i = n; i-- > 0;) {
        if (bar[i].minute * MIN >= start)
            live += (double)bar[i].volume;
        else if (used < 10 && session_of(s->calendar, bar[i].minute * MIN).kind == now.kind) {
            sum += (double)bar[i].volume;
            used++;
        }
    }
    if (used == 0 || sum == 0)
        return unknown;
    double mean = sum / (double)used, elapsed = (double)(s->time - start) / (double)(end - start);
    return number_value((live + (1 - elapsed) * mean) / mean * 100);
}

/* ---- attributes */

static const char *const texts[] = {"Energy", "Utilities", "NYSE", "OTC", "nobody's"};
static const char *const text_names[] = {"sector", "exchange"};
static const char *const number_names[] = {"float", "market_cap", "shares_short"};
enum { TEXTS = 4 }; /* that symbols have */

static bool is_text(const char *name)
{
    return !strcmp(name, "sector") || !strcmp(name, "exchange");
}

/* False: another metric. */
static bool attribute(const struct sym *s, const char *name, struct value *v)
{
    *v = unknown;
    for (int i = 0; i < 2; i++)
        if (!strcmp(name, text_names[i])) {
            if (s->text[i] >= 0)
                *v = (struct value){.known = true, .number = s->text[i], .text = texts[s->text[i]]};
            return true;
        }
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, number_names[i])) {
            if (s->number[i] >= 0)
                *v = number_value(s->number[i]);
            return true;
        }
    return false;
}

/* Volume since the session's start, its live minute forecast to its end, to the mean at the end of that
 * minute in earlier sessions of the kind that the bars for indicators have whole. */
static struct value same_time(const struct sym *s)
{
    static struct minute bar[20000];
    size_t n = bars_of(s, 1, bar);
    struct session now = session_of(s->calendar, s->time);
    int64_t minute = (s->time - now.start) / MIN;
    double volume = 0, at = 0, sum = 0, sessions = 0;
    if (now.kind == SESSION_CLOSED || n == 0)
        return unknown;
    for (int64_t day = T0; day < now.day; day += day_length_ns) {
        int64_t start = day + (now.start - now.day);
        if (start < bar[0].minute * MIN)
            continue;
        sessions++;
        for (size_t i = 0; i < n; i++) {
            if (session_of(s->calendar, bar[i].minute * MIN).start != start)
                continue;
            int64_t offset = bar[i].minute - start / MIN;
            sum += offset <= minute ? (double)bar[i].volume : 0;
            at += offset == minute ? (double)bar[i].volume : 0;
        }
    }
    for (size_t i = first_tick(s, now.start); i < s->n_ticks; i++)
        volume += s->tick[i].ev >= now.start && !s->tick[i].cancelled ? (double)s->tick[i].size : 0;
    if (sum == 0)
        return unknown;
    double elapsed = (double)(s->time % MIN) / (double)MIN;
    return number_value((volume + (1 - elapsed) * at / sessions) / (sum / sessions) * 100);
}

/* Those that every clock changes; false: another one. */
static bool timed(const struct sym *s, const char *name, struct value *v)
{
    unsigned n;
    struct session now = session_of(s->calendar, s->time);
    *v = unknown;
    if (sscanf(name, "relative_volume_%um", &n) == 1) {
        *v = relative_volume(s, n);
    } else if (!strcmp(name, "relative_volume_same_time")) {
        *v = same_time(s);
    } else if (!strcmp(name, "minutes_in_market")) {
        if (now.kind == SESSION_MARKET)
            *v = number_value((double)((s->time - now.start) / MIN));
    } else if (!strcmp(name, "news_age")) {
        if (now.kind != SESSION_CLOSED && s->news >= 0 && s->time >= s->news)
            *v = number_value((double)(s->time - s->news) / (double)MIN);
    } else if (!strcmp(name, "earnings_in")) {
        if (now.kind != SESSION_CLOSED && s->earnings >= 0 && s->time <= s->earnings)
            *v = number_value((double)(s->earnings - s->time) / (double)DAY);
    } else if (!strcmp(name, "seconds_since_trade")) {
        for (size_t i = s->n_ticks; i-- > 0 && !v->known && now.kind != SESSION_CLOSED && !s->halted;)
            if (!s->tick[i].late && !s->tick[i].cancelled)
                *v = number_value((double)(s->time - s->tick[i].now) / 1e9);
    } else {
        return false;
    }
    return true;
}

/* Those of the catalogue that look at a span of minutes by its extent; false: another one. */
static bool spanned(const struct sym *s, const char *name, struct value price, double unit, struct value *v)
{
    unsigned n;
    char head[40], rest;
    struct extent x;
    if (sscanf(name, "vwap(%um%c", &n, &rest) == 2) {
        x = extent_from(s, s->time / MIN - n + 1, true);
        *v = quotient(x.pv, x.volume);
    } else if (sscanf(name, "volume_avg(%um%c", &n, &rest) == 2) {
        x = extent_from(s, s->time / MIN - n + 1, true);
        *v = s->n_bars ? number_value((double)x.volume / unit / n) : unknown;
    } else if (sscanf(name, "dollar_volume_%um", &n) == 1) {
        x = extent_from(s, s->time / MIN - n + 1, true);
        *v = s->n_bars ? number_value((double)x.pv / 1e9 / unit) : unknown;
    } else if (sscanf(name, "vwap_dist_%um", &n) == 1 || sscanf(name, "vwap_dist_pct_%um", &n) == 1) {
        x = extent_from(s, s->time / MIN - n + 1, true);
        struct value q = quotient(x.pv, x.volume);
        double d = (double)price.e9 / 1e9 - q.number;
        *v = !q.known || !price.known ? unknown : number_value(name[10] == 'p' ? d * 100 / q.number : d);
    } else if (sscanf(name, "position_in_range_%um", &n) == 1 || sscanf(name, "range_%um", &n) == 1 ||
               sscanf(name, "range_pct_%um", &n) == 1) {
        x = extent_from(s, s->time / MIN - n + 1, true);
        snprintf(head, sizeof head, "%.*s", (int)(strrchr(name, '_') - name), name);
        *v = range_value(&x, head, price);
    } else if (strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_today")) {
        int64_t day = session_of(s->calendar, s->time).day;
        x = extent_from(s, day == INT64_MIN ? INT64_MIN : day / MIN, false);
        snprintf(head, sizeof head, "%.*s", (int)strlen(name) - 6, name);
        *v = range_value(&x, head, price);
    } else {
        return false;
    }
    return true;
}

/* Today's volume of one kind of session. */
static uint64_t volume_of(const struct sym *s, enum session_kind kind)
{
    int64_t day = session_of(s->calendar, s->time).day;
    uint64_t volume = 0;
    for (size_t i = first_tick(s, day); i < s->n_ticks; i++) {
        struct session at = session_of(s->calendar, s->tick[i].ev);
        volume += at.day == day && at.kind == kind && !s->tick[i].cancelled ? s->tick[i].size : 0;
    }
    return volume;
}

/* Windows of clock minutes: the live one and the n-1 before. */
static struct value window(const struct sym *s, const char *name, unsigned n)
{
    int64_t first = s->time / MIN - n + 1, before = -1, price;
    uint64_t volume = 0, trades = 0;
    size_t from = first_bar(s, first);
    if (from > 0)
        before = s->bar[from - 1].close;
    for (size_t i = from; i < s->n_bars; i++) {
        volume += s->bar[i].volume;
        trades += s->bar[i].trades;
    }
    if (!strncmp(name, "change", 6)) {
        if (before < 0 || !last_price(s, &price))
            return unknown;
        return strcmp(name, "change") ? number_value((double)(price - before) / (double)before * 100)
                                      : price_value(price - before);
    }
    if (s->n_bars == 0)
        return unknown;
    double unit = 1;
    for (unsigned i = 0; i < s->scale; i++)
        unit *= 10;
    return number_value(strcmp(name, "volume") ? (double)trades : (double)volume / unit);
}

static struct value sums(const struct sym *s, bool session)
{
    struct session now = session_of(s->calendar, s->time);
    __int128 pv = 0;
    uint64_t volume = 0;
    for (size_t i = first_tick(s, session ? now.start : now.day); i < s->n_ticks; i++)
        if (s->tick[i].ev >= (session ? now.start : now.day) && !s->tick[i].cancelled) {
            pv += (__int128)s->tick[i].price * s->tick[i].size;
            volume += s->tick[i].size;
        }
    if (session)
        return quotient(pv, volume);
    double unit = 1;
    for (unsigned i = 0; i < s->scale; i++)
        unit *= 10;
    return s->n_bars ? number_value((double)volume / unit) : unknown;
}

static struct value of_close(struct value a, struct value b, bool percent)
{
    if (!a.known || !b.known)
        return unknown;
    return percent ? number_value((double)(a.e9 - b.e9) / (double)b.e9 * 100) : price_value(a.e9 - b.e9);
}

/* Today's last price of one kind of session. */
static struct value price_in(const struct sym *s, enum session_kind kind)
{
    int64_t day = session_of(s->calendar, s->time).day;
    for (size_t i = s->n_ticks; i-- > 0;) {
        struct session at = session_of(s->calendar, s->tick[i].now);
        if (!s->tick[i].late && !s->tick[i].cancelled && at.kind == kind && at.day == day)
            return price_value(s->tick[i].price);
    }
    return unknown;
}

/* change_from_close_premarket, _postmarket */
static bool is_of_other_session(const char *name)
{
    return !strncmp(name, "change_from_close_p", 19) && strstr(name, "market");
}

static struct value mean_volume(const struct minute *day, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)day[i].volume;
    return n && sum > 0 ? number_value(sum / (double)n) : unknown;
}

/* Those of trading days; false: another one. */
static bool of_days(const struct sym *s, const char *name, struct value price, double unit, struct value *v)
{
    static struct minute day[DAYS_MAX + 1];
    unsigned n;
    char head[40], rest;
    bool live;
    *v = unknown;
    if (is_of_other_session(name)) {
        bool before = name[19] == 'r';
        struct value from = before ? day_before(s) : price_in(s, SESSION_MARKET);
        if (!before && !day_open(s).known)
            from = unknown;
        *v = of_close(price_in(s, before ? SESSION_PREMARKET : SESSION_POSTMARKET), from,
                      strstr(name, "_pct"));
        return true;
    }
    size_t days = days_of(s, day, &live);
    int64_t today = session_of(s->calendar, s->time).day;
    struct extent x = extent_from(s, today == INT64_MIN ? INT64_MIN : today / MIN, false);
    if (sscanf(name, "change_pct_%ud%c", &n, &rest) == 1 && strchr(name, 'd')) {
        if (n <= days)
            *v = of_close(price, price_value(day[days - n].close), true);
    } else if (sscanf(name, "avg_volume_%u", &n) == 1) {
        *v = n <= days ? mean_volume(day + days - n, n) : unknown;
        v->number /= unit;
    } else if (sscanf(name, "biggest_range_%u", &n) == 1) {
        int64_t most = 0;
        for (size_t i = days < 21 * n ? days : days - 21 * n; i < days; i++)
            most = day[i].high - day[i].low > most ? day[i].high - day[i].low : most;
        *v = days < 21 * n ? unknown : price_value(most);
    } else if (!strcmp(name, "relative_range_pct")) {
        struct value atr = average_range(day, days, 14);
        if (atr.known && atr.number != 0 && x.any)
            *v = number_value((double)(x.high - x.low) / 1e9 / atr.number * 100);
    } else if (!strcmp(name, "relative_volume_daily")) {
        struct value mean = mean_volume(day + (days < 10 ? 0 : days - 10), days < 10 ? days : 10);
        if (mean.known && price.known)
            *v = number_value(sums(s, false).number * unit / mean.number * 100);
    } else if (sscanf(name, "range_%ud%c", &n, &rest) == 1 ||
               sscanf(name, "range_pct_%ud%c", &n, &rest) == 1 ||
               sscanf(name, "position_in_range_%ud%c", &n, &rest) == 1) {
        for (unsigned i = 1; i < n && i <= days; i++) {
            const struct minute *b = &day[days - i];
            x.high = !x.any || b->high > x.high ? b->high : x.high;
            x.low = !x.any || b->low < x.low ? b->low : x.low;
            x.any = true;
        }
        snprintf(head, sizeof head, "%.*s", (int)(strrchr(name, '_') - name), name);
        if (n <= days + 1)
            *v = range_value(&x, head, price);
    } else if (!strncmp(name, "vwap_dist", 9) && strstr(name, "_1d")) {
        struct value q = quotient(x.pv, x.volume);
        double d = (double)price.e9 / 1e9 - q.number;
        if (q.known && price.known)
            *v = number_value(name[10] == 'p' ? d * 100 / q.number : d);
    } else {
        return false;
    }
    return true;
}

static bool is_of_days(const char *name)
{
    unsigned n;
    const char *last = strrchr(name, '_');
    char unit = 0;
    return is_of_other_session(name) || !strncmp(name, "biggest", 7) || !strcmp(name, "relative_range_pct") ||
           !strcmp(name, "relative_volume_daily") ||
           (last && sscanf(last, "_%u%c", &n, &unit) == 2 && unit == 'd');
}

/* ---- candles and levels */

static int compare(const struct value *a, const struct value *b);

static struct value truth_value(bool holds)
{
    return number_value(holds);
}

/* Bars of a timeframe, 0 = daily; *live: the last one of them is not over. */
static size_t candles_of(const struct sym *s, unsigned length, struct minute *out, bool *live)
{
    size_t n = length ? bars_of(s, length, out) : days_of(s, out, live);
    if (!length)
        return n + *live;
    *live = n && span_end(s, out[n - 1].minute * MIN, length) > s->time / MIN;
    return n;
}

static int64_t body_of(const struct minute *b)
{
    return b->close > b->open ? b->close - b->open : b->open - b->close;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* TA-Lib's CDLENGULFING: 1, -1, 0. x is the last bar. */
static int engulfing(const struct minute *x, const struct minute *y)
{
    int color = x->close >= x->open ? 1 : -1, before = y->close >= y->open ? 1 : -1;
    if (color == 1 && before == -1 &&
        ((x->close >= y->open && x->open < y->close) || (x->close > y->open && x->open <= y->close)))
        return 1;
    if (color == -1 && before == 1 &&
        ((x->open >= y->close && x->close < y->open) || (x->open > y->close && x->close <= y->open)))
        return -1;
    return 0;
}

/* TA-Lib's CDLHARAMI: its sign; bar[n - 1] is the last one. */
static int harami(const struct minute *bar, size_t n)
{
    const struct minute *x = &bar[n - 1], *y = &bar[n - 2];
    long double long_mean = 0, short_mean = 0;
    for (size_t i = 0; i < 10; i++) {
        long_mean += (long double)body_of(&bar[n - 12 + i]) / 10;
        short_mean += (long double)body_of(&bar[n - 11 + i]) / 10;
    }
    if (body_of(y) <= long_mean || body_of(x) > short_mean ||
        larger(x->open, x->close) > larger(y->open, y->close) ||
        smaller(x->open, x->close) < smaller(y->open, y->close))
        return 0;
    return y->close >= y->open ? -1 : 1;
}

/* After each bar; 0 before the n-th. The formula is that of the catalogue to the letter: two means may be
 * equal. */
static double ema_after(const struct minute *bar, size_t count, unsigned n)
{
    double v = 0;
    for (size_t i = 0; i < count; i++) {
        double x = (double)bar[i].close;
        v = i + 1 < n ? v + x : i + 1 == n ? (v + x) / n : v + 2.0 / (n + 1) * (x - v);
    }
    return count < n ? 0 : v / 1e9;
}

static bool touches(const struct minute *b, double mean)
{
    return (double)b->low / 1e9 <= mean && mean <= (double)b->high / 1e9;
}

/* Of ended bars alone. n, m: parameters. */
static struct value of_ended(const struct minute *bar, size_t count, const char *head, unsigned n, unsigned m)
{
    const struct minute *x = &bar[count - 1], *y = &bar[count - 2];
    int64_t top = larger(x->open, x->close), bottom = smaller(x->open, x->close);
    if (count < 1)
        return unknown;
    if (!strcmp(head, "bullish_close"))
        return truth_value(x->close > x->open);
    if (!strcmp(head, "bearish_close"))
        return truth_value(x->close < x->open);
    if (!strcmp(head, "upper_shadow"))
        return truth_value(x->high - top > body_of(x));
    if (!strcmp(head, "lower_shadow"))
        return truth_value(bottom - x->low > body_of(x));
    if (!strcmp(head, "consecutive_candles")) {
        double up = 0, down = 0;
        for (size_t i = 0; i < count; i++) {
            up = bar[i].close > bar[i].open ? up + 1 : 0;
            down = bar[i].close < bar[i].open ? down + 1 : 0;
        }
        return number_value(up - down);
    }
    if (count < 2)
        return unknown;
    if (!strcmp(head, "inside_bar"))
        return truth_value(x->high < y->high && x->low > y->low);
    if (strstr(head, "_engulfing"))
        return truth_value(engulfing(x, y) == (head[1] == 'u' ? 1 : -1));
    if (strstr(head, "_harami"))
        return count < 12 ? unknown : truth_value(harami(bar, count) == (head[1] == 'u' ? 1 : -1));
    if (!strncmp(head, "running", 7)) {
        bool up = true, down = true;
        for (size_t i = count - smaller((int64_t)count, n); i > 0 && i < count; i++) {
            up = up && bar[i].high > bar[i - 1].high && bar[i].low > bar[i - 1].low;
            down = down && bar[i].high < bar[i - 1].high && bar[i].low < bar[i - 1].low;
        }
        return count < n + 1u ? unknown : truth_value(head[8] == 'u' ? up : down);
    }
    if (!strcmp(head, "volume_spike")) {
        double sum = 0;
        for (size_t i = 2; i <= n + 1u && i <= count; i++)
            sum += (double)bar[count - i].volume;
        return count < n + 1u || sum == 0 ? unknown : number_value((double)x->volume * n / sum);
    }
    double a = ema_after(bar, count, n), a_before = ema_after(bar, count - 1, n);
    if (!strcmp(head, "ema_return"))
        return count < n + 1u ? unknown : truth_value(touches(x, a) && !touches(y, a_before));
    double b = ema_after(bar, count, m), b_before = ema_after(bar, count - 1, m);
    if (count < n + 1u || count < m + 1u)
        return unknown;
    return truth_value(!strcmp(head, "ema_cross_up") ? a > b && a_before <= b_before
                                                     : a < b && a_before >= b_before);
}

/* VWAP of the session against the live bar and the price. */
static struct value of_vwap(const struct sym *s, const struct minute *live, const char *head,
                            struct value price)
{
    struct value vwap = sums(s, true);
    if (!vwap.known || !price.known)
        return unknown;
    if (!live)
        return truth_value(false);
    struct value open = price_value(live->open), low = price_value(live->low), high = price_value(live->high);
    int from = compare(&open, &vwap), to = compare(&price, &vwap);
    if (!strcmp(head, "through_vwap_up"))
        return truth_value(from < 0 && to > 0);
    if (!strcmp(head, "through_vwap_down"))
        return truth_value(from > 0 && to < 0);
    if (!strcmp(head, "vwap_support"))
        return truth_value(from > 0 && to > 0 && compare(&low, &vwap) <= 0);
    return truth_value(from < 0 && to < 0 && compare(&high, &vwap) >= 0);
}

/* Levels of the day and of the opening range; false: another one. */
static bool level(const struct sym *s, const char *name, struct value price, struct value *v)
{
    struct session now = session_of(s->calendar, s->time);
    int64_t from = now.day == INT64_MIN ? INT64_MIN : now.day / MIN, to = s->time / MIN, p = price.e9;
    unsigned n, hundredths = 0;
    const struct minute *live =
        s->n_bars && s->bar[s->n_bars - 1].minute == to ? &s->bar[s->n_bars - 1] : NULL;
    bool high = strstr(name, "high"), opening = sscanf(name, "opening_range_%*[a-z]_%um", &n) == 1,
         near = sscanf(name, "near_day_%*[a-z](0.%u)", &hundredths) == 1;
    if (!opening && !near && !strstr(name, "_day_"))
        return false;
    *v = unknown;
    if (near) {
        struct extent day = extent_from(s, from, false);
        hundredths *= hundredths < 10 ? 10 : 1;
        if (day.any && price.known)
            *v = truth_value(high ? (day.high - p) * 10000 <= day.high * hundredths
                                  : (p - day.low) * 10000 <= day.low * hundredths);
        return true;
    }
    if (opening) {
        if (now.kind != SESSION_MARKET || s->time / MIN < now.start / MIN + n)
            return true;
        from = now.start / MIN;
        to = from + n;
    }
    struct extent x = {.low = INT64_MAX};
    for (size_t i = first_bar(s, from); i < s->n_bars; i++)
        if (s->bar[i].minute >= from && s->bar[i].minute < to && s->bar[i].trades) {
            x.any = true;
            x.high = larger(x.high, s->bar[i].high);
            x.low = smaller(x.low, s->bar[i].low);
        }
    if (!x.any || !price.known)
        return true;
    if (opening)
        *v = truth_value(strstr(name, "breakout") ? p > x.high : p < x.low);
    else if (!strncmp(name, "new", 3))
        *v = truth_value(high ? p > x.high : p < x.low);
    else if (!strncmp(name, "break", 5))
        *v = truth_value(live &&
                         (high ? live->open <= x.high && p > x.high : live->open >= x.low && p < x.low));
    else
        *v = truth_value(live &&
                         (high ? live->high >= x.high && p < x.high : live->low <= x.low && p > x.low));
    return true;
}

/* A candle or a level; false: another one. */
static bool candle(const struct sym *s, const char *name, struct value price, struct value *v)
{
    static const char *const heads[] = {
        "consecutive_candles", "volume_spike",   "bullish_close",     "bearish_close",
        "upper_shadow",        "lower_shadow",   "bullish_engulfing", "bearish_engulfing",
        "bullish_harami",      "bearish_harami", "inside_bar",        "running_up",
        "running_down",        "ema_cross_up",   "ema_cross_down",    "ema_return",
        "new_candle_high",     "new_candle_low", "through_vwap_up",   "through_vwap_down",
        "vwap_support",        "vwap_resistance"};
    static struct minute bar[20000];
    const char *at = strchr(name, '@');
    unsigned n = 0, m = 0, length = 0, k = 0;
    char head[40], average[8];
    bool live;
    if (!at)
        return level(s, name, price, v);
    if (strcmp(at, "@1d"))
        length = (unsigned)atoi(at + 1);
    if (sscanf(name, "ma_dist_pct(%7[a-z],%u)", average, &n) == 2) {
        struct value mean = indicator(s, average, n, length);
        *v = mean.known && price.known
                 ? number_value(((double)price.e9 / 1e9 - mean.number) / mean.number * 100)
                 : unknown;
        return true;
    }
    snprintf(head, sizeof head, "%.*s", (int)strcspn(name, "(@"), name);
    sscanf(name, "%*[a-z_](%u,%u)", &n, &m);
    while (k < sizeof heads / sizeof *heads && strcmp(heads[k], head))
        k++;
    if (k == sizeof heads / sizeof *heads)
        return false;
    size_t count = candles_of(s, length, bar, &live), ended = count - live;
    if (strstr(head, "vwap"))
        *v = of_vwap(s, live ? &bar[count - 1] : NULL, head, price);
    else if (strncmp(head, "new_candle", 10))
        *v = of_ended(bar, ended, head, n, m);
    else if (ended == 0 || !price.known)
        *v = unknown;
    else
        *v = truth_value(head[11] == 'h' ? price.e9 > bar[ended - 1].high : price.e9 < bar[ended - 1].low);
    return true;
}

/* "dev(20 trades)", "change_over(40s)": of the last sales of the trading day, by when they came. */
static struct value of_prints(const struct sym *s, const char *name)
{
    int64_t today = session_of(s->calendar, s->time).day, newest = INT64_MIN, price = 0, oldest = 0;
    bool dev = name[0] == 'd';
    unsigned n = (unsigned)atoi(strchr(name, '(') + 1), count = 0;
    __int128 sum = 0;
    for (size_t i = s->n_ticks; i-- > 0;) {
        const struct tick *t = &s->tick[i];
        if (t->late || t->cancelled || session_of(s->calendar, t->now).day != today)
            continue;
        newest = newest == INT64_MIN ? t->now : newest;
        price = count ? price : t->price;
        if (dev ? count == n : t->now <= newest - (int64_t)n * SEC)
            break;
        sum += t->price;
        oldest = t->price;
        count++;
    }
    if (count == 0 || (dev && count < n))
        return unknown;
    return number_value((double)price / (dev ? (double)sum / count : (double)oldest) - 1);
}

static struct value metric_value(const struct sym *s, const char *name)
{
    unsigned n, length;
    char head[40];
    int64_t now = s->time / MIN, p;
    struct value v;
    const struct minute *live = NULL, *last = NULL;
    struct value price = last_price(s, &p) ? price_value(p) : unknown;
    double unit = 1;
    for (unsigned i = 0; i < s->scale; i++)
        unit *= 10;
    size_t at = first_bar(s, now);
    if (at < s->n_bars && s->bar[at].minute == now)
        live = &s->bar[at];
    if (at > 0)
        last = &s->bar[at - 1];
    if (candle(s, name, price, &v))
        return v;
    if (sscanf(name, "%15[a-z_](%u)@%um", head, &n, &length) == 3)
        return indicator(s, head, n, strstr(name, "@1d") ? 0 : length);
    if (is_of_days(name) && of_days(s, name, price, unit, &v))
        return v;
    if (attribute(s, name, &v) || timed(s, name, &v) || spanned(s, name, price, unit, &v))
        return v;
    if (sscanf(name, "%15[a-z]_%um", head, &n) == 2 || sscanf(name, "%10[a-z_]t_%um", head, &n) == 2 ||
        (sscanf(name, "change_pct_%um", &n) == 1 && strcpy(head, "change_pct")))
        return window(s, head, n);
    if (!strcmp(name, "price"))
        return price;
    if (!strcmp(name, "bid"))
        return s->bid < 0 ? unknown : price_value(s->bid);
    if (!strcmp(name, "ask"))
        return s->ask < 0 ? unknown : price_value(s->ask);
    if (!strcmp(name, "spread"))
        return s->bid < 0 ? unknown : price_value(s->ask - s->bid);
    if (!strcmp(name, "volume_live"))
        return s->n_bars ? number_value(live ? (double)live->volume / unit : 0) : unknown;
    if (!strcmp(name, "trade_count_live"))
        return s->n_bars ? number_value(live ? live->trades : 0) : unknown;
    if (!strcmp(name, "vwap_live"))
        return live ? quotient(live->pv, live->volume) : unknown;
    if (!strcmp(name, "vwap(session)"))
        return sums(s, true);
    if (!strcmp(name, "volume_daily"))
        return sums(s, false);
    if (!strcmp(name, "premarket_volume") || !strcmp(name, "postmarket_volume"))
        return s->n_bars
                   ? number_value(
                         (double)volume_of(s, name[1] == 'r' ? SESSION_PREMARKET : SESSION_POSTMARKET) / unit)
                   : unknown;
    if (!strcmp(name, "dollar_volume_daily")) {
        int64_t day = session_of(s->calendar, s->time).day;
        struct extent x = extent_from(s, day == INT64_MIN ? INT64_MIN : day / MIN, false);
        return s->n_bars ? number_value((double)x.pv / 1e9 / unit) : unknown;
    }
    if (!strncmp(name, "change_from_open", 16))
        return of_close(price, day_open(s), name[16]);
    if (!strcmp(name, "size")) {
        for (size_t i = s->n_ticks; i-- > 0;)
            if (!s->tick[i].late && !s->tick[i].cancelled)
                return number_value((double)s->tick[i].size / unit);
        return unknown;
    }
    if (!strncmp(name, "dev(", 4) || !strncmp(name, "change_over(", 12))
        return of_prints(s, name);
    if (!strcmp(name, "halted"))
        return number_value(s->halted);
    if (!strcmp(name, "session"))
        return number_value(session_of(s->calendar, s->time).kind);
    if (!strncmp(name, "change_from_close", 17))
        return of_close(price, day_before(s), name[17]);
    if (!strncmp(name, "gap_from_close", 14))
        return of_close(day_open(s), day_before(s), name[14]);
    if (!last)
        return unknown;
    if (!strcmp(name, "vwap"))
        return quotient(last->pv, last->volume);
    return !strcmp(name, "open")    ? price_value(last->open)
           : !strcmp(name, "high")  ? price_value(last->high)
           : !strcmp(name, "low")   ? price_value(last->low)
           : !strcmp(name, "close") ? price_value(last->close)
                                    : number_value((double)last->volume / unit);
}

/* ---- expressions */

static const char *const cmp_text[6] = {">", "<", ">=", "<=", "==", "!="};

/* -1, 0, 1. A price and a quotient are compared as the rationals that they are. */
static int compare(const struct value *a, const struct value *b)
{
    if (a->price && b->price)
        return (a->e9 > b->e9) - (a->e9 < b->e9);
    if (a->price && b->volume) {
        __int128 left = (__int128)a->e9 * b->volume;
        return (left > b->pv) - (left < b->pv);
    }
    if (a->volume && b->price)
        return -compare(b, a);
    if (a->volume && b->volume) { /* whole parts, then what is left over, crosswise */
        __int128 x = a->pv / a->volume, y = b->pv / b->volume;
        unsigned __int128 left = (unsigned __int128)(a->pv % a->volume) * b->volume,
                          right = (unsigned __int128)(b->pv % b->volume) * a->volume;
        return x != y ? (x > y) - (x < y) : (left > right) - (left < right);
    }
    double x = a->price ? (double)a->e9 / 1e9 : a->number, y = b->price ? (double)b->e9 / 1e9 : b->number;
    return (x > y) - (x < y);
}

static struct value *value_of(struct world *w, struct sym *s, int metric)
{
    if (s->made_changes != s->changes || s->made_minute != s->time / MIN || w->timed) {
        memset(s->made, 0, sizeof s->made);
        s->made_changes = s->changes;
        s->made_minute = s->time / MIN;
    }
    if (!s->made[metric]) {
        s->value[metric] = metric_value(s, w->metric[metric]);
        s->made[metric] = true;
    }
    return &s->value[metric];
}

/* Of what every reading has the same: prices and sums of them exact, the rest as doubles. */
static struct value compute(char op, const struct value *a, const struct value *b)
{
    if (!a->known || !b->known)
        return unknown;
    if (a->price && b->price && (op == '+' || op == '-'))
        return price_value(op == '+' ? a->e9 + b->e9 : a->e9 - b->e9);
    double x = a->price ? (double)a->e9 / 1e9 : a->number, y = b->price ? (double)b->e9 / 1e9 : b->number;
    if (op == '/' && y == 0)
        return unknown;
    return number_value(op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y);
}

static enum truth truth_of(struct world *w, struct sym *s, const struct tree *t, int at, enum truth *memory,
                           struct memory *span);

static enum truth span_truth(struct world *w, struct sym *s, const struct tree *t, const struct node *n,
                             enum truth *memory, struct memory *span)
{
    struct memory *m = &span[n->at];
    bool before = m->begun && (m->now == TRUE || s->time - m->last < n->time);
    if (memory) { /* else it is asked again, what crossed being over */
        enum truth moment = truth_of(w, s, t, n->left, memory, span),
                   now = truth_of(w, s, t, n->left, NULL, span);
        if (w->silent)
            moment = now;
        if (!m->begun) {
            *m = (struct memory){.begun = true, .last = INT64_MIN / 2};
            m->before = now == FALSE ? FALSE : UNKNOWN;
            for (int i = 0; i < 6; i++)
                m->end[i] = m->before;
            m->now = FALSE;
        }
        if (m->now == TRUE || moment == TRUE || now == TRUE)
            m->last = s->time;
        m->now = now;
    }
    enum truth all = m->now;
    for (int i = 0; n->op == 'f' && i < n->bars - 1; i++)
        all = m->end[i] < all ? m->end[i] : all;
    if (n->op == 'w' && (m->now == TRUE || s->time - m->last < n->time))
        all = TRUE;
    if (memory)
        w->clues[n->at] = (uint8_t)(all == TRUE && !(n->op == 'w' && before) ? ASK : all);
    return all;
}

/* The symbol's minute ends: the bars that end with it. */
static void spans_end(struct world *w, struct sym *s, int64_t old, int64_t t)
{
    for (int id = 0; id < RULES; id++) {
        int slot = s->evaluated[id];
        if (slot < 0 || slot != w->in_force[id] || w->rule[slot].trigger == TRIGGER_BAR_CLOSE)
            continue;
        for (int k = 0; k < w->rule[slot].tree.n; k++) {
            const struct node *n = &w->rule[slot].tree.node[k];
            struct memory *m = &s->span[id][n->at];
            if (n->op != 'f' || !m->begun || s->n_bars == 0)
                continue;
            int64_t end = span_end(s, s->bar[s->n_bars - 1].minute * MIN, (unsigned)n->length);
            if (end <= old / MIN || end > t / MIN)
                continue;
            memmove(m->end + 1, m->end, sizeof m->end - sizeof *m->end);
            m->end[0] = m->now;
        }
    }
}

/* memory: of the rule's events, NULL where nothing crosses. */
static enum truth truth_of(struct world *w, struct sym *s, const struct tree *t, int at, enum truth *memory,
                           struct memory *span)
{
    const struct node *n = &t->node[at];
    if (n->op == 'f' || n->op == 'w')
        return span_truth(w, s, t, n, memory, span);
    if (n->op == 'c') {
        struct value a = *value_of(w, s, n->metric);
        const struct value *b = n->other < 0 ? &n->constant : value_of(w, s, n->other);
        if (n->arithmetic)
            a = compute(n->arithmetic, &a, value_of(w, s, n->third));
        enum truth now = UNKNOWN, before = memory ? memory[n->at] : UNKNOWN;
        if (a.known && b->known) {
            int c = compare(&a, b);
            bool holds[] = {c > 0, c < 0, c >= 0, c <= 0, c == 0, c != 0};
            now = holds[n->cmp] ? TRUE : FALSE;
        }
        if (!n->event)
            return now;
        if (memory) {
            memory[n->at] = now;
            w->clues[n->at] = now == TRUE && before == FALSE ? ASK : FALSE;
        }
        return now == TRUE && before != FALSE ? FALSE : now;
    }
    enum truth left = truth_of(w, s, t, n->left, memory, span), right;
    if (n->op == '!')
        return TRUE - left;
    right = truth_of(w, s, t, n->right, memory, span);
    return (n->op == '&') == (left < right) ? left : right;
}

/* ---- what happens */

enum what { TICK, CLOCK, LATE, STATUS, ATTR };

static void emit_bar(struct world *w, const struct sym *s, const struct minute *b)
{
    struct event *v = event_new(w, s);
    v->time = b->minute * MIN;
    v->bar = *b;
}

static bool may_fire(const struct sym *s, int id, const struct rrule *r, int slot)
{
    bool same_bar = s->fired[id] / MIN == s->time / MIN && s->fired_slot[id] == slot;
    return s->time - s->fired[id] >= r->cooldown && (!s->halted || r->minds_halt) &&
           !(r->expires && s->time >= r->expires) &&
           !(r->sessions && !(r->sessions >> session_of(s->calendar, s->time).kind & 1)) &&
           !(r->trigger == TRIGGER_ONCE && s->fired_slot[id] == slot) &&
           !(r->trigger == TRIGGER_ONCE_PER_BAR && same_bar);
}

/* The symbol's last tick, or the end of the minute if that is not -1, has decided an alert. */
static void note_sent(struct world *w, struct sym *s, const struct event *v, int64_t minute)
{
    if (s->n_sent == s->room_sent) {
        s->room_sent = 2 * s->room_sent + 256;
        s->sent = realloc(s->sent, s->room_sent * sizeof *s->sent);
        assert_non_null(s->sent);
    }
    struct sent *a = &s->sent[s->n_sent++];
    *a = (struct sent){.tick = s->n_ticks - 1,
                       .close = minute >= 0,
                       .minute = minute,
                       .time = v->time,
                       .bid = s->bid,
                       .ask = s->ask,
                       .halted = s->halted,
                       .rule = v->rule,
                       .k = v->k,
                       .price = v->price};
    memcpy(a->clue, w->clue[w->rule[v->rule].ident], sizeof a->clue);
    memcpy(a->operand, v->operand, sizeof a->operand);
}

/* Rules have fired: their alerts, in the order of slots. minute: whose end it is, -1 of none. */
static void send(struct world *w, struct sym *s, int *fired, int n, int64_t minute)
{
    for (int i = 0; i < n; i++)
        for (int j = i; j > 0 && fired[j] < fired[j - 1]; j--) {
            int x = fired[j];
            fired[j] = fired[j - 1];
            fired[j - 1] = x;
        }
    for (int i = 0; i < n; i++) {
        const struct rrule *r = &w->rule[fired[i]];
        struct event *v = event_new(w, s);
        v->alert = true;
        v->time = s->time;
        v->rule = (uint32_t)fired[i];
        v->k = s->k[r->ident];
        if (!last_price(s, &v->price))
            v->price = ALERT_UNKNOWN;
        v->n = r->tree.n_operands;
        for (int k = 0; k < v->n; k++)
            v->operand[k] = *value_of(w, s, r->tree.operand[k]);
        if (w->print || minute >= 0)
            note_sent(w, s, v, minute);
    }
}

static void fire(struct sym *s, int id, int slot)
{
    s->k[id] = s->fired[id] == s->time ? s->k[id] + 1 : 0;
    s->fired[id] = s->time;
    s->fired_slot[id] = slot;
}

/* The truth of a bar_close rule at a bar's end. Its spans know bars' ends alone; what was before is false. */
static enum truth close_truth(struct world *w, struct sym *s, const struct tree *t, int at)
{
    const struct node *n = &t->node[at];
    if (n->op == 'c')
        return truth_of(w, s, t, at, NULL, NULL);
    enum truth left = close_truth(w, s, t, n->left), right;
    if (n->op == '!')
        return TRUE - left;
    if (n->op == '&' || n->op == '|') {
        right = close_truth(w, s, t, n->right);
        return (n->op == '&') == (left < right) ? left : right;
    }
    struct memory *m = &s->span[w->rule[w->closing].ident][n->at];
    if (!m->begun)
        *m = (struct memory){.begun = true, .last = INT64_MIN / 2};
    bool before = s->time - m->last < n->time;
    enum truth all = left;
    if (n->op == 'f') {
        for (int i = 0; i < n->bars - 1; i++)
            all = m->end[i] < all ? m->end[i] : all;
        memmove(m->end + 1, m->end, sizeof m->end - sizeof *m->end);
        m->end[0] = left;
    } else {
        m->last = left == TRUE ? s->time : m->last;
        all = before ? TRUE : left;
    }
    w->clue[w->rule[w->closing].ident][n->at] =
        (uint8_t)(all == TRUE && !(n->op == 'w' && before) ? ASK : all);
    return all;
}

/* A minute in which the symbol traded has ended. */
static void evaluate_close(struct world *w, struct sym *s, int64_t minute)
{
    int fired[RULES], n = 0;
    for (int id = 0; id < RULES; id++) {
        int slot = w->in_force[id];
        const struct rrule *r = &w->rule[slot < 0 ? 0 : slot];
        if (slot < 0 || s->evaluated[id] != slot || r->trigger != TRIGGER_BAR_CLOSE)
            continue;
        w->closing = slot;
        if (close_truth(w, s, &r->tree, r->tree.n - 1) != TRUE || !may_fire(s, id, r, slot))
            continue;
        fire(s, id, slot);
        fired[n++] = slot;
    }
    send(w, s, fired, n, minute);
}

/* A message of the symbol's own: rules that are new to it are evaluated from now on, at the end of the minute
 * that it ends too. */
static void arrive(struct world *w, struct sym *s)
{
    for (int id = 0; id < RULES; id++) {
        int slot = w->in_force[id];
        const struct rrule *r = &w->rule[slot < 0 ? 0 : slot];
        if (slot < 0 || s->evaluated[id] == slot || !r->enabled || !(r->symbols >> (s - w->sym) & 1))
            continue;
        s->truth[id] = UNKNOWN;
        for (int i = 0; i < TREE; i++)
            s->side[id][i] = UNKNOWN;
        memset(s->span[id], 0, sizeof s->span[id]);
        s->evaluated[id] = slot;
    }
}

static void evaluate(struct world *w, struct sym *s, enum what what)
{
    int fired[RULES], n = 0;
    w->silent = what == LATE || what == ATTR;
    if (what == CLOCK && !w->timed && !w->spans && s->seen_changes == s->changes &&
        s->seen_minute == s->time / MIN)
        return; /* no tick and the same minute: every value is what it was, nothing becomes true */
    s->seen_changes = s->changes;
    s->seen_minute = s->time / MIN;
    for (int id = 0; id < RULES; id++) {
        int slot = w->in_force[id];
        const struct rrule *r = &w->rule[slot < 0 ? 0 : slot];
        if (slot < 0 || !r->enabled || !(r->symbols >> (s - w->sym) & 1)) {
            s->evaluated[id] = -1;
            continue;
        }
        if (s->evaluated[id] != slot || r->trigger == TRIGGER_BAR_CLOSE)
            continue; /* a new version is first evaluated at the symbol's next message */
        w->clues = w->clue[id];
        enum truth before = s->truth[id],
                   now = s->truth[id] = truth_of(w, s, &r->tree, r->tree.n - 1, s->side[id], s->span[id]);
        if (r->tree.events) /* which are over: what held by them alone does no more */
            s->truth[id] = truth_of(w, s, &r->tree, r->tree.n - 1, NULL, s->span[id]);
        if (w->silent || now != TRUE || !may_fire(s, id, r, slot))
            continue;
        if (r->trigger == TRIGGER_CROSS ? before == FALSE : what == TICK || before != TRUE) {
            fire(s, id, slot);
            fired[n++] = slot;
        }
    }
    send(w, s, fired, n, -1);
}

/* ---- alerts whose print is cancelled */

static int by_minute(const void *a, const void *b)
{
    const struct minute *x = a, *y = b;
    return (x->minute > y->minute) - (x->minute < y->minute);
}

/* The bar of a minute of the ticks that are there; false if none are. */
static bool bar_of_ticks(const struct sym *s, int64_t minute, struct minute *b)
{
    *b = (struct minute){.minute = minute};
    for (size_t i = 0; i < s->n_ticks; i++) {
        const struct tick *t = &s->tick[i];
        if (t->cancelled || t->ev / MIN != minute)
            continue;
        b->open = b->trades ? b->open : t->price;
        b->high = !b->trades || t->price > b->high ? t->price : b->high;
        b->low = !b->trades || t->price < b->low ? t->price : b->low;
        b->close = t->price;
        b->volume += t->size;
        b->pv += (__int128)t->price * t->size;
        b->trades++;
    }
    return b->trades;
}

/* The symbol as of an alert, without its print (a bar's end has none of its own) and those that came later.
 * What is of earlier days is as it is now. */
static void past_of(const struct world *w, const struct sym *s, const struct sent *a, struct sym *p)
{
    int64_t day = session_of(s->calendar, s->time).day;
    size_t end = a->tick + a->close;
    *p = *s;
    p->time = a->time;
    p->bid = a->bid;
    p->ask = a->ask;
    p->halted = a->halted;
    memset(p->made, 0, sizeof p->made);
    p->made_changes = p->changes;
    p->made_minute = p->time / MIN;
    p->tick = calloc(s->n_ticks, sizeof *p->tick);
    p->bar = calloc(s->n_bars + 1, sizeof *p->bar);
    p->n_ticks = p->n_bars = 0;
    for (size_t i = 0; i < s->n_ticks; i++) {
        bool later = i >= end;
        if (later && s->tick[i].ev >= day)
            continue;
        p->tick[p->n_ticks] = s->tick[i];
        p->tick[p->n_ticks++].late |= later;
    }
    for (size_t i = 0; i < s->n_bars; i++) {
        struct minute b = s->bar[i], made;
        bool changed = b.minute == p->time / MIN;
        if (b.minute > p->time / MIN)
            continue;
        for (size_t k = end; k < s->n_ticks; k++)
            changed |= s->tick[k].ev / MIN == b.minute && !s->tick[k].cancelled && s->tick[k].ev >= day;
        if (changed && bar_of_ticks(p, b.minute, &made)) {
            b = made;
        } else if (changed) {
            if (!w->flat || p->n_bars == 0 || b.minute == p->time / MIN ||
                session_of(s->calendar, b.minute * MIN).kind == SESSION_CLOSED)
                continue;
            int64_t price = p->bar[p->n_bars - 1].close;
            b = (struct minute){
                .minute = b.minute, .open = price, .high = price, .low = price, .close = price};
        }
        p->bar[p->n_bars++] = b;
    }
    qsort(p->bar, p->n_bars, sizeof *p->bar, by_minute);
}

static enum truth past_truth(struct world *w, struct sym *p, const struct tree *t, int at,
                             const uint8_t *clue)
{
    const struct node *n = &t->node[at];
    bool span = n->op == 'f' || n->op == 'w';
    if ((span || (n->op == 'c' && n->event)) && clue[n->at] != ASK)
        return (enum truth)clue[n->at];
    if (span)
        return past_truth(w, p, t, n->left, clue);
    if (n->op == 'c') {
        struct node plain = *n;
        struct tree one = {.node = {plain}, .n = 1};
        one.node[0].event = false;
        return truth_of(w, p, &one, 0, NULL, NULL);
    }
    enum truth left = past_truth(w, p, t, n->left, clue), right;
    if (n->op == '!')
        return TRUE - left;
    right = past_truth(w, p, t, n->right, clue);
    return (n->op == '&') == (left < right) ? left : right;
}

static bool equal_values(const struct value *a, const struct value *b)
{
    if (!a->known || !b->known)
        return a->known == b->known;
    return a->price ? a->e9 == b->e9 : a->number == b->number;
}

/* Tick `index` is cancelled: what its alerts, or those of its minute's end, would have said without it. */
static void revise(struct world *w, struct sym *s, size_t index, bool close)
{
    for (size_t i = 0; i < s->n_sent; i++) {
        struct sent *a = &s->sent[i];
        const struct tree *t = &w->rule[a->rule].tree;
        struct value v[2 * TREE];
        int64_t price;
        struct sym *p;
        bool decided = close ? a->minute == s->tick[index].ev / MIN : a->tick == index;
        if (a->close != close || !decided || a->withdrawn || !(p = malloc(sizeof *p)))
            continue;
        past_of(w, s, a, p);
        bool holds = past_truth(w, p, t, t->n - 1, a->clue) == TRUE;
        if (!last_price(p, &price))
            price = ALERT_UNKNOWN;
        bool same = price == a->price;
        for (int k = 0; k < t->n_operands; k++) {
            v[k] = *value_of(w, p, t->operand[k]);
            same &= equal_values(&v[k], &a->operand[k]);
        }
        free(p->tick);
        free(p->bar);
        free(p);
        if (holds && same)
            continue;
        a->withdrawn = !holds;
        a->price = price;
        a->revision++;
        memcpy(a->operand, v, sizeof v);
        struct event *e = event_new(w, s);
        *e = (struct event){.alert = true,
                            .kind = holds ? ALERT_REVISED : ALERT_WITHDRAWN,
                            .revision = a->revision,
                            .time = a->time,
                            .rule = a->rule,
                            .k = a->k,
                            .price = price,
                            .n = t->n_operands};
        memcpy(e->operand, v, sizeof v);
        w->revised[!holds]++;
        w->revised_closes += close;
    }
}

static int64_t scaled(int64_t v, uint32_t by, uint32_t over)
{
    return (int64_t)(((__int128)v * by * 2 + over) / (2 * (__int128)over)); /* halves go up */
}

/* Everything before the day is of other shares. What was not final is so now, as it was. */
static void split(struct world *w, struct sym *s, int64_t day)
{
    uint32_t to = s->to, from = s->from;
    struct minute days[DAYS_MAX + 1];
    bool live;
    size_t n = days_of(s, days, &live);
    free(s->history);
    s->history = calloc(n + 1, sizeof *s->history);
    s->n_history = n;
    for (size_t i = 0; i < n; i++) {
        struct minute *b = &days[i];
        s->history[i] = (struct minute){.open = scaled(b->open, from, to),
                                        .high = scaled(b->high, from, to),
                                        .low = scaled(b->low, from, to),
                                        .close = scaled(b->close, from, to),
                                        .volume = (uint64_t)scaled((int64_t)b->volume, to, from)};
    }
    for (size_t i = 0; i < s->n_bars; i++) {
        struct minute *b = &s->bar[i];
        if (!b->final)
            emit_bar(w, s, b);
        b->final = true;
        b->open = scaled(b->open, from, to);
        b->high = scaled(b->high, from, to);
        b->low = scaled(b->low, from, to);
        b->close = scaled(b->close, from, to);
        b->volume = (uint64_t)scaled((int64_t)b->volume, to, from);
    }
    for (size_t i = 0; i < s->n_ticks; i++) {
        s->tick[i].price = scaled(s->tick[i].price, from, to);
        s->tick[i].size = (uint64_t)scaled((int64_t)s->tick[i].size, to, from);
    }
    s->bid = s->bid > 0 ? scaled(s->bid, from, to) : s->bid;
    s->ask = s->ask > 0 ? scaled(s->ask, from, to) : s->ask;
    s->split_day = day;
    s->ex = 0;
    s->changes++;
}

static void room_for_bar(struct sym *s)
{
    if (s->n_bars == s->room_bars) {
        s->room_bars = 2 * s->room_bars + 256;
        s->bar = realloc(s->bar, s->room_bars * sizeof *s->bar);
        assert_non_null(s->bar);
    }
}

/* The minute has ended. */
static void add_flat(struct sym *s, int64_t minute)
{
    int64_t p;
    if (s->halted || session_of(s->calendar, minute * MIN).kind == SESSION_CLOSED || !last_price(s, &p) ||
        (s->n_bars && s->bar[s->n_bars - 1].minute == minute))
        return;
    room_for_bar(s);
    s->bar[s->n_bars++] = (struct minute){.minute = minute, .open = p, .high = p, .low = p, .close = p};
    s->changes++;
}

/* The symbol's time becomes t: bars become final, and at a day's switch crossings of recursive metrics start
 * anew. */
static void advance(struct world *w, struct sym *s, int64_t t)
{
    int64_t old = s->time;
    if (t <= old)
        return;
    const struct minute *live = s->n_bars ? &s->bar[s->n_bars - 1] : NULL;
    bool ends = old >= 0 && old / MIN != t / MIN && live && live->minute == old / MIN && live->trades;
    if (w->flat && old >= 0 && old / MIN != t / MIN)
        add_flat(s, old / MIN);
    if (old >= 0)
        spans_end(w, s, old, t);
    s->time = t;
    if (s->ex && session_of(s->calendar, t).day >= s->ex)
        split(w, s, session_of(s->calendar, t).day);
    if (ends)
        evaluate_close(w, s, old / MIN);
    size_t open = s->n_bars;
    while (open > 0 && !s->bar[open - 1].final)
        open--;
    for (; open < s->n_bars && (s->bar[open].minute + 1) * MIN + SEC <= t; open++) {
        s->bar[open].final = true;
        emit_bar(w, s, &s->bar[open]);
    }
    if (old < 0 || old / MIN == t / MIN || session_of(s->calendar, old).day == session_of(s->calendar, t).day)
        return;
    for (int id = 0; id < RULES; id++) {
        const struct rrule *r = &w->rule[w->in_force[id] < 0 ? 0 : w->in_force[id]];
        if (w->in_force[id] >= 0 && r->trigger == TRIGGER_CROSS && r->recursive)
            s->truth[id] = UNKNOWN;
        for (int i = 0; w->in_force[id] >= 0 && r->recursive && i < TREE; i++)
            s->side[id][i] = UNKNOWN;
    }
}

static const int64_t base_price = 100 * SEC, step_price = SEC / 4;

static void strike(struct world *w, uint32_t bucket, int64_t t)
{
    w->clock[bucket] = t;
    for (int i = 0; i < w->n_syms; i++)
        if (w->sym[i].bucket == bucket && w->sym[i].time >= 0) {
            advance(w, &w->sym[i], t);
            evaluate(w, &w->sym[i], CLOCK);
        }
}

/* Every grid point that the running maximum of event time has reached comes before the tick. */
static void clocks(struct world *w, int64_t ev)
{
    w->top = ev > w->top ? ev : w->top;
    for (uint32_t b = 0; b < BUCKET_COUNT; b++)
        if (w->occupied[b]) {
            int64_t offset = (int64_t)b * SEC / 1024, last = (w->top - offset) / SEC;
            if (w->struck[b] < 0)
                w->struck[b] = last;
            for (int i = 0; i < w->n_syms && w->clock[b] < 0 && w->struck[b] < last; i++) {
                const struct sym *s =
                    &w->sym[i]; /* a bucket's first CLOCK passes what its symbols have before them */
                if (s->bucket == b && s->time >= 0 && (s->time - offset) / SEC < w->struck[b])
                    w->struck[b] = (s->time - offset) / SEC;
            }
            while (w->struck[b] < last)
                strike(w, b, ++w->struck[b] * SEC + offset);
        }
}

static void see_trade(struct world *w, struct sym *s, int64_t ev, int64_t price, uint64_t size, uint64_t id)
{
    int64_t minute = ev / MIN;
    bool late = (minute + 1) * MIN + SEC <= s->time || ev < s->split_day;
    if (s->n_ticks == s->room_ticks) {
        s->room_ticks = 2 * s->room_ticks + 256;
        s->tick = realloc(s->tick, s->room_ticks * sizeof *s->tick);
        assert_non_null(s->tick);
    }
    s->tick[s->n_ticks++] = (struct tick){ev, s->time, price, size, late, false, id};
    s->changes++;
    if (session_of(s->calendar, ev).day != session_of(s->calendar, s->time).day)
        s->past.made = false;
    w->traded[s->bucket] = ev > w->traded[s->bucket] ? ev : w->traded[s->bucket];
    if (ev < s->split_day) {
        evaluate(w, s, LATE);
        return;
    }
    size_t i = first_bar(s, minute);
    if (i == s->n_bars || s->bar[i].minute != minute) {
        room_for_bar(s);
        memmove(&s->bar[i + 1], &s->bar[i], (s->n_bars++ - i) * sizeof *s->bar);
        s->bar[i] = (struct minute){.minute = minute,
                                    .open = price,
                                    .high = price,
                                    .low = price,
                                    .final = late,
                                    .revision = minute < s->time / MIN ? s->emptied : 0};
    } else if (late) {
        s->bar[i].revision++;
    }
    struct minute *b = &s->bar[i];
    if (b->trades == 0)
        b->open = b->high = b->low = price;
    b->high = price > b->high ? price : b->high;
    b->low = price < b->low ? price : b->low;
    b->close = price;
    b->volume += size;
    b->pv += (__int128)price * size;
    b->trades++;
    if (late)
        emit_bar(w, s, b);
    w->print = !late;
    evaluate(w, s, late ? LATE : TICK);
    w->print = false;
}

/* The bar of a minute out of the ticks that are left. */
static void remake_bar(struct world *w, struct sym *s, int64_t minute)
{
    size_t at = first_bar(s, minute);
    struct minute b = {.minute = minute, .revision = minute < s->time / MIN ? s->emptied : 0};
    for (size_t i = first_tick(s, minute * MIN); i < s->n_ticks; i++) {
        const struct tick *t = &s->tick[i];
        if (t->cancelled || t->ev / MIN != minute)
            continue;
        b.open = b.trades ? b.open : t->price;
        b.high = !b.trades || t->price > b.high ? t->price : b.high;
        b.low = !b.trades || t->price < b.low ? t->price : b.low;
        b.close = t->price;
        b.volume += t->size;
        b.pv += (__int128)t->price * t->size;
        b.trades++;
    }
    bool found = at < s->n_bars && s->bar[at].minute == minute;
    b.final = found ? s->bar[at].final : (minute + 1) * MIN + SEC <= s->time;
    if (found && b.trades) {
        b.revision = s->bar[at].revision + b.final;
        s->bar[at] = b;
    } else if (b.trades) {
        room_for_bar(s);
        memmove(&s->bar[at + 1], &s->bar[at], (s->n_bars++ - at) * sizeof *s->bar);
        s->bar[at] = b;
    } else if (found) {
        b.open = b.high = b.low = b.close = at ? s->bar[at - 1].close : s->bar[at].close;
        b.revision = s->bar[at].revision + b.final;
        if (w->flat && minute < s->time / MIN &&
            session_of(s->calendar, minute * MIN).kind != SESSION_CLOSED) {
            s->bar[at] = b;
        } else {
            memmove(&s->bar[at], &s->bar[at + 1], (--s->n_bars - at) * sizeof *s->bar);
            if (b.final && b.revision >= s->emptied)
                s->emptied = b.revision + 1;
        }
    }
    if (b.final)
        emit_bar(w, s, &b);
    s->changes++;
    s->past.made = false;
    evaluate(w, s, LATE);
}

/* A print of the trading day at hand never counted; then another one takes its place, or not. */
static void correct(struct world *w, struct sym *s, uint32_t symbol, int64_t ev)
{
    int64_t day = session_of(s->calendar, s->time).day;
    size_t back = s->n_ticks ? random_below(&w->random, one_in(&w->random, 3) ? (uint32_t)s->n_ticks : 4) : 0;
    if (s->n_sent && one_in(&w->random, 2)) /* one that has decided alerts */
        back =
            s->n_ticks - 1 -
            s->sent[s->n_sent - 1 - random_below(&w->random, s->n_sent < 40 ? (uint32_t)s->n_sent : 40)].tick;
    uint64_t id = back < s->n_ticks ? s->tick[s->n_ticks - 1 - back].id : 7;
    struct tick *t = NULL;
    for (size_t i = s->n_ticks; i-- > 0 && !t;)
        if (s->tick[i].id == id && !s->tick[i].cancelled && s->tick[i].ev >= day)
            t = &s->tick[i];
    put_cancel(&w->input, symbol, ev, id);
    if (t) {
        t->cancelled = true;
        remake_bar(w, s, t->ev / MIN);
        revise(w, s, (size_t)(t - s->tick), false);
        revise(w, s, (size_t)(t - s->tick), true);
    } else {
        evaluate(w, s, LATE);
    }
    if (one_in(&w->random, 2))
        return;
    int64_t price = base_price + step_price * ((int64_t)random_below(&w->random, 9) - 4);
    uint64_t size = 100 * (1 + (uint64_t)random_below(&w->random, 9));
    put_trade(&w->input, symbol, ev, price, size);
    w->input.slot[w->input.n - 1].flags |= MSG_F_CORRECTION;
    w->input.slot[w->input.n - 1].trade.trade_id = ++w->trade_id;
    w->traded[s->bucket] = ev > w->traded[s->bucket] ? ev : w->traded[s->bucket];
    if (!t) {
        evaluate(w, s, LATE);
        return;
    }
    t->price = price;
    t->size = size;
    t->id = w->trade_id;
    t->cancelled = false;
    remake_bar(w, s, t->ev / MIN);
}

static void see_end(struct world *w)
{
    for (uint32_t b = 0; b < BUCKET_COUNT; b++)
        if (w->occupied[b] && w->traded[b] >= 0) {
            int64_t offset = (int64_t)b * SEC / 1024, end = (w->traded[b] / MIN + 1) * MIN + SEC;
            while ((w->struck[b] + 1) * SEC + offset <= end)
                strike(w, b, ++w->struck[b] * SEC + offset);
            strike(w, b, end);
        }
}

/* ---- random markets */

static bool is_truth(const char *name)
{
    struct metric m;
    struct error err;
    assert_int_equal(metric_parse(name, strlen(name), &m, &err), 0);
    return metric_unit(&m) == UNIT_TRUTH;
}

/* A candle or a level; n: a number of bars or minutes. */
static void pick_candle(struct world *w, unsigned n, unsigned length, char *name)
{
    static const char *const names[] = {"bullish_close",
                                        "bearish_close",
                                        "upper_shadow",
                                        "lower_shadow",
                                        "bullish_engulfing",
                                        "bearish_engulfing",
                                        "bullish_harami",
                                        "bearish_harami",
                                        "bullish_harami",
                                        "bearish_harami",
                                        "inside_bar",
                                        "consecutive_candles",
                                        "new_candle_high",
                                        "new_candle_low",
                                        "through_vwap_up",
                                        "through_vwap_down",
                                        "vwap_support",
                                        "vwap_resistance",
                                        "volume_spike(N)",
                                        "running_up(N)",
                                        "running_down(N)",
                                        "ema_return(N)",
                                        "ema_cross_up(N,M)",
                                        "ema_cross_down(N,M)",
                                        "ma_dist_pct(sma,N)",
                                        "ma_dist_pct(ema,N)",
                                        "new_day_high",
                                        "new_day_low",
                                        "break_day_high",
                                        "break_day_low",
                                        "reject_day_high",
                                        "reject_day_low",
                                        "near_day_high(0.P)",
                                        "near_day_low(0.P)",
                                        "opening_range_breakout_Nm",
                                        "opening_range_breakdown_Nm"};
    const char *p = names[random_below(&w->random, sizeof names / sizeof *names)];
    bool bars = !strstr(p, "_day_") && strncmp(p, "opening", 7);
    for (*name = 0; *p; p++) {
        unsigned x = *p == 'N' ? n : *p == 'M' ? n + 1 + random_below(&w->random, 4) : 0;
        if (*p == 'N' && strstr(name, "running"))
            x = n % 4 + 1;
        if (x)
            sprintf(name + strlen(name), "%u", x);
        else if (*p == 'P')
            strcat(name, (const char *[]){"25", "5", "75"}[random_below(&w->random, 3)]);
        else
            strncat(name, p, 1);
    }
    if (bars && one_in(&w->random, 6))
        strcat(name, "@1d");
    else if (bars)
        sprintf(name + strlen(name), "@%um", length);
}

static int pick_metric(struct world *w)
{
    static const char *const plain[] = {"price",
                                        "price",
                                        "price",
                                        "bid",
                                        "ask",
                                        "spread",
                                        "volume_live",
                                        "vwap_live",
                                        "trade_count_live",
                                        "open",
                                        "high",
                                        "low",
                                        "close",
                                        "volume",
                                        "vwap",
                                        "volume_daily",
                                        "vwap(session)",
                                        "change_from_close",
                                        "change_from_close_pct",
                                        "gap_from_close",
                                        "gap_from_close_pct",
                                        "session",
                                        "change_from_open",
                                        "change_from_open_pct",
                                        "premarket_volume",
                                        "postmarket_volume",
                                        "dollar_volume_daily",
                                        "range_today",
                                        "range_pct_today",
                                        "position_in_range_today",
                                        "high_today",
                                        "low_today",
                                        "size",
                                        "halted",
                                        "dev(3 trades)",
                                        "dev(20 trades)",
                                        "change_over(40s)",
                                        "change_over(300s)",
                                        "change_from_close_premarket",
                                        "change_from_close_premarket_pct",
                                        "change_from_close_postmarket",
                                        "change_from_close_postmarket_pct",
                                        "relative_volume_daily",
                                        "relative_range_pct",
                                        "vwap_dist_1d",
                                        "vwap_dist_pct_1d",
                                        "biggest_range_3m",
                                        "sector",
                                        "sector",
                                        "exchange",
                                        "float",
                                        "market_cap",
                                        "shares_short"};
    static const char *const by_days[] = {"change_pct_%ud", "avg_volume_%ud", "range_%ud", "range_pct_%ud",
                                          "position_in_range_%ud"};
    static const char *const of_minutes[] = {
        "change_%um",    "change_%um",        "change_pct_%um", "change_pct_%um",  "volume_%um",
        "volume_%um",    "trade_count_%um",   "vwap(%um)",      "volume_avg(%um)", "dollar_volume_%um",
        "vwap_dist_%um", "vwap_dist_pct_%um", "range_%um",      "range_pct_%um",   "position_in_range_%um"};
    static const char *const of_bars[] = {"sma", "ema", "ema", "rsi", "rsi", "willr", "volume_avg", "atr"};
    static const unsigned lengths[] = {1, 1, 2, 5, 15, 60};
    enum { PLAIN = sizeof plain / sizeof *plain, MINUTES = 15, BARS = 8, DAYS = 5, CANDLES = 24 };
    static const char *const of_time[] = {"relative_volume_%um",
                                          "seconds_since_trade",
                                          "minutes_in_market",
                                          "relative_volume_same_time",
                                          "news_age",
                                          "earnings_in"};
    char name[40];
    uint32_t k = random_below(&w->random, PLAIN + MINUTES + BARS + DAYS + CANDLES + (w->timed ? 12 : 0)),
             n = 1 + random_below(&w->random, one_in(&w->random, 4) ? 30 : 4);
    if (k < PLAIN)
        snprintf(name, sizeof name, "%s", plain[k]);
    else if (k < PLAIN + MINUTES)
        snprintf(name, sizeof name, of_minutes[k - PLAIN], n);
    else if (k >= PLAIN + MINUTES + BARS + DAYS + (w->timed ? 8 : 0))
        pick_candle(w, n, lengths[random_below(&w->random, 6)], name);
    else if (k >= PLAIN + MINUTES + BARS + DAYS)
        snprintf(name, sizeof name, of_time[k % 4], lengths[random_below(&w->random, 6)]);
    else if (k >= PLAIN + MINUTES + BARS)
        snprintf(name, sizeof name, by_days[k - PLAIN - MINUTES - BARS], n);
    else if (one_in(&w->random, 3))
        snprintf(name, sizeof name, "%s(%u)@1d", of_bars[k - PLAIN - MINUTES], n);
    else
        snprintf(name, sizeof name, "%s(%u)@%um", of_bars[k - PLAIN - MINUTES], n,
                 lengths[random_below(&w->random, 6)]);
    for (int i = 0; i < w->n_metrics; i++)
        if (!strcmp(w->metric[i], name))
            return i;
    if (w->n_metrics == VALUES)
        return (int)random_below(&w->random, VALUES);
    strcpy(w->metric[w->n_metrics], name);
    return w->n_metrics++;
}

/* A constant near the metric's values: on the grid for what is exact, off it for what is rounded. */
static struct value pick_constant(struct world *w, const char *name, char text[32])
{
    int k = (int)random_below(&w->random, 9) - 4;
    int64_t e9;
    bool price = !strcmp(name, "price") || !strcmp(name, "bid") || !strcmp(name, "ask") ||
                 !strcmp(name, "open") || !strcmp(name, "high") || !strcmp(name, "low") ||
                 !strcmp(name, "close") || !strcmp(name, "high_today") || !strcmp(name, "low_today");
    unsigned n;
    char rest;
    if (price || !strcmp(name, "spread") || !strcmp(name, "change_from_close") ||
        !strcmp(name, "gap_from_close") || !strcmp(name, "change_from_open") ||
        !strcmp(name, "range_today") || !strncmp(name, "biggest", 7) ||
        (is_of_other_session(name) && !strstr(name, "_pct")) ||
        (sscanf(name, "range_%um%c", &n, &rest) == 1) || (sscanf(name, "change_%um%c", &n, &rest) == 1)) {
        e9 = (price ? base_price : 0) + k * step_price + (one_in(&w->random, 4) ? 1 : 0);
        snprintf(text, 32, "%s%" PRId64 ".%09" PRId64, e9 < 0 ? "-" : "", (e9 < 0 ? -e9 : e9) / SEC,
                 (e9 < 0 ? -e9 : e9) % SEC);
        return price_value(e9);
    }
    double d;
    if (is_truth(name))
        d = 0.5 * random_below(&w->random, 3);
    else if (!strncmp(name, "consecutive", 11))
        d = k;
    else if (!strncmp(name, "volume_spike", 12))
        d = 1.00370001 + 0.2 * k;
    else if (!strncmp(name, "avg_volume", 10))
        d = 0.00370001 + 1000 * (double)random_below(&w->random, 60);
    else if (!strncmp(name, "relative", 8))
        d = 40.00370001 * (double)random_below(&w->random, 8);
    else if (!strncmp(name, "seconds", 7))
        d = 0.25 + 0.5 * random_below(&w->random, 300);
    else if (!strcmp(name, "news_age"))
        d = 0.00370001 + 7 * (double)random_below(&w->random, 30);
    else if (!strcmp(name, "earnings_in"))
        d = 0.00370001 * (double)random_below(&w->random, 30);
    else if (!strcmp(name, "float") || !strcmp(name, "market_cap") || !strcmp(name, "shares_short"))
        d = (double[]){0, 50, 100, 1e9}[random_below(&w->random, 4)];
    else if (!strncmp(name, "minutes", 7))
        d = random_below(&w->random, 300);
    else if (!strncmp(name, "dollar_volume", 13))
        d = 10000.00370001 * (double)random_below(&w->random, one_in(&w->random, 3) ? 300 : 15);
    else if (!strncmp(name, "position", 8))
        d = 25.00370001 * (double)random_below(&w->random, 4);
    else if (!strncmp(name, "atr", 3))
        d = 0.00370001 + 0.25 * (double)random_below(&w->random, 6);
    else if (!strncmp(name, "willr", 5))
        d = -20.00370001 * (double)random_below(&w->random, 5);
    else if (!strncmp(name, "vwap_dist", 9))
        d = 0.00370001 + 0.07 * k;
    else if (strstr(name, "volume_avg"))
        d = 0.00370001 + 100 * (double)random_below(&w->random, 15);
    else if (!strncmp(name, "volume", 6) || strstr(name, "ket_volume") || !strcmp(name, "size"))
        d = 100 * (double)random_below(&w->random, one_in(&w->random, 3) ? 300 : 15);
    else if (!strncmp(name, "trade_count", 11))
        d = random_below(&w->random, 8);
    else if (!strcmp(name, "halted"))
        d = random_below(&w->random, 2);
    else if (!strncmp(name, "dev(", 4) || !strncmp(name, "change_over(", 12))
        d = 0.00000370001 + 0.0007 * k;
    else if (!strcmp(name, "session"))
        d = random_below(&w->random, 4);
    else if (!strncmp(name, "rsi", 3))
        d = 50.00370001 + 9 * k;
    else if (strstr(name, "_pct"))
        d = 0.00370001 + 0.25 * k;
    else
        d = 100.00370001 + 0.07 * k;
    snprintf(text, 32, "%.17g", d);
    return number_value(d);
}

/* Of these no other reading has the same last bit: where one meets another metric exactly, truth is a matter
 * of luck. */
static bool is_rounded(const char *name)
{
    return strchr(name, '@') || !strncmp(name, "relative", 8) || !strncmp(name, "seconds", 7) ||
           strstr(name, "volume_avg") || !strncmp(name, "vwap_dist", 9) || !strncmp(name, "dollar", 6) ||
           !strncmp(name, "dev(", 4) || !strncmp(name, "change_over(", 12) || !strcmp(name, "news_age") ||
           !strcmp(name, "earnings_in") || strstr(name, "range_pct") || !strncmp(name, "avg_volume", 10) ||
           !strncmp(name, "position", 8);
}

static void note_operand(struct tree *t, int m)
{
    int i = 0;
    while (i < t->n_operands && t->operand[i] != m)
        i++;
    t->operand[i] = m;
    t->n_operands += i == t->n_operands;
}

/* metric + - * / metric against a number off every grid, so that no reading rounds to it. */
static bool arithmetic_random(struct world *w, struct tree *t, struct node *n, char *text)
{
    const char *name = w->metric[n->metric];
    n->third = pick_metric(w);
    if (!one_in(&w->random, 5) || is_rounded(name) || is_rounded(w->metric[n->third]) ||
        !strcmp(name, "session") || !strcmp(w->metric[n->third], "session") || is_text(name) ||
        is_text(w->metric[n->third]))
        return false;
    n->arithmetic = "+-*/"[random_below(&w->random, 4)];
    double d = n->arithmetic == '+'   ? 200.000370001
               : n->arithmetic == '-' ? 0.000370001
               : n->arithmetic == '*' ? 10000.370001
                                      : 1.000370001;
    n->constant = number_value(d);
    n->cmp %= 4;
    char number[32];
    snprintf(number, sizeof number, "%.17g", d);
    sprintf(text, one_in(&w->random, 2) ? "(%s %c %s) %s %s" : "%s%c%s%s%s", name, n->arithmetic,
            w->metric[n->third], cmp_text[n->cmp], number);
    note_operand(t, n->metric);
    note_operand(t, n->third);
    return true;
}

static int tree_random(struct world *w, struct tree *t, int depth, bool negated, char *text);

/* for, within: what is behind `not` outside is no matter in it, and a `for` has no crossings. */
static void span_random(struct world *w, struct tree *t, struct node *n, int depth, char *text)
{
    char left[1500];
    static const int lengths[] = {1, 1, 2, 5, 15};
    n->op = one_in(&w->random, 2) ? 'f' : 'w';
    n->bars = 2 + (int)random_below(&w->random, 4);
    n->length = w->close ? 1 : lengths[random_below(&w->random, 5)];
    n->time = (int64_t[]){SEC, 7 * SEC, 90 * SEC, 5 * MIN, 60 * MIN}[random_below(&w->random, 5)];
    n->left = tree_random(w, t, depth - 1, n->op == 'f' || w->close, left);
    text += sprintf(text, t->node[n->left].op == 'c' && one_in(&w->random, 2) ? "%s" : "(%s)", left);
    if (n->op == 'w')
        sprintf(text, " within %ds", (int)(n->time / SEC));
    else if (n->length == 1)
        sprintf(text, " for %d bars", n->bars);
    else
        sprintf(text, " for %d %dm bars", n->bars, n->length);
}

static int tree_random(struct world *w, struct tree *t, int depth, bool negated, char *text)
{
    char left[1500], right[1500];
    struct node n = {0};
    uint32_t kind = random_below(&w->random, 8);
    if (depth > 0 && w->spans && one_in(&w->random, 3)) {
        span_random(w, t, &n, depth, text);
    } else if (depth == 0 || kind < 3) {
        n.op = 'c';
        n.cmp = (int)random_below(&w->random, one_in(&w->random, 3) ? 6 : 4);
        n.metric = pick_metric(w);
        n.other = -1;
        const char *name = w->metric[n.metric];
        if (arithmetic_random(w, t, &n, text)) {
            n.at = t->n;
            t->node[t->n] = n;
            return t->n++;
        }
        if (is_text(name)) {
            n.cmp = 4 + (int)random_below(&w->random, 2);
            n.constant = number_value(random_below(&w->random, TEXTS + 1));
            sprintf(text, "%s %s \"%s\"", name, cmp_text[n.cmp], texts[(int)n.constant.number]);
        } else if (one_in(&w->random, 4) && !is_rounded(name) &&
                   !is_rounded(w->metric[n.other = pick_metric(w)]) && !is_text(w->metric[n.other])) {
            sprintf(text, "%s %s %s", name, cmp_text[n.cmp], w->metric[n.other]);
        } else if (n.other = -1, !strcmp(name, "session") && n.cmp > 3) {
            n.constant = number_value(random_below(&w->random, 4));
            sprintf(text, "session %s \"%s\"", cmp_text[n.cmp], session_names[(int)n.constant.number]);
        } else if (!strcmp(name, "halted") && one_in(&w->random, 2)) {
            n.cmp = 0;
            n.constant = number_value(0);
            strcpy(text, name);
        } else {
            n.constant = pick_constant(w, name, right);
            static const char *const mirrored[6] = {"<", ">", "<=", ">=", "==", "!="};
            if (is_truth(name) && one_in(&w->random, 2)) { /* a condition by itself */
                n.cmp = 0;
                n.constant = number_value(0);
                strcpy(text, name);
            } else if (!negated && one_in(&w->random, 6)) {
                n.cmp &= 1;
                n.event = t->events = true;
                sprintf(text, "%s crosses %s %s", name, n.cmp ? "below" : "above", right);
            } else if (one_in(&w->random, 5))
                sprintf(text, "%s %s %s", right, mirrored[n.cmp], name);
            else
                sprintf(text, "%s%s%s", name, cmp_text[n.cmp], right);
        }
        note_operand(t, n.metric);
        if (n.other >= 0)
            note_operand(t, n.other);
    } else if (kind == 3) {
        n.op = '!';
        n.left = tree_random(w, t, depth - 1, true, left);
        sprintf(text, "not (%s)", left);
    } else {
        n.op = kind < 6 ? '&' : '|';
        n.left = tree_random(w, t, depth - 1, negated, left);
        n.right = tree_random(w, t, depth - 1, negated, right);
        sprintf(text, one_in(&w->random, 2) ? "((%s) %s (%s))" : "(%s)%s( %s)", left,
                n.op == '&' ? "and" : "or", right);
    }
    n.at = t->n;
    t->node[t->n] = n;
    return t->n++;
}

static void add_rule(struct world *w)
{
    if (w->n_rules == SLOTS)
        return;
    char text[4000], symbols[200] = "";
    static const int64_t cooldowns[] = {0, 0, 1, 10, 10, 75, 600};
    int slot = w->n_rules++, ident = (int)random_below(&w->random, RULES), old = w->in_force[ident];
    struct rrule *r = &w->rule[slot];
    *r = (struct rrule){
        .ident = ident,
        .version = old < 0 ? 1 : w->rule[old].version + 1,
        .enabled = !one_in(&w->random, 8),
        .trigger = (enum rule_trigger)random_below(&w->random, TRIGGER_COUNT),
        .sessions = (uint8_t)(one_in(&w->random, 4) ? 1 + random_below(&w->random, 15) : 0),
        .expires = one_in(&w->random, 8) && w->top > 0 ? w->top + random_below(&w->random, 3600) * SEC : 0,
        .cooldown = cooldowns[ident % 7] * SEC,
        .symbols = UINT32_MAX};
    w->close = r->trigger == TRIGGER_BAR_CLOSE; /* which knows no crossings */
    tree_random(w, &r->tree, (int)random_below(&w->random, 4), w->close, text);
    for (int i = 0; i < r->tree.n_operands; i++) {
        r->recursive |= strchr(w->metric[r->tree.operand[i]], '@') != NULL;
        r->minds_halt |= !strcmp(w->metric[r->tree.operand[i]], "halted");
    }
    if (one_in(&w->random, 3)) {
        r->symbols = random_below(&w->random, 1 << SYMBOLS);
        strcpy(symbols, "NONE");
        for (int i = 0; i < SYMBOLS; i++)
            if (r->symbols >> i & 1)
                sprintf(symbols + strlen(symbols), ",S%d", i);
    }
    w->in_force[ident] = slot;
    char id[16];
    snprintf(id, sizeof id, "r%d", ident);
    put_rule(&w->input, (uint32_t)slot,
             &(struct rule_spec){.id = id,
                                 .expr = text,
                                 .symbols = symbols[0] ? symbols : NULL,
                                 .version = (uint32_t)r->version,
                                 .trigger = r->trigger,
                                 .sessions = r->sessions,
                                 .expires_ns = r->expires,
                                 .cooldown_ns = r->cooldown,
                                 .disabled = !r->enabled});
    if (getenv("SEED"))
        print_message("slot %d %s v%d %s cooldown %d%s symbols %s: %s\n", slot, id, r->version,
                      rule_trigger_names[r->trigger], (int)(r->cooldown / SEC), r->enabled ? "" : " disabled",
                      symbols, text);
}

/* Any of a symbol's attributes, anew. */
static void attributes_random(struct world *w, struct sym *s)
{
    struct attributes a;
    attributes_clear(&a);
    for (int i = 0; i < 2; i++) {
        s->text[i] = (int)random_below(&w->random, TEXTS + 1) - 1;
        if (s->text[i] >= 0)
            attribute_set_text(&a, (enum attribute)i, texts[s->text[i]], strlen(texts[s->text[i]]));
    }
    for (int i = 0; i < 3; i++) {
        s->number[i] = (double[]){-1, 0, 50, 100, 1e9}[random_below(&w->random, 5)];
        if (s->number[i] >= 0)
            a.value[ATTRIBUTE_FLOAT + i] = key_of_double(s->number[i]);
    }
    int64_t around = (w->top < 0 ? T0 + 12 * 60 * MIN : w->top) / SEC * SEC;
    s->news = s->earnings = -1;
    if (!one_in(&w->random, 4))
        s->news = a.value[ATTRIBUTE_NEWS_AT] = around + ((int64_t)random_below(&w->random, 100) - 80) * MIN;
    if (!one_in(&w->random, 4))
        s->earnings = a.value[ATTRIBUTE_EARNINGS_AT] =
            around + ((int64_t)random_below(&w->random, 100) - 20) * MIN;
    s->changes++;
    put_attributes(&w->input, (uint32_t)(s - w->sym), &a);
    if (s->time >= 0)
        evaluate(w, s, ATTR);
}

static struct sym *add_symbol(struct world *w, int i)
{
    static const uint16_t buckets[SYMBOLS] = {0, 1023, 512, 512, 7, 300};
    static const uint8_t scales[SYMBOLS] = {0, 2, 0, 8, 0, 0}, calendars[SYMBOLS] = {0, 1, 0, 1, 2, 0};
    struct sym *s = &w->sym[i];
    sprintf(s->name, "S%d", i);
    s->bucket = buckets[i];
    s->calendar = calendars[i];
    s->scale = scales[i];
    s->time = s->bid = s->ask = s->news = s->earnings = -1;
    s->text[0] = s->text[1] = -1;
    s->number[0] = s->number[1] = s->number[2] = -1;
    for (int k = 0; k < RULES; k++) {
        s->evaluated[k] = s->fired_slot[k] = -1;
        s->fired[k] = -1000 * DAY;
    }
    w->occupied[s->bucket] = true;
    w->n_syms = i + 1;
    put_symbol(&w->input, (uint32_t)i, s->name, s->bucket, s->scale, s->calendar);
    if (i % 2 == 0) {
        static const size_t days[] = {1, 4, 20, 70};
        s->n_history = days[random_below(&w->random, 4)];
        s->history = calloc(s->n_history, sizeof *s->history);
        for (size_t k = 0; k < s->n_history; k++) {
            struct minute *b = &s->history[k];
            b->open = base_price + step_price * ((int)random_below(&w->random, 9) - 4);
            b->close = base_price + step_price * ((int)random_below(&w->random, 9) - 4);
            b->high = (b->open > b->close ? b->open : b->close) + step_price * random_below(&w->random, 3);
            b->low = (b->open < b->close ? b->open : b->close) - step_price * random_below(&w->random, 3);
            b->volume = random_below(&w->random, 60000) * (s->scale == 8 ? 100000000 : 1);
            put_history(&w->input, (uint32_t)i, T0 - (int64_t)(s->n_history - k) * DAY,
                        &(struct msg_history_bar){b->open, b->high, b->low, b->close, b->volume, DAY});
        }
    }
    if (!one_in(&w->random, 3))
        attributes_random(w, s);
    return s;
}

/* Messages of a market: what the reference makes of each, and the tape for the engine. */
static void market(struct world *w, int messages)
{
    int64_t t = T0 + (int64_t)random_below(&w->random, 86400) * SEC, price[SYMBOLS], pace = 200 * MS;
    w->top = -1;
    put_setting(&w->input, "bars.keep=%d", KEEP);
    put_setting(&w->input, "bars.corrections=true");
    put_setting(&w->input, "bars.flat=%s", w->flat ? "true" : "false");
    for (int b = 0; b < BUCKET_COUNT; b++)
        w->struck[b] = w->traded[b] = w->clock[b] = -1;
    for (int i = 0; i < RULES; i++)
        w->in_force[i] = -1;
    for (int i = 0; i < SYMBOLS; i++)
        price[i] = base_price;
    for (int i = 0; i < 8; i++)
        add_rule(w);
    for (int m = 0; m < messages; m++) {
        if (one_in(&w->random, 400)) /* busy, slow, silent for minutes, hours */
            pace = (int64_t[]){50 * MS, 500 * MS, 5 * SEC, 40 * SEC, 5 * MIN}[random_below(&w->random, 5)];
        if (t > T0 + LAST_DAY * day_length_ns) /* more days are not kept */
            pace = pace < SEC ? pace : SEC;
        else if (one_in(&w->random, 3000))
            t += random_below(&w->random, 300) * MIN;
        if (one_in(&w->random, 250))
            add_rule(w);
        if (one_in(&w->random, 100) && w->n_syms)
            attributes_random(w, &w->sym[random_below(&w->random, (uint32_t)w->n_syms)]);
        t += one_in(&w->random, 4) ? 0 : (int64_t)random_below(&w->random, 1000) * (pace / 500);
        int64_t ev = t;
        if (one_in(&w->random, 6))
            ev -= random_below(&w->random, 3000) * MS;
        else if (one_in(&w->random, 60))
            ev -= (int64_t)random_below(&w->random, one_in(&w->random, 5) ? 4000 : 200) * SEC;
        uint32_t i = random_below(&w->random, SYMBOLS);
        struct sym *s = &w->sym[i];
        if (i >= (uint32_t)w->n_syms)
            s = add_symbol(w, (int)(i = (uint32_t)w->n_syms));
        clocks(w, ev);
        arrive(w, s);
        advance(w, s, ev > w->clock[s->bucket] ? ev : w->clock[s->bucket]);
        int64_t day = session_of(s->calendar, s->time).day;
        if (!s->ex && day > 0 && one_in(&w->random, 300)) {
            static const uint32_t ratio[4][2] = {{2, 1}, {3, 2}, {1, 4}, {7, 3}};
            uint32_t k = random_below(&w->random, 4);
            s->to = ratio[k][0];
            s->from = ratio[k][1];
            s->ex = day + 1 + random_below(&w->random, 2) * day_length_ns;
            put_split(&w->input, i, s->ex, s->to, s->from);
        }
        if (one_in(&w->random, 60)) { /* also what it is already */
            bool halted = one_in(&w->random, 4);
            if (halted != s->halted) {
                struct event *v = event_new(w, s);
                v->halt = true;
                v->halted = halted;
                v->time = s->time;
            }
            s->halted = halted;
            s->changes++;
            put_status(&w->input, i, ev, s->halted ? STATUS_HALTED : STATUS_TRADING);
            evaluate(w, s, STATUS);
            continue;
        }
        if (one_in(&w->random, 5)) {
            int64_t bid = price[i] - step_price * ((int64_t)random_below(&w->random, 3) - 0);
            s->bid = bid;
            s->ask = price[i] + step_price * ((int64_t)random_below(&w->random, 3) - 1);
            s->changes++;
            put_quote(&w->input, i, ev, s->bid, s->ask);
            evaluate(w, s, TICK);
            continue;
        }
        price[i] += step_price * ((int64_t)random_below(&w->random, 3) - 1);
        if (price[i] > base_price + 6 * step_price || price[i] < base_price - 6 * step_price)
            price[i] = base_price;
        uint64_t unit = s->scale == 8 ? 100000000 : s->scale == 2 ? 100 : 1;
        uint64_t size = unit * 100 * (1 + random_below(&w->random, 4)) +
                        (s->scale == 8 ? random_below(&w->random, 99999999) : 0);
        put_trade(&w->input, i, ev, price[i], size);
        w->input.slot[w->input.n - 1].trade.trade_id = ++w->trade_id;
        see_trade(w, s, ev, price[i], size, w->trade_id);
        if (one_in(&w->random, 25))
            correct(w, s, i, ev);
    }
    see_end(w);
}

/* ---- the engine's side */

static void stamp(struct world *w, struct tape *stamped)
{
    struct sequencer_options o = {
        .symbols_max = SYMBOLS, .lateness_ns = SEC, .first_seq = 1, .calendar = calendar_of};
    void *mem = zeroed(sequencer_footprint(&o));
    struct sequencer *q = sequencer_new(mem, &o);
    for (size_t at = 0; at < w->input.n;) {
        struct msg *out = tape_room(stamped, 3 * SEQUENCER_ROOM);
        size_t used = 0;
        at += sequencer_apply(q, w->input.slot + at, w->input.n - at, out, 3 * SEQUENCER_ROOM, &used);
        stamped->n += used;
    }
    size_t used = 0;
    sequencer_end(q, true, tape_room(stamped, SEQUENCER_ROOM), SEQUENCER_ROOM, &used);
    stamped->n += used;
    munmap(mem, sequencer_footprint(&o));
}

static bool same_value(const struct value *v, int64_t bits)
{
    if (!v->known)
        return bits == ALERT_UNKNOWN;
    if (v->price)
        return bits == v->e9;
    if (v->text)
        return bits == (int64_t)strlen(v->text);
    double d = bits_double(bits), scale = v->number < 0 ? -v->number : v->number;
    return bits != ALERT_UNKNOWN && d - v->number <= 1e-9 * (scale + 1) &&
           v->number - d <= 1e-9 * (scale + 1);
}

static void describe(const struct world *w, const struct event *v, char *text, size_t size)
{
    if (v->halt) {
        snprintf(text, size, "halt %d at %.9f", v->halted, (double)(v->time - T0) / 1e9);
        return;
    }
    if (!v->alert) {
        snprintf(text, size,
                 "bar %" PRId64 " rev %u %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " vol %" PRIu64
                 " n %u",
                 (v->time - T0) / MIN, v->bar.revision, v->bar.open, v->bar.high, v->bar.low, v->bar.close,
                 v->bar.volume, v->bar.trades);
        return;
    }
    int n = snprintf(text, size, "alert slot %u k %u kind %d.%u at %.9f price %" PRId64, v->rule, v->k,
                     v->kind, v->revision, (double)(v->time - T0) / 1e9, v->price);
    for (int i = 0; i < v->n; i++)
        n += snprintf(text + n, size - (size_t)n, " %s=%.12g", w->metric[w->rule[v->rule].tree.operand[i]],
                      !v->operand[i].known  ? -1e300
                      : v->operand[i].price ? (double)v->operand[i].e9 / 1e9
                                            : v->operand[i].number);
}

/* Fails if the message is not the event that is expected (NULL: none is). */
static void check(const struct world *w, const struct event *v, const struct msg *m, int symbol)
{
    char expected[2000] = "nothing", found[2000];
    bool same = v && (m->type == MSG_ALERT) == v->alert && (m->type == MSG_HALT) == v->halt;
    if (m->type == MSG_HALT) {
        struct msg_halt h;
        msg_get(m, 0, &h, sizeof h);
        snprintf(found, sizeof found, "halt %d at %.9f", h.kind, (double)(m->event_ns - T0) / 1e9);
        same = same && (h.kind == STATUS_HALTED) == v->halted && m->event_ns == v->time;
    } else if (m->type == MSG_BAR) {
        struct msg_bar b = msg_bar_get(m);
        __int128 pv = (__int128)b.pv_hi << 64 | b.pv_lo;
        snprintf(found, sizeof found,
                 "bar %" PRId64 " rev %u %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " vol %" PRIu64
                 " n %u",
                 (m->event_ns - T0) / MIN, b.revision, b.open_e9, b.high_e9, b.low_e9, b.close_e9, b.volume,
                 b.trades);
        same = same && m->event_ns == v->time && b.revision == v->bar.revision && b.open_e9 == v->bar.open &&
               b.high_e9 == v->bar.high && b.low_e9 == v->bar.low && b.close_e9 == v->bar.close &&
               b.volume == v->bar.volume && b.trades == v->bar.trades && pv == v->bar.pv;
    } else {
        struct msg_alert a;
        alert_head(m, &a);
        int n = snprintf(found, sizeof found, "alert slot %u k %u kind %d.%u at %.9f price %" PRId64, a.rule,
                         a.k, a.kind, a.revision, (double)(m->event_ns - T0) / 1e9, a.price_e9);
        size_t text_at = sizeof a + 8u * a.n_operands;
        same = same && m->event_ns == v->time && a.rule == v->rule && a.k == v->k && a.price_e9 == v->price &&
               a.n_operands == v->n && a.kind == v->kind && a.revision == v->revision;
        for (int i = 0; i < a.n_operands && i < w->rule[a.rule].tree.n_operands; i++) {
            int64_t bits = alert_operand(m, (unsigned)i);
            bool price = same ? v->operand[i].price : bits > -1000 * SEC && bits < 1000 * SEC;
            n += snprintf(found + n, sizeof found - (size_t)n, " %s=%.12g",
                          w->metric[w->rule[a.rule].tree.operand[i]],
                          bits == ALERT_UNKNOWN ? -1e300
                          : price               ? (double)bits / 1e9
                                                : bits_double(bits));
            same = same && same_value(&v->operand[i], bits);
            if (same && v->operand[i].text) {
                char text[ATTRIBUTE_TEXT_MAX + 1] = "";
                msg_get(m, text_at, text, (size_t)bits);
                text_at += (size_t)bits;
                same = !strcmp(text, v->operand[i].text);
            }
        }
    }
    if (same)
        return;
    if (v)
        describe(w, v, expected, sizeof expected);
    fail_msg("SEED=%" PRIu64 ", seq %" PRIu64 ", S%d:\n  found    %s\n  expected %s", w->seed, m->seq, symbol,
             found, expected);
}

static void compare_events(struct world *w, const struct tape *events, size_t alerts[3])
{
    size_t next[SYMBOLS] = {0};
    for (size_t at = 0; at < events->n; at += msg_slot_count(&events->slot[at])) {
        const struct msg *m = &events->slot[at];
        if (m->type == MSG_END)
            continue;
        assert_true(m->symbol < SYMBOLS);
        struct events *v = &w->events[m->symbol];
        check(w, next[m->symbol] < v->n ? &v->at[next[m->symbol]] : NULL, m, (int)m->symbol);
        next[m->symbol]++;
        alerts[0] += m->type == MSG_ALERT;
        alerts[1] += m->type == MSG_BAR;
    }
    for (int i = 0; i < SYMBOLS; i++)
        if (next[i] != w->events[i].n) {
            char text[2000];
            describe(w, &w->events[i].at[next[i]], text, sizeof text);
            fail_msg("SEED=%" PRIu64 ", S%d: the engine ends, expected %s", w->seed, i, text);
        }
}

static void run(uint64_t seed, int messages, size_t alerts[6])
{
    struct world *w = calloc(1, sizeof *w);
    struct tape stamped = {0};
    struct bench b;
    assert_non_null(w);
    w->seed = w->random = seed;
    w->timed = one_in(&w->random, 4);
    w->flat = one_in(&w->random, 3);
    if (w->timed) /* each second of each symbol is evaluated */
        messages /= 20;
    w->spans = one_in(&w->random, 2);
    market(w, messages);
    stamp(w, &stamped);
    struct engine_limits limits = bench_limits;
    limits.trades = limits.alerts = 1 << 16;
    if (messages > 20000) { /* the day of a symbol without a calendar has no end: all of it is to be kept */
        limits.bars = 1 << 15;
        limits.trades = limits.alerts = 1 << 20;
    }
    bench_open(&b, &limits);
    bench_apply(&b, &stamped, 1 + random_below(&w->random, 100));
    compare_events(w, &b.events, alerts);
    const struct engine_counters *c = engine_counters(b.e);
    if (c->rules_refused || c->rules_full || c->metrics_full || c->fires_full || c->settings_refused ||
        c->unknown_symbol || c->trades_dropped || c->alerts_unkept || !c->cancels || !c->corrections)
        fail_msg("SEED=%" PRIu64 ": refused: %s", seed, engine_refusal(b.e));
    alerts[2] += c->splits;
    alerts[3] += w->revised[0];
    alerts[4] += w->revised[1];
    alerts[5] += w->revised_closes;
    bench_close(&b);
    tape_free(&stamped);
    tape_free(&w->input);
    for (int i = 0; i < SYMBOLS; i++) {
        free(w->sym[i].sent);
        free(w->sym[i].tick);
        free(w->sym[i].bar);
        free(w->sym[i].history);
        free(w->events[i].at);
    }
    free(w);
}

static void test_random_markets(void **state)
{
    (void)state;
    size_t seen[6] = {0};
    unsigned seeds = getenv("SEED") ? 1 : getenv("SEEDS") ? (unsigned)atoi(getenv("SEEDS")) : 6;
    const char *ticks = getenv("TICKS");
    for (unsigned i = 0; i < seeds; i++)
        run(seed_or(1000 + i), ticks ? atoi(ticks) : i % 8 == 7 ? 20000 : 4000, seen);
    print_message(
        "%zu alerts, %zu bars, %zu splits, %zu alerts revised, %zu withdrawn, %zu of them of bars' ends\n",
        seen[0], seen[1], seen[2], seen[3], seen[4], seen[5]);
    assert_true(getenv("SEED") || (seen[0] > 100 * seeds && seen[1] > 100 * seeds));
    assert_true(seeds < 4 || (seen[2] > 0 && seen[3] > 40 && seen[4] > 10 && seen[5] > 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_markets)};
    return cmocka_run_group_tests_name("engine_reference", tests, NULL, NULL);
}
