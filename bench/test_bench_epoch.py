"""An epoch inside ``Trainer.fit``, without shuffling; the loss is checked."""

import pytest

from bench.peers.network import Network
from bench.peers.parts import training

NETWORKS = [Network((8, 3), 32), Network((64, 32, 8), 32), Network((784, 256, 64), 128), Network((1001, 37), 129, rest=1)]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_epoch(time_checked, network):
    time_checked(training, network)
