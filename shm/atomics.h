/* Atomic loads, stores and fences of what several processes share: ck_pr, or the compiler's C11 builtins
 * under ThreadSanitizer, which does not see through ck's assembly.
 *
 * Every access to a shared word names its ordering; a plain access is only for what one side owns at that
 * moment.
 */
#ifndef SHM_ATOMICS_H
#define SHM_ATOMICS_H

#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define ATOMICS_C11 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ATOMICS_C11 1
#endif
#endif

#include <ck_pr.h>

#ifdef ATOMICS_C11
#define ATOMICS_LOAD_ACQUIRE(bits, p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ATOMICS_LOAD_RELAXED(bits, p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define ATOMICS_STORE_RELEASE(bits, p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define ATOMICS_STORE_RELAXED(bits, p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#else
#define ATOMICS_LOAD_ACQUIRE(bits, p)                                                                        \
    __extension__({                                                                                          \
        uint##bits##_t atomics_v = ck_pr_load_##bits(p);                                                     \
        ck_pr_fence_acquire();                                                                               \
        atomics_v;                                                                                           \
    })
#define ATOMICS_LOAD_RELAXED(bits, p)     ck_pr_load_##bits(p)
#define ATOMICS_STORE_RELEASE(bits, p, v) (ck_pr_fence_release(), ck_pr_store_##bits(p, v))
#define ATOMICS_STORE_RELAXED(bits, p, v) ck_pr_store_##bits(p, v)
#endif

#define ATOMICS_FUNCTIONS(bits)                                                                              \
    static inline uint##bits##_t atomics_load_acquire_u##bits(const uint##bits##_t *p)                       \
    {                                                                                                        \
        return ATOMICS_LOAD_ACQUIRE(bits, p);                                                                \
    }                                                                                                        \
    static inline uint##bits##_t atomics_load_relaxed_u##bits(const uint##bits##_t *p)                       \
    {                                                                                                        \
        return ATOMICS_LOAD_RELAXED(bits, p);                                                                \
    }                                                                                                        \
    static inline void atomics_store_release_u##bits(uint##bits##_t *p, uint##bits##_t v)                    \
    {                                                                                                        \
        ATOMICS_STORE_RELEASE(bits, p, v);                                                                   \
    }                                                                                                        \
    static inline void atomics_store_relaxed_u##bits(uint##bits##_t *p, uint##bits##_t v)                    \
    {                                                                                                        \
        ATOMICS_STORE_RELAXED(bits, p, v);                                                                   \
    }
ATOMICS_FUNCTIONS(32)
ATOMICS_FUNCTIONS(64)
#undef ATOMICS_FUNCTIONS

/* Orders everything before it against everything after it. ThreadSanitizer does not model fences: a protocol
 * that needs one to be free of races needs acquire and release accesses instead. */
static inline void atomics_fence(void)
{
    ck_pr_fence_memory();
}

/* Tells the CPU that this is a spin loop. */
static inline void atomics_pause(void)
{
    ck_pr_stall();
}

#endif
