/* What a scanner has missed: the state of its buckets from checkpoints, the messages after them from the
 * journal, up to a given one. What is then in its ring goes on from there.
 *
 * Threading: the scanner's.
 */
#ifndef WORKERS_CATCH_UP_H
#define WORKERS_CATCH_UP_H

#include "core/engine.h"
#include "core/route.h"
#include "net/journal.h"
#include "shm/symtab.h"

struct catch_up_options {
    const char *capture, *checkpoints; /* directories */
    uint32_t scanners, scanner;        /* how many there are, and which this is */
    enum bucket_table bucket_table;
    uint32_t ids;    /* of symbols */
    uint64_t to_seq; /* the last message missed */
    /* Not 0: the engine is as of this message, no checkpoint is looked at; then also its symbols: */
    uint64_t after_seq;
    const struct symtab *symbols;
};

struct catch_up;

/* NULL with err: the journal cannot be read, or what is missed is in no file. note (may be empty): what is
 * wrong with a checkpoint. */
struct catch_up *catch_up_open(const struct catch_up_options *options, struct error *note, struct error *err);

/* The message up to which a checkpoint tells all; 0: there is none, the run's first message is the next. */
uint64_t catch_up_from(const struct catch_up *c);

/* No checkpoint that is used is of a later message; 0: none is. */
uint64_t catch_up_newest(const struct catch_up *c);

/* The next messages for the engine, to be applied before the next call; 0 if there are none yet, or all are
 * done. Gives the engine each bucket's state when its time has come. Returns the slots, or -1 with err. */
int catch_up_next(struct catch_up *c, struct engine *e, const struct msg **m, struct error *err)
    __attribute__((warn_unused_result));
/* True once catch_up_next has given all. */
bool catch_up_done(const struct catch_up *c);

/* The last message considered. */
uint64_t catch_up_at(const struct catch_up *c);

/* What was missed ends with this message, not yet given. */
void catch_up_end_at(struct catch_up *c, uint64_t to_seq);

struct catch_up_figures {
    uint32_t buckets;  /* that a checkpoint had */
    uint64_t messages; /* from the journal, for this scanner */
    int64_t load_ns;   /* reading checkpoints and giving them to the engine */
};
const struct catch_up_figures *catch_up_figures(const struct catch_up *c);

void catch_up_close(struct catch_up *c);

#endif
