"""Ratings: a sparse matrix with the ids of its rows and columns; from files; split for a test."""

from __future__ import annotations

import csv
import math
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import sparse

from .. import _check
from .._check import Array
from ..layers import generator

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".data": "\t"}
_COLUMNS = {"user": 0, "item": 1, "rating": 2, "time": 3}  # of a table whose header does not tell
_SAME = {
    "user_id": "user",
    "userid": "user",
    "item_id": "item",
    "itemid": "item",
    "timestamp": "time",
}


@dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings of users, and the ids by which these and the items are known outside.

    Parameters
    ----------
    matrix : CSR (users, items) of real numbers, kept as float32
        What is stored was rated.
    user_ids : array (users,) of integers or str, kept as int64 or str
        None twice.
    item_ids : array (items,) of integers or str
        As user_ids.
    """

    matrix: Any
    user_ids: Array
    item_ids: Array

    def __post_init__(self) -> None:
        matrix = canonical(self.matrix, "matrix")
        object.__setattr__(self, "matrix", matrix)
        for name, n in zip(("user_ids", "item_ids"), matrix.shape, strict=True):
            given = ids(getattr(self, name), name)
            if len(given) != n:
                raise ValueError(f"{name} takes an id for each of {n}, as matrix has shape {matrix.shape}; got {len(given)}")
            once, counts = np.unique(given, return_counts=True)
            if len(once) < n:
                raise ValueError(f"{name} has {once[counts.argmax()].item()!r} {counts.max()} times; each id is needed once")
            object.__setattr__(self, name, given)

    @classmethod
    def from_columns(cls, users: Any, items: Any, values: Any, times: Any = None, item_ids: Any = None) -> Ratings:
        """Ratings from columns of a table.

        Parameters
        ----------
        users, items : array (ratings,) of int or str
            Ids. Rows and columns are in the order in which they first come.
        values : array (ratings,) of numbers
        times : array (ratings,) of numbers, optional
            Integers are compared as such.
            Of two ratings of an item by the same user the later counts, or the last where the times are equal or not given.
        item_ids : array (items,), optional
            Those of the columns; others are refused. Give those of a recommender to make ratings for it.

        Raises
        ------
        TypeError, ValueError
            No ratings, columns that differ in length, NaN or infinity, ids of other types, an item that is not in item_ids.
        """
        value = np.asarray(values, np.float64)
        if value.ndim != 1 or len(value) == 0:
            raise ValueError(f"values takes at least one rating, of shape (ratings,), got {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"values has NaN or infinity, the first in row {np.argmin(np.isfinite(value))}")
        known = None if item_ids is None else ids(item_ids, "item_ids")
        user_ids, row = _numbered(ids(users, "users"))
        item_ids, column = _numbered(ids(items, "items"), known)
        if not len(row) == len(column) == len(value):
            raise ValueError(f"users, items and values take one length, got {len(row)}, {len(column)} and {len(value)}")
        keys, when = row * len(item_ids) + column, np.zeros(len(value)) if times is None else np.asarray(times)
        when = when if when.dtype.kind in "iu" else when.astype(np.float64)
        if when.shape != value.shape or np.isnan(when).any():
            raise ValueError(f"times takes a number for each of {len(value)} ratings, none of them NaN; got shape {when.shape}")
        order = np.lexsort((when, keys))  # which leaves equals in their order
        keys = keys[order]
        kept = order[np.append(keys[1:] != keys[:-1], True)]
        shape = len(user_ids), len(item_ids)
        matrix = sparse.csr_array((value[kept].astype(np.float32), (row[kept], column[kept])), shape)
        return cls(canonical(matrix, "values"), user_ids, item_ids)

    def for_items(self, item_ids: Array) -> Ratings:
        """The same ratings with the columns of ``item_ids``; an item that is not among these is refused."""
        if np.array_equal(self.item_ids, item_ids):
            return self
        _, column = _numbered(self.item_ids, item_ids)
        matrix = sparse.csr_array(
            (self.matrix.data, column[self.matrix.indices], self.matrix.indptr), (len(self.user_ids), len(item_ids))
        )
        return Ratings(matrix, self.user_ids, item_ids)


def read_ratings(path: str | os.PathLike[str], item_ids: Any = None) -> Ratings:
    """Ratings from a file of lines user, item, rating and, optionally, time.

    Parameters
    ----------
    path : path
        ``.csv`` has commas; ``.tsv``, ``.data`` and RecBole's ``.inter`` have tabs. A first line whose third field is no number
        is a header. One with the names user, item and rating, or like ``user_id:token  item_id:token  rating:float
        timestamp:float``, tells the columns, in any order and among others; of other names, they are in the order above. All
        ids are strings, without spaces around them.
    item_ids : array (items,) of str, optional
        As of :meth:`Ratings.from_columns`.

    Raises
    ------
    OSError
        The file is missing or unreadable.
    ValueError
        It holds no ratings, or a line that is none, which is told.
    """
    path = Path(path)
    if (suffix := path.suffix.lower()) not in _DELIMITERS:
        raise ValueError(f"{path}: the name ends in {path.suffix!r}; {', '.join(_DELIMITERS)} are read")
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    row, column, values, times = array("q"), array("q"), array("d"), array("d")
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            for number, fields in _lines(csv.reader(file, delimiter=_DELIMITERS[suffix])):
                try:
                    user, item, rating, *rest = map(str.strip, fields)
                    if not (user and item):
                        raise ValueError("an id is empty")
                    values.append(_finite(rating))
                    times.append(_finite(rest[0]) if rest else 0.0)
                except ValueError as error:
                    raise ValueError(f"line {number} takes user, item, rating[, time], got {fields}: {error}") from None
                row.append(users.setdefault(user, len(users)))
                column.append(items.setdefault(item, len(items)))
        except (ValueError, csv.Error) as error:  # also what is not UTF-8
            raise ValueError(f"{path} is not a table of ratings: {error}") from error
    if not values:
        raise ValueError(f"{path} holds no ratings")
    read = Ratings.from_columns(np.asarray(row), np.asarray(column), np.asarray(values), np.asarray(times))
    named = Ratings(read.matrix, np.array(list(users)), np.array(list(items)))  # both number in the order of the lines
    try:
        return named if item_ids is None else named.for_items(ids(item_ids, "item_ids"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def split(ratings: Any, fraction: float = 0.25, seed: Any = 0) -> tuple[Any, Any]:
    """Ratings to learn from, and a part of each user's held back for a test.

    Parameters
    ----------
    ratings : CSR (users, items) or Ratings
    fraction : float
        Of n ratings, n - round((1 - fraction) n) are held back.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    kept, held_out
        Both as ``ratings``, with all rows and columns.
    """
    fraction = _check.real_number(fraction, "fraction", 0, 1, "0 <= fraction < 1")
    matrix, rng = canonical(ratings, "ratings"), generator(seed)
    held = np.zeros(matrix.nnz, bool)
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        n = int(stop - start)
        held[start + rng.permutation(n)[round((1 - fraction) * n) :]] = True
    parts = (_chosen(matrix, ~held), _chosen(matrix, held))
    if isinstance(ratings, Ratings):
        return tuple(Ratings(part, ratings.user_ids, ratings.item_ids) for part in parts)  # type: ignore[return-value]
    return parts


def canonical(value: Any, argument: str, n_items: int | None = None) -> Any:
    """A checked CSR matrix (users, items) of float32, columns in order; copied only where needed. Ratings give theirs."""
    value = value.matrix if isinstance(value, Ratings) else value
    if not hasattr(value, "tocsr") or value.format != "csr":
        what = f"format {value.format!r}; give {argument}.tocsr()" if hasattr(value, "tocsr") else type(value).__name__
        raise TypeError(f"{argument} takes scipy's CSR (users, items) or Ratings, got {what}")
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{argument} takes a matrix of real numbers, got {value.dtype}")
    if len(value.shape) != 2 or 0 in value.shape or (n_items is not None and value.shape[1] != n_items):
        raise ValueError(f"{argument} takes a matrix of shape (users, {n_items or 'items'}), got {value.shape}")
    _check.sound(value, argument)
    with np.errstate(over="ignore"):
        data = value.data.astype(np.float32, copy=False)
    matrix = sparse.csr_array((data, value.indices, value.indptr), value.shape)
    if not matrix.has_sorted_indices:
        matrix = matrix.copy()
        matrix.sort_indices()
    first = np.zeros(matrix.nnz + 1, bool)  # of a row, whose column may be any
    first[matrix.indptr] = True
    if (twice := ~first[1:-1] & (np.diff(matrix.indices) == 0)).any():
        user, item = _place(matrix, int(np.argmax(twice)))
        raise ValueError(f"{argument} has two ratings of item {item} by user {user}; one is needed")
    if not (ok := np.isfinite(matrix.data)).all():
        user, item = _place(matrix, int(np.argmin(ok)))
        raise ValueError(f"{argument} has NaN or infinity, the first by user {user} of item {item}; finite numbers are needed")
    return matrix


def within(matrix: Any, argument: str, low: float, high: float, given: Any = None) -> None:
    """Refuse ratings outside of a scale; where they were given as Ratings, these tell ids."""
    if matrix.nnz and not (ok := (matrix.data >= low) & (matrix.data <= high)).all():
        at = int(np.argmin(ok))
        user, item = place = _place(matrix, at)
        who, what = (given.user_ids[user].item(), given.item_ids[item].item()) if isinstance(given, Ratings) else place
        takes = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        raise ValueError(f"{argument} takes ratings {takes}, got {matrix.data[at]:g} by user {who!r} of item {what!r}")


def ids(value: Any, argument: str) -> Array:
    """Ids as int64 or str."""
    given = np.asarray(value)
    if given.ndim != 1 or given.dtype.kind not in "iuUO" or (given.dtype.kind == "O" and set(map(type, given)) != {str}):
        raise TypeError(f"{argument} takes an array (n,) of integers or of strings, got {given.dtype} {given.shape}")
    if given.dtype.kind == "u" and len(given) and given.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{argument} takes integers below 2^63, or strings; got {given.max()}")
    return given.astype(np.int64 if given.dtype.kind in "iu" else str, copy=False)


def _numbered(given: Array, known: Array | None = None) -> tuple[Array, Array]:
    """All ids once, in the order in which they first come or of ``known``, and the number of each that is given."""
    if known is None:
        sorted_, first, inverse = np.unique(given, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return sorted_[order], rank[inverse]
    number = {name: n for n, name in enumerate(known.tolist())}
    if unknown := [name for name in dict.fromkeys(given.tolist()) if name not in number]:
        raise ValueError(f"items takes ids among item_ids; {len(unknown)} are not, the first is {unknown[0]!r}")
    return known, np.array([number[name] for name in given.tolist()], np.int64)


def _lines(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Numbers of lines, and their fields, user, item, rating and maybe time, without a header and empty lines."""
    width, order = 0, cast(Sequence[int], ())
    for fields in filter(None, reader):
        if not width:
            width, header = len(fields), _header(fields)
            order = range(min(width, len(_COLUMNS))) if header is None else header
            if header is not None:
                continue
        if len(fields) != width:
            raise ValueError(f"line {reader.line_num} has {len(fields)} fields, the first one {width}")
        yield reader.line_num, [fields[column] for column in order]


def _header(fields: list[str]) -> Sequence[int] | None:
    """Of a header, which columns are user, item, rating and time; None of what is no header."""
    names = [field.partition(":")[0].strip().lower() for field in fields]
    names = [_SAME.get(name, name) for name in names]
    if {"user", "item", "rating"} <= set(names):
        return [names.index(name) for name in _COLUMNS if name in names]
    try:
        float(fields[2])
        return None
    except IndexError:  # which the first line read will tell
        return None
    except ValueError:
        pass
    if any(_COLUMNS.get(name, place) != place for place, name in enumerate(names)):
        raise ValueError(f"its columns are {fields}; name them user, item, rating[, time], or bring them in this order")
    return range(min(len(fields), len(_COLUMNS)))


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("a finite number is needed")
    return number


def _place(matrix: Any, at: int) -> tuple[int, int]:
    """Row and column of a stored element."""
    return int(np.searchsorted(matrix.indptr, at, "right")) - 1, int(matrix.indices[at])


def _chosen(matrix: Any, which: Array) -> Any:
    """A matrix with some of the stored elements."""
    before = np.concatenate([[0], np.cumsum(which)])
    return sparse.csr_array((matrix.data[which], matrix.indices[which], before[matrix.indptr]), matrix.shape)
