/* A symbol's move against those of its sector: the anomaly that compares symbols. The market role finds it
 * from what scanners give per bucket, once a second; a replay from its own engine, by the same functions.
 *
 * A second is a run of CLOCKs in the order of seq: another begins with the first CLOCK of a later second.
 * Each CLOCK brings the peers of its bucket (engine_peer). Of a sector with PEERS_MIN or more in the second,
 * each change is compared with their median, in robust deviations; these are at least one tick of the symbol.
 * The settings are those at the second's last CLOCK, whose seq the anomalies carry; their time is that of the
 * CLOCK of the symbol's bucket.
 *
 * The state lies where the caller says, also in shared memory, and has no pointers. Giving rows or CLOCKs of
 * the same seq once more, or ranking a second once more, changes nothing.
 *
 * Threading: one writer.
 */
#ifndef CORE_PEERS_H
#define CORE_PEERS_H

#include "core/anomaly.h"
#include "core/bucket.h"

enum {
    PEERS_WINDOW = 5, /* minutes of the change: the live one and those before it */
    PEERS_MIN = 5,
};

/* What is compared of a symbol. */
struct peer {
    int64_t sector; /* attribute_text_key */
    int64_t price_e9;
    double change_pct, tick_pct;
};

/* As of a CLOCK; threshold 0: not looked for. */
struct peer_settings {
    double threshold, cooldown_s;
};

struct peer_row {
    struct peer peer;
    uint64_t seq; /* of its CLOCK */
    int64_t time_ns;
    uint64_t told_seq; /* the last CLOCK at which it was told, 0: never; and the one before that */
    int64_t told_ns, told_before_ns;
    double expected, score; /* of the second that is ranked */
    uint32_t order;         /* number i: the symbol that is i-th by sector and change */
    bool found;
    uint8_t pad[3];
};

struct peers {
    uint64_t magic;
    uint64_t ids;
    int64_t second_ns;                  /* at hand; INT64_MIN: none yet */
    uint64_t from_seq;                  /* … its rows have this seq or a later one */
    uint64_t last_seq;                  /* its last CLOCK; 0: none yet */
    struct peer_settings settings;      /* as of that */
    uint64_t done_seq, done_before_seq; /* last CLOCKs of the last two seconds that are done */
    uint64_t begun;                     /* the market role's: it is settled where it begins */
    uint64_t ignored_seq; /* … if not 0, CLOCKs up to it and the first second behind them do not count */
    uint32_t symbols;     /* highest id + 1 */
    uint32_t at;          /* peers_next: the next symbol */
    struct peer_row row[];
};

size_t peers_align(void);
/* 0: more than 2^22 ids. */
size_t peers_footprint(uint32_t ids);
struct peers *peers_new(void *mem, uint32_t ids);
struct peers *peers_join(void *mem, size_t bytes);
static inline void *peers_leave(struct peers *p)
{
    return p;
}

/* Would a CLOCK of this time begin another second? Then the one at hand is to be finished: ranked, told. */
static inline bool peers_ends_second(const struct peers *p, int64_t clock_ns)
{
    return p->last_seq && bucket_grid_floor(0, clock_ns) > p->second_ns;
}

/* In the order of seq: the rows of a CLOCK's bucket, then the CLOCK. A row of an unknown id is passed over.
 */
void peers_row(struct peers *p, uint32_t symbol, const struct peer *peer, uint64_t seq, int64_t clock_ns);
void peers_clock(struct peers *p, uint64_t seq, int64_t clock_ns, const struct peer_settings *settings);

/* The symbol was told at a CLOCK, as is known from elsewhere. */
void peers_told(struct peers *p, uint32_t symbol, uint64_t seq, int64_t time_ns);

/* Ranks the second at hand; then peers_next gives its anomalies in the order of ids as messages without sub,
 * until it gives none: 0. Names are the caller's. */
void peers_rank(struct peers *p);
typedef const char *peers_name(void *ctx, uint32_t symbol);
uint32_t peers_next(struct peers *p, peers_name *name, void *ctx, struct msg *out);
/* The second is done: the next CLOCK begins another. */
void peers_done(struct peers *p);

#endif
