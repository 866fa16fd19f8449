/* Memory and messages. */
#include "core/metric_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

const struct engine_limits engine_limits_default = {.symbols = 20000,
                                                    .ids = 20000,
                                                    .rules = 10000,
                                                    .metrics = 256,
                                                    .fires = 1u << 20,
                                                    .bars = 2048,
                                                    .trades = 1u << 20,
                                                    .alerts = 1u << 18};

uint16_t bucket_of(const char *name, size_t len)
{
    return (uint16_t)(XXH3_64bits(name, len) & (BUCKET_COUNT - 1));
}

static uint32_t pow2_at_least(uint32_t n)
{
    uint32_t p = 16;
    while (p < n)
        p *= 2;
    return p;
}

#define BITS(n) (((size_t)(n) + 63) / 64)

/* Every pool but the bars, the kept trades and alerts, in the order of its place: pointer in the engine,
 * number of elements. Those, of which few are looked at, come last. What a symbol has there is once more
 * past_place. */
#define POOLS(X)                                                                                             \
    X(local, l->ids)                                                                                         \
    X(symbol, l->symbols + 1)                                                                                \
    X(block, ((size_t)l->symbols + 1) * block_words_max(l))                                                  \
    X(name, l->symbols + 1)                                                                                  \
    X(next_in_bucket, l->symbols)                                                                            \
    X(rule, l->rules)                                                                                        \
    X(ident_slot, l->rules)                                                                                  \
    X(ident_hash, (size_t)pow2_at_least(2 * l->rules))                                                       \
    X(asked, l->asked)                                                                                       \
    X(node, l->metrics + l->asked)                                                                           \
    X(shown, l->metrics + l->asked)                                                                          \
    X(scope_hash, (size_t)pow2_at_least(2 * l->rules))                                                       \
    X(fire, l->fires)                                                                                        \
    X(fire_hash, (size_t)pow2_at_least(2 * l->fires))                                                        \
    X(change, l->metrics *CURSORS_PER_METRIC)                                                                \
    X(old_cursor, l->metrics *CURSORS_PER_METRIC)                                                            \
    X(old_stamp, l->metrics *CURSORS_PER_METRIC)                                                             \
    X(close_cursor, l->metrics *CURSORS_PER_METRIC)                                                          \
    X(touched, l->metrics *CURSORS_PER_METRIC *EXPR_LEVELS)                                                  \
    X(fired, BITS(l->rules))                                                                                 \
    X(fired_words, BITS(BITS(l->rules)))                                                                     \
    X(windows, l->symbols)                                                                                   \
    X(attributes, l->symbols + 1)                                                                            \
    X(past_node, l->metrics + l->asked)                                                                      \
    X(past_seen, l->metrics + l->asked)                                                                      \
    X(ahead, l->symbols + 1)                                                                                 \
    X(ahead_block, ((size_t)l->symbols + 1) * block_words_max(l))

/* Memory for what rules need beside their slots: as parsed, and as indexed. */
static size_t kept_bytes(const struct engine_limits *l)
{
    return (size_t)l->rules * 1024 + (1 << 20);
}
static size_t built_bytes(const struct engine_limits *l)
{
    return rules_built_bytes(l) + (1 << 16) +
           (size_t)(l->metrics + l->asked + 1) * 8; /* the market's plan, alignment */
}

static size_t align64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

size_t engine_hot_bytes(const struct engine_limits *l)
{
    size_t n = align64(sizeof(struct engine));
#define X(field, count) n += align64(sizeof *((struct engine *)0)->field * (size_t)(count));
    POOLS(X)
#undef X
    return n + align64(kept_bytes(l)) + align64(built_bytes(l));
}

/* Of a symbol's bars, in bytes. No whole pages: bars of the same minute would share one set of the cache. */
static size_t bars_stride(const struct engine_limits *l)
{
    size_t n = DAILY_BARS * sizeof(struct bar) + l->bars * sizeof(struct minute_bar);
    return n % 4096 < 64 ? n + 64 : n;
}

static size_t bars_bytes(const struct engine_limits *l)
{
    return align64((l->symbols + (size_t)1) * bars_stride(l));
}

static size_t rest_bytes(const struct engine_limits *l)
{
    return align64((l->symbols + (size_t)1) * l->bars * sizeof(struct bar_rest));
}

static size_t series_bytes(const struct engine_limits *l)
{
    return align64((l->symbols + (size_t)1) * SERIES_MAX * (l->bars + 2) * sizeof(struct bar));
}

static size_t alerts_bytes(const struct engine_limits *l)
{
    return align64(alert_pool_words(l) * sizeof(uint64_t));
}

static size_t days_bytes(const struct engine_limits *l)
{
    return align64((size_t)l->symbols * ANOMALY_DAYS * sizeof(struct anomaly_day));
}

size_t engine_footprint(const struct engine_limits *l)
{
    return engine_hot_bytes(l) + bars_bytes(l) + rest_bytes(l) + 2 * series_bytes(l) + days_bytes(l) +
           alerts_bytes(l) + trades_blocks(l) * sizeof(struct trades_block);
}

