# The training plan: one network's buffers, laid out once, and the loop over its steps, run by a team without the GIL.
#
# A step has two phases, each ending in a barrier.
#   1. Samples, as network.pxi says: gather, forward, loss and input gradients; or features of the first and the last layer, as
#      divided.pxi says.
#   2. Weights, as rectangles of at most BLOCK x BLOCK, divided among the members. A tile's gradient is one product over the
#      whole batch, and the optimiser is applied to it at once.
#
# During a run weights live in rows padded to whole vectors, an odd number of cache lines apart; the padding stays zero. The
# flat arrays are written at the end of a run: until then they hold the weights before it, and serve to start again when a
# step fails. The inputs of a layer are kept in both layouts: a feature a row for the forward product, a sample a row for
# the weights' gradient. So are the gradients by a layer's sums: a feature a row, of the whole batch, for the weights' gradient;
# for the product by many weights, whose rows are read as they lie, a sample a row, in the block's own memory.

cdef enum:
    TINY = 16
    BLOCK = 96                      # a multiple of every MR and NR; 36 KB of float32
    WATCHES_A_SECOND = 25           # so that Ctrl-C is soon noticed
    AHEAD_ROWS = 16                 # which are asked for before their turn, at least
    L1_WEIGHTS = 4096               # stay in L1 from step to step
    NEAR_WEIGHTS = 32768            # of a layer, stay in L2 from step to step
    DIVIDED_WEIGHTS = 2097152       # of a network; of more, halves do not stay in a cache either
    DIVIDED_SUMS = 16384            # of a large batch, which members exchange in place of weights and samples
    LOSS_FEATURES = 24              # whose outputs stay in L1 for the loss; a multiple of every MR, and of the loss's 8

cdef struct Rectangle:              # of a layer's weights: outputs o0 to o1, inputs i0 to i1
    int layer
    Py_ssize_t o0, o1, i0, i1
    Py_ssize_t before               # weights in the rectangles before it
    Py_ssize_t place                # among all, whoever has them

cdef struct Block:                  # a member's own buffers, in which a block of many samples passes through the layers
    Layer* layers                   # as the plan's, with x, y, kept and what a recipe needs
    Matrix target
    Matrix rows[2]                  # gradients on their way down, a sample a row
    Py_ssize_t s0, s1               # the samples that are in it
    void* slopes                    # of the penalty kl by the code's outputs
    double* sums
    double* norms                   # of the first layer's rows of weights

cdef struct Share:                  # a member's half of the first layer's inputs and of the last layer's outputs; divided.pxi
    Layer first, last               # first: its weights and x_rows have memory of their own, for these columns alone
    Py_ssize_t input, inputs, output                # where they begin, and how many inputs they are
    Matrix z, dx                    # what they add to the first layer's z and to the last layer's dx
    Matrix target, target_rows      # a feature a row, a sample a row

cdef struct Step:                   # one step; each member has its own
    uint64_t number                 # from the first of the training on
    Py_ssize_t start, rows          # order[start : start + rows]
    double factor                   # of penalties
    Rule rule
    bint divided                    # among two members, by features

cdef struct Entry:                  # an element of a sparse batch
    Py_ssize_t sample
    double value

cdef struct Training:
    Block* blocks                   # blocks_each for each member
    bint divides                    # two members divide features among them
    Share* shares                   # theirs
    Py_ssize_t second               # the rectangle from which on weights are the second member's
    int blocks_each
    bint is_double, is_target_input
    bint tiny                       # of few samples and of layers no wider than TINY
    bint staged                     # samples pass in blocks, however few they are
    bint unfused                    # the whole gradient is kept before an update
    bint has_goal                   # the target lies apart from the input
    bint copies_target              # it is the input before noise
    int n_layers, loss
    Layer* layers
    Py_ssize_t batch_size, n_rectangles, n_weights, widest
    Rectangle* rectangles
    char* weights
    char* velocity                  # NULL where the optimiser has none
    char* square
    char* gradients                 # flat, receive each step's gradients; or NULL
    Rule rule
    Matrix target_rows
    double* sample_loss             # (2, batch_size) of the halves of the outputs
    Py_ssize_t losses_apart
    double* sample_penalty
    double* norms                   # (n_rectangles,) sums of squares of the gradient
    Py_ssize_t* counts              # of targets, one for each member
    void* weight_rows               # (batch_size,) of the samples
    bint* finite                    # one for each member
    Source x_source, target_source
    const cnp.int64_t* order        # or NULL: rows as they are
    Py_ssize_t first, last, done
    double total, total_before      # sum of loss times rows, to which the steps add
    double penalty                  # the part of it that is penalties
    uint64_t step_before
    void* plan                      # the Plan, where it has somebody who watches; else NULL
    bint stop                       # who watches has had enough
    uint64_t float_mode             # the caller's, in which the watcher is called
    const double* schedule          # (steps, 3): lr, momentum, factor of penalties; or NULL
    void* sample_weight             # of all rows, or NULL
    uint64_t key                    # from here on a recipe, as recipe.py has it
    int noise, code
    double level
    Py_ssize_t condition, top_k, accumulate
    double* dropout                 # one for each layer
    double l1, kl, rho, kl_weight, contractive, scale, clip_norm
    bint gaussian, tied, missing, penalised
    void* feature_weight
    bint sparse, sparse_target      # the first layer's weights are turned; targets are put into zeros
    Py_ssize_t most_values          # of a row
    void* values                    # (batch_size, most_values) of the batch, with noise
    void* places                    # for each member (n_in + 2,)
    Entry* entries                  # for each member (batch_size * most_values,)
    void* row_gradients             # for each member a row of the turned weights
    Matrix squares                  # (n_out of the first layer, batch_size) f'(z)^2, for contractive


