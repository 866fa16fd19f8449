/* LD_PRELOAD: a disk that fails on demand. While the file named by FAIL_IO holds "DIR ERRNO OPS", operations
 * on files below DIR fail with that error: in OPS w stands for writes, s for syncs, o for making and opening
 * to write. Roles get no io_uring, so that all they do passes here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* 0, or the error with which `op` on `path` fails now. */
static int error_of(const char *path, char op)
{
    char dir[4096], ops[16];
    int number = 0;
    const char *control = getenv("FAIL_IO");
    FILE *f = control ? fopen(control, "re") : NULL;
    if (!f)
        return 0;
    int n = fscanf(f, "%4095s %d %15s", dir, &number, ops);
    fclose(f);
    return n == 3 && strchr(ops, op) && !strncmp(path, dir, strlen(dir)) ? number : 0;
}

/* Sets errno and says so, if `op` is to fail on what the descriptor stands for, with /name behind it. */
static int fails(int fd, const char *name, char op)
{
    char link[64], path[8192];
    int before = errno, error;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = name && *name == '/' ? 0 : readlink(fd == AT_FDCWD ? "/proc/self/cwd" : link, path, 4000);
    snprintf(path + (n > 0 ? n : 0), 4000, "%s%s", name && *name != '/' ? "/" : "", name ? name : "");
    error = error_of(path, op);
    errno = error ? error : before;
    return error != 0;
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    return fails(fd, NULL, 'w') ? -1 : REAL(pwrite)(fd, buf, n, at);
}

int ftruncate(int fd, off_t size)
{
    return fails(fd, NULL, 'w') ? -1 : REAL(ftruncate)(fd, size);
}

int fsync(int fd)
{
    return fails(fd, NULL, 's') ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return fails(fd, NULL, 's') ? -1 : REAL(fdatasync)(fd);
}

int openat(int dir, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails(dir, name, 'o'))
        return -1;
    return REAL(openat)(dir, name, flags, mode);
}

int open(const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return openat(AT_FDCWD, name, flags, mode);
}

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    char line[65536];
    int fd = REAL(open)("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line);
    if (fd >= 0)
        close(fd);
    return n > 0 && memmem(line, (size_t)n, "--role", 7) ? -ENOSYS
                                                         : REAL(io_uring_queue_init)(entries, ring, flags);
}
