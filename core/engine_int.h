/* The engine's inside, shared by engine.c (messages), engine_bars.c (time, sessions, bars), engine_days.c
 * (daily bars), engine_events.c, engine_anomaly.c (anomalies), trade_pool.c and correction.c (what is
 * cancelled), alert_pool.c, past.c and alert_revise.c (alerts whose print is), metric_state.c and
 * metric_days.c (values) and rule_load.c, rule_index.c, rule_sieve.c, rule_span.c and rule_fire.c (rules).
 */
#ifndef CORE_ENGINE_INT_H
#define CORE_ENGINE_INT_H

#include <assert.h>

#include "core/anomaly.h"
#include "core/attribute.h"
#include "core/bar.h"
#include "core/bucket.h"
#include "core/condition.h"
#include "core/engine.h"
#include "core/parts.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* keeps the tick's path short: registers, cache lines */
#define SELDOM __attribute__((noinline))

/* on the path of a tick or a fire, however many call it */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define NONE        UINT32_MAX
#define NEVER_NS    INT64_MAX
#define CURSOR_NONE 0u /* no value; else 1 + the bounds that the value has reached */

enum {
    CALENDARS = 8,
    CALENDAR_DAYS = 32,
    LINE_WORDS = 8,
    STATE_WORDS_PER_METRIC = 16, /* on average, at most */
    BARS_KEPT_MIN = 256,         /* what stays before a day's first bar: the longest window, bars not final */
    BARS_DROP_PARTS = 8, /* … and where they are too many all the same, this part of them goes at once */
    SERIES_MAX = 8,      /* timeframes beyond one minute that rules in force name */
    SERIES_WORDS = 2,
    SERIES_DAILY = UINT8_MAX, /* the daily bars: no series of those */
    CURSORS_PER_METRIC = 2,
    STEP_SLOTS_BARS = 256, /* two for each bar that an hour of lateness may close at once */
    STEP_SLOTS_OTHERS = 2 * ANOMALY_KINDS + 2, /* anomalies, a halt */
    /* beside the type of a message where anomalies are looked for */
    WATCHED = 0x100,
};

/* A trading day of a calendar: four UTC times, premarket, market, postmarket, closed; the next day's start
 * ends it. */
struct trading_day {
    int64_t t[4];
};

struct calendar {
    uint32_t n;
    struct trading_day day[CALENDAR_DAYS]; /* ascending; the oldest goes first */
};

/* A print as it is kept until the trading day is over, for the one that may be cancelled. */
enum {
    KEPT_PAST = 1,      /* its minute had ended */
    KEPT_LATE = 2,      /* … and its bar was final: it is no last price */
    KEPT_OPENS = 4,     /* it could be the market session's first price */
    KEPT_PREMARKET = 8, /* the session that the symbol was in when it came */
    KEPT_MARKET = 16,
    KEPT_POSTMARKET = 32,
    KEPT_CANCELLED = 64,
    KEPT_DECIDED = 128 /* alerts were decided by it, or at the end of a bar whose last print it was */
};

struct kept_trade {
    uint64_t id;
    int64_t event_ns, price_e9;
    uint64_t size;       /* 0 if it updates no volume */
    int64_t time_ns;     /* the symbol's time at it */
    uint32_t session_no; /* of the session whose sums it is in; 0: of none */
    uint8_t updates;     /* UPDATES_… */
    uint8_t session;     /* enum session_kind of its minute */
    uint8_t flags;       /* KEPT_… */
    uint8_t venue;
};

/* Some prints of a symbol, in the order of arrival; number n of the symbol's is in its block's place n modulo
 * TRADES_BLOCK. */
enum { TRADES_BLOCK = 20 };
struct trades_block {
    uint32_t before, after; /* of the symbol */
    uint32_t older, newer;  /* of all that are, or were and are not taken again */
    uint32_t symbol;        /* its place; NONE: not in the list of all */
    uint32_t n;
    uint32_t minute_max;
    uint32_t pad;
    uint64_t first; /* number of its first */
    uint64_t id_min, id_max;
    uint64_t moments; /* 1 + the place of the latest moment of its prints; 0 */
    struct kept_trade trade[TRADES_BLOCK];
};
_Static_assert(sizeof(struct trades_block) == 1024, "header and trades are whole lines");

/* What is kept of a symbol's prints. */
struct kept {
    uint32_t first, last;  /* blocks; NONE */
    uint64_t end;          /* number of the next one */
    uint64_t saved;        /* those before it are in the checkpoint as they are */
    uint64_t open_no;      /* 1 + number of the one that is the day's open; 0: it is not kept */
    uint64_t cancelled_no; /* 1 + number of the one that a correction may replace; 0 */
    /* what had been the last price when the first of them came; of what is dropped in between */
    int64_t price_e9, trade_ns, last_ns;
    uint64_t size;
    uint32_t whole;  /* minutes from here on have all their prints in them */
    uint32_t latest; /* minute of those that were kept */
};

/* The sums of a session of the trading day that is over. */
struct session_sums {
    __int128 pv;
    uint64_t volume;
    uint32_t session_no;
};

/* A message at which a print, or the end of its bar, decided alerts; these are behind it in the pool of
 * words (alert_pool.c). What it tells of the symbol is what its prints do not. */
struct moment {
    uint64_t older; /* 1 + the place of the one before in the same block of prints; 0 */
    uint64_t no;    /* number of the print; at a bar's end, of the last one before it */
    int64_t time_ns, bid_e9, ask_e9;
    uint32_t session_no;
    uint32_t n_alerts;
    uint32_t words; /* of its alerts */
    uint8_t at_close, halted;
    uint8_t pad[2];
};

/* An alert as it was last sent. The values of its operands follow, then what it remembers of events and spans
 * (alert_revise.c). */
struct kept_alert {
    int64_t price_e9;
    uint32_t rule, k;
    uint16_t revision;
    uint8_t withdrawn;
    uint8_t n_operands, n_clues; /* words of each */
    uint8_t pad[3];
};
enum {
    MOMENT_WORDS = sizeof(struct moment) / 8,
    ALERT_WORDS = sizeof(struct kept_alert) / 8,
    CLUES_MAX = EXPR_NODES_MAX / 32,
    WORDS_PER_ALERT = 8 /* on average, of limits.alerts */
};
_Static_assert(sizeof(struct moment) % 8 == 0 && sizeof(struct kept_alert) % 8 == 0, "whole words");

