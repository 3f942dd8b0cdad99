"""Threads: equal bytes on any number of them and from several Python threads at once.

Sizes here are above 8 times the work that kernels.pxi (WORK_PER_THREAD, 2^20 operations) asks of each thread, so that eight
threads are used where eight are allowed; test_threads_are_started checks that they are.
"""

import importlib
import multiprocessing
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fastae
from fastae._kernels.names import ACTIVATIONS, LOSSES

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
THREADS = (1, 2, 3, 5, 8)
SGD = (0.05, 0.9, True, 0.001)
GELU, TANH = ACTIVATIONS.index("gelu"), ACTIVATIONS.index("tanh")
needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
TASKS = Path("/proc/self/task")  # one entry for each thread
needs_proc = pytest.mark.skipif(not TASKS.exists(), reason="needs /proc")


def layers_of(widths):
    """As Plan and Inference take them: gelu between the layers, tanh at the end, biases everywhere."""
    last = len(widths) - 2
    return [(n_in, n_out, TANH if i == last else GELU, True) for i, (n_in, n_out) in enumerate(pairwise(widths))]


def train(kernels, n_threads, dtype="float32", seed=0, gradients=False, widths=(64, 96, 64), batch=128, rows=333, sgd=SGD):
    """Bytes of the weights, velocities, gradients and loss after two epochs; by default of 64-96-64, the last batch of 77."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (rows, widths[0])).astype(dtype)
    layers = layers_of(widths)
    weights = rng.uniform(-0.1, 0.1, sum((n_in + 1) * n_out for n_in, n_out, _, _ in layers)).astype(dtype)
    velocity, kept = np.zeros_like(weights), np.zeros_like(weights)
    plan = kernels.Plan(layers, weights, velocity if sgd[1] else None, batch, LOSSES.index("mse"), n_threads)
    for _ in range(2):
        done, total = plan.run(x, x, rng.permutation(rows), 0, rows, sgd, kept if gradients else None)
        assert done == rows
    return b"".join((weights.tobytes(), velocity.tobytes(), kept.tobytes(), np.float64(total).tobytes()))


def infer(kernels, n_threads, dtype, samples, widths):
    """Bytes of the outputs of a network."""
    rng = np.random.default_rng(samples)
    layers = layers_of(widths)
    weights = rng.uniform(-0.1, 0.1, sum((n_in + 1) * n_out for n_in, n_out, _, _ in layers)).astype(dtype)
    x, out = rng.uniform(0, 1, (samples, widths[0])).astype(dtype), np.empty((samples, widths[-1]), dtype)
    assert kernels.Inference(layers, weights).run(x, out, n_threads)
    return out.tobytes()


def multiply(kernels, n_threads, dtype="float32", seed=0):
    """Bytes of a product, of several blocks of M and K."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (130, 530)).astype(dtype), rng.uniform(-1, 1, (530, 70)).astype(dtype)
    c = rng.uniform(-1, 1, (130, 70)).astype(dtype)
    kernels.matmul(a, b, c, 0.5, 2.0, n_threads)
    return c.tobytes()


def all_kernels(kernels, n_threads, dtype):
    """Bytes of what every kernel writes, by its name."""
    rng = np.random.default_rng(1)
    x, weight, dz = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((333, 130), (150, 130), (333, 150)))
    large, other = rng.uniform(0.1, 0.9, (2, 521, 1031)).astype(dtype)
    bias = rng.uniform(-1, 1, 150).astype(dtype)
    y, keep, dweight, dbias, dx = (np.empty_like(a) for a in (dz, dz, weight, bias, x))
    kernels.linear(x, weight, bias, GELU, y, keep, n_threads)
    results = {"linear": (y, keep)}
    kernels.linear_grad_input(dz, weight, GELU, x, dx, n_threads)
    kernels.linear_grad_weight(dz, x, dweight, dbias, n_threads)
    results |= {"linear_grad_input": dx, "linear_grad_weight": (dweight, dbias)}
    for name in ("activate", "differentiate"):
        out = np.empty_like(large)
        kernels.activate(GELU, large, out, n_threads)
        if name == "differentiate":
            kernels.differentiate(GELU, large, other, out, n_threads)
        results[name] = out
    for loss, name in enumerate(LOSSES):
        dy = np.empty_like(large)
        results[name] = (np.float64(kernels.loss(loss, large, other, dy, n_threads)), dy)
    w, v = large.reshape(-1).copy(), np.zeros(large.size, dtype)
    assert kernels.sgd(w, other.reshape(-1), v, *SGD, n_threads)
    results["sgd"] = (w, v)
    results = {name: b"".join(a.tobytes() for a in arrays) for name, arrays in results.items()}
    results["matmul"] = multiply(kernels, n_threads, dtype)
    results["plan"] = train(kernels, n_threads, dtype)
    results["plan with gradients"] = train(kernels, n_threads, dtype, gradients=True)
    return results


