/* The market role: what compares symbols. Anomalies of a sector are workers/peer_merge.c's; the rest of this
 * file is toplists. For these it has every bucket's CLOCKs from ingest, and from each scanner the
 * values of its symbols as of them (workers/values.h); it puts together those of one second and shows them
 * (shm/markettab.h). Readers rank them (core/toplist.h).
 *
 * A second is whole when each bucket has given the block of its last CLOCK in or before it. What a scanner,
 * or ingest, left out because a ring was full leaves that second, and those after it until the bucket's next
 * block, unshown: what is shown is exact. So is what a role that died took with it: all blocks of before are
 * unknown to the next one, which shows what the one before showed until each bucket has given another.
 */
#include <math.h>
#include <signal.h>
#include <stdlib.h>

#include "core/toplist.h"
#include "net/toplist_file.h"
#include "shm/markettab.h"
#include "shm/ring.h"
#include "shm/symtab.h"
#include "workers/instance.h"
#include "workers/peer_merge.h"

struct market {
    struct instance in;
    struct peer_merge *peers; /* NULL: no symbols are compared */
    struct markettab *shown;  /* NULL: no toplists, and nothing of what follows */
    uint32_t scanners;
    struct ring_consumer clocks;
    struct ring_consumer values[ROUTE_SCANNERS_MAX];
    struct symtab *symtab;
    uint32_t columns;                 /* of a row */
    double *value;                    /* rows, by symbol */
    uint64_t clock_seq[BUCKET_COUNT]; /* the last message that a block is owed for */
    uint64_t block_seq[BUCKET_COUNT]; /* … and whose it is that we have */
    uint64_t lost_seq;                /* messages up to it may be missing in our ring */
    uint64_t seen_seq;                /* the last CLOCK of this second or before */
    int64_t second_ns;                /* INT64_MIN: none yet */
    bool begun, closed;               /* a CLOCK of a later second waits */
    bool ending;                      /* every scanner tells of the stream's end */
    bool ended[ROUTE_SCANNERS_MAX];   /* … and has told us all */
    uint64_t starts, end_seq;
    int64_t end_ns;
};

static volatile sig_atomic_t hangup;

