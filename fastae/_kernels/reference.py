"""The NumPy backend: every kernel of README.md in a few lines, the oracle of all other backends.

Shapes: x (B, I), weight (O, I), bias (O,), y and z (B, O). Gradients are ``d`` + name. Outputs are written in place.
"""

import math
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_double, c_float, c_ssize_t, c_void_p
from typing import Any

import numpy as np

from .names import ACTIVATIONS, LOSSES, keeps_input

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


# ---- losses: the terms, their slope by y, and what their sum is divided by -------------------------------------------


def _bce(y, t):
    with np.errstate(divide="ignore"):
        return -(t * np.maximum(np.log(y), -100) + (1 - t) * np.maximum(np.log1p(-y), -100))


def _huber(y, t):
    d = np.abs(y - t)
    return np.where(d <= 1, 0.5 * d * d, d - 0.5)


_LOSS = {
    "half_squared": (lambda y, t: 0.5 * (y - t) ** 2, lambda y, t: y - t, lambda b, f: b),
    "mse": (lambda y, t: (y - t) ** 2, lambda y, t: 2 * (y - t), lambda b, f: b * f),
    "bce": (_bce, lambda y, t: (y - t) / np.maximum(y * (1 - y), y.dtype.type(1e-12)), lambda b, f: b * f),
    "bce_with_logits": (lambda y, t: _softplus(y) - y * t, lambda y, t: _sigmoid(y) - t, lambda b, f: b * f),
    "mae": (lambda y, t: np.abs(y - t), lambda y, t: np.sign(y - t), lambda b, f: b * f),
    "huber": (_huber, lambda y, t: np.clip(y - t, -1, 1), lambda b, f: b * f),
    "poisson": (lambda y, t: np.exp(y) - y * t, lambda y, t: np.exp(y) - t, lambda b, f: b * f),
}


def loss(loss, y, target, dy, n_threads):
    """The loss of a batch, summed in float64; ``dy`` (None, y or another array) receives its gradient."""
    if loss >= len(LOSSES):
        return _own_loss(loss, y, target, dy)
    term, slope, divisor = _LOSS[LOSSES[loss]]
    n = divisor(*y.shape)
    value = float(np.sum(term(y, target), dtype=np.float64)) / n if n else 0.0
    if dy is not None:
        dy[...] = slope(y, target) * y.dtype.type(1 / max(n, 1))
    return value


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


def _own_loss(loss, y, target, dy):
    terms, slopes, scale = np.empty_like(y), np.empty_like(y), 1 / max(y.size, 1)
    _own("loss", loss, y.dtype)[0](y.size, y.ctypes.data, target.ctypes.data, scale, slopes.ctypes.data, terms.ctypes.data)
    if dy is not None:
        dy[...] = slopes
    return float(np.sum(terms, dtype=np.float64)) * scale


# ---- optimiser -------------------------------------------------------------------------------------------------------


def sgd(weight, dweight, velocity, lr, momentum, nesterov, weight_decay, n_threads):
    """PyTorch's SGD on flat arrays. False, and nothing written, where a new weight or velocity is not finite.

    g := dw + decay w;  v := momentum v + g;  w := w - lr (g + momentum v if nesterov else v)
    """
    real = weight.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        g = dweight + real(weight_decay) * weight if weight_decay else dweight
        v = real(momentum) * velocity + g if momentum else g
        new = weight - real(lr) * (g + real(momentum) * v if nesterov else v)
    if not (np.isfinite(new).all() and np.isfinite(v).all()):
        return False
    weight[...] = new
    if momentum:
        velocity[...] = v
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
    """Rows of a float32, float64 or uint8 matrix in the model's dtype; uint8 counts as 0 to 1."""
    taken = source[rows]
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
    weights, velocity : (P,) arrays, for each layer W (row-major) and then b; velocity None without momentum
    batch_size : most rows of a step
    loss : number of the loss
    n_threads : threads of each call, may be changed
    """

    def __init__(self, layers, weights, velocity, batch_size, loss, n_threads):
        self.weights, self.velocity, self.batch_size = weights, velocity, batch_size
        self.loss, self.n_threads, self.done = loss, n_threads, 0
        self._gradients = np.empty_like(weights)
        self.layers = []
        for (w, b, activation), (dw, db, _) in zip(_views(layers, weights), _views(layers, self._gradients), strict=True):
            y, dz = np.empty((2, batch_size, len(w)), weights.dtype)
            keep = np.empty_like(y) if keeps_input(activation) else None
            self.layers.append((w, b, dw, db, activation, y, keep, dz))

    def run(self, x, target, order, first, last, sgd, gradients=None, total=0.0):
        """Steps over the rows order[first:last] (all of them in order if None), ``batch_size`` at a time, the last one shorter.

        Returns
        -------
        rows : int
            Rows done. Fewer than asked for: the next step's loss or weights would not be finite; not taken.
        total : float
            The argument, plus the loss times rows of each step.
        """
        dtype, self.done = self.weights.dtype, 0
        for start in range(first, last, self.batch_size):
            stop = min(start + self.batch_size, last)
            rows = slice(start, stop) if order is None else order[start:stop]
            batch = _batch(x, rows, dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                value = self._step(batch, batch if target is x else _batch(target, rows, dtype), sgd)
            if value is None:
                return start - first, total
            self.done = stop - first
            total += value * (stop - start)
            if gradients is not None:
                gradients[...] = self._gradients
        return last - first, total

    def _step(self, x, target, hyperparameters):
        n, inputs, kepts = len(x), [x], []
        for w, b, _, _, activation, y, keep, _ in self.layers:
            keep = None if keep is None else keep[:n]
            linear(inputs[-1], w, b, activation, y[:n], keep, self.n_threads)
            inputs.append(y[:n])
            kepts.append(y[:n] if keep is None else keep)
        *_, activation, _, _, dz = self.layers[-1]
        dz = dz[:n]
        value = loss(self.loss, inputs[-1], target, dz, self.n_threads)
        if not math.isfinite(value):
            return None
        differentiate(activation, kepts[-1], dz, dz, self.n_threads)
        for i in reversed(range(len(self.layers))):
            w, _, dw, db, *_ = self.layers[i]
            linear_grad_weight(dz, inputs[i], dw, db, self.n_threads)
            if i > 0:
                *_, activation, _, _, below = self.layers[i - 1]
                linear_grad_input(dz, w, activation, kepts[i - 1], below[:n], self.n_threads)
                dz = below[:n]
        lr, momentum, nesterov, decay = hyperparameters
        taken = sgd(self.weights, self._gradients, self.velocity, lr, momentum, nesterov, decay, self.n_threads)
        return value if taken else None
