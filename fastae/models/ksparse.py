"""k-sparse autoencoders: of each sample's code, the k largest stay."""

from __future__ import annotations

from math import inf
from typing import Any, Unpack

import numpy as np

from .. import _check
from .._check import Array
from .._kernels.recipe import Recipe
from ..autoencoder import Autoencoder, Setting
from .network import Untied, _ByHalves


class KSparseAutoencoder(_ByHalves):
    """An autoencoder whose codes have k elements that are not 0.

    z = W x + b; all but the k largest of z become 0; x^ = W^T z + b' (Makhzani and Frey, "k-sparse autoencoders", ICLR 2014).
    The gradient passes through those that stay. Elements equal to the k-th largest stay all.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code, which may be wider than the input.
    k : int
        Elements of a code that stay; may be changed between fits, as the paper lowers it step by step.
    tied : bool
        As in :class:`fastae.Autoencoder`, but by default.
    **network
        Further arguments of :class:`fastae.Autoencoder`.
    """

    setting_names = (*Autoencoder.setting_names, "k")

    def __init__(self, sizes: Any = None, k: int = 1, *, tied: bool = True, **network: Unpack[Untied]) -> None:
        super().__init__(sizes, **network, tied=tied)
        self.k = k

    def _checked_k(self, k: Any) -> int:
        if _check.positive_integer(k, "k") > self.n_latent:
            raise ValueError(f"k takes at most the width of the code, {self.n_latent}; got {k}")
        return int(k)

    k = Setting(_checked_k)

    def recipe(self) -> Recipe:
        """A step in which the k largest of the code stay."""
        return super().recipe()._replace(code=len(self.encoder) - 1, top_k=self.k)

    def encode(self, x: Any, out: Array | None = None, n_threads: int | None = None, alpha: float = 1.0) -> Array:
        """Codes, of which the ``alpha * k`` largest stay (alpha >= 1 for features of a classifier, in the paper).

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        out : array (samples, n_latent), optional
        n_threads : int, optional
        alpha : float
            Above 0; at least one element stays.

        Returns
        -------
        array (samples, n_latent)
        """
        alpha = _check.real_number(alpha, "alpha", 5e-324, inf, "a number above 0")
        return _largest(super().encode(x, out, n_threads), round(min(alpha * self.k, self.n_latent)))

    def _code(self, y: Array, x: Array) -> Array:
        return _largest(y, self.k)


def _largest(z: Array, k: int) -> Array:
    """z, in place: all but the k largest of each row become 0."""
    k = max(k, 1)
    z[z < np.partition(z, -k, axis=1)[:, -k, None]] = 0
    return z
