/* A connection to a Redis server, plain or TLS, whose calls block, each for REDIS_LINK_TIMEOUT_MS at most.
 * hiredis formats commands and parses replies; where it has no TLS (before 1.0: Debian 12), and so
 * everywhere, the bytes between go through OpenSSL, which libpq and librdkafka bring along anyway.
 *
 * Threading: one thread at a time.
 */
#ifndef NET_REDIS_LINK_H
#define NET_REDIS_LINK_H

#include "core/error.h"
#include "net/outbox.h"
#include "net/secret.h"
#include "net/settings.h"

#include <hiredis/hiredis.h>

/* The streams of events: kind, name, field that holds the JSON (an entry's last), setting of its bound. */
#define REDIS_STREAMS(X)                                                                                     \
    X(ALERT, "alerts", "alert", redis_alerts_maxlen)                                                         \
    X(BAR, "bars.finalized", "bar", redis_bars_maxlen)                                                       \
    X(ANOMALY, "anomalies:stream", "anomaly", redis_anomalies_maxlen)                                        \
    X(HALT, "events", "event", redis_events_maxlen)

#define X(kind, ...) REDIS_STREAM_##kind,
enum redis_stream_place { REDIS_STREAMS(X) REDIS_STREAM_COUNT };
#undef X

struct redis_stream {
    const char *name, *field;
    enum outbox_kind kind;
};
extern const struct redis_stream redis_streams[REDIS_STREAM_COUNT];

enum { REDIS_LINK_CONNECT_MS = 2000, REDIS_LINK_TIMEOUT_MS = 3000 };

/* PEM files; NULL or "" = the system's certificates, and none of our own. */
struct redis_link_tls {
    const char *ca_file, *cert_file, *key_file;
};

struct redis_link;

/* Connects, and with url->tls proves that the server is url->host. NULL with err, which names a file that is
 * at fault. */
struct redis_link *redis_link_open(const struct setting_redis *url, const struct redis_link_tls *tls,
                                   struct error *err);
void redis_link_close(struct redis_link *l);

/* The AUTH that a password file asks for: its first line is "password", "user:password" or ":pass:word". The
 * texts lie in `line`, which is to be wiped. How many arguments, 0 if there is no password, -1 with err. */
int redis_link_auth(const char *path, char line[SECRET_BYTES], const char *arg[3], struct error *err);

/* Queues a command; `len` may be NULL for texts. 0, or -1: broken. */
int redis_link_append(struct redis_link *l, int n, const char **arg, const size_t *len);

/* Sends what is queued and takes the next reply, to be freed with freeReplyObject. NULL: broken. */
redisReply *redis_link_reply(struct redis_link *l);

/* Both. */
redisReply *redis_link_command(struct redis_link *l, int n, const char **arg, const size_t *len);

/* Why it is broken: valid until the close. NULL: it is not. */
const char *redis_link_broken(const struct redis_link *l);

#endif
