/* Bytes from a socket: whatever comes, however it is cut into pieces, the replies are the same, whole and
 * within the limits. */
#include "net/http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void handler(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    (void)ctx;
    assert(strlen(request->path) + strlen(request->query) <= HTTP_URL_BYTES_MAX);
    if (strcmp(request->path, "/health"))
        http_reply_not_found(reply, request);
    else
        text_printf(&reply->body, "{}");
}

/* Writes "status close;" of each reply to `seen`. Which of several things wrong is told first may depend on
 * the pieces: these count as one. */
static void replies(const uint8_t *data, size_t size, size_t piece, struct text *seen)
{
    struct http_exchange x;
    size_t at = 0, used;
    bool closed = false;
    http_exchange_init(&x, handler, NULL);
    while (at < size && !closed) {
        size_t n = size - at < piece ? size - at : piece;
        char *copy = malloc(n); /* of exact size, so that reading past it is seen */
        memcpy(copy, data + at, n);
        enum http_progress progress = http_exchange_feed(&x, copy, n, &used);
        free(copy);
        assert(used <= n && (progress == HTTP_REPLY || used == n));
        at += used;
        if (progress == HTTP_MORE)
            continue;
        assert(!strncmp(x.out.data, "HTTP/1.1 ", 9) && strstr(x.out.data, "\r\n\r\n"));
        assert(x.reply.status == 200 || strstr(x.reply.body.data, "\",\"code\":\""));
        int status = x.reply.status == 414 || x.reply.status == 431 ? 400 : x.reply.status;
        text_printf(seen, "%d %d;", status, x.close);
        closed = x.close;
        http_exchange_next(&x);
    }
    http_exchange_free(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text whole = {0}, bytes = {0}, pieces = {0};
    replies(data, size, SIZE_MAX, &whole);
    replies(data, size, 1, &bytes);
    replies(data, size, 7, &pieces);
    assert(whole.len == bytes.len && whole.len == pieces.len);
    assert(!whole.len || (!strcmp(whole.data, bytes.data) && !strcmp(whole.data, pieces.data)));
    text_free(&whole);
    text_free(&bytes);
    text_free(&pieces);
    return 0;
}
