/* When a rule that has become true, or holds, fires: triggers, cooldowns, sessions. What holds or cools waits
 * in its symbol's heap by the time at which it is to be looked at again. */
#include "core/metric_value.h"
#include "core/rule_pool.h"
#include "core/rule_sieve.h"
#include "core/rule_truth.h"

const struct instance *rule_instance_of(const struct engine *e, const struct symbol *s, uint32_t ident)
{
    uint32_t rule = e->ident_slot[ident];
    const struct loaded_rule *r = &e->rule[rule];
    if (!r->live)
        return NULL;
    if (r->instance != NONE)
        return &e->instance[r->instance];
    const struct plan *p = scope_plan(e, s);
    uint32_t lo = 0, hi = p ? p->n_instances : 0;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (e->instance[p->instance[mid]].rule < rule)
            lo = mid + 1;
        else
            hi = mid;
    }
    return p && lo < p->n_instances && e->instance[p->instance[lo]].rule == rule
               ? &e->instance[p->instance[lo]]
               : NULL;
}

/* What is due at this time or the next nanosecond, the next tick looks at: rules without a cooldown, of which
 * many may hold, would go in and out of the heap at each. */
static inline void fire_wait(struct engine *e, struct symbol *s, uint32_t f, int64_t due_ns)
{
    if (due_ns > s->time_ns + 1) {
        heap_push(e, &s->heap, f, due_ns);
    } else {
        e->fire[f].due_ns = due_ns;
        e->fire[f].sibling = s->ready;
        s->ready = f;
    }
    due_update(e, s);
}

const struct fire *fire_find(const struct engine *e, const struct symbol *s, uint32_t ident)
{
    for (uint32_t f = s->brief; f != NONE; f = e->fire[f].sibling)
        if (e->fire[f].ident == ident)
            return &e->fire[f];
    uint32_t f = *fire_cell(e, place_of(e, s), ident);
    return f ? &e->fire[f - 1] : NULL;
}

int64_t fire_ready_ns(const struct engine *e, const struct fire *f, const struct loaded_rule *r)
{
    if (f->last_ns == INT64_MIN)
        return INT64_MIN;
    int64_t cool_ns = f->last_ns + r->cooldown_ns, bar_ns = (f->last_ns / MINUTE_NS + 1) * MINUTE_NS;
    if (f->rule != e->ident_slot[f->ident]) /* another version's: only the cooldown is inherited */
        return cool_ns;
    if (r->trigger == TRIGGER_ONCE)
        return NEVER_NS;
    return r->trigger == TRIGGER_ONCE_PER_BAR && bar_ns > cool_ns ? bar_ns : cool_ns;
}

static void brief_hash(struct engine *e, uint32_t f)
{
    struct fire *x = &e->fire[f];
    struct symbol *s = &e->symbol[x->symbol];
    uint32_t *cell = fire_cell(e, x->symbol, x->ident);
    assert(x->brief == BRIEF_LISTED && *cell == 0);
    *cell = f + 1;
    x->brief = BRIEF_HASHED;
    s->hashed_ns = x->last_ns > s->hashed_ns ? x->last_ns : s->hashed_ns;
}

/* Those of before the tick at hand go. */
static void briefs_go(struct engine *e, struct symbol *s)
{
    uint32_t *link = &s->brief;
    s->brief_ns = s->time_ns;
    while (*link != NONE) {
        uint32_t f = *link;
        struct fire *x = &e->fire[f];
        if (x->last_ns == s->time_ns) {
            link = &x->sibling;
            continue;
        }
        *link = x->sibling;
        if (x->brief == BRIEF_HASHED)
            fire_give(e, f);
        else
            fire_drop(e, f);
    }
}

/* A version's own cooldown counts from the last alert of the version before, if that is still known: it is
 * forgotten at the first message of the symbol at which its cooldown is over. */
