"""Sparse autoencoders: a penalty keeps most of the code near 0."""

from __future__ import annotations

from math import inf
from typing import Any, Unpack

from .. import _check
from .._kernels.recipe import Recipe
from ..autoencoder import Autoencoder, Fixed, Setting
from .network import Network, preset


class SparseAutoencoder(Autoencoder):
    """An autoencoder with a penalty on its code.

    Loss: that of the reconstruction, by default half_squared, plus ``weight`` times, with y the code:

    - "kl": the sum over code units of rho log(rho / r) + (1 - rho) log((1 - rho) / (1 - r)), r the unit's mean over the batch
      (A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011, section 3);
    - "l1": the sum of ``|y|``, averaged over samples (Olshausen and Field, "Emergence of simple-cell receptive field properties
      by learning a sparse code for natural images", Nature 381, 1996).

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code, which may be wider than the input.
    penalty : {"kl", "l1"}
        kl takes a code of sigmoid.
    weight : float, optional
        Default: 3 (Ng's beta) for kl, 0.1 for l1.
    rho : float
        Mean that kl wants of each unit, between 0 and 1.
    **network
        Further arguments of :class:`fastae.Autoencoder`; ``latent_activation`` is by default sigmoid for kl, relu for l1.
    """

    default_loss = "half_squared"
    setting_names = (*Autoencoder.setting_names, "penalty", "weight", "rho")

    def __init__(
        self,
        sizes: Any = None,
        *,
        penalty: str = "kl",
        weight: float | None = None,
        rho: float = 0.05,
        **network: Unpack[Network],
    ) -> None:
        kl = _check.choice(penalty, "penalty", ("kl", "l1")) == "kl"
        super().__init__(sizes, **preset(network, latent_activation="sigmoid" if kl else "relu"))
        if kl and self.encoder[-1].activation != "sigmoid":
            raise ValueError(f"latent_activation takes 'sigmoid' with penalty 'kl', got {self.encoder[-1].activation!r}")
        self._penalty = penalty
        default = 3.0 if kl else 0.1
        self.weight, self.rho = default if weight is None else weight, rho

    penalty = Fixed()
    weight = Setting(lambda _, value: _check.real_number(value, "weight", 0, inf, "a finite number >= 0"))
    rho = Setting(lambda _, value: _check.real_number(value, "rho", 5e-324, 1, "0 < rho < 1"))

    def recipe(self) -> Recipe:
        """A step with the penalty."""
        recipe = super().recipe()._replace(code=len(self.encoder) - 1)
        return recipe._replace(kl=self.weight, rho=self.rho) if self.penalty == "kl" else recipe._replace(l1=self.weight)
