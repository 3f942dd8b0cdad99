"""The kernels of the contract that are passes over whole arrays: activations, column sums, a loss, an update."""

import numpy as np

from .elementwise import RATES, activate_rows, ceil_div, copy, differentiate_rows, load_upto, loss_rows, update
from .functions import SGD, all_rates_of, any_step, compiled, keeps_mean, set_rates
from .losses import whole_rows
from .team import meet
from .tile import fma_chain
from .vector import every, full, lanes, number, pointer

_N = np.int64
ELEMENTS = np.dtype([(name, _N) for name in ("activation", "rows", "n", "kept", "source", "out")])
LOSS = np.dtype(
    [(name, _N) for name in ("loss", "rows", "n", "y", "target", "dy", "out", "rooms", "room_bytes")]
    + [(name, np.float64) for name in ("scale", "value")]
)
UPDATE = np.dtype(
    [(name, _N) for name in ("n", "weight", "dweight", "velocity", "square", "step", "flags", "finite")] + [("rates", RATES)]
)
CHAIN = np.dtype([("rounds", _N), ("value", np.float64)])


@compiled
def share(n, team, member):
    """A member's part of n elements, cut at multiples of 64, so that no two members write to one cache line."""
    blocks = ceil_div(n, 64)
    return blocks * member // team.size * 64, min(n, blocks * (member + 1) // team.size * 64)


@compiled
def elements(p, team, member, like):
    """out := f(source), or source f'(kept)."""
    i, end = share(p.n, team, member)
    source, out = pointer(p.source, like) + i, pointer(p.out, like) + i
    if p.kept == 0:
        activate_rows(p.activation, 1, end - i, source, 0, out, 0)
    else:
        differentiate_rows(p.activation, 1, end - i, pointer(p.kept, like) + i, 0, source, 0, out, 0)
    meet(team)


@compiled
def sum_columns(p, team, member, like):
    """out[j] := the sum over i, in order, of source[i, j]."""
    j0, j1 = share(p.n, team, member)
    source, out = pointer(p.source, like), pointer(p.out, like)
    for j in range(j0, j1):
        out[j] = 0
    for i in range(p.rows):
        for j in range(j0, j1):
            out[j] = out[j] + source[i * p.n + j]
    meet(team)


@compiled
def losses(p, team, member, like):
    """Each sample's loss, and their sum in order; dy, where it is not NULL, receives the gradient of scale times it."""
    y, target, out, dy = pointer(p.y, like), pointer(p.target, like), pointer(p.out, 1.0), pointer(p.dy, like)
    row, scale = pointer(p.rooms + member * p.room_bytes, like), number(p.scale, y)
    for i in range(p.rows * member // team.size, p.rows * (member + 1) // team.size):
        loss_rows(p.loss, 1, p.n, y + i * p.n, target + i * p.n, 0, scale, row, 0, out + i)
        if p.dy != 0:
            copy(p.n, dy + i * p.n, row)
    add_losses(p, team, member)


@compiled
def whole_losses(p, team, member, like):
    """The same of a loss of whole rows."""
    y, target, out, dy = pointer(p.y, like), pointer(p.target, like), pointer(p.out, 1.0), pointer(p.dy, like)
    room, scale, i = pointer(p.rooms + member * p.room_bytes, like), number(p.scale, y), p.rows * member // team.size
    end = p.rows * (member + 1) // team.size
    while i < end:
        n, at = min(lanes(room), end - i), i * p.n
        to = dy + at if p.dy != 0 else dy
        whole_rows(p.loss, n, p.n, y + at, target + at, p.n, scale, to, out + i, room)
        i += n
    add_losses(p, team, member)


@compiled
def add_losses(p, team, member):
    meet(team)
    if member == 0:
        out, value = pointer(p.out, 1.0), 0.0
        for i in range(p.rows):
            value += out[i]
        p.value = value
    meet(team)


@compiled
def update_is_finite(s, n, w, v, q, dw):
    """Whether weights, velocity and square would be finite after an update. Nothing is written."""
    zeros, rates, mean, square = full(0, load_upto(w, n)), all_rates_of(s, w), keeps_mean(s), s.kind != SGD
    for i in range(0, n, lanes(w)):
        d = load_upto(dw + i, n - i)
        old_v, old_q = load_upto(v + i, n - i) if mean else d, load_upto(q + i, n - i) if square else d
        now, velocity, squares = any_step(rates, load_upto(w + i, n - i), old_v, old_q, d)
        zeros = zeros + now * 0
        if mean:
            zeros = zeros + velocity * 0
        if square:
            zeros = zeros + squares * 0
    return every(zeros == 0)


@compiled
def update_all(p, team, member, like):
    """An update of flat arrays, where it leaves all of them finite."""
    i, end = share(p.n, team, member)
    w, dw = pointer(p.weight, like) + i, pointer(p.dweight, like) + i
    v, q, flags = pointer(p.velocity, like) + i, pointer(p.square, like) + i, pointer(p.flags, 0)
    if member == 0:
        set_rates(p.rates, p.rates, p.step, p.rates.lr, p.rates.momentum)
    meet(team)
    flags[member] = 1 if update_is_finite(p.rates, end - i, w, v, q, dw) else 0
    meet(team)
    good = True
    for m in range(team.size):
        good &= flags[m] != 0
    if good:
        update(p.rates, 1, end - i, w, 0, v, q, dw, 0)
    p.finite = 1 if good else 0
    meet(team)


@compiled
def chain(p, team, like):
    p.value = float(fma_chain(p.rounds, like))
    meet(team)
