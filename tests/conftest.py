"""Fixtures of all tests: the kernels and backends that load here, seeded numbers, tolerances, outputs between guard bands."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from fastae import _kernels
from fastae._kernels import reference


def _compiled():
    try:
        from fastae._kernels import cython

        return {f"cython-{isa}": cython.kernels(isa) for isa in cython.isas()}
    except ImportError:
        return {}


def _jitted(name):
    """Kernels that need Numba, or a GPU, or numba's simulator of one."""
    return {} if name in _kernels.missing() else {name: _kernels.load(name)}


SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
COMPILED = _compiled() | _jitted("numba") | _jitted("cuda")
KERNELS = {"numpy": reference, **COMPILED}
BACKENDS = [name for name in _kernels.BACKENDS if name not in _kernels.missing()]
GUARD = 1024  # bytes on each side of an output: more than any register tile is wide
SENTINEL = 0xA5


def pytest_collection_modifyitems(items):
    """With the simulator, only its tests, and not those in which it would take minutes."""
    if SIMULATED:
        import simulator

        simulator.take_turns()
        simulator.choose(items)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Skip what a backend has not, if it says so as the contract asks: part of a recipe, its name and a backend that has it."""
    try:
        return (yield)
    except NotImplementedError as error:
        if not re.fullmatch(r"recipe part '\w+' is not in the cuda backend; take backend='cython' or 'numpy'", str(error)):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=list(KERNELS.values()), ids=list(KERNELS))
def kernels(request):
    """Each module of kernels: the reference, and Cython's once for every instruction set that this machine can run."""
    return request.param


@pytest.fixture(scope="session", params=list(COMPILED.values()), ids=list(COMPILED))
def compiled(request):
    """The same without the reference."""
    return request.param


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request):
    """Name of each public backend that loads."""
    return request.param


@pytest.fixture
def rng():
    """Random numbers, the same in every run."""
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def data_folder():
    """Folder of the public data sets, from the environment variable FASTAE_DATA."""
    if not os.environ.get("FASTAE_DATA"):
        pytest.skip("FASTAE_DATA does not name the folder of the data sets")
    return Path(os.environ["FASTAE_DATA"])


@pytest.fixture(scope="session")
def tolerance():
    """Absolute tolerance of sums over k products of numbers within -1 and 1, for a dtype and k.

    Rounding errors of the partial sums, of size sqrt(k) at most 0.6 eps each, add up to less than k eps; 16 eps more are for
    the epilogue. A product missing from the sum, about 0.3, or one added twice, is far outside.
    """
    return lambda dtype, k: (k + 16) * float(np.finfo(dtype).eps)


@pytest.fixture
def guarded():
    """Makes arrays inside larger buffers. At the test's end all bytes around them must be as they were.

    The arrays hold NaN, so that an element not written is seen, and start one element past a cache line, so that a store
    that expects alignment fails.
    """
    made = []

    def make(shape, dtype, values=np.nan):
        itemsize, size = np.dtype(dtype).itemsize, int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = np.full(size + 2 * GUARD + 64, SENTINEL, np.uint8)
        start = GUARD + (itemsize - buffer.ctypes.data - GUARD) % 64
        array = buffer[start : start + size].view(dtype).reshape(shape)
        array[...] = values
        made.append((buffer, start, start + size, shape))
        return array

    yield make
    for buffer, start, stop, shape in made:
        assert (buffer[:start] == SENTINEL).all(), f"bytes before an output of shape {shape} were written"
        assert (buffer[stop:] == SENTINEL).all(), f"bytes behind an output of shape {shape} were written"
