# The training plan: one network's buffers, laid out once, and the loop over its steps, run by a team without the GIL.
#
# A step has two phases, each ending in a barrier.
#   1. Samples, as network.pxi says: gather, forward, loss and input gradients.
#   2. Weights, as rectangles of at most BLOCK x BLOCK, divided among the members. A tile's gradient is one product over the
#      whole batch, and the optimiser is applied to it at once.
#
# During a run weights live in rows padded to whole vectors, an odd number of cache lines apart; the padding stays zero. The
# flat arrays are written at the end of a run: until then they hold the weights before it, and serve to start again when a
# step fails. The inputs of a layer are kept in both layouts: a feature a row for the forward product, a sample a row for
# the weights' gradient.

cdef enum:
    TINY = 16
    BLOCK = 96                      # a multiple of every MR and NR; 36 KB of float32
    LOSS_FEATURES = 24              # whose outputs stay in L1 for the loss; a multiple of every MR, and of the loss's 8

cdef struct Rectangle:              # of a layer's weights: outputs o0 to o1, inputs i0 to i1
    int layer
    Py_ssize_t o0, o1, i0, i1
    Py_ssize_t before               # weights in the rectangles before it

cdef struct Block:                  # a member's own buffers, in which a block of many samples passes through the layers
    Layer* layers                   # as the plan's, with x, y and kept of BLOCK_SAMPLES at most
    Matrix target

cdef struct Training:
    Block* blocks                   # one for each member
    bint is_double, is_target_input
    bint tiny                       # of few samples and of layers no wider than TINY
    int n_layers, loss
    Layer* layers
    Py_ssize_t batch_size, n_rectangles, n_weights, widest
    Rectangle* rectangles
    char* weights
    char* velocity                  # NULL without momentum
    char* gradients                 # flat, receive each step's gradients; or NULL
    SGD sgd
    Matrix target_rows
    double* sample_loss             # (batch_size,)
    void* ones                      # (batch_size,)
    bint* finite                    # one for each member
    Source x_source, target_source
    const cnp.int64_t* order        # or NULL: rows as they are
    Py_ssize_t first, last, done
    double total, total_before      # sum of loss times rows, to which the steps add


include "backward.pxi"


cdef bint all_true(const bint* flags, int n) noexcept nogil:
    cdef int m
    for m in range(n):
        if not flags[m]:
            return False
    return True


cdef Py_ssize_t first_rectangle(const Training* p, int member, int size) noexcept nogil:
    """Where a member's part begins, the parts being nearly equal in weights."""
    cdef Py_ssize_t q = 0
    while q < p.n_rectangles and p.rectangles[q].before * size < p.n_weights * member:
        q += 1
    return q if member < size else p.n_rectangles


cdef Py_ssize_t steps(Training* p, Py_ssize_t last, Team* team, int member, real* _) noexcept nogil:
    """Steps over order[first:last], from the flat weights, which stay as they are. Returns where a step failed, or last."""
    cdef Py_ssize_t q0 = first_rectangle(p, member, team.size), q1 = first_rectangle(p, member + 1, team.size)
    cdef Py_ssize_t start = p.first, rows, s, s1, block
    cdef bint few
    cdef double value, divisor, total = p.total_before
    cdef real scale
    cdef real room[2 * TILE_ELEMENTS + BLOCK + 64]
    cdef real* space = <real*>align(room)
    cdef real* dw = space + TILE_ELEMENTS           # a tile of gradients, or the biases of a rectangle
    exchange_all[real](p, q0, q1, True, NULL)
    meet(team)
    while start < last:
        rows = min(p.batch_size, last - start)
        divisor = loss_divisor(p.loss, rows, p.layers[p.n_layers - 1].n_out)
        scale = <real>(1 / divisor)
        few = rows < MANY
        if p.tiny:
            gather[real](p, start, 0, rows, NULL)
            pass_tiny(p, rows, scale)
        elif few:
            pass_few(p, start, rows, scale, team, member, space)
        else:
            part(rows, team, member, &s, &s1)
            block = block_samples[real](s1 - s, p.widest, NULL)
            while s < s1:
                pass_block(p, &p.blocks[member], start, s, min(s + block, s1), scale, space)
                s += block
        meet(team)
        value = interleaved_sum(rows, p.sample_loss) / divisor
        if not isfinite(value):
            return start
        p.finite[member] = learn_tiny[real](p, rows, NULL) if p.tiny else learn(p, rows, few, q0, q1, dw, space)
        meet(team)
        if not all_true(p.finite, team.size):
            return start
        start += rows
        total += value * rows
        if member == 0:
            p.total = total
    return start


cdef void train(Training* p, Team* team, int member, real* _) noexcept nogil:
    cdef Py_ssize_t reached = steps[real](p, p.last, team, member, NULL)
    if reached < p.last:                            # the weights are lost: take the good steps again, to the same bits
        meet(team)
        steps[real](p, reached, team, member, NULL)
    exchange_all[real](p, first_rectangle(p, member, team.size), first_rectangle(p, member + 1, team.size), False, NULL)
    if member == 0:
        p.done = reached - p.first