/* Waits for the first trading day that starts at ex_ns or later. */
enum { SPLITS_WAITING = 4 };
struct split {
    int64_t ex_ns;
    uint32_t to, from;
};

enum { SYMBOL_LINES_HOT = 4 };
struct symbol {
    /* what every trade touches: four lines, of which the last has the quote too */
    int64_t live_start_ns; /* start of the live minute; far in the past before the first message */
    int64_t time_ns;       /* as of its own messages and processed clocks; its bucket's clock may be later */
    int64_t price_e9;      /* KEY_UNKNOWN before the first trade */
    int64_t wake_ns;       /* when its minute ends or a bar becomes final */
    int64_t open_e9, high_e9, low_e9, close_e9; /* of the live bar, if live_trades */
    __int128 live_pv;
    __int128 session_pv;
    uint64_t live_volume;
    uint64_t session_volume;
    uint64_t day_volume;
    uint32_t live_trades;
    uint32_t epoch; /* of the rules that a message of its own has evaluated */
    int64_t due_ns; /* when the next fire or WITHIN is to be looked at; NEVER_NS */
    int64_t session_start_ns, day_start_ns;
    int64_t day_open_e9; /* first price of today's market session; KEY_UNKNOWN */
    uint32_t scope;      /* rules of this symbol alone; NONE */
    uint16_t bucket;
    uint8_t calendar;
    uint8_t size_scale;
    uint8_t session;        /* enum session_kind */
    uint8_t drive;          /* 2: any trade can move one of its indexes; 1: a new price can */
    bool stale;             /* ended bars, minute, session or day changed: evaluate every metric */
    bool rebuild;           /* … and metric state must be made anew from the kept bars */
    uint32_t live_unpriced; /* prints of the live minute while it has had no last sale: they make no bar */
    uint64_t bars_end;      /* bars ever kept; those from bars_base on still are */
    uint64_t bars_first;    /* where recursive metrics start: the anchor less bars.keep */
    int64_t bid_e9, ask_e9;
    int64_t last_ns;  /* event time of the latest last sale, kept where conditions count; INT64_MIN */
    uint64_t size;    /* of the last trade */
    int64_t trade_ns; /* the symbol's time at it */
    int64_t still_from_e9, still_to_e9; /* a last price in there flips nothing */
    int64_t span_ns;                    /* when the next WITHIN is due; NEVER_NS */
    /* the rest */
    int64_t session_end_ns;
    int64_t final_ns;                /* when the oldest provisional bar becomes final; NEVER_NS */
    int64_t prev_close_e9;           /* of the trading day before; KEY_UNKNOWN */
    int64_t market_close_e9;         /* last price of today's market session once it is over; KEY_UNKNOWN */
    int64_t day_high_e9, day_low_e9; /* of today's ended bars; KEY_UNKNOWN and INT64_MAX before */
    __int128 day_pv;
    uint64_t volume_of[SESSION_KIND_COUNT];
    bool timed;     /* it has metrics that every clock changes */
    uint32_t heap;  /* root of the fires by due time */
    uint32_t ready; /* those that its next tick may look at already, a list by sibling */
    uint32_t brief; /* its brief fires, a list by sibling */
    uint32_t id;
    bool live_range;      /* live_unpriced prints have given high_e9 and low_e9 */
    bool restart;         /* the trading day switched: crossings of recursive metrics restart from unknown */
    bool spans_moved;     /* a bar has ended for its FORs */
    uint32_t within;      /* root of its WITHINs by due time */
    uint32_t fors;        /* its FORs, a list by sibling */
    uint32_t provisional; /* how many bars at the end are not final */
    uint32_t bound;       /* epoch of the rules that its cursors are of */
    int64_t brief_ns;     /* the last tick with brief fires: those of before have gone */
    int64_t hashed_ns;    /* the latest time of which one of them may be in the hash */
    uint64_t saved;       /* bars before it are in the checkpoint as they are */
    int64_t tick_e9;      /* smallest price step, 0 = unknown */
    int64_t ahead_ns;     /* when a clock builds on the next day's state; NEVER_NS */
    /* what seldom matters: the market session's extent, KEY_UNKNOWN and INT64_MAX before; the last prices of
     * today's other sessions once they are over, KEY_UNKNOWN if they did not trade */
    int64_t market_high_e9, market_low_e9, premarket_close_e9, postmarket_close_e9;
    uint32_t n_daily, daily_end; /* daily bars, and those of them that are before today */
    /* corrections */
    uint64_t bars_base;        /* the first bar that is kept */
    uint32_t emptied_revision; /* 1 + the highest revision of a final bar that lost all its prints; 0 */
    uint32_t session_no;       /* counts the times that the session's sums began anew */
    struct kept trades;        /* of the trading day */
    struct session_sums over[SESSION_KIND_COUNT];
    bool halted;
    int64_t halt_ns; /* when that last changed, and how often at that time before */
    uint32_t halt_k;
    bool daily_saved; /* the daily bars are in the checkpoint as they are */
    uint8_t n_splits;
    struct split split[SPLITS_WAITING]; /* by ex_ns */
    int64_t split_ns;                   /* start of the day of the last one: no bar before it takes prints */
} __attribute__((aligned(64)));

/* What the detectors of anomalies keep of a symbol (engine_anomaly.c). */
struct watch {
    int64_t session_ns, day_ns; /* whose windows these are */
    struct anomaly_prices prices;
    int64_t trade_ns[ANOMALY_TRADES]; /* the symbol's time at each of the prices */
    double spread[ANOMALY_QUOTES];
    uint32_t spreads; /* of them ever, in this session */
    uint8_t begun, wide, is_crossed, pad;
    int64_t spread_ns;                                                    /* when the last was taken */
    struct anomaly_norm spread_norm, range_norm, volume_norm, burst_norm; /* the last three of this minute */
    uint8_t range_told, volume_told, burst_told, more_pad[5];             /* in this minute */
    struct anomaly_drift drift;
    int64_t silent_ns; /* when the symbol has been silent for long; NEVER_NS */
    int64_t last_ns[ANOMALY_KINDS];
    uint32_t k[ANOMALY_KINDS]; /* anomalies at last_ns - 1 */
    uint32_t days;             /* rows of volumes ever; the last ANOMALY_DAYS are kept */
    uint32_t days_saved;       /* rows before it are in the checkpoint */
};

