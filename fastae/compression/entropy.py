"""Entropy coding of integers whose distributions are known, by constriction's asymmetric numeral systems."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._check import Array


class Table(NamedTuple):
    """How often each integer from ``low`` on occurs: a distribution. One that does not, in this range, takes 24 bits.

    Parameters
    ----------
    low : int
    counts : tuple of int
        At least two.
    """

    low: int
    counts: tuple[int, ...]

    @property
    def high(self) -> int:
        """The last integer."""
        return self.low + len(self.counts) - 1

    @property
    def bits(self) -> Array:
        """Of each integer."""
        counts = np.asarray(self.counts, np.float64)
        return np.asarray(np.log2(counts.sum() / counts))


def tabulate(values: Array, seen: int = 0) -> Table:
    """The table of some integers, each of their range counted ``seen`` times more than it occurs; of none, any."""
    if not values.size:
        return Table(0, (1, 1))
    low, high = int(values.min()), int(values.max())
    counts = np.bincount(values.astype(np.int64) - low, minlength=max(high - low + 1, 2)) + seen
    return Table(low, tuple(counts.tolist()))


def _stream() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise ImportError(f"entropy coding needs constriction, pip install fastae[compression]: {error}") from error
    return constriction.stream


def _models(tables: Sequence[Table]) -> list[Any]:
    categorical = _stream().model.Categorical
    return [categorical(np.asarray(table.counts, np.float64), perfect=False) for table in tables]


def encode(columns: Sequence[Array] | Array, tables: Sequence[Table]) -> bytes:
    """Bytes of arrays (n,) of int32, each counted from its table's ``low`` on, as little-endian words of 32 bits."""
    coder = _stream().stack.AnsCoder()
    for column, model in zip(reversed(columns), reversed(_models(tables)), strict=True):  # a stack: the last comes out first
        coder.encode_reverse(column, model)
    return bytes(coder.get_compressed().astype("<u4").tobytes())


def decode(data: bytes, sizes: Iterable[int], tables: Sequence[Table]) -> Iterator[Array]:
    """The arrays, of so many elements each, one after the other.

    Raises
    ------
    ValueError
        The bytes hold something else; which may be seen behind the last array only.
    """
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are no whole words")
    coder = _stream().stack.AnsCoder(np.frombuffer(data, "<u4").astype(np.uint32))
    for model, n in zip(_models(tables), sizes, strict=True):
        yield coder.decode(model, n)
    if not coder.is_empty():
        raise ValueError("more was coded than the sizes say")


def pack(tables: Sequence[Table]) -> bytes:
    """Tables as bytes: for each its low, its length and its counts, as little-endian int32, deflated."""
    words = [word for low, counts in tables for word in (low, len(counts), *counts)]
    return zlib.compress(np.asarray(words, "<i4").tobytes(), 9)


def unpack(data: bytes, most: int) -> list[Table]:
    """What :func:`pack` had, at most so many bytes.

    Raises
    ------
    ValueError
        The bytes hold something else.
    """
    try:
        words, tables = np.frombuffer(zlib.decompressobj().decompress(data, most), "<i4").tolist(), []
        while words:
            low, length, *words = words
            tables.append(Table(low, tuple(words[:length])))
            words = words[length:]
    except (zlib.error, ValueError) as error:
        raise ValueError(f"data is damaged: its tables cannot be read: {error}") from error
    return tables
