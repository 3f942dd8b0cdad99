# C = epilogue(op(A) op(B)): the five loops around the register tile (Goto and van de Geijn, "Anatomy of high-performance
# matrix multiplication", ACM TOMS 34(3), 2008; names of the loops as in BLIS).
#
# Columns of C are divided among the members of a team, or rows where columns are few, as products of their own: each packs
# its own B, since a line that another core has just written comes as slowly as one from memory. Every element of C is a sum
# over k in ascending order within blocks of KC, each block starting from zero, then added to the blocks before: the order
# depends neither on the threads nor on M and N. Fewer rows than MANY, where packing would outweigh the product, are left to
# dots.h.

cdef extern from "engine.h" nogil:
    enum: MR
    enum: NV
    enum: VECTOR_BYTES
    enum: IDENTITY
    enum: SIGMOID
    enum: SOFTPLUS
    enum: TILE_ELEMENTS
    enum: LEARN_TILES
    enum: AHEAD                         # tile.h
    bint tile_f32(int mr, int nv, Py_ssize_t kc, const float* a, Py_ssize_t rs, Py_ssize_t cs, const float* b, Py_ssize_t ldb,
                  const float* start, float* out, Py_ssize_t ldo, const float* rate, const void* ahead, Py_ssize_t stride)
    bint tile_f64(int mr, int nv, Py_ssize_t kc, const double* a, Py_ssize_t rs, Py_ssize_t cs, const double* b, Py_ssize_t ldb,
                  const double* start, double* out, Py_ssize_t ldo, const double* rate, const void* ahead, Py_ssize_t stride)
    const float adds_f32[1]             # a rate
    const double adds_f64[1]
    void prefetch(const void* p)
    void prefetch_write(const void* p)
    void transpose_f32(const float* source, Py_ssize_t lds, float* target, Py_ssize_t ldt)
    void transpose_f64(const double* source, Py_ssize_t lds, double* target, Py_ssize_t ldt)
    void transpose_narrow_f32(const float* source, Py_ssize_t lds, float* target, Py_ssize_t ldt)
    void transpose_narrow_f64(const double* source, Py_ssize_t lds, double* target, Py_ssize_t ldt)
    void transpose_low_f32(const float* source, Py_ssize_t lds, float* target, Py_ssize_t ldt)
    void transpose_low_f64(const double* source, Py_ssize_t lds, double* target, Py_ssize_t ldt)


cdef enum:
    MANY = 16                       # rows from which products are made of tiles: a vector of float32 with AVX-512

cdef struct Gemm:
    bint is_double
    Py_ssize_t M, N, K
    const void* A           # (M, K): element (i, k) at A[i*rsa + k*csa]
    Py_ssize_t rsa, csa
    const void* B           # (K, N): element (k, j) at B[k*rsb + j*csb]
    Py_ssize_t rsb, csb
    void* C                 # (M, N): element (i, j) at C[i*ldc + j]
    Py_ssize_t ldc
    double alpha, beta      # C = f((alpha A B + beta C + bias)) * f'(kept), whichever of these are asked for
    const void* bias        # (N,) or NULL
    int activation
    void* keep              # (M, N), ldc: receives what f is applied to, or NULL
    const void* kept        # (M, N), ldc: activation's derivative at kept multiplies C instead of f; or NULL
    void* workspace         # of workspace_bytes()


# In float32 with AVX-512: a panel of B, 96 KB, meets one tile of A, MR x KC, 16 KB, after another: both come from L2 at some
# 9 bytes a cycle, which L2 gives easily. A block of A, MC x KC, is 288 KB, with smaller vectors 192 KB, as processors that have
# no more tend to have an L2 of 512 KB or less; a member's block of B, KC x NC, at most 4 MB, comes from L3 once for each block
# of A, a panel ahead of its use. A panel is packed when the first block of A meets it, and so are tiles of A when they meet the
# first panel: it stays in L1, and its source is asked for while the panel before is in use. For float64 the blocks and the tile
# of A are twice as large. MC is a multiple of every MR, NC of every NR.
cdef Py_ssize_t MC = 144 if VECTOR_BYTES == 64 else 96, KC = 512, NC = 2016


cdef inline bint tile(int mr, int nv, Py_ssize_t kc, const real* a, Py_ssize_t rs, Py_ssize_t cs, const real* b, Py_ssize_t ldb,
                      const real* start, real* out, Py_ssize_t ldo, const real* rate=NULL, const void* ahead=NULL,
                      Py_ssize_t stride=0) noexcept nogil:
    if real is float:
        return tile_f32(mr, nv, kc, a, rs, cs, b, ldb, start, out, ldo, rate, ahead, stride)
    else:
        return tile_f64(mr, nv, kc, a, rs, cs, b, ldb, start, out, ldo, rate, ahead, stride)


