"""From noisy patches to a plane: every pixel is the weighted mean of what the patches around it say.

Of a patch, SIDE x SIDE, a network sees the differences from its mean, in units of the noise; it gives a smaller patch, its
middle, in the same way (Burger, Schuler, Harmeling, "Image denoising: can plain neural networks compete with BM3D?", CVPR
2012; that noise is the unit is our addition: one network then serves all levels).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .._check import Array
from ..autoencoder import Autoencoder

SIDE, MIDDLE = 13, 7  # of the patches that a network takes and gives
STRIDE = 3  # pixels from one patch to the next
_EDGE = (SIDE - MIDDLE) // 2
MARGIN = MIDDLE - 1 + _EDGE  # pixels around a region that its denoising looks at
_FARTHEST = 4.0  # standard deviations that a pixel may be changed by: noise is within, but for 1 pixel in 16,000


def middles(patches: Array) -> Array:
    """Of patches (n, SIDE^2): (n, MIDDLE^2)."""
    inner = slice(_EDGE, _EDGE + MIDDLE)
    return patches.reshape(-1, SIDE, SIDE)[:, inner, inner].reshape(len(patches), -1)


def centred(patches: Array) -> tuple[Array, Array]:
    """Patches (n, pixels) less their means, and these, (n, 1); in place."""
    mean = patches.mean(axis=1, keepdims=True)
    patches -= mean
    return patches, mean


def smooth(model: Autoencoder, x: Array, n_threads: int | None = None) -> Array:
    """A plane without its noise.

    Parameters
    ----------
    model : Autoencoder
    x : array (rows + 2 MARGIN, columns + 2 MARGIN) of float32
        In units of the noise; its first row within the margin is a multiple of ``STRIDE`` of the whole image's.

    Returns
    -------
    array (rows, columns) of float32
    """
    before = (MIDDLE - 1) // STRIDE * STRIDE  # pixels of the first patch's middle that are outside
    first = MIDDLE - 1 - before
    windows = sliding_window_view(x, (SIDE, SIDE))[first::STRIDE, first::STRIDE]
    n, m = windows.shape[:2]
    patches, mean = centred(windows.reshape(n * m, SIDE * SIDE))
    y = model.reconstruct(patches, n_threads=n_threads)
    y += mean
    y *= _weights()
    y = y.reshape(n, m, MIDDLE, MIDDLE)
    total = np.zeros((n * STRIDE + MIDDLE, m * STRIDE + MIDDLE), np.float32)
    for i, j in np.ndindex(MIDDLE, MIDDLE):
        total[i : i + n * STRIDE : STRIDE, j : j + m * STRIDE : STRIDE] += y[:, :, i, j]
    inside = x[MARGIN:-MARGIN, MARGIN:-MARGIN]
    rows, columns = inside.shape
    found = total[before : before + rows, before : before + columns]
    return np.clip(found, inside - _FARTHEST, inside + _FARTHEST)


def _weights() -> Array:
    """Of a patch's pixels (MIDDLE^2,), a Gaussian; those of all patches add up to 1 in each pixel of the plane."""
    at = np.arange(MIDDLE) - (MIDDLE - 1) / 2
    bell = np.exp(-0.5 * (at / (MIDDLE / 4)) ** 2)
    for phase in range(STRIDE):
        bell[phase::STRIDE] /= bell[phase::STRIDE].sum()
    return np.outer(bell, bell).ravel().astype(np.float32)
