"""The loop of a fit: epochs, calls into the kernels, and counts that are right whatever ends it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from math import inf, nan
from typing import Any

import numpy as np

from ._check import Array
from ._kernels.contract import Kernels, Plan, Rule
from ._kernels.names import keeps_square, keeps_velocity
from ._kernels.recipe import Recipe, check
from .callbacks import Callback
from .data import Data, Door
from .history import DivergenceError, History
from .layers import Network
from .optim import Optimizer
from .schedules import Schedule
from .settings import check_threads
from .streams import Piece

_CALL_SECONDS = 0.04  # of a call into kernels that nobody can watch, after which Python looks for Ctrl-C and moves the bar
_WATCHED_ROWS = 1 << 20  # of a call into kernels that can be watched: what the order of rows takes is 8 MB
_SMALL_STEP = 2e5, 4e6  # floating-point operations: what one thread may do faster than a team; for less there is no team
_TRIAL_STEPS, _TRIALS = 256, 3  # of a call, and calls for each, to find that out
_TRUST = 50, 1.0  # times as long as the trials took, but no more seconds than that, what they say is believed
_SPLIT = 2**64 - 1  # the epoch whose order says which samples are held back for validation; no fit comes so far


class Pace:
    """Whether small steps, whose bits do not depend on it, take all threads or one. That is tried out: how fast a processor's
    cores hear of each other differs much from one machine to the next.
    """

    def __init__(self) -> None:
        self._best = [inf, inf]  # seconds of a step: by a team, by one thread
        self._tried, self._spent, self._holds = 0, 0.0, 0.0  # calls and seconds of the trials; seconds for which they hold

    @property
    def _alone(self) -> bool:
        """Trials of a team follow each other, so that its threads are awake."""
        return self._tried >= _TRIALS if self.tries else self._best[1] < 0.95 * self._best[0]

    def threads(self, most: int) -> int:
        """For the next call."""
        return 1 if self._alone else most

    @property
    def tries(self) -> bool:
        """Whether the next call is a trial."""
        return self._holds <= 0

    def took(self, steps: int, seconds: float) -> None:
        """What the last call did."""
        if self.tries:
            if self._tried == 0:
                self._best, self._spent = [inf, inf], 0.0
            self._best[self._alone] = min(self._best[self._alone], seconds / steps)
            self._tried, self._spent = (self._tried + 1) % (2 * _TRIALS), self._spent + seconds
            self._holds = 0.0 if self._tried else min(_TRUST[0] * self._spent, _TRUST[1])
        else:
            self._holds -= seconds


class Loop:
    """What a Trainer does once all its arguments are checked. The attributes are the Trainer's."""

    model: Network
    _model: Network  # the same, without a property between
    optimizer: Optimizer
    schedule: Schedule | None
    batch_size: int
    _batch_size: int
    accumulate: int
    _accumulate: int
    clip_norm: float
    clip_value: float
    feature_weight: Array | None
    n_threads: int | None
    history: History
    samples_to_go: int | None  # in the fit that begins, where that is known

    steps: int
    epochs: int
    position: int  # samples done in the epoch
    _total: float  # of their loss, times samples
    _ended: bool  # the epoch is, but for its validation and callbacks
    _stopped: bool  # the fit, by a callback
    _begun: tuple[int, int]  # steps and epochs before the fit
    _fit_steps: int | None  # of the whole fit, where that is known

    _door: Door
    _kernels: Kernels
    _plan: Plan | None
    _parameters: Array | None  # of the plan
    _velocity: Array | None
    _square: Array | None
    _loss: int
    _key: int
    _changes: int  # of the model that the plan knows of
    _steps: int  # of one call
    _pace: Pace
    _factor: Callable[[Array], Array] | None  # of penalties, at steps

    # ---- the plan

    def _own_recipe(self) -> Recipe:
        """The model's, with what is the trainer's own."""
        recipe: Recipe = (self.model.recipe() or Recipe())._replace(
            key=self._key,
            feature_weight=self.feature_weight,
            clip_norm=self.clip_norm,
            clip_value=self.clip_value,
            accumulate=self.accumulate,
        )
        check(recipe, self.model.shapes(), self._loss)
        return recipe

    def _ready(self) -> Any:
        """The plan of a fit, made anew where the model's recipe has changed."""
        if self._plan is not None and self._own_recipe() != self._door.recipe:
            self._plan = None
        return self._planned(self.batch_size, self.optimizer.hyperparameters())

    def _planned(self, batch_size: int, rule: Rule) -> Plan:
        """The plan for a batch size, made anew for another one, or where a setting changed or the optimiser needs an array."""
        model = self._model
        if self._velocity is None and keeps_velocity(rule[0], rule[2]):
            self._velocity, self._plan = np.zeros_like(model.parameters), None
        if self._square is None and keeps_square(rule[0]):
            self._square, self._plan = np.zeros_like(model.parameters), None
        moved = self._parameters is not model.parameters  # the model became part of another
        if model.changes != self._changes:
            self._changes, self._plan = model.changes, None
        if self._plan is None or self._plan.batch_size != batch_size or moved:
            self._parameters, self._pace = model.parameters, Pace()
            self._door.follow(self._own_recipe())
            self._plan = self._kernels.Plan(
                model.shapes(),
                model.parameters,
                self._velocity,
                batch_size,
                self._loss,
                1,
                self._square,
                self._door.recipe,
            )
        self._plan.n_threads = check_threads(self.n_threads)
        return self._plan

    def _rates(self, first: int, n: int, rule: Rule) -> Array:
        """Learning rate, momentum and factor of penalties of steps from a first one on: (n, 3)."""
        steps, table = np.arange(first, first + n), np.empty((n, 3))
        table[:] = rule[1], rule[2], 1.0
        if self.schedule is not None:
            numbers = steps - self._begun[0] if self.schedule.per_fit else steps
            rates = self.schedule.rates(numbers, rule[1], rule[2], self._fit_steps)
            columns = 2 if keeps_velocity(rule[0], rule[2]) else 1
            table[:, :columns] = rates[:, :columns]
        if self._factor is not None:
            table[:, 2] = self._factor(steps)
        return table

    @property
    def _scheduled(self) -> bool:
        """Whether steps have rates or factors of their own."""
        return self.schedule is not None or self._factor is not None

    # ---- a fit

    def _begin(self, n: int | None, epochs: int, resume: bool) -> None:
        """Set the counts of a fit of epochs of n samples, or see whether one can go on."""
        size = self.batch_size * self.accumulate
        if not resume:
            self.position, self._total, self._ended, self._stopped = 0, 0.0, False, False
            self._begun, self.history = (self.steps, self.epochs), History()
        done = self.epochs - self._begun[1] - self._ended
        for losses in vars(self.history).values():
            del losses[done:]  # of an epoch whose end was interrupted
        if n is not None and (self.position > n or (self.position % size and self.position != n)):
            raise ValueError(
                f"x takes the samples of the fit to resume, which had done {self.position} of an epoch by {size}; got {n}"
            )
        self._fit_steps = None if n is None else epochs * -(-n // size)
        self.samples_to_go = None if n is None else max((epochs - done) * n - self.position, 0)

    def _fit(
        self,
        plan: Any,
        pieces: Callable[[], Iterable[Piece]],
        epochs: int,
        validation: Data | None,
        watch: list[Callback],
        states: list[tuple[str, dict[str, Array]]],
    ) -> None:
        """Epochs up to a number from the fit's beginning; ``states`` are those of callbacks that go on."""
        trainer: Any = self  # callbacks know no other Loop
        finished = False
        try:
            for callback in watch:
                callback.on_fit_begin(trainer)
                state = next((pair for pair in states if pair[0] == type(callback).__name__), None)
                if state is not None:
                    states.remove(state)
                    callback.restore(state[1])
                if self.position:
                    callback.on_steps(trainer, 0, self._total / self.position)
            while (self._ended or self.epochs - self._begun[1] < epochs) and not self._stopped:
                start = time.perf_counter()
                if not self._ended and not self._epoch(plan, pieces(), watch):
                    done = self.epochs - self._begun[1]
                    warnings.warn(f"x gave no more samples after {done} of {epochs} epochs", stacklevel=4)
                    break
                self._end_epoch(time.perf_counter() - start, validation, watch)
            finished = True
        finally:
            self._fit_steps = None
            for callback in watch:
                callback.on_fit_end(trainer, finished)

    def _epoch(self, plan: Any, pieces: Iterable[Piece], watch: list[Callback]) -> bool:
        """An epoch, or the rest of one; False: there are no more samples."""
        for piece in pieces:
            self._advance(plan, piece, watch)
        if self.position == 0 and self.epochs == self._begun[1]:
            raise ValueError("x takes an iterable that gives samples; got one that gave none")
        if self.position and not self._ended:
            self.epochs, self._ended = self.epochs + 1, True
        return self._ended

    def _advance(self, plan: Any, piece: Piece, watch: list[Callback]) -> None:
        """Steps over some rows, as many in a call into the kernels as its backend can be watched in, or callbacks ask for."""
        done, last, size = piece.first, piece.last, self.batch_size * self.accumulate
        watched, threads = hasattr(plan, "watch"), check_threads(self.n_threads)
        work = 6.0 * self._model.parameters.size * self.batch_size
        paced = threads > 1 and _SMALL_STEP[0] < work < _SMALL_STEP[1]
        while done < last:
            most = -(-_WATCHED_ROWS // size) if watched else self._steps
            if paced:
                plan.n_threads = self._pace.threads(threads)
                most = min(most, _TRIAL_STEPS) if self._pace.tries else most
            steps = min([most, *(a.every - self.steps % a.every for a in watch if a.every)])
            asked, start = min(steps * size, last - done), time.perf_counter()
            taken = self._call(plan, piece, done, asked, watch)
            seconds = time.perf_counter() - start
            if taken < asked:
                raise DivergenceError(self.steps)
            if paced:
                self._pace.took(-(-taken // size), seconds)
            done += taken
            if seconds < _CALL_SECONDS / 2 and asked == self._steps * size:
                self._steps *= 2
            elif seconds > _CALL_SECONDS:
                self._steps = max(self._steps // 2, 1)

    def _call(self, plan: Any, piece: Piece, done: int, asked: int, watch: list[Callback]) -> int:
        """One call into the kernels; how many of the rows asked for are done, and counted."""
        trainer: Any = self
        data, size, rule = piece.data, self.batch_size * self.accumulate, self.optimizer.hyperparameters()
        rows, first = piece.order(done, asked)
        rates = self._rates(self.steps, -(-asked // size), rule) if self._scheduled else None
        interrupt, seen, position, ends = None, 0, self.position, piece.ends and done + asked == piece.last

        def look(rows: int, total: float) -> None:
            """In the midst of the run, where Python sees to Ctrl-C as well."""
            nonlocal seen
            for callback in watch if rows > seen else ():
                if callback.within:
                    callback.on_steps(trainer, rows - seen, total / (position + rows))
            seen = max(rows, seen)

        if hasattr(plan, "watch"):
            plan.watch = look
        try:
            taken, total = plan.run(
                data.x, data.target, rows, first, first + asked, rule, None, self._total, self.steps, rates, data.weight
            )
        except BaseException as error:  # Ctrl-C comes from look, or as the call returns: its steps are taken
            interrupt, taken = error, plan.done
            total = plan.total if taken else self._total
        self.steps += -(-taken // size)  # up to the next call, no Ctrl-C comes between these lines
        self.position += taken
        self._total = total
        self._ended = ends and taken == asked
        self.epochs += self._ended
        plan.done = 0
        if hasattr(plan, "watch"):
            plan.watch = None  # a step has nobody who watches
        for callback in watch:
            new = taken - seen if callback.within else taken
            if new > 0:
                callback.on_steps(trainer, new, total / self.position)
        if interrupt is not None:
            raise interrupt
        return int(taken)

    def _end_epoch(self, seconds: float, validation: Data | None, watch: list[Callback]) -> None:
        """Validation, history, callbacks."""
        loss, rule = self._total / self.position, self.optimizer.hyperparameters()
        logs = {"epoch": self.epochs, "loss": loss, "seconds": seconds, "lr": rule[1]}
        if validation is not None:
            logs["val_loss"] = self._evaluate(validation)
        if self.schedule is not None:
            logs["lr"] = float(self._rates(self.steps - 1, 1, rule)[0, 0])
            self.schedule.observe(logs.get("val_loss", loss))
        for name in self.history.__dict__.keys() & logs.keys():
            getattr(self.history, name).append(logs[name])
        self._ended, self.position, self._total = False, 0, 0.0
        trainer: Any = self
        for callback in watch:  # the last may save the trainer, whose fit another one has ended
            self._stopped |= bool(callback.on_epoch_end(trainer, logs))

    def _order(self, data: Data, shuffle: bool) -> Callable[[int, int], tuple[Array | None, int]]:
        """The order of an epoch's rows, by a function of the key and the number of the epoch.

        A part at a time, so that memory does not grow with the data.
        """

        def order(done: int, n: int) -> tuple[Array | None, int]:
            if not shuffle:
                return data.rows, done
            rows = np.empty(n, np.int64)
            self._kernels.shuffled(self._key, self.epochs, data.n, done, rows)
            return rows if data.rows is None else data.rows[rows], 0

        return order

    def _split(self, data: Data, fraction: float) -> tuple[Data, Data]:
        """The samples to learn from, and those held back."""
        order = np.empty(data.n, np.int64)
        self._kernels.shuffled(self._key, _SPLIT, data.n, 0, order)
        return data.split(fraction, order)

    def _evaluate(self, data: Data) -> float:
        total = n = 0.0
        for x, target, weight in data.blocks():
            losses = self.model.losses(x, target, self._loss, self.n_threads)
            total += float(np.sum(losses if weight is None else losses * weight))
            n += self.model.whole(target, self._loss)
        return total / n if n else nan  # nothing is known of data that are all missing

    # ---- going back

    def _state(self) -> tuple[list[Array | None], dict[str, Any]]:
        """Copies of all that a step changes."""
        counts = ("steps", "epochs", "position", "_total", "_ended", "_stopped", "_begun", "_fit_steps", "_steps", "history")
        arrays = (self.model.parameters, self._velocity, self._square)
        return [None if a is None else a.copy() for a in arrays], {name: getattr(self, name) for name in counts}

    def _restore(self, state: tuple[list[Array | None], dict[str, Any]]) -> None:
        """Take what ``_state`` gave."""
        for array, old in zip((self.model.parameters, self._velocity, self._square), state[0], strict=True):
            if array is not None:
                array[...] = 0 if old is None else old
        self.__dict__.update(state[1])
