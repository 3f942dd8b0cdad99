"""Samples as images side by side, or as curves side by side, on one pair of axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _check
from .._check import Array

Shape = tuple[int, ...] | None
_SMALLEST = 8  # side of a square that is taken for an image where nobody says so; tables of 9, 16 or 25 columns are not rare


def image_shape(n: int, given: Any) -> Shape:
    """(height, width) or (height, width, 3) of n features: as given, guessed from a square, or None where it is no image."""
    if given is None:
        side = math.isqrt(n)
        return (side, side) if side >= _SMALLEST and side * side == n else None
    if given is False:
        return None
    takes = f"image_shape takes (height, width) or (height, width, 3) of {n} features, or False"
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3) or (len(given) == 3 and given[2] != 3):
        raise ValueError(f"{takes}; got {given!r}")
    shape = tuple(_check.positive_integer(side, "image_shape") for side in given)
    if math.prod(shape) != n:
        raise ValueError(f"{takes}; got {' x '.join(map(str, shape))}, which has {math.prod(shape)}")
    return shape


def mosaic(images: Array, columns: int, fill: float, gap: int = 1) -> Array:
    """Images (n, height, width, ...) in rows of so many columns, ``gap`` pixels of ``fill`` between them."""
    n, height, width, *rest = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * columns, height + gap, width + gap, *rest), fill, images.dtype)
    canvas[:n, :height, :width] = images
    canvas = canvas.reshape(rows, columns, height + gap, width + gap, *rest).swapaxes(1, 2)
    canvas = canvas.reshape(rows * (height + gap), columns * (width + gap), *rest)
    return np.ascontiguousarray(canvas[:-gap, :-gap])


def mosaic_size(n: int, columns: int, shape: Any) -> tuple[float, float]:
    """Inches that suit a mosaic: as wide as its columns need, within bounds."""
    rows, width = -(-n // columns), float(np.clip(0.85 * columns, 4.0, 9.0))
    return width + 0.8, float(np.clip(width * rows * shape[0] / (columns * shape[1]), 0.8, 9.0)) + 0.7


def show(ax: Any, samples: Array, shape: Any, columns: int, cmap: str, limits: tuple[float, float]) -> Any:
    """Samples (n, features) as a mosaic, gaps transparent; limits are what the ends of the colours stand for.

    Returns what ``imshow`` does. Grey images of ``cmap``; colours from 0 to 1, put between the limits where these lie beyond.
    """
    images, gap = np.asarray(samples, np.float32).reshape(len(samples), *shape), 1 + shape[1] // 16
    low, high = limits
    if len(shape) == 3:
        if low < 0 or high > 1:
            images = (images - low) / ((high - low) or 1.0)
        opaque = np.isfinite(images).all(axis=-1, keepdims=True)
        images = np.concatenate([np.clip(np.nan_to_num(images), 0, 1), opaque], axis=-1)
        drawn = ax.imshow(mosaic(images, columns, 0, gap), interpolation="nearest")
    else:
        drawn = ax.imshow(mosaic(images, columns, np.nan, gap), cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    bare(ax)
    return drawn


def centres(n: int, side: int, gap: int) -> Array:
    """Where n images, or curves, have their middle."""
    return np.asarray((side - 1) / 2 + (side + gap) * np.arange(n))


def bare(ax: Any) -> None:
    """Axes without a frame and numbers."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def row(ax: Any, samples: Array, **line: Any) -> None:
    """Samples (n, features) as curves side by side."""
    n, width = samples.shape
    gap = curve_gap(width)
    x = np.arange(n * (width + gap)).reshape(n, -1)
    y = np.pad(np.asarray(samples, np.float64), ((0, 0), (0, gap)), constant_values=np.nan)
    ax.plot(x.ravel(), y.ravel(), **{"linewidth": 1, **({"marker": ".", "markersize": 4} if width < 3 else {}), **line})
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.tick_params(axis="x", length=0)


def curve_gap(width: int) -> int:
    """Between curves."""
    return 1 + width // 8