static void on_hangup(int signal)
{
    (void)signal;
    hangup = 1;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* From each bucket that holds symbols a block is owed that is newer than `seq`. */
static void owe_all(struct market *m, uint64_t seq)
{
    for (uint32_t i = 0; i < symtab_count(m->symtab); i++) {
        uint64_t *owed = &m->clock_seq[symtab_identity(m->symtab, i)->bucket % BUCKET_COUNT];
        *owed = later(*owed, seq);
    }
}

/* Once ingest has recovered the journal: its symbols are in their table. */
static int begin(struct market *m)
{
    if (!atomics_load_acquire_u64(&m->in.control->ready))
        return 0;
    m->seen_seq = ring_released_seq(&m->clocks);
    owe_all(m, m->seen_seq);
    m->begun = true;
    return 1;
}

/* CLOCKs up to the end of the second at hand, or of the first. */
static int take_clocks(struct market *m)
{
    const struct msg *x;
    uint32_t n, at, taken = 0;
    while (!m->closed && (x = ring_peek(&m->clocks, &n))) {
        for (at = 0; at < n; at += msg_slot_count(&x[at])) {
            if (x[at].type != MSG_CLOCK || x[at].symbol >= BUCKET_COUNT)
                continue;
            int64_t second = toplist_second(x[at].event_ns);
            if (m->second_ns != INT64_MIN && second > m->second_ns) {
                m->closed = true;
                break;
            }
            m->second_ns = second > m->second_ns ? second : m->second_ns;
            uint64_t *owed = &m->clock_seq[x[at].symbol];
            m->seen_seq = later(m->seen_seq, x[at].seq);
            *owed = later(*owed, x[at].seq);
            counter_add(m->in.counters, MARKET_CLOCKS, 1);
        }
        ring_release(&m->clocks, at);
        taken += at;
    }
    return (int)taken;
}

static void take_row(struct market *m, const struct msg *x)
{
    size_t bytes = m->columns * sizeof(double);
    if (x->symbol >= markettab_rows_max(m->shown) || msg_slot_count(x) < msg_slots(bytes))
        return;
    msg_get(x, 0, m->value + (size_t)x->symbol * m->columns, bytes);
    counter_add(m->in.counters, MARKET_VALUES, 1);
}

static bool is_final(const struct msg *x)
{
    return x->flags & MSG_F_FINAL;
}

/* What scanner k gave up to the last CLOCK seen; at the stream's end all. */
static int take_values(struct market *m, uint32_t k)
{
    const struct msg *x;
    uint32_t n, at, taken = 0;
    bool stop = false;
    while (!stop && (x = ring_peek(&m->values[k], &n))) {
        for (at = 0; at < n; at += msg_slot_count(&x[at])) {
            if ((stop = !m->ending && (is_final(&x[at]) || x[at].seq > m->seen_seq)))
                break;
            if (x[at].type == MSG_VALUES) {
                take_row(m, &x[at]);
            } else if (x[at].type == MSG_CLOCK && x[at].symbol < BUCKET_COUNT) {
                m->block_seq[x[at].symbol] = x[at].seq;
            } else if (x[at].type == MSG_END && x[at].symbol == (uint32_t)m->starts) {
                m->ended[k] = true;
                m->end_seq = x[at].seq;
                m->end_ns = x[at].event_ns;
            }
        }
        ring_release(&m->values[k], at);
        taken += at;
    }
    return (int)taken;
}

static const struct msg *head(struct market *m, uint32_t k)
{
    uint32_t n;
    return ring_peek(&m->values[k], &n);
}

/* Buckets whose block is missing; *to_come: some that their scanner may still give. */
static uint32_t count_missing(struct market *m, bool *to_come)
{
    const struct topology *t = workspace_topology(m->in.ws);
    uint32_t missing = 0;
    *to_come = false;
    for (uint32_t b = 0; b < BUCKET_COUNT; b++) {
        if (m->block_seq[b] >= m->clock_seq[b])
            continue;
        missing++;
        const struct msg *x = head(m, topology_bucket_scanner(t, b));
        if (m->clock_seq[b] <= m->seen_seq && (!x || (!is_final(x) && x->seq <= m->seen_seq)))
            *to_come = true;
    }
    return missing;
}

static void show(struct market *m, int64_t time_ns, uint64_t seq, bool final)
{
    struct market_second s = {
        .time_ns = time_ns, .seq = seq, .rows = symtab_count(m->symtab), .final = final};
    markettab_show(m->shown, &s, m->value);
    counter_add(m->in.counters, MARKET_SECONDS, 1);
    counter_set(m->in.counters, MARKET_TIME_NS, (uint64_t)time_ns);
}

/* What was lost in our ring was owed. */
static void owe_lost(struct market *m)
{
    uint64_t lost = atomics_load_acquire_u64(&m->in.control->market_lost_seq);
    if (lost > m->lost_seq)
        owe_all(m, lost);
    m->lost_seq = lost;
}

/* Nothing is left in our ring, and the last of it was lost: the blocks of what was are none of a second that
 * can be shown, and must not stay before those that come. */
static int pass_lost(struct market *m)
{
    uint32_t n;
    owe_lost(m);
    if (m->lost_seq <= m->seen_seq || ring_peek(&m->clocks, &n))
        return 0;
    m->seen_seq = m->lost_seq;
    return 1;
}

/* The second is over for ingest: is it for all scanners? */
static int finish_second(struct market *m)
{
    bool to_come;
    owe_lost(m);
    uint32_t missing = count_missing(m, &to_come);
    if (to_come)
        return 0;
    if (missing)
        counter_add(m->in.counters, MARKET_SECONDS_SKIPPED, 1);
    else
        show(m, m->second_ns, m->seen_seq, false);
    m->closed = false;
    m->second_ns = INT64_MIN;
    return 1;
}

/* True once nothing but the end is in the rings. */
static bool all_at_end(struct market *m)
{
    for (uint32_t k = 0; k < m->scanners; k++) {
        const struct msg *x = head(m, k);
        if (!x || !is_final(x))
            return false;
    }
    return true;
}

static int finish_all(struct market *m)
{
    for (uint32_t k = 0; k < m->scanners; k++)
        if (!m->ended[k])
            return 0;
    if (atomics_load_relaxed_u64(&m->in.control->market_final))
        return 0;
    show(m, m->end_ns, m->end_seq, true);
    atomics_store_release_u64(&m->in.control->market_final, 1);
    return 1;
}

static int step_toplists(struct market *m)
{
    int done = 0;
    if (!m->begun)
        return begin(m);
    done += take_clocks(m);
    for (uint32_t k = 0; k < m->scanners; k++)
        done += take_values(m, k);
    if (m->ending)
        return done + finish_all(m);
    if (m->closed)
        return done + finish_second(m);
    if (done)
        return done;
    if (all_at_end(m))
        return m->ending = true;
    return pass_lost(m);
}

static int step(void *ctx, uint64_t ticks)
{
    struct market *m = ctx;
    (void)ticks;
    int peers = m->peers ? peer_merge_step(m->peers) : 0, ranked = m->shown ? step_toplists(m) : 0;
    return ranked ? ranked : peers;
}

/* Users' lists. A file that is no good leaves those that there are. */
static void read_lists(struct market *m)
{
    static struct market_list list[MARKETTAB_LISTS];
    struct error err;
    const char *file = m->in.settings->toplists_file;
    struct toplist_keys named, kept;
    int n = *file ? toplist_file_read(file, list, &named, &err) : 0;
    if (n < 0 || markettab_keys(m->shown, &kept, &err) < 0 ||
        toplist_file_check(file, list, n, &kept, &err) < 0) {
        instance_log(&m->in, SET_LOG_LEVEL_ERROR, "%s; users' toplists stay as they were", err.text);
        counter_add(m->in.counters, MARKET_LISTS_REFUSED, 1);
        return;
    }
    markettab_set_lists(m->shown, list, (uint32_t)n);
    counter_set(m->in.counters, MARKET_LISTS, (uint64_t)n);
}

static void housekeeping(void *ctx, int64_t mono_ns)
{
    struct market *m = ctx;
    const struct control *c = m->in.control;
    (void)mono_ns;
    if (hangup && !instance_stopping(&m->in)) { /* it may tell of the supervisor's end */
        hangup = 0;
        if (m->shown)
            read_lists(m);
    }
    bool shown = !m->shown || atomics_load_relaxed_u64(&c->market_final);
    bool ended = shown && (!m->peers || peer_merge_ended(m->peers));
    if ((ended && (c->until_end || instance_stopping(&m->in))) ||
        (instance_interrupted(&m->in) && c->ingest_ended == 0))
        m->in.finished = true;
}

static int join_ring(struct market *m, struct ring_consumer *c, const char *name, uint32_t k)
{
    struct error err;
    size_t bytes;
    void *mem = workspace_object(m->in.ws, name, k, &bytes);
    struct ring *r = ring_join(mem, bytes, &err);
    if (r)
        ring_consumer_join(c, r);
    else
        instance_log(&m->in, SET_LOG_LEVEL_ERROR, "%s %u: %s", name, k, err.text);
    return r ? 0 : -1;
}

static int open_toplists(struct market *m)
{
    struct instance *in = &m->in;
    if (join_ring(m, &m->clocks, "market_ring", 0))
        return 1;
    for (uint32_t k = 0; k < m->scanners; k++)
        if (join_ring(m, &m->values[k], "values_ring", k))
            return 1;
    m->symtab = workspace_symtab(in->ws);
    m->shown = workspace_markettab(in->ws);
    m->columns = markettab_columns(m->shown);
    size_t values = (size_t)markettab_rows_max(m->shown) * m->columns;
    m->value = malloc(values * sizeof *m->value);
    if (!m->value)
        abort();
    for (size_t i = 0; i < values; i++)
        m->value[i] = NAN;
    m->second_ns = INT64_MIN;
    m->lost_seq = atomics_load_acquire_u64(&in->control->market_lost_seq);
    m->starts = in->control->market_starts + 1;
    atomics_store_release_u64(&in->control->market_starts, m->starts);
    read_lists(m);
    return 0;
}

static int open_market(struct instance *in)
{
    struct market *m = (struct market *)in;
    struct error err;
    struct sigaction on = {.sa_handler = on_hangup};
    sigaction(SIGHUP, &on, NULL);
    m->scanners = workspace_topology(in->ws)->options.scanners;
    if (instance_has_peers(in) && !(m->peers = peer_merge_open(in, &err))) {
        instance_log(in, SET_LOG_LEVEL_ERROR, "%s", err.text);
        return 1;
    }
    return instance_has_toplists(in) ? open_toplists(m) : 0;
}

static int close_market(struct instance *in)
{
    struct market *m = (struct market *)in;
    peer_merge_close(m->peers);
    free(m->value);
    return 0;
}

const struct role_ops market_role = {.kind = ROLE_MARKET,
                                     .bytes = sizeof(struct market),
                                     .open = open_market,
                                     .step = step,
                                     .housekeeping = housekeeping,
                                     .close = close_market};
