# Passes over elements: activations, losses, column sums and the optimiser.

cdef extern from "network.h" nogil:
    ctypedef struct Matrix:
        void* data
        Py_ssize_t stride
    ctypedef struct Layer:
        Py_ssize_t n_in, n_out, weight_at, bias_at, down, across, width
        int activation, keeps_input
        Matrix weight, velocity, square, gradient, turned, turned_velocity, turned_square
        Matrix x, y, x_rows, y_rows, kept, kept_rows, dz, dz_rows, value, gate, drawn
        void* bias
        void* bias_velocity
        void* bias_square
        void* bias_gradient
    ctypedef struct Rule:
        int kind
        bint nesterov
        double lr, momentum, weight_decay, beta, eps, step_size, root, factor, bound

cdef extern from "engine.h" nogil:
    enum: HALF_SQUARED
    enum: BCE
    enum: MULTINOMIAL
    enum: COSINE
    enum: RULE_SGD
    enum: RULE_ADAM
    enum: RULE_ADAMW
    enum: RULE_RMSPROP
    enum: BINARIZE
    enum: DROPOUT
    enum: MASKING
    double chance(uint64_t key, const uint32_t* counter, Py_ssize_t feature)
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
    bint sigmoid_bce_f32(Py_ssize_t features, Py_ssize_t n, const float* z, Py_ssize_t ldz, const float* target,
                         Py_ssize_t ldt, float scale, float* dz, Py_ssize_t ldd, double* sample_loss)
    bint sigmoid_bce_f64(Py_ssize_t features, Py_ssize_t n, const double* z, Py_ssize_t ldz, const double* target,
                         Py_ssize_t ldt, double scale, double* dz, Py_ssize_t ldd, double* sample_loss)
    void add_rows_f32(Py_ssize_t rows, Py_ssize_t n, const float* w, Py_ssize_t ld, float* out)
    void add_rows_f64(Py_ssize_t rows, Py_ssize_t n, const double* w, Py_ssize_t ld, double* out)
    void dots_f32(Py_ssize_t samples, Py_ssize_t n_out, Py_ssize_t n, const float* w, Py_ssize_t ldw, const float* x,
                  Py_ssize_t ldx, const float* bias, float* y, Py_ssize_t ldy)
    void dots_f64(Py_ssize_t samples, Py_ssize_t n_out, Py_ssize_t n, const double* w, Py_ssize_t ldw, const double* x,
                  Py_ssize_t ldx, const double* bias, double* y, Py_ssize_t ldy)
    bint update_f32(const Rule* s, Py_ssize_t rows, Py_ssize_t n, float* w, Py_ssize_t ld, float* v, float* q, const float* dw,
                    Py_ssize_t ld_dw)
    bint update_f64(const Rule* s, Py_ssize_t rows, Py_ssize_t n, double* w, Py_ssize_t ld, double* v, double* q,
                    const double* dw,
                    Py_ssize_t ld_dw)
    void clip_f32(const Rule* s, Py_ssize_t rows, Py_ssize_t n, float* dw, Py_ssize_t ld)
    void clip_f64(const Rule* s, Py_ssize_t rows, Py_ssize_t n, double* dw, Py_ssize_t ld)
    void loss_weighted_f32(int loss, Py_ssize_t features, Py_ssize_t n, const float* y, Py_ssize_t ldy, const float* target,
                           Py_ssize_t ldt, float scale, float* dy, Py_ssize_t ldd, double* sample_loss,
                           const float* of_features,
                           const float* of_samples, bint missing)
    void loss_weighted_f64(int loss, Py_ssize_t features, Py_ssize_t n, const double* y, Py_ssize_t ldy, const double* target,
                           Py_ssize_t ldt, double scale, double* dy, Py_ssize_t ldd, double* sample_loss,
                           const double* of_features,
                           const double* of_samples, bint missing)
    void loss_whole_f32(int loss, Py_ssize_t features, Py_ssize_t n, const float* y, Py_ssize_t ldy, const float* target,
                        Py_ssize_t ldt, float scale, float* dy, Py_ssize_t ldd, double* sample_loss)
    void loss_whole_f64(int loss, Py_ssize_t features, Py_ssize_t n, const double* y, Py_ssize_t ldy, const double* target,
                        Py_ssize_t ldt, double scale, double* dy, Py_ssize_t ldd, double* sample_loss)
    void disturb_f32(int noise, float level, uint64_t key, const uint32_t* counter, Py_ssize_t n, float* x)
    void disturb_f64(int noise, double level, uint64_t key, const uint32_t* counter, Py_ssize_t n, double* x)
    void drop_f32(float p, uint64_t key, const uint32_t* counter, Py_ssize_t features, Py_ssize_t n, float* gate, Py_ssize_t ld,
                  bint gated)
    void drop_f64(double p, uint64_t key, const uint32_t* counter, Py_ssize_t features, Py_ssize_t n, double* gate,
                  Py_ssize_t ld,
                  bint gated)
    void normals_f32(uint64_t key, const uint32_t* counter, Py_ssize_t features, Py_ssize_t n, float* out, Py_ssize_t ld)
    void normals_f64(uint64_t key, const uint32_t* counter, Py_ssize_t features, Py_ssize_t n, double* out, Py_ssize_t ld)
    void top_f32(Py_ssize_t k, Py_ssize_t features, Py_ssize_t n, const float* x, Py_ssize_t ld, float* gate, Py_ssize_t ldg)
    void top_f64(Py_ssize_t k, Py_ssize_t features, Py_ssize_t n, const double* x, Py_ssize_t ld, double* gate, Py_ssize_t ldg)
    void multiply_f32(Py_ssize_t features, Py_ssize_t n, const float* value, Py_ssize_t ld, const float* gate, Py_ssize_t ldg,
                      float* y, Py_ssize_t ldy)
    void multiply_f64(Py_ssize_t features, Py_ssize_t n, const double* value, Py_ssize_t ld, const double* gate, Py_ssize_t ldg,
                      double* y, Py_ssize_t ldy)
    void draw_f32(Py_ssize_t k, Py_ssize_t n, double weight, const float* value, Py_ssize_t ld, const float* e, Py_ssize_t lde,
                  float* y, Py_ssize_t ldy, double* penalty)
    void draw_f64(Py_ssize_t k, Py_ssize_t n, double weight, const double* value, Py_ssize_t ld, const double* e,
                  Py_ssize_t lde,
                  double* y, Py_ssize_t ldy, double* penalty)
    void draw_back_f32(Py_ssize_t k, Py_ssize_t n, float weight, const float* weights, const float* value, Py_ssize_t ld,
                       const float* e, Py_ssize_t lde, float* dz, Py_ssize_t ldz)
    void draw_back_f64(Py_ssize_t k, Py_ssize_t n, double weight, const double* weights, const double* value, Py_ssize_t ld,
                       const double* e, Py_ssize_t lde, double* dz, Py_ssize_t ldz)
    void tiny_pass_f32(const Layer* layers, int n_layers, int loss, Py_ssize_t samples, const Matrix* target, float scale,
                       double* sample_loss)
    void tiny_pass_f64(const Layer* layers, int n_layers, int loss, Py_ssize_t samples, const Matrix* target, double scale,
                       double* sample_loss)
    void tiny_begin_f32(const Layer* layers, int n_layers)
    void tiny_begin_f64(const Layer* layers, int n_layers)
    void tiny_single_f32(const Layer* layers, int n_layers, int loss, Py_ssize_t now, const Matrix* target, float scale,
                         double* sample_loss)
    void tiny_single_f64(const Layer* layers, int n_layers, int loss, Py_ssize_t now, const Matrix* target, double scale,
                         double* sample_loss)
    bint tiny_end_f32(const Layer* layers, int n_layers, Py_ssize_t last)
    bint tiny_end_f64(const Layer* layers, int n_layers, Py_ssize_t last)
    bint tiny_learn_f32(const Layer* layers, int n_layers, const Rule* rule, Py_ssize_t samples, float* gradients)
    bint tiny_learn_f64(const Layer* layers, int n_layers, const Rule* rule, Py_ssize_t samples, double* gradients)
    double square_sum_f32(Py_ssize_t n, const float* a)
    double square_sum_f64(Py_ssize_t n, const double* a)
    bint all_finite_f32(Py_ssize_t n, const float* a)
    bint all_finite_f64(Py_ssize_t n, const double* a)
    void copy_rows_f32(Py_ssize_t rows, Py_ssize_t n, const char* source, Py_ssize_t bytes, const cnp.int64_t* order,
                       Py_ssize_t first, Py_ssize_t ahead, Py_ssize_t last, float* out, Py_ssize_t ld)
    void copy_rows_f64(Py_ssize_t rows, Py_ssize_t n, const char* source, Py_ssize_t bytes, const cnp.int64_t* order,
                       Py_ssize_t first, Py_ssize_t ahead, Py_ssize_t last, double* out, Py_ssize_t ld)
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


