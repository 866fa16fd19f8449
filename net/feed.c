#include "net/feed.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/bar.h"
#include "core/bucket.h"
#include "net/attributes.h"
#include "net/history.h"
#include "net/splits.h"
#include "shm/msg_memory.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BATCH = 256 }; /* slots that stay in the first-level cache, with what becomes of them */
#define JUMP_NS (3600 * SECOND_NS)

/* An input's quotes of the interval that its time is in, each symbol's last; when it is over they go out. */
struct held {
    struct msg *quote; /* in the order of the symbols' first in the interval */
    uint32_t n, room, out;
    bool over;       /* they go out: quote[out..n) */
    uint32_t *place; /* by the source's symbol id: 1 + the place in quote[], 0 for none */
    uint32_t place_room;
    int64_t interval;        /* its number */
    int64_t top_ns, recv_ns; /* as of the last row */
    uint64_t conflated;      /* quotes that a later one has replaced */
};

struct input {
    struct source *source;
    struct msg *slot; /* BATCH read ahead */
    int at, n;
    bool ended;
    int64_t top_ns; /* running maximum of event time; INT64_MIN */
    uint32_t *id;   /* source's symbol id -> node's id + 1 */
    uint32_t id_room;
    uint32_t learned; /* of the source's, where it is a capture that is passed through */
    struct held held;
};

struct feed {
    unsigned n;
    struct input input[FEED_SOURCES_MAX];
    const struct history *history;
    const struct attribute_file *attributes;
    struct source_config config;
    struct source_symbol *symbol; /* by node id */
    uint32_t symbols;
    uint32_t *hash; /* of names: open addressing, 1 + id */
    uint32_t hash_mask;
    uint64_t rejected[REJECT_COUNT]; /* by the feed itself */
    bool journal;
    char failure[1024];
};

/* Keeps the ticks of slot[0..n), at whose times the clocks can strike. A capture among several sources has
 * more than ticks: its symbols come from its table. */
static int keep_ticks(struct feed *f, struct msg *slot, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i += (int)msg_slot_count(&slot[i])) {
        if (!msg_is_tick(&slot[i]))
            continue;
        if ((uint64_t)slot[i].event_ns > (uint64_t)TIME_MAX_NS) {
            f->rejected[REJECT_TIME_FORMAT]++;
            continue;
        }
        if (kept != i)
            slot[kept] = slot[i];
        kept++;
    }
    return kept;
}

static void end_input(struct feed *f, struct input *in, int result)
{
    size_t len = strlen(f->failure);
    in->ended = true;
    if (result == SOURCE_FAILED)
        snprintf(f->failure + len, sizeof f->failure - len, "%s%s", len ? "\n" : "",
                 in->source->failure.text);
}

/* Reads on behind the ticks that are left, if there is room: until there is one more, or the end. */
static void fill(struct feed *f, struct input *in)
{
    if (in->at < in->n)
        memmove(in->slot, in->slot + in->at, (size_t)(in->n - in->at) * sizeof *in->slot);
    in->n -= in->at;
    in->at = 0;
    for (int kept = 0; !kept && !in->ended && BATCH - in->n >= MSG_SLOTS_MAX; in->n += kept) {
        int got = source_read(in->source, in->slot + in->n, BATCH - in->n);
        if (got > 0) {
            kept = keep_ticks(f, in->slot + in->n, got);
            continue;
        }
        end_input(f, in, got);
    }
}

/* The id of a name, new or known; -1 if limits.symbols is reached. */
static int64_t node_id(struct feed *f, const struct source_symbol *s, bool *fresh)
{
    uint32_t h = (uint32_t)XXH3_64bits(s->name, s->name_len);
    for (;; h++) {
        uint32_t *cell = &f->hash[h & f->hash_mask];
        if (*cell == 0) {
            if (f->symbols == f->config.symbols_max)
                return -1;
            f->symbol[f->symbols] = *s;
            *cell = ++f->symbols;
            *fresh = true;
            return f->symbols - 1;
        }
        const struct source_symbol *k = &f->symbol[*cell - 1];
        if (k->name_len == s->name_len && !memcmp(k->name, s->name, s->name_len)) {
            *fresh = false;
            return *cell - 1;
        }
    }
}

