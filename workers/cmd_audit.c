#include "workers/cmd_audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/bucket.h"
#include "core/parts.h"
#include "net/capture.h"
#include "net/journal.h"
#include "workers/audit.h"
#include "workers/engine_memory.h"
#include "workers/instance.h"
#include "workers/peer_replay.h"
#include "workers/rule_names.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

const struct cli_option cmd_audit_options[] = {
    {.name = "dir", .arg = "DIR", .help = "the instance's directory", .kind = CLI_TEXT},
    {.name = "capture",
     .arg = "PATH",
     .help = "the capture that the instance ran from, if that was its source (else DIR/capture)",
     .kind = CLI_TEXT},
    {.name = "json", .help = "print it as JSON"},
    {0},
};

enum { BATCH = 4096, WAIT_MS = 5000 };

/* The journal, applied to an engine, against the outbox. */
struct proof {
    struct audit *a;
    struct engine_memory memory;
    struct peer_replay *peers;
    struct rule_names *names;
    struct parts parts;
    struct audit_stage *journal, *applied;
    struct audit_stage *outbox[AUDIT_KINDS]; /* by enum outbox_kind; NULL: it holds none of them */
    uint64_t count[MSG_TYPE_COUNT];
    uint64_t last_seq;
    bool damaged;                /* the journal could not be read to its end */
    uint32_t head[BUCKET_ALL];   /* the bucket's next event to be proved, index + 1; 0: none left */
    bool begun[BUCKET_ALL];      /* one was proved */
    uint64_t retention;          /* made, and before what the outbox keeps */
    uint64_t tail[AUDIT_KINDS];  /* made, and behind what the outbox has, by enum outbox_kind */
    bool tails;                  /* there are any */
    char tail_first[AUDIT_TEXT]; /* the first of them */
};

static const char *const outbox_stages[AUDIT_KINDS] = {[OUTBOX_ALERT] = "outbox alerts",
                                                       [OUTBOX_BAR] = "outbox bars",
                                                       [OUTBOX_ANOMALY] = "outbox anomalies",
                                                       [OUTBOX_HALT] = "outbox halts",
                                                       [OUTBOX_SHADOW] = "outbox shadow alerts"};

struct audit_stage *audit_stage_new(struct audit *a, const char *name)
{
    assert(a->n_stages < AUDIT_STAGES);
    struct audit_stage *s = &a->stage[a->n_stages++];
    s->name = name;
    return s;
}

static void audit_stages_new(struct audit *a, const char *const name[AUDIT_KINDS],
                             struct audit_stage *stage[AUDIT_KINDS])
{
    for (unsigned i = 0; i < AUDIT_KINDS; i++)
        stage[i] = name[i] ? audit_stage_new(a, name[i]) : NULL;
}

void audit_count(struct audit_stage *s, const char *reason, uint64_t n)
{
    unsigned i = 0;
    while (s->reason[i].name && strcmp(s->reason[i].name, reason))
        i++;
    if (n) {
        s->reason[i].name = reason;
        s->reason[i].n += n;
    }
}

static uint64_t reason_of(const struct audit_stage *s, const char *name)
{
    for (unsigned i = 0; i < AUDIT_REASONS && s->reason[i].name; i++)
        if (!strcmp(s->reason[i].name, name))
            return s->reason[i].n;
    return 0;
}

