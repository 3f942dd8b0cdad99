/* What a recipe adds to a block of samples on its way, where vectors are needed: a feature a row, samples in the lanes, if not said
 * otherwise; n samples are whole vectors. _kernels/README.md, "Recipes", states the formulas.
 */
#ifndef FASTAE_STAGES
#define FASTAE_STAGES
#include "philox.h"
enum { NO_NOISE, GAUSSIAN_NOISE, MASKING, SALT_AND_PEPPER, DROPOUT, BINARIZE }; /* names.NOISES */
#endif

typedef uint32_t N(words) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

/* Uniform numbers in [0, 1), of 24 bits. */
INLINE vec N(uniform)(const uint32_t *words)
{
    return __builtin_convertvector((*(const N(words) *)words) >> 8, vec) * (REAL)0x1p-24;
}

/* sin(2 pi q) for |q| <= 1/4, by its Taylor series. */
INLINE vec N(sine)(vec q)
{
    const double tau = 6.28318530717958647692;
    const int terms = REAL_BYTES == 4 ? 7 : 11;
    vec x = q * (REAL)tau, square = x * x, sum = {0};
    double c[11] = {1};
    UNROLL for (int k = 1; k < terms; k++) c[k] = -c[k - 1] / (2 * k * (2 * k + 1));
    UNROLL for (int k = terms - 1; k >= 0; k--) sum = sum * square + (REAL)c[k];
    return sum * x;
}

/* Two normal numbers from two words (Box and Muller 1958). */
INLINE void N(normal)(const uint32_t *u, const uint32_t *v, vec *first, vec *second)
{
    const vec radius = N(square_root)(-2 * N(log)(N(uniform)(u) + (REAL)0x1p-25));
    const vec turn = N(uniform)(v) - (REAL)0.5, size = N(absolute)(turn); /* half a turn away: both change their signs */
    *first = -radius * N(sine)((REAL)0.25 - size);
    *second = -radius * N(sine)(N(select_)(size > (REAL)0.25, N(copy_sign)(N(splat)((REAL)0.5), turn) - turn, turn));
}

/* The noise of one sample's row of n features, in place; x is padded to whole vectors, its padding not of use. */
static void N(disturb)(int noise, REAL level, uint64_t key, const uint32_t *counter, ptrdiff_t n, REAL *x)
{
    uint32_t words[4][16], at[4] = {counter[0], counter[1], counter[2], 0};
    const REAL up = 1 / (1 - level);
    for (ptrdiff_t first = 0; first < n; first += 64, at[3] += 16) {
        philox(key, at, 3, words);
        for (int i = 0; i < 4; i++)
            for (int l = 0; l < 16; l += LANES) {
                const ptrdiff_t f = first + 16 * i + l;
                if (f >= n) break;
                vec v = N(load_upto)(x + f, n - f), u, other;
                if (noise == GAUSSIAN_NOISE) {
                    N(normal)(words[i & 2] + l, words[i | 1] + l, &u, &other);
                    v += level * (i & 1 ? other : u);
                } else {
                    u = N(uniform)(words[i] + l);
                    if (noise == MASKING) v = N(select_)(u < level, (vec){0}, v);
                    else if (noise == DROPOUT) v = N(select_)(u < level, (vec){0}, v * up);
                    else if (noise == SALT_AND_PEPPER)
                        v = N(select_)(u < level, N(select_)(u < level / 2, N(splat)(1), (vec){0}), v);
                    else v = N(select_)(u < v, N(splat)(1), (vec){0});
                }
                N(store_upto)(x + f, v, n - f);
            }
    }
}

/* gate = 0 with probability p, else 1 / (1 - p), for rows of features of n samples; or times the gate there is. */
static void N(drop)(REAL p, uint64_t key, const uint32_t *counter, ptrdiff_t features, ptrdiff_t n, REAL *gate, ptrdiff_t ld,
                    int gated)
{
    uint32_t words[4][16], at[4] = {counter[0], counter[1], counter[2], 0};
    const REAL up = 1 / (1 - p);
    for (ptrdiff_t c = 0; c < (features + 63) / 64 * 16; c++) {
        const ptrdiff_t first = c / 16 * 64 + c % 16;
        at[3] = (uint32_t)c;
        if (first >= features) continue;
        for (ptrdiff_t s = 0; s < n; s += 16) {
            at[2] = counter[2] + (uint32_t)s;
            philox(key, at, 2, words);
            for (int i = 0; i < 4 && first + 16 * i < features; i++)
                for (int l = 0; l < 16 && s + l < n; l += LANES) {
                    REAL *g = gate + (first + 16 * i) * ld + s + l;
                    const vec kept = N(select_)(N(uniform)(words[i] + l) < p, (vec){0}, N(splat)(up));
                    N(store)(g, gated ? N(load)(g) * kept : kept);
                }
        }
    }
}

