"""Data sets: the UCI digits inside the package, MNIST and Fashion-MNIST from files that the user has."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from ._check import Array

__all__ = ["load_digits", "load_fashion_mnist", "load_idx", "load_mnist"]

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_digits() -> tuple[Array, Array]:
    """Handwritten digits of 8 x 8 pixels, shipped with fastae.

    Returns
    -------
    x : array (1797, 64) of float32
        Grey values from 0 to 1 (in steps of 1/16).
    labels : array (1797,) of int64

    Notes
    -----
    The test part of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
    1998, doi:10.24432/C50P49, under CC BY 4.0.

    Examples
    --------
    >>> import fastae
    >>> x, labels = fastae.datasets.load_digits()
    >>> x.shape, x.dtype, labels[:3]
    ((1797, 64), dtype('float32'), array([0, 1, 2]))
    """
    with as_file(files("fastae").joinpath("data/digits.npz")) as path, np.load(path) as stored:
        return stored["images"].astype(np.float32) / 16, stored["labels"].astype(np.int64)


def load_mnist(split: str = "train", path: str | os.PathLike[str] | None = None) -> tuple[Array, Array]:
    """MNIST, from its idx files, gzipped or not.

    Parameters
    ----------
    split : {"train", "test"}
    path : path of a folder, optional
        With ``train-images-idx3-ubyte`` and so on. Default: the folder ``mnist`` in the folder that the environment variable
        ``FASTAE_DATA`` names, or in ``/usr/share/datasets``.

    Returns
    -------
    images : array (60000 or 10000, 784) of uint8
        Models scale uint8 to 0 to 1.
    labels : array (60000 or 10000,) of uint8
    """
    return _load("mnist", split, path)


def load_fashion_mnist(split: str = "train", path: str | os.PathLike[str] | None = None) -> tuple[Array, Array]:
    """Fashion-MNIST, from its idx files, gzipped or not.

    Parameters
    ----------
    split : {"train", "test"}
    path : path of a folder, optional
        As of :func:`load_mnist`, with ``fashion-mnist``; Debian's dataset-fashion-mnist is found too.

    Returns
    -------
    images, labels
        As of :func:`load_mnist`.
    """
    return _load("fashion-mnist", split, path)


def load_idx(path: str | os.PathLike[str]) -> Array:
    """An array from an idx file, gzipped or not.

    The format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions (big-endian, 4 bytes each), elements.

    Parameters
    ----------
    path : path of a file

    Returns
    -------
    array

    Raises
    ------
    OSError
        The file is missing or unreadable.
    ValueError
        It is not an idx file, or not a whole one.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged or cut short: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{path} is not an idx file, or is cut short")
    dtype, ndim = np.dtype(_IDX_TYPES[data[2]]), data[3]
    shape = struct.unpack(f">{ndim}I", data[4 : 4 + 4 * ndim])
    expected = 4 + 4 * ndim + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(f"{path} has {len(data)} bytes, but its header {shape} says {expected}: it is cut short or damaged")
    try:
        return np.frombuffer(data, dtype, offset=4 + 4 * ndim).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:  # no elements, in more dimensions or larger ones than NumPy has
        raise ValueError(f"{path} holds an array of shape {shape}, which NumPy cannot hold: {error}") from error


def _load(name: str, split: str, path: str | os.PathLike[str] | None) -> tuple[Array, Array]:
    prefixes = {"train": "train", "test": "t10k"}
    if not isinstance(split, str) or split not in prefixes:
        raise ValueError(f"split takes 'train' or 'test', got {split!r}")
    folder = Path(path) if path is not None else _folder(name)
    images = load_idx(_either(folder / f"{prefixes[split]}-images-idx3-ubyte"))
    labels = load_idx(_either(folder / f"{prefixes[split]}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(f"{folder} has images of shape {images.shape} with labels of shape {labels.shape}; these do not fit")
    return images.reshape(len(images), -1), labels


def _folder(name: str) -> Path:
    own = os.environ.get("FASTAE_DATA")
    places = [Path(own) / name] if own else []
    places.append(Path("/usr/share/datasets") / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"{name} is in none of {', '.join(map(str, places))}; give its folder as path, or set FASTAE_DATA to the folder "
        f"that holds {name}"
    )


def _either(path: Path) -> Path:
    zipped = path.with_name(path.name + ".gz")
    return zipped if zipped.exists() and not path.exists() else path
