# Inference: samples through all layers, the parameters read where they lie in the caller's flat array, nothing kept. Each
# member of a team takes its samples, a block at a time, through all layers without meeting the others; few samples go as
# network.pxi says.

cdef struct Passage:
    bint is_double
    int n_layers
    Py_ssize_t samples, widest
    const Layer* layers
    Source x
    char* out                       # (samples, n_out), C-contiguous
    char* workspace                 # inference_bytes() for each member
    bint* finite                    # of each member's samples


cdef Py_ssize_t block_stride(Py_ssize_t samples, int n_threads, Py_ssize_t size) noexcept nogil:
    """Elements between features of a block."""
    cdef Py_ssize_t lines = ceil_div(samples, LINE)
    return odd_lines(min(ceil_div(lines, n_threads) * LINE, BLOCK_SAMPLES), size)


cdef Py_ssize_t inference_bytes(const Passage* p, int n_threads) noexcept nogil:
    """Of two blocks of columns and a square to turn; or of rows, of which few samples need two times MANY."""
    cdef Py_ssize_t size = 8 if p.is_double else 4, columns = 2 * block_stride(p.samples, n_threads, size) + LINE
    return (p.widest + LINE) * max(columns, 2 * MANY if p.samples < MANY else 0) * size + 64


cdef bint as_needed(const Source* x, real* _) noexcept nogil:
    """Whether rows can be read where they lie: numbers of the network's type, side by side."""
    cdef bint same = x.typenum == (cnp.NPY_FLOAT64 if sizeof(real) == 8 else cnp.NPY_FLOAT32)
    return same and x.indices == NULL and x.column_stride == sizeof(real) and x.row_stride % <Py_ssize_t>sizeof(real) == 0


cdef void load_block(const Passage* p, Py_ssize_t first, Py_ssize_t n, const Matrix* x, real* square) noexcept nogil:
    """n samples, from the first on, as columns; those beyond, up to whole vectors, are zero."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), size = sizeof(real), n_in = p.layers[0].n_in, s = 0, f, r
    cdef bint in_place = as_needed[real](&p.x, NULL)
    cdef Source corner = p.x
    while s < n:
        f = 0
        while f < n_in:
            corner.data = p.x.data + (first + s) * p.x.row_stride + f * p.x.column_stride
            if in_place and s + lanes <= n and f + lanes <= n_in:
                transpose(<const real*>corner.data, corner.row_stride // size, at[real](x, f, s, NULL), x.stride)
            else:
                memset(square, 0, lanes * lanes * size)
                for r in range(min(lanes, n - s)):
                    gather_row(&corner, r, min(lanes, n_in - f), square + r * lanes)
                transpose(square, lanes, at[real](x, f, s, NULL), x.stride)
            f += lanes
        s += lanes


cdef void load_sparse(const Passage* p, Py_ssize_t first, Py_ssize_t n, const Matrix* x, real* _) noexcept nogil:
    """The same of samples of a sparse matrix."""
    cdef Py_ssize_t f, s, k
    cdef real* place
    for f in range(p.layers[0].n_in):
        memset(at[real](x, f, 0, NULL), 0, padded[real](n, NULL) * sizeof(real))
    for s in range(n):
        for k in range(begins(&p.x, first + s), begins(&p.x, first + s + 1)):
            place = at[real](x, column_of(&p.x, k), s, NULL)
            place[0] = place[0] + value_at[real](&p.x, k, NULL)


cdef void store_block(const Passage* p, Py_ssize_t first, Py_ssize_t n, const Matrix* y, real* square) noexcept nogil:
    """n samples' outputs, from columns to the caller's rows."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), n_out = p.layers[p.n_layers - 1].n_out, s = 0, f, r
    cdef real* out
    while s < n:
        f = 0
        while f < n_out:
            out = <real*>p.out + (first + s) * n_out + f
            if s + lanes <= n and f + lanes <= n_out:
                transpose(at[real](y, f, s, NULL), y.stride, out, n_out)
            else:
                transpose(at[real](y, f, s, NULL), y.stride, square, lanes)
                for r in range(min(lanes, n - s)):
                    copy(min(lanes, n_out - f), out + r * n_out, square + r * lanes)
            f += lanes
        s += lanes


cdef bint infer_many(const Passage* p, Team* team, int member, real* workspace) noexcept nogil:
    """A member's samples; whether all of them are finite."""
    cdef Py_ssize_t stride = block_stride(p.samples, team.size, sizeof(real)), s, s1, n, end, f, block
    cdef Matrix blocks[2]
    cdef Layer layer
    cdef real* square = workspace + 2 * (p.widest + LINE) * stride
    cdef bint finite = True
    cdef int l
    blocks[0] = Matrix(workspace, stride)
    blocks[1] = Matrix(workspace + (p.widest + LINE) * stride, stride)
    part(p.samples, team, member, &s, &s1)
    block = block_samples[real](s1 - s, p.widest, NULL)
    while s < s1:
        n = min(block, s1 - s)
        end = padded[real](n, NULL)
        if p.x.indices != NULL:
            load_sparse[real](p, s, n, &blocks[0], NULL)
        else:
            load_block(p, s, n, &blocks[0], square)
        for f in range(p.layers[0].n_in):
            finite &= all_finite(end, at[real](&blocks[0], f, 0, NULL))
        for l in range(p.n_layers):
            layer = p.layers[l]
            layer.x = blocks[l % 2]
            layer.y = layer.kept = layer.value = blocks[(l + 1) % 2]
            forward[real](&layer, 0, layer.n_out, end, layer.activation, NULL)
        store_block(p, s, n, &blocks[p.n_layers % 2], square)
        s += n
    return finite


