"""Pixels to within a bound, coded by what the reconstruction tells of them.

With bound m, the 2m + 1 values that share x // (2m + 1) are one level, whose middle is decoded: no pixel is off by more than m,
and with m = 0 none is. A level is coded by how often it occurs among the pixels whose reconstructed values are near.
"""

from __future__ import annotations

import numpy as np

from .._check import Array
from . import entropy

_CONTEXTS = 64  # ranges of reconstructed values; the more, the closer, and the longer the tables


def _places(reconstruction: Array) -> list[Array]:
    """Where the pixels of each context are: flat indices, ascending."""
    contexts = reconstruction.ravel() // (256 // _CONTEXTS)
    order = np.argsort(contexts, kind="stable")
    return np.split(order, np.cumsum(np.bincount(contexts, minlength=_CONTEXTS))[:-1])


def encode(x: Array, reconstruction: Array, bound: int) -> tuple[bytes, bytes]:
    """Tables and coded levels of pixels x, both arrays being of uint8 and one shape."""
    levels = (x // np.uint16(2 * bound + 1)).ravel()
    parts = [levels[places] for places in _places(reconstruction)]
    tables = [entropy.tabulate(part) for part in parts]
    columns = [part.astype(np.int32) - table.low for part, table in zip(parts, tables, strict=True)]
    return entropy.pack(tables), entropy.encode(columns, tables)


def decode(reconstruction: Array, bound: int, packed: bytes, coded: bytes) -> Array:
    """The pixels."""
    places, tables = _places(reconstruction), entropy.unpack(packed, 4 * _CONTEXTS * (2 + 256))
    x = np.empty_like(reconstruction)
    for at, column, table in zip(places, entropy.decode(coded, map(len, places), tables), tables, strict=True):
        np.put(x, at, np.minimum((column + table.low) * (2 * bound + 1) + bound, 255))
    return x
