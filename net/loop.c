#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct loop {
    struct io_uring ring;
    unsigned pending; /* operations of the owners; the wake-up's own read is not counted */
    bool stopping;
    int wake_fd;
    uint64_t wake_count;
    void (*woken)(void *ctx);
    void *woken_ctx;
};

_Static_assert(sizeof(struct __kernel_timespec) == sizeof(int64_t[2]), "a timeout is two words");

/* user_data of what has no operation: the wake-up's read, and cancellations, whose result nobody asks for. */
enum { DATA_CANCEL = 0, DATA_WAKE = 1 };

static int read_sysctl(const char *path)
{
    int value = -1;
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%d", &value) != 1)
            value = -1;
        fclose(f);
    }
    return value;
}

int loop_explain(int errnum, struct error *err)
{
    int disabled = read_sysctl("/proc/sys/kernel/io_uring_disabled");
    if (errnum == EPERM && disabled > 0)
        return error_set(err,
                         "io_uring is forbidden here: kernel.io_uring_disabled is %d, expected 0; "
                         "`sysctl -w kernel.io_uring_disabled=0` allows it",
                         disabled);
    if (errnum == EPERM || errnum == EACCES)
        return error_set(
            err, "io_uring is forbidden here though no sysctl says so: a seccomp filter, as containers "
                 "have; run with a profile that allows io_uring_setup, io_uring_enter and "
                 "io_uring_register (docker: --security-opt seccomp=FILE)");
    if (errnum == ENOSYS)
        return error_set(
            err, "this kernel has no io_uring, or a seccomp filter hides it; expected Linux 5.6 or newer "
                 "with CONFIG_IO_URING and a filter that allows io_uring_setup");
    if (errnum == ENOMEM)
        return error_set(err,
                         "no locked memory left for io_uring; raise it with `ulimit -l` or LimitMEMLOCK=");
    return error_set(err, "cannot set up io_uring: %s", strerror(errnum));
}

/* A free submission entry; what is queued goes to the kernel first if there is none. */
static struct io_uring_sqe *entry(struct loop *l)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);
    while (!sqe) {
        int rc = io_uring_submit(&l->ring);
        assert(rc >= 0 || rc == -EAGAIN || rc == -EBUSY || rc == -EINTR);
        sqe = io_uring_get_sqe(&l->ring);
    }
    return sqe;
}

static struct io_uring_sqe *start(struct loop *l, struct loop_op *op)
{
    assert(!op->pending && op->done);
    op->pending = true;
    l->pending++;
    return entry(l);
}

static void wake_arm(struct loop *l)
{
    struct io_uring_sqe *sqe = entry(l);
    io_uring_prep_read(sqe, l->wake_fd, &l->wake_count, sizeof l->wake_count, 0);
    io_uring_sqe_set_data64(sqe, DATA_WAKE);
}

struct loop *loop_open(unsigned entries, struct error *err)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l) {
        error_set(err, "out of memory");
        return NULL;
    }
    int rc = io_uring_queue_init(entries, &l->ring, 0);
    if (rc) {
        loop_explain(-rc, err);
        free(l);
        return NULL;
    }
    l->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (l->wake_fd < 0) {
        error_set(err, "cannot make an eventfd: %s", strerror(errno));
        io_uring_queue_exit(&l->ring);
        free(l);
        return NULL;
    }
    wake_arm(l);
    return l;
}

/* The wake-up's read targets this struct: it must be over before the memory goes. */
void loop_close(struct loop *l)
{
    struct io_uring_cqe *cqe;
    assert(l->pending == 0);
    l->woken = NULL;
    loop_wake(l);
    io_uring_submit(&l->ring);
    while (!io_uring_wait_cqe(&l->ring, &cqe)) {
        bool over = cqe->user_data == DATA_WAKE;
        io_uring_cqe_seen(&l->ring, cqe);
        if (over)
            break;
    }
    io_uring_queue_exit(&l->ring);
    close(l->wake_fd);
    free(l);
}

void loop_accept(struct loop *l, struct loop_op *op, int listener)
{
    struct io_uring_sqe *sqe = start(l, op);
    io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, op);
}

void loop_recv(struct loop *l, struct loop_op *op, int socket, void *buffer, size_t room)
{
    struct io_uring_sqe *sqe = start(l, op);
    io_uring_prep_recv(sqe, socket, buffer, room, 0);
    io_uring_sqe_set_data(sqe, op);
}

void loop_send(struct loop *l, struct loop_op *op, int socket, const void *data, size_t len)
{
    struct io_uring_sqe *sqe = start(l, op);
    io_uring_prep_send(sqe, socket, data, len, MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, op);
}

void loop_timer(struct loop *l, struct loop_op *op, int64_t ns)
{
    assert(ns >= 0);
    struct io_uring_sqe *sqe = start(l, op);
    op->timeout[0] = ns / 1000000000;
    op->timeout[1] = ns % 1000000000;
    io_uring_prep_timeout(sqe, (struct __kernel_timespec *)op->timeout, 0, 0);
    io_uring_sqe_set_data(sqe, op);
}

void loop_cancel(struct loop *l, struct loop_op *op)
{
    if (!op->pending)
        return;
    struct io_uring_sqe *sqe = entry(l);
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data64(sqe, DATA_CANCEL);
}

void loop_on_wake(struct loop *l, void (*woken)(void *ctx), void *ctx)
{
    l->woken = woken;
    l->woken_ctx = ctx;
}

void loop_wake(struct loop *l)
{
    const uint64_t one = 1;
    ssize_t n = write(l->wake_fd, &one, sizeof one);
    (void)n; /* it fails only where 2^64 - 2 wakes are pending, and then it is awake */
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

static void complete(struct loop *l, struct io_uring_cqe *cqe)
{
    uint64_t data = cqe->user_data;
    int result = cqe->res;
    io_uring_cqe_seen(&l->ring, cqe); /* first: the callback may fill the queue */
    if (data == DATA_CANCEL)
        return;
    if (data == DATA_WAKE) {
        wake_arm(l);
        if (l->woken)
            l->woken(l->woken_ctx);
        return;
    }
    struct loop_op *op = (struct loop_op *)(uintptr_t)data;
    assert(op->pending && l->pending > 0);
    op->pending = false;
    l->pending--;
    op->done(op, result == -ETIME ? 0 : result);
}

int loop_run(struct loop *l, struct error *err)
{
    while (!l->stopping || l->pending > 0) {
        int rc = io_uring_submit_and_wait(&l->ring, 1);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
            return error_set(err, "io_uring_enter: %s", strerror(-rc));
        struct io_uring_cqe *cqe;
        while (!io_uring_peek_cqe(&l->ring, &cqe))
            complete(l, cqe);
    }
    l->stopping = false;
    return 0;
}
