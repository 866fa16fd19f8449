#include "core/engine_save.h"

#include "core/metric_value.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct piece_head {
    uint32_t piece; /* enum engine_piece */
    uint32_t bucket;
    uint32_t symbols; /* that follow */
    uint32_t watched; /* of a bucket's piece: 1 if each symbol has a struct watch */
    int64_t clock_ns; /* of a bucket's piece */
};

/* A symbol in a piece; its attributes, bars, trades, their alerts and fires follow, or its day of volumes. */
struct symbol_head {
    uint32_t id;
    uint32_t bars, fires;
    uint8_t calendar, size_scale;
    uint8_t attributed; /* of a bucket's piece: 1 if a struct attributes follows the symbol */
    uint8_t pad;
    uint64_t first_bar; /* number of the first bar, as symbol.bars_end counts; of a day, as watch.days */
    uint64_t first_trade, kept_from; /* likewise; the first that is kept */
    uint32_t trades;
    uint32_t alert_bytes; /* of the moments of these trades */
    char name[64];
};

struct saved_fire {
    int64_t last_ns, due_ns;
    uint32_t rule; /* slot of the version in force; of a span: of its rule */
    uint32_t fired_rule;
    uint32_t k;
    uint16_t ended, sound;
    uint8_t now, kind;
    uint8_t pad[6];
};

/* Of a symbol, that go with the bucket itself. */
enum { BARS_IN_BUCKET = 4, TRADES_IN_BUCKET = 16, ALERT_BYTES_IN_BUCKET = 4096 };
#define BAR_NUMBER_MAX (UINT64_C(1) << 48)

uint64_t engine_save_layout(void)
{
    const uint64_t sizes[] = {11, /* changes when fields do that keep their size */
                              sizeof(struct piece_head),
                              sizeof(struct symbol_head),
                              sizeof(struct symbol),
                              offsetof(struct symbol, bid_e9),
                              offsetof(struct symbol, saved),
                              sizeof(struct bar),
                              sizeof(struct whole_bar),
                              sizeof(struct kept_trade),
                              sizeof(struct moment),
                              sizeof(struct kept_alert),
                              DAILY_BARS,
                              sizeof(struct saved_fire),
                              sizeof(struct watch),
                              sizeof(struct anomaly_day),
                              sizeof(struct attributes),
                              BUCKET_COUNT};
    return XXH3_64bits(sizes, sizeof sizes);
}

size_t engine_save_max(const struct engine_limits *l)
{
    return sizeof(struct piece_head) + sizeof(struct anomaly_day) +
           l->symbols *
               (sizeof(struct symbol_head) + sizeof(struct symbol) + sizeof(struct attributes) +
                sizeof(struct watch) + (BARS_IN_BUCKET + ENGINE_SAVE_BARS) * sizeof(struct whole_bar) +
                (TRADES_IN_BUCKET + ENGINE_SAVE_TRADES) * sizeof(struct kept_trade)) +
           DAILY_BARS * sizeof(struct bar) + (size_t)l->fires * sizeof(struct saved_fire) +
           (alert_pool_words(l) + MOMENT_WORDS) * sizeof(uint64_t);
}

void engine_save_anew(struct engine *e)
{
    for (uint32_t i = 0; i < e->n_symbols; i++) {
        e->symbol[i].saved = e->symbol[i].trades.saved = 0;
        e->symbol[i].daily_saved = false;
    }
    for (uint32_t i = 0; e->watched && i < e->n_symbols; i++)
        e->windows[i].days_saved = 0;
}

static uint64_t first_unsaved(const struct symbol *s)
{
    return s->saved > s->bars_base ? s->saved : s->bars_base;
}

static uint64_t first_kept(const struct engine *e, const struct symbol *s)
{
    return s->trades.first == NONE ? s->trades.end : e->trades[s->trades.first].first;
}

static uint64_t first_unsaved_trade(const struct engine *e, const struct symbol *s)
{
    uint64_t kept = first_kept(e, s);
    return s->trades.saved > kept ? s->trades.saved : kept;
}

struct writer {
    uint8_t *at, *end;
};

static void *take(struct writer *w, size_t n)
{
    if ((size_t)(w->end - w->at) < n)
        return NULL;
    void *p = w->at;
    w->at += n;
    return p;
}

