"""Numbers of epochs: to a file, to what tracks experiments, to the logger."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from .callback import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

logger = logging.getLogger("fastae")
Metrics = Callable[[dict[str, float], int], Any]


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


class LogTo(Callback):
    """Hands the numbers of each epoch to a function, or to what tracks experiments: TensorBoard, MLflow.

    Parameters
    ----------
    target : function, or object
        Called as ``target(metrics, step)``: metrics has loss, val_loss (where there is validation), seconds and lr, all floats;
        step is the number of the epoch, which goes on from fit to fit of a trainer. Or an object with one of these methods:
        ``add_scalar(tag, value, step)``, as TensorBoard's ``SummaryWriter``; ``log_metrics(metrics, step=step)``, as the module
        ``mlflow``. What it opened, it closes; an exception of its ends the fit.
    prefix : str
        Before each name, as "train/".

    Examples
    --------
    >>> import fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> trainer = fastae.Trainer(fastae.Autoencoder([64, 8], seed=0), fastae.SGD(1.0), seed=0)
    >>> told = []
    >>> watch = fastae.callbacks.LogTo(lambda metrics, step: told.append((step, metrics)))
    >>> history = trainer.fit(x, epochs=2, callbacks=watch)
    >>> [step for step, _ in told], sorted(told[0][1])
    ([1, 2], ['loss', 'lr', 'seconds'])
    """

    def __init__(self, target: Any, prefix: str = "") -> None:
        self._hand = _function(target)
        if not isinstance(prefix, str):
            raise TypeError(f"prefix takes a string, got {prefix!r}")
        self.prefix = prefix

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """Hand over what is known of the epoch."""
        self._hand({self.prefix + name: float(value) for name, value in logs.items() if name != "epoch"}, int(logs["epoch"]))
        return None


def _function(target: Any) -> Metrics:
    """What takes a dictionary and a step."""
    if hasattr(target, "add_scalar"):

        def scalars(metrics: dict[str, float], step: int) -> None:
            for name, value in metrics.items():
                target.add_scalar(name, value, step)

        return scalars
    if hasattr(target, "log_metrics"):
        return lambda metrics, step: target.log_metrics(metrics, step=step)
    if callable(target) and not isinstance(target, type):
        function: Metrics = target
        return function
    raise TypeError(
        "target takes a function of (metrics, step), or an object with add_scalar, as TensorBoard's SummaryWriter, or with "
        f"log_metrics, as the module mlflow; got {target!r}"
    )


class Log(Callback):
    """Lines of the logger "fastae", which every fit has where it is heard: begin and end at INFO, epochs at DEBUG."""

    _start: float | None = None  # of a fit that has begun

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Say what is trained."""
        self._start, self._epochs = time.perf_counter(), trainer.epochs
        n = trainer.samples_to_go
        samples = "" if n is None else f", {n} samples to go"
        logger.info("fit begins: %s, batch size %d%s", type(trainer.model).__name__, trainer.batch_size, samples)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, float]) -> bool | None:
        """Say all of its numbers."""
        if logger.isEnabledFor(logging.DEBUG):
            numbers = ", ".join(f"{name} {value:.6g}" for name, value in logs.items() if name != "epoch")
            logger.debug("epoch %d: %s", logs["epoch"], numbers)
        return None

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """Say how far it came."""
        if self._start is None:  # another callback let it not begin
            return
        history = trainer.history
        losses = {"loss": history.loss, "val_loss": history.val_loss}
        last = "".join(f", {name} {values[-1]:.6g}" for name, values in losses.items() if values)
        seconds, self._start = time.perf_counter() - self._start, None
        what = "ends" if finished else "interrupted"
        logger.info("fit %s: epochs %d, seconds %.3g%s", what, trainer.epochs - self._epochs, seconds, last)