static int put_symbol(const struct feed *f, uint32_t id, struct msg *out)
{
    const struct source_symbol *s = &f->symbol[id];
    uint32_t n = msg_begin(out, MSG_SYMBOL, id, (size_t)MSG_FIRST_BYTES + s->name_len);
    out->sym = (struct msg_symbol){.bucket = bucket_of(s->name, s->name_len),
                                   .size_scale = s->size_scale,
                                   .calendar = s->calendar,
                                   .name_len = s->name_len,
                                   .tick_e9 = s->tick_e9};
    msg_put(out, MSG_FIRST_BYTES, s->name, s->name_len);
    return (int)n;
}

/* What is known of the symbol beside its ticks; 0 slots if nothing is. */
static int put_attributes(const struct feed *f, uint32_t id, struct msg *out)
{
    const struct source_symbol *s = &f->symbol[id];
    const struct attributes *a =
        f->attributes ? attribute_file_find(f->attributes, s->name, s->name_len) : NULL;
    return a && attributes_known(a) ? (int)attributes_message(a, id, out) : 0;
}

enum { SPLITS = 4, SYMBOL_ROOM = 2 * DAILY_BARS + SPLITS + 2 * MSG_SLOTS_MAX + 1 };

/* The daily bars that were over when the symbol's first tick came. */
static int put_history(const struct feed *f, uint32_t id, int64_t now_ns, struct msg *out)
{
    const int64_t day_ns = 86400 * SECOND_NS;
    size_t n = 0, from = 0;
    int used = 0;
    const struct history_bar *bar =
        f->history ? history_find(f->history, f->symbol[id].name, f->symbol[id].name_len, &n) : NULL;
    while (n && bar[n - 1].start_ns + day_ns > now_ns)
        n--;
    from = n > DAILY_BARS ? n - DAILY_BARS : 0;
    for (; from < n; from++) {
        struct msg_history_bar h = {bar[from].open_e9,  bar[from].high_e9, bar[from].low_e9,
                                    bar[from].close_e9, bar[from].volume,  day_ns};
        uint32_t slots = msg_begin(out + used, MSG_HISTORY_BAR, id, sizeof h);
        out[used].event_ns = bar[from].start_ns;
        msg_put(out + used, 0, &h, sizeof h);
        used += (int)slots;
    }
    return used;
}

/* The next splits, from the last daily bar on. */
static int put_splits(const struct feed *f, uint32_t id, int64_t now_ns, struct msg *out)
{
    const int64_t day_ns = 86400 * SECOND_NS;
    size_t bars = 0, n = 0;
    int used = 0;
    const char *name = f->symbol[id].name;
    const struct history_bar *bar =
        f->history ? history_find(f->history, name, f->symbol[id].name_len, &bars) : NULL;
    const struct split_row *split =
        f->config.splits ? splits_find(f->config.splits, name, f->symbol[id].name_len, &n) : NULL;
    while (bars && bar[bars - 1].start_ns + day_ns > now_ns)
        bars--;
    int64_t since_ns = bars ? bar[bars - 1].start_ns : now_ns - day_ns;
    for (size_t i = 0; i < n && used < SPLITS; i++) {
        if (split[i].ex_ns <= since_ns)
            continue;
        struct msg *m = out + used;
        used += (int)msg_begin(m, MSG_ATTR, id, sizeof m->attr);
        m->attr = (struct msg_attr){
            .kind = ATTR_SPLIT, .to = split[i].to, .from = split[i].from, .ex_ns = split[i].ex_ns};
    }
    return used;
}

/* The node's id + 1 of the source's symbol, 0 if it was refused; a new one's records go to *out. */
static uint32_t map_symbol(struct feed *f, struct input *in, uint32_t local, int64_t now_ns, struct msg *out,
                           int *used)
{
    const struct source *s = in->source;
    if (local >= s->symbol_count || s->symbols[local].name_len == 0)
        return 0;
    if (local >= in->id_room) {
        uint32_t room = s->symbol_count * 2 + 64;
        uint32_t *grown = realloc(in->id, room * sizeof *grown);
        if (!grown)
            return 0;
        memset(grown + in->id_room, 0, (room - in->id_room) * sizeof *grown);
        in->id = grown;
        in->id_room = room;
    }
    if (in->id[local] == 0) {
        bool fresh;
        int64_t id = node_id(f, &s->symbols[local], &fresh);
        if (id < 0)
            return 0;
        in->id[local] = (uint32_t)id + 1;
        if (fresh) {
            *used += put_symbol(f, (uint32_t)id, out + *used);
            *used += put_attributes(f, (uint32_t)id, out + *used);
            *used += put_history(f, (uint32_t)id, now_ns, out + *used);
            *used += put_splits(f, (uint32_t)id, now_ns, out + *used);
        }
    }
    return in->id[local];
}

