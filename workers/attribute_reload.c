#include "workers/attribute_reload.h"

#include <stdlib.h>
#include <string.h>

struct given {
    bool there;
    struct attributes of;
};

struct attribute_reload {
    struct attribute_file *now; /* NULL: none was read since the run began */
    bool due;
    uint32_t ids, symbols; /* highest id that is there, + 1 */
    struct given given[];
};

struct attribute_reload *attribute_reload_new(uint32_t ids)
{
    struct attribute_reload *r = calloc(1, sizeof *r + ids * sizeof *r->given);
    if (!r)
        abort();
    r->ids = ids;
    return r;
}

void attribute_reload_free(struct attribute_reload *r)
{
    if (!r)
        return;
    if (r->now)
        attribute_file_free(r->now);
    free(r);
}

void attribute_reload_see(struct attribute_reload *r, const struct msg *m)
{
    struct attributes a;
    if (m->symbol >= r->ids)
        return;
    struct given *g = &r->given[m->symbol];
    if (m->type == MSG_SYMBOL && !g->there) {
        g->there = true;
        attributes_clear(&g->of);
        r->symbols = m->symbol < r->symbols ? r->symbols : m->symbol + 1;
        r->due |= r->now != NULL;
    } else if (m->type == MSG_ATTR && g->there && attributes_read(m, &a)) {
        g->of = a;
    }
}

void attribute_reload_set(struct attribute_reload *r, struct attribute_file *now)
{
    if (r->now)
        attribute_file_free(r->now);
    r->now = now;
    r->due = true;
}

bool attribute_reload_is_due(const struct attribute_reload *r)
{
    return r->due;
}

/* What the file says of a symbol, if that is not what was given. */
static bool differs(const struct attribute_reload *r, const struct attribute_file *now,
                    const struct symtab *names, uint32_t id, struct attributes *a)
{
    if (!r->given[id].there || id >= symtab_count(names))
        return false;
    const struct symtab_identity *s = symtab_identity(names, id);
    const struct attributes *said = attribute_file_find(now, s->name, s->name_len);
    attributes_clear(a);
    if (said)
        *a = *said;
    return memcmp(a, &r->given[id].of, sizeof *a) != 0;
}

uint32_t attribute_reload_count(const struct attribute_reload *r, const struct attribute_file *now,
                                const struct symtab *names)
{
    struct attributes a;
    uint32_t n = 0;
    for (uint32_t id = 0; id < r->symbols; id++)
        n += differs(r, now, names, id, &a);
    return n;
}

struct msg *attribute_reload_take(struct attribute_reload *r, const struct symtab *names, uint32_t *n)
{
    struct attributes a;
    *n = 0;
    r->due = false;
    size_t symbols = attribute_reload_count(r, r->now, names);
    if (!symbols)
        return NULL;
    struct msg *m = aligned_alloc(64, symbols * MSG_SLOTS_MAX * sizeof *m);
    if (!m)
        abort();
    for (uint32_t id = 0; id < r->symbols; id++)
        if (differs(r, r->now, names, id, &a))
            *n += attributes_message(&a, id, m + *n);
    return m;
}
