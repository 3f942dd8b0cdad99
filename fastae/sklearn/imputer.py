"""Imputation as a transformer."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .. import imputation
from .._check import Array
from .arguments import seeded, shown, table
from .progress import Watched, told, watched


class AutoencoderImputer(OneToOneFeatureMixin, TransformerMixin, Watched, BaseEstimator):
    """Fills in what is missing, which is NaN, as :class:`fastae.imputation.Imputer` does.

    Parameters
    ----------
    steps : int, optional
        Batches to learn from. Default: as many as the rule says.
    random_state : int, numpy.random.Generator, RandomState or None
        Of weights, masks and order.
    n_threads : int, optional
        Results do not depend on it.
    verbose : bool or int
        Show a progress bar on stderr, if that is a terminal or a notebook.

    Attributes
    ----------
    imputer_ : fastae.imputation.Imputer
        Which has ``save``, too.

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.sklearn import AutoencoderImputer
    >>> x = np.random.default_rng(0).normal(size=(300, 1)) * [1.0, -2.0, 10.0]
    >>> x[0] = [0.5, np.nan, 5.0]
    >>> bool(abs(AutoencoderImputer(steps=1000, random_state=0).fit_transform(x)[0, 1] - -1.0) < 0.2)
    True
    """

    def __init__(
        self,
        *,
        steps: int | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.steps = steps
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    @watched
    def fit(self, X: Any, y: Any = None) -> AutoencoderImputer:
        """Learn from rows, complete or not: X (rows, columns), two rows at least; y is ignored."""
        X = table(self, X, ensure_min_samples=2, ensure_all_finite="allow-nan")
        imputer = imputation.Imputer(steps=self.steps, seed=seeded(self.random_state), n_threads=self.n_threads)
        with told(self, X, y, None) as callbacks:
            self.imputer_ = imputer.fit(X, callbacks=callbacks, progress=shown(self.verbose))
        return self

    def transform(self, X: Any) -> Array:
        """Fill in what is missing: X (rows, columns) -> the same; what was there is as it was."""
        check_is_fitted(self, "imputer_")
        return self.imputer_.transform(table(self, X, reset=False, ensure_all_finite="allow-nan"))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
