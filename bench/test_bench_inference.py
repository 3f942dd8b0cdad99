"""Encoding with 784-256-64."""

import pytest

from bench.peers.parts import inference


@pytest.mark.parametrize("batch", [1, 8, 64, 1024])
def test_encode(time_checked, batch):
    time_checked(inference, batch)
