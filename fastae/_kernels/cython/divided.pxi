# Phase 1 of two members who divide the features of the first and the last layer among them, and so these layers' weights: what
# a member reads and writes of them no other one does, and it stays in its core's cache from step to step. Sums over the
# features are of two halves, whoever adds them (sum_tile).
#
#   1. A member's half of the inputs of all samples, and what they add to the first layer's z.
#   2. Some of the samples, from z to what the last layer reads.
#   3. A member's half of the outputs of all samples, their loss and its gradient, and what that adds to the last layer's dx.
#   4. The samples of 2, from dx down to the first layer's dz.
#
# Halves that both write have memory of their own: were they side by side in the same rows, each core's prefetchers would take
# lines that the other one is about to write (on a Xeon, copying a batch then took three times as long).

cdef inline Matrix from_column(const Matrix* m, Py_ssize_t first, real* _) noexcept nogil:
    return Matrix(at[real](m, 0, first, NULL), m.stride)


cdef inline Matrix from_row(const Matrix* m, Py_ssize_t first, real* _) noexcept nogil:
    return Matrix(at[real](m, first, 0, NULL), m.stride)


cdef void gather_columns(const Training* p, const Source* source, Py_ssize_t first, Py_ssize_t n, Py_ssize_t start,
                         Py_ssize_t rows, const Matrix* in_rows, const Matrix* in_columns, real* _) noexcept nogil:
    """Features first to first + n of a batch, in both layouts."""
    cdef Source some = source[0]
    some.data += first * source.column_stride
    some.row_bytes = n * source.column_stride if source.row_bytes else 0
    gather_from[real](p, &some, start, rows, n, in_rows, 0, NULL)
    turn_samples[real](in_rows, n, 0, rows, in_columns, NULL)


cdef void join_halves(const Training* p, const Share* share, real* _) noexcept nogil:
    """A member's weights of the first layer, to where few samples read them."""
    cdef const Layer* layer = &p.layers[0]
    cdef Py_ssize_t o
    for o in range(layer.n_out):
        copy(share.inputs, at[real](&layer.weight, o, share.input, NULL), at[real](&share.first.weight, o, share.input, NULL))


cdef void first_half(const Training* p, const Share* share, Py_ssize_t start, Py_ssize_t rows, real* _) noexcept nogil:
    """1. The first layer's z, as far as this member's inputs go."""
    cdef Layer layer = share.first
    cdef Matrix x_rows = from_column[real](&layer.x_rows, share.input, NULL)
    gather_columns[real](p, &p.x_source, share.input, share.inputs, start, rows, &x_rows, &layer.x, NULL)
    layer.n_in, layer.weight = share.inputs, from_column[real](&layer.weight, share.input, NULL)
    forward[real](&layer, 0, layer.n_out, padded[real](rows, NULL), IDENTITY, NULL)


cdef void last_half(const Training* p, const Share* share, const Block* block, int member, Py_ssize_t start, Py_ssize_t rows,
                    real scale) noexcept nogil:
    """3. The last layer's loss and dx, as far as this member's outputs go."""
    cdef Layer layer = share.last
    cdef Py_ssize_t size = block_samples[real](rows, p.widest, NULL), s = 0, s1, w
    cdef Matrix target, dx, dz = block.rows[0]
    if p.has_goal:
        gather_columns[real](p, &p.target_source, share.output, layer.n_out, start, rows, &share.target_rows, &share.target,
                             NULL)
    while s < rows:
        s1 = min(s + size, rows)
        w = padded[real](s1 - s, NULL)
        target = from_column[real](&share.target if p.has_goal else &share.first.x, s, NULL)
        layer.x = from_column[real](&share.last.x, s, NULL)
        forward_and_loss[real](p, &layer, &target, s, s1, scale, p.sample_loss + member * p.losses_apart + s)
        if is_near(&p.layers[p.n_layers - 1]):
            input_gradient_near[real](&layer, &layer.dz, &share.dx, s, w, NULL)
        else:
            turn(layer.n_out, w, at[real](&layer.dz, 0, s, NULL), layer.dz.stride, <real*>dz.data, dz.stride)
            dx = from_row[real](&share.dx, s, NULL)
            input_gradient[real](&layer, &dz, &dx, s1 - s, NULL)
        s = s1


cdef void pass_divided(const Training* p, const Step* step, Py_ssize_t start, Py_ssize_t rows, real scale, Team* team,
                       int member) noexcept nogil:
    """Phase 1 of a batch."""
    cdef const Share* share = &p.shares[member]
    cdef Block* block = p.blocks + member
    cdef const Layer* below = &block.layers[p.n_layers - 2]
    cdef Py_ssize_t f
    part(rows, team, member, &block.s0, &block.s1)
    first_half[real](p, share, start, rows, NULL)
    meet(team)
    if block.s0 < block.s1:
        pass_hidden_up[real](p, step, block, start, p.shares, NULL)
        for f in range(below.width):
            copy(padded[real](block.s1 - block.s0, NULL), at[real](&share.last.x, f, block.s0, NULL),
                 at[real](&below.y, f, 0, NULL))
    meet(team)
    last_half(p, share, block, member, start, rows, scale)
    meet(team)
    if block.s0 < block.s1:
        pass_down[real](p, step, block, p.shares, NULL)
