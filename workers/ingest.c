/* The ingest role: stream -> journal staging -> rings. It waits for a full ring or a journal that cannot be
 * written (its sources can wait), never for a sink.
 *
 * Started where another ingest ended, it goes on as if that had not died. The journal (with what staging
 * still held) says what was stamped. First all of it that a ring has not had goes there: a ring's last slot
 * tells. Then the stream is made again from its beginning, as sources, settings and rules alone decide it,
 * and what the journal has is left out; both must be the same, or the sources are not what they were. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <stdio.h>

#include "core/parts.h"
#include "core/route.h"
#include "net/checkpoint.h"
#include "net/journal.h"
#include "shm/msg_memory.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"
#include "workers/attribute_reload.h"
#include "workers/instance.h"
#include "workers/reload.h"
#include "workers/stream.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What is journaled, from the first message to the last that the journal had at the start, is put into rings;
 * is made again and left out; then new messages come. */
enum phase { PHASE_PUT_AGAIN, PHASE_MAKE_AGAIN, PHASE_GO_ON };

enum { CHUNK = 512 }; /* slots that go to journal and rings while they are in the first-level cache */

struct ingest {
    struct instance in;
    struct stream *stream;
    struct journal *journal;
    bool write_journal;
    uint32_t scanners;
    struct ring_producer ring[ROUTE_RINGS_MAX];
    uint64_t rings;  /* those there are, a bit each */
    bool may_lag;    /* rings.when_full = lag, and there is a journal */
    uint64_t behind; /* rings that lag, a bit each */
    uint64_t pushed_seq;
    uint64_t had_seq[ROUTE_RINGS_MAX]; /* the last message that each ring has had; 0: none */
    enum phase phase;
    struct journal_reader *before;    /* what was journaled before we came */
    uint64_t first_seq, last_seq;     /* of it; retention may have taken what came before */
    bool had_end;                     /* it ends with END */
    uint64_t counted[MSG_TYPE_COUNT]; /* of it */
    XXH3_state_t put, made;           /* digests of it, and of what is made again */
    struct route route;
    struct symtab *symtab;
    struct ruletab *ruletab;
    struct parts parts;
    struct msg batch[STREAM_ROOM];
    int n;                            /* slots in batch */
    int journaled;                    /* of them in the journal */
    int pushed;                       /* … in the rings */
    int64_t start_event_ns, start_ns; /* of pacing */
    uint64_t announced;               /* symbols, attributes, rules and settings so far */
    bool special;                     /* the batch has some */
    struct msg *in_force;             /* all that were journaled: for the start of a segment */
    size_t in_force_n, in_force_room;
    size_t *attributes_at;          /* by symbol: where its last ATTR lies there, + 1; 0: none */
    struct journal_keep_state kept; /* what was logged of it */
    struct reload *rules;           /* in force */
    struct attribute_reload *attributes;
    struct rules_log *rules_log; /* NULL without a journal */
    bool whole_start;            /* the instance starts, not only this role */
    bool stopped, ended, interrupted, failing, failed;
    const char *told; /* the source failure that was logged */
};

static int64_t now_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void log_line(void *ctx, const char *line)
{
    instance_log(ctx, SET_LOG_LEVEL_WARN, "%s", line);
}

/* Ends ingest, and with it the instance: nothing more can be trusted. */
static bool fail(struct ingest *g, const char *why)
{
    instance_log(&g->in, SET_LOG_LEVEL_ERROR, "%s", why);
    g->failed = true;
    g->n = g->journaled = g->pushed = 0;
    return false;
}

/* Symbols and rules are in their tables before a message that names them is in a ring. */
static void announce(struct ingest *g, const struct msg *m)
{
    attribute_reload_see(g->attributes, m);
    if (m->type == MSG_SYMBOL) {
        struct symtab_identity id = {.bucket = m->sym.bucket,
                                     .name_len = m->sym.name_len,
                                     .size_scale = m->sym.size_scale,
                                     .calendar = m->sym.calendar,
                                     .tick_e9 = m->sym.tick_e9};
        msg_get(m, MSG_FIRST_BYTES, id.name, id.name_len);
        g->route.bucket[m->symbol] = m->sym.bucket;
        if (symtab_find(g->symtab, id.name, id.name_len) < 0 && symtab_add(g->symtab, &id) < 0)
            instance_log(&g->in, SET_LOG_LEVEL_ERROR,
                         "symbol %s: the symbol table is full; raise limits.symbols", id.name);
    } else if (m->type == MSG_RULE && parts_add(&g->parts, m) > 0) {
        if (ruletab_put(g->ruletab, m->part.id, g->parts.bytes, g->parts.len, 0) < 0)
            instance_log(&g->in, SET_LOG_LEVEL_ERROR,
                         "rule slot %u: the rule table is full; raise limits.rules", m->part.id);
        reload_see(g->rules, m->part.id, g->parts.bytes, g->parts.len);
    }
}

/* A split does not: it scales what was before it, which a later segment does not have. */
static bool stays_in_force(const struct msg *m)
{
    return m->type == MSG_SYMBOL || m->type == MSG_RULE || m->type == MSG_SETTING ||
           (m->type == MSG_ATTR && m->attr.kind == ATTR_FACTS);
}

