"""The bytes around what is coded: magic, version, sizes, the codec's digest, a checksum. docs/compression.md has the table."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

MAGIC, VERSION = b"FAEC", 2
_HEADER = struct.Struct("<4sBxhIIQ16sQQQ")
_CHECKSUM = 4  # bytes


class Contents(NamedTuple):
    """What a file says."""

    max_error: int  # -1: none
    features: int
    checksum: int  # CRC-32 of the reconstruction, where there is a max_error
    samples: int
    digest: bytes  # of the codec
    codes: bytes
    tables: bytes  # of the pixels; these two are empty without max_error
    pixels: bytes


def write(contents: Contents) -> bytes:
    """The bytes of a file."""
    *numbers, codes, tables, pixels = contents
    parts = (codes, tables, pixels)
    data = b"".join((_HEADER.pack(MAGIC, VERSION, *numbers, *map(len, parts)), *parts))
    return data + zlib.crc32(data).to_bytes(_CHECKSUM, "little")


def read(data: Any, digest: bytes) -> Contents:
    """What a file says, once all of it is right, and of this codec."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data takes bytes, got {type(data).__name__}")
    data = bytes(data)
    if data[:4] != MAGIC:
        raise ValueError(f"data is no file of fastae.compression: it begins with {data[:4]!r}, not {MAGIC!r}")
    if len(data) < _HEADER.size + _CHECKSUM:
        raise ValueError(f"data is cut short: it has {len(data)} bytes, at least {_HEADER.size + _CHECKSUM} are needed")
    if data[4] != VERSION:
        raise ValueError(f"data is of version {data[4]} of the format, this fastae reads {VERSION}; or it is damaged")
    *_, max_error, features, checksum, samples, made_by, a, b, c = _HEADER.unpack_from(data)
    if len(data) != (expected := _HEADER.size + a + b + c + _CHECKSUM):
        raise ValueError(f"data is cut short or damaged: it has {len(data)} bytes, its header says {expected}")
    if zlib.crc32(data[:-_CHECKSUM]) != int.from_bytes(data[-_CHECKSUM:], "little"):
        raise ValueError("data is damaged: its checksum is wrong")
    if made_by != digest:
        raise ValueError(f"data was made by another codec, {made_by.hex()}; this one is {digest.hex()}")
    ends = np.cumsum([_HEADER.size, a, b, c]).tolist()
    return Contents(max_error, features, checksum, samples, made_by, *(data[i:j] for i, j in pairwise(ends)))
