# Training's own half of a step: samples and the gradients by them (phase 1), weights and the gradients by them (phase 2).
# exchange moves weights between the flat arrays and their padded rows, at both ends of a run.

cdef inline void gather_from(const Training* p, const Source* source, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t n,
                             const Matrix* out, Py_ssize_t s0, real* _) noexcept nogil:
    """The rows order[first : first + rows] of a source, to those from s0 on; what the next batch needs is asked for."""
    cdef Py_ssize_t r, next_row, ahead = max(p.batch_size, AHEAD_ROWS)
    cdef real* to = at[real](out, s0, 0, NULL)
    if is_plain_source[real](source, NULL):
        if real is float:
            copy_rows_f32(rows, n, source.data, source.row_stride, p.order, first, ahead, p.last, to, out.stride)
        else:
            copy_rows_f64(rows, n, source.data, source.row_stride, p.order, first, ahead, p.last, to, out.stride)
        return
    for r in range(first, first + rows):
        gather_row(source, row_at(p, r), n, to)
        to += out.stride
        next_row = r + ahead
        if next_row < p.last:
            fetch(source.data + row_at(p, next_row) * source.row_stride, source.row_bytes, False)


cdef void gather_plain(const Training* p, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t s0, real* _) noexcept nogil:
    """The samples order[start : start + rows] and their targets, as rows from s0 on."""
    gather_from[real](p, &p.x_source, start, rows, p.layers[0].n_in, &p.layers[0].x_rows, s0, NULL)
    if not p.is_target_input:
        gather_from[real](p, &p.target_source, start, rows, p.layers[p.n_layers - 1].n_out, &p.target_rows, s0, NULL)


cdef void gather(const Training* p, const Step* step, Py_ssize_t start, Py_ssize_t s0, Py_ssize_t s1, real* _) noexcept nogil:
    """Samples s0 to s1 of the batch that starts at order[start], as rows, with what a recipe does to them."""
    cdef const Layer* first = &p.layers[0]
    cdef Py_ssize_t s
    gather_plain[real](p, start + s0, s1 - s0, s0, NULL)
    for s in range(s0, s1 if p.noise or p.missing else s0):
        disturb_row(p, step, start - step.start + s, at[real](&first.x_rows, s, 0, NULL),
                    at[real](&p.target_rows, s, 0, NULL) if p.copies_target else <real*>NULL)
    for s in range(s0, s1 if p.sample_weight != NULL else s0):
        (<real*>p.weight_rows)[s] = (<real*>p.sample_weight)[row_at(p, start + s)]


cdef void gather_beside(const Training* p, Py_ssize_t start, Py_ssize_t s0, Py_ssize_t s1, real* _) noexcept nogil:
    """What there is beside a sparse input."""
    cdef Py_ssize_t n_out = p.layers[p.n_layers - 1].n_out, s
    for s in range(s0, s1):
        if not p.sparse_target:
            gather_row(&p.target_source, row_at(p, start + s), n_out, at[real](&p.target_rows, s, 0, NULL))
        if p.sample_weight != NULL:
            (<real*>p.weight_rows)[s] = (<real*>p.sample_weight)[row_at(p, start + s)]


cdef Py_ssize_t count_targets(const Training* p, Py_ssize_t start, Py_ssize_t s0, Py_ssize_t s1, int member,
                              real* _) noexcept nogil:
    """How many of the targets of samples s0 to s1 are not missing."""
    cdef Py_ssize_t n_out = p.layers[p.n_layers - 1].n_out, s, i, row, found = 0
    cdef real* target = <real*>p.blocks[member * p.blocks_each].target.data     # not yet needed for what it is for
    for s in range(s0, s1):
        row = start + s if p.order == NULL else p.order[start + s]
        gather_row(&p.target_source, row, n_out, target)
        for i in range(n_out):
            found += target[i] == target[i]
    return found


cdef void turn_samples(const Matrix* rows, Py_ssize_t n, Py_ssize_t s0, Py_ssize_t s1, const Matrix* columns,
                       real* _) noexcept nogil:
    """A block's samples, rows s0 to s1, as columns; those up to a whole vector become zero."""
    cdef Py_ssize_t s, end = s0 + padded[real](s1 - s0, NULL)
    for s in range(s1, end):                                                    # what an earlier batch has left there
        memset(at[real](rows, s, 0, NULL), 0, n * sizeof(real))
    turn(end - s0, n, at[real](rows, s0, 0, NULL), rows.stride, <real*>columns.data, columns.stride)


