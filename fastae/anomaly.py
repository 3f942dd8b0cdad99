"""Anomaly detection in tables: a denoising autoencoder cannot reproduce what is unlike the rows that it learnt from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import _check, tables
from ._check import Array
from .callbacks import Callback
from .layers import BLOCK, generator
from .models import DenoisingAutoencoder
from .optim import Adam
from .schedules import Cosine
from .tables import Columns, Learner
from .trainer import Trainer

__all__ = ["AnomalyDetector"]

KEY = "fastae.anomaly"  # of a detector's settings in its file

# The rule, the same for all tables: docs/anomaly.md says why.
_HIDDEN = [256, 256]
_ACTIVATION = "tanh"
_NOISE = 0.2  # standard deviations of a column
_LEARNING_RATE = 1e-3
_STEPS = 1500
_BATCH_SIZE = 128
_HELD_BACK = 1000  # rows for the threshold: a tenth, at most these


class AnomalyDetector(Learner[DenoisingAutoencoder]):
    """Tells rows of a table that are unlike those that it learnt from.

    Columns are standardised. A wide denoising autoencoder (Vincent et al., JMLR 11, 2010; no narrow code: the noise keeps it
    from the identity) learns z from z + 0.2 n, n standard normal. A row's score is the mean over its columns of Huber's loss
    of its reconstruction::

        score(x) = 1/D sum_i h(r_i(z) - z_i),   z = (x - mean) / scale,   h(e) = e^2 / 2 if |e| < 1 else |e| - 1/2

    All tables have the same rule: layers D-256-256-256-D of tanh, which saturates far from what it has seen; mean squared
    error, Adam, a learning rate that falls from 1e-3 to 0 by a cosine, about 1500 batches of 128 rows (of more than 192,000
    rows, that many, drawn by the seed). A tenth of the rows, at most 1000, is not learnt from: their scores give the threshold,
    which scores of rows learnt from would give too low.

    Parameters
    ----------
    contamination : float, optional
        Part of rows that are beyond the threshold: 0 to 0.5. Default: 0.05, where there is no quantile.
    quantile : float, optional
        In its place: the quantile of scores that is the threshold, 1 - contamination: 0.5 to 1.
    steps : int, optional
        Batches to learn from. Default: as many as the rule says.
    seed : int, numpy.random.Generator or None
        Of weights, noise, order, and rows held back.
    n_threads : int, optional
        Results do not depend on it.
    backend : str, optional

    Attributes
    ----------
    threshold : float
        Rows with higher scores are anomalies. May be set.
    quantile : float
        1 - contamination, for ``fit`` and ``calibrate``. May be set.
    model : DenoisingAutoencoder
        Of standardised columns.
    columns : Columns
        Mean and scale of each column: ``columns.mean``, ``columns.scale``, (columns,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.anomaly import AnomalyDetector
    >>> angle = np.random.default_rng(0).uniform(0, 6.3, 500)
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> detector = AnomalyDetector(contamination=0.02).fit(circle)
    >>> detector.predict(np.array([[1.0, 0.0], [0.3, 0.2]]))  # on the circle, inside
    array([False,  True])
    """

    def __init__(
        self,
        contamination: float | None = None,
        *,
        quantile: float | None = None,
        steps: int | None = None,
        seed: Any = 0,
        n_threads: int | None = None,
        backend: str | None = None,
    ) -> None:
        self._quantile = _quantile(contamination, quantile, 0.05)
        self.steps = None if steps is None else _check.positive_integer(steps, "steps")
        super().__init__(seed, n_threads, backend)
        self._threshold = np.nan

    @property
    def quantile(self) -> float:
        """Of scores, for the threshold of a fit to come."""
        return self._quantile

    @quantile.setter
    def quantile(self, value: float) -> None:
        self._quantile = _quantile(None, value, 0.05)

    @property
    def threshold(self) -> float:
        """Rows with higher scores are anomalies."""
        self._ready()
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._ready()
        self._threshold = _check.real_number(value, "threshold", 0, np.inf, "a finite number >= 0")

    def fit(
        self, x: Any, y: Any = None, *, progress: bool = False, callbacks: Iterable[Callback] | Callback = ()
    ) -> AnomalyDetector:
        """Learn from rows, few of which are anomalies.

        Parameters
        ----------
        x : array (rows, columns) of float32, float64 or uint8 (taken as 0 to 1)
            Finite, at least two rows. Of fewer than ten, all are learnt from and give the threshold too.
        y
            Ignored: there for scikit-learn's pipelines.
        progress : bool
            Show a progress bar on stderr, if that is a terminal or a notebook.
        callbacks : list of Callback
            See :mod:`fastae.callbacks`.

        Returns
        -------
        AnomalyDetector
            This one.

        Raises
        ------
        TypeError, ValueError
            x is no such table; nothing has changed.
        """
        x = _unit(tables.rows(x, "x", least=2))
        progress, rng = _check.flag(progress, "progress"), generator(self.seed)
        steps = self.steps or _STEPS
        order = rng.permutation(len(x))
        held_back = min(len(x) // 10, _HELD_BACK)
        learnt = x[np.sort(order[held_back:][: steps * _BATCH_SIZE])]
        columns = Columns.of(learnt)
        model = DenoisingAutoencoder(
            [x.shape[1], *_HIDDEN],
            level=_NOISE,
            activation=_ACTIVATION,
            latent_activation=_ACTIVATION,
            output_activation="identity",
            seed=rng,
            backend=self.backend,
        )
        batch_size = min(_BATCH_SIZE, len(learnt))
        trainer = Trainer(model, Adam(_LEARNING_RATE), "mse", batch_size, rng, self.n_threads, schedule=Cosine())
        epochs = max(round(steps * batch_size / len(learnt)), 1)
        standard = columns.standardise(learnt).astype(np.float32)
        trainer.fit(standard, epochs=epochs, progress=progress, callbacks=callbacks)
        self._fitted = model, columns
        self._threshold = float(np.quantile(self.score(x[order[:held_back]] if held_back else x), self.quantile))
        return self

    def feature_error(self, x: Any) -> Array:
        """What each feature adds to a row's score.

        Parameters
        ----------
        x : array (rows, columns)
            As ``fit`` takes it, with as many columns, one row at least.

        Returns
        -------
        array (rows, columns) of float64
            Huber's loss of each feature's reconstruction, in standard deviations of its column.
        """
        model, _ = self._ready()
        x = self._checked(x)
        errors = np.empty(x.shape)
        for start in range(0, len(x), BLOCK):
            errors[start : start + BLOCK] = self._errors(model, x[start : start + BLOCK])
        return errors

    def score(self, x: Any) -> Array:
        """How unlike those learnt from rows are; higher is more anomalous.

        Takes what :meth:`feature_error` takes, and returns its mean over columns: (rows,) of float64.
        """
        model, _ = self._ready()
        x = self._checked(x)
        scores = np.empty(len(x))
        for start in range(0, len(x), BLOCK):  # so that a large table needs no second one
            scores[start : start + BLOCK] = self._errors(model, x[start : start + BLOCK]).mean(axis=1)
        return scores

    def predict(self, x: Any) -> Array:
        """Whether each row's score is beyond the threshold: (rows,) of bool, True for an anomaly."""
        return np.asarray(self.score(x) > self.threshold)

    def calibrate(self, x: Any, contamination: float | None = None, *, quantile: float | None = None) -> AnomalyDetector:
        """Set the threshold by the scores of other rows, which the detector has not learnt from.

        Parameters
        ----------
        x : array (rows, columns)
        contamination, quantile : float, optional
            As of the detector. Default: those that it was made with.
        """
        self.threshold = float(np.quantile(self.score(x), _quantile(contamination, quantile, 1 - self.quantile)))
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the detector to a safetensors file, whose model ``fastae.load`` reads too."""
        tables.save(path, *self._ready(), KEY, threshold=self._threshold, quantile=self.quantile)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, n_threads: int | None = None, backend: str | None = None) -> AnomalyDetector:
        """Read a detector that ``save`` wrote.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is no whole file of a detector.
        """
        model, columns, settings = tables.load(path, KEY, DenoisingAutoencoder, backend)
        try:
            detector = cls(quantile=settings["quantile"], n_threads=n_threads, backend=backend)
            detector._fitted = model, columns
            detector.threshold = settings["threshold"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} has settings of {KEY} that cannot be read: {error}") from error
        return detector

    def _checked(self, x: Any) -> Array:
        _, columns = self._ready()
        return _check.finite(_check.samples(x, "x", len(columns.mean)), "x")

    def _errors(self, model: DenoisingAutoencoder, x: Array) -> Array:
        standard = self.columns.standardise(_unit(x))
        error = np.abs(model.reconstruct(standard.astype(np.float32), n_threads=self.n_threads) - standard)
        huber: Array = np.where(error < 1, error**2 / 2, error - 0.5)
        return huber


def _quantile(contamination: Any, quantile: Any, default: float) -> float:
    """Of scores, from one of two arguments."""
    if contamination is not None and quantile is not None:
        raise ValueError(f"give contamination or quantile, not both; got {contamination!r} and {quantile!r}")
    if quantile is not None:
        return _check.real_number(quantile, "quantile", 0.5, np.nextafter(1, 2), "a number from 0.5 to 1")
    part = default if contamination is None else contamination
    return 1 - _check.real_number(part, "contamination", 0, np.nextafter(0.5, 1), "a number from 0 to 0.5")


def _unit(x: Array) -> Array:
    """uint8 as 0 to 1, others as they are."""
    return x / 255 if x.dtype == np.uint8 else x
