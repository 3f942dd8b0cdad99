"""The NumPy backend: every kernel of README.md in a few lines, the oracle of all other backends.

Shapes: x (B, I), weight (O, I), bias (O,), y and z (B, O). Gradients are ``d`` + name. Outputs are written in place.
"""

import math
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_double, c_float, c_ssize_t, c_void_p
from typing import Any

import numpy as np

from . import noise
from .names import ACTIVATIONS, LOSSES, OPTIMIZERS, PER_SAMPLE, WHOLE_ROW, keeps_input
from .recipe import check

LEAKY_SLOPE = 0.01
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def info():
    """What this backend runs on, for ``show_versions``."""
    return f"NumPy {np.__version__}"


# ---- matrix products -------------------------------------------------------------------------------------------------


def matmul(a, b, c, alpha, beta, n_threads):
    """C := alpha A B + beta C. C is not read where beta is 0."""
    product = np.matmul(a, b)
    product *= product.dtype.type(alpha)
    if beta != 0:
        product += c.dtype.type(beta) * c
    c[...] = product


def linear(x, weight, bias, activation, y, keep, n_threads):
    """y := f(x W^T + b). ``keep``, where it is not None, receives the argument of f."""
    np.matmul(x, weight.T, out=y)
    if bias is not None:
        y += bias
    if keep is not None:
        keep[...] = y
    activate(activation, y, y, n_threads)


def linear_grad_input(dz, weight, activation, kept, dx, n_threads):
    """dx := (dz W) f'(kept), where f is the activation of the layer below, which made x."""
    np.matmul(dz, weight, out=dx)
    differentiate(activation, kept, dx, dx, n_threads)


def linear_grad_weight(dz, x, dweight, dbias, n_threads):
    """dW := dz^T x, db := the sum of dz over the batch (unless ``dbias`` is None)."""
    np.matmul(dz.T, x, out=dweight)
    if dbias is not None:
        np.sum(dz, axis=0, out=dbias)


# ---- activations: the value, then the slope --------------------------------------------------------------------------


def _sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def _normal_cdf(z):
    return (0.5 * _erfc(-z * math.sqrt(0.5))).astype(z.dtype)


def _softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


_FORWARD: dict[str, Callable[[Any], Any]] = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z <= 0, z.dtype.type(LEAKY_SLOPE) * z, z),
    "elu": lambda z: np.where(z <= 0, np.expm1(np.minimum(z, 0)), z),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": _softplus,
    "gelu": lambda z: z * _normal_cdf(z),
    "silu": lambda z: z * _sigmoid(z),
}

_SLOPE: dict[str, Callable[[Any], Any]] = {  # from the output y, or the input z where names.keeps_input
    "relu": lambda y: y > 0,
    "leaky_relu": lambda y: np.where(y > 0, 1, y.dtype.type(LEAKY_SLOPE)),
    "elu": lambda y: np.where(y > 0, 1, y + 1),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
    "softplus": lambda y: -np.expm1(-y),
    "gelu": lambda z: _normal_cdf(z) + z * np.exp(-0.5 * z * z) * z.dtype.type(1 / math.sqrt(2 * math.pi)),
    "silu": lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z))),
}


def activate(activation, z, y, n_threads):
    """y := f(z), in place or not."""
    if activation >= len(ACTIVATIONS):
        _own("activation", activation, z.dtype)[0](z.size, z.ctypes.data, y.ctypes.data)
        return
    f = _FORWARD.get(ACTIVATIONS[activation])
    if f is not None:
        y[...] = f(z)
    elif y is not z:
        y[...] = z


def differentiate(activation, kept, dy, dz, n_threads):
    """dz := dy f'(z), in place or not. ``kept`` is y = f(z), or z where names.keeps_input says so; unused for identity."""
    if activation >= len(ACTIVATIONS):
        _own("activation", activation, dy.dtype)[1](dy.size, kept.ctypes.data, dy.ctypes.data, dz.ctypes.data)
        return
    slope = _SLOPE.get(ACTIVATIONS[activation])
    if slope is not None:
        np.multiply(dy, slope(kept), out=dz)
    elif dz is not dy:
        dz[...] = dy


# ---- losses: the terms, their slopes by y ----------------------------------------------------------------------------


def _bce(y, t):
    with np.errstate(divide="ignore"):
        return -(t * np.maximum(np.log(y), -100) + (1 - t) * np.maximum(np.log1p(-y), -100))


