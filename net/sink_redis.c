/* Redis: stream `alerts` {alert: json} and channel `alerts` (best effort), stream `bars.finalized` {bar:
 * json}, `anomalies:stream` {ticker, price, z, ts_ms, anomaly: json}, `events` {event: json}, bounded by an
 * approximate MAXLEN. The anomalies of a symbol are also in the ZSET `anomalies:SYM`, JSON by millisecond,
 * the latest ones. Latest prices are no events: they are set as they are now, never queued: `price:SYM` and
 * the trade channel, the hash `quotes:latest:SYM` {price, ts_ms} and the channel `quotes:pubsub`, and
 * `livebar:SYM`, which lives for LIVE_BAR_S after its last trade.
 *
 * The cursor is the string `ringtape:cursor:NODE`, "<outbox id> <offset>". One script does a batch: it
 * compares the cursor, writes, moves the cursor. The cursor is written before the first event too, with the
 * value that it has: what would refuse the last write (rights, memory, a replica) refuses it there, before
 * anything is done.
 *
 * `ringtape:cursor:NODE:lease` holds, for LEASE_MS after each script, who delivers: the outbox and where it
 * lies. It keeps a second directory under the same node's name from taking the cursor over while the first
 * delivers, which would be each event twice and no end of it. It plays no part in exactly once: that is the
 * cursor's compare and set.
 *
 * An entry's ID follows from the event and the entry before: the event's millisecond, or the last ID plus
 * one. A server that is killed while it writes its append-only file may leave a MULTI without EXEC there
 * (Redis and Valkey, with aof-load-truncated, cut only the command that is torn: valkey-io/valkey#4342). It
 * has not happened for the server that starts from that file, but it will for the one after it, together with
 * the next transaction, which is our second try. With the same IDs the second try's entries are then refused
 * as there already; with IDs of the server's clock each would be there twice. The second try has no fewer
 * events than the first (whole_batches): its cursor would else stand before entries that then are there, and
 * if the server is killed before it has written any more, all of those would come again. */
#include "net/sink.h"

#include "core/decimal.h"
#include "net/event_json.h"
#include "net/redis_link.h"
#include "net/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CURSOR_BYTES = SINK_OUTBOX_ID_MAX + 24,
    KEYS = REDIS_STREAM_COUNT + 2,
    ARGS_BEFORE_EVENTS = 3 + KEYS + 5 + REDIS_STREAM_COUNT,
    ARGS_OF_EVENT = 6, /* at most */
    NUMBER_BYTES = 24,
    HOLDER_BYTES = 160,
};
#define LEASE_MS         "10000"
#define LIVE_BAR_S       "300"
#define ANOMALIES_BEHIND "1001" /* the ZSET of a symbol keeps 1000 */

/* KEYS: cursor, streams, lease. ARGV: the cursor expected ("?" to ask), outbox id, offset of the first event,
 * who we are, for how long (ms, 0 to give the lease back), MAXLEN of each stream; then for each event the
 * place of its stream among the keys (0: none, it is passed over), its millisecond, its JSON; of an anomaly
 * also symbol, price, score.
 * Returns {events written, or -1 if the cursor is another, -2 if the lease is; the cursor; why it stopped, or
 * who has the lease; why channels do not hear}.
 */