/* Attributes that are read again and again take no more room, if they are as long as those before. */
static bool remember_in_place(struct ingest *g, const struct msg *m)
{
    if (m->type != MSG_ATTR || m->symbol >= g->route.ids)
        return false;
    size_t at = g->attributes_at[m->symbol];
    g->attributes_at[m->symbol] = g->in_force_n + 1;
    if (!at || msg_slot_count(&g->in_force[at - 1]) != msg_slot_count(m))
        return false;
    g->attributes_at[m->symbol] = at;
    memcpy(&g->in_force[at - 1], m, msg_slot_count(m) * sizeof *m);
    return true;
}

/* Remembers what of m[0..n), which is journaled, is in force from now on. */
static void remember(struct ingest *g, const struct msg *m, int n)
{
    for (int at = 0; at < n; at += (int)msg_slot_count(&m[at])) {
        uint32_t slots = msg_slot_count(&m[at]);
        if (!stays_in_force(&m[at]) || remember_in_place(g, &m[at]))
            continue;
        if (g->in_force_n + slots > g->in_force_room) {
            g->in_force_room = 2 * g->in_force_room + 1024;
            g->in_force = msgs_grow(g->in_force, g->in_force_n, g->in_force_room);
        }
        memcpy(g->in_force + g->in_force_n, &m[at], slots * sizeof *m);
        g->in_force_n += slots;
    }
}

/* For the journal: whole records from slot `at` on. */
static size_t give_in_force(void *ctx, size_t at, struct msg *out, size_t max)
{
    const struct ingest *g = ctx;
    size_t n = 0;
    while (at + n < g->in_force_n && n + msg_slot_count(&g->in_force[at + n]) <= max)
        n += msg_slot_count(&g->in_force[at + n]);
    if (n)
        memcpy(out, g->in_force + at, n * sizeof *out);
    return n;
}

/* PHASE_PUT_AGAIN: the next messages of the journal, as if they had just been journaled. */
static bool read_before(struct ingest *g)
{
    struct error err;
    int64_t n = journal_read(g->before, g->batch, STREAM_ROOM, &err);
    if (n <= 0)
        return fail(g, n < 0 ? err.text : "the journal ends before its last message: it is damaged");
    bool in_force = g->batch[0].seq == 0; /* what retention took away has left that; it is in no ring's way */
    if (!in_force)
        XXH3_64bits_update(&g->put, g->batch, (size_t)n * sizeof *g->batch);
    for (int at = 0; at < n; at += (int)msg_slot_count(&g->batch[at])) {
        struct msg *m = &g->batch[at];
        if (m->type == MSG_SYMBOL || m->type == MSG_RULE || m->type == MSG_ATTR)
            announce(g, m);
        m->recv_ns = 0; /* when it came is no matter any more */
        g->had_end = m->type == MSG_END;
        g->counted[m->type] += !in_force;
    }
    remember(g, g->batch, (int)n);
    g->n = g->journaled = (int)n;
    g->pushed = in_force ? g->n : 0;
    if (in_force)
        return true;
    if (g->batch[n - 1].seq < g->last_seq)
        return true;
    journal_reader_close(g->before);
    g->before = NULL;
    g->phase = g->had_end ? PHASE_GO_ON : PHASE_MAKE_AGAIN;
    memset(&g->parts, 0, sizeof g->parts);               /* the journal may end within a rule */
    atomics_store_release_u64(&g->in.control->ready, 1); /* its symbols and rules are in their tables */
    if (g->had_end)
        instance_log(&g->in, SET_LOG_LEVEL_INFO,
                     "this run has ended: nothing more is read; what a sink lacks it gets");
    return true;
}

/* PHASE_MAKE_AGAIN: leaves out of the batch what the journal has. */
static bool leave_out(struct ingest *g)
{
    int known = 0, gone = 0;
    while (gone < g->n && g->batch[gone].seq < g->first_seq)
        gone += (int)msg_slot_count(&g->batch[gone]);
    known = gone;
    while (known < g->n && g->batch[known].seq <= g->last_seq)
        known += (int)msg_slot_count(&g->batch[known]);
    XXH3_64bits_update(&g->made, g->batch + gone, (size_t)(known - gone) * sizeof *g->batch);
    g->journaled = g->pushed = known;
    bool all = known < g->n || known == 0 || g->batch[known - 1].type == MSG_END ||
               stream_last_seq(g->stream) == g->last_seq;
    if (!all)
        return true;
    g->phase = PHASE_GO_ON;
    if (XXH3_64bits_digest(&g->put) == XXH3_64bits_digest(&g->made))
        return true;
    return fail(
        g, "the sources, rules or settings are not those of the run that was interrupted in this directory: "
           "give it the same again, or start a new run with another --dir");
}

static bool read_batch(struct ingest *g)
{
    if (g->phase == PHASE_PUT_AGAIN)
        return read_before(g);
    bool again = stream_is_inserting(g->stream) || stream_is_holding(g->stream);
    g->n = g->had_end ? 0 : stream_read(g->stream, g->batch, STREAM_ROOM);
    const uint64_t *count = stream_counts(g->stream);
    g->journaled = g->pushed = 0;
    if (g->phase == PHASE_MAKE_AGAIN && !leave_out(g))
        return false;
    uint64_t to_announce = count[MSG_SYMBOL] + count[MSG_ATTR] + count[MSG_RULE] + count[MSG_SETTING];
    g->special = again || g->announced != to_announce;
    for (int at = 0; g->special && at < g->n; at += (int)msg_slot_count(&g->batch[at]))
        if (g->batch[at].type == MSG_SYMBOL || g->batch[at].type == MSG_RULE || g->batch[at].type == MSG_ATTR)
            announce(g, &g->batch[at]);
    g->announced = to_announce;
    return g->n > 0;
}