static bool put(struct writer *w, const void *bytes, size_t n)
{
    void *p = take(w, n);
    if (p)
        memcpy(p, bytes, n);
    return p != NULL;
}

/* The moments of a kept trade, at most two: their places. */
static unsigned moments_of(const struct engine *e, uint32_t block, uint64_t no, struct moment m[2],
                           uint64_t place[2])
{
    unsigned n = 0;
    if (e->trades[block].trade[no % TRADES_BLOCK].flags & KEPT_DECIDED)
        for (int at_close = 0; at_close < 2; at_close++)
            n += moment_in(e, block, no, at_close, &m[n], &place[n]);
    return n;
}

static uint32_t block_at(const struct engine *e, const struct symbol *s, uint64_t no)
{
    uint32_t i = s->trades.last;
    while (i != NONE && e->trades[i].first > no)
        i = e->trades[i].before;
    return i;
}

/* Bytes of the moments of the next n unsaved trades; n becomes less where they are more than `most`. */
static size_t alert_bytes(const struct engine *e, const struct symbol *s, uint32_t *n, size_t most)
{
    uint64_t no = first_unsaved_trade(e, s), place[2];
    uint32_t block = *n ? block_at(e, s, no) : NONE;
    size_t bytes = 0;
    struct moment m[2];
    for (uint32_t i = 0; i < *n; i++, no++) {
        if (no == e->trades[block].first + e->trades[block].n)
            block = e->trades[block].after;
        size_t own = 0;
        for (unsigned k = moments_of(e, block, no, m, place); k-- > 0;)
            own += (MOMENT_WORDS + m[k].words) * sizeof(uint64_t);
        if (i > 0 && bytes + own > most) {
            *n = i;
            break;
        }
        bytes += own;
    }
    return bytes;
}

/* Those that alert_bytes has counted. */
static bool put_alerts(struct writer *w, const struct engine *e, const struct symbol *s, uint32_t n)
{
    uint64_t no = first_unsaved_trade(e, s), place[2];
    uint32_t block = n ? block_at(e, s, no) : NONE;
    struct moment m[2];
    for (; n > 0; n--, no++) {
        if (no == e->trades[block].first + e->trades[block].n)
            block = e->trades[block].after;
        unsigned moments = moments_of(e, block, no, m, place);
        for (unsigned k = 0; k < moments; k++) {
            m[k].older = 0;
            size_t bytes = m[k].words * sizeof(uint64_t);
            void *alerts = put(w, &m[k], sizeof m[k]) ? take(w, bytes) : NULL;
            if (!alerts)
                return false;
            alert_get(e, place[k] + MOMENT_WORDS, alerts, m[k].words);
        }
    }
    return true;
}

static bool put_head(struct writer *w, const struct engine *e, const struct symbol *s, uint32_t bars,
                     uint32_t trades)
{
    uint32_t counted = trades;
    struct symbol_head h = {.id = s->id,
                            .bars = bars,
                            .trades = trades,
                            .alert_bytes = (uint32_t)alert_bytes(e, s, &counted, SIZE_MAX),
                            .first_trade = first_unsaved_trade(e, s),
                            .kept_from = first_kept(e, s),
                            .calendar = s->calendar,
                            .size_scale = s->size_scale,
                            .first_bar = first_unsaved(s)};
    memcpy(h.name, e->name[place_of(e, s)], sizeof h.name);
    return put(w, &h, sizeof h);
}

static bool put_bars(struct writer *w, const struct engine *e, const struct symbol *s, uint32_t n)
{
    uint64_t first = first_unsaved(s);
    bool ok = true;
    for (uint32_t i = 0; ok && i < n; i++) {
        struct whole_bar b = bar_get(e, s, first + i);
        ok = put(w, &b, sizeof b);
    }
    return ok;
}

static bool put_trades(struct writer *w, const struct engine *e, const struct symbol *s, uint32_t n)
{
    uint64_t no = first_unsaved_trade(e, s);
    uint32_t i = s->trades.last;
    while (n && e->trades[i].first > no)
        i = e->trades[i].before;
    for (; n > 0; n--, no++) {
        if (no == e->trades[i].first + e->trades[i].n)
            i = e->trades[i].after;
        if (!put(w, &e->trades[i].trade[no % TRADES_BLOCK], sizeof(struct kept_trade)))
            return false;
    }
    return true;
}

