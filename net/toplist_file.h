/* Users' own toplists from a file: an array of lists, or {"toplists":[…]}. A list is
 *
 *   {"id","user_id","name","description","metric","time_window","sort_order","filters",
 *    "columns","color_scheme","enabled","created_at","updated_at"}
 *
 * of which id, metric and time_window must be there. filters: {"min_volume","min_change_pct","price_min",
 * "price_max","market_cap_min","market_cap_max"}, each a number, "exchange", a text, and "expr", an
 * expression of rules without crossings and spans. What only a page shows (description, columns, colors,
 * times) is not kept.
 */
#ifndef NET_TOPLIST_FILE_H
#define NET_TOPLIST_FILE_H

#include "core/error.h"
#include "shm/markettab.h"

/* How many lists there are; -1 with err: file, which list, what was found, what was expected. `keys` becomes
 * what their expressions name. */
int toplist_file_read(const char *path, struct market_list list[MARKETTAB_LISTS], struct toplist_keys *keys,
                      struct error *err) __attribute__((warn_unused_result));
/* The same of a text (any content); `path` is for messages. */
int toplist_file_parse(const char *path, const char *text, size_t len,
                       struct market_list list[MARKETTAB_LISTS], struct toplist_keys *keys, struct error *err)
    __attribute__((warn_unused_result));
/* Can the lists be ranked with these keys? 0, or -1 with err: file, which list, what is missing. */
int toplist_file_check(const char *path, const struct market_list *list, int n,
                       const struct toplist_keys *keys, struct error *err)
    __attribute__((warn_unused_result));

#endif
