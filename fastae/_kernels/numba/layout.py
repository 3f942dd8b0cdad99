"""A training plan's buffers, laid out by NumPy for the loops in training.py and recipes.py."""

import numpy as np

from ..names import ACTIVATIONS, NOISES, PER_SAMPLE, WHOLE_ROW, keeps_input
from . import team as threads
from .backward import BLOCK, LOSS_FEATURES, RECTANGLE, TRAINING
from .machine import MR, NV, VECTOR_BYTES
from .network import BLOCK_SAMPLES, LAYER, LINE, MANY, MATRIX, Arena, halfway, most_samples
from .stages import DESK, NONE, RECIPE

TILE_BYTES = MR * NV * VECTOR_BYTES
ROOM = 2 * TILE_BYTES + LOSS_FEATURES * BLOCK_SAMPLES * 8 + 1024  # a tile and zeros, then a tile or two, or rows of the loss
_NOTHING, _IDENTITY = (0, 0), ACTIVATIONS.index("identity")


def pieces(n, size):
    """0 to n in pieces of a size at most, none of them in both halves; as cython/plan.pxi, for the same bits of clip_norm."""
    half = halfway.py_func(n)
    return [(a, min(a + size, end)) for start, end in ((0, half), (half, n)) for a in range(start, end, size)]


