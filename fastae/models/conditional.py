"""Conditional variational autoencoders: encoder and decoder are told something about the sample, as its label."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import numpy as np

from .. import _check
from .._check import Array
from ..autoencoder import Fixed
from ..layers import generator
from .network import Variational
from .variational import VariationalAutoencoder


class ConditionalVariationalAutoencoder(VariationalAutoencoder):
    """A variational autoencoder of p(x|c), for a condition c that is known of every sample.

    Loss: -log p(x|z, c) + beta KL of q(z|x, c), with p(z) standard normal (Sohn, Lee, Yan, "Learning structured output
    representation using deep conditional generative models", NIPS 2015; its prior depends on c, this does not).
    Encoder and decoder receive c behind x and z.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input, without the condition, to the code.
    n_conditions : int
        Features of the condition: for a label, the number of classes.
    **others
        Further arguments of :class:`fastae.VariationalAutoencoder`. An encoder made by hand takes the features of x
        and c, a decoder those of z and c.

    Notes
    -----
    A condition is given as integers (samples,), one label each, or as numbers (samples, n_conditions). ``join`` puts
    it behind x, as a Trainer takes both; where a method is given no condition, its x or z has it joined already.

    Examples
    --------
    >>> import fastae
    >>> x, labels = fastae.datasets.load_digits()
    >>> model = fastae.ConditionalVariationalAutoencoder([64, 32, 4], n_conditions=10, seed=0)
    >>> history = fastae.Trainer(model, fastae.Adam(3e-3), batch_size=64, seed=0).fit(model.join(x, labels), epochs=2)
    >>> model.sample(5, condition=7, seed=0).shape
    (5, 64)
    """

    setting_names: ClassVar[tuple[str, ...]] = (*VariationalAutoencoder.setting_names, "n_conditions")

    def __init__(self, sizes: Any = None, n_conditions: int = 1, **others: Unpack[Variational]) -> None:
        self._n_conditions = _check.positive_integer(n_conditions, "n_conditions")
        super().__init__(sizes, **others)

    n_conditions = Fixed()

    def join(self, x: Any, condition: Any) -> Array:
        """Samples x (samples, features) and behind each its condition: (samples, n_in), in this model's dtype."""
        return self._joined_as("x", x, condition)

    def _joined_as(self, argument: str, x: Any, condition: Any) -> Array:
        x = _check.samples(x, argument, self.n_in - self.n_conditions)
        return self._behind(_check.converted(x, self.dtype, argument), condition)

    def _behind(self, left: Array, condition: Any) -> Array:
        c, n = np.asarray(condition), len(left)
        if self.n_conditions == 1 and c.shape in ((), (n,)):
            c = np.broadcast_to(c, n)[:, None]
        elif c.dtype.kind in "iu" and c.ndim < 2:
            labels = np.broadcast_to(c, n) if c.ndim == 0 else c
            if len(labels) != n or labels.min() < 0 or labels.max() >= self.n_conditions:
                raise ValueError(
                    f"condition takes {n} labels from 0 to {self.n_conditions - 1}, "
                    f"got {len(labels)} from {c.min()} to {c.max()}"
                )
            c = np.eye(self.n_conditions)[labels]
        elif c.shape == (self.n_conditions,) and (n != len(c) or n == 1):  # as many samples: they may be meant as labels
            c = np.broadcast_to(c, (n, len(c)))
        if c.dtype.kind not in "fiub" or c.shape != (n, self.n_conditions):
            raise ValueError(
                f"condition takes {n} integers, or numbers of shape ({n}, {self.n_conditions}); got {c.dtype} {c.shape}"
            )
        c = _check.finite(c.astype(np.float64), "condition", self.dtype)
        return np.concatenate([left, c.astype(self.dtype)], axis=1)

    def _joined(self, x: Any, condition: Any) -> Any:
        if condition is not None:
            return self.join(x, condition)
        width = getattr(x, "shape", (0,))[-1:]
        if width == (self.n_in - self.n_conditions,):
            raise TypeError(f"condition is needed beside x of {width[0]} features; or give join(x, condition) as x")
        return x

    # The condition comes second, so these take other arguments than those of the models without one.

    def encode(  # type: ignore[override]
        self, x: Any, condition: Any = None, out: Array | None = None, n_threads: int | None = None
    ) -> Array:
        """Means of q(z|x, c): x (samples, features) -> (samples, n_latent)."""
        return super().encode(self._joined(x, condition), out, n_threads)

    def encode_distribution(  # type: ignore[override]
        self, x: Any, condition: Any = None, n_threads: int | None = None
    ) -> tuple[Array, Array]:
        """Means and logarithms of variances of q(z|x, c): x (samples, features) -> two of (samples, n_latent)."""
        return super().encode_distribution(self._joined(x, condition), n_threads)

    def decode(  # type: ignore[override]
        self, z: Any, condition: Any = None, out: Array | None = None, n_threads: int | None = None, *, logits: bool = False
    ) -> Array:
        """Means of p(x|z, c): z (samples, n_latent) -> (samples, n_out)."""
        if condition is not None:
            z = self._behind(_check.converted(_check.samples(z, "z", self.n_latent), self.dtype, "z"), condition)
        return super().decode(z, out, n_threads, logits=logits)

    def reconstruct(  # type: ignore[override]
        self, x: Any, condition: Any = None, out: Array | None = None, n_threads: int | None = None, *, logits: bool = False
    ) -> Array:
        """``decode(encode(x, condition), condition)``: x (samples, features) -> (samples, n_out)."""
        return super().reconstruct(self._joined(x, condition), out, n_threads, logits=logits)

    def reconstruction_error(  # type: ignore[override]
        self, x: Any, condition: Any = None, n_threads: int | None = None
    ) -> Array:
        """Mean squared error of each sample's reconstruction: x (samples, features) -> (samples,) of float64."""
        return super().reconstruction_error(self._joined(x, condition), n_threads)

    def sample(  # type: ignore[override]
        self, n: int, condition: Any = None, seed: Any = None, n_threads: int | None = None
    ) -> Array:
        """Means of p(x|z, c) for codes drawn from p(z): (n, n_out).

        Parameters
        ----------
        n : int
        condition : int, or array (n,) of integers, (n_conditions,) or (n, n_conditions)
        seed : int, numpy.random.Generator or None
        n_threads : int, optional
        """
        if condition is None:
            raise TypeError("condition is needed: a label, or labels or numbers for each sample")
        return self.decode(self._normal(generator(seed), _check.positive_integer(n, "n")), condition, n_threads=n_threads)

    def interpolate(  # type: ignore[override]
        self, a: Any, b: Any, steps: int = 10, condition: Any = None, n_threads: int | None = None
    ) -> Array:
        """Reconstructions along the straight line between the codes of a and b, all of one condition.

        a, b (features,) -> (steps, n_out).
        """
        if condition is None:
            raise TypeError("condition is needed: a label, or numbers of shape (n_conditions,)")
        a, b = (self._joined_as(name, self._sample(sample, name), condition) for sample, name in ((a, "a"), (b, "b")))
        way = self._line(a, b, steps, n_threads)
        given = np.repeat(a[:, -self.n_conditions :], len(way), axis=0)
        return self.decode(np.concatenate([way, given], axis=1), n_threads=n_threads)

    def elbo(  # type: ignore[override]
        self, x: Any, condition: Any = None, seed: Any = None, n_threads: int | None = None
    ) -> Array:
        """Evidence lower bound of log p(x|c), as :meth:`fastae.VariationalAutoencoder.elbo`."""
        return super().elbo(self._joined(x, condition), seed, n_threads)

    def log_likelihood(  # type: ignore[override]
        self, x: Any, condition: Any = None, n_samples: int = 5000, seed: Any = None, n_threads: int | None = None
    ) -> Array:
        """Estimate of log p(x|c), as :meth:`fastae.VariationalAutoencoder.log_likelihood`."""
        return super().log_likelihood(self._joined(x, condition), n_samples, seed, n_threads)
