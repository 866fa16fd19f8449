/* A small HTTP/1.1 server for what a process says of itself: GET and HEAD of /health, /ready, /live, /stats,
 * /metrics.
 *
 * One thread, one io_uring, a fixed number of connections. Pipelined requests are answered one after the
 * other, the next is not looked at before the last reply is sent. Bodies of requests are refused. Every error
 * is JSON: {"error":"…","code":"…"}. Not for the open internet: no TLS, no authentication; listen on a
 * private address.
 *
 * Limits: HTTP_HEAD_BYTES_MAX per request, HTTP_URL_BYTES_MAX per target; a request must be complete
 * `idle_ms` after the reply before it (or the connection's start), however slowly it comes; a reply must be
 * taken in the same time. When every connection is in use the one that has waited longest for a request is
 * closed.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "core/error.h"
#include "net/text.h"

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_HEAD_BYTES_MAX = 8192, HTTP_URL_BYTES_MAX = 1024 };

struct http_request {
    const char *path;  /* "/health"; /healthz comes as /health; nothing is percent-decoded */
    const char *query; /* after the ?, "" if there is none */
};

struct http_reply {
    int status;               /* 200 before the handler is called */
    const char *content_type; /* application/json before the handler is called */
    struct text body;         /* empty before the handler is called */
};

/* Fills the reply. Runs in the server's thread, one request at a time; a slow handler delays all others. */
typedef void (*http_handler)(void *ctx, const struct http_request *request, struct http_reply *reply);

/* Makes the reply an error: its status, and {"error":text,"code":code} instead of what the body held. */
void http_reply_error(struct http_reply *reply, int status, const char *code, const char *text);
/* The handler's answer to a path that it does not know: 404, code not_found. */
void http_reply_not_found(struct http_reply *reply, const struct http_request *request);

/* The protocol of one connection without its socket: bytes in, replies out. */
struct http_exchange {
    http_handler handler;
    void *ctx;
    http_parser parser;
    size_t head_bytes; /* of this request so far */
    size_t url_len;
    char url[HTTP_URL_BYTES_MAX + 1];
    char field[8]; /* the start of the header's name, lower case */
    size_t field_len;
    bool in_value, complete;
    bool head;      /* the method is HEAD, known once the headers are complete */
    unsigned hosts; /* Host headers */
    int status;     /* of an error found while parsing, 0 = none */
    const char *code, *why;
    bool close; /* after this reply */
    struct http_reply reply;
    struct text out; /* the whole reply as sent */
};

enum http_progress { HTTP_MORE, HTTP_REPLY };

void http_exchange_init(struct http_exchange *x, http_handler handler, void *ctx);
/* Takes up to `len` bytes, *used of them. HTTP_REPLY: x->out holds a reply; when it is sent, close the
 * connection if x->close, else call http_exchange_next and go on with the other bytes. HTTP_MORE: all were
 * used. */
enum http_progress http_exchange_feed(struct http_exchange *x, const char *data, size_t len, size_t *used);
void http_exchange_next(struct http_exchange *x);
void http_exchange_free(struct http_exchange *x);

struct http_config {
    const char *address; /* an IPv4 or IPv6 address */
    uint16_t port;       /* 0 = any free one */
    http_handler handler;
    void *ctx;
    unsigned connections; /* 0 = 64 */
    int64_t idle_ms;      /* 0 = 10,000 */
};

struct http_server;

/* Listens, and answers from a thread of its own. NULL with err set. */
struct http_server *http_server_start(const struct http_config *config, struct error *err);
uint16_t http_server_port(const struct http_server *server);
/* Ends all connections and the thread; no handler runs afterwards. NULL is fine. */
void http_server_stop(struct http_server *server);

#endif