static bool jumps(const struct input *in, const struct msg *m)
{
    return in->top_ns != INT64_MIN &&
           (m->event_ns - in->top_ns > JUMP_NS || in->top_ns - m->event_ns > JUMP_NS);
}

/* Makes the input's row at `at` one that counts, or finds its end. */
static bool head_ready(struct feed *f, struct input *in)
{
    for (;;) {
        if (in->at == in->n)
            fill(f, in);
        if (in->at == in->n)
            return false;
        struct msg *m = &in->slot[in->at];
        if (!jumps(in, m))
            return true;
        if (in->at + 1 == in->n)
            fill(f, in);
        m = &in->slot[in->at];
        const struct msg *after = in->at + 1 < in->n ? m + 1 : NULL;
        if (after && jumps(in, after) && (after->event_ns > in->top_ns) == (m->event_ns > in->top_ns)) {
            in->top_ns = m->event_ns; /* confirmed; a step back counts from here on too */
            return true;
        }
        f->rejected[REJECT_TIME_JUMP]++;
        in->at++;
    }
}

static void hold(struct held *h, const struct msg *m)
{
    if (m->symbol >= h->place_room) {
        uint32_t room = 2 * m->symbol + 64;
        h->place = realloc(h->place, room * sizeof *h->place);
        if (!h->place)
            abort();
        memset(h->place + h->place_room, 0, (room - h->place_room) * sizeof *h->place);
        h->place_room = room;
    }
    if (h->place[m->symbol]) {
        h->quote[h->place[m->symbol] - 1] = *m;
        h->conflated++;
        return;
    }
    if (h->n == h->room) {
        h->room = 2 * h->room + 64;
        h->quote = msgs_grow(h->quote, h->n, h->room);
    }
    h->quote[h->n++] = *m;
    h->place[m->symbol] = h->n;
}

/* What is held goes out at the time of the interval's last row, received with the row that ended it. */
static void let_go(struct held *h, int64_t recv_ns)
{
    h->over = true;
    h->out = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        h->place[h->quote[i].symbol] = 0;
        h->quote[i].event_ns = h->top_ns;
        h->quote[i].recv_ns = recv_ns;
    }
}

/* The row at the input's `at` is done with. */
static void pass_row(struct input *in)
{
    const struct msg *m = &in->slot[in->at++];
    in->top_ns = m->event_ns > in->top_ns ? m->event_ns : in->top_ns;
    in->held.top_ns = in->top_ns;
    in->held.recv_ns = m->recv_ns;
}

/* What comes next of an input whose quotes are conflated; NULL at its end. */
static struct msg *next_conflated(struct feed *f, struct input *in)
{
    struct held *h = &in->held;
    while (!h->over) {
        if (!head_ready(f, in)) {
            if (h->n == 0)
                return NULL;
            let_go(h, h->recv_ns);
            break;
        }
        struct msg *m = &in->slot[in->at];
        int64_t top_ns = m->event_ns > in->top_ns ? m->event_ns : in->top_ns;
        int64_t interval = top_ns / f->config.conflate_quotes_ns;
        if (interval != h->interval && h->n) {
            let_go(h, m->recv_ns);
            break;
        }
        h->interval = interval;
        if (m->type != MSG_QUOTE)
            return m;
        hold(h, m);
        pass_row(in);
    }
    return &h->quote[h->out];
}

static void pass_conflated(struct input *in)
{
    struct held *h = &in->held;
    if (!h->over) {
        pass_row(in);
        return;
    }
    h->over = ++h->out < h->n;
    h->n = h->over ? h->n : 0;
}

static struct msg *next_of(struct feed *f, struct input *in)
{
    if (f->config.conflate_quotes_ns)
        return next_conflated(f, in);
    return head_ready(f, in) ? &in->slot[in->at] : NULL;
}

/* The input's tick, behind what its symbol needs first. */
static void put_tick(struct feed *f, struct input *in, const struct msg *m, struct msg *out, int *used)
{
    uint32_t id = map_symbol(f, in, m->symbol, m->event_ns, out, used);
    if (id) {
        out[*used] = *m;
        out[(*used)++].symbol = id - 1;
    } else {
        f->rejected[REJECT_SYMBOLS_FULL]++;
    }
}