struct engine *engine_new(void *mem, const struct engine_limits *l, struct rule_stats *stats)
{
    assert(mem && ((uintptr_t)mem & 63) == 0 && stats);
    assert(l->bars > BARS_KEPT_MIN && l->metrics < 0x8000);
    struct engine *e = mem;
    uint8_t *at = (uint8_t *)mem + align64(sizeof *e);
#define X(field, n)                                                                                          \
    e->field = (void *)at;                                                                                   \
    at += align64(sizeof *e->field * (size_t)(n));
    POOLS(X)
#undef X
    e->kept = (struct arena){.at = at, .size = kept_bytes(l)};
    e->built = (struct arena){.at = at + align64(kept_bytes(l)), .size = built_bytes(l)};
    e->bars = (uint8_t *)mem + engine_hot_bytes(l);
    e->bar_rest = (struct bar_rest *)(void *)(e->bars + bars_bytes(l));
    e->series_bar = (struct bar *)(void *)((uint8_t *)e->bar_rest + rest_bytes(l));
    e->ahead_series_bar = (struct bar *)(void *)((uint8_t *)e->series_bar + series_bytes(l));
    e->day = (struct anomaly_day *)(void *)((uint8_t *)e->ahead_series_bar + series_bytes(l));
    e->limits = *l;
    e->bars_stride = bars_stride(l);
    anomaly_settings_default(&e->watching);
    e->alert_word = (uint64_t *)((uint8_t *)e->day + days_bytes(l));
    e->alert_mask = (uint64_t)alert_pool_words(l) - 1; /* all ones: none are kept */
    trades_open(e, (uint8_t *)e->alert_word + alerts_bytes(l));
    e->stats = stats;
    e->lateness_ns = SECOND_NS;
    e->keep = 500;
    e->block_words = LINE_WORDS;
    e->hash_mask = pow2_at_least(2 * l->rules) - 1;
    e->fire_mask = pow2_at_least(2 * l->fires) - 1;
    e->fire_free = NONE;
    e->epoch = 1;
    e->stamp = 1;
    e->sub_symbol = NONE;
    e->step_slots = STEP_SLOTS_BARS + STEP_SLOTS_OTHERS;
    for (int b = 0; b < BUCKET_ALL; b++)
        e->bucket[b] =
            (struct bucket){.clock_ns = INT64_MIN, .next_ns = NEVER_NS, .first = NONE, .last = NONE};
    return e;
}

uint32_t engine_out_capacity(const struct engine_limits *l)
{
    return 4096 + 2 * l->rules * MSG_SLOTS_MAX; /* an alert of each, and a revision of one */
}
const struct engine_counters *engine_counters(const struct engine *e)
{
    return &e->count;
}
void engine_count_on(struct engine *e, const struct engine_counters *from, struct rule_stats *stats)
{
    e->count = *from;
    e->stats = stats;
}
const char *engine_refusal(const struct engine *e)
{
    return e->refusal;
}

struct engine_view engine_view(const struct engine *e, uint32_t symbol)
{
    const struct symbol *s = symbol_of(e, symbol);
    if (!s)
        return (struct engine_view){0};
    struct engine_view v = {.price_e9 = s->price_e9 == KEY_UNKNOWN ? 0 : s->price_e9,
                            .bid_e9 = s->bid_e9 == KEY_UNKNOWN ? 0 : s->bid_e9,
                            .ask_e9 = s->bid_e9 == KEY_UNKNOWN ? 0 : s->ask_e9,
                            .time_ns = s->time_ns == INT64_MIN ? 0 : s->time_ns,
                            .day_volume = s->day_volume,
                            .session = s->session};
    if (s->live_trades) {
        v.live_start_ns = s->live_start_ns;
        v.open_e9 = s->open_e9;
        v.high_e9 = s->high_e9;
        v.low_e9 = s->low_e9;
        v.close_e9 = s->close_e9;
        v.live_volume = s->live_volume;
        v.live_pv = s->live_pv;
        v.live_trades = s->live_trades;
    } else if (s->bars_end) {
        const struct bar *b = bar_at(e, s, s->bars_end - 1);
        v.live_start_ns = (int64_t)b->minute * MINUTE_NS;
        v.open_e9 = b->open_e9;
        v.high_e9 = b->high_e9;
        v.low_e9 = b->low_e9;
        v.close_e9 = b->close_e9;
        v.live_volume = b->volume;
        v.live_pv = bar_pv_at(e, s, s->bars_end - 1);
        v.live_trades = b->trades;
    }
    return v;
}

/* The symbol's time at a message of event time ev: it never steps back. */
static inline int64_t time_at(const struct engine *e, const struct symbol *s, int64_t ev)
{
    int64_t t = ev > s->time_ns ? ev : s->time_ns, clock = e->bucket[s->bucket].clock_ns;
    return t > clock ? t : clock;
}

void engine_keys(const struct engine *e, uint32_t symbol, uint32_t first, uint32_t n, int64_t *key)
{
    struct symbol *s = symbol_of(e, symbol);
    int64_t own_ns = s ? s->time_ns : 0;
    assert(first + n <= e->n_asked);
    if (s) /* a clock at which it had nothing to do has not moved it */
        s->time_ns = time_at(e, s, own_ns);
    bool there = s && s->bound == e->epoch && !e->rules_changed;
    for (uint32_t i = 0; i < n; i++)
        key[i] = there ? node_key(e, s, e->asked[first + i]) : KEY_UNKNOWN;
    if (s)
        s->time_ns = own_ns;
}

void engine_values(const struct engine *e, uint32_t symbol, uint32_t first, uint32_t n, double *value)
{
    for (uint32_t i = 0; i < n; i++) {
        enum metric_unit unit = metric_unit(&e->node[e->asked[first + i]].metric);
        int64_t key;
        engine_keys(e, symbol, first + i, 1, &key);
        value[i] = key == KEY_UNKNOWN   ? NAN
                   : unit == UNIT_PRICE ? (double)key / 1e9
                   : unit == UNIT_TEXT  ? 0
                                        : key_to_double(key);
        if (key != KEY_UNKNOWN && unit == UNIT_TEXT) /* below 2^62: of a number below 2 */
            memcpy(&value[i], &key, sizeof key);
    }
}

