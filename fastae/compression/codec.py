"""The codec: images to bytes, and back."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np

from .. import _check, persistence
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import Sequential as Layers
from ..layers import generator
from ..settings import check_threads
from . import bounded, container, entropy, learning
from .entropy import Table

_SETTINGS = "fastae.compression"  # of a codec's file: a key of its metadata
_LARGE = 1 << 28  # pixels for which there is memory; of fewer, no file is too short: black images may have codes of no bytes
_BLOCK = 512  # samples whose pixels stay in the cache on their way to bytes
_FIRST = 6, 2048  # a sixth of the samples, at most so many, come first in a file: they are decoded while the others are read


class Codec:
    """A model that turns images into files, and back.

    The encoder's outputs are rounded, clipped to the integers that training saw, and entropy-coded by their frequencies in
    training; the decoder's outputs are rounded to bytes. Made by :meth:`fit`, :meth:`calibrate` or :meth:`load`.

    Parameters
    ----------
    model : Autoencoder of float32
        From features to as many, its code in units of quantisation steps. Its weights may not be changed any more.
    tables : sequence of Table
        The distribution of each feature of the code.

    Attributes
    ----------
    model : Autoencoder
    tables : tuple of Table
    digest : bytes (16,)
        By which a file knows its codec: the first half of a SHA-256 of layers, weights and tables.

    Examples
    --------
    >>> import fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> codec = fastae.compression.Codec.fit(x[:1500], bits_per_pixel=0.5, seed=0)
    >>> data = codec.compress(x[1500:])
    >>> codec.decompress(data).shape
    (297, 64)
    """

    def __init__(self, model: Autoencoder, tables: Sequence[Table]) -> None:
        _check_model(model)
        if len(tables) != model.n_latent:
            raise ValueError(f"tables takes one for each of {model.n_latent} features of the code, got {len(tables)}")
        self.model, self.tables = model, tuple(tables)
        self._low = np.array([table.low for table in tables], np.float32)
        self._high = np.array([table.high for table in tables], np.float32)
        layers = [[layer.config() for layer in half] for half in (model.encoder, model.decoder)]
        digest = hashlib.sha256(json.dumps([layers, self.tables], sort_keys=True).encode())
        digest.update(np.asarray(model.parameters, "<f4").tobytes())
        self.digest = digest.digest()[:16]
        self._exact: Layers | None = None

    # ---- making one

    @classmethod
    def fit(
        cls,
        x: Any,
        bits_per_pixel: float = 0.5,
        *,
        hidden: int | Sequence[int] = 512,
        n_codes: int | None = None,
        sigma: float | None = None,
        epochs: int | None = None,
        refine: int | None = None,
        lr: float = 4e-3,
        batch_size: int = 64,
        seed: Any = 0,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> Self:
        """Learn a codec from images.

        An autoencoder is trained with noise on its code; the code is quantised, in steps in proportion to the noise that each
        feature bore, so that the rate is met; the decoder is then trained on quantised codes. Where that reproduces the images
        worse than their mean does, since they hardly vary, the codec's model is linear: their principal components.

        Parameters
        ----------
        x : array (samples, features) of uint8, or of floats from 0 to 1, which are rounded to 1/255
            At least 20. The last tenth is held back from training, to measure the rate.
        bits_per_pixel : float
            The rate to meet, 0 < bits_per_pixel <= 8; more than the images need gives fewer bits.
        hidden : int or sequence of int
            Widths of the encoder's hidden layers; the decoder mirrors them.
        n_codes : int, optional
            Features of the code. Default: half as many as the principal components that a code of this rate would use.
        sigma : float, optional
            Of the loss ``|x - x_hat|^2 / (2 sigma^2) + nats``. Default: 0.75 of the noise that each of those components
            bears. Both are by reverse water-filling (Cover and Thomas, "Elements of information theory", section 10.3.3).
        epochs, refine : int, optional
            Of the whole, and then of the decoder alone. Default: about 2 million samples, from 12 to 300 epochs; a fifth of
            those.
        lr : float
            Adam's, falling along half a cosine.
        batch_size : int
        seed : int, numpy.random.Generator or None
        n_threads : int, optional
        progress : bool

        Returns
        -------
        Codec

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; its name is told.
        DivergenceError
        """
        x, rate, rng = images(x), _rate(bits_per_pixel), generator(seed)
        if len(x) < 20:
            raise ValueError(f"x takes at least 20 samples to learn from, got {len(x)}")
        shown = x[: len(x) - len(x) // 10]
        widths = _check.widths(hidden, "hidden")
        if n_codes is not None:
            _check.positive_integer(n_codes, "n_codes")
        if sigma is not None:
            _check.real_number(sigma, "sigma", 1e-6, math.inf, "a standard deviation >= 1e-6")
        epochs = min(max(2_000_000 // len(shown), 12), 300) if epochs is None else _check.positive_integer(epochs, "epochs")
        refine = -(-epochs // 5) if refine is None else _check.count(refine, "refine")
        bits, run = rate * x.shape[1], (batch_size, rng, n_threads, progress)
        model, spread = learning.learn(shown, bits, widths, n_codes, sigma, epochs, lr, *run)
        codec = cls(*learning.quantise(model, x, bits, spread, refine, 0.5 * lr, *run))
        some = x[:: max(len(x) // 5000, 1)]
        mean = np.broadcast_to(np.rint(x.mean(axis=0)).astype(np.uint8), some.shape)
        if psnr(codec._pixels(codec._quantise(some, n_threads), n_threads, exact=False), some) >= psnr(mean, some):
            return codec
        model, spread = learning.principal_components(shown)  # of images that hardly vary, training has learnt nothing
        return cls(*learning.quantise(model, x, bits, spread, 0, lr, *run))

    @classmethod
    def calibrate(
        cls,
        model: Autoencoder,
        x: Any,
        bits_per_pixel: float = 0.5,
        spread: Any = None,
        *,
        refine: int = 0,
        lr: float = 2e-3,
        batch_size: int = 64,
        seed: Any = 0,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> Self:
        """Make a codec of a trained autoencoder: find the steps of its code that meet a rate, and the frequencies.

        Parameters
        ----------
        model : Autoencoder of float32
            Not changed; the codec has a copy.
        x, bits_per_pixel
            As of :meth:`fit`.
        spread : array (n_latent,), optional
            Steps to be, but for a common factor. Default: all the same.
        refine : int
            Epochs that the decoder is then trained for on the quantised codes, with mean squared error.
        lr, batch_size, seed, n_threads, progress
            Of that training.

        Returns
        -------
        Codec
        """
        _check_model(model)
        x, rate = images(x, "x", model.n_in), _rate(bits_per_pixel)
        if len(x) < 2:
            raise ValueError(f"x takes at least two samples, one to measure the rate with, got {len(x)}")
        if (last := model.encoder[-1].activation) != "identity":
            raise ValueError(f"model takes a code of activation 'identity', got {last!r}")
        spread = np.ones(model.n_latent) if spread is None else np.asarray(spread, np.float64)
        if spread.shape != (model.n_latent,) or not (np.isfinite(spread).all() and (spread > 0).all()):
            raise ValueError(f"spread takes {model.n_latent} numbers above 0, got {spread!r}")
        run = _check.count(refine, "refine"), lr, batch_size, generator(seed), n_threads, progress
        return cls(*learning.quantise(model, x, rate * model.n_in, spread, *run))

    # ---- using one

    def compress(self, x: Any, max_error: int | None = None, n_threads: int | None = None) -> bytes:
        """Images as the bytes of a file.

        Parameters
        ----------
        x : array (samples, features) of uint8, or of floats from 0 to 1, which are rounded to 1/255
        max_error : int, optional
            From 0 to 255: every decoded pixel is within this of the original, as bytes; 0 is lossless. What the code lacks
            is stored beside it. Default: no bound.
        n_threads : int, optional

        Returns
        -------
        bytes

        Raises
        ------
        TypeError, ValueError
            x or max_error is wrong.
        ImportError
            constriction is missing.
        """
        x = images(x, "x", self.model.n_in)
        check_max_error(max_error)
        symbols = self._quantise(x, n_threads)
        first = _first(len(x))
        codes = entropy.encode([*symbols[:, :first], *symbols[:, first:]], self.tables * 2)
        tables, pixels, checksum = b"", b"", 0
        if max_error is not None:
            reconstruction = self._pixels(symbols, n_threads, exact=True)
            tables, pixels = bounded.encode(x, reconstruction, max_error)
            checksum = zlib.crc32(reconstruction.data)
        bound = -1 if max_error is None else max_error
        return container.write(container.Contents(bound, x.shape[1], checksum, len(x), self.digest, codes, tables, pixels))

    def decompress(self, data: bytes, n_threads: int | None = None) -> Array:
        """The images of a file.

        Parameters
        ----------
        data : bytes
            What :meth:`compress` of this codec, or of a copy of it, gave.
        n_threads : int, optional

        Returns
        -------
        array (samples, features) of uint8

        Raises
        ------
        ValueError
            data is something else: not such a file, cut short, damaged, of another version or another codec.
        """
        file = container.read(data, self.digest)
        if file.features != self.model.n_in or not -1 <= file.max_error <= 255:
            raise ValueError(f"data is damaged: it has {file.features} features, max_error {file.max_error}")
        if file.samples * file.features > _LARGE and file.samples * self._least() > 8 * len(file.codes) + 64:
            raise ValueError(f"data is damaged: its {len(file.codes)} bytes of codes cannot hold {file.samples} samples")
        reconstruction = self._decode(file, n_threads)
        if file.max_error < 0:
            return reconstruction
        if zlib.crc32(reconstruction.data) != file.checksum:
            raise ValueError("data has a max_error, and this machine's arithmetic rounds otherwise than that where it was made")
        return bounded.decode(reconstruction, file.max_error, file.tables, file.pixels)

    def _quantise(self, x: Array, n_threads: int | None) -> Array:
        """Codes (features, samples) of int32, each feature counted from its table's low on."""
        symbols = np.empty((len(self.tables), len(x)), np.int32)
        for start in range(0, len(x), _BLOCK):
            codes = self.model.encode(x[start : start + _BLOCK], n_threads=n_threads)
            np.rint(codes, out=codes)
            np.clip(codes, self._low, self._high, out=codes)
            codes -= self._low
            symbols[:, start : start + _BLOCK] = codes.T
        return symbols

    def _least(self) -> float:
        """Bits of a sample at least; halved, as the coder rounds."""
        return sum(float(table.bits.min()) for table in self.tables) / 2

    def _decode(self, file: container.Contents, n_threads: int | None) -> Array:
        """Bytes (samples, features) of a file's codes. Reading these holds the GIL, a decoder's forward pass does not."""
        first, exact, n = _first(file.samples), file.max_error >= 0, len(self.tables)
        some, others = (np.empty((n, samples), np.int32) for samples in (first, file.samples - first))
        columns = entropy.decode(file.codes, [len(row) for row in (*some, *others)], self.tables * 2)
        x = np.empty((file.samples, self.model.n_out), np.uint8)
        _read(columns, some)
        with ThreadPoolExecutor(1) as beside:
            pixels = None
            if first and check_threads(n_threads) > 1:
                pixels = beside.submit(self._decoder(exact).infer, self._codes(some, exact), "codes", None, 1)
            _read(columns, others)
            next(columns, None)  # that was all
            self._fill(x[first:], others, n_threads, exact)
            if pixels is None:
                self._fill(x[:first], some, n_threads, exact)
            else:
                self._to_bytes(pixels.result(), x[:first])
        return x

    def _pixels(self, symbols: Array, n_threads: int | None, exact: bool) -> Array:
        """Bytes (samples, features) of codes. ``exact``: computed in float64, so that rounding is the same on all machines."""
        x = np.empty((symbols.shape[1], self.model.n_out), np.uint8)
        self._fill(x, symbols, n_threads, exact)
        return x

    def _fill(self, x: Array, symbols: Array, n_threads: int | None, exact: bool) -> None:
        """x := the bytes (samples, features) of codes (features, samples)."""
        decoder = self._decoder(exact)
        y = np.empty((min(len(x), _BLOCK), decoder.n_out), decoder.dtype)
        for start in range(0, len(x), _BLOCK):
            z = self._codes(symbols[:, start : start + _BLOCK], exact)
            self._to_bytes(decoder.infer(z, "codes", y[: len(z)], n_threads), x[start : start + _BLOCK])

    def _codes(self, symbols: Array, exact: bool) -> Array:
        """What the decoder takes, (samples, features), of codes as :meth:`_quantise` gives them."""
        codes = symbols.T.astype(self._decoder(exact).dtype, order="C")
        codes += self._low
        return codes

    def _to_bytes(self, pixels: Array, x: Array) -> None:
        pixels *= 255
        if self.model.decoder[-1].activation != "sigmoid":
            np.clip(pixels, 0, 255, out=pixels)
        pixels += 0.5
        np.copyto(x, pixels, casting="unsafe")  # downwards

    def _decoder(self, exact: bool) -> Layers:
        return self._in_float64() if exact else self.model.decoder

    def _in_float64(self) -> Layers:
        if self._exact is None:
            self._exact = Layers(*(learning.layer_of(layer, dtype="float64") for layer in self.model.decoder))
        return self._exact

    # ---- files of it

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, which :func:`fastae.load` reads too, as the model; never a part of one."""
        from safetensors.numpy import save

        arrays, metadata = persistence.contents(self.model)
        persistence.write_atomically(path, save(arrays, {**metadata, _SETTINGS: json.dumps({"tables": self.tables})}))

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | None = None) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is not a codec's.
        """
        from safetensors import safe_open

        model = persistence.load(path, backend)
        try:
            with safe_open(Path(path), framework="np") as file:
                settings = json.loads(file.metadata()[_SETTINGS])
            return cls(model, [Table(int(low), tuple(map(int, counts))) for low, counts in settings["tables"]])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds a model, but no codec: {error}") from error


