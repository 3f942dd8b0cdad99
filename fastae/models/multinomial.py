"""The denoising autoencoder of counts, for recommendation."""

from __future__ import annotations

from typing import Any, Unpack

from .. import _check
from .._check import Array
from .._kernels.recipe import Recipe
from ..autoencoder import Autoencoder, Setting
from ..settings import check_threads
from .network import Network, check_logits, expected_counts, preset, probabilities


class MultinomialAutoencoder(Autoencoder):
    """Mult-DAE: an autoencoder of counts, as of a user's items.

    Counts are of float32 or float64; uint8 would be scaled to 0 to 1, as images are. ``reconstruction_error`` compares counts
    with the probabilities times their sum.

    Loss of counts x: minus the sum of x_i log p_i, p the softmax of the last layer's outputs, with dropout on the input (Liang,
    Krishnan, Hoffman, Jebara, "Variational autoencoders for collaborative filtering", WWW 2018; the paper
    divides each input by its Euclidean norm: give such rows as x, and the counts as target). The paper's Mult-VAE is
    ``fastae.VariationalAutoencoder(..., decoder="multinomial", input_dropout=0.5)``.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code.
    level : float
        Probability that an element of the input is set to 0 in training; others are divided by 1 - level.
    **network
        Further arguments of :class:`fastae.Autoencoder`; activation and latent_activation are by default tanh.
    """

    default_loss = "multinomial"
    own_loss = True
    setting_names = (*Autoencoder.setting_names, "level")

    def __init__(self, sizes: Any = None, *, level: float = 0.5, **network: Unpack[Network]) -> None:
        own = {"activation": "tanh", "latent_activation": "tanh", "output_activation": "identity"}
        super().__init__(sizes, **preset(network, **own))
        check_logits(self)
        self.level = level

    level = Setting(lambda _, value: _check.real_number(value, "level", 0, 1, "a probability 0 <= level < 1"))

    def recipe(self) -> Recipe:
        """A step with dropout on the input."""
        return super().recipe()._replace(noise="dropout" if self.level else None, level=self.level)

    def decode(self, z: Any, out: Array | None = None, n_threads: int | None = None, *, logits: bool = False) -> Array:
        """Probabilities, which add up to 1, or logits, from codes: z (samples, n_latent) -> (samples, n_out)."""
        return self._shown(super().decode(z, out, n_threads), logits, n_threads)

    def reconstruct(self, x: Any, out: Array | None = None, n_threads: int | None = None, *, logits: bool = False) -> Array:
        """``decode(encode(x))``: x (samples, n_in) -> (samples, n_out)."""
        return self._shown(super().reconstruct(x, out, n_threads), logits, n_threads)

    def _expected(self, y: Array, x: Array) -> Array:
        return expected_counts(y, x)

    def _shown(self, y: Array, logits: bool, n_threads: int | None) -> Array:
        return y if logits else probabilities(y, "multinomial", self.layers[0].kernels, check_threads(n_threads))
