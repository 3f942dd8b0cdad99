"""Training by a recipe: the loop of training.py with what stages.py puts between layers, and with gradients that are kept where
an update needs all of them. ../recipe.py tells of the parts.

All samples pass in blocks, but where nothing is between layers few samples do not. With the penalty kl a batch goes forward as
a whole before it goes backward, so that each block has buffers of its own.
"""

import math

from .backward import (
    TRAINING,
    batch_loss,
    exchange_all,
    forward_and_loss,
    input_gradient,
    learn,
    pass_few,
    rectangle_at,
    start_step,
    turn_samples,
)
from .elementwise import (
    add,
    ceil_div,
    copy,
    differentiate_rows,
    dots,
    fill,
    interleaved_sum,
    load_upto,
    padded,
    sum_rows,
    update,
)
from .functions import compiled
from .losses import weighted_columns, whole_columns
from .machine import MR, NV
from .network import (
    LAYER,
    LINE,
    MANY,
    MATRIX,
    at,
    block_samples,
    forward,
    gather_row,
    halfway,
    layer_at,
    most_samples,
    panel,
    part,
    sum_tile,
    turn,
    zeros_behind,
)
from .stages import DESK, DESK_BYTES, RECIPE, gather_disturbed, kl_penalty, row_norms, stage, unstage, weights_of
from .team import meet
from .training import all_true, divisor_of, first_rectangle
from .unit import INTEGER, POINTER, REAL, unit
from .vector import bytes_of, converted, fma, full, lanes, load, number, pointer, record, store, sum_tree

_LAYERS, _MATRICES = LAYER.itemsize, MATRIX.itemsize


# ---- phase 1 ---------------------------------------------------------------------------------------------------------


@compiled
def any_loss(p, r, top, target, s0, s1, scale, room):
    """The last layer and its loss, of whole rows or weighted, as forward_and_loss."""
    w = padded(s1 - s0, room)
    losses = pointer(p.sample_loss, 1.0) + s0
    weights = weights_of(r, s0, room)
    forward(top, 0, top.n_out, w, room)
    y, t, dz = at(top.y, 0, 0, room), at(target, 0, 0, room), at(top.dz, 0, s0, room)
    ldy, ldt, ldz = top.y.stride, target.stride, top.dz.stride
    if r.whole:
        whole_columns(p.loss, top.n_out, s1 - s0, y, ldy, t, ldt, scale, weights, dz, ldz, losses)
    else:
        fill(losses, s1 - s0, 0)
        features = pointer(r.feature_weight, room)
        half = halfway(top.n_out)
        weighted_columns(p.loss, half, s1 - s0, y, ldy, t, ldt, scale, r.missing, features, weights, dz, ldz, losses)
        if half < top.n_out:
            losses = losses + p.losses_apart
            fill(losses, s1 - s0, 0)
            features = features + half if r.feature_weight != 0 else features
            y, t, slopes = y + half * ldy, t + half * ldt, dz + half * ldz
            weighted_columns(
                p.loss, top.n_out - half, s1 - s0, y, ldy, t, ldt, scale, r.missing, features, weights, slopes, ldz, losses
            )  # fmt: skip
    differentiate_rows(top.activation, top.n_out, w, at(top.kept, 0, 0, room), top.kept.stride, dz, ldz, dz, ldz)


@unit(TRAINING, RECIPE, DESK, INTEGER, MATRIX, INTEGER, INTEGER, REAL, POINTER, group="recipes")
def up(p, r, desk, layers, target, s0, s1, scale, room):
    """A block's samples forward, and the gradient of their loss by the last layer's z."""
    first, top, w = layer_at(layers, 0), p.n_layers - 1, padded(s1 - s0, room)
    gather_disturbed(p, r, desk, s0, s1, room)
    turn_samples(first.x_rows, first.n_in, s0, s1, first.x, room)
    if not p.is_target_input:
        turn_samples(p.target_rows, layer_at(layers, top).n_out, s0, s1, target, room)
    fill(pointer(r.penalties, 1.0) + s0, w, 0)
    for l in range(top):
        layer, above = layer_at(layers, l), layer_at(layers, l + 1)
        forward(layer, 0, layer.n_out, w, room)
        stage(r, desk, layer, first.x, first.n_in, l, s0, w, room)
        rows = at(layer.y_rows, s0, 0, room)
        turn(padded(above.n_in, room), w, at(above.x, 0, 0, room), above.x.stride, rows, layer.y_rows.stride)
    if r.sample_weight != 0:
        weights, penalties = weights_of(r, s0, room), pointer(r.penalties, 1.0) + s0
        for s in range(s1 - s0):
            penalties[s] *= weights[s]
    goal = first.x if p.is_target_input else target
    if r.whole or r.weighted or r.sample_weight != 0:
        any_loss(p, r, layer_at(layers, top), goal, s0, s1, scale, room)
    else:
        forward_and_loss(p, layers, goal, s0, s1, scale, room)


