/* Activations, losses and the optimiser, on rows of n elements. Each formula stands here once, as an expression of vectors; the switch
 * is outside the loops.
 */
#ifndef FASTAE_NUMBERS
#define FASTAE_NUMBERS /* the order of _kernels/names.py */
enum { IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, GELU, SILU };
enum { HALF_SQUARED, MSE, BCE, BCE_WITH_LOGITS, MAE, HUBER, POISSON, MULTINOMIAL, COSINE };
enum { RULE_SGD, RULE_ADAM, RULE_ADAMW, RULE_RMSPROP };

/* Functions of the user's own have the numbers behind these: C functions of rows, which numba/rows.py makes. */
enum { OWN_ACTIVATION = SILU + 1, OWN_LOSS = COSINE + 1, MOST_OWN = 1024 };
enum { VALUE, SLOPE, TERMS };
static void *own[3][MOST_OWN][2]; /* the last is for double */
typedef double Pair __attribute__((vector_size(16)));

/* The sum of n numbers, as eight interleaved sums: one alone would wait for each addition. */
static double interleaved_sum(ptrdiff_t n, const double *p)
{
    if (n == 1) return *p; /* of the shortest steps this would be a part that counts */
    double sum[8] = {0};
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) UNROLL for (int l = 0; l < 8; l++) sum[l] += p[i + l];
    for (; i < n; i++) sum[i % 8] += p[i];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}
#endif
#define LEAKY_SLOPE ((REAL)0.01)
#define WHERE N(select_)
#define SPLAT N(splat)

#define EACH_ACTIVATION(MAP)                                                                    \
    switch (activation) {                                                                       \
    case RELU: MAP(N(at_least)(z, 0))                                                           \
    case LEAKY_RELU: MAP(WHERE(z <= 0, z * LEAKY_SLOPE, z))                                     \
    case ELU: MAP(WHERE(z <= 0, N(expm1_negative)(WHERE(z <= 0, z, zero)), z))                  \
    case SIGMOID: MAP(N(sigmoid)(z))                                                            \
    case TANH: MAP(N(tanh)(z))                                                                  \
    case SOFTPLUS: MAP(N(softplus)(z))                                                          \
    case GELU: MAP(z * N(normal_cdf)(z, &gauss))                                                \
    case SILU: MAP(z * N(sigmoid)(z))                                                           \
    }
/* dy f'(z). k is y = f(z), or z itself for gelu and silu, whose slope y does not tell. */
#define EACH_SLOPE(MAP)                                                                         \
    switch (activation) {                                                                       \
    case RELU: MAP(WHERE(k > 0, dy, zero))                                                      \
    case LEAKY_RELU: MAP(WHERE(k > 0, dy, dy * LEAKY_SLOPE))                                    \
    case ELU: MAP(WHERE(k > 0, dy, dy * (k + 1)))                                               \
    case SIGMOID: MAP(dy * (k * (1 - k)))                                                       \
    case TANH: MAP(dy * (1 - k * k))                                                            \
    case SOFTPLUS: MAP(-dy * N(expm1_negative)(-k))                                             \
    case GELU: MAP(dy * (N(normal_cdf)(k, &gauss) + k * gauss * (REAL)0.39894228040143267794)) /* 1 / sqrt(2 pi) */ \
    case SILU: MAP((gauss = N(sigmoid)(k), dy * (gauss * (1 + k * (1 - gauss)))))               \
    }

typedef void (*N(value_rows))(ptrdiff_t, const REAL *, REAL *);
typedef void (*N(slope_rows))(ptrdiff_t, const REAL *, const REAL *, REAL *);
typedef void (*N(terms_rows))(ptrdiff_t, const REAL *, const REAL *, REAL, REAL *, REAL *);
#define OWN(kind, slot, number) (*(N(kind) *)&own[slot][number][REAL_BYTES / 8])

/* out = f(in), in place or not. A NaN stays a NaN in each of them. What is left of rows beyond whole vectors has loops of its own, so
 * that constants stay in registers in the others. */