static struct saved_fire saved_of(const struct engine *e, const struct fire *f)
{
    return (struct saved_fire){.last_ns = f->last_ns,
                               .due_ns = f->brief ? f->last_ns + 1 : f->due_ns,
                               .rule = f->kind == FIRE_RULE ? e->ident_slot[f->ident] : f->rule,
                               .fired_rule = f->rule,
                               .k = f->k,
                               .ended = f->ended,
                               .sound = f->sound,
                               .now = f->now,
                               .kind = f->kind};
}

/* All fires of a heap: breadth first, the fires written being the queue. Returns how many; UINT32_MAX if they
 * do not fit. */
static uint32_t put_heap(struct writer *w, const struct engine *e, uint32_t root)
{
    uint8_t *first = w->at;
    uint32_t n = 0;
    for (uint32_t f = root, next = 0; f != NONE;) {
        struct saved_fire x = {.rule = f};
        if (!put(w, &x, sizeof x))
            return UINT32_MAX;
        n++;
        f = e->fire[f].sibling;
        while (f == NONE && next < n) { /* the children of the next in the queue, which is then filled in */
            uint8_t *at = first + next++ * sizeof x;
            memcpy(&x, at, sizeof x);
            const struct fire *y = &e->fire[x.rule];
            f = y->child;
            x = saved_of(e, y);
            memcpy(at, &x, sizeof x);
        }
    }
    return n;
}

static uint32_t put_list(struct writer *w, const struct engine *e, uint32_t f)
{
    uint32_t n = 0;
    for (; f != NONE; f = e->fire[f].sibling, n++) {
        struct saved_fire x = saved_of(e, &e->fire[f]);
        if (!put(w, &x, sizeof x))
            return UINT32_MAX;
    }
    return n;
}

/* The heaps and lists of a symbol. As above. */
static uint32_t put_fires(struct writer *w, const struct engine *e, const struct symbol *s)
{
    const uint32_t part[] = {put_heap(w, e, s->heap), put_list(w, e, s->ready), put_list(w, e, s->brief),
                             put_heap(w, e, s->within), put_list(w, e, s->fors)};
    uint32_t n = 0;
    for (unsigned i = 0; i < sizeof part / sizeof *part; i++) {
        if (part[i] == UINT32_MAX)
            return UINT32_MAX;
        n += part[i];
    }
    return n;
}

/* The first day of volumes that no piece had; watch.days if there is none. */
static uint32_t first_unsaved_day(const struct watch *w)
{
    uint32_t oldest = w->days > ANOMALY_DAYS ? w->days - ANOMALY_DAYS : 0;
    return w->days_saved > oldest ? w->days_saved : oldest;
}

/* A piece of such a day; 0 if it does not fit. */
static size_t put_day(struct writer *w, const struct engine *e, const struct symbol *s, uint8_t *out)
{
    struct watch *watch = watch_of(e, s);
    uint32_t day = first_unsaved_day(watch);
    const struct piece_head h = {.piece = ENGINE_PIECE_DAY, .bucket = s->bucket, .symbols = 1};
    struct symbol_head head = {
        .id = s->id, .calendar = s->calendar, .size_scale = s->size_scale, .first_bar = day};
    memcpy(head.name, e->name[place_of(e, s)], sizeof head.name);
    memcpy(out, &h, sizeof h);
    if (!put(w, &head, sizeof head) || !put(w, watch_day(e, s, day), sizeof(struct anomaly_day)))
        return 0;
    watch->days_saved = day + 1;
    return (size_t)(w->at - out);
}

static bool put_symbol(struct writer *w, const struct engine *e, const struct symbol *s)
{
    uint8_t *head = w->at;
    uint32_t bars = (uint32_t)(s->bars_end - first_unsaved(s));
    const uint8_t attributed = attributes_known(attributes_of(e, s));
    uint32_t trades = (uint32_t)(s->trades.end - first_unsaved_trade(e, s));
    if (!put_head(w, e, s, bars, trades) || !put(w, s, sizeof *s) ||
        (attributed && !put(w, attributes_of(e, s), sizeof(struct attributes))) || !put_bars(w, e, s, bars) ||
        !put_trades(w, e, s, trades) || !put_alerts(w, e, s, trades))
        return false;
    memcpy(head + offsetof(struct symbol_head, attributed), &attributed, sizeof attributed);
    uint32_t fires = put_fires(w, e, s);
    if (fires == UINT32_MAX)
        return false;
    memcpy(head + offsetof(struct symbol_head, fires), &fires, sizeof fires);
    return !e->watched || put(w, watch_of(e, s), sizeof(struct watch));
}

