"""How good recommendations are.

All but ``rmse`` compare items recommended, best first, with the relevant ones of each user, and are means over the users who
have a relevant item.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .ratings import canonical


def ndcg(items: Any, relevant: Any, k: int | None = None) -> float:
    """Normalised discounted cumulative gain: the sum of 1 / log2(1 + rank) over hits, by that of the best order.

    Järvelin and Kekäläinen, *ACM TOIS* 20, 2002, with gains of 0 and 1.

    Parameters
    ----------
    items : array (users, n) of int
        Recommended, best first; -1 is none.
    relevant : CSR (users, items) or Ratings
        What is stored is relevant.
    k : int, optional
        How many count. Default: all n.
    """
    hits, n = _hits(items, relevant, k)
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.cumsum(discount)[np.minimum(n, hits.shape[1]) - 1]
    return float(np.mean(hits @ discount / best))


def recall(items: Any, relevant: Any, k: int | None = None) -> float:
    """Part of the relevant items that is recommended.

    Parameters
    ----------
    items, relevant, k
        As of :func:`ndcg`.

    Returns
    -------
    float
    """
    hits, n = _hits(items, relevant, k)
    return float(np.mean(hits.sum(axis=1) / n))


def precision(items: Any, relevant: Any, k: int | None = None) -> float:
    """Part of the k places that hold a relevant item.

    Parameters
    ----------
    items, relevant, k
        As of :func:`ndcg`.

    Returns
    -------
    float
    """
    hits, _ = _hits(items, relevant, k)
    return float(hits.mean())


def mean_average_precision(items: Any, relevant: Any, k: int | None = None) -> float:
    """MAP: the sum of the precisions at the ranks of hits, by the number of relevant items, not of at most k.

    Parameters
    ----------
    items, relevant, k
        As of :func:`ndcg`.

    Returns
    -------
    float
    """
    hits, n = _hits(items, relevant, k)
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return float(np.mean(np.sum(hits * precisions, axis=1) / n))


def rmse(predicted: Any, actual: Any) -> float:
    """Root of the mean squared difference of ratings.

    Parameters
    ----------
    predicted, actual : array (ratings,)

    Returns
    -------
    float
    """
    try:
        a, b = np.asarray(predicted, np.float64), np.asarray(actual, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"predicted and actual take arrays (ratings,) of numbers: {error}") from error
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise ValueError(f"predicted and actual take arrays (ratings,) of one length, got {a.shape} and {b.shape}")
    for name, x in (("predicted", a), ("actual", b)):
        if not np.isfinite(x).all():
            raise ValueError(f"{name} has NaN or infinity, the first in row {np.argmin(np.isfinite(x))}")
    return float(np.sqrt(np.mean((a - b) ** 2)))


def evaluate(recommender: Any, ratings: Any, held_out: Any, k: int = 10) -> dict[str, float]:
    """All of these for a recommender.

    Parameters
    ----------
    recommender : Recommender
    ratings, held_out : CSR (users, items) or Ratings
        What it is told of each user, and what it is not; as of :func:`split`.
    k : int

    Returns
    -------
    dict
        ndcg, recall, precision, map; of a recommender that predicts ratings, rmse of those held out.
    """
    k = _check.positive_integer(k, "k")
    if not canonical(held_out, "held_out").nnz:
        raise ValueError("held_out takes at least one rating, got none")
    items, _ = recommender.recommend(ratings, k)
    named = {"ndcg": ndcg, "recall": recall, "precision": precision, "map": mean_average_precision}
    result = {name: function(items, held_out) for name, function in named.items()}
    if recommender.predicts_ratings:
        actual = canonical(held_out, "held_out").tocoo()
        result["rmse"] = rmse(recommender.predict(ratings, *actual.coords), actual.data)
    return result


def _hits(items: Any, relevant: Any, k: int | None) -> tuple[Array, Array]:
    """Whether each recommended item is relevant, (users, k) of float64, and how many relevant items there are, (users,).

    Of users who have one.
    """
    matrix, items = canonical(relevant, "relevant"), np.asarray(items)
    if items.ndim != 2 or items.dtype.kind not in "iu" or len(items) != matrix.shape[0] or items.shape[1] == 0:
        raise ValueError(f"items takes integers of shape ({matrix.shape[0]}, n), got {items.dtype} {items.shape}")
    if items.min() < -1 or items.max() >= matrix.shape[1]:
        raise ValueError(f"items takes -1 to {matrix.shape[1] - 1}, got {items.min()} to {items.max()}")
    if k is not None:
        if _check.positive_integer(k, "k") > items.shape[1]:
            raise ValueError(f"k takes at most the number of items recommended, {items.shape[1]}; got {k}")
        items = items[:, :k]
    n = np.diff(matrix.indptr)
    if not n.any():
        raise ValueError("relevant takes at least one relevant item, got none")
    keys = np.repeat(np.arange(len(n)), n) * matrix.shape[1] + matrix.indices
    wanted = np.arange(len(n))[:, None] * matrix.shape[1] + items
    hits = np.isin(wanted, keys) & (items >= 0)
    return hits[n > 0].astype(np.float64), n[n > 0]