int audit_find(struct audit *a, struct audit_stage *s, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->faults += !s->unchecked;
    if (s->findings++ < AUDIT_FINDINGS) {
        json_t *what = json_stringn(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
        json_array_append_new(a->findings, json_pack("{s:s,s:o}", "stage", s->name, "what",
                                                     what ? what : json_string("(not UTF-8)")));
    }
    return -1;
}

static uint64_t digest_of(const char *json, size_t len)
{
    return XXH3_64bits(json, len);
}

int64_t audit_event_of(const struct audit *a, const char *json, size_t len)
{
    uint64_t digest = digest_of(json, len);
    for (uint32_t at = (uint32_t)digest & a->mask; a->places && a->places[at]; at = (at + 1) & a->mask)
        if (a->event[a->places[at] - 1].digest == digest)
            return a->places[at] - 1;
    return -1;
}

static const char *place_text(const struct audit *a, uint64_t seq, uint32_t symbol, char text[AUDIT_TEXT])
{
    bool known = symbol < a->names && a->name[symbol].len;
    snprintf(text, AUDIT_TEXT, "seq %" PRIu64 ", %.*s", seq, known ? (int)a->name[symbol].len : 1,
             known ? a->name[symbol].text : "?");
    return text;
}

const char *audit_event_text(const struct audit *a, uint32_t i, char text[AUDIT_TEXT])
{
    char place[AUDIT_TEXT];
    const struct audit_event *e = &a->event[i];
    snprintf(text, AUDIT_TEXT, "event %" PRIu64 " (%.120s)", a->first + i,
             place_text(a, e->seq, e->symbol, place));
    return text;
}

/* The outbox. */

static struct audit_event *add_event(struct audit *a)
{
    if (a->n == a->room) {
        a->room = a->room ? 2 * a->room : 1024;
        a->event = realloc(a->event, a->room * sizeof *a->event);
        if (!a->event)
            abort();
    }
    return &a->event[a->n++];
}

/* Names the places of all events by digest; the same JSON twice is the same event twice. */
static void index_events(const struct proof *p)
{
    struct audit *a = p->a;
    char text[AUDIT_TEXT], other[AUDIT_TEXT];
    a->mask = 1023;
    while (a->mask < 2 * (uint64_t)a->n)
        a->mask = 2 * a->mask + 1;
    if (!(a->places = calloc((size_t)a->mask + 1, sizeof *a->places)))
        abort();
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t at = (uint32_t)a->event[i].digest & a->mask;
        while (a->places[at] && a->event[a->places[at] - 1].digest != a->event[i].digest)
            at = (at + 1) & a->mask;
        if (a->places[at])
            audit_find(a, p->outbox[a->event[i].kind], "%s is the same as %s: it is there twice",
                       audit_event_text(a, i, text), audit_event_text(a, a->places[at] - 1, other));
        else
            a->places[at] = i + 1;
    }
}

static bool is_after(const struct audit_event *a, uint64_t seq, uint32_t symbol, uint32_t sub)
{
    if (a->seq != seq)
        return a->seq > seq;
    return a->symbol != symbol ? a->symbol > symbol : a->sub > sub;
}

/* All committed events: offsets without gap, each bucket's in the order of (seq, symbol, sub). */
static int read_outbox(struct proof *p, struct error *err)
{
    struct audit *a = p->a;
    struct outbox_record r;
    uint32_t last[BUCKET_ALL] = {0}; /* index + 1 */
    char text[AUDIT_TEXT], other[AUDIT_TEXT];
    int got;
    struct outbox_reader *reader = outbox_reader_open(a->outbox_dir, 0, &a->first, err);
    if (!reader)
        return -1;
    snprintf(a->outbox_id, sizeof a->outbox_id, "%s", outbox_reader_id(reader));
    while ((got = outbox_read(reader, &r, err)) > 0) {
        struct audit_stage *s = r.kind < AUDIT_KINDS ? p->outbox[r.kind] : NULL;
        if (!s) {
            got = error_set(err, "event %" PRIu64 " is of a kind that is none (%u)", r.offset, r.kind);
            break;
        }
        if (r.offset != a->first + a->n || a->n == UINT32_MAX - 1) {
            audit_find(a, s, "found event %" PRIu64 " after event %" PRIu64, r.offset, a->first + a->n - 1);
            break;
        }
        *add_event(a) = (struct audit_event){.seq = r.seq,
                                             .symbol = r.symbol,
                                             .sub = r.sub,
                                             .digest = digest_of(r.json, r.json_len),
                                             .bucket = r.bucket,
                                             .kind = r.kind};
        uint32_t before = last[r.bucket];
        last[r.bucket] = a->n;
        if (!before)
            p->head[r.bucket] = a->n;
        else
            a->event[before - 1].next = a->n;
        if (before && !is_after(&a->event[a->n - 1], a->event[before - 1].seq, a->event[before - 1].symbol,
                                a->event[before - 1].sub))
            audit_find(
                a, s, "%s comes after %s of the same bucket %u, which is not before it in (seq, symbol, sub)",
                audit_event_text(a, a->n - 1, text), audit_event_text(a, before - 1, other), r.bucket);
    }
    outbox_reader_close(reader);
    if (got < 0) {
        a->broken = true;
        audit_find(a, p->outbox[OUTBOX_ALERT], "after event %" PRIu64 ": %s", a->first + a->n, err->text);
    }
    return 0;
}

