"""What a fit calls between steps and after epochs: progress, logs, checkpoints, early stopping, averages of weights."""

from __future__ import annotations

import csv
import os
import sys
from math import inf
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from . import _check
from ._check import Array

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Does nothing; override what you need.

    Attributes
    ----------
    every : int
        Steps after which ``on_steps`` must be called, for which runs of the kernels are cut; 0: whenever these come back.
    within : bool
        Call ``on_steps`` in the midst of their runs, too, every 0.04 s, when trainer and model still are as before them.
    last : bool
        Called after the callbacks that are not.
    """

    every = 0
    within = False
    last = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first step."""

    def on_steps(self, trainer: Trainer, rows: int, loss: float) -> None:
        """After some steps, on so many rows; loss is the mean of the epoch so far.

        Where a fit resumes in the midst of an epoch, once more on no rows: an interrupt may have come before the last call.
        """

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """After an epoch and its validation. True ends the fit.

        logs: epoch, loss, val_loss (where there is validation), seconds, lr (of the last step).
        """
        return None

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """At the end of a fit; finished is False where an exception ended it, as by Ctrl-C."""

    def state(self) -> dict[str, Array]:
        """What a checkpoint must hold so that a fit that resumes goes on as if it had not stopped."""
        return {}

    def restore(self, state: dict[str, Array]) -> None:
        """Take what ``state`` gave; after ``on_fit_begin``."""


class ProgressBar(Callback):
    """A bar of samples, samples/s and loss on stderr, if that is a terminal: ``fit(..., progress=True)``."""

    within = True

    def __init__(self) -> None:
        self._bar: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Show the bar; even one that tqdm disables would start a thread."""
        if sys.stderr and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=trainer.samples_to_go, unit=" samples", unit_scale=True, leave=True)

    def on_steps(self, trainer: Trainer, rows: int, loss: float) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.5f}", refresh=False)
            self._bar.update(rows)

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class CSVLog(Callback):
    """A line of a file for each epoch: epoch, loss, val_loss, seconds, lr.

    Parameters
    ----------
    path : path
        Replaced by a new fit; one that resumes adds to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Open the file; of a fit that resumes, behind the lines of the epochs that it has done."""
        done = len(trainer.history.loss)
        mode = "r+" if done and os.path.exists(self.path) else "w"
        self._file = open(self.path, mode, newline="")  # noqa: SIM115 (closed at the end)
        for _ in range(done + 1 if mode == "r+" else 0):
            self._file.readline()
        self._file.seek(self._file.tell())
        self._file.truncate()

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """Write a line, at once."""
        assert self._file is not None
        writer = csv.DictWriter(self._file, ("epoch", "loss", "val_loss", "seconds", "lr"))
        if self._file.tell() == 0:
            writer.writeheader()
        writer.writerow(logs)
        self._file.flush()
        return None

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


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
        from .checkpoint import check

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


def watching(callbacks: Any, progress: bool, patience: Any) -> list[Callback]:
    """The callbacks of a fit, in the order of their calls."""
    if isinstance(callbacks, Callback):
        callbacks = (callbacks,)
    try:
        watch = list(callbacks)
    except TypeError as error:
        raise TypeError(f"callbacks takes a list of callbacks, got {type(callbacks).__name__}") from error
    for callback in watch:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks takes objects of fastae.callbacks.Callback, got {callback!r}")
    if patience is not None:
        watch.append(EarlyStopping(_check.positive_integer(patience, "early_stopping")))
    if any(isinstance(a, WeightAverage) and a.assign for a in watch) and any(
        isinstance(a, EarlyStopping) and a.restore_best for a in watch
    ):
        raise ValueError(
            "callbacks takes either a WeightAverage that gives the model its average, or early stopping that gives it the best "
            "weights; got both. Take WeightAverage(assign=False), or EarlyStopping(restore_best=False)"
        )
    if progress:
        watch.append(ProgressBar())
    return sorted(watch, key=lambda callback: callback.last)
