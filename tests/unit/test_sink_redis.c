/* The Redis sink against a real server, which scripts/redis.sh starts and which is killed, filled up, locked.
 */
#include "net/sink.h"

#include "tests/system/lib/fake_outbox.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define CURSOR "ringtape:cursor:n1"

static char dir[] = "/tmp/sink-redis-XXXXXX";
static char url[64], password_path[64];
static int port;
static redisContext *client;
static char said[1 << 16];
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static int server(const char *command, const char *args)
{
    char line[256], answer[64] = "";
    snprintf(line, sizeof line, "scripts/redis.sh %s %s %s", command, dir, args);
    FILE *f = popen(line, "r");
    if (!f)
        return -1;
    if (fgets(answer, sizeof answer, f))
        port = atoi(answer);
    return pclose(f);
}

static void connect_client(void)
{
    if (client)
        redisFree(client);
    client = redisConnect("127.0.0.1", port);
    assert_non_null(client);
    assert_int_equal(client->err, 0);
}

__attribute__((format(printf, 1, 2))) static redisReply *ask(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(client, format, args);
    va_end(args);
    if (!reply)
        fail_msg("%s: %s", format, client->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    return reply;
}
#define DO(...) freeReplyObject(ask(__VA_ARGS__))

static int start_server(void **state)
{
    (void)state;
    if (!mkdtemp(dir) || server("start", "") || port == 0) {
        print_error("no Redis server could be started: run scripts/setup.sh test\n");
        return -1;
    }
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    snprintf(password_path, sizeof password_path, "%s/password", dir);
    connect_client();
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    char line[64];
    redisFree(client);
    snprintf(line, sizeof line, "rm -rf %s", dir);
    return server("stop", "") || system(line);
}

static int setup(void **state)
{
    (void)state;
    DO("FLUSHALL");
    *said = 0;
    fake_set(0, 0);
    return 0;
}

static void log_line(void *ctx, const char *line)
{
    (void)ctx;
    pthread_mutex_lock(&said_lock);
    size_t at = strlen(said);
    snprintf(said + at, sizeof said - at, "%s\n", line);
    pthread_mutex_unlock(&said_lock);
}

static struct sink_config config(void)
{
    return (struct sink_config){.ops = &sink_redis,
                                .node = "n1",
                                .outbox_dir = "memory",
                                .outbox_id = FAKE_ID,
                                .next_offset = fake.next,
                                .batch = 50,
                                .redis_url = url,
                                .redis_trade_channel = "trades",
                                .redis_alerts_maxlen = 1000000,
                                .redis_bars_maxlen = 1000000,
                                .redis_anomalies_maxlen = 1000000,
                                .redis_events_maxlen = 1000000,
                                .log = log_line};
}

static struct sink *start(const struct sink_config *c)
{
    struct error err = {""};
    struct sink *s = sink_start(c, &err);
    if (!s)
        fail_msg("%s", err.text);
    return s;
}

static void await_level(struct sink *s, uint64_t offset)
{
    struct error err = {""};
    for (int i = 0; i < 20000 && !sink_level(s, offset); i++)
        usleep(1000);
    if (!sink_level(s, offset)) {
        sink_last_error(s, &err);
        fail_msg("not level with %llu: %s", (unsigned long long)offset, err.text);
    }
}

static void run_to(uint64_t next)
{
    fake_set(0, next);
    struct sink_config c = config();
    struct sink *s = start(&c);
    await_level(s, next);
    assert_int_equal(sink_stop(s, 5000), 0);
}

static void await_error(struct sink *s, const char *const texts[])
{
    struct error err = {""};
    for (int i = 0; i < 5000 && !(sink_last_error(s, &err) && strstr(err.text, texts[0])); i++)
        usleep(1000);
    for (; *texts; texts++)
        if (!strstr(err.text, *texts))
            fail_msg("found '%s', expected '%s' in it", err.text, *texts);
}
#define AWAIT_ERROR(s, ...) await_error(s, (const char *const[]){__VA_ARGS__, NULL})

static void assert_stream(const char *key, const char *field, bool bars, uint64_t first, uint64_t end)
{
    redisReply *all = ask("XRANGE %s - +", key);
    size_t at = 0;
    for (uint64_t n = first; n < end; n++) {
        char json[64];
        if (fake_is_bar(n) != bars)
            continue;
        snprintf(json, sizeof json, "{\"n\":%llu}", (unsigned long long)n);
        assert_true(at < all->elements);
        const redisReply *fields = all->element[at++]->element[1];
        assert_int_equal(fields->elements, 2);
        assert_string_equal(fields->element[0]->str, field);
        assert_string_equal(fields->element[1]->str, json);
    }
    assert_int_equal(all->elements, at);
    freeReplyObject(all);
}

/* Both streams hold each event from first to end once, in order, and the cursor says so. */
static void assert_delivered(uint64_t first, uint64_t end)
{
    char expected[64];
    assert_stream("alerts", "alert", false, first, end);
    assert_stream("bars.finalized", "bar", true, first, end);
    snprintf(expected, sizeof expected, FAKE_ID " %llu", (unsigned long long)end);
    redisReply *cursor = ask("GET " CURSOR);
    assert_string_equal(cursor->str, expected);
    freeReplyObject(cursor);
}

static void test_streams_channel_and_cursor(void **state)
{
    (void)state;
    redisContext *listener = redisConnect("127.0.0.1", port);
    freeReplyObject(redisCommand(listener, "SUBSCRIBE alerts"));
    run_to(12);
    assert_delivered(0, 12);
    for (uint64_t n = 0; n < 12; n++) {
        redisReply *message;
        char json[64];
        if (fake_is_bar(n))
            continue;
        snprintf(json, sizeof json, "{\"n\":%llu}", (unsigned long long)n);
        assert_int_equal(redisGetReply(listener, (void **)&message), REDIS_OK);
        assert_string_equal(message->element[2]->str, json);
        freeReplyObject(message);
    }
    redisFree(listener);
    run_to(1000);
    run_to(1001);
    assert_delivered(0, 1001);
}

static void test_maxlen(void **state)
{
    (void)state;
    fake_set(0, 3000);
    struct sink_config c = config();
    c.redis_alerts_maxlen = 300;
    c.redis_bars_maxlen = 100;
    struct sink *s = start(&c);
    await_level(s, 3000);
    assert_int_equal(sink_stop(s, 5000), 0);
    redisReply *alerts = ask("XLEN alerts"), *bars = ask("XLEN bars.finalized");
    assert_true(alerts->integer >= 300 && alerts->integer < 500);
    assert_true(bars->integer >= 100 && bars->integer < 300);
    freeReplyObject(alerts);
    freeReplyObject(bars);
}

static void kill_server(void)
{
    char name[64];
    int pid = 0;
    snprintf(name, sizeof name, "%s/pid", dir);
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(server("kill", ""), 0); /* waits until it is gone */
}

/* The server is killed in the middle of deliveries and started again with what its append-only file has. */
static void test_server_is_killed(void **state)
{
    (void)state;
    enum { PER_KILL = 4000, KILLS = 6, EVENTS = PER_KILL * KILLS };
    struct sink_stats stats;
    int within = 0;
    struct sink_config c = config();
    c.batch = 20;
    struct sink *s = start(&c);
    for (uint64_t i = 0; i < KILLS; i++) {
        fake_set(0, (i + 1) * PER_KILL);
        sink_published(s, (i + 1) * PER_KILL);
        await_level(s, i * PER_KILL + PER_KILL / 4);
        kill_server();
        within += !sink_level(s, (i + 1) * PER_KILL);
        assert_int_equal(server("start", ""), 0);
    }
    await_level(s, EVENTS);
    sink_stats(s, &stats);
    assert_int_equal(sink_stop(s, 5000), 0);
    connect_client();
    assert_delivered(0, EVENTS);
    print_message("killed %d times within deliveries\n", within);
    assert_true(within > 0 && stats.errors >= (uint64_t)within);
    assert_int_equal(stats.lag, 0);
}

/* Runs a command with the server's append-only file in $f and its directory in $d. */
static void on_append_only_file(const char *command)
{
    char line[512];
    snprintf(line, sizeof line,
             "d=%s; f=$(ls -t $d/appendonlydir/*.incr.aof $d/*.aof 2>/dev/null | head -1); %s", dir, command);
    assert_int_equal(system(line), 0);
}

/* The last transaction of the append-only file is torn: what is left of it comes back with the start after
 * the next. */
static void test_torn_append_only_file(void **state)
{
    (void)state;
    char line[64];
    for (int cut = 1; cut < 3000; cut += 700) { /* within EXEC, within the batch, before it */
        DO("FLUSHALL");
        fake_set(0, 100);
        struct sink_config c = config();
        c.batch = 20;
        struct sink *s = start(&c);
        await_level(s, 100);
        kill_server();
        snprintf(line, sizeof line, "truncate -s -%d $f", cut);
        on_append_only_file(line);
        assert_int_equal(server("start", ""), 0);
        fake_set(0, 140);
        sink_published(s, 140);
        await_level(s, 140);
        kill_server();
        assert_int_equal(server("start", ""), 0);
        connect_client();
        fake_set(0, 200);
        sink_published(s, 200);
        await_level(s, 200);
        assert_int_equal(sink_stop(s, 5000), 0);
        assert_delivered(0, 200);
    }
}

/* … and the next one loses all that it has written after its first transaction: what that transaction made
 * come back does not come again. A server may lose what it has confirmed: it puts its writes off while the
 * disk is slow. */
static void test_torn_append_only_file_twice(void **state)
{
    (void)state;
    fake_set(0, 100);
    struct sink_config c = config();
    c.batch = 20;
    struct sink *s = start(&c);
    await_level(s, 100);
    kill_server();
    on_append_only_file("truncate -s -701 $f; stat -c %s $f >$d/torn");
    fake_set(0, 140);
    sink_published(s, 140);
    for (int i = 0; i < 60000 && !strstr(said, "breaker open"); i++)
        usleep(1000);
    assert_non_null(strstr(said, "breaker open"));
    assert_int_equal(server("start", ""), 0);
    await_level(s, 140);
    assert_non_null(strstr(said, "went back from 100 to 80"));
    kill_server();
    on_append_only_file(
        "at=$(cat $d/torn); first=$(tail -c +$((at + 1)) $f | grep -a -b -o -m 1 EXEC | head -1 "
        "| cut -d: -f1); truncate -s $((at + first + 6)) $f");
    assert_int_equal(server("start", ""), 0);
    fake_set(0, 200);
    sink_published(s, 200);
    await_level(s, 200);
    assert_int_equal(sink_stop(s, 5000), 0);
    connect_client();
    assert_delivered(0, 200);
}

/* The process that delivers is killed: its last batch may or may not have arrived. The process is this
 * program, run again as `test_sink_redis deliver URL`. */
enum { KILLED_EVENTS = 12000 };

static int deliver_in_this_process(const char *server_url)
{
    struct error err;
    snprintf(url, sizeof url, "%s", server_url);
    fake_set(0, KILLED_EVENTS);
    struct sink_config c = config();
    c.batch = 20;
    struct sink *s = sink_start(&c, &err);
    for (int i = 0; i < 10000 && s && !sink_level(s, KILLED_EVENTS); i++)
        usleep(1000);
    return s && sink_level(s, KILLED_EVENTS) && sink_stop(s, 5000) == 0 ? 0 : 1;
}

static void test_sink_is_killed(void **state)
{
    (void)state;
    int kills = 0;
    for (unsigned round = 0;; round++) {
        assert_true(round < 200);
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "test_sink_redis", "deliver", url, (char *)NULL);
            _exit(127);
        }
        usleep(5000 + round * 7919 % (20000 + round * round * 50)); /* later and later, for slow machines */
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        kills++;
    }
    assert_delivered(0, KILLED_EVENTS);
    print_message("killed %d times\n", kills);
    assert_true(kills > 0);
}

