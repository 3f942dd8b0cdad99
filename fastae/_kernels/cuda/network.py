"""Training and inference of one network, whose parameters, activations and optimiser state stay on the device.

A step is one launch for each layer forward, the last one's making the loss and its gradient too; one for the tally of the loss;
and, from the top down, one for the gradient of each layer's input, then one in which its weights learn. Python only launches:
nothing is waited for in a step. Whether one failed is asked once in a run.

Two streams. ``copies`` uploads a batch while ``steps`` computes with the one before, and the host gathers the next:

    host      gather 0   gather 1   gather 2            ...
    copies               upload 0   upload 1   upload 2
    steps                           step 0     step 1   ...
"""

import threading
from functools import partial
from typing import Any

import numpy as np

from .. import checks, reference
from ..names import keeps_input
from . import epilogues
from .gemm import TILES, grid, multiply, threads, tile_of
from .memory import Parameters, Staging, download, matrix, uploaded
from .passes import THREADS, tally
from .toolkit import cuda


def _hidden(real, layer, weights, x, rows, y, kept, stream):
    n_in, n_out, activation, _ = layer
    weight, bias = weights
    epilogue = epilogues.forward(real, activation, keeps_input(activation) and kept is not None)
    operands = bias, y, y if kept is None else kept
    multiply(real, rows, n_out, n_in, x, weight, False, False, epilogue, operands, stream)


