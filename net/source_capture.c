/* capture:PATH. What a journal holds, as it was stamped: all records with their seqs. Where the capture does
 * not start with message 1, what was in force at its start comes first, with seq 0.
 *
 * Beyond the files' checksums each record's form is checked, so that nobody behind has to: a capture may come
 * from anywhere.
 */
#include "net/source.h"

#include "core/attribute.h"
#include "core/bucket.h"
#include "net/calendar.h"
#include "net/capture.h"
#include "net/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct capture_source {
    struct source base;
    struct journal_reader *reader;
    bool failed;
};

const char *capture_record_fault(const struct msg *m)
{
    uint32_t slots = msg_slot_count(m);
    switch ((enum msg_type)m->type) {
    case MSG_TRADE:
    case MSG_QUOTE:
    case MSG_CANCEL:
    case MSG_STATUS:
    case MSG_END:
        return slots == 1 ? NULL : "expected one slot";
    case MSG_CLOCK:
        return slots == 1 && m->symbol < BUCKET_ALL ? NULL : "expected one slot and a bucket";
    case MSG_SYMBOL:
        if (m->sym.name_len == 0 || m->sym.name_len > SOURCE_NAME_MAX || m->sym.bucket >= BUCKET_COUNT ||
            m->sym.calendar >= CALENDARS_MAX)
            return "expected a name of 1 to 63 bytes, a bucket and a calendar";
        return slots >= msg_slots(MSG_FIRST_BYTES + m->sym.name_len) ? NULL : "expected its name in it";
    case MSG_ATTR: {
        struct attributes a;
        return m->attr.kind != ATTR_FACTS || attributes_read(m, &a)
                   ? NULL
                   : "expected numbers from 0, times and texts";
    }
    case MSG_HISTORY_BAR:
        return slots >= 2 ? NULL : "expected two slots";
    case MSG_RULE:
    case MSG_SETTING:
        return m->part.len <= MSG_PAYLOAD_MAX - MSG_FIRST_BYTES &&
                       slots >= msg_slots(MSG_FIRST_BYTES + (size_t)m->part.len)
                   ? NULL
                   : "expected its text in it";
    case MSG_ORDER:
        return NULL;
    default:
        return "expected what is given to an engine, not what it emits";
    }
}

/* Keeps the symbol under its id. False if that is beyond limits.symbols. */
static bool learn_symbol(struct source *s, const struct msg *m)
{
    uint32_t id = m->symbol;
    if (id >= s->config.symbols_max)
        return false;
    if (id >= s->symbol_count) {
        uint32_t count = id + 1, room = 64;
        while (room < count)
            room *= 2;
        struct source_symbol *grown = realloc(s->symbols, room * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + s->symbol_count, 0, (room - s->symbol_count) * sizeof *grown);
        s->symbols = grown;
        s->symbol_count = count;
    }
    struct source_symbol *to = &s->symbols[id];
    *to = (struct source_symbol){.name_len = m->sym.name_len,
                                 .size_scale = m->sym.size_scale,
                                 .calendar = m->sym.calendar,
                                 .tick_e9 = m->sym.tick_e9};
    msg_get(m, MSG_FIRST_BYTES, to->name, to->name_len);
    s->learned++;
    return true;
}

static inline bool is_tick(const struct msg *m)
{
    return (msg_is_tick(m) || (m->type == MSG_CLOCK && m->symbol < BUCKET_COUNT)) &&
           !(m->flags & MSG_MORE_MASK);
}

static int capture_read(struct source *s, struct msg *out, int max)
{
    struct capture_source *c = (struct capture_source *)s;
    if (c->failed)
        return SOURCE_FAILED;
    int64_t n = journal_read(c->reader, out, (size_t)max, &s->failure);
    s->stats.bytes = journal_reader_info(c->reader)->block_bytes;
    if (n < 0)
        return SOURCE_FAILED;
    const char *note = journal_reader_note(c->reader);
    if (n == 0 && *note && s->log)
        s->log(s->log_ctx, note);
    uint64_t rows = s->stats.rows;
    for (int64_t i = 0; i < n; rows++) {
        const struct msg *m = &out[i];
        if (is_tick(m)) {
            i++;
            continue;
        }
        const char *fault = capture_record_fault(m);
        if (fault) {
            error_set(&s->failure,
                      "%s: message %" PRIu64 " is a %s that nobody can use: %s; it was not ringtape that "
                      "wrote it",
                      s->spec, m->seq, msg_type_name(m->type), fault);
            c->failed = true;
            s->stats.rows = rows;
            return i ? (int)i : SOURCE_FAILED;
        }
        if (m->type == MSG_SYMBOL && !learn_symbol(s, m)) {
            char name[SOURCE_NAME_MAX + 1];
            msg_get(m, MSG_FIRST_BYTES, name, m->sym.name_len);
            source_reject(s, REJECT_SYMBOLS_FULL, rows + 1, name, m->sym.name_len);
        }
        i += msg_slot_count(m);
    }
    s->stats.rows = rows;
    return (int)n;
}

static void capture_close(struct source *s)
{
    journal_reader_close(((struct capture_source *)s)->reader);
}

struct source *source_capture_open(const char *argument, const struct source_config *config,
                                   struct error *err)
{
    static const struct source_ops ops = {.read = capture_read, .close = capture_close};
    struct journal_reader_options options = {.in_force = true};
    struct journal_reader *reader = journal_reader_open(argument, &options, err);
    if (!reader)
        return NULL;
    struct capture_source *c = source_new(sizeof *c, &ops, config, err);
    if (!c) {
        journal_reader_close(reader);
        return NULL;
    }
    c->reader = reader;
    c->base.is_journal = true;
    return &c->base;
}