@DTYPES
def test_equal_bytes_on_any_number_of_threads(compiled, dtype):
    alone = all_kernels(compiled, 1, dtype)
    for n_threads in THREADS[1:]:
        together = all_kernels(compiled, n_threads, dtype)
        assert [name for name in alone if alone[name] != together[name]] == [], f"on {n_threads} threads"


@DTYPES
@pytest.mark.parametrize("sgd", [SGD, (0.05, 0.0, False, 0.0)], ids=["momentum", "plain"])
@pytest.mark.parametrize(
    ("widths", "batch", "rows"),
    [  # the last batch is always one row
        ((8, 3, 8), 1, 41),
        ((8, 3, 8), 32, 321),
        ((30, 16, 8, 16, 30), 64, 641),
        ((64, 32, 8, 32, 64), 32, 321),
        ((784, 32, 784), 64, 129),
        ((784, 32, 784), 1, 21),
        ((97, 53, 31, 53, 97), 50, 151),
        ((97, 53, 31, 53, 97), 7, 57),
        ((97, 53, 31, 53, 97), 1, 41),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else f"{value}",
)
def test_training_gives_equal_bytes_on_any_number_of_threads(compiled, widths, batch, rows, sgd, dtype):
    results = {n: train(compiled, n, dtype, widths=widths, batch=batch, rows=rows, sgd=sgd) for n in THREADS}
    assert [n for n in THREADS if results[n] != results[1]] == []


@DTYPES
@pytest.mark.parametrize("widths", [(97, 53, 31), (784, 256, 64, 256, 784), (1100, 1000, 30)], ids=str)
@pytest.mark.parametrize("samples", [1, 7, 15, 16, 50, 1000])
def test_inference_gives_equal_bytes_on_any_number_of_threads(compiled, samples, widths, dtype):
    """The widest network is work enough for two threads even with one sample."""
    results = {n: infer(compiled, n, dtype, samples, widths) for n in THREADS}
    assert [n for n in THREADS if results[n] != results[1]] == []


def test_teams_of_changing_size(compiled):
    """Workers that sat out one team are in the next: many short jobs, each on another number of threads."""
    product, weights = multiply(compiled, 1), train(compiled, 1)
    for i in range(100):
        assert multiply(compiled, THREADS[i * 7 % 5]) == product
        if i % 10 == 0:
            assert train(compiled, THREADS[i // 10 % 5]) == weights


@pytest.mark.parametrize("callers", [8])
def test_python_threads_at_once(compiled, callers):
    """The pool serves one caller at a time; the others run alone. Nobody sees a difference."""
    expected = [(train(compiled, 1, seed=seed), multiply(compiled, 1, seed=seed)) for seed in range(callers)]
    barrier = threading.Barrier(callers)

    def work(seed):
        barrier.wait(60)
        return [(train(compiled, 2, seed=seed), multiply(compiled, 3, seed=seed)) for _ in range(5)]

    with ThreadPoolExecutor(callers) as pool:
        for seed, results in enumerate(pool.map(work, range(callers))):
            assert results == [expected[seed]] * 5


# ---- forks -----------------------------------------------------------------------------------------------------------


def train_and_multiply(module, seed):
    kernels = importlib.import_module(module)
    return train(kernels, 2, seed=seed), multiply(kernels, 3, seed=seed)


def in_child(module, seed):
    result = train_and_multiply(module, seed)
    if TASKS.exists():
        assert len(list(TASKS.iterdir())) == 3, "the child started no threads of its own"
    return result


def train_in_children(module):
    """What three children give that are forked now and train at once; a child that hangs is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)  # that is what is tested
        with multiprocessing.get_context("fork").Pool(3) as pool:
            return pool.starmap_async(in_child, [(module, seed) for seed in range(3)], chunksize=1).get(60)


@needs_fork
def test_children_of_a_process_that_has_trained(compiled):
    expected = [train_and_multiply(compiled.__name__, seed) for seed in range(3)]
    assert train_in_children(compiled.__name__) == expected
    assert [train_and_multiply(compiled.__name__, seed) for seed in range(3)] == expected  # the parent's threads go on


@needs_fork
def test_children_of_a_process_that_is_training(compiled):
    """The pool is taken at the moment of the fork; the child must not wait for threads that it does not have."""
    expected, stop = [train_and_multiply(compiled.__name__, seed) for seed in range(3)], threading.Event()

    def keep_busy():
        while not stop.is_set():
            train(compiled, 2)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        assert train_in_children(compiled.__name__) == expected
    finally:
        stop.set()
        busy.join()


# ---- processes of their own ------------------------------------------------------------------------------------------

PROLOGUE = """
import os, sys, threading, time
sys.path.append(os.getcwd())
import test_threads
from fastae._kernels import cython
kernels = cython.kernels()
def threads():
    return len(os.listdir("/proc/self/task"))
"""


def run_in_process(code):
    """Lines that the code prints; it must end with 0 and nothing on stderr."""
    command = [sys.executable, "-P", "-W", "error", "-c", PROLOGUE + code]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@needs_proc
def test_threads_are_started():
    """None for one thread, seven for eight and no more later: so the tests above do use threads."""
    before, after_one, after_eight, later = map(
        int,
        run_in_process("""
print(threads())
test_threads.all_kernels(kernels, 1, "float32")
print(threads())
for part in (test_threads.multiply, test_threads.train):
    part(kernels, 8)
print(threads())
test_threads.all_kernels(kernels, 3, "float64")
print(threads())
"""),
    )
    assert after_one == before
    assert after_eight == later == before + 7


@needs_proc
def test_small_work_starts_no_thread():
    before, after = run_in_process("""
import numpy as np
a = np.ones((20, 20))
print(threads())
kernels.matmul(a, a, a.copy(), 1.0, 0.0, 8)
kernels.activate(1, a, a, 8)
print(threads())
""")
    assert before == after


def test_idle_threads_use_no_processor_time():
    """After a fit, workers spin for some microseconds and then sleep: less than 2 % of the time that nothing is done."""
    share = run_in_process("""
test_threads.train(kernels, 2)
used, start = time.process_time(), time.perf_counter()
time.sleep(0.4)
print((time.process_time() - used) / (time.perf_counter() - start))
""")
    assert float(share[0]) < 0.02


BUSY = "threading.Thread(target=lambda: [test_threads.train(kernels, 2) for _ in range(10**6)], daemon=True).start()"


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "os._exit(0)", BUSY], ids=["end", "sys.exit", "os._exit", "busy"])
def test_exit_right_after_use(ending):
    """Also while a daemon thread trains."""
    assert run_in_process(f"test_threads.train(kernels, 5)\nprint('done', flush=True)\n{ending}\n") == ["done"]


def test_one_trainer_in_two_threads_is_refused():
    """Not a race: the second caller gets an error, or comes after the first."""
    x = np.random.default_rng(0).random((20000, 64), np.float32)
    trainer = fastae.Trainer(fastae.Autoencoder([64, 48, 16], seed=0), fastae.SGD(0.1), batch_size=20000)
    errors = []

    def train():
        try:
            for _ in range(5):
                trainer.step(x)
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("another thread" in error for error in errors)
    assert np.isfinite(trainer.model.parameters).all()
