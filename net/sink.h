/* A sink: where events go. Each has one thread, which reads the outbox behind the publisher and delivers
 * batches, and one cursor, which lives in the sink, in the same transaction as the data: (outbox id, offset
 * of the next event). A sink may read the journal instead (net/sink_source.h): then what is said here of the
 * outbox, its id and its offsets is said of the journal, its id and its seqs. So each event is there exactly
 * once, whatever is killed when:
 *
 *   - the cursor is read back at each connect; deliveries go on from there, also where it lies behind what
 * the sink had confirmed before (it was restored, or lost its tail);
 *   - a delivery is conditional on the cursor that was read, so that a batch of a killed predecessor that
 * arrives late changes nothing;
 *   - after any failure the sink is closed, opened again and its cursor read again, with exponential backoff
 * and jitter, for as long as it takes. After SINK_BREAKER_FAILURES in a row its breaker opens: each try is
 * then one event, until one succeeds (Redis: a whole batch, see there).
 *
 * An event that a server refuses for good (SINK_REFUSED) is written durably to a file of dead letters before
 * the cursor passes it, see net/dead_letter.h. No other event is ever given up.
 *
 * A sink without a cursor starts at the first event that the outbox has; one with the cursor of another
 * outbox at sink_config.delivered. Both are logged, the second is counted. Fenced, until it is started anew,
 * is a sink whose cursor becomes one of another outbox after it was ours (a second directory delivers under
 * this node's name), or lies beyond the end of the outbox (an older copy of the outbox is in use: going on
 * once it has grown so far would lose what it has in between).
 *
 * Threading: sink_start and sink_stop from one thread; the other functions from any.
 */
#ifndef NET_SINK_H
#define NET_SINK_H

#include "core/error.h"
#include "net/outbox.h"
#include "shm/markettab.h"
#include "shm/symtab.h"

struct histogram;
struct settings;
struct sink_source;

enum {
    SINK_OUTBOX_ID_MAX = 32,
    SINK_BATCH_BYTES = 4 << 20,
    SINK_PRICE_INTERVAL_MS = 100,
    SINK_BREAKER_FAILURES = 5
};

/* closed: works, or has failed a few times; open: waits for its next try; half-open: tries. */
enum sink_breaker { SINK_BREAKER_CLOSED, SINK_BREAKER_HALF_OPEN, SINK_BREAKER_OPEN };

/* The latest trade of a symbol, and its live bar. */
struct sink_price {
    const char *symbol; /* stays valid */
    uint32_t symbol_len;
    uint8_t size_scale;
    int64_t price_e9;
    uint64_t size;
    int64_t event_ns;
    struct symtab_live live; /* .trades is 0 if there is none */
    /* Set by the engine: is it another than was published last? One of both is. */
    bool new_price, new_live;
};

/* Where latest prices come from: fills *out for symbol id and returns 1; 0 if it has no price (yet, or not to
 * be read now), -1 if there is no such id and none above. Called by the sink's thread, ids from 0. */
struct sink_price_source {
    int (*read)(void *ctx, uint32_t id, struct sink_price *out); /* NULL: prices are not published */
    void *ctx;
};

/* A toplist: key is METRIC:WINDOW or user:USER:ID, rows may be there twice, none: it is empty. */
struct sink_toplist {
    const char *key;
    const struct toplist_row *row;
    uint32_t n;
};

struct sink_ops;
extern const struct sink_ops
    sink_jsonl; /* alerts (not bars) as JSON lines: `path`, and its cursor `path`.cursor */
extern const struct sink_ops
    sink_redis; /* streams `alerts` and `bars.finalized`, channel `alerts`, latest prices */
extern const struct sink_ops sink_kafka; /* topics `alerts` and `bars`, in transactions */
extern const struct sink_ops
    sink_kafka_trades; /* topic `market_data`: every trade of the journal, in transactions */
extern const struct sink_ops sink_postgres; /* tables alert_history and bars_1m */
extern const struct sink_ops sink_sqlite;   /* the same tables */

/* Texts are borrowed until sink_stop. */
struct sink_config {
    const struct sink_ops *ops;
    const char *node;       /* names the cursor in a sink that several nodes share */
    const char *outbox_dir; /* and what the publisher knows of it: */
    const char *outbox_id;
    uint64_t next_offset; /* of the outbox, at start */
    uint64_t delivered; /* events before it are known as delivered: where a cursor of another outbox starts */
    struct outbox_previous previous;   /* of the outbox: a cursor of it goes on here */
    uint32_t batch;                    /* events per delivery, at most */
    const struct symtab *symtab;       /* names of symbols, for a sink that reads the journal, and for: */
    const struct markettab *markettab; /* toplists, for a sink that is to publish them; else NULL */
    uint32_t toplists_interval_ms, toplists_depth;
    const struct settings *settings; /* what the sinks below do not have as a field of their own */

    const char *dead_letter_dir; /* made when needed; NULL: what is refused for good is tried for ever */

    const char *path; /* jsonl */

