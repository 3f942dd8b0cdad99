"""Linear layers, and networks of them whose parameters lie in one flat buffer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from . import _check, initializers
from ._check import Array
from ._kernels.contract import Kernels
from ._kernels.names import ACTIVATIONS, PER_SAMPLE, keeps_input
from ._kernels.recipe import Recipe
from .functions import Own, resolve
from .settings import check_threads, get_backend, kernels

BLOCK = 4096  # samples that losses and errors of reconstructions are computed for at a time
_CALL = 1 << 18  # samples that inference takes in one call into the kernels


class Linear:
    """A layer ``y = f(x W^T + b)``.

    Parameters
    ----------
    n_in, n_out : int
        Features in and out.
    activation : str or what :func:`fastae.activation` makes
        f: identity, relu, leaky_relu (slope 0.01), elu (alpha 1), sigmoid, tanh, softplus, gelu (exact) or silu.
    bias : bool
    dtype : {"float32", "float64"}
    seed : int, numpy.random.Generator or None
        Of the initial weights.
    backend : str, optional
        Default: :func:`fastae.get_backend` at this moment.
    init : str, optional
        Distribution of the initial weights: glorot, he or lecun with _uniform or _normal, or orthogonal. Their variance is
        2 / (n_in + n_out), 2 / n_in and 1 / n_in. Default: he_uniform for relu and its relatives, else glorot_uniform.
        Biases start from 0.

    Attributes
    ----------
    weight, grad_weight : array (n_out, n_in)
    bias, grad_bias : array (n_out,), or None

    Examples
    --------
    >>> import numpy as np, fastae
    >>> layer = fastae.Linear(2, 1, activation="relu", dtype="float64")
    >>> layer.weight, layer.bias = [[1.0, 2.0]], [3.0]
    >>> layer.forward(np.array([[4.0, 5.0]]))
    array([[17.]])
    >>> layer.backward(np.array([[1.0]]))
    array([[1., 2.]])
    >>> layer.grad_weight, layer.grad_bias
    (array([[4., 5.]]), array([1.]))
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: str | Own = "identity",
        bias: bool = True,
        dtype: Any = "float32",
        seed: Any = None,
        backend: str | None = None,
        init: str | None = None,
    ) -> None:
        self.n_in = _check.positive_integer(n_in, "n_in")
        self.n_out = _check.positive_integer(n_out, "n_out")
        self._activation, self.activation_number, self.own_activation = resolve("activation", activation, "activation")
        self.has_bias = _check.flag(bias, "bias")
        self.dtype = _check.float_dtype(dtype)
        self.backend = get_backend() if backend is None else backend
        self.kernels: Kernels = kernels(self.backend)
        if self.own_activation is not None:
            self.own_activation.give(self.kernels, self.dtype)
        self.owned = False  # by a network, whose flat buffer the arrays are views of
        self._kept: tuple[Array, Array] | None = None
        self.twin: Linear | None = None  # which has the same weights, transposed
        self._bind(np.zeros(self.size, self.dtype), np.zeros(self.size, self.dtype))
        name = initializers.check(init) or initializers.default(self.activation)
        self._weight[...] = initializers.weights(name, self.n_out, self.n_in, generator(seed))

    @property
    def activation(self) -> str:
        """Its name; another one takes another layer."""
        return self._activation

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.n_out * (self.n_in + self.has_bias)

    def _bind(self, parameters: Array, gradients: Array) -> None:
        """Make the arrays views of these flat buffers: W row by row, then b."""
        cut = self.n_out * self.n_in
        self._weight, self.grad_weight = (a[:cut].reshape(self.n_out, self.n_in) for a in (parameters, gradients))
        self._bias: Array | None = parameters[cut:] if self.has_bias else None
        self.grad_bias: Array | None = gradients[cut:] if self.has_bias else None

    @property
    def weight(self) -> Array:
        """(n_out, n_in). Assigning copies into it."""
        return self._weight

    @weight.setter
    def weight(self, value: Any) -> None:
        _assign(self._weight, value, "weight")
        self.lead()

    def lead(self) -> None:
        """Give a layer that is tied to this one its weights."""
        if self.twin is not None:
            self.twin._weight[...] = self._weight.T

    @property
    def bias(self) -> Array | None:
        """(n_out,), or None. Assigning copies into it."""
        return self._bias

    @bias.setter
    def bias(self, value: Any) -> None:
        if self._bias is None:
            raise ValueError("this layer has no bias; it was made with bias=False")
        _assign(self._bias, value, "bias")

    def forward(self, x: Any, n_threads: int | None = None) -> Array:
        """``f(x W^T + b)``; keeps x and what the derivative needs for :meth:`backward`.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        n_threads : int, optional

        Returns
        -------
        array (samples, n_out)
        """
        given = _check.samples(x, "x", self.n_in)
        x = _check.converted(given, self.dtype, "x")
        if np.may_share_memory(x, given):
            x = x.copy()  # the caller may overwrite it before backward
        y = np.empty((len(x), self.n_out), self.dtype)
        keep = np.empty_like(y) if keeps_input(self.activation_number) else None
        self.kernels.linear(x, self._weight, self._bias, self.activation_number, y, keep, check_threads(n_threads))
        self._kept = x, y.copy() if keep is None else keep
        return y

    def backward(self, dy: Any, n_threads: int | None = None) -> Array:
        """Gradient of a loss by x, from its gradient ``dy`` by y; fills ``grad_weight`` and ``grad_bias``.

        With dz = dy f'(z): dW = dz^T x, db = the sum of dz over the samples, dx = dz W.

        Parameters
        ----------
        dy : array (samples, n_out), of the samples that went through :meth:`forward` last
        n_threads : int, optional

        Returns
        -------
        array (samples, n_in)
        """
        if self._kept is None:
            raise ValueError("backward needs a forward before it")
        x, kept = self._kept
        dy = _check.converted(_check.samples(dy, "dy", self.n_out), self.dtype, "dy")
        if len(dy) != len(x):
            raise ValueError(f"dy takes as many samples as forward took, {len(x)}; got {len(dy)}")
        threads = check_threads(n_threads)
        dz, dx = np.empty_like(dy), np.empty_like(x)
        self.kernels.differentiate(self.activation_number, kept, dy, dz, threads)
        self.kernels.linear_grad_weight(dz, x, self.grad_weight, self.grad_bias, threads)
        self.kernels.linear_grad_input(dz, self._weight, ACTIVATIONS.index("identity"), None, dx, threads)
        return dx

    def config(self) -> dict[str, Any]:
        """What the constructor needs to make such a layer."""
        return {
            "n_in": self.n_in,
            "n_out": self.n_out,
            "activation": self.activation,
            "bias": self.has_bias,
            "dtype": self.dtype.name,
        }

    def __repr__(self) -> str:
        kind = f"activation={self.activation!r}, bias={self.has_bias}, dtype={self.dtype.name!r}"
        return f"Linear({self.n_in}, {self.n_out}, {kind})"

    def __reduce__(self) -> Any:  # views of a flat buffer would be copied apart
        arrays = self._weight.copy(), None if self._bias is None else self._bias.copy()
        config = {**self.config(), "activation": self.own_activation or self.activation}
        return _layer_from, (config, *arrays, self.backend)