/* The state that a symbol's indicators and candles will have at the next day's switch, as far as it is built
 * (metric_ahead.c). */
struct ahead {
    int64_t day_ns; /* that day's start; 0: nothing is built */
    uint64_t first; /* the bar that it starts from */
    uint64_t next;  /* the bar to be taken next */
    uint32_t epoch; /* of the rules that its block is laid out for */
    uint32_t pad;
};

/* A metric or a computed value in use. Its state lies at state_at in each symbol's block, in words. */
struct node {
    struct metric metric;
    struct expr_term term; /* its sides are nodes; of a METRIC they are 0 */
    uint32_t state_at;
    unsigned inputs;
    uint8_t series;  /* of bars: 0 = those of one minute, SERIES_DAILY, else 1 + the place of its timeframe */
    uint32_t keeper; /* … the node that keeps its state: itself, or another of the same indicator */
};

/* Bars of a longer timeframe, made of those of one minute from bars_first on. A symbol's lie in a ring of
 * their own; its block has how many have ended, and until when the one after them, which is open, goes. */
struct series {
    uint16_t minutes;
    uint32_t state_at; /* SERIES_WORDS: bars ended; end of the open one, 0 = there is none */
};

/* A side of a sieve (rule_sieve.h). */
struct sieve_ref {
    uint32_t sieve, side;
};

/* Where no comparison of a side holds: so many cursors from there on. */
struct sieve_gate {
    uint32_t slot, from, n;
    uint32_t next; /* in an index's list: the first of the next sieve's gates */
};

/* The sorted thresholds of one metric, for the whole market or for one scope. bound[1..n], sentinels at both
 * ends. A value's cursor is 1 + the number of bounds that it has reached: comparison `rank` holds iff cursor
 * > rank. */
struct index {
    uint32_t node;
    bool is_price; /* the node is the price itself */
    uint32_t slot; /* of the symbol's cursors */
    uint32_t n;
    const int64_t *bound;
    uint32_t *up_at, *up;     /* by bound: instances with a comparison that becomes true going up over it */
    uint32_t *down_at, *down; /* … going down under it; neither has those of sieves */
    uint32_t n_sieved;
    struct sieve_ref *sieved;
    struct sieve_gate *gate; /* where all of it is in sieves: it may be of no use (gates_shut) */
    uint32_t n_gates;
    uint32_t span; /* 1 + the instance whose truth over time this is; 0: of a metric or computed value */
};

/* What a symbol computes: its metrics and indexes, by what drives them. One for the market, one for each
 * scope. */
struct plan {
    uint32_t n_nodes, n_indexes, n_on_quote, n_on_time, n_instances;
    uint32_t n_on_trade,
        n_on_move;  /* the first indexes are what any trade moves, then what a new price moves */
    uint8_t series; /* bits: the timeframes of its nodes */
    uint32_t *node;
    struct index *index;
    uint32_t *on_quote, *on_time; /* numbers of indexes */
    uint32_t *instance;           /* by rule */
    uint32_t *on_close;           /* the instances that bars' ends alone evaluate */
    uint32_t n_on_close;
    uint32_t *span; /* the instances of conditions in spans, the innermost of a rule first */
    uint32_t n_spans;
};

/* A comparison of a rule with its place in an index. */
struct atom {
    uint32_t slot;
    uint32_t rank;
    bool down;  /* holds below the bound */
    bool event; /* … only at the evaluation that makes it so */
};

/* A rule, or the condition of a span in it, as it applies to the market or to one scope. */
struct instance {
    uint32_t rule;
    uint32_t span; /* 1 + the span's node in the rule; 0: the rule itself */
    uint32_t atom_at, n_atoms;
    uint32_t code_at, n_code; /* postfix over atoms; none: all atoms must hold */
    uint64_t seen;            /* the stamp of the evaluation that last looked at it */
    struct atom first;        /* a copy: most rules have no other */
    uint32_t pad;
};
_Static_assert(sizeof(struct instance) == 48, "three for two lines");

struct loaded_rule {
    /* one line: whether it fires, what its alert says */
    int64_t cooldown_ns, expires_ns;
    uint32_t ident;    /* the same for every version */
    uint32_t epoch;    /* when it came */
    uint32_t instance; /* the market's, NONE if it names symbols */
    uint32_t brief;    /* the brief fire that it made last, if that is one still */
    bool live : 1;
    bool recursive : 1; /* names a metric that starts anew from the trading day's start */
    bool shadow : 1;
    bool minds_halt : 1; /* names `halted`: no halt holds it */
    bool events : 1;
    uint8_t trigger;
    uint8_t sessions; /* bits 1 << enum session_kind */
    uint8_t n_operands;
    uint32_t version;
    uint32_t fired_k;    /* where it fires at the message at hand: its alerts at the same time before */
    uint16_t text_bytes; /* that the texts of an alert have at most */
    uint16_t id_len;
    const char *id;
    const uint32_t *operand;
    /* the rest */
    uint16_t n_nodes, n_terms, n_spans;
    size_t built_bytes;  /* at most, of what rules_build makes of it */
    const char *symbols; /* comma-separated; none = all */
    uint32_t symbols_len;
    uint32_t expr_len;
    const char *expr;             /* for explanations, if it names texts; else NULL */
    const struct expr_node *node; /* operands are node numbers of the engine */
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct loaded_rule, n_nodes) == 64, "what a fire reads is one line");

struct explain_watch;

enum fire_kind { FIRE_RULE, FIRE_WITHIN, FIRE_FOR };

/* A rule that holds or has fired for a symbol, or what is to be remembered there of a span. In the hash by
 * (symbol, ident), in the symbol's heap by due time; in neither while it is brief. */
