/* A scanner role: its tick ring -> engine -> its event ring, and the symbol table's rows.
 *
 * Started where another one ended, it first takes from checkpoints and journal what its ring gave to that one
 * (workers/catch_up.h). Of the events only those go on that may not be in the event ring yet: the last one
 * there tells; the publisher drops what it has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"
#include "workers/catch_up.h"
#include "workers/engine_memory.h"
#include "workers/instance.h"
#include "workers/peer_blocks.h"
#include "workers/saving.h"
#include "shm/valuetab.h"
#include "workers/values.h"

/* A step is short, so that what waits for its end (a signal, a checkpoint's piece) never waits long. */
enum { STEP_SLOTS = 64 };
_Static_assert((int)STEP_SLOTS >= (int)MSG_SLOTS_MAX, "a record fits");

struct scanner {
    struct instance in;
    struct engine_memory memory;
    struct ring_consumer ticks;
    struct ring_producer events;
    uint32_t release; /* slots applied whose events are not all in the event ring */
    uint32_t sent;    /* slots of memory.out that are */
    struct symtab *symtab;
    uint64_t *seen; /* by symbol: the span in which its row was written last */
    uint64_t span, applied_seq, refused;
    uint64_t global_messages; /* slots of rules and settings so far */
    int64_t event_ns;         /* of the last tick or clock applied */
    bool begun, ended, failed;
    bool whole; /* the engine has done all of the last message that it was given */
    /* what the ring gave before we came */
    struct catch_up *missed; /* NULL: it is applied */
    const struct msg *missed_at;
    uint32_t missed_n;
    int64_t missed_since_ns;
    uint64_t lag_from; /* the ring lags from this message on; 0: it does not */
    uint64_t resumed;  /* the ring has it all from this message on, and we what came before */
    bool lag_level;    /* … and we are at the journal's end */
    uint64_t sent_seq; /* events before this one are in the event ring */
    struct rule_stats *stats, *missed_stats; /* what was counted before us; what we count again */
    struct saving *saving;                   /* NULL: no checkpoints */
    struct values *values;                   /* NULL: no toplists */
    struct peer_blocks *peers;               /* NULL: no symbols are compared */
    struct valuetab *scans;                  /* NULL: scans are not enabled */
    uint32_t scans_first, scans_bucket; /* place of the first value asked for; the bucket to go on with */
    uint64_t end_seq;
    int64_t end_ns;
    bool values_told; /* the market role shows the end */
};

static int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void show_trade(struct scanner *s, uint32_t symbol, uint64_t size, int64_t event_ns)
{
    struct engine_view v = engine_view(s->memory.engine, symbol);
    struct symtab_trade t = {.price_e9 = v.price_e9,
                             .size = size,
                             .event_ns = event_ns,
                             .day_volume = v.day_volume,
                             .session = (uint8_t)v.session};
    symtab_set_trade(s->symtab, symbol, &t);
    struct symtab_live bar = {.start_ns = v.live_start_ns,
                              .open_e9 = v.open_e9,
                              .high_e9 = v.high_e9,
                              .low_e9 = v.low_e9,
                              .close_e9 = v.close_e9,
                              .volume = v.live_volume,
                              .pv_lo = (uint64_t)v.live_pv,
                              .pv_hi = (int64_t)(v.live_pv >> 64),
                              .trades = v.live_trades};
    if (bar.trades)
        symtab_set_live(s->symtab, symbol, &bar);
}

/* After a start from checkpoints: rows of symbols that have had no message since. The size of their last
 * trade, and those of their quote, are not kept; the time is that of the state. */
static void show_quiet(struct scanner *s)
{
    for (uint32_t i = 0; i < symtab_count(s->symtab); i++) {
        struct engine_view v = engine_view(s->memory.engine, i);
        struct symtab_row row;
        if (symtab_read(s->symtab, i, &row) < 0)
            continue;
        if (v.price_e9 && !row.trade.event_ns)
            show_trade(s, i, 0, v.time_ns);
        if (v.bid_e9 && !row.quote.event_ns)
            symtab_set_quote(s->symtab, i, &(struct symtab_quote){v.bid_e9, v.ask_e9, 0, 0, v.time_ns});
    }
}

