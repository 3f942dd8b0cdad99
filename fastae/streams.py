"""Streams of batches of any sizes, cut anew into whole steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from ._check import Array, dense
from .data import Data


class Piece(NamedTuple):
    """Rows first to last of some data, whole steps, in an order; ``ends``: an epoch ends with them.

    ``order(done, n)`` gives the next n of an epoch's rows (None: the rows as they are), and where they begin in these.
    """

    data: Data
    first: int
    last: int
    order: Callable[[int, int], tuple[Array | None, int]]
    ends: bool


def as_they_are(done: int, n: int) -> tuple[Array | None, int]:
    """An order: rows one after another."""
    return None, done


def is_stream(x: Any) -> bool:
    """Whether x is an iterator or iterable of batches, not samples themselves."""
    return hasattr(x, "__iter__") and not (
        hasattr(x, "__array__") or hasattr(x, "tocsr") or isinstance(x, (Sequence, Mapping, Set))
    )


class Stream:
    """Batches of any sizes, one after another, cut anew into steps of ``size`` rows.

    ``check`` turns what the source gives and its number into x and target. ``limit``: rows of an epoch; None: until the source
    ends. ``skip``: rows to pass over first.
    """

    def __init__(
        self, source: Any, size: int, dtype: np.dtype[Any], check: Callable[[Any, int], Data], limit: int | None, skip: int
    ) -> None:
        self.source, self.size, self.dtype, self.check, self.limit, self.skip = source, size, dtype, check, limit, skip
        self.again = iter(source) is not source
        self._endless = self._cut(self._passes())
        self._rest: Piece | None = None

    def epoch(self, position: int) -> Iterator[Piece]:
        """The pieces of an epoch, of which ``position`` rows are done."""
        if self.limit is None:
            yield from self._cut(self._pass())
            return
        left = self.limit - position
        while left > 0 and (piece := self._rest or next(self._endless, None)) is not None:
            stop = min(piece.last, piece.first + left)
            left -= stop - piece.first
            self._rest = piece._replace(first=stop) if stop < piece.last else None
            yield piece._replace(last=stop, ends=left == 0)

    def _passes(self) -> Iterator[Data]:
        """The source's batches, and again from the beginning where that is possible, without an end."""
        while True:
            n = 0
            for data in self._pass():
                n += 1
                yield data
            if not (n and self.again):
                return

    def _pass(self) -> Iterator[Data]:
        for number, batch in enumerate(self.source):
            yield self.check(batch, number)

    def _cut(self, batches: Iterator[Data]) -> Iterator[Piece]:
        """Pieces of whole steps; what is left of a batch waits, copied, for the next one. The last step may be smaller."""
        waiting: list[Data] = []
        for data in batches:
            first, n = min(self.skip, data.n), data.n
            self.skip -= first
            if waiting:
                stop = min(first + self.size - sum(part.n for part in waiting), n)
                waiting.append(self._copied(data, first, stop))
                first = stop
                if sum(part.n for part in waiting) == self.size:
                    yield Piece(_joined(waiting), 0, self.size, as_they_are, False)
                    waiting = []
            whole = first + (n - first) // self.size * self.size
            if whole > first:
                yield Piece(data, first, whole, as_they_are, False)
            if whole < n:
                waiting.append(self._copied(data, whole, n))
        if waiting:
            joined = _joined(waiting)
            yield Piece(joined, 0, joined.n, as_they_are, False)

    def _copied(self, data: Data, first: int, last: int) -> Data:
        """Some rows, fewer than a step has, dense and in the model's dtype."""
        x, target = (_scaled(dense(source, slice(first, last)), self.dtype) for source in (data.x, data.target))
        return Data(x, x if data.target is data.x else target)


def _scaled(x: Array, dtype: np.dtype[Any]) -> Array:
    return np.multiply(x, dtype.type(1 / 255), dtype=dtype) if x.dtype == np.uint8 else x.astype(dtype)


def _joined(parts: list[Data]) -> Data:
    own = all(part.target is part.x for part in parts)
    x = np.concatenate([part.x for part in parts])
    return Data(x, x if own else np.concatenate([part.target for part in parts]))
