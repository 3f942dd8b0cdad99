"""Denoising as a transformer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from .._check import Array
from ..denoising import Denoiser
from .arguments import dtypes, seeded, shown, table, unmasked, widths
from .progress import Watched, told, watched


class DenoisingTransformer(OneToOneFeatureMixin, TransformerMixin, Watched, BaseEstimator):
    """Gives clean rows for noisy ones, as :class:`fastae.denoising.Denoiser` does.

    Parameters
    ----------
    level : float
        Standard deviation of the noise, in units of X; or the probability that a feature is lost, which is then as its mean.
    noise : {"gaussian", "masking"} or None
        What ``fit`` adds to its rows, which are clean. None: they are noisy, and y is the same rows without noise.
    hidden_layer_sizes : int or sequence of int
        Widths of the layers between input and output.
    epochs : int, optional
        Default: as many as the rule says.
    random_state : int, numpy.random.Generator, RandomState or None
        Of weights, order and noise.
    n_threads : int, optional
        Results do not depend on it.
    verbose : bool or int
        Show a progress bar on stderr, if that is a terminal or a notebook.

    Attributes
    ----------
    denoiser_ : fastae.denoising.Denoiser
        Which has ``save``, too.

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.sklearn import DenoisingTransformer
    >>> rng = np.random.default_rng(0)
    >>> clean = np.sin(np.linspace(0, 6, 32) + rng.uniform(0, 6, (400, 1)))
    >>> denoiser = DenoisingTransformer(0.5, hidden_layer_sizes=64, epochs=60, random_state=0).fit(clean[:300])
    >>> noisy = clean[300:] + rng.normal(0, 0.5, (100, 32))
    >>> bool(np.std(denoiser.transform(noisy) - clean[300:]) < 0.3)
    True
    """

    def __init__(
        self,
        level: float = 0.1,
        *,
        noise: str | None = "gaussian",
        hidden_layer_sizes: int | Sequence[int] = (1024, 1024),
        epochs: int | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.level = level
        self.noise = noise
        self.hidden_layer_sizes = hidden_layer_sizes
        self.epochs = epochs
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    @watched
    def fit(self, X: Any, y: Any = None) -> DenoisingTransformer:
        """Learn from rows.

        Parameters
        ----------
        X : array (rows, features)
            Finite, two rows at least; clean, or with ``noise=None`` noisy.
        y : array (rows, features)
            With ``noise=None``, the clean rows; else ignored.

        Returns
        -------
        DenoisingTransformer
            This one.
        """
        hidden = widths(self.hidden_layer_sizes)
        denoiser = Denoiser(hidden, epochs=self.epochs, seed=seeded(self.random_state), n_threads=self.n_threads)
        X = table(self, X, ensure_min_samples=2)
        if self.noise is not None and X.shape[1] > 1 and getattr(y, "shape", None) == X.shape:
            warnings.warn(f"y is ignored: noise={self.noise!r} is drawn; to learn from pairs, take noise=None", stacklevel=2)
        with told(self, X, y):
            if self.noise is None:
                if y is None:
                    raise ValueError("y takes the clean rows of X where noise is None, got None")
                y = check_array(unmasked(y, "y"), dtype=dtypes(y), input_name="y")
                if y.shape != X.shape:
                    raise ValueError(f"y takes the clean rows of X, of shape {X.shape}; got {y.shape}")
                denoiser.fit(X, y, progress=shown(self.verbose))
            else:
                denoiser.fit_clean(X, self.level, self.noise, progress=shown(self.verbose))
            self.denoiser_ = denoiser
        return self

    def transform(self, X: Any) -> Array:
        """Clean rows for noisy ones: X (rows, features) -> the same, of float32."""
        check_is_fitted(self, "denoiser_")
        return self.denoiser_.denoise(table(self, X, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
