"""One network's training and inference: arguments are checked, buffers laid out, and the loops in compiled code called."""

import threading

import numpy as np

from .. import checks
from ..names import WHOLE_ROW
from ..recipe import check
from . import team as threads
from .elementwise import rates_record
from .entries import entry
from .inference import DESK, PASSAGE
from .layout import TILE_BYTES, Layout
from .network import BLOCK_SAMPLES, LAYER, LINE, MANY, Arena, source_of
from .own import OWN_ACTIVATION, OWN_LOSS, TERMS, VALUE, defined

TINY = 16
BARRIERS = 32  # at which members can meet in the time that waking one takes


class Plan:
    """Buffers and loops for training one network; the same as ``reference.Plan``, compiled by Numba."""

    def __init__(self, layers, weights, velocity, batch_size, loss, n_threads, square=None, recipe=None):
        dtype = checks.plan(weights, velocity, batch_size, square).dtype
        self.batch_size, self.n_threads, self.done, self.total, self.penalty = batch_size, n_threads, 0, 0.0, 0.0
        shapes = self._shapes = checks.layers(layers, weights.size, defined(VALUE, dtype), chained=False)
        checks.loss(loss, defined(TERMS, dtype))
        self.recipe = check(recipe, shapes, loss)
        if self.recipe.feature_weight is not None:
            checks.contiguous(self.recipe.feature_weight, dtype, shapes[-1][1])
        self._plain = not (self.recipe.in_blocks or self.recipe.unfused or loss in WHOLE_ROW)
        own = loss >= OWN_LOSS or any(s[2] >= OWN_ACTIVATION for s in shapes)
        self._tiny = self._plain and batch_size < MANY and not own and all(max(s[:2]) <= TINY for s in shapes)
        self._states = {"weight": weights, "velocity": velocity, "square": square}
        self._layout = Layout(shapes, self.recipe, loss, batch_size, dtype, self._states, self._tiny)
        self._after = memoryview(self._layout.job["done"]), memoryview(self._layout.job["total"])
        self._running = threading.Lock()
        self._entry = entry("train_tiny" if self._tiny else "train" if self._plain else "train_recipe", dtype)

    def _check(self, x, target, order, first, last, optimizer, gradients, schedule, sample_weight):
        """The arguments of a run."""
        (n_in, *_), (_, n_out, *_), weights = self._shapes[0], self._shapes[-1], self._states["weight"]
        rows = checks.source(x, n_in).shape[0]
        if target is x and n_out != n_in - self.recipe.condition:
            raise ValueError(
                f"the input has {n_in} features, of which {self.recipe.condition} are a condition, the output {n_out}"
            )
        if target is not x and checks.source(target, n_out).shape[0] != rows:
            raise ValueError(f"x has {rows} rows, target {target.shape[0]}")
        checks.rows(order, first, last, rows)
        if gradients is not None:
            checks.writable(gradients, weights.dtype, weights.size)
        checks.optimizer(optimizer, self._states["velocity"], self._states["square"])
        if schedule is not None:
            steps = -(-(last - first) // (self.batch_size * self.recipe.accumulate))
            checks.schedule(schedule, steps, self._states["velocity"])
        if sample_weight is not None:
            checks.contiguous(sample_weight, weights.dtype, rows)

    def run(
        self, x, target, order, first, last, optimizer, gradients=None, total=0.0, step=0, schedule=None, sample_weight=None
    ):
        """Steps over the rows order[first:last]; see README.md."""
        self._check(x, target, order, first, last, optimizer, gradients, schedule, sample_weight)
        job, P, record, run_entry = self._layout.job, self._states["weight"].size, None, self._entry
        if self._running.locked():
            raise RuntimeError("this plan is running in another thread; each thread needs a trainer and a model of its own")
        with self._running:
            once, run = (6.0 * P * n for n in (min(self.batch_size, last - first), last - first))
            n_threads = 1 if self._tiny else threads.team_size(run, threads.team_size(BARRIERS * once, self.n_threads))
            self._layout.give_blocks(n_threads)
            job["x_source"], job["target_source"], job["is_target_input"] = source_of(x), source_of(target), target is x
            job["order"], job["first"], job["last"] = 0 if order is None else order.ctypes.data, first, last
            job["gradients"] = 0 if gradients is None else gradients.ctypes.data
            job["optimizer"] = job["rates"] = rates_record(optimizer, self.recipe.clip_value)
            job["step"], job["schedule"] = step, 0 if schedule is None else schedule.ctypes.data
            job["total"] = job["before"] = total
            job["done"] = 0
            if not self._plain or sample_weight is not None:
                run_entry = entry("train_recipe", self._states["weight"].dtype)
                record = self._layout.give_recipe(target is x, sample_weight)
            try:
                threads.run(run_entry, job.ctypes.data, n_threads)
            finally:
                # Without a call, after which Ctrl-C might come and the steps would not be counted.
                self.done, self.total = self._after[0][0], self._after[1][0]
                self.penalty = 0.0 if record is None else float(record["penalty"])
            if self.recipe.tied and gradients is not None and self.done:
                self._layout.clear_upper(gradients)
            return self.done, self.total


class Inference:
    """Forward passes of one network; the same as ``reference.Inference``, compiled by Numba, for several threads at once."""

    def __init__(self, layers, weights):
        dtype = checks.ndarray(weights).dtype
        checks.contiguous(weights, dtype, weights.size)
        self._shapes, self._weights = checks.layers(layers, weights.size, defined(VALUE, dtype)), weights
        self._entry, self._widest = entry("infer", dtype), max(max(s[:2]) for s in layers)
        self._zeros, self._layers = np.zeros(self._widest, dtype), np.zeros(len(layers), LAYER)
        self._spare = []  # (kind of work, arena, address, desks) of finished runs
        at = weights.ctypes.data
        for layer, (n_in, n_out, activation, has_bias) in zip(self._layers, self._shapes, strict=True):
            layer["n_in"], layer["n_out"], layer["activation"], layer["weight"] = n_in, n_out, activation, (at, n_in)
            at += n_in * n_out * dtype.itemsize
            layer["bias"] = at if has_bias else self._zeros.ctypes.data
            at += n_out * has_bias * dtype.itemsize

    def _desks(self, kind):
        """The members' matrices: of few samples, a sample a row; else a feature a row, with a square behind the last."""
        n_threads, columns, few = kind
        size, arena = self._weights.itemsize, Arena()
        rows, n = (MANY, self._widest + LINE) if few else (self._widest + LINE, columns)
        address, desks = arena.records(n_threads, DESK)
        for desk in desks:
            desk["one"], desk["other"] = arena.matrix(rows, n, size), arena.matrix(rows, n, size)
            desk["square"], desk["room"] = arena.take(LINE * LINE * size), arena.take(2 * TILE_BYTES + 1024)
        return kind, arena, address, desks

    def run(self, x, out, n_threads):
        """out := the network's output for x; whether all of x is finite."""
        samples = checks.source(x, self._shapes[0][0]).shape[0]
        checks.writable(out, self._weights.dtype, samples, self._shapes[-1][1])
        if samples == 0:
            return True
        n_threads, few = threads.team_size(2.0 * self._weights.size * samples, n_threads), samples < MANY
        n_threads = n_threads if few else min(n_threads, -(-samples // LINE))
        kind = n_threads, min(-(-samples // LINE) * LINE, BLOCK_SAMPLES), few
        try:
            taken = self._spare.pop()
        except IndexError:  # all are in use by other threads
            taken = None
        if taken is None or taken[0] != kind:
            taken = self._desks(kind)
        _, _, address, desks = taken
        desks["corner"], job = source_of(x), np.zeros(1, PASSAGE)
        job["n_layers"], job["layers"], job["widest"] = len(self._layers), self._layers.ctypes.data, self._widest
        job["samples"], job["out"], job["desks"], job["x"] = samples, out.ctypes.data, address, source_of(x)
        threads.run(self._entry, job.ctypes.data, n_threads)
        finite = bool(desks["finite"].all())
        self._spare.append(taken)
        return finite