/* The latest trade and quote of each symbol of the span go to the symbol table, once each. */
static void show(struct scanner *s, const struct msg *m, uint32_t n)
{
    uint32_t rows = symtab_count(s->symtab);
    s->span++;
    for (uint32_t i = n; i-- > 0;) {
        const struct msg *x = &m[i];
        s->global_messages += x->type == MSG_RULE || x->type == MSG_SETTING;
        if ((x->flags & MSG_F_CONT) || x->symbol >= rows ||
            (x->type != MSG_TRADE && x->type != MSG_QUOTE && x->type != MSG_CANCEL))
            continue;
        uint64_t *seen = &s->seen[2 * x->symbol + (x->type == MSG_QUOTE)];
        if (*seen == s->span)
            continue;
        *seen = s->span;
        if (x->type == MSG_QUOTE) {
            struct symtab_quote q = {x->quote.bid_e9, x->quote.ask_e9, x->quote.bid_size, x->quote.ask_size,
                                     x->event_ns};
            symtab_set_quote(s->symtab, x->symbol, &q);
        } else {
            show_trade(s, x->symbol, x->type == MSG_TRADE ? x->trade.size : 0, x->event_ns);
        }
    }
}

/* Gives each alert the receive time of its deciding message. Both are in the order of seq. */
static void stamp_receive(struct engine_out *out, const struct msg *m, uint32_t n)
{
    uint32_t at = 0;
    for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k])) {
        struct msg *e = &out->slot[k];
        if (e->type == MSG_END)
            continue;
        while (at < n && m[at].seq != e->seq)
            at += msg_slot_count(&m[at]);
        if (at < n && e->type == MSG_ALERT)
            e->recv_ns = m[at].recv_ns;
    }
}

static bool send(struct scanner *s)
{
    struct engine_out *out = &s->memory.out;
    if (s->sent < out->used) {
        uint32_t n = ring_put_n(&s->events, out->slot + s->sent, out->used - s->sent);
        counter_add(s->in.counters, SCANNER_EVENTS, n);
        s->sent += n;
        if (s->sent < out->used)
            return false;
    }
    out->used = s->sent = 0;
    if (s->release)
        ring_release(&s->ticks, s->release);
    s->release = 0;
    return true;
}

/* Leaves out the events that the one before us has sent. */
static void leave_out_sent(struct scanner *s)
{
    struct engine_out *out = &s->memory.out;
    uint32_t kept = 0, slots;
    for (uint32_t at = 0; at < out->used; at += slots) {
        slots = msg_slot_count(&out->slot[at]);
        if (out->slot[at].seq < s->sent_seq)
            continue;
        memmove(&out->slot[kept], &out->slot[at], slots * sizeof *out->slot);
        kept += slots;
    }
    out->used = kept;
}

/* Gives messages to the engine; returns the slots done. */
static uint32_t apply(struct scanner *s, const struct msg *m, uint32_t n)
{
    uint64_t global = s->global_messages;
    uint32_t done = (uint32_t)engine_apply(s->memory.engine, m, n, &s->memory.out);
    s->whole = !engine_is_within(s->memory.engine);
    if (done == 0)
        return 0;
    show(s, m, done);
    if (s->saving && s->global_messages != global)
        saving_remember(s->saving, m, done);
    s->applied_seq = m[done - 1].seq > s->applied_seq ? m[done - 1].seq : s->applied_seq;
    const struct msg *last = &m[done - 1];
    if (!(last->flags & MSG_F_CONT) && last->event_ns > s->event_ns)
        s->event_ns = last->event_ns;
    if (last->type == MSG_END) {
        s->ended = true;
        s->end_seq = last->seq;
        s->end_ns = last->event_ns;
    }
    return done;
}

/* With peers, spans end with their first CLOCK. */
static uint32_t span(const struct scanner *s, const struct msg *m, uint32_t n)
{
    return s->values || s->peers ? msg_upto_clock(m, n) : n;
}

