#include "workers/backup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/segment.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PIECE = 1 << 20 };

static int failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, "%s: cannot %s: %s%s", path, what, strerror(errno), segment_advice(errno));
}

static void finish(XXH3_state_t *x, struct backup_sum *sum)
{
    XXH128_hash_t h = XXH3_128bits_digest(x);
    snprintf(sum->xxh3_128, sizeof sum->xxh3_128, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
             (uint64_t)h.low64);
}

int backup_copy(const char *from, const char *to, uint64_t max, struct backup_sum *sum, struct error *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, rc = 0;
    if (in < 0)
        return errno == ENOENT ? 1 : failed(err, "read", from);
    if (to && (out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640)) < 0)
        rc = failed(err, "make", to);
    uint8_t *piece = malloc(PIECE);
    XXH3_state_t *x = XXH3_createState();
    if (!piece || !x)
        abort();
    XXH3_128bits_reset(x);
    sum->bytes = 0;
    while (rc == 0 && sum->bytes < max) {
        uint64_t left = max - sum->bytes;
        int64_t n = segment_read(in, piece, left < PIECE ? (size_t)left : PIECE, sum->bytes);
        if (n < 0)
            rc = failed(err, "read", from);
        if (n <= 0)
            break;
        XXH3_128bits_update(x, piece, (size_t)n);
        if (out >= 0 && segment_write(out, piece, (size_t)n, sum->bytes))
            rc = failed(err, "write", to);
        sum->bytes += (uint64_t)n;
    }
    if (rc == 0 && out >= 0 && fsync(out))
        rc = failed(err, "sync", to);
    finish(x, sum);
    XXH3_freeState(x);
    free(piece);
    close(in);
    if (out >= 0)
        close(out);
    return rc;
}

int backup_write(const char *path, const char *data, size_t n, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    int rc = fd < 0 || (n && segment_write(fd, data, n, 0)) || fsync(fd) ? failed(err, "write", path) : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

char *backup_read(const char *path, size_t *n, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t got = -1;
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (!(text = malloc((size_t)st.st_size + 1)))
            abort();
        got = segment_read(fd, text, (size_t)st.st_size, 0);
    }
    if (got < 0) {
        failed(err, "read", path);
        free(text);
        text = NULL;
    } else {
        text[got] = 0;
        *n = (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

static int sync_dir(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) ? failed(err, "sync", path) : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

void backup_remove(const char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* True if it exists; *empty: as a directory with nothing in it. */
static bool exists(const char *path, bool *empty)
{
    struct stat st;
    if (lstat(path, &st))
        return false;
    DIR *d = opendir(path);
    struct dirent *e;
    *empty = d != NULL;
    while (d && (e = readdir(d)))
        *empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (d)
        closedir(d);
    return true;
}

int backup_begin(const char *final, char *partial, size_t size, struct error *err)
{
    bool empty;
    size_t n = strlen(final);
    while (n > 1 && final[n - 1] == '/')
        n--;
    if (n + 16 > size)
        return error_set(err, "%s: the path is too long", final);
    snprintf(partial, size, "%.*s.partial", (int)n, final);
    if (exists(final, &empty) && !empty)
        return error_set(err, "%s is there and not empty; expected a new name, or an empty directory", final);
    if (mkdir(partial, 0750) == 0)
        return 0;
    if (errno == EEXIST)
        return error_set(err, "%s is there: somebody makes it, or was interrupted; remove it in that case",
                         partial);
    return failed(err, "make", partial);
}

static int sync_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)f;
    return type == FTW_D ? sync_dir(path, NULL) : 0;
}

int backup_finish(const char *partial, const char *final, struct error *err)
{
    char parent[BACKUP_PATH];
    snprintf(parent, sizeof parent, "%s/..", final);
    if (nftw(partial, sync_one, 8, FTW_PHYS | FTW_MOUNT))
        return failed(err, "sync", partial);
    if (rename(partial, final))
        return error_set(err, "cannot rename %s to %s: %s", partial, final, strerror(errno));
    return sync_dir(parent, err);
}

/* `path` is dir + "/" + what is given to `each`, which starts at `at`. */
static int walk(char path[BACKUP_PATH], size_t at,
                int (*each)(void *ctx, const char *path, struct error *err), void *ctx, struct error *err)
{
    struct dirent **list;
    size_t len = strlen(path);
    int rc = 0, n = scandir(path, &list, NULL, alphasort);
    if (n < 0)
        return failed(err, "read", path);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        struct stat st;
        if (rc == 0 && strcmp(name, ".") && strcmp(name, "..")) {
            if (snprintf(path + len, BACKUP_PATH - len, "/%s", name) >= (int)(BACKUP_PATH - len))
                rc = error_set(err, "%s: the path is too long", path);
            else if (lstat(path, &st))
                rc = failed(err, "read", path);
            else if (S_ISDIR(st.st_mode))
                rc = walk(path, at, each, ctx, err);
            else
                rc = each(ctx, path + at, err);
            path[len] = 0;
        }
        free(list[i]);
    }
    free(list);
    return rc;
}

int backup_walk(const char *dir, int (*each)(void *ctx, const char *path, struct error *err), void *ctx,
                struct error *err)
{
    char path[BACKUP_PATH];
    snprintf(path, sizeof path, "%s", dir);
    return walk(path, strlen(path) + 1, each, ctx, err);
}