static int read_merged(struct feed *f, struct msg *out, int max)
{
    int used = 0;
    while (used + SYMBOL_ROOM <= max) {
        struct input *first = NULL;
        struct msg *least = NULL;
        for (unsigned i = 0; i < f->n; i++) {
            struct msg *m = next_of(f, &f->input[i]);
            if (m && (!least || m->recv_ns < least->recv_ns)) {
                first = &f->input[i];
                least = m;
            }
        }
        if (!least)
            break;
        if (f->config.conflate_quotes_ns) {
            put_tick(f, first, least, out, &used);
            pass_conflated(first);
            continue;
        }
        /* all that comes before the other inputs' heads, or all that is read ahead of the only one */
        do {
            struct msg *m = &first->slot[first->at];
            if (jumps(first, m))
                break;
            put_tick(f, first, m, out, &used);
            pass_row(first);
        } while (f->n == 1 && first->at < first->n && used + SYMBOL_ROOM <= max);
        if (f->n == 1 && used)
            break; /* read_alone goes on */
    }
    return used;
}

/* The only source's next rows, where they are to stay: up to the first that is new or odd, which is left for
 * read_merged with what follows it. */
static int read_alone(struct feed *f, struct msg *out)
{
    struct input *in = &f->input[0];
    int n = source_read(in->source, out, BATCH), i = 0;
    if (n <= 0) {
        end_input(f, in, n);
        return 0;
    }
    for (; i < n; i++) {
        struct msg *m = &out[i];
        if (!msg_is_tick(m) || m->symbol >= in->id_room || !in->id[m->symbol] ||
            (uint64_t)m->event_ns > (uint64_t)TIME_MAX_NS || jumps(in, m))
            break;
        in->top_ns = m->event_ns > in->top_ns ? m->event_ns : in->top_ns;
        m->symbol = in->id[m->symbol] - 1;
    }
    memcpy(in->slot, out + i, (size_t)(n - i) * sizeof *out);
    in->at = 0;
    in->n = keep_ticks(f, in->slot, n - i);
    return i;
}

static void learn_symbol(struct feed *f, const struct msg *m)
{
    struct source_symbol s = {.name_len = m->sym.name_len,
                              .size_scale = m->sym.size_scale,
                              .calendar = m->sym.calendar,
                              .tick_e9 = m->sym.tick_e9};
    if (m->symbol >= f->config.symbols_max || s.name_len > SOURCE_NAME_MAX)
        return;
    msg_get(m, MSG_FIRST_BYTES, s.name, s.name_len);
    f->symbol[m->symbol] = s;
    if (m->symbol >= f->symbols)
        f->symbols = m->symbol + 1;
}

/* What a capture gave, in[0..n): to `out`, which lies before it, with other attributes than its own. Returns
 * its slots now: a SYMBOL has two at least, an ATTR MSG_SLOTS_MAX at most. */
static int replace_attributes(struct feed *f, const struct msg *in, int n, struct msg *out)
{
    int used = 0;
    for (int at = 0, slots; at < n; at += slots) {
        slots = (int)msg_slot_count(&in[at]);
        if (in[at].type == MSG_ATTR && in[at].attr.kind == ATTR_FACTS)
            continue;
        memmove(out + used, &in[at], (size_t)slots * sizeof *in);
        const struct msg *m = &out[used];
        used += slots;
        if (m->type != MSG_SYMBOL || m->symbol >= f->config.symbols_max)
            continue;
        learn_symbol(f, m);
        int more = put_attributes(f, m->symbol, out + used);
        if (more)
            msg_set_seq(out + used, m->seq);
        used += more;
    }
    return used;
}

enum { REPLACED_SLOTS = BATCH / 2 * MSG_SLOTS_MAX + BATCH };
_Static_assert(REPLACED_SLOTS + BATCH <= 4096, "they fit what feed_read is given");

static int read_journal(struct feed *f, struct msg *out, int max)
{
    struct input *in = &f->input[0];
    struct msg *to = f->attributes ? out + max - BATCH : out;
    int n;
    do {
        if (in->ended)
            return 0;
        n = source_read(in->source, to, BATCH);
        if (n <= 0) {
            end_input(f, in, n);
            return 0;
        }
        if (f->attributes)
            n = replace_attributes(f, to, n, out);
    } while (n == 0);
    if (in->learned != in->source->learned)
        for (int at = 0; at < n; at += (int)msg_slot_count(&out[at]))
            if (out[at].type == MSG_SYMBOL)
                learn_symbol(f, &out[at]);
    in->learned = in->source->learned;
    return n;
}

