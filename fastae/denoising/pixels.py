"""Images as arrays: what is taken, and colours turned so that each plane bears the noise of a channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check
from .._check import Array

WHITE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float64": 1.0}  # the brightest value

# Brightness and two differences of colours, orthonormal: white noise of the channels is white noise of the same standard
# deviation here, but of an image nearly all is in the first.
_PLANES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float32)
_PLANES /= np.linalg.norm(_PLANES, axis=1, keepdims=True)


def checked(value: Any, argument: str) -> Array:
    """An image (rows, columns) or (rows, columns, channels) as (rows, columns, channels), looked at, not copied."""
    x = np.asarray(value)
    if x.dtype.name not in WHITE:
        raise TypeError(f"{argument} takes an image of {', '.join(WHITE)}; got {x.dtype}")
    if x.ndim not in (2, 3) or x.size == 0 or (x.ndim == 3 and x.shape[2] > 4):
        raise ValueError(f"{argument} takes an image of shape (rows, columns) or (rows, columns, 1 to 4), got {x.shape}")
    x = x.astype(x.dtype.newbyteorder("="), copy=False).reshape(*x.shape[:2], -1)
    if x.dtype.kind == "f":
        _check.finite(x.reshape(len(x), -1), argument, np.dtype(np.float32))  # in which the network computes
    return x


def colours(x: Array) -> Array:
    """Grey, or red, green and blue, of (rows, columns, channels): without alpha, which is the second or fourth channel.

    Channels that are equal are one of grey: their noise is the same too, and not that of three.
    """
    x = x[..., : n_colours(x)]
    return x[..., :1] if (x == x[..., :1]).all() else x


def n_colours(x: Array) -> int:
    """Channels but alpha, 1 or 3."""
    return int(x.shape[2] - 1) | 1


def planes(x: Array) -> Array:
    """Grey or brightness, and differences of colours: (rows, columns, 1 or 3) -> (1 or 3, rows, columns) of float32."""
    x = np.moveaxis(x, -1, 0).astype(np.float32)
    return x if len(x) == 1 else np.tensordot(_PLANES, x, 1)


def restored(x: Array) -> Array:
    """The way back from :func:`planes`."""
    return np.moveaxis(x if len(x) == 1 else np.tensordot(_PLANES.T, x, 1), 0, -1)
