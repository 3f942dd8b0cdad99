"""Many small images in one, as PNG."""

from __future__ import annotations

import io
import math
import os
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from ..files import check_ending
from ..persistence import write_atomically
from ..plots.images import mosaic


def tiled(images: Any, columns: int | None = None, shape: tuple[int, int] | None = None) -> Array:
    """Images side by side, with a line of one pixel between them.

    Parameters
    ----------
    images : array (samples, height * width) of uint8, or of floats from 0, white, to 1, black; others count as the nearer one
    columns : int, optional
        Images in a row. Default: as many as make a square.
    shape : (height, width), optional
        Of an image. Default: a square.

    Returns
    -------
    array (pixels, pixels) of uint8
        Grey values as a PNG has them, 255 for white.

    Raises
    ------
    TypeError, ValueError
        These are no images, or not of this shape.
    """
    given = getattr(images, "shape", None) or np.shape(images)
    x = _check.samples(images, "images", math.prod(given[1:]))
    ink = (x if x.dtype == np.uint8 else np.rint(255 * np.clip(_check.finite(x, "images"), 0, 1))).astype(np.uint8)
    height, width = _shape(x.shape[1], shape)
    columns = math.ceil(math.sqrt(len(x))) if columns is None else _check.positive_integer(columns, "columns")
    return 255 - mosaic(ink.reshape(-1, height, width), columns, 0)


def write_png(
    path: str | os.PathLike[str], images: Any, columns: int | None = None, shape: tuple[int, int] | None = None, zoom: int = 1
) -> None:
    """Write :func:`tiled` images to a PNG file, each pixel ``zoom`` pixels wide and high.

    Parameters
    ----------
    path : path
        Of a file that ends in .png.
    images, columns, shape
        As of :func:`tiled`.
    zoom : int

    Raises
    ------
    ImportError
        Pillow is missing.
    TypeError, ValueError
        The name does not end in .png, or these are no images.
    """
    zoom = _check.positive_integer(zoom, "zoom")
    path = check_ending(path, (".png",))
    picture = tiled(images, columns, shape)
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("a PNG needs Pillow, which is not installed: pip install 'fastae[generation]'") from None
    file = io.BytesIO()
    Image.fromarray(picture.repeat(zoom, axis=0).repeat(zoom, axis=1)).save(file, "PNG", optimize=True)
    write_atomically(path, file.getvalue())


def _shape(pixels: int, shape: Any) -> tuple[int, int]:
    if shape is None:
        side = math.isqrt(pixels)
        if side * side != pixels:
            raise ValueError(f"images have {pixels} pixels, which make no square; give shape=(height, width)")
        return side, side
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ValueError(f"shape takes (height, width), got {shape!r}")
    height, width = (_check.positive_integer(n, "shape") for n in shape)
    if height * width != pixels:
        raise ValueError(f"shape takes (height, width) of {pixels} pixels, got {height} x {width}")
    return height, width