cdef inline const real* added(bint more, real* _) noexcept nogil:
    """A tile's rate, where its sums are added to what there is; else there is none."""
    if not more:
        return NULL
    if real is float:
        return adds_f32
    else:
        return adds_f64


cdef inline Gemm product(bint is_double, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, void* workspace) noexcept nogil:
    """A plain product, its operands and epilogue still to be filled in."""
    cdef Gemm g
    memset(&g, 0, sizeof(g))
    g.is_double, g.M, g.N, g.K, g.alpha, g.workspace = is_double, M, N, K, 1, workspace
    return g


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline int vector_lanes(real* _) noexcept nogil:
    return VECTOR_BYTES // sizeof(real)


cdef Py_ssize_t workspace_bytes(const Gemm* g) noexcept nogil:
    cdef Py_ssize_t nr = NV * VECTOR_BYTES // (8 if g.is_double else 4)
    cdef Py_ssize_t kc = min(KC, g.K), a_rows = min(MC, g.M) + MR, b_columns = min(NC, g.N) + nr
    return (a_rows * (kc + 32) + b_columns * kc) * (8 if g.is_double else 4) + 2 * 64


cdef inline void transpose(const real* source, Py_ssize_t lds, real* target, Py_ssize_t ldt) noexcept nogil:
    if real is float:
        transpose_f32(source, lds, target, ldt)
    else:
        transpose_f64(source, lds, target, ldt)


cdef inline void transpose_narrow(const real* source, Py_ssize_t lds, real* target, Py_ssize_t ldt) noexcept nogil:
    if real is float:
        transpose_narrow_f32(source, lds, target, ldt)
    else:
        transpose_narrow_f64(source, lds, target, ldt)


cdef inline void transpose_low(const real* source, Py_ssize_t lds, real* target, Py_ssize_t ldt) noexcept nogil:
    if real is float:
        transpose_low_f32(source, lds, target, ldt)
    else:
        transpose_low_f64(source, lds, target, ldt)


cdef inline void transpose_edge(const real* source, Py_ssize_t lds, real* target, Py_ssize_t ldt, Py_ssize_t m,
                                Py_ssize_t n) noexcept nogil:
    """target[j, i] := source[i, j] for i < m, j < n."""
    cdef Py_ssize_t i, j
    for i in range(m):
        for j in range(n):
            target[j * ldt + i] = source[i * lds + j]