include "stages.pxi"
include "sparse.pxi"
include "backward.pxi"
include "divided.pxi"


cdef bint all_true(const bint* flags, int n) noexcept nogil:
    cdef int m
    for m in range(n):
        if not flags[m]:
            return False
    return True


cdef inline bint is_divided(const Training* p, int size) noexcept nogil:
    return p.divides and size == 2


cdef Py_ssize_t first_rectangle(const Training* p, int member, int size) noexcept nogil:
    """Where a member's part begins, the parts being nearly equal in weights."""
    cdef Py_ssize_t q = 0
    if is_divided(p, size) and member == 1:
        return p.second
    while q < p.n_rectangles and p.rectangles[q].before * size < p.n_weights * member:
        q += 1
    return q if member < size else p.n_rectangles


cdef struct Watch:                  # when the watcher is called next
    double called, looked           # seconds
    Py_ssize_t interval, left       # steps from look to look at the clock, and until the next


cdef bint watched(Training* p, Watch* watch, Py_ssize_t rows, double total) noexcept nogil:
    """Calls the watcher, if it is time; whether it has had enough. Of the shortest steps, only some look at the clock.

    What members read is not written to in every step: they would wait for it, as for all that shares its line of the cache."""
    cdef double now
    watch.left -= 1
    if p.plan == NULL or watch.left > 0:
        return False
    now = seconds()
    if now - watch.looked < 0.001:
        watch.interval *= 2
    elif now - watch.looked > 0.004 and watch.interval > 1:
        watch.interval //= 2
    watch.looked, watch.left = now, watch.interval
    if now - watch.called < 1.0 / WATCHES_A_SECOND:
        return False
    watch.called, p.total = now, total
    return call_watcher(p, rows)


cdef bint call_watcher(Training* p, Py_ssize_t rows) noexcept with gil:
    cdef bint enough
    set_float_mode(p.float_mode)
    enough = (<Plan>p.plan).call_watcher(rows)
    zero_subnormals()
    return enough


