/* What the parts of `ringtape audit` share: the events of the outbox, and per stage what was produced, what
 * came of it, and what does not agree.
 *
 * On a running instance each stage is read before the one that feeds it (sinks' cursors, outbox, journal), so
 * that whatever a stage holds was already in the stage before when that is read. Nothing is ever written.
 */
#ifndef WORKERS_AUDIT_H
#define WORKERS_AUDIT_H

#include "net/outbox.h"
#include "net/settings.h"
#include "net/sink.h"
#include "workers/cli.h"

#include <jansson.h>

enum { AUDIT_TRIMMED = 255 };        /* it was there: the sink keeps only so many */
enum { AUDIT_KINDS = OUTBOX_KINDS }; /* enum outbox_kind is below it */
enum { AUDIT_REASONS = 8, AUDIT_STAGES = 32, AUDIT_FINDINGS = 20, AUDIT_TEXT = 160 };

/* delivered + reasons = produced where all is well. */
struct audit_stage {
    const char *name;
    uint64_t produced, delivered;
    uint64_t unexpected; /* there, but nothing has produced it, or there again */
    uint64_t findings;   /* the first AUDIT_FINDINGS of them are told */
    uint64_t faults;     /* findings that are none of `unchecked` */
    struct {
        const char *name;
        uint64_t n;
    } reason[AUDIT_REASONS];
    bool unchecked; /* it could not be looked at, in part or at all: findings from then on are no faults */
};

/* An event of the outbox; the one at index i has offset first + i. */
struct audit_event {
    uint64_t seq, digest; /* of its JSON */
    uint32_t symbol, sub;
    uint32_t next; /* of the same bucket, index + 1; 0: none */
    uint16_t bucket;
    uint8_t kind; /* enum outbox_kind */
};

struct audit_name {
    char text[64];
    uint32_t len;
    uint16_t bucket;
    uint8_t size_scale;
};

struct audit {
    const struct cli_args *args;
    const char *dir;
    char outbox_dir[4096], outbox_id[SINK_OUTBOX_ID_MAX + 1];
    bool alive;  /* the instance runs */
    bool killed; /* it left its workspace */
    bool ended;  /* the journal ends with END */
    bool broken; /* the outbox could not be read to its end */
    struct audit_event *event;
    uint32_t n, room;
    uint64_t first;   /* offset of event[0] */
    uint32_t *places; /* event index + 1 by digest, 0: free */
    uint32_t mask;
    struct audit_name *name; /* by symbol id */
    uint32_t names;
    struct audit_stage stage[AUDIT_STAGES];
    unsigned n_stages;
    json_t *findings;
};

struct audit_stage *audit_stage_new(struct audit *a, const char *name);
void audit_count(struct audit_stage *s, const char *reason, uint64_t n);
/* Something does not hold, or (s->unchecked) could not be seen. Returns -1. */
int audit_find(struct audit *a, struct audit_stage *s, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The index of the event with this JSON, -1 if the outbox has none. */
int64_t audit_event_of(const struct audit *a, const char *json, size_t len);
/* "event 17 (seq 1234, SPY)"; returns `text`. */
const char *audit_event_text(const struct audit *a, uint32_t i, char text[AUDIT_TEXT]);

/* Gives the messages behind last_seq that a killed instance's journal (`node`; NULL: any) had not written to
 * take(), as whole records, until that gives -1. 0, or -1 with err: the staging is damaged. */
int audit_read_staged(const struct audit *a, const uint8_t *node, uint64_t last_seq,
                      int (*take)(void *ctx, const struct msg *m, size_t n), void *ctx, struct error *err);

/* A sink: its cursor is read at open; its content is compared once the outbox is known. */
struct audit_sink {
    const char *name;
    const struct settings *settings;
    bool found; /* it has a cursor */
    struct sink_cursor cursor;
    struct audit_stage *stage[AUDIT_KINDS]; /* by enum outbox_kind; NULL: it takes none of them */
    uint8_t *times; /* per event: how often it is there, at most 2; or AUDIT_TRIMMED */
    void *state;    /* of the kind of sink */
};

/* A kind of sink. Nothing is written to it. */
struct audit_sink_ops {
    const char *name;
    const char *stage[AUDIT_KINDS]; /* names, by enum outbox_kind; NULL: it takes none; all take alerts */
    const char *(*where)(const struct settings *s); /* what the sink writes to, "" if it is not in use */
    /* Reads the cursor; -1 with err: the sink cannot be read, nothing is left open. */
    int (*open)(struct audit *a, struct audit_sink *s, struct error *err);
    /* Marks what is there, and says what should not be. */
    void (*read)(struct audit *a, struct audit_sink *s);
    void (*close)(struct audit_sink *s); /* may be NULL */
};
extern const struct audit_sink_ops audit_jsonl, audit_redis, audit_sqlite, audit_kafka, audit_postgres;

/* The name that the instance's cursors have: node.name, or the id of its outbox. */
int audit_node(const struct audit *a, const struct settings *s, char name[SETTING_TEXT_MAX],
               struct error *err);

/* The sink cannot be read any further: its stages are not checked. */
void audit_sink_unread(struct audit *a, struct audit_sink *s, const struct error *err);

/* An entry of a sink that must be an event before its cursor, and there once. `where`: "line 12", for
 * messages. The index, or -1. */
int64_t audit_sink_entry(struct audit *a, struct audit_sink *s, enum outbox_kind kind, const char *json,
                         size_t len, const char *where);

#endif