int feed_read(struct feed *f, struct msg *out, int max)
{
    assert(max >= 4096);
    if (f->journal)
        return read_journal(f, out, max);
    struct input *in = &f->input[0];
    if (f->n == 1 && in->at == in->n && !in->ended && !f->config.conflate_quotes_ns) {
        int n = read_alone(f, out);
        if (n)
            return n;
    }
    return read_merged(f, out, max);
}

struct feed *feed_open(const char *const specs[], unsigned n, const struct source_config *config,
                       const struct history *history, const struct attribute_file *attributes,
                       struct error *err)
{
    if (n == 0 || n > FEED_SOURCES_MAX) {
        error_set(err, "%u sources, expected 1 to %d", n, FEED_SOURCES_MAX);
        return NULL;
    }
    struct feed *f = calloc(1, sizeof *f);
    if (!f)
        abort();
    f->config = *config;
    if (f->config.symbols_max == 0 || f->config.symbols_max > SOURCE_SYMBOLS_MAX)
        f->config.symbols_max = SOURCE_SYMBOLS_MAX;
    f->history = history;
    f->attributes = attributes;
    f->hash_mask = 64;
    while (f->hash_mask < 2 * f->config.symbols_max)
        f->hash_mask *= 2;
    f->hash = calloc(f->hash_mask--, sizeof *f->hash);
    f->symbol = calloc(f->config.symbols_max + 1u, sizeof *f->symbol);
    if (!f->hash || !f->symbol)
        abort();
    for (; f->n < n; f->n++) {
        struct input *in = &f->input[f->n];
        in->source = source_open(specs[f->n], config, err);
        if (!in->source) {
            feed_close(f);
            return NULL;
        }
        in->top_ns = INT64_MIN;
        in->slot = aligned_alloc(64, BATCH * sizeof *in->slot);
        if (!in->slot)
            abort();
    }
    f->journal = n == 1 && f->input[0].source->is_journal;
    return f;
}

bool feed_is_journal(const struct feed *f)
{
    return f->journal;
}
const char *feed_failure(const struct feed *f)
{
    return f->failure[0] ? f->failure : NULL;
}
uint32_t feed_symbol_count(const struct feed *f)
{
    return f->symbols;
}
const struct source_symbol *feed_symbol(const struct feed *f, uint32_t id)
{
    return &f->symbol[id];
}

static void add_skipped(struct source_stats *out, const char *kind, uint64_t count)
{
    int k = 0;
    while (k < SOURCE_SKIP_KINDS - 1 && out->skipped[k].kind[0] && strcmp(out->skipped[k].kind, kind))
        k++;
    if (!out->skipped[k].kind[0])
        snprintf(out->skipped[k].kind, sizeof out->skipped[k].kind, "%s",
                 k == SOURCE_SKIP_KINDS - 1 ? "other" : kind);
    out->skipped[k].count += count;
}

void feed_stats(const struct feed *f, struct source_stats *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->rejected, f->rejected, sizeof f->rejected);
    for (unsigned i = 0; i < f->n; i++) {
        const struct source_stats *s = &f->input[i].source->stats;
        out->rows += s->rows;
        out->bytes += s->bytes;
        out->conflated += f->input[i].held.conflated;
        for (int r = 0; r < REJECT_COUNT; r++)
            out->rejected[r] += s->rejected[r];
        for (int k = 0; k < SOURCE_SKIP_KINDS && s->skipped[k].kind[0]; k++)
            add_skipped(out, s->skipped[k].kind, s->skipped[k].count);
    }
}

void feed_log(struct feed *f, void (*log)(void *ctx, const char *line), void *ctx)
{
    for (unsigned i = 0; i < f->n; i++) {
        f->input[i].source->log = log;
        f->input[i].source->log_ctx = ctx;
    }
}

void feed_close(struct feed *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->n; i++) {
        if (f->input[i].source)
            source_close(f->input[i].source);
        free(f->input[i].slot);
        free(f->input[i].id);
        free(f->input[i].held.quote);
        free(f->input[i].held.place);
    }
    free(f->hash);
    free(f->symbol);
    free(f);
}
