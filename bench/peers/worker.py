"""What runs in an engine's own process."""

import time
from importlib import import_module

import numpy as np

SECONDS = 0.4  # of a turn, at least one call
_ready: dict = {}


def prepare(part, engine, case, threads):
    """Make the function to time, and call it twice. What the second call gave (trained by the first) is for comparing."""
    _ready.clear()
    call = import_module(f"bench.peers.parts.{part}").ENGINES[engine](case, threads)
    call()
    result = call()
    _ready["call"] = call
    return None if result is None else np.array(result)


def turn():
    """Seconds of the fastest call in one turn."""
    call, best, end = _ready["call"], float("inf"), time.perf_counter() + SECONDS
    while True:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


def peak(threads):
    """GFLOP/s of fused multiply-adds in registers."""
    return _compiled().peak(threads)


def kernels():
    """What fastae's kernels were compiled for."""
    return _compiled().info()


def _compiled():
    from fastae import settings

    if not hasattr(settings.kernels(), "peak"):
        raise RuntimeError("fastae's compiled kernels are missing here; reinstall it where there is a C compiler")
    return settings.kernels()


def openblas():
    """The processor that NumPy's OpenBLAS takes this one for, where threadpoolctl can tell."""
    try:
        import threadpoolctl
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    return ", ".join(pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas")
