#include "net/redis_link.h"

#include "net/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct redis_stream redis_streams[REDIS_STREAM_COUNT] = {
#define X(kind, stream, field, ...) {stream, field, OUTBOX_##kind},
    REDIS_STREAMS(X)
#undef X
};

struct redis_link {
    redisContext *context;
    SSL *ssl;           /* NULL: plain, the rest is unused */
    struct text queued; /* formatted commands */
    bool broken;
    bool asked; /* for a certificate that we have not; no reply has come since */
    char why[256];
};

static int tls_broken(struct redis_link *l, const char *what)
{
    unsigned long code = ERR_get_error();
    int saved = errno;
    long verify = l->ssl ? SSL_get_verify_result(l->ssl) : X509_V_OK;
    l->broken = true;
    if (verify != X509_V_OK)
        snprintf(l->why, sizeof l->why, "%s: the server's certificate: %s", what,
                 X509_verify_cert_error_string(verify));
    else
        snprintf(l->why, sizeof l->why, "%s: %s", what,
                 code                                      ? ERR_reason_error_string(code)
                 : saved == EAGAIN || saved == EWOULDBLOCK ? "no reply in time"
                 : saved                                   ? strerror(saved)
                                                           : "the server closed the connection");
    if (l->asked) /* whether its own word on it arrives before the connection's end is chance */
        strncat(l->why, "; the server asked for a certificate: set redis.cert_file and redis.key_file",
                sizeof l->why - strlen(l->why) - 1);
    ERR_clear_error();
    return -1;
}

static int no_certificate(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
    struct redis_link *l = SSL_get_app_data(ssl);
    (void)cert;
    (void)key;
    l->asked = true;
    return 0;
}

const char *redis_link_broken(const struct redis_link *l)
{
    if (l->broken)
        return l->why;
    if (!l->context->err)
        return NULL;
    return strstr(l->context->errstr, "temporarily unavailable") ? "no reply in time" : l->context->errstr;
}

static int file_error(struct error *err, const char *setting, const char *path)
{
    unsigned long code = ERR_get_error();
    const char *why = ERR_reason_error_string(code);
    ERR_clear_error();
    return error_set(err, "redis.%s: cannot use %s: %s; expected a PEM file", setting, path,
                     ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                     : why                  ? why
                                            : "unknown");
}

static int use_files(SSL_CTX *c, const struct redis_link_tls *t, struct error *err)
{
    if (!t->ca_file || !*t->ca_file)
        SSL_CTX_set_default_verify_paths(c);
    else if (SSL_CTX_load_verify_file(c, t->ca_file) != 1)
        return file_error(err, "ca_file", t->ca_file);
    if (!t->cert_file || !*t->cert_file)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(c, t->cert_file) != 1)
        return file_error(err, "cert_file", t->cert_file);
    if (SSL_CTX_use_PrivateKey_file(c, t->key_file, SSL_FILETYPE_PEM) != 1)
        return file_error(err, "key_file", t->key_file);
    return 0;
}

/* The server has to show a certificate for the name, or the address, that we connect to. */
static bool expect_host(SSL *ssl, const char *host)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int start_tls(struct redis_link *l, const char *host, const struct redis_link_tls *tls,
                     struct error *err)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    if (!c)
        return error_set(err, "no memory");
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_client_cert_cb(c, no_certificate); /* not called where we have one */
    int result = use_files(c, tls, err);
    if (result == 0) {
        errno = 0;
        l->ssl = SSL_new(c);
        if (!l->ssl || SSL_set_app_data(l->ssl, l) != 1 || !expect_host(l->ssl, host) ||
            SSL_set_fd(l->ssl, l->context->fd) != 1 || SSL_connect(l->ssl) != 1) {
            tls_broken(l, "TLS");
            result = error_set(err, "%s", l->why);
        }
    }
    SSL_CTX_free(c);
    return result;
}

struct redis_link *redis_link_open(const struct setting_redis *url, const struct redis_link_tls *tls,
                                   struct error *err)
{
    struct timeval connect = {REDIS_LINK_CONNECT_MS / 1000, REDIS_LINK_CONNECT_MS % 1000 * 1000};
    struct timeval reply = {REDIS_LINK_TIMEOUT_MS / 1000, REDIS_LINK_TIMEOUT_MS % 1000 * 1000};
    struct redis_link *l = calloc(1, sizeof *l);
    if (l)
        l->context = redisConnectWithTimeout(url->host, url->port, connect);
    if (!l || !l->context) {
        free(l);
        error_set(err, "no memory");
        return NULL;
    }
    if (l->context->err)
        error_set(err, "%s", l->context->errstr);
    else if (redisSetTimeout(l->context, reply) || redisEnableKeepAlive(l->context))
        error_set(err, "cannot set up the socket: %s", l->context->errstr);
    else if (!url->tls || start_tls(l, url->host, tls, err) == 0)
        return l;
    redis_link_close(l);
    return NULL;
}

void redis_link_close(struct redis_link *l)
{
    if (l->ssl && !l->broken)
        SSL_shutdown(l->ssl); /* says goodbye, does not wait for the answer */
    SSL_free(l->ssl);
    ERR_clear_error();
    redisFree(l->context);
    text_free(&l->queued);
    free(l);
}

int redis_link_append(struct redis_link *l, int n, const char **arg, const size_t *len)
{
    char *command;
    if (!l->ssl)
        return redisAppendCommandArgv(l->context, n, arg, len) == REDIS_OK ? 0 : -1;
    int bytes = redisFormatCommandArgv(&command, n, arg, len);
    if (bytes >= 0) {
        text_append(&l->queued, command, (size_t)bytes);
        redisFreeCommand(command);
    }
    if (bytes >= 0 && !l->queued.failed)
        return 0;
    errno = ENOMEM;
    return tls_broken(l, "TLS");
}

static int send_queued(struct redis_link *l)
{
    size_t done;
    errno = 0;
    if (l->queued.len && SSL_write_ex(l->ssl, l->queued.data, l->queued.len, &done) != 1)
        return tls_broken(l, "TLS");
    text_clear(&l->queued);
    return 0;
}

redisReply *redis_link_reply(struct redis_link *l)
{
    char bytes[16384];
    size_t n;
    void *reply = NULL;
    if (!l->ssl)
        return redisGetReply(l->context, &reply) == REDIS_OK ? reply : NULL;
    if (l->broken || send_queued(l))
        return NULL;
    for (;;) {
        if (redisGetReplyFromReader(l->context, &reply) != REDIS_OK || reply)
            return reply;
        errno = 0;
        if (SSL_read_ex(l->ssl, bytes, sizeof bytes, &n) != 1) {
            tls_broken(l, "TLS");
            return NULL;
        }
        l->asked = false;
        if (redisReaderFeed(l->context->reader, bytes, n) != REDIS_OK) {
            errno = ENOMEM;
            tls_broken(l, "TLS");
            return NULL;
        }
    }
}

redisReply *redis_link_command(struct redis_link *l, int n, const char **arg, const size_t *len)
{
    return redis_link_append(l, n, arg, len) ? NULL : redis_link_reply(l);
}

int redis_link_auth(const char *path, char line[SECRET_BYTES], const char *arg[3], struct error *err)
{
    if (secret_read("redis.password_file", path, line, err))
        return -1;
    if (!*line)
        return 0;
    char *colon = strchr(line, ':');
    bool user = colon && colon != line;
    int n = 0;
    arg[n++] = "AUTH";
    if (user)
        arg[n++] = line;
    arg[n++] = colon ? colon + 1 : line;
    if (colon)
        *colon = 0;
    return n;
}
