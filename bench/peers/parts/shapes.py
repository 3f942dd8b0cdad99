"""Training steps on shapes that nothing was tuned for: odd and prime widths, one sample, a last batch of one."""

from ..network import Network
from ..row import Bar
from .training import ENGINES, row

__all__ = ["ENGINES", "TITLE", "rows"]

TITLE = "a training step on other shapes: never slower than the best peer"
NETWORKS = [
    Network((97, 53, 31), 50),
    Network((784, 256, 64), 1),
    Network((784, 256, 64), 50),
    Network((784, 256, 64), 1000),
    Network((1001, 37), 129, rest=1),
    Network((2048, 512, 128), 128),
    Network((784, 32), 8),
]


def rows(threads):
    return [row(network, [Bar("best", 1.0), Bar("peak")], threads) for network in NETWORKS]
