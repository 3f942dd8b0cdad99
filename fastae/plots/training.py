"""The picture of a training run."""

from __future__ import annotations

import os
from typing import Any

from .._check import Array
from ..autoencoder import Autoencoder
from ..history import History
from .display import matplotlib
from .latent import LatentDisplay
from .loss import LossDisplay
from .reconstruction import ReconstructionDisplay


def training_picture(
    path: str | os.PathLike[str],
    model: Autoencoder,
    x: Array,
    history: History,
    labels: Any = None,
    image_shape: Any = None,
) -> None:
    """One PNG: originals over reconstructions, the latent space, the loss curve.

    Parameters
    ----------
    path : path
    model : Autoencoder
    x : array (samples, n_in)
    history : History
        Of its training.
    labels : array (samples,), optional
        Colours of the codes.
    image_shape
        Of :class:`fastae.plots.ReconstructionDisplay`.

    Raises
    ------
    ImportError
        matplotlib is missing.
    """
    matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(2, 3))
    top, bottom = rows
    left, right = bottom.subplots(1, 2)
    ReconstructionDisplay.from_model(model, x, image_shape=image_shape, ax=top.subplots())
    LatentDisplay.from_model(model, x, labels, ax=left)
    LossDisplay.from_history(history, ax=right)
    figure.savefig(path, dpi=110, format="png")