/* Two that read the same cursor: the batch that comes second changes nothing. */
static void test_late_batch(void **state)
{
    (void)state;
    struct error err;
    struct sink_cursor cursor = {"", 0};
    struct sink_config c = config();
    struct outbox_record record[3];
    void *killed = calloc(1, sink_redis.state_bytes), *successor = calloc(1, sink_redis.state_bytes);
    uint32_t accepted = 0;
    run_to(4);
    for (uint64_t n = 0; n < 3; n++)
        record[n] = (struct outbox_record){
            .offset = 4 + n, .kind = OUTBOX_ALERT, .json = "{\"late\":1}", .json_len = 10};
    assert_int_equal(sink_redis.open(killed, &c, &cursor, &err), 0);
    assert_string_equal(cursor.outbox_id, FAKE_ID);
    assert_int_equal(cursor.offset, 4);
    assert_int_equal(sink_redis.open(successor, &c, &cursor, &err), 0);
    run_to(6);
    assert_int_equal(sink_redis.deliver(killed, record, 3, &accepted, &err), -1);
    assert_int_equal(accepted, 0);
    assert_non_null(strstr(err.text, "was '" FAKE_ID " 4' and is now '" FAKE_ID " 6'"));
    assert_int_equal(sink_redis.deliver(successor, record, 1, &accepted, &err), -1);
    assert_delivered(0, 6);
    sink_redis.close(killed);
    sink_redis.close(successor);
    free(killed);
    free(successor);
}

