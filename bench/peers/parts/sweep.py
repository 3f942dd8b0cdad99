"""Training steps over batch sizes and widths, for the plots; no bars."""

from ..network import Network
from ..row import Bar
from . import training

TITLE = "a training step over batch sizes and widths"
ENGINES = {name: training.ENGINES[name] for name in ("fastae", "numpy", "torch", "jax-scan")}
BY_BATCH = [Network((784, 256, 64), 2**i) for i in range(11)]
BY_WIDTH = [Network((2**i, 2**i // 4), 64) for i in range(4, 12)]


def rows(threads):
    return [training.row(network, [Bar("best"), Bar("peak")], threads) for network in BY_BATCH + BY_WIDTH]
