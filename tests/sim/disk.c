#include "tests/sim/disk.h"

#include "tests/sim/process.h"
#include "tests/sim/random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FDS = 4096, FILES = 4096, NAMES = 2048, FOLDERS = 2, NAME_BYTES = 64 };

struct folder;

struct op {
    struct op *next;
    uint64_t number; /* in the order of all operations and changes of names */
    uint64_t offset, bytes;
    bool cut; /* the file ends at `offset`; else `bytes` are written there */
    uint8_t data[];
};

struct file {
    uint8_t *image; /* what is durable */
    uint64_t bytes, room;
    struct op *first, **last; /* what is not, in order */
    const struct folder *folder;
    ino_t ino;
    bool mapped; /* written without a call */
};

struct name {
    char text[NAME_BYTES];
    struct file *file;
};

/* A change of names: `name` is made (or replaced) to be `file`; NULL: removed. A rename is two, of which a
 * power cut keeps both or none. */
struct change {
    struct name name;
    uint64_t number;
    bool with_next;
};

struct folder {
    char path[PATH_MAX];
    ino_t ino;
    struct name durable[NAMES];
    struct change change[NAMES];
    int n_durable, n_changes;
};

struct disk_faults disk_faults;
uint64_t disk_faults_made;
static uint64_t n_ops;
static struct folder folders[FOLDERS];
static struct file files[FILES];
static int n_files;
static struct {
    pid_t pid;
    struct file *file;
    struct folder *folder;
} fds[FDS];

static int real_open(int dir, const char *path, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static bool faulty(unsigned one_in, const char *what)
{
    bool f = process_current() && random_one_in(one_in);
    disk_faults_made += f;
    if (f)
        process_note("disk: %s of %s %d", what, process_name(process_current()), process_current());
    return f;
}

/* Files. */

static struct file *new_file(ino_t ino)
{
    assert(n_files < FILES);
    struct file *f = &files[n_files++];
    *f = (struct file){.ino = ino};
    f->last = &f->first;
    return f;
}

static struct file *file_of_ino(ino_t ino)
{
    for (int i = n_files; i-- > 0;)
        if (files[i].ino == ino)
            return &files[i];
    return NULL;
}

static void note_op(struct file *f, bool cut, uint64_t offset, const void *data, uint64_t bytes)
{
    struct op *op = malloc(sizeof *op + bytes);
    *op = (struct op){.number = ++n_ops, .offset = offset, .bytes = bytes, .cut = cut};
    if (bytes)
        memcpy(op->data, data, bytes);
    *f->last = op;
    f->last = &op->next;
}

static void resize(struct file *f, uint64_t bytes)
{
    if (bytes > f->room) {
        f->room = bytes + bytes / 2;
        f->image = realloc(f->image, f->room);
    }
    if (bytes > f->bytes)
        memset(f->image + f->bytes, 0, bytes - f->bytes);
    f->bytes = bytes;
}

static void apply(struct file *f, const struct op *op, uint64_t from, uint64_t to)
{
    if (op->cut) {
        resize(f, op->offset);
        return;
    }
    if (op->offset + to > f->bytes)
        resize(f, op->offset + to);
    memcpy(f->image + op->offset + from, op->data + from, to - from);
}

/* Whole, torn or not at all, by chance. */
static void apply_some(struct file *f, const struct op *op)
{
    uint64_t from = 0, to = op->bytes, chance = random_below(4);
    if (chance == 2 && to) {
        from = random_below(2) ? random_below(to) : 0;
        to = from + random_below(to - from + 1);
    }
    if (chance)
        apply(f, op, from, to);
}

enum survives { ALL, SOME, NONE };

/* What becomes of the operations that are not durable: SOME is left to chance. */
static void settle(struct file *f, enum survives what)
{
    for (struct op *op = f->first, *next; op; op = next) {
        next = op->next;
        if (what == ALL)
            apply(f, op, 0, op->bytes);
        else if (what == SOME)
            apply_some(f, op);
        free(op);
    }
    f->first = NULL;
    f->last = &f->first;
}

static void read_image(struct file *f, int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        abort();
    resize(f, (uint64_t)st.st_size);
    if (pread(fd, f->image, f->bytes, 0) != (ssize_t)f->bytes)
        abort();
}

/* Names. */

static struct folder *folder_of(int dir, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!strcmp(*name, "lock")) /* what it holds is for people */
        return NULL;
    for (int i = 0; i < FOLDERS; i++) {
        struct folder *d = &folders[i];
        size_t n = strlen(d->path);
        if (slash && n && !strncmp(path, d->path, n) && path + n == slash)
            return d;
        if (!slash && dir >= 0 && dir < FDS && fds[dir].folder == d)
            return d;
    }
    return NULL;
}