cdef inline bint sigmoid_bce(Py_ssize_t features, Py_ssize_t n, const real* z, Py_ssize_t ldz, const real* target,
                             Py_ssize_t ldt, real scale, real* dz, Py_ssize_t ldd, double* sample_loss) noexcept nogil:
    """loss_columns of the cross-entropy of sigmoid(z), and its gradient by z; or nothing, and False, where z is too large."""
    if real is float:
        return sigmoid_bce_f32(features, n, z, ldz, target, ldt, scale, dz, ldd, sample_loss)
    else:
        return sigmoid_bce_f64(features, n, z, ldz, target, ldt, scale, dz, ldd, sample_loss)


cdef inline void add_rows(Py_ssize_t rows, Py_ssize_t n, const real* w, Py_ssize_t ld, real* out) noexcept nogil:
    """out[o] := the sum of row o, in the order of dots."""
    if real is float:
        add_rows_f32(rows, n, w, ld, out)
    else:
        add_rows_f64(rows, n, w, ld, out)


cdef inline void dots(Py_ssize_t samples, Py_ssize_t n_out, Py_ssize_t n, const real* w, Py_ssize_t ldw, const real* x,
                      Py_ssize_t ldx, const real* bias, real* y, Py_ssize_t ldy) noexcept nogil:
    """y := x w^T + bias, rows by rows."""
    if real is float:
        dots_f32(samples, n_out, n, w, ldw, x, ldx, bias, y, ldy)
    else:
        dots_f64(samples, n_out, n, w, ldw, x, ldx, bias, y, ldy)


