"""exp, log and their relatives, activations and losses of vectors: the formulas of cython/vector.h and cython/elementwise.h.

Every multiply-add that the C compiler may fuse there is an ``fma`` here.
"""

import math

from numba import njit, types
from numba.extending import overload

from ..names import ACTIVATIONS, LOSSES, OPTIMIZERS, PER_SAMPLE
from .vector import (
    absolute,
    bits,
    converted,
    copy_sign,
    fma,
    from_bits,
    full,
    lane,
    number,
    square_root,
    where,
    with_lane,
)

compiled = njit(error_model="numpy", nogil=True)
# Where a call would cost more than what it does.
inlined = njit(error_model="numpy", nogil=True, inline="always")

IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, GELU, SILU = range(len(ACTIVATIONS))
HALF_SQUARED, MSE, BCE, BCE_WITH_LOGITS, MAE, HUBER, POISSON, MULTINOMIAL, COSINE = range(len(LOSSES))
SGD, ADAM, ADAMW, RMSPROP = range(len(OPTIMIZERS))
_PER_SAMPLE = tuple(sorted(PER_SAMPLE))


class _Single:
    """Constants of float32."""

    MAGIC = float.fromhex("0x1.8p23")  # adding it leaves round(x) in the low bits of the mantissa
    LN2 = float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cp-20")
    UNDERFLOW, OVERFLOW = -104.0, 89.0
    MANTISSA, BIAS, SMALLEST = 23, 127, 2.0**-126
    EXP = tuple(map(float.fromhex, ("0x1.6d10fcp-10", "0x1.120b62p-7", "0x1.55551ap-5", "0x1.5554dep-3", "0x1p-1")))
    # log(1 + f) = f - f^2 / 2 + f^3 P(f), for 1 + f from sqrt(1/2) to sqrt(2)
    LOG = (-0.07634498, 0.12761578, -0.13160182, 0.14201758, -0.16623357, 0.20001227, -0.25000821, 0.33333332)
    # erfcx(u) as a polynomial in 1 / (1 + u / 2), for 0 <= u <= 10
    ERFCX = tuple(map(float.fromhex, (
        "-0x1.83fc84p-5", "0x1.cbc00cp-3", "-0x1.6b317ap-2", "0x1.d20214p-4", "0x1.960a84p-4",
        "0x1.215416p-3", "0x1.0c773ap-2", "0x1.1d7208p-2", "0x1.213efap-2", "-0x1.1a8b72p-16",
    )))  # fmt: skip


class _Double:
    """Constants of float64."""

    MAGIC = float.fromhex("0x1.8p52")
    LN2 = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")
    UNDERFLOW, OVERFLOW = -746.0, 710.0
    MANTISSA, BIAS, SMALLEST = 52, 1023, 2.0**-1022
    EXP = tuple(1 / math.factorial(k) for k in range(13, 1, -1))
    LOG = tuple(2 / k for k in range(25, 2, -2))


def _constants(v):
    return _Single if v.real == types.float32 else _Double


def horner(x, coefficients):
    """A polynomial, its highest coefficient first."""


@overload(horner, inline="always")
def _horner(x, coefficients):
    def evaluate(x, coefficients):
        p = full(coefficients[0], x)
        for c in coefficients[1:]:
            p = fma(p, x, c)
        return p

    return evaluate


def exp_parts(x):
    """e^x = 2^n (1 + p) for x <= 0, as (n, p)."""


@overload(exp_parts)
def _exp_parts(x):
    c = _constants(x)
    log2_e, magic, high, low, terms = 1 / math.log(2), c.MAGIC, *c.LN2, c.EXP

    def parts(x):  # Cody and Waite: ln 2 in two parts, so that n times the first is exact
        shifted = fma(x, log2_e, magic)
        n = shifted - magic
        r = fma(-n, low, fma(-n, high, x))
        return bits(shifted) - bits(full(magic, x)), fma(r * r, horner(r, terms), r)

    return parts


def power_of_two(n, like):
    """2^n, a normal number."""


@overload(power_of_two)
def _power_of_two(n, like):
    bias, mantissa = _constants(like).BIAS, _constants(like).MANTISSA
    return lambda n, like: from_bits((n + bias) << mantissa, like)


def exp_negative(x):
    """e^x for x <= 0."""


@overload(exp_negative)
def _exp_negative(x):
    underflow = _constants(x).UNDERFLOW

    def value(x):
        n, p = exp_parts(where(x < underflow, underflow, x))
        half = n >> 1  # in two factors, so that subnormal results come out right
        s = power_of_two(half, x)
        return fma(s, p, s) * power_of_two(n - half, x)

    return value


@compiled
def expm1_negative(x):
    """e^x - 1 for x <= 0, exact near 0."""
    n, p = exp_parts(where(x < -80, -80, x))  # -1 in both types
    s = power_of_two(n, x)
    return fma(s, p, s - 1)


def exp(x):
    """e^x."""


