# The training plan: one network's buffers, laid out once, and the loop over its steps, run by a team without the GIL.

cdef struct Source:                 # a matrix of samples, as the caller has it
    const char* data
    Py_ssize_t row_stride, column_stride    # bytes
    int typenum                     # float32, float64, or uint8, which counts as 0 to 1

cdef struct Layer:
    Py_ssize_t n_in, n_out
    int activation
    void* weight                    # (n_out, n_in)
    void* bias                      # (n_out,) or NULL
    void* dweight
    void* dbias
    void* y                         # (batch_size, n_out): the output
    void* keep                      # the same: the activation's argument, or NULL where y serves
    void* dz                        # the same: gradient by the activation's argument

cdef struct Training:
    bint is_double, is_target_input
    int n_layers, loss
    Layer* layers
    Py_ssize_t batch_size, n_inputs, n_targets, n_weights
    void* weights
    void* gradients
    void* velocity                  # NULL without momentum
    double lr, momentum, weight_decay
    bint nesterov
    void* x                         # (batch_size, n_inputs): the batch
    void* target                    # (batch_size, n_targets), or x
    double* row_loss                # (batch_size,)
    bint* finite                    # one for each member
    void* workspace
    Source x_source, target_source
    const cnp.int64_t* order        # or NULL: rows as they are
    Py_ssize_t first, last, done
    double total                    # sum of loss times rows


cdef void gather_row(const Source* s, Py_ssize_t row, Py_ssize_t n, real* out) noexcept nogil:
    cdef const char* p = s.data + row * s.row_stride
    cdef Py_ssize_t j, step = s.column_stride
    if s.typenum == cnp.NPY_UINT8:
        for j in range(n):
            out[j] = (<const unsigned char*>(p + j * step))[0] * <real>(1.0 / 255)
    elif s.typenum == cnp.NPY_FLOAT32:
        for j in range(n):
            out[j] = <real>(<const float*>(p + j * step))[0]
    else:
        for j in range(n):
            out[j] = <real>(<const double*>(p + j * step))[0]


