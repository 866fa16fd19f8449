/* A few words behind a sequence number, odd while they are written: one writer, readers that never make it
 * wait.
 *
 * Each word is stored with release and loaded with acquire, which x86 does for nothing and which needs no
 * fence, so that ThreadSanitizer follows it: who sees a new word also sees the odd number before it.
 */
#ifndef SHM_SEQLOCK_H
#define SHM_SEQLOCK_H

#include "shm/atomics.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Named steps for tests that interleave or kill the two sides; nothing in production. */
#ifndef SEQLOCK_HOOK
#define SEQLOCK_HOOK(step) ((void)0)
#endif

/* A write takes nanoseconds; a reader that fails so often found a writer that died or was suspended. */
enum { SEQLOCK_TRIES = 10000 };

/* Copies `words` words in. Also right after a writer that died within its write: the number is then odd
 * already. */
static inline void seqlock_write(uint64_t *seq, uint64_t *to, const void *from, size_t words)
{
    uint64_t odd = atomics_load_relaxed_u64(seq) | 1;
    atomics_store_relaxed_u64(seq, odd);
    for (size_t i = 0; i < words; i++) {
        uint64_t w;
        SEQLOCK_HOOK(write);
        memcpy(&w, (const char *)from + i * sizeof w, sizeof w);
        atomics_store_release_u64(&to[i], w);
    }
    SEQLOCK_HOOK(write);
    atomics_store_release_u64(seq, odd + 1);
}

/* Copies them out. False: the copy may mix two writes. */
static inline bool seqlock_read(const uint64_t *seq, const uint64_t *from, void *to, size_t words)
{
    for (int i = 0; i < SEQLOCK_TRIES; i++) {
        uint64_t before = atomics_load_acquire_u64(seq);
        for (size_t k = 0; k < words; k++) {
            SEQLOCK_HOOK(read);
            uint64_t w = atomics_load_acquire_u64(&from[k]);
            memcpy((char *)to + k * sizeof w, &w, sizeof w);
        }
        SEQLOCK_HOOK(read);
        if (!(before & 1) && atomics_load_relaxed_u64(seq) == before)
            return true;
        atomics_pause();
    }
    return false;
}

#endif
