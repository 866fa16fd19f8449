/* A librdkafka client as the settings kafka.… want it: brokers, TLS, SASL, time-outs. */
#ifndef NET_KAFKA_LINK_H
#define NET_KAFKA_LINK_H

#include "core/error.h"
#include "net/outbox.h"
#include "net/settings.h"

#include <librdkafka/rdkafka.h>

/* The topic of each kind of record; those of events are the outbox', market_data is the journal's. */
extern const char *const kafka_topics[OUTBOX_KINDS]; /* NULL: not for consumers */

#define KAFKA_CURSORS "ringtape.cursors" /* compacted; key = node, value = "<outbox id> <offset>" */

enum { KAFKA_WHY_BYTES = 256 };

struct kafka_property {
    const char *key, *value; /* the last has no key */
};

/* Refuses settings that no client can work with: -1 with err. */
int kafka_link_check(const struct settings *s, struct error *err);

/* A client with the properties `own` beside what all have. `conf` (callbacks, opaque) is consumed. NULL with
 * err, which names the setting that is at fault. */
rd_kafka_t *kafka_link_open(const struct settings *s, rd_kafka_type_t type, rd_kafka_conf_t *conf,
                            const struct kafka_property *own, struct error *err);

/* What to do about an error with librdkafka's words for it (NULL: none), NULL if there is nothing to say. */
const char *kafka_link_advice(rd_kafka_resp_err_t code, const char *text);

#endif
