/* Ticks for the benchmarks, stamped by the sequencer in portions of a ring's size.
 *
 *   hot    the tape's four symbols, the day again and again, each time a weekday later
 *   cold   10,000 symbols in random order, prices walking by a cent, 100,000 ticks a second
 */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include "core/error.h"
#include "core/message.h"

struct ticks;

/* `tape`: a csv with the columns ts_ns, symbol, price, size. NULL with err. */
struct ticks *ticks_hot(const char *tape, struct error *err);
struct ticks *ticks_cold(void);
void ticks_close(struct ticks *t);

uint32_t ticks_symbols(const struct ticks *t);

/* The opening of a stream: stamps `first` (rules and settings as unstamped records, first_n slots), then the
 * symbols. */
size_t ticks_open(struct ticks *t, const struct msg *first, size_t first_n, struct msg *out, size_t capacity);

/* Up to `capacity` stamped slots, TRADEs and the CLOCKs between; never ends. `sparse`: cold ticks come a
 * hundred times slower, so that minutes pass and metrics find their history. */
size_t ticks_next(struct ticks *t, bool sparse, struct msg *out, size_t capacity);

#endif