/* m[0..done) was applied: what there is to tell of it goes, or waits for room. */
static void compare(struct scanner *s, const struct msg *m, uint32_t done)
{
    if (s->peers && done && m[done - 1].type == MSG_CLOCK)
        peer_blocks_clock(s->peers, &m[done - 1]);
    if (s->peers && peer_blocks_put(s->peers, s->memory.engine))
        peer_blocks_reached(s->peers, s->ended ? UINT64_MAX : s->applied_seq);
}

static void fail(struct scanner *s, const char *why)
{
    instance_log(&s->in, SET_LOG_LEVEL_ERROR, "cannot catch up: %s", why);
    s->in.finished = s->failed = true;
}

/* All that was missed is applied. */
static void caught_up(struct scanner *s)
{
    const struct catch_up_figures *f = catch_up_figures(s->missed);
    double all_s = (double)(mono_ns() - s->missed_since_ns) / 1e9, load_s = (double)f->load_ns / 1e9;
    instance_log(&s->in, SET_LOG_LEVEL_INFO,
                 "caught up after %.3f s: %u buckets loaded from checkpoints in %.3f s, %llu messages "
                 "applied from the "
                 "journal in %.3f s",
                 all_s, f->buckets, load_s, (unsigned long long)f->messages, all_s - load_s);
    counter_add(s->in.counters, SCANNER_CAUGHT_UP, f->messages);
    counter_set(s->in.counters, SCANNER_CATCHING_UP, 0);
    s->applied_seq = catch_up_at(s->missed);
    if (f->buckets)
        show_quiet(s);
    catch_up_close(s->missed);
    s->missed = NULL;
    s->sent_seq = 0;
    if (s->missed_stats) { /* what was counted before us stands in shared memory */
        struct engine_counters counted;
        uint64_t *count = (uint64_t *)&counted;
        for (unsigned i = 0; i < sizeof counted / sizeof *count; i++)
            count[i] = counter_get(s->in.counters, SCANNER_ENGINE + i);
        engine_count_on(s->memory.engine, &counted, s->stats);
        free(s->missed_stats);
        s->missed_stats = NULL;
    }
}

static void catch_up_options(struct scanner *s, struct catch_up_options *o)
{
    static char capture[4096], checkpoints[4096];
    snprintf(capture, sizeof capture, "%s/capture", s->in.options->dir);
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", s->in.options->dir);
    const struct topology *t = workspace_topology(s->in.ws);
    *o = (struct catch_up_options){.capture = capture,
                                   .checkpoints = checkpoints,
                                   .scanners = t->options.scanners,
                                   .scanner = s->in.index,
                                   .bucket_table = (enum bucket_table)s->in.settings->rings_bucket_table,
                                   .ids = t->options.symbols_max,
                                   .symbols = s->symtab};
    s->missed_since_ns = mono_ns();
    counter_set(s->in.counters, SCANNER_CATCHING_UP, 1);
}

/* Reads the journal after what is applied, up to to_seq. */
static void read_journal(struct scanner *s, uint64_t to_seq)
{
    struct catch_up_options o;
    struct error note, err;
    catch_up_options(s, &o);
    o.to_seq = to_seq;
    o.after_seq = s->applied_seq;
    s->missed = catch_up_open(&o, &note, &err);
    if (!s->missed)
        fail(s, err.text);
}

/* What the engine has had by way of the journal is passed over: slots of m[0..n). */
static uint32_t count_had(const struct scanner *s, const struct msg *m, uint32_t n)
{
    uint32_t had = 0;
    while (had < n && m[had].seq <= s->applied_seq)
        had += msg_slot_count(&m[had]);
    return had;
}

/* Was the ring left behind? What it then lacks, from its last message to that before `resume`, or to the
 * journal's end, is in the journal. Looked at after the ring's next messages m[0..*n) (none: NULL): if they
 * come after a gap, so says `resume`. True if the journal comes first; else *n are those before the gap. */
