"""Variational autoencoders: the code is a Gaussian distribution, the decoder's output the means of another distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Unpack

import numpy as np

from .. import _check
from .._check import Array
from .._kernels.names import LOSSES
from .._kernels.recipe import Recipe
from ..autoencoder import Fixed, Setting
from ..data import TARGETS
from ..layers import BLOCK, Sequential, generator
from ..settings import check_threads
from .network import Common, _ByHalves, check_logits, expected_counts, preset, probabilities

_LOSS = {"bernoulli": "bce_with_logits", "gaussian": "half_squared", "multinomial": "multinomial"}
_ROWS = 1 << 12  # codes that log_likelihood decodes at a time: with 784 outputs, some 13 MB and as many of targets


class VariationalAutoencoder(_ByHalves):
    """A variational autoencoder, beta-VAE, or Mult-VAE.

    The encoder gives the mean m and the logarithm s of the variance of q(z|x), normal and diagonal; p(z) is standard normal.
    Loss, in nats, a mean over samples:

        -log p(x|z) + beta KL,  z = m + exp(s / 2) e,  e standard normal,  KL = 1/2 sum of exp(s) + m^2 - 1 - s

    with beta = 1 the negative evidence lower bound (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, equation
    10 and appendix B; beta: Higgins et al., "beta-VAE", ICLR 2017, equation 4). -log p(x|z) of the decoder's outputs y is

    - "bernoulli": the sum of log(1 + exp(y)) - x y;
    - "gaussian": the sum of (y - x)^2 / (2 sigma^2), without its constant;
    - "multinomial": minus the sum of x log softmax(y), without the logarithm of the multinomial coefficient (Liang et
      al., "Variational autoencoders for collaborative filtering", WWW 2018).

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code, as [784, 256, 20]; the encoder's last layer has twice the last number of outputs.
    decoder : {"bernoulli", "gaussian", "multinomial"} or Sequential
        The distribution of x given z; or the decoder made by hand, beside ``encoder`` and ``likelihood``.
    beta : float
        Weight of KL.
    sigma : float
        Standard deviation of the Gaussian decoder.
    anneal_steps : int
        KL's weight grows from 0 to beta over so many steps of a trainer (Bowman et al., CoNLL 2016, section 3.1). 0: it is beta
        from the start.
    binarize : bool
        Each step draws 0 or 1, 1 with probability x, for input and target, as do elbo and log_likelihood; x that is 0 or 1
        stays as it is. For the Bernoulli decoder.
    input_dropout : float
        Probability that an element of the input, not of the target, is set to 0 in a training step; others are divided by
        1 - input_dropout. Mult-VAE has 0.5. Not with ``binarize``.
    likelihood : str
        What ``decoder`` names.
    **network
        Further arguments of :class:`fastae.Autoencoder`. latent_activation and output_activation are the identity.
        A number for dropout is of all hidden layers but the code.

    Examples
    --------
    >>> import fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> model = fastae.VariationalAutoencoder([64, 32, 4], seed=0)
    >>> history = fastae.Trainer(model, fastae.Adam(3e-3), batch_size=64, seed=0).fit(x, epochs=2)
    >>> model.sample(5, seed=0).shape
    (5, 64)
    """

    setting_names: ClassVar[tuple[str, ...]] = (
        "dropout",
        "likelihood",
        "beta",
        "sigma",
        "anneal_steps",
        "binarize",
        "input_dropout",
    )
    own_loss = True

    def __init__(
        self,
        sizes: Any = None,
        *,
        decoder: str | Sequential | None = None,
        beta: float = 1.0,
        sigma: float = 1.0,
        anneal_steps: int = 0,
        binarize: bool = False,
        input_dropout: float = 0.0,
        likelihood: str | None = None,
        **network: Unpack[Common],
    ) -> None:
        kind = likelihood or (decoder if isinstance(decoder, str) else "bernoulli")
        self._likelihood = _check.choice(kind, "decoder" if likelihood is None else "likelihood", tuple(_LOSS))
        made = None if isinstance(decoder, str) else decoder
        super().__init__(sizes, **preset(network, latent_activation="identity", output_activation="identity"), decoder=made)
        if (last := self.encoder[-1].activation) != "identity":
            raise ValueError(f"latent_activation takes 'identity', as means and logarithms are any numbers; got {last!r}")
        check_logits(self)
        self._binarize = _check.flag(binarize, "binarize")
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError(f"binarize takes the decoder 'bernoulli', got {self.likelihood!r}")
        self.beta, self.sigma, self.anneal_steps, self.input_dropout = beta, sigma, anneal_steps, input_dropout

    likelihood = Fixed()
    binarize = Fixed()
    beta = Setting(lambda _, value: _check.real_number(value, "beta", 0, math.inf, "a finite number >= 0"))
    sigma = Setting(lambda _, value: _check.real_number(value, "sigma", 1e-6, 1e6, "a standard deviation from 1e-6 to 1e6"))
    anneal_steps = Setting(lambda _, value: _check.count(value, "anneal_steps"))

    def _checked_dropout(self, value: Any) -> float:
        p = _check.real_number(value, "input_dropout", 0, 1, "a probability 0 <= input_dropout < 1")
        if self.binarize and p:
            raise ValueError(f"input_dropout takes 0 beside binarize, whose input is its target; got {p}")
        return p

    input_dropout = Setting(_checked_dropout)

    def _probabilities(self, dropout: Any) -> float | tuple[float, ...]:
        p = super()._probabilities(dropout)
        if isinstance(p, tuple) and p[len(self.encoder) - 1]:
            raise ValueError("dropout takes 0 for the encoder's last layer, which gives means and variances")
        return p

    def _widths(self, sizes: list[int]) -> tuple[list[int], list[int]]:
        *above, code = sizes
        above[0] += self.n_conditions
        return [*above, 2 * code], [code + self.n_conditions, *reversed(sizes[:-1])]

    def _passes(self, n: int) -> int:
        if n % 2:
            raise ValueError(f"encoder takes an even number of outputs, means and as many variances; got {n}")
        return n // 2 + self.n_conditions

    @property
    def default_loss(self) -> str:  # type: ignore[override]  # which of other models is the class's
        """Of a Trainer that is given none."""
        return _LOSS[self.likelihood]

    @property
    def n_latent(self) -> int:
        """Features of the code."""
        return self.encoder.n_out // 2

    def recipe(self) -> Recipe:
        """A step that draws codes, and adds their divergence from p(z)."""
        recipe, code = super().recipe(), len(self.encoder) - 1
        return recipe._replace(
            dropout=tuple(0.0 if layer == code else p for layer, p in enumerate(recipe.dropout)),
            code=code,
            gaussian=True,
            kl_weight=self.beta,
            condition=self.n_conditions,
            noise="binarize" if self.binarize else "dropout" if self.input_dropout else None,
            level=self.input_dropout,
            scale=self._scale,
        )

    def penalty_factor(self, steps: Array) -> Array:
        """Factor of KL at steps (n,), counted from 0: (n,) of float64."""
        return np.minimum(np.asarray(steps) / self.anneal_steps, 1.0) if self.anneal_steps else np.ones(len(steps))

    @property
    def _scale(self) -> float:
        return self.sigma**-2 if self.likelihood == "gaussian" else 1.0

    # ---- codes and reconstructions

    def encode(self, x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Means of q(z|x).

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        out : array (samples, n_latent), optional
        n_threads : int, optional

        Returns
        -------
        array (samples, n_latent)
        """
        mean, _ = self.encode_distribution(x, n_threads=n_threads)
        if out is None:
            return mean
        _check.output(out, mean.shape, self.dtype)
        out[...] = mean
        return out

    def encode_distribution(self, x: Any, n_threads: int | None = None) -> tuple[Array, Array]:
        """Means and logarithms of variances of q(z|x): x (samples, n_in) -> two of (samples, n_latent)."""
        y = self.encoder.infer(x, "x", None, n_threads)
        return y[:, : self.n_latent].copy(), y[:, self.n_latent :].copy()

    def decode(self, z: Any, out: Array | None = None, n_threads: int | None = None, *, logits: bool = False) -> Array:
        """Means of p(x|z): z (samples, n_latent) -> (samples, n_out). With ``logits``, before sigmoid or softmax."""
        return self._shown(super().decode(z, out, n_threads), logits, n_threads)

    def reconstruct(self, x: Any, out: Array | None = None, n_threads: int | None = None, *, logits: bool = False) -> Array:
        """``decode(encode(x))``: x (samples, n_in) -> (samples, n_out)."""
        return self._shown(super().reconstruct(x, out, n_threads), logits, n_threads)

    def _shown(self, y: Array, logits: bool, n_threads: int | None) -> Array:
        return y if logits else probabilities(y, self.likelihood, self.layers[0].kernels, check_threads(n_threads))

    def sample(self, n: int, seed: Any = None, n_threads: int | None = None) -> Array:
        """Means of p(x|z) for codes drawn from p(z).

        Parameters
        ----------
        n : int
        seed : int, numpy.random.Generator or None
        n_threads : int, optional

        Returns
        -------
        array (n, n_out)
        """
        return self.decode(self._normal(generator(seed), _check.positive_integer(n, "n")), n_threads=n_threads)

    def interpolate(self, a: Any, b: Any, steps: int = 10, n_threads: int | None = None) -> Array:
        """Reconstructions along the straight line from a's code to b's: a, b (n_in,) -> (steps, n_out), with both ends."""
        return self.decode(self._line(self._sample(a, "a"), self._sample(b, "b"), steps, n_threads), n_threads=n_threads)

    def _sample(self, value: Any, argument: str) -> Array:
        """One sample, as a matrix of one row."""
        one, width = np.asarray(value), self.n_in - self.n_conditions
        if one.shape not in ((width,), (1, width)):
            raise ValueError(f"{argument} takes one sample of shape ({width},), got {one.shape}")
        return _check.samples(one.reshape(1, width), argument, width)

    def _line(self, a: Array, b: Array, steps: int, n_threads: int | None) -> Array:
        """Codes from that of a to that of b, each one row as the encoder takes it."""
        ends = [self.encoder.infer(row, name, None, n_threads)[:, : self.n_latent] for row, name in ((a, "a"), (b, "b"))]
        way = np.linspace(0, 1, _check.positive_integer(steps, "steps"), dtype=self.dtype)[:, None]
        return np.asarray((1 - way) * ends[0] + way * ends[1])

    # ---- bounds of the likelihood

    def elbo(self, x: Any, seed: Any = None, n_threads: int | None = None) -> Array:
        """Evidence lower bound of log p(x), by one code drawn for each sample.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        seed : int, numpy.random.Generator or None
        n_threads : int, optional

        Returns
        -------
        array (samples,) of float64
            In nats, whatever beta is; with the Gaussian's constant, without the multinomial's.
        """
        x, rng = self._checked(x), generator(seed)
        number, bounds, step = LOSSES.index(self.default_loss), [], _check.together(x, BLOCK)
        for start in range(0, x.shape[0], step):
            block = _check.dense(x, slice(start, start + step))
            bounds.append(self._constant - self._negative(block, block, number, 1.0, rng, n_threads))
        return np.concatenate(bounds)

    def losses(self, x: Array, target: Array, loss: int, n_threads: int | None = None) -> Array:
        """What a training step minimises, of each sample, with the same draws at every call: (samples,) of float64."""
        return self._negative(x, target, loss, self.beta, np.random.default_rng(0), n_threads)

    def _negative(
        self, x: Array, target: Array, loss: int, beta: float, rng: np.random.Generator, n_threads: int | None
    ) -> Array:
        """-log p(target|z) + beta KL without constants."""
        own = target is x
        x = self._binary(_check.converted(x, self.dtype, "x"), rng)
        t = x if own else _check.converted(target, self.dtype, "target")
        mean, log_variance = self.encode_distribution(x, n_threads=n_threads)
        z = mean + np.exp(0.5 * log_variance) * self._normal(rng, len(x))
        y, terms = self.decoder.infer(self._decoder_input(z, x), "z", None, n_threads), np.empty(len(x))
        kernels, threads = self.layers[0].kernels, check_threads(n_threads)
        kernels.sample_losses(loss, y, np.ascontiguousarray(t[:, : self.n_out]), terms, threads)
        kl = 0.5 * np.sum(np.exp(log_variance) + mean * mean - 1 - log_variance, axis=1, dtype=np.float64)
        return self._scale * terms + beta * kl

    def log_likelihood(self, x: Any, n_samples: int = 5000, seed: Any = None, n_threads: int | None = None) -> Array:
        """Estimate of log p(x) by importance sampling.

        log of the mean of p(x, z_k) / q(z_k|x) over ``n_samples`` codes z_k drawn from q(z|x) (Burda, Grosse, Salakhutdinov,
        "Importance weighted autoencoders", ICLR 2016, equation 8): in expectation a lower bound that rises with ``n_samples``,
        from the ELBO to log p(x). Sums of exponentials are streamed in float64, codes decoded some thousand at a time.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        n_samples : int
        seed : int, numpy.random.Generator or None
        n_threads : int, optional

        Returns
        -------
        array (samples,) of float64
            In nats; with the Gaussian's constant, without the multinomial's.
        """
        x, k, rng = self._checked(x), _check.positive_integer(n_samples, "n_samples"), generator(seed)
        result, together = np.empty(x.shape[0]), max(_ROWS // k, 1)
        for start in range(0, len(result), together):
            rows = _check.dense(x, slice(start, start + together))
            block = self._binary(_check.converted(rows, self.dtype, "x"), rng)
            largest, total = np.full(len(block), -np.inf), np.zeros(len(block))
            for weights in self._weights(block, k, rng, n_threads):
                highest = np.maximum(largest, weights.max(axis=1))
                total = total * np.exp(largest - highest) + np.exp(weights - highest[:, None]).sum(axis=1)
                largest = highest
            result[start : start + len(block)] = largest + np.log(total / k) + self._constant
        return result

    def _weights(self, x: Array, k: int, rng: np.random.Generator, n_threads: int | None) -> Iterator[Array]:
        """log p(x, z) / q(z|x) without constants, (samples, codes) of float64, for k codes of each of x, a part at a time."""
        kernels, threads, number = self.layers[0].kernels, check_threads(n_threads), LOSSES.index(self.default_loss)
        mean, log_variance = self.encode_distribution(x, n_threads=n_threads)
        deviation, half = np.exp(0.5 * log_variance), 0.5 * np.sum(log_variance, axis=1, keepdims=True, dtype=np.float64)
        parts = -(-k * len(x) // _ROWS)
        sizes = [k // parts + (part < k % parts) for part in range(parts)]
        most = sizes[0] * len(x)
        target, y, terms = np.empty((0, self.n_out), self.dtype), np.empty((most, self.n_out), self.dtype), np.empty(most)
        for size in sizes:
            rows = size * len(x)
            if len(target) != rows:
                inputs = np.repeat(x, size, axis=0)
                target = np.ascontiguousarray(inputs[:, : self.n_out])
            noise = rng.standard_normal((len(x), size, self.n_latent), self.dtype)
            z = mean[:, None] + deviation[:, None] * noise
            self.decoder.infer(self._decoder_input(z.reshape(rows, -1), inputs), "z", y[:rows], threads)
            kernels.sample_losses(number, y[:rows], target, terms[:rows], threads)
            squares = np.einsum("ijk,ijk->ij", z - noise, z + noise, dtype=np.float64)  # z^2 - e^2
            yield half - 0.5 * squares - self._scale * terms[:rows].reshape(len(x), size)

    @property
    def _constant(self) -> float:
        """log p(x|z) where the loss is 0."""
        gaussian = self.likelihood == "gaussian"
        return -0.5 * self.n_out * math.log(2 * math.pi * self.sigma**2) if gaussian else 0.0

    def _expected(self, y: Array, x: Array) -> Array:
        return expected_counts(y, x) if self.likelihood == "multinomial" else y

    def _checked(self, x: Any) -> Any:
        """Samples whose likelihood can be told, features and conditions; an array or CSR."""
        x = _check.matrix(x, "x", self.n_in)
        _check.finite_rows(x, "x", self.dtype)
        if self.n_in - self.n_conditions != self.n_out:
            raise ValueError(f"this model gives {self.n_out} features for {self.n_in}, so they have no likelihood")
        if (limits := TARGETS.get(self.default_loss)) is not None:
            values = x.data.reshape(-1, 1) if hasattr(x, "tocsr") else x[:, : self.n_out]
            _check.between(values, *limits, f"x of the decoder {self.likelihood!r}", "it has no likelihood")
        return x

    def _binary(self, x: Array, rng: np.random.Generator) -> Array:
        """x in this model's dtype; with ``binarize``, 1 with probability x, else 0."""
        if not self.binarize:
            return x
        features = x[:, : x.shape[1] - self.n_conditions]
        drawn = (rng.random(features.shape, self.dtype) < features).astype(self.dtype)
        return np.concatenate([drawn, x[:, features.shape[1] :]], axis=1)

    def _normal(self, rng: np.random.Generator, n: int) -> Array:
        """Standard normal codes (n, n_latent)."""
        return np.asarray(rng.standard_normal((n, self.n_latent), self.dtype))

    def _code(self, y: Array, x: Array) -> Array:
        return self._decoder_input(y[:, : self.n_latent], x)

    def _decoder_input(self, z: Array, x: Array) -> Array:
        """What the decoder receives for codes z of samples x."""
        if not self.n_conditions:
            return z
        given = _check.converted(x[:, x.shape[1] - self.n_conditions :], self.dtype, "x")
        return np.concatenate([z, given], axis=1)
