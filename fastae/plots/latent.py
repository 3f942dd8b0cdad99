"""The latent space in a plane, or along a line."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .. import _check
from .._check import Array
from . import samples
from .display import Display, counted, legend, short


class LatentDisplay(Display):
    """Codes of samples as points of the plane; of more than two features, by their first two principal components.

    Codes of one feature are a histogram.

    Parameters
    ----------
    codes : array (samples, n_latent)
    labels : array (samples,), optional
        Up to 20 different integers, truth values or strings are classes, with a legend; other numbers have a colour bar.
    n_total : int, optional
        Samples that these were drawn from.

    Attributes
    ----------
    codes, labels, n_total
    points : array (samples, 2), or (samples, 1)
        What is drawn.
    explained_variance_ratio : array (2,), or None
        Of the codes' variance, the part that each of two principal components has; None where the codes are drawn as they are.
    """

    def __init__(self, codes: Array, labels: Any = None, n_total: int | None = None) -> None:
        if codes.ndim != 2 or not codes.size:
            raise ValueError(f"codes takes an array (samples, n_latent), got {codes.shape}")
        self.codes, self.labels = _check.finite(codes, "codes"), samples.labels_of(labels, len(codes))
        self.n_total = len(codes) if n_total is None else n_total
        self._classes = None if self.labels is None else samples.classes(self.labels)
        self.points, self.explained_variance_ratio = codes, None
        if codes.shape[1] > 2:
            centred = codes - codes.mean(axis=0, dtype=np.float64)
            left, spread, _ = np.linalg.svd(centred, full_matrices=False)
            left, spread = np.pad(left[:, :2], ((0, 0), (0, max(2 - len(spread), 0)))), np.pad(spread, (0, 1))
            self.points = left * spread[:2]
            self.explained_variance_ratio = spread[:2] ** 2 / max(np.sum(spread**2), np.finfo(np.float64).tiny)

    @classmethod
    def from_model(
        cls,
        model: Any,
        x: Any,
        labels: Any = None,
        *,
        max_samples: int = samples.MOST,
        seed: Any = 0,
        ax: Any = None,
        **settings: Any,
    ) -> Self:
        """Draw the codes of samples.

        Parameters
        ----------
        model : Autoencoder
        x : array or CSR (samples, n_in)
            For a conditional model, what its ``join`` gives.
        labels : array (samples,), optional
        max_samples : int
            Of more samples, so many are drawn by the seed, as the caption and the title say.
        seed : int, numpy.random.Generator or None
        ax : Axes, optional
        **settings
            Of :meth:`plot`.
        """
        x = samples.checked(samples.autoencoder(model), x)
        labels, rows = samples.labels_of(labels, x.shape[0]), samples.drawn(x.shape[0], max_samples, seed)
        codes = model.encode(samples.floats(model, x, rows))
        return cls(codes, None if labels is None else labels[rows], x.shape[0]).plot(ax, **settings)

    def plot(self, ax: Any = None, *, cmap: str | None = None, **settings: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        cmap : str, optional
            Default: tab10 or tab20 of classes, viridis of quantities.
        **settings
            Of matplotlib's ``scatter``, or ``hist``. Points are rasterised in vector formats.
        """
        ax = self._begin(ax)
        if self.points.shape[1] == 1 and (self.labels is None or self._classes is not None):
            self._histogram(ax, cmap, settings)
        else:
            self._scatter(ax, cmap, settings)
        part = "" if len(self.points) == self.n_total else f" ({len(self.points):,} of {self.n_total:,} samples)"
        ax.set_title(f"Latent space{part}")
        return self

    def _histogram(self, ax: Any, cmap: str | None, settings: dict[str, Any]) -> None:
        values = self.points[:, 0]
        if self._classes is None:
            ax.hist(values, **{"bins": 50, **settings})
        else:
            parts = [values[self.labels == name] for name in self._classes]
            colours = list(self._colours(cmap))
            ax.hist(parts, **{"bins": 50, "stacked": True, "color": colours, **settings})
            self._legend(ax, colours, marker="s")
        ax.set(xlabel="code", ylabel="samples")

    def _scatter(self, ax: Any, cmap: str | None, settings: dict[str, Any]) -> None:
        settings = {"s": float(np.clip(2e4 / len(self.points), 3, 16)), "linewidths": 0, "rasterized": True, **settings}
        flat = self.points.shape[1] == 1  # a quantity over the code
        x, y = self.points[:, 0], self.labels if flat else self.points[:, 1]
        if self.labels is not None and self._classes is not None:
            colours = self._colours(cmap)
            ax.scatter(x, y, c=colours[np.searchsorted(self._classes, self.labels)], **settings)
            self._legend(ax, colours, marker="o")
        elif self.labels is not None and not flat:
            ax.figure.colorbar(ax.scatter(x, y, c=self.labels, cmap=cmap or "viridis", **settings), ax=ax, label="label")
        else:
            ax.scatter(x, y, **settings)
        first, second = ("code", "label") if flat else ("1st feature of the code", "2nd feature of the code")
        if self.explained_variance_ratio is not None:
            first, second = (
                f"{number} principal component of the code ({part:.0%})"
                for number, part in zip(("1st", "2nd"), self.explained_variance_ratio, strict=True)
            )
        ax.set(xlabel=first, ylabel=second)

    def _legend(self, ax: Any, colours: Any, marker: str) -> None:
        """Marks of each class, under any name: matplotlib's own way leaves out those that begin with an underscore."""
        from matplotlib.lines import Line2D

        assert self._classes is not None
        handles = [Line2D([], [], marker=marker, linestyle="", color=colour) for colour in colours]
        legend(ax, handles=handles, labels=[short(str(name)) for name in self._classes], title="label")

    def _colours(self, cmap: str | None) -> Array:
        """Of each class: (classes, 4)."""
        from matplotlib import colormaps

        assert self._classes is not None
        n = len(self._classes)
        colours = colormaps[cmap or ("tab10" if n <= 10 else "tab20")]
        return np.array([colours(number if colours.N <= 20 else number / max(n - 1, 1)) for number in range(n)])

    @property
    def size(self) -> tuple[float, float]:
        """Nearly a square."""
        return 7.0, 5.6

    @property
    def caption(self) -> str:
        """How many points, and what of the codes they show."""
        drawn = counted(len(self.points), "sample")
        if len(self.points) != self.n_total:
            drawn = f"{len(self.points):,} of {self.n_total:,} samples, drawn at random"
        how, coloured = "", "" if self.labels is None else "; colours are labels"
        if self.explained_variance_ratio is not None:
            how = f", by two principal components, which have {self.explained_variance_ratio.sum():.0%} of the variance"
        return f"Codes of {counted(self.codes.shape[1], 'feature')}, of {drawn}{how}{coloured}."
