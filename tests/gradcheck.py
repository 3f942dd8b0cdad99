"""Gradients by central differences in float64, the judge of those that kernels compute."""

import numpy as np


def central_differences(f, x):
    """Gradient of the sum of f(x) by x, from (f(x + h) - f(x - h)) / 2h in each coordinate.

    The error is h^2 f'''/6 from the formula and eps |f| / h from rounding; h = eps^(1/3), 6e-6, times max(1, |x|), balances
    them at about 1e-10. Differences are taken term by term before they are added, so that terms of f(x) that do not depend
    on a coordinate cancel exactly.

    Parameters
    ----------
    f : function of x, to a number or an array
    x : float64 array, changed in place and restored
    """
    assert x.dtype == np.float64
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        h = np.finfo(np.float64).eps ** (1 / 3) * max(1.0, abs(kept))
        high, low = kept + h, kept - h
        x[index] = high
        above = np.array(f(x), np.float64)
        x[index] = low
        below = np.array(f(x), np.float64)
        x[index] = kept
        gradient[index] = np.sum(above - below) / (high - low)
    return gradient


def relative_error(a, b):
    """The largest |a - b| / max(|a|, |b|, 0.001 max |b|) of all elements: relative, but for those that all but vanish."""
    difference = np.abs(a - b)
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-3 * np.max(np.abs(b)))
    return float(np.max(difference / np.where(scale > 0, scale, 1)))