uint32_t engine_next_symbol(const struct engine *e, uint32_t bucket, uint32_t after)
{
    uint32_t place = after == NONE ? e->bucket[bucket].first : e->next_in_bucket[e->local[after] - 1];
    return place == NONE ? NONE : e->symbol[place].id;
}

/* ---- messages */

/* What comes from a file may say anything; times beyond these would overflow. */
static inline bool time_sound(int64_t t)
{
    return (uint64_t)t <= (uint64_t)TIME_MAX_NS;
}

/* Before a message is applied: the rules in force, the time. Minutes and final bars are the rare case. */
static inline void arrive(struct engine *e, struct symbol *s, int64_t ev)
{
    int64_t t = time_at(e, s, ev);
    if (unlikely(s->epoch != e->epoch))
        rules_arrive(e, s);
    if (unlikely(t >= s->wake_ns))
        advance(e, s, t);
    s->time_ns = t;
}

static inline void evaluate(struct engine *e, struct symbol *s, enum eval what)
{
    bool due = s->time_ns >= (what == EVAL_TICK ? s->due_ns : s->span_ns);
    if (unlikely(s->stale)) {
        rules_touch_all(e, s);
        s->restart &=
            e->n_changes != 0; /* else there is nothing to settle: the next message's crossings count */
        due |= (e->bind_epoch != 0) | s->spans_moved | e->arrived;
    }
    if (unlikely(due | (e->n_changes != 0))) {
        rules_settle(e, s, what);
        if (e->any_fired)
            emit_fired(e, s, false);
    }
}

/* Adds to the sums of session and day. False if they would not fit: the live bar's are within them. */
static inline bool sums_add(struct symbol *s, int64_t ev, uint64_t size, unsigned __int128 pv)
{
    uint64_t day = s->day_volume + size;
    if (likely(ev >= s->session_start_ns)) {
        unsigned __int128 session = (unsigned __int128)s->session_pv + pv;
        if (unlikely((day < size) | ((int64_t)(session >> 64) < 0)))
            return false;
        s->session_pv = (__int128)session;
        s->session_volume += size;
    } else if (ev < s->day_start_ns) {
        return true;
    } else if (day < size) {
        return false;
    }
    s->day_volume = day;
    return true;
}

/* What limits a print, made definite: UPDATES_… */
SELDOM static unsigned updates_within(struct engine *e, const struct symbol *s, int64_t ev, unsigned limits)
{
    unsigned updates = UPDATES_ALL;
    enum session_kind session = (enum session_kind)s->session;
    if (ev < s->live_start_ns)
        session = session_find(&e->calendar[s->calendar], ev).kind;
    bool first = s->last_ns == INT64_MIN || s->last_ns < s->day_start_ns;
    bool market = session == SESSION_MARKET;
    if ((limits & CONDITION_NO_HIGH_LOW) || ((limits & CONDITION_HIGH_LOW_EXTENDED) && market))
        updates &= ~(unsigned)UPDATES_HIGH_LOW;
    if ((limits & CONDITION_NO_LAST) || ((limits & CONDITION_LAST_EXTENDED) && market) ||
        ((limits & CONDITION_LAST_LATER) && ev <= s->last_ns) || ((limits & CONDITION_LAST_FIRST) && !first))
        updates &= ~(unsigned)UPDATES_LAST;
    if (limits & CONDITION_NO_VOLUME)
        updates &= ~(unsigned)UPDATES_VOLUME;
    e->count.cond_no_high_low += !(updates & UPDATES_HIGH_LOW);
    e->count.cond_no_last += !(updates & UPDATES_LAST);
    e->count.cond_no_volume += !(updates & UPDATES_VOLUME);
    e->count.cond_unknown += (limits & CONDITION_UNKNOWN) != 0;
    return updates;
}

/* What a print updates, its symbol being at its time. */
static inline unsigned updates_of(struct engine *e, const struct symbol *s, const struct msg *m)
{
    const uint8_t *limits = e->conditions.limits[condition_tape(m->trade.tape)], *cond = m->trade.cond;
    uint32_t codes;
    memcpy(&codes, cond, sizeof codes);
    if ((codes & e->condition_mask) == 0)
        return UPDATES_ALL;
    unsigned all = limits[cond[0]] | limits[cond[1]] | limits[cond[2]] | limits[cond[3]];
    return likely(all == 0) ? UPDATES_ALL : updates_within(e, s, m->event_ns, all);
}

/* A print of the live minute that is no last sale: it adds volume, and may widen the range of high and low,
 * of the bar that there is or that a last sale may still begin. */
SELDOM static void print_beside(struct engine *e, struct symbol *s, int64_t p, uint64_t size, __int128 pv,
                                unsigned updates)
{
    bool range = s->live_trades || s->live_range;
    if (updates & UPDATES_HIGH_LOW) {
        s->high_e9 = !range || p > s->high_e9 ? p : s->high_e9;
        s->low_e9 = !range || p < s->low_e9 ? p : s->low_e9;
        s->live_range |= s->live_trades == 0;
    }
    s->live_volume += size;
    s->live_pv += pv;
    if (s->live_trades) {
        s->live_trades++;
        return;
    }
    s->live_unpriced++;
    wake_update(e, s);
}

/* The first last sale of a minute that had other prints before. */
SELDOM static void bar_begin_after(struct symbol *s, int64_t p)
{
    s->open_e9 = p;
    if (!s->live_range || p > s->high_e9)
        s->high_e9 = p;
    if (!s->live_range || p < s->low_e9)
        s->low_e9 = p;
    s->live_trades = s->live_unpriced;
    s->live_unpriced = 0;
    s->live_range = false;
}

