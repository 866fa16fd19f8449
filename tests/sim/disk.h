/* The disk: what the files under the instance's directories would hold after a power cut.
 *
 * The files are real ones, in memory: what they hold is what the kernel's cache holds. Beside each stands its
 * durable image and the operations since, and beside each directory its durable names. fsync and fdatasync
 * make a file's operations durable, fsync of a directory its names. At a power cut each operation that is not
 * durable survives, whole, in part or not at all, by chance and in no order; of the names, the first few.
 * A sync that fails loses some of the file's operations for good, though they can be read until the power
 * cut, and the next sync succeeds: as Linux has it.
 *
 * Faults: writes fail (ENOSPC, EIO, EINTR) or are short; syncs and the making of files fail.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One call in so many; 0: never. */
struct disk_faults {
    unsigned write, sync, open, kill_in_write;
};
extern struct disk_faults disk_faults;

/* Simulates what is in the folders capture and outbox of `root`. */
void disk_start(const char *root);

/* The power is gone, and comes back: nobody has a file open. */
void disk_power_cut(void);

/* The kernel writes back what is mapped, some time. */
void disk_write_back(void);

/* Closes what the process has open, with its locks. */
void disk_close_all(pid_t pid);

extern uint64_t disk_faults_made;

#endif
