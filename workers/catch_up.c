#include "workers/catch_up.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/checkpoint.h"
#include "shm/msg_memory.h"

enum { BATCH = 4096, NO_BUCKET = BUCKET_COUNT };

struct catch_up {
    struct catch_up_options options;
    struct catch_up_figures figures;
    struct route route;
    struct checkpoint_set *set; /* NULL once all of it is loaded */
    uint64_t seq[BUCKET_COUNT]; /* of the checkpoint; 0: none, or not ours */
    uint16_t due[BUCKET_COUNT]; /* buckets by seq, ours that have one */
    uint32_t n_due, next_due;
    uint64_t from_seq, at_seq; /* where we began, and are */
    struct msg *record;        /* rules and settings up to from_seq */
    size_t records, records_room, record_at;
    struct journal_reader *journal;
    bool done;
    uint32_t raw_n, raw_at;
    struct msg raw[BATCH], out[BATCH];
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static bool is_ours(const struct catch_up *c, uint32_t bucket)
{
    return bucket < BUCKET_COUNT && c->route.scanner[bucket] == c->options.scanner;
}

static void add_record(void *ctx, const struct msg *record)
{
    struct catch_up *c = ctx;
    uint32_t slots = msg_slot_count(record);
    if (record->seq > c->from_seq)
        return;
    if (c->records + slots > c->records_room) {
        c->records_room = 2 * c->records_room + 1024;
        c->record = msgs_grow(c->record, c->records, c->records_room);
    }
    memcpy(c->record + c->records, record, slots * sizeof *record);
    c->records += slots;
}

struct naming {
    struct catch_up *c;
    uint32_t bucket;
};

static void name_symbol(void *ctx, uint32_t id)
{
    const struct naming *n = ctx;
    if (id < n->c->route.ids)
        n->c->route.bucket[id] = (uint16_t)n->bucket;
}

static int by_seq(const void *a, const void *b, void *ctx)
{
    const uint64_t *seq = ctx, x = seq[*(const uint16_t *)a], y = seq[*(const uint16_t *)b];
    return (x > y) - (x < y);
}

/* From where do we go on, and with what? */
static void plan(struct catch_up *c)
{
    uint32_t oldest = NO_BUCKET;
    bool all = true;
    for (uint32_t b = 0; b < BUCKET_COUNT; b++) {
        if (!is_ours(c, b))
            continue;
        c->seq[b] = checkpoint_bucket_seq(c->set, b);
        all &= c->seq[b] != 0;
        if (c->seq[b])
            c->due[c->n_due++] = (uint16_t)b;
        if (c->seq[b] && (oldest == NO_BUCKET || c->seq[b] < c->seq[oldest]))
            oldest = b;
    }
    if (!all || oldest == NO_BUCKET) { /* the number of scanners changed before each had a whole pass */
        c->n_due = 0;
        memset(c->seq, 0, sizeof c->seq);
        return;
    }
    c->from_seq = c->at_seq = c->seq[oldest];
    qsort_r(c->due, c->n_due, sizeof *c->due, by_seq, c->seq);
    checkpoint_records(c->set, oldest, add_record, c);
    for (uint32_t i = 0; i < c->n_due; i++)
        checkpoint_symbols(c->set, c->due[i], name_symbol, &(struct naming){c, c->due[i]});
}

static struct journal_reader *open_journal(const struct catch_up *c, struct error *err)
{
    struct journal_reader_options o = {.live = true, .from_seq = c->from_seq ? c->from_seq + 1 : 0};
    return journal_reader_open(c->options.capture, &o, err);
}

static int open_all(struct catch_up *c, struct error *note, struct error *err)
{
    c->from_seq = c->at_seq = c->options.after_seq;
    for (uint32_t i = 0; c->from_seq && i < symtab_count(c->options.symbols); i++)
        c->route.bucket[i] = symtab_identity(c->options.symbols, i)->bucket;
    if (!(c->journal = open_journal(c, err)))
        return -1;
    for (uint32_t b = 0; c->from_seq && b < BUCKET_COUNT; b++)
        c->seq[b] = c->from_seq;
    if (c->from_seq)
        return 0;
    uint64_t first_seq = journal_reader_info(c->journal)->first_seq;
    c->set = checkpoint_read(c->options.checkpoints, journal_reader_info(c->journal)->node, c->options.to_seq,
                             note);
    if (c->set)
        plan(c);
    if (first_seq > c->from_seq + 1)
        return error_set(
            err,
            "%s begins with message %llu, expected %llu: what came before is gone, and no checkpoint "
            "in %s has the state as of it; start with another --dir",
            c->options.capture, (unsigned long long)first_seq, (unsigned long long)c->from_seq + 1,
            c->options.checkpoints);
    if (c->from_seq == 0)
        return 0;
    journal_reader_close(c->journal);
    return (c->journal = open_journal(c, err)) ? 0 : -1;
}

struct catch_up *catch_up_open(const struct catch_up_options *options, struct error *note, struct error *err)
{
    int64_t begun_ns = now_ns();
    struct catch_up *c = aligned_alloc(64, (sizeof *c + 63) & ~(size_t)63);
    if (!c)
        abort();
    memset(c, 0, offsetof(struct catch_up, raw));
    c->options = *options;
    c->route.ids = options->ids;
    c->route.bucket = calloc(options->ids, sizeof *c->route.bucket);
    if (!c->route.bucket)
        abort();
    for (uint32_t i = 0; i < options->ids; i++)
        c->route.bucket[i] = NO_BUCKET;
    route_fill(&c->route, options->scanners, options->bucket_table);
    note->text[0] = 0;
    if (open_all(c, note, err)) {
        catch_up_close(c);
        return NULL;
    }
    c->figures = (struct catch_up_figures){.buckets = c->n_due, .load_ns = now_ns() - begun_ns};
    return c;
}

uint64_t catch_up_from(const struct catch_up *c)
{
    return c->from_seq;
}

uint64_t catch_up_newest(const struct catch_up *c)
{
    return c->n_due ? c->seq[c->due[c->n_due - 1]] : 0;
}

bool catch_up_done(const struct catch_up *c)
{
    return c->done;
}

uint64_t catch_up_at(const struct catch_up *c)
{
    return c->at_seq;
}

void catch_up_end_at(struct catch_up *c, uint64_t to_seq)
{
    assert(!c->done && to_seq >= c->at_seq);
    c->options.to_seq = to_seq;
}

const struct catch_up_figures *catch_up_figures(const struct catch_up *c)
{
    return &c->figures;
}

void catch_up_close(struct catch_up *c)
{
    if (!c)
        return;
    if (c->journal)
        journal_reader_close(c->journal);
    checkpoint_free(c->set);
    free(c->route.bucket);
    free(c->record);
    free(c);
}

/* Is the message ours, and not in the checkpoint of its bucket? */
static bool is_wanted(struct catch_up *c, const struct msg *m)
{
    uint32_t bucket = NO_BUCKET;
    switch (m->type) {
    case MSG_RULE:
    case MSG_SETTING:
        return m->seq > c->from_seq;
    case MSG_END:
        return true;
    case MSG_CLOCK:
        bucket = m->symbol;
        break;
    case MSG_SYMBOL:
        if (m->symbol < c->route.ids)
            c->route.bucket[m->symbol] = m->sym.bucket;
        /* fall through */
    default:
        bucket = m->symbol < c->route.ids ? c->route.bucket[m->symbol] : NO_BUCKET;
    }
    return is_ours(c, bucket) && m->seq > c->seq[bucket];
}

/* Gives the engine the buckets whose state is as of before the message `seq`. */
static int load_due(struct catch_up *c, struct engine *e, uint64_t seq, struct error *err)
{
    int64_t begun_ns = now_ns();
    int rc = 0;
    while (rc == 0 && c->next_due < c->n_due && c->seq[c->due[c->next_due]] < seq)
        rc = checkpoint_load(c->set, c->due[c->next_due++], e, err);
    c->figures.load_ns += now_ns() - begun_ns;
    return rc;
}

static bool is_due(const struct catch_up *c, uint64_t seq)
{
    return c->next_due < c->n_due && c->seq[c->due[c->next_due]] < seq;
}

static int finish(struct catch_up *c, struct engine *e, struct error *err)
{
    c->done = true;
    return load_due(c, e, UINT64_MAX, err);
}

/* Rules and settings that the checkpoints build on. */
static int next_records(struct catch_up *c, const struct msg **m)
{
    size_t n = 0;
    *m = c->record + c->record_at;
    while (c->record_at + n < c->records && n + msg_slot_count(*m + n) <= BATCH)
        n += msg_slot_count(*m + n);
    c->record_at += n;
    return (int)n;
}

int catch_up_next(struct catch_up *c, struct engine *e, const struct msg **m, struct error *err)
{
    if (c->record_at < c->records)
        return next_records(c, m);
    if (c->done)
        return 0;
    if (c->at_seq >= c->options.to_seq)
        return finish(c, e, err);
    if (c->raw_at == c->raw_n) {
        int64_t n = journal_read(c->journal, c->raw, BATCH, err);
        if (n < 0)
            return -1;
        c->raw_n = (uint32_t)n;
        c->raw_at = 0;
    }
    uint32_t kept = 0, slots;
    for (; c->raw_at < c->raw_n; c->raw_at += slots) {
        const struct msg *x = &c->raw[c->raw_at];
        slots = msg_slot_count(x);
        if (x->seq > c->at_seq + 1)
            return error_set(err, "%s goes on with message %llu after %llu: those between are gone",
                             c->options.capture, (unsigned long long)x->seq, (unsigned long long)c->at_seq);
        if (x->seq > c->options.to_seq) { /* it is in the ring */
            c->at_seq = c->options.to_seq;
            break;
        }
        if (is_due(c, x->seq)) {
            if (kept)
                break; /* first these are applied */
            if (load_due(c, e, x->seq, err))
                return -1;
        }
        if (is_wanted(c, x)) {
            memcpy(c->out + kept, x, slots * sizeof *x);
            c->out[kept].recv_ns = 0; /* when it came is no matter any more */
            kept += slots;
            c->figures.messages++;
        }
        c->at_seq = x->seq;
    }
    *m = c->out;
    return (int)kept;
}