static void N(activate)(int activation, ptrdiff_t rows, ptrdiff_t n, const REAL *in, ptrdiff_t ld_in, REAL *out, ptrdiff_t ld_out)
{
    const ptrdiff_t whole = n / LANES * LANES;
    const vec zero = {0};
    vec gauss;
    if (activation >= OWN_ACTIVATION) {
        for (; rows > 0; rows--, in += ld_in, out += ld_out) OWN(value_rows, VALUE, activation - OWN_ACTIVATION)(n, in, out);
        return;
    }
#define MAP(formula)                                                        \
    for (ptrdiff_t r = 0; r < rows; r++)                                    \
        for (ptrdiff_t i = 0; i < whole; i += LANES) {                      \
            const vec z = N(load)(in + r * ld_in + i);                      \
            N(store)(out + r * ld_out + i, formula);                        \
        }                                                                   \
    if (whole < n)                                                          \
        for (ptrdiff_t r = 0; r < rows; r++) {                              \
            const vec z = N(load_upto)(in + r * ld_in + whole, n - whole);  \
            N(store_upto)(out + r * ld_out + whole, formula, n - whole);    \
        }                                                                   \
    return;
    EACH_ACTIVATION(MAP)
    if (out != in)
        for (; rows > 0; rows--, in += ld_in, out += ld_out) memcpy(out, in, n * sizeof(REAL));
#undef MAP
}

/* out = in * f'(z), in place or not. */
static void N(differentiate)(int activation, ptrdiff_t rows, ptrdiff_t n, const REAL *kept, ptrdiff_t ld_kept, const REAL *in,
                             ptrdiff_t ld_in, REAL *out, ptrdiff_t ld_out)
{
    const ptrdiff_t whole = n / LANES * LANES;
    const vec zero = {0};
    vec gauss;
    if (activation >= OWN_ACTIVATION) {
        for (; rows > 0; rows--, kept += ld_kept, in += ld_in, out += ld_out)
            OWN(slope_rows, SLOPE, activation - OWN_ACTIVATION)(n, kept, in, out);
        return;
    }
#define MAP(formula)                                                                        \
    for (ptrdiff_t r = 0; r < rows; r++)                                                    \
        for (ptrdiff_t i = 0; i < whole; i += LANES) {                                      \
            const vec k = N(load)(kept + r * ld_kept + i), dy = N(load)(in + r * ld_in + i); \
            N(store)(out + r * ld_out + i, formula);                                        \
        }                                                                                   \
    if (whole < n)                                                                          \
        for (ptrdiff_t r = 0; r < rows; r++) {                                              \
            const vec k = N(load_upto)(kept + r * ld_kept + whole, n - whole);              \
            const vec dy = N(load_upto)(in + r * ld_in + whole, n - whole);                 \
            N(store_upto)(out + r * ld_out + whole, formula, n - whole);                    \
        }                                                                                   \
    return;
    EACH_SLOPE(MAP)
    if (out != in)
        for (; rows > 0; rows--, in += ld_in, out += ld_out) memcpy(out, in, n * sizeof(REAL));
#undef MAP
}

/* The same of one vector. */
#define MAP(formula) return formula;
INLINE vec N(activated)(int activation, vec z)
{
    const vec zero = {0};
    vec gauss;
    EACH_ACTIVATION(MAP)
    return z;
}
INLINE vec N(times_slope)(int activation, vec k, vec dy)
{
    const vec zero = {0};
    vec gauss;
    EACH_SLOPE(MAP)
    return dy;
}
#undef MAP
#undef EACH_ACTIVATION
#undef EACH_SLOPE

/* Losses, each as its term and its slope by the output y for the target t. */
#define EACH_LOSS(SUM)                                                                              \
    switch (loss) {                                                                                 \
    case HALF_SQUARED: SUM((REAL)0.5 * (y - t) * (y - t), y - t)                                    \
    case MSE: SUM((y - t) * (y - t), 2 * (y - t))                                                   \
    case BCE: /* with PyTorch's bounds; outside of them NaN */                                       \
        SUM((p = y * (1 - y), q = t * N(at_least)(N(log)(y), -100) + (1 - t) * N(at_least)(N(log1p)(-y), -100), \
             WHERE(p >= 0, -q, nan)),                                                               \
            (y - t) / N(at_least)(y * (1 - y), (REAL)1e-12))                                        \
    case BCE_WITH_LOGITS: SUM(N(softplus)(y) - y * t, N(sigmoid)(y) - t)                            \
    case MAE: SUM(N(absolute)(y - t), WHERE(y > t, one, WHERE(y < t, -one, y - t)))                 \
    case HUBER: /* its delta is 1 */                                                                \
        SUM((p = N(absolute)(y - t), WHERE(p <= 1, (REAL)0.5 * p * p, p - (REAL)0.5)),              \
            (p = y - t, WHERE(p > 1, one, WHERE(p < -1, -one, p))))                                 \
    case POISSON: SUM(N(exponential)(y) - y * t, N(exponential)(y) - t)                             \
    }

