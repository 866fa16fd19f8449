/* What is done to sealed segments: they are compressed, and deleted when they are too old or too many. Never
 * on the writer's path: a thread of its own, or a command.
 *
 * A segment is compressed into NUMBER.rtj.tmp, which is synced and then renamed over the plain one: at each
 * moment one whole file has the name. Segments are deleted from the oldest on, so that what stays has no
 * hole. The newest one with messages always stays: it knows the journal's identity and its last seq.
 */
#ifndef NET_JOURNAL_KEEP_H
#define NET_JOURNAL_KEEP_H

#include "core/error.h"

#include <stdbool.h>
#include <stdint.h>

struct journal_keep_state {
    uint64_t compressed;             /* segments */
    uint64_t plain_bytes, zip_bytes; /* of their files, before and after */
    uint64_t pruned, pruned_bytes;   /* deleted segments */
    uint64_t failures;
    struct error failure; /* the last one */
    bool held;            /* what is due to be deleted is still needed (keep_from_seq) */
};

/* Compresses the sealed segment `number` with zstd's `level` (1 .. 19). 1; 0 if there is nothing to do (not
 * sealed, compressed already, empty, gone) or *stop (may be NULL) became true; -1 with err: try again later;
 * -2 with err: it is damaged. Whatever happens, a whole segment stands there. */
int journal_compress(const char *dir, int dir_fd, uint64_t number, int level, const uint32_t *stop,
                     struct journal_keep_state *s, struct error *err) __attribute__((warn_unused_result));

/* Removes what a compression that died has left. */
void journal_compress_forget(int dir_fd, uint64_t number);

/* Which segments go; 0: by that, none. */
struct journal_prune_rule {
    uint64_t bytes_max;        /* of all files, at most; the newest segment with messages may be more */
    int64_t written_before_ns; /* what was sealed before that, by the writer's clock */
    int64_t event_before_ns;   /* what has only earlier event times */
    uint64_t keep_from_seq;    /* messages from here on stay */
    uint64_t last_number;      /* segments behind this one stay */
    bool dry_run;
};

/* Deletes, and adds to s->pruned and s->pruned_bytes. 0 or -1 with err. *keeps_from (may be NULL): the number
 * of the first segment that stays. */
int journal_prune(const char *dir, int dir_fd, const struct journal_prune_rule *rule,
                  struct journal_keep_state *s, uint64_t *keeps_from, struct error *err)
    __attribute__((warn_unused_result));

/* The thread. Its messages go through the state: it logs nothing. */
struct journal_keeper;

struct journal_keeper_options {
    const char *dir;
    int dir_fd;
    int compress_level;       /* 0: none */
    int64_t retention_ns;     /* 0: any age */
    uint64_t retention_bytes; /* 0: any size */
    uint64_t sealed_number;   /* segments up to this are sealed */
    uint64_t keep_from_seq;   /* messages from here on stay, until journal_keeper_tell says otherwise */
    int64_t now_ns;
};

struct journal_keeper *journal_keeper_start(const struct journal_keeper_options *options, struct error *err);

/* These never wait. */
void journal_keeper_sealed(struct journal_keeper *k, uint64_t number);
void journal_keeper_tell(struct journal_keeper *k, int64_t now_ns, uint64_t keep_from_seq);
/* True with *s, if it has changed since the last true. */
bool journal_keeper_state(struct journal_keeper *k, struct journal_keep_state *s);

/* Ends the thread: within a block's time, or (`finish`) when all that is sealed is dealt with. NULL is fine.
 */
void journal_keeper_stop(struct journal_keeper *k, bool finish);

#endif
