#include "tests/sim/server.h"

#include "net/sink.h"
#include "tests/sim/process.h"
#include "tests/sim/random.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct server_plan server_plan;
struct delivered *server_list;
size_t server_count;
uint64_t server_faults_made;
static struct sink_cursor kept; /* in the server, with the data */

/* A transaction: if the cursor is `from`, these events, and the cursor after them. */
struct request {
    struct request *next;
    struct sink_cursor from, to;
    uint32_t n;
    struct delivered event[];
};
static struct request *late; /* sent by clients that gave up, and not yet taken */

struct connection {
    struct sink_cursor cursor; /* as read at connect, then as written */
    const struct sink_config *config;
};

static bool take(const struct request *r)
{
    if (strcmp(kept.outbox_id, r->from.outbox_id) || kept.offset != r->from.offset)
        return false;
    server_list = realloc(server_list, (server_count + r->n) * sizeof *server_list);
    memcpy(server_list + server_count, r->event, r->n * sizeof *r->event);
    server_count += r->n;
    kept = r->to;
    return true;
}

void server_turn(void)
{
    if (!late || !random_one_in(50))
        return;
    struct request *r = late;
    late = r->next;
    process_note("server: a late batch of %u from offset %llu is %s", r->n,
                 (unsigned long long)r->from.offset, take(r) ? "taken" : "refused");
    free(r);
}

static struct request *request(const struct connection *c, const struct outbox_record *record, uint32_t n)
{
    struct request *r = malloc(sizeof *r + n * sizeof *r->event);
    r->from = r->to = c->cursor;
    strcpy(r->to.outbox_id, c->config->outbox_id);
    r->to.offset = record[n - 1].offset + 1;
    r->n = n;
    r->next = NULL;
    for (uint32_t i = 0; i < n; i++)
        r->event[i] =
            (struct delivered){record[i].offset, record[i].seq,  record[i].symbol,
                               record[i].sub,    record[i].kind, strndup(record[i].json, record[i].json_len)};
    return r;
}

static void answer(void)
{
    process_sleep_ns((int64_t)random_below((uint64_t)server_plan.answer_ns + 1));
}

static int open_server(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                       struct error *err)
{
    struct connection *c = state;
    answer();
    if (server_plan.dead || random_one_in(server_plan.fault_one_in)) {
        server_faults_made++;
        return error_set(err, "connection refused");
    }
    *cursor = c->cursor = kept;
    c->config = config;
    return 0;
}

enum outcome { TAKEN, REQUEST_LOST, ANSWER_LOST, PARTLY, LATE, OUTCOMES };

static int deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                   struct error *err)
{
    struct connection *c = state;
    enum outcome outcome =
        random_one_in(server_plan.fault_one_in) ? (enum outcome)random_below(OUTCOMES) : TAKEN;
    uint32_t sent = outcome == PARTLY ? (uint32_t)random_below(n + 1) : n;
    answer();
    server_faults_made += outcome != TAKEN || server_plan.dead;
    if (server_plan.dead || outcome == REQUEST_LOST || sent == 0)
        return error_set(err, "connection reset");
    struct request *r = request(c, record, sent);
    if (outcome == LATE) {
        r->next = late;
        late = r;
        return error_set(err, "no answer in time");
    }
    bool taken = take(r);
    if (taken)
        c->cursor = r->to;
    free(r);
    answer();
    if (!taken)
        return error_set(err, "the cursor is not what was read");
    if (outcome == ANSWER_LOST)
        return error_set(err, "connection reset while waiting for the answer");
    *accepted = sent;
    return sent == n ? 0
                     : error_set(err, "event %llu was not taken", (unsigned long long)record[sent].offset);
}

static int probe(void *state, struct error *err)
{
    (void)state;
    return server_plan.dead ? error_set(err, "connection closed") : 0;
}

static void close_server(void *state)
{
    (void)state;
}

const struct sink_ops sink_jsonl = {.name = "jsonl",
                                    .state_bytes = sizeof(struct connection),
                                    .open = open_server,
                                    .deliver = deliver,
                                    .probe = probe,
                                    .close = close_server};
