"""How long a new process takes to its first epoch and codes in the Numba backend: with nothing compiled yet, and after that."""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from ..row import OWN, Bar, Row

TITLE = "a process that trains 784-256-64 for one epoch and encodes, in the Numba backend"
CODE = """
import numpy as np, fastae
model = fastae.Autoencoder([784, 256, 64], seed=0, backend="numba")
x = np.random.default_rng(0).random((256, 784), dtype="float32")
fastae.Trainer(model, fastae.SGD(0.01), batch_size=128, seed=0).fit(x, epochs=1)
model.encode(x)
"""


def process(cache, threads):
    environment = os.environ | {"NUMBA_CACHE_DIR": cache, "FASTAE_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-c", CODE], env=environment, check=True)


def start(state, threads):
    folder = TemporaryDirectory()  # kept by what is returned
    if state == "warm":
        process(folder.name, threads)

    def call():
        if state == "warm":
            process(folder.name, threads)
        else:
            with TemporaryDirectory() as empty:
                process(empty, threads)

    return call


ENGINES = {OWN: start}


def rows(threads):
    return [Row(state, state, [Bar("us", limit, most=True)], threads) for state, limit in (("cold", 15e6), ("warm", 1e6))]