#define LUA_TYPE(...)                     ", 'stream'"
#define LUA_FIELD(kind, name, field, ...) ", '" field "'"
#define LUA_TYPES                         REDIS_STREAMS(LUA_TYPE)
#define LUA_FIELDS                        REDIS_STREAMS(LUA_FIELD)
static const char script[] =
    "local kinds, last = {'string'" LUA_TYPES ", 'string'}, {}\n"
    "for i = 1, #KEYS do\n"
    "  local found = redis.call('TYPE', KEYS[i]).ok\n"
    "  if found ~= 'none' and found ~= kinds[i] then\n"
    "    return redis.error_reply('WRONGTYPE the key ' .. KEYS[i] .. ' holds a ' .. found .. ', expected a ' "
    ".. kinds[i])\n"
    "  end\n"
    "  last[i] = {0, 0}\n"
    "  if found == 'stream' then\n"
    "    local info = redis.call('XINFO', 'STREAM', KEYS[i])\n"
    "    for k = 1, #info, 2 do\n"
    "      if info[k] == 'last-generated-id' then\n"
    "        local ms, n = string.match(info[k + 1], '(%d+)-(%d+)')\n"
    "        last[i] = {tonumber(ms), tonumber(n)}\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local cursor = redis.call('GET', KEYS[1]) or ''\n"
    "local holder = redis.call('GET', KEYS[#KEYS])\n"
    "if ARGV[5] == '0' then\n"
    "  if holder == ARGV[4] then redis.call('DEL', KEYS[#KEYS]) end\n"
    "  return {0, cursor, '', ''}\n"
    "end\n"
    "if holder and holder ~= ARGV[4] then return {-2, cursor, holder, ''} end\n"
    "if cursor ~= ARGV[1] then return {-1, cursor, '', ''} end\n"
    "local leased = redis.pcall('SET', KEYS[#KEYS], ARGV[4], 'PX', ARGV[5])\n"
    "if leased.err then return leased end\n"
    "if #ARGV == #KEYS + 3 then return {0, cursor, '', ''} end\n"
    "local function set(n)\n"
    "  cursor = string.format('%s %.0f', ARGV[2], tonumber(ARGV[3]) + n)\n"
    "  return redis.pcall('SET', KEYS[1], cursor)\n"
    "end\n"
    "local function refusal(reply) return type(reply) == 'table' and reply.err end\n"
    "local probe = set(0)\n"
    "if probe.err then return probe end\n"
    "local fields, n, stopped, unheard = {''" LUA_FIELDS "}, 0, '', ''\n"
    "local i = #KEYS + 4\n"
    "while i <= #ARGV do\n"
    "  local k, ms, json = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 2]\n"
    "  if k == 0 then\n"
    "    i = i + 3\n"
    "  else\n"
    "    local id = last[k]\n"
    "    if ms > id[1] then id = {ms, 0} else id = {id[1], id[2] + 1} end\n"
    "    local entry = {fields[k], json}\n"
    "    if fields[k] == 'anomaly' then\n"
    "      local key = 'anomalies:' .. ARGV[i + 3]\n"
    "      stopped = refusal(redis.pcall('ZADD', key, ARGV[i + 1], json)) or\n"
    "                refusal(redis.pcall('ZREMRANGEBYRANK', key, 0, -" ANOMALIES_BEHIND "))\n"
    "      if stopped then break end\n"
    "      entry = {'ticker', ARGV[i + 3], 'price', ARGV[i + 4], 'z', ARGV[i + 5], 'ts_ms', ARGV[i + 1],\n"
    "               fields[k], json}\n"
    "    end\n"
    "    stopped = refusal(redis.pcall('XADD', KEYS[k], 'MAXLEN', '~', ARGV[k + 4],\n"
    "                                  string.format('%.0f-%.0f', id[1], id[2]), unpack(entry)))\n"
    "    if stopped then break end\n"
    "    last[k] = id\n"
    "    i = i + (fields[k] == 'anomaly' and 6 or 3)\n"
    "    if fields[k] == 'alert' then\n"
    "      unheard = refusal(redis.pcall('PUBLISH', 'alerts', json)) or unheard\n"
    "    end\n"
    "  end\n"
    "  n = n + 1\n"
    "end\n"
    "local moved = set(n)\n"
    "if moved.err then return moved end\n"
    "return {n, cursor, stopped or '', unheard}\n";

struct redis {
    const struct sink_config *config;
    struct redis_link *link;
    char key[256];             /* of the cursor */
    char lease[264];           /* the key of the lease */
    char holder[HOLDER_BYTES]; /* what we put there */
    char sha[41];              /* of the script */
    char cursor[CURSOR_BYTES]; /* as it was read, or left, "" = none */
    bool holding;              /* the lease may be ours */
    bool unheard;              /* channels refused: said once */
    const char **arg;
    size_t *arg_len;
    char maxlen[REDIS_STREAM_COUNT][NUMBER_BYTES];
    char (*ms)[NUMBER_BYTES]; /* of each event of the batch */
};

__attribute__((format(printf, 2, 3))) static void say(const struct redis *r, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (r->config->log)
        r->config->log(r->config->log_ctx, line);
}

