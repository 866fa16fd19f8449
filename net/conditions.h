/* Sale conditions at the edge: the file of them (docs/market-rules.md), which becomes one SETTING for the
 * engine (core/condition.h), and what sources call the codes.
 *
 * The file's default, scripts/market/conditions.txt, is compiled in and installed beside the documents.
 */
#ifndef NET_CONDITIONS_H
#define NET_CONDITIONS_H

#include "core/error.h"
#include "core/message.h"

enum { CONDITIONS_TEXT_MAX = 2048 };

/* What a source calls a code, by tape (0 for A, 1 for B, 2 for C); 0: no row says it. */
enum condition_dialect { CONDITION_LEAN, CONDITION_POLYGON, CONDITION_DIALECTS };
enum { CONDITION_NONE = '-', CONDITION_STRANGE = '?', CONDITION_NAMES_MAX = 128 };

struct condition_name {
    uint32_t number; /* LEAN: one bit; POLYGON: its number */
    uint8_t code[3];
};

struct conditions {
    char text[CONDITIONS_TEXT_MAX]; /* of SETTING bars.condition_table */
    struct condition_name name[CONDITION_DIALECTS][CONDITION_NAMES_MAX];
    unsigned names[CONDITION_DIALECTS];
};

/* Reads `path`, the default where it is empty. -1 with err. */
int conditions_read(struct conditions *c, const char *path, struct error *err)
    __attribute__((warn_unused_result));

/* Puts into a trade's cond what `number` means there, by its tape (none: A): LEAN: each bit, in the file's
 * order; POLYGON: one number, behind the codes that are there. A number or bit of no row gives '?', which the
 * engine counts as unknown. Four codes are kept. */
void conditions_map(const struct conditions *c, enum condition_dialect dialect, uint32_t number,
                    struct msg_trade *t);

#endif
