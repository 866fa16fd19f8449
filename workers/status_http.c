#include "workers/status_http.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/decimal.h"
#include "core/version.h"
#include "net/http.h"
#include "net/prometheus.h"
#include "shm/heartbeat.h"

struct status_http {
    const struct instance *in;
    struct http_server *server;
};

enum { STALE_NS_S = 5 };

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* True if every role runs, or has ended with its source. */
static bool roles_alive(const struct instance *in)
{
    const struct topology *t = workspace_topology(in->ws);
    const struct heartbeats *beats = workspace_heartbeats(in->ws);
    for (uint32_t i = 0; i < t->role_count; i++) {
        struct heartbeat b;
        if (!t->roles[i].process)
            continue;
        heartbeat_read(beats, i, &b);
        bool ended = t->roles[i].kind == ROLE_INGEST && b.state == HEARTBEAT_GONE && in->control->ingest_ended == 1;
        if (!ended && heartbeat_health(&b, clock_ns(CLOCK_MONOTONIC), STALE_NS_S * 1000000000ll) != HEARTBEAT_ALIVE)
            return false;
    }
    return true;
}

static void answer_health(const struct instance *in, bool can_fail, struct http_reply *reply)
{
    static const char *const feeds[] = {"running", "ended", "failed"};
    char now[DECIMAL_TEXT_MAX];
    uint64_t ended = atomics_load_acquire_u64(&in->control->ingest_ended);
    bool ring = roles_alive(in), ready = ring && ended < 2;
    decimal_format_time(clock_ns(CLOCK_REALTIME), now);
    reply->status = ready || !can_fail ? 200 : 503;
    text_printf(&reply->body,
                "{\"status\":\"%s\",\"version\":\"" RINGTAPE_VERSION "\",\"timestamp\":\"%s\",\"memory\":{\"workspace_bytes\":%llu},"
                "\"checks\":{\"kafka\":\"not configured\",\"postgres\":\"not configured\",\"feed\":\"%s\",\"ring\":\"%s\"}}\n",
                ready ? "ok" : "failing", now, (unsigned long long)workspace_bytes(in->ws), feeds[ended < 2 ? ended : 2],
                ring ? "ok" : "a role is not running");
}

static void answer(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct status_http *h = ctx;
    if (!strcmp(request->path, "/live")) {
        answer_health(h->in, false, reply);
    } else if (!strcmp(request->path, "/health") || !strcmp(request->path, "/ready")) {
        answer_health(h->in, true, reply);
    } else if (!strcmp(request->path, "/metrics")) {
        reply->content_type = PROMETHEUS_CONTENT_TYPE;
        prometheus_metric(&reply->body, "build_info", PROMETHEUS_GAUGE, "the version that runs");
        prometheus_u64(&reply->body, "build_info", 1, PROMETHEUS_LABELS("version", RINGTAPE_VERSION));
    } else {
        http_reply_not_found(reply, request);
    }
}

struct status_http *status_http_start(const struct instance *in, struct error *err)
{
    struct status_http *h = calloc(1, sizeof *h);
    if (!h)
        abort();
    h->in = in;
    struct http_config c = {
        .address = in->settings->http_listen, .port = (uint16_t)in->settings->http_port, .handler = answer, .ctx = h};
    if ((h->server = http_server_start(&c, err)))
        return h;
    free(h);
    return NULL;
}

void status_http_stop(struct status_http *h)
{
    if (!h)
        return;
    http_server_stop(h->server);
    free(h);
}
