"""What a product does with its tile of C, before it is ever stored.

An epilogue has three device functions. ``store(i, j, z, left, operands)`` takes the four numbers z of row i from column j on,
of which ``left`` are inside the matrix; what it writes beyond them is zero, as the padding must be. It returns the sum of
their losses, or 0. ``row(i, total, operands)`` takes the sum over k of A's row i, ``finish(place, total, operands)`` a thread's
sum of what ``store`` returned; either may be None. ``operands`` is a tuple, which each takes apart.
"""

import math
from functools import cache

from ..names import keeps_input
from .formulas import formulas, keeps, optimiser
from .gemm import Epilogue
from .toolkit import device, each, each_pair, each_with, load4, store4


@device
def plus(a, b):
    return a + b


@device
def times(a, b):
    return a * b


@device
def nothing_of(a):
    """0, or NaN where a is not finite."""
    return a - a


@device
def total_of(four):
    return (four[0] + four[1]) + (four[2] + four[3])


plus_each = each_pair(plus)
times_each = each_pair(times)
scaled = each_with(times)
nothing_of_each = each(nothing_of)


@cache
def cut(real):
    """Zeros in place of what is beyond the first ``left`` of four numbers."""
    zero = real(0)

    @device
    def inside(four, left):
        return (
            four[0],
            four[1] if left > 1 else zero,
            four[2] if left > 2 else zero,
            four[3] if left > 3 else zero,
        )

    return inside


@cache
def scale_and_add(real):
    """C := alpha z + beta C, for operands (c, alpha, beta)."""
    inside, zero = cut(real), real(0)

    @device
    def store(i, j, z, left, operands):
        c, alpha, beta = operands
        store4(c, i, j, inside(plus_each(scaled(z, alpha), scaled(load4(c, i, j), beta)), left))
        return zero

    return Epilogue(store, None, None)


@cache
def forward(real, activation, keep):
    """y := f(z + bias), for operands (bias, y, kept); kept receives the argument of f where ``keep`` says so."""
    inside, zero, f = cut(real), real(0), each(formulas(real).activate[activation])

    @device
    def store(i, j, z, left, operands):
        bias, y, kept = operands
        z = plus_each(z, load4(bias, 0, j))
        if keep:
            store4(kept, i, j, inside(z, left))
        store4(y, i, j, inside(f(z), left))
        return zero

    return Epilogue(store, None, None)


@cache
def last_layer(real, activation, loss, weighted=False, by_feature=False, missing=False):
    """The loss's gradient by z, for operands (bias, target, dz, scale, losses, sample_weight, feature_weight).

    Neither z nor y is stored. Each thread adds up the losses of its numbers, at most 64 of them in the kernel's type, and
    leaves the sum in ``losses``.
    ``weighted``: by samples; ``missing``: where the target is NaN there is no loss.
    """
    inside, f, zero = cut(real), each(formulas(real).activate[activation]), real(0)
    term, slope = each_pair(formulas(real).term[loss]), each_pair(formulas(real).slope[loss])
    times_slope = each_pair(formulas(real).times_slope[activation])
    from_input = keeps_input(activation)

    @device
    def present_one(a, t):
        return zero if math.isnan(t) else a

    present = each_pair(present_one)

    @device
    def store(i, j, z, left, operands):
        bias, targets, dz, scale, _, sample_weight, feature_weight = operands
        z = plus_each(z, load4(bias, 0, j))
        y, target = f(z), load4(targets, i, j)
        terms, dy = term(y, target), slope(y, target)
        if missing:
            terms, dy = present(terms, target), present(dy, target)
        if by_feature:
            factors = load4(feature_weight, 0, j)
            terms, dy = times_each(terms, factors), times_each(dy, factors)
        if weighted:
            terms, dy = scaled(terms, sample_weight[0, i]), scaled(dy, sample_weight[0, i])
        store4(dz, i, j, inside(times_slope(z if from_input else y, scaled(dy, scale)), left))
        return total_of(inside(terms, left))

    @device
    def finish(place, total, operands):
        operands[4][place] = total

    return Epilogue(store, None, finish)


@cache
def input_gradient(real, activation, gated=False):
    """dx := z f'(kept), for operands (kept, gate, dx); z times the gate first, where there is one."""
    inside, zero = cut(real), real(0)
    times_slope = each_pair(formulas(real).times_slope[activation])

    @device
    def store(i, j, z, left, operands):
        kept, gate, dx = operands
        if gated:
            z = times_each(z, load4(gate, i, j))
        store4(dx, i, j, inside(times_slope(load4(kept, i, j), z), left))
        return zero

    return Epilogue(store, None, None)


@cache
def weight_gradient(real):
    """dW := z and db := the sums of A's rows, for operands (dweight, dbias)."""
    inside, zero = cut(real), real(0)

    @device
    def store(i, j, z, left, operands):
        store4(operands[0], i, j, inside(z, left))
        return zero

    @device
    def row(i, total, operands):
        operands[1][0, i] = total

    return Epilogue(store, row, None)


@cache
def learn(real, rule, has_bias, keep):
    """The optimiser's step, for operands (parameters, velocities, squares, gradients, rates, step, failed).

    The first four are pairs (W, b); gradients are only written, and only where ``keep`` says so. The first step of which a
    result is not finite goes into failed[0].
    """
    inside, zero, update = cut(real), real(0), optimiser(rule)
    has_velocity, has_square = keeps(rule)

    @device
    def note(nothing, step, failed):
        if nothing != zero and failed[0] < 0:
            failed[0] = step  # of several threads each writes the same

    @device
    def store(i, j, z, left, operands):
        (weight, _), (velocity, _), (square, _), (gradient, _), rates, step, failed = operands
        dw = inside(z, left)
        w = load4(weight, i, j)
        v = load4(velocity, i, j) if has_velocity else w
        s = load4(square, i, j) if has_square else w
        w0, v0, s0 = update(w[0], v[0], s[0], dw[0], rates)
        w1, v1, s1 = update(w[1], v[1], s[1], dw[1], rates)
        w2, v2, s2 = update(w[2], v[2], s[2], dw[2], rates)
        w3, v3, s3 = update(w[3], v[3], s[3], dw[3], rates)
        w = inside((w0, w1, w2, w3), left)
        store4(weight, i, j, w)
        note(total_of(nothing_of_each(w)), step, failed)
        if has_velocity:
            v = inside((v0, v1, v2, v3), left)
            store4(velocity, i, j, v)
            note(total_of(nothing_of_each(v)), step, failed)
        if has_square:
            s = s0, s1, s2, s3
            store4(square, i, j, s)
            note(total_of(nothing_of_each(s)), step, failed)
        if keep:
            store4(gradient, i, j, dw)
        return zero

    @device
    def row(i, total, operands):
        (_, bias), (_, velocity), (_, square), (_, gradient), rates, step, failed = operands
        b, v, s = update(bias[0, i], velocity[0, i], square[0, i], total, rates)
        bias[0, i] = b
        note(nothing_of(b), step, failed)
        if has_velocity:
            velocity[0, i] = v
            note(nothing_of(v), step, failed)
        if has_square:
            square[0, i] = s
            note(nothing_of(s), step, failed)
        if keep:
            gradient[0, i] = total

    return Epilogue(store, row if has_bias else None, None)
