/* Content that travels in several records (RULE, SETTING): put together again. */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include "core/rule.h"

struct parts {
    uint32_t len;
    bool bad;  /* the content at hand is no good */
    bool more; /* … and goes on */
    uint8_t bytes[RULE_BYTES_MAX + 1];
};

/* Adds a record. 1: it was the last, bytes[0..len) is the content, followed by a NUL; 0: more are to come;
 * -1: the content that ends here is longer than RULE_BYTES_MAX, or a record lied about its length. After 1 or
 * -1 the next call starts anew. */
static inline int parts_add(struct parts *p, const struct msg *m)
{
    uint32_t len = m->part.len;
    if (!p->more) {
        p->len = 0;
        p->bad = false;
    }
    if (msg_slots((size_t)MSG_FIRST_BYTES + len) > msg_slot_count(m) || p->len + len > RULE_BYTES_MAX)
        p->bad = true;
    if (!p->bad) {
        msg_get(m, MSG_FIRST_BYTES, p->bytes + p->len, len);
        p->len += len;
    }
    p->more = m->flags & MSG_F_MORE_PARTS;
    if (p->more)
        return 0;
    p->bytes[p->len] = 0;
    return p->bad ? -1 : 1;
}

#endif
