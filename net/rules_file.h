/* Rule files: JSON as in a rule store. An array, {"rules":[…],"watchlists":[…]}, or one rule a line. JSON
 * conditions become the canonical expression here, and the name of a watchlist its symbols; core knows only
 * that. What is wrong is refused with file, rule, field, what
 * was found, what was expected.
 */
#ifndef NET_RULES_FILE_H
#define NET_RULES_FILE_H

#include "core/rule.h"

struct rules_file {
    uint32_t n;
    struct rule *rule; /* expr and symbols are owned by this */
};

/* Reads and checks every rule. NULL with err for the first that is no good. `cooldown_s`: for a rule that has
 * none. */
struct rules_file *rules_file_read(const char *path, double cooldown_s, struct error *err);
/* The same from memory; `name` is what errors call it. */
struct rules_file *rules_file_parse(const char *text, size_t len, const char *name, double cooldown_s,
                                    struct error *err);
void rules_file_free(struct rules_file *f);

/* A rule as RULE messages for slot `slot`, its text in parts. Returns the slots written, at most
 * RULE_MESSAGE_SLOTS. */
enum { RULE_MESSAGE_SLOTS = (RULE_BYTES_MAX / (MSG_PAYLOAD_MAX - MSG_FIRST_BYTES) + 1) * MSG_SLOTS_MAX };
int rule_messages(const struct rule *r, uint32_t slot, struct msg *out);

/* A setting as SETTING messages: "key=value". */
int setting_message(const char *text, struct msg *out);

#endif
