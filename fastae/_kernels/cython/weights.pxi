# Phase 2 of a step: weights. Each member takes its rectangles: the gradient of a tile is one product over the whole batch,
# and the optimiser is applied to it at once. exchange moves weights between the flat arrays and their panels, at both ends of
# a run.

cdef void turn(const Training* p, const Rectangle* q, real* _) noexcept nogil:
    """Renews the transposed copy of a rectangle of weights."""
    cdef const Layer* layer = &p.layers[q.layer]
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), NR = NV * lanes, o, i = q.i0, w, j, wo
    cdef const real* source
    cdef real* target
    while i < q.i1:
        j = i // NR * NR
        w = panel_width[real](layer.padded_in, j, NULL)
        o = q.o0
        while o < q.o1:
            wo = panel_width[real](layer.padded_out, o // NR * NR, NULL)
            source = <const real*>layer.weight + j * layer.padded_out + o * w + i - j
            target = <real*>layer.turned_weight + o // NR * NR * layer.padded_in + i * wo + o % NR
            if (q.o1 - o) * (q.i1 - i) > 4 * lanes:
                transpose(source, w, target, wo)
            else:                       # a small corner: element by element is faster, and leaves the padding zero
                transpose_edge(source, w, target, wo, min(lanes, q.o1 - o), min(lanes, q.i1 - i))
            o += lanes
        i += lanes


cdef void exchange(const Training* p, const Rectangle* q, const char* flat, void* panels, void* bias, bint pack,
                   real* _) noexcept nogil:
    """A rectangle between a flat array (weights or velocity) and its panels: into the panels, padded with zeros, or back."""
    cdef const Layer* layer = &p.layers[q.layer]
    cdef Py_ssize_t w, j = q.i0, o, i
    cdef real* row
    cdef real* panel
    while j < q.i1:
        w = panel_width[real](layer.padded_in, j, NULL)
        for o in range(q.o0, q.o1):
            row = <real*>flat + layer.weight_at + o * layer.n_in + j
            panel = <real*>panels + j * layer.padded_out + o * w
            copy(min(w, q.i1 - j), panel if pack else row, row if pack else panel)
            if pack:
                for i in range(q.i1 - j, w):
                    panel[i] = 0
        j += w
    if q.i0 == 0 and layer.bias_at >= 0:
        row = <real*>flat + layer.bias_at + q.o0
        panel = <real*>bias + q.o0
        copy(q.o1 - q.o0, panel if pack else row, row if pack else panel)


cdef void exchange_all(const Training* p, Py_ssize_t q0, Py_ssize_t q1, bint pack, real* _) noexcept nogil:
    cdef Py_ssize_t n
    cdef const Rectangle* q
    cdef const Layer* layer
    for n in range(q0, q1):
        q = &p.rectangles[n]
        layer = &p.layers[q.layer]
        exchange[real](p, q, p.weights, layer.weight, layer.bias, pack, NULL)
        if p.velocity != NULL:
            exchange[real](p, q, p.velocity, layer.velocity, layer.bias_velocity, pack, NULL)
        if pack:
            turn[real](p, q, NULL)


cdef inline void fetch_tile(const Layer* layer, Py_ssize_t o, Py_ssize_t j, Py_ssize_t w, Py_ssize_t at,
                            real* _) noexcept nogil:
    """Asks for what the update of a tile will write, so that it comes while the gradient is computed."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), NR = NV * lanes, i, wo
    cdef char* turned
    fetch(<char*>layer.weight + at * sizeof(real), MR * w * sizeof(real), True)
    if layer.velocity != NULL:
        fetch(<char*>layer.velocity + at * sizeof(real), MR * w * sizeof(real), True)
    if o % lanes == 0:
        wo = panel_width[real](layer.padded_out, o // NR * NR, NULL)
        turned = <char*>layer.turned_weight + (o // NR * NR * layer.padded_in + o % NR) * sizeof(real)
        for i in range(j, j + w):
            prefetch_write(turned + i * wo * sizeof(real))


cdef bint learn_weights(const Training* p, const Rectangle* q, Py_ssize_t rows, real* dw, real* space) noexcept nogil:
    """Gradient dz^T x over the whole batch and update of a rectangle of weights; whether all are finite after it."""
    cdef const Layer* layer = &p.layers[q.layer]
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), s, o, j = q.i0, w, i, at
    cdef real* gradients
    cdef bint finite = True
    cdef int mr
    while j < q.i1:
        w = panel_width[real](layer.padded_in, j, NULL)
        for s in range(ceil_div(q.o1 - q.o0, MR)):
            o = q.o0 + s * MR
            mr = <int>min(MR, q.o1 - o)
            at = j * layer.padded_out + o * w       # the tile lies there in one piece
            fetch_tile(layer, o, j, w, at, <real*>NULL)
            sum_tile(mr, <int>(w // lanes), rows, <const real*>layer.dz.data + o, 1, layer.dz.stride,
                     <const real*>layer.x.data + j, layer.x.stride, <const real*>NULL, dw, w, space)
            finite &= update(&p.sgd, mr * w, <real*>layer.weight + at, dw,
                             NULL if p.sgd.momentum == 0 else <real*>layer.velocity + at)
            if p.gradients != NULL:
                gradients = <real*>p.gradients + layer.weight_at + o * layer.n_in + j
                for i in range(mr):
                    copy(min(w, q.i1 - j), gradients + i * layer.n_in, dw + i * w)
        j += w
    return finite


cdef bint learn_biases(const Training* p, const Rectangle* q, Py_ssize_t rows, real* db) noexcept nogil:
    """The same of the biases of a rectangle's outputs: the gradient is the sum of dz over the batch, in order."""
    cdef const Layer* layer = &p.layers[q.layer]
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), n = q.o1 - q.o0
    sum_rows(rows, ceil_div(n, lanes) * lanes, <const real*>layer.dz.data + q.o0, layer.dz.stride, db)
    if p.gradients != NULL:
        copy(n, <real*>p.gradients + layer.bias_at + q.o0, db)
    return update(&p.sgd, n, <real*>layer.bias + q.o0, db,
                  NULL if p.sgd.momentum == 0 else <real*>layer.bias_velocity + q.o0)


cdef bint learn(const Training* p, Py_ssize_t rows, Py_ssize_t q0, Py_ssize_t q1, real* dw, real* space) noexcept nogil:
    """Phase 2 of some rectangles; whether all weights are finite after it."""
    cdef Py_ssize_t n
    cdef const Rectangle* q
    cdef bint finite = True
    for n in range(q0, q1):
        q = &p.rectangles[n]
        finite &= learn_weights(p, q, rows, dw, space)
        if q.i0 == 0 and p.layers[q.layer].bias_at >= 0:
            finite &= learn_biases(p, q, rows, dw)
        turn[real](p, q, NULL)
    return finite