/* Before it is applied: whether its bar is final shows then. */
SELDOM static struct kept_trade *keep(struct engine *e, struct symbol *s, const struct msg *m, uint64_t size,
                                      unsigned updates)
{
    static const uint8_t came_in[SESSION_KIND_COUNT] = {[SESSION_PREMARKET] = KEPT_PREMARKET,
                                                        [SESSION_MARKET] = KEPT_MARKET,
                                                        [SESSION_POSTMARKET] = KEPT_POSTMARKET};
    int64_t ev = m->event_ns;
    bool past = ev < s->live_start_ns, market = s->session == SESSION_MARKET;
    struct kept_trade *t = trade_keep(e, s, m->trade.trade_id, ev);
    *t = (struct kept_trade){.id = m->trade.trade_id,
                             .event_ns = ev,
                             .price_e9 = m->trade.price_e9,
                             .size = size,
                             .time_ns = s->time_ns,
                             .session_no = ev >= s->session_start_ns ? s->session_no : 0,
                             .updates = (uint8_t)updates,
                             .session = s->session,
                             .venue = m->venue,
                             .flags = (uint8_t)((past ? KEPT_PAST : 0) | came_in[s->session] |
                                                (market && ev >= s->session_start_ns ? KEPT_OPENS : 0))};
    if (past)
        t->session = (uint8_t)session_find(&e->calendar[s->calendar], ev).kind;
    e->print_seq = e->seq;
    e->print_of = s;
    return t;
}

/* The print takes the place of the one that was cancelled: its minute, its turn. */
SELDOM static void apply_correction(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    if (!s || !time_sound(m->event_ns) || m->trade.price_e9 <= 0) {
        e->count.unknown_symbol++;
        return;
    }
    arrive(e, s, m->event_ns);
    if (!s->trades.cancelled_no)
        e->count.corrections_unkept++;
    else if (correction_replace(e, s, m, updates_of(e, s, m)))
        e->count.corrections++;
    else
        e->count.sum_overflow++;
    evaluate(e, s, EVAL_SILENT);
}

SELDOM static void apply_status(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    if (!s || !time_sound(m->event_ns)) {
        e->count.unknown_symbol++;
        return;
    }
    if (m->status.kind > STATUS_HALTED) {
        e->count.ignored++;
        return;
    }
    arrive(e, s, m->event_ns);
    bool halted = m->status.kind == STATUS_HALTED;
    if (halted != s->halted) {
        e->count.halts += halted;
        e->count.resumptions += !halted;
        s->halted = halted;
        emit_halt(e, s, &m->status);
        s->stale = true;
        if (!halted)
            rules_redue(e, s);
        wake_update(e, s); /* flat bars, minutes that need no look */
    }
    evaluate(e, s, EVAL_CLOCK);
}

SELDOM static void apply_cancel(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    uint64_t no;
    if (!s || !time_sound(m->event_ns)) {
        e->count.unknown_symbol++;
        return;
    }
    arrive(e, s, m->event_ns);
    s->trades.cancelled_no = 0;
    struct kept_trade *k = trade_find(e, s, m, &no);
    if (k) {
        struct kept_trade was = *k;
        e->count.cancels++;
        correction_cancel(e, s, k, no);
        alerts_revise(e, s, &was, no);
    } else {
        e->count.cancels_unkept++;
    }
    evaluate(e, s, EVAL_SILENT);
}

/* What it did, for those who look for anomalies. */
ALWAYS_INLINE enum applied apply_trade(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    int64_t ev = m->event_ns, p = m->trade.price_e9;
    uint64_t size = m->trade.size;
    if (unlikely(!s || !time_sound(ev) || p <= 0)) {
        e->count.unknown_symbol++;
        return APPLIED_NOT;
    }
    if (unlikely(m->flags & MSG_F_CORRECTION)) {
        apply_correction(e, m);
        return APPLIED_NOT;
    }
    arrive(e, s, ev);
    unsigned updates = updates_of(e, s, m);
    size = updates & UPDATES_VOLUME ? size : 0;
    unsigned __int128 pv = (unsigned __int128)(uint64_t)p * size;
    if (unlikely(!sums_add(s, ev, size, pv))) {
        e->count.sum_overflow++;
        evaluate(e, s, EVAL_SILENT); /* its time has come all the same, and with it new rules and minutes */
        return APPLIED_NOT;
    }
    e->count.trades++;
    struct kept_trade *kept = unlikely(e->corrections) ? keep(e, s, m, size, updates) : NULL;
    bool moved = true;
    if (unlikely(updates == 0)) {
        evaluate(e, s, EVAL_TICK);
        return APPLIED_NOT;
    }
    if (unlikely(ev < s->live_start_ns)) {
        if (print_into_past(e, s, ev, p, size, updates)) {
            if (kept)
                kept->flags |= KEPT_LATE;
            evaluate(e, s, EVAL_SILENT);
            return APPLIED_NOT;
        }
    } else if (unlikely(!(updates & UPDATES_LAST))) {
        print_beside(e, s, p, size, (__int128)pv, updates);
    } else {
        if (unlikely(s->live_trades == 0)) {
            if (unlikely(s->live_unpriced))
                bar_begin_after(s, p);
            else
                s->open_e9 = s->high_e9 = s->low_e9 = p;
            wake_update(e, s); /* a minute of quotes alone may be passed over, this one not */
        } else {
            moved = (p != s->price_e9) | (p != s->close_e9);
            s->high_e9 = p > s->high_e9 ? p : s->high_e9;
            s->low_e9 = p < s->low_e9 ? p : s->low_e9;
        }
        s->close_e9 = p;
        s->live_volume += size;
        s->live_pv += (__int128)pv;
        s->live_trades++;
    }
    if (likely(updates & UPDATES_LAST)) {
        s->price_e9 = p;
        s->size = size;
        s->trade_ns = s->time_ns;
        if (e->condition_mask && ev > s->last_ns)
            s->last_ns = ev;
        if (unlikely(s->day_open_e9 == KEY_UNKNOWN) && s->session == SESSION_MARKET &&
            ev >= s->session_start_ns) {
            s->day_open_e9 = p;
            s->trades.open_no = kept ? s->trades.end : 0;
        }
    }
    if (s->drive + moved >= 2 && (p < s->still_from_e9 || p >= s->still_to_e9) && likely(!s->stale))
        rules_touch_trade(e, s, moved);
    evaluate(e, s, EVAL_TICK);
    return updates & UPDATES_LAST ? APPLIED_LAST : APPLIED;
}

