#include "net/sink_source.h"

#include "net/event_json.h"
#include "net/journal.h"
#include "shm/msg_memory.h"
#include "shm/symtab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outbox_source {
    struct outbox_reader *reader;
    const char *dir;
    uint64_t next;
};

static void outbox_source_close(void *reader)
{
    struct outbox_source *o = reader;
    if (o->reader)
        outbox_reader_close(o->reader);
    free(o);
}

/* As sink_source.open of what was replaced behind its writer's back. */
static void *replaced(const char *what, const struct sink_config *c, const char *found, struct error *err)
{
    error_set(err, "the %s in %s is %s, expected %s: it was replaced while it was in use; restart", what,
              c->outbox_dir, found, c->outbox_id);
    return NULL;
}

static void *outbox_source_open(const struct sink_config *config, uint64_t from, uint64_t *first,
                                struct error *err)
{
    struct outbox_source *o = calloc(1, sizeof *o);
    if (!o) {
        error_set(err, "no memory");
        return NULL;
    }
    o->dir = config->outbox_dir;
    o->reader = outbox_reader_open(config->outbox_dir, from, first, err);
    if (o->reader && !strcmp(outbox_reader_id(o->reader), config->outbox_id)) {
        o->next = *first > from ? *first : from;
        return o;
    }
    if (o->reader)
        replaced("outbox", config, outbox_reader_id(o->reader), err);
    outbox_source_close(o);
    return NULL;
}

static int outbox_source_read(void *reader, uint64_t end, struct outbox_record *record, uint64_t *next,
                              struct error *err)
{
    struct outbox_source *o = reader;
    *next = o->next;
    int got = o->next < end ? outbox_read(o->reader, record, err) : 0;
    if (got <= 0)
        return got;
    if (record->offset != o->next)
        return error_set(err, "the outbox in %s gave event %" PRIu64 ", expected event %" PRIu64, o->dir,
                         record->offset, o->next);
    *next = ++o->next;
    return 1;
}

const struct sink_source sink_source_outbox = {
    .name = "outbox", .open = outbox_source_open, .read = outbox_source_read, .close = outbox_source_close};

enum { JOURNAL_SLOTS = 512, TICK_BYTES = 1024 };

struct journal_source {
    const struct sink_config *config;
    struct journal_reader *reader;
    uint64_t next; /* seqs before it are done with */
    size_t n, at;  /* slots read, and done with */
    char json[TICK_BYTES];
    struct msg slot[JOURNAL_SLOTS];
};

void sink_source_journal_id(const uint8_t *node, char out[SINK_OUTBOX_ID_MAX + 1])
{
    _Static_assert(2 * SEGMENT_ID_BYTES == SINK_OUTBOX_ID_MAX, "an id of the journal is one of a cursor");
    for (int i = 0; i < SEGMENT_ID_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", node[i]);
}

static void journal_source_close(void *reader)
{
    struct journal_source *j = reader;
    journal_reader_close(j->reader);
    free(j);
}

static void *journal_source_open(const struct sink_config *config, uint64_t from, uint64_t *first,
                                 struct error *err)
{
    const struct journal_reader_options options = {.from_seq = from, .live = true};
    char id[SINK_OUTBOX_ID_MAX + 1];
    struct journal_source *j = msg_holder_new(sizeof *j);
    if (!j) {
        error_set(err, "no memory");
        return NULL;
    }
    j->config = config;
    j->reader = journal_reader_open(config->outbox_dir, &options, err);
    const struct journal_info *info = j->reader ? journal_reader_info(j->reader) : NULL;
    if (info && !info->first_seq)
        error_set(err, "the journal in %s has no message yet", config->outbox_dir);
    if (info && info->first_seq) {
        sink_source_journal_id(info->node, id);
        if (!strcmp(id, config->outbox_id)) {
            /* the first seq is 1: there is nothing at 0 that could be missing */
            j->next = *first = info->first_seq > 1 && info->first_seq > from ? info->first_seq : from;
            return j;
        }
        replaced("journal", config, id, err);
    }
    journal_source_close(j);
    return NULL;
}

/* 1, or 0 with err where the symbol table does not have the name yet: after a restart ingest fills it anew.
 */
static int give_trade(struct journal_source *j, const struct msg *m, struct outbox_record *record,
                      struct error *err)
{
    const struct symtab *names = j->config->symtab;
    if (m->symbol >= symtab_count(names)) {
        error_set(err, "message %" PRIu64 " is of symbol %" PRIu32 ", the symbol table has %" PRIu32, m->seq,
                  m->symbol, symtab_count(names));
        return 0;
    }
    const struct symtab_identity *id = symtab_identity(names, m->symbol);
    const struct event_symbol symbol = {id->name, id->name_len, id->size_scale};
    int len = event_json_tick(m, &symbol, j->json, sizeof j->json);
    if (len < 0)
        return error_set(err, "the trade with seq %" PRIu64 " of %s makes more than %zu bytes of JSON",
                         m->seq, id->name, sizeof j->json);
    *record = (struct outbox_record){.offset = m->seq,
                                     .seq = m->seq,
                                     .symbol = m->symbol,
                                     .bucket = id->bucket,
                                     .kind = OUTBOX_TRADE,
                                     .event_ns = m->event_ns,
                                     .name = id->name,
                                     .name_len = id->name_len,
                                     .json = j->json,
                                     .json_len = (uint32_t)len};
    return 1;
}

static int journal_source_read(void *reader, uint64_t end, struct outbox_record *record, uint64_t *next,
                               struct error *err)
{
    struct journal_source *j = reader;
    for (*next = j->next;; j->at = 0) {
        while (j->at < j->n) {
            const struct msg *m = &j->slot[j->at];
            if (m->seq >= end) {
                *next = j->next = end;
                return 0;
            }
            int got = m->type == MSG_TRADE && m->seq >= j->next ? give_trade(j, m, record, err) : 2;
            if (got <= 0)
                return got;
            j->at += msg_slot_count(m);
            j->next = m->seq >= j->next ? m->seq + 1 : j->next;
            *next = j->next;
            if (got == 1)
                return 1;
        }
        j->n = 0;
        if (j->next >= end)
            return 0;
        int64_t n = journal_read(j->reader, j->slot, JOURNAL_SLOTS, err);
        if (n <= 0)
            return (int)n;
        j->n = (size_t)n;
    }
}

const struct sink_source sink_source_journal = {.name = "journal",
                                                .follows = true,
                                                .open = journal_source_open,
                                                .read = journal_source_read,
                                                .close = journal_source_close};
