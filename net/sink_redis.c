/* Redis: stream `alerts` {alert: json} and channel `alerts` (best effort), stream `bars.finalized` {bar:
 * json}, both bounded by an approximate MAXLEN; `price:SYM` and the trade channel with the latest prices,
 * which are no events: they are set as they are now, never queued.
 *
 * The cursor is the string `ringtape:cursor:NODE`, "<outbox id> <offset>". One script does a batch: it
 * compares the cursor, writes, moves the cursor. The cursor is written before the first event too, with the
 * value that it has: what would refuse the last write (rights, memory, a replica) refuses it there, before
 * anything is done.
 *
 * An entry's ID follows from the event and the entry before: the event's millisecond, or the last ID plus
 * one. A server that is killed while it writes its append-only file may leave a MULTI without EXEC there
 * (Redis and Valkey, with aof-load-truncated, cut only the command that is torn: valkey-io/valkey#4342). It
 * has not happened for the server that starts from that file, but it will for the one after it, together with
 * the next transaction, which is our second try. With the same IDs the second try's entries are then refused
 * as there already; with IDs of the server's clock each would be there twice. */
#include "net/sink.h"

#include "core/decimal.h"
#include "net/event_json.h"
#include "net/settings.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_MS = 2000,
    REPLY_TIMEOUT_MS = 3000,
    CURSOR_BYTES = SINK_OUTBOX_ID_MAX + 24,
    ARGS_BEFORE_EVENTS = 11,
    ARGS_OF_EVENT = 3,
    MS_BYTES = 24,
};

/* KEYS: cursor, alerts, bars. ARGV: the cursor expected ("?" to ask), outbox id, offset of the first event,
 * MAXLEN of alerts, of bars; then for each event 2 (alert) or 3 (bar), its millisecond, its JSON. Returns
 * {events written, or -1 if the cursor is another; the cursor; why it stopped; why channels do not hear}. */
static const char script[] =
    "local kinds, last = {'string', 'stream', 'stream'}, {}\n"
    "for i = 1, 3 do\n"
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
    "if cursor ~= ARGV[1] then return {-1, cursor, '', ''} end\n"
    "local function set(n)\n"
    "  cursor = string.format('%s %.0f', ARGV[2], tonumber(ARGV[3]) + n)\n"
    "  return redis.pcall('SET', KEYS[1], cursor)\n"
    "end\n"
    "local function refusal(reply) return type(reply) == 'table' and reply.err end\n"
    "local probe = set(0)\n"
    "if probe.err then return probe end\n"
    "local fields, n, stopped, unheard = {'', 'alert', 'bar'}, 0, '', ''\n"
    "for i = 6, #ARGV, 3 do\n"
    "  local k, ms, json = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 2]\n"
    "  local id = last[k]\n"
    "  if ms > id[1] then id = {ms, 0} else id = {id[1], id[2] + 1} end\n"
    "  stopped = refusal(redis.pcall('XADD', KEYS[k], 'MAXLEN', '~', ARGV[k + 2],\n"
    "                                string.format('%.0f-%.0f', id[1], id[2]), fields[k], json))\n"
    "  if stopped then break end\n"
    "  last[k] = id\n"
    "  n = n + 1\n"
    "  if k == 2 then unheard = refusal(redis.pcall('PUBLISH', 'alerts', json)) or unheard end\n"
    "end\n"
    "local moved = set(n)\n"
    "if moved.err then return moved end\n"
    "return {n, cursor, stopped or '', unheard}\n";

struct redis {
    const struct sink_config *config;
    redisContext *context;
    char key[256];             /* of the cursor */
    char sha[41];              /* of the script */
    char cursor[CURSOR_BYTES]; /* as it was read, or left, "" = none */
    bool unheard;              /* channels refused: said once */
    const char **arg;
    size_t *arg_len;
    char (*ms)[MS_BYTES]; /* of each event of the batch */
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

#define RIGHTS "~ringtape:cursor:* ~alerts ~bars.finalized ~price:* &* +@all -@dangerous"

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
        {"LOADING", "the server is starting; no need to do anything"},
        {"READONLY", "this is a replica: set sinks.redis to the primary"},
        {"OOM", "raise the server's maxmemory, or lower redis.alerts_maxlen and redis.bars_maxlen"},
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
    const redisContext *c = r->context;
    bool late = c->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
    return error_set(err, "%s: %s: %s", r->config->redis_url, what, late ? "no reply in time" : c->errstr);
}

