/* Training of networks no wider than 16 with batches of few samples, where a step takes less than a microsecond: what counts is the
 * chain of dependent operations, not their number. A vector goes through a layer as a sum of rows of weights, each times one element, in
 * registers; so the weights are kept in both layouts, and both are updated with the same bits.
 */
#define ROW(matrix, r) ((REAL *)(matrix).data + (r) * (matrix).stride)

/* start + sum over k < n of a[k] times row k of m; even and odd k in a chain each. */
INLINE vec N(combine)(ptrdiff_t n, const REAL *a, const REAL *m, ptrdiff_t ld, vec start)
{
    vec odd = {0};
    ptrdiff_t k = 0;
    for (; k + 2 <= n; k += 2) {
        start += N(load)(m + k * ld) * a[k];
        odd += N(load)(m + (k + 1) * ld) * a[k + 1];
    }
    if (k < n) start += N(load)(m + k * ld) * a[k];
    return start + odd;
}

/* start + sum over k of x[k] times row k of w, after it has become less before[k] times dz. */
INLINE vec N(tiny_late)(ptrdiff_t n, const REAL *x, const REAL *before, vec dz, REAL *w, ptrdiff_t ld, vec start)
{
    vec odd = {0};
    ptrdiff_t k = 0;
    for (; k + 2 <= n; k += 2, w += 2 * ld) {
        const vec first = N(load)(w) - dz * before[k], second = N(load)(w + ld) - dz * before[k + 1];
        N(store)(w, first);
        N(store)(w + ld, second);
        start += first * x[k];
        odd += second * x[k + 1];
    }
    if (k < n) {
        const vec first = N(load)(w) - dz * before[k];
        N(store)(w, first);
        start += first * x[k];
    }
    return start + odd;
}

/* The sum over k of dz[k] times row k of w, which becomes less dz[k] times x. */
INLINE vec N(tiny_early)(ptrdiff_t n, const REAL *dz, vec x, REAL *w, ptrdiff_t ld)
{
    vec even = {0}, odd = {0};
    ptrdiff_t k = 0;
    for (; k + 2 <= n; k += 2, w += 2 * ld) {
        const vec first = N(load)(w), second = N(load)(w + ld);
        even += first * dz[k];
        odd += second * dz[k + 1];
        N(store)(w, first - x * dz[k]);
        N(store)(w + ld, second - x * dz[k + 1]);
    }
    if (k < n) {
        const vec first = N(load)(w);
        even += first * dz[k];
        N(store)(w, first - x * dz[k]);
    }
    return even + odd;
}

/* y = f(W x + b) for lanes j on of a layer's outputs; single: after the late update. */
INLINE vec N(tiny_forward)(const Layer *a, ptrdiff_t s, ptrdiff_t j, int single, vec *kept)
{
    const REAL *x = ROW(a->x_rows, s);
    REAL *w = ROW(a->turned, 0) + j, *b = (REAL *)a->bias + j;
    vec bias = N(load)(b), z;
    if (single) {
        const vec dz = N(load)(ROW(a->dz_rows, 0) + j);
        if (a->bias_at >= 0) N(store)(b, bias -= dz);
        z = N(tiny_late)(a->n_in, x, ROW(a->x_rows, 1 - s), dz, w, a->turned.stride, bias);
    } else {
        z = N(combine)(a->n_in, x, w, a->turned.stride, bias);
    }
    const vec y = N(activated)(a->activation, z);
    *kept = a->keeps_input ? z : y;
    return y;
}

/* Forward, loss and gradients by the sample in row s, the gradients in row d. Beyond n_out a layer's outputs are made zero, as f(0) may
 * not be. */
