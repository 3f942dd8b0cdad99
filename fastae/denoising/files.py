"""Images in files, by Pillow."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from .._check import Array
from ..persistence import write_atomically

_AS_IT_IS = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B")
_SEE_THROUGH = {"1": "LA", "L": "LA", "RGB": "RGBA", "P": "RGBA"}  # where one colour stands for what is transparent
_AS_ANOTHER = {"1": "L", "P": "RGB"}
_KEPT = ("exif", "icc_profile", "dpi")  # of what stands beside the pixels


def read_image(path: str | os.PathLike[str]) -> tuple[Array, dict[str, Any]]:
    """An image: (rows, columns) or (rows, columns, 2 to 4) of uint8 or uint16; and what :func:`write_image` keeps of its file.

    Raises
    ------
    ImportError
        Pillow is missing.
    OSError
        The file is missing or unreadable.
    ValueError
        It is no image that Pillow knows, is cut short, has several frames, or pixels of another kind, as CMYK.
    """
    pillow = _pillow()
    try:
        with pillow.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError(f"it has {picture.n_frames} frames; an image of one is taken")
            if not picture.mode.startswith("I") and any(";16" in str(part.args) for part in picture.tile):
                raise ValueError("its colours have 16 bits, of which Pillow reads 8; give ImageDenoiser an array of uint16")
            others = _SEE_THROUGH if "transparency" in picture.info else _AS_ANOTHER
            if (mode := others.get(picture.mode, picture.mode)) not in _AS_IT_IS:
                raise ValueError(f"its pixels are {picture.mode}; grey, RGB and palettes are taken, with alpha or without")
            pixels = np.array(picture if mode == picture.mode else picture.convert(mode))
            pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)  # I;16B; convert would cut it off at 255
            return pixels, {name: picture.info[name] for name in _KEPT if name in picture.info}
    except pillow.UnidentifiedImageError as error:
        raise ValueError(f"{path} is no image that Pillow can read") from error
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ValueError(f"{path} cannot be read: {error}") from error


def write_image(path: str | os.PathLike[str], image: Array, kept: dict[str, Any]) -> None:
    """Write an image in the format that the name's ending says; an old file is replaced once the new one is whole."""
    write_atomically(path, encoded(path, image, kept))


def encoded(path: str | os.PathLike[str], image: Array, kept: dict[str, Any]) -> bytes:
    """What :func:`write_image` writes.

    Raises
    ------
    ValueError
        Pillow knows no format of this ending, or the format has no such pixels.
    """
    pillow, kind, data = _pillow(), format_of(path), io.BytesIO()
    try:
        pillow.fromarray(image).save(data, kind, **kept, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be written: {error}") from error
    return data.getvalue()


def format_of(path: str | os.PathLike[str]) -> str:
    """Pillow's name of a format that it writes."""
    pillow = _pillow()
    suffix = Path(path).suffix.lower()
    kind = pillow.registered_extensions().get(suffix)
    if kind is None or kind not in pillow.SAVE:
        raise ValueError(f"{path}: the name ends in {suffix!r}, by which Pillow knows no format to write; .png will do")
    return str(kind)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f"images in files need Pillow, pip install fastae[images]: {error}") from error
    return Image