struct fire {
    int64_t last_ns;        /* of its last alert, INT64_MIN before; WITHIN: when it last was true */
    int64_t due_ns;         /* when to look at it again */
    uint32_t symbol, ident; /* of a span: SPAN_IDENT | its node of the engine */
    uint32_t rule;          /* the slot whose alert that was; of a span: of its rule */
    uint32_t k;             /* alerts at last_ns - 1; of a span: its node of the rule */
    uint32_t hash_next;
    uint32_t child, sibling; /* pairing heap; sibling alone: list of those that are ready, of FORs */
    uint16_t
        ended; /* FOR: bars that ended since the condition was last false at an end, at most those asked */
    uint16_t sound; /* … and since it was last unknown at one */
    uint8_t now;    /* of a span: enum truth of its condition at the last evaluation */
    uint8_t kind;   /* enum fire_kind */
    uint8_t before; /* WITHIN: true at the message `looked` also without what was true at it */
    uint8_t brief;  /* enum brief */
    uint64_t looked;
} __attribute__((aligned(64)));
enum { SPAN_IDENT = 1 << 30 };

/* What fires without a cooldown and does not hold is remembered for k alone, until its symbol ticks at
 * another time. It is in its symbol's list of those, and found by its rule (loaded_rule.brief), so it need
 * not be in the hash: only where the rule has fired for another symbol since. */
enum brief { BRIEF_NOT, BRIEF_LISTED, BRIEF_HASHED };

struct scope {
    const char *name;
    uint32_t name_len;
    uint32_t hash_next;
    uint32_t last_rule; /* 1 + the rule last given an instance here */
    struct plan plan;
};

struct arena {
    uint8_t *at;
    size_t size, used;
};

struct bucket {
    int64_t clock_ns; /* INT64_MIN before the first */
    int64_t next_ns;  /* no symbol of it has anything to do before */
    uint32_t first, last;
};

enum eval { EVAL_TICK, EVAL_CLOCK, EVAL_SILENT };

struct change {
    const struct index *index;
    uint32_t from, to;
};

_Static_assert(offsetof(struct symbol, session_end_ns) == 64 * SYMBOL_LINES_HOT, "as it says");

/* A value as an alert has it, if it is of the alerts being written. */
struct shown {
    uint64_t stamp;
    int64_t value;
};

struct engine {
    struct engine_limits limits;
    struct engine_counters count;
    struct rule_stats *stats;
    int64_t lateness_ns;
    uint32_t keep;
    char refusal[256];

    struct bucket bucket[BUCKET_ALL];
    struct calendar calendar[CALENDARS];
    uint32_t *local; /* symbol id -> 1 + place */
    struct symbol *symbol;
    char (*name)[64];
    uint32_t *next_in_bucket; /* by place; NONE at the end */
    uint32_t n_symbols;
    struct attributes *attributes; /* by place */
    /* For each symbol DAILY_BARS by date, then limits.bars of one minute. No ring: at a trading day's first
     * bar those before move to the front, so that memory is touched for as many as a day needs. */
    uint8_t *bars;
    size_t bars_stride;
    struct bar_rest *bar_rest; /* limits.bars for each symbol */
    struct bar *series_bar;    /* SERIES_MAX times limits.bars for each symbol */
    /* the next day's, as block and series_bar */
    struct ahead *ahead; /* by place */
    int64_t *ahead_block;
    struct bar *ahead_series_bar;

    /* anomalies; the memory is touched only where they are looked for */
    unsigned watched; /* 0 or WATCHED */
    struct anomaly_settings watching;
    struct watch *windows;   /* by place */
    struct anomaly_day *day; /* ANOMALY_DAYS for each place */

    /* corrections */
    struct trades_block *trades;
    uint32_t trades_blocks, trades_used, trades_free; /* how many; taken so far; list by after */
    uint32_t trades_oldest, trades_newest;
    bool corrections; /* prints are kept */
    uint64_t *alert_word;
    uint64_t alert_mask, alert_end; /* places in it, of which only the low bits count; the next one */
    uint64_t print_seq;             /* of the message whose print is the last one of … */
    const struct symbol *print_of;  /* … this one; NULL */
    uint32_t *past_node;            /* list of the plan that alert_revise.c makes */
    uint8_t *past_seen;
    bool flat; /* minutes without a last sale make bars too */
    /* A block of words for each symbol, as small as the rules in force allow: the state of every metric, from
     * cursor_at the cursors. */
    int64_t *block;
    uint32_t block_words, cursor_at;

    /* rules */
    struct arena kept, built; /* what lives as long as the engine; what rules_build makes anew */
    struct loaded_rule *rule;
    uint32_t n_rules;   /* 1 + the highest slot */
    size_t built_bytes; /* at most, of what rules_build makes of those in force */
    uint32_t n_idents;
    uint32_t *ident_slot; /* the version in force */
    uint32_t *ident_hash; /* of ids: open addressing, 1 + ident */
    struct node *node;
    uint32_t n_nodes, state_words;
    uint32_t n_asked;
    uint32_t *asked; /* nodes of the values asked for */
    struct series series[SERIES_MAX];
    uint32_t n_series;
    bool rules_changed;
    uint32_t epoch;
    struct plan market;
    struct instance *instance;
    uint32_t n_instances;
    struct atom *atom;
    const uint16_t *code;
    struct sieve *sieve;
    uint32_t n_sieves;
    struct scope *scope;
    uint32_t n_scopes;
    uint32_t *scope_hash;
    uint32_t hash_mask; /* of ident_hash and scope_hash */

    /* fires */
    struct fire *fire;
    uint32_t fire_free, fire_used;
    uint32_t *fire_hash;
    uint32_t fire_mask;

    /* one evaluation */
    struct change *change;
    uint32_t n_changes;
    uint32_t *old_cursor;
    uint64_t *old_stamp, stamp; /* a cursor moved in this evaluation iff its old_stamp is the stamp */
    uint32_t bind_epoch;        /* rules newer than this are new to the symbol; 0 = none are */
    uint32_t settled_epoch;     /* … of the last evaluation that was settled */
    bool settled_restart;
    /* what fired: a bit for each rule, one for 64 of these */
    uint64_t *fired, *fired_words;
    bool any_fired;
    uint32_t *close_cursor; /* where values stand at a bar's end */
    uint32_t n_spans;       /* conditions in spans, of all rules in force */
    uint32_t *touched;      /* those to be looked at in this evaluation, by level */
    uint32_t n_touched[EXPR_LEVELS];
    bool arrived; /* … of which those newer than bind_epoch, 0 included, are new to the symbol */