INLINE void N(tiny_sample)(const Layer *layer, int n_layers, int loss, ptrdiff_t s, ptrdiff_t d, int single, const Matrix *target,
                           REAL scale, double *sample_loss)
{
    const Layer *top = layer + n_layers - 1;
    for (const Layer *a = layer; a < top; a++)
        for (ptrdiff_t j = 0; j < a->n_out; j += LANES) {
            vec kept, y = N(tiny_forward)(a, s, j, single, &kept);
            if (a->keeps_input) N(store)(ROW(a->kept_rows, s) + j, kept);
            N(store)(ROW(a->y_rows, s) + j, (vec)((ivec)y & N(lanes_below)(a->n_out - j)));
        }
    N(sums) sum[16 / LANES] = {{0}};
    for (ptrdiff_t j = 0; j < top->n_out; j += LANES) {
        const ivec inside = N(lanes_below)(top->n_out - j);
        vec kept, slopes;
        const vec y = N(tiny_forward)(top, s, j, single, &kept);
        const vec terms = N(loss_of)(loss, y, N(load)(ROW(*target, s) + j), &slopes);
        sum[j / LANES] = __builtin_convertvector((vec)((ivec)terms & inside), N(sums));
        N(store)(ROW(top->dz_rows, d) + j, (vec)((ivec)N(times_slope)(top->activation, kept, slopes * scale) & inside));
    }
    *sample_loss = N(tree)(sum);
    for (const Layer *a = top; a > layer; a--)
        for (ptrdiff_t j = 0; j < a->n_in; j += LANES) {
            const REAL *dz = ROW(a->dz_rows, d);
            REAL *w = ROW(a->weight, 0) + j;
            const vec dy = single ? N(tiny_early)(a->n_out, dz, N(load)(ROW(a->x_rows, s) + j), w, a->weight.stride)
                                  : N(combine)(a->n_out, dz, w, a->weight.stride, (vec){0});
            N(store)(ROW(a[-1].dz_rows, d) + j, N(times_slope)(a[-1].activation, N(load)(ROW(a[-1].kept_rows, s) + j), dy));
        }
}

/* The first phase of a step. */
static void N(tiny_pass)(const Layer *layer, int n_layers, int loss, ptrdiff_t samples, const Matrix *target, REAL scale,
                         double *sample_loss)
{
    for (ptrdiff_t s = 0; s < samples; s++) N(tiny_sample)(layer, n_layers, loss, s, s, 0, target, scale, sample_loss + s);
}

/* w := w less the update for the gradient, the sum over samples of left[.][r] right[.][c]; returns 0, or NaN where a weight is not
 * finite. Without left: of right alone. */
INLINE vec N(tiny_update)(N(Rates) rates, const Rule *rule, int plain, ptrdiff_t samples, const Matrix *left, ptrdiff_t rows,
                          const Matrix *right, ptrdiff_t columns, const Matrix *w, const Matrix *v, const Matrix *q, REAL *gradients)
{
    vec zeros = {0};
    const int clips = !plain && rule->bound < HUGE_VAL;
    for (ptrdiff_t j = 0; j < columns; j += LANES) {
        const REAL *a = left ? left->data : NULL, *b = (const REAL *)right->data + j;
        const ptrdiff_t lda = left ? left->stride : 0, ldb = right->stride, ldw = w->stride;
        REAL *weight = (REAL *)w->data + j, *velocity = (REAL *)v->data + j, *square = (REAL *)q->data + j;
        for (ptrdiff_t r = 0; r < rows; r++) {
            vec g = a ? N(load)(b) * a[r] : N(load)(b);
            for (ptrdiff_t s = 1; s < samples; s++) g += a ? N(load)(b + s * ldb) * a[s * lda + r] : N(load)(b + s * ldb);
            if (gradients) N(store_upto)(gradients + r * columns + j, g, columns - j);
            vec now;
            if (plain) now = N(load)(weight + r * ldw) - rates.lr * g;
            else {
                vec u = {0}, t = {0};
                if (clips) {
                    const vec bound = N(splat)((REAL)rule->bound);
                    g = N(select_)(g > bound, bound, N(select_)(g < -bound, -bound, g));
                }
                if (N(moves)(rates)) u = N(load)(velocity + r * ldw);
                if (rates.kind != RULE_SGD) t = N(load)(square + r * ldw);
                now = N(updated)(rates, N(load)(weight + r * ldw), &u, &t, g);
                if (N(moves)(rates)) N(store)(velocity + r * ldw, u);
                if (rates.kind != RULE_SGD) {
                    N(store)(square + r * ldw, t);
                    zeros += t * 0;
                }
            }
            N(store)(weight + r * ldw, now);
            zeros += now * 0;
        }
    }
    return zeros;
}

