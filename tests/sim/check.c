#include "tests/sim/check.h"

#include "core/parts.h"
#include "net/calendar.h"
#include "net/journal.h"
#include "net/outbox.h"
#include "tests/sim/process.h"
#include "tests/sim/server.h"
#include "workers/engine_memory.h"
#include "workers/rule_names.h"
#include "workers/stream.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SYMBOLS = 32, READ_SLOTS = 1024 };

size_t check_events, check_messages;
uint64_t check_seed;
bool check_verbose;
static struct msg *message; /* without receive times */
static size_t n_slots;
static struct delivered *event[SYMBOLS];
static size_t n_events[SYMBOLS];
static struct error err;

void check_fail(const char *format, ...)
{
    va_list ap;
    process_print_notes(check_verbose ? UINT_MAX : 40);
    printf("# ");
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\nSEED=%" PRIu64 "\n", check_seed);
    fflush(NULL);
    _Exit(1);
}

static void add_event(const struct msg *m, struct rule_names *names, const struct source_symbol *s)
{
    char json[EVENT_JSON_MAX];
    struct event_symbol symbol = {s->name, s->name_len, s->size_scale};
    const struct msg_alert *a = (const struct msg_alert *)m->first;
    const struct event_rule *rule = m->type == MSG_ALERT ? rule_names_get(names, a->rule) : NULL;
    int len = event_json(m, rule, &symbol, json, sizeof json);
    if (len < 0 || m->symbol >= SYMBOLS)
        check_fail("the expected pass: an event cannot be written");
    size_t *n = &n_events[m->symbol];
    event[m->symbol] = realloc(event[m->symbol], (*n + 1) * sizeof **event);
    event[m->symbol][(*n)++] = (struct delivered){.seq = m->seq,
                                                  .symbol = m->symbol,
                                                  .sub = event_sub(m),
                                                  .kind = outbox_kind_of(m),
                                                  .json = strndup(json, (size_t)len)};
    check_events++;
}

static void add_messages(const struct msg *m, int n, struct parts *parts, struct rule_names *names)
{
    message = realloc(message, (n_slots + (size_t)n) * sizeof *message);
    memcpy(message + n_slots, m, (size_t)n * sizeof *m);
    for (int at = 0; at < n; at += (int)msg_slot_count(&m[at])) {
        message[n_slots + (size_t)at].recv_ns = 0;
        check_messages++;
        if (m[at].type == MSG_RULE && parts_add(parts, &m[at]) > 0)
            rule_names_add(names, m[at].part.id, parts->bytes, parts->len);
    }
    n_slots += (size_t)n;
}

void check_expect(const struct market *m)
{
    static struct msg batch[STREAM_ROOM];
    struct parts *parts = calloc(1, sizeof *parts);
    struct engine_memory memory;
    const char *source = m->source;
    struct stream_options o = {
        .sources = &source, .n_sources = 1, .rules = m->rules, .first_seq = 1, .settings = &m->settings};
    struct stream *s = calendar_init(&err) < 0 ? NULL : stream_open(&o, &err);
    if (!s || engine_memory_open(&memory, &m->settings, NULL, &err) < 0)
        check_fail("the expected pass: %s", err.text);
    struct rule_names *names = rule_names_new((uint32_t)m->settings.limits_rules);
    for (int n; (n = stream_read(s, batch, STREAM_ROOM)) > 0;) {
        add_messages(batch, n, parts, names);
        for (int at = 0; at < n;) {
            at += (int)engine_apply(memory.engine, batch + at, (size_t)(n - at), &memory.out);
            for (uint32_t k = 0; k < memory.out.used; k += msg_slot_count(&memory.out.slot[k]))
                if (memory.out.slot[k].type != MSG_END)
                    add_event(&memory.out.slot[k], names, stream_symbol(s, memory.out.slot[k].symbol));
            memory.out.used = 0;
        }
    }
    if (stream_failure(s) || *engine_refusal(memory.engine))
        check_fail("the expected pass: %s",
                   stream_failure(s) ? stream_failure(s) : engine_refusal(memory.engine));
    engine_memory_close(&memory);
    rule_names_free(names);
    stream_close(s);
    free(parts);
}

/* The journal: message by message that of the pass, from the first; all of it, or as far as it goes. Returns
 * the last seq. */