    /* the values that alerts of one message show, by node */
    struct shown *shown;
    uint64_t shown_stamp;

    /* the event being written */
    struct engine_out *out;
    bool within; /* a message is partly done */
    bool much;   /* bars were moved: enough for one call */
    uint64_t seq;
    uint64_t sub_seq;
    uint32_t sub_symbol, sub;
    uint32_t step_slots; /* what one step of one symbol may emit at most */
    uint32_t out_full;   /* out->used from which there may be no room for that, or something to prepare */

    struct parts rule_parts, setting_parts;

    struct explain_watch *watch; /* NULL: nobody asks */

    /* sale conditions */
    uint32_t condition_mask; /* of a trade's four codes: 0 = they are not looked at */
    struct condition_table conditions;
};

enum { CODE_AND = 0xfffe, CODE_OR = 0xffff };

static inline void *arena_take(struct arena *a, size_t bytes)
{
    size_t at = (a->used + 15) & ~(size_t)15;
    if (bytes > a->size || at > a->size - bytes)
        return NULL;
    a->used = at + bytes;
    return a->at + at;
}

static inline struct symbol *symbol_of(const struct engine *e, uint32_t id)
{
    if (unlikely(id >= e->limits.ids || e->local[id] == 0))
        return NULL;
    return &e->symbol[e->local[id] - 1];
}

static inline uint32_t place_of(const struct engine *e, const struct symbol *s)
{
    return (uint32_t)(s - e->symbol);
}

static inline struct attributes *attributes_of(const struct engine *e, const struct symbol *s)
{
    return &e->attributes[place_of(e, s)];
}

static inline struct bar *daily_of(const struct engine *e, const struct symbol *s)
{
    return (struct bar *)(void *)(e->bars + (size_t)place_of(e, s) * e->bars_stride);
}

static inline struct minute_bar *minute_bars_of(const struct engine *e, const struct symbol *s)
{
    return (struct minute_bar *)(void *)(daily_of(e, s) + DAILY_BARS);
}

static inline struct bar *bar_at(const struct engine *e, const struct symbol *s, uint64_t i)
{
    return &minute_bars_of(e, s)[i - s->bars_base].bar;
}

static inline struct bar_rest *bar_rest_at(const struct engine *e, const struct symbol *s, uint64_t i)
{
    return &e->bar_rest[(size_t)place_of(e, s) * e->limits.bars + (i - s->bars_base)];
}

static inline struct whole_bar bar_get(const struct engine *e, const struct symbol *s, uint64_t i)
{
    const struct minute_bar *m = &minute_bars_of(e, s)[i - s->bars_base];
    struct whole_bar b = {.bar = m->bar, .pv_low = m->pv_low};
    b.bar.wide = 0;
    if (unlikely(m->bar.wide))
        b.rest = *bar_rest_at(e, s, i);
    return b;
}

static inline void bar_put(const struct engine *e, const struct symbol *s, uint64_t i, struct whole_bar b)
{
    struct minute_bar *m = &minute_bars_of(e, s)[i - s->bars_base];
    bool wide = b.rest.pv_high || b.rest.revision;
    *m = (struct minute_bar){b.bar, b.pv_low};
    m->bar.wide = wide;
    if (unlikely(wide))
        *bar_rest_at(e, s, i) = b.rest;
}

static inline __int128 bar_pv_at(const struct engine *e, const struct symbol *s, uint64_t i)
{
    const struct minute_bar *m = &minute_bars_of(e, s)[i - s->bars_base];
    return m->bar.wide ? (__int128)bar_rest_at(e, s, i)->pv_high << 64 | m->pv_low : (__int128)m->pv_low;
}

static inline size_t series_at(const struct engine *e, const struct symbol *s, uint32_t series)
{
    return (series * (e->limits.symbols + (size_t)1) + place_of(e, s)) * (e->limits.bars + 2);
}

static inline struct bar *series_bars(const struct engine *e, const struct symbol *s, uint32_t series)
{
    return &e->series_bar[series_at(e, s, series)];
}

static inline uint32_t block_words_max(const struct engine_limits *l)
{
    return (l->metrics + l->asked) * (STATE_WORDS_PER_METRIC + CURSORS_PER_METRIC / 2) + 2 * LINE_WORDS;
}

static inline int64_t *block_of(const struct engine *e, const struct symbol *s)
{
    return e->block + (size_t)place_of(e, s) * e->block_words;
}

/* The engine's node of the span whose condition an instance is. */
static inline uint32_t span_node(const struct engine *e, const struct instance *in)
{
    return (uint32_t)e->rule[in->rule].node[in->span - 1].bound_hi;
}

/* A plan's index of a node that no tick moves, such as a span's; NULL if it has none. */
static inline struct index *span_index(const struct plan *p, uint32_t node)
{
    uint32_t lo = p->n_on_move, hi = p->n_indexes;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (p->index[mid].node < node)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n_indexes && p->index[lo].node == node ? &p->index[lo] : NULL;
}

static inline const struct plan *scope_plan(const struct engine *e, const struct symbol *s)
{
    return s->scope == NONE ? NULL : &e->scope[s->scope].plan;
}

/* The place beside those of symbols: a symbol as it was earlier stands there while that is asked (past.c). */
static inline struct symbol *past_place(const struct engine *e)
{
    return &e->symbol[e->limits.symbols];
}

/* metric_state.c */
/* After the roll to a new minute: `pushed` if the last ended bar is new. */
void metrics_roll(const struct engine *e, struct symbol *s, bool pushed);
void metrics_rebuild(const struct engine *e, struct symbol *s);
/* Where the state of a symbol's metrics is built: today's, or the next day's beside it. */
struct side {
    int64_t *block;
    struct bar *series_bar; /* of all symbols */
    uint64_t first;         /* bar that it starts from */
    uint8_t session;        /* enum session_kind that it is for */
};
/* Takes the bars from .. to - 1 into the indicators, candles and longer bars of the plans. */
void metrics_take(const struct engine *e, const struct symbol *s, const struct side *side, uint64_t from,
                  uint64_t to);
