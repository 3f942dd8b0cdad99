"""Distributions of codes: Gaussian mixtures, of which the prior of a variational autoencoder is the simplest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import _check
from .._check import Array
from ..tables import Columns


class Mixture(NamedTuple):
    """A mixture of K normal distributions of D features.

    Parameters
    ----------
    weights : array (K,) of float64
        With the sum 1.
    means : array (K, D) of float64
    covariances : array (K, D, D) of float64
    """

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def standard(cls, n: int) -> Mixture:
        """The standard normal distribution of n features."""
        return cls(np.ones(1), np.zeros((1, n)), np.eye(n)[None])

    @classmethod
    def fit(cls, codes: Array, n_components: int, rng: np.random.Generator) -> Mixture:
        """Of codes (samples, D), by expectation maximisation as scikit-learn does it, on standardised features.

        Raises
        ------
        ImportError
            scikit-learn is missing.
        """
        try:
            from sklearn.mixture import GaussianMixture
        except ImportError:
            raise ImportError(
                "a mixture of codes needs scikit-learn, which is not installed: pip install 'fastae[sklearn]'"
            ) from None
        columns = Columns.of(codes)
        state = int(rng.integers(2**31))
        found = GaussianMixture(n_components, random_state=state).fit(columns.standardise(codes))
        scales = np.outer(columns.scale, columns.scale)
        return cls(found.weights_, columns.restore(found.means_), found.covariances_ * scales)

    @property
    def mean(self) -> Array:
        """Of the whole: (D,)."""
        return np.asarray(self.weights @ self.means)

    @property
    def deviation(self) -> Array:
        """Standard deviation of each feature, of the whole: (D,)."""
        variances = np.diagonal(self.covariances, axis1=1, axis2=2) + (self.means - self.mean) ** 2
        return np.asarray(np.sqrt(self.weights @ variances))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw n codes: (n, D) of float64."""
        which = rng.choice(len(self.weights), n, p=self.weights)
        codes = rng.standard_normal((n, self.means.shape[1]))
        for k in np.unique(which):
            codes[which == k] = self.means[k] + codes[which == k] @ np.linalg.cholesky(self.covariances[k]).T
        return codes

    def checked(self, n: int) -> Mixture:
        """This, of float64, if it is a mixture of n features.

        Raises
        ------
        ValueError
            Shapes do not fit, weights are no probabilities, or a covariance is not positive definite.
        """
        w, m, c = (np.asarray(part, np.float64) for part in self)
        if w.ndim != 1 or m.shape != (len(w), n) or c.shape != (len(w), n, n):
            raise ValueError(
                f"prior takes K weights, (K, {n}) means, (K, {n}, {n}) covariances; got {w.shape}, {m.shape}, {c.shape}"
            )
        for part, name in ((w[None], "weights"), (m, "means"), (c.reshape(len(w), -1), "covariances")):
            _check.finite(part, f"{name} of the prior")
        if w.min() < 0 or abs(w.sum() - 1) > 1e-6:
            raise ValueError(f"prior takes weights >= 0 with the sum 1, got {w}")
        try:
            np.linalg.cholesky(c)
        except np.linalg.LinAlgError:
            raise ValueError("prior takes covariances that are positive definite") from None
        return Mixture(w / w.sum(), m, c)