cdef void begin(const Training* p, Step* step, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """The n-th step of a run, over order[start:]."""
    step.number, step.start = p.step_before + n, start
    step.rows = min(p.batch_size * p.accumulate, p.last - start)
    if n > 0 and p.schedule == NULL and p.rule.kind == RULE_SGD:
        return                          # the rule is that of the step before
    step.factor, step.rule = 1, p.rule
    if p.schedule != NULL:
        step.rule.lr, step.rule.momentum, step.factor = p.schedule[3 * n], p.schedule[3 * n + 1], p.schedule[3 * n + 2]
    correct_bias(&step.rule, step.number)


cdef double divisor_of(const Training* p, const Step* step, Team* team, int member, real* _) noexcept nogil:
    """What a step's sum of losses is divided by."""
    cdef Py_ssize_t n_out = p.layers[p.n_layers - 1].n_out, start = step.start, end = step.start + step.rows
    cdef Py_ssize_t s, s1, found = 0, m
    if p.scale > 0:
        return step.rows / p.scale
    if not p.missing or p.loss == HALF_SQUARED:
        return loss_divisor(p.loss, step.rows, n_out)
    while start < end:
        part(min(p.batch_size, end - start), team, member, &s, &s1)
        found += count_targets[real](p, start, s, s1, member, NULL)
        start += p.batch_size
    p.counts[member] = found
    meet(team)
    found = 0
    for m in range(team.size):
        found += p.counts[m]
    meet(team)
    return max(found, 1)


cdef double pass_blocks(const Training* p, const Step* step, Py_ssize_t start, Py_ssize_t rows, real scale, Team* team,
                        int member) noexcept nogil:
    """Phase 1 of many samples, in blocks of their member's; the penalty that a whole batch has."""
    cdef Py_ssize_t s, s1, size
    cdef Block* blocks = p.blocks + member * p.blocks_each
    cdef double penalty = 0
    cdef int n = 0, b
    part(rows, team, member, &s, &s1)
    size = block_samples[real](s1 - s, p.widest, NULL)
    if p.contractive != 0:
        row_norms[real](p, blocks, NULL)
    while s < s1:
        blocks[n].s0, blocks[n].s1 = s, min(s + size, s1)
        pass_up(p, step, &blocks[n], start, scale)
        s += size
        if p.kl == 0:
            pass_down[real](p, step, &blocks[n], NULL, NULL)
        else:
            n += 1
    if p.kl != 0:                       # its slopes need the means of the batch
        meet(team)
        penalty = mean_slopes[real](p, step, rows, blocks, NULL)
        for b in range(n):
            blocks[b].slopes = blocks[0].slopes
            pass_down[real](p, step, &blocks[b], NULL, NULL)
    return penalty


cdef Py_ssize_t tiny_steps(Training* p, Py_ssize_t last, Team* team, real* _) noexcept nogil:
    """As ``steps``, of a tiny network, where some tens of nanoseconds count: one thread, one batch a step, no recipe."""
    cdef Py_ssize_t start = p.first, rows = 0, n = 0
    cdef double value, divisor = 1, total = p.total_before
    cdef real scale = 1
    cdef Step step
    cdef Watch watch = Watch(seconds(), seconds(), 1, 1)
    if p.batch_size == 1 and p.schedule == NULL and p.gradients == NULL and is_plain_sgd(&p.rule):
        start = single_steps[real](p, last, team, NULL)
        if start >= 0:
            return start
        if p.stop:
            last = -1 - start
        start = p.first
    exchange_all[real](p, 0, p.n_rectangles, True, team, 0, NULL)
    while start < last:
        begin(p, &step, start, n)
        n += 1
        if step.rows != rows:
            rows, divisor = step.rows, divisor_of[real](p, &step, team, 0, NULL)
            scale = <real>(1 / divisor)
        gather_plain[real](p, start, rows, 0, NULL)
        pass_tiny(p, rows, scale)
        value = interleaved_sum(rows, p.sample_loss) / divisor
        if not isfinite(value) or not learn_tiny[real](p, &step, rows, NULL):
            break
        p.stop = watched(p, &watch, start - p.first, total)
        start += rows
        total += value * rows
        if p.stop:
            break
    p.total = total
    return start


cdef Py_ssize_t single_steps(Training* p, Py_ssize_t last, Team* team, real* _) noexcept nogil:
    """As ``tiny_steps``, of single samples by plain SGD: where they ended, or -1 less that where not all went well, which is
    only seen in the end."""
    cdef Py_ssize_t start = p.first, now = 1
    cdef Step step = Step(p.step_before, start, 1, 1, p.rule, False)
    cdef double value, divisor = divisor_of[real](p, &step, team, 0, NULL), total = p.total_before
    cdef real scale = <real>(p.rule.lr / divisor)
    cdef Watch watch = Watch(seconds(), seconds(), 1, 1)
    exchange_all[real](p, 0, p.n_rectangles, True, team, 0, NULL)
    begin_singles[real](p, NULL)
    while start < last:
        now = 1 - now
        gather_plain[real](p, start, 1, now, NULL)
        step_single(p, now, scale)
        value = p.sample_loss[0] / divisor
        if not isfinite(value):
            return -1 - start
        p.stop = watched(p, &watch, start - p.first, total)
        start += 1
        total += value
        if p.stop:
            break
    p.total = total
    return start if end_singles[real](p, now, NULL) else -1 - start


cdef inline Py_ssize_t ended(Training* p, Py_ssize_t start, int member, double total, double penalty) noexcept nogil:
    """Where steps ended, and what their losses add up to."""
    if member == 0:
        p.total, p.penalty = total, penalty
    return start


cdef double batch_loss(const Training* p, Py_ssize_t rows, bint few) noexcept nogil:
    """The sum of all samples' losses, which have two parts where the outputs are halved."""
    cdef Py_ssize_t n_out = p.layers[p.n_layers - 1].n_out
    cdef double total = interleaved_sum(rows, p.sample_loss)
    if halfway(n_out) < n_out and not few and not is_whole(p.loss):
        total += interleaved_sum(rows, p.sample_loss + p.losses_apart)
    return total


cdef Py_ssize_t steps(Training* p, Py_ssize_t last, Team* team, int member, real* _) noexcept nogil:
    """Steps over order[first:last], from the flat weights, which stay as they are. Returns where a step failed, or last."""
    cdef Py_ssize_t q0 = first_rectangle(p, member, team.size), q1 = first_rectangle(p, member + 1, team.size)
    cdef Py_ssize_t start = p.first, end, batch, rows, before = 0, n = 0
    cdef bint few, finite
    cdef double value, penalty, divisor = 1, total = p.total_before, total_penalty = 0
    cdef real scale = 1
    cdef real room[(LEARN_TILES + 1) * TILE_ELEMENTS + BLOCK + 64]
    cdef real* dw = <real*>align(room)              # tiles of gradients, or the biases of a rectangle; another tile
    cdef Step step
    cdef Watch watch = Watch(seconds(), seconds(), 1, 1)
    if p.tiny:
        return tiny_steps[real](p, last, team, NULL)
    step.divided = is_divided(p, team.size)
    exchange_all[real](p, q0, q1, True, team, member, NULL)
    meet(team)
    while start < last:
        begin(p, &step, start, n)
        n += 1
        if step.rows != before or p.missing:
            before, divisor = step.rows, divisor_of[real](p, &step, team, member, NULL)
            scale = <real>(1 / divisor)
        value, penalty, batch, end = 0, 0, start, start + step.rows
        while True:
            rows = min(p.batch_size, end - batch)
            few = rows < MANY and not p.staged
            if few:
                if step.divided:
                    join_halves[real](p, &p.shares[member], NULL)
                pass_few(p, &step, batch, rows, scale, team, member)
            elif step.divided:
                pass_divided(p, &step, batch, rows, scale, team, member)
            else:
                penalty += pass_blocks(p, &step, batch, rows, scale, team, member) / step.rows
            meet(team)
            value += batch_loss(p, rows, few) / divisor
            if p.penalised:
                penalty += interleaved_sum(rows, p.sample_penalty) / step.rows
            if not isfinite(value + penalty):
                return ended(p, start, member, total, total_penalty)
            finite = learn(p, &step, rows, few, batch == start, q0, q1, dw)
            if p.sparse:
                finite &= sparse_learn[real](p, &step, batch, rows, team, member, NULL)
            batch += rows
            if batch == end:
                break
            meet(team)                  # before the next batch writes where this one is read
        if p.unfused:
            if p.clip_norm < HUGE_VAL:
                measure[real](p, &step, q0, q1, NULL)
                meet(team)
                step.rule.factor = clip_factor(p)
            finite = apply[real](p, &step, q0, q1, NULL)
        p.finite[member] = finite
        if member == 0 and watched(p, &watch, start - p.first, total):
            p.stop = True
        meet(team)
        if not all_true(p.finite, team.size):
            p.stop = False
            break
        start = end
        value += penalty
        total += value * step.rows
        total_penalty += penalty * step.rows
        if p.stop:
            break
    return ended(p, start, member, total, total_penalty)


cdef void train(Training* p, Team* team, int member, real* _) noexcept nogil:
    cdef Py_ssize_t reached = steps[real](p, p.last, team, member, NULL)
    cdef bint stopped = p.stop
    meet(team)
    if reached < p.last and not stopped:            # the weights are lost: take the good steps again, to the same bits
        reached = steps[real](p, reached, team, member, NULL)
    exchange_all[real](p, first_rectangle(p, member, team.size), first_rectangle(p, member + 1, team.size), False, team, member,
                       NULL)
    if member == 0:
        p.done = reached - p.first


cdef void train_team(void* job, Team* team, int member) noexcept nogil:
    cdef Training* p = <Training*>job
    cdef uint64_t before = zero_subnormals()
    if member == 0:
        p.float_mode = before
    if p.is_double:
        train[double](p, team, member, NULL)
    else:
        train[float](p, team, member, NULL)
    set_float_mode(before)


cdef class Plan:
    """Buffers and loops for training one network; the same as ``reference.Plan``, compiled."""
    cdef Training t
    cdef object arrays                  # keeps them alive
    cdef Arena arena, block_arena
    cdef int members                    # for which block_arena has room
    cdef bint busy, tiny, in_blocks, divisible
    cdef Arena sparse_arena, sparse_work    # for sparse inputs; the first None until there was one
    cdef readonly Py_ssize_t batch_size
    cdef public int n_threads
    cdef public Py_ssize_t done
    cdef readonly double penalty, total
    cdef public object watch            # watch(rows, total), called now and then in a run, which ends where it raises; or None
    cdef object recipe, error

    def __cinit__(self, layers, cnp.ndarray weights, velocity, Py_ssize_t batch_size, int loss, int n_threads, square=None,
                  recipe=None):
        cdef Training* t = &self.t
        cdef Py_ssize_t n = len(layers), at = 0, P = len(weights)
        t.is_double = is_double(weights)
        t.n_layers, t.loss, t.batch_size, t.n_weights = n, check_loss(loss, t.is_double), batch_size, P
        t.weights = <char*>vector(weights, t.is_double, P)
        t.velocity = NULL if velocity is None else <char*>vector(velocity, t.is_double, P)
        t.square = NULL if square is None else <char*>vector(square, t.is_double, P)
        if not layers:
            raise ValueError("a network has at least one layer")
        if batch_size < 1:
            raise ValueError(f"a batch holds at least one row, got {batch_size}")
        for layer in layers:
            check_activation(layer[2], t.is_double)
        self.recipe = check(recipe, layers, loss)
        self.set_recipe(layers)
        self.arrays = (weights, velocity, square)
        self.batch_size, self.n_threads = batch_size, n_threads
        self.arena = Arena()
        self.arena.reserve(0)
        self.block_arena, self.members = Arena(), 0
        self.sparse_arena, self.sparse_work = None, Arena()
        self.lay_out(layers)            # counts the bytes
        self.arena.reserve(self.arena.used)
        at = self.lay_out(layers)
        check_total(at, P)
        t.widest = max([max(n_in, n_out) for n_in, n_out, _, _ in layers])

    cdef int set_recipe(self, layers) except -1:
        """The recipe's numbers; what lies in memory comes with lay_out."""
        cdef Training* t = &self.t
        r = self.recipe
        t.key, t.level, t.condition, t.top_k, t.accumulate = r.key, r.level, r.condition, r.top_k, r.accumulate
        t.noise = 0 if r.noise is None else NOISES.index(r.noise) + 1
        t.code, t.l1, t.kl, t.rho, t.kl_weight, t.contractive = r.code, r.l1, r.kl, r.rho, r.kl_weight, r.contractive
        t.scale, t.clip_norm, t.gaussian, t.tied, t.missing = r.scale, r.clip_norm, r.gaussian, r.tied, r.missing
        t.penalised = r.gaussian or r.l1 != 0 or r.contractive != 0
        t.unfused, self.in_blocks = r.unfused, r.in_blocks or is_whole(t.loss)
        t.feature_weight = NULL
        if r.feature_weight is not None:
            t.feature_weight = contiguous(r.feature_weight, t.is_double, 1, layers[t.n_layers - 1][1], 0)
        self.tiny = t.batch_size < MANY and t.loss < OWN_LOSS and not self.in_blocks and not t.unfused and all(
            n_in <= TINY and n_out <= TINY and activation < OWN_ACTIVATION for n_in, n_out, activation, _ in layers)
        n_in, n_out, widest = layers[0][0], layers[t.n_layers - 1][1], max(layers[0][1], layers[t.n_layers - 1][0])
        self.divisible = (
            t.n_layers > 1 and halfway(n_in) < n_in and halfway(n_out) < n_out and t.n_weights <= DIVIDED_WEIGHTS
            and t.batch_size >= MANY and (t.batch_size <= 2 * BLOCK_SAMPLES or t.batch_size * widest <= DIVIDED_SUMS)
            and not (is_whole(t.loss) or t.noise or t.condition or t.missing or t.tied)
            and t.contractive == 0 and t.kl == 0 and t.feature_weight == NULL)
        return 0

    cdef Py_ssize_t lay_out(self, layers) except -1:
        """Places of all buffers in the arena; the number of weights and biases."""
        cdef Training* t = &self.t
        cdef Arena arena = self.arena
        cdef Py_ssize_t size = 8 if t.is_double else 4, at = 0, rows = t.batch_size, few = min(rows, MANY), l
        cdef list rectangles = rectangles_of(layers)
        cdef Matrix nothing = Matrix(NULL, 0)
        cdef Layer layer
        cdef Layer* kept = <Layer*>arena.take(t.n_layers * sizeof(Layer))
        cdef Matrix x_rows = self.matrix(arena, rows, layers[0][0])
        cdef bint tied
        t.layers = kept
        for l, (n_in, n_out, activation, has_bias) in enumerate(layers):
            tied = t.tied and l >= t.n_layers // 2
            memset(&layer, 0, sizeof(layer))
            layer.n_in, layer.n_out, layer.activation = n_in, n_out, activation
            layer.width = n_out // 2 + t.condition if t.gaussian and l == t.code else n_out
            layer.weight_at = at
            at += n_in * n_out
            layer.bias_at = at if has_bias else -1
            at += n_out if has_bias else 0
            layer.weight, layer.bias = nothing if tied else self.matrix(arena, n_out, n_in), self.matrix(arena, 1, n_out).data
            layer.down, layer.across = layer.weight.stride, 1
            if tied and kept != NULL:
                layer.weight = kept[t.n_layers - 1 - l].weight
                layer.down, layer.across = 1, layer.weight.stride
            if t.velocity != NULL:
                layer.velocity, layer.bias_velocity = self.state(arena, n_out, n_in, tied), self.matrix(arena, 1, n_out).data
            if t.square != NULL:
                layer.square, layer.bias_square = self.state(arena, n_out, n_in, tied), self.matrix(arena, 1, n_out).data
            if t.unfused:
                layer.gradient, layer.bias_gradient = self.state(arena, n_out, n_in, tied), self.matrix(arena, 1, n_out).data
            if self.tiny:
                layer.turned, layer.turned_velocity = self.matrix(arena, n_in, n_out), self.matrix(arena, n_in, n_out)
                layer.turned_square = nothing if t.square == NULL else self.matrix(arena, n_in, n_out)
            layer.x_rows, layer.y_rows = x_rows, self.matrix(arena, rows if l < t.n_layers - 1 else few, layer.width)
            layer.dz = self.matrix(arena, max(n_out, layer.width), rows)
            layer.dz_rows = self.matrix(arena, rows if tied else few, n_out)
            layer.keeps_input = keeps_input(activation)
            layer.kept_rows = self.matrix(arena, few, n_out) if layer.keeps_input else layer.y_rows
            x_rows = layer.y_rows
            if kept != NULL:
                kept[l] = layer
        t.target_rows = self.matrix(arena, rows, n_out)
        t.squares = self.matrix(arena, layers[0][1], rows) if t.contractive != 0 else nothing
        t.losses_apart = rows + LINE
        t.sample_loss = <double*>arena.take(2 * t.losses_apart * sizeof(double))
        t.sample_penalty = <double*>arena.take((rows + LINE) * sizeof(double))
        t.weight_rows = arena.take((rows + LINE) * sizeof(double))
        t.dropout = <double*>arena.take(t.n_layers * sizeof(double))
        for l in range(len(self.recipe.dropout) if kept != NULL else 0):
            t.dropout[l] = self.recipe.dropout[l]
        t.finite = <bint*>arena.take(MAX_TEAM * sizeof(bint))
        t.counts = <Py_ssize_t*>arena.take(MAX_TEAM * sizeof(Py_ssize_t))
        t.n_rectangles = len(rectangles)
        t.rectangles = <Rectangle*>arena.take(len(rectangles) * sizeof(Rectangle))
        t.norms = <double*>arena.take(len(rectangles) * sizeof(double))
        order = range(len(rectangles))
        if self.divisible:
            order, t.second = halves(rectangles, layers)
        for n, place in enumerate(order if kept != NULL else []):
            l, o0, o1, i0, i1 = rectangles[place]
            t.rectangles[n] = Rectangle(l, o0, o1, i0, i1, 0, place)
        if kept != NULL:
            self.share_out()
        return at

    cdef int share_out(self) except -1:
        """The weights before each rectangle, by which they are divided among the members."""
        cdef Training* t = &self.t
        cdef Py_ssize_t before = 0, n
        cdef Rectangle* q
        for n in range(t.n_rectangles):
            q = &t.rectangles[n]
            q.before = before
            if t.layers[q.layer].across == 1 and not (t.sparse and q.layer == 0):
                before += (q.o1 - q.o0) * (q.i1 - q.i0)
        t.n_weights = before
        return 0

    cdef int set_sparse(self, x, Py_ssize_t rows) except -1:
        """Whether the first layer works with a sparse input as it is, and room for that; else a batch's rows are filled up."""
        cdef Training* t = &self.t
        cdef Layer* layer = t.layers
        cdef Py_ssize_t n_in = layer.n_in, n_out = layer.n_out
        cdef bint before = t.sparse
        t.sparse = t.x_source.indices != NULL and t.noise in (0, MASKING, DROPOUT) and t.condition == 0 and not (
            t.unfused or t.tied or t.missing or t.contractive != 0 or (t.gaussian and t.code == 0)
            ) and 8 * x.nnz < rows * n_in and t.n_layers > 1
        t.sparse_target = t.sparse and t.target_source.indices != NULL
        if t.sparse != before:
            self.share_out()
            self.members = 0            # whose blocks have copies of the layers
        if not t.sparse:
            return 0
        if self.sparse_arena is None:
            self.sparse_arena = Arena()
            for _ in range(2):          # counts the bytes, then takes them
                layer.turned = self.matrix(self.sparse_arena, n_in, n_out)
                layer.turned_velocity = self.matrix(self.sparse_arena, n_in if t.velocity != NULL else 1, n_out)
                layer.turned_square = self.matrix(self.sparse_arena, n_in if t.square != NULL else 1, n_out)
                layer.dz_rows = self.matrix(self.sparse_arena, t.batch_size, n_out)
                if self.sparse_arena.block == NULL:
                    self.sparse_arena.reserve(self.sparse_arena.used)
            self.members = 0
        t.most_values = max(1, int(np.diff(x.indptr).max()))
        t.tiny, t.staged, t.has_goal, t.copies_target = False, True, True, False
        return 0

    cdef int reserve_sparse(self, int members) except -1:
        """Room for the elements of a batch."""
        cdef Training* t = &self.t
        cdef Arena arena = self.sparse_work
        cdef Py_ssize_t most = t.batch_size * t.most_values, m
        cdef Matrix target
        for fill in range(2):
            t.values = arena.take(most * sizeof(double))
            t.places = arena.take(members * (t.layers[0].n_in + 2) * sizeof(Py_ssize_t))
            t.entries = <Entry*>arena.take(members * most * sizeof(Entry))
            t.row_gradients = arena.take(members * (t.layers[0].n_out + 64) * sizeof(double))
            if not fill:
                arena.reserve(arena.used)
        for m in range(members if t.sparse_target else 0):
            target = t.blocks[m * t.blocks_each].target
            memset(target.data, 0, t.layers[t.n_layers - 1].n_out * target.stride * (8 if t.is_double else 4))
        return 0

    cdef Matrix state(self, Arena arena, Py_ssize_t n_out, Py_ssize_t n_in, bint tied):
        """As a layer's weights, of which a tied layer has none."""
        return Matrix(NULL, 0) if tied else self.matrix(arena, n_out, n_in)

    cdef int lay_out_blocks(self, int members) except -1:
        """Places of the members' own buffers. With the penalty kl, all blocks of a batch are kept at once."""
        cdef Training* t = &self.t
        cdef Arena arena = self.block_arena
        cdef Py_ssize_t samples = min(t.batch_size, BLOCK_SAMPLES), code = t.layers[t.code if t.code >= 0 else 0].n_out
        cdef Py_ssize_t n_first = t.layers[0].n_out
        cdef Layer* layers
        cdef Layer layer
        cdef Matrix x, target
        cdef Matrix rows[2]
        cdef bint gated
        cdef Block* blocks
        if self.divisible and members > 1:  # half of a batch is one block
            samples = min(t.batch_size, max(samples, ceil_div(t.batch_size, 2 * LINE) * LINE))
        t.blocks_each = 1 + ceil_div(ceil_div(t.batch_size, members) + LINE, 2 * LINE) if t.kl != 0 else 1
        rows[0] = rows[1] = Matrix(NULL, 0)
        blocks = <Block*>arena.take(members * t.blocks_each * sizeof(Block))
        t.blocks = blocks
        for m in range(members * t.blocks_each):
            if m % t.blocks_each == 0:
                rows[0], rows[1] = self.matrix(arena, samples, t.widest), self.matrix(arena, samples, t.widest)
            layers = <Layer*>arena.take(t.n_layers * sizeof(Layer))
            x = self.matrix(arena, t.layers[0].n_in, samples)
            for l in range(t.n_layers):
                layer = t.layers[l]
                gated = t.dropout[l] > 0 or (t.top_k > 0 and l == t.code)
                layer.x, layer.y = x, self.matrix(arena, layer.width, samples)
                layer.kept = layer.value = layer.y
                if gated or (t.gaussian and l == t.code):
                    layer.kept = layer.value = self.matrix(arena, layer.n_out, samples)
                if layer.keeps_input:
                    layer.kept = self.matrix(arena, layer.n_out, samples)
                if gated:
                    layer.gate = self.matrix(arena, layer.n_out, samples)
                if t.gaussian and l == t.code:
                    layer.drawn = self.matrix(arena, layer.n_out // 2, samples)
                x = layer.y
                if blocks != NULL:
                    layers[l] = layer
            target = self.matrix(arena, layer.n_out, samples)
            if blocks != NULL:
                blocks[m] = Block(layers, target, rows, 0, 0, NULL, NULL, NULL)
            if t.kl != 0 and m % t.blocks_each == 0:
                self.room(arena, code, blocks, m, 0)
            if t.contractive != 0:
                self.room(arena, n_first, blocks, m, 1)
        if self.divisible and members > 1:
            self.lay_out_shares()
        return 0

    cdef int lay_out_shares(self) except -1:
        """Places of what two members share of a batch."""
        cdef Training* t = &self.t
        cdef Arena arena = self.block_arena
        cdef const Layer* first = &t.layers[0]
        cdef const Layer* last = &t.layers[t.n_layers - 1]
        cdef Py_ssize_t half_in = halfway(first.n_in), half_out = halfway(last.n_out), rows = t.batch_size, m
        cdef Py_ssize_t size = 8 if t.is_double else 4
        cdef Matrix between = self.matrix(arena, last.n_in, rows)
        cdef void* zeros = self.matrix(arena, 1, first.n_out).data
        cdef const Layer* top
        cdef Share share
        t.shares = <Share*>arena.take(2 * sizeof(Share))
        for m in range(2):
            memset(&share, 0, sizeof(share))
            share.input, share.inputs = m * half_in, first.n_in - half_in if m == 1 else half_in
            share.output = m * half_out
            share.z = self.matrix(arena, first.n_out, rows)
            share.target, share.target_rows = self.matrix(arena, half_out, rows), self.matrix(arena, rows, half_out)
            share.dx = self.matrix(arena, last.n_in, rows) if is_near(last) else self.matrix(arena, rows, last.n_in)
            share.first, share.last = first[0], last[0]
            share.first.x, share.first.kept, share.first.value = self.matrix(arena, half_in, rows), share.z, share.z
            share.first.x_rows = self.columns(arena, rows, half_in, share.input)
            share.first.weight = self.columns(arena, first.n_out, half_in, share.input)
            share.first.down = share.first.weight.stride
            if t.velocity != NULL:
                share.first.velocity = self.columns(arena, first.n_out, half_in, share.input)
            if t.square != NULL:
                share.first.square = self.columns(arena, first.n_out, half_in, share.input)
            if t.unfused:
                share.first.gradient = self.columns(arena, first.n_out, half_in, share.input)
            if m == 1:
                share.first.bias = zeros
            share.last.x, share.last.n_out = between, last.n_out - half_out if m == 1 else half_out
            share.last.weight.data = <char*>last.weight.data + share.output * last.weight.stride * size
            share.last.dz.data = <char*>last.dz.data + share.output * last.dz.stride * size
            share.last.bias = <char*>last.bias + share.output * size
            if t.blocks != NULL:
                top = &t.blocks[m].layers[t.n_layers - 1]
                share.last.kept, share.last.value, share.last.y = top.kept, top.value, top.y
            if t.shares != NULL:
                t.shares[m] = share
        return 0

    cdef int room(self, Arena arena, Py_ssize_t n, Block* blocks, Py_ssize_t m, bint of_norms) except -1:
        """Numbers that a member computes once in a batch."""
        cdef void* first = arena.take(n * sizeof(double))
        cdef void* second = arena.take(n * sizeof(double))
        if blocks != NULL and of_norms:
            blocks[m].norms = <double*>first
        elif blocks != NULL:
            blocks[m].slopes, blocks[m].sums = first, <double*>second
        return 0

    cdef Matrix matrix(self, Arena arena, Py_ssize_t rows, Py_ssize_t n):
        """Rows odd_lines apart; rows and columns are padded to whole vectors."""
        cdef Py_ssize_t size = 8 if self.t.is_double else 4, stride = odd_lines(n, size)
        return Matrix(arena.take(ceil_div(rows, LINE) * LINE * stride * size), stride)

    cdef Matrix columns(self, Arena arena, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t first):
        """Some columns of a matrix, which begins that much earlier, where nothing is ever read."""
        cdef Matrix m = self.matrix(arena, rows, n)
        m.data = <char*>m.data - first * (8 if self.t.is_double else 4)
        return m

    cdef int set_run(self, x, target, order, Py_ssize_t first, Py_ssize_t last, optimizer, gradients, schedule,
                     sample_weight) except -1:
        """The arguments of a run, checked."""
        cdef Training* t = &self.t
        cdef Py_ssize_t n, n_target, width, target_width, n_out = t.layers[t.n_layers - 1].n_out, steps
        t.is_target_input = target is x
        t.x_source, t.target_source = source_of(x, &n, &width), source_of(target, &n_target, &target_width)
        if t.is_target_input:
            target_width -= t.condition
        if (width, target_width) != (t.layers[0].n_in, n_out) or n_target != n:
            raise ValueError(f"x and target of shapes {x.shape} and {target.shape} do not fit the plan")
        if not 0 <= first <= last <= (n if order is None else len(order)):
            raise ValueError(f"rows {first} to {last} are not in the data")
        t.order = NULL if order is None else rows_of(order, first, last, n)
        t.gradients = NULL if gradients is None else <char*>vector(gradients, t.is_double, len(self.arrays[0]))
        t.rule = rule_of(optimizer)
        t.rule.bound = self.recipe.clip_value
        steps = ceil_div(last - first, t.batch_size * t.accumulate)
        t.schedule = NULL
        if schedule is not None:
            t.schedule = <const double*>contiguous(schedule, True, 2, steps, 3)
        if t.velocity == NULL and (keeps_velocity(&t.rule) or schedule is not None and (schedule[:, 1] != 0).any()):
            raise ValueError(f"momentum {t.rule.momentum} needs a plan with a velocity")
        if t.square == NULL and t.rule.kind != RULE_SGD:
            raise ValueError("this optimiser needs a plan with a square")
        t.sample_weight = NULL
        if sample_weight is not None:
            t.sample_weight = contiguous(sample_weight, t.is_double, 1, n, 0)
        t.tiny, t.staged = self.tiny and sample_weight is None, self.in_blocks or sample_weight is not None
        t.divides = (self.divisible and sample_weight is None
                     and t.x_source.indices == NULL and t.target_source.indices == NULL)
        t.copies_target = t.is_target_input and (t.missing or t.noise not in (0, BINARIZE))
        t.has_goal = t.copies_target or not t.is_target_input
        self.set_sparse(x, n)
        return 0

    cdef bint call_watcher(self, Py_ssize_t rows) noexcept:
        """Whether the run is to end."""
        try:
            self.watch(rows, self.t.total)
        except BaseException as error:
            self.error = error
            return True
        return False

    def run(self, x, target, order, Py_ssize_t first, Py_ssize_t last, optimizer, gradients=None, double total=0.0,
            uint64_t step=0, schedule=None, sample_weight=None):
        """Steps over the rows order[first:last]; see README.md."""
        cdef Training* t = &self.t
        if self.busy:                   # the GIL guards this; without it below, another thread may come here
            raise RuntimeError("this plan is running in another thread; each thread needs a trainer and a model of its own")
        self.set_run(x, target, order, first, last, optimizer, gradients, schedule, sample_weight)
        t.first, t.last, t.done, t.total, t.total_before, t.penalty = first, last, 0, total, total, 0
        t.step_before, t.stop, t.plan, self.error = step, False, NULL if self.watch is None else <void*>self, None
        # A barrier takes some tenths of a microsecond, waking the other threads for the run some tens.
        cdef double work = 6.0 * t.n_weights * min(t.batch_size, last - first), run = 6.0 * t.n_weights * (last - first)
        cdef int n_threads = 1 if t.tiny else team_size(run, team_size(8 * work, self.n_threads))
        cdef bint fits = n_threads == self.members if t.kl != 0 else n_threads <= self.members
        if not fits and (t.batch_size >= MANY or t.staged):
            self.block_arena, self.members = Arena(), 0         # none, should there be no memory
            self.lay_out_blocks(n_threads)      # counts the bytes
            self.block_arena.reserve(self.block_arena.used)
            self.lay_out_blocks(n_threads)
            self.members = n_threads
        if t.sparse:
            self.reserve_sparse(n_threads)
        self.busy = True
        with nogil:
            run_team(train_team, t, n_threads)
        self.busy = False
        self.done, self.total, self.penalty = t.done, t.total, t.penalty
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return t.done, t.total


def pieces(n, size):
    """0 to n in pieces of a size at most, none of them in both halves."""
    half = halfway(n)
    return [(a, min(a + size, end)) for start, end in ((0, half), (half, n)) for a in range(start, end, size)]


def rectangles_of(layers):
    """(layer, o0, o1, i0, i1) for all weights: BLOCK x BLOCK where that makes many, else half of it each way."""
    for block in (BLOCK, BLOCK // 2):
        found = [
            (l, o0, o1, i0, i1)
            for l, (n_in, n_out, _, _) in enumerate(layers)
            for i0, i1 in pieces(n_in, block)
            for o0, o1 in pieces(n_out, block)
        ]
        if len(found) >= 32:
            break
    return found


def halves(rectangles, layers):
    """Places of the rectangles of the first of two members who divide features, then the second's; how many the first has."""
    first, second, hidden = [], [], sum(n_in * n_out for n_in, n_out, _, _ in layers[1 : len(layers) - 1])
    for place, (l, o0, o1, i0, i1) in enumerate(rectangles):
        if l == 0:
            mine = i0 < halfway(layers[l][0])
        elif l == len(layers) - 1:
            mine = o0 < halfway(layers[l][1])
        else:
            mine = hidden > 0
            hidden -= 2 * (o1 - o0) * (i1 - i0)
        (first if mine else second).append(place)
    return first + second, len(first)
