"""EASE: the linear autoencoder that has a closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .recommender import Recommender, expect


class EASE(Recommender):
    """A linear model of an item by all others, by least squares.

    B minimises ||X - X B||^2 + l2 ||B||^2 where its diagonal is 0. With P = (X^T X + l2 I)^-1, B_ij = -P_ij / P_jj for i != j,
    and scores are X B (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019, equation 8). Memory is
    24 n_items^2 bytes in ``fit``, 4 n_items^2 after it; it has no steps and no random numbers. A user without ratings gets each
    item's mean rating over all users, rated or not.

    Parameters
    ----------
    l2 : float
    binary : bool
        Whatever is rated above 0 counts as 1.

    Examples
    --------
    >>> from fastae.recommendation import EASE, Ratings
    >>> users = ["ann", "ann", "bob", "bob", "cat", "dan"]
    >>> items = ["tea", "pot", "tea", "pot", "tea", "cup"]
    >>> ratings = Ratings.from_columns(users, items, [1] * 6)
    >>> recommender = EASE(l2=1.0).fit(ratings)
    >>> best = recommender.recommend(ratings, n=1)  # of what each has not
    >>> str(recommender.item_ids[best.items[2, 0]])
    'pot'
    """

    setting_names = ("l2", "binary")

    def __init__(self, l2: float = 500.0, *, binary: bool = True) -> None:
        self.l2 = _check.real_number(l2, "l2", 0, math.inf, "a finite number above 0")
        if self.l2 == 0:
            raise ValueError("l2 takes a finite number above 0, got 0")
        self.binary = _check.flag(binary, "binary")

    def _fit(self, matrix: Any, progress: bool) -> None:
        x = positives(matrix, self.binary)
        gram = (x.T.astype(np.float64) @ x).toarray()
        gram[np.diag_indices_from(gram)] += self.l2
        inverse = np.linalg.inv(gram)
        inverse /= -inverse.diagonal().copy()
        np.fill_diagonal(inverse, 0)
        self._weights = inverse.astype(np.float32)
        self._means = (np.asarray(x.sum(axis=0), np.float64) / x.shape[0]).astype(np.float32)

    def _score(self, rows: Any) -> Array:
        x = positives(rows, self.binary)
        scores: Array = x @ self._weights
        scores[np.diff(x.indptr) == 0] = self._means
        return scores

    def _arrays(self) -> dict[str, Array]:
        return {"weights": self._weights, "means": self._means}

    def _restore(self, arrays: dict[str, Array]) -> None:
        n = self.n_items
        self._weights, self._means = expect(arrays, weights=(n, n), means=(n,))


def positives(matrix: Any, binary: bool) -> Any:
    """Ratings above 0, as they are or as 1."""
    x = matrix.copy()
    x.eliminate_zeros()
    if binary:
        x.data[:] = 1
    return x
