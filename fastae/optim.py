"""Optimisers, as PyTorch defines them. Their state (velocities, means of squares) belongs to the Trainer."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from . import _check
from ._kernels.contract import Rule
from ._kernels.names import OPTIMIZERS


class Optimizer:
    """What all optimisers have in common: a rule, which the kernels take. Attributes may be changed between steps."""

    kind = ""
    lr: float
    weight_decay: float

    def __post_init__(self) -> None:
        self.hyperparameters()

    def hyperparameters(self) -> Rule:
        """(kind, lr, momentum, nesterov, weight_decay, beta, eps), checked."""
        raise NotImplementedError

    def _checked(self, momentum: float, nesterov: bool = False, beta: float = 0.0, eps: float = 0.0) -> Rule:
        lr = _check.real_number(self.lr, "lr", 0, inf, "a finite learning rate >= 0")
        decay = _check.real_number(self.weight_decay, "weight_decay", 0, inf, "a finite number >= 0")
        return OPTIMIZERS.index(self.kind), lr, momentum, nesterov, decay, beta, eps


@dataclass
class SGD(Optimizer):
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

    Examples
    --------
    >>> import numpy as np, fastae
    >>> layer = fastae.Linear(1, 1, bias=False, dtype="float64")
    >>> layer.weight = [[3.0]]
    >>> trainer = fastae.Trainer(fastae.Sequential(layer), fastae.SGD(lr=0.5), loss="half_squared")
    >>> trainer.step(np.array([[2.0]]), np.array([[5.0]]))  # 1/2 (3 x 2 - 5)^2
    0.5
    >>> layer.weight  # 3 - 0.5 x 2
    array([[2.]])
    """

    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    kind = "sgd"

    def hyperparameters(self) -> Rule:
        """(kind, lr, momentum, nesterov, weight_decay, beta, eps), checked."""
        momentum = _check.real_number(self.momentum, "momentum", 0, 1, "0 <= momentum < 1")
        if self.nesterov and momentum == 0:
            raise ValueError("nesterov takes a momentum above 0, got momentum=0")
        return self._checked(momentum, bool(self.nesterov))


@dataclass
class Adam(Optimizer):
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1), as PyTorch defines it.

    g = dw + weight_decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
    w = w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps), t the number of the step from 1 on

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        Decay of both running means, from 0 to below 1.
    eps : float
        Above 0.
    weight_decay : float
        L2 penalty, at least 0, on weights and biases.

    Examples
    --------
    >>> import fastae
    >>> model = fastae.Autoencoder([64, 8], seed=0)
    >>> trainer = fastae.Trainer(model, fastae.Adam(lr=3e-3), batch_size=32)
    >>> trainer.optimizer.lr = 1e-3  # from the next step on
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    kind = "adam"

    def hyperparameters(self) -> Rule:
        """(kind, lr, beta1, False, weight_decay, beta2, eps), checked."""
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise TypeError(f"betas takes two numbers, got {self.betas!r}")
        first, second = (_check.real_number(b, "betas", 0, 1, "two numbers 0 <= beta < 1") for b in self.betas)
        return self._checked(first, False, second, _eps(self.eps))


@dataclass
class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, ICLR 2019, algorithm 2), as PyTorch defines it.

    w = (1 - lr weight_decay) w before the step of :class:`fastae.Adam`, whose g = dw.

    Parameters
    ----------
    lr, betas, eps : as of :class:`fastae.Adam`
    weight_decay : float
    """

    weight_decay: float = 1e-2

    kind = "adamw"


@dataclass
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, lecture 6.5, 2012), as PyTorch defines it, not centred.

    g = dw + weight_decay w;  s = alpha s + (1 - alpha) g^2;  v = momentum v + g / (sqrt(s) + eps);  w = w - lr v

    Parameters
    ----------
    lr : float
        Learning rate, at least 0.
    alpha : float
        Decay of the running mean of squares, from 0 to below 1.
    eps : float
        Above 0.
    weight_decay : float
        L2 penalty, at least 0, on weights and biases.
    momentum : float
        From 0 to below 1.
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0

    kind = "rmsprop"

    def hyperparameters(self) -> Rule:
        """(kind, lr, momentum, False, weight_decay, alpha, eps), checked."""
        alpha = _check.real_number(self.alpha, "alpha", 0, 1, "0 <= alpha < 1")
        momentum = _check.real_number(self.momentum, "momentum", 0, 1, "0 <= momentum < 1")
        return self._checked(momentum, False, alpha, _eps(self.eps))


def _eps(value: float) -> float:
    eps = _check.real_number(value, "eps", 0, inf, "a number above 0")
    if eps == 0:
        raise ValueError("eps takes a number above 0, got 0")
    return eps
