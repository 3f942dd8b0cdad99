"""AutoRec: an autoencoder of ratings, in which what was not rated is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from .. import _check
from .._check import Array
from ..layers import generator
from ..models import MaskedAutoencoder
from ..optim import Adam
from ..schedules import Cosine
from ..trainer import Trainer
from .recommender import Recommender, expect, restored, state


class AutoRec(Recommender):
    """Predicts ratings by an autoencoder of users' or of items' incomplete ratings.

    A rating r of item i by user u is m + b_i + b_u + z: the mean, the damped means of what remains for the item and then for
    the user (the sum by ``damping`` more than the number of ratings), and a rest z, which the network predicts:

        minimise the mean of (f(x)_j - z_j)^2 over what was rated, x_j = z_j + offset if j was rated, else 0

    (Sedhain, Menon, Sanner, Xie, "AutoRec", WWW 2015, equation 2, there without biases and offset). The offset tells the
    network what was rated, beside how: SVD++'s implicit feedback (Koren, KDD 2008). In training, a part ``level`` of x is
    hidden.

    With ``by="item"``, f has one hidden layer; its codes h_i stay and its decoder goes. A row of that would be a user's linear
    model of z by h, and is computed by ridge regression for whoever's ratings are given: w_u minimises the sum of
    (w_u h_i - z_ui)^2 over what u rated, + l2 ||w_u||^2. So both kinds predict for new users.

    Parameters
    ----------
    by : {"item", "user"}
        Whose ratings are a sample. The network's weights grow with the number of users, or of items.
    hidden : int or sequence of int
        Widths from the input to the code; one of them with ``by="item"``.
    scale : pair of float, optional
        Least and largest rating; others are refused, predictions are within. Default: of the ratings fitted to.
    activation : str
    level : float
        0 <= level < 1.
    offset : float
    damping : float
    l2 : float
        Above 0. Only with ``by="item"``.
    epochs, batch_size, lr, weight_decay : int, int, float, float
        Of Adam, whose rate ends at 0 along half a cosine.
    seed : int, numpy.random.Generator or None
    """

    setting_names = (
        *("by", "hidden", "scale", "activation", "level", "offset", "damping", "l2"),
        *("epochs", "batch_size", "lr", "weight_decay", "seed"),
    )
    predicts_ratings = True

    def __init__(
        self,
        by: str = "item",
        hidden: int | Sequence[int] = 300,
        *,
        scale: tuple[float, float] | None = None,
        activation: str = "sigmoid",
        level: float = 0.3,
        offset: float = 1.0,
        damping: float = 5.0,
        l2: float = 60.0,
        epochs: int = 50,
        batch_size: int = 64,
        lr: float = 1e-3,
        weight_decay: float = 1e-3,
        seed: Any = None,
    ) -> None:
        self.by = _check.choice(by, "by", ("item", "user"))
        self.hidden = widths(hidden, by)
        self.scale = _scale(scale)
        self.activation, self.seed = activation, seed
        self.level = _check.real_number(level, "level", 0, 1, "a probability 0 <= level < 1")
        self.offset = _check.real_number(offset, "offset", -math.inf, math.inf, "a finite number")
        self.damping = _check.real_number(damping, "damping", 0, math.inf, "a finite number >= 0")
        self.l2 = _check.real_number(l2, "l2", np.finfo(float).tiny, math.inf, "a finite number above 0")
        self.epochs = _check.positive_integer(epochs, "epochs")
        self.batch_size = _check.positive_integer(batch_size, "batch_size")
        self.lr, self.weight_decay = lr, weight_decay
        self._network(1), Adam(lr, weight_decay=weight_decay)  # look at the other arguments

    def _network(self, width: int, seed: Any = 0) -> MaskedAutoencoder:
        noise, last = "masking" if self.level else None, "identity"
        own = {"activation": self.activation, "latent_activation": self.activation, "output_activation": last, "seed": seed}
        return MaskedAutoencoder([width, *self.hidden], noise=noise, level=self.level, **own)

    def _scale_of(self, matrix: Any) -> tuple[float, float]:
        return self.scale or (float(matrix.data.min()), float(matrix.data.max()))

    def _fit(self, matrix: Any, progress: bool) -> None:
        rng, n = generator(self.seed), matrix.shape[1]
        self._mean = float(np.mean(matrix.data, dtype=np.float64))
        counts = np.bincount(matrix.indices, minlength=n)
        sums = np.bincount(matrix.indices, matrix.data - np.float32(self._mean), minlength=n)
        self._item_bias = (sums / np.maximum(counts + self.damping, 1)).astype(np.float32)
        rest, _ = self._rest(matrix)
        rest = rest.T.tocsr() if self.by == "item" else rest
        x = self._shown(rest)
        rated = np.flatnonzero(np.diff(rest.indptr))
        network, size = self._network(rest.shape[1], rng), min(self.batch_size, len(rated))
        optimizer = Adam(self.lr, weight_decay=self.weight_decay)
        schedule = Cosine(self.epochs * -(-len(rated) // size))
        trainer = Trainer(network, optimizer, "mse", size, rng, schedule=schedule)
        trainer.fit(_Batches(x, rest, rated, size, rng), epochs=self.epochs, progress=progress)
        if self.by == "item":
            self._codes = network.encode(x)
        else:
            self._net = network

    def _rest(self, matrix: Any) -> tuple[Any, Array]:
        """z of all ratings, in place of these, and biases of users (users,) with the mean."""
        data = matrix.data - np.float32(self._mean)
        data -= self._item_bias[matrix.indices]
        counts, bias = np.diff(matrix.indptr), np.zeros(matrix.shape[0], np.float32)
        some = counts > 0
        if some.any():
            bias[some] = np.add.reduceat(data, matrix.indptr[:-1][some], dtype=np.float64) / (counts[some] + self.damping)
        data -= np.repeat(bias, counts)
        return sparse.csr_array((data, matrix.indices, matrix.indptr), matrix.shape), bias + np.float32(self._mean)

    def _shown(self, rest: Any) -> Any:
        """What the network is shown of z."""
        return sparse.csr_array((rest.data + np.float32(self.offset), rest.indices, rest.indptr), rest.shape)

    def _score(self, rows: Any) -> Array:
        rest, bias = self._rest(rows)
        if self.by == "user":
            scores = self._net.reconstruct(self._shown(rest))
        else:
            weights = np.zeros((rows.shape[0], self._codes.shape[1]), np.float32)
            for user, (start, stop) in enumerate(zip(rest.indptr[:-1], rest.indptr[1:], strict=True)):
                if start < stop:
                    weights[user] = _ridge(self._codes[rest.indices[start:stop]], rest.data[start:stop], self.l2)
            scores = weights @ self._codes.T
        scores += self._item_bias
        scores += bias[:, None]
        return scores

    def _arrays(self) -> dict[str, Array]:
        own = {"mean": np.array([self._mean]), "item_bias": self._item_bias}
        return own | ({"codes": self._codes} if self.by == "item" else state(self._net))

    def _restore(self, arrays: dict[str, Array]) -> None:
        mean, self._item_bias = expect(arrays, mean=(1,), item_bias=(self.n_items,))
        self._mean = float(mean[0])
        if self.by == "item":
            (self._codes,) = expect(arrays, codes=(self.n_items, *self.hidden))
        else:
            self._net = restored(self._network, self.n_items, arrays)


class _Batches:
    """Pairs of inputs, sparse, and targets, dense with NaN for what is missing, a batch at a time in an order drawn anew."""

    def __init__(self, x: Any, target: Any, rows: Array, size: int, rng: np.random.Generator) -> None:
        self.x, self.target, self.rows, self.size, self.rng = x, target, rows, size, rng

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        order = self.rng.permutation(self.rows)
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            stored = self.target[rows]
            target = np.full(stored.shape, np.nan, np.float32)
            target[np.repeat(np.arange(len(rows)), np.diff(stored.indptr)), stored.indices] = stored.data
            yield self.x[rows], target


def _ridge(h: Array, z: Array, l2: float) -> Array:
    """w (k,) that minimises ||h w - z||^2 + l2 ||w||^2: h (n, k), z (n,). By the smaller of both normal equations."""
    h = h.astype(np.float64)
    n, k = h.shape
    if n < k:
        return np.asarray(h.T @ np.linalg.solve(h @ h.T + l2 * np.eye(n), z))
    return np.asarray(np.linalg.solve(h.T @ h + l2 * np.eye(k), h.T @ z))


def widths(hidden: Any, by: str) -> tuple[int, ...]:
    """Widths of hidden layers, one for items."""
    given = tuple(hidden) if isinstance(hidden, (list, tuple)) else (hidden,)
    if not given or (by == "item" and len(given) > 1):
        raise ValueError(f"hidden takes at least one width, and one with by='item'; got {hidden!r}")
    return tuple(_check.positive_integer(width, "hidden") for width in given)


def _scale(scale: Any) -> tuple[float, float] | None:
    if scale is None:
        return None
    if not isinstance(scale, (list, tuple)) or len(scale) != 2:
        raise TypeError(f"scale takes the least and the largest rating, as (1, 5); got {scale!r}")
    low, high = (_check.real_number(end, "scale", -math.inf, math.inf, "two finite numbers") for end in scale)
    if not low < high:
        raise ValueError(f"scale takes the least and the largest rating, as (1, 5); got {scale!r}")
    return low, high
