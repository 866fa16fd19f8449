/* Writes records to a Kafka, or deletes some:
 *
 *   kafka_put host:port <LINES                       one record per line, as kafka_cat prints them: topic,
 *                                                    partition, key, value, by tabs
 *   kafka_put host:port --delete TOPIC PART OFFSET   the records before OFFSET, as retention does */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 20000 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_put: %s: %s\n", what, why);
    exit(1);
}

static int undelivered;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    undelivered += m->err != 0;
}

static rd_kafka_t *producer(const char *brokers)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why) ||
        rd_kafka_conf_set(conf, "enable.idempotence", "true", why, sizeof why) || /* in order */
        rd_kafka_conf_set(conf, "linger.ms", "1", why, sizeof why))
        die("settings", why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk)
        die("producer", why);
    return rk;
}

static void put(rd_kafka_t *rk, char *line)
{
    char *topic = strtok(line, "\t"), *partition = strtok(NULL, "\t"), *key = strtok(NULL, "\t"),
         *value = strtok(NULL, "\n");
    rd_kafka_resp_err_t code;
    if (!value)
        die("a line", "expected topic, partition, key, value");
    while ((code = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(atoi(partition)),
                                     RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(value, strlen(value)),
                                     RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 100);
    if (code)
        die(topic, rd_kafka_err2str(code));
}

static void delete_before(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_DeleteRecords_t *what = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteRecords(rk, &what, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!event || rd_kafka_event_error(event))
        die("delete", event ? rd_kafka_event_error_string(event) : "no answer in time");
    const rd_kafka_topic_partition_list_t *done =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    if (done->cnt != 1 || done->elems[0].err)
        die("delete", done->cnt ? rd_kafka_err2str(done->elems[0].err) : "nothing deleted");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteRecords_destroy(what);
    rd_kafka_topic_partition_list_destroy(list);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;
    if (argc != 2 && (argc != 6 || strcmp(argv[2], "--delete")))
        die("usage", "kafka_put host:port [--delete TOPIC PARTITION OFFSET]");
    rd_kafka_t *rk = producer(argv[1]);
    if (argc == 6)
        delete_before(rk, argv[3], atoi(argv[4]), atoll(argv[5]));
    while (argc == 2 && getline(&line, &room, stdin) > 0)
        put(rk, line);
    if (rd_kafka_flush(rk, TIMEOUT_MS) || undelivered)
        die("delivery", "not everything was taken in time");
    free(line);
    rd_kafka_destroy(rk);
    return 0;
}
