# Training's own half of a step: samples and the gradients by them (phase 1), weights and the gradients by them (phase 2).
# exchange moves weights between the flat arrays and their padded rows, at both ends of a run.

cdef void gather(const Training* p, Py_ssize_t start, Py_ssize_t s0, Py_ssize_t s1, real* _) noexcept nogil:
    """Samples s0 to s1 of the batch that starts at order[start], as rows."""
    cdef Layer* first = &p.layers[0]
    cdef Py_ssize_t n_out = p.layers[p.n_layers - 1].n_out, s, r, row
    for s in range(s0, s1):
        row = start + s if p.order == NULL else p.order[start + s]
        gather_row(&p.x_source, row, first.n_in, at[real](&first.x_rows, s, 0, NULL))
        if not p.is_target_input:
            gather_row(&p.target_source, row, n_out, at[real](&p.target_rows, s, 0, NULL))
        r = start + p.batch_size + s                                            # the same place of the next batch
        if r < p.last:
            row = r if p.order == NULL else p.order[r]
            fetch(p.x_source.data + row * p.x_source.row_stride, p.x_source.row_bytes, False)


cdef void turn_samples(const Matrix* rows, Py_ssize_t n, Py_ssize_t s0, Py_ssize_t s1, const Matrix* columns,
                       real* _) noexcept nogil:
    """A block's samples, rows s0 to s1, as columns; those up to a whole vector become zero."""
    cdef Py_ssize_t s, end = s0 + padded[real](s1 - s0, NULL)
    for s in range(s1, end):                                                    # what an earlier batch has left there
        memset(at[real](rows, s, 0, NULL), 0, n * sizeof(real))
    turn(end - s0, padded[real](n, NULL), at[real](rows, s0, 0, NULL), rows.stride, <real*>columns.data, columns.stride)


cdef void forward_and_loss(const Training* p, const Block* block, Py_ssize_t s0, Py_ssize_t s1, real scale,
                           real* space) noexcept nogil:
    """The last layer, its loss and the loss's gradient by the activation's argument, some features at a time."""
    cdef const Layer* top = &block.layers[p.n_layers - 1]
    cdef Matrix target = block.layers[0].x if p.is_target_input else block.target
    cdef Py_ssize_t o = 0, o1, w = padded[real](s1 - s0, NULL)
    cdef real room[LOSS_FEATURES * BLOCK_SAMPLES + 16]
    cdef real* dy = <real*>align(room)
    memset(p.sample_loss + s0, 0, (s1 - s0) * sizeof(double))
    while o < top.n_out:
        o1 = min(o + LOSS_FEATURES, top.n_out)
        forward(top, o, o1, w, space)
        loss_columns(p.loss, o1 - o, s1 - s0, at[real](&top.y, o, 0, NULL), top.y.stride, at[real](&target, o, 0, NULL),
                     target.stride, scale, dy, w, p.sample_loss + s0)
        differentiate_rows(top.activation, o1 - o, w, at[real](&top.kept, o, 0, NULL), top.kept.stride, dy, w,
                           at[real](&top.dz, o, s0, NULL), top.dz.stride)
        o = o1


