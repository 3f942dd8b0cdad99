/* Subnormal numbers, below the smallest normal one (1.2e-38 in float32): processors compute with them up to a hundred times as
 * slowly as with others, and training makes many, such as squares of small gradients. A thread's control register can have them
 * count as zero, as operands and as results.
 */
#ifndef FASTAE_SUBNORMAL
#define FASTAE_SUBNORMAL
#include <stdint.h>

static inline uint64_t float_mode(void) /* this thread's control register */
{
#if defined(__x86_64__)
    uint32_t mode;
    __asm__ volatile("stmxcsr %0" : "=m"(mode) : : "memory");
    return mode;
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
    return mode;
#else
    return 0;
#endif
}

static inline void set_float_mode(uint64_t mode)
{
#if defined(__x86_64__)
    const uint32_t word = (uint32_t)mode;
    __asm__ volatile("ldmxcsr %0" : : "m"(word) : "memory");
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
#else
    (void)mode;
#endif
}

/* From here on in this thread subnormal numbers are zero; returns the mode before, which the caller sets again. */
static inline uint64_t zero_subnormals(void)
{
    const uint64_t before = float_mode();
#if defined(__x86_64__)
    set_float_mode(before | 0x8040); /* flush to zero, denormals are zero */
#elif defined(__aarch64__)
    set_float_mode(before | (uint64_t)1 << 24); /* flush to zero, of operands too */
#endif
    return before;
}
#endif
