#include "net/sink.h"

#include "net/dead_letter.h"
#include "net/sink_source.h"
#include "net/sink_toplists.h"
#include "shm/atomics.h"
#include "shm/histogram.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    PROBE_INTERVAL_MS = 1000,
    EVENT_BYTES_MAX = 1 << 18, /* JSON and name of one event */
    GATHER_MAX = 1 << 18,      /* offsets that one batch spans: a source may have few records among many */
    PRICE_CHUNK = 512,
    PRICE_RETRY_MS = 5000,
    SOURCE_WAIT_MS = 20,
    SOURCE_PATIENCE_MS = 10000,
};

/* What was published of a symbol. */
struct published {
    int64_t price_e9, event_ns;
    uint64_t size;
    int64_t live_ns;
    uint64_t live_trades;
};

struct sink {
    struct sink_config config;
    const struct sink_source *source;
    pthread_t thread;
    struct sink_stats stats; /* written by the thread, read by any: atomics */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t next_offset; /* of the outbox; changed under the lock, read by any */
    bool stop;            /* under the lock */
    struct error failure; /* under the lock */
    bool failing;         /* under the lock */

    /* The thread's own. */
    void *state;
    bool open, opened_before;
    void *reader;           /* of the source */
    uint64_t offset;        /* of the next event to deliver */
    uint64_t confirmed;     /* the cursor that the sink has: before `offset` by dead letters and by what is no
                               record of the source */
    int64_t waits_since_ms; /* for the source to have what it should; 0: it does not */
    bool ours;              /* it was of our outbox */
    uint64_t bound;         /* cursors beyond it are of a newer copy of the outbox */
    unsigned backoff_ms;
    uint64_t random;
    uint64_t failures; /* in a row */
    int64_t prices_due_ms, toplists_due_ms, probe_due_ms;
    struct sink_toplists *toplists; /* NULL: not published */
    struct published *published;
    uint32_t published_count;
    struct outbox_record *record; /* the batch; its texts are in `bytes` */
    char *bytes;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static void count(uint64_t *counter, uint64_t n)
{
    atomics_store_relaxed_u64(counter, *counter + n);
}

__attribute__((format(printf, 2, 3))) static void say(struct sink *s, const char *format, ...)
{
    char line[1024];
    va_list args;
    int at = snprintf(line, sizeof line, "sink %s: ", s->config.ops->name);
    va_start(args, format);
    vsnprintf(line + at, sizeof line - (size_t)at, format, args);
    va_end(args);
    if (s->config.log)
        s->config.log(s->config.log_ctx, line);
}

static void set_offset(struct sink *s, uint64_t offset)
{
    s->offset = offset;
    atomics_store_release_u64(&s->stats.offset, offset);
}

static void set_confirmed(struct sink *s, uint64_t offset)
{
    s->confirmed = offset;
    atomics_store_release_u64(&s->stats.confirmed, offset);
}

static void set_breaker(struct sink *s, enum sink_breaker state)
{
    atomics_store_relaxed_u64(&s->stats.breaker, state);
}

/* Sleeps until `deadline_ms`, or the stop, or (if asked) until the outbox has more. True if it is to stop. */
static bool wait_until(struct sink *s, int64_t deadline_ms, bool for_events)
{
    struct timespec t = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};
    pthread_mutex_lock(&s->lock);
    while (!s->stop && !(for_events && s->next_offset > s->offset))
        if (pthread_cond_timedwait(&s->wake, &s->lock, &t) == ETIMEDOUT)
            break;
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void close_sink(struct sink *s)
{
    if (s->reader)
        s->source->close(s->reader);
    s->reader = NULL;
    if (s->open)
        s->config.ops->close(s->state);
    s->open = false;
    atomics_store_relaxed_u64(&s->stats.up, 0);
}

/* Counts a failure, keeps its text, says it if it is another than before. */
static void note(struct sink *s, const struct error *err, bool failing)
{
    count(&s->stats.errors, 1);
    pthread_mutex_lock(&s->lock);
    bool news = strcmp(s->failure.text, err->text) || (failing && !s->failing);
    s->failure = *err;
    s->failing = failing;
    pthread_mutex_unlock(&s->lock);
    if (news)
        say(s, "%s; trying again", err->text);
}

/* Closes, and waits before the next try. */
static void failed(struct sink *s, const struct error *err)
{
    close_sink(s);
    note(s, err, true);
    if (++s->failures == SINK_BREAKER_FAILURES)
        say(s, "breaker open after %d failures in a row: %s at a time until it takes one",
            SINK_BREAKER_FAILURES, s->config.ops->whole_batches ? "one batch" : "one event");
    if (s->failures >= SINK_BREAKER_FAILURES)
        set_breaker(s, SINK_BREAKER_OPEN);
    s->random ^= s->random << 13; /* xorshift: only to spread the retries of many nodes */
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    unsigned wait_ms = s->backoff_ms / 2 + (unsigned)(s->random % s->backoff_ms);
    s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX_MS ? s->backoff_ms * 2 : BACKOFF_MAX_MS;
    if (wait_until(s, now_ms() + wait_ms, false))
        return;
    count(&s->stats.retries, 1);
    if (s->failures >= SINK_BREAKER_FAILURES)
        set_breaker(s, SINK_BREAKER_HALF_OPEN);
}

static void succeeded(struct sink *s)
{
    atomics_store_relaxed_u64(&s->stats.up, 1);
    s->backoff_ms = BACKOFF_MIN_MS;
    if (!s->failures)
        return;
    pthread_mutex_lock(&s->lock);
    s->failing = false;
    pthread_mutex_unlock(&s->lock);
    set_breaker(s, SINK_BREAKER_CLOSED);
    say(s, "works again after %llu failure%s%s", (unsigned long long)s->failures, s->failures > 1 ? "s" : "",
        s->failures >= SINK_BREAKER_FAILURES ? ": breaker closed" : "");
    s->failures = 0;
}

/* Where to start, given the cursor that the sink has. */
static int start_offset(struct sink *s, const struct sink_cursor *cursor, uint64_t *offset, struct error *err)
{
    const struct sink_config *c = &s->config;
    uint64_t end = atomics_load_relaxed_u64(&s->next_offset);
    bool other = *cursor->outbox_id && strcmp(cursor->outbox_id, c->outbox_id);
    *offset = *cursor->outbox_id ? cursor->offset : 0;
    if (other && s->ours)
        return error_set(err,
                         "its cursor is now of %s %s, offset %llu: another instance delivers as node %s; "
                         "stop that one and send SIGHUP to this, or restart this with another node.name",
                         s->source->name, cursor->outbox_id, (unsigned long long)cursor->offset, c->node);
    if (!other && *offset > (end < s->bound ? end : s->bound)) {
        s->bound = end < s->bound ? end : s->bound;
        return error_set(
            err,
            "its cursor is %llu, the %s in %s ends at %llu: an older copy of the %s was put in its "
            "place; stop and put the newer one back, or delete the cursor to deliver all of this one",
            (unsigned long long)*offset, s->source->name, c->outbox_dir, (unsigned long long)s->bound,
            s->source->name);
    }
    s->ours |= *cursor->outbox_id && !other;
    if (!other)
        return 0;
    bool previous = !strcmp(cursor->outbox_id, c->previous.id) && c->previous.offset <= end;
    if (previous && cursor->offset <= c->previous.offset) {
        say(s, "its cursor is of the %s that this one was made of: going on at offset %llu", s->source->name,
            (unsigned long long)*offset);
        return 0;
    }
    *offset = previous ? c->previous.offset : c->delivered < end ? c->delivered : end;
    count(&s->stats.unknown_outbox, 1);
    say(s,
        "its cursor is of another %s (%s, offset %llu; ours is %s): starting at offset %llu, the first "
        "event that is not known as delivered; events may be there twice",
        s->source->name, cursor->outbox_id, (unsigned long long)cursor->offset, c->outbox_id,
        (unsigned long long)*offset);
    return 0;
}

static int connect_sink(struct sink *s, struct error *err)
{
    struct sink_cursor cursor = {"", 0};
    uint64_t start = 0, first = 0;
    memset(s->state, 0, s->config.ops->state_bytes);
    if (s->config.ops->open(s->state, &s->config, &cursor, err))
        return -1;
    s->open = true;
    if (start_offset(s, &cursor, &start, err))
        return -1;
    s->reader = s->source->open(&s->config, start, &first, err);
    if (!s->reader)
        return -1;
    if (first > start) {
        count(&s->stats.skipped, first - start);
        say(s, "the events %llu to %llu are no longer in the %s: they are not delivered",
            (unsigned long long)start, (unsigned long long)first - 1, s->source->name);
        start = first;
    }
    if (s->opened_before && start < s->confirmed) {
        count(&s->stats.rewound, s->confirmed - start);
        say(s, "its cursor went back from %llu to %llu: delivering again from there",
            (unsigned long long)s->confirmed, (unsigned long long)start);
    }
    set_confirmed(s, start);
    set_offset(s, start);
    s->waits_since_ms = 0;
    count(&s->stats.connects, 1);
    if (!s->opened_before)
        say(s, "at offset %llu", (unsigned long long)start);
    s->opened_before = true;
    s->published_count = 0; /* all prices anew: who knows what it kept */
    if (s->toplists)
        sink_toplists_forget(s->toplists);
    s->prices_due_ms = s->toplists_due_ms = s->probe_due_ms = now_ms();
    return 0;
}

/* Moves the record's texts behind the `used` bytes of the batch. */
static int keep_texts(struct sink *s, struct outbox_record *r, size_t *used, struct error *err)
{
    if (r->json_len > EVENT_BYTES_MAX / 2 || r->name_len > EVENT_BYTES_MAX / 2)
        return error_set(err, "the %s in %s gave event %llu of %u bytes, expected at most %u",
                         s->source->name, s->config.outbox_dir, (unsigned long long)r->offset, r->json_len,
                         EVENT_BYTES_MAX / 2);
    r->json = memcpy(s->bytes + *used, r->json, r->json_len);
    *used += r->json_len;
    r->name = memcpy(s->bytes + *used, r->name, r->name_len);
    *used += r->name_len;
    return 0;
}

/* The source has not got on to `end`, though it should: for how long may it? */
static int be_patient(struct sink *s, uint64_t next, uint64_t end, const struct error *why, struct error *err)
{
    int64_t now = now_ms();
    s->waits_since_ms = s->waits_since_ms ? s->waits_since_ms : now;
    if (now - s->waits_since_ms < (s->source->follows ? SOURCE_PATIENCE_MS : 0))
        return 0;
    return error_set(err, "the %s in %s has no event %llu yet, though it was committed up to %llu%s%s",
                     s->source->name, s->config.outbox_dir, (unsigned long long)next, (unsigned long long)end,
                     why->text[0] ? ": " : "", why->text);
}

/* Copies the next records of the source into the batch. How many, or -1 with err. Where none comes before
 * the next offset that it would give, the offset moves there. */
static int gather(struct sink *s, struct error *err)
{
    bool single = s->failures >= SINK_BREAKER_FAILURES && !s->config.ops->whole_batches;
    uint32_t n = 0, most = single ? 1 : s->config.batch;
    size_t used = 0;
    uint64_t end = atomics_load_acquire_u64(&s->next_offset), next = s->offset, rest = s->offset + GATHER_MAX;
    struct error why = {""};
    int got = 1;
    end = end < rest ? end : rest;
    while (n < most && next < end && SINK_BATCH_BYTES - used >= EVENT_BYTES_MAX) {
        got = s->source->read(s->reader, end, &s->record[n], &next, &why);
        if (got < 0) {
            *err = why;
            return -1;
        }
        if (got == 0)
            break;
        if (keep_texts(s, &s->record[n], &used, err))
            return -1;
        n++;
    }
    if (got == 0 && next < end && n == 0 && next == s->offset)
        return be_patient(s, next, end, &why, err);
    s->waits_since_ms = 0;
    if (n == 0 && next > s->offset)
        set_offset(s, next);
    return (int)n;
}

/* Keeps the event that the sink refuses for good, and goes on behind it. */
static int bury(struct sink *s, const struct outbox_record *r, const struct error *why, struct error *err)
{
    int fresh = dead_letter_write(s->config.dead_letter_dir, s->config.ops->name, s->config.outbox_id, r,
                                  why->text, err);
    if (fresh < 0)
        return -1;
    count(&s->stats.dead_letters, (uint64_t)fresh);
    if (fresh)
        say(s, "event %llu is refused for good, it is in %s/%s.jsonl: %s", (unsigned long long)r->offset,
            s->config.dead_letter_dir, s->config.ops->name, why->text);
    set_offset(s, r->offset + 1);
    return 0;
}

static int deliver(struct sink *s, uint32_t n, struct error *err)
{
    uint32_t accepted = 0;
    uint64_t bytes = 0;
    int64_t from = now_ns();
    int result = s->config.ops->deliver(s->state, s->record, n, &accepted, err);
    assert(accepted <= n && (result == 0) == (accepted == n) && result <= SINK_REFUSED);
    if (s->config.deliver_ns)
        histogram_record(s->config.deliver_ns, (uint64_t)(now_ns() - from));
    for (uint32_t i = 0; i < accepted; i++)
        bytes += s->record[i].json_len;
    count(&s->stats.delivered, accepted);
    count(&s->stats.bytes, bytes);
    count(&s->stats.batches, accepted > 0);
    if (accepted) {
        set_confirmed(s, s->record[accepted - 1].offset + 1);
        s->ours = true;
        set_offset(s, s->confirmed);
    }
    if (result < 0 || (result == SINK_REFUSED && !s->config.dead_letter_dir))
        return -1;
    if (result == SINK_REFUSED) {
        struct error why = *err;
        if (bury(s, &s->record[accepted], &why, err))
            return -1;
    }
    succeeded(s);
    return result;
}

/* True if it is not what was published last of this symbol; says what of it, and remembers it. */
static bool price_is_new(struct sink *s, uint32_t id, struct sink_price *p)
{
    p->new_price = true;
    p->new_live = p->live.trades > 0;
    if (id >= s->published_count) {
        struct published *grown = realloc(s->published, (id + 1024u) * sizeof *grown);
        if (!grown)
            return true; /* published more often than needed */
        memset(grown + s->published_count, 0, (id + 1024u - s->published_count) * sizeof *grown);
        s->published = grown;
        s->published_count = id + 1024;
    }
    struct published *old = &s->published[id];
    p->new_price = old->price_e9 != p->price_e9 || old->event_ns != p->event_ns || old->size != p->size;
    p->new_live = old->live_ns != p->live.start_ns || old->live_trades != p->live.trades;
    *old = (struct published){p->price_e9, p->event_ns, p->size, p->live.start_ns, p->live.trades};
    return p->new_price || p->new_live;
}

/* As sink_ops.publish_prices. */
static int publish_prices(struct sink *s, struct error *err)
{
    const struct sink_price_source *source = &s->config.prices;
    struct sink_price chunk[PRICE_CHUNK];
    struct error why;
    int refused = 0;
    for (uint32_t id = 0, n = PRICE_CHUNK; n == PRICE_CHUNK;) {
        int got;
        uint32_t prices = 0;
        for (n = 0; n < PRICE_CHUNK && (got = source->read(source->ctx, id, &chunk[n])) >= 0; id++) {
            bool is_new = got && price_is_new(s, id, &chunk[n]);
            prices += is_new && chunk[n].new_price;
            n += is_new;
        }
        int result = n ? s->config.ops->publish_prices(s->state, chunk, n, refused ? &why : err) : 0;
        if (result < 0) {
            *err = refused ? why : *err;
            return result;
        }
        refused |= result; /* of one kind, or one symbol: the others go out */
        if (result == 0)
            count(&s->stats.prices, prices);
    }
    return refused;
}

/* The records behind a refused one were read already: the reader goes back to them. */
static int reopen_reader(struct sink *s, struct error *err)
{
    uint64_t first;
    s->source->close(s->reader);
    s->reader = s->source->open(&s->config, s->offset, &first, err);
    return s->reader ? 0 : -1;
}

static bool has_prices(const struct sink *s)
{
    return s->config.prices.read && s->config.ops->publish_prices;
}

/* As sink_ops.publish_toplist. */
static int publish_toplists(struct sink *s, struct error *err)
{
    uint64_t published;
    int result = sink_toplists_publish(s->toplists, s->state, &published, err);
    if (result == 0)
        count(&s->stats.toplists, published);
    return result;
}

/* What is only a latest value, where it is due. -1 with err: the sink has to be opened again. */
static int publish_latest(struct sink *s, struct error *err)
{
    int64_t now = now_ms();
    if (has_prices(s) && now >= s->prices_due_ms) {
        int result = publish_prices(s, err);
        if (result < 0)
            return -1;
        s->prices_due_ms = now + (result ? PRICE_RETRY_MS : SINK_PRICE_INTERVAL_MS);
        if (result) {
            s->published_count = 0;
            note(s, err, false);
        }
    }
    if (s->toplists && now >= s->toplists_due_ms) {
        int result = publish_toplists(s, err);
        if (result < 0)
            return -1;
        s->toplists_due_ms = now + (result ? PRICE_RETRY_MS : (int64_t)s->config.toplists_interval_ms);
        if (result)
            note(s, err, false);
    }
    return 0;
}

/* One round: connect if need be, one batch, what else is due. -1 with err: the sink has to be opened again.
 */
static int step(struct sink *s, struct error *err)
{
    if (!s->open && connect_sink(s, err))
        return -1;
    int n = gather(s, err);
    int delivered = n > 0 ? deliver(s, (uint32_t)n, err) : n;
    if (delivered < 0 || (delivered == SINK_REFUSED && reopen_reader(s, err)))
        return -1;
    if (publish_latest(s, err))
        return -1;
    if (n > 0)
        return 0;
    int64_t now = now_ms();
    if (s->waits_since_ms) {
        (void)wait_until(s, now + SOURCE_WAIT_MS, false);
        return 0;
    }
    if (now >= s->probe_due_ms) {
        if (s->config.ops->probe && s->config.ops->probe(s->state, err))
            return -1;
        s->probe_due_ms = now + PROBE_INTERVAL_MS;
    }
    succeeded(s);
    int64_t due = s->probe_due_ms;
    due = has_prices(s) && s->prices_due_ms < due ? s->prices_due_ms : due;
    due = s->toplists && s->toplists_due_ms < due ? s->toplists_due_ms : due;
    (void)wait_until(s, due, true);
    return 0;
}

static bool stopping(struct sink *s)
{
    pthread_mutex_lock(&s->lock);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void *run(void *arg)
{
    struct sink *s = arg;
    struct error err = {""};
    while (!stopping(s))
        if (step(s, &err))
            failed(s, &err);
    if (s->open && has_prices(s) && publish_prices(s, &err))
        say(s, "the latest prices did not go out at the end: %s", err.text);
    if (s->open && s->toplists && publish_toplists(s, &err))
        say(s, "the toplists did not go out at the end: %s", err.text);
    close_sink(s);
    return NULL;
}

static void free_sink(struct sink *s)
{
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->published);
    sink_toplists_free(s->toplists);
    free(s->state);
    free(s->record);
    free(s->bytes);
    free(s);
}

struct sink *sink_start(const struct sink_config *config, struct error *err)
{
    const struct sink_ops *ops = config->ops;
    assert(ops && config->outbox_dir && strlen(config->outbox_id) == SINK_OUTBOX_ID_MAX && config->batch > 0);
    if (ops->check && ops->check(config, err)) {
        error_prefix(err, "sink %s", ops->name);
        return NULL;
    }
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(err, "sink %s: no memory", ops->name);
        return NULL;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_mutex_init(&s->lock, NULL);
    s->config = *config;
    s->toplists = sink_toplists_new(&s->config);
    s->source = ops->source ? ops->source : &sink_source_outbox;
    s->next_offset = config->next_offset;
    s->backoff_ms = BACKOFF_MIN_MS;
    s->bound = UINT64_MAX;
    s->random = (uint64_t)now_ns() ^ (uintptr_t)s;
    s->random |= s->random == 0;
    s->state = calloc(1, ops->state_bytes);
    s->record = calloc(config->batch, sizeof *s->record);
    s->bytes = malloc(SINK_BATCH_BYTES);
    int failure = s->state && s->record && s->bytes ? 0 : ENOMEM;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all,
                    &before); /* signals are the role's; a broken socket is an error code */
    if (!failure)
        failure = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failure)
        return s;
    error_set(err, "sink %s: cannot start its thread: %s", ops->name, strerror(failure));
    free_sink(s);
    return NULL;
}

