#include "core/message.h"

const char *msg_type_name(unsigned type)
{
#define X(name, text) text,
    static const char *const names[] = {MSG_TYPES(X)};
#undef X
    return type < MSG_TYPE_COUNT ? names[type] : "?";
}

uint32_t msg_begin(struct msg *m, enum msg_type type, uint32_t symbol, size_t payload_bytes)
{
    uint32_t n = msg_slots(payload_bytes);
    if (n > MSG_SLOTS_MAX)
        return 0;
    memset(m, 0, n * sizeof *m);
    for (uint32_t i = 0; i < n; i++) {
        m[i].symbol = symbol;
        m[i].type = (uint8_t)type;
        m[i].flags = (uint16_t)((n - 1) << MSG_MORE_SHIFT | (i ? MSG_F_CONT : 0));
    }
    return n;
}

uint32_t msg_write(struct msg *m, enum msg_type type, uint32_t symbol, const void *payload, size_t bytes)
{
    const uint8_t *p = payload;
    uint32_t n = msg_slots(bytes);
    if (n > MSG_SLOTS_MAX)
        return 0;
    const struct msg frame = {
        .symbol = symbol, .type = (uint8_t)type, .flags = (uint16_t)((n - 1) << MSG_MORE_SHIFT)};
    m[0] = frame;
    memcpy(m[0].first, p, bytes < MSG_FIRST_BYTES ? bytes : MSG_FIRST_BYTES);
    for (uint32_t i = 1; i < n; i++) {
        size_t at = MSG_FIRST_BYTES + (i - 1) * (size_t)MSG_CONT_BYTES, rest = bytes - at;
        m[i] = frame;
        m[i].flags |= MSG_F_CONT;
        if (rest >= MSG_CONT_BYTES)
            memcpy(m[i].body, p + at, MSG_CONT_BYTES);
        else
            memcpy(m[i].body, p + at, rest);
    }
    return n;
}

uint32_t msg_upto_clock(const struct msg *m, uint32_t n)
{
    for (uint32_t at = 0; at < n; at += msg_slot_count(&m[at]))
        if (m[at].type == MSG_CLOCK)
            return at + 1;
    return n;
}

void msg_set_seq(struct msg *m, uint64_t seq)
{
    for (uint32_t i = 0, n = msg_slot_count(m); i < n; i++)
        m[i].seq = seq;
}

/* Calls the copy for each run of payload bytes that lies within one slot. */
#define EACH_RUN(m, at, n, COPY)                                                                             \
    while (n) {                                                                                              \
        size_t slot = at < MSG_FIRST_BYTES ? 0 : 1 + (at - MSG_FIRST_BYTES) / MSG_CONT_BYTES;                \
        size_t in = slot ? (at - MSG_FIRST_BYTES) % MSG_CONT_BYTES : at;                                     \
        size_t room = (slot ? (size_t)MSG_CONT_BYTES : (size_t)MSG_FIRST_BYTES) - in;                        \
        size_t len = n < room ? n : room;                                                                    \
        COPY;                                                                                                \
        at += len;                                                                                           \
        n -= len;                                                                                            \
    }

void msg_put(struct msg *m, size_t at, const void *src, size_t n)
{
    const uint8_t *s = src;
    EACH_RUN(m, at, n, (memcpy((slot ? m[slot].body : m[0].first) + in, s, len), s += len))
}

void msg_get(const struct msg *m, size_t at, void *dst, size_t n)
{
    uint8_t *d = dst;
    EACH_RUN(m, at, n, (memcpy(d, (slot ? m[slot].body : m[0].first) + in, len), d += len))
}

bool msg_valid(const struct msg *m, size_t avail)
{
    if (avail == 0 || m->type == MSG_NONE || m->type >= MSG_TYPE_COUNT || (m->flags & MSG_F_CONT))
        return false;
    uint32_t n = msg_slot_count(m);
    if (n > MSG_SLOTS_MAX || n > avail)
        return false;
    for (uint32_t i = 1; i < n; i++)
        if (m[i].symbol != m->symbol || m[i].type != m->type || !(m[i].flags & MSG_F_CONT) ||
            ((m[i].flags ^ m->flags) & MSG_MORE_MASK))
            return false;
    return true;
}
