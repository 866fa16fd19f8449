/* What must be true in the end, told without the code under test: one pass of the engine over the stream says
 * which messages are in the journal and which events in outbox and server, each once, in order. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "tests/sim/market.h"

/* The pass. Its messages and events are kept. */
void check_expect(const struct market *m);

/* After a power cut, before anything starts again: what the server has was durable, and the journal has what
 * ingest had said that is. */
void check_power_cut(const struct market *m, uint64_t durable_seq);

/* After the end. */
void check_end(const struct market *m);

/* Ends the simulation: prints why, the seed, and the last events. */
void check_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

extern size_t check_events, check_messages;
extern uint64_t check_seed;
extern bool check_verbose; /* print all that happened */

#endif