def _huber(y, t):
    d = np.abs(y - t)
    return np.where(d <= 1, 0.5 * d * d, d - 0.5)


_LOSS = {
    "half_squared": (lambda y, t: 0.5 * (y - t) ** 2, lambda y, t: y - t),
    "mse": (lambda y, t: (y - t) ** 2, lambda y, t: 2 * (y - t)),
    "bce": (_bce, lambda y, t: (y - t) / np.maximum(y * (1 - y), y.dtype.type(1e-12))),
    "bce_with_logits": (lambda y, t: _softplus(y) - y * t, lambda y, t: _sigmoid(y) - t),
    "mae": (lambda y, t: np.abs(y - t), lambda y, t: np.sign(y - t)),
    "huber": (_huber, lambda y, t: np.clip(y - t, -1, 1)),
    "poisson": (lambda y, t: np.exp(y) - y * t, lambda y, t: np.exp(y) - t),
}


def _multinomial(y, t):
    """-t log softmax(y), summed; its slope is softmax(y) sum(t) - t."""
    largest, counts = y.max(axis=1, keepdims=True), t.sum(axis=1, keepdims=True)
    e = np.exp(y - largest)
    total = e.sum(axis=1, keepdims=True)
    value = (counts * (largest + np.log(total)))[:, 0] - (t * y).sum(axis=1)
    return value.astype(np.float64), e * (counts / total) - t


def _cosine(y, t):
    """1 - y t / (|y| |t|), norms of at least 1e-8, as in PyTorch."""
    least = y.dtype.type(1e-8)
    a, b = np.sqrt((y * y).sum(axis=1, keepdims=True)), np.sqrt((t * t).sum(axis=1, keepdims=True))
    u, v = y / np.maximum(a, least), t / np.maximum(b, least)
    cosine = (u * v).sum(axis=1, keepdims=True)
    slopes = (np.where(a > least, cosine, 0) * u - v) / np.maximum(a, least)
    return (1 - cosine[:, 0]).astype(np.float64), slopes


def _divisor(loss, rows, n):
    """What the sum of all terms is divided by."""
    return rows if loss in PER_SAMPLE else rows * n


def _terms(loss, y, t, weight=None, missing=False):
    """Each sample's sum (float64), and all slopes by y. weight (n,) of the features; missing: NaN in t is absent."""
    if loss in WHOLE_ROW:
        return (_multinomial if LOSSES[loss] == "multinomial" else _cosine)(y, t)
    absent = np.isnan(t) if missing else np.zeros((), bool)
    t = np.where(absent, 0, t) if missing else t
    if loss >= len(LOSSES):
        terms, slopes = _own_terms(loss, y, t)
    else:
        term, slope = _LOSS[LOSSES[loss]]
        terms, slopes = term(y, t), slope(y, t).astype(y.dtype)
    terms, slopes = np.where(absent, 0, terms), np.where(absent, 0, slopes)
    if weight is not None:
        terms, slopes = terms * weight, slopes * weight
    return np.sum(terms, axis=1, dtype=np.float64), slopes


def loss(loss, y, target, dy, n_threads):
    """The loss of a batch, summed in float64; ``dy`` (None, y or another array) receives its gradient."""
    n = _divisor(loss, *y.shape)
    sums, slopes = _terms(loss, y, target) if y.size else (np.zeros(len(y)), np.zeros_like(y))
    if dy is not None:
        dy[...] = slopes * y.dtype.type(1 / max(n, 1))
    return float(np.sum(sums)) / max(n, 1)


def sample_losses(loss, y, target, out, n_threads):
    """out (B,) of float64 := each sample's sum over features."""
    out[...] = _terms(loss, y, target)[0] if y.size else 0


# ---- functions of the user's own: C functions of rows, see numba/rows.py ---------------------------------------------

_OWN: dict[tuple[str, int, Any], list[Any]] = {}
_ARGUMENTS = {"activation": ["zy", "zyy"], "loss": ["yt.yt"]}  # a letter for an array, a dot for a number


def define(kind, number, dtype, functions):
    """Learn an activation (its value and its slope) or a loss (its terms): addresses of C functions for a dtype."""
    real = c_float if dtype == np.float32 else c_double
    _OWN[kind, number, dtype] = [
        CFUNCTYPE(None, c_ssize_t, *(real if a == "." else c_void_p for a in arguments))(address)
        for arguments, address in zip(_ARGUMENTS[kind], functions, strict=True)
    ]


