"""The picture of a training run. matplotlib is imported only here."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from ._check import Array


def training_picture(
    path: str | os.PathLike[str],
    originals: Array,
    reconstructions: Array,
    codes: Array,
    labels: Array | None,
    loss: list[float],
    val_loss: list[float],
) -> None:
    """One PNG: originals over reconstructions, the latent space, the loss curve.

    Parameters
    ----------
    originals, reconstructions : array (samples, features)
        Shown as images where the number of features is a square, else as curves.
    codes : array (samples, n_latent)
        Shown by the first two principal components, where there are more than two.
    labels : array (samples,), optional
        Colours of the codes.
    loss, val_loss : list of float
        One number for each epoch.

    Raises
    ------
    ImportError
        matplotlib is missing.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    subfigures: Any = figure.subfigures(2, 1, height_ratios=(2, 3))
    top, bottom = subfigures
    _pairs(top, originals[:10], reconstructions[:10])
    left, right = bottom.subplots(1, 2)
    _latent(left, codes, labels)
    epochs = range(1, len(loss) + 1)
    right.plot(epochs, loss, label="train")
    right.plot(epochs, val_loss, label="test")
    scale = "log" if min(*loss, *val_loss) > 0 else "linear"
    right.set(xlabel="epoch", ylabel="loss", yscale=scale, title="Loss")
    right.legend()
    figure.savefig(path, dpi=110, format="png")


def _pairs(figure: Any, originals: Array, reconstructions: Array) -> None:
    n, width = originals.shape
    side = math.isqrt(width)
    square = side * side == width
    axes = figure.subplots(2, n, squeeze=False, sharex=True, sharey=True)
    figure.suptitle("Originals over reconstructions (test samples)")
    low, high = min(originals.min(), reconstructions.min()), max(originals.max(), reconstructions.max())
    for row, samples in zip(axes, (originals, reconstructions), strict=True):
        for axis, sample in zip(row, samples, strict=True):
            if square:
                axis.imshow(sample.reshape(side, side), cmap="gray_r", vmin=low, vmax=high)
            else:
                axis.plot(sample, linewidth=1)
            axis.set_xticks([])
            axis.set_yticks([])


def _latent(axis: Any, codes: Array, labels: Array | None) -> None:
    what = "code"
    if codes.shape[1] > 2:
        centred = codes - codes.mean(axis=0)
        codes = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        what = "principal component of the code"
    flat = codes if codes.shape[1] == 2 else np.column_stack([codes[:, 0], np.zeros(len(codes))])
    points = axis.scatter(*flat.T, c=labels, cmap="tab10" if labels is not None else None, s=8)
    if labels is not None:
        axis.legend(*points.legend_elements(), title="label", fontsize="small", ncols=2)
    axis.set(xlabel=f"1st {what}", ylabel=f"2nd {what}", title="Latent space (test samples)")
