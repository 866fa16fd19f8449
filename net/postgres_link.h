/* A connection to PostgreSQL as the settings sinks.postgres and postgres.… want it. Every call of it ends:
 * libpq's own waits are for the connect only (POSTGRES_CONNECT_S for each address of the URL), then the
 * connection does not block, and postgres_link_wait bounds what is waited for. */
#ifndef NET_POSTGRES_LINK_H
#define NET_POSTGRES_LINK_H

#include "core/error.h"
#include "net/settings.h"

#include <libpq-fe.h>

enum { POSTGRES_CONNECT_S = 3, POSTGRES_REPLY_MS = 6000 };

/* Connects. NULL with err, which says what to do. */
PGconn *postgres_link_open(const struct settings *s, struct error *err);

/* err says, of the connection's last failure, what it is and what to do. Returns -1. */
int postgres_link_broken(const PGconn *conn, const char *url, const char *what, struct error *err);

/* Sends what is buffered and waits until PQgetResult does not block, for timeout_ms at most. 0, or -1 with
 * err. */
int postgres_link_wait(PGconn *conn, const char *url, const char *what, int timeout_ms, struct error *err);

#endif
