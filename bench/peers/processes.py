"""Processes of the engines: each has its own, so that thread pools, allocators and caches do not disturb each other's."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from tempfile import TemporaryDirectory

import numpy as np

from .row import OWN, Result
from .worker import prepare, turn

REST = 0.15  # seconds after a turn, in which other pools' threads stop spinning
TOLERANCE = 1e-4  # of the largest number of a result

# What holds each library to AVX2, as on a processor without AVX-512. ONNX Runtime has nothing of the kind.
AVX2 = {
    "FASTAE_ISA": "avx2",
    "OPENBLAS_CORETYPE": "HASWELL",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def set_environment(threads, isa=None):
    """Variables that the libraries read as they are loaded, in processes started from now on."""
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "FASTAE_NUM_THREADS"):
        os.environ[variable] = str(threads)
    xla = [f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"]
    if isa == "avx2":
        os.environ.update(AVX2)
        xla.append("--xla_cpu_max_isa=AVX2")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *xla]).strip()


@contextmanager
def processes(names):
    """A process for each name, started at its first task."""
    with TemporaryDirectory() as cache:
        # torch.compile finds kernels of earlier runs on disk, also those compiled for another instruction set or number of
        # threads, and then computes wrong numbers or crashes.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        workers = {name: _process() for name in names}
        try:
            yield workers
        finally:
            for worker in workers.values():
                worker.shutdown(cancel_futures=True)


def _process():
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def measure(workers, part, row, turns):
    """Compare what the engines compute, then time them in turns: ours, theirs, ours, theirs, ..."""
    computed, result = {}, Result()
    for name, worker in list(workers.items()):
        try:
            computed[name] = worker.submit(prepare, part, name, row.case, row.threads).result()
        except Exception as error:  # whatever a library raises where it cannot run, or the end of its process
            _leave_out(result, workers, name, error)
    for name in [name for name in computed if name != OWN]:
        distance = _distance(computed[name], computed.get(OWN))
        if not distance <= TOLERANCE:
            result.differ[name] = f"its result is {distance:.1e} away from fastae's"
    best = {name: float("inf") for name in computed if name not in result.differ}
    for _ in range(turns):
        for name in list(best):
            try:
                best[name] = min(best[name], workers[name].submit(turn).result())
            except Exception as error:
                del best[name]
                _leave_out(result, workers, name, error)
            time.sleep(REST)
    result.times = {name: 1e6 * seconds / row.steps for name, seconds in best.items()}
    return result


def _leave_out(result, workers, name, error):
    result.left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, BrokenProcessPool):  # its process died; the next row gets another
        workers[name] = _process()


def _distance(a, b):
    """Largest difference, relative to the largest number; 0 where an engine gives nothing to compare."""
    if a is None or b is None:
        return 0.0
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b))) if a.shape == b.shape else float("inf")