/* How many slots from `at` on may go now: whole records, about a chunk, none that is ahead of the pace. */
static int allowed(struct ingest *g, int at)
{
    double speed = g->in.options->speed;
    int end = at;
    if (speed <= 0) {
        end = g->n - at < CHUNK ? g->n : at + CHUNK;
        while (end < g->n && (g->batch[end].flags & MSG_F_CONT))
            end++;
        return end - at;
    }
    int64_t until = INT64_MAX, now = now_ns(CLOCK_MONOTONIC);
    if (g->start_ns)
        until = g->start_event_ns + (int64_t)((double)(now - g->start_ns) * speed);
    while (end < g->n && end - at < CHUNK) {
        const struct msg *m = &g->batch[end];
        bool timed = msg_is_tick(m) || m->type == MSG_CLOCK;
        if (timed && m->event_ns > until)
            break;
        if (timed && g->start_ns == 0) {
            g->start_ns = now;
            g->start_event_ns = m->event_ns;
            until = m->event_ns;
        }
        end += (int)msg_slot_count(m);
    }
    return end - at;
}

/* Rings that were left behind and whose scanners are level take messages again from the next on. */
static void resume_rings(struct ingest *g)
{
    uint64_t seq = g->pushed_seq + 1;
    for (uint64_t left = g->behind; left; left &= left - 1) {
        uint32_t k = (uint32_t)__builtin_ctzll(left);
        struct ring_lag *lag = &g->in.control->lag[k];
        uint64_t level = atomics_load_acquire_u64(&lag->level);
        if (level < lag->from || level >= seq)
            continue;
        atomics_store_release_u64(&lag->resume, seq);
        atomics_store_release_u64(&lag->from, 0);
        g->behind &= ~(UINT64_C(1) << k);
    }
}

static void leave_behind(struct ingest *g, uint32_t k, uint64_t seq)
{
    g->behind |= UINT64_C(1) << k;
    atomics_store_release_u64(&g->in.control->lag[k].from, seq);
    counter_add(g->in.counters, INGEST_RING_LAGS, 1);
}

/* Nothing waits for the market role, which shows no second of what it lacks. */
static void lose_for_market(struct ingest *g, uint64_t seq)
{
    atomics_store_release_u64(&g->in.control->market_lost_seq, seq);
    counter_add(g->in.counters, INGEST_MARKET_LOST, 1);
}

/* Puts [pushed, journaled) into the rings that have not had it. False if one is full. */
static bool push_pending(struct ingest *g)
{
    if (g->rings == 1 && !g->may_lag) {
        while (g->pushed < g->journaled && g->batch[g->pushed].seq <= g->had_seq[0] && g->had_seq[0])
            g->pushed += (int)msg_slot_count(&g->batch[g->pushed]);
        g->pushed += (int)ring_put_n(&g->ring[0], g->batch + g->pushed, (uint32_t)(g->journaled - g->pushed));
        return g->pushed == g->journaled;
    }
    while (g->pushed < g->journaled) {
        const struct msg *m = &g->batch[g->pushed];
        uint64_t set = route_of(&g->route, m) & ~g->behind;
        for (uint64_t left = set; left; left &= left - 1)
            if (m->seq && m->seq <= g->had_seq[__builtin_ctzll(left)])
                set &= ~(left & -left);
        /* first see that each ring has room: a message is in all of its rings, or in none */
        for (uint64_t left = set; left; left &= left - 1)
            if (ring_room(&g->ring[__builtin_ctzll(left)], msg_slot_count(m)) < msg_slot_count(m)) {
                bool market = __builtin_ctzll(left) == ROUTE_MARKET;
                if (market)
                    lose_for_market(g, m->seq);
                else if (!g->may_lag)
                    return false;
                else
                    leave_behind(g, (uint32_t)__builtin_ctzll(left), m->seq);
                set &= ~(left & -left);
            }
        for (uint64_t left = set; left; left &= left - 1)
            if (ring_put(&g->ring[__builtin_ctzll(left)], m) != 0)
                abort(); /* there was room */
        g->pushed_seq = m->seq;
        g->pushed += (int)msg_slot_count(m);
    }
    return true;
}

static bool push(struct ingest *g)
{
    bool all = push_pending(g);
    uint64_t *told = &g->in.control->pushed_seq, seq = g->pushed ? g->batch[g->pushed - 1].seq : 0;
    if (seq > *told)
        atomics_store_release_u64(told, seq);
    return all;
}

static void poll_journal(struct ingest *g)
{
    journal_poll(g->journal, now_ns(CLOCK_REALTIME));
    atomics_store_release_u64(&g->in.control->durable_seq, journal_state(g->journal)->durable_seq);
}

/* ---- rules that change */

static volatile sig_atomic_t hangup;

static void on_hangup(int signal)
{
    (void)signal;
    hangup = 1;
}

