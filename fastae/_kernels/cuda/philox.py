"""Philox4x32-10: random numbers that are a function of where they are used, and of nothing else.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3. The key
is the seed; the counter (step, layer, sample, feature // 4) gives the numbers of four features. So noise depends neither on
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


@cache
def noise(real, normal):
    """The kernel that fills ``out`` (samples, features) with uniform numbers in [0, 1), or normal ones."""
    spacing, half_spacing, two = real(2.0**-24), real(2.0**-25), real(2)
    cosine, sine, word = cos_pi[real], sin_pi[real], np.uint64

    @device
    def uniform(bits):
        return real(bits >> _TO_24_BITS) * spacing  # 24 bits: all of them fit into a float32

    @device
    def pair(u, v):
        """Two normal numbers from two uniform ones, after Box and Muller; the logarithm's is not 0."""
        radius = math.sqrt(-two * math.log(uniform(u) + half_spacing))
        return radius * cosine(two * uniform(v)), radius * sine(two * uniform(v))

    @cuda.jit
    def kernel(key, step, layer, first, out):
        rows, columns = out.shape
        quads = (columns + 3) // 4
        for i in range(cuda.grid(1), rows * quads, cuda.gridsize(1)):
            row, quad = i // quads, i % quads
            counter = word(step) & _WORD, word(layer) & _WORD, word(first + row) & _WORD, word(quad) & _WORD
            a, b, c, d = philox(counter, (word(key) & _WORD, word(key) >> _BITS))
            if normal:
                (p, q), (r, s) = pair(a, b), pair(c, d)
            else:
                p, q, r, s = uniform(a), uniform(b), uniform(c), uniform(d)
            four = p, q, r, s
            for e in range(min(4, columns - quad * 4)):
                out[row, quad * 4 + e] = four[e]

    return kernel


def fill(out, seed, step, layer, first=0, normal=False):
    """out (samples, features), on the host := the noise of the samples from ``first`` on, at a step, before a layer."""
    on_device = cuda.device_array(out.shape, out.dtype)
    launch(noise(out.dtype.type, normal), out.size, np.uint64(seed), step, layer, first, on_device)
    on_device.copy_to_host(out)
