/* Databento's binary encoding (DBN), versions 1 to 3: its metadata, and what an instrument is called.
 *
 * Source: https://databento.com/docs/standards-and-conventions/databento-binary-encoding and the dbn crate
 * (decode/dbn, record.rs, v1.rs). All integers are little-endian.
 *
 *     "DBN" | version u8 | length u32 | metadata (`length` bytes) | records
 *
 *     metadata: dataset [16] | schema u16 | start, end, limit u64 | version 1: record_count u64 |
 *     stype_in, stype_out, ts_out u8 | from version 2: symbol_cstr_len u16 | reserved, up to 100 bytes |
 *     schema_definition_length u32, 0 | symbols, partial, not_found: count u32, names |
 *     mappings: count u32, each: name, count u32, intervals: start, end u32 (YYYYMMDD), name
 *
 * A name is symbol_cstr_len bytes (22 in version 1), padded with zeros. A record says its instrument by a
 * number alone; which name that is on a day is told by the mappings, or in live data by symbol-mapping
 * records.
 */
#ifndef NET_DBN_H
#define NET_DBN_H

#include "core/error.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    DBN_VERSION_MAX = 3,
    DBN_PRELUDE_BYTES = 8,
    DBN_FIXED_BYTES = 100,
    DBN_METADATA_MAX = 256 << 20,
    DBN_LIVE_NAME_BYTES = 71, /* of a symbol-mapping record; 22 in version 1 */
    DBN_LIVE_NAMES_MAX = 1 << 20,
};

struct dbn_mapping {
    uint32_t id, order;
    int32_t first_day, end_day; /* since 1970, UTC; the end is not within */
    const char *name;           /* within the metadata's bytes */
    uint32_t len;
};

struct dbn_live_name {
    uint32_t id, len; /* len 0: a free cell */
    char name[DBN_LIVE_NAME_BYTES + 1];
};

/* Zeroed is empty. */
struct dbn {
    uint8_t version;             /* 1 to DBN_VERSION_MAX, set by the caller */
    bool ts_out;                 /* each record has 8 bytes more */
    struct dbn_mapping *mapping; /* by id, then as in the file */
    uint32_t mappings, room;
    struct dbn_live_name *live; /* open addressing, 0 or a power of two cells */
    uint32_t live_count, live_cells;
};

static inline uint16_t dbn_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static inline uint32_t dbn_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static inline uint64_t dbn_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* Takes the metadata (`len` bytes behind the prelude, which dbn_names needs as long as `d` is used). 0, or -1
 * with err set: what was found, at which byte of the stream, what was expected. */
int dbn_metadata(struct dbn *d, const uint8_t *bytes, size_t len, struct error *err)
    __attribute__((warn_unused_result));

/* A symbol-mapping record: from here on `id` has this name (1 to DBN_LIVE_NAME_BYTES bytes). False where
 * there are DBN_LIVE_NAMES_MAX others or no memory. */
bool dbn_rename(struct dbn *d, uint32_t id, const char *name, size_t len);

/* What instrument `id` is called on a day since 1970: a symbol-mapping record's name, else that of the last
 * mapping whose interval has the day. NULL if it has none. Not terminated: *len. */
const char *dbn_name(const struct dbn *d, uint32_t id, int32_t day, size_t *len);

void dbn_free(struct dbn *d);

#endif