/* A run of an older version has no log yet. */
static int log_change(struct ingest *g, uint64_t seq, const struct msg *m, uint32_t n, struct error *err)
{
    uint32_t opening_n;
    const struct msg *opening = stream_opening_rules(g->stream, &opening_n);
    if (!g->rules_log)
        return 0;
    if (g->rules_log->n == 0 && rules_log_add(g->rules_log, 0, opening, opening_n, err) < 0)
        return -1;
    return rules_log_add(g->rules_log, seq, m, n, err);
}

/* Reads a file of rules and makes what it changes the next messages. 0, or -1 with err: nothing changes. */
static int reload_rules(struct ingest *g, const char *file, struct reload_change *c, struct error *err)
{
    struct rules_file *f = rules_file_read(file, (double)g->in.settings->rules_cooldown_default, err);
    if (!f)
        return -1;
    int bad = reload_compare(g->rules, f, (uint32_t)g->in.settings->limits_rules, c, err);
    rules_file_free(f);
    if (bad || c->n == 0)
        return bad;
    int rest = g->n - g->journaled;
    uint64_t seq = rest ? g->batch[g->journaled].seq : stream_next_seq(g->stream);
    if (log_change(g, seq, c->m, c->n, err) < 0) {
        reload_change_free(c);
        return -1;
    }
    stream_insert(g->stream, &(struct rules_batch){.seq = seq, .n = c->n, .m = c->m}, g->batch + g->journaled,
                  rest);
    g->n = g->journaled;
    return 0;
}

static const char *attributes_path(const struct ingest *g)
{
    return g->in.options->attributes ? g->in.options->attributes : g->in.settings->symbols_attributes;
}

static struct attribute_file *load_attributes(struct ingest *g, const char *file, struct error *err)
{
    const char *market = g->in.settings->source_market;
    struct source_config config = {.market = *market ? market : NULL};
    return attribute_file_load(file, &config, log_line, &g->in, err);
}

/* The run's file of attributes, as it is now; *f is NULL if there is none. */
static int read_attributes(struct ingest *g, struct attribute_file **f, struct error *err)
{
    *f = NULL;
    if (!*attributes_path(g))
        return 0;
    return (*f = load_attributes(g, attributes_path(g), err)) ? 0 : -1;
}

/* From now on it holds, also for an ingest that comes after us. How many symbols change, or -1 with err. */
static int64_t hold_attributes(struct ingest *g, struct attribute_file *f, struct error *err)
{
    char kept[ATTRIBUTE_PATH_MAX];
    if (g->write_journal &&
        attribute_file_keep(ATTRIBUTES_NOW, attributes_path(g), g->in.options->dir, true, kept, err) < 0)
        return -1;
    int64_t changed = attribute_reload_count(g->attributes, f, g->symtab);
    attribute_reload_set(g->attributes, f);
    return changed;
}

/* What the file that holds says of symbols, and they were not given: the next messages. Not while some of
 * what was read is not journaled: its symbols may be among them. */
static void give_attributes(struct ingest *g)
{
    struct error err;
    uint32_t n;
    bool wait = g->phase != PHASE_GO_ON || g->journaled < g->n || g->stopped || g->had_end ||
                stream_is_inserting(g->stream) || stream_is_holding(g->stream);
    if (wait)
        return;
    struct msg *m = attribute_reload_take(g->attributes, g->symtab, &n);
    uint64_t seq = stream_next_seq(g->stream);
    if (!m)
        return;
    if (log_change(g, seq, m, n, &err) < 0) {
        instance_log(&g->in, SET_LOG_LEVEL_ERROR, "attributes: %s; they stay as they were", err.text);
        free(m);
        return;
    }
    stream_insert(g->stream, &(struct rules_batch){.seq = seq, .n = n, .m = m}, NULL, 0);
}

/* Rules of a file, if there is one, and attributes: both, or with err nothing. */
static int reload_all(struct ingest *g, const char *file, struct reload_change *c, int64_t *attributes,
                      struct error *err)
{
    struct attribute_file *f;
    *attributes = -1;
    if (stream_is_capture(g->stream))
        return error_set(err, "a capture's messages have their places already: rules do not change");
    if (g->had_end || g->stopped || g->ended)
        return error_set(err, "the stream has ended: nothing changes any more");
    if (read_attributes(g, &f, err) < 0)
        return -1;
    if (!*file && !f)
        return error_set(err, "the run has no file of rules; expected --rules FILE");
    if (*file && reload_rules(g, file, c, err) < 0) {
        if (f)
            attribute_file_free(f);
        return -1;
    }
    if (!f || (*attributes = hold_attributes(g, f, err)) >= 0)
        return 0;
    attribute_file_free(f);
    return error_prefix(err, "the attributes stay as they were");
}

static void say_change(char *out, size_t size, const char *file, const struct reload_change *c,
                       int64_t attributes)
{
    int n = 0;
    *out = 0;
    if (*file)
        n = snprintf(out, size, "%u added, %u changed, %u removed, %u unchanged", c->added, c->changed,
                     c->removed, c->unchanged);
    if (attributes >= 0)
        snprintf(out + n, size - (size_t)n, "%sattributes of %lld symbols changed", n ? "; " : "",
                 (long long)attributes);
}

