/* Rules as sorted thresholds. Every comparison with a constant is a bound in the index of its metric; a
 * symbol keeps for each index where its value stands (its cursor). A tick moves cursors; only the comparisons
 * passed over can make a rule true, and only their rules are evaluated. What ceases to be true needs no
 * visit: a rule that holds waits in the symbol's heap for its due time and is checked there. So a tick costs
 * O(flips + fires), not O(rules). What matters to no rule at the moment is not looked at (rule_sieve.h).
 *
 * A rule's expression is in negation normal form: it can only become true when one of its comparisons does.
 */
#include "core/metric_value.h"
#include "core/rule_sieve.h"
#include "core/rule_truth.h"

static uint32_t cursor_seek(const struct index *ix, uint32_t c, int64_t key)
{
    if (key == KEY_UNKNOWN)
        return CURSOR_NONE;
    if (c == CURSOR_NONE || (c + 8 < ix->n && key >= ix->bound[c + 8]) || (c > 8 && key < ix->bound[c - 8])) {
        uint32_t lo = 0, hi = ix->n; /* the last bound that is reached */
        while (lo < hi) {
            uint32_t mid = (lo + hi + 1) / 2;
            if (key >= ix->bound[mid])
                lo = mid;
            else
                hi = mid - 1;
        }
        return lo + 1;
    }
    while (c <= ix->n && key >= ix->bound[c])
        c++;
    while (c > 1 && key < ix->bound[c - 1])
        c--;
    return c;
}

static inline void touch(struct engine *e, struct symbol *s, uint32_t *cursor, const struct index *ix)
{
    const struct node *nd = &e->node[ix->node];
    int64_t key =
        ix->is_price ? s->price_e9 : node_key_at(e, s, nd, (int64_t *)cursor - e->cursor_at + nd->state_at);
    uint32_t c = cursor[ix->slot];
    if (likely(c != CURSOR_NONE && key >= ix->bound[c - 1] && key < ix->bound[c]))
        return;
    uint32_t to = cursor_seek(ix, c, key);
    if (to == c)
        return;
    e->old_cursor[ix->slot] = c;
    e->old_stamp[ix->slot] = e->stamp;
    cursor[ix->slot] = to;
    e->change[e->n_changes++] = (struct change){.index = ix, .from = c, .to = to};
}

static void still_within(struct symbol *s, const uint32_t *cursor, const struct plan *p)
{
    for (uint32_t i = 0; p && i < p->n_on_move; i++) {
        const struct index *ix = &p->index[i];
        uint32_t c = cursor[ix->slot];
        bool is_known = ix->is_price && c != CURSOR_NONE;
        int64_t from = is_known ? ix->bound[c - 1] : INT64_MAX, to = is_known ? ix->bound[c] : INT64_MAX;
        s->still_from_e9 = from > s->still_from_e9 ? from : s->still_from_e9;
        s->still_to_e9 = to < s->still_to_e9 ? to : s->still_to_e9;
    }
}

/* Most rules are alerts on the price alone: where the next of their thresholds are, seen from the last price.
 * With other metrics that trades move every price flips something, for all that is known here. */
static void still_update(const struct engine *e, struct symbol *s)
{
    const uint32_t *cursor = cursors_of(e, s);
    s->still_from_e9 = INT64_MIN;
    s->still_to_e9 = INT64_MAX;
    still_within(s, cursor, &e->market);
    still_within(s, cursor, scope_plan(e, s));
}

void rules_touch_trade(struct engine *e, struct symbol *s, bool moved)
{
    uint32_t *cursor = cursors_of(e, s), n = moved ? e->market.n_on_move : e->market.n_on_trade;
    uint32_t changes = e->n_changes;
    for (uint32_t i = 0; i < n; i++)
        if (e->market.index[i].n_gates == 0 || !gates_shut(&e->market.index[i], cursor))
            touch(e, s, cursor, &e->market.index[i]);
    const struct plan *q = scope_plan(e, s);
    n = q ? moved ? q->n_on_move : q->n_on_trade : 0;
    for (uint32_t i = 0; i < n; i++)
        touch(e, s, cursor, &q->index[i]);
    if (s->drive == 1 && e->n_changes != changes)
        still_update(e, s);
}

void rules_touch_quote(struct engine *e, struct symbol *s)
{
    uint32_t *cursor = cursors_of(e, s);
    for (uint32_t i = 0; i < e->market.n_on_quote; i++)
        touch(e, s, cursor, &e->market.index[e->market.on_quote[i]]);
    const struct plan *q = scope_plan(e, s);
    for (uint32_t i = 0; q && i < q->n_on_quote; i++)
        touch(e, s, cursor, &q->index[q->on_quote[i]]);
}

void rules_touch_time(struct engine *e, struct symbol *s)
{
    uint32_t *cursor = cursors_of(e, s);
    for (uint32_t i = 0; i < e->market.n_on_time; i++)
        touch(e, s, cursor, &e->market.index[e->market.on_time[i]]);
    const struct plan *q = scope_plan(e, s);
    for (uint32_t i = 0; q && i < q->n_on_time; i++)
        touch(e, s, cursor, &q->index[q->on_time[i]]);
}

void rules_touch_all(struct engine *e, struct symbol *s)
{
    uint32_t *cursor = cursors_of(e, s);
    const struct plan *q = scope_plan(e, s);
    if (s->rebuild)
        metrics_rebuild(e, s);
    for (uint32_t i = 0; i < e->market.n_indexes; i++)
        if (!e->market.index[i].span)
            touch(e, s, cursor, &e->market.index[i]);
    for (uint32_t i = 0; q && i < q->n_indexes; i++)
        if (!q->index[i].span)
            touch(e, s, cursor, &q->index[i]);
    still_update(e, s);
    s->stale = false;
}

static void close_cursors(struct engine *e, const struct symbol *s, const struct plan *p)
{
    for (uint32_t i = 0; i < p->n_indexes; i++) {
        const struct index *ix = &p->index[i];
        if (!ix->span)
            e->close_cursor[ix->slot] = cursor_seek(ix, CURSOR_NONE, node_key(e, s, ix->node));
    }
}

void rules_seek_close(struct engine *e, struct symbol *s)
{
    const struct plan *q = scope_plan(e, s);
    close_cursors(e, s, &e->market);
    if (q)
        close_cursors(e, s, q);
}
