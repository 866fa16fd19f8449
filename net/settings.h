/* Settings: one table says everything about each; from it come the struct, the readers and the documents.
 *
 * A setting is `section.key`. Its value comes from, each over the one before: the default, the file
 * ([section] key = value), the environment (RINGTAPE_SECTION_KEY, or an alias; the own name wins), the
 * command line (--set section.key=value). Whatever is wrong is refused with its place, what was found and
 * what was expected; nothing is clamped, ignored or guessed.
 *
 * No setting holds a secret: secrets are in files that a setting names.
 *
 * Threading: load once, then read only. struct settings owns nothing and may be copied.
 */
#ifndef NET_SETTINGS_H
#define NET_SETTINGS_H

#include "core/anomaly.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SETTING_TEXT_MAX = 160, SETTING_CPUS_MAX = 64 };

/* The names of each enumeration, in the order of its constants: `shm.pages = auto` is SET_SHM_PAGES_AUTO. */
#define SET_BARS_ELIGIBILITY(X, p)   X(p##_ALL, "all") X(p##_TABLE, "table")
#define SET_RINGS_BUCKET_TABLE(X, p) X(p##_EVEN, "even") X(p##_ONE, "one") X(p##_REVERSE, "reverse")
#define SET_RINGS_WHEN_FULL(X, p)    X(p##_WAIT, "wait") X(p##_LAG, "lag")
#define SET_SHM_PAGES(X, p)          X(p##_AUTO, "auto") X(p##_HUGE, "huge") X(p##_NORMAL, "normal")
#define SET_JOURNAL_SYNC(X, p)       X(p##_NEVER, "never") X(p##_INTERVAL, "interval") X(p##_ALWAYS, "always")
#define SET_LOOP_SPIN(X, p)          X(p##_AUTO, "auto") X(p##_ALWAYS, "always") X(p##_NEVER, "never")
#define SET_KAFKA_SASL(X, p)                                                                                 \
    X(p##_SCRAM_SHA_256, "scram-sha-256") X(p##_SCRAM_SHA_512, "scram-sha-512") X(p##_PLAIN, "plain")
#define SET_LOG_LEVEL(X, p)                                                                                  \
    X(p##_ERROR, "error") X(p##_WARN, "warn") X(p##_INFO, "info") X(p##_DEBUG, "debug")
#define SET_LOG_FORMAT(X, p) X(p##_TEXT, "text") X(p##_JSON, "json")

#define SETTING_ENUMS(X)                                                                                     \
    X(bars_eligibility, BARS_ELIGIBILITY)                                                                    \
    X(rings_bucket_table, RINGS_BUCKET_TABLE)                                                                \
    X(rings_when_full, RINGS_WHEN_FULL)                                                                      \
    X(shm_pages, SHM_PAGES)                                                                                  \
    X(journal_sync, JOURNAL_SYNC)                                                                            \
    X(kafka_sasl, KAFKA_SASL)                                                                                \
    X(loop_spin, LOOP_SPIN)                                                                                  \
    X(log_level, LOG_LEVEL)                                                                                  \
    X(log_format, LOG_FORMAT)

#define SETTING_CONSTANT(name, text) name,
#define X(name, NAME)                enum set_##name{SET_##NAME(SETTING_CONSTANT, SET_##NAME) SET_##NAME##_COUNT};
SETTING_ENUMS(X)
#undef X
#undef SETTING_CONSTANT

/* X(TYPE, section, key, default, min, max, unit, alias, results, help)
 *
 * TYPE: INT (min..max), DECIMAL (up to 3 places; stored, as are min and max, in thousandths), POW2 (a power
 * of two in min..max), BOOL (true|false, also yes|no, on|off, 1|0), ENUM (the names above), and texts of at
 * most SETTING_TEXT_MAX - 1 bytes: NAME (letters, digits, . _ -), PATH, TEXT, ADDRESS (an IPv4 or IPv6
 * address), REDIS (redis[s]://host:port/db), CHANNEL (no spaces), CPUS (auto, off, or a list such as 2,4-7).
 * A text may be empty where its default is. unit: of the number, "" if none. alias: a further environment
 * variable, "" if none. results: 1 if it changes what the engine emits, so that it belongs to the journal (a
 * SETTING message). */
#define SETTINGS(X)                                                                                          \
    X(NAME, node, name, "", 0, 63, "", "", 0,                                                                \
      "Name of this node in what it emits. Empty: generated once per directory.")                            \
    X(INT, run, scanners, "1", 1, 64, "", "SCANNER_WORKER_COUNT", 0,                                         \
      "Scanner processes. The results do not depend on it.")                                                 \
    X(ENUM, bars, eligibility, "table", 0, 0, "", "", 1,                                                     \
      "Which trades update price, high and low, volume: all, or what the table of sale conditions lets "     \
      "those with conditions.")                                                                              \
    X(PATH, bars, conditions, "", 0, 0, "", "", 1,                                                           \
      "File of sale conditions (docs/market-rules.md). Empty: the one that this ringtape brings.")           \
    X(INT, bars, lateness_ms, "1000", 0, 3600000, "ms", "", 1,                                               \
      "How long after its end a bar takes late prints; it is final, and sent, after that.")                  \
    X(INT, bars, keep, "500", 10, 5000, "bars", "", 1,                                                       \
      "One-minute bars kept per symbol: the longest look-back of a metric.")                                 \
    X(BOOL, bars, corrections, "false", 0, 0, "", "", 1,                                                     \
      "Keep the trading day's prints, so that they can be cancelled and corrected. Without it cancels are "  \
      "only counted.")                                                                                       \
    X(BOOL, bars, flat, "false", 0, 0, "", "", 1,                                                            \
      "A minute of an open session without a last sale makes a bar too: at the last price, volume 0.")       \
    X(BOOL, anomalies, enabled, "false", 0, 0, "", "", 1,                                                    \
      "Look for anomalies (docs/anomalies.md); costs nothing where it is off.")                              \
    ANOMALY_SETTINGS(X)                                                                                      \
    X(BOOL, scans, enabled, "false", 0, 0, "", "", 0,                                                        \
      "Keep values of every symbol for `ringtape scan` (docs/rules.md).")                                    \
    X(BOOL, toplists, enabled, "false", 0, 0, "", "", 0,                                                     \
      "Rank the symbols once a second (docs/toplists.md): a process more, the market role.")                 \
    X(PATH, toplists, file, "", 0, 0, "", "", 0, "File of users' own toplists (JSON). Empty: none.")         \
    X(INT, toplists, interval_ms, "1000", 100, 60000, "ms", "", 0,                                           \
      "How often toplists go to Redis, if they have changed.")                                               \
    X(INT, toplists, depth, "100", 1, 500, "symbols", "", 0,                                                 \
      "How many symbols of each end of a toplist go to Redis.")                                              \
    X(INT, rules, cooldown_default, "10", 0, 86400, "s", "SCANNER_COOLDOWN_DEFAULT", 1,                      \
      "Cooldown per rule and symbol of a rule that names none.")                                             \
    X(INT, limits, symbols, "20000", 1, 1000000, "", "", 1, "Symbols that the engine has room for.")         \
    X(INT, limits, rules, "10000", 1, 200000, "", "", 1, "Rules, all versions counted.")                     \
    X(INT, limits, metrics, "256", 1, 4096, "", "", 1, "Distinct metrics that all rules together name.")     \
    X(INT, limits, fires, "1048576", 1024, 67108864, "", "", 1,                                              \
      "Pairs of rule and symbol that have fired (each keeps its cooldown).")                                 \
    X(INT, limits, trades, "4194304", 0, 1073741824, "", "", 1,                                              \
      "Prints kept for corrections (bars.corrections); the oldest go first. Each takes 51 bytes, once "      \
      "used.")                                                                                               \
    X(INT, limits, alerts, "1048576", 0, 67108864, "", "", 1,                                                \
      "Alerts kept for as long as the print that decided each may be cancelled (bars.corrections), as many " \
      "as of about 64 bytes; the oldest go first, 0 keeps none.")                                            \
    X(POW2, rings, tick_slots, "65536", 64, 4194304, "slots", "SCANNER_BUFFER_SIZE", 0,                      \
      "Slots of 64 bytes in each ring from ingest to a scanner. 65536 (4 MiB) stays in the L3 cache.")       \
    X(POW2, rings, event_slots, "16384", 64, 4194304, "slots", "", 0,                                        \
      "Slots of 64 bytes in each ring from a scanner to the publisher.")                                     \
    X(ENUM, rings, when_full, "wait", 0, 0, "", "", 0,                                                       \
      "A full tick ring: wait makes the source wait, for one that can; lag goes on, and the scanner that "   \
      "is behind reads the journal instead until it is level.")                                              \
    X(ENUM, rings, bucket_table, "even", 0, 0, "", "", 0,                                                    \
      "Which scanner runs a bucket: evenly spread; for tests all on one, or in reverse.")                    \
    X(ENUM, shm, pages, "auto", 0, 0, "", "", 0,                                                             \
      "Pages of the workspace: huge (2 MiB; fails without them), normal (4 KiB), auto (huge if there are).") \
    X(BOOL, journal, enabled, "true", 0, 0, "", "", 0,                                                       \
      "Write the capture. Without it nothing can be replayed: for benchmarks.")                              \
    X(INT, journal, segment_mb, "256", 1, 65536, "MiB", "", 0, "A journal file is sealed at this size.")     \
    X(INT, journal, block_kb, "128", 4, 16384, "KiB", "", 0,                                                 \
      "A journal block, the unit of checksum and write.")                                                    \
    X(INT, journal, staging_mb, "16", 1, 4096, "MiB", "", 0,                                                 \
      "Journal staging in the workspace: what outlives a killed process until it is on disk.")               \
    X(ENUM, journal, sync, "interval", 0, 0, "", "", 0,                                                      \
      "When the journal is made durable. always: an event is sent only after what caused it is on disk.")    \
    X(INT, journal, interval_ms, "100", 1, 60000, "ms", "", 0, "The interval of journal.sync = interval.")   \
    X(BOOL, journal, compress, "true", 0, 0, "", "", 0,                                                      \
      "Compress sealed journal files with zstd, in the background, in idle CPU time.")                       \
    X(INT, journal, compress_level, "3", 1, 19, "", "", 0, "The zstd level of journal.compress.")            \
    X(INT, journal, retention_h, "0", 0, 87600, "h", "", 0,                                                  \
      "Journal files are deleted so long after the next one was begun. 0: never.")                           \
    X(INT, journal, retention_mb, "0", 0, 1073741824, "MiB", "", 0,                                          \
      "The oldest journal files are deleted while all of them hold more. 0: no limit.")                      \
    X(INT, checkpoints, interval_ms, "60000", 0, 86400000, "ms", "", 0,                                      \
      "How often scanners save their state, from which they go on after a failure; 0: never, they then "     \
      "apply the run's journal from its first message.")                                                     \
    X(INT, outbox, segment_mb, "64", 1, 65536, "MiB", "", 0, "An outbox file is sealed at this size.")       \
    X(INT, outbox, retention_h, "24", 0, 87600, "h", "", 0,                                                  \
      "How long events are kept after every sink has them.")                                                 \
    X(INT, csv, size_scale, "0", 0, 9, "decimals", "", 0, "Decimal places of sizes in csv: sources.")        \
    X(NAME, csv, calendar, "us-equity", 0, 31, "", "", 0,                                                    \
      "Sessions of the symbols in csv: sources: a calendar of the calendar file; it has us-equity, utc24, "  \
      "fx.")                                                                                                 \
    X(NAME, dbn, calendar, "utc24", 0, 31, "", "", 0, "Sessions of the symbols in dbn: sources, likewise.")  \
    X(PATH, calendar, file, "", 0, 0, "", "", 1,                                                             \
      "File of trading calendars (docs/market-rules.md). Empty: the one that this ringtape brings.")         \
    X(PATH, splits, file, "", 0, 0, "", "", 1,                                                               \
      "File of splits, lines DATE,SYMBOL,RATIO (docs/market-rules.md). Empty: none.")                        \
    X(NAME, source, market, "", 0, 15, "", "", 0,                                                            \
      "Added to every symbol as .MARKET (P makes BTCUSDT.P). Empty: nothing.")                               \
    X(PATH, symbols, attributes, "", 0, 0, "", "", 1,                                                        \
      "File of the symbols' attributes: sector, float … (docs/market-rules.md). Empty: none.")               \
    X(INT, conflate, quotes_ms, "0", 0, 60000, "ms", "", 0,                                                  \
      "Of a symbol's quotes within so long only the last goes on, at its end: fewer, later. 0: all do.")     \
    X(PATH, sinks, jsonl, "", 0, 0, "", "", 0, "Alerts as JSON lines, appended to this file.")               \
    X(REDIS, sinks, redis, "", 0, 0, "", "", 0, "Redis to publish to: redis://host:port/db; rediss: TLS.")   \
    X(TEXT, sinks, postgres, "", 0, 0, "", "", 0,                                                            \
      "PostgreSQL to write to: postgresql://user@host:port/db, without a password.")                         \
    X(PATH, sinks, sqlite, "", 0, 0, "", "", 0, "SQLite database to write to: a file.")                      \
    X(TEXT, sinks, kafka, "", 0, 0, "", "", 0, "Kafka brokers to produce to: host:port,host:port.")          \
    X(PATH, redis, password_file, "", 0, 0, "", "", 0,                                                       \
      "File whose first line is the password (user:password for an ACL user, :password if it has a colon).") \
    X(PATH, redis, ca_file, "", 0, 0, "", "", 0,                                                             \
      "Certificates (PEM) to trust with rediss. Empty: the system's.")                                       \
    X(PATH, redis, cert_file, "", 0, 0, "", "", 0,                                                           \
      "Our certificate (PEM) for a server that asks for one. Empty: none.")                                  \
    X(PATH, redis, key_file, "", 0, 0, "", "", 0, "The key (PEM) of redis.cert_file.")                       \
    X(CHANNEL, redis, trade_channel, "trades", 0, 0, "", "", 0, "Channel of the latest prices.")             \
    X(INT, redis, alerts_maxlen, "100000", 1, 1000000000, "entries", "", 0,                                  \
      "About how many entries the stream `alerts` keeps.")                                                   \
    X(INT, redis, bars_maxlen, "1000000", 1, 1000000000, "entries", "", 0,                                   \
      "About how many entries the stream `bars.finalized` keeps.")                                           \
    X(INT, redis, anomalies_maxlen, "100000", 1, 1000000000, "entries", "", 0,                               \
      "About how many entries the stream `anomalies:stream` keeps.")                                         \
    X(INT, redis, events_maxlen, "100000", 1, 1000000000, "entries", "", 0,                                  \
      "About how many entries the stream events (halts) keeps.")                                             \
    X(INT, redis, batch, "500", 1, 10000, "events", "", 0,                                                   \
      "Events per transaction: more is faster, fewer is sooner.")                                            \
    X(BOOL, redis, publish_prices, "true", 0, 0, "", "", 0,                                                  \
      "Write price:SYM and publish each latest price.")                                                      \
    X(BOOL, redis, publish_live_bars, "true", 0, 0, "", "", 0,                                               \
      "Write livebar:SYM, the bar of the minute, for 5 minutes.")                                            \
    X(BOOL, redis, publish_quotes, "true", 0, 0, "", "", 0,                                                  \
      "Write quotes:latest:SYM and publish each latest price on quotes:pubsub.")                             \
    X(PATH, postgres, password_file, "", 0, 0, "", "", 0, "File whose first line is the password.")          \
    X(INT, postgres, batch, "1000", 1, 10000, "events", "", 0, "Events per transaction.")                    \
    X(INT, sqlite, batch, "1000", 1, 10000, "events", "", 0, "Events per transaction.")                      \
    X(INT, kafka, batch, "5000", 1, 100000, "events", "", 0, "Events per transaction.")                      \
    X(BOOL, kafka, prices, "true", 0, 0, "", "", 0,                                                          \
      "Write latest prices to topic prices, as often as they change and at most ten times a second.")        \
    X(BOOL, kafka, trades, "false", 0, 0, "", "", 0,                                                         \
      "Write every trade to topic market_data, from the journal.")                                           \
    X(INT, kafka, trades_batch, "5000", 1, 100000, "trades", "", 0, "Trades per transaction.")               \
    X(NAME, kafka, user, "", 0, 200, "", "", 0, "User for SASL. Empty: none.")                               \
    X(ENUM, kafka, sasl, "scram-sha-256", 0, 0, "", "", 0, "SASL's mechanism; plain only with TLS.")         \
    X(PATH, kafka, password_file, "", 0, 0, "", "", 0, "File whose first line is that user's password.")     \
    X(PATH, kafka, ca_file, "", 0, 0, "", "", 0, "Certificates to trust: TLS to the brokers. Empty: none.")  \
    X(PATH, kafka, cert_file, "", 0, 0, "", "", 0,                                                           \
      "Our certificate (PEM) for brokers that ask for one. Empty: none.")                                    \
    X(PATH, kafka, key_file, "", 0, 0, "", "", 0, "The key (PEM) of kafka.cert_file.")                       \
    X(ADDRESS, http, listen, "127.0.0.1", 0, 0, "", "", 0,                                                   \
      "Address of /health, /ready, /live, /stats and /metrics. They are not protected: keep it private.")    \
    X(INT, http, port, "0", 0, 65400, "", "SCANNER_HEALTH_PORT", 0,                                          \
      "Port of the HTTP face of `run`, 0 = off.")                                                            \
    X(ENUM, loop, spin, "auto", 0, 0, "", "", 0,                                                             \
      "Whether an idle role spins. auto: only with a CPU of its own.")                                       \
    X(INT, loop, sleep_us, "50", 1, 100000, "us", "", 0,                                                     \
      "How long a role that has no work and does not spin sleeps at a time. Longer leaves more of a shared " \
      "machine to others, and is what an event may wait.")                                                   \
    X(CPUS, loop, pin, "auto", 0, 0, "", "", 0,                                                              \
      "CPUs of the roles, in their order: auto, off, or a list such as 2,4-7.")                              \
    X(BOOL, loop, cpu_time, "false", 0, 0, "", "", 0,                                                        \
      "Steps are measured in CPU time of the thread, for a shared machine; costs 0.5 us a step.")            \
    X(ENUM, log, level, "info", 0, 0, "", "", 0, "The least severe that is logged.")                         \
    X(ENUM, log, format, "text", 0, 0, "", "", 0, "Log lines as text or as JSON.")

/* The struct's fields are section_key: settings.bars_lateness_ms. */
#define SETTING_CTYPE_INT(name)     int64_t name;
#define SETTING_CTYPE_DECIMAL(name) int64_t name;
#define SETTING_CTYPE_POW2(name)    int64_t name;
#define SETTING_CTYPE_BOOL(name)    bool name;
#define SETTING_CTYPE_ENUM(name)    enum set_##name name;
#define SETTING_CTYPE_NAME(name)    char name[SETTING_TEXT_MAX];
#define SETTING_CTYPE_PATH(name)    char name[SETTING_TEXT_MAX];
#define SETTING_CTYPE_TEXT(name)    char name[SETTING_TEXT_MAX];
#define SETTING_CTYPE_ADDRESS(name) char name[SETTING_TEXT_MAX];
#define SETTING_CTYPE_REDIS(name)   char name[SETTING_TEXT_MAX];
#define SETTING_CTYPE_CHANNEL(name) char name[SETTING_TEXT_MAX];
#define SETTING_CTYPE_CPUS(name)    char name[SETTING_TEXT_MAX];

enum setting_type {
    SETTING_INT,
    SETTING_DECIMAL,
    SETTING_POW2,
    SETTING_BOOL,
    SETTING_ENUM,
    SETTING_NAME,
    SETTING_PATH,
    SETTING_TEXT,
    SETTING_ADDRESS,
    SETTING_REDIS,
    SETTING_CHANNEL,
    SETTING_CPUS
};

#define X(type, section, key, ...) SETTING_ID_##section##_##key,
enum setting_id { SETTINGS(X) SETTING_COUNT };
#undef X

enum setting_origin {
    SETTING_FROM_DEFAULT,
    SETTING_FROM_FILE,
    SETTING_FROM_ENV,
    SETTING_FROM_ALIAS,
    SETTING_FROM_COMMAND
};

struct settings {
#define X(type, section, key, ...) SETTING_CTYPE_##type(section##_##key)
    SETTINGS(X)
#undef X
    char file[256]; /* the file that was read, "" if none */
    struct {
        uint8_t origin; /* enum setting_origin */
        uint32_t line;  /* of the file */
    } from[SETTING_COUNT];
};

struct setting_info {
    const char *section, *key, *name; /* name = "section.key" */
    const char *default_text, *unit, *alias, *help;
    const char *const *values; /* ENUM: its names, NULL at the end */
    int64_t min, max;
    size_t offset; /* in struct settings */
    uint8_t type;  /* enum setting_type */
    bool results;
};
extern const struct setting_info setting_table[SETTING_COUNT];

/* Everything in the right order. `file` may be NULL; `environment` is environ (or NULL: none); `sets` are n
 * texts "section.key=value". 0, or -1 with err set. */
int settings_load(struct settings *s, const char *file, char *const *environment, const char *const *sets,
                  size_t n, struct error *err) __attribute__((warn_unused_result));

/* The steps of settings_load. */
void settings_defaults(struct settings *s);
int settings_read_file(struct settings *s, const char *path, struct error *err)
    __attribute__((warn_unused_result));
/* `text` (len bytes, any content) as if it were in a file called `path`. */
int settings_parse(struct settings *s, const char *path, const char *text, size_t len, struct error *err)
    __attribute__((warn_unused_result));
int settings_read_environment(struct settings *s, char *const *environment, struct error *err)
    __attribute__((warn_unused_result));
int settings_override(struct settings *s, const char *set, struct error *err)
    __attribute__((warn_unused_result));

/* As settings_load, once more: the file that `old` was read from as it is now, the environment, and what
 * `old` had from the command line. 0, or -1 with err set. */
int settings_reload(struct settings *s, const struct settings *old, char *const *environment,
                    struct error *err) __attribute__((warn_unused_result));

/* The setting called "section.key", -1 if there is none. */
int setting_find(const char *name);

/* The value as it would be written in the file; `out` holds SETTING_TEXT_MAX bytes. */
void setting_value(const struct settings *s, enum setting_id id, char *out);

/* Where the value came from: "default", "ringtape.ini:12", "RINGTAPE_HTTP_PORT", "--set". */
void setting_origin(const struct settings *s, enum setting_id id, char *out, size_t size);

/* "RINGTAPE_SECTION_KEY"; `out` holds 64 bytes. */
void setting_env_name(enum setting_id id, char *out);

/* What the setting takes, for a person: "0 to 3600000 ms", "never, interval or always". */
void setting_expected(enum setting_id id, char *out, size_t size);

/* The CPUs of a list "2,4-7" in the order given, at most SETTING_CPUS_MAX, each below 1024 and given once:
 * how many, or -1. */
int setting_cpu_list(const char *text, uint16_t cpus[SETTING_CPUS_MAX]);

struct setting_redis {
    bool tls; /* rediss */
    char host[SETTING_TEXT_MAX];
    uint16_t port;
    uint16_t db;
};
/* Takes redis[s]://host[:port][/db] apart (port 6379, db 0; an IPv6 host in brackets). 0, or -1 with err set,
 * which never repeats a password. */
int setting_redis_parse(const char *text, struct setting_redis *out, struct error *err);

#endif
