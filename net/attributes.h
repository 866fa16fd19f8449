/* Attributes of symbols: FILE with a first line that names its columns, `symbol` and any of
 * sector,exchange,float,market_cap,shares_short,news_at,earnings_at in any order (plain or .zst). An unknown
 * column is refused, with the nearest one known.
 *
 * An empty field is unknown. Numbers are at least 0; times as decimal_parse_time takes them; texts have 1 to
 * 63 bytes. A row that is no good is refused whole, with its line and the reason. Of several rows of one
 * symbol the last counts.
 */
#ifndef NET_ATTRIBUTES_H
#define NET_ATTRIBUTES_H

#include "core/attribute.h"
#include "net/source.h"

struct attribute_file;

enum { ATTRIBUTE_REFUSALS_LOGGED = 10 };

/* Reads all of FILE. NULL with err set: no such file, its columns, a damaged .zst. `log` (may be NULL) takes
 * the first refused rows, and how many there were. */
struct attribute_file *attribute_file_load(const char *path, const struct source_config *config,
                                           void (*log)(void *ctx, const char *line), void *log_ctx,
                                           struct error *err);

/* Those of a symbol by its full name (with the market, as in struct source_symbol); NULL if it has none. */
const struct attributes *attribute_file_find(const struct attribute_file *f, const char *name, size_t len);

/* The copy of FILE with which an instance goes on, whatever becomes of that, DIR/NAME: the file that the run
 * began with, and the one that holds now, if another was read since. `anew`: it is made, or goes where `file`
 * is empty. *kept: its path, empty if there is none. 0, or -1 with err. */
enum { ATTRIBUTE_PATH_MAX = 4096 };
#define ATTRIBUTES_AT_FIRST "attributes.csv"
#define ATTRIBUTES_NOW      "attributes-now.csv"
int attribute_file_keep(const char *name, const char *file, const char *dir, bool anew,
                        char kept[ATTRIBUTE_PATH_MAX], struct error *err);

uint32_t attribute_file_symbols(const struct attribute_file *f);
uint64_t attribute_file_refused(const struct attribute_file *f);

void attribute_file_free(struct attribute_file *f);

#endif