size_t engine_save(struct engine *e, uint32_t bucket, void *out, size_t max, enum engine_piece *piece)
{
    assert(bucket < BUCKET_COUNT);
    struct writer w = {out, (uint8_t *)out + max};
    struct piece_head h = {.piece = ENGINE_PIECE_BUCKET,
                           .bucket = bucket,
                           .watched = e->watched != 0,
                           .clock_ns = e->bucket[bucket].clock_ns};
    *piece = ENGINE_PIECE_BUCKET;
    if (!put(&w, &h, sizeof h))
        return 0;
    for (uint32_t i = e->bucket[bucket].first; i != NONE; i = e->next_in_bucket[i]) {
        struct symbol *s = &e->symbol[i];
        uint64_t unsaved = s->bars_end - first_unsaved(s);
        uint64_t trades = s->trades.end - first_unsaved_trade(e, s);
        bool daily = s->n_daily && !s->daily_saved; /* all of them: they change once a day */
        uint32_t few = trades < TRADES_IN_BUCKET ? (uint32_t)trades : TRADES_IN_BUCKET;
        if (!daily && unsaved <= BARS_IN_BUCKET && trades <= TRADES_IN_BUCKET &&
            alert_bytes(e, s, &few, SIZE_MAX) <= ALERT_BYTES_IN_BUCKET)
            continue;
        uint32_t n = daily                        ? s->n_daily
                     : unsaved < ENGINE_SAVE_BARS ? (uint32_t)unsaved
                                                  : ENGINE_SAVE_BARS,
                 n_trades = daily                         ? 0
                            : trades < ENGINE_SAVE_TRADES ? (uint32_t)trades
                                                          : ENGINE_SAVE_TRADES;
        alert_bytes(e, s, &n_trades, ENGINE_SAVE_ALERT_BYTES);
        *piece = daily ? ENGINE_PIECE_DAILY : ENGINE_PIECE_PART;
        h = (struct piece_head){.piece = *piece, .bucket = bucket, .symbols = 1};
        memcpy(out, &h, sizeof h);
        if (!put_head(&w, e, s, n, n_trades) ||
            !(daily ? put(&w, daily_of(e, s), n * sizeof(struct bar))
                    : put_bars(&w, e, s, n) && put_trades(&w, e, s, n_trades) &&
                          put_alerts(&w, e, s, n_trades)))
            return 0;
        if (daily) {
            s->daily_saved = true;
            return (size_t)(w.at - (uint8_t *)out);
        }
        s->saved = first_unsaved(s) + n;
        s->trades.saved = first_unsaved_trade(e, s) + n_trades;
        return (size_t)(w.at - (uint8_t *)out);
    }
    for (uint32_t i = e->bucket[bucket].first; e->watched && i != NONE; i = e->next_in_bucket[i])
        if (first_unsaved_day(&e->windows[i]) < e->windows[i].days) {
            *piece = ENGINE_PIECE_DAY;
            return put_day(&w, e, &e->symbol[i], out);
        }
    for (uint32_t i = e->bucket[bucket].first; i != NONE; i = e->next_in_bucket[i], h.symbols++)
        if (!put_symbol(&w, e, &e->symbol[i]))
            return 0;
    memcpy(out, &h, sizeof h);
    for (uint32_t i = e->bucket[bucket].first; i != NONE; i = e->next_in_bucket[i])
        e->symbol[i].saved = e->symbol[i].bars_end, e->symbol[i].trades.saved = e->symbol[i].trades.end;
    return (size_t)(w.at - (uint8_t *)out);
}

/* ---- loading: the bytes may be anything */

struct reader {
    const uint8_t *at, *end;
};

static bool get(struct reader *r, void *out, size_t n)
{
    if ((size_t)(r->end - r->at) < n)
        return false;
    memcpy(out, r->at, n);
    r->at += n;
    return true;
}

static bool skip(struct reader *r, size_t n)
{
    bool ok = (size_t)(r->end - r->at) >= n;
    r->at += ok ? n : 0;
    return ok;
}