typedef double N(sums) __attribute__((vector_size(LANES * sizeof(double))));
typedef double N(sums_u) __attribute__((vector_size(LANES * sizeof(double)), aligned(8), may_alias));

/* The first n lanes all ones. */
INLINE ivec N(lanes_below)(ptrdiff_t n)
{
    ivec number;
    for (int l = 0; l < LANES; l++) number[l] = l;
    return number < (INT)(n < LANES ? n : LANES);
}

INLINE double N(tree)(const N(sums) *sum) /* adds slot l + 8 to l, then l + 4, l + 2, l + 1 */
{
    Pair p[8];
    memcpy(p, sum, sizeof p);
    UNROLL for (int i = 0; i < 4; i++) p[i] += p[i + 4];
    UNROLL for (int i = 0; i < 2; i++) p[i] += p[i + 2];
    p[0] += p[1];
    return p[0][0] + p[0][1];
}

/* A vector, or what is left of one, of a loss of the user's own: its terms; grad as below. */
INLINE vec N(own_terms)(int loss, ptrdiff_t left, const REAL *out, const REAL *target, REAL scale, REAL *grad)
{
    const ptrdiff_t n = left < LANES ? left : LANES;
    REAL terms[LANES];
    OWN(terms_rows, TERMS, loss - OWN_LOSS)(n, out, target, scale, grad, terms);
    for (ptrdiff_t i = n; i < LANES; i++) grad[i] = 0;
    return N(load_upto)(terms, n);
}

/* A sample a row, padded to whole vectors: row_loss = the sum of n terms, sixteen interleaved sums in double whatever LANES
 * is; grad = scale * slope, and 0 in the padding. grad may be out. */
static void N(loss)(int loss, ptrdiff_t rows, ptrdiff_t n, const REAL *out, const REAL *target, ptrdiff_t ld, REAL scale,
                    REAL *grad, ptrdiff_t ld_grad, double *row_loss)
{
    const vec zero = {0}, one = SPLAT(1), nan = SPLAT(REAL_NAN);
    vec p, q;
    if (loss >= OWN_LOSS) {
        for (; rows > 0; rows--, out += ld, target += ld, grad += ld_grad) {
            N(sums) sum[16 / LANES] = {{0}};
            for (ptrdiff_t i = 0; i < n; i += LANES)
                sum[i / LANES % (16 / LANES)] +=
                    __builtin_convertvector(N(own_terms)(loss, n - i, out + i, target + i, scale, grad + i), N(sums));
            *row_loss++ = N(tree)(sum);
        }
        return;
    }
#define SUM(term, slope)                                                                         \
    for (; rows > 0; rows--, out += ld, target += ld, grad += ld_grad) {                         \
        N(sums) sum[16 / LANES] = {{0}};                                                         \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                               \
            const ivec inside = N(lanes_below)(n - i);                                           \
            const vec y = N(load)(out + i), t = N(load)(target + i);                             \
            N(store)(grad + i, WHERE(inside, (slope)*scale, zero));                              \
            sum[i / LANES % (16 / LANES)] += __builtin_convertvector(WHERE(inside, term, zero), N(sums)); \
        }                                                                                        \
        *row_loss++ = N(tree)(sum);                                                              \
    }                                                                                            \
    break;
    EACH_LOSS(SUM)
#undef SUM
}

/* A sample a column, samples padded to whole vectors: to each of n samples' sum in double the terms of some features are added, eight
 * at a time, whose sum is taken in REAL; grad = scale * slope, and 0 in the padding. Weights of features and samples may be NULL;
 * with missing, a target that is NaN is absent. */
typedef struct {
    const REAL *of_features, *of_samples;
    int missing;
} N(Weights);

