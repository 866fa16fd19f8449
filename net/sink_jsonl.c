/* Alerts as JSON lines, appended to FILE; nothing else is written. The cursor is FILE.cursor, one line:
 *
 *   ringtape cursor 1 outbox=<id> offset=<next event> length=<bytes of FILE up to there>
 *
 * A batch is appended and made durable, then the cursor is replaced by rename. Whatever lies behind `length`
 * at open is a batch that was not confirmed, whole or torn: it is cut off and delivered again. A reader that
 * follows FILE may thus see such lines twice; FILE itself holds each alert once. */
#include "net/sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, BUFFER_BYTES = 1 << 16 };

struct jsonl {
    const struct sink_config *config;
    int fd;
    uint64_t length; /* of the file, confirmed */
    char cursor_path[PATH_BYTES], temporary_path[PATH_BYTES];
    size_t used;
    char buffer[BUFFER_BYTES];
};

static int failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, "cannot %s %s: %s", what, path, strerror(errno));
}

__attribute__((format(printf, 2, 3))) static void say(const struct jsonl *j, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (j->config->log)
        j->config->log(j->config->log_ctx, line);
}

static int jsonl_check(const struct sink_config *config, struct error *err)
{
    if (!config->path || !*config->path || strlen(config->path) > PATH_BYTES - 16)
        return error_set(err, "found a path of %zu bytes, expected 1 to %d",
                         config->path ? strlen(config->path) : 0, PATH_BYTES - 16);
    return 0;
}

static int write_all(int fd, const char *data, size_t n)
{
    while (n) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        data += done;
        n -= (size_t)done;
    }
    return 0;
}

/* Until the rename is on disk the old cursor holds, and the batch is delivered again: no need to sync the
 * folder. */
