"""Histograms of oriented gradients: what an image's edges are like, place by place."""

from __future__ import annotations

import numpy as np

from .._check import Array

_CELLS = 7  # in each direction, at most
_ORIENTATIONS = 8  # of edges, which have a bright side: of the whole circle


def n_gradients(shape: tuple[int, int]) -> int:
    """Numbers that :func:`gradients` gives for images of (height, width)."""
    return len(_cells(shape[0])) * len(_cells(shape[1])) * _ORIENTATIONS


def gradients(x: Array, shape: tuple[int, int]) -> Array:
    """Square roots of histograms of oriented gradients.

    Of each pixel that is not at the border, the gradient is the difference of its neighbours; its length is shared between the
    two nearest of eight directions, and averaged over each of 7 x 7 cells, fewer where there are fewer pixels (Dalal and
    Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, without blocks).

    Parameters
    ----------
    x : array (samples, height * width) of floats
    shape : (height, width)

    Returns
    -------
    array (samples, cells * 8) of float32
    """
    height, width = shape
    image = x.reshape(-1, height, width).astype(np.float32, copy=False)
    down, right = np.zeros_like(image), np.zeros_like(image)
    down[:, 1:-1] = image[:, 2:] - image[:, :-2]
    right[:, :, 1:-1] = image[:, :, 2:] - image[:, :, :-2]
    length, direction = np.hypot(right, down), np.arctan2(down, right) * (_ORIENTATIONS / (2 * np.pi))
    below = np.floor(direction)
    share = direction - below
    first = below.astype(np.int64) % _ORIENTATIONS
    histogram: Array = np.zeros((*image.shape, _ORIENTATIONS), np.float32)
    np.put_along_axis(histogram, first[..., None], (length * (1 - share))[..., None], 3)
    np.put_along_axis(histogram, ((first + 1) % _ORIENTATIONS)[..., None], (length * share)[..., None], 3)
    for axis, side in ((1, height), (2, width)):
        starts = _cells(side)
        sizes = np.diff([*starts, side]).astype(np.float32)
        histogram = np.add.reduceat(histogram, starts, axis) / np.expand_dims(sizes, tuple({0, 1, 2, 3} - {axis}))
    return np.sqrt(histogram).reshape(len(x), -1)


def _cells(side: int) -> list[int]:
    """Where the cells of a side of so many pixels begin."""
    n = min(_CELLS, side)
    return [side * i // n for i in range(n)]