void sink_published(struct sink *s, uint64_t next_offset)
{
    pthread_mutex_lock(&s->lock);
    atomics_store_release_u64(&s->next_offset, next_offset);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

bool sink_level(const struct sink *s, uint64_t offset)
{
    return atomics_load_acquire_u64(&s->stats.offset) >= offset;
}

void sink_stats(const struct sink *s, struct sink_stats *out)
{
    const uint64_t *from = (const uint64_t *)&s->stats;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = atomics_load_relaxed_u64(&from[i]);
    uint64_t end = atomics_load_relaxed_u64(&s->next_offset);
    out->lag = end > out->offset ? end - out->offset : 0;
}

const char *sink_name(const struct sink *s)
{
    return s->config.ops->name;
}

const char *sink_source_name(const struct sink *s)
{
    return s->source->name;
}

bool sink_last_error(struct sink *s, struct error *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->failure;
    bool failing = s->failing;
    pthread_mutex_unlock(&s->lock);
    return failing;
}

int sink_stop(struct sink *s, unsigned timeout_ms)
{
    struct timespec deadline;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    clock_gettime(CLOCK_REALTIME, &deadline);
    uint64_t ns = (uint64_t)deadline.tv_nsec + timeout_ms * UINT64_C(1000000);
    deadline.tv_sec += (time_t)(ns / 1000000000);
    deadline.tv_nsec = (long)(ns % 1000000000);
    if (pthread_timedjoin_np(s->thread, NULL, &deadline))
        return -1;
    free_sink(s);
    return 0;
}
