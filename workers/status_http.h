/* The HTTP face of a running instance: /health (= /healthz), /ready, /live, /stats, /metrics, from shared
 * memory. */
#ifndef WORKERS_STATUS_HTTP_H
#define WORKERS_STATUS_HTTP_H

#include "workers/instance.h"

struct status_http;

/* Serves http.listen:http.port in a thread of its own. NULL with err: port taken, io_uring not allowed … */
struct status_http *status_http_start(const struct instance *in, struct error *err);
void status_http_stop(struct status_http *h); /* NULL is fine */

#endif
