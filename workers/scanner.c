/* A scanner role: its tick ring -> engine -> its event ring, and the symbol table's rows.
 *
 * Started where another one ended, it first applies from the journal what its ring gave to that one. Of the
 * events only those go on that may not be in the event ring yet: the last one there tells; the publisher
 * drops what it has.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/route.h"
#include "net/journal.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"
#include "workers/engine_memory.h"
#include "workers/instance.h"

enum { MISSED_BATCH = 4096 };

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
    int64_t event_ns; /* of the last tick or clock applied */
    bool ended, failed;
    /* what the ring gave before we came */
    uint64_t missed_seq; /* up to this message; 0: nothing, or it is applied */
    uint64_t sent_seq;   /* events before this one are in the event ring */
    struct journal_reader *journal;
    struct route route;
    uint32_t batch_n, batch_at;
    struct msg batch[MISSED_BATCH];
};

/* The latest trade and quote of each symbol of the span go to the symbol table, once each. */
static void show(struct scanner *s, const struct msg *m, uint32_t n)
{
    uint32_t rows = symtab_count(s->symtab);
    s->span++;
    for (uint32_t i = n; i-- > 0;) {
        const struct msg *x = &m[i];
        if ((x->flags & MSG_F_CONT) || x->symbol >= rows || (x->type != MSG_TRADE && x->type != MSG_QUOTE))
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
            struct engine_view v = engine_view(s->memory.engine, x->symbol);
            struct symtab_trade t = {.price_e9 = v.price_e9,
                                     .size = x->trade.size,
                                     .event_ns = x->event_ns,
                                     .day_volume = v.day_volume,
                                     .session = (uint8_t)v.session};
            symtab_set_trade(s->symtab, x->symbol, &t);
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
                symtab_set_live(s->symtab, x->symbol, &bar);
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

/* Reads the next missed messages that are ours; those of ours up to missed_seq are in the journal, or will be
 * within its interval. */
static int read_missed(struct scanner *s)
{
    struct error err;
    int64_t n = journal_read(s->journal, s->batch, MISSED_BATCH, &err);
    if (n < 0) {
        instance_log(&s->in, SET_LOG_LEVEL_ERROR, "cannot catch up: %s", err.text);
        s->in.finished = s->failed = true;
        return 0;
    }
    uint32_t kept = 0, slots;
    for (uint32_t at = 0; at < n && s->missed_seq; at += slots) {
        const struct msg *m = &s->batch[at];
        slots = msg_slot_count(m);
        if (m->type == MSG_SYMBOL && m->symbol < s->route.ids)
            s->route.bucket[m->symbol] = m->sym.bucket;
        if (m->seq >= s->missed_seq) { /* the last of them: what comes after it is in the ring */
            journal_reader_close(s->journal);
            bool past = m->seq > s->missed_seq;
            s->journal = NULL;
            s->missed_seq = 0;
            if (past)
                break;
        }
        if (!(route_of(&s->route, m) >> s->in.index & 1))
            continue;
        memmove(&s->batch[kept], m, slots * sizeof *m);
        s->batch[kept].recv_ns = 0; /* when it came is no matter any more */
        kept += slots;
    }
    s->batch_n = kept;
    s->batch_at = 0;
    return (int)n;
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

static int catch_up(struct scanner *s)
{
    if (s->batch_at == s->batch_n && s->missed_seq)
        return read_missed(s);
    uint32_t n = s->batch_n - s->batch_at;
    uint32_t done = (uint32_t)engine_apply(s->memory.engine, s->batch + s->batch_at, n, &s->memory.out);
    if (done) {
        const struct msg *m = s->batch + s->batch_at;
        show(s, m, done);
        s->applied_seq = m[done - 1].seq;
        s->ended = s->ended || m[done - 1].type == MSG_END;
    }
    s->batch_at += done;
    leave_out_sent(s);
    return (int)done + 1;
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
    if (s->missed_seq || s->batch_at < s->batch_n)
        return catch_up(s);
    const struct msg *m = ring_peek(&s->ticks, &n);
    if (!n)
        return 0;
    uint32_t done = (uint32_t)engine_apply(s->memory.engine, m, n, &s->memory.out);
    if (done) {
        show(s, m, done);
        s->applied_seq = m[done - 1].seq > s->applied_seq ? m[done - 1].seq : s->applied_seq;
        const struct msg *last = &m[done - 1];
        if (!(last->flags & MSG_F_CONT) && last->event_ns > s->event_ns)
            s->event_ns = last->event_ns;
        s->ended = s->ended || m[done - 1].type == MSG_END;
    }
    if (s->memory.out.used)
        stamp_receive(&s->memory.out, m, n);
    s->release = done;
    send(s);
    return (int)(done + 1);
}

static void housekeeping(void *ctx, int64_t now_ns)
{
    struct scanner *s = ctx;
    const struct engine_counters *c = engine_counters(s->memory.engine);
    (void)now_ns;
    counters_copy(s->in.counters, SCANNER_ENGINE, (const uint64_t *)c, sizeof *c / sizeof(uint64_t));
    counter_set(s->in.counters, SCANNER_APPLIED_SEQ, s->applied_seq);
    counter_set(s->in.counters, SCANNER_EVENT_TIME_NS, (uint64_t)s->event_ns);
    uint64_t refused = c->rules_refused + c->rules_full + c->metrics_full + c->settings_refused;
    if (refused != s->refused)
        instance_log(&s->in, SET_LOG_LEVEL_ERROR, "refused: %s", engine_refusal(s->memory.engine));
    s->refused = refused;
    bool interrupted = instance_interrupted(&s->in) && s->in.control->ingest_ended == 0;
    if ((s->ended && s->memory.out.used == 0 && (s->in.control->until_end || instance_stopping(&s->in))) ||
        interrupted)
        s->in.finished = true;
}

/* What has our ring given to one before us? */
static int find_missed(struct scanner *s, struct error *err)
{
    const struct topology *t = workspace_topology(s->in.ws);
    char path[4096];
    uint32_t n;
    const struct msg *m = ring_peek(&s->ticks, &n);
    const struct ring *r = s->ticks.ring;
    s->missed_seq = m ? m->seq - 1 : r->slots[(s->ticks.head - 1) & s->ticks.mask].seq;
    if (s->missed_seq == 0 || s->missed_seq == UINT64_MAX)
        return s->missed_seq = 0, 0;
    s->sent_seq = ring_last_seq(&s->events);
    s->route.ids = t->options.symbols_max;
    s->route.bucket = calloc(s->route.ids, sizeof *s->route.bucket);
    if (!s->route.bucket)
        abort();
    route_fill(&s->route, t->options.scanners, (enum bucket_table)s->in.settings->rings_bucket_table);
    snprintf(path, sizeof path, "%s/capture", s->in.options->dir);
    s->journal = journal_reader_open(path, &(struct journal_reader_options){.live = true}, err);
    if (!s->journal)
        return -1;
    if (journal_reader_info(s->journal)->first_seq > 1)
        return error_set(err, "%s begins with message %llu: what came before is gone, and with it the state",
                         path, (unsigned long long)journal_reader_info(s->journal)->first_seq);
    instance_log(&s->in, SET_LOG_LEVEL_INFO, "catching up to message %llu from %s",
                 (unsigned long long)s->missed_seq, path);
    return 0;
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
    memset(stats, 0, in->settings->limits_rules * sizeof *stats); /* counted anew, from the first message */
    if (!events || ring_producer_join(&s->events, events, &err) < 0 ||
        engine_memory_open(&s->memory, in->settings, stats, &err) < 0) {
        instance_log(in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        return 1;
    }
    ring_consumer_join(&s->ticks, ticks);
    s->symtab = workspace_symtab(in->ws);
    s->seen = calloc(2u * symtab_rows_max(s->symtab), sizeof *s->seen);
    if (!s->seen)
        abort();
    if (find_missed(s, &err) == 0)
        return 0;
    instance_log(in, SET_LOG_LEVEL_ERROR, "%s", err.text);
    return 2;
}

static int close_scanner(struct instance *in)
{
    struct scanner *s = (struct scanner *)in;
    engine_memory_close(&s->memory);
    free(s->seen);
    free(s->route.bucket);
    return s->failed ? 2 : 0;
}

const struct role_ops scanner_role = {.kind = ROLE_SCANNER,
                                      .bytes = sizeof(struct scanner),
                                      .open = open_scanner,
                                      .step = step,
                                      .housekeeping = housekeeping,
                                      .close = close_scanner};
