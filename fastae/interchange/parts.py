"""What a model computes, taken apart: layers, and what its kind does before, between and behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import models
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import Linear, Sequential

_OUTPUT = {"bernoulli": "sigmoid", "gaussian": "identity", "multinomial": "softmax"}  # of decoders whose layers give logits


class Layer(NamedTuple):
    """The first outputs of a linear layer, of which a variational encoder's others are no code, through an activation.

    That is one of fastae's, or softmax.
    """

    linear: Linear
    n_out: int
    activation: str

    @property
    def weight(self) -> Array:
        """(n_out, n_in)."""
        return self.linear.weight[: self.n_out]

    @property
    def bias(self) -> Array | None:
        """(n_out,), or None."""
        return None if self.linear.bias is None else self.linear.bias[: self.n_out]


class Part(NamedTuple):
    """Layers one after another."""

    layers: tuple[Layer, ...]
    missing: bool = False  # NaN comes in, and counts as 0
    top_k: int = 0  # elements that stay of what comes out, the largest; 0: all

    @property
    def n_in(self) -> int:
        """Features that go in."""
        return self.layers[0].linear.n_in

    @property
    def n_out(self) -> int:
        """Features that come out."""
        return self.layers[-1].n_out


class Parts(NamedTuple):
    """An autoencoder's halves, or layers alone, which are an encoder without a decoder."""

    encoder: Part
    decoder: Part | None
    n_conditions: int  # of the input's last features, that go behind the code too

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.encoder.layers[0].linear.dtype


def take_apart(model: Any) -> Parts:
    """A Linear, a Sequential or an autoencoder of fastae's own classes; others are refused, and weights that are not finite."""
    _check_class(model)
    if not isinstance(model, Autoencoder):
        return Parts(_part("", [model] if isinstance(model, Linear) else model), None, 0)
    encoder, decoder = _part("encoder.", model.encoder), _part("decoder.", model.decoder)
    if model.n_latent < encoder.n_out:
        encoder = _last(encoder, n_out=model.n_latent)
    if isinstance(model, models.VariationalAutoencoder):
        decoder = _last(decoder, activation=_OUTPUT[model.likelihood])
    elif isinstance(model, models.MultinomialAutoencoder):
        decoder = _last(decoder, activation="softmax")
    if isinstance(model, models.KSparseAutoencoder):
        encoder = encoder._replace(top_k=model.k)
    return Parts(encoder._replace(missing=isinstance(model, models.MaskedAutoencoder)), decoder, model.n_conditions)


def _check_class(model: Any) -> None:
    own = [Linear, Sequential, Autoencoder, *(getattr(models, name) for name in models.__all__)]
    if type(model) in own:
        return
    takes = "a Linear, a Sequential or an autoencoder of fastae's own classes"
    if isinstance(model, Autoencoder):  # whose encode may be another
        raise TypeError(f"model takes {takes}, got a {type(model).__name__}; its model.encoder and model.decoder can be given")
    raise TypeError(f"model takes {takes}, got {type(model).__name__}")


def _part(prefix: str, layers: Any) -> Part:
    for number, layer in enumerate(layers):
        if layer.own_activation is not None:
            raise ValueError(
                f"model has the activation {layer.activation!r} in layer {prefix}{number}, a function of one's own, which is "
                "Python and stays here; fastae's own activations can be given away"
            )
        for name, array in (("weight", layer.weight), ("bias", layer.bias)):
            if array is not None and not np.isfinite(array).all():
                raise ValueError(f"model takes finite weights and biases; {prefix}{number}.{name} has NaN or infinity")
    return Part(tuple(Layer(layer, layer.n_out, layer.activation) for layer in layers))


def _last(part: Part, **changes: Any) -> Part:
    return part._replace(layers=(*part.layers[:-1], part.layers[-1]._replace(**changes)))
