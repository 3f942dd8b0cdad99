"""Optimisers."""

from dataclasses import dataclass
from math import inf

from . import _check


@dataclass
class SGD:
    """Stochastic gradient descent, as PyTorch defines it.

    g = dw + weight_decay w;  v = momentum v + g;  w = w - lr (g + momentum v if nesterov else v)

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    momentum : float
        From 0 to below 1.
    nesterov : bool
        Nesterov's momentum; needs a momentum above 0.
    weight_decay : float
        L2 penalty, at least 0, on weights and biases.

    Notes
    -----
    The attributes may be changed between steps. The velocity belongs to the :class:`fastae.Trainer`.
    """

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self.hyperparameters()

    def hyperparameters(self) -> tuple[float, float, bool, float]:
        """(lr, momentum, nesterov, weight_decay), checked."""
        lr = _check.real_number(self.lr, "lr", 0, inf, "a finite learning rate >= 0")
        momentum = _check.real_number(self.momentum, "momentum", 0, 1, "0 <= momentum < 1")
        decay = _check.real_number(self.weight_decay, "weight_decay", 0, inf, "a finite number >= 0")
        if self.nesterov and momentum == 0:
            raise ValueError("nesterov takes a momentum above 0, got momentum=0")
        return lr, momentum, bool(self.nesterov), decay
