#include "net/http.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>
#include <time.h>

static const char *status_text(int status)
{
    switch (status) {
#define XX(number, name, text)                                                                               \
    case number:                                                                                             \
        return #text;
        HTTP_STATUS_MAP(XX)
#undef XX
    }
    return "Unknown";
}

void http_reply_error(struct http_reply *reply, int status, const char *code, const char *text)
{
    reply->status = status;
    reply->content_type = "application/json";
    text_clear(&reply->body);
    text_printf(&reply->body, "{\"error\":");
    text_json(&reply->body, text);
    text_printf(&reply->body, ",\"code\":");
    text_json(&reply->body, code);
    text_printf(&reply->body, "}\n");
}

void http_reply_not_found(struct http_reply *reply, const struct http_request *request)
{
    char text[HTTP_URL_BYTES_MAX + 32];
    size_t n = (size_t)(stpcpy(stpcpy(text, "there is no "), request->path) - text);
    assert(n < sizeof text);
    http_reply_error(reply, 404, "not_found", text);
}

static struct http_exchange *exchange_of(http_parser *p)
{
    return p->data;
}

/* Remembers the first thing that is wrong; the value stops the parser. */
static int refuse(struct http_exchange *x, int status, const char *code, const char *why)
{
    if (!x->status) {
        x->status = status;
        x->code = code;
        x->why = why;
    }
    return -1;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    struct http_exchange *x = exchange_of(p);
    if (len > HTTP_URL_BYTES_MAX - x->url_len)
        return refuse(x, 414, "uri_too_long", "the request's target is longer than 1024 bytes");
    memcpy(x->url + x->url_len, at, len);
    x->url_len += len;
    x->url[x->url_len] = 0;
    return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t len)
{
    struct http_exchange *x = exchange_of(p);
    if (x->in_value)
        x->field_len = 0;
    x->in_value = false;
    for (size_t i = 0; i < len && x->field_len < sizeof x->field; i++)
        x->field[x->field_len++] = (char)tolower((unsigned char)at[i]);
    return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t len)
{
    struct http_exchange *x = exchange_of(p);
    (void)at, (void)len;
    if (!x->in_value && x->field_len == 4 && !memcmp(x->field, "host", 4))
        x->hosts++;
    x->in_value = true;
    return 0;
}

static int on_headers_complete(http_parser *p)
{
    struct http_exchange *x = exchange_of(p);
    x->head = p->method == HTTP_HEAD;
    if (p->http_major != 1)
        return refuse(x, 505, "version_not_supported", "expected HTTP/1.1 or HTTP/1.0");
    if (x->hosts > 1 || (x->hosts == 0 && p->http_minor > 0))
        return refuse(x, 400, "bad_request", "expected exactly one Host header");
    if (p->method != HTTP_GET && p->method != HTTP_HEAD)
        return refuse(x, 405, "method_not_allowed", "expected GET or HEAD");
    if (p->flags & F_CHUNKED || (p->content_length != 0 && p->content_length != UINT64_MAX))
        return refuse(x, 413, "body_not_allowed", "a request here has no body");
    return 0;
}

static int on_message_complete(http_parser *p)
{
    exchange_of(p)->complete = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings callbacks = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

void http_exchange_init(struct http_exchange *x, http_handler handler, void *ctx)
{
    memset(x, 0, sizeof *x);
    x->handler = handler;
    x->ctx = ctx;
    http_exchange_next(x);
}

void http_exchange_next(struct http_exchange *x)
{
    http_parser_init(&x->parser, HTTP_REQUEST);
    x->parser.data = x;
    x->head_bytes = x->url_len = x->field_len = 0;
    x->url[0] = 0;
    x->in_value = x->complete = x->close = x->head = false;
    x->hosts = 0;
    x->status = 0;
    text_clear(&x->out);
}

void http_exchange_free(struct http_exchange *x)
{
    text_free(&x->out);
    text_free(&x->reply.body);
}

/* Cuts path and query out of the target, which may have a scheme and a host (RFC 9112, 3.2.2). */
static bool split_url(struct http_exchange *x, struct http_request *request)
{
    struct http_parser_url u;
    http_parser_url_init(&u);
    request->path = "/";
    request->query = "";
    if (http_parser_parse_url(x->url, x->url_len, 0, &u))
        return false;
    if (u.field_set & 1 << UF_QUERY) {
        request->query = x->url + u.field_data[UF_QUERY].off;
        x->url[u.field_data[UF_QUERY].off + u.field_data[UF_QUERY].len] = 0;
    }
    if (u.field_set & 1 << UF_PATH) {
        request->path = x->url + u.field_data[UF_PATH].off;
        x->url[u.field_data[UF_PATH].off + u.field_data[UF_PATH].len] = 0;
    }
    if (!strcmp(request->path, "/healthz"))
        request->path = "/health";
    return true;
}

/* RFC 9110, 5.6.7; strftime would follow the locale. */
static void append_date(struct text *out)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    struct tm t;
    gmtime_r(&now, &t);
    text_printf(out, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + 3 * t.tm_wday, t.tm_mday,
                months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void write_reply(struct http_exchange *x)
{
    struct http_reply *r = &x->reply;
    if (r->body.failed)
        http_reply_error(r, 500, "internal", "out of memory");
    text_printf(&x->out, "HTTP/1.1 %d %s\r\n", r->status, status_text(r->status));
    append_date(&x->out);
    text_printf(&x->out, "Content-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n",
                r->content_type, r->body.len);
    if (r->status == 405)
        text_printf(&x->out, "Allow: GET, HEAD\r\n");
    text_printf(&x->out, "Connection: %s\r\n\r\n", x->close ? "close" : "keep-alive");
    if (!x->head)
        text_append(&x->out, r->body.data, r->body.len);
    if (x->out.failed) { /* nothing can be said */
        text_free(&x->out);
        x->close = true;
    }
}

static enum http_progress answer(struct http_exchange *x)
{
    struct http_request request;
    struct http_reply *r = &x->reply;
    text_clear(&r->body);
    r->status = 200;
    r->content_type = "application/json";
    if (!x->status && !split_url(x, &request))
        refuse(x, 400, "bad_request", "the request's target is no path");
    if (x->status) {
        x->close = true; /* where the next request starts is not known */
        http_reply_error(r, x->status, x->code, x->why);
    } else {
        x->close = !http_should_keep_alive(&x->parser);
        x->handler(x->ctx, &request, r);
    }
    write_reply(x);
    return HTTP_REPLY;
}

enum http_progress http_exchange_feed(struct http_exchange *x, const char *data, size_t len, size_t *used)
{
    size_t room = HTTP_HEAD_BYTES_MAX - x->head_bytes;
    *used = 0;
    if (len == 0)
        return HTTP_MORE; /* for the parser it would mean the end of the stream */
    *used = http_parser_execute(&x->parser, &callbacks, data, len < room ? len : room);
    x->head_bytes += *used;
    if (x->complete || x->status)
        return answer(x);
    if (HTTP_PARSER_ERRNO(&x->parser) != HPE_OK)
        refuse(x, 400, "bad_request", http_errno_description(HTTP_PARSER_ERRNO(&x->parser)));
    else if (x->head_bytes == HTTP_HEAD_BYTES_MAX)
        refuse(x, 431, "headers_too_large", "the request's head is longer than 8192 bytes");
    else
        return HTTP_MORE;
    return answer(x);
}