cdef void forward_and_loss(const Training* p, const Layer* top, const Matrix* target, Py_ssize_t s0, Py_ssize_t s1, real scale,
                           double* losses) noexcept nogil:
    """The last layer, its loss and the loss's gradient by the activation's argument, some features at a time. losses: of
    samples s0 to s1; where the features are halved, those of the second half stand apart."""
    cdef Py_ssize_t o = 0, o0, o1, w = padded[real](s1 - s0, NULL), ldy, half = halfway(top.n_out)
    cdef real space[LOSS_FEATURES * BLOCK_SAMPLES + 16]
    cdef real* room = <real*>align(space)
    cdef real* y
    cdef real* dy
    cdef real* dz
    cdef real* goal
    cdef bint weighs = p.sample_weight != NULL or p.feature_weight != NULL or p.missing
    cdef bint from_z = p.loss == BCE and top.activation == SIGMOID and not weighs
    memset(losses, 0, (s1 - s0) * sizeof(double))
    if is_whole(p.loss):
        forward[real](top, 0, top.n_out, w, top.activation, NULL)
        loss_of_whole(p, top, target, s0, s1, scale)
        return
    while o < top.n_out:
        if o == half:
            losses += p.losses_apart
            memset(losses, 0, (s1 - s0) * sizeof(double))
        o1 = min(o + LOSS_FEATURES, half if o < half else top.n_out)
        forward[real](top, o, o1, w, IDENTITY if from_z else top.activation, NULL)
        y, dz, goal = at[real](&top.y, o, 0, NULL), at[real](&top.dz, o, s0, NULL), at[real](target, o, 0, NULL)
        dy, ldy = room, w
        if top.activation == IDENTITY:
            dy, ldy = dz, top.dz.stride
        o, o0 = o1, o
        if from_z:
            if sigmoid_bce(o1 - o0, s1 - s0, y, top.y.stride, goal, target.stride, scale, dz, top.dz.stride, losses):
                continue
            activate_rows(SIGMOID, o1 - o0, w, y, top.y.stride, y, top.y.stride)
        if weighs:
            loss_with_weights(p, o0, o1, s0, s1, y, top.y.stride, goal, target.stride, scale, dy, ldy, losses)
        else:
            loss_columns(p.loss, o1 - o0, s1 - s0, y, top.y.stride, goal, target.stride, scale, dy, ldy, losses)
        if dy != dz:
            differentiate_rows(top.activation, o1 - o0, w, at[real](&top.kept, o0, 0, NULL), top.kept.stride, dy, ldy, dz,
                               top.dz.stride)


cdef void loss_with_weights(const Training* p, Py_ssize_t o, Py_ssize_t o1, Py_ssize_t s0, Py_ssize_t s1, const real* y,
                            Py_ssize_t ldy, const real* target, Py_ssize_t ldt, real scale, real* dy,
                            Py_ssize_t ldd, double* losses) noexcept nogil:
    cdef const real* of_features = <const real*>p.feature_weight + o if p.feature_weight != NULL else <const real*>NULL
    cdef const real* of_samples = weights_of[real](p, s0, NULL)
    if real is float:
        loss_weighted_f32(p.loss, o1 - o, s1 - s0, y, ldy, target, ldt, scale, dy, ldd, losses, of_features, of_samples,
                          p.missing)
    else:
        loss_weighted_f64(p.loss, o1 - o, s1 - s0, y, ldy, target, ldt, scale, dy, ldd, losses, of_features, of_samples,
                          p.missing)


cdef void loss_of_whole(const Training* p, const Layer* top, const Matrix* target, Py_ssize_t s0, Py_ssize_t s1,
                        real scale) noexcept nogil:
    """A loss over all features of a sample, and dz of the last layer."""
    cdef Py_ssize_t w = padded[real](s1 - s0, NULL), f, s
    cdef real* dz = at[real](&top.dz, 0, s0, NULL)
    cdef const real* weights = weights_of[real](p, s0, NULL)
    if real is float:
        loss_whole_f32(p.loss, top.n_out, w, <float*>top.y.data, top.y.stride, <float*>target.data, target.stride, scale, dz,
                       top.dz.stride, p.sample_loss + s0)
    else:
        loss_whole_f64(p.loss, top.n_out, w, <double*>top.y.data, top.y.stride, <double*>target.data, target.stride, scale, dz,
                       top.dz.stride, p.sample_loss + s0)
    if weights != NULL:
        for s in range(s1 - s0):
            p.sample_loss[s0 + s] *= weights[s]
        for f in range(top.n_out):
            for s in range(s1 - s0):
                dz[f * top.dz.stride + s] = dz[f * top.dz.stride + s] * weights[s]
    differentiate_rows(top.activation, top.n_out, w, <real*>top.kept.data, top.kept.stride, dz, top.dz.stride, dz,
                       top.dz.stride)


