/* The HTTP face of a running instance, from shared memory:
 *
 *   /live     200: the process answers
 *   /ready    200 or 503: every role runs (or ended with its source), no source has failed, the journal can
 *             be written. A sink that is down does not take readiness away
 *   /health   (= /healthz) the same, but 200 while the instance starts
 *   /stats    every counter and histogram, rings, rules (the first 1,000), errors as JSON
 *   /metrics  the same for Prometheus: ringtape_ROLE_NAME{role,index,...}, times in seconds
 *
 * The body of the first three: {"status":"ok|degraded|starting|failing","version":...,"timestamp":...,
 * "memory":{...},"checks":{redis, kafka, postgres, feed, ring, journal},"reason":... if it is not ready}.
 */
#ifndef WORKERS_STATUS_HTTP_H
#define WORKERS_STATUS_HTTP_H

#include "workers/instance.h"

struct status_http;

/* Serves http.listen:http.port (0 = any free one) in a thread of its own. `in` needs ws and settings. NULL
 * with err: port taken, io_uring not allowed … */
struct status_http *status_http_start(const struct instance *in, struct error *err);
uint16_t status_http_port(const struct status_http *h);
void status_http_stop(struct status_http *h); /* NULL is fine */

#endif
