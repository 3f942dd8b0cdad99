"""How a codec is learnt: an autoencoder with noise on its code, steps of quantisation that meet a rate, the decoder anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._check import Array
from .._kernels.recipe import Recipe
from ..autoencoder import Autoencoder
from ..layers import Linear
from ..layers import Sequential as Layers
from ..optim import Adam
from ..schedules import Cosine
from ..trainer import Trainer
from . import entropy


class _NoisyCode(Autoencoder):
    """An autoencoder whose code has Gaussian noise in training; trained, its halves are what a codec is made of.

    Loss: |x - g(z)|^2 / (2 sigma^2) + KL(N(m(x), s(x)^2) | N(0, 1)), z drawn from N(m(x), s(x)^2), means over samples.
    The divergence is the rate, in nats: what it costs to tell z, to within the noise, to one who knows N(0, 1). Noise stands
    for quantisation, as uniform noise does in Balle, Laparra and Simoncelli, "End-to-end optimized image compression", ICLR
    2017. A nat saves 2 sigma^2 of a sample's squared error. The variational autoencoders of fastae.models have outputs without
    bounds; these are from 0 to 1, as pixels are.
    """

    default_loss = "half_squared"

    def __init__(self, sizes: Sequence[int], sigma: float, seed: Any) -> None:
        super().__init__(sizes, activation="silu", seed=seed)
        self.sigma = sigma

    def _widths(self, sizes: list[int]) -> tuple[list[int], list[int]]:
        return [*sizes[:-1], 2 * sizes[-1]], sizes[::-1]

    def _passes(self, n: int) -> int:
        return n // 2

    def recipe(self) -> Recipe:
        """A step that draws codes, and adds their rate."""
        return super().recipe()._replace(code=len(self.encoder) - 1, gaussian=True, scale=self.sigma**-2)


def learn(
    x: Array,
    bits: float,
    hidden: Sequence[int],
    n_codes: int | None,
    sigma: float | None,
    epochs: int,
    lr: float,
    batch_size: int,
    rng: np.random.Generator,
    n_threads: int | None,
    progress: bool,
) -> tuple[Autoencoder, Array]:
    """An autoencoder of images (samples, features) of uint8, for so many bits a sample; the noise that each of its codes bears.

    None: what reverse water-filling says, which see.
    """
    centred, mean = _centred(x)  # or training takes several times as long
    noise, components = water_filling(np.linalg.eigvalsh(centred.T @ centred / np.float32(len(x))), bits)
    sigma = max(0.75 * noise, 0.5 / 255) if sigma is None else sigma  # 0.75: an autoencoder's code tells more than PCA's
    k = min(-(-components // 16) * 8, x.shape[1]) if n_codes is None else n_codes
    noisy = _NoisyCode([x.shape[1], *hidden, k], sigma, rng)
    optimizer, schedule = Adam(lr), Cosine(minimum=0.02 * lr)
    trainer = Trainer(noisy, optimizer, batch_size=min(batch_size, len(x)), seed=rng, n_threads=n_threads, schedule=schedule)
    trainer.fit(centred, x, epochs=epochs, progress=progress)
    first, last = noisy.encoder[0], noisy.encoder[-1]
    assert first.bias is not None
    first.bias -= first.weight @ mean  # so that it takes images as they are
    some = x[:: max(len(x) // 5000, 1)]
    log_variances = noisy.encoder.infer(some, "x", None, n_threads)[:, k:]
    encoder = Layers(*map(layer_of, noisy.encoder.layers[:-1]), layer_of(last, rows=np.arange(k)))
    model = Autoencoder(encoder=encoder, decoder=Layers(*map(layer_of, noisy.decoder)))
    return model, np.exp(0.5 * log_variances.mean(axis=0, dtype=np.float64))


def principal_components(x: Array) -> tuple[Autoencoder, Array]:
    """An autoencoder of images (samples, features) of uint8 whose code is all principal components; the same noise for each."""
    centred, mean = _centred(x)
    _, axes = np.linalg.eigh(centred.T @ centred)
    model = Autoencoder([len(mean), len(mean)], output_activation="identity", seed=0)
    encoder, decoder = model.encoder[0], model.decoder[0]
    encoder.weight, encoder.bias = axes.T, -axes.T @ mean
    decoder.weight, decoder.bias = axes, mean
    return model, np.ones(len(mean))


def _centred(x: Array) -> tuple[Array, Array]:
    """Images of uint8 as 0 to 1 without their mean, and it."""
    centred = x.astype(np.float32)
    centred *= np.float32(1 / 255)
    mean = centred.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred -= mean
    return centred, mean


def quantise(
    model: Autoencoder,
    x: Array,
    bits: float,
    spread: Array,
    epochs: int,
    lr: float,
    batch_size: int,
    rng: np.random.Generator,
    n_threads: int | None,
    progress: bool,
) -> tuple[Autoencoder, list[entropy.Table]]:
    """A copy of a model, its code in steps in proportion to ``spread`` that take so many bits a sample; the code's tables.

    The steps are in the weights. The bits are measured with the last tenth of x; the decoder learns from the rest, for so many
    epochs, if any, with quantised codes as input.
    """
    cut = len(x) - max(len(x) // 10, 1)
    codes = model.encode(x, n_threads=n_threads) / spread.astype(np.float32)
    factor = _factor(codes[:cut], codes[cut:], bits)
    steps = factor * spread
    codes /= np.float32(factor)
    np.rint(codes, out=codes)
    varies = codes.min(axis=0) < codes.max(axis=0)
    varies[0] |= not varies.any()
    used, rest = np.flatnonzero(varies), np.flatnonzero(~varies)
    first = model.decoder[0]
    constant = first.weight[:, rest] @ (codes[0, rest] * steps[rest]).astype(np.float32)  # whatever the image
    encoder = Layers(*map(layer_of, model.encoder.layers[:-1]), layer_of(model.encoder[-1], rows=used, out=1 / steps[used]))
    entry = layer_of(first, columns=used, into=steps[used], constant=constant)
    decoder = Layers(entry, *map(layer_of, model.decoder.layers[1:]))
    codes = np.ascontiguousarray(codes[:, used])
    if epochs:
        optimizer, schedule = Adam(lr), Cosine(minimum=0.02 * lr)
        trainer = Trainer(decoder, optimizer, "mse", min(batch_size, cut), rng, n_threads, schedule=schedule)
        trainer.fit(codes[:cut], x[:cut], epochs=epochs, progress=progress)
    return Autoencoder(encoder=encoder, decoder=decoder), [entropy.tabulate(column, seen=1) for column in codes.T]


def water_filling(variances: Array, bits: float) -> tuple[float, int]:
    """Of a Gaussian source of independent components, told by so many bits: the noise (standard deviation) that each one bears
    whose own is more, and the number of these (Cover and Thomas, "Elements of information theory", section 10.3.3)."""
    variances = np.maximum(variances.astype(np.float64), 1e-12)
    low, high = 1e-12, float(variances.max())
    for _ in range(60):
        level = math.sqrt(low * high)
        above = 0.5 * np.sum(np.log2(np.maximum(variances / level, 1)))
        low, high = (level, high) if above > bits else (low, level)
    return math.sqrt(high), max(int(np.sum(variances > high)), 1)


def _factor(shown: Array, held: Array, bits: float) -> float:
    """The step at which rows of held take so many bits, or at least 1e-3; of many rows, a part tells it."""
    shown, held = shown[:: max(len(shown) // 10000, 1)], held[:: max(len(held) // 5000, 1)]
    low, high = 1e-3, max(float(np.abs(shown).max()), 1.0)
    for _ in range(20):
        step = math.sqrt(low * high)
        low, high = (step, high) if _bits(shown / np.float32(step), held / np.float32(step)) > bits else (low, step)
    return high


def _bits(shown: Array, held: Array) -> float:
    """Bits that a row of held takes, rounded, by the frequencies of shown."""
    total = 0.0
    for a, b in zip(np.rint(shown.T), np.rint(held.T), strict=True):
        table = entropy.tabulate(a, seen=1)
        total += float(table.bits[(np.clip(b, table.low, table.high) - table.low).astype(np.int64)].sum())
    return total / len(held)


def layer_of(
    layer: Linear,
    rows: Any = slice(None),
    columns: Any = slice(None),
    out: Array | None = None,
    into: Array | None = None,
    constant: Array | None = None,
    dtype: str = "float32",
) -> Linear:
    """Some rows and columns of a layer: its outputs and inputs times factors, a constant added before the activation."""
    weight, bias = layer.weight[rows][:, columns].astype(dtype), None if layer.bias is None else layer.bias[rows].astype(dtype)
    if constant is not None:
        bias = constant.astype(dtype) if bias is None else bias + constant.astype(dtype)
    if out is not None:
        weight *= out.astype(dtype)[:, None]
        bias = None if bias is None else bias * out.astype(dtype)
    if into is not None:
        weight *= into.astype(dtype)
    n_out, n_in = weight.shape
    copy = Linear(n_in, n_out, layer.own_activation or layer.activation, bias is not None, dtype, 0, layer.backend)
    copy.weight = weight
    if bias is not None:
        copy.bias = bias
    return copy