static int write_cursor(const struct jsonl *j, const char *outbox_id, uint64_t offset, uint64_t length,
                        struct error *err)
{
    char line[256];
    int n = snprintf(line, sizeof line, "ringtape cursor 1 outbox=%s offset=%" PRIu64 " length=%" PRIu64 "\n",
                     outbox_id, offset, length);
    int fd = open(j->temporary_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return failed(err, "write", j->temporary_path);
    bool good = write_all(fd, line, (size_t)n) == 0 && fdatasync(fd) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    if (good && rename(j->temporary_path, j->cursor_path) == 0)
        return 0;
    return failed(err, "write", j->temporary_path);
}

/* 1 with the cursor, 0 if there is none, -1 with err. */
static int read_cursor(const struct jsonl *j, struct sink_cursor *cursor, uint64_t *length, struct error *err)
{
    char line[256] = "", again[256];
    int fd = open(j->cursor_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : failed(err, "read", j->cursor_path);
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    if (n < 0)
        return failed(err, "read", j->cursor_path);
    if (sscanf(line, "ringtape cursor 1 outbox=%32[0-9a-f] offset=%" SCNu64 " length=%" SCNu64,
               cursor->outbox_id, &cursor->offset, length) == 3) {
        snprintf(again, sizeof again, "ringtape cursor 1 outbox=%s offset=%" PRIu64 " length=%" PRIu64 "\n",
                 cursor->outbox_id, cursor->offset, *length);
        if (!strcmp(line, again))
            return 1;
    }
    return error_set(
        err,
        "%s: found '%.*s', expected 'ringtape cursor 1 outbox=… offset=… length=…': repair it, or delete "
        "it to append all events of the outbox to %s",
        j->cursor_path, (int)strcspn(line, "\n"), line, j->config->path);
}

/* A file or a cursor that was just made must not vanish with the power: then the other would be misread. */
static int sync_folder(const char *path, struct error *err)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) + 1 : 1;
    snprintf(folder, sizeof folder, "%.*s", len, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(err, "open", folder);
    int result = fsync(fd) ? failed(err, "sync", folder) : 0;
    close(fd);
    return result;
}

/* Brings the file back to what its cursor says; makes the cursor if there is none. */
static int settle(struct jsonl *j, struct sink_cursor *cursor, struct error *err)
{
    const char *path = j->config->path;
    struct stat st;
    uint64_t length;
    if (fstat(j->fd, &st))
        return failed(err, "stat", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, "%s is no regular file: only in one can each alert be kept exactly once", path);
    if (flock(j->fd, LOCK_EX | LOCK_NB))
        return error_set(err, "%s is being written by another process: stop it, or name another file", path);
    uint64_t size = (uint64_t)st.st_size;
    int found = read_cursor(j, cursor, &length, err);
    if (found < 0)
        return -1;
    j->length = size;
    if (!found) {
        if (size)
            say(j, "sink jsonl: %s has %" PRIu64 " bytes and no cursor: appending after them", path, size);
        if (write_cursor(j, j->config->outbox_id, 0, size, err))
            return -1;
        return sync_folder(path, err);
    }
    if (size < length) {
        say(j,
            "sink jsonl: %s has %" PRIu64 " bytes, its cursor says %" PRIu64
            ": it was cut or replaced by others; appending at its end",
            path, size, length);
    } else if (size > length) {
        say(j, "sink jsonl: cutting %" PRIu64 " bytes off %s that were not confirmed", size - length, path);
        if (ftruncate(j->fd, (off_t)length))
            return failed(err, "truncate", path);
        j->length = length;
    }
    return 0;
}

static int jsonl_open(void *state, const struct sink_config *config, struct sink_cursor *cursor,
                      struct error *err)
{
    struct jsonl *j = state;
    j->config = config;
    snprintf(j->cursor_path, sizeof j->cursor_path, "%s.cursor", config->path);
    snprintf(j->temporary_path, sizeof j->temporary_path, "%s.cursor.tmp", config->path);
    j->fd = open(config->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
    if (j->fd < 0)
        return failed(err, "open", config->path);
    if (settle(j, cursor, err) == 0)
        return 0;
    close(j->fd);
    return -1;
}

static int flush(struct jsonl *j, struct error *err)
{
    size_t n = j->used;
    j->used = 0;
    return write_all(j->fd, j->buffer, n) ? failed(err, "write", j->config->path) : 0;
}

static int put(struct jsonl *j, const char *data, size_t n, struct error *err)
{
    while (n) {
        size_t room = BUFFER_BYTES - j->used, part = n < room ? n : room;
        memcpy(j->buffer + j->used, data, part);
        j->used += part;
        data += part;
        n -= part;
        if (j->used == BUFFER_BYTES && flush(j, err))
            return -1;
    }
    return 0;
}

static int jsonl_deliver(void *state, const struct outbox_record *record, uint32_t n, uint32_t *accepted,
                         struct error *err)
{
    struct jsonl *j = state;
    uint64_t length = j->length;
    assert(j->used == 0 && n > 0);
    for (uint32_t i = 0; i < n; i++) {
        if (record[i].kind != OUTBOX_ALERT)
            continue;
        if (put(j, record[i].json, record[i].json_len, err) || put(j, "\n", 1, err))
            return -1;
        length += record[i].json_len + 1;
    }
    if (length != j->length && (flush(j, err) || (fdatasync(j->fd) && failed(err, "sync", j->config->path))))
        return -1;
    if (write_cursor(j, j->config->outbox_id, record[n - 1].offset + 1, length, err))
        return -1;
    j->length = length;
    *accepted = n;
    return 0;
}

static void jsonl_close(void *state)
{
    struct jsonl *j = state;
    close(j->fd);
}

const struct sink_ops sink_jsonl = {.name = "jsonl",
                                    .state_bytes = sizeof(struct jsonl),
                                    .check = jsonl_check,
                                    .open = jsonl_open,
                                    .deliver = jsonl_deliver,
                                    .close = jsonl_close};