/* Delivered twice in one batch with a bar between: stream, fields, ZSET. */
static void test_anomalies(void **state)
{
    static const char json[2][80] = {"{\"symbol\":\"S\",\"price\":167.51,\"score\":-5.25,\"seq\":1}",
                                     "{\"symbol\":\"S\",\"price\":null,\"score\":3,\"seq\":2}"};
    (void)state;
    struct error err;
    struct sink_cursor cursor = {"", 0};
    struct sink_config c = config();
    struct outbox_record r[3] = {{.kind = OUTBOX_ANOMALY, .json = json[0]},
                                 {.kind = OUTBOX_BAR, .json = "{}"},
                                 {.kind = OUTBOX_ANOMALY, .json = json[1]}};
    void *s = calloc(1, sink_redis.state_bytes);
    uint32_t accepted = 0;
    for (unsigned i = 0; i < 3; i++) {
        r[i].offset = i;
        r[i].event_ns = INT64_C(1700000000123000000) + i * 1000000;
        r[i].name = "S";
        r[i].name_len = 1;
        r[i].json_len = (uint32_t)strlen(r[i].json);
    }
    assert_int_equal(sink_redis.open(s, &c, &cursor, &err), 0);
    assert_int_equal(sink_redis.deliver(s, r, 3, &accepted, &err), 0);
    assert_int_equal(accepted, 3);
    sink_redis.close(s);
    free(s);
    redisReply *all = ask("XRANGE anomalies:stream - +");
    assert_int_equal(all->elements, 2);
    static const char *const fields[2][10] = {
        {"ticker", "S", "price", "167.51", "z", "-5.25", "ts_ms", "1700000000123", "anomaly", json[0]},
        {"ticker", "S", "price", "null", "z", "3", "ts_ms", "1700000000125", "anomaly", json[1]}};
    for (unsigned i = 0; i < 2; i++) {
        const redisReply *entry = all->element[i]->element[1];
        assert_int_equal(entry->elements, 10);
        for (unsigned k = 0; k < 10; k++)
            assert_string_equal(entry->element[k]->str, fields[i][k]);
    }
    freeReplyObject(all);
    all = ask("ZRANGE anomalies:S 0 -1 WITHSCORES");
    assert_int_equal(all->elements, 4);
    assert_string_equal(all->element[0]->str, json[0]);
    assert_string_equal(all->element[1]->str, "1700000000123");
    freeReplyObject(all);
    all = ask("XLEN bars.finalized");
    assert_int_equal(all->integer, 1);
    freeReplyObject(all);
}

/* Alerts of rules in mode shadow are passed over, wherever in a batch they are; the cursor goes on. */
static void test_shadows(void **state)
{
    static const char *const kinds[] = {"s", "sas", "ssbssa", "as", "sna", "sss"};
    (void)state;
    struct error err;
    struct sink_cursor cursor = {"", 0};
    struct sink_config c = config();
    void *s = calloc(1, sink_redis.state_bytes);
    uint64_t offset = 0, alerts = 0, others = 0;
    assert_int_equal(sink_redis.open(s, &c, &cursor, &err), 0);
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct outbox_record r[8];
        uint32_t n = (uint32_t)strlen(kinds[i]), accepted = 0;
        char want[64];
        for (uint32_t k = 0; k < n; k++) {
            char kind = kinds[i][k];
            r[k] = (struct outbox_record){.offset = offset++,
                                          .kind = kind == 's'   ? OUTBOX_SHADOW
                                                  : kind == 'a' ? OUTBOX_ALERT
                                                  : kind == 'b' ? OUTBOX_BAR
                                                                : OUTBOX_ANOMALY,
                                          .event_ns = INT64_C(1700000000123000000),
                                          .name = "S",
                                          .name_len = 1,
                                          .json = kind == 's' ? "{\"dark\":1}" : "{\"lit\":1}",
                                          .json_len = kind == 's' ? 10 : 9};
            alerts += kind == 'a';
            others += kind == 'b' || kind == 'n';
        }
        assert_int_equal(sink_redis.deliver(s, r, n, &accepted, &err), 0);
        assert_int_equal(accepted, n);
        snprintf(want, sizeof want, "%s %" PRIu64, c.outbox_id, offset);
        redisReply *got = ask("GET ringtape:cursor:%s", c.node);
        assert_string_equal(got->str, want);
        freeReplyObject(got);
    }
    sink_redis.close(s);
    free(s);
    redisReply *all = ask("XRANGE alerts - +");
    assert_int_equal(all->elements, alerts);
    for (size_t i = 0; i < all->elements; i++)
        assert_string_equal(all->element[i]->element[1]->element[1]->str, "{\"lit\":1}");
    freeReplyObject(all);
    redisReply *bars = ask("XLEN bars.finalized"), *anomalies = ask("XLEN anomalies:stream");
    assert_int_equal(bars->integer + anomalies->integer, others);
    freeReplyObject(bars);
    freeReplyObject(anomalies);
}