/* By SIGHUP the run's own file, by `rules reload` that which it names. */
static void reload_asked(struct ingest *g, bool by_command)
{
    struct control *c = g->in.control;
    struct reload_change change = {0};
    struct error err = {""};
    int64_t attributes;
    char file[sizeof c->rules_file], text[sizeof c->rules_said];
    uint64_t asked = atomics_load_acquire_u64(&c->rules_asked);
    snprintf(file, sizeof file, "%.*s", (int)sizeof file - 1,
             by_command && c->rules_file[0] ? c->rules_file
             : g->in.options->rules         ? g->in.options->rules
                                            : "");
    if (!file[0] && !*attributes_path(g) && !by_command)
        return; /* a run without rules */
    bool bad = reload_all(g, file, &change, &attributes, &err) < 0;
    counter_add(g->in.counters, bad ? INGEST_RELOADS_REFUSED : INGEST_RELOADS, 1);
    say_change(text, sizeof text, file, &change, attributes);
    if (bad)
        instance_log(&g->in, SET_LOG_LEVEL_ERROR, "rules: %s; they stay as they were", err.text);
    else
        instance_log(&g->in, SET_LOG_LEVEL_INFO, "rules: %s (%s)", text, *file ? file : attributes_path(g));
    if (!by_command)
        return;
    snprintf(c->rules_said, sizeof c->rules_said, "%.*s", (int)sizeof c->rules_said - 1,
             bad ? err.text : text);
    c->rules_refused = bad;
    atomics_store_release_u64(&c->rules_done, asked);
}

/* Not between the parts of a rule. */
static bool reload_can_wait(const struct ingest *g)
{
    bool wait = g->phase != PHASE_GO_ON || stream_is_inserting(g->stream);
    for (int at = g->journaled; !wait && at < g->n; at += (int)msg_slot_count(&g->batch[at]))
        wait = g->batch[at].type == MSG_RULE || g->batch[at].type == MSG_ATTR;
    return wait;
}

static bool reload_is_asked(const struct ingest *g)
{
    return hangup || atomics_load_relaxed_u64(&g->in.control->rules_asked) != g->in.control->rules_done;
}

static void reload_step(struct ingest *g)
{
    struct control *c = g->in.control;
    if (instance_stopping(&g->in) || reload_can_wait(g))
        return; /* SIGHUP may tell of the supervisor's end */
    if (hangup) {
        hangup = 0;
        reload_asked(g, false);
    }
    if (atomics_load_acquire_u64(&c->rules_asked) != c->rules_done)
        reload_asked(g, true);
}

static int step(void *ctx, uint64_t ticks)
{
    struct ingest *g = ctx;
    (void)ticks;
    if (g->behind)
        resume_rings(g);
    if (__builtin_expect(reload_is_asked(g), 0))
        reload_step(g);
    if (__builtin_expect(attribute_reload_is_due(g->attributes), 0))
        give_attributes(g);
    if (g->ended)
        return 0;
    bool stopping = !g->stopped && instance_stopping(&g->in);
    if (stopping && instance_interrupted(&g->in)) { /* no END: the next run in this directory goes on */
        g->n = g->journaled = g->pushed = 0;
        g->ended = g->interrupted = true;
        return 0;
    }
    if (g->pushed < g->journaled && !push(g)) {
        counter_add(g->in.counters, INGEST_RING_FULL_WAITS, 1);
        return RUNLOOP_BACKPRESSURE;
    }
    if (stopping && g->phase == PHASE_GO_ON) { /* what waits for its time does not come any more */
        if (!g->had_end)
            stream_stop(g->stream, g->batch + g->journaled, g->n - g->journaled);
        g->n = g->journaled;
        g->stopped = true;
    }
    if (g->journaled == g->n && !read_batch(g)) {
        g->ended = true;
        g->in.control->ingest_end_ns = now_ns(CLOCK_MONOTONIC);
        return 0;
    }
    if (g->pushed < g->journaled)
        return push(g) ? g->n : RUNLOOP_BACKPRESSURE;
    if (g->journaled == g->n)
        return g->n; /* made again, all of it known */
    int n = g->stopped ? g->n - g->journaled : allowed(g, g->journaled);
    if (n == 0)
        return 0;
    if (g->write_journal) {
        size_t taken = journal_append(g->journal, g->batch + g->journaled, (size_t)n);
        if (taken < (size_t)n)
            poll_journal(g);
        if (taken == 0)
            return RUNLOOP_BACKPRESSURE;
        n = (int)taken;
        if (g->special)
            remember(g, g->batch + g->journaled, n);
        if (g->in.settings->journal_sync == SET_JOURNAL_SYNC_ALWAYS) /* somebody waits for it */
            poll_journal(g);
    }
    int64_t now = now_ns(CLOCK_REALTIME); /* when this host received them: for latency, never for results */
    for (int i = g->journaled; i < g->journaled + n; i++)
        if (!(g->batch[i].flags & MSG_F_CONT))
            g->batch[i].recv_ns = now;
    if (g->in.control->first_stamp_ns == 0)
        g->in.control->first_stamp_ns = now_ns(CLOCK_MONOTONIC);
    g->journaled += n;
    push(g);
    return n;
}

