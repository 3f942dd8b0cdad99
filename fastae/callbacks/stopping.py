"""Early stopping."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from .. import _check
from .._check import Array
from .callback import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class EarlyStopping(Callback):
    """Ends a fit after ``patience`` epochs in a row without a better loss: that of validation, where there is one.

    Prechelt, "Early stopping - but when?", 1998.

    Parameters
    ----------
    patience : int
    min_delta : float
        By how much a loss must be below the best one to be better.
    restore_best : bool
        At the end of a fit, stopped or not, give the model the weights of the best epoch. Not where an exception ended it. The
        optimiser's state stays that of the last step.

    Attributes
    ----------
    best, best_epoch
        The best loss, and the trainer's number of epochs then.

    Examples
    --------
    >>> import fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> trainer = fastae.Trainer(fastae.Autoencoder([64, 8], seed=0), fastae.SGD(lr=0.0), batch_size=64, seed=0)
    >>> history = trainer.fit(x, epochs=100, callbacks=fastae.callbacks.EarlyStopping(patience=3))
    >>> len(history.loss)  # a learning rate of 0: no epoch is better than the first
    4
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.patience = _check.positive_integer(patience, "patience")
        self.min_delta = _check.real_number(min_delta, "min_delta", 0, inf, "a finite number >= 0")
        self.restore_best = bool(restore_best)
        self.best, self.best_epoch, self._waited = inf, 0, 0
        self._weights: Array | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget the fits before."""
        self.best, self.best_epoch, self._waited, self._weights = inf, 0, 0, None

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """Keep the weights if they are the best, else count."""
        loss = logs.get("val_loss", logs["loss"])
        if loss < self.best - self.min_delta:
            self.best, self.best_epoch, self._waited = loss, trainer.epochs, 0
            if self.restore_best:
                self._weights = trainer.model.parameters.copy()
            return None
        self._waited += 1
        return self._waited >= self.patience

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """Give the best weights back."""
        if finished and self._weights is not None:
            trainer.model.parameters = self._weights

    def state(self) -> dict[str, Array]:
        """The best loss and its weights, and epochs since."""
        numbers = {"numbers": np.array([self.best, self.best_epoch, self._waited])}
        return numbers if self._weights is None else {**numbers, "weights": self._weights}

    def restore(self, state: dict[str, Array]) -> None:
        """Take what ``state`` gave."""
        self.best, self.best_epoch, self._waited = float(state["numbers"][0]), *map(int, state["numbers"][1:])
        self._weights = state.get("weights")