void rules_redue(struct engine *e, struct symbol *s)
{
    uint32_t list = s->ready; /* by sibling */
    s->ready = NONE;
    while (s->heap != NONE) {
        uint32_t f = heap_pop(e, &s->heap);
        e->fire[f].sibling = list;
        list = f;
    }
    while (s->brief != NONE) { /* the next version's trigger may be another */
        uint32_t f = s->brief;
        struct fire *x = &e->fire[f];
        if (x->brief == BRIEF_LISTED)
            brief_hash(e, f);
        x->brief = BRIEF_NOT;
        x->due_ns = x->last_ns + 1;
        s->brief = x->sibling;
        x->sibling = list;
        list = f;
    }
    s->hashed_ns = INT64_MAX; /* until its next tick */
    while (list != NONE) {
        uint32_t f = list;
        struct fire *x = &e->fire[f];
        int64_t due_ns = fire_ready_ns(e, x, &e->rule[e->ident_slot[x->ident]]);
        list = x->sibling;
        fire_wait(e, s, f, due_ns < x->due_ns ? due_ns : x->due_ns);
    }
}

int fire_restore(struct engine *e, struct symbol *s, const struct fire *saved)
{
    bool fresh;
    uint32_t f = fire_take(e, s, saved->ident, &fresh);
    if (f == NONE)
        return 1; /* counted, as where it had come by itself */
    if (!fresh)
        return -1;
    struct fire *x = &e->fire[f];
    x->last_ns = saved->last_ns;
    x->rule = saved->rule;
    x->k = saved->k;
    x->ended = saved->ended;
    x->sound = saved->sound;
    x->now = saved->now;
    x->kind = saved->kind;
    if (x->kind == FIRE_FOR) {
        x->sibling = s->fors;
        s->fors = f;
        return 0;
    }
    heap_push(e, x->kind == FIRE_WITHIN ? &s->within : &s->heap, f, saved->due_ns);
    due_update(e, s);
    return 0;
}

static inline bool cooled(const struct engine *e, const struct fire *f, const struct loaded_rule *r,
                          int64_t t)
{
    return t >= fire_ready_ns(e, f, r);
}

static inline bool in_session(const struct symbol *s, const struct loaded_rule *r)
{
    return r->sessions >> s->session & 1;
}

static inline bool is_halted(const struct symbol *s, const struct loaded_rule *r)
{
    return s->halted && !r->minds_halt;
}

/* Counts what of session and halt holds a rule that is true. */
static inline bool is_held(const struct symbol *s, const struct loaded_rule *r, struct rule_stats *st)
{
    bool session = !in_session(s, r), halt = !session && is_halted(s, r);
    st->held_session += session;
    st->held_halt += halt;
    return session || halt;
}

static inline void fire_now(struct engine *e, struct fire *f, uint32_t rule, int64_t t)
{
    f->k = f->last_ns == t ? f->k + 1 : 0;
    f->last_ns = t;
    f->rule = rule;
    e->fired[rule / 64] |= UINT64_C(1) << rule % 64;
    e->fired_words[rule / 4096] |= UINT64_C(1) << rule / 64 % 64;
    struct loaded_rule *r = &e->rule[rule];
    r->fired_k = f->k;
    __builtin_prefetch(r->id); /* its alert will say them */
    __builtin_prefetch(r->operand);
    e->any_fired = true;
}

static bool has_fired(const struct engine *e, uint32_t rule)
{
    return e->fired[rule / 64] >> rule % 64 & 1;
}

/* When what neither holds nor cools may go. It outlives its time by 1 ns at least, for k. */
static int64_t gone_ns(const struct engine *e, const struct fire *f, const struct loaded_rule *r)
{
    int64_t ready = fire_ready_ns(e, f, r);
    return ready > f->last_ns ? ready : f->last_ns + 1;
}

/* When a rule that holds is to be looked at again: what its session alone holds back, when that may switch;
 * what a halt does, when it is over. */
static int64_t again_ns(const struct engine *e, const struct symbol *s, const struct fire *f,
                        const struct loaded_rule *r)
{
    int64_t ready = fire_ready_ns(e, f, r);
    if (ready > s->time_ns)
        return ready;
    if (is_halted(s, r))
        return NEVER_NS; /* rules_redue */
    return in_session(s, r) ? ready : s->live_start_ns + MINUTE_NS;
}

