/* Alerts that prints decided, kept for the prints that are cancelled: a ring of words, in which the oldest
 * are written over. The moments of a block of prints are a list from its latest one, so that a cancel looks
 * at few, and a trade without alerts costs nothing. A place counts on over the ring's laps: what is more than
 * a lap behind is gone. */
#include "core/engine_int.h"

static bool none_kept(const struct engine *e)
{
    return e->alert_mask == UINT64_MAX;
}

static bool is_there(const struct engine *e, uint64_t place)
{
    return e->alert_end - place <= e->alert_mask;
}

static void add(struct engine *e, const void *words, size_t n)
{
    const uint8_t *from = words;
    for (size_t i = 0; i < n; i++)
        memcpy(&e->alert_word[e->alert_end++ & e->alert_mask], from + 8 * i, 8);
}

void alert_get(const struct engine *e, uint64_t place, void *out, size_t words)
{
    uint8_t *to = out;
    for (size_t i = 0; i < words; i++)
        memcpy(to + 8 * i, &e->alert_word[(place + i) & e->alert_mask], 8);
}

void alert_set(struct engine *e, uint64_t place, const void *in, size_t words)
{
    const uint8_t *from = in;
    for (size_t i = 0; i < words; i++)
        memcpy(&e->alert_word[(place + i) & e->alert_mask], from + 8 * i, 8);
}

bool moment_begin(struct engine *e, const struct symbol *s, bool at_close, struct moment *m)
{
    bool own = e->print_seq == e->seq && e->print_of == s;
    if (!e->corrections || none_kept(e) || s->trades.last == NONE || (!at_close && !own))
        return false;
    *m = (struct moment){.older = e->trades[s->trades.last].moments,
                         .no = s->trades.end - 1,
                         .time_ns = s->time_ns,
                         .bid_e9 = s->bid_e9,
                         .ask_e9 = s->ask_e9,
                         .session_no = s->session_no,
                         .at_close = at_close,
                         .halted = s->halted};
    return true;
}

void moment_add(struct engine *e, struct moment *m, const struct kept_alert *a, const int64_t *value,
                const uint64_t *clue)
{
    if (m->n_alerts++ == 0)
        add(e, m, MOMENT_WORDS); /* made whole at its end */
    add(e, a, ALERT_WORDS);
    add(e, value, a->n_operands);
    add(e, clue, a->n_clues);
    m->words += ALERT_WORDS + a->n_operands + a->n_clues;
}

void moment_end(struct engine *e, struct symbol *s, const struct moment *m)
{
    uint64_t place = e->alert_end - m->words - MOMENT_WORDS;
    struct trades_block *b = &e->trades[s->trades.last];
    if (m->n_alerts == 0)
        return;
    b->trade[m->no % TRADES_BLOCK].flags |= KEPT_DECIDED;
    s->trades.saved = m->no < s->trades.saved ? m->no : s->trades.saved;
    if (!is_there(e, place))
        return; /* it has written over its own beginning */
    alert_set(e, place, m, MOMENT_WORDS);
    b->moments = place + 1;
}

void moment_restore(struct engine *e, uint32_t block, struct moment *m, const void *alerts)
{
    uint64_t place = e->alert_end;
    if (none_kept(e))
        return;
    m->older = e->trades[block].moments;
    add(e, m, MOMENT_WORDS);
    add(e, alerts, m->words);
    e->trades[block].moments = place + 1;
}

bool moment_find(const struct engine *e, const struct symbol *s, uint64_t no, bool at_close, struct moment *m,
                 uint64_t *place)
{
    uint32_t block = trades_block_of(e, s, no);
    return block != NONE && moment_in(e, block, no, at_close, m, place);
}

bool moment_in(const struct engine *e, uint32_t block, uint64_t no, bool at_close, struct moment *m,
               uint64_t *place)
{
    uint64_t link = e->trades[block].moments;
    while (link && is_there(e, link - 1)) {
        alert_get(e, link - 1, m, MOMENT_WORDS);
        if (m->no < no)
            return false;
        *place = link - 1;
        if (m->no == no && m->at_close == at_close)
            return true;
        link = m->older;
    }
    return false;
}

void moments_cut(struct engine *e, const struct symbol *s, uint64_t no)
{
    struct trades_block *b = s->trades.last == NONE ? NULL : &e->trades[s->trades.last];
    struct moment m;
    while (b && b->moments && is_there(e, b->moments - 1)) {
        alert_get(e, b->moments - 1, &m, MOMENT_WORDS);
        if (m.no < no)
            return;
        b->moments = m.older;
    }
}
