"""Philox4x32-10: random numbers that are a function of where they are used, and of nothing else.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3. The
kernels' README.md states which counter and word belong to a step, a stream, a sample and a feature. So noise depends neither on
threads nor on tiles, and one sample's can be made again alone.
"""

import math
from functools import cache

import numpy as np

from .passes import launch
from .toolkit import cos_pi, cuda, device, sin_pi

# Words are uint64 below 2^32: an int64 beside a uint64 would be a float64 to numba, and in 64 bits no product overflows. The
# compiler makes 32-bit products of them.
_WORD = np.uint64(0xFFFFFFFF)
_BITS = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_TO_24_BITS = np.uint64(8)


@device
def philox(counter, key):
    """Four words of 32 bits from four and a key of two, by ten rounds."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        first, second = _MULTIPLIER_0 * a, _MULTIPLIER_1 * c
        a, c = (second >> _BITS) ^ b ^ k0, (first >> _BITS) ^ d ^ k1
        b, d = second & _WORD, first & _WORD
        k0, k1 = (k0 + _WEYL_0) & _WORD, (k1 + _WEYL_1) & _WORD
    return a, b, c, d


def words_of(key):
    """The key's low and high word."""
    return np.uint64(key % 2**32), np.uint64(key >> 32)


def place_of(step, stream):
    """The first two words of the counter."""
    return np.uint64(step % 2**32), np.uint64(stream + (step >> 32 << 16))


@device
def counters(features):
    """How many hold the numbers of so many features."""
    return -(-features // 64) * 16


@device
def feature(c, j):
    """Of word j of counter c: four words apart, so that threads next to each other have features next to each other."""
    return c // 16 * 64 + 16 * j + c % 16


@cache
def draws(real, normal):
    """A device function of (key, place, sample, c): four uniform numbers in [0, 1), or normal ones."""
    spacing, half_spacing, one, two = real(2.0**-24), real(2.0**-25), real(1), real(2)
    cosine, sine, word = cos_pi[real], sin_pi[real], np.uint64

    @device
    def uniform(bits):
        return real(bits >> _TO_24_BITS) * spacing  # 24 bits: all of them fit into a float32

    @device
    def logarithm(bits):
        """log(u + 2^-25), of an argument that has no rounding error on either side of 1/2; it is not log(0)."""
        u = uniform(bits)
        return math.log(u + half_spacing) if u + u < one else math.log1p(half_spacing - (one - u))

    @device
    def pair(u, v):
        """Two normal numbers from two uniform ones, after Box and Muller."""
        radius = math.sqrt(-two * logarithm(u))
        return radius * cosine(two * uniform(v)), radius * sine(two * uniform(v))

    @device
    def draw(key, place, sample, c):
        counter = place[0], place[1], word(sample) & _WORD, word(c) & _WORD
        a, b, c, d = philox(counter, key)
        if normal:
            (p, q), (r, s) = pair(a, b), pair(c, d)
            return p, q, r, s
        return uniform(a), uniform(b), uniform(c), uniform(d)

    return draw


@cache
def noise(real, normal):
    """The kernel that fills ``out`` (samples, features) with uniform or normal numbers."""
    draw = draws(real, normal)

    @cuda.jit
    def kernel(key, place, first, out):
        rows, columns = out.shape
        across = counters(columns)
        for at in range(cuda.grid(1), rows * across, cuda.gridsize(1)):
            i, c = at // across, at % across
            four = draw(key, place, first + i, c)
            for j in range(4):
                if feature(c, j) < columns:
                    out[i, feature(c, j)] = four[j]

    return kernel


def fill(out, key, step, stream, first=0, normal=False):
    """out (samples, features), on the host := the numbers of a stream for the samples from ``first`` on of a step."""
    on_device = cuda.device_array(out.shape, out.dtype)
    launch(noise(out.dtype.type, normal), out.size, words_of(key), place_of(step, stream), first, on_device)
    on_device.copy_to_host(out)
