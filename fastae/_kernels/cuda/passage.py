"""A batch's way through the layers and back, with what a recipe adds: noise, dropout, the Gaussian code, weights of a loss.

``place`` is (rows of the batch, number of the step, factor of penalties).
"""

import numpy as np

from .. import checks
from ..names import WHOLE_ROW, keeps_input
from . import drawn, epilogues, losses
from .gemm import TILES, grid, multiply, threads, tile_of
from .memory import matrix, uploaded
from .passes import THREADS, blocks, launch
from .philox import counters, place_of, words_of
from .toolkit import cuda


def hidden(real, layer, weights, x, rows, y, kept, stream):
    """y := f(x W^T + b); kept, unless it is None, receives what f' is computed from."""
    n_in, n_out, activation, _ = layer
    weight, bias = weights
    epilogue = epilogues.forward(real, activation, keeps_input(activation) and kept is not None)
    operands = bias, y, y if kept is None else kept
    multiply(real, rows, n_out, n_in, x, weight, False, False, epilogue, operands, stream)


class Passage:
    """Everything below the last layer."""

    def __init__(self, layers, batch_size, real, recipe, stream):
        self._layers, self._recipe, self._real, self._stream = layers, recipe, real, stream
        self._key, self._dropout = words_of(recipe.key), recipe.dropout or (0.0,) * (len(layers) - 1)
        noisy = recipe.noise is not None or recipe.missing
        self._disturbed = matrix(batch_size, layers[0][0], real) if noisy else None
        widths = [n_out for _, n_out, _, _ in layers[:-1]]
        self._values = [matrix(batch_size, n, real) for n in widths]  # y = f(z) of each layer
        self._kepts = [
            matrix(batch_size, n, real) if keeps_input(activation) else y
            for n, (_, _, activation, _), y in zip(widths, layers[:-1], self._values, strict=True)
        ]
        self._gates = [matrix(batch_size, n, real) if p else None for n, p in zip(widths, self._dropout, strict=True)]
        self._gated = [
            y if gate is None else matrix(batch_size, n, real)
            for n, y, gate in zip(widths, self._values, self._gates, strict=True)
        ]
        self.outputs = list(self._gated)  # what the layers above read
        self._deltas = [matrix(batch_size, n, real) for n in widths]  # dz of each layer
        if recipe.gaussian:
            above, self._half = layers[recipe.code + 1][0], widths[recipe.code] // 2
            self.outputs[recipe.code], self._by_code = (matrix(batch_size, above, real) for _ in range(2))
            self._spread = matrix(batch_size, self._half, real)
        self.penalties = cuda.device_array(self.n_penalties(batch_size) or 1, real)

    def n_penalties(self, rows):
        """Parts of the penalties that a batch leaves, unless there are none."""
        return blocks(rows * counters(self._half)) * THREADS if self._recipe.gaussian else 0

    def _launch(self, kernel, rows, features, *arguments):
        launch(kernel, rows * features, rows, *arguments, stream=self._stream)

    def forward(self, parameters, x, place):
        """Returns the input with its noise, and what the last layer reads."""
        rows, step, _ = place
        x = y = self._disturb(x, rows, step)
        for number, (layer, weights) in enumerate(zip(self._layers[:-1], parameters, strict=False)):
            hidden(self._real, layer, weights, y, rows, self._values[number], self._kepts[number], self._stream)
            self._drop(number, rows, step)
            if self._recipe.gaussian and number == self._recipe.code:
                self._draw(x, rows, step)
            y = self.outputs[number]
        return x, y

    def _disturb(self, x, rows, step):
        recipe, n_in = self._recipe, self._layers[0][0]
        if self._disturbed is None:
            return x
        kernel = drawn.disturb(self._real, recipe.noise, recipe.missing)
        operands = n_in, n_in - recipe.condition, self._key, place_of(step, 0), self._real(recipe.level), x, self._disturbed
        self._launch(kernel, rows, counters(n_in), *operands)
        return self._disturbed

    def _drop(self, number, rows, step):
        p, n, real = self._dropout[number], self._layers[number][1], self._real
        if p:
            operands = n, self._key, place_of(step, 2 * number + 1), real(p), real(1 / (1 - p))
            outputs = self._gates[number], self._gated[number]
            self._launch(drawn.drop(real), rows, counters(n), *operands, self._values[number], *outputs)

    def _draw(self, x, rows, step):
        code, k = self._recipe.code, self._half
        operands = k, self._key, place_of(step, 2 * code + 2), self._gated[code], x, self._layers[0][0], self._recipe.condition
        outputs = self._spread, self.outputs[code], self.penalties
        self._launch(drawn.gaussian_code(self._real), rows, counters(k), *operands, *outputs)

    def backward(self, number, delta, weight, place):
        """dz of a layer, from dz and the weight of the one above."""
        real, (rows, _, factor), kept, gate = self._real, place, self._kepts[number], self._gates[number]
        (_, _, activation, _), (n_in, n_out, _, _) = self._layers[number : number + 2]
        gated, by_code, dz = gate is not None, self._recipe.gaussian and number == self._recipe.code, self._deltas[number]
        gate = gate if gated else kept
        if by_code:
            epilogue, operands = epilogues.input_gradient(real, 0), (self._by_code,) * 3
        else:
            epilogue, operands = epilogues.input_gradient(real, activation, gated), (kept, gate, dz)
        multiply(real, rows, n_in, n_out, delta, weight, False, True, epilogue, operands, self._stream)
        if by_code:
            kernel = drawn.gaussian_code_gradient(real, activation, gated)
            pull = real(factor * self._recipe.kl_weight / rows)
            code = self._half, pull, self._gated[number], kept, gate, self._spread, self._by_code, dz
            self._launch(kernel, rows, self._half, *code)
        return dz


