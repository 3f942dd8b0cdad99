"""The Numba backend beside the Cython one: the same bits on the same instruction set; what is kept on disk; its threads."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fastae import _kernels
from fastae._kernels.names import ACTIVATIONS, LOSSES

if missing := set(_kernels.missing()) & {"numba", "cython"}:
    pytest.skip(f"{missing} does not load here", allow_module_level=True)

from fastae._kernels import cython

NUMBA = _kernels.load("numba")
TWIN = cython.kernels(NUMBA.ISA)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
RELU, MSE = ACTIVATIONS.index("relu"), LOSSES.index("mse")
NETS = [  # widths, batch size: tiny, few samples, many; more than a block of the sums; odd ones
    ((8, 3, 8), 1),
    ((8, 3, 8), 9),
    ((8, 3, 8), 32),
    ((30, 16, 8, 16, 30), 64),
    ((97, 53, 31, 97), 7),
    ((97, 53, 31, 97), 50),
    ((784, 32, 784), 64),
    ((33, 1, 33), 100),
    ((600, 530, 600), 530),
]


def train(kernels, widths, batch, dtype, activation, last, loss, n_threads=1, steps=100, sgd=(0, 0.05, 0.9, True, 1e-4, 0, 0)):
    """Loss, weights, velocities and the last gradients after so many steps."""
    rng = np.random.default_rng(1)
    steps = steps if max(widths) * batch < 10_000 else 5
    layers = [(*n, last if i == len(widths) - 2 else activation, i != 1) for i, n in enumerate(pairwise(widths))]
    weights = rng.uniform(-0.15, 0.15, sum((n_in + bias) * n_out for n_in, n_out, _, bias in layers)).astype(dtype)
    velocity, gradients = np.zeros_like(weights), np.zeros_like(weights)
    x = rng.uniform(0, 1, (steps * batch - batch // 2, widths[0])).astype(dtype)
    target = rng.uniform(0, 1, (len(x), widths[-1])).astype(dtype)
    plan = kernels.Plan(layers, weights, velocity, batch, loss, n_threads)
    rows, total = plan.run(x, target, rng.permutation(len(x)), 0, len(x), sgd, gradients)
    assert rows == len(x)
    return np.array(total), weights, velocity, gradients


@DTYPES
@pytest.mark.parametrize(("widths", "batch"), NETS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_equal_bits_of_relu_and_sgd(widths, batch, dtype, n_threads):
    for sgd in ((0, 0.05, 0.9, True, 1e-4, 0, 0), (0, 0.05, 0.0, False, 0.0, 0, 0)):
        ours, theirs = (train(k, widths, batch, dtype, RELU, 0, MSE, n_threads, sgd=sgd) for k in (NUMBA, TWIN))
        assert [np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)] == [True] * 4


@DTYPES
@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
def test_every_activation_after_100_steps(activation, dtype):
    for batch in (5, 20):
        ours, theirs = (train(k, (21, 18, 21), batch, dtype, activation, activation, MSE) for k in (NUMBA, TWIN))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


@pytest.mark.parametrize("loss", range(len(LOSSES)), ids=LOSSES)
def test_every_loss_after_100_steps(loss):
    last = ACTIVATIONS.index("sigmoid") if LOSSES[loss] == "bce" else 0
    for batch in (5, 20):
        ours, theirs = (train(k, (21, 18, 21), batch, "float32", RELU, last, loss) for k in (NUMBA, TWIN))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


@DTYPES
@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
def test_values_and_slopes_within_2_ulp(activation, dtype):
    z = np.concatenate([np.linspace(-40, 40, 40_001), np.geomspace(1e-30, 1, 1000), [0.0, -0.0]]).astype(dtype)[None]
    results = []
    for kernels in (NUMBA, TWIN):
        y, dz = np.empty_like(z), np.empty_like(z)
        kernels.activate(activation, z, y, 1)
        kernels.differentiate(activation, y, np.ones_like(z), dz, 1)
        results.append((y, dz))
    for ours, theirs in zip(*results, strict=True):
        assert (np.abs(ours - theirs) <= 2 * np.spacing(np.abs(theirs))).all()


@DTYPES
@pytest.mark.parametrize("n", [1, 15, 16, 100, 333])
def test_equal_bits_of_inference_and_products(n, dtype):
    rng = np.random.default_rng(n)
    layers = [(70, 53, RELU, True), (53, 31, 0, False)]
    weights = rng.normal(size=70 * 53 + 53 + 53 * 31).astype(dtype)
    x, outs = rng.random((n, 70)).astype(dtype), []
    for kernels in (NUMBA, TWIN):
        out, product = np.empty((n, 31), dtype), np.ones((n, 60), dtype)
        kernels.Inference(layers, weights).run(x, out, 2)
        kernels.matmul(np.tile(x, 9), np.resize(weights, (630, 60)), product, 0.5, 2.0, 2)
        outs.append((out, product))
    assert [np.array_equal(*pair) for pair in zip(*outs, strict=True)] == [True, True]


@pytest.mark.parametrize("source", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("batch", [5, 20])
def test_equal_bits_of_sparse_rows(batch, source):
    """CSR as the matrix itself, in training and inference; what is stored out of range is left out."""
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(batch)
    x = (rng.integers(1, 200, (53, 33)) * (rng.random((53, 33)) < 0.2)).astype(source)
    given = sparse.csr_matrix(x)
    broken = given.copy()
    broken.data, broken.indices = np.append(given.data, 7).astype(source), np.append(given.indices, 99).astype(np.int32)
    broken.indptr[-1] += 1
    results = []
    for a in (x, given, broken):
        weights, out = np.linspace(-0.1, 0.1, 33 * 40 + 40 * 33).astype("float32"), np.empty((53, 33), "float32")
        layers = [(33, 40, RELU, False), (40, 33, 0, False)]
        done, total = NUMBA.Plan(layers, weights, None, batch, MSE, 2).run(a, a, None, 0, 53, (0, 1e-6, 0.0, False, 0.0, 0, 0))
        assert (done, NUMBA.Inference(layers, weights).run(a, out, 2)) == (53, True)
        results.append((total, weights.tobytes(), out.tobytes()))
    assert results[0] == results[1] == results[2]


def run_process(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("isa", [isa for isa in cython.isas() if isa != NUMBA.ISA])
def test_equal_bits_on_the_other_instruction_sets(isa):
    code = (
        "import test_numba as t\nfor net in t.NETS: t.test_equal_bits_of_relu_and_sgd(*net, 'float32', 2)\nprint(t.NUMBA.ISA)"
    )
    assert run_process(code, FASTAE_ISA=isa).strip() == isa


FIT = """
import numpy as np, fastae
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    model = fastae.Autoencoder([20, 5], seed=0, backend="numba")
    fastae.Trainer(model, fastae.SGD(0.1), batch_size=32, seed=0).fit(np.random.default_rng(0).random((100, 20)), epochs=2)
    model.encode(np.zeros((3, 20)))