INLINE vec N(weight_of)(const N(Weights) *w, ptrdiff_t f, ptrdiff_t i, vec *t)
{
    vec weight = w->of_samples ? N(load)(w->of_samples + i) : N(splat)(1);
    if (w->of_features) weight *= w->of_features[f];
    if (w->missing) {
        const ivec there = *t == *t;
        *t = (vec)((ivec)*t & there);
        weight = (vec)((ivec)weight & there);
    }
    return weight;
}

/* The same of BCE_WITH_LOGITS, with one logarithm for eight, which is that of the product of 1 + e, 1 to 2 each. bounded: the slope is that
 * of BCE of sigmoid(z), where PyTorch divides by y (1 - y), or by 1e-12 where that is more, and then multiplies by y (1 - y). */
INLINE void N(cross_entropy)(int bounded, ptrdiff_t features, ptrdiff_t n, const REAL *out, ptrdiff_t ld, const REAL *target,
                             ptrdiff_t ld_target, REAL scale, REAL *grad, ptrdiff_t ld_grad, double *sample_loss)
{
    const vec zero = {0}, one = SPLAT(1);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ivec inside = N(lanes_below)(n - i);
        for (ptrdiff_t f = 0; f < features;) {
            vec product = one, rest = zero;
            for (ptrdiff_t last = f + 8 < features ? f + 8 : features; f < last; f++) {
                const vec z = N(load)(out + f * ld + i), t = N(load)(target + f * ld_target + i);
                const vec e = N(exp_negative)(-N(absolute)(z)), u = 1 + e, y = N(where_negative)(z, e, one) / u;
                vec slope = (y - t) * scale;
                if (bounded) {
                    const vec share = y * (1 - y) * (REAL)1e12;
                    slope *= WHERE(share < 1, share, one);
                }
                N(store)(grad + f * ld_grad + i, (vec)((ivec)slope & inside));
                rest += N(where_negative)(z, zero, z) - z * t + N(lost)(e, u);
                product *= u;
            }
            *(N(sums_u) *)(sample_loss + i) += __builtin_convertvector(rest + N(log)(product), N(sums));
        }
    }
}

INLINE void N(loss_columns_of)(int loss, ptrdiff_t features, ptrdiff_t n, const REAL *out, ptrdiff_t ld, const REAL *target,
                               ptrdiff_t ld_target, REAL scale, REAL *grad, ptrdiff_t ld_grad, double *sample_loss,
                               const N(Weights) *weights)
{
    const vec zero = {0}, one = SPLAT(1), nan = SPLAT(REAL_NAN);
    vec p, q;
    if (loss >= OWN_LOSS) {
        for (ptrdiff_t i = 0; i < n; i += LANES)
            for (ptrdiff_t f = 0; f < features;) {
                vec eight = zero;
                for (ptrdiff_t last = f + 8 < features ? f + 8 : features; f < last; f++) {
                    const REAL *goal = target + f * ld_target + i;
                    REAL there[LANES];
                    vec w = one;
                    if (weights) {
                        vec t = N(load)(goal);
                        w = N(weight_of)(weights, f, i, &t);
                        N(store)(there, t);
                        goal = there;
                    }
                    vec terms = N(own_terms)(loss, n - i, out + f * ld + i, goal, scale, grad + f * ld_grad + i);
                    if (weights) {
                        terms *= w;
                        N(store)(grad + f * ld_grad + i, N(load)(grad + f * ld_grad + i) * w);
                    }
                    eight += terms;
                }
                *(N(sums_u) *)(sample_loss + i) += __builtin_convertvector(eight, N(sums));
            }
        return;
    }
    if (loss == BCE_WITH_LOGITS && !weights) {
        N(cross_entropy)(0, features, n, out, ld, target, ld_target, scale, grad, ld_grad, sample_loss);
        return;
    }
#define SUM(term, slope)                                                                         \
    for (ptrdiff_t i = 0; i < n; i += LANES) {                                                   \
        const ivec inside = N(lanes_below)(n - i);                                               \
        N(sums) sum = *(const N(sums_u) *)(sample_loss + i);                                     \
        for (ptrdiff_t f = 0; f < features;) {                                                   \
            vec eight = zero;                                                                    \
            for (ptrdiff_t last = f + 8 < features ? f + 8 : features; f < last; f++) {          \
                const vec y = N(load)(out + f * ld + i);                                         \
                vec t = N(load)(target + f * ld_target + i);                                     \
                if (weights) {                                                                   \
                    const vec w = N(weight_of)(weights, f, i, &t);                               \
                    N(store)(grad + f * ld_grad + i, (vec)((ivec)((slope)*scale * w) & inside)); \
                    eight += (term) * w;                                                         \
                } else {                                                                         \
                    N(store)(grad + f * ld_grad + i, (vec)((ivec)((slope)*scale) & inside));     \
                    eight += term;                                                               \
                }                                                                                \
            }                                                                                    \
            sum += __builtin_convertvector(eight, N(sums));                                      \
        }                                                                                        \
        *(N(sums_u) *)(sample_loss + i) = sum;                                                   \
    }                                                                                            \
    break;
    EACH_LOSS(SUM)
#undef SUM
}
static void N(loss_columns)(int loss, ptrdiff_t features, ptrdiff_t n, const REAL *out, ptrdiff_t ld, const REAL *target,
                            ptrdiff_t ld_target, REAL scale, REAL *grad, ptrdiff_t ld_grad, double *sample_loss)
{
    N(loss_columns_of)(loss, features, n, out, ld, target, ld_target, scale, grad, ld_grad, sample_loss, NULL);
}
static void N(loss_weighted)(int loss, ptrdiff_t features, ptrdiff_t n, const REAL *out, ptrdiff_t ld, const REAL *target,
                             ptrdiff_t ld_target, REAL scale, REAL *grad, ptrdiff_t ld_grad, double *sample_loss,
                             const REAL *of_features, const REAL *of_samples, int missing)
{
    const N(Weights) weights = {of_features, of_samples, missing};
    N(loss_columns_of)(loss, features, n, out, ld, target, ld_target, scale, grad, ld_grad, sample_loss, &weights);
}

