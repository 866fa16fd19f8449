/* Metrics in Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Names get the prefix ringtape_ here. HELP and TYPE are written once per name: the samples of one name must
 * follow each other, as the format demands. Labels come as name, value, name, value, …, NULL.
 */
#ifndef NET_PROMETHEUS_H
#define NET_PROMETHEUS_H

#include "net/text.h"

#include <stdint.h>

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum prometheus_type { PROMETHEUS_COUNTER, PROMETHEUS_GAUGE, PROMETHEUS_HISTOGRAM };

/* Starts a metric: its HELP and TYPE. `name` is a letter or _ followed by letters, digits, _ (asserted); a
 * counter's ends with _total by convention. */
void prometheus_metric(struct text *out, const char *name, enum prometheus_type type, const char *help);

/* One sample. Integers are exact. */
void prometheus_u64(struct text *out, const char *name, uint64_t value, const char *const *labels);
void prometheus_double(struct text *out, const char *name, double value, const char *const *labels);

/* A histogram's samples: _bucket for each upper bound and for +Inf, _sum, _count. counts[i] are the values in
 * (bounds[i-1], bounds[i]], counts[n] those above the last bound: not cumulative. */
void prometheus_histogram(struct text *out, const char *name, const double *bounds, const uint64_t *counts,
                          size_t n, double sum, const char *const *labels);

#define PROMETHEUS_LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
