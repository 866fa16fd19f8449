#include "net/kafka_link.h"

#include "net/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const kafka_topics[OUTBOX_KINDS] = {[OUTBOX_ALERT] = "alerts",
                                                [OUTBOX_BAR] = "bars",
                                                [OUTBOX_TRADE] = "market_data",
                                                [OUTBOX_ANOMALY] = "anomalies",
                                                [OUTBOX_HALT] = "events"};

const char *kafka_link_advice(rd_kafka_resp_err_t code, const char *text)
{
    /* A broker that refuses our certificate, or wants one, ends the connection: no error of TLS to
     * librdkafka. */
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT && text && strstr(text, "SSL alert"))
        code = RD_KAFKA_RESP_ERR__SSL;
    switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        return "is the broker running, and is it TLS exactly where kafka.ca_file is set?";
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        return "the broker or the way to it hangs";
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return "correct sinks.kafka, or the broker's advertised.listeners";
    case RD_KAFKA_RESP_ERR__SSL:
        return "kafka.ca_file must hold the authority of the broker's certificate, which must name the "
               "broker's host; where the broker asks for one, kafka.cert_file and kafka.key_file are ours";
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
        return "the broker must take the mechanism kafka.sasl, and know kafka.user with the password in "
               "kafka.password_file";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return "allow kafka.user to Create, Describe, Write the topics alerts, bars, prices, "
               "market_data, " KAFKA_CURSORS ", to Read " KAFKA_CURSORS
               ", and to Describe, Write transactional ids that start with ringtape.";
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
        return "another process delivers with this node's name: give each node a node.name of its own";
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return "the topic was deleted; it is made again at the next try";
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
        return "the broker's default.replication.factor is more than there are brokers";
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
        return "the topic's min.insync.replicas is more than there are brokers in sync";
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
        return "is transaction.state.log.replication.factor more than there are brokers?";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return "raise the topic's max.message.bytes";
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return "create the topic by hand (" KAFKA_CURSORS ": 1 partition, cleanup.policy=compact)";
    default:
        return NULL;
    }
}

int kafka_link_check(const struct settings *s, struct error *err)
{
    bool cert = *s->kafka_cert_file, key = *s->kafka_key_file;
    if (!*s->kafka_user != !*s->kafka_password_file)
        return error_set(err, "found kafka.user = '%s' and kafka.password_file = '%s', expected both or none",
                         s->kafka_user, s->kafka_password_file);
    if (cert != key)
        return error_set(err, "kafka.%s is set and kafka.%s is not: a certificate and its key go together",
                         cert ? "cert_file" : "key_file", cert ? "key_file" : "cert_file");
    if (cert && !*s->kafka_ca_file)
        return error_set(err, "kafka.cert_file is for TLS, which kafka.ca_file turns on; expected that too");
    if (*s->kafka_user && s->kafka_sasl == SET_KAFKA_SASL_PLAIN && !*s->kafka_ca_file)
        return error_set(err, "kafka.sasl = plain sends the password in the clear; expected TLS with it "
                              "(kafka.ca_file), or scram-sha-256");
    for (const char *at = s->sinks_kafka;; at++) {
        size_t n = strcspn(at, ",");
        const char *colon = memrchr(at, ':', n);
        char *end;
        unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
        if (!colon || colon == at || end != at + n || port == 0 || port > 65535)
            return error_set(err, "sinks.kafka: found '%.*s', expected host:port,host:port", (int)n, at);
        if (!at[n])
            return 0;
        at += n;
    }
}

static int set(rd_kafka_conf_t *conf, const char *key, const char *value, struct error *err)
{
    char why[KAFKA_WHY_BYTES];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return 0;
    return error_set(err, "librdkafka %s refuses %s: %s", rd_kafka_version_str(), key, why);
}

/* librdkafka's own errors do not name our setting. */
static int set_file(rd_kafka_conf_t *conf, const char *key, const char *setting, const char *path,
                    struct error *err)
{
    if (access(path, R_OK))
        return error_set(err, "%s: cannot read %s: %s", setting, path, strerror(errno));
    return set(conf, key, path, err);
}

static int set_tls(const struct settings *s, rd_kafka_conf_t *conf, struct error *err)
{
    if (!*s->kafka_ca_file)
        return 0;
    if (set_file(conf, "ssl.ca.location", "kafka.ca_file", s->kafka_ca_file, err) ||
        set(conf, "ssl.endpoint.identification.algorithm", "https", err))
        return -1;
    if (!*s->kafka_cert_file)
        return 0;
    return set_file(conf, "ssl.certificate.location", "kafka.cert_file", s->kafka_cert_file, err) ||
                   set_file(conf, "ssl.key.location", "kafka.key_file", s->kafka_key_file, err)
               ? -1
               : 0;
}

static int set_sasl(const struct settings *s, rd_kafka_conf_t *conf, struct error *err)
{
    static const char *const mechanism[SET_KAFKA_SASL_COUNT] = {"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"};
    char password[SECRET_BYTES];
    if (!*s->kafka_user)
        return 0;
    if (set(conf, "sasl.mechanism", mechanism[s->kafka_sasl], err) ||
        set(conf, "sasl.username", s->kafka_user, err) ||
        secret_read("kafka.password_file", s->kafka_password_file, password, err))
        return -1;
    int result = set(conf, "sasl.password", password, err);
    explicit_bzero(password, sizeof password);
    return result;
}

static int set_security(const struct settings *s, rd_kafka_conf_t *conf, struct error *err)
{
    bool tls = *s->kafka_ca_file, sasl = *s->kafka_user;
    const char *protocol = tls ? sasl ? "sasl_ssl" : "ssl" : sasl ? "sasl_plaintext" : "plaintext";
    return set(conf, "security.protocol", protocol, err) || set_tls(s, conf, err) || set_sasl(s, conf, err)
               ? -1
               : 0;
}

rd_kafka_t *kafka_link_open(const struct settings *s, rd_kafka_type_t type, rd_kafka_conf_t *conf,
                            const struct kafka_property *own, struct error *err)
{
    const struct kafka_property all[] = {{"bootstrap.servers", s->sinks_kafka},
                                         {"client.id", "ringtape"},
                                         {"log_level", "4"},
                                         {"log.queue", "true"},
                                         {"socket.timeout.ms", "4000"},
                                         {"socket.keepalive.enable", "true"},
                                         {"socket.nagle.disable", "true"},
                                         {"reconnect.backoff.max.ms", "500"},
                                         {0}};
    char why[KAFKA_WHY_BYTES];
    bool good = set_security(s, conf, err) == 0;
    for (const struct kafka_property *p = all; good && p->key; p++)
        good = set(conf, p->key, p->value, err) == 0;
    for (const struct kafka_property *p = own; good && p->key; p++)
        good = set(conf, p->key, p->value, err) == 0;
    rd_kafka_t *rk = good ? rd_kafka_new(type, conf, why, sizeof why) : NULL;
    if (good && !rk)
        error_set(err, "librdkafka: %s%s", why,
                  *s->kafka_ca_file ? "; kafka.ca_file, kafka.cert_file and kafka.key_file must be PEM" : "");
    if (!rk)
        rd_kafka_conf_destroy(conf);
    return rk;
}
