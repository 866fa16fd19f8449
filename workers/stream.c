#include "workers/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/sequencer.h"
#include "net/calendar.h"
#include "net/conditions.h"
#include "net/splits.h"

enum { FEED_ROOM = 4096 };

struct stream {
    struct feed *feed;
    struct history *history;
    struct attribute_file *attributes;
    struct sequencer *sequencer;
    struct conditions conditions;
    struct calendars *calendars;
    struct splits *splits;
    struct msg *opening; /* settings and rules, not yet stamped */
    int opening_at, opening_n, opening_rules;
    struct rules_batch *insert; /* rules and attributes that come later, by seq */
    uint32_t inserts, insert_next, insert_at;
    uint64_t insert_seq;
    struct msg *held; /* read before, and to come behind them */
    int held_at, held_n;
    struct msg *fed; /* what the feed gave and the sequencer has not taken */
    int fed_at, fed_n;
    bool journal, drop_rules, drop_settings;
    bool settings_lead; /* the capture's first settings are still to come, the opening is behind them */
    bool stop, ended;
    /* of a capture */
    uint64_t count[MSG_TYPE_COUNT];
    uint64_t last_seq;
    int64_t top_ns;
};

static void *must(void *p)
{
    if (!p)
        abort(); /* out of memory at start */
    return p;
}

/* Does the engine have the setting? Of anomalies only where they are looked for. */
static bool is_of_engine(const struct settings *s, int id)
{
    const char *section = setting_table[id].section;
    return !strcmp(section, "bars") || (s->anomalies_enabled && !strcmp(section, "anomalies"));
}

/* The settings that change results, as messages. */
static int settings_messages(const struct settings *s, const struct conditions *conditions, struct msg *out)
{
    int used = 0;
    for (int id = 0; id < SETTING_COUNT; id++) {
        char text[CONDITIONS_TEXT_MAX + 80], value[SETTING_TEXT_MAX];
        if (!is_of_engine(s, id) || id == SETTING_ID_bars_conditions)
            continue;
        setting_value(s, (enum setting_id)id, value);
        snprintf(text, sizeof text, "%s=%s", setting_table[id].name, value);
        used += setting_message(text, out + used);
        if (id == SETTING_ID_bars_eligibility && s->bars_eligibility == SET_BARS_ELIGIBILITY_TABLE) {
            snprintf(text, sizeof text, "bars.condition_table=%s", conditions->text);
            used += setting_message(text, out + used);
        }
    }
    return used;
}

/* A capture has settings of its own: different ones on the command line must be meant. */
static int check_settings(const struct stream_options *o, struct error *err)
{
    for (int id = 0; id < SETTING_COUNT; id++)
        if ((!strcmp(setting_table[id].section, "bars") || !strcmp(setting_table[id].section, "anomalies") ||
             id == SETTING_ID_calendar_file || id == SETTING_ID_splits_file) &&
            o->settings->from[id].origin == SETTING_FROM_COMMAND)
            return error_set(err,
                             "%s: a capture brings its own %s; to use the command line's, add --override",
                             o->sources[0], setting_table[id].name);
    return 0;
}

static int open_sequencer(struct stream *s, const struct stream_options *o)
{
    struct sequencer_options q = {.symbols_max = (uint32_t)o->settings->limits_symbols,
                                  .lateness_ns = o->settings->bars_lateness_ms * 1000000,
                                  .first_seq = o->first_seq,
                                  .calendar = calendar_day,
                                  .calendar_ctx = s->calendars};
    size_t bytes = (sequencer_footprint(&q) + 63) & ~(size_t)63;
    void *mem = must(aligned_alloc(64, bytes));
    memset(mem, 0, bytes);
    s->sequencer = sequencer_new(mem, &q);
    return 0;
}