static void count(struct ingest *g)
{
    struct counters *c = g->in.counters;
    struct control *k = g->in.control;
    const uint64_t *n = g->had_end ? g->counted : stream_counts(g->stream);
    uint64_t skipped = 0;
    stream_stats(g->stream, &k->stats);
    for (unsigned t = 0; t < MSG_TYPE_COUNT; t++)
        counter_set(c, INGEST_MESSAGES + t, k->count[t] = n[t]);
    for (unsigned r = 0; r < REJECT_COUNT; r++)
        counter_set(c, INGEST_REJECTED + r, k->stats.rejected[r]);
    for (unsigned i = 0; i < SOURCE_SKIP_KINDS; i++)
        skipped += k->stats.skipped[i].count;
    counter_set(c, INGEST_ROWS_READ, k->stats.rows);
    counter_set(c, INGEST_BYTES_READ, k->stats.bytes);
    counter_set(c, INGEST_SKIPPED, skipped);
    counter_set(c, INGEST_CONFLATED, k->stats.conflated);
    counter_set(c, INGEST_SYMBOLS, stream_symbol_count(g->stream));
    counter_set(c, INGEST_RULES, ruletab_count(g->ruletab));
    counter_set(c, INGEST_LAST_SEQ, stream_last_seq(g->stream));
    counter_set(c, INGEST_EVENT_TIME_NS, stream_time(g->stream) > 0 ? (uint64_t)stream_time(g->stream) : 0);
    if (g->write_journal) {
        const struct journal_state *j = journal_state(g->journal);
        counter_set(c, INGEST_JOURNAL_BYTES, j->bytes);
        counter_set(c, INGEST_JOURNAL_BLOCKS, j->blocks);
        counter_set(c, INGEST_JOURNAL_WAITS, j->waits);
        counter_set(c, INGEST_DURABLE_SEQ, j->durable_seq);
        counter_set(c, INGEST_JOURNAL_FAILING, j->failing);
    }
}

/* What became of sealed segments, where it is news. */
static void log_keeping(struct ingest *g)
{
    const struct journal_keep_state *k = &journal_state(g->journal)->keep;
    if (k->failures != g->kept.failures)
        instance_log(&g->in, SET_LOG_LEVEL_WARN, "journal: %s", k->failure.text);
    if (k->held && !g->kept.held)
        instance_log(
            &g->in, SET_LOG_LEVEL_WARN,
            "journal: more than journal.retention_h or retention_mb allow is kept: checkpoints of every "
            "scanner or the sink of raw trades are not that far yet");
    g->kept = *k;
}

/* What retention must leave: what a scanner would need that has to come back, what the sink of raw trades has
 * not had, and what we still read ourselves. */
static void keep_journal(struct ingest *g)
{
    const struct control *c = g->in.control;
    uint64_t from = atomics_load_acquire_u64(&c->journal_needed_from);
    for (uint32_t k = 0; k < g->scanners; k++) {
        uint64_t seq = atomics_load_acquire_u64(&c->checkpoint_seq[k]);
        from = seq + 1 < from ? seq + 1 : from;
    }
    journal_keep_from(g->journal, g->before ? 0 : from);
}

/* All is on disk. Where it cannot be, the end waits for it like everything else, unless we are told to stop.
 */
static bool journal_done(struct ingest *g)
{
    struct error err;
    if (!g->write_journal || g->interrupted || g->failed || instance_stopping(&g->in))
        return true;
    return !journal_state(g->journal)->failing && journal_flush(g->journal, &err) == 0;
}

static void housekeeping(void *ctx, int64_t mono_ns)
{
    struct ingest *g = ctx;
    (void)mono_ns;
    if (g->write_journal) {
        keep_journal(g);
        poll_journal(g);
        const struct journal_state *j = journal_state(g->journal);
        if (j->failing != g->failing)
            instance_log(&g->in, j->failing ? SET_LOG_LEVEL_ERROR : SET_LOG_LEVEL_INFO, "journal: %s",
                         j->failing ? j->failure.text : "written again; nothing was lost");
        g->failing = j->failing;
        if (g->failing && instance_stopping(&g->in)) {
            instance_log(&g->in, SET_LOG_LEVEL_ERROR,
                         "journal: stopping although it cannot be written: what is staged is lost");
            g->ended = true;
        }
    }
    if (g->write_journal)
        log_keeping(g);
    count(g);
    if (stream_failure(g->stream) && !g->told) {
        g->told = stream_failure(g->stream);
        instance_log(&g->in, SET_LOG_LEVEL_ERROR, "%s", g->told);
    }
    bool owes = g->behind && !g->interrupted && !g->failed && !g->failing; /* word to scanners that lag */
    if (g->ended && !owes)
        g->in.finished = journal_done(g);
}

static bool sources_are_capture(const struct run_options *o)
{
    return o->n_sources == 1 && !strncmp(o->sources[0], "capture:", 8);
}

/* The journal, unless it is switched off or the source is a capture already. What it has from before comes
 * first. */
