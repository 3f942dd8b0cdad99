"""What a second thread brings to large training steps."""

from ..network import Network
from ..row import OWN, Bar
from .training import TABLE, own, row

TITLE = "a training step on all threads, against fastae on one"
ENGINES = {OWN: own, "1 thread": lambda network, threads: own(network, 1)}


def rows(threads):
    # The bar, 1.8 on two threads, is 0.9 of what each of them could bring.
    return [row(Network(sizes, batch), [Bar("1 thread", 0.9 * threads)], threads) for sizes, batch, *_ in TABLE[-4:]]