/* What the engine makes, against the outbox. */

/* Where the event's JSON and what the engine gives part. */
static void differs(struct proof *p, struct audit_stage *s, uint32_t i, const char *json, size_t len)
{
    struct outbox_record r;
    struct error err;
    uint64_t first;
    char text[AUDIT_TEXT];
    size_t at = 0;
    struct outbox_reader *reader = outbox_reader_open(p->a->outbox_dir, p->a->first + i, &first, &err);
    if (reader && outbox_read(reader, &r, &err) == 1) {
        while (at < len && at < r.json_len && json[at] == r.json[at])
            at++;
        audit_find(p->a, s,
                   "%s differs from what the engine gives: at byte %zu found '%.*s', expected '%.*s'",
                   audit_event_text(p->a, i, text), at, (int)(r.json_len - at < 40 ? r.json_len - at : 40),
                   r.json + at, (int)(len - at < 40 ? len - at : 40), json + at);
    } else {
        audit_find(p->a, s, "%s differs from what the engine gives", audit_event_text(p->a, i, text));
    }
    outbox_reader_close(reader);
}

/* An event of the outbox that the journal does not give. */
static void not_given(struct proof *p, uint32_t i)
{
    const struct audit_event *e = &p->a->event[i];
    struct audit_stage *s = p->outbox[e->kind];
    char text[AUDIT_TEXT];
    s->unexpected++;
    audit_find(p->a, s, "%s is in the outbox, and the journal %s", audit_event_text(p->a, i, text),
               e->seq > p->last_seq && !p->a->ended ? "ends before it" : "does not give it");
}

static void made(struct proof *p, uint16_t bucket, const struct msg *m, uint32_t sub, const char *json,
                 size_t len)
{
    struct audit *a = p->a;
    enum outbox_kind kind = outbox_kind_of(m);
    struct audit_stage *s = p->outbox[kind];
    uint32_t *head = &p->head[bucket];
    char text[AUDIT_TEXT];
    s->produced++;
    while (*head && !is_after(&a->event[*head - 1], m->seq, m->symbol, sub)) {
        const struct audit_event *e = &a->event[*head - 1];
        uint32_t i = *head - 1;
        *head = e->next;
        p->begun[bucket] = true;
        if (e->seq != m->seq || e->symbol != m->symbol || e->sub != sub) {
            not_given(p, i);
            continue;
        }
        s->delivered++;
        if (e->kind != kind || e->digest != digest_of(json, len))
            differs(p, s, i, json, len);
        return;
    }
    if (!*head) {
        if (!p->tails)
            place_text(a, m->seq, m->symbol, p->tail_first);
        p->tails = true;
        p->tail[kind]++;
    } else if (a->first && !p->begun[bucket]) {
        p->retention++;
        audit_count(s, "retention", 1);
    } else {
        audit_find(a, s, "an event is missing in the outbox before event %" PRIu64 ": %s, %.*s",
                   a->first + *head - 1, place_text(a, m->seq, m->symbol, text), (int)(len < 200 ? len : 200),
                   json);
    }
}

static int take(struct proof *p, uint16_t bucket, const struct msg *m)
{
    char json[EVENT_JSON_MAX];
    if (!outbox_is_event(m))
        return 0;
    const struct audit_name *n = &p->a->name[m->symbol];
    struct event_symbol symbol = {n->text, n->len, n->size_scale};
    bool alert = m->type == MSG_ALERT;
    uint32_t slot = alert ? ((const struct msg_alert *)m->first)->rule : 0;
    const struct event_rule *rule = alert ? rule_names_get(p->names, slot) : NULL;
    int len = event_json(m, rule, &symbol, json, sizeof json);
    if (len < 0)
        return audit_find(p->a, p->outbox[OUTBOX_ALERT],
                          "an alert of rule slot %u cannot be written: its rule is not in the journal", slot);
    made(p, bucket, m, event_sub(m), json, (size_t)len);
    return 0;
}

static int compared(void *ctx, const struct msg *m)
{
    return take(ctx, BUCKET_MARKET, m);
}