static void note_change(struct folder *d, const char *name, struct file *f, bool with_next)
{
    assert(d->n_changes < NAMES && strlen(name) < NAME_BYTES);
    struct change *c = &d->change[d->n_changes++];
    *c = (struct change){.name.file = f, .number = ++n_ops, .with_next = with_next};
    strcpy(c->name.text, name);
}

static void apply_change(struct folder *d, const struct name *name)
{
    int i = 0;
    while (i < d->n_durable && strcmp(d->durable[i].text, name->text))
        i++;
    if (!name->file) {
        if (i < d->n_durable)
            d->durable[i] = d->durable[--d->n_durable];
        return;
    }
    assert(i < NAMES);
    d->durable[i] = *name;
    d->n_durable += i == d->n_durable;
}

static void settle_names(struct folder *d, int n)
{
    for (int i = 0; i < n || (i > 0 && i < d->n_changes && d->change[i - 1].with_next); i++)
        apply_change(d, &d->change[i].name);
    d->n_changes = 0;
}

void disk_start(const char *root)
{
    snprintf(folders[0].path, PATH_MAX, "%s/capture", root);
    snprintf(folders[1].path, PATH_MAX, "%s/outbox", root);
}

/* Writes the folder as it survived, with the first `names` of what was not durable. */
static void rebuild(struct folder *d, int names)
{
    int dir = real_open(AT_FDCWD, d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (dir < 0)
        return;
    settle_names(d, names);
    /* every name that anyone may have made */
    struct linux_dirent64 {
        ino64_t ino;
        off64_t off;
        unsigned short reclen;
        unsigned char type;
        char name[];
    };
    char buf[1 << 16];
    for (long n; (n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0;)
        for (long at = 0; at < n; at += ((struct linux_dirent64 *)(buf + at))->reclen) {
            const char *name = ((struct linux_dirent64 *)(buf + at))->name;
            if (strcmp(name, ".") && strcmp(name, "..") && strcmp(name, "lock"))
                syscall(SYS_unlinkat, dir, name, 0);
        }
    for (int i = 0; i < d->n_durable; i++) {
        struct file *f = d->durable[i].file;
        int fd = real_open(dir, d->durable[i].text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        struct stat st;
        if (fd < 0 || syscall(SYS_pwrite64, fd, f->image, f->bytes, 0) != (long)f->bytes || fstat(fd, &st))
            abort();
        f->ino = st.st_ino;
        syscall(SYS_close, fd);
    }
    syscall(SYS_close, dir);
}

void disk_power_cut(void)
{
    for (int i = 0; i < n_files; i++) {
        files[i].mapped = false; /* its image is of some time before */
        files[i].ino = 0;
        settle(&files[i], SOME);
    }
    for (int i = 0; i < FOLDERS; i++)
        rebuild(&folders[i], (int)random_below((uint64_t)folders[i].n_changes + 1));
}

void disk_write_back(void)
{
    for (int i = 0; i < FOLDERS; i++)
        for (int k = 0; k < folders[i].n_durable + folders[i].n_changes; k++) {
            const struct folder *d = &folders[i];
            const struct name *n = k < d->n_durable ? &d->durable[k] : &d->change[k - d->n_durable].name;
            char path[PATH_MAX + NAME_BYTES];
            if (!n->file || !n->file->mapped)
                continue;
            snprintf(path, sizeof path, "%s/%s", d->path, n->text);
            int fd = real_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
            if (fd >= 0) {
                read_image(n->file, fd);
                syscall(SYS_close, fd);
            }
        }
}

/* Descriptors. */

static int took(int fd, struct file *file, struct folder *folder)
{
    if (fd >= 0 && fd < FDS) {
        fds[fd].pid = process_current();
        fds[fd].file = file;
        fds[fd].folder = folder;
    }
    return fd;
}

void disk_close_all(pid_t pid)
{
    for (int fd = 0; fd < FDS; fd++)
        if (fds[fd].pid == pid) {
            flock(fd, LOCK_UN); /* a mapping that is left would keep it */
            close(fd);
        }
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS)
        memset(&fds[fd], 0, sizeof fds[fd]);
    return (int)syscall(SYS_close, fd);
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    const char *name;
    struct stat st;
    struct folder *d = folder_of(dir, path, &name);
    if (!d) {
        int fd = real_open(dir, path, flags, mode);
        for (int i = 0; fd >= 0 && (flags & O_DIRECTORY) && i < FOLDERS; i++)
            if (!strcmp(path, folders[i].path))
                return took(fd, NULL, &folders[i]);
        return took(fd, NULL, NULL);
    }
    bool there = fstatat(dir, path, &st, 0) == 0;
    if ((flags & O_CREAT) && faulty(disk_faults.open, "a file or name")) {
        errno = random_below(2) ? ENOSPC : EMFILE;
        return -1;
    }
    int fd = real_open(dir, path, flags, mode);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st))
        abort();
    struct file *f = there ? file_of_ino(st.st_ino) : new_file(st.st_ino);
    assert(f);
    f->folder = d;
    if (!there)
        note_change(d, name, f, false);
    if (there && (flags & O_TRUNC))
        note_op(f, true, 0, NULL, 0);
    return took(fd, f, NULL);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return open_at(dir, path, flags, mode);
}

