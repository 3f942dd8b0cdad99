"""Matrix products x W^T."""

import pytest

from bench.peers.parts import gemm


@pytest.mark.parametrize("case", [(1, 1000, 784), (64, 64, 64), (256, 784, 256), (1024, 1000, 784)], ids=str)
def test_gemm(time_checked, case):
    time_checked(gemm, case)