/* Settings and rules, in the order in which they go first. */
static int open_opening(struct stream *s, const struct stream_options *o, struct error *err)
{
    struct rules_file *rules = NULL;
    bool settings = !s->journal || o->override;
    if (o->rules && !o->opening_rules &&
        !(rules = rules_file_read(o->rules, (double)o->settings->rules_cooldown_default, err)))
        return -1;
    size_t room = 256 + SETTING_COUNT + (o->opening_rules ? o->opening_rules->n : 0);
    for (uint32_t i = 0; rules && i < rules->n; i++)
        room += (sizeof(struct rule) + rules->rule[i].expr_len + rules->rule[i].symbols_len) /
                    (MSG_PAYLOAD_MAX - MSG_FIRST_BYTES) * MSG_SLOTS_MAX +
                MSG_SLOTS_MAX;
    s->opening = must(aligned_alloc(64, room * sizeof *s->opening));
    if (settings)
        s->opening_n = settings_messages(o->settings, &s->conditions, s->opening);
    int bad = 0;
    if (rules && rules->n > o->settings->limits_rules)
        bad = error_set(err, "%s: %u rules, but limits.rules is %lld", o->rules, rules->n,
                        (long long)o->settings->limits_rules);
    s->opening_rules = s->opening_n;
    if (o->opening_rules) {
        memcpy(s->opening + s->opening_n, o->opening_rules->m, o->opening_rules->n * sizeof *s->opening);
        s->opening_n += (int)o->opening_rules->n;
    }
    for (uint32_t i = 0; !bad && rules && i < rules->n; i++)
        s->opening_n += rule_messages(&rules->rule[i], i, s->opening + s->opening_n);
    assert((size_t)s->opening_n <= room);
    s->drop_rules = rules != NULL;
    s->drop_settings = s->journal && o->override;
    s->settings_lead = s->journal && !o->override && o->settings_lead && s->opening_n;
    rules_file_free(rules);
    return bad;
}

static int open_calendars(struct stream *s, const struct settings *set, struct source_config *config,
                          struct error *err)
{
    s->calendars = calendars_open(set->calendar_file, err);
    if (!s->calendars)
        return error_prefix(err, "calendar.file");
    config->csv_calendar = calendars_find(s->calendars, set->csv_calendar, err);
    if (config->csv_calendar < 0)
        return error_prefix(err, "csv.calendar");
    config->dbn_calendar = calendars_find(s->calendars, set->dbn_calendar, err);
    return config->dbn_calendar < 0 ? error_prefix(err, "dbn.calendar") : 0;
}

/* A capture has its own, unless the command line says others. */
static int open_attributes(struct stream *s, const struct stream_options *o,
                           const struct source_config *config, struct error *err)
{
    bool capture = o->n_sources == 1 && !strncmp(o->sources[0], "capture:", 8);
    const char *file = o->attributes ? o->attributes : capture ? "" : o->settings->symbols_attributes;
    if (*file && !(s->attributes = attribute_file_load(file, config, o->log, o->log_ctx, err)))
        return -1;
    return 0;
}

struct stream *stream_open(const struct stream_options *o, struct error *err)
{
    const struct settings *set = o->settings;
    struct stream *s = must(calloc(1, sizeof *s));
    struct source_config config = {.market = set->source_market[0] ? set->source_market : NULL,
                                   .csv_size_scale = (int)set->csv_size_scale,
                                   .symbols_max = (uint32_t)set->limits_symbols,
                                   .conflate_quotes_ns = set->conflate_quotes_ms * 1000000};
    s->top_ns = INT64_MIN;
    config.conditions = &s->conditions;
    if (conditions_read(&s->conditions, set->bars_conditions, err) < 0 ||
        open_calendars(s, set, &config, err) < 0 ||
        !(config.splits = s->splits = splits_load(set->splits_file, err)) ||
        (o->history && !(s->history = history_load(o->history, &config, o->log, o->log_ctx, err))) ||
        open_attributes(s, o, &config, err) < 0 ||
        !(s->feed = feed_open(o->sources, o->n_sources, &config, s->history, s->attributes, err)))
        goto fail;
    feed_log(s->feed, o->log, o->log_ctx);
    s->journal = feed_is_journal(s->feed);
    if (s->journal && !o->override && check_settings(o, err) < 0)
        goto fail;
    if (open_sequencer(s, o) < 0 || open_opening(s, o, err) < 0)
        goto fail;
    s->fed = must(aligned_alloc(64, FEED_ROOM * sizeof *s->fed));
    return s;
fail:
    stream_close(s);
    return NULL;
}