/* False if it is refused. */
ALWAYS_INLINE bool apply_quote(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    if (unlikely(!s || !time_sound(m->event_ns) || m->quote.bid_e9 < 0 || m->quote.ask_e9 < 0)) {
        e->count.unknown_symbol++;
        return false;
    }
    e->count.quotes++;
    arrive(e, s, m->event_ns);
    s->bid_e9 = m->quote.bid_e9;
    s->ask_e9 = m->quote.ask_e9;
    if (!s->stale)
        rules_touch_quote(e, s);
    evaluate(e, s, EVAL_TICK);
    return true;
}

/* When the symbol next has something to do by itself. Minutes in which no window changes any more are passed
 * over. */
static int64_t next_event(const struct engine *e, const struct symbol *s)
{
    int64_t roll_at = s->live_start_ns + MINUTE_NS;
    bool quiet = !makes_flat(e, s) && s->live_trades == 0 && s->live_unpriced == 0 &&
                 (s->bars_end == 0 ||
                  roll_at / MINUTE_NS - bar_at(e, s, s->bars_end - 1)->minute > METRIC_WINDOW_MAX + 1);
    if (quiet && s->session_end_ns > roll_at)
        roll_at = s->session_end_ns;
    if (s->timed && s->session != SESSION_CLOSED)
        roll_at = s->time_ns + 1;
    if (s->span_ns < roll_at)
        roll_at = s->span_ns;
    if (unlikely(e->watched) && watch_silent_ns(e, s) < roll_at)
        roll_at = watch_silent_ns(e, s);
    return roll_at < s->final_ns ? roll_at : s->final_ns;
}

/* The clock of the symbol's bucket reaches t: every grid point since the one before (the first comes by
 * itself) that closes a minute or a bar is lived through as if it had come alone. False if the events had no
 * room: to be called again. */
static bool clock_symbol(struct engine *e, struct symbol *s, int64_t t)
{
    for (int64_t next; (next = next_event(e, s)) <= t;) {
        if (e->out->used > e->out_full)
            return false;
        if (unlikely(s->bound != e->epoch))
            rules_bind(e, s);
        int64_t grid = bucket_grid_ceil(s->bucket, next), clock = e->bucket[s->bucket].clock_ns;
        grid = clock == INT64_MIN ? t : grid > clock ? grid : clock + 1;
        advance(e, s, time_at(e, s, grid < t ? grid : t));
        if (s->timed && !s->stale)
            rules_touch_time(e, s);
        if (s->stale || e->n_changes || s->span_ns <= s->time_ns)
            evaluate(e, s, EVAL_CLOCK);
        if (unlikely(e->watched))
            watch_clock(e, s);
    }
    return true;
}

static inline void prefetch_symbol(const struct symbol *s, unsigned lines)
{
    for (unsigned line = 0; line < lines; line++)
        __builtin_prefetch((const char *)s + 64 * line, 1);
}

/* True if the message is a CLOCK at which no symbol has anything to do. */
static inline bool clock_alone(struct engine *e, const struct msg *m)
{
    if (m->type != MSG_CLOCK || m->symbol >= BUCKET_COUNT)
        return false;
    struct bucket *b = &e->bucket[m->symbol];
    if (m->event_ns >= b->next_ns || m->event_ns < b->clock_ns)
        return false;
    b->clock_ns = m->event_ns;
    e->count.clocks++;
    return true;
}

/* A call ends after so many symbols that had something to do, or one that had much: what waits for its end
 * never waits long. */
enum { CLOCK_SYMBOLS = 2 };

/* False if the message has to come again: no room for events, or enough for one call. */
static bool apply_clock(struct engine *e, const struct msg *m)
{
    if (m->symbol >= BUCKET_COUNT || !time_sound(m->event_ns)) {
        e->count.ignored++;
        return true;
    }
    struct bucket *b = &e->bucket[m->symbol];
    int64_t t = m->event_ns;
    if (t >= b->next_ns) {
        int64_t next = NEVER_NS;
        unsigned woken = 0;
        e->much = false;
        for (uint32_t i = b->first; i != NONE; i = e->next_in_bucket[i])
            prefetch_symbol(&e->symbol[i], (offsetof(struct symbol, market_high_e9) + 63) / 64);
        for (uint32_t i = b->first; i != NONE; i = e->next_in_bucket[i]) {
            const struct symbol *s = &e->symbol[i];
            __builtin_prefetch(bar_at(e, s, s->bars_end), 1);
            __builtin_prefetch(bar_at(e, s, s->bars_end - 1), 1);
            __builtin_prefetch(block_of(e, s), 1);
        }
        for (uint32_t i = b->first; i != NONE; i = e->next_in_bucket[i]) {
            struct symbol *s = &e->symbol[i];
            if (s->live_start_ns < 0)
                continue; /* no message yet */
            woken += next_event(e, s) <= t || s->ahead_ns <= t;
            if (woken > CLOCK_SYMBOLS || !clock_symbol(e, s, t))
                return false;
            if (unlikely(s->ahead_ns <= t))
                metrics_ahead(e, s, t);
            if (unlikely(e->much)) {
                e->much = false;
                woken = CLOCK_SYMBOLS;
            }
            int64_t n = next_event(e, s);
            n = s->ahead_ns < n ? s->ahead_ns : n;
            next = n < next ? n : next;
        }
        b->next_ns = next;
    }
    if (t > b->clock_ns)
        b->clock_ns = t;
    e->count.clocks++;
    return true;
}