/* The rules in force are not those that the symbol's cursors are of: makes them anew, as of before the
 * message at hand, so that what it flips is seen as such. */
void rules_bind(struct engine *e, struct symbol *s)
{
    const char *name = e->name[place_of(e, s)];
    uint32_t *cursor = cursors_of(e, s);
    s->bound = e->epoch;
    s->scope = scope_find(e, name, strlen(name));
    const struct plan *q = scope_plan(e, s);
    bool trade = e->market.n_on_trade || (q && q->n_on_trade),
         move = e->market.n_on_move || (q && q->n_on_move);
    s->drive = trade ? 2 : move;
    s->timed = e->market.n_on_time || (q && q->n_on_time);
    if (s->timed)
        e->bucket[s->bucket].next_ns = INT64_MIN;
    memset(cursor, 0, (e->market.n_indexes + (q ? q->n_indexes : 0)) * sizeof *cursor);
    s->stale = true;
    s->rebuild = true;
    if (s->epoch == 0)
        return; /* its first message */
    rules_redue(e, s);
    rules_touch_all(e, s);
    if (e->n_spans)
        spans_bind(e, s);
    e->n_changes = 0;
    e->stamp++;
}

/* A message of the symbol's own, since which there are new rules: it is the first to evaluate them. */
void rules_arrive(struct engine *e, struct symbol *s)
{
    if (s->bound != e->epoch)
        rules_bind(e, s);
    e->bind_epoch = s->epoch;
    e->arrived = e->n_spans != 0;
    s->epoch = e->epoch;
    s->stale = true;
}

/* The rule has no cooldown. */
static void fire_brief(struct engine *e, struct symbol *s, uint32_t rule)
{
    struct loaded_rule *r = &e->rule[rule];
    struct fire *x = &e->fire[r->brief];
    uint32_t f, *cell;
    bool own = x->brief && x->ident == r->ident, here = own && x->symbol == place_of(e, s);
    if (own && !here && x->brief == BRIEF_LISTED)
        brief_hash(e, r->brief);
    if (!here && s->hashed_ns >= s->brief_ns && *(cell = fire_cell(e, place_of(e, s), r->ident))) {
        x = &e->fire[*cell - 1];
        here = true;
    }
    if (here) {
        fire_now(e, x, rule, s->time_ns);
        return;
    }
    if ((f = fire_new(e, s, r->ident)) == NONE)
        return;
    x = &e->fire[f];
    fire_now(e, x, rule, s->time_ns);
    x->brief = BRIEF_LISTED;
    x->sibling = s->brief;
    s->brief = r->brief = f;
    due_update(e, s);
}

/* The rule is true at this moment alone: it fires now, or what holds it is counted. */
static void fire_once(struct engine *e, struct symbol *s, const struct instance *in)
{
    const struct loaded_rule *r = &e->rule[in->rule];
    struct rule_stats *st = &e->stats[in->rule];
    bool fresh;
    if (is_held(s, r, st))
        return;
    if (r->cooldown_ns == 0) {
        fire_brief(e, s, in->rule);
        return;
    }
    uint32_t f = fire_take(e, s, r->ident, &fresh);
    if (f == NONE)
        return;
    if (cooled(e, &e->fire[f], r, s->time_ns))
        fire_now(e, &e->fire[f], in->rule, s->time_ns);
    else
        st->held_cooldown++;
    if (fresh)
        fire_wait(e, s, f, gone_ns(e, &e->fire[f], r));
}

static void candidate_cross(struct engine *e, struct symbol *s, const struct instance *in, enum truth before,
                            enum eval what)
{
    const struct loaded_rule *r = &e->rule[in->rule];
    struct rule_stats *st = &e->stats[in->rule];
    if (what == EVAL_SILENT)
        return;
    if (before == UNKNOWN || (s->restart && r->recursive)) {
        st->held_warmup++;
        return;
    }
    fire_once(e, s, in);
}

