"""Training's own half of a step: samples and the gradients by them (phase 1), weights and the gradients by them (phase 2)."""

import numpy as np

from .elementwise import (
    RATES,
    add,
    copy,
    differentiate_rows,
    dots,
    fill,
    interleaved_sum,
    loss_columns,
    loss_rows,
    padded,
    sum_rows,
    update,
)
from .functions import SGD, compiled, keeps_mean, set_rates
from .machine import MR, NV
from .network import (
    KC,
    LAYER,
    MATRIX,
    SOURCE,
    at,
    fetch,
    fetch_write,
    forward,
    forward_few,
    gather_row,
    halfway,
    layer_at,
    panel,
    part,
    sum_tile,
    turn,
    zeros_behind,
)
from .team import TEAM, meet
from .tile import AHEAD, tile
from .unit import INTEGER, POINTER, REAL, unit
from .vector import address_of, bytes_of, lanes, pointer, record

BLOCK = 96  # of a rectangle of weights; a multiple of every MR and NR
LOSS_FEATURES = 24  # whose outputs stay in L1 for the loss; a multiple of every MR, and of the loss's 8

_N, _F = np.int64, np.float64
RECTANGLE = np.dtype([(name, _N) for name in ("layer", "o0", "o1", "i0", "i1", "before")])
TRAINING = np.dtype(
    [(name, _N) for name in ("is_target_input", "n_layers", "loss", "layers", "batch_size", "n_rectangles", "rectangles")]
    + [(name, _N) for name in ("n_weights", "widest", "weights", "velocity", "square", "gradients", "sample_loss", "ones")]
    + [("losses_apart", _N)]
    + [(name, _N) for name in ("finite", "blocks", "targets", "rooms", "room_bytes", "order", "first", "last", "done")]
    + [(name, _N) for name in ("step", "schedule", "recipe")]
    + [(name, MATRIX) for name in ("target_rows",)]
    + [(name, RATES) for name in ("optimizer", "rates")]
    + [(name, SOURCE) for name in ("x_source", "target_source")]
    + [(name, _F) for name in ("total", "before", "scale")]
)
_LAYERS, _MATRICES, _RECTANGLES = LAYER.itemsize, MATRIX.itemsize, RECTANGLE.itemsize


@compiled
def row_of(p, place):
    """The row of the data at a place of the order."""
    return place if p.order == 0 else pointer(p.order, np.int64(0))[place]


@compiled
def start_step(p, number):
    """The rates of a step of a run."""
    if p.schedule != 0:
        row = pointer(p.schedule, 1.0) + 3 * number
        set_rates(p.rates, p.optimizer, p.step + number, row[0], row[1])
    elif p.optimizer.kind != SGD or number == 0:
        set_rates(p.rates, p.optimizer, p.step + number, p.optimizer.lr, p.optimizer.momentum)


@unit(TRAINING, INTEGER, INTEGER, INTEGER, POINTER)
def gather(p, start, s0, s1, like):
    """Samples s0 to s1 of the batch that starts at a place of the order, as rows."""
    first, n_out = layer_at(p.layers, 0), layer_at(p.layers, p.n_layers - 1).n_out
    for s in range(s0, s1):
        row = row_of(p, start + s)
        gather_row(p.x_source, row, first.n_in, at(first.x_rows, s, 0, like))
        if not p.is_target_input:
            gather_row(p.target_source, row, n_out, at(p.target_rows, s, 0, like))
        ahead = start + p.batch_size + s  # the same place of the next batch
        if ahead < p.last:
            fetch(p.x_source.data + row_of(p, ahead) * p.x_source.row_stride, p.x_source.row_bytes)


@compiled
def batch_loss(p, rows, halved):
    """The sum of all samples' losses, which have two parts where the outputs are halved."""
    n_out, losses = layer_at(p.layers, p.n_layers - 1).n_out, pointer(p.sample_loss, 1.0)
    total = interleaved_sum(rows, losses)
    if halved and halfway(n_out) < n_out:
        total += interleaved_sum(rows, losses + p.losses_apart)
    return total


@compiled
def turn_samples(rows, n, s0, s1, columns, like):
    """A block's samples, rows s0 to s1, as columns; those up to a whole vector become zero."""
    source = at(rows, s0, 0, like)
    width = padded(s1 - s0, source)
    for s in range(s1, s0 + width):  # what an earlier batch has left there
        fill(at(rows, s, 0, like), n, 0)
    turn(width, padded(n, source), source, rows.stride, at(columns, 0, 0, like), columns.stride)