static bool is_left_behind(struct scanner *s, const struct msg *m, uint32_t *n)
{
    const struct ring_lag *lag = &s->in.control->lag[s->in.index];
    uint64_t resume = atomics_load_acquire_u64(&lag->resume), from;
    uint32_t before = 0;
    if (m && resume <= s->resumed)
        return false;
    if (resume > s->resumed) {
        while (before < *n && m[before].seq < resume)
            before += msg_slot_count(&m[before]);
        if (before == 0) {
            s->resumed = resume;
            if (s->applied_seq >= resume - 1)
                return is_left_behind(s, m, n);
            read_journal(s, resume - 1);
            return true;
        }
        *n = before;
        return false;
    }
    if ((from = atomics_load_acquire_u64(&lag->from)) == 0 || s->ended)
        return false;
    if (ring_peek(&s->ticks, n)) /* what came before is in the ring */
        return *n = 0, false;
    read_journal(s, UINT64_MAX);
    s->lag_from = from;
    s->lag_level = false;
    return true;
}

/* Does the ring lack nothing that ingest has pushed, but what we have had by the journal? Ingest says where
 * it goes on before it says that it is not behind. */
static bool has_all(const struct scanner *s)
{
    const struct ring_lag *lag = &s->in.control->lag[s->in.index];
    return atomics_load_acquire_u64(&lag->from) == 0 && atomics_load_acquire_u64(&lag->resume) <= s->resumed;
}

/* At the end of the journal: ingest is told, and says from where on the ring has it all again. */
static void step_level(struct scanner *s)
{
    struct ring_lag *lag = &s->in.control->lag[s->in.index];
    uint64_t resume = atomics_load_acquire_u64(&lag->resume);
    if (s->lag_level && resume > s->lag_from) { /* one before us may have been level earlier than we are */
        uint64_t at = catch_up_at(s->missed);
        catch_up_end_at(s->missed, resume - 1 > at ? resume - 1 : at);
        s->resumed = resume;
        s->lag_from = 0;
    } else if (!s->lag_level && catch_up_at(s->missed) >= s->lag_from) {
        s->lag_level = true;
        atomics_store_release_u64(&lag->level, catch_up_at(s->missed));
    }
}

static int step_missed(struct scanner *s)
{
    struct error err;
    if (s->lag_from && s->lag_level) {
        step_level(s);
        return 0;
    }
    if (s->missed_n == 0) {
        int n = catch_up_next(s->missed, s->memory.engine, &s->missed_at, &err);
        if (n < 0)
            return fail(s, err.text), 0;
        if (n == 0 && catch_up_done(s->missed))
            return caught_up(s), 1;
        if (n == 0 && s->lag_from)
            step_level(s);
        s->missed_n = (uint32_t)n;
        return n;
    }
    uint32_t done = apply(s, s->missed_at, span(s, s->missed_at, s->missed_n));
    compare(s, s->missed_at, done);
    s->missed_at += done;
    s->missed_n -= done;
    leave_out_sent(s);
    return (int)done + 1;
}

/* What has our ring given to one before us, or to one of before the rings were made? */
static int find_missed(struct scanner *s, struct error *err)
{
    struct catch_up_options o;
    struct error note;
    uint32_t n;
    uint64_t released = ring_released_seq(&s->ticks); /* before the peek: its slot may be filled after it */
    const struct msg *m = ring_peek(&s->ticks, &n);
    uint64_t to_seq = m ? m->seq - 1 : released;
    uint64_t resume = atomics_load_acquire_u64(&s->in.control->lag[s->in.index].resume);
    if (!m && resume && resume - 1 > to_seq)
        to_seq = resume - 1;
    if (resume && resume - 1 <= to_seq) /* what the ring lacked, it lacked before what comes next */
        s->resumed = resume;
    if (to_seq == 0 || to_seq == UINT64_MAX)
        return 0;
    s->sent_seq = ring_last_seq(&s->events);
    catch_up_options(s, &o);
    o.to_seq = to_seq;
    s->missed = catch_up_open(&o, &note, err);
    if (!s->missed)
        return -1;
    if (note.text[0])
        instance_log(&s->in, SET_LOG_LEVEL_WARN, "%s", note.text);
    instance_log(&s->in, SET_LOG_LEVEL_INFO, "catching up from message %llu to %llu",
                 (unsigned long long)catch_up_from(s->missed) + 1, (unsigned long long)to_seq);
    return 0;
}

