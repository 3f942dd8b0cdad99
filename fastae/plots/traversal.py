"""What each feature of the code means: decoded while one changes and the others stay."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Self

import numpy as np

from .. import _check
from .._check import Array
from ..autoencoder import Autoencoder
from ..models import ConditionalVariationalAutoencoder, VariationalAutoencoder
from . import images, samples
from .display import Display, counted


class TraversalDisplay(Display):
    """Decoded codes: in each row, one feature of the code goes from a low to a high value, others are their medians.

    Parameters
    ----------
    outputs : array (rows, steps, features)
    values : array (rows, steps)
        Of the feature that changes.
    features : array (rows,)
        Its number in the code.
    image_shape : (height, width), (height, width, 3), False or None
        None: outputs of n x n features, n at least 8, are images, others curves. False: curves.
    n_latent : int, optional
        Features of the code, of which these were chosen.

    Attributes
    ----------
    outputs, values, features, image_shape, n_latent
        As given, image_shape None for curves.
    """

    def __init__(
        self, outputs: Array, values: Array, features: Array, image_shape: Any = None, n_latent: int | None = None
    ) -> None:
        if outputs.ndim != 3 or values.shape != outputs.shape[:2] or features.shape != values.shape[:1]:
            raise ValueError(
                "outputs, values and features take arrays (rows, steps, features), (rows, steps) and (rows,); got "
                f"{outputs.shape}, {values.shape} and {features.shape}"
            )
        self.outputs, self.values, self.features = outputs, values, features
        self.image_shape = images.image_shape(outputs.shape[2], image_shape)
        self.n_latent = len(features) if n_latent is None else n_latent

    @classmethod
    def from_model(
        cls,
        model: Any,
        x: Any = None,
        *,
        n_steps: int = 9,
        low: float = 0.05,
        high: float = 0.95,
        max_features: int = 10,
        condition: Any = None,
        max_samples: int = samples.MOST,
        seed: Any = 0,
        image_shape: Any = None,
        ax: Any = None,
        **settings: Any,
    ) -> Self:
        """Draw what the features of a model's code mean.

        Parameters
        ----------
        model : Autoencoder
        x : array or CSR (samples, n_in), optional
            Whose codes say which values there are; of more than ``max_samples``, as many drawn by the seed. A variational model
            needs none: its codes are standard normal.
        n_steps : int
            Values of each feature.
        low, high : float
            The quantiles from which to which they go, in equal steps of quantiles.
        max_features : int
            Of a code of more, those that change the output most.
        condition : int or array (n_conditions,), optional
            Of a conditional model, which needs one.
        max_samples : int
        seed : int, numpy.random.Generator or None
            See ``x``.
        image_shape
            See above.
        ax : Axes, optional
        **settings
            Of :meth:`plot`.
        """
        samples.autoencoder(model)
        n, most = _check.positive_integer(n_steps, "n_steps"), _check.positive_integer(max_features, "max_features")
        low = _check.real_number(low, "low", 1e-6, 1, "a quantile 0 < low < high < 1")
        high = _check.real_number(high, "high", low, 1, "a quantile 0 < low < high < 1")
        levels = np.linspace(low, high, n) if n > 1 else np.array([(low + high) / 2])
        if isinstance(model, ConditionalVariationalAutoencoder) == (condition is None):
            raise ValueError(f"condition is what a conditional model, and only such, needs; got {condition!r}")
        table, middle = _quantiles(model, x, levels, max_samples, seed)
        codes = np.broadcast_to(middle, (model.n_latent, n, model.n_latent)).copy()
        which = np.arange(model.n_latent)
        codes[which, :, which] = table.T
        flat = codes.reshape(-1, model.n_latent).astype(model.dtype)
        decoded = model.decode(flat) if condition is None else model.decode(flat, condition)
        outputs = decoded.reshape(model.n_latent, n, -1)
        if len(which) > most:
            change = np.ptp(outputs, axis=1).mean(axis=1, dtype=np.float64)
            which = np.sort(np.argsort(-change, kind="stable")[:most])
        return cls(outputs[which], table.T[which], which, image_shape, model.n_latent).plot(ax, **settings)

    def plot(self, ax: Any = None, *, cmap: str | None = None) -> Self:
        """Draw; ``cmap`` is by default gray_r of images, viridis, from low to high, of curves."""
        ax, (rows, steps, width) = self._begin(ax), self.outputs.shape
        names = [f"z{number}" for number in self.features]
        if self.image_shape is not None:
            limits = float(self.outputs.min()), float(self.outputs.max())
            images.show(ax, self.outputs.reshape(-1, width), self.image_shape, steps, cmap or "gray_r", limits)
            ax.set_yticks(images.centres(rows, self.image_shape[0], 1 + self.image_shape[1] // 16), names)
        else:
            from matplotlib import colormaps

            colours = colormaps[cmap or "viridis"](np.linspace(0, 0.9, steps))
            for step, colour in enumerate(colours):
                images.row(ax, self.outputs[:, step], color=colour)
            ax.set_xticks(images.centres(rows, width, images.curve_gap(width)), names)
            ax.set_ylabel("value of each feature")
        ax.set_title(f"Features of the code from low to high{self._part}")
        return self

    @property
    def _part(self) -> str:
        n = len(self.features)
        return "" if n == self.n_latent else f", {n} of {self.n_latent}"

    @property
    def size(self) -> tuple[float, float]:
        """Of a mosaic, or a row of curves."""
        rows, steps, _ = self.outputs.shape
        return (9.0, 3.2) if self.image_shape is None else images.mosaic_size(rows * steps, steps, self.image_shape)

    @property
    def caption(self) -> str:
        """What is in the rows and columns."""
        where = "a row" if self.image_shape is not None else "a group of curves, dark to light,"
        which = "" if len(self.features) == self.n_latent else " that change the output most"
        features = counted(len(self.features), "feature")
        return (
            f"Decoded codes: {where} for each of {features} of the code{which}, which goes from low to high while the others "
            "stay at their medians."
        )


def _quantiles(model: Autoencoder, x: Any, levels: Array, most: int, seed: Any) -> tuple[Array, Array]:
    """Of each feature of the code: (levels, n_latent); and its median, (n_latent,)."""
    if x is not None:
        x = samples.checked(model, x)
        codes = model.encode(samples.floats(model, x, samples.drawn(x.shape[0], most, seed)))
        return np.quantile(codes, levels, axis=0), np.median(codes, axis=0)
    if not isinstance(model, VariationalAutoencoder):
        raise ValueError(
            f"x is needed, whose codes say which values there are: a code of {type(model).__name__} has no distribution"
        )
    prior = np.array([NormalDist().inv_cdf(level) for level in levels.tolist()])
    return np.repeat(prior[:, None], model.n_latent, axis=1), np.zeros(model.n_latent)
