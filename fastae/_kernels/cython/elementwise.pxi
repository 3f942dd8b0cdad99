# Passes over elements: activations, losses, column sums and the optimiser.

cdef extern from "network.h" nogil:
    ctypedef struct Matrix:
        void* data
        Py_ssize_t stride
    ctypedef struct Layer:
        Py_ssize_t n_in, n_out, weight_at, bias_at
        int activation, keeps_input
        Matrix weight, velocity, turned, turned_velocity, x, y, x_rows, y_rows, kept, kept_rows, dz, dz_rows
        void* bias
        void* bias_velocity
    ctypedef struct SGD:
        double lr, momentum, weight_decay
        bint nesterov

cdef extern from "engine.h" nogil:
    enum: HALF_SQUARED
    enum: OWN_ACTIVATION
    enum: OWN_LOSS
    enum: MOST_OWN
    enum: VALUE
    enum: SLOPE
    enum: TERMS
    void* own[3][1024][2]
    double interleaved_sum(Py_ssize_t n, const double* p)
    void loss_f32(int loss, Py_ssize_t rows, Py_ssize_t n, const float* y, const float* target, Py_ssize_t ld, float scale,
                  float* dy, Py_ssize_t ldd, double* row_loss)
    void loss_f64(int loss, Py_ssize_t rows, Py_ssize_t n, const double* y, const double* target, Py_ssize_t ld, double scale,
                  double* dy, Py_ssize_t ldd, double* row_loss)
    void loss_columns_f32(int loss, Py_ssize_t features, Py_ssize_t n, const float* y, Py_ssize_t ldy, const float* target,
                          Py_ssize_t ldt, float scale, float* dy, Py_ssize_t ldd, double* sample_loss)
    void loss_columns_f64(int loss, Py_ssize_t features, Py_ssize_t n, const double* y, Py_ssize_t ldy, const double* target,
                          Py_ssize_t ldt, double scale, double* dy, Py_ssize_t ldd, double* sample_loss)
    void dots_f32(Py_ssize_t samples, Py_ssize_t n_out, Py_ssize_t n, const float* w, Py_ssize_t ldw, const float* x,
                  Py_ssize_t ldx, const float* bias, float* y, Py_ssize_t ldy)
    void dots_f64(Py_ssize_t samples, Py_ssize_t n_out, Py_ssize_t n, const double* w, Py_ssize_t ldw, const double* x,
                  Py_ssize_t ldx, const double* bias, double* y, Py_ssize_t ldy)
    bint sgd_f32(const SGD* s, Py_ssize_t rows, Py_ssize_t n, float* w, Py_ssize_t ld, float* v, const float* dw,
                 Py_ssize_t ld_dw)
    bint sgd_f64(const SGD* s, Py_ssize_t rows, Py_ssize_t n, double* w, Py_ssize_t ld, double* v, const double* dw,
                 Py_ssize_t ld_dw)
    void tiny_pass_f32(const Layer* layers, int n_layers, int loss, Py_ssize_t samples, const Matrix* target, float scale,
                       double* sample_loss)
    void tiny_pass_f64(const Layer* layers, int n_layers, int loss, Py_ssize_t samples, const Matrix* target, double scale,
                       double* sample_loss)
    bint tiny_learn_f32(const Layer* layers, int n_layers, const SGD* sgd, Py_ssize_t samples, float* gradients)
    bint tiny_learn_f64(const Layer* layers, int n_layers, const SGD* sgd, Py_ssize_t samples, double* gradients)
    bint all_finite_f32(Py_ssize_t n, const float* a)
    bint all_finite_f64(Py_ssize_t n, const double* a)
    void copy_padded_f32(Py_ssize_t n, float* out, const float* source)
    void copy_padded_f64(Py_ssize_t n, double* out, const double* source)
    void sum_rows_f32(Py_ssize_t rows, Py_ssize_t n, const float* a, Py_ssize_t ld, float* out)
    void sum_rows_f64(Py_ssize_t rows, Py_ssize_t n, const double* a, Py_ssize_t ld, double* out)
    void activate_f32(int activation, Py_ssize_t rows, Py_ssize_t n, const float* z, Py_ssize_t ldz, float* y, Py_ssize_t ldy)
    void activate_f64(int activation, Py_ssize_t rows, Py_ssize_t n, const double* z, Py_ssize_t ldz, double* y, Py_ssize_t ldy)
    void differentiate_f32(int activation, Py_ssize_t rows, Py_ssize_t n, const float* kept, Py_ssize_t ldk, const float* dy,
                           Py_ssize_t ldy, float* dz, Py_ssize_t ldz)
    void differentiate_f64(int activation, Py_ssize_t rows, Py_ssize_t n, const double* kept, Py_ssize_t ldk, const double* dy,
                           Py_ssize_t ldy, double* dz, Py_ssize_t ldz)


cdef inline void activate_rows(int activation, Py_ssize_t rows, Py_ssize_t n, const real* z, Py_ssize_t ldz, real* y,
                               Py_ssize_t ldy) noexcept nogil:
    """y := f(z), in place or not."""
    if real is float:
        activate_f32(activation, rows, n, z, ldz, y, ldy)
    else:
        activate_f64(activation, rows, n, z, ldz, y, ldy)


cdef inline void differentiate_rows(int activation, Py_ssize_t rows, Py_ssize_t n, const real* kept, Py_ssize_t ldk,
                                    const real* dy, Py_ssize_t ldy, real* dz, Py_ssize_t ldz) noexcept nogil:
    """dz := dy f'(z), in place or not."""
    if real is float:
        differentiate_f32(activation, rows, n, kept, ldk, dy, ldy, dz, ldz)
    else:
        differentiate_f64(activation, rows, n, kept, ldk, dy, ldy, dz, ldz)