static int open_journal(struct ingest *g, struct error *err)
{
    const struct settings *s = g->in.settings;
    char path[4096];
    size_t bytes;
    void *staging = workspace_object(g->in.ws, "staging", 0, &bytes);
    struct journal_options o = {.segment_bytes = (uint64_t)s->journal_segment_mb << 20,
                                .block_bytes = (uint32_t)s->journal_block_kb << 10,
                                .sync = (enum journal_sync)s->journal_sync,
                                .interval_ns = s->journal_interval_ms * 1000000,
                                .now_ns = now_ns(CLOCK_REALTIME),
                                .staging = staging,
                                .staging_bytes = bytes,
                                .compress_level = s->journal_compress ? (int)s->journal_compress_level : 0,
                                .readers = true,
                                .retention_ns = s->journal_retention_h * 3600 * SECOND_NS,
                                .retention_bytes = (uint64_t)s->journal_retention_mb << 20,
                                .in_force = give_in_force,
                                .in_force_ctx = g};
    g->phase = PHASE_GO_ON;
    g->write_journal = s->journal_enabled && !sources_are_capture(g->in.options);
    if (!g->write_journal)
        return 0;
    g->may_lag = s->rings_when_full == SET_RINGS_WHEN_FULL_LAG;
    snprintf(path, sizeof path, "%s/capture", g->in.options->dir);
    if (!(g->journal = journal_open(path, &o, err)))
        return -1;
    if (g->in.control->journal_had_seq == 0)
        g->in.control->journal_had_seq = 1 + journal_last_seq(g->journal);
    atomics_store_release_u64(&g->in.control->journaled, 1);
    struct error found;
    if (journal_found(g->journal, &found))
        instance_log(&g->in, SET_LOG_LEVEL_WARN, "%s", found.text);
    g->last_seq = journal_last_seq(g->journal);
    if (g->last_seq == 0)
        return 0;
    if (!(g->before = journal_reader_open(path, &(struct journal_reader_options){.in_force = true}, err)))
        return -1;
    g->first_seq = journal_reader_info(g->before)->first_seq;
    g->phase = PHASE_PUT_AGAIN;
    XXH3_64bits_reset(&g->put);
    XXH3_64bits_reset(&g->made);
    instance_log(&g->in, SET_LOG_LEVEL_INFO, "going on after message %llu of %s",
                 (unsigned long long)g->last_seq, path);
    return 0;
}

static int open_ring(struct ingest *g, uint32_t place, const char *name, uint32_t k, struct error *err)
{
    size_t bytes;
    void *mem = workspace_object(g->in.ws, name, k, &bytes);
    struct ring *r = ring_join(mem, bytes, err);
    if (!r || ring_producer_join(&g->ring[place], r, err) < 0)
        return error_prefix(err, "%s %u", name, k);
    g->had_seq[place] = ring_last_seq(&g->ring[place]);
    g->rings |= UINT64_C(1) << place;
    return 0;
}

static int open_rings(struct ingest *g, struct error *err)
{
    const struct topology *t = workspace_topology(g->in.ws);
    g->scanners = t->options.scanners;
    g->symtab = workspace_symtab(g->in.ws);
    g->ruletab = workspace_ruletab(g->in.ws);
    g->route.ids = t->options.symbols_max;
    g->route.bucket = calloc(g->route.ids, sizeof *g->route.bucket);
    g->attributes_at = calloc(g->route.ids, sizeof *g->attributes_at);
    if (!g->route.bucket || !g->attributes_at)
        abort();
    route_fill(&g->route, g->scanners, (enum bucket_table)g->in.settings->rings_bucket_table);
    g->route.market = t->options.market & MARKET_TOPLISTS;
    if (g->route.market && open_ring(g, ROUTE_MARKET, "market_ring", 0, err))
        return -1;
    for (uint32_t k = 0; k < g->scanners; k++) {
        if (open_ring(g, k, "tick_ring", k, err))
            return -1;
        struct ring_lag *lag = &g->in.control->lag[k];
        if (lag->resume > lag->from) /* also if the one before us came no further than to say so */
            atomics_store_release_u64(&lag->from, 0);
        if (lag->from)
            g->behind |= UINT64_C(1) << k;
        else if (lag->resume > g->had_seq[k]) /* what comes before it is its scanner's to read */
            g->had_seq[k] = lag->resume - 1;
    }
    return 0;
}

/* Now that the journal's end is known: checkpoints of what it has not do not count, and rings that are new
 * have had, by way of the journal, all of it. */
static int settle(struct ingest *g, struct error *err)
{
    struct control *c = g->in.control;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/checkpoints", g->in.options->dir);
    if (atomics_load_acquire_u64(&c->ready))
        return 0;
    if (g->write_journal && checkpoint_cut(dir, g->last_seq, err))
        return -1;
    for (uint64_t left = g->last_seq ? g->rings : 0; left; left &= left - 1) {
        uint32_t k = (uint32_t)__builtin_ctzll(left);
        if (g->had_seq[k] == 0) {
            ring_seed(&g->ring[k], g->last_seq);
            g->had_seq[k] = g->last_seq;
        }
    }
    if (g->write_journal)
        memcpy(c->journal_node, journal_node(g->journal), sizeof c->journal_node);
    if (g->phase != PHASE_PUT_AGAIN)
        atomics_store_release_u64(&c->ready, 1);
    return 0;
}

/* A run that goes on takes its rules from its log: their file may be another one by now. */
static int open_rules_log(struct ingest *g, struct stream_options *o, struct error *err)
{
    if (!g->write_journal)
        return 0;
    if (!(g->rules_log = rules_log_open(g->in.options->dir, g->last_seq == 0, err)))
        return -1;
    if (g->rules_log->n)
        o->opening_rules = &g->rules_log->batch[0];
    return 0;
}

