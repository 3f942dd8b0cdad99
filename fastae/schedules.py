"""Schedules of the learning rate, and of the momentum, as PyTorch defines them; one number for each step."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from . import _check
from ._check import Array

__all__ = ["Cosine", "OneCycle", "Plateau", "Schedule", "Step", "WarmUp"]


class Schedule:
    """What a Trainer asks for its learning rates. Steps are numbered from 0 on, the first of the trainer.

    Where ``per_fit``, they are numbered anew in each fit, whose steps are the total.
    """

    @property
    def per_fit(self) -> bool:
        """Whether its length is that of the fit."""
        return False

    def rates(self, steps: Array, lr: float, momentum: float, total: int | None = None) -> Array:
        """Learning rate and momentum at steps (n,): (n, 2).

        lr and momentum (for Adam beta1) are the optimiser's; total is the number of steps of the fit, where it is known.
        """
        raise NotImplementedError

    def observe(self, loss: float) -> None:
        """Take notice of the loss of an epoch: that of validation, where there is one."""


def _table(n: int, lr: Array | float, momentum: Array | float) -> Array:
    table = np.empty((n, 2))
    table[:, 0], table[:, 1] = lr, momentum
    return table


@dataclass
class Step(Schedule):
    """The rate lr gamma^(step // step_size); ``torch.optim.lr_scheduler.StepLR``.

    Parameters
    ----------
    step_size : int
        Steps, not epochs.
    gamma : float
    """

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _check.positive_integer(self.step_size, "step_size")
        _check.real_number(self.gamma, "gamma", 0, inf, "a finite number >= 0")

    def rates(self, steps: Array, lr: float, momentum: float, total: int | None = None) -> Array:
        """Learning rate and momentum at steps (n,): (n, 2)."""
        return _table(len(steps), lr * self.gamma ** (steps // self.step_size), momentum)


@dataclass
class _Lasting(Schedule):
    """A schedule that comes to an end: after ``total`` steps, or with the fit."""

    total: int | None = None

    def __post_init__(self) -> None:
        if self.total is not None:
            _check.positive_integer(self.total, "total")

    @property
    def per_fit(self) -> bool:
        """Whether its length is that of the fit."""
        return self.total is None

    def _length(self, total: int | None) -> int:
        if self.total is None and total is None:
            raise ValueError(
                f"total of {type(self).__name__} takes a number of steps where the fit's is not known beforehand, as in step, "
                "partial_fit, and a fit on an iterator without steps_per_epoch; got None"
            )
        return int(self.total or total or 1)


@dataclass
class Cosine(_Lasting):
    """The rate minimum + (lr - minimum)(1 + cos(pi step / total)) / 2, then the minimum; ``CosineAnnealingLR``.

    Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.

    Parameters
    ----------
    total : int, optional
        Steps. Default: those of each fit.
    minimum : float
        Learning rate at the end.

    Examples
    --------
    >>> import numpy as np, fastae
    >>> fastae.schedules.Cosine(total=100).rates(np.array([0, 50, 100]), lr=0.1, momentum=0.9)[:, 0].round(3)
    array([0.1 , 0.05, 0.  ])
    """

    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.real_number(self.minimum, "minimum", 0, inf, "a finite number >= 0")

    def rates(self, steps: Array, lr: float, momentum: float, total: int | None = None) -> Array:
        """Learning rate and momentum at steps (n,): (n, 2)."""
        part = np.minimum(steps / self._length(total), 1)
        return _table(len(steps), self.minimum + (lr - self.minimum) * (1 + np.cos(np.pi * part)) / 2, momentum)


@dataclass
class OneCycle(_Lasting):
    """From max_lr / div_factor up to max_lr, then down to max_lr / div_factor / final_div_factor; ``OneCycleLR``.

    The momentum, or beta1, goes from max_momentum down to base_momentum and back. Both along half a cosine in each phase (Smith
    and Topin, "Super-convergence", 2017). The optimiser's own lr does not count.

    Parameters
    ----------
    total : int, optional
        Steps. Default: those of each fit.
    max_lr : float
    pct_start : float
        Part of the steps in which the rate goes up.
    div_factor, final_div_factor : float
    base_momentum, max_momentum : float
    cycle_momentum : bool
        False: the momentum stays as it is. It does so too where the optimiser has none.
    """

    max_lr: float = 0.1
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    base_momentum: float = 0.85
    max_momentum: float = 0.95
    cycle_momentum: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.real_number(self.max_lr, "max_lr", 0, inf, "a finite number >= 0")
        for name in ("pct_start", "base_momentum", "max_momentum"):
            _check.real_number(getattr(self, name), name, 0, 1, f"0 <= {name} < 1")
        for name in ("div_factor", "final_div_factor"):
            if _check.real_number(getattr(self, name), name, 0, inf, "a number above 0") == 0:
                raise ValueError(f"{name} takes a number above 0, got 0")

    def rates(self, steps: Array, lr: float, momentum: float, total: int | None = None) -> Array:
        """Learning rate and momentum at steps (n,): (n, 2)."""
        last = self._length(total) - 1.0
        top = max(self.pct_start * (last + 1) - 1, 0.0)  # the step of the highest rate
        up = np.minimum(steps, top) / top if top else np.ones(len(steps))
        down = np.clip((steps - top) / max(last - top, 1e-9), 0, 1)
        first = self.max_lr / self.div_factor

        def cycle(low: float, high: float, end: float) -> Array:
            half = [(1 + np.cos(np.pi * part)) / 2 for part in (up, down)]
            return np.where(steps < top, high + (low - high) * half[0], end + (high - end) * half[1])

        rate = cycle(first, self.max_lr, first / self.final_div_factor)
        if not self.cycle_momentum:
            return _table(len(steps), rate, momentum)
        return _table(len(steps), rate, cycle(self.max_momentum, self.base_momentum, self.max_momentum))


@dataclass
class WarmUp(Schedule):
    """From start lr in even steps to lr; then another schedule, which counts its steps from there on.

    ``LinearLR`` before another one in ``SequentialLR``.

    Parameters
    ----------
    steps : int
    then : Schedule, optional
        Default: lr stays.
    start : float
        Factor of lr at the first step.
    """

    steps: int
    then: Schedule | None = None
    start: float = 1 / 3

    def __post_init__(self) -> None:
        _check.positive_integer(self.steps, "steps")
        _check.real_number(self.start, "start", 0, inf, "a finite number >= 0")
        if self.then is not None and not isinstance(self.then, Schedule):
            raise TypeError(f"then takes a schedule, got {type(self.then).__name__}")

    @property
    def per_fit(self) -> bool:
        """Whether the length of what follows is that of the fit."""
        return self.then is not None and self.then.per_fit

    def rates(self, steps: Array, lr: float, momentum: float, total: int | None = None) -> Array:
        """Learning rate and momentum at steps (n,): (n, 2)."""
        factor = self.start + (1 - self.start) * np.minimum(steps / self.steps, 1)
        table = _table(len(steps), lr * factor, momentum)
        if self.then is not None:
            left = None if total is None else max(total - self.steps, 1)
            after = self.then.rates(np.maximum(steps - self.steps, 0), lr, momentum, left)
            table = np.where((steps >= self.steps)[:, None], after, table)
        return table

    def observe(self, loss: float) -> None:
        """Hand the loss of an epoch on."""
        if self.then is not None:
            self.then.observe(loss)


@dataclass
class Plateau(Schedule):
    """Lower the learning rate after more than ``patience`` epochs without a better loss; ``ReduceLROnPlateau``.

    The loss is that of validation, where a fit has one. Better is what is below the best one times 1 - threshold.

    Parameters
    ----------
    factor : float
        What the rate is multiplied by.
    patience : int
        Epochs.
    threshold : float
    cooldown : int
        Epochs after a reduction that do not count.
    minimum : float
        Lowest learning rate.
    reductions, best, bad, cooling
        Its state, which a checkpoint keeps: how often the rate was reduced, the best loss, epochs since, and of cooldown left.
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    minimum: float = 0.0
    reductions: int = 0
    best: float = inf
    bad: int = 0
    cooling: int = 0

    def __post_init__(self) -> None:
        _check.real_number(self.factor, "factor", 0, 1, "0 <= factor < 1")
        for name in ("threshold", "minimum"):
            _check.real_number(getattr(self, name), name, 0, inf, "a finite number >= 0")
        for name in ("patience", "cooldown"):
            _check.count(getattr(self, name), name)

    def rates(self, steps: Array, lr: float, momentum: float, total: int | None = None) -> Array:
        """Learning rate and momentum at steps (n,): (n, 2)."""
        rate = max(lr * self.factor**self.reductions, self.minimum) if self.reductions else lr
        return _table(len(steps), rate, momentum)

    def observe(self, loss: float) -> None:
        """Count an epoch, and reduce the rate where it is time."""
        better = loss < self.best * (1 - self.threshold)
        self.best, self.bad = (loss, 0) if better else (self.best, self.bad + 1)
        if self.cooling:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad > self.patience:
            self.reductions, self.cooling, self.bad = self.reductions + 1, self.cooldown, 0