/* Rows of standard normal numbers. */
static void N(normals)(uint64_t key, const uint32_t *counter, ptrdiff_t features, ptrdiff_t n, REAL *out, ptrdiff_t ld)
{
    uint32_t words[4][16], at[4] = {counter[0], counter[1], counter[2], 0};
    for (ptrdiff_t c = 0; c < (features + 63) / 64 * 16; c++) {
        const ptrdiff_t first = c / 16 * 64 + c % 16;
        at[3] = (uint32_t)c;
        if (first >= features) continue;
        for (ptrdiff_t s = 0; s < n; s += 16) {
            at[2] = counter[2] + (uint32_t)s;
            philox(key, at, 2, words);
            for (int i = 0; i < 4 && first + 16 * i < features; i += 2)
                for (int l = 0; l < 16 && s + l < n; l += LANES) {
                    vec one, other;
                    REAL *row = out + (first + 16 * i) * ld + s + l;
                    N(normal)(words[i] + l, words[i + 1] + l, &one, &other);
                    N(store)(row, one);
                    if (first + 16 * (i + 1) < features) N(store)(row + 16 * ld, other);
                }
        }
    }
}

/* gate = 1 for those of a sample's features that are at least as large as its k-th largest, else 0. That one is found bit by bit, as
 * an integer whose order is that of the numbers. */
INLINE ivec N(ordered)(vec x)
{
    const ivec bits = (ivec)x;
    return bits ^ ((bits >> (8 * REAL_BYTES - 1)) & (INT)(((uint64_t)1 << (8 * REAL_BYTES - 1)) - 1));
}
static void N(top)(ptrdiff_t k, ptrdiff_t features, ptrdiff_t n, const REAL *x, ptrdiff_t ld, REAL *gate, ptrdiff_t ld_gate)
{
    const INT sign = (INT)((uint64_t)1 << (8 * REAL_BYTES - 1));
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        ivec found = (ivec){0} + sign; /* the smallest integer */
        for (int bit = 8 * REAL_BYTES - 1; bit >= 0; bit--) {
            const ivec tried = bit == 8 * REAL_BYTES - 1 ? (ivec){0} : found | (INT)((uint64_t)1 << bit);
            ivec a = {0}, b = {0}; /* minus the count, in two chains */
            ptrdiff_t f = 0;
            for (; f + 2 <= features; f += 2) {
                a += N(ordered)(N(load)(x + f * ld + s)) >= tried;
                b += N(ordered)(N(load)(x + (f + 1) * ld + s)) >= tried;
            }
            if (f < features) a += N(ordered)(N(load)(x + f * ld + s)) >= tried;
            const ivec enough = a + b <= (INT)-k;
            found = (enough & tried) | (~enough & found);
        }
        for (ptrdiff_t f = 0; f < features; f++)
            N(store)(gate + f * ld_gate + s, (vec)((ivec)N(splat)(1) & (N(ordered)(N(load)(x + f * ld + s)) >= found)));
    }
}

/* y = value gate; of a gradient, too. */
static void N(multiply)(ptrdiff_t features, ptrdiff_t n, const REAL *value, ptrdiff_t ld, const REAL *gate, ptrdiff_t ld_gate, REAL *y,
                        ptrdiff_t ld_y)
{
    for (ptrdiff_t f = 0; f < features; f++)
        for (ptrdiff_t s = 0; s < n; s += LANES)
            N(store)(y + f * ld_y + s, N(load)(value + f * ld + s) * N(load)(gate + f * ld_gate + s));
}

