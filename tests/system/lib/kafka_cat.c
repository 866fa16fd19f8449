/* Prints what is committed in topics of a Kafka, from their beginnings to their ends as they are now:
 *
 *   kafka_cat host:port TOPIC…      one line per record: topic, partition, key, value, by tabs
 *
 * A topic that is not there has no lines. */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 10000, PARTITIONS_MAX = 64 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_cat: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_t *consumer(const char *brokers)
{
    const char *const property[][2] = {{"bootstrap.servers", brokers},
                                       {"isolation.level", "read_committed"},
                                       {"enable.partition.eof", "true"},
                                       {"enable.auto.commit", "false"},
                                       {"fetch.wait.max.ms", "50"}};
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof property / sizeof *property; i++)
        if (rd_kafka_conf_set(conf, property[i][0], property[i][1], why, sizeof why))
            die(property[i][0], why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk)
        die("consumer", why);
    return rk;
}

static int partitions(rd_kafka_t *rk, rd_kafka_topic_t *topic)
{
    const struct rd_kafka_metadata *answer;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, topic, &answer, TIMEOUT_MS);
    if (code)
        die("metadata", rd_kafka_err2str(code));
    int n = answer->topics[0].err ? 0 : answer->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(answer);
    return n;
}

static void print(rd_kafka_topic_t *topic, int32_t partition)
{
    if (rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING))
        die(rd_kafka_topic_name(topic), rd_kafka_err2str(rd_kafka_last_error()));
    for (bool end = false; !end;) {
        rd_kafka_message_t *m = rd_kafka_consume(topic, partition, TIMEOUT_MS);
        if (!m)
            die(rd_kafka_topic_name(topic), "no answer in time");
        end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (m->err && !end)
            die(rd_kafka_topic_name(topic), rd_kafka_message_errstr(m));
        if (!end)
            printf("%s\t%d\t%.*s\t%.*s\n", rd_kafka_topic_name(topic), partition, (int)m->key_len,
                   (const char *)m->key, (int)m->len, (const char *)m->payload);
        rd_kafka_message_destroy(m);
    }
    rd_kafka_consume_stop(topic, partition);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        die("usage", "kafka_cat host:port TOPIC…");
    rd_kafka_t *rk = consumer(argv[1]);
    for (int i = 2; i < argc; i++) {
        rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[i], NULL);
        int n = partitions(rk, topic);
        for (int32_t partition = 0; partition < n; partition++)
            print(topic, partition);
        rd_kafka_topic_destroy(topic);
    }
    rd_kafka_destroy(rk);
    return 0;
}
