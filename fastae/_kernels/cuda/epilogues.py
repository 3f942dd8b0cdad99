"""What a product does with its tile of C, before it is ever stored.

An epilogue has three device functions. ``store(i, j, z, left, operands)`` takes the four numbers z of row i from column j on,
of which ``left`` are inside the matrix; what it writes beyond them is zero, as the padding must be. It returns the sum of
their losses, or 0. ``row(i, total, operands)`` takes the sum over k of A's row i, ``finish(place, total, operands)`` a thread's
sum of what ``store`` returned; either may be None. ``operands`` is a tuple, which each takes apart.
"""

from functools import cache

from ..names import keeps_input
from .formulas import formulas, sgd
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
def last_layer(real, activation, loss):
    """The loss's gradient by z, for operands (bias, target, dz, scale, losses): neither z nor y is stored.

    Each thread adds up the losses of its numbers, at most 64 of them in the kernel's type, and leaves the sum in ``losses``.
    """
    inside, f = cut(real), each(formulas(real).activate[activation])
    term, slope = each_pair(formulas(real).term[loss]), each_pair(formulas(real).slope[loss])
    times_slope = each_pair(formulas(real).times_slope[activation])
    from_input = keeps_input(activation)

    @device
    def store(i, j, z, left, operands):
        bias, targets, dz, scale, _ = operands
        z = plus_each(z, load4(bias, 0, j))
        y, target = f(z), load4(targets, i, j)
        dy = scaled(slope(y, target), scale)
        store4(dz, i, j, inside(times_slope(z if from_input else y, dy), left))
        return total_of(inside(term(y, target), left))

    @device
    def finish(place, total, operands):
        operands[4][place] = total

    return Epilogue(store, None, finish)


@cache
def input_gradient(real, activation):
    """dx := z f'(kept), for operands (kept, dx)."""
    inside, zero = cut(real), real(0)
    times_slope = each_pair(formulas(real).times_slope[activation])

    @device
    def store(i, j, z, left, operands):
        kept, dx = operands
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
def learn(real, momentum, nesterov, has_bias, keep):
    """The optimiser's step, for operands (parameters, velocities, gradients, rates, step, failed).

    The first three are pairs (W, b); gradients are only written, and only where ``keep`` says so. The first step of which a
    result is not finite goes into failed[0].
    """
    inside, zero, update = cut(real), real(0), sgd(momentum, nesterov)

    @device
    def note(nothing, step, failed):
        if nothing != zero and failed[0] < 0:
            failed[0] = step  # of several threads each writes the same

    @device
    def store(i, j, z, left, operands):
        (weight, _), (velocity, _), (gradient, _), rates, step, failed = operands
        dw = inside(z, left)
        w, v = load4(weight, i, j), load4(velocity, i, j)
        w0, v0 = update(w[0], v[0], dw[0], rates)
        w1, v1 = update(w[1], v[1], dw[1], rates)
        w2, v2 = update(w[2], v[2], dw[2], rates)
        w3, v3 = update(w[3], v[3], dw[3], rates)
        w, v = (w0, w1, w2, w3), (v0, v1, v2, v3)
        store4(weight, i, j, w)
        note(total_of(nothing_of_each(w)), step, failed)
        if momentum:
            store4(velocity, i, j, v)
            note(total_of(nothing_of_each(v)), step, failed)
        if keep:
            store4(gradient, i, j, dw)
        return zero

    @device
    def row(i, total, operands):
        (_, bias), (_, velocity), (_, gradient), rates, step, failed = operands
        b, v = update(bias[0, i], velocity[0, i], total, rates)
        bias[0, i] = b
        note(nothing_of(b), step, failed)
        if momentum:
            velocity[0, i] = v
            note(nothing_of(v), step, failed)
        if keep:
            gradient[0, i] = total

    return Epilogue(store, row if has_bias else None, None)