/* BCE of sigmoid(z) from z, to dz; or nothing, and 0, where some y or 1 - y would be lost in rounding, and its logarithm meet PyTorch's
 * bound, or z is NaN. n samples are padded to whole vectors. */
static int N(sigmoid_bce)(ptrdiff_t features, ptrdiff_t n, const REAL *z, ptrdiff_t ld, const REAL *target, ptrdiff_t ld_target,
                          REAL scale, REAL *dz, ptrdiff_t ld_dz, double *sample_loss)
{
    const REAL low = REAL_BYTES == 4 ? -87 : -100, high = REAL_BYTES == 4 ? 16 : 27;
    const ivec radius = (ivec)SPLAT((high - low) / 2);
    ivec beyond = {0}; /* compared as integers, whose order is that of the numbers; NaN is above all */
    for (ptrdiff_t f = 0; f < features; f++)
        for (ptrdiff_t i = 0; i < n; i += LANES) beyond |= radius - (ivec)N(absolute)(N(load)(z + f * ld + i) - (low + high) / 2);
    if (!N(all_zero)((vec)(beyond >> (8 * REAL_BYTES - 1)))) return 0;
    N(cross_entropy)(1, features, n, z, ld, target, ld_target, scale, dz, ld_dz, sample_loss);
    return 1;
}

/* The same of one vector of outputs: its terms, and the slopes. */
INLINE vec N(loss_of)(int loss, vec y, vec t, vec *slopes)
{
    const vec one = SPLAT(1), nan = SPLAT(REAL_NAN);
    vec p, q;
#define SUM(term, slope)  \
    *slopes = slope;      \
    return term;
    EACH_LOSS(SUM)
#undef SUM
    return *slopes = y;
}
#undef EACH_LOSS

/* out[j] = the sum over the rows, in order, of a[.][j]; n is padded to whole vectors. */
static void N(sum_rows)(ptrdiff_t rows, ptrdiff_t n, const REAL *a, ptrdiff_t ld, REAL *out)
{
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        vec sum = {0};
        for (ptrdiff_t i = 0; i < rows; i++) sum += N(load)(a + i * ld + j);
        N(store)(out + j, sum);
    }
}

/* out = in, whole vectors, the last one filled up with zeros. */
INLINE void N(copy_padded)(ptrdiff_t n, REAL *out, const REAL *in)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) N(store)(out + i, N(load)(in + i));
    if (i < n) N(store)(out + i, N(load_upto)(in + i, n - i));
}

/* out[r] = row first + r, or order[first + r], of a source whose rows are `bytes` apart; as copy_padded. What stands `ahead` places
 * later, below last, is asked for, unless prefetchers find it. */