@overload(exp)
def _exp(x):
    underflow, overflow = _constants(x).UNDERFLOW, _constants(x).OVERFLOW

    def value(x):
        n, p = exp_parts(where(x < underflow, underflow, where(x > overflow, overflow, x)))
        half = n >> 1  # in two factors, so that the smallest and the largest results come out right
        s = power_of_two(half, x)
        return fma(s, p, s) * power_of_two(n - half, x)

    return value


@compiled
def expm1(x):
    """e^x - 1, exact near 0."""
    n, p = exp_parts(where(x < -80, -80, where(x > 80, 80, x)))
    s = power_of_two(n, x)
    return where(x > 80, exp(x), fma(s, p, s - 1))


def log_of(scaled, shift):
    """log(scaled) - shift log(2) of a normal number, or 0; cython/vector.h tells how."""


@overload(log_of)
def _log_of(scaled, shift):
    c = _constants(scaled)
    mantissa, high, low, series, single, root = c.MANTISSA, *c.LN2, c.LOG, c is _Single, math.sqrt(0.5)

    def value(scaled, shift):
        half = bits(full(root, scaled))
        above = bits(scaled) - half
        f = from_bits((above & ((1 << mantissa) - 1)) + half, scaled) - 1
        n = converted(above >> mantissa, scaled) - shift
        square = f * f
        if single:
            rest = fma(-square * f, horner(f, series), fma(0.5, square, -n * low))
        else:
            s = f / (f + 2)
            z = s * s
            rest = 0.5 * square - fma(s, fma(z, horner(z, series), 0.5 * square), n * low)
        return fma(n, high, f - rest)

    return value


def log(x):
    """log(x)"""


@overload(log)
def _log(x):
    c = _constants(x)
    mantissa, smallest, scale, infinity, nan = c.MANTISSA, c.SMALLEST, 2.0**c.MANTISSA, math.inf, math.nan

    def value(x):
        subnormal = x < smallest
        y = log_of(where(subnormal, x * scale, x), where(subnormal, full(mantissa, x), 0))
        y = where(x == 0, -infinity, y)
        return where(x >= 0, where(x == infinity, x, y), nan)

    return value


@compiled
def log1p(x):
    """log(1 + x): the logarithm of the rounded sum, and what rounding lost."""
    u = x + 1
    y = log(u)
    return where(u == 0, y, y + (x - (u - 1)) / u)


def log_to_2(x):
    """log(x) for 0 <= x <= 2, where none of the cases that are special for log is; of 0 below -103."""


@overload(log_to_2)
def _log_to_2(x):
    mantissa = _constants(x).MANTISSA
    scale = 2.0**mantissa

    def value(x):
        return log_of(x * scale, mantissa)

    return value


@compiled
def log1p_to_1(x):
    """log(1 + x) for -1 <= x <= 1; NaN stays."""
    u = x + 1
    return fma(x - (u - 1), 1 - x * (1 - 0.5 * x), log_to_2(u))


@compiled
def sigmoid(x):
    e = exp_negative(-absolute(x))
    return where(bits(x) < 0, e, full(1, x)) / (e + 1)


@compiled
def tanh(x):
    e = expm1_negative(-2 * absolute(x))
    return copy_sign(e / (e + 2), x)


@compiled
def softplus(x):
    return where(bits(x) < 0, 0, x) + log1p_to_1(exp_negative(-absolute(x)))


def normal_cdf(x):
    """The normal distribution function, and exp(-x^2 / 2), which its density needs."""


@overload(normal_cdf)
def _normal_cdf(x):
    root = math.sqrt(0.5)

    if x.real == types.float32:
        terms = _Single.ERFCX

        def value(x):
            gauss = exp_negative(-0.5 * x * x)
            t = 1 / fma(0.5, absolute(x) * root, 1)
            tail = horner(t, terms) * (0.5 * gauss)
            return where(bits(x) < 0, tail, 1 - tail), gauss
    else:
        count = x.lanes

        def value(x):
            gauss = exp_negative(-0.5 * x * x)
            u = absolute(x) * root
            tail = u
            for i in range(count):
                tail = with_lane(tail, i, 0.5 * math.erfc(lane(u, i)))
            return where(bits(x) < 0, tail, 1 - tail), gauss

    return value


# ---- activations -----------------------------------------------------------------------------------------------------


@inlined
def activated(activation, z):
    """f(z). A NaN stays one."""
    if activation == RELU:
        return where(z < 0, 0, z)
    if activation == LEAKY_RELU:
        return where(z <= 0, z * 0.01, z)
    if activation == ELU:
        return where(z <= 0, expm1_negative(where(z <= 0, z, 0)), z)
    if activation == SIGMOID:
        return sigmoid(z)
    if activation == TANH:
        return tanh(z)
    if activation == SOFTPLUS:
        return softplus(z)
    if activation == GELU:
        return z * normal_cdf(z)[0]
    if activation == SILU:
        return z * sigmoid(z)
    return z