/* So it is with its attributes: their file may be tomorrow's by now. */
static int open_attributes(struct ingest *g, struct stream_options *o, char kept[ATTRIBUTE_PATH_MAX],
                           struct error *err)
{
    const char *file = attributes_path(g), *dir = g->in.options->dir;
    struct attribute_file *now = NULL;
    bool anew = g->last_seq == 0;
    if (!g->write_journal)
        return 0;
    if (attribute_file_keep(ATTRIBUTES_NOW, "", dir, anew, kept, err) < 0 ||
        (*kept && !(now = load_attributes(g, kept, err))))
        return -1;
    if (now)
        attribute_reload_set(g->attributes, now);
    if (attribute_file_keep(ATTRIBUTES_AT_FIRST, file, dir, anew, kept, err) < 0)
        return -1;
    if (g->whole_start && g->last_seq && (*file || *kept))
        instance_log(&g->in, SET_LOG_LEVEL_INFO, "going on with %s",
                     *kept ? kept : "no attributes, as this run began");
    o->attributes = kept;
    return 0;
}

/* An instance that is started again with other rules than those in force is another run. */
static int check_rules(struct ingest *g, struct error *err)
{
    struct reload *in_force = reload_new();
    struct reload_change c = {0};
    struct parts *parts = calloc(1, sizeof *parts);
    struct rules_file *f = NULL;
    const char *file = g->in.options->rules;
    if (!parts)
        abort();
    for (uint32_t i = 0; i < g->rules_log->n; i++) {
        const struct rules_batch *b = &g->rules_log->batch[i];
        for (uint32_t at = 0; at < b->n; at += msg_slot_count(&b->m[at]))
            if (b->m[at].type == MSG_RULE && parts_add(parts, &b->m[at]) > 0)
                reload_see(in_force, b->m[at].part.id, parts->bytes, parts->len);
    }
    int bad =
        file && !(f = rules_file_read(file, (double)g->in.settings->rules_cooldown_default, err)) ? -1 : 0;
    struct rules_file none = {0};
    if (!bad)
        bad = reload_compare(in_force, f ? f : &none, UINT32_MAX, &c, err);
    if (!bad && c.n)
        bad =
            error_set(err,
                      "the rules are not those of the run that was interrupted in this directory (%u added, "
                      "%u changed, %u removed): give it the same again and then `ringtape rules reload`, or "
                      "start a new run with another --dir",
                      c.added, c.changed, c.removed);
    reload_change_free(&c);
    rules_file_free(f);
    reload_free(in_force);
    free(parts);
    return bad;
}

/* The log of a new run begins with the rules that open it; that of one that goes on says what came later. */
static int begin_rules_log(struct ingest *g, struct error *err)
{
    uint32_t n;
    if (!g->rules_log)
        return 0;
    if (g->rules_log->n) {
        for (uint32_t i = 1; i < g->rules_log->n; i++)
            stream_insert(g->stream, &g->rules_log->batch[i], NULL, 0);
        return g->whole_start ? check_rules(g, err) : 0;
    }
    const struct msg *m = stream_opening_rules(g->stream, &n);
    return g->last_seq ? 0 : rules_log_add(g->rules_log, 0, m, n, err);
}

static int open_ingest(struct instance *in)
{
    struct ingest *g = (struct ingest *)in;
    const struct run_options *o = in->options;
    struct error err;
    char attributes[ATTRIBUTE_PATH_MAX];
    struct stream_options so = {.sources = o->sources,
                                .n_sources = o->n_sources,
                                .rules = o->rules,
                                .history = o->history,
                                .attributes = o->attributes,
                                .override = o->override,
                                .first_seq = 1,
                                .settings = o->settings,
                                .log = log_line,
                                .log_ctx = in};
    struct sigaction on = {.sa_handler = on_hangup};
    sigaction(SIGHUP, &on, NULL);
    g->rules = reload_new();
    g->attributes = attribute_reload_new(workspace_topology(in->ws)->options.symbols_max);
    g->whole_start = !atomics_load_acquire_u64(&in->control->ready);
    errno = 0;
    if (open_rings(g, &err) == 0 && open_journal(g, &err) == 0 && open_rules_log(g, &so, &err) == 0 &&
        open_attributes(g, &so, attributes, &err) == 0 && (g->stream = stream_open(&so, &err)) &&
        begin_rules_log(g, &err) == 0 && settle(g, &err) == 0)
        return 0;
    return instance_open_failed(in, errno, &err);
}

static int close_ingest(struct instance *in)
{
    struct ingest *g = (struct ingest *)in;
    struct error err;
    if (g->failed)
        return 2;
    if (g->interrupted) /* as if killed: staging has what the files lack */
        return 0;
    int code = stream_failure(g->stream) ? 3 : 0;
    if (g->write_journal && journal_flush(g->journal, &err) < 0) {
        instance_log(in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        code = 1;
    }
    count(g);
    if (g->write_journal)
        atomics_store_release_u64(&in->control->durable_seq, journal_state(g->journal)->durable_seq);
    if (g->write_journal && journal_close(g->journal, &err) < 0)
        code = 1;
    atomics_store_release_u64(&in->control->ingest_ended, stream_failure(g->stream) ? 2 : 1);
    stream_close(g->stream);
    return code;
}

const struct role_ops ingest_role = {.kind = ROLE_INGEST,
                                     .bytes = sizeof(struct ingest),
                                     .open = open_ingest,
                                     .step = step,
                                     .housekeeping = housekeeping,
                                     .close = close_ingest};