/* What its bars make for the minute that follows them. */
void metrics_means(const struct engine *e, const struct symbol *s, const struct side *side);

/* metric_ahead.c */
/* At a clock, once ahead_ns has come: takes some more bars into the next day's state. */
SELDOM void metrics_ahead(struct engine *e, struct symbol *s, int64_t t);
/* The symbol's session has changed: when is that to begin? */
void ahead_plan(struct engine *e, struct symbol *s);
/* What bars it is made of has changed. */
void ahead_forget(struct engine *e, struct symbol *s);
/* Its today is the day that was built ahead, from the bar side->first: copies that state. The bar to be taken
 * next; side->first if nothing fits. */
uint64_t ahead_adopt(const struct engine *e, struct symbol *s, const struct side *side);
/* The ended bars of a node's series; true if it has a live one. */
bool metric_bars(const struct engine *e, const struct symbol *s, uint32_t series, struct bar_series *ended,
                 struct bar *live);
/* The value of an indicator, in its unit. */
int64_t metric_indicator(const struct engine *e, const struct symbol *s, const struct node *nd);
int64_t metric_relative_volume(const struct engine *e, const struct symbol *s, const struct node *nd);
/* NEWS_AGE, EARNINGS_IN. */
int64_t metric_until(const struct engine *e, const struct symbol *s, enum metric_kind kind);

/* metric_days.c */
/* Makes a metric of daily bars anew from those that are kept; does nothing to another. */
void metric_days(const struct engine *e, const struct symbol *s, const struct node *nd);
/* What relative_volume_same_time is compared with in the live minute. */
void metric_same_time(const struct engine *e, const struct symbol *s, const struct node *nd);
/* The value of a metric of days or of today's sessions. */
SELDOM int64_t metric_days_key(const struct engine *e, const struct symbol *s, const struct node *nd);

/* metric_prints.c */
/* Some prints are kept no more: their windows are to be made anew. */
void prints_void(const struct engine *e, const struct symbol *s);
int64_t metric_prints(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *state);

/* The first of the bars from bars_first on that starts at time t or later. */
uint64_t bars_from(const struct engine *e, const struct symbol *s, int64_t t);

/* metric_candle.c */
/* What an opening range is in the live minute. */
void metric_opening_range(const struct engine *e, const struct symbol *s, const struct node *nd, int64_t *w);
/* The value of a row of CANDLE_METRICS. */
SELDOM int64_t metric_candle_key(const struct engine *e, const struct symbol *s, const struct node *nd);

/* computed.c */
/* The key of a term that is no metric; its sides are nodes. Stated in rule.h. */
int64_t computed_key(const struct engine *e, const struct symbol *s, const struct expr_term *t);

/* rule_load.c */
/* Memory for the indexes of the rules in force, a bound on what built_bytes_of adds up to. */
static inline size_t rules_built_bytes(const struct engine_limits *l)
{
    return (size_t)l->rules * 4096 + (8 << 20);
}
int rules_load(struct engine *e, uint32_t slot, const struct rule *r);
/* The version in force of the rule of this id; NULL if none has come. */
const struct loaded_rule *rule_find(const struct engine *e, const char *id, size_t len);
void rules_build(struct engine *e);
/* Marks a node and what it is made of, counting them in the plan; then lists those that are marked. */
void plan_need(const struct engine *e, struct plan *p, uint8_t *seen, uint32_t node);
void plan_list(const struct engine *e, struct plan *p, const uint8_t *seen);
uint32_t scope_find(const struct engine *e, const char *name, size_t len);

/* rule_index.c */
/* Looks at the values of a symbol's indexes again: at a trade (`moved`: at a new price), at a quote, all. */
void rules_touch_trade(struct engine *e, struct symbol *s, bool moved);
void rules_touch_quote(struct engine *e, struct symbol *s);
void rules_touch_time(struct engine *e, struct symbol *s);
void rules_touch_all(struct engine *e, struct symbol *s);
/* Where the values stand at a bar's end: e->close_cursor. */
void rules_seek_close(struct engine *e, struct symbol *s);

/* explain.c */
/* A minute of the symbol ends: what bar_close rules see, for who watches it. */
SELDOM void explain_close(const struct engine *e, const struct symbol *s);

/* rule_fire.c */
void rules_bind(struct engine *e, struct symbol *s);
void rules_arrive(struct engine *e, struct symbol *s);
/* When each of its fires is to be looked at again: there is another version, or a halt is over. */
void rules_redue(struct engine *e, struct symbol *s);
void rules_settle(struct engine *e, struct symbol *s, enum eval what);
/* A minute in which the symbol traded has ended: what bar_close rules make of it fires into e->fired. */
void rules_close(struct engine *e, struct symbol *s);
static inline bool rules_on_close(const struct engine *e, const struct symbol *s)
{
    const struct plan *q = scope_plan(e, s);
    return e->market.n_on_close || (q && q->n_on_close);
}
/* The instance of a rule for a symbol, NULL if it has none (another version, other symbols). */
const struct instance *rule_instance_of(const struct engine *e, const struct symbol *s, uint32_t ident);
/* What is kept of a rule that holds or has fired for a symbol, NULL if nothing is. */
const struct fire *fire_find(const struct engine *e, const struct symbol *s, uint32_t ident);
/* From when on a rule may fire again, sessions aside. */
int64_t fire_ready_ns(const struct engine *e, const struct fire *f, const struct loaded_rule *r);
/* A fire as it was saved: all but its symbol and links. 0; 1 if there is no room, which is counted; -1 if the
 * symbol has it already. */
int fire_restore(struct engine *e, struct symbol *s, const struct fire *saved);

/* rule_span.c */
/* All cursors of metrics stand where the message puts them: spans follow, as further changes. */
SELDOM void spans_settle(struct engine *e, struct symbol *s, enum eval what);
/* The cursors of spans made anew, from what is remembered of them. */
void spans_bind(struct engine *e, struct symbol *s);
/* A minute of the symbol has ended, which began at was_ns: what its FORs make of the bar that did. */
SELDOM void spans_bar_end(struct engine *e, struct symbol *s, int64_t was_ns);
/* The spans of bar_close rules at a bar's end, into e->close_cursor. */
void spans_close(struct engine *e, struct symbol *s);
/* The cursor of a span, `at_close` that of the bar's end at hand: CURSOR_NONE unknown, 1 false, 2 true. */
uint32_t span_cursor(const struct engine *e, const struct symbol *s, uint32_t node, bool at_close);

