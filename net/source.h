/* A source of ticks: a file, a capture, a simulated market. It decodes and normalises; it stamps nothing.
 *
 * A source names its symbols with ids of its own (0, 1, 2 … in order of appearance); the sequencer maps them
 * to the node's. Ticks (msg_is_tick) come out as messages of one slot with seq 0, event_ns, recv_ns, payload,
 * `symbol` = the source's id. (A capture gives whole records of any type, with their seq: is_journal.)
 *
 * What is no good is refused, counted by reason, and logged (the first few of each reason, with place and
 * content); what is of no use (book updates) is skipped and counted by kind. Neither stops a source.
 *
 * Threading: one thread per source. No allocation after open, but for a new symbol.
 */
#ifndef NET_SOURCE_H
#define NET_SOURCE_H

#include "core/decimal.h"
#include "core/error.h"
#include "core/message.h"
#include "core/reject.h"

const char *reject_name(enum reject_reason reason);

enum {
    SOURCE_NAME_MAX = 63,
    SOURCE_SKIP_KINDS = 32,
    SOURCE_SAMPLES_PER_REASON = 3,
    SOURCE_SYMBOLS_MAX = 1 << 20,
    SOURCE_CACHE = 1024,
};

/* Calendars: which sessions a symbol has. */
enum calendar_id { CALENDAR_US_EQUITY, CALENDAR_UTC24, CALENDAR_COUNT };

struct conditions;
struct splits;

struct source_symbol {
    char name[SOURCE_NAME_MAX + 1];
    uint8_t name_len;
    uint8_t size_scale;
    uint8_t calendar; /* enum calendar_id */
    int64_t tick_e9;  /* 0 = unknown */
};

/* What the operator may say of sources; from the settings. */
struct source_config {
    const char *market; /* appended to names as ".market"; NULL = nothing */
    int csv_size_scale; /* decimal places of sizes in csv: (default 0) */
    int csv_calendar;   /* enum calendar_id of symbols in csv: (default CALENDAR_US_EQUITY) */
    int dbn_calendar;   /* likewise, in dbn: */
    const struct conditions *conditions; /* what sources call sale conditions; NULL = letters only */
    const struct splits *splits;         /* for the feed; NULL = none */
    uint32_t symbols_max;                /* limits.symbols; 0 = SOURCE_SYMBOLS_MAX */
    int64_t conflate_quotes_ns;          /* for the feed: see there; 0 = off */
};

struct source_stats {
    uint64_t rows;      /* lines or messages read, good or bad, without header */
    uint64_t bytes;     /* of input, uncompressed */
    uint64_t conflated; /* by the feed: quotes that a later one has replaced */
    uint64_t rejected[REJECT_COUNT];
    struct {
        char kind[24];
        uint64_t count;
    } skipped[SOURCE_SKIP_KINDS]; /* kinds in order of appearance; the last one takes all further kinds as
                                     "other" */
};

struct source;

/* What a kind of source implements. */
struct source_ops {
    /* As source_read, which calls it no more once it has returned SOURCE_END or SOURCE_FAILED. */
    int (*read)(struct source *s, struct msg *out, int max);
    /* Releases what is the kind's own, not the struct itself: source_close frees that. */
    void (*close)(struct source *s);
};

/* One row per kind: `ringtape sources` and the help show them. */
struct source_kind {
    const char *name, *argument, *help;
    /* A struct of the kind's, made by source_new; NULL with err set. */
    struct source *(*open)(const char *argument, const struct source_config *config, struct error *err);
};
extern const struct source_kind source_kinds[];
extern const unsigned source_kind_count;

/* Names of up to 8 bytes as one word -> id: the next tick of a symbol costs no hashing of its name. */
struct source_cache {
    uint64_t word;
    uint32_t id, len;
};

/* The common head of every source; a kind embeds it as its first member. */
struct source {
    const struct source_ops *ops;
    char spec[256];  /* as the user wrote it, for messages */
    bool is_journal; /* yields stamped records: seq, CLOCK, SYMBOL, RULE, SETTING and all */
    bool ended;
    uint8_t size_scale, calendar; /* of the symbols that come */
    int64_t tick_e9;
    struct source_config config;
    struct source_stats stats;
    struct source_symbol *symbols; /* grows; valid until the next read */
    uint32_t symbol_count;
    uint32_t learned; /* SYMBOL records of a capture so far */
    uint32_t *index;  /* of names: open addressing, 1 + id */
    uint32_t index_mask;
    struct source_cache cache[SOURCE_CACHE];
    struct error failure;                     /* after SOURCE_FAILED */
    void (*log)(void *ctx, const char *line); /* sample log of refused rows; may be NULL */
    void *log_ctx;
};

