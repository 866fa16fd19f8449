/* What became of a rule's evaluations. The engine fills one for each rule slot, in memory that it is given;
 * readers in other processes sum the scanners' (shm/ruletab.h). Each field has one writer and only grows. */
#ifndef CORE_RULE_STATS_H
#define CORE_RULE_STATS_H

#include <stdint.h>

struct rule_stats {
    uint64_t evaluated; /* times that the whole expression was evaluated */
    uint64_t truths;    /* … and was true */
    uint64_t fired;
    uint64_t held_warmup;   /* unknown, for lack of history */
    uint64_t held_cooldown; /* true within the cooldown */
    uint64_t held_session;  /* true outside the rule's sessions */
    uint64_t held_halt;     /* true while the symbol was halted */
    uint64_t revised;       /* alerts sent again with other values */
    uint64_t withdrawn;     /* … taken back */
};

#endif