INLINE void N(copy_rows_of)(ptrdiff_t rows, ptrdiff_t n, const char *source, ptrdiff_t bytes, const int64_t *order, ptrdiff_t first,
                            ptrdiff_t ahead, ptrdiff_t last, REAL *out, ptrdiff_t ld)
{
    for (ptrdiff_t r = 0; r < rows; r++, out += ld) {
        const REAL *in = (const REAL *)(source + (order ? order[first + r] : first + r) * bytes);
        N(copy_padded)(n, out, in);
        if ((order || n * REAL_BYTES > 64) && first + r + ahead < last) {
            const char *next = source + (order ? order[first + r + ahead] : first + r + ahead) * bytes;
            for (ptrdiff_t i = 0; i < n * REAL_BYTES; i += 64) prefetch(next + i);
        }
    }
}
static void N(copy_rows)(ptrdiff_t rows, ptrdiff_t n, const char *source, ptrdiff_t bytes, const int64_t *order, ptrdiff_t first,
                         ptrdiff_t ahead, ptrdiff_t last, REAL *out, ptrdiff_t ld)
{
    if (!order && n <= LANES)
        for (source += first * bytes; rows > 0; rows--, source += bytes, out += ld)
            N(store)(out, N(load_upto)((const REAL *)source, n));
    else if (order) N(copy_rows_of)(rows, n, source, bytes, order, first, ahead, last, out, ld);
    else N(copy_rows_of)(rows, n, source, bytes, NULL, first, ahead, last, out, ld); /* shorter code */
}

/* The sum of squares, in double. */
static double N(square_sum)(ptrdiff_t n, const REAL *p)
{
    N(sums) sum[16 / LANES] = {{0}};
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const N(sums) x = __builtin_convertvector(N(load_upto)(p + i, n - i), N(sums));
        sum[i / LANES % (16 / LANES)] += x * x;
    }
    return N(tree)(sum);
}

/* Whether n numbers are finite: 0 times a finite number is 0. */
static int N(all_finite)(ptrdiff_t n, const REAL *p)
{
    vec zeros = {0};
    for (ptrdiff_t i = 0; i < n; i += LANES) zeros += N(load_upto)(p + i, n - i) * 0;
    return N(all_zero)(zeros);
}

/* One update, as reference.update states it. Without momentum v is left as it is. */
typedef struct {
    REAL lr, momentum, decay, beta, eps, step_size, root, kept, other_momentum, other_beta;
    int kind, nesterov;
} N(Rates);
INLINE N(Rates) N(rates)(const Rule *s)
{
    return (N(Rates)){(REAL)s->lr, (REAL)s->momentum, (REAL)s->weight_decay, (REAL)s->beta, (REAL)s->eps, (REAL)s->step_size,
                      (REAL)s->root, (REAL)(1 - s->lr * s->weight_decay), (REAL)(1 - s->momentum), (REAL)(1 - s->beta),
                      s->kind, s->nesterov};
}
INLINE int N(moves)(N(Rates) s) { return s.momentum != 0 || s.kind == RULE_ADAM || s.kind == RULE_ADAMW; } /* writes to v */
INLINE vec N(sgd_of)(N(Rates) s, vec w, vec *v, vec dw)
{
    const vec g = dw + s.decay * w;
    if (s.momentum == 0) return w - s.lr * g;
    *v = s.momentum * *v + g;
    return w - s.lr * (s.nesterov ? g + s.momentum * *v : *v);
}
INLINE vec N(adam_of)(N(Rates) s, vec w, vec *v, vec *q, vec dw)
{
    const vec g = s.kind == RULE_ADAMW ? dw : dw + s.decay * w;
    *v = *v + s.other_momentum * (g - *v);
    *q = s.beta * *q + s.other_beta * g * g;
    return (s.kind == RULE_ADAMW ? s.kept * w : w) - s.step_size * *v / (N(square_root)(*q) * s.root + s.eps);
}
INLINE vec N(rmsprop_of)(N(Rates) s, vec w, vec *v, vec *q, vec dw)
{
    const vec g = dw + s.decay * w;
    *q = s.beta * *q + s.other_beta * g * g;
    const vec d = g / (N(square_root)(*q) + s.eps);
    if (s.momentum == 0) return w - s.lr * d;
    *v = s.momentum * *v + d;
    return w - s.lr * *v;
}
INLINE vec N(updated)(N(Rates) s, vec w, vec *v, vec *q, vec dw)
{
    if (s.kind == RULE_SGD) return N(sgd_of)(s, w, v, dw);
    if (s.kind == RULE_RMSPROP) return N(rmsprop_of)(s, w, v, q, dw);
    return N(adam_of)(s, w, v, q, dw);
}

