"""Denoising of vectors: rows of a table, small images, spectra."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import numpy as np

from .. import _check, tables
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import generator
from ..tables import Columns, Learner
from . import learning

KEY = "fastae.denoising"  # of a denoiser's settings in its file

# The rule, the same for all data: docs/denoising.md says why.
_RULE = learning.Rule("mse", learning_rate=3e-3, weight_decay=0.05, spread=0.5)
_SAMPLES, _EPOCHS = 800_000, (14, 400)  # in a fit; epochs at least and at most
_DRAWN = 4096  # vectors at a time


class Denoiser(Learner[Autoencoder]):
    """Learns to give clean vectors for noisy ones.

    A denoising autoencoder g (Vincent et al., JMLR 11, 2010), whose hidden layers are of SiLU::

        clean = mean + scale g((noisy - mean) / scale)

    with the mean of each column of the clean vectors, and one scale for all columns, so that noise of one level stays so.
    Of columns in different units only the largest would count then: with ``scale="column"`` each has its own. Mean squared
    error; AdamW, its weight decay 0.05; batches of 64, one cycle of the learning rate up to 3e-3; about 800,000 samples, 14
    to 400 epochs.

    Parameters
    ----------
    hidden : int or sequence of int
        Widths of the layers between input and output.
    epochs : int, optional
        Default: as many as the rule says.
    scale : {"one", "column"}
        "one" for pixels, spectra, whatever is in one unit: the root of the mean of the columns' variances. "column" for tables
        of mixed units: each column's standard deviation.
    seed : int, numpy.random.Generator or None
        Of weights, order and noise.
    n_threads : int, optional
        Results do not depend on it.
    backend : str, optional

    Attributes
    ----------
    model : Autoencoder
        Of vectors less their means, over the scale.
    columns : Columns
        ``columns.mean`` and ``columns.scale``, (columns,). A column that is constant in clean vectors is given as its constant.

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.denoising import Denoiser
    >>> rng = np.random.default_rng(0)
    >>> clean = np.sin(np.linspace(0, 6, 32) + rng.uniform(0, 6, (400, 1)))
    >>> noisy = clean + rng.normal(0, 0.5, clean.shape)
    >>> denoiser = Denoiser(hidden=64, epochs=60).fit(noisy[:300], clean[:300])
    >>> bool(np.std(denoiser.denoise(noisy[300:]) - clean[300:]) < 0.3)
    True
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (1024, 1024),
        *,
        epochs: int | None = None,
        scale: str = "one",
        seed: Any = 0,
        n_threads: int | None = None,
        backend: str | None = None,
    ) -> None:
        self.hidden = _check.widths(hidden, "hidden")
        self.epochs = None if epochs is None else _check.positive_integer(epochs, "epochs")
        self.scale = _check.choice(scale, "scale", ("one", "column"))
        super().__init__(seed, n_threads, backend)

    def fit(self, noisy: Any, clean: Any, *, progress: bool = False) -> Denoiser:
        """Learn from pairs, whatever the noise is.

        Parameters
        ----------
        noisy, clean : arrays (samples, features) of float32, float64 or uint8 (taken as 0 to 1)
            Finite in float32, at least two rows each.
        progress : bool
            Show a progress bar on stderr, if that is a terminal or a notebook.

        Returns
        -------
        Denoiser
            This one.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; nothing has changed.
        """
        clean, noisy = tables.rows(clean, "clean", least=2), tables.rows(noisy, "noisy", least=2)
        if noisy.shape != clean.shape:
            raise ValueError(f"noisy takes the shape of clean, {clean.shape}; got {noisy.shape}")
        return self._learn(noisy, clean, None, 0.0, progress)

    def fit_clean(self, clean: Any, level: float, noise: str = "gaussian", *, progress: bool = False) -> Denoiser:
        """Learn from clean vectors, to which noise is added anew in every step: better than pairs, where the noise is known.

        Parameters
        ----------
        clean : array (samples, features) of float32, float64 or uint8 (taken as 0 to 1)
        level : float
            Standard deviation, in units of the data, of all columns alike; or the probability that a feature is lost, which is
            then as its mean.
        noise : {"gaussian", "masking"}
        progress : bool

        Returns
        -------
        Denoiser
            This one.
        """
        clean = tables.rows(clean, "clean", least=2)
        _check.choice(noise, "noise", ("gaussian", "masking"))
        most, takes = (inf, "a standard deviation >= 0") if noise == "gaussian" else (1, "a probability 0 <= level < 1")
        return self._learn(clean, clean, noise, _check.real_number(level, "level", 0, most, takes), progress)

    def _learn(self, noisy: Array, clean: Array, noise: str | None, level: float, progress: bool) -> Denoiser:
        progress, rng = _check.flag(progress, "progress"), generator(self.seed)
        for x, name in ((clean, "clean"), (noisy, "noisy")):
            _check.finite(x, name, np.dtype(np.float32))  # in which what denoise gives is
        columns = Columns.of(_unit(clean))
        columns = _one_scale(columns) if self.scale == "one" else columns
        epochs = self.epochs or min(max(_SAMPLES // len(clean), _EPOCHS[0]), _EPOCHS[1])
        drawn = _drawn(noisy, clean, columns, noise, level, rng)
        samples = epochs * len(clean)
        model = learning.learn(drawn, self.hidden, samples, _RULE, rng, self.n_threads, self.backend, progress)
        self._fitted = model, columns
        return self

    def denoise(self, noisy: Any) -> Array:
        """Clean vectors for noisy ones: (samples, features), as many features as ``fit`` had -> the same, of float32."""
        model, columns = self._ready()
        x = _check.finite(_check.samples(noisy, "noisy", len(columns.mean)), "noisy", np.dtype(np.float32))
        clean = columns.restore(model.reconstruct(_standard(x, columns), n_threads=self.n_threads)).astype(np.float32)
        clean[:, columns.constant] = columns.mean[columns.constant]
        return clean

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the denoiser to a safetensors file, whose model ``fastae.load`` reads too."""
        tables.save(path, *self._ready(), KEY)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, n_threads: int | None = None, backend: str | None = None) -> Denoiser:
        """Read a denoiser that ``save`` wrote.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is no whole file of a denoiser.
        """
        model, columns, _ = tables.load(path, KEY, Autoencoder, backend)
        scale = "one" if np.ptp(columns.scale) == 0 else "column"
        denoiser = cls([layer.n_out for layer in model.encoder], scale=scale, n_threads=n_threads, backend=backend)
        denoiser._fitted = model, columns
        return denoiser


def _drawn(
    noisy: Array, clean: Array, columns: Columns, noise: str | None, level: float, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Pairs without end, each once in an epoch: as they are given, or with noise of their own."""
    while True:
        order = rng.permutation(len(clean))
        for start in range(0, len(order), _DRAWN):
            rows = order[start : start + _DRAWN]
            target = _standard(clean[rows], columns)
            if noise is None:
                yield _standard(noisy[rows], columns), target
            elif noise == "gaussian":
                disturbed = (level / columns.scale).astype(np.float32) * rng.standard_normal(target.shape, np.float32)
                yield target + disturbed, target
            else:
                yield np.where(rng.random(target.shape, np.float32) < level, np.float32(0), target), target


def _one_scale(columns: Columns) -> Columns:
    """The same columns with one scale: the root of the mean of their variances."""
    scales = np.where(columns.constant, 0, columns.scale)
    largest = scales.max() or 1.0  # squares of what is over it neither overflow nor vanish
    scale = largest * np.sqrt(np.mean((scales / largest) ** 2)) or 1.0
    return columns._replace(scale=np.full_like(columns.scale, scale))


def _standard(x: Array, columns: Columns) -> Array:
    return columns.standardise(_unit(x)).astype(np.float32)


def _unit(x: Array) -> Array:
    """uint8 as 0 to 1, others as they are."""
    return x / np.float32(255) if x.dtype == np.uint8 else x
