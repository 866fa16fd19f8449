/* The sockets and the thread of net/http.h's server. */
#include "net/http.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_DEFAULT = 64,
    IDLE_MS_DEFAULT = 10000,
    LINGER_MS = 1000,
    TICKS_PER_IDLE = 8,
    BACKLOG = 128
};

enum connection_state {
    CONNECTION_FREE,
    CONNECTION_READING,
    CONNECTION_SENDING,
    CONNECTION_LINGERING, /* said all, reads until the client has closed: a close now would destroy the reply
                           */
};

struct connection {
    struct loop_op op; /* the one operation that the state has pending */
    struct http_server *server;
    enum connection_state state;
    int socket;
    int64_t deadline_ns;
    size_t in_at, in_len, sent;
    struct http_exchange exchange;
    char in[4096];
};

struct http_server {
    struct loop *loop;
    pthread_t thread;
    struct http_config config;
    int listener;
    uint16_t port;
    struct loop_op accept_op, tick_op;
    unsigned used; /* connections that are not free */
    int stop;
    sem_t started;             /* the thread has its ring, or has not */
    sem_t released;            /* nobody else uses the ring any more */
    struct error *start_error; /* while started is 0 */
    struct connection *connections;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t deadline(const struct http_server *s)
{
    return now_ns() + s->config.idle_ms * 1000000;
}

static bool stopping(const struct http_server *s)
{
    return __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE);
}

static void accept_more(struct http_server *s)
{
    if (!stopping(s) && !s->accept_op.pending && s->used < s->config.connections)
        loop_accept(s->loop, &s->accept_op, s->listener);
}

static void connection_close(struct connection *c)
{
    assert(!c->op.pending);
    close(c->socket);
    http_exchange_free(&c->exchange);
    c->state = CONNECTION_FREE;
    c->server->used--;
    accept_more(c->server);
}

static void read_more(struct connection *c)
{
    c->in_at = c->in_len = 0;
    loop_recv(c->server->loop, &c->op, c->socket, c->in, sizeof c->in);
}

static void send_more(struct connection *c)
{
    const struct text *out = &c->exchange.out;
    loop_send(c->server->loop, &c->op, c->socket, out->data + c->sent, out->len - c->sent);
}

/* Goes on with the bytes that are there until a reply is to be sent or more bytes are needed. */
static void connection_go_on(struct connection *c)
{
    size_t used;
    c->state = CONNECTION_READING;
    enum http_progress progress =
        http_exchange_feed(&c->exchange, c->in + c->in_at, c->in_len - c->in_at, &used);
    c->in_at += used;
    if (progress == HTTP_MORE) {
        read_more(c);
    } else if (c->exchange.out.len == 0) {
        connection_close(c);
    } else {
        c->state = CONNECTION_SENDING;
        c->deadline_ns = deadline(c->server);
        c->sent = 0;
        send_more(c);
    }
}

static void connection_sent(struct connection *c)
{
    if (c->sent < c->exchange.out.len) {
        send_more(c);
    } else if (!c->exchange.close) {
        http_exchange_next(&c->exchange);
        c->deadline_ns = deadline(c->server);
        connection_go_on(c);
    } else {
        shutdown(c->socket, SHUT_WR);
        c->state = CONNECTION_LINGERING;
        c->deadline_ns = now_ns() + LINGER_MS * 1000000ll;
        read_more(c);
    }
}

static void connection_done(struct loop_op *op, int result)
{
    struct connection *c = (struct connection *)op; /* op is its first member */
    if (result <= 0 || stopping(c->server)) {
        connection_close(c);
    } else if (c->state == CONNECTION_READING) {
        c->in_len = (size_t)result;
        connection_go_on(c);
    } else if (c->state == CONNECTION_SENDING) {
        c->sent += (size_t)result;
        connection_sent(c);
    } else {
        read_more(c);
    }
}
_Static_assert(offsetof(struct connection, op) == 0, "connection_done casts");

static void connection_start(struct http_server *s, int socket)
{
    struct connection *c = s->connections;
    const int one = 1;
    while (c->state != CONNECTION_FREE)
        c++;
    assert(c < s->connections + s->config.connections);
    s->used++;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->op.done = connection_done;
    c->server = s;
    c->socket = socket;
    c->state = CONNECTION_READING;
    c->deadline_ns = deadline(s);
    http_exchange_init(&c->exchange, s->config.handler, s->config.ctx);
    read_more(c);
}

static void accepted(struct loop_op *op, int result)
{
    struct http_server *s = (struct http_server *)((char *)op - offsetof(struct http_server, accept_op));
    if (result >= 0 && stopping(s))
        close(result);
    else if (result >= 0)
        connection_start(s, result);
    if (result != -EMFILE && result != -ENFILE && result != -ENOMEM && result != -ENOBUFS)
        accept_more(s); /* else the next tick tries again */
}

/* Whatever is pending on the socket ends now, and with it the connection. */
static void connection_end(struct connection *c)
{
    shutdown(c->socket, SHUT_RDWR);
    loop_cancel(c->server->loop, &c->op);
}

