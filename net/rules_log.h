/* DIR/rules.log: which RULE and ATTR messages came into a stream besides its data, and at which seq: the
 * rules that opened it, and each reload. The stream is made again from sources and this file alone, whatever
 * has become of the file that the rules were read from.
 *
 * The file is a head, then batches: first seq (0: the opening), slots, xxh3_64 of both and of the slots, the
 * slots. A batch is on disk before any of its messages is in the journal. What a crash has torn off at the
 * end was in no journal; what is damaged before that is refused.
 */
#ifndef NET_RULES_LOG_H
#define NET_RULES_LOG_H

#include "core/error.h"
#include "core/message.h"

struct rules_batch {
    uint64_t seq; /* of its first message; 0: the opening */
    uint32_t n;   /* slots; whole RULE or ATTR records */
    struct msg *m;
};

struct rules_log {
    int fd;
    uint64_t end;
    uint32_t n; /* batches, by seq */
    struct rules_batch *batch;
};

/* Opens or makes it; if `anew`, what was in it is gone. NULL with err. */
struct rules_log *rules_log_open(const char *dir, bool anew, struct error *err);
/* Adds a batch and makes it durable. 0, or -1 with err: then it is not in it. */
int rules_log_add(struct rules_log *l, uint64_t seq, const struct msg *m, uint32_t n, struct error *err)
    __attribute__((warn_unused_result));
void rules_log_close(struct rules_log *l);

#endif