#define RIGHTS                                                                                               \
    "~ringtape:cursor:* ~alerts ~bars.finalized ~anomalies:* ~events ~price:* ~livebar:* ~quotes:latest:* "  \
    "~toplist:* &* +@all -@dangerous"

/* What to do about an error of the server, by the word that it starts with (or has in it, where a script
 * ran). */
static const char *advice(const char *text)
{
    static const struct {
        const char *word, *fix;
    } known[] = {
        {"NOAUTH", "put the password into a file and name it in redis.password_file"},
        {"WRONGPASS", "correct the file that redis.password_file names"},
        {"invalid password", "correct the file that redis.password_file names"},
        {"AUTH", "remove redis.password_file, or set a password at the server"},
        {"NOPERM", "give the user " RIGHTS},
        {"user executing the script", "give the user " RIGHTS},
        {"ACL failure", "give the user " RIGHTS},
        {"LOADING", "the server is starting; no need to do anything"},
        {"READONLY", "this is a replica: set sinks.redis to the primary"},
        {"OOM", "raise the server's maxmemory, or lower redis.alerts_maxlen, redis.bars_maxlen, "
                "redis.anomalies_maxlen and redis.events_maxlen"},
        {"MISCONF", "the server cannot save to its disk: see its log"},
        {"NOREPLICAS", "the server wants more replicas than are connected (min-replicas-to-write)"},
        {"BUSY", "another client's script runs for too long: SCRIPT KILL"},
        {"WRONGTYPE", "rename or delete the key (RENAME key key.old), or use another database"},
        {"MOVED", "this is a cluster, which is not supported: use a single server"},
        {"CROSSSLOT", "this is a cluster, which is not supported: use a single server"},
        {"DB index", "the database number in sinks.redis is beyond the server's `databases`"},
        {"max number of clients", "raise the server's maxclients"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(text, known[i].word))
            return known[i].fix;
    return NULL;
}

static int refused(const struct redis *r, const char *what, const char *text, struct error *err)
{
    const char *fix = advice(text);
    return error_set(err, "%s: %s: %s%s%s", r->config->redis_url, what, text, fix ? "; " : "",
                     fix ? fix : "");
}

static int broken(const struct redis *r, const char *what, struct error *err)
{
    return error_set(err, "%s: %s: %s", r->config->redis_url, what, redis_link_broken(r->link));
}

/* Sends a command and takes its reply (to be freed). NULL with err for a broken connection and for an error
 * reply. */
static redisReply *command(struct redis *r, const char *what, int n, const char **arg, const size_t *len,
                           struct error *err)
{
    redisReply *reply = redis_link_command(r->link, n, arg, len);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    if (reply)
        refused(r, what, reply->str, err);
    else
        broken(r, what, err);
    freeReplyObject(reply);
    return NULL;
}

static int simple(struct redis *r, const char *what, int n, const char **arg, struct error *err)
{
    redisReply *reply = command(r, what, n, arg, NULL, err);
    if (!reply)
        return -1;
    freeReplyObject(reply);
    return 0;
}

static int authenticate(struct redis *r, struct error *err)
{
    char line[SECRET_BYTES];
    const char *arg[3];
    int n = redis_link_auth(r->config->redis_password_file, line, arg, err);
    int result = n > 0 ? simple(r, "AUTH", n, arg, err) : n;
    explicit_bzero(line, sizeof line);
    return result;
}

static int redis_check(const struct sink_config *config, struct error *err)
{
    struct setting_redis url;
    if (setting_redis_parse(config->redis_url, &url, err))
        return -1;
    bool cert = config->redis_cert_file && *config->redis_cert_file;
    bool key = config->redis_key_file && *config->redis_key_file;
    if (cert != key)
        return error_set(err, "redis.%s is set and redis.%s is not: a certificate and its key go together",
                         cert ? "cert_file" : "key_file", cert ? "key_file" : "cert_file");
    if ((cert || (config->redis_ca_file && *config->redis_ca_file)) && !url.tls)
        return error_set(err, "redis.ca_file and redis.cert_file are for TLS; expected rediss:// in %s",
                         config->redis_url);
    if (!config->node || !*config->node || strlen(config->node) > 200)
        return error_set(err, "a node without name, or with one of more than 200 bytes, can have no cursor");
    return 0;
}

/* Runs the script, loading it where the server does not know it. */
static redisReply *run_script(struct redis *r, int n, struct error *err)
{
    for (int attempt = 0;; attempt++) {
        redisReply *reply = redis_link_command(r->link, n, r->arg, r->arg_len);
        bool unknown = reply && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "NOSCRIPT", 8);
        if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 4 &&
            reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[1]->type == REDIS_REPLY_STRING &&
            reply->element[2]->type == REDIS_REPLY_STRING && reply->element[3]->type == REDIS_REPLY_STRING)
            return reply;
        if (!unknown || attempt) {
            if (!reply)
                broken(r, "delivery", err);
            else
                refused(r, "delivery",
                        reply->type == REDIS_REPLY_ERROR ? reply->str : "a reply of another shape", err);
            freeReplyObject(reply);
            return NULL;
        }
        freeReplyObject(reply);
        const char *load[] = {"SCRIPT", "LOAD", script};
        reply = command(r, "SCRIPT LOAD", 3, load, NULL, err);
        if (!reply)
            return NULL;
        if (reply->type == REDIS_REPLY_STRING && reply->len == 40)
            memcpy(r->sha, reply->str, 40);
        freeReplyObject(reply);
    }
}