INLINE int N(is_plain_sgd)(const Rule *s) { return s->kind == RULE_SGD && s->momentum == 0 && s->weight_decay == 0; }

/* The same on rows of n weights by plain SGD, for which small networks have no time to lose. */
static int N(descend)(REAL lr, ptrdiff_t rows, ptrdiff_t n, REAL *w, ptrdiff_t ld, const REAL *dw, ptrdiff_t ld_dw)
{
    const ptrdiff_t whole = n / LANES * LANES;
    ivec zeros = {0};
    for (; rows > 0; rows--, w += ld, dw += ld_dw) {
        for (ptrdiff_t i = 0; i < whole; i += LANES) {
            const vec now = N(load)(w + i) - lr * N(load)(dw + i);
            N(store)(w + i, now);
            zeros |= (ivec)(now * 0); /* bits, which wait less for each other than a sum */
        }
        if (whole < n) {
            const vec now = N(load_upto)(w + whole, n - whole) - lr * N(load_upto)(dw + whole, n - whole);
            N(store_upto)(w + whole, now, n - whole);
            zeros |= (ivec)(now * 0);
        }
    }
    return N(all_zero)((vec)zeros);
}

/* The same by any rule; v and q lie as w does. Whether all weights are finite after it. */
static int N(update)(const Rule *s, ptrdiff_t rows, ptrdiff_t n, REAL *w, ptrdiff_t ld, REAL *v, REAL *q, const REAL *dw,
                     ptrdiff_t ld_dw)
{
    if (N(is_plain_sgd)(s)) return N(descend)((REAL)s->lr, rows, n, w, ld, dw, ld_dw);
    const N(Rates) rates = N(rates)(s);
    vec zeros = {0};
#define ROWS(update)                                                                             \
    for (ptrdiff_t r = 0; r < rows; r++)                                                         \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                               \
            const ptrdiff_t at = r * ld + i, left = n - i;                                       \
            const vec old = N(load_upto)(w + at, left), d = N(load_upto)(dw + r * ld_dw + i, left); \
            vec now;                                                                             \
            update;                                                                              \
            zeros += now * 0;                                                                    \
            N(store_upto)(w + at, now, left);                                                    \
        }
#define WITH_VELOCITY(update) ROWS(vec u = N(load_upto)(v + at, left); update; N(store_upto)(v + at, u, left))
#define WITH_SQUARE(update) vec t = N(load_upto)(q + at, left); update; N(store_upto)(q + at, t, left); zeros += t * 0
    if (rates.kind == RULE_SGD && rates.momentum == 0) {
        ROWS(now = N(sgd_of)(rates, old, NULL, d))
    } else if (rates.kind == RULE_SGD) {
        WITH_VELOCITY(now = N(sgd_of)(rates, old, &u, d))
    } else if (rates.kind == RULE_RMSPROP && rates.momentum == 0) {
        ROWS(WITH_SQUARE(now = N(rmsprop_of)(rates, old, NULL, &t, d)))
    } else if (rates.kind == RULE_RMSPROP) {
        WITH_VELOCITY(WITH_SQUARE(now = N(rmsprop_of)(rates, old, &u, &t, d)))
    } else {
        WITH_VELOCITY(WITH_SQUARE(now = N(adam_of)(rates, old, &u, &t, d)))
    }
#undef WITH_SQUARE
#undef WITH_VELOCITY
#undef ROWS
    return N(all_zero)(zeros);
}

/* dw := clamp(factor dw), of rows. */
static void N(clip)(const Rule *s, ptrdiff_t rows, ptrdiff_t n, REAL *dw, ptrdiff_t ld)
{
    const REAL factor = (REAL)s->factor, bound = (REAL)s->bound;
    for (; rows > 0; rows--, dw += ld)
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL d = dw[i] * factor;
            dw[i] = d > bound ? bound : d < -bound ? -bound : d;
        }
}
