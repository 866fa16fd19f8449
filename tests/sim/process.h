/* Processes of the simulation: each is a set of fibers of this one thread, on a simulated clock.
 *
 * What the code under test asks of the system for its processes and threads (fork, waitpid, kill, getppid,
 * pthread_*, nanosleep, clock_gettime) is answered here, in front of libc's. The scheduler picks the next
 * fiber by chance. The code under test is compiled with -fsanitize-coverage=trace-pc: at each of its basic
 * blocks the fiber may lose its turn to another, or its process may be killed there. A killed process is
 * never resumed: its memory is left as it is, its files are closed as the kernel does, what it shared stays.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* How the scheduler behaves; set by the seed. */
struct process_plan {
    uint64_t blocks; /* a turn's length, at most, in basic blocks */
    int64_t step_ns; /* time that passes per turn, at most */
};
extern struct process_plan process_plan;

/* A new process whose first fiber runs main(arg); its return value is the exit code. Its parent is the
 * process that runs now. */
pid_t process_start(int (*main)(void *arg), void *arg, const char *name);

/* One turn of one fiber, or time passes. False if there is no process any more. */
bool process_turn(void);

/* kill -9. Does not return if it is the process that runs. */
void process_kill(pid_t pid);
void process_kill_all(void);

/* Kills the process `blocks` basic blocks from now, if it lives until then. */
void process_doom(pid_t pid, uint64_t blocks);

/* One of those that live, by chance; 0 if none. */
pid_t process_any(void);
const char *process_name(pid_t pid);
bool process_ended(pid_t pid, int *status);

/* 0 outside of any. */
pid_t process_current(void);

/* Gives the turn away, for at least that long. */
void process_sleep_ns(int64_t ns);

int64_t process_now_ns(void);  /* monotonic */
extern int64_t process_utc_ns; /* of the monotonic clock's 0; steps when someone sets the host's clock */

/* What happened, for a failure's report; prints the last of it. */
void process_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void process_print_notes(unsigned most);

#endif
