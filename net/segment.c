#include "net/segment.h"

#include "shm/file_lock.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBER_DIGITS = 20 };

/* mkdir -p */
static int make_dirs(const char *dir)
{
    char path[4096];
    size_t n = strlen(dir);
    if (n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, dir, n + 1);
    for (char *slash = path; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = 0;
        if (mkdir(path, 0750) && errno != EEXIST)
            return -1;
    }
    return mkdir(path, 0750) && errno != EEXIST ? -1 : 0;
}

int segment_dir_open(const char *dir, bool make, struct error *err)
{
    if (make && make_dirs(dir))
        return error_set(err, "%s: cannot make the directory: %s%s", dir, strerror(errno),
                         segment_advice(errno));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, "%s: cannot open the directory: %s%s", dir, strerror(errno),
                         segment_advice(errno));
    return fd;
}

int segment_lock(const char *dir, const char *what, struct error *err)
{
    char path[4096], text[32];
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set(err, "%s: cannot open: %s%s", path, strerror(errno), segment_advice(errno));
    if (file_lock(fd)) {
        int e = errno;
        int64_t n = segment_read(fd, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = 0;
        close(fd);
        if (e != EWOULDBLOCK)
            return error_set(err, "%s: cannot lock: %s", path, strerror(e));
        return error_set(err,
                         "%s: the %s is in use by process %d; expected to be its only writer: stop that one, "
                         "or use another directory",
                         dir, what, atoi(text));
    }
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || segment_write(fd, text, (size_t)n, 0)) {
        error_set(err, "%s: cannot write: %s%s", path, strerror(errno), segment_advice(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool parse_name(const char *name, const char *suffix, uint64_t *number)
{
    if (strlen(name) != NUMBER_DIGITS + strlen(suffix) || strcmp(name + NUMBER_DIGITS, suffix) ||
        strspn(name, "0123456789") < NUMBER_DIGITS)
        return false;
    errno = 0;
    *number = strtoull(name, NULL, 10);
    return errno == 0;
}

int segment_list(const char *dir, const char *suffix, uint64_t **numbers, struct error *err)
{
    DIR *d = opendir(dir);
    size_t n = 0, room = 0;
    *numbers = NULL;
    if (!d)
        return error_set(err, "%s: cannot read the directory: %s%s", dir, strerror(errno),
                         segment_advice(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        uint64_t number;
        if (!parse_name(e->d_name, suffix, &number))
            continue;
        if (n == room) {
            room = room ? 2 * room : 64;
            uint64_t *more = realloc(*numbers, room * sizeof **numbers);
            if (!more) {
                closedir(d);
                free(*numbers);
                *numbers = NULL;
                return error_set(err, "%s: out of memory listing the directory", dir);
            }
            *numbers = more;
        }
        (*numbers)[n++] = number;
    }
    closedir(d);
    if (n)
        qsort(*numbers, n, sizeof **numbers, by_number);
    return (int)n;
}

void segment_name(char name[SEGMENT_NAME_BYTES], uint64_t number, const char *suffix)
{
    int n = snprintf(name, SEGMENT_NAME_BYTES, "%0*" PRIu64 "%s", NUMBER_DIGITS, number, suffix);
    assert(n > 0 && n < SEGMENT_NAME_BYTES);
}

int64_t segment_read(int fd, void *buf, size_t n, uint64_t offset)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(fd, (char *)buf + got, n - got, (off_t)(offset + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (int64_t)got;
}

int segment_write(int fd, const void *buf, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pwrite(fd, (const char *)buf + done, n - done, (off_t)(offset + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            errno = r ? errno : ENOSPC;
            return -1;
        }
        done += (size_t)r;
    }
    return 0;
}

/* Copies fd from `offset` to its end into the new file `name`. 0 or -1 with errno. */
static int copy_tail(int dir_fd, int fd, uint64_t offset, const char *name)
{
    static const size_t piece = 1 << 20;
    char *buf = malloc(piece);
    int out = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640),
        rc = buf && out >= 0 ? 0 : -1;
    int64_t n = 0;
    for (uint64_t at = offset; rc == 0; at += (uint64_t)n) {
        n = segment_read(fd, buf, piece, at);
        if (n <= 0)
            break;
        rc = segment_write(out, buf, (size_t)n, at - offset);
    }
    if (n < 0 || (rc == 0 && fsync(out)))
        rc = -1;
    int e = errno;
    free(buf);
    if (out >= 0)
        close(out);
    errno = e;
    return rc;
}

/* The first of NAME, NAME-2, NAME-3 … that is not there. */
static void free_name(int dir_fd, char *name, size_t room)
{
    size_t n = strlen(name);
    struct stat st;
    for (int i = 2; fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0; i++)
        snprintf(name + n, room - n, "-%d", i);
}

int segment_set_aside(int dir_fd, const char *dir, const char *name, const char *suffix, struct error *err)
{
    char aside[SEGMENT_NAME_BYTES + 64];
    snprintf(aside, sizeof aside, "%s%s", name, suffix);
    free_name(dir_fd, aside, sizeof aside);
    if (renameat(dir_fd, name, dir_fd, aside))
        return error_set(err, "%s/%s: cannot rename it to %s: %s%s", dir, name, aside, strerror(errno),
                         segment_advice(errno));
    return 0;
}

int segment_cut(int dir_fd, const char *dir, const char *name, uint64_t offset, bool keep, struct error *err)
{
    int rc = 0, fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, "%s/%s: cannot open: %s%s", dir, name, strerror(errno), segment_advice(errno));
    if (keep) {
        char kept[SEGMENT_NAME_BYTES + 64];
        snprintf(kept, sizeof kept, "%s.cut-%" PRIu64, name, offset);
        free_name(dir_fd, kept, sizeof kept);
        if (copy_tail(dir_fd, fd, offset, kept))
            rc = error_set(err, "%s/%s: cannot keep what is cut off in %s: %s%s", dir, name, kept,
                           strerror(errno), segment_advice(errno));
    }
    if (rc == 0 && (ftruncate(fd, (off_t)offset) || fsync(fd) || fsync(dir_fd)))
        rc = error_set(err, "%s/%s: cannot cut it at %" PRIu64 ": %s%s", dir, name, offset, strerror(errno),
                       segment_advice(errno));
    close(fd);
    return rc;
}

const char *segment_advice(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return "; free some space there";
    case EFBIG:
        return "; raise the limit on a file's size (ulimit -f, LimitFSIZE=)";
    case EIO:
        return "; the disk fails: see dmesg, move to another one";
    case EROFS:
        return "; it is mounted read-only: see dmesg, remount it";
    case EACCES:
    case EPERM:
        return "; give this user the right to it";
    case EMFILE:
    case ENFILE:
        return "; raise the limit on open files (ulimit -n, LimitNOFILE=)";
    case ENOENT:
        return "; check the path";
    default:
        return "";
    }
}

void segment_random_id(uint8_t id[SEGMENT_ID_BYTES])
{
    ssize_t n = getrandom(id, SEGMENT_ID_BYTES, 0);
    assert(n == SEGMENT_ID_BYTES); /* so few bytes always come at once */
}

void segment_id_text(const uint8_t id[SEGMENT_ID_BYTES], char text[2 * SEGMENT_ID_BYTES + 1])
{
    for (int i = 0; i < SEGMENT_ID_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
}