def rectangles_of(layers, tied=False):
    """(layer, o0, o1, i0, i1, weights before): BLOCK x BLOCK where that makes many, else half of it each way. Tied layers have
    biases alone."""
    for block in (BLOCK, BLOCK // 2):
        found = [
            (l, o, o1, i, i1)
            for l, (n_in, n_out, _, _) in enumerate(layers)
            for inputs in (0 if tied and 2 * l >= len(layers) else n_in,)
            for i, i1 in pieces(inputs, block) or [(0, 0)]
            for o, o1 in pieces(n_out, block)
        ]
        if len(found) >= 32:
            break
    sizes = [(o1 - o0) * (i1 - i0) for _, o0, o1, i0, i1 in found]
    return [(*q, sum_before) for q, sum_before in zip(found, np.cumsum([0, *sizes[:-1]]), strict=True)]


class Layout:
    """The buffers of a network's plan, and the records that tell of them: job, and once it is asked for, a recipe."""

    def __init__(self, shapes, recipe, loss, batch_size, dtype, states, tiny):
        """states: the flat arrays by name, None where there is none."""
        self._shapes, self._recipe, self._loss, self._rows, self._dtype = shapes, recipe, loss, batch_size, dtype
        self._arena, self._blocks, self._record, self.members = Arena(), None, None, 0
        self.job = np.zeros(1, TRAINING)
        self._address, self._layers = self._arena.records(len(shapes), LAYER)
        at = 0
        for l, (n_in, n_out, _, has_bias) in enumerate(shapes):
            self._layers[l]["weight_at"], self._layers[l]["bias_at"] = at, at + n_in * n_out if has_bias else -1
            at += (n_in + bool(has_bias)) * n_out
            self._of_weights(l, [name for name in ("velocity", "square") if states[name] is not None], tiny)
            self._of_samples(l)
        self._of_job(states)

    def _is_transposed(self, l):
        """Whether a layer has another's weights."""
        return self._recipe.tied and 2 * l >= len(self._shapes)

    def _passed(self, l):
        """The number of features that the layer above receives."""
        return self._shapes[l + 1][0] if l + 1 < len(self._shapes) else self._shapes[l][1]

    def _of_weights(self, l, states, tiny):
        layer, arena, size, (n_in, n_out, *_) = self._layers[l], self._arena, self._dtype.itemsize, self._shapes[l]
        layer["across"] = 1
        if self._is_transposed(l):
            data, stride = self._layers[len(self._shapes) - 1 - l]["weight"]
            layer["weight"], layer["across"] = (data, 1), stride
        kinds = [*states, "gradient"] if self._recipe.unfused else states
        for name in kinds if self._is_transposed(l) else ("weight", *kinds):
            layer[name] = _NOTHING if self._is_transposed(l) else arena.matrix(n_out, n_in, size)
        for name in ("bias", *(f"bias_{kind}" for kind in kinds)):
            layer[name] = arena.matrix(1, n_out, size)[0]
        for name in ("turned", *(f"turned_{kind}" for kind in states)) if tiny else ():
            layer[name] = arena.matrix(n_in, n_out, size)

    def _of_samples(self, l):
        layer, arena, rows, size, recipe = self._layers[l], self._arena, self._rows, self._dtype.itemsize, self._recipe
        n_in, n_out, activation, _ = self._shapes[l]
        few, widest = min(rows, MANY), max(n_out, self._passed(l))
        layer["n_in"], layer["n_out"], layer["activation"], layer["keeps_input"] = (
            n_in,
            n_out,
            activation,
            keeps_input(activation),
        )
        layer["x_rows"] = arena.matrix(rows, n_in, size) if l == 0 else self._layers[l - 1]["y_rows"]
        layer["y_rows"] = arena.matrix(rows if l < len(self._shapes) - 1 else few, widest, size)
        layer["dz"], layer["dz_rows"] = (
            arena.matrix(widest, rows, size),
            arena.matrix(rows if self._is_transposed(l) else few, widest, size),
        )
        layer["kept_rows"] = arena.matrix(few, n_out, size) if layer["keeps_input"] else layer["y_rows"]
        if recipe.contractive and l == 0:
            layer["squared"] = arena.matrix(n_out, rows, size)
        layer["dropout"] = recipe.dropout[l] if l < len(recipe.dropout) else 0
        on_code = l == recipe.code and (recipe.gaussian or recipe.l1 or recipe.kl)
        layer["staged"] = bool(self._has_gate(l) or on_code or (l == 0 and recipe.contractive))
        layer["slope"] = _IDENTITY if layer["staged"] else activation
        layer["in_rows"] = l + 1 < len(self._shapes) and not (
            layer["staged"] or layer["keeps_input"] or self._is_transposed(l + 1)
        )

    def _has_gate(self, l):
        return self._layers[l]["dropout"] > 0 or (l == self._recipe.code and self._recipe.top_k > 0)

    def _of_job(self, states):
        job, arena, rows = self.job, self._arena, self._rows
        rectangles = rectangles_of(self._shapes, self._recipe.tied)
        job["layers"], job["n_layers"], job["batch_size"], job["loss"] = self._address, len(self._shapes), rows, self._loss
        job["target_rows"] = arena.matrix(rows, self._shapes[-1][1], self._dtype.itemsize)
        job["ones"], ones = arena.records(rows + LINE, self._dtype)
        ones[:] = 1
        job["losses_apart"] = rows + LINE
        job["sample_loss"], job["finite"] = arena.take(2 * (rows + LINE) * 8), arena.take(threads.MAX_TEAM * 8)
        job["rectangles"], array = arena.records(len(rectangles), RECTANGLE)
        array[:] = rectangles
        *_, o0, o1, i0, i1, before = rectangles[-1]
        job["n_rectangles"], job["n_weights"] = len(rectangles), max(before + (o1 - o0) * (i1 - i0), 1)
        job["widest"], job["scale"] = max(max(shape[:2]) for shape in self._shapes), self._recipe.scale
        job["weights"] = states["weight"].ctypes.data
        for name in ("velocity", "square"):
            job[name] = 0 if states[name] is None else states[name].ctypes.data

    def _most_blocks(self, members):
        """Blocks that a team of at most so many members holds at once: all of a batch where it goes forward as a whole."""
        if not self._recipe.kl:
            return members
        most = most_samples.py_func(int(self.job["widest"][0]), self._dtype.itemsize)
        lines = -(-self._rows // LINE)
        return max(size * -(-(-(-lines // size) * LINE) // most) for size in range(1, members + 1))

    def give_blocks(self, members):
        """The members' own buffers, in which a block of many samples passes through the layers."""
        if members <= self.members:
            return
        shapes, size, samples, blocks = (
            self._shapes,
            self._dtype.itemsize,
            min(self._rows, BLOCK_SAMPLES),
            self._most_blocks(members),
        )
        self._blocks = arena = Arena()
        self.job["blocks"], layers = arena.records(blocks * len(shapes), LAYER)
        self.job["targets"], targets = arena.records(members, MATRIX)
        self.job["rooms"], self.job["room_bytes"] = arena.take(members * ROOM), ROOM
        layers[:] = np.tile(self._layers, blocks)
        most = int(self.job["widest"][0])
        for block in layers.reshape(blocks, -1):
            rows = arena.matrix(samples, most, size), arena.matrix(samples, most, size)
            x = arena.matrix(shapes[0][0], samples, size)
            for l, layer in enumerate(block):
                layer["x"], layer["y"], layer["dz_block"] = x, arena.matrix(layer["n_out"], samples, size), rows[l % 2]
                layer["kept"] = arena.matrix(layer["n_out"], samples, size) if layer["keeps_input"] else layer["y"]
                x = layer["passed"] = layer["y"]
                gaussian = self._recipe.gaussian and l == self._recipe.code
                if self._has_gate(l) or gaussian:
                    x = layer["passed"] = arena.matrix(self._passed(l), samples, size)
                layer["gate"] = arena.matrix(layer["n_out"], samples, size) if self._has_gate(l) else _NOTHING
                layer["eps"] = arena.matrix(layer["n_out"] // 2, samples, size) if gaussian else _NOTHING
        self._desks, desks = arena.records(members, DESK)
        widest = int(self.job["widest"][0]) + LINE
        for m in range(members):
            targets[m] = arena.matrix(shapes[-1][1], samples, size)
            for name in ("row", "pull", "means", "squares"):
                desks[m][name] = arena.take(widest * 8)
        self.members = members

    def clear_upper(self, flat):
        """0 where a flat array has what is of the weights of layers that have another's."""
        for l, (n_in, n_out, *_) in enumerate(self._shapes):
            at = int(self._layers[l]["weight_at"])
            flat[at : at + n_in * n_out * self._is_transposed(l)] = 0

    def _of_recipe(self):
        """What stays the same in all runs."""
        recipe, loss, arena, rows = self._recipe, self._loss, self._arena, self._rows
        self.job["recipe"], record = arena.records(1, RECIPE)
        r = record[0]
        r["key_low"], r["key_high"] = recipe.key % 2**32, recipe.key >> 32
        r["noise"] = NONE if recipe.noise is None else NOISES.index(recipe.noise)
        for name in ("condition", "code", "top_k", "gaussian", "tied", "missing", "accumulate", "unfused"):
            r[name] = getattr(recipe, name)
        for name in ("level", "l1", "kl", "rho", "kl_weight", "contractive", "clip_norm"):
            r[name] = getattr(recipe, name)
        r["whole"], r["weighted"] = loss in WHOLE_ROW, recipe.missing or recipe.feature_weight is not None
        r["counted"] = recipe.missing and not recipe.scale and loss not in PER_SAMPLE
        if recipe.feature_weight is not None:
            r["feature_weight"], weights = arena.records(self._shapes[-1][1], self._dtype)
            weights[:] = recipe.feature_weight
        r["weights"], r["penalties"] = arena.take((rows + LINE) * 8), arena.take((rows + LINE) * 8)
        r["norms"], r["counts"] = arena.take(int(self.job["n_rectangles"][0]) * 8), arena.take(threads.MAX_TEAM * 8)
        return r

    def give_recipe(self, own_target, sample_weight):
        """The record of the recipe for a run; own_target: the target is the input."""
        recipe = self._recipe
        if self._record is None:
            self._record = self._of_recipe()
        r = self._record
        r["desks"], r["own_target"], r["penalty"] = self._desks, own_target, 0.0
        r["sample_weight"] = 0 if sample_weight is None else sample_weight.ctypes.data
        r["in_blocks"] = recipe.in_blocks or self._loss in WHOLE_ROW or sample_weight is not None
        disturbed = recipe.missing or recipe.noise not in (None, "binarize")
        r["copies_input"] = own_target and disturbed and recipe.noise != "binarize"
        self.job["is_target_input"] = own_target and not r["copies_input"]
        return r
