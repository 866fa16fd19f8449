#include "net/http.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BIG_BYTES = 3000000 };

static unsigned handled;
static char last_path[HTTP_URL_BYTES_MAX + 1], last_query[HTTP_URL_BYTES_MAX + 1];

static void handler(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    (void)ctx;
    __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
    strcpy(last_path, request->path);
    strcpy(last_query, request->query);
    if (!strcmp(request->path, "/health")) {
        text_printf(&reply->body, "{\"status\":\"ok\"}");
    } else if (!strcmp(request->path, "/ready")) {
        reply->status = 503;
        text_printf(&reply->body, "{\"status\":\"starting\"}");
    } else if (!strcmp(request->path, "/big")) {
        reply->content_type = "text/plain";
        for (int i = 0; i < BIG_BYTES / 10; i++)
            text_append(&reply->body, "0123456789", 10);
    } else if (!strcmp(request->path, "/nothing")) {
        reply->status = 204;
    } else if (!strcmp(request->path, "/broken")) {
        reply->body.failed = true;
    } else {
        http_reply_not_found(reply, request);
    }
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

/* Feeds `text` in pieces of `piece` bytes; returns the replies one after the other, malloced. */
static char *exchange(const char *text, size_t len, size_t piece, bool *closed)
{
    struct http_exchange x;
    struct text all = {0};
    size_t at = 0, used;
    *closed = false;
    http_exchange_init(&x, handler, NULL);
    while (at < len && !*closed) {
        size_t n = len - at < piece ? len - at : piece;
        while (n > 0 && !*closed) {
            enum http_progress progress = http_exchange_feed(&x, text + at, n, &used);
            assert_true(used <= n);
            at += used;
            n -= used;
            if (progress == HTTP_MORE) {
                assert_int_equal(n, 0);
                continue;
            }
            text_append(&all, x.out.data, x.out.len);
            *closed = x.close;
            http_exchange_next(&x);
        }
    }
    http_exchange_free(&x);
    text_append(&all, "", 0);
    return all.data;
}

#define XHEADER                                                                                              \
    "X: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567\r\n"

static const struct {
    const char *request, *starts, *contains;
    bool closes;
} cases[] = {
    {GET("/health"), "HTTP/1.1 200 OK\r\n", "\r\nConnection: keep-alive\r\n\r\n{\"status\":\"ok\"}", false},
    {GET("/healthz?a=b"), "HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 15\r\n", false},
    {GET("http://other:80/health"), "HTTP/1.1 200 OK\r\n", "\r\nCache-Control: no-store\r\n", false},
    {"\r\n\r\n" GET("/health"), "HTTP/1.1 200 OK\r\n", "ok", false},
    {GET("/ready"), "HTTP/1.1 503 Service Unavailable\r\n", "starting", false},
    {GET("/nope"), "HTTP/1.1 404 Not Found\r\n", "{\"error\":\"there is no /nope\",\"code\":\"not_found\"}",
     false},
    {GET("/a\"b"), "HTTP/1.1 404 Not Found\r\n", "{\"error\":\"there is no /a\\\"b\",\"code\":\"not_found\"}",
     false},
    {GET("/broken"), "HTTP/1.1 500 Internal Server Error\r\n", "\"code\":\"internal\"", false},
    {"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200", "Connection: close\r\n",
     true},
    {"GET /health HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "Connection: close\r\n", true},
    {"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200", "Connection: keep-alive\r\n",
     false},
    {"GET /health HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
     "HTTP/1.1 200", "ok", false},
    {"GET /health HTTP/1.1\r\nhost:\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200", "ok", false},
    {"POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
     "HTTP/1.1 405 Method Not Allowed\r\n", "\r\nAllow: GET, HEAD\r\n", true},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405", "\"code\":\"method_not_allowed\"", true},
    {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405", "", true},
    {"GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "expected exactly one Host header",
     true},
    {"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400", "one Host", true},
    {"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 413", "body_not_allowed",
     true},
    {"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 413",
     "body_not_allowed", true},
    {"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 400", "",
     true},
    {"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505", "version_not_supported", true},
    {"GET /health\r\n\r\n", "HTTP/1.1 505", "", true},
    {"NONSENSE\r\n\r\n", "HTTP/1.1 400", "{\"error\":\"invalid HTTP method\",\"code\":\"bad_request\"}",
     true},
    {"HEAX / HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "invalid HTTP method", true},
    {"GET /a b HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "bad_request", true},
    {"GET /health HTTP/1.1\r\nHo st: a\r\n\r\n", "HTTP/1.1 400", "bad_request", true},
    {"\x16\x03\x01\x02", "HTTP/1.1 400", "bad_request", true}, /* TLS */
};

static void requests_and_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 5000; piece = piece * 3 + (piece > 20) * 5000) {
            bool closed;
            char *out = exchange(cases[i].request, strlen(cases[i].request), piece, &closed);
            if (strncmp(out, cases[i].starts, strlen(cases[i].starts)) || !strstr(out, cases[i].contains) ||
                closed != cases[i].closes)
                fail_msg("in pieces of %zu: %s\nanswered: %s\nexpected: %s … %s, %s", piece, cases[i].request,
                         out, cases[i].starts, cases[i].contains, cases[i].closes ? "closing" : "staying");
            free(out);
        }
}

static void paths_and_queries(void **state)
{
    (void)state;
    bool closed;
    free(exchange(GET("/stats?x=1&y=%20#f"), strlen(GET("/stats?x=1&y=%20#f")), 999, &closed));
    assert_string_equal(last_path, "/stats");
    assert_string_equal(last_query, "x=1&y=%20");
    free(exchange(GET("/healthz"), strlen(GET("/healthz")), 999, &closed));
    assert_string_equal(last_path, "/health");
    assert_string_equal(last_query, "");
    free(exchange(GET("http://h?q"), strlen(GET("http://h?q")), 999, &closed));
    assert_string_equal(last_path, "/");
    assert_string_equal(last_query, "q");
}

static void head_has_no_body(void **state)
{
    (void)state;
    bool closed;
    const char *request = "HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n";
    char *out = exchange(request, strlen(request), 7, &closed);
    assert_non_null(strstr(out, "Content-Length: 15\r\n"));
    assert_string_equal(out + strlen(out) - 4, "\r\n\r\n");
    free(out);
    request = "HEAD /health HTTP/1.1\r\n\r\n"; /* refused, still without a body */
    out = exchange(request, strlen(request), 7, &closed);
    assert_int_equal(strncmp(out, "HTTP/1.1 400", 12), 0);
    assert_string_equal(out + strlen(out) - 4, "\r\n\r\n");
    free(out);
}

static void limits_of_a_request(void **state)
{
    (void)state;
    bool closed;
    struct text t = {0};
    text_printf(&t, "GET /health HTTP/1.1\r\nHost: h\r\n");
    while (t.len + strlen(XHEADER) + 2 <= HTTP_HEAD_BYTES_MAX)
        text_printf(&t, XHEADER);
    text_printf(&t, "Y: %0*d\r\n\r\n", (int)(HTTP_HEAD_BYTES_MAX - t.len - 7), 0);
    assert_int_equal(t.len, HTTP_HEAD_BYTES_MAX);
    char *out = exchange(t.data, t.len, 1000, &closed);
    assert_int_equal(strncmp(out, "HTTP/1.1 200", 12), 0);
    free(out);
    t.len -= 2;
    text_printf(&t, XHEADER "\r\n");
    out = exchange(t.data, t.len, 1000, &closed);
    assert_int_equal(strncmp(out, "HTTP/1.1 431", 12), 0);
    assert_true(closed);
    free(out);
    text_clear(&t);
    text_printf(&t, "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_URL_BYTES_MAX - 1, 0);
    out = exchange(t.data, t.len, 1000, &closed);
    assert_int_equal(strncmp(out, "HTTP/1.1 404", 12), 0);
    free(out);
    text_clear(&t);
    text_printf(&t, "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_URL_BYTES_MAX, 0);
    out = exchange(t.data, t.len, 1000, &closed);
    assert_int_equal(strncmp(out, "HTTP/1.1 414", 12), 0);
    assert_non_null(strstr(out, "uri_too_long"));
    free(out);
    text_free(&t);
}

static unsigned count(const char *in, const char *what)
{
    unsigned n = 0;
    for (; (in = strstr(in, what)); in++)
        n++;
    return n;
}

/* From here on: real sockets. */

static struct http_server *server;

static void start(unsigned connections, int64_t idle_ms)
{
    struct error err;
    const struct http_config config = {
        .address = "127.0.0.1", .handler = handler, .connections = connections, .idle_ms = idle_ms};
    server = http_server_start(&config, &err);
    if (!server)
        fail_msg("%s", err.text);
    assert_int_not_equal(http_server_port(server), 0);
}

static int stop(void **state)
{
    (void)state;
    http_server_stop(server);
    server = NULL;
    return 0;
}

static int connect_client(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_server_port(server))};
    struct timeval patience = {.tv_sec = 10};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `bytes` have come, or the end of the stream; *end tells which. Malloced. */
static char *hear(int fd, size_t bytes, ssize_t *end)
{
    struct text t = {0};
    char part[16384];
    ssize_t n = 1;
    while (t.len < bytes && (n = recv(fd, part, sizeof part, 0)) > 0)
        text_append(&t, part, (size_t)n);
    text_append(&t, "", 0);
    *end = n;
    return t.data;
}

static void serves_over_a_socket(void **state)
{
    (void)state;
    ssize_t end;
    start(0, 0);
    int fd = connect_client();
    for (int i = 0; i < 3; i++) { /* one connection, kept */
        say(fd, GET("/health"));
        char *out = hear(fd, 100, &end);
        assert_int_equal(strncmp(out, "HTTP/1.1 200 OK\r\n", 17), 0);
        assert_non_null(strstr(out, "{\"status\":\"ok\"}"));
        free(out);
    }
    say(fd, "GET /hea"); /* in pieces */
    struct timespec pause = {.tv_nsec = 5000000};
    nanosleep(&pause, NULL);
    say(fd, "lth HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    char *out = hear(fd, SIZE_MAX, &end);
    assert_int_equal(end, 0); /* closed in order */
    assert_non_null(strstr(out, "Connection: close"));
    free(out);
    close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    (void)state;
    ssize_t end;
    start(0, 0);
    struct text t = {0};
    for (int i = 0; i < 500; i++)
        text_printf(&t, i % 2 ? GET("/ready") : GET("/health"));
    text_printf(&t, "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    int fd = connect_client();
    say(fd, t.data);
    char *out = hear(fd, SIZE_MAX, &end);
    assert_int_equal(end, 0);
    assert_int_equal(count(out, "HTTP/1.1 200"), 250);
    assert_int_equal(count(out, "HTTP/1.1 503"), 250);
    assert_true(strstr(out, "503") > strstr(out, "200"));
    assert_int_equal(count(out, "HTTP/1.1 404"), 1);
    free(out);
    text_free(&t);
    close(fd);
}

static void large_replies_arrive_whole(void **state)
{
    (void)state;
    ssize_t end;
    start(0, 0);
    int fd = connect_client();
    say(fd, "GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    struct timespec pause = {.tv_nsec = 50000000};
    nanosleep(&pause, NULL); /* so that it cannot be sent at once */
    char *out = hear(fd, SIZE_MAX, &end);
    assert_int_equal(end, 0);
    char *body = strstr(out, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), BIG_BYTES);
    for (int i = 0; i < BIG_BYTES; i++)
        if (body[4 + i] != '0' + i % 10)
            fail_msg("byte %d is %c", i, body[4 + i]);
    free(out);
    close(fd);
}

/* What was refused while more was on its way: the reply arrives, no reset destroys it. */
static void refusals_arrive(void **state)
{
    (void)state;
    ssize_t end;
    start(0, 0);
    struct text t = {0};
    text_printf(&t, "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n%0*d", 100000, 0);
    int fd = connect_client();
    say(fd, t.data);
    char *out = hear(fd, SIZE_MAX, &end);
    assert_int_equal(end, 0);
    assert_int_equal(strncmp(out, "HTTP/1.1 405", 12), 0);
    free(out);
    text_free(&t);
    close(fd);
}

static void slow_clients_are_dropped(void **state)
{
    (void)state;
    ssize_t end;
    start(0, 80);
    int silent = connect_client(), slow = connect_client(), good = connect_client();
    struct timespec pause = {.tv_nsec = 20000000};
    bool dropped = false;
    for (int i = 0; i < 200 && !dropped; i++) { /* a byte now and then does not keep it alive */
        dropped = send(slow, "\n", 1, MSG_NOSIGNAL) != 1;
        nanosleep(&pause, NULL);
    }
    assert_true(dropped);
    char *out = hear(silent, SIZE_MAX, &end);
    assert_int_equal(end, 0);
    assert_string_equal(out, "");
    free(out);
    close(good);
    close(silent);
    close(slow);
    bool served = false;
    for (int i = 0; i < 20 && !served;
         i++) { /* on a busy machine 80 ms may pass before the request is sent */
        int fd = connect_client();
        say(fd, GET("/health"));
        out = hear(fd, 100, &end);
        served = !strncmp(out, "HTTP/1.1 200", 12);
        free(out);
        close(fd);
    }
    assert_true(served);
}

static void idle_connections_do_not_lock_others_out(void **state)
{
    (void)state;
    ssize_t end;
    int idle[6];
    start(4, 2000);
    for (int i = 0; i < 6; i++)
        idle[i] = connect_client();
    int fd = connect_client();
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    say(fd, GET("/health"));
    char *out = hear(fd, 100, &end);
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_int_equal(strncmp(out, "HTTP/1.1 200", 12), 0);
    free(out);
    assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 <
                1900); /* not by their deadline */
    close(fd);
    for (int i = 0; i < 6; i++)
        close(idle[i]);
}

static void *hammer(void *ctx)
{
    uintptr_t good = 0;
    (void)ctx;
    for (int i = 0; i < 100; i++) {
        ssize_t end;
        int fd = connect_client();
        say(fd, "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        char *out = hear(fd, SIZE_MAX, &end);
        good += end == 0 && !strncmp(out, "HTTP/1.1 200", 12);
        free(out);
        close(fd);
    }
    return (void *)good;
}

static void many_clients_at_once(void **state)
{
    (void)state;
    pthread_t threads[6];
    void *good;
    start(3, 0);
    unsigned before = __atomic_load_n(&handled, __ATOMIC_RELAXED);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], &good);
        assert_int_equal((uintptr_t)good, 100);
    }
    assert_int_equal(__atomic_load_n(&handled, __ATOMIC_RELAXED) - before, 600);
}

static void stops_with_clients_in_every_state(void **state)
{
    (void)state;
    struct timespec pause = {.tv_nsec = 30000000};
    for (int i = 0; i < 20; i++) {
        start(0, 0);
        int idle = connect_client(), half = connect_client(), full = connect_client();
        say(half, "GET /he");
        say(full, GET("/big")); /* nobody reads: the send stays pending */
        if (i % 2)
            nanosleep(&pause, NULL);
        http_server_stop(server);
        server = NULL;
        close(idle);
        close(half);
        close(full);
    }
}

static void says_why_it_cannot_listen(void **state)
{
    (void)state;
    struct error err;
    start(0, 0);
    struct http_config config = {
        .address = "127.0.0.1", .port = http_server_port(server), .handler = handler};
    assert_null(http_server_start(&config, &err));
    assert_non_null(strstr(err.text, "Address already in use; another process has this port"));
    config.address = "localhost";
    assert_null(http_server_start(&config, &err));
    assert_string_equal(err.text, "cannot listen on \"localhost\": expected an IPv4 or IPv6 address");
    config.address = "192.0.2.1"; /* TEST-NET-1 */
    assert_null(http_server_start(&config, &err));
    assert_non_null(strstr(err.text, "no interface has this address"));
}

static void listens_on_ipv6(void **state)
{
    (void)state;
    struct error err;
    const struct http_config config = {.address = "::1", .handler = handler};
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool there = probe >= 0 && !bind(probe, (struct sockaddr *)&a, sizeof a);
    close(probe);
    if (!there)
        skip();
    server = http_server_start(&config, &err);
    assert_non_null(server);
    assert_int_not_equal(http_server_port(server), 0);
}

/* A process in which io_uring_setup fails with `errnum`, as seccomp profiles of containers do. */
static void says_that_io_uring_is_forbidden(void **state)
{
    (void)state;
    const struct {
        int errnum;
        const char *says;
    } tries[] = {{EPERM, "io_uring is forbidden here"},
                 {ENOSYS, "this kernel has no io_uring, or a seccomp filter"}};
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)tries[i].errnum),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            };
            struct sock_fprog filter = {.len = 4, .filter = code};
            const struct http_config config = {.address = "127.0.0.1", .handler = handler};
            struct error err = {""};
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
                _exit(77);
            bool none = !http_server_start(&config, &err);
            _exit(none && strstr(err.text, tries[i].says) ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
            skip();
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    struct error err;
    loop_explain(ENOMEM, &err);
    assert_non_null(strstr(err.text, "ulimit -l"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_replies),
        cmocka_unit_test(paths_and_queries),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(limits_of_a_request),
        cmocka_unit_test_teardown(serves_over_a_socket, stop),
        cmocka_unit_test_teardown(answers_pipelined_requests_in_order, stop),
        cmocka_unit_test_teardown(large_replies_arrive_whole, stop),
        cmocka_unit_test_teardown(refusals_arrive, stop),
        cmocka_unit_test_teardown(slow_clients_are_dropped, stop),
        cmocka_unit_test_teardown(idle_connections_do_not_lock_others_out, stop),
        cmocka_unit_test_teardown(many_clients_at_once, stop),
        cmocka_unit_test(stops_with_clients_in_every_state),
        cmocka_unit_test_teardown(says_why_it_cannot_listen, stop),
        cmocka_unit_test_teardown(listens_on_ipv6, stop),
        cmocka_unit_test(says_that_io_uring_is_forbidden),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
