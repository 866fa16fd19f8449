/* Checkpoints: files in a directory, from which a scanner that comes back goes on, so that it need not apply
 * the journal from its first message.
 *
 * A file SCANNER-GENERATION.rtc is a head and frames in the order of seq: the rules and settings (each a
 * record, with its own seq), pieces of buckets (core/engine_save.h), and the end of each pass over all of the
 * scanner's buckets. A frame says what was as of its seq. A bucket goes on from its newest whole piece,
 * whichever scanner wrote it, so the number of scanners may change. A file stands by itself; a generation
 * begins where the one before has grown to several times what it must be, or could not be written; older ones
 * are deleted once it has a whole pass.
 *
 * What is handed over counts for ever: the caller sees to it that journal and outbox have, durably, all up to
 * it. A frame that is torn ends its file. After a journal has lost its end, checkpoint_cut takes away what
 * came after.
 *
 * Threading: the writer's functions from one thread; files are written by a thread of its own.
 */
#ifndef NET_CHECKPOINT_H
#define NET_CHECKPOINT_H

#include "core/engine_save.h"
#include "net/segment.h"

/* ---- writing */

struct checkpoint_options {
    const char *dir;     /* made when needed */
    const uint8_t *node; /* the journal's, SEGMENT_ID_BYTES */
    uint32_t scanner;
    size_t piece_max;
};

struct checkpoint_state {
    uint64_t passes, bytes, failures; /* bytes written */
    uint64_t
        seq; /* from the message after it on, files alone (on disk) and the journal tell all; 0: not yet */
    struct error failure; /* the last one */
};

struct checkpoint_writer;

/* NULL with err: no memory, no thread. */
struct checkpoint_writer *checkpoint_start(const struct checkpoint_options *options, struct error *err);

/* True while frames can be added: nothing is handed over that is not written. */
bool checkpoint_ready(const struct checkpoint_writer *w);
/* True if the next frames must stand by themselves: all rules and settings, engine_save_anew. Says so once.
 */
bool checkpoint_anew(struct checkpoint_writer *w);

/* Room for a frame's payload, at least options.piece_max and a record's bytes; then the frame as of `seq`. */
void *checkpoint_room(struct checkpoint_writer *w, size_t *max);
void checkpoint_add_record(struct checkpoint_writer *w, const struct msg *record);
void checkpoint_add_piece(struct checkpoint_writer *w, uint32_t bucket, enum engine_piece piece, size_t bytes,
                          uint64_t seq);
/* All buckets have their piece, the first as of first_seq. */
void checkpoint_add_pass(struct checkpoint_writer *w, uint64_t first_seq, uint64_t seq);

/* True if there is enough to be handed over. */
bool checkpoint_full(const struct checkpoint_writer *w);
/* `sole`: of how many scanners files still count; those of others, and older generations of this one, go at
 * the end of a pass. 0: all stay. */
void checkpoint_hand_over(struct checkpoint_writer *w, uint32_t sole);

void checkpoint_get_state(struct checkpoint_writer *w, struct checkpoint_state *out);
void checkpoint_stop(struct checkpoint_writer *w);

/* ---- reading */

struct checkpoint_set;

/* What the files in `dir` say as of max_seq and before. Files of another version or journal do not count,
 * what is damaged ends its file: note (may be empty) says so. NULL: there is no file that counts. */
struct checkpoint_set *checkpoint_read(const char *dir, const uint8_t *node, uint64_t max_seq,
                                       struct error *note);
void checkpoint_free(struct checkpoint_set *c);

/* The bucket is known as of this message; 0: not at all. */
uint64_t checkpoint_bucket_seq(const struct checkpoint_set *c, uint32_t bucket);

/* Calls f for each record of rules and settings with a seq up to that of the bucket, in order. */
void checkpoint_records(const struct checkpoint_set *c, uint32_t bucket,
                        void (*f)(void *ctx, const struct msg *record), void *ctx);

/* Brings the engine to where it was with the bucket. 0, or -1 with err. */
int checkpoint_load(const struct checkpoint_set *c, uint32_t bucket, struct engine *e, struct error *err)
    __attribute__((warn_unused_result));
/* Calls f for each symbol of the bucket. */
void checkpoint_symbols(const struct checkpoint_set *c, uint32_t bucket, void (*f)(void *ctx, uint32_t id),
                        void *ctx);

/* Takes away what is of messages after last_seq (0: all). 0, or -1 with err. */
int checkpoint_cut(const char *dir, uint64_t last_seq, struct error *err) __attribute__((warn_unused_result));

#endif