static bool head_sound(const struct symbol_head *h)
{
    return h->first_trade <= UINT64_C(1) << 48 && h->calendar < CALENDARS && h->size_scale <= 18 &&
           h->attributed <= 1 && h->name[0] && memchr(h->name, 0, sizeof h->name);
}

/* The symbol of the head, new or known; NULL if there is no room, or another one has its id. */
static struct symbol *symbol_for(struct engine *e, const struct symbol_head *h, uint32_t bucket)
{
    if (h->id >= e->limits.ids)
        return NULL;
    if (e->local[h->id] == 0 && !symbol_add(e, h->id, h->name, bucket, h->calendar, h->size_scale))
        return NULL;
    struct symbol *s = &e->symbol[e->local[h->id] - 1];
    return s->bucket != bucket || strcmp(e->name[place_of(e, s)], h->name) ? NULL : s;
}

/* They follow those that are there, or take the place of some; where neither can be, none of those stays. */
static bool get_bars(struct reader *r, struct engine *e, struct symbol *s, const struct symbol_head *h)
{
    if (h->bars > e->limits.bars || h->first_bar > BAR_NUMBER_MAX)
        return false;
    if (h->first_bar < s->bars_base || h->first_bar > s->bars_end)
        s->bars_base = s->bars_end = h->first_bar;
    s->bars_end = h->first_bar;
    if (s->bars_end + h->bars - s->bars_base > e->limits.bars)
        bars_drop(e, s, s->bars_end + h->bars - s->bars_base - e->limits.bars);
    for (uint32_t i = 0; i < h->bars; i++) {
        struct whole_bar b;
        if (!get(r, &b, sizeof b) || b.bar.minute > TIME_MAX_NS / MINUTE_NS)
            return false;
        bar_put(e, s, s->bars_end++, b);
    }
    return true;
}

/* After the last piece: of the bars, which are all there, those that its symbol x kept. */
static bool take_bars(struct engine *e, struct symbol *s, const struct symbol *x, const struct symbol_head *h)
{
    uint64_t first = x->bars_base;
    if (s->bars_end != h->first_bar + h->bars || first < s->bars_base || first > s->bars_end)
        return false;
    bars_drop(e, s, first - s->bars_base);
    return true;
}

static bool time_sound(int64_t t)
{
    return t >= 0 && t <= TIME_MAX_NS;
}

/* They follow those that are there, or take the place of some; where neither can be, none of those stays. */
static bool get_trades(struct reader *r, struct engine *e, struct symbol *s, const struct symbol_head *h)
{
    trades_cut(e, s, h->first_trade);
    if (s->trades.first == NONE && h->first_trade % TRADES_BLOCK)
        return false;
    for (uint32_t i = 0; i < h->trades; i++) {
        struct kept_trade t;
        if (!e->trades_blocks || !get(r, &t, sizeof t) || !time_sound(t.event_ns) || !time_sound(t.time_ns) ||
            t.price_e9 <= 0 || t.updates > UPDATES_ALL || t.session > SESSION_POSTMARKET)
            return false;
        *trade_keep(e, s, t.id, t.event_ns) = t;
    }
    return true;
}

/* As each is of one rule, of what decides it, one cancel sends no more than there is room for. */
static bool alert_sound(const struct engine *e, const struct kept_alert *a, const struct moment *m,
                        int64_t rule_before)
{
    const struct loaded_rule *r = a->rule < e->n_rules ? &e->rule[a->rule] : NULL;
    return r && r->id && a->rule > rule_before && a->withdrawn <= 1 && a->n_operands == r->n_operands &&
           a->n_clues == alert_clue_words(r) && (r->trigger == TRIGGER_BAR_CLOSE) == m->at_close;
}

static bool moment_sound(const struct engine *e, const struct moment *m, const uint8_t *alerts)
{
    struct reader r = {alerts, alerts + m->words * sizeof(uint64_t)};
    struct kept_alert a;
    int64_t before = -1;
    for (uint32_t i = 0; i < m->n_alerts; i++, before = a.rule)
        if (!get(&r, &a, sizeof a) || !alert_sound(e, &a, m, before) ||
            !skip(&r, (size_t)(a.n_operands + a.n_clues) * sizeof(uint64_t)))
            return false;
    bool quoted = m->bid_e9 >= 0 && m->ask_e9 >= 0;
    return r.at == r.end && m->n_alerts && time_sound(m->time_ns) && m->at_close <= 1 && m->halted <= 1 &&
           (quoted || (m->bid_e9 == KEY_UNKNOWN && m->ask_e9 == KEY_UNKNOWN));
}

