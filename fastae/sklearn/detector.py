"""Anomaly detection as an outlier detector of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .. import anomaly
from .._check import Array
from .arguments import seeded, shown, table
from .progress import Watched, told, watched


class AnomalyDetector(OutlierMixin, Watched, BaseEstimator):
    """Tells rows of a table that are unlike those that it learnt from, as :class:`fastae.anomaly.AnomalyDetector` does.

    Parameters
    ----------
    contamination : float or "auto"
        Part of the rows of ``fit`` that ``predict`` calls anomalies: 0 to 0.5. "auto": 0.05 of rows like them, by those of them
        that were not learnt from.
    steps : int, optional
        Batches to learn from. Default: as many as the rule says.
    random_state : int, numpy.random.Generator, RandomState or None
        Of weights, noise, order, and rows held back.
    n_threads : int, optional
        Results do not depend on it.
    verbose : bool or int
        Show a progress bar on stderr, if that is a terminal or a notebook.

    Attributes
    ----------
    detector_ : fastae.anomaly.AnomalyDetector
        Which has ``feature_error`` and ``save``, too.
    offset_ : float
        Scores below are of anomalies: minus the detector's threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.sklearn import AnomalyDetector
    >>> angle = np.random.default_rng(0).uniform(0, 6.3, 500)
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> detector = AnomalyDetector(contamination=0.02, random_state=0).fit(circle)
    >>> detector.predict([[1.0, 0.0], [0.3, 0.2]])  # on the circle, inside
    array([ 1, -1])
    """

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        steps: int | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.contamination = contamination
        self.steps = steps
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    @watched
    def fit(self, X: Any, y: Any = None) -> AnomalyDetector:
        """Learn from rows, few of which are anomalies: X (rows, columns), finite, two rows at least; y is ignored."""
        X = table(self, X, ensure_min_samples=2)
        part: Any = None if isinstance(self.contamination, str) and self.contamination == "auto" else self.contamination
        detector = anomaly.AnomalyDetector(part, steps=self.steps, seed=seeded(self.random_state), n_threads=self.n_threads)
        with told(self, X, y, None) as callbacks:
            detector.fit(X, callbacks=callbacks, progress=shown(self.verbose))
            if part is not None:
                detector.calibrate(X)
            self.detector_ = detector
        return self

    @property
    def offset_(self) -> float:
        """Scores below are of anomalies."""
        check_is_fitted(self, "detector_")
        return -self.detector_.threshold

    def score_samples(self, X: Any) -> Array:
        """Minus the detector's scores, so that lower is more anomalous: X (rows, columns) -> (rows,) of float64."""
        check_is_fitted(self, "detector_")
        return -self.detector_.score(table(self, X, reset=False))

    def decision_function(self, X: Any) -> Array:
        """``score_samples(X) - offset_``: below 0 for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Array:
        """-1 for anomalies, 1 for others: X (rows, columns) -> (rows,) of int."""
        return np.where(self.decision_function(X) < 0, -1, 1)