/* A halt between alerts: a stream of its own. */
static void test_halts(void **state)
{
    static const char json[] = "{\"symbol\":\"S\",\"type\":\"halted\",\"reason\":\"LUDP\",\"seq\":1}";
    (void)state;
    struct error err;
    struct sink_cursor cursor = {"", 0};
    struct sink_config c = config();
    struct outbox_record r[3] = {{.kind = OUTBOX_ALERT, .json = "{}"},
                                 {.kind = OUTBOX_HALT, .json = json},
                                 {.kind = OUTBOX_ALERT, .json = "{}"}};
    void *s = calloc(1, sink_redis.state_bytes);
    uint32_t accepted = 0;
    for (unsigned i = 0; i < 3; i++) {
        r[i].offset = i;
        r[i].event_ns = INT64_C(1700000000123000000) + i * 1000000;
        r[i].name = "S";
        r[i].name_len = 1;
        r[i].json_len = (uint32_t)strlen(r[i].json);
    }
    assert_int_equal(sink_redis.open(s, &c, &cursor, &err), 0);
    assert_int_equal(sink_redis.deliver(s, r, 3, &accepted, &err), 0);
    assert_int_equal(accepted, 3);
    sink_redis.close(s);
    free(s);
    redisReply *all = ask("XRANGE events - +");
    assert_int_equal(all->elements, 1);
    assert_string_equal(all->element[0]->element[0]->str, "1700000000124-0");
    const redisReply *entry = all->element[0]->element[1];
    assert_int_equal(entry->elements, 2);
    assert_string_equal(entry->element[0]->str, "event");
    assert_string_equal(entry->element[1]->str, json);
    freeReplyObject(all);
    all = ask("XLEN alerts");
    assert_int_equal(all->integer, 2);
    freeReplyObject(all);
}

static void test_wrong_types(void **state)
{
    (void)state;
    static const char *const keys[] = {CURSOR, "alerts", "bars.finalized"};
    static const char *const expected[] = {"expected a string", "expected a stream", "expected a stream"};
    for (int i = 0; i < 3; i++) {
        DO("FLUSHALL");
        DO("RPUSH %s x", keys[i]);
        fake_set(0, 100);
        struct sink_config c = config();
        struct sink *s = start(&c);
        AWAIT_ERROR(s, keys[i], "holds a list", expected[i], "rename or delete the key");
        DO("DEL %s", keys[i]);
        await_level(s, 100);
        /* and while it is connected */
        DO("RENAME %s old", keys[i]);
        DO("SET other 1");
        DO("HSET %s a b", keys[i]);
        fake_set(0, 150);
        sink_published(s, 150);
        AWAIT_ERROR(s, keys[i], "holds a hash", expected[i], "rename or delete the key");
        DO("RENAME old %s", keys[i]);
        await_level(s, 150);
        assert_int_equal(sink_stop(s, 5000), 0);
        assert_delivered(0, 150);
    }
}

static void test_cursors_that_are_not_ours(void **state)
{
    (void)state;
    struct sink_stats stats;
    DO("SET " CURSOR " %s", FAKE_OTHER_ID " 77");
    fake_set(0, 40);
    struct sink_config c = config();
    c.delivered = 15;
    struct sink *s = start(&c);
    await_level(s, 40);
    sink_stats(s, &stats);
    assert_int_equal(stats.unknown_outbox, 1);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_delivered(15, 40);
    assert_non_null(strstr(said, "its cursor is of another outbox (" FAKE_OTHER_ID));

    static const char *const junk[] = {"7", "junk", FAKE_ID, FAKE_ID " 7x", FAKE_ID " -1"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        DO("SET " CURSOR " %s", junk[i]);
        s = start(&c);
        AWAIT_ERROR(s, "the key " CURSOR " holds '", "expected '<outbox id> <offset>'");
        assert_int_equal(sink_stop(s, 5000), 0);
    }
    DO("SET " CURSOR " %s", FAKE_ID " 40");
    assert_delivered(15, 40);
}

/* The server loses everything: it gets everything again. */
static void test_flushed_server(void **state)
{
    (void)state;
    struct sink_stats stats;
    fake_set(0, 60);
    struct sink_config c = config();
    struct sink *s = start(&c);
    await_level(s, 60);
    DO("SCRIPT FLUSH");
    fake_set(0, 70);
    sink_published(s, 70);
    await_level(s, 70);
    sink_stats(s, &stats);
    assert_int_equal(stats.errors, 0); /* a script that is gone is loaded again in passing */
    DO("FLUSHALL");
    fake_set(0, 80);
    sink_published(s, 80);
    await_level(s, 80);
    sink_stats(s, &stats);
    assert_int_equal(stats.rewound, 70);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_delivered(0, 80);
}

