/* Toplists for people and programs: what `toplist` and `replay --toplist` share. */
#ifndef WORKERS_TOPLIST_SHOW_H
#define WORKERS_TOPLIST_SHOW_H

#include <stdio.h>

#include "shm/markettab.h"

/* The list called `id`: a system list, or a user's, whose id may stand behind USER: where others have lists
 * of that id too. 0, or -1 with err. */
int toplist_choose(const char *id, const struct market_list *list, int n, struct market_list *out,
                   struct error *err);

/* {"toplist_id","toplist_name","timestamp","rankings":[{"symbol","rank","value","metadata":{"price",
 * "volume"}}]} */
void toplist_print_json(FILE *out, const struct market_list *l, int64_t time_ns,
                        const struct toplist_ranking *r);
void toplist_print_rows(FILE *out, const struct toplist_ranking *r);

#endif
