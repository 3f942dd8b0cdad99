# The kernels of one instruction set: what _kernels/README.md promises, with arrays checked here and not again inside.
# Each instruction set's module includes this file; setup.py gives each its own -m, -DMR, -DNV and -DVECTOR_BYTES flags.

cimport numpy as cnp
from libc.math cimport HUGE_VAL, isfinite, log, pow, sqrt
from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset
from fastae._kernels.cython._runtime cimport (
    Team, TeamFunction, give_memory, run_small_team, run_team, seconds, sync, take_memory)

from time import perf_counter

import numpy as np

from fastae._kernels.names import NOISES, keeps_input
from fastae._kernels.recipe import check

cdef extern from "subnormal.h" nogil:
    uint64_t zero_subnormals()          # for this thread; the mode before
    void set_float_mode(uint64_t mode)

cnp.import_array()

ctypedef fused real:
    float
    double

include "arrays.pxi"
include "elementwise.pxi"
include "gemm.pxi"
include "network.pxi"
include "plan.pxi"
include "inference.pxi"
include "order.pxi"

BLOCKS = MC, KC, NC                 # for tests of their edges


def define(kind, int number, dtype, functions):
    """Learn an activation (its value and its slope) or a loss (its terms): addresses of C functions for a dtype."""
    cdef int first = OWN_ACTIVATION if kind == "activation" else OWN_LOSS, slot = VALUE if kind == "activation" else TERMS
    if not first <= number < first + MOST_OWN:
        raise IndexError(f"a function of the user's own has a number from {first} to {first + MOST_OWN - 1}, got {number}")
    for address in functions:
        own[slot][number - first][dtype.itemsize == 8] = <void*><uintptr_t>address
        slot += 1


def info():
    """What this backend runs on, for show_versions."""
    return f"{__name__.rpartition('.')[2]}, {VECTOR_BYTES}-byte vectors, {MR} x {NV * VECTOR_BYTES // 4} float32 tile"


cdef int run_product(Gemm* g, int n_threads) except -1:
    cdef Arena arena = spare.pop() if spare else Arena()
    cdef double operations = (2.0 * g.M + PACK_OPERATIONS) * g.N * g.K
    n_threads = team_size(AWAKE * operations, n_threads)
    arena.reserve(n_threads * workspace_bytes(g))
    g.workspace = arena.block
    with nogil:
        run_for(operations, n_threads, gemm_team, g)
    if len(spare) < 4:
        spare.append(arena)
    return 0


cdef int set_operands(Gemm* g, cnp.ndarray a, cnp.ndarray b) except -1:
    cdef Py_ssize_t size = 8 if g.is_double else 4
    g.A, g.B = checked(a, g.is_double, 2, g.M, g.K), checked(b, g.is_double, 2, g.K, g.N)
    g.rsa, g.csa = cnp.PyArray_STRIDE(a, 0) // size, cnp.PyArray_STRIDE(a, 1) // size
    g.rsb, g.csb = cnp.PyArray_STRIDE(b, 0) // size, cnp.PyArray_STRIDE(b, 1) // size
    return 0


cdef extern from "engine.h" nogil:
    float fma_chain_f32(Py_ssize_t rounds)
    enum: CHAIN_OPERATIONS


cdef void peak_team(void* job, Team* team, int member) noexcept nogil:
    (<float*>job)[16 * member] = fma_chain_f32(4000000)


def peak(int n_threads):
    """GFLOP/s of float32 multiply-adds from registers to registers: the best of some tries, on n_threads threads."""
    cdef float results[16 * MAX_TEAM]
    best = float("inf")
    for _ in range(15):
        start = perf_counter()
        with nogil:
            run_team(peak_team, results, n_threads)
        best = min(best, perf_counter() - start)
    return 4000000.0 * CHAIN_OPERATIONS * n_threads / best / 1e9