static void write_password(const char *text)
{
    FILE *f = fopen(password_path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_passwords(void **state)
{
    (void)state;
    fake_set(0, 20);
    struct sink_config c = config();
    DO("CONFIG SET requirepass secret:1");
    struct sink *s = start(&c);
    AWAIT_ERROR(s, "NOAUTH", "name it in redis.password_file");
    assert_int_equal(sink_stop(s, 5000), 0);
    c.redis_password_file = "/nowhere/password";
    s = start(&c);
    AWAIT_ERROR(s, "redis.password_file: cannot read /nowhere/password");
    assert_int_equal(sink_stop(s, 5000), 0);
    c.redis_password_file = password_path;
    write_password("\n");
    s = start(&c);
    AWAIT_ERROR(s, "the first line", "is empty");
    write_password("not-the-password\n");
    AWAIT_ERROR(s, "AUTH: WRONGPASS", "correct the file");
    write_password(":secret:1\n");
    await_level(s, 20);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_null(strstr(said, "secret"));
    assert_null(strstr(said, "not-the-password"));
    DO("ACL SETUSER tape on >pass ~* &* +@all");
    write_password("tape:pass");
    fake_set(0, 30);
    c.next_offset = 30;
    s = start(&c);
    await_level(s, 30);
    assert_int_equal(sink_stop(s, 5000), 0);
    DO("CONFIG SET requirepass %s", "");
    assert_delivered(0, 30);
}

/* What a user may not do is refused before anything is written, but for the channel, which is best effort. */
static void test_rights(void **state)
{
    (void)state;
    fake_set(0, 20);
    struct sink_config c = config();
    c.redis_password_file = password_path;
    write_password("tape:pass");
    DO("ACL SETUSER tape reset on >pass ~* &* +@all -set");
    struct sink *s = start(&c);
    AWAIT_ERROR(s, "give the user ~ringtape:cursor:*");
    redisReply *keys = ask("DBSIZE");
    assert_int_equal(keys->integer, 0);
    freeReplyObject(keys);
    DO("ACL SETUSER tape reset on >pass ~* resetchannels +@all");
    await_level(s, 20);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_delivered(0, 20);
    assert_non_null(strstr(said, "the channel `alerts` is refused"));
}

static void test_server_that_takes_no_writes(void **state)
{
    (void)state;
    fake_set(0, 50);
    struct sink_config c = config();
    struct sink *s = start(&c);
    await_level(s, 50);
    DO("CONFIG SET maxmemory 1");
    fake_set(0, 100);
    sink_published(s, 100);
    AWAIT_ERROR(s, "OOM", "raise the server's maxmemory");
    DO("CONFIG SET maxmemory 0");
    await_level(s, 100);
    DO("REPLICAOF 127.0.0.1 1");
    fake_set(0, 150);
    sink_published(s, 150);
    AWAIT_ERROR(s, "READONLY", "this is a replica");
    DO("REPLICAOF NO ONE");
    await_level(s, 150);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_delivered(0, 150);
}

static void test_configuration(void **state)
{
    (void)state;
    struct error err;
    struct sink_config c = config();
    c.redis_url = "http://x";
    assert_null(sink_start(&c, &err));
    assert_non_null(strstr(err.text, "sink redis: "));
    c = config();
    c.node = "";
    assert_null(sink_start(&c, &err));
    c = config();
    c.redis_url = "redis://127.0.0.1:1";
    struct sink *s = start(&c);
    AWAIT_ERROR(s, "redis://127.0.0.1:1: cannot connect: Connection refused");
    assert_int_equal(sink_stop(s, 5000), 0);
    char far_db[80];
    snprintf(far_db, sizeof far_db, "%s/99", url);
    c.redis_url = far_db;
    s = start(&c);
    AWAIT_ERROR(s, "SELECT", "`databases`");
    assert_int_equal(sink_stop(s, 5000), 0);
    snprintf(far_db, sizeof far_db, "%s/3", url);
    fake_set(0, 10);
    c.next_offset = 10;
    s = start(&c);
    await_level(s, 10);
    assert_int_equal(sink_stop(s, 5000), 0);
    DO("SELECT 3");
    assert_delivered(0, 10);
    DO("SELECT 0");
}

static int64_t price_e9[2];
static struct symtab_live live; /* of SPY */
static int read_price(void *ctx, uint32_t id, struct sink_price *out)
{
    (void)ctx;
    if (id > 2)
        return -1;
    if (id == 1)
        return 0;
    *out = (struct sink_price){.symbol = id ? "BTC" : "SPY",
                               .symbol_len = 3,
                               .size_scale = id ? 8 : 0,
                               .price_e9 = __atomic_load_n(&price_e9[id / 2], __ATOMIC_RELAXED),
                               .size = 150000000,
                               .event_ns = 1381239927122000000};
    if (id == 0)
        out->live = live;
    return 1;
}

static void assert_price(const char *key, const char *expected)
{
    redisReply *reply = ask("GET %s", key);
    if (reply->type != REDIS_REPLY_STRING || strcmp(reply->str, expected))
        fail_msg("%s: found %s, expected %s", key, reply->str ? reply->str : "nothing", expected);
    freeReplyObject(reply);
}

static void test_prices(void **state)
{
    (void)state;
    redisContext *listener = redisConnect("127.0.0.1", port);
    redisReply *message;
    freeReplyObject(redisCommand(listener, "SUBSCRIBE trades"));
    struct sink_config c = config();
    c.prices.read = read_price;
    c.redis_prices = true;
    live.trades = 0;
    price_e9[0] = 167510000000;
    price_e9[1] = 61685990000000;
    struct sink *s = start(&c);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(redisGetReply(listener, (void **)&message), REDIS_OK);
        assert_string_equal(message->element[2]->str,
                            i ? "{\"symbol\":\"BTC\",\"price\":61685.99,\"size\":1.5,"
                                "\"timestamp\":\"2013-10-08T13:45:27.122000000Z\"}"
                              : "{\"symbol\":\"SPY\",\"price\":167.51,\"size\":150000000,"
                                "\"timestamp\":\"2013-10-08T13:45:27.122000000Z\"}");
        freeReplyObject(message);
    }
    redisFree(listener);
    assert_price("price:SPY", "167.51");
    assert_price("price:BTC", "61685.99");
    DO("DEL price:SPY");
    __atomic_store_n(&price_e9[1], 61686000000000, __ATOMIC_RELAXED);
    assert_int_equal(sink_stop(s, 5000), 0);
    assert_price("price:BTC", "61686"); /* the last one is there at the end */
    redisReply *gone = ask("EXISTS price:SPY");
    assert_int_equal(gone->integer, 0); /* what has not changed is not sent again */
    freeReplyObject(gone);
    gone = ask("EXISTS livebar:SPY quotes:latest:SPY");
    assert_int_equal(gone->integer, 0); /* not asked for */
    freeReplyObject(gone);
}

#define LIVE_JSON                                                                                            \
    "{\"symbol\":\"SPY\",\"timestamp\":\"2013-10-08T13:45:00.000000000Z\",\"open\":167.5,\"high\":168,"      \
    "\"low\":167,\"close\":167.51,\"volume\":300,\"vwap_num\":50253,\"vwap_denom\":300}"

static void test_live_bars_and_quotes(void **state)
{
    (void)state;
    redisContext *listener = redisConnect("127.0.0.1", port);
    redisReply *message;
    freeReplyObject(redisCommand(listener, "SUBSCRIBE quotes:pubsub"));
    struct sink_config c = config();
    c.prices.read = read_price;
    c.redis_live_bars = c.redis_quotes = true;
    price_e9[0] = 167510000000;
    price_e9[1] = 61685990000000;
    live = (struct symtab_live){.start_ns = 1381239900000000000,
                                .open_e9 = 167500000000,
                                .high_e9 = 168000000000,
                                .low_e9 = 167000000000,
                                .close_e9 = 167510000000,
                                .volume = 300,
                                .pv_lo = 50253000000000,
                                .trades = 2};
    struct sink *s = start(&c);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(redisGetReply(listener, (void **)&message), REDIS_OK);
        assert_string_equal(message->element[2]->str,
                            i ? "{\"symbol\":\"BTC\",\"price\":61685.99,\"ts_ms\":1381239927122}"
                              : "{\"symbol\":\"SPY\",\"price\":167.51,\"ts_ms\":1381239927122}");
        freeReplyObject(message);
    }
    redisFree(listener);
    for (int i = 0;; i++) { /* it goes out behind the quote */
        redisReply *there = ask("EXISTS livebar:SPY");
        bool is_there = there->integer == 1;
        freeReplyObject(there);
        if (is_there)
            break;
        assert_true(i < 10000);
        usleep(1000);
    }
    assert_price("livebar:SPY", LIVE_JSON);
    redisReply *got = ask("TTL livebar:SPY");
    assert_in_range(got->integer, 200, 300);
    freeReplyObject(got);
    got = ask("HGETALL quotes:latest:BTC");
    assert_int_equal(got->elements, 4);
    assert_string_equal(got->element[0]->str, "price");
    assert_string_equal(got->element[1]->str, "61685.99");
    assert_string_equal(got->element[2]->str, "ts_ms");
    assert_string_equal(got->element[3]->str, "1381239927122");
    freeReplyObject(got);
    got = ask("EXISTS livebar:BTC price:SPY"); /* it has none; not asked for */
    assert_int_equal(got->integer, 0);
    freeReplyObject(got);
    DO("DEL livebar:SPY quotes:latest:BTC");
    assert_int_equal(sink_stop(s, 5000), 0); /* publishes a last time what has changed: nothing */
    got = ask("EXISTS livebar:SPY quotes:latest:BTC");
    assert_int_equal(got->integer, 0);
    freeReplyObject(got);
    live.trades = 0;
}