static void put_arg(struct redis *r, int at, const char *text, size_t len)
{
    r->arg[at] = text;
    r->arg_len[at] = len;
}

/* The arguments up to the events; the texts must live until the command is sent. */
static void put_head(struct redis *r, const char *expected, const char *offset, const char *lease_ms)
{
    static const char keys[] = {'0' + KEYS, 0};
    _Static_assert(KEYS < 10, "one digit");
    const char *head[ARGS_BEFORE_EVENTS] = {"EVALSHA", r->sha, keys, r->key};
    int at = 4;
    for (int i = 0; i < REDIS_STREAM_COUNT; i++)
        head[at++] = redis_streams[i].name;
    head[at++] = r->lease;
    head[at++] = expected;
    head[at++] = r->config->outbox_id;
    head[at++] = offset;
    head[at++] = r->holder;
    head[at++] = lease_ms;
    for (int i = 0; i < REDIS_STREAM_COUNT; i++)
        head[at++] = r->maxlen[i];
    assert(at == ARGS_BEFORE_EVENTS);
    for (int i = 0; i < at; i++)
        put_arg(r, i, head[i], strlen(head[i]));
}

/* The place of a kind's stream among the script's keys, which begin with 1. */
static const char place_of[OUTBOX_KINDS] = {[OUTBOX_SHADOW] = '0',
#define X(kind, ...) [OUTBOX_##kind] = '2' + REDIS_STREAM_##kind,
                                            REDIS_STREAMS(X)
#undef X
};

/* Another has the lease. */
static int in_use(const struct redis *r, const char *holder, struct error *err)
{
    return error_set(
        err,
        "%s: the node's name %s is in use: another instance delivers under it (%s holds %.80s); stop "
        "it, or set another node.name. Of an instance that is dead the hold ends within " LEASE_MS " ms",
        r->config->redis_url, r->config->node, r->lease, holder);
}

static int read_cursor(struct redis *r, struct sink_cursor *cursor, struct error *err)
{
    put_head(r, "?", "0", LEASE_MS);
    redisReply *reply = run_script(r, ARGS_BEFORE_EVENTS, err);
    if (!reply)
        return -1;
    if (reply->element[0]->integer == -2) {
        in_use(r, reply->element[2]->str, err);
        freeReplyObject(reply);
        return -1;
    }
    const char *text = reply->element[1]->str;
    char again[CURSOR_BYTES] = "";
    if (*text && sscanf(text, "%32[0-9a-f] %" SCNu64, cursor->outbox_id, &cursor->offset) == 2)
        snprintf(again, sizeof again, "%s %" PRIu64, cursor->outbox_id, cursor->offset);
    int result = 0;
    if (strcmp(text, again))
        result = error_set(
            err,
            "%s: the key %s holds '%.80s', expected '<outbox id> <offset>': delete it to deliver all "
            "events of the outbox",
            r->config->redis_url, r->key, text);
    else
        strcpy(r->cursor, again);
    freeReplyObject(reply);
    return result;
}