static int put_end(struct stream *s, struct msg *out, int max, bool clocks)
{
    size_t used = 0;
    s->ended = true;
    if (!s->journal) {
        sequencer_end(s->sequencer, clocks, out, (size_t)max, &used);
    } else if (s->count[MSG_END] == 0) { /* a capture that was cut off */
        used = msg_begin(out, MSG_END, 0, 0);
        out->seq = s->last_seq + 1;
        out->event_ns = s->top_ns == INT64_MIN ? 0 : s->top_ns;
        s->count[MSG_END]++;
        s->last_seq++;
    }
    return (int)used;
}

/* The opening: with seqs, except before a capture's own. */
static int read_opening(struct stream *s, struct msg *out, int max)
{
    size_t used = 0;
    int left = s->opening_n - s->opening_at;
    if (!s->journal) {
        s->opening_at += (int)sequencer_apply(s->sequencer, s->opening + s->opening_at, (size_t)left, out,
                                              (size_t)max, &used);
        return (int)used;
    }
    int n = 0;
    while (n < left && n + MSG_SLOTS_MAX < max) {
        s->count[s->opening[s->opening_at + n].type]++;
        n += (int)msg_slot_count(&s->opening[s->opening_at + n]);
    }
    memcpy(out, s->opening + s->opening_at, (size_t)n * sizeof *out);
    s->opening_at += n;
    return n;
}

const struct msg *stream_opening_rules(const struct stream *s, uint32_t *n)
{
    *n = (uint32_t)(s->opening_n - s->opening_rules);
    return s->opening + s->opening_rules;
}

static uint64_t records(const struct msg *m, uint32_t n, enum msg_type type)
{
    uint64_t count = 0;
    for (uint32_t at = 0; at < n; at += msg_slot_count(&m[at]))
        count += m[at].type == type;
    return count;
}

/* m[0..n) comes again, before what is held already. */
static void hold(struct stream *s, const struct msg *m, int n)
{
    int left = s->held_n - s->held_at;
    if (n == 0)
        return;
    struct msg *held = must(aligned_alloc(64, (size_t)(n + left) * sizeof *held));
    memcpy(held, m, (size_t)n * sizeof *held);
    if (left)
        memcpy(held + n, s->held + s->held_at, (size_t)left * sizeof *held);
    free(s->held);
    s->held = held;
    s->held_at = 0;
    s->held_n = n + left;
}

uint64_t stream_next_seq(const struct stream *s)
{
    return s->held_at < s->held_n ? s->held[s->held_at].seq : sequencer_next_seq(s->sequencer);
}

void stream_insert(struct stream *s, const struct rules_batch *batch, const struct msg *rest, int n)
{
    assert(!s->journal);
    s->insert = must(realloc(s->insert, (s->inserts + 1u) * sizeof *s->insert));
    s->insert[s->inserts++] = *batch;
    hold(s, rest, n);
}

bool stream_is_inserting(const struct stream *s)
{
    return s->insert_next < s->inserts;
}

bool stream_is_holding(const struct stream *s)
{
    return s->held_at < s->held_n;
}

static bool insert_is_due(const struct stream *s)
{
    return s->insert_next < s->inserts &&
           (s->insert_at || stream_next_seq(s) >= s->insert[s->insert_next].seq);
}

