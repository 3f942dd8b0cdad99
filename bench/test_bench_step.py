"""``Trainer.step`` on one batch; the weights after the first are checked."""

import numpy as np
import pytest

import fastae
from bench.peers.network import Network
from bench.peers.parts import training
from fastae.benchmark import numpy_step

NETWORKS = [Network((8, 3), 1), Network((64, 32, 8), 32), Network((784, 256, 64), 128)]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_step(benchmark, network):
    x, layers = network.batches(network.data())[0], network.weights()
    trainer = training.trainer(network, fastae.get_num_threads())
    trainer.step(x)
    numpy_step(layers, x, network.lr)
    for ours, (weight, bias) in zip(trainer.model.layers, layers, strict=True):
        np.testing.assert_allclose(ours.weight, weight, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.bias, bias, rtol=1e-4, atol=1e-5)
    benchmark(trainer.step, x)
