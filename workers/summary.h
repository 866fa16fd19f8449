/* The summary of a run or replay: what `--summary` writes. */
#ifndef WORKERS_SUMMARY_H
#define WORKERS_SUMMARY_H

#include "core/error.h"
#include "net/source.h"

/* {"rows":N,"messages":{"trade":N,…},"skipped":{kind:N},"rejected":{reason:N},"conflated":N,"bars":N,"alerts":N,
 * "seconds":X}: rows = trades + quotes + skipped + rejected + conflated, where the sources came to their end;
 * and "ingest_seconds" if that is not negative: until END was in the rings. `seconds` runs from the first
 * stamp. Types, kinds and reasons that did not occur are left out; trade, quote and clock always stand. */
int summary_write(const char *path, const uint64_t count[MSG_TYPE_COUNT], const struct source_stats *stats,
                  uint64_t bars, uint64_t alerts, double seconds, double ingest_seconds, struct error *err);

#endif
