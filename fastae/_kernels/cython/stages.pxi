# What a recipe adds to a block of samples between two layers: gates (top_k, dropout), a Gaussian code, penalties. Each is a
# pass over a block that lies in L2, small beside a product; README.md, "Recipes", states the formulas.

cdef inline void counter_of(const Step* step, int stream, Py_ssize_t place, uint32_t* counter) noexcept nogil:
    """Where the random numbers of a stream begin, for the sample at a place of the step."""
    counter[0], counter[1] = <uint32_t>step.number, <uint32_t>(stream + (step.number >> 32 << 16))
    counter[2], counter[3] = <uint32_t>place, 0


cdef inline bint is_plain(const Training* p, int l) noexcept nogil:
    """Whether nothing stands between a layer's activation and the next layer."""
    return p.dropout[l] == 0 and not (l == p.code and (p.gaussian or p.top_k > 0 or p.l1 != 0 or p.kl != 0))


cdef void disturb_row(const Training* p, const Step* step, Py_ssize_t place, real* x, real* target) noexcept nogil:
    """The input of one sample, whose target, where that is the input without noise, is put beside it."""
    cdef Py_ssize_t n = p.layers[0].n_in, i
    cdef uint32_t counter[4]
    if target != NULL:
        copy(p.layers[p.n_layers - 1].n_out, target, x)
    for i in range(n if p.missing else 0):
        if x[i] != x[i]:
            x[i] = 0
    if p.noise:
        counter_of(step, 0, place, counter)
        if real is float:
            disturb_f32(p.noise, <float>p.level, p.key, counter, n - p.condition, x)
        else:
            disturb_f64(p.noise, p.level, p.key, counter, n - p.condition, x)


cdef void gate(const Training* p, const Step* step, const Layer* layer, int l, Py_ssize_t place, Py_ssize_t w,
               real* _) noexcept nogil:
    """y := value times 0 or another factor."""
    cdef Py_ssize_t n = layer.n_out
    cdef uint32_t counter[4]
    cdef bint top = l == p.code and p.top_k > 0
    cdef real* factors = <real*>layer.gate.data
    cdef real* value = <real*>layer.value.data
    counter_of(step, 2 * l + 1, place, counter)
    if real is float:
        if top:
            top_f32(p.top_k, n, w, value, layer.value.stride, factors, layer.gate.stride)
        if p.dropout[l] > 0:
            drop_f32(<float>p.dropout[l], p.key, counter, n, w, factors, layer.gate.stride, top)
        multiply_f32(n, w, value, layer.value.stride, factors, layer.gate.stride, <float*>layer.y.data, layer.y.stride)
    else:
        if top:
            top_f64(p.top_k, n, w, value, layer.value.stride, factors, layer.gate.stride)
        if p.dropout[l] > 0:
            drop_f64(p.dropout[l], p.key, counter, n, w, factors, layer.gate.stride, top)
        multiply_f64(n, w, value, layer.value.stride, factors, layer.gate.stride, <double*>layer.y.data, layer.y.stride)


cdef void draw(const Training* p, const Step* step, const Block* block, Py_ssize_t place, Py_ssize_t w, double* penalty,
               real* _) noexcept nogil:
    """A Gaussian code from its means and variances, and the condition behind it."""
    cdef const Layer* layer = &block.layers[p.code]
    cdef const Layer* first = &block.layers[0]
    cdef Py_ssize_t k = layer.n_out // 2, i
    cdef double weight = step.factor * p.kl_weight
    cdef uint32_t counter[4]
    counter_of(step, 2 * p.code + 2, place, counter)
    if real is float:
        normals_f32(p.key, counter, k, w, <float*>layer.drawn.data, layer.drawn.stride)
        draw_f32(k, w, weight, <float*>layer.value.data, layer.value.stride, <float*>layer.drawn.data, layer.drawn.stride,
                 <float*>layer.y.data, layer.y.stride, penalty)
    else:
        normals_f64(p.key, counter, k, w, <double*>layer.drawn.data, layer.drawn.stride)
        draw_f64(k, w, weight, <double*>layer.value.data, layer.value.stride, <double*>layer.drawn.data, layer.drawn.stride,
                 <double*>layer.y.data, layer.y.stride, penalty)
    for i in range(p.condition):
        copy(w, at[real](&layer.y, k + i, 0, NULL), at[real](&first.x, first.n_in - p.condition + i, 0, NULL))


cdef void stage(const Training* p, const Step* step, const Block* block, int l, Py_ssize_t place, Py_ssize_t samples,
                double* penalty, real* _) noexcept nogil:
    """From a layer's value to what the next layer reads."""
    cdef const Layer* layer = &block.layers[l]
    cdef Py_ssize_t w = padded[real](samples, NULL), f, s
    cdef double weight = step.factor * p.l1
    cdef real* y
    if layer.gate.data != NULL:
        gate[real](p, step, layer, l, place, w, NULL)
    if l == p.code and p.gaussian:
        draw[real](p, step, block, place, w, penalty, NULL)
    if l == p.code and p.l1 != 0:
        for f in range(layer.n_out):
            y = at[real](&layer.y, f, 0, NULL)
            for s in range(samples):
                penalty[s] += weight * (y[s] if y[s] > 0 else -y[s])