static int apply(struct proof *p, const struct msg *m, size_t n)
{
    struct engine_out *out = &p->memory.out;
    for (size_t at = 0; at < n;) {
        uint32_t span = msg_upto_clock(m + at, (uint32_t)(n - at));
        uint32_t done = (uint32_t)engine_apply(p->memory.engine, m + at, span, out);
        for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k]))
            if (take(p, p->a->name[out->slot[k].symbol].bucket, &out->slot[k]) < 0)
                return -1;
        out->used = 0;
        if (peer_replay_applied(p->peers, p->memory.engine, m + at, done, compared, p) < 0)
            return -1;
        at += done;
    }
    return 0;
}

/* The journal. */

static void learn(struct audit *a, const struct msg *m)
{
    struct audit_name *n;
    if (m->symbol >= a->names)
        return; /* the engine refuses it by limits.symbols too */
    n = &a->name[m->symbol];
    n->len = m->sym.name_len;
    n->bucket = m->sym.bucket;
    n->size_scale = m->sym.size_scale;
    msg_get(m, MSG_FIRST_BYTES, n->text, n->len);
}

/* Counts a record and looks at its place. -1: no engine can take it. */
static int see(struct proof *p, const struct msg *m)
{
    const char *fault = capture_record_fault(m);
    if (fault)
        return audit_find(p->a, p->journal, "message %" PRIu64 " is a %s that nobody can use: %s", m->seq,
                          msg_type_name(m->type), fault);
    if (m->type == MSG_SYMBOL)
        learn(p->a, m);
    if (m->type == MSG_RULE && parts_add(&p->parts, m) > 0)
        rule_names_add(p->names, m->part.id, p->parts.bytes, p->parts.len);
    if (!m->seq)
        return 0; /* in force where the journal begins, and no message of it */
    if (m->seq != p->last_seq + 1)
        audit_find(p->a, p->journal, "messages %" PRIu64 " to %" PRIu64 " are missing", p->last_seq + 1,
                   m->seq - 1);
    p->last_seq = m->seq;
    p->count[m->type]++;
    p->journal->delivered++;
    p->a->ended = m->type == MSG_END;
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whole records to the engine. */
static int take_messages(void *ctx, const struct msg *m, size_t n)
{
    struct proof *p = ctx;
    for (size_t at = 0; at < n; at += msg_slot_count(&m[at]))
        if (see(p, &m[at]) < 0)
            return -1;
    return apply(p, m, n);
}

/* What follows the journal's files in the workspace of an instance that was killed. */
static int read_staged(struct proof *p, const uint8_t node[SEGMENT_ID_BYTES])
{
    struct error err;
    uint64_t read = p->journal->delivered;
    if (!p->a->killed || p->a->ended)
        return 0;
    if (audit_read_staged(p->a, node, p->last_seq, take_messages, p, &err) < 0)
        return audit_find(p->a, p->journal, "%s", err.text);
    audit_count(p->journal, "staged", p->journal->delivered - read);
    return 0;
}

/* Reads the journal to its end; of a running instance until it has what the outbox is made of. */
static int read_journal(struct proof *p, struct journal_reader *r, uint64_t until_seq)
{
    static struct msg batch[BATCH];
    struct error err;
    int64_t n, deadline = now_ms() + WAIT_MS;
    for (;;) {
        while ((n = journal_read(r, batch, BATCH, &err)) > 0) {
            if (take_messages(p, batch, (size_t)n) < 0)
                return -1;
            deadline = now_ms() + WAIT_MS;
            if (p->a->alive && p->last_seq >= until_seq)
                return 0; /* what follows is not in the outbox that was read */
        }
        if (n < 0)
            return audit_find(p->a, p->journal, "after message %" PRIu64 ": %s", p->last_seq, err.text);
        if (!p->a->alive || !until_seq || now_ms() > deadline)
            return 0;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
}

static int open_journal(struct proof *p, struct journal_reader **r, struct error *err)
{
    char path[4200];
    const char *capture = cli_text(p->a->args, "capture", NULL);
    snprintf(path, sizeof path, "%s/capture", p->a->dir);
    if (!capture && access(path, F_OK))
        return error_set(err,
                         "%s: no journal there; expected the directory of an instance that keeps one "
                         "(journal.enabled); for one that ran from a capture give --capture PATH",
                         path);
    struct journal_reader_options o = {.in_force = true, .live = p->a->alive};
    *r = journal_reader_open(capture ? capture : path, &o, err);
    if (!*r && p->a->killed) { /* all of it may be staged */
        o.live = true;
        *r = journal_reader_open(capture ? capture : path, &o, err);
    }
    if (!*r)
        return -1;
    uint64_t first = journal_reader_info(*r)->first_seq;
    p->last_seq = first ? first - 1 : 0;
    audit_count(p->journal, "retention", p->last_seq);
    if (p->last_seq) {
        p->journal->unchecked = true;
        for (unsigned i = 0; i < AUDIT_KINDS; i++)
            if (p->outbox[i])
                p->outbox[i]->unchecked = true;
        audit_find(p->a, p->journal,
                   "it begins with message %" PRIu64
                   ": what came before is gone, and values that depend on it cannot be proved",
                   first);
    }
    return 0;
}

/* What is left when the journal is at its end. */
static void settle(struct proof *p)
{
    struct audit *a = p->a;
    for (unsigned b = 0; b < BUCKET_ALL; b++)
        for (uint32_t i = p->head[b]; i; i = a->event[i - 1].next) {
            const struct audit_event *e = &a->event[i - 1];
            struct audit_stage *s = p->outbox[e->kind];
            if (!p->damaged) {
                not_given(p, i - 1);
                continue;
            }
            s->produced++; /* by messages that cannot be read */
            audit_count(s, "behind the journal's damage", 1);
        }
    bool may_wait = (a->alive || !a->ended) && !a->broken;
    for (unsigned i = 0; i < AUDIT_KINDS; i++) {
        struct audit_stage *s = p->outbox[i];
        if (!s)
            continue;
        uint64_t gone = a->first > p->retention ? a->first - p->retention : 0;
        gone = gone < p->tail[i] ? gone : p->tail[i]; /* buckets of which nothing is kept */
        p->retention += gone;
        audit_count(s, "retention", gone);
        if (may_wait)
            audit_count(s, "not yet", p->tail[i] - gone);
        else if (p->tail[i] > gone)
            audit_find(a, s,
                       "%" PRIu64 " events are missing at the end of the outbox, the first of all at %s; %s",
                       p->tail[i] - gone, p->tail_first,
                       a->broken ? "the outbox is damaged"
                                 : "the run has ended and nothing runs: start it again with the same sources "
                                   "and rules to have them made");
    }
}

static int prove(struct proof *p, struct error *err)
{
    struct audit *a = p->a;
    struct journal_reader *r = NULL;
    uint64_t until = 0;
    if (open_journal(p, &r, err) < 0)
        return -1;
    for (uint32_t i = 0; i < a->n; i++)
        until = a->event[i].seq > until ? a->event[i].seq : until;
    p->damaged = read_journal(p, r, until) < 0 ||
                 read_staged(p, p->last_seq ? journal_reader_info(r)->node : NULL) < 0;
    journal_reader_close(r);
    uint64_t seen = p->journal->delivered;
    p->journal->produced = p->last_seq;
    p->journal->delivered -= reason_of(p->journal, "staged");
    const struct engine_counters *c = engine_counters(p->memory.engine);
    uint64_t refused = c->ignored + c->unknown_symbol + c->sum_overflow + c->symbols_full;
    p->applied->produced = seen;
    p->applied->delivered = seen - refused;
    audit_count(p->applied, "ignored", c->ignored);
    audit_count(p->applied, "unknown_symbol", c->unknown_symbol);
    audit_count(p->applied, "sum_overflow", c->sum_overflow);
    audit_count(p->applied, "symbols_full", c->symbols_full);
    settle(p);
    return 0;
}

/* The sinks. */

static const struct audit_sink_ops *const sink_kinds[] = {&audit_jsonl, &audit_redis, &audit_sqlite,
                                                          &audit_kafka, &audit_postgres};
enum { SINKS = sizeof sink_kinds / sizeof *sink_kinds };

int audit_node(const struct audit *a, const struct settings *s, char name[SETTING_TEXT_MAX],
               struct error *err)
{
    if (s->node_name[0]) {
        snprintf(name, SETTING_TEXT_MAX, "%s", s->node_name);
        return 0;
    }
    struct outbox_reader *o = outbox_reader_open(a->outbox_dir, 0, NULL, err);
    if (!o)
        return -1;
    snprintf(name, SETTING_TEXT_MAX, "%s", outbox_reader_id(o));
    outbox_reader_close(o);
    return 0;
}

void audit_sink_unread(struct audit *a, struct audit_sink *s, const struct error *err)
{
    for (unsigned i = 0; i < AUDIT_KINDS; i++)
        if (s->stage[i])
            s->stage[i]->unchecked = true;
    audit_find(a, s->stage[OUTBOX_ALERT], "%s", err->text);
}

static void open_sinks(struct audit *a, struct audit_sink sinks[SINKS])
{
    struct error err;
    for (unsigned i = 0; i < SINKS; i++) {
        const struct audit_sink_ops *k = sink_kinds[i];
        struct audit_sink *s = &sinks[i];
        if (!k->where(&a->args->settings)[0])
            continue;
        *s = (struct audit_sink){.name = k->name, .settings = &a->args->settings};
        audit_stages_new(a, k->stage, s->stage);
        if (k->open(a, s, &err) < 0)
            audit_sink_unread(a, s, &err);
    }
}

int64_t audit_sink_entry(struct audit *a, struct audit_sink *s, enum outbox_kind kind, const char *json,
                         size_t len, const char *where)
{
    int64_t i = audit_event_of(a, json, len);
    struct audit_stage *stage = s->stage[kind];
    char text[AUDIT_TEXT];
    if (i < 0 || a->event[i].kind != kind) {
        stage->unexpected++;
        audit_find(a, stage, "%s is no event of the outbox: %.*s", where, (int)(len < 120 ? len : 120), json);
        return -1;
    }
    audit_event_text(a, (uint32_t)i, text);
    if (s->times[i]) {
        stage->unexpected++;
        audit_find(a, stage, "%s is %s, which is there already", where, text);
    } else if (a->first + (uint64_t)i >= s->cursor.offset) {
        stage->unexpected++;
        audit_find(a, stage, "%s is %s, but the cursor is at %" PRIu64, where, text, s->cursor.offset);
    }
    s->times[i] += s->times[i] < 2;
    return i;
}

/* The letters of this sink that are of this outbox: events that its server refused. Marks them in `dead`. */
static void read_dead_letters(struct audit *a, struct audit_sink *s, uint8_t *dead)
{
    char path[4200], id[SINK_OUTBOX_ID_MAX + 1], *line = NULL;
    size_t room = 0;
    ssize_t n;
    uint64_t offset;
    snprintf(path, sizeof path, "%s/dead-letters/%s.jsonl", a->dir, s->name);
    FILE *f = fopen(path, "re");
    while (f && (n = getline(&line, &room, f)) > 0)
        if (sscanf(line, "{\"outbox\":\"%32[0-9a-f]\",\"offset\":%" SCNu64, id, &offset) == 2 &&
            !strcmp(id, a->outbox_id) && offset >= a->first && offset - a->first < a->n)
            dead[offset - a->first] = 1;
    free(line);
    if (f)
        fclose(f);
}

/* Every event before the cursor is there, or a letter is. */
static void settle_sink(struct audit *a, struct audit_sink *s)
{
    char text[AUDIT_TEXT];
    uint8_t *dead = calloc((size_t)a->n + 1, 1);
    if (!dead)
        abort();
    read_dead_letters(a, s, dead);
    for (uint32_t i = 0; i < a->n; i++) {
        struct audit_stage *stage = s->stage[a->event[i].kind];
        if (!stage)
            continue;
        stage->produced++;
        if (a->first + i >= s->cursor.offset)
            audit_count(stage, "not yet", 1);
        else if (s->times[i] == AUDIT_TRIMMED)
            audit_count(stage, "trimmed", 1);
        else if (s->times[i])
            stage->delivered++;
        else if (dead[i])
            audit_count(stage, "dead letter", 1);
        else
            audit_find(a, stage, "%s is missing; the cursor is at %" PRIu64, audit_event_text(a, i, text),
                       s->cursor.offset);
    }
    free(dead);
}

static void check_sinks(struct audit *a, struct audit_sink sinks[SINKS])
{
    for (unsigned i = 0; i < SINKS; i++) {
        struct audit_sink *s = &sinks[i];
        if (!s->name || s->stage[OUTBOX_ALERT]->unchecked)
            continue;
        uint64_t end = a->first + a->n;
        if (s->found && strcmp(s->cursor.outbox_id, a->outbox_id)) {
            audit_find(a, s->stage[OUTBOX_ALERT],
                       "its cursor is of outbox %s, expected %s: it has events of another instance, or of "
                       "this one before a restore",
                       s->cursor.outbox_id, a->outbox_id);
        } else if (s->cursor.offset > end && !a->broken) {
            audit_find(a, s->stage[OUTBOX_ALERT],
                       "its cursor is at %" PRIu64 ", but the outbox ends at %" PRIu64, s->cursor.offset,
                       end);
        }
        if (!(s->times = calloc((size_t)a->n + 1, 1)))
            abort();
        sink_kinds[i]->read(a, s);
        settle_sink(a, s);
        free(s->times);
        if (sink_kinds[i]->close)
            sink_kinds[i]->close(s);
    }
}

/* The report. */

enum verdict { HOLDS, UNPROVEN, FAILS };
static const char *const verdicts[] = {"holds", "not checked", "DOES NOT HOLD"};

static int64_t difference(const struct audit_stage *s)
{
    uint64_t counted = s->delivered;
    for (unsigned i = 0; i < AUDIT_REASONS; i++)
        counted += s->reason[i].n;
    return (int64_t)(s->produced - counted);
}

static enum verdict verdict_of(const struct audit_stage *s)
{
    if (s->faults)
        return FAILS;
    if (s->unchecked)
        return UNPROVEN;
    return s->unexpected || difference(s) ? FAILS : HOLDS;
}

static enum verdict verdict_of_all(const struct audit *a)
{
    enum verdict worst = HOLDS;
    for (unsigned i = 0; i < a->n_stages; i++)
        worst = verdict_of(&a->stage[i]) > worst ? verdict_of(&a->stage[i]) : worst;
    return worst;
}

static const char *state_of(const struct audit *a)
{
    return a->alive ? "running" : a->ended ? "ended" : "interrupted";
}

static void print_json(const struct proof *p)
{
    const struct audit *a = p->a;
    json_t *stages = json_array(), *messages = json_object();
    for (unsigned t = 0; t < MSG_TYPE_COUNT; t++)
        if (p->count[t])
            json_object_set_new(messages, msg_type_name(t), json_integer((json_int_t)p->count[t]));
    for (unsigned i = 0; i < a->n_stages; i++) {
        const struct audit_stage *s = &a->stage[i];
        json_t *reasons = json_object();
        for (unsigned k = 0; k < AUDIT_REASONS && s->reason[k].name; k++)
            json_object_set_new(reasons, s->reason[k].name, json_integer((json_int_t)s->reason[k].n));
        json_array_append_new(
            stages, json_pack("{s:s,s:I,s:I,s:o,s:I,s:I,s:I,s:s}", "stage", s->name, "produced",
                              (json_int_t)s->produced, "delivered", (json_int_t)s->delivered, "reasons",
                              reasons, "difference", (json_int_t)difference(s), "unexpected",
                              (json_int_t)s->unexpected, "findings", (json_int_t)s->findings, "verdict",
                              verdict_of(s) == HOLDS      ? "holds"
                              : verdict_of(s) == UNPROVEN ? "not checked"
                                                          : "does not hold"));
    }
    json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:o,s:o,s:O,s:b}", "dir", a->dir, "state", state_of(a), "outbox",
                          a->outbox_id, "last_seq", (json_int_t)p->last_seq, "messages", messages, "stages",
                          stages, "findings", a->findings, "holds", verdict_of_all(a) == HOLDS);
    json_dumpf(o, a->args->out, JSON_COMPACT);
    fputc('\n', a->args->out);
    json_decref(o);
}

