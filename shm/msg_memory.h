/* Memory for messages, and for what holds some: they lie on whole cache lines, on which malloc's does not.
 * free() takes it back. */
#ifndef SHM_MSG_MEMORY_H
#define SHM_MSG_MEMORY_H

#include "core/message.h"

#include <stdlib.h>
#include <string.h>

/* Zeros; NULL if there is no memory. */
static inline void *msg_holder_new(size_t bytes)
{
    size_t whole = (bytes + sizeof(struct msg) - 1) / sizeof(struct msg) * sizeof(struct msg);
    void *p = aligned_alloc(_Alignof(struct msg), whole);
    return p ? memset(p, 0, whole) : NULL;
}

/* `room` slots, of which the first n are those of `old`, which goes. Ends the process if there is no memory.
 */
static inline struct msg *msgs_grow(struct msg *old, size_t n, size_t room)
{
    struct msg *grown = aligned_alloc(_Alignof(struct msg), room * sizeof *grown);
    if (!grown)
        abort();
    if (n)
        memcpy(grown, old, n * sizeof *grown);
    free(old);
    return grown;
}

#endif
