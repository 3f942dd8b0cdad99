"""Peak memory of a training run, above ``import numpy`` and the data: ``python -m bench.memory``.

Each engine trains in a process of its own. This one stays small (no NumPy): where a process starts another, the kernel counts
what the first one had resident as the peak of the second.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from itertools import pairwise

BAR = 120.0  # MB
SIZES, BATCH, STEPS = (784, 1000, 500, 250, 30), 1024, 4


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        train(options.engine, options.threads)
        return
    print(f"peak resident memory over NumPy and the data, {'-'.join(map(str, SIZES))}-..., batch {BATCH}, {STEPS} steps")
    baseline = peak_of("numpy", options.threads)
    print(f"{'numpy and the data':20}{baseline:8.1f} MB")
    for engine in ("fastae", "torch"):
        if importlib.util.find_spec(engine) is None:
            print(f"{engine:20} not installed")
            continue
        extra = peak_of(engine, options.threads) - baseline
        verdict = f"   bar {BAR:.0f} MB: {'pass' if extra <= BAR else 'falls short'}" if engine == "fastae" else ""
        print(f"{engine:20}{extra:8.1f} MB more{verdict}")


def peak_of(engine, threads):
    """Peak memory of an engine's process, in MB."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "bench.memory", "--engine", engine, "--threads", str(threads)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def train(engine, threads):
    """In the engine's process: make the data, train, print the peak."""
    import resource

    import numpy as np

    x = np.random.default_rng(0).random((BATCH * STEPS, SIZES[0]), np.float32)
    ENGINES[engine](x, threads)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(kilobytes * 1024 / 1e6)


def train_fastae(x, threads):
    import fastae

    model = fastae.Autoencoder(SIZES, seed=0)
    fastae.Trainer(model, fastae.SGD(lr=0.1), batch_size=BATCH, seed=0, n_threads=threads).fit(x, epochs=1)


def train_torch(x, threads):
    import torch

    torch.set_num_threads(threads)
    modules = []
    for n_in, n_out in pairwise([*SIZES, *SIZES[-2::-1]]):
        modules += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1], torch.nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in torch.from_numpy(x).split(BATCH):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(batch), batch).backward()
        optimizer.step()


ENGINES = {"numpy": lambda x, threads: None, "fastae": train_fastae, "torch": train_torch}


if __name__ == "__main__":
    main()
