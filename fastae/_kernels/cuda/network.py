"""Training and inference of one network, whose parameters, activations and optimiser state stay on the device.

A step is one launch for each layer forward, the last one's making the loss and its gradient too; one for the tally of the loss;
and, from the top down, one for the gradient of each layer's input, then one in which its weights learn. passage.py has what a
recipe adds. Python only launches: nothing is waited for in a step. Whether one failed is asked once in a run.

Two streams. ``copies`` uploads a batch while ``steps`` computes with the one before, and the host gathers the next:

    host      gather 0   gather 1   gather 2            ...
    copies               upload 0   upload 1   upload 2
    steps                           step 0     step 1   ...
"""

import threading
from typing import Any

import numpy as np

from .. import checks, reference
from ..names import PER_SAMPLE
from ..recipe import Recipe, check
from . import epilogues, formulas
from .gemm import multiply
from .memory import Parameters, Staging, download, matrix, uploaded
from .passage import LastLayer, Passage, hidden
from .toolkit import cuda

MISSING = "top_k", "l1", "kl", "contractive", "tied", "clip_norm", "accumulate"  # parts of recipes


def supported(recipe):
    """A recipe of which every part is here."""
    plain = Recipe()
    for part in MISSING:
        if getattr(recipe, part) != getattr(plain, part):
            raise NotImplementedError(f"recipe part {part!r} is not in the cuda backend; take backend='cython' or 'numpy'")
    return recipe