/* level, once, once_per_bar. At a tick fires_due, which came before, has fired what had a place already. */
static void candidate_level(struct engine *e, struct symbol *s, const struct instance *in, enum eval what)
{
    const struct loaded_rule *r = &e->rule[in->rule];
    struct rule_stats *st = &e->stats[in->rule];
    bool fresh;
    if (has_fired(e, in->rule))
        return;
    uint32_t f = fire_take(e, s, r->ident, &fresh);
    if (f == NONE)
        return;
    bool cool = cooled(e, &e->fire[f], r, s->time_ns), open = !is_held(s, r, st);
    st->held_cooldown += open && !cool;
    if (cool && open && (what == EVAL_CLOCK || (what == EVAL_TICK && fresh)))
        fire_now(e, &e->fire[f], in->rule, s->time_ns);
    if (fresh)
        fire_wait(e, s, f, open && what != EVAL_TICK ? s->time_ns : again_ns(e, s, &e->fire[f], r));
}

/* An instance that may have become true by this message, `was_false` if one of its comparisons was false. */
static void candidate(struct engine *e, struct symbol *s, const uint32_t *cursor, struct instance *in,
                      bool was_false, enum eval what)
{
    const struct loaded_rule *r = &e->rule[in->rule];
    struct rule_stats *st = &e->stats[in->rule];
    bool is_new = e->bind_epoch && r->epoch > e->bind_epoch;
    if (in->seen == e->stamp)
        return; /* another of its comparisons brought it here already */
    if (r->epoch > s->epoch)
        return; /* a CLOCK is not the symbol's next message, which evaluates a new rule first */
    if (r->trigger == TRIGGER_BAR_CLOSE || s->time_ns >= r->expires_ns)
        return;
    in->seen = e->stamp;
    bool now = holds(e, cursor, in, events_count(e, s, r));
    st->evaluated += now | (in->n_code != 0);
    if (!now)
        return;
    st->truths++;
    enum truth before = is_new                         ? UNKNOWN
                        : was_false && in->n_code == 0 ? FALSE
                                                       : truth_of(e, cursor, in, AS_BEFORE);
    if (before == TRUE)
        return;
    if (r->trigger == TRIGGER_CROSS)
        candidate_cross(e, s, in, before, what);
    else
        candidate_level(e, s, in, what);
}

/* A fire of a level rule comes up. True if the rule holds. */
static bool due_level(struct engine *e, struct symbol *s, const uint32_t *cursor, const struct instance *in,
                      struct fire *x)
{
    const struct loaded_rule *r = &e->rule[in->rule];
    struct rule_stats *st = &e->stats[in->rule];
    st->evaluated++;
    if (!holds(e, cursor, in, events_count(e, s, r)))
        return false;
    st->truths++;
    if (!cooled(e, x, r, s->time_ns))
        return true;
    if (!is_held(s, r, st))
        fire_now(e, x, in->rule, s->time_ns);
    return true;
}

/* A fire that is due at a TRADE or QUOTE: a level rule that holds fires. False if it neither holds nor cools.
 */
static bool fire_due(struct engine *e, struct symbol *s, const uint32_t *cursor, struct fire *x)
{
    int64_t t = s->time_ns;
    const struct loaded_rule *r = &e->rule[e->ident_slot[x->ident]];
    bool level = r->trigger != TRIGGER_CROSS && r->trigger != TRIGGER_BAR_CLOSE && t < r->expires_ns;
    const struct instance *in = level ? rule_instance_of(e, s, x->ident) : NULL;
    return (in && due_level(e, s, cursor, in, x)) || (x->last_ns != INT64_MIN && t < gone_ns(e, x, r));
}

/* With many rules what is looked at is anywhere in memory: it is asked for some rules at a time, in the order
 * in which one line leads to the next. */
enum { BATCH = 16, AHEAD = 4 };

static void prefetch_rules(const struct engine *e, const uint32_t *rule, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        __builtin_prefetch(&e->rule[rule[i]], 1);
        __builtin_prefetch(&e->stats[rule[i]], 1);
    }
}

static void prefetch_instances(const struct engine *e, const uint32_t *instance, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(&e->instance[instance[i]], 1);
}

