"""Weights of a layer as images."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from .. import _check
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import Network
from . import images
from .display import Display


class WeightsDisplay(Display):
    """Weights of a layer: an image for each unit, or one of the whole matrix; red above 0, blue below, 0 in the middle.

    Parameters
    ----------
    weights : array (units, features)
        A row for each unit.
    image_shape : (height, width), (height, width, 3), False or None
        Of a row. None: rows of n x n features, n at least 8, are images. False: the matrix is drawn whole.
    layer : int
        Its number, for the title.
    n_units : int, optional
        Units that these were chosen from.
    units : array (units,) of int, optional
        Their numbers in the layer. Default: from 0 on.

    Attributes
    ----------
    weights, image_shape, layer, n_units, units
        As given, image_shape None for a matrix.
    """

    def __init__(
        self, weights: Array, image_shape: Any = None, layer: int = 0, n_units: int | None = None, units: Any = None
    ) -> None:
        if weights.ndim != 2 or not weights.size:
            raise ValueError(f"weights takes an array (units, features), got {weights.shape}")
        self.weights, self.layer = _check.finite(weights, "weights"), layer
        self.image_shape = images.image_shape(weights.shape[1], image_shape)
        self.n_units = len(weights) if n_units is None else n_units
        self.units = np.arange(len(weights)) if units is None else units

    @classmethod
    def from_model(
        cls, model: Any, layer: int = 0, *, max_units: int = 64, image_shape: Any = None, ax: Any = None, **settings: Any
    ) -> Self:
        """Draw the weights of a layer.

        Parameters
        ----------
        model : Autoencoder or Sequential
        layer : int
            Counted from 0, the encoder's first, through the decoder; negative from the end. A unit's row are the weights of
            what it receives; of an autoencoder's last layer, what each feature of its input adds to the output.
        max_units : int
            Of more, those with the largest norm are drawn, these first.
        image_shape
            See above. A conditional model's condition is left out.
        ax : Axes, optional
        **settings
            Of :meth:`plot`.
        """
        if not isinstance(model, Network):
            raise TypeError(f"model takes an Autoencoder or a Sequential, got {type(model).__name__}")
        n, takes = len(model.layers), "layer takes an integer from {0} to {1} of a model with {2} layers"
        if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)):
            raise TypeError(f"{takes.format(-n, n - 1, n)}, got {layer!r}")
        if not -n <= layer < n:
            raise ValueError(f"{takes.format(-n, n - 1, n)}, got {layer}")
        number = int(layer) % n
        weight = model.layers[number].weight
        if number == n - 1 and isinstance(model, Autoencoder):
            weight = weight.T
        elif number == 0:
            weight = weight[:, : model.n_in - getattr(model, "n_conditions", 0)]
        order, most = np.arange(len(weight)), _check.positive_integer(max_units, "max_units")
        if len(weight) > most:
            order = np.argsort(-np.linalg.norm(weight, axis=1), kind="stable")[:most]
        return cls(weight[order], image_shape, number, len(weight), order).plot(ax, **settings)

    def plot(self, ax: Any = None, *, cmap: str = "RdBu_r", colorbar: bool = True) -> Self:
        """Draw; the ends of ``cmap`` are plus and minus the largest absolute weight."""
        ax, largest = self._begin(ax), float(np.abs(self.weights).max()) or 1.0
        if self.image_shape is None:
            drawn = ax.imshow(
                self.weights, cmap=cmap, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest", rasterized=True
            )
            ax.set(xlabel="feature", ylabel="unit")
            for axis in (ax.xaxis, ax.yaxis):
                axis.get_major_locator().set_params(integer=True)
        else:
            drawn = images.show(ax, self.weights, self.image_shape, self._columns, cmap, (-largest, largest))
        coloured = self.image_shape is not None and len(self.image_shape) == 3
        if colorbar and not coloured:  # of an image in three colours, grey is 0
            ax.figure.colorbar(drawn, ax=ax, label="weight", fraction=0.05, shrink=0.8)
        ax.set_title(f"Weights of layer {self.layer}{self._part}")
        return self

    @property
    def _columns(self) -> int:
        return math.ceil(math.sqrt(2 * len(self.weights)))

    @property
    def _part(self) -> str:
        n = len(self.weights)
        return "" if n == self.n_units else f", {n} of {self.n_units} units"

    @property
    def size(self) -> tuple[float, float]:
        """Of a mosaic, or a matrix."""
        return (
            (7.0, 4.4) if self.image_shape is None else images.mosaic_size(len(self.weights), self._columns, self.image_shape)
        )

    @property
    def caption(self) -> str:
        """How many, and their range."""
        largest = ", those of the largest norm" if self._part else ""
        form = "a row of the matrix" if self.image_shape is None else "an image"
        return (
            f"Weights of layer {self.layer}, {form} for each unit{self._part}{largest}; from {self.weights.min():.3g} to "
            f"{self.weights.max():.3g}."
        )