static void print_text(const struct proof *p)
{
    const struct audit *a = p->a;
    FILE *out = a->args->out;
    fprintf(out, "%s (%s), messages 1 to %" PRIu64 ":", a->dir, state_of(a), p->last_seq);
    for (unsigned t = 0; t < MSG_TYPE_COUNT; t++)
        if (p->count[t])
            fprintf(out, " %s %" PRIu64, msg_type_name(t), p->count[t]);
    fprintf(out, "\n%-18s %12s %12s %12s %10s  %-14s %s\n", "stage", "produced", "delivered", "unexpected",
            "difference", "verdict", "counted");
    for (unsigned i = 0; i < a->n_stages; i++) {
        const struct audit_stage *s = &a->stage[i];
        fprintf(out, "%-18s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRId64 "  %-14s", s->name,
                s->produced, s->delivered, s->unexpected, difference(s), verdicts[verdict_of(s)]);
        for (unsigned k = 0; k < AUDIT_REASONS && s->reason[k].name; k++)
            fprintf(out, "%s %s %" PRIu64, k ? "," : "", s->reason[k].name, s->reason[k].n);
        fputc('\n', out);
    }
    size_t i;
    json_t *f;
    json_array_foreach(a->findings, i, f)
    {
        fprintf(out, "%s: %s\n", json_string_value(json_object_get(f, "stage")),
                json_string_value(json_object_get(f, "what")));
    }
    for (unsigned k = 0; k < a->n_stages; k++)
        if (a->stage[k].findings > AUDIT_FINDINGS)
            fprintf(out, "%s: and %" PRIu64 " more\n", a->stage[k].name,
                    a->stage[k].findings - AUDIT_FINDINGS);
}

