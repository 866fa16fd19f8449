#include "workers/reload.h"
#include "shm/msg_memory.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The latest version of a rule. */
struct known {
    struct rule rule; /* its expr and symbols lie in bytes */
    uint32_t slot;
    uint8_t *bytes;
    uint32_t len;
};

struct reload {
    struct known *known;
    uint32_t n, room; /* a power of two, or 0 */
    uint32_t *hash;   /* of ids, 2 x room: open addressing, 1 + place */
    uint32_t slots;   /* 1 + the highest seen */
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

struct reload *reload_new(void)
{
    return must(calloc(1, sizeof(struct reload)));
}

void reload_free(struct reload *r)
{
    for (uint32_t i = 0; r && i < r->n; i++)
        free(r->known[i].bytes);
    free(r ? r->known : NULL);
    free(r ? r->hash : NULL);
    free(r);
}

static uint32_t *cell_of(const struct reload *r, const char *id)
{
    for (uint32_t h = (uint32_t)XXH3_64bits(id, strlen(id));; h++) {
        uint32_t *cell = &r->hash[h & (2 * r->room - 1)];
        if (*cell == 0 || !strcmp(r->known[*cell - 1].rule.id, id))
            return cell;
    }
}

static struct known *find(const struct reload *r, const char *id)
{
    uint32_t place = r->room ? *cell_of(r, id) : 0;
    return place ? &r->known[place - 1] : NULL;
}

static struct known *known_add(struct reload *r, const char *id)
{
    if (r->n == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        r->known = must(realloc(r->known, r->room * sizeof *r->known));
        free(r->hash);
        r->hash = must(calloc(2 * r->room, sizeof *r->hash));
        for (uint32_t i = 0; i < r->n; i++)
            *cell_of(r, r->known[i].rule.id) = i + 1;
    }
    *cell_of(r, id) = r->n + 1;
    r->known[r->n].bytes = NULL;
    return &r->known[r->n++];
}

void reload_see(struct reload *r, uint32_t slot, const uint8_t *bytes, uint32_t len)
{
    struct rule rule;
    struct error err;
    if (rule_decode(bytes, len, &rule, &err) < 0)
        return; /* the engine refuses it too */
    struct known *k = find(r, rule.id);
    if (slot >= r->slots)
        r->slots = slot + 1;
    if (k && k->slot >= slot)
        return;
    if (!k)
        k = known_add(r, rule.id);
    k->bytes = must(realloc(k->bytes, len));
    memcpy(k->bytes, bytes, len);
    k->len = len;
    k->slot = slot;
    if (rule_decode(k->bytes, len, &k->rule, &err) < 0)
        abort(); /* it was sound a moment ago */
}

/* The same but for its version. */
static bool same_content(const struct known *k, struct rule r)
{
    static uint8_t bytes[RULE_BYTES_MAX], old[RULE_BYTES_MAX];
    struct rule was = k->rule;
    was.version = r.version = 1;
    int n = rule_encode(&r, bytes, sizeof bytes);
    return n > 0 && rule_encode(&was, old, sizeof old) == n && !memcmp(bytes, old, (size_t)n);
}

static void add(struct reload_change *c, const struct rule *r, uint32_t slot)
{
    if (c->n + RULE_MESSAGE_SLOTS > c->room) {
        c->room = 2 * c->room + RULE_MESSAGE_SLOTS;
        c->m = msgs_grow(c->m, c->n, c->room);
    }
    c->n += (uint32_t)rule_messages(r, slot, c->m + c->n);
}

int reload_compare(const struct reload *r, const struct rules_file *f, uint32_t slots_max,
                   struct reload_change *out, struct error *err)
{
    uint32_t slot = r->slots;
    bool *in_file = must(calloc(r->n + 1u, sizeof *in_file));
    *out = (struct reload_change){0};
    for (uint32_t i = 0; i < f->n; i++) {
        struct rule next = f->rule[i];
        const struct known *k = find(r, next.id);
        if (k)
            in_file[k - r->known] = true;
        if (k && next.version <= k->rule.version && same_content(k, next)) {
            out->unchanged++;
            continue;
        }
        if (k && next.version <= k->rule.version)
            next.version = k->rule.version + 1;
        out->added += !k;
        out->changed += k != NULL;
        add(out, &next, slot++);
    }
    for (uint32_t i = 0; i < r->n; i++) {
        struct rule gone = r->known[i].rule;
        if (!gone.enabled || in_file[i])
            continue;
        gone.enabled = false;
        gone.version++;
        out->removed++;
        add(out, &gone, slot++);
    }
    free(in_file);
    if (slot <= slots_max)
        return 0;
    reload_change_free(out);
    return error_set(err, "with these changes the run has had %u versions of rules, but limits.rules is %u",
                     slot, slots_max);
}

void reload_change_free(struct reload_change *c)
{
    free(c->m);
    c->m = NULL;
    c->n = c->room = 0;
}