@inlined
def times_slope(activation, k, dy):
    """dy f'(z); k is y = f(z), or z where names.keeps_input says so."""
    if activation == RELU:
        return where(k > 0, dy, 0)
    if activation == LEAKY_RELU:
        return where(k > 0, dy, dy * 0.01)
    if activation == ELU:
        return where(k > 0, dy, dy * (k + 1))
    if activation == SIGMOID:
        return dy * (k * (1 - k))
    if activation == TANH:
        return dy * fma(-k, k, 1)
    if activation == SOFTPLUS:
        return -dy * expm1_negative(-k)
    if activation == GELU:
        cdf, gauss = normal_cdf(k)
        return dy * fma(k * gauss, 0.39894228040143267794, cdf)  # 1 / sqrt(2 pi)
    if activation == SILU:
        s = sigmoid(k)
        return dy * (s * fma(k, 1 - s, 1))
    return dy


# ---- losses: a term added to a sum, and its slope by the output y for the target t ------------------------------------


@inlined
def add_loss(loss, y, t, total):
    """total + the terms"""
    if loss == HALF_SQUARED:
        return fma(0.5 * (y - t), y - t, total)
    if loss == MSE:
        return fma(y - t, y - t, total)
    if loss == BCE:  # with PyTorch's bounds; outside of them NaN
        p, q = log_to_2(y), log1p_to_1(-y)
        q = fma(t, where(p < -100, -100, p), (1 - t) * where(q < -100, -100, q))
        return total + where(y * (1 - y) >= 0, -q, math.nan)
    if loss == BCE_WITH_LOGITS:
        return total + fma(-y, t, softplus(y))
    if loss == MAE:
        return total + absolute(y - t)
    if loss == HUBER:  # its delta is 1
        p = absolute(y - t)
        return total + where(p <= 1, 0.5 * p * p, p - 0.5)
    return total + fma(-y, t, exp(y))


@inlined
def loss_slope(loss, y, t):
    if loss == HALF_SQUARED:
        return y - t
    if loss == MSE:
        return 2 * (y - t)
    if loss == BCE:
        p = y * (1 - y)
        return (y - t) / where(p < 1e-12, 1e-12, p)
    if loss == BCE_WITH_LOGITS:
        return sigmoid(y) - t
    if loss == MAE:
        return where(y > t, 1, where(y < t, -1, y - t))
    if loss == HUBER:
        return where(y - t > 1, 1, where(y - t < -1, -1, y - t))
    return exp(y) - t


@compiled
def loss_divisor(loss, rows, n):
    return float(rows) if loss in _PER_SAMPLE else float(rows) * n


# ---- optimisers ------------------------------------------------------------------------------------------------------


@compiled
def rates_of(s, p):
    """What SGD takes of a RATES record, rounded to the type of what p points to; as values, which no store can be thought to
    change."""
    return number(s.lr, p), number(s.momentum, p), number(s.weight_decay, p), s.nesterov != 0


@compiled
def sgd_step(rates, w, v, dw):
    """New weights and velocity: g = dw + decay w;  v = momentum v + g;  w - lr (g + momentum v if nesterov else v)."""
    lr, momentum, decay, nesterov = rates
    g = fma(decay, w, dw) if decay != 0 else dw
    if momentum == 0:
        return fma(-lr, g, w), v
    u = fma(momentum, v, g)
    return fma(-lr, fma(momentum, u, g) if nesterov else u, w), u


@compiled
def all_rates_of(s, p):
    """The same of every optimiser."""
    return (
        rates_of(s, p), s.kind, number(s.bound, p), number(s.beta, p), number(1 - s.beta, p), number(1 - s.momentum, p),
        number(s.eps, p), number(s.root, p), number(s.shrink, p),
    )  # fmt: skip


@compiled
def any_step(rates, w, v, s, dw):
    """New weights, velocity and mean of squares, by the formulas of reference.update, of a gradient that is clipped first."""
    sgd, kind, bound, beta, new_square, new_mean, eps, root, shrink = rates
    lr, momentum, decay, _ = sgd
    dw = where(dw > bound, bound, where(dw < -bound, -bound, dw))
    if kind == SGD:
        w, v = sgd_step(sgd, w, v, dw)
        return w, v, s
    w, g = w * shrink, dw if kind == ADAMW or decay == 0 else fma(decay, w, dw)
    s = fma(beta, s, new_square * g * g)
    if kind == RMSPROP:
        d = g / (square_root(s) + eps)
        v = fma(momentum, v, d) if momentum != 0 else d
        return fma(-lr, v, w), v, s
    v = fma(new_mean, g - v, v)
    return w - lr * v / fma(square_root(s), root, eps), v, s


@compiled
def keeps_mean(s):
    """Whether an update reads and writes the velocity."""
    return s.momentum != 0 or s.kind == ADAM or s.kind == ADAMW


@compiled
def is_plain(s):
    """Whether it is SGD, and nothing is clipped."""
    return s.kind == SGD and s.bound == math.inf


@compiled
def set_rates(s, given, step, lr, momentum):
    """s := the rates of a step, from those of the optimizer and this step's lr and momentum; step: updates before it."""
    s.lr, s.momentum, s.root, s.shrink = lr, momentum, 1.0, 1.0
    if given.kind == ADAM or given.kind == ADAMW:
        taken = float(step + 1)
        s.lr, s.root = lr / (1 - momentum**taken), (1 - given.beta**taken) ** -0.5
    if given.kind == ADAMW:
        s.shrink = 1 - lr * given.weight_decay
