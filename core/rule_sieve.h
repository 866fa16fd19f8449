/* Sieves: rules for the whole market that are conjunctions of comparisons with the same metrics, such as a
 * template with many thresholds. A comparison of one of them that comes true matters only where the others
 * hold already; a sieve has the ranks of those beside it, in the order in which a moving value comes to it,
 * and tells eight rules at a time. What comes through is evaluated as a whole.
 *
 * After the clusters of Fabret et al., "Filtering Algorithms and Implementation for Very Fast
 * Publish/Subscribe Systems", SIGMOD 2001.
 */
#ifndef CORE_RULE_SIEVE_H
#define CORE_RULE_SIEVE_H

#include "core/engine_int.h"

enum {
    SIEVE_SIDES = 4, /* comparisons of a rule in a sieve: from two to as many */
    SIEVE_RULES = 4, /* at least; fewer are as well looked at one by one */
    SIEVES_MAX = 64, /* of an index: all are visited where its value moves */
    SIEVE_LANES = 8
};

/* One of the comparisons: the rules in the order of its ranks. Arrays are padded to whole lanes. */
struct sieve_side {
    uint32_t slot; /* of the symbol's cursors */
    uint8_t gates; /* so many sides before it: no need to look at its metric where one of them is shut */
    bool down;
    uint8_t shift;
    uint32_t n;
    uint32_t *at;  /* of r >> shift: how many ranks are below r, if its last `shift` bits are zero */
    int32_t *rank; /* ascending */
    uint32_t *instance;
    int32_t *key[SIEVE_SIDES - 1]; /* of the other sides, in their order: holds iff below sieve_limit */
    struct sieve_gate gate;
};

struct sieve {
    uint32_t n_sides; /* in the order of their slots */
    struct sieve_side side[SIEVE_SIDES];
};

/* The part of a rank or cursor that is compared: one comparison for both directions. */
static inline int32_t sieve_key(bool down, uint32_t rank)
{
    return down ? -(int32_t)rank : (int32_t)rank;
}
static inline int32_t sieve_limit(bool down, uint32_t cursor)
{
    return down ? 1 - (int32_t)cursor : (int32_t)cursor;
}

/* Does none of a side's comparisons hold? False of what is unknown. */
static inline bool gate_shut(const struct sieve_gate *g, const uint32_t *cursor)
{
    return cursor[g->slot] - g->from < g->n;
}

/* Is an index of no use now? All its rules are in sieves, of each of which a side looked at before is shut.
 */
static inline bool gates_shut(const struct index *ix, const uint32_t *cursor)
{
    for (uint32_t i = 0; i < ix->n_gates;) {
        const struct sieve_gate *g = &ix->gate[i];
        if (gate_shut(g, cursor))
            i = g->next;
        else if (++i == g->next)
            return false;
    }
    return true;
}

/* The first place of a rank that is not below r. */
static inline uint32_t sieve_place(const struct sieve_side *x, uint32_t r)
{
    uint32_t i = x->at[r >> x->shift];
    while (i < x->n && x->rank[i] < (int32_t)r)
        i++;
    return i;
}

/* What sieves need at most of memory for each comparison of a rule. */
enum { SIEVE_BYTES = 160 };

/* A comparison on its way into its index, or a rule on its way into its sieve. */
struct edge {
    uint64_t home; /* scope + 1 (0 = market) and node: which index; or which comparisons the rule has */
    int64_t bound;
    uint32_t instance, atom;
    bool down;
};

/* Stable merge sort of edge[0..n) by home and bound; returns where it is then, there or in `other`. */
struct edge *edges_sort(struct edge *edge, struct edge *other, uint32_t n);

/* Moves what fits from the market's indexes into sieves. False if memory is short. Each room is for an edge
 * of each of the market's instances; `more_room` also for a number of each instance behind them. */
bool sieves_build(struct engine *e, struct edge *room, struct edge *more_room);

/* Of the places [from, to) of a side, the instances whose other comparisons hold: writes them to `out`,
 * all or until they are `room`, and moves *from on. Returns how many; there is room for SIEVE_LANES more. */
uint32_t sieve_pass(const struct sieve *v, uint32_t side, const uint32_t *cursor, uint32_t *from, uint32_t to,
                    uint32_t *out, uint32_t room);

#endif