/* engine_events.c */
void emit_bar(struct engine *e, const struct symbol *s, struct whole_bar b);
/* What fired at this message, or at the bar's end before it, in the order of the rules. */
SELDOM void emit_fired(struct engine *e, struct symbol *s, bool at_close);
/* An alert that was sent, with other values. s is at the alert's time. */
void emit_revised(struct engine *e, const struct symbol *s, const struct kept_alert *a, const int64_t *value);
/* A metric's value as alerts give it; of a text that there is one. */
int64_t alert_value(const struct engine *e, const struct symbol *s, uint32_t node);

/* Trading in the symbol has been halted, or goes on. id: "halted" or "resumed", as an anomaly's. */
void emit_halt(struct engine *e, struct symbol *s, const struct msg_status *status);

/* id: its type, 0, symbol, 0, symbol's time (i64), k (u32), as an alert's. */
void emit_anomaly(struct engine *e, const struct symbol *s, enum anomaly_kind kind, uint32_t k,
                  const struct anomaly *a);

/* engine_anomaly.c */
static inline struct watch *watch_of(const struct engine *e, const struct symbol *s)
{
    return &e->windows[place_of(e, s)];
}
/* When a clock has to look whether the symbol is silent. */
static inline int64_t watch_silent_ns(const struct engine *e, const struct symbol *s)
{
    const struct watch *w = watch_of(e, s);
    return w->begun ? w->silent_ns : NEVER_NS;
}
static inline struct anomaly_day *watch_day(const struct engine *e, const struct symbol *s, uint32_t row)
{
    return &e->day[(size_t)place_of(e, s) * ANOMALY_DAYS + row % ANOMALY_DAYS];
}
/* "anomalies.KEY=VALUE"; false if it is unknown or out of bounds. */
bool watch_setting(struct engine *e, const char *text);
/* What a trade did, once it is applied. */
enum applied { APPLIED_NOT, APPLIED, APPLIED_LAST };
SELDOM void watch_trade(struct engine *e, struct symbol *s, enum applied what);
SELDOM void watch_quote(struct engine *e, struct symbol *s);
/* After the roll to a new minute: `pushed` if the last ended bar is new. */
SELDOM void watch_minute(struct engine *e, struct symbol *s, bool pushed);
/* At a clock, the symbol being at its time. */
SELDOM void watch_clock(struct engine *e, struct symbol *s);

/* engine_bars.c */
/* Takes a split whose day is still to come. False if there is no room. */
bool split_wait(struct symbol *s, const struct split *split);
struct session_at {
    int64_t start_ns, end_ns, day_ns;
    enum session_kind kind;
};
struct session_at session_find(const struct calendar *c, int64_t t);
void calendar_add(struct engine *e, uint32_t id, const struct trading_day *day);
/* The symbol's minute or what is provisional has changed: when has it, and so its bucket, to look again? */
void wake_update(struct engine *e, struct symbol *s);
/* Sets when the oldest provisional bar becomes final. */
void final_update(struct engine *e, struct symbol *s);
/* When the bar of `minutes` that holds time t ends: such bars begin with the session or a whole number of
 * them later, and end with it at the latest. */
int64_t bar_end(const struct engine *e, const struct symbol *s, int64_t t, uint32_t minutes);
/* Brings the symbol to time t, no evaluation in between: its own message decides once, after it is applied.
 */
SELDOM void advance(struct engine *e, struct symbol *s, int64_t t);
/* Does the live minute make a bar also without a last sale? */
static inline bool makes_flat(const struct engine *e, const struct symbol *s)
{
    return e->flat && s->price_e9 != KEY_UNKNOWN && s->session != SESSION_CLOSED && !s->halted;
}
/* Where the bar of a minute is, or would be. */
uint64_t bar_find(const struct engine *e, const struct symbol *s, uint32_t minute, bool *found);
/* Is a bar at this place final, or past its time to be provisional? */
bool bar_is_final(const struct engine *e, const struct symbol *s, uint64_t i, uint32_t minute);
/* The oldest n bars go. */
void bars_drop(struct engine *e, struct symbol *s, uint64_t n);
/* Puts a bar of a minute without a trade at this place; false if it is older than what is kept. */
bool bar_insert(struct engine *e, struct symbol *s, uint64_t i, uint32_t minute);
/* Takes one out. */
void bar_remove(struct engine *e, struct symbol *s, uint64_t i);
/* A bar that had ended has changed. */
void bar_changed(struct engine *e, struct symbol *s, uint64_t i);
/* A print of a minute that has ended: it joins that minute's bar, or makes it. True if the bar was final. */
SELDOM bool print_into_past(struct engine *e, struct symbol *s, int64_t ev, int64_t p, uint64_t size,
                            unsigned updates);

/* engine_days.c */
/* The trading day so far as a daily bar; false if its market session has not traded. */
bool daily_live(const struct symbol *s, struct bar *b);
/* The trading day is over: keeps its bar. Before anything of the symbol's is the next day's. */
void daily_finish(struct engine *e, struct symbol *s);
/* A HISTORY_BAR: the bar of its date from here on. False if it cannot be one. */
bool daily_put(struct engine *e, struct symbol *s, int64_t date_ns, const struct msg_history_bar *h);
/* The daily bars or the trading day have changed: which of them are before today, what closed yesterday. */
void daily_settle(struct engine *e, struct symbol *s);
/* A print of an earlier trading day; range: it counts for high and low. */
void daily_late(struct engine *e, struct symbol *s, int64_t ev, int64_t p, uint64_t size, bool range);
/* What a checkpoint may give as daily bars. */
bool daily_sound(const struct bar *b, uint32_t n);

