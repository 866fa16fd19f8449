/* What the objects of a workspace have in common: each begins with a magic number, stored last by its `new`,
 * and keeps clear of its neighbours by two cache lines (which processors fetch in pairs). */
#ifndef SHM_OBJECT_H
#define SHM_OBJECT_H

#include "shm/atomics.h"

#include <stdbool.h>
#include <stddef.h>

enum { OBJECT_ALIGN = 128 };

static inline size_t object_round(size_t bytes)
{
    return (bytes + OBJECT_ALIGN - 1) & ~(size_t)(OBJECT_ALIGN - 1);
}

static inline bool object_aligned(const void *mem)
{
    return mem && (uintptr_t)mem % OBJECT_ALIGN == 0;
}

/* The checks that every join makes before it looks at sizes: `head` is the object's fixed part, magic first.
 */
static inline bool object_is(const void *mem, size_t bytes, size_t head, uint64_t magic)
{
    return object_aligned(mem) && bytes >= head && atomics_load_acquire_u64((const uint64_t *)mem) == magic;
}

#endif