@unit(TRAINING, INTEGER, MATRIX, INTEGER, INTEGER, REAL, POINTER)
def forward_and_loss(p, layers, target, s0, s1, scale, room):
    """The last layer, its loss and the loss's gradient by the activation's argument, some features at a time. Where these are
    halved, the losses of the second half stand apart. room: a tile, MR zeros and LOSS_FEATURES rows of samples."""
    top, w = layer_at(layers, p.n_layers - 1), padded(s1 - s0, room)
    losses, dy = pointer(p.sample_loss, 1.0) + s0, room + (MR * NV * lanes(room) + 16)
    o, half = 0, halfway(top.n_out)
    fill(losses, s1 - s0, 0)
    while o < top.n_out:
        if o == half:
            losses = losses + p.losses_apart
            fill(losses, s1 - s0, 0)
        o1 = min(o + LOSS_FEATURES, half if o < half else top.n_out)
        forward(top, o, o1, w, room)
        y, t, z = at(top.y, o, 0, room), at(target, o, 0, room), at(top.kept, o, 0, room)
        loss_columns(p.loss, o1 - o, s1 - s0, y, top.y.stride, t, target.stride, scale, dy, w, losses)
        differentiate_rows(top.activation, o1 - o, w, z, top.kept.stride, dy, w, at(top.dz, o, s0, room), top.dz.stride)
        o = o1