def _layer_from(config: dict[str, Any], weight: Array, bias: Array | None, backend: str | None = None) -> Linear:
    layer = Linear(**config, seed=0, backend=backend)
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


class Network:
    """Layers one after another, with all parameters in one flat buffer and all gradients in another.

    Attributes
    ----------
    layers : tuple of Linear
    parameters, gradients : array (P,)
        For each layer W, row by row, and then b. The layers' arrays are views of them. Assigning copies into them.
    """

    default_loss = "mse"  # of a Trainer that is given none
    own_loss = False  # the outputs are logits or means by which no other loss is that of the model
    changes = 0  # of what recipe() says, as far as the model knows of them

    layers: tuple[Linear, ...]
    _parameters: Array
    _gradients: Array
    _inference: Any = None

    @property
    def parameters(self) -> Array:
        """Weights and biases."""
        return self._parameters

    @parameters.setter
    def parameters(self, value: Any) -> None:
        _assign(self._parameters, value, "parameters")
        for layer in self.layers:  # an encoder's first, so that it counts
            layer.lead()

    @property
    def gradients(self) -> Array:
        """Of the last step or backward."""
        return self._gradients

    @gradients.setter
    def gradients(self, value: Any) -> None:
        _assign(self._gradients, value, "gradients")

    def _own(self, layers: list[Linear]) -> None:
        first = layers[0]
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("a layer belongs to one place in one network; give copy.deepcopy(layer) to another")
        if any((layer.dtype, layer.backend) != (first.dtype, first.backend) for layer in layers):
            raise ValueError("all layers of a network need one dtype and one backend")
        self.layers = tuple(layers)
        size = sum(layer.size for layer in layers)
        old = [np.concatenate([layer.weight.ravel(), *([] if layer.bias is None else [layer.bias])]) for layer in layers]
        self._bind(_aligned(size, first.dtype), np.zeros(size, first.dtype))
        self.parameters[...] = np.concatenate(old)
        for layer in layers:
            layer.owned = True

    def _bind(self, parameters: Array, gradients: Array) -> None:
        self._parameters, self._gradients, self._inference = parameters, gradients, None
        at = 0
        for layer in self.layers:
            layer._bind(parameters[at : at + layer.size], gradients[at : at + layer.size])
            at += layer.size

    @property
    def n_in(self) -> int:
        """Features that go in."""
        return self.layers[0].n_in

    @property
    def n_out(self) -> int:
        """Features that come out."""
        return self.layers[-1].n_out

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of weights and results: float32 or float64."""
        return self.layers[0].dtype

    def named_arrays(self) -> Iterator[tuple[str, Array]]:
        """Pairs of "0.weight" and the array itself, in the order of the flat buffer."""
        for number, layer in enumerate(self.layers):
            yield f"{number}.weight", layer.weight
            if layer.bias is not None:
                yield f"{number}.bias", layer.bias

    def state_dict(self) -> dict[str, Array]:
        """Copies of all weights and biases by name, as PyTorch names and shapes them."""
        return {name: array.copy() for name, array in self.named_arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy weights and biases from arrays of the same names and shapes; all or none of them."""
        checked = self._state(state)
        for name, array in self.named_arrays():
            array[...] = checked[name]
        for layer in self.layers:
            layer.lead()

    def _state(self, state: Mapping[str, Any]) -> dict[str, Array]:
        """Checked arrays for all of this network's."""
        own = dict(self.named_arrays())
        if not isinstance(state, Mapping):
            raise TypeError(f"state takes a mapping of names to arrays, got {type(state).__name__}")
        if own.keys() != state.keys():
            raise ValueError(
                f"state takes the names {', '.join(own)}; missing: {', '.join(own.keys() - state.keys()) or 'none'}, "
                f"unknown: {', '.join(state.keys() - own.keys()) or 'none'}"
            )
        return {name: _fitting(own[name], state[name], name) for name in own}

    def infer(self, x: Any, argument: str, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Forward through all layers, nothing kept. Several threads may do so at once."""
        x = _check.matrix(x, argument, self.n_in)
        n, threads, step = x.shape[0], check_threads(n_threads), _CALL
        inference = self._inference
        if inference is None:
            inference = self._inference = self.layers[0].kernels.Inference(self.shapes(), self.parameters)
        if sparse := type(x) is not np.ndarray and hasattr(x, "tocsr"):
            step = _check.together(x, BLOCK)
        result, copy = _check.output(out, (n, self.n_out), self.dtype, None if sparse else x)
        at_once = n <= step and not sparse
        for start in range(0, n, step):  # a call at a time, so that Ctrl-C is noticed
            end = start + step
            block, part = (x, result) if at_once else (_check.dense(x, slice(start, end)), result[start:end])
            if not inference.run(block, part, threads):
                _check.finite(block, argument, self.dtype, first_row=start)
        if copy and out is not None:
            out[...] = result
            return out
        return result

    def recipe(self) -> Recipe | None:
        """What a training step of this model does beside a plain one; the trainer adds what is its own, as the key."""
        return None

    def losses(self, x: Array, target: Array, loss: int, n_threads: int | None = None) -> Array:
        """Loss of each sample as validation sees it, without noise: (samples,) of float64.

        x (samples, n_in) and target (samples, n_out) are checked; loss is the number of one. A mean of them weighs each by
        what ``whole`` adds up.
        """
        sums = np.empty(len(x))
        y, t = self.infer(x, "x", n_threads=n_threads), _check.converted(target, self.dtype, "target")
        self.layers[0].kernels.sample_losses(loss, y, t, sums, check_threads(n_threads))
        return sums if loss in PER_SAMPLE else sums / self.n_out

    def whole(self, target: Array, loss: int) -> float:
        """How many whole samples a target is, of which elements may be missing."""
        return len(target)

    def shapes(self) -> list[tuple[int, int, int, bool]]:
        """(n_in, n_out, activation, has_bias) of each layer, as the kernels take them."""
        return [(a.n_in, a.n_out, a.activation_number, a.has_bias) for a in self.layers]


class Sequential(Network):
    """Linear layers one after another.

    Parameters
    ----------
    *layers : Linear
        Each takes as many features as the one before gives. They become views of this network's buffers.

    Examples
    --------
    >>> import numpy as np, fastae
    >>> net = fastae.Sequential(fastae.Linear(4, 3, activation="tanh", seed=0), fastae.Linear(3, 2, seed=1))
    >>> net(np.zeros((5, 4), "float32")).shape
    (5, 2)
    >>> list(net.state_dict())
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, *layers: Linear) -> None:
        if not layers or not all(isinstance(layer, Linear) for layer in layers):
            raise TypeError(
                f"Sequential takes at least one Linear, got {', '.join(type(a).__name__ for a in layers) or 'none'}"
            )
        for number, (layer, following) in enumerate(pairwise(layers)):
            if layer.n_out != following.n_in:
                raise ValueError(f"layer {number + 1} takes {following.n_in} features, but layer {number} gives {layer.n_out}")
        if any(layer.owned for layer in layers):
            raise ValueError("a layer belongs to one place in one network; give copy.deepcopy(layer) to another")
        self._own(list(layers))
        self.part = False  # of an autoencoder, whose buffers hold the parameters

    def forward(self, x: Any, n_threads: int | None = None) -> Array:
        """Through all layers, each keeping what :meth:`backward` needs. x (samples, n_in) -> (samples, n_out)."""
        y: Array = x
        for layer in self.layers:
            y = layer.forward(y, n_threads)
        return y

    def backward(self, dy: Any, n_threads: int | None = None) -> Array:
        """Gradient by x from the gradient by the output; fills ``gradients``. dy (samples, n_out) -> (samples, n_in)."""
        dx: Array = dy
        for layer in reversed(self.layers):
            dx = layer.backward(dx, n_threads)
        return dx

    def __call__(self, x: Any, n_threads: int | None = None) -> Array:
        """Output for x (samples, n_in), nothing kept."""
        return self.infer(x, "x", n_threads=n_threads)

    def __getitem__(self, index: int) -> Linear:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Linear]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    def __reduce__(self) -> Any:
        return Sequential, tuple(_layer_from(*layer.__reduce__()[1]) for layer in self.layers)


def _aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """Zeros that begin with a cache line: where rows are whole lines, no vector of them lies in two."""
    memory = np.zeros(size + 64 // dtype.itemsize, dtype)
    start = -memory.ctypes.data % 64 // dtype.itemsize
    return memory[start : start + size]


def generator(seed: Any, argument: str = "seed") -> np.random.Generator:
    """A generator of its own for an int or None; a Generator is used as it is."""
    try:
        if isinstance(seed, (bool, np.bool_)):
            raise TypeError
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} takes an integer >= 0, a numpy.random.Generator or None; got {seed!r}") from error


def _fitting(own: Array, value: Any, name: str) -> Array:
    array = _check.array(value, f"{name} takes numbers of shape {own.shape}")
    if array.shape != own.shape or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} takes numbers of shape {own.shape}, got {array.dtype} {array.shape}")
    _check.finite(array.reshape(len(own), -1), name, own.dtype)
    return array.astype(own.dtype)


def _assign(own: Array, value: Any, name: str) -> None:
    own[...] = _fitting(own, value, name)