static void redis_close(void *state)
{
    struct redis *r = state;
    struct error ignored;
    if (r->link && r->holding && !redis_link_broken(r->link)) {
        put_head(r, "", "0", "0");
        freeReplyObject(run_script(r, ARGS_BEFORE_EVENTS, &ignored));
    }
    if (r->link)
        redis_link_close(r->link);
    free(r->arg);
    free(r->arg_len);
    free(r->ms);
}

static int connect_server(struct redis *r, struct error *err)
{
    struct setting_redis url;
    if (setting_redis_parse(r->config->redis_url, &url, err))
        return -1;
    const struct sink_config *c = r->config;
    const struct redis_link_tls tls = {c->redis_ca_file, c->redis_cert_file, c->redis_key_file};
    r->link = redis_link_open(&url, &tls, err);
    if (!r->link) {
        error_prefix(err, "%s: cannot connect", c->redis_url);
        return -1;
    }
    if (authenticate(r, err))
        return -1;
    char db[16];
    snprintf(db, sizeof db, "%u", url.db);
    const char *select[] = {"SELECT", db};
    return simple(r, "SELECT", 2, select, err);
}

/* Who we are: the same for a process that is started again, another for a copy of the directory. */
static void name_holder(struct redis *r)
{
    char host[65] = "";
    struct stat st = {0};
    (void)gethostname(host, sizeof host - 1);
    (void)stat(r->config->outbox_dir, &st);
    snprintf(r->holder, sizeof r->holder, "%s %s %llx:%llx", r->config->outbox_id, host,
             (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
}

static int redis_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                      struct error *err)
{
    struct redis *r = state;
    size_t args = ARGS_BEFORE_EVENTS + ARGS_OF_EVENT * (size_t)config->batch;
    r->config = config;
    memset(r->sha, '0', 40);
    snprintf(r->key, sizeof r->key, "ringtape:cursor:%s", config->node);
    snprintf(r->lease, sizeof r->lease, "%s:lease", r->key);
    name_holder(r);
#define X(kind, name, field, setting)                                                                        \
    snprintf(r->maxlen[REDIS_STREAM_##kind], NUMBER_BYTES, "%" PRIu64, config->setting);
    REDIS_STREAMS(X)
#undef X
    r->arg = calloc(args, sizeof *r->arg);
    r->arg_len = calloc(args, sizeof *r->arg_len);
    r->ms = calloc(config->batch, sizeof *r->ms);
    if (!r->arg || !r->arg_len || !r->ms)
        error_set(err, "no memory");
    else if (connect_server(r, err) == 0 && read_cursor(r, cursor, err) == 0)
        return 0;
    redis_close(r);
    return -1;
}

/* Refusals of an event that no repair at the server would change. */
static bool for_good(const char *text)
{
    return strstr(text, "exceeds maximum allowed size") || strstr(text, "too large to be stored");
}

/* Takes the script's reply. 0 if all `n` are in. */
static int settle(struct redis *r, const redisReply *reply, uint32_t n, uint32_t *accepted, struct error *err)
{
    long long written = reply->element[0]->integer;
    const char *cursor = reply->element[1]->str, *stopped = reply->element[2]->str,
               *unheard = reply->element[3]->str;
    if (written == -2)
        return in_use(r, stopped, err);
    r->holding = true;
    if (written < 0)
        return error_set(
            err,
            "%s: the cursor %s was '%s' and is now '%.80s': a late batch of ours, or another process uses "
            "this node's name",
            r->config->redis_url, r->key, r->cursor, cursor);
    if (*unheard && !r->unheard)
        say(r, "sink redis: the channel `alerts` is refused, the stream is not: %s", unheard);
    r->unheard = *unheard;
    snprintf(r->cursor, sizeof r->cursor, "%s", cursor);
    *accepted = (uint32_t)written;
    if (*accepted == n)
        return 0;
    refused(r, "XADD", stopped, err);
    return for_good(stopped) ? SINK_REFUSED : -1;
}

/* What stands behind the key in the event's JSON: a number, or null. */
static void put_value(struct redis *r, int at, const struct outbox_record *record, const char *key)
{
    const char *end = record->json + record->json_len,
               *v = memmem(record->json, record->json_len, key, strlen(key));
    size_t n = 0;
    v = v ? v + strlen(key) : end;
    while (v + n < end && v[n] != ',' && v[n] != '}')
        n++;
    put_arg(r, at, v, n);
}

static int redis_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                         struct error *err)
{
    struct redis *r = state;
    char offset[NUMBER_BYTES];
    snprintf(offset, sizeof offset, "%" PRIu64, record[0].offset);
    put_head(r, r->cursor, offset, LEASE_MS);
    int at = ARGS_BEFORE_EVENTS;
    for (uint32_t i = 0; i < n; i++) {
        int64_t ms = record[i].event_ns > 0 ? record[i].event_ns / 1000000 : 0;
        int ms_len = snprintf(r->ms[i], NUMBER_BYTES, "%" PRId64, ms);
        put_arg(r, at++, &place_of[record[i].kind], 1);
        put_arg(r, at++, r->ms[i], (size_t)ms_len);
        put_arg(r, at++, record[i].json, record[i].kind == OUTBOX_SHADOW ? 0 : record[i].json_len);
        if (record[i].kind != OUTBOX_ANOMALY)
            continue;
        put_arg(r, at++, record[i].name, record[i].name_len);
        put_value(r, at++, &record[i], "\"price\":");
        put_value(r, at++, &record[i], "\"score\":");
    }
    redisReply *reply = run_script(r, at, err);
    if (!reply)
        return -1;
    int result = settle(r, reply, n, accepted, err);
    freeReplyObject(reply);
    return result;
}

/* Queues a command: its arguments, which are texts. Counts it in *queued. */
static int queue(struct redis *r, uint32_t *queued, int n, const char *const *arg)
{
    size_t len[8];
    assert(n <= 8);
    for (int i = 0; i < n; i++)
        len[i] = strlen(arg[i]);
    ++*queued;
    return redis_link_append(r->link, n, (const char **)arg, len);
}
#define QUEUE(r, queued, ...)                                                                                \
    queue(r, queued, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *),                           \
          (const char *const[]){__VA_ARGS__})

enum { PRICE_JSON = 2048 };

/* What may be published of it, as settings say. */
static int queue_price(struct redis *r, const struct sink_price *p, uint32_t *queued)
{
    const struct sink_config *c = r->config;
    const struct event_symbol symbol = {p->symbol, p->symbol_len, p->size_scale};
    char key[128], price[DECIMAL_TEXT_MAX], ms[24], json[PRICE_JSON + 1];
    int name_len = (int)p->symbol_len, result = 0, n;
    decimal_format_e9(p->price_e9, price);
    snprintf(ms, sizeof ms, "%" PRId64, p->event_ns > 0 ? p->event_ns / 1000000 : 0);
    assert(name_len <= SYMTAB_NAME_MAX);
    if (p->new_price && c->redis_prices) {
        n = event_json_price(&symbol, p->price_e9, p->size, p->event_ns, json, PRICE_JSON);
        assert(n > 0);
        json[n] = 0;
        snprintf(key, sizeof key, "price:%.*s", name_len, p->symbol);
        result |= QUEUE(r, queued, "SET", key, price);
        result |= QUEUE(r, queued, "PUBLISH", c->redis_trade_channel, json);
    }
    if (p->new_price && c->redis_quotes) {
        n = event_json_quote(&symbol, p->price_e9, p->event_ns, json, PRICE_JSON);
        assert(n > 0);
        json[n] = 0;
        snprintf(key, sizeof key, "quotes:latest:%.*s", name_len, p->symbol);
        result |= QUEUE(r, queued, "HSET", key, "price", price, "ts_ms", ms);
        result |= QUEUE(r, queued, "PUBLISH", "quotes:pubsub", json);
    }
    if (p->new_live && c->redis_live_bars) {
        const struct symtab_live *l = &p->live;
        const struct msg_bar bar = {.open_e9 = l->open_e9,
                                    .high_e9 = l->high_e9,
                                    .low_e9 = l->low_e9,
                                    .close_e9 = l->close_e9,
                                    .volume = l->volume,
                                    .pv_lo = l->pv_lo,
                                    .pv_hi = l->pv_hi};
        n = event_json_live(&symbol, l->start_ns, &bar, json, PRICE_JSON);
        assert(n > 0);
        json[n] = 0;
        snprintf(key, sizeof key, "livebar:%.*s", name_len, p->symbol);
        result |= QUEUE(r, queued, "SET", key, json, "EX", LIVE_BAR_S);
    }
    return result;
}

/* Takes the replies of what is queued, the first error's text in `what`'s name. As publish_prices. */
static int take_replies(struct redis *r, uint32_t queued, const char *what, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; i < queued; i++) {
        redisReply *reply = redis_link_reply(r->link);
        if (!reply)
            return broken(r, what, err);
        if (reply->type == REDIS_REPLY_ERROR && result == 0) {
            refused(r, what, reply->str, err);
            result = 1;
        }
        freeReplyObject(reply);
    }
    return result;
}