/* Sends a command and takes its reply (to be freed). NULL with err for a broken connection and for an error
 * reply. */
static redisReply *command(struct redis *r, const char *what, int n, const char **arg, const size_t *len,
                           struct error *err)
{
    redisReply *reply = redisCommandArgv(r->context, n, arg, len);
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
    const char *path = r->config->redis_password_file;
    char line[1024] = "";
    if (!path || !*path)
        return 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(err, "redis.password_file: cannot read %s: %s", path, strerror(errno));
    setvbuf(f, NULL, _IONBF, 0);
    bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    line[strcspn(line, "\r\n")] = 0;
    if (!read || !*line)
        return error_set(err, "redis.password_file: the first line of %s is empty, expected a password",
                         path);
    char *colon = strchr(line, ':');
    if (colon)
        *colon = 0;
    bool user = colon && colon != line;
    const char *arg[] = {"AUTH", user ? line : colon ? colon + 1 : line, user ? colon + 1 : NULL};
    int result = simple(r, "AUTH", user ? 3 : 2, arg, err);
    explicit_bzero(line, sizeof line);
    return result;
}

static int redis_check(const struct sink_config *config, struct error *err)
{
    struct setting_redis url;
    if (setting_redis_parse(config->redis_url, &url, err))
        return -1;
    if (!config->node || !*config->node || strlen(config->node) > 200)
        return error_set(err, "a node without name, or with one of more than 200 bytes, can have no cursor");
    return 0;
}

