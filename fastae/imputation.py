"""Imputation: an autoencoder that has learnt to fill in what it was not shown fills in what is missing from a table."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from . import _check, tables
from ._check import Array
from .layers import generator
from .models import MaskedAutoencoder
from .optim import AdamW
from .schedules import Cosine
from .settings import check_threads
from .tables import Columns
from .trainer import Trainer

KEY = "fastae.imputation"  # of an imputer's settings in its file

# The rule, the same for all tables: docs/imputation.md says why.
_HIDDEN = [256, 256]
_MASKED = 0.2  # of what is there, in a step
_LEARNING_RATE, _WEIGHT_DECAY = 2e-3, 0.3
_STEPS = 12000
_BATCH_SIZE = 64


class Imputer:
    """Fills in what is missing, which is NaN, from a table of numbers.

    Columns are standardised. A masked autoencoder (after AutoRec: Sedhain, Menon, Sanner, Xie, WWW 2015) learns to give all
    that is known of a row from one of which a further fifth is hidden; what is missing adds nothing to the loss.
    ``transform`` puts its reconstruction where NaN is::

        filled = mean + scale r(z_0),   z = (x - mean) / scale,   z_0 = z with 0 for NaN

    All tables have the same rule: layers D-256-256-256-D of ReLU; mean squared error; AdamW with a weight decay of 0.3 and a
    learning rate that falls from 2e-3 to 0 by a cosine; about 12000 batches of 64 rows (of more than 768,000 rows, that many,
    drawn by the seed).

    A constant column is filled with its constant. A column without any number is filled with 0, and a warning names it.

    Parameters
    ----------
    seed : int, numpy.random.Generator or None
        Of weights, masks and order.
    n_threads : int, optional
        Results do not depend on it.
    backend : str, optional

    Attributes
    ----------
    model : MaskedAutoencoder
        Of standardised columns.
    columns : Columns
        Mean and scale of each column: ``columns.mean``, ``columns.scale``, (columns,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.imputation import Imputer
    >>> x = np.random.default_rng(0).normal(size=(300, 1)) * [1.0, -2.0, 10.0]
    >>> x[0] = [0.5, np.nan, 5.0]
    >>> abs(Imputer().fit_transform(x)[0, 1] - -1.0) < 0.1
    True
    """

    def __init__(self, *, seed: Any = 0, n_threads: int | None = None, backend: str | None = None) -> None:
        check_threads(n_threads)
        generator(seed)  # refuses a wrong one now
        self.seed, self.n_threads, self.backend = seed, n_threads, backend
        self._fitted: tuple[MaskedAutoencoder, Columns] | None = None

    @property
    def model(self) -> MaskedAutoencoder:
        """The autoencoder of standardised columns."""
        return self._ready()[0]

    @property
    def columns(self) -> Columns:
        """Mean and scale of each column."""
        return self._ready()[1]

    def _ready(self) -> tuple[MaskedAutoencoder, Columns]:
        if self._fitted is None:
            raise RuntimeError("this Imputer has learnt nothing yet; call fit, or Imputer.load")
        return self._fitted

    def fit(self, x: Any, *, progress: bool = False) -> Imputer:
        """Learn from rows, complete or not.

        Parameters
        ----------
        x : array (rows, columns) of float32 or float64
            NaN is missing, infinity is refused; at least two rows, and one number.
        progress : bool
            Show a progress bar on stderr, if that is a terminal.

        Returns
        -------
        Imputer
            This one.

        Raises
        ------
        TypeError, ValueError
            x is no such table; nothing has changed.
        """
        x = _floats(tables.rows(x, "x", least=2, missing=True))
        progress, rng = _check.flag(progress, "progress"), generator(self.seed)
        empty = np.flatnonzero(np.isnan(x).all(axis=0))
        if len(empty) == x.shape[1]:
            raise ValueError("x has no number to learn from: all is NaN")
        if len(empty):
            named = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
            warnings.warn(f"x has no number in columns {named} (from 0); they are filled with 0", stacklevel=2)
        columns = Columns.of(x)
        learnt = x if len(x) <= _STEPS * _BATCH_SIZE else x[np.sort(rng.permutation(len(x))[: _STEPS * _BATCH_SIZE])]
        learnt = learnt[~np.isnan(learnt).all(axis=1)]  # a row without a number tells nothing
        model = MaskedAutoencoder(
            [x.shape[1], *_HIDDEN],
            noise="masking",
            level=_MASKED,
            activation="relu",
            latent_activation="relu",
            output_activation="identity",
            seed=rng,
            backend=self.backend,
        )
        batch_size = min(_BATCH_SIZE, len(learnt))
        optimizer = AdamW(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        trainer = Trainer(model, optimizer, "mse", batch_size, rng, self.n_threads, schedule=Cosine())
        epochs = max(round(_STEPS * batch_size / len(learnt)), 1)
        trainer.fit(columns.standardise(learnt).astype(np.float32), epochs=epochs, progress=progress)
        self._fitted = model, columns
        return self

    def transform(self, x: Any) -> Array:
        """Fill in what is missing.

        Parameters
        ----------
        x : array (rows, columns)
            As ``fit`` takes it, with as many columns; one row at least.

        Returns
        -------
        array (rows, columns) of x's dtype
            What was there is as it was, to the bit. A row without any number is filled with what is likely for one of which
            nothing is known.
        """
        model, columns = self._ready()
        x = _floats(_check.finite(_check.samples(x, "x", len(columns.mean)), "x", missing=True))
        filled = np.array(x, order="C")
        rows = np.flatnonzero(np.isnan(x).any(axis=1))
        if len(rows):
            standard = columns.standardise(x[rows]).astype(np.float32)
            likely = columns.restore(model.reconstruct(standard, n_threads=self.n_threads).astype(np.float64))
            likely[:, columns.constant] = columns.mean[columns.constant]
            filled[rows] = np.where(np.isnan(x[rows]), likely, x[rows])
        return filled

    def fit_transform(self, x: Any, *, progress: bool = False) -> Array:
        """``fit(x).transform(x)``."""
        return self.fit(x, progress=progress).transform(x)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the imputer to a safetensors file, whose model ``fastae.load`` reads too."""
        tables.save(path, *self._ready(), KEY)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, n_threads: int | None = None, backend: str | None = None) -> Imputer:
        """Read an imputer that ``save`` wrote.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is no whole file of an imputer.
        """
        imputer = cls(n_threads=n_threads, backend=backend)
        model, columns, _ = tables.load(path, KEY, MaskedAutoencoder, backend)
        imputer._fitted = model, columns
        return imputer


def _floats(x: Array) -> Array:
    if x.dtype == np.uint8:
        raise TypeError("x takes float32 or float64, in which NaN is missing, got uint8; convert it with x.astype('float32')")
    return x
