"""Averages of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _check
from .._check import Array
from .callback import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class WeightAverage(Callback):
    """An average of the weights that a fit goes through, which often are better than the last ones.

    With a decay, average := decay average + (1 - decay) w, from the first w on (Polyak and Juditsky 1992; PyTorch's
    ``get_ema_multi_avg_fn``): of n steps, decay^n is still the first weights. Without, the mean of all (Izmailov et al.,
    "Averaging weights leads to wider optima", UAI 2018; ``AveragedModel``). Validation, early stopping and checkpoints judge
    the weights of the steps, not the average.

    Parameters
    ----------
    decay : float, optional
        From 0 to below 1.
    every : int
        Steps from one to the next.
    start : int
        The trainer's steps before the first.
    assign : bool
        At the end of the fit, give the model the average. Not where an exception ended it, and not beside an early stopping
        that gives the best weights.

    Attributes
    ----------
    average : array (P,), or None
        The average; a model takes it by ``model.parameters = average``.
    n : int
        Weights in it.
    """

    def __init__(self, decay: float | None = 0.999, every: int = 1, start: int = 0, assign: bool = True) -> None:
        self.decay = None if decay is None else _check.real_number(decay, "decay", 0, 1, "0 <= decay < 1, or None")
        self.every, self.start = _check.positive_integer(every, "every"), _check.count(start, "start")
        self.assign = bool(assign)
        self.average: Array | None = None
        self.n, self._step = 0, 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Begin a new average."""
        self.average, self.n, self._step = None, 0, 0

    def on_steps(self, trainer: Trainer, rows: int, loss: float) -> None:
        """Add the weights, if it is time."""
        step, weights = trainer.steps, trainer.model.parameters
        if step % self.every or step <= max(self.start, self._step):
            return
        part = weights.dtype.type(1 / (self.n + 1) if self.decay is None else 1 - self.decay)
        average = weights.copy() if self.average is None else self.average + part * (weights - self.average)
        self.average, self.n, self._step = average, self.n + 1, step  # all or, after Ctrl-C, none

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """Give the model the average."""
        if finished and self.assign and self.average is not None:
            trainer.model.parameters = self.average

    def state(self) -> dict[str, Array]:
        """The average and the number of weights in it."""
        return {} if self.average is None else {"average": self.average, "counts": np.array([self.n, self._step])}

    def restore(self, state: dict[str, Array]) -> None:
        """Take what ``state`` gave."""
        if state:
            self.average, (self.n, self._step) = state["average"], map(int, state["counts"])
