#include "core/rule_sieve.h"

/* ---- a message */

typedef int32_t lanes __attribute__((vector_size(4 * SIEVE_LANES)));
typedef uint64_t words __attribute__((vector_size(4 * SIEVE_LANES)));

static inline bool any(lanes x)
{
    words w = (words)x;
    return (w[0] | w[1] | w[2] | w[3]) != 0;
}

static inline lanes all(int32_t x)
{
    return (lanes){0} + x;
}

static inline lanes load(const int32_t *p)
{
    lanes x;
    memcpy(&x, p, sizeof x);
    return x;
}

ALWAYS_INLINE uint32_t pass(const struct sieve_side *x, unsigned others, const int32_t *limit, uint32_t *from,
                            uint32_t to, uint32_t *out, uint32_t room)
{
    const lanes number = {0, 1, 2, 3, 4, 5, 6, 7};
    lanes first = all((int32_t)*from), end = all((int32_t)to);
    uint32_t n = 0, i = *from & ~(SIEVE_LANES - 1u);
    for (; i < to && n < room; i += SIEVE_LANES) {
        lanes place = number + (int32_t)i, hit = (place >= first) & (place < end);
        for (unsigned k = 0; k < others; k++)
            hit &= load(&x->key[k][i]) < all(limit[k]);
        if (!any(hit))
            continue;
        for (unsigned lane = 0; lane < SIEVE_LANES; lane++) {
            out[n] = x->instance[i + lane];
            n -= (uint32_t)hit[lane];
        }
    }
    *from = i < to ? i : to;
    return n;
}

uint32_t sieve_pass(const struct sieve *v, uint32_t side, const uint32_t *cursor, uint32_t *from, uint32_t to,
                    uint32_t *out, uint32_t room)
{
    const struct sieve_side *x = &v->side[side];
    int32_t limit[SIEVE_SIDES - 1];
    unsigned others = 0;
    for (uint32_t i = 0; i < v->n_sides; i++) {
        if (i == side)
            continue;
        uint32_t c = cursor[v->side[i].slot];
        if (c == CURSOR_NONE) {
            *from = to;
            return 0;
        }
        limit[others++] = sieve_limit(v->side[i].down, c);
    }
    switch (others) {
    case 1:
        return pass(x, 1, limit, from, to, out, room);
    case 2:
        return pass(x, 2, limit, from, to, out, room);
    default:
        return pass(x, 3, limit, from, to, out, room);
    }
}

/* ---- building */

/* Tells apart comparisons of one rule. */
static uint32_t side_sign(const struct atom *a)
{
    return (a->slot + 1) << 1 | a->down;
}

/* Which comparisons a rule has, as a number: 16 bits each, ascending; 0 if it fits no sieve. */
static uint64_t signature(const struct engine *e, uint32_t i)
{
    const struct instance *in = &e->instance[i];
    const struct loaded_rule *r = &e->rule[in->rule];
    uint32_t sign[SIEVE_SIDES];
    uint64_t all = 0;
    if (in->n_code || in->n_atoms < 2 || in->n_atoms > SIEVE_SIDES || r->events ||
        r->trigger == TRIGGER_BAR_CLOSE)
        return 0;
    for (uint32_t n = 0; n < in->n_atoms; n++) {
        uint32_t x = side_sign(&e->atom[in->atom_at + n]), k = n;
        for (; k > 0 && sign[k - 1] > x; k--)
            sign[k] = sign[k - 1];
        if ((k > 0 && sign[k - 1] == x) || x > UINT16_MAX)
            return 0; /* twice the same comparison but for the number: nobody's template */
        sign[k] = x;
    }
    for (uint32_t n = 0; n < in->n_atoms; n++)
        all = all << 16 | sign[n];
    return all;
}