/* Once ingest has recovered the journal. */
static int begin(struct scanner *s)
{
    const struct settings *set = s->in.settings;
    struct engine_counters none = {0};
    struct error err;
    if (!atomics_load_acquire_u64(&s->in.control->ready))
        return 0;
    s->begun = true;
    if (find_missed(s, &err))
        return fail(s, err.text), 0;
    if (s->peers)
        peer_blocks_begin(s->peers, s->missed ? catch_up_newest(s->missed) : 0);
    if (s->missed && catch_up_from(s->missed)) {
        s->missed_stats = calloc((size_t)set->limits_rules, sizeof *s->missed_stats);
        if (!s->missed_stats)
            abort();
        engine_count_on(s->memory.engine, &none, s->missed_stats);
    } else { /* counted anew, from the first message */
        memset(s->stats, 0, (size_t)set->limits_rules * sizeof *s->stats);
    }
    if (set->checkpoints_interval_ms && atomics_load_acquire_u64(&s->in.control->journaled)) {
        struct engine_limits limits;
        engine_limits_from(set, &limits);
        if (!(s->saving = saving_open(&s->in, &limits, &err)))
            instance_log(&s->in, SET_LOG_LEVEL_WARN, "%s; the journal is kept instead", err.text);
    }
    return 1;
}

static int step(void *ctx, uint64_t ticks)
{
    struct scanner *s = ctx;
    uint32_t n;
    (void)ticks;
    if (!send(s)) {
        counter_add(s->in.counters, SCANNER_EVENT_RING_WAITS, 1);
        return RUNLOOP_BACKPRESSURE;
    }
    if (!s->begun)
        return begin(s);
    if (s->peers && !peer_blocks_put(s->peers, s->memory.engine))
        return RUNLOOP_BACKPRESSURE;
    if (s->missed)
        return step_missed(s);
    uint64_t pushed =
        s->peers ? atomics_load_acquire_u64(&s->in.control->pushed_seq) : 0; /* before the peek */
    const struct msg *m = ring_peek(&s->ticks, &n);
    if (m && m->seq <= s->applied_seq) {
        s->release = count_had(s, m, n);
        return (int)s->release;
    }
    if (is_left_behind(s, m, &n))
        return 1;
    if (!n) {
        if (s->peers && has_all(s))
            peer_blocks_reached(s->peers, pushed);
        if (s->saving && s->whole && !s->ended)
            saving_step(s->saving, s->memory.engine, s->applied_seq, &s->events);
        if (s->values && s->ended && !s->values_told)
            s->values_told = values_end(s->values, s->memory.engine, s->end_seq, s->end_ns);
        return 0;
    }
    if (n > STEP_SLOTS) {
        n = STEP_SLOTS;
        while (m[n].flags & MSG_F_CONT)
            n--;
    }
    uint32_t done = apply(s, m, span(s, m, n));
    compare(s, m, done);
    if (s->values && done && m[done - 1].type == MSG_CLOCK)
        values_clock(s->values, s->memory.engine, &m[done - 1]);
    if (s->memory.out.used)
        stamp_receive(&s->memory.out, m, n);
    s->release = done;
    if (send(s) && s->saving && s->whole && !s->ended)
        saving_step(s->saving, s->memory.engine, s->applied_seq, &s->events);
    return (int)(done + 1);
}

/* Some buckets each time, all of them about once a second: that is fresh enough for who looks, and no pause.
 */
