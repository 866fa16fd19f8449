#ifndef SIM_SUPERVISOR_H
#define SIM_SUPERVISOR_H

#include "tests/sim/market.h"

#include <sys/types.h>

/* `ringtape run --until-end` over the market, in its directory. */
pid_t supervisor_start(const struct market *m);

/* What ingest has said is durable, as the memory still has it; 0 if there is none. */
uint64_t supervisor_durable_seq(const struct market *m);

/* What was in memory is gone. */
void supervisor_forget_memory(const struct market *m);

#endif
