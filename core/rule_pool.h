/* The pool of fires: what is remembered of rules and their spans for a symbol; its hash, and heaps by due
 * time.
 */
#ifndef CORE_RULE_POOL_H
#define CORE_RULE_POOL_H

#include "core/engine_int.h"

static inline uint32_t *fire_first_cell(const struct engine *e, uint32_t symbol, uint32_t ident)
{
    uint64_t h = symbol * UINT64_C(0x9e3779b97f4a7c15); /* rules that flip together are neighbours */
    return &e->fire_hash[((h >> 32) + ident) & e->fire_mask];
}

static inline uint32_t *fire_cell(const struct engine *e, uint32_t symbol, uint32_t ident)
{
    uint32_t *cell = fire_first_cell(e, symbol, ident);
    while (*cell && (e->fire[*cell - 1].symbol != symbol || e->fire[*cell - 1].ident != ident))
        cell = &e->fire[*cell - 1].hash_next;
    return cell;
}

static inline uint32_t heap_meld(struct engine *e, uint32_t a, uint32_t b)
{
    if (a == NONE || b == NONE)
        return a == NONE ? b : a;
    if (e->fire[b].due_ns < e->fire[a].due_ns) {
        uint32_t t = a;
        a = b;
        b = t;
    }
    e->fire[b].sibling = e->fire[a].child;
    e->fire[a].child = b;
    return a;
}

static inline void heap_push(struct engine *e, uint32_t *root, uint32_t f, int64_t due_ns)
{
    e->fire[f].due_ns = due_ns;
    e->fire[f].child = e->fire[f].sibling = NONE;
    *root = heap_meld(e, *root, f);
}

static inline int64_t heap_due_ns(const struct engine *e, uint32_t root)
{
    return root == NONE ? NEVER_NS : e->fire[root].due_ns;
}

/* Takes the fire that is due first: melds its children in pairs, then the pairs. */
static inline uint32_t heap_pop(struct engine *e, uint32_t *heap)
{
    uint32_t top = *heap, list = e->fire[top].child, pairs = NONE, root = NONE;
    while (list != NONE) {
        uint32_t a = list, b = e->fire[a].sibling;
        list = b == NONE ? NONE : e->fire[b].sibling;
        e->fire[a].sibling = NONE;
        if (b != NONE)
            e->fire[b].sibling = NONE;
        uint32_t pair = heap_meld(e, a, b);
        e->fire[pair].sibling = pairs;
        pairs = pair;
    }
    while (pairs != NONE) {
        uint32_t next = e->fire[pairs].sibling;
        e->fire[pairs].sibling = NONE;
        root = heap_meld(e, root, pairs);
        pairs = next;
    }
    *heap = root;
    return top;
}

/* A new fire of a rule for a symbol, in no heap and not in the hash yet; NONE if limits.fires is reached. */
static inline uint32_t fire_new(struct engine *e, const struct symbol *s, uint32_t ident)
{
    uint32_t f;
    if (e->fire_free != NONE) {
        f = e->fire_free;
        e->fire_free = e->fire[f].hash_next;
    } else if (e->fire_used < e->limits.fires) {
        f = e->fire_used++;
    } else {
        e->count.fires_full++;
        return NONE;
    }
    e->fire[f] = (struct fire){
        .last_ns = INT64_MIN, .symbol = place_of(e, s), .ident = ident, .child = NONE, .sibling = NONE};
    return f;
}

/* The fire of a rule for a symbol, new or known. As above. */
static inline uint32_t fire_take(struct engine *e, const struct symbol *s, uint32_t ident, bool *fresh)
{
    uint32_t *cell = fire_cell(e, place_of(e, s), ident);
    *fresh = *cell == 0;
    if (*cell)
        return *cell - 1;
    uint32_t f = fire_new(e, s, ident);
    *cell = f + 1; /* none: 0 */
    return f;
}

static inline void fire_drop(struct engine *e, uint32_t f)
{
    e->fire[f].brief = BRIEF_NOT;
    e->fire[f].hash_next = e->fire_free;
    e->fire_free = f;
}

static inline void fire_give(struct engine *e, uint32_t f)
{
    uint32_t *cell = fire_cell(e, e->fire[f].symbol, e->fire[f].ident);
    *cell = e->fire[f].hash_next;
    fire_drop(e, f);
}

/* A heap of the symbol's has changed, or its list of what is ready or brief. */
static inline void due_update(const struct engine *e, struct symbol *s)
{
    int64_t fire_ns = (s->ready & s->brief) == NONE ? heap_due_ns(e, s->heap) : INT64_MIN;
    s->span_ns = heap_due_ns(e, s->within);
    s->due_ns = fire_ns < s->span_ns ? fire_ns : s->span_ns;
}

#endif
