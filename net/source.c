#include "net/source.h"
#include "shm/msg_memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define X(name, text, help) [REJECT_##name] = {text, help},
static const struct {
    const char *name, *help;
} reasons[REJECT_COUNT] = {REJECT_REASONS(X)};
#undef X

const char *reject_name(enum reject_reason reason)
{
    return reason < REJECT_COUNT ? reasons[reason].name : "?";
}

typedef struct source *source_opener(const char *argument, const struct source_config *config,
                                     struct error *err);
source_opener source_csv_open, source_binance_open, source_dbn_open, source_sim_open, source_capture_open;

const struct source_kind source_kinds[] = {
    {"csv", "FILE", "trades and quotes in columns named by the first line; plain or .zst", source_csv_open},
    {"binance-jsonl", "FILE", "Binance websocket messages, a line each: recv_ns {json}; plain or .zst",
     source_binance_open},
    {"dbn", "FILE", "Databento's binary files: trades, best bid and ask; plain or .zst", source_dbn_open},
    {"capture", "PATH", "what ringtape recorded: a journal's folder, or one segment", source_capture_open},
    {"sim", "KEY=VALUE,…", "a simulated market; the same seed gives the same ticks", source_sim_open},
};
const unsigned source_kind_count = sizeof source_kinds / sizeof *source_kinds;

/* What the operator sees: the kinds, or the one that was meant. */
static int unknown_kind(const char *spec, size_t len, struct error *err)
{
    const char *names[sizeof source_kinds / sizeof *source_kinds];
    char word[32], known[160] = "";
    for (unsigned i = 0; i < source_kind_count; i++) {
        names[i] = source_kinds[i].name;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", names[i]);
    }
    if (spec[len] == 0)
        return error_set(err, "source '%.200s': expected kind:argument (csv:%.100s?); kinds: %s", spec, spec,
                         known);
    snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word - 1), spec);
    const char *near = error_nearest(word, names, source_kind_count);
    return error_set(err, "source '%.200s': unknown kind '%s'%s%s%s; kinds: %s", spec, word,
                     near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", known);
}

struct source *source_open(const char *spec, const struct source_config *config, struct error *err)
{
    static const struct source_config none = {.dbn_calendar = CALENDAR_UTC24};
    size_t len = strcspn(spec, ":");
    for (unsigned i = 0; i < source_kind_count; i++) {
        const struct source_kind *kind = &source_kinds[i];
        if (strlen(kind->name) != len || memcmp(kind->name, spec, len) || !spec[len])
            continue;
        struct source *s = kind->open(spec + len + 1, config ? config : &none, err);
        if (!s)
            error_prefix(err, "source '%.200s'", spec);
        else
            snprintf(s->spec, sizeof s->spec, "%s", spec);
        return s;
    }
    unknown_kind(spec, len, err);
    return NULL;
}

void *source_new(size_t bytes, const struct source_ops *ops, const struct source_config *config,
                 struct error *err)
{
    struct source *s = msg_holder_new(bytes);
    if (!s) {
        error_set(err, "no memory for a source (%zu bytes)", bytes);
        return NULL;
    }
    s->ops = ops;
    s->config = *config;
    if (s->config.symbols_max == 0 || s->config.symbols_max > SOURCE_SYMBOLS_MAX)
        s->config.symbols_max = SOURCE_SYMBOLS_MAX;
    return s;
}

int source_read(struct source *s, struct msg *out, int max)
{
    assert(max >= MSG_SLOTS_MAX);
    if (s->ended)
        return s->failure.text[0] ? SOURCE_FAILED : SOURCE_END;
    int n = s->ops->read(s, out, max);
    assert(n <= max);
    s->ended = n <= 0;
    return n;
}

void source_close(struct source *s)
{
    s->ops->close(s);
    free(s->symbols);
    free(s->index);
    free(s);
}

enum reject_reason source_price_reason(enum decimal_result r)
{
    return r == DECIMAL_EMPTY      ? REJECT_PRICE_MISSING
           : r == DECIMAL_JUNK     ? REJECT_PRICE_FORMAT
           : r == DECIMAL_NEGATIVE ? REJECT_PRICE_SIGN
                                   : REJECT_PRICE_RANGE;
}

enum reject_reason source_size_reason(enum decimal_result r)
{
    return r == DECIMAL_EMPTY                           ? REJECT_SIZE_MISSING
           : r == DECIMAL_JUNK || r == DECIMAL_NEGATIVE ? REJECT_SIZE_FORMAT
                                                        : REJECT_SIZE_RANGE;
}

/* For a log line or a counter's label: what does not print becomes '?'. */
static void copy_printable(char *to, const char *from, size_t len)
{
    for (; len > 0; len--, from++)
        *to++ = (unsigned char)*from < 0x20 || *from == 0x7f ? '?' : *from;
    *to = 0;
}

