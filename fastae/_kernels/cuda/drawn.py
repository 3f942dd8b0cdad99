"""What a recipe adds before the first layer and to the outputs of the others: kernels that draw random numbers.

A thread takes a counter of a sample, which gives the numbers of four features; ``key`` and ``place`` are of philox.py.
"""

import math
from functools import cache

from .formulas import formulas
from .philox import counters, draws, feature
from .toolkit import cuda, device


@cache
def disturb(real, kind, missing):
    """out := x with noise (unless ``kind`` is None) on its first ``disturbed`` columns, and 0 for NaN if ``missing``."""
    zero, one, half = real(0), real(1), real(0.5)
    draw = draws(real, kind == "gaussian")

    @device
    def gaussian(x, n, level):
        return x + level * n

    @device
    def masking(x, u, level):
        return zero if u < level else x

    @device
    def dropout(x, u, level):
        return zero if u < level else x * (one / (one - level))

    @device
    def salt_and_pepper(x, u, level):
        return one if u < half * level else zero if u < level else x

    @device
    def binarize(x, u, level):
        return one if u < x else zero

    @device
    def nothing(x, u, level):
        return x

    kinds = gaussian, masking, dropout, salt_and_pepper, binarize
    noisy = nothing if kind is None else next(f for f in kinds if f.__name__ == kind)

    @cuda.jit
    def kernel(rows, columns, disturbed, key, place, level, x, out):
        across = counters(columns)
        for at in range(cuda.grid(1), rows * across, cuda.gridsize(1)):
            i, c = at // across, at % across
            numbers = draw(key, place, i, c)
            for j in range(4):
                f = feature(c, j)
                if f < columns:
                    value = x[i, f]
                    if missing and math.isnan(value):
                        value = zero
                    out[i, f] = noisy(value, numbers[j], level) if f < disturbed else value

    return kernel


@cache
def drop(real):
    """gate := 0 with probability p, else ``kept``; out := y times gate."""
    zero, draw = real(0), draws(real, False)

    @cuda.jit
    def kernel(rows, columns, key, place, p, kept, y, gate, out):
        across = counters(columns)
        for at in range(cuda.grid(1), rows * across, cuda.gridsize(1)):
            i, c = at // across, at % across
            numbers = draw(key, place, i, c)
            for j in range(4):
                f = feature(c, j)
                if f < columns:
                    g = zero if numbers[j] < p else kept
                    gate[i, f] = g
                    out[i, f] = y[i, f] * g

    return kernel


@cache
def gaussian_code(real):
    """A code from the k means and k logarithms of variances in y, and behind it x's ``condition`` last features.

    ``spread`` := exp(s / 2) e, which the gradient needs; penalties[thread] := the sum of (exp(s) + m^2 - 1 - s) / 2.
    """
    zero, half, one, draw, exp = real(0), real(0.5), real(1), draws(real, True), formulas(real).exp

    @cuda.jit
    def kernel(rows, k, key, place, y, x, n_in, condition, spread, out, penalties):
        across, penalty = counters(k), zero
        for at in range(cuda.grid(1), rows * across, cuda.gridsize(1)):
            i, c = at // across, at % across
            normals = draw(key, place, i, c)
            for j in range(4):
                f = feature(c, j)
                if f < k:
                    m, s = y[i, f], y[i, k + f]
                    deviation = exp(half * s)
                    penalty += half * (deviation * deviation + m * m - one - s)
                    spread[i, f] = deviation * normals[j]
                    out[i, f] = m + deviation * normals[j]
        penalties[cuda.grid(1)] = penalty
        for at in range(cuda.grid(1), rows * condition, cuda.gridsize(1)):
            i, f = at // condition, at % condition
            out[i, k + f] = x[i, n_in - condition + f]

    return kernel


@cache
def gaussian_code_gradient(real, activation, gated):
    """dz of the code's layer, from the gradient ``dy`` by the code and the penalty, of which ``weight`` is the factor."""
    half, one, exp, times_slope = real(0.5), real(1), formulas(real).exp, formulas(real).times_slope[activation]

    @cuda.jit
    def kernel(rows, k, weight, y, kept, gate, spread, dy, dz):
        for at in range(cuda.grid(1), rows * k, cuda.gridsize(1)):
            i, f = at // k, at % k
            m, s = y[i, f], y[i, k + f]
            by_mean = dy[i, f] + weight * m
            by_logarithm = half * (dy[i, f] * spread[i, f] + weight * (exp(s) - one))
            if gated:
                by_mean *= gate[i, f]
                by_logarithm *= gate[i, k + f]
            dz[i, f] = times_slope(kept[i, f], by_mean)
            dz[i, k + f] = times_slope(kept[i, k + f], by_logarithm)

    return kernel
