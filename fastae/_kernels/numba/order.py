"""The order of an epoch's rows, which _kernels/README.md defines: a Feistel network, so that any part can be had alone."""

import numpy as np

from .functions import compiled
from .vector import pointer

ROUNDS = 8
_U = np.uint64
PLACES = np.dtype(
    [("key", _U), ("epoch", _U), ("n", _U), ("first", _U), ("count", np.int64), ("out", np.int64), ("work", np.int64)]
)
WORK = 8 * (ROUNDS + 64)  # bytes: the keys; places of some values at a time, so that no value waits for a branch
_A, _B, _GOLDEN = _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB), _U(0x9E3779B97F4A7C15)
_1, _27, _30, _31, _32, _63 = (_U(n) for n in (1, 27, 30, 31, 32, 63))


@compiled
def splitmix(x):
    """A well-mixed number from any (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)."""
    x = (x ^ (x >> _30)) * _A
    x = (x ^ (x >> _27)) * _B
    return x ^ (x >> _31)


@compiled
def round_function(x, key):
    """32 bits of half a number and a round's key."""
    x = (x ^ key) * _A
    return ((x ^ (x >> _32)) * _B) >> _32


@compiled
def permuted(x, keys, low, left_mask, right_mask):
    left, right = x >> low, x & right_mask
    for j in range(0, ROUNDS, 2):
        left ^= round_function(right, keys[j]) & left_mask
        right ^= round_function(left, keys[j + 1]) & right_mask
    return left << low | right


@compiled
def permute(p):
    out, keys, outside = pointer(p.out, _1), pointer(p.work, _1), pointer(p.work + 8 * ROUNDS, 0)
    bits = _1 + _1
    while bits < _63 and (_1 << bits) < p.n:
        bits += _1
    low = bits >> _1
    right_mask, left_mask = (_1 << low) - _1, (_1 << (bits - low)) - _1
    for j in range(ROUNDS):
        keys[j] = splitmix(p.key + (p.epoch * _U(ROUNDS) + _U(j + 1)) * _GOLDEN)
    for start in range(0, p.count, 64):
        size = min(64, p.count - start)
        for i in range(size):
            out[start + i], outside[i] = p.first + _U(start + i), start + i
        while size > 0:
            for i in range(size):
                out[outside[i]] = permuted(out[outside[i]], keys, low, left_mask, right_mask)
            left = 0
            for i in range(size):  # what came out at n or above goes in again
                outside[left] = outside[i]
                left += 1 if out[outside[i]] >= p.n else 0
            size = left