/* The moments of the trades before, in their order. */
static bool get_alerts(struct reader *r, struct engine *e, const struct symbol *s,
                       const struct symbol_head *h)
{
    struct reader own = {r->at, r->at};
    uint64_t at_least = 2 * h->first_trade;
    if (!skip(r, h->alert_bytes))
        return false;
    own.end = r->at;
    while (own.at < own.end) {
        struct moment m;
        const struct kept_trade *t;
        if (!get(&own, &m, sizeof m) || m.no >= h->first_trade + h->trades || m.no < h->first_trade)
            return false;
        const uint8_t *alerts = own.at;
        uint64_t turn = 2 * m.no + m.at_close;
        if (turn < at_least || !skip(&own, m.words * sizeof(uint64_t)) || !moment_sound(e, &m, alerts) ||
            !(t = trade_at(e, s, m.no)) || !(t->flags & KEPT_DECIDED))
            return false;
        at_least = turn + 1;
        moment_restore(e, trades_block_of(e, s, m.no), &m, alerts);
    }
    return true;
}

/* After the last piece: what its symbol x knows of the trades, which are all there. */
static bool take_kept(struct engine *e, struct symbol *s, const struct symbol *x, const struct symbol_head *h)
{
    struct kept own = s->trades;
    s->trades = x->trades;
    s->trades.first = own.first;
    s->trades.last = own.last;
    s->trades.saved = 0;
    while (s->trades.first != NONE && first_kept(e, s) < h->kept_from)
        trades_release_first(e, s);
    uint64_t replaced = x->trades.cancelled_no;
    const struct kept_trade *t = replaced ? trade_at(e, s, replaced - 1) : NULL;
    return own.end == x->trades.end && first_kept(e, s) == h->kept_from &&
           (!replaced || (t && (t->flags & KEPT_CANCELLED)));
}

static bool get_daily(struct reader *r, struct engine *e, struct symbol *s, const struct symbol_head *h)
{
    if (h->bars > DAILY_BARS || !get(r, daily_of(e, s), h->bars * sizeof(struct bar)) ||
        !daily_sound(daily_of(e, s), h->bars))
        return false;
    s->n_daily = h->bars;
    return true;
}

/* A span's memory names its node of its rule, and counts no more bars than that asks for. */
static bool memory_sound(const struct loaded_rule *r, const struct saved_fire *f)
{
    if (f->k >= r->n_nodes || f->now > 2 || f->fired_rule != f->rule)
        return false;
    const struct expr_node *x = &r->node[f->k];
    return f->kind == FIRE_WITHIN ? x->op == EXPR_WITHIN
                                  : x->op == EXPR_FOR && f->ended < x->bound_lo && f->sound <= f->ended;
}

static bool fire_sound(const struct engine *e, const struct saved_fire *f)
{
    return f->rule < e->n_rules && e->rule[f->rule].id && f->kind <= FIRE_FOR &&
           (f->last_ns == INT64_MIN || (f->last_ns >= 0 && f->last_ns <= TIME_MAX_NS)) &&
           (f->kind == FIRE_RULE || memory_sound(&e->rule[f->rule], f));
}

static bool get_fires(struct reader *r, struct engine *e, struct symbol *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct saved_fire f;
        if (!get(r, &f, sizeof f) || !fire_sound(e, &f))
            return false;
        const struct loaded_rule *of = &e->rule[f.rule];
        struct fire x = {.ident =
                             f.kind == FIRE_RULE ? of->ident : SPAN_IDENT | (uint32_t)of->node[f.k].bound_hi,
                         .rule = f.fired_rule,
                         .last_ns = f.last_ns,
                         .due_ns = f.due_ns,
                         .k = f.k,
                         .ended = f.ended,
                         .sound = f.sound,
                         .now = f.now,
                         .kind = f.kind};
        if (fire_restore(e, s, &x) < 0)
            return false;
    }
    return true;
}

static bool is_bool(const struct symbol *x, size_t at)
{
    return ((const uint8_t *)x)[at] <= 1;
}

