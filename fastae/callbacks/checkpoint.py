"""Checkpoints."""

from __future__ import annotations

import os
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from .. import _check
from .._check import Array
from .callback import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class Checkpoint(Callback):
    """Saves the trainer, from which ``Trainer.resume`` goes on.

    Parameters
    ----------
    path : path
        Replaced each time, once the new file is whole. ``fastae.load`` reads the model in it.
    every : int
        Epochs from one to the next.
    best : path, optional
        Another file, which is written where the loss (that of validation, where there is one) is the best so far.
    """

    last = True  # so that it saves what the others know after this epoch

    def __init__(self, path: str | os.PathLike[str], every: int = 1, best: str | os.PathLike[str] | None = None) -> None:
        if best is not None and os.path.realpath(path) == os.path.realpath(best):
            raise ValueError(f"best takes another file than path, got {best} for both")
        self.path, self.best = path, best
        self.epochs = _check.positive_integer(every, "every")
        self._lowest = inf

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget the fits before, and see that this one can be saved."""
        from ..checkpoint import check

        self._lowest = inf
        for path in (self.path, self.best):
            if path is not None:
                check(trainer, path)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """Save, if it is time."""
        loss = logs.get("val_loss", logs["loss"])
        better = loss < self._lowest
        self._lowest = min(loss, self._lowest)
        if better and self.best is not None:
            trainer.save(self.best)
        if trainer.epochs % self.epochs == 0:
            trainer.save(self.path)
        return None

    def state(self) -> dict[str, Array]:
        """The best loss."""
        return {"lowest": np.array(self._lowest)}

    def restore(self, state: dict[str, Array]) -> None:
        """Take what ``state`` gave."""
        self._lowest = float(state["lowest"])
