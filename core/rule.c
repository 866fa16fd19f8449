#include "core/rule.h"

const char *const rule_trigger_names[TRIGGER_COUNT] = {"level", "cross", "once", "once_per_bar", "bar_close"};

/* The encoding: this head, then id, name, expression, symbols. Little-endian, as all of a node's data. What
 * "Rul1" began with, which older captures have, ends before expires_ns and has 0 for sessions and shadow. */
struct rule_head {
    uint32_t magic;
    uint32_t version;
    int64_t cooldown_ns;
    uint8_t trigger, enabled;
    uint16_t id_len, name_len;
    uint8_t sessions, shadow;
    uint32_t expr_len, symbols_len;
    int64_t expires_ns;
};
#define RULE_MAGIC_1 0x316c7552u /* "Rul1" */
#define RULE_MAGIC_2 0x326c7552u /* "Rul2" */
enum { RULE_HEAD_1_BYTES = offsetof(struct rule_head, expires_ns) };
_Static_assert(RULE_HEAD_1_BYTES == 32 && sizeof(struct rule_head) == 40, "as captures have it");

int rule_encode(const struct rule *r, uint8_t *out, size_t max)
{
    struct rule_head h = {.magic = RULE_MAGIC_2,
                          .version = r->version,
                          .cooldown_ns = r->cooldown_ns,
                          .trigger = (uint8_t)r->trigger,
                          .enabled = r->enabled,
                          .id_len = (uint16_t)strlen(r->id),
                          .name_len = (uint16_t)strlen(r->name),
                          .sessions = r->sessions,
                          .shadow = r->shadow,
                          .expr_len = r->expr_len,
                          .symbols_len = r->symbols_len,
                          .expires_ns = r->expires_ns};
    size_t need = sizeof h + h.id_len + h.name_len + h.expr_len + h.symbols_len;
    if (need > max || r->expr_len > RULE_EXPR_MAX || r->symbols_len > RULE_SYMBOLS_MAX)
        return -1;
    memcpy(out, &h, sizeof h);
    out += sizeof h;
    memcpy(out, r->id, h.id_len);
    memcpy(out + h.id_len, r->name, h.name_len);
    memcpy(out + h.id_len + h.name_len, r->expr, h.expr_len);
    if (h.symbols_len)
        memcpy(out + h.id_len + h.name_len + h.expr_len, r->symbols, h.symbols_len);
    return (int)need;
}

static bool head_sound(const struct rule_head *h)
{
    const unsigned sessions = (1u << SESSION_KIND_COUNT) - 1;
    bool lengths = h->id_len && h->id_len <= RULE_ID_MAX && h->name_len <= RULE_NAME_MAX && h->expr_len &&
                   h->expr_len <= RULE_EXPR_MAX && h->symbols_len <= RULE_SYMBOLS_MAX;
    bool first = h->magic == RULE_MAGIC_1;
    return lengths && h->trigger < (first ? TRIGGER_ONCE : TRIGGER_COUNT) && h->cooldown_ns >= 0 &&
           h->cooldown_ns <= RULE_COOLDOWN_MAX_NS && h->sessions <= (first ? 0 : sessions) &&
           h->shadow <= !first && h->enabled <= 1 && h->expires_ns >= 0;
}

int rule_decode(const uint8_t *bytes, size_t len, struct rule *r, struct error *err)
{
    struct rule_head h = {0};
    if (len < RULE_HEAD_1_BYTES)
        return error_set(err, "rule: %zu bytes, expected at least %d", len, RULE_HEAD_1_BYTES);
    memcpy(&h, bytes, RULE_HEAD_1_BYTES);
    if (h.magic != RULE_MAGIC_1 && h.magic != RULE_MAGIC_2)
        return error_set(err, "rule: starts with %08x, expected %08x", h.magic, RULE_MAGIC_2);
    size_t head = h.magic == RULE_MAGIC_1 ? (size_t)RULE_HEAD_1_BYTES : sizeof h;
    if (len >= head)
        memcpy(&h, bytes, head);
    if (!head_sound(&h) || len != head + h.id_len + h.name_len + h.expr_len + h.symbols_len)
        return error_set(
            err,
            "rule: a length, trigger, session, time or cooldown out of bounds in its encoding of %zu bytes",
            len);
    const char *p = (const char *)bytes + head;
    memset(r, 0, sizeof *r);
    memcpy(r->id, p, h.id_len);
    memcpy(r->name, p + h.id_len, h.name_len);
    r->version = h.version;
    r->trigger = h.trigger;
    r->enabled = h.enabled != 0;
    r->shadow = h.shadow != 0;
    r->sessions = h.sessions;
    r->cooldown_ns = h.cooldown_ns;
    r->expires_ns = h.expires_ns;
    r->expr = p + h.id_len + h.name_len;
    r->expr_len = h.expr_len;
    r->symbols = r->expr + h.expr_len;
    r->symbols_len = h.symbols_len;
    if (strlen(r->id) != h.id_len || strlen(r->name) != h.name_len)
        return error_set(err, "rule: a NUL in its id or name");
    return 0;
}
