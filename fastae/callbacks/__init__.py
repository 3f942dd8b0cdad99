"""What a fit calls between steps and after epochs: progress, logs, checkpoints, early stopping, averages of weights."""

from __future__ import annotations

import logging
from typing import Any

from .. import _check
from .average import WeightAverage
from .callback import Callback
from .checkpoint import Checkpoint
from .logs import CSVLog, Log, LogTo, logger
from .progress import ProgressBar
from .stopping import EarlyStopping

__all__ = ["CSVLog", "Callback", "Checkpoint", "EarlyStopping", "LogTo", "ProgressBar", "WeightAverage"]


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
        _check.count(callback.every, f"every of {type(callback).__name__}")
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
    if logger.isEnabledFor(logging.INFO):  # else a fit of many short epochs pays nothing
        watch.append(Log())
    return sorted(watch, key=lambda callback: callback.last)