static uint64_t check_journal(const struct market *m, bool all)
{
    char path[128];
    struct msg got[READ_SLOTS];
    size_t at = 0;
    int64_t n;
    snprintf(path, sizeof path, "%s/capture", m->instance);
    struct journal_reader *r = journal_reader_open(path, &(struct journal_reader_options){0}, &err);
    if (!r)
        check_fail("journal: %s", err.text);
    while ((n = journal_read(r, got, READ_SLOTS, &err)) > 0)
        for (int64_t i = 0, slots; i < n; i += slots) {
            slots = msg_slot_count(&got[i]);
            if (got[i].seq == 0)
                continue; /* in force */
            got[i].recv_ns = 0;
            if (at == n_slots)
                check_fail("journal: message %" PRIu64 " is one too many", got[i].seq);
            if (memcmp(&got[i], &message[at], (size_t)slots * sizeof *got))
                check_fail(
                    "journal: found message %" PRIu64 " (%s), expected %" PRIu64 " (%s), the same bytes",
                    got[i].seq, msg_type_name(got[i].type), message[at].seq, msg_type_name(message[at].type));
            at += (size_t)slots;
        }
    if (all && n < 0) /* else: what is torn, nobody has repaired yet */
        check_fail("journal: %s", err.text);
    if (all && (at < n_slots || *journal_reader_note(r)))
        check_fail("journal: ends after message %" PRIu64 " of %zu (%s)", at ? message[at - 1].seq : 0,
                   check_messages, journal_reader_note(r));
    journal_reader_close(r);
    return at ? message[at - 1].seq : 0;
}

/* Each symbol's events in order, each once. */
static void check_event(const char *where, size_t next[SYMBOLS], const struct delivered *e, size_t place)
{
    if (e->offset != place)
        check_fail("%s: found offset %" PRIu64 ", expected %zu", where, e->offset, place);
    if (e->symbol >= SYMBOLS || next[e->symbol] == n_events[e->symbol])
        check_fail("%s: event %zu (seq %" PRIu64 ") is one too many: %s", where, place, e->seq, e->json);
    const struct delivered *w = &event[e->symbol][next[e->symbol]++];
    if (e->seq != w->seq || e->sub != w->sub || e->kind != w->kind || strcmp(e->json, w->json))
        check_fail("%s: at offset %zu found seq %" PRIu64 ".%u %s\n# expected seq %" PRIu64 ".%u %s", where,
                   place, e->seq, e->sub, e->json, w->seq, w->sub, w->json);
}

static void check_all(const char *where, const size_t next[SYMBOLS])
{
    for (unsigned i = 0; i < SYMBOLS; i++)
        if (next[i] != n_events[i])
            check_fail("%s: symbol %u has %zu of %zu events", where, i, next[i], n_events[i]);
}

static void check_outbox(const struct market *m)
{
    char path[128];
    size_t next[SYMBOLS] = {0}, place = 0;
    struct outbox_record r;
    uint64_t first;
    int got;
    snprintf(path, sizeof path, "%s/outbox", m->instance);
    struct outbox_reader *reader = outbox_reader_open(path, 0, &first, &err);
    if (!reader)
        check_fail("outbox: %s", err.text);
    while ((got = outbox_read(reader, &r, &err)) > 0) {
        struct delivered e = {r.offset, r.seq, r.symbol, r.sub, r.kind, strndup(r.json, r.json_len)};
        check_event("outbox", next, &e, place++);
        free(e.json);
    }
    if (got < 0)
        check_fail("outbox: %s", err.text);
    check_all("outbox", next);
    outbox_reader_close(reader);
}

/* Unless synced never: what was said to be durable is there. sync = always: nothing was sent whose cause the
 * disk did not have. Whatever the policy, the disk has a part of the stream from its start, or nothing. */
void check_power_cut(const struct market *m, uint64_t durable_seq)
{
    uint64_t sent = 0;
    if (m->settings.journal_sync == SET_JOURNAL_SYNC_NEVER)
        return;
    for (size_t i = 0; i < server_count && m->settings.journal_sync == SET_JOURNAL_SYNC_ALWAYS; i++)
        sent = server_list[i].seq > sent ? server_list[i].seq : sent;
    if (sent == 0 && durable_seq == 0)
        return;
    uint64_t last = check_journal(m, false);
    if (sent > last)
        check_fail("sync = always: an event of message %" PRIu64 " was sent, the journal ends with %" PRIu64,
                   sent, last);
    if (durable_seq > last)
        check_fail("message %" PRIu64 " was durable, the journal ends with %" PRIu64, durable_seq, last);
}

void check_end(const struct market *m)
{
    size_t next[SYMBOLS] = {0};
    check_journal(m, true);
    check_outbox(m);
    for (size_t i = 0; i < server_count; i++)
        check_event("server", next, &server_list[i], i);
    check_all("server", next);
}
