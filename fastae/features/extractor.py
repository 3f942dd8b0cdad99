"""The extractor: a denoising autoencoder of prepared rows."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .. import _check, tables
from .._check import Array
from ..layers import BLOCK, generator
from ..models import DenoisingAutoencoder
from ..optim import Adam
from ..pretraining import pretrain
from ..schedules import Cosine
from ..tables import Columns, Learner
from ..trainer import Trainer
from .gradients import checked_shape, histograms, n_gradients

KEY = "fastae.features"  # of an extractor's settings in its file

# The rule, the same for all tables: docs/features.md says why.
_HIDDEN = [512]
_MASKED = 0.25  # of a row, in a step
_LEARNING_RATE = 2e-3
_STEPS, _EPOCHS = 8000, 200  # the fewer
_BATCH_SIZE = 128
_PAIR = 0.25  # of the steps, for each pair of layers that is trained beforehand


class FeatureExtractor(Learner[DenoisingAutoencoder]):
    """Codes of rows, made by a denoising autoencoder that has learnt from a table.

    The network learns to give whole rows z from rows of which a quarter is masked (Vincent, Larochelle, Lajoie, Bengio,
    Manzagol, "Stacked denoising autoencoders", JMLR 11, 2010)::

        z = square roots of histograms of the gradients of sqrt(x), where x are images whose shape is told
            sqrt(x), for a table from 0 to 1
            (x - mean) / scale, column by column, for others
        code = f(z), moved and scaled so that each feature has mean 0 and standard deviation 1 over the rows learnt from

    All have the same rule: layers D-512-width-512-D, of ReLU, the code and the last linear; mean squared error; Adam, whose
    learning rate falls from 2e-3 to 0 by a cosine; about 8000 batches of 128 rows, at most 200 epochs (of more rows than
    that, as many, drawn by the seed).

    Parameters
    ----------
    width : int
        Features of the code.
    shape : (height, width), optional
        Rows are images of this shape, 3 x 3 at least, uint8 or from 0 to 1; see :func:`fastae.features.gradients`.
    layerwise : bool
        Train the layers pair by pair, from the outermost to the code, before the whole; see :func:`fastae.pretrain`.
    seed : int, numpy.random.Generator or None
        Of weights, masks and order.
    n_threads : int, optional
        Results do not depend on it.
    backend : str, optional

    Attributes
    ----------
    model : DenoisingAutoencoder
        Of prepared rows z. Its codes are this extractor's.
    columns : Columns
        Mean and scale of each column of z before it was standardised; 0 and 1 where it is not.
    roots : bool
        Whether rows are from 0 to 1, of which the square root is taken.

    Examples
    --------
    >>> import fastae
    >>> from fastae.features import FeatureExtractor
    >>> x, _ = fastae.datasets.load_digits()
    >>> FeatureExtractor(8, shape=(8, 8)).fit(x[:200]).transform(x[1500:]).shape
    (297, 8)
    """

    def __init__(
        self,
        width: int = 32,
        shape: tuple[int, int] | None = None,
        *,
        layerwise: bool = False,
        seed: Any = 0,
        n_threads: int | None = None,
        backend: str | None = None,
    ) -> None:
        self.width = _check.positive_integer(width, "width")
        self.shape = None if shape is None else checked_shape(shape)
        self.layerwise = _check.flag(layerwise, "layerwise")
        super().__init__(seed, n_threads, backend)
        self._roots = False

    @property
    def roots(self) -> bool:
        """Whether the autoencoder takes square roots."""
        self._ready()
        return self._roots

    def fit(self, x: Any, y: Any = None, *, progress: bool = False) -> FeatureExtractor:
        """Learn from rows.

        Parameters
        ----------
        x : array (rows, columns) of float32, float64 or uint8 (taken as 0 to 1)
            Finite, at least two rows; where a shape was told, images, row by row.
        y
            Ignored: there for scikit-learn's pipelines.
        progress : bool
            Show a progress bar on stderr, if that is a terminal or a notebook.

        Returns
        -------
        FeatureExtractor
            This one.

        Raises
        ------
        TypeError, ValueError
            x is no such table; nothing has changed.
        """
        x = tables.rows(x, "x", least=2)
        progress, rng = _check.flag(progress, "progress"), generator(self.seed)
        roots = self._from_0_to_1(x)
        most = _STEPS * _BATCH_SIZE
        learnt = x if len(x) <= most else x[np.sort(rng.permutation(len(x))[:most])]
        n, width = len(learnt), n_gradients(self.shape) if self.shape else x.shape[1]
        columns = Columns(np.zeros(width), np.ones(width), np.zeros(width, bool)) if roots else Columns.of(learnt)
        rows = self._prepared(learnt, columns, roots)
        model = DenoisingAutoencoder(
            [width, *_HIDDEN, self.width],
            noise="masking",
            level=_MASKED,
            activation="relu",
            output_activation="identity",
            seed=rng,
            backend=self.backend,
        )
        batch_size = min(_BATCH_SIZE, n)
        epochs = min(max(round(_STEPS * batch_size / n), 1), _EPOCHS)
        if self.layerwise:
            pretrain(
                model,
                rows,
                Adam(_LEARNING_RATE),
                epochs=max(round(_PAIR * epochs), 1),
                noise="masking",
                level=_MASKED,
                batch_size=batch_size,
                seed=rng,
                n_threads=self.n_threads,
                schedule=Cosine(),
            )
        trainer = Trainer(model, Adam(_LEARNING_RATE), "mse", batch_size, rng, self.n_threads, schedule=Cosine())
        trainer.fit(rows, epochs=epochs, progress=progress)
        _standardise_code(model, model.encode(rows, n_threads=self.n_threads))
        self._fitted, self._roots = (model, columns), roots
        return self

    def transform(self, x: Any) -> Array:
        """Codes of rows.

        Parameters
        ----------
        x : array (rows, columns)
            As ``fit`` takes it, with as many columns, one row at least. If all that was learnt from was from 0 to 1, what is
            beyond counts as the nearer end, and from -1 to 2 only is taken.

        Returns
        -------
        array (rows, width) of float32
        """
        model, columns = self._ready()
        x = _check.finite(_check.samples(x, "x", self.shape[0] * self.shape[1] if self.shape else model.n_in), "x")
        if self._roots:
            _check.between(x, -1, 2, "x", "the rows learnt from were from 0 to 1")
        codes = np.empty((len(x), model.n_latent), np.float32)
        for start in range(0, len(x), BLOCK):  # so that a large table needs no second one
            rows = self._prepared(x[start : start + BLOCK], columns, self._roots)
            model.encode(rows, codes[start : start + BLOCK], self.n_threads)
        return codes

    def fit_transform(self, x: Any, y: Any = None, *, progress: bool = False) -> Array:
        """``fit(x).transform(x)``; y is ignored."""
        return self.fit(x, progress=progress).transform(x)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the extractor to a safetensors file, whose model ``fastae.load`` reads too."""
        tables.save(path, *self._ready(), KEY, roots=self._roots, shape=self.shape)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, n_threads: int | None = None, backend: str | None = None
    ) -> FeatureExtractor:
        """Read an extractor that ``save`` wrote.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is no whole file of an extractor.
        """
        model, columns, settings = tables.load(path, KEY, DenoisingAutoencoder, backend)
        try:
            shape = settings["shape"]
            extractor = cls(model.n_latent, shape and tuple(shape), n_threads=n_threads, backend=backend)
            if extractor.shape and model.n_in != n_gradients(extractor.shape):
                raise ValueError(f"its model takes {model.n_in} numbers, which are not those of images of shape {shape}")
            extractor._roots = _check.flag(settings["roots"], "roots")
            extractor._fitted = model, columns
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} has settings of {KEY} that cannot be read: {error}") from error
        return extractor

    def _from_0_to_1(self, x: Array) -> bool:
        """Whether all numbers are; images must be."""
        if self.shape is None:
            return bool(x.dtype == np.uint8 or (x.min() >= 0 and x.max() <= 1))
        if x.shape[1] != self.shape[0] * self.shape[1]:
            raise ValueError(f"x takes images of {self.shape[0]} x {self.shape[1]} pixels, got rows of {x.shape[1]} numbers")
        _check.between(x, 0, 1, "x", "scale them, give uint8, or no shape")
        return True

    def _prepared(self, x: Array, columns: Columns, roots: bool) -> Array:
        """What the autoencoder takes, made in blocks, as what is in between needs far more than the table."""
        rows = np.empty((len(x), len(columns.mean)), np.float32)
        for start in range(0, len(x), BLOCK):
            block = x[start : start + BLOCK]
            if roots:
                block = np.sqrt(block / np.float32(255) if block.dtype == np.uint8 else np.clip(block, 0, 1))
                rows[start : start + BLOCK] = histograms(block, self.shape) if self.shape else block
            else:
                rows[start : start + BLOCK] = columns.standardise(block)
        return rows


def _standardise_code(model: DenoisingAutoencoder, codes: Array) -> None:
    """Move and scale a linear code so that these have mean 0 and standard deviation 1; reconstructions stay what they were."""
    mean, scale, _ = Columns.of(codes)
    last, first = model.encoder[-1], model.decoder[0]
    assert last.bias is not None
    assert first.bias is not None
    last.weight, last.bias = last.weight / scale[:, None], (last.bias - mean) / scale
    first.weight, first.bias = first.weight * scale, first.bias + first.weight @ mean