/* In the order of ids, in which a bucket's events are. */
static void bucket_add(struct engine *e, uint32_t place)
{
    struct bucket *b = &e->bucket[e->symbol[place].bucket];
    uint32_t *link = &b->first;
    if (b->last != NONE && e->symbol[b->last].id < e->symbol[place].id)
        link = &e->next_in_bucket[b->last];
    while (*link != NONE && e->symbol[*link].id < e->symbol[place].id)
        link = &e->next_in_bucket[*link];
    e->next_in_bucket[place] = *link;
    *link = place;
    if (e->next_in_bucket[place] == NONE)
        b->last = place;
}

bool symbol_add(struct engine *e, uint32_t id, const char *name, uint32_t bucket, uint8_t calendar,
                uint8_t size_scale)
{
    if (id >= e->limits.ids || e->n_symbols == e->limits.symbols)
        return false;
    uint32_t place = e->n_symbols++;
    e->symbol[place] = (struct symbol){.live_start_ns = INT64_MIN / 2,
                                       .split_ns = INT64_MIN,
                                       .time_ns = INT64_MIN,
                                       .price_e9 = KEY_UNKNOWN,
                                       .bid_e9 = KEY_UNKNOWN,
                                       .ask_e9 = KEY_UNKNOWN,
                                       .last_ns = INT64_MIN,
                                       .session_start_ns = INT64_MAX,
                                       .session_end_ns = INT64_MIN,
                                       .day_start_ns = INT64_MAX,
                                       .prev_close_e9 = KEY_UNKNOWN,
                                       .day_open_e9 = KEY_UNKNOWN,
                                       .market_close_e9 = KEY_UNKNOWN,
                                       .day_high_e9 = KEY_UNKNOWN,
                                       .day_low_e9 = INT64_MAX,
                                       .market_high_e9 = KEY_UNKNOWN,
                                       .market_low_e9 = INT64_MAX,
                                       .premarket_close_e9 = KEY_UNKNOWN,
                                       .postmarket_close_e9 = KEY_UNKNOWN,
                                       .wake_ns = INT64_MIN,
                                       .final_ns = NEVER_NS,
                                       .due_ns = NEVER_NS,
                                       .span_ns = NEVER_NS,
                                       .ahead_ns = NEVER_NS,
                                       .heap = NONE,
                                       .ready = NONE,
                                       .brief = NONE,
                                       .brief_ns = INT64_MIN,
                                       .hashed_ns = INT64_MIN,
                                       .within = NONE,
                                       .fors = NONE,
                                       .scope = NONE,
                                       .id = id,
                                       .bucket = (uint16_t)bucket,
                                       .calendar = calendar,
                                       .size_scale = size_scale};
    trades_symbol_new(&e->symbol[place]);
    memset(e->name[place], 0, sizeof e->name[place]);
    strcpy(e->name[place], name);
    attributes_clear(&e->attributes[place]);
    e->local[id] = place + 1;
    bucket_add(e, place);
    return true;
}

static void apply_symbol(struct engine *e, const struct msg *m)
{
    char name[64] = {0};
    if (m->symbol < e->limits.ids && e->local[m->symbol])
        return; /* repeated at the start of a journal segment */
    if (m->sym.name_len == 0 || m->sym.name_len > 63 || m->sym.bucket >= BUCKET_COUNT ||
        m->sym.calendar >= CALENDARS || m->sym.size_scale > 18 ||
        msg_slot_count(m) < msg_slots(MSG_FIRST_BYTES + m->sym.name_len)) {
        e->count.ignored++;
        return;
    }
    msg_get(m, MSG_FIRST_BYTES, name, m->sym.name_len);
    if (!symbol_add(e, m->symbol, name, m->sym.bucket, m->sym.calendar, m->sym.size_scale))
        e->count.symbols_full++;
    else
        symbol_of(e, m->symbol)->tick_e9 = m->sym.tick_e9;
}

/* Before what changes its metrics without a message of its own: its rules and its time are those that there
 * are. */
static void refresh_before(struct engine *e, struct symbol *s)
{
    if (s->epoch == 0)
        return; /* it has had no message yet */
    if (s->bound != e->epoch)
        rules_bind(e, s);
    int64_t t = time_at(e, s, s->time_ns);
    if (t >= s->wake_ns)
        advance(e, s, t);
    s->time_ns = t;
}

/* Metrics changed by no message of the symbol's own: what that flips takes its truth silently. */
static void refresh(struct engine *e, struct symbol *s)
{
    s->stale = true;
    if (s->epoch == 0)
        return; /* it has had no message yet */
    if (s->bound != e->epoch)
        rules_bind(e, s);
    evaluate(e, s, EVAL_SILENT);
}

static void apply_history(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    struct msg_history_bar h;
    if (!s || msg_slot_count(m) < 2) {
        e->count.unknown_symbol++;
        return;
    }
    msg_get(m, 0, &h, sizeof h);
    if (h.length_ns != 24 * 60 * MINUTE_NS || !daily_put(e, s, m->event_ns, &h)) {
        e->count.ignored++;
        return;
    }
    daily_settle(e, s);
    refresh(e, s);
}