class LastLayer:
    """The last layer, the loss, its gradient by z (``delta``), and the tally (``totals``: of the loss, of its penalties)."""

    def __init__(self, layer, batch_size, real, loss, recipe, stream):
        self._layer, self._real, self._loss, self._recipe, self._stream = layer, real, loss, recipe, stream
        n_out, activation = layer[1:3]
        self.delta = matrix(batch_size, n_out, real)
        self._kept = matrix(batch_size, n_out, real) if loss in WHOLE_ROW and keeps_input(activation) else self.delta
        weight = recipe.feature_weight
        self._feature_weight = None if weight is None else uploaded(checks.contiguous(weight, np.dtype(real), n_out)[None])
        most = max(self._parts(tile, batch_size) for tile in TILES[real])  # fewer rows may have another tile
        self._losses = cuda.device_array(max(most, batch_size), real)
        self.totals = cuda.device_array(2, np.float64)

    def _parts(self, tile, rows):
        """Threads of the last layer's product, each of which leaves a part of the loss."""
        across, down = grid(tile, rows, self._layer[1])
        return across * down * threads(tile)

    def forward(self, parameters, x, target, sample_weight, divisor, rows):
        """The gradient, and the loss in parts. sample_weight: (1, rows), or None."""
        real, (n_in, n_out, activation, _), (weight, bias) = self._real, self._layer, parameters
        weighted, scale = sample_weight is not None, real(1 / divisor)
        if not weighted:
            sample_weight = bias
        if self._loss in WHOLE_ROW:
            hidden(real, self._layer, parameters, x, rows, self.delta, self._kept, self._stream)
            kernel = losses.row_losses(real, self._loss, activation, weighted)
            whole = n_out, self.delta, self._kept, target, scale, sample_weight, self.delta, self._losses
            losses.launch_by_rows(kernel, rows, *whole, stream=self._stream)
            return
        by_feature = self._feature_weight is not None
        epilogue = epilogues.last_layer(real, activation, self._loss, weighted, by_feature, self._recipe.missing)
        factors = sample_weight, self._feature_weight if by_feature else bias
        operands = bias, target, self.delta, scale, self._losses, *factors
        multiply(real, rows, n_out, n_in, x, weight, False, False, epilogue, operands, self._stream)

    def tally(self, passage, divisor, place, number, failed):
        """The step's loss and penalties; ``number`` is that of the step in the run."""
        rows, _, factor = place
        n_losses = rows if self._loss in WHOLE_ROW else self._parts(tile_of(self._real, rows, self._layer[1]), rows)
        penalties = passage.penalties, passage.n_penalties(rows), float(factor * self._recipe.kl_weight)
        operands = self._losses, n_losses, float(divisor), *penalties, float(rows), number, self.totals, failed
        losses.tally[1, THREADS, self._stream](*operands)
