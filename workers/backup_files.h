/* Files of a backup: copied with their checksum, listed in a manifest, compared with it. */
#ifndef WORKERS_BACKUP_FILES_H
#define WORKERS_BACKUP_FILES_H

#include "core/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { BACKUP_FORMAT = 1, BACKUP_PATH = 4096, BACKUP_SUM_TEXT = 33 };

struct backup_sum {
    uint64_t bytes;
    char xxh3_128[BACKUP_SUM_TEXT]; /* hex, of all bytes */
};

/* Copies at most `max` bytes durably; `to` NULL: only sums up. 0, 1 if there is no such file, -1 with err. */
int backup_copy(const char *from, const char *to, uint64_t max, struct backup_sum *sum, struct error *err)
    __attribute__((warn_unused_result));

/* Writes a whole small file durably. 0, or -1 with err. */
int backup_write(const char *path, const char *data, size_t n, struct error *err)
    __attribute__((warn_unused_result));

/* The whole file, malloc'd, with a NUL behind it; NULL with err. */
char *backup_read(const char *path, size_t *n, struct error *err);

/* Removes a directory that we made, with all that is in it. */
void backup_remove(const char *dir);

/* What is to become `final`, which must not be there or be an empty directory, is made in the new directory
 * final.partial: its path in `partial`. 0, or -1 with err. */
int backup_begin(const char *final, char *partial, size_t size, struct error *err)
    __attribute__((warn_unused_result));
/* Brings the folders of `partial` to disk and renames it to `final`. */
int backup_finish(const char *partial, const char *final, struct error *err)
    __attribute__((warn_unused_result));

/* Calls `each` for every regular file in dir and its folders, with the path from dir on; stops at the first
 * -1, and returns it. */
int backup_walk(const char *dir, int (*each)(void *ctx, const char *path, struct error *err), void *ctx,
                struct error *err) __attribute__((warn_unused_result));

#endif
