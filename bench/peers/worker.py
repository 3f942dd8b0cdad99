"""What runs in a peer's own process."""

import time

from . import cases
from .engines import ENGINES

SECONDS = 0.4  # of a turn, at least one epoch
_ready = {}


def peak(threads):
    """GFLOP/s of fused multiply-adds in registers, and what fastae runs on."""
    from fastae.settings import kernels, processor_name

    return kernels().peak(threads), f"{processor_name()}, {threads} threads, {kernels().info()}"


def prepare(engine, sizes, batch, threads):
    """Make the case; the losses of two epochs from the common weights, to be compared."""
    _ready.clear()
    _ready["epoch"] = ENGINES[engine](sizes, batch, cases.data(sizes, batch), threads)
    return [_ready["epoch"](), _ready["epoch"]()]


def turn(steps):
    """Seconds of a step, in the best epoch of one turn."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while True:
        start = time.perf_counter()
        _ready["epoch"]()
        now = time.perf_counter()
        best = min(best, (now - start) / steps)
        if now > end:
            return best