cdef void add_halves(const Matrix* first, const Matrix* second, Py_ssize_t row, Py_ssize_t column, Py_ssize_t rows,
                     Py_ssize_t n, real* out, Py_ssize_t ldo) noexcept nogil:
    """out := the sums of two members' halves of products, from some row and column of these on."""
    cdef Py_ssize_t r, j
    cdef const real* a = at[real](first, row, column, NULL)
    cdef const real* b = at[real](second, row, column, NULL)
    for r in range(rows):
        for j in range(n):
            out[j] = a[j] + b[j]
        a, b, out = a + first.stride, b + second.stride, out + ldo


cdef inline bint is_near(const Layer* layer) noexcept nogil:
    """Whether a tile may read some columns of all rows of the weights: they are few, or another layer's, turned."""
    return layer.across != 1 or layer.n_in * layer.n_out <= NEAR_WEIGHTS


cdef void input_gradient(const Layer* layer, const Matrix* dz, const Matrix* dx, Py_ssize_t samples, real* _) noexcept nogil:
    """dx := dz W, both a sample a row. Rows of weights serve as the tile's B, at most KC outputs at a time: a panel of their
    inputs meets all samples while it is near, and meanwhile the next panel is asked for: an order no prefetcher follows."""
    cdef Py_ssize_t o = 0, k, i, s, w, t, stride = 0, size = min(halfway(layer.n_out), KC)
    cdef const real* ahead
    cdef int mr, nv
    while o < layer.n_out:
        k, i = min(size, layer.n_out - o), 0
        while i < layer.n_in:
            w = panel[real](i, layer.n_in, NULL)
            nv, s, t = <int>(w // vector_lanes[real](NULL)), 0, 0
            while s < samples:
                mr = <int>min(MR, samples - s)
                ahead = NULL
                if i + w < layer.n_in:
                    ahead = coming(weight_of[real](layer, o, i + w, NULL), layer.down, 1, k, t, &stride)
                tile(mr, nv, k, at[real](dz, s, o, NULL), dz.stride, 1, weight_of[real](layer, o, i, NULL), layer.down,
                     <const real*>NULL, at[real](dx, s, i, NULL), dx.stride, added[real](o > 0, NULL), ahead,
                     stride)
                s += mr
                t += 1
            i += w
        o += k


cdef void input_gradient_near(const Layer* layer, const Matrix* dz, const Matrix* dx, Py_ssize_t s0, Py_ssize_t samples,
                              real* _) noexcept nogil:
    """The same by weights that are near, whose columns serve as the tile's A: dz and dx are a feature a row, from column s0
    on, as other products want them, and nothing is turned."""
    cdef Py_ssize_t i = 0, s, w
    cdef int mr
    while i < layer.n_in:
        mr, s = <int>min(MR, layer.n_in - i), s0
        while s < s0 + samples:
            w = panel[real](s, s0 + samples, NULL)
            sum_tile(mr, <int>(w // vector_lanes[real](NULL)), layer.n_out, weight_of[real](layer, 0, i, NULL), layer.across,
                     layer.down, at[real](dz, 0, s, NULL), dz.stride, <const real*>NULL, at[real](dx, i, s, NULL), dx.stride)
            s += w
        i += mr


cdef void pass_up(const Training* p, const Step* step, const Block* block, Py_ssize_t start, real scale) noexcept nogil:
    """Phase 1 of some of many samples, from the input to the loss."""
    cdef const Layer* layer = block.layers
    cdef Py_ssize_t s0 = block.s0, s1 = block.s1
    if p.sparse:
        gather_beside[real](p, start, s0, s1, NULL)
    else:
        gather[real](p, step, start, s0, s1, NULL)
        turn_samples[real](&layer.x_rows, layer.n_in, s0, s1, &layer.x, NULL)
    if p.sparse_target:
        put_target[real](p, block, start, True, NULL)
    elif p.has_goal:
        turn_samples[real](&p.target_rows, p.layers[p.n_layers - 1].n_out, s0, s1, &block.target, NULL)
    pass_hidden_up[real](p, step, block, start, NULL, NULL)
    forward_and_loss(p, &block.layers[p.n_layers - 1], &block.target if p.has_goal else &block.layers[0].x, s0, s1, scale,
                     p.sample_loss + s0)
    if p.sparse_target:
        put_target[real](p, block, start, False, NULL)


cdef void pass_hidden_up(const Training* p, const Step* step, const Block* block, Py_ssize_t start, const Share* shares,
                         real* _) noexcept nogil:
    """All layers but the last. shares: where halves of the first one's products are, or NULL."""
    cdef const Layer* layer
    cdef Py_ssize_t s0 = block.s0, s1 = block.s1, w = padded[real](s1 - s0, NULL)
    cdef int l
    if p.penalised:
        memset(p.sample_penalty + s0, 0, (s1 - s0) * sizeof(double))
    for l in range(p.n_layers - 1):
        layer = &block.layers[l]
        if l == 0 and p.sparse:
            sparse_forward[real](p, step, block, start, NULL)
        elif l == 0 and shares != NULL:
            add_halves(&shares[0].z, &shares[1].z, 0, s0, layer.n_out, w, <real*>layer.kept.data, layer.kept.stride)
            activate_rows(layer.activation, layer.n_out, w, <real*>layer.kept.data, layer.kept.stride, <real*>layer.value.data,
                          layer.value.stride)
        else:
            forward[real](layer, 0, layer.n_out, w, layer.activation, NULL)
        if not is_plain(p, l):
            stage[real](p, step, block, l, start - step.start + s0, s1 - s0, p.sample_penalty + s0, NULL)
        turn(layer.width, w, <real*>layer.y.data, layer.y.stride, at[real](&layer.y_rows, s0, 0, NULL),
             layer.y_rows.stride)


cdef void pass_down(const Training* p, const Step* step, const Block* block, const Share* shares, real* _) noexcept nogil:
    """The rest of it, from the loss's gradient to that of the first layer's outputs. shares: where halves of the last layer's
    dx are, or NULL."""
    cdef const Layer* layer
    cdef const Layer* below
    cdef Py_ssize_t s0 = block.s0, s1 = block.s1, w = padded[real](s1 - s0, NULL), s
    cdef const real* weights = weights_of[real](p, s0, NULL)
    cdef Matrix dz, dx
    cdef bint in_rows = False, divided          # whether block.rows has dz already; whether members have halves of dx
    cdef int l
    for l in range(p.n_layers - 1, -1, -1):
        layer = &block.layers[l]
        if l == 0 and p.contractive != 0:
            contract[real](p, step, block, s0, s1 - s0, p.sample_penalty + s0, NULL)
        if layer.across != 1 or (l == 0 and p.sparse):      # whose gradient takes samples as rows
            turn(layer.n_out, w, at[real](&layer.dz, 0, s0, NULL), layer.dz.stride,
                 at[real](&layer.dz_rows, s0, 0, NULL), layer.dz_rows.stride)
        if l == 0:
            break
        below = &block.layers[l - 1]
        dz, dx = block.rows[l % 2], block.rows[(l - 1) % 2]
        divided = l == p.n_layers - 1 and shares != NULL
        if is_near(layer):
            if divided:
                add_halves(&shares[0].dx, &shares[1].dx, 0, s0, layer.n_in, w, at[real](&below.dz, 0, s0, NULL),
                           below.dz.stride)
            else:
                input_gradient_near[real](layer, &layer.dz, &below.dz, s0, w, NULL)
            in_rows = False
        else:
            if divided:
                add_halves(&shares[0].dx, &shares[1].dx, s0, 0, s1 - s0, layer.n_in, <real*>dx.data, dx.stride)
            else:
                if not in_rows:
                    turn(layer.n_out, w, at[real](&layer.dz, 0, s0, NULL), layer.dz.stride, <real*>dz.data, dz.stride)
                input_gradient[real](layer, &dz, &dx, s1 - s0, NULL)
            in_rows = is_plain(p, l - 1) and not below.keeps_input
            if in_rows:
                differentiate_rows(below.activation, s1 - s0, padded[real](below.n_out, NULL),
                                   at[real](&below.y_rows, s0, 0, NULL), below.y_rows.stride, <real*>dx.data, dx.stride,
                                   <real*>dx.data, dx.stride)
            turn(w, layer.n_in, <real*>dx.data, dx.stride, at[real](&below.dz, 0, s0, NULL),
                 below.dz.stride)
        if in_rows:
            continue
        if is_plain(p, l - 1):
            differentiate_rows(below.activation, below.n_out, w, <real*>below.kept.data, below.kept.stride,
                               at[real](&below.dz, 0, s0, NULL), below.dz.stride, at[real](&below.dz, 0, s0, NULL),
                               below.dz.stride)
        else:
            back[real](p, step, block, l - 1, s0, s1 - s0, NULL)
    if p.penalised and weights != NULL:
        for s in range(s1 - s0):
            p.sample_penalty[s0 + s] *= weights[s]


cdef void input_gradient_few(const Layer* layer, const Layer* below, Py_ssize_t samples, Py_ssize_t i0, Py_ssize_t i1,
                             real* _) noexcept nogil:
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
                     dz, below.dz_rows.stride)
            differentiate_rows(below.activation, mr, w, at[real](&below.kept_rows, s, i, NULL), below.kept_rows.stride,
                               dz, below.dz_rows.stride, dz, below.dz_rows.stride)
            s += mr
        i += w


cdef void pass_few(const Training* p, const Step* step, Py_ssize_t start, Py_ssize_t samples, real scale, Team* team,
                   int member) noexcept nogil:
    """Phase 1 of few samples."""
    cdef const Layer* layer
    cdef Matrix target = p.layers[0].x_rows if p.is_target_input else p.target_rows
    cdef Py_ssize_t first, last, s0 = samples * member // team.size, s1 = samples * (member + 1) // team.size
    cdef real* dz
    cdef int l
    gather[real](p, step, start, s0, s1, NULL)
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
        input_gradient_few[real](&p.layers[l], &p.layers[l - 1], samples, first, last, NULL)


cdef inline void pass_tiny(const Training* p, Py_ssize_t samples, real scale) noexcept nogil:
    """Phase 1 of few samples in a tiny network, once they are gathered."""
    cdef Matrix target = p.layers[0].x_rows if p.is_target_input else p.target_rows
    if real is float:
        tiny_pass_f32(p.layers, p.n_layers, p.loss, samples, &target, scale, p.sample_loss)
    else:
        tiny_pass_f64(p.layers, p.n_layers, p.loss, samples, &target, scale, p.sample_loss)


cdef inline void begin_singles(const Training* p, real* _) noexcept nogil:
    if real is float:
        tiny_begin_f32(p.layers, p.n_layers)
    else:
        tiny_begin_f64(p.layers, p.n_layers)


cdef inline void step_single(const Training* p, Py_ssize_t now, real scale) noexcept nogil:
    """A whole step of one sample in row ``now`` by plain SGD; scale holds the learning rate."""
    cdef Matrix target = p.layers[0].x_rows if p.is_target_input else p.target_rows
    if real is float:
        tiny_single_f32(p.layers, p.n_layers, p.loss, now, &target, scale, p.sample_loss)
    else:
        tiny_single_f64(p.layers, p.n_layers, p.loss, now, &target, scale, p.sample_loss)


cdef inline bint end_singles(const Training* p, Py_ssize_t last, real* _) noexcept nogil:
    """Finishes the last step; whether all weights are finite."""
    cdef const Layer* first = &p.layers[0]
    cdef bint finite
    if real is float:
        finite = tiny_end_f32(p.layers, p.n_layers, last)
    else:
        finite = tiny_end_f64(p.layers, p.n_layers, last)
    turn(padded[real](first.n_in, NULL), padded[real](first.n_out, NULL), <real*>first.turned.data, first.turned.stride,
         <real*>first.weight.data, first.weight.stride)
    return finite


# ---- phase 2 ----

cdef inline bint learn_tiny(const Training* p, const Step* step, Py_ssize_t samples, real* _) noexcept nogil:
    if real is float:
        return tiny_learn_f32(p.layers, p.n_layers, &step.rule, samples, <float*>p.gradients)
    else:
        return tiny_learn_f64(p.layers, p.n_layers, &step.rule, samples, <double*>p.gradients)


cdef inline const Layer* layer_of(const Training* p, const Rectangle* q, bint divided) noexcept nogil:
    """Where a rectangle's weights are."""
    return &p.shares[q.i0 >= p.shares[1].input].first if divided and q.layer == 0 else &p.layers[q.layer]


cdef void exchange(const Layer* layer, const Rectangle* q, char* flat, const Matrix* rows, void* bias, bint turned, bint pack,
                   real* _) noexcept nogil:
    """A rectangle from a flat array (weights, velocity, square) to its rows, their padding zero,
                                      or back; turned: biases alone."""
    cdef Py_ssize_t o, i
    cdef real* a
    cdef real* b
    for o in range(q.o0, q.o0 if turned else q.o1):
        if layer.across != 1:                       # another layer's weights
            a = <real*>flat + layer.weight_at + o * layer.n_in
            for i in range(q.i0, q.i1 if rows.data == layer.weight.data and not pack else q.i0):
                a[i] = weight_of[real](layer, o, i, NULL)[0]
            continue
        a, b = <real*>flat + layer.weight_at + o * layer.n_in + q.i0, at[real](rows, o, q.i0, NULL)
        copy(q.i1 - q.i0, b if pack else a, a if pack else b)
        if pack and q.i1 == layer.n_in:             # a step that failed has left NaN there
            memset(b + q.i1 - q.i0, 0, (padded[real](q.i1, NULL) - q.i1) * sizeof(real))
    if q.i0 == 0 and layer.bias_at >= 0:
        a, b = <real*>flat + layer.bias_at + q.o0, <real*>bias + q.o0
        copy(q.o1 - q.o0, b if pack else a, a if pack else b)


cdef void turn_whole(const Layer* layer, const Matrix* rows, const Matrix* turned, real* _) noexcept nogil:
    turn(padded[real](layer.n_out, NULL), padded[real](layer.n_in, NULL), <real*>rows.data, rows.stride, <real*>turned.data,
         turned.stride)


cdef void exchange_all(const Training* p, Py_ssize_t q0, Py_ssize_t q1, bint pack, Team* team, int member,
                       real* _) noexcept nogil:
    cdef Py_ssize_t n, i0, i1
    cdef const Rectangle* q
    cdef const Layer* layer
    cdef bint turned
    for n in range(q0, q1):
        q = &p.rectangles[n]
        layer = layer_of(p, q, is_divided(p, team.size))
        turned = p.sparse and q.layer == 0
        exchange[real](layer, q, p.weights, &layer.weight, layer.bias, turned, pack, NULL)
        if p.velocity != NULL:
            exchange[real](layer, q, p.velocity, &layer.velocity, layer.bias_velocity, turned, pack, NULL)
        if p.square != NULL:
            exchange[real](layer, q, p.square, &layer.square, layer.bias_square, turned, pack, NULL)
    if p.sparse:
        layer = p.layers
        part(layer.n_in, team, member, &i0, &i1)
        exchange_turned[real](layer, p.weights, &layer.turned, i0, i1, pack, NULL)
        if p.velocity != NULL:
            exchange_turned[real](layer, p.velocity, &layer.turned_velocity, i0, i1, pack, NULL)
        if p.square != NULL:
            exchange_turned[real](layer, p.square, &layer.turned_square, i0, i1, pack, NULL)
    if p.tiny and pack:
        for n in range(p.n_layers):
            layer = &p.layers[n]
            turn_whole[real](layer, &layer.weight, &layer.turned, NULL)
            if p.velocity != NULL:
                turn_whole[real](layer, &layer.velocity, &layer.turned_velocity, NULL)
            if p.square != NULL:
                turn_whole[real](layer, &layer.square, &layer.turned_square, NULL)


cdef bint take(const Training* p, const Step* step, bint first, Py_ssize_t mr, Py_ssize_t n, real* weight, Py_ssize_t ld,
               real* velocity, real* square, real* gradient, Py_ssize_t ldg, real* dw, Py_ssize_t lddw, Py_ssize_t flat_at,
               Py_ssize_t flat_rows, Py_ssize_t real_n) noexcept nogil:
    """A piece of gradient dw: kept and added to, or given to the optimiser at once. Whether all weights are finite after it."""
    cdef Py_ssize_t r
    if p.unfused:
        for r in range(mr):
            if not first:
                add(n, dw + r * lddw, gradient + r * ldg)
            copy(n, gradient + r * ldg, dw + r * lddw)
    if p.gradients != NULL:
        for r in range(mr):
            copy(real_n, <real*>p.gradients + flat_at + r * flat_rows, dw + r * lddw)
    if p.unfused:
        return True
    if step.rule.bound < HUGE_VAL:
        clip_rows(&step.rule, mr, n, dw, lddw)
    return update_rows(&step.rule, mr, n, weight, ld, velocity, square, dw, lddw)


cdef bint learn_weights(const Training* p, const Step* step, const Rectangle* q, Py_ssize_t samples, bint few, bint first,
                        real* dw) noexcept nogil:
    """Gradient dz x^T over the whole batch and update of a rectangle of weights; whether all are finite after it."""
    cdef const Layer* layer = layer_of(p, q, step.divided)
    cdef const Matrix* x = &p.layers[q.layer].x_rows if few else &layer.x_rows
    cdef const Layer* twin = &p.layers[p.n_layers - 1 - q.layer]
    cdef Py_ssize_t o, i = q.i0, w, r, n, t, rows, asked, share = ceil_div(samples, ceil_div(q.o1 - q.o0, MR))
    cdef Py_ssize_t rs = 1 if few else layer.dz.stride, cs = layer.dz_rows.stride if few else 1
    cdef const real* dz = <const real*>(layer.dz_rows.data if few else layer.dz.data)
    cdef real* weight
    cdef real* velocity
    cdef real* square
    cdef real* of_twin = dw + LEARN_TILES * TILE_ELEMENTS
    cdef bint finite = True, contracts = q.layer == 0 and p.contractive != 0
    cdef real lr = <real>step.rule.lr
    cdef bint descends = (is_plain_sgd(&step.rule) and samples <= KC
                          and not (p.unfused or p.tied or contracts) and p.gradients == NULL)
    cdef int mr, nv
    while i < q.i1:
        w = panel[real](i, q.i1, NULL)
        nv = <int>(w // vector_lanes[real](NULL))
        n = min(w, q.i1 - i)
        o, asked = q.o0, 0
        while o < q.o1:
            rows = min(LEARN_TILES * MR, q.o1 - o)
            weight, velocity = at[real](&layer.weight, o, i, NULL), at[real](&layer.velocity, o, i, NULL)
            square = at[real](&layer.square, o, i, NULL)
            for r in range(rows if p.n_weights > L1_WEIGHTS else 0):    # so that it comes while the gradient is computed
                fetch(<char*>(weight + r * layer.weight.stride), w * sizeof(real), True)
                if keeps_velocity(&step.rule):
                    fetch(<char*>(velocity + r * layer.weight.stride), w * sizeof(real), True)
                if step.rule.kind != RULE_SGD:
                    fetch(<char*>(square + r * layer.weight.stride), w * sizeof(real), True)
            t = 0
            while t < rows:
                mr = <int>min(MR, rows - t)
                if i + w < q.i1:        # a part of the next panel of x
                    for r in range(asked, min(asked + share, samples)):
                        fetch(<const char*>at[real](x, r, i + w, NULL), w * sizeof(real), False)
                if descends:
                    finite &= tile(mr, nv, samples, dz + (o + t) * rs, rs, cs, at[real](x, 0, i, NULL), x.stride,
                                   <const real*>NULL, weight + t * layer.weight.stride, layer.weight.stride, &lr)
                else:
                    sum_tile(mr, nv, samples, dz + (o + t) * rs, rs, cs, at[real](x, 0, i, NULL), x.stride,
                             <const real*>NULL, dw + t * w, w)
                if p.tied:              # the other layer's gradient, turned
                    sum_tile(mr, nv, samples, at[real](&twin.x_rows, 0, o + t, NULL), 1, twin.x_rows.stride,
                             at[real](&twin.dz_rows, 0, i, NULL), twin.dz_rows.stride, <const real*>NULL, of_twin, w)
                    add(mr * w, dw + t * w, of_twin)
                t += mr
                asked += share
            if contracts:
                contract_weights[real](p, step, samples, o, rows, w, weight, layer.weight.stride, dw)
            if not descends:
                finite &= take(p, step, first, rows, w, weight, layer.weight.stride, velocity, square,
                               at[real](&layer.gradient, o, i, NULL), layer.gradient.stride, dw, w,
                               layer.weight_at + o * layer.n_in + i, layer.n_in, n)
            o += rows
        i += w
    return finite


cdef void contract_weights(const Training* p, const Step* step, Py_ssize_t samples, Py_ssize_t o, Py_ssize_t mr, Py_ssize_t w,
                           const real* weight, Py_ssize_t ld, real* dw) noexcept nogil:
    """The part of the penalty contractive in the gradient of some weights."""
    cdef Py_ssize_t r, j
    cdef real totals[LEARN_TILES * MR]
    add_rows(mr, samples, at[real](&p.squares, o, 0, NULL), p.squares.stride, totals)
    for r in range(mr):
        totals[r] = totals[r] * <real>(2 * step.factor * p.contractive / step.rows)
        for j in range(w):
            dw[r * w + j] = dw[r * w + j] + totals[r] * weight[r * ld + j]


cdef bint learn_biases(const Training* p, const Step* step, const Rectangle* q, Py_ssize_t samples, bint few, bint first,
                       real* db) noexcept nogil:
    """The same of the biases of a rectangle's outputs: the gradient is the sum of dz over the batch."""
    cdef const Layer* layer = layer_of(p, q, step.divided)
    cdef Py_ssize_t n = q.o1 - q.o0
    if few:
        sum_rows(samples, padded[real](n, NULL), at[real](&layer.dz_rows, 0, q.o0, NULL), layer.dz_rows.stride, db)
    else:
        add_rows(n, samples, at[real](&layer.dz, q.o0, 0, NULL), layer.dz.stride, db)
    return take(p, step, first, 1, n, <real*>layer.bias + q.o0, 0, <real*>layer.bias_velocity + q.o0,
                <real*>layer.bias_square + q.o0, <real*>layer.bias_gradient + q.o0, 0, db, 0, layer.bias_at + q.o0, 0, n)


cdef bint learn(const Training* p, const Step* step, Py_ssize_t samples, bint few, bint first, Py_ssize_t q0, Py_ssize_t q1,
                real* dw) noexcept nogil:
    """Phase 2 of some rectangles; whether all weights are finite after it. first: the step's first batch."""
    cdef Py_ssize_t n, o
    cdef const Rectangle* q
    cdef const Layer* layer
    cdef bint finite = True
    for n in range(q0, q1):
        q = &p.rectangles[n]
        layer = layer_of(p, q, step.divided)
        if p.sparse and q.layer == 0:
            pass                        # sparse_learn
        elif layer.across == 1:
            finite &= learn_weights(p, step, q, samples, few, first, dw)
        elif p.gradients != NULL:
            for o in range(q.o0, q.o1):
                memset(<real*>p.gradients + layer.weight_at + o * layer.n_in + q.i0, 0, (q.i1 - q.i0) * sizeof(real))
        if q.i0 == 0 and layer.bias_at >= 0:
            finite &= learn_biases(p, step, q, samples, few, first, dw)
    return finite


# ---- a gradient that is whole before it is used ----

cdef void measure(const Training* p, const Step* step, Py_ssize_t q0, Py_ssize_t q1, real* _) noexcept nogil:
    """The sums of squares of some rectangles of gradient."""
    cdef Py_ssize_t n, o
    cdef double* norm
    cdef const Rectangle* q
    cdef const Layer* layer
    for n in range(q0, q1):
        q = &p.rectangles[n]
        layer = layer_of(p, q, step.divided)
        norm = &p.norms[q.place]
        norm[0] = 0
        for o in range(q.o0, q.o1 if layer.across == 1 else q.o0):
            norm[0] += square_sum(q.i1 - q.i0, at[real](&layer.gradient, o, q.i0, NULL))
        if q.i0 == 0 and layer.bias_at >= 0:
            norm[0] += square_sum(q.o1 - q.o0, <real*>layer.bias_gradient + q.o0)


cdef double clip_factor(const Training* p) noexcept nogil:
    """By which the gradient is multiplied, so that its norm is not above the bound; as PyTorch does it."""
    cdef double total = 0
    cdef Py_ssize_t n
    for n in range(p.n_rectangles):
        total += p.norms[n]
    return min(1.0, p.clip_norm / (sqrt(total) + 1e-6))


cdef bint apply(const Training* p, const Step* step, Py_ssize_t q0, Py_ssize_t q1, real* _) noexcept nogil:
    """The update of some rectangles from the whole gradient; whether all weights are finite after it."""
    cdef Py_ssize_t n, rows, columns
    cdef const Rectangle* q
    cdef const Layer* layer
    cdef bint finite = True, clips = step.rule.factor != 1 or step.rule.bound < HUGE_VAL
    cdef real* gradient
    for n in range(q0, q1):
        q = &p.rectangles[n]
        layer = layer_of(p, q, step.divided)
        if layer.across == 1:
            gradient, rows, columns = at[real](&layer.gradient, q.o0, q.i0, NULL), q.o1 - q.o0, q.i1 - q.i0
            if clips:
                clip_rows(&step.rule, rows, columns, gradient, layer.gradient.stride)
            finite &= update_rows(&step.rule, rows, columns, at[real](&layer.weight, q.o0, q.i0, NULL), layer.weight.stride,
                                  at[real](&layer.velocity, q.o0, q.i0, NULL), at[real](&layer.square, q.o0, q.i0, NULL),
                                  gradient, layer.gradient.stride)
        if q.i0 == 0 and layer.bias_at >= 0:
            gradient = <real*>layer.bias_gradient + q.o0
            if clips:
                clip_rows(&step.rule, 1, q.o1 - q.o0, gradient, 0)
            finite &= update_rows(&step.rule, 1, q.o1 - q.o0, <real*>layer.bias + q.o0, 0, <real*>layer.bias_velocity + q.o0,
                                  <real*>layer.bias_square + q.o0, gradient, 0)
    return finite
