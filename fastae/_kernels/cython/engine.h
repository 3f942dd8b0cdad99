/* The C of one instruction set: MR, NV and VECTOR_BYTES are the compiler's -D flags, set in setup.py beside the -m flags. */
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h> /* for the few operations of vector.h that have no operator */
#endif

#if !defined(__GNUC__) && !defined(__clang__)
#error "fastae's kernels need GCC's or Clang's vector extensions"
#endif
#include "network.h"
#define INLINE static inline __attribute__((always_inline))
INLINE void prefetch(const void *p) { __builtin_prefetch(p, 0, 2); } /* into L2: more than L1 holds is asked for at once */
INLINE void prefetch_write(const void *p) { __builtin_prefetch(p, 1); }
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define N(name) PASTE(name, SUFFIX)
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("nounroll")
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define UNROLL _Pragma("GCC unroll 16")
#define NO_UNROLL _Pragma("GCC unroll 1")
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

#include "order.h"

#define CHAIN_OPERATIONS (2 * 12 * VECTOR_BYTES / 4) /* of a round of fma_chain_f32 */
#define TILE_ELEMENTS (MR * NV * VECTOR_BYTES / 4) /* of the tile of the smaller type */
#define LEARN_TILES (VECTOR_BYTES < 64 ? 4 : 1) /* whose gradients the optimiser takes at a time: a call for one small tile is dear */

#define REAL float
#define REAL_BYTES 4
#define INT int32_t
#define SUFFIX _f32
#define REAL_IS_FLOAT
#define REAL_MIN FLT_MIN
#define REAL_INFINITY HUGE_VALF
#define REAL_NAN ((float)NAN)
#include "real.h"

#define REAL double
#define REAL_BYTES 8
#define INT int64_t
#define SUFFIX _f64
#define REAL_MIN DBL_MIN
#define REAL_INFINITY HUGE_VAL
#define REAL_NAN ((double)NAN)
#include "real.h"