@compiled
def turn_gradient(layer, s0, w, room):
    """dz of a layer with another's weights as rows of samples, which the gradient of those takes."""
    if layer.across != 1:
        rows = at(layer.dz_rows, s0, 0, room)
        turn(padded(layer.n_out, room), w, at(layer.dz, 0, s0, room), layer.dz.stride, rows, layer.dz_rows.stride)


@unit(TRAINING, RECIPE, DESK, INTEGER, INTEGER, INTEGER, POINTER, group="recipes")
def down(p, r, desk, layers, s0, w, room):
    """A block's samples backward."""
    turn_gradient(layer_at(layers, p.n_layers - 1), s0, w, room)
    for l in range(p.n_layers - 1, 0, -1):
        below = layer_at(layers, l - 1)
        input_gradient(layer_at(layers, l), below, s0, w, room)
        if below.staged:
            unstage(r, desk, below, l - 1, s0, w, room)
        turn_gradient(below, s0, w, room)


@compiled
def blocks_each(p, team, like):
    """Blocks of a member who has most."""
    lines = ceil_div(ceil_div(p.batch_size, LINE), team.size)
    return ceil_div(lines * LINE, most_samples(p.widest, bytes_of(like)))


@compiled
def pass_blocks(p, r, desk, scale, team, member, room):
    """Phase 1 of a batch; the penalty of the batch as a whole is returned."""
    s0, s1 = part(desk.samples, team, member)
    block = block_samples(s1 - s0, p.widest, bytes_of(room))
    n, size = member * (blocks_each(p, team, room) if r.kl != 0 else 1), p.n_layers * _LAYERS
    target, apart = record(p.targets + member * _MATRICES, MATRIX), r.kl != 0
    for s in range(s0, s1, max(block, 1)):
        end = min(s + block, s1)
        up(p, r, desk, p.blocks + n * size, target, s, end, scale, room)
        if apart:
            n += 1
        else:
            down(p, r, desk, p.blocks + n * size, s, padded(end - s, room), room)
    if not apart:
        return 0.0
    meet(team)
    penalty, n = kl_penalty(r, desk, layer_at(p.layers, r.code), room), n - ceil_div(s1 - s0, max(block, 1))
    for s in range(s0, s1, max(block, 1)):
        down(p, r, desk, p.blocks + n * size, s, padded(min(s + block, s1) - s, room), room)
        n += 1
    return penalty