@compiled
def times_weights(layer, dz, dx, samples, room):
    """dx := dz W, both a sample a row, as cython/backward.pxi tells: a panel of inputs meets all samples while it is near, and
    meanwhile each tile asks for a line of as many rows of the next panel."""
    line, size = 64 // bytes_of(room), max(min(halfway(layer.n_out), KC), 1)
    for o in range(0, layer.n_out, size):
        k, i = min(size, layer.n_out - o), 0
        while i < layer.n_in:
            nv = panel(i, layer.n_in, room)
            w = nv * lanes(room)
            lines = (w + line - 1) // line
            for s in range(0, samples, MR):
                q = s // MR // lines * (k // AHEAD)
                weight, out = at(layer.weight, o, i, room), at(dx, s, i, room)
                ahead, stride = weight, 0
                if i + w < layer.n_in and q < k:
                    ahead, stride = at(layer.weight, o + q, i + w + s // MR % lines * line, room), layer.weight.stride
                sums, lds = (out, dx.stride) if o == 0 else (room, w)
                tile(
                    min(MR, samples - s), nv, k, at(dz, s, o, room), dz.stride, 1, weight, layer.weight.stride,
                    zeros_behind(room), sums, lds, ahead, stride,
                )  # fmt: skip
                for r in range(min(MR, samples - s) if o > 0 else 0):
                    add(w, out + r * dx.stride, room + r * w)
            i += w


@unit(LAYER, LAYER, INTEGER, INTEGER, POINTER)
def input_gradient(layer, below, s0, samples, room):
    """The dz of the layer below := (W^T dz) f'(kept), f the activation below unless it is left to a stage, for a block of
    samples from column s0 of dz."""
    dz, under, inputs = at(layer.dz, 0, s0, room), at(below.dz, 0, s0, room), padded(layer.n_in, room)
    if layer.across == 1:
        if not layer.in_rows:
            rows = at(layer.dz_block, 0, 0, room)
            turn(padded(layer.n_out, room), samples, dz, layer.dz.stride, rows, layer.dz_block.stride)
        times_weights(layer, layer.dz_block, below.dz_block, samples, room)
        rows, ldr = at(below.dz_block, 0, 0, room), below.dz_block.stride
        if below.in_rows:
            kept = at(below.y_rows, s0, 0, room)
            differentiate_rows(below.slope, samples, inputs, kept, below.y_rows.stride, rows, ldr, rows, ldr)
        turn(samples, inputs, rows, ldr, under, below.dz.stride)
    else:  # another layer's weights, whose rows are this one's columns
        for i in range(0, layer.n_in, MR):
            mr, s, weight = min(MR, layer.n_in - i), 0, pointer(layer.weight.data, room) + i * layer.across
            while s < samples:
                nv = panel(s, samples, room)
                sum_tile(
                    mr, nv, layer.n_out, weight, layer.across, layer.weight.stride, dz + s, layer.dz.stride,
                    zeros_behind(room), under + (i * below.dz.stride + s), below.dz.stride, room, weight, 0,
                )  # fmt: skip
                s += nv * lanes(room)
    if not below.in_rows:
        ldz, kept = below.dz.stride, at(below.kept, 0, 0, room)
        differentiate_rows(below.slope, below.n_out, samples, kept, below.kept.stride, under, ldz, under, ldz)


@unit(TRAINING, INTEGER, MATRIX, INTEGER, INTEGER, INTEGER, REAL, POINTER)
def pass_block(p, layers, target, start, s0, s1, scale, room):
    """Phase 1 of some of many samples."""
    first, top = layer_at(layers, 0), p.n_layers - 1
    w = padded(s1 - s0, room)
    gather(p, start, s0, s1, room)
    turn_samples(first.x_rows, first.n_in, s0, s1, first.x, room)
    if not p.is_target_input:
        turn_samples(p.target_rows, layer_at(layers, top).n_out, s0, s1, target, room)
    for l in range(top):
        layer = layer_at(layers, l)
        forward(layer, 0, layer.n_out, w, room)
        y, rows = at(layer.y, 0, 0, room), at(layer.y_rows, s0, 0, room)
        turn(padded(layer.n_out, room), w, y, layer.y.stride, rows, layer.y_rows.stride)
    forward_and_loss(p, layers, first.x if p.is_target_input else target, s0, s1, scale, room)
    for l in range(top, 0, -1):
        input_gradient(layer_at(layers, l), layer_at(layers, l - 1), s0, w, room)


@compiled
def input_gradient_few(layer, below, samples, i0, i1, room):
    """The same for some inputs of few samples."""
    i = i0
    while i < i1:
        nv = panel(i, i1, room)
        w = nv * lanes(room)
        for s in range(0, samples, MR):
            mr, dz, kept = min(MR, samples - s), at(below.dz_rows, s, i, room), at(below.kept_rows, s, i, room)
            sum_tile(
                mr, nv, layer.n_out, at(layer.dz_rows, s, 0, room), layer.dz_rows.stride, 1, at(layer.weight, 0, i, room),
                layer.weight.stride, zeros_behind(room), dz, below.dz_rows.stride, room, dz, 0,
            )  # fmt: skip
            ldk, ldz = below.kept_rows.stride, below.dz_rows.stride
            differentiate_rows(below.activation, mr, w, kept, ldk, dz, ldz, dz, ldz)
        i += w


@unit(TRAINING, INTEGER, INTEGER, REAL, TEAM, INTEGER, POINTER)
def pass_few(p, start, samples, scale, team, member, room):
    """Phase 1 of few samples."""
    target = layer_at(p.layers, 0).x_rows if p.is_target_input else p.target_rows
    s0, s1 = samples * member // team.size, samples * (member + 1) // team.size
    gather(p, start, s0, s1, room)
    for l in range(p.n_layers):
        meet(team)
        layer = layer_at(p.layers, l)
        first, last = part(layer.n_out, team, member)
        if last > first:
            forward_few(layer, samples, first, last, room)
    meet(team)
    if s1 > s0:
        layer = layer_at(p.layers, p.n_layers - 1)
        dz, y, t = at(layer.dz_rows, s0, 0, room), at(layer.y_rows, s0, 0, room), at(target, s0, 0, room)
        losses, ldz = pointer(p.sample_loss, 1.0) + s0, layer.dz_rows.stride
        loss_rows(p.loss, s1 - s0, layer.n_out, y, t, layer.y_rows.stride, scale, dz, ldz, losses)
        kept, ldk = at(layer.kept_rows, s0, 0, room), layer.kept_rows.stride
        differentiate_rows(layer.activation, s1 - s0, layer.n_out, kept, ldk, dz, ldz, dz, ldz)
    for l in range(p.n_layers - 1, 0, -1):
        meet(team)
        layer = layer_at(p.layers, l)
        first, last = part(layer.n_in, team, member)
        input_gradient_few(layer, layer_at(p.layers, l - 1), samples, first, last, room)


# ---- phase 2 ---------------------------------------------------------------------------------------------------------


@compiled
def exchange(layer, q, flat, rows, bias, pack, like):
    """A rectangle from a flat array (weights, velocity or square) to its rows, their padding zero, or back."""
    for o in range(q.o0, q.o1):
        a, b = pointer(flat, like) + (layer.weight_at + o * layer.n_in + q.i0), at(rows, o, q.i0, like)
        copy(q.i1 - q.i0, b if pack else a, a if pack else b)
        if pack and q.i1 == layer.n_in:  # a step that failed has left NaN there
            fill(b + (q.i1 - q.i0), padded(q.i1, b) - q.i1, 0)
    if q.i0 == 0 and layer.bias_at >= 0:
        a, b = pointer(flat, like) + (layer.bias_at + q.o0), pointer(bias, like) + q.o0
        copy(q.o1 - q.o0, b if pack else a, a if pack else b)


@unit(TRAINING, INTEGER, INTEGER, INTEGER, POINTER)
def exchange_all(p, q0, q1, pack, like):
    for n in range(q0, q1):
        q = rectangle_at(p, n)
        layer = layer_at(p.layers, q.layer)
        exchange(layer, q, p.weights, layer.weight, layer.bias, pack, like)
        if p.velocity != 0:
            exchange(layer, q, p.velocity, layer.velocity, layer.bias_velocity, pack, like)
        if p.square != 0:
            exchange(layer, q, p.square, layer.square, layer.bias_square, pack, like)


@compiled
def rectangle_at(p, n):
    return record(p.rectangles + n * _RECTANGLES, RECTANGLE)


@compiled
def learn_weights(p, q, samples, few, room):
    """Gradient dz x^T over the whole batch and update of a rectangle of weights; whether all are finite after it."""
    layer, good, i = layer_at(p.layers, q.layer), True, q.i0
    rs, cs = (1, layer.dz_rows.stride) if few else (layer.dz.stride, 1)
    dz = at(layer.dz_rows if few else layer.dz, 0, 0, room)
    dw, mean = room + (MR * NV * lanes(room) + 16), keeps_mean(p.rates)
    while i < q.i1:
        nv = panel(i, q.i1, room)
        w = nv * lanes(room)
        for o in range(q.o0, q.o1, MR):
            mr = min(MR, q.o1 - o)
            weight, velocity, square = (
                at(layer.weight, o, i, room),
                at(layer.velocity, o, i, room),
                at(layer.square, o, i, room),
            )
            for r in range(mr):  # so that it comes while the gradient is computed
                fetch_write(address_of(weight + r * layer.weight.stride), w * bytes_of(room))
                if mean:
                    fetch_write(address_of(velocity + r * layer.weight.stride), w * bytes_of(room))
                if p.rates.kind != SGD:
                    fetch_write(address_of(square + r * layer.weight.stride), w * bytes_of(room))
            if i + w < q.i1:  # a part of the next panel of x
                for r in range(samples * (o - q.o0) // (q.o1 - q.o0), samples * (o + mr - q.o0) // (q.o1 - q.o0)):
                    fetch(address_of(at(layer.x_rows, r, i + w, room)), w * bytes_of(room))
            x = at(layer.x_rows, 0, i, room)
            zeros = zeros_behind(room)
            sum_tile(mr, nv, samples, dz + o * rs, rs, cs, x, layer.x_rows.stride, zeros, dw, w, room, dw, 0)
            good &= update(p.rates, mr, w, weight, layer.weight.stride, velocity, square, dw, w)
            if p.gradients != 0:
                for r in range(mr):
                    target = pointer(p.gradients, room) + (layer.weight_at + (o + r) * layer.n_in + i)
                    copy(min(w, q.i1 - i), target, dw + r * w)
        i += w
    return good


@compiled
def learn_biases(p, q, samples, few, room):
    """The same of the biases of a rectangle's outputs: the gradient is the sum of dz over the batch."""
    layer, n = layer_at(p.layers, q.layer), q.o1 - q.o0
    db = room + (MR * NV * lanes(room) + 16)
    if few:
        sum_rows(samples, padded(n, db), at(layer.dz_rows, 0, q.o0, room), layer.dz_rows.stride, db)
    else:
        dots(1, n, samples, at(layer.dz, q.o0, 0, room), layer.dz.stride, pointer(p.ones, room), 0, pointer(0, room), db, 0)
    if p.gradients != 0:
        copy(n, pointer(p.gradients, room) + (layer.bias_at + q.o0), db)
    bias, velocity, square = pointer(layer.bias, room), pointer(layer.bias_velocity, room), pointer(layer.bias_square, room)
    return update(p.rates, 1, n, bias + q.o0, 0, velocity + q.o0, square + q.o0, db, 0)


@unit(TRAINING, INTEGER, INTEGER, INTEGER, INTEGER, POINTER, result=True)
def learn(p, samples, few, q0, q1, room):
    """Phase 2 of some rectangles; whether all weights are finite after it."""
    good = True
    for n in range(q0, q1):
        q = rectangle_at(p, n)
        good &= learn_weights(p, q, samples, few, room)
        if q.i0 == 0 and layer_at(p.layers, q.layer).bias_at >= 0:
            good &= learn_biases(p, q, samples, few, room)
    return good
