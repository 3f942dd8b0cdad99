"""The Numba backend beside the Cython one: the same training steps, once all is compiled."""

from ..network import Network
from ..row import OWN, Bar
from .training import TABLE, own, row

TITLE = "a training step in the Numba backend, against fastae's Cython"
ENGINES = {OWN: lambda network, threads: own(network, threads, backend="numba"), "cython": own}


def rows(threads):
    bars = [0.6] * 5 + [0.85] * 4  # the four largest come last
    return [
        row(Network(sizes, batch), [Bar("cython", bar)], threads) for (sizes, batch, *_), bar in zip(TABLE, bars, strict=True)
    ]
