# The first layer where the input is sparse (CSR): its product adds the rows of the turned weights that a sample's features
# name, its gradient goes to those rows alone. So neither a batch nor the gradient is ever dense; only the optimiser, where it
# has a state or a decay, passes over all weights. Targets that are sparse are put into a block of zeros, and taken out again.

cdef inline Py_ssize_t row_at(const Training* p, Py_ssize_t place) noexcept nogil:
    return place if p.order == NULL else p.order[place]


cdef inline void add_scaled(Py_ssize_t n, real* out, real factor, const real* row) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        out[j] = out[j] + factor * row[j]


cdef void sparse_forward(const Training* p, const Step* step, const Block* block, Py_ssize_t start, real* _) noexcept nogil:
    """The first layer's value, for a block's samples."""
    cdef const Layer* layer = &block.layers[0]
    cdef const Source* x = &p.x_source
    cdef Py_ssize_t s, k, n = layer.n_out, w = padded[real](block.s1 - block.s0, NULL), first, last, column
    cdef uint32_t counter[4]
    cdef real v
    cdef real* z
    cdef real* values
    for s in range(block.s0, block.s1):
        z = at[real](&layer.y_rows, s, 0, NULL)     # not yet needed for what they are for
        values = <real*>p.values + s * p.most_values
        copy(n, z, <real*>layer.bias)
        first = begins(x, row_at(p, start + s))
        last = begins(x, row_at(p, start + s) + 1)
        counter_of(step, 0, start - step.start + s, counter)
        for k in range(first, last):
            column, v = column_of(x, k), value_at[real](x, k, NULL)
            if p.noise and <real>chance(p.key, counter, column) < <real>p.level:
                v = 0
            elif p.noise == DROPOUT:
                v = v * <real>(1 / (1 - p.level))
            values[k - first] = v
            if k + 1 < last:
                fetch(<const char*>at[real](&layer.turned, column_of(x, k + 1), 0, NULL), n * sizeof(real), False)
            if v != 0:
                add_scaled(n, z, v, at[real](&layer.turned, column, 0, NULL))
    turn(w, n, at[real](&layer.y_rows, block.s0, 0, NULL), layer.y_rows.stride, <real*>layer.kept.data,
         layer.kept.stride)
    activate_rows(layer.activation, n, w, <real*>layer.kept.data, layer.kept.stride, <real*>layer.value.data,
                  layer.value.stride)


cdef void put_target(const Training* p, const Block* block, Py_ssize_t start, bint there, real* _) noexcept nogil:
    """A block's targets, into zeros; or out of them."""
    cdef const Source* target = &p.target_source
    cdef Py_ssize_t s, k, row
    cdef real* t
    for s in range(block.s0, block.s1):
        row = row_at(p, start + s)
        for k in range(begins(target, row), begins(target, row + 1)):
            t = at[real](&block.target, column_of(target, k), s - block.s0, NULL)
            t[0] = t[0] + value_at[real](target, k, NULL) if there else <real>0


cdef bint sparse_learn(const Training* p, const Step* step, Py_ssize_t start, Py_ssize_t samples, Team* team, int member,
                       real* _) noexcept nogil:
    """Gradient and update of the first layer's weights, a member's part of the inputs; whether all are finite after it."""
    cdef const Layer* layer = &p.layers[0]
    cdef const Source* x = &p.x_source
    cdef Py_ssize_t n = layer.n_out, i0, i1, i, s, k, e, first, column
    cdef Py_ssize_t* places = <Py_ssize_t*>p.places + member * (layer.n_in + 2)
    cdef Entry* entries = p.entries + member * p.batch_size * p.most_values
    cdef real* g = <real*>p.row_gradients + member * (n + 64)
    cdef bint finite = True, every = keeps_velocity(&step.rule) or step.rule.kind != RULE_SGD or step.rule.weight_decay != 0
    part(layer.n_in, team, member, &i0, &i1)
    memset(places, 0, (i1 - i0 + 2) * sizeof(Py_ssize_t))
    for s in range(samples):
        first = begins(x, row_at(p, start + s))
        for k in range(first, begins(x, row_at(p, start + s) + 1)):
            column = column_of(x, k)
            if i0 <= column < i1:
                places[column - i0 + 2] += 1
    for i in range(i1 - i0):
        places[i + 2] += places[i + 1]
    for s in range(samples):            # in the order of samples: after it, places[i] is where those of input i begin
        first = begins(x, row_at(p, start + s))
        for k in range(first, begins(x, row_at(p, start + s) + 1)):
            column = column_of(x, k)
            if i0 <= column < i1:
                e = places[column - i0 + 1]
                entries[e].sample, entries[e].value = s, (<real*>p.values)[s * p.most_values + k - first]
                places[column - i0 + 1] = e + 1
    for i in range(i0, i1):
        first, e = places[i - i0], places[i - i0 + 1]
        if p.gradients != NULL:
            for k in range(n):
                (<real*>p.gradients)[layer.weight_at + k * layer.n_in + i] = 0
        if first == e and not every:
            continue
        memset(g, 0, padded[real](n, NULL) * sizeof(real))
        for k in range(first, e):
            add_scaled(n, g, <real>entries[k].value, at[real](&layer.dz_rows, entries[k].sample, 0, NULL))
        if p.gradients != NULL:
            for k in range(n):
                (<real*>p.gradients)[layer.weight_at + k * layer.n_in + i] = g[k]
        if step.rule.bound < HUGE_VAL:
            clip_rows(&step.rule, 1, n, g, 0)
        finite &= update_rows(&step.rule, 1, n, at[real](&layer.turned, i, 0, NULL), 0,
                              at[real](&layer.turned_velocity, i, 0, NULL), at[real](&layer.turned_square, i, 0, NULL), g, 0)
    return finite


cdef void exchange_turned(const Layer* layer, char* flat, const Matrix* turned, Py_ssize_t i0, Py_ssize_t i1, bint pack,
                          real* _) noexcept nogil:
    """Inputs i0 to i1 of the first layer's weights (or their state) from a flat array to turned rows, or back."""
    cdef Py_ssize_t i, o, o0 = 0, o1
    cdef real* a
    cdef real* b
    while o0 < layer.n_out:
        o1 = min(o0 + LINE, layer.n_out)
        for i in range(i0, i1):
            a, b = <real*>flat + layer.weight_at + i, at[real](turned, i, 0, NULL)
            for o in range(o0, o1):
                if pack:
                    b[o] = a[o * layer.n_in]
                else:
                    a[o * layer.n_in] = b[o]
        o0 = o1
    for i in range(i0, i1 if pack else i0):
        b = at[real](turned, i, 0, NULL)
        memset(b + layer.n_out, 0, (padded[real](layer.n_out, NULL) - layer.n_out) * sizeof(real))
