"""The CUDA backend on a GPU: ``python -m bench.cuda``.

Training steps of the table's networks inside an epoch, from batches on the host to weights on the host, and products x W^T of
matrices on the device; float32, in GFLOP/s. Each result is compared with NumPy's before anything is timed. The fastest of some
calls counts; the first compiles the kernels.
"""

import argparse
import sys
import time

import numpy as np

from .peers.network import Network
from .peers.parts import gemm, training

TOLERANCE = 1e-4  # of a mean loss, and of a product relative to the largest of its numbers


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.cuda", description=__doc__)
    parser.add_argument("--turns", type=int, default=10, help="calls of which the fastest counts")
    options = parser.parse_args()
    sys.exit(refusal() or measure(options.turns))


def refusal():
    """Why there is nothing to measure here, or None."""
    from fastae import _kernels

    try:
        engine = _kernels.load("cuda")
    except ImportError as error:
        return f"bench.cuda measures a GPU. {error}"
    if "simulator" in engine.info():
        return "bench.cuda measures a GPU, and NUMBA_ENABLE_CUDASIM=1 is set: the times of a simulator mean nothing"
    return None


def measure(turns):
    from fastae import _kernels

    print(_kernels.load("cuda").info())
    print(f"\n{training.TITLE}: us, GFLOP/s")
    for sizes, batch, *_ in training.TABLE:
        network = Network(sizes, batch)
        seconds = training_step(network, turns)
        print(f"{network.name:55}{seconds * 1e6:10.1f}{network.operations / seconds / 1e9:10.1f}")
    print(f"\n{gemm.TITLE}, on the device: us, GFLOP/s")
    for m, n, k, *_ in gemm.TABLE:
        seconds = product(m, n, k, turns)
        print(f"{f'{m} x {n} x {k}':55}{seconds * 1e6:10.1f}{2.0 * m * n * k / seconds / 1e9:10.1f}")


def training_step(network, turns):
    """Seconds of a step, the mean of an epoch's."""
    import fastae

    losses = []
    for backend in ("numpy", "cuda"):
        fastae.set_backend(backend)
        epoch = training.own(network, 1)
        losses.append([epoch() for _ in range(2)])
    if not np.allclose(*losses, rtol=TOLERANCE):
        raise ArithmeticError(f"{network.name}: the mean losses of two epochs are {losses[1]}, by NumPy {losses[0]}")
    best = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        epoch()
        best = min(best, time.perf_counter() - start)
    return best / network.steps


def product(m, n, k, turns):
    """Seconds of a product, of several one behind the other, by the GPU's own clock."""
    from fastae._kernels.cuda import epilogues, memory
    from fastae._kernels.cuda.gemm import multiply
    from fastae._kernels.cuda.toolkit import cuda

    rng = np.random.default_rng(0)
    x, w, y = rng.random((m, k), np.float32), rng.random((n, k), np.float32), np.empty((m, n), np.float32)
    a, b, c = memory.uploaded(x), memory.uploaded(w), memory.matrix(m, n, np.float32)
    operands = c, np.float32(1), np.float32(0)

    def call():
        multiply(np.float32, m, n, k, a, b, False, False, epilogues.scale_and_add(np.float32), operands)

    call()
    memory.download(c, y)
    expected = x @ w.T
    if abs(y - expected).max() > TOLERANCE * expected.max():
        raise ArithmeticError(f"{m} x {n} x {k}: differs from NumPy's by {abs(y - expected).max()}")
    start, stop, best, calls = cuda.event(), cuda.event(), float("inf"), 20
    for _ in range(turns):
        start.record()
        for _ in range(calls):
            call()
        stop.record()
        stop.synchronize()
        best = min(best, start.elapsed_time(stop))  # milliseconds
    return best / 1e3 / calls


if __name__ == "__main__":
    main()