/* A key of another type in the place of one symbol's quote: all else goes out. */
static void test_a_refused_quote_holds_nothing_up(void **state)
{
    (void)state;
    struct error err;
    struct sink_config c = config();
    DO("SET quotes:latest:SPY x");
    c.prices.read = read_price;
    c.redis_prices = c.redis_quotes = true;
    price_e9[0] = 167510000000;
    price_e9[1] = 61685990000000;
    fake_set(0, 100);
    c.next_offset = 100;
    struct sink *s = start(&c);
    await_level(s, 100);
    for (int i = 0; i < 10000; i++) {
        sink_last_error(s, &err);
        if (*err.text)
            break;
        usleep(1000);
    }
    assert_non_null(strstr(err.text, "latest prices: WRONGTYPE"));
    assert_false(sink_last_error(s, &err)); /* the sink itself works */
    assert_price("price:SPY", "167.51");
    assert_price("price:BTC", "61685.99");
    redisReply *got = ask("HGET quotes:latest:BTC price");
    assert_string_equal(got->str, "61685.99");
    freeReplyObject(got);
    assert_int_equal(sink_stop(s, 5000), 0);
}

/* The answer of a command of the shell, without its last line's end. */
__attribute__((format(printf, 2, 3))) static void shell(char answer[256], const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    *answer = 0;
    if (fgets(answer, 256, f))
        answer[strcspn(answer, "\n")] = 0;
    pclose(f);
}

/* redis-cli at the TLS server in `at`. */
#define TLS_CLI(at)                                                                                          \
    "redis-cli --tls --cacert %1$s/ca.crt --cert %1$s/client.crt --key %1$s/client.key -p $(cat %1$s/port) "

