#include "net/postgres_link.h"

#include "net/secret.h"

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* At connect there is no SQLSTATE, only the text. */
static const struct {
    const char *sign, *fix;
} by_text[] = {
    {"password authentication failed", "correct the file that postgres.password_file names"},
    {"no password supplied", "put the password into a file and name it in postgres.password_file"},
    {"no pg_hba.conf entry", "let this host, user and database in (pg_hba.conf of the server)"},
    {"authentication failed", "see pg_hba.conf of the server: its method for this user does not fit"},
    {"certificate", "see sslmode, sslrootcert, sslcert and sslkey in sinks.postgres"},
    {"SSL", "see sslmode in sinks.postgres and ssl of the server"},
    {"database \"", "create it (CREATE DATABASE), or correct the name in sinks.postgres"},
    {"role \"", "create it (CREATE ROLE … LOGIN), or correct the user in sinks.postgres"},
    {"starting up", "no need to do anything"},
    {"shutting down", "no need to do anything"},
    {"too many", "raise the server's max_connections, or the role's or database's CONNECTION LIMIT"},
    {"reserved for", "raise the server's max_connections"},
    {"read-only", "none of the hosts is the primary"},
    {"timeout expired", "the server or the way to it hangs"},
    {"refused", "start the server, or correct host and port in sinks.postgres"},
    {"translate host name", "correct the host in sinks.postgres"},
};

static const char *advice(const char *text)
{
    for (size_t i = 0; i < sizeof by_text / sizeof *by_text; i++)
        if (strstr(text, by_text[i].sign))
            return by_text[i].fix;
    return NULL;
}

int postgres_link_broken(const PGconn *conn, const char *url, const char *what, struct error *err)
{
    char text[400];
    snprintf(text, sizeof text, "%s", PQerrorMessage(conn));
    for (char *newline; (newline = strchr(text, '\n'));)
        *newline = newline[1] ? ' ' : 0;
    const char *fix = advice(text);
    return error_set(err, "%s: %s: %s%s%s", url, what, *text ? text : "connection lost", fix ? "; " : "",
                     fix ? fix : "");
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

int postgres_link_wait(PGconn *conn, const char *url, const char *what, int timeout_ms, struct error *err)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    for (;;) {
        int unsent = PQflush(conn);
        if (unsent < 0)
            return postgres_link_broken(conn, url, what, err);
        if (!unsent && !PQisBusy(conn))
            return 0;
        struct pollfd fd = {PQsocket(conn), (short)(unsent ? POLLIN | POLLOUT : POLLIN), 0};
        int64_t left_ms = deadline_ms - now_ms();
        int ready = left_ms > 0 ? poll(&fd, 1, (int)left_ms) : 0;
        if (ready == 0)
            return error_set(err, "%s: %s: no answer within %d s: the server or the way to it hangs", url,
                             what, timeout_ms / 1000);
        if (ready > 0 && fd.revents & ~POLLOUT && !PQconsumeInput(conn))
            return postgres_link_broken(conn, url, what, err);
    }
}

/* libpq would print it. */
static void pass_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

PGconn *postgres_link_open(const struct settings *s, struct error *err)
{
    char password[SECRET_BYTES], connect_s[8];
    if (secret_read("postgres.password_file", s->postgres_password_file, password, err))
        return NULL;
    snprintf(connect_s, sizeof connect_s, "%d", POSTGRES_CONNECT_S);
    const char *const keys[] = {"dbname",
                                "connect_timeout",
                                "tcp_user_timeout",
                                "keepalives",
                                "keepalives_idle",
                                "keepalives_interval",
                                "keepalives_count",
                                "client_encoding",
                                "fallback_application_name",
                                *password ? "password" : NULL,
                                NULL};
    const char *const values[] = {s->sinks_postgres, connect_s, "5000", "1", "5", "2", "3", "UTF8",
                                  "ringtape",        password,  NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    explicit_bzero(password, sizeof password);
    if (!conn) {
        error_set(err, "no memory");
        return NULL;
    }
    PQsetNoticeReceiver(conn, pass_notice, NULL);
    if (PQstatus(conn) == CONNECTION_OK && PQsetnonblocking(conn, 1) == 0)
        return conn;
    postgres_link_broken(conn, s->sinks_postgres, "cannot connect", err);
    PQfinish(conn);
    return NULL;
}
