"""Activations, losses and optimisers: each formula once, as a device function of numbers.

The tables follow ``names.py``. Every constant is of the kernel's own type: a plain 0.01 is a float64 to numba, and would turn
all that it touches into one, at a thirty-second of the speed of float32 on most GPUs. exp, log and their kin have arguments for
which they do not overflow, and which Python's ``math`` (the simulator's) accepts.
"""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np

from ..names import OPTIMIZERS
from ..reference import LEAKY_SLOPE
from .toolkit import device

ADAMS = "adam", "adamw"


@device
def identity(z):
    return z


@device
def times_one(kept, dy):
    return dy


@cache
def formulas(real):
    """Tables by number: ``activate`` f(z), ``times_slope`` dy f'(kept), ``term`` and ``slope`` of a loss by (y, target)."""
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    leaky, root_half, density = real(LEAKY_SLOPE), real(math.sqrt(0.5)), real(1 / math.sqrt(2 * math.pi))
    infinity, largest = real(math.inf), real(math.log(np.finfo(real).max))
    lowest_log, its_argument, least_variance = real(-100), real(math.exp(-100)), real(1e-12)  # PyTorch's bounds of bce

    @device
    def relu(z):
        return zero if z <= zero else z  # a NaN is not below 0

    @device
    def times_relu_slope(y, dy):
        return dy if y > zero else zero

    @device
    def leaky_relu(z):
        return leaky * z if z <= zero else z

    @device
    def times_leaky_relu_slope(y, dy):
        return dy if y > zero else leaky * dy

    @device
    def elu(z):
        return math.expm1(z) if z <= zero else z

    @device
    def times_elu_slope(y, dy):
        return dy if y > zero else dy * (y + one)

    @device
    def sigmoid(z):
        e = math.exp(-abs(z))
        return (e if z < zero else one) / (one + e)

    @device
    def times_sigmoid_slope(y, dy):
        return dy * (y * (one - y))

    @device
    def tanh(z):
        return math.tanh(z)

    @device
    def times_tanh_slope(y, dy):
        return dy * (one - y * y)

    @device
    def softplus(z):
        return relu(z) + math.log1p(math.exp(-abs(z)))

    @device
    def times_softplus_slope(y, dy):
        return -dy * math.expm1(-y)

    @device
    def normal_cdf(z):
        return half * math.erfc(-z * root_half)

    @device
    def gelu(z):
        return z * normal_cdf(z)

    @device
    def times_gelu_slope(z, dy):
        return dy * (normal_cdf(z) + z * (density * math.exp(-half * z * z)))

    @device
    def silu(z):
        return z * sigmoid(z)

    @device
    def times_silu_slope(z, dy):
        s = sigmoid(z)
        return dy * (s * (one + z * (one - s)))

    @device
    def half_squared(y, t):
        return half * (y - t) * (y - t)

    @device
    def half_squared_slope(y, t):
        return y - t

    @device
    def squared(y, t):
        return (y - t) * (y - t)

    @device
    def squared_slope(y, t):
        return two * (y - t)

    @device
    def bounded_log(p):
        return lowest_log if p <= its_argument else math.log(p)

    @device
    def bounded_log_of_rest(p):
        return lowest_log if p >= one else math.log1p(-p)

    @device
    def bce(y, t):
        return -(t * bounded_log(y) + (one - t) * bounded_log_of_rest(y))

    @device
    def bce_slope(y, t):
        variance = y * (one - y)
        return (y - t) / (least_variance if variance < least_variance else variance)

    @device
    def bce_with_logits(y, t):
        return softplus(y) - y * t

    @device
    def bce_with_logits_slope(y, t):
        return sigmoid(y) - t

    @device
    def absolute(y, t):
        return math.fabs(y - t)

    @device
    def absolute_slope(y, t):
        return one if y > t else -one if y < t else y - t

    @device
    def huber(y, t):
        d = math.fabs(y - t)
        return half * d * d if d <= one else d - half

    @device
    def huber_slope(y, t):
        return one if y - t > one else -one if y - t < -one else y - t

    @device
    def bounded_exp(y):  # infinity beyond, and so that Python's math accepts it
        return infinity if y > largest else math.exp(y)

    @device
    def poisson(y, t):
        return bounded_exp(y) - y * t

    @device
    def poisson_slope(y, t):
        return bounded_exp(y) - t

    return SimpleNamespace(
        exp=bounded_exp,
        activate=(identity, relu, leaky_relu, elu, sigmoid, tanh, softplus, gelu, silu),
        times_slope=(
            *(times_one, times_relu_slope, times_leaky_relu_slope, times_elu_slope, times_sigmoid_slope),
            *(times_tanh_slope, times_softplus_slope, times_gelu_slope, times_silu_slope),
        ),
        term=(half_squared, squared, bce, bce_with_logits, absolute, huber, poisson),
        slope=(
            *(half_squared_slope, squared_slope, bce_slope, bce_with_logits_slope),
            *(absolute_slope, huber_slope, poisson_slope),
        ),
    )


def rates(real, optimizer, step, bound):
    """The numbers that an optimiser's step takes, computed in float64; ``bound`` is that of a gradient's elements."""
    kind, lr, momentum, _, decay, beta, eps = optimizer
    rest, root = 1 - momentum, 1.0
    if OPTIMIZERS[kind] in ADAMS:
        lr, root = lr / (1 - momentum ** (step + 1)), (1 - beta ** (step + 1)) ** -0.5
    if OPTIMIZERS[kind] == "adamw":
        decay = 1 - optimizer[1] * decay
    with np.errstate(over="ignore"):
        return tuple(map(real, (lr, momentum, rest, decay, beta, 1 - beta, root, eps, bound)))


def rule(optimizer, bound=math.inf):
    """What a kernel is specialised by: (kind, whether there is momentum, Nesterov's, a bound)."""
    kind, _, momentum, nesterov, *_ = optimizer
    return OPTIMIZERS[kind], momentum != 0, bool(nesterov), bound < math.inf


def keeps(rule):
    """Whether the optimiser has a velocity, and a mean of squares."""
    kind, momentum, _, _ = rule
    return momentum or kind in ADAMS, kind != "sgd"


@cache
def optimiser(rule):
    """One weight's step as in ``reference.update``: from (w, v, s, dw, rates) to the new w, v and s; unused ones stay."""
    kind, momentum, nesterov, bounded = rule
    adam, decoupled, rmsprop, has_square = kind in ADAMS, kind == "adamw", kind == "rmsprop", kind != "sgd"

    @device
    def update(w, v, s, dw, rates):
        lr, share, rest, decay, beta, rest_of_square, root, eps, bound = rates
        if bounded:
            dw = bound if dw > bound else -bound if dw < -bound else dw
        if decoupled:
            w, g = decay * w, dw
        else:
            g = dw + decay * w
        if has_square:
            s = beta * s + rest_of_square * g * g
        if adam:
            v += rest * (g - v)
            return w - lr * v / (math.sqrt(s) * root + eps), v, s
        if rmsprop:
            g /= math.sqrt(s) + eps
        if momentum:
            v = share * v + g
            g = g + share * v if nesterov else v
        return w - lr * g, v, s

    return update