@compiled
def count_targets(p, r, desk, team, member, like):
    """Targets of the step that are not NaN, at least 1."""
    counts, row, n_out, found = pointer(r.counts, 0), pointer(desk.row, like), layer_at(p.layers, p.n_layers - 1).n_out, 0
    source, n = p.target_source, layer_at(p.layers, 0).n_in if r.own_target else n_out
    for s in range(desk.rows * member // team.size, desk.rows * (member + 1) // team.size):
        place = desk.start + s
        gather_row(source, place if p.order == 0 else pointer(p.order, 0)[place], n, row)
        for j in range(n_out):
            found += 1 if row[j] == row[j] else 0
    counts[member] = found
    meet(team)
    total = 0
    for m in range(team.size):
        total += counts[m]
    return float(max(total, 1))


# ---- phase 2 ---------------------------------------------------------------------------------------------------------


@compiled
def gradient_tile(p, r, desk, layer, q, few, o, mr, i, nv, totals, room):
    """dz x^T of a tile, behind room's zeros, from all that has part in it."""
    w, size = nv * lanes(room), MR * NV * lanes(room) + 16
    dw, other_dw, n = room + size, room + 2 * size, desk.samples
    rs, cs = (1, layer.dz_rows.stride) if few else (layer.dz.stride, 1)
    dz = at(layer.dz_rows if few else layer.dz, 0, 0, room)
    x, zeros = at(layer.x_rows, 0, i, room), zeros_behind(room)
    sum_tile(mr, nv, n, dz + o * rs, rs, cs, x, layer.x_rows.stride, zeros, dw, w, room, dw, 0)
    if r.tied:  # the layer that has these weights transposed
        other = layer_at(p.layers, p.n_layers - 1 - q.layer)
        x, dz = at(other.x_rows, 0, o, room), at(other.dz_rows, 0, i, room)
        sum_tile(mr, nv, n, x, 1, other.x_rows.stride, dz, other.dz_rows.stride, zeros, other_dw, w, room, dw, 0)
        add(mr * w, dw, other_dw)
    if r.contractive != 0 and q.layer == 0:
        for row in range(mr):
            factor = totals[o - q.o0 + row]
            for j in range(0, w, lanes(room)):
                out = dw + (row * w + j)
                store(out, fma(load(at(layer.weight, o + row, i + j, room)), factor, load(out)))
    return dw


@compiled
def contractive_totals(r, desk, layer, q, ones, totals):
    """Of each row, what its weights are multiplied by in the gradient of the penalty: a sum over the batch."""
    n, factor = q.o1 - q.o0, number(2 * desk.factor * r.contractive / desk.rows, totals)
    dots(1, n, desk.samples, at(layer.squared, q.o0, 0, totals), layer.squared.stride, ones, 0, pointer(0, totals), totals, 0)
    for o in range(n):
        totals[o] = totals[o] * factor


@compiled
def put(flat, stride, at_, rows, n, source, lds):
    """Rows to the caller's gradients."""
    for row in range(rows):
        copy(n, flat + (at_ + row * stride), source + row * lds)


@compiled
def collect_weights(p, r, desk, q, few, first, room):
    """Gradient of a rectangle of weights: added to what the batches before gave, or the weights are updated at once."""
    layer, good, i = layer_at(p.layers, q.layer), True, q.i0
    totals = room + 3 * (MR * NV * lanes(room) + 16)
    if r.contractive != 0 and q.layer == 0:
        contractive_totals(r, desk, layer, q, pointer(p.ones, room), totals)
    while i < q.i1:
        nv = panel(i, q.i1, room)
        w = nv * lanes(room)
        for o in range(q.o0, q.o1, MR):
            mr = min(MR, q.o1 - o)
            dw = gradient_tile(p, r, desk, layer, q, few, o, mr, i, nv, totals, room)
            if r.unfused:
                for row in range(mr):
                    out = at(layer.gradient, o + row, i, room)
                    if first:
                        fill(out, w, 0)
                    add(w, out, dw + row * w)
                continue
            if p.gradients != 0:
                place = layer.weight_at + o * layer.n_in + i
                put(pointer(p.gradients, room), layer.n_in, place, mr, min(w, q.i1 - i), dw, w)
            weight, velocity = at(layer.weight, o, i, room), at(layer.velocity, o, i, room)
            square = at(layer.square, o, i, room)
            good &= update(p.rates, mr, w, weight, layer.weight.stride, velocity, square, dw, w) != 0
        i += w
    return good


@compiled
def update_biases(p, layer, q, db):
    """An update of a rectangle's biases; whether they are finite after it."""
    b, v, s = pointer(layer.bias, db), pointer(layer.bias_velocity, db), pointer(layer.bias_square, db)
    return update(p.rates, 1, q.o1 - q.o0, b + q.o0, 0, v + q.o0, s + q.o0, db, 0) != 0


@compiled
def collect_biases(p, r, desk, q, few, first, room):
    """The same of biases."""
    layer, n, samples = layer_at(p.layers, q.layer), q.o1 - q.o0, desk.samples
    db = room + (MR * NV * lanes(room) + 16)
    if few:
        sum_rows(samples, padded(n, db), at(layer.dz_rows, 0, q.o0, room), layer.dz_rows.stride, db)
    else:
        dots(1, n, samples, at(layer.dz, q.o0, 0, room), layer.dz.stride, pointer(p.ones, room), 0, pointer(0, room), db, 0)
    if r.unfused:
        out = pointer(layer.bias_gradient, room) + q.o0
        for j in range(n):
            out[j] = db[j] if first else out[j] + db[j]
        return True
    if p.gradients != 0:
        copy(n, pointer(p.gradients, room) + (layer.bias_at + q.o0), db)
    return update_biases(p, layer, q, db)


@unit(TRAINING, RECIPE, DESK, INTEGER, INTEGER, INTEGER, INTEGER, POINTER, result=True, group="recipes")
def collect(p, r, desk, few, first, q0, q1, room):
    """Phase 2 of some rectangles and a batch; first: of the step."""
    good = True
    for n in range(q0, q1):
        q = rectangle_at(p, n)
        good &= collect_weights(p, r, desk, q, few, first, room)
        if q.i0 == 0 and layer_at(p.layers, q.layer).bias_at >= 0:
            good &= collect_biases(p, r, desk, q, few, first, room)
    return good


@compiled
def sum_of_squares(n, p):
    total = full(0, converted(load(p), 1.0))
    for i in range(0, n, lanes(p)):
        v = converted(load_upto(p + i, n - i), 1.0)
        total = fma(v, v, total)
    return sum_tree(total)


@unit(TRAINING, RECIPE, INTEGER, INTEGER, POINTER, group="recipes")
def measure(p, r, q0, q1, like):
    """The sums of squares of some rectangles' gradients."""
    for n in range(q0, q1):
        q, total = rectangle_at(p, n), 0.0
        layer = layer_at(p.layers, q.layer)
        for o in range(q.o0, q.o1 if q.i1 > q.i0 else q.o0):
            total += sum_of_squares(q.i1 - q.i0, at(layer.gradient, o, q.i0, like))
        if q.i0 == 0 and layer.bias_at >= 0:
            total += sum_of_squares(q.o1 - q.o0, pointer(layer.bias_gradient, like) + q.o0)
        pointer(r.norms, 1.0)[n] = total


@compiled
def clip_factor(p, r):
    """What the gradient is multiplied by, so that its norm is bounded."""
    norms, total = pointer(r.norms, 1.0), 0.0
    for n in range(p.n_rectangles):
        total += norms[n]
    factor = r.clip_norm / (math.sqrt(total) + 1e-6)
    return 1.0 if factor > 1 else factor


@compiled
def scale_rows(rows, n, p, ld, factor):
    for row in range(rows):
        for i in range(0, n, lanes(p)):
            store(p + (row * ld + i), load(p + (row * ld + i)) * factor)


@unit(TRAINING, REAL, INTEGER, INTEGER, POINTER, result=True, group="recipes")
def apply(p, factor, q0, q1, like):
    """Updates some rectangles with factor times the gradient; whether all weights are finite after it."""
    good = True
    for n in range(q0, q1):
        q = rectangle_at(p, n)
        layer, rows, w = layer_at(p.layers, q.layer), q.o1 - q.o0, q.i1 - q.i0
        if w > 0:
            dw, ld = at(layer.gradient, q.o0, q.i0, like), layer.gradient.stride
            if p.gradients != 0:
                put(pointer(p.gradients, like), layer.n_in, layer.weight_at + q.o0 * layer.n_in + q.i0, rows, w, dw, ld)
            if factor != 1:
                scale_rows(rows, w, dw, ld, factor)
            weight, velocity = at(layer.weight, q.o0, q.i0, like), at(layer.velocity, q.o0, q.i0, like)
            square = at(layer.square, q.o0, q.i0, like)
            good &= update(p.rates, rows, w, weight, layer.weight.stride, velocity, square, dw, ld) != 0
        if q.i0 == 0 and layer.bias_at >= 0:
            db = pointer(layer.bias_gradient, like) + q.o0
            if p.gradients != 0:
                copy(rows, pointer(p.gradients, like) + (layer.bias_at + q.o0), db)
            scale_rows(1, rows, db, 0, factor)
            good &= update_biases(p, layer, q, db)
    return good


# ---- steps -----------------------------------------------------------------------------------------------------------


@compiled
def batch(p, r, desk, scale, team, member, room):
    """Phase 1 of a batch, as training.py; its penalty as a whole."""
    if not r.in_blocks and desk.samples < MANY:
        pass_few(p, desk.start, desk.samples, scale, team, member, room)
        return 0.0
    return pass_blocks(p, r, desk, scale, team, member, room)


@compiled
def begin(p, r, desk, start, rows, team, member, like):
    """What a member must know of a step."""
    step = (start - p.first) // (p.batch_size * r.accumulate)
    if member == 0:  # after the last step's barrier, and before the next one
        start_step(p, step)
    desk.step, desk.rows, desk.start, desk.factor = p.step + step, rows, start, 1.0
    if p.schedule != 0:
        desk.factor = pointer(p.schedule, 1.0)[3 * step + 2]
    if r.contractive != 0:
        row_norms(desk, layer_at(p.layers, 0), like)
    desk.divisor = count_targets(p, r, desk, team, member, like) if r.counted else divisor_of(p, rows)


@compiled
def update_unfused(p, r, q0, q1, team, room):
    """An update from the gradients that were kept."""
    factor = 1.0
    if r.clip_norm < math.inf:
        measure(p, r, q0, q1, room)
        meet(team)
        factor = clip_factor(p, r)
    return apply(p, number(factor, room), q0, q1, room)


@compiled
def steps(p, r, last, team, member, like):
    """Steps over order[first:last], from the flat weights, which stay as they are. Returns where a step failed, or last."""
    q0, q1 = first_rectangle(p, member, team.size), first_rectangle(p, member + 1, team.size)
    room, desk = pointer(p.rooms + member * p.room_bytes, like), record(r.desks + member * DESK_BYTES, DESK)
    flags, penalties = pointer(p.finite, 0), pointer(r.penalties, 1.0)
    start, total, of_penalties = p.first, p.before, 0.0
    exchange_all(p, q0, q1, True, room)
    meet(team)
    while start < last:
        rows, done, value, penalty, good = min(p.batch_size * r.accumulate, last - start), 0, 0.0, 0.0, True
        begin(p, r, desk, start, rows, team, member, room)
        scale = number(1 / desk.divisor, room)
        while done < rows:
            desk.start, desk.place, desk.samples = start + done, done, min(p.batch_size, rows - done)
            pull = batch(p, r, desk, scale, team, member, room)
            meet(team)
            pull = (pull + interleaved_sum(desk.samples, penalties)) / rows
            few = not r.in_blocks and desk.samples < MANY
            loss = batch_loss(p, desk.samples, not (few or r.whole)) / desk.divisor
            value, penalty = value + loss + pull, penalty + pull
            if not math.isfinite(value):
                return start
            if r.unfused or r.tied or r.contractive != 0:
                good &= collect(p, r, desk, few, done == 0, q0, q1, room) != 0
            else:
                good &= learn(p, desk.samples, few, q0, q1, room) != 0
            done += desk.samples
            if done < rows:
                meet(team)
        if r.unfused:
            good = update_unfused(p, r, q0, q1, team, room) != 0
        flags[member] = 1 if good else 0
        meet(team)
        if not all_true(flags, team.size):
            return start
        start += rows
        total = fma(value, rows, total)
        of_penalties = fma(penalty, rows, of_penalties)
        if member == 0:
            p.total, r.penalty = total, of_penalties
    return start


@compiled
def write_both(p, q, like):
    """The transposed weights of a rectangle, to the flat array's place of the layer that has them too."""
    layer, other = layer_at(p.layers, q.layer), layer_at(p.layers, p.n_layers - 1 - q.layer)
    flat = pointer(p.weights, like) + other.weight_at
    for i in range(q.i0, q.i1):
        for o in range(q.o0, q.o1):
            flat[i * other.n_in + o] = at(layer.weight, o, i, like)[0]


@compiled
def train(p, team, member, like):
    r, last, reached = record(p.recipe, RECIPE), p.last, p.last
    while True:
        reached = steps(p, r, last, team, member, like)
        if reached == last:
            break
        last = reached  # the weights are lost: take the good steps again, to the same bits
        meet(team)
        if member == 0:
            p.total, r.penalty = p.before, 0.0
    q0, q1 = first_rectangle(p, member, team.size), first_rectangle(p, member + 1, team.size)
    room = pointer(p.rooms, like)
    exchange_all(p, q0, q1, False, room)
    for n in range(q0, q1):
        if r.tied:
            write_both(p, rectangle_at(p, n), room)
    if member == 0:
        p.done = reached - p.first
    meet(team)