def _own(kind, number, dtype):
    if (kind, number, dtype) not in _OWN:
        raise IndexError(f"there is no {kind} {number}")
    return _OWN[kind, number, dtype]


def _own_terms(loss, y, target):
    terms, slopes = np.empty_like(y), np.empty_like(y)
    y, target = np.ascontiguousarray(y), np.ascontiguousarray(target)
    _own("loss", loss, y.dtype)[0](y.size, y.ctypes.data, target.ctypes.data, 1.0, slopes.ctypes.data, terms.ctypes.data)
    return terms, slopes


# ---- optimisers ------------------------------------------------------------------------------------------------------


def update(weight, dweight, velocity, square, optimizer, step, n_threads):
    """One update of flat arrays, as PyTorch defines it. False, and nothing written, where a result is not finite.

    optimizer: (kind, lr, momentum, nesterov, weight_decay, beta, eps); step: updates before this one. With g := dw + decay w:

    sgd      v := momentum v + g;  w := w - lr (g + momentum v if nesterov else v)
    adam     v := v + (1 - momentum)(g - v);  s := beta s + (1 - beta) g^2
             w := w - lr / (1 - momentum^t) v / (sqrt(s / (1 - beta^t)) + eps), t = step + 1
    adamw    the same with g := dw, after w := (1 - lr decay) w
    rmsprop  s := beta s + (1 - beta) g^2;  v := momentum v + g / (sqrt(s) + eps);  w := w - lr v
    """
    kind, lr, momentum, nesterov, decay, beta, eps = optimizer
    kind, real = OPTIMIZERS[kind], weight.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        w, v, s = weight, velocity, square
        if kind == "adamw":
            w, g = real(1 - lr * decay) * w, dweight
        else:
            g = dweight + real(decay) * w if decay else dweight
        if kind != "sgd":
            s = real(beta) * s + real(1 - beta) * g * g
        if kind in ("adam", "adamw"):
            v = v + real(1 - momentum) * (g - v)
            root = real((1 - beta ** (step + 1)) ** -0.5)
            new = w - real(lr / (1 - momentum ** (step + 1))) * v / (np.sqrt(s) * root + real(eps))
        else:
            d = g / (np.sqrt(s) + real(eps)) if kind == "rmsprop" else g
            v = real(momentum) * v + d if momentum else d
            new = w - real(lr) * (d + real(momentum) * v if nesterov and kind == "sgd" else v)
    if not all(np.isfinite(a).all() for a in (new, v, *([] if kind == "sgd" else [s]))):
        return False
    weight[...] = new
    if momentum or kind in ("adam", "adamw"):
        velocity[...] = v
    if kind != "sgd":
        square[...] = s
    return True


# ---- the order of an epoch -------------------------------------------------------------------------------------------

_ROUNDS = 8
_MIX = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


