/* The stream: what ingest and replay apply. Sources, merged and stamped by the sequencer, opened by the
 * settings and the rules in force; or a capture as it stands, with its seqs.
 *
 * Order: SETTINGs, RULEs, then the data, CLOCKs and trading days between; END last. The rules of --rules
 * replace those of a capture, and take effect before its first message (behind its first SETTINGs), without a
 * seq; the attributes of --attributes replace a capture's where its symbols come. Settings that change
 * results come from the capture, unless `override` says that the command line's do.
 */
#ifndef WORKERS_STREAM_H
#define WORKERS_STREAM_H

#include "net/attributes.h"
#include "net/feed.h"
#include "net/history.h"
#include "net/rules_file.h"
#include "net/rules_log.h"
#include "net/settings.h"
#include "workers/cli.h"

struct stream_options {
    const char *const *sources;
    unsigned n_sources;
    const char *rules;                       /* file; NULL: none, or the capture's */
    const struct rules_batch *opening_rules; /* RULE messages instead of a file's; or NULL */
    const char *history;                     /* file or NULL */
    const char *attributes;                  /* file, "": none; NULL: symbols.attributes, or the capture's */
    bool override;
    bool settings_lead; /* a capture's first settings come before them: some rules need these */
    uint64_t first_seq; /* of what is stamped here: 1, or 1 + the journal's last */
    const struct settings *settings;
    void (*log)(void *ctx, const char *line);
    void *log_ctx;
};

/* Options of the commands that open a stream: files beside the sources; settings. */
#define STREAM_FILE_OPTIONS                                                                                  \
    {.name = "history",                                                                                      \
     .arg = "FILE",                                                                                          \
     .help = "daily bars from before (date,symbol,open,high,low,close,volume)",                              \
     .kind = CLI_TEXT},                                                                                      \
    {                                                                                                        \
        .name = "attributes", .arg = "FILE",                                                                 \
        .help = "the symbols' attributes: symbol,sector,float,… (symbols.attributes)", .kind = CLI_TEXT      \
    }
#define STREAM_OVERRIDE_OPTION                                                                               \
    {                                                                                                        \
        .name = "override", .help = "use the command line's settings, not the capture's", .kind = CLI_FLAG   \
    }

struct stream;

struct stream *stream_open(const struct stream_options *o, struct error *err);

enum { STREAM_ROOM = 8192 }; /* `max` must be at least this */

/* The next stamped records: how many slots, 0 after END. What it gives at once stays in the nearest caches.
 */
int stream_read(struct stream *s, struct msg *out, int max);

/* The RULE messages that open it, n slots. */
const struct msg *stream_opening_rules(const struct stream *s, uint32_t *n);
/* The batch's messages take the seqs from batch->seq on; what would have had them comes behind. Of what was
 * read, rest[0..n) (whole records, up to the last read) is taken back and comes again. Each batch comes
 * behind the one before; what it points to must last. Not for a capture. */
void stream_insert(struct stream *s, const struct rules_batch *batch, const struct msg *rest, int n);
/* A batch is still to come, or what was taken back. */
bool stream_is_inserting(const struct stream *s);
bool stream_is_holding(const struct stream *s);
/* The seq of what is read next. */
uint64_t stream_next_seq(const struct stream *s);

/* The next read ends the stream: END, without the CLOCKs that would close open bars. Of what was read,
 * rest[0..n) (whole records) is taken back, as if it had not been. */
void stream_stop(struct stream *s, const struct msg *rest, int n);

/* A capture as it stands? Then all has its seq already. */
bool stream_is_capture(const struct stream *s);

/* What went by so far, by type. */
const uint64_t *stream_counts(const struct stream *s);
void stream_stats(const struct stream *s, struct source_stats *out);
const char *stream_failure(const struct stream *s); /* of sources; NULL if none */
uint64_t stream_last_seq(const struct stream *s);
/* Running maximum of event time, INT64_MIN before the first tick. */
int64_t stream_time(const struct stream *s);
uint32_t stream_symbol_count(const struct stream *s);
const struct source_symbol *stream_symbol(const struct stream *s, uint32_t id);
void stream_close(struct stream *s);

#endif