cdef bint infer_few(const Passage* p, Team* team, int member, real* _) noexcept nogil:
    """Few samples; whether those that this member looks at, and gathers where that is needed, are finite."""
    cdef Py_ssize_t stride = p.widest + LINE, s, first, last
    cdef Matrix x = Matrix(<void*>p.x.data, p.x.row_stride // <Py_ssize_t>sizeof(real))
    cdef Matrix rows[2]
    cdef Layer layer
    cdef bint finite = True, in_place = as_needed[real](&p.x, NULL)
    cdef int l
    rows[0] = Matrix(align(p.workspace), stride)
    rows[1] = Matrix(<real*>rows[0].data + MANY * stride, stride)
    if not in_place:
        x = rows[0]
    for s in range(p.samples * member // team.size, p.samples * (member + 1) // team.size):
        if not in_place:
            gather_row(&p.x, s, p.layers[0].n_in, at[real](&x, s, 0, NULL))
        finite &= all_finite(p.layers[0].n_in, at[real](&x, s, 0, NULL))
    for l in range(p.n_layers):
        layer = p.layers[l]
        layer.x_rows, layer.y_rows = x if l == 0 else rows[l % 2], rows[(l + 1) % 2]
        if l == p.n_layers - 1:
            layer.y_rows = Matrix(p.out, layer.n_out)
        layer.kept_rows = layer.y_rows
        if l > 0 or not in_place:
            meet(team)
        part(layer.n_out, team, member, &first, &last)
        if last > first:
            forward_few[real](&layer, p.samples, first, last, NULL)
    return finite


cdef void infer_team(void* job, Team* team, int member) noexcept nogil:
    cdef Passage* p = <Passage*>job
    cdef void* workspace = align(p.workspace + member * inference_bytes(p, team.size))
    cdef uint64_t before = zero_subnormals()
    if p.is_double:
        p.finite[member] = (infer_few[double](p, team, member, NULL) if p.samples < MANY
                            else infer_many(p, team, member, <double*>workspace))
    else:
        p.finite[member] = (infer_few[float](p, team, member, NULL) if p.samples < MANY
                            else infer_many(p, team, member, <float*>workspace))
    set_float_mode(before)


cdef class Inference:
    """Forward passes of one network; the same as ``reference.Inference``, compiled. Safe to run in several threads at once."""
    cdef Layer* layers
    cdef int n_layers
    cdef bint is_double
    cdef Py_ssize_t widest, n_weights
    cdef object arrays                  # keeps the weights alive
    cdef Arena arena

    def __cinit__(self, layers, cnp.ndarray weights):
        cdef Py_ssize_t size, at = 0, P = len(weights), widest = 0
        cdef char* flat
        cdef void* zeros
        cdef Layer layer
        self.is_double = is_double(weights)
        size = 8 if self.is_double else 4
        flat = <char*>contiguous(weights, self.is_double, 1, P, 0)
        check_chain(layers)
        for n_in, n_out, _, _ in layers:
            widest = max(widest, n_in, n_out)
        self.arrays, self.widest, self.n_layers, self.n_weights = weights, widest, len(layers), P
        self.arena = Arena()
        self.arena.reserve(len(layers) * (sizeof(Layer) + 64) + widest * size + 64)
        self.layers = <Layer*>self.arena.take(len(layers) * sizeof(Layer))
        zeros = self.arena.take(widest * size)
        memset(&layer, 0, sizeof(layer))
        for l, (n_in, n_out, activation, has_bias) in enumerate(layers):
            layer.n_in, layer.n_out, layer.activation = n_in, n_out, check_activation(activation, self.is_double)
            layer.weight = Matrix(flat + at * size, n_in)
            layer.down, layer.across = n_in, 1
            at += n_in * n_out
            layer.bias = flat + at * size if has_bias else zeros
            at += n_out if has_bias else 0
            self.layers[l] = layer
        check_total(at, P)

    def run(self, x, cnp.ndarray out, int n_threads):
        """out := the network's output for x; whether all of x is finite."""
        cdef Passage p
        cdef Arena arena
        cdef bint finite[MAX_TEAM]
        p.is_double, p.n_layers, p.layers, p.widest = self.is_double, self.n_layers, self.layers, self.widest
        cdef Py_ssize_t width
        p.x = source_of(x, &p.samples, &width)
        if width != self.layers[0].n_in:
            raise ValueError(f"x of shape {x.shape} does not fit a network of {self.layers[0].n_in} inputs")
        p.out = <char*>writable(out, self.is_double, 2, p.samples, self.layers[self.n_layers - 1].n_out)
        p.finite = finite
        cdef double operations = 2.0 * self.n_weights * p.samples
        n_threads = team_size(AWAKE * operations, n_threads)
        if p.samples >= MANY:
            n_threads = min(n_threads, <int>min(ceil_div(p.samples, LINE), MAX_TEAM))
        for m in range(n_threads):
            finite[m] = True
        arena = spare.pop() if spare else Arena()
        arena.reserve(n_threads * inference_bytes(&p, 1))   # a team may turn out smaller
        p.workspace = arena.block
        with nogil:
            run_for(operations, n_threads, infer_team, &p)
        if len(spare) < 4:
            spare.append(arena)
        return all([finite[m] for m in range(n_threads)])
