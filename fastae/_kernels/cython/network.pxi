# Samples on their way through a network: what training and inference share.
#
# Weights are read where they lie, row by row, as the register tile's A; nothing is packed. Samples come in two layouts.
#   MANY samples or more: a feature a row, samples side by side in the lanes of vectors, so that no width wastes a lane and
#          each product reads as B what the one before has stored. Samples are divided among the members of a team, up to
#          BLOCK_SAMPLES at a time, so that they stay in L2 through all layers: no sample needs another.
#   fewer: a sample a row, features in the lanes. Outputs are divided among the members, which meet after each layer.

cdef enum:
    BLOCK_SAMPLES = 96              # a multiple of every NR
    BLOCK_BYTES = 393216            # of a layer's block: 96 samples of 1024 float32; beside it weights stream through L2
    LINE = 16                       # samples at which members' parts are cut: a line of the cache, so that no two write to one

cdef struct Source:                 # a matrix of samples, as the caller has it
    const char* data
    Py_ssize_t row_stride, column_stride    # bytes
    Py_ssize_t row_bytes            # to fetch ahead: of a row in one piece, else 0
    int typenum                     # float32, float64, or uint8, which counts as 0 to 1
    const char* indices             # of a sparse one (CSR): the columns of what stands in data, and where rows begin; else NULL
    const char* starts
    bint wide                       # both are int64, else int32

cdef inline real* at(const Matrix* m, Py_ssize_t row, Py_ssize_t column, real* _) noexcept nogil:
    return <real*>m.data + row * m.stride + column


cdef inline real* weight_of(const Layer* layer, Py_ssize_t o, Py_ssize_t i, real* _) noexcept nogil:
    return <real*>layer.weight.data + o * layer.down + i * layer.across


cdef inline Py_ssize_t padded(Py_ssize_t n, real* _) noexcept nogil:
    """n, up to whole vectors."""
    return ceil_div(n, vector_lanes[real](NULL)) * vector_lanes[real](NULL)


