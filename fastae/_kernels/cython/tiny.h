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

/* Forward, loss and gradients by the samples. */
static void N(tiny_pass)(const Layer *layer, int n_layers, int loss, ptrdiff_t samples, const Matrix *target, REAL scale,
                         double *sample_loss)
{
    for (ptrdiff_t s = 0; s < samples; s++) {
        for (int l = 0; l < n_layers; l++)
            for (ptrdiff_t j = 0; j < layer[l].n_out; j += LANES) {
                const vec z = N(combine)(layer[l].n_in, ROW(layer[l].x_rows, s), ROW(layer[l].turned, 0) + j,
                                         layer[l].turned.stride, N(load)((REAL *)layer[l].bias + j));
                const vec y = N(activated)(layer[l].activation, z);
                N(store)(ROW(layer[l].kept_rows, s) + j, z);
                N(store)(ROW(layer[l].y_rows, s) + j, (vec)((ivec)y & N(lanes_below)(layer[l].n_out - j))); /* f(0) may not be 0 */
            }
        const Layer *top = layer + n_layers - 1;
        N(loss)(loss, 1, top->n_out, ROW(top->y_rows, s), ROW(*target, s), 0, scale, ROW(top->dz_rows, s), 0, sample_loss + s);
        for (ptrdiff_t j = 0; j < top->n_out; j += LANES) {
            REAL *dz = ROW(top->dz_rows, s) + j;
            N(store)(dz, N(times_slope)(top->activation, N(load)(ROW(top->kept_rows, s) + j), N(load)(dz)));
        }
        for (int l = n_layers - 1; l > 0; l--)
            for (ptrdiff_t j = 0; j < layer[l].n_in; j += LANES) {
                const vec dy = N(combine)(layer[l].n_out, ROW(layer[l].dz_rows, s), ROW(layer[l].weight, 0) + j,
                                          layer[l].weight.stride, (vec){0});
                const vec kept = N(load)(ROW(layer[l - 1].kept_rows, s) + j);
                N(store)(ROW(layer[l - 1].dz_rows, s) + j, N(times_slope)(layer[l - 1].activation, kept, dy));
            }
    }
}

/* w -= the update for the gradient, the sum over samples of left[.][r] right[.][c]; 0, or NaN where a weight is not finite. */
INLINE vec N(tiny_update)(const SGD *sgd, ptrdiff_t samples, const Matrix *left, ptrdiff_t rows, const Matrix *right, ptrdiff_t columns,
                          const Matrix *w, const Matrix *v, REAL *gradients)
{
    vec zeros = {0};
    for (ptrdiff_t j = 0; j < columns; j += LANES)
        for (ptrdiff_t r = 0; r < rows; r++) {
            vec g = {0};
            for (ptrdiff_t s = 0; s < samples; s++)
                g += N(load)(ROW(*right, s) + j) * (left ? ROW(*left, s)[r] : (REAL)1);
            if (gradients) N(store_upto)(gradients + r * columns + j, g, columns - j);
            zeros += N(sgd_vector)(sgd, ROW(*w, r) + j, sgd->momentum == 0 ? NULL : ROW(*v, r) + j, g) * 0;
        }
    return zeros;
}

/* Gradients by the weights, and their update; whether all are finite after it. */
static int N(tiny_learn)(const Layer *layer, int n_layers, const SGD *sgd, ptrdiff_t samples, REAL *gradients)
{
    vec zeros = {0};
    for (int l = 0; l < n_layers; l++) {
        const Layer *a = layer + l;
        const Matrix bias = {a->bias, 0}, velocity = {a->bias_velocity, 0};
        zeros += N(tiny_update)(sgd, samples, &a->dz_rows, a->n_out, &a->x_rows, a->n_in, &a->weight, &a->velocity,
                                gradients ? gradients + a->weight_at : NULL);
        zeros += N(tiny_update)(sgd, samples, &a->x_rows, a->n_in, &a->dz_rows, a->n_out, &a->turned, &a->turned_velocity, NULL);
        if (a->bias_at >= 0)
            zeros += N(tiny_update)(sgd, samples, NULL, 1, &a->dz_rows, a->n_out, &bias, &velocity,
                                    gradients ? gradients + a->bias_at : NULL);
    }
    return N(all_zero)(zeros);
}
#undef ROW
