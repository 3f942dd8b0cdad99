# Phase 1 of a step: samples. Each member takes its rows of the batch, up to ROWS at a time, so that they stay in its L2,
# through gather, forward, loss and input gradients.

cdef void gather_row(const Source* s, Py_ssize_t row, Py_ssize_t n, real* out) noexcept nogil:
    cdef const char* p = s.data + row * s.row_stride
    cdef Py_ssize_t j, step = s.column_stride
    if s.typenum == cnp.NPY_UINT8:
        for j in range(n):
            out[j] = (<const unsigned char*>(p + j * step))[0] * <real>(1.0 / 255)
    elif s.typenum == cnp.NPY_FLOAT32:
        if real is float and step == sizeof(float):
            memcpy(out, p, n * sizeof(float))
        else:
            for j in range(n):
                out[j] = <real>(<const float*>(p + j * step))[0]
    else:
        for j in range(n):
            out[j] = <real>(<const double*>(p + j * step))[0]


cdef inline real* row_of(const Matrix* m, Py_ssize_t row, real* _) noexcept nogil:
    return <real*>m.data + row * m.stride


cdef inline void fetch(const char* p, Py_ssize_t bytes, bint write) noexcept nogil:
    """Asks for cache lines ahead of their use."""
    cdef Py_ssize_t at
    for at in range(0, bytes, 64):
        if write:
            prefetch_write(p + at)
        else:
            prefetch(p + at)


cdef void gather(const Training* p, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1, real* _) noexcept nogil:
    cdef const Matrix* x = &p.layers[0].x
    cdef Py_ssize_t r, row
    for r in range(r0, r1):
        row = start + r if p.order == NULL else p.order[start + r]
        gather_row(&p.x_source, row, p.layers[0].n_in, row_of[real](x, r, NULL))
        row = start + p.batch_size + r                                          # the same place of the next batch
        if row < p.last:
            row = row if p.order == NULL else p.order[row]
            fetch(p.x_source.data + row * p.x_source.row_stride, p.x_source.row_bytes, False)
        if not p.is_target_input:
            row = start + r if p.order == NULL else p.order[start + r]
            gather_row(&p.target_source, row, p.layers[p.n_layers - 1].n_out, row_of[real](&p.target, r, NULL))


cdef void sum_tile(int mr, int nv, Py_ssize_t K, const real* a, Py_ssize_t rs, Py_ssize_t cs, const real* b, Py_ssize_t ldb,
                   const real* start, real* out, Py_ssize_t ldo, real* space) noexcept nogil:
    """A tile over all of k: block by block of KC, added up in order; all but the first start from zero. space: one tile."""
    cdef Py_ssize_t k = KC, i, w = nv * vector_lanes[real](NULL)
    tile(mr, nv, min(K, KC), a, rs, cs, b, ldb, start, out, ldo)
    while k < K:
        tile(mr, nv, min(K - k, KC), a + k * cs, rs, cs, b + k * ldb, ldb, NULL, space, w)
        for i in range(mr):
            add(w, out + i * ldo, space + i * w)
        k += KC


cdef inline Py_ssize_t panel_width(Py_ssize_t padded, Py_ssize_t j, real* _) noexcept nogil:
    """Columns of the panel that starts at column j: NR, or what is left."""
    return min(NV * vector_lanes[real](NULL), padded - j)


cdef void forward(const Layer* layer, Py_ssize_t r0, Py_ssize_t r1, real* space) noexcept nogil:
    """y := f(x W^T + b) for some rows."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), s, r, j = 0, w
    cdef real* z
    cdef real* y
    cdef int mr
    while j < layer.n_out:
        w = panel_width[real](layer.padded_out, j, NULL)
        for s in range(ceil_div(r1 - r0, MR)):
            r = r0 + s * MR
            mr = <int>min(MR, r1 - r)
            z = row_of[real](&layer.kept, r, NULL) + j
            y = row_of[real](&layer.y, r, NULL) + j
            sum_tile(mr, <int>(w // lanes), layer.n_in, row_of[real](&layer.x, r, NULL), layer.x.stride, 1,
                     <const real*>layer.turned_weight + j * layer.padded_in, w, <const real*>layer.bias + j,
                     z, layer.kept.stride, space)
            activate_rows(layer.activation, mr, w, z, layer.kept.stride, y, layer.y.stride)
            if layer.activation == SIGMOID or layer.activation == SOFTPLUS:      # f(0) is not 0
                clear_padding(mr, min(w, layer.n_out - j), y, layer.y.stride)
        j += w


cdef void input_gradient(const Layer* layer, const Layer* below, Py_ssize_t r0, Py_ssize_t r1, real* space) noexcept nogil:
    """The dz of the layer below := (dz W) f'(kept), f the activation below, for some rows."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), s, r, j = 0, w
    cdef real* dz
    cdef int mr
    while j < layer.n_in:
        w = panel_width[real](layer.padded_in, j, NULL)
        for s in range(ceil_div(r1 - r0, MR)):
            r = r0 + s * MR
            mr = <int>min(MR, r1 - r)
            dz = row_of[real](&below.dz, r, NULL) + j
            sum_tile(mr, <int>(w // lanes), layer.n_out, row_of[real](&layer.dz, r, NULL), layer.dz.stride, 1,
                     <const real*>layer.weight + j * layer.padded_out, w, <const real*>NULL, dz, below.dz.stride, space)
            differentiate_rows(below.activation, mr, w, row_of[real](&below.kept, r, NULL) + j, below.kept.stride,
                               dz, below.dz.stride, dz, below.dz.stride)
        j += w


cdef void pass_rows(const Training* p, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1, real scale, real* space) noexcept nogil:
    """Phase 1 of some rows of the batch that starts at order[start]."""
    cdef Layer* top = &p.layers[p.n_layers - 1]
    cdef Matrix target = p.layers[0].x if p.is_target_input else p.target
    cdef int l
    gather[real](p, start, r0, r1, NULL)
    for l in range(p.n_layers):
        forward(&p.layers[l], r0, r1, space)
    loss_rows(p.loss, r1 - r0, top.n_out, row_of[real](&top.y, r0, NULL), row_of[real](&target, r0, NULL), top.y.stride, scale,
              row_of[real](&top.dz, r0, NULL), top.dz.stride, p.row_loss + r0)
    differentiate_rows(top.activation, r1 - r0, top.padded_out, row_of[real](&top.kept, r0, NULL), top.kept.stride,
                       row_of[real](&top.dz, r0, NULL), top.dz.stride, row_of[real](&top.dz, r0, NULL), top.dz.stride)
    for l in range(p.n_layers - 1, 0, -1):
        input_gradient(&p.layers[l], &p.layers[l - 1], r0, r1, space)