print(len(compiled.buffer), model.parameters.tobytes().hex())
"""


def test_what_is_compiled_is_kept_on_disk(tmp_path):
    first, second = (run_process(FIT, NUMBA_CACHE_DIR=str(tmp_path)).split() for _ in range(2))
    assert int(first[0]) > 0
    assert int(second[0]) == 0
    assert first[1] == second[1]


def test_it_works_where_nothing_can_be_kept(tmp_path):
    """As in a read-only container: no folder for what is compiled."""
    code = "from numba.core import caching\ncaching.CacheImpl._locator_classes = []\n" + FIT
    assert int(run_process(code).split()[0]) > 0


def test_ctrl_c_while_a_team_is_at_work():
    """Neither leaves a worker that waits for the others, nor a team that is taken."""
    code = """
import os, signal, threading, time
import numpy as np, fastae
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits an ignored one
model = fastae.Autoencoder([200, 100], seed=0, backend="numba")
trainer = fastae.Trainer(model, fastae.SGD(0.01), batch_size=64, seed=0, n_threads=2)
x = np.random.default_rng(0).random((6400, 200), dtype="float32")
trainer.fit(x, epochs=1)
for delay in np.linspace(0.05, 0.15, 12):
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        while True:
            trainer.fit(x, epochs=1)
    except KeyboardInterrupt:
        pass
    timer.join()
trainer.fit(x, epochs=1)
print(bool(np.isfinite(model.parameters).all()))
"""
    assert run_process(code).strip() == "True"
