#include "workers/rule_names.h"

#include <stdlib.h>

struct named {
    struct event_rule rule;
    struct event_operand operand[ALERT_OPERANDS_MAX];
    char name[ALERT_OPERANDS_MAX][METRIC_NAME_MAX];
    char id[RULE_ID_MAX + 1], title[RULE_NAME_MAX + 1];
};

struct rule_names {
    uint32_t slots;
    struct named **at;
};

struct rule_names *rule_names_new(uint32_t slots)
{
    struct rule_names *n = calloc(1, sizeof *n);
    if (!n || !(n->at = calloc(slots, sizeof *n->at)))
        abort();
    n->slots = slots;
    return n;
}

static enum event_operand_kind operand_kind(const struct metric *m)
{
    if (m->kind == METRIC_SESSION)
        return EVENT_OPERAND_SESSION;
    return metric_unit(m) == UNIT_PRICE  ? EVENT_OPERAND_PRICE
           : metric_unit(m) == UNIT_TEXT ? EVENT_OPERAND_TEXT
                                         : EVENT_OPERAND_DOUBLE;
}

int rule_names_add(struct rule_names *n, uint32_t slot, const uint8_t *bytes, size_t len)
{
    struct rule r;
    struct expr x;
    if (slot >= n->slots || rule_decode(bytes, len, &r, NULL) < 0 ||
        expr_parse(r.expr, r.expr_len, &x, NULL) < 0)
        return -1;
    if (n->at[slot])
        return 0;
    struct named *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    memcpy(k->id, r.id, sizeof k->id);
    memcpy(k->title, r.name, sizeof k->title);
    for (unsigned i = 0; i < x.n_operands; i++) {
        metric_name(&x.operand[i], k->name[i]);
        k->operand[i] = (struct event_operand){k->name[i], operand_kind(&x.operand[i])};
    }
    k->rule = (struct event_rule){k->id, k->title, r.version, x.n_operands, k->operand};
    n->at[slot] = k;
    return 0;
}

const struct event_rule *rule_names_get(const struct rule_names *n, uint32_t slot)
{
    return slot < n->slots && n->at[slot] ? &n->at[slot]->rule : NULL;
}

void rule_names_free(struct rule_names *n)
{
    for (uint32_t i = 0; n && i < n->slots; i++)
        free(n->at[i]);
    free(n ? n->at : NULL);
    free(n);
}
