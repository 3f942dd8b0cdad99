"""``fastae bench``: fastae against NumPy on this machine.

Each has a process of its own, so that neither's threads disturb the other's, and they take turns; the best of all turns counts.
Every result is compared with NumPy's before anything is timed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np

from . import ops, settings
from ._check import Array
from .autoencoder import Autoencoder
from .optim import SGD
from .trainer import Trainer

_TURNS = 5
_SECONDS = 0.15  # of a turn
_REST = 0.15  # after a turn, in which OpenBLAS's threads stop spinning
_GEMM = [(64, 64, 64), (128, 256, 784), (256, 784, 256), (1024, 1000, 784), (2048, 2048, 2048)]
_LINEAR = [(32, 128, 784), (256, 256, 784), (1024, 1000, 784)]
_NETWORKS = [([64, 32, 8], 32), ([784, 32], 64), ([784, 256, 64], 128), ([784, 256, 64], 1024)]
_LR = 0.01


def run(n_threads: int) -> None:
    """Measure and print the table."""
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = str(n_threads)  # for the processes started below
    workers = [ProcessPoolExecutor(1, mp_context=get_context("spawn")) for _ in range(2)]
    try:
        theirs, ours = workers
        peak, engine = ours.submit(_peak, n_threads).result()
        print(f"{settings.processor_name()}, {n_threads} threads, {engine}")
        print(f"float32, best of {_TURNS} turns; peak: multiply-adds in registers, measured here: {peak:.0f} GFLOP/s\n")
        print(f"{'':44}{'NumPy':>12}{'fastae':>12}{'ratio':>8}{'of peak':>9}")
        for kind, case, label, operations in _cases():
            if not ours.submit(_agrees, kind, case, n_threads).result():
                raise ValueError(f"{label}: fastae's result differs from NumPy's")
            best = [float("inf")] * 2
            for _ in range(_TURNS):
                for i, (worker, numpy) in enumerate(((theirs, True), (ours, False))):
                    best[i] = min(best[i], worker.submit(_time, kind, case, numpy, n_threads).result())
                    time.sleep(_REST)
            share = operations / best[1] / 1e9 / peak
            print(
                f"{label:44}{best[0] * 1e6:>9,.1f} us{best[1] * 1e6:>9,.1f} us{best[0] / best[1]:>8.2f}{share:>8.0%}",
                flush=True,
            )
    finally:
        for worker in workers:
            worker.shutdown()


def _cases() -> list[tuple[str, Any, str, float]]:
    """(kind, case, label, floating-point operations)."""
    rows: list[tuple[str, Any, str, float]] = []
    for m, n, k in _GEMM:
        rows.append(("gemm", (m, n, k), f"GEMM x W^T, {m} x {n} x {k}", 2.0 * m * n * k))
    for m, n, k in _LINEAR:
        rows.append(("linear", (m, n, k), f"linear + relu, {m} x {n} x {k}", 2.0 * m * n * k))
    for sizes, batch in _NETWORKS:
        full = [*sizes, *sizes[-2::-1]]
        products = sum(a * b for a, b in pairwise(full))
        operations = 2.0 * batch * (3 * products - full[0] * full[1])  # the first layer has no input gradient
        rows.append(("step", (sizes, batch), f"training step, {'-'.join(map(str, full))}, batch {batch}", operations))
    return rows


def _peak(n_threads: int) -> tuple[float, str]:
    kernels = settings.kernels()
    return (kernels.peak(n_threads) if hasattr(kernels, "peak") else float("nan")), kernels.info()


def _call(kind: str, case: Any, numpy: bool, n_threads: int) -> tuple[Callable[[], Any], int]:
    """A function to time, and how many steps one call makes."""
    rng = np.random.default_rng(0)
    if kind == "step":
        sizes, batch = case
        x = rng.random((max(batch, 4096 // batch * batch), sizes[0]), np.float32)
        if numpy:
            layers = [(layer.weight.copy(), layer.bias.copy()) for layer in _network(sizes).layers if layer.bias is not None]
            batches = [x[at : at + batch] for at in range(0, len(x), batch)]
            return lambda: float(np.mean([numpy_step(layers, part, _LR) for part in batches])), len(batches)
        trainer = Trainer(_network(sizes), SGD(lr=_LR), batch_size=batch, n_threads=n_threads)
        return lambda: trainer.fit(x, epochs=1, shuffle=False).loss[0], len(x) // batch
    m, n, k = case
    x, w, b = rng.random((m, k), np.float32), rng.random((n, k), np.float32), rng.random(n, np.float32)
    y = np.empty((m, n), np.float32)
    if kind == "gemm":
        return (
            (lambda: np.matmul(x, w.T, out=y))
            if numpy
            else (lambda: ops.matmul(x, w, transpose_b=True, out=y, n_threads=n_threads))
        ), 1

    def linear() -> Any:
        np.matmul(x, w.T, out=y)
        np.add(y, b, out=y)
        return np.maximum(y, 0, out=y)

    return linear if numpy else lambda: ops.linear(x, w, b, "relu", out=y, n_threads=n_threads), 1


def _agrees(kind: str, case: Any, n_threads: int) -> bool:
    theirs, ours = (np.array(_call(kind, case, numpy, n_threads)[0]()) for numpy in (True, False))
    return np.allclose(theirs, ours, rtol=1e-4)


_ready: dict[Any, Any] = {}  # in a worker: what _call made for the case at hand


def _time(kind: str, case: Any, numpy: bool, n_threads: int) -> float:
    """Seconds of the fastest call in one turn."""
    key = kind, str(case)
    if key not in _ready:
        _ready.clear()
        _ready[key] = _call(kind, case, numpy, n_threads)
        _ready[key][0]()
    function, steps = _ready[key]
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return float(best / steps)


def _network(sizes: list[int]) -> Autoencoder:
    return Autoencoder(sizes, activation="relu", latent_activation="relu", output_activation="sigmoid", seed=0)


def numpy_step(layers: list[tuple[Array, Array]], x: Array, lr: float) -> float:
    """A step as one writes it by hand in NumPy, in place where that saves time: relu and sigmoid, squared error.

    ``layers`` are (W, b); they are updated. Returns the loss before it.
    """
    rate = np.float32(lr)
    outputs = [x]
    for weight, bias in layers:
        y = outputs[-1] @ weight.T
        y += bias
        if len(outputs) < len(layers):
            np.maximum(y, 0, out=y)
        else:  # sigmoid
            np.negative(y, out=y)
            np.exp(y, out=y)
            y += 1
            np.reciprocal(y, out=y)
        outputs.append(y)
    delta = outputs[-1] - x
    loss = float(np.dot(delta.ravel(), delta.ravel())) / delta.size
    delta *= np.float32(2 / delta.size)
    delta *= outputs[-1] * (1 - outputs[-1])
    for i, (weight, bias) in reversed(list(enumerate(layers))):
        gradient = delta.T @ outputs[i]
        bias -= rate * delta.sum(axis=0)
        if i > 0:
            delta = delta @ weight
            delta *= outputs[i] > 0
        gradient *= rate
        weight -= gradient
    return loss