def shuffled(key, epoch, n, first, rows):
    """rows (int64) := the rows at the places from first on, of n rows in the order of an epoch; see README.md."""
    if not 0 <= first <= first + len(rows) <= n:
        raise ValueError(f"places {first} to {first + len(rows)} are not among {n} rows")
    bits = max(2, (n - 1).bit_length())
    low = np.uint64(bits // 2)
    left_mask, right_mask = np.uint64((1 << (bits - bits // 2)) - 1), np.uint64((1 << (bits // 2)) - 1)
    with np.errstate(over="ignore"):
        keys = np.array([(key + (epoch * _ROUNDS + j + 1) * 0x9E3779B97F4A7C15) % 2**64 for j in range(_ROUNDS)], np.uint64)
        keys = (keys ^ (keys >> np.uint64(30))) * _MIX[0]
        keys = (keys ^ (keys >> np.uint64(27))) * _MIX[1]
        keys ^= keys >> np.uint64(31)

        def function(x, key):
            x = (x ^ key) * _MIX[0]
            return ((x ^ (x >> np.uint64(32))) * _MIX[1]) >> np.uint64(32)

        x, outside = np.arange(first, first + len(rows), dtype=np.uint64), np.arange(len(rows))
        while len(outside):
            left, right = x[outside] >> low, x[outside] & right_mask
            for j in range(0, _ROUNDS, 2):
                left ^= function(right, keys[j]) & left_mask
                right ^= function(left, keys[j + 1]) & right_mask
            x[outside] = left << low | right
            outside = outside[x[outside] >= n]
    rows[...] = x


# ---- the training plan -----------------------------------------------------------------------------------------------


def _batch(source, rows, dtype):
    """Rows of a float32, float64 or uint8 matrix, or a CSR one, in the model's dtype; uint8 counts as 0 to 1."""
    taken = source[rows].toarray() if hasattr(source, "toarray") else source[rows]
    if taken.dtype == np.uint8:
        return np.multiply(taken, dtype.type(1 / 255), dtype=dtype)
    return np.ascontiguousarray(taken, dtype)


class Inference:
    """Forward passes of one network; see README.md.

    Parameters
    ----------
    layers : list of (n_in, n_out, activation, has_bias)
    weights : (P,) array, read at each run
    """

    def __init__(self, layers, weights):
        self.layers = [(w, b, activation) for w, b, activation in _views(layers, weights)]

    def run(self, x, out, n_threads):
        """out := the network's output for x. Whether all of x is finite in the weights' dtype."""
        dtype = out.dtype
        with np.errstate(over="ignore", invalid="ignore"):
            y = _batch(x, slice(None), dtype)
            finite = bool(np.isfinite(y).all())
            for w, b, activation in self.layers:
                z = np.empty((len(y), len(w)), dtype)
                linear(y, w, b, activation, z, None, n_threads)
                y = z
        out[...] = y
        return finite


def _views(layers, flat):
    """(W, b or None, activation) of each layer in a flat array."""
    at, views = 0, []
    for n_in, n_out, activation, has_bias in layers:
        w = slice(at, at + n_in * n_out)
        at = w.stop + n_out * has_bias
        views.append((flat[w].reshape(n_out, n_in), flat[w.stop : at] if has_bias else None, activation))
    if at != len(flat):
        raise ValueError(f"the layers hold {at} weights and biases, the flat array {len(flat)}")
    return views


class Plan:
    """Buffers and loops for training one network; see README.md.

    Parameters
    ----------
    layers : list of (n_in, n_out, activation, has_bias)
    weights, velocity, square : (P,) arrays, for each layer W (row-major) and then b; None where the optimiser has none
    batch_size : most rows of a batch
    loss : number of the loss
    n_threads : threads of each call, may be changed
    recipe : Recipe, or None
    """

    def __init__(self, layers, weights, velocity, batch_size, loss, n_threads, square=None, recipe=None):
        self.weights, self.velocity, self.square, self.batch_size = weights, velocity, square, batch_size
        self.loss, self.n_threads, self.done, self.total, self.penalty = loss, n_threads, 0, 0.0, 0.0
        self.recipe = check(recipe, layers, loss)
        self.layers, self._gradients = layers, np.zeros_like(weights)
        self._views, self._slopes = _views(layers, weights), _views(layers, self._gradients)

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
        self.done, self.total, self.penalty, size = 0, total, 0.0, self.batch_size * self.recipe.accumulate
        for number, start in enumerate(range(first, last, size)):
            stop = min(start + size, last)
            rows = np.arange(start, stop) if order is None else order[start:stop]
            rates, factor = optimizer, 1.0
            if schedule is not None:
                lr, momentum, factor = map(float, schedule[number])
                rates = (optimizer[0], lr, momentum, *optimizer[3:])
            with np.errstate(over="ignore", invalid="ignore"):
                value, penalty = self._gradient(x, target, rows, step + number, factor, sample_weight)
                if not math.isfinite(value) or not self._update(rates, step + number):
                    return start - first, total
            total += value * (stop - start)
            self.done, self.total = stop - first, total
            self.penalty += penalty * (stop - start)
            if gradients is not None:
                gradients[...] = self._gradients
        return last - first, total

    def _update(self, rates, step):
        """One update with the gradient of the step, clipped."""
        g = self._gradients
        if self.recipe.clip_norm < math.inf:
            norm = math.sqrt(float(np.sum(np.square(g, dtype=np.float64))))
            g = g * g.dtype.type(min(self.recipe.clip_norm / (norm + 1e-6), 1))
        if self.recipe.clip_value < math.inf:
            g = np.clip(g, -self.recipe.clip_value, self.recipe.clip_value)
        taken = update(self.weights, g, self.velocity, self.square, rates, step, self.n_threads)
        self._tie(self.weights)
        return taken

    def _tie(self, flat):
        """Give the upper half of the layers the transposed weights of the lower half."""
        views = _views(self.layers, flat)
        for below, above in zip(views[: len(views) // 2], views[::-1], strict=False) if self.recipe.tied else ():
            above[0][...] = below[0].T

    def _gradient(self, x, target, rows, step, factor, sample_weight):
        """The gradient of a step, batch after batch; its loss, and the part of that which is penalties."""
        recipe, dtype, n_out = self.recipe, self.weights.dtype, self.layers[-1][1]
        self._tie(self.weights)
        own_target = target is x
        goals = [_batch(target, rows, dtype)[:, :n_out]]
        divisor = len(rows) / recipe.scale if recipe.scale else _divisor(self.loss, len(rows), n_out)
        if recipe.missing and not recipe.scale and self.loss not in PER_SAMPLE:
            divisor = max(int(np.sum(~np.isnan(goals[0]))), 1)
        self._gradients[...] = 0
        value = penalty = 0.0
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            inputs = _batch(x, part, dtype)
            goal = inputs[:, :n_out] if own_target else _batch(target, part, dtype)
            weight = None if sample_weight is None else sample_weight[part]
            sums, pull = self._pass(inputs, goal, own_target, (step, start), divisor, len(rows), factor, weight)
            value, penalty = value + sums / divisor + pull / len(rows), penalty + pull / len(rows)
        return value, penalty

    def _pass(self, x, goal, own_target, place, divisor, step_rows, factor, sample_weight):
        """Forward and backward of a batch: adds to the gradient; returns the sums of the loss and of the penalties."""
        recipe, n = self.recipe, len(x)
        x, goal = self._disturbed(x, goal, own_target, place)
        each = np.ones((n, 1), x.dtype) if sample_weight is None else sample_weight[:, None].astype(x.dtype)
        inputs, kepts, backwards, pull = [x], [], [], 0.0
        for number, (w, b, activation) in enumerate(self._views):
            z = np.empty((n, len(w)), x.dtype)
            keep = np.empty_like(z) if keeps_input(activation) else None
            linear(inputs[-1], w, b, activation, z, keep, self.n_threads)
            kepts.append(z if keep is None else keep)
            y, ungate = self._gated(number, z, place)
            y, at_code, unpull = self._code(number, y, x, place, step_rows, factor, each)
            pull += at_code
            inputs.append(y)
            backwards.append((unpull, ungate))
        sums, dy = _terms(self.loss, inputs[-1], goal, recipe.feature_weight, recipe.missing)
        sums, dy = sums * each[:, 0], dy * each * x.dtype.type(1 / divisor)
        for number in reversed(range(len(self._views))):
            w, _, activation = self._views[number]
            for backward in backwards[number]:
                dy = backward(dy)
            dz = np.empty((n, len(w)), x.dtype)
            differentiate(activation, kepts[number], np.ascontiguousarray(dy), dz, self.n_threads)
            if number == 0 and recipe.contractive:
                pull += self._contract(kepts[0], dz, step_rows, factor, each)
            self._add(number, dz, inputs[number])
            dy = dz @ w
        return float(np.sum(sums)), pull

    def _add(self, number, dz, x):
        """Add to the gradient of a layer, or for tied weights to that of the layer whose weights it has."""
        dw, db, _ = self._slopes[number]
        if self.recipe.tied and number >= len(self._slopes) // 2:
            self._slopes[len(self._slopes) - 1 - number][0][...] += x.T @ dz
        else:
            dw += dz.T @ x
        if db is not None:
            db += dz.sum(axis=0)

    # What a recipe adds. ``place``: the step, and the first sample's place in it.

    def _uniform(self, place, stream, like):
        samples, features = like.shape
        return noise.uniform(self.recipe.key, place[0], stream, place[1], samples, features, like.dtype)

    def _normal(self, place, stream, like):
        samples, features = like.shape
        return noise.normal(self.recipe.key, place[0], stream, place[1], samples, features, like.dtype)

    def _disturbed(self, x, goal, own_target, place):
        """The input with noise and without NaN, and the target."""
        kind, level, real = self.recipe.noise, self.recipe.level, x.dtype.type
        if self.recipe.missing:
            x = np.where(np.isnan(x), 0, x)
        if kind is not None:
            whole, x = x, x[:, : x.shape[1] - self.recipe.condition]
            if kind == "gaussian":
                x = x + real(level) * self._normal(place, 0, x)
            else:
                u = self._uniform(place, 0, x)
                if kind == "masking":
                    x = np.where(u < real(level), 0, x)
                elif kind == "dropout":
                    x = np.where(u < real(level), 0, x * real(1 / (1 - level)))
                elif kind == "salt_and_pepper":
                    x = np.where(u < real(level), u < real(level / 2), x).astype(x.dtype)
                else:
                    x = (u < x).astype(x.dtype)
            x = np.concatenate([x, whole[:, x.shape[1] :]], axis=1)
            if kind == "binarize" and own_target:
                goal = x[:, : goal.shape[1]]
        return np.ascontiguousarray(x), goal

    # Each of these two returns its output and, last, the function from the gradient by that to the gradient by its input.

    def _gated(self, number, y, place):
        """A layer's outputs after top_k and dropout."""
        recipe, gate = self.recipe, np.ones((), y.dtype)
        if recipe.top_k and number == recipe.code:
            gate = (y >= np.partition(y, -recipe.top_k, axis=1)[:, -recipe.top_k, None]).astype(y.dtype)
        if recipe.dropout and number < len(recipe.dropout) and recipe.dropout[number]:
            p = recipe.dropout[number]
            dropped = self._uniform(place, 2 * number + 1, y) < y.dtype.type(p)
            gate = gate * np.where(dropped, 0, y.dtype.type(1 / (1 - p)))
        return y * gate, lambda dy: dy * gate

    def _code(self, number, y, x, place, rows, factor, each):
        """What follows a layer, and the penalties on it, summed over the batch. each: the samples' weights, (rows, 1)."""
        recipe, real = self.recipe, y.dtype.type
        if number == recipe.code and recipe.gaussian:
            return self._drawn(y, x, place, rows, factor, each)
        if number == recipe.code and recipe.l1:
            weight, slope = factor * recipe.l1, real(factor * recipe.l1 / rows) * each
            return y, weight * float(np.sum(np.abs(y) * each, dtype=np.float64)), lambda dy: dy + slope * np.sign(y)
        if number == recipe.code and recipe.kl:
            weight, rho = factor * recipe.kl, recipe.rho
            mean = np.clip(np.mean(y, axis=0, dtype=np.float64), 1e-7, 1 - 1e-7)
            kl = rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean))
            slopes = (weight / rows * ((1 - rho) / (1 - mean) - rho / mean)).astype(y.dtype)
            return y, weight * len(y) * float(np.sum(kl)), lambda dy: dy + slopes
        return y, 0.0, lambda dy: dy

    def _drawn(self, y, x, place, rows, factor, each):
        """A Gaussian code, from means and logarithms of variances, and the condition behind it."""
        recipe, real, k = self.recipe, y.dtype.type, y.shape[1] // 2
        weight, mean, log_variance = factor * recipe.kl_weight, y[:, :k], y[:, k:]
        variance, deviation = np.exp(log_variance), np.exp(real(0.5) * log_variance)
        eps = self._normal(place, 2 * recipe.code + 2, mean)
        condition = x[:, x.shape[1] - recipe.condition :]
        kl = 0.5 * np.sum((variance + mean * mean - 1 - log_variance) * each, dtype=np.float64)
        pull = real(weight / rows) * each

        def backward(dy):
            dy = dy[:, :k]
            half = real(0.5) * (dy * eps * deviation + pull * (variance - 1))
            return np.concatenate([dy + pull * mean, half], axis=1)

        return np.concatenate([mean + deviation * eps, condition], axis=1), weight * kl, backward

    def _contract(self, h, dz, rows, factor, each):
        """The penalty of squared slopes f'(z) W, their sum over the batch; adds to dz and to the gradient of W."""
        (w, _, activation), real = self._views[0], h.dtype.type
        first, second = (h * (1 - h), 1 - 2 * h) if ACTIVATIONS[activation] == "sigmoid" else (1 - h * h, -2 * h)
        weight, norms = factor * self.recipe.contractive, np.sum(w * w, axis=1)
        dz += real(2 * weight / rows) * norms * (first * first * second) * each
        total = np.sum(first * first * each, axis=0)
        self._slopes[0][0][...] += real(2 * weight / rows) * total[:, None] * w
        return weight * float(np.sum(norms * total, dtype=np.float64))