/* Rules that come here: what is held moves on by as many. */
static int read_inserted(struct stream *s, struct msg *out, int max)
{
    const struct rules_batch *b = &s->insert[s->insert_next];
    int n = 0;
    if (s->insert_at == 0) {
        uint64_t attributes = records(b->m, b->n, MSG_ATTR),
                 more = attributes + records(b->m, b->n, MSG_RULE);
        s->insert_seq = stream_next_seq(s);
        for (int at = s->held_at; at < s->held_n; at += (int)msg_slot_count(&s->held[at]))
            msg_set_seq(&s->held[at], s->held[at].seq + more);
        sequencer_pass(s->sequencer, MSG_RULE, more - attributes);
        sequencer_pass(s->sequencer, MSG_ATTR, attributes);
    }
    while (s->insert_at < b->n && n + MSG_SLOTS_MAX <= max) {
        uint32_t slots = msg_slot_count(&b->m[s->insert_at]);
        memcpy(out + n, b->m + s->insert_at, slots * sizeof *out);
        msg_set_seq(out + n, s->insert_seq++);
        s->insert_at += slots;
        n += (int)slots;
    }
    if (s->insert_at == b->n) {
        s->insert_next++;
        s->insert_at = 0;
    }
    return n;
}

static int read_held(struct stream *s, struct msg *out, int max)
{
    int n = 0;
    while (s->held_at < s->held_n && n + MSG_SLOTS_MAX <= max) {
        uint32_t slots = msg_slot_count(&s->held[s->held_at]);
        memcpy(out + n, s->held + s->held_at, slots * sizeof *out);
        s->held_at += (int)slots;
        n += (int)slots;
    }
    return n;
}

/* Of what was read, all from the place on where rules come is held. */
static int hold_behind(struct stream *s, const struct msg *out, int n)
{
    int at = 0;
    if (s->journal || s->insert_next == s->inserts || s->insert_at)
        return n;
    while (at < n && out[at].seq < s->insert[s->insert_next].seq)
        at += (int)msg_slot_count(&out[at]);
    hold(s, out + at, n - at);
    return at;
}

/* Does the command line replace it? */
static bool replaced(const struct stream *s, const struct msg *m)
{
    bool calendar = m->type == MSG_SETTING && !memcmp(m[1].body, "calendar", 8);
    return (m->type == MSG_RULE && s->drop_rules) ||
           (m->type == MSG_SETTING && s->drop_settings && !calendar);
}

static int read_capture(struct stream *s, struct msg *out, int max)
{
    int n, kept;
    do {
        uint64_t trades = 0, quotes = 0;
        int64_t top_ns = s->top_ns;
        n = feed_read(s->feed, out, max);
        kept = 0;
        for (int at = 0, slots; at < n; at += slots) {
            const struct msg *m = &out[at];
            bool trade = m->type == MSG_TRADE, quote = m->type == MSG_QUOTE;
            slots = 1;
            if (trade | quote) {
                top_ns = m->event_ns > top_ns ? m->event_ns : top_ns;
                trades += trade;
                quotes += quote;
            } else {
                slots = (int)msg_slot_count(m);
                if (replaced(s, m))
                    continue;
                s->count[m->type]++;
                if (msg_is_tick(m) && m->event_ns > top_ns)
                    top_ns = m->event_ns;
            }
            if (kept != at)
                memmove(&out[kept], m, (size_t)slots * sizeof *out);
            kept += slots;
        }
        if (kept && out[kept - 1].seq > s->last_seq) /* seqs rise; what was in force has none */
            s->last_seq = out[kept - 1].seq;
        s->count[MSG_TRADE] += trades;
        s->count[MSG_QUOTE] += quotes;
        s->top_ns = top_ns;
    } while (n > 0 && kept == 0);
    return kept;
}

/* What comes before the opening, then that; what else was read is held. */
static int read_leading(struct stream *s, struct msg *out, int max)
{
    int n = read_capture(s, out, max), at = 0;
    while (at < n && out[at].type == MSG_SETTING)
        at += (int)msg_slot_count(&out[at]);
    s->settings_lead = n > 0 && at == n;
    hold(s, out + at, n - at);
    return at ? at : read_opening(s, out, max);
}

