/* Activations on rows of n elements, losses on one row. Each formula stands here once, as an expression of vectors; the switch
 * is outside the loops.
 */
#ifndef FASTAE_NUMBERS
#define FASTAE_NUMBERS /* the order of _kernels/names.py */
enum { IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, GELU, SILU };
enum { HALF_SQUARED, MSE, BCE, BCE_WITH_LOGITS };
typedef double Pair __attribute__((vector_size(16)));
#endif
#define LEAKY_SLOPE ((REAL)0.01)
#define WHERE N(select_)
#define SPLAT N(splat)

#define MAP(formula)                                                        \
    for (; rows > 0; rows--, in += ld_in, out += ld_out)                    \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                          \
            const vec z = N(load_upto)(in + i, n - i);                      \
            N(store_upto)(out + i, formula, n - i);                         \
        }                                                                   \
    break;

/* out = f(in), in place or not. A NaN stays a NaN in each of them. */
static void N(activate)(int activation, ptrdiff_t rows, ptrdiff_t n, const REAL *in, ptrdiff_t ld_in, REAL *out, ptrdiff_t ld_out)
{
    const vec zero = {0};
    vec gauss;
    switch (activation) {
    case RELU: MAP(WHERE(z <= 0, zero, z))
    case LEAKY_RELU: MAP(WHERE(z <= 0, z * LEAKY_SLOPE, z))
    case ELU: MAP(WHERE(z <= 0, N(expm1_negative)(WHERE(z <= 0, z, zero)), z))
    case SIGMOID: MAP(N(sigmoid)(z))
    case TANH: MAP(N(tanh)(z))
    case SOFTPLUS: MAP(N(softplus)(z))
    case GELU: MAP(z * N(normal_cdf)(z, &gauss))
    case SILU: MAP(z * N(sigmoid)(z))
    default:
        if (out != in)
            for (; rows > 0; rows--, in += ld_in, out += ld_out) memcpy(out, in, n * sizeof(REAL));
    }
}

#undef MAP
#define MAP(formula)                                                                        \
    for (; rows > 0; rows--, kept += ld_kept, in += ld_in, out += ld_out)                   \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                          \
            const vec k = N(load_upto)(kept + i, n - i), dy = N(load_upto)(in + i, n - i);  \
            N(store_upto)(out + i, formula, n - i);                                         \
        }                                                                                   \
    break;

/* out = in * f'(z), in place or not. kept holds y = f(z), or z itself for gelu and silu, whose slope y does not tell. */
static void N(differentiate)(int activation, ptrdiff_t rows, ptrdiff_t n, const REAL *kept, ptrdiff_t ld_kept, const REAL *in,
                             ptrdiff_t ld_in, REAL *out, ptrdiff_t ld_out)
{
    const vec zero = {0};
    vec gauss, s;
    switch (activation) {
    case RELU: MAP(WHERE(k > 0, dy, zero))
    case LEAKY_RELU: MAP(WHERE(k > 0, dy, dy * LEAKY_SLOPE))
    case ELU: MAP(WHERE(k > 0, dy, dy * (k + 1)))
    case SIGMOID: MAP(dy * (k * (1 - k)))
    case TANH: MAP(dy * (1 - k * k))
    case SOFTPLUS: MAP(-dy * N(expm1_negative)(-k))
    case GELU: MAP(dy * (N(normal_cdf)(k, &gauss) + k * gauss * (REAL)0.39894228040143267794)) /* 1 / sqrt(2 pi) */
    case SILU: MAP((s = N(sigmoid)(k), dy * (s * (1 + k * (1 - s)))))
    default:
        if (out != in)
            for (; rows > 0; rows--, in += ld_in, out += ld_out) memcpy(out, in, n * sizeof(REAL));
    }
}
#undef MAP

/* Sixteen sums in double whatever LANES is, so that every instruction set adds in the same order. */
typedef double N(sums) __attribute__((vector_size(LANES * sizeof(double))));

/* The first n lanes all ones. */
INLINE ivec N(lanes_below)(ptrdiff_t n)
{
    ivec number;
    for (int l = 0; l < LANES; l++) number[l] = l;
    return number < (INT)(n < LANES ? n : LANES);
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

INLINE double N(tree)(const N(sums) *sum) /* adds slot l + 8 to l, then l + 4, l + 2, l + 1 */
{
    Pair p[8];
    memcpy(p, sum, sizeof p);
    UNROLL for (int i = 0; i < 4; i++) p[i] += p[i + 4];
    UNROLL for (int i = 0; i < 2; i++) p[i] += p[i + 2];
    p[0] += p[1];
    return p[0][0] + p[0][1];
}

/* Zeros in the padding of rows of n elements. */
static void N(clear_padding)(ptrdiff_t rows, ptrdiff_t n, REAL *y, ptrdiff_t ld)
{
    const ptrdiff_t last = (n - 1) / LANES * LANES;
    const ivec inside = N(lanes_below)(n - last);
    for (y += last; rows > 0; rows--, y += ld) N(store)(y, (vec)((ivec)N(load)(y) & inside));
}

/* out[j] = the sum over the rows, in order, of a[.][j]; n is padded to whole vectors. */
static void N(sum_rows)(ptrdiff_t rows, ptrdiff_t n, const REAL *a, ptrdiff_t ld, REAL *out)
{
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        vec sum = {0};
        for (ptrdiff_t i = 0; i < rows; i++) sum += N(load)(a + i * ld + j);
        N(store)(out + j, sum);
    }
}

/* For each row of n elements, padded to whole vectors: row_loss = the sum of the terms, grad = scale * d term / d out, and 0 in
 * the padding. grad may be out. */
static void N(loss)(int loss, ptrdiff_t rows, ptrdiff_t n, const REAL *out, const REAL *target, ptrdiff_t ld, REAL scale,
                    REAL *grad, ptrdiff_t ld_grad, double *row_loss)
{
    const vec zero = {0}, low = SPLAT(-100), tiny = SPLAT((REAL)1e-12); /* PyTorch's bounds for bce */
    vec p, q;
    switch (loss) {
    case HALF_SQUARED: SUM((REAL)0.5 * (y - t) * (y - t), y - t)
    case MSE: SUM((y - t) * (y - t), 2 * (y - t))
    case BCE:
        SUM((p = N(log)(y), q = N(log1p)(-y),
             -(t * WHERE(p < low, low, p) + (1 - t) * WHERE(q < low, low, q))),
            (p = y * (1 - y), (y - t) / WHERE(p < tiny, tiny, p)))
    case BCE_WITH_LOGITS: SUM(N(softplus)(y) - y * t, N(sigmoid)(y) - t)
    }
}
#undef SUM
