/* What a directory of append-only segment files needs: one owner, files found by number, whole reads and
 * writes. The journal and the outbox are such directories.
 */
#ifndef NET_SEGMENT_H
#define NET_SEGMENT_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEGMENT_ID_BYTES = 16, SEGMENT_NAME_BYTES = 32 };

/* Opens (and makes, if `make`) the directory. A descriptor, or -1 with err. */
int segment_dir_open(const char *dir, bool make, struct error *err) __attribute__((warn_unused_result));

/* Locks DIR/lock for one owner; the file holds its pid. A descriptor to keep open, or -1 with err naming the
 * pid that has it. `what`: "journal", for the message. */
int segment_lock(const char *dir, const char *what, struct error *err) __attribute__((warn_unused_result));

/* The numbers of the files NUMBER (20 digits) + `suffix` in dir, ascending, in a malloc'd array. How many, or
 * -1. */
int segment_list(const char *dir, const char *suffix, uint64_t **numbers, struct error *err)
    __attribute__((warn_unused_result));
void segment_name(char name[SEGMENT_NAME_BYTES], uint64_t number, const char *suffix);

/* All of the n bytes at `offset`; fewer only at the file's end. How many, or -1 with errno. */
int64_t segment_read(int fd, void *buf, size_t n, uint64_t offset) __attribute__((warn_unused_result));
/* All of them, or -1 with errno (0 bytes written is ENOSPC). */
int segment_write(int fd, const void *buf, size_t n, uint64_t offset) __attribute__((warn_unused_result));

/* Cuts the file at `offset` and makes that durable. If `keep`, what is cut is first copied to
 * NAME.cut-OFFSET: it holds more than a torn tail. 0, or -1 with err. */
int segment_cut(int dir_fd, const char *dir, const char *name, uint64_t offset, bool keep, struct error *err)
    __attribute__((warn_unused_result));

/* Renames the file to NAME + `suffix`, or if there is one already NAME + `suffix` + -2, -3 …: for what a
 * person may want to look at. 0, or -1 with err. */
int segment_set_aside(int dir_fd, const char *dir, const char *name, const char *suffix, struct error *err)
    __attribute__((warn_unused_result));

/* Why a write failed, and what to do about it: for the end of a message. */
const char *segment_advice(int error_number);

void segment_random_id(uint8_t id[SEGMENT_ID_BYTES]);
void segment_id_text(const uint8_t id[SEGMENT_ID_BYTES], char text[2 * SEGMENT_ID_BYTES + 1]);

#endif
