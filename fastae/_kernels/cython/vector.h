/* The vector type of one element type and one instruction set, and the functions on it.
 *
 * Included twice by each instruction set's module, once with REAL = float and once with REAL = double; every name here
 * gets the suffix _f32 or _f64 through N(). GCC/Clang vector extensions give one source for SSE2, AVX2, AVX-512 and NEON:
 * the width VECTOR_BYTES is all that differs. Comparisons yield integer vectors of all ones or zeros, see select_.
 *
 * Largest errors over all float32 inputs, tested in tests/test_activations.py: exp 1.1 ulp, log 0.9, log1p 1.5, sigmoid 2.4,
 * tanh 2.5. No approximate reciprocals, which differ between AMD and Intel, and no reassociation.
 */
#define LANES (VECTOR_BYTES / REAL_BYTES)

typedef REAL N(vec) __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL N(vec_u) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias)); /* any address */
typedef INT N(ivec) __attribute__((vector_size(VECTOR_BYTES)));
#define vec N(vec)
#define ivec N(ivec)

/* f(0, s), f(1, s) ... for all lanes: the indices of a SHUFFLE. */
#define LIST2(f, l, s) f(l, s), f(l + 1, s)
#define LIST4(f, l, s) LIST2(f, l, s), LIST2(f, l + 2, s)
#define LIST8(f, l, s) LIST4(f, l, s), LIST4(f, l + 4, s)
#define LIST16(f, l, s) LIST8(f, l, s), LIST8(f, l + 8, s)
#if LANES == 16
#define LIST LIST16
#elif LANES == 8
#define LIST LIST8
#elif LANES == 4
#define LIST LIST4
#else
#define LIST LIST2
#endif

INLINE vec N(load)(const REAL *p) { return *(const N(vec_u) *)p; }
INLINE void N(store)(REAL *p, vec v) { *(N(vec_u) *)p = v; }
INLINE vec N(splat)(REAL s) { return s - (vec){0}; } /* x - 0 is x, also for -0, and costs one broadcast */
INLINE vec N(select_)(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
/* a where the sign bit of x is set, else b; and the larger of two, x itself where it is NaN. */
INLINE vec N(where_negative)(vec x, vec a, vec b)
{
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return (vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), (__m512)b, (__m512)a);
#elif defined(__AVX512F__)
    return (vec)_mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)x), (__m512d)b, (__m512d)a);
#elif defined(__AVX2__) && defined(REAL_IS_FLOAT)
    return (vec)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)x);
#elif defined(__AVX2__)
    return (vec)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)x);
#else
    return N(select_)((ivec)x < 0, a, b);
#endif
}
INLINE vec N(at_least)(vec x, REAL low)
{
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return (vec)_mm512_max_ps(_mm512_set1_ps(low), (__m512)x);
#elif defined(__AVX512F__)
    return (vec)_mm512_max_pd(_mm512_set1_pd(low), (__m512d)x);
#elif defined(__AVX2__) && defined(REAL_IS_FLOAT)
    return (vec)_mm256_max_ps(_mm256_set1_ps(low), (__m256)x);
#elif defined(__AVX2__)
    return (vec)_mm256_max_pd(_mm256_set1_pd(low), (__m256d)x);
#else
    return N(select_)(x < low, N(splat)(low), x);
#endif
}
INLINE int N(all_zero)(vec x)
{
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_EQ_OQ) == 0xffff;
#elif defined(__AVX512F__)
    return _mm512_cmp_pd_mask((__m512d)x, _mm512_setzero_pd(), _CMP_EQ_OQ) == 0xff;
#elif defined(__AVX2__)
    return _mm256_movemask_epi8((__m256i)(x == 0)) == -1;
#else
    ivec zero = x == 0;
    for (int l = 1; l < LANES; l++) zero[0] &= zero[l];
    return zero[0] != 0;
#endif
}
INLINE vec N(square_root)(vec x)
{
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return (vec)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX512F__)
    return (vec)_mm512_sqrt_pd((__m512d)x);
#elif defined(__AVX2__) && defined(REAL_IS_FLOAT)
    return (vec)_mm256_sqrt_ps((__m256)x);
#elif defined(__AVX2__)
    return (vec)_mm256_sqrt_pd((__m256d)x);
#else
    for (int l = 0; l < LANES; l++) x[l] = (REAL)(REAL_BYTES == 4 ? __builtin_sqrtf((float)x[l]) : __builtin_sqrt(x[l]));
    return x;
#endif
}
INLINE vec N(absolute)(vec x) { return (vec)((ivec)x & ~((ivec)N(splat)((REAL)-0.0))); }
INLINE vec N(copy_sign)(vec magnitude, vec sign)
{
    ivec bit = (ivec)N(splat)((REAL)-0.0);
    return (vec)(((ivec)magnitude & ~bit) | ((ivec)sign & bit));
}