/* A Gaussian code of k features: y = m + exp(s / 2) e; to the sample's penalty, weight / 2 (exp(s) + m^2 - 1 - s) is added. */
static void N(draw)(ptrdiff_t k, ptrdiff_t n, double weight, const REAL *value, ptrdiff_t ld, const REAL *e, ptrdiff_t ld_e, REAL *y,
                    ptrdiff_t ld_y, double *penalty)
{
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        N(sums) total = {0};
        for (ptrdiff_t f = 0; f < k; f++) {
            const vec m = N(load)(value + f * ld + s), t = N(load)(value + (k + f) * ld + s);
            const vec deviation = N(exponential)((REAL)0.5 * t);
            N(store)(y + f * ld_y + s, m + deviation * N(load)(e + f * ld_e + s));
            total += __builtin_convertvector(deviation * deviation + m * m - 1 - t, N(sums));
        }
        *(N(sums_u) *)(penalty + s) += total * (0.5 * weight);
    }
}
/* Its gradient: k rows of dz by y become 2 k by m and s. weights: what multiplies weight for each sample, or NULL. */
static void N(draw_back)(ptrdiff_t k, ptrdiff_t n, REAL weight, const REAL *weights, const REAL *value, ptrdiff_t ld, const REAL *e,
                         ptrdiff_t ld_e, REAL *dz, ptrdiff_t ld_z)
{
    for (ptrdiff_t f = 0; f < k; f++)
        for (ptrdiff_t s = 0; s < n; s += LANES) {
            const vec m = N(load)(value + f * ld + s), t = N(load)(value + (k + f) * ld + s), dy = N(load)(dz + f * ld_z + s);
            const vec deviation = N(exponential)((REAL)0.5 * t), pull = N(splat)(weight) * (weights ? N(load)(weights + s) : N(splat)(1));
            N(store)(dz + f * ld_z + s, dy + pull * m);
            N(store)(dz + (k + f) * ld_z + s,
                     (REAL)0.5 * (dy * N(load)(e + f * ld_e + s) * deviation + pull * (deviation * deviation - 1)));
        }
}

/* Losses of whole samples, over all features: to each sample's sum its loss is added; grad = scale times the slope. */
static void N(loss_whole)(int loss, ptrdiff_t features, ptrdiff_t n, const REAL *out, ptrdiff_t ld, const REAL *target,
                          ptrdiff_t ld_target, REAL scale, REAL *grad, ptrdiff_t ld_grad, double *sample_loss)
{
#define Y N(load)(out + f * ld + i)
#define T N(load)(target + f * ld_target + i)
#define G (grad + f * ld_grad + i)
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        vec first = {0}, second = {0}, third = {0}; /* sums, of eight rows at a time in REAL */
        N(sums) a = {0}, b = {0}, c = {0}, value;
        vec largest = N(load)(out + i);
#define EACH(eight)                                                                          \
    for (ptrdiff_t f = 0; f < features;) {                                                   \
        first = second = third = (vec){0};                                                   \
        for (ptrdiff_t last = f + 8 < features ? f + 8 : features; f < last; f++) { eight; } \
        a += __builtin_convertvector(first, N(sums));                                        \
        b += __builtin_convertvector(second, N(sums));                                       \
        c += __builtin_convertvector(third, N(sums));                                        \
    }
        if (loss == MULTINOMIAL) {
            for (ptrdiff_t f = 1; f < features; f++) largest = N(select_)(Y > largest, Y, largest);
            EACH(const vec e = N(exp_negative)(Y - largest); N(store)(G, e); first += e; second += T; third += T * (Y - largest))
            N(sums) logarithm = {0};
            for (int l = 0; l < LANES; l++) logarithm[l] = __builtin_log(a[l]);
            value = b * logarithm - c;
            const vec share = __builtin_convertvector(b / a, vec) * scale;
            for (ptrdiff_t f = 0; f < features; f++) N(store)(G, N(load)(G) * share - T * scale);
        } else { /* norms of at least 1e-8, as in PyTorch */
            EACH(first += Y * Y; second += T * T; third += Y * T)
            N(sums) of_y = {0}, of_t = of_y, cosine = of_y, pull = of_y;
            for (int l = 0; l < LANES; l++) {
                const double norm = __builtin_sqrt(a[l]), goal = __builtin_sqrt(b[l]);
                of_y[l] = norm > 1e-8 ? norm : 1e-8;
                of_t[l] = goal > 1e-8 ? goal : 1e-8;
                cosine[l] = c[l] / (of_y[l] * of_t[l]);
                pull[l] = norm > 1e-8 ? cosine[l] / (of_y[l] * of_y[l]) : 0;
            }
            value = 1 - cosine;
            const vec p = __builtin_convertvector(pull * scale, vec), q = __builtin_convertvector(scale / (of_y * of_t), vec);
            for (ptrdiff_t f = 0; f < features; f++) N(store)(G, p * Y - q * T);
        }
        *(N(sums_u) *)(sample_loss + i) += value;
    }
#undef EACH
#undef Y
#undef T
#undef G
}
