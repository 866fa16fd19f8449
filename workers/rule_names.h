/* What alerts need of rules: names and operands by slot, learned from RULE content. */
#ifndef WORKERS_RULE_NAMES_H
#define WORKERS_RULE_NAMES_H

#include "core/rule.h"
#include "net/event_json.h"

struct rule_names;
struct rule_names *rule_names_new(uint32_t slots);
/* Learns a slot's rule from its encoding; a known slot stays. 0, or -1 for what does not decode. */
int rule_names_add(struct rule_names *n, uint32_t slot, const uint8_t *bytes, size_t len);
/* NULL if the slot is not known. */
const struct event_rule *rule_names_get(const struct rule_names *n, uint32_t slot);
void rule_names_free(struct rule_names *n);

#endif