static int redis_publish_prices(void *state, const struct sink_price *price, uint32_t n, struct error *err)
{
    struct redis *r = state;
    uint32_t queued = 0;
    for (uint32_t i = 0; i < n; i++)
        if (queue_price(r, &price[i], &queued))
            return broken(r, "prices", err);
    return take_replies(r, queued, "latest prices", err);
}

/* Made beside the one that is there, and put in its place, so that no reader sees half of it. */
static int redis_publish_toplist(void *state, const struct sink_toplist *l, struct error *err)
{
    struct redis *r = state;
    char key[256], next[264];
    uint32_t queued = 0;
    int n = 0, result;
    snprintf(key, sizeof key, "toplist:%s", l->key);
    snprintf(next, sizeof next, "%s:next", key);
    const char **arg = malloc((2 + 2ul * l->n) * sizeof *arg);
    size_t *len = malloc((2 + 2ul * l->n) * sizeof *len);
    char(*score)[DECIMAL_TEXT_MAX] = malloc((l->n + 1ul) * sizeof *score);
    if (!arg || !len || !score)
        abort();
    const char *const head[] = {"ZADD", next};
    for (; n < 2; n++) {
        arg[n] = head[n];
        len[n] = strlen(head[n]);
    }
    for (uint32_t i = 0; i < l->n; i++) {
        decimal_format_double(l->row[i].value[RANK_VALUE], score[i]);
        arg[n] = score[i];
        len[n++] = strlen(score[i]);
        arg[n] = l->row[i].name;
        len[n++] = l->row[i].name_len;
    }
    if (l->n == 0) {
        result = QUEUE(r, &queued, "DEL", key);
    } else {
        result = QUEUE(r, &queued, "DEL", next);
        result |= redis_link_append(r->link, n, arg, len);
        queued++;
        result |= QUEUE(r, &queued, "RENAME", next, key);
    }
    free(arg);
    free(len);
    free(score);
    return result ? broken(r, "toplists", err) : take_replies(r, queued, "toplists", err);
}

static int redis_toplists_updated(void *state, const char *json, struct error *err)
{
    struct redis *r = state;
    uint32_t queued = 0;
    if (QUEUE(r, &queued, "PUBLISH", "toplists.updated", json))
        return broken(r, "toplists", err);
    return take_replies(r, queued, "toplists", err);
}

/* An empty batch: keeps the lease, and finds a cursor that was moved and a server that takes no writes. */
static int redis_probe(void *state, struct error *err)
{
    struct redis *r = state;
    uint32_t accepted;
    put_head(r, r->cursor, "0", LEASE_MS);
    redisReply *reply = run_script(r, ARGS_BEFORE_EVENTS, err);
    if (!reply)
        return -1;
    int result = settle(r, reply, 0, &accepted, err);
    freeReplyObject(reply);
    return result;
}

const struct sink_ops sink_redis = {.name = "redis",
                                    .state_bytes = sizeof(struct redis),
                                    .whole_batches = true,
                                    .check = redis_check,
                                    .open = redis_open,
                                    .deliver = redis_deliver,
                                    .publish_prices = redis_publish_prices,
                                    .publish_toplist = redis_publish_toplist,
                                    .toplists_updated = redis_toplists_updated,
                                    .probe = redis_probe,
                                    .close = redis_close};
