"""What a fit calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._check import Array

if TYPE_CHECKING:
    from ..trainer import Trainer


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
