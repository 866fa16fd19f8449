/* What is true of a rule, from where its symbol's cursors stand. */
#ifndef CORE_RULE_TRUTH_H
#define CORE_RULE_TRUTH_H

#include "core/engine_int.h"

enum truth { FALSE, UNKNOWN, TRUE };

static inline uint32_t *cursors_of(const struct engine *e, const struct symbol *s)
{
    return (uint32_t *)(block_of(e, s) + e->cursor_at);
}

static inline bool atom_holds(const struct atom *a, uint32_t cursor)
{
    return a->down ? cursor - 1u < a->rank : cursor > a->rank;
}

static inline uint32_t cursor_before(const struct engine *e, const uint32_t *cursor, uint32_t slot)
{
    return e->old_stamp[slot] == e->stamp ? e->old_cursor[slot] : cursor[slot];
}

/* An event atom became true by this evaluation. */
static inline bool event_holds(const struct engine *e, const uint32_t *cursor, const struct atom *a)
{
    uint32_t old = e->old_stamp[a->slot] == e->stamp ? e->old_cursor[a->slot] : CURSOR_NONE;
    return old != CURSOR_NONE && !atom_holds(a, old) && atom_holds(a, cursor[a->slot]);
}

/* What truth_of asks for: the truth now, now with events false, or as of the evaluation before, at which
 * events count as over. */
enum when { AS_NOW, NO_EVENTS, AS_BEFORE };

static inline enum truth atom_truth(const struct engine *e, const uint32_t *cursor, const struct atom *a,
                                    enum when when)
{
    uint32_t c = when == AS_BEFORE ? cursor_before(e, cursor, a->slot) : cursor[a->slot];
    if (c == CURSOR_NONE)
        return UNKNOWN;
    if (a->event)
        return when == AS_NOW && event_holds(e, cursor, a) ? TRUE : FALSE;
    return atom_holds(a, c) ? TRUE : FALSE;
}

static inline enum truth truth_of(const struct engine *e, const uint32_t *cursor, const struct instance *in,
                                  enum when when)
{
    enum truth stack[EXPR_NODES_MAX * 2];
    const struct atom *atom = &e->atom[in->atom_at];
    unsigned n = 0;
    if (in->n_code == 0) {
        enum truth t = TRUE;
        for (uint32_t i = 0; i < in->n_atoms; i++) {
            enum truth a = atom_truth(e, cursor, &atom[i], when);
            t = a < t ? a : t;
        }
        return t;
    }
    for (uint32_t i = 0; i < in->n_code; i++) {
        uint16_t op = e->code[in->code_at + i];
        if (op < CODE_AND) {
            stack[n++] = atom_truth(e, cursor, &atom[op], when);
        } else {
            enum truth right = stack[--n], left = stack[n - 1];
            stack[n - 1] = (op == CODE_AND) == (left < right) ? left : right;
        }
    }
    return stack[0];
}

/* The common case of a candidate: does it hold now? */
static inline bool holds(const struct engine *e, const uint32_t *cursor, const struct instance *in,
                         bool events)
{
    const struct atom *a = in->n_atoms == 1 ? &in->first : &e->atom[in->atom_at];
    if (in->n_code)
        return truth_of(e, cursor, in, events ? AS_NOW : NO_EVENTS) == TRUE;
    for (uint32_t i = 0; i < in->n_atoms; i++)
        if (!atom_holds(&a[i], cursor[a[i].slot]) ||
            (a[i].event && !(events && event_holds(e, cursor, &a[i]))))
            return false;
    return true;
}

/* Whether a crossing by this message is one: not of a version that has not been evaluated before, nor where
 * the trading day's switch has made values anew. */
static inline bool events_count(const struct engine *e, const struct symbol *s, const struct loaded_rule *r)
{
    return !(e->bind_epoch && r->epoch > e->bind_epoch) && !(s->restart && r->recursive);
}

/* A comparison of a rule, asked for by itself. */
static inline bool comparison_holds(const struct expr_node *x, int64_t key)
{
    switch ((enum expr_op)x->op) {
    case EXPR_GT:
        return key >= x->bound_hi;
    case EXPR_GE:
        return key >= x->bound_lo;
    case EXPR_LT:
        return key < x->bound_lo;
    case EXPR_LE:
        return key < x->bound_hi;
    case EXPR_EQ:
        return key >= x->bound_lo && key < x->bound_hi;
    default:
        return key < x->bound_lo || key >= x->bound_hi;
    }
}

#endif
