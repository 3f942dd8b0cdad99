"""Histograms of oriented gradients: what an image's edges are like, place by place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check, tables
from .._check import Array

_LEAST = 3  # pixels in each direction, of which one has neighbours on both sides
_CELLS = 7  # in each direction, at most
_ORIENTATIONS = 8  # of edges, which have a bright side: of the whole circle


def n_gradients(shape: tuple[int, int]) -> int:
    """Numbers that :func:`gradients` gives for images of (height, width)."""
    return len(_cells(shape[0])) * len(_cells(shape[1])) * _ORIENTATIONS


def gradients(x: Any, shape: tuple[int, int]) -> Array:
    """Square roots of histograms of oriented gradients.

    Of each pixel, the gradient is the difference of its neighbours, right and left, below and above; across a border, where
    one is missing, that difference is 0. Its length is shared between the two nearest of eight directions, and averaged over
    each of 7 x 7 cells, fewer where there are fewer pixels (Dalal and Triggs, "Histograms of oriented gradients for human
    detection", CVPR 2005, without blocks).

    Parameters
    ----------
    x : array (samples, height * width) of float32, float64 or uint8 (taken as 0 to 1)
    shape : (height, width)
        3 x 3 at least.

    Returns
    -------
    array (samples, cells * 8) of float32

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; its name is told.
    """
    shape, x = checked_shape(shape), tables.rows(x, "x")
    return histograms(_check.converted(_check.samples(x, "x", shape[0] * shape[1]), np.dtype(np.float32), "x"), shape)


def checked_shape(shape: Any) -> tuple[int, int]:
    """(height, width) of images that have gradients."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ValueError(f"shape takes (height, width), got {shape!r}")
    height, width = (_check.positive_integer(n, "shape") for n in shape)
    if min(height, width) < _LEAST:
        raise ValueError(f"shape takes at least {_LEAST} x {_LEAST} pixels, got {height} x {width}; give none for less")
    return height, width


def histograms(x: Array, shape: tuple[int, int]) -> Array:
    """The same of what has been looked at."""
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