static void prefetch_atoms(const struct engine *e, const uint32_t *instance, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (e->instance[instance[i]].n_atoms > 1)
            __builtin_prefetch(&e->atom[e->instance[instance[i]].atom_at]);
}

/* Of what is not brief. */
static inline void prefetch_fire(const struct engine *e, const struct symbol *s, uint32_t rule)
{
    const struct loaded_rule *r = &e->rule[rule];
    if (r->cooldown_ns || r->trigger != TRIGGER_CROSS)
        __builtin_prefetch(fire_first_cell(e, place_of(e, s), r->ident), 1);
}

/* What is ready or due, and holds, fires; what neither holds nor cools goes. Before the candidates, whose
 * fires are not due again at this message. */
static void fires_due(struct engine *e, struct symbol *s, const uint32_t *cursor)
{
    uint32_t list = s->ready;
    if (s->brief != NONE && s->brief_ns != s->time_ns)
        briefs_go(e, s);
    if (s->hashed_ns == INT64_MAX)
        s->hashed_ns = s->time_ns;
    s->ready = NONE;
    while (heap_due_ns(e, s->heap) <= s->time_ns) {
        uint32_t f = heap_pop(e, &s->heap);
        e->fire[f].sibling = list;
        list = f;
    }
    due_update(e, s);
    while (list != NONE) {
        uint32_t fire[BATCH], rule[BATCH], instance[BATCH], n = 0, market = 0;
        while (list != NONE && n < BATCH) {
            uint32_t f = list;
            const struct fire *x = &e->fire[f];
            list = x->sibling;
            fire[n] = f;
            rule[n++] = e->ident_slot[x->ident];
        }
        prefetch_rules(e, rule, n);
        for (uint32_t i = 0; i < n; i++)
            if (e->rule[rule[i]].instance != NONE)
                instance[market++] = e->rule[rule[i]].instance;
        prefetch_instances(e, instance, market);
        prefetch_atoms(e, instance, market);
        for (uint32_t i = 0; i < n; i++) {
            struct fire *x = &e->fire[fire[i]];
            if (x->due_ns > s->time_ns)
                fire_wait(e, s, fire[i], x->due_ns);
            else if (fire_due(e, s, cursor, x))
                fire_wait(e, s, fire[i], again_ns(e, s, x, &e->rule[rule[i]]));
            else
                fire_give(e, fire[i]);
        }
    }
}

/* ---- bars' ends */

static void close_plan(struct engine *e, struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; i < p->n_on_close; i++) {
        const struct instance *in = &e->instance[p->on_close[i]];
        const struct loaded_rule *r = &e->rule[in->rule];
        struct rule_stats *st = &e->stats[in->rule];
        if (r->epoch > s->epoch || s->time_ns >= r->expires_ns)
            continue;
        st->evaluated++;
        enum truth now = truth_of(e, e->close_cursor, in, NO_EVENTS);
        st->held_warmup += now == UNKNOWN;
        if (now != TRUE)
            continue;
        st->truths++;
        fire_once(e, s, in);
    }
}

void rules_close(struct engine *e, struct symbol *s)
{
    const struct plan *q = scope_plan(e, s);
    if (s->rebuild)
        metrics_rebuild(e, s);
    rules_seek_close(e, s);
    if (e->n_spans)
        spans_close(e, s);
    if (unlikely(e->watch))
        explain_close(e, s);
    close_plan(e, s, &e->market);
    if (q)
        close_plan(e, s, q);
}

static void candidates_of(struct engine *e, struct symbol *s, const uint32_t *cursor, const uint32_t *list,
                          uint32_t from, uint32_t to, bool was_false, enum eval what)
{
    for (uint32_t n; from < to; from += n) {
        uint32_t rule[BATCH];
        n = to - from < BATCH ? to - from : BATCH;
        prefetch_instances(e, list + from, n);
        for (uint32_t i = 0; i < n; i++)
            rule[i] = e->instance[list[from + i]].rule;
        prefetch_rules(e, rule, n);
        prefetch_atoms(e, list + from, n);
        for (uint32_t i = 0; i < n; i++) {
            if (i + AHEAD < n)
                prefetch_fire(e, s, rule[i + AHEAD]);
            candidate(e, s, cursor, &e->instance[list[from + i]], was_false, what);
        }
    }
}