static void apply_split(struct engine *e, struct symbol *s, const struct msg *m)
{
    const struct split x = {m->attr.ex_ns, m->attr.to, m->attr.from};
    if (!x.to || !x.from || !time_sound(x.ex_ns) || !split_wait(s, &x))
        e->count.splits_refused++;
}

static void apply_facts(struct engine *e, struct symbol *s, const struct msg *m)
{
    struct attributes a;
    if (!attributes_read(m, &a)) {
        e->count.ignored++;
        return;
    }
    if (memcmp(&a, attributes_of(e, s), sizeof a) == 0)
        return; /* repeated at the start of a journal segment */
    refresh_before(e, s);
    *attributes_of(e, s) = a;
    refresh(e, s);
}

static void apply_attr(struct engine *e, const struct msg *m)
{
    struct symbol *s = symbol_of(e, m->symbol);
    if (!s)
        e->count.unknown_symbol++;
    else if (m->attr.kind == ATTR_SPLIT)
        apply_split(e, s, m);
    else if (m->attr.kind == ATTR_FACTS)
        apply_facts(e, s, m);
    else
        e->count.ignored++;
}

/* Bars that are final stay it; those that wait do so for the new time. */
static void lateness_set(struct engine *e, int64_t lateness_ns)
{
    e->lateness_ns = lateness_ns;
    for (uint32_t i = 0; i < e->n_symbols; i++) {
        final_update(e, &e->symbol[i]);
        wake_update(e, &e->symbol[i]);
    }
}

/* Recursive metrics start elsewhere now. */
static void keep_set(struct engine *e, uint32_t keep)
{
    if (keep == e->keep)
        return;
    e->keep = keep;
    for (uint32_t i = 0; i < e->n_symbols; i++) {
        e->symbol[i].rebuild = true;
        refresh(e, &e->symbol[i]);
    }
}

/* From here on sale conditions count, or do not. Sales before count as of their symbol's time. */
static void eligibility_set(struct engine *e, bool table)
{
    for (uint32_t i = 0; table && !e->condition_mask && i < e->n_symbols; i++)
        e->symbol[i].last_ns = e->symbol[i].trades.last_ns =
            e->symbol[i].price_e9 == KEY_UNKNOWN ? INT64_MIN : e->symbol[i].time_ns;
    e->condition_mask = table ? UINT32_MAX : 0;
}

/* From here on prints are kept, or no more. */
static void corrections_set(struct engine *e, bool on)
{
    on = on && e->trades_blocks > 0;
    if (on == e->corrections)
        return;
    e->corrections = on;
    for (uint32_t i = 0; i < e->n_symbols; i++) {
        struct symbol *s = &e->symbol[i];
        trades_forget(e, s);
        if (s->live_start_ns >= 0) /* what the live minute has traded before is not kept */
            s->trades.whole = (uint32_t)(s->live_start_ns / MINUTE_NS) + 1;
    }
}

/* From here on minutes without a last sale make bars, or do not. */
static void flat_set(struct engine *e, bool on)
{
    e->flat = on;
    for (uint32_t i = 0; i < e->n_symbols; i++)
        wake_update(e, &e->symbol[i]);
}

static const char condition_key[] = "bars.condition_table=";

/* "key=value" */
static bool setting(struct engine *e, const char *text)
{
    long long v[5];
    char end;
    if (sscanf(text, "bars.lateness_ms=%lld%c", v, &end) == 1 && v[0] >= 0 && v[0] <= 3600000)
        lateness_set(e, v[0] * 1000000);
    else if (sscanf(text, "bars.keep=%lld%c", v, &end) == 1 && v[0] >= 10 &&
             v[0] <= (long long)e->limits.bars - 1440)
        keep_set(e, (uint32_t)v[0]);
    else if (!strcmp(text, "bars.eligibility=all") || !strcmp(text, "bars.eligibility=table"))
        eligibility_set(e, text[strlen("bars.eligibility=")] == 't');
    else if (!strcmp(text, "bars.corrections=true") || !strcmp(text, "bars.corrections=false"))
        corrections_set(e, text[strlen("bars.corrections=")] == 't');
    else if (!strcmp(text, "bars.flat=true") || !strcmp(text, "bars.flat=false"))
        flat_set(e, text[strlen("bars.flat=")] == 't');
    else if (!strncmp(text, condition_key, strlen(condition_key)))
        return condition_table_parse(&e->conditions, text + strlen(condition_key));
    else if (sscanf(text, "calendar.%lld=%lld,%lld,%lld,%lld%c", &v[0], &v[1], &v[2], &v[3], &v[4], &end) ==
                 5 &&
             v[0] >= 0 && v[0] < CALENDARS && v[1] >= 0 && v[4] <= TIME_MAX_NS && v[1] <= v[2] &&
             v[2] <= v[3] && v[3] <= v[4] && v[1] % MINUTE_NS == 0 && v[2] % MINUTE_NS == 0 &&
             v[3] % MINUTE_NS == 0 && v[4] % MINUTE_NS == 0)
        calendar_add(e, (uint32_t)v[0], &(struct trading_day){{v[1], v[2], v[3], v[4]}});
    else
        return watch_setting(e, text);
    return true;
}

