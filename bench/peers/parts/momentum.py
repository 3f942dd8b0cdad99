"""What momentum costs: it reads and writes one more array as large as the weights."""

from ..network import Network
from ..row import OWN, Bar
from .training import own, row


def plain(network, threads):
    return _not_compared(own(network, threads))


def with_momentum(network, threads):
    return _not_compared(own(network, threads, momentum=0.9))


def _not_compared(epoch):
    def run():  # the two train differently, so their losses are not returned
        epoch()

    return run


TITLE = "a training step with momentum, against fastae's plain SGD"
ENGINES = {OWN: with_momentum, "plain": plain}


def rows(threads):
    return [row(Network((784, 1000, 500, 250, 30), 128), [Bar("cost", 1.25, most=True)], threads)]
