"""Training: batches of samples, steps of an optimiser."""

from __future__ import annotations

import math
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _check
from ._check import Array
from ._kernels.recipe import Recipe
from .functions import Own, resolve
from .layers import BLOCK, Network, generator
from .optim import Optimizer
from .settings import check_threads, kernels

_TARGETS = {"bce": (0, 1), "bce_with_logits": (0, 1), "poisson": (0, math.inf)}  # what these losses take
_CALL_SECONDS = 0.04  # of a call into the kernels, after which Python looks for Ctrl-C and moves the progress bar


class DivergenceError(ArithmeticError):
    """The next step's loss, gradient or weights would not be finite. It was not taken: the weights are those before it.

    Attributes
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

    Attributes
    ----------
    loss : list of float
        Mean over each epoch's samples of the loss that their batch had before its step.
    val_loss : list of float
        Loss on the validation data after each epoch; empty without them.
    seconds : list of float
        Time of each epoch, validation apart.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Trainer:
    """Trains a model by gradient descent.

    Parameters
    ----------
    model : Autoencoder or Sequential
    optimizer : SGD, Adam, AdamW or RMSprop
    loss : {"half_squared", "mse", "bce", "bce_with_logits", "mae", "huber", "poisson"} or what :func:`fastae.loss` makes
        half_squared is half the sum over features, averaged over samples; the others are means over all elements, as in
        PyTorch: squared error; cross-entropy of outputs that are probabilities, or logits; absolute error; Huber's with delta
        1; exp(y) - t y of outputs that are logarithms of rates, for counts.
    batch_size : int
        At most the number of samples that ``fit`` is given.
    seed : int, numpy.random.Generator or None
        Of the order of samples.
    n_threads : int, optional
        Default: :func:`fastae.get_num_threads`. Results do not depend on it.
    backend : str, optional
        Which trains, for this trainer alone. Default: the model's.

    Examples
    --------
    >>> import fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> model = fastae.Autoencoder([64, 32, 8], seed=0)
    >>> trainer = fastae.Trainer(model, fastae.SGD(lr=1.0, momentum=0.9), loss="mse", batch_size=32, seed=0)
    >>> history = trainer.fit(x, epochs=2)
    >>> history.loss[1] < history.loss[0]
    True
    """

    def __init__(
        self,
        model: Network,
        optimizer: Optimizer,
        loss: str | Own | None = None,
        batch_size: int = 128,
        seed: Any = None,
        n_threads: int | None = None,
        backend: str | None = None,
    ) -> None:
        if not isinstance(model, Network):
            raise TypeError(f"model takes an Autoencoder or a Sequential, got {type(model).__name__}")
        self.model, self.optimizer = model, optimizer
        self.backend = model.layers[0].backend if backend is None else backend
        loss = model.default_loss if loss is None else loss
        self._resolve(loss)
        activation = model.layers[-1].activation
        if loss == "bce" and activation != "sigmoid":
            raise ValueError(
                f"loss 'bce' takes outputs from 0 to 1, of a sigmoid; the last layer has {activation!r}. Take 'bce_with_logits'"
            )
        if loss == "bce_with_logits" and activation != "identity":
            raise ValueError(
                f"loss 'bce_with_logits' takes logits, of the identity; the last layer has {activation!r}. Take 'bce'"
            )
        if loss == "poisson" and activation != "identity":
            raise ValueError(f"loss 'poisson' takes logarithms of rates, of the identity; the last layer has {activation!r}")
        self.batch_size = _check.positive_integer(batch_size, "batch_size")
        self.n_threads = n_threads
        check_threads(n_threads)
        self.steps = 0
        self.epochs = 0
        self._key = int(generator(seed).integers(2**63))
        self._velocity: Array | None = None
        self._square: Array | None = None
        self._plan: Any = None
        self._steps = 1  # of one call
        self._parameters: Array | None = None

    @property
    def loss(self) -> str:
        """Its name; another one takes another trainer."""
        return self._loss_name

    @property
    def optimizer(self) -> Optimizer:
        """May be changed between calls; its state stays."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer takes an SGD, Adam, AdamW or RMSprop, got {type(optimizer).__name__}")
        self._optimizer = optimizer

    def __getstate__(self) -> dict[str, Any]:
        # A plan is made anew where it is needed; a function of one's own is looked for by its name.
        return {**self.__dict__, "_plan": None, "_parameters": None, "_kernels": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._resolve(self._own_loss or self.loss)

    def _resolve(self, loss: str | Own) -> None:
        """The backend, and what it must know of functions of one's own."""
        self._kernels: Any = kernels(self.backend)
        self._loss_name, self._loss, self._own_loss = resolve("loss", loss, "loss")
        for function in (self._own_loss, *(layer.own_activation for layer in self.model.layers)):
            if function is not None:
                function.give(self._kernels, self.model.dtype)

    def step(self, x: Any, target: Any = None) -> float:
        """One step on one batch.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        target : array (samples, n_out), optional
            Default: x.

        Returns
        -------
        float
            Loss of the batch before the step.
        """
        x, target = self._data(x, target)
        if self._loss_name in _TARGETS:
            self._check_values(x, target, "x", "target")
        plan = self._planned(max(len(x), self.batch_size))
        rule = self._optimizer.hyperparameters()
        done, total = plan.run(x, target, None, 0, len(x), rule, self.model.gradients, 0.0, self.steps)
        if done < len(x):
            self._check_values(x, target, "x", "target")
            raise DivergenceError(self.steps)
        self.steps += 1
        return float(total) / len(x)

    def fit(
        self,
        x: Any,
        target: Any = None,
        epochs: int = 10,
        validation_data: Any = None,
        shuffle: bool = True,
        progress: bool = False,
    ) -> History:
        """Train for some epochs; more calls continue.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
            May be memory-mapped; only the batch is copied. A last, smaller batch is averaged over its own size.
        target : array (samples, n_out), optional
            Default: x.
        epochs : int
        validation_data : array, or pair of arrays (x, target), optional
        shuffle : bool
            A new order of samples in each epoch, from the seed and the number of the epoch.
        progress : bool
            Show a progress bar with loss and samples/s on stderr, if that is a terminal.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            Data of a wrong type, shape or value. The weights are then what they were before.
        RuntimeError
            This trainer is at work in another thread.
        DivergenceError
            At the step that would not be finite, which is not taken.
        """
        x, target = self._data(x, target)
        epochs = _check.positive_integer(epochs, "epochs")
        if self.batch_size > len(x):
            raise ValueError(f"batch_size takes at most the number of samples, {len(x)}; got {self.batch_size}")
        if self._loss_name in _TARGETS:
            self._check_values(x, target, "x", "target")
        validation = self._validation(validation_data)
        plan = self._planned(self.batch_size)
        history = History()
        before = self._state()
        with _bar(epochs * len(x), progress) as bar:
            for _ in range(epochs):
                start = time.perf_counter()
                diverged = None
                try:
                    history.loss.append(self._epoch(plan, x, target, shuffle, bar))
                except DivergenceError as error:
                    diverged = error
                if diverged:  # NaN in the data is not looked for beforehand: it makes a step of the first epoch not finite
                    after = self._state()
                    self._restore(before)
                    self._check_values(x, target, "x", "target")
                    self._restore(after)
                    raise diverged
                history.seconds.append(time.perf_counter() - start)
                if validation is not None:
                    history.val_loss.append(self._evaluate(*validation))
        return history

    def _state(self) -> tuple[list[Array | None], int, int]:
        arrays = (self.model.parameters, self._velocity, self._square)
        return [None if a is None else a.copy() for a in arrays], self.steps, self.epochs

    def _restore(self, state: tuple[list[Array | None], int, int]) -> None:
        before, self.steps, self.epochs = state
        for array, old in zip((self.model.parameters, self._velocity, self._square), before, strict=True):
            if array is not None:
                array[...] = 0 if old is None else old

    def evaluate(self, x: Any, target: Any = None) -> float:
        """Loss on data, nothing learnt: x (samples, n_in), target (samples, n_out), by default x."""
        x, target = self._data(x, target)
        self._check_values(x, target, "x", "target")
        return self._evaluate(x, target)

    def _epoch(self, plan: Any, x: Array, target: Array, shuffle: bool, bar: Any) -> float:
        total, done, n = 0.0, 0, len(x)
        rule = self._optimizer.hyperparameters()
        while done < n:
            asked = min(self._steps * self.batch_size, n - done)
            rows, first = None, done
            if shuffle:  # by a function of seed and epoch, a part at a time, so that memory does not grow with the data
                rows = np.empty(asked, np.int64)
                self._kernels.shuffled(self._key, self.epochs, n, done, rows)
                first = 0
            start = time.perf_counter()
            try:
                taken, total = plan.run(x, target, rows, first, first + asked, rule, None, total, self.steps)
            except KeyboardInterrupt:  # which Python raises as the call returns, when all its steps are taken
                self.steps += -(-plan.done // self.batch_size)
                self.epochs += done + plan.done == n
                plan.done = 0
                raise
            self.steps += -(-taken // self.batch_size)  # up to the next call, no Ctrl-C comes between these lines
            done += taken
            self.epochs += done == n
            plan.done = 0
            seconds = time.perf_counter() - start
            if taken < asked:
                raise DivergenceError(self.steps)
            bar.set_postfix_str(f"loss {total / done:.5f}", refresh=False)
            bar.update(taken)
            if seconds < _CALL_SECONDS / 2 and asked == self._steps * self.batch_size:
                self._steps *= 2
            elif seconds > _CALL_SECONDS:
                self._steps = max(self._steps // 2, 1)
        return total / n

    def _evaluate(self, x: Array, target: Array) -> float:
        total = 0.0
        for start in range(0, len(x), BLOCK):
            block, goal = x[start : start + BLOCK], target[start : start + BLOCK]
            total += float(np.sum(self.model.losses(block, goal, self._loss, self.n_threads)))
        return total / len(x)

    def _planned(self, batch_size: int) -> Any:
        """The plan for a batch size, made anew for another one, or where the optimiser first needs an array of its own."""
        model, optimizer = self.model, self._optimizer
        if self._velocity is None and optimizer.keeps_velocity:
            self._velocity, self._plan = np.zeros_like(model.parameters), None
        if self._square is None and optimizer.kind != "sgd":
            self._square, self._plan = np.zeros_like(model.parameters), None
        moved = self._parameters is not model.parameters  # the model became part of another
        if self._plan is None or self._plan.batch_size != batch_size or moved:
            self._parameters = model.parameters
            self._plan = self._kernels.Plan(
                model.shapes(),
                model.parameters,
                self._velocity,
                batch_size,
                self._loss,
                1,
                self._square,
                model.recipe(),
            )
        self._plan.n_threads = check_threads(self.n_threads)
        return self._plan

    def _data(self, x: Any, target: Any, x_name: str = "x", target_name: str = "target") -> tuple[Array, Array]:
        checked = _check.samples(x, x_name, self.model.n_in)
        if target is None or target is x:
            if self.model.n_in - (self.model.recipe() or Recipe()).condition != self.model.n_out:
                raise ValueError(
                    f"{target_name} is needed: the model takes {self.model.n_in} features and gives {self.model.n_out}"
                )
            return checked, checked
        goal = _check.samples(target, target_name, self.model.n_out)
        if len(goal) != len(checked):
            raise ValueError(f"{target_name} takes as many samples as {x_name}, {len(checked)}; got {len(goal)}")
        return checked, goal

    def _check_values(self, x: Array, target: Array, x_name: str, target_name: str) -> None:
        missing = (self.model.recipe() or Recipe()).missing
        _check.finite(x, x_name, self.model.dtype, missing=missing)
        if target is not x:
            _check.finite(target, target_name, self.model.dtype, missing=missing)
        if self._loss_name in _TARGETS:
            _check.between(
                target[:, : self.model.n_out], *_TARGETS[self.loss], x_name if target is x else target_name, self.loss
            )

    def _validation(self, data: Any) -> tuple[Array, Array] | None:
        if data is None:
            return None
        pair = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        x, target = self._data(pair[0], pair[1], "validation_data", "the target of validation_data")
        self._check_values(x, target, "validation_data", "the target of validation_data")
        return x, target


class _NoBar(AbstractContextManager["_NoBar"]):
    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int) -> None:
        pass

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        pass


def _bar(total: int, shown: bool) -> Any:
    """A tqdm bar over samples, where it is wanted and stderr is a terminal. Even one that is disabled would start a thread."""
    if not (shown and sys.stderr and sys.stderr.isatty()):
        return _NoBar()
    from tqdm import tqdm

    return tqdm(total=total, unit=" samples", unit_scale=True, leave=True)
