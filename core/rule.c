#include "core/rule.h"

const char *const rule_trigger_names[TRIGGER_COUNT] = {"level", "cross"};

/* The encoding: this head, then id, name, expression, symbols. Little-endian, as all of a node's data. */
struct rule_head {
    uint32_t magic;
    uint32_t version;
    int64_t cooldown_ns;
    uint8_t trigger, enabled;
    uint16_t id_len, name_len, pad;
    uint32_t expr_len, symbols_len;
};
#define RULE_MAGIC 0x316c7552u /* "Rul1" */

int rule_encode(const struct rule *r, uint8_t *out, size_t max)
{
    struct rule_head h = {.magic = RULE_MAGIC,
                          .version = r->version,
                          .cooldown_ns = r->cooldown_ns,
                          .trigger = (uint8_t)r->trigger,
                          .enabled = r->enabled,
                          .id_len = (uint16_t)strlen(r->id),
                          .name_len = (uint16_t)strlen(r->name),
                          .expr_len = r->expr_len,
                          .symbols_len = r->symbols_len};
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

int rule_decode(const uint8_t *bytes, size_t len, struct rule *r, struct error *err)
{
    struct rule_head h;
    if (len < sizeof h)
        return error_set(err, "rule: %zu bytes, expected at least %zu", len, sizeof h);
    memcpy(&h, bytes, sizeof h);
    if (h.magic != RULE_MAGIC)
        return error_set(err, "rule: starts with %08x, expected %08x", h.magic, RULE_MAGIC);
    if (h.id_len == 0 || h.id_len > RULE_ID_MAX || h.name_len > RULE_NAME_MAX || h.expr_len == 0 ||
        h.expr_len > RULE_EXPR_MAX || h.symbols_len > RULE_SYMBOLS_MAX || h.trigger >= TRIGGER_COUNT ||
        h.cooldown_ns < 0 || h.cooldown_ns > RULE_COOLDOWN_MAX_NS ||
        len != sizeof h + h.id_len + h.name_len + h.expr_len + h.symbols_len)
        return error_set(
            err, "rule: a length, trigger or cooldown out of bounds in its encoding of %zu bytes", len);
    const char *p = (const char *)bytes + sizeof h;
    memset(r, 0, sizeof *r);
    memcpy(r->id, p, h.id_len);
    memcpy(r->name, p + h.id_len, h.name_len);
    r->version = h.version;
    r->trigger = h.trigger;
    r->enabled = h.enabled != 0;
    r->cooldown_ns = h.cooldown_ns;
    r->expr = p + h.id_len + h.name_len;
    r->expr_len = h.expr_len;
    r->symbols = r->expr + h.expr_len;
    r->symbols_len = h.symbols_len;
    if (strlen(r->id) != h.id_len || strlen(r->name) != h.name_len)
        return error_set(err, "rule: a NUL in its id or name");
    return 0;
}
