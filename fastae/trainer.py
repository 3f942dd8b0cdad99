"""Training: batches of samples, steps of an optimiser."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable
from functools import wraps
from math import inf
from operator import attrgetter
from typing import Any, TypeVar, cast

from . import _check, data
from ._check import Array
from .callbacks import Callback, watching
from .data import Data, Door
from .functions import Own, resolve
from .history import DivergenceError, History
from .layers import Network, generator
from .loop import Loop
from .optim import Optimizer
from .schedules import Schedule
from .settings import check_threads, kernels
from .streams import Piece, Stream, as_they_are, is_stream

Call = TypeVar("Call", bound=Callable[..., Any])


def alone(call: Call) -> Call:
    """A function of a trainer that is refused while another such one is at work, in another thread or around this one."""

    @wraps(call)
    def run(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        if trainer.at_work:
            raise RuntimeError(_AT_WORK)
        trainer.at_work = True
        try:
            return call(trainer, *args, **kwargs)
        finally:
            trainer.at_work = False

    return cast(Call, run)


_AT_WORK = (
    "this trainer is at work, in another thread or in the fit that called this; each thread needs a trainer and a model of "
    "its own, and a callback may not train"
)


def _setting(name: str, check: Callable[[Any, Any], Any]) -> Any:
    """An attribute that is checked when it is set, and counts from the next step on."""

    def give(trainer: Any, value: Any) -> None:
        checked = check(trainer, value)
        if trainer.at_work:
            raise RuntimeError(f"{name} takes a value between fits and steps; {_AT_WORK}")
        setattr(trainer, f"_{name}", checked)
        trainer._plan = None

    return property(attrgetter(f"_{name}"), give, doc=f"The argument ``{name}``; may be changed between fits and steps.")


class Trainer(Loop):
    """Trains a model by gradient descent.

    Parameters
    ----------
    model : Autoencoder or Sequential
    optimizer : SGD, Adam, AdamW or RMSprop
    loss : str, or what :func:`fastae.loss` makes
        half_squared is half the sum over features, averaged over samples. Means over all elements, as in PyTorch: mse, squared
        error; bce and bce_with_logits, cross-entropy of outputs that are probabilities, or logits, which ``reconstruct`` then
        gives; mae, absolute error; huber, Huber's with delta 1; poisson, exp(y) - t y of outputs that are logarithms of rates,
        for counts. Of whole samples, averaged over them: multinomial, minus the sum of t log softmax(y), for counts; cosine, 1
        minus the cosine of y and t. Default: the model's.
    batch_size : int
        At most the number of samples that ``fit`` is given.
    seed : int, numpy.random.Generator or None
        Of the order of samples, of noise and dropout.
    n_threads : int, optional
        Default: :func:`fastae.get_num_threads`. Results do not depend on it.
    backend : str, optional
        Which trains, for this trainer alone. Default: the model's.
    schedule : Schedule, optional
        Of the learning rate; see :mod:`fastae.schedules`.
    clip_norm : float, optional
        The whole gradient is multiplied by min(1, clip_norm / (norm + 1e-6)), as by ``torch.nn.utils.clip_grad_norm_``.
    clip_value : float, optional
        Then each of its elements is put between -clip_value and clip_value.
    accumulate : int
        Batches of a step, whose gradient is that of them all as one batch.
    feature_weight : array (n_out,), optional
        Multiplies what each feature adds to the training loss; that of ``evaluate`` and of validation is without it.

    Attributes
    ----------
    steps, epochs : int
        Taken so far.
    position : int
        Samples done in an epoch that was interrupted, else 0.
    history : History
        Of the last fit.
    samples_to_go : int, or None
        Samples that the fit that begins will take, where that is known.

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
        *,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        feature_weight: Any = None,
    ) -> None:
        if not isinstance(model, Network):
            raise TypeError(f"model takes an Autoencoder or a Sequential, got {type(model).__name__}")
        self._model, self.optimizer, self.schedule = model, optimizer, schedule
        self._backend = model.layers[0].backend if backend is None else backend
        self._resolve(model.default_loss if loss is None else loss)
        self.batch_size, self.accumulate, self.feature_weight = batch_size, accumulate, feature_weight
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.n_threads = n_threads
        check_threads(n_threads)
        self.history = History()
        self.steps = self.epochs = self.position = 0
        self.samples_to_go: int | None = None
        self._total = 0.0  # of the epoch's loss times samples, at this position
        self._ended = False  # the epoch is, but for validation and callbacks
        self._stopped = False  # the fit, by a callback
        self._begun = (0, 0)  # steps and epochs before the fit
        self._fit_steps: int | None = None  # in the fit, where that is known
        self._watch: list[Callback] = []  # of the last fit
        self._states: list[tuple[str, dict[str, Array]]] = []  # of callbacks, from a file
        self._key = int(generator(seed).integers(2**63))
        self._velocity: Array | None = None
        self._square: Array | None = None
        self._plan = None
        self._changes = model.changes  # that the plan knows of
        self._steps = 1  # of one call
        self._parameters: Array | None = None
        self._factor: Callable[[Array], Array] | None = getattr(model, "penalty_factor", None)
        self._door = Door(model, self.loss, self._own_recipe())

    at_work = False  # in a fit or step; whatever changes its state waits
    model = property(attrgetter("_model"), doc="What is trained; another model takes another trainer.")
    backend = property(attrgetter("_backend"), doc="Name of the backend that trains.")
    batch_size = _setting("batch_size", lambda _, value: _check.positive_integer(value, "batch_size"))
    accumulate = _setting("accumulate", lambda _, value: _check.positive_integer(value, "accumulate"))
    clip_norm = _setting("clip_norm", lambda _, value: _bound(value, "clip_norm"))
    clip_value = _setting("clip_value", lambda _, value: _bound(value, "clip_value"))
    feature_weight = _setting("feature_weight", lambda trainer, value: _weights(value, trainer.model))

    @property
    def loss(self) -> str:
        """Its name."""
        return self._loss_name

    @property
    def schedule(self) -> Schedule | None:
        """A copy of what was given, which may learn of the training, as Plateau does. May be changed between calls."""
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: Schedule | None) -> None:
        if schedule is not None and not isinstance(schedule, Schedule):
            raise TypeError(f"schedule takes one of fastae.schedules, got {type(schedule).__name__}")
        self._schedule = copy.deepcopy(schedule)

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
        own = {"_plan": None, "_parameters": None, "_kernels": None, "_watch": [], "_states": self.callback_states()}
        return {**self.__dict__, **own, "at_work": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._resolve(self._own_loss or self.loss)

    def _resolve(self, loss: str | Own) -> None:
        """The backend, and what it and the model's must know of functions of one's own."""
        self._kernels = kernels(self.backend)
        self._loss_name, self._loss, self._own_loss = resolve("loss", loss, "loss")
        if self._own_loss is not None:  # validation is by the model's backend
            self._own_loss.give(self.model.layers[0].kernels, self.model.dtype)
        for function in (self._own_loss, *(layer.own_activation for layer in self.model.layers)):
            if function is not None:
                function.give(self._kernels, self.model.dtype)

    # ---- steps, fits, losses

    def step(self, x: Any, target: Any = None, sample_weight: Any = None) -> float:
        """One step on one batch.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1), or scipy's CSR of float32 or float64
        target : array or CSR (samples, n_out), optional
            Default: x.
        sample_weight : array (samples,), optional
            Multiplies each sample's loss and penalties, but not SparseAutoencoder's KL, which is of the batch's means.

        Returns
        -------
        float
            Loss of the batch before the step.
        """
        if self.at_work:
            raise RuntimeError(_AT_WORK)
        self.at_work = True  # up to the try, no call after which Ctrl-C could come
        try:
            door = self._door
            x, target = door.pair(x, target)
            n: int = x.shape[0]
            most = self._batch_size
            if n > most:
                most = max(-(-n // self._accumulate), most)
            rule = self._optimizer.hyperparameters()
            plan = self._planned(most, rule)
            if door.looks_first:
                door.look(x, target)
            if sample_weight is not None:
                sample_weight = door.weight(sample_weight, n)
            rates = None if self._schedule is None and self._factor is None else self._rates(self.steps, 1, rule)
            done, total = plan.run(x, target, None, 0, n, rule, self._model.gradients, 0.0, self.steps, rates, sample_weight)
            if done < n:
                door.look(x, target)
                raise DivergenceError(self.steps)
            self.steps += 1
            return float(total) / n
        finally:
            self.at_work = False

    @alone
    def partial_fit(self, x: Any, target: Any = None, sample_weight: Any = None) -> float:
        """One pass over samples as they come, ``batch_size`` at a time; no epoch is counted.

        Takes what :meth:`step` takes, any number of samples, and returns the mean loss.
        """
        samples = self._door.data(x, target, sample_weight)
        plan = self._ready()
        if self._door.looks_first:
            self._door.look(samples.x, samples.target)
        before, fit = self._state(), (self._fit_steps, self.position, self._total, self._ended)  # which may be gone on with
        self._fit_steps, self.position, self._total, self._ended = None, 0, 0.0, False
        try:
            self._advance(plan, Piece(samples, 0, samples.n, as_they_are, False), [])
            return float(self._total / samples.n)
        except DivergenceError:
            self._find_fault(samples, before)
            raise
        finally:
            self._fit_steps, self.position, self._total, self._ended = fit

    @alone
    def fit(
        self,
        x: Any,
        target: Any = None,
        epochs: int = 10,
        validation_data: Any = None,
        shuffle: bool = True,
        progress: bool = False,
        *,
        validation_fraction: float = 0.0,
        callbacks: Iterable[Callback] | Callback = (),
        sample_weight: Any = None,
        early_stopping: int | None = None,
        steps_per_epoch: int | None = None,
        resume: bool = False,
    ) -> History:
        """Train for some epochs; more calls continue.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1), scipy's CSR, or an iterable of such
            May be memory-mapped; only the batch is copied, or made dense. A last, smaller batch is averaged over its own size.
            An iterable, which is no list, gives batches of any sizes, or pairs (x, target), which are cut anew into those of
            ``batch_size``, in their order; an iterator can be run through once.
        target : array or CSR (samples, n_out), optional
            Default: x.
        epochs : int
        validation_data : array, pair (x, target), or triple (x, target, sample_weight), optional
        shuffle : bool
            A new order of samples in each epoch, from the seed and the number of the epoch.
        progress : bool
            Show a progress bar with loss and samples/s on stderr, if that is a terminal or a notebook.
        validation_fraction : float
            In place of validation_data: this part of the samples, drawn by the seed, is held back; the same in every fit.
        callbacks : list of Callback
            See :mod:`fastae.callbacks`.
        sample_weight : array (samples,), optional
            As for :meth:`step`, in training and in validation by a fraction.
        early_stopping : int, optional
            Epochs without a better loss after which the fit ends, with the weights of the best one:
            ``EarlyStopping(patience=early_stopping)``.
        steps_per_epoch : int, optional
            Of an iterable, which is then gone on with from epoch to epoch, and begun again where it can be. Default: an epoch
            is all of it.
        resume : bool
            Go on with the fit that was interrupted, or saved: with the same arguments, to the same bits as without
            the interruption.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            Data of a wrong type, shape or value. The weights are then what they were before; of an iterable, before that batch.
        RuntimeError
            This trainer is at work in another thread.
        DivergenceError
            At the step that would not be finite, which is not taken.
        """
        epochs = _check.positive_integer(epochs, "epochs")
        shuffle, resume = _check.flag(shuffle, "shuffle"), _check.flag(resume, "resume")
        watch = watching(callbacks, _check.flag(progress, "progress"), early_stopping)
        door, size, samples = self._door, self.batch_size * self.accumulate, None
        validation = None if validation_data is None else door.validation(validation_data)
        plan = self._ready()
        if is_stream(x):
            whole = target is None and sample_weight is None and not validation_fraction
            n = _stream_rows(x, epochs, steps_per_epoch, size, whole)
        else:
            if steps_per_epoch is not None:
                raise ValueError(f"steps_per_epoch takes an iterable of batches as x, got {type(x).__name__}")
            samples = door.data(x, target, sample_weight)
            if door.looks_first or validation_fraction:  # steps find what is not finite, but not in what is held back
                door.look(samples.x, samples.target)
            if validation_fraction:
                samples, validation = self._split(samples, _fraction(validation_fraction, samples.n, validation))
            if self.batch_size > (n := samples.n):
                raise ValueError(f"batch_size takes at most the number of samples, {n}; got {self.batch_size}")
        states = self.callback_states() if resume else []
        before = self._state()
        self._begin(n, epochs, resume)
        self._watch = watch
        if samples is not None:
            rows = Piece(samples, 0, n or 0, self._order(samples, shuffle), True)
        else:
            gone = 0 if n is None and self._ended else self.position  # of this pass, or of all
            gone += (self.epochs - self._ended - self._begun[1]) * (n or 0)
            stream = Stream(x, size, self.model.dtype, door.batch, n, gone)

        def pieces() -> Iterable[Piece]:
            return stream.epoch(self.position) if samples is None else [rows._replace(first=self.position)]

        try:
            self._fit(plan, pieces, epochs, validation, watch, states)
        except DivergenceError:  # NaN in the data is not looked for beforehand: it makes a step not finite
            if samples is not None:
                self._find_fault(samples, before)
            raise
        return self.history

    def __repr__(self) -> str:
        return (
            f"Trainer({self.model!r}, {self.optimizer!r}, loss={self.loss!r}, batch_size={self.batch_size}, steps={self.steps})"
        )

    def evaluate(self, x: Any, target: Any = None, sample_weight: Any = None) -> float:
        """Loss on data, with nothing learnt and no noise.

        Parameters
        ----------
        x : array or CSR (samples, n_in)
        target : array or CSR (samples, n_out), optional
            Default: x.
        sample_weight : array (samples,), optional

        Returns
        -------
        float
            Without penalties and without ``feature_weight``.
        """
        samples = self._door.data(x, target, sample_weight)
        self._door.look(samples.x, samples.target)
        return self._evaluate(samples)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of a training's state to a safetensors file, which :func:`fastae.load` reads as the model.

        It holds the weights, the optimiser and its state, the schedule, all settings, the key of the random numbers, the
        position in an epoch, the history and what callbacks keep; not the data. A file already there is replaced only once the
        new one is whole.
        """
        from .checkpoint import save

        save(self, path)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], model: Network | None = None) -> Trainer:
        """The trainer that :meth:`save` wrote; ``fit(..., resume=True)`` goes on with its fit.

        Parameters
        ----------
        path : path
        model : Network, optional
            Of the same layers, to take the weights; needed for a Sequential.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is not a whole file of a trainer, or does not fit the model.
        """
        from .checkpoint import load

        return load(path, model)

    def callback_states(self) -> list[tuple[str, dict[str, Array]]]:
        """Class and state of each callback of the last fit."""
        return [(type(callback).__name__, callback.state()) for callback in self._watch] or self._states

    def _find_fault(self, samples: Data, before: Any) -> None:
        """Of data that are wrong, raise so, with everything as it was before them."""
        try:
            self._door.look(samples.x, samples.target)
        except ValueError as error:
            self._restore(before)
            raise error from None


def _weights(value: Any, model: Network) -> Array | None:
    """Of features."""
    return None if value is None else data.weights(value, "feature_weight", model.n_out, model.dtype)


def _bound(value: float | None, argument: str) -> float:
    """Of a gradient; None is infinity."""
    if value is None:
        return inf
    if (bound := _check.real_number(value, argument, 0, inf, "a finite number above 0, or None")) == 0:
        raise ValueError(f"{argument} takes a finite number above 0, or None; got 0")
    return bound


def _fraction(value: float, n: int, validation: Data | None) -> float:
    """Of n samples, to hold back."""
    fraction = _check.real_number(value, "validation_fraction", 0, 1, "0 <= validation_fraction < 1")
    if validation is not None:
        raise ValueError("validation_fraction takes 0 where validation_data are given")
    if n < 2:
        raise ValueError(f"validation_fraction takes at least two samples, got {n}")
    return fraction


def _stream_rows(x: Any, epochs: int, steps: int | None, size: int, alone: bool) -> int | None:
    """Samples of an epoch of a stream; None: all that it gives."""
    if not alone:
        raise ValueError(
            "x that is an iterable takes no target, sample_weight nor validation_fraction; let it give pairs (x, target)"
        )
    if steps is not None:
        return _check.positive_integer(steps, "steps_per_epoch") * size
    if epochs > 1 and iter(x) is x:
        raise ValueError(
            f"epochs takes 1 where x is an iterator, which can be run through once, got {epochs}; give steps_per_epoch, or a "
            "list of arrays in an object whose __iter__ begins again"
        )
    return None
