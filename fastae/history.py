"""What a fit leaves behind: a history, or the error of one that diverged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class DivergenceError(ArithmeticError):
    """The next step's loss, gradient or weights would not be finite. It was not taken: the weights are those before it.

    Parameters
    ----------
    step : int
        Steps that this trainer had taken before.
    """

    def __init__(self, step: int) -> None:
        super().__init__(
            f"training diverged at step {step}: the loss, a gradient or a weight would not be finite. The weights are those "
            "before that step; lower the learning rate, or scale the data"
        )
        self.step = step

    def __reduce__(self) -> Any:
        return DivergenceError, (self.step,)


@dataclass
class History:
    """What a fit recorded.

    Parameters
    ----------
    loss : list of float
        Mean over each epoch's samples of the loss that their batch had before its step, penalties included.
    val_loss : list of float
        Loss on the validation data after each epoch; empty without them.
    seconds : list of float
        Time of each epoch, validation apart.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
