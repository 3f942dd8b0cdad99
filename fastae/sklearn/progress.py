"""scikit-learn's callbacks, which it has from 1.9 on: a fit and each of its epochs are tasks that they are told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..callbacks import Callback
from ..trainer import Trainer

try:
    from sklearn import callback
except ImportError:  # before 1.9
    callback = None


class _Unwatched:
    """What an estimator is where nobody can watch it."""


Watched: Any = _Unwatched if callback is None else callback.CallbackSupportMixin  # what an estimator is
watched: Any = (lambda method: method) if callback is None else callback.with_callbacks  # what its fit is

Fitted = Callable[[Trainer], dict[str, Any]]


@contextmanager
def told(estimator: Any, X: Any, y: Any, epochs: int | None = 0, fitted: Fitted | None = None) -> Iterator[list[Callback]]:
    """A fit of an estimator, in a method that is ``watched``; what is given to its trainer tells of epochs.

    Parameters
    ----------
    estimator : Watched
    X, y : what it learns from
    epochs : int or None
        Of the fit; None where their number is not known beforehand.
    fitted : function (trainer) -> dict, optional
        Gives the attributes that the estimator would have if the fit ended now, for callbacks that judge it.
    """
    if callback is None:
        yield []
        return
    fit = estimator._init_callback_context(max_subtasks=epochs)
    task = {"estimator": estimator, "X": X, "y": y}
    fit.call_on_fit_task_begin(**task)
    yield [_Epochs(fit, task, fitted)]
    fit.call_on_fit_task_end(**task, reconstruction_attributes={})


class _Epochs(Callback):
    """Tasks of a fit's task."""

    def __init__(self, fit: Any, task: dict[str, Any], fitted: Fitted | None) -> None:
        self.fit, self.task, self.fitted = fit, task, fitted
        self.epoch: Any = None

    def on_steps(self, trainer: Trainer, rows: int, loss: float) -> None:
        """An epoch begins with its first steps."""
        if self.epoch is None:
            self.epoch = self.fit.subcontext(task_name="epoch").call_on_fit_task_begin(**self.task)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """Any of the callbacks may end the fit."""
        fitted, epoch, self.epoch = self.fitted, self.epoch, None
        attributes = None if fitted is None else lambda: fitted(trainer)
        stop: bool = epoch.call_on_fit_task_end(**self.task, reconstruction_attributes=attributes)
        return stop