/* Which ranks, from *lo and below *hi, come true for those who look up, or down. False if none do. */
static bool flipped(const struct change *c, bool down, uint32_t *lo, uint32_t *hi)
{
    if (c->to == CURSOR_NONE)
        return false;             /* what is unknown makes nothing true */
    if (c->from == CURSOR_NONE) { /* all that holds is new */
        *lo = down ? c->to : 0;
        *hi = down ? c->index->n + 1 : c->to;
        return true;
    }
    *lo = down ? c->to : c->from;
    *hi = down ? c->from : c->to;
    return *lo < *hi;
}

static void sieved(struct engine *e, struct symbol *s, const uint32_t *cursor, const struct change *c,
                   const struct sieve_ref *ref, enum eval what)
{
    enum { ROOM = 64 };
    const struct sieve *v = &e->sieve[ref->sieve];
    const struct sieve_side *x = &v->side[ref->side];
    uint32_t passed[ROOM + SIEVE_LANES], lo, hi;
    if (!flipped(c, x->down, &lo, &hi))
        return;
    for (uint32_t k = 0; k < v->n_sides; k++)
        if (gate_shut(&v->side[k].gate, cursor))
            return;
    uint32_t from = sieve_place(x, lo), to = sieve_place(x, hi);
    e->count.flips += to - from;
    while (from < to) {
        uint32_t n = sieve_pass(v, ref->side, cursor, &from, to, passed, ROOM);
        candidates_of(e, s, cursor, passed, 0, n, c->from != CURSOR_NONE, what);
    }
}

static void flips(struct engine *e, struct symbol *s, const uint32_t *cursor, const struct change *c,
                  enum eval what)
{
    const struct index *ix = c->index;
    bool was_false = c->from != CURSOR_NONE;
    uint32_t lo, hi;
    if (flipped(c, false, &lo, &hi)) {
        e->count.flips += ix->up_at[hi] - ix->up_at[lo];
        candidates_of(e, s, cursor, ix->up, ix->up_at[lo], ix->up_at[hi], was_false, what);
    }
    if (flipped(c, true, &lo, &hi)) {
        e->count.flips += ix->down_at[hi] - ix->down_at[lo];
        candidates_of(e, s, cursor, ix->down, ix->down_at[lo], ix->down_at[hi], was_false, what);
    }
    for (uint32_t i = 0; i < ix->n_sieved; i++)
        sieved(e, s, cursor, c, &ix->sieved[i], what);
}

static void new_rules(struct engine *e, struct symbol *s, const uint32_t *cursor, const struct plan *p,
                      enum eval what)
{
    for (uint32_t i = 0; p && i < p->n_instances; i++) {
        struct instance *in = &e->instance[p->instance[i]];
        if (e->rule[in->rule].epoch > e->bind_epoch)
            candidate(e, s, cursor, in, false, what);
    }
}

/* All cursors stand where this message puts them: what became true, and what is due, fires into e->fired. */
void rules_settle(struct engine *e, struct symbol *s, enum eval what)
{
    const uint32_t *cursor = cursors_of(e, s);
    if (unlikely(e->n_spans))
        spans_settle(e, s, what);
    if (what == EVAL_TICK && s->due_ns <= s->time_ns)
        fires_due(e, s, cursor);
    for (uint32_t i = 0; i < e->n_changes; i++)
        flips(e, s, cursor, &e->change[i], what);
    if (e->bind_epoch) {
        new_rules(e, s, cursor, &e->market, what);
        new_rules(e, s, cursor, scope_plan(e, s), what);
    }
    e->settled_epoch = e->bind_epoch;
    e->settled_restart = s->restart;
    e->bind_epoch = 0;
    e->arrived = false;
    e->n_changes = 0;
    e->stamp++;
    s->restart = false;
}
