"""For the files of pytest-benchmark: fastae's engine of a part of ``bench.peers``, checked against NumPy's, then timed."""

import numpy as np
import pytest

import fastae


@pytest.fixture
def time_checked(benchmark):
    """Times fastae on a case. NumPy is not timed here: in one process the threads of the two would disturb each other."""

    def run(part, case):
        threads = fastae.get_num_threads()
        ours, theirs = (part.ENGINES[engine](case, threads) for engine in ("fastae", "numpy"))
        np.testing.assert_allclose(ours(), theirs(), rtol=1e-4, atol=1e-6)
        benchmark(ours)

    return run