static void test_tls(void **state)
{
    (void)state;
    char at[] = "/tmp/sink-tls-XXXXXX", answer[256], ca[64], cert[64], key[64], tls_url[64];
    assert_non_null(mkdtemp(at));
    shell(answer, "REDIS_TLS=1 scripts/redis.sh start %s", at);
    int tls_port = atoi(answer);
    assert_true(tls_port > 0);
    snprintf(ca, sizeof ca, "%s/ca.crt", at);
    snprintf(cert, sizeof cert, "%s/client.crt", at);
    snprintf(key, sizeof key, "%s/client.key", at);
    fake_set(0, 1000);
    struct sink_config c = config();
    c.redis_url = tls_url;

    static const struct {
        const char *url;
        bool ca, cert;
        const char *error;
    } bad[] = {
        {"rediss://127.0.0.1:%d", false, true, "the server's certificate: "},
        {"rediss://127.1:%d", true, true, "the server's certificate: hostname mismatch"},
        {"rediss://127.0.0.1:%d", true, false, "the server asked for a certificate: set redis.cert_file"},
        {"redis://127.0.0.1:%d", false, false, "redis://127.0.0.1:"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(tls_url, sizeof tls_url, bad[i].url, tls_port);
        c.redis_ca_file = bad[i].ca ? ca : NULL;
        c.redis_cert_file = bad[i].cert && bad[i].ca ? cert : "";
        c.redis_key_file = bad[i].cert && bad[i].ca ? key : "";
        struct sink *s = start(&c);
        AWAIT_ERROR(s, bad[i].error);
        assert_int_equal(sink_stop(s, 5000), 0);
    }
    snprintf(tls_url, sizeof tls_url, "rediss://127.0.0.1:%d", port); /* which does not speak it */
    c.redis_ca_file = ca;
    struct sink *s = start(&c);
    AWAIT_ERROR(s, "cannot connect: TLS: ");
    assert_int_equal(sink_stop(s, 5000), 0);

    snprintf(tls_url, sizeof tls_url, "rediss://localhost:%d/2", tls_port);
    c.redis_cert_file = cert;
    c.redis_key_file = key;
    c.prices.read = read_price;
    c.redis_prices = true;
    price_e9[0] = 167510000000;
    s = start(&c);
    await_level(s, 1000);
    shell(answer, "scripts/redis.sh kill %s", at);
    shell(answer, "REDIS_TLS=1 scripts/redis.sh start %s", at);
    fake_set(0, 2000);
    sink_published(s, 2000);
    await_level(s, 2000);
    assert_int_equal(sink_stop(s, 5000), 0);
    shell(answer, TLS_CLI(at) "-n 2 XLEN alerts", at);
    assert_string_equal(answer, "1600");
    shell(answer, TLS_CLI(at) "-n 2 XLEN bars.finalized", at);
    assert_string_equal(answer, "400");
    shell(answer, TLS_CLI(at) "-n 2 GET " CURSOR, at);
    assert_string_equal(answer, FAKE_ID " 2000");
    shell(answer, TLS_CLI(at) "-n 2 GET price:SPY", at);
    assert_string_equal(answer, "167.51");
    shell(answer, "scripts/redis.sh stop %1$s && rm -rf %1$s", at);
}

static void test_tls_files(void **state)
{
    (void)state;
    struct error err;
    struct sink_config c = config();
    c.redis_ca_file = "/nowhere/ca.crt";
    assert_null(sink_start(&c, &err));
    assert_non_null(strstr(err.text, "expected rediss://"));
    char tls_url[64];
    snprintf(tls_url, sizeof tls_url, "rediss://127.0.0.1:%d", port);
    c.redis_url = tls_url;
    struct sink *s = start(&c);
    AWAIT_ERROR(s, "redis.ca_file: cannot use /nowhere/ca.crt: No such file or directory");
    assert_int_equal(sink_stop(s, 5000), 0);
    c.redis_cert_file = "/nowhere/x.crt";
    assert_null(sink_start(&c, &err));
    assert_non_null(strstr(err.text, "redis.cert_file is set and redis.key_file is not"));
    c.redis_ca_file = NULL;
    c.redis_key_file = "/nowhere/x.key";
    s = start(&c);
    AWAIT_ERROR(s, "redis.cert_file: cannot use /nowhere/x.crt");
    assert_int_equal(sink_stop(s, 5000), 0);
}

/* Who delivers under a node's name keeps others from it: another outbox, a copy of its own. */
static void test_node_name_in_use(void **state)
{
    (void)state;
    struct error err = {""};
    struct sink_cursor cursor;
    uint32_t accepted = 0;
    struct sink_config first = config(), second = config(), copy = config();
    void *a = calloc(1, sink_redis.state_bytes), *b = calloc(1, sink_redis.state_bytes);
    struct outbox_record record = {.kind = OUTBOX_ALERT, .json = "{}", .json_len = 2};
    second.outbox_id = FAKE_OTHER_ID;
    copy.outbox_dir = "/tmp";
    assert_int_equal(sink_redis.open(a, &first, &cursor, &err), 0);
    assert_int_equal(sink_redis.open(b, &second, &cursor, &err), 0); /* nobody delivers yet */
    assert_int_equal(sink_redis.deliver(a, &record, 1, &accepted, &err), 0);
    assert_int_equal(sink_redis.deliver(b, &record, 1, &accepted, &err), -1);
    assert_non_null(strstr(err.text, "the node's name n1 is in use"));
    assert_int_equal(sink_redis.probe(b, &err), -1);
    sink_redis.close(b);
    for (int i = 0; i < 2; i++) {
        memset(b, 0, sink_redis.state_bytes);
        assert_int_equal(sink_redis.open(b, i ? &copy : &second, &cursor, &err), -1);
        assert_non_null(strstr(err.text, "(" CURSOR ":lease holds " FAKE_ID " "));
    }
    redisReply *left = ask("PTTL " CURSOR ":lease");
    assert_true(left->integer > 5000 && left->integer <= 10000);
    freeReplyObject(left);
    DO("PEXPIRE " CURSOR ":lease 1000");
    assert_int_equal(sink_redis.probe(a, &err), 0); /* keeps it */
    left = ask("PTTL " CURSOR ":lease");
    assert_true(left->integer > 5000);
    freeReplyObject(left);

    sink_redis.close(a); /* gives it back */
    memset(b, 0, sink_redis.state_bytes);
    assert_int_equal(sink_redis.open(b, &second, &cursor, &err), 0);
    assert_int_equal(sink_redis.deliver(b, &record, 1, &accepted, &err), 0);
    sink_redis.close(b);
    free(a);
    free(b);
    redisReply *entries = ask("XLEN alerts");
    assert_int_equal(entries->integer, 2);
    freeReplyObject(entries);
}

/* A server that takes one event of a batch and answers `stopped` for the second: no real one refuses what is
 * as small as an event. */
static const char *stopped;

static void *answer_scripts(void *arg)
{
    int fd = accept(*(int *)arg, NULL, NULL);
    redisReader *reader = redisReaderCreate();
    char in[4096], out[512];
    ssize_t n;
    while ((n = read(fd, in, sizeof in)) > 0) {
        void *reply;
        redisReaderFeed(reader, in, (size_t)n);
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
            const redisReply *command = reply;
            int len = strcmp(command->element[0]->str, "EVALSHA") ? snprintf(out, sizeof out, "+OK\r\n")
                      : command->elements == 14
                          ? snprintf(out, sizeof out, "*4\r\n:-1\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n")
                          : snprintf(out, sizeof out,
                                     "*4\r\n:1\r\n$34\r\n" FAKE_ID " 1\r\n$%zu\r\n%s\r\n$0\r\n\r\n",
                                     strlen(stopped), stopped);
            freeReplyObject(reply);
            if (write(fd, out, (size_t)len) != len)
                break;
        }
    }
    redisReaderFree(reader);
    close(fd);
    return NULL;
}

