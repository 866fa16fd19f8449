/* A file of users' toplists: what is taken can be ranked, asked and named; what is refused names the file. */
#include "net/toplist_file.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check_taken(const struct market_list *l, const struct toplist_keys *keys)
{
    struct metric m[RANK_VALUES];
    struct toplist_condition c;
    struct error err;
    int64_t key[TOPLIST_KEYS_MAX];
    toplist_metrics(&l->list, m);
    assert(l->list.id[0] && memchr(l->list.id, 0, sizeof l->list.id) && memchr(l->name, 0, sizeof l->name) &&
           memchr(l->user_id, 0, sizeof l->user_id));
    assert(!strpbrk(l->list.id, ": \"\\") && !strpbrk(l->user_id, ": \"\\"));
    assert(memchr(l->list.expr, 0, sizeof l->list.expr));
    if (!*l->list.expr)
        return;
    assert(toplist_condition(&c, l->list.expr, keys, &err) == 0);
    for (unsigned i = 0; i < keys->n; i++)
        key[i] = KEY_UNKNOWN;
    assert(!toplist_meets(&c, key)); /* what is unknown is not true */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct market_list list[MARKETTAB_LISTS];
    struct toplist_keys keys;
    struct error err = {""};
    char *copy = malloc(size + !size); /* of exact size, so that reading past it is seen */
    memcpy(copy, data, size);
    int n = toplist_file_parse("fuzz.json", copy, size, list, &keys, &err);
    assert(n <= MARKETTAB_LISTS);
    for (int i = 0; i < n; i++)
        check_taken(&list[i], &keys);
    assert(n < 0 || toplist_file_check("fuzz.json", list, n, &keys, &err) == 0);
    assert(n >= 0 || !strncmp(err.text, "fuzz.json:", 10));
    free(copy);
    return 0;
}