cdef void train_team(void* job, Team* team, int member) noexcept nogil:
    cdef Training* p = <Training*>job
    if p.is_double:
        train[double](p, team, member, NULL)
    else:
        train[float](p, team, member, NULL)


cdef class Plan:
    """Buffers and loops for training one network; the same as ``reference.Plan``, compiled."""
    cdef Training t
    cdef object arrays                  # keeps weights and velocity alive
    cdef Arena arena, block_arena
    cdef int members                    # for which block_arena has room
    cdef bint busy
    cdef readonly Py_ssize_t batch_size
    cdef public int n_threads
    cdef public Py_ssize_t done

    def __cinit__(self, layers, cnp.ndarray weights, velocity, Py_ssize_t batch_size, int loss, int n_threads):
        cdef Training* t = &self.t
        cdef Py_ssize_t n = len(layers), at = 0, P = len(weights)
        cdef Layer* layer
        cdef int l
        t.is_double = is_double(weights)
        t.n_layers, t.loss, t.batch_size, t.n_weights = n, check_loss(loss, t.is_double), batch_size, P
        t.weights = <char*>vector(weights, t.is_double, P)
        t.velocity = NULL if velocity is None else <char*>vector(velocity, t.is_double, P)
        check_chain(layers)
        if batch_size < 1:
            raise ValueError(f"a batch holds at least one row, got {batch_size}")
        self.arrays = (weights, velocity)
        self.batch_size, self.n_threads = batch_size, n_threads
        self.arena = Arena()
        self.arena.reserve(0)
        self.block_arena, self.members = Arena(), 0
        self.lay_out(layers)            # counts the bytes
        self.arena.reserve(self.arena.used)
        at = self.lay_out(layers)
        check_total(at, P)
        t.widest = max([max(n_in, n_out) for n_in, n_out, _, _ in layers])

    cdef Py_ssize_t lay_out(self, layers) except -1:
        """Places of all buffers in the arena; the number of weights and biases."""
        cdef Training* t = &self.t
        cdef Arena arena = self.arena
        cdef Py_ssize_t size = 8 if t.is_double else 4, at = 0, rows = t.batch_size, l, i
        cdef list rectangles = rectangles_of(layers)
        cdef Layer layer
        cdef Layer* kept = <Layer*>arena.take(t.n_layers * sizeof(Layer))
        cdef Matrix x_rows = self.matrix(arena, rows, layers[0][0])
        t.layers = kept
        t.tiny = rows < MANY and t.loss < OWN_LOSS and all(
            n_in <= TINY and n_out <= TINY and activation < OWN_ACTIVATION for n_in, n_out, activation, _ in layers)
        for l, (n_in, n_out, activation, has_bias) in enumerate(layers):
            layer.n_in, layer.n_out, layer.activation = n_in, n_out, check_activation(activation, t.is_double)
            layer.weight_at = at
            at += n_in * n_out
            layer.bias_at = at if has_bias else -1
            at += n_out if has_bias else 0
            layer.weight, layer.bias = self.matrix(arena, n_out, n_in), self.matrix(arena, 1, n_out).data
            layer.velocity, layer.bias_velocity = Matrix(NULL, 0), NULL
            if t.velocity != NULL:
                layer.velocity, layer.bias_velocity = self.matrix(arena, n_out, n_in), self.matrix(arena, 1, n_out).data
            layer.turned = layer.turned_velocity = Matrix(NULL, 0)
            if t.tiny:
                layer.turned, layer.turned_velocity = self.matrix(arena, n_in, n_out), self.matrix(arena, n_in, n_out)
            layer.x = layer.y = layer.kept = Matrix(NULL, 0)
            layer.x_rows, layer.y_rows = x_rows, self.matrix(arena, rows if l < t.n_layers - 1 else min(rows, MANY), n_out)
            layer.dz, layer.dz_rows = self.matrix(arena, n_out, rows), self.matrix(arena, min(rows, MANY), n_out)
            layer.keeps_input = keeps_input(activation)
            layer.kept_rows = self.matrix(arena, min(rows, MANY), n_out) if layer.keeps_input else layer.y_rows
            x_rows = layer.y_rows
            if kept != NULL:
                kept[l] = layer
        t.target_rows = self.matrix(arena, rows, n_out)
        t.sample_loss = <double*>arena.take((rows + LINE) * sizeof(double))
        t.ones = self.matrix(arena, 1, rows).data
        for i in range(rows if kept != NULL else 0):
            if t.is_double:
                (<double*>t.ones)[i] = 1
            else:
                (<float*>t.ones)[i] = 1
        t.finite = <bint*>arena.take(MAX_TEAM * sizeof(bint))
        t.n_rectangles = len(rectangles)
        t.rectangles = <Rectangle*>arena.take(len(rectangles) * sizeof(Rectangle))
        if kept != NULL:
            before = 0
            for q, (l, o0, o1, i0, i1) in enumerate(rectangles):
                t.rectangles[q] = Rectangle(l, o0, o1, i0, i1, before)
                before += (o1 - o0) * (i1 - i0)
        return at

    cdef int lay_out_blocks(self, int members) except -1:
        """Places of the members' own buffers."""
        cdef Training* t = &self.t
        cdef Arena arena = self.block_arena
        cdef Block* blocks = <Block*>arena.take(members * sizeof(Block))
        cdef Py_ssize_t samples = min(t.batch_size, BLOCK_SAMPLES)
        cdef Layer* layers
        cdef Layer layer
        cdef Matrix x, target
        t.blocks = blocks
        for m in range(members):
            layers = <Layer*>arena.take(t.n_layers * sizeof(Layer))
            x = self.matrix(arena, t.layers[0].n_in, samples)
            for l in range(t.n_layers):
                layer = t.layers[l]
                layer.x, layer.y = x, self.matrix(arena, layer.n_out, samples)
                layer.kept = self.matrix(arena, layer.n_out, samples) if layer.keeps_input else layer.y
                x = layer.y
                if blocks != NULL:
                    layers[l] = layer
            target = self.matrix(arena, layer.n_out, samples)
            if blocks != NULL:
                blocks[m] = Block(layers, target)
        return 0

    cdef Matrix matrix(self, Arena arena, Py_ssize_t rows, Py_ssize_t n):
        """Rows an odd number of cache lines apart, so that columns do not crowd into few sets of the caches; rows and columns
        are padded to whole vectors."""
        cdef Py_ssize_t size = 8 if self.t.is_double else 4, lines = ceil_div(n * size, 64) | 1
        return Matrix(arena.take(ceil_div(rows, LINE) * LINE * lines * 64), lines * 64 // size)

    def run(self, cnp.ndarray x, cnp.ndarray target, order, Py_ssize_t first, Py_ssize_t last, sgd, gradients=None,
            double total=0):
        """Steps over the rows order[first:last]; see README.md."""
        cdef Training* t = &self.t
        cdef Py_ssize_t n = len(x)
        if self.busy:                   # the GIL guards this; without it below, another thread may come here
            raise RuntimeError("this plan is running in another thread; each thread needs a trainer and a model of its own")
        t.x_source, t.target_source = source_of(x), source_of(target)
        t.is_target_input = target is x
        widths = cnp.PyArray_DIM(x, 1), cnp.PyArray_DIM(target, 1)
        if widths != (t.layers[0].n_in, t.layers[t.n_layers - 1].n_out) or len(target) != n:
            raise ValueError(f"x and target of shapes {(<object>x).shape} and {(<object>target).shape} do not fit the plan")
        if not 0 <= first <= last <= (n if order is None else len(order)):
            raise ValueError(f"rows {first} to {last} are not in the data")
        t.order = NULL if order is None else rows_of(order, first, last, n)
        t.gradients = NULL if gradients is None else <char*>vector(gradients, t.is_double, t.n_weights)
        lr, momentum, nesterov, weight_decay = sgd
        if momentum != 0 and t.velocity == NULL:
            raise ValueError(f"momentum {momentum} needs a plan with a velocity")
        t.sgd = SGD(lr, momentum, weight_decay, nesterov)
        t.first, t.last, t.done, t.total, t.total_before = first, last, 0, total, total
        # A barrier takes some tenths of a microsecond, waking the other threads for the run some tens.
        cdef double step = 6.0 * t.n_weights * min(t.batch_size, last - first), run = 6.0 * t.n_weights * (last - first)
        cdef int n_threads = 1 if t.tiny else team_size(run, team_size(8 * step, self.n_threads))
        if n_threads > self.members and t.batch_size >= MANY:
            self.block_arena, self.members = Arena(), 0         # none, should there be no memory
            self.lay_out_blocks(n_threads)      # counts the bytes
            self.block_arena.reserve(self.block_arena.used)
            self.lay_out_blocks(n_threads)
            self.members = n_threads
        self.busy = True
        with nogil:
            run_team(train_team, t, n_threads)
        self.busy = False
        self.done = t.done
        return t.done, t.total


def rectangles_of(layers):
    """(layer, o0, o1, i0, i1) for all weights: BLOCK x BLOCK where that makes many, else half of it each way."""
    for block in (BLOCK, BLOCK // 2):
        found = [
            (l, o, min(o + block, n_out), i, min(i + block, n_in))
            for l, (n_in, n_out, _, _) in enumerate(layers)
            for i in range(0, n_in, block)
            for o in range(0, n_out, block)
        ]
        if len(found) >= 32:
            break
    return found