static bool splits_sound(const struct symbol *x)
{
    if (x->n_splits > SPLITS_WAITING)
        return false;
    for (uint8_t i = 0; i < x->n_splits; i++)
        if (!x->split[i].to || !x->split[i].from)
            return false;
    return true;
}

/* A time, or that nothing has been yet. */
static bool time_or_none(int64_t t)
{
    return t == INT64_MIN || t == INT64_MIN / 2 || (t >= 0 && t <= TIME_MAX_NS);
}

static bool state_sound(const struct engine *e, const struct symbol *x, const struct symbol_head *h,
                        uint32_t bucket)
{
    return x->id == h->id && x->bucket == bucket && x->calendar == h->calendar &&
           x->size_scale == h->size_scale && x->session <= SESSION_POSTMARKET &&
           is_bool(x, offsetof(struct symbol, stale)) && is_bool(x, offsetof(struct symbol, rebuild)) &&
           is_bool(x, offsetof(struct symbol, restart)) && is_bool(x, offsetof(struct symbol, live_range)) &&
           is_bool(x, offsetof(struct symbol, timed)) && is_bool(x, offsetof(struct symbol, spans_moved)) &&
           is_bool(x, offsetof(struct symbol, daily_saved)) && x->daily_end <= x->n_daily &&
           x->bars_first <= x->bars_end && x->bars_end <= BAR_NUMBER_MAX && x->bars_base <= x->bars_end &&
           x->bars_end - x->bars_base <= e->limits.bars && (x->bars_base <= x->bars_first || x->rebuild) &&
           x->provisional <= x->bars_end - x->bars_base && x->provisional < STEP_SLOTS_BARS / 2 &&
           splits_sound(x) && is_bool(x, offsetof(struct symbol, halted)) &&
           h->first_trade + h->trades == x->trades.end && time_sound(x->trades.trade_ns) &&
           h->first_bar + h->bars == x->bars_end && time_or_none(x->time_ns) &&
           time_or_none(x->live_start_ns) && time_or_none(x->trade_ns) &&
           (x->session == SESSION_CLOSED ||
            (x->session_start_ns >= 0 && x->session_start_ns <= TIME_MAX_NS)) &&
           x->epoch <= e->epoch;
}

static bool time_or(int64_t t, int64_t none)
{
    return t == none || (t >= 0 && t <= TIME_MAX_NS);
}

/* Whatever is computed with does not overflow; wrong values make wrong anomalies, no more. */
static bool watch_sound(const struct watch *w)
{
    bool ok = time_or(w->silent_ns, NEVER_NS) && time_or(w->spread_ns, 0);
    uint32_t prices = w->prices.n < ANOMALY_TRADES ? w->prices.n : ANOMALY_TRADES;
    for (uint32_t i = 0; i < prices; i++)
        ok = ok && w->prices.ring[i] > 0 && time_or(w->trade_ns[i], 0);
    for (uint32_t i = 0; i < ANOMALY_KINDS; i++)
        ok = ok && (!w->begun || time_or(w->last_ns[i], INT64_MIN));
    return ok && w->begun <= 1 && (w->silent_ns == NEVER_NS || w->prices.n >= ANOMALY_TRADES || !w->begun);
}

static bool get_watch(struct reader *r, struct engine *e, const struct symbol *s)
{
    struct watch *w = watch_of(e, s);
    if (!get(r, w, sizeof *w) || !watch_sound(w))
        return false;
    w->days_saved = 0;
    anomaly_prices_sort(&w->prices);
    return true;
}

static bool get_day(struct reader *r, struct engine *e, const struct symbol *s, const struct symbol_head *h)
{
    struct anomaly_day *d = watch_day(e, s, (uint32_t)h->first_bar);
    if (!get(r, d, sizeof *d))
        return false;
    for (unsigned m = 0; m < ANOMALY_DAY_MINUTES; m++)
        if (!(d->volume[m] == ANOMALY_NO_VOLUME || (d->volume[m] >= 0 && d->volume[m] - d->volume[m] == 0)))
            return false;
    return true;
}

