"""Contractive autoencoders: a penalty on how fast the code changes with the input."""

from __future__ import annotations

from math import inf
from typing import Any, Unpack

from .. import _check
from .._kernels.recipe import CONTRACTIVE, Recipe
from ..autoencoder import Autoencoder, Setting
from .network import Untied, preset


class ContractiveAutoencoder(Autoencoder):
    """An autoencoder whose hidden units change slowly with the input.

    Loss: that of the reconstruction, by default half_squared, plus ``weight`` times the squared Frobenius norm of the Jacobian
    of the first layer, averaged over samples. With h = f(W x + b) that is the sum of (f'(z_j) W_ji)^2; of a sigmoid,
    f' = h (1 - h) (Rifai, Vincent, Muller, Glorot, Bengio, "Contractive auto-encoders", ICML 2011). Deep
    ones penalise the first layer alone.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code.
    weight : float
        lambda of the paper.
    tied : bool
        As in :class:`fastae.Autoencoder`, but by default: else a small encoder and a large decoder would evade the penalty.
    **network
        Further arguments of :class:`fastae.Autoencoder`. The first layer's activation is sigmoid or tanh; activation and
        latent_activation are by default sigmoid.
    """

    default_loss = "half_squared"
    setting_names = (*Autoencoder.setting_names, "weight")

    def __init__(self, sizes: Any = None, *, weight: float = 0.1, tied: bool = True, **network: Unpack[Untied]) -> None:
        super().__init__(sizes, **preset(network, activation="sigmoid", latent_activation="sigmoid"), tied=tied)
        if (first := self.layers[0].activation) not in CONTRACTIVE:
            argument = "activation" if len(self.encoder) > 1 else "latent_activation"
            raise ValueError(f"{argument} takes {' or '.join(map(repr, CONTRACTIVE))} in the first layer, got {first!r}")
        self.weight = weight

    weight = Setting(lambda _, value: _check.real_number(value, "weight", 0, inf, "a finite number >= 0"))

    def recipe(self) -> Recipe:
        """A step with the penalty."""
        return super().recipe()._replace(contractive=self.weight)
