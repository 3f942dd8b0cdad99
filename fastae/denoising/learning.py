"""How networks learn to denoise: batch after batch of noisy samples and clean ones, whose noise is drawn anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from .. import ops
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import Linear
from ..layers import Sequential as Layers
from ..optim import AdamW
from ..schedules import OneCycle
from ..trainer import Trainer

# The rule, the same for images and vectors: docs/denoising.md says why.
_ACTIVATION = "silu"
_BATCH_SIZE = 64
_SEEN = 32768  # samples that tell the principal components
_LEAST = 1e-6  # standard deviation of a component, over that of the largest; less is rounding


class Rule(NamedTuple):
    """What images and vectors learn by differently."""

    loss: str
    learning_rate: float  # the most of its cycle
    weight_decay: float
    spread: float


def learn(
    drawn: Iterable[tuple[Array, Array]],
    hidden: Sequence[int],
    samples: int,
    rule: Rule,
    rng: np.random.Generator,
    n_threads: int | None,
    backend: str | None,
    progress: bool,
) -> Autoencoder:
    """A network of so many samples of a stream without end, of pairs (n, n_in), (n, n_out) of float32 around 0.

    It is trained on the inputs' principal components, each divided by the square root of its standard deviation, times
    the rule's ``spread``: with pixels as they are, or with components of equal spread, it learns less in several times the
    steps. The trained first layer then has this turn in its weights.
    """
    drawn = iter(drawn)
    seen = list(_until(drawn, _SEEN))
    basis = np.float32(rule.spread) * _basis(np.concatenate([x for x, _ in seen]), n_threads)
    widths = [basis.shape[1], *hidden, seen[0][1].shape[1]]
    layers = [
        Linear(n_in, n_out, _ACTIVATION if number < len(hidden) else "identity", seed=rng, backend=backend)
        for number, (n_in, n_out) in enumerate(pairwise(widths))
    ]
    network, schedule = Layers(*layers), OneCycle(max_lr=rule.learning_rate, cycle_momentum=False)
    trainer = Trainer(network, AdamW(weight_decay=rule.weight_decay), rule.loss, _BATCH_SIZE, rng, n_threads, schedule=schedule)
    turned = ((ops.matmul(x, basis, n_threads=n_threads), y) for x, y in chain(seen, drawn))
    trainer.fit(turned, epochs=1, steps_per_epoch=max(samples // _BATCH_SIZE, 1), progress=progress)
    first, *others = ((layer.weight, layer.bias) for layer in network.layers)
    return network_of([(first[0] @ basis.T, first[1]), *others], backend)


def network_of(arrays: Sequence[tuple[Array, Array | None]], backend: str | None = None) -> Autoencoder:
    """A network of weights and biases; its code is what the last hidden layer gives."""
    layers = []
    for number, (weight, bias) in enumerate(arrays, 1):
        activation = "identity" if number == len(arrays) else _ACTIVATION
        layers.append(Linear(weight.shape[1], weight.shape[0], activation, seed=0, backend=backend))
        layers[-1].weight, layers[-1].bias = weight, bias
    return Autoencoder(encoder=Layers(*layers[:-1]), decoder=Layers(layers[-1]))


def _until(drawn: Iterator[tuple[Array, Array]], n: int) -> Iterator[tuple[Array, Array]]:
    """The first pairs, of n samples at least."""
    while n > 0:
        pair = next(drawn)
        yield pair
        n -= len(pair[0])


def _basis(x: Array, n_threads: int | None) -> Array:
    """Principal axes (n_in, components) of samples around 0, over the square roots of their standard deviations."""
    variances, axes = np.linalg.eigh(ops.matmul(x, x, transpose_a=True, n_threads=n_threads).astype(np.float64) / len(x))
    vary = variances > _LEAST**2 * variances[-1]
    if not vary.any():
        return np.eye(x.shape[1], dtype=np.float32)
    return np.asarray(axes[:, vary] / variances[vary] ** 0.25, np.float32)
