"""Denoising of images of any size and colour, by overlapping patches."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.resources import as_file, files
from math import inf
from typing import Any

import numpy as np

from .. import _check, persistence, tables
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import generator
from ..settings import check_threads, kernels
from . import learning, patches, pixels, training
from .noise import estimate_sigma

KEY = "fastae.denoising.image"  # of a denoiser's settings in its file

# The rule, the same for all pictures: docs/denoising.md says why.
_HIDDEN = [384, 384, 384]
_RULE = learning.Rule("huber", learning_rate=1e-3, weight_decay=0, spread=1)

_PATCHES = 1 << 15  # in memory at a time
_BEYOND = 0.1  # of floats to learn from, whose white is 1: as resizing overshoots
_LEAST = 1e-6  # of the largest value: float32 has no noise below


class ImageDenoiser:
    """Takes white noise from images of any size, grey or colour, whatever its level.

    A network is shown every patch of 13 x 13 pixels, less its mean and in units of the noise, and tells the 7 x 7 in its
    middle; where patches overlap, a mean weighted by a Gaussian counts (Burger, Schuler, Harmeling, "Image denoising: can plain
    neural networks compete with BM3D?", CVPR 2012). Colours are turned to brightness and two differences, which bear the
    same noise, and are denoised one by one; three equal channels are one of grey. No grey, brightness or difference is changed
    by more than four standard deviations of the noise.

    All pictures have the same rule: layers 169-384-384-384-49 of SiLU; Huber's loss, 1 being the noise; Adam, batches of 64,
    one cycle of the learning rate up to 1e-3.

    ``ImageDenoiser()`` is ready: its network comes with fastae, and has learnt from photographs in the public domain. ``fit``
    learns another.

    Parameters
    ----------
    seed : int, numpy.random.Generator or None
        Of what ``fit`` draws.
    n_threads : int, optional
        Results do not depend on it.
    backend : str, optional

    Attributes
    ----------
    model : Autoencoder
        From patches to their middles.

    Examples
    --------
    >>> import numpy as np
    >>> from fastae.denoising import ImageDenoiser
    >>> ramp = np.tile(np.linspace(0, 200, 64), (48, 1))
    >>> noisy = ramp + np.random.default_rng(0).normal(0, 20, ramp.shape)
    >>> bool(np.std(ImageDenoiser().denoise(noisy, sigma=20) - ramp) < 5)
    True
    """

    def __init__(self, *, seed: Any = 0, n_threads: int | None = None, backend: str | None = None) -> None:
        check_threads(n_threads)  # these three refuse a wrong one now, and not in fit
        kernels(backend)
        generator(seed)
        self.seed, self.n_threads, self.backend = seed, n_threads, backend
        self._model: Autoencoder | None = None

    @property
    def model(self) -> Autoencoder:
        """From patches to their middles."""
        if self._model is None:
            self._model = _shipped(self.backend)
        return self._model

    def fit(
        self,
        images: Sequence[Any],
        *,
        sigmas: tuple[float, float] = (5 / 255, 100 / 255),
        samples: int = 5_000_000,
        progress: bool = False,
    ) -> ImageDenoiser:
        """Learn from clean images.

        Parameters
        ----------
        images : sequence of arrays (rows, columns) or (rows, columns, channels)
            Of uint8, uint16, or floats that have 1 for white, a tenth beyond 0 and 1 at most; at least 13 x 13 pixels.
        sigmas : pair of float
            The least and the most noise to learn of, 1, which is white, at most. What :meth:`denoise` is given may be beyond.
        samples : int
            Patches to learn from, drawn anew with new noise: some hundred thousand give an idea, some million do well.
        progress : bool
            Show a progress bar on stderr, if that is a terminal or a notebook.

        Returns
        -------
        ImageDenoiser
            This one.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; nothing has changed.
        """
        if not hasattr(images, "__iter__"):
            raise TypeError(f"images takes a sequence of images, got {images!r}")
        checked = [clean_image(image, f"images[{number}]") for number, image in enumerate(images)]
        if not checked:
            raise ValueError("images takes at least one image to learn from, got none")
        samples, progress = _check.positive_integer(samples, "samples"), _check.flag(progress, "progress")
        rng = generator(self.seed)
        drawn = training.drawn(checked, _range(sigmas), rng)
        self._model = learning.learn(drawn, _HIDDEN, samples, _RULE, rng, self.n_threads, self.backend, progress)
        return self

    def denoise(self, image: Any, sigma: float | None = None) -> Array:
        """An image without its noise.

        Parameters
        ----------
        image : array (rows, columns) or (rows, columns, channels) of uint8, uint16, float32 or float64
            One channel is grey, three are colour; a second or fourth one, alpha, stays as it is. Any size: beyond its borders
            an image is mirrored.
        sigma : float, optional
            Standard deviation of the noise, in units of the image. Default: :func:`estimate_sigma`.

        Returns
        -------
        array of the image's shape and dtype
            Integers are rounded, and within their range. An image in which nothing varies is as it was, to the bit.
        """
        x = pixels.checked(image, "image")
        sigma = estimate_sigma(image) if sigma is None else _check.real_number(sigma, "sigma", 0, inf, "a number >= 0")
        result, coloured = np.array(x), pixels.colours(x)
        even = (coloured == coloured[:1, :1]).all()
        if even or sigma <= _LEAST * max(abs(float(coloured.min())), abs(float(coloured.max()))):
            return result.reshape(np.shape(image))
        model, (rows, columns) = self.model, x.shape[:2]
        across = _mirrored(-patches.MARGIN, columns + patches.MARGIN, columns)
        step = patches.STRIDE * max(patches.STRIDE * _PATCHES // columns, 1)
        for start in range(0, rows, step):  # a band of rows at a time
            stop = min(start + step, rows)
            down = _mirrored(start - patches.MARGIN, stop + patches.MARGIN, rows)
            noisy = pixels.planes(coloured[down][:, across] / np.float64(sigma))
            clean = np.stack([patches.smooth(model, plane, self.n_threads) for plane in noisy])
            band = pixels.restored(clean).astype(np.float64) * sigma
            if x.dtype.kind == "u":
                band = np.clip(np.rint(band), 0, pixels.WHITE[x.dtype.name])
            result[start:stop, :, : pixels.n_colours(x)] = band
        return result.reshape(np.shape(image))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the denoiser to a safetensors file, whose model ``fastae.load`` reads too."""
        from safetensors.numpy import save as to_bytes

        arrays, metadata = persistence.contents(self.model)
        persistence.write_atomically(path, to_bytes(arrays, metadata | {KEY: json.dumps({"format": 1})}))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, n_threads: int | None = None, backend: str | None = None) -> ImageDenoiser:
        """Read a denoiser that ``save`` wrote.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is no whole file of an image denoiser.
        """
        denoiser = cls(n_threads=n_threads, backend=backend)
        denoiser._model = persistence.load(path, backend)
        if not tables.has(path, KEY):
            raise ValueError(f"{path} holds a model, but not one of {KEY}")
        return denoiser


