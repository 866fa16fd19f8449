/* Numbers in a rule's expression: decimal as far as a price goes, doubles beside. What is written with up to
 * 9 decimals stays exact through + - * / where the result has as few, so `0.1 + 0.2 == 0.3` is true of a
 * price.
 */
#ifndef CORE_RULE_NUMBER_H
#define CORE_RULE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rule_number {
    double d;         /* finite */
    int64_t floor_e9; /* the number x 1e9, rounded down, within +-(INT64_MAX - 1) */
    bool exact;       /* … and nothing was cut off */
};

enum rule_number_result { RULE_NUMBER_OK, RULE_NUMBER_NONE, RULE_NUMBER_HUGE, RULE_NUMBER_LONG };
enum { RULE_NUMBER_TEXT_MAX = 79 };

/* text[0..len): decimal digits, a point, an exponent, a sign. NONE: it is no number; HUGE: no double holds
 * it; LONG: more than RULE_NUMBER_TEXT_MAX bytes. */
enum rule_number_result rule_number_parse(const char *text, size_t len, struct rule_number *out)
    __attribute__((warn_unused_result));

struct rule_number rule_number_negated(struct rule_number a);

/* a op b for one of + - * /. False if that is not finite. */
bool rule_number_fold(char op, struct rule_number a, struct rule_number b, struct rule_number *out)
    __attribute__((warn_unused_result));

/* The number as bounds on a metric's keys: *lo the least key >= it, *hi the least key > it. price: keys are
 * prices at 1e-9, else doubles. */
void rule_number_bounds(struct rule_number a, bool price, int64_t *lo, int64_t *hi);

#endif