enum { SOURCE_END = 0, SOURCE_FAILED = -1 };

/* Opens "kind:argument". NULL with err set (unknown kind with the nearest known, no such file, missing column
 * …). */
struct source *source_open(const char *spec, const struct source_config *config, struct error *err);

/* Reads up to `max` slots (max >= MSG_SLOTS_MAX). Returns how many (> 0), SOURCE_END, or SOURCE_FAILED with
 * s->failure set: what was read before it is good, and the source is at its end. */
int source_read(struct source *s, struct msg *out, int max) __attribute__((warn_unused_result));

void source_close(struct source *s);

/* For the kinds' use. */

/* A zeroed struct of `bytes` that starts with struct source; NULL with err set if there is no memory. */
void *source_new(size_t bytes, const struct source_ops *ops, const struct source_config *config,
                 struct error *err);
/* Counts and logs a refused row; `row` is the number of its line or message, `text` what of it is shown. */
void source_reject(struct source *s, enum reject_reason reason, uint64_t row, const char *text, size_t len);
void source_skip(struct source *s, const char *kind, size_t len);
/* The id of a name, new or known; -1 and counted where it cannot be taken. O(1), allocation only for a new
 * one. */
int32_t source_symbol_id(struct source *s, const char *name, size_t len, uint64_t row);

/* A price above 0, a time, a size out of a field's text (DECIMAL_PAD
 * bytes behind it can be read): REJECT_NONE, or why the row is refused. */
#define REJECT_NONE REJECT_COUNT
enum { SOURCE_SIZE_SCALE_MAX = 9 };
enum reject_reason source_price_reason(enum decimal_result r);
enum reject_reason source_size_reason(enum decimal_result r);

static inline enum reject_reason source_price(const char *text, size_t len, int64_t *price_e9)
{
    uint64_t value = 0;
    enum decimal_result r = decimal_parse_padded(text, len, 9, &value);
    *price_e9 = (int64_t)value;
    if (r == DECIMAL_OK && *price_e9 > 0)
        return REJECT_NONE;
    return source_price_reason(r != DECIMAL_OK ? r : value ? DECIMAL_OVERFLOW : DECIMAL_NEGATIVE);
}

/* A time in nanoseconds since 1970. */
static inline enum reject_reason source_time(const char *text, size_t len, int64_t *ns)
{
    uint64_t value = 0;
    enum decimal_result r = decimal_parse_whole_padded(text, len, &value);
    *ns = (int64_t)value;
    return r == DECIMAL_OK && *ns >= 0 ? REJECT_NONE : len ? REJECT_TIME_FORMAT : REJECT_TIME_MISSING;
}

/* A size may be 0: such a trade moves the price, and adds nothing. */
static inline enum reject_reason source_size(const char *text, size_t len, unsigned scale, uint64_t *size)
{
    enum decimal_result r = decimal_parse_padded(text, len, scale, size);
    return r == DECIMAL_OK ? REJECT_NONE : source_size_reason(r);
}

/* The id of a full name (with the market); -1 if there is none. */
int32_t source_symbol_find(const struct source *s, const char *name, size_t len);

/* source_symbol_id for a name behind which 8 bytes can be read. */
static inline int32_t source_symbol_id_padded(struct source *s, const char *name, size_t len, uint64_t row)
{
    if (len - 1 >= 8)
        return source_symbol_id(s, name, len, row);
    uint64_t word;
    memcpy(&word, name, 8);
    word &= UINT64_MAX >> (64 - 8 * len);
    struct source_cache *c = &s->cache[(word * 0x9e3779b97f4a7c15u) >> 54];
    if (c->word == word && c->len == len)
        return (int32_t)c->id;
    int32_t id = source_symbol_id(s, name, len, row);
    if (id >= 0)
        *c = (struct source_cache){word, (uint32_t)id, (uint32_t)len};
    return id;
}
_Static_assert(SOURCE_CACHE == 1 << (64 - 54), "the hash gives 10 bits");

#endif