class Plan:
    """Training of one network; the same as ``reference.Plan``, on the device.

    Parameters
    ----------
    layers : list of (n_in, n_out, activation, has_bias)
    weights, velocity : (P,) arrays, for each layer W (row-major) and then b; velocity None without momentum
    batch_size : most rows of a step
    loss : number of the loss
    n_threads : of no effect
    """

    def __init__(self, layers, weights, velocity, batch_size, loss, n_threads):
        checks.plan(weights, velocity, batch_size)
        self.weights, self.velocity, self.batch_size, self.n_threads = weights, velocity, batch_size, n_threads
        self.layers, self.loss = checks.layers(layers, weights.size), checks.loss(loss)
        self._real = real = weights.dtype.type
        self._divisor = partial(reference._divisor, loss)
        self._running, self.done = threading.Lock(), 0
        self._copies, self._steps = cuda.stream(), cuda.stream()
        self._parameters = Parameters(self.layers, real)
        self._velocities = self._parameters if velocity is None else Parameters(self.layers, real)
        self._gradients: Any = None  # until they are asked for
        self._staging = [Staging(batch_size, layers[0][0], layers[-1][1], real) for _ in range(2)]
        hidden = self.layers[:-1]
        self._outputs = [matrix(batch_size, n_out, real) for _, n_out, _, _ in hidden]
        self._kepts = [
            matrix(batch_size, n_out, real) if keeps_input(activation) else y
            for (_, n_out, activation, _), y in zip(hidden, self._outputs, strict=True)
        ]
        self._deltas = [matrix(batch_size, n_out, real) for _, n_out, _, _ in self.layers]  # dz of each layer
        most = max(self._threads(tile, batch_size) for tile in TILES[real])  # fewer rows may have another tile
        self._losses = cuda.device_array(most, real)
        self._total, self._failed = cuda.device_array(1, np.float64), cuda.device_array(1, np.int64)

    def _threads(self, tile, rows):
        """Of the last layer's product, each of which leaves a part of the loss."""
        across, down = grid(tile, rows, self.layers[-1][1])
        return across * down * threads(tile)

    def run(self, x, target, order, first, last, sgd, gradients=None, total=0.0):
        """Steps over the rows order[first:last] (all of them in order if None), ``batch_size`` at a time, the last one shorter.

        Returns
        -------
        rows : int
            Rows done. Fewer than asked for: the next step's loss or weights would not be finite; not taken.
        total : float
            The argument, plus the loss times rows of each step.
        """
        checks.source(x, self.layers[0][0]), checks.source(target, self.layers[-1][1])
        if len(x) != len(target):
            raise ValueError(f"x has {len(x)} rows, target {len(target)}")
        checks.rows(order, first, last, len(x))
        if gradients is not None:
            checks.writable(gradients, self.weights.dtype, self.weights.size)
            self._gradients = self._gradients or Parameters(self.layers, self._real)
        _, momentum, _, _ = sgd
        if momentum != 0 and self.velocity is None:
            raise ValueError(f"momentum {momentum} needs a plan with a velocity")
        if not self._running.acquire(blocking=False):
            raise RuntimeError("this plan is running in another thread; each thread needs a trainer and a model of its own")
        self.done = 0
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                keep = gradients is not None
                reached, after = self._steps_over(x, target, order, first, last, sgd, keep, total)
                if reached < last:  # the weights are lost: the host still has them, take the good steps again
                    self._spoil()
                    reached, after = self._steps_over(x, target, order, first, reached, sgd, keep, total)
                if reached > first:
                    self._download(momentum != 0, gradients)
                self.done, self.total = reached - first, after
        except BaseException:  # Ctrl-C: the host's weights are those before the run, the device's are not
            self._spoil()
            raise
        finally:
            self._running.release()
        return reached - first, after

    def _spoil(self):
        self._parameters.spoil()
        self._velocities.spoil()

    def _download(self, momentum, gradients):
        self._parameters.download(self.weights, self._steps)
        if momentum:
            self._velocities.download(self.velocity, self._steps)
        if gradients is not None:
            self._gradients.download(gradients, self._steps)

    def _steps_over(self, x, target, order, first, last, sgd, keep, total):
        """From the weights of the host, which stay as they are. Returns where a step failed, or last, and the total."""
        lr, momentum, nesterov, decay = sgd
        rates = tuple(map(self._real, (lr, momentum, decay)))
        self._parameters.upload(self.weights, self._steps)
        if momentum != 0:
            self._velocities.upload(self.velocity, self._steps)
        self._total.copy_to_device(np.full(1, total, np.float64), stream=self._steps)
        self._failed.copy_to_device(np.full(1, -1, np.int64), stream=self._steps)
        for step, start in enumerate(range(first, last, self.batch_size)):
            stop = min(start + self.batch_size, last)
            rows = slice(start, stop) if order is None else order[start:stop]
            staging = self._staging[step % 2]
            inputs, goals = staging.send(x, target, rows, self._copies, self._steps)
            self._forward(inputs, goals, stop - start, step)
            self._backward(inputs, stop - start, step, rates, momentum != 0, bool(nesterov), keep)
            staging.used(self._steps)
        self._steps.synchronize()
        failed, (total,) = int(self._failed.copy_to_host()[0]), self._total.copy_to_host()
        return last if failed < 0 else first + failed * self.batch_size, float(total)

    def _forward(self, x, target, rows, step):
        """All layers; the last one leaves the loss's gradient by its z."""
        real, stream = self._real, self._steps
        for layer, weights, y, kept in zip(self.layers, self._parameters.layers, self._outputs, self._kepts, strict=False):
            _hidden(real, layer, weights, x, rows, y, kept, stream)
            x = y
        n_in, n_out, activation, _ = self.layers[-1]
        weight, bias = self._parameters.layers[-1]
        divisor = self._divisor(rows, n_out)
        operands = bias, target, self._deltas[-1], real(1 / divisor), self._losses
        epilogue = epilogues.last_layer(real, activation, self.loss)
        multiply(real, rows, n_out, n_in, x, weight, False, False, epilogue, operands, stream)
        n_parts = self._threads(tile_of(real, rows, n_out), rows)
        tally[1, THREADS, stream](self._losses, n_parts, float(divisor), float(rows), step, self._total, self._failed)

    def _backward(self, x, rows, step, rates, momentum, nesterov, keep):
        """From the top down: the gradient of a layer's input, by the weights before the step, and then their step."""
        real, stream = self._real, self._steps
        gradients = self._gradients if keep else self._parameters
        for number in reversed(range(len(self.layers))):
            n_in, n_out, _, has_bias = self.layers[number]
            weights, delta = self._parameters.layers[number], self._deltas[number]
            if number > 0:
                epilogue = epilogues.input_gradient(real, self.layers[number - 1][2])
                slopes = self._kepts[number - 1], self._deltas[number - 1]
                multiply(real, rows, n_in, n_out, delta, weights[0], False, True, epilogue, slopes, stream)
            epilogue = epilogues.learn(real, momentum, nesterov, bool(has_bias), keep)
            operands = weights, self._velocities.layers[number], gradients.layers[number], rates, step, self._failed
            below = self._outputs[number - 1] if number > 0 else x
            multiply(real, n_out, n_in, rows, delta, below, True, True, epilogue, operands, stream)


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
        checks.writable(out, self.weights.dtype, len(x), self.layers[-1][1])
        real = self.weights.dtype.type
        with np.errstate(over="ignore", invalid="ignore"):
            batch = reference._batch(x, slice(None), out.dtype)
        if not np.isfinite(batch).all():
            return False
        with self._uploading:
            self._parameters.upload(self.weights)
        y = uploaded(batch)
        for layer, weights in zip(self.layers, self._parameters.layers, strict=True):
            above = matrix(len(x), layer[1], real)
            _hidden(real, layer, weights, y, len(x), above, None, 0)
            y = above
        download(y, out)
        return True
