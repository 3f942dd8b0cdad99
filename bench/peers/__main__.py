"""Measure and print the table: ``python -m bench.peers``."""

import argparse
import importlib.util
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import geometric_mean

from . import cases
from .engines import ENGINES
from .worker import peak, prepare, turn

TURNS = 5
REST = 0.15  # after a turn, in which other pools' threads stop spinning


def measure(workers, sizes, batch, threads):
    """Microseconds of a step, by engine."""
    losses = {name: worker.submit(prepare, name, sizes, batch, threads).result() for name, worker in workers.items()}
    for name, values in losses.items():
        for value, own in zip(values, losses["fastae"], strict=True):
            if value is not None and abs(value - own) > 1e-4 * abs(own):
                raise SystemExit(f"{name} computes losses {values}, fastae {losses['fastae']}: not the same training")
    steps = cases.steps_of(sizes, batch)
    best = dict.fromkeys(workers, float("inf"))
    for _ in range(TURNS):
        for name, worker in workers.items():
            best[name] = min(best[name], 1e6 * worker.submit(turn, steps).result())
            time.sleep(REST)
    return best


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--cases", nargs="+", type=int, metavar="N", help="rows of the table, from 0")
    options = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    package = {"sklearn": "sklearn", "numpy": "numpy", "fastae": "fastae"}
    names = ["fastae"]
    for name in options.engines:
        if importlib.util.find_spec(package.get(name, name.split("-")[0])) is None:
            print(f"{name}: not installed")
        elif name != "fastae":
            names.append(name)
    workers = {name: ProcessPoolExecutor(1, mp_context=get_context("spawn")) for name in names}
    gflops, machine = workers["fastae"].submit(peak, options.threads).result()
    print(f"{machine}; peak {gflops:.0f} GFLOP/s\nmicroseconds of a training step, float32, best of {TURNS} turns\n")
    print(f"{'network':40}{'batch':>6}" + "".join(f"{n:>14}" for n in names) + f"{'ratio':>8}{'bar':>6}{'peak':>6}{'bar':>6}")
    ratios = []
    for number, (sizes, batch, bar, share_bar) in enumerate(cases.TRAINING):
        if options.cases and number not in options.cases:
            continue
        times = measure(workers, sizes, batch, options.threads)
        ratio = min(t for name, t in times.items() if name != "fastae") / times["fastae"]
        share = cases.operations(sizes, batch) / times["fastae"] / 1e3 / gflops
        ratios.append(ratio)
        verdict = "pass" if ratio >= bar and share >= (share_bar or 0) else "falls short"
        print(
            f"{cases.name(sizes):40}{batch:>6}"
            + "".join(f"{times[n]:>14,.2f}" for n in names)
            + f"{ratio:>8.2f}{bar:>6}{share:>6.0%}{share_bar or '':>6}  {verdict}",
            flush=True,
        )
    print(f"\ngeometric mean of the ratios to the best peer: {geometric_mean(ratios):.2f}")
    for worker in workers.values():
        worker.shutdown()


if __name__ == "__main__":
    main()
