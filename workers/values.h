/* A scanner's side of the market role: what toplists look at in each symbol, as of each CLOCK of its bucket.
 *
 * A bucket's values are a block in the scanner's values ring: a VALUES record for each of its symbols
 * (TOPLIST_COLUMNS doubles, then a key for each metric that users' expressions name), then a CLOCK, which
 * says that the block is whole. All carry the seq and time of the CLOCK that they are of. A ring without room
 * takes no more of the block: alerts never wait for it.
 *
 * At the stream's end all of the scanner's symbols follow, then END, with MSG_F_FINAL. These wait for room,
 * as nothing else is to be done; where another market role has come meanwhile, they begin again. END's symbol
 * says which one (control.market_starts) they are for.
 */
#ifndef WORKERS_VALUES_H
#define WORKERS_VALUES_H

#include "core/engine.h"
#include "core/toplist.h"
#include "shm/markettab.h"
#include "shm/ring.h"
#include "workers/instance.h"

struct values {
    struct instance *in;
    struct ring_producer ring;
    uint32_t first, first_key; /* of the values that the engine is asked for */
    struct toplist_keys keys;
    /* of the end */
    uint64_t starts;         /* the market role that it is told */
    uint32_t bucket, symbol; /* what comes next */
    bool told;
};

/* How many values the engine will be asked for. */
uint32_t values_asked(const struct instance *in);
/* Joins the ring; asks the engine, which has had no message, for them. NULL with err. */
struct values *values_open(struct instance *in, struct engine *e, struct error *err);
void values_close(struct values *v);

/* After a CLOCK was applied. */
void values_clock(struct values *v, const struct engine *e, const struct msg *clock);

/* After END (m, of seq and time) was applied. Call it until it is true: the market role shows the end. */
bool values_end(struct values *v, const struct engine *e, uint64_t seq, int64_t event_ns);

#endif