/* Runs the script, loading it where the server does not know it. */
static redisReply *run_script(struct redis *r, int n, struct error *err)
{
    for (int attempt = 0;; attempt++) {
        redisReply *reply = redisCommandArgv(r->context, n, r->arg, r->arg_len);
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
static void put_head(struct redis *r, const char *expected, const char *offset, const char *alerts_maxlen,
                     const char *bars_maxlen)
{
    const char *const head[ARGS_BEFORE_EVENTS] = {
        "EVALSHA", r->sha,           "3",        r->key,
        "alerts",  "bars.finalized", expected,   r->config->outbox_id,
        offset,    alerts_maxlen,    bars_maxlen};
    for (int i = 0; i < ARGS_BEFORE_EVENTS; i++)
        put_arg(r, i, head[i], strlen(head[i]));
}

static int read_cursor(struct redis *r, struct sink_cursor *cursor, struct error *err)
{
    put_head(r, "?", "0", "0", "0");
    redisReply *reply = run_script(r, ARGS_BEFORE_EVENTS, err);
    if (!reply)
        return -1;
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
    if (r->context)
        redisFree(r->context);
    free(r->arg);
    free(r->arg_len);
    free(r->ms);
}

static int connect_server(struct redis *r, struct error *err)
{
    struct setting_redis url;
    if (setting_redis_parse(r->config->redis_url, &url, err))
        return -1;
    struct timeval connect = {CONNECT_TIMEOUT_MS / 1000, CONNECT_TIMEOUT_MS % 1000 * 1000};
    struct timeval reply = {REPLY_TIMEOUT_MS / 1000, REPLY_TIMEOUT_MS % 1000 * 1000};
    r->context = redisConnectWithTimeout(url.host, url.port, connect);
    if (!r->context)
        return error_set(err, "no memory");
    if (r->context->err)
        return broken(r, "cannot connect", err);
    if (redisSetTimeout(r->context, reply) || redisEnableKeepAlive(r->context))
        return broken(r, "cannot set up the socket", err);
    if (authenticate(r, err))
        return -1;
    char db[16];
    snprintf(db, sizeof db, "%u", url.db);
    const char *select[] = {"SELECT", db};
    return simple(r, "SELECT", 2, select, err);
}

static int redis_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                      struct error *err)
{
    struct redis *r = state;
    size_t args = ARGS_BEFORE_EVENTS + ARGS_OF_EVENT * (size_t)config->batch;
    r->config = config;
    memset(r->sha, '0', 40);
    snprintf(r->key, sizeof r->key, "ringtape:cursor:%s", config->node);
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

/* Takes the script's reply. 0 if all `n` are in. */
static int settle(struct redis *r, const redisReply *reply, uint32_t n, uint32_t *accepted, struct error *err)
{
    long long written = reply->element[0]->integer;
    const char *cursor = reply->element[1]->str, *stopped = reply->element[2]->str,
               *unheard = reply->element[3]->str;
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
    return *stopped || *accepted < n ? refused(r, "XADD", stopped, err) : 0;
}

static int redis_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                         struct error *err)
{
    struct redis *r = state;
    char offset[24], alerts_maxlen[24], bars_maxlen[24];
    snprintf(offset, sizeof offset, "%" PRIu64, record[0].offset);
    snprintf(alerts_maxlen, sizeof alerts_maxlen, "%" PRIu64, r->config->redis_alerts_maxlen);
    snprintf(bars_maxlen, sizeof bars_maxlen, "%" PRIu64, r->config->redis_bars_maxlen);
    put_head(r, r->cursor, offset, alerts_maxlen, bars_maxlen);
    int at = ARGS_BEFORE_EVENTS;
    for (uint32_t i = 0; i < n; i++) {
        int64_t ms = record[i].event_ns > 0 ? record[i].event_ns / 1000000 : 0;
        int ms_len = snprintf(r->ms[i], MS_BYTES, "%" PRId64, ms);
        put_arg(r, at++, record[i].kind == OUTBOX_ALERT ? "2" : "3", 1);
        put_arg(r, at++, r->ms[i], (size_t)ms_len);
        put_arg(r, at++, record[i].json, record[i].json_len);
    }
    redisReply *reply = run_script(r, at, err);
    if (!reply)
        return -1;
    int result = settle(r, reply, n, accepted, err);
    freeReplyObject(reply);
    return result;
}

static int queue_price(struct redis *r, const struct sink_price *p)
{
    char key[128], price[DECIMAL_TEXT_MAX], json[1024];
    struct event_symbol symbol = {p->symbol, p->symbol_len, p->size_scale};
    int key_len = snprintf(key, sizeof key, "price:%.*s", (int)p->symbol_len, p->symbol);
    size_t price_len = decimal_format_e9(p->price_e9, price);
    int json_len = event_json_price(&symbol, p->price_e9, p->size, p->event_ns, json, sizeof json);
    assert(key_len > 0 && (size_t)key_len < sizeof key && json_len > 0);
    const char *channel = r->config->redis_trade_channel;
    const char *set[] = {"SET", key, price}, *publish[] = {"PUBLISH", channel, json};
    const size_t set_len[] = {3, (size_t)key_len, price_len};
    const size_t publish_len[] = {7, strlen(channel), (size_t)json_len};
    return redisAppendCommandArgv(r->context, 3, set, set_len) ||
                   redisAppendCommandArgv(r->context, 3, publish, publish_len)
               ? -1
               : 0;
}

static int redis_publish_prices(void *state, const struct sink_price *price, uint32_t n, struct error *err)
{
    struct redis *r = state;
    int result = 0;
    for (uint32_t i = 0; i < n; i++)
        if (queue_price(r, &price[i]))
            return broken(r, "prices", err);
    for (uint32_t i = 0; i < 2 * n; i++) {
        void *reply;
        if (redisGetReply(r->context, &reply))
            return broken(r, "prices", err);
        const redisReply *got = reply;
        if (got->type == REDIS_REPLY_ERROR && result == 0) {
            refused(r, i % 2 ? "PUBLISH" : "SET", got->str, err);
            result = 1;
        }
        freeReplyObject(reply);
    }
    return result;
}

static int redis_probe(void *state, struct error *err)
{
    const char *ping[] = {"PING"};
    return simple(state, "PING", 1, ping, err);
}

const struct sink_ops sink_redis = {.name = "redis",
                                    .state_bytes = sizeof(struct redis),
                                    .check = redis_check,
                                    .open = redis_open,
                                    .deliver = redis_deliver,
                                    .publish_prices = redis_publish_prices,
                                    .probe = redis_probe,
                                    .close = redis_close};