cdef void gather(Training* p, Py_ssize_t start, Py_ssize_t rows, Team* team, int member, real* _) noexcept nogil:
    cdef Py_ssize_t i, row
    for i in range(rows * member // team.size, rows * (member + 1) // team.size):
        row = start + i if p.order == NULL else p.order[start + i]
        gather_row(&p.x_source, row, p.n_inputs, <real*>p.x + i * p.n_inputs)
        if not p.is_target_input:
            gather_row(&p.target_source, row, p.n_targets, <real*>p.target + i * p.n_targets)


cdef double loss_of_rows(int loss, Py_ssize_t rows, Py_ssize_t n, const real* y, const real* target, real* dy,
                         double* row_loss, int activation, const real* kept, Team* team, int member) noexcept nogil:
    """Loss of a batch, and its gradient by the argument of the last activation; the same value to every member."""
    cdef double value = 0, divisor = loss_divisor(loss, rows, n)
    cdef Py_ssize_t i
    for i in range(rows * member // team.size, rows * (member + 1) // team.size):
        row_loss[i] = loss_run(loss, n, y + i * n, target + i * n, <real>(1 / divisor), dy + i * n)
        differentiate_run(activation, n, kept + i * n, dy + i * n, dy + i * n)
    sync(team)
    for i in range(rows):
        value += row_loss[i]
    return value / divisor


cdef void forward(Training* p, Py_ssize_t rows, Team* team, int member, real* _) noexcept nogil:
    cdef int l
    cdef Layer* layer
    cdef Gemm g
    for l in range(p.n_layers):
        layer = &p.layers[l]
        g = product(p.is_double, rows, layer.n_out, layer.n_in, p.workspace)
        g.A, g.rsa, g.csa = p.x if l == 0 else p.layers[l - 1].y, layer.n_in, 1
        g.B, g.rsb, g.csb = layer.weight, 1, layer.n_in
        g.C, g.ldc = layer.y, layer.n_out
        g.bias, g.activation, g.keep = layer.bias, layer.activation, layer.keep
        gemm[real](&g, team, member, NULL)


cdef void backward(Training* p, Py_ssize_t rows, Team* team, int member, real* _) noexcept nogil:
    cdef int l
    cdef Layer* layer
    cdef Layer* below
    cdef Gemm g
    for l in range(p.n_layers - 1, -1, -1):
        layer = &p.layers[l]
        below = &p.layers[l - 1] if l > 0 else NULL
        g = product(p.is_double, layer.n_out, layer.n_in, rows, p.workspace)
        g.A, g.rsa, g.csa = layer.dz, 1, layer.n_out
        g.B, g.rsb, g.csb = p.x if l == 0 else below.y, layer.n_in, 1
        g.C, g.ldc = layer.dweight, layer.n_in
        gemm[real](&g, team, member, NULL)
        if layer.dbias != NULL:
            sum_columns(<const real*>layer.dz, rows, layer.n_out, <real*>layer.dbias, team, member)
        if l > 0:
            g = product(p.is_double, rows, layer.n_in, layer.n_out, p.workspace)
            g.A, g.rsa, g.csa = layer.dz, layer.n_out, 1
            g.B, g.rsb, g.csb = layer.weight, layer.n_in, 1
            g.C, g.ldc = below.dz, layer.n_in
            g.activation, g.kept = below.activation, below.y if below.keep == NULL else below.keep
            gemm[real](&g, team, member, NULL)


cdef void train(Training* p, Team* team, int member, real* _) noexcept nogil:
    cdef Py_ssize_t start = p.first, rows, w0, w1
    cdef Layer* top = &p.layers[p.n_layers - 1]
    cdef double value
    cdef SGD sgd = SGD(p.lr, p.momentum, p.weight_decay, p.nesterov)
    cdef real* velocity
    cdef int m
    share(p.n_weights, team, member, &w0, &w1)
    velocity = NULL if p.velocity == NULL else <real*>p.velocity + w0
    while start < p.last:
        rows = min(p.batch_size, p.last - start)
        gather[real](p, start, rows, team, member, NULL)
        sync(team)
        forward[real](p, rows, team, member, NULL)
        value = loss_of_rows(p.loss, rows, top.n_out, <const real*>top.y, <const real*>p.target, <real*>top.dz, p.row_loss,
                             top.activation, <const real*>(top.y if top.keep == NULL else top.keep), team, member)
        if not isfinite(value):
            return
        backward[real](p, rows, team, member, NULL)
        sync(team)
        p.finite[member] = update_is_finite(&sgd, w1 - w0, <real*>p.weights + w0, <real*>p.gradients + w0, velocity)
        sync(team)
        for m in range(team.size):
            if not p.finite[m]:
                return
        update(&sgd, w1 - w0, <real*>p.weights + w0, <real*>p.gradients + w0, velocity)
        start += rows
        if member == 0:
            p.total += value * rows
            p.done = start - p.first
        sync(team)


cdef void train_team(void* job, Team* team, int member) noexcept nogil:
    cdef Training* p = <Training*>job
    if p.is_double:
        train[double](p, team, member, NULL)
    else:
        train[float](p, team, member, NULL)


cdef Source source_of(cnp.ndarray a) except *:
    cdef Source s
    if cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_TYPE(a) not in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64, cnp.NPY_UINT8):
        raise TypeError(f"a matrix of float32, float64 or uint8 is needed, got {a.dtype} {(<object>a).shape}")
    s.data = <const char*>cnp.PyArray_DATA(a)
    s.row_stride, s.column_stride = cnp.PyArray_STRIDE(a, 0), cnp.PyArray_STRIDE(a, 1)
    s.typenum = cnp.PyArray_TYPE(a)
    return s


cdef class Plan:
    """Buffers and loops for training one network; the same as ``reference.Plan``, compiled."""
    cdef Training t
    cdef object arrays                  # keeps weights, gradients and velocity alive
    cdef Arena arena
    cdef Py_ssize_t flops_per_row
    cdef readonly Py_ssize_t batch_size
    cdef public int n_threads

    def __cinit__(self, layers, cnp.ndarray weights, cnp.ndarray gradients, velocity, Py_ssize_t batch_size, int loss, int n_threads):
        cdef Training* t = &self.t
        cdef Layer* layer
        cdef Py_ssize_t i, at = 0, size, workspace = 0
        cdef Gemm g
        self.arrays = (weights, gradients, velocity)
        self.batch_size, self.n_threads = batch_size, n_threads
        t.is_double = cnp.PyArray_TYPE(weights) == cnp.NPY_FLOAT64
        size = 8 if t.is_double else 4
        t.batch_size, t.loss, t.n_layers = batch_size, loss, len(layers)
        t.n_inputs, t.n_targets, t.n_weights = layers[0][0], layers[t.n_layers - 1][1], weights.size
        t.weights = vector(weights, t.is_double, t.n_weights)
        t.gradients = vector(gradients, t.is_double, t.n_weights)
        t.velocity = NULL if velocity is None else vector(velocity, t.is_double, t.n_weights)
        for n_in, n_out, _, _ in layers:
            for m, n, k in ((batch_size, n_out, n_in), (n_out, n_in, batch_size), (batch_size, n_in, n_out)):
                g = product(t.is_double, m, n, k, NULL)
                workspace = max(workspace, workspace_bytes(&g))
            self.flops_per_row += 6 * n_in * n_out
        self.arena = arena = Arena()
        arena.reserve(sum(3 * batch_size * n_out * size + 3 * 64 for _, n_out, _, _ in layers)
                      + batch_size * ((t.n_inputs + t.n_targets) * size + 8) + MAX_TEAM * sizeof(bint) + workspace
                      + len(layers) * sizeof(Layer) + 8 * 64)
        t.layers = <Layer*>arena.take(len(layers) * sizeof(Layer))
        t.x = arena.take(batch_size * t.n_inputs * size)
        t.target = arena.take(batch_size * t.n_targets * size)
        t.row_loss = <double*>arena.take(batch_size * sizeof(double))
        t.finite = <bint*>arena.take(MAX_TEAM * sizeof(bint))
        t.workspace = arena.take(workspace)
        for i, (n_in, n_out, activation, has_bias) in enumerate(layers):
            layer = &t.layers[i]
            layer.n_in, layer.n_out, layer.activation = n_in, n_out, activation
            layer.weight, layer.dweight = <char*>t.weights + at * size, <char*>t.gradients + at * size
            at += n_in * n_out
            layer.bias = layer.dbias = NULL
            if has_bias:
                layer.bias, layer.dbias = <char*>t.weights + at * size, <char*>t.gradients + at * size
                at += n_out
            layer.y = arena.take(batch_size * n_out * size)
            layer.dz = arena.take(batch_size * n_out * size)
            layer.keep = arena.take(batch_size * n_out * size) if activation in KEEPS_INPUT else NULL
        if at != t.n_weights:
            raise ValueError(f"the layers hold {at} weights and biases, the flat array {t.n_weights}")

    def set_sgd(self, double lr, double momentum, bint nesterov, double weight_decay):
        """Hyperparameters of the following steps."""
        self.t.lr, self.t.momentum, self.t.nesterov, self.t.weight_decay = lr, momentum, nesterov, weight_decay

    @property
    def total(self):
        """Sum of loss times rows over the steps since it was last set to 0."""
        return self.t.total

    @total.setter
    def total(self, double value):
        self.t.total = value

    def run(self, cnp.ndarray x, cnp.ndarray target, order, Py_ssize_t first, Py_ssize_t last):
        """Steps over the rows order[first:last]; see ``reference.Plan.run``."""
        cdef Training* t = &self.t
        cdef Py_ssize_t n = len(x)
        t.x_source, t.target_source = source_of(x), source_of(target)
        t.is_target_input = target is x
        if cnp.PyArray_DIM(x, 1) != t.n_inputs or cnp.PyArray_DIM(target, 1) != t.n_targets or len(target) != n:
            raise ValueError(f"x and target of shapes {(<object>x).shape} and {(<object>target).shape} do not fit the plan")
        if not 0 <= first <= last <= (n if order is None else len(order)):
            raise ValueError(f"rows {first} to {last} are not in the data")
        t.order = NULL if order is None else rows_of(order, n)
        t.first, t.last, t.done = first, last, 0
        cdef void* buffer = t.target
        if t.is_target_input:
            t.target = t.x
        cdef int n_threads = team_size(self.flops_per_row * min(t.batch_size, last - first), self.n_threads)
        with nogil:
            run_team(train_team, t, n_threads)
        t.target = buffer
        return t.done
