/* Locks of files that have one owner. */
#ifndef SHM_FILE_LOCK_H
#define SHM_FILE_LOCK_H

#include <errno.h>
#include <sys/file.h>
#include <time.h>

enum { FILE_LOCK_PATIENCE_MS = 2000, FILE_LOCK_NAP_MS = 20 };

/* Takes the file for this process alone. A process that was killed gives its locks back only once the kernel
 * has taken its memory apart, when nothing else is seen of it any more: so that one that is started at once
 * finds them, they are waited for. 0, or -1 with errno, EWOULDBLOCK if somebody has it all the same. */
static inline int file_lock(int fd)
{
    const struct timespec nap = {.tv_nsec = FILE_LOCK_NAP_MS * 1000000};
    for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB); ms += FILE_LOCK_NAP_MS) {
        if (errno != EWOULDBLOCK || ms >= FILE_LOCK_PATIENCE_MS)
            return -1;
        nanosleep(&nap, NULL);
    }
    return 0;
}

#endif