cdef inline Py_ssize_t odd_lines(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """Elements of a size from row to row of n: an odd number of lines, lest columns crowd into few sets of caches."""
    return (ceil_div(n * size, 64) | 1) * (64 // size)


cdef void pack_a(real* packed, const real* A, Py_ssize_t rs, Py_ssize_t cs, int mr, Py_ssize_t kc) noexcept nogil:
    """A[:mr, :kc] for a tile: rows as they are, odd_lines apart; or columns, as [kc][MR]."""
    cdef Py_ssize_t i, k
    if cs == 1:
        for i in range(mr):
            memcpy(packed + i * odd_lines(kc, sizeof(real)), A + i * rs, kc * sizeof(real))
    elif rs == 1:
        for k in range(kc):
            for i in range(mr):
                packed[k * MR + i] = A[i + k * cs]
    else:
        for i in range(mr):
            for k in range(kc):
                packed[k * MR + i] = A[i * rs + k * cs]


cdef void pack_b(real* panel, const real* B, Py_ssize_t rs, Py_ssize_t cs, Py_ssize_t kc, Py_ssize_t nr) noexcept nogil:
    """B[:kc, :nr] as a panel, [kc][NR], filled up with zeros to a whole vector."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), NR = NV * lanes, j, k, s
    if cs == 1:
        for k in range(kc):
            copy_padded(nr, panel + k * NR, B + k * rs)
        return
    if nr < NR:
        memset(panel, 0, NR * kc * sizeof(real))
    if rs == 1:                                            # x W^T, W row-major
        for s in range(ceil_div(nr, lanes)):
            j = s * lanes
            k = 0
            if j + lanes <= nr:
                while k + lanes <= kc:
                    transpose(B + j * cs + k, cs, panel + k * NR + j, NR)
                    k += lanes
            transpose_edge(B + j * cs + k, cs, panel + k * NR + j, NR, min(lanes, nr - j), kc - k)
    else:
        for k in range(kc):
            for j in range(nr):
                panel[k * NR + j] = B[k * rs + j * cs]


cdef void store_tile(const Gemm* g, real* acc, Py_ssize_t i0, Py_ssize_t j0, int mr, Py_ssize_t nr,
                     bint first, bint last) noexcept nogil:
    """The epilogue: one tile of sums, still in L1, becomes C[i0:i0+mr, j0:j0+nr]."""
    cdef Py_ssize_t width = ceil_div(nr, vector_lanes[real](NULL)) * vector_lanes[real](NULL)
    cdef real alpha = <real>g.alpha, beta = <real>(g.beta if first else 1)
    cdef const real* bias = <const real*>g.bias
    cdef real* c
    cdef real* row
    cdef Py_ssize_t i, j, at
    for i in range(mr):
        at = (i0 + i) * g.ldc + j0
        c = <real*>g.C + at
        row = acc + i * width
        if alpha != 1:
            for j in range(nr):
                row[j] = alpha * row[j]
        if beta != 0:
            for j in range(nr):
                row[j] = row[j] + beta * c[j]
        if last and bias != NULL:
            for j in range(nr):
                row[j] = row[j] + bias[j0 + j]
        if last and g.keep != NULL:
            memcpy(<real*>g.keep + at, row, nr * sizeof(real))
        if not last:
            memcpy(c, row, nr * sizeof(real))
        elif g.kept != NULL:
            differentiate_rows(g.activation, 1, nr, <const real*>g.kept + at, 0, row, 0, c, 0)
        else:
            activate_rows(g.activation, 1, nr, row, 0, c, 0)


cdef inline const real* coming(const real* B, Py_ssize_t rs, Py_ssize_t cs, Py_ssize_t kc, Py_ssize_t q,
                               Py_ssize_t* stride) noexcept nogil:
    """What tile q of a panel asks for of the next panel's B[:kc, :NR], as tile.h says; NULL once all of it was asked for."""
    cdef Py_ssize_t NR = NV * vector_lanes[real](NULL), line = 64 // sizeof(real), lines = ceil_div(NR, line)
    cdef Py_ssize_t row = q // lines * (kc // AHEAD)
    stride[0] = (rs if cs == 1 else AHEAD) * sizeof(real)
    if cs == 1:                                         # a line of some rows, which need not begin with a line of the cache
        return B + row * rs + (q % lines + 1) * line - 1 if row < kc else <const real*>NULL
    return B + q * cs if rs == 1 and q < NR else <const real*>NULL


cdef void gemm(const Gemm* g, real* _) noexcept nogil:
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), NR = NV * lanes
    cdef Py_ssize_t m_blocks = ceil_div(g.M, MC), k_blocks = max(ceil_div(g.K, KC), 1), n_block, k_block, m_block
    cdef Py_ssize_t jc, pc, ic, nc, kc, mc, t, q, i, j, r, nr, rs, cs, lda, stride = 0
    cdef int mr, nv
    cdef real space[TILE_ELEMENTS + 64]
    cdef real* acc = <real*>align(space)
    cdef const real* A
    cdef const real* B
    cdef const real* a
    cdef const real* ahead
    cdef real* c
    cdef real* panel
    cdef real* packed_b = <real*>align(g.workspace)
    cdef real* packed_a
    # Where a block of A is used often it is copied: rows a power of two apart would share few sets of the caches. With
    # AVX-512, whose tiles read a third as much for each multiply-add, L2 is fast enough for rows in place.
    cdef bint in_place = g.N <= 4 * NR or (g.csa == 1 and VECTOR_BYTES == 64)
    cdef bint as_rows = in_place or g.csa == 1, last, plain
    cdef bint epilogue = g.bias != NULL or g.keep != NULL or g.kept != NULL or g.activation != IDENTITY
    for n_block in range(ceil_div(g.N, NC)):                                            # C[:, jc:jc+nc]
        jc = n_block * NC
        nc = min(NC, g.N - jc)
        for k_block in range(k_blocks):                                                 # += A[:, pc:pc+kc] B[pc:pc+kc, :]
            pc = k_block * KC
            kc = min(KC, g.K - pc)
            last = k_block == k_blocks - 1
            plain = g.alpha == 1 and g.beta == 0 and not (last and epilogue)
            lda = odd_lines(kc, sizeof(real))
            rs = g.rsa if in_place else lda if as_rows else 1
            cs = g.csa if in_place else 1 if as_rows else MR
            packed_a = <real*>align(packed_b + ceil_div(nc, NR) * NR * kc)
            for m_block in range(m_blocks):                                             # C[ic:ic+mc, jc:jc+nc]
                ic = m_block * MC
                mc = min(MC, g.M - ic)
                A = <const real*>g.A + ic * g.rsa + pc * g.csa
                for t in range(ceil_div(nc, NR)):                                       # C[ic:ic+mc, jc+j:+nr]
                    j = t * NR
                    nr = min(NR, nc - j)
                    nv = <int>ceil_div(nr, lanes)
                    B = <const real*>g.B + pc * g.rsb + (jc + j) * g.csb
                    panel = packed_b + j * kc
                    if m_block == 0:
                        pack_b(panel, B, g.rsb, g.csb, kc, nr)
                    for q in range(ceil_div(mc, MR)):                                   # C[ic+i:+mr, jc+j:+nr]
                        i = q * MR
                        mr = <int>min(MR, mc - i)
                        a = A + i * g.rsa
                        if not in_place:
                            a = packed_a + i * (lda if as_rows else kc)
                            if t == 0:
                                pack_a(<real*>a, A + i * g.rsa, g.rsa, g.csa, mr, kc)
                        c = <real*>g.C + (ic + i) * g.ldc + jc + j
                        for r in range(mr):                     # so that C comes meanwhile, wherever its lines begin
                            fetch(<char*>(c + r * g.ldc), nr * sizeof(real) + 63, True)
                        ahead = NULL
                        if j + NR < nc:
                            ahead = (coming(B + NR * g.csb, g.rsb, g.csb, kc, q, &stride) if m_block == 0 else
                                     coming(panel + NR * kc, NR, 1, kc, q, &stride))
                        if plain and nr == nv * lanes:
                            tile(mr, nv, kc, a, rs, cs, panel, NR, <const real*>NULL, c, g.ldc,
                                 added[real](k_block > 0, NULL), ahead, stride)
                        else:
                            tile(mr, nv, kc, a, rs, cs, panel, NR, <const real*>NULL, acc, nv * lanes, NULL, ahead, stride)
                            store_tile(g, acc, ic + i, jc + j, mr, nr, k_block == 0, last)


cdef void gemm_few(const Gemm* g, real* _) noexcept nogil:
    """f(A B + bias) for few rows of A, the rows of A and the columns of B in one piece each."""
    cdef real* z = <real*>(g.C if g.keep == NULL else g.keep)
    dots(g.M, g.N, g.K, <const real*>g.B, g.csb, <const real*>g.A, g.rsa, <const real*>g.bias, z, g.ldc)
    activate_rows(g.activation, g.M, g.N, z, g.ldc, <real*>g.C, g.ldc)


cdef inline void* after(const void* p, Py_ssize_t n, real* _) noexcept nogil:
    """p + n elements; NULL stays NULL."""
    return NULL if p == NULL else <void*>(<real*>p + n)


cdef void gemm_part(const Gemm* g, Team* team, int member, real* _) noexcept nogil:
    """A member's columns, or rows, as a product of its own."""
    cdef Py_ssize_t lanes = vector_lanes[real](NULL), vectors = ceil_div(g.N, lanes), tiles = ceil_div(g.M, MR)
    cdef Py_ssize_t i = 0, j = 0, at
    cdef Gemm own = g[0]
    if vectors >= NV * team.size or vectors > tiles:
        j = vectors * member // team.size * lanes
        own.N = min(vectors * (member + 1) // team.size * lanes, g.N) - j
    else:
        i = tiles * member // team.size * MR
        own.M = min(tiles * (member + 1) // team.size * MR, g.M) - i
    if own.M == 0 or own.N == 0:
        return
    at = i * g.ldc + j
    own.A, own.B, own.C = after[real](g.A, i * g.rsa, NULL), after[real](g.B, j * g.csb, NULL), after[real](g.C, at, NULL)
    own.bias, own.kept, own.keep = after[real](g.bias, j, NULL), after[real](g.kept, at, NULL), after[real](g.keep, at, NULL)
    own.workspace = <char*>g.workspace + member * workspace_bytes(g)
    if g.M < MANY and g.csa == 1 and g.rsb == 1 and g.alpha == 1 and g.beta == 0 and g.kept == NULL:
        gemm_few[real](&own, NULL)
    else:
        gemm[real](&own, NULL)


cdef void gemm_team(void* job, Team* team, int member) noexcept nogil:
    cdef const Gemm* g = <const Gemm*>job
    if g.is_double:
        gemm_part[double](g, team, member, NULL)
    else:
        gemm_part[float](g, team, member, NULL)