static int read_next(struct stream *s, struct msg *out, int max)
{
    if (s->settings_lead)
        return read_leading(s, out, max);
    if (s->opening_at < s->opening_n)
        return read_opening(s, out, max);
    if (s->held_at < s->held_n)
        return read_held(s, out, max);
    if (s->ended)
        return 0;
    if (s->journal) {
        int n = read_capture(s, out, max);
        return n ? n : put_end(s, out, max, true);
    }
    if (s->fed_at == s->fed_n) {
        s->fed_at = 0;
        s->fed_n = feed_read(s->feed, s->fed, FEED_ROOM);
        if (s->fed_n == 0)
            return put_end(s, out, max, true);
    }
    size_t used = 0;
    s->fed_at += (int)sequencer_apply(s->sequencer, s->fed + s->fed_at, (size_t)(s->fed_n - s->fed_at), out,
                                      (size_t)max, &used);
    return (int)used;
}

int stream_read(struct stream *s, struct msg *out, int max)
{
    assert(max >= STREAM_ROOM);
    if (s->stop)
        return s->ended ? 0 : put_end(s, out, max, false);
    for (;;) {
        if (insert_is_due(s))
            return read_inserted(s, out, max);
        int n = read_next(s, out, max), kept = hold_behind(s, out, n);
        if (kept || n == 0)
            return kept;
    }
}

/* What has not been read of rules that come, and of what they hold up. */
static void take_back_inserted(struct stream *s)
{
    sequencer_take_back(s->sequencer, s->held + s->held_at, (size_t)(s->held_n - s->held_at));
    s->held_at = s->held_n;
    if (s->insert_at == 0)
        return;
    struct rules_batch *b = &s->insert[s->insert_next];
    struct msg *left = b->m + s->insert_at;
    for (uint32_t at = 0; at < b->n - s->insert_at; at += msg_slot_count(&left[at]))
        msg_set_seq(&left[at], s->insert_seq++);
    sequencer_take_back(s->sequencer, left, b->n - s->insert_at);
}

void stream_stop(struct stream *s, const struct msg *rest, int n)
{
    s->stop = true;
    if (!s->journal) {
        take_back_inserted(s);
        sequencer_take_back(s->sequencer, rest, (size_t)n);
        return;
    }
    for (int at = 0; at < n; at += (int)msg_slot_count(&rest[at]))
        s->count[rest[at].type]--;
    if (n)
        s->last_seq = rest->seq - 1;
}
bool stream_is_capture(const struct stream *s)
{
    return s->journal;
}
const uint64_t *stream_counts(const struct stream *s)
{
    return s->journal ? s->count : sequencer_counts(s->sequencer);
}
void stream_stats(const struct stream *s, struct source_stats *out)
{
    feed_stats(s->feed, out);
}
const char *stream_failure(const struct stream *s)
{
    return feed_failure(s->feed);
}
uint64_t stream_last_seq(const struct stream *s)
{
    return s->journal ? s->last_seq : sequencer_next_seq(s->sequencer) - 1;
}
int64_t stream_time(const struct stream *s)
{
    return s->journal ? s->top_ns : sequencer_time(s->sequencer);
}
uint32_t stream_symbol_count(const struct stream *s)
{
    return feed_symbol_count(s->feed);
}
const struct source_symbol *stream_symbol(const struct stream *s, uint32_t id)
{
    return feed_symbol(s->feed, id);
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    feed_close(s->feed);
    if (s->history)
        history_free(s->history);
    if (s->attributes)
        attribute_file_free(s->attributes);
    calendars_close(s->calendars);
    splits_free(s->splits);
    free(s->sequencer);
    free(s->opening);
    free(s->fed);
    free(s->insert);
    free(s->held);
    free(s);
}
