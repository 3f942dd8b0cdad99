"""Imputation: an autoencoder that has learnt to fill in what it was not shown fills in what is missing from a table."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from . import _check, tables
from ._check import Array
from .callbacks import Callback
from .layers import Linear, Sequential, generator
from .models import MaskedAutoencoder
from .optim import AdamW
from .schedules import Cosine
from .tables import Columns, Learner
from .trainer import Trainer

__all__ = ["Imputer"]

KEY = "fastae.imputation"  # of an imputer's settings in its file

# The rule, the same for all tables: docs/imputation.md says why.
_WIDTH = 256  # of each of five hidden layers
_HIDDEN = 0.2  # of what is there, in a step
_LEARNING_RATE = 2e-3
_DECAY, _LEAST_DECAY, _MOST_DECAY = 400, 0.05, 1.0  # weight decay: the first by the number of rows, between the others
_STEPS, _EPOCHS, _ROUNDS = 12000, 1350, 20  # the fewer of the first two
_BATCH_SIZE = 64
_TOGETHER = 4096  # rows drawn at once


class Imputer(Learner[MaskedAutoencoder]):
    """Fills in what is missing, which is NaN, from a table of numbers.

    Columns are standardised. A masked autoencoder (after AutoRec: Sedhain, Menon, Sanner, Xie, WWW 2015) learns to give all
    that is known of a row from one of which a further fifth is hidden, and from which cells are there (as GAIN's networks:
    Yoon, Jordon, van der Schaar, ICML 2018); what is missing adds nothing to the loss. ``transform`` puts its reconstruction
    where NaN is::

        filled = mean + scale r(z_0, o),   z = (x - mean) / scale,   z_0 = z with 0 for NaN,   o = 0 for NaN, else 1

    All tables have the same rule: five hidden layers of 256 ReLU; mean squared error; 12000 batches of 64 rows, drawn with
    replacement, or as many as take each row 1350 times where that is less; AdamW with a weight decay of 400 / rows, at least
    0.05 and at most 1, and a learning rate that falls from 2e-3 to 0 by a cosine.

    A constant column is filled with its constant. A column without any number is filled with 0, and a warning names it.

    Parameters
    ----------
    steps : int, optional
        Batches to learn from. Default: as many as the rule says.
    seed : int, numpy.random.Generator or None
        Of weights, masks and order.
    n_threads : int, optional
        Results do not depend on it.
    backend : str, optional

    Attributes
    ----------
    model : MaskedAutoencoder
        From 2 D features, the D standardised columns and where they are observed, to D.
    columns : Columns
        Mean and scale of each column: ``columns.mean``, ``columns.scale``, (columns,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.imputation import Imputer
    >>> x = np.random.default_rng(0).normal(size=(300, 1)) * [1.0, -2.0, 10.0]
    >>> x[0] = [0.5, np.nan, 5.0]
    >>> bool(abs(Imputer(steps=500).fit_transform(x)[0, 1] - -1.0) < 0.1)
    True
    """

    def __init__(
        self, *, steps: int | None = None, seed: Any = 0, n_threads: int | None = None, backend: str | None = None
    ) -> None:
        self.steps = None if steps is None else _check.positive_integer(steps, "steps")
        super().__init__(seed, n_threads, backend)

    def fit(self, x: Any, y: Any = None, *, progress: bool = False, callbacks: Iterable[Callback] | Callback = ()) -> Imputer:
        """Learn from rows, complete or not.

        Parameters
        ----------
        x : array (rows, columns) of float32 or float64
            NaN is missing, infinity is refused; at least two rows, and one number.
        y
            Ignored: there for scikit-learn's pipelines.
        progress : bool
            Show a progress bar on stderr, if that is a terminal or a notebook.
        callbacks : list of Callback
            See :mod:`fastae.callbacks`.

        Returns
        -------
        Imputer
            This one.

        Raises
        ------
        TypeError, ValueError
            x is no such table; nothing has changed.
        """
        x = tables.rows(_floats(x), "x", least=2, missing=True)
        progress, rng = _check.flag(progress, "progress"), generator(self.seed)
        empty = np.flatnonzero(np.isnan(x).all(axis=0))
        if len(empty) == x.shape[1]:
            raise ValueError("x has no number to learn from: all is NaN")
        if len(empty):
            named = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
            warnings.warn(f"x has no number in columns {named} (from 0); they are filled with 0", stacklevel=2)
        columns = Columns.of(x)
        model = _network(x.shape[1], rng, self.backend)
        decay = min(max(_DECAY / len(x), _LEAST_DECAY), _MOST_DECAY)
        optimizer = AdamW(_LEARNING_RATE, weight_decay=decay)
        trainer = Trainer(model, optimizer, "mse", _BATCH_SIZE, rng, self.n_threads, schedule=Cosine())
        batches, steps = _batches(x, columns, rng), self.steps or max(min(_STEPS, _EPOCHS * len(x) // _BATCH_SIZE), 1)
        rounds = min(_ROUNDS, steps)
        trainer.fit(batches, epochs=rounds, steps_per_epoch=steps // rounds, progress=progress, callbacks=callbacks)
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
        x = _check.finite(_check.samples(_floats(x), "x", len(columns.mean)), "x", missing=True)
        filled = np.array(x, order="C")
        rows = np.flatnonzero(np.isnan(x).any(axis=1))
        if len(rows):
            given = _given(columns.standardise(x[rows]))
            likely = columns.restore(model.reconstruct(given, n_threads=self.n_threads).astype(np.float64))
            likely[:, columns.constant] = columns.mean[columns.constant]
            filled[rows] = np.where(np.isnan(x[rows]), likely, x[rows])
        return filled

    def fit_transform(self, x: Any, y: Any = None, *, progress: bool = False) -> Array:
        """``fit(x).transform(x)``; y is ignored."""
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


def _network(width: int, rng: np.random.Generator, backend: str | None) -> MaskedAutoencoder:
    """From a row and where it is observed to the row."""

    def layers(*widths: int, last: str = "relu") -> Sequential:
        ends = ["relu"] * (len(widths) - 2) + [last]
        pairs = zip(widths[:-1], widths[1:], ends, strict=True)
        return Sequential(*(Linear(n_in, n_out, end, seed=rng, backend=backend) for n_in, n_out, end in pairs))

    encoder = layers(2 * width, _WIDTH, _WIDTH, _WIDTH)
    return MaskedAutoencoder(encoder=encoder, decoder=layers(_WIDTH, _WIDTH, _WIDTH, width, last="identity"))


def _given(standard: Array, hidden: Any = False) -> Array:
    """What the network is shown of standardised rows: (rows, 2 D) of float32, what is there and where that is."""
    there = ~(np.isnan(standard) | hidden)
    return np.hstack([np.where(there, standard, 0), there]).astype(np.float32)


def _batches(x: Array, columns: Columns, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Without end: rows of which a part is hidden, and those rows."""
    telling = np.flatnonzero(~np.isnan(x).all(axis=1))  # a row without a number tells nothing
    while True:
        rows = columns.standardise(x[rng.choice(telling, _TOGETHER)])
        yield _given(rows, rng.random(rows.shape) < _HIDDEN), rows.astype(np.float32)


def _floats(x: Any) -> Any:
    """x, but for whole numbers, among which none can be missing."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biu":
        raise TypeError(
            f"x takes float32 or float64, in which NaN is missing, got {dtype}; convert it with x.astype('float64')"
        )
    return x