def matmul(cnp.ndarray a, cnp.ndarray b, cnp.ndarray c, double alpha, double beta, int n_threads):
    """C := alpha A B + beta C; a and b with any strides."""
    cdef Gemm g = product(is_double(c), len(c), columns(c), columns(a), NULL)
    set_operands(&g, a, b)
    g.C, g.ldc = writable(c, g.is_double, 2, g.M, g.N), g.N
    g.alpha, g.beta = alpha, beta
    run_product(&g, n_threads)


def linear(cnp.ndarray x, cnp.ndarray weight, bias, int activation, cnp.ndarray y, keep, int n_threads):
    """y := f(x W^T + b); keep, where it is not None, receives the argument of f."""
    cdef Gemm g = product(is_double(y), len(y), columns(y), columns(x), NULL)
    set_operands(&g, x, weight.T)
    g.C, g.ldc, g.activation = writable(y, g.is_double, 2, g.M, g.N), g.N, check_activation(activation, g.is_double)
    g.bias = NULL if bias is None else contiguous(bias, g.is_double, 1, g.N, 0)
    g.keep = NULL if keep is None else writable(keep, g.is_double, 2, g.M, g.N)
    run_product(&g, n_threads)


def linear_grad_input(cnp.ndarray dz, cnp.ndarray weight, int activation, kept, cnp.ndarray dx, int n_threads):
    """dx := (dz W) f'(kept), where f is the activation of the layer below, which made x."""
    cdef Gemm g = product(is_double(dx), len(dx), columns(dx), columns(dz), NULL)
    set_operands(&g, dz, weight)
    g.C, g.ldc, g.activation = writable(dx, g.is_double, 2, g.M, g.N), g.N, check_activation(activation, g.is_double)
    g.kept = NULL if activation == IDENTITY else contiguous(kept, g.is_double, 2, g.M, g.N)
    run_product(&g, n_threads)


cdef struct Columns:
    const void* a
    void* out
    Py_ssize_t rows, n
    bint is_double


cdef void columns_team(void* job, Team* team, int member) noexcept nogil:
    cdef Columns* c = <Columns*>job
    if c.is_double:
        sum_columns(<const double*>c.a, c.rows, c.n, <double*>c.out, team, member)
    else:
        sum_columns(<const float*>c.a, c.rows, c.n, <float*>c.out, team, member)


def linear_grad_weight(cnp.ndarray dz, cnp.ndarray x, cnp.ndarray dweight, dbias, int n_threads):
    """dW := dz^T x, db := the sum of dz over the batch (unless dbias is None)."""
    cdef Gemm g = product(is_double(dweight), len(dweight), columns(dweight), len(dz), NULL)
    cdef Columns c
    set_operands(&g, dz.T, x)
    g.C, g.ldc = writable(dweight, g.is_double, 2, g.M, g.N), g.N
    if dbias is not None:
        c = Columns(contiguous(dz, g.is_double, 2, g.K, g.M), vector(dbias, g.is_double, g.M), g.K, g.M, g.is_double)
        with nogil:
            run_for(4.0 * g.K * g.M, n_threads, columns_team, &c)
    run_product(&g, n_threads)


cdef struct Run:
    bint is_double
    int activation
    Py_ssize_t n
    const void* kept                # NULL: activate
    const void* source
    void* out


cdef inline void elements(const Run* r, Py_ssize_t i, Py_ssize_t end, real* _) noexcept nogil:
    if r.kept == NULL:
        activate_rows(r.activation, 1, end - i, <const real*>r.source + i, 0, <real*>r.out + i, 0)
    else:
        differentiate_rows(r.activation, 1, end - i, <const real*>r.kept + i, 0, <const real*>r.source + i, 0,
                           <real*>r.out + i, 0)