cdef inline const real* weights_of(const Training* p, Py_ssize_t s0, real* _) noexcept nogil:
    """What multiplies the loss and the penalties of a block's samples, or NULL."""
    return <const real*>p.weight_rows + s0 if p.sample_weight != NULL else <const real*>NULL


cdef void back(const Training* p, const Step* step, const Block* block, int l, Py_ssize_t s0, Py_ssize_t samples,
               real* _) noexcept nogil:
    """A layer's dz from the gradient by what the next layer reads, in place; the opposite of stage."""
    cdef const Layer* layer = &block.layers[l]
    cdef Py_ssize_t w = padded[real](samples, NULL), f, s, n = layer.n_out
    cdef real pull = <real>(step.factor * p.l1 / step.rows), weight = <real>(step.factor * p.kl_weight / step.rows), own
    cdef const real* slopes = <const real*>block.slopes
    cdef const real* weights = weights_of[real](p, s0, NULL)
    cdef real* dz = at[real](&layer.dz, 0, s0, NULL)
    cdef real* row
    cdef real* y
    if l == p.code and p.gaussian:
        if real is float:
            draw_back_f32(n // 2, w, weight, weights, <float*>layer.value.data, layer.value.stride, <float*>layer.drawn.data,
                          layer.drawn.stride, dz, layer.dz.stride)
        else:
            draw_back_f64(n // 2, w, weight, weights, <double*>layer.value.data, layer.value.stride, <double*>layer.drawn.data,
                          layer.drawn.stride, dz, layer.dz.stride)
    for f in range(n if l == p.code and p.l1 != 0 else 0):
        row, y = dz + f * layer.dz.stride, at[real](&layer.y, f, 0, NULL)
        for s in range(w):
            own = pull if weights == NULL else pull * weights[s]
            row[s] = row[s] + (own if y[s] > 0 else -own if y[s] < 0 else <real>0)
    for f in range(n if l == p.code and p.kl != 0 else 0):
        row = dz + f * layer.dz.stride
        for s in range(w):
            row[s] = row[s] + slopes[f]
    if layer.gate.data != NULL:
        if real is float:
            multiply_f32(n, w, dz, layer.dz.stride, <float*>layer.gate.data, layer.gate.stride, dz, layer.dz.stride)
        else:
            multiply_f64(n, w, dz, layer.dz.stride, <double*>layer.gate.data, layer.gate.stride, dz, layer.dz.stride)
    differentiate_rows(layer.activation, n, w, at[real](&layer.kept, 0, 0, NULL), layer.kept.stride, dz, layer.dz.stride, dz,
                       layer.dz.stride)


# ---- penalties that need more than one sample, or the weights ----

cdef double mean_slopes(const Training* p, const Step* step, Py_ssize_t samples, const Block* block, real* _) noexcept nogil:
    """The penalty kl of a batch, from whose means its slopes by the code's outputs follow; every member finds the same."""
    cdef const Layer* above = &p.layers[p.code + 1]
    cdef Py_ssize_t f, s
    cdef double mean, rho = p.rho, value = 0, weight = step.factor * p.kl
    cdef double* sums = <double*>block.sums
    cdef real* y
    cdef real* slopes = <real*>block.slopes
    memset(sums, 0, above.n_in * sizeof(double))
    for s in range(samples):
        y = at[real](&above.x_rows, s, 0, NULL)
        for f in range(above.n_in):
            sums[f] += y[f]
    for f in range(above.n_in):
        mean = min(max(sums[f] / samples, 1e-7), 1 - 1e-7)
        value += rho * log(rho / mean) + (1 - rho) * log((1 - rho) / (1 - mean))
        slopes[f] = <real>(weight / step.rows * ((1 - rho) / (1 - mean) - rho / mean))
    return weight * samples * value


cdef void row_norms(const Training* p, const Block* block, real* _) noexcept nogil:
    """Squared norms of the first layer's rows of weights, for the penalty contractive."""
    cdef const Layer* layer = &p.layers[0]
    cdef Py_ssize_t j
    cdef double* norms = <double*>block.norms
    for j in range(layer.n_out):
        norms[j] = square_sum(layer.n_in, weight_of[real](layer, j, 0, NULL))


cdef void contract(const Training* p, const Step* step, const Block* block, Py_ssize_t s0, Py_ssize_t samples, double* penalty,
                   real* _) noexcept nogil:
    """The penalty of squared slopes of the first layer: adds to its dz, and keeps the squares of f'(z), times the weights."""
    cdef const Layer* layer = &block.layers[0]
    cdef Py_ssize_t j, s
    cdef double* norms = <double*>block.norms
    cdef double weight = step.factor * p.contractive
    cdef real pull, square, own
    cdef bint logistic = layer.activation == SIGMOID
    cdef const real* weights = weights_of[real](p, s0, NULL)
    cdef real* h
    cdef real* dz
    cdef real* squares
    for j in range(layer.n_out):
        h, dz = at[real](&layer.kept, j, 0, NULL), at[real](&layer.dz, j, s0, NULL)
        squares, pull = at[real](&p.squares, j, s0, NULL), <real>(2 * weight / step.rows * norms[j])
        for s in range(samples):
            square = h[s] * (1 - h[s]) if logistic else 1 - h[s] * h[s]
            square = square * square
            own = square if weights == NULL else square * weights[s]
            squares[s] = own
            dz[s] = dz[s] + pull * own * (1 - 2 * h[s] if logistic else -2 * h[s])
            penalty[s] += weight * norms[j] * square
