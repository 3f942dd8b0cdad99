"""Which learning rate to begin with."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np

from . import _check
from ._check import Array
from .history import DivergenceError
from .trainer import Trainer, alone


class LearningRates(NamedTuple):
    """Rates tried, the smoothed loss at each, and a rate to begin with."""

    rates: Array
    losses: Array
    suggestion: float


_KEPT = 0.9  # of the running mean of losses, at each step
_TOO_MUCH = 4.0  # times the lowest loss, where the search ends


def find_learning_rate(
    trainer: Trainer, x: Any, low: float = 1e-6, high: float = 10.0, steps: int = 100, *, target: Any = None
) -> LearningRates:
    """Losses while the learning rate grows from low to high by one factor a step; trainer and model stay as they are.

    Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3. The losses are a running mean, as a
    batch's own is noisy. The search ends early where the loss is four times the lowest, or diverges. The trainer's schedule
    is left aside.

    Parameters
    ----------
    trainer : Trainer
        Whose optimiser, loss, batch size and clipping count.
    x : array or CSR (samples, n_in)
        Gone through in shuffled batches, as often as it takes.
    low, high : float
    steps : int
    target : array or CSR (samples, n_out), optional
        Default: x.

    Returns
    -------
    LearningRates
        suggestion: a tenth of the rate with the lowest loss, where the loss still falls.

    Raises
    ------
    TypeError, ValueError
        Arguments or data that are wrong.
    RuntimeError
        The trainer is at work in another thread.
    DivergenceError
        The loss is not finite from the lowest rate on.

    Examples
    --------
    >>> import fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> trainer = fastae.Trainer(fastae.Autoencoder([64, 8], seed=0), fastae.Adam(), batch_size=64, seed=0)
    >>> found = fastae.find_learning_rate(trainer, x)
    >>> 1e-4 < found.suggestion < 1
    True
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(f"trainer takes a Trainer, got {type(trainer).__name__}")
    low = _check.real_number(low, "low", 0, inf, "a finite number above 0")
    high = _check.real_number(high, "high", 0, inf, "a finite number above low")
    if not 0 < low < high:
        raise ValueError(f"low and high take numbers 0 < low < high, got {low} and {high}")
    if _check.positive_integer(steps, "steps") < 2:
        raise ValueError(f"steps takes at least 2, got {steps}")
    return _search(trainer, x, target, low, high, steps)


@alone
def _search(trainer: Trainer, x: Any, target: Any, low: float, high: float, steps: int) -> LearningRates:
    samples = trainer._door.data(x, target, None)
    trainer._door.look(samples.x, samples.target)
    before, rates, losses, mean = trainer._state(), np.geomspace(low, high, steps), list[float](), 0.0
    size = min(trainer.batch_size * trainer.accumulate, samples.n)
    batches, rows = samples.n // size, np.empty(size, np.int64)
    plan = trainer._ready()
    kind, _, *others = trainer.optimizer.hyperparameters()
    try:
        for number, rate in enumerate(rates):
            epoch, batch = divmod(number, batches)
            trainer._kernels.shuffled(trainer._key, epoch, samples.n, batch * size, rows)
            rule, step = (kind, float(rate), *others), trainer.steps + number
            taken, total = plan.run(samples.x, samples.target, rows, 0, size, rule, None, 0.0, step)
            if taken < size:
                break
            mean = _KEPT * mean + (1 - _KEPT) * total / size
            losses.append(mean / (1 - _KEPT ** (number + 1)))
            if losses[-1] > _TOO_MUCH * min(losses):
                break
    finally:
        trainer._restore(before)
    if len(losses) < 2:
        raise DivergenceError(trainer.steps)
    return LearningRates(rates[: len(losses)], np.array(losses), max(float(rates[int(np.argmin(losses))]) / 10, low))
