"""Philox4x32-10: random numbers that are a function of where they are used, and of nothing else.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
README.md states which counter and word belong to a step, a stream, a sample and a feature.
"""

import numpy as np

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_WEYL = 0x9E3779B9, 0xBB67AE85
_WORD = np.uint64(0xFFFFFFFF)
_BITS = np.uint64(32)


def philox(counter, key):
    """Four words of 32 bits (uint64 arrays) from four and a key of two, by ten rounds."""
    a, b, c, d = counter
    for r in range(10):
        k0, k1 = (np.uint64((k + r * w) % 2**32) for k, w in zip(key, _WEYL, strict=True))
        first, second = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (second >> _BITS) ^ b ^ k0, second & _WORD, (first >> _BITS) ^ d ^ k1, first & _WORD
    return a, b, c, d


def _words(key, step, stream, first, samples, features):
    """Four arrays (samples, blocks of 16 features in each): word j is of features 64 b + 16 j + l, b = counter // 16."""
    counters = -(-features // 64) * 16
    sample = np.arange(first, first + samples, dtype=np.uint64)[:, None]
    number = np.arange(counters, dtype=np.uint64)[None, :]
    shape = np.zeros((samples, counters), np.uint64)
    counter = (shape + np.uint64(step % 2**32), shape + np.uint64(stream + (step >> 32 << 16)), shape + sample, shape + number)
    return philox(counter, (key % 2**32, key >> 32))


def _of_features(words, features):
    """(samples, features) from the arrays of the four words."""
    samples, counters = words[0].shape
    return np.stack([w.reshape(samples, counters // 16, 16) for w in words], axis=2).reshape(samples, -1)[:, :features]


def uniform(key, step, stream, first, samples, features, dtype):
    """(samples, features) in [0, 1), of 24 bits."""
    words = _of_features(_words(key, step, stream, first, samples, features), features)
    return (words >> np.uint64(8)).astype(dtype) * dtype.type(2.0**-24)


def normal(key, step, stream, first, samples, features, dtype):
    """(samples, features), standard normal: Box and Muller's pair of words 0 and 1, and of 2 and 3."""
    u, v, p, q = ((w >> np.uint64(8)) * 2.0**-24 for w in _words(key, step, stream, first, samples, features))
    r, s = (np.sqrt(-2 * np.log(a + 2.0**-25)) for a in (u, p))
    v, q = 2 * np.pi * v, 2 * np.pi * q
    return _of_features((r * np.cos(v), r * np.sin(v), s * np.cos(q), s * np.sin(q)), features).astype(dtype)