cdef void input_gradient(const Layer* layer, const Layer* below, Py_ssize_t s0, Py_ssize_t samples, real* space) noexcept nogil:
    """The dz of the layer below := (W^T dz) f'(kept), f the activation below, for a block of samples from column s0 of dz."""
    cdef Py_ssize_t i = 0, s, w, o, line = 64 // sizeof(real)
    cdef real* dz
    cdef int mr
    while i < layer.n_in:
        mr = <int>min(MR, layer.n_in - i)
        s = 0
        while s < samples:
            w = panel[real](s, samples, NULL)
            dz = at[real](&below.dz, i, s0 + s, NULL)
            if (i + 2 * MR - 1) // line != (i + MR - 1) // line:    # the next tile's weights lie in other lines: a part of them
                for o in range(layer.n_out * s // samples, layer.n_out * (s + w) // samples):
                    prefetch(at[real](&layer.weight, o, i + 2 * MR - 1, NULL))
            sum_tile(mr, <int>(w // vector_lanes[real](NULL)), layer.n_out, at[real](&layer.weight, 0, i, NULL), 1,
                     layer.weight.stride, at[real](&layer.dz, 0, s0 + s, NULL), layer.dz.stride, <const real*>NULL, dz,
                     below.dz.stride, space)
            differentiate_rows(below.activation, mr, w, at[real](&below.kept, i, s, NULL), below.kept.stride,
                               dz, below.dz.stride, dz, below.dz.stride)
            s += w
        i += mr


cdef void pass_block(const Training* p, const Block* block, Py_ssize_t start, Py_ssize_t s0, Py_ssize_t s1, real scale,
                     real* space) noexcept nogil:
    """Phase 1 of some of many samples."""
    cdef const Layer* layer = block.layers
    cdef Py_ssize_t w = padded[real](s1 - s0, NULL)
    cdef int l
    gather[real](p, start, s0, s1, NULL)
    turn_samples[real](&layer.x_rows, layer.n_in, s0, s1, &layer.x, NULL)
    if not p.is_target_input:
        turn_samples[real](&p.target_rows, p.layers[p.n_layers - 1].n_out, s0, s1, &block.target, NULL)
    for l in range(p.n_layers - 1):
        layer = &block.layers[l]
        forward(layer, 0, layer.n_out, w, space)
        turn(padded[real](layer.n_out, NULL), w, <real*>layer.y.data, layer.y.stride, at[real](&layer.y_rows, s0, 0, NULL),
             layer.y_rows.stride)
    forward_and_loss(p, block, s0, s1, scale, space)
    for l in range(p.n_layers - 1, 0, -1):
        input_gradient(&block.layers[l], &block.layers[l - 1], s0, w, space)


cdef void input_gradient_few(const Layer* layer, const Layer* below, Py_ssize_t samples, Py_ssize_t i0, Py_ssize_t i1,
                             real* space) noexcept nogil:
    """The same for some inputs of few samples."""
    cdef Py_ssize_t i = i0, s, w
    cdef real* dz
    cdef int mr
    while i < i1:
        w = panel[real](i, i1, NULL)
        s = 0
        while s < samples:
            mr = <int>min(MR, samples - s)
            dz = at[real](&below.dz_rows, s, i, NULL)
            sum_tile(mr, <int>(w // vector_lanes[real](NULL)), layer.n_out, at[real](&layer.dz_rows, s, 0, NULL),
                     layer.dz_rows.stride, 1, at[real](&layer.weight, 0, i, NULL), layer.weight.stride, <const real*>NULL,
                     dz, below.dz_rows.stride, space)
            differentiate_rows(below.activation, mr, w, at[real](&below.kept_rows, s, i, NULL), below.kept_rows.stride,
                               dz, below.dz_rows.stride, dz, below.dz_rows.stride)
            s += mr
        i += w


cdef void pass_few(const Training* p, Py_ssize_t start, Py_ssize_t samples, real scale, Team* team, int member,
                   real* space) noexcept nogil:
    """Phase 1 of few samples."""
    cdef const Layer* layer
    cdef Matrix target = p.layers[0].x_rows if p.is_target_input else p.target_rows
    cdef Py_ssize_t first, last, s0 = samples * member // team.size, s1 = samples * (member + 1) // team.size
    cdef real* dz
    cdef int l
    gather[real](p, start, s0, s1, NULL)
    for l in range(p.n_layers):
        meet(team)
        layer = &p.layers[l]
        part(layer.n_out, team, member, &first, &last)
        if last > first:
            forward_few[real](layer, samples, first, last, NULL)
    meet(team)
    if s1 > s0:
        layer = &p.layers[p.n_layers - 1]
        dz = at[real](&layer.dz_rows, s0, 0, NULL)
        loss_rows(p.loss, s1 - s0, layer.n_out, at[real](&layer.y_rows, s0, 0, NULL), at[real](&target, s0, 0, NULL),
                  layer.y_rows.stride, scale, dz, layer.dz_rows.stride, p.sample_loss + s0)
        differentiate_rows(layer.activation, s1 - s0, layer.n_out, at[real](&layer.kept_rows, s0, 0, NULL),
                           layer.kept_rows.stride, dz, layer.dz_rows.stride, dz, layer.dz_rows.stride)
    for l in range(p.n_layers - 1, 0, -1):
        meet(team)
        part(p.layers[l].n_in, team, member, &first, &last)
        input_gradient_few(&p.layers[l], &p.layers[l - 1], samples, first, last, space)


cdef inline void pass_tiny(const Training* p, Py_ssize_t samples, real scale) noexcept nogil:
    """Phase 1 of few samples in a tiny network, once they are gathered."""
    cdef Matrix target = p.layers[0].x_rows if p.is_target_input else p.target_rows
    if real is float:
        tiny_pass_f32(p.layers, p.n_layers, p.loss, samples, &target, scale, p.sample_loss)
    else:
        tiny_pass_f64(p.layers, p.n_layers, p.loss, samples, &target, scale, p.sample_loss)


# ---- phase 2 ----

cdef inline bint learn_tiny(const Training* p, Py_ssize_t samples, real* _) noexcept nogil:
    if real is float:
        return tiny_learn_f32(p.layers, p.n_layers, &p.sgd, samples, <float*>p.gradients)
    else:
        return tiny_learn_f64(p.layers, p.n_layers, &p.sgd, samples, <double*>p.gradients)


cdef void exchange(const Layer* layer, const Rectangle* q, char* flat, const Matrix* rows, void* bias, bint pack,
                   real* _) noexcept nogil:
    """A rectangle from a flat array (weights or velocity) to its rows, their padding zero, or back."""
    cdef Py_ssize_t o
    cdef real* a
    cdef real* b
    for o in range(q.o0, q.o1):
        a, b = <real*>flat + layer.weight_at + o * layer.n_in + q.i0, at[real](rows, o, q.i0, NULL)
        copy(q.i1 - q.i0, b if pack else a, a if pack else b)
        if pack and q.i1 == layer.n_in:             # a step that failed has left NaN there
            memset(b + q.i1 - q.i0, 0, (padded[real](q.i1, NULL) - q.i1) * sizeof(real))
    if q.i0 == 0 and layer.bias_at >= 0:
        a, b = <real*>flat + layer.bias_at + q.o0, <real*>bias + q.o0
        copy(q.o1 - q.o0, b if pack else a, a if pack else b)


cdef void exchange_all(const Training* p, Py_ssize_t q0, Py_ssize_t q1, bint pack, real* _) noexcept nogil:
    cdef Py_ssize_t n
    cdef const Rectangle* q
    cdef const Layer* layer
    for n in range(q0, q1):
        q = &p.rectangles[n]
        layer = &p.layers[q.layer]
        exchange[real](layer, q, p.weights, &layer.weight, layer.bias, pack, NULL)
        if p.velocity != NULL:
            exchange[real](layer, q, p.velocity, &layer.velocity, layer.bias_velocity, pack, NULL)
    if p.tiny and pack:
        for n in range(p.n_layers):
            layer = &p.layers[n]
            turn(padded[real](layer.n_out, NULL), padded[real](layer.n_in, NULL), <real*>layer.weight.data, layer.weight.stride,
                 <real*>layer.turned.data, layer.turned.stride)
            if p.velocity != NULL:
                turn(padded[real](layer.n_out, NULL), padded[real](layer.n_in, NULL), <real*>layer.velocity.data,
                     layer.velocity.stride, <real*>layer.turned_velocity.data, layer.turned_velocity.stride)


cdef bint learn_weights(const Training* p, const Rectangle* q, Py_ssize_t samples, bint few, real* dw,
                        real* space) noexcept nogil:
    """Gradient dz x^T over the whole batch and update of a rectangle of weights; whether all are finite after it."""
    cdef const Layer* layer = &p.layers[q.layer]
    cdef Py_ssize_t o, i = q.i0, w, r, n
    cdef Py_ssize_t rs = 1 if few else layer.dz.stride, cs = layer.dz_rows.stride if few else 1
    cdef const real* dz = <const real*>(layer.dz_rows.data if few else layer.dz.data)
    cdef real* weight
    cdef real* velocity
    cdef bint finite = True
    cdef int mr
    while i < q.i1:
        w = panel[real](i, q.i1, NULL)
        n = min(w, q.i1 - i)
        o = q.o0
        while o < q.o1:
            mr = <int>min(MR, q.o1 - o)
            weight, velocity = at[real](&layer.weight, o, i, NULL), at[real](&layer.velocity, o, i, NULL)
            for r in range(mr):         # so that it comes while the gradient is computed
                fetch(<char*>(weight + r * layer.weight.stride), w * sizeof(real), True)
                if p.sgd.momentum != 0:
                    fetch(<char*>(velocity + r * layer.weight.stride), w * sizeof(real), True)
            if i + w < q.i1:            # a part of the next panel of x
                for r in range(samples * (o - q.o0) // (q.o1 - q.o0), samples * (o + mr - q.o0) // (q.o1 - q.o0)):
                    fetch(<const char*>at[real](&layer.x_rows, r, i + w, NULL), w * sizeof(real), False)
            sum_tile(mr, <int>(w // vector_lanes[real](NULL)), samples, dz + o * rs, rs, cs,
                     at[real](&layer.x_rows, 0, i, NULL), layer.x_rows.stride, <const real*>NULL, dw, w, space)
            finite &= update(&p.sgd, mr, w, weight, layer.weight.stride, velocity, dw, w)
            if p.gradients != NULL:
                for r in range(mr):
                    copy(n, <real*>p.gradients + layer.weight_at + (o + r) * layer.n_in + i, dw + r * w)
            o += mr
        i += w
    return finite


cdef bint learn_biases(const Training* p, const Rectangle* q, Py_ssize_t samples, bint few, real* db) noexcept nogil:
    """The same of the biases of a rectangle's outputs: the gradient is the sum of dz over the batch."""
    cdef const Layer* layer = &p.layers[q.layer]
    cdef Py_ssize_t n = q.o1 - q.o0
    if few:
        sum_rows(samples, padded[real](n, NULL), at[real](&layer.dz_rows, 0, q.o0, NULL), layer.dz_rows.stride, db)
    else:
        dots(1, n, samples, at[real](&layer.dz, q.o0, 0, NULL), layer.dz.stride, <const real*>p.ones, 0, <const real*>NULL,
             db, 0)
    if p.gradients != NULL:
        copy(n, <real*>p.gradients + layer.bias_at + q.o0, db)
    return update(&p.sgd, 1, n, <real*>layer.bias + q.o0, 0, <real*>layer.bias_velocity + q.o0, db, 0)


cdef bint learn(const Training* p, Py_ssize_t samples, bint few, Py_ssize_t q0, Py_ssize_t q1, real* dw,
                real* space) noexcept nogil:
    """Phase 2 of some rectangles; whether all weights are finite after it."""
    cdef Py_ssize_t n
    cdef const Rectangle* q
    cdef bint finite = True
    for n in range(q0, q1):
        q = &p.rectangles[n]
        finite &= learn_weights(p, q, samples, few, dw, space)
        if q.i0 == 0 and p.layers[q.layer].bias_at >= 0:
            finite &= learn_biases(p, q, samples, few, dw)
    return finite
