"""Samples through all layers, nothing kept: the loops, and the object that calls them; cython/inference.pxi tells how."""

import numpy as np

from .elementwise import all_finite, ceil_div, copy, fill, padded
from .functions import compiled
from .network import (
    FLOAT32,
    FLOAT64,
    LAYER,
    MANY,
    MATRIX,
    SOURCE,
    at,
    block_samples,
    forward,
    forward_few,
    gather_row,
    layer_at,
    part,
    scatter_row,
)
from .team import TEAM, meet
from .tile import transpose
from .unit import INTEGER, POINTER, unit
from .vector import bytes_of, lanes, pointer, record

_N = np.int64
# Two matrices through which samples go in turns, and working copies of a layer and the source: each member's own.
DESK = np.dtype(
    [("one", MATRIX), ("other", MATRIX), ("layer", LAYER), ("corner", SOURCE), ("finite", _N), ("square", _N), ("room", _N)]
)
PASSAGE = np.dtype([(name, _N) for name in ("n_layers", "samples", "widest", "layers", "out", "desks")] + [("x", SOURCE)])
DESK_BYTES = DESK.itemsize


@compiled
def put(m, data, stride):
    m.data, m.stride = data, stride


@unit(PASSAGE, INTEGER, INTEGER, MATRIX, DESK, POINTER)
def load_block(p, first, n, x, desk, room):
    """n samples, from the first on, as columns; those beyond, up to whole vectors, are zero."""
    step, size, n_in, square = lanes(room), bytes_of(room), layer_at(p.layers, 0).n_in, pointer(desk.square, room)
    in_place = p.x.kind == (FLOAT32 if size == 4 else FLOAT64) and p.x.column_stride == size and p.x.row_stride % size == 0
    if p.x.row_ends != 0:
        for f in range(n_in):
            fill(at(x, f, 0, room), ceil_div(n, step) * step, 0)
        for s in range(n):
            scatter_row(p.x, first + s, n_in, x.stride, at(x, 0, s, room))
        return
    corner = desk.corner
    for s in range(0, n, step):
        for f in range(0, n_in, step):
            data = p.x.data + (first + s) * p.x.row_stride + f * p.x.column_stride
            if in_place and s + step <= n and f + step <= n_in:
                transpose(pointer(data, room), p.x.row_stride // size, at(x, f, s, room), x.stride)
            else:
                fill(square, step * step, 0)
                corner.data = data
                for r in range(min(step, n - s)):
                    gather_row(corner, r, min(step, n_in - f), square + r * step)
                transpose(square, step, at(x, f, s, room), x.stride)


@unit(PASSAGE, INTEGER, INTEGER, MATRIX, DESK, POINTER)
def store_block(p, first, n, y, desk, room):
    """n samples' outputs, from columns to the caller's rows."""
    step, n_out, square = lanes(room), layer_at(p.layers, p.n_layers - 1).n_out, pointer(desk.square, room)
    for s in range(0, n, step):
        for f in range(0, n_out, step):
            out = pointer(p.out, room) + ((first + s) * n_out + f)
            if s + step <= n and f + step <= n_out:
                transpose(at(y, f, s, room), y.stride, out, n_out)
            else:
                transpose(at(y, f, s, room), y.stride, square, step)
                for r in range(min(step, n - s)):
                    copy(min(step, n_out - f), out + r * n_out, square + r * step)


@compiled
def infer_many(p, desk, team, member, room):
    """A member's samples, a block at a time through all layers; whether all of them are finite."""
    s, s1 = part(p.samples, team, member)
    block, good, layer = block_samples(s1 - s, p.widest, bytes_of(room)), True, desk.layer
    while s < s1:
        n = min(block, s1 - s)
        end = padded(n, room)
        load_block(p, s, n, desk.one, desk, room)
        for f in range(layer_at(p.layers, 0).n_in):
            good &= all_finite(end, at(desk.one, f, 0, room))
        for l in range(p.n_layers):
            given, x, y = layer_at(p.layers, l), desk.one if l % 2 == 0 else desk.other, desk.other if l % 2 == 0 else desk.one
            take(layer, given)
            put(layer.x, x.data, x.stride)
            put(layer.y, y.data, y.stride)
            put(layer.kept, y.data, y.stride)
            forward(layer, 0, layer.n_out, end, room)
        store_block(p, s, n, desk.one if p.n_layers % 2 == 0 else desk.other, desk, room)
        s += n
    return good


@compiled
def take(layer, given):
    """What a forward pass needs to know of a layer."""
    layer.n_in, layer.n_out, layer.activation, layer.bias = given.n_in, given.n_out, given.activation, given.bias
    layer.across = 1
    put(layer.weight, given.weight.data, given.weight.stride)


@unit(PASSAGE, DESK, TEAM, INTEGER, POINTER, result=True)
def infer_few(p, desk, team, member, room):
    """Few samples, which all members hold in the first one's matrices; whether those that this member gathers are finite."""
    shared, layer, good = record(p.desks, DESK), desk.layer, True
    n_in = layer_at(p.layers, 0).n_in
    for s in range(p.samples * member // team.size, p.samples * (member + 1) // team.size):
        row = at(shared.one, s, 0, room)
        gather_row(p.x, s, n_in, row)
        good &= all_finite(n_in, row)
    for l in range(p.n_layers):
        x, y = shared.one if l % 2 == 0 else shared.other, shared.other if l % 2 == 0 else shared.one
        take(layer, layer_at(p.layers, l))
        last = l == p.n_layers - 1
        put(layer.x_rows, x.data, x.stride)
        put(layer.y_rows, p.out if last else y.data, layer.n_out if last else y.stride)
        put(layer.kept_rows, layer.y_rows.data, layer.y_rows.stride)
        meet(team)
        o0, o1 = part(layer.n_out, team, member)
        if o1 > o0:
            forward_few(layer, p.samples, o0, o1, room)
    return good


@compiled
def infer(p, team, member, like):
    desk = record(p.desks + member * DESK_BYTES, DESK)
    room = pointer(desk.room, like)
    few = p.samples < MANY
    good = infer_few(p, desk, team, member, room) if few else infer_many(p, desk, team, member, room)
    desk.finite = 1 if good else 0
    meet(team)
