"""The kernels of the contract that are passes over whole arrays: activations, column sums, a loss, an update."""

import numpy as np

from .elementwise import SGD, activate_rows, ceil_div, copy, differentiate_rows, load_upto, loss_rows, update
from .functions import compiled, loss_divisor, rates_of, sgd_step
from .team import meet
from .tile import fma_chain
from .vector import every, full, lanes, number, pointer

_N = np.int64
ELEMENTS = np.dtype([(name, _N) for name in ("activation", "rows", "n", "kept", "source", "out")])
LOSS = np.dtype([(name, _N) for name in ("loss", "rows", "n", "y", "target", "dy", "row")] + [("value", np.float64)])
UPDATE = np.dtype([(name, _N) for name in ("n", "weight", "dweight", "velocity", "finite")] + [("sgd", SGD)])
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
def loss(p, like):
    """The loss of a batch, its samples added in order; dy, where it is not NULL, receives its gradient. row: a padded one."""
    divisor, value = loss_divisor(p.loss, p.rows, p.n), 0.0
    y, target, row = pointer(p.y, like), pointer(p.target, like), pointer(p.row, like)
    term = pointer(p.row, 1.0)  # the sum of a row, in front of its slopes
    row = row + 8
    for i in range(p.rows):
        loss_rows(p.loss, 1, p.n, y + i * p.n, target + i * p.n, 0, number(1 / divisor, row), row, 0, term)
        value += term[0]
        if p.dy != 0:
            copy(p.n, pointer(p.dy, like) + i * p.n, row)
    p.value = value / divisor if divisor > 0 else 0.0


@compiled
def update_is_finite(s, n, w, v, dw):
    """Whether weights and velocity would be finite after an update. Nothing is written."""
    zeros, rates = full(0, load_upto(w, n)), rates_of(s, w)
    for i in range(0, n, lanes(w)):
        old = load_upto(w + i, n - i)
        now, velocity = sgd_step(rates, old, load_upto(v + i, n - i), load_upto(dw + i, n - i))
        zeros = zeros + now * 0
        if s.momentum != 0:
            zeros = zeros + velocity * 0
    return every(zeros == 0)


@compiled
def sgd(p, like):
    w, v, dw = pointer(p.weight, like), pointer(p.velocity, like), pointer(p.dweight, like)
    good = update_is_finite(p.sgd, p.n, w, v, dw)
    if good:
        update(p.sgd, 1, p.n, w, 0, v, dw, 0)
    p.finite = 1 if good else 0


@compiled
def chain(p, team, like):
    p.value = float(fma_chain(p.rounds, like))
    meet(team)
