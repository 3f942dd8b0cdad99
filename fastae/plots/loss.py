"""Loss curves."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..history import History
from .display import Display, counted


class LossDisplay(Display):
    """Loss over epochs.

    Parameters
    ----------
    loss : sequence of float
        Of each epoch.
    val_loss : sequence of float
        Of validation, or empty.

    Attributes
    ----------
    epochs, loss, val_loss : array (n,)
    best_epoch : int
        Of the lowest validation loss; where there is none, of the lowest loss.

    Examples
    --------
    >>> import fastae
    >>> from matplotlib.figure import Figure
    >>> x, _ = fastae.datasets.load_digits()
    >>> history = fastae.Trainer(fastae.Autoencoder([64, 8], seed=0), fastae.SGD(1.0), seed=0).fit(x, epochs=3)
    >>> fastae.plots.LossDisplay.from_history(history, ax=Figure().subplots()).best_epoch
    3
    """

    def __init__(self, loss: Any, val_loss: Any = ()) -> None:
        self.loss, self.val_loss = (np.asarray(values, np.float64) for values in (loss, val_loss))
        if self.loss.ndim != 1 or not self.loss.size:
            raise ValueError(f"loss takes the losses of one epoch at least, got shape {self.loss.shape}; fit first")
        if self.val_loss.size and self.val_loss.shape != self.loss.shape:
            raise ValueError(f"val_loss takes as many losses as loss, {len(self.loss)}, or none; got {len(self.val_loss)}")
        if not (ok := np.isfinite(self.loss)).all():
            raise ValueError(f"loss has NaN or infinity, the first in epoch {np.argmin(ok) + 1}")
        self.epochs = np.arange(1, len(self.loss) + 1)
        judged = self.val_loss if np.isfinite(self.val_loss).any() else self.loss  # of data all missing, it is NaN
        self.best_epoch = int(self.epochs[np.nanargmin(judged)])

    @classmethod
    def from_history(cls, history: History, *, ax: Any = None, **line: Any) -> Self:
        """Draw what a fit returned: a :class:`fastae.History`; ``line`` are settings of matplotlib's ``plot``."""
        if not isinstance(history, History):
            raise TypeError(f"history takes what Trainer.fit returned, a History; got {type(history).__name__}")
        return cls(history.loss, history.val_loss).plot(ax, **line)

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw; the scale is logarithmic where all losses are above 0."""
        ax = self._begin(ax)
        marker = {"marker": "."} if len(self.epochs) < 3 else {}
        losses = np.concatenate([self.loss, self.val_loss])
        ax.plot(self.epochs, self.loss, **{"label": "training", **marker, **line})
        if self.val_loss.size:
            ax.plot(self.epochs, self.val_loss, **{"label": "validation", **marker, **line})
            ax.legend(frameon=False)
        ax.set(xlabel="epoch", ylabel="loss", title="Loss", yscale="log" if np.nanmin(losses) > 0 else "linear")
        ax.xaxis.get_major_locator().set_params(integer=True)
        return self

    @property
    def caption(self) -> str:
        """First, last and best numbers."""
        text = f"Training loss from {self.loss[0]:.5g} to {self.loss[-1]:.5g} in {counted(len(self.loss), 'epoch')}"
        if self.val_loss.size:
            text += f"; that of validation ends at {self.val_loss[-1]:.5g} and was lowest in epoch {self.best_epoch}"
        return text + "."
