/* The symbol table: what every process may know of a symbol. A row per symbol id (dense, from 0), 384 bytes:
 *
 *   line 0   seqlock, last trade, the day's volume    written by the symbol's scanner
 *   line 1   seqlock, last quote                      written by the symbol's scanner
 *   line 2-3 seqlock, live bar                        written by the symbol's scanner
 *   line 4-5 identity                                 written once by ingest, before the row counts as there
 *
 * and a hash table name -> id, written by ingest. A trade touches one cache line.
 *
 * Threading: ingest alone adds, a symbol's scanner alone calls symtab_trade and symtab_quote for it, any
 * process reads. A reader never blocks a writer. A writer that died within a write leaves its row torn until
 * its successor writes it; readers are told, they do not wait.
 *
 * Join fails (NULL) for: NULL, bad alignment, another magic, a row count that does not fit `bytes`.
 */
#ifndef SHM_SYMTAB_H
#define SHM_SYMTAB_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum { SYMTAB_NAME_MAX = 63, SYMTAB_ROWS_MAX = 1 << 22 };

struct symtab;

/* A symbol's fixed part. */
struct symtab_identity {
    char name[SYMTAB_NAME_MAX + 1];
    uint16_t bucket;
    uint8_t name_len;
    uint8_t size_scale; /* decimal places of a size */
    uint8_t calendar;   /* enum calendar_id */
    uint8_t pad[3];
    int64_t tick_e9; /* smallest price step, 0 = unknown */
};

/* Prices at 1e-9, sizes at the symbol's scale, times UTC ns. All 0 before the first trade. The writer gives
 * all of it each time: what counts towards the day is the engine's decision. */
struct symtab_trade {
    int64_t price_e9;
    uint64_t size;
    int64_t event_ns;
    uint64_t day_volume;
    uint8_t session; /* enum session_kind */
    uint8_t pad[7];
};

struct symtab_quote {
    int64_t bid_e9, ask_e9;
    uint64_t bid_size, ask_size;
    int64_t event_ns;
};

/* The bar of the minute in which the symbol last traded; it may have ended. */
struct symtab_live {
    int64_t start_ns;
    int64_t open_e9, high_e9, low_e9, close_e9;
    uint64_t volume;
    uint64_t pv_lo; /* sum of price_e9 x size, 128 bit */
    int64_t pv_hi;
    uint64_t trades; /* 0: none yet */
};

/* A reader's copy of a row. */
struct symtab_row {
    struct symtab_identity identity;
    struct symtab_trade trade;
    struct symtab_quote quote;
    struct symtab_live live;
};

size_t symtab_align(void);
size_t symtab_footprint(uint32_t rows_max);
struct symtab *symtab_new(void *mem, uint32_t rows_max);
struct symtab *symtab_join(void *mem, size_t bytes);
static inline void *symtab_leave(struct symtab *t)
{
    return t;
}

/* Adds a symbol whose name is not there yet (assert; ask symtab_find after a restart). bucket, name, name_len
 * and the rest as given. Returns its id, or -1 if the table is full. */
int64_t symtab_add(struct symtab *t, const struct symtab_identity *identity)
    __attribute__((warn_unused_result));

/* Rows there are; ids are below it. */
uint32_t symtab_count(const struct symtab *t);
uint32_t symtab_rows_max(const struct symtab *t);

/* The id of a name, -1 if it is not there. O(1). */
int64_t symtab_find(const struct symtab *t, const char *name, size_t len);

/* The identity in place: it never changes once id < symtab_count. */
const struct symtab_identity *symtab_identity(const struct symtab *t, uint32_t id);

/* The writer's. id of a row, asserted. */
void symtab_set_trade(struct symtab *t, uint32_t id, const struct symtab_trade *trade);
void symtab_set_quote(struct symtab *t, uint32_t id, const struct symtab_quote *quote);
void symtab_set_live(struct symtab *t, uint32_t id, const struct symtab_live *live);

/* Copies a row. 0; SYMTAB_NONE if there is no such row; SYMTAB_TORN if a writer died or was
 * suspended within it (the copy may then mix two trades or quotes). */
enum { SYMTAB_NONE = -1, SYMTAB_TORN = -2 };
int symtab_read(const struct symtab *t, uint32_t id, struct symtab_row *row)
    __attribute__((warn_unused_result));

#endif