cdef inline void loss_rows(int loss, Py_ssize_t rows, Py_ssize_t n, const real* y, const real* target, Py_ssize_t ld,
                           real scale, real* dy, Py_ssize_t ldd, double* row_loss) noexcept nogil:
    """row_loss := the sum of each row's terms; dy := scale times their slope by y. Rows are padded to whole vectors."""
    if real is float:
        loss_f32(loss, rows, n, y, target, ld, scale, dy, ldd, row_loss)
    else:
        loss_f64(loss, rows, n, y, target, ld, scale, dy, ldd, row_loss)


cdef inline void loss_columns(int loss, Py_ssize_t features, Py_ssize_t n, const real* y, Py_ssize_t ldy, const real* target,
                              Py_ssize_t ldt, real scale, real* dy, Py_ssize_t ldd, double* sample_loss) noexcept nogil:
    """The same with a sample a column; the terms are added to sample_loss."""
    if real is float:
        loss_columns_f32(loss, features, n, y, ldy, target, ldt, scale, dy, ldd, sample_loss)
    else:
        loss_columns_f64(loss, features, n, y, ldy, target, ldt, scale, dy, ldd, sample_loss)


cdef inline void dots(Py_ssize_t samples, Py_ssize_t n_out, Py_ssize_t n, const real* w, Py_ssize_t ldw, const real* x,
                      Py_ssize_t ldx, const real* bias, real* y, Py_ssize_t ldy) noexcept nogil:
    """y := x w^T + bias, rows by rows."""
    if real is float:
        dots_f32(samples, n_out, n, w, ldw, x, ldx, bias, y, ldy)
    else:
        dots_f64(samples, n_out, n, w, ldw, x, ldx, bias, y, ldy)


cdef inline bint update(const SGD* s, Py_ssize_t rows, Py_ssize_t n, real* w, Py_ssize_t ld, real* v, const real* dw,
                        Py_ssize_t ld_dw) noexcept nogil:
    """One update of rows of weights; whether all are finite after it."""
    if s.momentum == 0:
        v = NULL
    if real is float:
        return sgd_f32(s, rows, n, w, ld, v, dw, ld_dw)
    else:
        return sgd_f64(s, rows, n, w, ld, v, dw, ld_dw)


cdef inline bint all_finite(Py_ssize_t n, const real* a) noexcept nogil:
    if real is float:
        return all_finite_f32(n, a)
    else:
        return all_finite_f64(n, a)


cdef inline void copy_padded(Py_ssize_t n, real* out, const real* source) noexcept nogil:
    """out := source, whole vectors, the last one filled up with zeros."""
    if real is float:
        copy_padded_f32(n, out, source)
    else:
        copy_padded_f64(n, out, source)


cdef inline void sum_rows(Py_ssize_t rows, Py_ssize_t n, const real* a, Py_ssize_t ld, real* out) noexcept nogil:
    """out[j] := the sum over the rows, in order, of a[i, j]; n is padded to whole vectors."""
    if real is float:
        sum_rows_f32(rows, n, a, ld, out)
    else:
        sum_rows_f64(rows, n, a, ld, out)


cdef inline void add(Py_ssize_t n, real* a, const real* b) noexcept nogil:
    """a := a + b"""
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = a[i] + b[i]


cdef inline void copy(Py_ssize_t n, real* a, const real* b) noexcept nogil:
    """a := b"""
    memcpy(a, b, n * sizeof(real))


cdef inline double loss_divisor(int loss, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return rows if loss == HALF_SQUARED else <double>rows * n


cdef inline void share(Py_ssize_t n, Team* team, int member, Py_ssize_t* first, Py_ssize_t* last) noexcept nogil:
    """A member's part of n elements, cut at multiples of 64, so that no two members write to one cache line."""
    cdef Py_ssize_t blocks = ceil_div(n, 64)
    first[0] = blocks * member // team.size * 64
    last[0] = min(n, blocks * (member + 1) // team.size * 64)


cdef void sum_columns(const real* a, Py_ssize_t rows, Py_ssize_t n, real* out, Team* team, int member) noexcept nogil:
    """out[j] := the sum over i, in order, of a[i, j]."""
    cdef Py_ssize_t i, j, j0, j1
    share(n, team, member, &j0, &j1)
    for j in range(j0, j1):
        out[j] = 0
    for i in range(rows):
        for j in range(j0, j1):
            out[j] = out[j] + a[i * n + j]


cdef inline real sgd_velocity(const SGD* s, real w, real dw, real v) noexcept nogil:
    return <real>s.momentum * v + (dw + <real>s.weight_decay * w)


cdef inline real sgd_weight(const SGD* s, real w, real dw, real v) noexcept nogil:
    """The new weight from the new velocity v."""
    return w - <real>s.lr * ((dw + <real>s.weight_decay * w) + <real>s.momentum * v if s.nesterov else v)


cdef bint update_is_finite(const SGD* s, Py_ssize_t n, const real* w, const real* dw, const real* v) noexcept nogil:
    """Whether all weights would be finite after an update: x - x is 0 for a finite x only. Nothing is written."""
    cdef Py_ssize_t i
    cdef real velocity, weight
    cdef int bad = 0
    for i in range(n):
        velocity = sgd_velocity(s, w[i], dw[i], v[i] if v != NULL else <real>0)
        weight = sgd_weight(s, w[i], dw[i], velocity)
        bad |= weight - weight != 0
    return bad == 0