static void show_values(struct scanner *s)
{
    enum { BUCKETS = 8 };
    int64_t key[SCAN_COLUMNS];
    const struct engine *e = s->memory.engine;
    for (int i = 0; i < BUCKETS; i++, s->scans_bucket = (s->scans_bucket + 1) % BUCKET_COUNT)
        for (uint32_t id = UINT32_MAX; (id = engine_next_symbol(e, s->scans_bucket, id)) != UINT32_MAX;) {
            engine_keys(e, id, s->scans_first, SCAN_COLUMNS, key);
            valuetab_put(s->scans, id, key);
        }
}

static void housekeeping(void *ctx, int64_t now_ns)
{
    struct scanner *s = ctx;
    const struct engine_counters *c = engine_counters(s->memory.engine);
    if (!s->missed_stats)
        counters_copy(s->in.counters, SCANNER_ENGINE, (const uint64_t *)c, sizeof *c / sizeof(uint64_t));
    if (s->saving && !s->missed && !s->ended)
        saving_housekeeping(s->saving, now_ns, &s->events);
    counter_set(s->in.counters, SCANNER_APPLIED_SEQ, s->applied_seq);
    counter_set(s->in.counters, SCANNER_EVENT_TIME_NS, (uint64_t)s->event_ns);
    uint64_t refused = c->rules_refused + c->rules_full + c->metrics_full + c->settings_refused;
    if (refused != s->refused)
        instance_log(&s->in, SET_LOG_LEVEL_ERROR, "refused: %s", engine_refusal(s->memory.engine));
    s->refused = refused;
    if (s->scans && !s->missed)
        show_values(s);
    bool interrupted = instance_interrupted(&s->in) && s->in.control->ingest_ended == 0;
    bool told = !s->values || s->values_told;
    if ((s->ended && told && s->memory.out.used == 0 &&
         (s->in.control->until_end || instance_stopping(&s->in))) ||
        interrupted)
        s->in.finished = true;
}

static int open_scanner(struct instance *in)
{
    struct scanner *s = (struct scanner *)in;
    struct error err;
    size_t bytes;
    struct rule_stats *stats = rule_stats_rows(workspace_rule_stats(in->ws, in->index));
    void *tick_mem = workspace_object(in->ws, "tick_ring", in->index, &bytes);
    struct ring *ticks = ring_join(tick_mem, bytes, &err);
    void *event_mem = workspace_object(in->ws, "event_ring", in->index, &bytes);
    struct ring *events = ticks ? ring_join(event_mem, bytes, &err) : NULL;
    s->stats = stats;
    s->scans = workspace_valuetab(in->ws);
    s->memory.asked = (instance_has_toplists(in) ? values_asked(in) : 0) + (s->scans ? SCAN_COLUMNS : 0);
    if (!events || ring_producer_join(&s->events, events, &err) < 0 ||
        engine_memory_open(&s->memory, in->settings, stats, &err) < 0 ||
        (instance_has_peers(in) && !(s->peers = peer_blocks_open(in, &err))) ||
        (instance_has_toplists(in) && !(s->values = values_open(in, s->memory.engine, &err)))) {
        instance_log(in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        return 1;
    }
    if (s->scans) {
        struct metric metric[SCAN_COLUMNS];
        scan_columns(metric);
        s->scans_first = engine_ask(s->memory.engine, metric, SCAN_COLUMNS);
    }
    ring_consumer_join(&s->ticks, ticks);
    s->symtab = workspace_symtab(in->ws);
    s->seen = calloc(2u * symtab_rows_max(s->symtab), sizeof *s->seen);
    if (!s->seen)
        abort();
    return 0;
}

static int close_scanner(struct instance *in)
{
    struct scanner *s = (struct scanner *)in;
    engine_memory_close(&s->memory);
    free(s->seen);
    values_close(s->values);
    peer_blocks_close(s->peers);
    saving_close(s->saving);
    catch_up_close(s->missed);
    free(s->missed_stats);
    return s->failed ? 1 : 0; /* the next one may find it readable */
}

const struct role_ops scanner_role = {.kind = ROLE_SCANNER,
                                      .bytes = sizeof(struct scanner),
                                      .open = open_scanner,
                                      .step = step,
                                      .housekeeping = housekeeping,
                                      .close = close_scanner};