def images(x: Any, argument: str = "x", width: int | None = None) -> Array:
    """Samples as bytes: uint8 as they are, floats from 0 to 1 rounded to 1/255.

    Parameters
    ----------
    x : array (samples, ...) of uint8, float32 or float64
    argument : str
        What messages call it.
    width : int, optional
        Features that a sample must have. Default: as many as it has.

    Returns
    -------
    array (samples, width) of uint8
    """
    if width is None:
        shape: tuple[int, ...] = getattr(x, "shape", ())
        width = math.prod(shape[1:]) if len(shape) > 1 else 1
    x = _check.samples(x, argument, width)
    if x.dtype == np.uint8:
        return np.asarray(x)
    _check.finite(x, argument)
    _check.between(x, 0, 1, argument, "scale them, or give uint8")
    return np.asarray(np.rint(x * 255), np.uint8)


def _first(samples: int) -> int:
    """How many samples come first in a file of so many."""
    part, most = _FIRST
    return min(samples // part, most)


def _read(columns: Iterator[Array], symbols: Array) -> None:
    """The next columns, into the rows of an array."""
    for row, column in zip(symbols, columns, strict=False):
        row[...] = column


def psnr(decoded: Any, original: Any) -> float:
    """Peak signal-to-noise ratio of bytes, 10 log10(255^2 / MSE) dB, the mean being over all pixels; infinite where equal.

    Parameters
    ----------
    decoded, original : array (samples, ...)
        Of one shape, as :meth:`Codec.compress` takes them.

    Returns
    -------
    float
    """
    a = images(decoded, "decoded")
    b = images(original, "original", a.shape[1])
    if a.shape != b.shape:
        raise ValueError(f"decoded and original take images of one shape, got {a.shape} and {b.shape}")
    error = float(np.mean(np.square(a - b.astype(np.float32)), dtype=np.float64))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _check_model(model: Any) -> None:
    if not isinstance(model, Autoencoder):
        raise TypeError(f"model takes an Autoencoder, got {type(model).__name__}")
    if model.encoder.n_out != model.decoder.n_in or model.n_in != model.n_out or model.dtype != np.float32:
        raise ValueError("model takes an Autoencoder of float32 that gives as much as it takes, and decodes what it encodes")


def check_max_error(max_error: int | None) -> None:
    """Refuse a bound of a pixel's error that is none."""
    if max_error is not None and _check.count(max_error, "max_error") > 255:
        raise ValueError(f"max_error takes an integer from 0 to 255, or None; got {max_error}")


def _rate(bits_per_pixel: Any) -> float:
    takes = "a number above 0, at most 8"
    rate = _check.real_number(bits_per_pixel, "bits_per_pixel", 0, math.inf, takes)
    if not 0 < rate <= 8:
        raise ValueError(f"bits_per_pixel takes {takes}, got {bits_per_pixel}")
    return rate
