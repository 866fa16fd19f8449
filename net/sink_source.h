/* Where a sink's records come from: in order, each with an offset that stays its own whatever is restarted.
 *
 * - the outbox: alerts and bars. Offsets are consecutive.
 * - the journal: trades as they were stamped. The offset is the seq; other messages have one too and are
 * passed over, so that a sink's offset also moves where it delivers nothing. Only what is durable is read:
 * sink_published tells how far. JSON of a trade is event_json_tick's.
 *
 * Threading: the sink's thread.
 */
#ifndef NET_SINK_SOURCE_H
#define NET_SINK_SOURCE_H

#include "net/sink.h"

struct sink_source {
    const char *name; /* for messages */
    bool follows;     /* what was published may take a moment to be readable */
    /* A reader in config->outbox_dir from offset `from` on, or from what is left after it: *first tells. NULL
     * with err, also if what is there is not config->outbox_id. */
    void *(*open)(const struct sink_config *config, uint64_t from, uint64_t *first, struct error *err);
    /* 1 with the next record that has an offset before `end` (its texts are valid until the next call); 0 if
     * there is none yet, with a reason in err if that is odd; -1 with err. *next: all that comes before it
     * was given or is no record. */
    int (*read)(void *reader, uint64_t end, struct outbox_record *record, uint64_t *next, struct error *err);
    void (*close)(void *reader);
};

extern const struct sink_source sink_source_outbox, sink_source_journal;

/* A journal's id (net/journal.h) as cursors have it: 32 hex digits and NUL. */
void sink_source_journal_id(const uint8_t *node, char out[SINK_OUTBOX_ID_MAX + 1]);

#endif
