"""Losses outside a product: of arrays, by samples, and the tally of a step's.

By samples, a block of threads takes a row; a sum's terms are spread over the threads, whose parts are added in pairs.
"""

import math
from functools import cache

import numpy as np

from ..names import LOSSES, WHOLE_ROW
from .formulas import formulas
from .passes import THREADS
from .toolkit import SIMULATED, cuda, device

TERMS = 64  # of a loss of arrays, most that are added in the kernel's type
BLOCKS = 2 if SIMULATED else 1024  # most, of those that take a row


@cache
def loss(real, number):
    """Gradients, and in losses[i] the sum of the terms i, i + losses.size, ..., TERMS at most."""
    term, slope = formulas(real).term[number], formulas(real).slope[number]
    zero = real(0)

    @cuda.jit
    def kernel(y, target, scale, dy, losses):
        for part in range(cuda.grid(1), losses.size, cuda.gridsize(1)):
            total = zero
            for i in range(part, y.size, losses.size):
                total += term(y[i], target[i])
                dy[i] = slope(y[i], target[i]) * scale
            losses[part] = total

    return kernel


@device
def plus(a, b):
    return a + b


@device
def larger(a, b):
    """The larger one; of NaN nothing is promised."""
    return b if b > a else a


@cache
def over_threads(combine):
    """What ``combine`` makes of every thread's number, known to all of them; ``parts`` is shared memory."""

    @device
    def combined(parts, t, mine):
        parts[t] = mine
        half = THREADS // 2
        while half > 0:
            cuda.syncthreads()
            if t < half:
                parts[t] = combine(parts[t], parts[t + half])
            half //= 2
        cuda.syncthreads()
        result = parts[0]
        cuda.syncthreads()
        return result

    return combined


_total = over_threads(plus)


@cache
def measures(real, loss):
    """Two device functions of row i: ``measure``, its loss and three numbers; ``slope`` of y and t, which takes those."""
    zero, one, least = real(0), real(1), real(1e-8)  # PyTorch's bound of the norms of cosine
    largest_of = over_threads(larger)

    @device
    def multinomial(y, target, i, columns, t, parts):
        largest, counts, powers, value = y[i, 0], zero, zero, zero
        for j in range(t, columns, THREADS):
            largest = larger(largest, y[i, j])
        largest = largest_of(parts, t, largest)
        for j in range(t, columns, THREADS):
            powers += math.exp(y[i, j] - largest)  # a NaN in y comes back here
            counts += target[i, j]
        powers, counts = _total(parts, t, powers), _total(parts, t, counts)
        logarithm = math.log(powers)
        for j in range(t, columns, THREADS):
            value += target[i, j] * (logarithm - (y[i, j] - largest))
        return _total(parts, t, value), largest, counts / powers, zero

    @device
    def multinomial_slope(y, t, largest, share, _):
        return math.exp(y - largest) * share - t

    @device
    def cosine(y, target, i, columns, t, parts):
        yy, tt, yt = zero, zero, zero
        for j in range(t, columns, THREADS):
            yy += y[i, j] * y[i, j]
            tt += target[i, j] * target[i, j]
        a, b = math.sqrt(_total(parts, t, yy)), math.sqrt(_total(parts, t, tt))
        bounded = a <= least
        a, b = least if bounded else a, least if b < least else b
        for j in range(t, columns, THREADS):
            yt += (y[i, j] / a) * (target[i, j] / b)
        yt = _total(parts, t, yt)
        return one - yt, one / a, one / b, zero if bounded else yt

    @device
    def cosine_slope(y, t, per_a, per_b, yt):
        return (yt * (y * per_a) - t * per_b) * per_a

    if loss in WHOLE_ROW:
        return (multinomial, multinomial_slope) if LOSSES[loss] == "multinomial" else (cosine, cosine_slope)
    term, slope_of_term = formulas(real).term[loss], formulas(real).slope[loss]

    @device
    def summed(y, target, i, columns, t, parts):
        value = zero
        for j in range(t, columns, THREADS):
            value += term(y[i, j], target[i, j])
        return _total(parts, t, value), zero, zero, zero

    @device
    def slope(y, t, _, __, ___):
        return slope_of_term(y, t)

    return summed, slope


@cache
def row_losses(real, loss, activation, weighted):
    """losses[i] := row i's loss, dz := its gradient by z times ``scale``, y = f(z); dz may be y.

    Both times weights[0, i] where ``weighted`` says so.
    """
    measure, slope = measures(real, loss)
    times_slope = formulas(real).times_slope[activation]

    @cuda.jit
    def kernel(rows, columns, y, kept, target, scale, weights, dz, losses):
        parts = cuda.shared.array(THREADS, real)
        t = cuda.threadIdx.x
        for i in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
            value, p, q, r = measure(y, target, i, columns, t, parts)
            factor = scale * weights[0, i] if weighted else scale
            for j in range(t, columns, THREADS):
                dz[i, j] = times_slope(kept[i, j], slope(y[i, j], target[i, j], p, q, r) * factor)
            if t == 0:
                losses[i] = value * weights[0, i] if weighted else value

    return kernel


def launch_by_rows(kernel, rows, *arguments, stream=0):
    """A kernel in which each block takes some rows."""
    kernel[max(1, min(rows, BLOCKS)), THREADS, stream](rows, *arguments)


@cuda.jit
def tally(losses, n_losses, divisor, penalties, n_penalties, weight, rows, step, totals, failed):
    """totals += rows times the loss of a step, and its part that is penalties, unless a step has failed.

    The loss is the sum of ``losses`` / divisor + weight / rows times that of ``penalties``; where it is not finite, this step
    has failed. One block. It adds in float64, each thread a part and then in pairs, an order that depends on the numbers of
    parts alone. This is the one place where a float32 network meets float64: a few thousand additions a step.
    """
    parts = cuda.shared.array(THREADS, np.float64)
    t = cuda.threadIdx.x
    loss, penalty = 0.0, 0.0
    for i in range(t, n_losses, THREADS):
        loss += losses[i]
    for i in range(t, n_penalties, THREADS):
        penalty += penalties[i]
    loss = _total(parts, t, loss) / divisor
    if n_penalties > 0:
        penalty = weight * _total(parts, t, penalty) / rows
    if t == 0 and failed[0] < 0:
        if math.isfinite(loss + penalty):
            totals[0] += (loss + penalty) * rows
            totals[1] += penalty * rows
        else:
            failed[0] = step