static void forget_if_gone(int dir, const char *path)
{
    struct stat st;
    struct file *f = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? file_of_ino(st.st_ino) : NULL;
    if (f && st.st_nlink == 1)
        f->ino = 0; /* the number is used again */
}

int unlinkat(int dir, const char *path, int flags)
{
    const char *name;
    struct folder *d = folder_of(dir, path, &name);
    if (d)
        forget_if_gone(dir, path);
    int rc = (int)syscall(SYS_unlinkat, dir, path, flags);
    if (d && rc == 0)
        note_change(d, name, NULL, false);
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    const char *name, *to_name;
    struct stat st;
    struct folder *d = folder_of(from_dir, from, &name), *to_d = folder_of(to_dir, to, &to_name);
    assert(d == to_d);
    if (d && faulty(disk_faults.open, "a file or name")) {
        errno = EIO;
        return -1;
    }
    if (d) {
        if (fstatat(from_dir, from, &st, 0))
            return -1;
        forget_if_gone(to_dir, to);
    }
    int rc = (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
    if (d && rc == 0) {
        note_change(d, to_name, file_of_ino(st.st_ino), true);
        note_change(d, name, NULL, false);
    }
    return rc;
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    bool killed = false;
    if (f && faulty(disk_faults.write, "a write")) {
        if (random_below(2)) {
            errno = (int)RANDOM_OF(ENOSPC, EIO, EINTR);
            return -1;
        }
        n = n > 1 ? 1 + random_below(n - 1) : n;
    } else if (f && faulty(disk_faults.kill_in_write, "the last write")) {
        killed = true;
        n = random_below(n + 1);
    }
    ssize_t done = syscall(SYS_pwrite64, fd, buf, n, at);
    if (f && done > 0)
        note_op(f, false, (uint64_t)at, buf, (uint64_t)done);
    if (killed)
        process_kill(process_current());
    return done;
}

ssize_t write(int fd, const void *buf, size_t n)
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    if (!f)
        return syscall(SYS_write, fd, buf, n);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = pwrite(fd, buf, n, at);
    if (done > 0)
        lseek(fd, done, SEEK_CUR);
    return done;
}

int ftruncate(int fd, off_t bytes)
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    if (f && faulty(disk_faults.write, "a write")) {
        errno = EIO;
        return -1;
    }
    int rc = (int)syscall(SYS_ftruncate, fd, bytes);
    if (f && rc == 0)
        note_op(f, true, (uint64_t)bytes, NULL, 0);
    return rc;
}

int posix_fallocate(int fd, off_t at, off_t bytes)
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    struct stat st;
    if (f && faulty(disk_faults.write, "a write"))
        return ENOSPC;
    if (syscall(SYS_fallocate, fd, 0, at, bytes))
        return errno;
    if (f && fstat(fd, &st) == 0)
        note_op(f, true, (uint64_t)st.st_size, NULL, 0);
    return 0;
}

void *mmap(void *where, size_t bytes, int prot, int flags, int fd, off_t at)
{
    if (fd >= 0 && fd < FDS && fds[fd].file && (prot & PROT_WRITE) && (flags & MAP_SHARED))
        fds[fd].file->mapped = true;
    return (void *)syscall(SYS_mmap, where, bytes, prot, flags, fd, at);
}

int fdatasync(int fd)
{
    struct file *f = fd >= 0 && fd < FDS ? fds[fd].file : NULL;
    struct folder *d = fd >= 0 && fd < FDS ? fds[fd].folder : NULL;
    if (!f && !d)
        return 0;
    if (faulty(disk_faults.sync, "a sync")) {
        if (f)
            settle(f, SOME);
        errno = EIO;
        return -1;
    }
    if (f)
        settle(f, ALL);
    else
        settle_names(d, d->n_changes);
    return 0;
}

int fsync(int fd)
{
    return fdatasync(fd);
}

/* The journal then writes by itself, with the calls above. */
int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    (void)entries;
    (void)ring;
    (void)flags;
    return -ENOSYS;
}

ssize_t getrandom(void *buf, size_t n, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = (uint8_t)random_u64();
    return (ssize_t)n;
}
