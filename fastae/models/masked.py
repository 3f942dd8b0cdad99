"""Autoencoders of incomplete data: what is missing is absent from the loss, and filled in by the reconstruction."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from .. import _check
from .._check import Array
from .._kernels.names import PER_SAMPLE
from .._kernels.recipe import Recipe
from ..layers import BLOCK
from ..settings import check_threads
from .denoising import DenoisingAutoencoder
from .network import Network


class MaskedAutoencoder(DenoisingAutoencoder):
    """An autoencoder of data with missing values, which are NaN.

    A missing element of the input is 0; a missing element of the target adds nothing to the loss nor to any gradient; means are
    over the elements observed (Sedhain, Menon, Sanner, Xie, "AutoRec", WWW 2015, equation 2). With noise, it learns to fill in
    what it is not shown. Standardise the columns, so that 0 is their mean.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code.
    noise, level
        Of :class:`fastae.DenoisingAutoencoder`, as ``noise="masking"``. Default: none.
    **network
        Further arguments of :class:`fastae.Autoencoder`; ``output_activation="identity"`` for data beyond 0 to 1.
    """

    def __init__(self, sizes: Any = None, *, noise: str | None = None, level: float = 0.3, **network: Unpack[Network]) -> None:
        super().__init__(sizes, noise=noise, level=level, **network)

    def recipe(self) -> Recipe:
        """A step without the elements that are missing."""
        return super().recipe()._replace(missing=True)

    def hide(self, x: Any, observed: Any) -> Array:
        """Samples as this model takes them, with NaN where ``observed`` is False: both (samples, n_in)."""
        x = _check.samples(x, "x", self.n_in)
        observed = np.asarray(observed)
        if observed.dtype != bool or observed.shape != x.shape:
            raise ValueError(f"observed takes an array of bool of shape {x.shape}, got {observed.dtype} {observed.shape}")
        return np.where(observed, self._converted(x), np.nan).astype(self.dtype)

    def _converted(self, x: Array, first_row: int = 0) -> Array:
        """Checked samples in this model's dtype, NaN left as it is."""
        if x.dtype == np.uint8:
            return _check.converted(x, self.dtype, "x")
        checked: Array = np.asarray(_check.finite(x, "x", self.dtype, first_row, missing=True), self.dtype)
        return checked

    def _filled(self, x: Any, argument: str) -> Any:
        """x with 0 where it is missing."""
        x = _check.matrix(x, argument, self.n_in)
        if hasattr(x, "tocsr"):
            x = x.copy()
            x.data[np.isnan(x.data)] = 0
            return x
        return x if x.dtype == np.uint8 else np.asarray(np.where(np.isnan(x), x.dtype.type(0), x))

    def infer(self, x: Any, argument: str, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Forward through all layers, missing elements as 0."""
        return super().infer(self._filled(x, argument), argument, out, n_threads)

    def encode(self, x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Codes of samples, whose missing elements count as 0; as :meth:`fastae.Autoencoder.encode`."""
        return super().encode(self._filled(x, "x"), out, n_threads)

    def impute(self, x: Any, n_threads: int | None = None) -> Array:
        """Samples (samples, n_in), reconstructions where they are NaN, else left as they are, in x's own dtype."""
        x = _check.samples(x, "x", self.n_in)
        if x.dtype == np.uint8:
            return self._converted(x)
        filled = self.reconstruct(x, n_threads=n_threads).astype(x.dtype, copy=False)
        return np.asarray(np.where(np.isnan(x), filled, x))

    def reconstruction_error(self, x: Any, n_threads: int | None = None) -> Array:
        """Mean squared error over the elements observed: (samples,) of float64; NaN for a sample that has none."""
        x = _check.matrix(x, "x", self.n_in)
        if self.n_in != self.n_out:
            raise ValueError(f"this model gives {self.n_out} features for {self.n_in}, so they cannot be compared")
        errors, step = np.empty(x.shape[0]), _check.together(x, BLOCK)
        for start in range(0, len(errors), step):
            block = self._converted(_check.dense(x, slice(start, start + step)), start)
            difference = np.asarray(self.reconstruct(block, n_threads=n_threads) - block, np.float64)
            observed = np.sum(~np.isnan(block), axis=1)
            with np.errstate(invalid="ignore"):
                errors[start : start + len(block)] = np.nansum(difference**2, axis=1) / observed
        return errors

    def losses(self, x: Array, target: Array, loss: int, n_threads: int | None = None) -> Array:
        """Loss of each sample, without noise: its sum over elements observed, for means divided by the number of features."""
        y, t, threads = self.infer(x, "x", n_threads=n_threads), self._converted(target), check_threads(n_threads)
        missing, kernels, sums = np.isnan(t), self.layers[0].kernels, np.empty(len(t))
        half, one = np.full((1, 1), 0.5, self.dtype), np.empty(1)
        kernels.sample_losses(loss, np.where(missing, half, y), np.where(missing, half, t), sums, threads)
        kernels.sample_losses(loss, half, half, one, threads)  # what an element of 1/2 for 1/2 adds is taken off again
        sums -= one * missing.sum(axis=1)
        return sums if loss in PER_SAMPLE else sums / self.n_out

    def whole(self, target: Array, loss: int) -> float:
        """Of means, by the elements observed."""
        if loss in PER_SAMPLE or target.dtype == np.uint8:
            return len(target)
        return int(np.count_nonzero(~np.isnan(target))) / self.n_out
