/* An event loop over io_uring: operations on sockets, each with a callback.
 *
 * An operation is a struct loop_op inside its owner's struct. Once started it belongs to the kernel, with its
 * buffer, until its callback: neither may be freed or started again before. loop_run goes on until loop_stop
 * and until no operation is pending, so whoever stops ends its operations (shutdown of the socket,
 * loop_cancel).
 *
 * Needs Linux 5.6 and permission to use io_uring; loop_open says what to do where it is forbidden.
 *
 * Threading: everything from one thread, opening and closing too (the end of a ring interrupts system calls
 * of every thread that has used it), except loop_wake.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

struct loop_op {
    /* result: as the system call's: >= 0, or -errno. May start the operation again. */
    void (*done)(struct loop_op *op, int result);
    bool pending;
    int64_t timeout[2]; /* seconds and nanoseconds of loop_timer, read by the kernel */
};

/* NULL with err set. `entries`: operations submitted at a time, a power of two; more may be pending. */
struct loop *loop_open(unsigned entries, struct error *err);
void loop_close(struct loop *loop);

/* One connection; result: the new socket (close-on-exec). */
void loop_accept(struct loop *loop, struct loop_op *op, int listener);
/* result: bytes, 0 at the end of the stream. */
void loop_recv(struct loop *loop, struct loop_op *op, int socket, void *buffer, size_t room);
/* result: bytes, perhaps fewer than asked. Raises no SIGPIPE. */
void loop_send(struct loop *loop, struct loop_op *op, int socket, const void *data, size_t len);
/* Once after ns nanoseconds (monotonic); result 0, or -ECANCELED. */
void loop_timer(struct loop *loop, struct loop_op *op, int64_t ns);
/* Ends a pending operation early: its callback comes with -ECANCELED, or with what it had done already. */
void loop_cancel(struct loop *loop, struct loop_op *op);

/* Makes loop_run call `woken` in its thread soon; any thread, and signal handlers. Wakes are merged. */
void loop_on_wake(struct loop *loop, void (*woken)(void *ctx), void *ctx);
void loop_wake(struct loop *loop);

/* Runs callbacks until loop_stop was called and nothing is pending. 0, or -1 with err set (the kernel
 * refused). */
int loop_run(struct loop *loop, struct error *err) __attribute__((warn_unused_result));
void loop_stop(struct loop *loop);

/* What it means that io_uring_setup failed with `errnum` (> 0), and what to do. For whoever sets up a ring.
 */
int loop_explain(int errnum, struct error *err);

#endif
