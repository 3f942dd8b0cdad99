"""What all recommenders have in common: rows of ratings in, the best items out; files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import _check
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import BLOCK
from ..persistence import write_atomically
from .ratings import Ratings, canonical, ids, within

_KEY = "fastae.recommendation"
_FORMAT = 1


class Recommendations(NamedTuple):
    """The best items of each user.

    Parameters
    ----------
    items : array (users, n) of int64
        Best first; -1 where a user has seen all others.
    scores : array (users, n) of float32
        Theirs; -inf where there is no item.
    """

    items: Array
    scores: Array


class Recommender:
    """Learns of the ratings of some users what others may like.

    Subclasses say how items are scored.

    Attributes
    ----------
    n_items : int
        Columns of the ratings; 0 before ``fit``.
    item_ids : array (n_items,) of int64 or str, or None
        Of the ``Ratings`` that it was fitted to.
    predicts_ratings : bool
        Whether scores are ratings.
    limits : pair of float
        The least and the largest rating taken.
    """

    kinds: ClassVar[dict[str, type[Recommender]]] = {}  # by the name that a saved file has
    setting_names: ClassVar[tuple[str, ...]] = ()  # arguments kept as attributes
    predicts_ratings: bool = False
    limits = (0.0, math.inf)
    n_items = 0
    item_ids: Array | None = None

    def __init_subclass__(cls) -> None:
        Recommender.kinds[cls.__name__] = cls

    def fit(self, ratings: Any, progress: bool = False) -> Any:
        """Learn from ratings; what was learnt before is forgotten.

        Parameters
        ----------
        ratings : CSR (users, items) of real numbers, or Ratings
            What is stored was rated. Memory besides the model's is linear in the number of ratings.
        progress : bool
            Show a progress bar on stderr, if that is a terminal or a notebook.

        Returns
        -------
        Recommender
            This one.

        Raises
        ------
        TypeError, ValueError
            No ratings, two of an item by the same user, NaN, ratings outside the scale.
        """
        matrix = canonical(ratings, "ratings")
        if matrix.nnz == 0:
            raise ValueError(f"ratings takes at least one rating, got a matrix of shape {matrix.shape} without any")
        limits = self._scale_of(matrix)
        within(matrix, "ratings", *limits, given=ratings)
        self._fit(matrix, progress)
        self.limits, self.n_items, self.item_ids = limits, matrix.shape[1], getattr(ratings, "item_ids", None)
        return self

    def scores(self, ratings: Any) -> Array:
        """How much users may like each item, the more the better.

        Parameters
        ----------
        ratings : CSR (users, n_items) or Ratings
            What is known of these users, who need not be among those fitted to. A user without ratings gets the scores of an
            average one.

        Returns
        -------
        array (users, n_items) of float32
            Dense: give some thousand users at a time.
        """
        return np.concatenate([block for _, block in self._blocks(self._taken(ratings))])

    def recommend(self, ratings: Any, n: int = 10, exclude_seen: bool = True) -> Recommendations:
        """The items with the highest scores.

        Parameters
        ----------
        ratings : CSR (users, n_items) or Ratings
            As of :meth:`scores`; any number of users.
        n : int
            Where fewer items are left to a user, places are -1, with the score -inf.
        exclude_seen : bool
            Leave out what a user has rated.

        Returns
        -------
        Recommendations
            items (users, n) and scores (users, n). Of equal scores, those of lower numbers come first, and if the n-th has
            equals it is not said which of them are left out.
        """
        n, exclude_seen = _check.positive_integer(n, "n"), _check.flag(exclude_seen, "exclude_seen")
        matrix, items, best, beyond = self._taken(ratings), [], [], max(n - self.n_items, 0)
        n -= beyond
        for rows, block in self._blocks(matrix):
            if exclude_seen:
                block[np.repeat(np.arange(len(block)), np.diff(rows.indptr)), rows.indices] = -np.inf
            chosen = np.sort(np.argpartition(-block, n - 1, axis=1)[:, :n], axis=1)
            score = np.take_along_axis(block, chosen, axis=1)
            order = np.argsort(-score, axis=1, kind="stable")
            best.append(np.take_along_axis(score, order, axis=1))
            items.append(np.where(np.isneginf(best[-1]), -1, np.take_along_axis(chosen, order, axis=1)))
        pairs = ((items, -1), (best, -np.inf))
        return Recommendations(*(np.pad(np.concatenate(a), ((0, 0), (0, beyond)), constant_values=c) for a, c in pairs))

    def predict(self, ratings: Any, users: Any, items: Any) -> Array:
        """Ratings of pairs of a user and an item.

        Parameters
        ----------
        ratings : CSR (users, n_items) or Ratings
            As of :meth:`scores`.
        users, items : array (pairs,) of int
            Rows and columns of ``ratings``.

        Returns
        -------
        array (pairs,) of float32
            Within the scale of ratings.
        """
        if not self.predicts_ratings:
            raise TypeError(f"predict takes a recommender that predicts ratings, as AutoRec; {type(self).__name__} ranks items")
        matrix, users, items = self._taken(ratings), np.asarray(users), np.asarray(items)
        for name, numbers, n in (("users", users, matrix.shape[0]), ("items", items, self.n_items)):
            if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or len(users) != len(items):
                raise ValueError(f"users and items take integers (pairs,), got {name} of {numbers.dtype} {numbers.shape}")
            if len(numbers) and not 0 <= numbers.min() <= numbers.max() < n:
                raise ValueError(f"{name} takes 0 to {n - 1}, got {numbers.min()} to {numbers.max()}")
        result, order, first = np.empty(len(users), np.float32), np.argsort(users, kind="stable"), 0
        wanted, counts = np.unique(users, return_counts=True)
        ends = np.concatenate([[0], np.cumsum(counts)])
        for _, block in self._blocks(matrix[wanted]) if len(wanted) else ():
            pairs = order[ends[first] : ends[first + len(block)]]
            row = np.repeat(np.arange(len(block)), counts[first : first + len(block)])
            result[pairs] = block[row, items[pairs]]
            first += len(block)
        return result.clip(*self.limits)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to a safetensors file, which :func:`load` reads; one already there is replaced by a whole one."""
        from safetensors.numpy import save

        arrays, config = self._contents()
        write_atomically(path, save(arrays, {_KEY: json.dumps({"format": _FORMAT, **config})}))

    def settings(self) -> dict[str, Any]:
        """The arguments that made this recommender."""
        return {name: getattr(self, name) for name in self.setting_names}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.settings().items())})"

    # ---- of a subclass

    def _scale_of(self, matrix: Any) -> tuple[float, float]:
        """``limits`` for ratings that are to be fitted."""
        return Recommender.limits

    def _fit(self, matrix: Any, progress: bool) -> None:
        """Learn from a checked matrix."""
        raise NotImplementedError

    def _score(self, rows: Any) -> Array:
        """Scores (users, n_items) of float32 for a checked matrix of some users, to write into."""
        raise NotImplementedError

    def _arrays(self) -> dict[str, Array]:
        """What was learnt."""
        raise NotImplementedError

    def _restore(self, arrays: dict[str, Array]) -> None:
        """Take what ``_arrays`` gave; ``n_items`` is known."""
        raise NotImplementedError

    # ---- within

    def _taken(self, ratings: Any) -> Any:
        """Checked rows with the columns fitted to."""
        if not self.n_items:
            raise RuntimeError(f"this {type(self).__name__} has learnt nothing yet; call fit(ratings)")
        if isinstance(ratings, Ratings) and self.item_ids is not None:
            ratings = ratings.for_items(self.item_ids)
        matrix = canonical(ratings, "ratings", self.n_items)
        within(matrix, "ratings", *self.limits, given=ratings)
        return matrix

    def _blocks(self, matrix: Any) -> Iterator[tuple[Any, Array]]:
        """Some users at a time, with their scores."""
        step = _check.together(matrix, BLOCK)
        for start in range(0, matrix.shape[0], step):
            rows = matrix[start : start + step]
            yield rows, self._score(rows)

    def _contents(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and description of a file."""
        if not self.n_items:
            raise RuntimeError(f"this {type(self).__name__} has learnt nothing yet; call fit(ratings)")
        settings = {name: _plain(value) for name, value in self.settings().items()}
        config = {"kind": type(self).__name__, "settings": settings, "n_items": self.n_items, "limits": _open(self.limits)}
        arrays = {name: np.ascontiguousarray(array) for name, array in self._arrays().items()}
        if self.item_ids is not None:
            arrays |= _ids_as_arrays(self.item_ids)
        return arrays, config

    @classmethod
    def _configured(cls, settings: dict[str, Any], arrays: dict[str, Array]) -> Recommender:
        """One with the settings of a file."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})


def load(path: str | os.PathLike[str]) -> Any:
    """Read a recommender that its ``save`` wrote.

    Raises
    ------
    OSError
        The file is missing or unreadable.
    ValueError
        It is not a whole file of a recommender.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with open(path, "rb"):  # a missing or unreadable file is the system's error, with its own words
        pass
    try:
        with safe_open(path, framework="np") as file:
            if _KEY not in (metadata := file.metadata() or {}):
                raise ValueError("it is a safetensors file, but not of a recommender")
            config = json.loads(metadata[_KEY])
            if config["format"] != _FORMAT:
                raise ValueError(f"its format is {config['format']!r}; this version reads {_FORMAT}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return made(config, arrays)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is cut short: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} does not hold a recommender that can be loaded here: {error}") from error


def made(config: dict[str, Any], arrays: dict[str, Array]) -> Recommender:
    """The recommender of a file, or of a part of one."""
    if config["kind"] not in Recommender.kinds:
        raise ValueError(f"it is a {config['kind']!r}, which is none of {', '.join(Recommender.kinds)}")
    recommender = Recommender.kinds[config["kind"]]._configured(config["settings"], arrays)
    recommender.n_items = _check.positive_integer(config["n_items"], "n_items")
    low, high = config["limits"]
    recommender.limits = low, math.inf if high is None else high
    recommender.item_ids = _ids_from_arrays(arrays, recommender.n_items)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has NaN or infinity")
    recommender._restore(arrays)
    return recommender


def expect(arrays: dict[str, Array], **shapes: tuple[int, ...]) -> list[Array]:
    """Arrays of a file by name, of these shapes; -1 is any number."""
    found = []
    for name, shape in shapes.items():
        array = arrays[name]
        if array.ndim != len(shape) or any(n not in (-1, m) for n, m in zip(shape, array.shape, strict=True)):
            raise ValueError(f"{name} has the shape {array.shape}, where {shape} is expected")
        found.append(array)
    return found


def _plain(value: Any) -> Any:
    """A setting as JSON knows it; a seed that is a Generator is not kept."""
    return None if isinstance(value, np.random.Generator) else value


def _open(limits: tuple[float, float]) -> list[float | None]:
    """Limits as JSON knows them."""
    return [limits[0], limits[1] if math.isfinite(limits[1]) else None]


def _ids_as_arrays(item_ids: Array) -> dict[str, Array]:
    """Numbers, or the bytes of all strings and where each ends."""
    if item_ids.dtype.kind == "i":
        return {"item_ids": item_ids}
    encoded = [name.encode() for name in item_ids.tolist()]
    ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
    return {"item_ids": np.frombuffer(b"".join(encoded), np.uint8), "item_ids.ends": ends}


def _ids_from_arrays(arrays: dict[str, Array], n: int) -> Array | None:
    stored, ends = arrays.pop("item_ids", None), arrays.pop("item_ids.ends", None)
    if stored is not None and ends is not None:
        text, starts = stored.tobytes(), [0, *ends[:-1].tolist()]
        stored = np.array([text[a:b].decode() for a, b in zip(starts, ends.tolist(), strict=True)])
    if stored is not None and stored.shape != (n,):
        raise ValueError(f"item_ids has the shape {stored.shape}, where {(n,)} is expected")
    return None if stored is None else ids(stored, "item_ids")


def state(network: Autoencoder) -> dict[str, Array]:
    """A network's arrays for a file."""
    return {f"network.{name}": array for name, array in network.named_arrays()}


def restored(make: Callable[[int], Any], width: int, arrays: dict[str, Array]) -> Any:
    """The network that ``state`` is of."""
    network = make(width)
    network.load_state_dict({name.removeprefix("network."): a for name, a in arrays.items() if name.startswith("network.")})
    return network