cdef void run_elements(const Run* r, Team* team, int member, real* _) noexcept nogil:
    """A member's elements, the first ones apart, so that vectors are then not written across two lines of the cache."""
    cdef Py_ssize_t i, end, whole
    share(r.n, team, member, &i, &end)
    whole = min(end, i + <Py_ssize_t>(-<uintptr_t>(<real*>r.out + i) % VECTOR_BYTES // sizeof(real)))
    elements[real](r, i, whole, NULL)
    elements[real](r, whole, end, NULL)


cdef void elements_team(void* job, Team* team, int member) noexcept nogil:
    if (<Run*>job).is_double:
        run_elements[double](<Run*>job, team, member, NULL)
    else:
        run_elements[float](<Run*>job, team, member, NULL)


cdef int over_elements(int activation, kept, cnp.ndarray source, cnp.ndarray out, int n_threads) except -1:
    cdef bint double_ = is_double(out)
    cdef Py_ssize_t rows = len(out), n = columns(out)
    cdef Run r = Run(double_, check_activation(activation, double_), rows * n, NULL, NULL, NULL)
    r.source, r.out = contiguous(source, double_, 2, rows, n), writable(out, double_, 2, rows, n)
    if kept is not None:
        r.kept = contiguous(kept, double_, 2, rows, n)
    with nogil:
        run_for(16.0 * r.n, n_threads, elements_team, &r)
    return 0


def activate(int activation, cnp.ndarray z, cnp.ndarray y, int n_threads):
    """y := f(z), in place or not."""
    over_elements(activation, None, z, y, n_threads)


def differentiate(int activation, kept, cnp.ndarray dy, cnp.ndarray dz, int n_threads):
    """dz := dy f'(z), in place or not; kept is y, or z for gelu and silu."""
    if kept is None and activation != IDENTITY:
        raise TypeError("kept is needed, got None")
    over_elements(activation, dy if activation == IDENTITY else kept, dy, dz, n_threads)


cdef struct Losses:
    bint is_double
    int loss
    Py_ssize_t rows, n, ld          # ld: n, padded
    double scale
    const void* y
    const void* target
    void* dy                        # or NULL
    double* sums                    # (rows,)
    void* space                     # for each member SPACE_ROWS rows

cdef enum:
    SPACE_ROWS = 3 * LINE


cdef void losses_whole(const Losses* g, Py_ssize_t i0, Py_ssize_t i1, const real* y, const real* target, real* dy,
                       real* space) noexcept nogil:
    """Losses of whole samples, LINE at a time, which lie side by side for it."""
    cdef Py_ssize_t i = i0, r, j, n = g.n
    cdef real* a = space
    cdef real* b = space + LINE * g.ld
    cdef real* c = space + 2 * LINE * g.ld
    cdef double sums[LINE]
    while i < i1:
        memset(sums, 0, sizeof(sums))
        for r in range(LINE):
            for j in range(n):
                a[j * LINE + r] = y[(i + r) * n + j] if i + r < i1 else 0
                b[j * LINE + r] = target[(i + r) * n + j] if i + r < i1 else 0
        if real is float:
            loss_whole_f32(g.loss, n, LINE, a, LINE, b, LINE, <float>g.scale, c, LINE, sums)
        else:
            loss_whole_f64(g.loss, n, LINE, a, LINE, b, LINE, g.scale, c, LINE, sums)
        for r in range(min(LINE, i1 - i)):
            g.sums[i + r] = sums[r] if n > 0 else 0
            for j in range(n if dy != NULL else 0):
                dy[(i + r) * n + j] = c[j * LINE + r]
        i += LINE


cdef void losses_of(const Losses* g, Team* team, int member, real* _) noexcept nogil:
    cdef Py_ssize_t i, i0, i1, n = g.n
    cdef const real* y = <const real*>g.y
    cdef const real* target = <const real*>g.target
    cdef real* dy = <real*>g.dy
    cdef real* space = <real*>g.space + member * SPACE_ROWS * g.ld
    part(g.rows, team, member, &i0, &i1)
    if is_whole(g.loss):
        losses_whole(g, i0, i1, y, target, dy, space)
        return
    for i in range(i0, i1):
        copy(n, space, y + i * n)
        copy(n, space + g.ld, target + i * n)
        loss_rows(g.loss, 1, n, space, space + g.ld, 0, <real>g.scale, space, 0, g.sums + i)
        if dy != NULL:
            copy(n, dy + i * n, space)


cdef void losses_team(void* job, Team* team, int member) noexcept nogil:
    if (<Losses*>job).is_double:
        losses_of[double](<Losses*>job, team, member, NULL)
    else:
        losses_of[float](<Losses*>job, team, member, NULL)


cdef int run_losses(Losses* g, int loss, cnp.ndarray y, cnp.ndarray target, Arena arena, double* sums, int n_threads) except -1:
    """sums (rows,), or NULL: in the arena."""
    g.is_double, g.rows, g.n = is_double(y), len(y), columns(y)
    g.loss, g.ld = check_loss(loss, g.is_double), ceil_div(g.n, LINE) * LINE + LINE
    g.y, g.target = contiguous(y, g.is_double, 2, g.rows, g.n), contiguous(target, g.is_double, 2, g.rows, g.n)
    cdef int size = team_size(64.0 * g.rows * g.n, n_threads)
    arena.reserve((size * SPACE_ROWS * g.ld + g.rows) * sizeof(double))
    g.space = arena.block
    g.sums = sums if sums != NULL else <double*>arena.block + size * SPACE_ROWS * g.ld
    with nogil:
        run_for(64.0 * g.rows * g.n, size, losses_team, g)
    return 0


def loss(int loss, cnp.ndarray y, cnp.ndarray target, dy, int n_threads):
    """The loss of a batch; dy (None, y or another array) receives its gradient."""
    cdef Losses g
    cdef Arena arena = spare.pop() if spare else Arena()
    cdef double divisor = loss_divisor(loss, len(y), columns(y)), value = 0
    cdef Py_ssize_t i
    g.scale = 1 / divisor if divisor > 0 else 0
    g.dy = NULL if dy is None else writable(dy, is_double(y), 2, len(y), columns(y))
    run_losses(&g, loss, y, target, arena, NULL, n_threads)
    for i in range(g.rows):
        value += g.sums[i]
    spare.append(arena)
    return value / divisor if divisor > 0 else 0


def sample_losses(int loss, cnp.ndarray y, cnp.ndarray target, cnp.ndarray out, int n_threads):
    """out := each sample's sum over features."""
    cdef Losses g
    cdef Arena arena = spare.pop() if spare else Arena()
    g.scale, g.dy = 0, NULL
    run_losses(&g, loss, y, target, arena, <double*>vector(out, True, len(y)), n_threads)
    spare.append(arena)


def update(cnp.ndarray weight, cnp.ndarray dweight, velocity, square, optimizer, double step, int n_threads):
    """One update of flat arrays; False, and nothing written, where a result is not finite."""
    cdef bint double_ = is_double(weight), finite
    cdef Py_ssize_t n = len(weight), size = 8 if double_ else 4, i
    cdef Rule s = rule_of(optimizer)
    cdef char* w = <char*>vector(weight, double_, n)
    cdef char* dw = <char*>contiguous(dweight, double_, 1, n, 0)
    cdef char* v = <char*>vector(velocity, double_, n) if keeps_velocity(&s) else NULL
    cdef char* q = NULL if s.kind == RULE_SGD else <char*>vector(square, double_, n)
    cdef Arena arena = spare.pop() if spare else Arena()
    cdef char* copies[3]
    correct_bias(&s, step)
    arena.reserve(3 * n * size + 64)
    for i in range(3):                  # where the update is tried
        copies[i] = arena.block + i * n * size
    with nogil:
        memcpy(copies[0], w, n * size)
        if v != NULL:
            memcpy(copies[1], v, n * size)
        if q != NULL:
            memcpy(copies[2], q, n * size)
        if double_:
            finite = update_rows(&s, 1, n, <double*>copies[0], 0, <double*>copies[1], <double*>copies[2], <double*>dw, 0)
        else:
            finite = update_rows(&s, 1, n, <float*>copies[0], 0, <float*>copies[1], <float*>copies[2], <float*>dw, 0)
        if finite:
            memcpy(w, copies[0], n * size)
            if v != NULL:
                memcpy(v, copies[1], n * size)
            if q != NULL:
                memcpy(q, copies[2], n * size)
    spare.append(arena)
    return finite
