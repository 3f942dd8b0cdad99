/* The register tile, where nearly all the time goes:
 *
 *     out[i*ldo + j] = start[i] + sum over k of a[i*rs + k*cs] * b[k*ldb + j]     i < mr, j < nv * LANES
 *
 * (start NULL: from zero; rate: out becomes what it was, less *rate times the sums. A rate of -1 adds them; where out is the weights,
 * the learning rate is plain SGD. So a tile returns whether all of out is finite then).
 *
 * The tile keeps MR x NV vector accumulators in registers for the whole of k. Each step loads NV vectors of b, and for each
 * of the mr rows broadcasts one element of a into NV multiply-adds. MR and NV follow from the registers:
 * MR * NV accumulators + NV of b + 1 broadcast must fit, and MR * NV >= latency * FMAs per cycle (4 * 2) to hide latency.
 *
 *     AVX-512  32 registers  8 x 3  24 + 3 + 1     11 loads to 24 FMAs
 *     AVX2     16 registers  6 x 2  12 + 2 + 1     the shape of BLIS haswell/zen
 *     NEON     32 registers  8 x 2  16 + 2 + 1     GCC spills 24 accumulators here
 *     SSE2     16 registers  4 x 2   8 + 2 + 1     plus a product, as there is no FMA
 *
 * a is read in place with any strides, so neither a row-major matrix (cs = 1) nor a packed or transposed one (rs = 1) needs a
 * copy. One function per edge size: bounds must be constants, or GCC keeps the accumulators in memory.
 *
 * ahead: every AHEAD steps, a line of the cache is asked for that a later product reads, `stride` bytes after the one before.
 * Asked for all at once, as many lines as a product reads fill the core's miss buffers, and its own loads wait behind them.
 */
#define NR (NV * LANES)
#ifndef AHEAD
#define AHEAD 4
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define UNROLL_STEPS UNROLL
#else
#define UNROLL_STEPS NO_UNROLL /* products need the registers */
#endif
/* Without these GCC mixes the steps, has addresses and operands for all of them at once, and puts accumulators on the stack. Clang
 * does so with HOLD. */
#define STEP_ENDS(a, a4, b) __asm__ volatile("" : "+r"(a), "+r"(a4), "+r"(b) : : "memory")
#if defined(__x86_64__) && !defined(__clang__)
#define HOLD(v) __asm__("" : "+v"(v))
#else
#define HOLD(v)
#endif
#endif

#define MULTIPLY_ADD(mr, nv)                                                                                           \
    {                                                                                                                  \
        vec row[nv];                                                                                                   \
        UNROLL for (int j = 0; j < nv; j++) row[j] = N(load)(b + j * LANES);                                           \
        UNROLL for (int i = 0; i < mr; i++) {                                                                          \
            vec factor = N(splat)(i < 4 ? a[i * rs] : a4[(i - 4) * rs]);                                               \
            if (nv > 1) HOLD(factor); /* else one instruction broadcasts and multiplies */                             \
            UNROLL for (int j = 0; j < nv; j++) acc[i][j] += row[j] * factor;                                          \
        }                                                                                                              \
        a += cs, a4 += cs, b += ldb;                                                                                   \
        STEP_ENDS(a, a4, b);                                                                                           \
    }

#define TILE(mr, nv)                                                                                                   \
    static int N(tile_##mr##x##nv)(ptrdiff_t kc, const REAL *restrict a, ptrdiff_t rs, ptrdiff_t cs,                   \
                                   const REAL *restrict b, ptrdiff_t ldb, const REAL *restrict start,                  \
                                   REAL *restrict out, ptrdiff_t ldo, const REAL *restrict rate, const char *ahead,    \
                                   ptrdiff_t stride)                                                                   \
    {                                                                                                                  \
        vec acc[mr][nv];                                                                                               \
        UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = N(splat)(start[i]);        \
        const REAL *a4 = mr > 4 ? a + 4 * rs : a;                                                                      \
        for (; kc >= AHEAD; kc -= AHEAD, ahead += stride) {                                                            \
            prefetch(ahead);                                                                                           \
            UNROLL_STEPS for (int k = 0; k < AHEAD; k++) MULTIPLY_ADD(mr, nv)                                          \
        }                                                                                                              \
        NO_UNROLL for (; kc > 0; kc--) MULTIPLY_ADD(mr, nv)                                                            \
        if (!rate) {                                                                                                   \
            UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++)                                    \
                N(store)(out + i * ldo + j * LANES, acc[i][j]);                                                        \
            return 1;                                                                                                  \
        }                                                                                                              \
        ivec zeros = {0}; /* bits, which wait less for each other than a sum */                                        \
        UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) {                                      \
            const vec now = N(load)(out + i * ldo + j * LANES) - *rate * acc[i][j];                                    \
            N(store)(out + i * ldo + j * LANES, now);                                                                  \
            zeros |= (ivec)(now * 0);                                                                                  \
        }                                                                                                              \
        return N(all_zero)((vec)zeros);                                                                                \
    }

#if NV == 3
#define TILES(mr) TILE(mr, 1) TILE(mr, 2) TILE(mr, 3)
#define NAMES(mr) {N(tile_##mr##x1), N(tile_##mr##x2), N(tile_##mr##x3)},
#else
#define TILES(mr) TILE(mr, 1) TILE(mr, 2)
#define NAMES(mr) {N(tile_##mr##x1), N(tile_##mr##x2)},
#endif
#if MR == 8
#define EACH_MR(f) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8)
#elif MR == 6
#define EACH_MR(f) f(1) f(2) f(3) f(4) f(5) f(6)
#else
#define EACH_MR(f) f(1) f(2) f(3) f(4)
#endif

EACH_MR(TILES)

typedef int (*N(tile_function))(ptrdiff_t, const REAL *, ptrdiff_t, ptrdiff_t, const REAL *, ptrdiff_t, const REAL *, REAL *,
                                ptrdiff_t, const REAL *, const char *, ptrdiff_t);
static const N(tile_function) N(tiles)[MR][NV] = {EACH_MR(NAMES)};
static const REAL N(zeros)[MR]; /* where sums start that have no bias */
static const REAL N(adds)[1] = {-1};

INLINE int N(tile)(int mr, int nv, ptrdiff_t kc, const REAL *a, ptrdiff_t rs, ptrdiff_t cs, const REAL *b, ptrdiff_t ldb,
                   const REAL *start, REAL *out, ptrdiff_t ldo, const REAL *rate, const void *ahead, ptrdiff_t stride)
{
    return N(tiles)[mr - 1][nv - 1](kc, a, rs, cs, b, ldb, start ? start : N(zeros), out, ldo, rate, ahead ? ahead : a, stride);
}

/* Multiply-adds from registers to registers, enough of them in flight for any core: what the peak is measured with. */
static REAL N(fma_chain)(ptrdiff_t rounds)
{
    vec acc[12], factor = N(splat)((REAL)0.999), sum = {0};
    UNROLL for (int i = 0; i < 12; i++) acc[i] = N(splat)((REAL)i);
    for (ptrdiff_t k = 0; k < rounds; k++) UNROLL for (int i = 0; i < 12; i++) acc[i] = acc[i] * factor + factor;
    for (int i = 0; i < 12; i++) sum += acc[i];
    return sum[0];
}

#undef MULTIPLY_ADD
#undef TILE
#undef TILES
#undef NAMES
#undef EACH_MR
