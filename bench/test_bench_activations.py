"""Activations of arrays that fit in the second-level cache."""

import pytest

from bench.peers.parts import activations


@pytest.mark.parametrize("name", activations.NAMES)
def test_activation(time_checked, name):
    if name == "gelu":
        pytest.importorskip("scipy")  # for NumPy's side
    time_checked(activations, name)