/* trade_pool.c */
static inline uint32_t trades_blocks(const struct engine_limits *l)
{
    return l->trades / TRADES_BLOCK + (l->trades % TRADES_BLOCK != 0);
}
/* A block for the prints from s->trades.end on. */
SELDOM struct trades_block *trades_append(struct engine *e, struct symbol *s);
/* Room for a print of this id and time, number s->trades.end - 1: the caller writes it, all of it. */
static inline struct kept_trade *trade_keep(struct engine *e, struct symbol *s, uint64_t id, int64_t event_ns)
{
    uint32_t minute = (uint32_t)(event_ns / MINUTE_NS);
    struct trades_block *b = s->trades.last == NONE ? NULL : &e->trades[s->trades.last];
    if (unlikely(!b || b->n == TRADES_BLOCK))
        b = trades_append(e, s);
    struct kept_trade *t = &b->trade[b->n++];
    s->trades.end++;
    b->minute_max = minute > b->minute_max ? minute : b->minute_max;
    s->trades.latest = minute > s->trades.latest ? minute : s->trades.latest;
    b->id_min = id < b->id_min ? id : b->id_min;
    b->id_max = id > b->id_max ? id : b->id_max;
    __builtin_prefetch(t + 2, 1);
    return t;
}
/* The print of this number, NULL if it is not kept. */
struct kept_trade *trade_at(const struct engine *e, const struct symbol *s, uint64_t no);
void trade_rename(struct engine *e, struct symbol *s, uint64_t no, uint64_t id);
/* Is it, as far as it goes, the last price? */
static inline bool trade_sets_price(const struct kept_trade *t)
{
    return (t->updates & UPDATES_LAST) && !(t->flags & (KEPT_CANCELLED | KEPT_LATE));
}
/* The latest that can still be cancelled; its number. */
struct kept_trade *trade_find(const struct engine *e, const struct symbol *s, const struct msg *m,
                              uint64_t *no);
/* The trading day is over, or prints are kept from here on: none of those before can be cancelled. */
void trades_forget(struct engine *e, struct symbol *s);
/* Before the print of number `no` is put back at its place, from a checkpoint: those from there on go. */
void trades_cut(struct engine *e, struct symbol *s, uint64_t no);
void trades_release_first(struct engine *e, struct symbol *s);
void trades_symbol_new(struct symbol *s);
void trades_open(struct engine *e, void *mem);

/* How many of a block's prints are the symbol's as far as it knows; the block behind it. */
static inline uint32_t trades_in(const struct symbol *s, const struct trades_block *b)
{
    uint64_t left = s->trades.end - b->first;
    return left < b->n ? (uint32_t)left : b->n;
}
static inline uint32_t trades_after(const struct engine *e, const struct symbol *s, uint32_t block)
{
    return block == s->trades.last ? NONE : e->trades[block].after;
}
/* The block of the print of this number, NONE if it is not kept. */
uint32_t trades_block_of(const struct engine *e, const struct symbol *s, uint64_t no);

/* alert_pool.c */
/* A power of two, 0 where no print is kept. */
static inline size_t alert_pool_words(const struct engine_limits *l)
{
    size_t n = WORDS_PER_ALERT;
    while (n < (size_t)l->alerts * WORDS_PER_ALERT)
        n *= 2;
    return l->alerts && l->trades ? n : 0;
}
/* The moment of the symbol's last print, or of the bar's end behind it, into *m; false if there is none. Then
 * its alerts, then its end. */
bool moment_begin(struct engine *e, const struct symbol *s, bool at_close, struct moment *m);
void moment_add(struct engine *e, struct moment *m, const struct kept_alert *a, const int64_t *value,
                const uint64_t *clue);
void moment_end(struct engine *e, struct symbol *s, const struct moment *m);
/* The moment of a print; false if there is none. Its place. */
bool moment_find(const struct engine *e, const struct symbol *s, uint64_t no, bool at_close, struct moment *m,
                 uint64_t *place);
/* … the block of which is known. */
bool moment_in(const struct engine *e, uint32_t block, uint64_t no, bool at_close, struct moment *m,
               uint64_t *place);
/* A moment as it was saved, the latest so far of its block; m->words words of alerts. */
void moment_restore(struct engine *e, uint32_t block, struct moment *m, const void *alerts);
/* Words of the pool from a place on, out or in. */
void alert_get(const struct engine *e, uint64_t place, void *out, size_t words);
void alert_set(struct engine *e, uint64_t place, const void *in, size_t words);
/* The moments of the last block from number `no` on are forgotten. */
void moments_cut(struct engine *e, const struct symbol *s, uint64_t no);

/* alert_revise.c */
/* What its events and spans make of the rule that fires: words for a kept alert. Returns how many. */
SELDOM uint8_t alert_clues(struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                           bool at_close, uint64_t clue[CLUES_MAX]);
uint8_t alert_clue_words(const struct loaded_rule *r);
/* Print `no` is cancelled: alerts that it decided, or the end of its bar did, are sent again where their
 * values are others without it. */
SELDOM void alerts_revise(struct engine *e, struct symbol *s, const struct kept_trade *k, uint64_t no);

/* past.c */
/* The symbol as of the moment, of its prints before number `end` that are not cancelled, at past_place; NULL
 * if that is not known. Metrics are still to be made. */
struct symbol *past_make(struct engine *e, const struct symbol *s, const struct moment *m, uint64_t end);

/* correction.c */
/* What a minute's prints make, in their order. */
struct tally {
    bool priced; /* there was a last sale */
    bool ranged;
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
    __int128 pv;
    uint32_t trades;
};
struct tally minute_tally(const struct engine *e, const struct symbol *s, uint32_t minute);
/* The live bar, an ended one; the last price; high and low of the day's ended bars, and of its market
 * session's, of those that are kept. */
void live_recount(struct symbol *s, const struct tally *t);
struct whole_bar bar_filled(struct whole_bar b, const struct tally *t);
void price_recount(const struct engine *e, struct symbol *s);
void day_range_recount(const struct engine *e, struct symbol *s);
/* The print counts no more; or `with` takes its place. False if that does not fit the sums. */
void correction_cancel(struct engine *e, struct symbol *s, struct kept_trade *k, uint64_t no);
bool correction_replace(struct engine *e, struct symbol *s, const struct msg *with, unsigned updates);

/* engine.c */
/* A symbol that nothing is known of yet; name is a text of 1 to 63 bytes. False if there is no room. */
bool symbol_add(struct engine *e, uint32_t id, const char *name, uint32_t bucket, uint8_t calendar,
                uint8_t size_scale);

#endif
