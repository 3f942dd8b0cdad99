"""One network's buffers, laid out by NumPy for the loops in training.py and inference.py."""

import threading

import numpy as np

from .. import checks
from ..names import WHOLE_ROW, keeps_input
from ..recipe import check
from . import team as threads
from .backward import BLOCK, LOSS_FEATURES, RECTANGLE, TRAINING
from .elementwise import rates_record
from .entries import entry
from .inference import DESK, PASSAGE
from .machine import MR, NV, VECTOR_BYTES
from .network import BLOCK_SAMPLES, LAYER, LINE, MANY, MATRIX, Arena, source_of
from .own import OWN_ACTIVATION, OWN_LOSS, TERMS, VALUE, defined

TINY = 16
BARRIERS = 32  # at which members can meet in the time that waking one takes
TILE_BYTES = MR * NV * VECTOR_BYTES
ROOM = 2 * TILE_BYTES + LOSS_FEATURES * BLOCK_SAMPLES * 8 + 1024  # a tile and zeros, then a tile, or rows of the loss


def rectangles_of(layers):
    """(layer, o0, o1, i0, i1, weights before): BLOCK x BLOCK where that makes many, else half of it each way."""
    for block in (BLOCK, BLOCK // 2):
        found = [
            (l, o, min(o + block, n_out), i, min(i + block, n_in))
            for l, (n_in, n_out, _, _) in enumerate(layers)
            for i in range(0, n_in, block)
            for o in range(0, n_out, block)
        ]
        if len(found) >= 32:
            break
    sizes = [(o1 - o0) * (i1 - i0) for _, o0, o1, i0, i1 in found]
    return [(*q, sum_before) for q, sum_before in zip(found, np.cumsum([0, *sizes[:-1]]), strict=True)]


class Plan:
    """Buffers and loops for training one network; the same as ``reference.Plan``, compiled by Numba."""

    def __init__(self, layers, weights, velocity, batch_size, loss, n_threads, square=None, recipe=None):
        checks.plan(weights, velocity, batch_size, square)
        self.batch_size, self.n_threads = batch_size, n_threads
        self._shapes = checks.layers(layers, weights.size, defined(VALUE, weights.dtype), chained=False)
        checks.loss(loss, defined(TERMS, weights.dtype))
        self.recipe = check(recipe, self._shapes, loss)
        if self.recipe.in_blocks or self.recipe.unfused or loss in WHOLE_ROW:
            raise NotImplementedError("recipes are not in the numba backend; take backend='cython' or 'numpy'")
        self._weights, self._velocity, self._square = weights, velocity, square
        self._running = threading.Lock()
        self._members, self._arena, self._block_arena, self.done, self.penalty = 0, Arena(), None, 0, 0.0
        self._job = np.zeros(1, TRAINING)
        self._lay_out(loss)
        self._entry = entry("train_tiny" if self._tiny else "train", weights.dtype)

    def _lay_out(self, loss):
        """The buffers that all members share."""
        job, shapes, rows, arena = self._job, self._shapes, self.batch_size, self._arena
        size, few = self._weights.itemsize, min(rows, MANY)
        states = {"velocity": self._velocity, "square": self._square}
        own = loss >= OWN_LOSS or any(s[2] >= OWN_ACTIVATION for s in shapes)
        tiny = self._tiny = rows < MANY and not own and all(max(s[:2]) <= TINY for s in shapes)
        widths = [shapes[0][0], *(s[1] for s in shapes)]
        rectangles = rectangles_of(shapes)
        nothing, at = (0, 0), 0
        job["layers"], layers = arena.records(len(shapes), LAYER)
        x_rows = arena.matrix(rows, widths[0], size)
        for l, (n_in, n_out, activation, has_bias) in enumerate(shapes):
            layer = layers[l]
            layer["n_in"], layer["n_out"], layer["activation"] = n_in, n_out, activation
            layer["weight_at"], layer["bias_at"] = at, at + n_in * n_out if has_bias else -1
            at += (n_in + bool(has_bias)) * n_out
            layer["weight"], layer["bias"] = arena.matrix(n_out, n_in, size), arena.matrix(1, n_out, size)[0]
            layer["turned"] = arena.matrix(n_in, n_out, size) if tiny else nothing
            for name, state in states.items():
                if state is not None:
                    layer[name], layer[f"bias_{name}"] = arena.matrix(n_out, n_in, size), arena.matrix(1, n_out, size)[0]
                    layer[f"turned_{name}"] = arena.matrix(n_in, n_out, size) if tiny else nothing
            layer["x_rows"], layer["y_rows"] = x_rows, arena.matrix(rows if l < len(shapes) - 1 else few, n_out, size)
            layer["dz"], layer["dz_rows"] = arena.matrix(n_out, rows, size), arena.matrix(few, n_out, size)
            layer["keeps_input"] = keeps_input(activation)
            layer["kept_rows"] = arena.matrix(few, n_out, size) if layer["keeps_input"] else layer["y_rows"]
            x_rows = layer["y_rows"]
        job["target_rows"] = arena.matrix(rows, widths[-1], size)
        job["ones"], ones = arena.records(rows + LINE, self._weights.dtype)
        ones[:] = 1
        job["sample_loss"], job["finite"] = arena.take((rows + LINE) * 8), arena.take(threads.MAX_TEAM * 8)
        job["rectangles"], array = arena.records(len(rectangles), RECTANGLE)
        array[:] = rectangles
        job["n_layers"], job["n_rectangles"], job["batch_size"], job["loss"] = len(shapes), len(rectangles), rows, loss
        job["scale"], job["n_weights"], job["widest"] = self.recipe.scale, self._weights.size, max(widths)
        job["weights"] = self._weights.ctypes.data
        for name, state in states.items():
            job[name] = 0 if state is None else state.ctypes.data
        self._layers = layers

    def _lay_out_blocks(self, members):
        """The members' own buffers, in which a block of many samples passes through the layers."""
        shapes, size, samples = self._shapes, self._weights.itemsize, min(self.batch_size, BLOCK_SAMPLES)
        self._block_arena = arena = Arena()
        self._job["blocks"], layers = arena.records(members * len(shapes), LAYER)
        self._job["targets"], targets = arena.records(members, MATRIX)
        self._job["rooms"], self._job["room_bytes"] = arena.take(members * ROOM), ROOM
        layers[:] = np.tile(self._layers, members)
        for m in range(members):
            x = arena.matrix(shapes[0][0], samples, size)
            for layer in layers[m * len(shapes) : (m + 1) * len(shapes)]:
                layer["x"], layer["y"] = x, arena.matrix(layer["n_out"], samples, size)
                layer["kept"] = arena.matrix(layer["n_out"], samples, size) if layer["keeps_input"] else layer["y"]
                x = layer["y"]
            targets[m] = arena.matrix(shapes[-1][1], samples, size)
        self._members = members

    def run(
        self, x, target, order, first, last, optimizer, gradients=None, total=0.0, step=0, schedule=None, sample_weight=None
    ):
        """Steps over the rows order[first:last]; see README.md."""
        job, P = self._job, self._weights.size
        n_in, n_out = self._shapes[0][0], self._shapes[-1][1]
        if len(checks.source(x, n_in)) != len(checks.source(target, n_out)):
            raise ValueError(f"x has {len(x)} rows, target {len(target)}")
        checks.rows(order, first, last, len(x))
        if gradients is not None:
            checks.writable(gradients, self._weights.dtype, P)
        checks.optimizer(optimizer, self._velocity, self._square)
        if schedule is not None:
            checks.schedule(schedule, -(-(last - first) // self.batch_size), self._velocity)
        if self._running.locked():
            raise RuntimeError("this plan is running in another thread; each thread needs a trainer and a model of its own")
        with self._running:
            once, run = (6.0 * P * n for n in (min(self.batch_size, last - first), last - first))
            n_threads = 1 if self._tiny else threads.team_size(run, threads.team_size(BARRIERS * once, self.n_threads))
            if n_threads > self._members:
                self._lay_out_blocks(n_threads)
            job["x_source"], job["target_source"], job["is_target_input"] = source_of(x), source_of(target), target is x
            job["order"], job["first"], job["last"] = 0 if order is None else order.ctypes.data, first, last
            job["gradients"] = 0 if gradients is None else gradients.ctypes.data
            job["optimizer"] = job["rates"] = rates_record(optimizer, self.recipe.clip_value)
            job["step"], job["schedule"] = step, 0 if schedule is None else schedule.ctypes.data
            job["total"] = job["before"] = total
            job["done"] = 0
            try:
                threads.run(self._entry, job.ctypes.data, n_threads)
            finally:
                self.done = job["done"][0]
            return int(self.done), float(job["total"][0])


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
        samples = len(checks.source(x, self._shapes[0][0]))
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