/* Every row that was read is a message, or counted. Only ingest knows: told while its workspace is there, and
 * the source has come to its end. */
static void check_source(struct audit *a, struct workspace *ws)
{
    const struct control *c = workspace_object(ws, "control", 0, NULL);
    const struct source_stats *s = &c->stats;
    if (!atomics_load_acquire_u64(&c->ingest_ended) || c->stop || !c->journaled || s->rows == 0)
        return;
    struct audit_stage *stage = audit_stage_new(a, "source");
    uint64_t rejected = 0, skipped = 0;
    for (unsigned r = 0; r < REJECT_COUNT; r++)
        rejected += s->rejected[r];
    for (unsigned k = 0; k < SOURCE_SKIP_KINDS; k++)
        skipped += s->skipped[k].count;
    stage->produced = s->rows;
    stage->delivered =
        c->count[MSG_TRADE] + c->count[MSG_QUOTE] + c->count[MSG_CANCEL] + c->count[MSG_STATUS];
    audit_count(stage, "rejected", rejected);
    audit_count(stage, "skipped", skipped);
    audit_count(stage, "conflated", s->conflated);
}

/* Does the instance run? What was killed leaves its workspace. */
static void look_at_workspace(struct audit *a)
{
    struct error err;
    struct workspace *ws = workspace_join(a->dir, WORKSPACE_READ, instance_schema_hash(), &err);
    if (!ws)
        return;
    a->alive = workspace_alive(ws);
    a->killed = !a->alive;
    check_source(a, ws);
    workspace_leave(ws);
}

