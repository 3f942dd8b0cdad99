"""Originals and what a model makes of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .. import _check
from .._check import Array
from . import images, samples
from .display import Display, counted, legend


class ReconstructionDisplay(Display):
    """Some samples and their reconstructions: images below each other, or curves over each other.

    Parameters
    ----------
    originals, reconstructions : array (samples, features)
        In originals, NaN is missing.
    image_shape : (height, width), (height, width, 3), False or None
        None: samples of n x n features, n at least 8, are images, others curves. False: curves.

    Attributes
    ----------
    originals, reconstructions, image_shape
        As given, image_shape None for curves.
    errors : array (samples,)
        Mean squared error of each.
    """

    def __init__(self, originals: Array, reconstructions: Array, image_shape: Any = None) -> None:
        if originals.ndim != 2 or originals.shape != reconstructions.shape:
            raise ValueError(
                "originals and reconstructions take arrays of one shape (samples, features), got "
                f"{originals.shape} and {reconstructions.shape}"
            )
        self.originals, self.reconstructions = originals, reconstructions
        self.image_shape = images.image_shape(originals.shape[1], image_shape)
        differences = np.asarray(reconstructions, np.float64) - originals
        self.errors = np.nansum(differences**2, axis=1) / np.maximum(np.isfinite(differences).sum(axis=1), 1)

    @classmethod
    def from_model(
        cls, model: Any, x: Any, *, n_samples: int = 10, image_shape: Any = None, ax: Any = None, **settings: Any
    ) -> Self:
        """Draw the first samples and what the model makes of them.

        Parameters
        ----------
        model : Autoencoder
        x : array or CSR (samples, n_in)
            For a conditional model, what its ``join`` gives.
        n_samples : int
            At most.
        image_shape
            See above.
        ax : Axes, optional
        **settings
            Of :meth:`plot`.
        """
        samples.comparable(samples.autoencoder(model))
        x = _check.matrix(x, "x", model.n_in)[: _check.positive_integer(n_samples, "n_samples")]
        originals, made = samples.pairs(model, samples.floats(model, samples.checked(model, x), slice(None)))
        return cls(originals, made, image_shape).plot(ax, **settings)

    def plot(self, ax: Any = None, *, cmap: str = "gray_r", **line: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        cmap : str
            Of images of one colour: "gray_r" has 0 white, as paper, "gray" black.
        **line
            Settings of matplotlib's ``plot``, of curves.
        """
        ax, n = self._begin(ax), len(self.originals)
        if self.image_shape is not None:
            both = np.concatenate([self.originals, self.reconstructions])
            images.show(ax, both, self.image_shape, n, cmap, (float(np.nanmin(both)), float(np.nanmax(both))))
            height, width = self.image_shape[:2]
            ax.set_yticks(images.centres(2, height, 1 + width // 16), ["original", "reconstruction"])
            ax.set_title("Originals over reconstructions")
            return self
        images.row(ax, self.originals, **{"label": "original", **line})
        images.row(ax, self.reconstructions, **{"label": "reconstruction", "linestyle": "--", **line})
        width = self.originals.shape[1]
        ax.set_xticks(images.centres(n, width, images.curve_gap(width)), range(n))
        ax.set(xlabel="sample", ylabel="value of each feature", title="Originals and reconstructions")
        legend(ax)
        return self

    @property
    def size(self) -> tuple[float, float]:
        """Of a mosaic, or a row of curves."""
        n = len(self.originals)
        return (9.0, 3.2) if self.image_shape is None else images.mosaic_size(2 * n, n, self.image_shape)

    @property
    def caption(self) -> str:
        """How many, and their error."""
        form = "Curves of" if self.image_shape is None else "Images of"
        n = counted(len(self.originals), "sample")
        return f"{form} {n} and what the model makes of them; mean squared error {self.errors.mean():.5g}."
