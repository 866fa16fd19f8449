/* Whether a capture is what its writer wrote: every checksum, every record, every seq, each index against
 * what it is an index of. Unlike a reader it goes on behind what is damaged. */
#ifndef NET_JOURNAL_VERIFY_H
#define NET_JOURNAL_VERIFY_H

#include "core/error.h"

#include <stdint.h>

struct journal_verified {
    uint64_t segments, compressed, bytes; /* compressed: of the segments */
    uint64_t blocks, records;
    uint64_t first_seq, last_seq;
    uint64_t missing;  /* messages, between the first and the last */
    uint64_t problems; /* 0: it is sound */
    struct error
        note; /* "", or what is not damage: how the open segment ends, what a writer lost in a crash */
};

/* What is wrong: `what` says what was found and expected, at `offset` of `file`. */
typedef void journal_verify_tell(void *ctx, const char *file, uint64_t offset, const char *what);

/* `path`: a directory, or one segment file. 0 with *v, or -1 with err: there is nothing to verify. */
int journal_verify(const char *path, journal_verify_tell *tell, void *ctx, struct journal_verified *v,
                   struct error *err) __attribute__((warn_unused_result));

#endif
