"""What a network learns to denoise images from: patches of clean pictures, with noise that is drawn anew for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .._check import Array
from . import pixels
from .patches import SIDE, centred, middles

_SIZES = 3  # of a picture: whole, half, quarter
_COLOURS = 0.25  # how often a difference of colours is drawn, where brightness is 1
_DRAWN = 8192  # patches at a time


def drawn(images: Sequence[Array], sigmas: tuple[float, float], rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Noisy patches (n, SIDE^2) and the middles of clean ones (n, MIDDLE^2), without end, as the network takes and gives them.

    Every picture, size of it, place, flip and turn is as likely as another, and so is every logarithm of the level of noise
    between the two. images are (rows, columns, 1 or 3), in the unit of the sigmas.
    """
    low, high = np.log(sigmas)
    views, weights = [], []
    for image in images:
        sizes = list(_sizes(image))
        for planes in sizes:
            share = [1.0, _COLOURS, _COLOURS][: len(planes)]
            views += [sliding_window_view(plane, (SIDE, SIDE)) for plane in planes]
            weights += [part / (sum(share) * len(sizes) * len(images)) for part in share]
    while True:
        parts = []
        for view, n in zip(views, rng.multinomial(_DRAWN, weights), strict=True):
            rows, columns = (rng.integers(size, size=n) for size in view.shape[:2])
            parts.append(_turned(view[rows, columns], int(rng.integers(8))).reshape(n, SIDE**2))
        x = rng.permutation(np.concatenate(parts))
        x /= np.exp(rng.uniform(low, high, (_DRAWN, 1))).astype(np.float32)
        clean = middles(x)
        x, mean = centred(x + rng.standard_normal(x.shape, np.float32))
        yield x, clean - mean


def _sizes(image: Array) -> Iterator[Array]:
    """Planes (1 or 3, rows, columns) of an image, whole and by halves, while a patch is within."""
    planes = pixels.planes(image)
    for _ in range(_SIZES):
        if min(planes.shape[1:]) < SIDE:
            return
        yield planes
        rows, columns = (n // 2 * 2 for n in planes.shape[1:])
        planes = planes[:, :rows, :columns].reshape(len(planes), rows // 2, 2, columns // 2, 2).mean(axis=(2, 4))


def _turned(patches: Array, way: int) -> Array:
    """Patches (n, side, side) in one of eight ways."""
    patches = patches[:, :: 1 - 2 * (way & 1), :: 1 - (way & 2)]
    return patches.transpose(0, 2, 1) if way & 4 else patches
