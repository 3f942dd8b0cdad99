"""One step called from Python: what the door costs."""

from dataclasses import replace

from ..network import Network
from ..row import OWN, Bar
from .training import row, trainer

TITLE = "trainer.step from Python"


def own(network, threads):
    x, training = network.data()[: network.batch], trainer(network, threads)
    return lambda: training.step(x)


ENGINES = {OWN: own}


def rows(threads):
    return [replace(row(Network((8, 3), 1), [Bar("us", 3.0, most=True)], threads), steps=1)]
