"""Greedy layer-wise pre-training of deep autoencoders."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _check
from ._check import Array
from .autoencoder import Autoencoder
from .functions import Own
from .history import History
from .layers import BLOCK, Linear, Sequential, generator
from .models import DenoisingAutoencoder
from .optim import Optimizer
from .trainer import Trainer


def pretrain(
    model: Autoencoder,
    x: Any,
    optimizer: Optimizer,
    *,
    epochs: int = 10,
    loss: str | Own = "mse",
    noise: str | None = None,
    level: float = 0.0,
    batch_size: int = 128,
    seed: Any = None,
    n_threads: int | None = None,
    **others: Any,
) -> list[History]:
    """Train each layer of the encoder, with the decoder's that mirrors it, to reproduce the codes of the layers below.

    From the outermost pair to the innermost; then the whole model begins from their weights (Bengio, Lamblin, Popovici,
    Larochelle, "Greedy layer-wise training of deep networks", NIPS 2006; Hinton and Salakhutdinov, Science 313, 2006; with
    noise, Vincent et al., "Stacked denoising autoencoders", JMLR 2010).

    Parameters
    ----------
    model : Autoencoder
        Whose decoder mirrors the encoder.
    x : array or CSR (samples, n_in)
    optimizer : SGD, Adam, AdamW or RMSprop
    epochs : int
        Of each pair.
    loss : str, or what :func:`fastae.loss` makes
        Of each pair; it must take the codes of the layers below as targets.
    noise, level
        On each pair's input: gaussian, masking, salt_and_pepper or dropout, and its standard deviation or probability.
    batch_size, seed, n_threads, **others
        Of each :class:`fastae.Trainer`.

    Returns
    -------
    list of History
        One for each pair.

    Raises
    ------
    TypeError, ValueError
        Arguments or data that are wrong; a model whose decoder does not mirror its encoder.
    DivergenceError
        The training of a pair; the model has the weights of the pairs before.
    """
    if not isinstance(model, Autoencoder):
        raise TypeError(f"model takes an Autoencoder, got {type(model).__name__}")
    shapes = [layer.weight.shape for layer in model.layers]
    if shapes != [shape[::-1] for shape in reversed(shapes)] or len(model.encoder) != len(model.decoder):
        raise ValueError(f"model takes a decoder that mirrors the encoder; the layers' weights are {shapes}")
    if model.recipe().missing:
        raise ValueError("model takes complete data here; got one of missing values")
    batch_size = _check.positive_integer(batch_size, "batch_size")
    codes, rng, histories = _check.matrix(x, "x", model.n_in), generator(seed), []
    for layer, mirrored in zip(model.encoder, reversed(model.decoder.layers), strict=True):
        up, down = Sequential(_copied(layer)), Sequential(_copied(mirrored))
        pair = DenoisingAutoencoder(encoder=up, decoder=down, noise=noise, level=level, tied=model.tied)
        trainer = Trainer(pair, optimizer, loss, min(batch_size, codes.shape[0]), rng, n_threads, **others)
        histories.append(trainer.fit(codes, epochs=epochs))
        for own, trained in zip((layer, mirrored), pair.layers, strict=True):
            own.weight = trained.weight
            if trained.bias is not None:
                own.bias = trained.bias
        codes = _codes(pair, codes, n_threads)
    return histories


def _copied(layer: Linear) -> Linear:
    config = {**layer.config(), "activation": layer.own_activation or layer.activation}
    twin = Linear(**config, seed=0, backend=layer.backend)
    twin.weight = layer.weight
    if layer.bias is not None:
        twin.bias = layer.bias
    return twin


def _codes(pair: Autoencoder, x: Any, n_threads: int | None) -> Array:
    """What the next pair learns to reproduce, in blocks, so that sparse data stay so."""
    codes = np.empty((x.shape[0], pair.n_latent), pair.dtype)
    for start in range(0, len(codes), BLOCK):
        rows = slice(start, start + BLOCK)
        codes[rows] = pair.encode(_check.dense(x, rows), n_threads=n_threads)
    return codes