static void ticked(struct loop_op *op, int result)
{
    struct http_server *s = (struct http_server *)((char *)op - offsetof(struct http_server, tick_op));
    struct connection *longest = NULL;
    int64_t now = now_ns();
    (void)result;
    if (stopping(s))
        return;
    for (struct connection *c = s->connections; c < s->connections + s->config.connections; c++) {
        if (c->state == CONNECTION_FREE)
            continue;
        if (now >= c->deadline_ns)
            connection_end(c);
        else if (c->state == CONNECTION_READING && (!longest || c->deadline_ns < longest->deadline_ns))
            longest = c;
    }
    if (s->used == s->config.connections && longest)
        connection_end(longest);
    accept_more(s);
    loop_timer(s->loop, &s->tick_op, s->config.idle_ms * 1000000 / TICKS_PER_IDLE);
}

static void woken(void *ctx)
{
    struct http_server *s = ctx;
    if (!stopping(s))
        return;
    loop_cancel(s->loop, &s->accept_op);
    loop_cancel(s->loop, &s->tick_op);
    for (struct connection *c = s->connections; c < s->connections + s->config.connections; c++)
        if (c->state != CONNECTION_FREE)
            connection_end(c);
    loop_stop(s->loop);
}

/* The ring lives and dies in this thread: its end interrupts system calls of every thread that has used it.
 */
static void *serve(void *ctx)
{
    struct http_server *s = ctx;
    struct error err;
    s->loop = loop_open(64, s->start_error);
    bool open = s->loop != NULL;
    sem_post(&s->started);
    if (!open)
        return NULL;
    loop_on_wake(s->loop, woken, s);
    accept_more(s);
    loop_timer(s->loop, &s->tick_op, s->config.idle_ms * 1000000 / TICKS_PER_IDLE);
    if (loop_run(s->loop, &err)) {
        fprintf(stderr, "the HTTP server has failed: %s\n", err.text);
        abort(); /* operations are still the kernel's: their memory cannot be given back */
    }
    while (sem_wait(&s->released))
        ;
    loop_close(s->loop);
    return NULL;
}

static int listen_failed(const struct http_config *config, const char *what, struct error *err)
{
    int why = errno;
    const char *fix = why == EADDRINUSE      ? "; another process has this port: choose another http.port"
                      : why == EADDRNOTAVAIL ? "; no interface has this address: choose another http.listen"
                      : why == EACCES
                          ? "; a port below 1024 needs CAP_NET_BIND_SERVICE: choose another http.port"
                          : "";
    return error_set(err, "cannot %s %s port %u: %s%s", what, config->address, config->port, strerror(why),
                     fix);
}

/* The listening socket, -1 with err set; *port is the one it got. */
static int listen_on(const struct http_config *config, uint16_t *port, struct error *err)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {0};
    socklen_t len;
    const int one = 1;
    if (inet_pton(AF_INET, config->address, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(config->port);
        len = sizeof a.v4;
    } else if (inet_pton(AF_INET6, config->address, &a.v6.sin6_addr) == 1) {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(config->port);
        len = sizeof a.v6;
    } else {
        return error_set(err, "cannot listen on \"%s\": expected an IPv4 or IPv6 address", config->address);
    }
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return listen_failed(config, "make a socket for", err);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &a.any, len) || listen(fd, BACKLOG) || getsockname(fd, &a.any, &len)) {
        listen_failed(config, "listen on", err);
        close(fd);
        return -1;
    }
    *port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
}

/* Returns when the thread has its ring. It takes no signals: they are the main thread's. */
static int start_thread(struct http_server *s, struct error *err)
{
    sigset_t all, before;
    sem_init(&s->started, 0, 0);
    sem_init(&s->released, 0, 0);
    s->start_error = err;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->thread, NULL, serve, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return error_set(err, "cannot start the HTTP server's thread: %s", strerror(rc));
    pthread_setname_np(s->thread, "http");
    while (sem_wait(&s->started))
        ;
    if (s->loop)
        return 0;
    pthread_join(s->thread, NULL);
    return -1;
}

static void server_free(struct http_server *s)
{
    if (s->listener >= 0)
        close(s->listener);
    free(s->connections);
    free(s);
}

struct http_server *http_server_start(const struct http_config *config, struct error *err)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(err, "out of memory");
        return NULL;
    }
    s->config = *config;
    s->config.connections = config->connections ? config->connections : CONNECTIONS_DEFAULT;
    s->config.idle_ms = config->idle_ms ? config->idle_ms : IDLE_MS_DEFAULT;
    s->accept_op.done = accepted;
    s->tick_op.done = ticked;
    s->listener = listen_on(config, &s->port, err);
    s->connections = calloc(s->config.connections, sizeof *s->connections);
    if (!s->connections)
        error_set(err, "out of memory");
    if (s->listener >= 0 && s->connections && !start_thread(s, err))
        return s;
    server_free(s);
    return NULL;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

void http_server_stop(struct http_server *s)
{
    if (!s)
        return;
    __atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
    loop_wake(s->loop);
    sem_post(&s->released);
    pthread_join(s->thread, NULL);
    server_free(s);
}
