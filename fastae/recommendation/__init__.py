"""Recommendation: ratings of users in, items they may like out. docs/recommendation.md has formulas and measurements.

Ratings are scipy's CSR matrices (users, items), in which what is stored is what was rated, or :class:`Ratings`, which know the
ids of users and items too. A recommender reads of a user nothing but the row: new users need no training.
"""

try:
    import scipy.sparse as _  # noqa: F401
except ImportError as error:
    raise ImportError("recommendation needs SciPy: pip install 'fastae[recommendation]'") from error

from .autorec import AutoRec
from .blend import Blend
from .ease import EASE
from .metrics import evaluate, mean_average_precision, ndcg, precision, recall, rmse
from .multinomial import MultDAE, MultVAE
from .ratings import Ratings, read_ratings, split
from .recommender import Recommendations, Recommender, load

__all__ = [
    "EASE",
    "AutoRec",
    "Blend",
    "MultDAE",
    "MultVAE",
    "Ratings",
    "Recommendations",
    "Recommender",
    "evaluate",
    "load",
    "mean_average_precision",
    "ndcg",
    "precision",
    "read_ratings",
    "recall",
    "rmse",
    "split",
]