static int audit(struct proof *p)
{
    struct audit *a = p->a;
    struct audit_sink sinks[SINKS] = {0};
    struct error err;
    const struct cli_args *args = a->args;
    p->journal = audit_stage_new(a, "journal");
    p->applied = audit_stage_new(a, "engine");
    audit_stages_new(a, outbox_stages, p->outbox);
    look_at_workspace(a);
    open_sinks(a, sinks);
    if (read_outbox(p, &err) < 0)
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    if (engine_memory_open(&p->memory, &args->settings, NULL, &err) < 0)
        return cli_fail(args, CLI_FAILED, "%s", err.text);
    if (prove(p, &err) < 0)
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    index_events(p);
    check_sinks(a, sinks);
    if (cli_has(args, "json"))
        print_json(p);
    else
        print_text(p);
    static const int codes[] = {[HOLDS] = CLI_OK, [UNPROVEN] = CLI_FAILED, [FAILS] = CLI_DAMAGED};
    return codes[verdict_of_all(a)];
}

int cmd_audit(const struct cli_args *args)
{
    static struct audit a;
    static struct proof p;
    a.args = args;
    a.dir = cli_text(args, "dir", NULL);
    if (!a.dir)
        return cli_fail(args, CLI_USAGE, "no --dir; expected the directory of an instance");
    snprintf(a.outbox_dir, sizeof a.outbox_dir, "%s/outbox", a.dir);
    a.findings = json_array();
    a.names = (uint32_t)args->settings.limits_symbols;
    a.name = calloc(a.names, sizeof *a.name);
    if (!a.findings || !a.name)
        abort();
    p.a = &a;
    p.names = rule_names_new((uint32_t)args->settings.limits_rules);
    p.peers = peer_replay_new(a.names);
    int code = audit(&p);
    engine_memory_close(&p.memory);
    peer_replay_free(p.peers);
    rule_names_free(p.names);
    json_decref(a.findings);
    free(a.name);
    free(a.event);
    free(a.places);
    return code;
}