cdef inline bint update_rows(const Rule* s, Py_ssize_t rows, Py_ssize_t n, real* w, Py_ssize_t ld, real* v, real* q,
                             const real* dw, Py_ssize_t ld_dw) noexcept nogil:
    """One update of rows of weights; whether all are finite after it."""
    if real is float:
        return update_f32(s, rows, n, w, ld, v, q, dw, ld_dw)
    else:
        return update_f64(s, rows, n, w, ld, v, q, dw, ld_dw)


cdef inline void clip_rows(const Rule* s, Py_ssize_t rows, Py_ssize_t n, real* dw, Py_ssize_t ld) noexcept nogil:
    """dw := clamp(factor dw)"""
    if real is float:
        clip_f32(s, rows, n, dw, ld)
    else:
        clip_f64(s, rows, n, dw, ld)


cdef inline double square_sum(Py_ssize_t n, const real* a) noexcept nogil:
    if real is float:
        return square_sum_f32(n, a)
    else:
        return square_sum_f64(n, a)


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


cdef inline bint is_whole(int loss) noexcept nogil:
    """Whether a sample's loss is not a sum of terms of single features."""
    return loss == MULTINOMIAL or loss == COSINE


cdef inline double loss_divisor(int loss, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return rows if loss == HALF_SQUARED or is_whole(loss) else <double>rows * n


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


cdef Rule rule_of(optimizer) except *:
    """An optimiser's (kind, lr, momentum, nesterov, weight_decay, beta, eps), before what depends on the step."""
    cdef Rule s
    s.kind, s.lr, s.momentum, s.nesterov, s.weight_decay, s.beta, s.eps = optimizer
    if not RULE_SGD <= s.kind <= RULE_RMSPROP:
        raise IndexError(f"there is no optimiser {s.kind}")
    s.step_size, s.root, s.factor, s.bound = s.lr, 1, 1, HUGE_VAL
    return s


cdef inline bint keeps_velocity(const Rule* s) noexcept nogil:
    return s.momentum != 0 or s.kind == RULE_ADAM or s.kind == RULE_ADAMW


cdef inline bint is_plain_sgd(const Rule* s) noexcept nogil:
    """Whether an update is w - lr g, and no more."""
    return s.kind == RULE_SGD and s.momentum == 0 and s.weight_decay == 0 and s.bound == HUGE_VAL


cdef inline void correct_bias(Rule* s, double step) noexcept nogil:
    """For the update number step, from 0 on."""
    if s.kind == RULE_ADAM or s.kind == RULE_ADAMW:
        s.step_size = s.lr / (1 - pow(s.momentum, step + 1))
        s.root = 1 / sqrt(1 - pow(s.beta, step + 1))