/* If it is the last piece, the symbol as it was; what the rules make of it is made anew. */
static bool get_symbol(struct reader *r, struct engine *e, const struct piece_head *p, bool last)
{
    uint32_t bucket = p->bucket;
    struct symbol_head h;
    struct symbol x, *s;
    struct attributes a;
    attributes_clear(&a);
    if (!get(r, &h, sizeof h) || !head_sound(&h) || !get(r, &x, sizeof x) ||
        (h.attributed && (!get(r, &a, sizeof a) || !attributes_sound(&a))) ||
        !state_sound(e, &x, &h, bucket) || !(s = symbol_for(e, &h, bucket)) || s->heap != NONE ||
        s->ready != NONE || s->brief != NONE || s->within != NONE || s->fors != NONE ||
        (last && x.n_daily != s->n_daily))
        return false;
    if (!last)
        return get_bars(r, e, s, &h) && get_trades(r, e, s, &h) && get_alerts(r, e, s, &h) &&
               skip(r, h.fires * sizeof(struct saved_fire) + (p->watched ? sizeof(struct watch) : 0));
    if (!get_bars(r, e, s, &h) || !take_bars(e, s, &x, &h))
        return false;
    struct kept trades = s->trades;
    *s = x;
    *attributes_of(e, s) = a;
    s->trades = trades;
    s->heap = s->ready = s->brief = s->within = s->fors = s->scope = NONE;
    s->due_ns = s->span_ns = NEVER_NS;
    s->spans_moved = false;
    s->bound = 0;
    s->saved = 0;
    s->daily_saved = false;
    ahead_plan(e, s);
    if (!get_trades(r, e, s, &h) || !get_alerts(r, e, s, &h) || !take_kept(e, s, &x, &h) ||
        !get_fires(r, e, s, h.fires) || (p->watched && !get_watch(r, e, s)))
        return false;
    final_update(e, s);
    rules_bind(e, s);
    return true;
}

int engine_load(struct engine *e, const void *piece, size_t bytes, bool last, struct error *err)
{
    struct reader r = {piece, (const uint8_t *)piece + bytes};
    struct piece_head h;
    if (e->rules_changed)
        rules_build(e);
    bool ok =
        get(&r, &h, sizeof h) && h.bucket < BUCKET_COUNT &&
        (h.piece == ENGINE_PIECE_BUCKET ||
         ((h.piece == ENGINE_PIECE_PART || h.piece == ENGINE_PIECE_DAILY || h.piece == ENGINE_PIECE_DAY) &&
          h.symbols == 1)) &&
        h.clock_ns <= TIME_MAX_NS && h.watched <= 1 && (!last || h.watched == (e->watched != 0));
    if (ok && h.piece != ENGINE_PIECE_BUCKET) {
        struct symbol_head x;
        struct symbol *s;
        ok = get(&r, &x, sizeof x) && head_sound(&x) && (s = symbol_for(e, &x, h.bucket)) &&
             (h.piece == ENGINE_PIECE_PART
                  ? get_bars(&r, e, s, &x) && get_trades(&r, e, s, &x) && get_alerts(&r, e, s, &x)
              : h.piece == ENGINE_PIECE_DAILY ? get_daily(&r, e, s, &x)
                                              : get_day(&r, e, s, &x));
    } else if (ok) {
        e->bucket[h.bucket].clock_ns = h.clock_ns;
        e->bucket[h.bucket].next_ns = INT64_MIN;
        for (uint32_t i = 0; ok && i < h.symbols; i++)
            ok = get_symbol(&r, e, &h, last);
    }
    if (ok && r.at == r.end)
        return 0;
    return error_set(
        err,
        "found a piece of %zu bytes that is none, or that names symbols or rules which do not fit "
        "the limits and rules in force",
        bytes);
}

void engine_piece_symbols(const void *piece, size_t bytes, void (*f)(void *ctx, uint32_t id), void *ctx)
{
    struct reader r = {piece, (const uint8_t *)piece + bytes};
    struct piece_head h;
    struct symbol_head x;
    if (!get(&r, &h, sizeof h) || h.piece != ENGINE_PIECE_BUCKET)
        return;
    for (uint32_t i = 0; i < h.symbols && get(&r, &x, sizeof x); i++) {
        size_t rest = sizeof(struct symbol) + (x.attributed ? sizeof(struct attributes) : 0) +
                      x.bars * sizeof(struct whole_bar) + x.trades * sizeof(struct kept_trade) +
                      x.alert_bytes + x.fires * sizeof(struct saved_fire) +
                      (h.watched ? sizeof(struct watch) : 0);
        if ((size_t)(r.end - r.at) < rest)
            return;
        r.at += rest;
        f(ctx, x.id);
    }
}