cdef inline void part(Py_ssize_t n, Team* team, int member, Py_ssize_t* first, Py_ssize_t* last) noexcept nogil:
    """A member's part of n, cut at multiples of LINE."""
    cdef Py_ssize_t lines = ceil_div(n, LINE)
    first[0] = min(n, lines * member // team.size * LINE)
    last[0] = min(n, lines * (member + 1) // team.size * LINE)


cdef inline Py_ssize_t block_samples(Py_ssize_t samples, Py_ssize_t widest, real* _) noexcept nogil:
    """Samples of a block, of so many samples and layers so wide; the blocks are nearly equal."""
    cdef Py_ssize_t most = min(BLOCK_SAMPLES, BLOCK_BYTES // (widest * <Py_ssize_t>sizeof(real)) // LINE * LINE)
    if most < 2 * LINE:                 # too wide for L2 in any case: let weights come from memory less often
        most = BLOCK_SAMPLES
    return ceil_div(ceil_div(samples, max(ceil_div(samples, most), 1)), LINE) * LINE


cdef inline Py_ssize_t panel(Py_ssize_t first, Py_ssize_t last, real* _) noexcept nogil:
    """Columns of the next panel of first .. last: at most NR, and none a vector wide that the one before could have shared.

    Without a division: a tile waits for this."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), vectors = (last - first + lanes - 1) // lanes
    return (vectors if vectors <= NV else (NV + 2) // 2 if vectors == NV + 1 else NV) * lanes


cdef inline void meet(Team* team) noexcept nogil:
    """A barrier; free of cost for one who is alone."""
    if team.size > 1:
        sync(team)


cdef void convert_row(const Source* s, const char* p, Py_ssize_t n, real* out) noexcept nogil:
    cdef Py_ssize_t j, step = s.column_stride
    if s.typenum == cnp.NPY_UINT8 and step == 1:        # which vectors can do
        for j in range(n):
            out[j] = (<const unsigned char*>p)[j] * <real>(1.0 / 255)
    elif s.typenum == cnp.NPY_UINT8:
        for j in range(n):
            out[j] = (<const unsigned char*>(p + j * step))[0] * <real>(1.0 / 255)
    elif s.typenum == cnp.NPY_FLOAT32:
        for j in range(n):
            out[j] = <real>(<const float*>(p + j * step))[0]
    else:
        for j in range(n):
            out[j] = <real>(<const double*>(p + j * step))[0]


cdef inline Py_ssize_t begins(const Source* s, Py_ssize_t row) noexcept nogil:
    return (<const cnp.int64_t*>s.starts)[row] if s.wide else (<const cnp.int32_t*>s.starts)[row]


cdef inline Py_ssize_t column_of(const Source* s, Py_ssize_t k) noexcept nogil:
    return (<const cnp.int64_t*>s.indices)[k] if s.wide else (<const cnp.int32_t*>s.indices)[k]


cdef inline real value_at(const Source* s, Py_ssize_t k, real* _) noexcept nogil:
    if s.typenum == cnp.NPY_UINT8:
        return (<const unsigned char*>s.data)[k] * <real>(1.0 / 255)
    return <real>((<const float*>s.data)[k] if s.typenum == cnp.NPY_FLOAT32 else (<const double*>s.data)[k])


cdef void scatter_row(const Source* s, Py_ssize_t row, Py_ssize_t n, real* out) noexcept nogil:
    """A row of a sparse source; what stands there twice is added."""
    cdef Py_ssize_t k
    memset(out, 0, n * sizeof(real))
    for k in range(begins(s, row), begins(s, row + 1)):
        out[column_of(s, k)] = out[column_of(s, k)] + value_at[real](s, k, NULL)


cdef inline bint is_plain_source(const Source* s, real* _) noexcept nogil:
    """Whether rows need no conversion."""
    cdef int typenum = cnp.NPY_FLOAT64
    if real is float:
        typenum = cnp.NPY_FLOAT32
    return s.indices == NULL and s.column_stride == sizeof(real) and s.typenum == typenum


cdef inline void gather_row(const Source* s, Py_ssize_t row, Py_ssize_t n, real* out) noexcept nogil:
    """A row of the source; where it needs no conversion, filled up with zeros to whole vectors."""
    cdef const char* p = s.data + row * s.row_stride
    if s.indices != NULL:
        scatter_row(s, row, n, out)
    elif is_plain_source[real](s, NULL):
        copy_padded(n, out, <const real*>p)
    else:
        convert_row(s, p, n, out)


cdef inline void fetch(const char* p, Py_ssize_t bytes, bint write) noexcept nogil:
    """Asks for cache lines ahead of their use."""
    cdef Py_ssize_t i
    for i in range(0, bytes, 64):
        if write:
            prefetch_write(p + i)
        else:
            prefetch(p + i)


cdef inline void turn_square(Py_ssize_t rows, Py_ssize_t columns, const real* source, Py_ssize_t lds, real* target,
                             Py_ssize_t ldt) noexcept nogil:
    """A square of lanes, of which rows and columns beyond these do not count, nor are columns written that are all beyond.
    Half a square saves time where vectors are long."""
    cdef Py_ssize_t half = vector_lanes[real](NULL) // 2
    if VECTOR_BYTES == 64 and columns <= half:
        transpose_narrow(source, lds, target, ldt)
    elif VECTOR_BYTES == 64 and rows <= half:
        transpose_low(source, lds, target, ldt)
    else:
        transpose(source, lds, target, ldt)


cdef void turn(Py_ssize_t rows, Py_ssize_t columns, const real* source, Py_ssize_t lds, real* target,
               Py_ssize_t ldt) noexcept nogil:
    """target[c, r] := source[r, c], in whole squares of lanes; along the target's rows, a line of some of them at a time, while
    the next ones are asked for: stores wait in order, each for a line that is far away."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), line = 64 // sizeof(real), first = 0, last, top, end, r, c
    cdef bint far = rows * columns > L1_WEIGHTS
    while first < columns:                                  # target[first:last, top:end]
        last, top = min(first + line, columns), 0
        while top < rows:
            end = min(top + line, rows)
            c, r = first if end < rows else last, end if end < rows else 0
            for c in range(c, min(c + line, columns) if far else c):
                prefetch_write(target + c * ldt + r)
            c = first
            while c < last:
                r = top
                while r < end:
                    turn_square(rows - r, columns - c, source + r * lds + c, lds, target + c * ldt + r, ldt)
                    r += lanes
                c += lanes
            top = end
        first = last


cdef inline Py_ssize_t halfway(Py_ssize_t n) noexcept nogil:
    """Where n features are cut in two, whose sums are added in the end, so that two members can divide them; n where they are
    too few or too many for that."""
    return ceil_div(n, 2 * LINE) * LINE if KC < n <= 2 * KC else n


cdef void sum_tile(int mr, int nv, Py_ssize_t K, const real* a, Py_ssize_t rs, Py_ssize_t cs, const real* b, Py_ssize_t ldb,
                   const real* start, real* out, Py_ssize_t ldo, const real* ahead=NULL, Py_ssize_t stride=0) noexcept nogil:
    """A tile over all of k: two halves, or block by block of KC, added up in order; all but the first start from zero.

    ahead: what is asked for meanwhile, as tile.h says, stride elements apart."""
    cdef Py_ssize_t size = min(halfway(K), KC), k = size, bytes = stride * sizeof(real)
    tile(mr, nv, size, a, rs, cs, b, ldb, start, out, ldo, NULL, ahead, bytes)
    while k < K:
        if ahead != NULL:
            ahead += size // AHEAD * stride
        tile(mr, nv, min(K - k, size), a + k * cs, rs, cs, b + k * ldb, ldb, NULL, out, ldo, added[real](True, NULL), ahead,
             bytes)
        k += size


cdef void forward(const Layer* layer, Py_ssize_t o0, Py_ssize_t o1, Py_ssize_t samples, int activation,
                  real* _) noexcept nogil:
    """value := f(W x + b) for some outputs of a block of samples, f the layer's activation, or identity.

    A tile of weights meets all of them while it is in L1, and meanwhile the next one's rows are asked for: prefetchers have to
    find each row's beginning anew."""
    cdef Py_ssize_t o = o0, s, w, line = 64 // sizeof(real), lines, asked
    cdef Py_ssize_t share = ceil_div(MR * layer.down // line, ceil_div(samples, NV * vector_lanes[real](NULL)))
    cdef const real* ahead
    cdef int mr
    while o < o1:
        mr = <int>min(MR, o1 - o)
        lines = min(MR, layer.n_out - o - mr) * layer.down // line if layer.across == 1 else 0
        s = asked = 0
        while s < samples:
            w = panel[real](s, samples, NULL)
            ahead = NULL
            if asked < lines:
                ahead = weight_of[real](layer, o + mr, 0, NULL) + asked * line
            sum_tile(mr, <int>(w // vector_lanes[real](NULL)), layer.n_in, weight_of[real](layer, o, 0, NULL), layer.down,
                     layer.across, at[real](&layer.x, 0, s, NULL), layer.x.stride, <const real*>layer.bias + o,
                     at[real](&layer.kept, o, s, NULL), layer.kept.stride, ahead, line)
            s += w
            asked += share
        activate_rows(activation, mr, samples, at[real](&layer.kept, o, 0, NULL), layer.kept.stride,
                      at[real](&layer.value, o, 0, NULL), layer.value.stride)
        o += mr


cdef void forward_few(const Layer* layer, Py_ssize_t samples, Py_ssize_t o0, Py_ssize_t o1, real* _) noexcept nogil:
    """y := f(x W^T + b) for some outputs of few samples."""
    cdef real* z = at[real](&layer.kept_rows, 0, o0, NULL)
    dots(samples, o1 - o0, layer.n_in, at[real](&layer.weight, o0, 0, NULL), layer.weight.stride,
         at[real](&layer.x_rows, 0, 0, NULL), layer.x_rows.stride, <const real*>layer.bias + o0, z, layer.kept_rows.stride)
    activate_rows(layer.activation, samples, o1 - o0, z, layer.kept_rows.stride, at[real](&layer.y_rows, 0, o0, NULL),
                  layer.y_rows.stride)


cdef Source source_of(a, Py_ssize_t* rows, Py_ssize_t* width) except *:
    """A matrix, or a sparse one with the attributes of scipy's CSR, and its shape."""
    cdef Source s
    cdef cnp.ndarray data
    if hasattr(a, "indptr"):
        return sparse_source(a, rows, width)
    if not isinstance(a, cnp.ndarray):
        raise TypeError(f"a matrix of float32, float64 or uint8 is needed, got {type(a).__name__}")
    data = a
    if cnp.PyArray_NDIM(data) != 2 or cnp.PyArray_TYPE(data) not in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64, cnp.NPY_UINT8):
        raise TypeError(f"a matrix of float32, float64 or uint8 is needed, got {a.dtype} {a.shape}")
    if not cnp.PyArray_ISALIGNED(data) or not cnp.PyArray_ISNOTSWAPPED(data):
        raise ValueError("an aligned array of native byte order is needed")
    rows[0], width[0] = cnp.PyArray_DIM(data, 0), cnp.PyArray_DIM(data, 1)
    s.data = <const char*>cnp.PyArray_DATA(data)
    s.row_stride, s.column_stride = cnp.PyArray_STRIDE(data, 0), cnp.PyArray_STRIDE(data, 1)
    s.typenum = cnp.PyArray_TYPE(data)
    s.row_bytes = width[0] * s.column_stride if s.column_stride == cnp.PyArray_ITEMSIZE(data) else 0
    s.indices = s.starts = NULL
    s.wide = False
    return s


cdef Source sparse_source(a, Py_ssize_t* rows, Py_ssize_t* width) except *:
    cdef Source s
    cdef cnp.ndarray data = a.data, indices = a.indices, starts = a.indptr
    rows[0], width[0] = a.shape
    for array in (data, indices, starts):
        if array.ndim != 1 or not (array.flags.c_contiguous and array.flags.aligned):
            raise ValueError("a CSR matrix of contiguous vectors is needed")
    if cnp.PyArray_TYPE(data) not in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64, cnp.NPY_UINT8):
        raise TypeError(f"a CSR matrix of float32, float64 or uint8 is needed, got {a.dtype}")
    if indices.dtype != starts.dtype or indices.dtype not in (np.int32, np.int64):
        raise TypeError(f"a CSR matrix with indices of int32 or int64 is needed, got {indices.dtype} and {starts.dtype}")
    if len(starts) != rows[0] + 1 or starts[0] != 0 or starts[len(starts) - 1] > len(indices) or len(data) < len(indices):
        raise ValueError("a CSR matrix whose indptr fits its shape and data is needed")
    if (np.diff(starts) < 0).any() or len(indices) and not 0 <= indices.min() <= indices.max() < width[0]:
        raise IndexError("a CSR matrix has rows or columns that it should not have")
    s.data, s.indices = <const char*>cnp.PyArray_DATA(data), <const char*>cnp.PyArray_DATA(indices)
    s.starts, s.wide = <const char*>cnp.PyArray_DATA(starts), indices.dtype == np.int64
    s.typenum = cnp.PyArray_TYPE(data)
    s.row_stride = s.column_stride = s.row_bytes = 0
    return s


cdef int check_chain(layers) except -1:
    if not layers or any(a[1] != b[0] for a, b in zip(layers, layers[1:])):
        raise ValueError(f"layers must chain from features in to features out, got {layers}")
    return 0


cdef int check_total(Py_ssize_t held, Py_ssize_t P) except -1:
    if held != P:
        raise ValueError(f"the layers hold {held} weights and biases, the flat array {P}")
    return 0