void source_reject(struct source *s, enum reject_reason reason, uint64_t row, const char *text, size_t len)
{
    enum { SHOWN = 160 };
    char shown[SHOWN + 1], line[640];
    if (s->stats.rejected[reason]++ >= SOURCE_SAMPLES_PER_REASON || !s->log)
        return;
    copy_printable(shown, text, len < SHOWN ? len : SHOWN);
    snprintf(line, sizeof line, "%s: row %llu refused, %s: %s: %s%s", s->spec, (unsigned long long)row,
             reasons[reason].name, reasons[reason].help, shown, len > SHOWN ? " …" : "");
    s->log(s->log_ctx, line);
}

void source_skip(struct source *s, const char *kind, size_t len)
{
    char label[sizeof s->stats.skipped[0].kind];
    copy_printable(label, kind, len < sizeof label ? len : sizeof label - 1);
    unsigned i = 0;
    while (i < SOURCE_SKIP_KINDS - 1 && s->stats.skipped[i].count && strcmp(s->stats.skipped[i].kind, label))
        i++;
    if (s->stats.skipped[i].count++ == 0)
        strcpy(s->stats.skipped[i].kind, i < SOURCE_SKIP_KINDS - 1 ? label : "other");
}

/* Valid UTF-8 without control characters: names go into JSON and onto screens as they are. */
static bool printable(const char *name, size_t len)
{
    const unsigned char *p = (const unsigned char *)name, *end = p + len;
    while (p < end) {
        unsigned lead = *p++, more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        if (lead < 0x20 || lead == 0x7f || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4 ||
            (size_t)(end - p) < more)
            return false;
        if (more &&
            ((lead == 0xc2 && *p < 0xa0) || (lead == 0xe0 && *p < 0xa0) || (lead == 0xed && *p > 0x9f) ||
             (lead == 0xf0 && *p < 0x90) || (lead == 0xf4 && *p > 0x8f)))
            return false;
        for (; more; more--)
            if ((*p++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Doubles what is full; false if there is no memory. */
static bool make_room(struct source *s)
{
    if (s->symbol_count & (s->symbol_count - 1) || (s->symbol_count && s->symbol_count < 64))
        return true; /* room is 64, then each power of two */
    uint32_t room = s->symbol_count ? s->symbol_count * 2 : 64;
    struct source_symbol *symbols = realloc(s->symbols, room * sizeof *symbols);
    if (!symbols)
        return false;
    s->symbols = symbols;
    uint32_t *index = calloc(2 * (size_t)room, sizeof *index), mask = 2 * room - 1;
    if (!index)
        return false;
    for (uint32_t id = 0; id < s->symbol_count; id++) {
        uint32_t h = (uint32_t)XXH3_64bits(symbols[id].name, symbols[id].name_len);
        while (index[h & mask])
            h++;
        index[h & mask] = id + 1;
    }
    free(s->index);
    s->index = index;
    s->index_mask = mask;
    return true;
}

static uint32_t *find_cell(const struct source *s, const char *name, size_t len)
{
    uint32_t h = (uint32_t)XXH3_64bits(name, len);
    for (;; h++) {
        uint32_t *cell = &s->index[h & s->index_mask];
        const struct source_symbol *known = &s->symbols[*cell ? *cell - 1 : 0];
        if (*cell == 0 || (known->name_len == len && !memcmp(known->name, name, len)))
            return cell;
    }
}

int32_t source_symbol_find(const struct source *s, const char *name, size_t len)
{
    return s->index ? (int32_t)*find_cell(s, name, len) - 1 : -1;
}

int32_t source_symbol_id(struct source *s, const char *name, size_t len, uint64_t row)
{
    char full[SOURCE_NAME_MAX + 1];
    const char *market = s->config.market ? s->config.market : "";
    size_t suffix = *market ? strlen(market) + 1 : 0;
    if (len == 0 || len + suffix > SOURCE_NAME_MAX) {
        source_reject(s, len ? REJECT_SYMBOL_LENGTH : REJECT_SYMBOL_MISSING, row, name, len);
        return -1;
    }
    memcpy(full, name, len);
    if (suffix) {
        full[len] = '.';
        memcpy(full + len + 1, market, suffix - 1);
        len += suffix;
    }
    int32_t known = source_symbol_find(s, full, len);
    if (known >= 0)
        return known;
    enum reject_reason bad = !printable(full, len) ? REJECT_SYMBOL_LENGTH
                             : s->symbol_count == s->config.symbols_max || !make_room(s) ? REJECT_SYMBOLS_FULL
                                                                                         : REJECT_NONE;
    if (bad != REJECT_NONE) {
        source_reject(s, bad, row, full, len);
        return -1;
    }
    struct source_symbol *symbol = &s->symbols[s->symbol_count];
    *symbol = (struct source_symbol){.name_len = (uint8_t)len,
                                     .size_scale = s->size_scale,
                                     .calendar = s->calendar,
                                     .tick_e9 = s->tick_e9};
    memcpy(symbol->name, full, len);
    *find_cell(s, full, len) = s->symbol_count + 1;
    return (int32_t)s->symbol_count++;
}
