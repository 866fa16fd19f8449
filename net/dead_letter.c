#include "net/dead_letter.h"

#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, ID_BYTES = 33 };

static int failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, "dead letters: cannot %s %s: %s", what, path, strerror(errno));
}

/* Looks for the event among the letters. 1 if it is there, 0 if not, with *end behind the last whole line: a
 * kill may have left a part of one. */
static int find(FILE *f, const char *outbox_id, uint64_t offset, off_t *end)
{
    char *line = NULL, id[ID_BYTES];
    size_t room = 0;
    ssize_t n;
    uint64_t at;
    int found = 0;
    *end = 0;
    while (!found && (n = getline(&line, &room, f)) > 0 && line[n - 1] == '\n') {
        *end += n;
        found = sscanf(line, "{\"outbox\":\"%32[0-9a-f]\",\"offset\":%" SCNu64, id, &at) == 2 &&
                at == offset && !strcmp(id, outbox_id);
    }
    free(line);
    return found;
}

static void format(struct text *t, const char *outbox_id, const struct outbox_record *r, const char *reason)
{
    static const char *const kind[] = {
        [OUTBOX_ALERT] = "alert",     [OUTBOX_BAR] = "bar",   [OUTBOX_TRADE] = "trade",
        [OUTBOX_ANOMALY] = "anomaly", [OUTBOX_HALT] = "halt", [OUTBOX_SHADOW] = "shadow"};
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)r->name_len, r->name);
    text_printf(t, "{\"outbox\":\"%s\",\"offset\":%" PRIu64 ",\"symbol\":", outbox_id, r->offset);
    text_json(t, name);
    text_printf(t, ",\"kind\":\"%s\",\"reason\":", kind[r->kind]);
    text_json(t, reason);
    text_append(t, ",\"event\":", 9);
    text_append(t, r->json, r->json_len);
    text_append(t, "}\n", 2);
}

/* The file's own entry in the folder, and the folder's, must outlive a power cut too. */
static int sync_folder(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(err, "open", path);
    int result = fsync(fd) ? failed(err, "sync", path) : 0;
    close(fd);
    return result;
}

static int append(FILE *f, const char *path, off_t end, const struct text *t, struct error *err)
{
    int fd = fileno(f);
    if (ftruncate(fd, end) || lseek(fd, end, SEEK_SET) < 0)
        return failed(err, "cut off a torn line of", path);
    for (size_t done = 0; done < t->len;) {
        ssize_t n = write(fd, t->data + done, t->len - done);
        if (n < 0 && errno != EINTR)
            return failed(err, "write", path);
        done += n > 0 ? (size_t)n : 0;
    }
    return fdatasync(fd) ? failed(err, "sync", path) : 0;
}

int dead_letter_write(const char *dir, const char *sink, const char *outbox_id, const struct outbox_record *r,
                      const char *reason, struct error *err)
{
    char path[PATH_BYTES], parent[PATH_BYTES];
    struct text t = {0};
    off_t end;
    if (snprintf(path, sizeof path, "%s/%s.jsonl", dir, sink) >= (int)sizeof path)
        return error_set(err, "dead letters: the path %s is too long", dir);
    if (mkdir(dir, 0755) && errno != EEXIST)
        return failed(err, "make", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r+");
    if (!f) {
        failed(err, "open", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int result = 0;
    if (!find(f, outbox_id, r->offset, &end)) {
        format(&t, outbox_id, r, reason);
        snprintf(parent, sizeof parent, "%s/..", dir);
        result = t.failed ? error_set(err, "dead letters: no memory") : append(f, path, end, &t, err);
        if (result == 0 && end == 0 && (sync_folder(dir, err) || sync_folder(parent, err)))
            result = -1;
        result = result ? result : 1;
    }
    text_free(&t);
    fclose(f);
    return result;
}
