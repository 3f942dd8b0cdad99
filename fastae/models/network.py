"""What several models share: the arguments of their network, what happens between its halves, logits into probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from .. import _check
from .._check import Array
from .._kernels.contract import Kernels
from .._kernels.names import ACTIVATIONS
from ..autoencoder import Autoencoder
from ..functions import Own
from ..layers import BLOCK
from ..layers import Sequential as Layers

_SIGMOID = ACTIVATIONS.index("sigmoid")


class Common(TypedDict, total=False):
    """Arguments of :class:`fastae.Autoencoder` that every model takes."""

    activation: str | Own
    latent_activation: str | Own
    output_activation: str | Own
    bias: bool
    dtype: Any
    seed: Any
    backend: str | None
    init: str | None
    encoder: Layers | None
    dropout: float | Sequence[float]


class Variational(Common, total=False):
    """And those of :class:`fastae.VariationalAutoencoder`."""

    decoder: str | Layers | None
    beta: float
    sigma: float
    anneal_steps: int
    binarize: bool
    input_dropout: float
    likelihood: str | None


class Untied(Common, total=False):
    """And a decoder made by hand."""

    decoder: Layers | None


class Network(Untied, total=False):
    """And tied weights."""

    tied: bool


def preset(network: Mapping[str, Any], **own: str) -> dict[str, Any]:
    """The arguments, with a model's own defaults where a network is made from sizes."""
    return dict(network) if network.get("encoder") is not None else {**own, **network}


def check_logits(model: Autoencoder) -> None:
    """The last layer must give logits."""
    if model.layers[-1].activation != "identity":
        raise ValueError(
            f"output_activation of a {type(model).__name__} takes 'identity', as its loss takes logits, or means; "
            f"got {model.layers[-1].activation!r}"
        )


def probabilities(y: Array, likelihood: str, kernels: Kernels, n_threads: int) -> Array:
    """Means of the distribution that outputs y (samples, features) stand for, in place: sigmoid, softmax, or y itself."""
    if likelihood == "gaussian":
        return y
    p = np.require(y, requirements=["C", "A"])
    if likelihood == "bernoulli":
        kernels.activate(_SIGMOID, p, p, n_threads)
    else:
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
    if p is not y:
        y[...] = p
    return y


def expected_counts(p: Array, x: Array) -> Array:
    """Of probabilities, as many counts as x has: both (samples, features)."""
    return np.asarray(p * x.sum(axis=1, keepdims=True))


class _ByHalves(Autoencoder):
    """An autoencoder whose decoder receives something else than its encoder gives."""

    def _code(self, y: Array, x: Array) -> Array:
        """What the decoder receives for the outputs y of the encoder for x."""
        raise NotImplementedError

    def infer(self, x: Any, argument: str, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Through both halves, nothing kept."""
        x = _check.matrix(x, argument, self.n_in)
        sparse = hasattr(x, "tocsr")
        _check.finite_rows(x, argument, self.dtype)
        result, copy = _check.output(out, (x.shape[0], self.n_out), self.dtype, None if sparse else x)
        step = _check.together(x, BLOCK)
        for start in range(0, len(result), step):
            block = _check.dense(x, slice(start, start + step))
            code = self._code(self.encoder.infer(block, argument, None, n_threads), block)
            self.decoder.infer(code, "z", result[start : start + step], n_threads)
        if copy and out is not None:
            out[...] = result
            return out
        return result