static void *take(struct engine *e, uint32_t n)
{
    size_t bytes = (n + SIEVE_LANES) * sizeof(uint32_t);
    void *p = arena_take(&e->built, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

/* What moves at trades and nothing else is looked at as often as any other such. */
static bool by_trades_alone(const struct engine *e, uint32_t slot)
{
    return slot < e->market.n_on_trade &&
           !(e->node[e->market.index[slot].node].inputs & (INPUT_QUOTE | INPUT_TIME));
}

/* May there be one more sieve, of rules such as this one? Then its indexes count it. */
static bool sieve_welcome(const struct engine *e, const struct instance *like)
{
    const struct atom *a = &e->atom[like->atom_at];
    for (uint32_t i = 0; i < like->n_atoms; i++)
        if (e->market.index[a[i].slot].n_sieved >= SIEVES_MAX)
            return false;
    for (uint32_t i = 0; i < like->n_atoms; i++)
        e->market.index[a[i].slot].n_sieved++;
    return true;
}

/* A sieve of n rules such as this one, still without them. */
static bool sieve_begin(struct engine *e, struct sieve *v, const struct instance *like, uint32_t n)
{
    *v = (struct sieve){.n_sides = like->n_atoms};
    for (uint32_t i = 0; i < v->n_sides; i++) {
        const struct atom *a = &e->atom[like->atom_at + i];
        uint32_t k = i;
        for (; k > 0 && v->side[k - 1].slot > a->slot; k--)
            v->side[k] = v->side[k - 1];
        v->side[k] = (struct sieve_side){.slot = a->slot, .down = a->down};
    }
    for (uint32_t i = 0; i < v->n_sides; i++) {
        struct sieve_side *x = &v->side[i];
        uint32_t bounds = e->market.index[x->slot].n; /* the market's slots come first */
        while (x->gates < i && v->side[x->gates].slot < x->slot && by_trades_alone(e, v->side[x->gates].slot))
            x->gates++;
        if (!by_trades_alone(e, x->slot))
            x->gates = 0;
        while (bounds >> x->shift > 2 * n)
            x->shift++;
        bool ok = (x->at = take(e, (bounds >> x->shift) + 2)) && (x->rank = take(e, n)) &&
                  (x->instance = take(e, n));
        for (uint32_t k = 0; k + 1 < v->n_sides; k++)
            ok = ok && (x->key[k] = take(e, n));
        if (!ok)
            return false;
    }
    return true;
}

/* The rule comes next in the order of the side of that slot and direction. */
static void side_add(const struct engine *e, struct sieve *v, uint32_t slot, bool down, uint32_t instance)
{
    const struct instance *in = &e->instance[instance];
    struct sieve_side *x = v->side;
    while (x->slot != slot || x->down != down)
        x++;
    x->instance[x->n] = instance;
    for (uint32_t n = 0; n < in->n_atoms; n++) {
        const struct atom *a = &e->atom[in->atom_at + n];
        const struct sieve_side *other = v->side;
        while (other->slot != a->slot || other->down != a->down)
            other++;
        if (other == x)
            x->rank[x->n] = (int32_t)a->rank;
        else
            x->key[other - v->side - (other > x)][x->n] = sieve_key(a->down, a->rank);
    }
    x->n++;
}

/* Takes the rules of sieves out of an index's list of one direction, in their order. */
static void list_sift(struct engine *e, const struct index *ix, bool down, const uint32_t *of)
{
    uint32_t *list = down ? ix->down : ix->up, *at = down ? ix->down_at : ix->up_at, to = 0;
    for (uint32_t rank = 0, from = 0; rank <= ix->n; rank++) {
        uint32_t end = at[rank + 1];
        at[rank] = to;
        for (; from < end; from++) {
            uint32_t v = of[list[from]];
            if (v)
                side_add(e, &e->sieve[v - 1], ix->slot, down, list[from]);
            else
                list[to++] = list[from];
        }
    }
    at[ix->n + 1] = to;
}

/* Where the ranks of a side are, by their upper bits; where none holds. */
static void side_finish(const struct engine *e, struct sieve_side *x)
{
    uint32_t end = (e->market.index[x->slot].n >> x->shift) + 2;
    for (uint32_t b = 0, i = 0; b < end; b++) {
        while (i < x->n && (uint32_t)x->rank[i] >> x->shift < b)
            i++;
        x->at[b] = i;
    }
    x->gate = (struct sieve_gate){.slot = x->slot,
                                  .from = x->down ? (uint32_t)x->rank[x->n - 1] + 1 : CURSOR_NONE + 1,
                                  .n = x->down ? INT32_MAX : (uint32_t)x->rank[0]};
}

/* The sides that an index is of. */
static bool list_sieved(struct engine *e, struct index *ix)
{
    uint32_t n = 0;
    if (!(ix->sieved = arena_take(&e->built, (ix->n_sieved + 1) * sizeof *ix->sieved)))
        return false;
    for (uint32_t i = 0; i < e->n_sieves && n < ix->n_sieved; i++)
        for (uint32_t k = 0; k < e->sieve[i].n_sides; k++)
            if (e->sieve[i].side[k].slot == ix->slot)
                ix->sieved[n++] = (struct sieve_ref){i, k};
    return true;
}

/* The gates of an index: none where something of it is in no sieve, or in one without. */
static bool list_gates(struct engine *e, struct index *ix)
{
    uint32_t n = 0;
    ix->gate = arena_take(&e->built, (ix->n_sieved * (SIEVE_SIDES - 1) + 1) * sizeof *ix->gate);
    if (!ix->gate)
        return false;
    if (ix->up_at[ix->n + 1] || ix->down_at[ix->n + 1])
        return true;
    for (uint32_t i = 0; i < ix->n_sieved; i++) {
        const struct sieve *v = &e->sieve[ix->sieved[i].sieve];
        uint32_t gates = v->side[ix->sieved[i].side].gates, next = n + gates;
        if (gates == 0)
            return true;
        for (uint32_t k = 0; k < gates; k++) {
            ix->gate[n] = v->side[k].gate;
            ix->gate[n++].next = next;
        }
    }
    ix->n_gates = n;
    return true;
}

bool sieves_build(struct engine *e, struct edge *room, struct edge *more_room)
{
    uint32_t *of = (uint32_t *)(void *)(more_room + e->market.n_instances), n = 0;
    memset(of, 0, e->n_instances * sizeof *of);
    for (uint32_t i = 0; i < e->market.n_instances; i++) {
        uint32_t instance = e->market.instance[i];
        room[n] = (struct edge){.home = signature(e, instance), .instance = instance};
        n += room[n].home != 0;
    }
    const struct edge *m = edges_sort(room, more_room, n);
    e->n_sieves = 0;
    if (!(e->sieve = arena_take(&e->built, (n / SIEVE_RULES + 1) * sizeof *e->sieve)))
        return false;
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && m[end].home == m[i].home;)
            end++;
        if (end - i < SIEVE_RULES || !sieve_welcome(e, &e->instance[m[i].instance]))
            continue;
        if (!sieve_begin(e, &e->sieve[e->n_sieves++], &e->instance[m[i].instance], end - i))
            return false;
        for (uint32_t k = i; k < end; k++)
            of[m[k].instance] = e->n_sieves;
    }
    for (uint32_t i = 0; i < e->market.n_indexes; i++) {
        struct index *ix = &e->market.index[i];
        list_sift(e, ix, false, of);
        list_sift(e, ix, true, of);
    }
    for (uint32_t i = 0; i < e->n_sieves; i++)
        for (uint32_t k = 0; k < e->sieve[i].n_sides; k++)
            side_finish(e, &e->sieve[i].side[k]);
    for (uint32_t i = 0; i < e->market.n_indexes; i++)
        if (!list_sieved(e, &e->market.index[i]) || !list_gates(e, &e->market.index[i]))
            return false;
    return true;
}
