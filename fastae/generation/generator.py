"""The generator: a model's decoder, and a distribution of the codes that it is given."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from .. import _check, persistence, tables
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import generator
from ..models import ConditionalVariationalAutoencoder, VariationalAutoencoder
from ..optim import Adam
from ..schedules import OneCycle
from ..trainer import Trainer
from .mixture import Mixture

KEY = "fastae.generation"  # of the prior in a generator's file
_LABELS = 1000  # that a few samples may have; each is a column of the network's input


class Generator:
    """Samples, ways from one to another, and maps of the latent space.

    Parameters
    ----------
    model : Autoencoder
        For a variational autoencoder, no more is needed; any other takes a prior. Made by :meth:`learn` or by hand.
    prior : Mixture, optional
        What codes are drawn from. Default: the standard normal distribution, a variational autoencoder's; :meth:`of_codes`
        finds one for any other.

    Attributes
    ----------
    model : Autoencoder
    prior : Mixture

    Notes
    -----
    A conditional model's methods need ``condition``, as :class:`fastae.ConditionalVariationalAutoencoder` takes it.

    Examples
    --------
    >>> import fastae
    >>> from fastae.generation import Generator
    >>> x, _ = fastae.datasets.load_digits()
    >>> generator = Generator.learn(x, n_codes=2, epochs=20)
    >>> generator.sample(5, seed=0).shape, generator.map(steps=4).shape
    ((5, 64), (16, 64))
    """

    def __init__(self, model: Autoencoder, prior: Mixture | None = None) -> None:
        if not isinstance(model, Autoencoder):
            raise TypeError(f"model takes an Autoencoder, got {type(model).__name__}")
        if prior is None and not isinstance(model, VariationalAutoencoder):
            raise ValueError(f"prior is needed for a {type(model).__name__}; make one by Generator.of_codes(model, x)")
        if prior is not None and not isinstance(prior, Mixture):
            raise TypeError(f"prior takes a Mixture, got {type(prior).__name__}")
        self.model = model
        self.prior = Mixture.standard(model.n_latent) if prior is None else prior.checked(model.n_latent)

    # ---- making one

    @classmethod
    def learn(
        cls,
        x: Any,
        n_codes: int = 20,
        labels: Any = None,
        *,
        beta: float = 1.0,
        hidden: int | Sequence[int] = (256, 128),
        epochs: int | None = None,
        batch_size: int = 100,
        seed: Any = 0,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> Generator:
        """Train a variational autoencoder on images.

        Parameters
        ----------
        x : array (samples, pixels) of uint8, or of floats from 0 to 1
            Two at least.
        n_codes : int
            Features of the code.
        labels : array (samples,) of integers from 0 on, optional
            The model is then a conditional one, of as many conditions as the largest label tells: below 1000, or the number
            of samples where that is more.
        beta : float
            Weight of KL. Above 1, codes tell less of an image, and those drawn from the prior are more like those of images.
        hidden : int or sequence of int
            Widths of the encoder's hidden layers, of silu; the decoder mirrors them.
        epochs : int, optional
            Default: about 2 million samples, from 12 to 300 epochs. The learning rate is of one cycle up to 2e-3.
        batch_size : int
            Of fewer samples, all.
        seed : int, numpy.random.Generator or None
        n_threads : int, optional
        progress : bool

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; its name is told.
        DivergenceError
        """
        x = tables.rows(x, "x", least=2)
        _check.between(x, 0, 1, "x", "scale them, or give uint8")
        epochs = min(max(2_000_000 // len(x), 12), 300) if epochs is None else _check.positive_integer(epochs, "epochs")
        sizes, rng = [x.shape[1], *_check.widths(hidden, "hidden"), n_codes], generator(seed)
        if labels is None:
            model, rows = VariationalAutoencoder(sizes, beta=beta, activation="silu", seed=rng), x
        else:
            labels = _labels(labels, len(x))
            model = ConditionalVariationalAutoencoder(sizes, int(labels.max()) + 1, beta=beta, activation="silu", seed=rng)
            rows = model.join(x, labels)
        schedule = OneCycle(max_lr=2e-3, pct_start=0.05, cycle_momentum=False)
        batch_size = min(_check.positive_integer(batch_size, "batch_size"), len(x))
        trainer = Trainer(model, Adam(eps=1e-4), None, batch_size, rng, n_threads, schedule=schedule)
        trainer.fit(rows, epochs=epochs, progress=progress)
        return cls(model)

    @classmethod
    def of_codes(
        cls, model: Autoencoder, x: Any, n_components: int = 20, *, seed: Any = 0, n_threads: int | None = None
    ) -> Generator:
        """Fit a Gaussian mixture to a model's codes.

        After Ghosh, Sajjadi, Vergari, Black, Schölkopf, "From variational to deterministic autoencoders", ICLR 2020, section 4.

        Parameters
        ----------
        model : Autoencoder
            Of any kind but a conditional one.
        x : array (samples, n_in)
            What the model learnt from, or the like; as many samples as components, and two, at least.
        n_components : int
        seed : int, numpy.random.Generator or None
        n_threads : int, optional

        Raises
        ------
        ImportError
            scikit-learn is missing.
        TypeError, ValueError
        """
        if not isinstance(model, Autoencoder):
            raise TypeError(f"model takes an Autoencoder, got {type(model).__name__}")
        if model.n_conditions:
            raise ValueError(f"model takes one without conditions, got a {type(model).__name__}, which has a prior")
        x = _check.finite(_check.samples(x, "x", model.n_in), "x")
        least = max(_check.positive_integer(n_components, "n_components"), 2)
        if len(x) < least:
            raise ValueError(f"x takes at least {least} samples for n_components={n_components}, got {len(x)}")
        return cls(model, Mixture.fit(model.encode(x, n_threads=n_threads), n_components, generator(seed)))

    # ---- using one

    def sample(self, n: int, condition: Any = None, *, seed: Any = None, n_threads: int | None = None) -> Array:
        """Decode codes drawn from the prior.

        Parameters
        ----------
        n : int
        condition : int or array, for a conditional model
        seed : int, numpy.random.Generator or None
        n_threads : int, optional

        Returns
        -------
        array (n, n_out)
        """
        codes = self.prior.sample(_check.positive_integer(n, "n"), generator(seed))
        return self._decoded(codes, condition, n_threads)

    def interpolate(
        self,
        a: Any,
        b: Any,
        steps: int = 10,
        condition: Any = None,
        *,
        spherical: bool = False,
        n_threads: int | None = None,
    ) -> Array:
        """Decode the way from one sample's code to another's, with both ends.

        Parameters
        ----------
        a, b : array (features,)
        steps : int
        condition : int or array, for a conditional model
            One for all.
        spherical : bool
            Along an arc around the prior's mean, not a line; codes then stay as far from the mean as those of the ends, where
            most of a normal distribution of many features is (Shoemake, "Animating rotation with quaternion curves", SIGGRAPH
            1985; White, "Sampling generative networks", 2016).
        n_threads : int, optional

        Returns
        -------
        array (steps, n_out)
        """
        steps, spherical = _check.positive_integer(steps, "steps"), _check.flag(spherical, "spherical")
        mean, way = self.prior.mean, np.linspace(0, 1, steps)[:, None]
        start, end = (self._encoded(sample, name, condition, n_threads) - mean for sample, name in ((a, "a"), (b, "b")))
        codes = mean + (_arc if spherical else _line)(start, end, way)
        return self._decoded(codes, condition, n_threads)

    def map(
        self, steps: int = 20, axes: tuple[int, int] = (0, 1), condition: Any = None, *, n_threads: int | None = None
    ) -> Array:
        """Decode a grid of codes that spans two features of the latent space, the others being at their mean.

        The grid's lines are at the quantiles (i + 1/2) / steps of a normal distribution with the prior's mean and standard
        deviation (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix A).

        Parameters
        ----------
        steps : int
            Lines in each direction.
        axes : pair of int
            The features: the first grows from left to right, the second from the bottom up.
        condition : int or array, for a conditional model
        n_threads : int, optional

        Returns
        -------
        array (steps * steps, n_out)
            Row by row from the top, as :func:`tiled` takes it.
        """
        steps, (across, up) = _check.positive_integer(steps, "steps"), self._axes(axes)
        quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / steps) for i in range(steps)])
        codes = np.tile(self.prior.mean, (steps * steps, 1))
        codes[:, across] += self.prior.deviation[across] * np.tile(quantiles, steps)
        codes[:, up] += self.prior.deviation[up] * np.repeat(quantiles[::-1], steps)
        return self._decoded(codes, condition, n_threads)

    # ---- files of it

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write model and prior to a safetensors file, which ``fastae.load`` reads too, as the model."""
        from safetensors.numpy import save

        arrays, metadata = persistence.contents(self.model)
        prior = {name: part.tolist() for name, part in self.prior._asdict().items()}
        persistence.write_atomically(path, save(arrays, metadata | {KEY: json.dumps(prior)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | None = None) -> Generator:
        """Read what :meth:`save` wrote, or any file of a variational autoencoder.

        Raises
        ------
        OSError
            The file is missing or unreadable.
        ValueError
            It is not such a file.
        """
        from safetensors import safe_open

        model = persistence.load(path, backend)
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
        if text is None and not isinstance(model, VariationalAutoencoder):
            raise ValueError(f"{path} holds a {type(model).__name__} and no distribution of its codes; give data to find one")
        try:
            return cls(
                model, None if text is None else Mixture(*(np.array(json.loads(text)[name]) for name in Mixture._fields))
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} has a distribution of codes that cannot be read: {error}") from error

    # ---- codes

    def _encoded(self, sample: Any, argument: str, condition: Any, n_threads: int | None) -> Array:
        """The code (1, n_latent) of one sample."""
        given, width = np.asarray(sample), self.model.n_in - self.model.n_conditions
        if given.shape not in ((width,), (1, width)):
            raise ValueError(f"{argument} takes one sample of shape ({width},), got {given.shape}")
        row = _check.finite(_check.samples(given.reshape(1, width), argument, width), argument)
        return self.model.encode(row, **self._condition(condition), n_threads=n_threads).astype(np.float64)

    def _decoded(self, codes: Array, condition: Any, n_threads: int | None) -> Array:
        return self.model.decode(codes.astype(self.model.dtype), **self._condition(condition), n_threads=n_threads)

    def _condition(self, condition: Any) -> dict[str, Any]:
        if self.model.n_conditions and condition is None:
            raise TypeError("condition is needed: a label, or labels or numbers for each sample")
        if not self.model.n_conditions and condition is not None:
            raise TypeError(f"condition takes a conditional model, this is a {type(self.model).__name__}")
        return {"condition": condition} if self.model.n_conditions else {}

    def _axes(self, axes: Any) -> tuple[int, int]:
        n = self.model.n_latent
        if n < 2:
            raise ValueError(f"a map takes a code of at least two features, got {n}")
        if not isinstance(axes, (tuple, list)) or len(axes) != 2 or axes[0] == axes[1]:
            raise ValueError(f"axes takes two features of the code, got {axes!r}")
        across, up = (_check.count(axis, "axes") for axis in axes)
        if max(across, up) >= n:
            raise ValueError(f"axes takes features from 0 to {n - 1}, got {axes!r}")
        return across, up


def _line(a: Array, b: Array, t: Array) -> Array:
    return np.asarray((1 - t) * a + t * b)


def _arc(a: Array, b: Array, t: Array) -> Array:
    """(sin((1 - t) w) a + sin(t w) b) / sin w, w being the angle between a and b; a line where that is 0 or 180 degrees."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    angle = math.acos(np.clip(float(np.vdot(a, b)) / norms, -1, 1)) if norms else 0.0
    if math.sin(angle) < 1e-6:
        return _line(a, b, t)
    return np.asarray((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / math.sin(angle))


def _labels(labels: Any, n: int) -> Array:
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or found.shape != (n,):
        raise ValueError(f"labels takes {n} integers from 0 on, got {found.dtype} {found.shape}")
    most = max(n, _LABELS) - 1
    if found.min() < 0 or found.max() > most:
        raise ValueError(
            f"labels takes integers from 0 to {most}, got {found.min()} to {found.max()}; number the classes from 0"
        )
    return found
