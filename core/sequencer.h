/* The sequencer: gives messages their place in the one total order, and adds the clock.
 *
 * In: SYMBOL, HISTORY_BAR and ticks (msg_is_tick) with the node's symbol ids, RULE and SETTING, in the order
 * of arrival. Out: the same with seq 1, 2, 3 …, and before a tick each CLOCK that the running maximum of
 * event time has reached (the tick's own included), and the trading days that the engine will need (SETTING
 * calendar.N=…). The data alone decides, so a file gives the same messages at any speed.
 */
#ifndef CORE_SEQUENCER_H
#define CORE_SEQUENCER_H

#include "core/bucket.h"
#include "core/message.h"

/* Trading days of a calendar, from the edge: fills t[0..3] (premarket, market, postmarket, closed; UTC ns) of
 * the first trading day that starts at or after from_ns. False if it knows none. */
typedef bool sequencer_calendar(void *ctx, unsigned calendar, int64_t from_ns, int64_t t[4]);

struct sequencer_options {
    uint32_t symbols_max;
    int64_t lateness_ns;
    uint64_t first_seq; /* 1, or one more than the highest ever used */
    sequencer_calendar *calendar;
    void *calendar_ctx;
};

struct sequencer;

size_t sequencer_footprint(const struct sequencer_options *o);
/* `mem` zeroed and aligned to 64. */
struct sequencer *sequencer_new(void *mem, const struct sequencer_options *o);

enum { SEQUENCER_ROOM = 4096 }; /* slots of `out` that one record may need */

/* Stamps whole records of in[0..n) into out until out has less than SEQUENCER_ROOM slots left. Returns the
 * slots of `in` consumed; *used is advanced. */
size_t sequencer_apply(struct sequencer *q, const struct msg *in, size_t n, struct msg *out, size_t capacity,
                       size_t *used);

/* The end of the source: a CLOCK for each bucket that makes its last bar final (only if `clocks`), then END.
 */
void sequencer_end(struct sequencer *q, bool clocks, struct msg *out, size_t capacity, size_t *used);

/* What it gave last, m[0..n), is not wanted: its seqs are given again. For a stream that ends here, as clocks
 * and times stay where they are. */
void sequencer_take_back(struct sequencer *q, const struct msg *m, size_t n);

/* n messages of a type come from elsewhere, before some that it gave already: all seqs to come are n higher.
 */
void sequencer_pass(struct sequencer *q, enum msg_type type, uint64_t n);

uint64_t sequencer_next_seq(const struct sequencer *q);
/* The running maximum of event time; INT64_MIN before the first tick. */
int64_t sequencer_time(const struct sequencer *q);
/* What it gave so far, by type. */
const uint64_t *sequencer_counts(const struct sequencer *q);
/* The bucket of each symbol id, for routing. */
uint16_t *sequencer_buckets(struct sequencer *q);

#endif