INLINE vec N(tiny_learn_rates)(const Layer *layer, int n_layers, N(Rates) rates, const Rule *rule, int plain, ptrdiff_t samples,
                               REAL *gradients)
{
    vec zeros = {0};
    for (const Layer *a = layer; a < layer + n_layers; a++) {
        const Matrix bias = {a->bias, 0}, velocity = {plain ? NULL : a->bias_velocity, 0}, square = {a->bias_square, 0};
        zeros += N(tiny_update)(rates, rule, plain, samples, &a->dz_rows, a->n_out, &a->x_rows, a->n_in, &a->weight,
                                &a->velocity, &a->square, gradients ? gradients + a->weight_at : NULL);
        zeros += N(tiny_update)(rates, rule, plain, samples, &a->x_rows, a->n_in, &a->dz_rows, a->n_out, &a->turned,
                                &a->turned_velocity, &a->turned_square, NULL);
        if (a->bias_at >= 0)
            zeros += N(tiny_update)(rates, rule, plain, samples, NULL, 1, &a->dz_rows, a->n_out, &bias, &velocity, &square,
                                    gradients ? gradients + a->bias_at : NULL);
    }
    return zeros;
}

/* Gradients by the weights, and their update; whether all are finite after it. */
static int N(tiny_learn)(const Layer *layer, int n_layers, const Rule *rule, ptrdiff_t samples, REAL *gradients)
{
    const N(Rates) rates = N(rates)(rule);
    const int plain = N(is_plain_sgd)(rule) && rule->bound == HUGE_VAL;
    return N(all_zero)(plain ? N(tiny_learn_rates)(layer, n_layers, rates, rule, 1, samples, gradients)
                             : N(tiny_learn_rates)(layer, n_layers, rates, rule, 0, samples, gradients));
}

/* ---- single samples by plain SGD, with no more to it ----
 *
 * The longest chain of all, from each step to the next, and so it has a code of its own. A row of weights is read once for two things:
 * in the backward pass it is used and updated; for the forward pass it is updated, for the step before, and used, with no way
 * through memory between. So samples lie in rows 0 and 1 in turn. The first layer has no backward pass, and its rows of
 * weights follow from the turned ones in the end. The learning rate is in scale, and so in each dz. Whether weights stay
 * finite is only seen in the end: to look at each of them in each step costs a tenth. */

/* One step; the sample is in row `now` of x, the one before in the other. */
static void N(tiny_single)(const Layer *layer, int n_layers, int loss, ptrdiff_t now, const Matrix *target, REAL scale,
                           double *sample_loss)
{
    N(tiny_sample)(layer, n_layers, loss, now, 0, 1, target, scale, sample_loss);
}

/* Before the first step: nothing is late. */
static void N(tiny_begin)(const Layer *layer, int n_layers)
{
    for (const Layer *a = layer; a < layer + n_layers; a++)
        for (ptrdiff_t j = 0; j < 16; j += LANES) {
            if (j < a->n_out) N(store)((REAL *)a->dz_rows.data + j, (vec){0});
            if (j < a->n_in) N(store)(ROW(a->x_rows, 1) + j, (vec){0});
        }
}

/* After the last one, of a sample in row `last`: what is late. Whether all weights are finite. */
static int N(tiny_end)(const Layer *layer, int n_layers, ptrdiff_t last)
{
    int finite = 1;
    for (const Layer *a = layer; a < layer + n_layers; a++) {
        for (ptrdiff_t j = 0; j < a->n_out; j += LANES) {
            const vec dz = N(load)((REAL *)a->dz_rows.data + j);
            if (a->bias_at >= 0) N(store)((REAL *)a->bias + j, N(load)((REAL *)a->bias + j) - dz);
            for (ptrdiff_t k = 0; k < a->n_in; k++)
                N(store)(ROW(a->turned, k) + j, N(load)(ROW(a->turned, k) + j) - dz * ROW(a->x_rows, last)[k]);
        }
        for (ptrdiff_t k = 0; k < a->n_in; k++) finite &= N(all_finite)(a->n_out, ROW(a->turned, k));
        finite &= N(all_finite)(a->n_out, a->bias);
    }
    return finite;
}
#undef ROW