/* At most n lanes: of a row's last, partial vector nothing beyond its end is read (those lanes are 0) or written. */
INLINE vec N(load_upto)(const REAL *p, ptrdiff_t n)
{
    if (n >= LANES) return N(load)(p);
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX512F__)
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
    vec v = {0};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}
/* The lanes from the first on, with nothing before them read: those are 0. */
INLINE vec N(load_from)(const REAL *p, ptrdiff_t first)
{
    if (first <= 0) return N(load)(p);
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)(0xFFFFu << first), p);
#elif defined(__AVX512F__)
    return (vec)_mm512_maskz_loadu_pd((__mmask8)(0xFFu << first), p);
#else
    vec v = {0};
    for (ptrdiff_t i = first; i < LANES; i++) v[i] = p[i];
    return v;
#endif
}
INLINE void N(store_upto)(REAL *p, vec v, ptrdiff_t n)
{
    if (n >= LANES) N(store)(p, v);
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    else _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(__AVX512F__)
    else _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#else
    else for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* exp(x) = 2^n e^r with n = round(x / ln 2), |r| <= ln(2)/2 (Cody and Waite 1980: ln 2 in two parts so that n * LN2_HIGH
 * is exact). EXP_TERMS is e^r - 1 by Horner's rule, its coefficients 1/k! rounded, or fitted where that is better. */
#ifdef REAL_IS_FLOAT
#define ROUND_MAGIC 0x1.8p23f /* adding it leaves round(x) in the low bits of the mantissa */
#define LOG2_E 0x1.715476p0f
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_UNDERFLOW -104.0f
#define EXP_OVERFLOW 89.0f
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define EXP_TERMS(r) \
    ((r) + (r) * (r) * (0.5f + (r) * (0x1.5554dep-3f + (r) * (0x1.55551ap-5f + (r) * (0x1.120b62p-7f + (r) * 0x1.6d10fcp-10f)))))
#else
#define ROUND_MAGIC 0x1.8p52
#define LOG2_E 0x1.71547652b82fep0
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_UNDERFLOW -746.0
#define EXP_OVERFLOW 710.0
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
INLINE vec exp_terms_f64(vec r)
{
    vec p = N(splat)(1.0 / 6227020800.0);
    const double reciprocal_factorial[] = {0.5, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                                           1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600};
    for (int k = 10; k >= 0; k--) p = p * r + reciprocal_factorial[k];
    return r + r * r * p;
}
#define EXP_TERMS(r) exp_terms_f64(r)
#endif

INLINE vec N(exp_parts)(vec x, vec *round, ivec *n) /* e^x = 2^n (1 + returned value) for x <= 0, and *round = n */
{
    vec shifted = x * LOG2_E + ROUND_MAGIC;
    *n = (ivec)shifted - (ivec)N(splat)(ROUND_MAGIC);
    *round = shifted - ROUND_MAGIC;
    vec r = (x - *round * LN2_HIGH) - *round * LN2_LOW;
    return EXP_TERMS(r);
}
INLINE vec N(power_of_two)(ivec n) { return (vec)((n + EXPONENT_BIAS) << MANTISSA_BITS); }

INLINE vec N(exp_bounded)(vec x) /* e^x for x that are not below EXP_UNDERFLOW nor above EXP_OVERFLOW, or NaN */
{
    vec round;
    ivec n;
    vec p = N(exp_parts)(x, &round, &n);
#if defined(__AVX512F__) && defined(REAL_IS_FLOAT)
    return (vec)_mm512_scalef_ps((__m512)(1 + p), (__m512)round);
#elif defined(__AVX512F__)
    return (vec)_mm512_scalef_pd((__m512d)(1 + p), (__m512d)round);
#else
    ivec half = n >> 1; /* in two factors, so that the smallest and the largest results come out right */
    vec s = N(power_of_two)(half);
    return (s + s * p) * N(power_of_two)(n - half);
#endif
}
INLINE vec N(exp_negative)(vec x) { return N(exp_bounded)(N(at_least)(x, EXP_UNDERFLOW)); } /* e^x for x <= 0 */
INLINE vec N(exponential)(vec x) /* e^x */
{
    return N(exp_bounded)(N(at_least)(N(select_)(x > EXP_OVERFLOW, N(splat)(EXP_OVERFLOW), x), EXP_UNDERFLOW));
}

INLINE vec N(expm1_negative)(vec x) /* e^x - 1 for x <= 0, exact near 0 */
{
    vec round;
    ivec n;
    vec p = N(exp_parts)(N(at_least)(x, -80), &round, &n); /* -1 in both types, and 2^n stays a normal number */
    vec s = N(power_of_two)(n);
    return s * p + (s - 1);
}

/* log(x) for 0 <= x < 2^104, which is all that is needed here; of 0 it is that of half the least subnormal number. log(x) =
 * n ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)). float32: log(1 + f) = f - f^2 / 2 + f^3 P(f), P of degree 7 fitted to the least
 * largest relative error, 2^-27.3. float64: 2 atanh(s), s = f / (2 + f), by its Taylor series in s^2 <= 0.0295, arranged as Kahan
 * does (f - (f^2/2 - s (f^2/2 + R))) to keep the bits of f. */
INLINE vec N(log)(vec x)
{
    const ivec sqrt_half = (ivec)N(splat)((REAL)0.70710678118654752440);
    const ivec above = (ivec)(x * (REAL)((INT)1 << MANTISSA_BITS)) - sqrt_half; /* times a power of two: none is subnormal */
    const vec f = (vec)((above & (((INT)1 << MANTISSA_BITS) - 1)) + sqrt_half) - 1;
    const vec n = __builtin_convertvector(above >> MANTISSA_BITS, vec) - MANTISSA_BITS, square = f * f;
#ifdef REAL_IS_FLOAT
    static const float P[] = {0.33333332f, -0.25000821f, 0.20001227f,  -0.16623357f,
                              0.14201758f, -0.13160182f, 0.12761578f, -0.07634498f};
    vec series = N(splat)(P[7]);
    UNROLL for (int k = 6; k >= 0; k--) series = series * f + P[k];
    const vec rest = ((REAL)0.5 * square - n * LN2_LOW) - square * f * series;
#else
    const vec s = f / (2 + f), z = s * s, half_square = (REAL)0.5 * square;
    vec series = N(splat)(2.0 / 25);
    for (int k = 23; k >= 3; k -= 2) series = series * z + 2.0 / k;
    const vec rest = half_square - (s * (half_square + series * z) + n * LN2_LOW);
#endif
    return n * LN2_HIGH - (rest - f);
}

/* log(1 + x) - log(u) for -1 <= x <= 1 and u the rounded sum 1 + x: what rounding lost, over u, for which the first terms of the
 * series of 1 / (1 + x) are enough. NaN stays. */
INLINE vec N(lost)(vec x, vec u) { return (x - (u - 1)) * (1 - x * (1 - (REAL)0.5 * x)); }
INLINE vec N(log1p)(vec x) /* log(1 + x) for -1 <= x <= 1 */
{
    const vec u = 1 + x;
    return N(log)(u) + N(lost)(x, u);
}

INLINE vec N(sigmoid)(vec x)
{
    vec e = N(exp_negative)(-N(absolute)(x));
    return N(where_negative)(x, e, N(splat)(1)) / (1 + e);
}

INLINE vec N(tanh)(vec x)
{
    vec e = N(expm1_negative)(-2 * N(absolute)(x));
    return N(copy_sign)(e / (e + 2), x);
}

INLINE vec N(softplus)(vec x) /* log(1 + e^x) */
{
    return N(where_negative)(x, (vec){0}, x) + N(log1p)(N(exp_negative)(-N(absolute)(x)));
}

/* Phi(x) = erfc(-x / sqrt 2) / 2, the normal distribution function, and exp(-x^2 / 2), which its density needs.
 * float32: erfc(u) = exp(-u^2) P(1 / (1 + u/2)), P of degree 9 interpolating erfcx on 0 <= u <= 10 in Chebyshev nodes
 * (relative error 1.5e-7, as small in the far tail as near 0). float64: the C library's erfc, lane by lane. */
INLINE vec N(normal_cdf)(vec x, vec *gauss)
{
    vec u = N(absolute)(x) * (REAL)0.70710678118654752440;
    *gauss = N(exp_negative)(-(REAL)0.5 * x * x);
#ifdef REAL_IS_FLOAT
    static const float P[] = {-0x1.1a8b72p-16f, 0x1.213efap-2f, 0x1.1d7208p-2f, 0x1.0c773ap-2f, 0x1.215416p-3f,
                              0x1.960a84p-4f, 0x1.d20214p-4f, -0x1.6b317ap-2f, 0x1.cbc00cp-3f, -0x1.83fc84p-5f};
    vec t = 1 / (1 + (REAL)0.5 * u), tail = N(splat)(P[9]);
    for (int k = 8; k >= 0; k--) tail = tail * t + P[k];
    tail *= (REAL)0.5 * *gauss;
#else
    vec tail;
    for (int i = 0; i < LANES; i++) tail[i] = 0.5 * erfc(u[i]);
#endif
    return N(where_negative)(x, tail, 1 - tail);
}
