"""Random numbers by Philox4x32-10, whose counters _kernels/README.md states, and noise on a sample; ../noise.py in vectors."""

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ..names import NOISES
from .elementwise import load_upto, store_upto
from .functions import _constants, compiled, horner, log_to_2
from .vector import (
    INT64,
    Vector,
    bits,
    fma,
    full,
    lanes,
    llvm,
    native_lanes,
    number,
    splat,
    square_root,
    where,
)

GAUSSIAN, MASKING, SALT_AND_PEPPER, DROPOUT, BINARIZE = range(len(NOISES))
NONE = -1
SAMPLES, FEATURES = 0, 1  # what differs from lane to lane
_MULTIPLIERS, _WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)


def _philox(builder, counter, key):
    """Four vectors of words in 64 bits, from four and a key of two, by ten rounds."""
    a, b, c, d = counter
    count = c.type.count
    of_all = lambda n: splat(builder, n, count)  # noqa: E731
    multipliers, low, half = [of_all(INT64(m)) for m in _MULTIPLIERS], of_all(INT64(0xFFFFFFFF)), of_all(INT64(32))
    for r in range(10):
        k0, k1 = (
            of_all(builder.and_(builder.add(k, INT64(r * w)), INT64(0xFFFFFFFF))) for k, w in zip(key, _WEYL, strict=True)
        )
        first, second = builder.mul(multipliers[0], a), builder.mul(multipliers[1], c)
        a, c = (
            builder.xor(builder.xor(builder.lshr(product, half), word), k)
            for product, word, k in ((second, b, k0), (first, d, k1))
        )
        b, d = builder.and_(second, low), builder.and_(first, low)
    return a, b, c, d


@intrinsic
def uniforms(typing, key, step, stream, sample, counter, along, like):
    """Uniform numbers from the four words of some counters: of a vector of samples, or of counters, from one on. key: its low
    and high word."""
    if not isinstance(along, types.IntegerLiteral):
        return None
    count = native_lanes(like.real)
    vector = Vector(like.real, count)
    result = types.UniTuple(vector, 4)

    def build(context, builder, sig, values):
        key, step, stream, sample, counter = values[:5]
        low = INT64(0xFFFFFFFF)
        places = ir.Constant(ir.VectorType(INT64, count), list(range(count)))
        first = splat(builder, builder.and_(step, low), count)
        second = builder.add(stream, builder.shl(builder.lshr(step, INT64(32)), INT64(16)))
        third, fourth = splat(builder, sample, count), splat(builder, counter, count)
        if along.literal_value == SAMPLES:
            third = builder.add(third, places)
        else:
            fourth = builder.add(fourth, places)
        keys = [builder.extract_value(key, i) for i in range(2)]
        words = _philox(builder, (first, splat(builder, second, count), third, fourth), keys)
        small, real = ir.VectorType(ir.IntType(32), count), llvm(vector)
        unit = splat(builder, ir.Constant(real.element, 2.0**-24), count)
        shift = splat(builder, INT64(8), count)
        numbers = [builder.fmul(builder.sitofp(builder.trunc(builder.lshr(w, shift), small), real), unit) for w in words]
        return cgutils.pack_array(builder, numbers)

    n = types.intp
    return result(types.UniTuple(n, 2), n, n, n, n, along, like), build


def sine_cosine(v):
    """sin and cos of 2 pi v for v from 0 to 1."""


@overload(sine_cosine)
def _sine_cosine(v):
    magic, double, turn = _constants(v).MAGIC, v.real == types.float64, 2 * math.pi
    # The series, up to what matters for angles up to pi / 4.
    sine = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(8 if double else 4, -1, -1))
    cosine = tuple((-1) ** k / math.factorial(2 * k) for k in range(9 if double else 5, -1, -1))

    def value(v):
        shifted = fma(v, 4, magic)
        n = bits(shifted) - bits(full(magic, v))  # the quarter that is nearest
        x = fma(shifted - magic, -0.25, v) * turn
        z = x * x
        s, c = x * horner(z, sine), horner(z, cosine)
        odd = (n & 1) == 1
        s, c = where(odd, c, s), where(odd, s, c)
        return where((n & 2) == 2, -s, s), where(((n + 1) & 2) == 2, -c, c)

    return value


@compiled
def normal_pair(u, v):
    """Two standard normal numbers by Box and Muller, from two uniform ones."""
    s = u + 2.0**-25
    r = square_root(-2 * (log_to_2(s) + ((u - s) + 2.0**-25) / s))  # with what rounding lost, which is all there is near 1
    sine, cosine = sine_cosine(v)
    return r * cosine, r * sine


@compiled
def normals(u):
    """Four from four."""
    a, b = normal_pair(u[0], u[1])
    c, d = normal_pair(u[2], u[3])
    return a, b, c, d


@compiled
def disturb_some(kind, p, x, left, u):
    """A vector of a sample's features with noise, from a random number for each; nothing where none are left."""
    if left <= 0:
        return
    v, level, half, scale = load_upto(x, left), number(p, x), number(p / 2, x), number(1 / (1 - p), x)
    if kind == GAUSSIAN:
        v = fma(level, u, v)
    elif kind == MASKING:
        v = where(u < level, 0, v)
    elif kind == DROPOUT:
        v = where(u < level, 0, v * scale)
    elif kind == SALT_AND_PEPPER:
        v = where(u < level, where(u < half, full(1, v), 0), v)
    else:
        v = where(u < v, full(1, v), 0)
    store_upto(x, v, left)


@compiled
def disturb(kind, level, key, step, sample, n, x):
    """The first n features of a sample with noise; its place in the step decides which."""
    for first in range(0, n, 64):
        for c in range(0, 16, lanes(x)):
            u = uniforms(key, step, 0, sample, first // 4 + c, FEATURES, x)
            if kind == GAUSSIAN:
                u = normals(u)
            i = first + c
            disturb_some(kind, level, x + i, n - i, u[0])
            disturb_some(kind, level, x + (i + 16), n - i - 16, u[1])
            disturb_some(kind, level, x + (i + 32), n - i - 32, u[2])
            disturb_some(kind, level, x + (i + 48), n - i - 48, u[3])
