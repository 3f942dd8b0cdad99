"""Where a model errs: the mean squared error of each feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from .. import _check
from .._check import Array
from ..layers import BLOCK
from . import images, samples
from .display import Display, counted, short

_BARS = 30


class FeatureErrorDisplay(Display):
    """Mean squared error of each feature: an image, or bars, of which the 30 largest are drawn.

    Parameters
    ----------
    errors : array (features,)
        NaN for a feature that is missing in all samples.
    feature_names : sequence of str, optional
        With names, a square is no image unless ``image_shape`` says so.
    image_shape : (height, width), (height, width, 3), False or None
        None: n x n features, n at least 8, are an image. Of three colours, the mean is drawn. False: bars.
    n_samples : int, optional
        That these are means over.

    Attributes
    ----------
    errors, feature_names, image_shape, n_samples
        As given, image_shape None for bars.
    """

    def __init__(
        self, errors: Array, feature_names: Sequence[str] | None = None, image_shape: Any = None, n_samples: int | None = None
    ) -> None:
        if errors.ndim != 1 or not errors.size:
            raise ValueError(f"errors takes an array (features,), got {errors.shape}")
        self.errors, self.n_samples = errors, n_samples
        self.feature_names = samples.names_of(feature_names, len(errors))
        guess = False if image_shape is None and self.feature_names is not None else image_shape
        self.image_shape = images.image_shape(len(errors), guess)

    @classmethod
    def from_model(
        cls,
        model: Any,
        x: Any,
        *,
        feature_names: Sequence[str] | None = None,
        image_shape: Any = None,
        ax: Any = None,
        **settings: Any,
    ) -> Self:
        """Draw the error of all samples, which are reconstructed some thousand at a time.

        Parameters
        ----------
        model : Autoencoder
        x : array or CSR (samples, n_in)
            For a conditional model, what its ``join`` gives.
        feature_names, image_shape
            See above.
        ax : Axes, optional
        **settings
            Of :meth:`plot`.
        """
        samples.comparable(samples.autoencoder(model))
        x = samples.checked(model, x)
        total, observed, step = np.zeros(model.n_out), np.zeros(model.n_out), _check.together(x, BLOCK)
        for start in range(0, x.shape[0], step):
            features, made = samples.pairs(model, samples.floats(model, x, slice(start, start + step)))
            squares = np.square(made - features, dtype=np.float64)
            total += np.nansum(squares, axis=0)
            observed += np.count_nonzero(~np.isnan(squares), axis=0)
        errors = np.where(observed > 0, total / np.maximum(observed, 1), np.nan)
        return cls(errors, feature_names, image_shape, x.shape[0]).plot(ax, **settings)

    def plot(self, ax: Any = None, *, cmap: str = "viridis", **bars: Any) -> Self:
        """Draw; ``bars`` are settings of matplotlib's ``barh``."""
        ax = self._begin(ax)
        if self.image_shape is not None:
            drawn = ax.imshow(self._map, cmap=cmap, vmin=0, interpolation="nearest")
            ax.figure.colorbar(drawn, ax=ax, label="mean squared error")
            images.bare(ax)
            ax.set_title("Error of each feature")
            return self
        largest = self._largest
        ax.barh(range(len(largest)), self.errors[largest], **bars)
        names = self.feature_names or [str(number) for number in range(len(self.errors))]
        ax.set_yticks(range(len(largest)), [short(names[number]) for number in largest], parse_math=False)
        ax.invert_yaxis()
        part = "" if len(largest) == len(self.errors) else f", the {len(largest)} largest of {len(self.errors)}"
        ax.set(xlabel="mean squared error", ylabel="feature", title=f"Error of each feature{part}")
        ax.spines[["top", "right"]].set_visible(False)
        return self

    @property
    def _map(self) -> Array:
        image = self.errors.reshape(self.image_shape or ())
        return image.mean(axis=2) if image.ndim == 3 else image

    @property
    def _largest(self) -> Array:
        """Numbers of features, that of the largest error first; NaN last."""
        return np.argsort(-self.errors, kind="stable")[:_BARS]

    @property
    def size(self) -> tuple[float, float]:
        """Of an image, or of so many bars."""
        return (5.6, 4.4) if self.image_shape is not None else (7.0, 1.2 + 0.24 * min(len(self.errors), _BARS))

    @property
    def caption(self) -> str:
        """Mean and largest."""
        worst = int(self._largest[0])
        name = worst if self.feature_names is None else repr(self.feature_names[worst])
        of = "" if self.n_samples is None else f" over {counted(self.n_samples, 'sample')}"
        return (
            f"Mean squared error of each feature{of}: {np.nanmean(self.errors):.5g} in the mean, "
            f"{self.errors[worst]:.5g} at most, of feature {name}."
        )