static int deliver_to_it(struct error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;
    char fake_url[64];
    struct sink_config c = config();
    struct sink_cursor cursor;
    struct outbox_record record[3] = {0};
    uint32_t accepted = 0;
    for (int i = 0; i < 3; i++)
        record[i] =
            (struct outbox_record){.offset = (uint64_t)i, .kind = OUTBOX_ALERT, .json = "{}", .json_len = 2};
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_scripts, &listener), 0);
    snprintf(fake_url, sizeof fake_url, "redis://127.0.0.1:%d", ntohs(address.sin_port));
    c.redis_url = fake_url;
    void *r = calloc(1, sink_redis.state_bytes);
    assert_int_equal(sink_redis.open(r, &c, &cursor, err), 0);
    int result = sink_redis.deliver(r, record, 3, &accepted, err);
    assert_int_equal(accepted, 1);
    sink_redis.close(r);
    free(r);
    pthread_join(thread, NULL);
    close(listener);
    return result;
}

static void test_refused_for_good(void **state)
{
    (void)state;
    struct error err;
    stopped = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_int_equal(deliver_to_it(&err), SINK_REFUSED);
    assert_non_null(strstr(err.text, "XADD: ERR string exceeds maximum"));
    static const char *const passing[] = {"OOM command not allowed when used memory > 'maxmemory'.",
                                          "NOPERM this user has no permissions",
                                          "WRONGTYPE Operation against a key", "MISCONF Redis is configured"};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        stopped = passing[i];
        assert_int_equal(deliver_to_it(&err), -1);
        assert_non_null(strstr(err.text, passing[i]));
    }
}

/* A bound that only a mistake breaks; the figure is printed for whoever looks. */
static void test_speed(void **state)
{
    (void)state;
    enum { EVENTS = 100000 };
    struct timespec from, to;
    fake_set(0, EVENTS);
    struct sink_config c = config();
    c.batch = 500;
    clock_gettime(CLOCK_MONOTONIC, &from);
    struct sink *s = start(&c);
    while (!sink_level(s, EVENTS))
        usleep(1000);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(sink_stop(s, 5000), 0);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    print_message("%.0f events/s in batches of 500\n", EVENTS / seconds);
    assert_true(EVENTS / seconds > 5000);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "deliver"))
        return deliver_in_this_process(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_streams_channel_and_cursor, setup),
        cmocka_unit_test_setup(test_maxlen, setup),
        cmocka_unit_test_setup(test_server_is_killed, setup),
        cmocka_unit_test_setup(test_torn_append_only_file, setup),
        cmocka_unit_test_setup(test_torn_append_only_file_twice, setup),
        cmocka_unit_test_setup(test_sink_is_killed, setup),
        cmocka_unit_test_setup(test_late_batch, setup),
        cmocka_unit_test_setup(test_anomalies, setup),
        cmocka_unit_test_setup(test_halts, setup),
        cmocka_unit_test_setup(test_shadows, setup),
        cmocka_unit_test_setup(test_wrong_types, setup),
        cmocka_unit_test_setup(test_cursors_that_are_not_ours, setup),
        cmocka_unit_test_setup(test_flushed_server, setup),
        cmocka_unit_test_setup(test_passwords, setup),
        cmocka_unit_test_setup(test_rights, setup),
        cmocka_unit_test_setup(test_server_that_takes_no_writes, setup),
        cmocka_unit_test_setup(test_configuration, setup),
        cmocka_unit_test_setup(test_prices, setup),
        cmocka_unit_test_setup(test_live_bars_and_quotes, setup),
        cmocka_unit_test_setup(test_a_refused_quote_holds_nothing_up, setup),
        cmocka_unit_test_setup(test_tls, setup),
        cmocka_unit_test_setup(test_tls_files, setup),
        cmocka_unit_test_setup(test_node_name_in_use, setup),
        cmocka_unit_test_setup(test_refused_for_good, setup),
        cmocka_unit_test_setup(test_speed, setup),
    };
    return cmocka_run_group_tests_name("sink_redis", tests, start_server, stop_server);
}