def clean_image(image: Any, argument: str) -> Array:
    """An image to learn from: (rows, columns, 1 or 3) of floats, 1 being white."""
    x = pixels.colours(pixels.checked(image, argument))
    if min(x.shape[:2]) < patches.SIDE:
        raise ValueError(f"{argument} takes at least {patches.SIDE} pixels in either direction, got {x.shape[:2]}")
    if x.dtype.kind == "f":
        _check.between(x.reshape(len(x), -1), -_BEYOND, 1 + _BEYOND, argument, "1 is white; scale it, or give uint8 or uint16")
    return np.asarray(x / np.float32(pixels.WHITE[x.dtype.name]))


def _range(sigmas: Any) -> tuple[float, float]:
    takes = "two numbers above 0, at most 1, the lower first"
    if not isinstance(sigmas, (tuple, list)) or len(sigmas) != 2:
        raise TypeError(f"sigmas takes {takes}, got {sigmas!r}")
    low, high = (_check.real_number(sigma, "sigmas", np.nextafter(0, 1), np.nextafter(1, 2), takes) for sigma in sigmas)
    if low > high:
        raise ValueError(f"sigmas takes {takes}, got {sigmas}")
    return low, high


def _mirrored(start: int, stop: int, n: int) -> Array:
    """Where the rows start to stop of a picture of n rows are, which is mirrored at its borders."""
    at = np.arange(start, stop) % max(2 * n - 2, 1)
    return np.minimum(at, 2 * n - 2 - at)


def _shipped(backend: str | None) -> Autoencoder:
    """The network that comes with fastae."""
    with as_file(files("fastae").joinpath("data/denoiser.npz")) as path, np.load(path) as stored:
        numbers = range(len(stored.files) // 2)
        arrays = [(stored[f"weight{n}"].astype(np.float32), stored[f"bias{n}"].astype(np.float32)) for n in numbers]
    return learning.network_of(arrays, backend)