class Plan:
    """Training of one network; the same as ``reference.Plan``, on the device.

    Parameters
    ----------
    layers : list of (n_in, n_out, activation, has_bias)
    weights, velocity, square : (P,) arrays, for each layer W (row-major) and then b; None where the optimiser has none
    batch_size : most rows of a step
    loss : number of the loss
    n_threads : of no effect
    recipe : Recipe, or None
    """

    def __init__(self, layers, weights, velocity, batch_size, loss, n_threads, square=None, recipe=None):
        checks.plan(weights, velocity, batch_size, square)
        self.weights, self.velocity, self.square, self.batch_size = weights, velocity, square, batch_size
        self.layers, self.loss = checks.layers(layers, weights.size, chained=False), checks.loss(loss)
        self.recipe = supported(check(recipe, self.layers, loss))
        self.n_threads, self.done, self.total, self.penalty = n_threads, 0, 0.0, 0.0
        self._real = real = weights.dtype.type
        self._running = threading.Lock()
        self._copies, self._steps = cuda.stream(), cuda.stream()
        self._parameters = Parameters(self.layers, real)
        self._velocities, self._squares = (
            self._parameters if state is None else Parameters(self.layers, real) for state in (velocity, square)
        )
        states = (self._parameters, weights), (self._velocities, velocity), (self._squares, square)
        self._states = [(on_device, host) for on_device, host in states if host is not None]
        self._gradients: Any = None  # until they are asked for
        self._staging = [Staging(batch_size, layers[0][0], layers[-1][1], real) for _ in range(2)]
        self._passage = Passage(self.layers, batch_size, real, self.recipe, self._steps)
        self._last = LastLayer(self.layers[-1], batch_size, real, loss, self.recipe, self._steps)
        self._failed = cuda.device_array(1, np.int64)

    def run(
        self, x, target, order, first, last, optimizer, gradients=None, total=0.0, step=0, schedule=None, sample_weight=None
    ):
        """Steps over the rows order[first:last] (all of them in order if None), ``batch_size`` at a time, the last one shorter.

        Returns
        -------
        rows : int
            Rows done. Fewer than asked for: the next step's loss or weights would not be finite; not taken.
        total : float
            The argument, plus the loss times rows of each step.
        """
        n_in, n_out = self.layers[0][0], self.layers[-1][1]
        n = checks.source(x, n_in).shape[0]
        if checks.source(target, n_in if target is x and self.recipe.condition else n_out).shape[0] != n:
            raise ValueError(f"x has {n} rows, target {target.shape[0]}")
        checks.rows(order, first, last, n)
        if gradients is not None:
            checks.writable(gradients, self.weights.dtype, self.weights.size)
            self._gradients = self._gradients or Parameters(self.layers, self._real)
        checks.optimizer(optimizer, self.velocity, self.square)
        if schedule is not None:
            checks.schedule(schedule, -(-(last - first) // self.batch_size), self.velocity)
        if sample_weight is not None:
            checks.contiguous(sample_weight, self.weights.dtype, n)
        if not self._running.acquire(blocking=False):
            raise RuntimeError("this plan is running in another thread; each thread needs a trainer and a model of its own")
        self.done, self.total, self.penalty = 0, total, 0.0
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                data, pace = (x, target, order, sample_weight), (optimizer, schedule, step)
                keep = gradients is not None
                reached, after = self._steps_over(data, first, last, pace, keep, total)
                if reached < last:  # the weights are lost: the host still has them, take the good steps again
                    self._spoil()
                    reached, after = self._steps_over(data, first, reached, pace, keep, total)
                if reached > first:
                    for on_device, host in [*self._states, *([(self._gradients, gradients)] if keep else [])]:
                        on_device.download(host, self._steps)
                self.done, (self.total, self.penalty) = reached - first, map(float, after)
        except BaseException:  # Ctrl-C: the host's weights are those before the run, the device's are not
            self._spoil()
            raise
        finally:
            self._running.release()
        return reached - first, float(after[0])

    def _spoil(self):
        for on_device, _ in self._states:
            on_device.spoil()

    def _steps_over(self, data, first, last, pace, keep, total):
        """From the weights of the host, which stay as they are. Returns where a step failed, or last, and the totals."""
        (x, target, order, sample_weight), (optimizer, schedule, before) = data, pace
        for on_device, host in self._states:
            on_device.upload(host, self._steps)
        self._last.totals.copy_to_device(np.array([total, 0.0]), stream=self._steps)
        self._failed.copy_to_device(np.full(1, -1, np.int64), stream=self._steps)
        for taken, start in enumerate(range(first, last, self.batch_size)):
            stop = min(start + self.batch_size, last)
            rows = slice(start, stop) if order is None else order[start:stop]
            rates, factor = optimizer, 1.0
            if schedule is not None:
                lr, momentum, factor = map(float, schedule[taken])
                rates = (optimizer[0], lr, momentum, *optimizer[3:])
            staging = self._staging[taken % 2]
            inputs, goals, weights = staging.send(x, target, sample_weight, rows, self._copies, self._steps)
            divisor = self._divisor(staging, target is x, stop - start)
            place = stop - start, before + taken, factor
            disturbed, top = self._passage.forward(self._parameters.layers, inputs, place)
            if self.recipe.noise == "binarize" and target is x:
                goals = disturbed
            weights = weights if sample_weight is not None else None
            self._last.forward(self._parameters.layers[-1], top, goals, weights, divisor, stop - start)
            self._last.tally(self._passage, divisor, place, taken, self._failed)
            self._backward(disturbed, place, taken, rates, keep)
            staging.used(self._steps)
        self._steps.synchronize()
        failed, totals = int(self._failed.copy_to_host()[0]), self._last.totals.copy_to_host()
        return last if failed < 0 else first + failed * self.batch_size, totals

    def _divisor(self, staging, own_target, rows):
        """What the sum of a step's terms is divided by."""
        n_out = self.layers[-1][1]
        if self.recipe.scale:
            return rows / self.recipe.scale
        if self.recipe.missing and self.loss not in PER_SAMPLE:
            return max(staging.present(own_target, rows, n_out), 1)
        return reference._divisor(self.loss, rows, n_out)

    def _backward(self, x, place, taken, optimizer, keep):
        """From the top down: the gradient of a layer's input, by the weights before the step, and then their step."""
        real, stream, (rows, step, _) = self._real, self._steps, place
        bound = self.recipe.clip_value
        rule, rates = formulas.rule(optimizer, bound), formulas.rates(real, optimizer, step, bound)
        states = self._parameters, self._velocities, self._squares, self._gradients if keep else self._parameters
        delta = self._last.delta
        for number in reversed(range(len(self.layers))):
            n_in, n_out, _, has_bias = self.layers[number]
            below = self._passage.backward(number - 1, delta, self._parameters.layers[number][0], place) if number > 0 else None
            epilogue = epilogues.learn(real, rule, bool(has_bias), keep)
            operands = *(state.layers[number] for state in states), rates, taken, self._failed
            fed = self._passage.outputs[number - 1] if number > 0 else x
            multiply(real, n_out, n_in, rows, delta, fed, True, True, epilogue, operands, stream)
            delta = below


class Inference:
    """Forward passes of one network; see README.md. Each run has buffers of its own: several threads may run one object.

    Parameters
    ----------
    layers : list of (n_in, n_out, activation, has_bias)
    weights : (P,) array, read at each run
    """

    def __init__(self, layers, weights):
        checks.contiguous(weights, checks.ndarray(weights).dtype, weights.size)
        self.layers, self.weights = checks.layers(layers, weights.size), weights
        self._parameters = Parameters(self.layers, weights.dtype.type)
        self._uploading = threading.Lock()

    def run(self, x, out, n_threads):
        """out := the network's output for x. Whether all of x is finite in the weights' dtype."""
        checks.source(x, self.layers[0][0])
        checks.writable(out, self.weights.dtype, x.shape[0], self.layers[-1][1])
        real = self.weights.dtype.type
        with np.errstate(over="ignore", invalid="ignore"):
            batch = reference._batch(x, slice(None), out.dtype)
        if not np.isfinite(batch).all():
            return False
        with self._uploading:
            self._parameters.upload(self.weights)
        y = uploaded(batch)
        for layer, weights in zip(self.layers, self._parameters.layers, strict=True):
            above = matrix(len(batch), layer[1], real)
            hidden(real, layer, weights, y, len(batch), above, None, 0)
            y = above
        download(y, out)
        return True