    const char *redis_url; /* redis[s]://host[:port][/db] */
    /* NULL or "" = the system's certificates; no certificate of our own */
    const char *redis_ca_file, *redis_cert_file, *redis_key_file;
    const char
        *redis_password_file; /* NULL or "" = none; first line "password", "user:password" or ":pass:word" */
    const char *redis_trade_channel;
    bool redis_prices, redis_live_bars, redis_quotes; /* what is published of latest prices */
    uint64_t redis_alerts_maxlen, redis_bars_maxlen, redis_anomalies_maxlen, redis_events_maxlen;
    struct sink_price_source prices; /* for a sink that is to publish them */

    struct histogram *deliver_ns;             /* duration of each delivery; may be NULL */
    void (*log)(void *ctx, const char *line); /* from the sink's thread; may be NULL */
    void *log_ctx;
};

/* All but the last five grow only. */
struct sink_stats {
    uint64_t delivered; /* events that the sink has taken */
    uint64_t bytes;     /* of their JSON */
    uint64_t batches;
    uint64_t retries;        /* connects and deliveries tried again */
    uint64_t errors;         /* connects and deliveries that failed */
    uint64_t connects;       /* that succeeded */
    uint64_t unknown_outbox; /* connects that found the cursor of another outbox */
    uint64_t rewound;        /* events delivered again, because the sink's cursor had gone back */
    uint64_t skipped;        /* events that the outbox no longer had */
    uint64_t prices;         /* latest prices published */
    uint64_t toplists;       /* toplists published */
    uint64_t dead_letters;   /* events that the sink refused for good, kept in a file */
    uint64_t breaker;        /* enum sink_breaker */
    uint64_t up;             /* 1 while the sink takes events */
    uint64_t offset;         /* of the next event to deliver */
    uint64_t confirmed;      /* the cursor that the sink has: what a successor of ours needs, from there */
    uint64_t lag;            /* events in the outbox that are not delivered */
};

struct sink;

/* Starts the thread, which connects in the background. NULL with err set for what cannot work (a setting, no
 * memory). */
struct sink *sink_start(const struct sink_config *config, struct error *err);

/* The publisher committed: the outbox now ends at next_offset. Wakes the thread. */
void sink_published(struct sink *s, uint64_t next_offset);

/* True if everything before `offset` is in the sink. */
bool sink_level(const struct sink *s, uint64_t offset);

void sink_stats(const struct sink *s, struct sink_stats *out);

/* "jsonl", "redis". */
const char *sink_name(const struct sink *s);
/* What it reads: "outbox" or "journal". */
const char *sink_source_name(const struct sink *s);

/* Copies the last failure; returns true while the sink is not up because of it. Empty if there was none. */
bool sink_last_error(struct sink *s, struct error *out);

/* Ends the thread after the delivery that is under way, publishes the latest prices a last time, closes,
 * frees. What is not delivered stays in the outbox. 0, or -1 if the thread did not end within timeout_ms:
 * nothing is freed then; ask again, or exit. */
int sink_stop(struct sink *s, unsigned timeout_ms);

/* What a kind of sink implements. All functions block for a few seconds at most, and are called by one
 * thread. */
struct sink_cursor {
    char outbox_id[SINK_OUTBOX_ID_MAX + 1]; /* "" = the sink has none */
    uint64_t offset;                        /* of the next event */
};

/* A result of deliver: record[*accepted] can never be taken, whatever is done at the server (too large, a
 * value that its type does not hold); err says why. What the operator can repair is no such thing: a full
 * disk, a missing right, a key of another type. The sink stays open; the next delivery begins after the
 * record, with the cursor still before it. */
enum { SINK_REFUSED = 1 };

struct sink_ops {
    const char *name;
    const struct sink_source *source; /* NULL: the outbox */
    size_t state_bytes;               /* zeroed before open */
    bool whole_batches;               /* tries no single events behind an open breaker */
    /* Refuses a configuration that cannot work: -1 with err. Called by sink_start. */
    int (*check)(const struct sink_config *config, struct error *err);
    /* Connects and reads the cursor. 0, or -1 with err; nothing is left open then. `log` may be called. */
    int (*open)(void *state, const struct sink_config *config, struct sink_cursor *cursor, struct error *err);
    /* Delivers records of ascending offsets, consecutive ones of the outbox, if the cursor is still what was
     * read, all or the first *accepted of them, and sets the cursor after them. 0 if all; else SINK_REFUSED,
     * or -1 with err: the sink is then closed. */
    int (*deliver)(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                   struct error *err);
    /* Publishes latest prices; NULL: has none. 0; 1 with err if they are refused; -1 with err if the sink is
     * to be closed. */
    int (*publish_prices)(void *state, const struct sink_price *price, uint32_t n, struct error *err);
    /* Publishes a toplist, then, after all of them, which ones (JSON); NULL: has none. As publish_prices. */
    int (*publish_toplist)(void *state, const struct sink_toplist *list, struct error *err);
    int (*toplists_updated)(void *state, const char *json, struct error *err);
    /* Asked once a second while there is nothing to do: is it still there? NULL: it is. 0, or -1 with err. */
    int (*probe)(void *state, struct error *err);
    void (*close)(void *state);
};

#endif