/* RULE and SETTING come in parts; the last one takes effect. */
static void apply_part(struct engine *e, const struct msg *m)
{
    struct parts *p = m->type == MSG_RULE ? &e->rule_parts : &e->setting_parts;
    struct error err = {"its parts do not fit"};
    struct rule r;
    int whole = parts_add(p, m);
    if (whole == 0)
        return;
    if (m->type == MSG_SETTING) {
        if (whole < 0 || !setting(e, (const char *)p->bytes)) {
            e->count.settings_refused++;
            snprintf(e->refusal, sizeof e->refusal, "setting '%.200s': unknown, or out of bounds",
                     (const char *)p->bytes);
        }
    } else if (whole < 0 || rule_decode(p->bytes, p->len, &r, &err) < 0) {
        e->count.rules_refused++;
        snprintf(e->refusal, sizeof e->refusal, "rule: %.240s", err.text);
    } else {
        rules_load(e, m->part.id, &r);
    }
}

/* Ticks where anomalies are looked for. */
SELDOM static void apply_watched(struct engine *e, const struct msg *m)
{
    enum applied what = m->type == MSG_TRADE ? apply_trade(e, m) : APPLIED_NOT;
    if (what != APPLIED_NOT)
        watch_trade(e, symbol_of(e, m->symbol), what);
    else if (m->type == MSG_QUOTE && apply_quote(e, m))
        watch_quote(e, symbol_of(e, m->symbol));
}

/* Everything but ticks and clocks, and all of it where anomalies are looked for. False if the message has to
 * come again. */
SELDOM static bool apply_seldom(struct engine *e, const struct msg *m)
{
    switch (m->type) {
    case MSG_TRADE:
    case MSG_QUOTE:
        apply_watched(e, m);
        break;
    case MSG_CLOCK:
        return apply_clock(e, m);
    case MSG_CANCEL:
        apply_cancel(e, m);
        break;
    case MSG_STATUS:
        apply_status(e, m);
        break;
    case MSG_SYMBOL:
        apply_symbol(e, m);
        break;
    case MSG_ATTR:
        apply_attr(e, m);
        break;
    case MSG_HISTORY_BAR:
        apply_history(e, m);
        break;
    case MSG_RULE:
    case MSG_SETTING:
        apply_part(e, m);
        break;
    case MSG_END: {
        struct msg *end = &e->out->slot[e->out->used++];
        msg_begin(end, MSG_END, 0, 0);
        end->seq = m->seq;
        end->event_ns = m->event_ns;
        break;
    }
    default:
        e->count.ignored++;
    }
    return true;
}

/* Everything but trades, which are by far the most. As apply_seldom. */
SELDOM static bool apply_other(struct engine *e, const struct msg *m)
{
    switch (m->type | e->watched) {
    case MSG_QUOTE:
        apply_quote(e, m);
        return true;
    case MSG_CLOCK:
        return apply_clock(e, m);
    default:
        return apply_seldom(e, m);
    }
}

/* With more symbols than the second-level cache holds, what a message will touch is asked for ahead: its
 * symbol, then, once that is there, what only the symbol knows. */
enum { PREFETCH_SYMBOLS = 512, PREFETCH_FAR = 12, PREFETCH_NEAR = 4 };

static inline void prefetch_far(const struct engine *e, const struct msg *m)
{
    const struct symbol *s = symbol_of(e, m->symbol);
    if (!s)
        return;
    prefetch_symbol(s, SYMBOL_LINES_HOT);
    if (e->market.n_indexes) {
        __builtin_prefetch(block_of(e, s), 1);
        __builtin_prefetch(block_of(e, s) + e->cursor_at, 1);
    }
}

static inline void prefetch_near(const struct engine *e, const struct msg *m)
{
    const struct symbol *s = symbol_of(e, m->symbol);
    if (s && m->event_ns >= s->due_ns && (s->ready & s->heap) != NONE)
        __builtin_prefetch(&e->fire[s->ready != NONE ? s->ready : s->heap], 1);
}

/* Before a message, where there may be no room for its events or rules have come: the indexes are made before
 * the first message that is no rule, as it may need more room with them. False if there is no room. */
SELDOM static bool prepare(struct engine *e, const struct msg *m)
{
    if (e->rules_changed && m->type != MSG_RULE)
        rules_build(e);
    e->out_full = e->out->capacity - e->step_slots;
    if (e->out->used > e->out_full)
        return false;
    if (e->rules_changed)
        e->out_full = 0;
    return true;
}

size_t engine_apply(struct engine *e, const struct msg *m, size_t n, struct engine_out *out)
{
    assert(out->capacity >= engine_out_capacity(&e->limits));
    bool ahead = e->n_symbols > PREFETCH_SYMBOLS;
    uint64_t done = 0;
    e->out = out;
    e->out_full = 0;
    e->within = false;
    for (size_t i = 0; ahead && i < PREFETCH_FAR && i < n; i++)
        prefetch_far(e, &m[i]);
    const struct msg *next = m, *end = m + n;
    for (; next < end; done++) {
        if (unlikely(out->used >= e->out_full) && !prepare(e, next))
            break;
        if (ahead && end - next > PREFETCH_FAR) {
            prefetch_far(e, next + PREFETCH_FAR);
            prefetch_near(e, next + PREFETCH_NEAR);
        }
        e->seq = next->seq;
        if (likely((next->type | e->watched) == MSG_TRADE))
            apply_trade(e, next);
        else if (!clock_alone(e, next)) {
            if (unlikely(!apply_other(e, next))) {
                e->within = true;
                break;
            }
            if (next->type == MSG_CLOCK) /* there was work for a bucket's symbols: enough for one call */
                end = next + 1;
        }
        /* a branch, not a sum: where the next record begins must not wait for this one to be loaded */
        next += likely((next->flags & MSG_MORE_MASK) == 0) ? 1 : msg_slot_count(next);
    }
    e->count.messages += done;
    return (size_t)(next - m);
}

bool engine_is_within(const struct engine *e)
{
    return e->within;
}
