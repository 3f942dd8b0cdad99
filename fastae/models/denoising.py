"""Denoising autoencoders: the input is disturbed, the target is not."""

from __future__ import annotations

from math import inf
from typing import Any, Unpack

from .. import _check
from .._kernels.names import NOISES
from .._kernels.recipe import Recipe
from ..autoencoder import Autoencoder, Fixed, Setting
from .network import Network

_NOISES = tuple(name for name in NOISES if name != "binarize")


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that learns to reproduce its input from a disturbed one.

    Loss: l(g(f(x~)), x), x~ drawn anew for every sample of every step (Vincent, Larochelle, Lajoie, Bengio, Manzagol, "Stacked
    denoising autoencoders", JMLR 11, 2010). Without training, nothing is disturbed.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code.
    noise : {"gaussian", "masking", "salt_and_pepper", "dropout"} or None
        x + level n, n standard normal; 0 with probability level; 0 or 1 with probability level / 2 each; as masking, but what
        stays is divided by 1 - level.
    level : float
        Standard deviation, or probability.
    **network
        Further arguments of :class:`fastae.Autoencoder`.

    Examples
    --------
    >>> import numpy as np, fastae
    >>> x, _ = fastae.datasets.load_digits()
    >>> model = fastae.DenoisingAutoencoder([64, 32], noise="masking", level=0.3, seed=0)
    >>> history = fastae.Trainer(model, fastae.Adam(3e-3), batch_size=64, seed=0).fit(x, epochs=5)
    >>> bool(model.reconstruction_error(x).mean() < x.var())
    True
    """

    setting_names = (*Autoencoder.setting_names, "noise", "level")

    def __init__(
        self, sizes: Any = None, *, noise: str | None = "gaussian", level: float = 0.3, **network: Unpack[Network]
    ) -> None:
        super().__init__(sizes, **network)
        self._noise = None if noise is None else _check.choice(noise, "noise", _NOISES)
        self.level = level

    noise = Fixed()

    def _checked_level(self, level: Any) -> float:
        most, takes = (inf, "a standard deviation >= 0") if self.noise == "gaussian" else (1, "a probability 0 <= level < 1")
        return _check.real_number(level, "level", 0, most, takes)

    level = Setting(_checked_level)

    def recipe(self) -> Recipe:
        """A step with noise on the input."""
        return super().recipe()._replace(noise=self.noise, level=self.level)
